// SPDX-License-Identifier: Apache-2.0
// Worker, reconciler and events, through the whole core: behaviours 20, 24, 59 to 70, 71, 74, 75,
// 78 to 84, 86, 93.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "sched/feasible.h"
#include "test/unit/sched_world.h"

#define SEC NS_PER_SEC

static uint64_t dequeue(struct world *w, struct sched_ticket *t)
{
	uint64_t token;

	assert_int_equal(sched_core_dequeue(w->core, SCHED_MASK_ALL, w->now, t, &token), 0);
	return token;
}

static void b20_failed_is_reaped_with_a_follow_up(void **state)
{
	struct world *w = *state;
	struct sched_ticket t;
	uint32_t job;

	world_node(w, "n", 1000, 1000);
	job = world_job(w, "j", 2);
	for (int k = 0; k < 3; k++, w->now += 100 * SEC) {
		uint64_t token = dequeue(w, &t);

		sched_core_nack(w->core, &t, token, w->now);
	}
	sched_core_tick(w->core, w->now);
	assert_int_equal(world_evals(w, job, SCHED_EVAL_FAILED), 1);
	assert_int_equal(world_evals(w, job, SCHED_EVAL_PENDING), 1);
	world_run(w);
	assert_int_equal(world_live(w, job), 0);
	w->now += 60 * SEC;
	world_run(w);
	assert_int_equal(world_live(w, job), 2);
	assert_int_equal(world_last_eval(w, job)->previous, t.eval);
}

// A second core made from the log of the first one.
static void restart(struct world *w)
{
	struct sched_bytes log = {0};
	uint64_t hash = sched_state_hash(world_head(w)), index = world_head(w)->index;

	sched_log_take(w->core, &log);
	sched_worker_destroy(w->worker);
	sched_reader_destroy(w->reader);
	sched_core_destroy(w->core);
	w->core = sched_core_new(NULL, 5);
	assert_int_equal(sched_replay(w->core->state, log.data, log.len), 0);
	assert_true(sched_state_hash(world_head(w)) == hash);
	assert_int_equal(world_head(w)->index, index);
	assert_int_equal(sched_core_start(w->core, w->now), 0);
	w->worker = sched_worker_new(NULL, 6);
	w->reader = sched_reader_new(&w->core->state->pages);
	// Also through a checkpoint.
	struct sched_encoder out = {0};
	struct sched_state *copy = sched_state_new();

	assert_int_equal(sched_checkpoint(world_head(w), &out), 0);
	assert_int_equal(sched_replay(copy, out.out.data, out.out.len), 0);
	assert_true(sched_state_hash(&copy->head) == hash);
	sched_state_destroy(copy);
	sched_bytes_fini(&out.out);
	sched_bytes_fini(&log);
}

static void b24_restored_after_a_restart(void **state)
{
	struct world *w = *state;
	uint32_t node = world_node(w, "n", 1000, 1000);
	uint32_t a = world_job(w, "a", 3), b;

	world_run(w);
	b = world_job(w, "b", 12); // five too many
	world_run(w);
	assert_int_equal(world_live(w, b), 7);
	assert_int_equal(world_evals(w, b, SCHED_EVAL_BLOCKED), 1);
	world_job(w, "a", 1); // pending when the program ends
	restart(w);
	assert_int_equal(world_live(w, a), 3);
	world_settle(w);
	assert_int_equal(world_live(w, a), 1);
	assert_int_equal(world_live(w, b), 9);
	assert_int_equal(world_evals(w, b, SCHED_EVAL_BLOCKED), 1);
	assert_int_equal(sched_node_at(world_head(w), node)->used.cpu_milli, 1000);
}

static void b59_waits_for_the_index(void **state)
{
	struct world *w = *state;
	const struct sched_snapshot *old = sched_snapshot_pin(w->reader, w->core->state);
	struct sched_plan *plan;
	struct sched_ticket t;
	uint64_t token;

	world_node(w, "n", 1000, 1000);
	world_job(w, "j", 1);
	token = dequeue(w, &t);
	sched_worker_begin(w->worker, &t, token);
	assert_true(sched_worker_min_index(w->worker) > old->index);
	assert_int_equal(sched_worker_plan(w->worker, old, w->now, &plan), -EAGAIN);
	sched_core_nack(w->core, &t, token, w->now);
	assert_int_equal(sched_broker_stats(w->core->broker).waiting, 1);
	assert_int_equal(sched_worker_plan(w->worker, sched_snapshot_pin(w->reader, w->core->state),
				 w->now, &plan),
		0);
	// Nobody waits for that plan any more.
	assert_int_equal(sched_core_submit(w->core, plan, w->now), -ESTALE);
	sched_reader_unpin(w->reader);
}

static void b60_error_nacks(void **state)
{
	struct world *w = *state;
	struct sched_plan *plan;
	struct sched_ticket t;
	uint64_t token;

	world_node(w, "n", 1000, 1000);
	world_job(w, "j", 1);
	token = dequeue(w, &t);
	sched_worker_begin(w->worker, &t, token);
	assert_int_equal(sched_worker_plan(w->worker, sched_snapshot_pin(w->reader, w->core->state),
				 w->now, &plan),
		0);
	assert_int_equal(sched_core_submit(w->core, plan, w->now), 0);
	sched_core_stop(w->core);
	assert_ptr_equal(sched_core_result(w->core), plan);
	assert_int_equal(sched_worker_result(w->worker), -ECANCELED);
	sched_reader_unpin(w->reader);
}

// Two workers on one snapshot, room for one: the second refreshes and finds the other node.
static void b61_refreshes_after_a_partial_commit(void **state)
{
	struct world *w = *state;
	struct sched_worker *other = sched_worker_new(NULL, 3);
	struct sched_plan *plan, *second;
	struct sched_ticket t, u;
	const struct sched_snapshot *s;
	uint32_t a, b, late;
	uint64_t token;

	w->group.ask.cpu_milli = 600;
	world_node(w, "small", 1000, 1000);
	a = world_job(w, "a", 1);
	b = world_job(w, "b", 1);
	token = dequeue(w, &t);
	sched_worker_begin(w->worker, &t, token);
	token = dequeue(w, &u);
	sched_worker_begin(other, &u, token);
	s = sched_snapshot_pin(w->reader, w->core->state);
	assert_int_equal(sched_worker_plan(w->worker, s, w->now, &plan), 0);
	assert_int_equal(sched_worker_plan(other, s, w->now, &second), 0);
	late = world_node(w, "late", 1000, 1000);
	sched_core_submit(w->core, plan, w->now);
	sched_core_submit(w->core, second, w->now);
	assert_int_equal(sched_core_apply(w->core, 10, w->now), 2);
	assert_int_equal(sched_worker_result(w->worker), 0);
	assert_int_equal(sched_worker_result(other), -EAGAIN);
	assert_int_equal(second->rejected_nodes, 1);
	assert_true(second->refresh_index >= plan->index);
	assert_int_equal(sched_worker_min_index(other), second->refresh_index);
	while (sched_core_result(w->core))
		;
	// The old snapshot will not do.
	assert_int_equal(sched_worker_plan(other, s, w->now, &second), -EAGAIN);
	s = sched_snapshot_pin(w->reader, w->core->state);
	assert_int_equal(sched_worker_plan(other, s, w->now, &second), 0);
	sched_core_submit(w->core, second, w->now);
	sched_core_apply(w->core, 10, w->now);
	assert_int_equal(sched_worker_result(other), 0);
	assert_int_equal(world_live(w, a), 1);
	assert_int_equal(world_live_on(w, b, late), 1);
	sched_worker_destroy(other);
	sched_reader_unpin(w->reader);
}

static void b62_evaluation_carries_its_snapshot(void **state)
{
	struct world *w = *state;
	uint32_t job;
	uint64_t before;

	world_node(w, "n", 1000, 1000);
	job = world_job(w, "j", 1);
	before = world_head(w)->index;
	world_run(w);
	assert_int_equal(world_last_eval(w, job)->snapshot_index, before);
}

static void b64_places_exactly_count(void **state)
{
	struct world *w = *state;
	uint32_t job, nodes[5], on = 0;
	const struct sched_eval *e;

	for (uint32_t k = 0; k < 5; k++)
		nodes[k] = world_node(w, (const char *[]){"a", "b", "c", "d", "e"}[k], 2000, 2000);
	job = world_job(w, "j", 23);
	world_settle(w);
	assert_int_equal(world_live(w, job), 23);
	for (uint32_t k = 0; k < 5; k++) {
		uint32_t n = world_live_on(w, job, nodes[k]);

		// The least loaded each time: evenly spread.
		assert_true(n == 4 || n == 5);
		on += n;
	}
	assert_int_equal(on, 23);
	e = world_last_eval(w, job);
	assert_int_equal(e->explain.placed, 23);
	assert_int_equal(e->explain.considered, 5);
	// Another evaluation changes nothing.
	sched_core_evaluate(w->core, job, SCHED_JOB_PUT, w->now);
	world_settle(w);
	assert_int_equal(world_live(w, job), 23);
	assert_int_equal(world_last_eval(w, job)->explain.wanted, 0);
}

static void b65_count_zero(void **state)
{
	struct world *w = *state;
	uint32_t job;

	world_node(w, "n", 1000, 1000);
	job = world_job(w, "j", 3);
	world_settle(w);
	world_job(w, "j", 0);
	world_settle(w);
	assert_int_equal(world_live(w, job), 0);
	assert_int_equal(world_evals(w, job, SCHED_EVAL_COMPLETE), 1);
	assert_int_equal(world_evals(w, job, SCHED_EVAL_BLOCKED), 0);
}

static void b66_failures_coalesced_and_one_blocked(void **state)
{
	struct world *w = *state;
	const struct sched_eval *e;
	uint32_t job;

	world_node(w, "n", 1000, 300);
	job = world_job(w, "j", 100);
	world_run(w);
	assert_int_equal(world_live(w, job), 3);
	assert_int_equal(world_evals(w, job, SCHED_EVAL_BLOCKED), 1);
	e = world_last_eval(w, job);
	assert_int_equal(e->status, SCHED_EVAL_COMPLETE);
	assert_int_equal(e->explain.wanted, 100);
	assert_int_equal(e->explain.failed, 97);
	// It says what was lacking.
	assert_int_equal(e->explain.by_dimension[SCHED_DIM_MEMORY], 1);
	assert_int_equal(e->explain.by_dimension[SCHED_DIM_CPU], 0);
}

static void b67_a_feasible_group_is_placed(void **state)
{
	struct world *w = *state;
	struct sched_constraint gpu = {"gpu", "yes", SCHED_OP_EQ};
	struct sched_group groups[2] = {w->group, w->group};
	uint32_t job;

	groups[0].name = "gpu";
	groups[0].count = 2;
	groups[0].constraints = &gpu;
	groups[0].constraint_count = 1;
	groups[1].name = "cpu";
	groups[1].count = 3;
	w->spec.groups = groups;
	w->spec.group_count = 2;
	world_node(w, "n", 1000, 1000);
	job = world_job(w, "j", 0);
	world_run(w);
	assert_int_equal(world_live(w, job), 3);
	assert_int_equal(world_evals(w, job, SCHED_EVAL_BLOCKED), 1);
	for (uint32_t k = 0; k < 3; k++)
		assert_int_equal(world_named(w, job, k)->group, 1);
	// A node with it comes: the rest follows.
	world_node_with(w, "g", 1000, 1000, &(struct sched_attribute){"gpu", "yes"}, 1);
	world_settle(w);
	assert_int_equal(world_live(w, job), 5);
	assert_int_equal(world_evals(w, job, SCHED_EVAL_BLOCKED), 0);
}

// Plans for a worker, then takes the room away before the plan is applied.
static int lose_the_race(struct world *w, uint32_t node, uint32_t round)
{
	struct sched_res capacity = {100 + round, 100, UINT32_MAX, UINT32_MAX};
	struct sched_plan *plan;
	uint32_t slot;
	int rc = sched_worker_plan(
		w->worker, sched_snapshot_pin(w->reader, w->core->state), w->now, &plan);

	if (rc)
		return rc;
	sched_core_node_state(w->core, node, SCHED_NODE_DOWN, true, false, w->now);
	sched_core_submit(w->core, plan, w->now);
	sched_core_apply(w->core, 1, w->now);
	sched_core_result(w->core);
	sched_core_node_put(w->core, "n", NULL, 0, &capacity, &slot);
	sched_core_node_state(w->core, node, SCHED_NODE_READY, true, false, w->now);
	return sched_worker_result(w->worker);
}

static void b68_retry_limit_fails_and_blocks(void **state)
{
	struct world *w = *state;
	uint32_t node = world_node(w, "n", 100, 100), job = world_job(w, "j", 1);
	struct sched_ticket t;
	uint64_t token = dequeue(w, &t);
	uint32_t round = 0;

	sched_worker_begin(w->worker, &t, token);
	while (lose_the_race(w, node, round) == -EAGAIN)
		assert_true(++round < 20);
	assert_int_equal(round, SCHED_ATTEMPTS_SERVICE);
	assert_int_equal(world_evals(w, job, SCHED_EVAL_FAILED), 1);
	assert_int_equal(world_evals(w, job, SCHED_EVAL_BLOCKED), 1);
	assert_int_equal(world_last_eval(w, job)->explain.conflicts, SCHED_ATTEMPTS_SERVICE);
	assert_int_equal(sched_blocked_stats(w->core->blocked).max_plans, 1);
	assert_int_equal(world_live(w, job), 0);
	w->now += 61 * SEC;
	world_run(w);
	assert_int_equal(world_live(w, job), 1);
}

static void b69_progress_resets_attempts(void **state)
{
	struct world *w = *state;
	struct sched_worker_config config = {.place_max = 1000};
	struct sched_worker *worker = sched_worker_new(&config, 9);
	struct sched_ticket t;
	struct sched_plan *plan;
	uint32_t nodes[12], job;
	uint64_t token;
	int rc = -EAGAIN, rounds = 0;

	for (uint32_t k = 0; k < 12; k++) {
		char name[8] = {'n', (char)('a' + k), 0};

		nodes[k] = world_node(w, name, 100, 100);
	}
	job = world_job(w, "j", 12);
	token = dequeue(w, &t);
	sched_worker_begin(worker, &t, token);
	// In each round one placement gets through, as all nodes but one vanish for a moment.
	for (; rc == -EAGAIN && rounds < 12; rounds++) {
		assert_int_equal(
			sched_worker_plan(worker, sched_snapshot_pin(w->reader, w->core->state),
				w->now, &plan),
			0);
		for (uint32_t k = 0; k < 12; k++)
			if (nodes[k] != plan->places[0].node)
				sched_core_node_state(w->core, nodes[k], SCHED_NODE_DISCONNECTED,
					true, false, w->now);
		sched_core_submit(w->core, plan, w->now);
		sched_core_apply(w->core, 1, w->now);
		sched_core_result(w->core);
		assert_int_equal(plan->placed, 1);
		for (uint32_t k = 0; k < 12; k++)
			sched_core_node_state(
				w->core, nodes[k], SCHED_NODE_READY, true, false, w->now);
		rc = sched_worker_result(worker);
	}
	assert_int_equal(rc, 0);
	assert_int_equal(rounds, 12);
	assert_int_equal(world_live(w, job), 12);
	sched_worker_destroy(worker);
	sched_reader_unpin(w->reader);
}

static void b70_blocked_runs_again(void **state)
{
	struct world *w = *state;
	uint32_t job;
	uint64_t id;

	world_node(w, "a", 200, 1000);
	job = world_job(w, "j", 5);
	world_run(w);
	assert_int_equal(world_live(w, job), 2);
	id = world_head(w)->index;
	// Room for two of three: it waits on, the same evaluation.
	world_node(w, "b", 200, 1000);
	world_run(w);
	assert_int_equal(world_live(w, job), 4);
	assert_int_equal(world_evals(w, job, SCHED_EVAL_BLOCKED), 1);
	assert_true(world_head(w)->index > id);
	world_node(w, "c", 200, 1000);
	world_run(w);
	assert_int_equal(world_live(w, job), 5);
	assert_int_equal(world_evals(w, job, SCHED_EVAL_BLOCKED), 0);
	assert_int_equal(world_evals(w, job, SCHED_EVAL_COMPLETE), 1);
	assert_int_equal(sched_blocked_stats(w->core->blocked).blocked, 0);
}

static void b71_distinct_hosts(void **state)
{
	struct world *w = *state;
	uint32_t job, a, b;

	w->group.distinct_hosts = true;
	a = world_node(w, "a", 1000, 1000);
	b = world_node(w, "b", 1000, 1000);
	job = world_job(w, "j", 3);
	world_settle(w);
	assert_int_equal(world_live(w, job), 2);
	assert_int_equal(world_live_on(w, job, a), 1);
	assert_int_equal(world_live_on(w, job, b), 1);
	assert_int_equal(
		world_last_eval(w, job)->explain.by_dimension[SCHED_DIM_DISTINCT_HOSTS], 2);
	// An update can still roll over the same two hosts.
	w->group.restart_hash = 2;
	world_job(w, "j", 2);
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 2), 2);
	assert_int_equal(world_live(w, job), 2);
}

static void b74_update_in_place_or_not(void **state)
{
	struct world *w = *state;
	struct sched_id before[3];
	uint32_t job;

	world_node(w, "n", 1000, 1000);
	job = world_job(w, "j", 3);
	world_settle(w);
	for (uint32_t k = 0; k < 3; k++)
		before[k] = world_named(w, job, k)->id;
	// Another ask makes other instances.
	w->group.ask.memory_mib = 120;
	world_job(w, "j", 3);
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 2), 3);
	for (uint32_t k = 0; k < 3; k++) {
		assert_int_not_equal(world_named(w, job, k)->id.slot, before[k].slot);
		before[k] = world_named(w, job, k)->id;
	}
	// A change of priority alone touches nothing.
	w->spec.priority = 70;
	world_job(w, "j", 3);
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 2), 3);
	for (uint32_t k = 0; k < 3; k++)
		assert_int_equal(world_named(w, job, k)->id.slot, before[k].slot);
}

// Back to the version before while neither has reported: what was to be replaced becomes the current
// one again, and its being ready ends the other.
static void b74_there_and_back(void **state)
{
	struct world *w = *state;
	struct sched_id first;
	uint32_t job;

	world_node(w, "n", 1000, 1000);
	w->group.restart_hash = 1;
	job = world_job(w, "j", 1);
	world_run(w);
	first = world_named(w, job, 0)->id;
	w->group.restart_hash = 2;
	world_job(w, "j", 1);
	world_run(w);
	w->group.restart_hash = 1;
	world_job(w, "j", 1);
	world_run(w);
	assert_int_equal(world_live(w, job), 2);
	world_report(w, sched_instance_by_id(world_head(w), &first), SCHED_RUNNING, true);
	world_run(w);
	assert_int_equal(world_live(w, job), 1);
	assert_int_equal(world_named(w, job, 0)->id.slot, first.slot);
	assert_int_equal(world_named(w, job, 0)->version, 3);
}

// A new group makes a new version; instances of the old group go on under it.
static void b74_other_groups_are_updated_in_place(void **state)
{
	struct world *w = *state;
	struct sched_group groups[2] = {w->group, w->group};
	struct sched_id before;
	uint32_t job;

	world_node(w, "n", 1000, 1000);
	groups[0].count = 1;
	groups[1].name = "second";
	groups[1].count = 1;
	w->spec.groups = groups;
	job = world_job(w, "j", 0);
	world_settle(w);
	before = world_named(w, job, 0)->id;
	w->spec.group_count = 2;
	world_job(w, "j", 0);
	world_settle(w);
	assert_int_equal(world_live(w, job), 2);
	assert_int_equal(world_live_version(w, job, 2), 2);
	assert_non_null(sched_instance_by_id(world_head(w), &before));
	assert_int_equal(sched_instance_by_id(world_head(w), &before)->version, 2);
	assert_true(sched_live(sched_instance_by_id(world_head(w), &before)));
}

static uint32_t ready_count(struct world *w, uint32_t job)
{
	const struct sched_snapshot *s = world_head(w);
	uint32_t n = 0;

	for (uint32_t at = sched_job_at(s, job)->first_instance; at != SCHED_NONE;) {
		const struct sched_instance *i = sched_instance_at(s, at);

		n += sched_live(i) && sched_ready(i);
		at = i->next_in_job;
	}
	return n;
}

static void b75_rolling_update(void **state)
{
	struct world *w = *state;
	uint32_t job, rounds = 0;

	world_node(w, "a", 2000, 2000);
	world_node(w, "b", 2000, 2000);
	job = world_job(w, "j", 10);
	world_settle(w);
	w->group.restart_hash = 2;
	world_job(w, "j", 10);
	for (; world_live_version(w, job, 2) < 10 || world_live(w, job) > 10; rounds++) {
		world_run(w);
		// Never fewer serve than asked for; at most max_parallel more exist.
		assert_true(ready_count(w, job) >= 10);
		assert_true(world_live(w, job) <= 12);
		assert_true(rounds < 50);
		world_hosts(w);
	}
	world_settle(w);
	assert_int_equal(world_live(w, job), 10);
	assert_int_equal(world_live_version(w, job, 2), 10);
	assert_true(rounds >= 5);
}

static void b75_update_again_while_rolling(void **state)
{
	struct world *w = *state;
	uint32_t job;

	world_node(w, "a", 3000, 3000);
	job = world_job(w, "j", 6);
	world_settle(w);
	for (uint32_t version = 2; version < 6; version++) {
		w->group.restart_hash = version;
		world_job(w, "j", 6);
		world_run(w);
		assert_true(ready_count(w, job) >= 6);
		if (version % 2)
			world_hosts(w);
		assert_true(ready_count(w, job) >= 6);
	}
	world_settle(w);
	assert_int_equal(world_live(w, job), 6);
	assert_int_equal(world_live_version(w, job, 5), 6);
	// Specs that no instance runs any more are forgotten with the next version.
	world_job(w, "j", 5);
	assert_int_equal(sched_job_at(world_head(w), job)->versions->count, 1);
}

static void b78_scaling_keeps_names_unique(void **state)
{
	struct world *w = *state;
	const uint32_t counts[] = {5, 20, 3, 9, 1, 14, 0, 7};
	uint32_t job = 0;

	world_node(w, "a", 2000, 2000);
	for (size_t k = 0; k < sizeof(counts) / sizeof(counts[0]); k++) {
		job = world_job(w, "j", counts[k]);
		world_settle(w);
		assert_int_equal(world_live(w, job), counts[k]);
		for (uint32_t i = 0; i < counts[k]; i++)
			assert_non_null(world_named(w, job, i));
	}
	assert_int_equal(sched_job_spec(sched_job_at(world_head(w), job))->version, 1);
}

static void b79_stop_and_purge(void **state)
{
	struct world *w = *state;
	uint32_t node = world_node(w, "a", 2000, 2000), job = world_job(w, "j", 4), other;

	world_settle(w);
	assert_int_equal(sched_core_job_stop(w->core, job, false, w->now), 0);
	world_settle(w);
	assert_int_equal(world_live(w, job), 0);
	assert_int_equal(sched_node_at(world_head(w), node)->used.slots, 0);
	// Put again, it runs again.
	assert_int_equal(world_job(w, "j", 4), job);
	world_settle(w);
	assert_int_equal(world_live(w, job), 4);
	assert_int_equal(sched_core_job_stop(w->core, job, true, w->now), 0);
	world_settle(w);
	for (int k = 0; k < 4; k++)
		world_run(w);
	assert_null(sched_job_at(world_head(w), job));
	assert_int_equal(sched_job_find(w->core->state, "default", "j"), SCHED_NONE);
	assert_int_equal(world_head(w)->counts[SCHED_TABLE_INSTANCES], 0);
	assert_int_equal(world_head(w)->counts[SCHED_TABLE_EVALS], 0);
	// The row is used again.
	other = world_job(w, "other", 1);
	assert_int_equal(other, job);
	world_settle(w);
	assert_int_equal(world_live(w, other), 1);
}

static void b80_node_down_is_replaced(void **state)
{
	struct world *w = *state;
	uint32_t a = world_node(w, "a", 1000, 1000), b = world_node(w, "b", 1000, 1000);
	uint32_t job = world_job(w, "j", 6);
	const struct sched_instance *i;

	world_settle(w);
	assert_int_equal(world_live_on(w, job, a), 3);
	i = world_named(w, job, 0)->node == a ? world_named(w, job, 0) : world_named(w, job, 1);
	world_node_status(w, a, SCHED_NODE_DOWN);
	world_settle(w);
	assert_int_equal(world_live_on(w, job, b), 6);
	assert_int_equal(i->status, SCHED_LOST);
	assert_int_equal(i->desired, SCHED_STOP);
	assert_int_equal(sched_node_at(world_head(w), a)->used.slots, 0);
	// It comes back: what it still runs must stop, and it takes new ones.
	world_node_status(w, a, SCHED_NODE_READY);
	struct sched_report r = {.id = i->id, .status = SCHED_RUNNING, .ready = true};
	assert_int_equal(sched_core_report(w->core, &r, 1, w->now), 0);
	assert_true(r.unknown);
	assert_int_equal(i->status, SCHED_LOST);
	world_settle(w);
	assert_int_equal(world_live(w, job), 6);
}

static void b80_without_room_it_waits(void **state)
{
	struct world *w = *state;
	uint32_t a = world_node(w, "a", 300, 1000), b = world_node(w, "b", 300, 1000);
	uint32_t job = world_job(w, "j", 6);

	world_settle(w);
	world_node_status(w, a, SCHED_NODE_DOWN);
	world_settle(w);
	assert_int_equal(world_live_on(w, job, b), 3);
	assert_int_equal(world_evals(w, job, SCHED_EVAL_BLOCKED), 1);
	world_node_status(w, a, SCHED_NODE_READY);
	world_settle(w);
	assert_int_equal(world_live(w, job), 6);
	assert_int_equal(world_evals(w, job, SCHED_EVAL_BLOCKED), 0);
}

static void b81_drain(void **state)
{
	struct world *w = *state;
	uint32_t a = world_node(w, "a", 1000, 1000), b = world_node(w, "b", 1000, 1000);
	uint32_t job = world_job(w, "j", 8), rounds = 0;

	world_settle(w);
	assert_int_equal(world_live_on(w, job, a), 4);
	world_drain(w, a);
	for (; world_live_on(w, job, a); rounds++) {
		world_run(w);
		assert_true(ready_count(w, job) >= 8);
		assert_true(world_live(w, job) <= 10);
		assert_true(rounds < 20);
		world_hosts(w);
	}
	world_settle(w);
	assert_int_equal(world_live_on(w, job, b), 8);
	assert_int_equal(world_live(w, job), 8);
}

static const struct sched_instance *find_version(
	const struct world *w, uint32_t job, uint32_t version)
{
	const struct sched_snapshot *s = world_head(w);

	for (uint32_t k = 0; k < s->tables[SCHED_TABLE_INSTANCES].high; k++) {
		const struct sched_instance *i = sched_instance_at(s, k);

		if (i && i->job == job && i->version == version && sched_live(i))
			return i;
	}
	fail_msg("there is none of version %u", version);
	return NULL;
}

static void b82_reschedule_now_and_later(void **state)
{
	struct world *w = *state;
	uint32_t job;
	ns_t delay = SCHED_RESCHEDULE_FIRST;

	world_node(w, "a", 1000, 1000);
	job = world_job(w, "j", 2);
	world_settle(w);
	for (uint16_t k = 0; k < 5; k++) {
		world_report(w, world_named(w, job, 1), SCHED_FAILED, false);
		world_settle(w);
		assert_int_equal(world_live(w, job), 1);
		w->now += delay - 1;
		world_settle(w);
		assert_int_equal(world_live(w, job), 1);
		w->now += 1;
		world_settle(w);
		assert_int_equal(world_live(w, job), 2);
		assert_int_equal(world_named(w, job, 1)->reschedules, k + 1);
		delay *= 2;
	}
	assert_true(sched_reschedule_delay(7) == SCHED_RESCHEDULE_MAX);
}

// A new version is tried at once, whatever the one before did: also while an older one serves on.
static void b82_a_new_version_does_not_wait(void **state)
{
	struct world *w = *state;
	uint32_t job;

	world_node(w, "a", 1000, 1000);
	job = world_job(w, "j", 1);
	world_settle(w);
	for (uint32_t version = 2; version < 5; version++) {
		w->group.restart_hash = version;
		world_job(w, "j", 1);
		world_run(w);
		assert_int_equal(world_live_version(w, job, 1), 1);
		assert_int_equal(world_live_version(w, job, version), 1);
		for (uint32_t k = 0; k < 2; k++) {
			const struct sched_instance *i = find_version(w, job, version);

			assert_int_equal(i->reschedules, k);
			world_report(w, i, SCHED_FAILED, false);
			world_run(w);
			// The same version waits.
			assert_int_equal(world_live_version(w, job, version), 0);
			if (k == 0) {
				w->now += SCHED_RESCHEDULE_FIRST;
				world_run(w);
			}
		}
	}
	// What failed is not kept beyond what the next delay needs.
	world_settle(w);
	assert_true(world_evals(w, job, SCHED_EVAL_BLOCKED) == 0);
	w->now += sched_core_defaults.gc_age_ns + SEC;
	world_settle(w);
	assert_true(sched_job_at(world_head(w), job)->instances <= 3);
	// And what nobody serves is replaced at once, too.
	w->group.restart_hash = 9;
	world_job(w, "j", 1);
	world_settle(w);
	assert_int_equal(world_live(w, job), 1);
	world_report(w, world_named(w, job, 0), SCHED_FAILED, false);
	world_run(w);
	assert_int_equal(world_live(w, job), 0);
	w->group.restart_hash = 10;
	world_job(w, "j", 1);
	world_run(w);
	assert_int_equal(world_live(w, job), 1);
	assert_int_equal(world_named(w, job, 0)->reschedules, 0);
}

// More rows than a tick looks at, and nothing else happens: the core's own time is enough.
static void b79_large_job_is_forgotten(void **state)
{
	struct world *w = *state;
	uint32_t job;
	ns_t end;

	world_node(w, "a", 2000000, 2000000);
	job = world_job(w, "j", 2000);
	world_settle(w);
	assert_int_equal(world_live(w, job), 2000);
	assert_int_equal(sched_core_job_stop(w->core, job, true, w->now), 0);
	world_settle(w);
	for (end = w->now + 10 * SEC; w->now < end && sched_job_at(world_head(w), job);) {
		w->now = sched_core_next(w->core);
		sched_core_tick(w->core, w->now);
	}
	assert_null(sched_job_at(world_head(w), job));
	assert_int_equal(world_head(w)->counts[SCHED_TABLE_INSTANCES], 0);
}

static void b83_previous_and_next(void **state)
{
	struct world *w = *state;
	uint32_t job, first, second;
	const struct sched_snapshot *s = world_head(w);

	world_node(w, "a", 1000, 1000);
	job = world_job(w, "j", 1);
	world_settle(w);
	first = world_named(w, job, 0)->id.slot;
	assert_int_equal(world_named(w, job, 0)->previous, SCHED_NONE);
	w->group.restart_hash = 2;
	world_job(w, "j", 1);
	world_settle(w);
	second = world_named(w, job, 0)->id.slot;
	assert_int_equal(sched_instance_at(s, second)->previous, first);
	assert_int_equal(sched_instance_at(s, first)->next, second);
	world_report(w, sched_instance_at(s, second), SCHED_FAILED, false);
	w->now += 60 * SEC;
	world_settle(w);
	assert_int_equal(world_named(w, job, 0)->previous, second);
	assert_int_equal(world_named(w, job, 0)->why.trigger, SCHED_INSTANCE_ENDED);
}

static void b84_not_where_it_failed(void **state)
{
	struct world *w = *state;
	uint32_t job, at;

	world_node(w, "a", 1000, 1000);
	world_node(w, "b", 1000, 1000);
	job = world_job(w, "j", 1);
	world_settle(w);
	for (int k = 0; k < 6; k++) {
		at = world_named(w, job, 0)->node;
		world_report(w, world_named(w, job, 0), SCHED_FAILED, false);
		w->now += 2 * 3600 * SEC;
		world_settle(w);
		assert_int_not_equal(world_named(w, job, 0)->node, at);
	}
}

static void b86_batch(void **state)
{
	struct world *w = *state;
	uint32_t a = world_node(w, "a", 1000, 1000), job;

	w->spec.type = SCHED_TYPE_BATCH;
	job = world_job(w, "j", 3);
	world_settle(w);
	// Complete is not run again, failed is, lost is replaced.
	world_report(w, world_named(w, job, 0), SCHED_COMPLETE, false);
	world_report(w, world_named(w, job, 1), SCHED_FAILED, false);
	w->now += 60 * SEC;
	world_settle(w);
	assert_int_equal(world_live(w, job), 2);
	assert_null(world_named(w, job, 0));
	assert_non_null(world_named(w, job, 1));
	world_node_status(w, a, SCHED_NODE_DOWN);
	world_node(w, "b", 1000, 1000);
	world_settle(w);
	assert_int_equal(world_live(w, job), 2);
	assert_null(world_named(w, job, 0));
}

static void b93_node_loss_evaluates_each_job_once(void **state)
{
	struct world *w = *state;
	uint32_t a = world_node(w, "a", 10000, 10000), jobs[10];
	uint64_t made;

	for (uint32_t k = 0; k < 10; k++) {
		char name[8] = {'j', (char)('a' + k), 0};

		jobs[k] = world_job(w, name, 5);
	}
	world_settle(w);
	made = w->core->evals_made;
	world_node_status(w, a, SCHED_NODE_DOWN);
	assert_int_equal(w->core->evals_made, made + 10);
	for (uint32_t k = 0; k < 10; k++)
		assert_int_equal(world_evals(w, jobs[k], SCHED_EVAL_PENDING), 1);
	// A second node that goes before they are worked on makes no more.
	world_node_status(w, a, SCHED_NODE_READY);
	world_node_status(w, a, SCHED_NODE_DOWN);
	assert_int_equal(w->core->evals_made, made + 10);
}

static void b94_garbage(void **state)
{
	struct world *w = *state;
	uint32_t job;

	world_node(w, "a", 1000, 1000);
	job = world_job(w, "j", 3);
	world_settle(w);
	world_report(w, world_named(w, job, 2), SCHED_FAILED, false);
	world_job(w, "j", 3);
	world_settle(w);
	world_job(w, "j", 2);
	world_settle(w);
	assert_int_equal(world_head(w)->counts[SCHED_TABLE_INSTANCES], 3);
	w->now += 5 * SEC;
	world_run(w);
	assert_int_equal(world_head(w)->counts[SCHED_TABLE_INSTANCES], 3);
	w->now += 601 * SEC;
	world_run(w);
	assert_int_equal(world_head(w)->counts[SCHED_TABLE_INSTANCES], 2);
	assert_int_equal(world_live(w, job), 2);
}

// What failed and waits for its time is not garbage.
static void b94_garbage_keeps_what_may_be_rescheduled(void **state)
{
	struct world *w = *state;
	uint32_t job;

	world_node(w, "a", 1000, 1000);
	job = world_job(w, "j", 1);
	world_settle(w);
	for (int k = 0; k < 8; k++) {
		world_report(w, world_named(w, job, 0), SCHED_FAILED, false);
		world_settle(w);
		w->now += sched_reschedule_delay((unsigned)k) - 1;
		world_settle(w);
		w->now += 1;
		world_settle(w);
		assert_int_equal(world_named(w, job, 0)->reschedules, k + 1);
	}
}

static void a_large_job_lets_others_through(void **state)
{
	struct world *w = *state;
	uint32_t large, small, steps = 0;
	struct sched_ticket t;

	w->group.ask.cpu_milli = w->group.ask.memory_mib = 1;
	for (uint32_t k = 0; k < 20; k++) {
		char name[8] = {'n', (char)('a' + k), 0};

		world_node(w, name, 10000, 10000);
	}
	large = world_job(w, "large", 50000);
	small = world_job(w, "small", 1);
	// One evaluation of the large job, then the small one's turn.
	for (; !world_live(w, small); steps++) {
		uint64_t token = dequeue(w, &t);
		struct sched_plan *plan;

		sched_worker_begin(w->worker, &t, token);
		assert_int_equal(
			sched_worker_plan(w->worker, sched_snapshot_pin(w->reader, w->core->state),
				w->now, &plan),
			0);
		assert_true(plan->place_count <= SCHED_EVAL_PLACE_MAX);
		sched_core_submit(w->core, plan, w->now);
		sched_core_apply(w->core, 1, w->now);
		sched_core_result(w->core);
		assert_int_equal(sched_worker_result(w->worker), 0);
	}
	assert_true(steps <= 2);
	sched_reader_unpin(w->reader);
	world_run(w);
	assert_int_equal(world_live(w, large), 50000);
}

static void constraints_hold(void **state)
{
	static const struct {
		const char *value;
		enum sched_op op;
		const char *with;
		bool holds;
	} cases[] = {
		{"a", SCHED_OP_EQ, "a", true},
		{"a", SCHED_OP_EQ, "b", false},
		{NULL, SCHED_OP_EQ, "", false},
		{"a", SCHED_OP_NE, "b", true},
		{NULL, SCHED_OP_NE, "b", true},
		{"b", SCHED_OP_NE, "b", false},
		{"9", SCHED_OP_LT, "10", true},
		{"5.10.2", SCHED_OP_GT, "5.9", true},
		{"5.9", SCHED_OP_GE, "5.9", true},
		{"5.9", SCHED_OP_GT, "5.9", false},
		{"5.9", SCHED_OP_LE, "5.9.1", true},
		{NULL, SCHED_OP_LT, "1", false},
		{"", SCHED_OP_SET, "", true},
		{NULL, SCHED_OP_SET, "", false},
		{NULL, SCHED_OP_UNSET, "", true},
		{"a,b,c", SCHED_OP_CONTAINS, "c,a", true},
		{"a,b,c", SCHED_OP_CONTAINS, "a,d", false},
		{"a,bc", SCHED_OP_CONTAINS, "b", false},
		{"a,b", SCHED_OP_CONTAINS_ANY, "x,b", true},
		{"a,b", SCHED_OP_CONTAINS_ANY, "x,y", false},
	};

	for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
		struct sched_constraint c = {"x", cases[k].with, (uint8_t)cases[k].op};

		if (sched_constraint_holds(&c, cases[k].value) != cases[k].holds)
			fail_msg("case %zu", k);
	}
}

static void constraints_say_what_they_excluded(void **state)
{
	struct world *w = *state;
	struct sched_constraint of_job = {"arch", "x86_64", SCHED_OP_EQ};
	struct sched_constraint of_group[] = {
		{"kernel", "6", SCHED_OP_GE}, {"unique.node.name", "d", SCHED_OP_NE}};
	struct sched_attribute arm[] = {{"arch", "arm64"}, {"kernel", "6.1"}};
	struct sched_attribute old[] = {{"kernel", "5.10"}, {"arch", "x86_64"}};
	struct sched_attribute good[] = {{"kernel", "6.1"}, {"arch", "x86_64"}};
	const struct sched_explain *x;
	uint32_t job, c;

	world_node_with(w, "a", 1000, 1000, arm, 2);
	world_node_with(w, "b", 1000, 1000, old, 2);
	c = world_node_with(w, "c", 100, 1000, good, 2);
	world_node_with(w, "d", 1000, 1000, good, 2);
	w->spec.constraints = &of_job;
	w->spec.constraint_count = 1;
	w->group.constraints = of_group;
	w->group.constraint_count = 2;
	job = world_job(w, "j", 2);
	world_run(w);
	assert_int_equal(world_live(w, job), 1);
	assert_int_equal(world_live_on(w, job, c), 1);
	x = &world_last_eval(w, job)->explain;
	assert_int_equal(x->considered, 4);
	assert_int_equal(x->feasible, 1);
	assert_int_equal(x->by_dimension[SCHED_DIM_CPU], 1);
	for (uint32_t k = 0; k < 3; k++) {
		assert_int_equal(x->by_constraint[k].nodes, 1);
		assert_true(x->by_constraint[k].constraint < 3);
	}
	assert_int_equal(x->best[0].node, c);
	assert_int_equal(world_named(w, job, 0)->why.considered, 4);
	assert_int_equal(world_named(w, job, 0)->why.infeasible, 3);
	assert_int_equal(world_named(w, job, 0)->why.eval, world_last_eval(w, job)->id);
}

static void waiting_is_explained_in_a_sentence(void **state)
{
	struct world *w = *state;
	struct sched_constraint rack = {"rack", "r9", SCHED_OP_NE};
	char text[300];
	uint32_t job;

	world_node_with(w, "a", 1000, 1000, &(struct sched_attribute){"rack", "r9"}, 1);
	world_node(w, "b", 1000, 250);
	world_node_status(w, world_node(w, "c", 1000, 1000), SCHED_NODE_DOWN);
	w->group.constraints = &rack;
	w->group.constraint_count = 1;
	job = world_job(w, "j", 5);
	world_run(w);
	assert_string_equal(
		sched_explain_text(world_head(w), world_last_eval(w, job), text, sizeof(text)),
		"placed 2 of 5; 3 wait: of 3 nodes 1 are excluded by: rack != r9, 1 lack memory, "
		"1 are not ready");
	// Cut, never beyond its room.
	memset(text, 'x', sizeof(text));
	sched_explain_text(world_head(w), world_last_eval(w, job), text, 20);
	assert_string_equal(text, "placed 2 of 5; 3 wa");
	assert_int_equal(text[20], 'x');
	sched_explain_text(world_head(w), world_last_eval(w, job), text, 0);
	// Nor within a character.
	rack.value = "\u00e4\u20ac\U0001f600";
	for (size_t room = sizeof("rack != "); room < 24; room++) {
		static const size_t whole[] = {0, 2, 5, 9}; // bytes of so many characters
		size_t left = 3;

		while (whole[left] > room - sizeof("rack != "))
			left--;
		sched_constraint_text(&rack, text, room);
		assert_int_equal(strlen(text), strlen("rack != ") + whole[left]);
	}
}

static void ids_are_text_and_back(void **state)
{
	struct sched_id id = {0x0123456789abcdefull, 0xfedcba98, 7}, back;
	char text[SCHED_ID_TEXT];

	assert_string_equal(sched_id_text(&id, text), "0123456789abcdeffedcba9800000007");
	assert_int_equal(sched_id_parse(text, &back), 0);
	assert_memory_equal(&id, &back, sizeof(id));
	assert_int_equal(sched_id_parse("0123456789abcdeffedcba980000000", &back), -EINVAL);
	assert_int_equal(sched_id_parse("0123456789abcdeffedcba98000000071", &back), -EINVAL);
	assert_int_equal(sched_id_parse("0123456789abcdeffedcba980000000G", &back), -EINVAL);
	assert_int_equal(sched_id_parse("", &back), -EINVAL);
}

static void a_node_is_forgotten(void **state)
{
	struct world *w = *state;
	uint32_t a = world_node(w, "a", 1000, 1000), b = world_node(w, "b", 1000, 1000);
	uint32_t job = world_job(w, "j", 4);

	world_settle(w);
	assert_int_equal(sched_core_node_del(w->core, a, w->now), 0);
	assert_int_equal(sched_core_node_del(w->core, a, w->now), -ENOENT);
	world_settle(w);
	assert_int_equal(world_live_on(w, job, b), 4);
	assert_int_equal(sched_node_find(w->core->state, "a"), SCHED_NONE);
	assert_int_equal(world_node(w, "c", 1000, 1000), a);
}

static void bad_jobs_are_refused(void **state)
{
	struct world *w = *state;
	uint32_t slot;

	w->spec.name = "j";
	w->spec.groups = &w->group;
	w->spec.type = SCHED_TYPES;
	assert_int_equal(sched_core_job_put(w->core, &w->spec, w->now, &slot), -EINVAL);
	w->spec.type = SCHED_TYPE_SERVICE;
	w->group.count = SCHED_COUNT_MAX + 1;
	assert_int_equal(sched_core_job_put(w->core, &w->spec, w->now, &slot), -EINVAL);
	w->spec.name = "";
	w->group.count = 1;
	assert_int_equal(sched_core_job_put(w->core, &w->spec, w->now, &slot), -EINVAL);
	assert_int_equal(sched_core_job_stop(w->core, 0, false, w->now), -ENOENT);
	assert_int_equal(sched_core_evaluate(w->core, 0, SCHED_JOB_PUT, w->now), -ENOENT);
	assert_int_equal(world_head(w)->counts[SCHED_TABLE_JOBS], 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		TEST(b20_failed_is_reaped_with_a_follow_up),
		TEST(b24_restored_after_a_restart),
		TEST(b59_waits_for_the_index),
		TEST(b60_error_nacks),
		TEST(b61_refreshes_after_a_partial_commit),
		TEST(b62_evaluation_carries_its_snapshot),
		TEST(b64_places_exactly_count),
		TEST(b65_count_zero),
		TEST(b66_failures_coalesced_and_one_blocked),
		TEST(b67_a_feasible_group_is_placed),
		TEST(b68_retry_limit_fails_and_blocks),
		TEST(b69_progress_resets_attempts),
		TEST(b70_blocked_runs_again),
		TEST(b71_distinct_hosts),
		TEST(b74_update_in_place_or_not),
		TEST(b74_there_and_back),
		TEST(b74_other_groups_are_updated_in_place),
		TEST(b75_rolling_update),
		TEST(b75_update_again_while_rolling),
		TEST(b78_scaling_keeps_names_unique),
		TEST(b79_stop_and_purge),
		TEST(b79_large_job_is_forgotten),
		TEST(b80_node_down_is_replaced),
		TEST(b80_without_room_it_waits),
		TEST(b81_drain),
		TEST(b82_reschedule_now_and_later),
		TEST(b82_a_new_version_does_not_wait),
		TEST(b83_previous_and_next),
		TEST(b84_not_where_it_failed),
		TEST(b86_batch),
		TEST(b93_node_loss_evaluates_each_job_once),
		TEST(b94_garbage),
		TEST(b94_garbage_keeps_what_may_be_rescheduled),
		TEST(a_large_job_lets_others_through),
		TEST(constraints_hold),
		TEST(constraints_say_what_they_excluded),
		TEST(waiting_is_explained_in_a_sentence),
		TEST(ids_are_text_and_back),
		TEST(a_node_is_forgotten),
		TEST(bad_jobs_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
