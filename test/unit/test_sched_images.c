// SPDX-License-Identifier: Apache-2.0
// What readers find in a snapshot by image and by name, as nodes and jobs come and go.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/rng.h"
#include "sched/images.h"
#include "sched/names.h"
#include "test/unit/sched_world.h"

static void tell_images(struct world *w, uint32_t node, const char *a, const char *b)
{
	const char *const images[] = {a, b};

	assert_int_equal(sched_core_node_images(w->core, node, images, !!a + !!b), 0);
}

static uint32_t known_holders(const struct world *w, const char *image)
{
	const struct sched_holders *h = sched_image_holders(world_head(w), sched_image_hash(image));

	for (uint32_t i = 0; h && i < h->count; i++)
		assert_true(sched_node_has_image(world_head(w), h->node[i], h->image));
	return h ? h->count : 0;
}

static void images_are_bounded(void **state)
{
	struct world *w = *state;
	static char names[SCHED_IMAGES_MAX + 50][16];
	const char *images[SCHED_IMAGES_MAX + 50];
	uint32_t nodes[SCHED_HOLDERS_MAX + 10], known = 0;

	for (uint32_t k = 0; k < SCHED_IMAGES_MAX + 50; k++) {
		snprintf(names[k], sizeof(names[k]), "i%u", k);
		images[k] = names[k];
	}
	for (uint32_t k = 0; k < SCHED_HOLDERS_MAX + 10; k++) {
		char name[16];

		snprintf(name, sizeof(name), "n%u", k);
		nodes[k] = world_node(w, name, 1000, 1000);
		tell_images(w, nodes[k], "base", "base");
	}
	assert_int_equal(known_holders(w, "base"), SCHED_HOLDERS_MAX);
	assert_int_equal(
		sched_core_node_images(w->core, nodes[0], images, SCHED_IMAGES_MAX + 50), 0);
	assert_int_equal(known_holders(w, "base"), SCHED_HOLDERS_MAX - 1);
	for (uint32_t k = 0; k < SCHED_IMAGES_MAX + 50; k++)
		known += known_holders(w, images[k]);
	assert_int_equal(known, SCHED_IMAGES_MAX);
	assert_int_equal(w->core->state->image_count, SCHED_IMAGES_MAX + 1);
	// What all forget is forgotten.
	for (uint32_t k = 0; k < SCHED_HOLDERS_MAX + 10; k++)
		tell_images(w, nodes[k], NULL, NULL);
	assert_int_equal(w->core->state->image_count, 0);
	assert_int_equal(known_holders(w, "base") + known_holders(w, "i1"), 0);
	// A node that goes takes what it had along; its row may be another's.
	tell_images(w, nodes[3], "base", NULL);
	assert_int_equal(sched_core_node_del(w->core, nodes[3], w->now), 0);
	world_settle(w);
	assert_int_equal(known_holders(w, "base"), 0);
	assert_int_equal(sched_core_node_images(w->core, nodes[3], images, 1), -ENOENT);
	nodes[3] = world_node(w, "new", 1000, 1000);
	assert_false(sched_node_has_image(world_head(w), nodes[3], sched_image_hash("base")));
}

// Images of one bucket, coming and going at random, against a table.
static void images_come_and_go(void **state)
{
	struct world *w = *state;
	bool has[8][100] = {{false}};
	char names[100][16];
	struct rng rng;

	rng_seed(&rng, 9);
	for (uint32_t k = 0; k < 8; k++) {
		snprintf(names[k], sizeof(names[k]), "n%u", k);
		world_node(w, names[k], 1000, 1000);
	}
	for (uint32_t i = 0; i < 100; i++)
		snprintf(names[i], sizeof(names[i]), "image%u", i);
	for (uint32_t round = 0; round < 2000; round++) {
		uint32_t node = rng_below(&rng, 8), n = 0, image = rng_below(&rng, 100),
			 holders = 0;
		const char *images[100];

		for (uint32_t i = 0; i < 100; i++)
			has[node][i] = rng_below(&rng, 4) == 0;
		for (uint32_t i = 0; i < 100; i++)
			if (has[node][i])
				images[n++] = names[i];
		assert_int_equal(sched_core_node_images(w->core, node, images, n), 0);
		for (uint32_t k = 0; k < 8; k++) {
			assert_int_equal(sched_node_has_image(
						 world_head(w), k, sched_image_hash(names[image])),
				has[k][image]);
			holders += has[k][image];
		}
		assert_int_equal(known_holders(w, names[image]), holders);
	}
}

// Enough that some share a bucket.
#define NAMES 3000

static void names_are_found_in_snapshots(void **state)
{
	struct world *w = *state;
	struct sched_reader *reader = sched_reader_new(&w->core->state->pages);
	const struct sched_snapshot *old;
	uint32_t slots[NAMES];
	struct sched_bytes log = {0};
	struct sched_core *again;

	for (uint32_t k = 0; k < NAMES; k++) {
		char name[16];

		snprintf(name, sizeof(name), "j%u", k);
		w->spec.namespace = k % 2 ? "odd" : "even";
		slots[k] = world_job(w, name, 0);
	}
	world_settle(w);
	old = sched_snapshot_pin(reader, w->core->state);
	for (uint32_t k = 0; k < NAMES; k += 3)
		sched_core_job_stop(w->core, slots[k], true, w->now);
	// Removals come a few at a time.
	for (int round = 0; w->core->state->head.counts[SCHED_TABLE_JOBS] > NAMES / 3 * 2;
		round++) {
		world_settle(w);
		w->now += NS_PER_SEC;
		assert_true(round < 1000);
	}
	for (uint32_t k = 0; k < NAMES; k++) {
		char text[32];

		snprintf(text, sizeof(text), "%s/j%u", k % 2 ? "odd" : "even", k);
		assert_int_equal(sched_names_find_text(old, text), slots[k]);
		assert_int_equal(sched_names_find_text(world_head(w), text),
			sched_job_find(
				w->core->state, k % 2 ? "odd" : "even", strchr(text, '/') + 1));
		if (k % 3)
			assert_int_equal(sched_names_find_text(world_head(w), text), slots[k]);
		else
			assert_int_equal(sched_names_find_text(world_head(w), text), SCHED_NONE);
		snprintf(text, sizeof(text), "%s/j%u", k % 2 ? "even" : "odd", k);
		assert_int_equal(sched_names_find_text(old, text), SCHED_NONE);
	}
	assert_int_equal(sched_names_find_text(old, "j1"), SCHED_NONE);
	assert_int_equal(sched_names_find_text(old, "od/j1"), SCHED_NONE);
	sched_reader_destroy(reader);
	// After a restart, too.
	sched_log_take(w->core, &log);
	again = sched_core_new(NULL, 1);
	assert_int_equal(sched_replay(again->state, log.data, log.len), 0);
	assert_int_equal(sched_names_find_text(&again->state->head, "odd/j1"), slots[1]);
	assert_int_equal(sched_names_find_text(&again->state->head, "odd/j3"), SCHED_NONE);
	sched_core_destroy(again);
	sched_bytes_fini(&log);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		TEST(images_are_bounded),
		TEST(images_come_and_go),
		TEST(names_are_found_in_snapshots),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
