// SPDX-License-Identifier: Apache-2.0
// Choosing nodes for the placements of one group: filter, fit, score; the best first. Pure.
//
// Nodes are looked at in a random order, as many as are needed for a good choice and more only if
// these do not suffice. Those that fit stand in a heap by score, one heap a stratum (strata.h), and
// the strata in a heap by what their best node scores. A placement changes the score of its own
// node and, by what a spread has counted, of whole strata. That can only lower it, so a stratum is
// scored anew when it comes to the top: a placement costs the logarithm of the nodes looked at,
// however many are placed.
#pragma once

#include "lib/base/rng.h"
#include "sched/arena.h"
#include "sched/favourites.h"
#include "sched/feasible.h"
#include "sched/plan.h"
#include "sched/reconcile.h"
#include "sched/strata.h"

enum sched_algorithm {
	SCHED_LEAST_LOADED,
	SCHED_BIN_PACK,
};

// Nodes that fit and are looked at for one placement, at least; for n placements, n times the
// second. With several strata the first is shared by them, and each has at least the third.
#define SCHED_LOOK_MIN 128
#define SCHED_LOOK_EACH 8
#define SCHED_LOOK_STRATUM 4

#define SCHED_RECENT_MAX 16

struct sched_ranking {
	const struct sched_snapshot *s;
	struct sched_arena *arena;
	struct rng *rng;
	const struct sched_reconciled *rec;
	const struct sched_res
		*planned; // by node: what this plan has placed for other groups; NULL: nothing
	const struct sched_plan *plan;
	struct sched_catalog *catalog;
	enum sched_algorithm algorithm;
	struct sched_favourites *favourites; // NULL, but for bin-packing
	uint32_t recent[SCHED_RECENT_MAX];   // the last ones taken, for the favourites
	uint32_t recent_count;
	const struct sched_group *group;
	bool claims;
	bool drawn;      // by what is on single nodes (near.h)
	float score_max; // of a node, but for what its stratum has
	struct sched_filter filter;
	struct sched_strata strata;
	struct sched_stratum **queue; // a heap by bound
	uint32_t queue_count;
	struct sched_candidate aside;   // what was to be avoided
	struct sched_stratum *aside_of; // NULL: nothing is aside
	struct sched_explain *explain;
	struct sched_plan_why why;
};

// 0 or -ENOMEM. explain's counts of nodes start anew.
int sched_ranking_init(struct sched_ranking *r, const struct sched_spec *spec, uint32_t group);
// The best node for one more instance; avoid: not this one if another is there. 0; -ENOSPC: none;
// -ENOMEM.
int sched_ranking_next(
	struct sched_ranking *r, uint32_t wants_left, uint32_t avoid, struct sched_plan_place *out);
// This node, if it has room for one more, before the first sched_ranking_next(): the caller counts
// it in `planned` and rec->own. 0 or -ENOSPC.
int sched_ranking_on(struct sched_ranking *r, uint32_t node, struct sched_plan_place *out);
// No more placements of the group: keeps what the next evaluation may use.
void sched_ranking_end(struct sched_ranking *r);
// The score of a node with this used after the placement; higher is better, 0 to 1 without the
// penalty.
float sched_score(enum sched_algorithm algorithm, const struct sched_res *capacity,
	const struct sched_res *used, const struct sched_res *ask);
