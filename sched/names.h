// SPDX-License-Identifier: Apache-2.0
// Jobs by name, as a snapshot has them. Any thread that has it pinned; add and del: the writer.
#pragma once

#include "sched/state.h"

struct sched_table sched_names_make(struct sched_pages *pages);
// namespace: len bytes of it. SCHED_NONE: there is none.
uint32_t sched_names_find(
	const struct sched_snapshot *s, const char *namespace, size_t len, const char *name);
// "namespace/name".
uint32_t sched_names_find_text(const struct sched_snapshot *s, const char *text);
// The job's row is being made. 0, or -ENOMEM: nothing has changed.
int sched_names_add(
	struct sched_state *st, struct sched_job *j, uint32_t slot, const struct sched_spec *spec);
// Its row is still there. 0, or -ENOMEM: nothing has changed.
int sched_names_del(struct sched_state *st, uint32_t slot, const struct sched_spec *spec);
