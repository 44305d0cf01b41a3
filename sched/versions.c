// SPDX-License-Identifier: Apache-2.0
// The versions of a job that are kept besides the current one: those that instances run, or have
// completed, and those that a deployment may come back to.
#include <stdlib.h>

#include "sched/state_internal.h"

const struct sched_spec *sched_job_version(const struct sched_job *job, uint32_t version)
{
	for (uint32_t i = 0; i < job->versions->count; i++)
		if (job->versions->spec[i]->version == version)
			return job->versions->spec[i];
	return NULL;
}

bool sched_job_same(
	const struct sched_job *job, const struct sched_spec *spec, const struct sched_instance *i)
{
	const struct sched_spec *old = sched_job_version(job, i->version);

	return old && i->group < old->group_count && i->group < spec->group_count &&
	       sched_group_same(&old->groups[i->group], &spec->groups[i->group]);
}

// Whether it is to be done again in another version is told by what this one was.
static bool stays_done(const struct sched_job *j, const struct sched_instance *i)
{
	return j->type == SCHED_TYPE_BATCH && i->status == SCHED_COMPLETE &&
	       i->desired == SCHED_RUN;
}

static bool version_in_use(
	const struct sched_snapshot *s, const struct sched_job *j, uint32_t version)
{
	for (uint32_t at = j->first_instance; at != SCHED_NONE;) {
		const struct sched_instance *i = sched_instance_at(s, at);

		if (i->version == version && (!sched_terminal(i->status) || stays_done(j, i)))
			return true;
		at = i->next_in_job;
	}
	return false;
}

// A deployment may come back to it.
static bool falls_back(const struct sched_job *j, uint32_t version)
{
	const struct sched_deployment *d = j->deployment;

	if (!d)
		return false;
	if (d->status == SCHED_DEPLOYMENT_SUCCESSFUL)
		return version == d->version;
	return version == d->stable || version == d->from;
}

// How many places those behind it need.
static uint32_t kept_free(const struct sched_job *j, uint32_t at)
{
	uint32_t n = 0;

	while (++at < j->versions->count)
		n += falls_back(j, j->versions->spec[at]->version);
	return n;
}

void sched_versions_keep(const struct sched_snapshot *s, const struct sched_job *j,
	const struct sched_spec *spec, struct sched_versions *out)
{
	*out = (struct sched_versions){.count = 1, .spec = {spec}};
	for (uint32_t k = 0; j && k < j->versions->count; k++) {
		const struct sched_spec *old = j->versions->spec[k];

		if (old->version != spec->version &&
			out->count + kept_free(j, k) < SCHED_VERSIONS_MAX &&
			(falls_back(j, old->version) || version_in_use(s, j, old->version)))
			out->spec[out->count++] = old;
	}
}

struct sched_versions *sched_versions_with(
	struct sched_state *st, const struct sched_job *j, const struct sched_spec *spec)
{
	struct sched_versions *v = malloc(sizeof(*v));

	if (!v)
		return NULL;
	sched_versions_keep(&st->head, j, spec, v);
	// They are in the same order.
	for (uint32_t k = 0, kept = 1; j && k < j->versions->count; k++) {
		const struct sched_spec *old = j->versions->spec[k];

		if (kept < v->count && v->spec[kept] == old)
			kept++;
		else
			sched_pages_retire(&st->pages, (void *)(uintptr_t)old);
	}
	return v;
}
