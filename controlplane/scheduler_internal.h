// SPDX-License-Identifier: Apache-2.0
// What scheduler.c, scheduler_log.c and scheduler_show.c share.
#pragma once

#include "controlplane/scheduler.h"

// The scheduler's clock: goes on over restarts.
ns_t scheduler_now(const struct scheduler *s);
// Bytes that are not told yet. Lock held.
size_t scheduler_backlog(const struct scheduler *s);
// If somebody waits for the backlog to shrink, and it has. Lock held.
void scheduler_unthrottle(struct scheduler *s);
// Publishes, wakes workers, tells whoever commits that there are bytes. Lock held.
void scheduler_kick(struct scheduler *s);
// Reads what is stored into the core and tells the deeds of it. Before the threads start.
int scheduler_load(struct scheduler *s, struct store *store);

// ---- telling (scheduler_tell.c) ----

// Bytes that are durable and not told yet.
size_t scheduler_untold(const struct scheduler *s);
// A step of what is to be told.
void scheduler_tell(struct scheduler *s);
// At start: what is there.
void scheduler_tell_state(struct scheduler *s);
void scheduler_id_format(const struct sched_id *id, char out[SCHEDULER_ID_BYTES]);
bool scheduler_id_parse(const char *text, struct sched_id *id);

// ---- checkpoints (scheduler_checkpoint.c) ----

// Begins one if the logs have become large. Main thread.
void scheduler_checkpoint_consider(struct scheduler *s);
// True if one waits to be stored.
bool scheduler_checkpoint_waits(const struct scheduler *s);
// Puts it, and the removal of what it covers, into the batch.
void scheduler_checkpoint_ride(struct scheduler *s, struct batch *batch);
// What became of it.
void scheduler_checkpoint_landed(struct scheduler *s, int error);
void scheduler_checkpoint_stop(struct scheduler *s);

// ---- checkpoints in parts (scheduler_parts.c) ----

#define SCHEDULER_HEAD_BYTES 24

// The record that makes parts a checkpoint.
void scheduler_head_write(
	uint8_t head[SCHEDULER_HEAD_BYTES], const struct scheduler_part *stored, size_t len);
void scheduler_part_key(char key[STORE_KEY_MAX], const struct scheduler_part *part);
// The checkpoint in the store, whole: free() it. Notes what is left of others. 0; -ENOENT: there is
// none; -EBADMSG; -EIO, -ENOMEM.
int scheduler_parts_load(
	struct scheduler *s, struct store *store, void **bytes, size_t *len, uint64_t *index);
// Removes strays, a few in each batch.
void scheduler_stray_add(struct scheduler *s, uint64_t index, uint32_t count);
void scheduler_strays_ride(struct scheduler *s, struct batch *batch);
void scheduler_strays_landed(struct scheduler *s, int error);

// The checkpoint covers the logs up to this index: they go, a few in each batch.
void scheduler_logs_spend(struct scheduler *s, uint64_t index);
// The key of a record of the log.
void scheduler_log_key(char key[STORE_KEY_MAX], uint64_t index);

// Notes what is worth an event of a change that is durable (scheduler_notes.c).
void scheduler_note(
	struct scheduler *s, const struct sched_snapshot *now, const struct sched_change *c);

// ---- what is shown (scheduler_evaluations.c) ----

// The rest of "because ...".
const char *scheduler_because(uint8_t trigger);
const char *scheduler_eval_status(uint8_t status);
// What an evaluation saw. A new reference.
json_t *scheduler_explain_json(const struct sched_snapshot *now, const struct sched_eval *e);
// How many nodes each constraint and resource excluded. A new reference.
json_t *scheduler_excluded(const struct sched_spec *spec, const struct sched_explain *x);
