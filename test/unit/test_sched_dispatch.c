// SPDX-License-Identifier: Apache-2.0
// Templates (behaviour 92): what a dispatch makes, what is refused and in which words, tokens, and
// that children leave nothing behind.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sched/block.h"
#include "test/unit/launch_world.h"

#define SEC NS_PER_SEC

static const char *const required[] = {"scene"}, *const optional[] = {"band", "Region_EU"};

static int setup(void **state)
{
	static struct launches l;

	launches_init(&l);
	l.launch = (struct sched_launch){.templated = true,
		.meta_required = required,
		.meta_required_count = 1,
		.meta_optional = optional,
		.meta_optional_count = 2};
	*state = &l;
	return 0;
}

static int teardown(void **state)
{
	launches_fini(*state);
	return 0;
}

static struct sched_meta scene = {"scene", "s1"};

static struct sched_dispatch simple(void)
{
	return (struct sched_dispatch){.meta = &scene, .meta_count = 1};
}

static uint32_t dispatch(struct launches *l, uint32_t parent)
{
	struct sched_dispatch d = simple();
	uint32_t child;

	assert_int_equal(sched_core_dispatch(l->w.core, parent, &d, l->w.now, &child), 0);
	world_settle(&l->w);
	return child;
}

static void refused(
	struct launches *l, uint32_t parent, struct sched_dispatch *d, int error, const char *says)
{
	uint32_t rows = launches_rows(l, SCHED_TABLE_JOBS), child;

	assert_int_equal(sched_core_dispatch(l->w.core, parent, d, l->w.now, &child), error);
	if (!strstr(d->why, says))
		fail_msg("%s", d->why);
	assert_int_equal(launches_rows(l, SCHED_TABLE_JOBS), rows);
}

static void b92_a_dispatch_makes_a_child(void **state)
{
	struct launches *l = *state;
	struct sched_meta meta[] = {{"scene", "s1"}, {"band", ""}};
	struct sched_dispatch d = {
		.payload = "a\0b", .payload_len = 3, .meta = meta, .meta_count = 2, .token = "t"};
	uint32_t parent = launches_put(l, "j", 2), child;
	const struct sched_spec *spec;

	assert_int_equal(launches_job(l, parent)->instances, 0);
	assert_int_equal(sched_core_dispatch(l->w.core, parent, &d, l->w.now, &child), 0);
	spec = sched_job_spec(launches_job(l, child));
	assert_int_equal(strlen(spec->name), strlen("j-") + 16);
	assert_int_equal(strspn(spec->name + 2, "0123456789abcdef"), 16);
	assert_memory_equal(spec->name, "j-", 2);
	assert_string_equal(spec->parent, "j");
	assert_string_equal(spec->token, "t");
	assert_int_equal(spec->payload_len, 3);
	assert_memory_equal(spec->payload, "a\0b", 3);
	assert_int_equal(spec->meta_count, 2);
	assert_string_equal(spec->meta[0].key, "scene");
	assert_string_equal(spec->meta[0].value, "s1");
	assert_string_equal(spec->meta[1].value, "");
	assert_null(spec->launch);
	assert_int_equal(spec->type, SCHED_TYPE_BATCH);
	world_settle(&l->w);
	assert_int_equal(world_live(&l->w, child), 2);
	assert_int_equal(launches_job(l, parent)->children_alive, 1);
	assert_int_equal(l->w.core->launches.stats.dispatched, 1);
}

static void b92_the_payload_is_limited(void **state)
{
	struct launches *l = *state;
	uint8_t *bytes = calloc(1, SCHED_PAYLOAD_MAX + 1);
	struct sched_dispatch d = simple();
	uint32_t parent = launches_put(l, "j", 1), child;

	d.payload = bytes;
	d.payload_len = SCHED_PAYLOAD_MAX + 1;
	refused(l, parent, &d, -E2BIG, "16385 bytes: at most 16384");
	memset(bytes, 0xa5, SCHED_PAYLOAD_MAX);
	d.payload_len = SCHED_PAYLOAD_MAX;
	assert_int_equal(sched_core_dispatch(l->w.core, parent, &d, l->w.now, &child), 0);
	assert_memory_equal(
		sched_job_spec(launches_job(l, child))->payload, bytes, SCHED_PAYLOAD_MAX);
	l->launch.payload = SCHED_PAYLOAD_FORBIDDEN;
	launches_put(l, "j", 1);
	refused(l, parent, &d, -EINVAL, "forbids a payload");
	l->launch.payload = SCHED_PAYLOAD_REQUIRED;
	launches_put(l, "j", 1);
	d.payload_len = 0;
	refused(l, parent, &d, -EINVAL, "requires a payload");
	free(bytes);
}

static void b92_meta_is_checked(void **state)
{
	struct launches *l = *state;
	char *large = calloc(1, SCHED_META_BYTES_MAX + 1);
	struct sched_meta meta[3] = {{"scene", "s"}, {"nobody", "x"}, {"scene", "z"}};
	struct sched_dispatch d = {.meta = meta};
	uint32_t parent = launches_put(l, "j", 1), child;

	refused(l, parent, &d, -EINVAL, "\"scene\" is required");
	d.meta_count = 2;
	refused(l, parent, &d, -EINVAL, "knows no meta key \"nobody\"");
	meta[1] = (struct sched_meta){"band", "1"};
	d.meta_count = 3;
	refused(l, parent, &d, -EINVAL, "\"scene\" is given twice");
	memset(large, 'x', SCHED_META_BYTES_MAX);
	meta[2] = (struct sched_meta){"Region_EU", large};
	refused(l, parent, &d, -EINVAL, "at most 16384");
	large[SCHED_META_BYTES_MAX - 2] = 0;
	assert_int_equal(sched_core_dispatch(l->w.core, parent, &d, l->w.now, &child), 0);
	assert_int_equal(sched_job_spec(launches_job(l, child))->meta_count, 3);
	free(large);
}

static void b92_what_is_no_template(void **state)
{
	struct launches *l = *state;
	struct sched_dispatch d = simple();
	uint32_t parent = launches_put(l, "j", 1), child = dispatch(l, parent), plain;

	refused(l, 99, &d, -ENOENT, "no such job");
	refused(l, child, &d, -EINVAL, "is no template");
	assert_int_equal(sched_core_job_stop(l->w.core, parent, false, l->w.now), 0);
	refused(l, parent, &d, -EINVAL, "is stopped");
	l->launch = (struct sched_launch){.cron = "* * * * *"};
	plain = launches_put(l, "p", 1);
	refused(l, plain, &d, -EINVAL, "is no template");
}

static void b92_keys_that_are_refused(void **state)
{
	static const char *const wrong[] = {"", "a b", "a=b", "\xc3\xa4", "a.b"};
	static const char *const alike[] = {"a-b", "A_B"};
	struct launches *l = *state;
	uint32_t slot;

	l->w.spec.name = "j";
	l->w.spec.groups = &l->w.group;
	l->launch.meta_required = alike;
	l->launch.meta_required_count = 2;
	assert_int_equal(sched_core_job_put(l->w.core, &l->w.spec, l->w.now, &slot), -EINVAL);
	l->launch.meta_required_count = 1;
	assert_int_equal(sched_core_job_put(l->w.core, &l->w.spec, l->w.now, &slot), 0);
	for (int k = 0; k < 5; k++) {
		l->launch.meta_required = &wrong[k];
		assert_int_equal(
			sched_core_job_put(l->w.core, &l->w.spec, l->w.now, &slot), -EINVAL);
	}
}

// ---- tokens ----

static void b92_a_token_makes_one_child(void **state)
{
	struct launches *l = *state;
	struct sched_dispatch d = simple();
	uint32_t parent = launches_put(l, "j", 1), other = launches_put(l, "k", 1), child, again;

	d.token = "t1";
	assert_int_equal(sched_core_dispatch(l->w.core, parent, &d, l->w.now, &child), 0);
	assert_int_equal(sched_core_dispatch(l->w.core, parent, &d, l->w.now, &again), -EEXIST);
	assert_int_equal(again, child);
	// Another job's tokens are its own; and so is another token.
	assert_int_equal(sched_core_dispatch(l->w.core, other, &d, l->w.now, &again), 0);
	assert_int_not_equal(again, child);
	d.token = "t2";
	assert_int_equal(sched_core_dispatch(l->w.core, parent, &d, l->w.now, &again), 0);
	// None twice is two.
	d.token = NULL;
	assert_int_equal(sched_core_dispatch(l->w.core, parent, &d, l->w.now, &again), 0);
	d.token = "";
	assert_int_equal(sched_core_dispatch(l->w.core, parent, &d, l->w.now, &again), 0);
	assert_int_equal(launches_job(l, parent)->children, 4);
	// After a restart, too, and when it has ended, and when the job is stopped.
	launches_save(l);
	launches_restart(l);
	d.token = "t1";
	assert_int_equal(sched_core_dispatch(l->w.core, parent, &d, l->w.now, &again), -EEXIST);
	world_settle(&l->w);
	launches_end(l, child, SCHED_COMPLETE);
	world_settle(&l->w);
	assert_int_equal(sched_core_job_stop(l->w.core, parent, false, l->w.now), 0);
	assert_int_equal(sched_core_dispatch(l->w.core, parent, &d, l->w.now, &again), -EEXIST);
	assert_int_equal(again, child);
	launches_put(l, "j", 1);
	// Once nothing is left of the child the token is free.
	launches_at(l, l->w.now + 601 * SEC);
	assert_int_equal(sched_core_dispatch(l->w.core, parent, &d, l->w.now, &again), 0);
}

// ---- how children end ----

static void b92_a_child_ends_when_all_completed(void **state)
{
	struct launches *l = *state;
	struct sched_group groups[2] = {l->w.group, l->w.group};
	uint32_t parent, child;

	groups[0].count = 2;
	groups[1].name = "other";
	groups[1].count = 1;
	l->w.spec.groups = groups;
	l->w.spec.group_count = 2;
	l->w.spec.name = "j";
	assert_int_equal(sched_core_job_put(l->w.core, &l->w.spec, l->w.now, &parent), 0);
	child = dispatch(l, parent);
	assert_int_equal(world_live(&l->w, child), 3);
	for (uint32_t left = 3; left; left--) {
		const struct sched_snapshot *s = world_head(&l->w);
		uint32_t at = launches_job(l, child)->first_instance;

		while (!sched_live(sched_instance_at(s, at)))
			at = sched_instance_at(s, at)->next_in_job;
		assert_int_equal(launches_job(l, child)->ended_ns, 0);
		assert_int_equal(world_live(&l->w, child), left);
		// What fails is run again, though nothing runs meanwhile.
		if (left == 1) {
			world_report(&l->w, sched_instance_at(s, at), SCHED_FAILED, false);
			launches_at(l, l->w.now + 31 * SEC);
			assert_int_equal(launches_job(l, child)->ended_ns, 0);
			assert_int_equal(world_live(&l->w, child), 1);
			at = launches_job(l, child)->first_instance;
			while (!sched_live(sched_instance_at(s, at)))
				at = sched_instance_at(s, at)->next_in_job;
		}
		world_report(&l->w, sched_instance_at(s, at), SCHED_COMPLETE, false);
		world_settle(&l->w);
	}
	assert_true(launches_job(l, child)->ended_ns == l->w.now);
	assert_int_equal(launches_job(l, parent)->children_alive, 0);
	assert_int_equal(launches_job(l, parent)->children, 1);
	// It stays ended, though its node goes with all that was there.
	assert_int_equal(sched_core_node_del(l->w.core, 0, l->w.now), 0);
	world_node(&l->w, "m", UINT32_MAX, UINT32_MAX);
	assert_int_equal(sched_core_evaluate(l->w.core, child, SCHED_JOB_PUT, l->w.now), 0);
	world_settle(&l->w);
	assert_int_equal(world_live(&l->w, child), 0);
}

static void b92_nothing_to_do_ends_at_once(void **state)
{
	struct launches *l = *state;
	uint32_t parent = launches_put(l, "j", 0), child = dispatch(l, parent);

	assert_true(launches_job(l, child)->ended_ns > 0);
	launches_at(l, l->w.now + 601 * SEC);
	assert_int_equal(launches_job(l, parent)->children, 0);
}

static void b92_a_stopped_child_ends(void **state)
{
	struct launches *l = *state;
	uint32_t parent = launches_put(l, "j", 2), child = dispatch(l, parent), waits;

	assert_int_equal(sched_core_job_stop(l->w.core, child, false, l->w.now), 0);
	world_run(&l->w);
	assert_true(launches_job(l, child)->ended_ns > 0);
	// The host has not said so yet: its rows stay.
	launches_at(l, l->w.now + 601 * SEC);
	launches_at(l, l->w.now + 11 * SEC);
	assert_int_equal(launches_job(l, parent)->children, 0);
	assert_int_equal(launches_rows(l, SCHED_TABLE_INSTANCES), 0);
	// One that was never placed.
	world_node_status(&l->w, 0, SCHED_NODE_DOWN);
	waits = dispatch(l, parent);
	assert_int_equal(world_evals(&l->w, waits, SCHED_EVAL_BLOCKED), 1);
	assert_int_equal(sched_core_job_stop(l->w.core, waits, true, l->w.now), 0);
	world_settle(&l->w);
	launches_at(l, l->w.now + 11 * SEC);
	assert_int_equal(launches_job(l, parent)->children, 0);
	assert_int_equal(launches_rows(l, SCHED_TABLE_EVALS), 1);
}

// ---- what is left of them ----

static void b92_what_ended_is_kept_for_a_while(void **state)
{
	struct launches *l = *state;
	uint32_t parent = launches_put(l, "j", 3), child = dispatch(l, parent);

	launches_end(l, child, SCHED_COMPLETE);
	launches_at(l, l->w.now + 599 * SEC);
	assert_int_equal(launches_rows(l, SCHED_TABLE_JOBS), 2);
	assert_int_equal(launches_rows(l, SCHED_TABLE_INSTANCES), 3);
	launches_at(l, l->w.now + SEC);
	assert_int_equal(launches_rows(l, SCHED_TABLE_JOBS), 1);
	assert_int_equal(launches_rows(l, SCHED_TABLE_INSTANCES), 0);
	assert_int_equal(launches_rows(l, SCHED_TABLE_EVALS), 1); // the template's
	assert_int_equal(l->w.core->launches.stats.collected, 1);
	// A restart in between changes nothing of that.
	child = dispatch(l, parent);
	launches_end(l, child, SCHED_COMPLETE);
	launches_save(l);
	l->w.now += 500 * SEC;
	launches_restart(l);
	launches_at(l, l->w.now + 99 * SEC);
	assert_int_equal(launches_rows(l, SCHED_TABLE_JOBS), 2);
	launches_at(l, l->w.now + SEC);
	assert_int_equal(launches_rows(l, SCHED_TABLE_JOBS), 1);
}

static void b92_many_leave_nothing_behind(void **state)
{
	struct launches *l = *state;
	uint32_t parent = launches_put(l, "j", 1);
	struct sched_dispatch d = simple();
	size_t bytes = 0;

	for (int round = 0; round < 12; round++) {
		for (int k = 0; k < 500; k++) {
			char token[16];
			uint32_t child;

			snprintf(token, sizeof(token), "%d", round * 500 + k);
			d.token = token;
			assert_int_equal(
				sched_core_dispatch(l->w.core, parent, &d, l->w.now, &child), 0);
		}
		world_settle(&l->w);
		for (uint32_t at = launches_job(l, parent)->first_child; at != SCHED_NONE;
			at = launches_job(l, at)->next_child)
			launches_end(l, at, SCHED_COMPLETE);
		assert_int_equal(launches_job(l, parent)->children_alive, 0);
		assert_int_equal(launches_job(l, parent)->children, 500);
		launches_at(l, l->w.now + 601 * SEC);
		assert_int_equal(launches_rows(l, SCHED_TABLE_JOBS), 1);
		assert_int_equal(launches_rows(l, SCHED_TABLE_INSTANCES), 0);
		assert_int_equal(launches_rows(l, SCHED_TABLE_EVALS), 1);
		assert_int_equal(l->w.core->state->tokens.count, 0);
		assert_int_equal(l->w.core->launches.kept.count, 0);
		launches_save(l);
		l->log.len = 0;
		sched_publish(l->w.core->state);
		if (round == 3)
			bytes = sched_state_bytes(l->w.core->state);
	}
	assert_int_equal(l->w.core->launches.stats.collected, 6000);
	assert_true(sched_state_bytes(l->w.core->state) <= bytes + bytes / 8);
}

static void b92_living_children_are_limited(void **state)
{
	struct launches *l = *state;
	struct sched_dispatch d = simple();
	uint32_t parent = launches_put(l, "j", 1), child;

	world_node_status(&l->w, 0, SCHED_NODE_DOWN);
	for (int k = 0; k < SCHED_CHILDREN_MAX; k++)
		assert_int_equal(sched_core_dispatch(l->w.core, parent, &d, l->w.now, &child), 0);
	refused(l, parent, &d, -EDQUOT, "16384 children that have not ended");
	assert_int_equal(l->w.core->launches.stats.refused, 1);
	assert_int_equal(sched_core_job_stop(l->w.core, child, true, l->w.now), 0);
	world_run(&l->w);
	assert_int_equal(sched_core_dispatch(l->w.core, parent, &d, l->w.now, &child), 0);
}

static void b92_kept_children_are_limited(void **state)
{
	struct launches *l = *state;
	struct sched_dispatch d = simple();
	uint32_t parent = launches_put(l, "j", 0), first, child;

	assert_int_equal(sched_core_dispatch(l->w.core, parent, &d, l->w.now, &first), 0);
	l->w.now += SEC;
	for (int k = 0; k < SCHED_KEPT_MAX; k++)
		assert_int_equal(sched_core_dispatch(l->w.core, parent, &d, l->w.now, &child), 0);
	sched_core_tick(l->w.core, l->w.now);
	// The oldest went before its time.
	assert_int_equal(launches_job(l, parent)->children, SCHED_KEPT_MAX);
	assert_null(sched_job_at(world_head(&l->w), first));
	assert_int_equal(l->w.core->launches.stats.collected_early, 1);
}

// ---- log and checkpoint ----

static void b92_a_checkpoint_has_all_of_it(void **state)
{
	struct launches *l = *state;
	struct sched_encoder out = {0};
	struct sched_meta meta[] = {{"scene", "s1"}, {"band", "b"}};
	struct sched_dispatch d = {
		.payload = "p", .payload_len = 1, .meta = meta, .meta_count = 2, .token = "t"};
	struct sched_state *copy = sched_state_new();
	const struct sched_spec *spec;
	uint32_t parent, child, other, again;

	// A child in a row before its parent's: what was there before is gone.
	l->w.spec.launch = NULL;
	launches_put(l, "gone", 0);
	l->w.spec.launch = &l->launch;
	parent = launches_put(l, "j", 1);
	assert_int_equal(sched_core_job_stop(l->w.core, 0, true, l->w.now), 0);
	world_settle(&l->w);
	assert_int_equal(sched_core_dispatch(l->w.core, parent, &d, l->w.now, &child), 0);
	assert_true(child < parent);
	other = dispatch(l, parent);
	launches_end(l, other, SCHED_COMPLETE);
	launches_save(l);
	assert_int_equal(sched_checkpoint(world_head(&l->w), &out), 0);
	assert_int_equal(sched_replay(copy, out.out.data, out.out.len), 0);
	assert_true(sched_state_hash(&copy->head) == sched_state_hash(world_head(&l->w)));
	spec = sched_job_spec(sched_job_at(&copy->head, child));
	assert_string_equal(spec->meta[1].value, "b");
	assert_memory_equal(spec->payload, "p", 1);
	spec = sched_job_spec(sched_job_at(&copy->head, parent));
	assert_true(spec->launch->templated);
	assert_string_equal(spec->launch->meta_required[0], "scene");
	assert_string_equal(spec->launch->meta_optional[1], "Region_EU");
	assert_int_equal(sched_job_at(&copy->head, parent)->children_alive, 1);
	assert_int_equal(sched_token_find(copy, spec, "t"), child);
	sched_state_destroy(copy);
	// The log says the same.
	launches_restart(l);
	assert_int_equal(sched_core_dispatch(l->w.core, parent, &d, l->w.now, &again), -EEXIST);
	assert_int_equal(again, child);
	sched_bytes_fini(&out.out);
}

// A damaged record does not take the room of one behind it.
static void b92_damaged_records_are_refused(void **state)
{
	struct launches *l = *state;
	struct world *w = &l->w;
	uint8_t records[42] = {32, 34, 0, 0, 32}; // keys: 32, of which one is cut off
	struct sched_bytes b = {0};
	struct reader r;

	memcpy(records + 36, (uint8_t[]){32, 4, 2, 0, 0, 0}, 6);
	w->spec.name = "j";
	w->spec.namespace = "n";
	w->spec.type = SCHED_TYPE_BATCH;
	w->spec.groups = &w->group;
	w->spec.launch = NULL;
	sched_spec_encode(&b, &w->spec);
	assert_true(b.len + sizeof(records) < 0x80);
	b.data[0] = (uint8_t)(b.data[0] + sizeof(records));
	memcpy(sched_bytes_take(&b, sizeof(records)), records, sizeof(records));
	r = reader_of(b.data, b.len);
	assert_null(sched_spec_decode(&r));
	assert_true(r.bad);
	sched_bytes_fini(&b);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(b92_a_dispatch_makes_a_child),
		TEST(b92_the_payload_is_limited),
		TEST(b92_meta_is_checked),
		TEST(b92_what_is_no_template),
		TEST(b92_keys_that_are_refused),
		TEST(b92_a_token_makes_one_child),
		TEST(b92_a_child_ends_when_all_completed),
		TEST(b92_nothing_to_do_ends_at_once),
		TEST(b92_a_stopped_child_ends),
		TEST(b92_what_ended_is_kept_for_a_while),
		TEST(b92_many_leave_nothing_behind),
		TEST(b92_living_children_are_limited),
		TEST(b92_kept_children_are_limited),
		TEST(b92_a_checkpoint_has_all_of_it),
		TEST(b92_damaged_records_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
