// SPDX-License-Identifier: Apache-2.0
// Evaluations that wait for room: one a job, kept with what is known of the node classes that could
// serve it.
//
// When room appears in a class, those that may run there go back to the broker: those for which the
// class is eligible or unknown, and those with constraints on single nodes (escaped). Room that
// appeared between the snapshot an evaluation looked at and its being blocked is remembered by
// index, so nothing is missed.
//
// unblock() only notes what happened; step() then looks at a bounded number of evaluations, so that
// a state machine that frees room is never held up, however many wait.
//
// Pure; of one thread or under one lock.
#pragma once

#include "sched/types.h"

struct sched_blocked_stats {
	uint32_t blocked, escaped, max_plans;
	uint64_t unblocked, missed, duplicates;
};

struct sched_blocked;

struct sched_blocked *sched_blocked_new(void);
void sched_blocked_destroy(struct sched_blocked *b);
// Disabled (as made) it ignores what it is given; disabling forgets everything.
void sched_blocked_enable(struct sched_blocked *b, bool enabled);

// What one evaluation waits for. token: if it is being worked on in the broker, 0 otherwise.
struct sched_waiting {
	struct sched_ticket ticket;
	struct sched_eligibility eligibility;
	uint64_t snapshot_index; // of the state in which there was no room
	uint64_t token;
	uint32_t quota; // waits for this quota, 0: for room
	bool max_plans; // there was room, but too many conflicts
};

// 0: it waits. 1: what it waits for has already happened since its snapshot; enqueue it. -ENOMEM.
// *cancelled is the ticket of the job's other evaluation that gave way, or its own if an
// older one comes late; eval 0: none.
int sched_blocked_add(
	struct sched_blocked *b, const struct sched_waiting *w, struct sched_ticket *cancelled);
// The job needs nothing any more: its ticket if one waited, else eval 0.
struct sched_ticket sched_blocked_untrack(struct sched_blocked *b, uint32_t job, uint32_t node);

// What waits for a job and a node (SCHED_NONE: any); NULL if nothing does. Until the next change.
const struct sched_ticket *sched_blocked_of(
	const struct sched_blocked *b, uint32_t job, uint32_t node);

// Any one of the job that waits, whatever the node; it takes as long as there are that wait.
struct sched_ticket sched_blocked_untrack_any(struct sched_blocked *b, uint32_t job);

void sched_blocked_unblock_class(struct sched_blocked *b, uint32_t class_id, uint64_t index);
void sched_blocked_unblock_quota(struct sched_blocked *b, uint32_t quota, uint64_t index);
// A node came or got room: evaluations of system jobs that wait for it.
void sched_blocked_unblock_node(struct sched_blocked *b, uint32_t node, uint64_t index);
// Of too many nodes to name them.
void sched_blocked_unblock_nodes(struct sched_blocked *b, uint64_t index);
// Those that had too many conflicts; now and then.
void sched_blocked_unblock_failed(struct sched_blocked *b);

// Looks at up to `budget` evaluations. Fills out (at most `budget` long) with those to enqueue
// again, with their tokens; *more: call again.
uint32_t sched_blocked_step(
	struct sched_blocked *b, uint32_t budget, struct sched_waiting *out, bool *more);
struct sched_blocked_stats sched_blocked_stats(const struct sched_blocked *b);
