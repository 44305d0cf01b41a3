// SPDX-License-Identifier: Apache-2.0
// The claims of claims.h.
#include "sched/claims.h"

#include <stdlib.h>
#include <string.h>

#include "sched/block.h"

static bool concerns(const struct sched_claim *c, uint32_t group)
{
	return c->group == SCHED_ALL_GROUPS || c->group == group;
}

bool sched_claims_any(const struct sched_spec *spec, uint32_t group)
{
	for (uint32_t i = 0; i < spec->claim_count; i++)
		if (concerns(&spec->claims[i], group))
			return true;
	return false;
}

// How many of a name an instance of the group has.
static uint64_t claimed(const struct sched_spec *spec, uint32_t group, const char *name)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < spec->claim_count; i++)
		if (concerns(&spec->claims[i], group) && strcmp(spec->claims[i].name, name) == 0)
			n += spec->claims[i].count;
	return n;
}

static uint64_t claimed_by(const struct sched_snapshot *s, const struct sched_plan *plan,
	const struct sched_plan_place *p, const char *name)
{
	const struct sched_spec *spec = sched_place_spec(s, plan, p);

	return spec ? claimed(spec, p->group, name) : 0;
}

static uint64_t there_are(const struct sched_node_info *info, const char *name)
{
	const char *value = sched_node_attribute(info, name);

	if (!value)
		return strncmp(name, "port.", 5) == 0;
	return strtoul(value, NULL, 10);
}

static bool stops(const struct sched_plan *plan, const struct sched_instance *i)
{
	for (uint32_t k = 0; k < plan->stop_count; k++)
		if (plan->stops[k].id.slot == i->id.slot)
			return true;
	return false;
}

static uint64_t in_use(const struct sched_snapshot *s, const struct sched_node *n, const char *name,
	const struct sched_plan *plan)
{
	uint64_t used = 0;

	for (uint32_t at = n->first_instance; at != SCHED_NONE;) {
		const struct sched_instance *i = sched_instance_at(s, at);
		const struct sched_job *j = sched_job_at(s, i->job);
		const struct sched_spec *spec = sched_job_version(j, i->version);
		uint64_t more = 0;

		at = i->next_on_node;
		if (spec && i->flags & SCHED_INSTANCE_HOLDS)
			more = claimed(spec, i->group, name);
		if (more && !stops(plan, i))
			used += more;
	}
	return used;
}

uint32_t sched_claims_room(const struct sched_snapshot *s, uint32_t node,
	const struct sched_spec *spec, uint32_t group, const struct sched_plan *plan,
	uint32_t places)
{
	const struct sched_node *n = sched_node_at(s, node);
	uint64_t room = UINT32_MAX;

	for (uint32_t i = 0; i < spec->claim_count; i++) {
		const char *name = spec->claims[i].name;
		uint64_t each, all, used;

		if (!concerns(&spec->claims[i], group))
			continue;
		each = claimed(spec, group, name);
		all = there_are(n->info, name);
		used = all < each ? 0 : in_use(s, n, name, plan);
		for (uint32_t k = 0; k < places; k++)
			if (plan->places[k].node == node)
				used += claimed_by(s, plan, &plan->places[k], name);
		if (all < used + each)
			return 0;
		room = (all - used) / each < room ? (all - used) / each : room;
	}
	return (uint32_t)room;
}
