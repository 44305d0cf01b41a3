// SPDX-License-Identifier: Apache-2.0
// Deployments: behaviours 75 and 76. Rolling, canaries, promotion, going back, restarts; the time
// for progress is in test_sched_progress.c.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "test/unit/deploy_world.h"

#define SEC NS_PER_SEC

// ---- rolling ----

static void b75_without_a_limit_all_at_once(void **state)
{
	struct world *w = *state;
	uint32_t job;

	w->group.max_parallel = 0;
	w->group.auto_revert = true; // so that there is a deployment
	job = world_job(w, "j", 6);
	world_settle(w);
	w->group.restart_hash = 2;
	world_job(w, "j", 6);
	world_run(w);
	assert_int_equal(world_live_version(w, job, 1), 6);
	assert_int_equal(world_live_version(w, job, 2), 6);
	world_settle(w);
	assert_int_equal(world_live(w, job), 6);
	assert_int_equal(deploy_status(w, job), SCHED_DEPLOYMENT_SUCCESSFUL);
}

// One that does not become ready takes its place among max_parallel, and the others go on.
static void b75_one_that_hangs(void **state)
{
	struct world *w = *state;
	uint32_t job = world_job(w, "j", 6);

	world_settle(w);
	w->group.restart_hash = 2;
	world_job(w, "j", 6);
	world_run(w);
	for (uint32_t k = 1; k < 6; k++) {
		assert_non_null(deploy_at(w, job, 2, k));
		assert_int_equal(world_live(w, job), 8);
		world_report(w, deploy_at(w, job, 2, k), SCHED_RUNNING, true);
		world_run(w);
	}
	assert_int_equal(world_live_version(w, job, 2), 6);
	assert_int_equal(world_live_version(w, job, 1), 1);
	assert_int_equal(deploy_status(w, job), SCHED_DEPLOYMENT_RUNNING);
	world_settle(w);
	assert_int_equal(deploy_status(w, job), SCHED_DEPLOYMENT_SUCCESSFUL);
}

// An old one that ends by itself while its replacement is coming is settled, and forgotten in time.
static void b94_ended_after_its_replacement_came(void **state)
{
	struct world *w = *state;
	uint32_t job = world_job(w, "j", 1);

	world_settle(w);
	w->group.restart_hash = 2;
	world_job(w, "j", 1);
	world_run(w);
	assert_int_equal(world_live(w, job), 2);
	world_report(w, deploy_at(w, job, 1, 0), SCHED_FAILED, false);
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 2), 1);
	w->now += sched_core_defaults.gc_age_ns + SEC;
	world_settle(w);
	assert_int_equal(sched_job_at(world_head(w), job)->instances, 1);
}

// ---- canaries, promotion, failing ----

static void b76_canary_and_promotion(void **state)
{
	struct world *w = *state;
	uint32_t job = deploy_with_canaries(w, 5, 2), rounds = 0;

	world_run(w);
	assert_int_equal(
		sched_core_deployment(w->core, job, SCHED_DEPLOYMENT_PROMOTE, w->now), -EBUSY);
	world_settle(w);
	// Beside the old ones, with the names of those they will replace; and there it stays.
	assert_int_equal(world_live_version(w, job, 1), 5);
	assert_int_equal(world_live_version(w, job, 2), 2);
	for (uint32_t k = 0; k < 2; k++) {
		assert_non_null(deploy_at(w, job, 2, k));
		assert_true(deploy_at(w, job, 2, k)->flags & SCHED_INSTANCE_CANARY);
	}
	assert_int_equal(deploy_status(w, job), SCHED_DEPLOYMENT_RUNNING);
	assert_true(deploy_view(w, job).waits);
	assert_int_equal(deploy_view(w, job).groups[0].canaries, 2);
	assert_int_equal(deploy_view(w, job).groups[0].placed, 2);
	assert_int_equal(deploy_view(w, job).groups[0].healthy, 2);
	assert_false(deploy_view(w, job).groups[0].promoted);
	w->now += 3600 * SEC;
	world_settle(w);
	assert_int_equal(world_live(w, job), 7);
	deploy_act(w, job, SCHED_DEPLOYMENT_PROMOTE);
	assert_false(deploy_view(w, job).waits);
	assert_true(deploy_view(w, job).groups[0].promoted);
	// The canaries take their places, the others follow by max_parallel.
	for (; deploy_status(w, job) == SCHED_DEPLOYMENT_RUNNING; rounds++) {
		world_run(w);
		assert_true(world_live(w, job) <= 7);
		assert_true(rounds < 50);
		world_hosts(w);
	}
	assert_true(rounds >= 2);
	assert_int_equal(deploy_status(w, job), SCHED_DEPLOYMENT_SUCCESSFUL);
	assert_int_equal(deploy_why(w, job), SCHED_DEPLOYMENT_ALL_READY);
	assert_int_equal(world_live(w, job), 5);
	assert_int_equal(world_live_version(w, job, 2), 5);
	assert_int_equal(
		sched_core_deployment(w->core, job, SCHED_DEPLOYMENT_PAUSE, w->now), -EINVAL);
	assert_int_equal(
		sched_core_deployment(w->core, job, SCHED_DEPLOYMENT_PROMOTE, w->now), -EINVAL);
}

// The version before it was put and never placed: what runs is an older one, that was not ready.
static void b76_canaries_beside_what_runs(void **state)
{
	struct world *w = *state;
	uint32_t job = world_job(w, "j", 3);

	world_run(w);
	w->group.canaries = 1;
	w->group.restart_hash = 2;
	world_job(w, "j", 3);
	w->group.restart_hash = 3;
	world_job(w, "j", 3);
	world_settle(w);
	assert_int_equal(deploy_view(w, job).deployment->from, 1);
	assert_int_equal(world_live_version(w, job, 1), 3);
	assert_int_equal(world_live_version(w, job, 3), 1);
	assert_true(deploy_view(w, job).waits);
	deploy_act(w, job, SCHED_DEPLOYMENT_PROMOTE);
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 3), 3);
	assert_int_equal(world_live(w, job), 3);
}

static void b76_canary_of_a_single_instance(void **state)
{
	struct world *w = *state;
	// More than there are: one.
	uint32_t job = deploy_with_canaries(w, 1, 4);

	world_settle(w);
	assert_int_equal(world_live(w, job), 2);
	deploy_act(w, job, SCHED_DEPLOYMENT_PROMOTE);
	world_settle(w);
	assert_int_equal(world_live(w, job), 1);
	assert_int_equal(world_live_version(w, job, 2), 1);
	assert_int_equal(deploy_status(w, job), SCHED_DEPLOYMENT_SUCCESSFUL);
}

static void b76_auto_promote(void **state)
{
	struct world *w = *state;
	uint32_t job;

	w->group.auto_promote = true;
	job = deploy_with_canaries(w, 4, 2);
	world_run(w);
	world_report(w, deploy_at(w, job, 2, 0), SCHED_RUNNING, true);
	world_run(w);
	// Not before all of them are ready.
	assert_int_equal(world_live_version(w, job, 2), 2);
	assert_int_equal(deploy_view(w, job).deployment->promoted, 0);
	world_report(w, deploy_at(w, job, 2, 1), SCHED_RUNNING, true);
	assert_int_equal(deploy_why(w, job), SCHED_DEPLOYMENT_AUTO_PROMOTED);
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 2), 4);
	assert_int_equal(world_live(w, job), 4);
	assert_int_equal(deploy_status(w, job), SCHED_DEPLOYMENT_SUCCESSFUL);
}

// Two groups: one without anything new has no canaries; each that has some must be ready.
static void b76_groups(void **state)
{
	struct world *w = *state;
	struct sched_group groups[3] = {w->group, w->group, w->group};
	uint32_t job;

	for (uint32_t g = 0; g < 3; g++) {
		groups[g].count = 2;
		groups[g].canaries = 1;
		groups[g].auto_promote = true;
	}
	groups[1].name = "second";
	groups[2].name = "third";
	w->spec.groups = groups;
	w->spec.group_count = 3;
	job = world_job(w, "j", 0);
	world_settle(w);
	groups[0].restart_hash = groups[1].restart_hash = 2;
	world_job(w, "j", 0);
	world_run(w);
	assert_int_equal(deploy_view(w, job).groups[0].canaries, 1);
	assert_int_equal(deploy_view(w, job).groups[1].canaries, 1);
	assert_int_equal(deploy_view(w, job).groups[2].canaries, 0);
	// Two canaries, and what is the same to the third group goes on.
	assert_int_equal(world_live(w, job), 8);
	assert_int_equal(world_live_version(w, job, 2), 4);
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 2), 6);
	assert_int_equal(deploy_status(w, job), SCHED_DEPLOYMENT_SUCCESSFUL);
}

// Where nothing runs there is nothing to be beside: not even the version before.
static void b76_nothing_to_be_beside(void **state)
{
	struct world *w = *state;
	uint32_t job;

	w->group.auto_revert = true;
	world_job(w, "j", 2);
	world_settle(w);
	job = deploy_with_canaries(w, 0, 2);
	assert_int_equal(deploy_view(w, job).deployment->stable, 1);
	world_job(w, "j", 3);
	assert_int_equal(deploy_view(w, job).groups[0].canaries, 0);
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 2), 3);
	assert_int_equal(world_live(w, job), 3);
	assert_int_equal(deploy_status(w, job), SCHED_DEPLOYMENT_SUCCESSFUL);
}

// What goes on in place is of the new version, but it is not the new version that failed.
static void b76_what_goes_on_may_fail(void **state)
{
	struct world *w = *state;
	struct sched_group groups[2] = {w->group, w->group};
	uint32_t job;

	for (uint32_t g = 0; g < 2; g++) {
		groups[g].count = 1;
		groups[g].canaries = 1;
	}
	groups[1].name = "second";
	w->spec.groups = groups;
	w->spec.group_count = 2;
	job = world_job(w, "j", 0);
	world_settle(w);
	groups[0].restart_hash = 2;
	world_job(w, "j", 0);
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 2), 2);
	for (uint32_t at = sched_job_at(world_head(w), job)->first_instance; at != SCHED_NONE;) {
		const struct sched_instance *i = sched_instance_at(world_head(w), at);

		at = i->next_in_job;
		if (i->group == 1)
			world_report(w, i, SCHED_FAILED, false);
	}
	assert_int_equal(deploy_status(w, job), SCHED_DEPLOYMENT_RUNNING);
	assert_true(deploy_view(w, job).waits);
}

static void b76_auto_revert(void **state)
{
	struct world *w = *state;
	struct sched_id first[3];
	uint32_t job;

	w->group.auto_revert = true;
	job = world_job(w, "j", 3);
	world_settle(w);
	assert_int_equal(deploy_status(w, job), SCHED_DEPLOYMENT_SUCCESSFUL);
	for (uint32_t k = 0; k < 3; k++)
		first[k] = world_named(w, job, k)->id;
	w->group.canaries = 1;
	w->group.restart_hash = 2;
	world_job(w, "j", 3);
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 2), 1);
	world_report(w, deploy_at(w, job, 2, 0), SCHED_FAILED, false);
	// A third version, with the first one's spec: the instances of that go on.
	assert_int_equal(deploy_spec(w, job)->version, 3);
	assert_int_equal(deploy_spec(w, job)->groups[0].restart_hash, 1);
	assert_int_equal(deploy_view(w, job).deployment->before, 2);
	assert_int_equal(deploy_view(w, job).deployment->before_status, SCHED_DEPLOYMENT_FAILED);
	assert_true(deploy_view(w, job).deployment->revert);
	assert_non_null(strstr(deploy_view(w, job).why, "stable"));
	world_settle(w);
	assert_int_equal(world_live(w, job), 3);
	assert_int_equal(world_live_version(w, job, 3), 3);
	for (uint32_t k = 0; k < 3; k++)
		assert_int_equal(world_named(w, job, k)->id.slot, first[k].slot);
	assert_int_equal(deploy_status(w, job), SCHED_DEPLOYMENT_SUCCESSFUL);
	w->now += 3600 * SEC;
	world_settle(w);
	assert_int_equal(deploy_spec(w, job)->version, 3);
}

// In the middle of the roll, without canaries; and going back fails, too.
static void b76_auto_revert_half_way(void **state)
{
	struct world *w = *state;
	uint32_t job;

	w->group.auto_revert = true;
	w->group.max_parallel = 1;
	job = world_job(w, "j", 4);
	world_settle(w);
	w->group.restart_hash = 2;
	world_job(w, "j", 4);
	world_run(w);
	world_hosts(w);
	world_run(w);
	assert_int_equal(world_live_version(w, job, 2), 2);
	world_report(w, deploy_at(w, job, 2, 1), SCHED_FAILED, false);
	assert_int_equal(deploy_spec(w, job)->version, 3);
	world_run(w);
	// What has been replaced already rolls back.
	assert_int_equal(world_live_version(w, job, 2), 1);
	assert_int_equal(world_live_version(w, job, 3), 4);
	world_report(w, deploy_at(w, job, 3, 0), SCHED_FAILED, false);
	assert_int_equal(deploy_status(w, job), SCHED_DEPLOYMENT_FAILED);
	assert_int_equal(deploy_spec(w, job)->version, 3);
	world_settle(w);
	assert_int_equal(deploy_spec(w, job)->version, 3);
	assert_int_equal(world_live(w, job), 4);
}

// The stable version was deleted, and its row not yet forgotten when the next one came: to go back
// to it is to run it.
static void b76_auto_revert_to_what_was_stopped(void **state)
{
	struct world *w = *state;
	uint32_t job;

	w->group.auto_revert = true;
	job = world_job(w, "j", 3);
	world_settle(w);
	assert_int_equal(sched_core_job_stop(w->core, job, true, w->now), 0);
	w->group.restart_hash = 2;
	world_job(w, "j", 3);
	world_run(w);
	world_report(w, deploy_at(w, job, 2, 0), SCHED_FAILED, false);
	assert_int_equal(deploy_spec(w, job)->version, 3);
	assert_int_equal(deploy_spec(w, job)->groups[0].restart_hash, 1);
	assert_false(deploy_spec(w, job)->stopped);
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 3), 3);
}

// Nothing was stable before: there is nothing to go back to.
static void b76_without_a_stable_version(void **state)
{
	struct world *w = *state;
	uint32_t job;

	w->group.auto_revert = true;
	job = world_job(w, "j", 2);
	world_run(w);
	w->group.restart_hash = 2;
	world_job(w, "j", 2);
	world_run(w);
	assert_int_equal(deploy_view(w, job).deployment->stable, 0);
	assert_int_equal(deploy_view(w, job).deployment->from, 1);
	assert_int_equal(deploy_view(w, job).deployment->before_status, SCHED_DEPLOYMENT_CANCELLED);
	world_report(w, deploy_at(w, job, 2, 0), SCHED_FAILED, false);
	assert_int_equal(deploy_status(w, job), SCHED_DEPLOYMENT_FAILED);
	assert_int_equal(deploy_spec(w, job)->version, 2);
}

// The last stable version is kept, however many came since and have not stopped yet.
static void b76_the_stable_version_is_kept(void **state)
{
	struct world *w = *state;
	uint32_t job;

	w->group.auto_revert = true;
	job = world_job(w, "j", 2);
	world_settle(w);
	for (uint32_t k = 2; k < 30; k++) {
		w->group.restart_hash = k;
		w->group.canaries = 1;
		world_job(w, "j", 2);
		world_run(w);
		assert_int_equal(deploy_view(w, job).deployment->stable, 1);
		assert_true(
			sched_job_at(world_head(w), job)->versions->count <= SCHED_VERSIONS_MAX);
	}
	deploy_act(w, job, SCHED_DEPLOYMENT_FAIL);
	assert_int_equal(deploy_spec(w, job)->version, 30);
	assert_int_equal(deploy_spec(w, job)->groups[0].restart_hash, 1);
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 30), 2);
	assert_int_equal(world_live(w, job), 2);
}

// Whoever puts the refused version again, as a host that only wants another count does, changes
// counts alone.
static void b76_what_was_refused_is_not_tried_again(void **state)
{
	struct world *w = *state;
	uint32_t job;

	w->group.auto_revert = true;
	job = world_job(w, "j", 2);
	world_settle(w);
	w->group.restart_hash = 2;
	world_job(w, "j", 2);
	world_run(w);
	world_report(w, deploy_at(w, job, 2, 0), SCHED_FAILED, false);
	world_settle(w);
	assert_int_equal(deploy_spec(w, job)->version, 3);
	world_job(w, "j", 5);
	world_settle(w);
	assert_int_equal(deploy_spec(w, job)->version, 3);
	assert_int_equal(deploy_spec(w, job)->groups[0].restart_hash, 1);
	assert_int_equal(world_live_version(w, job, 3), 5);
	// Another version is another try.
	w->group.restart_hash = 4;
	world_job(w, "j", 5);
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 4), 5);
	assert_int_equal(deploy_status(w, job), SCHED_DEPLOYMENT_SUCCESSFUL);
}

// The same version put with no canaries: those that are there are promoted.
static void b76_canaries_given_up(void **state)
{
	struct world *w = *state;
	uint32_t job = deploy_with_canaries(w, 4, 2);

	world_settle(w);
	w->group.canaries = 0;
	world_job(w, "j", 4);
	assert_true(deploy_view(w, job).groups[0].promoted);
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 2), 4);
	assert_int_equal(world_live(w, job), 4);
	assert_int_equal(deploy_status(w, job), SCHED_DEPLOYMENT_SUCCESSFUL);
}

static void b76_a_newer_version_prunes_canaries(void **state)
{
	struct world *w = *state;
	uint32_t job = deploy_with_canaries(w, 4, 2);

	world_settle(w);
	assert_int_equal(world_live_version(w, job, 2), 2);
	w->group.restart_hash = 3;
	world_job(w, "j", 4);
	assert_int_equal(deploy_view(w, job).deployment->before, 2);
	assert_int_equal(deploy_view(w, job).deployment->before_status, SCHED_DEPLOYMENT_CANCELLED);
	world_run(w);
	assert_int_equal(world_live_version(w, job, 2), 0);
	assert_int_equal(world_live_version(w, job, 3), 2);
	assert_int_equal(world_live_version(w, job, 1), 4);
	// And back by hand: nothing is new to them.
	w->group.restart_hash = 1;
	world_job(w, "j", 4);
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 4), 4);
	assert_int_equal(world_live(w, job), 4);
	assert_int_equal(deploy_status(w, job), SCHED_DEPLOYMENT_SUCCESSFUL);
}

// ---- restarts ----

// A second core, from the log of the first one or from a checkpoint of it. What was ready is to be
// reported again.
static void restart(struct world *w, bool checkpoint)
{
	uint64_t hash = sched_state_hash(world_head(w));
	struct sched_encoder out = {0};
	struct sched_core *core = sched_core_new(NULL, 5);
	const struct sched_bytes *from = checkpoint ? &out.out : &w->core->state->log.out;

	assert_int_equal(sched_checkpoint(world_head(w), &out), 0);
	assert_int_equal(sched_replay(core->state, from->data, from->len), 0);
	assert_true(sched_state_hash(&core->state->head) == hash);
	// The log of the new one begins where that of the old one ends.
	assert_int_equal(core->state->log.out.len, 0);
	memcpy(sched_bytes_take(&core->state->log.out, out.out.len), out.out.data, out.out.len);
	sched_bytes_fini(&out.out);
	sched_worker_destroy(w->worker);
	sched_reader_destroy(w->reader);
	sched_core_destroy(w->core);
	w->core = core;
	assert_int_equal(sched_core_start(w->core, w->now), 0);
	assert_true(sched_state_hash(world_head(w)) == hash);
	w->worker = sched_worker_new(NULL, 6);
	w->reader = sched_reader_new(&w->core->state->pages);
}

static void b76_survives_restarts(void **state)
{
	struct world *w = *state;
	uint32_t job;

	for (int checkpoint = 0; checkpoint < 2; checkpoint++) {
		w->group.auto_revert = true;
		w->group.progress_deadline_ns = 60 * SEC;
		w->group.canaries = 0;
		job = deploy_with_canaries(w, 4, 2);
		restart(w, checkpoint);
		world_run(w);
		restart(w, checkpoint);
		world_settle(w);
		assert_true(deploy_view(w, job).waits);
		w->now += 1000 * SEC;
		restart(w, checkpoint);
		// The hosts have a minute to say again what is ready.
		world_run(w);
		assert_int_equal(deploy_status(w, job), SCHED_DEPLOYMENT_RUNNING);
		world_settle(w);
		assert_true(deploy_view(w, job).waits);
		deploy_act(w, job, SCHED_DEPLOYMENT_PROMOTE);
		restart(w, checkpoint);
		world_settle(w);
		assert_int_equal(world_live(w, job), 4);
		assert_int_equal(deploy_status(w, job), SCHED_DEPLOYMENT_SUCCESSFUL);
		w->group.restart_hash++;
		world_job(w, "j", 4);
		world_settle(w);
		restart(w, checkpoint);
		deploy_act(w, job, SCHED_DEPLOYMENT_FAIL);
		restart(w, checkpoint);
		world_settle(w);
		assert_true(deploy_view(w, job).deployment->revert);
		assert_int_equal(world_live(w, job), 4);
		assert_int_equal(deploy_status(w, job), SCHED_DEPLOYMENT_SUCCESSFUL);
		assert_int_equal(sched_core_job_stop(w->core, job, true, w->now), 0);
		world_settle(w);
		w->now += 3600 * SEC;
		world_settle(w);
		assert_int_equal(sched_job_find(w->core->state, "default", "j"), SCHED_NONE);
	}
}

// All were ready in the checkpoint, and hosts that see nothing new report nothing new.
static void b76_ended_while_away(void **state)
{
	struct world *w = *state;
	struct sched_deployment d;
	uint32_t job;

	w->group.progress_deadline_ns = 60 * SEC;
	job = world_job(w, "j", 2);
	world_settle(w);
	// As if the program had ended just before it noticed.
	d = *deploy_view(w, job).deployment;
	d.status = SCHED_DEPLOYMENT_RUNNING;
	sched_txn_begin(w->core->state);
	assert_int_equal(
		sched_txn_change(w->core->state,
			&(struct sched_change){
				.type = SCHED_DEPLOYMENT_PUT, .slot = job, .deployment = &d}),
		0);
	assert_int_equal(sched_txn_end(w->core->state), 0);
	restart(w, true);
	world_run(w);
	assert_int_equal(deploy_status(w, job), SCHED_DEPLOYMENT_SUCCESSFUL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, deploy_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		TEST(b75_without_a_limit_all_at_once),
		TEST(b75_one_that_hangs),
		TEST(b94_ended_after_its_replacement_came),
		TEST(b76_canary_and_promotion),
		TEST(b76_canaries_beside_what_runs),
		TEST(b76_canary_of_a_single_instance),
		TEST(b76_auto_promote),
		TEST(b76_groups),
		TEST(b76_nothing_to_be_beside),
		TEST(b76_what_goes_on_may_fail),
		TEST(b76_auto_revert),
		TEST(b76_auto_revert_half_way),
		TEST(b76_auto_revert_to_what_was_stopped),
		TEST(b76_without_a_stable_version),
		TEST(b76_the_stable_version_is_kept),
		TEST(b76_what_was_refused_is_not_tried_again),
		TEST(b76_canaries_given_up),
		TEST(b76_a_newer_version_prunes_canaries),
		TEST(b76_survives_restarts),
		TEST(b76_ended_while_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
