// SPDX-License-Identifier: Apache-2.0
// Nodes that are disconnected and come back, through the whole core: behaviours 46,
// 88; and the end of a drain, 81.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "test/unit/sched_world.h"

#define SEC NS_PER_SEC

static int setup(void **state)
{
	struct world *w;

	world_setup(state);
	w = *state;
	w->group.lost_after_ns = 100 * SEC;
	return 0;
}

static uint32_t with_status(const struct world *w, uint32_t job, uint8_t status)
{
	const struct sched_snapshot *s = world_head(w);
	uint32_t n = 0;

	for (uint32_t at = sched_job_at(s, job)->first_instance; at != SCHED_NONE;) {
		const struct sched_instance *i = sched_instance_at(s, at);

		n += i->status == status;
		at = i->next_in_job;
	}
	return n;
}

// The host of a node tells of all that runs there.
static void tell_all(struct world *w, uint32_t node)
{
	const struct sched_snapshot *s = world_head(w);

	for (uint32_t at = sched_node_at(s, node)->first_instance; at != SCHED_NONE;) {
		const struct sched_instance *i = sched_instance_at(s, at);

		at = i->next_on_node;
		if (i->desired == SCHED_RUN && !sched_terminal(i->status))
			world_report(w, i, SCHED_RUNNING, true);
	}
}

static void b88_unknown_then_back(void **state)
{
	struct world *w = *state;
	uint32_t a = world_node(w, "a", 1000, 1000), b = world_node(w, "b", 1000, 1000), job;
	uint32_t first;

	job = world_job(w, "j", 4);
	world_settle(w);
	assert_int_equal(world_live_on(w, job, a), 2);
	first = world_named(w, job, 0)->id.slot;
	world_node_status(w, a, SCHED_NODE_DISCONNECTED);
	world_settle(w);
	// Unknown, and replaced elsewhere; each replacement knows whom it replaces.
	assert_int_equal(with_status(w, job, SCHED_UNKNOWN), 2);
	assert_int_equal(world_live_on(w, job, b), 4);
	assert_int_equal(world_live(w, job), 6);
	// Nothing more happens while it is away.
	w->now += 50 * SEC;
	world_settle(w);
	assert_int_equal(world_live(w, job), 6);
	// Back, but its host has not said what runs: nothing is stopped yet.
	world_node_status(w, a, SCHED_NODE_READY);
	world_run(w);
	assert_int_equal(world_live(w, job), 6);
	tell_all(w, a);
	world_settle(w);
	assert_int_equal(world_live(w, job), 4);
	assert_int_equal(world_live_on(w, job, a), 2);
	assert_int_equal(with_status(w, job, SCHED_UNKNOWN), 0);
	assert_true(sched_live(sched_instance_at(world_head(w), first)));
	for (uint32_t k = 0; k < 4; k++)
		assert_non_null(world_named(w, job, k));
}

static void b88_unknown_then_lost(void **state)
{
	struct world *w = *state;
	uint32_t a = world_node(w, "a", 1000, 1000), b = world_node(w, "b", 1000, 1000), job;

	job = world_job(w, "j", 4);
	world_settle(w);
	world_node_status(w, a, SCHED_NODE_DISCONNECTED);
	world_settle(w);
	w->now += 100 * SEC - 1;
	world_settle(w);
	assert_int_equal(with_status(w, job, SCHED_UNKNOWN), 2);
	w->now += 1;
	world_settle(w);
	assert_int_equal(with_status(w, job, SCHED_UNKNOWN), 0);
	assert_int_equal(with_status(w, job, SCHED_LOST), 2);
	assert_int_equal(world_live_on(w, job, b), 4);
	assert_int_equal(world_live(w, job), 4);
	assert_int_equal(sched_node_at(world_head(w), a)->used.cpu_milli, 0);
	// The host comes back with what nobody wants any more: it is told so.
	world_node_status(w, a, SCHED_NODE_READY);
	world_settle(w);
	assert_int_equal(world_live(w, job), 4);
}

// Without lost_after a node that is disconnected is as good as down.
static void b88_lost_at_once(void **state)
{
	struct world *w = *state;
	uint32_t a = world_node(w, "a", 1000, 1000), job;

	w->group.lost_after_ns = 0;
	world_node(w, "b", 1000, 1000);
	job = world_job(w, "j", 4);
	world_settle(w);
	world_node_status(w, a, SCHED_NODE_DISCONNECTED);
	world_settle(w);
	assert_int_equal(with_status(w, job, SCHED_LOST), 2);
	assert_int_equal(world_live(w, job), 4);
}

// The program ends while a node is away: it still knows since when.
static void b88_away_over_a_restart(void **state)
{
	struct world *w = *state;
	uint32_t a = world_node(w, "a", 1000, 1000), job;
	struct sched_bytes log = {0};

	world_node(w, "b", 1000, 1000);
	job = world_job(w, "j", 4);
	world_settle(w);
	world_node_status(w, a, SCHED_NODE_DISCONNECTED);
	world_settle(w);
	w->now += 60 * SEC;
	sched_log_take(w->core, &log);
	world_fini(w);
	w->core = sched_core_new(NULL, 5);
	assert_int_equal(sched_replay(w->core->state, log.data, log.len), 0);
	assert_int_equal(sched_core_start(w->core, w->now), 0);
	w->worker = sched_worker_new(NULL, 6);
	w->reader = sched_reader_new(&w->core->state->pages);
	sched_bytes_fini(&log);
	assert_int_equal(with_status(w, job, SCHED_UNKNOWN), 2);
	world_settle(w);
	assert_int_equal(world_live(w, job), 6);
	w->now += 40 * SEC;
	world_settle(w);
	assert_int_equal(world_live(w, job), 4);
	assert_int_equal(with_status(w, job, SCHED_LOST), 2);
}

static void b46_a_disconnected_node_accepts_only_unknown(void **state)
{
	struct world *w = *state;
	uint32_t node = world_node(w, "only", 1000, 1000), job;
	struct sched_plan *plan;
	struct sched_ticket t;
	uint64_t token;

	job = world_job(w, "j", 2);
	world_settle(w);
	// A placement that was planned when the node was there.
	world_job(w, "j", 3);
	assert_int_equal(sched_core_dequeue(w->core, SCHED_MASK_ALL, w->now, &t, &token), 0);
	sched_worker_begin(w->worker, &t, token);
	assert_int_equal(sched_worker_plan(w->worker, sched_snapshot_pin(w->reader, w->core->state),
				 w->now, &plan),
		0);
	assert_int_equal(plan->place_count, 1);
	world_node_status(w, node, SCHED_NODE_DISCONNECTED);
	sched_core_submit(w->core, plan, w->now);
	sched_core_apply(w->core, 1, w->now);
	sched_core_result(w->core);
	assert_int_equal(sched_worker_result(w->worker), -EAGAIN);
	assert_int_equal(plan->rejected_nodes, 1);
	// The next one marks what is there.
	assert_int_equal(sched_worker_plan(w->worker, sched_snapshot_pin(w->reader, w->core->state),
				 w->now, &plan),
		0);
	assert_int_equal(plan->unknown_count, 2);
	sched_core_submit(w->core, plan, w->now);
	sched_core_apply(w->core, 1, w->now);
	sched_core_result(w->core);
	assert_int_equal(sched_worker_result(w->worker), 0);
	sched_reader_unpin(w->reader);
	assert_int_equal(with_status(w, job, SCHED_UNKNOWN), 2);
	assert_int_equal(world_live(w, job), 2);
	assert_int_equal(world_evals(w, job, SCHED_EVAL_BLOCKED), 1);
}

// Without room elsewhere a drain waits; when its time is over it does not.
static void b81_a_drain_has_a_deadline(void **state)
{
	struct world *w = *state;
	uint32_t a = world_node(w, "a", 1000, 1000), b = world_node(w, "b", 300, 1000), job;

	w->group.max_parallel = 1;
	job = world_job(w, "j", 10);
	world_settle(w);
	assert_int_equal(world_live_on(w, job, b), 3);
	world_drain(w, a);
	world_settle(w);
	assert_int_equal(world_live_on(w, job, a), 7);
	assert_int_equal(sched_core_node_drain_now(w->core, a, w->now), 0);
	world_run(w);
	assert_int_equal(world_live_on(w, job, a), 0);
	assert_int_equal(world_live_on(w, job, b), 3);
	assert_int_equal(world_evals(w, job, SCHED_EVAL_BLOCKED), 1);
	// A report of the node does not take it back; the end of the drain does.
	world_drain(w, a);
	world_settle(w);
	assert_int_equal(world_live(w, job), 3);
	world_node_status(w, a, SCHED_NODE_READY);
	world_settle(w);
	assert_int_equal(world_live(w, job), 10);
	assert_int_equal(sched_core_node_drain_now(w->core, 99, w->now), -ENOENT);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, world_teardown)
	const struct CMUnitTest tests[] = {
		TEST(b46_a_disconnected_node_accepts_only_unknown),
		TEST(b88_unknown_then_back),
		TEST(b88_unknown_then_lost),
		TEST(b88_lost_at_once),
		TEST(b88_away_over_a_restart),
		TEST(b81_a_drain_has_a_deadline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
