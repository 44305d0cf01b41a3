// SPDX-License-Identifier: Apache-2.0
// The file `journal` in the state directory: records of transactions, written in place, one sync
// each. store_journal.c has the picture.
//
// It has a page that says whose it is, and two halves. A record lies in one of them, begins at a
// page, and fills pages to their end, so that no sector is ever shared with a record that is
// durable. Big endian: magic, number of writes, run, seq, bytes of the body, hash of all that and
// of the body; then for each write the length of its key, whether it removes, its version, the
// length of its value, key, value.
//
// `run` is drawn at each start and is in the store below before the first record, so what an older
// run left is nobody's. Before that it is in the first page, with the run that the store had
// before: so a store of neither is not this journal's. Big endian: magic, 0, run, run before, hash.
// Older files have no such page, and an even number of them. Thread: the store's.
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controlplane/store.h"

#define JOURNAL_BYTES ((size_t)64 << 20)
#define JOURNAL_PAGE ((size_t)4096)

struct journal_file {
	int fd;       // -1: closed
	size_t first; // where the halves begin; 0: an older file
	size_t half_bytes;
	unsigned half; // in which is written
	size_t at;     // where in it
	uint64_t run, before;
	uint64_t seq; // of the last record that is durable
	bool torn;    // where the next record goes there may be one that was refused
	uint8_t *record;
	size_t record_bytes, record_room;
};

// Opens it, f->run and f->before as it says; -ENOENT: it is not there.
int journal_file_open(struct journal_file *f, const char *directory);
// Makes one of this size, durable with its name.
int journal_file_make(const char *directory, size_t bytes);
void journal_file_close(struct journal_file *f);

// Hands out the writes of all records of this run behind `after`, in order, and sets f->seq to the
// last. -EIO: one is missing before others that are there.
int journal_file_read(struct journal_file *f, uint64_t after,
	void (*each)(void *user, const struct store_write *write), void *user);

// Whether there is a record of this run: 1, 0, or -E...
int journal_file_holds(struct journal_file *f);
// It is this run's from now on, and durably so; the store below had `before`.
int journal_file_begin(struct journal_file *f, uint64_t run, uint64_t before);

// Makes the record of a transaction, to be written next; f->record_bytes is its size.
void journal_file_prepare(struct journal_file *f, const struct store_txn *t);
// Whether it has room in the half.
bool journal_file_fits(const struct journal_file *f);
// Goes on at the beginning of the other half.
void journal_file_turn(struct journal_file *f);
// Writes and syncs it. After an error the place is torn.
int journal_file_append(struct journal_file *f);
// Sees to it that a record that was refused is not there. Nothing to do: 0.
int journal_file_mend(struct journal_file *f);
