// SPDX-License-Identifier: Apache-2.0
// Any bytes into a server's and a client's session whose user asks and answers.
//
// The first byte chooses role and limits, the second seeds how the rest is split. The same bytes go
// in once as one piece and once in pieces: events and output must agree (rule 9). A third run pulls
// output in between. All output must be valid frames, and after each run nothing may be left.

#include <stdlib.h>

#include "lib/base/rng.h"
#include "lib/rsocket/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define STREAMS 64

struct run {
	struct rs_session session;
	struct rs_stream *streams[STREAMS]; // open ones of the peer
	uint64_t hash;                      // of all events
	uint64_t opened, ended;
	bool closed;
};

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void note(struct run *run, uint64_t what)
{
	run->hash = (run->hash ^ what) * 0x100000001b3u;
}

static void note_chain(struct run *run, const struct chain *chain)
{
	note(run, chain->len);
	for (const struct chain_node *node = chain->first; node; node = node->next)
		for (uint32_t i = 0; i < node->slice.len; i++)
			note(run, node->slice.data[i]);
}

static struct run *run_of(struct rs_session *s)
{
	return s->user;
}

static void wake(struct rs_session *s)
{
}

static void remember(struct run *run, struct rs_stream *stream)
{
	stream->user = NULL;
	for (unsigned i = 0; i < STREAMS; i++) {
		if (!run->streams[i]) {
			run->streams[i] = stream;
			stream->user = &run->streams[i];
			return;
		}
	}
}

static void forget(struct rs_stream *stream)
{
	struct rs_stream **slot = stream->user;

	if (slot)
		*slot = NULL;
	run_of(stream->session)->ended++;
}

static void reply(struct rs_stream *stream, struct rs_message *message, bool next, bool complete)
{
	if (complete)
		forget(stream);
	if (rs_payload(stream, message, next, complete) && complete)
		rs_error(stream, RS_ERROR_CANCELED, "no room");
}

static void items(struct rs_stream *stream, unsigned count)
{
	static const uint8_t item[2000];

	for (unsigned i = 0; i < count; i++) {
		struct rs_message message = {.has_metadata = i % 2};

		chain_push(&message.data, NULL, item, i * 500 % 2000);
		rs_payload(stream, &message, true, false);
	}
}

// What is asked for lies in the first byte of the request.
static void on_request(struct rs_stream *stream, struct rs_message *message)
{
	struct run *run = run_of(stream->session);
	uint8_t wish = 0;
	bool single = stream->type == RS_REQUEST_RESPONSE;

	note(run, (uint64_t)stream->id << 8 | stream->type);
	note(run, rs_stream_credit(stream));
	note(run, message->has_metadata);
	note_chain(run, &message->metadata);
	note_chain(run, &message->data);
	if (stream->type == RS_REQUEST_FNF)
		return;
	run->opened++;
	remember(run, stream);
	chain_read(&message->data, 0, &wish, 1);
	switch (wish % 6) {
	case 0:
		reply(stream, message, true, true);
		break;
	case 1:
		forget(stream);
		rs_error(stream, RS_ERROR_APPLICATION + wish, "as you wish");
		break;
	case 2:
		if (!single) {
			items(stream, 4);
			reply(stream, message, wish & 16, true);
		}
		break;
	case 3:
		if (!single)
			items(stream, 2);
		break;
	default:
		break;
	}
}

static void on_payload(
	struct rs_stream *stream, struct rs_message *message, bool next, bool complete)
{
	struct run *run = run_of(stream->session);

	note(run, (uint64_t)stream->id << 8 | (uint64_t)next << 1 | complete);
	note(run, message->has_metadata);
	note_chain(run, &message->metadata);
	note_chain(run, &message->data);
	if (complete) {
		run->ended++;
	} else if (message->data.len % 7 == 3) {
		run->ended++;
		rs_cancel(stream);
	} else {
		rs_request_n(stream, 1 + (uint32_t)message->data.len % 3);
	}
}

static void on_error(struct rs_stream *stream, uint32_t code, struct chain *text)
{
	struct run *run = run_of(stream->session);

	note(run, (uint64_t)stream->id << 32 | code);
	note_chain(run, text);
	run->ended++;
}

static void on_request_n(struct rs_stream *stream, uint32_t n)
{
	note(run_of(stream->session), (uint64_t)stream->id << 32 | n);
	items(stream, n < 3 ? n : 3);
}

static void on_cancel(struct rs_stream *stream)
{
	note(run_of(stream->session), stream->id);
	forget(stream);
}

static void on_lost(struct rs_stream *stream, bool sent)
{
	if (stream->requester)
		run_of(stream->session)->ended++;
	else
		forget(stream);
}

static void on_push(struct rs_session *s, struct chain *metadata)
{
	note_chain(run_of(s), metadata);
}

static void on_closed(struct rs_session *s, uint32_t code, const char *why)
{
	struct run *run = run_of(s);

	must(!run->closed);
	run->closed = true;
	note(run, code);
}

static const struct rs_handler handler = {
	.wake = wake,
	.request = on_request,
	.payload = on_payload,
	.error = on_error,
	.request_n = on_request_n,
	.cancel = on_cancel,
	.lost = on_lost,
	.metadata_push = on_push,
	.closed = on_closed,
};

static const uint8_t setup[] = "\0\0\x1a\0\0\0\0\4\0\0\1\0\0\0\0\x4e\x20\0\1\x5f\x90\3a/b\3c/d";

static unsigned live_bufs;

static void release_heap(struct buf *buf)
{
	live_bufs--;
	free(buf->base);
	free(buf);
}

// Bytes in storage of their own: freed when nobody refers to them, so that what is used later
// shows.
static void feed(struct run *run, const uint8_t *data, size_t len)
{
	struct buf *buf = malloc(sizeof(*buf));
	struct chain in = {0};

	buf_init(buf, malloc(len ? len : 1), (uint32_t)len, release_heap, NULL);
	live_bufs++;
	memcpy(buf->base, data, len);
	chain_push(&in, buf, buf->base, (uint32_t)len);
	buf_unref(buf);
	rs_input(&run->session, &in, 0);
	must(chain_empty(&in));
}

static void ask(struct run *run)
{
	static const uint8_t text[3000];
	struct rs_message message = {0};
	int error;

	for (uint32_t i = 0; i < 6; i++) {
		chain_push(&message.data, NULL, text, i * 600);
		if (rs_request(&run->session, i % 2 ? RS_REQUEST_STREAM : RS_REQUEST_RESPONSE,
			    i + 1, &message, NULL, &error))
			run->opened++;
	}
	rs_fire_and_forget(&run->session, &message);
}

static void begin(struct run *run, struct rs_pool *pool, uint8_t choice)
{
	struct rs_config config = {
		.role = choice & 1 ? RS_SERVER : RS_CLIENT,
		.handler = &handler,
		.pool = pool,
		.user = run,
		.keepalive_ms = 1000,
		.lifetime_ms = 10000,
		.metadata_mime = "a/b",
		.data_mime = "c/d",
		.fragment_bytes = choice & 2 ? 64 : 0,
		.message_bytes_max = choice & 4 ? 2000 : 0,
		.streams_max = choice & 8 ? 3 : 0,
	};

	*run = (struct run){0};
	must(rs_session_init(&run->session, &config, 0) == 0);
	// Most servers have their SETUP already.
	if (config.role == RS_SERVER && !(choice & 16))
		feed(run, setup, sizeof(setup) - 1);
	if (!(choice & 32))
		ask(run);
}

static void check_output(struct chain *out)
{
	while (out->len) {
		uint8_t scratch[RS_HEAD_BYTES_MAX], prefix[3];
		struct rs_frame f;
		size_t len;

		must(chain_read(out, 0, prefix, 3) == 3);
		len = (size_t)prefix[0] << 16 | (size_t)prefix[1] << 8 | prefix[2];
		chain_skip(out, 3);
		must(out->len >= len);
		must(rs_frame_read(&f, chain_peek(out, len < 14 ? len : 14, scratch), len) == 0);
		must(rs_type_known(f.type));
		if (f.type == RS_PAYLOAD)
			must(f.flags & (RS_FLAG_NEXT | RS_FLAG_COMPLETE)); // rule 65
		chain_skip(out, len);
	}
}

static uint64_t end(struct run *run)
{
	struct chain out = {0};
	uint64_t hash;

	while (rs_output_pending(&run->session))
		rs_output(&run->session, &out, 1 << 20);
	note_chain(run, &out);
	check_output(&out);
	hash = run->hash;
	rs_session_abort(&run->session);
	rs_session_fini(&run->session);
	must(run->opened == run->ended);
	return hash;
}

static uint64_t whole(struct rs_pool *pool, const uint8_t *data, size_t len)
{
	struct run run;

	begin(&run, pool, data[0]);
	feed(&run, data + 2, len - 2);
	return end(&run);
}

static uint64_t split(struct rs_pool *pool, const uint8_t *data, size_t len, bool pull)
{
	struct chain out = {0};
	struct run run;
	struct rng rng;
	size_t at = 2;

	begin(&run, pool, data[0]);
	rng_seed(&rng, data[1]);
	while (at < len) {
		size_t n = 1 + rng_below(&rng, 1u << rng_below(&rng, 12));

		if (n > len - at)
			n = len - at;
		feed(&run, data + at, n);
		at += n;
		if (!pull)
			continue;
		rs_output(&run.session, &out, 1 + rng_below(&rng, 200));
		rs_tick(&run.session, 0);
		if (rng_below(&rng, 50) == 0)
			rs_session_drain(&run.session);
	}
	check_output(&out);
	return end(&run);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct buf_pool *blocks;
	static struct rs_pool *pool;

	if (len < 2)
		return 0;
	if (!blocks) {
		blocks = buf_pool_new(1024, 0);
		pool = rs_pool_new(256, blocks);
	}
	must(whole(pool, data, len) == split(pool, data, len, false));
	split(pool, data, len, true);
	must(rs_pool_streams(pool) == 0 && buf_pool_bytes(blocks) == 0);
	must(chain_nodes_in_use() == 0 && live_bufs == 0);
	return 0;
}
