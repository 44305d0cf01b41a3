// SPDX-License-Identifier: Apache-2.0
// Deployments in the simulated scheduler: somebody promotes, pauses, resumes and fails them at any
// time. After every step: what was placed was allowed to be, and counts are right; at rest: each
// has ended, is held by somebody, or waits to be promoted.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sched/deploy.h"
#include "test/sim/sim_sched.h"

static uint32_t below(struct sim *s, uint32_t n)
{
	return rng_below(&s->rng, n);
}

void deploy_describe(struct sim *s, uint32_t number, struct sched_group groups[2])
{
	for (uint32_t g = 0; g < 2; g++) {
		groups[g].canaries = number % 3 == g ? 0 : below(s, 4);
		groups[g].auto_promote = number % 2;
		groups[g].auto_revert = number % 4 == 3;
		groups[g].progress_deadline_ns = number % 5 == 2 ? 120 * NS_PER_SEC : 0;
		groups[g].sticky = number % 6 == 4;
	}
}

void deploy_event(struct sim *s)
{
	uint32_t high = head(s)->tables[SCHED_TABLE_JOBS].high;
	int rc = sched_core_deployment(s->core, high ? below(s, high) : 0,
		(enum sched_deployment_action)below(s, 4), s->now);

	if (rc && rc != -ENOENT && rc != -EINVAL && rc != -EBUSY)
		fail(s, "somebody's wish for a deployment");
}

// Whether the group may have two versions, and nothing more of the new one.
bool deploy_holds(const struct sched_job *j, uint32_t group)
{
	const struct sched_deployment *d = sched_deployment_current(j);

	if (!d || sched_job_rests(j))
		return false;
	if (d->status == SCHED_DEPLOYMENT_RUNNING)
		return sched_deploy_canaries(d, sched_job_spec(j), group) > 0;
	return d->status == SCHED_DEPLOYMENT_PAUSED ||
	       (d->status == SCHED_DEPLOYMENT_FAILED && sched_job_version(j, d->from));
}

// ---- after every step ----

// What was placed in that version was updated in place.
static bool same_to(const struct sched_job *j, uint32_t version, uint32_t group)
{
	const struct sched_spec *from = sched_job_version(j, version);
	const struct sched_group *a = &sched_job_spec(j)->groups[group];

	return from && group < from->group_count &&
	       from->groups[group].restart_hash == a->restart_hash &&
	       memcmp(&from->groups[group].ask, &a->ask, sizeof(a->ask)) == 0;
}

// Placed since the deployment last changed, so under the rules that it has now.
static void check_placed(struct sim *s, const struct sched_job *j, const struct sched_instance *i)
{
	const struct sched_deployment *d = sched_deployment_current(j);
	bool canary = i->flags & SCHED_INSTANCE_CANARY;
	uint32_t canaries;

	if (i->version != d->version && i->version != d->from)
		fail(s, "a version was placed that is neither the new one nor the one before");
	if (canary && i->version == d->version && !deploy_holds(j, i->group))
		fail(s, "a canary was placed in a group that nothing holds");
	if (i->version == d->from || !deploy_holds(j, i->group) || same_to(j, d->from, i->group))
		return;
	canaries = sched_deploy_canaries(d, sched_job_spec(j), i->group);
	if (d->status != SCHED_DEPLOYMENT_RUNNING)
		fail(s, "a deployment that is held has placed something");
	if (!canary || i->name_index >= canaries)
		fail(s, "before the canaries are promoted something else was placed");
}

static void check_instances(struct sim *s, uint32_t job, const struct sched_job *j)
{
	const struct sched_deployment *d = sched_deployment_current(j);
	const struct sched_readiness *r = &s->core->state->readiness[job];
	uint32_t live = 0, ready = 0, canaries = 0;

	for (uint32_t at = j->first_instance; at != SCHED_NONE;) {
		const struct sched_instance *i = sched_instance_at(head(s), at);
		bool canary = i->flags & SCHED_INSTANCE_CANARY;

		at = i->next_in_job;
		if (d && canary && i->version == d->version && d->promoted & 1u << i->group)
			fail(s, "a canary is promoted and still one");
		if (!sched_live(i))
			continue;
		if (d && i->create_index > j->spec_index)
			check_placed(s, j, i);
		if (i->version != sched_job_spec(j)->version)
			continue;
		live++;
		ready += sched_ready(i) && !canary;
		canaries += sched_ready(i) && canary;
	}
	if (r->live != live || r->ready != ready || r->canaries != canaries)
		fail(s, "what is ready is counted wrong");
}

void deploy_check(struct sim *s)
{
	for (uint32_t k = 0; k < head(s)->tables[SCHED_TABLE_JOBS].high; k++) {
		const struct sched_job *j = sched_job_at(head(s), k);
		const struct sched_deployment *d = j ? sched_deployment_current(j) : NULL;

		if (!j)
			continue;
		check_instances(s, k, j);
		if (!d || d->status == SCHED_DEPLOYMENT_SUCCESSFUL)
			continue;
		if ((d->from && !sched_job_version(j, d->from)) ||
			(d->stable && !sched_job_version(j, d->stable)))
			fail(s, "a deployment has forgotten what it would go back to");
	}
}

// ---- at rest ----

// Somebody has found out why it failed, or lets it go on.
void deploy_resume(struct sim *s)
{
	for (uint32_t k = 0; k < head(s)->tables[SCHED_TABLE_JOBS].high; k++)
		if (below(s, 2))
			sched_core_deployment(s->core, k, SCHED_DEPLOYMENT_RESUME, s->now);
}

// A group that is held: one of either version for each index, and its canaries.
void deploy_check_group(struct sim *s, uint32_t job, uint32_t group)
{
	const struct sched_job *j = sched_job_at(head(s), job);
	const struct sched_deployment *d = sched_deployment_current(j);
	const struct sched_spec *spec = sched_job_spec(j), *from = sched_job_version(j, d->from);
	uint32_t count = spec->groups[group].count, found = 0, canaries = 0;
	uint8_t seen[64] = {0};

	for (uint32_t at = j->first_instance; at != SCHED_NONE;) {
		const struct sched_instance *i = sched_instance_at(head(s), at);

		at = i->next_in_job;
		if (!sched_live(i) || i->group != group)
			continue;
		if (i->flags & SCHED_INSTANCE_CANARY) {
			canaries++;
			if (i->version != d->version)
				fail(s, "at rest a canary of an older version runs");
			continue;
		}
		if (i->name_index >= count || seen[i->name_index]++)
			fail(s, "at rest a held group has a name twice or beyond the count");
		found++;
	}
	if (from && from->group_count > group && found != count)
		fail(s, "at rest a held group misses some");
	if (d->status == SCHED_DEPLOYMENT_FAILED && canaries)
		fail(s, "at rest a failed deployment has canaries");
	if (canaries > sched_deploy_canaries(d, spec, group) ||
		(d->status == SCHED_DEPLOYMENT_RUNNING &&
			canaries != sched_deploy_canaries(d, spec, group)))
		fail(s, "at rest the canaries are too many or too few");
}

void deploy_check_rest(struct sim *s)
{
	struct sched_deployment_view v;

	for (uint32_t k = 0; k < head(s)->tables[SCHED_TABLE_JOBS].high; k++) {
		if (sched_deployment_of(head(s), k, &v))
			continue;
		if (v.deployment->status == SCHED_DEPLOYMENT_RUNNING && !v.waits &&
			sched_deploy_total(sched_job_spec(sched_job_at(head(s), k))))
			fail(s, "at rest a deployment neither goes on nor waits");
		s->deployed += v.deployment->status == SCHED_DEPLOYMENT_SUCCESSFUL;
		s->reverted += v.deployment->revert;
		s->held += v.deployment->status != SCHED_DEPLOYMENT_SUCCESSFUL;
	}
}
