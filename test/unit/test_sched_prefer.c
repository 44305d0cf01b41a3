// SPDX-License-Identifier: Apache-2.0
// What jobs prefer, through the whole core: behaviours 71 (distinct_property), 72, 73, 84; and the
// records that keep it in the log.
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
#include "test/unit/sched_world.h"

// n nodes in each of the racks r0, r1, ...
static void add_racks(struct world *w, uint32_t racks, uint32_t n, uint32_t cpu)
{
	for (uint32_t k = 0; k < racks * n; k++) {
		char name[16], rack[16];

		snprintf(name, sizeof(name), "n%u", k);
		snprintf(rack, sizeof(rack), "r%u", k % racks);
		world_node_with(w, name, cpu, cpu, &(struct sched_attribute){"rack", rack}, 1);
	}
}

static uint32_t live_with(
	const struct world *w, uint32_t job, const char *attribute, const char *value)
{
	const struct sched_snapshot *s = world_head(w);
	uint32_t found = 0;

	for (uint32_t k = 0; k < s->tables[SCHED_TABLE_NODES].high; k++) {
		const struct sched_node *n = sched_node_at(s, k);
		const char *have = n ? sched_node_attribute(n->info, attribute) : NULL;

		if (have && strcmp(have, value) == 0)
			found += world_live_on(w, job, k);
	}
	return found;
}

static uint32_t live_in(const struct world *w, uint32_t job, uint32_t rack)
{
	char text[8];

	snprintf(text, sizeof(text), "r%u", rack);
	return live_with(w, job, "rack", text);
}

static void b71_distinct_property_counts(void **state)
{
	struct world *w = *state;
	struct sched_constraint c = {"rack", "2", SCHED_OP_DISTINCT_PROPERTY};
	uint32_t job;
	char text[300];

	add_racks(w, 3, 4, 1000);
	world_node(w, "rackless", 1000, 1000);
	w->group.constraints = &c;
	w->group.constraint_count = 1;
	job = world_job(w, "j", 5);
	world_settle(w);
	assert_int_equal(world_live(w, job), 5);
	for (uint32_t r = 0; r < 3; r++)
		assert_true(live_in(w, job, r) <= 2);
	// What is there already counts, and the seventh has no place.
	world_job(w, "j", 7);
	world_settle(w);
	assert_int_equal(world_live(w, job), 6);
	for (uint32_t r = 0; r < 3; r++)
		assert_int_equal(live_in(w, job, r), 2);
	assert_int_equal(world_evals(w, job, SCHED_EVAL_BLOCKED), 1);
	world_job(w, "j", 8);
	world_run(w);
	assert_string_equal(
		sched_explain_text(world_head(w), world_last_eval(w, job), text, sizeof(text)),
		"placed 0 of 2; 2 wait: of 13 nodes 13 are excluded by: rack distinct_property 2");
	// A node of a new rack is room.
	world_node_with(w, "new", 1000, 1000, &(struct sched_attribute){"rack", "r9"}, 1);
	world_settle(w);
	assert_int_equal(live_with(w, job, "rack", "r9"), 2);
	assert_int_equal(world_live(w, job), 8);
}

// Of the whole job: all its groups together; without a value it is one.
static void b71_distinct_property_of_the_job(void **state)
{
	struct world *w = *state;
	struct sched_constraint c = {"rack", "", SCHED_OP_DISTINCT_PROPERTY};
	struct sched_group groups[2] = {w->group, w->group};
	uint32_t job;

	add_racks(w, 4, 2, 1000);
	groups[0].count = groups[1].count = 2;
	groups[1].name = "other";
	w->spec.groups = groups;
	w->spec.group_count = 2;
	w->spec.constraints = &c;
	w->spec.constraint_count = 1;
	job = world_job(w, "j", 0);
	world_settle(w);
	assert_int_equal(world_live(w, job), 4);
	for (uint32_t r = 0; r < 4; r++)
		assert_int_equal(live_in(w, job, r), 1);
}

static void b71_distinct_property_of_single_nodes(void **state)
{
	struct world *w = *state;
	struct sched_constraint c = {"unique.node.name", "3", SCHED_OP_DISTINCT_PROPERTY};
	uint32_t job;

	add_racks(w, 2, 3, 10000);
	w->group.constraints = &c;
	w->group.constraint_count = 1;
	job = world_job(w, "j", 20);
	world_settle(w);
	assert_int_equal(world_live(w, job), 18);
	for (uint32_t k = 0; k < 6; k++)
		assert_int_equal(world_live_on(w, job, k), 3);
}

static void b72_even_spread(void **state)
{
	struct world *w = *state;
	struct sched_spread spread = {.attribute = "rack", .weight = 50, .group = SCHED_ALL_GROUPS};
	uint32_t job;

	// The first rack has most of the room.
	add_racks(w, 5, 4, 10000);
	for (uint32_t k = 0; k < 40; k++) {
		char name[16];

		snprintf(name, sizeof(name), "more%u", k);
		world_node_with(w, name, 20000, 20000, &(struct sched_attribute){"rack", "r0"}, 1);
	}
	w->spec.spreads = &spread;
	w->spec.spread_count = 1;
	job = world_job(w, "j", 7);
	world_settle(w);
	for (uint32_t r = 0; r < 5; r++)
		assert_in_range(live_in(w, job, r), 1, 2);
	// Those that are there count.
	world_job(w, "j", 50);
	world_settle(w);
	for (uint32_t r = 0; r < 5; r++)
		assert_int_equal(live_in(w, job, r), 10);
	// A rack that is full leaves its share to the others.
	world_job(w, "j", 2500);
	world_settle(w);
	assert_int_equal(world_live(w, job), 2500);
	for (uint32_t r = 1; r < 5; r++)
		assert_int_equal(live_in(w, job, r), 400);
	assert_int_equal(live_in(w, job, 0), 900);
}

static void b72_targeted_spread(void **state)
{
	struct world *w = *state;
	const struct sched_spread_target targets[] = {{"r0", 70}, {"r1", 20}};
	struct sched_spread spread = {.attribute = "rack",
		.targets = targets,
		.target_count = 2,
		.weight = 100,
		.group = 0};
	uint32_t job;

	add_racks(w, 3, 3, 10000);
	w->spec.spreads = &spread;
	w->spec.spread_count = 1;
	job = world_job(w, "j", 10);
	world_settle(w);
	assert_int_equal(live_in(w, job, 0), 7);
	assert_int_equal(live_in(w, job, 1), 2);
	assert_int_equal(live_in(w, job, 2), 1);
	world_job(w, "j", 100);
	world_settle(w);
	// Load counts, too, but little.
	assert_in_range(live_in(w, job, 0), 68, 70);
	assert_in_range(live_in(w, job, 1), 19, 21);
	assert_in_range(live_in(w, job, 2), 10, 12);
}

// Over zones and, within them, over racks; and over single nodes.
static void b72_two_spreads(void **state)
{
	struct world *w = *state;
	struct sched_spread spreads[] = {
		{.attribute = "zone", .weight = 50, .group = SCHED_ALL_GROUPS},
		{.attribute = "rack", .weight = 50, .group = SCHED_ALL_GROUPS}};
	uint32_t job;

	// Zone a has four racks, zone b two.
	for (uint32_t k = 0; k < 24; k++) {
		char name[16], rack[16];
		struct sched_attribute attributes[] = {
			{"rack", rack}, {"zone", k % 6 < 4 ? "a" : "b"}};

		snprintf(name, sizeof(name), "n%u", k);
		snprintf(rack, sizeof(rack), "r%u", k % 6);
		world_node_with(w, name, 10000, 10000, attributes, 2);
	}
	w->spec.spreads = spreads;
	w->spec.spread_count = 1;
	job = world_job(w, "zones", 40);
	world_settle(w);
	assert_int_equal(live_with(w, job, "zone", "a"), 20);
	assert_int_equal(live_with(w, job, "zone", "b"), 20);
	w->spec.spread_count = 2;
	job = world_job(w, "both", 24);
	world_settle(w);
	assert_in_range(live_with(w, job, "zone", "a"), 12, 16);
	for (uint32_t r = 0; r < 4; r++)
		assert_in_range(live_in(w, job, r), 3, 4);
	for (uint32_t r = 4; r < 6; r++)
		assert_in_range(live_in(w, job, r), 4, 6);
	spreads[0].attribute = "unique.node.name";
	w->spec.spread_count = 1;
	job = world_job(w, "nodes", 48);
	world_settle(w);
	for (uint32_t k = 0; k < 24; k++)
		assert_int_equal(world_live_on(w, job, k), 2);
}

static void b72_affinity(void **state)
{
	struct world *w = *state;
	struct sched_affinity likes[] = {{"disk", "ssd", SCHED_OP_EQ, 100, SCHED_ALL_GROUPS},
		{"disk", "tape", SCHED_OP_EQ, -100, SCHED_ALL_GROUPS}};
	uint32_t job;

	for (uint32_t k = 0; k < 300; k++) {
		char name[16];
		struct sched_attribute disk = {"disk", k % 100 == 7 ? "ssd"
						       : k % 2      ? "tape"
								    : "disk"};

		snprintf(name, sizeof(name), "n%u", k);
		world_node_with(w, name, 1000, 1000, &disk, 1);
	}
	w->spec.affinities = likes;
	w->spec.affinity_count = 2;
	job = world_job(w, "j", 30);
	world_settle(w);
	// Three nodes are liked and have room for ten each: 1 of 100, but found.
	assert_int_equal(live_with(w, job, "disk", "ssd"), 30);
	// Then those that are not disliked.
	world_job(w, "j", 530);
	world_settle(w);
	assert_int_equal(live_with(w, job, "disk", "disk"), 500);
	assert_int_equal(live_with(w, job, "disk", "tape"), 0);
	// It is no constraint.
	world_job(w, "j", 2000);
	world_settle(w);
	assert_int_equal(world_live(w, job), 2000);
	assert_int_equal(live_with(w, job, "disk", "disk"), 1500);
}

static void b72_affinity_of_single_nodes(void **state)
{
	struct world *w = *state;
	struct sched_affinity likes = {"unique.node.name", "n3", SCHED_OP_EQ, 100, 0};
	uint32_t job;

	add_racks(w, 2, 3, 1000);
	w->spec.affinities = &likes;
	w->spec.affinity_count = 1;
	job = world_job(w, "j", 12);
	world_settle(w);
	assert_int_equal(world_live_on(w, job, 3), 10);
	assert_int_equal(world_live(w, job), 12);
}

static void b73_pack_or_spread(void **state)
{
	struct world *w = *state;
	const struct sched_worker_config pack = {.algorithm = SCHED_BIN_PACK};
	uint32_t job, nodes = 0;

	add_racks(w, 1, 10, 1000);
	job = world_job(w, "wide", 10);
	world_settle(w);
	for (uint32_t k = 0; k < 10; k++)
		assert_int_equal(world_live_on(w, job, k), 1);
	world_job(w, "wide", 0);
	world_settle(w);
	sched_worker_destroy(w->worker);
	w->worker = sched_worker_new(&pack, 3);
	for (uint32_t k = 0; k < 10; k++) {
		char name[8];

		// Several jobs: instances of one keep away from each other.
		snprintf(name, sizeof(name), "t%u", k);
		world_job(w, name, 1);
		world_settle(w);
	}
	for (uint32_t k = 0; k < 10; k++)
		nodes += sched_node_at(world_head(w), k)->holding > 0;
	assert_int_equal(nodes, 1);
}

// The fullest of many is found though only a sample is looked at.
static void b73_packing_finds_the_fullest_of_many(void **state)
{
	struct world *w = *state;
	const struct sched_worker_config pack = {.algorithm = SCHED_BIN_PACK};
	uint32_t nodes = 0;

	add_racks(w, 1, 2000, 10000);
	sched_worker_destroy(w->worker);
	w->worker = sched_worker_new(&pack, 3);
	for (uint32_t k = 0; k < 90; k++) {
		char name[8];

		snprintf(name, sizeof(name), "t%u", k);
		world_job(w, name, 1);
		world_settle(w);
	}
	for (uint32_t k = 0; k < 2000; k++)
		nodes += sched_node_at(world_head(w), k)->holding > 0;
	assert_int_equal(nodes, 1);
}

// The penalty is no ban: with one node it goes back there, and spread does not make it forget.
static void b84_previous_node_with_spread(void **state)
{
	struct world *w = *state;
	struct sched_spread spread = {.attribute = "rack", .weight = 50, .group = SCHED_ALL_GROUPS};
	uint32_t job, at;

	add_racks(w, 2, 1, 1000);
	w->spec.spreads = &spread;
	w->spec.spread_count = 1;
	job = world_job(w, "j", 1);
	world_settle(w);
	for (int k = 0; k < 4; k++) {
		at = world_named(w, job, 0)->node;
		world_report(w, world_named(w, job, 0), SCHED_FAILED, false);
		w->now += 2 * 3600 * NS_PER_SEC;
		world_settle(w);
		assert_int_not_equal(world_named(w, job, 0)->node, at);
	}
	at = world_named(w, job, 0)->node;
	world_node_status(w, !at, SCHED_NODE_DOWN);
	world_report(w, world_named(w, job, 0), SCHED_FAILED, false);
	w->now += 2 * 3600 * NS_PER_SEC;
	world_settle(w);
	assert_int_equal(world_named(w, job, 0)->node, at);
}

// A node that gets another attribute is seen as what it is now.
static void nodes_that_change_are_seen(void **state)
{
	struct world *w = *state;
	struct sched_affinity likes = {"disk", "ssd", SCHED_OP_EQ, 100, SCHED_ALL_GROUPS};
	uint32_t job, a;

	a = world_node_with(w, "a", 1000, 1000, &(struct sched_attribute){"disk", "hdd"}, 1);
	world_node_with(w, "b", 1000, 1000, &(struct sched_attribute){"disk", "ssd"}, 1);
	w->spec.affinities = &likes;
	w->spec.affinity_count = 1;
	job = world_job(w, "one", 1);
	world_settle(w);
	assert_int_equal(world_live_on(w, job, a), 0);
	world_node_with(w, "a", 1000, 1000, &(struct sched_attribute){"disk", "ssd"}, 1);
	world_node_with(w, "b", 1000, 1000, &(struct sched_attribute){"disk", "hdd"}, 1);
	job = world_job(w, "two", 1);
	world_settle(w);
	assert_int_equal(world_live_on(w, job, a), 1);
}

// ---- the log ----

static struct sched_spec full_spec(const struct world *w)
{
	static const struct sched_spread_target targets[] = {{"x", 60}, {"", 30}};
	static const struct sched_spread spreads[] = {{"zone", targets, 2, 100, 0},
		{.attribute = "rack", .weight = 1, .group = SCHED_ALL_GROUPS}};
	static const struct sched_affinity affinities[] = {
		{"a", "1", SCHED_OP_GE, -100, SCHED_ALL_GROUPS}, {"b", NULL, SCHED_OP_SET, 7, 0}};
	struct sched_spec spec = w->spec;

	spec.name = "j";
	spec.groups = &w->group;
	spec.spreads = spreads;
	spec.affinities = affinities;
	spec.spread_count = spec.affinity_count = 2;
	return spec;
}

static void records_are_read_as_written(void **state)
{
	struct world *w = *state;
	const struct sched_spec spec = full_spec(w);
	struct sched_spec *copy = sched_spec_copy(&spec);

	assert_int_equal(sched_spec_check(&spec), 0);
	assert_int_equal(copy->affinity_count, 2);
	assert_string_equal(copy->affinities[0].attribute, "a");
	assert_string_equal(copy->affinities[0].value, "1");
	assert_int_equal(copy->affinities[0].weight, -100);
	assert_int_equal(copy->affinities[0].op, SCHED_OP_GE);
	assert_int_equal(copy->affinities[1].group, 0);
	assert_int_equal(copy->spread_count, 2);
	assert_int_equal(copy->spreads[0].target_count, 2);
	assert_string_equal(copy->spreads[0].targets[0].value, "x");
	assert_int_equal(copy->spreads[0].targets[1].percent, 30);
	assert_string_equal(copy->spreads[1].attribute, "rack");
	assert_int_equal(copy->spreads[1].group, SCHED_ALL_GROUPS);
	free(copy);
}

// A job without any costs no byte more than before there were such records; what a later program
// adds is skipped; what is cut off is refused.
static void records_may_be_missing_unknown_or_cut(void **state)
{
	struct world *w = *state;
	struct sched_spec spec = full_spec(w), *copy;
	struct sched_bytes with = {0}, without = {0};
	struct reader r;

	sched_spec_encode(&with, &spec);
	spec.affinity_count = spec.spread_count = 0;
	sched_spec_encode(&without, &spec);
	r = reader_of(without.data, without.len);
	copy = sched_spec_decode(&r);
	assert_int_equal(copy->affinity_count + copy->spread_count, 0);
	free(copy);
	// Both lengths are one or two bytes; a record of three bytes is added behind.
	assert_true(without.len < 0x7d);
	without.data[0] = (uint8_t)(without.data[0] + 3);
	memcpy(sched_bytes_take(&without, 3), "\x77\x01z", 3);
	r = reader_of(without.data, without.len);
	copy = sched_spec_decode(&r);
	assert_non_null(copy);
	assert_string_equal(copy->name, "j");
	free(copy);
	without.data[without.len - 2] = 9;
	r = reader_of(without.data, without.len);
	assert_null(sched_spec_decode(&r));
	assert_true(r.bad);
	for (size_t len = 0; len < with.len; len++) {
		r = reader_of(with.data, len);
		assert_null(sched_spec_decode(&r));
	}
	sched_bytes_fini(&with);
	sched_bytes_fini(&without);
}

static void bad_preferences_are_refused(void **state)
{
	struct world *w = *state;
	struct sched_spec spec = full_spec(w);
	struct sched_affinity a = spec.affinities[0];
	struct sched_spread s = spec.spreads[1];
	const struct sched_spread_target much[] = {{"a", 60}, {"b", 41}};
	struct sched_constraint c[SCHED_PROPERTIES_MAX + 1];

	spec.affinities = &a;
	spec.spreads = &s;
	spec.affinity_count = spec.spread_count = 1;
	assert_int_equal(sched_spec_check(&spec), 0);
	a.weight = 0;
	assert_int_equal(sched_spec_check(&spec), -EINVAL);
	a.weight = 1;
	a.op = SCHED_OP_DISTINCT_PROPERTY;
	assert_int_equal(sched_spec_check(&spec), -EINVAL);
	a.op = SCHED_OP_EQ;
	a.group = 1;
	assert_int_equal(sched_spec_check(&spec), -EINVAL);
	a.group = 0;
	s.weight = 101;
	assert_int_equal(sched_spec_check(&spec), -EINVAL);
	s.weight = 100;
	s.targets = much;
	s.target_count = 2;
	assert_int_equal(sched_spec_check(&spec), -EINVAL);
	s.target_count = 1;
	assert_int_equal(sched_spec_check(&spec), 0);
	for (uint32_t k = 0; k <= SCHED_PROPERTIES_MAX; k++)
		c[k] = (struct sched_constraint){"rack", "1", SCHED_OP_DISTINCT_PROPERTY};
	spec.constraints = c;
	spec.constraint_count = SCHED_PROPERTIES_MAX;
	assert_int_equal(sched_spec_check(&spec), 0);
	spec.constraint_count++;
	assert_int_equal(sched_spec_check(&spec), -EINVAL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		TEST(b71_distinct_property_counts),
		TEST(b71_distinct_property_of_the_job),
		TEST(b71_distinct_property_of_single_nodes),
		TEST(b72_even_spread),
		TEST(b72_targeted_spread),
		TEST(b72_two_spreads),
		TEST(b72_affinity),
		TEST(b72_affinity_of_single_nodes),
		TEST(b73_pack_or_spread),
		TEST(b73_packing_finds_the_fullest_of_many),
		TEST(b84_previous_node_with_spread),
		TEST(nodes_that_change_are_seen),
		TEST(records_are_read_as_written),
		TEST(records_may_be_missing_unknown_or_cut),
		TEST(bad_preferences_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
