// SPDX-License-Identifier: Apache-2.0
// Jobs with a schedule (behaviour 91): when they launch, what they do not launch, and what of it a
// restart finds.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/rng.h"
#include "test/unit/launch_world.h"

#define SEC NS_PER_SEC

static int setup(void **state)
{
	static struct launches l;

	launches_init(&l);
	l.launch.cron = "*/5 * * * *"; // at 1200 s, 1500 s, ...
	*state = &l;
	return 0;
}

static int teardown(void **state)
{
	launches_fini(*state);
	return 0;
}

static void b91_launched_at_its_time(void **state)
{
	struct launches *l = *state;
	uint32_t parent = launches_put(l, "j", 3), child;

	assert_int_equal(launches_job(l, parent)->instances, 0);
	assert_int_equal(launches_rows(l, SCHED_TABLE_JOBS), 1);
	assert_true(sched_next_launch(launches_job(l, parent)) == 1200 * SEC);
	assert_true(sched_core_next(l->w.core) <= 1200 * SEC);
	launches_at(l, 1200 * SEC - 1);
	assert_int_equal(launches_rows(l, SCHED_TABLE_JOBS), 1);
	launches_at(l, 1200 * SEC);
	child = launches_child(l, "j-1200");
	assert_int_equal(launches_rows(l, SCHED_TABLE_JOBS), 2);
	assert_int_equal(world_live(&l->w, child), 3);
	assert_int_equal(launches_job(l, child)->type, SCHED_TYPE_BATCH);
	assert_int_equal(launches_job(l, child)->parent, parent);
	assert_null(sched_job_spec(launches_job(l, child))->launch);
	assert_string_equal(sched_job_spec(launches_job(l, child))->parent, "j");
	assert_int_equal(launches_job(l, parent)->instances, 0);
	assert_int_equal(launches_job(l, parent)->children, 1);
	assert_int_equal(launches_job(l, parent)->launches, 1);
	// Not again in the same minute.
	launches_at(l, 1230 * SEC);
	assert_int_equal(launches_rows(l, SCHED_TABLE_JOBS), 2);
}

static void b91_no_overlap(void **state)
{
	struct launches *l = *state;
	uint32_t parent = launches_put(l, "j", 2), first;

	launches_at(l, 1200 * SEC);
	first = launches_child(l, "j-1200");
	launches_at(l, 1500 * SEC);
	assert_int_equal(launches_child(l, "j-1500"), SCHED_NONE);
	assert_int_equal(launches_job(l, parent)->skips, 1);
	// One of two is not all.
	world_report(&l->w, world_named(&l->w, first, 0), SCHED_COMPLETE, false);
	launches_at(l, 1800 * SEC);
	assert_int_equal(launches_child(l, "j-1800"), SCHED_NONE);
	assert_int_equal(launches_job(l, parent)->skips, 2);
	// What was skipped is not made up for: the next one comes at its own time.
	launches_end(l, first, SCHED_COMPLETE);
	launches_at(l, 2099 * SEC);
	assert_int_equal(launches_job(l, parent)->children, 1);
	launches_at(l, 2100 * SEC);
	assert_int_not_equal(launches_child(l, "j-2100"), SCHED_NONE);
	assert_int_equal(launches_job(l, parent)->launches, 2);
	assert_int_equal(l->w.core->launches.stats.skipped, 2);
}

static void b91_overlap_if_allowed(void **state)
{
	struct launches *l = *state;
	uint32_t parent;

	l->launch.overlap = true;
	parent = launches_put(l, "j", 1);
	for (int k = 0; k < 3; k++)
		launches_at(l, (1200 + 300 * k) * SEC);
	assert_int_equal(launches_job(l, parent)->children_alive, 3);
	assert_int_equal(launches_job(l, parent)->skips, 0);
}

static void b91_what_was_missed_is_made_up_for_once(void **state)
{
	struct launches *l = *state;
	uint32_t parent = launches_put(l, "j", 1);

	// Two hours without a tick.
	launches_at(l, 8400 * SEC + 1);
	assert_int_equal(launches_job(l, parent)->launches, 1);
	assert_int_not_equal(launches_child(l, "j-1200"), SCHED_NONE);
	launches_end(l, launches_child(l, "j-1200"), SCHED_COMPLETE);
	launches_at(l, 8699 * SEC);
	assert_int_equal(launches_job(l, parent)->launches, 1);
	launches_at(l, 8700 * SEC);
	assert_int_equal(launches_job(l, parent)->launches, 2);
}

static void b91_restored_after_a_restart(void **state)
{
	struct launches *l = *state;
	uint32_t parent = launches_put(l, "j", 1);

	launches_save(l);
	launches_restart(l);
	assert_true(sched_core_next(l->w.core) <= 1200 * SEC);
	launches_at(l, 1200 * SEC);
	assert_int_equal(launches_job(l, parent)->launches, 1);
	// It was not durable: it is launched again, under the same name, for nobody heard of it.
	launches_restart(l);
	assert_int_equal(launches_rows(l, SCHED_TABLE_JOBS), 1);
	launches_at(l, 1201 * SEC);
	assert_int_not_equal(launches_child(l, "j-1200"), SCHED_NONE);
	// Now it was: never twice.
	launches_save(l);
	launches_restart(l);
	launches_at(l, 1202 * SEC);
	assert_int_equal(launches_job(l, parent)->launches, 1);
	assert_int_equal(launches_job(l, parent)->children, 1);
	assert_int_equal(launches_job(l, parent)->children_alive, 1);
	// Nor does it overlap with what ran before.
	launches_at(l, 1500 * SEC);
	assert_int_equal(launches_job(l, parent)->skips, 1);
	// Down over many: one is made up for.
	launches_end(l, launches_child(l, "j-1200"), SCHED_COMPLETE);
	launches_save(l);
	l->w.now = 9000 * SEC;
	launches_restart(l);
	launches_at(l, 9001 * SEC);
	assert_int_equal(launches_job(l, parent)->launches, 2);
	assert_int_equal(launches_job(l, parent)->children_alive, 1);
}

static void b91_a_changed_schedule_takes_effect_at_once(void **state)
{
	struct launches *l = *state;
	uint32_t parent;

	l->launch.cron = "0 0 1 * *";
	parent = launches_put(l, "j", 1);
	launches_at(l, 5000 * SEC);
	l->launch.cron = "* * * * *";
	launches_put(l, "j", 1);
	// What the new one would have launched before is not missed.
	assert_int_equal(launches_job(l, parent)->launches, 0);
	assert_true(sched_core_next(l->w.core) <= 5040 * SEC);
	launches_at(l, 5040 * SEC);
	assert_int_not_equal(launches_child(l, "j-5040"), SCHED_NONE);
	// The same schedule again changes nothing: what is due meanwhile comes.
	l->w.now = 5100 * SEC;
	launches_end(l, launches_child(l, "j-5040"), SCHED_COMPLETE);
	launches_put(l, "j", 2);
	assert_int_equal(world_live(&l->w, launches_child(l, "j-5100")), 2);
	// Without a schedule nothing is launched, and it runs itself.
	l->w.spec.launch = NULL;
	launches_put(l, "j", 1);
	launches_at(l, 6000 * SEC);
	assert_int_equal(launches_job(l, parent)->launches, 2);
	assert_int_equal(world_live(&l->w, parent), 1);
	// And back: what ran of it stops.
	l->w.spec.launch = &l->launch;
	launches_put(l, "j", 1);
	assert_int_equal(world_live(&l->w, parent), 0);
}

static void b91_stopped_it_launches_nothing(void **state)
{
	struct launches *l = *state;
	uint32_t parent = launches_put(l, "j", 1);

	launches_at(l, 1200 * SEC);
	assert_int_equal(sched_core_job_stop(l->w.core, parent, false, l->w.now), 0);
	launches_at(l, 3000 * SEC);
	assert_int_equal(launches_job(l, parent)->launches, 1);
	assert_true(sched_next_launch(launches_job(l, parent)) == NS_NEVER);
	// What was launched goes on.
	assert_int_equal(world_live(&l->w, launches_child(l, "j-1200")), 1);
	// Put again it begins anew.
	launches_end(l, launches_child(l, "j-1200"), SCHED_COMPLETE);
	launches_put(l, "j", 1);
	assert_int_equal(launches_job(l, parent)->launches, 1);
	launches_at(l, 3300 * SEC);
	assert_int_equal(launches_job(l, parent)->launches, 2);
}

static void purge_takes_all(struct launches *l, uint32_t parent, bool restarts)
{
	launches_save(l);
	assert_int_equal(sched_core_job_stop(l->w.core, parent, true, l->w.now), 0);
	for (int k = 0; k < 40 && launches_rows(l, SCHED_TABLE_JOBS); k++) {
		if (restarts && k < 20) {
			launches_save(l);
			launches_restart(l);
			sched_core_tick(l->w.core, l->w.now);
		} else {
			launches_at(l, l->w.now + 11 * SEC);
		}
	}
	assert_int_equal(launches_rows(l, SCHED_TABLE_JOBS), 0);
	assert_int_equal(launches_rows(l, SCHED_TABLE_INSTANCES), 0);
	assert_int_equal(launches_rows(l, SCHED_TABLE_EVALS), 0);
	assert_int_equal(sched_node_at(world_head(&l->w), 0)->used.cpu_milli, 0);
}

static void b91_deleted_it_takes_its_children_along(void **state)
{
	struct launches *l = *state;
	uint32_t parent;

	l->launch.overlap = true;
	parent = launches_put(l, "j", 2);
	for (int k = 0; k < 200; k++) {
		launches_at(l, (1200 + 300 * k) * SEC);
		if (k % 3 == 0)
			launches_end(l, sched_job_at(world_head(&l->w), parent)->first_child,
				SCHED_COMPLETE);
	}
	assert_true(launches_job(l, parent)->children > 130);
	purge_takes_all(l, parent, false);
	// With the program ending again and again.
	parent = launches_put(l, "j", 2);
	for (int k = 0; k < 100; k++)
		launches_at(l, (90000 + 300 * k) * SEC);
	purge_takes_all(l, parent, true);
}

static void b91_put_again_while_it_goes(void **state)
{
	struct launches *l = *state;
	uint32_t parent = launches_put(l, "j", 1), child;

	launches_at(l, 1200 * SEC);
	assert_int_equal(sched_core_job_stop(l->w.core, parent, true, l->w.now), 0);
	// Before anything was done about it.
	child = launches_child(l, "j-1200");
	launches_put(l, "j", 1);
	launches_at(l, 1250 * SEC);
	assert_int_equal(launches_job(l, parent)->children_alive, 1);
	assert_int_equal(world_live(&l->w, child), 1);
	launches_end(l, child, SCHED_COMPLETE);
	launches_at(l, 1500 * SEC);
	assert_int_not_equal(launches_child(l, "j-1500"), SCHED_NONE);
}

static void b91_a_clock_that_was_set_back(void **state)
{
	struct launches *l = *state;
	uint32_t parent = launches_put(l, "j", 1);

	launches_at(l, 1000000 * SEC);
	launches_end(l, launches_child(l, "j-1200"), SCHED_COMPLETE);
	launches_save(l);
	// A few minutes are waited for, so that nothing is launched twice; days are not.
	l->w.now = 999000 * SEC;
	launches_restart(l);
	assert_true(sched_next_launch(launches_job(l, parent)) > 1000000 * SEC);
	l->w.now = 500000 * SEC;
	launches_restart(l);
	assert_true(sched_next_launch(launches_job(l, parent)) == 500100 * SEC);
	launches_at(l, 500100 * SEC);
	assert_int_not_equal(launches_child(l, "j-500100"), SCHED_NONE);
	assert_int_equal(launches_job(l, parent)->launches, 2);
	launches_save(l);
	launches_restart(l);
	assert_int_equal(launches_job(l, parent)->launches, 2);
}

static void b91_launched_by_hand(void **state)
{
	struct launches *l = *state;
	uint32_t parent = launches_put(l, "j", 1), child, other;

	launches_at(l, 1100 * SEC);
	assert_int_equal(sched_core_launch_now(l->w.core, parent, l->w.now, &child), 0);
	world_settle(&l->w);
	assert_int_equal(launches_child(l, "j-1100"), child);
	assert_int_equal(world_live(&l->w, child), 1);
	assert_int_equal(sched_core_launch_now(l->w.core, parent, l->w.now, &other), -EEXIST);
	assert_int_equal(other, child);
	assert_int_equal(sched_core_launch_now(l->w.core, parent, l->w.now + SEC, &other), -EBUSY);
	launches_end(l, child, SCHED_COMPLETE);
	// The schedule goes on as it would have.
	launches_at(l, 1200 * SEC);
	assert_int_not_equal(launches_child(l, "j-1200"), SCHED_NONE);
	assert_int_equal(sched_core_launch_now(l->w.core, 99, l->w.now, &other), -ENOENT);
	// A child launches nothing.
	assert_int_equal(sched_core_launch_now(l->w.core, child, l->w.now, &other), -EINVAL);
}

static void b91_a_name_that_is_taken(void **state)
{
	struct launches *l = *state;
	uint32_t parent = launches_put(l, "j", 1), slot;

	l->w.spec.launch = NULL;
	launches_put(l, "j-1200", 1);
	launches_at(l, 1200 * SEC);
	assert_int_equal(launches_job(l, parent)->skips, 1);
	// By hand it is told apart from a child of this second.
	slot = 77;
	assert_int_equal(sched_core_launch_now(l->w.core, parent, 1200 * SEC, &slot), -ENOTUNIQ);
	assert_int_equal(slot, 77);
	launches_at(l, 1500 * SEC);
	assert_int_equal(launches_job(l, parent)->launches, 1);
	// The other way round.
	l->w.spec.name = "j-1500";
	assert_int_equal(sched_core_job_put(l->w.core, &l->w.spec, l->w.now, &slot), -EEXIST);
}

static void b91_what_is_refused(void **state)
{
	struct launches *l = *state;
	struct sched_spec *spec = &l->w.spec;
	uint32_t slot;

	spec->groups = &l->w.group;
	spec->name = "a23456789-123456789-123456789-123456789-1234567";
	assert_int_equal(strlen(spec->name), SCHED_PARENT_NAME_MAX + 1);
	assert_int_equal(sched_core_job_put(l->w.core, spec, l->w.now, &slot), -EINVAL);
	spec->name = "j";
	spec->type = SCHED_TYPE_SERVICE;
	assert_int_equal(sched_core_job_put(l->w.core, spec, l->w.now, &slot), -EINVAL);
	spec->type = SCHED_TYPE_BATCH;
	l->launch.cron = "61 * * * *";
	assert_int_equal(sched_core_job_put(l->w.core, spec, l->w.now, &slot), -EINVAL);
	l->launch.cron = NULL;
	assert_int_equal(sched_core_job_put(l->w.core, spec, l->w.now, &slot), -EINVAL);
	l->launch.cron = "* * * * *";
	l->launch.templated = true;
	assert_int_equal(sched_core_job_put(l->w.core, spec, l->w.now, &slot), -EINVAL);
	l->launch.templated = false;
	spec->parent = "p";
	assert_int_equal(sched_core_job_put(l->w.core, spec, l->w.now, &slot), -EINVAL);
	spec->parent = NULL;
	assert_int_equal(sched_core_job_put(l->w.core, spec, l->w.now, &slot), 0);
}

// ---- ten thousand ----

static void b91_many_cost_nothing_when_idle(void **state)
{
	struct launches *l = *state;
	uint64_t index;
	char name[16];

	for (int k = 0; k < 10000; k++) {
		snprintf(name, sizeof(name), "j%d", k);
		l->w.spec.name = name;
		l->w.spec.groups = &l->w.group;
		l->w.group.count = 0;
		l->launch.cron = k % 2 ? "*/5 * * * *" : "*/20 * * * *";
		assert_int_equal(
			sched_core_job_put(l->w.core, &l->w.spec, l->w.now, &(uint32_t){0}), 0);
	}
	launches_at(l, 1100 * SEC);
	index = world_head(&l->w)->index;
	assert_false(sched_core_tick(l->w.core, 1199 * SEC));
	assert_int_equal(world_head(&l->w)->index, index);
	assert_true(sched_launches_next(l->w.core) == 1200 * SEC);
	// All at once: in bounded steps, and each once.
	assert_true(sched_core_tick(l->w.core, 1200 * SEC));
	assert_true(l->w.core->launches.stats.launched < 1000);
	launches_at(l, 1200 * SEC);
	assert_int_equal(l->w.core->launches.stats.launched, 10000);
	launches_at(l, 1500 * SEC);
	assert_int_equal(l->w.core->launches.stats.launched, 15000);
	assert_true(sched_launches_next(l->w.core) > 1500 * SEC);
}

static void due_times_are_a_heap(void **state)
{
	static ns_t expect[2000];
	struct sched_due d = {0};
	struct rng rng;

	rng_seed(&rng, 5);
	for (int k = 0; k < 2000; k++)
		expect[k] = NS_NEVER;
	for (int k = 0; k < 30000; k++) {
		uint32_t slot = rng_below(&rng, 2000);
		ns_t first = NS_NEVER;

		expect[slot] = rng_below(&rng, 3) ? rng_below(&rng, 500) : NS_NEVER;
		assert_int_equal(sched_due_set(&d, slot, expect[slot]), 0);
		if (k % 50)
			continue;
		for (int n = 0; n < 2000; n++)
			first = expect[n] < first ? expect[n] : first;
		assert_true(sched_due_next(&d) == first);
	}
	for (ns_t last = 0; d.count; sched_due_set(&d, sched_due_first(&d), NS_NEVER)) {
		assert_true(sched_due_next(&d) >= last);
		last = sched_due_next(&d);
		assert_true(expect[sched_due_first(&d)] == last);
		expect[sched_due_first(&d)] = NS_NEVER;
	}
	for (int k = 0; k < 2000; k++)
		assert_true(expect[k] == NS_NEVER);
	sched_due_fini(&d);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(b91_launched_at_its_time),
		TEST(b91_no_overlap),
		TEST(b91_overlap_if_allowed),
		TEST(b91_what_was_missed_is_made_up_for_once),
		TEST(b91_restored_after_a_restart),
		TEST(b91_a_changed_schedule_takes_effect_at_once),
		TEST(b91_stopped_it_launches_nothing),
		TEST(b91_deleted_it_takes_its_children_along),
		TEST(b91_put_again_while_it_goes),
		TEST(b91_a_clock_that_was_set_back),
		TEST(b91_launched_by_hand),
		TEST(b91_a_name_that_is_taken),
		TEST(b91_what_is_refused),
		TEST(b91_many_cost_nothing_when_idle),
		cmocka_unit_test(due_times_are_a_heap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
