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
