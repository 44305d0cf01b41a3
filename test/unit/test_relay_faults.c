// SPDX-License-Identifier: Apache-2.0
// The relay when things end or change: backends and clients that go, the table under calls, drain,
// limits.
#include "test/unit/relay_world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <rte_eal.h>

#include "lib/rsocket/internal.h"

#define FOREVER 0x7fffffffu

static struct link *first_link(struct backend *b)
{
	for (unsigned i = 0; i < SERVED_MAX; i++)
		if (b->served[i].used)
			return &b->served[i].link;
	fail();
	return NULL;
}

// A backend stops reading its connections.
static void stop_reading(struct backend *b)
{
	first_link(b)->read_max = 0;
	loop_conn_pause(first_link(b)->conn, true);
}

static void go_on_reading(struct backend *b)
{
	first_link(b)->read_max = UINT64_MAX;
	loop_conn_pause(first_link(b)->conn, false);
}

static void a_target_that_is_down(void **state)
{
	struct world *w = world_new();
	struct backend *b = backend_new(w, ECHO);
	struct peer *p = peer_new(w);
	struct ask a;
	ns_t start;

	backend_unlisten(b);
	route(w, "echo", b, NULL);
	// The first call waits for the first attempt.
	ask_wait(p, &a, "echo", 1);
	assert_int_equal(a.code, RS_ERROR_REJECTED);
	assert_string_equal(a.text, "the backend was lost before the call was sent");
	world_skip(w, RELAY_HOUSEKEEPING);
	assert_int_equal(w->targets[0].connections, 0);
	assert_true(w->targets[0].error < 0);
	start = clock_now();
	for (unsigned i = 0; i < 10; i++) {
		ask_wait(p, &a, "echo", 1);
		assert_int_equal(a.code, RS_ERROR_REJECTED);
		assert_string_equal(a.text, "no backend of echo can be reached");
	}
	assert_true(clock_now() - start < NS_PER_SEC);
	assert_int_equal(w->relay.counters.drop_unsent, 1);
	assert_int_equal(w->relay.counters.drop_targets_down, 10);
	backend_listen(b);
	do
		ask_wait(p, &a, "echo", 1);
	while (a.code);
	assert_int_equal(a.items, 1);
	assert_int_equal(w->targets[0].error, 0);
	assert_int_equal(w->targets[0].connections, 1);
	// The next target with its id does not inherit its error.
	backend_unlisten(b);
	backend_cut(b);
	RUN_UNTIL(w, w->targets[0].error < 0);
	unroute(w, "echo");
	world_skip(w, RELAY_HOUSEKEEPING);
	RUN_UNTIL(w, w->targets[0].dialled == 0);
	assert_int_equal(w->targets[0].error, 0);
	world_expect_idle(w);
	peer_free(p);
	world_free(w);
}

// Rule 80: what was sent may have had effects, what was not is safe to try again.
static void a_backend_dies_with_calls_in_flight(void **state)
{
	enum { SENT = 20, LATE = 20 };
	struct world *w = world_new();
	struct backend *b = backend_new(w, SILENT);
	struct peer *p = peer_new(w);
	struct ask sent[SENT] = {0}, late[LATE] = {0}, stream = {0}, a;
	unsigned canceled = 0, rejected = 0;

	route(w, "f", b, NULL);
	for (unsigned i = 0; i < SENT; i++)
		ask(p, &sent[i], "f", 0, 10);
	ask(p, &stream, "f", 5, 10);
	RUN_UNTIL(w, b->held == SENT + 1);
	stop_reading(b);
	for (unsigned i = 0; i < LATE; i++)
		ask(p, &late[i], "f", 0, 1u << 20);
	RUN_UNTIL(w, w->relay.calls_in_flight == SENT + 1 + LATE);
	world_run(w, 20 * NS_PER_MS);
	backend_unlisten(b);
	backend_cut(b);
	RUN_UNTIL(w, w->relay.calls_in_flight == 0);
	RUN_UNTIL(w, !late[LATE - 1].stream && !stream.stream);
	for (unsigned i = 0; i < SENT; i++)
		assert_int_equal(sent[i].code, RS_ERROR_CANCELED);
	assert_int_equal(stream.code, RS_ERROR_CANCELED);
	for (unsigned i = 0; i < LATE; i++) {
		canceled += late[i].code == RS_ERROR_CANCELED;
		rejected += late[i].code == RS_ERROR_REJECTED;
	}
	assert_int_equal(canceled + rejected, LATE);
	assert_true(rejected > 0);
	assert_int_equal(w->relay.counters.calls_canceled, SENT + 1 + canceled);
	assert_int_equal(w->relay.counters.drop_unsent, rejected);
	world_expect_idle(w);
	b->mode = ECHO;
	backend_listen(b);
	RUN_UNTIL(w, w->targets[0].connections == 1);
	ask_wait(p, &a, "f", 10);
	assert_int_equal(a.items, 1);
	assert_int_equal(p->code, 0);
	peer_free(p);
	world_free(w);
}

static void others_never_notice(void **state)
{
	struct world *w = world_new();
	struct backend *b[3] = {backend_new(w, ECHO), backend_new(w, ECHO), backend_new(w, ECHO)};
	struct peer *p = peer_new(w);
	struct ask a;
	unsigned before;

	route(w, "echo", b[0], b[1], b[2], NULL);
	RUN_UNTIL(w, (ask_wait(p, &a, "echo", 1), w->relay.counters.upstream_up == 3));
	backend_unlisten(b[1]);
	backend_cut(b[1]);
	RUN_UNTIL(w, w->relay.counters.upstream_down > 0);
	before = b[1]->received;
	for (unsigned i = 0; i < 200; i++) {
		ask_wait(p, &a, "echo", 1);
		assert_int_equal(a.items, 1);
	}
	assert_int_equal(b[1]->received, before);
	backend_listen(b[1]);
	RUN_UNTIL(w, (ask_wait(p, &a, "echo", 1), b[1]->received > before));
	world_expect_idle(w);
	assert_int_equal(w->relay.counters.calls_ok, w->relay.counters.calls);
	peer_free(p);
	world_free(w);
}

// Neither a target in back-off nor one that does not answer the connection takes a call while
// another is up.
static void a_target_that_is_up_comes_first(void **state)
{
	struct world *w = world_new();
	struct backend *up = backend_new(w, ECHO), *down = backend_new(w, ECHO),
		       *hole = backend_new(w, ECHO);
	struct peer *p = peer_new(w);
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int listener, fill[2];
	struct ask a;
	ns_t start;

	backend_unlisten(down);
	backend_unlisten(hole);
	// Its backlog is full: who connects waits.
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", strchr(hole->address, '/'));
	unlink(addr.sun_path);
	listener = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(listener, 0), 0);
	for (unsigned i = 0; i < 2; i++) {
		fill[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(fill[i], (struct sockaddr *)&addr, sizeof(addr));
	}
	route(w, "first", up, NULL);
	route(w, "echo", up, down, hole, NULL);
	ask_wait(p, &a, "first", 1);
	start = clock_now();
	for (unsigned i = 0; i < 50; i++) {
		ask_wait(p, &a, "echo", 1);
		assert_int_equal(a.items, 1);
	}
	assert_true(clock_now() - start < LINK_CONNECT_TIMEOUT);
	assert_int_equal(up->received, 51);
	world_expect_idle(w);
	for (unsigned i = 0; i < 2; i++)
		close(fill[i]);
	close(listener);
	unlink(addr.sun_path);
	peer_free(p);
	world_free(w);
}

// A backend that announces its end takes no new calls; the old ones go on, new ones get another
// connection.
static void a_backend_that_drains(void **state)
{
	struct world *w = world_new();
	struct backend *b = backend_new(w, SILENT);
	struct peer *p = peer_new(w);
	struct ask old = {0}, a = {0};

	route(w, "f", b, NULL);
	ask(p, &old, "f", 0, 10);
	RUN_UNTIL(w, b->held == 1);
	// CONNECTION_CLOSE, as rule 79 means it: what is outstanding is answered.
	rs_ready_error(&first_link(b)->session, 0, RS_ERROR_CONNECTION_CLOSE, "going");
	world_run(w, 10 * NS_PER_MS);
	ask(p, &a, "f", 0, 10);
	RUN_UNTIL(w, b->held == 2);
	assert_int_equal(b->accepted, 2);
	assert_non_null(old.stream);
	backend_answer(b, 7);
	RUN_UNTIL(w, !old.stream);
	assert_int_equal(old.bytes, 7);
	RUN_UNTIL(w, backend_connections(b) == 1);
	assert_non_null(a.stream);
	backend_answer(b, 8);
	RUN_UNTIL(w, !a.stream);
	assert_int_equal(a.bytes, 8);
	assert_int_equal(w->targets[0].connections, 1);
	world_expect_idle(w);
	peer_free(p);
	world_free(w);
}

static void a_client_leaves_with_calls_in_flight(void **state)
{
	struct world *w = world_new();
	struct backend *b = backend_new(w, SILENT), *c = backend_new(w, COUNT);
	struct ask a[40] = {0};

	route(w, "f", b, NULL);
	route(w, "count", c, NULL);
	c->count_items = 1000000;
	c->count_bytes = 2000;
	for (unsigned round = 0; round < 2; round++) {
		struct peer *p = peer_new(w);

		memset(a, 0, sizeof(a));
		for (unsigned i = 0; i < 20; i++)
			ask(p, &a[i], "f", i % 2, 10);
		for (unsigned i = 20; i < 40; i++)
			ask(p, &a[i], "count", FOREVER, 10);
		RUN_UNTIL(w, b->held == 20 && c->held == 20 && a[39].items > 10);
		if (round == 0)
			peer_free(p);
		else
			peer_reset(p);
		RUN_UNTIL(w, b->held == 0 && c->held == 0);
		assert_int_equal(b->cancels, 20 * (round + 1));
		assert_int_equal(c->cancels, 20 * (round + 1));
		world_expect_idle(w);
	}
	assert_int_equal(w->relay.clients_count, 0);
	assert_int_equal(w->relay.counters.calls_abandoned, 80);
	assert_int_equal(backend_connections(b), 1);
	world_free(w);
}

// Calls under way stay with the target they were sent to; new ones go to the new one.
static void the_table_changes_under_calls(void **state)
{
	struct world *w = world_new();
	struct backend *old = backend_new(w, SILENT), *new = backend_new(w, SILENT);
	struct peer *p = peer_new(w);
	struct ask a = {0}, b = {0}, c;

	route(w, "f", old, NULL);
	ask(p, &a, "f", 0, 10);
	RUN_UNTIL(w, old->held == 1);
	route(w, "f", new, NULL);
	ask(p, &b, "f", 0, 10);
	RUN_UNTIL(w, new->held == 1);
	world_skip(w, RELAY_HOUSEKEEPING);
	world_run(w, 5 * NS_PER_MS);
	assert_int_equal(backend_connections(old), 1);
	unroute(w, "f");
	ask_wait(p, &c, "f", 1);
	assert_string_equal(c.text, "no such function: f");
	// The same name again: statistics of the one before do not count for it.
	route(w, "f", new, NULL);
	backend_answer(old, 1);
	backend_answer(new, 2);
	RUN_UNTIL(w, !a.stream && !b.stream);
	assert_int_equal(a.bytes, 1);
	assert_int_equal(b.bytes, 2);
	new->mode = ECHO;
	ask_wait(p, &c, "f", 3);
	assert_int_equal(c.bytes, 3);
	world_skip(w, RELAY_HOUSEKEEPING);
	RUN_UNTIL(w, backend_connections(old) == 0);
	world_expect_idle(w);
	assert_int_equal(w->relay.counters.calls_ok, 3);
	peer_free(p);
	world_free(w);
}

static unsigned count_targets(struct world *w)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < TARGETS_MAX; i++)
		n += w->targets[i].dialled > 0;
	return n;
}

// Many changes under load: no call is lost, and what is gone is forgotten.
static void changes_under_load_lose_no_call(void **state)
{
	enum { CHANGES = 300 };
	struct world *w = world_new();
	struct backend *b[3] = {backend_new(w, ECHO), backend_new(w, ECHO), backend_new(w, ECHO)};
	struct peer *p = peer_new(w);
	struct ask *a = calloc(CHANGES, sizeof(*a));

	route(w, "f", b[0], b[1], NULL);
	for (unsigned i = 0; i < CHANGES; i++) {
		ask(p, &a[i], "f", 0, 100);
		world_step(w);
		if (i % 3 == 0)
			route(w, "f", b[i / 3 % 3], NULL);
		else if (i % 3 == 1)
			route(w, "f", b[i / 3 % 3], b[(i / 3 + 1) % 3], NULL);
		if (i % 50 == 0)
			world_skip(w, RELAY_HOUSEKEEPING);
	}
	RUN_UNTIL(w, w->relay.calls_in_flight == 0);
	world_run(w, 5 * NS_PER_MS);
	for (unsigned i = 0; i < CHANGES; i++)
		assert_int_equal(a[i].completes, 1);
	world_skip(w, RELAY_HOUSEKEEPING);
	world_run(w, 20 * NS_PER_MS);
	table_reclaim(w->table);
	assert_true(count_targets(w) <= 2);
	world_expect_idle(w);
	peer_free(p);
	free(a);
	world_free(w);
}

// What was taken is delivered, though its function is gone meanwhile.
static void fire_and_forget_outlives_its_route(void **state)
{
	struct world *w = world_new();
	struct backend *b = backend_new(w, ECHO);
	struct peer *p = peer_new(w);
	struct ask a;

	route(w, "log", b, NULL);
	ask_wait(p, &a, "log", 1);
	stop_reading(b);
	for (unsigned i = 0; i < 10; i++)
		ask_fnf(p, "log", 1u << 20);
	RUN_UNTIL(w, w->relay.counters.calls_ok == 11);
	unroute(w, "log");
	world_skip(w, RELAY_HOUSEKEEPING);
	world_run(w, 20 * NS_PER_MS);
	go_on_reading(b);
	RUN_UNTIL(w, b->fnfs == 10);
	world_skip(w, RELAY_HOUSEKEEPING);
	RUN_UNTIL(w, backend_connections(b) == 0);
	world_expect_idle(w);
	peer_free(p);
	world_free(w);
}

// One of a target's connections fails and is given up, the other stays: one is counted, and its
// error gone.
static void connections_are_counted_once(void **state)
{
	struct world *w = world_new();
	struct backend *b = backend_new(w, ECHO);
	struct peer *p = peer_new(w), *q = peer_new_mime(w, "message/x.rsocket.routing.v0", "a/b");
	struct ask a;

	route(w, "echo", b, NULL);
	ask_wait(p, &a, "echo", 1);
	ask_wait(q, &a, "echo", 1);
	assert_int_equal(w->targets[0].connections, 2);
	backend_unlisten(b);
	loop_abort(first_link(b)->conn);
	RUN_UNTIL(w, w->targets[0].connections == 1);
	world_skip(w, UPSTREAM_IDLE - NS_PER_SEC);
	ask_wait(q, &a, "echo", 1);
	assert_int_equal(a.items, 1);
	world_skip(w, 2 * NS_PER_SEC);
	RUN_UNTIL(w, w->targets[0].dialled == 1);
	assert_int_equal(w->targets[0].connections, 1);
	world_expect_idle(w);
	peer_free(p);
	peer_free(q);
	world_free(w);
}

// Raw bytes instead of a session.
static struct peer *raw_peer(struct world *w, const void *bytes, uint32_t len)
{
	struct peer *p = peer_new(w);
	struct chain out = {0};

	rs_session_abort(&p->session);
	p->session.state = 0; // not ended: the test itself closes
	p->hold = true;
	RUN_UNTIL(w, p->connected);
	chain_push(&out, NULL, bytes, len);
	tcp_send(p->conn, &out);
	return p;
}

// Calls under way end, new ones are rejected, then the client is told and all is closed.
static void drain(void **state)
{
	struct world *w = world_new();
	struct backend *b = backend_new(w, SILENT);
	struct peer *p = peer_new(w), *idle = peer_new(w), *early = raw_peer(w, "", 0);
	struct ask a = {0}, late;

	route(w, "f", b, NULL);
	ask(p, &a, "f", 0, 10);
	RUN_UNTIL(w, b->held == 1 && w->relay.clients_count == 3);
	assert_false(relay_drain(&w->relay, false));
	RUN_UNTIL(w, (relay_drain(&w->relay, false), !idle->conn));
	assert_int_equal(idle->code, RS_ERROR_CONNECTION_CLOSE);
	assert_false(relay_drain(&w->relay, false));
	ask_wait(p, &late, "f", 1);
	assert_int_equal(late.code, RS_ERROR_REJECTED);
	backend_answer(b, 5);
	RUN_UNTIL(w, relay_drain(&w->relay, false));
	assert_int_equal(a.bytes, 5);
	assert_int_equal(p->code, RS_ERROR_CONNECTION_CLOSE);
	assert_int_equal(w->relay.clients_count, 0);
	peer_free(p);
	peer_free(idle);
	peer_free(early);
	world_free(w);
}

static void drain_by_force(void **state)
{
	struct world *w = world_new();
	struct backend *b = backend_new(w, SILENT);
	struct peer *p = peer_new(w);
	struct ask a = {0};

	route(w, "f", b, NULL);
	ask(p, &a, "f", 0, 10);
	RUN_UNTIL(w, b->held == 1);
	assert_false(relay_drain(&w->relay, false));
	world_run(w, 5 * NS_PER_MS);
	relay_drain(&w->relay, true);
	RUN_UNTIL(w, relay_drain(&w->relay, true));
	RUN_UNTIL(w, b->cancels + b->losses == 1);
	RUN_UNTIL(w, !p->conn);
	assert_int_equal(p->error, -ECONNRESET);
	assert_int_equal(a.losses, 1);
	peer_free(p);
	world_free(w);
}

// Who says something else than SETUP, and has closed already, still reads why it is refused (rule
// 24).
static void garbage_and_silence(void **state)
{
	static const uint8_t payload[] = {0, 0, 7, 0, 0, 0, 1, 0x28, 0x60, 'x'};
	struct world *w = world_new();
	struct peer *p = raw_peer(w, payload, sizeof(payload)), *mute;
	uint8_t got[16];

	tcp_close(p->conn);
	RUN_UNTIL(w, !p->conn);
	assert_int_equal(p->error, 0);
	assert_true(p->unread.len > 13);
	chain_read(&p->unread, 0, got, sizeof(got));
	assert_int_equal(got[7] << 8 | got[8], RS_ERROR << 10);
	assert_int_equal(got[12], RS_ERROR_INVALID_SETUP);
	assert_int_equal(w->relay.counters.clients_refused_setup, 1);
	peer_free(p);

	mute = raw_peer(w, payload, 0);
	RUN_UNTIL(w, w->relay.clients_count == 1);
	world_skip(w, SETUP_TIMEOUT + NS_PER_MS);
	RUN_UNTIL(w, mute->unread.len > 13);
	assert_int_equal(w->relay.counters.clients_no_setup, 1);
	assert_int_equal(w->relay.counters.clients_refused_setup, 1);
	// It does not close its side: reset in the end.
	world_skip(w, LINGER_TIMEOUT + NS_PER_MS);
	RUN_UNTIL(w, !mute->conn);
	assert_int_equal(w->relay.clients_count, 0);
	peer_free(mute);
	world_expect_idle(w);
	world_free(w);
}

static void a_silent_client_is_closed(void **state)
{
	struct world *w = world_new();
	struct backend *b = backend_new(w, SILENT);
	struct peer *p = peer_new(w);
	struct ask a = {0};

	route(w, "f", b, NULL);
	ask(p, &a, "f", 0, 1);
	RUN_UNTIL(w, b->held == 1);
	world_skip(w, 89 * NS_PER_SEC);
	world_run(w, 5 * NS_PER_MS);
	assert_non_null(p->conn);
	world_skip(w, 2 * NS_PER_SEC);
	RUN_UNTIL(w, !p->conn);
	assert_int_equal(p->code, RS_ERROR_CONNECTION);
	RUN_UNTIL(w, b->cancels == 1);
	assert_int_equal(w->relay.counters.clients_failed, 1);
	world_expect_idle(w);
	peer_free(p);
	world_free(w);
}

// Limits

#define PAIRS (MIME_PAIRS_MAX - 1) // one is for connections to our hosts

static void mime_pairs(void **state)
{
	struct world *w = world_new();
	struct peer *p[PAIRS], *more;
	static char types[PAIRS + 1][16];

	for (unsigned i = 0; i <= PAIRS; i++)
		snprintf(types[i], sizeof(types[i]), "test/%u", i);
	for (unsigned i = 0; i < PAIRS; i++)
		p[i] = peer_new_mime(w, "a/b", types[i]);
	RUN_UNTIL(w, w->relay.counters.clients_opened == PAIRS);
	world_run(w, 5 * NS_PER_MS);
	assert_int_equal(w->relay.counters.clients_refused_setup, 0);
	more = peer_new_mime(w, "a/b", types[PAIRS]);
	RUN_UNTIL(w, !more->conn);
	assert_int_equal(more->code, RS_ERROR_REJECTED_SETUP);
	assert_int_equal(w->relay.counters.clients_refused_setup, 1);
	peer_free(more);
	// A pair in use is no new one; a free place is used again.
	more = peer_new_mime(w, "a/b", types[7]);
	world_run(w, 5 * NS_PER_MS);
	assert_non_null(more->conn);
	peer_free(more);
	peer_free(p[3]);
	world_run(w, 5 * NS_PER_MS);
	p[3] = peer_new_mime(w, "a/b", types[PAIRS]);
	world_run(w, 5 * NS_PER_MS);
	assert_non_null(p[3]->conn);
	assert_int_equal(w->relay.counters.clients_refused_setup, 1);
	for (unsigned i = 0; i < PAIRS; i++)
		peer_reset(p[i]);
	world_free(w);
}

static void clients_and_calls(void **state)
{
	struct world *w = world_new();
	struct backend *b = backend_new(w, SILENT);
	struct peer *p = peer_new(w), *q;
	struct ask a[3] = {0}, x;

	route(w, "f", b, NULL);
	ask(p, &a[0], "f", 0, 1);
	RUN_UNTIL(w, b->held == 1);
	// As if all others had been used.
	w->relay.clients_touched = CLIENTS_MAX;
	q = peer_new(w);
	RUN_UNTIL(w, !q->conn);
	assert_int_equal(w->relay.counters.clients_refused_full, 1);
	peer_free(q);
	w->relay.calls_touched = CALLS_MAX;
	ask_wait(p, &x, "f", 1);
	assert_int_equal(x.code, RS_ERROR_REJECTED);
	assert_int_equal(w->relay.counters.drop_calls_full, 1);
	backend_answer(b, 1);
	RUN_UNTIL(w, !a[0].stream);
	ask(p, &a[1], "f", 0, 1);
	RUN_UNTIL(w, b->held == 1);
	backend_answer(b, 1);
	RUN_UNTIL(w, !a[1].stream);
	world_expect_idle(w);
	peer_free(p);
	world_free(w);
}

static void calls_of_an_upstream_connection(void **state)
{
	struct world *w = world_new();
	struct backend *b = backend_new(w, SILENT);
	struct peer *p[2] = {peer_new(w), peer_new(w)};
	struct ask *a = calloc(UPSTREAM_CALLS_MAX, sizeof(*a)), x;

	route(w, "f", b, NULL);
	for (unsigned i = 0; i < UPSTREAM_CALLS_MAX; i++) {
		ask(p[i % 2], &a[i], "f", 0, 1);
		if (i % 256 == 0)
			world_step(w);
	}
	RUN_UNTIL(w, b->held == UPSTREAM_CALLS_MAX);
	ask_wait(p[0], &x, "f", 1);
	assert_int_equal(x.code, RS_ERROR_REJECTED);
	assert_string_equal(x.text, "the queue of f is full");
	assert_int_equal(w->relay.counters.drop_queue_full, 1);
	while (b->held)
		backend_answer(b, 1);
	RUN_UNTIL(w, w->relay.calls_in_flight == 0);
	world_expect_idle(w);
	assert_int_equal(w->relay.counters.calls_ok, UPSTREAM_CALLS_MAX);
	peer_free(p[0]);
	peer_free(p[1]);
	free(a);
	world_free(w);
}

// A backend that does not read: what is above its queue is rejected, memory stays bounded, nobody
// else waits.
static void the_queue_of_a_backend_that_stops_reading(void **state)
{
	enum { CALLS = 90 };
	struct world *w = world_new();
	struct backend *b = backend_new(w, SILENT), *e = backend_new(w, ECHO);
	struct peer *p = peer_new(w);
	struct ask a[CALLS] = {0}, x;
	unsigned rejected = 0;

	route(w, "f", b, NULL);
	route(w, "echo", e, NULL);
	ask(p, &a[0], "f", 0, 1);
	RUN_UNTIL(w, b->held == 1);
	stop_reading(b);
	for (unsigned i = 1; i < CALLS; i++) {
		ask(p, &a[i], "f", 0, 1u << 20);
		RUN_UNTIL(w, w->relay.counters.calls == i + 1);
	}
	RUN_UNTIL(w, w->relay.counters.drop_queue_full > 0);
	assert_true(buf_pool_bytes(w->relay.blocks) < UPSTREAM_QUEUE_BYTES_MAX * 5 / 4);
	ask_wait(p, &x, "echo", 100);
	assert_int_equal(x.items, 1);
	for (unsigned i = 1; i < CALLS; i++)
		rejected += a[i].code == RS_ERROR_REJECTED;
	assert_int_equal(rejected, w->relay.counters.drop_queue_full);
	go_on_reading(b);
	RUN_UNTIL(w, b->held == CALLS - rejected);
	while (b->held)
		backend_answer(b, 1);
	RUN_UNTIL(w, w->relay.calls_in_flight == 0);
	world_expect_idle(w);
	peer_free(p);
	world_free(w);
}

int main(void)
{
	char *args[] = {"test-relay-faults", "--no-huge", "--no-pci", "--no-shconf", "-m", "64",
		"--log-level", "critical", NULL};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_target_that_is_down),
		cmocka_unit_test(a_backend_dies_with_calls_in_flight),
		cmocka_unit_test(others_never_notice),
		cmocka_unit_test(a_target_that_is_up_comes_first),
		cmocka_unit_test(a_backend_that_drains),
		cmocka_unit_test(a_client_leaves_with_calls_in_flight),
		cmocka_unit_test(the_table_changes_under_calls),
		cmocka_unit_test(changes_under_load_lose_no_call),
		cmocka_unit_test(fire_and_forget_outlives_its_route),
		cmocka_unit_test(connections_are_counted_once),
		cmocka_unit_test(drain),
		cmocka_unit_test(drain_by_force),
		cmocka_unit_test(garbage_and_silence),
		cmocka_unit_test(a_silent_client_is_closed),
		cmocka_unit_test(mime_pairs),
		cmocka_unit_test(clients_and_calls),
		cmocka_unit_test(calls_of_an_upstream_connection),
		cmocka_unit_test(the_queue_of_a_backend_that_stops_reading),
	};

	if (rte_eal_init(8, args) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
