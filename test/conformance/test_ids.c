// SPDX-License-Identifier: Apache-2.0
// Rules 15 to 22: stream ids; and the ignore rules 71 to 75.

#include <stdlib.h>

#include "test/conformance/harness.h"

// Stream id 0 is for the connection: no request lives there.
static void rule_015(void **state)
{
	struct end *e = server_of(state);

	send_frame(e, RS_REQUEST_RESPONSE, 0, 0, 0, NULL, "x");
	expect_events(
		e, "closed CONNECTION_ERROR \"request on a stream id that is not the peer's\"\n");
}

// Client ids are 1, 3, 5...
static void rule_016(void **state)
{
	struct end *e = client_of(state);
	struct rs_message message = message_of(NULL, "fnf");

	ask(e, RS_REQUEST_RESPONSE, 1, "a");
	ask(e, RS_REQUEST_STREAM, 9, "b");
	assert_int_equal(rs_fire_and_forget(&e->s, &message), 0);
	ask(e, RS_REQUEST_RESPONSE, 1, "c");
	expect_sent(e, "REQUEST_RESPONSE 1 d=\"a\"\nREQUEST_STREAM 3 n=9 d=\"b\"\n"
		       "REQUEST_FNF 5 d=\"fnf\"\nREQUEST_RESPONSE 7 d=\"c\"\n");
}

// Ids leave in order whatever overtakes what, and without gaps: a request cancelled while it waited
// was never there.
static void rule_016_in_order(void **state)
{
	struct end *e = end_config(state, &(struct rs_config){.fragment_bytes = 64});
	struct rs_stream *large, *dropped;
	const char *at;
	unsigned next = 1;

	large = ask(e, RS_REQUEST_RESPONSE, 1, letters(0, 200));
	dropped = ask(e, RS_REQUEST_RESPONSE, 1, letters(1, 100));
	assert_int_equal(large->id, 0);
	ask(e, RS_REQUEST_RESPONSE, 1, "small");
	assert_int_equal(e->stream->id, 1);
	rs_cancel(dropped);
	ask(e, RS_REQUEST_RESPONSE, 1, letters(2, 90));
	for (at = sent(e); (at = strstr(at, "REQUEST_RESPONSE ")); at += 17, next += 2)
		assert_int_equal(strtoul(at + 17, NULL, 10), next);
	assert_int_equal(next, 7);
	assert_int_equal(large->id, 3);
	assert_null(strstr(e->sent, "CANCEL"));
}

// A client is asked on even ids only; the answer goes there.
static void rule_017(void **state)
{
	struct end *e = server_of(state), *client;

	ask(e, RS_REQUEST_RESPONSE, 1, "from the server");
	ask(e, RS_REQUEST_STREAM, 3, "more");
	expect_sent(
		e, "REQUEST_RESPONSE 2 d=\"from the server\"\nREQUEST_STREAM 4 n=3 d=\"more\"\n");
	send_frame(e, RS_PAYLOAD, 2, RS_FLAG_NEXT | RS_FLAG_COMPLETE, 0, NULL, "reply");
	expect_events(e, "payload 2 NC d=\"reply\"\n");
	rs_session_fini(&e->s);

	client = client_of(state);
	send_frame(client, RS_REQUEST_RESPONSE, 2, 0, 0, NULL, "x");
	expect_events(client, "request RESPONSE 2 d=\"x\"\n");
	answer(client->stream, "y", true, true);
	expect_sent(client, "PAYLOAD 2 NC d=\"y\"\n");
	send_frame(client, RS_REQUEST_RESPONSE, 3, 0, 0, NULL, "x");
	expect_events(client,
		"closed CONNECTION_ERROR \"request on a stream id that is not the peer's\"\n");
}

// The same id on two connections of one pool is two streams.
static void rule_018(void **state)
{
	struct end *one = server_of(state), *two = calloc(1, sizeof(*two));
	void *second = two;
	struct rs_stream *first;

	server_of(&second);
	two->config.pool = one->config.pool;
	send_frame(one, RS_REQUEST_RESPONSE, 1, 0, 0, NULL, "one");
	send_frame(two, RS_REQUEST_RESPONSE, 1, 0, 0, NULL, "two");
	first = one->stream;
	assert_ptr_not_equal(first, two->stream);
	send_frame(two, RS_CANCEL, 1, 0, 0, NULL, NULL);
	expect_events(two, "request RESPONSE 1 d=\"two\"\ncancel 1\n");
	expect_events(one, "request RESPONSE 1 d=\"one\"\n");
	answer(first, "still here", true, true);
	expect_sent(one, "PAYLOAD 1 NC d=\"still here\"\n");
	rs_session_fini(&two->s);
	free(two);
}

// After 2^31-1 ids begin again and leave out those in use.
static void rule_019(void **state)
{
	struct end *e = client_of(state);
	struct rs_stream *first, *second;

	first = ask(e, RS_REQUEST_STREAM, 1, "1");
	second = ask(e, RS_REQUEST_STREAM, 1, "3");
	ask(e, RS_REQUEST_STREAM, 1, "5");
	rs_cancel(second);
	e->s.next_id = RS_STREAM_ID_MAX;
	sent(e);
	ask(e, RS_REQUEST_RESPONSE, 1, "last");
	ask(e, RS_REQUEST_RESPONSE, 1, "wrapped");
	ask(e, RS_REQUEST_RESPONSE, 1, "next");
	expect_sent(e, "REQUEST_RESPONSE 2147483647 d=\"last\"\nREQUEST_RESPONSE 3 d=\"wrapped\"\n"
		       "REQUEST_RESPONSE 7 d=\"next\"\n");
	assert_int_equal(first->id, 1);
}

static void rule_019_server(void **state)
{
	struct end *e = server_of(state);

	e->s.next_id = RS_STREAM_ID_MAX - 1;
	ask(e, RS_REQUEST_RESPONSE, 1, "last");
	ask(e, RS_REQUEST_RESPONSE, 1, "wrapped");
	expect_sent(
		e, "REQUEST_RESPONSE 2147483646 d=\"last\"\nREQUEST_RESPONSE 2 d=\"wrapped\"\n");
}

// A responder takes an id again once its stream has ended.
static void rule_020(void **state)
{
	struct end *e = server_of(state);

	for (unsigned i = 0; i < 3; i++) {
		send_frame(e, RS_REQUEST_RESPONSE, 5, 0, 0, NULL, "again");
		expect_events(e, "request RESPONSE 5 d=\"again\"\n");
		answer(e->stream, "yes", true, true);
		expect_sent(e, "PAYLOAD 5 NC d=\"yes\"\n");
	}
}

// A request on an id in use is ignored, also while its first request is incomplete, and when what
// it brings would be refused.
static void rule_021(void **state)
{
	struct end *e = server_of(state);

	send_frame(e, RS_REQUEST_STREAM, 1, 0, 5, NULL, "first");
	send_frame(e, RS_REQUEST_STREAM, 1, 0, 9, NULL, "second");
	send_frame(e, RS_REQUEST_CHANNEL, 1, 0, 9, NULL, "third");
	send_frame(e, RS_REQUEST_STREAM, 1, 0, 0, NULL, "no credit");
	expect_events(e, "request STREAM 1 n=5 d=\"first\"\n");
	send_frame(e, RS_REQUEST_RESPONSE, 3, RS_FLAG_FOLLOWS, 0, NULL, "begun");
	send_frame(e, RS_REQUEST_RESPONSE, 3, 0, 0, NULL, "anew");
	send_frame(e, RS_PAYLOAD, 3, RS_FLAG_NEXT, 0, NULL, ", ended");
	expect_events(e, "request RESPONSE 3 d=\"begun, ended\"\n");
	expect_sent(e, "");
}

// An id that was used is not used again before the wrap.
static void rule_022(void **state)
{
	struct end *e = client_of(state);

	for (unsigned i = 0; i < 5; i++) {
		char line[64];

		ask(e, RS_REQUEST_RESPONSE, 1, "x");
		snprintf(line, sizeof(line), "REQUEST_RESPONSE %u d=\"x\"\n", 2 * i + 1);
		expect_sent(e, line);
		send_frame(e, RS_PAYLOAD, 2 * i + 1, RS_FLAG_NEXT | RS_FLAG_COMPLETE, 0, NULL, "y");
	}
}

// Frames for streams that are not there, or for stream 0, are ignored. One test body, a rule each.
static void ignored(void **state, enum rs_type type, uint16_t flags, uint64_t value, bool on_zero)
{
	for (unsigned role = 0; role < 2; role++) {
		struct end *e = role ? client_of(state) : server_of(state);

		send_frame(e, type, 1, flags, value, NULL, NULL);
		send_frame(e, type, 2, flags, value, NULL, NULL);
		send_frame(e, type, RS_STREAM_ID_MAX, flags, value, NULL, NULL);
		if (on_zero)
			send_frame(e, type, 0, flags, value, NULL, NULL);
		expect_events(e, "");
		expect_sent(e, "");
		assert_false(rs_session_ended(&e->s));
		rs_session_fini(&e->s);
	}
}

static void rule_071(void **state)
{
	ignored(state, RS_CANCEL, 0, 0, true);
}

static void rule_072(void **state)
{
	ignored(state, RS_ERROR, 0, RS_ERROR_APPLICATION, false);
}

static void rule_073(void **state)
{
	ignored(state, RS_PAYLOAD, RS_FLAG_NEXT, 0, true);
	ignored(state, RS_PAYLOAD, RS_FLAG_NEXT | RS_FLAG_FOLLOWS, 0, true);
	ignored(state, RS_PAYLOAD, RS_FLAG_COMPLETE, 0, true);
}

static void rule_074(void **state)
{
	struct end *e = server_of(state);

	send_frame(e, RS_METADATA_PUSH, 1, RS_FLAG_METADATA, 0, "pushed", NULL);
	expect_events(e, "");
	send_frame(e, RS_METADATA_PUSH, 0, RS_FLAG_METADATA, 0, "pushed", NULL);
	expect_events(e, "push \"pushed\"\n");
}

static void rule_075(void **state)
{
	ignored(state, RS_REQUEST_N, 0, 5, true);
	ignored(state, RS_REQUEST_N, 0, 0, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RULE(015),
		RULE(016),
		RULE(016_in_order),
		RULE(017),
		RULE(018),
		RULE(019),
		RULE(019_server),
		RULE(020),
		RULE(021),
		RULE(022),
		RULE(071),
		RULE(072),
		RULE(073),
		RULE(074),
		RULE(075),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
