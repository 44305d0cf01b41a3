// SPDX-License-Identifier: Apache-2.0
// What state.c and apply.c share.
#pragma once

#include "sched/state.h"

uint64_t sched_name_key(const char *namespace, const char *name);
// Book-keeping of free rows; both are called once the row has changed.
void sched_slot_taken(struct sched_state *st, enum sched_table_kind kind, uint32_t slot);
void sched_slot_freed(struct sched_state *st, enum sched_table_kind kind, uint32_t slot);

// ---- quotas (quota.c) ----

int sched_quota_put(struct sched_state *st, const struct sched_change *c);
int sched_quota_del(struct sched_state *st, const struct sched_change *c);
// Something of the job's namespace begins or ends to hold this much. `quota` SCHED_NONE: nothing.
void sched_quota_hold(struct sched_state *st, uint32_t quota, const struct sched_res *ask);
void sched_quota_release(struct sched_state *st, uint32_t quota, const struct sched_res *ask);
