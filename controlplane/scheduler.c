// SPDX-License-Identifier: Apache-2.0
// The threads around the scheduler's core: scheduler.h has the picture; the log is in
// scheduler_log.c.
//
// Everything in the core happens under `lock`, planning happens outside. Whoever has done something
// there ends with scheduler_kick(): what is due is done, workers and whoever commits are told what
// they have to know, each at most once. The keeper does the same when the core's time has come.
#include "controlplane/scheduler.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "controlplane/registry_internal.h"
#include "controlplane/scheduler_internal.h"
#include "sched/block.h"

#define SLEEP_MAX (60 * NS_PER_SEC)
#define QUICK_MAX 64  // instances: their plan takes no longer than to wake a thread

ns_t scheduler_now(const struct scheduler *s)
{
	return clock_now() + s->wall_offset_ns;
}

size_t scheduler_backlog(const struct scheduler *s)
{
	return s->core->state->log.out.len + s->backlog_bytes;
}

// Whoever is told so goes on after scheduler_unthrottle().
static bool is_full(struct scheduler *s)
{
	if (scheduler_backlog(s) < SCHEDULER_BACKLOG_MAX)
		return false;
	s->throttled = true;
	return true;
}

// ---- workers ----

// Once for all that it has not taken yet.
static void tell_committer(struct scheduler *s)
{
	if (s->told || !s->wake || !s->core->state->log.out.len)
		return;
	s->told = true;
	s->wake(s->wake_user);
}

// Whether what is in the log may wait for this one's plan, to go with it. Lock held.
static bool is_quick(const struct scheduler *s, const struct sched_ticket *t)
{
	const struct sched_job *j = sched_job_at(&s->core->state->head, t->job);
	const struct sched_spec *spec = j ? sched_job_spec(j) : NULL;
	uint64_t count = 0;

	if (t->type == SCHED_TYPE_SYSTEM || t->type == SCHED_TYPE_SYSBATCH)
		return false;
	for (uint32_t g = 0; spec && g < spec->group_count; g++)
		count += spec->groups[g].count;
	return count <= QUICK_MAX;
}

// Waits for work; false: the end. Called and left with the lock held.
static bool next_work(struct scheduler *s, struct sched_ticket *t, uint64_t *token)
{
	while (!s->stop) {
		if (!is_full(s) &&
			sched_core_dequeue(s->core, SCHED_MASK_ALL, scheduler_now(s), t, token) ==
				0) {
			if (!is_quick(s, t))
				tell_committer(s);
			return true;
		}
		tell_committer(s);
		s->idle++;
		pthread_cond_wait(&s->work, &s->lock);
		s->idle--;
		s->woken -= s->woken > 0;
	}
	return false;
}

// Submits the plan and applies it. 0, or -ESTALE: the work is somebody else's now. Lock held: so
// the plan is the only one in the queue.
static int submit(struct scheduler *s, struct sched_plan *plan)
{
	int rc = sched_core_submit(s->core, plan, scheduler_now(s));

	if (rc)
		return rc;
	sched_core_apply(s->core, 1, scheduler_now(s));
	while (sched_core_result(s->core))
		;
	return 0;
}

static void wait_for_state(struct scheduler_worker *w)
{
	struct scheduler *s = w->scheduler;

	while (!s->stop && s->core->state->published->index < sched_worker_min_index(w->planner)) {
		s->behind++;
		pthread_cond_wait(&s->newer, &s->lock);
		s->behind--;
	}
}

// One attempt. 0: done; -EAGAIN: once more. Called and left with the lock held.
static int attempt(struct scheduler_worker *w, const struct sched_ticket *t, uint64_t token)
{
	struct scheduler *s = w->scheduler;
	struct sched_plan *plan;
	int rc;

	wait_for_state(w);
	pthread_mutex_unlock(&s->lock);
	rc = sched_worker_plan(
		w->planner, sched_snapshot_pin(w->reader, s->core->state), scheduler_now(s), &plan);
	sched_reader_unpin(w->reader);
	pthread_mutex_lock(&s->lock);
	if (s->stop)
		return 0;
	if (rc == -EAGAIN)
		return rc;
	if (rc == -ENOENT) {
		sched_core_drop(s->core, t, token, scheduler_now(s));
		return 0;
	}
	if (!rc && submit(s, plan))
		return 0;
	if (!rc)
		rc = sched_worker_result(w->planner);
	if (rc && rc != -EAGAIN)
		sched_core_nack(s->core, t, token, scheduler_now(s));
	return rc == -EAGAIN ? rc : 0;
}

static void *work(void *arg)
{
	struct scheduler_worker *w = arg;
	struct scheduler *s = w->scheduler;
	struct sched_ticket t;
	uint64_t token;
	int rc;

	pthread_mutex_lock(&s->lock);
	while (next_work(s, &t, &token)) {
		sched_worker_begin(w->planner, &t, token);
		do {
			rc = attempt(w, &t, token);
			scheduler_kick(s);
		} while (rc == -EAGAIN && !s->stop);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

// ---- what follows from anything ----

// As many as there is work for; those that are awake look for themselves.
static void wake_workers(struct scheduler *s)
{
	uint32_t ready = sched_broker_stats(s->core->broker).ready;

	if (s->behind)
		pthread_cond_broadcast(&s->newer);
	if (!s->idle || is_full(s))
		return;
	for (; s->woken < s->idle && s->woken < ready; s->woken++)
		pthread_cond_signal(&s->work);
}

// True: there is more to do at once.
static bool follow_up(struct scheduler *s)
{
	bool more = sched_core_tick(s->core, scheduler_now(s));

	if (s->core->state->head.index != s->core->state->published->index)
		sched_publish(s->core->state);
	wake_workers(s);
	// A worker that is waking up has something to add, and tells then: one sync for both instead
	// of two, one after the other.
	if (!s->woken)
		tell_committer(s);
	return more;
}

void scheduler_kick(struct scheduler *s)
{
	if (follow_up(s) || sched_core_next(s->core) < s->keeper_until) {
		s->keeper_until = 0;
		pthread_cond_signal(&s->due);
	}
}

void scheduler_unthrottle(struct scheduler *s)
{
	if (!s->throttled || scheduler_backlog(s) >= SCHEDULER_BACKLOG_MAX)
		return;
	s->throttled = false;
	scheduler_kick(s);
}

// ---- the keeper ----

static void sleep_until(struct scheduler *s, ns_t until)
{
	ns_t at = until - s->wall_offset_ns, most = clock_now() + SLEEP_MAX;
	struct timespec ts;

	at = until == NS_NEVER || at > most ? most : at;
	ts = (struct timespec){at / NS_PER_SEC, at % NS_PER_SEC};
	s->keeper_until = until;
	pthread_cond_timedwait(&s->due, &s->lock, &ts);
	s->keeper_until = 0;
}

static void *keep(void *arg)
{
	struct scheduler *s = arg;

	pthread_mutex_lock(&s->lock);
	while (!s->stop) {
		if (follow_up(s)) {
			// Others come in between.
			pthread_mutex_unlock(&s->lock);
			sched_yield();
			pthread_mutex_lock(&s->lock);
		} else {
			sleep_until(s, sched_core_next(s->core));
		}
	}
	sched_core_stop(s->core);
	pthread_cond_broadcast(&s->work);
	pthread_cond_broadcast(&s->newer);
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

// ---- events ----

// After an event: whatever it calls for is done by the threads.
static void done(struct scheduler *s)
{
	scheduler_kick(s);
	pthread_mutex_unlock(&s->lock);
}

// But for its version.
static bool same_spec(const struct sched_spec *a, const struct sched_spec *b)
{
	struct sched_spec as_b = *a;
	struct sched_bytes x = {0}, y = {0};
	bool same;

	as_b.version = b->version;
	sched_spec_encode(&x, &as_b);
	sched_spec_encode(&y, b);
	same = !x.failed && !y.failed && x.len == y.len && memcmp(x.data, y.data, x.len) == 0;
	sched_bytes_fini(&x);
	sched_bytes_fini(&y);
	return same;
}

static const struct sched_spec *spec_of(
	struct scheduler *s, const char *namespace, const char *name, uint32_t *slot)
{
	*slot = sched_job_find(s->core->state, namespace, name);
	return *slot == SCHED_NONE ? NULL
				   : sched_job_spec(sched_job_at(&s->core->state->head, *slot));
}

int scheduler_job_put(struct scheduler *s, const struct sched_spec *spec)
{
	const struct sched_spec *old;
	uint32_t slot;
	int rc = 0;

	pthread_mutex_lock(&s->lock);
	old = spec_of(s, spec->namespace, spec->name, &slot);
	if (old && old->parent && !old->stopped)
		rc = -EEXIST;
	else if (!old || !same_spec(spec, old))
		rc = sched_core_job_put(s->core, spec, scheduler_now(s), &slot);
	done(s);
	return rc;
}

bool scheduler_job_parent(
	struct scheduler *s, const char *namespace, const char *name, char parent[64])
{
	const struct sched_spec *spec;
	uint32_t slot;
	bool has;

	pthread_mutex_lock(&s->lock);
	spec = spec_of(s, namespace, name, &slot);
	has = spec && spec->parent;
	snprintf(parent, 64, "%s", has ? spec->parent : "");
	pthread_mutex_unlock(&s->lock);
	return has;
}

void scheduler_job_delete(struct scheduler *s, const char *namespace, const char *name)
{
	uint32_t slot;

	pthread_mutex_lock(&s->lock);
	slot = sched_job_find(s->core->state, namespace, name);
	if (slot != SCHED_NONE)
		sched_core_job_stop(s->core, slot, true, scheduler_now(s));
	done(s);
}

void scheduler_quota_put(
	struct scheduler *s, const char *namespace, const struct sched_res *limit)
{
	const struct sched_quota *old;

	pthread_mutex_lock(&s->lock);
	old = sched_quota_at(
		&s->core->state->head, sched_quota_find(s->core->state, namespace));
	if (!old || memcmp(&old->limit, limit, sizeof(*limit)) != 0)
		sched_core_quota_put(s->core, namespace, limit, scheduler_now(s));
	done(s);
}

void scheduler_quota_delete(struct scheduler *s, const char *namespace)
{
	pthread_mutex_lock(&s->lock);
	sched_core_quota_del(s->core, namespace, scheduler_now(s));
	done(s);
}

void scheduler_node_put(struct scheduler *s, const char *name,
	const struct sched_attribute *attributes, uint32_t count, const struct sched_res *capacity)
{
	uint32_t slot;

	pthread_mutex_lock(&s->lock);
	sched_core_node_put(s->core, name, attributes, count, capacity, &slot);
	done(s);
}

void scheduler_node_state(
	struct scheduler *s, const char *name, int status, bool eligible, bool draining)
{
	const struct sched_node *n;
	uint32_t slot;

	pthread_mutex_lock(&s->lock);
	slot = sched_node_find(s->core->state, name);
	n = sched_node_at(&s->core->state->head, slot);
	if (n)
		sched_core_node_state(s->core, slot,
			status == SCHEDULER_NODE_STATUS_KEPT ? n->status : (uint8_t)status,
			eligible, draining, scheduler_now(s));
	done(s);
}

// Whether an instance there waits for its node to come back.
static bool waited_for(const struct sched_snapshot *now, const struct sched_node *n)
{
	for (uint32_t at = n->first_instance; at != SCHED_NONE;) {
		const struct sched_instance *i = sched_instance_at(now, at);
		const struct sched_spec *spec =
			sched_job_version(sched_job_at(now, i->job), i->version);

		if (sched_live(i) && spec && i->group < spec->group_count &&
			spec->groups[i->group].lost_after_ns)
			return true;
		at = i->next_on_node;
	}
	return false;
}

void scheduler_node_silent(struct scheduler *s, const char *name, bool eligible, bool draining)
{
	const struct sched_snapshot *now = &s->core->state->head;
	const struct sched_node *n;
	uint32_t slot;

	pthread_mutex_lock(&s->lock);
	slot = sched_node_find(s->core->state, name);
	n = sched_node_at(now, slot);
	if (n)
		sched_core_node_state(s->core, slot,
			waited_for(now, n) ? SCHED_NODE_DISCONNECTED : SCHED_NODE_DOWN, eligible,
			draining, scheduler_now(s));
	done(s);
}

void scheduler_node_drain_now(struct scheduler *s, const char *name)
{
	uint32_t slot;

	pthread_mutex_lock(&s->lock);
	slot = sched_node_find(s->core->state, name);
	if (slot != SCHED_NONE)
		sched_core_node_drain_now(s->core, slot, scheduler_now(s));
	done(s);
}

void scheduler_node_images(
	struct scheduler *s, const char *name, const char *const *images, uint32_t count)
{
	uint32_t slot;

	pthread_mutex_lock(&s->lock);
	slot = sched_node_find(s->core->state, name);
	if (slot != SCHED_NONE)
		sched_core_node_images(s->core, slot, images, count);
	pthread_mutex_unlock(&s->lock);
}

void scheduler_node_delete(struct scheduler *s, const char *name)
{
	uint32_t slot;

	pthread_mutex_lock(&s->lock);
	slot = sched_node_find(s->core->state, name);
	if (slot != SCHED_NONE)
		sched_core_node_del(s->core, slot, scheduler_now(s));
	done(s);
}

static void report(struct scheduler *s, const char *id, struct sched_report *report)
{
	if (!scheduler_id_parse(id, &report->id))
		return;
	pthread_mutex_lock(&s->lock);
	sched_core_report(s->core, report, 1, scheduler_now(s));
	done(s);
}

void scheduler_report(struct scheduler *s, const char *id, enum sched_status status, bool ready)
{
	report(s, id, &(struct sched_report){.status = (uint8_t)status, .ready = ready});
}

void scheduler_report_end(struct scheduler *s, const char *id, enum sched_status status,
	uint8_t exit_code, uint8_t exit_signal)
{
	report(s, id,
		&(struct sched_report){.status = (uint8_t)status,
			.exit_code = exit_code,
			.exit_signal = exit_signal});
}

// ---- starting and stopping ----

static int start_worker(struct scheduler *s, struct scheduler_worker *w, uint64_t seed)
{
	int rc;

	w->scheduler = s;
	s->worker_count++;
	w->planner = sched_worker_new(&s->planning, seed);
	w->reader = sched_reader_new(&s->core->state->pages);
	if (!w->planner || !w->reader)
		return -ENOMEM;
	rc = pthread_create(&w->thread, NULL, work, w);
	w->started = rc == 0;
	return -rc;
}

static int start_threads(struct scheduler *s, unsigned workers, uint64_t seed)
{
	int rc = 0;

	pthread_mutex_lock(&s->lock);
	for (unsigned i = 0; !rc && i < workers && i < SCHEDULER_WORKERS_MAX; i++)
		rc = start_worker(s, &s->workers[i], seed + i + 1);
	if (!rc) {
		rc = -pthread_create(&s->keeper, NULL, keep, s);
		s->keeper_started = rc == 0;
	}
	pthread_mutex_unlock(&s->lock);
	return rc;
}

static void init_locks(struct scheduler *s)
{
	pthread_condattr_t monotonic;

	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->work, NULL);
	pthread_cond_init(&s->newer, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&s->due, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

int scheduler_start(struct scheduler *s, struct store *store, unsigned workers, uint64_t seed,
	const struct scheduler_deeds *deeds, void *user)
{
	return scheduler_start_with(s, store, workers, seed, NULL, deeds, user);
}

int scheduler_start_with(struct scheduler *s, struct store *store, unsigned workers, uint64_t seed,
	const struct sched_worker_config *planning, const struct scheduler_deeds *deeds, void *user)
{
	int rc;

	*s = (struct scheduler){.deeds = deeds,
		.user = user,
		.checkpoint_after = SCHEDULER_CHECKPOINT_AFTER,
		.part_bytes = SCHEDULER_PART_BYTES};
	if (planning)
		s->planning = *planning;
	init_locks(s);
	s->wall_offset_ns = clock_wall() - clock_now();
	s->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->core = sched_core_new(NULL, seed);
	s->reader = s->core ? sched_reader_new(&s->core->state->pages) : NULL;
	s->checkpoint.reader = s->core ? sched_reader_new(&s->core->state->pages) : NULL;
	rc = s->event_fd < 0 ? -errno : s->reader && s->checkpoint.reader ? 0 : -ENOMEM;
	if (!rc)
		rc = scheduler_load(s, store);
	if (!rc)
		rc = sched_core_start(s->core, scheduler_now(s));
	if (!rc)
		rc = start_threads(s, workers, seed);
	if (rc)
		scheduler_stop(s);
	return rc;
}

static void stop_threads(struct scheduler *s)
{
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_broadcast(&s->work);
	pthread_cond_broadcast(&s->newer);
	pthread_cond_signal(&s->due);
	pthread_mutex_unlock(&s->lock);
	if (s->keeper_started)
		pthread_join(s->keeper, NULL);
	for (unsigned i = 0; i < s->worker_count; i++)
		if (s->workers[i].started)
			pthread_join(s->workers[i].thread, NULL);
}

void scheduler_stop(struct scheduler *s)
{
	stop_threads(s);
	scheduler_checkpoint_stop(s);
	for (unsigned i = 0; i < s->worker_count; i++) {
		struct scheduler_worker *w = &s->workers[i];

		if (w->planner)
			sched_worker_destroy(w->planner);
		if (w->reader)
			sched_reader_destroy(w->reader);
	}
	if (s->reader)
		sched_reader_destroy(s->reader);
	sched_core_destroy(s->core);
	sched_bytes_fini(&s->joining);
	sched_bytes_fini(&s->landing.bytes);
	sched_bytes_fini(&s->landed.bytes);
	free(s->landing.logs);
	free(s->landed.logs);
	sched_bytes_fini(&s->spare);
	sched_bytes_fini(&s->telling.bytes);
	sched_bytes_fini(&s->telling.next);
	free(s->ids);
	free(s->logs);
	free(s->strays);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->work);
	pthread_cond_destroy(&s->newer);
	pthread_cond_destroy(&s->due);
	if (s->event_fd >= 0)
		close(s->event_fd);
}
