// SPDX-License-Identifier: Apache-2.0
// The scheduler's face. event -> evaluation -> broker -> worker on a snapshot -> plan -> queue ->
// applier -> log -> store.
//
// Pure: no I/O, no thread, no clock, no lock. Who hosts it brings those, and keeps to this
// contract.
//
// Threads
//   core thread   everything in core.h, state.h's writing half, broker, blocked, applier. One
//   thread, or any under one lock. workers       as many as there are cores. Each owns a struct
//   sched_worker and a struct sched_reader (made and destroyed by
//                 the core thread) and calls only sched_worker_*, sched_snapshot_pin,
//                 sched_reader_unpin and the functions that take a snapshot. Tickets and plans pass
//                 between the threads by the host's queues; a plan belongs to the core from
//                 sched_core_submit() until sched_core_result() has given it back.
//   others        (API, publisher, checkpoints) read through a snapshot of their own reader. A
//   reader that stays pinned keeps all
//                 pages written since: seconds are fine, minutes are not.
//
// A worker's loop
//   ticket, token   <- core thread: sched_core_dequeue()
//   sched_worker_begin()
//   again: s = sched_snapshot_pin(); sched_worker_plan(s); sched_reader_unpin()
//     -EAGAIN: wait until something is published     -ENOENT: core thread: sched_core_drop()
//   plan            -> core thread: sched_core_submit(), sched_core_apply(), sched_core_result()
//   sched_worker_result(): 0 done; -EAGAIN: again; else core thread: sched_core_nack()
//
// Durability. Every transaction appends its bytes to core->state->log.out. The host takes them
// (sched_log_take), appends them to the store in one commit, and then, and only then, tells anybody
// of what they say: it reads the same bytes (sched_decode) to learn which instances hosts must
// start or stop and which services change. Workers plan on what is applied, durable or not. A
// commit that the store refuses is tried again: the state in memory is ahead and stays right,
// nothing of it was acknowledged. Keep what is not durable bounded: hand out no work while more
// than a few MB wait. Start: replay the last checkpoint and the logs behind it (sched_replay), then
// sched_core_start(). Checkpoint: in the background from a pinned snapshot (sched_checkpoint); its
// index says which logs are not needed any more.
//
// Time is one clock that goes on over restarts: wall time taken at start plus monotonic time since.
#pragma once

#include "sched/core.h"
#include "sched/explain.h"
#include "sched/worker.h"

// Takes the bytes collected since the last time, with the index of the last transaction in them;
// `into` gives its memory for the next ones. Not within a transaction.
static inline uint64_t sched_log_take(struct sched_core *core, struct sched_bytes *into)
{
	struct sched_bytes full = core->state->log.out;

	core->state->log.out = *into;
	core->state->log.out.len = 0;
	core->state->log.out.failed = false;
	*into = full;
	return core->state->head.index;
}
