// SPDX-License-Identifier: Apache-2.0
// Memory of all sessions of one thread: streams, messages that wait on them, and one hash table
// that finds a stream by (session, id).
//
// Arrays are reserved at start and touched only as far as they were ever used, so a generous
// maximum costs address space, not memory. The table is keyed with secrets, since peers choose ids.

#include <stdlib.h>
#include <sys/random.h>

#include "lib/rsocket/internal.h"

#define OUTS_PER_STREAM 4
#define OUTS_MIN 4096

static uint32_t power_of_two(uint32_t n)
{
	uint32_t p = 64;

	while (p < n && p < 1u << 31)
		p <<= 1;
	return p;
}

// Learns the size of a block, and from it what may be copied: two parts and a head fit a block.
static int measure_blocks(struct rs_pool *pool)
{
	struct buf *block = buf_pool_get(pool->blocks);
	size_t bytes_max = buf_pool_bytes_max(pool->blocks);

	if (!block)
		return -ENOMEM;
	pool->block_bytes = block->size;
	buf_unref(block);
	if (pool->block_bytes < 128)
		return -EINVAL;
	pool->copy_bytes_max = (pool->block_bytes - RS_PREFIX_BYTES - RS_HEAD_BYTES_MAX) / 2;
	if (pool->copy_bytes_max > RS_COPY_BYTES_MAX)
		pool->copy_bytes_max = RS_COPY_BYTES_MAX;
	pool->blocks_low_bytes = bytes_max - bytes_max / 8;
	return 0;
}

struct rs_pool *rs_pool_new(uint32_t streams_max, struct buf_pool *blocks)
{
	struct rs_pool *pool = calloc(1, sizeof(*pool));
	uint32_t buckets = power_of_two(streams_max);

	if (!pool)
		return NULL;
	pool->blocks = blocks;
	pool->arena.pool = blocks;
	pool->streams_max = streams_max;
	pool->outs_max = streams_max * OUTS_PER_STREAM + OUTS_MIN;
	pool->table_mask = buckets - 1;
	pool->streams = malloc((size_t)streams_max * sizeof(*pool->streams));
	pool->outs = malloc((size_t)pool->outs_max * sizeof(*pool->outs));
	pool->table = calloc(buckets, sizeof(struct rs_stream *));
	if (!pool->streams || !pool->outs || !pool->table || measure_blocks(pool) ||
		getrandom(pool->secret, sizeof(pool->secret), 0) < 0) {
		rs_pool_destroy(pool);
		return NULL;
	}
	return pool;
}

void rs_pool_destroy(struct rs_pool *pool)
{
	if (!pool)
		return;
	assert(pool->streams_used == 0 && "a pool ends while sessions still have streams");
	arena_release(&pool->arena);
	free(pool->table);
	free(pool->outs);
	free(pool->streams);
	free(pool);
}

uint32_t rs_pool_streams(const struct rs_pool *pool)
{
	return pool->streams_used;
}

// In pieces that become plain stores: the rep stos that compilers make of the whole takes longer to
// start than they take together.
static void clear(struct rs_stream *stream)
{
	uint8_t *at = (uint8_t *)stream, *end = at + sizeof(*stream);

#pragma GCC unroll 8
	for (; at + 64 <= end; at += 64)
		memset(at, 0, 64);
	memset(at, 0, sizeof(*stream) % 64);
}

struct rs_stream *rs_pool_stream(struct rs_pool *pool)
{
	struct rs_stream *stream = pool->streams_free;

	if (stream)
		pool->streams_free = stream->hash_next;
	else if (pool->streams_made < pool->streams_max)
		stream = &pool->streams[pool->streams_made++];
	else
		return NULL;
	pool->streams_used++;
	clear(stream);
	stream->request_start = UINT64_MAX;
	list_init(&stream->queue);
	return stream;
}

void rs_pool_stream_free(struct rs_pool *pool, struct rs_stream *stream)
{
	stream->hash_next = pool->streams_free;
	pool->streams_free = stream;
	pool->streams_used--;
}

struct rs_out *rs_pool_out(struct rs_pool *pool)
{
	struct rs_out *out = pool->outs_free;

	if (out)
		pool->outs_free = out->pool_next;
	else if (pool->outs_made < pool->outs_max)
		out = &pool->outs[pool->outs_made++];
	return out;
}

void rs_pool_out_free(struct rs_pool *pool, struct rs_out *out)
{
	out->pool_next = pool->outs_free;
	pool->outs_free = out;
	// Nothing that waits lies in it any more.
	if (pool->arena.block && pool->arena.block->refs == 1)
		arena_release(&pool->arena);
}

// Ids that follow each other share cache lines: a group of them lies in a row, and only the place
// of the group is hashed. A peer that chooses ids can fill no bucket with more than chance gives
// it.
#define GROUP_BITS 6

static uint32_t bucket(const struct rs_session *s, uint32_t id)
{
	const struct rs_pool *pool = s->pool;
	uint32_t row = id >> 1 & ((1u << GROUP_BITS) - 1), group = id & ~((2u << GROUP_BITS) - 2);
	__uint128_t product =
		(__uint128_t)(pool->secret[0] ^ group) * (pool->secret[1] ^ (uintptr_t)s);

	return ((uint32_t)((uint64_t)product ^ (uint64_t)(product >> 64)) + row) & pool->table_mask;
}

struct rs_stream *rs_stream_find(const struct rs_session *s, uint32_t id)
{
	struct rs_stream *stream = s->pool->table[bucket(s, id)];

	while (stream && (stream->id != id || stream->session != s))
		stream = stream->hash_next;
	return stream;
}

void rs_stream_insert(struct rs_stream *stream)
{
	struct rs_stream **head;

	stream->bucket = bucket(stream->session, stream->id);
	head = &stream->session->pool->table[stream->bucket];
	stream->hash_next = *head;
	*head = stream;
}

void rs_stream_remove(struct rs_stream *stream)
{
	struct rs_stream **at = &stream->session->pool->table[stream->bucket];

	while (*at != stream)
		at = &(*at)->hash_next;
	*at = stream->hash_next;
}
