// SPDX-License-Identifier: Apache-2.0
// The reconciler for jobs of type system and sysbatch: each group has one instance on each node
// that takes instances and satisfies its constraints; the node's slot is the name index. An
// evaluation is about all nodes, or about one (what happened there).
//
// A new version replaces an instance on its node: stopped and placed in one plan, at most
// max_parallel that are not ready at a time. On a draining node it is stopped, on one that is lost
// it is given up. What failed is tried again there after the usual delays. Of sysbatch what has
// ended, well or badly, is not run again by the same version, unless the node was lost.
#include <errno.h>

#include "sched/feasible.h"
#include "sched/fit.h"
#include "sched/reconcile_internal.h"

struct system_work {
	struct sched_work w;
	uint32_t first, count; // of nodes
	struct sched_filter filters[SCHED_GROUPS_MAX];
};

static struct sched_place *place_of(struct system_work *y, uint32_t group, uint32_t node)
{
	return &y->w.places[group][node - y->first];
}

// May the group have an instance there at all?
static bool belongs(struct system_work *y, uint32_t group, const struct sched_node *n)
{
	return sched_filter_check(&y->filters[group], n) == SCHED_FEASIBLE;
}

static void sort_ended(struct system_work *y, const struct sched_instance *i, uint32_t group)
{
	const struct sched_instance *other;
	struct sched_place *p;

	if (group == SCHED_NONE) {
		if (i->desired == SCHED_RUN)
			sched_want_stop(&y->w, i, false);
		return;
	}
	p = place_of(y, group, i->node);
	if (i->desired != SCHED_RUN || sched_instance_at(y->w.s, i->next))
		return;
	if (y->w.spec->type == SCHED_TYPE_SYSBATCH && sched_work_ended_itself(i) &&
		i->version == y->w.spec->version)
		p->done = true;
	other = sched_instance_at(y->w.s, p->last);
	if (!other || other->create_index < i->create_index)
		p->last = i->id.slot;
}

static void sort_live(struct system_work *y, const struct sched_instance *i, uint32_t group)
{
	const struct sched_node *n = sched_node_at(y->w.s, i->node);
	struct sched_place *p;
	uint32_t *at;

	if (!n || n->status == SCHED_NODE_DOWN) {
		sched_want_stop(&y->w, i, true);
		return;
	}
	if (group == SCHED_NONE || n->draining || !belongs(y, group, n)) {
		sched_want_stop(&y->w, i, false);
		return;
	}
	p = place_of(y, group, i->node);
	at = i->version == y->w.spec->version || sched_work_in_place(&y->w, i, group) ? &p->current
										      : &p->old;
	if (*at != SCHED_NONE) {
		sched_want_stop(&y->w, i, false);
		return;
	}
	*at = i->id.slot;
	// On a node that is away it goes on as it is until that is back.
	if (at == &p->current && i->version != y->w.spec->version && n->status == SCHED_NODE_READY)
		sched_want_update(&y->w, i);
}

static void sort(struct system_work *y)
{
	const struct sched_snapshot *s = y->w.s;

	for (uint32_t at = y->w.job->first_instance; at != SCHED_NONE;) {
		const struct sched_instance *i = sched_instance_at(s, at);
		uint32_t group = y->w.spec->stopped ? SCHED_NONE : sched_work_group_of(&y->w, i);

		at = i->next_in_job;
		if (i->node < y->first || i->node >= y->first + y->count)
			continue;
		if (sched_live(i))
			sort_live(y, i, group);
		else
			sort_ended(y, i, group);
	}
}

// ---- deciding ----

static void want_on(
	struct system_work *y, uint32_t group, uint32_t node, const struct sched_instance *previous)
{
	struct sched_reconciled *out = y->w.out;
	struct sched_want *want;

	if (out->want_count == y->w.limit) {
		out->more = true;
		return;
	}
	want = &out->wants[out->want_count++];
	*want = (struct sched_want){.name_index = node,
		.previous = previous ? previous->id.slot : SCHED_NONE,
		.avoid = SCHED_NONE,
		.group = (uint8_t)group};
	if (previous && previous->version == y->w.spec->version &&
		sched_work_ended_itself(previous))
		want->reschedules = previous->reschedules + 1;
}

// It has to become ready before more are replaced. On a node that is away that may take for ever.
static bool is_coming(const struct sched_work *w, const struct sched_instance *i)
{
	const struct sched_node *n = sched_node_at(w->s, i->node);

	return sched_live(i) && !sched_ready(i) && i->version == w->spec->version && n &&
	       n->status == SCHED_NODE_READY;
}

// Of the whole job: other nodes count for the limit, too.
static uint32_t under_way(const struct sched_work *w, uint32_t group)
{
	uint32_t n = 0;

	for (uint32_t at = w->job->first_instance; at != SCHED_NONE;) {
		const struct sched_instance *i = sched_instance_at(w->s, at);

		n += i->group == group && is_coming(w, i);
		at = i->next_in_job;
	}
	return n;
}

// Whether the new one has room where the old one is.
static bool fits_instead(const struct system_work *y, uint32_t group, const struct sched_node *n,
	const struct sched_instance *old)
{
	struct sched_res used = n->used;

	if (old->flags & SCHED_INSTANCE_HOLDS)
		sched_res_sub(&used, &old->ask);
	return sched_fit(&n->capacity, &used, &y->w.spec->groups[group].ask) == SCHED_DIMS;
}

static void fill_node(struct system_work *y, uint32_t group, uint32_t node, uint32_t *budget)
{
	const struct sched_node *n = sched_node_at(y->w.s, node);
	struct sched_place *p = place_of(y, group, node);
	const struct sched_instance *old = sched_instance_at(y->w.s, p->old);
	const struct sched_instance *last = sched_instance_at(y->w.s, p->last);

	if (p->current != SCHED_NONE) {
		if (old)
			sched_want_stop(&y->w, old, false);
		return;
	}
	if (!n || !sched_node_takes(n) || p->done || !belongs(y, group, n))
		return;
	if (old && !fits_instead(y, group, n, old)) {
		// It goes on, and the new one waits for room.
		want_on(y, group, node, old);
	} else if (old && *budget) {
		if (y->w.out->want_count < y->w.limit && y->w.out->stop_count < y->w.limit) {
			(*budget)--;
			sched_want_stop(&y->w, old, false);
		}
		want_on(y, group, node, old);
	} else if (old) {
		y->w.out->rolling = true;
	} else if (sched_work_may_reschedule(&y->w, last)) {
		want_on(y, group, node, last);
	}
}

// An update that nobody would go on with: this evaluation looks at a node alone, what was under way
// there may have ended, nothing is under way elsewhere, and there are old ones.
static bool stalls(struct system_work *y, uint32_t group)
{
	const struct sched_snapshot *s = y->w.s;
	bool old = false;

	for (uint32_t at = y->w.job->first_instance; at != SCHED_NONE;) {
		const struct sched_instance *i = sched_instance_at(s, at);
		const struct sched_node *n = sched_node_at(s, i->node);

		at = i->next_in_job;
		if (!sched_live(i) || sched_work_group_of(&y->w, i) != group || !n ||
			i->node == y->first)
			continue;
		if (i->version == y->w.spec->version) {
			if (is_coming(&y->w, i))
				return false;
		} else if (sched_node_takes(n) && !sched_work_in_place(&y->w, i, group) &&
			   fits_instead(y, group, n, i)) {
			old |= belongs(y, group, n);
		}
	}
	return old;
}

static int prepare(struct system_work *y)
{
	struct sched_work *w = &y->w;
	uint32_t groups = w->spec->group_count, most = groups * y->count;
	uint32_t classes = w->s->class_count;

	for (uint32_t g = 0; g < groups; g++) {
		int16_t *memo = sched_arena_take(w->arena, classes * sizeof(*memo));

		w->places[g] = sched_arena_take(w->arena, y->count * sizeof(struct sched_place));
		if (!memo || !w->places[g])
			return -ENOMEM;
		sched_filter_init(&y->filters[g], w->spec, g, memo, classes);
		for (uint32_t k = 0; k < y->count; k++)
			w->places[g][k] = (struct sched_place){SCHED_NONE, SCHED_NONE, SCHED_NONE,
				SCHED_NONE, SCHED_NONE, SCHED_NONE, false};
	}
	most = most < w->limit ? most : w->limit;
	w->out->wants = sched_arena_take(w->arena, most * sizeof(struct sched_want));
	most = w->job->instances < w->limit ? w->job->instances : w->limit;
	w->out->stops = sched_arena_take(w->arena, most * sizeof(struct sched_plan_stop));
	w->out->updates = sched_arena_take(w->arena, most * sizeof(struct sched_plan_update));
	return w->out->wants && w->out->stops && w->out->updates ? 0 : -ENOMEM;
}

int sched_reconcile_system(struct sched_arena *arena, const struct sched_snapshot *s, uint32_t job,
	uint32_t node, ns_t now, uint32_t limit, struct sched_reconciled *out)
{
	uint32_t high = s->tables[SCHED_TABLE_NODES].high;
	struct system_work y = {.w = {.s = s,
					.job = sched_job_at(s, job),
					.arena = arena,
					.out = out,
					.now = now,
					.limit = limit},
		.first = node == SCHED_NONE ? 0 : node,
		.count = node == SCHED_NONE ? high : node < high};
	bool stalled = false;

	*out = (struct sched_reconciled){.reschedule_at = NS_NEVER, .node_high = high};
	y.w.spec = y.w.placing = sched_job_spec(y.w.job);
	if (prepare(&y))
		return -ENOMEM;
	sort(&y);
	for (uint32_t g = 0; g < y.w.spec->group_count && !y.w.spec->stopped; g++) {
		uint32_t most = y.w.spec->groups[g].max_parallel;
		uint32_t busy = most ? under_way(&y.w, g) : 0;
		uint32_t budget = most ? (most > busy ? most - busy : 0) : UINT32_MAX;

		for (uint32_t k = 0; k < y.count; k++)
			fill_node(&y, g, y.first + k, &budget);
		stalled |= node != SCHED_NONE && most && stalls(&y, g);
	}
	if (node != SCHED_NONE)
		out->rolling = stalled;
	return 0;
}
