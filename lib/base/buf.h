// SPDX-License-Identifier: Apache-2.0
// Reference-counted bytes: buf (storage), slice (a view that holds a reference), chain (a queue of
// slices).
//
// A buf is storage with an owner that gets it back through `release` when the last reference goes:
// a packet buffer, a buffer of an io_uring ring, a block of a buf_pool. Counts are not atomic: a buf
// and everything that refers to it belong to one thread.
//
// A chain owns one reference for each of its slices. Nodes of chains come from a list of the
// calling thread, so pushing allocates only while that list grows. A zeroed chain is empty.
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	uint32_t refs;
	uint32_t size;  // bytes at base
	uint32_t used;  // bytes of [0, size) written so far; only a pool's block may grow by appending
	uint8_t *base;
	void (*release)(struct buf *buf);
	void *owner;  // for release
};

struct slice {
	const uint8_t *data;
	uint32_t len;
	struct buf *buf;  // NULL: static bytes that outlive everything
};

struct chain_node {
	struct chain_node *next;
	struct slice slice;
};

struct chain {
	struct chain_node *first;
	struct chain_node *last;
	size_t len;  // bytes
};

static inline struct buf *buf_ref(struct buf *buf)
{
	if (buf)
		buf->refs++;
	return buf;
}

static inline void buf_unref(struct buf *buf)
{
	if (!buf)
		return;
	assert(buf->refs > 0 && "a buf was released more often than referenced");
	if (--buf->refs == 0)
		buf->release(buf);
}

// Makes a buf of foreign storage with one reference.
static inline void buf_init(
	struct buf *buf, void *base, uint32_t size, void (*release)(struct buf *), void *owner)
{
	*buf = (struct buf){
		.refs = 1, .size = size, .used = size, .base = base, .release = release, .owner = owner};
}

// Blocks of one size for copies. Blocks are made on demand and kept; bytes_max bounds them all.
struct buf_pool;

// block_bytes: usable bytes of a block. bytes_max: 0 means no limit. NULL when out of memory.
struct buf_pool *buf_pool_new(uint32_t block_bytes, size_t bytes_max);
// Every block must have come back.
void buf_pool_destroy(struct buf_pool *pool);
// An empty block (used == 0) with one reference, or NULL at the limit.
struct buf *buf_pool_get(struct buf_pool *pool);
// Bytes of the blocks that are out.
size_t buf_pool_bytes(const struct buf_pool *pool);
size_t buf_pool_bytes_max(const struct buf_pool *pool);

static inline bool chain_empty(const struct chain *c)
{
	return c->len == 0;
}

// Appends [data, data+len) of buf; takes a new reference. len 0 appends nothing.
void chain_push(struct chain *c, struct buf *buf, const uint8_t *data, uint32_t len);
// Appends a copy, into the free end of the last block where that is this chain's own, else into
// blocks of the pool. 0 or -ENOBUFS (the chain is then as before).
int chain_copy(struct chain *c, struct buf_pool *pool, const void *data, size_t len);
// Reserves len contiguous bytes at the end of the chain, as chain_copy would place them; len must not
// exceed a block. NULL at the pool's limit. The bytes count at once: fill them before they are read.
uint8_t *chain_reserve(struct chain *c, struct buf_pool *pool, uint32_t len);
// Moves all of `from` to the end of `to`; `from` is empty afterwards.
void chain_append(struct chain *to, struct chain *from);
// Moves the first n bytes (at most from->len) of `from` to the end of `to`.
void chain_move(struct chain *to, struct chain *from, size_t n);
// Appends references to the bytes [offset, offset+n) of `from`, which stays as it is.
void chain_share(struct chain *to, const struct chain *from, size_t offset, size_t n);
// Appends a copy of all of `from`, which stays as it is. 0 or -ENOBUFS (`to` is then as before).
int chain_copy_chain(struct chain *to, struct buf_pool *pool, const struct chain *from);
// Drops the first n bytes (at most len).
void chain_skip(struct chain *c, size_t n);
// Drops everything.
void chain_clear(struct chain *c);
// Copies n bytes from offset into out; returns how many there were.
size_t chain_read(const struct chain *c, size_t offset, void *out, size_t n);
// A pointer to the first n bytes if they lie in one slice, else they are copied to scratch (of at
// least n bytes) and that is returned; NULL if the chain is shorter than n.
const uint8_t *chain_peek(const struct chain *c, size_t n, void *scratch);
// True if both hold the same bytes.
bool chain_equal(const struct chain *c, const void *data, size_t len);

// Small copies of different lifetimes, side by side in shared blocks; for queues, where a block for each would
// waste most of it. A zeroed arena with its pool set is empty.
struct buf_arena {
	struct buf_pool *pool;
	struct buf *block;  // the one being filled
};

// Appends a copy of all of `from` (at most a block's bytes) to `to`; `from` stays as it is. 0 or -ENOBUFS.
int arena_copy(struct buf_arena *arena, struct chain *to, const struct chain *from);
// Lets go of the block being filled; copies stay valid.
void arena_release(struct buf_arena *arena);

// Nodes of the calling thread that are in use, for leak checks in tests.
size_t chain_nodes_in_use(void);
// Gives the calling thread's free nodes back to the system; at the end of a thread.
void chain_nodes_free(void);
