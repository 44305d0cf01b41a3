// SPDX-License-Identifier: Apache-2.0
// What draws a group to nodes: the instances of jobs it is chained with (`near`), and its image.
// Pure.
//
// Peers on a node count for the node, for its rack (attribute node.rack, or rack) and for its zone
// (node.zone, or zone): the more of them, the nearer. Rack and zone are those of classes, so they
// are part of the strata, as an affinity is. What is on the node itself counts until the group has
// its share there: with 1,000 peers on 50 nodes, 100 instances go to these 50 in proportion.
// Neither is a constraint, and load counts as ever.
#pragma once

#include "sched/images.h"
#include "sched/prefer.h"

// Beside the score of a node's room, from 0 to 1. A node with peers has all three: it gives way to
// one in its rack that has half more of its room free, and to an empty node anywhere if a tenth of
// its own room would be left.
#define SCHED_NEAR_HOST 0.5f
#define SCHED_NEAR_RACK 0.25f
#define SCHED_NEAR_ZONE 0.15f
// A node that has the image may be fuller by this. Many times what chance adds, so it decides among
// equals; small, so that it decides nothing else.
#define SCHED_IMAGE_WEIGHT 0.03f
// Instances of peers that are walked, shared by all jobs of a group's list: four for each instance
// of the group, within these. Of a job with more the newest stand for all.
#define SCHED_NEAR_WALK_MIN 512
#define SCHED_NEAR_WALK 4096

struct sched_near_level {
	// A node has the value of the first, else of the second.
	const struct sched_column *column[2];
	uint32_t values;
	uint32_t *count; // of peers by value
	uint32_t most;
};

struct sched_near {
	uint32_t *count; // of peers by node; NULL: there are none
	uint32_t *nodes; // that have any
	uint32_t node_count;
	uint32_t peers, most; // of one node
	float each;           // of the group to each peer on the same node
	bool levels;          // nodes have racks or zones
	struct sched_near_level rack, zone;
	uint64_t image;                      // 0: none
	const struct sched_holders *holders; // NULL: none are known
};

// 0 or -ENOMEM.
int sched_near_init(struct sched_near *n, const struct sched_prefer_request *q);
// Racks and zones; the catalog is fresh. 0 or -ENOMEM.
int sched_near_levels(struct sched_near *n, const struct sched_prefer_request *q, bool by_node);
// What rack and zone are worth.
float sched_near_unit(const struct sched_near *n, uint32_t unit);
// Whether single nodes are liked.
static inline bool sched_near_any(const struct sched_near *n)
{
	return n->count || n->image;
}
// How many of the group belong on a node by the peers that it has. Within their share they do not
// keep away from each other.
static inline float sched_near_share(const struct sched_near *n, uint32_t node)
{
	return n->count ? n->each * (float)n->count[node] : 0;
}
// What one more instance gets of the node itself, where the job has `own` already.
float sched_near_node(
	const struct sched_near *n, const struct sched_snapshot *s, uint32_t node, float own);
