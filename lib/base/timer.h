// SPDX-License-Identifier: Apache-2.0
// Hierarchical timer wheel: arm and cancel in constant time, resolution TIMER_TICK_NS.
//
// Belongs to one thread. A timer never fires early; it fires in the first timer_wheel_run() whose
// `now` has reached its deadline rounded up to a tick. Memory is the caller's.
#pragma once

#include "lib/base/clock.h"
#include "lib/base/list.h"

#define TIMER_TICK_NS (8 * NS_PER_US)
#define TIMER_SLOT_BITS 6
#define TIMER_SLOTS (1 << TIMER_SLOT_BITS)
#define TIMER_LEVELS 6  // 64^6 ticks: six days; later deadlines wait in the last level

struct timer {
	struct list link;
	int64_t deadline_tick;
	void (*fire)(struct timer *timer, ns_t now);
};

struct timer_wheel {
	int64_t tick;  // all deadlines <= tick have fired
	uint32_t count;
	uint64_t occupied[TIMER_LEVELS];  // a bit a slot
	struct list slots[TIMER_LEVELS][TIMER_SLOTS];
};

void timer_wheel_init(struct timer_wheel *wheel, ns_t now);
// (Re)arms; a deadline in the past fires in the next run.
void timer_arm(struct timer_wheel *wheel, struct timer *timer, ns_t deadline);
// Does nothing if it is not armed.
void timer_cancel(struct timer_wheel *wheel, struct timer *timer);
static inline bool timer_armed(const struct timer *timer)
{
	return list_linked(&timer->link);
}
// Fires what is due, in order of ticks; a callback may arm and cancel any timer. Returns how many.
unsigned timer_wheel_run(struct timer_wheel *wheel, ns_t now);
// A lower bound of the next deadline, NS_NEVER if no timer is armed. Exact within the next 64 ticks;
// otherwise it may be early, never late.
ns_t timer_wheel_next(const struct timer_wheel *wheel);
