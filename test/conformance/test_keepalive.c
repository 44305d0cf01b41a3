// SPDX-License-Identifier: Apache-2.0
// Rules 44 to 49: KEEPALIVE.

#include "test/conformance/harness.h"

// On stream 0: elsewhere it means nothing.
static void rule_044(void **state)
{
	struct end *e = server_of(state);

	send_frame(e, RS_KEEPALIVE, 1, RS_FLAG_RESPOND, 0, NULL, "x");
	expect_sent(e, "");
	assert_false(rs_session_ended(&e->s));
}

// A client sends one each interval, with R.
static void rule_045(void **state)
{
	struct end *e = client_of(state);
	ns_t start = e->now, next = rs_tick(&e->s, e->now);

	assert_int_equal(next, start + 20000 * NS_PER_MS);
	expect_sent(e, "");
	e->now = next - 1;
	assert_int_equal(rs_tick(&e->s, e->now), next);
	expect_sent(e, "");
	for (unsigned i = 1; i <= 3; i++) {
		e->now = next;
		send_frame(e, RS_KEEPALIVE, 0, 0, 0, NULL, NULL);
		next = rs_tick(&e->s, e->now);
		assert_int_equal(next, start + (i + 1) * 20000 * NS_PER_MS);
		expect_sent(e, "KEEPALIVE 0 R position=0\n");
	}
}

// While the transport takes nothing, keepalives do not pile up.
static void rule_045_no_pile(void **state)
{
	struct end *e = client_of(state);

	for (unsigned i = 0; i < 3; i++) {
		e->now += 20000 * NS_PER_MS;
		rs_tick(&e->s, e->now);
	}
	expect_sent(e, "KEEPALIVE 0 R position=0\n");
}

// R set: answered with the same data, R clear, whatever the size.
static void rule_046(void **state)
{
	struct end *e = server_of(state);
	struct end *c;

	send_frame(e, RS_KEEPALIVE, 0, RS_FLAG_RESPOND, 0, NULL, "are you there?");
	send_frame(e, RS_KEEPALIVE, 0, RS_FLAG_RESPOND, 0, NULL, NULL);
	send_frame(e, RS_KEEPALIVE, 0, RS_FLAG_RESPOND, 0, NULL, letters(0, 100000));
	expect_sent(e, "KEEPALIVE 0 position=0 d=\"are you there?\"\nKEEPALIVE 0 position=0\n"
		       "KEEPALIVE 0 position=0 d=100000 bytes\n");
	rs_session_fini(&e->s);
	c = client_of(state); // kotlin's backends ask their client
	send_frame(c, RS_KEEPALIVE, 0, RS_FLAG_RESPOND, 0, NULL, "?");
	expect_sent(c, "KEEPALIVE 0 position=0 d=\"?\"\n");
}

static void rule_046_same_bytes(void **state)
{
	struct end *e = server_of(state);
	static uint8_t raw[8192];

	send_frame(e, RS_KEEPALIVE, 0, RS_FLAG_RESPOND, 0, NULL, letters(0, 5000));
	assert_int_equal(sent_raw(e, raw, sizeof(raw)), 3 + 14 + 5000);
	assert_memory_equal(raw + 17, letters(0, 5000), 5000);
}

// What could not be answered with the same data is an error, not memory.
static void rule_046_too_large(void **state)
{
	struct end *e = end_config(
		state, &(struct rs_config){.role = RS_SERVER, .message_bytes_max = 1000});

	send_setup(e);
	events(e);
	send_frame(e, RS_KEEPALIVE, 0, 0, 0, NULL, letters(0, 1001));
	assert_false(rs_session_ended(&e->s));
	send_frame(e, RS_KEEPALIVE, 0, RS_FLAG_RESPOND, 0, NULL, letters(0, 1001));
	expect_events(e, "closed CONNECTION_ERROR \"KEEPALIVE is too large\"\n");
}

// A peer that asks and asks without reading the answers is let go of.
static void rule_046_flood(void **state)
{
	struct end *e = end_config(
		state, &(struct rs_config){.role = RS_SERVER, .queue_bytes_max = 1 << 20});
	unsigned sent_count = 0;

	send_setup(e);
	events(e);
	while (!rs_session_ended(&e->s) && sent_count++ < 1000)
		send_frame(e, RS_KEEPALIVE, 0, RS_FLAG_RESPOND, 0, NULL, letters(0, 10000));
	expect_events(e, "closed CONNECTION_ERROR \"the peer does not read its answers\"\n");
	assert_in_range(sent_count, 100, 106);
}

// R clear: no reply.
static void rule_047(void **state)
{
	struct end *e = server_of(state);

	send_frame(e, RS_KEEPALIVE, 0, 0, 0, NULL, "fine");
	expect_sent(e, "");
}

// Without resume the position is 0, whatever the peer says.
static void rule_048(void **state)
{
	struct end *e = server_of(state);

	send_frame(e, RS_KEEPALIVE, 0, RS_FLAG_RESPOND, 12345, NULL, "x");
	expect_sent(e, "KEEPALIVE 0 position=0 d=\"x\"\n");
}

// Any sign of life counts; silence for the lifetime ends the session.
static void rule_049(void **state)
{
	struct end *e = server_of(state);
	ns_t start = e->now, lifetime = 90000 * NS_PER_MS, next;

	next = rs_tick(&e->s, e->now);
	assert_int_equal(next, start + lifetime);
	e->now = start + lifetime - 1;
	send_frame(e, RS_KEEPALIVE, 0, 0, 0, NULL, NULL);
	e->now = start + lifetime;
	next = rs_tick(&e->s, e->now);
	assert_int_equal(next, start + 2 * lifetime - 1);
	assert_false(rs_session_ended(&e->s));
	send_frame(e, RS_REQUEST_STREAM, 1, 0, 1, NULL, "x");
	next = rs_tick(&e->s, e->now);
	events(e);
	e->now = next;
	assert_int_equal(rs_tick(&e->s, e->now), NS_NEVER);
	expect_events(e, "lost 1 unsent\nclosed CONNECTION_ERROR \"the peer is silent\"\n");
	expect_sent(e, "ERROR 0 CONNECTION_ERROR d=\"the peer is silent\"\n");
}

// Who was stopped itself gives the peer's bytes a chance to be read first.
static void rule_049_late_tick(void **state)
{
	struct end *e = client_of(state);

	rs_tick(&e->s, e->now);
	e->now += 1000000 * NS_PER_MS;
	assert_int_not_equal(rs_tick(&e->s, e->now), NS_NEVER);
	send_frame(e, RS_KEEPALIVE, 0, 0, 0, NULL, NULL);
	rs_tick(&e->s, e->now);
	expect_events(e, "");
	e->now += 1000000 * NS_PER_MS;
	e->now = rs_tick(&e->s, e->now);
	while (e->now != NS_NEVER)
		e->now = rs_tick(&e->s, e->now);
	expect_events(e, "closed CONNECTION_ERROR \"the peer is silent\"\n");
}

// A server may be given a time within which SETUP must come.
static void setup_in_time(void **state)
{
	struct end *e =
		end_config(state, &(struct rs_config){.role = RS_SERVER, .lifetime_ms = 5000});

	e->now = rs_tick(&e->s, e->now);
	assert_int_equal(rs_tick(&e->s, e->now), NS_NEVER);
	expect_events(e, "closed INVALID_SETUP \"no SETUP in time\"\n");
	rs_session_fini(&e->s);
	e = end_new(state, RS_SERVER);
	assert_int_equal(rs_tick(&e->s, e->now), NS_NEVER);
	send_setup(e);
	assert_int_equal(rs_tick(&e->s, e->now), e->now + 90000 * NS_PER_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RULE(044),
		RULE(045),
		RULE(045_no_pile),
		RULE(046),
		RULE(046_same_bytes),
		RULE(046_too_large),
		RULE(046_flood),
		RULE(047),
		RULE(048),
		RULE(049),
		RULE(049_late_tick),
		CASE(setup_in_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
