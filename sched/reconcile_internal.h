// SPDX-License-Identifier: Apache-2.0
// What the reconcilers share: reconcile.c for jobs with a count, reconcile_system.c for those with
// an instance a node.
#pragma once

#include "sched/reconcile.h"

// What was found where an instance should be: at a name index, or on a node.
struct sched_place {
	uint32_t current, old, last;
	uint32_t away; // on a node that is disconnected, or was and has not said that it still runs
	uint32_t base, canary; // of a group that is held (reconcile_held.c)
	bool done;             // it has run to its end
};

struct sched_work {
	const struct sched_snapshot *s;
	const struct sched_job *job;
	const struct sched_spec *spec;
	struct sched_arena *arena;
	struct sched_reconciled *out;
	struct sched_place *places[SCHED_GROUPS_MAX];
	ns_t now;
	uint32_t limit;
	const struct sched_spec *placing; // the version that is placed: the current one, or `from`
	const struct sched_deployment *deployment; // NULL: none of the current version
	const struct sched_spec *from;             // what runs until it is there
	uint32_t held; // bits: groups in which nothing of the current version is placed
	uint32_t canaries[SCHED_GROUPS_MAX]; // but these
	uint64_t *excess;                    // a bit an instance's slot; NULL: none is one too many
};

static inline bool sched_held(const struct sched_work *w, uint32_t group)
{
	return w->held >> group & 1;
}

void sched_want_stop(struct sched_work *w, const struct sched_instance *i, bool lost);
// The instance goes on under the current version.
void sched_want_update(struct sched_work *w, const struct sched_instance *i);
// The group of the current spec that an instance belongs to, SCHED_NONE if there is none.
uint32_t sched_work_group_of(const struct sched_work *w, const struct sched_instance *i);
// The current version differs in nothing that the instance would notice.
bool sched_work_in_place(
	const struct sched_work *w, const struct sched_instance *i, uint32_t group);
// Its node is disconnected, or came back without a word about it so far.
bool sched_work_is_away(const struct sched_instance *i, const struct sched_node *n);
bool sched_work_ended_itself(const struct sched_instance *i);
// True if it may be placed again now; notes when otherwise.
bool sched_work_may_reschedule(struct sched_work *w, const struct sched_instance *last);
// A group of w->placing. previous: what it takes the place of; last: what failed there.
void sched_want_place(
	struct sched_work *w, uint32_t group, uint32_t index, uint32_t previous, uint32_t last);
// Takes the place, or is stopped; what held it before and is worse is stopped.
void sched_work_claim(struct sched_work *w, uint32_t *at, const struct sched_instance *i);
// It counts where it is when places are chosen.
void sched_work_stays(struct sched_work *w, const struct sched_instance *i, uint32_t group);
// Another one has taken its place: nobody waits for it to be placed again.
void sched_work_settle_ended(struct sched_work *w, const struct sched_instance *i);

// ---- groups that a deployment holds (reconcile_held.c) ----

void sched_held_prepare(struct sched_work *w);
// What becomes of a live canary. False: it is an instance like others.
bool sched_held_canary(struct sched_work *w, const struct sched_instance *i, uint32_t group);
// 0 or -1: out of memory.
int sched_held_fill(struct sched_work *w, uint32_t group);

// ---- more than limits allow (reconcile_excess.c) ----

// 0 or -ENOMEM.
int sched_excess_find(struct sched_work *w, struct sched_catalog *catalog);

static inline bool sched_excess_has(const struct sched_work *w, const struct sched_instance *i)
{
	return w->excess && w->excess[i->id.slot / 64] >> i->id.slot % 64 & 1;
}
