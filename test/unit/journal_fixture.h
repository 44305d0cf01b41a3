// SPDX-License-Identifier: Apache-2.0
// A journal before a store in memory, and crashes of both: what tests of the journal share.
#pragma once

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "controlplane/journal_file.h"
#include "controlplane/store_journal.h"

#define BYTES ((size_t)64 << 10)
#define HALF (BYTES / 2)
#define FIRST JOURNAL_PAGE // where they begin
#define FILE_BYTES (FIRST + BYTES)
#define RECORDS_A_HALF (HALF / JOURNAL_PAGE)

// A store whose file outlives who opened it: the one below is not closed with the journal.
struct keeper {
	struct store base;
	struct store *kept;
	pthread_mutex_t lock; // a moment is looked at from outside, too
	unsigned commits;
	bool last_fails; // the one that says that the journal is not needed any more
};

struct fixture {
	char dir[64];
	struct keeper below;
	struct store *store;
};

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int setup(void **state);
int teardown(void **state);
void path_of(const struct fixture *f, char path[128], const char *name);
// Opens it as at a start, as f->store.
int try_open(struct fixture *f);
int put(struct fixture *f, const char *key, const char *value, uint64_t version);
// n/N, if N is the next.
int put_n(struct fixture *f, uint64_t n);
uint64_t version_of(struct store *s, const char *key);
// For a list of n/: counts on.
int count_one(void *user, const struct store_record *r);
// n/1 to n/N, and nothing else.
void assert_at(struct fixture *f, uint64_t n);
// As if the machine stopped now: what is in the file and in the store below is all there is.
void crash(struct fixture *f);
// For a list: copies to the store `user`.
int copy_record(void *user, const struct store_record *r);
// Behind the first page.
void write_at(const struct fixture *f, size_t offset, const void *bytes, size_t len);
