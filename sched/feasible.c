// SPDX-License-Identifier: Apache-2.0
// Constraints: their operators, and the memory of what was found for a class. Constraints on
// unique.* attributes are checked for each node, all others once a class.
#include "sched/feasible.h"

#include <stdlib.h>
#include <string.h>

#include "sched/block.h"

// Runs of digits compare as numbers, so that 9 < 10 and 5.9 < 5.10; all else as text.
static int compare(const char *a, const char *b)
{
	while (*a && *b) {
		if (*a >= '0' && *a <= '9' && *b >= '0' && *b <= '9') {
			char *a_end, *b_end;
			unsigned long long x = strtoull(a, &a_end, 10), y = strtoull(b, &b_end, 10);

			if (x != y)
				return x < y ? -1 : 1;
			a = a_end;
			b = b_end;
			continue;
		}
		if (*a != *b)
			return *a < *b ? -1 : 1;
		a++;
		b++;
	}
	return *a ? 1 : *b ? -1 : 0;
}

static bool list_has(const char *list, const char *item, size_t len)
{
	for (const char *end; *list; list = *end ? end + 1 : end) {
		end = strchrnul(list, ',');
		if ((size_t)(end - list) == len && memcmp(list, item, len) == 0)
			return true;
	}
	return len == 0;
}

static bool contains(const char *list, const char *items, bool all)
{
	for (const char *end; *items; items = *end ? end + 1 : end) {
		end = strchrnul(items, ',');
		if (list_has(list, items, (size_t)(end - items)) != all)
			return !all;
	}
	return all;
}

bool sched_constraint_holds(const struct sched_constraint *c, const char *value)
{
	switch ((enum sched_op)c->op) {
	case SCHED_OP_SET:
	case SCHED_OP_DISTINCT_PROPERTY: // how many there are is for the ranking
		return value != NULL;
	case SCHED_OP_UNSET:
		return value == NULL;
	case SCHED_OP_NE:
		return !value || strcmp(value, c->value) != 0;
	default:
		break;
	}
	if (!value)
		return false;
	switch ((enum sched_op)c->op) {
	case SCHED_OP_EQ:
		return strcmp(value, c->value) == 0;
	case SCHED_OP_LT:
		return compare(value, c->value) < 0;
	case SCHED_OP_LE:
		return compare(value, c->value) <= 0;
	case SCHED_OP_GT:
		return compare(value, c->value) > 0;
	case SCHED_OP_GE:
		return compare(value, c->value) >= 0;
	case SCHED_OP_CONTAINS:
		return contains(value, c->value, true);
	case SCHED_OP_CONTAINS_ANY:
		return contains(value, c->value, false);
	default:
		return false;
	}
}

void sched_filter_init(struct sched_filter *f, const struct sched_spec *spec, uint32_t group,
	int16_t *memo, uint32_t class_count)
{
	*f = (struct sched_filter){.spec = spec,
		.group = &spec->groups[group],
		.group_first = spec->constraint_count,
		.memo = memo,
		.class_count = class_count};
	for (uint32_t g = 0; g < group; g++)
		f->group_first += spec->groups[g].constraint_count;
	for (uint32_t i = 0; i < spec->constraint_count; i++)
		f->escaped |= sched_is_unique_attribute(spec->constraints[i].attribute);
	for (uint32_t i = 0; i < f->group->constraint_count; i++)
		f->escaped |= sched_is_unique_attribute(f->group->constraints[i].attribute);
	for (uint32_t i = 0; i < class_count; i++)
		memo[i] = SCHED_MEMO_UNKNOWN;
}

static int check_some(const struct sched_constraint *c, uint32_t n, uint32_t first,
	const struct sched_node_info *info, bool unique)
{
	for (uint32_t i = 0; i < n; i++) {
		if (sched_is_unique_attribute(c[i].attribute) != unique)
			continue;
		if (!sched_constraint_holds(&c[i], sched_node_attribute(info, c[i].attribute)))
			return (int)(first + i);
	}
	return SCHED_FEASIBLE;
}

static int check_all(const struct sched_filter *f, const struct sched_node_info *info, bool unique)
{
	int found = check_some(f->spec->constraints, f->spec->constraint_count, 0, info, unique);

	if (found != SCHED_FEASIBLE)
		return found;
	return check_some(
		f->group->constraints, f->group->constraint_count, f->group_first, info, unique);
}

int sched_filter_class(struct sched_filter *f, const struct sched_node *node)
{
	if (node->class_id >= f->class_count)
		return check_all(f, node->info, false);
	if (f->memo[node->class_id] == SCHED_MEMO_UNKNOWN)
		f->memo[node->class_id] = (int16_t)check_all(f, node->info, false);
	return f->memo[node->class_id];
}

int sched_filter_check(struct sched_filter *f, const struct sched_node *node)
{
	int found = sched_filter_class(f, node);

	if (found == SCHED_FEASIBLE && f->escaped)
		found = check_all(f, node->info, true);
	return found;
}

void sched_filter_eligibility(const struct sched_filter *f, struct sched_eligibility *out)
{
	out->known = f->class_count;
	out->escaped |= f->escaped;
	for (uint32_t c = 0; c < f->class_count && c < SCHED_CLASSES_TRACKED; c++)
		if (f->memo[c] < 0)
			out->eligible[c / 64] |= 1ull << c % 64;
}
