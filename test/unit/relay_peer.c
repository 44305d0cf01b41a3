// SPDX-License-Identifier: Apache-2.0
// See relay_world.h: the clients.
#include "test/unit/relay_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUTING "message/x.rsocket.routing.v0"
#define OCTETS "application/octet-stream"

static const uint8_t filler[1 << 20];

void world_fill(struct chain *c, size_t bytes)
{
	for (size_t n; bytes; bytes -= n) {
		n = bytes < sizeof(filler) ? bytes : sizeof(filler);
		chain_push(c, NULL, filler, (uint32_t)n);
	}
}

static struct ask *ask_of(struct rs_stream *stream)
{
	return stream->user;
}

void ask_on_payload(
	struct rs_stream *stream, struct rs_message *message, bool next, bool complete)
{
	struct ask *a = ask_of(stream);
	uint8_t number[4];

	if (next) {
		if (a->numbered) {
			assert_int_equal(chain_read(&message->data, 0, number, 4), 4);
			assert_int_equal(
				number[0] << 24 | number[1] << 16 | number[2] << 8 | number[3],
				a->items);
		}
		a->items++;
		a->bytes += message->data.len;
		a->has_metadata = message->has_metadata;
	}
	a->completes += complete;
	if (complete)
		a->stream = NULL;
	if (stream->type == RS_REQUEST_STREAM)
		assert_true(a->items <= a->asked); // rule 53
	if (!complete && a->cancel_on_item) {
		rs_cancel(stream);
		a->stream = NULL;
	} else if (!complete && a->refill && a->items == a->asked) {
		a->asked += a->refill;
		rs_request_n(stream, a->refill);
	}
}

void ask_on_error(struct rs_stream *stream, uint32_t code, struct chain *text)
{
	struct ask *a = ask_of(stream);
	size_t n = chain_read(text, 0, a->text, sizeof(a->text) - 1);

	a->text[n] = '\0';
	a->code = code;
	a->errors++;
	a->stream = NULL;
}

void ask_on_lost(struct rs_stream *stream, bool sent)
{
	struct ask *a = ask_of(stream);

	a->losses++;
	a->stream = NULL;
}

static void on_peer_closed(struct rs_session *s, uint32_t code, const char *why)
{
	struct peer *p = container_of(s, struct peer, session);

	p->code = code;
	snprintf(p->why, sizeof(p->why), "%s", why);
}

void peer_flush(struct peer *p)
{
	struct chain out = {0};

	while (p->conn && p->connected && rs_output_pending(&p->session) &&
		tcp_send_room(p->conn) > 0) {
		if (rs_output(&p->session, &out, tcp_send_room(p->conn)) == 0)
			break;
		tcp_send(p->conn, &out);
	}
	if (p->conn && p->connected && rs_session_ended(&p->session))
		tcp_close(p->conn);
}

// Each step flushes all.
static void on_peer_wake(struct rs_session *s)
{
	(void)s;
}

static const struct rs_handler peer_handler = {
	.wake = on_peer_wake,
	.payload = ask_on_payload,
	.error = ask_on_error,
	.lost = ask_on_lost,
	.closed = on_peer_closed,
};

static bool on_peer_connected(struct tcp_conn *conn, void *user)
{
	struct peer *p = user;

	tcp_set_user(conn, p);
	p->connected = true;
	peer_flush(p);
	return true;
}

static void on_peer_data(struct tcp_conn *conn, struct chain *data)
{
	struct peer *p = tcp_user(conn);
	size_t bytes = data->len;

	if (p->hold) {
		chain_append(&p->unread, data);
		return;
	}
	rs_input(&p->session, data, p->world->now);
	tcp_consumed(conn, bytes);
	peer_flush(p);
}

static void on_peer_writable(struct tcp_conn *conn)
{
	peer_flush(tcp_user(conn));
}

static void on_peer_eof(struct tcp_conn *conn)
{
	struct peer *p = tcp_user(conn);

	rs_session_abort(&p->session);
	tcp_close(conn);
}

static void on_peer_tcp_closed(struct tcp_conn *conn, int error)
{
	struct peer *p = tcp_user(conn);

	p->error = error;
	p->conn = NULL;
	rs_session_abort(&p->session);
}

const struct tcp_ops peer_ops = {
	on_peer_connected, on_peer_data, on_peer_writable, on_peer_eof, on_peer_tcp_closed};

struct peer *peer_new_mime(struct world *w, const char *metadata_mime, const char *data_mime)
{
	struct peer *p = calloc(1, sizeof(*p));
	struct rs_config config = {
		.role = RS_CLIENT,
		.handler = &peer_handler,
		.pool = w->client_pool,
		.keepalive_ms = 20000,
		.lifetime_ms = 90000,
		.metadata_mime = metadata_mime,
		.data_mime = data_mime,
	};
	struct tcp_connect to = {.remote_port = GATEWAY_PORT, .ops = &peer_ops, .user = p};

	p->world = w;
	list_push(&w->peers, &p->all);
	ip_parse("10.77.0.1", &to.local);
	ip_parse("10.77.0.2", &to.remote);
	assert_int_equal(rs_session_init(&p->session, &config, w->now), 0);
	assert_int_equal(tcp_connect(w->clients, &to, w->now, &p->conn), 0);
	tcp_set_user(p->conn, p);
	return p;
}

struct peer *peer_new(struct world *w)
{
	return peer_new_mime(w, ROUTING, OCTETS);
}

void peer_free(struct peer *p)
{
	struct world *w = p->world;

	rs_session_fini(&p->session);
	chain_clear(&p->unread);
	p->hold = false;
	if (p->conn)
		tcp_close(p->conn);
	RUN_UNTIL(w, !p->conn);
	list_del(&p->all);
	free(p);
}

void peer_reset(struct peer *p)
{
	struct world *w = p->world;

	rs_session_fini(&p->session);
	chain_clear(&p->unread);
	if (p->conn)
		tcp_abort(p->conn);
	list_del(&p->all);
	free(p);
	world_step(w);
}

void peer_read(struct peer *p)
{
	size_t bytes = p->unread.len;

	p->hold = false;
	rs_input(&p->session, &p->unread, p->world->now);
	tcp_consumed(p->conn, bytes);
	peer_flush(p);
}

static void make_request(struct rs_message *message, const char *function, size_t bytes)
{
	static const uint8_t lengths[] = {
		0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20};
	uint32_t len = (uint32_t)strlen(function);

	message->has_metadata = true;
	chain_push(&message->metadata, NULL, &lengths[len], 1);
	chain_push(&message->metadata, NULL, (const uint8_t *)function, len);
	world_fill(&message->data, bytes);
}

void ask(struct peer *p, struct ask *a, const char *function, uint32_t n, size_t bytes)
{
	struct rs_message message = {0};
	int error;

	a->asked = n;
	make_request(&message, function, bytes);
	a->stream = rs_request(
		&p->session, n ? RS_REQUEST_STREAM : RS_REQUEST_RESPONSE, n, &message, a, &error);
	assert_non_null(a->stream);
	peer_flush(p);
}

void ask_fnf(struct peer *p, const char *function, size_t bytes)
{
	struct rs_message message = {0};

	make_request(&message, function, bytes);
	assert_int_equal(rs_fire_and_forget(&p->session, &message), 0);
	peer_flush(p);
}

void ask_wait(struct peer *p, struct ask *a, const char *function, size_t bytes)
{
	*a = (struct ask){0};
	ask(p, a, function, 0, bytes);
	RUN_UNTIL(p->world, !a->stream);
}
