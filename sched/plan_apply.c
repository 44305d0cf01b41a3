// SPDX-License-Identifier: Apache-2.0
// The applier: optimistic, it checks what a plan touches against the head and commits what still
// fits. Writer's thread.
//
// For each node touched: used + (what the plan adds) - (what it stops) must fit, and the node must
// take instances if any are placed there. Stops alone always fit, also on a node that is down. A
// node that does not fit drops out with all that the plan wanted there. The worker then plans the
// rest on a newer state.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sched/claims.h"
#include "sched/fit.h"
#include "sched/plan.h"

struct touched {
	uint32_t node;
	struct sched_res used; // as it would be
	bool places, updates, full, rejected;
};

struct rejects {
	uint32_t count;
	ns_t since;
};

struct sched_applier {
	struct sched_state *st;
	struct sched_applier_config config;
	struct touched *touched;
	uint32_t touched_count, touched_room;
	uint32_t *where;         // by node: place in touched, valid if that names the node
	struct rejects *rejects; // by node
	uint32_t node_room;
	struct sched_applier_stats stats;
	sched_evicted evicted; // NULL: nobody wants to know
	void *user;
};

struct sched_applier *sched_applier_new(
	struct sched_state *st, const struct sched_applier_config *config)
{
	struct sched_applier *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->st = st;
	a->config = config ? *config : (struct sched_applier_config){100, 300 * NS_PER_SEC};
	return a;
}

void sched_applier_on_evicted(struct sched_applier *a, sched_evicted evicted, void *user)
{
	a->evicted = evicted;
	a->user = user;
}

void sched_applier_destroy(struct sched_applier *a)
{
	if (!a)
		return;
	free(a->touched);
	free(a->where);
	free(a->rejects);
	free(a);
}

// Room for all the nodes there are and all that a plan can touch.
static int reserve(struct sched_applier *a, const struct sched_plan *plan)
{
	uint32_t nodes = a->st->head.tables[SCHED_TABLE_NODES].high;
	uint32_t most = plan->stop_count + plan->update_count + plan->place_count;

	if (a->node_room < nodes) {
		uint32_t *where = realloc(a->where, nodes * sizeof(*where));
		struct rejects *rejects;

		if (!where)
			return -ENOMEM;
		a->where = where;
		rejects = realloc(a->rejects, nodes * sizeof(*rejects));
		if (!rejects)
			return -ENOMEM;
		a->rejects = rejects;
		memset(where + a->node_room, 0, (nodes - a->node_room) * sizeof(*where));
		memset(rejects + a->node_room, 0, (nodes - a->node_room) * sizeof(*rejects));
		a->node_room = nodes;
	}
	if (a->touched_room < most) {
		struct touched *touched = realloc(a->touched, most * sizeof(*touched));

		if (!touched)
			return -ENOMEM;
		a->touched = touched;
		a->touched_room = most;
	}
	a->touched_count = 0;
	return 0;
}

// NULL: there is no such node.
static struct touched *touch(struct sched_applier *a, uint32_t node)
{
	const struct sched_node *n = sched_node_at(&a->st->head, node);
	struct touched *t;

	if (!n)
		return NULL;
	t = &a->touched[a->where[node]];
	if (a->where[node] < a->touched_count && t->node == node)
		return t;
	a->where[node] = a->touched_count;
	t = &a->touched[a->touched_count++];
	*t = (struct touched){.node = node, .used = n->used};
	return t;
}

static bool rejected(struct sched_applier *a, uint32_t node)
{
	const struct touched *t = sched_node_at(&a->st->head, node) ? touch(a, node) : NULL;

	return !t || t->rejected;
}

// ---- evaluation ----

// The instance, if it is still what the worker saw.
static const struct sched_instance *wanted(const struct sched_applier *a, const struct sched_id *id)
{
	const struct sched_instance *i = sched_instance_by_id(&a->st->head, id);

	return i && i->desired == SCHED_RUN ? i : NULL;
}

// Adds what comes if it fits on top of all before it: so no sum can overflow.
static void come(const struct sched_applier *a, struct touched *t, const struct sched_res *ask)
{
	const struct sched_node *n = sched_node_at(&a->st->head, t->node);

	if (sched_fit(&n->capacity, &t->used, ask) == SCHED_DIMS)
		sched_res_add(&t->used, ask);
	else
		t->full = true;
}

static void propose_leaving(struct sched_applier *a, const struct sched_plan *plan)
{
	for (uint32_t k = 0; k < plan->stop_count; k++) {
		const struct sched_instance *i = wanted(a, &plan->stops[k].id);
		struct touched *t = i ? touch(a, i->node) : NULL;

		if (t && i->flags & SCHED_INSTANCE_HOLDS)
			sched_res_sub(&t->used, &i->ask);
	}
	for (uint32_t k = 0; k < plan->update_count; k++) {
		const struct sched_instance *i = wanted(a, &plan->updates[k].id);
		struct touched *t = i ? touch(a, i->node) : NULL;

		if (!t || !(i->flags & SCHED_INSTANCE_HOLDS))
			continue;
		t->updates = true;
		// What grows by nothing fits, also on a node that has shrunk.
		if (memcmp(&i->ask, &plan->updates[k].ask, sizeof(i->ask)) == 0)
			continue;
		sched_res_sub(&t->used, &i->ask);
		come(a, t, &plan->updates[k].ask);
	}
}

// Returns how many placements are for nodes, or of versions, that are gone.
static uint32_t propose_coming(struct sched_applier *a, const struct sched_plan *plan)
{
	uint32_t missing = 0;

	for (uint32_t k = 0; k < plan->place_count; k++) {
		const struct sched_spec *spec =
			sched_place_spec(&a->st->head, plan, &plan->places[k]);
		struct touched *t = spec ? touch(a, plan->places[k].node) : NULL;

		if (!t) {
			missing++;
			continue;
		}
		come(a, t, &spec->groups[plan->places[k].group].ask);
		if (spec->claim_count && !sched_claims_room(&a->st->head, t->node, spec,
						 plan->places[k].group, plan, k))
			t->full = true;
		t->places = true;
	}
	return missing;
}

static bool node_fits(const struct sched_applier *a, const struct touched *t)
{
	const struct sched_node *n = sched_node_at(&a->st->head, t->node);

	if (!t->places && !t->updates)
		return true;
	if (t->places && !sched_node_takes(n))
		return false;
	if (t->updates && n->status != SCHED_NODE_READY)
		return false;
	return !t->full;
}

// Worker and applier share the fit function, so a rejection that the snapshot should have foreseen
// is a fault of the node's record or of ours: such a node must not be offered for ever.
static void blame(struct sched_applier *a, const struct sched_plan *plan, uint32_t node)
{
	const struct sched_node *n = sched_node_at(&a->st->head, node);
	struct rejects *r = &a->rejects[node];

	if (n->modify_index > plan->snapshot_index)
		return;
	a->stats.unexplained++;
	if (plan->now - r->since > a->config.reject_window_ns)
		*r = (struct rejects){0, plan->now};
	if (++r->count < a->config.reject_limit || !n->eligible)
		return;
	*r = (struct rejects){0};
	if (sched_txn_change(a->st, &(struct sched_change){.type = SCHED_NODE_STATE,
					    .slot = node,
					    .node_state = {n->status, false, n->draining}}) == 0)
		a->stats.made_ineligible++;
}

static void judge(struct sched_applier *a, struct sched_plan *plan)
{
	for (uint32_t k = 0; k < a->touched_count; k++) {
		struct touched *t = &a->touched[k];

		a->stats.node_plans++;
		if (node_fits(a, t))
			continue;
		t->rejected = true;
		if (plan->rejected_nodes < SCHED_PLAN_REJECTED_SHOWN)
			plan->rejected[plan->rejected_nodes] = t->node;
		plan->rejected_nodes++;
	}
}

// What is left of the plan must be within the quota of the job's namespace, or none of it is. On a
// node that was rejected nothing stops either.
static bool within_quota(struct sched_applier *a, const struct sched_plan *plan)
{
	uint32_t slot = sched_job_at(&a->st->head, plan->job)->quota;
	const struct sched_quota *q = sched_quota_at(&a->st->head, slot);
	struct sched_growth growth = {0};

	if (!q)
		return true;
	for (uint32_t k = 0; k < plan->place_count; k++) {
		const struct sched_plan_place *p = &plan->places[k];
		const struct sched_spec *spec = sched_place_spec(&a->st->head, plan, p);

		if (spec && !rejected(a, p->node))
			sched_grow(&growth, &spec->groups[p->group].ask, 1);
	}
	for (uint32_t k = 0; k < plan->update_count; k++) {
		const struct sched_instance *i = wanted(a, &plan->updates[k].id);

		if (!i || !(i->flags & SCHED_INSTANCE_HOLDS) || rejected(a, i->node))
			continue;
		sched_grow(&growth, &i->ask, -1);
		sched_grow(&growth, &plan->updates[k].ask, 1);
	}
	for (uint32_t k = 0; k < plan->stop_count; k++) {
		const struct sched_instance *i = wanted(a, &plan->stops[k].id);

		if (i && i->flags & SCHED_INSTANCE_HOLDS && !rejected(a, i->node) &&
			sched_job_at(&a->st->head, i->job)->quota == slot)
			sched_grow(&growth, &i->ask, -1);
	}
	return sched_quota_allows(q, &growth);
}

// ---- commit ----

static int commit_stops(struct sched_applier *a, struct sched_plan *plan)
{
	for (uint32_t k = 0; k < plan->stop_count; k++) {
		const struct sched_plan_stop *s = &plan->stops[k];
		const struct sched_instance *i = wanted(a, &s->id);
		bool evict = s->desired == SCHED_EVICT;
		int rc;

		// A victim that has ended meanwhile is nobody's any more.
		if (!i || rejected(a, i->node) || (evict && sched_terminal(i->status)))
			continue;
		rc = sched_txn_change(a->st, &(struct sched_change){.type = SCHED_STOP_INSTANCE,
						     .slot = s->id.slot,
						     .stop = {s->desired, s->lost}});
		if (!rc && evict && a->evicted)
			rc = a->evicted(a->user, i->job, i->node);
		if (rc)
			return rc;
		plan->stopped++;
		a->stats.evicted += evict;
	}
	return 0;
}

// All that a disconnected node takes.
static int commit_unknowns(struct sched_applier *a, const struct sched_plan *plan)
{
	for (uint32_t k = 0; k < plan->unknown_count; k++) {
		const struct sched_instance *i = wanted(a, &plan->unknowns[k]);
		int rc;

		if (!i || sched_terminal(i->status) ||
			sched_node_at(&a->st->head, i->node)->status != SCHED_NODE_DISCONNECTED)
			continue;
		rc = sched_txn_change(a->st,
			&(struct sched_change){.type = SCHED_INSTANCE_STATUS,
				.slot = i->id.slot,
				.status = {SCHED_UNKNOWN, false, i->reschedules, plan->now}});
		if (rc)
			return rc;
	}
	return 0;
}

static int commit_updates(struct sched_applier *a, struct sched_plan *plan)
{
	for (uint32_t k = 0; k < plan->update_count; k++) {
		const struct sched_plan_update *u = &plan->updates[k];
		const struct sched_instance *i = wanted(a, &u->id);
		int rc;

		if (!i || rejected(a, i->node))
			continue;
		rc = sched_txn_change(a->st, &(struct sched_change){.type = SCHED_UPDATE_INSTANCE,
						     .slot = u->id.slot,
						     .update = {u->version, u->ask}});
		if (rc)
			return rc;
		a->stats.updated++;
	}
	return 0;
}

static int commit_places(struct sched_applier *a, struct sched_plan *plan)
{
	struct sched_instance i = {.job = plan->job, .changed_ns = plan->now};

	i.id.nonce = plan->nonce;
	i.why.eval = plan->done.id;
	i.why.trigger = plan->trigger;
	for (uint32_t k = 0; k < plan->place_count; k++) {
		const struct sched_plan_place *p = &plan->places[k];
		const struct sched_spec *spec = sched_place_spec(&a->st->head, plan, p);
		int rc;

		if (!spec || rejected(a, p->node))
			continue;
		i.id.seq = k;
		i.id.slot = sched_slot_new(a->st, SCHED_TABLE_INSTANCES);
		i.version = spec->version;
		i.node = p->node;
		i.name_index = p->name_index;
		i.previous = p->previous;
		i.group = p->group;
		i.reschedules = p->reschedules;
		i.ask = spec->groups[p->group].ask;
		i.why.considered = plan->why[p->group].considered;
		i.why.infeasible = plan->why[p->group].infeasible;
		i.why.exhausted = plan->why[p->group].exhausted;
		i.why.score = p->score;
		i.why.runner_up = p->runner_up;
		rc = sched_txn_change(
			a->st, &(struct sched_change){
				       .type = SCHED_PLACE, .slot = i.id.slot, .instance = &i});
		if (rc)
			return rc;
		plan->placed++;
	}
	return 0;
}

static int commit_evals(struct sched_applier *a, struct sched_plan *plan)
{
	int rc = sched_txn_change(a->st,
		&(struct sched_change){
			.type = SCHED_EVAL_PUT, .slot = plan->done.slot, .eval = &plan->done});

	for (uint32_t k = 0; !rc && k < plan->follow_count; k++) {
		struct sched_eval *e = &plan->follow[k];

		e->id = a->st->last_eval_id + 1;
		e->slot = sched_slot_new(a->st, SCHED_TABLE_EVALS);
		e->create_index = a->st->head.index;
		rc = sched_txn_change(a->st,
			&(struct sched_change){.type = SCHED_EVAL_PUT, .slot = e->slot, .eval = e});
	}
	return rc;
}

static int commit(struct sched_applier *a, struct sched_plan *plan)
{
	int rc;

	plan->index = sched_txn_begin(a->st);
	for (uint32_t k = 0; k < a->touched_count; k++)
		if (a->touched[k].rejected)
			blame(a, plan, a->touched[k].node);
	rc = commit_stops(a, plan);
	if (!rc)
		rc = commit_unknowns(a, plan);
	if (!rc)
		rc = commit_updates(a, plan);
	if (!rc)
		rc = commit_places(a, plan);
	if (!rc && plan->full)
		rc = commit_evals(a, plan);
	// What was applied stays applied and is in the log; a plan that ran out of memory half way
	// is a partial one.
	if (rc)
		plan->full = false;
	return sched_txn_end(a->st) ? -ENOMEM : rc;
}

static const struct sched_spec *current_spec(const struct sched_applier *a, struct sched_plan *plan)
{
	const struct sched_job *j = sched_job_at(&a->st->head, plan->job);
	const struct sched_eval *e = sched_eval_at(&a->st->head, plan->done.slot);

	if (!j || j->create_index != plan->job_create_index || !e || e->id != plan->done.id) {
		plan->error = -ESTALE;
		return NULL;
	}
	return sched_job_spec(j);
}

void sched_applier_apply(struct sched_applier *a, struct sched_plan *plan)
{
	const struct sched_spec *spec;
	uint32_t missing;

	plan->error = 0;
	plan->full = false;
	plan->index = plan->refresh_index = 0;
	plan->placed = plan->stopped = plan->rejected_nodes = 0;
	a->stats.plans++;
	spec = current_spec(a, plan);
	if (!spec)
		return;
	if (reserve(a, plan)) {
		plan->error = -ENOMEM;
		return;
	}
	// Made for another version of the job: nothing of it is wanted any more.
	if (spec->version != plan->version ||
		sched_job_at(&a->st->head, plan->job)->spec_index > plan->snapshot_index) {
		plan->refresh_index = a->st->head.index;
		a->stats.empty++;
		return;
	}
	propose_leaving(a, plan);
	missing = propose_coming(a, plan);
	judge(a, plan);
	plan->rejected_nodes += missing;
	plan->full = !plan->rejected_nodes;
	a->stats.rejected_nodes += plan->rejected_nodes;
	if (!within_quota(a, plan)) {
		plan->full = false;
		plan->refresh_index = a->st->head.index;
		a->stats.over_quota++;
		return;
	}
	if (plan->all_at_once && !plan->full) {
		plan->refresh_index = a->st->head.index;
		a->stats.empty++;
		return;
	}
	plan->error = commit(a, plan);
	if (!plan->full)
		plan->refresh_index = a->st->head.index;
	a->stats.full += plan->full;
	a->stats.partial += !plan->full;
	a->stats.placed += plan->placed;
	a->stats.stopped += plan->stopped;
}

struct sched_applier_stats sched_applier_stats(const struct sched_applier *a)
{
	return a->stats;
}
