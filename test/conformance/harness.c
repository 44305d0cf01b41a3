// SPDX-License-Identifier: Apache-2.0
// See harness.h. The memory is one block of statics made fresh for each test.

#include "test/conformance/harness.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define BLOCK_BYTES 2048

static struct buf_pool *blocks;
static struct rs_pool *pool;

int end_setup(void **state)
{
	blocks = buf_pool_new(BLOCK_BYTES, 0);
	pool = rs_pool_new(1024, blocks);
	*state = calloc(1, sizeof(struct end));
	return blocks && pool && *state ? 0 : -1;
}

int end_teardown(void **state)
{
	struct end *e = *state;
	int leaks;

	rs_session_fini(&e->s);
	chain_clear(&e->out);
	free(e);
	leaks = rs_pool_streams(pool) != 0 || buf_pool_bytes(blocks) != 0 ||
		chain_nodes_in_use() != 0;
	if (leaks)
		fprintf(stderr, "left: %u streams, %zu bytes of blocks, %zu nodes\n",
			rs_pool_streams(pool), buf_pool_bytes(blocks), chain_nodes_in_use());
	rs_pool_destroy(pool);
	buf_pool_destroy(blocks);
	chain_nodes_free();
	return leaks ? -1 : 0;
}

static void line(char *to, size_t room, const char *format, ...)
{
	size_t len = strlen(to);
	va_list args;

	va_start(args, format);
	vsnprintf(to + len, room - len, format, args);
	va_end(args);
}

static void quote(char *to, size_t room, const char *name, const struct chain *bytes)
{
	char text[256];
	size_t n = chain_read(bytes, 0, text, sizeof(text) - 1);

	text[n] = '\0';
	for (size_t i = 0; i < n; i++)
		if (!isprint((unsigned char)text[i]))
			text[i] = '.';
	if (bytes->len < 200)
		line(to, room, " %s\"%s\"", name, text);
	else
		line(to, room, " %s%zu bytes", name, bytes->len);
}

static void say_message(struct end *e, const struct rs_message *message)
{
	if (message->has_metadata)
		quote(e->events, sizeof(e->events), "m=", &message->metadata);
	if (message->data.len)
		quote(e->events, sizeof(e->events), "d=", &message->data);
	line(e->events, sizeof(e->events), "\n");
}

static void wake(struct rs_session *s)
{
	struct end *e = s->user;

	e->wakes++;
}

static uint32_t on_setup(struct rs_session *s, struct rs_setup *setup, const char **why)
{
	struct end *e = s->user;

	line(e->events, sizeof(e->events), "setup %u.%u %u/%u %s %s", setup->major, setup->minor,
		setup->keepalive_ms, setup->lifetime_ms, setup->metadata_mime, setup->data_mime);
	say_message(e, &setup->message);
	if (e->setup_code)
		*why = "no";
	return e->setup_code;
}

static void on_request(struct rs_stream *stream, struct rs_message *message)
{
	struct end *e = stream->session->user;

	line(e->events, sizeof(e->events), "request %s %u", rs_type_name(stream->type) + 8,
		stream->id);
	if (stream->type == RS_REQUEST_STREAM)
		line(e->events, sizeof(e->events), " n=%u", rs_stream_credit(stream));
	say_message(e, message);
	e->stream = stream;
}

static void on_payload(
	struct rs_stream *stream, struct rs_message *message, bool next, bool complete)
{
	struct end *e = stream->session->user;

	line(e->events, sizeof(e->events), "payload %u %s%s", stream->id, next ? "N" : "",
		complete ? "C" : "");
	say_message(e, message);
}

static void on_error(struct rs_stream *stream, uint32_t code, struct chain *text)
{
	struct end *e = stream->session->user;

	line(e->events, sizeof(e->events), "error %u %s", stream->id, rs_error_name(code));
	if (code >= RS_ERROR_CUSTOM_MIN)
		line(e->events, sizeof(e->events), " %08x", code);
	quote(e->events, sizeof(e->events), "", text);
	line(e->events, sizeof(e->events), "\n");
}

static void on_request_n(struct rs_stream *stream, uint32_t n)
{
	struct end *e = stream->session->user;

	line(e->events, sizeof(e->events), "request_n %u %u\n", stream->id, n);
}

static void on_cancel(struct rs_stream *stream)
{
	struct end *e = stream->session->user;

	line(e->events, sizeof(e->events), "cancel %u\n", stream->id);
}

static void on_lost(struct rs_stream *stream, bool was_sent)
{
	struct end *e = stream->session->user;

	line(e->events, sizeof(e->events), "lost %u %s\n", stream->id,
		was_sent ? "sent" : "unsent");
}

static void on_push(struct rs_session *s, struct chain *metadata)
{
	struct end *e = s->user;

	line(e->events, sizeof(e->events), "push");
	quote(e->events, sizeof(e->events), "", metadata);
	line(e->events, sizeof(e->events), "\n");
}

static void on_closed(struct rs_session *s, uint32_t code, const char *why)
{
	struct end *e = s->user;

	line(e->events, sizeof(e->events), "closed %s \"%s\"\n", rs_error_name(code), why);
}

static const struct rs_handler recording = {
	.wake = wake,
	.setup = on_setup,
	.request = on_request,
	.payload = on_payload,
	.error = on_error,
	.request_n = on_request_n,
	.cancel = on_cancel,
	.lost = on_lost,
	.metadata_push = on_push,
	.closed = on_closed,
};

struct end *end_config(void **state, const struct rs_config *config)
{
	struct end *e = *state;

	e->handler = recording;
	e->events[0] = '\0';
	e->now = NS_PER_SEC;
	e->config = *config;
	e->config.handler = &e->handler;
	e->config.pool = pool;
	e->config.user = e;
	if (config->role == RS_CLIENT) {
		if (!config->keepalive_ms)
			e->config.keepalive_ms = 20000;
		if (!config->lifetime_ms)
			e->config.lifetime_ms = 90000;
		if (!config->metadata_mime)
			e->config.metadata_mime = "message/x.rsocket.routing.v0";
		if (!config->data_mime)
			e->config.data_mime = "text/plain";
	}
	assert_int_equal(rs_session_init(&e->s, &e->config, e->now), 0);
	return e;
}

struct end *end_new(void **state, enum rs_role role)
{
	return end_config(state, &(struct rs_config){.role = role});
}

void send_setup(struct end *e)
{
	// 1.0, keepalive 20000, lifetime 90000, "a/b", "c/d"
	send_hex(e, "00001a 00000000 0400 0001 0000 00004e20 00015f90 03 612f62 03 632f64");
}

struct end *server_of(void **state)
{
	struct end *e = end_new(state, RS_SERVER);

	send_setup(e);
	expect_events(e, "setup 1.0 20000/90000 a/b c/d\n");
	expect_sent(e, "");
	return e;
}

struct end *client_of(void **state)
{
	struct end *e = end_new(state, RS_CLIENT);

	expect_sent(e, "SETUP 0 1.0 20000/90000 message/x.rsocket.routing.v0 text/plain\n");
	return e;
}

void send_bytes(struct end *e, const void *bytes, size_t len)
{
	struct chain in = {0};

	assert_true(len <= sizeof(e->storage));
	memcpy(e->storage, bytes, len);
	chain_push(&in, NULL, e->storage, (uint32_t)len);
	rs_input(&e->s, &in, e->now);
	assert_true(chain_empty(&in));
	// Whatever the session still refers to now shows.
	memset(e->storage, 0xee, len);
}

void send_hex(struct end *e, const char *hex)
{
	uint8_t bytes[4096];
	size_t len = 0;
	unsigned high = 0, digits = 0;

	for (; *hex; hex++) {
		unsigned digit;

		if (isspace((unsigned char)*hex))
			continue;
		assert_true(isxdigit((unsigned char)*hex));
		digit = *hex <= '9' ? (unsigned)(*hex - '0') : (unsigned)(tolower(*hex) - 'a' + 10);
		if (digits++ % 2 == 0)
			high = digit << 4;
		else
			bytes[len++] = (uint8_t)(high | digit);
	}
	assert_int_equal(digits % 2, 0);
	send_bytes(e, bytes, len);
}

size_t frame_bytes(uint8_t *out, enum rs_type type, uint32_t stream, uint16_t flags, uint64_t value,
	const char *metadata, const char *data)
{
	struct rs_frame f = {.stream = stream, .type = (uint8_t)type, .flags = flags};
	size_t len = RS_PREFIX_BYTES;

	if (type == RS_KEEPALIVE || type == RS_RESUME_OK)
		f.position = value;
	else
		f.n = (uint32_t)value;
	if (metadata) {
		f.flags |= RS_FLAG_METADATA;
		f.metadata_len = (uint32_t)strlen(metadata);
	}
	len += rs_frame_write(out + RS_PREFIX_BYTES, &f);
	if (metadata) {
		memcpy(out + len, metadata, strlen(metadata));
		len += strlen(metadata);
	}
	if (data) {
		memcpy(out + len, data, strlen(data));
		len += strlen(data);
	}
	rs_prefix_write(out, (uint32_t)(len - RS_PREFIX_BYTES));
	return len;
}

void send_frame(struct end *e, enum rs_type type, uint32_t stream, uint16_t flags, uint64_t value,
	const char *metadata, const char *data)
{
	size_t body = (metadata ? strlen(metadata) : 0) + (data ? strlen(data) : 0);
	uint8_t *bytes = malloc(RS_PREFIX_BYTES + RS_HEAD_BYTES_MAX + body);

	send_bytes(e, bytes, frame_bytes(bytes, type, stream, flags, value, metadata, data));
	free(bytes);
}

static void say_flags(struct end *e, const struct rs_frame *f)
{
	char text[8] = "", *at = text;
	bool request = rs_type_request(f->type);

	if (f->flags & RS_FLAG_IGNORE)
		*at++ = 'I';
	if (f->flags & RS_FLAG_FOLLOWS)
		*at++ = request || f->type == RS_PAYLOAD ? 'F' : 'R';
	if (f->flags & RS_FLAG_NEXT)
		*at++ = 'N';
	if (f->flags & RS_FLAG_COMPLETE)
		*at++ = f->type == RS_SETUP ? 'L' : 'C';
	*at = '\0';
	if (*text)
		line(e->sent, sizeof(e->sent), " %s", text);
}

static void say_field(struct end *e, struct rs_frame *f, const struct chain *frame)
{
	struct rs_setup_head setup;

	switch (f->type) {
	case RS_SETUP:
		assert_int_equal(rs_setup_read(&setup, f, frame), 0);
		line(e->sent, sizeof(e->sent), " %u.%u %u/%u %s %s", setup.major, setup.minor,
			setup.keepalive_ms, setup.lifetime_ms, setup.metadata_mime,
			setup.data_mime);
		break;
	case RS_REQUEST_STREAM:
	case RS_REQUEST_CHANNEL:
	case RS_REQUEST_N:
		line(e->sent, sizeof(e->sent), " n=%u", f->n);
		break;
	case RS_KEEPALIVE:
		line(e->sent, sizeof(e->sent), " position=%llu", (unsigned long long)f->position);
		break;
	case RS_ERROR:
		line(e->sent, sizeof(e->sent), " %s", rs_error_name(f->code));
		if (f->code >= RS_ERROR_CUSTOM_MIN)
			line(e->sent, sizeof(e->sent), " %08x", f->code);
		break;
	default:
		break;
	}
}

static void say_frame(struct end *e, struct chain *frame)
{
	uint8_t scratch[RS_HEAD_BYTES_MAX];
	size_t head_len = frame->len < sizeof(scratch) ? frame->len : sizeof(scratch);
	struct chain part = {0};
	struct rs_frame f;

	assert_int_equal(rs_frame_read(&f, chain_peek(frame, head_len, scratch), frame->len), 0);
	line(e->sent, sizeof(e->sent), "%s %u", rs_type_name(f.type), f.stream);
	say_flags(e, &f);
	say_field(e, &f, frame);
	chain_skip(frame, f.head_len);
	chain_move(&part, frame, f.metadata_len);
	if (f.flags & RS_FLAG_METADATA)
		quote(e->sent, sizeof(e->sent), "m=", &part);
	chain_clear(&part);
	if (frame->len)
		quote(e->sent, sizeof(e->sent), "d=", frame);
	line(e->sent, sizeof(e->sent), "\n");
}

const char *sent(struct end *e)
{
	while (rs_output_pending(&e->s))
		rs_output(&e->s, &e->out, 1 << 20);
	e->sent[0] = '\0';
	while (e->out.len) {
		struct chain frame = {0};
		uint8_t prefix[RS_PREFIX_BYTES];
		uint32_t len;

		assert_int_equal(chain_read(&e->out, 0, prefix, 3), 3);
		len = (uint32_t)prefix[0] << 16 | (uint32_t)prefix[1] << 8 | prefix[2];
		chain_skip(&e->out, RS_PREFIX_BYTES);
		assert_true(e->out.len >= len);
		chain_move(&frame, &e->out, len);
		say_frame(e, &frame);
		chain_clear(&frame);
	}
	return e->sent;
}

size_t sent_raw(struct end *e, void *out, size_t room)
{
	size_t len;

	while (rs_output_pending(&e->s))
		rs_output(&e->s, &e->out, 1 << 20);
	len = chain_read(&e->out, 0, out, room);
	chain_clear(&e->out);
	return len;
}

const char *events(struct end *e)
{
	static char copy[sizeof(e->events)];

	memcpy(copy, e->events, strlen(e->events) + 1);
	e->events[0] = '\0';
	return copy;
}

struct rs_message message_of(const char *metadata, const char *data)
{
	struct rs_message message = {.has_metadata = metadata};

	if (metadata)
		chain_push(&message.metadata, NULL, (const uint8_t *)metadata,
			(uint32_t)strlen(metadata));
	if (data)
		chain_push(&message.data, NULL, (const uint8_t *)data, (uint32_t)strlen(data));
	return message;
}

const char *letters(unsigned slot, size_t len)
{
	static char text[4][(1 << 21) + 1];

	assert_true(slot < 4 && len < sizeof(text[0]));
	for (size_t i = 0; i < len; i++)
		text[slot][i] = (char)('a' + i % 26);
	text[slot][len] = '\0';
	return text[slot];
}

struct rs_stream *ask(struct end *e, enum rs_type type, uint32_t n, const char *data)
{
	struct rs_message message = message_of(NULL, data);
	int error = 0;

	e->stream = rs_request(&e->s, type, n, &message, NULL, &error);
	assert_non_null(e->stream);
	return e->stream;
}

int answer(struct rs_stream *stream, const char *data, bool next, bool complete)
{
	struct rs_message message = message_of(NULL, data);

	return rs_payload(stream, &message, next, complete);
}
