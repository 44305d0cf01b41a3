// SPDX-License-Identifier: Apache-2.0
// The two orders of the broker's entries: a heap by deadline; a list for each type and priority of
// those that are ready, with a bitmap of the priorities in use. Each operation is constant time, or
// the logarithm of the deadlines.
#include "sched/broker_internal.h"

// ---- the heap of deadlines ----

static void heap_set(struct sched_broker *b, uint32_t at, uint32_t entry)
{
	b->heap[at] = entry;
	b->entries[entry].heap_at = at;
}

static bool before(const struct sched_broker *b, uint32_t x, uint32_t y)
{
	const struct entry *a = &b->entries[x], *c = &b->entries[y];

	return a->due != c->due ? a->due < c->due : a->t.eval < c->t.eval;
}

static void heap_up(struct sched_broker *b, uint32_t at)
{
	uint32_t entry = b->heap[at];

	for (; at > 0 && before(b, entry, b->heap[(at - 1) / 2]); at = (at - 1) / 2)
		heap_set(b, at, b->heap[(at - 1) / 2]);
	heap_set(b, at, entry);
}

static void heap_down(struct sched_broker *b, uint32_t at)
{
	uint32_t entry = b->heap[at];

	for (uint32_t child; (child = 2 * at + 1) < b->heap_count; at = child) {
		if (child + 1 < b->heap_count && before(b, b->heap[child + 1], b->heap[child]))
			child++;
		if (!before(b, b->heap[child], entry))
			break;
		heap_set(b, at, b->heap[child]);
	}
	heap_set(b, at, entry);
}

void sched_broker_disarm(struct sched_broker *b, uint32_t i)
{
	uint32_t at = b->entries[i].heap_at, last;

	if (at == SCHED_NONE)
		return;
	b->entries[i].heap_at = SCHED_NONE;
	last = b->heap[--b->heap_count];
	if (last == i)
		return;
	heap_set(b, at, last);
	heap_up(b, at);
	heap_down(b, b->entries[last].heap_at);
}

void sched_broker_arm(struct sched_broker *b, uint32_t i, ns_t due)
{
	sched_broker_disarm(b, i);
	b->entries[i].due = due;
	heap_set(b, b->heap_count++, i);
	heap_up(b, b->heap_count - 1);
}

ns_t sched_broker_next(const struct sched_broker *b)
{
	return b->heap_count ? b->entries[b->heap[0]].due : NS_NEVER;
}

// ---- ready queues ----

void sched_broker_make_ready(struct sched_broker *b, uint32_t i)
{
	struct entry *e = &b->entries[i];
	uint32_t q = e->failed ? SCHED_TYPE_FAILED : e->t.type, p = e->t.priority;
	struct fifo *f = &b->queues[q][p];

	e->state = READY;
	e->next = SCHED_NONE;
	if (f->last == SCHED_NONE)
		f->first = i;
	else
		b->entries[f->last].next = i;
	f->last = i;
	b->used[q][p / 64] |= 1ull << p % 64;
	if (e->failed) {
		b->stats.failed++;
		return;
	}
	b->stats.ready++;
	b->stats.ready_by_type[q]++;
}

static int top_priority(const struct sched_broker *b, uint32_t q)
{
	if (b->used[q][1])
		return 127 - __builtin_clzll(b->used[q][1]);
	return b->used[q][0] ? 63 - __builtin_clzll(b->used[q][0]) : -1;
}

// The queue to serve, -1 if none; from `turn` on, so that equal priorities take turns.
int sched_broker_best_queue(const struct sched_broker *b, uint32_t mask, int *priority)
{
	int best = -1;

	*priority = -1;
	for (uint32_t k = 0; k < QUEUES; k++) {
		uint32_t q = (b->turn + k) % QUEUES;
		int top = mask & SCHED_MASK(q) ? top_priority(b, q) : -1;

		if (top > *priority) {
			*priority = top;
			best = (int)q;
		}
	}
	return best;
}

bool sched_broker_has(const struct sched_broker *b, uint32_t mask)
{
	int priority;

	return sched_broker_best_queue(b, mask, &priority) >= 0;
}

uint32_t sched_broker_take_first(struct sched_broker *b, uint32_t q, uint32_t p)
{
	struct fifo *f = &b->queues[q][p];
	uint32_t i = f->first;

	f->first = b->entries[i].next;
	if (f->first == SCHED_NONE) {
		f->last = SCHED_NONE;
		b->used[q][p / 64] &= ~(1ull << p % 64);
	}
	if (q == SCHED_TYPE_FAILED) {
		b->stats.failed--;
	} else {
		b->stats.ready--;
		b->stats.ready_by_type[q]--;
	}
	return i;
}
