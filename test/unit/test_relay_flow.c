// SPDX-License-Identifier: Apache-2.0
// The relay's back pressure: credits of streams pass from clients to backends as far as windows
// allow, clients that do not read hold up nobody else, and what they make wait is bounded.
#include "test/unit/relay_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>

#include "dataplane/ledger.h"

#define FOREVER 0x7fffffffu
#define SEGMENT 9000u

// The ledger alone

static void the_ledger_begins_small_and_learns(void **state)
{
	struct ledger l;

	assert_int_equal(ledger_open(&l, 1000, 0, STREAM_WINDOW_BYTES), 2);
	assert_int_equal(ledger_pass(&l, 0, STREAM_WINDOW_BYTES), 0);
	ledger_arrived(&l, 1024);
	assert_true(ledger_due(&l));
	// One on its way; one more may be for each that has come.
	assert_int_equal(ledger_pass(&l, 1024, STREAM_WINDOW_BYTES), 2);
	for (unsigned i = 0; i < 3; i++)
		ledger_arrived(&l, 1024);
	assert_int_equal(ledger_pass(&l, 0, STREAM_WINDOW_BYTES), 6);
	assert_int_equal(l.wanted, 1000 - 2 - 2 - 6);
	// A service whose items are known begins with as many as fit, at most STREAM_FIRST_ITEMS.
	assert_int_equal(ledger_open(&l, 1000, 64u << 10, STREAM_WINDOW_BYTES), 4);
	assert_int_equal(ledger_open(&l, 1000, 100, STREAM_WINDOW_BYTES), STREAM_FIRST_ITEMS);
	assert_int_equal(ledger_open(&l, 1000, 15u << 20, STREAM_WINDOW_BYTES), 1);
	assert_int_equal(ledger_open(&l, 3, 100, STREAM_WINDOW_BYTES), 3);
}

static void the_ledger_never_overflows(void **state)
{
	struct ledger l;

	// Sums stop at 2^31-1 (rule 54).
	ledger_open(&l, FOREVER, 0, STREAM_WINDOW_BYTES);
	for (unsigned i = 0; i < 5; i++)
		ledger_grant(&l, FOREVER);
	assert_int_equal(l.wanted, FOREVER);
	for (unsigned i = 0; i < 100000; i++) {
		ledger_arrived(&l, SIZE_MAX / 2);
		assert_true(ledger_pass(&l, 0, STREAM_WINDOW_BYTES) <= 1);
	}
	assert_true(l.outstanding <= 1);
}

// Whatever comes in which order: within the window, and never stuck.
static void the_ledger_never_stalls(void **state)
{
	struct rng rng;

	rng_seed(&rng, 7);
	for (unsigned round = 0; round < 500; round++) {
		uint32_t granted = 1 + rng_below(&rng, 50), asked, came = 0, total = 300;
		size_t item = 1 + rng_below(&rng, 400000), queued[300] = {0}, bytes = 0;
		uint32_t first = 0, last = 0;
		struct ledger l;

		asked = ledger_open(
			&l, granted, rng_below(&rng, 2) ? (uint32_t)item : 0, STREAM_WINDOW_BYTES);
		while (first < total) {
			bool moved = false;

			assert_true(asked <= granted);
			if (came < total && (came < asked || rng_below(&rng, 40) == 0)) {
				// Now and then one that nobody asked for.
				queued[last] = item;
				bytes += queued[last++];
				came++;
				ledger_arrived(&l, item);
				asked += ledger_due(&l)
						 ? ledger_pass(&l, bytes, STREAM_WINDOW_BYTES)
						 : 0;
				moved = true;
			}
			if (first < last && first < granted && rng_below(&rng, 2)) {
				bytes -= queued[first++];
				asked += ledger_due(&l)
						 ? ledger_pass(&l, bytes, STREAM_WINDOW_BYTES)
						 : 0;
				moved = true;
			}
			if (first == granted && granted < total) {
				ledger_grant(&l, 7);
				granted += 7;
				asked += ledger_pass(&l, bytes, STREAM_WINDOW_BYTES);
				moved = true;
			}
			// Nothing on its way, nothing queued: then it is not the ledger's fault.
			if (!moved && first == last)
				assert_true(came < asked || came == total);
		}
	}
}

// Through the relay

static void small_credits_are_exact(void **state)
{
	struct world *w = world_new();
	struct backend *b = backend_new(w, COUNT);
	struct peer *p = peer_new(w);
	struct ask a = {.refill = 3, .numbered = true}, ten = {.numbered = true};

	route(w, "count", b, NULL);
	b->count_items = 100;
	ask(p, &a, "count", 3, 0);
	RUN_UNTIL(w, !a.stream);
	assert_int_equal(a.items, 100);
	assert_int_equal(a.completes, 1);
	assert_true(b->granted_ahead_max <= 3);
	assert_true(b->granted <= a.asked);
	// Ten of a hundred, and no more, until more are asked for.
	b->granted = 0;
	ask(p, &ten, "count", 10, 0);
	RUN_UNTIL(w, ten.items == 10);
	world_run(w, 20 * NS_PER_MS);
	assert_int_equal(ten.items, 10);
	assert_int_equal(b->granted, 10);
	ten.asked += 5;
	rs_request_n(ten.stream, 5);
	world_step(w);
	RUN_UNTIL(w, ten.items == 15);
	assert_int_equal(b->granted, 15);
	rs_cancel(ten.stream);
	RUN_UNTIL(w, b->cancels == 1);
	world_expect_idle(w);
	assert_int_equal(w->relay.counters.calls_abandoned, 1);
	assert_int_equal(w->relay.counters.calls_ok, 1);
	assert_int_equal(w->relay.counters.items, 115);
	peer_free(p);
	world_free(w);
}

static void a_long_stream_of_unbounded_credit(void **state)
{
	struct world *w = world_new();
	struct backend *b = backend_new(w, COUNT);
	struct peer *p = peer_new(w);
	struct ask a = {.numbered = true};

	route(w, "count", b, NULL);
	b->count_items = 100000;
	ask(p, &a, "count", FOREVER, 0);
	RUN_UNTIL(w, !a.stream);
	assert_int_equal(a.items, 100000);
	world_expect_idle(w);
	peer_free(p);
	world_free(w);
}

static void cancel_in_the_middle(void **state)
{
	struct world *w = world_new();
	struct backend *b = backend_new(w, COUNT);
	struct peer *p = peer_new(w);
	struct ask a = {.cancel_on_item = true}, x = {0};

	route(w, "count", b, NULL);
	b->count_items = 1000000;
	b->count_bytes = 1000;
	ask(p, &a, "count", FOREVER, 0);
	RUN_UNTIL(w, b->cancels == 1);
	assert_int_equal(a.items, 1);
	assert_int_equal(b->held, 0);
	// At once: whether the backend sees the request or not, nothing is left of it.
	ask(p, &x, "count", 1, 0);
	rs_cancel(x.stream);
	b->mode = ECHO;
	ask_wait(p, &x, "count", 10);
	assert_int_equal(x.bytes, 10);
	world_expect_idle(w);
	peer_free(p);
	world_free(w);
}

// A client that does not read: what waits for it stays within the stream's window.
static void slow_client(uint32_t item_bytes)
{
	struct world *w = world_new();
	struct backend *b = backend_new(w, COUNT), *e = backend_new(w, ECHO);
	struct peer *p = peer_new(w), *other = peer_new(w);
	struct ask a = {.numbered = item_bytes > 0}, x;
	size_t most = 0, stream, all;
	ns_t end;

	route(w, "count", b, NULL);
	route(w, "echo", e, NULL);
	// More than the buffers of TCP hold.
	b->count_items = item_bytes < 200 ? 300000 : 20 + (24u << 20) / item_bytes;
	b->count_bytes = item_bytes;
	p->hold = true;
	ask(p, &a, "count", FOREVER, 0);
	end = clock_now() + 300 * NS_PER_MS;
	while (clock_now() < end) {
		world_step(w);
		world_queued(w, &stream, &all);
		most = all > most ? all : most;
	}
	assert_int_equal(a.items, 0);
	assert_non_null(a.stream);
	assert_true(most <= STREAM_WINDOW_BYTES + 2 * (item_bytes + RS_QUEUED_OVERHEAD_BYTES));
	ask_wait(other, &x, "echo", 100);
	assert_int_equal(x.items, 1);
	peer_read(p);
	RUN_UNTIL(w, !a.stream);
	assert_int_equal(a.items, b->count_items);
	world_expect_idle(w);
	assert_int_equal(w->relay.counters.drop_overrun, 0);
	peer_free(p);
	peer_free(other);
	world_free(w);
}

// They are items too (rule 66), and cost what others cost beside their bytes.
static void slow_client_empty_items(void **state)
{
	slow_client(0);
}

static void slow_client_tiny_items(void **state)
{
	slow_client(4);
}

static void slow_client_small_items(void **state)
{
	slow_client(100);
}

static void slow_client_items_by_reference(void **state)
{
	slow_client(4096);
}

static void slow_client_fragmented_items(void **state)
{
	slow_client(100000);
}

// Each larger than the window: they go alone.
static void slow_client_large_items(void **state)
{
	slow_client(2u << 20);
}

// Credit for many large items does not overrun the queue of a slow client.
static void large_items_after_a_small_one(void **state)
{
	struct world *w = world_new();
	struct backend *b = backend_new(w, COUNT);
	struct peer *p = peer_new(w);
	struct ask first = {0}, a = {0};

	route(w, "count", b, NULL);
	b->count_items = 1;
	ask(p, &first, "count", 1, 0);
	RUN_UNTIL(w, !first.stream);
	b->count_items = 12;
	b->count_bytes = 15u << 20;
	ask(p, &a, "count", 2, 0);
	p->hold = true;
	world_run(w, 300 * NS_PER_MS);
	a.asked += 100;
	rs_request_n(a.stream, 100);
	peer_read(p);
	RUN_UNTIL(w, !a.stream);
	assert_int_equal(a.items, 12);
	assert_int_equal(a.bytes, 12 * (size_t)(15u << 20));
	world_expect_idle(w);
	peer_free(p);
	world_free(w);
}

// The streams of one client share: together they wait within its window, and none is lost.
static void many_streams_of_a_slow_client(void **state)
{
	enum { STREAMS = 400 };
	struct world *w = world_new();
	struct backend *b = backend_new(w, COUNT);
	struct peer *p = peer_new(w);
	struct ask *a = calloc(STREAMS, sizeof(*a));
	size_t stream, all, most = 0;
	ns_t end;

	route(w, "count", b, NULL);
	b->count_items = 300;
	b->count_bytes = 1000;
	p->hold = true;
	for (unsigned i = 0; i < STREAMS; i++) {
		a[i].numbered = true;
		ask(p, &a[i], "count", FOREVER, 0);
	}
	end = clock_now() + NS_PER_SEC;
	while (clock_now() < end) {
		world_step(w);
		world_queued(w, &stream, &all);
		most = all > most ? all : most;
	}
	assert_true(most <= 2 * CLIENT_WINDOW_BYTES);
	peer_read(p);
	for (unsigned i = 0; i < STREAMS; i++) {
		RUN_UNTIL(w, !a[i].stream);
		assert_int_equal(a[i].items, 300);
		assert_int_equal(a[i].errors, 0);
	}
	world_expect_idle(w);
	peer_free(p);
	free(a);
	world_free(w);
}

// A backend that sends without being asked: the client still gets as many as it asked for and when.
static void a_backend_that_ignores_credit(void **state)
{
	static const struct {
		uint32_t items, bytes, surplus;
	} cases[] = {
		{900, 4, 899}, {900, 1000, 800}, {200, 1000, 5}, {20, 300000, 1}, {30, 300000, 3}};
	struct world *w = world_new();
	struct backend *b = backend_new(w, COUNT);
	struct peer *p = peer_new(w);

	route(w, "count", b, NULL);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ask a = {.refill = 1, .numbered = true};

		b->count_items = cases[i].items;
		b->count_bytes = cases[i].bytes;
		b->surplus = cases[i].surplus;
		ask(p, &a, "count", 1, 0);
		RUN_UNTIL(w, !a.stream);
		assert_int_equal(a.errors, 0);
		assert_int_equal(a.items, cases[i].items);
		world_expect_idle(w);
	}
	assert_int_equal(w->relay.counters.calls_ok, sizeof(cases) / sizeof(cases[0]));
	peer_free(p);
	world_free(w);
}

// Beyond a bounded surplus the stream is cut, there and here.
static void a_backend_that_floods(void **state)
{
	struct world *w = world_new();
	struct backend *b = backend_new(w, COUNT);
	struct peer *p = peer_new(w);
	struct ask a = {0}, x;

	route(w, "count", b, NULL);
	b->count_items = 100000;
	b->surplus = 100000;
	ask(p, &a, "count", 1, 0);
	RUN_UNTIL(w, b->cancels == 1);
	// The error is behind what came before.
	a.asked += 2000;
	rs_request_n(a.stream, 2000);
	RUN_UNTIL(w, !a.stream);
	assert_int_equal(a.code, RS_ERROR_CANCELED);
	assert_true(a.items > 1 && a.items < 2000);
	b->mode = ECHO;
	ask_wait(p, &x, "count", 1);
	assert_int_equal(x.items, 1);
	world_expect_idle(w);
	assert_int_equal(w->relay.counters.calls_canceled, 1);
	peer_free(p);
	world_free(w);
}

// All items are here, the backend's stream has ended; then the client asks for more.
static void credit_after_the_backend_has_ended(void **state)
{
	struct world *w = world_new();
	struct backend *b = backend_new(w, COUNT);
	struct peer *p = peer_new(w);
	struct ask a = {.numbered = true};

	route(w, "count", b, NULL);
	b->count_items = 50;
	b->surplus = 50;
	ask(p, &a, "count", 5, 0);
	RUN_UNTIL(w, w->relay.counters.calls_ok == 1);
	RUN_UNTIL(w, a.items == 5);
	for (unsigned i = 0; i < 9; i++) {
		world_run(w, NS_PER_MS);
		assert_int_equal(a.items, a.asked);
		a.asked += 5;
		rs_request_n(a.stream, 5);
	}
	RUN_UNTIL(w, !a.stream);
	assert_int_equal(a.items, 50);
	world_expect_idle(w);
	peer_free(p);
	world_free(w);
}

// More waits for the client's credit than makes it pause: its REQUEST_N must get through.
static void items_that_wait_for_credit_do_not_pause(void **state)
{
	enum { STREAMS = 30 };
	struct world *w = world_new();
	struct backend *b = backend_new(w, COUNT), *e = backend_new(w, ECHO);
	struct peer *p = peer_new(w);
	struct ask a[STREAMS] = {0}, x;
	size_t stream, all;

	route(w, "count", b, NULL);
	route(w, "echo", e, NULL);
	b->count_items = 1000;
	b->count_bytes = 1000;
	b->surplus = 999;
	for (unsigned i = 0; i < STREAMS; i++)
		ask(p, &a[i], "count", 1, 0);
	RUN_UNTIL(w, w->relay.counters.calls_ok == STREAMS);
	world_queued(w, &stream, &all);
	assert_true(all > CLIENT_PAUSE_BYTES);
	// What comes behind this would be held.
	ask_wait(p, &x, "echo", 1);
	assert_int_equal(x.items, 1);
	for (unsigned i = 0; i < STREAMS; i++) {
		a[i].asked += 999;
		rs_request_n(a[i].stream, 999);
	}
	for (unsigned i = 0; i < STREAMS; i++) {
		RUN_UNTIL(w, !a[i].stream);
		assert_int_equal(a[i].items, 1000);
	}
	world_expect_idle(w);
	peer_free(p);
	world_free(w);
}

// Too many large replies wait: the client's requests stay in its TCP window, and nothing is lost.
static void a_paused_client_goes_on(void **state)
{
	struct world *w = world_new();
	struct backend *b = backend_new(w, SILENT), *e = backend_new(w, ECHO);
	struct peer *p = peer_new(w), *other = peer_new(w);
	struct ask a[8] = {0}, late[50] = {0}, x;

	route(w, "slow", b, NULL);
	route(w, "echo", e, NULL);
	for (unsigned i = 0; i < 8; i++)
		ask(p, &a[i], "slow", 0, 1);
	RUN_UNTIL(w, b->held == 8);
	p->hold = true;
	while (b->held)
		backend_answer(b, 4u << 20);
	RUN_UNTIL(w, w->relay.counters.calls_ok == 8);
	for (unsigned i = 0; i < 50; i++) {
		ask(p, &late[i], "echo", 0, 30000);
		world_step(w);
	}
	RUN_UNTIL(w, w->relay.counters.clients_paused == 1);
	world_run(w, 20 * NS_PER_MS);
	// What made it pause was still taken.
	assert_true(e->received < 50);
	ask_wait(other, &x, "echo", 10);
	assert_int_equal(x.items, 1);
	peer_read(p);
	RUN_UNTIL(w, !late[49].stream && !a[7].stream);
	for (unsigned i = 0; i < 50; i++)
		assert_int_equal(late[i].bytes, 30000);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(a[i].bytes, 4u << 20);
	world_expect_idle(w);
	peer_free(p);
	peer_free(other);
	world_free(w);
}

// Clients that never read fill what is there for all: the greediest are cut, the others never
// notice.
static void clients_that_never_read_are_cut(void **state)
{
	enum { GREEDY = 12 };
	struct world *w = world_new_small();
	struct backend *b = backend_new(w, COUNT), *e = backend_new(w, ECHO);
	struct peer *p[GREEDY], *good = peer_new(w);
	struct ask a[GREEDY] = {0}, x;
	const uint64_t *cut = &w->relay.counters.clients_cut;

	route(w, "count", b, NULL);
	route(w, "echo", e, NULL);
	b->count_items = 1000000;
	b->count_bytes = 8000;
	for (unsigned i = 0; i < GREEDY; i++) {
		p[i] = peer_new(w);
		p[i]->hold = true;
		ask(p[i], &a[i], "count", FOREVER, 0);
	}
	RUN_UNTIL(w, loop_short(w->loop) || *cut > 0);
	for (unsigned i = 0; i < 20; i++) {
		ask_wait(good, &x, "echo", 5000);
		assert_int_equal(x.items, 1);
		world_skip(w, RELAY_HOUSEKEEPING);
	}
	assert_true(*cut > 0);
	assert_int_equal(w->relay.clients_count, 1 + GREEDY - *cut);
	assert_non_null(good->conn);
	for (unsigned i = 0; i < GREEDY; i++)
		peer_reset(p[i]);
	world_expect_idle(w);
	peer_free(good);
	world_free(w);
}

int main(void)
{
	char *args[] = {"test-relay-flow", "--no-huge", "--no-pci", "--no-shconf", "-m", "64",
		"--log-level", "critical", NULL};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_ledger_begins_small_and_learns),
		cmocka_unit_test(the_ledger_never_overflows),
		cmocka_unit_test(the_ledger_never_stalls),
		cmocka_unit_test(small_credits_are_exact),
		cmocka_unit_test(a_long_stream_of_unbounded_credit),
		cmocka_unit_test(cancel_in_the_middle),
		cmocka_unit_test(slow_client_empty_items),
		cmocka_unit_test(slow_client_tiny_items),
		cmocka_unit_test(slow_client_small_items),
		cmocka_unit_test(slow_client_items_by_reference),
		cmocka_unit_test(slow_client_fragmented_items),
		cmocka_unit_test(slow_client_large_items),
		cmocka_unit_test(large_items_after_a_small_one),
		cmocka_unit_test(many_streams_of_a_slow_client),
		cmocka_unit_test(a_backend_that_ignores_credit),
		cmocka_unit_test(a_backend_that_floods),
		cmocka_unit_test(credit_after_the_backend_has_ended),
		cmocka_unit_test(items_that_wait_for_credit_do_not_pause),
		cmocka_unit_test(a_paused_client_goes_on),
		cmocka_unit_test(clients_that_never_read_are_cut),
	};

	if (rte_eal_init(8, args) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
