// SPDX-License-Identifier: Apache-2.0
// The heap of due.h. The core's thread. Equal times come in the order of their rows, so that the
// same events do the same.
#include "sched/due.h"

#include <errno.h>
#include <stdlib.h>

void sched_due_fini(struct sched_due *d)
{
	free(d->heap);
	sched_map_fini(&d->places);
	*d = (struct sched_due){0};
}

static bool before(const struct sched_due_entry *a, const struct sched_due_entry *b)
{
	return a->at != b->at ? a->at < b->at : a->slot < b->slot;
}

// Rows in the heap are in the map already: setting their place takes no memory.
static void put(struct sched_due *d, uint32_t place, struct sched_due_entry e)
{
	d->heap[place] = e;
	sched_map_set(&d->places, e.slot, place);
}

static void rise(struct sched_due *d, uint32_t place, struct sched_due_entry e)
{
	while (place && before(&e, &d->heap[(place - 1) / 2])) {
		put(d, place, d->heap[(place - 1) / 2]);
		place = (place - 1) / 2;
	}
	put(d, place, e);
}

static void sink(struct sched_due *d, uint32_t place, struct sched_due_entry e)
{
	for (uint32_t child; (child = 2 * place + 1) < d->count; place = child) {
		if (child + 1 < d->count && before(&d->heap[child + 1], &d->heap[child]))
			child++;
		if (!before(&d->heap[child], &e))
			break;
		put(d, place, d->heap[child]);
	}
	put(d, place, e);
}

static void move(struct sched_due *d, uint32_t place, struct sched_due_entry e)
{
	if (place && before(&e, &d->heap[(place - 1) / 2]))
		rise(d, place, e);
	else
		sink(d, place, e);
}

static int add(struct sched_due *d, struct sched_due_entry e)
{
	if (d->count == d->room) {
		uint32_t room = d->room ? d->room * 2 : 64;
		struct sched_due_entry *heap = realloc(d->heap, room * sizeof(*heap));

		if (!heap)
			return -ENOMEM;
		d->heap = heap;
		d->room = room;
	}
	if (sched_map_set(&d->places, e.slot, d->count))
		return -ENOMEM;
	d->count++;
	rise(d, d->count - 1, e);
	return 0;
}

static void take_out(struct sched_due *d, uint32_t place)
{
	struct sched_due_entry last = d->heap[--d->count];

	sched_map_del(&d->places, d->heap[place].slot);
	if (place < d->count)
		move(d, place, last);
}

int sched_due_set(struct sched_due *d, uint32_t slot, ns_t at)
{
	uint32_t place = sched_map_get(&d->places, slot);
	struct sched_due_entry e = {at, slot};

	if (at == NS_NEVER) {
		if (place != SCHED_NONE)
			take_out(d, place);
		return 0;
	}
	if (place == SCHED_NONE)
		return add(d, e);
	move(d, place, e);
	return 0;
}
