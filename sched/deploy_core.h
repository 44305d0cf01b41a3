// SPDX-License-Identifier: Apache-2.0
// What the core's events tell deployments (deploy.h). Those that return an int and take no job that
// was just made are called within a transaction, unless it says otherwise. 0 or -ENOMEM.
#pragma once

#include "sched/core.h"

#define SCHED_DEPLOY_STEP 64 // looked at in a tick

// ---- a job is put: begin before its change, then put, or unchanged, after it ----

// Whether the new version has a deployment; which.
bool sched_deploy_begin(const struct sched_core *c, uint32_t slot, const struct sched_spec *next,
	ns_t now, struct sched_deployment *out);
int sched_deploy_put(struct sched_core *c, uint32_t slot, struct sched_deployment *d, ns_t now);
// A spec whose version has failed and was taken back is put again, as by a host that wants another
// count of what it knows: the current spec with the counts of that. NULL: it is another one, or out
// of memory (*rc). *same: nothing would change.
struct sched_spec *sched_deploy_refuse(
	const struct sched_job *old, const struct sched_spec *put, bool *same, int *rc);
// The job was put without a deployment of its own: what of the one it has?
int sched_deploy_unchanged(struct sched_core *c, uint32_t slot, ns_t now);

// ---- something happened to an instance ----

// After its status has changed.
int sched_deploy_reported(struct sched_core *c, const struct sched_id *id, ns_t now);
// After anything else: a step that is due is a transaction of its own.
int sched_deploy_settle(struct sched_core *c, uint32_t job, ns_t now);

// ---- time; not within a transaction ----

// At start. Changes nothing that is durable.
int sched_deploy_recover(struct sched_core *c, ns_t now);
// True if there is more to do at once.
bool sched_deploy_tick(struct sched_core *c, ns_t now);
