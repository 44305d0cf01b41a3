// SPDX-License-Identifier: Apache-2.0
// What becomes of evaluations, through the whole core, where one part alone does not show it: two
// namespaces (4), other resources (36), a host that pauses or ends (63), attempts of batch jobs
// (68), waiting on (70), what is never run again (82).
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

static uint64_t dequeue(struct world *w, struct sched_ticket *t)
{
	uint64_t token;

	assert_int_equal(sched_core_dequeue(w->core, SCHED_MASK_ALL, w->now, t, &token), 0);
	return token;
}

static void nothing_ready(struct world *w)
{
	struct sched_ticket t;
	uint64_t token;

	assert_int_equal(sched_core_dequeue(w->core, SCHED_MASK_ALL, w->now, &t, &token), -EAGAIN);
}

static struct sched_plan *plan_of(
	struct world *w, struct sched_worker *worker, const struct sched_ticket *t, uint64_t token)
{
	struct sched_plan *plan;

	sched_worker_begin(worker, t, token);
	assert_int_equal(sched_worker_plan(worker, sched_snapshot_pin(w->reader, w->core->state),
				 w->now, &plan),
		0);
	sched_reader_unpin(w->reader);
	return plan;
}

static void b04_one_name_in_two_namespaces(void **state)
{
	struct world *w = *state;
	struct sched_ticket a, b;
	uint32_t first, second;

	world_node(w, "n", 1000, 1000);
	first = world_job(w, "j", 1);
	w->spec.namespace = "other";
	second = world_job(w, "j", 2);
	// Both at a time; and each one's next has to wait for its own.
	dequeue(w, &a);
	dequeue(w, &b);
	assert_int_equal(a.job, first);
	assert_int_equal(b.job, second);
	sched_core_evaluate(w->core, first, SCHED_JOB_PUT, w->now);
	nothing_ready(w);
}

// ---- what evaluations wait for ----

static void b36_a_device_that_is_given_back(void **state)
{
	struct world *w = *state;
	struct sched_claim gpu = {"device.gpu", 1, SCHED_ALL_GROUPS};
	struct sched_attribute one = {"device.gpu", "1"};
	uint32_t a, b;

	world_node_with(w, "n", 1000, 1000, &one, 1);
	world_node(w, "plain", 1000, 1000);
	w->spec.claims = &gpu;
	w->spec.claim_count = 1;
	a = world_job(w, "a", 1);
	world_settle(w);
	b = world_job(w, "b", 1);
	world_settle(w);
	assert_int_equal(world_live(w, a), 1);
	assert_int_equal(world_evals(w, b, SCHED_EVAL_BLOCKED), 1);
	world_job(w, "a", 0);
	world_settle(w);
	assert_int_equal(world_live(w, b), 1);
}

// A node that is there already gets one more, or one at all: its host registers again.
static void b36_a_device_that_appears(void **state)
{
	struct world *w = *state;
	struct sched_claim gpu = {"device.gpu", 1, SCHED_ALL_GROUPS};
	struct sched_attribute gpus[] = {{"device.gpu", "1"}, {"device.gpu", "2"}};
	uint32_t job;

	world_node(w, "n", 1000, 1000);
	w->spec.claims = &gpu;
	w->spec.claim_count = 1;
	job = world_job(w, "j", 2);
	world_settle(w);
	assert_int_equal(world_live(w, job), 0);
	for (uint32_t k = 0; k < 2; k++) {
		world_node_with(w, "n", 1000, 1000, &gpus[k], 1);
		world_settle(w);
		assert_int_equal(world_live(w, job), k + 1);
	}
	assert_int_equal(world_evals(w, job, SCHED_EVAL_BLOCKED), 0);
}

// The same of what is counted: each alone is lacking, and comes.
static void b36_a_node_that_grows(void **state)
{
	struct world *w = *state;
	struct sched_res capacity = {100, 100, 100, 1};
	uint32_t *const parts[] = {
		&capacity.cpu_milli, &capacity.memory_mib, &capacity.disk_mib, &capacity.slots};
	const uint32_t more[] = {1000, 1000, 1000, 10};
	uint32_t job, node, slot;

	w->group.ask = (struct sched_res){200, 200, 200, 2};
	job = world_job(w, "j", 1);
	for (int k = 0; k < 4; k++) {
		assert_int_equal(sched_core_node_put(w->core, "n", NULL, 0, &capacity, &node), 0);
		world_node_status(w, node, SCHED_NODE_READY);
		world_settle(w);
		assert_int_equal(world_live(w, job), 0);
		assert_int_equal(world_evals(w, job, SCHED_EVAL_BLOCKED), 1);
		*parts[k] = more[k];
	}
	assert_int_equal(sched_core_node_put(w->core, "n", NULL, 0, &capacity, &slot), 0);
	world_settle(w);
	assert_int_equal(world_live(w, job), 1);
}

static const struct sched_eval *blocked(const struct world *w, uint32_t job)
{
	const struct sched_snapshot *s = world_head(w);

	for (uint32_t k = 0; k < s->tables[SCHED_TABLE_EVALS].high; k++) {
		const struct sched_eval *e = sched_eval_at(s, k);

		if (e && e->job == job && e->status == SCHED_EVAL_BLOCKED)
			return e;
	}
	fail_msg("none is blocked");
	return NULL;
}

static void b70_it_waits_on_as_the_same(void **state)
{
	struct world *w = *state;
	uint64_t id, seen;
	uint32_t job;

	world_node(w, "a", 200, 1000);
	job = world_job(w, "j", 5);
	world_run(w);
	id = blocked(w, job)->id;
	seen = blocked(w, job)->snapshot_index;
	world_node(w, "b", 200, 1000);
	world_run(w);
	assert_int_equal(world_live(w, job), 4);
	assert_true(blocked(w, job)->id == id);
	assert_true(blocked(w, job)->snapshot_index > seen);
	world_node(w, "c", 200, 1000);
	world_run(w);
	assert_int_equal(world_live(w, job), 5);
	assert_true(world_last_eval(w, job)->id == id);
	assert_int_equal(world_last_eval(w, job)->status, SCHED_EVAL_COMPLETE);
}

// ---- a host that pauses, or ends ----

static void b63_who_pauses_gives_its_work_back(void **state)
{
	struct world *w = *state;
	struct sched_worker *other = sched_worker_new(NULL, 3);
	struct sched_plan *late, *plan;
	struct sched_ticket t, again;
	uint64_t token, second;
	uint32_t job;

	world_node(w, "n", 1000, 1000);
	job = world_job(w, "j", 3);
	token = dequeue(w, &t);
	late = plan_of(w, w->worker, &t, token);
	sched_core_nack(w->core, &t, token, w->now);
	// Another one gets it; what the first one planned is not wanted any more.
	w->now += SEC;
	sched_core_tick(w->core, w->now);
	second = dequeue(w, &again);
	assert_true(again.eval == t.eval && second != token);
	assert_int_equal(sched_core_submit(w->core, late, w->now), -ESTALE);
	plan = plan_of(w, other, &again, second);
	assert_int_equal(sched_core_submit(w->core, plan, w->now), 0);
	sched_core_apply(w->core, 1, w->now);
	assert_ptr_equal(sched_core_result(w->core), plan);
	assert_int_equal(sched_worker_result(other), 0);
	assert_int_equal(world_live(w, job), 3);
	sched_worker_destroy(other);
}

static void b63_what_was_under_way_at_the_end_is_done_later(void **state)
{
	struct world *w = *state;
	struct sched_worker *other = sched_worker_new(NULL, 3);
	struct sched_bytes log = {0};
	struct sched_plan *plan;
	struct sched_ticket t, u;
	uint64_t token;
	uint32_t a, b;

	world_node(w, "n", 1000, 1000);
	a = world_job(w, "a", 3);
	b = world_job(w, "b", 2);
	// One plan waits, another evaluation is being worked on.
	token = dequeue(w, &t);
	plan = plan_of(w, w->worker, &t, token);
	assert_int_equal(sched_core_submit(w->core, plan, w->now), 0);
	token = dequeue(w, &u);
	plan_of(w, other, &u, token);
	sched_core_stop(w->core);
	assert_ptr_equal(sched_core_result(w->core), plan);
	assert_int_equal(sched_worker_result(w->worker), -ECANCELED);
	assert_int_equal(sched_core_apply(w->core, 9, w->now), 0);
	nothing_ready(w);
	assert_int_equal(world_live(w, a) + world_live(w, b), 0);
	// A new core finds both.
	sched_log_take(w->core, &log);
	world_fini(w);
	w->core = sched_core_new(NULL, 5);
	assert_int_equal(sched_replay(w->core->state, log.data, log.len), 0);
	assert_int_equal(sched_core_start(w->core, w->now), 0);
	w->worker = sched_worker_new(NULL, 6);
	w->reader = sched_reader_new(&w->core->state->pages);
	assert_int_equal(sched_broker_stats(w->core->broker).ready, 2);
	world_settle(w);
	assert_int_equal(world_live(w, a), 3);
	assert_int_equal(world_live(w, b), 2);
	sched_worker_destroy(other);
	sched_bytes_fini(&log);
}

// ---- attempts ----

static void b68_batch_jobs_have_fewer_attempts(void **state)
{
	struct world *w = *state;
	uint32_t node = world_node(w, "n", 100, 100), job, rounds = 0;
	struct sched_ticket t;
	struct sched_plan *plan;
	uint64_t token;
	int rc = -EAGAIN;

	w->spec.type = SCHED_TYPE_BATCH;
	job = world_job(w, "j", 1);
	token = dequeue(w, &t);
	sched_worker_begin(w->worker, &t, token);
	// Each time the node vanishes between plan and commit.
	for (; rc == -EAGAIN && rounds < 20; rounds++) {
		rc = sched_worker_plan(
			w->worker, sched_snapshot_pin(w->reader, w->core->state), w->now, &plan);
		sched_reader_unpin(w->reader);
		assert_int_equal(rc, 0);
		world_node_status(w, node, SCHED_NODE_DOWN);
		sched_core_submit(w->core, plan, w->now);
		sched_core_apply(w->core, 1, w->now);
		sched_core_result(w->core);
		world_node_status(w, node, SCHED_NODE_READY);
		rc = sched_worker_result(w->worker);
	}
	assert_int_equal(rc, 0);
	assert_int_equal(rounds, SCHED_ATTEMPTS_BATCH + 1);
	assert_int_equal(world_evals(w, job, SCHED_EVAL_FAILED), 1);
	assert_int_equal(world_evals(w, job, SCHED_EVAL_BLOCKED), 1);
	assert_true(SCHED_ATTEMPTS_BATCH < SCHED_ATTEMPTS_SERVICE);
}

// ---- what is never run again ----

static void b82_never_what_nobody_wants(void **state)
{
	struct world *w = *state;
	uint32_t less, stopped, group, batch;
	struct sched_group groups[2] = {w->group, w->group};

	world_node(w, "n", 10000, 10000);
	less = world_job(w, "less", 2);
	stopped = world_job(w, "stopped", 1);
	world_settle(w);
	groups[0].count = groups[1].count = 1;
	groups[1].name = "second";
	w->spec.groups = groups;
	w->spec.group_count = 2;
	group = world_job(w, "group", 0);
	w->spec.group_count = 1;
	w->spec.type = SCHED_TYPE_BATCH;
	batch = world_job(w, "batch", 0);
	world_settle(w);
	// All fail, and wait to be run again; one completes.
	world_report(w, world_named(w, less, 1), SCHED_FAILED, false);
	world_report(w, world_named(w, stopped, 0), SCHED_FAILED, false);
	for (uint32_t k = 0; k < world_head(w)->tables[SCHED_TABLE_INSTANCES].high; k++) {
		const struct sched_instance *i = sched_instance_at(world_head(w), k);

		if (i && i->job == group && i->group == 1)
			world_report(w, i, SCHED_FAILED, false);
	}
	world_report(w, world_named(w, batch, 0), SCHED_COMPLETE, false);
	world_settle(w);
	// Before their time comes nobody asks for them any more.
	w->spec.type = SCHED_TYPE_SERVICE;
	world_job(w, "group", 0);
	w->spec.groups = &w->group;
	world_job(w, "less", 1);
	assert_int_equal(sched_core_job_stop(w->core, stopped, false, w->now), 0);
	for (int k = 0; k < 4; k++) {
		w->now += 3600 * SEC;
		world_settle(w);
		assert_int_equal(world_live(w, less), 1);
		assert_int_equal(world_live(w, stopped), 0);
		assert_int_equal(world_live(w, group), 1);
		assert_int_equal(world_live(w, batch), 0);
	}
	// Nothing waits for it either.
	assert_int_equal(sched_broker_stats(w->core->broker).waiting, 0);
}

// ---- what is done ----

static void b86_complete_though_its_node_goes(void **state)
{
	struct world *w = *state;
	struct sched_bytes log = {0};
	struct sched_state *copy = sched_state_new();
	uint32_t a = world_node(w, "a", 1000, 1000), job, rows;

	w->spec.type = SCHED_TYPE_BATCH;
	job = world_job(w, "j", 3);
	world_settle(w);
	for (uint32_t k = 0; k < 3; k++) {
		assert_int_equal(sched_job_at(world_head(w), job)->ended_ns, 0);
		world_report(w, world_named(w, job, k), SCHED_COMPLETE, false);
	}
	assert_true(sched_job_at(world_head(w), job)->ended_ns == w->now);
	// What it did can be seen for as long as it is there.
	w->now += 3600 * SEC;
	sched_core_evaluate(w->core, job, SCHED_JOB_PUT, w->now);
	world_settle(w);
	w->now += 3600 * SEC;
	world_settle(w);
	rows = sched_job_at(world_head(w), job)->instances;
	assert_int_equal(rows, 3);
	assert_int_equal(sched_core_node_del(w->core, a, w->now), 0);
	world_node(w, "b", 1000, 1000);
	sched_core_evaluate(w->core, job, SCHED_JOB_PUT, w->now);
	world_settle(w);
	assert_int_equal(world_live(w, job), 0);
	// The log knows it, too.
	sched_log_take(w->core, &log);
	assert_int_equal(sched_replay(copy, log.data, log.len), 0);
	assert_true(sched_job_at(&copy->head, job)->ended_ns > 0);
	assert_true(sched_state_hash(&copy->head) == sched_state_hash(world_head(w)));
	sched_state_destroy(copy);
	sched_bytes_fini(&log);
	// Another version begins anew.
	w->group.restart_hash = 2;
	world_job(w, "j", 3);
	world_settle(w);
	assert_int_equal(world_live(w, job), 3);
	assert_int_equal(sched_job_at(world_head(w), job)->ended_ns, 0);
}

// A new version runs what is another in it, and not again what is the same.
static void b86_another_version_of_what_has_ended(void **state)
{
	struct world *w = *state;
	struct sched_group groups[2] = {w->group, w->group};
	uint32_t job;

	world_node(w, "a", 1000, 1000);
	w->spec.type = SCHED_TYPE_BATCH;
	groups[1].name = "second";
	w->spec.groups = groups;
	w->spec.group_count = 2;
	groups[0].count = groups[1].count = 1;
	job = world_job(w, "j", 0);
	world_settle(w);
	for (uint32_t g = 0; g < 2; g++)
		for (uint32_t at = sched_job_at(world_head(w), job)->first_instance;
			at != SCHED_NONE;) {
			const struct sched_instance *i = sched_instance_at(world_head(w), at);

			at = i->next_in_job;
			world_report(w, i, SCHED_COMPLETE, false);
		}
	world_settle(w);
	assert_true(sched_job_at(world_head(w), job)->ended_ns > 0);
	groups[1].restart_hash = 2;
	world_job(w, "j", 0);
	world_settle(w);
	assert_int_equal(sched_job_at(world_head(w), job)->ended_ns, 0);
	assert_int_equal(world_live(w, job), 1);
	assert_int_equal(world_named(w, job, 0)->group, 1);
	world_report(w, world_named(w, job, 0), SCHED_COMPLETE, false);
	world_settle(w);
	assert_true(sched_job_at(world_head(w), job)->ended_ns > 0);
	assert_int_equal(world_live(w, job), 0);
}

// More of it: what is done stays done.
static void b86_more_of_what_has_ended(void **state)
{
	struct world *w = *state;
	uint32_t job;

	world_node(w, "a", 1000, 1000);
	w->spec.type = SCHED_TYPE_BATCH;
	job = world_job(w, "j", 2);
	world_settle(w);
	for (uint32_t k = 0; k < 2; k++)
		world_report(w, world_named(w, job, k), SCHED_COMPLETE, false);
	world_settle(w);
	assert_true(sched_job_at(world_head(w), job)->ended_ns > 0);
	world_job(w, "j", 4);
	world_settle(w);
	assert_int_equal(world_live(w, job), 2);
	assert_null(world_named(w, job, 0));
	for (uint32_t k = 2; k < 4; k++)
		world_report(w, world_named(w, job, k), SCHED_COMPLETE, false);
	world_settle(w);
	assert_true(sched_job_at(world_head(w), job)->ended_ns > 0);
	// The same again changes nothing.
	world_job(w, "j", 4);
	world_settle(w);
	assert_int_equal(world_live(w, job), 0);
	assert_true(sched_job_at(world_head(w), job)->ended_ns > 0);
	assert_int_equal(sched_core_job_stop(w->core, job, true, w->now), 0);
	for (int k = 0; k < 5; k++) {
		w->now += 11 * SEC;
		world_settle(w);
	}
	assert_null(sched_job_at(world_head(w), job));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(b04_one_name_in_two_namespaces),
		TEST(b36_a_device_that_is_given_back),
		TEST(b36_a_device_that_appears),
		TEST(b36_a_node_that_grows),
		TEST(b63_who_pauses_gives_its_work_back),
		TEST(b63_what_was_under_way_at_the_end_is_done_later),
		TEST(b68_batch_jobs_have_fewer_attempts),
		TEST(b70_it_waits_on_as_the_same),
		TEST(b82_never_what_nobody_wants),
		TEST(b86_complete_though_its_node_goes),
		TEST(b86_another_version_of_what_has_ended),
		TEST(b86_more_of_what_has_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
