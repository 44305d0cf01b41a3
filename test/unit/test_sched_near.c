// SPDX-License-Identifier: Apache-2.0
// What draws instances to nodes, through the whole core: jobs they are chained with, and images.
// What depends on chance is tried with many seeds.
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
#include "sched/images.h"
#include "sched/near.h"
#include "test/unit/sched_world.h"

#define SEEDS 40

static const char *const near_peer[] = {"default/peer"};

static void new_worker(struct world *w, enum sched_algorithm algorithm, uint64_t seed)
{
	const struct sched_worker_config config = {.algorithm = algorithm};

	sched_worker_destroy(w->worker);
	w->worker = sched_worker_new(&config, seed);
}

static uint32_t node_in(struct world *w, const char *name, const char *rack, const char *zone)
{
	const struct sched_attribute attributes[] = {{"node.rack", rack}, {"node.zone", zone}};

	return world_node_with(w, name, 10000, 10000, attributes, 2);
}

static void close_node(struct world *w, uint32_t node, bool closed)
{
	assert_int_equal(
		sched_core_node_state(w->core, node, SCHED_NODE_READY, !closed, false, w->now), 0);
}

// `count` instances of a job on this node alone.
static uint32_t put_on(struct world *w, const char *job, const char *node, uint32_t count)
{
	const struct sched_constraint there = {"unique.node.name", node, SCHED_OP_EQ};
	uint32_t slot;

	w->group.constraints = &there;
	w->group.constraint_count = 1;
	slot = world_job(w, job, count);
	world_settle(w);
	assert_int_equal(world_live(w, slot), count);
	w->group.constraints = NULL;
	w->group.constraint_count = 0;
	return slot;
}

// The node of one instance of a new job; the job goes again.
static uint32_t place_one(struct world *w)
{
	uint32_t job = world_job(w, "one", 1), node;

	world_settle(w);
	assert_int_equal(world_live(w, job), 1);
	node = world_named(w, job, 0)->node;
	assert_int_equal(sched_core_job_stop(w->core, job, true, w->now), 0);
	world_settle(w);
	return node;
}

static void want_near(struct world *w)
{
	w->group.near = near_peer;
	w->group.near_count = 1;
}

static void host_before_rack_before_zone(void **state)
{
	struct world *w = *state;
	uint32_t elsewhere = node_in(w, "d", "r3", "z2"), zone = node_in(w, "c", "r2", "z1");
	uint32_t rack = node_in(w, "b", "r1", "z1"), host = node_in(w, "a", "r1", "z1");

	put_on(w, "peer", "a", 10);
	want_near(w);
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		new_worker(w, SCHED_LEAST_LOADED, seed);
		assert_int_equal(place_one(w), host);
		close_node(w, host, true);
		assert_int_equal(place_one(w), rack);
		close_node(w, rack, true);
		assert_int_equal(place_one(w), zone);
		close_node(w, zone, true);
		assert_int_equal(place_one(w), elsewhere);
		close_node(w, host, false);
		close_node(w, rack, false);
		close_node(w, zone, false);
	}
}

// One node, one rack, one zone of many, whatever chance looks at.
static void few_of_many_are_found(void **state)
{
	struct world *w = *state;

	for (uint32_t k = 0; k < 2000; k++) {
		char name[16], rack[16], zone[16];

		// Racks are named alike in all zones.
		snprintf(name, sizeof(name), "n%u", k);
		snprintf(rack, sizeof(rack), "r%u", k / 10 % 50);
		snprintf(zone, sizeof(zone), "z%u", k / 500);
		node_in(w, name, rack, zone);
	}
	put_on(w, "peer", "n777", 3);
	want_near(w);
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		for (int pack = 0; pack < 2; pack++) {
			new_worker(w, pack ? SCHED_BIN_PACK : SCHED_LEAST_LOADED, seed);
			assert_int_equal(place_one(w), 777);
			close_node(w, 777, true);
			assert_int_equal(place_one(w) / 10, 77);
			for (uint32_t k = 770; k < 780; k++)
				close_node(w, k, true);
			assert_int_equal(place_one(w) / 500, 1);
			for (uint32_t k = 770; k < 780; k++)
				close_node(w, k, false);
		}
	}
}

// Without racks and zones chance alone would have to find it, and another stratum's best is no
// reason not to look.
static void hosts_are_found_without_racks(void **state)
{
	struct world *w = *state;
	const struct sched_affinity likes = {"disk", "ssd", SCHED_OP_EQ, 5, SCHED_ALL_GROUPS};

	for (uint32_t k = 0; k < 3000; k++) {
		char name[16];
		struct sched_attribute disk = {"disk", k % 100 ? "hdd" : "ssd"};

		snprintf(name, sizeof(name), "n%u", k);
		world_node_with(w, name, 10000, 10000, &disk, 1);
	}
	put_on(w, "peer", "n1777", 3);
	want_near(w);
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		new_worker(w, seed % 2 ? SCHED_BIN_PACK : SCHED_LEAST_LOADED, seed);
		assert_int_equal(place_one(w), 1777);
	}
	w->group.near_count = 0;
	put_on(w, "few", "n500", 1);
	w->group.near = (const char *[]){"default/few", "default/peer"};
	w->group.near_count = 2;
	w->spec.affinities = &likes;
	w->spec.affinity_count = 1;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		new_worker(w, SCHED_LEAST_LOADED, seed);
		assert_int_equal(place_one(w), 1777);
	}
}

static void load_still_counts(void **state)
{
	struct world *w = *state;
	uint32_t a = node_in(w, "a", "r1", "z1"), b = node_in(w, "b", "r1", "z1");
	uint32_t elsewhere = node_in(w, "c", "r2", "z2"), job;

	put_on(w, "peer", "a", 1);
	put_on(w, "load", "a", 40);
	want_near(w);
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		new_worker(w, SCHED_LEAST_LOADED, seed);
		assert_int_equal(place_one(w), a);
	}
	// More than half fuller than its neighbour.
	w->group.near_count = 0;
	put_on(w, "load", "a", 60);
	want_near(w);
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		new_worker(w, SCHED_LEAST_LOADED, seed);
		assert_int_equal(place_one(w), b);
	}
	// Of many not all go where one peer is.
	w->group.near_count = 0;
	put_on(w, "load", "a", 0);
	want_near(w);
	job = world_job(w, "many", 90);
	world_settle(w);
	assert_in_range(world_live_on(w, job, a), 60, 75);
	assert_int_equal(world_live_on(w, job, a) + world_live_on(w, job, b), 90);
	world_job(w, "many", 0);
	world_settle(w);
	// All that is near is nearly full.
	w->group.near_count = 0;
	put_on(w, "load", "a", 94);
	put_on(w, "load b", "b", 95);
	want_near(w);
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		new_worker(w, SCHED_LEAST_LOADED, seed);
		assert_int_equal(place_one(w), elsewhere);
	}
}

// Many follow many, in proportion.
static void shares_follow_the_peers(void **state)
{
	struct world *w = *state;
	const struct sched_constraint front = {"row", "front", SCHED_OP_EQ};
	uint32_t job, few = 0;

	for (uint32_t k = 0; k < 400; k++) {
		char name[16];
		struct sched_attribute row = {"row", k % 8 ? "back" : "front"};

		snprintf(name, sizeof(name), "n%u", k);
		world_node_with(w, name, 100000, 100000, &row, 1);
	}
	w->group.constraints = &front;
	w->group.constraint_count = 1;
	world_job(w, "peer", 1000);
	world_settle(w);
	w->group.constraint_count = 0;
	want_near(w);
	job = world_job(w, "many", 500);
	world_settle(w);
	// Twenty peers on each of 50 nodes.
	for (uint32_t k = 0; k < 400; k += 8) {
		assert_in_range(world_live_on(w, job, k), 8, 12);
		few += world_live_on(w, job, k);
	}
	assert_int_equal(few, 500);
}

static void shares_are_of_different_size(void **state)
{
	struct world *w = *state;
	static const char *const near[] = {"default/left", "default/right", "default/none"};
	uint32_t job;

	world_node(w, "a", 100000, 100000);
	world_node(w, "b", 100000, 100000);
	world_node(w, "c", 100000, 100000);
	put_on(w, "left", "a", 30);
	put_on(w, "right", "b", 10);
	w->group.near = near;
	w->group.near_count = 3;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		new_worker(w, SCHED_LEAST_LOADED, seed);
		assert_int_equal(place_one(w), 0);
	}
	job = world_job(w, "many", 40);
	world_settle(w);
	assert_in_range(world_live_on(w, job, 0), 28, 31);
	assert_in_range(world_live_on(w, job, 1), 9, 12);
	assert_in_range(world_live_on(w, job, 2), 0, 1);
}

// What is not there draws nothing, nor does the job itself; a later one is drawn all the same.
static void who_comes_later_follows(void **state)
{
	struct world *w = *state;
	static const char *const near_one[] = {"default/first", "elsewhere/second"};
	static const char *const near_two[] = {"default/second", "default/first"};
	uint32_t first, second, on[20] = {0};

	for (uint32_t k = 0; k < 20; k++) {
		char name[16];

		snprintf(name, sizeof(name), "n%u", k);
		node_in(w, name, k < 10 ? "r1" : "r2", "z");
	}
	w->group.near = near_one;
	w->group.near_count = 2;
	first = world_job(w, "first", 7);
	world_settle(w);
	world_job(w, "first", 20);
	world_settle(w);
	for (uint32_t k = 0; k < 20; k++)
		assert_int_equal(world_live_on(w, first, k), 1);
	world_job(w, "first", 1);
	world_settle(w);
	w->group.near = near_two;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		new_worker(w, SCHED_LEAST_LOADED, seed);
		second = world_job(w, "second", 1);
		world_settle(w);
		assert_int_equal(world_named(w, second, 0)->node, world_named(w, first, 0)->node);
		on[world_named(w, second, 0)->node]++;
		sched_core_job_stop(w->core, second, true, w->now);
		world_settle(w);
	}
	assert_int_equal(on[world_named(w, first, 0)->node], SEEDS);
}

// Spreads and constraints come first; within what they leave it is as near as can be.
static void spread_is_stronger(void **state)
{
	struct world *w = *state;
	struct sched_spread spread = {
		.attribute = "node.rack", .weight = 100, .group = SCHED_ALL_GROUPS};
	struct sched_constraint c = {"unique.node.name", "n4", SCHED_OP_NE};
	uint32_t job;

	for (uint32_t k = 0; k < 40; k++) {
		char name[16], rack[16];

		snprintf(name, sizeof(name), "n%u", k);
		snprintf(rack, sizeof(rack), "r%u", k % 4);
		node_in(w, name, rack, "z");
	}
	put_on(w, "peer", "n5", 4);
	want_near(w);
	w->spec.spreads = &spread;
	w->spec.spread_count = 1;
	job = world_job(w, "j", 8);
	world_settle(w);
	for (uint32_t r = 0; r < 4; r++) {
		uint32_t there = 0;

		for (uint32_t k = r; k < 40; k += 4)
			there += world_live_on(w, job, k);
		assert_int_equal(there, 2);
	}
	assert_int_equal(world_live_on(w, job, 5), 2);
	// The same where each node is a stratum of its own.
	spread.attribute = "unique.node.name";
	job = world_job(w, "k", 40);
	world_settle(w);
	for (uint32_t k = 0; k < 40; k++)
		assert_int_equal(world_live_on(w, job, k), 1);
	w->spec.spread_count = 0;
	w->group.near_count = 0;
	put_on(w, "other", "n4", 4);
	w->group.constraints = &c;
	w->group.constraint_count = 1;
	w->group.near = &(const char *){"default/other"};
	w->group.near_count = 1;
	assert_int_equal(place_one(w) % 4, 0);
}

// What was looked at first is not counted again when a limit closes its stratum.
static void each_node_is_counted_once(void **state)
{
	struct world *w = *state;
	const struct sched_constraint two = {"node.rack", "2", SCHED_OP_DISTINCT_PROPERTY};
	uint32_t job;
	char text[300];

	for (uint32_t k = 0; k < 200; k++) {
		char name[16];

		snprintf(name, sizeof(name), "n%u", k);
		node_in(w, name, k % 2 ? "r1" : "r2", "z");
	}
	world_job(w, "peer", 60);
	world_settle(w);
	want_near(w);
	w->group.constraints = &two;
	w->group.constraint_count = 1;
	job = world_job(w, "j", 5);
	world_run(w);
	assert_string_equal(
		sched_explain_text(world_head(w), world_last_eval(w, job), text, sizeof(text)),
		"placed 4 of 5, drawn by what it is near; 1 wait: of 200 nodes 200 are excluded "
		"by: "
		"node.rack distinct_property 2");
}

// Of more than are walked the newest stand for all.
static void very_many_peers(void **state)
{
	struct world *w = *state;
	static const char *const near[] = {"default/peer", "default/small"};
	const struct sched_constraint front = {"row", "front", SCHED_OP_EQ};

	for (uint32_t k = 0; k < 100; k++) {
		char name[16];
		struct sched_attribute row = {"row", k % 10 ? "back" : "front"};

		snprintf(name, sizeof(name), "n%u", k);
		world_node_with(w, name, 1000000, 1000000, &row, 1);
	}
	w->group.constraints = &front;
	w->group.constraint_count = 1;
	world_job(w, "peer", 20 * SCHED_NEAR_WALK_MIN);
	world_settle(w);
	put_on(w, "small", "n1", 200);
	w->group.near = near;
	w->group.near_count = 2;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		new_worker(w, SCHED_LEAST_LOADED, seed);
		assert_int_equal(place_one(w) % 10, 0);
	}
}

static void tell_images(struct world *w, uint32_t node, const char *a, const char *b)
{
	const char *const images[] = {a, b};

	assert_int_equal(sched_core_node_images(w->core, node, images, !!a + !!b), 0);
}

static void near_is_explained(void **state)
{
	struct world *w = *state;
	struct sched_core *again = sched_core_new(NULL, 1);
	struct sched_encoder out = {0};
	const struct sched_eval *e;
	uint32_t job, host;
	char text[200];

	node_in(w, "b", "r1", "z1");
	host = node_in(w, "a", "r2", "z1");
	put_on(w, "peer", "a", 1);
	want_near(w);
	job = world_job(w, "j", 1);
	world_settle(w);
	e = world_last_eval(w, job);
	assert_int_equal(e->explain.best[0].node, host);
	// Both are in the zone; the host and its rack are worth the rest.
	assert_true(e->explain.best[0].score > 1.8f);
	assert_true(e->explain.best[1].score < 1.2f);
	assert_true(
		world_named(w, job, 0)->why.score > world_named(w, job, 0)->why.runner_up + .5f);
	// What is far is not even looked at.
	assert_int_equal(e->explain.considered, 1);
	assert_int_equal(world_named(w, job, 0)->why.considered, 1);
	assert_string_equal(sched_explain_text(world_head(w), e, text, sizeof(text)),
		"placed 1 of 1, drawn by what it is near");
	tell_images(w, host, "tool", NULL);
	w->group.image = "tool";
	w->group.near = &(const char *){"default/nobody"};
	job = world_job(w, "k", 1);
	world_settle(w);
	// It outlasts a restart.
	assert_int_equal(sched_checkpoint(world_head(w), &out), 0);
	assert_int_equal(sched_replay(again->state, out.out.data, out.out.len), 0);
	e = sched_eval_at(&again->state->head, sched_job_at(&again->state->head, job)->last_eval);
	assert_string_equal(sched_explain_text(&again->state->head, e, text, sizeof(text)),
		"placed 1 of 1, none of what it is near was there, drawn by its image");
	sched_bytes_fini(&out.out);
	sched_core_destroy(again);
}

// ---- images ----

static void image_decides_among_equals(void **state)
{
	struct world *w = *state;
	uint32_t classes, job;

	for (uint32_t k = 0; k < 1000; k++) {
		char name[16];

		snprintf(name, sizeof(name), "n%u", k);
		world_node(w, name, 10000, 10000);
	}
	classes = world_head(w)->class_count;
	tell_images(w, 501, "tool@1", "other@1");
	tell_images(w, 502, "tool@1", NULL);
	tell_images(w, 503, "tool@2", "other@1");
	assert_int_equal(world_head(w)->class_count, classes);
	w->group.image = "tool@1";
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		new_worker(w, SCHED_LEAST_LOADED, seed);
		assert_in_range(place_one(w), 501, 502);
	}
	// Told anew: only that counts.
	tell_images(w, 501, "other@1", NULL);
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		new_worker(w, SCHED_LEAST_LOADED, seed);
		assert_int_equal(place_one(w), 502);
	}
	// One that is twice as full has no advantage.
	w->group.image = NULL;
	put_on(w, "load", "n502", 10);
	for (uint32_t k = 0; k < 1000; k++)
		close_node(w, k, k != 502 && k != 7);
	put_on(w, "half", "n7", 5);
	w->group.image = "tool@1";
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		new_worker(w, SCHED_LEAST_LOADED, seed);
		assert_int_equal(place_one(w), 7);
	}
	// Many do not all go there.
	for (uint32_t k = 0; k < 1000; k++)
		close_node(w, k, k >= 20);
	tell_images(w, 3, "tool@1", NULL);
	job = world_job(w, "many", 100);
	world_settle(w);
	assert_in_range(world_live_on(w, job, 3), 5, 15);
}

static void an_image_helps_no_other(void **state)
{
	struct world *w = *state;
	uint32_t here = 0;

	for (uint32_t k = 0; k < 4; k++) {
		char name[16];

		snprintf(name, sizeof(name), "n%u", k);
		world_node(w, name, 10000, 10000);
	}
	tell_images(w, 0, "tool@1", NULL);
	w->group.image = "tool@2";
	for (uint64_t seed = 1; seed <= 200; seed++) {
		new_worker(w, SCHED_LEAST_LOADED, seed);
		here += place_one(w) == 0;
	}
	assert_in_range(here, 20, 90);
}

// 16 racks of 10 nodes; as many nodes of the first ones as are known of have the image.
static void racks_with_image(struct world *w)
{
	for (uint32_t k = 0; k < 160; k++) {
		char name[16], rack[16];

		snprintf(name, sizeof(name), "n%u", k);
		snprintf(rack, sizeof(rack), "r%u", k / 10);
		world_node_with(w, name, 10000, 10000, &(struct sched_attribute){"rack", rack}, 1);
		if (k < SCHED_HOLDERS_MAX)
			tell_images(w, k, "tool", NULL);
	}
	w->group.image = "tool";
}

// More nodes of a stratum are to be looked at first than are looked at at once: none is forgotten.
static void an_image_hides_no_node(void **state)
{
	struct world *w = *state;
	struct sched_spread spread = {
		.attribute = "rack", .weight = 100, .group = SCHED_ALL_GROUPS};
	uint32_t job;

	racks_with_image(w);
	w->spec.spreads = &spread;
	w->spec.spread_count = 1;
	w->group.distinct_hosts = true;
	job = world_job(w, "j", 161);
	world_settle(w);
	assert_int_equal(world_live(w, job), 160);
	assert_int_equal(world_last_eval(w, job)->explain.considered, 160);
	w->spec.spread_count = 0;
}

// The same where racks are closed with some of these still to come: each node counts once.
static void a_closed_rack_counts_its_nodes(void **state)
{
	struct world *w = *state;
	struct sched_constraint three = {"rack", "3", SCHED_OP_DISTINCT_PROPERTY};
	uint32_t job;

	racks_with_image(w);
	w->group.constraints = &three;
	w->group.constraint_count = 1;
	job = world_job(w, "j", 60);
	world_settle(w);
	assert_int_equal(world_live(w, job), 48);
	assert_int_equal(world_last_eval(w, job)->explain.considered, 160);
	w->group.constraint_count = 0;
}

// ---- records ----

static void records_are_read_as_written(void **state)
{
	struct world *w = *state;
	static const char *const three[] = {"a/b", "default/x", "c/d"};
	struct sched_group groups[3] = {w->group, w->group, w->group};
	struct sched_spec spec = w->spec, *copy;
	struct sched_bytes bytes = {0};
	struct reader r;

	spec.name = "j";
	spec.groups = groups;
	spec.group_count = 3;
	groups[0].near = three;
	groups[0].near_count = 3;
	groups[2].near = three + 1;
	groups[2].near_count = 1;
	groups[1].image = "registry/tool@sha256:0";
	assert_int_equal(sched_spec_check(&spec), 0);
	copy = sched_spec_copy(&spec);
	assert_int_equal(copy->groups[0].near_count, 3);
	for (int i = 0; i < 3; i++)
		assert_string_equal(copy->groups[0].near[i], three[i]);
	assert_int_equal(copy->groups[1].near_count, 0);
	assert_int_equal(copy->groups[2].near_count, 1);
	assert_string_equal(copy->groups[2].near[0], "default/x");
	assert_null(copy->groups[0].image);
	assert_string_equal(copy->groups[1].image, "registry/tool@sha256:0");
	free(copy);
	sched_spec_encode(&bytes, &spec);
	for (size_t len = 0; len < bytes.len; len++) {
		r = reader_of(bytes.data, len);
		assert_null(sched_spec_decode(&r));
	}
	sched_bytes_fini(&bytes);
}

static void bad_names_are_refused(void **state)
{
	struct world *w = *state;
	static const char *const bad[] = {"a", "/a", "a/", "a/b/c", "", NULL};
	const char *near[SCHED_NEAR_MAX + 1];
	struct sched_spec spec = w->spec;

	spec.name = "j";
	spec.groups = &w->group;
	w->group.near = near;
	for (uint32_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		w->group.near_count = 2;
		near[0] = "a/b";
		near[1] = bad[i];
		assert_int_equal(sched_spec_check(&spec), -EINVAL);
	}
	for (uint32_t i = 0; i <= SCHED_NEAR_MAX; i++)
		near[i] = "a/b";
	w->group.near_count = SCHED_NEAR_MAX;
	assert_int_equal(sched_spec_check(&spec), 0);
	w->group.near_count++;
	assert_int_equal(sched_spec_check(&spec), -EINVAL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		TEST(host_before_rack_before_zone),
		TEST(few_of_many_are_found),
		TEST(hosts_are_found_without_racks),
		TEST(load_still_counts),
		TEST(shares_follow_the_peers),
		TEST(shares_are_of_different_size),
		TEST(who_comes_later_follows),
		TEST(spread_is_stronger),
		TEST(each_node_is_counted_once),
		TEST(very_many_peers),
		TEST(near_is_explained),
		TEST(image_decides_among_equals),
		TEST(an_image_helps_no_other),
		TEST(an_image_hides_no_node),
		TEST(a_closed_rack_counts_its_nodes),
		TEST(records_are_read_as_written),
		TEST(bad_names_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
