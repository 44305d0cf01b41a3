// SPDX-License-Identifier: Apache-2.0
// The contract of controlplane/store.h, held by both engines, with and without a journal before
// them; what LMDB adds: durability under kill -9, growth, a disk that is full, two processes.
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
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

#include "controlplane/store_journal.h"

#define JOURNAL_SMALL ((size_t)64 << 10)

struct fixture {
	char dir[64];
	struct store *store;
	bool journal;
};

static void remove_dir(const char *dir)
{
	static const char *const files[] = {"store.mdb", "journal", "lock"};
	char path[128];

	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		unlink(path);
	}
	rmdir(dir);
}

static struct store *open_lmdb(const char *dir)
{
	int error = 0;
	struct store *s = store_lmdb_open(dir, &error);

	if (!s)
		fail_msg("cannot open the store: %s", strerror(-error));
	return s;
}

static struct store *put_journal(const char *dir, struct store *below)
{
	int error = 0;
	struct store *s = store_journal_open(dir, below, JOURNAL_SMALL, &error);

	if (!s || error)
		fail_msg("cannot open the journal: %s", strerror(-error));
	return s;
}

static struct store *open_again(const struct fixture *f)
{
	struct store *s = open_lmdb(f->dir);

	return f->journal ? put_journal(f->dir, s) : s;
}

static int setup_lmdb(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/penstock-store-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->store = open_lmdb(f->dir);
	*state = f;
	return 0;
}

static int setup_mem(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->store = store_mem_new();
	*state = f;
	return 0;
}

static int setup_journal(void **state)
{
	struct fixture *f;

	setup_lmdb(state);
	f = *state;
	f->journal = true;
	f->store = put_journal(f->dir, f->store);
	return 0;
}

static int setup_journal_mem(void **state)
{
	struct fixture *f;

	setup_mem(state);
	f = *state;
	strcpy(f->dir, "/tmp/penstock-store-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->journal = true;
	f->store = put_journal(f->dir, f->store);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	store_close(f->store);
	if (f->dir[0])
		remove_dir(f->dir);
	free(f);
	return 0;
}

static int put(struct store *s, const char *key, const char *value, uint64_t version)
{
	struct store_write w = {key, value, value ? strlen(value) : 0, version};
	struct store_txn t = {.writes = &w, .write_count = 1};

	return store_commit(s, &t);
}

static void assert_record(struct store *s, const char *key, const char *value, uint64_t version)
{
	void *got;
	size_t len;
	uint64_t got_version;

	assert_int_equal(store_get(s, key, &got, &len, &got_version), 0);
	assert_string_equal(got, value);
	assert_int_equal(len, strlen(value));
	assert_int_equal(got_version, version);
	free(got);
}

static void assert_absent(struct store *s, const char *key)
{
	void *got;
	size_t len;
	uint64_t version;

	assert_int_equal(store_get(s, key, &got, &len, &version), -ENOENT);
}

static void test_put_get_delete(void **state)
{
	struct store *s = ((struct fixture *)*state)->store;

	assert_absent(s, "a");
	assert_int_equal(put(s, "a", "one", 1), 0);
	assert_record(s, "a", "one", 1);
	assert_int_equal(put(s, "a", "two and longer", 7), 0);
	assert_record(s, "a", "two and longer", 7);
	assert_int_equal(put(s, "a", NULL, 0), 0);
	assert_absent(s, "a");
	assert_int_equal(put(s, "a", NULL, 0), 0);
	assert_int_equal(put(s, "empty", "", 3), 0);
	assert_record(s, "empty", "", 3);
}

static void test_bad_writes(void **state)
{
	struct store *s = ((struct fixture *)*state)->store;
	char long_key[STORE_KEY_MAX + 2];
	struct store_write w[2] = {{"good", "x", 1, 1}, {"", "x", 1, 1}};
	struct store_txn t = {.writes = w, .write_count = 2};

	memset(long_key, 'k', sizeof(long_key) - 1);
	long_key[sizeof(long_key) - 1] = 0;
	assert_int_equal(store_commit(s, &t), -EINVAL);
	w[1].key = long_key;
	assert_int_equal(store_commit(s, &t), -EINVAL);
	w[1].key = "no version";
	w[1].version = 0;
	assert_int_equal(store_commit(s, &t), -EINVAL);
	// Nothing of a refused transaction is there, and the store goes on.
	assert_absent(s, "good");
	w[1].version = 2;
	assert_int_equal(store_commit(s, &t), 0);
	assert_record(s, "no version", "x", 2);
}

static void test_compare(void **state)
{
	struct store *s = ((struct fixture *)*state)->store;
	struct store_compare c[2] = {{"node1", 5}, {"node2", 0}};
	struct store_write w[2] = {{"node1", "planned", 7, 6}, {"node2", "planned", 7, 6}};
	struct store_txn t = {c, 2, w, 2};

	assert_int_equal(store_commit(s, &t), -EAGAIN);  // node1 is missing
	assert_absent(s, "node2");
	assert_int_equal(put(s, "node1", "x", 5), 0);
	assert_int_equal(store_commit(s, &t), 0);
	assert_record(s, "node1", "planned", 6);
	assert_int_equal(store_commit(s, &t), -EAGAIN);  // both have moved on
	c[0].version = 6;
	assert_int_equal(store_commit(s, &t), -EAGAIN);  // node2 exists
	c[1].version = 6;
	assert_int_equal(store_commit(s, &t), 0);
}

// As plans of several writers would be told apart: by the nodes that they touch.
static void test_one_stale_of_several(void **state)
{
	struct store *s = ((struct fixture *)*state)->store;
	char keys[20][32];
	struct store_compare c[20];
	struct store_write w[21];
	size_t stale = SIZE_MAX;
	struct store_txn t = {c, 20, w, 21, &stale};

	for (size_t i = 0; i < 20; i++) {
		snprintf(keys[i], sizeof(keys[i]), "sched/node/n%zu", i);
		assert_int_equal(put(s, keys[i], "", 10 + i), 0);
		c[i] = (struct store_compare){keys[i], 10 + i};
		w[i] = (struct store_write){keys[i], "", 0, 100};
	}
	w[20] = (struct store_write){"sched/log/1", "placed", 6, 100};
	// Somebody else has placed on one of them meanwhile.
	for (size_t k = 0; k < 20; k += 19) {
		assert_int_equal(put(s, keys[k], "", 50), 0);
		assert_int_equal(store_commit(s, &t), -EAGAIN);
		assert_int_equal(stale, k);
		for (size_t i = 0; i < 20; i++)
			assert_record(s, keys[i], "", i == k || i == 0 ? 50 : 10 + i);
		assert_absent(s, "sched/log/1");
		c[0].version = 50;
	}
	c[19].version = 50;
	stale = SIZE_MAX;
	assert_int_equal(store_commit(s, &t), 0);
	assert_int_equal(stale, SIZE_MAX);
	assert_record(s, "sched/log/1", "placed", 100);
	for (size_t i = 0; i < 20; i++)
		assert_record(s, keys[i], "", 100);
}

struct listing {
	char text[256];
	int stop_after;
};

static int list_one(void *user, const struct store_record *r)
{
	struct listing *l = user;
	size_t n = strlen(l->text);

	snprintf(l->text + n, sizeof(l->text) - n, "%s=%.*s@%d ", r->key, (int)r->len,
		(const char *)r->value, (int)r->version);
	return --l->stop_after == 0 ? 42 : 0;
}

static void assert_list(struct store *s, const char *prefix, const char *after, int stop, int rc,
	const char *expected)
{
	struct listing l = {.stop_after = stop};

	assert_int_equal(store_list(s, prefix, after, list_one, &l), rc);
	assert_string_equal(l.text, expected);
}

static void test_list(void **state)
{
	struct store *s = ((struct fixture *)*state)->store;

	assert_list(s, "", NULL, 0, 0, "");
	put(s, "b/2", "y", 2);
	put(s, "a/9", "w", 9);
	put(s, "b/1", "x", 1);
	put(s, "b0", "v", 4);
	put(s, "b/3", "z", 3);
	assert_list(s, "b/", NULL, 0, 0, "b/1=x@1 b/2=y@2 b/3=z@3 ");
	assert_list(s, "b/", "b/1", 0, 0, "b/2=y@2 b/3=z@3 ");
	assert_list(s, "b/", "b/11", 0, 0, "b/2=y@2 b/3=z@3 ");
	assert_list(s, "b/", "b/3", 0, 0, "");
	assert_list(s, "b/", "a", 0, 0, "b/1=x@1 b/2=y@2 b/3=z@3 ");
	assert_list(s, "", NULL, 0, 0, "a/9=w@9 b/1=x@1 b/2=y@2 b/3=z@3 b0=v@4 ");
	assert_list(s, "b/", NULL, 2, 42, "b/1=x@1 b/2=y@2 ");
	assert_list(s, "c", NULL, 0, 0, "");
}

static void test_later_write_wins(void **state)
{
	struct store *s = ((struct fixture *)*state)->store;
	struct store_write w[3] = {{"k", "1", 1, 1}, {"k", NULL, 0, 0}, {"k", "3", 1, 3}};
	struct store_txn t = {.writes = w, .write_count = 3};

	assert_int_equal(store_commit(s, &t), 0);
	assert_record(s, "k", "3", 3);
}

// ---- LMDB ----

static void test_reopen(void **state)
{
	struct fixture *f = *state;

	put(f->store, "a", "1", 1);
	put(f->store, "b", "2", 2);
	store_close(f->store);
	f->store = open_again(f);
	assert_record(f->store, "a", "1", 1);
	assert_record(f->store, "b", "2", 2);
}

static void test_second_process_is_refused(void **state)
{
	struct fixture *f = *state;
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		int error = 0;
		struct store *s = store_lmdb_open(f->dir, &error);

		_exit(!s && error == -EBUSY ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

// 64 MiB through a map that begins with 16.
static void test_grows(void **state)
{
	struct fixture *f = *state;
	size_t len = 256 << 10;
	char *value = malloc(len), key[32];
	struct store_stat stat;

	memset(value, 'v', len);
	for (int i = 0; i < 256; i++) {
		struct store_write w = {key, value, len, (uint64_t)i + 1};
		struct store_txn t = {.writes = &w, .write_count = 1};

		snprintf(key, sizeof(key), "big/%03d", i);
		assert_int_equal(store_commit(f->store, &t), 0);
	}
	assert_int_equal(store_stat(f->store, &stat), 0);
	assert_int_equal(stat.records, 256);
	assert_true(stat.used_bytes > 64u << 20);
	// A process that starts anew reads it with the map's size from the file.
	store_close(f->store);
	f->store = open_again(f);
	assert_int_equal(store_stat(f->store, &stat), 0);
	assert_int_equal(stat.records, 256);
	assert_int_equal(put(f->store, "more", "x", 300), 0);
	free(value);
}

// The limit of a file's size stands for a full disk, without root. (That a full disk is told as
// such is for test/smoke/controlplane.sh: a write cut in the middle is EIO here.)
static void test_full_disk_loses_nothing(void **state)
{
	struct fixture *f = *state;
	struct rlimit old, limit;
	size_t len = 64 << 10;
	char *value = calloc(1, len), key[32];
	int rc = 0, good = 0;

	memset(value, 'f', len - 1);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	limit = old;
	limit.rlim_cur = 1 << 20;
	setrlimit(RLIMIT_FSIZE, &limit);
	while (!rc && good < 100) {
		snprintf(key, sizeof(key), "fill/%03d", good);
		rc = put(f->store, key, value, (uint64_t)good + 1);
		good += !rc;
	}
	setrlimit(RLIMIT_FSIZE, &old);
	assert_true(rc == -ENOSPC || rc == -EIO);
	assert_true(good > 3);
	// Everything acknowledged is there, the refused one is not, and writing goes on.
	for (int i = 0; i < good; i++) {
		snprintf(key, sizeof(key), "fill/%03d", i);
		assert_record(f->store, key, value, (uint64_t)i + 1);
	}
	snprintf(key, sizeof(key), "fill/%03d", good);
	assert_absent(f->store, key);
	assert_int_equal(put(f->store, key, value, 500), 0);
	store_close(f->store);
	f->store = open_again(f);
	assert_record(f->store, key, value, 500);
	free(value);
}

// A child commits pairs that belong together and tells of each commit through a pipe; it is killed
// at some point. Then each pair is whole, and nothing it told of is missing.
static void run_writer(const struct fixture *f, int pipe_fd)
{
	struct store *s = open_again(f);

	for (uint64_t n = 1;; n++) {
		char value[32], key[32];
		struct store_write w[3] = {
			{"left", value, 0, n}, {"right", value, 0, n}, {key, value, 0, n}};
		struct store_txn t = {.writes = w, .write_count = 3};

		snprintf(value, sizeof(value), "%llu", (unsigned long long)n);
		snprintf(key, sizeof(key), "log/%08llu", (unsigned long long)n);
		w[0].len = w[1].len = w[2].len = strlen(value);
		if (store_commit(s, &t) != 0 || write(pipe_fd, &n, sizeof(n)) != sizeof(n))
			_exit(1);
	}
}

static int count_one(void *user, const struct store_record *r)
{
	(void)r;
	++*(uint64_t *)user;
	return 0;
}

static void test_kill_9_between_and_within_commits(void **state)
{
	struct fixture *f = *state;

	store_close(f->store);
	for (int round = 0; round < 30; round++) {
		uint64_t told = 0, n, count = 0, left_version, right_version;
		int fds[2], status;
		size_t len;
		void *left, *right;
		pid_t pid;

		remove_dir(f->dir);
		mkdir(f->dir, 0700);
		assert_int_equal(pipe(fds), 0);
		pid = fork();
		if (pid == 0)
			run_writer(f, fds[1]);
		close(fds[1]);
		// The first commit is awaited, so that there is something; the rest is a matter of
		// chance.
		assert_int_equal(read(fds[0], &told, sizeof(told)), sizeof(told));
		usleep((useconds_t)(round * 700));
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		while (read(fds[0], &n, sizeof(n)) == sizeof(n))
			told = n;
		close(fds[0]);
		f->store = open_again(f);
		assert_int_equal(store_get(f->store, "left", &left, &len, &left_version), 0);
		assert_int_equal(store_get(f->store, "right", &right, &len, &right_version), 0);
		assert_string_equal(left, right);
		assert_int_equal(left_version, right_version);
		assert_true(left_version >= told);
		assert_int_equal(store_list(f->store, "log/", NULL, count_one, &count), 0);
		assert_int_equal(count, left_version);
		free(left);
		free(right);
		store_close(f->store);
	}
	f->store = open_again(f);
}

static void test_not_a_store(void **state)
{
	struct fixture *f = *state;
	char path[128];
	FILE *file;
	int error = 0;

	store_close(f->store);
	snprintf(path, sizeof(path), "%s/store.mdb", f->dir);
	file = fopen(path, "w");
	for (int i = 0; i < 5000; i++)
		fputs("this is no LMDB file ", file);
	fclose(file);
	f->store = store_lmdb_open(f->dir, &error);
	assert_null(f->store);
	assert_int_equal(error, -EIO);
}

// A crash in the making of a store leaves its file under another name, or empty.
static void test_half_made(void **state)
{
	struct fixture *f = *state;
	char path[128];
	FILE *file;

	store_close(f->store);
	for (int k = 0; k < 2; k++) {
		snprintf(path, sizeof(path), "%s/store.mdb", f->dir);
		assert_int_equal(k ? truncate(path, 0) : unlink(path), 0);
		snprintf(path, sizeof(path), "%s/store.mdb.new", f->dir);
		file = fopen(path, "w");
		fputs("half a page", file);
		fclose(file);
		f->store = open_again(f);
		assert_int_equal(access(path, F_OK), -1);
		assert_int_equal(put(f->store, "a", "one", 1), 0);
		store_close(f->store);
		f->store = open_again(f);
		assert_record(f->store, "a", "one", 1);
		store_close(f->store);
	}
	f->store = open_again(f);
}

#define ALL(test)                                                               \
	cmocka_unit_test_setup_teardown(test, setup_lmdb, teardown),            \
		cmocka_unit_test_setup_teardown(test, setup_mem, teardown),     \
		cmocka_unit_test_setup_teardown(test, setup_journal, teardown), \
		cmocka_unit_test_setup_teardown(test, setup_journal_mem, teardown)
#define JOURNAL(test) cmocka_unit_test_setup_teardown(test, setup_journal, teardown)
#define LMDB(test) cmocka_unit_test_setup_teardown(test, setup_lmdb, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ALL(test_put_get_delete),
		ALL(test_bad_writes),
		ALL(test_compare),
		ALL(test_one_stale_of_several),
		ALL(test_list),
		ALL(test_later_write_wins),
		LMDB(test_reopen),
		JOURNAL(test_reopen),
		LMDB(test_second_process_is_refused),
		JOURNAL(test_second_process_is_refused),
		LMDB(test_grows),
		JOURNAL(test_grows),
		LMDB(test_full_disk_loses_nothing),
		JOURNAL(test_full_disk_loses_nothing),
		LMDB(test_kill_9_between_and_within_commits),
		JOURNAL(test_kill_9_between_and_within_commits),
		LMDB(test_not_a_store),
		LMDB(test_half_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
