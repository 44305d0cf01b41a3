// SPDX-License-Identifier: Apache-2.0
// The rules of deploy.h that need no state but what they are given. Pure; any thread.
#include "sched/deploy.h"

#include <errno.h>
#include <string.h>
#include <xxhash.h>

bool sched_deploys(const struct sched_spec *spec, bool first)
{
	if (spec->type != SCHED_TYPE_SERVICE || spec->stopped || spec->launch)
		return false;
	for (uint32_t g = 0; g < spec->group_count; g++) {
		const struct sched_group *group = &spec->groups[g];

		if (group->auto_revert || group->progress_deadline_ns)
			return true;
		if (!first && (group->canaries || group->max_parallel))
			return true;
	}
	return false;
}

uint64_t sched_deploy_identity(const struct sched_spec *spec)
{
	uint64_t hash = spec->type + 1;

	for (uint32_t g = 0; g < spec->group_count; g++) {
		const struct sched_group *group = &spec->groups[g];

		hash = XXH3_64bits_withSeed(group->name, strlen(group->name) + 1, hash);
		hash = XXH3_64bits_withSeed(
			&group->restart_hash, sizeof(group->restart_hash), hash);
		hash = XXH3_64bits_withSeed(&group->ask, sizeof(group->ask), hash);
	}
	return hash ? hash : 1;
}

uint64_t sched_deploy_total(const struct sched_spec *spec)
{
	uint64_t total = 0;

	for (uint32_t g = 0; g < spec->group_count && !spec->stopped; g++)
		total += spec->groups[g].count;
	return total;
}

static uint32_t canaries_of(const struct sched_group *g)
{
	return g->canaries < g->count ? g->canaries : g->count;
}

uint32_t sched_deploy_canaries(
	const struct sched_deployment *d, const struct sched_spec *spec, uint32_t group)
{
	// Put again after a stop, or scaled up afterwards, there is nothing to be beside.
	if (d->status == SCHED_DEPLOYMENT_CANCELLED || d->status == SCHED_DEPLOYMENT_SUCCESSFUL)
		return 0;
	return d->canary_groups & ~d->promoted & 1u << group ? canaries_of(&spec->groups[group])
							     : 0;
}

// ---- starting ----

const struct sched_group *sched_group_named(const struct sched_spec *spec, const char *name)
{
	for (uint32_t g = 0; g < spec->group_count; g++)
		if (strcmp(spec->groups[g].name, name) == 0)
			return &spec->groups[g];
	return NULL;
}

uint32_t sched_deploy_canary_groups(const struct sched_spec *from, const struct sched_spec *next)
{
	uint32_t bits = 0;

	for (uint32_t g = 0; from && g < next->group_count; g++) {
		const struct sched_group *new = &next->groups[g];
		const struct sched_group *old = sched_group_named(from, new->name);

		if (old && new->canaries && !sched_group_same(old, new))
			bits |= 1u << g;
	}
	return bits;
}

// 0: none is known, or its spec is not kept any more.
static uint32_t stable_version(const struct sched_job *old, bool ready)
{
	const struct sched_deployment *d = old->deployment;
	uint32_t current = sched_job_spec(old)->version, version = 0;

	if (d && d->status == SCHED_DEPLOYMENT_SUCCESSFUL)
		version = d->version;
	else if (d)
		version = d->stable;
	if (ready && (!d || d->version != current))
		version = current;
	return sched_job_version(old, version) ? version : 0;
}

static bool ended(uint8_t status)
{
	return status != SCHED_DEPLOYMENT_RUNNING && status != SCHED_DEPLOYMENT_PAUSED;
}

bool sched_deployment_start(const struct sched_job *old, const struct sched_spec *next, bool ready,
	struct sched_deployment *out)
{
	const struct sched_deployment *before = old ? old->deployment : NULL;

	if (!sched_deploys(next, !old))
		return false;
	*out = (struct sched_deployment){.version = next->version};
	if (old)
		out->stable = stable_version(old, ready);
	// Where nothing runs there is nothing to be beside.
	if (old && old->live)
		out->from = out->stable ? out->stable : sched_job_spec(old)->version;
	if (out->from)
		out->canary_groups =
			sched_deploy_canary_groups(sched_job_version(old, out->from), next);
	if (before) {
		out->before = before->version;
		out->before_status =
			ended(before->status) ? before->status : SCHED_DEPLOYMENT_CANCELLED;
	}
	return true;
}

void sched_deployment_kept(const struct sched_job *job, struct sched_deployment *d)
{
	const struct sched_spec *from = job->versions->count > 1 ? job->versions->spec[1] : NULL;

	if (!d->from || sched_job_version(job, d->from))
		return;
	d->from = from ? from->version : 0;
	d->canary_groups = sched_deploy_canary_groups(from, sched_job_spec(job));
}

// Groups that wanted canaries and want none any more.
static uint32_t without_canaries(const struct sched_deployment *d, const struct sched_spec *spec)
{
	uint32_t bits = 0;

	for (uint32_t g = 0; g < spec->group_count; g++)
		bits |= spec->groups[g].canaries ? 0 : d->canary_groups & ~d->promoted & 1u << g;
	return bits;
}

bool sched_deployment_goes_on(const struct sched_deployment *old, const struct sched_spec *put,
	struct sched_deployment *out)
{
	bool same = old->version == put->version;
	bool failed = old->status == SCHED_DEPLOYMENT_FAILED && same && put->stopped;

	if (ended(old->status) && !failed)
		return false;
	*out = *old;
	if (same && !put->stopped) {
		out->promoted |= without_canaries(old, put);
		return out->promoted != old->promoted;
	}
	out->status = SCHED_DEPLOYMENT_CANCELLED;
	out->why = put->stopped ? SCHED_DEPLOYMENT_JOB_STOPPED : SCHED_DEPLOYMENT_NEWER_VERSION;
	return true;
}

// ---- looking ----

static const char *const status_names[SCHED_DEPLOYMENT_STATUSES] = {
	[SCHED_DEPLOYMENT_RUNNING] = "running",
	[SCHED_DEPLOYMENT_PAUSED] = "paused",
	[SCHED_DEPLOYMENT_FAILED] = "failed",
	[SCHED_DEPLOYMENT_SUCCESSFUL] = "successful",
	[SCHED_DEPLOYMENT_CANCELLED] = "cancelled",
};

static const char *const why_texts[SCHED_DEPLOYMENT_WHYS] = {
	[SCHED_DEPLOYMENT_NEW] = "a new version is being rolled out",
	[SCHED_DEPLOYMENT_BY_HAND] = "somebody asked for it",
	[SCHED_DEPLOYMENT_AUTO_PROMOTED] = "all canaries were ready: promoted automatically",
	[SCHED_DEPLOYMENT_INSTANCE_FAILED] = "an instance of the new version failed",
	[SCHED_DEPLOYMENT_NO_PROGRESS] = "nothing became ready within progress_deadline",
	[SCHED_DEPLOYMENT_ALL_READY] = "all instances of the new version are ready",
	[SCHED_DEPLOYMENT_NEWER_VERSION] = "a newer version came",
	[SCHED_DEPLOYMENT_JOB_STOPPED] = "its job was stopped",
};

const char *sched_deployment_why_text(const struct sched_deployment *d)
{
	if (d->why == SCHED_DEPLOYMENT_NEW && d->revert)
		return "the version before it failed: back to the last stable one";
	return why_texts[d->why];
}

static void count_instance(struct sched_deployment_view *v, const struct sched_instance *i)
{
	bool canary = i->flags & SCHED_INSTANCE_CANARY;

	if (i->version != v->deployment->version || i->group >= v->group_count)
		return;
	if (sched_live(i)) {
		v->groups[i->group].placed++;
		v->groups[i->group].healthy += sched_ready(i);
		v->groups[i->group].healthy_canaries += sched_ready(i) && canary;
	}
	v->groups[i->group].unhealthy += i->status == SCHED_FAILED;
}

static bool waits(const struct sched_deployment_view *v)
{
	bool any = false;

	for (uint32_t g = 0; g < v->group_count; g++) {
		any |= v->groups[g].canaries && !v->groups[g].promoted;
		if (v->groups[g].canaries && !v->groups[g].promoted &&
			v->groups[g].healthy_canaries < v->groups[g].canaries)
			return false;
	}
	return any && v->deployment->status == SCHED_DEPLOYMENT_RUNNING;
}

int sched_deployment_of(
	const struct sched_snapshot *s, uint32_t job, struct sched_deployment_view *out)
{
	const struct sched_job *j = sched_job_at(s, job);
	const struct sched_deployment *d = j ? sched_deployment_current(j) : NULL;
	const struct sched_spec *spec = j ? sched_job_spec(j) : NULL;

	if (!d)
		return -ENOENT;
	*out = (struct sched_deployment_view){.deployment = d,
		.status = status_names[d->status],
		.why = sched_deployment_why_text(d),
		.group_count = spec->group_count};
	for (uint32_t g = 0; g < spec->group_count; g++) {
		const struct sched_group *group = &spec->groups[g];

		out->groups[g].name = group->name;
		out->groups[g].desired = group->count;
		if (d->canary_groups & 1u << g)
			out->groups[g].canaries = canaries_of(group);
		out->groups[g].promoted = d->promoted & 1u << g;
	}
	for (uint32_t at = j->first_instance; at != SCHED_NONE;) {
		const struct sched_instance *i = sched_instance_at(s, at);

		count_instance(out, i);
		at = i->next_in_job;
	}
	out->waits = waits(out);
	return 0;
}
