// SPDX-License-Identifier: Apache-2.0
// What becomes of deployments (deploy.h): each step is a change within the transaction of what
// caused it. Thread: the core's.
#include <errno.h>
#include <stdlib.h>

#include "sched/block.h"
#include "sched/core_internal.h"
#include "sched/deploy.h"
#include "sched/deploy_core.h"

static const struct sched_job *job_of(const struct sched_core *c, uint32_t job)
{
	return sched_job_at(&c->state->head, job);
}

// The job's deployment if it is running, NULL.
static const struct sched_deployment *running(const struct sched_core *c, uint32_t job)
{
	const struct sched_job *j = job_of(c, job);
	const struct sched_deployment *d = j ? sched_deployment_current(j) : NULL;

	return d && d->status == SCHED_DEPLOYMENT_RUNNING ? d : NULL;
}

static int put(struct sched_core *c, uint32_t job, const struct sched_deployment *d)
{
	return sched_core_change(
		c, SCHED_DEPLOYMENT_PUT, job, (struct sched_change){.deployment = d});
}

// ---- the time for progress ----

static ns_t deadline_of(const struct sched_spec *spec)
{
	ns_t least = 0;

	for (uint32_t g = 0; g < spec->group_count; g++) {
		ns_t at = spec->groups[g].progress_deadline_ns;

		if (at && (!least || at < least))
			least = at;
	}
	return least;
}

static int look_at(struct sched_core *c, uint32_t job, ns_t at)
{
	int rc = sched_due_set(&c->deployments, job, at);

	if (!rc)
		c->state->readiness[job].watched = at != NS_NEVER;
	return rc;
}

// It began, went on or got further: the time for more starts anew.
static int progress(struct sched_core *c, uint32_t job, ns_t now)
{
	ns_t after = deadline_of(sched_job_spec(job_of(c, job)));

	c->state->readiness[job].progress_ns = now;
	// If it is looked at earlier than needed that finds a later time.
	return after && !c->state->readiness[job].watched ? look_at(c, job, now + after) : 0;
}

// The same if its deadline may be another than when it was last said when to look at it: it is of
// another version, or was put again.
static int go_on(struct sched_core *c, uint32_t job, ns_t now)
{
	int rc = look_at(c, job, NS_NEVER);

	return rc ? rc : progress(c, job, now);
}

static uint64_t canaries_of(const struct sched_deployment *d, const struct sched_spec *spec)
{
	uint64_t n = 0;

	for (uint32_t g = 0; g < spec->group_count; g++)
		n += sched_deploy_canaries(d, spec, g);
	return n;
}

// Nothing more is to become ready: it waits for somebody, or is not asked for any instance.
static bool rests(const struct sched_core *c, uint32_t job, const struct sched_deployment *d)
{
	const struct sched_spec *spec = sched_job_spec(job_of(c, job));
	const struct sched_readiness *r = &c->state->readiness[job];
	uint64_t canaries = canaries_of(d, spec);

	if (canaries && r->canaries >= canaries)
		return true;
	return r->ready >= sched_deploy_total(spec);
}

// ---- failing ----

// The last stable version's spec, as a new version. Its own deployment has no canaries, and if it
// fails it goes no further back.
static int revert(struct sched_core *c, uint32_t job, const struct sched_deployment *failed,
	const struct sched_spec *stable, ns_t now)
{
	const struct sched_spec *bad = sched_job_spec(job_of(c, job));
	struct sched_spec *spec = sched_spec_copy(stable);
	struct sched_deployment d = {.version = bad->version + 1,
		.from = failed->stable,
		.stable = failed->stable,
		.before = failed->version,
		.before_status = SCHED_DEPLOYMENT_FAILED,
		.revert = true,
		.refused = sched_deploy_identity(bad),
		.create_index = c->state->head.index,
		.changed_ns = now};
	int rc;

	if (!spec)
		return -ENOMEM;
	spec->version = d.version;
	// It may have been stopped before the one that failed came.
	spec->stopped = false;
	rc = sched_core_change(
		c, SCHED_JOB_PUT_SPEC, job, (struct sched_change){.job = {spec, false, false}});
	if (!rc)
		rc = put(c, job, &d);
	return rc ? rc : go_on(c, job, now);
}

static bool reverts(const struct sched_spec *spec)
{
	for (uint32_t g = 0; g < spec->group_count; g++)
		if (spec->groups[g].auto_revert)
			return true;
	return false;
}

static int fail(struct sched_core *c, uint32_t job, uint8_t why, ns_t now)
{
	const struct sched_job *j = job_of(c, job);
	struct sched_deployment d = *j->deployment;
	const struct sched_spec *stable;
	int rc;

	d.status = SCHED_DEPLOYMENT_FAILED;
	d.why = why;
	d.changed_ns = now;
	rc = put(c, job, &d);
	j = job_of(c, job);
	stable = d.stable && !d.revert ? sched_job_version(j, d.stable) : NULL;
	if (!rc && stable && reverts(sched_job_spec(j)))
		rc = revert(c, job, &d, stable, now);
	return rc ? rc : sched_core_eval_once(c, job, SCHED_NONE, SCHED_DEPLOYMENT_CHANGED);
}

// ---- going on ----

static bool promotes_itself(const struct sched_deployment *d, const struct sched_spec *spec)
{
	for (uint32_t g = 0; g < spec->group_count; g++)
		if (sched_deploy_canaries(d, spec, g) && !spec->groups[g].auto_promote)
			return false;
	return true;
}

static int promote(struct sched_core *c, uint32_t job, uint8_t why, ns_t now)
{
	struct sched_deployment d = *job_of(c, job)->deployment;
	int rc;

	d.promoted = d.canary_groups;
	d.why = why;
	d.changed_ns = now;
	rc = put(c, job, &d);
	if (!rc)
		rc = progress(c, job, now);
	return rc ? rc : sched_core_eval_once(c, job, SCHED_NONE, SCHED_DEPLOYMENT_CHANGED);
}

// Each group has all it wants; sums alone would not tell one with too many from one with too few.
static bool all_there(const struct sched_core *c, uint32_t job)
{
	struct sched_deployment_view v;

	if (sched_deployment_of(&c->state->head, job, &v))
		return false;
	for (uint32_t g = 0; g < v.group_count; g++)
		if (v.groups[g].healthy != v.groups[g].desired)
			return false;
	return true;
}

static int succeed(struct sched_core *c, uint32_t job, ns_t now)
{
	struct sched_deployment d = *job_of(c, job)->deployment;

	d.status = SCHED_DEPLOYMENT_SUCCESSFUL;
	d.why = SCHED_DEPLOYMENT_ALL_READY;
	d.changed_ns = now;
	return put(c, job, &d);
}

enum next { STAYS, PROMOTES, SUCCEEDS };

// Cheap unless something is due: the counts come first, the look at all instances last.
static enum next next_of(const struct sched_core *c, uint32_t job)
{
	const struct sched_deployment *d = running(c, job);
	const struct sched_readiness *r = &c->state->readiness[job];
	const struct sched_spec *spec;
	struct sched_deployment_view v;
	uint64_t canaries, total;

	if (!d)
		return STAYS;
	spec = sched_job_spec(job_of(c, job));
	canaries = canaries_of(d, spec);
	if (canaries) {
		if (r->canaries < canaries || !promotes_itself(d, spec) ||
			sched_deployment_of(&c->state->head, job, &v) || !v.waits)
			return STAYS;
		return PROMOTES;
	}
	total = sched_deploy_total(spec);
	// A job that wants nothing has shown nothing.
	if (!total || r->ready != total || job_of(c, job)->live != total || !all_there(c, job))
		return STAYS;
	return SUCCEEDS;
}

static int step(struct sched_core *c, uint32_t job, enum next next, ns_t now)
{
	return next == PROMOTES ? promote(c, job, SCHED_DEPLOYMENT_AUTO_PROMOTED, now)
				: succeed(c, job, now);
}

int sched_deploy_settle(struct sched_core *c, uint32_t job, ns_t now)
{
	enum next next = next_of(c, job);
	int rc, committed;

	if (next == STAYS)
		return 0;
	sched_core_begin(c);
	rc = step(c, job, next, now);
	committed = sched_core_commit(c, now);
	return rc ? rc : committed;
}

// Only a group that was told to be careful gives up at the first failure: others try again, with
// the usual delays. Nor does a first version: it has nothing to go back to.
static bool fails(const struct sched_spec *spec, const struct sched_deployment *d,
	const struct sched_instance *i)
{
	const struct sched_group *g = i->group < spec->group_count ? &spec->groups[i->group] : NULL;

	return g && (g->canaries || g->auto_revert) && (d->from || d->stable) &&
	       i->desired == SCHED_RUN && i->create_index > d->create_index &&
	       (i->status == SCHED_FAILED || i->status == SCHED_COMPLETE);
}

int sched_deploy_reported(struct sched_core *c, const struct sched_id *id, ns_t now)
{
	const struct sched_instance *i = sched_instance_by_id(&c->state->head, id);
	const struct sched_deployment *d = running(c, i->job);
	uint32_t job = i->job;
	enum next next;
	int rc = 0;

	if (!d || i->version != d->version)
		return 0;
	if (fails(sched_job_spec(job_of(c, job)), d, i))
		return fail(c, job, SCHED_DEPLOYMENT_INSTANCE_FAILED, now);
	if (sched_ready(i))
		rc = progress(c, job, now);
	next = rc ? STAYS : next_of(c, job);
	return next == STAYS ? rc : step(c, job, next, now);
}

// ---- versions ----

bool sched_deploy_begin(const struct sched_core *c, uint32_t slot, const struct sched_spec *next,
	ns_t now, struct sched_deployment *out)
{
	const struct sched_job *old = job_of(c, slot);
	uint64_t total = old ? sched_deploy_total(sched_job_spec(old)) : 0;
	bool ready = total && c->state->readiness[slot].ready >= total;

	if (old && sched_job_spec(old)->version == next->version)
		return false;
	if (!sched_deployment_start(old, next, ready, out))
		return false;
	out->changed_ns = now;
	return true;
}

int sched_deploy_put(struct sched_core *c, uint32_t slot, struct sched_deployment *d, ns_t now)
{
	int rc;

	d->create_index = c->state->head.index;
	sched_deployment_kept(job_of(c, slot), d);
	rc = put(c, slot, d);
	return rc ? rc : go_on(c, slot, now);
}

struct sched_spec *sched_deploy_refuse(
	const struct sched_job *old, const struct sched_spec *put, bool *same, int *rc)
{
	const struct sched_deployment *d = old ? sched_deployment_current(old) : NULL;
	struct sched_spec *spec;

	*rc = 0;
	if (!d || !d->refused || put->stopped || d->refused != sched_deploy_identity(put))
		return NULL;
	spec = sched_spec_copy(sched_job_spec(old));
	if (!spec) {
		*rc = -ENOMEM;
		return NULL;
	}
	*same = spec->priority == put->priority && !spec->stopped;
	spec->priority = put->priority;
	spec->stopped = false;
	for (uint32_t g = 0; g < spec->group_count; g++) {
		struct sched_group *group = (struct sched_group *)(uintptr_t)&spec->groups[g];
		const struct sched_group *wanted = sched_group_named(put, group->name);

		if (!wanted || wanted->count == group->count)
			continue;
		group->count = wanted->count;
		*same = false;
	}
	return spec;
}

int sched_deploy_unchanged(struct sched_core *c, uint32_t slot, ns_t now)
{
	const struct sched_job *j = job_of(c, slot);
	struct sched_deployment d;
	int rc = 0;

	if (!j->deployment)
		return 0;
	if (sched_deployment_goes_on(j->deployment, sched_job_spec(j), &d)) {
		d.changed_ns = d.status == j->deployment->status ? d.changed_ns : now;
		rc = put(c, slot, &d);
	}
	// Its counts or its deadline may be others.
	return !rc && running(c, slot) ? go_on(c, slot, now) : rc;
}

// ---- by hand ----

static int set_status(struct sched_core *c, uint32_t job, uint8_t status, ns_t now)
{
	const struct sched_job *j = job_of(c, job);
	struct sched_deployment d = *j->deployment, resumed;
	int rc;

	d.status = status;
	d.why = SCHED_DEPLOYMENT_BY_HAND;
	// Since it failed it may have been put without canaries.
	if (status == SCHED_DEPLOYMENT_RUNNING &&
		sched_deployment_goes_on(&d, sched_job_spec(j), &resumed))
		d = resumed;
	d.changed_ns = now;
	rc = put(c, job, &d);
	if (!rc && status == SCHED_DEPLOYMENT_RUNNING)
		rc = go_on(c, job, now);
	return rc ? rc : sched_core_eval_once(c, job, SCHED_NONE, SCHED_DEPLOYMENT_CHANGED);
}

// 0 if the action can be taken.
static int allowed(const struct sched_core *c, uint32_t job, enum sched_deployment_action action)
{
	struct sched_deployment_view v;
	uint8_t status;

	if (sched_deployment_of(&c->state->head, job, &v))
		return -ENOENT;
	status = v.deployment->status;
	switch (action) {
	case SCHED_DEPLOYMENT_PROMOTE:
		if (status != SCHED_DEPLOYMENT_RUNNING ||
			!canaries_of(v.deployment, sched_job_spec(job_of(c, job))))
			return -EINVAL;
		return v.waits ? 0 : -EBUSY;
	case SCHED_DEPLOYMENT_PAUSE:
		return status == SCHED_DEPLOYMENT_RUNNING ? 0 : -EINVAL;
	case SCHED_DEPLOYMENT_RESUME:
		return status == SCHED_DEPLOYMENT_PAUSED || status == SCHED_DEPLOYMENT_FAILED
			       ? 0
			       : -EINVAL;
	case SCHED_DEPLOYMENT_FAIL:
		return status == SCHED_DEPLOYMENT_RUNNING || status == SCHED_DEPLOYMENT_PAUSED
			       ? 0
			       : -EINVAL;
	}
	return -EINVAL;
}

static int act(struct sched_core *c, uint32_t job, enum sched_deployment_action action, ns_t now)
{
	switch (action) {
	case SCHED_DEPLOYMENT_PROMOTE:
		return promote(c, job, SCHED_DEPLOYMENT_BY_HAND, now);
	case SCHED_DEPLOYMENT_PAUSE:
		return set_status(c, job, SCHED_DEPLOYMENT_PAUSED, now);
	case SCHED_DEPLOYMENT_RESUME:
		return set_status(c, job, SCHED_DEPLOYMENT_RUNNING, now);
	case SCHED_DEPLOYMENT_FAIL:
		return fail(c, job, SCHED_DEPLOYMENT_BY_HAND, now);
	}
	return -EINVAL;
}

int sched_core_deployment(
	struct sched_core *c, uint32_t job, enum sched_deployment_action action, ns_t now)
{
	int rc = allowed(c, job, action), committed;

	if (rc)
		return rc;
	sched_core_begin(c);
	rc = act(c, job, action, now);
	committed = sched_core_commit(c, now);
	return rc ? rc : committed;
}

// ---- time ----

int sched_deploy_recover(struct sched_core *c, ns_t now)
{
	uint32_t high = c->state->head.tables[SCHED_TABLE_JOBS].high;
	int rc = 0;

	for (uint32_t job = 0; !rc && job < high; job++) {
		if (!running(c, job))
			continue;
		c->state->readiness[job].progress_ns = now;
		// What was ready when the checkpoint was written may be all that is to come.
		rc = look_at(c, job, now);
	}
	return rc;
}

// 0: it is not running, or has none.
static ns_t deadline_of_running(const struct sched_core *c, uint32_t job)
{
	return running(c, job) ? deadline_of(sched_job_spec(job_of(c, job))) : 0;
}

// Returns when to look at it again; NS_NEVER: no more.
static ns_t check(struct sched_core *c, uint32_t job, ns_t now)
{
	ns_t after;

	sched_deploy_settle(c, job, now);
	after = deadline_of_running(c, job);
	if (!after)
		return NS_NEVER;
	if (rests(c, job, running(c, job)))
		c->state->readiness[job].progress_ns = now;
	if (c->state->readiness[job].progress_ns + after > now)
		return c->state->readiness[job].progress_ns + after;
	sched_core_begin(c);
	fail(c, job, SCHED_DEPLOYMENT_NO_PROGRESS, now);
	sched_core_commit(c, now);
	// If it goes back, that has its own time.
	after = deadline_of_running(c, job);
	return after ? now + after : NS_NEVER;
}

bool sched_deploy_tick(struct sched_core *c, ns_t now)
{
	for (uint32_t k = 0; sched_due_next(&c->deployments) <= now; k++) {
		uint32_t job = sched_due_first(&c->deployments);

		if (k == SCHED_DEPLOY_STEP)
			return true;
		if (look_at(c, job, check(c, job, now)))
			return false;
	}
	return false;
}
