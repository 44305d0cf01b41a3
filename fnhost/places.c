// SPDX-License-Identifier: Apache-2.0
// The places of a host, --instances: how many of its instances may have a program. Loop's thread.
//
// In the control plane's plan what is told to stop has given its place back, and of a function that word comes
// behind the one for its successor. So what finds all places taken waits, in LIFE_NEW and without a record. It is
// refused, to be placed elsewhere, if after PLACE_WAIT_MAX nothing that has a place is on its way out.
#include "fnhost/instances.h"

// Longer than stops are kept back, which is 5 s behind the control plane's start.
#define PLACE_WAIT_MAX (8 * NS_PER_SEC)
#define PLACE_WAIT_AGAIN NS_PER_SEC

static bool place_free(const struct host *h)
{
	return h->places_taken < h->options.instances;
}

static bool holds_place(enum life_state state)
{
	return state != LIFE_NEW && state < LIFE_FAILED;
}

static unsigned places_wanted(const struct host *h)
{
	unsigned count = 0;

	list_for_each (at, &h->instances)
		count += list_entry(at, struct instance, all)->life.state < LIFE_DRAINING;
	return count;
}

static void run(struct instance *i)
{
	instance_step(i, LIFE_RUN);
	instance_next(i);
}

// In order of their arrival. The timer is armed again as long as some wait.
static void on_places(struct timer *timer, ns_t now)
{
	struct host *h = container_of(timer, struct host, place_timer);
	unsigned wanted = places_wanted(h);
	bool wait = false;

	list_for_each_safe (at, after, &h->instances) {
		struct instance *i = list_entry(at, struct instance, all);

		if (i->life.state != LIFE_NEW)
			continue;
		if (place_free(h)) {
			run(i);
		} else if (now - i->life.since >= PLACE_WAIT_MAX && wanted > h->options.instances) {
			instance_refuse(i, "all places of this host are taken");
			wanted--;
		} else {
			wait = true;
		}
	}
	if (wait)
		timer_arm(loop_timers(h->loop), timer, now + PLACE_WAIT_AGAIN);
}

void places_begin(struct instance *i)
{
	struct host *h = i->host;

	h->place_timer.fire = on_places;
	if (place_free(h) && !timer_armed(&h->place_timer)) {
		run(i);
		return;
	}
	if (!timer_armed(&h->place_timer))
		timer_arm(loop_timers(h->loop), &h->place_timer, loop_now(h->loop) + PLACE_WAIT_AGAIN);
	agent_changed(i);
}

void places_note(struct instance *i, enum life_state before)
{
	struct host *h = i->host;
	bool held = holds_place(before), holds = holds_place(i->life.state);

	h->places_taken += holds;
	h->places_taken -= held;
	// Not here: one may have ended because it could not be started, as may the next.
	if (held && !holds && timer_armed(&h->place_timer))
		timer_arm(loop_timers(h->loop), &h->place_timer, loop_now(h->loop));
}
