// SPDX-License-Identifier: Apache-2.0
// Memory that runs out at each place in turn: what the broker promises of many at once (behaviour
// 22), and that a worker's error gives its work back (60).
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "test/unit/sched_world.h"

// ---- the allocator: linked with --wrap ----

static int left = -1; // allocations until one fails; -1: none does
static bool failed;

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

static bool fails(void)
{
	failed |= left == 0;
	return left >= 0 && left-- == 0;
}

void *__wrap_malloc(size_t n)
{
	return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
	return fails() ? NULL : __real_realloc(p, n);
}

static void fail_at(int n)
{
	left = n;
	failed = false;
}

// ---- the broker ----

#define MANY 3000 // more than it has room for at first

static void b22_all_or_none(void **state)
{
	static struct sched_ticket t[MANY];
	int n = 0;

	for (uint32_t k = 0; k < MANY; k++)
		t[k] = (struct sched_ticket){
			.eval = 1 + k, .job = k / 2, .node = SCHED_NONE, .priority = 50};
	do {
		struct sched_broker *b = sched_broker_new(NULL, 1);
		struct sched_broker_stats s;
		int rc;

		sched_broker_enable(b, true);
		fail_at(n++);
		rc = sched_broker_enqueue_all(b, t, MANY, 0);
		left = -1;
		s = sched_broker_stats(b);
		assert_int_equal(rc, failed ? -ENOMEM : 0);
		assert_int_equal(s.ready + s.pending, failed ? 0 : MANY);
		assert_int_equal(sched_broker_has(b, SCHED_MASK_ALL), !failed);
		// With memory it goes, whatever happened before.
		assert_int_equal(sched_broker_enqueue_all(b, t, MANY, 0), 0);
		s = sched_broker_stats(b);
		assert_int_equal(s.ready, MANY / 2);
		sched_broker_destroy(b);
		assert_true(n < 1000);
	} while (failed);
	assert_true(n > 2);
}

// ---- a worker ----

// As a host does it: an error that is not "again" is a nack.
static int attempt(struct world *w, const struct sched_ticket *t, uint64_t token)
{
	struct sched_plan *plan;
	int rc = sched_worker_plan(
		w->worker, sched_snapshot_pin(w->reader, w->core->state), w->now, &plan);

	sched_reader_unpin(w->reader);
	if (!rc) {
		assert_int_equal(sched_core_submit(w->core, plan, w->now), 0);
		sched_core_apply(w->core, 1, w->now);
		assert_ptr_equal(sched_core_result(w->core), plan);
		rc = sched_worker_result(w->worker);
	}
	if (rc)
		sched_core_nack(w->core, t, token, w->now);
	return rc;
}

static void b60_an_error_nacks(void **state)
{
	uint32_t errors = 0;
	int n = 0;

	do {
		struct sched_ticket t, again;
		uint64_t token;
		struct world w;
		uint32_t job;
		int rc;

		world_init(&w);
		world_node(&w, "n", 10000, 10000);
		job = world_job(&w, "j", 40);
		assert_int_equal(sched_core_dequeue(w.core, SCHED_MASK_ALL, w.now, &t, &token), 0);
		sched_worker_begin(w.worker, &t, token);
		fail_at(n++);
		rc = attempt(&w, &t, token);
		left = -1;
		// If it ran out for the log alone, all was done: a host begins anew then.
		if (rc && !world_evals(&w, job, SCHED_EVAL_PENDING)) {
			assert_int_equal(world_live(&w, job), 40);
			assert_true(w.core->state->log.incomplete);
		} else if (rc) {
			assert_int_equal(rc, -ENOMEM);
			errors++;
			// It is not lost: after a while it comes again, under another token.
			assert_int_equal(
				sched_core_dequeue(w.core, SCHED_MASK_ALL, w.now, &again, &token),
				-EAGAIN);
			w.now += NS_PER_SEC;
			sched_core_tick(w.core, w.now);
			// Hosts publish what was not; here that may be what failed.
			sched_publish(w.core->state);
			assert_int_equal(
				sched_core_dequeue(w.core, SCHED_MASK_ALL, w.now, &again, &token),
				0);
			assert_int_equal(again.eval, t.eval);
			sched_worker_begin(w.worker, &again, token);
			assert_int_equal(attempt(&w, &again, token), 0);
		}
		world_settle(&w);
		assert_int_equal(world_live(&w, job), 40);
		world_fini(&w);
		assert_true(n < 1000);
	} while (failed);
	assert_true(errors > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(b22_all_or_none),
		cmocka_unit_test(b60_an_error_nacks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
