// SPDX-License-Identifier: Apache-2.0
// Groups that a deployment holds: behaviours 57 and 77.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "sched/reconcile.h"
#include "test/unit/deploy_world.h"

#define SEC NS_PER_SEC

// Canaries that a plan wanted, and that did not come about, are none.
static void b57_unplaced_canaries(void **state)
{
	struct world *w = *state;
	struct sched_ticket t;
	struct sched_plan *plan;
	uint64_t token;
	uint32_t job, c, placed;

	w->group.distinct_hosts = true;
	c = world_node(w, "c", 1000, 1000);
	world_node(w, "d", 1000, 1000);
	job = deploy_with_canaries(w, 2, 2);
	assert_int_equal(sched_core_dequeue(w->core, SCHED_MASK_ALL, w->now, &t, &token), 0);
	sched_worker_begin(w->worker, &t, token);
	assert_int_equal(sched_worker_plan(w->worker, sched_snapshot_pin(w->reader, w->core->state),
				 w->now, &plan),
		0);
	sched_reader_unpin(w->reader);
	assert_int_equal(plan->place_count, 2);
	// The node of one is gone before the plan is applied.
	c = plan->places[0].node;
	world_node_status(w, c, SCHED_NODE_DOWN);
	assert_int_equal(sched_core_submit(w->core, plan, w->now), 0);
	sched_core_apply(w->core, 1, w->now);
	assert_ptr_equal(sched_core_result(w->core), plan);
	assert_int_equal(plan->rejected_nodes, 1);
	placed = deploy_view(w, job).groups[0].placed;
	assert_int_equal(placed, 1);
	assert_int_equal(world_live_version(w, job, 2), 1);
	assert_false(deploy_view(w, job).waits);
	// Not as many as the group should have, so nothing is promoted when that one is ready.
	world_hosts(w);
	assert_int_equal(
		sched_core_deployment(w->core, job, SCHED_DEPLOYMENT_PROMOTE, w->now), -EBUSY);
	assert_int_equal(sched_worker_result(w->worker), -EAGAIN);
	sched_core_nack(w->core, &t, token, w->now);
	world_node_status(w, c, SCHED_NODE_READY);
	w->now += 100 * SEC;
	world_settle(w);
	assert_int_equal(deploy_view(w, job).groups[0].placed, 2);
	assert_true(deploy_view(w, job).waits);
}

static const struct sched_instance *group_at(const struct world *w, uint32_t job, uint32_t group)
{
	const struct sched_snapshot *s = world_head(w);

	for (uint32_t at = sched_job_at(s, job)->first_instance; at != SCHED_NONE;) {
		const struct sched_instance *i = sched_instance_at(s, at);

		if (sched_live(i) && i->group == group)
			return i;
		at = i->next_in_job;
	}
	return NULL;
}

static void b77_paused_places_nothing_more(void **state)
{
	struct world *w = *state;
	uint32_t job, had;

	w->group.max_parallel = 1;
	job = world_job(w, "j", 4);
	world_settle(w);
	w->group.restart_hash = 2;
	world_job(w, "j", 4);
	world_run(w);
	world_hosts(w);
	world_run(w);
	deploy_act(w, job, SCHED_DEPLOYMENT_PAUSE);
	had = world_live_version(w, job, 2);
	assert_int_equal(had, 2);
	world_settle(w);
	// What was under way has come to its end.
	assert_int_equal(world_live_version(w, job, 2), had);
	assert_int_equal(world_live(w, job), 4);
	w->now += 3600 * SEC;
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 2), had);
	assert_int_equal(
		sched_core_deployment(w->core, job, SCHED_DEPLOYMENT_PAUSE, w->now), -EINVAL);
	deploy_act(w, job, SCHED_DEPLOYMENT_RESUME);
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 2), 4);
	assert_int_equal(deploy_status(w, job), SCHED_DEPLOYMENT_SUCCESSFUL);
}

// A plan that was made before somebody paused is not applied.
static void b77_paused_while_a_plan_waits(void **state)
{
	struct world *w = *state;
	struct sched_ticket t;
	struct sched_plan *plan;
	uint64_t token;
	uint32_t job = deploy_with_canaries(w, 3, 2);

	assert_int_equal(sched_core_dequeue(w->core, SCHED_MASK_ALL, w->now, &t, &token), 0);
	sched_worker_begin(w->worker, &t, token);
	assert_int_equal(sched_worker_plan(w->worker, sched_snapshot_pin(w->reader, w->core->state),
				 w->now, &plan),
		0);
	sched_reader_unpin(w->reader);
	assert_int_equal(plan->place_count, 2);
	assert_int_equal(sched_core_submit(w->core, plan, w->now), 0);
	deploy_act(w, job, SCHED_DEPLOYMENT_PAUSE);
	sched_core_apply(w->core, 1, w->now);
	assert_ptr_equal(sched_core_result(w->core), plan);
	assert_int_equal(plan->placed, 0);
	assert_int_equal(sched_worker_result(w->worker), -EAGAIN);
	sched_core_nack(w->core, &t, token, w->now);
	w->now += 100 * SEC;
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 2), 0);
	deploy_act(w, job, SCHED_DEPLOYMENT_RESUME);
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 2), 2);
}

static void b77_failed_places_nothing_more(void **state)
{
	struct world *w = *state;
	uint32_t job = deploy_with_canaries(w, 4, 1);

	world_settle(w);
	deploy_act(w, job, SCHED_DEPLOYMENT_PROMOTE);
	world_run(w);
	// The canary has taken its place, two more are coming.
	assert_int_equal(world_live_version(w, job, 2), 3);
	world_report(w, deploy_at(w, job, 2, 1), SCHED_FAILED, false);
	assert_int_equal(deploy_status(w, job), SCHED_DEPLOYMENT_FAILED);
	assert_int_equal(deploy_why(w, job), SCHED_DEPLOYMENT_INSTANCE_FAILED);
	world_settle(w);
	w->now += 3600 * SEC;
	world_settle(w);
	// What is not ready goes where an old one serves.
	assert_int_equal(world_live_version(w, job, 2), 1);
	assert_int_equal(world_live_version(w, job, 1), 3);
	for (uint32_t k = 0; k < 4; k++)
		assert_non_null(world_named(w, job, k));
	// Somebody has found out why.
	deploy_act(w, job, SCHED_DEPLOYMENT_RESUME);
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 2), 4);
	assert_int_equal(deploy_status(w, job), SCHED_DEPLOYMENT_SUCCESSFUL);
}

static void b77_a_failed_canary_goes(void **state)
{
	struct world *w = *state;
	uint32_t job = deploy_with_canaries(w, 4, 2);

	world_settle(w);
	world_report(w, deploy_at(w, job, 2, 1), SCHED_FAILED, false);
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 2), 0);
	assert_int_equal(world_live_version(w, job, 1), 4);
	w->now += sched_core_defaults.gc_age_ns + SEC;
	world_settle(w);
	assert_int_equal(sched_job_at(world_head(w), job)->instances, 4);
}

// Old ones that are lost, fail, or must leave their node are replaced by old ones meanwhile.
static void b77_lost_old_ones_are_replaced(void **state)
{
	struct world *w = *state;
	uint32_t job = deploy_with_canaries(w, 4, 1), a = sched_node_find(w->core->state, "a");
	uint32_t c, rounds = 0, moved, drained = 0;

	world_settle(w);
	c = world_node(w, "c", 4000, 4000);
	world_node_status(w, a, SCHED_NODE_DOWN);
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 1), 4);
	assert_int_equal(world_live_version(w, job, 2), 1);
	assert_int_equal(world_live_on(w, job, a), 0);
	assert_non_null(deploy_at(w, job, 2, 0));
	// One that fails has its delay, as ever.
	world_report(w, deploy_at(w, job, 1, 3), SCHED_FAILED, false);
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 1), 3);
	w->now += 30 * SEC;
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 1), 4);
	assert_int_equal(deploy_at(w, job, 1, 3)->reschedules, 1);
	assert_int_equal(deploy_status(w, job), SCHED_DEPLOYMENT_RUNNING);
	// A drain replaces before it stops.
	deploy_act(w, job, SCHED_DEPLOYMENT_PAUSE);
	world_node_status(w, a, SCHED_NODE_READY);
	world_settle(w);
	moved = world_live_on(w, job, c);
	if (deploy_at(w, job, 2, 0) && deploy_at(w, job, 2, 0)->node == c)
		moved--;
	world_drain(w, c);
	for (; world_live_on(w, job, c); rounds++) {
		world_run(w);
		assert_true(world_live_version(w, job, 1) >= 4);
		assert_true(world_live(w, job) <= 4 + 1 + 2);
		assert_true(rounds < 30);
		world_hosts(w);
	}
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 1), 4);
	for (uint32_t k = 0; k < 4; k++) {
		const struct sched_instance *i = deploy_at(w, job, 1, k);

		// Replaced on the drained node or left alone; the chain says so.
		if (i->previous != SCHED_NONE)
			assert_int_equal(
				sched_instance_at(world_head(w), i->previous)->name_index, k);
		drained += i->previous != SCHED_NONE &&
			   sched_instance_at(world_head(w), i->previous)->node == c;
	}
	assert_int_equal(drained, moved);
	assert_true(moved > 0);
	// A paused deployment does not even place its canary again.
	assert_true(world_live_version(w, job, 2) <= 1);
	// Scaled up meanwhile: with old ones.
	world_job(w, "j", 6);
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 1), 6);
	deploy_act(w, job, SCHED_DEPLOYMENT_RESUME);
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 2), 1);
	deploy_act(w, job, SCHED_DEPLOYMENT_PROMOTE);
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 2), 6);
	assert_int_equal(world_live(w, job), 6);
}

// The old version's ask is another one: it counts for placing and applying alike.
static void b77_old_ones_ask_for_what_they_did(void **state)
{
	struct world *w = *state;
	uint32_t job = world_job(w, "j", 4), a = sched_node_find(w->core->state, "a");
	uint32_t b = sched_node_find(w->core->state, "b");

	world_settle(w);
	w->group.canaries = 1;
	w->group.ask.memory_mib = 3000;
	world_job(w, "j", 4);
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 2), 1);
	// One node holds the canary; what was there comes back in its old size on the other.
	world_node_status(w, deploy_at(w, job, 2, 0)->node == a ? b : a, SCHED_NODE_DOWN);
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 1), 4);
	assert_int_equal(world_live_version(w, job, 2), 1);
	assert_int_equal(world_evals(w, job, SCHED_EVAL_BLOCKED), 0);
	assert_int_equal(deploy_at(w, job, 1, 0)->ask.memory_mib, 100);
}

// The old version claims a port that the new one does not: of one plan two may not have it.
static void b77_old_ones_claim_what_they_did(void **state)
{
	struct world *w = *state;
	const struct sched_claim port = {"port.80", 1, 0};
	uint32_t job, c;

	w->spec.claims = &port;
	w->spec.claim_count = 1;
	job = world_job(w, "j", 2);
	world_settle(w);
	assert_int_equal(world_live(w, job), 2);
	w->spec.claim_count = 0;
	w->group.canaries = 1;
	w->group.restart_hash++;
	world_job(w, "j", 2);
	// All is lost, and then there is one node.
	world_node_status(w, 0, SCHED_NODE_DOWN);
	world_node_status(w, 1, SCHED_NODE_DOWN);
	world_settle(w);
	assert_int_equal(world_live(w, job), 0);
	c = world_node(w, "c", 4000, 4000);
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 1), 1);
	assert_int_equal(world_live_version(w, job, 2), 1);
	assert_int_equal(world_live_on(w, job, c), 2);
	world_node_status(w, 0, SCHED_NODE_READY);
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 1), 2);
}

// A job without anything careful goes on trying, and its deployment waits for that.
static void b77_plain_updates_try_again(void **state)
{
	struct world *w = *state;
	uint32_t job = world_job(w, "j", 2);

	world_settle(w);
	w->group.restart_hash = 2;
	world_job(w, "j", 2);
	world_run(w);
	world_report(w, deploy_at(w, job, 2, 0), SCHED_FAILED, false);
	world_settle(w);
	assert_int_equal(deploy_status(w, job), SCHED_DEPLOYMENT_RUNNING);
	w->now += 30 * SEC;
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 2), 2);
	assert_int_equal(deploy_status(w, job), SCHED_DEPLOYMENT_SUCCESSFUL);
}

// A group that the failed version leaves as it is: what is placed there is of the current version,
// and what fails waits longer each time.
static void b77_what_is_the_same_backs_off(void **state)
{
	struct world *w = *state;
	struct sched_group groups[2] = {w->group, w->group};
	const struct sched_instance *i;
	uint32_t job;

	groups[0].count = groups[1].count = 1;
	groups[0].name = "stays";
	w->spec.groups = groups;
	w->spec.group_count = 2;
	job = world_job(w, "j", 1);
	world_settle(w);
	groups[1].restart_hash = 2;
	world_job(w, "j", 1);
	world_run(w);
	deploy_act(w, job, SCHED_DEPLOYMENT_FAIL);
	world_settle(w);
	for (uint16_t n = 0; n < 4; n++) {
		i = group_at(w, job, 0);
		assert_non_null(i);
		assert_int_equal(i->version, 2);
		assert_int_equal(i->reschedules, n);
		world_report(w, i, SCHED_FAILED, false);
		world_settle(w);
		assert_null(group_at(w, job, 0));
		w->now += sched_reschedule_delay(n) + SEC;
		world_settle(w);
	}
	assert_int_equal(world_live(w, job), 2);
}

// Live canaries.
static uint32_t flagged(const struct world *w, uint32_t job)
{
	const struct sched_snapshot *s = world_head(w);
	uint32_t n = 0;

	for (uint32_t at = sched_job_at(s, job)->first_instance; at != SCHED_NONE;
		at = sched_instance_at(s, at)->next_in_job) {
		const struct sched_instance *i = sched_instance_at(s, at);

		n += sched_live(i) && i->flags & SCHED_INSTANCE_CANARY;
	}
	return n;
}

static void b77_stopped_is_cancelled(void **state)
{
	struct world *w = *state;
	uint32_t job = deploy_with_canaries(w, 3, 1);

	world_settle(w);
	assert_int_equal(sched_core_job_stop(w->core, job, false, w->now), 0);
	assert_int_equal(deploy_status(w, job), SCHED_DEPLOYMENT_CANCELLED);
	world_settle(w);
	assert_int_equal(world_live(w, job), 0);
	assert_int_equal(
		sched_core_deployment(w->core, job, SCHED_DEPLOYMENT_RESUME, w->now), -EINVAL);
	assert_int_equal(
		sched_core_deployment(w->core, 77, SCHED_DEPLOYMENT_RESUME, w->now), -ENOENT);
	// Put again there is nothing to be beside.
	world_job(w, "j", 3);
	world_settle(w);
	assert_int_equal(world_live(w, job), 3);
	assert_int_equal(world_live_version(w, job, 2), 3);
	assert_int_equal(flagged(w, job), 0);
	// So what fails waits for its turn.
	world_report(w, deploy_at(w, job, 2, 1), SCHED_FAILED, false);
	world_settle(w);
	assert_int_equal(world_live(w, job), 2);
	w->now += 30 * SEC;
	world_settle(w);
	assert_int_equal(world_live(w, job), 3);
}

// The version failed, was deleted, and is put again before it was forgotten: it is tried again.
static void b77_failed_and_stopped_is_cancelled(void **state)
{
	struct world *w = *state;
	uint32_t job = world_job(w, "j", 2);

	world_settle(w);
	w->group.restart_hash = 2;
	world_job(w, "j", 2);
	world_run(w);
	deploy_act(w, job, SCHED_DEPLOYMENT_FAIL);
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 1), 2);
	assert_int_equal(sched_core_job_stop(w->core, job, false, w->now), 0);
	assert_int_equal(deploy_status(w, job), SCHED_DEPLOYMENT_CANCELLED);
	assert_int_equal(deploy_why(w, job), SCHED_DEPLOYMENT_JOB_STOPPED);
	world_settle(w);
	world_job(w, "j", 2);
	world_settle(w);
	assert_int_equal(deploy_spec(w, job)->version, 2);
	assert_int_equal(world_live_version(w, job, 2), 2);
	assert_int_equal(world_live(w, job), 2);
}

// It failed, was put again without canaries, and is resumed before these were told to stop: they
// take their places.
static void b77_resumed_without_canaries(void **state)
{
	struct world *w = *state;
	uint32_t job = deploy_with_canaries(w, 3, 1);

	world_settle(w);
	deploy_act(w, job, SCHED_DEPLOYMENT_FAIL);
	w->group.canaries = 0;
	world_job(w, "j", 3);
	deploy_act(w, job, SCHED_DEPLOYMENT_RESUME);
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 2), 3);
	assert_int_equal(flagged(w, job), 0);
	assert_int_equal(deploy_status(w, job), SCHED_DEPLOYMENT_SUCCESSFUL);
}

// Stopped and put again before anything was told to stop: canaries take their places, and the next
// version has them go one by one as well.
static void b77_stopped_for_a_moment(void **state)
{
	struct world *w = *state;
	uint32_t job = deploy_with_canaries(w, 4, 4), rounds = 0;

	world_settle(w);
	assert_int_equal(flagged(w, job), 4);
	assert_int_equal(sched_core_job_stop(w->core, job, true, w->now), 0);
	world_job(w, "j", 4);
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 2), 4);
	assert_int_equal(world_live(w, job), 4);
	assert_int_equal(flagged(w, job), 0);
	w->group.canaries = 0;
	w->group.restart_hash++;
	world_job(w, "j", 4);
	for (; world_live_version(w, job, 2); rounds++) {
		world_run(w);
		assert_true(world_live(w, job) >= 4);
		assert_true(rounds < 30);
		world_hosts(w);
	}
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 3), 4);
}

// A group that was empty while its deployment went on has no canaries once that has ended.
static void b77_successful_has_no_canaries(void **state)
{
	struct world *w = *state;
	struct sched_group groups[2] = {w->group, w->group};
	uint32_t job;

	groups[0].count = groups[1].count = 1;
	groups[1].name = "second";
	w->spec.groups = groups;
	w->spec.group_count = 2;
	job = world_job(w, "j", 1);
	world_settle(w);
	groups[0].restart_hash = groups[1].restart_hash = 2;
	groups[1].canaries = 2;
	groups[1].count = 0;
	world_job(w, "j", 1);
	world_settle(w);
	assert_int_equal(deploy_status(w, job), SCHED_DEPLOYMENT_SUCCESSFUL);
	groups[1].count = 3;
	world_job(w, "j", 1);
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 2), 4);
	assert_int_equal(flagged(w, job), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, deploy_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		TEST(b57_unplaced_canaries),
		TEST(b77_paused_places_nothing_more),
		TEST(b77_paused_while_a_plan_waits),
		TEST(b77_failed_places_nothing_more),
		TEST(b77_a_failed_canary_goes),
		TEST(b77_lost_old_ones_are_replaced),
		TEST(b77_old_ones_ask_for_what_they_did),
		TEST(b77_old_ones_claim_what_they_did),
		TEST(b77_plain_updates_try_again),
		TEST(b77_what_is_the_same_backs_off),
		TEST(b77_stopped_is_cancelled),
		TEST(b77_failed_and_stopped_is_cancelled),
		TEST(b77_resumed_without_canaries),
		TEST(b77_stopped_for_a_moment),
		TEST(b77_successful_has_no_canaries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
