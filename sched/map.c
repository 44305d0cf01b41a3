// SPDX-License-Identifier: Apache-2.0
// The hash map of map.h: linear probing; a deletion shifts back what follows, so there are no
// tombstones.
#include "sched/map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sched/types.h"

#define PLACES_MIN 64u

static uint32_t home(const struct sched_map *map, uint64_t key)
{
	uint64_t h = (key ^ key >> 32) * 0x9e3779b97f4a7c15ull;

	return (uint32_t)(h >> 32) & map->mask;
}

void sched_map_fini(struct sched_map *map)
{
	free(map->keys);
	free(map->values);
	*map = (struct sched_map){0};
}

// The place of the key, or the free one where it would go.
static uint32_t find(const struct sched_map *map, uint64_t key)
{
	uint32_t i = home(map, key);

	while (map->values[i] != SCHED_NONE && map->keys[i] != key)
		i = (i + 1) & map->mask;
	return i;
}

uint32_t sched_map_get(const struct sched_map *map, uint64_t key)
{
	return map->mask ? map->values[find(map, key)] : SCHED_NONE;
}

static int grow(struct sched_map *map)
{
	uint32_t places = map->mask ? (map->mask + 1) * 2 : PLACES_MIN;
	struct sched_map bigger = {
		.keys = malloc(places * sizeof(*bigger.keys)),
		.values = malloc(places * sizeof(*bigger.values)),
		.mask = places - 1,
		.count = map->count,
	};

	if (!bigger.keys || !bigger.values) {
		sched_map_fini(&bigger);
		return -ENOMEM;
	}
	memset(bigger.values, 0xff, places * sizeof(*bigger.values));
	for (uint32_t i = 0; map->mask && i <= map->mask; i++) {
		uint32_t to;

		if (map->values[i] == SCHED_NONE)
			continue;
		to = find(&bigger, map->keys[i]);
		bigger.keys[to] = map->keys[i];
		bigger.values[to] = map->values[i];
	}
	sched_map_fini(map);
	*map = bigger;
	return 0;
}

int sched_map_set(struct sched_map *map, uint64_t key, uint32_t value)
{
	uint32_t i;

	if (!map->mask || map->count >= (map->mask + 1) / 4 * 3)
		if (grow(map))
			return -ENOMEM;
	i = find(map, key);
	map->count += map->values[i] == SCHED_NONE;
	map->keys[i] = key;
	map->values[i] = value;
	return 0;
}

void sched_map_del(struct sched_map *map, uint64_t key)
{
	uint32_t hole, at;

	if (!map->mask)
		return;
	hole = find(map, key);
	if (map->values[hole] == SCHED_NONE)
		return;
	map->count--;
	for (at = (hole + 1) & map->mask; map->values[at] != SCHED_NONE;
		at = (at + 1) & map->mask) {
		// It may move into the hole unless its home lies behind the hole.
		if (((at - home(map, map->keys[at])) & map->mask) < ((at - hole) & map->mask))
			continue;
		map->keys[hole] = map->keys[at];
		map->values[hole] = map->values[at];
		hole = at;
	}
	map->values[hole] = SCHED_NONE;
}

size_t sched_map_bytes(const struct sched_map *map)
{
	return map->mask ? (map->mask + (size_t)1) * (sizeof(*map->keys) + sizeof(*map->values))
			 : 0;
}
