// SPDX-License-Identifier: Apache-2.0
// What a group prefers beyond room: affinities, spreads, and limits on how many of its instances
// share an attribute (distinct_property). Pure.
//
// All of it depends on a node's attributes and on counts by value, so it is the same for all nodes
// of a unit: a class, or a single node where unique.* attributes matter. The counts are kept up as
// instances are placed: one step an attribute, however many instances there are.
#pragma once

#include "sched/arena.h"
#include "sched/catalog.h"
#include "sched/feasible.h"
#include "sched/reconcile.h"

// How strong they are at weight 100, beside the score of a node's room, which goes from 0 to 1. An
// affinity outweighs whatever load there is. A spread subtracts 1 for each quarter of a value's
// share.
#define SCHED_AFFINITY_WEIGHT 2.0f
#define SCHED_SPREAD_WEIGHT 4.0f

struct sched_property {
	const struct sched_column *column;
	uint32_t *count; // of instances by value; last those on nodes without it
	// A spread:
	float *share; // by value: how many it should have; NULL: a limit
	float weight;
	// A limit:
	uint32_t limit;
	uint16_t constraint; // its number
};

#define SCHED_PREFER_MAX (SCHED_SPREADS_MAX + SCHED_PROPERTIES_MAX)

struct sched_prefer {
	bool by_node;
	struct sched_property properties[SCHED_PREFER_MAX];
	uint32_t property_count;
	struct {
		const struct sched_column *column;
		uint8_t *holds; // by value, last for nodes without
		int weight;
	} affinities[SCHED_AFFINITIES_MAX];
	uint32_t affinity_count;
};

struct sched_prefer_request {
	struct sched_arena *arena;
	struct sched_catalog *catalog;
	const struct sched_snapshot *s;
	const struct sched_spec *spec;
	uint32_t group;
	uint32_t group_first; // number of the group's first constraint
	const struct sched_reconciled *rec;
	const struct sched_plan *plan; // what it places so far counts for limits of the whole job
};

// Whether a group has any.
bool sched_prefer_any(const struct sched_spec *spec, uint32_t group);
// Whether some of it looks at single nodes.
bool sched_prefer_by_node(const struct sched_spec *spec, uint32_t group);
// Whether a job has what needs sched_reconciled.kept.
bool sched_prefer_counts(const struct sched_spec *spec);
// How many a constraint with SCHED_OP_DISTINCT_PROPERTY allows.
uint32_t sched_distinct_limit(const struct sched_constraint *c);
// 0 or -ENOMEM.
int sched_prefer_init(struct sched_prefer *p, const struct sched_prefer_request *q);
// Once the units that may be used are known: with how many values each evenly spread attribute has.
// used: by unit.
int sched_prefer_share(struct sched_prefer *p, const struct sched_prefer_request *q,
	const bool *used, uint32_t units);

// Units with the same key are alike in all that is asked here.
uint64_t sched_prefer_key(const struct sched_prefer *p, uint32_t unit);
float sched_prefer_affinity(const struct sched_prefer *p, uint32_t unit);
// Of one more instance on the unit.
float sched_prefer_spread(const struct sched_prefer *p, uint32_t unit);
// SCHED_FEASIBLE, or the number of the constraint that allows no more there.
int sched_prefer_full(const struct sched_prefer *p, uint32_t unit);
void sched_prefer_take(struct sched_prefer *p, uint32_t unit);
