// SPDX-License-Identifier: Apache-2.0
// The ranking of rank.h.
#include "sched/rank.h"

#include <errno.h>
#include <math.h>

#include "sched/fit.h"

// Small enough to change no real preference, large enough that workers on the same snapshot do not
// all take the same of many equal nodes.
#define JITTER 0.002f
// How much it weighs that instances of the same job are on the node already.
#define OWN_WEIGHT 0.5f

// Nothing is known of a resource without limit.
static float free_part(uint32_t capacity, uint32_t used, uint32_t ask)
{
	if (capacity == 0 || capacity == UINT32_MAX)
		return 1;
	return 1.0f - (float)((uint64_t)used + ask) / (float)capacity;
}

float sched_score(enum sched_algorithm algorithm, const struct sched_res *capacity,
	const struct sched_res *used, const struct sched_res *ask)
{
	float cpu = free_part(capacity->cpu_milli, used->cpu_milli, ask->cpu_milli);
	float memory = free_part(capacity->memory_mib, used->memory_mib, ask->memory_mib);
	float packed;

	if (algorithm == SCHED_LEAST_LOADED)
		return (cpu + memory) / 2;
	// 20 - (10^cpu + 10^memory), from 0 for an empty node to 18 for a full one.
	packed = 20.0f - (exp2f(cpu * 3.3219281f) + exp2f(memory * 3.3219281f));
	return (packed < 0 ? 0 : packed > 18 ? 18 : packed) / 18;
}

static float score_of(
	struct sched_ranking *r, const struct sched_candidate *c, const struct sched_node *n)
{
	float score = sched_score(r->algorithm, &n->capacity, &c->used, &r->group->ask);

	return score - OWN_WEIGHT * (float)c->own / (float)(r->group->count ? r->group->count : 1);
}

// ---- the heap, best first ----

static void sift_down(struct sched_candidate *heap, uint32_t count, uint32_t at)
{
	struct sched_candidate c = heap[at];

	for (uint32_t child; (child = 2 * at + 1) < count; at = child) {
		if (child + 1 < count && heap[child + 1].score > heap[child].score)
			child++;
		if (heap[child].score <= c.score)
			break;
		heap[at] = heap[child];
	}
	heap[at] = c;
}

static void sift_up(struct sched_candidate *heap, uint32_t at)
{
	struct sched_candidate c = heap[at];

	for (; at && heap[(at - 1) / 2].score < c.score; at = (at - 1) / 2)
		heap[at] = heap[(at - 1) / 2];
	heap[at] = c;
}

static void heap_remove(struct sched_ranking *r, uint32_t at)
{
	struct sched_candidate last = r->heap[--r->heap_count];

	if (at == r->heap_count)
		return;
	r->heap[at] = last;
	sift_up(r->heap, at);
	sift_down(r->heap, r->heap_count, at);
}

// ---- looking at nodes ----

static uint32_t common_divisor(uint32_t a, uint32_t b)
{
	while (b) {
		uint32_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

int sched_ranking_init(
	struct sched_ranking *r, const struct sched_spec *spec, uint32_t group, uint32_t wants)
{
	uint32_t classes = r->s->class_count;
	int16_t *memo = sched_arena_take(r->arena, classes * sizeof(*memo));

	if (!memo)
		return -ENOMEM;
	sched_filter_init(&r->filter, spec, group, memo, classes);
	r->group = &spec->groups[group];
	r->nodes = r->s->tables[SCHED_TABLE_NODES].high;
	r->heap_count = r->looked = 0;
	r->why = (struct sched_plan_why){0};
	r->heap_room = 0;
	r->heap = NULL;
	if (r->nodes) {
		r->start = rng_below(r->rng, r->nodes);
		do
			r->stride = 1 + rng_below(r->rng, r->nodes);
		while (common_divisor(r->stride, r->nodes) != 1);
	}
	r->explain->group = (uint8_t)group;
	r->explain->considered = r->explain->feasible = 0;
	memset(r->explain->by_dimension, 0, sizeof(r->explain->by_dimension));
	memset(r->explain->by_constraint, 0, sizeof(r->explain->by_constraint));
	for (int i = 0; i < SCHED_EXPLAIN_BEST; i++) {
		r->explain->best[i].node = SCHED_NONE;
		r->explain->best[i].score = 0;
	}
	return 0;
}

static void count_constraint(struct sched_explain *x, uint16_t constraint)
{
	for (int i = 0; i < SCHED_EXPLAIN_CONSTRAINTS; i++) {
		if (x->by_constraint[i].nodes && x->by_constraint[i].constraint != constraint)
			continue;
		x->by_constraint[i].constraint = constraint;
		x->by_constraint[i].nodes++;
		return;
	}
}

static void note_best(struct sched_explain *x, uint32_t node, float score)
{
	int at = SCHED_EXPLAIN_BEST;

	while (at > 0 && (x->best[at - 1].node == SCHED_NONE || x->best[at - 1].score < score))
		at--;
	if (at == SCHED_EXPLAIN_BEST)
		return;
	for (int i = SCHED_EXPLAIN_BEST - 1; i > at; i--)
		x->best[i] = x->best[i - 1];
	x->best[at].node = node;
	x->best[at].score = score;
}

// SCHED_DIMS: it may be taken; else what is against it.
static enum sched_dimension usable(
	struct sched_ranking *r, const struct sched_node *n, struct sched_candidate *c)
{
	enum sched_dimension full;

	if (n->status != SCHED_NODE_READY)
		return SCHED_DIM_NOT_READY;
	if (!sched_node_takes(n))
		return SCHED_DIM_INELIGIBLE;
	if (r->group->distinct_hosts && c->own)
		return SCHED_DIM_DISTINCT_HOSTS;
	full = sched_fit(&n->capacity, &c->used, &r->group->ask);
	return full;
}

// Looks at one node: true if it became a candidate.
static bool look(struct sched_ranking *r, uint32_t slot, struct sched_candidate *c)
{
	const struct sched_node *n = sched_node_at(r->s, slot);
	struct sched_explain *x = r->explain;
	enum sched_dimension against;
	int constraint;

	if (!n)
		return false;
	x->considered++;
	r->why.considered++;
	constraint = sched_filter_check(&r->filter, n);
	if (constraint != SCHED_FEASIBLE) {
		r->why.infeasible++;
		count_constraint(x, (uint16_t)constraint);
		return false;
	}
	x->feasible++;
	*c = (struct sched_candidate){.node = slot, .used = n->used};
	c->own = r->rec->own ? r->rec->own[slot] : 0;
	if (r->planned)
		sched_res_add(&c->used, &r->planned[slot]);
	against = usable(r, n, c);
	if (against != SCHED_DIMS) {
		x->by_dimension[against]++;
		r->why.exhausted += against < SCHED_DIM_NOT_READY;
		r->why.infeasible += against >= SCHED_DIM_NOT_READY;
		return false;
	}
	c->score = score_of(r, c, n);
	note_best(x, slot, c->score);
	c->score += JITTER * (float)rng_unit(r->rng);
	return true;
}

// Goes on through the random order until `enough` candidates were added.
static int look_more(struct sched_ranking *r, uint32_t enough)
{
	uint32_t left = r->nodes - r->looked, most = enough < left ? enough : left;
	struct sched_candidate *heap;

	if (r->heap_count + most > r->heap_room) {
		heap = sched_arena_take(r->arena, (r->heap_count + most) * sizeof(*heap));
		if (!heap)
			return -ENOMEM;
		if (r->heap_count)
			memcpy(heap, r->heap, r->heap_count * sizeof(*heap));
		r->heap = heap;
		r->heap_room = r->heap_count + most;
	}
	while (most && r->looked < r->nodes) {
		uint32_t slot =
			(uint32_t)((r->start + (uint64_t)r->looked++ * r->stride) % r->nodes);

		if (!look(r, slot, &r->heap[r->heap_count]))
			continue;
		r->heap_count++;
		most--;
	}
	for (uint32_t at = r->heap_count / 2; at-- > 0;)
		sift_down(r->heap, r->heap_count, at);
	return r->heap_count ? 0 : -ENOSPC;
}

// ---- choosing ----

static uint32_t best_of(const struct sched_ranking *r, uint32_t avoid, float *runner_up)
{
	uint32_t second = 1;

	*runner_up = 0;
	if (r->heap_count < 2)
		return 0;
	if (r->heap_count > 2 && r->heap[2].score > r->heap[1].score)
		second = 2;
	if (r->heap[0].node == avoid) {
		*runner_up = r->heap[0].score;
		return second;
	}
	*runner_up = r->heap[second].score;
	return 0;
}

int sched_ranking_next(
	struct sched_ranking *r, uint32_t wants_left, uint32_t avoid, struct sched_plan_place *out)
{
	uint32_t enough = wants_left * SCHED_LOOK_EACH, at;
	const struct sched_node *n;
	struct sched_candidate *c;
	int rc;

	if (!r->heap_count ||
		(r->looked < r->nodes && r->heap_count == 1 && r->heap[0].node == avoid)) {
		rc = r->looked < r->nodes
			     ? look_more(r, enough > SCHED_LOOK_MIN ? enough : SCHED_LOOK_MIN)
			     : -ENOSPC;
		if (rc)
			return rc;
	}
	at = best_of(r, avoid, &out->runner_up);
	c = &r->heap[at];
	out->node = c->node;
	out->score = c->score;
	n = sched_node_at(r->s, c->node);
	sched_res_add(&c->used, &r->group->ask);
	c->own++;
	if (r->group->distinct_hosts ||
		sched_fit(&n->capacity, &c->used, &r->group->ask) != SCHED_DIMS) {
		enum sched_dimension full = usable(r, n, c);

		if (full != SCHED_DIMS)
			r->explain->by_dimension[full]++;
		heap_remove(r, at);
		return 0;
	}
	c->score = score_of(r, c, n);
	// Bin-packing makes a node better by placing there.
	sift_up(r->heap, at);
	sift_down(r->heap, r->heap_count, at);
	return 0;
}
