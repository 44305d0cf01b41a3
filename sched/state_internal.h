// SPDX-License-Identifier: Apache-2.0
// What state.c and apply.c share.
#pragma once

#include "sched/state.h"

uint64_t sched_name_key(const char *namespace, const char *name);
// Book-keeping of free rows; both are called once the row has changed.
void sched_slot_taken(struct sched_state *st, enum sched_table_kind kind, uint32_t slot);
void sched_slot_freed(struct sched_state *st, enum sched_table_kind kind, uint32_t slot);

// To be written to; NULL: it is not there, or out of memory.
static inline struct sched_job *sched_job_row(struct sched_state *st, uint32_t slot)
{
	if (!sched_job_at(&st->head, slot))
		return NULL;
	return sched_table_write(&st->pages, &st->head.tables[SCHED_TABLE_JOBS], slot);
}

// ---- versions (versions.c) ----

// The new spec and those before it (of `j`; NULL: none) that are still needed; the others are
// retired. NULL: out of memory.
struct sched_versions *sched_versions_with(
	struct sched_state *st, const struct sched_job *j, const struct sched_spec *spec);

// ---- quotas (quota.c) ----

int sched_quota_put(struct sched_state *st, const struct sched_change *c);
int sched_quota_del(struct sched_state *st, const struct sched_change *c);
// Something of the job's namespace begins or ends to hold this much. `quota` SCHED_NONE: nothing.
void sched_quota_hold(struct sched_state *st, uint32_t quota, const struct sched_res *ask);
void sched_quota_release(struct sched_state *st, uint32_t quota, const struct sched_res *ask);

// ---- jobs and their children (family.c) ----

// Whether a new job's parent, if it has one, is there and may have children.
bool sched_family_fits(const struct sched_state *st, const struct sched_spec *spec);
// Whether both are children of one job, or none.
bool sched_family_same(const struct sched_spec *old, const struct sched_spec *spec);
// The job's row was made. 0, or -ENOMEM: nothing else has changed.
int sched_family_join(struct sched_state *st, uint32_t slot, const struct sched_spec *spec);
// Its row is about to go.
void sched_family_leave(struct sched_state *st, uint32_t slot, const struct sched_spec *spec);
int sched_family_launch(struct sched_state *st, const struct sched_change *c);
int sched_family_ended(struct sched_state *st, const struct sched_change *c);

// ---- deployments (deploy_state.c) ----

int sched_deployment_put(struct sched_state *st, const struct sched_change *c);
// Room for the job's counts. 0 or -ENOMEM.
int sched_readiness_reserve(struct sched_state *st, uint32_t job);
// It has a new version: nothing of that is ready.
void sched_readiness_reset(struct sched_state *st, uint32_t job);
// Counts the instance (by 1), or no longer (-1), if it is live and of the current version.
void sched_readiness_count(struct sched_state *st, const struct sched_instance *i, int by);
// A placement of this is a canary.
bool sched_deploy_is_canary(const struct sched_job *j, const struct sched_instance *i);
