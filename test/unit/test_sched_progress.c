// SPDX-License-Identifier: Apache-2.0
// The time in which a deployment must get further: behaviour 76.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "test/unit/deploy_world.h"

#define SEC NS_PER_SEC

static void b76_no_progress(void **state)
{
	struct world *w = *state;
	uint32_t job;
	ns_t start;

	w->group.progress_deadline_ns = 60 * SEC;
	job = world_job(w, "j", 4);
	world_settle(w);
	assert_int_equal(deploy_status(w, job), SCHED_DEPLOYMENT_SUCCESSFUL);
	w->group.restart_hash = 2;
	start = w->now;
	world_job(w, "j", 4);
	world_run(w);
	assert_true(sched_core_next(w->core) <= start + 60 * SEC);
	// Something became ready: the time starts anew.
	w->now = start + 50 * SEC;
	world_run(w);
	world_report(w, deploy_at(w, job, 2, 0), SCHED_RUNNING, true);
	w->now = start + 109 * SEC;
	world_run(w);
	assert_int_equal(deploy_status(w, job), SCHED_DEPLOYMENT_RUNNING);
	assert_true(sched_core_next(w->core) <= start + 110 * SEC);
	w->now = start + 110 * SEC;
	world_run(w);
	assert_int_equal(deploy_status(w, job), SCHED_DEPLOYMENT_FAILED);
	assert_int_equal(deploy_why(w, job), SCHED_DEPLOYMENT_NO_PROGRESS);
	world_settle(w);
	assert_int_equal(world_live(w, job), 4);
	assert_true(world_live_version(w, job, 1) >= 1);
}

// Each version has its own time, however late that of the one before it was to be looked at.
static void b76_each_version_has_its_own_time(void **state)
{
	struct world *w = *state;
	uint32_t job;

	w->group.progress_deadline_ns = 3600 * SEC;
	job = world_job(w, "j", 2);
	world_settle(w);
	w->now += 300 * SEC;
	w->group.progress_deadline_ns = 30 * SEC;
	w->group.restart_hash = 2;
	world_job(w, "j", 2);
	world_run(w);
	assert_true(sched_core_next(w->core) <= w->now + 30 * SEC);
	w->now += 31 * SEC;
	world_run(w);
	assert_int_equal(deploy_status(w, job), SCHED_DEPLOYMENT_FAILED);
	// Resumed, paused, and put again with less.
	deploy_act(w, job, SCHED_DEPLOYMENT_RESUME);
	deploy_act(w, job, SCHED_DEPLOYMENT_PAUSE);
	w->group.progress_deadline_ns = 10 * SEC;
	world_job(w, "j", 2);
	deploy_act(w, job, SCHED_DEPLOYMENT_RESUME);
	world_run(w);
	w->now += 11 * SEC;
	world_run(w);
	assert_int_equal(deploy_status(w, job), SCHED_DEPLOYMENT_FAILED);
}

// What a version that has an hour goes back to has 30 s: whether it failed or the hour was over.
static void b76_going_back_has_its_own_time(void **state)
{
	struct world *w = *state;

	for (int late = 0; late < 2; late++) {
		uint32_t job;

		w->group.auto_revert = true;
		w->group.progress_deadline_ns = 30 * SEC;
		w->group.restart_hash = 1;
		job = world_job(w, late ? "late" : "j", 2);
		world_settle(w);
		w->group.progress_deadline_ns = 3600 * SEC;
		w->group.restart_hash = 2;
		world_job(w, late ? "late" : "j", 2);
		world_run(w);
		// It rolls back what has come already, and hangs.
		world_report(w, deploy_at(w, job, 2, 0), SCHED_RUNNING, true);
		world_run(w);
		w->now += late ? 3600 * SEC : 100 * SEC;
		if (!late)
			world_report(w, deploy_at(w, job, 2, 1), SCHED_FAILED, false);
		world_run(w);
		assert_true(deploy_view(w, job).deployment->revert);
		assert_int_equal(deploy_status(w, job), SCHED_DEPLOYMENT_RUNNING);
		w->now += 31 * SEC;
		world_run(w);
		assert_int_equal(deploy_status(w, job), SCHED_DEPLOYMENT_FAILED);
		assert_int_equal(deploy_why(w, job), SCHED_DEPLOYMENT_NO_PROGRESS);
	}
}

// Time does not run while canaries wait for somebody, and does again when they are promoted.
static void b76_waiting_is_not_standing_still(void **state)
{
	struct world *w = *state;
	uint32_t job;

	w->group.progress_deadline_ns = 60 * SEC;
	job = deploy_with_canaries(w, 3, 1);
	world_settle(w);
	for (uint32_t k = 0; k < 10; k++) {
		w->now += 59 * SEC;
		world_settle(w);
	}
	assert_int_equal(deploy_status(w, job), SCHED_DEPLOYMENT_RUNNING);
	deploy_act(w, job, SCHED_DEPLOYMENT_PROMOTE);
	world_run(w);
	w->now += 59 * SEC;
	world_run(w);
	assert_int_equal(deploy_status(w, job), SCHED_DEPLOYMENT_RUNNING);
	w->now += 2 * SEC;
	world_run(w);
	assert_int_equal(deploy_status(w, job), SCHED_DEPLOYMENT_FAILED);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, deploy_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		TEST(b76_no_progress),
		TEST(b76_each_version_has_its_own_time),
		TEST(b76_going_back_has_its_own_time),
		TEST(b76_waiting_is_not_standing_still),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
