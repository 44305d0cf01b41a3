// SPDX-License-Identifier: Apache-2.0
// Pages, their pools, and the epochs by which they come back: see table.h.
//
// Why a reader never sees a page being used again: it stores its pin, then looks whether the
// published version is still the one pinned. The writer publishes, then reads the pins (both
// sequentially consistent). So either the writer sees the pin, or the reader sees the newer version
// and pins again.
#include "sched/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SLAB_BYTES ((size_t)256 << 10)
#define SLAB_HEADER 64
#define RETIRED_MIN 1024

void sched_pages_init(struct sched_pages *p)
{
	*p = (struct sched_pages){.version = 1, .pool_count = 1};
	p->pools[0].page_bytes = (sizeof(struct sched_inner) + 63) & ~(size_t)63;
	for (int i = 0; i < SCHED_READERS_MAX; i++)
		p->readers[i].pinned = UINT64_MAX;
}

static struct sched_retired *retired_at(const struct sched_pages *p, uint32_t i)
{
	return &p->retired[(p->retired_first + i) & (p->retired_room - 1)];
}

void sched_pages_fini(struct sched_pages *p)
{
	for (uint32_t i = 0; i < p->retired_count; i++)
		if (retired_at(p, i)->pool == SCHED_POOLS_MAX)
			free(retired_at(p, i)->memory);
	free(p->retired);
	for (uint32_t i = 0; i < p->pool_count; i++) {
		for (void *slab = p->pools[i].slabs, *next; slab; slab = next) {
			memcpy(&next, slab, sizeof(next));
			free(slab);
		}
	}
	*p = (struct sched_pages){0};
}

size_t sched_pages_bytes(const struct sched_pages *p)
{
	size_t bytes = p->retired_room * sizeof(*p->retired);

	for (uint32_t i = 0; i < p->pool_count; i++)
		bytes += p->pools[i].bytes;
	return bytes;
}

// ---- pools ----

static int slab_add(struct sched_pool *pool)
{
	size_t bytes = SLAB_BYTES;
	uint8_t *slab = aligned_alloc(64, bytes);

	if (!slab)
		return -ENOMEM;
	memcpy(slab, &pool->slabs, sizeof(pool->slabs));
	pool->slabs = slab;
	pool->bytes += bytes;
	for (size_t at = SLAB_HEADER; at + pool->page_bytes <= bytes; at += pool->page_bytes) {
		memcpy(slab + at, &pool->free, sizeof(pool->free));
		pool->free = slab + at;
	}
	return 0;
}

static void *page_new(struct sched_pages *p, uint32_t index)
{
	struct sched_pool *pool = &p->pools[index];
	void *page;

	if (!pool->free && slab_add(pool))
		return NULL;
	page = pool->free;
	memcpy(&pool->free, page, sizeof(pool->free));
	return page;
}

static void page_free(struct sched_pages *p, uint32_t index, void *page)
{
	memcpy(page, &p->pools[index].free, sizeof(void *));
	p->pools[index].free = page;
}

// ---- retiring ----

static int retired_grow(struct sched_pages *p)
{
	uint32_t room = p->retired_room ? p->retired_room * 2 : RETIRED_MIN;
	struct sched_retired *bigger = malloc(room * sizeof(*bigger));

	if (!bigger)
		return -ENOMEM;
	for (uint32_t i = 0; i < p->retired_count; i++)
		bigger[i] = *retired_at(p, i);
	free(p->retired);
	p->retired = bigger;
	p->retired_first = 0;
	p->retired_room = room;
	return 0;
}

static void retire(struct sched_pages *p, void *memory, uint32_t pool)
{
	if (p->retired_count == p->retired_room && retired_grow(p))
		return;
	*retired_at(p, p->retired_count++) = (struct sched_retired){p->version, memory, pool};
}

void sched_pages_retire(struct sched_pages *p, void *memory)
{
	if (memory)
		retire(p, memory, SCHED_POOLS_MAX);
}

void sched_pages_publish(struct sched_pages *p)
{
	__atomic_store_n(&p->published, p->version, __ATOMIC_SEQ_CST);
	p->version++;
}

void sched_pages_reclaim(struct sched_pages *p)
{
	uint64_t oldest = p->published;

	for (int i = 0; i < SCHED_READERS_MAX; i++) {
		uint64_t pinned = __atomic_load_n(&p->readers[i].pinned, __ATOMIC_SEQ_CST);

		if (pinned < oldest)
			oldest = pinned;
	}
	while (p->retired_count) {
		struct sched_retired *r = retired_at(p, 0);

		if (r->version > oldest)
			return;
		if (r->pool == SCHED_POOLS_MAX)
			free(r->memory);
		else
			page_free(p, r->pool, r->memory);
		p->retired_first = (p->retired_first + 1) & (p->retired_room - 1);
		p->retired_count--;
	}
}

// ---- readers ----

struct sched_reader *sched_reader_new(struct sched_pages *p)
{
	for (int i = 0; i < SCHED_READERS_MAX; i++) {
		if (p->readers[i].taken)
			continue;
		p->readers[i].taken = true;
		return &p->readers[i];
	}
	return NULL;
}

void sched_reader_destroy(struct sched_reader *reader)
{
	if (!reader)
		return;
	sched_reader_unpin(reader);
	reader->taken = false;
}

void sched_reader_pin(struct sched_reader *reader, const struct sched_pages *p)
{
	uint64_t seen = __atomic_load_n(&p->published, __ATOMIC_SEQ_CST), again = seen;

	do {
		seen = again;
		__atomic_store_n(&reader->pinned, seen, __ATOMIC_SEQ_CST);
		again = __atomic_load_n(&p->published, __ATOMIC_SEQ_CST);
	} while (again != seen);
}

void sched_reader_unpin(struct sched_reader *reader)
{
	__atomic_store_n(&reader->pinned, UINT64_MAX, __ATOMIC_RELEASE);
}

// ---- tables ----

struct sched_table sched_table_make(struct sched_pages *p, uint32_t row_bytes, uint32_t leaf_bits)
{
	uint32_t pool = p->pool_count++;

	p->pools[pool].page_bytes =
		(sizeof(struct sched_leaf) + ((size_t)row_bytes << leaf_bits) + 63) & ~(size_t)63;
	return (struct sched_table){.row_bytes = row_bytes, .leaf_bits = leaf_bits, .pool = pool};
}

uint32_t sched_table_max(const struct sched_table *t)
{
	return 1u << (SCHED_TABLE_LEVELS * SCHED_FAN_BITS + t->leaf_bits);
}

// Makes *at a page of this version: a new zeroed one, a copy, or what it is. NULL: out of memory.
static void *own(struct sched_pages *p, void **at, uint32_t pool)
{
	size_t bytes = p->pools[pool].page_bytes;
	uint64_t version;
	void *page;

	if (*at) {
		memcpy(&version, *at, sizeof(version));
		if (version == p->version)
			return *at;
	}
	page = page_new(p, pool);
	if (!page)
		return NULL;
	if (*at) {
		memcpy(page, *at, bytes);
		retire(p, *at, pool);
		p->copied++;
	} else {
		memset(page, 0, bytes);
	}
	memcpy(page, &p->version, sizeof(p->version));
	*at = page;
	return page;
}

static void *write_leaf(struct sched_pages *p, struct sched_table *t, uint32_t row)
{
	uint32_t n = row >> t->leaf_bits;
	void *top = t->top;
	struct sched_inner *inner = own(p, &top, 0);

	if (!inner)
		return NULL;
	t->top = inner;
	for (int level = SCHED_TABLE_LEVELS - 1; level > 0; level--) {
		inner = own(p, &inner->child[n >> level * SCHED_FAN_BITS & (SCHED_FAN - 1)], 0);
		if (!inner)
			return NULL;
	}
	return own(p, &inner->child[n & (SCHED_FAN - 1)], t->pool);
}

void *sched_table_write(struct sched_pages *p, struct sched_table *t, uint32_t row)
{
	struct sched_leaf *leaf;

	if (row >= sched_table_max(t))
		return NULL;
	leaf = write_leaf(p, t, row);
	if (leaf && row >= t->high)
		t->high = row + 1;
	return leaf ? leaf->rows + (size_t)(row & ((1u << t->leaf_bits) - 1)) * t->row_bytes : NULL;
}
