// SPDX-License-Identifier: Apache-2.0
// Hierarchical timer wheel: see timer.h.
//
// Level l holds timers whose deadline differs from the current tick first in the l-th group of six
// bits; a slot of level l covers 64^l ticks. When the current tick enters a slot of a higher level, its
// timers are spread over the levels below. `occupied` lets a run jump over empty slots.
// Invariant: a timer in level l, slot s has deadline_tick > tick, and s > the tick's own slot there.

#include "lib/base/timer.h"

#include <assert.h>

static int64_t tick_of(ns_t t)
{
	return (t + TIMER_TICK_NS - 1) / TIMER_TICK_NS;
}

static unsigned slot_of(int64_t tick, unsigned level)
{
	return (unsigned)(tick >> (level * TIMER_SLOT_BITS)) & (TIMER_SLOTS - 1);
}

void timer_wheel_init(struct timer_wheel *wheel, ns_t now)
{
	*wheel = (struct timer_wheel){.tick = now / TIMER_TICK_NS};
	for (unsigned level = 0; level < TIMER_LEVELS; level++)
		for (unsigned slot = 0; slot < TIMER_SLOTS; slot++)
			list_init(&wheel->slots[level][slot]);
}

// The deadline as the wheel can hold it: at least the next tick, at most the last slot of the top.
static int64_t clamp_tick(const struct timer_wheel *wheel, int64_t deadline)
{
	int64_t top = ((int64_t)1 << (TIMER_LEVELS * TIMER_SLOT_BITS)) - 1;
	int64_t last = wheel->tick | top;

	if (deadline <= wheel->tick)
		return wheel->tick + 1;
	return deadline < last ? deadline : last;
}

static void insert(struct timer_wheel *wheel, struct timer *timer)
{
	int64_t at = clamp_tick(wheel, timer->deadline_tick);
	uint64_t differs = (uint64_t)(at ^ wheel->tick);
	unsigned level = differs ? (63u - (unsigned)__builtin_clzll(differs)) / TIMER_SLOT_BITS : 0;
	unsigned slot;

	// tick + 1 may carry beyond the top level's span: its first slot comes round next.
	if (level >= TIMER_LEVELS)
		level = TIMER_LEVELS - 1;
	slot = slot_of(at, level);
	list_push(&wheel->slots[level][slot], &timer->link);
	wheel->occupied[level] |= (uint64_t)1 << slot;
}

void timer_arm(struct timer_wheel *wheel, struct timer *timer, ns_t deadline)
{
	timer_cancel(wheel, timer);
	timer->deadline_tick = deadline >= NS_NEVER - TIMER_TICK_NS ? INT64_MAX : tick_of(deadline);
	wheel->count++;
	insert(wheel, timer);
}

void timer_cancel(struct timer_wheel *wheel, struct timer *timer)
{
	if (!timer_armed(timer))
		return;
	// The slot's bit may stay set; a run that finds the slot empty clears it.
	list_del(&timer->link);
	wheel->count--;
}

// Empties a slot into `out`.
static void take_slot(struct timer_wheel *wheel, unsigned level, unsigned slot, struct list *out)
{
	struct list *head = &wheel->slots[level][slot];

	wheel->occupied[level] &= ~((uint64_t)1 << slot);
	list_init(out);
	while (!list_empty(head)) {
		struct list *node = head->next;

		list_del(node);
		list_push(out, node);
	}
}

// Fires or re-inserts all of a slot that the current tick has reached.
static unsigned run_slot(struct timer_wheel *wheel, unsigned level, unsigned slot, ns_t now)
{
	struct list due;
	unsigned fired = 0;

	take_slot(wheel, level, slot, &due);
	while (!list_empty(&due)) {
		struct timer *timer = list_entry(due.next, struct timer, link);

		list_del(&timer->link);
		if (timer->deadline_tick > wheel->tick) {
			insert(wheel, timer);
			continue;
		}
		wheel->count--;
		fired++;
		timer->fire(timer, now);
	}
	return fired;
}

// The next tick, at most `end`, at which some slot begins that is occupied; `end` if there is none.
static int64_t next_event(const struct timer_wheel *wheel, int64_t end)
{
	int64_t best = end;

	for (unsigned level = 0; level < TIMER_LEVELS; level++) {
		unsigned shift = level * TIMER_SLOT_BITS;
		unsigned slot = slot_of(wheel->tick, level);
		// Slots after the current one in this turn of the level; those before it are of the next.
		uint64_t ahead = slot == TIMER_SLOTS - 1 ? 0 : wheel->occupied[level] & ~0ull << (slot + 1);
		int64_t turn = wheel->tick >> (shift + TIMER_SLOT_BITS);
		int64_t at;

		if (ahead)
			at = (turn << TIMER_SLOT_BITS | __builtin_ctzll(ahead)) << shift;
		else if (wheel->occupied[level])
			at = (turn + 1) << (shift + TIMER_SLOT_BITS);
		else
			continue;
		if (at < best)
			best = at;
	}
	return best;
}

unsigned timer_wheel_run(struct timer_wheel *wheel, ns_t now)
{
	int64_t end = now / TIMER_TICK_NS;
	unsigned fired = 0;

	while (wheel->tick < end) {
		wheel->tick = wheel->count ? next_event(wheel, end) : end;
		// From the top down, so that what a higher slot spreads reaches level 0 in this tick.
		for (unsigned level = TIMER_LEVELS; level-- > 0;) {
			unsigned shift = level * TIMER_SLOT_BITS;
			unsigned slot = slot_of(wheel->tick, level);

			if (wheel->tick & (((int64_t)1 << shift) - 1))
				continue;
			if (wheel->occupied[level] & (uint64_t)1 << slot)
				fired += run_slot(wheel, level, slot, now);
		}
	}
	return fired;
}

ns_t timer_wheel_next(const struct timer_wheel *wheel)
{
	int64_t last = INT64_MAX / TIMER_TICK_NS;
	int64_t at;

	if (wheel->count == 0)
		return NS_NEVER;
	at = next_event(wheel, last);
	return at >= last ? NS_NEVER : at * TIMER_TICK_NS;
}
