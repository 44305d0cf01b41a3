// SPDX-License-Identifier: Apache-2.0
// Reference-counted bytes: see buf.h.
//
// Runs on any thread, each with its own free list of chain nodes (a node never changes thread). The
// list grows by slabs and is bounded by the bytes that are referenced, which their owners bound.

#include "lib/base/buf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/list.h"

#define NODES_PER_SLAB 512

struct slab {
	struct slab *next;
	struct chain_node nodes[NODES_PER_SLAB];
};

static __thread struct chain_node *free_nodes;
static __thread struct slab *slabs;
static __thread size_t nodes_in_use;

static bool grow_nodes(void)
{
	struct slab *slab = malloc(sizeof(*slab));

	if (!slab)
		return false;
	slab->next = slabs;
	slabs = slab;
	for (size_t i = 0; i < NODES_PER_SLAB; i++) {
		slab->nodes[i].next = free_nodes;
		free_nodes = &slab->nodes[i];
	}
	return true;
}

// Without memory for a node no program can go on sensibly; the nodes are a fraction of a percent
// of what they refer to.
static struct chain_node *node_new(void)
{
	struct chain_node *node;

	if (!free_nodes && !grow_nodes())
		abort();
	node = free_nodes;
	free_nodes = node->next;
	nodes_in_use++;
	return node;
}

static void node_free(struct chain_node *node)
{
	node->next = free_nodes;
	free_nodes = node;
	nodes_in_use--;
}

size_t chain_nodes_in_use(void)
{
	return nodes_in_use;
}

void chain_nodes_free(void)
{
	assert(nodes_in_use == 0 && "a thread ends with chains that still hold slices");
	while (slabs) {
		struct slab *slab = slabs;

		slabs = slab->next;
		free(slab);
	}
	free_nodes = NULL;
}

// Takes over the caller's reference to buf.
static void push_owned(struct chain *c, struct buf *buf, const uint8_t *data, uint32_t len)
{
	struct chain_node *node = node_new();

	*node = (struct chain_node){.slice = {.data = data, .len = len, .buf = buf}};
	if (c->last)
		c->last->next = node;
	else
		c->first = node;
	c->last = node;
	c->len += len;
}

void chain_push(struct chain *c, struct buf *buf, const uint8_t *data, uint32_t len)
{
	struct chain_node *last = c->last;

	if (len == 0)
		return;
	// Neighbours in one buf become one slice.
	if (last && buf && last->slice.buf == buf && last->slice.data + last->slice.len == data) {
		last->slice.len += len;
		c->len += len;
		return;
	}
	push_owned(c, buf_ref(buf), data, len);
}

// Bytes that may be appended to the last slice in place: its block is referenced by nobody else and
// it ends where the block's written part ends.
static uint32_t tail_room(const struct chain *c)
{
	const struct buf *buf = c->last ? c->last->slice.buf : NULL;

	if (!buf || buf->refs != 1 || c->last->slice.data + c->last->slice.len != buf->base + buf->used)
		return 0;
	return buf->size - buf->used;
}

static uint8_t *extend_tail(struct chain *c, uint32_t len)
{
	struct buf *buf = c->last->slice.buf;
	uint8_t *at = buf->base + buf->used;

	buf->used += len;
	c->last->slice.len += len;
	c->len += len;
	return at;
}

uint8_t *chain_reserve(struct chain *c, struct buf_pool *pool, uint32_t len)
{
	struct buf *buf;

	if (len <= tail_room(c))
		return extend_tail(c, len);
	buf = buf_pool_get(pool);
	if (!buf)
		return NULL;
	assert(len <= buf->size && "a reservation must fit a block");
	buf->used = len;
	push_owned(c, buf, buf->base, len);
	return buf->base;
}

// Where a chain ends, to take it back to when a copy fails.
struct chain_mark {
	size_t len;
	uint32_t used;  // of the last slice's block
};

static struct chain_mark mark_of(const struct chain *c)
{
	const struct buf *buf = c->last ? c->last->slice.buf : NULL;

	return (struct chain_mark){.len = c->len, .used = buf ? buf->used : 0};
}

static void back_to(struct chain *c, struct chain_mark mark)
{
	struct chain keep = {0};

	chain_move(&keep, c, mark.len);
	chain_clear(c);
	*c = keep;
	if (c->last && c->last->slice.buf)
		c->last->slice.buf->used = mark.used;
}

int chain_copy(struct chain *c, struct buf_pool *pool, const void *data, size_t len)
{
	const uint8_t *from = data;
	struct chain_mark before = mark_of(c);

	while (len > 0) {
		uint32_t room = tail_room(c);
		uint32_t n = len < room ? (uint32_t)len : room;

		if (n == 0) {
			struct buf *buf = buf_pool_get(pool);

			if (!buf) {
				back_to(c, before);
				return -ENOBUFS;
			}
			n = len < buf->size ? (uint32_t)len : buf->size;
			buf->used = n;
			memcpy(buf->base, from, n);
			push_owned(c, buf, buf->base, n);
		} else {
			memcpy(extend_tail(c, n), from, n);
		}
		from += n;
		len -= n;
	}
	return 0;
}

void chain_append(struct chain *to, struct chain *from)
{
	if (!from->first)
		return;
	if (to->last)
		to->last->next = from->first;
	else
		to->first = from->first;
	to->last = from->last;
	to->len += from->len;
	*from = (struct chain){0};
}

static struct chain_node *pop(struct chain *c)
{
	struct chain_node *node = c->first;

	c->first = node->next;
	if (!c->first)
		c->last = NULL;
	c->len -= node->slice.len;
	node->next = NULL;
	return node;
}

void chain_move(struct chain *to, struct chain *from, size_t n)
{
	assert(n <= from->len && "only what is there can be moved");
	while (n > 0) {
		struct slice *s = &from->first->slice;
		struct chain_node *node;

		if (s->len > n) {
			push_owned(to, buf_ref(s->buf), s->data, (uint32_t)n);
			s->data += n;
			s->len -= (uint32_t)n;
			from->len -= n;
			return;
		}
		node = pop(from);
		n -= node->slice.len;
		if (to->last)
			to->last->next = node;
		else
			to->first = node;
		to->last = node;
		to->len += node->slice.len;
	}
}

void chain_share(struct chain *to, const struct chain *from, size_t offset, size_t n)
{
	const struct chain_node *node = from->first;

	assert(offset <= from->len && n <= from->len - offset && "only what is there can be shared");
	for (; n > 0; node = node->next) {
		const struct slice *s = &node->slice;
		uint32_t len;

		if (offset >= s->len) {
			offset -= s->len;
			continue;
		}
		len = s->len - (uint32_t)offset;
		if (len > n)
			len = (uint32_t)n;
		chain_push(to, s->buf, s->data + offset, len);
		n -= len;
		offset = 0;
	}
}

int chain_copy_chain(struct chain *to, struct buf_pool *pool, const struct chain *from)
{
	struct chain_mark before = mark_of(to);

	for (const struct chain_node *node = from->first; node; node = node->next) {
		if (chain_copy(to, pool, node->slice.data, node->slice.len)) {
			back_to(to, before);
			return -ENOBUFS;
		}
	}
	return 0;
}

void chain_skip(struct chain *c, size_t n)
{
	assert(n <= c->len && "only what is there can be skipped");
	while (n > 0) {
		struct slice *s = &c->first->slice;
		struct chain_node *node;

		if (s->len > n) {
			s->data += n;
			s->len -= (uint32_t)n;
			c->len -= n;
			return;
		}
		node = pop(c);
		n -= node->slice.len;
		buf_unref(node->slice.buf);
		node_free(node);
	}
}

void chain_clear(struct chain *c)
{
	while (c->first) {
		struct chain_node *node = pop(c);

		buf_unref(node->slice.buf);
		node_free(node);
	}
}

size_t chain_read(const struct chain *c, size_t offset, void *out, size_t n)
{
	uint8_t *to = out;
	size_t done = 0;

	for (const struct chain_node *node = c->first; node && done < n; node = node->next) {
		const struct slice *s = &node->slice;
		size_t len;

		if (offset >= s->len) {
			offset -= s->len;
			continue;
		}
		len = s->len - offset;
		if (len > n - done)
			len = n - done;
		memcpy(to + done, s->data + offset, len);
		done += len;
		offset = 0;
	}
	return done;
}

const uint8_t *chain_peek(const struct chain *c, size_t n, void *scratch)
{
	if (c->len < n)
		return NULL;
	if (c->first && c->first->slice.len >= n)
		return c->first->slice.data;
	chain_read(c, 0, scratch, n);
	return scratch;
}

bool chain_equal(const struct chain *c, const void *data, size_t len)
{
	const uint8_t *at = data;

	if (c->len != len)
		return false;
	for (const struct chain_node *node = c->first; node; node = node->next) {
		if (memcmp(node->slice.data, at, node->slice.len) != 0)
			return false;
		at += node->slice.len;
	}
	return true;
}

// Pool of blocks. A block is its buf followed by its bytes.
struct buf_pool {
	struct buf *free;  // linked through owner
	uint32_t block_bytes;
	size_t bytes_max;
	size_t bytes_out;
	size_t blocks_free;
};

// Free blocks above this many bytes go back to the system.
#define FREE_BYTES_MAX ((size_t)16 << 20)

struct block {
	struct buf buf;
	struct buf_pool *pool;
	uint8_t bytes[];
};

struct buf_pool *buf_pool_new(uint32_t block_bytes, size_t bytes_max)
{
	struct buf_pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return NULL;
	pool->block_bytes = block_bytes;
	pool->bytes_max = bytes_max ? bytes_max : SIZE_MAX;
	return pool;
}

void buf_pool_destroy(struct buf_pool *pool)
{
	if (!pool)
		return;
	assert(pool->bytes_out == 0 && "a pool ends while its blocks are in use");
	while (pool->free) {
		struct buf *buf = pool->free;

		pool->free = buf->owner;
		free(container_of(buf, struct block, buf));
	}
	free(pool);
}

static void block_release(struct buf *buf)
{
	struct block *block = container_of(buf, struct block, buf);
	struct buf_pool *pool = block->pool;

	pool->bytes_out -= pool->block_bytes;
	if (pool->blocks_free * pool->block_bytes >= FREE_BYTES_MAX) {
		free(block);
		return;
	}
	buf->owner = pool->free;
	pool->free = buf;
	pool->blocks_free++;
}

struct buf *buf_pool_get(struct buf_pool *pool)
{
	struct block *block;

	if (pool->bytes_out + pool->block_bytes > pool->bytes_max)
		return NULL;
	if (pool->free) {
		block = container_of(pool->free, struct block, buf);
		pool->free = block->buf.owner;
		pool->blocks_free--;
	} else {
		block = malloc(sizeof(*block) + pool->block_bytes);
		if (!block)
			return NULL;
		block->pool = pool;
	}
	buf_init(&block->buf, block->bytes, pool->block_bytes, block_release, NULL);
	block->buf.used = 0;
	pool->bytes_out += pool->block_bytes;
	return &block->buf;
}

size_t buf_pool_bytes(const struct buf_pool *pool)
{
	return pool->bytes_out;
}

size_t buf_pool_bytes_max(const struct buf_pool *pool)
{
	return pool->bytes_max;
}

int arena_copy(struct buf_arena *arena, struct chain *to, const struct chain *from)
{
	uint8_t *at;

	if (chain_empty(from))
		return 0;
	if (!arena->block || arena->block->size - arena->block->used < from->len) {
		struct buf *block = buf_pool_get(arena->pool);

		if (!block)
			return -ENOBUFS;
		arena_release(arena);
		arena->block = block;
	}
	assert(from->len <= arena->block->size && "an arena's copy must fit a block");
	at = arena->block->base + arena->block->used;
	arena->block->used += (uint32_t)chain_read(from, 0, at, from->len);
	chain_push(to, arena->block, at, (uint32_t)from->len);
	return 0;
}

void arena_release(struct buf_arena *arena)
{
	buf_unref(arena->block);
	arena->block = NULL;
}
