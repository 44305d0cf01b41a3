// SPDX-License-Identifier: Apache-2.0
// The calls of penstock.h, in the harness.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fnhost/sdk/test.h"

static struct pn_test *test_of(pn_handler *call, pn_handler *event, pn_handler *stream)
{
	static struct pn_function function;
	struct pn_test *t;

	function = (struct pn_function){.call = call, .event = event, .stream = stream};
	t = pn_test_new(&function);
	assert_non_null(t);
	return t;
}

static int answer_twice(struct pn_context *ctx, const void *data, size_t len)
{
	assert_int_equal(pn_reply(ctx, data, len), 0);
	assert_int_equal(pn_reply(ctx, "no", 2), -EALREADY);
	assert_int_equal(pn_error(ctx, PN_INVALID, "no"), -EALREADY);
	assert_int_equal(pn_item(ctx, "no", 2), -ENOTSUP);
	return -EIO; // answered is answered
}

static void the_first_answer_counts(void **state)
{
	struct pn_test *t = test_of(answer_twice, NULL, NULL);
	const struct pn_test_result *r = pn_test_call(t, "hello", 5);

	assert_int_equal(r->code, 0);
	assert_int_equal(r->len, 5);
	assert_memory_equal(r->data, "hello", 6);
	r = pn_test_call(t, "", 0);
	assert_int_equal(r->len, 0);
	r = pn_test_event(t, "x", 1);
	assert_int_equal(r->code, PN_INVALID);
	assert_non_null(strstr(r->text, "fire-and-forget"));
	r = pn_test_stream(t, "x", 1);
	assert_int_equal(r->code, PN_INVALID);
	pn_test_destroy(t);
}

static int fail_by_data(struct pn_context *ctx, const void *data, size_t len)
{
	if (len == 0)
		return 0;
	if (len == 1)
		return -ENOENT;
	if (len == 2)
		return pn_error(ctx, 0x301, "it is %d", 7);
	if (len == 3)
		return pn_error(ctx, 0x101, "a connection's code");
	return pn_reply(ctx, data, PN_BYTES_MAX + 1u);
}

static void errors(void **state)
{
	struct pn_test *t = test_of(fail_by_data, NULL, NULL);
	const struct pn_test_result *r = pn_test_call(t, "", 0);

	assert_int_equal(r->code, 0); // nothing said is an empty reply
	assert_int_equal(r->len, 0);
	r = pn_test_call(t, "1", 1);
	assert_int_equal(r->code, PN_APPLICATION_ERROR);
	assert_string_equal(r->text, strerror(ENOENT));
	r = pn_test_call(t, "12", 2);
	assert_int_equal(r->code, 0x301);
	assert_string_equal(r->text, "it is 7");
	r = pn_test_call(t, "123", 3);
	assert_int_equal(r->code, PN_APPLICATION_ERROR); // rule 77
	r = pn_test_call(t, "1234", 4);
	assert_int_equal(r->code, PN_APPLICATION_ERROR);
	assert_string_equal(r->text, strerror(EMSGSIZE));
	pn_test_destroy(t);
}

static int five_items(struct pn_context *ctx, const void *data, size_t len)
{
	assert_int_equal(pn_reply(ctx, "x", 1), -ENOTSUP);
	for (char i = '0'; i < '5'; i++) {
		int rc = len ? pn_item_try(ctx, &i, 1) : pn_item(ctx, &i, 1);

		if (rc)
			return rc;
	}
	return 0;
}

static void items_and_credit(void **state)
{
	struct pn_test *t = test_of(NULL, NULL, five_items);
	const struct pn_test_result *r = pn_test_stream(t, "", 0);

	assert_int_equal(r->items_count, 5);
	assert_string_equal(r->items[4].data, "4");
	assert_int_equal(r->code, 0);
	pn_test_credit(t, 3);
	r = pn_test_stream(t, "try", 3);
	assert_int_equal(r->items_count, 3);
	assert_string_equal(r->text, strerror(EAGAIN));
	r = pn_test_stream(t, "", 0);
	assert_int_equal(r->items_count, 3);
	assert_int_equal(r->code, PN_CANCELED);
	pn_test_credit(t, 100);
	pn_test_cancel_after(t, 2);
	r = pn_test_stream(t, "", 0);
	assert_int_equal(r->items_count, 2);
	assert_int_equal(r->code, PN_CANCELED);
	pn_test_destroy(t);
}

static int watch_the_clock(struct pn_context *ctx, const void *data, size_t len)
{
	assert_string_equal(pn_mime(ctx), "image/png");
	assert_int_equal(pn_call_id(ctx), 1);
	if (!len) {
		assert_true(pn_time_left_us(ctx) == INT64_MAX);
		return 0;
	}
	assert_int_equal(pn_time_left_us(ctx), 1000);
	pn_test_sleep(ctx, 400);
	assert_int_equal(pn_time_left_us(ctx), 600);
	assert_false(pn_cancelled(ctx));
	pn_test_sleep(ctx, 601);
	assert_int_equal(pn_time_left_us(ctx), 0);
	assert_true(pn_cancelled(ctx));
	assert_int_equal(pn_call_async(ctx, "other", "", 0, NULL, NULL), -ECANCELED);
	return -ECANCELED;
}

static void deadlines(void **state)
{
	struct pn_test *t = test_of(watch_the_clock, NULL, NULL);

	pn_test_mime(t, "image/png");
	assert_int_equal(pn_test_call(t, "", 0)->code, 0);
	pn_test_time_left_us(t, 1000);
	assert_int_equal(pn_test_call(t, "x", 1)->code, PN_CANCELED);
	pn_test_destroy(t);
}

static int ask_one(struct pn_context *ctx, const void *data, size_t len)
{
	struct pn_result result;
	int error = pn_call(ctx, "other", data, len, &result);

	if (error)
		return error;
	if (result.code)
		pn_error(ctx, result.code, "%s", (char *)result.data);
	else
		pn_reply(ctx, result.data, result.len);
	pn_result_free(&result);
	return 0;
}

static int shout(struct pn_context *ctx, const void *data, size_t len)
{
	char text[8];

	for (size_t i = 0; i < len; i++)
		text[i] = (char)(((const char *)data)[i] - 32);
	return pn_reply(ctx, text, len);
}

static void calls_to_others(void **state)
{
	static const struct pn_function other = {.call = shout};
	struct pn_test *t = test_of(ask_one, NULL, NULL);
	const struct pn_test_result *r = pn_test_call(t, "abc", 3);

	assert_int_equal(r->code, PN_REJECTED); // nobody answers
	assert_int_equal(r->calls, 1);
	pn_test_answer(t, "other", "canned", 6);
	r = pn_test_call(t, "abc", 3);
	assert_string_equal(r->data, "canned");
	pn_test_answer_error(t, "other", 0x302, "because");
	r = pn_test_call(t, "abc", 3);
	assert_int_equal(r->code, 0x302);
	assert_string_equal(r->text, "because");
	pn_test_answer_with(t, "other", &other);
	r = pn_test_call(t, "abc", 3);
	assert_string_equal(r->data, "ABC");
	pn_test_cancel_after(t, 0);
	r = pn_test_call(t, "abc", 3);
	assert_int_equal(r->code, PN_CANCELED);
	assert_int_equal(r->calls, 0);
	pn_test_destroy(t);
}

static void add_length(struct pn_context *ctx, struct pn_result *result, void *arg)
{
	*(size_t *)arg += result->len;
}

static int ask_many(struct pn_context *ctx, const void *data, size_t len)
{
	struct pn_result result;
	size_t sum = 0;
	char text[32];

	for (unsigned i = 0; i < PN_CALLS_MAX; i++)
		assert_int_equal(pn_call_async(ctx, "other", "", 0, add_length, &sum), 0);
	assert_int_equal(pn_call_async(ctx, "other", "", 0, add_length, &sum), -EAGAIN);
	assert_int_equal(sum, 0); // nothing is told before pn_wait()
	assert_int_equal(pn_wait(ctx, PN_CALLS_MAX - 10), 0);
	assert_int_equal(sum, 10 * 3);
	// One among the others: what ends before it is told meanwhile.
	assert_int_equal(pn_call(ctx, "other", "", 0, &result), 0);
	assert_string_equal(result.data, "abc");
	pn_result_free(&result);
	for (unsigned i = 0; i < 6; i++) // given up
		assert_int_equal(pn_call_async(ctx, "other", "", 0, add_length, &sum), 0);
	snprintf(text, sizeof(text), "%zu", sum / 3);
	return pn_reply(ctx, text, strlen(text));
}

static void many_calls_at_once(void **state)
{
	struct pn_test *t = test_of(ask_many, NULL, NULL);
	const struct pn_test_result *r;

	pn_test_answer(t, "other", "abc", 3);
	r = pn_test_call(t, "", 0);
	assert_string_equal(r->data, "256");
	assert_int_equal(r->calls, PN_CALLS_MAX + 1 + 6);
	pn_test_destroy(t);
}

static int bad_names(struct pn_context *ctx, const void *data, size_t len)
{
	char name[300];

	memset(name, 'a', sizeof(name));
	name[299] = 0;
	assert_int_equal(pn_call_async(ctx, "", "", 0, NULL, NULL), -EINVAL);
	assert_int_equal(pn_call_async(ctx, NULL, "", 0, NULL, NULL), -EINVAL);
	assert_int_equal(pn_call_async(ctx, name, "", 0, NULL, NULL), -EINVAL);
	assert_int_equal(pn_call_async(ctx, "a", "", PN_BYTES_MAX + 1u, NULL, NULL), -EMSGSIZE);
	return 0;
}

static void arguments(void **state)
{
	struct pn_test *t = test_of(bad_names, NULL, NULL);

	assert_int_equal(pn_test_call(t, "", 0)->code, 0);
	pn_test_destroy(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_answer_counts),
		cmocka_unit_test(errors),
		cmocka_unit_test(items_and_credit),
		cmocka_unit_test(deadlines),
		cmocka_unit_test(calls_to_others),
		cmocka_unit_test(many_calls_at_once),
		cmocka_unit_test(arguments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
