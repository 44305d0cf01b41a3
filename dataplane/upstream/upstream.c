// SPDX-License-Identifier: Apache-2.0
// Upstream connections: see upstream.h. Worker thread only.
//
//   (none) --upstream_pick--> connecting --link up--> up --link down--> back-off --timer-->
//   connecting
//      ^------- sweep: idle for UPSTREAM_IDLE, or the target is gone and its calls have ended
//      -------'
//
// A connection that has failed takes no calls until it is up again; one that was just dialled takes
// them only when no other target is up. One that is to close, or whose backend drains it, is
// retired: no call finds it, a new one is dialled in its place. It holds a reference to its target
// and to its MIME pair.

#include "dataplane/upstream/upstream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/balance/two_choices.h"
#include "lib/base/atomic.h"
#include "lib/call/load.h"

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

// No call finds it any more.
static void retire(struct upstream *u)
{
	struct upstream **at = &u->relay->targets[u->target->id].first;

	if (u->retired)
		return;
	u->retired = true;
	while (*at != u)
		at = &(*at)->next;
	*at = u->next;
}

static void set_error(struct relay_target *rt, int error)
{
	__atomic_store_n(&rt->error, error, __ATOMIC_RELAXED);
}

static void on_up(struct link *link)
{
	struct upstream *u = link->user;
	struct relay_target *rt = &u->relay->targets[u->target->id];

	u->up = true;
	counter_add(&rt->connections, 1);
	set_error(rt, 0);
	counter_add(&u->relay->counters.upstream_up, 1);
}

static bool keeps_setup(const struct relay *r, const struct target *target)
{
	return target->host && r->host_setup;
}

static void release(struct upstream *u)
{
	struct relay_target *rt = &u->relay->targets[u->target->id];

	retire(u);
	list_del(&u->all);
	counter_add(&rt->dialled, (uint64_t)-1);
	// The id may be another target's next.
	if (counter_read(&rt->dialled) == 0)
		set_error(rt, 0);
	u->relay->setups_kept -= keeps_setup(u->relay, u->target);
	target_unref(u->target);
	mime_unref(u->mime);
	free(u);
}

static void on_down(struct link *link, const char *why)
{
	struct upstream *u = link->user;
	struct relay_target *rt = &u->relay->targets[u->target->id];

	(void)why;
	if (u->up)
		counter_add(&rt->connections, (uint64_t)-1);
	u->up = false;
	if (link->state == LINK_CLOSED) {
		release(u);
		return;
	}
	counter_add(&u->relay->counters.upstream_down, 1);
	if (u->retired) {
		link_close(link); // comes back here and ends with release()
		return;
	}
	set_error(rt, link->error);
}

static const struct link_ops link_ops = {.up = on_up, .down = on_down};

static struct upstream *dial(struct relay *r, struct target *target, struct mime *mime, bool bulk)
{
	struct upstream *u = calloc(1, sizeof(*u));
	struct rs_message setup = {0};
	struct rs_config config = {
		.handler = target->host ? &host_handler : &upstream_handler,
		.keepalive_ms = KEEPALIVE_MS,
		.lifetime_ms = LIFETIME_MS,
		.metadata_mime = mime->metadata,
		.data_mime = mime->data,
		.fragment_bytes = target->fragments ? FRAGMENT_BYTES : RS_FRAGMENT_NEVER,
		.message_bytes_max = MESSAGE_BYTES_MAX,
		.reassembly_bytes_max = UPSTREAM_REASSEMBLY_BYTES_MAX,
		.queue_bytes_max = UPSTREAM_QUEUE_BYTES_MAX,
		.stream_queue_bytes_max = UPSTREAM_QUEUE_BYTES_MAX,
		.streams_max = HOST_STREAMS_MAX,
		.setup = &setup,
	};

	if (!u)
		goto fail;
	*u = (struct upstream){
		.relay = r, .target = target, .mime = mime, .bulk = bulk, .used = *r->now};
	u->caller = (struct caller){.mime = mime, .host = target->host};
	// It may hold a token: for our hosts alone.
	if (keeps_setup(r, target))
		chain_push(&setup.data, NULL, (const uint8_t *)r->host_setup,
			(uint32_t)strlen(r->host_setup));
	if (link_dial(&u->link, &r->hub, (const struct sockaddr *)&target->addr, target->addr_len,
		    &config, &link_ops, u))
		goto fail;
	r->setups_kept += keeps_setup(r, target);
	target_ref(target);
	mime_ref(mime);
	u->next = r->targets[target->id].first;
	r->targets[target->id].first = u;
	counter_add(&r->targets[target->id].dialled, 1);
	list_push(&r->upstreams, &u->all);
	counter_add(&r->counters.upstream_dialled, 1);
	return u;
fail:
	rs_message_clear(&setup);
	free(u);
	counter_add(&r->counters.upstream_full, 1);
	return NULL;
}

static bool takes_calls(const struct upstream *u)
{
	return u->link.state == LINK_UP && rs_session_takes_requests(&u->link.session);
}

// Dialled as soon as its target is a candidate, so that it is up when it is needed. NULL: out of
// memory.
static struct upstream *connection(
	struct relay *r, struct target *target, struct mime *mime, bool bulk)
{
	struct upstream *u = find(r, target, mime, bulk);

	// Its backend drains it: it ends with the calls it has.
	if (u && u->link.state == LINK_UP && !takes_calls(u)) {
		retire(u);
		u = NULL;
	}
	if (!u)
		u = dial(r, target, mime, bulk);
	if (u)
		u->used = *r->now;
	return u;
}

// What two_choices asks about a candidate.
struct candidates {
	struct relay *relay;
	const struct service *service;
	struct mime *mime;
};

static struct load *told(const struct relay *r, const struct service *s, uint32_t i)
{
	const struct load_key key = {s->slot, s->generation, s->targets[i]->id, s->versions[i]};

	return loads_find(&r->loads, &key);
}

static uint32_t load(void *arg, uint32_t i)
{
	struct candidates *c = arg;
	struct target *target = c->service->targets[i];
	struct upstream *u = connection(c->relay, target, c->mime, false);
	uint32_t calls = (uint32_t)counter_read(&c->relay->targets[target->id].calls);

	if (u && takes_calls(u))
		return calls;
	if (u && u->link.state == LINK_CONNECTING && u->link.attempts == 0)
		return LOAD_CONNECTING + calls;
	return LB_DOWN;
}

// Of hosts more is known than what this worker has there.
static uint32_t host_load(void *arg, uint32_t i)
{
	struct candidates *c = arg;
	uint32_t calls = load(arg, i);

	if (calls >= LOAD_CONNECTING)
		return calls;
	return load_value(told(c->relay, c->service, i), calls, *c->relay->now);
}

// Some target that is up, when both candidates are not, or LB_NONE. The way of few calls: dials
// nothing.
static uint32_t any_up(struct relay *r, const struct service *s, struct mime *mime)
{
	uint32_t from = rng_below(&r->rng, s->targets_count);

	for (uint32_t i = 0; i < s->targets_count; i++) {
		uint32_t at = (from + i) % s->targets_count;
		struct upstream *u = find(r, s->targets[at], mime, false);

		if (u && takes_calls(u))
			return at;
	}
	return LB_NONE;
}

static void note_sent(struct relay *r, const struct service *s, uint32_t i)
{
	struct load *load = told(r, s, i);

	if (load)
		load->sent++;
}

int upstream_pick(struct relay *r, const struct service *s, struct mime *mime, size_t message_bytes,
	struct upstream **out, uint32_t *index)
{
	struct candidates candidates = {.relay = r, .service = s, .mime = mime};
	struct upstream *u;
	uint32_t i, up;

	if (s->targets_count == 0)
		return -ENOENT;
	i = s->hosts ? lb_two_choices(&r->rng, s->targets_count, host_load, &candidates)
		     : lb_two_choices(&r->rng, s->targets_count, load, &candidates);
	if (i == LB_NONE)
		return -EHOSTUNREACH;
	u = find(r, s->targets[i], mime, false);
	if (!takes_calls(u) && (up = any_up(r, s, mime)) != LB_NONE) {
		i = up;
		u = find(r, s->targets[i], mime, false);
	}
	if (!u->target->fragments && message_bytes > FRAGMENT_BYTES)
		u = connection(r, u->target, mime, true);
	if (!u)
		return -ENOMEM;
	if (s->hosts)
		note_sent(r, s, i);
	*out = u;
	*index = i;
	return u->link.state == LINK_BACKOFF ? -EHOSTUNREACH : 0;
}

void upstream_late_item(struct upstream *u, ns_t gap)
{
	if (u->link.conn && gap >= ACK_DELAY_MIN && gap <= ACK_DELAY_MAX)
		loop_conn_quickack(u->link.conn);
}

void upstream_call_begin(struct upstream *u)
{
	u->calls++;
	counter_add(&u->relay->targets[u->target->id].calls, 1);
}

void upstream_call_end(struct upstream *u)
{
	u->calls--;
	counter_add(&u->relay->targets[u->target->id].calls, (uint64_t)-1);
	u->used = *u->relay->now;
}

// Fire-and-forget messages are no calls in flight, but wait in the session like any; a host's own
// calls are streams of it.
static bool busy(const struct upstream *u)
{
	if (u->calls > 0)
		return true;
	return (u->link.state == LINK_UP || u->link.state == LINK_CONNECTING) &&
	       (rs_output_pending(&u->link.session) || rs_session_streams(&u->link.session) > 0);
}

static void close_one(struct upstream *u)
{
	retire(u);
	link_close(&u->link);
}

void upstream_sweep(struct relay *r)
{
	list_for_each_safe (at, after, &r->upstreams) {
		struct upstream *u = list_entry(at, struct upstream, all);
		bool gone = u->retired || __atomic_load_n(&u->target->gone, __ATOMIC_RELAXED);

		if (u->link.close_asked || busy(u) || (!gone && *r->now - u->used < UPSTREAM_IDLE))
			continue;
		counter_add(&r->counters.upstream_idle_closed, 1);
		close_one(u);
	}
}

void upstream_drain_all(struct relay *r)
{
	list_for_each_safe (at, after, &r->upstreams) {
		struct upstream *u = list_entry(at, struct upstream, all);

		retire(u);
		if (u->link.state == LINK_UP)
			rs_session_drain(&u->link.session);
	}
}

// Loads

static void tell(struct upstream *u, const struct call_load *said)
{
	struct relay *r = u->relay;
	char route[CALL_LOAD_NAME_MAX * 2 + 1];
	const struct service *s;
	struct load load;

	memcpy(route, said->namespace, said->namespace_len);
	route[said->namespace_len] = '/';
	memcpy(route + said->namespace_len + 1, said->name, said->name_len);
	s = table_find(r->table, route, (uint8_t)(said->namespace_len + 1 + said->name_len));
	// Not ours, or not told to us yet, or somebody else's route.
	if (!s || !s->hosts || s->prefix)
		return;
	load = (struct load){
		.key = {s->slot, s->generation, u->target->id, said->version},
		.told = *r->now,
		.queued = said->queued,
		.running = said->running,
		.capacity = said->capacity,
	};
	counter_add(&r->counters.loads_told, 1);
	if (loads_tell(&r->loads, &load))
		counter_add(&r->counters.loads_evicted, 1);
}

void upstream_told(struct rs_session *session, struct chain *metadata)
{
	struct upstream *u = upstream_of(session);
	uint8_t bytes[CALL_LOAD_BYTES_MAX + 1];
	size_t len = chain_read(metadata, 0, bytes, sizeof(bytes));
	int rc = call_load_check(bytes, len);
	struct reader r;
	struct call_load load;

	if (rc == -EINVAL)
		counter_add(&u->relay->counters.loads_invalid, 1);
	if (rc)
		return;
	r = reader_of(bytes + 1, len - 1);
	while (call_load_next(&r, &load))
		tell(u, &load);
}

void upstream_close_all(struct relay *r)
{
	list_for_each_safe (at, after, &r->upstreams)
		close_one(list_entry(at, struct upstream, all));
}
