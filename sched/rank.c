// SPDX-License-Identifier: Apache-2.0
// The ranking of rank.h.
#include "sched/rank.h"

#include <errno.h>
#include <math.h>

#include "sched/claims.h"
#include "sched/fit.h"

// Small enough to change no real preference, large enough that workers on the same snapshot do not
// all take the same of many equal nodes.
#define JITTER 0.002f
// No node scores more, but for what its stratum has.
#define SCORE_MAX (1 + JITTER)
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

// What near.h changes; most groups do without.
__attribute__((noinline)) static float drawn_by(
	const struct sched_ranking *r, const struct sched_candidate *c)
{
	const struct sched_near *near = &r->strata.near;
	float own = (float)c->own, share = sched_near_share(near, c->node);
	float forgiven = own < share ? own : share;

	return sched_near_node(near, r->s, c->node, own) +
	       OWN_WEIGHT * forgiven / (float)(r->group->count ? r->group->count : 1);
}

static inline float score_of(
	struct sched_ranking *r, const struct sched_candidate *c, const struct sched_node *n)
{
	float score = sched_score(r->algorithm, &n->capacity, &c->used, &r->group->ask);

	score -= OWN_WEIGHT * (float)c->own / (float)(r->group->count ? r->group->count : 1);
	return __builtin_expect(r->drawn, 0) ? score + drawn_by(r, c) : score;
}

// ---- the heap of a stratum, best first ----

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

static void heap_remove_top(struct sched_stratum *s)
{
	s->heap[0] = s->heap[--s->heap_count];
	if (s->heap_count)
		sift_down(s->heap, s->heap_count, 0);
}

static inline int heap_reserve(struct sched_ranking *r, struct sched_stratum *s, uint32_t more)
{
	uint32_t room = s->heap_count + more + 1; // one that is aside may come back
	struct sched_candidate *heap;

	if (room <= s->heap_room)
		return 0;
	room = room > 2 * s->heap_room ? room : 2 * s->heap_room;
	heap = sched_arena_take(r->arena, room * sizeof(*heap));
	if (!heap)
		return -ENOMEM;
	if (s->heap_count)
		memcpy(heap, s->heap, s->heap_count * sizeof(*heap));
	s->heap = heap;
	s->heap_room = room;
	return 0;
}

// ---- the heap of strata ----

// What all its nodes have in common, with one more instance there.
static float common_score(const struct sched_ranking *r, const struct sched_stratum *s)
{
	return r->strata.prefers ? s->affinity + sched_prefer_spread(&r->strata.prefer, s->unit)
				 : 0;
}

static void set_bound(const struct sched_ranking *r, struct sched_stratum *s)
{
	float best = s->heap_count ? s->heap[0].score : r->score_max;

	// Peers may be on those that are still to be looked at.
	if (__builtin_expect(!s->heap_count && s->early, 0))
		best += SCHED_NEAR_HOST;
	s->bound = best + common_score(r, s);
}

static void queue_down(struct sched_ranking *r, uint32_t at)
{
	struct sched_stratum **q = r->queue, *s = q[at];

	for (uint32_t child; (child = 2 * at + 1) < r->queue_count; at = child) {
		if (child + 1 < r->queue_count && q[child + 1]->bound > q[child]->bound)
			child++;
		if (q[child]->bound <= s->bound)
			break;
		q[at] = q[child];
	}
	q[at] = s;
}

static void queue_up(struct sched_ranking *r, uint32_t at)
{
	struct sched_stratum **q = r->queue, *s = q[at];

	for (; at && q[(at - 1) / 2]->bound < s->bound; at = (at - 1) / 2)
		q[at] = q[(at - 1) / 2];
	q[at] = s;
}

static void queue_drop_top(struct sched_ranking *r)
{
	r->queue[0]->queued = false;
	r->queue[0] = r->queue[--r->queue_count];
	if (r->queue_count)
		queue_down(r, 0);
}

int sched_ranking_init(struct sched_ranking *r, const struct sched_spec *spec, uint32_t group)
{
	uint32_t classes = r->s->class_count;
	int16_t *memo = sched_arena_take(r->arena, classes * sizeof(*memo));
	struct sched_prefer_request q = {.arena = r->arena,
		.catalog = r->catalog,
		.s = r->s,
		.spec = spec,
		.group = group,
		.rec = r->rec,
		.plan = r->plan};

	if (!memo)
		return -ENOMEM;
	sched_filter_init(&r->filter, spec, group, memo, classes);
	q.group_first = r->filter.group_first;
	r->group = &spec->groups[group];
	r->claims = sched_claims_any(spec, group);
	r->why = (struct sched_plan_why){0};
	r->aside_of = NULL;
	r->explain->group = (uint8_t)group;
	r->explain->considered = r->explain->feasible = 0;
	memset(r->explain->by_dimension, 0, sizeof(r->explain->by_dimension));
	memset(r->explain->by_constraint, 0, sizeof(r->explain->by_constraint));
	for (int i = 0; i < SCHED_EXPLAIN_BEST; i++) {
		r->explain->best[i].node = SCHED_NONE;
		r->explain->best[i].score = 0;
	}
	r->queue_count = 0;
	if (sched_strata_init(&r->strata, &q, &r->filter, r->explain, &r->why))
		return -ENOMEM;
	r->drawn = sched_near_any(&r->strata.near);
	if (r->group->near_count)
		r->explain->drawn |= r->strata.near.count ? SCHED_DRAWN_PEERS : SCHED_DRAWN_ALONE;
	if (r->strata.near.holders)
		r->explain->drawn |= SCHED_DRAWN_IMAGE;
	r->score_max = SCORE_MAX + (r->strata.near.image ? SCHED_IMAGE_WEIGHT : 0);
	if (r->drawn && sched_strata_early(&r->strata, &q, r->rng))
		return -ENOMEM;
	// With several strata the best of each matters, and these are small.
	if (r->strata.count != 1 || r->strata.prefers)
		r->favourites = NULL;
	r->queue = sched_arena_take(r->arena, r->strata.count * sizeof(*r->queue));
	if (!r->queue)
		return -ENOMEM;
	for (uint32_t k = 0; k < r->strata.count; k++) {
		set_bound(r, &r->strata.all[k]);
		r->strata.all[k].queued = true;
		r->queue[r->queue_count++] = &r->strata.all[k];
		queue_up(r, k);
	}
	return 0;
}

// ---- looking at nodes ----

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
	return full == SCHED_DIMS && !c->claims_room ? SCHED_DIM_CLAIM : full;
}

// Looks at one node: true if it became a candidate.
static bool look(struct sched_ranking *r, uint32_t slot, float common, struct sched_candidate *c)
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
		sched_explain_constraint(x, (uint16_t)constraint, 1);
		return false;
	}
	x->feasible++;
	*c = (struct sched_candidate){.node = slot, .used = n->used};
	c->own = r->rec->own ? r->rec->own[slot] : 0;
	if (r->planned)
		sched_res_add(&c->used, &r->planned[slot]);
	c->claims_room = UINT32_MAX;
	if (r->claims)
		c->claims_room = sched_claims_room(r->s, slot, r->filter.spec, r->explain->group,
			r->plan, r->plan->place_count);
	against = usable(r, n, c);
	if (against != SCHED_DIMS) {
		x->by_dimension[against]++;
		r->why.exhausted += sched_exhausted(against);
		r->why.infeasible += !sched_exhausted(against);
		return false;
	}
	c->score = score_of(r, c, n);
	note_best(x, slot, c->score + common);
	c->score += JITTER * (float)rng_unit(r->rng);
	return true;
}

static int look_at_favourites(struct sched_ranking *r, struct sched_stratum *s)
{
	struct sched_favourites *f = r->favourites;
	uint32_t high = r->s->tables[SCHED_TABLE_NODES].high;

	if (heap_reserve(r, s, SCHED_FAVOURITES * SCHED_FAVOURITES_OF))
		return -ENOMEM;
	memset(f->places, 0xff, sizeof(f->places));
	for (uint32_t k = 0; k < SCHED_FAVOURITES_OF; k++) {
		for (uint32_t i = 0; i < f->count[k]; i++) {
			const struct sched_node *n = sched_node_at(r->s, f->node[k][i]);

			// Constraints may have left it out before.
			if (f->node[k][i] >= high || !n ||
				sched_filter_class(&r->filter, n) != SCHED_FEASIBLE ||
				!sched_favourite_add(f, f->node[k][i]))
				continue;
			if (look(r, f->node[k][i], 0, &s->heap[s->heap_count]))
				sift_up(s->heap, s->heap_count++);
		}
	}
	return 0;
}

// Nodes that chance might not find: as many as of the others, besides those.
__attribute__((noinline)) static int look_early(
	struct sched_ranking *r, struct sched_stratum *s, float common, uint32_t most)
{
	if (heap_reserve(r, s, most))
		return -ENOMEM;
	while (most && s->early) {
		uint32_t node = sched_stratum_early(&r->strata, s);

		s->early_looked++;
		if (r->favourites && sched_favourite_has(r->favourites, node))
			continue;
		if (!look(r, node, common, &s->heap[s->heap_count]))
			continue;
		sift_up(s->heap, s->heap_count++);
		most--;
	}
	return 0;
}

// Goes on through the random order until `enough` candidates were added.
static int look_more(struct sched_ranking *r, struct sched_stratum *s, uint32_t enough)
{
	uint32_t left = s->total - s->looked, most = enough < left ? enough : left;
	float common = common_score(r, s);

	if (r->favourites && !s->looked) {
		if (look_at_favourites(r, s))
			return -ENOMEM;
		if (r->favourites->evaluations++ % SCHED_FAVOURITES_ALL == 0)
			most = left;
	}
	if (s->early && look_early(r, s, common, enough))
		return -ENOMEM;
	if (heap_reserve(r, s, most))
		return -ENOMEM;
	while (most && s->looked < s->total) {
		uint32_t node = sched_stratum_next(s, r->rng);

		if (sched_strata_is_early(&r->strata, node)) {
			s->early_looked--;
			continue;
		}
		if (r->favourites && sched_favourite_has(r->favourites, node))
			continue;
		if (!look(r, node, common, &s->heap[s->heap_count]))
			continue;
		sift_up(s->heap, s->heap_count++);
		s->found++;
		most--;
	}
	return 0;
}

// It may take no more of these: none of its nodes can be used.
static void close_stratum(struct sched_ranking *r, struct sched_stratum *s, int constraint)
{
	uint32_t unseen = s->total - s->looked - s->early_looked;

	r->explain->considered += unseen;
	r->why.considered += unseen;
	r->why.infeasible += unseen;
	sched_explain_constraint(r->explain, (uint16_t)constraint, unseen + s->heap_count);
	s->looked = s->total;
	s->early = s->early_looked = 0;
	s->heap_count = 0;
}

// How many candidates of a stratum are enough for the next choice.
static uint32_t enough_of(
	const struct sched_ranking *r, const struct sched_stratum *s, uint32_t wants_left)
{
	uint32_t enough = SCHED_LOOK_MIN / r->strata.count, more = (s->taken + 1) * SCHED_LOOK_EACH;

	if (r->strata.count > 1) {
		enough = enough > SCHED_LOOK_STRATUM ? enough : SCHED_LOOK_STRATUM;
		return s->taken && more > enough ? more : enough;
	}
	// With a single one all can be looked at in one go, and again if they are used up.
	more = wants_left * SCHED_LOOK_EACH;
	return s->heap_count ? 0 : s->found + (more > enough ? more : enough);
}

// Makes sure that there is a candidate, of enough to choose from. 0; -ENOSPC: there is none.
static int prepare(struct sched_ranking *r, struct sched_stratum *s, uint32_t wants_left)
{
	uint32_t enough = enough_of(r, s, wants_left);
	int full =
		r->strata.prefers ? sched_prefer_full(&r->strata.prefer, s->unit) : SCHED_FEASIBLE;

	if (full != SCHED_FEASIBLE)
		close_stratum(r, s, full);
	if (s->found < enough && s->looked < s->total && look_more(r, s, enough - s->found))
		return -ENOMEM;
	// At the end of the random order some that it left to be looked at first may not have been.
	if (!s->heap_count && (s->looked < s->total || s->early) &&
		look_more(r, s, SCHED_LOOK_EACH))
		return -ENOMEM;
	return s->heap_count ? 0 : -ENOSPC;
}

// ---- choosing ----

static void put_aside(struct sched_ranking *r, struct sched_stratum *s)
{
	r->aside = s->heap[0];
	r->aside_of = s;
	heap_remove_top(s);
}

static void put_back(struct sched_ranking *r)
{
	struct sched_stratum *s = r->aside_of;
	uint32_t at = 0;

	// heap_reserve() has left a place for it.
	s->heap[s->heap_count] = r->aside;
	sift_up(s->heap, s->heap_count++);
	r->aside_of = NULL;
	set_bound(r, s);
	if (!s->queued)
		r->queue[r->queue_count++] = s;
	s->queued = true;
	while (r->queue[at] != s)
		at++;
	queue_up(r, at);
	queue_down(r, at);
}

// The stratum with the best node, which is on top of its heap.
static int find_best(
	struct sched_ranking *r, uint32_t wants_left, uint32_t avoid, struct sched_stratum **best)
{
	while (r->queue_count) {
		struct sched_stratum *s = r->queue[0];
		int rc = prepare(r, s, wants_left);

		if (rc == -ENOMEM)
			return rc;
		if (rc) {
			queue_drop_top(r);
			continue;
		}
		if (s->heap[0].node == avoid && !r->aside_of) {
			put_aside(r, s);
			continue;
		}
		set_bound(r, s);
		queue_down(r, 0);
		if (r->queue[0] != s)
			continue;
		*best = s;
		return 0;
	}
	return -ENOSPC;
}

static float runner_up(const struct sched_ranking *r, const struct sched_stratum *s)
{
	float best = 0, common = s->bound - s->heap[0].score;

	for (uint32_t k = 1; k < 3 && k < s->heap_count; k++)
		best = s->heap[k].score + common > best ? s->heap[k].score + common : best;
	for (uint32_t k = 1; k < 3 && k < r->queue_count; k++)
		if (r->queue[k]->heap_count && r->queue[k]->bound > best)
			best = r->queue[k]->bound;
	if (r->aside_of && r->aside.score + common > best)
		best = r->aside.score + common;
	return best;
}

// Takes room on the node on top.
static void take(struct sched_ranking *r, struct sched_stratum *s)
{
	struct sched_candidate *c = &s->heap[0];
	const struct sched_node *n = sched_node_at(r->s, c->node);
	enum sched_dimension full;

	sched_res_add(&c->used, &r->group->ask);
	c->own++;
	c->claims_room -= r->claims;
	s->taken++;
	if (r->strata.prefers)
		sched_prefer_take(&r->strata.prefer, s->unit);
	full = usable(r, n, c);
	if (full != SCHED_DIMS) {
		r->explain->by_dimension[full]++;
		heap_remove_top(s);
	} else {
		// Bin-packing makes a node better by placing there.
		c->score = score_of(r, c, n);
		sift_down(s->heap, s->heap_count, 0);
	}
	set_bound(r, s);
	queue_down(r, 0);
}

int sched_ranking_next(
	struct sched_ranking *r, uint32_t wants_left, uint32_t avoid, struct sched_plan_place *out)
{
	struct sched_stratum *s;
	int rc = find_best(r, wants_left, avoid, &s);

	if (rc == -ENOSPC && r->aside_of) {
		put_back(r);
		rc = find_best(r, wants_left, SCHED_NONE, &s);
	}
	if (rc)
		return rc;
	out->node = s->heap[0].node;
	out->score = s->bound;
	out->runner_up = runner_up(r, s);
	if (r->favourites)
		r->recent[r->recent_count++ % SCHED_RECENT_MAX] = out->node;
	take(r, s);
	if (r->aside_of)
		put_back(r);
	return 0;
}

int sched_ranking_on(struct sched_ranking *r, uint32_t node, struct sched_plan_place *out)
{
	const struct sched_node *n = sched_node_at(r->s, node);
	struct sched_prefer *prefer = r->strata.prefers ? &r->strata.prefer : NULL;
	struct sched_candidate c;
	uint32_t unit;

	// What ended may have been on a node that is gone.
	if (!n || !sched_node_takes(n))
		return -ENOSPC;
	unit = prefer && !prefer->by_node ? n->class_id : node;
	if ((prefer && sched_prefer_full(prefer, unit) != SCHED_FEASIBLE) || !look(r, node, 0, &c))
		return -ENOSPC;
	if (prefer)
		sched_prefer_take(prefer, unit);
	*out = (struct sched_plan_place){.node = node, .score = c.score};
	return 0;
}

void sched_ranking_end(struct sched_ranking *r)
{
	struct sched_favourites *f = r->favourites;
	struct sched_stratum *s = r->strata.all;
	uint32_t k;

	if (!f)
		return;
	k = f->next;
	f->next = (k + 1) % SCHED_FAVOURITES_OF;
	// Nobody needs the heap any more.
	f->count[k] = 0;
	// What was taken is good for other jobs, however low it stands for this one now.
	for (uint32_t i = 0; i < r->recent_count && i < SCHED_RECENT_MAX; i++)
		f->node[k][f->count[k]++] = r->recent[i];
	while (s->heap_count && f->count[k] < SCHED_FAVOURITES) {
		f->node[k][f->count[k]++] = s->heap[0].node;
		heap_remove_top(s);
	}
}
