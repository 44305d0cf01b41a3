// SPDX-License-Identifier: Apache-2.0
// Jobs with an instance on each node, through the whole core: behaviours 35, 89, 90.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/unit/sched_world.h"

#define SEC NS_PER_SEC

static int setup(void **state)
{
	struct world *w;

	world_setup(state);
	w = *state;
	w->spec.type = SCHED_TYPE_SYSTEM;
	return 0;
}

static void add_nodes(struct world *w, uint32_t n, uint32_t cpu)
{
	for (uint32_t k = 0; k < n; k++) {
		char name[16];

		snprintf(name, sizeof(name), "n%u", k);
		world_node(w, name, cpu, cpu);
	}
}

static uint32_t blocked(const struct world *w)
{
	return sched_blocked_stats(w->core->blocked).blocked;
}

static void b89_one_on_each_eligible_node(void **state)
{
	struct world *w = *state;
	struct sched_constraint c = {"kind", "gateway", SCHED_OP_NE};
	uint32_t job, gateway, closed, draining;

	add_nodes(w, 5, 1000);
	gateway = world_node_with(
		w, "g", 1000, 1000, &(struct sched_attribute){"kind", "gateway"}, 1);
	closed = world_node(w, "closed", 1000, 1000);
	sched_core_node_state(w->core, closed, SCHED_NODE_READY, false, false, w->now);
	draining = world_node(w, "draining", 1000, 1000);
	world_drain(w, draining);
	w->spec.constraints = &c;
	w->spec.constraint_count = 1;
	job = world_job(w, "agent", 1);
	world_settle(w);
	for (uint32_t k = 0; k < 5; k++)
		assert_int_equal(world_live_on(w, job, k), 1);
	assert_int_equal(world_live_on(w, job, gateway), 0);
	assert_int_equal(world_live(w, job), 5);
	// Again: nothing changes.
	world_job(w, "agent", 1);
	world_settle(w);
	assert_int_equal(world_live(w, job), 5);
	// A node that opens gets one; one that closes keeps its own; one that drains loses it.
	sched_core_node_state(w->core, closed, SCHED_NODE_READY, true, false, w->now);
	world_settle(w);
	assert_int_equal(world_live_on(w, job, closed), 1);
	sched_core_node_state(w->core, closed, SCHED_NODE_READY, false, false, w->now);
	world_settle(w);
	assert_int_equal(world_live_on(w, job, closed), 1);
	world_drain(w, 0);
	world_settle(w);
	assert_int_equal(world_live_on(w, job, 0), 0);
	assert_int_equal(world_live(w, job), 5);
}

static void b89_a_new_node_triggers(void **state)
{
	struct world *w = *state;
	const struct sched_eval *e;
	uint32_t job, node;

	add_nodes(w, 3, 1000);
	job = world_job(w, "agent", 1);
	world_settle(w);
	node = world_node(w, "late", 1000, 1000);
	assert_int_equal(world_evals(w, job, SCHED_EVAL_PENDING), 1);
	world_settle(w);
	assert_int_equal(world_live_on(w, job, node), 1);
	// It looked at that node alone.
	e = world_last_eval(w, job);
	assert_int_equal(e->node, node);
	assert_int_equal(e->trigger, SCHED_NODE_UPDATE);
	assert_int_equal(e->explain.considered, 1);
	// Many at once make one evaluation, for all of them.
	for (uint32_t k = 0; k < 50; k++) {
		char name[16];

		snprintf(name, sizeof(name), "more%u", k);
		world_node(w, name, 1000, 1000);
	}
	assert_int_equal(world_evals(w, job, SCHED_EVAL_PENDING), 1);
	world_settle(w);
	assert_int_equal(world_live(w, job), 54);
	// A stopped job gets none.
	assert_int_equal(sched_core_job_stop(w->core, job, false, w->now), 0);
	world_settle(w);
	world_node(w, "last", 1000, 1000);
	assert_int_equal(world_evals(w, job, SCHED_EVAL_PENDING), 0);
	assert_int_equal(world_live(w, job), 0);
}

static void b89_lost_and_back(void **state)
{
	struct world *w = *state;
	uint32_t job;

	add_nodes(w, 3, 1000);
	job = world_job(w, "agent", 1);
	world_settle(w);
	world_node_status(w, 1, SCHED_NODE_DOWN);
	world_settle(w);
	assert_int_equal(world_live(w, job), 2);
	world_node_status(w, 1, SCHED_NODE_READY);
	world_settle(w);
	assert_int_equal(world_live_on(w, job, 1), 1);
	// What fails is tried again on its node, when its time has come.
	world_report(w, world_named(w, job, 2), SCHED_FAILED, false);
	world_settle(w);
	assert_int_equal(world_live(w, job), 2);
	w->now += SCHED_RESCHEDULE_FIRST;
	world_settle(w);
	assert_int_equal(world_live_on(w, job, 2), 1);
	assert_int_equal(world_named(w, job, 2)->reschedules, 1);
}

static void b89_updates_node_after_node(void **state)
{
	struct world *w = *state;
	uint32_t job, rounds = 0;

	// Full nodes: the old one has to go first.
	add_nodes(w, 10, 100);
	job = world_job(w, "agent", 1);
	world_settle(w);
	w->group.restart_hash = 2;
	world_job(w, "agent", 1);
	for (; world_live_version(w, job, 2) < 10; rounds++) {
		uint32_t ready = 0;

		world_run(w);
		for (uint32_t k = 0; k < 10; k++)
			ready += world_named(w, job, k) && sched_ready(world_named(w, job, k));
		assert_true(ready >= 8);
		assert_int_equal(world_live(w, job), 10);
		assert_true(rounds < 30);
		world_hosts(w);
	}
	assert_true(rounds >= 4);
	world_settle(w);
	assert_int_equal(world_live(w, job), 10);
	// In place.
	w->spec.priority = 60;
	world_job(w, "agent", 1);
	world_settle(w);
	assert_int_equal(world_live(w, job), 10);
}

static uint32_t of_group(const struct world *w, uint32_t job, uint32_t group, uint32_t version)
{
	const struct sched_snapshot *s = world_head(w);
	uint32_t n = 0;

	for (uint32_t at = sched_job_at(s, job)->first_instance; at != SCHED_NONE;) {
		const struct sched_instance *i = sched_instance_at(s, at);

		n += sched_live(i) && i->group == group && i->version == version;
		at = i->next_in_job;
	}
	return n;
}

// A group that the new version leaves as it is goes on under that, on a node that is away once it
// is back. Nobody is to blame meanwhile.
static void b89_an_update_waits_for_a_node_that_is_away(void **state)
{
	struct world *w = *state;
	struct sched_group groups[2] = {w->group, w->group};
	uint32_t job;

	add_nodes(w, 3, 1000);
	groups[0].name = "stays";
	w->spec.groups = groups;
	w->spec.group_count = 2;
	job = world_job(w, "agent", 1);
	world_settle(w);
	world_node_status(w, 0, SCHED_NODE_DISCONNECTED);
	groups[1].restart_hash = 2;
	world_job(w, "agent", 1);
	world_settle(w);
	assert_int_equal(of_group(w, job, 0, 2), 2);
	assert_int_equal(of_group(w, job, 1, 2), 2);
	assert_int_equal(sched_applier_stats(w->core->applier).unexplained, 0);
	assert_int_equal(world_last_eval(w, job)->status, SCHED_EVAL_COMPLETE);
	// It is back, and takes nothing new.
	assert_int_equal(
		sched_core_node_state(w->core, 0, SCHED_NODE_READY, false, false, w->now), 0);
	world_settle(w);
	assert_int_equal(of_group(w, job, 0, 2), 3);
	assert_int_equal(of_group(w, job, 1, 1), 1);
	world_node_status(w, 0, SCHED_NODE_READY);
	world_settle(w);
	assert_int_equal(of_group(w, job, 1, 2), 3);
}

static void stopped_have_ended(struct world *w, uint32_t job)
{
	const struct sched_snapshot *s = world_head(w);

	for (uint32_t k = 0; k < s->tables[SCHED_TABLE_INSTANCES].high; k++) {
		const struct sched_instance *i = sched_instance_at(s, k);

		if (i && i->job == job && i->desired != SCHED_RUN && !sched_terminal(i->status))
			world_report(w, i, SCHED_COMPLETE, false);
	}
}

// A version that does not become ready goes no further, also once what it replaced is forgotten;
// but what is on a node that is away nobody waits for.
static void b89_an_update_waits_for_what_hangs(void **state)
{
	struct world *w = *state;
	uint32_t job;

	add_nodes(w, 6, 1000);
	w->group.max_parallel = 1;
	job = world_job(w, "agent", 1);
	world_settle(w);
	w->group.restart_hash = 2;
	world_job(w, "agent", 1);
	world_run(w);
	assert_int_equal(world_live_version(w, job, 2), 1);
	stopped_have_ended(w, job);
	w->now += sched_core_defaults.gc_age_ns + SEC;
	world_run(w);
	assert_int_equal(sched_job_at(world_head(w), job)->instances, 6);
	assert_int_equal(sched_core_evaluate(w->core, job, SCHED_NODE_UPDATE, w->now), 0);
	world_run(w);
	assert_int_equal(world_live_version(w, job, 2), 1);
	for (uint32_t k = 0; k < 6; k++)
		if (world_named(w, job, k)->version == 2) {
			world_node_status(w, k, SCHED_NODE_DISCONNECTED);
			break;
		}
	world_run(w);
	assert_int_equal(world_live_version(w, job, 2), 2);
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 2), 6);
}

// The new one is too large for half of the nodes: the old ones go on there, the others are updated.
static void b89_an_update_goes_on_past_full_nodes(void **state)
{
	struct world *w = *state;
	uint32_t job, room = 0, small = 0;

	add_nodes(w, 10, 100);
	for (uint32_t k = 0; k < 20; k += 2) {
		char name[16];

		snprintf(name, sizeof(name), "large%u", k);
		world_node(w, name, 1000, 1000);
	}
	w->group.max_parallel = 2;
	job = world_job(w, "agent", 1);
	world_settle(w);
	assert_int_equal(world_live(w, job), 20);
	w->group.restart_hash = 2;
	w->group.ask.cpu_milli = 500;
	world_job(w, "agent", 1);
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 2), 10);
	assert_int_equal(world_live_version(w, job, 1), 10);
	for (uint32_t k = 0; k < 20; k++)
		*(k < 10 ? &small : &room) += world_live_on(w, job, k);
	assert_int_equal(room, 10);
	assert_int_equal(small, 10);
	assert_int_equal(world_evals(w, job, SCHED_EVAL_BLOCKED), 10);
	// A node that grows has the new one, and the old one goes.
	world_node(w, "n3", 1000, 1000);
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 2), 11);
	assert_int_equal(world_live(w, job), 20);
	// With room made for them the others, too.
	for (uint32_t k = 0; k < 10; k++) {
		char name[16];

		snprintf(name, sizeof(name), "n%u", k);
		world_node(w, name, 1000, 1000);
	}
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 2), 20);
	assert_int_equal(world_live(w, job), 20);
	assert_int_equal(world_evals(w, job, SCHED_EVAL_BLOCKED), 0);
}

// What was under way fails, or its node goes: the next ones get their turn.
static void b89_an_update_goes_on_past_what_ends(void **state)
{
	struct world *w = *state;
	uint32_t job, rounds = 0;

	add_nodes(w, 9, 1000);
	w->group.max_parallel = 1;
	job = world_job(w, "agent", 1);
	world_settle(w);
	w->group.restart_hash = 2;
	world_job(w, "agent", 1);
	for (; world_live_version(w, job, 1); rounds++) {
		const struct sched_snapshot *s = world_head(w);
		const struct sched_instance *i = NULL;

		world_run(w);
		for (uint32_t k = 0; k < s->tables[SCHED_TABLE_INSTANCES].high; k++) {
			i = sched_instance_at(s, k);
			if (i && sched_live(i) && i->version == 2 && !sched_ready(i))
				break;
			i = NULL;
		}
		assert_true(rounds < 20);
		if (!i)
			continue;
		if (rounds % 3 == 0)
			world_report(w, i, SCHED_FAILED, false);
		else if (rounds % 3 == 1)
			world_node_status(w, i->node, SCHED_NODE_DOWN);
		else
			world_report(w, i, SCHED_RUNNING, true);
	}
	// And what failed comes again.
	w->now += 3600 * NS_PER_SEC;
	world_settle(w);
	assert_int_equal(world_live(w, job), 6);
}

static void b35_blocked_by_node(void **state)
{
	struct world *w = *state;
	uint32_t job, filler, placed_by;

	add_nodes(w, 4, 1000);
	w->spec.type = SCHED_TYPE_SERVICE;
	w->group.ask.cpu_milli = 1000;
	w->group.distinct_hosts = true;
	filler = world_job(w, "filler", 3);
	world_settle(w);
	w->spec.type = SCHED_TYPE_SYSTEM;
	w->group.ask.cpu_milli = 100;
	w->group.distinct_hosts = false;
	job = world_job(w, "agent", 1);
	world_settle(w);
	assert_int_equal(world_live(w, job), 1);
	// One waits for each full node, and room on one does not wake the others.
	assert_int_equal(world_evals(w, job, SCHED_EVAL_BLOCKED), 3);
	placed_by = world_named(w, filler, 0)->node;
	w->spec.type = SCHED_TYPE_SERVICE;
	w->group.ask.cpu_milli = 1000;
	w->group.distinct_hosts = true;
	world_report(w, world_named(w, filler, 0), SCHED_FAILED, false);
	world_settle(w);
	assert_int_equal(world_live(w, job), 2);
	assert_int_equal(world_live_on(w, job, placed_by), 1);
	assert_int_equal(world_evals(w, job, SCHED_EVAL_BLOCKED), 2);
	// Whoever looks at all nodes replaces them; a stopped job waits for nothing.
	assert_int_equal(sched_core_job_stop(w->core, job, true, w->now), 0);
	world_settle(w);
	assert_int_equal(world_evals(w, job, SCHED_EVAL_BLOCKED), 0);
	w->now += 3600 * NS_PER_SEC;
	world_settle(w);
	assert_int_equal(sched_job_find(w->core->state, "default", "agent"), SCHED_NONE);
}

// More than can be named: one waits for any of them.
static void b35_many_full_nodes_make_one_evaluation(void **state)
{
	struct world *w = *state;
	uint32_t job;

	add_nodes(w, 100, 50);
	job = world_job(w, "agent", 1);
	world_settle(w);
	assert_int_equal(world_live(w, job), 0);
	assert_int_equal(world_evals(w, job, SCHED_EVAL_BLOCKED), 1);
	world_node(w, "n7", 1000, 1000);
	world_settle(w);
	assert_int_equal(world_live_on(w, job, 7), 1);
	assert_int_equal(world_evals(w, job, SCHED_EVAL_BLOCKED), 1);
	// A node that is forgotten is waited for no more.
	for (uint32_t k = 0; k < 100; k++)
		if (k != 7)
			assert_int_equal(sched_core_node_del(w->core, k, w->now), 0);
	world_job(w, "agent", 1);
	world_settle(w);
	assert_int_equal(blocked(w), 0);
}

static void b35_a_blocked_node_that_goes(void **state)
{
	struct world *w = *state;
	uint32_t job;

	add_nodes(w, 2, 50);
	job = world_job(w, "agent", 1);
	world_settle(w);
	assert_int_equal(world_evals(w, job, SCHED_EVAL_BLOCKED), 2);
	assert_int_equal(sched_core_node_del(w->core, 1, w->now), 0);
	world_settle(w);
	assert_int_equal(world_evals(w, job, SCHED_EVAL_BLOCKED), 1);
}

static void b90_sysbatch_runs_once(void **state)
{
	struct world *w = *state;
	uint32_t job;

	add_nodes(w, 3, 1000);
	w->spec.type = SCHED_TYPE_SYSBATCH;
	job = world_job(w, "scrub", 1);
	world_settle(w);
	assert_int_equal(world_live(w, job), 3);
	world_report(w, world_named(w, job, 0), SCHED_COMPLETE, false);
	world_report(w, world_named(w, job, 1), SCHED_FAILED, false);
	w->now += 7200 * NS_PER_SEC;
	world_settle(w);
	world_job(w, "scrub", 1);
	world_settle(w);
	assert_int_equal(world_live(w, job), 1);
	// A new node runs it, and one that was lost in the middle again.
	world_node_status(w, 2, SCHED_NODE_DOWN);
	world_node(w, "late", 1000, 1000);
	world_settle(w);
	assert_int_equal(world_live(w, job), 1);
	world_node_status(w, 2, SCHED_NODE_READY);
	world_node_status(w, 0, SCHED_NODE_DOWN);
	world_node_status(w, 0, SCHED_NODE_READY);
	world_settle(w);
	assert_int_equal(world_live(w, job), 2);
	assert_int_equal(world_live_on(w, job, 0), 0);
	// A new version everywhere.
	w->group.restart_hash = 9;
	w->group.max_parallel = 0;
	world_job(w, "scrub", 1);
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 2), 4);
	assert_int_equal(world_live(w, job), 4);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, world_teardown)
	const struct CMUnitTest tests[] = {
		TEST(b35_blocked_by_node),
		TEST(b35_many_full_nodes_make_one_evaluation),
		TEST(b35_a_blocked_node_that_goes),
		TEST(b89_one_on_each_eligible_node),
		TEST(b89_a_new_node_triggers),
		TEST(b89_lost_and_back),
		TEST(b89_updates_node_after_node),
		TEST(b89_an_update_waits_for_a_node_that_is_away),
		TEST(b89_an_update_waits_for_what_hangs),
		TEST(b89_an_update_goes_on_past_full_nodes),
		TEST(b89_an_update_goes_on_past_what_ends),
		TEST(b90_sysbatch_runs_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
