// SPDX-License-Identifier: Apache-2.0
// The contract of sched.h with real threads: the core under one lock, workers that plan outside of
// it, a reader that looks at everything meanwhile. For the thread sanitizer above all.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "sched/sched.h"

#define WORKERS 3
#define JOBS 60
#define NODES 40

struct host {
	struct sched_core *core;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool stop;
	uint64_t waits;
};

struct member {
	struct host *host;
	struct sched_worker *worker;
	struct sched_reader *reader;
	uint64_t plans, bad;
};

// Lock held; gives it up while it plans. The plan goes through the queue and its result comes back
// at once, since whoever holds the lock applies what waits.
static void work(struct member *m, const struct sched_ticket *t, uint64_t token)
{
	struct host *h = m->host;
	struct sched_plan *plan;
	int rc;

	sched_worker_begin(m->worker, t, token);
	do {
		pthread_mutex_unlock(&h->lock);
		rc = sched_worker_plan(
			m->worker, sched_snapshot_pin(m->reader, h->core->state), 1, &plan);
		sched_reader_unpin(m->reader);
		pthread_mutex_lock(&h->lock);
		if (rc == -EAGAIN)
			continue;
		if (rc) {
			sched_core_drop(h->core, t, token, 1);
			return;
		}
		m->plans++;
		if (sched_core_submit(h->core, plan, 1))
			return;
		sched_core_apply(h->core, 1, 1);
		m->bad += sched_core_result(h->core) != plan;
		rc = sched_worker_result(m->worker);
	} while (rc == -EAGAIN);
	m->bad += rc != 0;
}

static void *worker_main(void *user)
{
	struct member *m = user;
	struct host *h = m->host;
	struct sched_ticket t;
	uint64_t token;

	pthread_mutex_lock(&h->lock);
	while (!h->stop) {
		if (sched_core_dequeue(h->core, SCHED_MASK_ALL, 1, &t, &token)) {
			sched_core_tick(h->core, 1);
			h->waits++;
			if (!sched_broker_has(h->core->broker, SCHED_MASK_ALL) && !h->stop)
				pthread_cond_wait(&h->changed, &h->lock);
			continue;
		}
		work(m, &t, token);
		pthread_cond_broadcast(&h->changed);
	}
	pthread_mutex_unlock(&h->lock);
	return NULL;
}

// A checkpoint in the background must be a state that can be replayed.
static void *checkpoint_main(void *user)
{
	struct member *m = user;
	bool stop = false;

	while (!stop) {
		struct sched_encoder out = {0};
		const struct sched_snapshot *s =
			sched_snapshot_pin(m->reader, m->host->core->state);
		struct sched_state *copy = sched_state_new();

		m->bad += sched_checkpoint(s, &out) != 0;
		m->bad += sched_replay(copy, out.out.data, out.out.len) != 0;
		m->bad += sched_state_hash(s) != sched_state_hash(&copy->head);
		sched_reader_unpin(m->reader);
		m->plans++;
		sched_state_destroy(copy);
		sched_bytes_fini(&out.out);
		pthread_mutex_lock(&m->host->lock);
		stop = m->host->stop;
		pthread_mutex_unlock(&m->host->lock);
	}
	return NULL;
}

static void put_nodes(struct sched_core *core)
{
	struct sched_res capacity = {6000, 6000, UINT32_MAX, UINT32_MAX};

	for (uint32_t k = 0; k < NODES; k++) {
		char name[16];
		uint32_t slot;

		snprintf(name, sizeof(name), "n%u", k);
		assert_int_equal(sched_core_node_put(core, name, NULL, 0, &capacity, &slot), 0);
		assert_int_equal(
			sched_core_node_state(core, slot, SCHED_NODE_READY, true, false, 1), 0);
	}
}

static void put_job(struct host *h, uint32_t k, uint32_t count)
{
	char name[16], peer[24];
	const char *const near[] = {peer}, *const images[] = {"a@1", "b@1", "c@1", "d@1"};
	struct sched_group group = {.name = "main",
		.count = count,
		.ask = {100, 100, 0, 1},
		.image = images[k % 4],
		.near = near,
		.near_count = k % 3 == 0};
	struct sched_spec spec = {.namespace = "default",
		.name = name,
		.priority = 50,
		.groups = &group,
		.group_count = 1};
	uint32_t slot;

	snprintf(name, sizeof(name), "j%u", k);
	snprintf(peer, sizeof(peer), "default/j%u", k / 2 + 1);
	pthread_mutex_lock(&h->lock);
	assert_int_equal(sched_core_node_images(h->core, k % NODES, images + k % 3, count % 3), 0);
	assert_int_equal(sched_core_job_put(h->core, &spec, 1, &slot), 0);
	pthread_cond_broadcast(&h->changed);
	pthread_mutex_unlock(&h->lock);
}

static bool idle(struct host *h)
{
	struct sched_broker_stats b;

	pthread_mutex_lock(&h->lock);
	b = sched_broker_stats(h->core->broker);
	pthread_mutex_unlock(&h->lock);
	return !b.ready && !b.outstanding && !b.pending;
}

static void workers_beside_each_other(void **state)
{
	struct host h = {.core = sched_core_new(NULL, 1),
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.changed = PTHREAD_COND_INITIALIZER};
	struct member members[WORKERS + 1];
	pthread_t threads[WORKERS + 1];
	uint64_t live = 0;

	assert_int_equal(sched_core_start(h.core, 0), 0);
	put_nodes(h.core);
	for (uint32_t k = 0; k <= WORKERS; k++) {
		members[k] = (struct member){&h, sched_worker_new(NULL, k + 1),
			sched_reader_new(&h.core->state->pages), 0, 0};
		assert_int_equal(pthread_create(&threads[k], NULL,
					 k < WORKERS ? worker_main : checkpoint_main, &members[k]),
			0);
	}
	// 60 jobs up to 39 fill 2,340 of 2,400 slots in the end; on the way they change their
	// minds.
	for (uint32_t round = 0; round < 3; round++)
		for (uint32_t k = 0; k < JOBS; k++)
			put_job(&h, k, round == 2 ? 39 : (k * 7 + round * 13) % 40);
	while (!idle(&h))
		usleep(1000);
	pthread_mutex_lock(&h.lock);
	h.stop = true;
	pthread_cond_broadcast(&h.changed);
	pthread_mutex_unlock(&h.lock);
	for (uint32_t k = 0; k <= WORKERS; k++) {
		pthread_join(threads[k], NULL);
		assert_int_equal(members[k].bad, 0);
		sched_worker_destroy(members[k].worker);
		sched_reader_destroy(members[k].reader);
	}
	assert_true(members[WORKERS].plans > 0);
	for (uint32_t k = 0; k < h.core->state->head.tables[SCHED_TABLE_JOBS].high; k++)
		live += sched_job_at(&h.core->state->head, k)->live;
	assert_int_equal(live, JOBS * 39);
	sched_core_destroy(h.core);
}

// How often the worker slept, and how many instances there are, of a state nobody is changing.
static uint64_t look(struct host *h, uint64_t *live)
{
	uint64_t waits;

	pthread_mutex_lock(&h->lock);
	waits = h->waits;
	*live = h->core->state->head.counts[SCHED_TABLE_INSTANCES];
	pthread_mutex_unlock(&h->lock);
	return waits;
}

// A worker that found nothing sleeps, and what is enqueued then wakes it, each time.
static void b10_who_waits_is_woken(void **state)
{
	struct host h = {.core = sched_core_new(NULL, 1),
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.changed = PTHREAD_COND_INITIALIZER};
	struct member m = {
		&h, sched_worker_new(NULL, 1), sched_reader_new(&h.core->state->pages), 0, 0};
	uint64_t live = 0, slept = 0;
	pthread_t thread;

	assert_int_equal(sched_core_start(h.core, 0), 0);
	put_nodes(h.core);
	assert_int_equal(pthread_create(&thread, NULL, worker_main, &m), 0);
	for (uint32_t k = 0; k < 20; k++) {
		// The lock is free and nothing is ready: it sleeps.
		while (look(&h, &live) <= slept || !idle(&h))
			usleep(100);
		slept = look(&h, &live);
		put_job(&h, k, 3);
		while (look(&h, &live), live != 3 * (k + 1))
			usleep(100);
	}
	pthread_mutex_lock(&h.lock);
	h.stop = true;
	pthread_cond_broadcast(&h.changed);
	pthread_mutex_unlock(&h.lock);
	pthread_join(thread, NULL);
	assert_int_equal(m.bad, 0);
	sched_worker_destroy(m.worker);
	sched_reader_destroy(m.reader);
	sched_core_destroy(h.core);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(b10_who_waits_is_woken),
		cmocka_unit_test(workers_beside_each_other)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
