// SPDX-License-Identifier: Apache-2.0
// The worker of worker.h: reconcile, choose nodes, write down what becomes of the evaluation.
#include "sched/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sched/claims.h"
#include "sched/fit.h"
#include "sched/preempt.h"

struct sched_worker {
	struct sched_worker_config config;
	struct rng rng;
	struct sched_arena arena;
	struct sched_catalog catalog;
	struct sched_favourites favourites;
	struct sched_ticket ticket;
	uint64_t token;
	uint64_t min_index;
	uint8_t attempts, plans;
	uint32_t conflicts;
	struct sched_plan plan;
};

// One planning, in the worker's arena.
struct planning {
	struct sched_worker *w;
	const struct sched_snapshot *s;
	const struct sched_job *job;
	const struct sched_spec *spec;
	const struct sched_eval *eval;
	struct sched_reconciled rec;
	uint32_t version;          // that is being placed, if not the current one; else 0
	struct sched_res *planned; // by node, if places of several groups or versions are chosen
	struct sched_eligibility eligibility;
	bool counts_own; // the same for rec.own
	bool group_failed[SCHED_GROUPS_MAX];
	uint32_t failed;
	uint32_t failed_nodes[SCHED_PLAN_NODES_MAX]; // of a system job: the first ones
	uint32_t over_quota; // of the failed: those that the namespace's quota does not allow
};

struct sched_worker *sched_worker_new(const struct sched_worker_config *config, uint64_t seed)
{
	struct sched_worker *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	if (config)
		w->config = *config;
	if (!w->config.place_max)
		w->config.place_max = SCHED_EVAL_PLACE_MAX;
	rng_seed(&w->rng, seed);
	sched_catalog_init(&w->catalog);
	return w;
}

void sched_worker_destroy(struct sched_worker *w)
{
	if (!w)
		return;
	sched_arena_fini(&w->arena);
	sched_catalog_fini(&w->catalog);
	free(w);
}

void sched_worker_begin(struct sched_worker *w, const struct sched_ticket *t, uint64_t token)
{
	w->ticket = *t;
	w->token = token;
	w->min_index = t->min_index > t->create_index ? t->min_index : t->create_index;
	w->attempts = w->plans = 0;
	w->conflicts = 0;
}

uint64_t sched_worker_min_index(const struct sched_worker *w)
{
	return w->min_index;
}

// ---- making room ----

static bool may_preempt(const struct planning *p)
{
	return p->w->config.preempt & SCHED_MASK(p->spec->type) &&
	       p->job->priority >= SCHED_PREEMPT_GAP;
}

// The victims go with the plan. False: it has as many as it may.
static bool evict(struct planning *p, const struct sched_preempt *q)
{
	struct sched_plan *plan = &p->w->plan;
	uint32_t most = p->rec.stop_count + SCHED_PREEMPT_STOPS_MAX;

	if (plan->stop_count + q->victim_count > most)
		return false;
	if (plan->stops == p->rec.stops) {
		struct sched_plan_stop *stops =
			sched_arena_take(&p->w->arena, most * sizeof(*stops));

		if (!stops)
			return false;
		if (plan->stop_count)
			memcpy(stops, plan->stops, plan->stop_count * sizeof(*stops));
		plan->stops = stops;
	}
	for (uint32_t k = 0; k < q->victim_count; k++)
		plan->stops[plan->stop_count++] =
			(struct sched_plan_stop){.id = q->victims[k], .desired = SCHED_EVICT};
	return true;
}

// Finds a place for a want by stopping what is less important.
static bool make_room(struct planning *p, struct sched_ranking *r, const struct sched_want *want)
{
	struct sched_plan *plan = &p->w->plan;
	struct sched_preempt q = {.s = p->s,
		.spec = p->spec,
		.job = p->eval->job,
		.group = want->group,
		.priority = p->job->priority,
		.plan = plan,
		.rec = &p->rec,
		.filter = &r->filter,
		.strata = &r->strata,
		.rng = &p->w->rng};
	uint32_t node = sched_preempt_any(&q);
	const struct sched_node *n = sched_node_at(p->s, node);

	if (!n || !evict(p, &q))
		return false;
	if (r->strata.prefers)
		sched_prefer_take(&r->strata.prefer, r->strata.prefer.by_node ? node : n->class_id);
	plan->places[plan->place_count++] = (struct sched_plan_place){.node = node,
		.name_index = want->name_index,
		.previous = want->previous,
		.version = p->version,
		.reschedules = want->reschedules,
		.group = want->group};
	if (p->planned)
		sched_res_add(&p->planned[node], &p->spec->groups[want->group].ask);
	return true;
}

// ---- placing ----

// Fills in what the ranking does not know.
static void take_place(struct planning *p, const struct sched_want *want)
{
	struct sched_plan *plan = &p->w->plan;
	struct sched_plan_place *place = &plan->places[plan->place_count++];

	place->name_index = want->name_index;
	place->previous = want->previous;
	place->version = p->version;
	place->reschedules = want->reschedules;
	place->group = want->group;
	if (p->planned)
		sched_res_add(&p->planned[place->node], &p->spec->groups[want->group].ask);
	if (p->counts_own && p->rec.own && p->rec.own[place->node] < UINT16_MAX)
		p->rec.own[place->node]++;
}

// Those that would go where their data is come first, before others take the room there. The wants
// that are left stand at the end; returns how many do not.
static uint32_t stick(
	struct planning *p, struct sched_ranking *r, struct sched_want *wants, uint32_t n)
{
	struct sched_plan *plan = &p->w->plan;
	uint32_t placed = 0;

	for (uint32_t k = 0; k < n; k++) {
		const struct sched_instance *old = sched_instance_at(p->s, wants[k].previous);
		struct sched_plan_place *place = &plan->places[plan->place_count];
		struct sched_want want = wants[k];

		if (!old || sched_ranking_on(r, old->node, place))
			continue;
		take_place(p, &want);
		wants[k] = wants[placed];
		wants[placed++] = want;
	}
	return placed;
}

static int choose(struct planning *p, uint32_t group, struct sched_want *wants, uint32_t n)
{
	struct sched_plan *plan = &p->w->plan;
	struct sched_ranking r = {.s = p->s,
		.arena = &p->w->arena,
		.rng = &p->w->rng,
		.rec = &p->rec,
		.planned = p->planned,
		.plan = plan,
		.catalog = &p->w->catalog,
		.algorithm = p->w->config.algorithm,
		.explain = &plan->done.explain};
	uint32_t k = 0;
	int rc;

	if (r.algorithm == SCHED_BIN_PACK)
		r.favourites = &p->w->favourites;
	rc = sched_ranking_init(&r, p->spec, group);
	if (!rc && p->spec->groups[group].sticky)
		k = stick(p, &r, wants, n);
	for (; !rc && k < n; k++) {
		rc = sched_ranking_next(
			&r, n - k, wants[k].avoid, &plan->places[plan->place_count]);
		if (rc)
			break;
		take_place(p, &wants[k]);
	}
	sched_ranking_end(&r);
	plan->why[group] = r.why;
	while (rc == -ENOSPC && k < n && may_preempt(p) && make_room(p, &r, &wants[k]))
		k++;
	if (rc != -ENOSPC || k == n)
		return rc == -ENOSPC ? 0 : rc;
	// One failure stands for all of the group that is left.
	p->failed += n - k;
	p->group_failed[group] = true;
	sched_filter_eligibility(&r.filter, &p->eligibility);
	return 0;
}

// Wants of one group and version, as if that were the current one.
static int choose_version(struct planning *p, struct sched_want *wants, uint32_t n)
{
	const struct sched_spec *current = p->spec;
	int rc;

	p->version = wants->version;
	if (p->version)
		p->spec = sched_job_version(p->job, p->version);
	rc = choose(p, wants->group, wants, n);
	p->spec = current;
	p->version = 0;
	return rc;
}

static int need_planned(struct planning *p)
{
	const struct sched_reconciled *rec = &p->rec;
	uint32_t high = p->s->tables[SCHED_TABLE_NODES].high;

	for (uint32_t g = 0; g < p->spec->group_count; g++)
		p->counts_own |= p->spec->groups[g].sticky;
	for (uint32_t k = 0; p->job->deployment && k < rec->want_count; k++)
		p->counts_own |= rec->wants[k].version != 0;
	if (!(p->spec->group_count > 1 || p->counts_own) || !rec->want_count)
		return 0;
	p->planned = sched_arena_zeroed(&p->w->arena, high * sizeof(*p->planned));
	return p->planned ? 0 : -ENOMEM;
}

static int place_groups(struct planning *p)
{
	const struct sched_reconciled *rec = &p->rec;
	struct sched_plan *plan = &p->w->plan;

	plan->places = sched_arena_take(&p->w->arena, rec->want_count * sizeof(*plan->places));
	if (!plan->places || need_planned(p))
		return -ENOMEM;
	// Wants come group by group.
	for (uint32_t at = 0, end; at < rec->want_count; at = end) {
		const struct sched_want *first = &rec->wants[at];
		int rc;

		for (end = at + 1; end < rec->want_count && rec->wants[end].group == first->group &&
				   rec->wants[end].version == first->version;)
			end++;
		rc = choose_version(p, rec->wants + at, end - at);
		if (rc)
			return rc;
	}
	return 0;
}

// ---- placing on given nodes: system jobs ----

static void failed_on(struct planning *p, uint32_t node, enum sched_dimension full)
{
	struct sched_explain *x = &p->w->plan.done.explain;

	x->by_dimension[full]++;
	if (p->failed < SCHED_PLAN_NODES_MAX)
		p->failed_nodes[p->failed] = node;
	p->failed++;
}

// What it replaces is stopped by the same plan.
static enum sched_dimension fits_there(struct planning *p, const struct sched_want *want,
	const struct sched_node *n, struct sched_res *used)
{
	const struct sched_instance *old = sched_instance_at(p->s, want->previous);
	enum sched_dimension full;

	*used = n->used;
	sched_res_add(used, &p->planned[want->name_index]);
	if (old && old->flags & SCHED_INSTANCE_HOLDS)
		sched_res_sub(used, &old->ask);
	full = sched_fit(&n->capacity, used, &p->spec->groups[want->group].ask);
	if (full == SCHED_DIMS && !sched_claims_room(p->s, want->name_index, p->spec, want->group,
					  &p->w->plan, p->w->plan.place_count))
		full = SCHED_DIM_CLAIM;
	return full;
}

static bool make_room_on(struct planning *p, const struct sched_want *want)
{
	struct sched_filter filter;
	struct sched_preempt q = {.s = p->s,
		.spec = p->spec,
		.job = p->eval->job,
		.group = want->group,
		.priority = p->job->priority,
		.plan = &p->w->plan,
		.rec = &p->rec,
		.filter = &filter};
	int16_t none;

	// Without a memory of classes: the reconciler has looked at the constraints already.
	sched_filter_init(&filter, p->spec, want->group, &none, 0);
	return may_preempt(p) && sched_preempt_on(&q, want->name_index) && evict(p, &q);
}

static int place_on_nodes(struct planning *p)
{
	uint32_t high = p->s->tables[SCHED_TABLE_NODES].high;
	struct sched_plan *plan = &p->w->plan;

	plan->places = sched_arena_take(&p->w->arena, p->rec.want_count * sizeof(*plan->places));
	p->planned = sched_arena_zeroed(&p->w->arena, high * sizeof(*p->planned));
	if (!plan->places || !p->planned)
		return -ENOMEM;
	for (uint32_t k = 0; k < p->rec.want_count; k++) {
		const struct sched_want *want = &p->rec.wants[k];
		const struct sched_node *n = sched_node_at(p->s, want->name_index);
		const struct sched_res *ask = &p->spec->groups[want->group].ask;
		struct sched_res used;
		enum sched_dimension full = fits_there(p, want, n, &used);

		plan->done.explain.considered++;
		plan->done.explain.feasible++;
		plan->why[want->group].considered = 1;
		if (full != SCHED_DIMS && !make_room_on(p, want)) {
			failed_on(p, want->name_index, full);
			continue;
		}
		sched_res_add(&p->planned[want->name_index], ask);
		plan->places[plan->place_count++] = (struct sched_plan_place){
			.node = want->name_index,
			.name_index = want->name_index,
			.previous = want->previous,
			.score = sched_score(p->w->config.algorithm, &n->capacity, &used, ask),
			.reschedules = want->reschedules,
			.group = want->group};
	}
	return 0;
}

// ---- what becomes of the evaluation ----

static struct sched_eval *follow(struct planning *p, uint8_t trigger, uint8_t status)
{
	struct sched_plan *plan = &p->w->plan;
	struct sched_eval *e = &plan->follow[plan->follow_count++];

	*e = (struct sched_eval){.previous = p->eval->id,
		.job = p->eval->job,
		.node = SCHED_NONE,
		.snapshot_index = p->s->index,
		.type = p->spec->type,
		.priority = p->spec->priority,
		.trigger = trigger,
		.status = status};
	return e;
}

// Which quota it waits for, and whether for room besides.
static uint32_t quota_of(const struct planning *p)
{
	if (!p->over_quota)
		return 0;
	return sched_quota_key(p->job->quota) |
	       (p->failed > p->over_quota ? SCHED_QUOTA_OR_ROOM : 0);
}

// There was no room for some: this evaluation, or a new one, waits for it.
static void block(struct planning *p)
{
	struct sched_eval *done = &p->w->plan.done, *e = done;

	if (p->eval->status == SCHED_EVAL_BLOCKED)
		done->status = SCHED_EVAL_BLOCKED;
	else {
		e = follow(p, SCHED_QUEUED_INSTANCES, SCHED_EVAL_BLOCKED);
		e->explain = done->explain;
	}
	e->trigger = SCHED_QUEUED_INSTANCES;
	e->eligibility = p->eligibility;
	e->quota = quota_of(p);
	e->snapshot_index = p->s->index;
}

// Nodes without room wait each for itself, or if there are many, all of them for any.
static void block_nodes(struct planning *p)
{
	bool many = p->failed > SCHED_PLAN_NODES_MAX || p->over_quota;

	for (uint32_t k = 0; k < (many ? 1 : p->failed); k++) {
		struct sched_eval *e = follow(p, SCHED_QUEUED_INSTANCES, SCHED_EVAL_BLOCKED);

		e->node = many ? SCHED_NONE : p->failed_nodes[k];
		e->eligibility.escaped = true;
		e->quota = quota_of(p);
		e->explain = p->w->plan.done.explain;
	}
}

static void conclude(struct planning *p)
{
	struct sched_plan *plan = &p->w->plan;
	struct sched_eval *done = &plan->done;

	done->status = SCHED_EVAL_COMPLETE;
	done->snapshot_index = p->s->index;
	done->explain.wanted = p->rec.want_count + p->over_quota;
	done->explain.by_dimension[SCHED_DIM_QUOTA] = p->over_quota;
	p->failed += p->over_quota;
	done->explain.placed = plan->place_count;
	done->explain.failed = p->failed;
	done->explain.stopped = plan->stop_count;
	done->explain.updated = p->rec.update_count;
	done->explain.conflicts = p->w->conflicts;
	done->explain.attempts = p->w->attempts;
	done->explain.plans = p->w->plans;
	if (p->failed && sched_by_node(p->spec->type))
		block_nodes(p);
	else if (p->failed)
		block(p);
	// With what is left over it goes on at once, unless it would only fail again.
	// Where the next one of an update found no room it is another's turn.
	if (((p->rec.more || (p->rec.rolling && p->failed)) &&
		    (!p->failed || plan->stop_count || plan->place_count)) ||
		(p->rec.rolling && plan->node != SCHED_NONE))
		follow(p, SCHED_CONTINUE, SCHED_EVAL_PENDING);
	if (p->rec.reschedule_at != NS_NEVER)
		follow(p, SCHED_RESCHEDULE, SCHED_EVAL_PENDING)->wait_until = p->rec.reschedule_at;
}

// Too many attempts: this one failed, and another tries again when it is quieter.
static void give_up(struct planning *p)
{
	struct sched_eval *done = &p->w->plan.done, *e;

	done->status = SCHED_EVAL_FAILED;
	done->snapshot_index = p->s->index;
	done->explain.conflicts = p->w->conflicts;
	done->explain.attempts = p->w->attempts;
	e = follow(p, SCHED_MAX_PLANS, SCHED_EVAL_BLOCKED);
	e->eligibility.escaped = true;
	e->explain = done->explain;
}

// ---- planning ----

static void start_plan(struct planning *p, ns_t now)
{
	struct sched_plan *plan = &p->w->plan;

	*plan = (struct sched_plan){.token = p->w->token,
		.snapshot_index = p->s->index,
		.job_create_index = p->job->create_index,
		.nonce = rng_next(&p->w->rng),
		.now = now,
		.job = p->eval->job,
		.node = p->w->ticket.node,
		.version = p->spec->version,
		.priority = p->w->ticket.priority,
		.trigger = p->eval->trigger,
		.all_at_once = p->spec->all_at_once,
		.done = *p->eval,
		.user = plan->user};
	plan->done.explain = (struct sched_explain){0};
	for (int i = 0; i < SCHED_EXPLAIN_BEST; i++)
		plan->done.explain.best[i].node = SCHED_NONE;
	plan->done.wait_until = 0;
}

// Wants that the quota of the namespace does not allow are not looked for.
static void keep_to_quota(struct planning *p)
{
	const struct sched_quota *q = sched_quota_at(p->s, p->job->quota);
	struct sched_growth growth = {0};
	uint32_t k = 0;

	for (uint32_t n = 0; q && n < p->rec.stop_count; n++) {
		const struct sched_instance *i = sched_instance_by_id(p->s, &p->rec.stops[n].id);

		if (i && i->flags & SCHED_INSTANCE_HOLDS)
			sched_grow(&growth, &i->ask, -1);
	}
	for (; q && k < p->rec.want_count; k++) {
		const struct sched_want *want = &p->rec.wants[k];
		const struct sched_spec *spec =
			want->version ? sched_job_version(p->job, want->version) : p->spec;

		sched_grow(&growth, &spec->groups[want->group].ask, 1);
		if (!sched_quota_allows(q, &growth))
			break;
	}
	if (!q || k == p->rec.want_count)
		return;
	p->over_quota = p->rec.want_count - k;
	p->rec.want_count = k;
}

// What places are chosen for counts on that.
static void take_over(struct planning *p)
{
	struct sched_plan *plan = &p->w->plan;

	plan->stops = p->rec.stops;
	plan->stop_count = p->rec.stop_count;
	plan->updates = p->rec.updates;
	plan->update_count = p->rec.update_count;
	plan->unknowns = p->rec.unknowns;
	plan->unknown_count = p->rec.unknown_count;
	keep_to_quota(p);
}

static int find_places(struct planning *p, ns_t now)
{
	uint32_t most = p->w->config.place_max;
	int rc;

	if (p->spec->claim_count && most > SCHED_CLAIMS_PLACE_MAX)
		most = SCHED_CLAIMS_PLACE_MAX;
	if (sched_by_node(p->spec->type)) {
		rc = sched_reconcile_system(
			&p->w->arena, p->s, p->eval->job, p->w->ticket.node, now, most, &p->rec);
		take_over(p);
		return rc ? rc : place_on_nodes(p);
	}
	rc = sched_reconcile(&p->w->arena, p->s, p->eval->job, &p->w->catalog, now, most, &p->rec);
	take_over(p);
	return rc ? rc : place_groups(p);
}

static int make_plan(struct planning *p, ns_t now)
{
	struct sched_plan *plan = &p->w->plan;
	int rc = find_places(p, now);

	if (rc)
		return rc;
	// A job that is placed as a whole or not at all goes without what fits now.
	if (p->failed && p->spec->all_at_once) {
		plan->place_count = 0;
		plan->stop_count = p->rec.stop_count;
	}
	conclude(p);
	return 0;
}

int sched_worker_plan(
	struct sched_worker *w, const struct sched_snapshot *s, ns_t now, struct sched_plan **plan)
{
	struct planning p = {.w = w, .s = s};
	uint8_t limit;
	int rc = 0;

	if (s->index < w->min_index)
		return -EAGAIN;
	p.eval = sched_eval_at(s, w->ticket.slot);
	if (!p.eval || p.eval->id != w->ticket.eval || p.eval->status >= SCHED_EVAL_COMPLETE)
		return -ENOENT;
	p.job = sched_job_at(s, p.eval->job);
	if (!p.job)
		return -ENOENT;
	p.spec = sched_job_spec(p.job);
	sched_arena_reset(&w->arena);
	start_plan(&p, now);
	limit = p.spec->type == SCHED_TYPE_BATCH ? SCHED_ATTEMPTS_BATCH : SCHED_ATTEMPTS_SERVICE;
	w->plans++;
	if (w->attempts++ >= limit)
		give_up(&p);
	else
		rc = make_plan(&p, now);
	if (rc)
		return rc;
	*plan = &w->plan;
	return 0;
}

int sched_worker_result(struct sched_worker *w)
{
	const struct sched_plan *plan = &w->plan;

	if (plan->error)
		return plan->error;
	if (plan->full)
		return 0;
	w->conflicts += plan->rejected_nodes;
	w->min_index = plan->refresh_index;
	if (plan->placed || plan->stopped)
		w->attempts = 0;
	return -EAGAIN;
}
