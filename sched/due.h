// SPDX-License-Identifier: Apache-2.0
// Rows and when something is to be done about them: a heap, in which each row has one time at most.
#pragma once

#include "sched/map.h"
#include "sched/types.h"

struct sched_due_entry {
	ns_t at;
	uint32_t slot;
};

struct sched_due {
	struct sched_due_entry *heap;
	uint32_t count, room;
	struct sched_map places; // of rows in the heap
};

void sched_due_fini(struct sched_due *d);
// From now on at that time; NS_NEVER: not at all. 0 or -ENOMEM: as before.
int sched_due_set(struct sched_due *d, uint32_t slot, ns_t at);
// NS_NEVER: none.
static inline ns_t sched_due_next(const struct sched_due *d)
{
	return d->count ? d->heap[0].at : NS_NEVER;
}

// The earliest, of which there must be one.
static inline uint32_t sched_due_first(const struct sched_due *d)
{
	return d->heap[0].slot;
}
