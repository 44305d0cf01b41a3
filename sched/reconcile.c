// SPDX-License-Identifier: Apache-2.0
// The reconciler for jobs of type service and batch.
//
// Each group has the name indexes [0, count). For each index the instances found there are sorted
// into
//   current  runs (or will run) the current version on a good node
//   old      another version, on a draining node, or one too many where it is
//            (reconcile_excess.c): to be replaced, but serving until then
//   last     ended, lost or failed, and not replaced yet
//   away     its node is disconnected: replaced, but it may come back (lost_after_ns)
// and then
//   current and old     once the current one is ready the old one is stopped
//   old alone           a replacement is placed, at most max_parallel such at a time
//   failed alone        is placed again when its delay is over, or at once if the version is new
//   nothing             is placed
// A group that a deployment holds has its own rules (reconcile_held.c).
// Whatever is beyond the count, of a stopped job, of a dropped group or there twice is stopped. So
// for each index there is exactly one at rest, and while something is replaced never fewer serve
// than before.
#include "sched/reconcile.h"

#include <errno.h>

#include "sched/prefer.h"
#include "sched/reconcile_internal.h"

ns_t sched_reschedule_delay(unsigned n)
{
	return n < 7 ? SCHED_RESCHEDULE_FIRST << n : SCHED_RESCHEDULE_MAX;
}

static bool batch(const struct sched_work *w)
{
	return w->spec->type == SCHED_TYPE_BATCH;
}

bool sched_work_ended_itself(const struct sched_instance *i)
{
	return i->status == SCHED_FAILED || i->status == SCHED_COMPLETE;
}

// ---- what goes into the plan ----

void sched_want_stop(struct sched_work *w, const struct sched_instance *i, bool lost)
{
	if (w->out->stop_count == w->limit) {
		w->out->more = true;
		return;
	}
	w->out->stops[w->out->stop_count++] =
		(struct sched_plan_stop){.id = i->id, .desired = SCHED_STOP, .lost = lost};
}

void sched_want_update(struct sched_work *w, const struct sched_instance *i)
{
	if (w->out->update_count == w->limit) {
		w->out->more = true;
		return;
	}
	w->out->updates[w->out->update_count++] =
		(struct sched_plan_update){.id = i->id, .version = w->spec->version, .ask = i->ask};
}

void sched_want_place(
	struct sched_work *w, uint32_t group, uint32_t index, uint32_t previous, uint32_t last)
{
	const struct sched_instance *p = sched_instance_at(w->s, previous);
	const struct sched_instance *l = sched_instance_at(w->s, last);
	struct sched_want *want;

	if (w->out->want_count == w->limit) {
		w->out->more = true;
		return;
	}
	want = &w->out->wants[w->out->want_count++];
	*want = (struct sched_want){.name_index = index,
		.previous = previous,
		.avoid = SCHED_NONE,
		.version = w->placing == w->spec ? 0 : w->placing->version,
		.group = (uint8_t)group};
	// What another version did says nothing of this one.
	if (p && p->version == w->placing->version)
		want->reschedules = p->reschedules;
	if (l && l->version == w->placing->version && sched_work_ended_itself(l)) {
		want->reschedules = l->reschedules + 1;
		want->avoid = l->node;
	}
}

// ---- sorting ----

uint32_t sched_work_group_of(const struct sched_work *w, const struct sched_instance *i)
{
	const struct sched_spec *old;

	if (i->version == w->spec->version)
		return i->group < w->spec->group_count ? i->group : SCHED_NONE;
	old = sched_job_version(w->job, i->version);
	if (!old)
		return i->group < w->spec->group_count ? i->group : SCHED_NONE;
	for (uint32_t g = 0; i->group < old->group_count && g < w->spec->group_count; g++)
		if (strcmp(old->groups[i->group].name, w->spec->groups[g].name) == 0)
			return g;
	return SCHED_NONE;
}

bool sched_work_in_place(const struct sched_work *w, const struct sched_instance *i, uint32_t group)
{
	return group == i->group && sched_job_same(w->job, w->spec, i);
}

// Of two that claim one index the one to keep: ready, then newer version, then older instance.
static bool better(const struct sched_instance *a, const struct sched_instance *b)
{
	if (sched_ready(a) != sched_ready(b))
		return sched_ready(a);
	if (a->version != b->version)
		return a->version > b->version;
	return a->create_index != b->create_index ? a->create_index < b->create_index
						  : a->name_index < b->name_index;
}

void sched_work_claim(struct sched_work *w, uint32_t *at, const struct sched_instance *i)
{
	const struct sched_instance *other = sched_instance_at(w->s, *at);

	if (other && better(other, i)) {
		sched_want_stop(w, i, false);
		return;
	}
	if (other)
		sched_want_stop(w, other, false);
	*at = i->id.slot;
}

void sched_work_settle_ended(struct sched_work *w, const struct sched_instance *i)
{
	if (i && i->desired == SCHED_RUN && sched_terminal(i->status))
		sched_want_stop(w, i, false);
}

static void sort_ended(struct sched_work *w, const struct sched_instance *i)
{
	uint32_t group = sched_job_rests(w->job) ? SCHED_NONE : sched_work_group_of(w, i);
	const struct sched_instance *other;
	struct sched_place *p;

	// Canaries are placed anew without a look back.
	if (i->flags & SCHED_INSTANCE_CANARY) {
		sched_work_settle_ended(w, i);
		return;
	}
	// What it did stays to be seen.
	if (w->job->ended_ns && !w->spec->stopped && i->status == SCHED_COMPLETE)
		return;
	if (group == SCHED_NONE || i->name_index >= w->spec->groups[group].count) {
		// Nobody asks for it any more: settled.
		if (i->desired == SCHED_RUN)
			sched_want_stop(w, i, false);
		return;
	}
	p = &w->places[group][i->name_index];
	// What another version did is to be done anew.
	if (batch(w) && i->status == SCHED_COMPLETE && i->desired == SCHED_RUN &&
		sched_work_in_place(w, i, group)) {
		p->done = true;
		return;
	}
	if (i->desired != SCHED_RUN && i->status != SCHED_LOST)
		return;
	// It ended after its replacement was placed.
	if (sched_instance_at(w->s, i->next)) {
		sched_work_settle_ended(w, i);
		return;
	}
	other = sched_instance_at(w->s, p->last);
	if (other && other->create_index > i->create_index) {
		sched_work_settle_ended(w, i);
		return;
	}
	sched_work_settle_ended(w, other);
	p->last = i->id.slot;
}

bool sched_work_is_away(const struct sched_instance *i, const struct sched_node *n)
{
	return n->status == SCHED_NODE_DISCONNECTED || i->status == SCHED_UNKNOWN;
}

// False: it has been away for too long.
static bool wait_for(struct sched_work *w, const struct sched_instance *i, uint32_t group)
{
	ns_t after = w->spec->groups[group].lost_after_ns, due = w->now + after;

	if (i->status == SCHED_UNKNOWN)
		due = i->changed_ns + after;
	if (!after || due <= w->now)
		return false;
	if (due < w->out->reschedule_at)
		w->out->reschedule_at = due;
	if (i->status == SCHED_UNKNOWN)
		return true;
	if (w->out->unknown_count == w->limit)
		w->out->more = true;
	else
		w->out->unknowns[w->out->unknown_count++] = i->id;
	return true;
}

void sched_work_stays(struct sched_work *w, const struct sched_instance *i, uint32_t group)
{
	if (w->out->own && w->out->own[i->node] < UINT16_MAX)
		w->out->own[i->node]++;
	if (w->out->kept)
		w->out->kept[w->out->kept_count++] = (struct sched_kept){i->node, (uint8_t)group};
}

static void sort_live(struct sched_work *w, const struct sched_instance *i)
{
	const struct sched_node *n = sched_node_at(w->s, i->node);
	uint32_t group = sched_job_rests(w->job) ? SCHED_NONE : sched_work_group_of(w, i);
	bool wanted = group != SCHED_NONE && i->name_index < w->spec->groups[group].count;
	struct sched_place *p;
	bool gone;

	if (i->flags & SCHED_INSTANCE_CANARY && sched_held_canary(w, i, group))
		return;
	if (n && n->status != SCHED_NODE_DOWN && wanted && sched_work_is_away(i, n) &&
		wait_for(w, i, group)) {
		w->places[group][i->name_index].away = i->id.slot;
		return;
	}
	gone = !n || n->status == SCHED_NODE_DOWN || sched_work_is_away(i, n);
	if (gone || n->draining == SCHED_DRAIN_NOW) {
		sched_want_stop(w, i, gone);
		if (!wanted)
			return;
		p = &w->places[group][i->name_index];
		if (p->last == SCHED_NONE)
			p->last = i->id.slot;
		return;
	}
	if (!wanted) {
		sched_want_stop(w, i, false);
		return;
	}
	p = &w->places[group][i->name_index];
	if (sched_held(w, group) && !n->draining && i->version != w->spec->version &&
		!sched_work_in_place(w, i, group)) {
		sched_work_claim(w, &p->base, i);
		sched_work_stays(w, i, group);
		return;
	}
	if (n->draining || (i->version != w->spec->version && !sched_work_in_place(w, i, group))) {
		sched_work_claim(w, &p->old, i);
		return;
	}
	if (i->version != w->spec->version)
		sched_want_update(w, i);
	if (sched_excess_has(w, i)) {
		sched_work_claim(w, &p->old, i);
		return;
	}
	sched_work_claim(w, &p->current, i);
	sched_work_stays(w, i, group);
}

// ---- deciding ----

// How many replacements are under way; stops what has been replaced.
static uint32_t settle_replaced(struct sched_work *w, uint32_t group)
{
	uint32_t under_way = 0;

	for (uint32_t k = 0; k < w->spec->groups[group].count; k++) {
		const struct sched_place *p = &w->places[group][k];
		const struct sched_instance *current = sched_instance_at(w->s, p->current);
		const struct sched_instance *old = sched_instance_at(w->s, p->old);

		if (!current || !old)
			continue;
		if (sched_ready(current))
			sched_want_stop(w, old, false);
		else
			under_way++;
	}
	return under_way;
}

bool sched_work_may_reschedule(struct sched_work *w, const struct sched_instance *last)
{
	ns_t due;

	if (!last || !sched_work_ended_itself(last) || last->version != w->placing->version)
		return true;
	due = last->changed_ns + sched_reschedule_delay(last->reschedules);
	if (due <= w->now)
		return true;
	if (due < w->out->reschedule_at)
		w->out->reschedule_at = due;
	return false;
}

static void fill(struct sched_work *w, uint32_t group)
{
	const struct sched_group *g = &w->spec->groups[group];
	uint32_t under_way = settle_replaced(w, group);
	uint32_t budget = g->max_parallel ? g->max_parallel : UINT32_MAX;

	budget = budget > under_way ? budget - under_way : 0;
	for (uint32_t k = 0; k < g->count && !(w->out->want_count == w->limit && w->out->more);
		k++) {
		const struct sched_place *p = &w->places[group][k];

		if (p->current != SCHED_NONE)
			sched_work_settle_ended(w, sched_instance_at(w->s, p->last));
		if (p->current != SCHED_NONE || p->done)
			continue;
		if (!sched_work_may_reschedule(w, sched_instance_at(w->s, p->last)))
			continue;
		if (p->old == SCHED_NONE) {
			sched_want_place(
				w, group, k, p->away == SCHED_NONE ? p->last : p->away, p->last);
		} else if (budget) {
			budget--;
			sched_want_place(w, group, k, p->old, p->last);
		}
	}
}

static bool any_sticky(const struct sched_spec *spec)
{
	for (uint32_t g = 0; g < spec->group_count; g++)
		if (spec->groups[g].sticky)
			return true;
	return false;
}

static int prepare(struct sched_work *w)
{
	uint32_t most = 0, high = w->s->tables[SCHED_TABLE_NODES].high;

	for (uint32_t g = 0; g < w->spec->group_count; g++) {
		uint32_t count = sched_job_rests(w->job) ? 0 : w->spec->groups[g].count;

		w->places[g] = sched_arena_take(w->arena, count * sizeof(struct sched_place));
		if (!w->places[g])
			return -ENOMEM;
		for (uint32_t k = 0; k < count; k++)
			w->places[g][k] = (struct sched_place){SCHED_NONE, SCHED_NONE, SCHED_NONE,
				SCHED_NONE, SCHED_NONE, SCHED_NONE, false};
		most += count + w->canaries[g];
	}
	if (most > w->limit)
		most = w->limit;
	w->out->wants = sched_arena_take(w->arena, most * sizeof(struct sched_want));
	most = w->job->instances < w->limit ? w->job->instances : w->limit;
	w->out->stops = sched_arena_take(w->arena, most * sizeof(struct sched_plan_stop));
	w->out->updates = sched_arena_take(w->arena, most * sizeof(struct sched_plan_update));
	w->out->unknowns = sched_arena_take(w->arena, most * sizeof(struct sched_id));
	if (!w->out->wants || !w->out->stops || !w->out->updates || !w->out->unknowns)
		return -ENOMEM;
	if (!w->job->live && !w->held && !any_sticky(w->spec))
		return 0;
	w->out->own = sched_arena_zeroed(w->arena, high * sizeof(uint16_t));
	if (!w->out->own)
		return -ENOMEM;
	if (!sched_prefer_counts(w->spec))
		return 0;
	w->out->kept = sched_arena_take(w->arena, w->job->live * sizeof(struct sched_kept));
	return w->out->kept ? 0 : -ENOMEM;
}

int sched_reconcile(struct sched_arena *arena, const struct sched_snapshot *s, uint32_t job,
	struct sched_catalog *catalog, ns_t now, uint32_t limit, struct sched_reconciled *out)
{
	struct sched_work w = {.s = s,
		.job = sched_job_at(s, job),
		.arena = arena,
		.out = out,
		.now = now,
		.limit = limit};

	*out = (struct sched_reconciled){
		.reschedule_at = NS_NEVER, .node_high = s->tables[SCHED_TABLE_NODES].high};
	w.spec = sched_job_spec(w.job);
	sched_held_prepare(&w);
	if (prepare(&w) || sched_excess_find(&w, catalog))
		return -ENOMEM;
	for (uint32_t at = w.job->first_instance; at != SCHED_NONE;) {
		const struct sched_instance *i = sched_instance_at(s, at);

		if (sched_live(i))
			sort_live(&w, i);
		else
			sort_ended(&w, i);
		at = i->next_in_job;
	}
	for (uint32_t g = 0; g < w.spec->group_count && !sched_job_rests(w.job); g++) {
		if (!sched_held(&w, g))
			fill(&w, g);
		else if (sched_held_fill(&w, g))
			return -ENOMEM;
	}
	return 0;
}
