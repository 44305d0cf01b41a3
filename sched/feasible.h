// SPDX-License-Identifier: Apache-2.0
// Which nodes a group may run on: its constraints, checked once a node class. Pure.
#pragma once

#include "sched/types.h"

// Numbers of constraints: the job's, then the groups' in order.
#define SCHED_FEASIBLE (-1)

struct sched_filter {
	const struct sched_spec *spec;
	const struct sched_group *group;
	uint32_t group_first; // number of the group's first constraint
	bool escaped;         // some constraint looks at a unique.* attribute
	int16_t *memo; // by class: MEMO_UNKNOWN, SCHED_FEASIBLE, or the constraint that excludes it
	uint32_t class_count;
};

#define SCHED_MEMO_UNKNOWN (-2)

// memo: room for class_count.
void sched_filter_init(struct sched_filter *f, const struct sched_spec *spec, uint32_t group,
	int16_t *memo, uint32_t class_count);
// SCHED_FEASIBLE or the number of the constraint that excludes the node.
int sched_filter_check(struct sched_filter *f, const struct sched_node *node);
// The same without constraints on unique.* attributes: of all nodes of its class.
int sched_filter_class(struct sched_filter *f, const struct sched_node *node);
// Whether one constraint holds for an attribute's value; NULL: the node has none.
bool sched_constraint_holds(const struct sched_constraint *c, const char *value);
// The classes found eligible, or not looked at.
void sched_filter_eligibility(const struct sched_filter *f, struct sched_eligibility *out);
