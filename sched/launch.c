// SPDX-License-Identifier: Apache-2.0
// Launching: schedules that are due, and what becomes of the children, of templates (dispatch.c),
// too. Thread: the core's.
//
//   schedule   due ──no child alive, or they may overlap──▶ child (launch_due)
//              due ──else──▶ skipped: the next one comes at its own time
//   template   dispatch ──payload, meta, token, limit──▶ child (sched_core_dispatch)
//   child      a batch job of its own ──all its instances completed, or stopped──▶ ended
//              ended ──gc_age, or too many are kept──▶ gone with all its rows (collect)
//
// A launch is one transaction: what the schedule is settled until, the child, its evaluation. So
// none is made twice, and what was missed while nobody looked is made up for by one.
#include "sched/launch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sched/block.h"
#include "sched/core_internal.h"
#include "sched/cron.h"

#define STEP 64       // launches, stops and children collected, a tick
#define ROWS_STEP 256 // instances of a child, at a time
#define SET_BACK (3600 * NS_PER_SEC)
#define RETRY (10 * NS_PER_SEC) // memory or hosts were missing

void sched_launches_init(struct sched_core *c, uint64_t seed)
{
	rng_seed(&c->launches.rng, seed ^ 0x6c61756e6368);
	c->launches.purging = c->launches.cursor = SCHED_NONE;
}

void sched_launches_fini(struct sched_core *c)
{
	sched_due_fini(&c->launches.due);
	sched_due_fini(&c->launches.kept);
}

static const struct sched_job *job_at(const struct sched_core *c, uint32_t slot)
{
	return sched_job_at(&c->state->head, slot);
}

// ---- when ----

static const char *cron_of(const struct sched_spec *spec)
{
	return spec->launch && !spec->stopped ? spec->launch->cron : NULL;
}

ns_t sched_next_launch(const struct sched_job *j)
{
	const char *cron = cron_of(sched_job_spec(j));

	return cron ? cron_next(cron, j->launched_ns) : NS_NEVER;
}

bool sched_launch_begins(const struct sched_job *old, const struct sched_spec *spec)
{
	const char *cron = cron_of(spec), *was = old ? cron_of(sched_job_spec(old)) : NULL;

	return cron && (!was || strcmp(cron, was) != 0);
}

int sched_launch_plan(struct sched_core *c, uint32_t job)
{
	const struct sched_job *j = job_at(c, job);
	struct sched_launches *l = &c->launches;

	if (!j)
		return 0;
	if (j->parent == SCHED_NONE)
		return sched_due_set(
			&l->due, job, j->purge && j->children ? 0 : sched_next_launch(j));
	if (!j->ended_ns)
		return 0;
	return sched_due_set(
		&l->kept, job, j->purge ? j->ended_ns : j->ended_ns + c->config.gc_age_ns);
}

// Wall time was set back since the program ended: a schedule does not wait until it comes there
// again.
static int forget_future(struct sched_core *c, uint32_t job, ns_t now)
{
	const struct sched_job *j = job_at(c, job);
	int rc;

	if (!j || !cron_of(sched_job_spec(j)) || j->launched_ns <= now + SET_BACK)
		return 0;
	sched_core_begin(c);
	rc = sched_core_change(c, SCHED_JOB_LAUNCH, job,
		(struct sched_change){.launch = {now, j->launches, j->skips}});
	return sched_core_commit(c, now) ? -ENOMEM : rc;
}

int sched_launches_start(struct sched_core *c, ns_t now)
{
	uint32_t high = c->state->head.tables[SCHED_TABLE_JOBS].high;
	int rc = 0;

	for (uint32_t k = 0; !rc && k < high; k++) {
		rc = forget_future(c, k, now);
		if (!rc)
			rc = sched_launch_plan(c, k);
	}
	return rc;
}

ns_t sched_launches_next(const struct sched_core *c)
{
	ns_t due = sched_due_next(&c->launches.due), kept = sched_due_next(&c->launches.kept);

	return due < kept ? due : kept;
}

// ---- the end of a batch job ----

// Each instance that it asks for is there and completed. A bit for each, group by group.
static bool all_complete(const struct sched_snapshot *s, const struct sched_job *j)
{
	const struct sched_spec *spec = sched_job_spec(j);
	uint32_t first[SCHED_GROUPS_MAX], total = 0, found = 0;
	uint8_t *seen;

	for (uint32_t g = 0; g < spec->group_count; g++) {
		first[g] = total;
		total += spec->groups[g].count;
	}
	if (j->instances < total)
		return false;
	seen = calloc(1, total / 8 + 1);
	for (uint32_t at = seen ? j->first_instance : SCHED_NONE; at != SCHED_NONE;) {
		const struct sched_instance *i = sched_instance_at(s, at);

		at = i->next_in_job;
		if (i->status == SCHED_COMPLETE && i->desired == SCHED_RUN &&
			sched_job_same(j, spec, i) &&
			i->name_index < spec->groups[i->group].count) {
			uint32_t bit = first[i->group] + i->name_index;

			found += !(seen[bit / 8] >> bit % 8 & 1);
			seen[bit / 8] |= (uint8_t)(1 << bit % 8);
		}
	}
	free(seen);
	return found == total;
}

// A child, or any batch job that has run to its end.
static bool is_over(const struct sched_core *c, const struct sched_job *j)
{
	const struct sched_spec *spec = j ? sched_job_spec(j) : NULL;

	if (!j || j->type != SCHED_TYPE_BATCH || spec->launch || j->ended_ns || j->live)
		return false;
	return spec->stopped ? j->parent != SCHED_NONE : all_complete(&c->state->head, j);
}

bool sched_launch_end(struct sched_core *c, uint32_t job, ns_t now)
{
	if (!is_over(c, job_at(c, job)) ||
		sched_core_change(c, SCHED_JOB_ENDED, job, (struct sched_change){.ended_ns = now}))
		return false;
	// Out of memory: it stays until the next restart.
	sched_launch_plan(c, job);
	return true;
}

void sched_launch_after_plan(struct sched_core *c, uint32_t job, ns_t now)
{
	if (!is_over(c, job_at(c, job)))
		return;
	sched_txn_begin(c->state);
	sched_launch_end(c, job, now);
	sched_txn_end(c->state);
}

// ---- children ----

int sched_launch_child(struct sched_core *c, uint32_t parent, const char *name,
	const struct sched_dispatch *d, ns_t now, uint32_t *child)
{
	const struct sched_spec *of = sched_job_spec(job_at(c, parent));
	struct sched_spec spec = *of, *copy;
	int rc;

	spec.name = name;
	spec.version = 1;
	spec.launch = NULL;
	spec.parent = of->name;
	if (d) {
		spec.payload = d->payload;
		spec.payload_len = d->payload_len;
		spec.meta = d->meta;
		spec.meta_count = d->meta_count;
		spec.token = d->token;
	}
	copy = sched_spec_copy(&spec);
	if (!copy)
		return -ENOMEM;
	*child = sched_slot_new(c->state, SCHED_TABLE_JOBS);
	rc = sched_core_change(
		c, SCHED_JOB_PUT_SPEC, *child, (struct sched_change){.job = {copy, false, false}});
	if (rc || sched_launch_end(c, *child, now))
		return rc;
	rc = sched_core_eval(c, *child, SCHED_JOB_PUT, 0, NULL);
	// Nothing would ever run of it.
	if (rc)
		sched_core_change(c, SCHED_JOB_DEL, *child, (struct sched_change){0});
	return rc;
}

// A launch of the schedule, or one that is left out. If memory runs out between the two the child's
// name tells that it was launched.
static int settle(
	struct sched_core *c, uint32_t parent, const char *name, ns_t now, uint32_t *child)
{
	const struct sched_job *j = job_at(c, parent);
	struct sched_change change = {
		.launch = {now, j->launches + (name != NULL), j->skips + !name}};
	int rc = 0, committed;

	sched_core_begin(c);
	if (name)
		rc = sched_launch_child(c, parent, name, NULL, now, child);
	if (!rc)
		rc = sched_core_change(c, SCHED_JOB_LAUNCH, parent, change);
	committed = sched_core_commit(c, now);
	return rc ? rc : committed;
}

static void child_name(char *to, size_t len, const struct sched_spec *parent, ns_t at)
{
	snprintf(to, len, "%s-%lld", parent->name, (long long)(at / NS_PER_SEC));
}

// ---- schedules ----

static void launch_due(struct sched_core *c, uint32_t slot, ns_t now)
{
	const struct sched_job *j = job_at(c, slot);
	const struct sched_spec *spec = sched_job_spec(j);
	char name[SCHED_CHILD_NAME_BYTES];
	uint32_t child;
	bool skip;
	int rc;

	child_name(name, sizeof(name), spec, sched_next_launch(j));
	skip = (j->children_alive && !spec->launch->overlap) ||
	       j->children_alive >= SCHED_CHILDREN_MAX ||
	       sched_job_find(c->state, spec->namespace, name) != SCHED_NONE;
	rc = settle(c, slot, skip ? NULL : name, now, &child);
	c->launches.stats.skipped += skip && !rc;
	c->launches.stats.launched += !skip && !rc;
	if (rc || sched_launch_plan(c, slot))
		sched_due_set(&c->launches.due, slot, now + RETRY);
}

int sched_core_launch_now(struct sched_core *c, uint32_t parent, ns_t now, uint32_t *child)
{
	const struct sched_job *j = job_at(c, parent);
	const struct sched_spec *spec = j ? sched_job_spec(j) : NULL;
	char name[SCHED_CHILD_NAME_BYTES];
	uint32_t taken;
	int rc;

	if (!j)
		return -ENOENT;
	if (!cron_of(spec))
		return -EINVAL;
	child_name(name, sizeof(name), spec, now);
	taken = sched_job_find(c->state, spec->namespace, name);
	if (taken != SCHED_NONE && job_at(c, taken)->parent != parent)
		return -ENOTUNIQ;
	*child = taken;
	if (taken != SCHED_NONE)
		return -EEXIST;
	if (j->children_alive && !spec->launch->overlap)
		return -EBUSY;
	if (j->children_alive >= SCHED_CHILDREN_MAX) {
		c->launches.stats.refused++;
		return -EDQUOT;
	}
	rc = settle(c, parent, name, now, child);
	c->launches.stats.launched += !rc;
	return rc ? rc : sched_launch_plan(c, parent);
}

// ---- purging a job with children ----

static bool to_be_stopped(const struct sched_core *c, uint32_t child)
{
	const struct sched_job *j = job_at(c, child);

	return !j->ended_ns && !j->purge;
}

// Stops some, and lets go what has ended. True once nothing is left to be told.
static bool purge_children(struct sched_core *c, uint32_t slot, ns_t now)
{
	struct sched_launches *l = &c->launches;
	uint32_t at = l->purging == slot ? l->cursor : SCHED_NONE;

	// The child may be gone meanwhile, and its row another's.
	if (!job_at(c, at) || job_at(c, at)->parent != slot)
		at = job_at(c, slot)->first_child;
	for (uint32_t n = 0; n < STEP && at != SCHED_NONE; n++) {
		uint32_t next = job_at(c, at)->next_child;

		if (to_be_stopped(c, at))
			sched_core_job_stop(c, at, true, now);
		else if (job_at(c, at)->ended_ns)
			sched_due_set(&l->kept, at, 0);
		at = next;
	}
	l->purging = slot;
	l->cursor = at;
	if (at != SCHED_NONE)
		return false;
	// All were seen; but memory may have been missing.
	l->purging = SCHED_NONE;
	for (at = job_at(c, slot)->first_child; at != SCHED_NONE; at = job_at(c, at)->next_child)
		if (to_be_stopped(c, at))
			return false;
	return true;
}

// ---- children that have ended ----

// Removes the child, or some of its rows. When to look again: NS_NEVER: it is gone.
static ns_t collect(struct sched_core *c, uint32_t slot, ns_t now)
{
	const struct sched_job *j = job_at(c, slot);
	uint32_t rows[ROWS_STEP], n = 0;

	if (!j || j->parent == SCHED_NONE || !j->ended_ns)
		return NS_NEVER;
	if (sched_job_has_open_evals(j))
		return now + RETRY;
	for (uint32_t at = j->first_instance; at != SCHED_NONE && n < ROWS_STEP;) {
		const struct sched_instance *i = sched_instance_at(&c->state->head, at);

		if (sched_terminal(i->status))
			rows[n++] = at;
		at = i->next_in_job;
	}
	// Hosts have not yet said that what was told to stop has stopped.
	if (!n && j->instances)
		return now + RETRY;
	sched_txn_begin(c->state);
	for (uint32_t k = 0; k < n; k++)
		sched_core_change(c, SCHED_INSTANCE_DEL, rows[k], (struct sched_change){0});
	j = job_at(c, slot);
	if (!j->instances) {
		if (j->evals)
			sched_core_change(
				c, SCHED_EVAL_DEL, j->last_eval, (struct sched_change){0});
		sched_core_change(c, SCHED_JOB_DEL, slot, (struct sched_change){0});
	}
	sched_txn_end(c->state);
	if (!job_at(c, slot)) {
		c->launches.stats.collected++;
		return NS_NEVER;
	}
	return n == ROWS_STEP ? now : now + RETRY;
}

static bool collect_children(struct sched_core *c, ns_t now)
{
	struct sched_due *kept = &c->launches.kept;

	for (uint32_t n = 0; n < STEP && kept->count; n++) {
		bool early = sched_due_next(kept) > now;
		uint32_t slot = sched_due_first(kept);
		ns_t again;

		if (early && kept->count <= SCHED_KEPT_MAX)
			return false;
		again = collect(c, slot, now);
		sched_due_set(kept, slot, again);
		c->launches.stats.collected_early += again == NS_NEVER && early;
	}
	return sched_due_next(kept) <= now;
}

bool sched_launches_tick(struct sched_core *c, ns_t now)
{
	struct sched_due *due = &c->launches.due;

	for (uint32_t n = 0; n < STEP && sched_due_next(due) <= now; n++) {
		uint32_t slot = sched_due_first(due);
		const struct sched_job *j = job_at(c, slot);

		// The row may be another job's by now.
		if (j && j->parent == SCHED_NONE && j->purge && j->children) {
			sched_due_set(due, slot, purge_children(c, slot, now) ? NS_NEVER : now);
			break;
		}
		if (j && j->parent == SCHED_NONE && sched_next_launch(j) <= now)
			launch_due(c, slot, now);
		else
			sched_due_set(due, slot,
				j && j->parent == SCHED_NONE ? sched_next_launch(j) : NS_NEVER);
	}
	return collect_children(c, now) || sched_due_next(due) <= now;
}
