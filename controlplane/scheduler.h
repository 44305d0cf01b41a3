// SPDX-License-Identifier: Apache-2.0
// The scheduler's threads and its log. sched/ is pure; this brings threads, time and durability.
//
//   main: event ──┐                         ┌── worker: pin a snapshot, plan ──┐
//                 ▼                         ▼                                  ▼
//        core, under one lock:  broker ─▶ evaluation     plan queue ─▶ applier: applied head
//                 │
//                 └─ log bytes ─▶ committing thread: durable ─▶ main: deeds
//
// Who has done something under the lock does all that it calls for; a worker applies its own plan:
// handing it to another thread would cost more than doing it. The committing thread takes the log
// by itself as soon as it is free; a small job that finds an idle worker goes with its first
// plan. A keeper thread sees to what is due when nothing happens.
//
// Planning holds no lock. What is in the log is told to nobody (deeds) before it is durable. A commit
// that fails is tried again with the next one: the bytes stay here.
//
// All functions belong to the main thread, but those of the committing thread.
#pragma once

#include <jansson.h>
#include <pthread.h>

#include "controlplane/registry.h"
#include "sched/sched.h"

#define SCHEDULER_WORKERS_MAX 16
#define SCHEDULER_ID_BYTES 33
#define SCHEDULER_LOG_PREFIX "sched/log/"
#define SCHEDULER_CHECKPOINT_KEY "sched/checkpoint"
#define SCHEDULER_PART_PREFIX "sched/part/"
#define SCHEDULER_PART_BYTES ((size_t)128 << 10)  // of a checkpoint in one commit
#define SCHEDULER_CHECKPOINT_AFTER ((size_t)4 << 20)  // of logs beyond the size of the last one
// Not yet durable, or not yet told; then no more work is handed out. Whatever is decided next stands
// behind it, so it is no more than a disk takes in some ms.
#define SCHEDULER_BACKLOG_MAX ((size_t)256 << 10)
// The same for what people ask for: dispatches bring bytes of their own, and would fill the memory
// while the store takes nothing.
#define SCHEDULER_REQUESTS_MAX ((size_t)16 << 20)
#define SCHEDULER_NODE_STATUS_KEPT (-1)

struct scheduler_placement {
	const char *id, *namespace, *name, *node;
	uint32_t version;
	const void *opaque;  // of the job's version
	size_t opaque_len;
	const struct sched_spec *spec;  // the job's version
	const struct sched_instance *instance;
};

struct scheduler_note {
	const char *namespace, *name;  // of the function or job
	const char *type;
	uint64_t evaluation;  // it is about; 0: about the job
	const char *text;
};

// What has become durable, in its order. Called from scheduler_settle() and scheduler_start().
struct scheduler_deeds {
	void (*placed)(void *user, const struct scheduler_placement *p);
	void (*stopped)(void *user, const char *id, bool lost);
	void (*ended)(void *user, const char *id);
	void (*gone)(void *user, const char *id);
	// It goes on under another version. May be NULL.
	void (*updated)(void *user, const char *id, uint32_t version);
	// Worth an event; may be NULL. Not told again at a start.
	void (*noted)(void *user, const struct scheduler_note *note);
};

struct scheduler_worker {
	struct scheduler *scheduler;
	struct sched_worker *planner;
	struct sched_reader *reader;
	pthread_t thread;
	bool started;
};

#define SCHEDULER_NOTES_MAX 120  // a minute

struct scheduler_notes {
	ns_t since;
	unsigned count;
	uint64_t left_out, untold;  // since the start, since the last one that was told
};

// A record of the log in the store.
struct scheduler_log {
	uint64_t index;  // of its last transaction
	size_t len;
};

// Of a checkpoint, in the store.
struct scheduler_part {
	uint64_t index;  // of the checkpoint
	uint32_t number;
};

// A checkpoint on its way: encoded by a thread of its own from a pinned snapshot, then it rides.
struct scheduler_checkpoint {
	pthread_t thread;
	bool running;  // the thread is to be joined
	bool encoded;  // and it was; then it rides, a part in each batch
	bool rides;    // it, or its next part, is with the store
	bool last;     // and that is all of it
	uint32_t parts;  // that are in the store
	int rc;
	uint64_t index;  // it covers all transactions up to this one
	struct sched_reader *reader;
	const struct sched_snapshot *snapshot;
	struct sched_encoder out;
	size_t len;
	int event_fd;
	uint64_t done;  // atomic: encoded, or rc; alone in its word
};

// Of the log, durable since the main thread looked.
struct scheduler_landing {
	struct sched_bytes bytes;
	struct scheduler_log *logs;
	size_t count, room;
};

// What is durable and not told yet.
struct scheduler_telling {
	struct sched_bytes bytes, next;  // next: landed since these were begun
	struct sched_decoder decoder;    // of bytes
	bool open;                       // within a transaction
	size_t told;                     // bytes that are still in the backlog
};

struct scheduler {
	struct sched_core *core;
	pthread_mutex_t lock;
	pthread_cond_t work;   // for idle workers: there is some
	pthread_cond_t newer;  // for workers that are behind
	pthread_cond_t due;   // for the keeper: there is more to do, or earlier
	pthread_t keeper;
	ns_t keeper_until;    // the keeper sleeps until then; 0: it is awake
	bool keeper_started, stop;
	void (*wake)(void *user);  // whoever commits: there are bytes
	void *wake_user;
	bool told;             // it has been, and has not taken them yet
	bool throttled;        // somebody waits for the backlog to shrink
	unsigned idle, woken;  // workers that wait for work, and how many of them were told of some
	unsigned behind;       // workers that wait for a newer state
	struct scheduler_worker workers[SCHEDULER_WORKERS_MAX];
	unsigned worker_count;
	struct sched_worker_config planning;  // of all workers
	struct sched_reader *reader;  // of the main thread
	int event_fd;                 // readable when there is something for scheduler_settle()
	ns_t wall_offset_ns;
	const struct scheduler_deeds *deeds;
	void *user;
	struct sched_bytes joining;  // with the store, or waiting for the next commit; of its thread
	struct sched_bytes spare;    // swapped with the core's log; of the same thread
	size_t backlog_bytes;        // taken from the core, not told yet; under the lock
	struct scheduler_landing landing;  // under the lock
	struct scheduler_landing landed;   // taken from there; swapped with it
	char (*ids)[SCHEDULER_ID_BYTES];  // of instances, by slot, as far as it is durable
	uint32_t id_room;
	size_t log_bytes, checkpoint_bytes;  // in the store, but for spent logs
	struct scheduler_log *logs;
	size_t log_first, log_count, log_room;  // in the store: from first on
	size_t spent_logs, spent_ridden;  // the first of these: covered by the checkpoint, to be removed
	size_t checkpoint_after;
	size_t checkpoint_retry;  // the last one came to nothing: log_bytes beyond which one is made
	struct scheduler_checkpoint checkpoint;
	uint64_t checkpoints;  // written since the start
	uint64_t loaded_index; // of the checkpoint that was read
	struct scheduler_part stored;  // the checkpoint in the store has so many parts; 0: it is one record
	struct scheduler_part *strays;  // parts in the store of checkpoints that came to nothing
	size_t stray_count, stray_room, strays_ridden;
	size_t part_bytes;
	struct scheduler_notes notes;
	struct scheduler_telling telling;
	uint64_t durable_index;  // of the last transaction that is durable
};

// Reads the log; tells the deeds of what is there; starts the threads. 0 or -E... .
int scheduler_start(struct scheduler *s, struct store *store, unsigned workers, uint64_t seed,
	const struct scheduler_deeds *deeds, void *user);
// The same, but how workers choose: NULL is the least loaded node, without preemption.
int scheduler_start_with(struct scheduler *s, struct store *store, unsigned workers, uint64_t seed,
	const struct sched_worker_config *planning, const struct scheduler_deeds *deeds, void *user);
// Stops the threads. What was not durable is lost.
void scheduler_stop(struct scheduler *s);

// ---- events ----

// The same again is no event. 0; -EINVAL: beyond a limit of the scheduler; -EEXIST: a job has made
// one of this name; -ENOMEM.
int scheduler_job_put(struct scheduler *s, const struct sched_spec *spec);
// Stops all its instances, and the jobs it has made, and forgets it.
void scheduler_job_delete(struct scheduler *s, const char *namespace, const char *name);
// Calls each for the jobs that are not stopped.
void scheduler_each_job(struct scheduler *s,
	void (*each)(void *user, const char *namespace, const char *name), void *user);
// The job that has made this one. False: none has.
bool scheduler_job_parent(
	struct scheduler *s, const char *namespace, const char *name, char parent[64]);
// What the jobs of a namespace may have together.
void scheduler_quota_put(
	struct scheduler *s, const char *namespace, const struct sched_res *limit);
void scheduler_quota_delete(struct scheduler *s, const char *namespace);
void scheduler_each_quota(
	struct scheduler *s, void (*each)(void *user, const char *namespace), void *user);
void scheduler_node_put(struct scheduler *s, const char *name,
	const struct sched_attribute *attributes, uint32_t count, const struct sched_res *capacity);
// status: enum sched_node_status, or SCHEDULER_NODE_STATUS_KEPT.
void scheduler_node_state(
	struct scheduler *s, const char *name, int status, bool eligible, bool draining);
// Its lease is over: it is down, or disconnected if any job there waits for such nodes.
void scheduler_node_silent(
	struct scheduler *s, const char *name, bool eligible, bool draining);
// The time to drain it is over: what is left there is stopped.
void scheduler_node_drain_now(struct scheduler *s, const char *name);
// All images that it has. Not durable: its host tells it again.
void scheduler_node_images(
	struct scheduler *s, const char *name, const char *const *images, uint32_t count);
void scheduler_node_delete(struct scheduler *s, const char *name);
// Calls each for the nodes.
void scheduler_each_node(
	struct scheduler *s, void (*each)(void *user, const char *name), void *user);
// Copies what is known of a node; "" if it is not.
void scheduler_node_attribute(
	struct scheduler *s, const char *name, const char *key, char *out, size_t room);
void scheduler_report(
	struct scheduler *s, const char *id, enum sched_status status, bool ready);
// One that has ended.
void scheduler_report_end(struct scheduler *s, const char *id, enum sched_status status,
	uint8_t exit_code, uint8_t exit_signal);

// When event_fd is readable: tells of what is durable, a step of it. True: durable_index has moved.
bool scheduler_settle(struct scheduler *s);

// ---- jobs and quotas (scheduler_jobs.c) ----

// Counts by state, what it has made, when it is launched. NULL: there is none. A new reference.
json_t *scheduler_job_status(struct scheduler *s, const char *namespace, const char *name);
// A job that another has made, as a resource; NULL: there is none. A new reference.
json_t *scheduler_child(struct scheduler *s, const char *namespace, const char *name);
// Such jobs in the order of "namespace/name": of a namespace, of a parent (NULL: of all), behind a
// key. A new reference.
json_t *scheduler_children(struct scheduler *s, const char *namespace, const char *parent,
	const char *after, size_t limit);
// Stops and forgets it. 0: durable once durable_index has reached *index; -ENOENT, -ENOMEM.
int scheduler_child_delete(
	struct scheduler *s, const char *namespace, const char *name, uint64_t *index);
// What a namespace with a quota has; NULL: it has none. A new reference.
json_t *scheduler_quota_status(struct scheduler *s, const char *namespace);

// ---- requests (scheduler_requests.c) ----

struct scheduler_child {
	char name[64];
	uint64_t index;  // durable once durable_index has reached it
};
// As sched_core_dispatch(), or of a job with a schedule as sched_core_launch_now(); -EDQUOT also if
// too much waits for the store. *out is filled for 0 and -EEXIST.
int scheduler_dispatch(struct scheduler *s, const char *namespace, const char *name,
	struct sched_dispatch *d, struct scheduler_child *out);

// action: promote, pause, resume, fail. 0: *index as above; -ESRCH: no such job; -EDOM: no such
// action; -ENOENT: nothing is rolled out; -EINVAL, -EBUSY: not now; -ENOMEM. With a sentence in why,
// but for -ESRCH.
int scheduler_deployment_act(struct scheduler *s, const char *namespace, const char *name,
	const char *action, uint64_t *index, char *why, size_t room);

// ---- durability: the registry's rider (registry.h) ----

// All that follows, but scheduler_commits(), as the registry calls it; the scheduler must outlive it.
struct registry_rider scheduler_rider(struct scheduler *s);
// Checkpoints, with batches.
bool scheduler_pending(struct scheduler *s);
void scheduler_ride(struct scheduler *s, struct batch *batch);
void scheduler_landed(struct scheduler *s, int error);
// The log, in the committing thread.
bool scheduler_join(struct scheduler *s, struct batch *batch);
void scheduler_joined(struct scheduler *s, int error);
// Calls wake, from any thread, when there is something to join: once, until scheduler_join() was
// called. NULL: nobody commits by itself (any more).
void scheduler_commits(struct scheduler *s, void (*wake)(void *user), void *user);

// ---- what is shown ----

// How the last evaluation of the job went; NULL if there was none. A new reference.
json_t *scheduler_explain(struct scheduler *s, const char *namespace, const char *name);
// How many evaluations wait for a worker (ready) and for room (blocked). A new reference.
json_t *scheduler_waiting(struct scheduler *s);
// Evaluations that are there: of each job the last one that ended, and those to come.
struct evaluation_query {
	const char *namespace, *job, *status;  // NULL: any
	uint64_t after, limit;                 // after: what *next was; 0: the first page
};
// A page, as resources; *next 0: it is the last one. A new reference.
json_t *scheduler_evaluations(
	struct scheduler *s, const struct evaluation_query *q, uint64_t *next);
// One; NULL if it is not there any more. A new reference.
json_t *scheduler_evaluation(struct scheduler *s, uint64_t id);
// How the current version of a job is rolled out; NULL: it is not. A new reference.
json_t *scheduler_deployment(struct scheduler *s, const char *namespace, const char *name);
// Why an instance was put where it is. A new reference.
json_t *scheduler_why(const struct sched_why *why);

// What would be done if the job were put; NULL: it is beyond a limit. It takes as long as one
// evaluation. A new reference.
json_t *scheduler_plan(struct scheduler *s, const struct sched_spec *spec);
// The same if it were deleted; NULL: there is no such job.
json_t *scheduler_plan_stop(struct scheduler *s, const char *namespace, const char *name);

struct prom;
void scheduler_metrics(struct scheduler *s, const struct prom *p);
