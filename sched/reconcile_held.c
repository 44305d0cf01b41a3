// SPDX-License-Identifier: Apache-2.0
// Groups that a deployment holds (deploy.h): what they have stays, whatever its version.
//
// Beside current, old and last (reconcile.c) an index may have here
//   base    runs another version on a good node
//   canary  of the new version, beside base until it is promoted
// and `old` is only what is on a draining node. Each index is to have a current or a base, and the
// first ones a canary each. What is missing is placed in the version from which the deployment
// started. Where both a current and a base are left of a roll that was interrupted, the one that is
// ready stays; if both are, the new one.
#include <string.h>

#include "sched/deploy.h"
#include "sched/reconcile_internal.h"

void sched_held_prepare(struct sched_work *w)
{
	const struct sched_deployment *d =
		sched_job_rests(w->job) ? NULL : sched_deployment_current(w->job);

	w->deployment = d;
	w->placing = w->spec;
	if (!d || d->status == SCHED_DEPLOYMENT_SUCCESSFUL ||
		d->status == SCHED_DEPLOYMENT_CANCELLED)
		return;
	w->from = sched_job_version(w->job, d->from);
	for (uint32_t g = 0; g < w->spec->group_count; g++) {
		if (d->status != SCHED_DEPLOYMENT_FAILED)
			w->canaries[g] = sched_deploy_canaries(d, w->spec, g);
		// A first version that failed goes on: nothing could take its place.
		if (w->canaries[g] || d->status == SCHED_DEPLOYMENT_PAUSED ||
			(d->status == SCHED_DEPLOYMENT_FAILED && w->from))
			w->held |= 1u << g;
	}
}

bool sched_held_canary(struct sched_work *w, const struct sched_instance *i, uint32_t group)
{
	const struct sched_node *n = sched_node_at(w->s, i->node);
	bool gone = !n || n->status == SCHED_NODE_DOWN || n->status == SCHED_NODE_DISCONNECTED ||
		    i->status == SCHED_UNKNOWN;

	if (i->version == w->spec->version && group != SCHED_NONE && !sched_held(w, group))
		return false;
	if (gone || n->draining || i->version != w->spec->version || group == SCHED_NONE ||
		i->name_index >= w->canaries[group]) {
		sched_want_stop(w, i, gone);
		return true;
	}
	sched_work_claim(w, &w->places[group][i->name_index].canary, i);
	sched_work_stays(w, i, group);
	return true;
}

static void place_canaries(struct sched_work *w, uint32_t group)
{
	if (w->deployment->status != SCHED_DEPLOYMENT_RUNNING)
		return;
	for (uint32_t k = 0; k < w->canaries[group]; k++)
		if (w->places[group][k].canary == SCHED_NONE)
			sched_want_place(w, group, k, SCHED_NONE, SCHED_NONE);
}

// The group of that name in the version that runs meanwhile, SCHED_NONE.
static uint32_t group_before(const struct sched_work *w, uint32_t group)
{
	for (uint32_t g = 0; w->from && g < w->from->group_count; g++)
		if (strcmp(w->from->groups[g].name, w->spec->groups[group].name) == 0)
			return g;
	return SCHED_NONE;
}

// What the index has; NULL: nothing, or only something that must leave its node.
static const struct sched_instance *settle(struct sched_work *w, const struct sched_place *p)
{
	const struct sched_instance *current = sched_instance_at(w->s, p->current);
	const struct sched_instance *base = sched_instance_at(w->s, p->base);

	if (!current || !base)
		return current ? current : base;
	if (sched_ready(current)) {
		sched_want_stop(w, base, false);
		return current;
	}
	if (!sched_ready(base))
		return current;
	if (w->deployment->status == SCHED_DEPLOYMENT_FAILED)
		sched_want_stop(w, current, false);
	return base;
}

// Both versions are one to the group's instances: what is placed is of the current one, or the next
// evaluation would only make it so, and how often it has failed would be forgotten.
static bool same_before(const struct sched_work *w, uint32_t group, uint32_t before)
{
	return before == group &&
	       sched_group_same(&w->from->groups[before], &w->spec->groups[group]);
}

static void place_before(struct sched_work *w, uint32_t group, uint32_t index)
{
	const struct sched_place *p = &w->places[group][index];
	uint32_t before = group_before(w, group), previous = p->old;

	if (before == SCHED_NONE)
		return;
	if (previous == SCHED_NONE)
		previous = p->away == SCHED_NONE ? p->last : p->away;
	if (!same_before(w, group, before))
		w->placing = w->from;
	if (sched_work_may_reschedule(w, sched_instance_at(w->s, p->last)))
		sched_want_place(w, before, index, previous, p->last);
	w->placing = w->spec;
}

// Returns how many that must leave their node have somebody coming in their place.
static uint32_t settle_all(struct sched_work *w, uint32_t group, bool has[])
{
	uint32_t under_way = 0;

	for (uint32_t k = 0; k < w->spec->groups[group].count; k++) {
		const struct sched_place *p = &w->places[group][k];
		const struct sched_instance *stays = settle(w, p);
		const struct sched_instance *old = sched_instance_at(w->s, p->old);

		has[k] = stays;
		if (stays)
			sched_work_settle_ended(w, sched_instance_at(w->s, p->last));
		if (!stays || !old)
			continue;
		if (sched_ready(stays))
			sched_want_stop(w, old, false);
		else
			under_way++;
	}
	return under_way;
}

int sched_held_fill(struct sched_work *w, uint32_t group)
{
	const struct sched_group *g = &w->spec->groups[group];
	uint32_t budget = g->max_parallel ? g->max_parallel : UINT32_MAX, under_way;
	bool *has = sched_arena_take(w->arena, g->count * sizeof(*has));

	if (!has)
		return -1;
	place_canaries(w, group);
	under_way = settle_all(w, group, has);
	budget = budget > under_way ? budget - under_way : 0;
	for (uint32_t k = 0; k < g->count && !w->out->more; k++) {
		bool moves = w->places[group][k].old != SCHED_NONE;

		if (has[k] || (moves && !budget))
			continue;
		budget -= moves;
		place_before(w, group, k);
	}
	return 0;
}
