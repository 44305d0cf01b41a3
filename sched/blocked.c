// SPDX-License-Identifier: Apache-2.0
// The waiting evaluations of blocked.h: an array of entries in a ring that step() goes round.
//
// Each cause of unblocking bears the index at which it last happened. A sweep goes once round the
// ring and checks each entry against the causes since the entry's snapshot; if something happens
// during a sweep, another follows it.
#include "sched/blocked.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sched/map.h"

struct sched_blocked {
	bool enabled;
	struct sched_waiting *entries; // dense: [0, count)
	uint32_t count, room;
	struct sched_map by_key;
	// When room last appeared: in a class, in any class beyond the bitmap, anywhere.
	uint64_t class_index[SCHED_CLASSES_TRACKED];
	uint32_t class_high; // no class at or beyond has an index
	uint64_t other_index, any_index;
	uint64_t nodes_index; // when something last happened to nodes that nobody waited for, or to
			      // many
	uint32_t by_node;     // entries that wait for a node
	struct sched_map quota_index, node_index; // to the place in `indexes`
	uint64_t *indexes;
	uint32_t index_count, index_room;
	bool failed_due;      // max-plan ones go at their next look
	uint32_t cursor;      // step: entries below were looked at in this sweep
	bool sweeping, again; // again: something happened since the sweep began
	struct sched_blocked_stats stats;
};

struct sched_blocked *sched_blocked_new(void)
{
	return calloc(1, sizeof(struct sched_blocked));
}

static void forget_all(struct sched_blocked *b)
{
	sched_map_fini(&b->by_key);
	sched_map_fini(&b->quota_index);
	sched_map_fini(&b->node_index);
	free(b->entries);
	free(b->indexes);
	*b = (struct sched_blocked){.stats = {.unblocked = b->stats.unblocked,
					    .missed = b->stats.missed,
					    .duplicates = b->stats.duplicates}};
}

void sched_blocked_destroy(struct sched_blocked *b)
{
	if (!b)
		return;
	forget_all(b);
	free(b);
}

void sched_blocked_enable(struct sched_blocked *b, bool enabled)
{
	if (!enabled)
		forget_all(b);
	b->enabled = enabled;
}

// One a job; of a system job one a node.
static uint64_t key_of(uint32_t job, uint32_t node)
{
	return (uint64_t)node << 32 | job;
}

static void count(struct sched_blocked *b, const struct sched_waiting *w, int step)
{
	b->stats.blocked += (uint32_t)step;
	b->stats.escaped += w->eligibility.escaped ? (uint32_t)step : 0;
	b->stats.max_plans += w->max_plans ? (uint32_t)step : 0;
	b->by_node += w->ticket.node != SCHED_NONE ? (uint32_t)step : 0;
}

static void remove_at(struct sched_blocked *b, uint32_t i)
{
	const struct sched_ticket *t = &b->entries[i].ticket;

	count(b, &b->entries[i], -1);
	sched_map_del(&b->by_key, key_of(t->job, t->node));
	if (i == --b->count)
		return;
	b->entries[i] = b->entries[b->count];
	t = &b->entries[i].ticket;
	sched_map_set(&b->by_key, key_of(t->job, t->node), i);
	// The one moved down may not have been looked at yet, in this sweep.
	if (b->sweeping && i < b->cursor)
		b->again = true;
}

static uint64_t index_of(const struct sched_blocked *b, const struct sched_map *map, uint32_t key)
{
	uint32_t at = sched_map_get(map, key);

	return at == SCHED_NONE ? 0 : b->indexes[at];
}

static bool class_opened(const struct sched_blocked *b, const struct sched_waiting *w)
{
	const struct sched_eligibility *e = &w->eligibility;

	if (b->any_index <= w->snapshot_index)
		return false;
	if (e->escaped || b->other_index > w->snapshot_index)
		return true;
	for (uint32_t c = 0; c < b->class_high; c++) {
		if (b->class_index[c] <= w->snapshot_index)
			continue;
		if (c >= e->known || e->eligible[c / 64] >> c % 64 & 1)
			return true;
	}
	return false;
}

// What it waits for has happened since its snapshot.
static bool opened(const struct sched_blocked *b, const struct sched_waiting *w)
{
	if (w->max_plans && b->failed_due)
		return true;
	if (w->quota &&
		index_of(b, &b->quota_index, w->quota & ~SCHED_QUOTA_OR_ROOM) > w->snapshot_index)
		return true;
	if (w->quota && !(w->quota & SCHED_QUOTA_OR_ROOM))
		return false;
	if (w->ticket.node != SCHED_NONE)
		return b->nodes_index > w->snapshot_index ||
		       index_of(b, &b->node_index, w->ticket.node) > w->snapshot_index;
	return class_opened(b, w);
}

int sched_blocked_add(
	struct sched_blocked *b, const struct sched_waiting *w, struct sched_ticket *cancelled)
{
	uint64_t key = key_of(w->ticket.job, w->ticket.node);
	uint32_t i = sched_map_get(&b->by_key, key);

	*cancelled = (struct sched_ticket){0};
	if (!b->enabled)
		return 0;
	if (i != SCHED_NONE && b->entries[i].ticket.eval != w->ticket.eval) {
		b->stats.duplicates++;
		if (b->entries[i].ticket.create_index > w->ticket.create_index) {
			*cancelled = w->ticket;
			return 0;
		}
		*cancelled = b->entries[i].ticket;
	}
	if (i != SCHED_NONE)
		remove_at(b, i);
	if (!w->max_plans && opened(b, w)) {
		b->stats.missed++;
		return 1;
	}
	if (b->count == b->room) {
		uint32_t room = b->room ? b->room * 2 : 64;
		struct sched_waiting *more = realloc(b->entries, room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		b->entries = more;
		b->room = room;
	}
	if (sched_map_set(&b->by_key, key, b->count))
		return -ENOMEM;
	b->entries[b->count++] = *w;
	count(b, w, 1);
	return 0;
}

const struct sched_ticket *sched_blocked_of(
	const struct sched_blocked *b, uint32_t job, uint32_t node)
{
	uint32_t i = sched_map_get(&b->by_key, key_of(job, node));

	return i == SCHED_NONE ? NULL : &b->entries[i].ticket;
}

struct sched_ticket sched_blocked_untrack(struct sched_blocked *b, uint32_t job, uint32_t node)
{
	uint32_t i = sched_map_get(&b->by_key, key_of(job, node));
	struct sched_ticket t = {0};

	if (i == SCHED_NONE)
		return t;
	t = b->entries[i].ticket;
	remove_at(b, i);
	return t;
}

struct sched_ticket sched_blocked_untrack_any(struct sched_blocked *b, uint32_t job)
{
	for (uint32_t i = 0; i < b->count; i++)
		if (b->entries[i].ticket.job == job)
			return sched_blocked_untrack(b, job, b->entries[i].ticket.node);
	return (struct sched_ticket){0};
}

// ---- what happened ----

static void happened(struct sched_blocked *b)
{
	if (b->sweeping)
		b->again = true;
	else if (b->count) {
		b->sweeping = true;
		b->cursor = 0;
	}
}

void sched_blocked_unblock_class(struct sched_blocked *b, uint32_t class_id, uint64_t index)
{
	if (!b->enabled)
		return;
	if (class_id < SCHED_CLASSES_TRACKED) {
		b->class_index[class_id] = index;
		if (b->class_high <= class_id)
			b->class_high = class_id + 1;
	} else {
		b->other_index = index;
	}
	b->any_index = index;
	happened(b);
}

static void note(struct sched_blocked *b, struct sched_map *map, uint32_t key, uint64_t index)
{
	uint32_t at = sched_map_get(map, key);

	if (!b->enabled)
		return;
	if (at == SCHED_NONE && b->index_count == b->index_room) {
		uint32_t room = b->index_room ? b->index_room * 2 : 64;
		uint64_t *more = realloc(b->indexes, room * sizeof(*more));

		if (!more)
			return;
		b->indexes = more;
		b->index_room = room;
	}
	if (at == SCHED_NONE) {
		at = b->index_count;
		if (sched_map_set(map, key, at))
			return;
		b->index_count++;
	}
	b->indexes[at] = index;
	happened(b);
}

void sched_blocked_unblock_quota(struct sched_blocked *b, uint32_t quota, uint64_t index)
{
	note(b, &b->quota_index, quota, index);
}

void sched_blocked_unblock_node(struct sched_blocked *b, uint32_t node, uint64_t index)
{
	// As long as nobody waits for a node it is enough to know that it was not later.
	if (b->by_node)
		note(b, &b->node_index, node, index);
	else if (b->enabled)
		b->nodes_index = index;
}

void sched_blocked_unblock_nodes(struct sched_blocked *b, uint64_t index)
{
	if (!b->enabled)
		return;
	b->nodes_index = index;
	happened(b);
}

void sched_blocked_unblock_failed(struct sched_blocked *b)
{
	if (!b->enabled || !b->stats.max_plans)
		return;
	b->failed_due = true;
	happened(b);
}

uint32_t sched_blocked_step(
	struct sched_blocked *b, uint32_t budget, struct sched_waiting *out, bool *more)
{
	uint32_t n = 0;

	while (b->sweeping && budget) {
		if (b->cursor >= b->count) {
			b->sweeping = b->again && b->count;
			b->failed_due = b->failed_due && b->again;
			b->again = false;
			b->cursor = 0;
			continue;
		}
		budget--;
		if (!opened(b, &b->entries[b->cursor])) {
			b->cursor++;
			continue;
		}
		out[n++] = b->entries[b->cursor];
		b->stats.unblocked++;
		// The last one moves here and is looked at next.
		remove_at(b, b->cursor);
	}
	*more = b->sweeping;
	return n;
}

struct sched_blocked_stats sched_blocked_stats(const struct sched_blocked *b)
{
	return b->stats;
}
