// SPDX-License-Identifier: Apache-2.0
// The catalog of catalog.h. A class is described by any of its nodes: they have the same attributes
// but for unique.* ones.
#include "sched/catalog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "sched/block.h"

void sched_catalog_init(struct sched_catalog *c)
{
	*c = (struct sched_catalog){.topology = UINT64_MAX};
}

static void drop_column(struct sched_column *column)
{
	free(column->attribute);
	free(column->value);
	free(column->texts);
	*column = (struct sched_column){0};
}

void sched_catalog_fini(struct sched_catalog *c)
{
	for (uint32_t i = 0; i < SCHED_COLUMNS_MAX; i++)
		drop_column(&c->columns[i]);
	free(c->first);
	free(c->nodes);
	sched_catalog_init(c);
}

int sched_catalog_refresh(struct sched_catalog *c, const struct sched_snapshot *s)
{
	uint32_t high = s->tables[SCHED_TABLE_NODES].high, at = 0;

	if (c->topology == s->topology)
		return 0;
	sched_catalog_fini(c);
	c->first = calloc(s->class_count + 2, sizeof(*c->first));
	c->nodes = malloc((high + 1) * sizeof(*c->nodes));
	if (!c->first || !c->nodes) {
		sched_catalog_fini(c);
		return -ENOMEM;
	}
	c->class_count = s->class_count;
	c->node_high = high;
	// Counted one place further on, so that filling moves each beginning to where it belongs.
	for (uint32_t i = 0; i < high; i++) {
		const struct sched_node *n = sched_node_at(s, i);

		if (n)
			c->first[n->class_id + 2]++;
	}
	for (uint32_t k = 2; k < c->class_count + 2; k++)
		at = c->first[k] += at;
	for (uint32_t i = 0; i < high; i++) {
		const struct sched_node *n = sched_node_at(s, i);

		if (n)
			c->nodes[c->first[n->class_id + 1]++] = i;
	}
	c->topology = s->topology;
	return 0;
}

// ---- columns ----

static const char *value_of(const struct sched_catalog *c, const struct sched_snapshot *s,
	const struct sched_column *column, uint32_t unit)
{
	const struct sched_node *n = NULL;

	if (column->by_node)
		n = sched_node_at(s, unit);
	else if (sched_catalog_class_size(c, unit))
		n = sched_node_at(s, c->nodes[c->first[unit]]);
	return n ? sched_node_attribute(n->info, column->attribute) : NULL;
}

// The number of a text, a new one if it was not there. `places` is an open hash of numbers.
static uint32_t number_of(
	struct sched_column *column, uint32_t *places, uint32_t mask, const char *text)
{
	uint32_t at = (uint32_t)XXH3_64bits(text, strlen(text)) & mask;

	for (; places[at] != SCHED_NONE; at = (at + 1) & mask)
		if (strcmp(column->texts[places[at]], text) == 0)
			return places[at];
	places[at] = column->value_count;
	column->texts[column->value_count] = text;
	return column->value_count++;
}

static int fill_column(
	const struct sched_catalog *c, const struct sched_snapshot *s, struct sched_column *column)
{
	uint32_t units = column->by_node ? c->node_high : c->class_count, mask = 15;
	uint32_t *places;

	while (mask < units * 2)
		mask = mask * 2 + 1;
	places = malloc(((size_t)mask + 1) * sizeof(*places));
	column->value = malloc((units + 1) * sizeof(*column->value));
	column->texts = malloc((units + 1) * sizeof(*column->texts));
	if (!places || !column->value || !column->texts) {
		free(places);
		return -ENOMEM;
	}
	memset(places, 0xff, ((size_t)mask + 1) * sizeof(*places));
	for (uint32_t i = 0; i < units; i++) {
		const char *text = value_of(c, s, column, i);

		column->value[i] = text ? number_of(column, places, mask, text) : SCHED_NONE;
	}
	free(places);
	return 0;
}

static const struct sched_column *find_column(struct sched_catalog *c,
	const struct sched_snapshot *s, const char *attribute, bool by_node)
{
	struct sched_column *oldest = &c->columns[0];

	for (uint32_t i = 0; i < SCHED_COLUMNS_MAX; i++) {
		struct sched_column *column = &c->columns[i];

		if (column->attribute && column->by_node == by_node &&
			strcmp(column->attribute, attribute) == 0) {
			column->used = ++c->clock;
			return column;
		}
		if (column->used < oldest->used)
			oldest = column;
	}
	drop_column(oldest);
	oldest->attribute = strdup(attribute);
	oldest->by_node = by_node;
	if (!oldest->attribute || fill_column(c, s, oldest)) {
		drop_column(oldest);
		return NULL;
	}
	oldest->used = ++c->clock;
	return oldest;
}

const struct sched_column *sched_catalog_column(
	struct sched_catalog *c, const struct sched_snapshot *s, const char *attribute)
{
	return find_column(c, s, attribute, sched_is_unique_attribute(attribute));
}

const struct sched_column *sched_catalog_column_by_node(
	struct sched_catalog *c, const struct sched_snapshot *s, const char *attribute)
{
	return find_column(c, s, attribute, true);
}
