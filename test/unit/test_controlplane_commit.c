// SPDX-License-Identifier: Apache-2.0
// The committing thread: batches, what joins them, errors.
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "controlplane/commit.h"
#include "controlplane/registry_internal.h"

#define KEY "test/joined"

// A rider that has a number to store: `wanted`, until the store has it.
struct fixture {
	struct store *store;
	struct registry r;
	struct registry_rider rider;
	struct committer c;
	uint64_t wanted, joining, stored;  // atomic
};

static bool pending(void *user)
{
	return false;
}

static void ride(void *user, struct batch *batch)
{
}

static void landed(void *user, int error)
{
}

static bool join(void *user, struct batch *batch)
{
	struct fixture *f = user;

	f->joining = __atomic_load_n(&f->wanted, __ATOMIC_SEQ_CST);
	if (f->joining == f->stored)
		return false;
	batch_write(batch, KEY, strdup("x"), f->joining);
	return true;
}

static void joined(void *user, int error)
{
	struct fixture *f = user;

	if (!error)
		__atomic_store_n(&f->stored, f->joining, __ATOMIC_SEQ_CST);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->store = store_mem_new();
	assert_int_equal(registry_init(&f->r, f->store), 0);
	f->rider = (struct registry_rider){pending, ride, landed, join, joined, f};
	f->r.rider = &f->rider;
	assert_int_equal(committer_start(&f->c, &f->r), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	committer_stop(&f->c);
	f->r.rider = NULL;
	registry_fini(&f->r);
	store_close(f->store);
	free(f);
	return 0;
}

static void want(struct fixture *f, uint64_t number)
{
	__atomic_store_n(&f->wanted, number, __ATOMIC_SEQ_CST);
	committer_wake(&f->c);
}

// When nothing is under way.
static uint64_t version_of(struct fixture *f, const char *key)
{
	uint64_t version = 0;
	size_t len;
	void *value;

	if (store_get(f->store, key, &value, &len, &version) == 0)
		free(value);
	return version;
}

static struct batch *note(struct fixture *f)
{
	assert_int_equal(
		registry_note(&f->r, "connected", KIND_GATEWAY, "gw1", NULL, clock_wall()), 0);
	return registry_seal(&f->r);
}

static bool is_told(struct fixture *f)
{
	struct pollfd fd = {f->c.event_fd, POLLIN, 0};

	return poll(&fd, 1, 0) == 1;
}

static void test_it_commits_without_a_batch(void **state)
{
	struct fixture *f = *state;
	uint64_t number = f->r.commit.number, seq = f->r.seq;
	struct commit_result r;

	want(f, 7);
	r = committer_take(&f->c, true);
	assert_int_equal(r.alone, 1);
	assert_int_equal(r.alone_error, 0);
	assert_false(r.settled);
	assert_int_equal(version_of(f, KEY), 7);
	assert_int_equal(version_of(f, REGISTRY_META_KEY), number + 1);
	// The main thread has nothing to do for it.
	assert_false(is_told(f));
	// What comes later knows of it, and keeps the seq.
	registry_fini(&f->r);
	assert_int_equal(registry_init(&f->r, f->store), 0);
	f->r.rider = &f->rider;
	assert_int_equal(f->r.commit.number, number + 1);
	assert_int_equal(f->r.seq, seq);
}

static void test_what_is_there_joins_a_batch(void **state)
{
	struct fixture *f = *state;
	uint64_t number = f->r.commit.number, seq = f->r.seq;
	struct commit_result r;

	__atomic_store_n(&f->wanted, 3, __ATOMIC_SEQ_CST);
	committer_submit(&f->c, note(f));
	r = committer_take(&f->c, true);
	assert_true(r.settled);
	assert_int_equal(r.error, 0);
	assert_int_equal(r.alone, 0);
	registry_settle(&f->r, 0);
	assert_int_equal(f->r.durable, seq + 1);
	assert_int_equal(f->r.commit.number, number + 1);
	assert_int_equal(version_of(f, KEY), 3);
	assert_true(r.stat.records > 0);
}

static void test_nothing_is_not_committed(void **state)
{
	struct fixture *f = *state;
	uint64_t number = f->r.commit.number;
	struct commit_result r;

	committer_wake(&f->c);
	r = committer_take(&f->c, true);
	assert_int_equal(r.alone, 0);
	assert_int_equal(r.alone_error, 0);
	assert_int_equal(f->r.commit.number, number);
}

static struct commit_result take_news(struct fixture *f)
{
	struct pollfd fd = {f->c.event_fd, POLLIN, 0};

	assert_int_equal(poll(&fd, 1, 20000), 1);
	return committer_take(&f->c, false);
}

// It is tried again by itself, and told when errors begin and end.
static void test_an_error_ends(void **state)
{
	struct fixture *f = *state;
	uint64_t number = f->r.commit.number;
	struct commit_result r;

	store_mem_fail(f->store, -ENOSPC, 2);
	want(f, 5);
	r = take_news(f);
	assert_int_equal(r.alone, 0);
	assert_int_equal(r.alone_error, -ENOSPC);
	assert_int_equal(r.last, -ENOSPC);
	want(f, 6);
	assert_int_equal(take_news(f).last, -ENOSPC);
	r = take_news(f);
	assert_int_equal(r.alone, 1);
	assert_int_equal(r.alone_error, 0);
	assert_int_equal(r.last, 0);
	assert_int_equal(version_of(f, KEY), 6);
	assert_int_equal(f->r.commit.number, number + 1);
	assert_false(is_told(f));
}

// Nothing is left to store: whether the store takes something again is seen all the same.
static void test_an_error_ends_without_work(void **state)
{
	struct fixture *f = *state;
	struct commit_result r;

	store_mem_fail(f->store, -EIO, 1);
	committer_submit(&f->c, note(f));
	r = take_news(f);
	assert_true(r.settled);
	assert_int_equal(r.error, -EIO);
	assert_int_equal(r.last, -EIO);
	assert_true(registry_settle(&f->r, r.error));
	r = take_news(f);
	assert_int_equal(r.alone, 1);
	assert_int_equal(r.last, 0);
}

// What went well before an error does not hide it, and what comes behind it does not wait for the
// main thread.
static void test_an_error_behind_what_was_stored(void **state)
{
	struct fixture *f = *state;
	struct commit_result r;

	want(f, 5);
	while (__atomic_load_n(&f->stored, __ATOMIC_SEQ_CST) != 5)
		;
	store_mem_fail(f->store, -ENOSPC, 1);
	committer_submit(&f->c, note(f));
	r = take_news(f);
	assert_int_equal(r.alone, 1);
	assert_true(r.settled);
	assert_int_equal(r.error, -ENOSPC);
	assert_int_equal(r.last, -ENOSPC);
	want(f, 6);
	assert_int_equal(take_news(f).last, 0);
	assert_int_equal(version_of(f, KEY), 6);
}

static void test_a_batch_does_not_wait(void **state)
{
	struct fixture *f = *state;
	struct commit_result r;

	store_mem_fail(f->store, -EIO, 2);
	want(f, 5);
	assert_int_equal(committer_take(&f->c, true).alone_error, -EIO);
	// It is refused, too, and what joined stays wanted.
	committer_submit(&f->c, note(f));
	r = committer_take(&f->c, true);
	assert_true(r.settled);
	assert_int_equal(r.error, -EIO);
	assert_true(registry_settle(&f->r, r.error));
	assert_int_equal(version_of(f, KEY), 0);
	committer_submit(&f->c, note(f));
	r = committer_take(&f->c, true);
	assert_true(r.settled);
	assert_int_equal(r.error, 0);
	registry_settle(&f->r, 0);
	assert_int_equal(version_of(f, KEY), 5);
}

// Somebody else has written: no commit goes over it, with a batch or without one.
static void test_others_are_noticed(void **state)
{
	struct fixture *f = *state;
	const struct store_write w = {REGISTRY_META_KEY, "{}", 2, 99};

	assert_int_equal(
		store_commit(f->store, &(struct store_txn){.writes = &w, .write_count = 1}), 0);
	want(f, 5);
	assert_int_equal(committer_take(&f->c, true).alone_error, -EAGAIN);
	assert_int_equal(version_of(f, KEY), 0);
	assert_int_equal(version_of(f, REGISTRY_META_KEY), 99);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_it_commits_without_a_batch),
		TEST(test_what_is_there_joins_a_batch),
		TEST(test_nothing_is_not_committed),
		TEST(test_an_error_ends),
		TEST(test_an_error_ends_without_work),
		TEST(test_an_error_behind_what_was_stored),
		TEST(test_a_batch_does_not_wait),
		TEST(test_others_are_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
