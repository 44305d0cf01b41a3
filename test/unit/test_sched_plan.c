// SPDX-License-Identifier: Apache-2.0
// Plan queue and applier, with plans written by hand: behaviours 38 to 50, 55, 58.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "test/unit/sched_world.h"

// ---- the queue ----

static void b38_priority_then_fifo(void **state)
{
	struct sched_plan plans[6] = {{.priority = 10}, {.priority = 100}, {.priority = 50},
		{.priority = 100}, {.priority = 0}, {.priority = 50}};
	const int order[] = {1, 3, 2, 5, 0, 4};
	struct sched_plan_queue q;

	sched_plan_queue_init(&q);
	assert_int_equal(sched_plan_queue_put(&q, &plans[0]), -ECANCELED);
	sched_plan_queue_enable(&q);
	for (int k = 0; k < 6; k++)
		assert_int_equal(sched_plan_queue_put(&q, &plans[k]), 0);
	for (int k = 0; k < 6; k++)
		assert_ptr_equal(sched_plan_queue_take(&q), &plans[order[k]]);
	assert_null(sched_plan_queue_take(&q));
}

static void b39_disable_errors_all(void **state)
{
	struct sched_plan plans[3] = {{.priority = 10}, {.priority = 100}, {.priority = 50}};
	struct sched_plan_queue q;
	struct list out;
	int n = 0;

	list_init(&out);
	sched_plan_queue_init(&q);
	sched_plan_queue_enable(&q);
	for (int k = 0; k < 3; k++)
		sched_plan_queue_put(&q, &plans[k]);
	sched_plan_queue_disable(&q, &out);
	list_for_each (at, &out) {
		assert_int_equal(list_entry(at, struct sched_plan, link)->error, -ECANCELED);
		n++;
	}
	assert_int_equal(n, 3);
	assert_null(sched_plan_queue_take(&q));
	assert_int_equal(sched_plan_queue_put(&q, &plans[0]), -ECANCELED);
}

// ---- the applier ----

// A plan for a job whose evaluation is pending; places are filled by the caller.
struct hand {
	struct sched_plan plan;
	struct sched_plan_place places[8];
	struct sched_plan_stop stops[8];
	struct sched_plan_update updates[8];
};

static void hand_plan(struct world *w, struct hand *h, uint32_t job)
{
	const struct sched_snapshot *s = world_head(w);
	const struct sched_job *j = sched_job_at(s, job);

	memset(h, 0, sizeof(*h));
	h->plan = (struct sched_plan){.snapshot_index = s->index,
		.job_create_index = j->create_index,
		.nonce = 7,
		.now = w->now,
		.job = job,
		.version = sched_job_spec(j)->version,
		.priority = j->priority,
		.places = h->places,
		.stops = h->stops,
		.updates = h->updates};
	for (uint32_t k = 0; k < s->tables[SCHED_TABLE_EVALS].high; k++) {
		const struct sched_eval *e = sched_eval_at(s, k);

		if (e && e->job == job && e->status == SCHED_EVAL_PENDING)
			h->plan.done = *e;
	}
	h->plan.done.status = SCHED_EVAL_COMPLETE;
	for (uint32_t k = 0; k < 8; k++)
		h->places[k] = (struct sched_plan_place){.name_index = k, .previous = SCHED_NONE};
}

static void on(struct hand *h, uint32_t node)
{
	h->places[h->plan.place_count++].node = node;
}

static void off(struct hand *h, const struct sched_instance *i)
{
	h->stops[h->plan.stop_count++] =
		(struct sched_plan_stop){.id = i->id, .desired = SCHED_STOP};
}

static void apply(struct world *w, struct hand *h)
{
	sched_applier_apply(w->core->applier, &h->plan);
	assert_int_equal(h->plan.error, 0);
}

static void b40_all_fit(void **state)
{
	struct world *w = *state;
	uint32_t a = world_node(w, "a", 200, 200), b = world_node(w, "b", 100, 100);
	uint32_t job = world_job(w, "j", 3);
	uint64_t before = world_head(w)->index;
	struct hand h;

	hand_plan(w, &h, job);
	on(&h, a);
	on(&h, a);
	on(&h, b);
	apply(w, &h);
	assert_true(h.plan.full);
	assert_int_equal(h.plan.placed, 3);
	assert_int_equal(h.plan.index, before + 1);
	assert_int_equal(world_head(w)->index, before + 1);
	assert_int_equal(world_live_on(w, job, a), 2);
	assert_int_equal(world_evals(w, job, SCHED_EVAL_COMPLETE), 1);
	assert_int_equal(world_named(w, job, 1)->create_index, before + 1);
}

static void b41_partial_commit(void **state)
{
	struct world *w = *state;
	uint32_t a = world_node(w, "a", 100, 1000), b = world_node(w, "b", 1000, 1000);
	uint32_t job = world_job(w, "j", 4);
	struct hand h;

	hand_plan(w, &h, job);
	on(&h, a);
	on(&h, b);
	on(&h, a);
	on(&h, b);
	apply(w, &h);
	assert_false(h.plan.full);
	assert_int_equal(h.plan.placed, 2);
	assert_int_equal(h.plan.rejected_nodes, 1);
	assert_int_equal(h.plan.rejected[0], a);
	assert_true(h.plan.refresh_index >= h.plan.index);
	assert_int_equal(world_live_on(w, job, a), 0);
	assert_int_equal(world_live_on(w, job, b), 2);
	// The evaluation goes on.
	assert_int_equal(world_evals(w, job, SCHED_EVAL_PENDING), 1);
}

static void b42_all_at_once(void **state)
{
	struct world *w = *state;
	uint32_t a = world_node(w, "a", 100, 1000), b = world_node(w, "b", 1000, 1000);
	uint32_t job = world_job(w, "j", 3);
	uint64_t index = world_head(w)->index;
	struct hand h;

	hand_plan(w, &h, job);
	h.plan.all_at_once = true;
	on(&h, b);
	on(&h, a);
	on(&h, a);
	apply(w, &h);
	assert_false(h.plan.full);
	assert_int_equal(h.plan.placed, 0);
	assert_int_equal(world_live(w, job), 0);
	assert_int_equal(world_head(w)->index, index);
	assert_true(h.plan.refresh_index >= index);
}

// The same through a worker: nothing of a job that does not fit as a whole is placed.
static void b42_all_at_once_job(void **state)
{
	struct world *w = *state;
	uint32_t job;

	world_node(w, "a", 500, 1000);
	w->spec.all_at_once = true;
	job = world_job(w, "j", 6);
	world_settle(w);
	assert_int_equal(world_live(w, job), 0);
	assert_int_equal(world_evals(w, job, SCHED_EVAL_BLOCKED), 1);
	world_node(w, "b", 100, 1000);
	world_settle(w);
	assert_int_equal(world_live(w, job), 6);
}

static void b43_evict_only_always_fits(void **state)
{
	struct world *w = *state;
	uint32_t a = world_node(w, "a", 200, 200), job = world_job(w, "j", 2);
	struct sched_res smaller = {50, 50, UINT32_MAX, UINT32_MAX};
	struct hand h;
	uint32_t slot;

	world_settle(w);
	// On a node that is down and too small for what is left.
	sched_core_node_put(w->core, "a", NULL, 0, &smaller, &slot);
	sched_core_evaluate(w->core, job, SCHED_JOB_PUT, w->now);
	world_node_status(w, a, SCHED_NODE_DOWN);
	hand_plan(w, &h, job);
	off(&h, world_named(w, job, 0));
	apply(w, &h);
	assert_true(h.plan.full);
	assert_int_equal(h.plan.stopped, 1);
	assert_int_equal(world_live(w, job), 1);
}

static void b44_missing_node(void **state)
{
	struct world *w = *state;
	uint32_t a = world_node(w, "a", 1000, 1000), job = world_job(w, "j", 2);
	struct hand h;

	hand_plan(w, &h, job);
	on(&h, a);
	on(&h, a + 3);
	apply(w, &h);
	assert_false(h.plan.full);
	assert_int_equal(h.plan.placed, 1);
	assert_int_equal(h.plan.rejected_nodes, 1);
}

static void b45_not_ready_or_draining(void **state)
{
	struct world *w = *state;
	uint32_t a = world_node(w, "a", 1000, 1000), b = world_node(w, "b", 1000, 1000);
	uint32_t c = world_node(w, "c", 1000, 1000), d = world_node(w, "d", 1000, 1000);
	uint32_t job = world_job(w, "j", 4);
	struct hand h;

	world_node_status(w, a, SCHED_NODE_DOWN);
	world_drain(w, b);
	world_node_status(w, d, SCHED_NODE_INIT);
	hand_plan(w, &h, job);
	on(&h, a);
	on(&h, b);
	on(&h, c);
	on(&h, d);
	apply(w, &h);
	assert_int_equal(h.plan.placed, 1);
	assert_int_equal(h.plan.rejected_nodes, 3);
	assert_int_equal(world_live_on(w, job, c), 1);
}

static void b47_ineligible_takes_in_place_only(void **state)
{
	struct world *w = *state;
	uint32_t a = world_node(w, "a", 1000, 1000), job = world_job(w, "j", 1);
	struct hand h;

	world_settle(w);
	sched_core_node_state(w->core, a, SCHED_NODE_READY, false, false, w->now);
	sched_core_evaluate(w->core, job, SCHED_JOB_PUT, w->now);
	hand_plan(w, &h, job);
	on(&h, a);
	apply(w, &h);
	assert_int_equal(h.plan.placed, 0);
	hand_plan(w, &h, job);
	h.updates[h.plan.update_count++] =
		(struct sched_plan_update){world_named(w, job, 0)->id, 1, {100, 200, 0, 1}};
	apply(w, &h);
	assert_true(h.plan.full);
	assert_int_equal(world_named(w, job, 0)->ask.memory_mib, 200);
}

static void b48_full_node(void **state)
{
	struct world *w = *state;
	uint32_t a = world_node(w, "a", 100, 1000), first = world_job(w, "first", 1), job;
	struct hand h;

	world_settle(w);
	assert_int_equal(world_live_on(w, first, a), 1);
	job = world_job(w, "j", 1);
	hand_plan(w, &h, job);
	on(&h, a);
	apply(w, &h);
	assert_int_equal(h.plan.placed, 0);
	assert_int_equal(h.plan.rejected[0], a);
}

// Two asks whose sum does not fit 32 bits.
static void b48_huge_asks(void **state)
{
	struct world *w = *state;
	uint32_t a = world_node(w, "a", 1000, 1000), job;
	struct hand h;

	w->group.ask.cpu_milli = 1u << 31;
	job = world_job(w, "j", 2);
	hand_plan(w, &h, job);
	on(&h, a);
	on(&h, a);
	apply(w, &h);
	assert_int_equal(h.plan.placed, 0);
	assert_int_equal(sched_node_at(world_head(w), a)->used.cpu_milli, 0);
}

static void b49_full_plus_evict_fits(void **state)
{
	struct world *w = *state;
	uint32_t a = world_node(w, "a", 100, 1000), job = world_job(w, "j", 1);
	struct hand h;

	world_settle(w);
	sched_core_evaluate(w->core, job, SCHED_JOB_PUT, w->now);
	hand_plan(w, &h, job);
	off(&h, world_named(w, job, 0));
	on(&h, a);
	apply(w, &h);
	assert_true(h.plan.full);
	assert_int_equal(world_live_on(w, job, a), 1);
	assert_int_equal(sched_node_at(world_head(w), a)->used.cpu_milli, 100);
	assert_int_equal(sched_node_at(world_head(w), a)->holding, 1);
}

static void b50_in_place_counts_once(void **state)
{
	struct world *w = *state;
	uint32_t a, job;
	struct hand h;

	w->group.ask.cpu_milli = 700;
	a = world_node(w, "a", 1000, 1000);
	job = world_job(w, "j", 1);
	world_settle(w);
	sched_core_evaluate(w->core, job, SCHED_JOB_PUT, w->now);
	hand_plan(w, &h, job);
	h.updates[h.plan.update_count++] =
		(struct sched_plan_update){world_named(w, job, 0)->id, 1, {900, 100, 0, 1}};
	apply(w, &h);
	assert_true(h.plan.full);
	assert_int_equal(sched_node_at(world_head(w), a)->used.cpu_milli, 900);
	world_run(w);
	sched_core_evaluate(w->core, job, SCHED_JOB_PUT, w->now);
	hand_plan(w, &h, job);
	h.updates[h.plan.update_count++] =
		(struct sched_plan_update){world_named(w, job, 0)->id, 1, {1001, 100, 0, 1}};
	apply(w, &h);
	assert_false(h.plan.full);
	assert_int_equal(sched_node_at(world_head(w), a)->used.cpu_milli, 900);
}

// What a node that is rejected would have given back is not there.
static void b54_the_rest_of_a_plan_over_quota(void **state)
{
	struct world *w = *state;
	const struct sched_res limit = {200, UINT32_MAX, UINT32_MAX, UINT32_MAX};
	uint32_t a = world_node(w, "a", 200, 200), b, job;
	struct hand h;

	job = world_job(w, "j", 2);
	world_settle(w);
	b = world_node(w, "b", 200, 200);
	assert_int_equal(sched_core_quota_put(w->core, "default", &limit, w->now), 0);
	assert_int_equal(sched_core_evaluate(w->core, job, SCHED_JOB_PUT, w->now), 0);
	hand_plan(w, &h, job);
	off(&h, world_named(w, job, 0));
	off(&h, world_named(w, job, 1));
	on(&h, a);
	on(&h, b);
	world_drain(w, a);
	apply(w, &h);
	assert_int_equal(h.plan.placed, 0);
	assert_int_equal(h.plan.stopped, 0);
	assert_false(h.plan.full);
	assert_true(h.plan.refresh_index > 0);
	assert_int_equal(sched_quota_at(world_head(w), 0)->used.cpu_milli, 200);
}

// A stop in the log is a few bytes, whatever the instance has.
static void b55_stops_are_differences(void **state)
{
	struct world *w = *state;
	struct sched_bytes log = {0};
	uint32_t job;
	struct hand h;

	world_node(w, "a", 1000, 1000);
	job = world_job(w, "j", 8);
	world_settle(w);
	sched_core_evaluate(w->core, job, SCHED_JOB_PUT, w->now);
	hand_plan(w, &h, job);
	for (uint32_t k = 0; k < 8; k++)
		off(&h, world_named(w, job, k));
	sched_log_take(w->core, &log);
	apply(w, &h);
	assert_int_equal(h.plan.stopped, 8);
	sched_log_take(w->core, &log);
	assert_true(log.len < 8 * 4 + 120);
	sched_bytes_fini(&log);
}

// Plans applied one behind the other before anything is published give what they give one by one.
static void b56_pipelined_equals_serial(void **state)
{
	uint64_t hashes[2];

	for (int pipelined = 0; pipelined < 2; pipelined++) {
		struct world w;
		struct hand h[4];

		world_init(&w);
		world_node(&w, "a", 250, 1000);
		world_node(&w, "b", 250, 1000);
		for (int k = 0; k < 4; k++) {
			uint32_t job = world_job(&w, (const char *[]){"j", "k", "l", "m"}[k], 2);

			hand_plan(&w, &h[k], job);
			on(&h[k], 0);
			on(&h[k], (uint32_t)k & 1);
		}
		for (int k = 0; k < 4; k++) {
			apply(&w, &h[k]);
			if (!pipelined)
				sched_publish(w.core->state);
		}
		assert_int_equal(h[0].plan.placed, 2);
		assert_int_equal(h[1].plan.placed, 1);
		assert_int_equal(h[2].plan.placed, 0);
		assert_int_equal(h[3].plan.placed, 1);
		hashes[pipelined] = sched_state_hash(world_head(&w));
		world_fini(&w);
	}
	assert_true(hashes[0] == hashes[1]);
}

static void b58_a_node_that_keeps_rejecting(void **state)
{
	struct world *w = *state;
	uint32_t a = world_node(w, "a", 100, 100), job = world_job(w, "j", 8);
	struct hand h;

	// The snapshot shows no reason: somebody's record is wrong.
	for (int k = 0; k < 99; k++) {
		hand_plan(w, &h, job);
		on(&h, a);
		on(&h, a);
		apply(w, &h);
		assert_false(h.plan.full);
	}
	assert_true(sched_node_at(world_head(w), a)->eligible);
	hand_plan(w, &h, job);
	on(&h, a);
	on(&h, a);
	apply(w, &h);
	assert_false(sched_node_at(world_head(w), a)->eligible);
	assert_int_equal(sched_applier_stats(w->core->applier).made_ineligible, 1);
}

static void b58_not_for_a_stale_snapshot(void **state)
{
	struct world *w = *state;
	uint32_t a = world_node(w, "a", 100, 100), job = world_job(w, "j", 8);
	struct hand h;

	for (int k = 0; k < 200; k++) {
		hand_plan(w, &h, job);
		// The node changes behind the worker's back.
		sched_core_node_state(w->core, a,
			k & 1 ? SCHED_NODE_READY : SCHED_NODE_DISCONNECTED, true, false, w->now);
		on(&h, a);
		on(&h, a);
		apply(w, &h);
	}
	assert_true(sched_node_at(world_head(w), a)->eligible);
	assert_int_equal(sched_applier_stats(w->core->applier).unexplained, 0);
}

static void plans_for_what_has_changed_are_refused(void **state)
{
	struct world *w = *state;
	uint32_t a = world_node(w, "a", 1000, 1000), job = world_job(w, "j", 2);
	struct hand h;

	// Another version of the job: plan again.
	hand_plan(w, &h, job);
	on(&h, a);
	w->group.restart_hash = 2;
	world_job(w, "j", 2);
	apply(w, &h);
	assert_int_equal(h.plan.placed, 0);
	assert_true(h.plan.refresh_index == world_head(w)->index);
	// The evaluation is another one's.
	hand_plan(w, &h, job);
	h.plan.done.id += 99;
	sched_applier_apply(w->core->applier, &h.plan);
	assert_int_equal(h.plan.error, -ESTALE);
	// The job is another one.
	hand_plan(w, &h, job);
	h.plan.job_create_index++;
	sched_applier_apply(w->core->applier, &h.plan);
	assert_int_equal(h.plan.error, -ESTALE);
	// Stopping what is gone stops nothing.
	hand_plan(w, &h, job);
	h.stops[h.plan.stop_count++].id = (struct sched_id){1, 2, 3};
	apply(w, &h);
	assert_true(h.plan.full);
	assert_int_equal(h.plan.stopped, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(b38_priority_then_fifo),
		cmocka_unit_test(b39_disable_errors_all),
		TEST(b40_all_fit),
		TEST(b41_partial_commit),
		TEST(b42_all_at_once),
		TEST(b42_all_at_once_job),
		TEST(b43_evict_only_always_fits),
		TEST(b44_missing_node),
		TEST(b45_not_ready_or_draining),
		TEST(b47_ineligible_takes_in_place_only),
		TEST(b48_full_node),
		TEST(b48_huge_asks),
		TEST(b49_full_plus_evict_fits),
		TEST(b50_in_place_counts_once),
		TEST(b54_the_rest_of_a_plan_over_quota),
		TEST(b55_stops_are_differences),
		cmocka_unit_test(b56_pipelined_equals_serial),
		TEST(b58_a_node_that_keeps_rejecting),
		TEST(b58_not_for_a_stale_snapshot),
		TEST(plans_for_what_has_changed_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
