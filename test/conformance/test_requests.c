// SPDX-License-Identifier: Apache-2.0
// Rules 50 to 54 and 62 to 70: requests, credit, ends of streams; and what a user may rely on.

#include "test/conformance/harness.h"

// Initial n > 0.
static void rule_050(void **state)
{
	struct end *e = server_of(state);

	send_frame(e, RS_REQUEST_STREAM, 1, 0, 0, NULL, "x");
	expect_events(e, "");
	expect_sent(e, "ERROR 1 INVALID d=\"initial request n must not be 0\"\n");
	assert_int_equal(rs_session_streams(&e->s), 0);
}

// REQUEST_N > 0: 0 costs the stream, not the connection.
static void rule_051(void **state)
{
	struct end *e = server_of(state);

	send_frame(e, RS_REQUEST_STREAM, 1, 0, 1, NULL, "x");
	send_frame(e, RS_REQUEST_N, 1, 0, 0, NULL, NULL);
	expect_events(e, "request STREAM 1 n=1 d=\"x\"\ncancel 1\n");
	expect_sent(e, "ERROR 1 INVALID d=\"request n must not be 0\"\n");
	send_frame(e, RS_REQUEST_N, 1, 0, 5, NULL, NULL);
	expect_events(e, "");
}

// On a request-response credit has no meaning.
static void rule_051_request_response(void **state)
{
	struct end *e = server_of(state);

	send_frame(e, RS_REQUEST_RESPONSE, 1, 0, 0, NULL, "x");
	send_frame(e, RS_REQUEST_N, 1, 0, 0, NULL, NULL);
	send_frame(e, RS_REQUEST_N, 1, 0, 7, NULL, NULL);
	expect_events(e, "request RESPONSE 1 d=\"x\"\n");
	answer(e->stream, "y", true, true);
	expect_sent(e, "PAYLOAD 1 NC d=\"y\"\n");
}

// Credits add up.
static void rule_052(void **state)
{
	struct end *e = server_of(state);

	send_frame(e, RS_REQUEST_STREAM, 1, 0, 2, NULL, "x");
	assert_int_equal(rs_stream_credit(e->stream), 2);
	send_frame(e, RS_REQUEST_N, 1, 0, 3, NULL, NULL);
	send_frame(e, RS_REQUEST_N, 1, 0, 1, NULL, NULL);
	expect_events(e, "request STREAM 1 n=2 d=\"x\"\nrequest_n 1 3\nrequest_n 1 1\n");
	assert_int_equal(rs_stream_credit(e->stream), 6);
	answer(e->stream, "a", true, false);
	assert_int_equal(rs_stream_credit(e->stream), 5);
}

// Never more items than credited: the others wait, in order, and so does the end behind them.
static void rule_053(void **state)
{
	struct end *e = server_of(state);

	send_frame(e, RS_REQUEST_STREAM, 1, 0, 2, NULL, "x");
	events(e);
	answer(e->stream, "a", true, false);
	answer(e->stream, "b", true, false);
	answer(e->stream, "c", true, false);
	answer(e->stream, "d", true, false);
	assert_int_equal(rs_stream_credit(e->stream), 0);
	assert_int_equal(rs_stream_queued_bytes(e->stream), 2);
	answer(e->stream, NULL, false, true);
	expect_sent(e, "PAYLOAD 1 N d=\"a\"\nPAYLOAD 1 N d=\"b\"\n");
	assert_false(rs_output_pending(&e->s));
	send_frame(e, RS_REQUEST_N, 1, 0, 1, NULL, NULL);
	expect_sent(e, "PAYLOAD 1 N d=\"c\"\n");
	assert_int_equal(rs_session_streams(&e->s), 1);
	send_frame(e, RS_REQUEST_N, 1, 0, 1, NULL, NULL);
	expect_sent(e, "PAYLOAD 1 N d=\"d\"\nPAYLOAD 1 C\n");
	assert_int_equal(rs_session_streams(&e->s), 0);
	expect_events(e, ""); // the user was done with it
}

// What waits for its turn has used up its credit already.
static void rule_053_queued_items(void **state)
{
	struct end *e = server_of(state);

	send_frame(e, RS_REQUEST_STREAM, 1, 0, 4, NULL, "x");
	answer(e->stream, letters(0, 100000), true, false);
	answer(e->stream, "b", true, false);
	assert_int_equal(rs_stream_credit(e->stream), 2);
	sent(e);
	assert_int_equal(rs_stream_credit(e->stream), 2);
}

// An end needs no credit.
static void rule_053_end_without_credit(void **state)
{
	struct end *e = server_of(state);

	send_frame(e, RS_REQUEST_STREAM, 1, 0, 1, NULL, "x");
	answer(e->stream, "a", true, false);
	answer(e->stream, NULL, false, true);
	send_frame(e, RS_REQUEST_STREAM, 3, 0, 1, NULL, "x");
	answer(e->stream, "b", true, false);
	rs_error(e->stream, RS_ERROR_APPLICATION, "over");
	expect_sent(e, "PAYLOAD 1 N d=\"a\"\nPAYLOAD 1 C\nPAYLOAD 3 N d=\"b\"\n"
		       "ERROR 3 APPLICATION_ERROR d=\"over\"\n");
}

// There is no infinity; sums stop at 2^31-1 without overflow, at both ends.
static void rule_054(void **state)
{
	struct end *e = server_of(state);
	struct end *c;

	send_frame(e, RS_REQUEST_STREAM, 1, 0, RS_CREDIT_MAX, NULL, "x");
	for (unsigned i = 0; i < 5; i++)
		send_frame(e, RS_REQUEST_N, 1, 0, RS_CREDIT_MAX, NULL, NULL);
	assert_int_equal(rs_stream_credit(e->stream), RS_CREDIT_MAX);
	answer(e->stream, "a", true, false);
	assert_int_equal(rs_stream_credit(e->stream), RS_CREDIT_MAX - 1);
	rs_session_fini(&e->s);

	// The peer's sum never passes it either (go counts in an int32).
	c = client_of(state);
	ask(c, RS_REQUEST_STREAM, RS_CREDIT_MAX, "x");
	rs_request_n(c->stream, 10);
	expect_sent(c, "REQUEST_STREAM 1 n=2147483647 d=\"x\"\n");
	for (unsigned i = 0; i < 3; i++)
		send_frame(c, RS_PAYLOAD, 1, RS_FLAG_NEXT, 0, NULL, "i");
	rs_request_n(c->stream, RS_CREDIT_MAX);
	expect_sent(c, "REQUEST_N 1 n=3\n");
}

// Grants made before the request left go with it, those after its begin behind its end.
static void request_n_and_the_request(void **state)
{
	struct end *e = end_config(state, &(struct rs_config){.fragment_bytes = 64});
	struct chain out = {0};

	sent(e);
	ask(e, RS_REQUEST_STREAM, 2, letters(0, 150));
	rs_request_n(e->stream, 3);
	rs_output(&e->s, &out, 1);
	chain_append(&e->out, &out);
	rs_request_n(e->stream, 4);
	rs_request_n(e->stream, 5);
	expect_sent(e,
		"REQUEST_STREAM 1 F n=5 "
		"d=\"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzab\"\n"
		"PAYLOAD 1 FN d=\"cdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefgh\"\n"
		"PAYLOAD 1 N d=\"ijklmnopqrstuvwxyzabcdefghijklmnopqrst\"\nREQUEST_N 1 n=9\n");
}

// CANCEL ends the stream at the responder; nothing follows.
static void rule_062(void **state)
{
	struct end *e = server_of(state);
	struct rs_stream *stream;

	send_frame(e, RS_REQUEST_STREAM, 1, 0, 1, NULL, "x");
	stream = e->stream;
	answer(stream, "a", true, false);
	answer(stream, "b", true, false);
	sent(e);
	send_frame(e, RS_CANCEL, 1, 0, 0, NULL, NULL);
	send_frame(e, RS_REQUEST_N, 1, 0, 9, NULL, NULL);
	expect_events(e, "request STREAM 1 n=1 d=\"x\"\ncancel 1\n");
	expect_sent(e, "");
	assert_int_equal(rs_session_streams(&e->s), 0);
	// Also when the user was done and the rest waited for credit: then without an event.
	send_frame(e, RS_REQUEST_STREAM, 3, 0, 1, NULL, "x");
	answer(e->stream, "a", true, false);
	answer(e->stream, "b", true, true);
	send_frame(e, RS_CANCEL, 3, 0, 0, NULL, NULL);
	expect_events(e, "request STREAM 3 n=1 d=\"x\"\n");
	expect_sent(e, "PAYLOAD 3 N d=\"a\"\n");
	assert_int_equal(rs_session_streams(&e->s), 0);
}

// Our own CANCEL: after the request if that has left or is about to; nothing at all if it has not.
static void cancel_by_requester(void **state)
{
	struct end *e = end_config(state, &(struct rs_config){.fragment_bytes = 64});

	sent(e);
	ask(e, RS_REQUEST_RESPONSE, 1, "x");
	assert_false(rs_stream_sent(e->stream));
	rs_cancel(e->stream);
	expect_sent(e, "REQUEST_RESPONSE 1 d=\"x\"\nCANCEL 1\n");
	send_frame(e, RS_PAYLOAD, 1, RS_FLAG_NEXT | RS_FLAG_COMPLETE, 0, NULL, "late");
	ask(e, RS_REQUEST_RESPONSE, 1, letters(0, 500)); // queued, for it needs fragments
	rs_cancel(e->stream);
	expect_sent(e, "");
	ask(e, RS_REQUEST_RESPONSE, 1, letters(0, 150));
	rs_output(&e->s, &e->out, 1);
	assert_true(rs_stream_sent(e->stream));
	rs_cancel(e->stream);
	expect_sent(e, "REQUEST_RESPONSE 3 F "
		       "d=\"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdef\"\n"
		       "CANCEL 3\n");
	expect_events(e, "");
}

// The reply to a request-response is one PAYLOAD with C; a missing C is assumed.
static void rule_063(void **state)
{
	struct end *e = client_of(state);

	ask(e, RS_REQUEST_RESPONSE, 1, "1");
	ask(e, RS_REQUEST_RESPONSE, 1, "3");
	ask(e, RS_REQUEST_RESPONSE, 1, "5");
	ask(e, RS_REQUEST_RESPONSE, 1, "7");
	send_frame(e, RS_PAYLOAD, 1, RS_FLAG_NEXT | RS_FLAG_COMPLETE, 0, NULL, "a");
	send_frame(e, RS_PAYLOAD, 3, RS_FLAG_NEXT, 0, NULL, "b");
	send_frame(e, RS_PAYLOAD, 5, 0, 0, NULL, "c");
	send_frame(e, RS_PAYLOAD, 7, RS_FLAG_COMPLETE, 0, NULL, NULL);
	send_frame(e, RS_PAYLOAD, 3, RS_FLAG_COMPLETE, 0, NULL, NULL);
	expect_events(e,
		"payload 1 NC d=\"a\"\npayload 3 NC d=\"b\"\npayload 5 NC d=\"c\"\npayload 7 C\n");
	assert_int_equal(rs_session_streams(&e->s), 0);
}

// We always send N and C: rsocket-js 0.0.27 hangs on C alone, and one frame is all there may be.
static void rule_063_responder(void **state)
{
	struct end *e = server_of(state);
	struct rs_stream *stream;

	for (uint32_t id = 1; id <= 5; id += 2) {
		send_frame(e, RS_REQUEST_RESPONSE, id, 0, 0, NULL, "x");
		stream = e->stream;
		answer(stream, id == 5 ? NULL : "y", id != 5, id != 1);
	}
	expect_sent(e, "PAYLOAD 1 NC d=\"y\"\nPAYLOAD 3 NC d=\"y\"\nPAYLOAD 5 NC\n");
	assert_int_equal(rs_session_streams(&e->s), 0);
}

// Nothing ever comes back for a fire-and-forget: not for a good one, nor for one refused.
static void rule_064(void **state)
{
	struct end *e = end_config(
		state, &(struct rs_config){
			       .role = RS_SERVER, .message_bytes_max = 1000, .streams_max = 1});

	send_setup(e);
	send_frame(e, RS_REQUEST_STREAM, 1, 0, 1, NULL, "x");
	events(e);
	send_frame(e, RS_REQUEST_FNF, 3, 0, 0, NULL, "good");
	expect_events(e, "request FNF 3 d=\"good\"\n");
	send_frame(e, RS_REQUEST_FNF, 5, 0, 0, NULL, letters(0, 1001));
	send_frame(e, RS_REQUEST_FNF, 7, RS_FLAG_FOLLOWS, 0, NULL, "over streams_max");
	rs_session_drain(&e->s);
	send_frame(e, RS_REQUEST_FNF, 9, 0, 0, NULL, "draining");
	expect_events(e, "");
	expect_sent(e, "");
}

// What a user answers to a fire-and-forget goes nowhere.
static void answer_it(struct rs_stream *stream, struct rs_message *message)
{
	struct end *e = stream->session->user;

	assert_int_equal(answer(stream, "?", true, true), 0);
	rs_error(stream, RS_ERROR_APPLICATION, "?");
	rs_cancel(stream);
	e->wakes += 1000;
}

static void rule_064_answered(void **state)
{
	struct end *e = server_of(state);

	e->handler.request = answer_it;
	send_frame(e, RS_REQUEST_FNF, 1, 0, 0, NULL, "x");
	assert_int_equal(e->wakes, 1000);
	expect_sent(e, "");
}

// Every PAYLOAD of ours has N or C; one with neither costs its stream.
static void rule_065(void **state)
{
	struct end *e = client_of(state);

	ask(e, RS_REQUEST_STREAM, 5, "x");
	sent(e);
	send_frame(e, RS_PAYLOAD, 1, 0, 0, NULL, "what is this");
	expect_events(e, "error 1 INVALID \"payload with neither next nor complete\"\n");
	expect_sent(e, "CANCEL 1\n");
	assert_false(rs_session_ended(&e->s));
}

// N without data is an item.
static void rule_066(void **state)
{
	struct end *e = client_of(state);
	struct end *s;

	ask(e, RS_REQUEST_STREAM, 5, "x");
	send_frame(e, RS_PAYLOAD, 1, RS_FLAG_NEXT, 0, NULL, NULL);
	send_frame(e, RS_PAYLOAD, 1, RS_FLAG_NEXT | RS_FLAG_COMPLETE, 0, NULL, NULL);
	expect_events(e, "payload 1 N\npayload 1 NC\n");
	rs_session_fini(&e->s);
	s = server_of(state);
	send_frame(s, RS_REQUEST_STREAM, 1, 0, 1, NULL, "x");
	answer(s->stream, NULL, true, false);
	answer(s->stream, NULL, true, true); // waits: it is an item
	expect_sent(s, "PAYLOAD 1 N\n");
}

// C without N carries no data.
static void rule_067(void **state)
{
	struct end *e = client_of(state);
	struct end *s;

	ask(e, RS_REQUEST_STREAM, 5, "x");
	send_frame(e, RS_PAYLOAD, 1, RS_FLAG_COMPLETE, 0, "m", "not data");
	expect_events(e, "payload 1 C\n");
	rs_session_fini(&e->s);
	s = server_of(state);
	send_frame(s, RS_REQUEST_STREAM, 1, 0, 1, NULL, "x");
	answer(s->stream, "not data", false, true);
	expect_sent(s, "PAYLOAD 1 C\n");
}

// F and C both set: F is ignored. But rust begins its fragmented replies with F, C and N.
static void rule_068(void **state)
{
	struct end *e = client_of(state);

	ask(e, RS_REQUEST_STREAM, 5, "x");
	send_frame(e, RS_PAYLOAD, 1, RS_FLAG_FOLLOWS | RS_FLAG_COMPLETE, 0, NULL, NULL);
	expect_events(e, "payload 1 C\n");
	ask(e, RS_REQUEST_RESPONSE, 1, "x");
	send_frame(e, RS_PAYLOAD, 3, RS_FLAG_FOLLOWS | RS_FLAG_COMPLETE | RS_FLAG_NEXT, 0, "m",
		"one ");
	send_frame(e, RS_PAYLOAD, 3, RS_FLAG_FOLLOWS, 0, NULL, "two ");
	expect_events(e, "");
	send_frame(e, RS_PAYLOAD, 3, 0, 0, NULL, "three");
	expect_events(e, "payload 3 NC m=\"m\" d=\"one two three\"\n");
	ask(e, RS_REQUEST_STREAM, 5, "x");
	send_frame(
		e, RS_PAYLOAD, 5, RS_FLAG_FOLLOWS | RS_FLAG_NEXT | RS_FLAG_COMPLETE, 0, NULL, "a");
	send_frame(e, RS_PAYLOAD, 5, RS_FLAG_FOLLOWS | RS_FLAG_COMPLETE, 0, NULL, "b");
	send_frame(e, RS_PAYLOAD, 5, 0, 0, NULL, "c");
	expect_events(e, "payload 5 NC d=\"abc\"\n");
}

// A missing REQUEST_N is nobody's business: the stream waits.
static void rule_069(void **state)
{
	struct end *e = server_of(state);

	send_frame(e, RS_REQUEST_STREAM, 1, 0, 1, NULL, "x");
	answer(e->stream, "a", true, false);
	answer(e->stream, "b", true, false);
	sent(e);
	events(e);
	for (unsigned i = 0; i < 100; i++) {
		e->now += 80000 * NS_PER_MS;
		send_frame(e, RS_KEEPALIVE, 0, 0, 0, NULL, NULL);
		rs_tick(&e->s, e->now);
	}
	expect_events(e, "");
	expect_sent(e, "");
	send_frame(e, RS_REQUEST_N, 1, 0, 1, NULL, NULL);
	expect_sent(e, "PAYLOAD 1 N d=\"b\"\n");
}

// Frames of one stream keep their order, a small one behind a large one too; other streams do not
// wait.
static void rule_070(void **state)
{
	struct end *e =
		end_config(state, &(struct rs_config){.role = RS_SERVER, .fragment_bytes = 64});
	struct rs_stream *one;

	send_setup(e);
	send_frame(e, RS_REQUEST_STREAM, 1, 0, 9, NULL, "x");
	one = e->stream;
	send_frame(e, RS_REQUEST_RESPONSE, 3, 0, 0, NULL, "x");
	answer(one, letters(0, 100), true, false);
	answer(one, "small", true, false);
	answer(one, NULL, false, true);
	answer(e->stream, "other", true, true);
	expect_sent(e,
		"PAYLOAD 3 NC d=\"other\"\n"
		"PAYLOAD 1 FN d=\"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdef\"\n"
		"PAYLOAD 1 N d=\"ghijklmnopqrstuvwxyzabcdefghijklmnopqrstuv\"\n"
		"PAYLOAD 1 N d=\"small\"\nPAYLOAD 1 C\n");
}

// A peer that ignores our credit is borne for a while, then its stream is cut.
static void credit_ignored(void **state)
{
	struct end *e = client_of(state);
	unsigned count = 0;

	ask(e, RS_REQUEST_STREAM, 2, "x");
	sent(e);
	while (rs_session_streams(&e->s) && count < 5000) {
		events(e);
		send_frame(e, RS_PAYLOAD, 1, RS_FLAG_NEXT, 0, NULL, "i");
		count++;
	}
	assert_int_equal(count, 2 + RS_EXCESS_ITEMS_MAX + 1);
	expect_events(e, "error 1 CANCELED \"far more items than requested\"\n");
	expect_sent(e, "CANCEL 1\n");
	// By bytes as well.
	ask(e, RS_REQUEST_STREAM, 1, "x");
	for (count = 0; rs_session_streams(&e->s) && count < 100; count++)
		send_frame(e, RS_PAYLOAD, 3, RS_FLAG_NEXT, 0, NULL, letters(0, 100000));
	assert_int_equal(count, 1 + 11);
	// What is granted later makes up for it.
	ask(e, RS_REQUEST_STREAM, 1, "x");
	for (count = 0; count < 5000; count++) {
		send_frame(e, RS_PAYLOAD, 5, RS_FLAG_NEXT, 0, NULL, "i");
		if (count % 1000 == 999)
			rs_request_n(e->stream, 1000);
		events(e);
	}
	assert_int_equal(rs_session_streams(&e->s), 1);
}

// A queue has an end: the item that does not fit is refused, the stream goes on.
static void queue_full(void **state)
{
	struct end *e = end_config(
		state, &(struct rs_config){.role = RS_SERVER, .stream_queue_bytes_max = 10000});
	int error = 0;

	send_setup(e);
	send_frame(e, RS_REQUEST_STREAM, 1, 0, 1, NULL, "x");
	answer(e->stream, "credited", true, false);
	for (unsigned i = 0; i < 9 && !error; i++)
		error = answer(e->stream, letters(0, 1000), true, false);
	assert_int_equal(error, -ENOBUFS);
	assert_int_equal(rs_stream_queued_bytes(e->stream), 8000);
	rs_error(e->stream, RS_ERROR_CANCELED, "too slow");
	expect_sent(e, "PAYLOAD 1 N d=\"credited\"\n");
	send_frame(e, RS_REQUEST_N, 1, 0, 100, NULL, NULL);
	assert_non_null(strstr(sent(e), "ERROR 1 CANCELED d=\"too slow\"\n"));
}

// Empty items are bounded too, by what it costs to hold them.
static void queue_full_of_nothing(void **state)
{
	struct end *e = end_config(
		state, &(struct rs_config){.role = RS_SERVER, .stream_queue_bytes_max = 12800});
	unsigned count = 0;

	send_setup(e);
	send_frame(e, RS_REQUEST_STREAM, 1, 0, 1, NULL, "x");
	answer(e->stream, NULL, true, false);
	while (answer(e->stream, NULL, true, false) == 0 && count < 1000)
		count++;
	assert_int_equal(count, 100);
	rs_error(e->stream, RS_ERROR_CANCELED, "too slow");
	expect_sent(e, "PAYLOAD 1 N\nERROR 1 CANCELED d=\"too slow\"\n");
	assert_int_equal(rs_session_streams(&e->s), 0);
}

// More streams than allowed are refused, safe to retry.
static void streams_max(void **state)
{
	struct end *e = end_config(state, &(struct rs_config){.role = RS_SERVER, .streams_max = 2});

	send_setup(e);
	for (uint32_t id = 1; id <= 7; id += 2)
		send_frame(e, RS_REQUEST_RESPONSE, id, 0, 0, NULL, "x");
	expect_sent(e, "ERROR 5 REJECTED d=\"too many streams\"\nERROR 7 REJECTED d=\"too many "
		       "streams\"\n");
	send_frame(e, RS_CANCEL, 1, 0, 0, NULL, NULL);
	send_frame(e, RS_REQUEST_RESPONSE, 9, 0, 0, NULL, "x");
	answer(e->stream, "y", true, true);
	expect_sent(e, "PAYLOAD 9 NC d=\"y\"\n");
}

// Channels are refused so far, their later frames ignored.
static void channel_refused(void **state)
{
	struct end *e = server_of(state);

	send_frame(e, RS_REQUEST_CHANNEL, 1, 0, 5, NULL, "x");
	send_frame(e, RS_PAYLOAD, 1, RS_FLAG_NEXT, 0, NULL, "item");
	send_frame(e, RS_REQUEST_N, 1, 0, 5, NULL, NULL);
	send_frame(e, RS_PAYLOAD, 1, RS_FLAG_COMPLETE, 0, NULL, NULL);
	send_frame(e, RS_REQUEST_CHANNEL, 3, RS_FLAG_COMPLETE, 5, NULL, "x");
	expect_events(e, "");
	expect_sent(e, "ERROR 1 REJECTED d=\"channels are not supported yet\"\n"
		       "ERROR 3 REJECTED d=\"channels are not supported yet\"\n");
}

// Without somebody to ask, requests are refused.
static void no_handler(void **state)
{
	struct end *e = server_of(state);

	e->handler.request = NULL;
	send_frame(e, RS_REQUEST_RESPONSE, 1, 0, 0, NULL, "x");
	send_frame(e, RS_REQUEST_FNF, 3, 0, 0, NULL, "x");
	expect_sent(e, "ERROR 1 REJECTED d=\"no requests are taken here\"\n");
}

// pulled tells what of the queue has left, and nothing of what went straight out.
static size_t pulled_bytes;
static unsigned pulls;

static void on_pulled(struct rs_stream *stream, size_t bytes)
{
	pulled_bytes += bytes;
	pulls++;
}

static void pulled(void **state)
{
	struct end *e = server_of(state);

	pulled_bytes = pulls = 0;
	e->handler.pulled = on_pulled;
	send_frame(e, RS_REQUEST_STREAM, 1, 0, 1, NULL, "x");
	answer(e->stream, "straight out", true, false);
	answer(e->stream, letters(0, 3000), true, false);
	answer(e->stream, letters(0, 70000), true, false);
	assert_int_equal(rs_stream_queued_bytes(e->stream), 73000);
	sent(e);
	assert_int_equal(pulled_bytes, 0);
	send_frame(e, RS_REQUEST_N, 1, 0, 1, NULL, NULL);
	sent(e);
	assert_int_equal(pulled_bytes, 3000);
	send_frame(e, RS_REQUEST_N, 1, 0, 1, NULL, NULL);
	sent(e);
	assert_int_equal(pulled_bytes, 73000);
	assert_int_equal(rs_stream_queued_bytes(e->stream), 0);
	assert_int_equal(rs_stream_queued_cost(e->stream), 0);
	// Empty items wait too (rule 66), and their leaving is told.
	pulls = 0;
	answer(e->stream, "", true, false);
	answer(e->stream, "", true, false);
	assert_int_equal(rs_stream_queued_cost(e->stream), 2 * RS_QUEUED_OVERHEAD_BYTES);
	send_frame(e, RS_REQUEST_N, 1, 0, 2, NULL, NULL);
	sent(e);
	assert_int_equal(pulls, 1);
	assert_int_equal(pulled_bytes, 73000);
	assert_int_equal(rs_stream_queued_cost(e->stream), 0);
}

// All that was left to be put out was cancelled, so nobody pulls; what comes next wakes again.
static void wakes_again(void **state)
{
	struct end *e = server_of(state);
	struct chain out = {0};
	unsigned wakes;

	send_frame(e, RS_REQUEST_STREAM, 1, 0, 9, NULL, "x");
	answer(e->stream, letters(0, 400000), true, false);
	rs_output(&e->s, &out, 1);
	chain_clear(&out);
	assert_true(rs_output_pending(&e->s));
	send_frame(e, RS_CANCEL, 1, 0, 0, NULL, NULL);
	assert_false(rs_output_pending(&e->s));
	wakes = e->wakes;
	send_frame(e, RS_REQUEST_RESPONSE, 3, 0, 0, NULL, "x");
	answer(e->stream, "y", true, true);
	assert_int_equal(e->wakes, wakes + 1);
}

// A large message does not delay small ones, and large ones share alike.
static void round_robin(void **state)
{
	struct end *e =
		end_config(state, &(struct rs_config){.role = RS_SERVER, .fragment_bytes = 1024});
	struct rs_stream *large[2];
	struct chain out = {0};
	size_t bytes = 0;

	send_setup(e);
	for (uint32_t i = 0; i < 2; i++) {
		send_frame(e, RS_REQUEST_STREAM, 2 * i + 1, 0, 9, NULL, "x");
		large[i] = e->stream;
		assert_int_equal(answer(large[i], letters(i, 1000000), true, false), 0);
	}
	send_frame(e, RS_REQUEST_RESPONSE, 5, 0, 0, NULL, "x");
	while (bytes < 500000)
		bytes += rs_output(&e->s, &out, 4096);
	chain_clear(&out);
	assert_in_range(rs_stream_queued_bytes(large[0]), rs_stream_queued_bytes(large[1]) - 2048,
		rs_stream_queued_bytes(large[1]) + 2048);
	answer(e->stream, "small", true, true);
	rs_output(&e->s, &e->out, 4096);
	assert_true(strncmp(sent(e), "PAYLOAD 5 NC d=\"small\"\n", 23) == 0);
}

// Large messages get a turn at each pull, even if small ones fill it every time.
static void no_starvation(void **state)
{
	struct end *e =
		end_config(state, &(struct rs_config){.role = RS_SERVER, .fragment_bytes = 1024});
	struct rs_stream *large;

	send_setup(e);
	send_frame(e, RS_REQUEST_STREAM, 1, 0, 1, NULL, "x");
	large = e->stream;
	answer(large, letters(0, 100000), true, false);
	for (uint32_t i = 0; i < 100; i++) {
		send_frame(e, RS_REQUEST_RESPONSE, 2 * i + 3, 0, 0, NULL, "x");
		answer(e->stream, letters(1, 900), true, true);
		rs_output(&e->s, &e->out, 500);
	}
	assert_int_equal(rs_stream_queued_bytes(large), 0);
}

// A stream that was idle has saved nothing up.
static void no_savings(void **state)
{
	struct end *e =
		end_config(state, &(struct rs_config){.role = RS_SERVER, .fragment_bytes = 1024});
	struct rs_stream *one, *two;
	struct chain out = {0};

	send_setup(e);
	send_frame(e, RS_REQUEST_STREAM, 1, 0, 1, NULL, "x");
	one = e->stream;
	send_frame(e, RS_REQUEST_STREAM, 3, 0, 1, NULL, "x");
	two = e->stream;
	answer(one, "first", true, false);
	for (unsigned i = 0; i < 100; i++) {
		answer(one, "waits for credit", true, false);
		send_frame(e, RS_REQUEST_N, 1, 0, 1, NULL, NULL);
		sent(e);
	}
	send_frame(e, RS_REQUEST_N, 1, 0, 1, NULL, NULL);
	answer(one, letters(0, 100000), true, false);
	answer(two, letters(1, 100000), true, false);
	rs_output(&e->s, &out, 40000);
	chain_clear(&out);
	assert_in_range(rs_stream_queued_bytes(one), rs_stream_queued_bytes(two) - 2048,
		rs_stream_queued_bytes(two) + 2048);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RULE(050),
		RULE(051),
		RULE(051_request_response),
		RULE(052),
		RULE(053),
		RULE(053_queued_items),
		RULE(053_end_without_credit),
		RULE(054),
		CASE(request_n_and_the_request),
		RULE(062),
		CASE(cancel_by_requester),
		RULE(063),
		RULE(063_responder),
		RULE(064),
		RULE(064_answered),
		RULE(065),
		RULE(066),
		RULE(067),
		RULE(068),
		RULE(069),
		RULE(070),
		CASE(credit_ignored),
		CASE(queue_full),
		CASE(queue_full_of_nothing),
		CASE(streams_max),
		CASE(channel_refused),
		CASE(no_handler),
		CASE(pulled),
		CASE(wakes_again),
		CASE(round_robin),
		CASE(no_starvation),
		CASE(no_savings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
