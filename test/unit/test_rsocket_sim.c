// SPDX-License-Identifier: Apache-2.0
// Two RSocket sessions exchange thousands of calls through a wire that splits their bytes anywhere:
// a seeded simulation. Both ends ask and answer; sizes, credits, cancels, limits and abrupt ends
// are random. The test knows both ends of each call and checks that every stream ends exactly once
// at each end, that bytes, counts and credits are right, and that nothing is left in the pools.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "lib/base/rng.h"
#include "lib/rsocket/internal.h"

#define CALLS_MAX 400

enum plan { PLAN_WITH_LAST, PLAN_ALONE, PLAN_ERROR, PLAN_NEVER, PLAN_COUNT };

struct call {
	uint32_t index;
	uint8_t type;
	uint8_t plan;
	bool refused_ok; // a limit may refuse it
	struct side *asker, *answerer;
	struct rs_stream *ask, *answer; // NULL before and after
	size_t request_len, metadata_len;
	bool has_metadata;
	uint32_t items_planned, items_sent, items_got;
	uint32_t granted;
	unsigned started, asked, ask_ends, answer_ends;
	bool cancelled;
	size_t queued_bytes; // by our own books
};

struct side {
	struct rs_session session;
	struct world *world;
	struct chain wire; // on its way from here
	bool woken;
	unsigned closed;
};

struct world {
	struct rng rng;
	struct side side[2]; // client, server
	struct rs_pool *pool;
	struct buf_pool *blocks;
	struct call calls[CALLS_MAX];
	uint32_t calls_count, calls_wanted;
	bool tight; // small limits: calls may fail
	bool dead;  // sessions were aborted
	ns_t now;
	uint64_t completed, failed, lost;
};

static unsigned live_bufs;

static void release_heap(struct buf *buf)
{
	live_bufs--;
	free(buf->base);
	free(buf);
}

// Bytes of a heap buffer of their own, so that the sanitizer sees who keeps them too long.
static void push_copy(struct chain *to, const uint8_t *bytes, size_t len)
{
	struct buf *buf = malloc(sizeof(*buf));

	if (len == 0) {
		free(buf);
		return;
	}
	buf_init(buf, malloc(len), (uint32_t)len, release_heap, NULL);
	live_bufs++;
	memcpy(buf->base, bytes, len);
	chain_push(to, buf, buf->base, (uint32_t)len);
	buf_unref(buf);
}

static bool chance(struct world *w, uint32_t percent)
{
	return rng_below(&w->rng, 100) < percent;
}

// What byte j of part (call, k) is. The first eight name the part.
static uint8_t pattern(uint32_t index, uint32_t k, size_t j)
{
	uint32_t word = j < 4 ? index : k;

	if (j < 8)
		return (uint8_t)(word >> j % 4 * 8);
	return (uint8_t)(index * 31 + k * 17 + j * 7 + (j >> 8));
}

#define METADATA_PART 0xffffff
#define REQUEST_PART 0xfffffe

static void fill(struct world *w, struct chain *to, uint32_t index, uint32_t k, size_t len)
{
	uint8_t *bytes = malloc(len ? len : 1);
	size_t at = 0;

	for (size_t j = 0; j < len; j++)
		bytes[j] = pattern(index, k, j);
	while (at < len) {
		size_t n = len - at;

		if (chance(w, 20))
			n = 1 + rng_below(&w->rng, (uint32_t)n);
		push_copy(to, bytes + at, n);
		at += n;
	}
	free(bytes);
}

static void check(const struct chain *chain, uint32_t index, uint32_t k, size_t len)
{
	size_t j = 0;

	assert_int_equal(chain->len, len);
	for (const struct chain_node *node = chain->first; node; node = node->next)
		for (uint32_t i = 0; i < node->slice.len; i++, j++)
			if (node->slice.data[i] != pattern(index, k, j))
				fail_msg("call %u part %x: byte %zu of %zu is wrong", index, k, j,
					len);
	assert_int_equal(j, len);
}

// The size of part k: repeatable, mostly small, sometimes at an edge, seldom large.
static size_t size_of(uint32_t index, uint32_t k)
{
	uint32_t h = (index * 2654435761u) ^ (k * 40503u * 65537u);

	h ^= h >> 13;
	h *= 0x9e3779b1u;
	h ^= h >> 16;
	switch (h % 16) {
	case 0:
		return 0;
	case 1:
		return 1000 + h / 16 % 60;
	case 2:
		return h / 16 % 3000;
	case 3:
		return 40 + h / 16 % 50;
	case 4:
		return 65480 + h / 16 % 100;
	case 5:
		return h / 16 % 16 ? h / 256 % 5000 : 100000 + h / 256 % 100000;
	default:
		return h / 16 % 200;
	}
}

static struct side *side_of(struct rs_session *s)
{
	return s->user;
}

static void wake(struct rs_session *s)
{
	side_of(s)->woken = true;
}

static struct call *call_named(struct world *w, const struct chain *data)
{
	uint8_t raw[4];
	uint32_t index;

	assert_int_equal(chain_read(data, 0, raw, 4), 4);
	index = raw[0] | (uint32_t)raw[1] << 8 | (uint32_t)raw[2] << 16 | (uint32_t)raw[3] << 24;
	assert_true(index < w->calls_count);
	return &w->calls[index];
}

static void answer_ended(struct call *call)
{
	call->answer = NULL;
	call->answer_ends++;
}

static void ask_ended(struct call *call)
{
	call->ask = NULL;
	call->ask_ends++;
}

static void end_with_error(struct call *call, uint32_t code)
{
	struct rs_stream *stream = call->answer;

	answer_ended(call);
	rs_error(stream, code, "planned");
}

// Sends item number items_sent, or the reply; complete if it is planned to end like that.
static void send_item(struct world *w, struct call *call, bool complete)
{
	uint32_t k = call->items_sent;
	struct rs_stream *stream = call->answer;
	struct rs_message message = {0};
	size_t queued = rs_stream_queued_bytes(stream);
	int error;

	assert_int_equal(queued, call->queued_bytes);
	fill(w, &message.data, call->index, k, size_of(call->index, k));
	if (k % 3 == 1) {
		message.has_metadata = true;
		fill(w, &message.metadata, call->index, k + 0x10000,
			size_of(call->index, k + 7) % 2000);
	}
	error = rs_payload(stream, &message, true, complete);
	assert_true(chain_empty(&message.data) && chain_empty(&message.metadata));
	if (error) {
		assert_true(w->tight);
		assert_true(error == -ENOBUFS || error == -EMSGSIZE);
		call->plan = PLAN_NEVER;
		end_with_error(call, RS_ERROR_CANCELED);
		return;
	}
	call->items_sent++;
	if (complete)
		answer_ended(call);
	else
		call->queued_bytes += rs_stream_queued_bytes(stream) - queued;
}

// One step of an open responder stream.
static void progress(struct world *w, struct call *call)
{
	bool last = call->items_sent + 1 >= call->items_planned;

	if (call->type == RS_REQUEST_RESPONSE) {
		if (call->plan == PLAN_ERROR)
			end_with_error(call, RS_ERROR_APPLICATION);
		else if (call->plan != PLAN_NEVER)
			send_item(w, call, true);
		return;
	}
	if (call->items_sent < call->items_planned) {
		// Mostly within credit; what is beyond has to wait in the session.
		if (rs_stream_credit(call->answer) == 0 && !chance(w, 10))
			return;
		send_item(w, call, last && call->plan == PLAN_WITH_LAST);
	} else if (call->plan == PLAN_ERROR) {
		end_with_error(call, RS_ERROR_APPLICATION);
	} else if (call->plan != PLAN_NEVER) {
		struct rs_stream *stream = call->answer;
		struct rs_message none = {0};

		if (rs_payload(stream, &none, false, true)) {
			assert_true(w->tight);
			call->plan = PLAN_NEVER;
			end_with_error(call, RS_ERROR_CANCELED);
		} else {
			answer_ended(call);
		}
	}
}

static void on_request(struct rs_stream *stream, struct rs_message *message)
{
	struct side *side = side_of(stream->session);
	struct world *w = side->world;
	struct call *call = call_named(w, &message->data);

	assert_ptr_equal(call->answerer, side);
	assert_int_equal(call->type, stream->type);
	assert_int_equal(call->started, 0);
	call->started++;
	check(&message->data, call->index, REQUEST_PART, call->request_len);
	assert_int_equal(message->has_metadata, call->has_metadata);
	check(&message->metadata, call->index, METADATA_PART, call->metadata_len);
	if (stream->type == RS_REQUEST_FNF)
		return;
	call->answer = stream;
	stream->user = call;
	while (call->answer && chance(w, 50))
		progress(w, call);
}

static void give_up(struct call *call)
{
	struct rs_stream *stream = call->ask;

	call->cancelled = true;
	ask_ended(call);
	rs_cancel(stream);
}

static void grant(struct world *w, struct call *call)
{
	uint32_t n = 1 + rng_below(&w->rng, 5);

	call->granted += n;
	rs_request_n(call->ask, n);
}

static void on_payload(
	struct rs_stream *stream, struct rs_message *message, bool next, bool complete)
{
	struct call *call = stream->user;
	struct world *w = call->asker->world;
	uint32_t k = call->items_got;

	assert_ptr_equal(call->ask, stream);
	if (next) {
		assert_true(call->items_got < call->granted); // rule 53
		assert_true(call->items_got < call->items_sent);
		call->items_got++;
		check(&message->data, call->index, k, size_of(call->index, k));
		assert_int_equal(message->has_metadata, k % 3 == 1);
		if (k % 3 == 1)
			check(&message->metadata, call->index, k + 0x10000,
				size_of(call->index, k + 7) % 2000);
	}
	if (complete) {
		assert_true(call->plan == PLAN_WITH_LAST || call->plan == PLAN_ALONE);
		assert_int_equal(call->items_got, call->items_sent);
		assert_int_equal(call->items_got, call->items_planned);
		assert_null(call->answer);
		ask_ended(call);
		w->completed++;
	} else if (chance(w, 2)) {
		give_up(call);
	} else if (chance(w, 40)) {
		grant(w, call);
	}
}

static void on_error(struct rs_stream *stream, uint32_t code, struct chain *text)
{
	struct call *call = stream->user;
	struct world *w = call->asker->world;

	assert_ptr_equal(call->ask, stream);
	switch (code) {
	case RS_ERROR_APPLICATION:
		assert_true(chain_equal(text, "planned", 7));
		assert_int_equal(call->plan, PLAN_ERROR);
		assert_int_equal(call->items_got, call->items_sent);
		break;
	case RS_ERROR_REJECTED:
		assert_int_equal(call->started, 0); // rule 80
		assert_true(w->tight);
		break;
	case RS_ERROR_CANCELED:
		assert_true(w->tight);
		break;
	default:
		fail_msg("unexpected code %x", code);
	}
	ask_ended(call);
	w->failed++;
}

static void on_cancel(struct rs_stream *stream)
{
	struct call *call = stream->user;

	assert_ptr_equal(call->answer, stream);
	assert_int_equal(call->ask_ends, 1);
	answer_ended(call);
}

static void on_lost(struct rs_stream *stream, bool sent)
{
	struct call *call = stream->user;

	assert_true(call->asker->world->dead);
	if (stream->requester) {
		assert_ptr_equal(call->ask, stream);
		assert_true(sent || !call->started);
		ask_ended(call);
		call->asker->world->lost++;
	} else {
		assert_ptr_equal(call->answer, stream);
		answer_ended(call);
	}
}

static void on_pulled(struct rs_stream *stream, size_t bytes)
{
	struct call *call = stream->user;

	if (stream->requester)
		return;
	assert_ptr_equal(call->answer, stream);
	assert_true(bytes <= call->queued_bytes);
	call->queued_bytes -= bytes;
	assert_int_equal(call->queued_bytes, rs_stream_queued_bytes(stream));
}

static void on_closed(struct rs_session *s, uint32_t code, const char *why)
{
	side_of(s)->closed++;
	assert_int_equal(code, RS_ERROR_CONNECTION_CLOSE);
}

static const struct rs_handler handler = {
	.wake = wake,
	.request = on_request,
	.payload = on_payload,
	.error = on_error,
	.cancel = on_cancel,
	.lost = on_lost,
	.pulled = on_pulled,
	.closed = on_closed,
};

static void start_fnf(struct world *w, struct call *call, struct rs_message *message)
{
	int error = rs_fire_and_forget(&call->asker->session, message);

	assert_true(error == 0 || w->tight);
	call->asked = error == 0;
}

static void start_call(struct world *w)
{
	static const uint8_t types[] = {RS_REQUEST_RESPONSE, RS_REQUEST_FNF, RS_REQUEST_STREAM};
	struct call *call = &w->calls[w->calls_count];
	struct rs_message message = {0};
	int error = 0, who = chance(w, 70) ? 0 : 1;

	if (!rs_session_established(&w->side[who].session))
		return;
	*call = (struct call){
		.index = w->calls_count++,
		.type = types[rng_below(&w->rng, 3)],
		.plan = (uint8_t)rng_below(&w->rng, PLAN_COUNT),
		.asker = &w->side[who],
		.answerer = &w->side[!who],
		.has_metadata = chance(w, 50),
	};
	call->request_len = 8 + size_of(call->index, REQUEST_PART + 5);
	call->metadata_len = call->has_metadata ? size_of(call->index, METADATA_PART) : 0;
	call->items_planned = call->type == RS_REQUEST_STREAM ? rng_below(&w->rng, 30) : 1;
	if (call->items_planned == 0 && call->plan == PLAN_WITH_LAST)
		call->plan = PLAN_ALONE;
	call->granted = call->type == RS_REQUEST_STREAM ? 1 + rng_below(&w->rng, 4) : 1;
	message.has_metadata = call->has_metadata;
	fill(w, &message.data, call->index, REQUEST_PART, call->request_len);
	fill(w, &message.metadata, call->index, METADATA_PART, call->metadata_len);
	if (call->type == RS_REQUEST_FNF) {
		start_fnf(w, call, &message);
	} else {
		call->ask = rs_request(&call->asker->session, (enum rs_type)call->type,
			call->granted, &message, call, &error);
		call->asked = call->ask != NULL;
		assert_true(call->asked || (w->tight && (error == -ENOBUFS || error == -EMSGSIZE)));
	}
	assert_true(chain_empty(&message.data) && chain_empty(&message.metadata));
}

// A call that is open at one end, at random; NULL if the first one tried is not.
static struct call *any_call(struct world *w)
{
	return w->calls_count ? &w->calls[rng_below(&w->rng, w->calls_count)] : NULL;
}

// Bytes arrive: some of what is on the wire, in slices of any size.
static void arrive(struct world *w, struct side *from, struct side *to, bool all)
{
	uint8_t bytes[40000];
	struct chain in = {0};
	size_t n = from->wire.len;

	if (!all && n > 0)
		n = chance(w, 50) ? 1 + rng_below(&w->rng, n < 100 ? (uint32_t)n : 100)
				  : 1 + rng_below(&w->rng, (uint32_t)n);
	while (n > 0) {
		size_t part = n < sizeof(bytes) ? n : sizeof(bytes);

		if (chance(w, 50))
			part = 1 + rng_below(&w->rng, (uint32_t)part);
		chain_read(&from->wire, 0, bytes, part);
		chain_skip(&from->wire, part);
		push_copy(&in, bytes, part);
		n -= part;
	}
	rs_input(&to->session, &in, w->now);
	assert_true(chain_empty(&in));
}

static void pump(struct world *w, unsigned which, bool all)
{
	struct side *from = &w->side[which], *to = &w->side[!which];
	size_t before = from->wire.len, got;

	if (rs_output_pending(&from->session)) {
		assert_true(from->woken);
		got = rs_output(&from->session, &from->wire, 1 + rng_below(&w->rng, 100000));
		assert_int_equal(from->wire.len, before + got);
		from->woken = rs_output_pending(&from->session);
	}
	arrive(w, from, to, all);
}

static void step(struct world *w)
{
	struct call *call = any_call(w);

	switch (rng_below(&w->rng, 8)) {
	case 0:
		if (w->calls_count < w->calls_wanted)
			start_call(w);
		break;
	case 1:
		if (call && call->answer)
			progress(w, call);
		break;
	case 2:
		if (call && call->ask && call->type == RS_REQUEST_STREAM && chance(w, 50))
			grant(w, call);
		break;
	case 3:
		if (call && call->ask && chance(w, 3))
			give_up(call);
		break;
	case 4:
		w->now += NS_PER_MS * rng_below(&w->rng, 3);
		rs_tick(&w->side[0].session, w->now);
		rs_tick(&w->side[1].session, w->now);
		break;
	default:
		pump(w, rng_below(&w->rng, 2), false);
		break;
	}
}

// Everything that can still happen does: grants flow, answers end, the never-ending are given up.
static void settle(struct world *w)
{
	bool busy = true;

	for (unsigned round = 0; busy; round++) {
		assert_true(round < 100000);
		busy = false;
		for (uint32_t i = 0; i < w->calls_count; i++) {
			struct call *call = &w->calls[i];

			if (call->answer)
				progress(w, call);
			if (call->ask && call->type == RS_REQUEST_STREAM && call->granted < 2000)
				grant(w, call);
			if (call->ask && round > 200 && call->plan == PLAN_NEVER)
				give_up(call);
			busy |= call->ask || call->answer;
		}
		pump(w, 0, true);
		pump(w, 1, true);
		busy |= w->side[0].wire.len || w->side[1].wire.len;
		busy |= rs_output_pending(&w->side[0].session) ||
			rs_output_pending(&w->side[1].session);
	}
}

static void check_idle(const struct rs_session *s)
{
	assert_int_equal(s->streams_count, 0);
	assert_int_equal(s->streams_peer, 0);
	assert_int_equal(s->queued_bytes, 0);
	assert_int_equal(s->queued_count, 0);
	assert_int_equal(s->reassembly_bytes, 0);
	assert_int_equal(s->ready.len, 0);
}

static void check_calls(const struct world *w)
{
	for (uint32_t i = 0; i < w->calls_count; i++) {
		const struct call *call = &w->calls[i];
		bool stream = call->type != RS_REQUEST_FNF;

		assert_int_equal(call->ask_ends, stream && call->asked);
		assert_int_equal(call->answer_ends, stream && call->started);
		assert_true(call->started <= call->asked);
		if (!w->dead && !w->tight && !call->cancelled)
			assert_int_equal(call->started, call->asked);
	}
}

static void start_session(struct world *w, unsigned which)
{
	static const uint32_t fragments[] = {64, 100, 1024, 65536, RS_FRAGMENT_NEVER};
	struct rs_config config = {
		.role = which ? RS_SERVER : RS_CLIENT,
		.handler = &handler,
		.pool = w->pool,
		.user = &w->side[which],
		.keepalive_ms = 50,
		.lifetime_ms = 100000000,
		.metadata_mime = "a/b",
		.data_mime = "c/d",
		.fragment_bytes = fragments[rng_below(&w->rng, 5)],
	};

	if (w->tight) {
		config.streams_max = 1 + rng_below(&w->rng, 30);
		config.reassembly_bytes_max = 4096 + rng_below(&w->rng, 300000);
		config.message_bytes_max = 50000 + rng_below(&w->rng, 200000);
		config.stream_queue_bytes_max = 3000 + rng_below(&w->rng, 100000);
		config.queue_bytes_max = 20000 + rng_below(&w->rng, 1000000);
	}
	w->side[which] = (struct side){.world = w};
	assert_int_equal(rs_session_init(&w->side[which].session, &config, w->now), 0);
}

static void finish(struct world *w, bool drain)
{
	if (w->dead) {
		rs_session_abort(&w->side[0].session);
		rs_session_abort(&w->side[1].session);
		chain_clear(&w->side[0].wire);
		chain_clear(&w->side[1].wire);
	} else {
		if (drain)
			rs_session_drain(&w->side[rng_below(&w->rng, 2)].session);
		settle(w);
		assert_int_equal(w->side[0].closed, drain);
		assert_int_equal(w->side[1].closed, drain);
	}
	check_calls(w);
	check_idle(&w->side[0].session);
	check_idle(&w->side[1].session);
	rs_session_fini(&w->side[0].session);
	rs_session_fini(&w->side[1].session);
}

static void run(uint64_t seed, bool tight, uint64_t totals[3])
{
	struct world *w = calloc(1, sizeof(*w));
	unsigned steps;

	rng_seed(&w->rng, seed);
	w->tight = tight;
	w->calls_wanted = 1 + rng_below(&w->rng, CALLS_MAX);
	w->dead = chance(w, 30);
	w->blocks = buf_pool_new(256 << rng_below(&w->rng, 5), 0);
	w->pool = rs_pool_new(tight ? 50 : 2 * CALLS_MAX, w->blocks);
	start_session(w, 0);
	start_session(w, 1);
	steps = w->dead ? rng_below(&w->rng, 5000) : 8 * w->calls_wanted + 2000;
	while (steps--)
		step(w);
	finish(w, chance(w, 50));
	assert_int_equal(rs_pool_streams(w->pool), 0);
	assert_int_equal(buf_pool_bytes(w->blocks), 0);
	assert_int_equal(chain_nodes_in_use(), 0);
	assert_int_equal(live_bufs, 0);
	totals[0] += w->completed;
	totals[1] += w->failed;
	totals[2] += w->lost;
	rs_pool_destroy(w->pool);
	buf_pool_destroy(w->blocks);
	free(w);
}

static uint64_t first_seed = 1, seeds = 40;
static uint64_t running; // the seed, so that a failure can name it

static void simulate(bool tight)
{
	uint64_t totals[3] = {0};

	for (running = first_seed; running < first_seed + seeds; running++)
		run(running, tight, totals);
	running = 0;
	printf("%llu calls completed, %llu failed, %llu lost\n", (unsigned long long)totals[0],
		(unsigned long long)totals[1], (unsigned long long)totals[2]);
	if (seeds >= 20)
		assert_true(totals[0] > 0 && totals[1] > 0 && totals[2] > 0);
}

static int name_seed(void **state)
{
	if (running)
		print_error("the seed was %llu\n", (unsigned long long)running);
	return 0;
}

static void calls_within_limits(void **state)
{
	simulate(false);
}

static void calls_beyond_limits(void **state)
{
	simulate(true);
}

// Arguments: [first seed] [seeds], to look further than the suite does.
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(calls_within_limits, name_seed),
		cmocka_unit_test_teardown(calls_beyond_limits, name_seed),
	};

	if (argc > 1)
		first_seed = strtoull(argv[1], NULL, 10);
	if (argc > 2)
		seeds = strtoull(argv[2], NULL, 10);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
