// SPDX-License-Identifier: Apache-2.0
// Making room by stopping what is less important: instances of jobs whose priority is lower by at
// least SCHED_PREEMPT_GAP. Pure.
//
// It is tried only where nothing has room. Of the nodes looked at the one is taken whose victims
// matter least: by the highest priority among them, then by their number. Victims go with the plan,
// and the applier makes an evaluation for each of their jobs.
#pragma once

#include "lib/base/rng.h"
#include "sched/strata.h"

#define SCHED_PREEMPT_GAP 10
#define SCHED_PREEMPT_VICTIMS_MAX 32 // for one placement
#define SCHED_PREEMPT_STOPS_MAX 256  // of a plan
#define SCHED_PREEMPT_LOOK 256       // nodes, for one placement
#define SCHED_PREEMPT_CHOICE 16      // of these where it could be done

struct sched_preempt {
	const struct sched_snapshot *s;
	const struct sched_spec *spec;
	uint32_t job, group;
	uint8_t priority; // of the job now, also for what is placed of an older version
	const struct sched_plan *plan; // so far
	const struct sched_reconciled *rec;
	struct sched_filter *filter;
	const struct sched_strata *strata; // NULL: of a system job
	struct rng *rng;
	struct sched_id victims[SCHED_PREEMPT_VICTIMS_MAX];
	uint32_t victim_count;
};

// The node for one more instance, with the victims there (perhaps none: where the plan has made
// room already). SCHED_NONE: there is none.
uint32_t sched_preempt_any(struct sched_preempt *q);
// The same for a given node.
bool sched_preempt_on(struct sched_preempt *q, uint32_t node);
