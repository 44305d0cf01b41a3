// SPDX-License-Identifier: Apache-2.0
// Clients: see client.h. Worker thread only; a client's memory comes from the relay's array.
//
//   accept -> waiting for SETUP -> established -> ended (by error, time-out or drain) -> closed
//                 | SETUP_TIMEOUT                     output is flushed, then FIN, LINGER_TIMEOUT:
//                 RST
//
// Output is pulled: a session that has some is on the relay's dirty list, and goes into TCP at the
// end of the iteration as far as there is room; `writable` puts the client on the list again.

#include "dataplane/client/client.h"

#include <string.h>

#include "dataplane/call.h"
#include "lib/base/atomic.h"

// Clients cut at once; more a moment later.
#define RELIEF_MAX 16u

static void mark_dirty(struct client *c)
{
	if (!list_linked(&c->dirty))
		list_push(&c->relay->clients_dirty, &c->dirty);
}

// Session events

static void on_wake(struct rs_session *s)
{
	mark_dirty(client_of(s));
}

static uint32_t on_setup(struct rs_session *s, struct rs_setup *setup, const char **why)
{
	struct client *c = client_of(s);

	c->caller.mime = mime_get(&c->relay->mimes, setup->metadata_mime, setup->data_mime);
	if (!c->caller.mime) {
		*why = "too many different MIME types are in use";
		return RS_ERROR_REJECTED_SETUP;
	}
	// The first tick arms the keepalive.
	timer_arm(c->relay->timers, &c->timer, *c->relay->now);
	return 0;
}

static void on_closed(struct rs_session *s, uint32_t code, const char *why)
{
	struct client *c = client_of(s);

	(void)why;
	if (c->late)
		counter_add(&c->relay->counters.clients_no_setup, 1);
	else if (!c->caller.mime && code <= RS_ERROR_REJECTED_RESUME)
		counter_add(&c->relay->counters.clients_refused_setup, 1);
	else if (code != RS_ERROR_CONNECTION_CLOSE)
		counter_add(&c->relay->counters.clients_failed, 1);
	timer_arm(c->relay->timers, &c->timer, *c->relay->now + LINGER_TIMEOUT);
	mark_dirty(c);
}

static void on_drained(struct rs_session *s)
{
	struct client *c = client_of(s);

	c->leaving = true;
	timer_arm(c->relay->timers, &c->timer, *c->relay->now + FAREWELL_TIMEOUT);
}

static const struct rs_handler handler = {
	.wake = on_wake,
	.setup = on_setup,
	.request = call_begin,
	.request_n = call_request_n,
	.cancel = call_cancel,
	.lost = call_lost,
	.pulled = call_pulled,
	.drained = on_drained,
	.closed = on_closed,
};

static void on_timer(struct timer *timer, ns_t now)
{
	struct client *c = list_entry(timer, struct client, timer);
	ns_t next;

	if (rs_session_ended(&c->session)) {
		tcp_abort(c->conn);
		return;
	}
	if (c->leaving && rs_output_pending(&c->session)) {
		// Its last replies are still to be read.
		timer_arm(c->relay->timers, timer, now + FAREWELL_TIMEOUT);
		return;
	}
	if (c->leaving) {
		client_eof(c->conn);
		return;
	}
	if (!rs_session_established(&c->session)) {
		c->late = true;
		rs_session_close(&c->session, RS_ERROR_INVALID_SETUP, "no SETUP came in time");
		return;
	}
	next = rs_tick(&c->session, now);
	if (next != NS_NEVER && !rs_session_ended(&c->session))
		timer_arm(c->relay->timers, &c->timer, next);
}

// Connection events

static struct client *client_new(struct relay *r)
{
	struct client *c = r->clients_free;

	if (c)
		r->clients_free = c->next_free;
	else if (r->clients_touched < CLIENTS_MAX)
		c = &r->clients_memory[r->clients_touched++];
	else
		return NULL;
	r->clients_count++;
	memset(c, 0, sizeof(*c));
	c->relay = r;
	list_push(&r->clients, &c->all);
	return c;
}

static void client_free(struct client *c)
{
	struct relay *r = c->relay;

	timer_cancel(r->timers, &c->timer);
	chain_clear(&c->held);
	list_del(&c->dirty);
	list_del(&c->all);
	if (c->caller.mime)
		mime_unref(c->caller.mime);
	c->next_free = r->clients_free;
	r->clients_free = c;
	r->clients_count--;
}

bool client_accept(struct tcp_conn *conn, struct relay *r)
{
	struct rs_config config = {
		.role = RS_SERVER,
		.handler = &handler,
		.pool = r->pool,
		.fragment_bytes = FRAGMENT_BYTES,
		.streams_max = CLIENT_STREAMS_MAX,
		.message_bytes_max = MESSAGE_BYTES_MAX,
		.queue_bytes_max = CLIENT_QUEUE_BYTES_MAX,
		.stream_queue_bytes_max = CLIENT_STREAM_QUEUE_BYTES_MAX,
	};
	struct client *c = r->draining ? NULL : client_new(r);

	if (c && rs_session_init(&c->session, &config, *r->now)) {
		client_free(c);
		c = NULL;
	}
	if (!c) {
		counter_add(&r->counters.clients_refused_full, 1);
		return false;
	}
	c->conn = conn;
	c->timer.fire = on_timer;
	timer_arm(r->timers, &c->timer, *r->now + SETUP_TIMEOUT);
	tcp_set_user(conn, c);
	counter_add(&r->counters.clients_opened, 1);
	return true;
}

// Too much waits for the client to read it. What waits for its credit does not count: the REQUEST_N
// would wait behind it.
static bool chokes(const struct client *c, size_t limit_bytes)
{
	return rs_session_queued_bytes(&c->session) > limit_bytes && rs_output_pending(&c->session);
}

// Input is taken at once, but from a client that does not read its replies: then it waits here, not
// consumed, until the TCP window is full.
void client_data(struct tcp_conn *conn, struct chain *data)
{
	struct client *c = tcp_user(conn);
	size_t bytes = data->len;

	if (c->paused) {
		if (chain_copy_chain(&c->held, c->relay->blocks, data))
			tcp_abort(conn);
		return;
	}
	rs_input(&c->session, data, *c->relay->now);
	tcp_consumed(conn, bytes);
	if (chokes(c, CLIENT_PAUSE_BYTES)) {
		c->paused = true;
		counter_add(&c->relay->counters.clients_paused, 1);
	}
}

static void resume(struct client *c)
{
	size_t bytes = c->held.len;

	c->paused = false;
	if (bytes == 0)
		return;
	rs_input(&c->session, &c->held, *c->relay->now);
	tcp_consumed(c->conn, bytes);
}

void client_writable(struct tcp_conn *conn)
{
	struct client *c = tcp_user(conn);
	struct chain none = {0};

	// While its input waits, that it reads is all that says it lives.
	if (c->paused)
		rs_input(&c->session, &none, *c->relay->now);
	mark_dirty(c);
}

// RSocket has no half-closed connections: a client that has finished sending has left.
void client_eof(struct tcp_conn *conn)
{
	struct client *c = tcp_user(conn);

	// One that was told why it is refused may have closed already, and reads it still.
	if (rs_session_ended(&c->session)) {
		mark_dirty(c);
		return;
	}
	rs_session_abort(&c->session);
	timer_arm(c->relay->timers, &c->timer, *c->relay->now + LINGER_TIMEOUT);
	tcp_close(conn);
}

void client_closed(struct tcp_conn *conn, int error)
{
	struct client *c = tcp_user(conn);

	(void)error;
	rs_session_fini(&c->session);
	client_free(c);
}

// Output

static void flush(struct client *c)
{
	struct chain out = {0};
	size_t room;

	while (rs_output_pending(&c->session) && (room = tcp_send_room(c->conn)) > 0) {
		if (rs_output(&c->session, &out, room) == 0)
			break;
		// After a reset nobody reads it; `closed` tells the rest.
		if (tcp_send(c->conn, &out))
			chain_clear(&out);
	}
	if (rs_session_ended(&c->session) && !rs_output_pending(&c->session))
		tcp_close(c->conn);
	else if (c->paused && !chokes(c, CLIENT_PAUSE_BYTES / 2))
		resume(c);
}

void clients_flush(struct relay *r)
{
	struct list *at;

	while ((at = list_first(&r->clients_dirty))) {
		list_del(at);
		flush(list_entry(at, struct client, dirty));
	}
}

static bool memory_short(const struct relay *r)
{
	size_t max = buf_pool_bytes_max(r->blocks);

	return loop_short(r->loop) || buf_pool_bytes(r->blocks) > max - max / 4;
}

static size_t held_bytes(const struct client *c)
{
	return rs_session_queued_bytes(&c->session) + tcp_send_queued(c->conn);
}

static struct client *most_greedy(struct relay *r)
{
	struct client *most = NULL;
	size_t most_bytes = RELIEF_BYTES_MIN;

	list_for_each (at, &r->clients) {
		struct client *c = list_entry(at, struct client, all);

		if (held_bytes(c) > most_bytes) {
			most_bytes = held_bytes(c);
			most = c;
		}
	}
	return most;
}

// Replies that nobody reads hold what all clients share; the rest must not wait for them.
void clients_relieve(struct relay *r)
{
	struct client *c;

	for (unsigned i = 0; i < RELIEF_MAX && memory_short(r); i++) {
		c = most_greedy(r);
		if (!c)
			return;
		counter_add(&r->counters.clients_cut, 1);
		tcp_abort(c->conn);
	}
}

void clients_drain(struct relay *r, bool force)
{
	list_for_each_safe (at, after, &r->clients) {
		struct client *c = list_entry(at, struct client, all);

		if (force)
			tcp_abort(c->conn);
		else
			rs_session_drain(&c->session);
	}
}
