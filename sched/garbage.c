// SPDX-License-Identifier: Apache-2.0
// What nobody needs any more: instances that ended and are replaced or unwanted, jobs that were
// purged. Passes over all rows, a step at a time, so that no tick takes long and the ticks of a
// busy scheduler cost nothing: steps are a millisecond apart, passes some seconds. While a job
// waits to be forgotten passes follow each other soon; small tables are then looked at in each
// tick. Thread: the core's.
#include "sched/core_internal.h"

#define STEP 256
#define SMALL (4 * STEP)
#define STEP_NS NS_PER_MS
#define PASS_NS (10 * NS_PER_SEC)
#define PURGING_NS NS_PER_SEC

static uint32_t rows(const struct sched_core *c)
{
	const struct sched_table *tables = c->state->head.tables;
	uint32_t instances = tables[SCHED_TABLE_INSTANCES].high;
	uint32_t jobs = tables[SCHED_TABLE_JOBS].high;

	return instances > jobs ? instances : jobs;
}

static bool forgettable(const struct sched_job *j)
{
	return j->purge && !j->instances && !j->children && !sched_job_has_open_evals(j);
}

// Jobs that were purged go when nothing refers to them any more.
static void purge(struct sched_core *c)
{
	const struct sched_snapshot *s = &c->state->head;
	uint32_t high = s->tables[SCHED_TABLE_JOBS].high;

	for (uint32_t k = 0; k < STEP && k < high; k++) {
		uint32_t slot = c->garbage.job < high ? c->garbage.job : 0;
		const struct sched_job *j = sched_job_at(s, slot);

		c->garbage.job = slot + 1;
		c->garbage.found |= j && j->purge;
		if (!j || !forgettable(j))
			continue;
		sched_txn_begin(c->state);
		if (j->evals)
			sched_core_change(
				c, SCHED_EVAL_DEL, j->last_eval, (struct sched_change){0});
		sched_core_change(c, SCHED_JOB_DEL, slot, (struct sched_change){0});
		sched_txn_end(c->state);
	}
}

// What may still be rescheduled or replaced stays.
static bool garbage(const struct sched_core *c, const struct sched_instance *i, ns_t now)
{
	return i->desired != SCHED_RUN && sched_terminal(i->status) &&
	       (now - i->changed_ns >= c->config.gc_age_ns ||
		       sched_job_at(&c->state->head, i->job)->purge);
}

static void collect(struct sched_core *c, ns_t now)
{
	const struct sched_snapshot *s = &c->state->head;
	uint32_t high = s->tables[SCHED_TABLE_INSTANCES].high, gone = 0;

	for (uint32_t k = 0; k < STEP && k < high; k++) {
		uint32_t slot = c->garbage.instance < high ? c->garbage.instance : 0;
		const struct sched_instance *i = sched_instance_at(s, slot);

		c->garbage.instance = slot + 1;
		if (!i || !garbage(c, i, now))
			continue;
		if (!gone++)
			sched_txn_begin(c->state);
		sched_core_change(c, SCHED_INSTANCE_DEL, slot, (struct sched_change){0});
	}
	if (gone)
		sched_txn_end(c->state);
}

void sched_garbage_expect(struct sched_core *c, ns_t now)
{
	c->garbage.purging = c->garbage.found = true;
	c->garbage.at = now;
}

void sched_garbage_step(struct sched_core *c, ns_t now)
{
	struct sched_garbage *g = &c->garbage;
	uint32_t high = rows(c);

	if (now < g->at && !(g->purging && high <= SMALL))
		return;
	if (!g->left) {
		g->left = high;
		g->found = false;
	}
	collect(c, now);
	purge(c);
	g->left -= g->left < STEP ? g->left : STEP;
	if (!g->left)
		g->purging = g->found;
	g->at = now + (g->left ? STEP_NS : g->purging ? PURGING_NS : PASS_NS);
}
