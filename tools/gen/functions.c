// SPDX-License-Identifier: Apache-2.0
// What `penstock-gen serve` answers: the functions, and calls that wait (for time or for credit).
//
// Runs on the worker's thread. A call exists while its stream waits; stream->user points to it
// and cancel or loss of the stream frees it, so that a call never outlives its stream.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/atomic.h"
#include "tools/gen/gen.h"
#include "tools/gen/serve.h"

// Items are made as long as less than this is queued on the stream.
#define QUEUE_BYTES_MAX (64 * 1024)
#define FILL_BYTES (64 * 1024)
#define ARGUMENT_MAX 256
#define DELAY_MS_MAX 600000

struct call;

struct function {
	const char *name;
	void (*run)(struct peer *peer, struct rs_stream *stream, struct rs_message *message);
};

struct call {
	struct list free;
	struct timer timer;
	struct serve_worker *worker;
	struct rs_stream *stream;
	const struct function *function; // to be run by the timer
	struct rs_message message;
	uint64_t next, last; // count
};

static struct peer *peer_of(struct rs_stream *stream)
{
	return container_of(link_of(stream->session), struct peer, link);
}

static struct call *call_new(struct serve_worker *w, struct rs_stream *stream)
{
	struct list *at = list_first(&w->free_calls);
	struct call *call = at ? list_entry(at, struct call, free) : NULL;

	if (call)
		list_del(&call->free);
	else
		call = malloc(sizeof(*call));
	if (!call)
		return NULL;
	*call = (struct call){.worker = w, .stream = stream};
	stream->user = call;
	return call;
}

static void call_free(struct call *call)
{
	struct serve_worker *w = call->worker;

	timer_cancel(loop_timers(w->loop), &call->timer);
	rs_message_clear(&call->message);
	call->stream->user = NULL;
	list_push_first(&w->free_calls, &call->free);
}

void serve_calls_free(struct serve_worker *w)
{
	while (!list_empty(&w->free_calls)) {
		struct call *call = list_entry(w->free_calls.next, struct call, free);

		list_del(&call->free);
		free(call);
	}
}

static void fail(struct rs_stream *stream, uint32_t code, const char *text)
{
	counter_add(&peer_of(stream)->worker->counts.errors, 1);
	rs_error(stream, code, text);
}

// The last item of a stream, or the reply. The stream is gone afterwards.
static void reply(struct peer *peer, struct rs_stream *stream, struct chain *data)
{
	struct serve_counts *counts = &peer->worker->counts;
	struct rs_message message = {0};
	size_t len = data->len;
	int error;

	chain_append(&message.data, data);
	error = rs_payload(stream, &message, true, true);
	if (error) {
		fail(stream, RS_ERROR_APPLICATION,
			error == -EMSGSIZE ? "the reply is too large" : "the reply finds no room");
		return;
	}
	counter_add(&counts->replies, 1);
	counter_add(&counts->bytes_out, len);
}

// Short texts share a block, so that a queue of small items does not hold a block each.
static int push_text(struct serve_worker *w, struct chain *out, const char *text, uint32_t len)
{
	struct buf *to = w->scratch;

	if (!to || to->size - to->used < len) {
		to = buf_pool_get(w->blocks);
		if (!to)
			return -ENOBUFS;
		buf_unref(w->scratch);
		w->scratch = to;
	}
	memcpy(to->base + to->used, text, len);
	chain_push(out, to, to->base + to->used, len);
	to->used += len;
	return 0;
}

static uint32_t decimal(uint64_t n, char *out)
{
	char digits[20];
	uint32_t len = 0;

	do {
		digits[sizeof(digits) - ++len] = (char)('0' + n % 10);
		n /= 10;
	} while (n);
	memcpy(out, digits + sizeof(digits) - len, len);
	return len;
}

static int push_decimal(struct serve_worker *w, struct chain *out, uint64_t n)
{
	char text[20];

	return push_text(w, out, text, decimal(n, text));
}

// The whole data as a number.
static int read_number(const struct chain *data, uint64_t max, uint64_t *out)
{
	char text[24];
	size_t len = chain_read(data, 0, text, sizeof(text) - 1);
	char *end;

	text[len] = 0;
	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	errno = 0;
	*out = strtoull(text, &end, 10);
	return errno || *end || *out > max ? -EINVAL : 0;
}

static void run_echo(struct peer *peer, struct rs_stream *stream, struct rs_message *message)
{
	reply(peer, stream, &message->data);
}

static void count_pump(struct call *call)
{
	struct rs_stream *stream = call->stream;
	struct serve_worker *w = call->worker;

	while (rs_stream_credit(stream) && rs_stream_queued_bytes(stream) < QUEUE_BYTES_MAX) {
		struct rs_message item = {0};
		bool last = call->next == call->last;
		int error = push_decimal(w, &item.data, call->next);

		counter_add(&w->counts.bytes_out, item.data.len);
		call->next++;
		if (last)
			call_free(call);
		if (!error)
			error = rs_payload(stream, &item, true, last);
		if (error) {
			if (!last)
				call_free(call);
			fail(stream, RS_ERROR_APPLICATION, "an item finds no room");
			return;
		}
		if (last) {
			counter_add(&w->counts.replies, 1);
			return;
		}
	}
}

static void run_count(struct peer *peer, struct rs_stream *stream, struct rs_message *message)
{
	struct rs_message none = {0};
	struct call *call;
	uint64_t n;

	if (read_number(&message->data, UINT64_MAX, &n)) {
		fail(stream, RS_ERROR_APPLICATION, "count takes a decimal number");
	} else if (stream->type != RS_REQUEST_STREAM) {
		reply(peer, stream, &message->data);
	} else if (n == 0) {
		counter_add(&peer->worker->counts.replies, 1);
		rs_payload(stream, &none, false, true);
	} else if (!(call = call_new(peer->worker, stream))) {
		fail(stream, RS_ERROR_REJECTED, "out of memory");
	} else {
		call->next = 1;
		call->last = n;
		count_pump(call);
	}
}

static const struct function echo = {"echo", run_echo};

static void on_timer(struct timer *timer, ns_t now)
{
	struct call *call = container_of(timer, struct call, timer);
	struct rs_message message = call->message;
	struct rs_stream *stream = call->stream;
	const struct function *function = call->function;

	call->message = (struct rs_message){0};
	call_free(call);
	function->run(peer_of(stream), stream, &message);
	rs_message_clear(&message);
}

static void run_later(struct peer *peer, struct rs_stream *stream, struct rs_message *message,
	const struct function *function, ns_t delay)
{
	struct loop *loop = peer->worker->loop;
	struct call *call = call_new(peer->worker, stream);

	if (!call) {
		fail(stream, RS_ERROR_REJECTED, "out of memory");
		return;
	}
	call->function = function;
	chain_append(&call->message.data, &message->data);
	call->timer.fire = on_timer;
	timer_arm(loop_timers(loop), &call->timer, loop_now(loop) + delay);
}

static void run_delay(struct peer *peer, struct rs_stream *stream, struct rs_message *message)
{
	uint64_t ms;

	if (read_number(&message->data, DELAY_MS_MAX, &ms))
		fail(stream, RS_ERROR_APPLICATION, "delay takes milliseconds, at most 600000");
	else
		run_later(peer, stream, message, &echo, (ns_t)ms * NS_PER_MS);
}

static void run_error(struct peer *peer, struct rs_stream *stream, struct rs_message *message)
{
	char text[ARGUMENT_MAX];
	size_t len = chain_read(&message->data, 0, text, sizeof(text) - 1);
	unsigned long code;
	char *end;

	text[len] = 0;
	code = strtoul(text, &end, 0);
	// Only what may stand on a stream (rule 77); a text without a code is all text.
	if (end == text || code < RS_ERROR_APPLICATION || code > 0xfffffffe) {
		code = RS_ERROR_APPLICATION;
		end = text;
	}
	while (*end == ' ')
		end++;
	fail(stream, (uint32_t)code, end);
}

static void run_size(struct peer *peer, struct rs_stream *stream, struct rs_message *message)
{
	static const uint8_t fill[FILL_BYTES];
	struct chain data = {0};
	uint64_t n;

	if (read_number(&message->data, RS_FRAME_BYTES_MAX * 16, &n)) {
		fail(stream, RS_ERROR_APPLICATION, "size takes a number of bytes");
		return;
	}
	for (uint32_t part; n; n -= part) {
		part = n < sizeof(fill) ? (uint32_t)n : (uint32_t)sizeof(fill);
		chain_push(&data, NULL, fill, part);
	}
	reply(peer, stream, &data);
	chain_clear(&data);
}

static void run_sink(struct peer *peer, struct rs_stream *stream, struct rs_message *message)
{
	struct chain data = {0};

	if (push_decimal(peer->worker, &data, message->data.len))
		fail(stream, RS_ERROR_REJECTED, "out of memory");
	else
		reply(peer, stream, &data);
}

static const struct function functions[] = {
	{"echo", run_echo},
	{"count", run_count},
	{"delay", run_delay},
	{"error", run_error},
	{"size", run_size},
	{"sink", run_sink},
};

// A gateway passes metadata on unchanged: "namespace/name@version" is served by its name.
static const struct function *find(const char *route)
{
	size_t len;
	const char *name = function_name(route, &len);

	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
		if (strncmp(functions[i].name, name, len) == 0 && !functions[i].name[len])
			return &functions[i];
	return NULL;
}

static void refuse(struct rs_stream *stream, const char *what, const char *which)
{
	char text[300];

	snprintf(text, sizeof(text), "%s%s", what, which);
	if (stream->type != RS_REQUEST_FNF)
		fail(stream, RS_ERROR_INVALID, text);
	else
		counter_add(&peer_of(stream)->worker->counts.errors, 1);
}

// NULL after the call was refused. Without any routing it is an echo.
static const struct function *route(
	struct peer *peer, struct rs_stream *stream, const struct rs_message *message)
{
	const struct function *function;
	struct rs_route tag;
	int error;

	if (peer->kind == RS_METADATA_OTHER)
		return &echo;
	error = rs_route_find(peer->kind, &message->metadata, &tag);
	if (error == -ENOENT)
		return &echo;
	if (error) {
		refuse(stream, "malformed routing metadata", "");
		return NULL;
	}
	function = find(tag.text);
	if (!function)
		refuse(stream, "no such route: ", tag.text);
	return function;
}

static void on_request(struct rs_stream *stream, struct rs_message *message)
{
	struct peer *peer = peer_of(stream);
	struct serve_worker *w = peer->worker;
	const struct serve_config *config = &w->server->config;
	const struct function *function;

	counter_add(&w->counts.requests, 1);
	counter_add(&w->counts.bytes_in, message->data.len);
	if (++peer->requests == config->close_after) {
		loop_abort(peer->link.conn);
		return;
	}
	function = route(peer, stream, message);
	if (!function || stream->type == RS_REQUEST_FNF)
		return;
	if (config->delay_us)
		run_later(peer, stream, message, function, (ns_t)config->delay_us * NS_PER_US);
	else
		function->run(peer, stream, message);
}

static void resume(struct rs_stream *stream)
{
	struct call *call = stream->user;

	if (call && call->last)
		count_pump(call);
}

static void on_request_n(struct rs_stream *stream, uint32_t n)
{
	resume(stream);
}

static void on_pulled(struct rs_stream *stream, size_t bytes)
{
	resume(stream);
}

static void on_cancel(struct rs_stream *stream)
{
	counter_add(&peer_of(stream)->worker->counts.cancels, 1);
	if (stream->user)
		call_free(stream->user);
}

static void on_lost(struct rs_stream *stream, bool sent)
{
	counter_add(&peer_of(stream)->worker->counts.lost, 1);
	if (stream->user)
		call_free(stream->user);
}

static uint32_t on_setup(struct rs_session *s, struct rs_setup *setup, const char **why)
{
	struct peer *peer = container_of(link_of(s), struct peer, link);

	peer->kind = rs_metadata_kind(setup->metadata_mime);
	return 0;
}

const struct rs_handler serve_handler = {
	.wake = link_wake,
	.setup = on_setup,
	.request = on_request,
	.request_n = on_request_n,
	.cancel = on_cancel,
	.lost = on_lost,
	.pulled = on_pulled,
	.closed = link_ended,
};
