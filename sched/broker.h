// SPDX-License-Identifier: Apache-2.0
// The evaluation broker: who works on what next. Every evaluation is delivered at least once, and
// of one job at most one is being worked on.
//
//              wait_until ahead           its job is busy
//   enqueue ──┬───────────────▶ waiting ─┬────────────────▶ pending ──job is free──┐
//             └──────────────────────────┴────────────────▶ ready ◀────────────────┘
//                                       run()     dequeue │  ▲
//                                                         ▼  │ after a delay: nack, or nack timeout
//                                            ack ◀── outstanding ──limit of deliveries──▶ failed
//
// A failed one is delivered too, to whoever dequeues SCHED_TYPE_FAILED, so that a follow-up can be
// made. Acking lets the job's best pending one go on and cancels the others: the best sees all that
// they would have seen.
//
// Pure and of one thread (or under one lock): `now` is given, nothing waits. dequeue says when to
// ask again.
#pragma once

#include "sched/types.h"

#define SCHED_TYPE_FAILED SCHED_TYPES // a type of its own in masks
#define SCHED_MASK(type) (1u << (type))
#define SCHED_MASK_ALL (SCHED_MASK(SCHED_TYPES) - 1) // without the failed ones

struct sched_broker_config {
	ns_t nack_timeout_ns;    // 60 s
	ns_t first_delay_ns;     // after the first nack: 1 s
	ns_t further_delay_ns;   // after the n-th: (n - 1) times this, 20 s
	uint32_t delivery_limit; // 3
	uint32_t pending_max;    // of one job; beyond, the worst is cancelled at once: 16
};

extern const struct sched_broker_config sched_broker_defaults;

struct sched_broker_stats {
	uint32_t ready, outstanding, pending, waiting, failed;
	uint32_t ready_by_type[SCHED_TYPES];
	uint32_t cancelled_left; // for sched_broker_cancelled()
	uint64_t enqueued, duplicates, delivered, acked, nacked, timed_out, cancelled, gave_up;
};

struct sched_broker;

// seed: of the tokens. NULL: out of memory.
struct sched_broker *sched_broker_new(const struct sched_broker_config *config, uint64_t seed);
void sched_broker_destroy(struct sched_broker *b);

// Disabled (as made) it ignores what is enqueued; disabling forgets everything.
void sched_broker_enable(struct sched_broker *b, bool enabled);
bool sched_broker_enabled(const struct sched_broker *b);

// 0 (also for what it already has); -ENOMEM: nothing was taken.
int sched_broker_enqueue(struct sched_broker *b, const struct sched_ticket *t, ns_t now);
// All or none.
int sched_broker_enqueue_all(
	struct sched_broker *b, const struct sched_ticket *t, uint32_t count, ns_t now);
// True if an evaluation of the job with at least this priority is still to be worked on; it will
// see this index. So a storm of events makes one evaluation a job. If it was to look at another
// node only (of system jobs; else SCHED_NONE), it now looks at all. The same goes for one that
// others are cancelled for.
bool sched_broker_covers(
	struct sched_broker *b, uint32_t job, uint32_t node, uint8_t priority, uint64_t index);
// The job was changed at this index: whatever is delivered of it from now on must be worked on with
// a state at least that new. Without it the next evaluation might plan on a view that lacks what
// the last one placed.
void sched_broker_changed(struct sched_broker *b, uint32_t job, uint64_t index);
// The evaluation is being worked on under this token: enqueue it again once it is acked, or forget
// this if it is nacked. If it is not outstanding it is enqueued now; if it is under another token,
// nothing happens.
int sched_broker_requeue(
	struct sched_broker *b, const struct sched_ticket *t, uint64_t token, ns_t now);

// The best that is ready of the types in the mask: highest priority, then the types in turn, then
// in the order they came. 0; -EAGAIN: none, ask again at sched_broker_next() or after an enqueue or
// ack.
int sched_broker_dequeue(
	struct sched_broker *b, uint32_t mask, ns_t now, struct sched_ticket *t, uint64_t *token);
// Whether a dequeue with this mask would deliver now.
bool sched_broker_has(const struct sched_broker *b, uint32_t mask);

// 0; -ENOENT: not outstanding; -EPERM: under another token.
int sched_broker_ack(struct sched_broker *b, uint64_t eval, uint64_t token, ns_t now);
int sched_broker_nack(struct sched_broker *b, uint64_t eval, uint64_t token, ns_t now);
// Starts the nack timeout anew: the worker lives.
int sched_broker_touch(struct sched_broker *b, uint64_t eval, uint64_t token, ns_t now);
// Stops the nack timeout while a plan waits, and goes on with what was left of it.
int sched_broker_pause(struct sched_broker *b, uint64_t eval, uint64_t token, ns_t now);
int sched_broker_resume(struct sched_broker *b, uint64_t eval, uint64_t token, ns_t now);
// Its token, 0 if it is not outstanding.
uint64_t sched_broker_outstanding(const struct sched_broker *b, uint64_t eval);

// Does what is due: delays that are over, nack timeouts.
void sched_broker_run(struct sched_broker *b, ns_t now);
// When to call run() next; NS_NEVER.
ns_t sched_broker_next(const struct sched_broker *b);

// Takes up to n evaluations that were cancelled, for the state to learn it.
uint32_t sched_broker_cancelled(struct sched_broker *b, struct sched_ticket *out, uint32_t n);
struct sched_broker_stats sched_broker_stats(const struct sched_broker *b);
