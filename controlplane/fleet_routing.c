// SPDX-License-Identifier: Apache-2.0
// When gateways act by what they were told: who may be told to stop, and how long it took until a
// ready instance got calls. Main thread; no I/O, no clock.
//
// Invariants: an instance is on `unrouting` exactly while its intent is UNROUTING, and on `routing`
// from its host's word that it is ready until all gateways act by it.
#include "controlplane/fleet.h"

static ns_t later(ns_t a, ns_t b)
{
	return a > b ? a : b;
}

void fleet_retarget(struct fleet *f, struct fleet_function *fn)
{
	fn->takers = 0;
	fn->seq = 0;
	// Calls go to functions alone.
	if (fn->jobs == fn->count)
		return;
	list_for_each (at, &fn->instances)
		fn->takers += fleet_takes_calls(
			list_entry(at, struct fleet_instance, of_function));
	fn->seq = f->events->targets(f->user, fn);
}

void fleet_set_intent(struct fleet *f, struct fleet_instance *i, enum instance_intent intent)
{
	list_del(&i->unrouting);
	i->intent = intent;
	if (intent == INTENT_UNROUTING)
		list_push(&f->unrouting, &i->unrouting);
	else
		fleet_tell(f, i);
}

static void unrouted(struct fleet *f, struct fleet_instance *i)
{
	fleet_set_intent(f, i, i->lost ? INTENT_ENDED : INTENT_STOP);
}

void fleet_unroute(struct fleet *f, struct fleet_instance *i, ns_t now)
{
	// In a table of before this start it may be a target, whatever we know of it.
	bool nobodys = f->settled && !i->ready && !i->presumed;

	fleet_set_intent(f, i, INTENT_UNROUTING);
	list_del(&i->routing);
	if (i->job) {
		unrouted(f, i);
		return;
	}
	fleet_retarget(f, i->function);
	i->unrouted_seq = f->held ? UINT64_MAX : i->function->seq;
	if (!f->settled && i->unrouted_seq < f->first_seq)
		i->unrouted_seq = f->first_seq;
	i->unroute_until = f->held ? NS_NEVER : now + FLEET_UNROUTE_MAX;
	if (!f->settled)
		i->unroute_until = later(i->unroute_until, f->settle_until);
	if (nobodys)
		unrouted(f, i);
}

void fleet_release(struct fleet *f, uint64_t seq, ns_t now)
{
	f->held = false;
	f->first_seq = seq;
	f->settle_until = now + FLEET_UNROUTE_AT_START;
	list_for_each (at, &f->unrouting) {
		struct fleet_instance *i = list_entry(at, struct fleet_instance, unrouting);

		i->unrouted_seq = seq;
		i->unroute_until = f->settle_until;
	}
}

// Hosts may be told the end of their snapshots now.
static void settle(struct fleet *f)
{
	const struct strmap_node *at;

	f->settled = true;
	for (at = strmap_next(&f->nodes, NULL); at; at = strmap_next(&f->nodes, at)) {
		struct fleet_node *n =
			container_of((struct strmap_node *)(uintptr_t)at, struct fleet_node, node);

		feed_settle(&n->feed);
	}
}

// Nobody else takes its calls, and its node may be cut off from us alone.
static bool last_resort(const struct fleet_instance *i)
{
	return i->lost && (i->ready || i->presumed) && !i->function->takers && i->function->seq;
}

static void tick_unrouting(struct fleet *f, struct fleet_instance *i, ns_t now)
{
	bool needed = last_resort(i);
	uint64_t seq = i->lost ? i->function->seq : i->unrouted_seq;

	if (needed && !i->host->up)
		return;
	if (i->lost && seq < i->unrouted_seq && !f->settled)
		seq = i->unrouted_seq;
	if (!needed && !i->unrouted && f->events->reached(f->user, seq)) {
		i->unrouted = true;
		if (now + FLEET_LINGER < i->unroute_until)
			i->unroute_until = now + FLEET_LINGER;
	}
	if (now >= i->unroute_until)
		unrouted(f, i);
}

void fleet_route(struct fleet *f, struct fleet_instance *i, ns_t now)
{
	i->ready_ns = now;
	list_del(&i->routing);
	if (fleet_takes_calls(i) && f->settled && f->events->watched(f->user))
		list_push(&f->routing, &i->routing);
}

static void tick_routing(struct fleet *f, ns_t now)
{
	list_for_each_safe (at, after, &f->routing) {
		struct fleet_instance *i = list_entry(at, struct fleet_instance, routing);

		if (!f->events->reached(f->user, i->function->seq))
			continue;
		hist_add(&f->steps.routable, (uint64_t)(now - i->ready_ns));
		list_del(&i->routing);
	}
}

void fleet_tick_routing(struct fleet *f, ns_t now)
{
	if (f->held)
		return;
	if (!f->settled && (f->events->reached(f->user, f->first_seq) || now >= f->settle_until))
		settle(f);
	list_for_each_safe (at, after, &f->unrouting)
		tick_unrouting(f, list_entry(at, struct fleet_instance, unrouting), now);
	tick_routing(f, now);
}

ns_t fleet_next_routing(const struct fleet *f)
{
	ns_t next = f->settled || f->held ? NS_NEVER : f->settle_until;

	list_for_each (at, &f->unrouting) {
		const struct fleet_instance *i = list_entry(at, struct fleet_instance, unrouting);

		if (i->unroute_until < next && (i->host->up || !last_resort(i)))
			next = i->unroute_until;
	}
	return next;
}
