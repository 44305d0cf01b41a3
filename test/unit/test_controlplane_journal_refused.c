// SPDX-License-Identifier: Apache-2.0
// The journal before a store where the disk refuses a record, or the store below what is to be
// applied.
#include "test/unit/journal_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

#include "lib/base/cursor.h"

// The limit of a file's size stands for a disk that refuses a write.
static void test_a_refused_record_is_not_there(void **state)
{
	struct fixture *f = *state;
	struct rlimit old, limit;

	assert_int_equal(put_n(f, 1), 0);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	limit = old;
	limit.rlim_cur = FIRST + JOURNAL_PAGE;
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
	assert_int_equal(pread(file.fd, bytes, JOURNAL_PAGE, FIRST), JOURNAL_PAGE);
	assert_memory_equal(bytes, zeros, JOURNAL_PAGE);
	journal_file_close(&file);
}

static void read_run(const struct fixture *f, struct journal_file *file)
{
	uint64_t version;
	size_t len;
	void *value;
	struct reader r;

	assert_int_equal(store_get(f->below.kept, "journal/applied", &value, &len, &version), 0);
	r = reader_of(value, len);
	file->run = reader_u64(&r);
	free(value);
}

// The record is refused, and yet it is there whole, as where its sync fails.
static void refuse_what_got_there(struct fixture *f, uint64_t n)
{
	struct rlimit old, limit;
	struct journal_file file;
	const struct store_write w[2] = {{"n/refused", "x", 1, n}, {"last", "x", 1, n}};

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	limit = old;
	limit.rlim_cur = FIRST + JOURNAL_PAGE;
	setrlimit(RLIMIT_FSIZE, &limit);
	assert_int_equal(put_n(f, n), -ENOSPC);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(journal_file_open(&file, f->dir), 0);
	read_run(f, &file);
	file.seq = n - 1;
	file.at = (n - 1) * JOURNAL_PAGE;
	journal_file_prepare(&file, &(struct store_txn){.writes = w, .write_count = 2});
	assert_int_equal(journal_file_append(&file), 0);
	journal_file_close(&file);
}

// The store below is full at the end, so it still needs its journal.
static void test_what_was_refused_stays_so_after_a_clean_end(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(put_n(f, 1), 0);
	refuse_what_got_there(f, 2);
	f->below.last_fails = true;
	store_close(f->store);
	f->below.last_fails = false;
	assert_int_equal(try_open(f), 0);
	assert_at(f, 1);
	assert_int_equal(put_n(f, 2), 0);
	crash(f);
	assert_int_equal(try_open(f), 0);
	assert_at(f, 2);
}

// A list goes on in the other half.
static void test_what_was_refused_stays_so_after_a_list(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(put_n(f, 1), 0);
	refuse_what_got_there(f, 2);
	assert_at(f, 1);
	assert_int_equal(put_n(f, 2), 0);
	assert_int_equal(put_n(f, 3), 0);
	crash(f);
	assert_int_equal(try_open(f), 0);
	assert_at(f, 3);
}

static void test_the_end_on_a_full_disk_is_told(void **state)
{
	struct fixture *f = *state;
	char said[600] = "", path[128];
	int fd, old;

	assert_int_equal(put_n(f, 1), 0);
	path_of(f, path, "copy");
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	fflush(stderr);
	old = dup(STDERR_FILENO);
	dup2(fd, STDERR_FILENO);
	store_mem_fail(f->below.kept, -ENOSPC, -1);
	store_close(f->store);
	store_mem_fail(f->below.kept, 0, 0);
	fflush(stderr);
	dup2(old, STDERR_FILENO);
	close(old);
	assert_true(pread(fd, said, sizeof(said) - 1, 0) > 0);
	close(fd);
	assert_non_null(strstr(said, f->dir));
	assert_non_null(strstr(said, "keep the two together"));
	assert_int_equal(try_open(f), 0);
	assert_at(f, 1);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_refused_record_is_not_there),
		TEST(test_what_was_refused_is_written_over),
		TEST(test_what_was_refused_stays_so_after_a_clean_end),
		TEST(test_what_was_refused_stays_so_after_a_list),
		TEST(test_the_end_on_a_full_disk_is_told),
		TEST(test_the_store_below_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
