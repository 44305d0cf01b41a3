// SPDX-License-Identifier: Apache-2.0
// Loss: timeouts and their back-off, round-trip times, fast retransmit and NewReno.
#include "test/unit/tcp_world.h"

#define MSS 1460u

static struct world w;

static void start(const char *options)
{
	world_start(&w, (struct world_setup){0});
	world_accept(&w, options);
}

static void stop(void)
{
	tcp_abort(w.conn);
	world_drain(&w);
	world_end(&w);
}

static struct tcp_conn_info info(void)
{
	struct tcp_conn_info i;

	tcp_info(w.conn, &i);
	return i;
}

static uint32_t seg(unsigned n)  // where segment n starts
{
	return 1 + n * MSS;
}

// The time until something is sent.
static ns_t wait_for_output(ns_t max)
{
	ns_t from = w.now;

	while (w.out_count == 0 && w.now - from < max)
		world_run(&w, NS_PER_MS);
	return w.now - from;
}

// RFC 6298 5.4 to 5.6: the first segment again, each time after twice the time. MUST-19.
static void timeout_backs_off_must_19(void **state)
{
	ns_t expected = NS_PER_SEC;

	start("mss 1460");
	tcp_set_user_timeout(w.conn, 1000 * NS_PER_SEC);
	world_write(&w, 100);
	expect(&w, "P. 1:101(100) ack 1");
	for (unsigned i = 0; i < 8; i++) {
		ns_t took = wait_for_output(100 * NS_PER_SEC);

		if (i == 0)
			expected = took;  // the RTO from the handshake's sample
		assert_in_range(took, expected - 2 * NS_PER_MS, expected + 2 * NS_PER_MS);
		expect(&w, "P. 1:101(100) ack 1");
		expect_nothing(&w);
		expected = expected * 2 < 60 * NS_PER_SEC ? expected * 2 : 60 * NS_PER_SEC;
	}
	assert_int_equal(tcp_counters(w.stack)->timeouts, 8);
	assert_int_equal(info().retransmits, 8);
	arrive(&w, ". 1 ack 101");
	world_run(&w, 100 * NS_PER_SEC);
	expect_nothing(&w);
	stop();
}

// MUST-20, SHLD-11: given up after R2, at least 100 s, and told; the peer gets a reset.
static void timeout_gives_up_must_20(void **state)
{
	start("mss 1460");
	world_write(&w, 100);
	world_run(&w, 100 * NS_PER_SEC);
	assert_int_equal(world_state(&w), TCP_ESTABLISHED);
	world_run(&w, 200 * NS_PER_SEC);
	assert_int_equal(w.error, -ETIMEDOUT);
	assert_int_equal(tcp_counters(w.stack)->timed_out, 1);
	expect_last(&w, "R. 101 ack 1");
	world_end(&w);
}

// MUST-21.
static void user_timeout_must_21(void **state)
{
	start("mss 1460");
	tcp_set_user_timeout(w.conn, 3 * NS_PER_SEC);
	world_write(&w, 100);
	world_run(&w, 2900 * NS_PER_MS);
	assert_int_equal(world_state(&w), TCP_ESTABLISHED);
	world_run(&w, 4 * NS_PER_SEC);
	assert_int_equal(w.error, -ETIMEDOUT);
	world_drain(&w);
	world_end(&w);
}

// Progress starts the time anew.
static void user_timeout_counts_from_progress(void **state)
{
	start("mss 1460");
	tcp_set_user_timeout(w.conn, 3 * NS_PER_SEC);
	for (unsigned i = 0; i < 10; i++) {
		world_write(&w, 100);
		world_run(&w, 2 * NS_PER_SEC);
		arrive(&w, ". 1 ack %u", 1 + w.sent);
		world_run(&w, 60 * NS_PER_SEC);
	}
	assert_int_equal(world_state(&w), TCP_ESTABLISHED);
	world_drain(&w);
	stop();
}

// RFC 6298 2.2 and 2.3, by hand: R = 100 ms: SRTT 100, RTTVAR 50, RTO 300; then R = 180 ms:
// RTTVAR = 3/4 50 + 1/4 80 = 57.5, SRTT = 7/8 100 + 1/8 180 = 110, RTO = 340.
static void rto_by_hand_rfc6298(void **state)
{
	world_start(&w, (struct world_setup){0});
	arrive(&w, "S 0 <mss 1460>");
	expect(&w, "S. 0 ack 1");
	world_run(&w, 100 * NS_PER_MS);
	arrive(&w, ". 1 ack 1");
	assert_int_equal(info().srtt_us, 100000);
	assert_int_equal(info().rto_us, 300000);
	world_write(&w, 10);
	world_drain(&w);
	world_run(&w, 180 * NS_PER_MS);
	arrive(&w, ". 1 ack 11");
	assert_int_equal(info().srtt_us, 110000);
	assert_int_equal(info().rto_us, 340000);
	stop();
}

// MUST-18: no sample from what was sent again, and the RTO stays backed off until there is one.
static void karn_must_18(void **state)
{
	uint32_t rto, srtt;

	start("mss 1460");
	rto = info().rto_us;
	srtt = info().srtt_us;
	world_write(&w, 100);
	world_run(&w, rto * NS_PER_US + NS_PER_MS);
	world_drain(&w);
	assert_int_equal(info().rto_us, 2 * rto);
	world_run(&w, 150 * NS_PER_MS);
	arrive(&w, ". 1 ack 101");
	assert_int_equal(info().srtt_us, srtt);
	assert_int_equal(info().rto_us, 2 * rto);
	world_write(&w, 100);
	world_drain(&w);
	world_run(&w, 150 * NS_PER_MS);
	arrive(&w, ". 1 ack 201");  // sent once: counts
	assert_true(info().srtt_us > srtt);
	stop();
}

// The same when fast retransmit sent it again.
static void karn_in_fast_retransmit_must_18(void **state)
{
	uint32_t srtt;

	start("mss 1460");
	srtt = info().srtt_us;
	world_write(&w, 10 * MSS);
	world_drain(&w);
	for (unsigned i = 0; i < 3; i++)
		arrive(&w, ". 1 ack 1");
	world_drain(&w);
	world_run(&w, 100 * NS_PER_MS);
	arrive(&w, ". 1 ack %u", seg(10));
	assert_int_equal(info().srtt_us, srtt);
	stop();
}

// RFC 6298 5.7: after a lost SYN data starts with three seconds.
static void rto_after_a_lost_syn_rfc6298_5_7(void **state)
{
	world_start(&w, (struct world_setup){0});
	arrive(&w, "S 0 <mss 1460>");
	world_run(&w, 1100 * NS_PER_MS);
	world_keep_last(&w);
	expect(&w, "S. 0 ack 1");
	arrive(&w, ". 1 ack 1");
	assert_int_equal(info().rto_us, 3000000);
	stop();
}

// RFC 7323 4: with timestamps also a retransmission gives a sample.
static void timestamps_measure_retransmissions(void **state)
{
	uint32_t rto;

	start("mss 1460,ts 4294967040:0");
	rto = info().rto_us;
	world_write(&w, 100);
	world_run(&w, rto * NS_PER_US + NS_PER_MS);
	world_drain(&w);
	assert_int_equal(info().rto_us, 2 * rto);
	world_run(&w, 20 * NS_PER_MS);
	arrive(&w, ". 1 ack 101");
	assert_true(info().rto_us < 2 * rto);
	assert_in_range(info().srtt_us, 1, 20000);
	assert_false(w.conn->flags & C_BACKED_OFF);
	stop();
}

// After a timeout: one segment, then slow start over what was sent before (RFC 5681 3.1).
static void timeout_goes_back_and_starts_slowly(void **state)
{
	start("mss 1460");
	world_write(&w, 10 * MSS);
	assert_int_equal(world_expect_data(&w, 1, seg(10)), 10);
	world_run(&w, 1100 * NS_PER_MS);
	world_keep_last(&w);
	expect(&w, ". 1:1461(1460) ack 1");
	assert_int_equal(info().cwnd_bytes, MSS);
	assert_int_equal(info().ssthresh_bytes, 5 * MSS);
	arrive(&w, ". 1 ack %u", seg(1));
	assert_int_equal(world_expect_data(&w, seg(1), seg(3)), 2);
	expect_nothing(&w);
	arrive(&w, ". 1 ack %u", seg(10));  // the rest had arrived: nothing twice
	expect_nothing(&w);
	assert_int_equal(tcp_send_queued(w.conn), 0);
	stop();
}

// ssthresh is halved once, not for each timeout of the same data (RFC 5681 3.1).
static void repeated_timeouts_keep_ssthresh(void **state)
{
	start("mss 1460");
	world_write(&w, 10 * MSS);
	world_run(&w, 10 * NS_PER_SEC);
	world_drain(&w);
	assert_int_equal(info().ssthresh_bytes, 5 * MSS);
	stop();
}

static void dupacks(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		arrive(&w, ". 1 ack 1");
}

// RFC 3042: a new segment for each of the first two duplicates; RFC 5681 3.2: the third repairs.
static void fast_retransmit(void **state)
{
	start("mss 1460");
	world_write(&w, 20 * MSS);
	world_expect_data(&w, 1, seg(10));
	dupacks(1);
	world_expect_data(&w, seg(10), seg(11));
	expect_nothing(&w);
	dupacks(1);
	world_expect_data(&w, seg(11), seg(12));
	expect_nothing(&w);
	dupacks(1);
	expect(&w, ". 1:1461(1460) ack 1");
	expect_nothing(&w);
	assert_int_equal(info().ssthresh_bytes, 6 * MSS);
	assert_int_equal(info().cwnd_bytes, 9 * MSS);
	assert_int_equal(tcp_counters(w.stack)->fast_retransmits, 1);
	dupacks(3);  // each is a segment that left the network
	expect_nothing(&w);
	assert_int_equal(info().cwnd_bytes, 12 * MSS);
	dupacks(2);
	world_expect_data(&w, seg(12), seg(14));
	arrive(&w, ". 1 ack %u", seg(14));  // all: recovery ends
	assert_true(info().cwnd_bytes <= 6 * MSS);
	world_expect_data(&w, seg(14), seg(16));
	arrive(&w, ". 1 ack %u", seg(16));
	world_drain(&w);
	stop();
}

// RFC 6582: a partial ACK shows the next hole, which is repaired at once, without another
// reduction.
static void newreno_partial_acks(void **state)
{
	start("mss 1460");
	world_write(&w, 10 * MSS);
	world_expect_data(&w, 1, seg(10));
	dupacks(3);  // segments 0, 3 and 6 are lost
	expect(&w, ". 1:1461(1460) ack 1");
	arrive(&w, ". 1 ack %u", seg(3));
	expect(&w, ". %u:%u(1460) ack 1", seg(3), seg(4));
	arrive(&w, ". 1 ack %u", seg(6));
	expect(&w, ". %u:%u(1460) ack 1", seg(6), seg(7));
	expect_nothing(&w);
	assert_int_equal(tcp_counters(w.stack)->fast_retransmits, 1);
	assert_int_equal(info().ssthresh_bytes, 5 * MSS);
	arrive(&w, ". 1 ack %u", seg(10));
	expect_nothing(&w);
	assert_int_equal(tcp_counters(w.stack)->timeouts, 0);
	stop();
}

// RFC 6582 3.2 step 1: duplicates caused by what a timeout sent again start no fast retransmit.
static void no_fast_retransmit_after_a_timeout(void **state)
{
	start("mss 1460");
	world_write(&w, 10 * MSS);
	world_run(&w, 1100 * NS_PER_MS);
	world_drain(&w);
	arrive(&w, ". 1 ack %u", seg(2));
	world_drain(&w);
	for (unsigned i = 0; i < 5; i++)
		arrive(&w, ". 1 ack %u", seg(2));
	assert_int_equal(tcp_counters(w.stack)->fast_retransmits, 0);
	world_drain(&w);
	stop();
}

// RFC 5681 2: not duplicates: with payload, with another window, when nothing is outstanding.
static void what_is_no_duplicate(void **state)
{
	start("mss 1460");
	dupacks(5);
	world_write(&w, 10 * MSS);
	world_expect_data(&w, 1, seg(10));
	for (unsigned i = 0; i < 5; i++)
		arrive(&w, "P. %u:%u(10) ack 1", 1 + 10 * i, 11 + 10 * i);
	for (unsigned i = 0; i < 5; i++)
		arrive(&w, ". 51 ack 1 win %u", 50000 + i);
	assert_int_equal(tcp_counters(w.stack)->fast_retransmits, 0);
	world_drain(&w);
	stop();
}

// A closed window cuts the payload off: what remains looks like a duplicate and is none.
static void trimmed_text_is_no_duplicate(void **state)
{
	world_start(&w, (struct world_setup){.window = 1000});
	world_accept(&w, "mss 1460");
	w.hold = true;
	world_write(&w, 10 * MSS);
	world_expect_data(&w, 1, seg(10));
	arrive(&w, ". 1:1001(1000) ack 1");
	for (unsigned i = 0; i < 5; i++)
		arrive(&w, ". 1001:1101(100) ack 1");
	assert_int_equal(tcp_counters(w.stack)->fast_retransmits, 0);
	world_drain(&w);
	stop();
}

// The window grows only by what the application really used (RFC 7661's concern).
static void idle_windows_do_not_grow(void **state)
{
	uint32_t before;

	start("mss 1460");
	before = info().cwnd_bytes;
	for (unsigned i = 0; i < 100; i++) {
		world_write(&w, 100);
		world_drain(&w);
		arrive(&w, ". 1 ack %u", 1 + w.sent);
	}
	assert_int_equal(info().cwnd_bytes, before);
	stop();
}

// RFC 5681 3.1: a segment for each round trip in congestion avoidance. 4.1: after idling it starts
// afresh.
static void congestion_avoidance_and_idle_restart(void **state)
{
	uint32_t una = 1;

	start("mss 1460");
	world_write(&w, 300 * MSS);
	world_expect_data(&w, 1, seg(10));
	dupacks(3);
	arrive(&w, ". 1 ack %u", seg(10));
	for (unsigned round = 0; round < 10; round++) {
		uint32_t cwnd;
		bool avoids = info().cwnd_bytes >= info().ssthresh_bytes;

		world_drain(&w);
		una = w.conn->snd_una - w.isn;
		cwnd = info().cwnd_bytes;
		while (una < w.conn->snd_nxt - w.isn) {
			uint32_t left = w.conn->snd_nxt - w.isn - una;

			una += left < 2 * MSS ? left : 2 * MSS;
			arrive(&w, ". 1 ack %u", una);
		}
		if (avoids)
			assert_in_range(info().cwnd_bytes, cwnd, cwnd + MSS);
	}
	assert_true(info().cwnd_bytes > 9 * MSS);
	while (tcp_send_queued(w.conn) > 0) {
		world_drain(&w);
		arrive(&w, ". 1 ack %u", w.conn->snd_max - w.isn);
	}
	world_run(&w, 10 * NS_PER_SEC);
	assert_true(info().cwnd_bytes > 10 * MSS);
	world_write(&w, 50 * MSS);
	assert_int_equal(world_expect_data(&w, seg(300), seg(310)), 10);
	expect_nothing(&w);
	stop();
}

// The congestion window is counted in what segments really carry: no odd segments with timestamps.
static void windows_count_payload(void **state)
{
	start("mss 1460,ts 4294967040:0");
	world_write(&w, 50000);
	assert_int_equal(world_expect_data(&w, 1, 1 + 10 * 1448), 10);
	expect_nothing(&w);
	world_run(&w, 1100 * NS_PER_MS);
	expect_last(&w, ". 1:1449(1448) ack 1");
	stop();
}

// Two sides that both went back: ACKs carry the highest number sent, so each hears the other.
static void bare_acks_carry_the_highest_number(void **state)
{
	start("mss 1460");
	world_write(&w, 3 * MSS);
	world_run(&w, 1100 * NS_PER_MS);
	world_drain(&w);
	arrive(&w, ". 101:201(100) ack 1");
	expect(&w, ". %u ack 1", seg(3));
	stop();
}

static void lost_fin_is_repeated(void **state)
{
	start("mss 1460");
	world_write(&w, 100);
	tcp_close(w.conn);
	expect(&w, "PF. 1:101(100) ack 1");
	arrive(&w, ". 1 ack 101");
	world_run(&w, 1100 * NS_PER_MS);
	expect(&w, "F. 101 ack 1");
	world_drain(&w);
	arrive(&w, ". 1 ack 102");
	assert_int_equal(world_state(&w), TCP_FIN_WAIT_2);
	stop();
}

// RFC 5927: only about what is in flight; soft errors abort nothing (MUST-56), hard ones no
// established connection; source quench is ignored (MUST-55).
static void icmp_errors_rfc5927(void **state)
{
	uint8_t quoted[8] = {LOCAL_PORT >> 8, LOCAL_PORT & 255, PEER_PORT >> 8, PEER_PORT & 255};
	static const uint8_t types[][2] = {
		{3, 0}, {3, 1}, {3, 2}, {3, 3}, {3, 5}, {3, 13}, {4, 0}, {11, 0}, {12, 0}};
	uint32_t seq;

	start("mss 1460");
	world_write(&w, 10 * MSS);
	world_drain(&w);
	seq = __builtin_bswap32(w.isn + 1);
	memcpy(quoted + 4, &seq, 4);
	for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		tcp_icmp(w.stack, &w.local, &w.peer, types[i][0], types[i][1], 0, quoted, 8, w.now);
	assert_int_equal(world_state(&w), TCP_ESTABLISHED);
	assert_int_equal(tcp_counters(w.stack)->icmp_ignored, 1);  // the quench
	expect_nothing(&w);
	stop();
}

// RFC 1191 with RFC 5927's check: segments become smaller, what was lost goes again.
static void icmp_too_big(void **state)
{
	uint8_t quoted[8] = {LOCAL_PORT >> 8, LOCAL_PORT & 255, PEER_PORT >> 8, PEER_PORT & 255};
	uint32_t seq;

	start("mss 1460");
	world_write(&w, 2 * MSS);
	world_drain(&w);
	seq = __builtin_bswap32(w.isn + 1 + 2 * MSS);  // beyond what is in flight
	memcpy(quoted + 4, &seq, 4);
	tcp_icmp(w.stack, &w.local, &w.peer, 3, 4, 1000, quoted, 8, w.now);
	assert_int_equal(info().mss, 1460);
	assert_int_equal(tcp_counters(w.stack)->icmp_ignored, 1);
	seq = __builtin_bswap32(w.isn + 1);
	memcpy(quoted + 4, &seq, 4);
	tcp_icmp(w.stack, &w.local, &w.peer, 3, 4, 1000, quoted, 7, w.now);  // cut short
	assert_int_equal(info().mss, 1460);
	tcp_icmp(w.stack, &w.local, &w.peer, 3, 4, 1000, quoted, 8, w.now);
	assert_int_equal(info().mss, 960);
	expect(&w, ". 1:961(960) ack 1");
	world_drain(&w);
	tcp_icmp(w.stack, &w.local, &w.peer, 3, 4, 68, quoted, 8, w.now);
	assert_int_equal(info().mss, 512);  // no lower
	world_drain(&w);
	stop();
}

// SHLD-26: a hard error ends an attempt to connect, if it quotes our SYN.
static void icmp_ends_an_attempt(void **state)
{
	uint8_t quoted[8] = {LOCAL_PORT >> 8, LOCAL_PORT & 255, PEER_PORT >> 8, PEER_PORT & 255};
	uint32_t seq;

	world_start(&w, (struct world_setup){0});
	world_connect(&w);
	expect(&w, "S 0");
	tcp_icmp(w.stack, &w.local, &w.peer, 3, 3, 0, quoted, 8, w.now);
	assert_int_equal(world_state(&w), TCP_SYN_SENT);
	seq = __builtin_bswap32(w.isn);
	memcpy(quoted + 4, &seq, 4);
	tcp_icmp(w.stack, &w.local, &w.peer, 3, 1, 0, quoted, 8, w.now);
	assert_int_equal(world_state(&w), TCP_SYN_SENT);
	tcp_icmp(w.stack, &w.local, &w.peer, 3, 3, 0, quoted, 8, w.now);
	assert_int_equal(w.error, -ECONNREFUSED);
	world_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timeout_backs_off_must_19),
		cmocka_unit_test(timeout_gives_up_must_20),
		cmocka_unit_test(user_timeout_must_21),
		cmocka_unit_test(user_timeout_counts_from_progress),
		cmocka_unit_test(rto_by_hand_rfc6298),
		cmocka_unit_test(karn_must_18),
		cmocka_unit_test(karn_in_fast_retransmit_must_18),
		cmocka_unit_test(rto_after_a_lost_syn_rfc6298_5_7),
		cmocka_unit_test(timestamps_measure_retransmissions),
		cmocka_unit_test(timeout_goes_back_and_starts_slowly),
		cmocka_unit_test(repeated_timeouts_keep_ssthresh),
		cmocka_unit_test(fast_retransmit),
		cmocka_unit_test(newreno_partial_acks),
		cmocka_unit_test(no_fast_retransmit_after_a_timeout),
		cmocka_unit_test(what_is_no_duplicate),
		cmocka_unit_test(trimmed_text_is_no_duplicate),
		cmocka_unit_test(idle_windows_do_not_grow),
		cmocka_unit_test(congestion_avoidance_and_idle_restart),
		cmocka_unit_test(windows_count_payload),
		cmocka_unit_test(bare_acks_carry_the_highest_number),
		cmocka_unit_test(lost_fin_is_repeated),
		cmocka_unit_test(icmp_errors_rfc5927),
		cmocka_unit_test(icmp_too_big),
		cmocka_unit_test(icmp_ends_an_attempt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
