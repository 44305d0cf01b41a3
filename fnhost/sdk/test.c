// SPDX-License-Identifier: Apache-2.0
// The harness of test.h: a backend that keeps items in memory and answers calls from a table.
#include "fnhost/sdk/test.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fnhost/sdk/internal.h"

#define ANSWERS_MAX 32
#define START (1000 * NS_PER_SEC) // where time begins here

struct answer {
	char function[PN_FUNCTION_MAX + 1];
	const struct pn_function *other;
	uint32_t code;
	void *data;
	size_t len;
};

struct pn_test {
	struct pn_context ctx; // of the last call
	bool ran;
	const struct pn_function *function;
	struct pn_test_result result;
	struct pn_test_item *items;
	size_t items_room;
	int64_t time_left_us;
	char mime[129];
	unsigned credit, cancel_after;
	ns_t now;
	ns_t real_since; // clock_now() when time began to pass; 0: it stands still
	struct answer answers[ANSWERS_MAX];
	unsigned answers_count;
};

static struct pn_test *test_of(struct pn_context *ctx)
{
	return container_of(ctx, struct pn_test, ctx);
}

static int test_item(struct pn_context *ctx, const void *data, size_t len, bool wait)
{
	struct pn_test *t = test_of(ctx);
	size_t n = t->result.items_count;

	if (n >= t->credit) {
		if (!wait)
			return -EAGAIN;
		ctx->cancelled = true;
		return -ECANCELED;
	}
	if (n == t->items_room) {
		size_t room = n ? n * 2 : 16;
		void *grown = realloc(t->items, room * sizeof(*t->items));

		if (!grown)
			return -ENOMEM;
		t->items = grown;
		t->items_room = room;
	}
	t->items[n] = (struct pn_test_item){.data = pn_copy(data, len), .len = len};
	t->result.items_count++;
	if (t->result.items_count >= t->cancel_after)
		ctx->cancelled = true;
	return 0;
}

static const struct answer *find_answer(const struct pn_test *t, const char *function)
{
	for (unsigned i = t->answers_count; i-- > 0;)
		if (strcmp(t->answers[i].function, function) == 0)
			return &t->answers[i];
	return NULL;
}

// Runs another function as a call of its own, with the same answers at hand.
static void run_other(struct pn_test *t, const struct answer *answer, struct pn_outgoing *out)
{
	struct pn_test *inner = pn_test_new(answer->other);
	const struct pn_test_result *r;

	if (!inner) {
		pn_outgoing_over(out, PN_REJECTED, NULL, 0);
		return;
	}
	memcpy(inner->answers, t->answers, sizeof(t->answers));
	inner->answers_count = t->answers_count;
	inner->time_left_us = t->time_left_us;
	if (t->real_since)
		pn_test_real_time(inner);
	r = pn_test_call(inner, out->data, out->len);
	if (r->code)
		pn_outgoing_over(out, r->code, pn_copy(r->text, strlen(r->text)), strlen(r->text));
	else
		pn_outgoing_over(out, 0, pn_copy(r->data, r->len), r->len);
	inner->answers_count = 0; // they are ours
	pn_test_destroy(inner);
}

static int test_call(struct pn_context *ctx, struct pn_outgoing *out)
{
	static const char nobody[] = "no such function in this test";
	struct pn_test *t = test_of(ctx);
	const struct answer *answer = find_answer(t, out->function);

	t->result.calls++;
	list_push(&ctx->outgoing, &out->link);
	if (!answer)
		pn_outgoing_over(out, PN_REJECTED, pn_copy(nobody, strlen(nobody)), strlen(nobody));
	else if (answer->other)
		run_other(t, answer, out);
	else
		pn_outgoing_over(out, answer->code, pn_copy(answer->data, answer->len), answer->len);
	return 0;
}

static struct pn_outgoing *test_next_over(struct pn_context *ctx)
{
	struct list *first = pn_cancelled(ctx) ? NULL : list_first(&ctx->outgoing);

	list_del(first ? first : &(struct list){0});
	return first ? list_entry(first, struct pn_outgoing, link) : NULL;
}

static ns_t now_of(const struct pn_test *t)
{
	return t->now + (t->real_since ? clock_now() - t->real_since : 0);
}

static ns_t test_now(struct pn_context *ctx)
{
	return now_of(test_of(ctx));
}

static void test_log(struct pn_context *ctx, const char *line, size_t len)
{
	fwrite(line, 1, len, stderr);
}

static const struct pn_backend test_backend = {
	.item = test_item,
	.call = test_call,
	.next_over = test_next_over,
	.now = test_now,
	.log = test_log,
};

struct pn_test *pn_test_new(const struct pn_function *function)
{
	struct pn_test *t = calloc(1, sizeof(*t));

	if (t) {
		t->function = function;
		t->credit = UINT_MAX;
		t->cancel_after = UINT_MAX;
		t->now = START;
	}
	return t;
}

static void clear(struct pn_test *t)
{
	for (size_t i = 0; i < t->result.items_count; i++)
		free((void *)(uintptr_t)t->items[i].data);
	t->result = (struct pn_test_result){0};
	if (t->ran)
		pn_context_fini(&t->ctx);
	t->ran = false;
}

void pn_test_destroy(struct pn_test *t)
{
	clear(t);
	for (unsigned i = 0; i < t->answers_count; i++)
		free(t->answers[i].data);
	free(t->items);
	free(t);
}

static const struct pn_test_result *run(
	struct pn_test *t, enum pn_kind kind, const void *data, size_t len)
{
	clear(t);
	pn_context_init(&t->ctx, &test_backend, kind);
	t->ran = true;
	t->ctx.data = pn_copy(data, len);
	t->ctx.len = len;
	t->ctx.id = 1;
	memcpy(t->ctx.mime, t->mime, sizeof(t->mime));
	t->ctx.deadline = t->time_left_us ? now_of(t) + t->time_left_us * NS_PER_US : NS_NEVER;
	t->ctx.cancelled = t->cancel_after == 0;
	pn_context_run(&t->ctx, t->function);
	t->result.code = t->ctx.code;
	t->result.text = t->ctx.text;
	t->result.data = t->ctx.reply ? t->ctx.reply : "";
	t->result.len = t->ctx.reply_len;
	t->result.items = t->items;
	return &t->result;
}

const struct pn_test_result *pn_test_call(struct pn_test *t, const void *data, size_t len)
{
	return run(t, PN_CALL, data, len);
}

const struct pn_test_result *pn_test_event(struct pn_test *t, const void *data, size_t len)
{
	return run(t, PN_EVENT, data, len);
}

const struct pn_test_result *pn_test_stream(struct pn_test *t, const void *data, size_t len)
{
	return run(t, PN_STREAM, data, len);
}

void pn_test_time_left_us(struct pn_test *t, int64_t us)
{
	t->time_left_us = us;
}

void pn_test_mime(struct pn_test *t, const char *mime)
{
	snprintf(t->mime, sizeof(t->mime), "%s", mime);
}

void pn_test_credit(struct pn_test *t, unsigned n)
{
	t->credit = n;
}

void pn_test_cancel_after(struct pn_test *t, unsigned n)
{
	t->cancel_after = n;
}

void pn_test_real_time(struct pn_test *t)
{
	if (!t->real_since)
		t->real_since = clock_now();
}

void pn_test_sleep(struct pn_context *ctx, int64_t us)
{
	test_of(ctx)->now += us * NS_PER_US;
}

static struct answer *answer_new(struct pn_test *t, const char *function)
{
	struct answer *a = &t->answers[t->answers_count];

	if (t->answers_count == ANSWERS_MAX || strlen(function) > PN_FUNCTION_MAX) {
		fprintf(stderr, "pn_test: at most %d answers, of functions with a name\n",
			ANSWERS_MAX);
		abort();
	}
	t->answers_count++;
	memcpy(a->function, function, strlen(function) + 1);
	return a;
}

void pn_test_answer(struct pn_test *t, const char *function, const void *data, size_t len)
{
	struct answer *a = answer_new(t, function);

	a->data = pn_copy(data, len);
	a->len = len;
}

void pn_test_answer_error(struct pn_test *t, const char *function, uint32_t code, const char *text)
{
	pn_test_answer(t, function, text, strlen(text));
	t->answers[t->answers_count - 1].code = code;
}

void pn_test_answer_with(struct pn_test *t, const char *function, const struct pn_function *other)
{
	answer_new(t, function)->other = other;
}
