// SPDX-License-Identifier: Apache-2.0
// Making room by stopping what is less important, through the whole core: behaviours 52, 53, 87.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "sched/preempt.h"
#include "test/unit/sched_world.h"

static int setup(void **state)
{
	const struct sched_worker_config config = {
		.preempt = SCHED_MASK(SCHED_TYPE_SERVICE) | SCHED_MASK(SCHED_TYPE_SYSTEM)};
	struct world *w;

	world_setup(state);
	w = *state;
	sched_worker_destroy(w->worker);
	w->worker = sched_worker_new(&config, 2);
	return 0;
}

static uint32_t job_with(
	struct world *w, const char *name, uint8_t priority, uint32_t count, uint32_t cpu)
{
	w->spec.priority = priority;
	w->group.ask.cpu_milli = cpu;
	return world_job(w, name, count);
}

static uint32_t evicted(const struct world *w, uint32_t job)
{
	const struct sched_snapshot *s = world_head(w);
	uint32_t n = 0;

	for (uint32_t at = sched_job_at(s, job)->first_instance; at != SCHED_NONE;) {
		const struct sched_instance *i = sched_instance_at(s, at);

		n += i->desired == SCHED_EVICT;
		at = i->next_in_job;
	}
	return n;
}

static void b52_preemption_frees_and_evaluates(void **state)
{
	struct world *w = *state;
	uint32_t low, high, late;

	world_node(w, "a", 1000, 10000);
	world_node(w, "b", 1000, 10000);
	low = job_with(w, "low", 20, 20, 100);
	world_settle(w);
	assert_int_equal(world_live(w, low), 20);
	high = job_with(w, "high", 70, 3, 300);
	world_run(w);
	assert_int_equal(world_live(w, high), 3);
	// No more than is needed: three times three of 100.
	assert_int_equal(world_live(w, low), 11);
	assert_int_equal(evicted(w, low), 9);
	assert_int_equal(sched_applier_stats(w->core->applier).evicted, 9);
	// Their job knows, and waits for room.
	assert_int_equal(world_evals(w, low, SCHED_EVAL_BLOCKED), 1);
	world_settle(w);
	late = world_node(w, "late", 1000, 10000);
	world_settle(w);
	assert_int_equal(world_live(w, low), 20);
	assert_int_equal(world_live_on(w, low, late), 9);
	// The evaluation is in the log with the plan that caused it.
	struct sched_state *copy = sched_state_new();

	assert_int_equal(
		sched_replay(copy, w->core->state->log.out.data, w->core->state->log.out.len), 0);
	assert_true(sched_state_hash(&copy->head) == sched_state_hash(world_head(w)));
	sched_state_destroy(copy);
}

// Batch work that had to go is run again (and not forgotten).
static void b52_batch_victims_are_replaced(void **state)
{
	struct world *w = *state;
	uint32_t low, high;

	world_node(w, "a", 1000, 10000);
	w->spec.type = SCHED_TYPE_BATCH;
	low = job_with(w, "low", 20, 10, 100);
	world_settle(w);
	w->spec.type = SCHED_TYPE_SERVICE;
	high = job_with(w, "high", 70, 1, 500);
	world_settle(w);
	assert_int_equal(world_live(w, high), 1);
	assert_int_equal(world_live(w, low), 5);
	job_with(w, "high", 70, 0, 500);
	world_settle(w);
	assert_int_equal(world_live(w, low), 10);
}

static void b53_terminal_victims_are_filtered(void **state)
{
	struct world *w = *state;
	struct sched_plan *plan;
	struct sched_ticket t;
	uint32_t low, high;
	uint64_t token;

	world_node(w, "a", 1000, 10000);
	low = job_with(w, "low", 20, 2, 500);
	world_settle(w);
	high = job_with(w, "high", 70, 1, 1000);
	assert_int_equal(sched_core_dequeue(w->core, SCHED_MASK_ALL, w->now, &t, &token), 0);
	sched_worker_begin(w->worker, &t, token);
	assert_int_equal(sched_worker_plan(w->worker, sched_snapshot_pin(w->reader, w->core->state),
				 w->now, &plan),
		0);
	assert_int_equal(plan->stop_count, 2);
	// One ends by itself before the plan is applied.
	world_report(w, world_named(w, low, 1), SCHED_FAILED, false);
	sched_core_submit(w->core, plan, w->now);
	sched_core_apply(w->core, 1, w->now);
	sched_core_result(w->core);
	assert_int_equal(sched_worker_result(w->worker), 0);
	sched_reader_unpin(w->reader);
	assert_int_equal(plan->stopped, 1);
	assert_int_equal(evicted(w, low), 1);
	assert_int_equal(world_live(w, high), 1);
	assert_int_equal(sched_node_at(world_head(w), 0)->used.cpu_milli, 1000);
}

static void b87_only_across_the_gap(void **state)
{
	struct world *w = *state;
	uint32_t low, high, gap = 41 + SCHED_PREEMPT_GAP;

	world_node(w, "a", 1000, 10000);
	low = job_with(w, "low", 41, 10, 100);
	world_settle(w);
	high = job_with(w, "high", (uint8_t)(gap - 1), 1, 100);
	world_settle(w);
	assert_int_equal(world_live(w, high), 0);
	assert_int_equal(evicted(w, low), 0);
	job_with(w, "high", (uint8_t)gap, 1, 100);
	world_settle(w);
	assert_int_equal(world_live(w, high), 1);
	assert_int_equal(world_live(w, low), 9);
}

// Not what is more important than what could go instead; not where there is room; not for a type
// that may not.
static void b87_the_least_important_go(void **state)
{
	struct world *w = *state;
	uint32_t lowest, middle, high, batch;

	world_node(w, "a", 1000, 10000);
	world_node(w, "b", 1000, 10000);
	middle = job_with(w, "middle", 40, 10, 100);
	world_settle(w);
	lowest = job_with(w, "lowest", 10, 10, 100);
	world_settle(w);
	w->spec.type = SCHED_TYPE_BATCH;
	batch = job_with(w, "batch", 90, 1, 200);
	world_settle(w);
	assert_int_equal(world_live(w, batch), 0);
	job_with(w, "batch", 90, 0, 200);
	world_settle(w);
	w->spec.type = SCHED_TYPE_SERVICE;
	high = job_with(w, "high", 90, 3, 200);
	world_settle(w);
	assert_int_equal(world_live(w, high), 3);
	assert_int_equal(world_live(w, middle), 10);
	assert_int_equal(world_live(w, lowest), 4);
	world_node(w, "c", 1000, 10000);
	world_settle(w);
	assert_int_equal(world_live(w, lowest), 10);
	high = job_with(w, "more", 90, 1, 200);
	world_settle(w);
	assert_int_equal(world_live(w, high), 1);
	assert_int_equal(world_live(w, lowest), 10);
}

static void b87_system_jobs(void **state)
{
	struct world *w = *state;
	uint32_t low, agent;

	world_node(w, "a", 1000, 10000);
	world_node(w, "b", 1000, 10000);
	low = job_with(w, "low", 20, 20, 100);
	world_settle(w);
	w->spec.type = SCHED_TYPE_SYSTEM;
	agent = job_with(w, "agent", 90, 1, 150);
	world_settle(w);
	assert_int_equal(world_live(w, agent), 2);
	assert_int_equal(world_live(w, low), 16);
}

// A deployment that is held places two versions in one plan: each counts with what it asks for.
static void b87_two_versions_in_one_plan(void **state)
{
	struct world *w = *state;
	uint32_t a = world_node(w, "a", 100, 10000), low, high;

	high = job_with(w, "high", 80, 1, 100);
	world_settle(w);
	world_node(w, "b", 1000, 10000);
	low = job_with(w, "low", 20, 10, 100);
	world_settle(w);
	assert_int_equal(world_live(w, low), 10);
	w->group.canaries = 1;
	job_with(w, "high", 80, 1, 900);
	world_node_status(w, a, SCHED_NODE_DOWN);
	world_run(w);
	assert_int_equal(world_live_version(w, high, 1), 1);
	assert_int_equal(world_live_version(w, high, 2), 1);
	assert_int_equal(world_live(w, low), 0);
	assert_int_equal(sched_applier_stats(w->core->applier).rejected_nodes, 0);
}

// What a held deployment places of an older version matters as much as the job does now: else two
// jobs could stop each other for ever.
static void b87_an_older_version_has_no_older_priority(void **state)
{
	struct world *w = *state;
	uint32_t a = world_node(w, "a", 100, 10000), low, job;

	job = job_with(w, "j", 80, 1, 100);
	world_settle(w);
	world_node(w, "b", 1000, 10000);
	low = job_with(w, "low", 15, 10, 100);
	world_settle(w);
	w->group.canaries = 1;
	w->group.restart_hash++;
	job_with(w, "j", 10, 1, 100);
	world_settle(w);
	world_node_status(w, a, SCHED_NODE_DOWN);
	world_settle(w);
	assert_int_equal(world_live(w, low), 10);
	assert_int_equal(world_live(w, job), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, world_teardown)
	const struct CMUnitTest tests[] = {
		TEST(b52_preemption_frees_and_evaluates),
		TEST(b52_batch_victims_are_replaced),
		TEST(b53_terminal_victims_are_filtered),
		TEST(b87_only_across_the_gap),
		TEST(b87_the_least_important_go),
		TEST(b87_system_jobs),
		TEST(b87_two_versions_in_one_plan),
		TEST(b87_an_older_version_has_no_older_priority),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
