// SPDX-License-Identifier: Apache-2.0
// What an evaluation saw, as a sentence for people. Pure.
#pragma once

#include "sched/state.h"

// Writes at most room bytes, NUL included, such as "placed 3 of 5; of 12 nodes 8 are excluded by
// kernel >= 6, 4 lack memory". Returns out.
const char *sched_explain_text(
	const struct sched_snapshot *s, const struct sched_eval *e, char *out, size_t room);
// A constraint by its number, NULL if the job has none such.
const struct sched_constraint *sched_constraint_by_number(
	const struct sched_spec *spec, uint32_t number);
// "kernel >= 6". Returns out.
const char *sched_constraint_text(const struct sched_constraint *c, char *out, size_t room);

// An instance's id as 32 hexadecimal digits.
#define SCHED_ID_TEXT 33
const char *sched_id_text(const struct sched_id *id, char out[static SCHED_ID_TEXT]);
// 0 or -EINVAL.
int sched_id_parse(const char *text, struct sched_id *id);
