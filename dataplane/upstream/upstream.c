// SPDX-License-Identifier: Apache-2.0
// Upstream connections: see upstream.h. Worker thread only.
//
//   (none) --upstream_pick--> connecting --link up--> up --link down--> back-off --timer--> connecting
//      ^------- sweep: idle for UPSTREAM_IDLE, or the target is gone and its calls have ended -------'
//
// A connection that has failed takes no calls until it is up again; one that was just dialled takes
// them only when no other target is up. It holds a reference to its target and to its MIME pair.

#include "dataplane/upstream/upstream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/balance/two_choices.h"
#include "lib/base/atomic.h"

#define KEEPALIVE_MS 5000u
#define LIFETIME_MS 20000u
// How long the kernel delays acknowledgements.
#define ACK_DELAY_MIN (35 * NS_PER_MS)
#define ACK_DELAY_MAX (60 * NS_PER_MS)
// Added to the load of a target that is not connected yet.
#define LOAD_CONNECTING (1u << 30)

static struct upstream *find(
	const struct relay *r, const struct target *target, const struct mime *mime, bool bulk)
{
	for (struct upstream *u = r->targets[target->id].first; u; u = u->next)
		if (u->mime == mime && u->bulk == bulk)
			return u;
	return NULL;
}

static void unlink_from_target(struct upstream *u)
{
	struct upstream **at = &u->relay->targets[u->target->id].first;

	while (*at != u)
		at = &(*at)->next;
	*at = u->next;
}

static void on_up(struct link *link)
{
	struct upstream *u = link->user;
	struct relay_target *rt = &u->relay->targets[u->target->id];

	rt->connections++;
	rt->error = 0;
	counter_add(&u->relay->counters.upstream_up, 1);
}

static void release(struct upstream *u)
{
	unlink_from_target(u);
	list_del(&u->all);
	u->relay->targets[u->target->id].dialled--;
	target_unref(u->target);
	mime_unref(u->mime);
	free(u);
}

static void on_down(struct link *link, const char *why)
{
	struct upstream *u = link->user;
	struct relay_target *rt = &u->relay->targets[u->target->id];

	(void)why;
	if (link->was_up && rt->connections > 0)
		rt->connections--;
	if (link->state == LINK_CLOSED) {
		release(u);
		return;
	}
	rt->error = link->error;
	counter_add(&u->relay->counters.upstream_down, 1);
}

static const struct link_ops link_ops = {.up = on_up, .down = on_down};

static struct upstream *dial(struct relay *r, struct target *target, struct mime *mime, bool bulk)
{
	struct upstream *u = calloc(1, sizeof(*u));
	struct rs_config config = {
		.handler = &upstream_handler,
		.keepalive_ms = KEEPALIVE_MS,
		.lifetime_ms = LIFETIME_MS,
		.metadata_mime = mime->metadata,
		.data_mime = mime->data,
		.fragment_bytes = target->fragments ? FRAGMENT_BYTES : RS_FRAGMENT_NEVER,
		.message_bytes_max = MESSAGE_BYTES_MAX,
		.reassembly_bytes_max = UPSTREAM_REASSEMBLY_BYTES_MAX,
		.queue_bytes_max = UPSTREAM_QUEUE_BYTES_MAX,
		.stream_queue_bytes_max = UPSTREAM_QUEUE_BYTES_MAX,
	};

	if (!u)
		goto fail;
	*u = (struct upstream){.relay = r, .target = target, .mime = mime, .bulk = bulk, .used = *r->now};
	if (link_dial(&u->link, &r->hub, (const struct sockaddr *)&target->addr, target->addr_len,
		    &config, &link_ops, u))
		goto fail;
	target_ref(target);
	mime_ref(mime);
	u->next = r->targets[target->id].first;
	r->targets[target->id].first = u;
	r->targets[target->id].dialled++;
	list_push(&r->upstreams, &u->all);
	counter_add(&r->counters.upstream_dialled, 1);
	return u;
fail:
	free(u);
	counter_add(&r->counters.upstream_full, 1);
	return NULL;
}

// What two_choices asks about a candidate.
struct candidates {
	struct relay *relay;
	const struct service *service;
	struct mime *mime;
};

static uint32_t load(void *arg, uint32_t i)
{
	struct candidates *c = arg;
	struct target *target = c->service->targets[i];
	struct upstream *u = find(c->relay, target, c->mime, false);

	// Dialled as soon as it is a candidate, so that it is up when it is needed.
	if (!u)
		u = dial(c->relay, target, c->mime, false);
	if (!u)
		return LB_DOWN;
	u->used = *c->relay->now;
	if (u->link.state == LINK_UP)
		return c->relay->targets[target->id].calls;
	if (u->link.state == LINK_CONNECTING && u->link.attempts == 0)
		return LOAD_CONNECTING + c->relay->targets[target->id].calls;
	return LB_DOWN;
}

int upstream_pick(struct relay *r, const struct service *s, struct mime *mime, size_t message_bytes,
	struct upstream **out)
{
	struct candidates candidates = {.relay = r, .service = s, .mime = mime};
	struct target *target;
	uint32_t i;

	if (s->targets_count == 0)
		return -ENOENT;
	i = lb_two_choices(&r->rng, s->targets_count, load, &candidates);
	if (i == LB_NONE)
		return -EHOSTUNREACH;
	target = s->targets[i];
	*out = find(r, target, mime, false);
	if (target->fragments || message_bytes <= FRAGMENT_BYTES)
		return 0;
	*out = find(r, target, mime, true);
	if (!*out)
		*out = dial(r, target, mime, true);
	if (!*out)
		return -ENOMEM;
	(*out)->used = *r->now;
	return (*out)->link.state == LINK_BACKOFF ? -EHOSTUNREACH : 0;
}

void upstream_late_item(struct upstream *u, ns_t gap)
{
	if (u->link.conn && gap >= ACK_DELAY_MIN && gap <= ACK_DELAY_MAX)
		loop_conn_quickack(u->link.conn);
}

void upstream_call_begin(struct upstream *u)
{
	u->calls++;
	u->relay->targets[u->target->id].calls++;
}

void upstream_call_end(struct upstream *u)
{
	u->calls--;
	u->relay->targets[u->target->id].calls--;
	u->used = *u->relay->now;
}

void upstream_sweep(struct relay *r)
{
	list_for_each_safe(at, after, &r->upstreams)
	{
		struct upstream *u = list_entry(at, struct upstream, all);
		bool gone = __atomic_load_n(&u->target->gone, __ATOMIC_RELAXED);

		if (u->calls > 0 || (!gone && *r->now - u->used < UPSTREAM_IDLE))
			continue;
		counter_add(&r->counters.upstream_idle_closed, 1);
		link_close(&u->link);
	}
}

void upstream_close_all(struct relay *r)
{
	list_for_each_safe(at, after, &r->upstreams)
		link_close(&list_entry(at, struct upstream, all)->link);
}
