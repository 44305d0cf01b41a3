// SPDX-License-Identifier: Apache-2.0
// What state.c and apply.c share.
#pragma once

#include "sched/state.h"

uint64_t sched_name_key(const char *namespace, const char *name);
// Book-keeping of free rows; both are called once the row has changed.
void sched_slot_taken(struct sched_state *st, enum sched_table_kind kind, uint32_t slot);
void sched_slot_freed(struct sched_state *st, enum sched_table_kind kind, uint32_t slot);
