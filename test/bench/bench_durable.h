// SPDX-License-Identifier: Apache-2.0
// The whole path of a placement without hosts: the control plane's registry, store, committing
// thread and scheduler, run by a main thread as in controlplane/main.c. What is told of (deeds) is
// counted.
#pragma once

#include "controlplane/commit.h"
#include "controlplane/scheduler.h"
#include "lib/base/hist.h"
#include "test/bench/bench_seconds.h"

struct durable_options {
	const char *dir; // the store is in `bench-sched` there; made, and removed at the end
	unsigned workers;
	bool json;
	bool no_journal;
};

// Small jobs with one container each, whose way is timed: from when they were due to when their
// placement was told.
struct durable_small {
	ns_t *due; // by number
	uint32_t count, room;
	uint64_t placed;
	struct hist latency;
	struct seconds seconds;
};

// A store that times its commits.
struct timed_store {
	struct store base;
	struct store *inner;
	struct hist commit;  // of the committing thread; read when it rests
	uint64_t commits;    // atomic
};

struct durable {
	struct durable_options options;
	char *dir;
	struct timed_store timed;
	struct store *store;
	struct registry registry;
	struct registry_rider rider;
	struct committer committer;
	struct scheduler scheduler;
	int epoll_fd, timer_fd;
	ns_t armed; // what the timer is set to
	uint64_t placed, lost; // deeds
	struct durable_small small;
};

// What a stretch of work took.
struct durable_use {
	ns_t wall, cpu;
	uint64_t placed, commits;
	struct sched_applier_stats stats;
};

void durable_must(int rc, const char *what);
void durable_start(struct durable *d, const struct durable_options *options);
// Removes what it stored.
void durable_stop(struct durable *d);
// One turn of the main thread; waits for something to happen, until `until` at most.
void durable_turn(struct durable *d, ns_t until);
// Something that happened is not worked off, or not told yet.
bool durable_busy(struct durable *d);
// Turns until all that happened is durable and told.
void durable_rest(struct durable *d);

void durable_add_nodes(struct durable *d, uint32_t count, uint32_t slots);
struct durable_job {
	const char *prefix;
	uint32_t number, count;
	const char *only_on; // an attribute that the node must have: NULL: any node
};
void durable_add_job(struct durable *d, const struct durable_job *job);
// A small job that was due then.
void durable_add_small(struct durable *d, ns_t due);

// Begins and ends a stretch.
struct durable_use durable_mark(struct durable *d);
struct durable_use durable_since(struct durable *d, const struct durable_use *mark);
// Bytes of memory of this process that are no file's.
size_t durable_memory(void);
