// SPDX-License-Identifier: Apache-2.0
// The main thread of bench_durable.h: as controlplane/main.c, without an API, peers and hosts.
#include "test/bench/bench_durable.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "controlplane/registry_internal.h"
#include "controlplane/scheduler_internal.h"
#include "controlplane/store_journal.h"

#define SMALL_PREFIX "small-"

void durable_must(int rc, const char *what)
{
	if (rc) {
		fprintf(stderr, "bench-sched-durable: %s: %s\n", what, strerror(-rc));
		exit(1);
	}
}

// ---- deeds ----

static void small_placed(struct durable *d, const char *name)
{
	uint32_t number = (uint32_t)strtoul(name + strlen(SMALL_PREFIX), NULL, 10);

	uint64_t took = (uint64_t)(clock_now() - d->small.due[number]);

	hist_add(&d->small.latency, took);
	seconds_add(&d->small.seconds, took);
	d->small.placed++;
}

static void placed(void *user, const struct scheduler_placement *p)
{
	struct durable *d = user;

	d->placed++;
	if (strncmp(p->name, SMALL_PREFIX, strlen(SMALL_PREFIX)) == 0)
		small_placed(d, p->name);
}

static void stopped(void *user, const char *id, bool lost)
{
	struct durable *d = user;

	(void)id;
	d->lost += lost;
}

static void ended(void *user, const char *id)
{
	(void)user;
	(void)id;
}

static const struct scheduler_deeds deeds = {placed, stopped, ended, ended};

// ---- the store, with a watch ----

static struct timed_store *timed(struct store *store)
{
	return (struct timed_store *)store;
}

static int timed_get(
	struct store *store, const char *key, void **value, size_t *len, uint64_t *version)
{
	return store_get(timed(store)->inner, key, value, len, version);
}

static int timed_list(struct store *store, const char *prefix, const char *after,
	int (*each)(void *user, const struct store_record *record), void *user)
{
	return store_list(timed(store)->inner, prefix, after, each, user);
}

static int timed_commit(struct store *store, const struct store_txn *txn)
{
	struct timed_store *t = timed(store);
	ns_t start = clock_now();
	int rc = store_commit(t->inner, txn);

	hist_add(&t->commit, (uint64_t)(clock_now() - start));
	__atomic_fetch_add(&t->commits, 1, __ATOMIC_RELAXED);
	return rc;
}

static int timed_stat(struct store *store, struct store_stat *out)
{
	return store_stat(timed(store)->inner, out);
}

static void timed_close(struct store *store)
{
	store_close(timed(store)->inner);
}

static void put_watch(struct durable *d)
{
	static const struct store_ops ops = {
		timed_get, timed_list, timed_commit, timed_stat, timed_close};

	d->timed.base.ops = &ops;
	d->timed.inner = d->store;
	d->store = &d->timed.base;
}

// ---- running ----

static void watch(struct durable *d, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	if (fd < 0 || epoll_ctl(d->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
		durable_must(-errno, "cannot wait for events");
}

static char *path_in(const struct durable *d, const char *name)
{
	char *path;

	if (asprintf(&path, "%s/%s", d->dir, name) < 0)
		durable_must(-ENOMEM, "a path");
	return path;
}

static void remove_files(const struct durable *d)
{
	static const char *const names[] = {"store.mdb", "journal", "lock"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char *path = path_in(d, names[i]);

		unlink(path);
		free(path);
	}
}

static void put_journal(struct durable *d)
{
	int rc;
	struct store *store = store_journal_open(d->dir, d->store, 0, &rc);

	durable_must(rc, "the journal");
	d->store = store;
}

static void make_directory(const char *path)
{
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		durable_must(-errno, path);
}

void durable_start(struct durable *d, const struct durable_options *options)
{
	int rc;

	*d = (struct durable){.options = *options};
	if (asprintf(&d->dir, "%s/bench-sched", options->dir) < 0)
		durable_must(-ENOMEM, "a path");
	make_directory(options->dir);
	make_directory(d->dir);
	remove_files(d);
	d->store = store_lmdb_open(d->dir, &rc);
	durable_must(rc, "the store");
	if (!options->no_journal)
		put_journal(d);
	put_watch(d);
	durable_must(registry_init(&d->registry, d->store), "the registry");
	durable_must(scheduler_start(&d->scheduler, d->store, options->workers, 1, &deeds, d),
		"the scheduler");
	d->rider = scheduler_rider(&d->scheduler);
	d->registry.rider = &d->rider;
	durable_must(committer_start(&d->committer, &d->registry), "the committing thread");
	scheduler_commits(&d->scheduler, committer_wake, &d->committer);
	d->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	d->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	watch(d, d->committer.event_fd);
	watch(d, d->scheduler.event_fd);
	watch(d, d->timer_fd);
}

static void settle(struct durable *d, bool wait)
{
	const struct commit_result r = committer_take(&d->committer, wait);

	durable_must(r.error, "a commit");
	durable_must(r.alone_error, "a commit");
	if (r.settled)
		registry_settle(&d->registry, 0);
}

static void hand_over(struct durable *d)
{
	struct batch *batch = registry_seal(&d->registry);

	if (batch)
		committer_submit(&d->committer, batch);
}

static void arm(struct durable *d, ns_t until)
{
	const struct itimerspec at = {.it_value = {until / NS_PER_SEC, until % NS_PER_SEC}};

	if (until == d->armed)
		return;
	d->armed = until;
	timerfd_settime(d->timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
}

void durable_turn(struct durable *d, ns_t until)
{
	struct epoll_event events[4];
	bool now = until <= clock_now();

	if (!now)
		arm(d, until);
	if (epoll_wait(d->epoll_fd, events, 4, now ? 0 : -1) < 0 && errno != EINTR)
		durable_must(-errno, "cannot wait");
	settle(d, false);
	scheduler_settle(&d->scheduler);
	hand_over(d);
}

bool durable_busy(struct durable *d)
{
	struct sched_core *core = d->scheduler.core;
	struct sched_broker_stats stats;
	bool found;

	pthread_mutex_lock(&d->scheduler.lock);
	stats = sched_broker_stats(core->broker);
	found = stats.ready || stats.outstanding || core->queue.count ||
		scheduler_backlog(&d->scheduler);
	pthread_mutex_unlock(&d->scheduler.lock);
	return found || d->registry.sealed || scheduler_pending(&d->scheduler);
}

void durable_rest(struct durable *d)
{
	while (durable_busy(d))
		durable_turn(d, clock_now() + NS_PER_MS);
}

void durable_stop(struct durable *d)
{
	settle(d, true);
	scheduler_commits(&d->scheduler, NULL, NULL);
	committer_stop(&d->committer);
	d->registry.rider = NULL;
	scheduler_stop(&d->scheduler);
	registry_fini(&d->registry);
	store_close(d->store);
	remove_files(d);
	rmdir(d->dir);
	rmdir(d->options.dir);
	free(d->dir);
	close(d->epoll_fd);
	close(d->timer_fd);
	free(d->small.due);
}

// ---- what there is ----

void durable_add_nodes(struct durable *d, uint32_t count, uint32_t slots)
{
	const struct sched_res capacity = {slots * 100, slots * 64, UINT32_MAX, UINT32_MAX};

	for (uint32_t i = 0; i < count; i++) {
		char name[32], rack[16];
		const struct sched_attribute attributes[] = {
			{"arch", "x86_64"}, {"rack", rack}, {"unique.host", name}};

		snprintf(name, sizeof(name), "node-%u", i);
		snprintf(rack, sizeof(rack), "r%u", i % 25);
		scheduler_node_put(&d->scheduler, name, attributes, 3, &capacity);
		scheduler_node_state(&d->scheduler, name, SCHED_NODE_READY, true, false);
	}
	durable_rest(d);
}

void durable_add_job(struct durable *d, const struct durable_job *job)
{
	const struct sched_constraint only = {job->only_on, "yes", SCHED_OP_EQ};
	const struct sched_group group = {.name = "main",
		.count = job->count,
		.ask = {100, 64, 0, 1},
		.max_parallel = 4,
		.restart_hash = 1,
		.constraints = &only,
		.constraint_count = job->only_on != NULL};
	char name[64];
	const struct sched_spec spec = {.namespace = "default",
		.name = name,
		.priority = SCHED_PRIORITY_DEFAULT,
		.groups = &group,
		.group_count = 1,
		.opaque = "{}",
		.opaque_len = 2};

	snprintf(name, sizeof(name), "%s%u", job->prefix, job->number);
	durable_must(scheduler_job_put(&d->scheduler, &spec), "a job");
}

void durable_add_small(struct durable *d, ns_t due)
{
	struct durable_small *s = &d->small;

	if (s->count == s->room) {
		s->room = s->room ? s->room * 2 : 65536;
		s->due = must(realloc(s->due, s->room * sizeof(*s->due)));
	}
	s->due[s->count] = due;
	durable_add_job(
		d, &(struct durable_job){.prefix = SMALL_PREFIX, .number = s->count++, .count = 1});
}

// ---- measuring ----

struct durable_use durable_mark(struct durable *d)
{
	struct durable_use now = {.placed = d->placed,
		.commits = __atomic_load_n(&d->timed.commits, __ATOMIC_RELAXED)};
	struct timespec ts;

	pthread_mutex_lock(&d->scheduler.lock);
	now.stats = sched_applier_stats(d->scheduler.core->applier);
	pthread_mutex_unlock(&d->scheduler.lock);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	now.cpu = (ns_t)ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
	now.wall = clock_now();
	return now;
}

struct durable_use durable_since(struct durable *d, const struct durable_use *mark)
{
	struct durable_use use = durable_mark(d);

	use.wall -= mark->wall;
	use.cpu -= mark->cpu;
	use.placed -= mark->placed;
	use.commits -= mark->commits;
	use.stats.plans -= mark->stats.plans;
	use.stats.node_plans -= mark->stats.node_plans;
	use.stats.rejected_nodes -= mark->stats.rejected_nodes;
	return use;
}

size_t durable_memory(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	unsigned long kib = 0;
	char line[128];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "RssAnon: %lu", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return (size_t)kib << 10;
}
