// SPDX-License-Identifier: Apache-2.0
// The victim's main thread: victim.h. A turn is one of penstock-controlplane's: settle what the
// store has finished, do something, hand over the next batch. The store marks each commit.
//
// usage: crash-victim DIRECTORY SEED [--nodes N] [--jobs N] [--count N] [--batches N]
// [--tell-early]
#include "test/crash/victim.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controlplane/registry_internal.h"
#include "controlplane/scheduler_internal.h"
#include "test/crash/mark.h"

#define CHECKPOINT_AFTER ((size_t)8000)
#define PART_BYTES_MIN ((size_t)2000) // some checkpoints are one record, others many parts
#define PART_SIZES 9

static void stop_if(int rc, const char *what)
{
	if (rc) {
		fprintf(stderr, "victim: %s: %s\n", what, strerror(-rc));
		_Exit(4);
	}
}

static void mark_number(struct victim *v, enum mark type, uint64_t number)
{
	struct sched_bytes body = {0};

	sched_put_uint(&body, number);
	mark_send(v->mark_fd, type, &body);
	sched_bytes_fini(&body);
}

// ---- the store ----

static int add_record(void *user, const struct store_record *r)
{
	mark_put_record(user, &(struct mark_record){.key = r->key,
				      .version = r->version,
				      .len = r->len,
				      .hash = mark_hash(r->value, r->len)});
	return 0;
}

static struct victim *victim_of(struct store *store)
{
	return container_of(store, struct victim, store);
}

static int get(struct store *store, const char *key, void **value, size_t *len, uint64_t *version)
{
	return store_get(victim_of(store)->inner, key, value, len, version);
}

static int list(struct store *store, const char *prefix, const char *after,
	int (*each)(void *user, const struct store_record *record), void *user)
{
	return store_list(victim_of(store)->inner, prefix, after, each, user);
}

static int stat_of(struct store *store, struct store_stat *out)
{
	return store_stat(victim_of(store)->inner, out);
}

// The number and the last seq are in the record that each commit has.
static const struct store_write *meta_of(const struct store_txn *t)
{
	for (size_t i = 0; i < t->write_count; i++)
		if (strcmp(t->writes[i].key, REGISTRY_META_KEY) == 0)
			return &t->writes[i];
	stop_if(-EBADMSG, "a commit has no number");
	return NULL;
}

static int commit(struct store *store, const struct store_txn *t)
{
	struct victim *v = victim_of(store);
	const struct store_write *meta = meta_of(t);
	const char *seq = strstr(meta->value, "\"seq\":");
	struct sched_bytes body = {0};
	int rc;

	stop_if(seq ? 0 : -EBADMSG, "a commit has no seq");
	sched_put_uint(&body, meta->version);
	sched_put_uint(&body, strtoull(seq + strlen("\"seq\":"), NULL, 10));
	mark_put_writes(&body, t);
	mark_send(v->mark_fd, MARK_BATCH, &body);
	sched_bytes_fini(&body);
	if (v->options.tell_early)
		mark_number(v, MARK_DURABLE, meta->version);
	rc = store_commit(v->inner, t);
	if (rc)
		mark_number(v, MARK_REFUSED, meta->version);
	else if (!v->options.tell_early)
		mark_number(v, MARK_DURABLE, meta->version);
	__atomic_fetch_add(&v->batches, !rc, __ATOMIC_RELAXED);
	return rc;
}

static void open_store(struct victim *v)
{
	static const struct store_ops ops = {get, list, commit, stat_of, NULL};
	struct sched_bytes body = {0};
	int rc = 0;

	v->inner = mark_open_store(v->options.directory, &rc);
	stop_if(rc, "the store cannot be opened");
	// The first commit, of an empty store, is not told of: it is in the content.
	stop_if(registry_init(&v->registry, v->inner), "the registry cannot be read");
	v->store.ops = &ops;
	v->registry.store = &v->store;
	// Whoever listens knows nothing of it yet.
	if (!getenv(MARK_NEW_VARIABLE))
		return;
	sched_put_uint(&body, v->registry.commit.number);
	sched_put_uint(&body, v->registry.durable);
	stop_if(store_list(v->inner, "", NULL, add_record, &body), "the store cannot be listed");
	mark_send(v->mark_fd, MARK_CONTENT, &body);
	sched_bytes_fini(&body);
}

// ---- turns ----

static void hand_over(struct victim *v)
{
	struct batch *batch = registry_seal(&v->registry);

	if (batch)
		committer_submit(&v->committer, batch);
}

static void settle(struct victim *v)
{
	const struct commit_result r = committer_take(&v->committer, false);

	stop_if(r.error == -EAGAIN || r.alone_error == -EAGAIN ? -EAGAIN : 0,
		"the store is not what was written");
	// As penstock-controlplane: what was refused is undone, and the log tried again.
	if (r.settled)
		registry_settle(&v->registry, r.error);
}

static void settle_log(struct victim *v)
{
	if (!scheduler_settle(&v->scheduler))
		return;
	victim_tell_jobs(v);
	// However large the state is: one in about 20 commits.
	if (rng_below(&v->rng, 20) == 0)
		v->scheduler.checkpoint_bytes = 0;
}

static void mark_encoding(struct victim *v)
{
	if (v->scheduler.checkpoint.running && !v->encoding)
		mark_send(v->mark_fd, MARK_ENCODING, NULL);
	v->encoding = v->scheduler.checkpoint.running;
}

static void turn(struct victim *v)
{
	struct pollfd fds[] = {
		{v->committer.event_fd, POLLIN, 0}, {v->scheduler.event_fd, POLLIN, 0}};

	poll(fds, 2, 1);
	settle(v);
	settle_log(v);
	mark_encoding(v);
	victim_load(v);
	hand_over(v);
}

// ---- starting ----

static void start(struct victim *v)
{
	open_store(v);
	stop_if(scheduler_start(&v->scheduler, &v->store, 2, v->options.seed, &victim_deeds, v),
		"the scheduler cannot be started");
	pthread_mutex_lock(&v->scheduler.lock);
	v->scheduler.core->config.gc_age_ns = NS_PER_SEC / 2;
	pthread_mutex_unlock(&v->scheduler.lock);
	v->scheduler.checkpoint_after = CHECKPOINT_AFTER;
	v->scheduler.part_bytes = PART_BYTES_MIN << rng_below(&v->rng, PART_SIZES);
	v->rider = scheduler_rider(&v->scheduler);
	v->registry.rider = &v->rider;
	stop_if(committer_start(&v->committer, &v->registry), "no committing thread");
	scheduler_commits(&v->scheduler, committer_wake, &v->committer);
	victim_meet(v);
	registry_observe(&v->registry, victim_apply, v);
	mark_send(v->mark_fd, MARK_READY, NULL);
}

static uint32_t number_of(const char *text)
{
	return text ? (uint32_t)strtoul(text, NULL, 10) : 0;
}

static struct victim_options parse(int argc, char **argv)
{
	struct victim_options o = {.nodes = 20, .jobs = 60, .count = 200};

	if (argc < 3) {
		fprintf(stderr, "usage: crash-victim DIRECTORY SEED [OPTIONS]\n");
		exit(2);
	}
	o.directory = argv[1];
	o.seed = strtoull(argv[2], NULL, 10);
	for (int i = 3; i < argc; i++) {
		if (strcmp(argv[i], "--tell-early") == 0)
			o.tell_early = true;
		else if (strcmp(argv[i], "--nodes") == 0)
			o.nodes = number_of(argv[++i]);
		else if (strcmp(argv[i], "--jobs") == 0)
			o.jobs = number_of(argv[++i]);
		else if (strcmp(argv[i], "--count") == 0)
			o.count = number_of(argv[++i]);
		else if (strcmp(argv[i], "--batches") == 0)
			o.batches = number_of(argv[++i]);
	}
	o.jobs = o.jobs < VICTIM_JOBS_MAX ? o.jobs : VICTIM_JOBS_MAX;
	return o;
}

int main(int argc, char **argv)
{
	static struct victim v;

	v.options = parse(argc, argv);
	v.mark_fd = (int)number_of(getenv(MARK_FD_VARIABLE));
	rng_seed(&v.rng, v.options.seed);
	start(&v);
	while (!v.options.batches ||
		__atomic_load_n(&v.batches, __ATOMIC_RELAXED) < v.options.batches)
		turn(&v);
	// It ends as it would be killed: nothing is stopped.
	mark_send(v.mark_fd, MARK_END, NULL);
	_Exit(0);
}
