// SPDX-License-Identifier: Apache-2.0
// The victim's main thread: victim.h. A turn is one of penstock-controlplane's: settle what the
// store has finished, do something, hand over the next batch; with a mark at each step.
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

static void open_store(struct victim *v)
{
	struct sched_bytes body = {0};
	int rc = 0;

	v->store = mark_open_store(v->options.directory, &rc);
	stop_if(rc, "the store cannot be opened");
	stop_if(registry_init(&v->registry, v->store), "the registry cannot be read");
	// Whoever listens knows nothing of it yet.
	if (!getenv(MARK_NEW_VARIABLE))
		return;
	sched_put_uint(&body, v->registry.meta_version);
	sched_put_uint(&body, v->registry.durable);
	stop_if(store_list(v->store, "", NULL, add_record, &body), "the store cannot be listed");
	mark_send(v->mark_fd, MARK_CONTENT, &body);
	sched_bytes_fini(&body);
}

static bool pending(void *user)
{
	return scheduler_pending(&((struct victim *)user)->scheduler);
}

static void ride(void *user, struct batch *batch)
{
	scheduler_ride(&((struct victim *)user)->scheduler, batch);
}

static void landed(void *user, int error)
{
	scheduler_landed(&((struct victim *)user)->scheduler, error);
}

// ---- turns ----

static void hand_over(struct victim *v)
{
	const struct batch *batch = registry_seal(&v->registry);
	struct sched_bytes body = {0};

	if (!batch)
		return;
	sched_put_uint(&body, v->registry.meta_version);
	sched_put_uint(&body, batch->last_seq);
	mark_put_writes(&body, batch);
	mark_send(v->mark_fd, MARK_BATCH, &body);
	sched_bytes_fini(&body);
	if (v->options.tell_early)
		mark_number(v, MARK_DURABLE, v->registry.meta_version);
	committer_submit(&v->committer, batch);
}

static void settle(struct victim *v)
{
	struct store_stat stat;
	int result;

	if (!committer_take(&v->committer, false, &result, &stat))
		return;
	if (result) {
		// As penstock-controlplane: it is undone, and tried again.
		stop_if(result == -EAGAIN ? result : 0, "the store is not what was written");
		mark_number(v, MARK_REFUSED, v->registry.meta_version);
		registry_settle(&v->registry, result);
		return;
	}
	if (!v->options.tell_early)
		mark_number(v, MARK_DURABLE, v->registry.meta_version);
	registry_settle(&v->registry, 0);
	victim_tell_jobs(v);
	v->batches++;
	// However large the state is: one in about 20 batches.
	if (rng_below(&v->rng, 20) == 0)
		v->scheduler.checkpoint_bytes = 0;
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
	victim_load(v);
	scheduler_quiet(&v->scheduler);
	hand_over(v);
}

// ---- starting ----

static void start(struct victim *v)
{
	open_store(v);
	stop_if(committer_start(&v->committer, v->store), "no committing thread");
	stop_if(scheduler_start(&v->scheduler, v->store, 2, v->options.seed, &victim_deeds, v),
		"the scheduler cannot be started");
	pthread_mutex_lock(&v->scheduler.lock);
	v->scheduler.core->config.gc_age_ns = NS_PER_SEC / 2;
	pthread_mutex_unlock(&v->scheduler.lock);
	v->scheduler.checkpoint_after = CHECKPOINT_AFTER;
	v->scheduler.part_bytes = PART_BYTES_MIN << rng_below(&v->rng, PART_SIZES);
	v->rider = (struct registry_rider){pending, ride, landed, v};
	v->registry.rider = &v->rider;
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
	while (!v.options.batches || v.batches < v.options.batches)
		turn(&v);
	// It ends as it would be killed: nothing is stopped.
	mark_send(v.mark_fd, MARK_END, NULL);
	_Exit(0);
}
