// SPDX-License-Identifier: Apache-2.0
// The worker: from an evaluation and a snapshot to a plan, and from the plan's result to the next
// step.
//
//   begin ──▶ plan ──0──▶ (queue, applier) ──▶ result ──0──▶ ack
//              ▲ │-EAGAIN: wait for min_index     │
//              │ └-ENOENT: nothing to do, ack     │ -EAGAIN: partly committed
//              └────────── newer snapshot ◀───────┘ other errors: nack
//
// Each evaluation commits at most SCHED_EVAL_PLACE_MAX placements and then lets the job's next
// evaluation go on, behind others of its priority: a large job delays nobody. Attempts are limited
// and start anew with progress.
//
// Pure; one worker belongs to one thread. It holds no lock and no row: the snapshot must stay
// pinned only within sched_worker_plan().
#pragma once

#include "sched/broker.h"
#include "sched/plan.h"
#include "sched/rank.h"

#define SCHED_EVAL_PLACE_MAX 4096
#define SCHED_ATTEMPTS_SERVICE 5
#define SCHED_ATTEMPTS_BATCH 2

struct sched_worker_config {
	enum sched_algorithm algorithm;
	uint32_t place_max; // of an evaluation; 0: SCHED_EVAL_PLACE_MAX
	uint32_t preempt;   // SCHED_MASK of the types of jobs that may stop less important ones
			    // (preempt.h)
};

struct sched_worker;

// The same seed and the same inputs give the same plans.
struct sched_worker *sched_worker_new(const struct sched_worker_config *config, uint64_t seed);
void sched_worker_destroy(struct sched_worker *w);

void sched_worker_begin(struct sched_worker *w, const struct sched_ticket *t, uint64_t token);
// The snapshot that the next plan needs at least.
uint64_t sched_worker_min_index(const struct sched_worker *w);
// 0: *plan is to be submitted. -EAGAIN: the snapshot is too old. -ENOENT: the evaluation or its job
// is gone. -ENOMEM: nack.
int sched_worker_plan(
	struct sched_worker *w, const struct sched_snapshot *s, ns_t now, struct sched_plan **plan);
// The plan's result is in it. 0: committed, ack. -EAGAIN: plan again. Else nack.
int sched_worker_result(struct sched_worker *w);
