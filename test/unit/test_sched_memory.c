// SPDX-License-Identifier: Apache-2.0
// Memory that runs out at each place in turn: what the broker promises of many at once (behaviour
// 22), that a worker's error gives its work back (60), that a job is put whole or not at all, and
// that no launch is lost (91).
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "sched/block.h"
#include "sched/names.h"
#include "test/unit/launch_world.h"

// ---- the allocator: linked with --wrap ----

static int left = -1; // allocations until one fails; -1: none does
static bool failed;
static bool pages_too;

void *__real_aligned_alloc(size_t align, size_t n);
void *__wrap_aligned_alloc(size_t align, size_t n);
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

// Of tables.
void *__wrap_aligned_alloc(size_t align, size_t n)
{
	return pages_too && fails() ? NULL : __real_aligned_alloc(align, n);
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

// ---- jobs ----

// The n-th allocation fails; -1: none does.
static int put_spec(struct sched_state *st, uint32_t slot, const struct sched_spec *spec, int n)
{
	struct sched_change c = {.type = SCHED_JOB_PUT_SPEC, .slot = slot};
	int rc;

	c.job.spec = sched_spec_copy(spec);
	assert_non_null(c.job.spec);
	fail_at(n);
	sched_txn_begin(st);
	rc = sched_txn_change(st, &c);
	sched_txn_end(st);
	left = -1;
	return rc;
}

// So many jobs, not counting the first one, that the next one finds the map of names full, or the
// list of those with one a node.
#define BEFORE 48
#define SIBLING 47 // on another page than its parent and the next one

static void fill(struct sched_state *st, struct sched_spec *spec)
{
	struct sched_launch launch = {.templated = true};
	struct sched_spec child = *spec;

	spec->name = "parent";
	spec->launch = &launch;
	assert_int_equal(put_spec(st, 0, spec, -1), 0);
	spec->launch = NULL;
	child.name = "parent-1";
	child.parent = "parent";
	child.token = "first";
	assert_int_equal(put_spec(st, SIBLING, &child, -1), 0);
	for (uint32_t k = 0; k < BEFORE - 2; k++) {
		char name[16];

		snprintf(name, sizeof(name), "j%u", k);
		spec->name = name;
		spec->type = k < 16 ? SCHED_TYPE_SYSTEM : SCHED_TYPE_BATCH;
		assert_int_equal(put_spec(st, k + 1, spec, -1), 0);
	}
}

#define PAGES 12 // more than any of them writes

enum put { NEW, NEW_ONE_A_NODE, NEW_CHILD, VERSION, VERSION_ONE_A_NODE, PUTS };

// The spec of each case; its slot.
static uint32_t spec_for(enum put put, struct sched_spec *spec)
{
	spec->name = put < VERSION ? "new" : "j40";
	spec->version = put < VERSION ? 1 : 2;
	spec->type = put == NEW_ONE_A_NODE || put == VERSION_ONE_A_NODE ? SCHED_TYPE_SYSTEM
									: SCHED_TYPE_BATCH;
	spec->parent = put == NEW_CHILD ? "parent" : NULL;
	spec->token = put == NEW_CHILD ? "second" : NULL;
	return put < VERSION ? BEFORE : 41;
}

// Each pool has so many free pages left, so that taking one more is an allocation.
static void keep_pages(struct sched_pages *pages, uint32_t keep)
{
	for (uint32_t i = 0; i < pages->pool_count; i++) {
		void **at = &pages->pools[i].free;

		for (uint32_t k = 0; k < keep && *at; k++)
			at = *at;
		*at = NULL;
	}
}

// One attempt, at which the n-th allocation fails. True: none did.
static bool put_without(enum put put, uint32_t pages, int n)
{
	struct sched_state *st = sched_state_new();
	struct sched_group group = {.name = "main", .count = 1};
	struct sched_spec spec = {.namespace = "default",
		.type = SCHED_TYPE_BATCH,
		.groups = &group,
		.group_count = 1,
		.version = 1};
	uint64_t before;
	uint32_t slot, listed;
	bool out;
	int rc;

	fill(st, &spec);
	slot = spec_for(put, &spec);
	// So that each page must be copied.
	sched_publish(st);
	before = sched_state_hash(&st->head);
	listed = st->system_jobs.count;
	keep_pages(&st->pages, pages);
	rc = put_spec(st, slot, &spec, n);
	out = failed;
	if (rc) {
		assert_int_equal(rc, -ENOMEM);
		assert_true(sched_state_hash(&st->head) == before);
		assert_int_equal(st->system_jobs.count, listed);
		if (put < VERSION) {
			assert_int_equal(sched_job_find(st, "default", "new"), SCHED_NONE);
			assert_int_equal(
				sched_names_find_text(&st->head, "default/new"), SCHED_NONE);
			assert_int_equal(st->head.counts[SCHED_TABLE_JOBS], BEFORE);
		}
		assert_int_equal(put_spec(st, slot, &spec, -1), 0);
	}
	assert_int_equal(sched_job_find(st, "default", spec.name), slot);
	assert_int_equal(
		sched_names_find_text(&st->head, "default/new"), put < VERSION ? slot : SCHED_NONE);
	assert_int_equal(st->system_jobs.count, listed + (spec.type == SCHED_TYPE_SYSTEM));
	assert_int_equal(sched_job_at(&st->head, 0)->children, 1 + (put == NEW_CHILD));
	assert_int_equal(sched_job_at(&st->head, SIBLING)->previous_child,
		put == NEW_CHILD ? slot : SCHED_NONE);
	sched_state_destroy(st);
	return !out;
}

static void a_job_is_put_whole_or_not_at_all(void **state)
{
	(void)state;
	pages_too = true;
	for (uint32_t k = 0; k < PUTS * PAGES; k++) {
		int n = 0;

		while (!put_without((enum put)(k / PAGES), k % PAGES, n))
			assert_true(n++ < 1000);
		assert_true(n > 0);
	}
	pages_too = false;
}

// ---- launches ----

// One attempt, as above. What a launch comes to is there, whatever failed.
static bool launch_without(uint32_t pages, int n)
{
	struct launches l;
	uint32_t parent, child;
	bool out;

	launches_init(&l);
	l.launch.cron = "*/5 * * * *";
	parent = launches_put(&l, "j", 1);
	l.w.now = 1200 * NS_PER_SEC;
	free(l.w.core->made);
	l.w.core->made = NULL;
	l.w.core->made_room = 0;
	keep_pages(&l.w.core->state->pages, pages);
	fail_at(n);
	sched_core_tick(l.w.core, l.w.now);
	out = failed;
	left = -1;
	// As in b60.
	sched_publish(l.w.core->state);
	launches_at(&l, 1230 * NS_PER_SEC);
	child = launches_child(&l, "j-1200");
	assert_int_not_equal(child, SCHED_NONE);
	assert_int_equal(launches_job(&l, parent)->children, 1);
	assert_int_equal(world_live(&l.w, child), 1);
	launches_fini(&l);
	return !out;
}

static void b91_no_launch_is_lost(void **state)
{
	(void)state;
	pages_too = true;
	for (uint32_t pages = 0; pages < PAGES; pages++) {
		int n = 0;

		while (!launch_without(pages, n))
			assert_true(n++ < 1000);
		assert_true(n > 2);
	}
	pages_too = false;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(b22_all_or_none),
		cmocka_unit_test(b60_an_error_nacks),
		cmocka_unit_test(a_job_is_put_whole_or_not_at_all),
		cmocka_unit_test(b91_no_launch_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
