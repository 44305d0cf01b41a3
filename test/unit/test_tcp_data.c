// SPDX-License-Identifier: Apache-2.0
// Data both ways: order, overlaps, acknowledgements, timestamps, the send queue.
#include <stdio.h>

#include "lib/base/rng.h"
#include "test/unit/tcp_world.h"

static struct world w;

static void start(struct world_setup setup)
{
	world_start(&w, setup);
	world_accept(&w, "mss 1460");
}

static void stop(void)
{
	tcp_abort(w.conn);
	world_drain(&w);
	world_end(&w);
}

// SHLD-18, MUST-40: a single segment is acknowledged within 1 ms.
static void delayed_ack_must_40(void **state)
{
	start((struct world_setup){0});
	arrive(&w, "P. 1:101(100) ack 1");
	assert_int_equal(w.received, 100);
	expect_nothing(&w);
	world_run(&w, 900 * NS_PER_US);
	expect_nothing(&w);
	world_run(&w, 200 * NS_PER_US);
	expect(&w, ". 1 ack 101");
	expect_nothing(&w);
	world_run(&w, NS_PER_SEC);
	expect_nothing(&w);
	stop();
}

// SHLD-19: at least every second full segment. MUST-58, MUST-59: one ACK for a burst.
static void ack_every_second_segment(void **state)
{
	start((struct world_setup){0});
	arrive(&w, ". 1:1461(1460) ack 1");
	expect_nothing(&w);
	arrive(&w, ". 1461:2921(1460) ack 1");
	expect(&w, ". 1 ack 2921");
	for (unsigned i = 2; i < 10; i++)
		arrive(&w, ". %u:%u(1460) ack 1", 1 + i * 1460, 1 + (i + 1) * 1460);
	expect(&w, ". 1 ack 14601");
	expect_nothing(&w);
	stop();
}

static void ack_rides_on_data(void **state)
{
	start((struct world_setup){0});
	arrive(&w, "P. 1:101(100) ack 1");
	world_write(&w, 50);
	expect(&w, "P. 1:51(50) ack 101");
	expect_nothing(&w);
	world_run(&w, 100 * NS_PER_MS);
	expect_nothing(&w);
	stop();
}

struct piece {
	uint32_t from, to;
};

// Arrivals in a given order; after each, how much has been delivered.
struct ooo_case {
	const char *picture;
	struct piece pieces[6];
	uint32_t received[6];
	unsigned n;
};

static const struct ooo_case ooo_cases[] = {
	{"in order      1--2--3", {{1, 101}, {101, 201}, {201, 301}}, {100, 200, 300}, 3},
	{"swapped       2--1", {{101, 201}, {1, 101}}, {0, 200}, 2},
	{"reverse       3--2--1", {{201, 301}, {101, 201}, {1, 101}}, {0, 0, 300}, 3},
	{"two holes     .2.4 then 1 then 3", {{101, 201}, {301, 401}, {1, 101}, {201, 301}},
		{0, 0, 200, 400}, 4},
	{"duplicate     .22 then 1", {{101, 201}, {101, 201}, {1, 101}}, {0, 0, 200}, 3},
	{"front overlap .[==] then [===]   ", {{101, 201}, {51, 151}, {1, 101}}, {0, 0, 200}, 3},
	{"back overlap  .[==] then   [===] ", {{101, 201}, {151, 251}, {1, 101}}, {0, 0, 250}, 3},
	{"inside        .[====] then [==]  ", {{101, 301}, {151, 251}, {1, 101}}, {0, 0, 300}, 3},
	{"around        .[==] then [======]", {{151, 251}, {101, 301}, {1, 101}}, {0, 0, 300}, 3},
	{"around two    .[=].[=] then [=======]", {{101, 151}, {201, 251}, {101, 301}, {1, 101}},
		{0, 0, 0, 300}, 4},
	{"bridge        .[=].[=] then  [==] ", {{101, 151}, {201, 251}, {140, 210}, {1, 101}},
		{0, 0, 0, 250}, 4},
	{"same start    .[=] then [===]", {{101, 151}, {101, 251}, {1, 101}}, {0, 0, 250}, 3},
	{"same end      ...[=] then [===]", {{201, 251}, {101, 251}, {1, 101}}, {0, 0, 250}, 3},
	{"touching      .[=][=] in reverse", {{151, 201}, {101, 151}, {1, 101}}, {0, 0, 200}, 3},
	{"old again     [==] then [==] older", {{1, 201}, {51, 151}, {1, 101}}, {200, 200, 200}, 3},
	{"old and new   [==] then  [====]", {{1, 201}, {101, 301}}, {200, 300}, 2},
	{"over the hole .[=] then [======]", {{101, 151}, {1, 301}}, {0, 300}, 2},
	{"fills and more .[=].[=] then [====]", {{101, 151}, {201, 301}, {1, 251}}, {0, 0, 300}, 3},
};

// SHLD-31. Bytes are checked against the pattern as they are delivered.
static void out_of_order_pictures(void **state)
{
	for (unsigned i = 0; i < sizeof(ooo_cases) / sizeof(ooo_cases[0]); i++) {
		const struct ooo_case *t = &ooo_cases[i];

		start((struct world_setup){0});
		for (unsigned k = 0; k < t->n; k++) {
			uint32_t from = t->pieces[k].from, to = t->pieces[k].to;

			arrive(&w, ". %u:%u(%u) ack 1", from, to, to - from);
			if (w.received != t->received[k])
				fail_msg("%s: %u bytes after piece %u", t->picture, w.received, k);
		}
		world_run(&w, 50 * NS_PER_MS);
		expect_last(&w, ". 1 ack %u", 1 + w.received);
		stop();
	}
}

// Random pieces of a kilobyte in any order, with every overlap: all arrives, once, in order.
static void out_of_order_random(void **state)
{
	for (uint64_t seed = 1; seed <= 200; seed++) {
		struct rng rng;

		rng_seed(&rng, seed);
		start((struct world_setup){0});
		for (unsigned i = 0; i < 60; i++) {
			uint32_t from = 1 + rng_below(&rng, 1000);
			uint32_t len = 1 + rng_below(&rng, 1001 - from);

			arrive(&w, ". %u:%u(%u) ack 1", from, from + len, len);
		}
		arrive(&w, ". 1:1001(1000) ack 1");
		assert_int_equal(w.received, 1000);
		assert_null(w.conn->ooo_first);
		assert_int_equal(w.conn->ooo_charge, 0);
		assert_int_equal(w.bufs_out, 0);
		stop();
	}
}

// What lies behind a FIN is nothing.
static void out_of_order_behind_a_fin(void **state)
{
	start((struct world_setup){0});
	arrive(&w, ". 101:201(100) ack 1");
	assert_int_equal(w.bufs_out, 1);
	arrive(&w, "F. 1:51(50) ack 1");
	assert_int_equal(w.eofs, 1);
	assert_int_equal(w.received, 50);
	assert_int_equal(w.bufs_out, 0);
	stop();
}

// A burst that makes a gap and fills it needs one ACK: those for the gap are about an older number.
static void gap_filled_within_a_burst(void **state)
{
	start((struct world_setup){0});
	arrive(&w, ". 101:201(100) ack 1");
	arrive(&w, ". 201:301(100) ack 1");
	arrive(&w, ". 1:101(100) ack 1");
	expect(&w, ". 1 ack 301");
	expect_nothing(&w);
	stop();
}

// With payload a duplicate ACK would not count: it goes alone, before the data.
static void duplicate_acks_go_without_payload(void **state)
{
	start((struct world_setup){0});
	arrive(&w, ". 101:201(100) ack 1");
	arrive(&w, ". 201:301(100) ack 1");
	world_write(&w, 50);
	expect(&w, ". 1 ack 1");
	expect(&w, ". 1 ack 1");
	expect(&w, "P. 1:51(50) ack 1");
	expect_nothing(&w);
	stop();
}

// RFC 5681 4.2: an immediate duplicate ACK for each, and an immediate ACK when the gap closes.
static void out_of_order_duplicate_acks(void **state)
{
	start((struct world_setup){0});
	for (unsigned i = 1; i <= 4; i++)
		arrive(&w, ". %u:%u(100) ack 1", 1 + i * 100, 101 + i * 100);
	for (unsigned i = 1; i <= 4; i++)
		expect(&w, ". 1 ack 1 win 50000");
	expect_nothing(&w);
	arrive(&w, ". 1:101(100) ack 1");
	expect(&w, ". 1 ack 501");
	stop();
}

static void out_of_order_limits(void **state)
{
	start((struct world_setup){.ooo_conn = 1000});
	arrive(&w, ". 101:601(500) ack 1");
	arrive(&w, ". 701:1101(400) ack 1");
	arrive(&w, ". 1201:1202(1) ack 1");  // counts as 256
	assert_int_equal(tcp_counters(w.stack)->drop_ooo, 1);
	assert_int_equal(w.bufs_out, 2);
	arrive(&w, ". 1:101(100) ack 1");
	assert_int_equal(w.received, 600);
	arrive(&w, ". 1201:1202(1) ack 1");
	assert_int_equal(tcp_counters(w.stack)->drop_ooo, 1);
	assert_int_equal(w.bufs_out, 2);
	arrive(&w, ". 1101:1801(700) ack 1");  // covers one, but is too large: what is held stays
	assert_int_equal(tcp_counters(w.stack)->drop_ooo, 2);
	assert_int_equal(w.bufs_out, 2);
	stop();
}

static void out_of_order_fin(void **state)
{
	start((struct world_setup){0});
	arrive(&w, "F. 101:201(100) ack 1");
	assert_int_equal(w.eofs, 0);
	expect(&w, ". 1 ack 1");
	arrive(&w, ". 1:101(100) ack 1");
	assert_int_equal(w.received, 200);
	assert_int_equal(w.eofs, 1);
	expect(&w, ". 1 ack 202");
	stop();
	start((struct world_setup){0});
	arrive(&w, "F. 101 ack 1");  // alone
	expect(&w, ". 1 ack 1");
	arrive(&w, ". 1:101(100) ack 1");
	assert_int_equal(w.eofs, 1);
	expect(&w, ". 1 ack 102");
	stop();
}

static void stale_and_future_acks(void **state)
{
	start((struct world_setup){0});
	world_write(&w, 100);
	expect(&w, "P. 1:101(100) ack 1");
	arrive(&w, ". 1 ack 102");  // never sent: challenge, nothing else
	expect(&w, ". 101 ack 1");
	assert_int_equal(tcp_counters(w.stack)->drop_ack, 1);
	assert_int_equal(tcp_send_queued(w.conn), 100);
	arrive(&w, ". 1 ack 102");
	expect_nothing(&w);  // RFC 5961 7: rate limited
	assert_int_equal(tcp_counters(w.stack)->challenge_limited, 1);
	arrive(&w, ". 1 ack 101");
	assert_int_equal(tcp_send_queued(w.conn), 0);
	arrive(&w, "P. 1:11(10) ack 50");  // old, but its text counts
	assert_int_equal(w.received, 10);
	// RFC 5961 5.2: older than any window we ever had
	arrive(&w, "P. 11:21(10) ack %u", 100 - 70000);
	assert_int_equal(w.received, 10);
	assert_int_equal(tcp_counters(w.stack)->drop_ack, 3);
	stop();
}

// SHLD-28: full segments; MUST-61: PSH on the last.
static void segments_fill(void **state)
{
	start((struct world_setup){0});
	world_write(&w, 4000);
	expect(&w, ". 1:1461(1460) ack 1");
	expect(&w, ". 1461:2921(1460) ack 1");
	expect(&w, "P. 2921:4001(1080) ack 1");
	expect_nothing(&w);
	assert_int_equal(tcp_send_queued(w.conn), 4000);
	arrive(&w, ". 1 ack 4001");
	assert_int_equal(tcp_send_queued(w.conn), 0);
	assert_int_equal(w.writables, 1);
	assert_int_equal(tcp_counters(w.stack)->bytes_out, 4000);
	stop();
}

// RFC 6928: ten segments before the first ACK.
static void initial_window_rfc6928(void **state)
{
	start((struct world_setup){0});
	world_write(&w, 50000);
	assert_int_equal(world_expect_data(&w, 1, 14601), 10);
	expect_nothing(&w);
	arrive(&w, ". 1 ack 2921");  // slow start: two more for each
	assert_int_equal(world_expect_data(&w, 14601, 14601 + 4 * 1460), 4);
	expect_nothing(&w);
	stop();
}

// Any sizes of slices: the same bytes, segments as full as without. Retransmission reads them
// again.
static void many_small_slices_are_compacted(void **state)
{
	static const uint32_t sizes[] = {1, 7, 20, 60, 91, 92, 200, 729, 1459, 1460, 1461, 4000};

	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint32_t pieces = 14600 / sizes[i], total = pieces * sizes[i];

		start((struct world_setup){0});
		world_write_pieces(&w, pieces, sizes[i]);
		assert_int_equal(world_expect_data(&w, 1, 1 + total), (total + 1459) / 1460);
		arrive(&w, ". 1 ack 731");  // half a segment
		world_run(&w, 1100 * NS_PER_MS);
		world_drain(&w);
		arrive(&w, ". 1 ack 3000");
		arrive(&w, ". 1 ack %u", 1 + total);
		assert_int_equal(tcp_send_queued(w.conn), 0);
		assert_int_equal(buf_pool_bytes(w.pool), 0);
		stop();
	}
}

// Slices of random sizes, ACKs of random numbers, losses: every byte that leaves is checked by the
// world.
static void send_queue_random(void **state)
{
	for (uint64_t seed = 1; seed <= 100; seed++) {
		struct rng rng;
		uint32_t una = 1;

		rng_seed(&rng, seed);
		start((struct world_setup){0});
		for (unsigned i = 0; i < 60; i++) {
			uint32_t max;

			world_write_pieces(&w, 1 + rng_below(&rng, 40), 1 + rng_below(&rng, 120));
			world_drain(&w);
			max = w.conn->snd_max - w.isn;
			una += rng_below(&rng, max - una + 1);
			arrive(&w, ". 1 ack %u", una);
			if (rng_below(&rng, 8) == 0)
				world_run(&w, NS_PER_SEC);
		}
		while (una < 1 + w.sent) {
			world_run(&w, 100 * NS_PER_MS);
			world_drain(&w);
			una = w.conn->snd_max - w.isn;
			arrive(&w, ". 1 ack %u", una);
		}
		assert_int_equal(tcp_send_queued(w.conn), 0);
		assert_int_equal(buf_pool_bytes(w.pool), 0);
		stop();
	}
}

// Small segments that were sent one by one go again as one, while the cursor stands behind them.
static void compacting_what_was_sent(void **state)
{
	start((struct world_setup){0});
	for (unsigned i = 0; i < 40; i++) {
		world_write(&w, 20);
		expect(&w, "P. %u:%u(20) ack 1", 1 + i * 20, 21 + i * 20);
	}
	for (unsigned i = 0; i < 3; i++)
		arrive(&w, ". 1 ack 1");
	expect(&w, "P. 1:801(800) ack 1");
	world_write(&w, 100);
	expect(&w, "P. 801:901(100) ack 1");
	arrive(&w, ". 1 ack 901");
	assert_int_equal(tcp_send_queued(w.conn), 0);
	stop();
}

// SHLD-7, MUST-17.
static void nagle_on_and_off(void **state)
{
	start((struct world_setup){0});
	world_write(&w, 10);
	expect(&w, "P. 1:11(10) ack 1");
	world_write(&w, 10);
	expect(&w, "P. 11:21(10) ack 1");  // off by default
	tcp_set_nagle(w.conn, true);
	world_write(&w, 10);
	world_write(&w, 10);
	expect_nothing(&w);
	arrive(&w, ". 1 ack 21");
	expect(&w, "P. 21:41(20) ack 1");
	world_write(&w, 1500);
	expect(&w, ". 41:1501(1460) ack 1");  // a full one goes
	expect_nothing(&w);
	tcp_set_nagle(w.conn, false);
	expect(&w, "P. 1501:1541(40) ack 1");
	tcp_set_nagle(w.conn, true);
	world_write(&w, 5);
	expect_nothing(&w);
	tcp_close(w.conn);  // nothing will be added
	expect(&w, "PF. 1541:1546(5) ack 1");
	stop();
}

static void send_room_is_bounded(void **state)
{
	start((struct world_setup){.send_buffer = 5000});
	assert_int_equal(tcp_send_room(w.conn), 5000);
	world_write(&w, 6000);  // may exceed it by one call
	assert_int_equal(tcp_send_room(w.conn), 0);
	world_drain(&w);
	arrive(&w, ". 1 ack 501");
	assert_int_equal(w.writables, 0);
	arrive(&w, ". 1 ack 2001");
	assert_int_equal(tcp_send_room(w.conn), 1000);
	assert_int_equal(w.writables, 1);
	stop();
}

static void events_may_abort(void **state)
{
	start((struct world_setup){0});
	w.abort_on_data = true;
	arrive(&w, "F. 1:11(10) ack 1");
	assert_int_equal(w.error, -ECONNABORTED);
	assert_int_equal(w.eofs, 0);
	expect(&w, "R. 1 ack 11");
	expect_nothing(&w);
	world_end(&w);
	start((struct world_setup){0});
	w.abort_on_eof = true;
	arrive(&w, "F. 1:11(10) ack 1");
	expect(&w, "R. 1 ack 12");
	world_end(&w);
	start((struct world_setup){0});
	w.abort_on_writable = true;
	world_write(&w, 10);
	world_drain(&w);
	arrive(&w, "P. 1:11(10) ack 11");
	assert_int_equal(w.received, 0);
	expect(&w, "R. 11 ack 1");
	world_end(&w);
	assert_int_equal(w.closes, 1);
}

static void urgent_data_is_inline(void **state)
{
	start((struct world_setup){0});
	arrive(&w, "P.U 1:11(10) ack 1");
	assert_int_equal(w.received, 10);
	stop();
}

// RFC 7323 5: an old timestamp is dropped and answered; RST has no timestamp check.
static void paws(void **state)
{
	world_start(&w, (struct world_setup){0});
	world_accept(&w, "mss 1460,ts 4294967040:0");
	world_run(&w, 10 * NS_PER_MS);
	arrive(&w, "P. 1:11(10) ack 1");
	assert_int_equal(w.received, 10);
	arrive(&w, "P. 11:21(10) ack 1 <ts 4294967040:0>");
	assert_int_equal(w.received, 10);
	assert_int_equal(tcp_counters(w.stack)->drop_paws, 1);
	expect(&w, ". 1 ack 11 <ts>");
	arrive(&w, "P. 11:21(10) ack 1 <nots>");  // RFC 7323 3.2
	assert_int_equal(w.received, 10);
	assert_int_equal(tcp_counters(w.stack)->drop_paws, 2);
	arrive(&w, "P. 11:21(10) ack 1");
	assert_int_equal(w.received, 20);
	arrive(&w, "R 21 <nots>");
	assert_int_equal(w.error, -ECONNRESET);
	world_end(&w);
}

// RFC 7323 4.3: what is echoed is the timestamp of the segment that the ACK is about.
static void timestamp_echo(void **state)
{
	world_start(&w, (struct world_setup){0});
	world_accept(&w, "mss 1460,ts 4294967040:0");
	arrive(&w, "P. 1:101(100) ack 1 <ts 1000:0>");
	world_run(&w, 50 * NS_PER_MS);
	expect(&w, ". 1 ack 101 <ts 0:1000>");
	arrive(&w, "P. 201:301(100) ack 1 <ts 1010:0>");  // out of order: the old one stays
	expect(&w, ". 1 ack 101 <ts 0:1000>");
	arrive(&w, "P. 101:201(100) ack 1 <ts 1005:0>");
	expect(&w, ". 1 ack 301 <ts 0:1005>");
	stop();
}

// After 24 days of silence a timestamp proves nothing (RFC 7323 5.5).
static void paws_after_24_days(void **state)
{
	world_start(&w, (struct world_setup){0});
	world_accept(&w, "mss 1460,ts 4294967040:0");
	w.now += 25 * 24 * 3600 * NS_PER_SEC;
	timer_wheel_run(&w.wheel, w.now);
	arrive(&w, "P. 1:11(10) ack 1 <ts 4294960000:0>");
	assert_int_equal(w.received, 10);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(delayed_ack_must_40),
		cmocka_unit_test(ack_every_second_segment),
		cmocka_unit_test(ack_rides_on_data),
		cmocka_unit_test(out_of_order_pictures),
		cmocka_unit_test(out_of_order_random),
		cmocka_unit_test(out_of_order_duplicate_acks),
		cmocka_unit_test(out_of_order_behind_a_fin),
		cmocka_unit_test(gap_filled_within_a_burst),
		cmocka_unit_test(duplicate_acks_go_without_payload),
		cmocka_unit_test(out_of_order_limits),
		cmocka_unit_test(out_of_order_fin),
		cmocka_unit_test(stale_and_future_acks),
		cmocka_unit_test(segments_fill),
		cmocka_unit_test(initial_window_rfc6928),
		cmocka_unit_test(many_small_slices_are_compacted),
		cmocka_unit_test(compacting_what_was_sent),
		cmocka_unit_test(send_queue_random),
		cmocka_unit_test(nagle_on_and_off),
		cmocka_unit_test(send_room_is_bounded),
		cmocka_unit_test(events_may_abort),
		cmocka_unit_test(urgent_data_is_inline),
		cmocka_unit_test(paws),
		cmocka_unit_test(timestamp_echo),
		cmocka_unit_test(paws_after_24_days),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
