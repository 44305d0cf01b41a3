// SPDX-License-Identifier: Apache-2.0
// For bin-packing: the best nodes a worker has seen in its last evaluations. The fullest of
// thousands is seldom in a sample; but who looks at these, too, has soon seen all, and keeps the
// best. Nodes in here may have changed or gone: they are looked at like any other.
#pragma once

#include "sched/strata.h"

#define SCHED_FAVOURITES 48   // of an evaluation
#define SCHED_FAVOURITES_OF 2 // evaluations
#define SCHED_FAVOURITES_PLACES 256
#define SCHED_FAVOURITES_ALL 64 // every so many evaluations all nodes are looked at

struct sched_favourites {
	uint32_t node[SCHED_FAVOURITES_OF][SCHED_FAVOURITES];
	uint32_t count[SCHED_FAVOURITES_OF];
	uint32_t evaluations;
	uint32_t next; // whose place the next evaluation takes
	// Those of this evaluation, as a hash, so that none is looked at twice.
	uint32_t places[SCHED_FAVOURITES_PLACES];
};

// True if it was not there.
static inline bool sched_favourite_add(struct sched_favourites *f, uint32_t node)
{
	uint32_t at = node * 2654435761u >> 24;

	for (; f->places[at] != SCHED_NONE; at = (at + 1) % SCHED_FAVOURITES_PLACES)
		if (f->places[at] == node)
			return false;
	f->places[at] = node;
	return true;
}

static inline bool sched_favourite_has(const struct sched_favourites *f, uint32_t node)
{
	uint32_t at = node * 2654435761u >> 24;

	for (; f->places[at] != SCHED_NONE; at = (at + 1) % SCHED_FAVOURITES_PLACES)
		if (f->places[at] == node)
			return true;
	return false;
}
