// SPDX-License-Identifier: Apache-2.0
// What the reconcilers share: reconcile.c for jobs with a count, reconcile_system.c for those with
// an instance a node.
#pragma once

#include "sched/reconcile.h"

// What was found where an instance should be: at a name index, or on a node.
struct sched_place {
	uint32_t current, old, last;
	uint32_t away; // on a node that is disconnected, or was and has not said that it still runs
	bool done;     // it has run to its end
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
};

void sched_want_stop(struct sched_work *w, const struct sched_instance *i, bool lost);
// The instance goes on under the current version.
void sched_want_update(struct sched_work *w, const struct sched_instance *i);
// The group of the current spec that an instance belongs to, SCHED_NONE if there is none.
uint32_t sched_work_group_of(const struct sched_work *w, const struct sched_instance *i);
// The current version differs in nothing that the instance would notice.
bool sched_work_in_place(
	const struct sched_work *w, const struct sched_instance *i, uint32_t group);
bool sched_work_ended_itself(const struct sched_instance *i);
// True if it may be placed again now; notes when otherwise.
bool sched_work_may_reschedule(struct sched_work *w, const struct sched_instance *last);
