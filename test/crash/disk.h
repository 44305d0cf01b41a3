// SPDX-License-Identifier: Apache-2.0
// A disk as a crash may leave it, made of a trace.
//
// Of each file there is what is durable, and the writes since. Of these any sector (512 bytes) may
// have reached the disk or not, whatever the order of the writes; a sector that was written twice
// may be there as it was in between. The file may have any length that it had since. After a sync
// that failed the kernel takes what it could not write for written: some of it is on the disk and
// the rest will never be, whatever is synced later (drawn once, when it fails). Names reach the
// disk in their order, but any number of the last ones may be missing.
#pragma once

#include "lib/base/rng.h"
#include "test/crash/trace.h"

#include <stdbool.h>
#include <stddef.h>

#define DISK_FILES 8
#define DISK_SECTOR 512

// Bytes of a file.
struct disk_bytes {
	uint8_t *data;
	size_t len, room;
};

// A write that is not durable: whole sectors, as they were after it.
struct disk_write {
	size_t offset;
	struct disk_bytes bytes;
	size_t length; // of the file after it
};

struct disk_file {
	uint64_t id;
	struct disk_bytes safe, now;
	struct disk_write *writes;
	size_t write_count, write_room;
};

// What names are: file ids by name; id 0: none.
struct disk_names {
	struct {
		char name[64];
		uint64_t id;
	} of[DISK_FILES];
	size_t count;
};

#define DISK_NAMES_MAX 32

struct disk {
	struct disk_file files[DISK_FILES];
	size_t file_count;
	struct disk_names names[DISK_NAMES_MAX]; // [0] is durable, each next one step later
	size_t name_steps;                       // how many of them
	struct rng rng;                          // for syncs that failed
};

// What becomes of the writes that are not durable.
enum disk_fate {
	DISK_NONE,    // none of them is there
	DISK_ALL,     // all are
	DISK_WRITES,  // each is there or not
	DISK_SECTORS, // each of their sectors
	DISK_PREFIX,  // those up to one, which is torn
	DISK_LATE,    // only the last ones
	DISK_FATES,
};

void disk_fini(struct disk *d);
// A record of the trace, other than marks. 0, or -E2BIG.
int disk_apply(struct disk *d, const struct trace_head *head, const uint8_t *bytes);
// Writes the files of one possible disk into a directory that has none. 0 or -E... .
int disk_image(const struct disk *d, enum disk_fate fate, struct rng *rng, const char *directory);
