// SPDX-License-Identifier: Apache-2.0
// The choice of victims of preempt.h.
#include "sched/preempt.h"

#include <stdlib.h>
#include <string.h>

#include "sched/claims.h"
#include "sched/fit.h"

struct victim {
	const struct sched_instance *instance;
	uint8_t priority;
};

// What a node would be like after the plan so far.
static struct sched_res used_after(
	const struct sched_preempt *q, uint32_t node, const struct sched_node *n)
{
	struct sched_res used = n->used;

	for (uint32_t k = 0; k < q->plan->place_count; k++) {
		const struct sched_plan_place *p = &q->plan->places[k];
		const struct sched_spec *spec =
			p->node == node ? sched_place_spec(q->s, q->plan, p) : NULL;

		if (spec)
			sched_res_add(&used, &spec->groups[p->group].ask);
	}
	for (uint32_t k = 0; k < q->plan->stop_count; k++) {
		const struct sched_instance *i = sched_instance_by_id(q->s, &q->plan->stops[k].id);

		if (i && i->node == node && i->flags & SCHED_INSTANCE_HOLDS)
			sched_res_sub(&used, &i->ask);
	}
	return used;
}

static bool stops(const struct sched_plan *plan, const struct sched_instance *i)
{
	for (uint32_t k = 0; k < plan->stop_count; k++)
		if (plan->stops[k].id.slot == i->id.slot)
			return true;
	return false;
}

static bool places_on(const struct sched_plan *plan, uint32_t node)
{
	for (uint32_t k = 0; k < plan->place_count; k++)
		if (plan->places[k].node == node)
			return true;
	return false;
}

// What has nothing to do with room: constraints, other instances of the job, ports.
static bool allowed(const struct sched_preempt *q, uint32_t node, const struct sched_node *n)
{
	const struct sched_prefer *prefer = q->strata ? &q->strata->prefer : NULL;
	bool own = q->rec->own && q->rec->own[node];

	if (!sched_node_takes(n) || sched_filter_check(q->filter, n) != SCHED_FEASIBLE)
		return false;
	if (prefer && q->strata->prefers &&
		sched_prefer_full(prefer, prefer->by_node ? node : n->class_id) != SCHED_FEASIBLE)
		return false;
	if (q->spec->groups[q->group].distinct_hosts && (own || places_on(q->plan, node)))
		return false;
	return sched_claims_room(q->s, node, q->spec, q->group, q->plan, q->plan->place_count) > 0;
}

static int least_first(const void *a, const void *b)
{
	const struct victim *x = a, *y = b;

	if (x->priority != y->priority)
		return x->priority < y->priority ? -1 : 1;
	// Large ones first: fewer are enough. Then the youngest: it has done least.
	if (x->instance->ask.cpu_milli != y->instance->ask.cpu_milli)
		return x->instance->ask.cpu_milli > y->instance->ask.cpu_milli ? -1 : 1;
	return x->instance->create_index > y->instance->create_index ? -1 : 1;
}

static uint32_t gather(const struct sched_preempt *q, const struct sched_node *n,
	struct victim out[static SCHED_PREEMPT_VICTIMS_MAX])
{
	uint32_t count = 0;

	for (uint32_t at = n->first_instance;
		at != SCHED_NONE && count < SCHED_PREEMPT_VICTIMS_MAX;) {
		const struct sched_instance *i = sched_instance_at(q->s, at);
		uint8_t priority = sched_job_at(q->s, i->job)->priority;

		at = i->next_on_node;
		if (i->job != q->job && i->flags & SCHED_INSTANCE_HOLDS &&
			priority + SCHED_PREEMPT_GAP <= q->priority && !stops(q->plan, i))
			out[count++] = (struct victim){i, priority};
	}
	return count;
}

// The cost of making room on a node, and who it is; UINT32_MAX: it cannot be done.
static uint32_t choose(struct sched_preempt *q, uint32_t node)
{
	const struct sched_node *n = sched_node_at(q->s, node);
	const struct sched_res *ask = &q->spec->groups[q->group].ask;
	struct victim victims[SCHED_PREEMPT_VICTIMS_MAX];
	uint32_t count, taken = 0, cost = 0;
	struct sched_res used;

	if (!n || !allowed(q, node, n))
		return UINT32_MAX;
	used = used_after(q, node, n);
	count = gather(q, n, victims);
	qsort(victims, count, sizeof(victims[0]), least_first);
	for (; sched_fit(&n->capacity, &used, ask) != SCHED_DIMS; taken++) {
		if (taken == count)
			return UINT32_MAX;
		sched_res_sub(&used, &victims[taken].instance->ask);
	}
	// Who was taken before a larger one came may not be needed; the most important is spared
	// first.
	q->victim_count = 0;
	while (taken-- > 0) {
		struct sched_res with = used;

		sched_res_add(&with, &victims[taken].instance->ask);
		if (sched_fit(&n->capacity, &with, ask) == SCHED_DIMS) {
			used = with;
			continue;
		}
		q->victims[q->victim_count++] = victims[taken].instance->id;
		cost = victims[taken].priority > cost / 1000 ? victims[taken].priority * 1000u
							     : cost;
	}
	return cost + q->victim_count;
}

bool sched_preempt_on(struct sched_preempt *q, uint32_t node)
{
	return choose(q, node) != UINT32_MAX;
}

uint32_t sched_preempt_any(struct sched_preempt *q)
{
	uint32_t high = q->s->tables[SCHED_TABLE_NODES].high, best = SCHED_NONE, found = 0;
	uint32_t start = high ? rng_below(q->rng, high) : 0, least = UINT32_MAX;

	for (uint32_t k = 0; k < high && k < SCHED_PREEMPT_LOOK && found < SCHED_PREEMPT_CHOICE;
		k++) {
		uint32_t node = (start + k) % high, cost = choose(q, node);

		found += cost != UINT32_MAX;
		if (cost < least) {
			least = cost;
			best = node;
		}
	}
	if (best != SCHED_NONE)
		choose(q, best);
	return best;
}
