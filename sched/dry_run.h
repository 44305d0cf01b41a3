// SPDX-License-Identifier: Apache-2.0
// What the scheduler would do if a job were put: one planning of a worker of its own, on a snapshot
// in which the job has its new version already. Pure; nothing shared is written to.
//
//   before (pinned by the caller) ──▶ after: the job's row and an evaluation, in pages of our own,
//   all else as it was ──▶ worker ──▶ plan
//
// The plan is what the job's next evaluation would submit on a cluster where nothing else happens.
// It places at most what one evaluation does (SCHED_EVAL_PLACE_MAX); `more` says that there is
// more.
#pragma once

#include "sched/worker.h"

struct sched_dry_run {
	const struct sched_snapshot *before;
	struct sched_snapshot after;
	struct sched_pages *pages;
	struct sched_spec *spec; // as it would be kept
	struct sched_versions versions;
	struct sched_deployment deployment;
	struct sched_worker *worker;
	const struct sched_plan *plan;
	uint32_t job; // its row in `after`
	bool is_new;
	bool more; // another evaluation would go on
	// Of the plan. A placement that takes the place of one that still runs replaces it.
	uint32_t placed, replacing, stopped, lost, evicted, updated, failed;
	uint32_t canaries; // placed beside what they will replace, and not counted as replacing
	uint32_t outdated; // run an older version and will be replaced, now or later
	ns_t retry_at;     // something failed and would be placed again then; NS_NEVER
};

// job: the row of the job that has the spec's name; SCHED_NONE: there is none. 0; -EINVAL: beyond a
// limit; -ENOMEM. In any case to be ended with sched_dry_run_fini().
int sched_dry_run(struct sched_dry_run *d, const struct sched_snapshot *before, uint32_t job,
	const struct sched_spec *spec, const struct sched_worker_config *config, uint64_t seed,
	ns_t now);
void sched_dry_run_fini(struct sched_dry_run *d);

// Placements by node, those with most first.
struct sched_dry_node {
	uint32_t node, instances;
	float score; // of the first one there
};
// Fills at most `room`; returns how many nodes there are. 0 also if memory ran out.
uint32_t sched_dry_run_nodes(
	const struct sched_dry_run *d, struct sched_dry_node *out, uint32_t room);
// Instances that would have to go, by job; as above.
struct sched_dry_victims {
	uint32_t job, instances;
};
uint32_t sched_dry_run_victims(
	const struct sched_dry_run *d, struct sched_dry_victims *out, uint32_t room);
