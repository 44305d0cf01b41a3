// SPDX-License-Identifier: Apache-2.0
// A relay between two sessions in memory: caller -> (left | relay | right) -> function.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fnhost/relay.h"

#define ITEM_BYTES 4096

struct world {
	struct buf_pool *blocks;
	struct rs_pool *pool;
	struct rs_session caller, left, right, function;
	struct relay relay;
	bool event;  // the next request that arrives is relayed as a fire-and-forget
	bool hold;   // requests that arrive are not passed on yet
	bool stuck;  // the caller does not read
	ns_t now;
	// What the relay said.
	unsigned ended;
	enum relay_end how;
	// What the caller saw.
	unsigned items, completes, errors, lost;
	uint32_t code;
	char text[256];
	// What the function saw.
	struct rs_stream *asked;
	unsigned requests, cancels;
	uint32_t granted;
};

static struct world *w;

static void note(const struct chain *chain)
{
	w->text[chain_read(chain, 0, w->text, sizeof(w->text) - 1)] = 0;
}

static void wake(struct rs_session *s)
{
}

static void caller_payload(struct rs_stream *stream, struct rs_message *message, bool next, bool complete)
{
	w->items += next;
	w->completes += complete;
	if (next)
		note(&message->data);
}

static void caller_error(struct rs_stream *stream, uint32_t code, struct chain *text)
{
	w->errors++;
	w->code = code;
	note(text);
}

static void caller_lost(struct rs_stream *stream, bool sent)
{
	w->lost++;
}

static void on_ended(struct relay *r, enum relay_end how)
{
	assert_null(r->from);
	assert_null(r->to);
	w->ended++;
	w->how = how;
}

static void left_request(struct rs_stream *stream, struct rs_message *message)
{
	relay_init(&w->relay, w->event ? NULL : stream, w->event ? RS_REQUEST_FNF : stream->type, on_ended);
	if (!w->hold)
		assert_int_equal(relay_start(&w->relay, &w->right, message), 0);
}

static void function_request(struct rs_stream *stream, struct rs_message *message)
{
	w->requests++;
	w->asked = stream;
	w->granted = rs_stream_credit(stream);
}

static void function_request_n(struct rs_stream *stream, uint32_t n)
{
	w->granted += n;
}

static void function_cancel(struct rs_stream *stream)
{
	w->cancels++;
	w->asked = NULL;
}

static void function_lost(struct rs_stream *stream, bool sent)
{
	w->asked = NULL;
}

static const struct rs_handler caller_handler = {
	.wake = wake, .payload = caller_payload, .error = caller_error, .lost = caller_lost};
static const struct rs_handler left_handler = {
	.wake = wake,
	.request = left_request,
	.request_n = relay_on_request_n,
	.cancel = relay_on_cancel,
	.lost = relay_on_lost,
	.pulled = relay_on_pulled,
};
static const struct rs_handler right_handler = {
	.wake = wake, .payload = relay_on_payload, .error = relay_on_error, .lost = relay_on_lost};
static const struct rs_handler function_handler = {
	.wake = wake,
	.request = function_request,
	.request_n = function_request_n,
	.cancel = function_cancel,
	.lost = function_lost,
};

static bool move(struct rs_session *from, struct rs_session *to)
{
	struct chain wire = {0};

	if (!rs_output_pending(from))
		return false;
	rs_output(from, &wire, 1 << 20);
	rs_input(to, &wire, w->now);
	return true;
}

static void pump(void)
{
	bool moved = true;

	while (moved) {
		moved = move(&w->caller, &w->left);
		moved |= !w->stuck && move(&w->left, &w->caller);
		moved |= move(&w->right, &w->function);
		moved |= move(&w->function, &w->right);
	}
}

static void begin(struct rs_session *s, enum rs_role role, const struct rs_handler *handler)
{
	const struct rs_config config = {
		.role = role,
		.handler = handler,
		.pool = w->pool,
		.keepalive_ms = 1000,
		.lifetime_ms = 5000,
		.metadata_mime = "message/x.rsocket.composite-metadata.v0",
		.data_mime = "application/octet-stream",
	};

	assert_int_equal(rs_session_init(s, &config, w->now), 0);
}

static int setup(void **state)
{
	w = calloc(1, sizeof(*w));
	w->blocks = buf_pool_new(16384, (size_t)64 << 20);
	w->pool = rs_pool_new(64, w->blocks);
	begin(&w->caller, RS_CLIENT, &caller_handler);
	begin(&w->left, RS_SERVER, &left_handler);
	begin(&w->right, RS_CLIENT, &right_handler);
	begin(&w->function, RS_SERVER, &function_handler);
	pump();
	return 0;
}

static int teardown(void **state)
{
	rs_session_fini(&w->caller);
	rs_session_fini(&w->left);
	rs_session_fini(&w->right);
	rs_session_fini(&w->function);
	assert_int_equal(rs_pool_streams(w->pool), 0);
	rs_pool_destroy(w->pool);
	buf_pool_destroy(w->blocks);
	chain_nodes_free();
	free(w);
	return 0;
}

static struct rs_stream *ask(enum rs_type type, uint32_t n)
{
	struct rs_message message = {0};
	struct rs_stream *stream;
	int error = 0;

	chain_push(&message.data, NULL, (const uint8_t *)"question", 8);
	stream = rs_request(&w->caller, type, n, &message, NULL, &error);
	assert_non_null(stream);
	pump();
	return stream;
}

static void answer(const char *text, size_t len, bool complete)
{
	struct rs_message message = {0};

	assert_int_equal(chain_copy(&message.data, w->blocks, text, len), 0);
	assert_int_equal(rs_payload(w->asked, &message, true, complete), 0);
}

static void assert_ended(enum relay_end how)
{
	assert_int_equal(w->ended, 1);
	assert_int_equal(w->how, how);
}

static void a_reply_passes(void **state)
{
	ask(RS_REQUEST_RESPONSE, 0);
	assert_int_equal(w->requests, 1);
	answer("reply", 5, true);
	pump();
	assert_int_equal(w->items, 1);
	assert_int_equal(w->completes, 1);
	assert_string_equal(w->text, "reply");
	assert_ended(RELAY_OK);
}

static void errors_pass_and_are_told_apart(void **state)
{
	static const struct {
		uint32_t code;
		enum relay_end how;
	} cases[] = {
		{RS_ERROR_APPLICATION, RELAY_ERROR},
		{0x301, RELAY_ERROR},
		{RS_ERROR_REJECTED, RELAY_REJECTED},
		{RS_ERROR_CANCELED, RELAY_CANCELED},
		{RS_ERROR_INVALID, RELAY_INVALID},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ask(RS_REQUEST_RESPONSE, 0);
		rs_error(w->asked, cases[i].code, "because");
		pump();
		assert_int_equal(w->errors, i + 1);
		assert_int_equal(w->code, cases[i].code);
		assert_string_equal(w->text, "because");
		assert_int_equal(w->ended, i + 1);
		assert_int_equal(w->how, cases[i].how);
	}
}

// What is asked for comes, and not one item more; no more than the window is asked for ahead.
static void credit_passes_within_the_window(void **state)
{
	struct rs_stream *stream = ask(RS_REQUEST_STREAM, 3);
	unsigned sent = 0;

	assert_int_equal(w->granted, 3);
	rs_request_n(stream, 10000);
	pump();
	while (sent < 10003) {
		// However much was granted, no more than the window is outstanding.
		assert_true(w->granted - sent <= RELAY_ITEMS);
		assert_true(w->granted > sent);
		answer("i", 1, false);
		sent++;
		pump();
	}
	assert_int_equal(w->granted, 10003);
	assert_int_equal(w->items, 10003);
	assert_int_equal(w->ended, 0);
	answer("one more", 8, true); // waits for credit that does not come
	pump();
	assert_int_equal(w->items, 10003);
	assert_int_equal(w->ended, 0);
	rs_request_n(stream, 1);
	pump();
	assert_int_equal(w->items, 10004);
	assert_ended(RELAY_OK);
}

static void credit_saturates(void **state)
{
	struct rs_stream *stream = ask(RS_REQUEST_STREAM, RS_CREDIT_MAX);

	rs_request_n(stream, RS_CREDIT_MAX);
	pump();
	assert_true(w->relay.owed <= RS_CREDIT_MAX);
	assert_true(w->relay.owed >= RS_CREDIT_MAX - RELAY_ITEMS);
}

// A caller that reads nothing holds what the window of bytes allows, and goes on when it reads again.
static void a_slow_caller_stops_the_function(void **state)
{
	char item[ITEM_BYTES] = {0};
	unsigned sent = 0;

	ask(RS_REQUEST_STREAM, RS_CREDIT_MAX);
	w->stuck = true;
	while (w->granted > sent) {
		answer(item, sizeof(item), false);
		sent++;
		pump();
	}
	// What was granted before the bytes were known, and no more.
	assert_in_range(sent, RELAY_BYTES / ITEM_BYTES, RELAY_ITEMS + RELAY_BYTES / ITEM_BYTES);
	assert_true(rs_stream_queued_bytes(w->relay.from) <= (size_t)sent * ITEM_BYTES);
	w->stuck = false;
	pump();
	assert_int_equal(w->items, sent);
	assert_true(w->granted > sent); // asked for more
	assert_int_equal(w->ended, 0);
	rs_error(w->asked, 0x301, "enough");
	pump();
	assert_ended(RELAY_ERROR);
}

static void a_cancel_passes(void **state)
{
	struct rs_stream *stream = ask(RS_REQUEST_STREAM, 1);

	rs_cancel(stream);
	pump();
	assert_int_equal(w->cancels, 1);
	assert_true(w->relay.cancelled);
	assert_ended(RELAY_GIVEN_UP);
}

static void a_lost_caller_is_a_cancel(void **state)
{
	ask(RS_REQUEST_RESPONSE, 0);
	rs_session_abort(&w->left);
	assert_int_equal(w->ended, 1);
	assert_int_equal(w->how, RELAY_GIVEN_UP);
	move(&w->right, &w->function);
	assert_int_equal(w->cancels, 1);
}

// The request had reached the function: it may have been carried out.
static void a_lost_function_is_told(void **state)
{
	ask(RS_REQUEST_RESPONSE, 0);
	rs_session_abort(&w->right);
	assert_ended(RELAY_LOST);
	pump();
	assert_int_equal(w->errors, 1);
	assert_int_equal(w->code, RS_ERROR_CANCELED);
	assert_false(w->relay.cancelled);
}

// It had not: it is safe to try elsewhere.
static void never_sent_is_rejected(void **state)
{
	struct rs_message message = {0};
	int error;

	rs_request(&w->caller, RS_REQUEST_RESPONSE, 0, &message, NULL, &error);
	move(&w->caller, &w->left);
	assert_non_null(w->relay.to);
	rs_session_abort(&w->right);
	assert_ended(RELAY_REJECTED);
	pump();
	assert_int_equal(w->code, RS_ERROR_REJECTED);
	assert_int_equal(w->requests, 0);
}

static void an_abort_ends_both_sides(void **state)
{
	ask(RS_REQUEST_RESPONSE, 0);
	relay_abort(&w->relay, RS_ERROR_CANCELED, "deadline");
	assert_ended(RELAY_ABORTED);
	pump();
	assert_int_equal(w->cancels, 1);
	assert_int_equal(w->code, RS_ERROR_CANCELED);
	assert_string_equal(w->text, "deadline");
}

static void one_that_waits_can_be_given_up(void **state)
{
	struct rs_stream *stream;

	w->hold = true;
	ask(RS_REQUEST_RESPONSE, 0);
	relay_abort(&w->relay, RS_ERROR_REJECTED, "queue");
	assert_ended(RELAY_ABORTED);
	assert_false(w->relay.cancelled); // nobody was asked
	pump();
	assert_string_equal(w->text, "queue");
	stream = ask(RS_REQUEST_RESPONSE, 0);
	rs_cancel(stream);
	pump();
	assert_int_equal(w->ended, 2);
	assert_int_equal(w->how, RELAY_GIVEN_UP);
	assert_int_equal(w->requests, 0);
}

// A fire-and-forget goes on as a request, so that its end is known here; nobody else hears of it.
static void an_event_has_an_end(void **state)
{
	struct rs_message message = {0};

	w->event = true;
	assert_int_equal(rs_fire_and_forget(&w->caller, &message), 0);
	pump();
	assert_int_equal(w->requests, 1);
	assert_int_equal(w->asked->type, RS_REQUEST_RESPONSE);
	assert_int_equal(w->ended, 0);
	answer("", 0, true);
	pump();
	assert_ended(RELAY_OK);
	assert_int_equal(w->items + w->completes + w->errors, 0);
}

// What is larger than the caller's side may queue ends the call on both sides, once.
static void a_reply_without_room(void **state)
{
	struct rs_message message = {0};
	char *large = calloc(1, 1 << 20);
	unsigned sent = 0;

	ask(RS_REQUEST_STREAM, RS_CREDIT_MAX);
	w->stuck = true;
	while (sent < 64 && w->ended == 0) {
		assert_int_equal(chain_copy(&message.data, w->blocks, large, 1 << 20), 0);
		if (!w->asked || rs_payload(w->asked, &message, true, false))
			break;
		sent++;
		pump();
	}
	rs_message_clear(&message);
	free(large);
	assert_ended(RELAY_ABORTED);
	assert_int_equal(w->cancels, 1);
	w->stuck = false;
	pump();
	assert_int_equal(w->errors, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_reply_passes),
		TEST(errors_pass_and_are_told_apart),
		TEST(credit_passes_within_the_window),
		TEST(credit_saturates),
		TEST(a_slow_caller_stops_the_function),
		TEST(a_cancel_passes),
		TEST(a_lost_caller_is_a_cancel),
		TEST(a_lost_function_is_told),
		TEST(never_sent_is_rejected),
		TEST(an_abort_ends_both_sides),
		TEST(one_that_waits_can_be_given_up),
		TEST(an_event_has_an_end),
		TEST(a_reply_without_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
