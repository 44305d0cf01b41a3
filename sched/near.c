// SPDX-License-Identifier: Apache-2.0
// The nearness of near.h: peers are found by walking the lists of their jobs.
#include "sched/near.h"

#include <errno.h>
#include <string.h>

#include "sched/names.h"

// More racks than this, all zones together, are not told apart by zone.
#define RACKS_MAX 65536u

// ---- peers ----

static void walk(struct sched_near *n, const struct sched_snapshot *s, const struct sched_job *j,
	uint32_t steps)
{
	uint32_t stands_for = (j->live + steps - 1) / steps;

	for (uint32_t at = j->first_instance; at != SCHED_NONE && steps; steps--) {
		const struct sched_instance *i = sched_instance_at(s, at);

		at = i->next_in_job;
		if (!sched_live(i))
			continue;
		if (!n->count[i->node])
			n->nodes[n->node_count++] = i->node;
		n->count[i->node] += stands_for;
		n->peers += stands_for;
		if (n->count[i->node] > n->most)
			n->most = n->count[i->node];
	}
}

// NULL: it has nothing anywhere, or is the job itself.
static const struct sched_job *peer(const struct sched_prefer_request *q, const char *name)
{
	const struct sched_job *j = sched_job_at(q->s, sched_names_find_text(q->s, name));
	const struct sched_spec *spec;

	if (!j || !j->live)
		return NULL;
	spec = sched_job_spec(j);
	return strcmp(spec->name, q->spec->name) || strcmp(spec->namespace, q->spec->namespace)
		       ? j
		       : NULL;
}

static int find_peers(struct sched_near *n, const struct sched_prefer_request *q)
{
	const struct sched_group *g = &q->spec->groups[q->group];
	uint32_t high = q->s->tables[SCHED_TABLE_NODES].high, steps = 4 * g->count;

	steps = steps < SCHED_NEAR_WALK_MIN ? SCHED_NEAR_WALK_MIN
		: steps > SCHED_NEAR_WALK   ? SCHED_NEAR_WALK
					    : steps;
	for (uint32_t i = 0; i < g->near_count; i++) {
		const struct sched_job *j = peer(q, g->near[i]);

		if (!j)
			continue;
		if (!n->count) {
			n->count = sched_arena_zeroed(q->arena, high * sizeof(*n->count));
			n->nodes = sched_arena_take(
				q->arena, (high < SCHED_NEAR_WALK ? high : SCHED_NEAR_WALK) *
						  sizeof(*n->nodes));
			if (!n->count || !n->nodes)
				return -ENOMEM;
		}
		walk(n, q->s, j, steps / g->near_count);
	}
	if (!n->peers) {
		n->count = NULL;
		return 0;
	}
	// One at least where most peers are.
	n->each = (float)g->count / (float)n->peers;
	if (n->each * (float)n->most < 1)
		n->each = 1 / (float)n->most;
	return 0;
}

int sched_near_init(struct sched_near *n, const struct sched_prefer_request *q)
{
	const struct sched_group *g = &q->spec->groups[q->group];

	*n = (struct sched_near){0};
	if (g->image && *g->image) {
		n->image = sched_image_hash(g->image);
		n->holders = sched_image_holders(q->s, n->image);
	}
	return g->near_count ? find_peers(n, q) : 0;
}

// ---- racks and zones ----

// SCHED_NONE: it has none.
static uint32_t value_at(const struct sched_near_level *l, uint32_t unit)
{
	uint32_t value = l->column[0]->value[unit];

	if (value != SCHED_NONE)
		return value;
	value = l->column[1]->value[unit];
	return value == SCHED_NONE ? value : value + l->column[0]->value_count;
}

static uint32_t zone_at(const struct sched_near *n, uint32_t unit)
{
	return n->zone.values ? value_at(&n->zone, unit) : SCHED_NONE;
}

// Racks of different zones may bear the same name.
static uint32_t rack_at(const struct sched_near *n, uint32_t unit)
{
	uint32_t racks = n->rack.column[0]->value_count + n->rack.column[1]->value_count;
	uint32_t rack = racks ? value_at(&n->rack, unit) : SCHED_NONE;
	uint32_t zone = n->rack.values > racks ? zone_at(n, unit) : SCHED_NONE;

	return rack == SCHED_NONE || zone == SCHED_NONE ? rack : rack + (zone + 1) * racks;
}

static int find_columns(struct sched_near_level *l, const struct sched_prefer_request *q,
	bool by_node, const char *first, const char *second)
{
	const char *const names[] = {first, second};

	l->values = 0;
	for (int i = 0; i < 2; i++) {
		l->column[i] = by_node ? sched_catalog_column_by_node(q->catalog, q->s, names[i])
				       : sched_catalog_column(q->catalog, q->s, names[i]);
		if (!l->column[i])
			return -ENOMEM;
		l->values += l->column[i]->value_count;
	}
	return 0;
}

static void count_at(struct sched_near_level *l, uint32_t value, uint32_t peers)
{
	if (value == SCHED_NONE)
		return;
	l->count[value] += peers;
	if (l->count[value] > l->most)
		l->most = l->count[value];
}

int sched_near_levels(struct sched_near *n, const struct sched_prefer_request *q, bool by_node)
{
	if (!n->count)
		return 0;
	if (find_columns(&n->zone, q, by_node, "node.zone", "zone") ||
		find_columns(&n->rack, q, by_node, "node.rack", "rack"))
		return -ENOMEM;
	n->levels = n->zone.values || n->rack.values;
	if (!n->levels)
		return 0;
	if ((uint64_t)n->rack.values * (n->zone.values + 1) <= RACKS_MAX)
		n->rack.values *= n->zone.values + 1;
	n->zone.count = sched_arena_zeroed(q->arena, n->zone.values * sizeof(*n->zone.count));
	n->rack.count = sched_arena_zeroed(q->arena, n->rack.values * sizeof(*n->rack.count));
	if (!n->zone.count || !n->rack.count)
		return -ENOMEM;
	for (uint32_t i = 0; i < n->node_count; i++) {
		const struct sched_node *node = sched_node_at(q->s, n->nodes[i]);
		uint32_t unit = by_node ? n->nodes[i] : node ? node->class_id : SCHED_NONE;

		if (!node)
			continue;
		count_at(&n->zone, zone_at(n, unit), n->count[n->nodes[i]]);
		count_at(&n->rack, rack_at(n, unit), n->count[n->nodes[i]]);
	}
	return 0;
}

static float part(const struct sched_near_level *l, uint32_t value)
{
	return value == SCHED_NONE || !l->most ? 0 : (float)l->count[value] / (float)l->most;
}

float sched_near_unit(const struct sched_near *n, uint32_t unit)
{
	if (!n->levels)
		return 0;
	return SCHED_NEAR_RACK * part(&n->rack, rack_at(n, unit)) +
	       SCHED_NEAR_ZONE * part(&n->zone, zone_at(n, unit));
}

// ---- single nodes ----

float sched_near_node(
	const struct sched_near *n, const struct sched_snapshot *s, uint32_t node, float own)
{
	float part = sched_near_share(n, node) / (own + 1), score = 0;

	if (n->image && sched_node_has_image(s, node, n->image))
		score = SCHED_IMAGE_WEIGHT;
	return score + SCHED_NEAR_HOST * (part < 1 ? part : 1);
}
