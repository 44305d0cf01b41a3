// SPDX-License-Identifier: Apache-2.0
// Rules 76 to 82: ERROR; and how sessions end: drain, close, abort.

#include "test/conformance/harness.h"

// Connection codes are sent on stream 0 only: on a stream they become APPLICATION_ERROR.
static void rule_076(void **state)
{
	static const uint32_t codes[] = {0, RS_ERROR_INVALID_SETUP, RS_ERROR_REJECTED_RESUME,
		RS_ERROR_CONNECTION, RS_ERROR_CONNECTION_CLOSE, UINT32_MAX};
	struct end *e = server_of(state);

	for (unsigned i = 0; i < 6; i++) {
		char line[64];

		send_frame(e, RS_REQUEST_RESPONSE, 2 * i + 1, 0, 0, NULL, "x");
		rs_error(e->stream, codes[i], "no");
		snprintf(line, sizeof(line), "ERROR %u APPLICATION_ERROR d=\"no\"\n", 2 * i + 1);
		expect_sent(e, line);
	}
}

// Stream codes on stream 0: whoever sends them means the connection.
static void rule_077(void **state)
{
	struct end *e = client_of(state);

	send_frame(e, RS_ERROR, 0, 0, RS_ERROR_INVALID, NULL, "what?");
	expect_events(e, "closed INVALID \"what?\"\n");
}

// Each stream code arrives as it was sent.
static void rule_077_on_streams(void **state)
{
	static const uint32_t codes[] = {
		RS_ERROR_APPLICATION, RS_ERROR_REJECTED, RS_ERROR_CANCELED, RS_ERROR_INVALID};
	struct end *e = client_of(state);

	for (unsigned i = 0; i < 4; i++) {
		char line[64];

		ask(e, RS_REQUEST_STREAM, 1, "x");
		send_frame(e, RS_ERROR, 2 * i + 1, 0, codes[i], NULL, "because");
		snprintf(line, sizeof(line), "error %u %s \"because\"\n", 2 * i + 1,
			rs_error_name(codes[i]));
		expect_events(e, line);
	}
	assert_int_equal(rs_session_streams(&e->s), 0);
}

// CONNECTION_ERROR ends the session at once.
static void rule_078(void **state)
{
	struct end *e = client_of(state);

	ask(e, RS_REQUEST_RESPONSE, 1, "left");
	sent(e);
	ask(e, RS_REQUEST_RESPONSE, 1, "not left");
	send_frame(e, RS_ERROR, 0, 0, RS_ERROR_CONNECTION, NULL, "bad luck");
	expect_events(e, "lost 1 sent\nlost 3 unsent\nclosed CONNECTION_ERROR \"bad luck\"\n");
	expect_sent(e, "");
	send_frame(e, RS_KEEPALIVE, 0, RS_FLAG_RESPOND, 0, NULL, NULL);
	expect_sent(e, "");
}

// CONNECTION_CLOSE: streams go on, new ones are refused on both sides, then the session ends.
static void rule_079(void **state)
{
	struct end *e = client_of(state);
	struct rs_message message = message_of(NULL, "x");
	int error = 0;

	ask(e, RS_REQUEST_STREAM, 2, "x");
	sent(e);
	send_frame(e, RS_ERROR, 0, 0, RS_ERROR_CONNECTION_CLOSE, NULL, NULL);
	assert_null(rs_request(&e->s, RS_REQUEST_RESPONSE, 1, &message, NULL, &error));
	assert_int_equal(error, -ESHUTDOWN);
	message = message_of(NULL, "x");
	assert_int_equal(rs_fire_and_forget(&e->s, &message), -ESHUTDOWN);
	send_frame(e, RS_REQUEST_RESPONSE, 2, 0, 0, NULL, "x");
	send_frame(e, RS_PAYLOAD, 1, RS_FLAG_NEXT, 0, NULL, "a");
	expect_events(e, "payload 1 N d=\"a\"\n");
	expect_sent(e, "ERROR 2 REJECTED d=\"draining\"\n");
	send_frame(e, RS_PAYLOAD, 1, RS_FLAG_NEXT | RS_FLAG_COMPLETE, 0, NULL, "b");
	expect_events(e, "payload 1 NC d=\"b\"\nclosed CONNECTION_CLOSE \"closed by the peer\"\n");
	expect_sent(e, "");
}

// A user's call that ends the last stream ends the session at the next pull, not under the user.
static void rule_079_by_cancel(void **state)
{
	struct end *e = client_of(state);

	ask(e, RS_REQUEST_STREAM, 2, "x");
	sent(e);
	send_frame(e, RS_ERROR, 0, 0, RS_ERROR_CONNECTION_CLOSE, NULL, NULL);
	rs_cancel(e->stream);
	assert_false(rs_session_ended(&e->s));
	assert_true(rs_output_pending(&e->s));
	expect_sent(e, "CANCEL 1\n");
	expect_events(e, "closed CONNECTION_CLOSE \"closed by the peer\"\n");
}

// Our own drain: what runs ends, what comes is REJECTED, CONNECTION_CLOSE is the last frame.
static void rule_079_drain(void **state)
{
	struct end *e = server_of(state);
	struct rs_stream *one;

	send_frame(e, RS_REQUEST_STREAM, 1, 0, 1, NULL, "x");
	one = e->stream;
	events(e);
	rs_session_drain(&e->s);
	send_frame(e, RS_REQUEST_RESPONSE, 3, 0, 0, NULL, "x");
	expect_sent(e, "ERROR 3 REJECTED d=\"draining\"\n");
	answer(one, "a", true, false);
	answer(one, "b", true, true);
	expect_sent(e, "PAYLOAD 1 N d=\"a\"\n");
	expect_events(e, "");
	send_frame(e, RS_REQUEST_N, 1, 0, 1, NULL, NULL);
	expect_sent(e, "PAYLOAD 1 NC d=\"b\"\nERROR 0 CONNECTION_CLOSE d=\"drained\"\n");
	expect_events(e, "closed CONNECTION_CLOSE \"drained\"\n");
	assert_false(rs_output_pending(&e->s));
}

static void drain_idle(void **state)
{
	struct end *e = server_of(state);

	rs_session_drain(&e->s);
	rs_session_drain(&e->s);
	assert_true(rs_output_pending(&e->s));
	expect_sent(e, "ERROR 0 CONNECTION_CLOSE d=\"drained\"\n");
	expect_events(e, "closed CONNECTION_CLOSE \"drained\"\n");
}

// REJECTED guarantees no processing: what we refuse was never reported to the user.
static void rule_080(void **state)
{
	struct end *e = end_config(
		state, &(struct rs_config){
			       .role = RS_SERVER, .message_bytes_max = 1000, .streams_max = 4});

	send_setup(e);
	events(e);
	send_frame(e, RS_REQUEST_RESPONSE, 1, 0, 0, NULL, letters(0, 1001));
	send_frame(e, RS_REQUEST_STREAM, 3, RS_FLAG_FOLLOWS, 5, NULL, letters(0, 900));
	send_frame(e, RS_PAYLOAD, 3, RS_FLAG_NEXT, 0, NULL, letters(0, 101));
	rs_session_drain(&e->s);
	expect_events(e, "");
	assert_non_null(strstr(sent(e), "ERROR 1 REJECTED d=\"message too large\"\n"
					"ERROR 3 REJECTED d=\"message too large\"\n"));
}

// Unsent requests are told from sent ones, so that only those are tried again.
static void rule_080_lost(void **state)
{
	struct end *e = end_config(state, &(struct rs_config){.fragment_bytes = 64});

	sent(e);
	ask(e, RS_REQUEST_RESPONSE, 1, "sent");
	sent(e);
	ask(e, RS_REQUEST_RESPONSE, 1, "encoded");
	ask(e, RS_REQUEST_STREAM, 1, letters(0, 1000)); // waits on its stream
	assert_int_equal(e->stream->id, 0);
	rs_session_abort(&e->s);
	expect_events(e, "lost 1 sent\nlost 3 unsent\nlost 0 unsent\n");
	assert_false(rs_output_pending(&e->s));
	assert_true(rs_session_ended(&e->s));
	rs_session_abort(&e->s);
	expect_events(e, "");
}

// A session that we end still sends what is encoded, so those requests count as sent.
static void rule_080_close(void **state)
{
	struct end *e = end_config(state, &(struct rs_config){.fragment_bytes = 64});

	sent(e);
	ask(e, RS_REQUEST_RESPONSE, 1, "encoded");
	ask(e, RS_REQUEST_STREAM, 1, letters(0, 1000));
	rs_session_close(&e->s, RS_ERROR_CONNECTION, "enough");
	rs_session_close(&e->s, RS_ERROR_CONNECTION, "twice");
	expect_events(e, "lost 1 sent\nlost 0 unsent\nclosed CONNECTION_ERROR \"enough\"\n");
	expect_sent(e, "REQUEST_RESPONSE 1 d=\"encoded\"\nERROR 0 CONNECTION_ERROR d=\"enough\"\n");
}

// Error text is bytes: no NUL is added or looked for, and what is too long is cut.
static void rule_081(void **state)
{
	struct end *e = server_of(state);
	uint8_t raw[8192];

	send_frame(e, RS_REQUEST_RESPONSE, 1, 0, 0, NULL, "x");
	rs_error(e->stream, RS_ERROR_APPLICATION, "z\xc3\xbcgig");
	assert_int_equal(sent_raw(e, raw, sizeof(raw)), 13 + 6);
	assert_memory_equal(raw + 13, "z\xc3\xbcgig", 6);
	send_frame(e, RS_REQUEST_RESPONSE, 3, 0, 0, NULL, "x");
	rs_error(e->stream, RS_ERROR_APPLICATION, letters(0, 5000));
	assert_int_equal(sent_raw(e, raw, sizeof(raw)), 13 + 4096);
	send_frame(e, RS_REQUEST_RESPONSE, 5, 0, 0, NULL, "x");
	rs_error(e->stream, RS_ERROR_APPLICATION, "");
	expect_sent(e, "ERROR 5 APPLICATION_ERROR\n");
}

// Application codes and their text pass unchanged.
static void rule_082(void **state)
{
	static const uint32_t codes[] = {0x301, 0x12345678, 0xfffffffe};
	struct end *e = server_of(state), *c;
	struct chain text = {0};

	for (unsigned i = 0; i < 3; i++) {
		char line[64];

		send_frame(e, RS_REQUEST_RESPONSE, 2 * i + 1, 0, 0, NULL, "x");
		chain_push(&text, NULL, (const uint8_t *)"a\0b", 3);
		rs_error_relay(e->stream, codes[i], &text);
		assert_true(chain_empty(&text));
		snprintf(line, sizeof(line), "ERROR %u application-defined %08x d=\"a.b\"\n",
			2 * i + 1, codes[i]);
		expect_sent(e, line);
	}
	rs_session_fini(&e->s);
	c = client_of(state);
	events(c);
	for (unsigned i = 0; i < 3; i++) {
		char line[64];

		ask(c, RS_REQUEST_RESPONSE, 1, "x");
		send_frame(c, RS_ERROR, 2 * i + 1, 0, codes[i], NULL, "mine");
		snprintf(line, sizeof(line), "error %u application-defined %08x \"mine\"\n",
			2 * i + 1, codes[i]);
		expect_events(c, line);
	}
}

// An error waits behind the items before it.
static void error_behind_items(void **state)
{
	struct end *e = server_of(state);

	send_frame(e, RS_REQUEST_STREAM, 1, 0, 1, NULL, "x");
	answer(e->stream, "a", true, false);
	answer(e->stream, "b", true, false);
	rs_error(e->stream, RS_ERROR_APPLICATION, "then");
	expect_sent(e, "PAYLOAD 1 N d=\"a\"\n");
	send_frame(e, RS_REQUEST_N, 1, 0, 1, NULL, NULL);
	expect_sent(e, "PAYLOAD 1 N d=\"b\"\nERROR 1 APPLICATION_ERROR d=\"then\"\n");
}

// An ERROR from the requester (rule 60, later for channels) ends its stream like CANCEL.
static void error_from_requester(void **state)
{
	struct end *e = server_of(state);

	send_frame(e, RS_REQUEST_STREAM, 1, 0, 1, NULL, "x");
	send_frame(e, RS_ERROR, 1, 0, RS_ERROR_APPLICATION, NULL, "I fail");
	expect_events(e, "request STREAM 1 n=1 d=\"x\"\ncancel 1\n");
}

// A callback may end the session it is called for.
static void close_in_callback(struct rs_stream *stream, struct rs_message *message)
{
	rs_session_close(stream->session, RS_ERROR_CONNECTION, "enough");
}

static void abort_in_callback(
	struct rs_stream *stream, struct rs_message *message, bool next, bool complete)
{
	rs_session_abort(stream->session);
}

static void end_in_callback(void **state)
{
	struct end *e = server_of(state);
	uint8_t raw[256];
	size_t len;

	e->handler.request = close_in_callback;
	send_frame(e, RS_REQUEST_RESPONSE, 3, RS_FLAG_FOLLOWS, 0, NULL, "never ends");
	len = frame_bytes(raw, RS_REQUEST_RESPONSE, 1, 0, 0, NULL, "x");
	len += frame_bytes(raw + len, RS_REQUEST_RESPONSE, 5, 0, 0, NULL, "x");
	send_bytes(e, raw, len);
	expect_events(e, "lost 1 unsent\nclosed CONNECTION_ERROR \"enough\"\n");
	expect_sent(e, "ERROR 0 CONNECTION_ERROR d=\"enough\"\n");
	rs_session_fini(&e->s);
	e = client_of(state);
	e->handler.payload = abort_in_callback;
	ask(e, RS_REQUEST_RESPONSE, 1, "x");
	ask(e, RS_REQUEST_STREAM, 1, "x");
	len = frame_bytes(raw, RS_PAYLOAD, 1, RS_FLAG_NEXT | RS_FLAG_COMPLETE, 0, NULL, "x");
	len += frame_bytes(raw + len, RS_PAYLOAD, 3, RS_FLAG_NEXT, 0, NULL, "x");
	send_bytes(e, raw, len);
	expect_events(e, "lost 3 unsent\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RULE(076),
		RULE(077),
		RULE(077_on_streams),
		RULE(078),
		RULE(079),
		RULE(079_by_cancel),
		RULE(079_drain),
		CASE(drain_idle),
		RULE(080),
		RULE(080_lost),
		RULE(080_close),
		RULE(081),
		RULE(082),
		CASE(error_behind_items),
		CASE(error_from_requester),
		CASE(end_in_callback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
