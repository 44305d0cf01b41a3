// SPDX-License-Identifier: Apache-2.0
// A hash map from 64-bit keys to 32-bit values. Open addressing, at most 3/4 full; belongs to one
// thread.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sched_map {
	uint64_t *keys;
	uint32_t *values; // SCHED_NONE: the place is free
	uint32_t mask;    // places - 1; 0: nothing allocated
	uint32_t count;
};

void sched_map_fini(struct sched_map *map);
// SCHED_NONE if it is not there.
uint32_t sched_map_get(const struct sched_map *map, uint64_t key);
// Adds or replaces; value must not be SCHED_NONE. 0 or -ENOMEM.
int sched_map_set(struct sched_map *map, uint64_t key, uint32_t value);
void sched_map_del(struct sched_map *map, uint64_t key);
size_t sched_map_bytes(const struct sched_map *map);
