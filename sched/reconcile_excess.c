// SPDX-License-Identifier: Apache-2.0
// Instances beyond what distinct_property or distinct_hosts allow where they are.
//
// What is to be replaced counts for no limit, so others may take its place. Should it become
// current again (its node is drained no more, or is back; an older version is put again), there are
// too many. Those that are least of use are then to be replaced themselves, at max_parallel like
// any others; without another place they stay, and the evaluation waits for one.
//
// Groups that a deployment holds keep what they have. Batch jobs do, too: their instances end, and
// to begin anew would cost more.
#include <errno.h>
#include <stdlib.h>

#include "sched/catalog.h"
#include "sched/prefer.h"
#include "sched/reconcile_internal.h"

struct limit {
	const struct sched_column *column; // NULL: of distinct_hosts, a value is a node
	uint32_t *count;                   // by value
	uint32_t values;
	uint32_t most;
	uint32_t group; // or SCHED_ALL_GROUPS
};

struct excess {
	struct sched_work *w;
	struct limit limits[SCHED_PROPERTIES_MAX + SCHED_GROUPS_MAX];
	uint32_t limit_count;
};

// In the order in which they may stay.
enum use {
	HELD,
	READY,
	COMING,
	REPLACED, // another current one has been placed for it
};

struct candidate {
	const struct sched_instance *instance;
	uint32_t group;
	enum use use;
};

static int add_limits(struct excess *x, struct sched_catalog *catalog,
	const struct sched_constraint *c, uint32_t n, uint32_t group)
{
	for (uint32_t k = 0; k < n; k++) {
		struct limit *l = &x->limits[x->limit_count];

		// More of them only in a damaged log.
		if (c[k].op != SCHED_OP_DISTINCT_PROPERTY || x->limit_count == SCHED_PROPERTIES_MAX)
			continue;
		l->column = sched_catalog_column(catalog, x->w->s, c[k].attribute);
		l->count = l->column ? sched_arena_zeroed(x->w->arena,
					       l->column->value_count * sizeof(*l->count))
				     : NULL;
		if (!l->count)
			return -ENOMEM;
		l->values = l->column->value_count;
		l->most = sched_distinct_limit(&c[k]);
		l->group = group;
		x->limit_count++;
	}
	return 0;
}

static int add_properties(struct excess *x, struct sched_catalog *catalog)
{
	const struct sched_spec *spec = x->w->spec;
	int rc = sched_catalog_refresh(catalog, x->w->s);

	if (!rc)
		rc = add_limits(
			x, catalog, spec->constraints, spec->constraint_count, SCHED_ALL_GROUPS);
	for (uint32_t g = 0; !rc && g < spec->group_count; g++)
		rc = add_limits(x, catalog, spec->groups[g].constraints,
			spec->groups[g].constraint_count, g);
	return rc;
}

static int find_limits(struct excess *x, struct sched_catalog *catalog)
{
	uint32_t nodes = x->w->s->tables[SCHED_TABLE_NODES].high;

	if (x->w->out->kept && add_properties(x, catalog))
		return -ENOMEM;
	for (uint32_t g = 0; g < x->w->spec->group_count; g++) {
		struct limit *l = &x->limits[x->limit_count];

		if (!x->w->spec->groups[g].distinct_hosts)
			continue;
		*l = (struct limit){.values = nodes, .most = 1, .group = g};
		l->count = sched_arena_zeroed(x->w->arena, nodes * sizeof(*l->count));
		if (!l->count)
			return -ENOMEM;
		x->limit_count++;
	}
	return 0;
}

// How many of a limit's value are counted so far; NULL: the limit is not about the instance.
static uint32_t *counted(const struct excess *x, const struct limit *l,
	const struct sched_instance *i, uint32_t group)
{
	const struct sched_node *n = sched_node_at(x->w->s, i->node);
	uint32_t value = i->node;

	if (l->column)
		value = l->column->value[l->column->by_node ? i->node : n->class_id];

	if (value == SCHED_NONE || (l->group != SCHED_ALL_GROUPS && l->group != group))
		return NULL;
	return &l->count[value];
}

// The group of an instance that would stay where it is as a current one, SCHED_NONE.
static uint32_t current_in(const struct sched_work *w, const struct sched_instance *i)
{
	const struct sched_node *n = sched_node_at(w->s, i->node);
	uint32_t group;

	if (!sched_live(i) || !n || n->draining || n->status == SCHED_NODE_DOWN ||
		sched_work_is_away(i, n))
		return SCHED_NONE;
	group = sched_work_group_of(w, i);
	if (group == SCHED_NONE || i->name_index >= w->spec->groups[group].count)
		return SCHED_NONE;
	if (i->version == w->spec->version)
		return group;
	return i->flags & SCHED_INSTANCE_CANARY || !sched_work_in_place(w, i, group) ? SCHED_NONE
										     : group;
}

static enum use use_of(const struct sched_work *w, const struct sched_instance *i, uint32_t group)
{
	const struct sched_instance *next = sched_instance_at(w->s, i->next);

	if (sched_held(w, group))
		return HELD;
	if (next && next->job == i->job && next->name_index == i->name_index &&
		current_in(w, next) == group)
		return REPLACED;
	return sched_ready(i) ? READY : COMING;
}

// Whether there are too many anywhere.
static bool any(struct excess *x)
{
	bool found = false;

	for (uint32_t at = x->w->job->first_instance; at != SCHED_NONE;) {
		const struct sched_instance *i = sched_instance_at(x->w->s, at);
		uint32_t group = current_in(x->w, i);

		at = i->next_in_job;
		for (uint32_t k = 0; group != SCHED_NONE && k < x->limit_count; k++) {
			uint32_t *count = counted(x, &x->limits[k], i, group);

			found |= count && ++*count > x->limits[k].most;
		}
	}
	return found;
}

static int by_use(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	const struct sched_instance *i = x->instance, *j = y->instance;

	if (x->use != y->use)
		return x->use < y->use ? -1 : 1;
	if (i->create_index != j->create_index)
		return i->create_index < j->create_index ? -1 : 1;
	return i->id.slot < j->id.slot ? -1 : 1;
}

static uint32_t gather(struct excess *x, struct candidate *all)
{
	uint32_t n = 0;

	for (uint32_t at = x->w->job->first_instance; at != SCHED_NONE;) {
		const struct sched_instance *i = sched_instance_at(x->w->s, at);
		uint32_t group = current_in(x->w, i);

		at = i->next_in_job;
		if (group != SCHED_NONE)
			all[n++] = (struct candidate){i, group, use_of(x->w, i, group)};
	}
	qsort(all, n, sizeof(*all), by_use);
	return n;
}

static bool is_beyond(const struct excess *x, const struct candidate *c)
{
	for (uint32_t k = 0; k < x->limit_count; k++) {
		const uint32_t *count = counted(x, &x->limits[k], c->instance, c->group);

		if (count && *count >= x->limits[k].most)
			return c->use != HELD;
	}
	return false;
}

static void keep(const struct excess *x, const struct candidate *c)
{
	for (uint32_t k = 0; k < x->limit_count; k++) {
		uint32_t *count = counted(x, &x->limits[k], c->instance, c->group);

		if (count)
			++*count;
	}
}

static void choose(struct excess *x, const struct candidate *all, uint32_t n)
{
	for (uint32_t k = 0; k < x->limit_count; k++)
		memset(x->limits[k].count, 0, x->limits[k].values * sizeof(*x->limits[k].count));
	for (uint32_t k = 0; k < n; k++) {
		uint32_t slot = all[k].instance->id.slot;

		if (is_beyond(x, &all[k]))
			x->w->excess[slot / 64] |= 1ull << slot % 64;
		else
			keep(x, &all[k]);
	}
}

int sched_excess_find(struct sched_work *w, struct sched_catalog *catalog)
{
	size_t words = w->s->tables[SCHED_TABLE_INSTANCES].high / 64 + 1;
	struct excess x = {.w = w};
	struct candidate *all;

	if (w->spec->type != SCHED_TYPE_SERVICE || !w->job->live || sched_job_rests(w->job))
		return 0;
	if (find_limits(&x, catalog))
		return -ENOMEM;
	if (!x.limit_count || !any(&x))
		return 0;
	all = sched_arena_take(w->arena, w->job->live * sizeof(*all));
	w->excess = sched_arena_zeroed(w->arena, words * sizeof(*w->excess));
	if (!all || !w->excess)
		return -ENOMEM;
	choose(&x, all, gather(&x, all));
	return 0;
}
