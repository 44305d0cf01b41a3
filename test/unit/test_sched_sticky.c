// SPDX-License-Identifier: Apache-2.0
// Sticky storage: behaviour 85. A replacement goes where the data of the one before it is, if it
// can.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "test/unit/sched_world.h"

#define SEC NS_PER_SEC
#define NODES 8

static int setup(void **state)
{
	struct world *w;

	world_setup(state);
	w = *state;
	w->group.sticky = true;
	return 0;
}

// Four on one node, and then seven empty ones that any score would prefer.
static uint32_t full_and_empty(struct world *w, uint32_t *full)
{
	char name[] = "n0";
	uint32_t job;

	*full = world_node(w, "full", 1000, 1000);
	job = world_job(w, "j", 4);
	world_settle(w);
	assert_int_equal(world_live_on(w, job, *full), 4);
	for (uint32_t k = 1; k < NODES; k++, name[1]++)
		world_node(w, name, 1000, 1000);
	return job;
}

static void update(struct world *w)
{
	w->group.restart_hash++;
	world_job(w, "j", 4);
	world_settle(w);
}

static void b85_an_update_stays_where_its_data_is(void **state)
{
	struct world *w = *state;
	uint32_t full, job = full_and_empty(w, &full);

	update(w);
	assert_int_equal(world_live_version(w, job, 2), 4);
	assert_int_equal(world_live_on(w, job, full), 4);
	// Without it they go where there is more room.
	w->group.sticky = false;
	update(w);
	assert_int_equal(world_live_version(w, job, 3), 4);
	assert_int_equal(world_live_on(w, job, full), 0);
}

// Also what failed there: its data is there.
static void b85_what_failed_comes_back(void **state)
{
	struct world *w = *state;
	uint32_t full, job = full_and_empty(w, &full);

	for (uint32_t k = 0; k < 3; k++) {
		world_report(w, world_named(w, job, 2), SCHED_FAILED, false);
		w->now += 3600 * SEC;
		world_settle(w);
		assert_int_equal(world_named(w, job, 2)->node, full);
	}
}

// The old one holds its room until the new one is ready.
static void b85_elsewhere_without_room(void **state)
{
	struct world *w = *state;
	uint32_t full, job = full_and_empty(w, &full);

	w->group.ask.memory_mib = 450;
	w->group.max_parallel = 4;
	w->group.restart_hash++;
	world_job(w, "j", 4);
	world_run(w);
	// One of the four fits beside them: no plan wanted more than there is.
	assert_int_equal(world_live_version(w, job, 2), 4);
	assert_int_equal(world_live_on(w, job, full), 5);
	assert_int_equal(world_last_eval(w, job)->explain.conflicts, 0);
	world_settle(w);
	assert_int_equal(world_live_on(w, job, full), 1);
	assert_int_equal(world_live(w, job), 4);
}

static void b85_elsewhere_if_the_node_is_not_ready(void **state)
{
	struct world *w = *state;
	uint32_t full, job = full_and_empty(w, &full);

	world_drain(w, full);
	world_settle(w);
	assert_int_equal(world_live(w, job), 4);
	assert_int_equal(world_live_on(w, job, full), 0);
}

static void b85_elsewhere_if_the_node_is_gone(void **state)
{
	struct world *w = *state;
	uint32_t full, job = full_and_empty(w, &full);

	assert_int_equal(sched_core_node_del(w->core, full, w->now), 0);
	world_settle(w);
	assert_int_equal(world_live(w, job), 4);
}

static void b85_constraints_come_first(void **state)
{
	struct world *w = *state;
	const struct sched_constraint c = {"unique.node.name", "full", SCHED_OP_NE};
	uint32_t full, job = full_and_empty(w, &full);

	w->group.constraints = &c;
	w->group.constraint_count = 1;
	update(w);
	assert_int_equal(world_live_on(w, job, full), 0);
	assert_int_equal(world_live_version(w, job, 2), 4);
}

// Two of one plan do not count on the same property, or the same host.
static void b85_within_the_limits(void **state)
{
	struct world *w = *state;
	uint32_t full, job = full_and_empty(w, &full);
	uint32_t nodes[NODES];

	w->group.distinct_hosts = true;
	w->group.max_parallel = 0;
	update(w);
	for (uint32_t k = 0; k < 4; k++) {
		nodes[k] = world_named(w, job, k)->node;
		for (uint32_t other = 0; other < k; other++)
			assert_int_not_equal(nodes[k], nodes[other]);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, world_teardown)
	const struct CMUnitTest tests[] = {
		TEST(b85_an_update_stays_where_its_data_is),
		TEST(b85_what_failed_comes_back),
		TEST(b85_elsewhere_without_room),
		TEST(b85_elsewhere_if_the_node_is_not_ready),
		TEST(b85_elsewhere_if_the_node_is_gone),
		TEST(b85_constraints_come_first),
		TEST(b85_within_the_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
