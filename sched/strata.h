// SPDX-License-Identifier: Apache-2.0
// The nodes that a group may use, sorted into strata: all nodes of a stratum are alike in what the
// group prefers (prefer.h). Each stratum hands out its nodes one by one in a random order. Pure.
//
// Classes that constraints exclude are left out as a whole, without a look at their nodes. A group
// without constraints and preferences has one stratum of all nodes, which costs nothing to make.
#pragma once

#include "lib/base/rng.h"
#include "sched/near.h"

struct sched_candidate {
	float score;
	uint32_t node;
	struct sched_res used;
	uint32_t own;
	uint32_t claims_room; // so many more find what they claim
};

// Some nodes of a stratum.
struct sched_span {
	const uint32_t *nodes; // NULL: a single one, `only`
	uint32_t before;       // nodes in spans before it
	uint32_t only;
};

struct sched_stratum {
	float bound; // what its best node scores at most, as far as is known
	float affinity;
	uint32_t unit;                  // one of those in it
	const struct sched_span *spans; // NULL: nodes [0, total)
	uint32_t span_count;
	uint32_t total, looked;
	uint32_t start, stride; // the random order
	uint32_t early;         // the next of those to be looked at first, and 1; 0: none is left
	uint32_t early_looked;  // of these, so far not met again in the random order
	uint32_t found, taken;  // candidates, placements
	struct sched_candidate *heap;
	uint32_t heap_count, heap_room;
	bool queued; // the ranking still takes from it
};

struct sched_strata {
	struct sched_stratum *all;
	uint32_t count;
	bool prefers;
	struct sched_prefer prefer;
	struct sched_near near;
	const uint32_t *of_unit; // its stratum, SCHED_NONE: left out; NULL: there is one for all
	// Nodes that chance might not find: those with peers or with the image.
	struct sched_early {
		uint32_t node, next;
	} * early;
	uint64_t *early_set; // a bit a node; NULL: there are none
};

// Above this number of classes they are not sorted for constraints alone.
#define SCHED_STRATA_CLASSES_MAX 1024

// Counts in explain and why what it leaves out. 0 or -ENOMEM.
int sched_strata_init(struct sched_strata *strata, const struct sched_prefer_request *q,
	struct sched_filter *filter, struct sched_explain *explain, struct sched_plan_why *why);
// Sorts out which nodes are to be looked at first. 0 or -ENOMEM.
int sched_strata_early(
	struct sched_strata *strata, const struct sched_prefer_request *q, struct rng *rng);
// The next of these, SCHED_NONE: there is none.
static inline uint32_t sched_stratum_early(
	const struct sched_strata *strata, struct sched_stratum *stratum)
{
	const struct sched_early *e;

	if (!stratum->early)
		return SCHED_NONE;
	e = &strata->early[stratum->early - 1];
	stratum->early = e->next;
	return e->node;
}
static inline bool sched_strata_is_early(const struct sched_strata *strata, uint32_t node)
{
	return strata->early_set && strata->early_set[node / 64] >> node % 64 & 1;
}
// The next node of its random order; not to be asked beyond total.
uint32_t sched_stratum_next(struct sched_stratum *stratum, struct rng *rng);
// Another `nodes` nodes are excluded by a constraint.
void sched_explain_constraint(struct sched_explain *x, uint16_t constraint, uint32_t nodes);
