// SPDX-License-Identifier: Apache-2.0
// The calls of penstock.h: arguments are checked and answers kept here; whatever moves bytes is the
// backend's. Runs on the handler's thread.
#include "fnhost/sdk/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void *pn_copy(const void *data, size_t len)
{
	char *copy = malloc(len + 1);

	if (!copy)
		return NULL;
	if (len)
		memcpy(copy, data, len);
	copy[len] = 0;
	return copy;
}

void pn_context_init(struct pn_context *ctx, const struct pn_backend *backend, enum pn_kind kind)
{
	*ctx = (struct pn_context){.backend = backend, .kind = kind, .deadline = NS_NEVER};
	list_init(&ctx->outgoing);
}

void pn_outgoing_free(struct pn_outgoing *out)
{
	list_del(&out->link);
	free(out->data);
	free(out->result.data);
	free(out);
}

void pn_outgoing_over(struct pn_outgoing *out, uint32_t code, void *data, size_t len)
{
	out->stream = NULL;
	out->result = (struct pn_result){.code = code, .data = data, .len = data ? len : 0};
	out->over = true;
}

void pn_context_fini(struct pn_context *ctx)
{
	while (!list_empty(&ctx->outgoing))
		pn_outgoing_free(list_entry(ctx->outgoing.next, struct pn_outgoing, link));
	free(ctx->data);
	free(ctx->reply);
}

void pn_context_run(struct pn_context *ctx, const struct pn_function *function)
{
	pn_handler *const handlers[] = {
		[PN_CALL] = function->call,
		[PN_EVENT] = function->event,
		[PN_STREAM] = function->stream,
	};
	static const char *const names[] = {
		[PN_CALL] = "request-response",
		[PN_EVENT] = "fire-and-forget",
		[PN_STREAM] = "request-stream",
	};
	int rc;

	if (!handlers[ctx->kind]) {
		pn_error(ctx, PN_INVALID, "this function does not take %s", names[ctx->kind]);
		return;
	}
	rc = handlers[ctx->kind](ctx, ctx->data, ctx->len);
	if (rc >= 0 || ctx->answered)
		return;
	if (rc != -ECANCELED)
		pn_error(ctx, PN_APPLICATION_ERROR, "%s", strerror(-rc));
	else if (pn_time_left_us(ctx) == 0) // as the host says it, whoever is first
		pn_error(ctx, PN_CANCELED, "deadline: it passed while the function ran");
	else
		pn_error(ctx, PN_CANCELED, "%s", strerror(-rc));
}

// Answering

int pn_reply_take(struct pn_context *ctx, void *data, size_t len)
{
	int error = 0;

	if (ctx->kind == PN_STREAM)
		error = -ENOTSUP;
	else if (ctx->answered)
		error = -EALREADY;
	else if (len > PN_BYTES_MAX)
		error = -EMSGSIZE;
	if (error) {
		free(data);
		return error;
	}
	ctx->answered = true;
	ctx->reply = data;
	ctx->reply_len = len;
	return 0;
}

int pn_reply(struct pn_context *ctx, const void *data, size_t len)
{
	void *copy = len <= PN_BYTES_MAX ? pn_copy(data, len) : NULL;

	if (!copy)
		return len > PN_BYTES_MAX ? -EMSGSIZE : -ENOMEM;
	return pn_reply_take(ctx, copy, len);
}

int pn_error(struct pn_context *ctx, uint32_t code, const char *format, ...)
{
	va_list args;

	if (ctx->answered)
		return -EALREADY;
	ctx->answered = true;
	ctx->code = code >= PN_APPLICATION_ERROR && code < UINT32_MAX ? code : PN_APPLICATION_ERROR;
	va_start(args, format);
	vsnprintf(ctx->text, sizeof(ctx->text), format, args);
	va_end(args);
	return 0;
}

static int item(struct pn_context *ctx, const void *data, size_t len, bool wait)
{
	if (ctx->kind != PN_STREAM)
		return -ENOTSUP;
	if (len > PN_BYTES_MAX)
		return -EMSGSIZE;
	if (ctx->answered)
		return -EALREADY;
	if (pn_cancelled(ctx))
		return -ECANCELED;
	return ctx->backend->item(ctx, data, len, wait);
}

int pn_item(struct pn_context *ctx, const void *data, size_t len)
{
	return item(ctx, data, len, true);
}

int pn_item_try(struct pn_context *ctx, const void *data, size_t len)
{
	return item(ctx, data, len, false);
}

// Asking

bool pn_cancelled(struct pn_context *ctx)
{
	return __atomic_load_n(&ctx->cancelled, __ATOMIC_ACQUIRE) || pn_time_left_us(ctx) == 0;
}

int64_t pn_time_left_us(struct pn_context *ctx)
{
	ns_t left;

	if (ctx->deadline == NS_NEVER)
		return INT64_MAX;
	left = ctx->deadline - ctx->backend->now(ctx);
	return left > 0 ? left / NS_PER_US : 0;
}

const char *pn_mime(struct pn_context *ctx)
{
	return ctx->mime;
}

uint64_t pn_call_id(struct pn_context *ctx)
{
	return ctx->id;
}

// Calling

int pn_call_async(struct pn_context *ctx, const char *function, const void *data, size_t len,
	pn_done *done, void *arg)
{
	struct pn_outgoing *out;
	int error;

	if (!function || !function[0] || strlen(function) > PN_FUNCTION_MAX)
		return -EINVAL;
	if (len > PN_BYTES_MAX)
		return -EMSGSIZE;
	if (ctx->outgoing_count >= PN_CALLS_MAX)
		return -EAGAIN;
	if (pn_cancelled(ctx))
		return -ECANCELED;
	out = calloc(1, sizeof(*out));
	if (!out)
		return -ENOMEM;
	out->ctx = ctx;
	out->done = done;
	out->arg = arg;
	memcpy(out->function, function, strlen(function) + 1);
	out->len = len;
	out->data = pn_copy(data, len);
	error = out->data ? ctx->backend->call(ctx, out) : -ENOMEM;
	if (error)
		pn_outgoing_free(out);
	else
		ctx->outgoing_count++;
	return error;
}

int pn_wait(struct pn_context *ctx, unsigned under_way)
{
	while (ctx->outgoing_count > under_way) {
		struct pn_outgoing *out = ctx->backend->next_over(ctx);

		if (!out)
			return -ECANCELED;
		ctx->outgoing_count--;
		out->done(ctx, &out->result, out->arg);
		pn_outgoing_free(out);
	}
	return 0;
}

struct one_call {
	bool over;
	struct pn_result result;
};

static void take_result(struct pn_context *ctx, struct pn_result *result, void *arg)
{
	struct one_call *one = arg;

	one->over = true;
	one->result = *result;
	result->data = NULL;
}

int pn_call(struct pn_context *ctx, const char *function, const void *data, size_t len,
	struct pn_result *result)
{
	struct one_call one = {0};
	int error = pn_call_async(ctx, function, data, len, take_result, &one);

	// Others may be under way, and their done() runs here meanwhile. A cancelled call ends its
	// handler's business altogether, so `one` is not written to after this returns.
	while (!error && !one.over)
		error = pn_wait(ctx, ctx->outgoing_count - 1);
	if (!error)
		*result = one.result;
	return error;
}

void pn_result_free(struct pn_result *result)
{
	free(result->data);
	*result = (struct pn_result){0};
}

// Telling

void pn_log(struct pn_context *ctx, const char *format, ...)
{
	char line[2048];
	va_list args;
	size_t len;
	int n = 0;

	if (ctx && ctx->id)
		n = snprintf(line, sizeof(line), "call %016llx: ", (unsigned long long)ctx->id);
	va_start(args, format);
	vsnprintf(line + n, sizeof(line) - (size_t)n - 1, format, args);
	va_end(args);
	len = strlen(line);
	line[len++] = '\n';
	if (ctx)
		ctx->backend->log(ctx, line, len);
	else if (write(STDERR_FILENO, line, len) < 0)
		return; // nobody is left to be told
}
