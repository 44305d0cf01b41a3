// SPDX-License-Identifier: Apache-2.0
// What core.c and events.c share.
#pragma once

#include "sched/core.h"

// One change within an open transaction.
static inline int sched_core_change(
	struct sched_core *c, uint8_t type, uint32_t slot, struct sched_change change)
{
	change.type = type;
	change.slot = slot;
	return sched_txn_change(c->state, &change);
}

// Adds an evaluation of the job to the open transaction, unless one that is still to come will do.
// 0 or -ENOMEM.
int sched_core_eval(struct sched_core *c, uint32_t job, uint8_t trigger, ns_t wait_until,
	const struct sched_eval *previous);
// The same for a node alone, if it is a system job.
int sched_core_eval_on(struct sched_core *c, uint32_t job, uint32_t node, uint8_t trigger,
	ns_t wait_until, const struct sched_eval *previous);
// An evaluation for what happened to something of the job on the node, unless the open transaction
// has made one of the job already; 0 or -ENOMEM.
int sched_core_eval_once(struct sched_core *c, uint32_t job, uint32_t node, uint8_t trigger);
void sched_core_begin(struct sched_core *c);
// Ends the transaction: publishes it, enqueues its evaluations, passes on what it freed. 0 or
// -ENOMEM.
int sched_core_commit(struct sched_core *c, ns_t now);
struct sched_ticket sched_ticket_of(const struct sched_eval *e);
// Looks for what nobody needs any more, if it is time (garbage.c).
void sched_garbage_step(struct sched_core *c, ns_t now);
// A job is to be forgotten: look soon.
void sched_garbage_expect(struct sched_core *c, ns_t now);
// Hands the room that appeared to the blocked evaluations.
void sched_core_effects(struct sched_core *c);
// The spec that a put comes to, of the next version or, if nothing new is in it, of the same. old:
// NULL: the job is new. NULL with *rc 0: nothing changes.
struct sched_spec *sched_core_next_spec(
	const struct sched_job *old, const struct sched_spec *put, int *rc);
// Whether instances of the one version would do for the other: then it is the same version.
bool sched_same_instances(const struct sched_spec *a, const struct sched_spec *b);
