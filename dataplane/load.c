// SPDX-License-Identifier: Apache-2.0
// Loads that were told: see load.h. Worker thread.
#include "dataplane/load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/capacity.h"

#define WAYS 4u
// Of a host that has told nothing: what functions have by default.
#define CAPACITY_UNKNOWN 8u

_Static_assert(LOADS_MAX % WAYS == 0, "sets are whole");

int loads_init(struct loads *loads)
{
	loads->load = calloc(LOADS_MAX, sizeof(*loads->load));
	return loads->load ? 0 : -ENOMEM;
}

void loads_fini(struct loads *loads)
{
	free(loads->load);
	loads->load = NULL;
}

static struct load *set_of(const struct loads *loads, const struct load_key *key)
{
	uint64_t hash = ((uint64_t)key->slot << 32 | key->target) * 0x9e3779b97f4a7c15u;

	hash = (hash ^ hash >> 32 ^ key->version) * 0x9e3779b97f4a7c15u;
	return &loads->load[(hash >> 32) % (LOADS_MAX / WAYS) * WAYS];
}

static bool same(const struct load_key *a, const struct load_key *b)
{
	return a->slot == b->slot && a->target == b->target && a->version == b->version &&
	       a->generation == b->generation;
}

struct load *loads_find(const struct loads *loads, const struct load_key *key)
{
	struct load *set = set_of(loads, key);

	for (unsigned i = 0; i < WAYS; i++)
		if (set[i].told && same(&set[i].key, key))
			return &set[i];
	return NULL;
}

bool loads_tell(struct loads *loads, const struct load *told)
{
	struct load *set = set_of(loads, &told->key), *place = loads_find(loads, &told->key);
	bool forgotten = false;

	if (!place) {
		place = set;
		for (unsigned i = 1; i < WAYS; i++)
			if (set[i].told < place->told)
				place = &set[i];
		forgotten = place->told && told->told - place->told < LOAD_AGE_MAX;
	}
	*place = *told;
	place->sent = 0;
	return forgotten;
}

uint32_t load_value(const struct load *load, uint32_t in_flight, ns_t now)
{
	uint64_t calls = in_flight, capacity = CAPACITY_UNKNOWN, value;
	bool counts = load && now - load->told < LOAD_AGE_MAX;

	if (counts)
		calls = (uint64_t)load->queued + load->running + load->sent;
	// Nothing ran there a moment ago: only if there is nobody else.
	if (counts && load->capacity == 0)
		return LOAD_VALUE_MAX;
	if (load && load->capacity > 0)
		capacity = load->capacity;
	value = calls * LOAD_SCALE / capacity;
	return value < LOAD_VALUE_MAX ? (uint32_t)value : LOAD_VALUE_MAX;
}
