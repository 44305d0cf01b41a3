// SPDX-License-Identifier: Apache-2.0
// Plans: what a worker wants changed, the queue in which they wait, and the applier that commits
// what still fits.
//
// A plan is made by a worker on a snapshot, belongs to it, and is lent to the applier until its
// result is there. The applier checks each node that the plan touches against the head, with the
// same fit function (fit.h) as the worker, and commits the nodes that fit in one transaction; with
// all_at_once only if all fit. If all of the plan fits, what becomes of its evaluation is committed
// in the same transaction.
#pragma once

#include "lib/base/list.h"
#include "sched/state.h"

#define SCHED_PLAN_REJECTED_SHOWN 8
// Evaluations that a plan makes. Of a system job those that wait for a node each are at most the
// second; if more nodes have no room, one waits for all of them.
#define SCHED_PLAN_FOLLOW_MAX 16
#define SCHED_PLAN_NODES_MAX 12

struct sched_plan_stop {
	struct sched_id id;
	uint8_t desired;
	bool lost;
};

// In place: the instance goes on under another version.
struct sched_plan_update {
	struct sched_id id;
	uint32_t version;
	struct sched_res ask;
};

struct sched_plan_place {
	uint32_t node;
	uint32_t name_index;
	uint32_t previous;
	uint32_t version; // of the job; 0: the plan's
	float score, runner_up;
	uint16_t reschedules;
	uint8_t group;
};

// What a group's placements have in common in their records.
struct sched_plan_why {
	uint32_t considered, infeasible, exhausted;
};

struct sched_plan {
	struct list link; // of the queue
	uint64_t token;
	uint64_t snapshot_index;
	uint64_t job_create_index;
	uint64_t nonce; // of the instances' ids
	ns_t now;
	uint32_t job;
	uint32_t node; // of a system job: the only one it is about; SCHED_NONE: all
	uint32_t version;
	uint8_t priority, trigger;
	bool all_at_once;
	struct sched_plan_stop *stops;
	struct sched_plan_update *updates;
	struct sched_plan_place *places;
	const struct sched_id *unknowns; // to be marked as unknown: their nodes are disconnected
	uint32_t unknown_count;
	uint32_t stop_count, update_count, place_count;
	struct sched_plan_why why[SCHED_GROUPS_MAX];
	struct sched_eval done; // the evaluation after a full commit
	// New ones it makes then; id and slot are given by the applier.
	struct sched_eval follow[SCHED_PLAN_FOLLOW_MAX];
	uint32_t follow_count;

	// The result. 0; -ECANCELED: the queue was closed; -ESTALE: another worker has the
	// evaluation, or the job is gone; -ENOMEM.
	int error;
	bool full;              // all of it was committed
	uint64_t index;         // of the transaction, 0: none
	uint64_t refresh_index; // not full: plan again on a state at least this new
	uint32_t placed, stopped, rejected_nodes;
	uint32_t rejected[SCHED_PLAN_REJECTED_SHOWN];
	void *user; // the host's
};

// The spec of whose groups a placement of the plan is. s: in which the plan's version is the
// current one. NULL: it is not kept any more.
static inline const struct sched_spec *sched_place_spec(const struct sched_snapshot *s,
	const struct sched_plan *plan, const struct sched_plan_place *p)
{
	const struct sched_job *j = sched_job_at(s, plan->job);
	const struct sched_spec *spec = j ? sched_job_spec(j) : NULL;

	if (spec && p->version)
		spec = sched_job_version(j, p->version);
	return spec && p->group < spec->group_count ? spec : NULL;
}

// ---- the queue: priority, then first come ----

struct sched_plan_queue {
	bool enabled;
	uint32_t count;
	uint64_t used[2];
	struct list queues[SCHED_PRIORITY_MAX + 1];
};

void sched_plan_queue_init(struct sched_plan_queue *q);
void sched_plan_queue_enable(struct sched_plan_queue *q);
// 0, -ECANCELED while it is closed.
int sched_plan_queue_put(struct sched_plan_queue *q, struct sched_plan *plan);
// NULL if it is empty.
struct sched_plan *sched_plan_queue_take(struct sched_plan_queue *q);
// Closes it; all that waited go to `out` with their error set.
void sched_plan_queue_disable(struct sched_plan_queue *q, struct list *out);

// ---- the applier ----

struct sched_applier_config {
	uint32_t
		reject_limit; // rejections within the window that a stale snapshot does not explain
	ns_t reject_window_ns;
};

struct sched_applier_stats {
	uint64_t plans, full, partial, empty, placed, stopped, updated, evicted, rejected_nodes,
		node_plans;
	uint64_t unexplained; // rejections that no change since the snapshot explains
	uint64_t made_ineligible;
	uint64_t over_quota; // plans rejected whole
};

struct sched_applier;

// Within the transaction that stops an instance to make room for another job's: its job wants to
// know. 0 or -ENOMEM.
typedef int (*sched_evicted)(void *user, uint32_t job, uint32_t node);

struct sched_applier *sched_applier_new(
	struct sched_state *st, const struct sched_applier_config *config);
void sched_applier_destroy(struct sched_applier *a);
void sched_applier_on_evicted(struct sched_applier *a, sched_evicted evicted, void *user);
// Evaluates and commits; the result is in the plan. Writer's thread. Does not publish.
void sched_applier_apply(struct sched_applier *a, struct sched_plan *plan);
struct sched_applier_stats sched_applier_stats(const struct sched_applier *a);
