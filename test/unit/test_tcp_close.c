// SPDX-License-Identifier: Apache-2.0
// How connections end: FIN from either side or both, TIME-WAIT, resets; RST, SYN and FIN in every
// state; keepalive.
#include "test/unit/tcp_world.h"

static struct world w;

static void start(struct world_setup setup)
{
	world_start(&w, setup);
	world_accept(&w, "mss 1460");
}

static uint32_t time_waits(void)
{
	uint32_t n = 0;

	list_for_each(at, &w.stack->time_wait_age)
		n++;
	return n;
}

static void peer_closes_first(void **state)
{
	start((struct world_setup){0});
	arrive(&w, "PF. 1:11(10) ack 1");
	assert_int_equal(w.received, 10);
	assert_int_equal(w.eofs, 1);
	expect(&w, ". 1 ack 12");
	assert_int_equal(world_state(&w), TCP_CLOSE_WAIT);
	world_write(&w, 20);  // half closed: we still may send
	expect(&w, "P. 1:21(20) ack 12");
	arrive(&w, ". 12 ack 21");
	tcp_close(w.conn);
	assert_int_equal(world_state(&w), TCP_LAST_ACK);
	expect(&w, "F. 21 ack 12");
	arrive(&w, ". 12 ack 22");
	assert_int_equal(w.closes, 1);
	assert_int_equal(w.error, 0);
	assert_int_equal(time_waits(), 0);
	world_end(&w);
}

static void we_close_first(void **state)
{
	struct chain out = {0};

	start((struct world_setup){0});
	world_write(&w, 20);
	tcp_close(w.conn);
	assert_int_equal(world_state(&w), TCP_FIN_WAIT_1);
	assert_int_equal(chain_copy(&out, w.pool, "late", 4), 0);
	assert_int_equal(tcp_send(w.conn, &out), -EPIPE);
	expect(&w, "PF. 1:21(20) ack 1");
	arrive(&w, ". 1 ack 22");
	assert_int_equal(world_state(&w), TCP_FIN_WAIT_2);
	arrive(&w, "P. 1:31(30) ack 22");  // half closed: we still receive
	assert_int_equal(w.received, 30);
	arrive(&w, "F. 31 ack 22");
	assert_int_equal(w.eofs, 1);
	assert_int_equal(w.closes, 1);
	assert_int_equal(w.error, 0);
	expect(&w, ". 22 ack 32");
	assert_int_equal(tcp_conns(w.stack), 0);
	assert_int_equal(time_waits(), 1);
	world_run(&w, 59 * NS_PER_SEC);
	assert_int_equal(time_waits(), 1);  // MUST-13
	world_run(&w, 2 * NS_PER_SEC);
	assert_int_equal(time_waits(), 0);
	world_end(&w);
}

static void fin_acknowledges_fin(void **state)
{
	start((struct world_setup){0});
	tcp_close(w.conn);
	expect(&w, "F. 1 ack 1");
	arrive(&w, "F. 1 ack 2");
	assert_int_equal(w.error, 0);
	assert_int_equal(w.closes, 1);
	expect(&w, ". 2 ack 2");
	assert_int_equal(time_waits(), 1);
	world_end(&w);
}

static void simultaneous_close(void **state)
{
	start((struct world_setup){0});
	tcp_close(w.conn);
	expect(&w, "F. 1 ack 1");
	arrive(&w, "F. 1 ack 1");
	assert_int_equal(world_state(&w), TCP_CLOSING);
	assert_int_equal(w.eofs, 1);
	expect(&w, ". 2 ack 2");
	arrive(&w, ". 2 ack 2");
	assert_int_equal(w.closes, 1);
	assert_int_equal(w.error, 0);
	assert_int_equal(time_waits(), 1);
	world_end(&w);
}

static void close_with_much_to_send(void **state)
{
	start((struct world_setup){0});
	world_write(&w, 30000);
	tcp_close(w.conn);
	world_expect_data(&w, 1, 14601);
	expect_nothing(&w);
	arrive(&w, "F. 1 ack 1");  // meanwhile the peer closes
	assert_int_equal(world_state(&w), TCP_CLOSING);
	expect(&w, ". 14601 ack 2");
	while (w.conn->snd_max - w.isn < 30002) {
		arrive(&w, ". 2 ack %u", w.conn->snd_max - w.isn);
		world_drain(&w);
	}
	assert_int_equal(w.closes, 0);
	arrive(&w, ". 2 ack 30002");
	assert_int_equal(w.closes, 1);
	assert_int_equal(w.error, 0);
	world_end(&w);
}

static void close_from_the_eof_event(void **state)
{
	start((struct world_setup){0});
	w.close_on_eof = true;
	arrive(&w, "F. 1 ack 1");
	assert_int_equal(world_state(&w), TCP_LAST_ACK);
	expect(&w, "F. 1 ack 2");
	arrive(&w, ". 2 ack 2");
	assert_int_equal(w.error, 0);
	world_end(&w);
}

static void close_before_established(void **state)
{
	world_start(&w, (struct world_setup){0});
	world_connect(&w);
	expect(&w, "S 0");
	tcp_close(w.conn);
	assert_int_equal(w.closes, 1);
	assert_int_equal(w.error, -ECONNABORTED);
	expect_nothing(&w);
	world_end(&w);
}

static void closing_twice_is_once(void **state)
{
	start((struct world_setup){0});
	tcp_close(w.conn);
	tcp_close(w.conn);
	expect(&w, "F. 1 ack 1");
	expect_nothing(&w);
	tcp_abort(w.conn);
	expect(&w, "R. 2 ack 1");
	world_end(&w);
}

// Brings a fresh connection into a state; our next number is then `una`, the peer's `nxt`.
struct at_state {
	enum tcp_state state;
	uint32_t una, nxt;
	int error;  // that an exact reset gives
};

static const struct at_state states[] = {
	{TCP_SYN_RECEIVED, 1, 1, 0},
	{TCP_ESTABLISHED, 1, 1, -ECONNRESET},
	{TCP_FIN_WAIT_1, 1, 1, -ECONNRESET},
	{TCP_FIN_WAIT_2, 2, 1, -ECONNRESET},
	{TCP_CLOSE_WAIT, 1, 2, -ECONNRESET},
	{TCP_CLOSING, 1, 2, 0},
	{TCP_LAST_ACK, 1, 2, 0},
};

static void enter_state(enum tcp_state to)
{
	world_start(&w, (struct world_setup){0});
	if (to == TCP_SYN_RECEIVED) {
		arrive(&w, "S 0 <mss 1460>");
		world_drain(&w);
		return;
	}
	world_accept(&w, "mss 1460");
	switch (to) {
	case TCP_FIN_WAIT_1:
	case TCP_FIN_WAIT_2:
	case TCP_CLOSING:
		tcp_close(w.conn);
		world_drain(&w);
		if (to == TCP_FIN_WAIT_2)
			arrive(&w, ". 1 ack 2");
		if (to == TCP_CLOSING)
			arrive(&w, "F. 1 ack 1");
		break;
	case TCP_CLOSE_WAIT:
	case TCP_LAST_ACK:
		arrive(&w, "F. 1 ack 1");
		if (to == TCP_LAST_ACK)
			tcp_close(w.conn);
		break;
	default:
		break;
	}
	world_drain(&w);
	assert_int_equal(world_state(&w), to);
}

static void leave_state(void)
{
	world_drain(&w);
	world_end(&w);
}

#define EACH_STATE(s)                                                                            \
	for (const struct at_state *s = states; s < states + sizeof(states) / sizeof(states[0]); \
		s++)

// RFC 9293 3.10.7.4 with RFC 5961 3.2: exact: reset; in the window: challenge; outside: silence.
static void rst_in_every_state_rfc5961(void **state)
{
	EACH_STATE(s)
	{
		enter_state(s->state);
		arrive(&w, "R %u", s->nxt);
		assert_int_equal(tcp_conns(w.stack), 0);
		assert_int_equal(w.closes, s->state == TCP_SYN_RECEIVED ? 0 : 1);
		assert_int_equal(w.error, s->error);
		assert_int_equal(tcp_counters(w.stack)->resets_in, 1);
		expect_nothing(&w);
		leave_state();

		enter_state(s->state);
		arrive(&w, "R %u", s->nxt + 100);
		expect(&w, ". %u ack %u", w.conn ? w.conn->snd_max - w.isn : 1, s->nxt);
		arrive(&w, "R %u", s->nxt + 200);  // limited
		arrive(&w, "R %u", s->nxt - 1);
		arrive(&w, "R %u", s->nxt + 70000);
		expect_nothing(&w);
		assert_int_equal(tcp_conns(w.stack), 1);
		assert_int_equal(tcp_counters(w.stack)->challenge_acks, 1);
		assert_int_equal(tcp_counters(w.stack)->challenge_limited, 1);
		assert_int_equal(tcp_counters(w.stack)->drop_window, 2);
		world_run(&w, 600 * NS_PER_MS);
		world_drain(&w);
		arrive(&w, "R %u", s->nxt + 100);
		expect(&w, ". %u ack %u", w.conn ? w.conn->snd_max - w.isn : 1, s->nxt);
		leave_state();
	}
}

// RFC 5961 4.2: wherever it lies, a SYN is only challenged; a real one is proved by the reset that
// follows.
static void syn_in_every_state_rfc5961(void **state)
{
	static const uint32_t offsets[] = {0, 100, 70000, 0x80000000};

	EACH_STATE(s)
	{
		if (s->state == TCP_SYN_RECEIVED)
			continue;  // test_tcp_open.c
		for (unsigned i = 0; i < 4; i++) {
			enter_state(s->state);
			arrive(&w, "S %u", s->nxt + offsets[i]);
			expect(&w, ". %u ack %u", w.conn->snd_max - w.isn, s->nxt);
			assert_int_equal(world_state(&w), s->state);
			arrive(&w, "S. %u ack %u", s->nxt + offsets[i], s->una);
			expect_nothing(&w);
			assert_int_equal(world_state(&w), s->state);
			leave_state();
		}
	}
}

static void fin_in_every_state(void **state)
{
	static const enum tcp_state after[] = {[TCP_SYN_RECEIVED] = TCP_CLOSE_WAIT,
		[TCP_ESTABLISHED] = TCP_CLOSE_WAIT,
		[TCP_FIN_WAIT_1] = TCP_CLOSING,
		[TCP_FIN_WAIT_2] = TCP_CLOSED,
		[TCP_CLOSE_WAIT] = TCP_CLOSE_WAIT,
		[TCP_CLOSING] = TCP_CLOSING,
		[TCP_LAST_ACK] = TCP_LAST_ACK};

	EACH_STATE(s)
	{
		unsigned eofs;

		enter_state(s->state);
		arrive(&w, "F. %u ack %u", s->nxt, s->una);
		assert_int_equal(world_state(&w), after[s->state]);
		eofs = w.eofs;
		assert_int_equal(eofs, 1);
		world_drain(&w);
		arrive(&w, "F. %u ack %u", s->nxt, s->una);  // again: our ACK was lost
		assert_int_equal(w.eofs, eofs);
		if (s->state != TCP_CLOSE_WAIT && s->state != TCP_CLOSING &&
			s->state != TCP_LAST_ACK)
			expect_last(&w, ". %u ack 2",
				s->state == TCP_FIN_WAIT_1 || s->state == TCP_FIN_WAIT_2 ? 2 : 1);
		leave_state();
	}
}

// No ACK bit: nothing happens (RFC 9293 3.10.7.4, fifth step).
static void without_ack_in_every_state(void **state)
{
	EACH_STATE(s)
	{
		enum tcp_state before;

		enter_state(s->state);
		before = world_state(&w);
		arrive(&w, "P %u:%u(10)", s->nxt, s->nxt + 10);
		arrive(&w, "F %u", s->nxt);
		assert_int_equal(world_state(&w), before);
		assert_int_equal(w.received, 0);
		leave_state();
	}
}

// After the peer's FIN its payload is nothing; before it, the half that is open goes on.
static void text_in_every_state(void **state)
{
	EACH_STATE(s)
	{
		bool open = s->nxt == 1;

		enter_state(s->state);
		arrive(&w, "P. %u:%u(10) ack %u", s->nxt, s->nxt + 10, s->una);
		assert_int_equal(w.received, open ? 10 : 0);
		assert_int_equal(tcp_counters(w.stack)->drop_after_close, open ? 0 : 1);
		leave_state();
	}
}

static void enter_time_wait(struct world_setup setup)
{
	start(setup);
	tcp_close(w.conn);
	arrive(&w, ". 1 ack 1");
	world_drain(&w);
	arrive(&w, "F. 1 ack 2");
	expect(&w, ". 2 ack 2");
	assert_int_equal(time_waits(), 1);
}

static void time_wait_answers(void **state)
{
	enter_time_wait((struct world_setup){0});
	world_run(&w, 50 * NS_PER_SEC);
	arrive(&w, "F. 1 ack 2");  // our ACK was lost: again, and 2 MSL from now
	expect(&w, ". 2 ack 2");
	world_run(&w, 50 * NS_PER_SEC);
	assert_int_equal(time_waits(), 1);
	arrive(&w, "R 2");  // RFC 1337
	arrive(&w, "R 50");
	assert_int_equal(time_waits(), 1);
	expect_nothing(&w);
	arrive(&w, "P. 2:12(10) ack 2");
	expect(&w, ". 2 ack 2");
	arrive(&w, "P. 2:12(10) ack 2");
	expect_nothing(&w);  // limited
	arrive(&w, ". 2 ack 2");
	expect_nothing(&w);
	assert_int_equal(tcp_counters(w.stack)->drop_after_close, 2);
	world_run(&w, 11 * NS_PER_SEC);
	assert_int_equal(time_waits(), 0);
	arrive(&w, "P. 2:12(10) ack 2");
	expect(&w, "R 2");
	world_end(&w);
}

// MAY-2: a newer SYN begins a new connection, with numbers beyond the old ones.
static void time_wait_new_syn_may_2(void **state)
{
	uint32_t old_isn;

	enter_time_wait((struct world_setup){0});
	arrive(&w, "S 1 <mss 1460>");  // not newer
	expect(&w, ". 2 ack 2");
	assert_int_equal(tcp_conns(w.stack), 0);
	old_isn = w.isn;
	w.isn_known = false;
	w.peer_isn += 1000;
	arrive(&w, "S 0 <mss 1460>");
	expect(&w, "S. 0 ack 1");
	assert_true(seq_gt(w.isn, old_isn + 2));
	assert_int_equal(time_waits(), 0);
	arrive(&w, ". 1 ack 1");
	assert_int_equal(w.accepted, 2);
	tcp_abort(w.conn);
	world_drain(&w);
	world_end(&w);
}

// RFC 6191: a newer timestamp serves as well as a newer number.
static void time_wait_new_syn_by_timestamp_rfc6191(void **state)
{
	world_start(&w, (struct world_setup){0});
	world_accept(&w, "mss 1460,ts 4294967040:0");
	tcp_close(w.conn);
	world_drain(&w);
	arrive(&w, "F. 1 ack 2");
	world_drain(&w);
	w.peer_isn -= 50000;
	w.peer_ts = false;
	arrive(&w, "S 0 <mss 1460,ts 4294967000:0>");
	world_drain(&w);
	assert_int_equal(time_waits(), 1);
	arrive(&w, "S 0 <mss 1460,ts 4294967041:0>");
	assert_int_equal(time_waits(), 0);
	assert_int_equal(tcp_conns(w.stack), 1);
	world_drain(&w);
	world_end(&w);
}

static void time_wait_is_bounded(void **state)
{
	world_start(&w, (struct world_setup){.time_wait_max = 4});
	for (unsigned i = 0; i < 10; i++) {
		w.isn_known = false;
		w.peer_port = (uint16_t)(1000 + i);
		world_accept(&w, "mss 1460");
		tcp_close(w.conn);
		world_drain(&w);
		arrive(&w, "F. 1 ack 2");
		world_drain(&w);
		assert_int_equal(time_waits(), i < 4 ? i + 1 : 4);
	}
	arrive(&w, "F. 1 ack 2");  // the youngest is still known
	expect(&w, ". 2 ack 2");
	w.peer_port = 1000;
	arrive(&w, "F. 1 ack 2");  // the oldest is not
	expect(&w, "R 2");
	world_end(&w);
}

// An active open of the same names takes the record, with numbers beyond.
static void time_wait_and_active_open(void **state)
{
	uint32_t old_isn;

	enter_time_wait((struct world_setup){0});
	old_isn = w.isn;
	w.isn_known = false;
	world_connect(&w);
	expect(&w, "S 0");
	assert_true(seq_gt(w.isn, old_isn + 2));
	assert_int_equal(time_waits(), 0);
	world_end(&w);
}

static void abort_sends_reset_and_frees_all(void **state)
{
	start((struct world_setup){0});
	w.hold = true;
	arrive(&w, "P. 1:11(10) ack 1");
	arrive(&w, "P. 21:31(10) ack 1");
	world_write(&w, 5000);
	world_drain(&w);
	assert_int_equal(w.bufs_out, 1);
	tcp_abort(w.conn);
	assert_int_equal(w.bufs_out, 0);
	assert_int_equal(w.error, -ECONNABORTED);
	expect(&w, "R. 5001 ack 11");
	world_end(&w);
}

// MUST-25: off by default. MUST-24, MUST-26, MUST-27: on request, only when idle. MUST-29: one lost
// answer is nothing.
static void keepalive(void **state)
{
	start((struct world_setup){0});
	world_run(&w, 24 * 3600 * NS_PER_SEC);
	expect_nothing(&w);
	tcp_set_keepalive(w.conn, 100 * NS_PER_SEC);
	arrive(&w, ". 1 ack 1");
	world_run(&w, 99 * NS_PER_SEC);
	arrive(&w, "P. 1:2(1) ack 1");
	world_run(&w, 99 * NS_PER_SEC);
	expect(&w, ". 1 ack 2");
	expect_nothing(&w);
	world_run(&w, 2 * NS_PER_SEC);
	expect(&w, ". 0 ack 2");  // SHLD-12: a number before, without data
	arrive(&w, ". 2 ack 1");
	world_run(&w, 99 * NS_PER_SEC);
	expect_nothing(&w);
	world_run(&w, 2 * NS_PER_SEC);
	for (unsigned i = 0; i < 9; i++) {
		expect(&w, ". 0 ack 2");
		expect_nothing(&w);
		assert_int_equal(world_state(&w), TCP_ESTABLISHED);
		world_run(&w, 75 * NS_PER_SEC);
	}
	assert_int_equal(w.error, -ETIMEDOUT);
	expect(&w, "R. 1 ack 2");
	world_end(&w);
}

// What is outstanding is repeated anyway: no probes besides.
static void keepalive_keeps_quiet_while_data_waits(void **state)
{
	start((struct world_setup){0});
	tcp_set_keepalive(w.conn, NS_PER_SEC);
	world_write(&w, 100);
	world_run(&w, 20 * NS_PER_SEC);
	assert_true(w.out_count > 3);
	while (w.out_count > 0)
		expect(&w, "P. 1:101(100) ack 1");
	tcp_abort(w.conn);
	world_drain(&w);
	world_end(&w);
}

static void keepalive_is_answered(void **state)
{
	start((struct world_setup){0});
	arrive(&w, ". 0 ack 1");
	expect(&w, ". 1 ack 1");
	arrive(&w, ". 0:1(1) ack 1");  // with a garbage octet
	expect(&w, ". 1 ack 1");
	assert_int_equal(w.received, 0);
	tcp_abort(w.conn);
	world_drain(&w);
	world_end(&w);
}

// A peer that vanished in FIN-WAIT-2 does not hold the connection for ever; one that lives may.
static void fin_wait_2_of_a_dead_peer(void **state)
{
	start((struct world_setup){0});
	tcp_close(w.conn);
	world_drain(&w);
	arrive(&w, ". 1 ack 2");
	for (unsigned i = 0; i < 20; i++) {
		world_run(&w, 61 * NS_PER_SEC);
		expect(&w, ". 1 ack 1");
		arrive(&w, ". 1 ack 2");
		expect_nothing(&w);
	}
	assert_int_equal(world_state(&w), TCP_FIN_WAIT_2);
	world_run(&w, 1000 * NS_PER_SEC);
	assert_int_equal(w.error, -ETIMEDOUT);
	world_drain(&w);
	world_end(&w);
}

// A stack that ends takes its connections with it, silently.
static void destroy_ends_all(void **state)
{
	start((struct world_setup){0});
	world_write(&w, 5000);
	arrive(&w, "P. 21:31(10) ack 1");
	world_drain(&w);
	world_end(&w);
	assert_int_equal(w.closes, 1);
	assert_int_equal(w.error, -ECONNABORTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(peer_closes_first),
		cmocka_unit_test(we_close_first),
		cmocka_unit_test(fin_acknowledges_fin),
		cmocka_unit_test(simultaneous_close),
		cmocka_unit_test(close_with_much_to_send),
		cmocka_unit_test(close_from_the_eof_event),
		cmocka_unit_test(close_before_established),
		cmocka_unit_test(closing_twice_is_once),
		cmocka_unit_test(rst_in_every_state_rfc5961),
		cmocka_unit_test(syn_in_every_state_rfc5961),
		cmocka_unit_test(fin_in_every_state),
		cmocka_unit_test(without_ack_in_every_state),
		cmocka_unit_test(text_in_every_state),
		cmocka_unit_test(time_wait_answers),
		cmocka_unit_test(time_wait_new_syn_may_2),
		cmocka_unit_test(time_wait_new_syn_by_timestamp_rfc6191),
		cmocka_unit_test(time_wait_is_bounded),
		cmocka_unit_test(time_wait_and_active_open),
		cmocka_unit_test(abort_sends_reset_and_frees_all),
		cmocka_unit_test(keepalive),
		cmocka_unit_test(keepalive_keeps_quiet_while_data_waits),
		cmocka_unit_test(keepalive_is_answered),
		cmocka_unit_test(fin_wait_2_of_a_dead_peer),
		cmocka_unit_test(destroy_ends_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
