// SPDX-License-Identifier: Apache-2.0
// The dry run of a job: it says what the real thing then does, and changes nothing.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sched/dry_run.h"
#include "test/unit/sched_world.h"

#define SEED 42

static struct sched_worker_config config;

static int setup(void **state)
{
	world_setup(state);
	config = (struct sched_worker_config){0};
	return 0;
}

// ---- the real thing beside it ----

// What can be compared of a plan, by value.
struct outcome {
	struct sched_plan_place *places;
	struct sched_plan_stop *stops;
	struct sched_plan_update *updates;
	uint32_t placed, stopped, updated;
	struct sched_explain explain;
	uint32_t follow_count;
};

static void *copy_of(const void *items, size_t count, size_t bytes)
{
	void *out = malloc(count * bytes + 1);

	if (count)
		memcpy(out, items, count * bytes);
	return out;
}

static struct outcome outcome_of(const struct sched_plan *p)
{
	return (struct outcome){.places = copy_of(p->places, p->place_count, sizeof(*p->places)),
		.stops = copy_of(p->stops, p->stop_count, sizeof(*p->stops)),
		.updates = copy_of(p->updates, p->update_count, sizeof(*p->updates)),
		.placed = p->place_count,
		.stopped = p->stop_count,
		.updated = p->update_count,
		.explain = p->done.explain,
		.follow_count = p->follow_count};
}

static void outcome_free(struct outcome *o)
{
	free(o->places);
	free(o->stops);
	free(o->updates);
}

static void assert_same(const struct outcome *a, const struct outcome *b)
{
	assert_int_equal(a->placed, b->placed);
	assert_int_equal(a->stopped, b->stopped);
	assert_int_equal(a->updated, b->updated);
	assert_int_equal(a->follow_count, b->follow_count);
	assert_memory_equal(&a->explain, &b->explain, sizeof(a->explain));
	for (uint32_t k = 0; k < a->placed; k++) {
		const struct sched_plan_place *x = &a->places[k], *y = &b->places[k];

		assert_int_equal(x->node, y->node);
		assert_int_equal(x->name_index, y->name_index);
		assert_int_equal(x->previous, y->previous);
		assert_int_equal(x->group, y->group);
		assert_int_equal(x->version, y->version);
		assert_true(x->score == y->score && x->runner_up == y->runner_up);
	}
	for (uint32_t k = 0; k < a->stopped; k++) {
		assert_memory_equal(&a->stops[k].id, &b->stops[k].id, sizeof(a->stops[k].id));
		assert_int_equal(a->stops[k].desired, b->stops[k].desired);
		assert_int_equal(a->stops[k].lost, b->stops[k].lost);
	}
	for (uint32_t k = 0; k < a->updated; k++) {
		assert_memory_equal(&a->updates[k].id, &b->updates[k].id, sizeof(a->updates[k].id));
		assert_int_equal(a->updates[k].version, b->updates[k].version);
	}
}

// Puts the job for good and plans its evaluation with a worker like the dry run's; the plan is not
// submitted, the evaluation is left to world_settle().
static struct outcome real(struct world *w, uint32_t *job)
{
	struct sched_worker *worker = sched_worker_new(&config, SEED);
	struct sched_ticket t;
	struct sched_plan *plan;
	struct outcome out;
	uint64_t token;
	int rc;

	assert_int_equal(sched_core_job_put(w->core, &w->spec, w->now, job), 0);
	do {
		assert_int_equal(
			sched_core_dequeue(w->core, SCHED_MASK_ALL, w->now, &t, &token), 0);
	} while (t.job != *job);
	sched_worker_begin(worker, &t, token);
	rc = sched_worker_plan(
		worker, sched_snapshot_pin(w->reader, w->core->state), w->now, &plan);
	assert_int_equal(rc, 0);
	out = outcome_of(plan);
	sched_reader_unpin(w->reader);
	sched_worker_destroy(worker);
	sched_core_nack(w->core, &t, token, w->now);
	w->now += 10 * NS_PER_SEC; // the delay of a nack
	return out;
}

static void dry(struct world *w, struct sched_dry_run *d)
{
	const struct sched_snapshot *s = sched_snapshot_pin(w->reader, w->core->state);
	uint32_t job = sched_job_find(w->core->state, w->spec.namespace, w->spec.name);
	uint64_t hash = sched_state_hash(s), index = s->index;

	assert_int_equal(sched_dry_run(d, s, job, &w->spec, &config, SEED, w->now), 0);
	assert_true(sched_state_hash(s) == hash);
	assert_true(sched_state_hash(world_head(w)) == hash);
	assert_int_equal(world_head(w)->index, index);
	assert_false(sched_broker_has(w->core->broker, SCHED_MASK_ALL));
}

// Runs dry, then puts w->spec; the dry run, whose counts may still be looked at, is to be ended.
static void same_as_real(struct world *w, struct sched_dry_run *d, uint32_t *job)
{
	struct outcome before, after;

	dry(w, d);
	before = outcome_of(d->plan);
	after = real(w, job);
	assert_same(&before, &after);
	outcome_free(&before);
	outcome_free(&after);
}

static void prepare(struct world *w, const char *name, uint32_t count)
{
	w->spec.name = name;
	w->spec.groups = &w->group;
	w->group.count = count;
}

static void nodes(struct world *w, int count)
{
	char name[16];

	for (int k = 0; k < count; k++) {
		snprintf(name, sizeof(name), "n%d", k);
		world_node(w, name, 1000, 1000);
	}
}

// ---- tests ----

static void says_where_a_new_job_goes(void **state)
{
	struct world *w = *state;
	struct sched_dry_run d;
	struct sched_dry_node at[2];
	uint32_t job;

	nodes(w, 5);
	prepare(w, "other", 3);
	world_job(w, "other", 3);
	world_settle(w);
	prepare(w, "j", 12);
	same_as_real(w, &d, &job);
	assert_true(d.is_new);
	assert_int_equal(d.placed, 12);
	assert_int_equal(d.replacing + d.stopped + d.updated + d.failed + d.outdated, 0);
	assert_false(d.more);
	assert_int_equal(sched_dry_run_nodes(&d, at, 2), 5);
	assert_true(at[0].instances >= at[1].instances && at[0].instances >= 3);
	sched_dry_run_fini(&d);
	world_settle(w);
	assert_int_equal(world_live(w, job), 12);
}

static void says_what_has_no_room(void **state)
{
	struct world *w = *state;
	const struct sched_constraint arch = {"arch", "arm", SCHED_OP_EQ};
	const struct sched_attribute arm = {"arch", "arm"};
	struct sched_dry_run d;
	uint32_t job;

	nodes(w, 4);
	world_node_with(w, "arm", 300, 1000, &arm, 1);
	prepare(w, "j", 8);
	w->group.constraints = &arch;
	w->group.constraint_count = 1;
	same_as_real(w, &d, &job);
	assert_int_equal(d.placed, 3);
	assert_int_equal(d.failed, 5);
	assert_int_equal(d.plan->done.explain.by_constraint[0].nodes, 4);
	assert_int_equal(d.plan->done.explain.by_dimension[SCHED_DIM_CPU], 1);
	sched_dry_run_fini(&d);
}

static void tells_replacing_from_updating_in_place(void **state)
{
	struct world *w = *state;
	struct sched_dry_run d;
	uint32_t job;

	nodes(w, 3);
	world_job(w, "j", 6);
	world_settle(w);
	// Fewer of them, with another text that they would notice: two at a time.
	prepare(w, "j", 5);
	w->group.restart_hash = 2;
	same_as_real(w, &d, &job);
	assert_int_equal(d.placed, 2);
	assert_int_equal(d.replacing, 2);
	assert_int_equal(d.stopped, 1);
	assert_int_equal(d.outdated, 5);
	assert_int_equal(d.updated, 0);
	sched_dry_run_fini(&d);
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 2), 5);
	// More of them and nothing else: no version of its own, none touched.
	prepare(w, "j", 7);
	same_as_real(w, &d, &job);
	assert_int_equal(d.placed, 2);
	assert_int_equal(d.replacing + d.stopped + d.outdated + d.updated, 0);
	sched_dry_run_fini(&d);
}

// A group beside it that is new makes a version; what did not change goes on under it.
static void counts_updates_in_place(void **state)
{
	struct world *w = *state;
	struct sched_group two[2];
	struct sched_dry_run d;
	uint32_t job;

	nodes(w, 3);
	world_job(w, "j", 4);
	world_settle(w);
	two[0] = two[1] = w->group;
	two[1].name = "second";
	two[1].count = 2;
	w->spec.groups = two;
	w->spec.group_count = 2;
	same_as_real(w, &d, &job);
	assert_int_equal(d.updated, 4);
	assert_int_equal(d.placed, 2);
	assert_int_equal(d.outdated, 0);
	sched_dry_run_fini(&d);
}

static void tells_who_would_have_to_go(void **state)
{
	struct world *w = *state;
	struct sched_dry_victims victims[4];
	struct sched_dry_run d;
	uint32_t low, job;

	config.preempt = SCHED_MASK(SCHED_TYPE_SERVICE);
	nodes(w, 2);
	w->spec.priority = 10;
	low = world_job(w, "low", 20);
	world_settle(w);
	prepare(w, "high", 3);
	w->spec.priority = 90;
	same_as_real(w, &d, &job);
	assert_int_equal(d.placed, 3);
	assert_int_equal(d.evicted, 3);
	assert_int_equal(d.stopped, 0);
	assert_int_equal(sched_dry_run_victims(&d, victims, 4), 1);
	assert_int_equal(victims[0].job, low);
	assert_int_equal(victims[0].instances, 3);
	sched_dry_run_fini(&d);
}

static void keeps_to_the_quota(void **state)
{
	struct world *w = *state;
	const struct sched_res limit = {UINT32_MAX, UINT32_MAX, UINT32_MAX, 3};
	struct sched_dry_run d;
	uint32_t job;

	nodes(w, 2);
	assert_int_equal(sched_core_quota_put(w->core, "default", &limit, w->now), 0);
	prepare(w, "j", 5);
	same_as_real(w, &d, &job);
	assert_int_equal(d.placed, 3);
	assert_int_equal(d.failed, 2);
	assert_int_equal(d.plan->done.explain.by_dimension[SCHED_DIM_QUOTA], 2);
	sched_dry_run_fini(&d);
}

// A batch job that has ended has more to do if more is asked for.
static void begins_again_what_has_ended(void **state)
{
	struct world *w = *state;
	struct sched_dry_run d;
	uint32_t job;

	nodes(w, 3);
	w->spec.type = SCHED_TYPE_BATCH;
	job = world_job(w, "j", 2);
	world_settle(w);
	for (uint32_t k = 0; k < 2; k++)
		world_report(w, world_named(w, job, k), SCHED_COMPLETE, false);
	world_run(w);
	assert_true(sched_job_at(world_head(w), job)->ended_ns > 0);
	prepare(w, "j", 3);
	same_as_real(w, &d, &job);
	assert_int_equal(d.placed, 1);
	sched_dry_run_fini(&d);
}

static void tells_canaries_from_what_is_replaced(void **state)
{
	struct world *w = *state;
	struct sched_dry_run d;
	uint32_t job;

	nodes(w, 3);
	w->group.canaries = 2;
	job = world_job(w, "j", 6);
	world_settle(w);
	prepare(w, "j", 6);
	w->group.restart_hash = 2;
	same_as_real(w, &d, &job);
	assert_int_equal(d.placed, 2);
	assert_int_equal(d.canaries, 2);
	assert_int_equal(d.replacing, 0);
	assert_int_equal(d.outdated, 6);
	assert_int_equal(d.stopped, 0);
	sched_dry_run_fini(&d);
	world_settle(w);
	assert_int_equal(world_live_version(w, job, 2), 2);
	// A newer version in their place: the canaries go, its own come.
	prepare(w, "j", 6);
	w->group.restart_hash = 3;
	same_as_real(w, &d, &job);
	assert_int_equal(d.canaries, 2);
	sched_dry_run_fini(&d);
	// Without canaries of its own, by max_parallel.
	world_settle(w);
	prepare(w, "j", 6);
	w->group.restart_hash = 4;
	w->group.canaries = 0;
	same_as_real(w, &d, &job);
	assert_int_equal(d.canaries, 0);
	assert_true(d.replacing > 0);
	sched_dry_run_fini(&d);
}

// What has failed and was taken back brings its counts alone.
static void does_not_try_again_what_was_refused(void **state)
{
	struct world *w = *state;
	struct sched_dry_run d;
	uint32_t job;

	nodes(w, 3);
	w->group.auto_revert = true;
	job = world_job(w, "j", 2);
	world_settle(w);
	w->group.restart_hash = 2;
	world_job(w, "j", 2);
	world_run(w);
	assert_int_equal(sched_core_deployment(w->core, job, SCHED_DEPLOYMENT_FAIL, w->now), 0);
	world_settle(w);
	prepare(w, "j", 3);
	same_as_real(w, &d, &job);
	assert_int_equal(d.spec->version, 3);
	assert_int_equal(d.placed, 1);
	assert_int_equal(d.outdated, 0);
	sched_dry_run_fini(&d);
}

// Nothing runs of the version before, which is forgotten with the put: canaries stand beside what
// is older.
static void knows_what_canaries_are_beside(void **state)
{
	struct world *w = *state;
	struct sched_group groups[2] = {w->group, w->group};
	struct sched_dry_run d;
	uint32_t job;

	nodes(w, 3);
	groups[0].count = groups[1].count = 2;
	groups[0].canaries = groups[1].canaries = 1;
	groups[1].name = "second";
	w->spec.groups = groups;
	w->spec.group_count = 2;
	world_job(w, "j", 0);
	world_run(w);
	groups[0].restart_hash = groups[1].restart_hash = 2;
	groups[0].ask.cpu_milli = groups[1].ask.cpu_milli = 5000;
	world_job(w, "j", 0);
	world_run(w);
	groups[0].restart_hash = 3;
	same_as_real(w, &d, &job);
	assert_int_equal(d.deployment.from, 1);
	assert_int_equal(d.deployment.canary_groups, 3);
	sched_dry_run_fini(&d);
}

// However many came since: what is lost meanwhile is of the last stable one.
static void keeps_the_stable_version(void **state)
{
	struct world *w = *state;
	struct sched_dry_run d;
	uint32_t job;

	nodes(w, 3);
	prepare(w, "j", 2);
	job = world_job(w, "j", 2);
	world_settle(w);
	w->group.canaries = 1;
	for (uint32_t k = 2; k < 12; k++) {
		w->group.restart_hash = k;
		world_job(w, "j", 2);
		world_run(w);
	}
	for (uint32_t at = sched_job_at(world_head(w), job)->first_instance; at != SCHED_NONE;) {
		const struct sched_instance *i = sched_instance_at(world_head(w), at);

		at = i->next_in_job;
		if (i->version == 1 && i->name_index == 1)
			world_report(w, i, SCHED_FAILED, false);
	}
	world_run(w);
	w->now += 31 * NS_PER_SEC;
	w->group.restart_hash = 12;
	same_as_real(w, &d, &job);
	// A canary, and one as before.
	assert_int_equal(d.canaries, 1);
	assert_int_equal(d.placed, 2);
	sched_dry_run_fini(&d);
}

static void covers_jobs_with_one_a_node(void **state)
{
	struct world *w = *state;
	struct sched_dry_run d;
	uint32_t job;

	nodes(w, 4);
	w->spec.type = SCHED_TYPE_SYSTEM;
	prepare(w, "agent", 1);
	same_as_real(w, &d, &job);
	assert_int_equal(d.placed, 4);
	sched_dry_run_fini(&d);
	world_settle(w);
	w->group.restart_hash = 2;
	w->group.max_parallel = 1;
	same_as_real(w, &d, &job);
	assert_int_equal(d.outdated, 4);
	sched_dry_run_fini(&d);
}

// What draws it is found from the view, too: peers by name, images, the node it was on.
static void knows_what_draws_instances(void **state)
{
	static const char *const near[] = {"default/peer"}, *const images[] = {"img"};
	struct world *w = *state;
	struct sched_dry_node at[1];
	struct sched_dry_run d;
	uint32_t job, holder;

	holder = world_node(w, "holder", 1000, 1000);
	assert_int_equal(sched_core_node_images(w->core, holder, images, 1), 0);
	prepare(w, "peer", 1);
	world_job(w, "peer", 1);
	world_settle(w);
	nodes(w, 6);
	prepare(w, "j", 2);
	w->group.near = near;
	w->group.near_count = 1;
	w->group.image = "img";
	w->group.sticky = true;
	same_as_real(w, &d, &job);
	assert_int_equal(sched_dry_run_nodes(&d, at, 1), 1);
	assert_int_equal(at[0].node, holder);
	sched_dry_run_fini(&d);
	world_settle(w);
	w->group.restart_hash = 2;
	same_as_real(w, &d, &job);
	assert_int_equal(sched_dry_run_nodes(&d, at, 1), 1);
	assert_int_equal(at[0].node, holder);
	sched_dry_run_fini(&d);
}

// Of a template or a schedule nothing runs but what it makes.
static void a_template_has_no_instances(void **state)
{
	static const struct sched_launch launch = {.templated = true};
	struct world *w = *state;
	struct sched_dry_run d;
	uint32_t job;

	nodes(w, 2);
	prepare(w, "template", 3);
	w->spec.type = SCHED_TYPE_BATCH;
	w->spec.launch = &launch;
	same_as_real(w, &d, &job);
	assert_int_equal(d.placed + d.failed, 0);
	sched_dry_run_fini(&d);
}

static void stopping_is_planned_too(void **state)
{
	struct world *w = *state;
	struct sched_dry_run d;

	nodes(w, 2);
	world_job(w, "j", 4);
	world_settle(w);
	prepare(w, "j", 4);
	w->spec.stopped = true;
	dry(w, &d);
	assert_int_equal(d.stopped, 4);
	assert_int_equal(d.placed + d.outdated, 0);
	sched_dry_run_fini(&d);
	w->spec.stopped = false;
}

static void says_when_there_is_more(void **state)
{
	struct world *w = *state;
	struct sched_dry_run d;
	uint32_t job;

	world_node(w, "large", UINT32_MAX, UINT32_MAX);
	prepare(w, "j", SCHED_EVAL_PLACE_MAX + 1);
	same_as_real(w, &d, &job);
	assert_int_equal(d.placed, SCHED_EVAL_PLACE_MAX);
	assert_true(d.more);
	sched_dry_run_fini(&d);
}

static void refuses_what_is_beyond_a_limit(void **state)
{
	struct world *w = *state;
	struct sched_dry_run d;

	prepare(w, "j", SCHED_COUNT_MAX + 1);
	assert_int_equal(
		sched_dry_run(&d, world_head(w), SCHED_NONE, &w->spec, NULL, 1, w->now), -EINVAL);
	sched_dry_run_fini(&d);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, world_teardown)
		TEST(says_where_a_new_job_goes),
		TEST(says_what_has_no_room),
		TEST(tells_replacing_from_updating_in_place),
		TEST(counts_updates_in_place),
		TEST(tells_who_would_have_to_go),
		TEST(keeps_to_the_quota),
		TEST(begins_again_what_has_ended),
		TEST(tells_canaries_from_what_is_replaced),
		TEST(does_not_try_again_what_was_refused),
		TEST(knows_what_canaries_are_beside),
		TEST(keeps_the_stable_version),
		TEST(covers_jobs_with_one_a_node),
		TEST(knows_what_draws_instances),
		TEST(a_template_has_no_instances),
		TEST(stopping_is_planned_too),
		TEST(says_when_there_is_more),
		TEST(refuses_what_is_beyond_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
