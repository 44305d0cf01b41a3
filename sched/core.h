// SPDX-License-Identifier: Apache-2.0
// The core: state, broker, blocked evaluations, plan queue and applier put together, so that
// whoever hosts it has events to report, work to hand out and plans to take back. sched.h says
// which thread may call what.
#pragma once

#include "sched/blocked.h"
#include "sched/broker.h"
#include "sched/launch.h"
#include "sched/due.h"
#include "sched/plan.h"
#include "sched/state.h"

struct sched_core_config {
	struct sched_broker_config broker;
	struct sched_applier_config applier;
	ns_t follow_up_ns;      // after a failed evaluation: 60 s, doubled each time up to 16 times
	ns_t unblock_failed_ns; // how often those with too many conflicts are tried again: 60 s
	ns_t gc_age_ns; // instances that ended and are replaced or unwanted are kept this long: 10
			// min; and children that have ended
};

extern const struct sched_core_config sched_core_defaults;

// Passes over all rows (garbage.c), a step at a time.
struct sched_garbage {
	uint32_t instance, job; // the next rows
	uint32_t left;          // rows of this pass; 0: between passes
	bool purging;           // a job may wait to be forgotten
	bool found;             // in this pass there was one
	ns_t at;                // of the next step
};

struct sched_core {
	struct sched_core_config config;
	struct sched_state *state;
	struct sched_broker *broker;
	struct sched_blocked *blocked;
	struct sched_plan_queue queue;
	struct sched_applier *applier;
	struct list results; // plans whose result is ready
	ns_t unblock_failed_at;
	struct sched_due deployments; // jobs whose deployment must make progress (deploy_core.c)
	struct sched_garbage garbage;
	bool blocked_more;         // sched_blocked_step has not finished
	struct sched_ticket *made; // evaluations of the open transaction
	uint32_t made_count, made_room;
	struct sched_launches launches;
	uint64_t evals_made, evals_ended; // must meet at rest, with those blocked
};

// seed: of the broker's tokens. NULL: out of memory.
struct sched_core *sched_core_new(const struct sched_core_config *config, uint64_t seed);
void sched_core_destroy(struct sched_core *c);

// Start: replay logs into c->state (sched_replay), then this enables everything and recovers what
// was pending or blocked. 0 or -ENOMEM.
int sched_core_start(struct sched_core *c, ns_t now);
// Stops handing out; waiting plans come back with -ECANCELED through sched_core_result().
void sched_core_stop(struct sched_core *c);

// ---- events: each is one transaction, published, with the evaluations it calls for ----

// A new job or a new version of it. The version is the next one, or stays if only counts, priority,
// parallelism or stopping change. Of a version that failed and was taken back (deploy.h) only counts
// and priority are taken. 0; -EINVAL; -EEXIST: the name is a child's of another job;
// -ENOMEM.
int sched_core_job_put(
	struct sched_core *c, const struct sched_spec *spec, ns_t now, uint32_t *slot);
// Stops all its instances; purge: and forgets it then. 0, -ENOENT.
int sched_core_job_stop(struct sched_core *c, uint32_t slot, bool purge, ns_t now);
enum sched_deployment_action {
	SCHED_DEPLOYMENT_PROMOTE, // its canaries, all of which must be ready
	SCHED_DEPLOYMENT_PAUSE,
	SCHED_DEPLOYMENT_RESUME, // what was paused or has failed
	SCHED_DEPLOYMENT_FAIL,
};

// What somebody wants of the deployment of a job's current version (deploy.h). 0; -ENOENT: it has
// none; -EINVAL: not in the status it has; -EBUSY: not all canaries are ready; -ENOMEM.
int sched_core_deployment(
	struct sched_core *c, uint32_t job, enum sched_deployment_action action, ns_t now);
// A node, registering or changed; it stays in its state (a new one: SCHED_NODE_INIT). 0, -ENOMEM.
int sched_core_node_put(struct sched_core *c, const char *name,
	const struct sched_attribute *attributes, uint32_t count, const struct sched_res *capacity,
	uint32_t *slot);
// 0, -ENOENT.
int sched_core_node_state(struct sched_core *c, uint32_t slot, uint8_t status, bool eligible,
	bool draining, ns_t now);
// The deadline of a drain is over (the host of the core keeps it): what is left there is stopped
// now, and replaced where there is room. It stays so until the drain is ended. 0, -ENOENT.
int sched_core_node_drain_now(struct sched_core *c, uint32_t slot, ns_t now);
// The images that a node has, all of them; at most SCHED_IMAGES_MAX count. Not kept over restarts:
// its host tells it again. 0, -ENOENT, -ENOMEM.
int sched_core_node_images(
	struct sched_core *c, uint32_t slot, const char *const *images, uint32_t count);
// The node is forgotten; its instances are lost. 0, -ENOENT.
int sched_core_node_del(struct sched_core *c, uint32_t slot, ns_t now);

// What the jobs of a namespace may have together; UINT32_MAX: without limit. What they have already
// stays, even if it is more. 0, -EINVAL, -ENOMEM.
int sched_core_quota_put(
	struct sched_core *c, const char *namespace, const struct sched_res *limit, ns_t now);
// 0, -ENOENT.
int sched_core_quota_del(struct sched_core *c, const char *namespace, ns_t now);

// Of a child that a templated job shall have.
struct sched_dispatch {
	const void *payload;
	uint32_t payload_len;
	const struct sched_meta *meta;
	uint32_t meta_count;
	const char *token; // NULL: none. A second dispatch with the same one makes nothing
	char why[192];     // out: a sentence, when refused
};

// Makes a child of a templated job. 0; -EEXIST: *child was made with the same token before; -E2BIG,
// the payload; -EINVAL, -EDQUOT (too many that have not ended), -ENOENT (no such job): see why;
// -ENOMEM.
int sched_core_dispatch(
	struct sched_core *c, uint32_t parent, struct sched_dispatch *d, ns_t now, uint32_t *child);
// Makes a child of a periodic job now, whatever its schedule. 0; -ENOENT; -EINVAL: it has none, or
// is stopped; -EBUSY: one is running and may not overlap; -EEXIST: *child is that of this second;
// -ENOTUNIQ: another job has its name; -EDQUOT, -ENOMEM.
int sched_core_launch_now(struct sched_core *c, uint32_t parent, ns_t now, uint32_t *child);
// When the schedule's next child is due, as far as the snapshot knows; NS_NEVER. Any thread.
ns_t sched_next_launch(const struct sched_job *job);

struct sched_report {
	struct sched_id id;
	uint8_t status;
	bool ready;
	uint8_t exit_code, exit_signal; // of one that has ended
	bool unknown; // out: there is no such instance, or it must not run: let its host stop it
};

// What a host saw, in one transaction.
int sched_core_report(struct sched_core *c, struct sched_report *reports, uint32_t count, ns_t now);
// An evaluation of a job by itself. 0, -ENOENT.
int sched_core_evaluate(struct sched_core *c, uint32_t job, uint8_t trigger, ns_t now);

// ---- work ----

// 0: work for a worker. -EAGAIN: none; ask again after anything happened or at sched_core_next().
int sched_core_dequeue(
	struct sched_core *c, uint32_t mask, ns_t now, struct sched_ticket *t, uint64_t *token);
// 0; -ESTALE: the token is no longer good, drop the work. The plan's result comes out of
// sched_core_result().
int sched_core_submit(struct sched_core *c, struct sched_plan *plan, ns_t now);
// Applies up to `budget` waiting plans and publishes. Returns how many.
uint32_t sched_core_apply(struct sched_core *c, uint32_t budget, ns_t now);
// A plan whose result is ready; its evaluation is acked if all of it was committed. NULL: none.
struct sched_plan *sched_core_result(struct sched_core *c);
// Work that came to nothing: the evaluation or its job was gone.
void sched_core_drop(struct sched_core *c, const struct sched_ticket *t, uint64_t token, ns_t now);
void sched_core_nack(struct sched_core *c, const struct sched_ticket *t, uint64_t token, ns_t now);

// ---- housekeeping ----

// Timers, unblocking in bounded steps, follow-ups of what failed, what was cancelled, garbage. Call
// when sched_core_next() is due and after events and plans. Returns true if there is more to do at
// once.
bool sched_core_tick(struct sched_core *c, ns_t now);
ns_t sched_core_next(const struct sched_core *c);
