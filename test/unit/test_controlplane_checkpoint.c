// SPDX-License-Identifier: Apache-2.0
// The scheduler's log in the store: it stays small, a checkpoint may be cut off at any point, and a
// new control plane finds what was acknowledged, from a checkpoint and the log behind it.
#include <poll.h>

#include "controlplane/registry_internal.h"
#include "controlplane/scheduler_internal.h"
#include "test/unit/hosts_world.h"

#define AFTER ((size_t)6000)

static int add_len(void *user, const struct store_record *record)
{
	size_t *sum = user;

	*sum += record->len;
	return 0;
}

static size_t log_in_store(struct env *e)
{
	size_t sum = 0;

	assert_int_equal(store_list(e->store, SCHEDULER_LOG_PREFIX, NULL, add_len, &sum), 0);
	return sum;
}

static size_t checkpoint_in_store(struct env *e)
{
	size_t len = 0;
	uint64_t version;
	void *value;

	if (store_get(e->store, SCHEDULER_CHECKPOINT_KEY, &value, &len, &version) == 0)
		free(value);
	return len;
}

static void small_steps(struct env *e)
{
	e->orchestrator.scheduler.checkpoint_after = AFTER;
}

static void come_back(struct env *e)
{
	UNTIL(e, e->clients[HOST1].closed);
	dial(e, HOST1, HOST("n1", "s1", ",\"machine\":\"m\""));
	UNTIL(e, e->clients[HOST1].up);
	watch(e, HOST1);
	obey(e, HOST1, "s1");
}

// To this many, which run.
static void scale(struct env *e, int count)
{
	put_echo(e, count, "a");
	for (int i = 0; told(e, HOST1, "run") != (size_t)count || told(e, HOST1, "stop"); i++) {
		assert_true(i < 10000);
		pass(e, NS_PER_MS);
		obey(e, HOST1, "s1");
	}
}

// What the host holds is what a new control plane wants of it: the same instances, and exactly those
// if nothing was under way.
static void crash_and_compare(struct env *e, bool exactly)
{
	json_t *before = json_deep_copy(e->clients[HOST1].table);
	unsigned snapshots = e->clients[HOST1].snapshots;
	const char *id;
	json_t *item;

	stop(e);
	start(e);
	small_steps(e);
	come_back(e);
	UNTIL(e, e->clients[HOST1].snapshots > snapshots && !e->clients[HOST1].marked);
	pass(e, 20 * NS_PER_MS);
	json_object_foreach(before, id, item)
	{
		if (!json_object_get(e->clients[HOST1].table, id))
			fail_msg("%s is gone", id);
	}
	if (exactly)
		assert_int_equal(json_object_size(e->clients[HOST1].table),
			json_object_size(before));
	json_decref(before);
}

static void test_the_log_stays_small(void **state)
{
	struct env *e = *state;
	uint64_t made = 0;

	small_steps(e);
	connect_host(e, HOST1, HOST("n1", "s1", ",\"machine\":\"m\""), "s1");
	for (int k = 0; k < 60; k++) {
		scale(e, k % 2 ? 3 : 12);
		// One may be on its way, and then a record that it does not cover follows.
		assert_true(log_in_store(e) <= 2 * (AFTER + checkpoint_in_store(e)) + 20000);
		assert_true(e->orchestrator.scheduler.log_bytes == log_in_store(e));
	}
	made = e->orchestrator.scheduler.checkpoints;
	assert_true(made >= 2);
	crash_and_compare(e, true);
	assert_int_equal(e->orchestrator.scheduler.checkpoint_bytes, checkpoint_in_store(e));
	scale(e, 5);
	crash_and_compare(e, true);
}

// One begins now, however small the log is.
static void begin_checkpoint(struct scheduler *s)
{
	s->checkpoint_after = s->checkpoint_bytes = 0;
	scheduler_checkpoint_consider(s);
	s->checkpoint_after = AFTER;
	assert_true(s->checkpoint.running);
}

static bool has_logged(struct scheduler *s)
{
	bool has;

	pthread_mutex_lock(&s->lock);
	has = s->core->state->log.out.len > 0;
	pthread_mutex_unlock(&s->lock);
	return has;
}

// A change is stored, and what the scheduler makes of it is decided and not stored.
static void decide_only(struct env *e, int count)
{
	ns_t give_up = clock_now() + DEADLINE;
	struct batch *batch;

	put_echo(e, count, "a");
	batch = registry_seal(&e->registry);
	assert_non_null(batch);
	assert_int_equal(registry_commit(&e->registry, batch, false), 0);
	registry_settle(&e->registry, 0);
	while (!has_logged(&e->orchestrator.scheduler))
		assert_true(clock_now() < give_up);
}

static void wait_encoded(const struct scheduler *s)
{
	ns_t give_up = clock_now() + DEADLINE;

	while (!scheduler_checkpoint_waits(s))
		assert_true(clock_now() < give_up);
}

// Crashes while it is encoded, before it is with the store, when the store refused it, and behind it.
static void test_a_crash_at_any_point(void **state)
{
	struct env *e = *state;

	small_steps(e);
	connect_host(e, HOST1, HOST("n1", "s1", ",\"machine\":\"m\""), "s1");
	for (int k = 0; k < 48; k++) {
		struct scheduler *s = &e->orchestrator.scheduler;
		uint64_t made;

		scale(e, k % 2 ? 2 : 9);
		made = s->checkpoints;
		// Then the checkpoint covers some of what the next record has.
		if (k % 3 == 0)
			decide_only(e, 4);
		begin_checkpoint(s);
		if (k % 4 > 0)
			wait_encoded(s);
		if (k % 4 == 2) {
			store_mem_fail(e->store, -ENOSPC, 1);
			assert_int_equal(registry_flush(&e->registry), -ENOSPC);
			assert_int_equal(s->checkpoints, made);
		} else if (k % 4 == 3) {
			assert_int_equal(registry_flush(&e->registry), 0);
			assert_int_equal(s->checkpoints, made + 1);
		}
		crash_and_compare(e, k % 3 != 0);
	}
}

static int count_one(void *user, const struct store_record *record)
{
	++*(size_t *)user;
	return 0;
}

static size_t parts_in_store(struct env *e)
{
	size_t n = 0;

	assert_int_equal(store_list(e->store, SCHEDULER_PART_PREFIX, NULL, count_one, &n), 0);
	return n;
}

// A large one comes in parts: it crashes, or the store refuses, after so many of them.
static void test_parts(void **state)
{
	struct env *e = *state;
	bool taken = false;

	small_steps(e);
	connect_host(e, HOST1, HOST("n1", "s1", ",\"machine\":\"m\""), "s1");
	for (size_t parts = 0; !taken || parts % 4; parts += 3) {
		struct scheduler *s = &e->orchestrator.scheduler;
		uint64_t made;

		assert_true(parts < 200);
		// What is left of the one before goes first, and another that has begun by itself ends.
		for (int k = 0; k == 0 || s->stray_count || s->checkpoint.running ||
				s->checkpoint.encoded || !s->log_bytes;
			k++) {
			scale(e, (parts + (size_t)k) % 2 ? 2 : 9);
			assert_true(k < 1000);
		}
		assert_int_equal(parts_in_store(e), s->stored.number);
		s->part_bytes = 1000;
		made = s->checkpoints;
		begin_checkpoint(s);
		wait_encoded(s);
		for (size_t k = 0; k < parts / 2 && s->checkpoints == made; k++) {
			struct batch *batch = registry_seal(&e->registry);

			assert_non_null(batch);
			assert_int_equal(registry_commit(&e->registry, batch, false), 0);
			registry_settle(&e->registry, 0);
			scheduler_settle(s);
		}
		if (s->checkpoints > made) {
			assert_int_equal(parts_in_store(e), s->stored.number);
			taken |= s->stored.number > 5;
		}
		if (parts % 2) {
			store_mem_fail(e->store, -ENOSPC, 1);
			e->broken = true;
			registry_flush(&e->registry);
			store_mem_fail(e->store, 0, 0);
			e->broken = false;
		}
		crash_and_compare(e, true);
	}
	assert_true(e->orchestrator.scheduler.stored.number > 5);
}

static void no_placement(void *user, const struct scheduler_placement *p)
{
}

static void no_stop(void *user, const char *id, bool lost)
{
}

static void no_end(void *user, const char *id)
{
}

static int start_without(struct env *e, const char *key, struct store_write *w)
{
	static const struct scheduler_deeds deeds = {no_placement, no_stop, no_end, no_end};
	const struct store_txn t = {.writes = w, .write_count = 1};
	struct scheduler s;
	int rc;

	w->key = key;
	assert_int_equal(store_get(e->store, key, (void **)&w->value, &w->len, &w->version), 0);
	assert_int_equal(store_commit(e->store,
				 &(struct store_txn){.writes = &(struct store_write){.key = key},
					 .write_count = 1}),
		0);
	rc = scheduler_start(&s, e->store, 1, 1, &deeds, NULL);
	assert_int_equal(store_commit(e->store, &t), 0);
	free((void *)(uintptr_t)w->value);
	return rc;
}

// A store in which a part is missing is damaged, and not half of a state.
static void test_a_part_is_missing(void **state)
{
	struct env *e = *state;
	struct scheduler *s = &e->orchestrator.scheduler;
	char key[STORE_KEY_MAX];
	struct store_write w;
	struct scheduler_part part;

	small_steps(e);
	connect_host(e, HOST1, HOST("n1", "s1", ",\"machine\":\"m\""), "s1");
	scale(e, 9);
	s->part_bytes = 100;
	begin_checkpoint(s);
	wait_encoded(s);
	while (!s->checkpoints)
		assert_int_equal(registry_flush(&e->registry), 0);
	part = s->stored;
	assert_true(part.number > 5);
	stop(e);
	for (uint32_t last = part.number; part.number--;) {
		if (part.number && part.number != last / 2 && part.number != last - 1)
			continue;
		scheduler_part_key(key, &part);
		assert_int_equal(start_without(e, key, &w), -EBADMSG);
	}
	start(e);
	assert_int_equal(e->orchestrator.scheduler.stored.index, part.index);
}

static void count_placed(void *user, const struct scheduler_placement *p)
{
	assert_string_equal(p->name, "large");
	++*(unsigned *)user;
}

// A batch whose bytes go nowhere; false: there are none.
static bool land(struct scheduler *s)
{
	struct batch *batch = calloc(1, sizeof(*batch));
	bool joins = scheduler_join(s, batch);

	batch_destroy(batch);
	if (joins)
		scheduler_joined(s, 0);
	return joins;
}

// A large job does not keep the main thread from its other work: what is durable is told in steps,
// to the end, though nothing else happens.
static void test_it_is_told_in_steps(void **state)
{
	const struct scheduler_deeds deeds = {.placed = count_placed};
	const struct sched_res capacity = {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};
	const struct sched_group group = {.name = "main", .count = 3000, .ask = {.slots = 1}};
	const struct sched_spec spec = {.namespace = "default",
		.name = "large",
		.priority = 50,
		.groups = &group,
		.group_count = 1};
	struct store *store = store_mem_new();
	unsigned placed = 0, before = 0, steps = 0;
	ns_t give_up = clock_now() + DEADLINE;
	struct scheduler s;

	(void)state;
	assert_int_equal(scheduler_start(&s, store, 1, 1, &deeds, &placed), 0);
	scheduler_node_put(&s, "n", NULL, 0, &capacity);
	scheduler_node_state(&s, "n", SCHED_NODE_READY, true, false);
	assert_int_equal(scheduler_job_put(&s, &spec), 0);
	while (placed < 3000) {
		struct pollfd fd = {s.event_fd, POLLIN, 0};

		assert_true(clock_now() < give_up);
		if (!land(&s) && poll(&fd, 1, 0) == 0)
			continue;
		assert_true(poll(&fd, 1, 0) == 1);
		scheduler_settle(&s);
		assert_true(placed - before <= 2048);
		steps += placed > before;
		before = placed;
	}
	assert_true(steps > 1);
	assert_int_equal(scheduler_untold(&s), 0);
	scheduler_stop(&s);
	store_close(store);
}

// A store that refuses for a while: the log grows in memory, and is there afterwards.
static void test_a_full_disk_and_after(void **state)
{
	struct env *e = *state;
	uint64_t before;

	small_steps(e);
	connect_host(e, HOST1, HOST("n1", "s1", ",\"machine\":\"m\""), "s1");
	scale(e, 6);
	before = e->orchestrator.scheduler.checkpoints;
	for (int k = 0; k < 40; k++) {
		scale(e, k % 2 ? 2 : 9);
		e->broken = true;
		store_mem_fail(e->store, -ENOSPC, 1);
		registry_flush(&e->registry);
		store_mem_fail(e->store, 0, 0);
		e->broken = false;
	}
	UNTIL(e, e->orchestrator.scheduler.checkpoints > before);
	crash_and_compare(e, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PATIENT(test_the_log_stays_small),
		PATIENT(test_a_crash_at_any_point),
		PATIENT(test_a_full_disk_and_after),
		PATIENT(test_parts),
		PATIENT(test_a_part_is_missing),
		PATIENT(test_it_is_told_in_steps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
