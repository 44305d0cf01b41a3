// SPDX-License-Identifier: Apache-2.0
// How connections begin: both kinds of open, what the SYNs agree on, limits, floods.
#include <stdio.h>
#include <string.h>

#include "test/unit/tcp_world.h"

static void passive_open(void **state)
{
	static struct world w;

	world_start(&w, (struct world_setup){0});
	arrive(&w, "S 0 <mss 1460,ws 7,ts 100:0>");
	expect(&w, "S. 0 ack 1 win 50000 <mss 1460,ws 0,ts 0:100>");  // MUST-14
	expect_nothing(&w);
	assert_int_equal(w.accepted, 0);
	arrive(&w, ". 1 ack 1 <ts 101:0>");
	assert_int_equal(w.accepted, 1);
	assert_int_equal(world_state(&w), TCP_ESTABLISHED);
	assert_int_equal(tcp_counters(w.stack)->opened, 1);
	expect_nothing(&w);
	tcp_abort(w.conn);
	assert_int_equal(w.error, -ECONNABORTED);
	expect(&w, "R. 1 ack 1");
	world_end(&w);
}

static void passive_open_v6(void **state)
{
	static struct world w;

	world_start(&w, (struct world_setup){.v6 = true});
	arrive(&w, "S 0 <nots>");
	expect(&w, "S. 0 ack 1 <mss 1440,nots,nows>");
	arrive(&w, ". 1 ack 1");
	world_write(&w, 3000);
	expect(&w, ". 1:1221(1220) ack 1");  // MUST-15: 1220 by default
	expect(&w, ". 1221:2441(1220) ack 1");
	expect(&w, "P. 2441:3001(560) ack 1");
	tcp_abort(w.conn);
	world_end(&w);
}

// Options are used if both sides offer them, and only then; segments fill what remains of the MSS
// (MUST-16).
static void option_matrix(void **state)
{
	static const unsigned offers[] = {0, 1, 64, 536, 1000, 1460, 9000};
	static struct world w;

	for (unsigned i = 0; i < 7 * 2 * 2 * 2; i++) {
		unsigned offer = offers[i % 7];
		bool ts = i / 7 % 2, ws = i / 14 % 2, jumbo = i / 28;
		uint32_t ours = jumbo ? 8960 : 1460;
		uint32_t mss = offer == 0 ? 536 : offer < 64 ? 64 : offer < ours ? offer : ours;
		char options[64] = "nots";
		struct tcp_conn_info info;

		world_start(
			&w, (struct world_setup){.mtu = jumbo ? 9000 : 1500, .window = 1 << 20});
		if (offer)
			snprintf(options, sizeof(options), "mss %u", offer);
		if (ws)
			strcat(options, ",ws 2");
		if (ts)
			strcat(options, ",ts 4294967040:0");
		world_accept(&w, options);
		world_write(&w, 3 * 9000);
		mss -= ts ? 12 : 0;
		expect(&w, ". 1:%u(%u) ack 1 win %u <%s>", 1 + mss, mss, ws ? 1048576 : 65535,
			ts ? "ts" : "nots");
		tcp_info(w.conn, &info);
		assert_int_equal(info.mss, mss);
		world_drain(&w);
		tcp_abort(w.conn);
		world_end(&w);
	}
}

static void window_scale_above_14_is_14_rfc7323_2_3(void **state)
{
	static struct world w;
	struct tcp_conn_info info;

	world_start(&w, (struct world_setup){0});
	arrive(&w, "S 0 <mss 1460,ws 15>");
	expect(&w, "S. 0 ack 1 <ws 0>");
	arrive(&w, ". 1 ack 1 win 2");
	tcp_info(w.conn, &info);
	assert_int_equal(info.send_window_bytes, 2 << 14);
	tcp_abort(w.conn);
	world_end(&w);
}

static void active_open(void **state)
{
	static struct world w;

	world_start(&w, (struct world_setup){.window = 1 << 20});
	world_connect(&w);
	expect(&w, "S 0 win 65535 <mss 1460,ws 5,ts 0:0>");
	assert_int_equal(w.accepted, 0);
	arrive(&w, "S. 0 ack 1 <mss 1400,ws 3>");
	w.our_shift = 5;
	w.peer_shift = 3;
	assert_int_equal(w.accepted, 1);
	expect(&w, ". 1 ack 1 win 1048576 <nots>");
	world_write(&w, 1400);
	expect(&w, "P. 1:1401(1400) ack 1");
	tcp_abort(w.conn);
	world_end(&w);
}

static void active_open_sends_what_was_queued_before(void **state)
{
	static struct world w;

	world_start(&w, (struct world_setup){0});
	world_connect(&w);
	world_write(&w, 10);
	expect(&w, "S 0");
	expect_nothing(&w);
	arrive(&w, "S. 0 ack 1 <mss 1400>");
	expect(&w, "P. 1:11(10) ack 1");
	expect_nothing(&w);
	tcp_abort(w.conn);
	world_end(&w);
}

static void active_open_refused(void **state)
{
	static struct world w;

	world_start(&w, (struct world_setup){0});
	world_connect(&w);
	expect(&w, "S 0");
	arrive(&w, "R. 0 ack 5");  // not an answer to our SYN
	assert_int_equal(world_state(&w), TCP_SYN_SENT);
	arrive(&w, "R 0");
	assert_int_equal(world_state(&w), TCP_SYN_SENT);
	arrive(&w, "R. 0 ack 1");
	assert_int_equal(w.error, -ECONNREFUSED);
	expect_nothing(&w);
	world_end(&w);
}

// RFC 9293 3.10.7.3: a wrong ACK in SYN-SENT is answered with a reset of that number.
static void active_open_with_old_ack(void **state)
{
	static struct world w;

	world_start(&w, (struct world_setup){0});
	world_connect(&w);
	expect(&w, "S 0");
	arrive(&w, ". 77 ack 99");
	expect(&w, "R 99");
	arrive(&w, "S. 0 ack 0");
	expect(&w, "R 0");
	assert_int_equal(world_state(&w), TCP_SYN_SENT);
	arrive(&w, "S. 0 ack 1");
	expect(&w, ". 1 ack 1");
	tcp_abort(w.conn);
	world_end(&w);
}

// MUST-23: a SYN is repeated for at least three minutes, with back-off (MUST-22), then told.
static void active_open_times_out_must_23(void **state)
{
	static struct world w;
	unsigned syns = 0;

	world_start(&w, (struct world_setup){0});
	world_connect(&w);
	expect(&w, "S 0");
	world_run(&w, 180 * NS_PER_SEC);
	assert_int_equal(world_state(&w), TCP_SYN_SENT);
	world_run(&w, 120 * NS_PER_SEC);
	assert_int_equal(w.error, -ETIMEDOUT);
	for (; w.out_count > 0; syns++)
		expect(&w, "S 0");
	assert_in_range(syns, 6, 9);
	world_end(&w);
}

static void active_open_bad_addresses_must_46(void **state)
{
	static const char *const bad[] = {
		"255.255.255.255", "224.0.0.1", "0.0.0.0", "ff02::1", "::"};
	static struct world w;
	struct tcp_conn *c;

	world_start(&w, (struct world_setup){0});
	for (unsigned i = 0; i < 5; i++) {
		struct tcp_connect to = {.local = w.local, .remote_port = 1, .ops = w.config.ops};

		ip_parse(bad[i], &to.remote);
		assert_int_equal(tcp_connect(w.stack, &to, w.now, &c), -EADDRNOTAVAIL);
	}
	world_end(&w);
}

static void ephemeral_ports_differ_rfc6056(void **state)
{
	static struct world w;
	struct tcp_conn *c[8];
	struct tcp_conn_info info[8];

	world_start(&w, (struct world_setup){0});
	for (unsigned i = 0; i < 8; i++) {
		struct tcp_connect to = {.local = w.local,
			.remote = w.peer,
			.remote_port = 80,
			.ops = w.config.ops,
			.user = &w};

		assert_int_equal(tcp_connect(w.stack, &to, w.now, &c[i]), 0);
		tcp_info(c[i], &info[i]);
		assert_in_range(info[i].local_port, 49152, 65535);
		for (unsigned k = 0; k < i; k++)
			assert_int_not_equal(info[i].local_port, info[k].local_port);
	}
	world_end(&w);
	assert_int_equal(w.closes, 8);
	assert_int_equal(w.error, -ECONNABORTED);
}

// Figure 7 of RFC 9293.
static void simultaneous_open_must_10(void **state)
{
	static struct world w;

	world_start(&w, (struct world_setup){0});
	world_connect(&w);
	expect(&w, "S 0");
	arrive(&w, "S 0 <mss 1460>");
	assert_int_equal(world_state(&w), TCP_SYN_RECEIVED);
	expect(&w, "S. 0 ack 1");
	arrive(&w, "S. 0 ack 1 <mss 1460>");
	assert_int_equal(world_state(&w), TCP_ESTABLISHED);
	assert_int_equal(w.accepted, 1);
	tcp_abort(w.conn);
	world_end(&w);
}

// MUST-11: from an active open, a reset in SYN-RECEIVED is told.
static void simultaneous_open_reset_must_11(void **state)
{
	static struct world w;

	world_start(&w, (struct world_setup){0});
	world_connect(&w);
	expect(&w, "S 0");
	arrive(&w, "S 0");
	expect(&w, "S. 0 ack 1");
	arrive(&w, "R 1");
	assert_int_equal(w.error, -ECONNREFUSED);
	world_end(&w);
}

static void syn_ack_lost(void **state)
{
	static struct world w;

	world_start(&w, (struct world_setup){0});
	arrive(&w, "S 0 <mss 1460>");
	expect(&w, "S. 0 ack 1");
	arrive(&w, "S 0 <mss 1460>");  // the peer's SYN again: at once
	expect(&w, "S. 0 ack 1");
	world_run(&w, 1001 * NS_PER_MS);
	expect(&w, "S. 0 ack 1");
	world_run(&w, 2001 * NS_PER_MS);
	expect(&w, "S. 0 ack 1");
	expect_nothing(&w);
	arrive(&w, ". 1 ack 1");
	world_write(&w, 5000);
	expect(&w, ". 1:1461(1460) ack 1");  // RFC 5681 3.1: one segment after a lost SYN
	expect_nothing(&w);
	tcp_abort(w.conn);
	world_end(&w);
}

static void half_open_times_out(void **state)
{
	static struct world w;

	world_start(&w, (struct world_setup){0});
	arrive(&w, "S 0");
	world_run(&w, 180 * NS_PER_SEC);
	assert_int_equal(tcp_conns(w.stack), 1);
	world_run(&w, 120 * NS_PER_SEC);
	assert_int_equal(tcp_conns(w.stack), 0);
	assert_int_equal(w.closes, 0);  // the application never knew it
	assert_int_equal(tcp_counters(w.stack)->timed_out, 1);
	world_drain(&w);
	world_end(&w);
}

static void half_open_wrong_ack_is_reset(void **state)
{
	static struct world w;

	world_start(&w, (struct world_setup){0});
	arrive(&w, "S 0");
	expect(&w, "S. 0 ack 1");
	arrive(&w, ". 1 ack 2");
	expect(&w, "R 2");
	arrive(&w, ". 1 ack 0");
	expect(&w, "R 0");
	assert_int_equal(w.accepted, 0);
	arrive(&w, ". 1 ack 1");
	assert_int_equal(w.accepted, 1);
	tcp_abort(w.conn);
	world_end(&w);
}

static void half_open_reset_and_new_syn(void **state)
{
	static struct world w;

	world_start(&w, (struct world_setup){0});
	arrive(&w, "S 0");
	expect(&w, "S. 0 ack 1");
	arrive(&w, "R 5");  // within the window, not exact: challenged
	expect(&w, ". 1 ack 1");
	assert_int_equal(tcp_conns(w.stack), 1);
	arrive(&w, "R 1");
	assert_int_equal(tcp_conns(w.stack), 0);
	arrive(&w, "S 100");
	world_drain(&w);
	arrive(&w, "S 200");  // another SYN in the window: back to LISTEN
	assert_int_equal(tcp_conns(w.stack), 0);
	world_end(&w);
}

static void accept_refuses(void **state)
{
	static struct world w;

	world_start(&w, (struct world_setup){0});
	w.refuse = true;
	arrive(&w, "S 0");
	expect(&w, "S. 0 ack 1");
	arrive(&w, "P. 1:11(10) ack 1");
	expect(&w, "R. 1 ack 1");
	assert_int_equal(w.accepted, 1);
	assert_int_equal(w.closes, 0);
	assert_int_equal(tcp_conns(w.stack), 0);
	world_end(&w);
}

static void accept_may_abort(void **state)
{
	static struct world w;

	world_start(&w, (struct world_setup){0});
	w.abort_on_accept = true;
	arrive(&w, "S 0");
	expect(&w, "S. 0 ack 1");
	arrive(&w, "P. 1:11(10) ack 1");
	expect(&w, "R. 1 ack 1");
	assert_int_equal(w.closes, 1);
	assert_int_equal(w.error, -ECONNABORTED);
	world_end(&w);
}

// RFC 9293 3.10.7.1 and 3.10.7.2.
static void nobody_listens(void **state)
{
	static struct world w;

	world_start(&w, (struct world_setup){0});
	w.local_port = 9;
	arrive(&w, "S 0");
	expect(&w, "R. %u ack 1", 0);
	arrive(&w, "P. 5:15(10) ack 77");
	expect(&w, "R 77");
	arrive(&w, "F 5:15(10)");
	expect(&w, "R. 0 ack 16");
	arrive(&w, "R 5");
	arrive(&w, "R. 5 ack 9");
	expect_nothing(&w);
	assert_int_equal(tcp_counters(w.stack)->drop_no_listener, 3);
	w.local_port = LOCAL_PORT;
	arrive(&w, ". 5 ack 77");
	expect(&w, "R 77");
	arrive(&w, "F 5");
	arrive(&w, "R 5");
	arrive(&w, "P 5:6(1)");
	expect_nothing(&w);
	world_end(&w);
}

static void wrong_checksum_and_broadcast_are_silent(void **state)
{
	static struct world w;

	world_start(&w, (struct world_setup){0});
	w.bad_checksum = true;
	arrive(&w, "S 0");
	w.bad_checksum = false;
	w.broadcast = true;
	arrive(&w, "S 0");  // MUST-57
	w.broadcast = false;
	w.peer = ip_from_v4(0xffffffff);
	arrive(&w, "S 0");  // MUST-63
	w.peer = ip_from_v4(0x010000e0);
	arrive(&w, "S 0");
	w.peer = ip_from_v4(0x01004d0a);
	w.local = ip_from_v4(0x010000ef);
	arrive(&w, "S 0");
	expect_nothing(&w);
	assert_int_equal(tcp_counters(w.stack)->drop_checksum, 1);
	assert_int_equal(tcp_counters(w.stack)->drop_broadcast, 4);
	assert_int_equal(tcp_conns(w.stack), 0);
	world_end(&w);
}

static void limit_per_address(void **state)
{
	static struct world w;

	world_start(&w, (struct world_setup){0});
	tcp_set_limit_per_address(w.stack, 2);
	world_accept(&w, "mss 1460");
	w.isn_known = false;
	w.peer_port++;
	arrive(&w, "S 0");
	expect(&w, "S. 0 ack 1");
	w.peer_port++;
	arrive(&w, "S 0");
	assert_int_equal(w.out_count, 0);
	world_drain(&w);
	assert_int_equal(tcp_counters(w.stack)->drop_address_limit, 1);
	assert_int_equal(tcp_counters(w.stack)->resets_out, 1);
	w.peer = ip_from_v4(0x03004d0a);  // others are not affected
	arrive(&w, "S 0");
	assert_int_equal(tcp_conns(w.stack), 3);
	tcp_abort(w.conn);
	w.peer = ip_from_v4(0x01004d0a);
	arrive(&w, "S 0");  // and there is room again
	assert_int_equal(tcp_conns(w.stack), 3);
	world_drain(&w);
	world_end(&w);
}

static void listen_and_unlisten(void **state)
{
	static struct world w;

	world_start(&w, (struct world_setup){0});
	assert_int_equal(tcp_listen(w.stack, LOCAL_PORT, &w), -EADDRINUSE);
	for (uint16_t port = 1; port < TCP_LISTENERS_MAX; port++)
		assert_int_equal(tcp_listen(w.stack, port, &w), 0);
	assert_int_equal(tcp_listen(w.stack, 999, &w), -ENOBUFS);
	world_accept(&w, "mss 1460");
	w.peer_port++;
	w.isn_known = false;
	arrive(&w, "S 0");
	expect(&w, "S. 0 ack 1");
	assert_int_equal(tcp_unlisten(w.stack, LOCAL_PORT), 0);
	expect(&w, "R. 1 ack 1");  // the handshake in progress
	assert_int_equal(tcp_conns(w.stack), 1);
	assert_int_equal(world_state(&w), TCP_ESTABLISHED);
	assert_int_equal(tcp_unlisten(w.stack, LOCAL_PORT), -ENOENT);
	arrive(&w, "S 0");
	expect(&w, "R. %u ack 1", 0 - w.isn);
	tcp_abort(w.conn);
	world_end(&w);
}

// Half of the table at most is half open; the established ones stay, and an honest peer gets in.
static void syn_flood(void **state)
{
	static struct world w;

	world_start(&w, (struct world_setup){.conns_max = 16});
	world_accept(&w, "mss 1460");
	for (unsigned i = 0; i < 1000; i++) {
		w.peer_port = (uint16_t)(1000 + i);
		arrive(&w, "S 0");
		assert_in_range(tcp_conns(w.stack), 1, 9);
	}
	world_drain(&w);
	assert_int_equal(tcp_conns(w.stack), 9);
	assert_int_equal(tcp_counters(w.stack)->drop_no_memory, 992);
	w.peer_port = 50000;
	w.isn_known = false;
	arrive(&w, "S 0");
	expect(&w, "S. 0 ack 1");
	arrive(&w, ". 1 ack 1");
	assert_int_equal(w.accepted, 2);
	world_end(&w);
	assert_int_equal(w.closes, 2);
}

static void table_full_of_established(void **state)
{
	static struct world w;

	world_start(&w, (struct world_setup){.conns_max = 4});
	for (unsigned i = 0; i < 4; i++) {
		w.peer_port++;
		w.isn_known = false;
		world_accept(&w, "mss 1460");
	}
	w.peer_port++;
	arrive(&w, "S 0");
	expect(&w, "R. %u ack 1", 0 - w.isn);
	assert_int_equal(tcp_counters(w.stack)->drop_no_memory, 1);
	assert_int_equal(tcp_conns(w.stack), 4);
	world_end(&w);
	assert_int_equal(w.closes, 4);
}

// MUST-8, SHLD-1: the number moves with the clock and differs for every pair of ports.
static void isn_is_keyed_and_moves_rfc6528(void **state)
{
	static struct world w;
	uint32_t isn[3];

	world_start(&w, (struct world_setup){0});
	for (unsigned i = 0; i < 3; i++) {
		w.isn_known = false;
		w.peer_port = (uint16_t)(PEER_PORT + (i == 2));
		arrive(&w, "S 0");
		expect(&w, "S. 0 ack 1");
		isn[i] = w.isn;
		arrive(&w, "R 1");
		world_run(&w, NS_PER_SEC);
	}
	assert_in_range(isn[1] - isn[0], 249000, 251000);
	assert_not_in_range(isn[2] - isn[1], 0, 500000);
	world_end(&w);
}

static void payload_and_fin_on_a_syn_come_again(void **state)
{
	static struct world w;

	world_start(&w, (struct world_setup){0});
	arrive(&w, "SF 0:10(10)");
	expect(&w, "S. 0 ack 1");
	arrive(&w, "F. 1:11(10) ack 1");
	w.received = 0;
	expect(&w, ". 1 ack 12");
	assert_int_equal(w.eofs, 1);
	tcp_abort(w.conn);
	world_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(passive_open),
		cmocka_unit_test(passive_open_v6),
		cmocka_unit_test(option_matrix),
		cmocka_unit_test(window_scale_above_14_is_14_rfc7323_2_3),
		cmocka_unit_test(active_open),
		cmocka_unit_test(active_open_sends_what_was_queued_before),
		cmocka_unit_test(active_open_refused),
		cmocka_unit_test(active_open_with_old_ack),
		cmocka_unit_test(active_open_times_out_must_23),
		cmocka_unit_test(active_open_bad_addresses_must_46),
		cmocka_unit_test(ephemeral_ports_differ_rfc6056),
		cmocka_unit_test(simultaneous_open_must_10),
		cmocka_unit_test(simultaneous_open_reset_must_11),
		cmocka_unit_test(syn_ack_lost),
		cmocka_unit_test(half_open_times_out),
		cmocka_unit_test(half_open_wrong_ack_is_reset),
		cmocka_unit_test(half_open_reset_and_new_syn),
		cmocka_unit_test(accept_refuses),
		cmocka_unit_test(accept_may_abort),
		cmocka_unit_test(nobody_listens),
		cmocka_unit_test(wrong_checksum_and_broadcast_are_silent),
		cmocka_unit_test(limit_per_address),
		cmocka_unit_test(listen_and_unlisten),
		cmocka_unit_test(syn_flood),
		cmocka_unit_test(table_full_of_established),
		cmocka_unit_test(isn_is_keyed_and_moves_rfc6528),
		cmocka_unit_test(payload_and_fin_on_a_syn_come_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
