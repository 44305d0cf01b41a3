// SPDX-License-Identifier: Apache-2.0
// The preferences of prefer.h. Values are numbered by the catalog's columns, so that nothing here
// compares texts once a column is there.
#include "sched/prefer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool concerns(uint8_t of, uint32_t group)
{
	return of == SCHED_ALL_GROUPS || of == group;
}

static uint32_t limits_in(const struct sched_constraint *c, uint32_t n)
{
	uint32_t found = 0;

	for (uint32_t i = 0; i < n; i++)
		found += c[i].op == SCHED_OP_DISTINCT_PROPERTY;
	return found;
}

uint32_t sched_distinct_limit(const struct sched_constraint *c)
{
	uint32_t limit = (uint32_t)strtoul(c->value, NULL, 10);

	return limit ? limit : 1;
}

bool sched_prefer_any(const struct sched_spec *spec, uint32_t group)
{
	const struct sched_group *g = &spec->groups[group];

	for (uint32_t i = 0; i < spec->affinity_count; i++)
		if (concerns(spec->affinities[i].group, group))
			return true;
	for (uint32_t i = 0; i < spec->spread_count; i++)
		if (concerns(spec->spreads[i].group, group))
			return true;
	return limits_in(spec->constraints, spec->constraint_count) ||
	       limits_in(g->constraints, g->constraint_count);
}

bool sched_prefer_counts(const struct sched_spec *spec)
{
	uint32_t limits = limits_in(spec->constraints, spec->constraint_count);

	for (uint32_t g = 0; g < spec->group_count; g++)
		limits += limits_in(spec->groups[g].constraints, spec->groups[g].constraint_count);
	return limits || spec->spread_count;
}

// ---- columns ----

static bool any_unique(const struct sched_constraint *c, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (c[i].op == SCHED_OP_DISTINCT_PROPERTY &&
			sched_is_unique_attribute(c[i].attribute))
			return true;
	return false;
}

bool sched_prefer_by_node(const struct sched_spec *spec, uint32_t group)
{
	const struct sched_group *g = &spec->groups[group];

	for (uint32_t i = 0; i < spec->affinity_count; i++)
		if (concerns(spec->affinities[i].group, group) &&
			sched_is_unique_attribute(spec->affinities[i].attribute))
			return true;
	for (uint32_t i = 0; i < spec->spread_count; i++)
		if (concerns(spec->spreads[i].group, group) &&
			sched_is_unique_attribute(spec->spreads[i].attribute))
			return true;
	return any_unique(spec->constraints, spec->constraint_count) ||
	       any_unique(g->constraints, g->constraint_count);
}

static const struct sched_column *column_of(
	const struct sched_prefer *p, const struct sched_prefer_request *q, const char *attribute)
{
	return p->by_node ? sched_catalog_column_by_node(q->catalog, q->s, attribute)
			  : sched_catalog_column(q->catalog, q->s, attribute);
}

static uint32_t value_at(const struct sched_column *column, uint32_t unit)
{
	uint32_t value = column->value[unit];

	return value == SCHED_NONE ? column->value_count : value;
}

static int add_affinity(struct sched_prefer *p, const struct sched_prefer_request *q,
	const struct sched_affinity *a)
{
	const struct sched_constraint c = {a->attribute, a->value, a->op};
	const struct sched_column *column = column_of(p, q, a->attribute);
	uint32_t at = p->affinity_count;
	uint8_t *holds;

	holds = column ? sched_arena_take(q->arena, column->value_count + 1) : NULL;
	if (!holds)
		return -ENOMEM;
	for (uint32_t v = 0; v < column->value_count; v++)
		holds[v] = sched_constraint_holds(&c, column->texts[v]);
	holds[column->value_count] = sched_constraint_holds(&c, NULL);
	p->affinities[at].column = column;
	p->affinities[at].holds = holds;
	p->affinities[at].weight = a->weight;
	p->affinity_count++;
	return 0;
}

static struct sched_property *add_property(
	struct sched_prefer *p, const struct sched_prefer_request *q, const char *attribute)
{
	struct sched_property *y = &p->properties[p->property_count];

	// Beyond the limit only in a damaged log: such a job is placed without the rest.
	if (p->property_count == SCHED_PREFER_MAX)
		return y - 1;
	*y = (struct sched_property){.column = column_of(p, q, attribute)};
	y->count = y->column ? sched_arena_zeroed(
				       q->arena, (y->column->value_count + 1) * sizeof(*y->count))
			     : NULL;
	if (!y->count)
		return NULL;
	p->property_count++;
	return y;
}

// ---- what is there already ----

static uint32_t unit_of(const struct sched_prefer *p, const struct sched_snapshot *s, uint32_t node)
{
	const struct sched_node *n = p->by_node ? NULL : sched_node_at(s, node);

	return n ? n->class_id : node;
}

static void count_kept(const struct sched_prefer *p, struct sched_property *y,
	const struct sched_prefer_request *q, bool all_groups)
{
	const struct sched_plan *plan = q->plan;

	for (uint32_t i = 0; i < q->rec->kept_count; i++)
		if (all_groups || q->rec->kept[i].group == q->group)
			y->count[value_at(y->column, unit_of(p, q->s, q->rec->kept[i].node))]++;
	// Of the group itself if it is placed in two versions.
	for (uint32_t i = 0; i < plan->place_count; i++)
		if (all_groups || plan->places[i].group == q->group)
			y->count[value_at(y->column, unit_of(p, q->s, plan->places[i].node))]++;
}

static int add_limits(struct sched_prefer *p, const struct sched_prefer_request *q,
	const struct sched_constraint *c, uint32_t n, uint32_t first, bool all_groups)
{
	for (uint32_t i = 0; i < n; i++) {
		struct sched_property *y;

		if (c[i].op != SCHED_OP_DISTINCT_PROPERTY)
			continue;
		y = add_property(p, q, c[i].attribute);
		if (!y)
			return -ENOMEM;
		y->limit = sched_distinct_limit(&c[i]);
		y->constraint = (uint16_t)(first + i);
		count_kept(p, y, q, all_groups);
	}
	return 0;
}

int sched_prefer_init(struct sched_prefer *p, const struct sched_prefer_request *q)
{
	const struct sched_spec *spec = q->spec;
	const struct sched_group *g = &spec->groups[q->group];
	int rc = 0;

	*p = (struct sched_prefer){.by_node = sched_prefer_by_node(spec, q->group)};
	for (uint32_t i = 0; !rc && i < spec->affinity_count; i++)
		if (concerns(spec->affinities[i].group, q->group))
			rc = add_affinity(p, q, &spec->affinities[i]);
	for (uint32_t i = 0; !rc && i < spec->spread_count; i++) {
		struct sched_property *y;

		if (!concerns(spec->spreads[i].group, q->group))
			continue;
		y = add_property(p, q, spec->spreads[i].attribute);
		if (!y)
			return -ENOMEM;
		y->weight = SCHED_SPREAD_WEIGHT * (float)spec->spreads[i].weight / 100;
		y->share = sched_arena_zeroed(
			q->arena, (y->column->value_count + 1) * sizeof(*y->share));
		if (!y->share)
			return -ENOMEM;
		count_kept(p, y, q, false);
	}
	if (!rc)
		rc = add_limits(p, q, spec->constraints, spec->constraint_count, 0, true);
	return rc ? rc
		  : add_limits(p, q, g->constraints, g->constraint_count, q->group_first, false);
}

// ---- shares ----

// What the targets leave is shared by the values that have none.
static void share_out(struct sched_property *y, const struct sched_spread *spread, uint32_t count,
	const uint8_t *seen)
{
	const struct sched_column *column = y->column;
	uint32_t rest = 100, others = 0;
	float each;

	for (uint32_t v = 0; v < column->value_count; v++)
		y->share[v] = -1;
	for (uint32_t t = 0; t < spread->target_count; t++) {
		rest -= spread->targets[t].percent < rest ? spread->targets[t].percent : rest;
		for (uint32_t v = 0; v < column->value_count; v++)
			if (strcmp(column->texts[v], spread->targets[t].value) == 0)
				y->share[v] = (float)count * spread->targets[t].percent / 100;
	}
	for (uint32_t v = 0; v < column->value_count; v++)
		others += y->share[v] < 0 && seen[v];
	each = (float)count * (float)rest / 100 / (float)(others ? others : 1);
	// Less than one each: who has none comes first all the same.
	if (each > 0 && each < 1)
		each = 1;
	for (uint32_t v = 0; v < column->value_count; v++)
		if (y->share[v] < 0)
			y->share[v] = each;
}

int sched_prefer_share(struct sched_prefer *p, const struct sched_prefer_request *q,
	const bool *used, uint32_t units)
{
	uint32_t at = 0;

	for (uint32_t i = 0; i < q->spec->spread_count; i++) {
		struct sched_property *y = &p->properties[at];
		uint8_t *seen;

		if (!concerns(q->spec->spreads[i].group, q->group))
			continue;
		seen = sched_arena_zeroed(q->arena, y->column->value_count + 1);
		if (!seen)
			return -ENOMEM;
		for (uint32_t unit = 0; unit < units; unit++)
			if (used[unit])
				seen[value_at(y->column, unit)] = 1;
		share_out(y, &q->spec->spreads[i], q->spec->groups[q->group].count, seen);
		if (++at == p->property_count)
			break;
	}
	return 0;
}

// ---- asking ----

static int affinity_sum(const struct sched_prefer *p, uint32_t unit)
{
	int sum = 0;

	for (uint32_t i = 0; i < p->affinity_count; i++)
		if (p->affinities[i].holds[value_at(p->affinities[i].column, unit)])
			sum += p->affinities[i].weight;
	return sum;
}

uint64_t sched_prefer_key(const struct sched_prefer *p, uint32_t unit)
{
	uint64_t key = (uint64_t)(int64_t)affinity_sum(p, unit);

	for (uint32_t i = 0; i < p->property_count; i++) {
		key = (key ^ key >> 32) * 0x9e3779b97f4a7c15ull;
		key += value_at(p->properties[i].column, unit);
	}
	return (key ^ key >> 29) * 0xbf58476d1ce4e5b9ull;
}

float sched_prefer_affinity(const struct sched_prefer *p, uint32_t unit)
{
	return SCHED_AFFINITY_WEIGHT * (float)affinity_sum(p, unit) / 100;
}

float sched_prefer_spread(const struct sched_prefer *p, uint32_t unit)
{
	float score = 0;

	for (uint32_t i = 0; i < p->property_count; i++) {
		const struct sched_property *y = &p->properties[i];
		uint32_t value = value_at(y->column, unit);
		float n = (float)y->count[value] + 1;

		if (!y->share)
			continue;
		score += y->weight *
			 (y->share[value] > 0 ? (y->share[value] - n) / y->share[value] : -1 - n);
	}
	return score;
}

int sched_prefer_full(const struct sched_prefer *p, uint32_t unit)
{
	for (uint32_t i = 0; i < p->property_count; i++) {
		const struct sched_property *y = &p->properties[i];

		if (!y->share && y->count[value_at(y->column, unit)] >= y->limit)
			return y->constraint;
	}
	return SCHED_FEASIBLE;
}

void sched_prefer_take(struct sched_prefer *p, uint32_t unit)
{
	for (uint32_t i = 0; i < p->property_count; i++)
		p->properties[i].count[value_at(p->properties[i].column, unit)]++;
}
