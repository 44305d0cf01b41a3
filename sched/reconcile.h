// SPDX-License-Identifier: Apache-2.0
// What a job has against what it should have: stops, updates in place, and what wants a place.
// Pure.
#pragma once

#include "sched/arena.h"
#include "sched/plan.h"

// Reschedules of what failed: 30 s, doubled each time, at most an hour.
#define SCHED_RESCHEDULE_FIRST (30 * NS_PER_SEC)
#define SCHED_RESCHEDULE_MAX (3600 * NS_PER_SEC)

struct sched_want {
	uint32_t name_index;
	uint32_t previous;
	uint32_t avoid;   // a node on which it failed, SCHED_NONE
	uint32_t version; // 0: the current one
	uint16_t reschedules;
	uint8_t group;
};

struct sched_kept {
	uint32_t node;
	uint8_t group;
};

struct sched_reconciled {
	struct sched_plan_stop *stops;
	struct sched_plan_update *updates;
	struct sched_want *wants;
	struct sched_id *unknowns; // on nodes that are disconnected, not marked so far
	uint32_t unknown_count;
	uint32_t stop_count, update_count, want_count;
	bool more; // the limit was reached: another evaluation goes on
	// Of a system job: old ones wait for their turn, or if one node alone is looked at, nobody
	// would come to them.
	bool rolling;
	ns_t reschedule_at; // something failed and is to be replaced then; NS_NEVER
	uint16_t *own; // by node: live instances of the job that stay there; NULL: none anywhere
	struct sched_kept *kept; // where these are, if the job has what counts them (prefer.h)
	uint32_t kept_count;
	uint32_t node_high;
};

struct sched_catalog;

// limit: of stops and of wants each. 0 or -ENOMEM.
int sched_reconcile(struct sched_arena *arena, const struct sched_snapshot *s, uint32_t job,
	struct sched_catalog *catalog, ns_t now, uint32_t limit, struct sched_reconciled *out);
// The same for jobs with an instance a node: wants have the node's slot as name index. node: the
// only one to look at, or SCHED_NONE.
int sched_reconcile_system(struct sched_arena *arena, const struct sched_snapshot *s, uint32_t job,
	uint32_t node, ns_t now, uint32_t limit, struct sched_reconciled *out);
// When what failed n times before is tried again.
ns_t sched_reschedule_delay(unsigned n);
