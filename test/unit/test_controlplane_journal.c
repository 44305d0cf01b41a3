// SPDX-License-Identifier: Apache-2.0
// The journal before a store: what is found after a crash at any moment (a copy of its file, and of
// what the store below had), halves that are used again, damage, a disk or a store that refuses.
// That it keeps the contract of store.h is in test_controlplane_store.c.
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "controlplane/journal_file.h"
#include "controlplane/store_journal.h"

#define BYTES ((size_t)64 << 10)
#define HALF (BYTES / 2)
#define RECORDS_A_HALF (HALF / JOURNAL_PAGE)

// A store whose file outlives who opened it: the one below is not closed with the journal.
struct keeper {
	struct store base;
	struct store *kept;
	pthread_mutex_t lock; // a moment is looked at from outside, too
	unsigned commits;
};

struct fixture {
	char dir[64];
	struct keeper below;
	struct store *store;
};

static int keeper_get(
	struct store *store, const char *key, void **value, size_t *len, uint64_t *version)
{
	struct keeper *k = (struct keeper *)store;
	int rc;

	pthread_mutex_lock(&k->lock);
	rc = store_get(k->kept, key, value, len, version);
	pthread_mutex_unlock(&k->lock);
	return rc;
}

static int keeper_list(struct store *store, const char *prefix, const char *after,
	int (*each)(void *user, const struct store_record *record), void *user)
{
	return store_list(((struct keeper *)store)->kept, prefix, after, each, user);
}

static int keeper_commit(struct store *store, const struct store_txn *t)
{
	struct keeper *k = (struct keeper *)store;
	int rc;

	pthread_mutex_lock(&k->lock);
	rc = store_commit(k->kept, t);
	k->commits += !rc;
	pthread_mutex_unlock(&k->lock);
	return rc;
}

static int keeper_stat(struct store *store, struct store_stat *out)
{
	struct keeper *k = (struct keeper *)store;
	int rc;

	pthread_mutex_lock(&k->lock);
	rc = store_stat(k->kept, out);
	pthread_mutex_unlock(&k->lock);
	return rc;
}

static void keeper_close(struct store *store)
{
	(void)store;
}

static void path_of(const struct fixture *f, char path[128], const char *name)
{
	snprintf(path, 128, "%s/%s", f->dir, name);
}

static int try_open(struct fixture *f)
{
	int error = 0;

	f->store = store_journal_open(f->dir, &f->below.base, BYTES, &error);
	return error;
}

static int setup(void **state)
{
	static const struct store_ops ops = {
		keeper_get, keeper_list, keeper_commit, keeper_stat, keeper_close};
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/penstock-journal-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->below = (struct keeper){.base = {&ops}, .kept = store_mem_new()};
	pthread_mutex_init(&f->below.lock, NULL);
	assert_int_equal(try_open(f), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	static const char *const names[] = {"journal", "journal.new", "copy"};
	struct fixture *f = *state;
	char path[128];

	store_close(f->store);
	store_close(f->below.kept);
	for (size_t i = 0; i < 3; i++) {
		path_of(f, path, names[i]);
		unlink(path);
	}
	rmdir(f->dir);
	free(f);
	return 0;
}

static int put(struct fixture *f, const char *key, const char *value, uint64_t version)
{
	struct store_write w = {key, value, value ? strlen(value) : 0, version};
	struct store_txn t = {.writes = &w, .write_count = 1};

	return store_commit(f->store, &t);
}

static int put_n(struct fixture *f, uint64_t n)
{
	char key[32];
	const struct store_write w[2] = {{key, "x", 1, n}, {"last", "x", 1, n}};
	const struct store_compare c = {"last", n - 1};

	snprintf(key, sizeof(key), "n/%03u", (unsigned)n);
	return store_commit(f->store, &(struct store_txn){&c, 1, w, 2, NULL});
}

static uint64_t version_of(struct store *s, const char *key)
{
	uint64_t version = 0;
	size_t len;
	void *value;

	if (store_get(s, key, &value, &len, &version) == 0)
		free(value);
	return version;
}

static int count_one(void *user, const struct store_record *r)
{
	++*(uint64_t *)user;
	assert_int_equal(r->version, *(uint64_t *)user);
	return 0;
}

// n/1 to n/N, and nothing else.
static void assert_at(struct fixture *f, uint64_t n)
{
	uint64_t count = 0;

	assert_int_equal(version_of(f->store, "last"), n);
	assert_int_equal(store_list(f->store, "n/", NULL, count_one, &count), 0);
	assert_int_equal(count, n);
}

static void copy_file(const struct fixture *f, const char *from, const char *to)
{
	static char bytes[BYTES];
	char path[128];
	int fd;

	path_of(f, path, from);
	fd = open(path, O_RDONLY);
	assert_int_equal(read(fd, bytes, sizeof(bytes)), sizeof(bytes));
	close(fd);
	path_of(f, path, to);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
	close(fd);
}

static int copy_record(void *user, const struct store_record *r)
{
	const struct store_write w = {r->key, r->value, r->len, r->version};

	return store_commit(user, &(struct store_txn){.writes = &w, .write_count = 1});
}

// As if the machine stopped now: what is in the file and in the store below is all there is.
// The lists go to the store below alone, so nothing is applied for it.
static void crash(struct fixture *f)
{
	struct store *left = store_mem_new();

	pthread_mutex_lock(&f->below.lock);
	copy_file(f, "journal", "copy");
	assert_int_equal(store_list(f->below.kept, "", NULL, copy_record, left), 0);
	pthread_mutex_unlock(&f->below.lock);
	store_close(f->store);
	store_close(f->below.kept);
	f->below.kept = left;
	copy_file(f, "copy", "journal");
}

static void write_at(const struct fixture *f, size_t offset, const void *bytes, size_t len)
{
	char path[128];
	int fd;

	path_of(f, path, "journal");
	fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, bytes, len, (off_t)offset), len);
	close(fd);
}

// ---- what is found ----

static void test_a_commit_is_not_below_until_it_is_applied(void **state)
{
	struct fixture *f = *state;
	unsigned before = f->below.commits;

	for (uint64_t n = 1; n <= RECORDS_A_HALF; n++)
		assert_int_equal(put_n(f, n), 0);
	assert_int_equal(f->below.commits, before);
	assert_int_equal(version_of(f->store, "last"), RECORDS_A_HALF);
	assert_int_equal(version_of(f->below.kept, "last"), 0);
	assert_at(f, RECORDS_A_HALF);
	assert_int_equal(version_of(f->below.kept, "last"), RECORDS_A_HALF);
}

static void test_what_is_removed_meanwhile_never_gets_below(void **state)
{
	struct fixture *f = *state;
	unsigned before = f->below.commits;

	assert_int_equal(put(f, "log/1", "x", 1), 0);
	assert_int_equal(put(f, "log/1", NULL, 0), 0);
	assert_int_equal(put(f, "kept", "x", 2), 0);
	assert_at(f, 0);
	assert_int_equal(f->below.commits, before + 1);
	assert_int_equal(version_of(f->below.kept, "log/1"), 0);
	assert_int_equal(version_of(f->below.kept, "kept"), 2);
}

// A crash behind each of many commits, through both halves several times, and going on each time.
static void test_a_crash_anywhere(void **state)
{
	struct fixture *f = *state;
	uint64_t n = 0;

	for (unsigned round = 0; round < 60; round++) {
		for (unsigned k = 0; k < round % 23; k++)
			assert_int_equal(put_n(f, ++n), 0);
		crash(f);
		assert_int_equal(try_open(f), 0);
		assert_at(f, n);
	}
	assert_true(n > 10 * RECORDS_A_HALF);
}

static void test_a_clean_end_leaves_the_store_below_whole(void **state)
{
	struct fixture *f = *state;
	char path[128];

	for (uint64_t n = 1; n <= 3; n++)
		assert_int_equal(put_n(f, n), 0);
	store_close(f->store);
	assert_int_equal(version_of(f->below.kept, "last"), 3);
	path_of(f, path, "journal");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(try_open(f), 0);
	assert_at(f, 3);
}

static void test_a_journal_that_is_missing_is_told(void **state)
{
	struct fixture *f = *state;
	char path[128];

	assert_int_equal(put_n(f, 1), 0);
	crash(f);
	path_of(f, path, "journal");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(try_open(f), -ENODATA);
	assert_null(f->store);
}

// What an older run wrote has the same numbers, and is not taken.
static void test_older_runs_are_nobodys(void **state)
{
	struct fixture *f = *state;
	static char old[BYTES];
	char path[128];
	int fd;

	for (uint64_t n = 1; n <= 5; n++)
		assert_int_equal(put_n(f, n), 0);
	crash(f);
	path_of(f, path, "journal");
	fd = open(path, O_RDONLY);
	assert_int_equal(read(fd, old, BYTES), BYTES);
	close(fd);
	// The third is torn: the store is at the second, and goes on from there.
	write_at(f, 2 * JOURNAL_PAGE, "torn", 4);
	write_at(f, 3 * JOURNAL_PAGE, "torn", 4);
	write_at(f, 4 * JOURNAL_PAGE, "torn", 4);
	assert_int_equal(try_open(f), 0);
	assert_at(f, 2);
	assert_int_equal(put_n(f, 3), 0);
	crash(f);
	// The old fourth and fifth are behind the new third, as if they had never been overwritten.
	write_at(f, 3 * JOURNAL_PAGE, old + 3 * JOURNAL_PAGE, 2 * JOURNAL_PAGE);
	write_at(f, HALF + JOURNAL_PAGE, old + 3 * JOURNAL_PAGE, 2 * JOURNAL_PAGE);
	assert_int_equal(try_open(f), 0);
	assert_at(f, 3);
}

static void test_any_torn_byte_of_the_last_is_seen(void **state)
{
	struct fixture *f = *state;

	for (size_t at = 0; at < 130; at++) {
		struct fixture *g;
		void *inner;
		unsigned char byte;
		char path[128];
		int fd;

		setup(&inner);
		g = inner;
		assert_int_equal(put_n(g, 1), 0);
		assert_int_equal(put_n(g, 2), 0);
		crash(g);
		path_of(g, path, "journal");
		fd = open(path, O_RDONLY);
		assert_int_equal(pread(fd, &byte, 1, (off_t)(JOURNAL_PAGE + at)), 1);
		close(fd);
		byte ^= 4;
		write_at(g, JOURNAL_PAGE + at, &byte, 1);
		assert_int_equal(try_open(g), 0);
		// Behind the record there is only what fills its page.
		assert_at(g, at < 40 + 2 * 19 + 5 + 4 + 2 ? 1 : 2);
		teardown(&inner);
	}
	assert_at(f, 0);
}

static void test_a_gap_is_damage(void **state)
{
	struct fixture *f = *state;

	for (uint64_t n = 1; n <= 5; n++)
		assert_int_equal(put_n(f, n), 0);
	crash(f);
	write_at(f, 2 * JOURNAL_PAGE + 100, "damage", 6);
	write_at(f, 2 * JOURNAL_PAGE, "damage", 6);
	assert_int_equal(try_open(f), -EIO);
	assert_null(f->store);
}

static void test_a_file_of_another_size_is_damage(void **state)
{
	struct fixture *f = *state;
	char path[128];

	assert_int_equal(put_n(f, 1), 0);
	crash(f);
	path_of(f, path, "journal");
	assert_int_equal(truncate(path, (off_t)BYTES - 1), 0);
	assert_int_equal(try_open(f), -EIO);
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(try_open(f), -EIO);
}

// ---- what does not fit ----

static void test_larger_than_a_half(void **state)
{
	struct fixture *f = *state;
	char *large = malloc(HALF + 1);
	unsigned before;

	memset(large, 'l', HALF);
	large[HALF] = 0;
	for (uint64_t n = 1; n <= 3; n++)
		assert_int_equal(put_n(f, n), 0);
	before = f->below.commits;
	assert_int_equal(put(f, "large", large, 7), 0);
	assert_int_equal(f->below.commits, before + 2);
	assert_int_equal(put_n(f, 4), 0);
	crash(f);
	assert_int_equal(try_open(f), 0);
	assert_at(f, 4);
	assert_int_equal(version_of(f->store, "large"), 7);
	large[HALF - JOURNAL_PAGE] = 0;
	// Each fills most of a half.
	for (uint64_t n = 5; n < 15; n++) {
		assert_int_equal(put(f, "large", large, n), 0);
		assert_int_equal(put_n(f, n), 0);
	}
	crash(f);
	assert_int_equal(try_open(f), 0);
	assert_at(f, 14);
	assert_int_equal(version_of(f->store, "large"), 14);
	free(large);
}

static void test_no_room_for_the_file(void **state)
{
	struct fixture *f = *state;
	struct rlimit old, limit;
	struct store *with = f->store;
	char path[128];

	store_close(with);
	path_of(f, path, "journal");
	assert_int_equal(unlink(path), 0);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	limit = old;
	limit.rlim_cur = BYTES / 2;
	setrlimit(RLIMIT_FSIZE, &limit);
	assert_int_equal(try_open(f), -ENOSPC);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_ptr_equal(f->store, &f->below.base);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(put_n(f, 1), 0);
	assert_int_equal(try_open(f), 0);
	assert_at(f, 1);
}

// ---- who refuses ----

// The limit of a file's size stands for a disk that refuses a write.
static void test_a_refused_record_is_not_there(void **state)
{
	struct fixture *f = *state;
	struct rlimit old, limit;

	assert_int_equal(put_n(f, 1), 0);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	limit = old;
	limit.rlim_cur = JOURNAL_PAGE;
	setrlimit(RLIMIT_FSIZE, &limit);
	assert_int_equal(put_n(f, 2), -ENOSPC);
	// Its place cannot be mended yet.
	assert_int_equal(put_n(f, 2), -ENOSPC);
	assert_int_equal(version_of(f->store, "last"), 1);
	setrlimit(RLIMIT_FSIZE, &old);
	// A stale comparison needs no write, yet the place is mended.
	assert_int_equal(put_n(f, 3), -EAGAIN);
	crash(f);
	assert_int_equal(try_open(f), 0);
	assert_at(f, 1);
	assert_int_equal(put_n(f, 2), 0);
	assert_at(f, 2);
}

// The record itself got there, only the sync failed: it must be gone before anything follows.
static void test_what_was_refused_is_written_over(void **state)
{
	struct fixture *f = *state;
	struct journal_file file;
	struct store_write w = {"k", "refused", 7, 1};
	const struct store_txn t = {.writes = &w, .write_count = 1};
	static const char zeros[JOURNAL_PAGE];
	static char bytes[JOURNAL_PAGE];

	assert_int_equal(journal_file_open(&file, f->dir), 0);
	file.run = 5;
	journal_file_prepare(&file, &t);
	assert_int_equal(journal_file_append(&file), 0);
	// As if the sync had failed.
	file.at = 0;
	file.seq = 0;
	file.torn = true;
	assert_int_equal(journal_file_mend(&file), 0);
	assert_false(file.torn);
	assert_int_equal(pread(file.fd, bytes, JOURNAL_PAGE, 0), JOURNAL_PAGE);
	assert_memory_equal(bytes, zeros, JOURNAL_PAGE);
	journal_file_close(&file);
}

static void test_the_store_below_refuses(void **state)
{
	struct fixture *f = *state;
	struct store_stat stat;
	uint64_t n = 0;
	int rc;

	store_mem_fail(f->below.kept, -ENOSPC, -1);
	// Both halves take what fits, then it is refused, and not waited for.
	while ((rc = put_n(f, n + 1)) == 0)
		n++;
	assert_int_equal(rc, -ENOSPC);
	assert_int_equal(n, 2 * RECORDS_A_HALF);
	assert_int_equal(put_n(f, n + 1), -ENOSPC);
	assert_int_equal(store_stat(f->store, &stat), 0);
	assert_int_equal(stat.behind, -ENOSPC);
	assert_int_equal(version_of(f->store, "last"), n);
	// A crash now: it cannot be opened either before the store takes it.
	crash(f);
	store_mem_fail(f->below.kept, -ENOSPC, 1);
	assert_int_equal(try_open(f), -ENOSPC);
	assert_null(f->store);
	assert_int_equal(try_open(f), 0);
	assert_at(f, n);
	// And without one it goes on by itself.
	store_mem_fail(f->below.kept, -EIO, -1);
	while ((rc = put_n(f, n + 1)) == 0)
		n++;
	assert_int_equal(rc, -EIO);
	pthread_mutex_lock(&f->below.lock);
	store_mem_fail(f->below.kept, 0, 0);
	pthread_mutex_unlock(&f->below.lock);
	assert_int_equal(put_n(f, n + 1), 0);
	assert_at(f, n + 1);
	assert_int_equal(store_stat(f->store, &stat), 0);
	assert_int_equal(stat.behind, 0);
}

// Some of its transactions are there, and then a crash: all is applied again.
static void test_half_applied(void **state)
{
	struct fixture *f = *state;
	struct store_write w[8];
	char keys[8][16];
	uint64_t n;

	for (n = 1; n < RECORDS_A_HALF; n++)
		assert_int_equal(put_n(f, n), 0);
	for (unsigned i = 0; i < 8; i++) {
		snprintf(keys[i], sizeof(keys[i]), "w/%u", i);
		w[i] = (struct store_write){keys[i], "new", 3, 9};
	}
	assert_int_equal(
		store_commit(f->store, &(struct store_txn){.writes = w, .write_count = 8}), 0);
	// What an interrupted application leaves: some keys new, others as they were.
	assert_int_equal(
		store_commit(f->below.kept, &(struct store_txn){.writes = w, .write_count = 3}), 0);
	crash(f);
	assert_int_equal(try_open(f), 0);
	assert_at(f, n - 1);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(version_of(f->below.kept, keys[i]), 9);
}

static void test_the_journals_own_key_is_hidden(void **state)
{
	struct fixture *f = *state;
	uint64_t count = 0;

	assert_int_equal(put(f, "journal/applied", "x", 1), -EINVAL);
	assert_int_equal(store_list(f->store, "", NULL, count_one, &count), 0);
	assert_int_equal(count, 0);
}

// More keys than are remembered, some of them in halves, some below, some removed.
static void test_many_comparisons(void **state)
{
	struct fixture *f = *state;

	for (unsigned round = 1; round <= 2; round++) {
		for (unsigned k = 0; k < 1500; k++) {
			char key[16];
			const struct store_compare c = {key, round - 1};
			const struct store_write w = {key, "x", 1, round};
			const struct store_txn t = {&c, 1, &w, 1, NULL};

			snprintf(key, sizeof(key), "k/%u", k);
			assert_int_equal(store_commit(f->store, &t), 0);
			assert_int_equal(store_commit(f->store, &t), -EAGAIN);
		}
	}
	assert_int_equal(put(f, "k/7", NULL, 0), 0);
	assert_int_equal(version_of(f->store, "k/7"), 0);
	assert_int_equal(version_of(f->store, "k/8"), 2);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_commit_is_not_below_until_it_is_applied),
		TEST(test_what_is_removed_meanwhile_never_gets_below),
		TEST(test_a_crash_anywhere),
		TEST(test_a_clean_end_leaves_the_store_below_whole),
		TEST(test_a_journal_that_is_missing_is_told),
		TEST(test_older_runs_are_nobodys),
		TEST(test_any_torn_byte_of_the_last_is_seen),
		TEST(test_a_gap_is_damage),
		TEST(test_a_file_of_another_size_is_damage),
		TEST(test_larger_than_a_half),
		TEST(test_no_room_for_the_file),
		TEST(test_a_refused_record_is_not_there),
		TEST(test_what_was_refused_is_written_over),
		TEST(test_the_store_below_refuses),
		TEST(test_half_applied),
		TEST(test_the_journals_own_key_is_hidden),
		TEST(test_many_comparisons),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
