// SPDX-License-Identifier: Apache-2.0
// Evaluations that wait for room: behaviours 25 to 37, by number.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "sched/blocked.h"

static int setup(void **state)
{
	struct sched_blocked *b = sched_blocked_new();

	sched_blocked_enable(b, true);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	sched_blocked_destroy(*state);
	return 0;
}

// It knows the classes 0 to 3, of which 1 and 2 are eligible, from a snapshot of index 100.
static struct sched_waiting waiting(uint64_t eval, uint32_t job)
{
	struct sched_waiting w = {
		.ticket = {.eval = eval, .create_index = eval, .job = job, .node = SCHED_NONE},
		.snapshot_index = 100,
	};

	w.eligibility.known = 4;
	w.eligibility.eligible[0] = 6;
	return w;
}

static int add(struct sched_blocked *b, struct sched_waiting w)
{
	struct sched_ticket cancelled;
	int rc = sched_blocked_add(b, &w, &cancelled);

	assert_int_equal(cancelled.eval, 0);
	return rc;
}

// All that comes out now.
static uint32_t take(struct sched_blocked *b, struct sched_waiting *out, uint32_t room)
{
	uint32_t n = 0;
	bool more = true;

	while (more && n < room)
		n += sched_blocked_step(b, room - n, out + n, &more);
	return n;
}

static uint64_t take_one(struct sched_blocked *b)
{
	struct sched_waiting out[8];
	uint32_t n = take(b, out, 8);

	assert_true(n <= 1);
	return n ? out[0].ticket.eval : 0;
}

static void b25_one_a_job_newest_wins(void **state)
{
	struct sched_blocked *b = *state;
	struct sched_waiting w = waiting(5, 7);
	struct sched_ticket cancelled;

	add(b, waiting(3, 7));
	assert_int_equal(sched_blocked_add(b, &w, &cancelled), 0);
	assert_int_equal(cancelled.eval, 3);
	w = waiting(4, 7);
	assert_int_equal(sched_blocked_add(b, &w, &cancelled), 0);
	assert_int_equal(cancelled.eval, 4);
	assert_int_equal(sched_blocked_stats(b).blocked, 1);
	assert_int_equal(sched_blocked_stats(b).duplicates, 2);
	sched_blocked_unblock_class(b, 1, 101);
	assert_int_equal(take_one(b), 5);
}

static void b26_eligible_class_unblocks(void **state)
{
	struct sched_blocked *b = *state;

	add(b, waiting(1, 7));
	sched_blocked_unblock_class(b, 2, 101);
	assert_int_equal(take_one(b), 1);
	assert_int_equal(sched_blocked_stats(b).blocked, 0);
	assert_int_equal(sched_blocked_stats(b).unblocked, 1);
}

static void b27_ineligible_class_does_not(void **state)
{
	struct sched_blocked *b = *state;

	add(b, waiting(1, 7));
	sched_blocked_unblock_class(b, 0, 101);
	sched_blocked_unblock_class(b, 3, 102);
	assert_int_equal(take_one(b), 0);
	assert_int_equal(sched_blocked_stats(b).blocked, 1);
}

static void b28_unknown_class_unblocks(void **state)
{
	struct sched_blocked *b = *state;
	struct sched_waiting w = waiting(2, 7);

	add(b, waiting(1, 7));
	sched_blocked_unblock_class(b, 4, 101);
	assert_int_equal(take_one(b), 1);
	// Also one too high to be tracked.
	w.snapshot_index = 101;
	assert_int_equal(add(b, w), 0);
	sched_blocked_unblock_class(b, SCHED_CLASSES_TRACKED + 9, 102);
	assert_int_equal(take_one(b), 2);
}

static void b29_escaped_unblocks_on_any(void **state)
{
	struct sched_blocked *b = *state;
	struct sched_waiting w = waiting(1, 7);

	w.eligibility.escaped = true;
	add(b, w);
	assert_int_equal(sched_blocked_stats(b).escaped, 1);
	sched_blocked_unblock_class(b, 0, 101);
	assert_int_equal(take_one(b), 1);
	assert_int_equal(sched_blocked_stats(b).escaped, 0);
}

static void b30_missed_unblock(void **state)
{
	struct sched_blocked *b = *state;
	struct sched_waiting w = waiting(2, 8);

	sched_blocked_unblock_class(b, 1, 101);
	assert_int_equal(add(b, waiting(1, 7)), 1);
	assert_int_equal(sched_blocked_stats(b).missed, 1);
	assert_int_equal(sched_blocked_stats(b).blocked, 0);
	// One that has seen that state waits.
	w.snapshot_index = 101;
	assert_int_equal(add(b, w), 0);
	// What happened in a class that is not eligible was not missed.
	sched_blocked_unblock_class(b, 0, 105);
	w = waiting(3, 9);
	w.snapshot_index = 103;
	assert_int_equal(add(b, w), 0);
}

static void b31_quota(void **state)
{
	struct sched_blocked *b = *state;
	struct sched_waiting w = waiting(1, 7);

	w.quota = 3;
	add(b, w);
	sched_blocked_unblock_class(b, 1, 101);
	sched_blocked_unblock_quota(b, 4, 102);
	assert_int_equal(take_one(b), 0);
	sched_blocked_unblock_quota(b, 3, 103);
	assert_int_equal(take_one(b), 1);
	assert_int_equal(add(b, w), 1);
}

static void b32_reblock_keeps_the_token(void **state)
{
	struct sched_blocked *b = *state;
	struct sched_waiting w = waiting(1, 7), out[2];

	w.token = 99;
	add(b, w);
	// The same evaluation again replaces itself and cancels nothing.
	w.token = 100;
	add(b, w);
	sched_blocked_unblock_class(b, 1, 101);
	assert_int_equal(take(b, out, 2), 1);
	assert_int_equal(out[0].token, 100);
}

static void b33_untrack(void **state)
{
	struct sched_blocked *b = *state;

	add(b, waiting(1, 7));
	add(b, waiting(2, 8));
	assert_int_equal(sched_blocked_untrack(b, 7, SCHED_NONE).eval, 1);
	assert_int_equal(sched_blocked_untrack(b, 7, SCHED_NONE).eval, 0);
	sched_blocked_unblock_class(b, 1, 101);
	assert_int_equal(take_one(b), 2);
}

static void b34_max_plans_retried(void **state)
{
	struct sched_blocked *b = *state;
	struct sched_waiting w = waiting(1, 7);

	w.max_plans = true;
	add(b, w);
	add(b, waiting(2, 8));
	sched_blocked_unblock_failed(b);
	assert_int_equal(take_one(b), 1);
	assert_int_equal(sched_blocked_stats(b).max_plans, 0);
	// Once: a later one waits for its own turn.
	w = waiting(3, 7);
	w.max_plans = true;
	add(b, w);
	sched_blocked_unblock_class(b, 0, 101);
	assert_int_equal(take_one(b), 0);
}

static void b35_system_by_node(void **state)
{
	struct sched_blocked *b = *state;
	struct sched_waiting one = waiting(1, 7), two = waiting(2, 7);

	one.ticket.node = 10;
	two.ticket.node = 11;
	add(b, one);
	add(b, two);
	assert_int_equal(sched_blocked_stats(b).blocked, 2);
	sched_blocked_unblock_node(b, 11, 101);
	assert_int_equal(take_one(b), 2);
	assert_int_equal(sched_blocked_untrack(b, 7, 10).eval, 1);
}

static void b37_unblocking_is_bounded(void **state)
{
	static struct sched_waiting out[100000];
	struct sched_blocked *b = *state;
	uint32_t n, total = 0, steps = 0;
	bool more = true;

	for (uint32_t k = 0; k < 20000; k++)
		add(b, waiting(1 + k, k));
	sched_blocked_unblock_class(b, 1, 101);
	while (more) {
		n = sched_blocked_step(b, 100, out, &more);
		assert_true(n <= 100);
		total += n;
		steps++;
		// Something happens meanwhile that concerns nobody.
		if (steps == 10)
			sched_blocked_unblock_class(b, 0, 102);
	}
	assert_int_equal(total, 20000);
	assert_true(steps >= 200 && steps < 410);
}

static void a_sweep_misses_nobody(void **state)
{
	struct sched_blocked *b = *state;
	struct sched_waiting out[4], w;
	uint32_t total = 0;
	bool more = true;

	// Those of odd jobs wait for class 1, the others for class 2; class 2 opens in the middle
	// of the sweep.
	for (uint32_t k = 0; k < 64; k++) {
		w = waiting(1 + k, k);
		w.eligibility.eligible[0] = k & 1 ? 2 : 4;
		add(b, w);
	}
	sched_blocked_unblock_class(b, 1, 101);
	for (int k = 0; k < 12; k++)
		total += sched_blocked_step(b, 4, out, &more);
	sched_blocked_unblock_class(b, 2, 102);
	for (int k = 0; more && k < 1000; k++)
		total += sched_blocked_step(b, 4, out, &more);
	assert_int_equal(total, 64);
	assert_false(more);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(b25_one_a_job_newest_wins),
		TEST(b26_eligible_class_unblocks),
		TEST(b27_ineligible_class_does_not),
		TEST(b28_unknown_class_unblocks),
		TEST(b29_escaped_unblocks_on_any),
		TEST(b30_missed_unblock),
		TEST(b31_quota),
		TEST(b32_reblock_keeps_the_token),
		TEST(b33_untrack),
		TEST(b34_max_plans_retried),
		TEST(b35_system_by_node),
		TEST(b37_unblocking_is_bounded),
		TEST(a_sweep_misses_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
