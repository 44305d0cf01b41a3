// SPDX-License-Identifier: Apache-2.0
// Deployments: how a new version of a service comes to its instances.
//
//   new version ──▶ running ──all ready, the old ones gone──▶ successful
//                    │ ▲  └─ a newer version, the job stopped ──▶ cancelled
//              pause │ │ resume
//                    ▼ │
//                   paused     running, paused ──an instance failed, no progress, by hand──▶ failed
//                              failed ──the job stopped──▶ cancelled: put again, it is tried again
//
// A group with canaries has these beside the old instances first; promoted, they take their places
// and the others follow by max_parallel. As long as a group is held (canaries not promoted, or
// paused, or failed) nothing of the new version is placed in it but canaries that are missing, and
// what is lost is replaced by the version from which the deployment started. What failed can be
// resumed; with auto_revert the last stable version's spec comes back instead, as a new version.
//
// A version is stable if its deployment was successful, or, without one, if all was ready when the
// next version came.
//
// The core decides (deploy_core.c), reconcilers obey. Durable is struct sched_deployment; how much
// is ready is soft, so after a restart the time for progress starts anew.
#pragma once

#include "sched/state.h"

// Whether a new version of it comes by a deployment. A first version has one only if somebody needs
// to know whether it is stable, or waits for progress.
bool sched_deploys(const struct sched_spec *spec, bool first);
// The deployment of `next`, whose version is the new one. old: NULL, or the job as it was; ready:
// all it wants was ready. False: it has none.
bool sched_deployment_start(const struct sched_job *old, const struct sched_spec *next, bool ready,
	struct sched_deployment *out);
// Once the job has the new version: if nothing runs the version that it was to start from, that is
// forgotten, and it starts from the one before.
void sched_deployment_kept(const struct sched_job *job, struct sched_deployment *d);
// What becomes of a deployment if its job is put with a spec that has none of its own. False: it
// stays as it is.
bool sched_deployment_goes_on(const struct sched_deployment *old, const struct sched_spec *put,
	struct sched_deployment *out);
// Specs with the same are one to instances (sched_same_instances); never 0.
uint64_t sched_deploy_identity(const struct sched_spec *spec);
// What all groups want together.
uint64_t sched_deploy_total(const struct sched_spec *spec);

// NULL: it has none of that name.
const struct sched_group *sched_group_named(const struct sched_spec *spec, const char *name);

// The deployment of the job's current version, NULL.
static inline const struct sched_deployment *sched_deployment_current(const struct sched_job *job)
{
	const struct sched_deployment *d = job->deployment;

	return d && d->version == sched_job_spec(job)->version ? d : NULL;
}

// Bits: groups that want canaries, have something to be beside, and differ from it. from: NULL:
// none.
uint32_t sched_deploy_canary_groups(const struct sched_spec *from, const struct sched_spec *next);
// The canaries that a group of the deployed version should have; 0: it has none, they are promoted,
// or it was successful or cancelled.
uint32_t sched_deploy_canaries(
	const struct sched_deployment *d, const struct sched_spec *spec, uint32_t group);

// ---- for whoever shows it ----

// Why it has the status it has, a sentence.
const char *sched_deployment_why_text(const struct sched_deployment *d);

struct sched_deployment_view {
	const struct sched_deployment *deployment;
	const char *status; // "running", ...
	const char *why;    // a sentence
	bool waits;         // all canaries are ready: it waits to be promoted
	uint32_t group_count;
	struct {
		const char *name;
		uint32_t desired, canaries; // canaries: wanted
		uint32_t placed, healthy;   // of the new version, canaries among them
		uint32_t healthy_canaries;
		uint32_t unhealthy; // of the new version and failed
		bool promoted;
	} groups[SCHED_GROUPS_MAX];
};

// The job's deployment, if it is of its current version. Looks at all its instances. 0, -ENOENT.
int sched_deployment_of(
	const struct sched_snapshot *s, uint32_t job, struct sched_deployment_view *out);
