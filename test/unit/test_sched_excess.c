// SPDX-License-Identifier: Apache-2.0
// What was to be replaced and becomes current again, among others that took its place: behaviour 71
// with limits on how many share an attribute.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "test/unit/sched_world.h"

#define SEC NS_PER_SEC

static struct sched_constraint two = {"rack", "2", SCHED_OP_DISTINCT_PROPERTY};

static int setup(void **state)
{
	struct world *w;

	world_setup(state);
	w = *state;
	w->group.max_parallel = 1;
	w->group.constraints = &two;
	w->group.constraint_count = 1;
	return 0;
}

static uint32_t in_rack(struct world *w, const char *name, const char *rack, uint32_t cpu)
{
	return world_node_with(w, name, cpu, 1000, &(struct sched_attribute){"rack", rack}, 1);
}

// Two on a, which is drained; on b, in the same rack, the replacement of one of them and a third.
// Then a is drained no more.
static uint32_t undo_a_drain(struct world *w, uint32_t *a, uint32_t *b)
{
	uint32_t job;

	*a = in_rack(w, "a", "r1", 1000);
	job = world_job(w, "j", 2);
	world_settle(w);
	assert_int_equal(world_live_on(w, job, *a), 2);
	*b = in_rack(w, "b", "r1", 1000);
	world_drain(w, *a);
	world_job(w, "j", 3);
	world_run(w);
	assert_int_equal(world_live_on(w, job, *b), 2);
	assert_int_equal(world_live_on(w, job, *a), 2);
	world_node_status(w, *a, SCHED_NODE_READY);
	return job;
}

static void b71_drain_undone(void **state)
{
	struct world *w = *state;
	uint32_t a, b, c, job = undo_a_drain(w, &a, &b);

	c = in_rack(w, "c", "r2", 1000);
	world_settle(w);
	assert_int_equal(world_live(w, job), 3);
	assert_int_equal(world_live_on(w, job, a) + world_live_on(w, job, b), 2);
	assert_int_equal(world_live_on(w, job, c), 1);
	assert_int_equal(world_evals(w, job, SCHED_EVAL_BLOCKED), 0);
}

// It stays as long as there is no other place, and something waits for that.
static void b71_drain_undone_without_a_place(void **state)
{
	struct world *w = *state;
	uint32_t a, b, c, job = undo_a_drain(w, &a, &b);

	world_settle(w);
	assert_int_equal(world_live(w, job), 3);
	for (uint32_t k = 0; k < 3; k++)
		assert_true(sched_ready(world_named(w, job, k)));
	assert_int_equal(world_evals(w, job, SCHED_EVAL_BLOCKED), 1);
	c = in_rack(w, "c", "r2", 1000);
	world_run(w);
	// Placed, but not ready: nobody left so far.
	assert_int_equal(world_live_on(w, job, a) + world_live_on(w, job, b), 3);
	assert_int_equal(world_live_on(w, job, c), 1);
	world_settle(w);
	assert_int_equal(world_live(w, job), 3);
	assert_int_equal(world_live_on(w, job, c), 1);
	assert_int_equal(world_evals(w, job, SCHED_EVAL_BLOCKED), 0);
}

// What runs to an end is not begun anew for that.
static void b71_drain_undone_of_a_batch_job(void **state)
{
	struct world *w = *state;
	uint32_t a, b, c, job;

	w->spec.type = SCHED_TYPE_BATCH;
	job = undo_a_drain(w, &a, &b);
	c = in_rack(w, "c", "r2", 1000);
	world_settle(w);
	assert_int_equal(world_live(w, job), 3);
	assert_int_equal(world_live_on(w, job, c), 0);
	assert_int_equal(world_evals(w, job, SCHED_EVAL_BLOCKED), 0);
}

static void act(struct world *w, uint32_t job, enum sched_deployment_action action)
{
	assert_int_equal(sched_core_deployment(w->core, job, action, w->now), 0);
}

// A limit of the whole job: while one group is replaced another one comes; then the version before
// comes back.
static void b71_version_there_and_back(void **state)
{
	struct world *w = *state;
	struct sched_group groups[2] = {w->group, w->group};
	uint32_t a, c, job;

	groups[0].constraint_count = groups[1].constraint_count = 0;
	groups[1].name = "other";
	groups[0].count = 2;
	w->spec.groups = groups;
	w->spec.group_count = 2;
	w->spec.constraints = &two;
	w->spec.constraint_count = 1;
	a = in_rack(w, "a", "r1", 1000);
	job = world_job(w, "j", 0);
	world_settle(w);
	assert_int_equal(world_live_on(w, job, a), 2);
	groups[0].restart_hash = 2;
	groups[1].count = 1;
	world_job(w, "j", 0);
	world_run(w);
	// Two to be replaced, one that comes for them, and the other group's.
	assert_int_equal(world_live_on(w, job, a), 4);
	groups[0].restart_hash = 1;
	c = in_rack(w, "c", "r2", 1000);
	world_job(w, "j", 0);
	// A deployment that is held keeps what it has.
	act(w, job, SCHED_DEPLOYMENT_PAUSE);
	world_settle(w);
	assert_int_equal(world_live_on(w, job, a), 3);
	assert_int_equal(world_live(w, job), 3);
	act(w, job, SCHED_DEPLOYMENT_RESUME);
	world_settle(w);
	assert_int_equal(world_live(w, job), 3);
	assert_int_equal(world_live_version(w, job, 3), 3);
	assert_int_equal(world_live_on(w, job, a), 2);
	assert_int_equal(world_live_on(w, job, c), 1);
}

// Replacements elsewhere are there already: they stay instead of what came back.
static void b71_node_is_back(void **state)
{
	struct world *w = *state;
	uint32_t a, b, c, job;

	w->group.lost_after_ns = 100 * SEC;
	a = in_rack(w, "a", "r1", 1000);
	job = world_job(w, "j", 2);
	world_settle(w);
	c = in_rack(w, "c", "r2", 1000);
	world_node_status(w, a, SCHED_NODE_DISCONNECTED);
	world_settle(w);
	assert_int_equal(world_live_on(w, job, c), 2);
	b = in_rack(w, "b", "r1", 1000);
	world_job(w, "j", 3);
	world_settle(w);
	assert_int_equal(world_live_on(w, job, b), 1);
	world_node_status(w, a, SCHED_NODE_READY);
	for (uint32_t at = sched_node_at(world_head(w), a)->first_instance; at != SCHED_NONE;) {
		const struct sched_instance *i = sched_instance_at(world_head(w), at);

		at = i->next_on_node;
		world_report(w, i, SCHED_RUNNING, true);
	}
	world_run(w);
	// At once: nothing had to be placed.
	assert_int_equal(world_live(w, job), 3);
	assert_int_equal(world_live_on(w, job, a), 1);
	assert_int_equal(world_live_on(w, job, b), 1);
	assert_int_equal(world_live_on(w, job, c), 1);
}

// The same with distinct_hosts.
static void b71_distinct_hosts_node_is_back(void **state)
{
	struct world *w = *state;
	const struct sched_instance *first;
	uint32_t a, b, c, job;

	w->group.constraint_count = 0;
	w->group.distinct_hosts = true;
	w->group.lost_after_ns = 100 * SEC;
	a = world_node(w, "a", 1000, 1000);
	b = world_node(w, "b", 1000, 1000);
	job = world_job(w, "j", 2);
	world_settle(w);
	first = sched_instance_at(world_head(w), sched_node_at(world_head(w), a)->first_instance);
	c = world_node(w, "c", 1000, 1000);
	world_node_status(w, a, SCHED_NODE_DISCONNECTED);
	world_settle(w);
	assert_int_equal(world_live_on(w, job, c), 1);
	// Its host has said nothing yet.
	world_node_status(w, a, SCHED_NODE_READY);
	world_job(w, "j", 3);
	world_run(w);
	assert_int_equal(world_live_on(w, job, a), 2);
	world_report(w, first, SCHED_RUNNING, true);
	world_settle(w);
	assert_int_equal(world_live(w, job), 3);
	assert_int_equal(world_live_on(w, job, a), 1);
	assert_int_equal(world_live_on(w, job, b), 1);
	assert_int_equal(world_live_on(w, job, c), 1);
}

// The older version is put again with a higher count, for which there is no room until those of the
// other version go: they do as soon as the older ones are ready.
static void b71_there_and_back_without_room(void **state)
{
	struct world *w = *state;
	uint32_t a, job;

	w->group.constraint_count = 0;
	w->group.max_parallel = 2;
	a = world_node(w, "a", 400, 1000);
	job = world_job(w, "j", 2);
	world_run(w);
	w->group.restart_hash = 2;
	world_job(w, "j", 2);
	world_run(w);
	assert_int_equal(world_live_on(w, job, a), 4);
	w->group.restart_hash = 1;
	world_job(w, "j", 6);
	world_run(w);
	assert_int_equal(world_live_version(w, job, 2), 2);
	assert_int_equal(world_live_version(w, job, 3), 2);
	for (uint32_t at = sched_node_at(world_head(w), a)->first_instance; at != SCHED_NONE;) {
		const struct sched_instance *i = sched_instance_at(world_head(w), at);

		at = i->next_on_node;
		if (i->version == 3)
			world_report(w, i, SCHED_RUNNING, true);
	}
	world_run(w);
	assert_int_equal(world_live_version(w, job, 2), 0);
	assert_int_equal(world_live_version(w, job, 3), 4);
}

// Hosts of a group may be distinct by its own instances alone, and what is to be replaced on a host
// keeps no other away for which that would matter: nobody shares one after a way back.
static void b71_distinct_hosts_there_and_back(void **state)
{
	struct world *w = *state;
	uint32_t a, b, job;

	w->group.constraint_count = 0;
	w->group.distinct_hosts = true;
	a = world_node(w, "a", 1000, 1000);
	b = world_node(w, "b", 1000, 1000);
	job = world_job(w, "j", 2);
	world_settle(w);
	w->group.restart_hash = 2;
	world_job(w, "j", 2);
	world_run(w);
	assert_int_equal(world_live(w, job), 3);
	w->group.restart_hash = 1;
	world_job(w, "j", 2);
	world_settle(w);
	assert_int_equal(world_live_on(w, job, a), 1);
	assert_int_equal(world_live_on(w, job, b), 1);
	world_drain(w, a);
	world_run(w);
	world_node_status(w, a, SCHED_NODE_READY);
	world_settle(w);
	assert_int_equal(world_live_on(w, job, a), 1);
	assert_int_equal(world_live_on(w, job, b), 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(b71_drain_undone),
		TEST(b71_drain_undone_without_a_place),
		TEST(b71_drain_undone_of_a_batch_job),
		TEST(b71_version_there_and_back),
		TEST(b71_node_is_back),
		TEST(b71_distinct_hosts_node_is_back),
		TEST(b71_there_and_back_without_room),
		TEST(b71_distinct_hosts_there_and_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
