// SPDX-License-Identifier: Apache-2.0
// The evaluation broker: behaviours 1 to 24, by number.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "sched/broker.h"

#define SEC NS_PER_SEC

static int setup(void **state)
{
	struct sched_broker *b = sched_broker_new(NULL, 1);

	sched_broker_enable(b, true);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	sched_broker_destroy(*state);
	return 0;
}

static struct sched_ticket ticket(uint64_t eval, uint32_t job, uint8_t priority)
{
	return (struct sched_ticket){.eval = eval,
		.create_index = eval,
		.min_index = eval,
		.job = job,
		.node = SCHED_NONE,
		.priority = priority};
}

static void put(struct sched_broker *b, uint64_t eval, uint32_t job, uint8_t priority)
{
	struct sched_ticket t = ticket(eval, job, priority);

	assert_int_equal(sched_broker_enqueue(b, &t, 0), 0);
}

static void put_type(
	struct sched_broker *b, uint64_t eval, uint32_t job, uint8_t priority, uint8_t type)
{
	struct sched_ticket t = ticket(eval, job, priority);

	t.type = type;
	assert_int_equal(sched_broker_enqueue(b, &t, 0), 0);
}

// The evaluation delivered, 0 if none.
static uint64_t take(struct sched_broker *b, uint32_t mask, ns_t now, uint64_t *token)
{
	struct sched_ticket t;

	return sched_broker_dequeue(b, mask, now, &t, token) ? 0 : t.eval;
}

static void assert_stats(struct sched_broker *b, uint32_t ready, uint32_t outstanding,
	uint32_t pending, uint32_t waiting)
{
	struct sched_broker_stats s = sched_broker_stats(b);

	assert_int_equal(s.ready, ready);
	assert_int_equal(s.outstanding, outstanding);
	assert_int_equal(s.pending, pending);
	assert_int_equal(s.waiting, waiting);
}

static void b01_enqueue_dequeue_nack_ack(void **state)
{
	struct sched_broker *b = *state;
	uint64_t token, second;

	put(b, 1, 7, 50);
	assert_stats(b, 1, 0, 0, 0);
	assert_int_equal(take(b, SCHED_MASK_ALL, 0, &token), 1);
	assert_true(token != 0);
	assert_true(sched_broker_outstanding(b, 1) == token);
	assert_stats(b, 0, 1, 0, 0);
	assert_int_equal(sched_broker_nack(b, 1, token, 0), 0);
	assert_stats(b, 0, 0, 0, 1);
	assert_int_equal(take(b, SCHED_MASK_ALL, 1 * SEC, &second), 1);
	assert_true(second != token);
	assert_stats(b, 0, 1, 0, 0);
	assert_int_equal(sched_broker_ack(b, 1, second, 1 * SEC), 0);
	assert_stats(b, 0, 0, 0, 0);
	assert_int_equal(sched_broker_outstanding(b, 1), 0);
	assert_int_equal(sched_broker_stats(b).acked, 1);
	assert_int_equal(sched_broker_stats(b).nacked, 1);
	assert_int_equal(sched_broker_stats(b).delivered, 2);
}

static void b02_duplicate_is_ignored(void **state)
{
	struct sched_broker *b = *state;
	uint64_t token;

	put(b, 1, 7, 50);
	put(b, 1, 7, 50);
	assert_stats(b, 1, 0, 0, 0);
	take(b, SCHED_MASK_ALL, 0, &token);
	put(b, 1, 7, 50);
	assert_stats(b, 0, 1, 0, 0);
	assert_int_equal(sched_broker_stats(b).duplicates, 2);
}

static void b03_one_of_a_job_in_flight(void **state)
{
	struct sched_broker *b = *state;
	uint64_t token, other;

	put(b, 1, 7, 50);
	put(b, 2, 7, 50);
	assert_stats(b, 1, 0, 1, 0);
	assert_int_equal(take(b, SCHED_MASK_ALL, 0, &token), 1);
	assert_int_equal(take(b, SCHED_MASK_ALL, 0, &other), 0);
	// Also not while the first waits for its redelivery.
	sched_broker_nack(b, 1, token, 0);
	assert_int_equal(take(b, SCHED_MASK_ALL, 0, &other), 0);
	assert_int_equal(take(b, SCHED_MASK_ALL, 1 * SEC, &token), 1);
	assert_int_equal(sched_broker_ack(b, 1, token, 0), 0);
	assert_int_equal(take(b, SCHED_MASK_ALL, 0, &other), 2);
}

// The state gives the job of each namespace a row of its own, so the broker sees two jobs.
static void b04_other_jobs_in_parallel(void **state)
{
	struct sched_broker *b = *state;
	uint64_t token;

	put(b, 1, 7, 50);
	put(b, 2, 8, 50);
	assert_int_equal(take(b, SCHED_MASK_ALL, 0, &token), 1);
	assert_int_equal(take(b, SCHED_MASK_ALL, 0, &token), 2);
}

static void b05_highest_priority_first_across_types(void **state)
{
	struct sched_broker *b = *state;
	uint64_t token;

	put_type(b, 1, 1, 20, SCHED_TYPE_SERVICE);
	put_type(b, 2, 2, 70, SCHED_TYPE_BATCH);
	put_type(b, 3, 3, 100, SCHED_TYPE_SYSTEM);
	put_type(b, 4, 4, 71, SCHED_TYPE_SERVICE);
	assert_int_equal(take(b, SCHED_MASK_ALL, 0, &token), 3);
	assert_int_equal(take(b, SCHED_MASK_ALL, 0, &token), 4);
	assert_int_equal(take(b, SCHED_MASK_ALL, 0, &token), 2);
	// Only of the types asked for.
	assert_int_equal(take(b, SCHED_MASK(SCHED_TYPE_BATCH), 0, &token), 0);
	assert_int_equal(take(b, SCHED_MASK(SCHED_TYPE_SERVICE), 0, &token), 1);
}

static void b06_fifo_at_equal_priority(void **state)
{
	struct sched_broker *b = *state;
	uint64_t token;

	// Evaluation numbers fall, so that only the order of arrival explains what comes out.
	for (uint32_t k = 0; k < 500; k++)
		put(b, 1000 - k, k, 50);
	for (uint32_t k = 0; k < 500; k++)
		assert_int_equal(take(b, SCHED_MASK_ALL, 0, &token), 1000 - k);
}

static void b07_pending_by_priority_then_newest(void **state)
{
	struct sched_broker *b = *state;
	uint64_t token;

	put(b, 1, 7, 50);
	take(b, SCHED_MASK_ALL, 0, &token);
	put(b, 2, 7, 50);
	put(b, 3, 7, 60);
	put(b, 4, 7, 60);
	put(b, 5, 7, 10);
	sched_broker_ack(b, 1, token, 0);
	assert_int_equal(take(b, SCHED_MASK_ALL, 0, &token), 4);
}

static void b08_ack_cancels_all_but_the_best(void **state)
{
	struct sched_broker *b = *state;
	struct sched_ticket cancelled[8], t;
	uint64_t token;

	put(b, 1, 7, 50);
	take(b, SCHED_MASK_ALL, 0, &token);
	put(b, 2, 7, 60);
	put(b, 3, 7, 50);
	put(b, 4, 7, 50);
	assert_int_equal(sched_broker_cancelled(b, cancelled, 8), 0);
	sched_broker_ack(b, 1, token, 0);
	assert_stats(b, 1, 0, 0, 0);
	assert_int_equal(sched_broker_cancelled(b, cancelled, 8), 2);
	assert_true(cancelled[0].eval + cancelled[1].eval == 3 + 4);
	assert_int_equal(sched_broker_dequeue(b, SCHED_MASK_ALL, 0, &t, &token), 0);
	assert_int_equal(t.eval, 2);
	// It must see what those would have seen that were cancelled for it.
	assert_int_equal(t.min_index, 4);
}

static void b08_pending_of_a_job_is_bounded(void **state)
{
	struct sched_broker *b = *state;
	struct sched_ticket cancelled[128];
	uint64_t token;

	put(b, 1, 7, 50);
	take(b, SCHED_MASK_ALL, 0, &token);
	for (uint64_t k = 2; k < 102; k++)
		put(b, k, 7, 50);
	assert_int_equal(sched_broker_stats(b).pending, sched_broker_defaults.pending_max);
	assert_int_equal(
		sched_broker_cancelled(b, cancelled, 128), 100 - sched_broker_defaults.pending_max);
	sched_broker_ack(b, 1, token, 0);
	assert_int_equal(take(b, SCHED_MASK_ALL, 0, &token), 101);
}

static void b09_types_take_turns(void **state)
{
	struct sched_broker *b = *state;
	uint32_t early = 0;
	uint64_t token;

	// A thousand of one type stand before a few of another.
	for (uint32_t k = 0; k < 1000; k++)
		put_type(b, 1 + k, k, 50, SCHED_TYPE_BATCH);
	for (uint32_t k = 0; k < 10; k++)
		put_type(b, 5000 + k, 2000 + k, 50, SCHED_TYPE_SERVICE);
	for (uint32_t k = 0; k < 20; k++)
		early += take(b, SCHED_MASK_ALL, 0, &token) >= 5000;
	assert_int_equal(early, 10);
}

static void b10_enqueue_wakes(void **state)
{
	struct sched_broker *b = *state;
	uint64_t token;

	// The host waits while has() is false; an enqueue, an ack or run() at next() make it true.
	assert_false(sched_broker_has(b, SCHED_MASK_ALL));
	put_type(b, 1, 7, 50, SCHED_TYPE_BATCH);
	assert_true(sched_broker_has(b, SCHED_MASK_ALL));
	assert_false(sched_broker_has(b, SCHED_MASK(SCHED_TYPE_SERVICE)));
	put_type(b, 2, 7, 50, SCHED_TYPE_BATCH);
	take(b, SCHED_MASK_ALL, 0, &token);
	assert_false(sched_broker_has(b, SCHED_MASK_ALL));
	sched_broker_ack(b, 1, token, 0);
	assert_true(sched_broker_has(b, SCHED_MASK_ALL));
}

static void b11_dequeue_of_nothing_tells_when(void **state)
{
	struct sched_broker *b = *state;
	struct sched_ticket t = ticket(1, 7, 50);
	uint64_t token;

	assert_int_equal(sched_broker_dequeue(b, SCHED_MASK_ALL, 0, &t, &token), -EAGAIN);
	assert_true(sched_broker_next(b) == NS_NEVER);
	t = ticket(1, 7, 50);
	t.wait_until = 5 * SEC;
	sched_broker_enqueue(b, &t, 0);
	assert_int_equal(sched_broker_dequeue(b, SCHED_MASK_ALL, 0, &t, &token), -EAGAIN);
	assert_true(sched_broker_next(b) == 5 * SEC);
}

static void b12_disabled_ignores_and_flushes(void **state)
{
	struct sched_broker *b = *state;
	struct sched_ticket t = ticket(4, 4, 50);
	uint64_t token;

	put(b, 1, 1, 50);
	put(b, 2, 1, 50);
	put(b, 3, 3, 50);
	take(b, SCHED_MASK_ALL, 0, &token);
	t.wait_until = 9 * SEC;
	sched_broker_enqueue(b, &t, 0);
	sched_broker_enable(b, false);
	assert_stats(b, 0, 0, 0, 0);
	assert_true(sched_broker_next(b) == NS_NEVER);
	assert_int_equal(sched_broker_ack(b, 1, token, 0), -ENOENT);
	put(b, 5, 5, 50);
	assert_stats(b, 0, 0, 0, 0);
	sched_broker_enable(b, true);
	assert_int_equal(take(b, SCHED_MASK_ALL, 0, &token), 0);
	put(b, 1, 1, 50);
	assert_int_equal(take(b, SCHED_MASK_ALL, 0, &token), 1);
}

static void b13_wrong_token_is_rejected(void **state)
{
	struct sched_broker *b = *state;
	uint64_t token;

	put(b, 1, 7, 50);
	assert_int_equal(sched_broker_ack(b, 1, 5, 0), -ENOENT);
	take(b, SCHED_MASK_ALL, 0, &token);
	assert_int_equal(sched_broker_ack(b, 1, token + 1, 0), -EPERM);
	assert_int_equal(sched_broker_nack(b, 1, token + 1, 0), -EPERM);
	assert_int_equal(sched_broker_touch(b, 1, token + 1, 0), -EPERM);
	assert_int_equal(sched_broker_pause(b, 1, token + 1, 0), -EPERM);
	assert_int_equal(sched_broker_resume(b, 1, token + 1, 0), -EPERM);
	assert_stats(b, 0, 1, 0, 0);
	assert_int_equal(sched_broker_ack(b, 1, token, 0), 0);
}

static void b14_nack_timeout_redelivers(void **state)
{
	struct sched_broker *b = *state;
	uint64_t token, second;

	put(b, 1, 7, 50);
	take(b, SCHED_MASK_ALL, 0, &token);
	assert_true(sched_broker_next(b) == 60 * SEC);
	sched_broker_run(b, 60 * SEC - 1);
	assert_stats(b, 0, 1, 0, 0);
	sched_broker_run(b, 60 * SEC);
	assert_stats(b, 0, 0, 0, 1);
	// The worker that was too slow has lost it.
	assert_int_equal(sched_broker_ack(b, 1, token, 60 * SEC), -ENOENT);
	assert_int_equal(take(b, SCHED_MASK_ALL, 61 * SEC, &second), 1);
	assert_int_equal(sched_broker_ack(b, 1, token, 61 * SEC), -EPERM);
	assert_int_equal(sched_broker_stats(b).timed_out, 1);
}

static void b15_touch_extends(void **state)
{
	struct sched_broker *b = *state;
	uint64_t token;

	put(b, 1, 7, 50);
	take(b, SCHED_MASK_ALL, 0, &token);
	assert_int_equal(sched_broker_touch(b, 1, token, 40 * SEC), 0);
	sched_broker_run(b, 99 * SEC);
	assert_true(sched_broker_outstanding(b, 1) == token);
	sched_broker_run(b, 100 * SEC);
	assert_int_equal(sched_broker_outstanding(b, 1), 0);
}

static void b16_pause_while_a_plan_waits(void **state)
{
	struct sched_broker *b = *state;
	uint64_t token;

	put(b, 1, 7, 50);
	take(b, SCHED_MASK_ALL, 0, &token);
	assert_int_equal(sched_broker_pause(b, 1, token, 50 * SEC), 0);
	assert_true(sched_broker_next(b) == NS_NEVER);
	sched_broker_run(b, 500 * SEC);
	assert_true(sched_broker_outstanding(b, 1) == token);
	assert_int_equal(sched_broker_resume(b, 1, token, 500 * SEC), 0);
	assert_true(sched_broker_next(b) == 510 * SEC);
	sched_broker_run(b, 510 * SEC);
	assert_int_equal(sched_broker_outstanding(b, 1), 0);
}

static void b17_nack_delays_compound(void **state)
{
	struct sched_broker_config config = sched_broker_defaults;
	const ns_t delays[] = {1 * SEC, 20 * SEC, 40 * SEC, 60 * SEC};
	struct sched_broker *b;
	uint64_t token;
	ns_t now = 0;

	config.delivery_limit = 10;
	b = sched_broker_new(&config, 1);
	sched_broker_enable(b, true);
	put(b, 1, 7, 50);
	for (size_t k = 0; k < 4; k++) {
		assert_int_equal(take(b, SCHED_MASK_ALL, now, &token), 1);
		sched_broker_nack(b, 1, token, now);
		assert_int_equal(take(b, SCHED_MASK_ALL, now + delays[k] - 1, &token), 0);
		now += delays[k];
	}
	assert_int_equal(take(b, SCHED_MASK_ALL, now, &token), 1);
	sched_broker_destroy(b);
}

static void b18_delivery_limit_leads_to_the_failed(void **state)
{
	struct sched_broker *b = *state;
	uint64_t token;
	ns_t now = 0;

	put(b, 1, 7, 50);
	for (int k = 0; k < 3; k++, now += 100 * SEC) {
		assert_int_equal(take(b, SCHED_MASK_ALL, now, &token), 1);
		assert_int_equal(sched_broker_nack(b, 1, token, now), 0);
	}
	assert_int_equal(take(b, SCHED_MASK_ALL, now, &token), 0);
	assert_int_equal(sched_broker_stats(b).failed, 1);
	assert_int_equal(sched_broker_stats(b).gave_up, 1);
	assert_int_equal(take(b, SCHED_MASK(SCHED_TYPE_FAILED), now, &token), 1);
	assert_int_equal(sched_broker_ack(b, 1, token, now), 0);
	assert_stats(b, 0, 0, 0, 0);
}

static void b19_ack_at_the_limit(void **state)
{
	struct sched_broker *b = *state;
	uint64_t token;

	put(b, 1, 7, 50);
	for (int k = 0; k < 2; k++) {
		take(b, SCHED_MASK_ALL, k * 100 * SEC, &token);
		sched_broker_nack(b, 1, token, k * 100 * SEC);
	}
	assert_int_equal(take(b, SCHED_MASK_ALL, 300 * SEC, &token), 1);
	assert_int_equal(sched_broker_ack(b, 1, token, 300 * SEC), 0);
	assert_int_equal(sched_broker_stats(b).failed, 0);
	assert_stats(b, 0, 0, 0, 0);
}

static void b21_wait_until(void **state)
{
	struct sched_broker *b = *state;
	struct sched_ticket t = ticket(1, 7, 50);
	uint64_t token;

	t.wait_until = 30 * SEC;
	sched_broker_enqueue(b, &t, 0);
	assert_stats(b, 0, 0, 0, 1);
	// It holds nothing up meanwhile, not even its own job.
	put(b, 2, 7, 50);
	assert_int_equal(take(b, SCHED_MASK_ALL, 0, &token), 2);
	sched_broker_ack(b, 2, token, 0);
	assert_int_equal(take(b, SCHED_MASK_ALL, 30 * SEC - 1, &token), 0);
	assert_int_equal(take(b, SCHED_MASK_ALL, 30 * SEC, &token), 1);
	// A time that has passed is none.
	t = ticket(3, 8, 50);
	t.wait_until = 10 * SEC;
	sched_broker_enqueue(b, &t, 30 * SEC);
	assert_int_equal(take(b, SCHED_MASK_ALL, 30 * SEC, &token), 3);
}

static void b21_waiting_for_one_cause_is_merged(void **state)
{
	struct sched_broker *b = *state;
	struct sched_ticket t, cancelled[4];
	uint64_t token;

	for (uint64_t k = 1; k <= 3; k++) {
		t = ticket(k, 7, 50);
		t.trigger = SCHED_RESCHEDULE;
		t.wait_until = k == 2 ? 10 * SEC : 20 * SEC;
		sched_broker_enqueue(b, &t, 0);
	}
	assert_stats(b, 0, 0, 0, 1);
	assert_int_equal(sched_broker_cancelled(b, cancelled, 4), 2);
	assert_int_equal(take(b, SCHED_MASK_ALL, 10 * SEC, &token), 2);
}

static void b22_enqueue_all(void **state)
{
	struct sched_broker *b = *state;
	struct sched_ticket t[] = {
		ticket(1, 1, 10), ticket(2, 2, 90), ticket(3, 3, 50), ticket(2, 2, 90)};
	uint64_t token;

	assert_int_equal(sched_broker_enqueue_all(b, t, 4, 0), 0);
	assert_stats(b, 3, 0, 0, 0);
	assert_int_equal(take(b, SCHED_MASK_ALL, 0, &token), 2);
	assert_int_equal(take(b, SCHED_MASK_ALL, 0, &token), 3);
	assert_int_equal(take(b, SCHED_MASK_ALL, 0, &token), 1);
}

static void b23_requeue_with_token(void **state)
{
	struct sched_broker *b = *state;
	struct sched_ticket t = ticket(1, 7, 50);
	uint64_t token;

	put(b, 1, 7, 50);
	take(b, SCHED_MASK_ALL, 0, &token);
	assert_int_equal(sched_broker_requeue(b, &t, token, 0), 0);
	assert_stats(b, 0, 1, 0, 0);
	assert_int_equal(sched_broker_ack(b, 1, token, 0), 0);
	assert_stats(b, 1, 0, 0, 0);
	// A nack drops it: the evaluation comes again by itself.
	assert_int_equal(take(b, SCHED_MASK_ALL, 0, &token), 1);
	sched_broker_requeue(b, &t, token, 0);
	sched_broker_nack(b, 1, token, 0);
	assert_int_equal(take(b, SCHED_MASK_ALL, 1 * SEC, &token), 1);
	assert_int_equal(sched_broker_ack(b, 1, token, 1 * SEC), 0);
	assert_stats(b, 0, 0, 0, 0);
	// With nobody working on it it is enqueued; under another token nothing happens.
	sched_broker_requeue(b, &t, 77, 0);
	assert_stats(b, 1, 0, 0, 0);
	take(b, SCHED_MASK_ALL, 0, &token);
	sched_broker_requeue(b, &t, token + 1, 0);
	sched_broker_ack(b, 1, token, 0);
	assert_stats(b, 0, 0, 0, 0);
}

// Behaviour 59: what comes after a commit is worked on with a view that has it.
static void b59_delivered_after_a_change_of_the_job(void **state)
{
	struct sched_broker *b = *state;
	struct sched_ticket t;
	uint64_t token;

	put(b, 1, 7, 50);
	put(b, 2, 7, 50);
	put(b, 3, 8, 50);
	assert_int_equal(sched_broker_dequeue(b, SCHED_MASK_ALL, 0, &t, &token), 0);
	assert_int_equal(t.min_index, 1);
	sched_broker_changed(b, 7, 40);
	sched_broker_changed(b, 7, 39);
	sched_broker_ack(b, 1, token, 0);
	assert_int_equal(sched_broker_dequeue(b, SCHED_MASK_ALL, 0, &t, &token), 0);
	assert_int_equal(t.eval, 3);
	assert_int_equal(t.min_index, 3);
	assert_int_equal(sched_broker_dequeue(b, SCHED_MASK_ALL, 0, &t, &token), 0);
	assert_int_equal(t.eval, 2);
	assert_int_equal(t.min_index, 40);
}

static void covers_spares_an_evaluation(void **state)
{
	struct sched_broker *b = *state;
	struct sched_ticket t;
	uint64_t token;

	assert_false(sched_broker_covers(b, 7, SCHED_NONE, 50, 9));
	put(b, 1, 7, 50);
	assert_true(sched_broker_covers(b, 7, SCHED_NONE, 50, 9));
	assert_false(sched_broker_covers(b, 7, SCHED_NONE, 51, 9));
	assert_int_equal(sched_broker_dequeue(b, SCHED_MASK_ALL, 0, &t, &token), 0);
	assert_int_equal(t.min_index, 9);
	// One that is being worked on may have looked already.
	assert_false(sched_broker_covers(b, 7, SCHED_NONE, 50, 10));
	put(b, 2, 7, 50);
	assert_true(sched_broker_covers(b, 7, SCHED_NONE, 50, 11));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(b01_enqueue_dequeue_nack_ack),
		TEST(b02_duplicate_is_ignored),
		TEST(b03_one_of_a_job_in_flight),
		TEST(b04_other_jobs_in_parallel),
		TEST(b05_highest_priority_first_across_types),
		TEST(b06_fifo_at_equal_priority),
		TEST(b07_pending_by_priority_then_newest),
		TEST(b08_ack_cancels_all_but_the_best),
		TEST(b08_pending_of_a_job_is_bounded),
		TEST(b09_types_take_turns),
		TEST(b10_enqueue_wakes),
		TEST(b11_dequeue_of_nothing_tells_when),
		TEST(b12_disabled_ignores_and_flushes),
		TEST(b13_wrong_token_is_rejected),
		TEST(b14_nack_timeout_redelivers),
		TEST(b15_touch_extends),
		TEST(b16_pause_while_a_plan_waits),
		TEST(b17_nack_delays_compound),
		TEST(b18_delivery_limit_leads_to_the_failed),
		TEST(b19_ack_at_the_limit),
		TEST(b21_wait_until),
		TEST(b21_waiting_for_one_cause_is_merged),
		TEST(b22_enqueue_all),
		TEST(b23_requeue_with_token),
		TEST(b59_delivered_after_a_change_of_the_job),
		TEST(covers_spares_an_evaluation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
