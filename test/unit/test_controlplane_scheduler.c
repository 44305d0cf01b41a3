// SPDX-License-Identifier: Apache-2.0
// The scheduler's threads and its log, without hosts: what bounds them, and what happens when
// memory runs out.
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "controlplane/registry_internal.h"
#include "controlplane/scheduler_internal.h"

#define DEADLINE (20 * NS_PER_SEC)

static void no_placement(void *user, const struct scheduler_placement *p)
{
}

static void no_stop(void *user, const char *id, bool lost)
{
}

static void no_end(void *user, const char *id)
{
}

static const struct scheduler_deeds deeds = {no_placement, no_stop, no_end, no_end};
static const struct sched_group group = {.name = "main", .count = 1, .ask = {.slots = 1}};
static const struct sched_spec job = {
	.namespace = "default", .name = "j", .priority = 50, .groups = &group, .group_count = 1};

struct world {
	struct store *store;
	struct scheduler s;
};

static int setup(void **state)
{
	const struct sched_res capacity = {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->store = store_mem_new();
	assert_int_equal(scheduler_start(&w->s, w->store, 1, 1, &deeds, NULL), 0);
	scheduler_node_put(&w->s, "n", NULL, 0, &capacity);
	scheduler_node_state(&w->s, "n", SCHED_NODE_READY, true, false);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	scheduler_stop(&w->s);
	store_close(w->store);
	free(w);
	return 0;
}

// A batch whose bytes go nowhere; false: there are none.
static bool land(struct scheduler *s)
{
	struct batch *batch = calloc(1, sizeof(*batch));
	bool joins = scheduler_join(s, batch), rides = scheduler_pending(s);

	if (rides)
		scheduler_ride(s, batch);
	if (joins)
		scheduler_joined(s, 0);
	if (rides)
		scheduler_landed(s, 0);
	scheduler_settle(s);
	batch_destroy(batch);
	return joins || rides;
}

static uint32_t instances(struct scheduler *s)
{
	uint32_t n;

	pthread_mutex_lock(&s->lock);
	n = s->core->state->head.counts[SCHED_TABLE_INSTANCES];
	pthread_mutex_unlock(&s->lock);
	return n;
}

// ---- memory ----

// With standard error in `fd`: memory for the log runs out, then it is to be stored.
static void run_out(int fd)
{
	struct world *w;
	void *state;

	dup2(fd, STDERR_FILENO);
	setup(&state);
	w = state;
	pthread_mutex_lock(&w->s.lock);
	// As when it cannot grow.
	w->s.core->state->log.out.failed = true;
	pthread_mutex_unlock(&w->s.lock);
	scheduler_job_put(&w->s, &job);
	land(&w->s);
	_exit(0);
}

// A transaction that is not in the log is never followed by others.
static void test_a_log_with_a_gap_is_not_stored(void **state)
{
	char said[2000] = "";
	size_t len = 0;
	ssize_t n;
	int fds[2], status;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		run_out(fds[1]);
	close(fds[1]);
	while ((n = read(fds[0], said + len, sizeof(said) - 1 - len)) > 0)
		len += (size_t)n;
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	assert_non_null(strstr(said, "out of memory"));
}

// ---- bounds ----

// All threads sleep, and the keeper looks at nothing by itself: what is tested must not depend on it.
static void wait_still(struct scheduler *s)
{
	ns_t give_up = clock_now() + DEADLINE;
	bool still = false;

	while (!still) {
		assert_true(clock_now() < give_up);
		pthread_mutex_lock(&s->lock);
		s->core->garbage.at = s->core->unblock_failed_at = NS_NEVER;
		still = s->keeper_until == NS_NEVER && s->idle == 1 && !s->woken;
		if (!still)
			pthread_cond_signal(&s->due);
		pthread_mutex_unlock(&s->lock);
	}
}

// Workers wait while too much is not durable. If nothing of it has to be, they go on when that is
// seen, and not when something else happens.
static void test_workers_go_on_without_a_commit(void **state)
{
	struct scheduler *s = &((struct world *)*state)->s;
	struct batch *batch = calloc(1, sizeof(*batch));
	ns_t give_up = clock_now() + DEADLINE;

	while (land(s))
		;
	wait_still(s);
	pthread_mutex_lock(&s->lock);
	while (scheduler_backlog(s) < SCHEDULER_BACKLOG_MAX) {
		sched_txn_begin(s->core->state);
		sched_txn_end(s->core->state);
	}
	pthread_mutex_unlock(&s->lock);
	assert_int_equal(scheduler_job_put(s, &job), 0);
	assert_int_equal(instances(s), 0);
	assert_true(scheduler_join(s, batch));
	while (!instances(s))
		assert_true(clock_now() < give_up);
	batch_destroy(batch);
}

// What there was to store when the committing thread was told first.
struct told {
	struct scheduler *s;
	uint32_t count, instances; // count: atomic
};

// With the lock held.
static void tell(void *user)
{
	struct told *t = user;

	if (!t->count)
		t->instances = t->s->core->state->head.counts[SCHED_TABLE_INSTANCES];
	__atomic_add_fetch(&t->count, 1, __ATOMIC_SEQ_CST);
}

static void wait_told(const struct told *t)
{
	ns_t give_up = clock_now() + DEADLINE;

	while (!__atomic_load_n(&t->count, __ATOMIC_SEQ_CST))
		assert_true(clock_now() < give_up);
}

// A job and its instance take one sync, not one each.
static void test_a_job_is_stored_with_its_placement(void **state)
{
	struct scheduler *s = &((struct world *)*state)->s;
	struct told told = {.s = s};

	while (land(s))
		;
	wait_still(s);
	scheduler_commits(s, tell, &told);
	assert_int_equal(scheduler_job_put(s, &job), 0);
	wait_told(&told);
	assert_int_equal(told.instances, 1);
	wait_still(s);
	assert_int_equal(told.count, 1);
	scheduler_commits(s, NULL, NULL);
}

// What is in the log does not wait for a plan that takes long.
static void test_a_large_job_is_stored_before_its_placements(void **state)
{
	struct scheduler *s = &((struct world *)*state)->s;
	struct told told = {.s = s};
	struct sched_group large = group;
	struct sched_spec spec = job;

	while (land(s))
		;
	wait_still(s);
	scheduler_commits(s, tell, &told);
	large.count = 65;
	spec.groups = &large;
	assert_int_equal(scheduler_job_put(s, &spec), 0);
	wait_told(&told);
	assert_int_equal(told.instances, 0);
	wait_still(s);
	scheduler_commits(s, NULL, NULL);
}

// A worker that was woken and may not plan any more tells instead.
static void test_a_worker_without_work_tells(void **state)
{
	struct scheduler *s = &((struct world *)*state)->s;
	struct told told = {.s = s};
	uint32_t slot, woken;

	while (land(s))
		;
	wait_still(s);
	scheduler_commits(s, tell, &told);
	pthread_mutex_lock(&s->lock);
	sched_core_job_put(s->core, &job, scheduler_now(s), &slot);
	scheduler_kick(s);
	woken = s->woken;
	while (scheduler_backlog(s) < SCHEDULER_BACKLOG_MAX) {
		sched_txn_begin(s->core->state);
		sched_txn_end(s->core->state);
	}
	pthread_mutex_unlock(&s->lock);
	assert_int_equal(woken, 1);
	wait_told(&told);
	assert_int_equal(told.instances, 0);
	scheduler_commits(s, NULL, NULL);
}

static void fill_log(struct scheduler *s, size_t len)
{
	struct sched_spec spec = job;
	char name[48];

	for (size_t end = s->log_bytes + len, k = 0; s->log_bytes < end; k++) {
		snprintf(name, sizeof(name), "%zu-%zu", end, k);
		spec.name = name;
		assert_int_equal(scheduler_job_put(s, &spec), 0);
		land(s);
	}
}

// Where there is no room for a checkpoint there is for what is smaller, and it goes without one.
static void test_a_refused_checkpoint_waits(void **state)
{
	struct scheduler *s = &((struct world *)*state)->s;
	struct batch *batch = calloc(1, sizeof(*batch));
	ns_t give_up = clock_now() + DEADLINE;
	size_t enough;

	s->checkpoint_after = 20000;
	while (!s->checkpoint.running && !s->checkpoints)
		fill_log(s, 1);
	while (!scheduler_checkpoint_waits(s))
		assert_true(clock_now() < give_up);
	assert_true(scheduler_pending(s));
	scheduler_ride(s, batch);
	batch_destroy(batch);
	assert_true(s->checkpoint.rides);
	scheduler_landed(s, -ENOSPC);
	// A batch may be large: workers go on by themselves.
	enough = s->log_bytes + s->checkpoint_after;
	for (fill_log(s, 1); s->log_bytes <= enough; fill_log(s, 1))
		assert_false(s->checkpoint.running || s->checkpoint.encoded);
	while (!s->checkpoints) {
		fill_log(s, 1);
		assert_true(clock_now() < give_up);
	}
}

static size_t removals(const struct batch *b)
{
	size_t n = 0;

	for (size_t i = 0; i < b->write_count; i++)
		n += b->writes[i].value == NULL;
	return n;
}

// A checkpoint may take the place of tens of thousands of records: no commit is long for that.
static void test_spent_logs_go_a_few_at_a_time(void **state)
{
	struct scheduler *s = &((struct world *)*state)->s;
	ns_t give_up = clock_now() + DEADLINE;
	size_t gone = 0;

	s->checkpoint_after = 100000;
	while (!s->checkpoints || s->spent_logs) {
		struct batch *batch = calloc(1, sizeof(*batch));
		size_t n;

		assert_true(clock_now() < give_up);
		// Not between the parts of one: what it writes takes the next with it.
		if (!s->checkpoint.running && !s->checkpoint.encoded && !s->checkpoints)
			fill_log(s, 1);
		if (scheduler_pending(s)) {
			scheduler_ride(s, batch);
			scheduler_landed(s, 0);
		}
		n = removals(batch);
		assert_true(n <= 128);
		gone += n;
		batch_destroy(batch);
	}
	assert_true(gone > 256);
	assert_true(s->log_count < 64);
}

// What is dispatched while the store takes nothing does not fill the memory.
static void test_dispatches_wait_for_the_store(void **state)
{
	const struct sched_launch launch = {.templated = true};
	struct scheduler *s = &((struct world *)*state)->s;
	struct sched_spec template = job;
	char payload[SCHED_PAYLOAD_MAX] = "";
	struct sched_dispatch d = {.payload = payload, .payload_len = sizeof(payload)};
	struct scheduler_child child;
	size_t made = 0;
	int rc;

	template.name = "t";
	template.type = SCHED_TYPE_BATCH;
	template.launch = &launch;
	assert_int_equal(scheduler_job_put(s, &template), 0);
	while (!(rc = scheduler_dispatch(s, "default", "t", &d, &child)))
		assert_true(++made * sizeof(payload) < 2 * SCHEDULER_REQUESTS_MAX);
	assert_int_equal(rc, -EDQUOT);
	assert_non_null(strstr(d.why, "not stored yet"));
	assert_true(made > 100);
	while (land(s))
		;
	while (scheduler_untold(s))
		scheduler_tell(s);
	assert_int_equal(scheduler_dispatch(s, "default", "t", &d, &child), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_log_with_a_gap_is_not_stored),
		cmocka_unit_test_setup_teardown(
			test_workers_go_on_without_a_commit, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_a_job_is_stored_with_its_placement, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_a_large_job_is_stored_before_its_placements, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_worker_without_work_tells, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_refused_checkpoint_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_spent_logs_go_a_few_at_a_time, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_dispatches_wait_for_the_store, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
