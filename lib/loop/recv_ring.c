// SPDX-License-Identifier: Apache-2.0
// The provided-buffer ring: receive buffers that the kernel picks from and that go back by
// themselves when the last reference is dropped.
//
// Loop's thread only. A buffer is either the kernel's (in the ring, or filled in a completion not
// yet seen) or pinned (referenced by a chain). One connection whose bytes are kept could pin
// them all; so once fewer than a quarter are left, received bytes are copied and the buffer goes
// back at once. When the copies reach their limit too, buffers are pinned to the last one and
// receiving stops: memory stays bounded, and the sockets' windows close.
#include "lib/loop/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

// One group of buffers a loop.
#define GROUP 0

static void give(struct recv_ring *r, unsigned id)
{
	io_uring_buf_ring_add(r->ring, r->memory + (size_t)id * r->buffer_bytes, r->buffer_bytes,
		(unsigned short)id, io_uring_buf_ring_mask(r->count), 0);
	io_uring_buf_ring_advance(r->ring, 1);
}

static void release(struct buf *buf)
{
	struct recv_ring *r = buf->owner;

	r->pinned--;
	give(r, (unsigned)(buf - r->bufs));
}

static void *map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void unmap(struct recv_ring *r)
{
	if (r->ring)
		munmap(r->ring, r->ring_bytes);
	if (r->memory)
		munmap(r->memory, r->memory_bytes);
	if (r->copies)
		buf_pool_destroy(r->copies);
	free(r->bufs);
}

int recv_ring_init(struct recv_ring *r, struct io_uring *ring, uint32_t count, uint32_t bytes,
	size_t copy_bytes_max)
{
	struct io_uring_buf_reg reg = {.ring_entries = count, .bgid = GROUP};
	int error = -ENOMEM;

	*r = (struct recv_ring){.count = count, .buffer_bytes = bytes};
	r->ring_bytes = count * sizeof(struct io_uring_buf);
	r->memory_bytes = (size_t)count * bytes;
	r->ring = map(r->ring_bytes);
	r->memory = map(r->memory_bytes);
	r->bufs = calloc(count, sizeof(*r->bufs));
	r->copies = buf_pool_new(bytes, copy_bytes_max);
	if (!r->ring || !r->memory || !r->bufs || !r->copies)
		goto fail;
	reg.ring_addr = (uint64_t)(uintptr_t)r->ring;
	error = io_uring_register_buf_ring(ring, &reg, 0);
	if (error)
		goto fail;
	io_uring_buf_ring_init(r->ring);
	for (unsigned id = 0; id < count; id++)
		give(r, id);
	return 0;
fail:
	unmap(r);
	return error;
}

void recv_ring_unregister(struct recv_ring *r, struct io_uring *ring)
{
	io_uring_unregister_buf_ring(ring, GROUP);
}

void recv_ring_fini(struct recv_ring *r)
{
	assert(r->pinned == 0 && "received bytes must be dropped before their loop is destroyed");
	buf_unref(r->copy);
	unmap(r);
}

// Consecutive receives share blocks, so that small ones do not pin a block each.
static bool copy(struct recv_ring *r, const uint8_t *data, uint32_t len, struct chain *in)
{
	while (len) {
		struct buf *to = r->copy;
		uint32_t n;

		if (!to || to->used == to->size) {
			to = buf_pool_get(r->copies);
			if (!to)
				return false;
			buf_unref(r->copy);
			r->copy = to;
		}
		n = to->size - to->used < len ? to->size - to->used : len;
		memcpy(to->base + to->used, data, n);
		chain_push(in, to, to->base + to->used, n);
		to->used += n;
		data += n;
		len -= n;
	}
	return true;
}

bool recv_ring_take(struct recv_ring *r, unsigned id, uint32_t len, struct chain *in)
{
	struct buf *buf = &r->bufs[id];
	uint8_t *base = r->memory + (size_t)id * r->buffer_bytes;
	struct chain copied = {0};

	if (len == 0) {
		give(r, id);
		return false;
	}
	if (r->pinned >= r->count - r->count / 4) {
		if (copy(r, base, len, &copied)) {
			chain_append(in, &copied);
			give(r, id);
			return true;
		}
		chain_clear(&copied);
	}
	r->pinned++;
	buf_init(buf, base, r->buffer_bytes, release, r);
	chain_push(in, buf, base, len);
	buf_unref(buf);
	return false;
}
