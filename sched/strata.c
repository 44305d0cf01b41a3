// SPDX-License-Identifier: Apache-2.0
// The strata of strata.h. Units are classes, or single nodes where unique.* attributes matter; they
// are assigned to strata by a hash of what the group prefers, then laid out as spans, sorted.
#include "sched/strata.h"

#include <errno.h>
#include <string.h>

// Building in the arena.
struct building {
	const struct sched_prefer_request *q;
	struct sched_strata *strata;
	uint32_t units;
	uint32_t *stratum; // by unit, SCHED_NONE: left out
	bool *used;        // by unit
	uint32_t *places;  // a hash from keys to strata
	uint64_t *keys;    // by stratum
	uint32_t mask;
};

void sched_explain_constraint(struct sched_explain *x, uint16_t constraint, uint32_t nodes)
{
	for (int i = 0; i < SCHED_EXPLAIN_CONSTRAINTS; i++) {
		if (x->by_constraint[i].nodes && x->by_constraint[i].constraint != constraint)
			continue;
		x->by_constraint[i].constraint = constraint;
		x->by_constraint[i].nodes += nodes;
		return;
	}
}

static int all_nodes(struct sched_strata *strata, const struct sched_prefer_request *q)
{
	strata->all = sched_arena_zeroed(q->arena, sizeof(*strata->all));
	if (!strata->all)
		return -ENOMEM;
	strata->count = 1;
	strata->all->total = q->s->tables[SCHED_TABLE_NODES].high;
	return 0;
}

// ---- units ----

static const struct sched_node *node_of(const struct building *b, uint32_t unit)
{
	const struct sched_catalog *c = b->q->catalog;

	if (b->strata->prefer.by_node)
		return sched_node_at(b->q->s, unit);
	return sched_catalog_class_size(c, unit) ? sched_node_at(b->q->s, c->nodes[c->first[unit]])
						 : NULL;
}

static uint32_t size_of(const struct building *b, uint32_t unit)
{
	return b->strata->prefer.by_node ? 1 : sched_catalog_class_size(b->q->catalog, unit);
}

// Which may be used; what is left out is counted.
static void choose_units(struct building *b, struct sched_filter *filter,
	struct sched_explain *explain, struct sched_plan_why *why)
{
	for (uint32_t unit = 0; unit < b->units; unit++) {
		const struct sched_node *n = node_of(b, unit);
		int against;

		b->used[unit] = false;
		b->stratum[unit] = SCHED_NONE;
		if (!n)
			continue;
		against = sched_filter_class(filter, n);
		if (against == SCHED_FEASIBLE) {
			b->used[unit] = true;
			continue;
		}
		explain->considered += size_of(b, unit);
		why->considered += size_of(b, unit);
		why->infeasible += size_of(b, unit);
		sched_explain_constraint(explain, (uint16_t)against, size_of(b, unit));
	}
}

static uint32_t stratum_for(struct building *b, uint32_t unit)
{
	struct sched_strata *strata = b->strata;
	uint64_t key = strata->prefers ? sched_prefer_key(&strata->prefer, unit) : 0;
	float near = sched_near_unit(&strata->near, unit);
	uint32_t at;

	if (near > 0)
		key = (key ^ (uint64_t)(near * 1e9f)) * 0x9e3779b97f4a7c15ull;
	at = (uint32_t)(key >> 32) & b->mask;

	for (; b->places[at] != SCHED_NONE; at = (at + 1) & b->mask)
		if (b->keys[b->places[at]] == key)
			return b->places[at];
	b->keys[strata->count] = key;
	strata->all[strata->count] = (struct sched_stratum){.unit = unit};
	if (strata->prefers)
		strata->all[strata->count].affinity =
			sched_prefer_affinity(&strata->prefer, unit) + near;
	return b->places[at] = strata->count++;
}

static int lay_out(struct building *b)
{
	struct sched_stratum *all = b->strata->all;
	struct sched_span *spans = sched_arena_take(b->q->arena, (b->units + 1) * sizeof(*spans));
	uint32_t at = 0;

	if (!spans)
		return -ENOMEM;
	for (uint32_t unit = 0; unit < b->units; unit++)
		if (b->used[unit])
			all[b->stratum[unit]].span_count++;
	for (uint32_t k = 0; k < b->strata->count; k++) {
		all[k].spans = spans + at;
		at += all[k].span_count;
		all[k].span_count = 0;
	}
	for (uint32_t unit = 0; unit < b->units; unit++) {
		const struct sched_catalog *c = b->q->catalog;
		struct sched_stratum *s;
		struct sched_span *span;

		if (!b->used[unit])
			continue;
		s = &all[b->stratum[unit]];
		span = &spans[s->spans - spans + s->span_count++];
		*span = (struct sched_span){NULL, s->total, unit};
		if (!b->strata->prefer.by_node)
			span->nodes = c->nodes + c->first[unit];
		s->total += size_of(b, unit);
	}
	return 0;
}

static int prepare(struct building *b)
{
	struct sched_arena *arena = b->q->arena;

	b->mask = 15;
	while (b->mask < b->units * 2)
		b->mask = b->mask * 2 + 1;
	b->stratum = sched_arena_take(arena, b->units * sizeof(*b->stratum));
	b->used = sched_arena_take(arena, b->units * sizeof(*b->used));
	b->keys = sched_arena_take(arena, b->units * sizeof(*b->keys));
	b->places = sched_arena_take(arena, ((size_t)b->mask + 1) * sizeof(*b->places));
	b->strata->all = sched_arena_take(arena, b->units * sizeof(*b->strata->all));
	if (!b->stratum || !b->used || !b->keys || !b->places || !b->strata->all)
		return -ENOMEM;
	memset(b->places, 0xff, ((size_t)b->mask + 1) * sizeof(*b->places));
	return 0;
}

int sched_strata_init(struct sched_strata *strata, const struct sched_prefer_request *q,
	struct sched_filter *filter, struct sched_explain *explain, struct sched_plan_why *why)
{
	struct building b = {.q = q, .strata = strata};
	int rc = sched_near_init(&strata->near, q);
	bool any = sched_prefer_any(q->spec, q->group);

	*strata = (struct sched_strata){.near = strata->near, .prefers = any};
	if (!rc && strata->near.count) {
		rc = sched_catalog_refresh(q->catalog, q->s);
		if (!rc)
			rc = sched_near_levels(
				&strata->near, q, any && sched_prefer_by_node(q->spec, q->group));
		strata->prefers |= strata->near.levels;
	}
	if (rc)
		return rc;
	if (!strata->prefers &&
		(!(q->spec->constraint_count + q->spec->groups[q->group].constraint_count) ||
			q->s->class_count > SCHED_STRATA_CLASSES_MAX))
		return all_nodes(strata, q);
	rc = sched_catalog_refresh(q->catalog, q->s);
	if (!rc && any)
		rc = sched_prefer_init(&strata->prefer, q);
	if (rc)
		return rc;
	b.units = strata->prefer.by_node ? q->catalog->node_high : q->catalog->class_count;
	rc = prepare(&b);
	if (rc)
		return rc;
	choose_units(&b, filter, explain, why);
	if (strata->prefers)
		rc = sched_prefer_share(&strata->prefer, q, b.used, b.units);
	for (uint32_t unit = 0; unit < b.units; unit++)
		if (b.used[unit])
			b.stratum[unit] = stratum_for(&b, unit);
	strata->of_unit = b.stratum;
	return rc ? rc : lay_out(&b);
}

// ---- nodes that are looked at first ----

static void add_early(struct sched_strata *strata, const struct sched_prefer_request *q,
	uint32_t node, uint32_t *count)
{
	const struct sched_node *n = sched_node_at(q->s, node);
	uint32_t at = 0;

	if (!n || sched_strata_is_early(strata, node))
		return;
	if (strata->of_unit)
		at = strata->of_unit[strata->prefer.by_node ? node : n->class_id];
	if (at == SCHED_NONE)
		return;
	strata->early_set[node / 64] |= 1ull << node % 64;
	strata->early[(*count)++] = (struct sched_early){node, strata->all[at].early};
	strata->all[at].early = *count;
}

int sched_strata_early(
	struct sched_strata *strata, const struct sched_prefer_request *q, struct rng *rng)
{
	const struct sched_near *near = &strata->near;
	uint32_t holders = near->holders ? near->holders->count : 0, count = 0;
	uint32_t most = near->node_count + holders;
	uint32_t words = q->s->tables[SCHED_TABLE_NODES].high / 64 + 1;
	uint32_t from = near->node_count ? rng_below(rng, near->node_count) : 0;

	if (!most || !strata->count)
		return 0;
	strata->early = sched_arena_take(q->arena, most * sizeof(*strata->early));
	strata->early_set = sched_arena_zeroed(q->arena, words * sizeof(*strata->early_set));
	if (!strata->early || !strata->early_set)
		return -ENOMEM;
	for (uint32_t i = 0; i < holders; i++)
		add_early(strata, q, near->holders->node[i], &count);
	// If they are too many, these are not always the same.
	for (uint32_t i = 0; i < near->node_count; i++)
		add_early(strata, q, near->nodes[(from + i) % near->node_count], &count);
	return 0;
}

// ---- the random order ----

// All are primes above 2^31, so each is a stride that reaches every node, however many there are.
static const uint32_t strides[16] = {2200000009u, 2325000047u, 2450000057u, 2575000063u,
	2700000071u, 2825000077u, 2950000091u, 3075000139u, 3200000183u, 3325000187u, 3450000217u,
	3575000237u, 3700000247u, 3825000251u, 3950000267u, 4075000277u};

static uint32_t node_in(const struct sched_stratum *s, uint32_t k)
{
	uint32_t low = 0, high = s->span_count;

	if (!s->spans)
		return k;
	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if (s->spans[middle].before <= k)
			low = middle;
		else
			high = middle;
	}
	return s->spans[low].nodes ? s->spans[low].nodes[k - s->spans[low].before]
				   : s->spans[low].only;
}

uint32_t sched_stratum_next(struct sched_stratum *s, struct rng *rng)
{
	uint32_t at;

	if (!s->looked++) {
		s->start = rng_below(rng, s->total);
		s->stride = strides[rng_below(rng, 16)] % s->total;
	}
	at = s->start;
	s->start = (uint32_t)(((uint64_t)at + s->stride) % s->total);
	return node_in(s, at);
}
