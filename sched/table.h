// SPDX-License-Identifier: Apache-2.0
// Tables of fixed-size rows with cheap immutable snapshots: pages, copied when they are written.
//
// A table is a radix tree: three levels of 64 pointers above leaves of 2^leaf_bits rows; pages that
// were never written are not there. Each page bears the version in which it was made. The writer
// works at `version`; a page of an older version may be seen by a snapshot, so it is copied before
// it is written, and the old one is retired. Publishing is to hand out the top pointers and to go
// on to the next version: constant time, however large the table.
//
//   writer: write row ──page of this version?──yes──▶ write in place
//                              │no
//                              └──▶ copy, link it (and the pages above), retire the old page
//
// A page retired at version v is seen only by snapshots older than v. It is used again once every
// reader's pin is at v or later (sched_pages_reclaim).
//
// Threads: one writer. A reader pins itself before it touches a snapshot (sched_reader_pin), from
// any thread.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCHED_FAN_BITS 6
#define SCHED_FAN (1u << SCHED_FAN_BITS)
#define SCHED_TABLE_LEVELS 3
#define SCHED_READERS_MAX 64
#define SCHED_POOLS_MAX 16

struct sched_inner {
	uint64_t version;
	void *child[SCHED_FAN];
};

struct sched_leaf {
	_Alignas(64) uint64_t version;
	_Alignas(64) uint8_t rows[];
};

// A value: copying it is taking a snapshot of the table.
struct sched_table {
	struct sched_inner *top;
	uint32_t high; // no row at or beyond was ever written
	uint32_t row_bytes;
	uint32_t leaf_bits;
	uint32_t pool; // of its leaves
};

struct sched_pool {
	void *free;
	void *slabs;
	size_t page_bytes;
	size_t bytes; // of all slabs
};

struct sched_retired {
	uint64_t version;
	void *memory;
	uint32_t pool; // SCHED_POOLS_MAX: free() it
};

struct sched_reader {
	_Alignas(64) uint64_t pinned; // UINT64_MAX: nothing
	bool taken;
};

struct sched_pages {
	uint64_t version;                         // the writer's
	uint64_t published;                       // atomic: the newest version that readers can see
	struct sched_pool pools[SCHED_POOLS_MAX]; // 0: inner pages
	uint32_t pool_count;
	struct sched_retired *retired; // a ring, oldest first
	uint32_t retired_first, retired_count, retired_room;
	uint64_t copied; // pages, for the benchmark
	struct sched_reader readers[SCHED_READERS_MAX];
};

void sched_pages_init(struct sched_pages *p);
// Frees every page and what was retired; tables must not be used any more.
void sched_pages_fini(struct sched_pages *p);
size_t sched_pages_bytes(const struct sched_pages *p);

struct sched_table sched_table_make(struct sched_pages *p, uint32_t row_bytes, uint32_t leaf_bits);
// Rows a table can have at most.
uint32_t sched_table_max(const struct sched_table *t);

// For reading. NULL if it was never written, nor any row near it.
static inline const void *sched_table_row(const struct sched_table *t, uint32_t row)
{
	uint32_t n = row >> t->leaf_bits;
	const struct sched_inner *inner = t->top;
	const struct sched_leaf *leaf;

	if (row >= t->high)
		return NULL;
	inner = inner->child[n >> 2 * SCHED_FAN_BITS];
	inner = inner ? inner->child[n >> SCHED_FAN_BITS & (SCHED_FAN - 1)] : NULL;
	leaf = inner ? inner->child[n & (SCHED_FAN - 1)] : NULL;
	return leaf ? leaf->rows + (size_t)(row & ((1u << t->leaf_bits) - 1)) * t->row_bytes : NULL;
}

// For writing; a row that was never written is zeroed. NULL: out of memory or of rows.
void *sched_table_write(struct sched_pages *p, struct sched_table *t, uint32_t row);

// Retires a malloc'd block that snapshots may refer to. Without memory for the note it is leaked.
void sched_pages_retire(struct sched_pages *p, void *memory);
// What was written becomes visible as version p->version, and the writer goes on to the next. The
// caller stores what readers look at (release) before it calls this.
void sched_pages_publish(struct sched_pages *p);
// Gives back what no reader can see any more.
void sched_pages_reclaim(struct sched_pages *p);

// A place for a reader; NULL: none is left. Writer's thread.
struct sched_reader *sched_reader_new(struct sched_pages *p);
void sched_reader_destroy(struct sched_reader *reader);
// From here on nothing is taken back that is visible in the version published now or later.
void sched_reader_pin(struct sched_reader *reader, const struct sched_pages *p);
void sched_reader_unpin(struct sched_reader *reader);
