// SPDX-License-Identifier: Apache-2.0
// What the tests of periodic and of dispatched jobs share: a world with a store, time that passes,
// and children.
#pragma once

#include "test/unit/sched_world.h"

struct launches {
	struct world w;
	struct sched_launch launch;
	struct sched_bytes log; // what is durable
};

// With one node that has room for all.
void launches_init(struct launches *l);
void launches_fini(struct launches *l);
// Puts a job that launches as l->launch says; count: of a child's group.
uint32_t launches_put(struct launches *l, const char *name, uint32_t count);
// The clock goes on, and what is due is done until nothing moves any more. Hosts start and stop
// what they are told.
void launches_at(struct launches *l, ns_t now);
void launches_save(struct launches *l);
// The program ends, and begins again with what was saved.
void launches_restart(struct launches *l);
// All that runs of the job completes, or fails.
void launches_end(struct launches *l, uint32_t job, uint8_t status);
// "parent-suffix"; SCHED_NONE.
uint32_t launches_child(const struct launches *l, const char *name);
const struct sched_job *launches_job(const struct launches *l, uint32_t slot);
// Rows of the kind.
uint32_t launches_rows(const struct launches *l, enum sched_table_kind kind);
