// SPDX-License-Identifier: Apache-2.0
// The parts below the scheduler: map, tables and snapshots, the log and its damage, checkpoints,
// readers in threads.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/rng.h"
#include "sched/block.h"
#include "test/unit/sched_world.h"

static void map_holds_what_an_array_holds(void **state)
{
	static uint32_t expect[4096];
	struct sched_map map = {0};
	uint32_t count = 0;
	struct rng rng;

	rng_seed(&rng, 3);
	memset(expect, 0xff, sizeof(expect));
	assert_int_equal(sched_map_get(&map, 1), SCHED_NONE);
	sched_map_del(&map, 1);
	for (uint32_t k = 0; k < 100000; k++) {
		// Keys that collide in their low bits.
		uint32_t at = rng_below(&rng, 4096);
		uint64_t key = (uint64_t)at << 32 | at % 7;

		if (rng_below(&rng, 2)) {
			count += expect[at] == SCHED_NONE;
			expect[at] = k;
			assert_int_equal(sched_map_set(&map, key, k), 0);
		} else {
			count -= expect[at] != SCHED_NONE;
			expect[at] = SCHED_NONE;
			sched_map_del(&map, key);
		}
		assert_int_equal(map.count, count);
		at = rng_below(&rng, 4096);
		assert_int_equal(sched_map_get(&map, (uint64_t)at << 32 | at % 7), expect[at]);
	}
	sched_map_fini(&map);
}

static uint64_t row_value(const struct sched_table *t, uint32_t i)
{
	const uint64_t *row = sched_table_row(t, i);

	return row ? *row : 0;
}

static void snapshots_do_not_change(void **state)
{
	struct sched_pages p;
	struct sched_table t, snapshots[20];
	struct sched_reader *reader;
	static uint64_t copies[20][5000];
	struct rng rng;

	rng_seed(&rng, 4);
	sched_pages_init(&p);
	t = sched_table_make(&p, sizeof(uint64_t), 3);
	reader = sched_reader_new(&p);
	sched_pages_publish(&p);
	sched_reader_pin(reader, &p);
	for (int k = 0; k < 20; k++) {
		for (int n = 0; n < 500; n++) {
			uint64_t *row = sched_table_write(&p, &t, rng_below(&rng, 5000));

			*row = rng_next(&rng);
		}
		snapshots[k] = t;
		for (uint32_t i = 0; i < t.high && i < 5000; i++)
			copies[k][i] = row_value(&t, i);
		sched_pages_publish(&p);
		sched_pages_reclaim(&p);
	}
	for (int k = 0; k < 20; k++)
		for (uint32_t i = 0; i < snapshots[k].high && i < 5000; i++)
			assert_true(copies[k][i] == row_value(&snapshots[k], i));
	assert_true(p.retired_count > 0);
	// With the reader gone everything old comes back.
	sched_reader_unpin(reader);
	sched_pages_reclaim(&p);
	assert_int_equal(p.retired_count, 0);
	sched_reader_destroy(reader);
	sched_pages_fini(&p);
}

static void memory_of_old_versions_is_used_again(void **state)
{
	struct sched_pages p;
	struct sched_table t;
	size_t before;

	sched_pages_init(&p);
	t = sched_table_make(&p, 64, 4);
	for (uint32_t i = 0; i < 10000; i++)
		sched_table_write(&p, &t, i);
	sched_pages_publish(&p);
	before = 0;
	for (uint32_t k = 0; k < 20000; k++) {
		*(uint32_t *)sched_table_write(&p, &t, k * 7 % 10000) = k;
		sched_pages_publish(&p);
		sched_pages_reclaim(&p);
		if (k == 1000)
			before = sched_pages_bytes(&p);
	}
	assert_int_equal(sched_pages_bytes(&p), before);
	sched_pages_fini(&p);
}

static void what_was_never_written_costs_nothing(void **state)
{
	struct sched_pages p;
	struct sched_table t;

	sched_pages_init(&p);
	t = sched_table_make(&p, 64, 4);
	assert_null(sched_table_row(&t, 0));
	assert_non_null(sched_table_write(&p, &t, sched_table_max(&t) - 1));
	assert_null(sched_table_write(&p, &t, sched_table_max(&t)));
	assert_null(sched_table_write(&p, &t, SCHED_NONE));
	assert_null(sched_table_row(&t, 0));
	assert_non_null(sched_table_row(&t, sched_table_max(&t) - 1));
	assert_null(sched_table_row(&t, SCHED_NONE));
	assert_true(sched_pages_bytes(&p) < 1 << 20);
	sched_pages_fini(&p);
}

static void readers_are_limited(void **state)
{
	struct sched_state *st = sched_state_new();
	struct sched_reader *readers[SCHED_READERS_MAX];

	for (int k = 0; k < SCHED_READERS_MAX; k++)
		assert_non_null(readers[k] = sched_reader_new(&st->pages));
	assert_null(sched_reader_new(&st->pages));
	sched_reader_destroy(readers[5]);
	assert_ptr_equal(sched_reader_new(&st->pages), readers[5]);
	sched_state_destroy(st);
}

// ---- readers beside a writer ----

struct watch {
	struct sched_state *st;
	struct sched_reader *reader;
	bool stop;
	uint64_t looks, bad;
};

// In every published state each node's `used` is the sum over its instances.
static void *watch(void *user)
{
	struct watch *w = user;

	while (!__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE)) {
		const struct sched_snapshot *s = sched_snapshot_pin(w->reader, w->st);

		for (uint32_t k = 0; k < s->tables[SCHED_TABLE_NODES].high; k++) {
			const struct sched_node *n = sched_node_at(s, k);
			uint32_t cpu = 0;

			for (uint32_t at = n ? n->first_instance : SCHED_NONE; at != SCHED_NONE;) {
				const struct sched_instance *i = sched_instance_at(s, at);

				cpu += i->flags & SCHED_INSTANCE_HOLDS ? i->ask.cpu_milli : 0;
				at = i->next_on_node;
			}
			w->bad += n && cpu != n->used.cpu_milli;
			w->bad += n && n->info->name[0] != 'n';
		}
		w->looks++;
		sched_reader_unpin(w->reader);
	}
	return NULL;
}

static void readers_see_whole_transactions(void **state)
{
	struct watch watches[2];
	pthread_t threads[2];
	struct world w;

	world_init(&w);
	w.group.ask.cpu_milli = 1;
	w.group.ask.memory_mib = 1;
	for (uint32_t k = 0; k < 8; k++) {
		char name[8] = {'n', (char)('a' + k), 0};

		world_node(&w, name, 1000, 1000);
	}
	for (int k = 0; k < 2; k++) {
		watches[k] = (struct watch){
			w.core->state, sched_reader_new(&w.core->state->pages), false, 0, 0};
		assert_int_equal(pthread_create(&threads[k], NULL, watch, &watches[k]), 0);
	}
	for (uint32_t k = 0; k < 300; k++) {
		w.now += 700 * NS_PER_SEC;
		world_job(&w, k % 3 ? "a" : "b", k * 7 % 40);
		world_settle(&w);
		if (k % 10 == 0) {
			world_node_status(&w, k / 10 % 8, SCHED_NODE_DOWN);
			world_settle(&w);
			world_node_status(&w, k / 10 % 8, SCHED_NODE_READY);
		}
	}
	for (int k = 0; k < 2; k++) {
		__atomic_store_n(&watches[k].stop, true, __ATOMIC_RELEASE);
		pthread_join(threads[k], NULL);
		assert_int_equal(watches[k].bad, 0);
		assert_true(watches[k].looks > 0);
		sched_reader_destroy(watches[k].reader);
	}
	world_fini(&w);
}

// ---- the log ----

// A job with a schedule, and one that is dispatched, with a child each.
static void launch(struct world *w)
{
	static const char *const key = "scene";
	struct sched_launch launches = {.templated = true,
		.payload = SCHED_PAYLOAD_REQUIRED,
		.meta_required = &key,
		.meta_required_count = 1};
	struct sched_meta meta = {"scene", "s1"};
	struct sched_dispatch d = {
		.payload = "p\0q", .payload_len = 3, .meta = &meta, .meta_count = 1, .token = "t"};
	uint32_t slot, child;

	w->spec.type = SCHED_TYPE_BATCH;
	w->spec.launch = &launches;
	slot = world_job(w, "template", 1);
	assert_int_equal(sched_core_dispatch(w->core, slot, &d, w->now, &child), 0);
	launches = (struct sched_launch){.cron = "* * * * *", .overlap = true};
	slot = world_job(w, "periodic", 1);
	w->now += 60 * NS_PER_SEC;
	world_settle(w);
	assert_int_equal(sched_job_at(world_head(w), slot)->children, 1);
	world_report(w, world_named(w, child, 0), SCHED_COMPLETE, false);
	assert_true(sched_job_at(world_head(w), child)->ended_ns > 0);
	w->spec.type = SCHED_TYPE_SERVICE;
	w->spec.launch = NULL;
}

// A job with canaries that are promoted, and then fails and goes back.
static uint32_t deploy(struct world *w)
{
	uint32_t job;

	w->group.constraint_count = 0;
	w->group.canaries = 2;
	w->group.auto_revert = true;
	w->group.sticky = true;
	w->group.progress_deadline_ns = 77 * NS_PER_SEC;
	job = world_job(w, "deployed", 3);
	world_settle(w);
	w->group.restart_hash++;
	world_job(w, "deployed", 3);
	world_settle(w);
	assert_int_equal(sched_core_deployment(w->core, job, SCHED_DEPLOYMENT_PROMOTE, w->now), 0);
	world_settle(w);
	w->group.restart_hash++;
	world_job(w, "deployed", 3);
	world_settle(w);
	assert_int_equal(sched_core_deployment(w->core, job, SCHED_DEPLOYMENT_FAIL, w->now), 0);
	world_run(w);
	return job;
}

static struct sched_bytes make_log(uint64_t *hash)
{
	struct sched_constraint c = {"rack", "r1", SCHED_OP_NE};
	struct sched_attribute attributes[] = {{"rack", "r2"}, {"unique.ip", "10.0.0.1"}};
	struct sched_bytes log = {0};
	struct world w;

	world_init(&w);
	w.group.constraints = &c;
	w.group.constraint_count = 1;
	w.spec.opaque = "what\0ever";
	w.spec.opaque_len = 9;
	world_node_with(&w, "a", 1000, 1000, attributes, 2);
	world_node(&w, "b", 1000, 1000);
	world_job(&w, "j", 15);
	world_job(&w, "k", 9);
	world_settle(&w);
	world_report(&w, world_named(&w, 0, 3), SCHED_FAILED, false);
	world_settle(&w);
	w.group.restart_hash = 2;
	world_job(&w, "j", 4);
	world_settle(&w);
	world_node_status(&w, 1, SCHED_NODE_DOWN);
	world_run(&w);
	sched_core_node_del(w.core, 1, w.now);
	sched_core_job_stop(w.core, 1, true, w.now);
	world_settle(&w);
	deploy(&w);
	launch(&w);
	*hash = sched_state_hash(world_head(&w));
	sched_log_take(w.core, &log);
	world_fini(&w);
	return log;
}

static void replay_gives_the_same_state(void **state)
{
	struct sched_state *st = sched_state_new();
	uint64_t hash;
	struct sched_bytes log = make_log(&hash);
	const struct sched_spec *spec;

	assert_int_equal(sched_replay(st, log.data, log.len), 0);
	assert_true(sched_state_hash(&st->head) == hash);
	spec = sched_job_spec(sched_job_at(&st->head, sched_job_find(st, "default", "j")));
	assert_int_equal(spec->opaque_len, 9);
	assert_memory_equal(spec->opaque, "what\0ever", 9);
	assert_string_equal(spec->groups[0].constraints[0].value, "r1");
	assert_string_equal(
		sched_node_attribute(sched_node_at(&st->head, 0)->info, "unique.ip"), "10.0.0.1");
	sched_state_destroy(st);
	sched_bytes_fini(&log);
}

static void deployments_survive_a_restart(void **state)
{
	struct sched_state *copy = sched_state_new(), *again = sched_state_new();
	struct sched_encoder out = {0};
	struct sched_bytes log = {0};
	const struct sched_deployment *d;
	const struct sched_group *g;
	struct world w;
	uint32_t job;

	world_init(&w);
	world_node(&w, "a", 10000, 10000);
	job = deploy(&w);
	assert_int_equal(sched_checkpoint(world_head(&w), &out), 0);
	assert_int_equal(sched_replay(again, out.out.data, out.out.len), 0);
	sched_log_take(w.core, &log);
	assert_int_equal(sched_replay(copy, log.data, log.len), 0);
	assert_true(sched_state_hash(&copy->head) == sched_state_hash(world_head(&w)));
	assert_true(sched_state_hash(&again->head) == sched_state_hash(world_head(&w)));
	d = sched_job_at(&again->head, job)->deployment;
	assert_int_equal(d->version, 4);
	assert_int_equal(d->stable, 2);
	assert_int_equal(d->from, 2);
	assert_int_equal(d->before, 3);
	assert_int_equal(d->before_status, SCHED_DEPLOYMENT_FAILED);
	assert_int_equal(d->changed_ns, w.now);
	assert_true(d->revert);
	assert_memory_equal(d, sched_job_at(&copy->head, job)->deployment, sizeof(*d));
	g = &sched_job_spec(sched_job_at(&again->head, job))->groups[0];
	assert_int_equal(g->canaries, 2);
	assert_true(g->auto_revert && g->sticky && !g->auto_promote);
	assert_int_equal(g->progress_deadline_ns, 77 * NS_PER_SEC);
	sched_bytes_fini(&out.out);
	sched_bytes_fini(&log);
	sched_state_destroy(copy);
	sched_state_destroy(again);
	world_fini(&w);
}

static void report_exit(
	struct world *w, uint32_t index, uint8_t status, uint8_t code, uint8_t signal)
{
	struct sched_report r = {.id = world_named(w, 0, index)->id,
		.status = status,
		.exit_code = code,
		.exit_signal = signal};

	assert_int_equal(sched_core_report(w->core, &r, 1, w->now), 0);
}

// How many instances of the first job ended in that way.
static uint32_t ends(const struct sched_snapshot *s, uint8_t status, uint8_t code, uint8_t signal)
{
	uint32_t n = 0;

	for (uint32_t k = 0; k < s->tables[SCHED_TABLE_INSTANCES].high; k++) {
		const struct sched_instance *i = sched_instance_at(s, k);

		n += i && i->status == status && i->exit_code == code && i->exit_signal == signal;
	}
	return n;
}

static void exit_statuses_survive_a_restart(void **state)
{
	struct sched_state *copy = sched_state_new(), *again = sched_state_new();
	struct sched_encoder out = {0};
	struct sched_bytes log = {0};
	struct world w;

	world_init(&w);
	world_node(&w, "a", 10000, 10000);
	w.spec.type = SCHED_TYPE_BATCH;
	world_job(&w, "j", 5);
	world_settle(&w);
	report_exit(&w, 0, SCHED_COMPLETE, 0, 0);
	report_exit(&w, 1, SCHED_FAILED, 255, 0);
	report_exit(&w, 2, SCHED_FAILED, 0, 9);
	assert_int_equal(sched_checkpoint(world_head(&w), &out), 0);
	assert_int_equal(sched_replay(again, out.out.data, out.out.len), 0);
	sched_log_take(w.core, &log);
	assert_int_equal(sched_replay(copy, log.data, log.len), 0);
	assert_true(sched_state_hash(&copy->head) == sched_state_hash(world_head(&w)));
	assert_true(sched_state_hash(&again->head) == sched_state_hash(world_head(&w)));
	assert_int_equal(ends(&copy->head, SCHED_COMPLETE, 0, 0), 1);
	assert_int_equal(ends(&copy->head, SCHED_FAILED, 255, 0), 1);
	assert_int_equal(ends(&copy->head, SCHED_FAILED, 0, 9), 1);
	assert_int_equal(ends(&again->head, SCHED_COMPLETE, 0, 0), 1);
	assert_int_equal(ends(&again->head, SCHED_FAILED, 255, 0), 1);
	assert_int_equal(ends(&again->head, SCHED_FAILED, 0, 9), 1);
	sched_bytes_fini(&out.out);
	sched_bytes_fini(&log);
	sched_state_destroy(copy);
	sched_state_destroy(again);
	world_fini(&w);
}

static void a_log_that_is_cut_gives_a_prefix(void **state)
{
	uint64_t hash;
	struct sched_bytes log = make_log(&hash);

	for (size_t len = 0; len < log.len; len += 1 + len / 40) {
		struct sched_state *st = sched_state_new();
		int rc = sched_replay(st, log.data, len);

		assert_true(rc == 0 || rc == -EBADMSG);
		sched_state_destroy(st);
	}
	sched_bytes_fini(&log);
}

static void damage_is_survived(void **state)
{
	uint64_t hash;
	struct sched_bytes log = make_log(&hash);
	struct rng rng;

	rng_seed(&rng, 8);
	for (int k = 0; k < 3000; k++) {
		struct sched_state *st = sched_state_new();
		uint8_t *bytes = malloc(log.len);

		memcpy(bytes, log.data, log.len);
		for (uint32_t n = 1 + rng_below(&rng, 4); n; n--)
			bytes[rng_below(&rng, (uint32_t)log.len)] = (uint8_t)rng_next(&rng);
		sched_replay(st, bytes, log.len);
		sched_state_destroy(st);
		free(bytes);
	}
	log.data[2] = 9;
	struct sched_state *st = sched_state_new();
	assert_int_equal(sched_replay(st, log.data, log.len), -EPROTO);
	sched_state_destroy(st);
	sched_bytes_fini(&log);
}

static void two_names_are_two_jobs(void **state)
{
	struct world w;
	uint32_t a, b;

	world_init(&w);
	a = world_job(&w, "j", 1);
	w.spec.namespace = "other";
	b = world_job(&w, "j", 1);
	assert_int_not_equal(a, b);
	assert_int_equal(sched_job_find(w.core->state, "default", "j"), a);
	assert_int_equal(sched_job_find(w.core->state, "other", "j"), b);
	assert_int_equal(sched_job_find(w.core->state, "otherj", ""), SCHED_NONE);
	world_fini(&w);
}

static void classes_ignore_unique_attributes(void **state)
{
	struct sched_attribute a[] = {{"rack", "r1"}, {"unique.ip", "1"}, {"arch", "x"}};
	struct sched_attribute b[] = {{"arch", "x"}, {"unique.ip", "2"}, {"rack", "r1"}};
	struct sched_node_info *x = sched_node_info_make("a", a, 3),
			       *y = sched_node_info_make("b", b, 3);

	assert_true(x->class_hash == y->class_hash);
	assert_string_equal(sched_node_attribute(x, "rack"), "r1");
	assert_string_equal(sched_node_attribute(x, "unique.node.name"), "a");
	assert_null(sched_node_attribute(x, "none"));
	free(y);
	b[0].value = "y";
	y = sched_node_info_make("b", b, 3);
	assert_true(x->class_hash != y->class_hash);
	free(x);
	free(y);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(map_holds_what_an_array_holds),
		cmocka_unit_test(snapshots_do_not_change),
		cmocka_unit_test(memory_of_old_versions_is_used_again),
		cmocka_unit_test(what_was_never_written_costs_nothing),
		cmocka_unit_test(readers_are_limited),
		cmocka_unit_test(readers_see_whole_transactions),
		cmocka_unit_test(replay_gives_the_same_state),
		cmocka_unit_test(deployments_survive_a_restart),
		cmocka_unit_test(exit_statuses_survive_a_restart),
		cmocka_unit_test(a_log_that_is_cut_gives_a_prefix),
		cmocka_unit_test(damage_is_survived),
		cmocka_unit_test(two_names_are_two_jobs),
		cmocka_unit_test(classes_ignore_unique_attributes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
