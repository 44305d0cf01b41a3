// SPDX-License-Identifier: Apache-2.0
// What an instance has for itself on its node, and what a namespace may have: behaviours 31,
// 51, 54.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "sched/block.h"
#include "test/unit/sched_world.h"

static void b51_a_port_is_had_once_a_node(void **state)
{
	struct world *w = *state;
	struct sched_claim port = {"port.8080", 1, SCHED_ALL_GROUPS};
	struct sched_attribute taken = {"port.8080", "0"};
	uint32_t a, b, reserved;
	char text[200];

	for (uint32_t k = 0; k < 5; k++)
		world_node(w, (char[]){'n', (char)('a' + k), 0}, 1000, 1000);
	reserved = world_node_with(w, "reserved", 1000, 1000, &taken, 1);
	w->spec.claims = &port;
	w->spec.claim_count = 1;
	a = world_job(w, "a", 3);
	world_settle(w);
	b = world_job(w, "b", 4);
	world_settle(w);
	assert_int_equal(world_live(w, a), 3);
	assert_int_equal(world_live(w, b), 2);
	assert_int_equal(world_live_on(w, b, reserved), 0);
	for (uint32_t k = 0; k < 5; k++)
		assert_int_equal(world_live_on(w, a, k) + world_live_on(w, b, k), 1);
	assert_int_equal(world_last_eval(w, b)->explain.by_dimension[SCHED_DIM_CLAIM], 6);
	world_job(w, "b", 5);
	world_run(w);
	assert_string_equal(
		sched_explain_text(world_head(w), world_last_eval(w, b), text, sizeof(text)),
		"placed 0 of 3; 3 wait: of 6 nodes 6 lack a free port or device");
	// A port that is given back is room.
	world_job(w, "a", 1);
	world_settle(w);
	assert_int_equal(world_live(w, b), 4);
	// Another port is free.
	port.name = "port.8081";
	a = world_job(w, "c", 6);
	world_settle(w);
	assert_int_equal(world_live(w, a), 6);
}

static void b51_devices_are_counted(void **state)
{
	struct world *w = *state;
	struct sched_claim gpus = {"device.gpu", 2, 0};
	struct sched_attribute four = {"device.gpu", "4"}, one = {"device.gpu", "1"};
	struct sched_group groups[2] = {w->group, w->group};
	uint32_t big, job;

	big = world_node_with(w, "big", 10000, 10000, &four, 1);
	world_node_with(w, "small", 10000, 10000, &one, 1);
	world_node(w, "none", 10000, 10000);
	groups[0].count = 3;
	groups[1].count = 5;
	groups[1].name = "other";
	w->spec.groups = groups;
	w->spec.group_count = 2;
	w->spec.claims = &gpus;
	w->spec.claim_count = 1;
	job = world_job(w, "j", 0);
	world_settle(w);
	assert_int_equal(world_live(w, job), 7);
	for (uint32_t at = sched_job_at(world_head(w), job)->first_instance; at != SCHED_NONE;) {
		const struct sched_instance *i = sched_instance_at(world_head(w), at);

		if (i->group == 0)
			assert_int_equal(i->node, big);
		at = i->next_in_job;
	}
}

// Two workers on one snapshot want the same port: the applier lets one have it.
static void b51_the_applier_rejects_an_overlap(void **state)
{
	struct world *w = *state;
	struct sched_claim port = {"port.80", 1, SCHED_ALL_GROUPS};
	struct sched_worker *other = sched_worker_new(NULL, 3);
	struct sched_plan *plan, *second;
	const struct sched_snapshot *s;
	struct sched_ticket t, u;
	uint64_t token, token_u;
	uint32_t a, b;

	world_node(w, "only", 1000, 1000);
	w->spec.claims = &port;
	w->spec.claim_count = 1;
	a = world_job(w, "a", 1);
	b = world_job(w, "b", 1);
	assert_int_equal(sched_core_dequeue(w->core, SCHED_MASK_ALL, w->now, &t, &token), 0);
	assert_int_equal(sched_core_dequeue(w->core, SCHED_MASK_ALL, w->now, &u, &token_u), 0);
	sched_worker_begin(w->worker, &t, token);
	sched_worker_begin(other, &u, token_u);
	s = sched_snapshot_pin(w->reader, w->core->state);
	assert_int_equal(sched_worker_plan(w->worker, s, w->now, &plan), 0);
	assert_int_equal(sched_worker_plan(other, s, w->now, &second), 0);
	assert_int_equal(second->place_count, 1);
	sched_core_submit(w->core, plan, w->now);
	sched_core_submit(w->core, second, w->now);
	sched_core_apply(w->core, 10, w->now);
	assert_int_equal(sched_worker_result(w->worker), 0);
	assert_int_equal(sched_worker_result(other), -EAGAIN);
	assert_int_equal(second->rejected_nodes, 1);
	assert_int_equal(world_live(w, a) + world_live(w, b), 1);
	while (sched_core_result(w->core))
		;
	sched_worker_destroy(other);
	sched_reader_unpin(w->reader);
}

// A system job's new version takes the port over from the old one, on the same node.
static void b51_a_port_is_handed_over(void **state)
{
	struct world *w = *state;
	struct sched_claim port = {"port.80", 1, SCHED_ALL_GROUPS};
	uint32_t job;

	world_node(w, "a", 1000, 1000);
	world_node(w, "b", 1000, 1000);
	w->spec.type = SCHED_TYPE_SYSTEM;
	w->spec.claims = &port;
	w->spec.claim_count = 1;
	job = world_job(w, "agent", 1);
	world_settle(w);
	w->group.restart_hash = 2;
	world_job(w, "agent", 1);
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 2), 2);
	assert_int_equal(world_live(w, job), 2);
}

static void claims_are_read_as_written(void **state)
{
	struct world *w = *state;
	struct sched_claim claims[] = {{"port.1", 1, 0}, {"core", 300, SCHED_ALL_GROUPS}};
	struct sched_spec *copy;

	w->spec.name = "j";
	w->spec.groups = &w->group;
	w->spec.claims = claims;
	w->spec.claim_count = 2;
	assert_int_equal(sched_spec_check(&w->spec), 0);
	copy = sched_spec_copy(&w->spec);
	assert_int_equal(copy->claim_count, 2);
	assert_string_equal(copy->claims[1].name, "core");
	assert_int_equal(copy->claims[1].count, 300);
	assert_int_equal(copy->claims[0].group, 0);
	free(copy);
	claims[0].count = 0;
	assert_int_equal(sched_spec_check(&w->spec), -EINVAL);
	claims[0] = (struct sched_claim){"unique.port", 1, 0};
	assert_int_equal(sched_spec_check(&w->spec), -EINVAL);
}

static struct sched_res some(uint32_t cpu)
{
	return (struct sched_res){cpu, UINT32_MAX, UINT32_MAX, UINT32_MAX};
}

static uint32_t used_cpu(const struct world *w)
{
	return sched_quota_at(world_head(w), sched_quota_find(w->core->state, "default"))
		->used.cpu_milli;
}

static void b31_waits_for_its_quota(void **state)
{
	struct world *w = *state;
	struct sched_res limit = some(500);
	char text[200];
	uint32_t a, b, other;

	world_node(w, "n", 10000, 10000);
	a = world_job(w, "a", 2);
	world_settle(w);
	// What is there before the quota counts.
	assert_int_equal(sched_core_quota_put(w->core, "default", &limit, w->now), 0);
	assert_int_equal(used_cpu(w), 200);
	b = world_job(w, "b", 6);
	world_settle(w);
	assert_int_equal(world_live(w, b), 3);
	assert_int_equal(used_cpu(w), 500);
	assert_int_equal(world_evals(w, b, SCHED_EVAL_BLOCKED), 1);
	assert_string_equal(
		sched_explain_text(world_head(w), world_last_eval(w, b), text, sizeof(text)),
		"placed 3 of 6; 3 wait: the quota of the namespace is used up");
	// Another namespace has none, and its room is not theirs.
	w->spec.namespace = "other";
	other = world_job(w, "c", 5);
	world_settle(w);
	assert_int_equal(world_live(w, other), 5);
	world_job(w, "c", 0);
	world_settle(w);
	w->spec.namespace = "default";
	assert_int_equal(world_live(w, b), 3);
	// What the namespace gives back wakes it, and so does a larger quota, or none.
	world_job(w, "a", 1);
	world_settle(w);
	assert_int_equal(world_live(w, a), 1);
	assert_int_equal(world_live(w, b), 4);
	limit.cpu_milli = 600;
	assert_int_equal(sched_core_quota_put(w->core, "default", &limit, w->now), 0);
	world_settle(w);
	assert_int_equal(world_live(w, b), 5);
	assert_int_equal(sched_core_quota_del(w->core, "default", w->now), 0);
	assert_int_equal(sched_core_quota_del(w->core, "default", w->now), -ENOENT);
	world_settle(w);
	assert_int_equal(world_live(w, b), 6);
	assert_int_equal(world_evals(w, b, SCHED_EVAL_BLOCKED), 0);
	// A quota below what is there takes nothing away, and allows nothing more.
	assert_int_equal(sched_core_quota_put(w->core, "default", &limit, w->now), 0);
	limit.cpu_milli = 100;
	assert_int_equal(sched_core_quota_put(w->core, "default", &limit, w->now), 0);
	world_job(w, "b", 5);
	world_settle(w);
	assert_int_equal(world_live(w, b), 5);
	world_job(w, "a", 2);
	world_settle(w);
	assert_int_equal(world_live(w, a), 1);
}

// What the quota allows had no room either: both wake it.
static void b31_waits_for_its_quota_and_for_room(void **state)
{
	struct world *w = *state;
	struct sched_res limit = some(200);
	uint32_t a;

	assert_int_equal(sched_core_quota_put(w->core, "default", &limit, w->now), 0);
	a = world_job(w, "a", 5);
	world_settle(w);
	assert_int_equal(world_live(w, a), 0);
	assert_int_equal(world_evals(w, a, SCHED_EVAL_BLOCKED), 1);
	world_node(w, "n", 10000, 10000);
	world_settle(w);
	assert_int_equal(world_live(w, a), 2);
	limit = some(400);
	assert_int_equal(sched_core_quota_put(w->core, "default", &limit, w->now), 0);
	world_settle(w);
	assert_int_equal(world_live(w, a), 4);
	// A node alone is no quota: it is not even looked at.
	world_node(w, "m", 10000, 10000);
	assert_int_equal(world_evals(w, a, SCHED_EVAL_BLOCKED), 1);
	world_settle(w);
	assert_int_equal(world_live(w, a), 4);
}

static void b54_over_quota_is_rejected_whole(void **state)
{
	struct world *w = *state;
	const struct sched_res limit = some(500);
	struct sched_worker *other = sched_worker_new(NULL, 3);
	struct sched_plan *plan, *second;
	const struct sched_snapshot *s;
	struct sched_ticket t, u;
	uint64_t token, token_u;
	uint32_t a, b;

	world_node(w, "m", 1000, 1000);
	world_node(w, "n", 1000, 1000);
	sched_core_quota_put(w->core, "default", &limit, w->now);
	a = world_job(w, "a", 3);
	b = world_job(w, "b", 3);
	assert_int_equal(sched_core_dequeue(w->core, SCHED_MASK_ALL, w->now, &t, &token), 0);
	assert_int_equal(sched_core_dequeue(w->core, SCHED_MASK_ALL, w->now, &u, &token_u), 0);
	sched_worker_begin(w->worker, &t, token);
	sched_worker_begin(other, &u, token_u);
	s = sched_snapshot_pin(w->reader, w->core->state);
	assert_int_equal(sched_worker_plan(w->worker, s, w->now, &plan), 0);
	assert_int_equal(sched_worker_plan(other, s, w->now, &second), 0);
	assert_int_equal(second->place_count, 3);
	sched_core_submit(w->core, plan, w->now);
	sched_core_submit(w->core, second, w->now);
	sched_core_apply(w->core, 10, w->now);
	assert_int_equal(sched_worker_result(w->worker), 0);
	assert_int_equal(sched_worker_result(other), -EAGAIN);
	assert_int_equal(second->placed, 0);
	assert_int_equal(world_live(w, a), 3);
	assert_int_equal(world_live(w, b), 0);
	assert_int_equal(sched_applier_stats(w->core->applier).over_quota, 1);
	while (sched_core_result(w->core))
		;
	// On the newer state it keeps to what is left.
	s = sched_snapshot_pin(w->reader, w->core->state);
	assert_int_equal(sched_worker_plan(other, s, w->now, &second), 0);
	assert_int_equal(second->place_count, 2);
	sched_reader_unpin(w->reader);
	sched_worker_destroy(other);
}

static void quotas_survive_a_restart(void **state)
{
	struct world *w = *state;
	const struct sched_res limit = some(500);
	struct sched_encoder out = {0};
	struct sched_state *copy = sched_state_new(), *again = sched_state_new();
	uint64_t hash;

	world_node(w, "n", 1000, 1000);
	world_job(w, "a", 3);
	world_settle(w);
	sched_core_quota_put(w->core, "default", &limit, w->now);
	sched_core_quota_put(w->core, "empty", &limit, w->now);
	sched_core_quota_del(w->core, "empty", w->now);
	world_job(w, "a", 9);
	world_settle(w);
	hash = sched_state_hash(world_head(w));
	assert_int_equal(
		sched_replay(copy, w->core->state->log.out.data, w->core->state->log.out.len), 0);
	assert_true(sched_state_hash(&copy->head) == hash);
	assert_int_equal(sched_checkpoint(world_head(w), &out), 0);
	assert_int_equal(sched_replay(again, out.out.data, out.out.len), 0);
	assert_true(sched_state_hash(&again->head) == hash);
	sched_bytes_fini(&out.out);
	sched_state_destroy(copy);
	sched_state_destroy(again);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		TEST(b51_a_port_is_had_once_a_node),
		TEST(b51_devices_are_counted),
		TEST(b51_the_applier_rejects_an_overlap),
		TEST(b51_a_port_is_handed_over),
		TEST(claims_are_read_as_written),
		TEST(b31_waits_for_its_quota),
		TEST(b31_waits_for_its_quota_and_for_room),
		TEST(b54_over_quota_is_rejected_whole),
		TEST(quotas_survive_a_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
