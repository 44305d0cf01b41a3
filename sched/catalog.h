// SPDX-License-Identifier: Apache-2.0
// What a worker keeps of the nodes' attributes between evaluations: which nodes make up a class,
// and columns: the values of an attribute, numbered, by class (or by node, for unique.*
// attributes).
//
// All of it follows from the nodes' attributes alone, so it stays good until a node comes, goes or
// changes these (the snapshot's `topology`). Then it is built anew when it is next asked for: a few
// ns a node, once, whatever the number of evaluations. Belongs to one worker. Texts are the nodes':
// they are good as long as a snapshot with this topology is pinned.
#pragma once

#include "sched/state.h"

// More than one job can name.
#define SCHED_COLUMNS_MAX 64

struct sched_column {
	char *attribute;
	bool by_node;       // value[node slot], else value[class]
	uint32_t *value;    // SCHED_NONE: it has none
	const char **texts; // of the values
	uint32_t value_count;
	uint64_t used; // when it was last asked for
};

struct sched_catalog {
	uint64_t topology; // UINT64_MAX: nothing is here
	uint32_t class_count, node_high;
	uint32_t *first; // by class: where its nodes begin; one more than there are classes
	uint32_t *nodes; // sorted by class
	struct sched_column columns[SCHED_COLUMNS_MAX];
	uint64_t clock; // counts what was asked for
};

void sched_catalog_init(struct sched_catalog *c);
void sched_catalog_fini(struct sched_catalog *c);
// To be called before anything else, for each snapshot. 0 or -ENOMEM.
int sched_catalog_refresh(struct sched_catalog *c, const struct sched_snapshot *s);
// The column of an attribute; good until refresh, or until 64 others were asked for. NULL: out of
// memory.
const struct sched_column *sched_catalog_column(
	struct sched_catalog *c, const struct sched_snapshot *s, const char *attribute);
// The same by node, for any attribute.
const struct sched_column *sched_catalog_column_by_node(
	struct sched_catalog *c, const struct sched_snapshot *s, const char *attribute);

static inline uint32_t sched_catalog_class_size(const struct sched_catalog *c, uint32_t class_id)
{
	return c->first[class_id + 1] - c->first[class_id];
}
