// SPDX-License-Identifier: Apache-2.0
// A control plane without sockets, that works until it is killed: registry, scheduler with its
// threads, committing thread, journal and LMDB as penstock-controlplane puts them together, under a
// load of random changes.
#pragma once

#include "controlplane/commit.h"
#include "controlplane/scheduler.h"
#include "lib/base/rng.h"

#define VICTIM_JOBS_MAX 200
#define VICTIM_IDS 4096
#define VICTIM_CHILDREN 256
#define VICTIM_TEMPLATES 4

struct victim_options {
	const char *directory;
	uint64_t seed;
	uint32_t nodes, jobs, count; // instances of a job: at most
	uint32_t batches;            // then it ends by itself; 0: never
	bool tell_early;             // what it should not do: so that the test can be seen to fail
};

// The newest change of a job.
struct victim_job {
	uint64_t index; // of the scheduler; 0: told, or nothing to tell
	char text[32];
};

// A job that was dispatched and is not durable yet.
struct victim_child {
	uint64_t index, hash;
	char name[64];
};

struct victim {
	struct victim_options options;
	struct store store; // that of the registry: marks each commit
	struct store *inner;
	struct registry registry;
	struct committer committer;
	struct scheduler scheduler;
	struct registry_rider rider;
	struct rng rng;
	int mark_fd;
	struct victim_job jobs[VICTIM_JOBS_MAX];
	struct victim_child children[VICTIM_CHILDREN];
	uint32_t child_count;
	// Instances that hosts would report on: a ring of ids; the oldest are forgotten.
	char ids[VICTIM_IDS][SCHEDULER_ID_BYTES];
	uint32_t id_first, id_count;
	char ending[VICTIM_IDS][SCHEDULER_ID_BYTES]; // told to stop
	uint32_t ending_first, ending_count;
	uint64_t batches; // that are stored; atomic
	bool encoding;
};

// ---- victim_load.c ----

// A few random changes, reports and events of nodes.
void victim_load(struct victim *v);
// The scheduler is told of what is stored, and given nodes, as at the start of a control plane.
void victim_meet(struct victim *v);
// A durable change, for the registry's observer.
void victim_apply(void *user, const struct change *change);
// Tells of the jobs that are durable by now, and of those that were dispatched.
void victim_tell_jobs(struct victim *v);
extern const struct scheduler_deeds victim_deeds;
