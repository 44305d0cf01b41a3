// SPDX-License-Identifier: Apache-2.0
// Jobs that launch others, as the core sees them: what is due when, and what children come to. The
// core's thread.
#pragma once

#include "lib/base/rng.h"
#include "sched/due.h"
#include "sched/state.h"

struct sched_core;
struct sched_dispatch;

// Its parent's, - and seconds or 16 hexadecimal digits, 0.
#define SCHED_CHILD_NAME_BYTES (SCHED_PARENT_NAME_MAX + 24)

struct sched_launch_stats {
	uint64_t launched, skipped; // of schedules
	uint64_t dispatched;        // of templates
	uint64_t repeated;          // with a token that was used
	uint64_t refused;           // as too many children had not ended
	uint64_t collected;         // children that went as garbage
	uint64_t collected_early;   // of these, as SCHED_KEPT_MAX were kept
};

struct sched_launches {
	struct sched_due due;  // jobs with a schedule; and purged ones, whose children are to go
	struct sched_due kept; // children that have ended
	struct rng rng;
	uint32_t purging, cursor; // the child of it that is next, SCHED_NONE
	struct sched_launch_stats stats;
};

void sched_launches_init(struct sched_core *c, uint64_t seed);
void sched_launches_fini(struct sched_core *c);
// After a replay. 0 or -ENOMEM.
int sched_launches_start(struct sched_core *c, ns_t now);
bool sched_launches_tick(struct sched_core *c, ns_t now);
ns_t sched_launches_next(const struct sched_core *c);

// Whether a schedule begins with this spec, so that nothing before it is due. old: NULL: a new job.
bool sched_launch_begins(const struct sched_job *old, const struct sched_spec *spec);
// Within a transaction: a child of this name, with its evaluation. d: NULL: of a schedule. 0, or an
// error of the state: there is none.
int sched_launch_child(struct sched_core *c, uint32_t parent, const char *name,
	const struct sched_dispatch *d, ns_t now, uint32_t *child);
// The job was put, stopped, launched or has ended: what is due next? 0 or -ENOMEM.
int sched_launch_plan(struct sched_core *c, uint32_t job);
// Within a transaction: if the job is a batch job that is done, it ends; true.
bool sched_launch_end(struct sched_core *c, uint32_t job, ns_t now);
// The same by itself, once a plan of the job was committed.
void sched_launch_after_plan(struct sched_core *c, uint32_t job, ns_t now);
// It has evaluations that have not ended.
static inline bool sched_job_has_open_evals(const struct sched_job *j)
{
	return j->evals > (j->last_eval != SCHED_NONE);
}
