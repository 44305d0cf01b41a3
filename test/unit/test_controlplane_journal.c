// SPDX-License-Identifier: Apache-2.0
// The journal before a store: what is found after a crash at any moment, halves that are used
// again, damage, what does not fit. That it keeps the contract of store.h is in
// test_controlplane_store.c, who refuses in test_controlplane_journal_refused.c.
#include "test/unit/journal_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

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
	assert_int_equal(pread(fd, old, BYTES, FIRST), BYTES);
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
		assert_int_equal(pread(fd, &byte, 1, (off_t)(FIRST + JOURNAL_PAGE + at)), 1);
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
	assert_int_equal(truncate(path, (off_t)FILE_BYTES - 1), 0);
	assert_int_equal(try_open(f), -EIO);
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(try_open(f), -EIO);
}

// A copy of the store below as the crash of a run left it; then another run, and its crash.
static struct store *store_of_the_run_before(struct fixture *f)
{
	struct store *old = store_mem_new();

	assert_int_equal(put_n(f, 1), 0);
	crash(f);
	assert_int_equal(store_list(f->below.kept, "", NULL, copy_record, old), 0);
	assert_int_equal(try_open(f), 0);
	assert_int_equal(put_n(f, 2), 0);
	crash(f);
	return old;
}

// It is not opened with this journal.
static void bring_back(struct fixture *f, struct store *old)
{
	store_close(f->below.kept);
	f->below.kept = old;
	assert_int_equal(try_open(f), -ESTALE);
	assert_null(f->store);
}

// Another store's, older or newer: nothing in the journal is of its run.
static void test_a_store_with_another_journal_is_told(void **state)
{
	struct fixture *f = *state;
	struct store *old = store_of_the_run_before(f);

	assert_int_equal(try_open(f), 0);
	for (uint64_t n = 3; n < 3 * RECORDS_A_HALF; n++)
		assert_int_equal(put_n(f, n), 0);
	store_close(f->store);
	bring_back(f, old);
}

// The run before, whose records have been written over.
static void test_the_store_of_the_run_before_is_told(void **state)
{
	struct fixture *f = *state;
	struct store *old = store_of_the_run_before(f);

	bring_back(f, old);
}

// The journal had begun the run, and the store had not been told.
static void test_a_start_that_was_cut_off(void **state)
{
	struct fixture *f = *state;

	for (uint64_t n = 1; n <= 3; n++) {
		assert_int_equal(put_n(f, n), 0);
		crash(f);
		store_mem_fail(f->below.kept, -ENOSPC, 2);
		assert_int_equal(try_open(f), -ENOSPC);
		assert_int_equal(try_open(f), -ENOSPC);
		assert_int_equal(try_open(f), 0);
		assert_at(f, n);
	}
}

static void test_a_first_page_that_is_damaged_is_told(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(put_n(f, 1), 0);
	crash(f);
	write_at(f, (size_t)0 - FIRST + 20, "damage", 6);
	assert_int_equal(try_open(f), -EIO);
	assert_null(f->store);
}

// Without a first page: it is read, and made anew once nobody needs it.
static void test_a_journal_of_the_older_form(void **state)
{
	static char bytes[BYTES];
	struct fixture *f = *state;
	struct stat st;
	char path[128];
	int fd;

	assert_int_equal(put_n(f, 1), 0);
	crash(f);
	path_of(f, path, "journal");
	fd = open(path, O_RDWR);
	assert_int_equal(pread(fd, bytes, BYTES, FIRST), BYTES);
	assert_int_equal(pwrite(fd, bytes, BYTES, 0), BYTES);
	assert_int_equal(ftruncate(fd, BYTES), 0);
	close(fd);
	assert_int_equal(try_open(f), 0);
	assert_at(f, 1);
	for (uint64_t n = 2; n < 3 * RECORDS_A_HALF; n++)
		assert_int_equal(put_n(f, n), 0);
	store_close(f->store);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, BYTES);
	assert_int_equal(try_open(f), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, FILE_BYTES);
	assert_at(f, 3 * RECORDS_A_HALF - 1);
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
		TEST(test_a_store_with_another_journal_is_told),
		TEST(test_the_store_of_the_run_before_is_told),
		TEST(test_a_start_that_was_cut_off),
		TEST(test_a_first_page_that_is_damaged_is_told),
		TEST(test_a_journal_of_the_older_form),
		TEST(test_larger_than_a_half),
		TEST(test_no_room_for_the_file),
		TEST(test_half_applied),
		TEST(test_the_journals_own_key_is_hidden),
		TEST(test_many_comparisons),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
