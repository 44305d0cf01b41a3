// SPDX-License-Identifier: Apache-2.0
// The simulated scheduler: what events change (sim_sched.c) and invariants look at
// (sim_sched_check.c).
#pragma once

#include "lib/base/rng.h"
#include "sched/sched.h"

#define NODES_MAX 10 // scarce: much is blocked
#define BIG 32       // nodes at rest, more than any job asks for on distinct hosts, with canaries
#define JOBS_MAX 30
#define WORKERS 4
#define IMAGES 5

#define PERIODIC 4
#define TEMPLATES 3
#define DISPATCHES_MAX 512 // not forgotten yet
#define TOKENS_MAX 65536

// A client's, with a token of its own.
struct sim_dispatch {
	uint32_t token, parent;
	char child[64];
	bool acknowledged; // it is durable
	bool may_go;       // when last seen, the child had ended, or was purged
	bool given_up;
};

struct worker {
	struct sched_worker *w;
	struct sched_reader *reader;
	struct sched_ticket ticket;
	uint64_t token;
	struct sched_plan *plan;
	const struct sched_snapshot *snapshot; // pinned some time ago; NULL: none
	enum { IDLE, TOOK, PLANNED, SUBMITTED, ANSWERED } at;
};

struct sim {
	struct sched_core *core;
	struct rng rng;
	struct worker workers[WORKERS];
	struct sched_bytes durable; // what the store has
	struct sched_bytes spare;
	uint64_t durable_index;
	uint64_t acknowledged[JOBS_MAX]; // the spec_index of the job's last change that was
					 // acknowledged
	ns_t now;
	uint64_t hash;
	uint32_t step, restarts, conflicts, nacks, stale;
	uint64_t placed, evals, evicted;
	struct sim_dispatch dispatches[DISPATCHES_MAX];
	uint32_t dispatch_count, token;
	bool token_seen[TOKENS_MAX];  // in what was durable
	long long last_due[PERIODIC]; // likewise
	uint32_t launched, dispatched;
	uint32_t deployed, reverted, held; // seen at rest
	bool probing;                      // it rests: a plan has nothing to do
};

static inline const struct sched_snapshot *head(const struct sim *s)
{
	return &s->core->state->head;
}

// Some jobs have at most FEW instances on a node.
#define FEW 3
#define FEW_TEXT "3"

static inline bool has_few(uint32_t number)
{
	return number % 7 == 3;
}

// And some have a port on their node for themselves.
static inline bool has_port(uint32_t number)
{
	return number % 9 == 4;
}

// Tells the step and ends the program.
void fail(const struct sim *s, const char *what);

// ---- sim_sched_check.c ----

// After every step.
void check_nodes(struct sim *s);
void check(struct sim *s);
// At rest: what is planned for a job that is looked at once more.
void check_nothing_left(struct sim *s, const struct sched_plan *plan);
// When nothing moves any more.
void check_rest(struct sim *s);

// ---- sim_sched_launch.c ----

void launch_event(struct sim *s);
// These bytes are durable now.
void launch_durable(struct sim *s, const void *bytes, size_t len);
void launch_check(struct sim *s);
// After a restart.
void launch_crashed(struct sim *s);
// No schedule would ever rest.
void launch_stop_schedules(struct sim *s);
void launch_check_rest(struct sim *s);

// ---- sim_sched_deploy.c ----

// How a job's groups are updated.
void deploy_describe(struct sim *s, uint32_t number, struct sched_group groups[2]);
void deploy_event(struct sim *s);
void deploy_check(struct sim *s);
// Before all comes to rest.
void deploy_resume(struct sim *s);
bool deploy_holds(const struct sched_job *j, uint32_t group);
void deploy_check_group(struct sim *s, uint32_t job, uint32_t group);
void deploy_check_rest(struct sim *s);
