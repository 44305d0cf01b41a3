// SPDX-License-Identifier: Apache-2.0
// Windows, ours and the peer's: closed, small, shrinking, and the probes that keep a connection alive.
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

// What does not fit the window is cut, and what lies outside is answered with an ACK.
static void outside_the_window(void **state)
{
	start((struct world_setup){.window = 1000});
	w.hold = true;
	arrive(&w, ". 1:1201(1200) ack 1");
	assert_int_equal(w.received, 1000);
	expect(&w, ". 1 ack 1001 win 0");
	arrive(&w, ". 1001:1101(100) ack 1");
	expect(&w, ". 1 ack 1001 win 0");
	arrive(&w, ". 2001:2101(100) ack 1");
	expect(&w, ". 1 ack 1001 win 0");
	arrive(&w, ". 1:101(100) ack 1");
	expect(&w, ". 1 ack 1001 win 0");
	assert_int_equal(w.received, 1000);
	assert_in_range(tcp_counters(w.stack)->drop_window, 3, 4);
	stop();
}

// A FIN beyond the window has not arrived.
static void fin_outside_the_window(void **state)
{
	start((struct world_setup){.window = 1000});
	w.hold = true;
	arrive(&w, "F. 1:1201(1200) ack 1");
	assert_int_equal(w.received, 1000);
	assert_int_equal(w.eofs, 0);
	tcp_consumed(w.conn, 1000);
	world_drain(&w);
	arrive(&w, "F. 1001:1201(200) ack 1");
	assert_int_equal(w.received, 1200);
	assert_int_equal(w.eofs, 1);
	stop();
}

// MUST-66: ACK and RST count even when the window is closed.
static void closed_window_still_hears_must_66(void **state)
{
	start((struct world_setup){.window = 1000});
	w.hold = true;
	world_write(&w, 100);
	expect(&w, "P. 1:101(100) ack 1");
	arrive(&w, ". 1:1001(1000) ack 1");
	world_run(&w, 50 * NS_PER_MS);
	expect(&w, ". 101 ack 1001 win 0");
	arrive(&w, ". 1001:1051(50) ack 101");
	assert_int_equal(tcp_send_queued(w.conn), 0);
	expect(&w, ". 101 ack 1001 win 0");
	arrive(&w, "R 1001");
	assert_int_equal(w.error, -ECONNRESET);
	world_end(&w);
}

// MUST-39: the window opens by a segment or half the buffer, not by crumbs. SHLD-14: it never
// shrinks.
static void receive_window_opens_in_large_steps_must_39(void **state)
{
	start((struct world_setup){.window = 10000});
	w.hold = true;
	for (unsigned i = 0; i < 10; i++)
		arrive(&w, ". %u:%u(1000) ack 1", 1 + i * 1000, 1001 + i * 1000);
	world_run(&w, 100 * NS_PER_MS);
	world_drain(&w);
	for (unsigned i = 0; i < 9; i++)
		tcp_consumed(w.conn, 100);
	expect_nothing(&w);
	arrive(&w, ". 10001 ack 1");
	arrive(&w, ". 10001:10002(1) ack 1");
	expect(&w, ". 1 ack 10001 win 0");
	tcp_consumed(w.conn, 1100);
	expect(&w, ". 1 ack 10001 win 2000");  // two segments
	tcp_consumed(w.conn, 8000);
	expect(&w, ". 1 ack 10001 win 10000");
	expect_nothing(&w);
	stop();
}

static void receive_window_scaled(void **state)
{
	world_start(&w, (struct world_setup){.window = 1000000});
	world_accept(&w, "mss 1460,ws 0");
	w.hold = true;
	arrive(&w, ". 1:1461(1460) ack 1");
	arrive(&w, ". 1461:2921(1460) ack 1");
	// 997080 in units of 16, the right edge where it was.
	expect(&w, ". 1 ack 2921 win %u", (1000000 - 2920) / 16 * 16);
	stop();
}

// The peer's window stops us, and its opening lets us go on.
static void send_window(void **state)
{
	start((struct world_setup){0});
	arrive(&w, ". 1 ack 1 win 2000");
	world_write(&w, 6000);
	expect(&w, ". 1:1461(1460) ack 1");
	expect_nothing(
		&w);  // MUST-38: 540 left, less than a segment and than half the largest window
	arrive(&w, ". 1 ack 1461 win 2920");
	expect(&w, ". 1461:2921(1460) ack 1");
	expect(&w, ". 2921:4381(1460) ack 1");
	expect_nothing(&w);
	arrive(&w, ". 1 ack 4381 win 0");
	expect_nothing(&w);
	arrive(&w, ". 1 ack 4381 win 60000");
	expect(&w, ". 4381:5841(1460) ack 1");
	expect(&w, "P. 5841:6001(160) ack 1");
	stop();
}

// RFC 9293 3.10.7.4: SND.WL1 and SND.WL2 keep an old segment from changing the window.
static void window_updates_only_from_newer_segments(void **state)
{
	struct tcp_conn_info info;

	start((struct world_setup){0});
	arrive(&w, "P. 1:11(10) ack 1 win 30000");
	tcp_info(w.conn, &info);
	assert_int_equal(info.send_window_bytes, 30000);
	world_write(&w, 100);
	world_drain(&w);
	arrive(&w, "P. 11:21(10) ack 101 win 20000");
	tcp_info(w.conn, &info);
	assert_int_equal(info.send_window_bytes, 20000);
	arrive(&w,
		"P. 21:31(10) ack 51 win 10000");  // older ACK: its text counts, its window does not
	tcp_info(w.conn, &info);
	assert_int_equal(info.send_window_bytes, 20000);
	arrive(&w, ". 31 ack 101 win 0");
	tcp_info(w.conn, &info);
	assert_int_equal(info.send_window_bytes, 0);
	stop();
}

// MUST-34, SHLD-15..17: a window that shrinks below what is in flight is survived.
static void shrinking_window_must_34(void **state)
{
	start((struct world_setup){0});
	world_write(&w, 10000);
	world_drain(&w);
	arrive(&w, ". 1 ack 1 win 1000");
	expect_nothing(&w);
	world_run(&w, 10 * NS_PER_SEC);
	world_drain(&w);
	assert_int_equal(world_state(&w), TCP_ESTABLISHED);
	arrive(&w, ". 1 ack 1 win 60000");
	arrive(&w, ". 1 ack 10001 win 60000");
	assert_int_equal(tcp_send_queued(w.conn), 0);
	stop();
}

// A lost update of a closed window would stop both sides for ever: the sender asks (MUST-36,
// SHLD-29, SHLD-30).
static void zero_window_probes_must_36(void **state)
{
	ns_t last, gap = 0;

	start((struct world_setup){0});
	arrive(&w, ". 1 ack 1 win 0");
	world_write(&w, 3000);
	expect_nothing(&w);
	last = w.now;
	for (unsigned i = 0; i < 8; i++) {
		while (w.out_count == 0)
			world_run(&w, 10 * NS_PER_MS);
		assert_true(w.now - last + 20 * NS_PER_MS >= 2 * gap || gap >= 59 * NS_PER_SEC);
		gap = w.now - last;
		last = w.now;
		expect(&w, ". 1:2(1) ack 1");
		arrive(&w, ". 1 ack 1 win 0");
		expect_nothing(&w);
	}
	assert_int_equal(tcp_counters(w.stack)->zero_window_probes, 8);
	arrive(&w, ". 1 ack 2 win 5000");
	expect(&w, ". 2:1462(1460) ack 1");
	expect(&w, ". 1462:2922(1460) ack 1");
	expect(&w, "P. 2922:3001(79) ack 1");
	arrive(&w, ". 1 ack 3001");
	stop();
}

// Found by fuzzing: a probe that is taken while the window stays closed ended the probing.
static void zero_window_probe_is_taken(void **state)
{
	start((struct world_setup){0});
	arrive(&w, ". 1 ack 1 win 0");
	world_write(&w, 3000);
	for (unsigned i = 1; i < 6; i++) {
		world_run(&w, 1100 * NS_PER_MS);
		expect(&w, ". %u:%u(1) ack 1", i, i + 1);
		world_drain(&w);
		arrive(&w, ". 1 ack %u win 0", i + 1);
	}
	stop();
}

// MUST-37: for ever, as long as the peer answers. Unanswered it ends.
static void zero_window_for_hours_must_37(void **state)
{
	start((struct world_setup){0});
	arrive(&w, ". 1 ack 1 win 0");
	world_write(&w, 3000);
	for (unsigned i = 0; i < 500; i++) {
		while (w.out_count == 0)
			world_run(&w, NS_PER_SEC);
		world_drain(&w);
		arrive(&w, ". 1 ack 1 win 0");
	}
	assert_int_equal(world_state(&w), TCP_ESTABLISHED);
	world_run(&w, 200 * NS_PER_SEC);
	assert_int_equal(world_state(&w), TCP_CLOSED);
	assert_int_equal(w.error, -ETIMEDOUT);
	world_drain(&w);
	world_end(&w);
}

// A FIN waits for the window like a byte, and is what the probe carries.
static void zero_window_and_fin(void **state)
{
	start((struct world_setup){0});
	arrive(&w, ". 1 ack 1 win 0");
	tcp_close(w.conn);
	expect_nothing(&w);
	world_run(&w, 1100 * NS_PER_MS);
	expect(&w, "F. 1 ack 1");
	arrive(&w, ". 1 ack 2 win 0");
	assert_int_equal(world_state(&w), TCP_FIN_WAIT_2);
	stop();
}

// MUST-38's override: a window too small to be worth a segment is used after a while.
static void small_window_is_used_after_a_while(void **state)
{
	start((struct world_setup){0});
	arrive(&w, ". 1 ack 1 win 100");
	world_write(&w, 3000);
	expect_nothing(&w);
	world_run(&w, 1100 * NS_PER_MS);
	expect(&w, ". 1:101(100) ack 1");
	arrive(&w, ". 1 ack 101 win 100");
	world_run(&w, 1100 * NS_PER_MS);
	expect(&w, ". 101:201(100) ack 1");
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(outside_the_window),
		cmocka_unit_test(fin_outside_the_window),
		cmocka_unit_test(closed_window_still_hears_must_66),
		cmocka_unit_test(receive_window_opens_in_large_steps_must_39),
		cmocka_unit_test(receive_window_scaled),
		cmocka_unit_test(send_window),
		cmocka_unit_test(window_updates_only_from_newer_segments),
		cmocka_unit_test(shrinking_window_must_34),
		cmocka_unit_test(zero_window_probes_must_36),
		cmocka_unit_test(zero_window_probe_is_taken),
		cmocka_unit_test(zero_window_for_hours_must_37),
		cmocka_unit_test(zero_window_and_fin),
		cmocka_unit_test(small_window_is_used_after_a_while),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
