// SPDX-License-Identifier: Apache-2.0
// Whether something fits on a node: the one function that workers and the applier both ask, so they
// cannot disagree about anything but the age of what they look at.
#pragma once

#include "sched/types.h"

static inline bool fit_one(uint32_t capacity, uint64_t used, uint32_t ask)
{
	return capacity == UINT32_MAX || used + ask <= capacity;
}

// SCHED_DIMS if it fits, else the first resource that does not.
static inline enum sched_dimension sched_fit(
	const struct sched_res *capacity, const struct sched_res *used, const struct sched_res *ask)
{
	if (!fit_one(capacity->cpu_milli, used->cpu_milli, ask->cpu_milli))
		return SCHED_DIM_CPU;
	if (!fit_one(capacity->memory_mib, used->memory_mib, ask->memory_mib))
		return SCHED_DIM_MEMORY;
	if (!fit_one(capacity->disk_mib, used->disk_mib, ask->disk_mib))
		return SCHED_DIM_DISK;
	if (!fit_one(capacity->slots, used->slots, ask->slots))
		return SCHED_DIM_SLOTS;
	return SCHED_DIMS;
}

static inline void sched_res_add(struct sched_res *to, const struct sched_res *ask)
{
	to->cpu_milli += ask->cpu_milli;
	to->memory_mib += ask->memory_mib;
	to->disk_mib += ask->disk_mib;
	to->slots += ask->slots;
}

static inline void sched_res_sub(struct sched_res *from, const struct sched_res *ask)
{
	from->cpu_milli -= ask->cpu_milli;
	from->memory_mib -= ask->memory_mib;
	from->disk_mib -= ask->disk_mib;
	from->slots -= ask->slots;
}

// Whether a quota allows this change of what its namespace holds. What does not grow is allowed
// even where there is too much already.
struct sched_growth {
	int64_t cpu_milli, memory_mib, disk_mib, slots;
};

static inline void sched_grow(struct sched_growth *g, const struct sched_res *ask, int sign)
{
	g->cpu_milli += sign * (int64_t)ask->cpu_milli;
	g->memory_mib += sign * (int64_t)ask->memory_mib;
	g->disk_mib += sign * (int64_t)ask->disk_mib;
	g->slots += sign * (int64_t)ask->slots;
}

static inline bool quota_one(uint32_t limit, uint32_t used, int64_t growth)
{
	return growth <= 0 || limit == UINT32_MAX || (int64_t)used + growth <= (int64_t)limit;
}

static inline bool sched_quota_allows(const struct sched_quota *q, const struct sched_growth *g)
{
	return quota_one(q->limit.cpu_milli, q->used.cpu_milli, g->cpu_milli) &&
	       quota_one(q->limit.memory_mib, q->used.memory_mib, g->memory_mib) &&
	       quota_one(q->limit.disk_mib, q->used.disk_mib, g->disk_mib) &&
	       quota_one(q->limit.slots, q->used.slots, g->slots);
}
