// SPDX-License-Identifier: Apache-2.0
// The dry run of dry_run.h. The rows that differ are written in the usual way (sched_table_write),
// but into pages whose version no page of the state has: so each page on the way is copied, none is
// written to, and none of the state's is ever given back.
#include "sched/dry_run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sched/block.h"
#include "sched/core_internal.h"
#include "sched/deploy.h"

#define PAGES_VERSION UINT64_MAX

// ---- the view with the new version ----

// Pages with the pools that the tables expect.
static struct sched_pages *pages_like(const struct sched_snapshot *s)
{
	struct sched_pages *p = aligned_alloc(64, (sizeof(*p) + 63) & ~(size_t)63);

	if (!p)
		return NULL;
	sched_pages_init(p);
	p->version = PAGES_VERSION;
	for (int i = 0; i < SCHED_TABLES; i++) {
		p->pool_count = s->tables[i].pool;
		sched_table_make(p, s->tables[i].row_bytes, s->tables[i].leaf_bits);
	}
	return p;
}

static uint32_t quota_of(const struct sched_snapshot *s, const char *namespace)
{
	for (uint32_t k = 0; k < s->tables[SCHED_TABLE_QUOTAS].high; k++) {
		const struct sched_quota *q = sched_quota_at(s, k);

		if (q && strcmp(q->namespace, namespace) == 0)
			return k;
	}
	return SCHED_NONE;
}

// Whether all that the job wants now is ready: then its version is a stable one.
static bool all_ready(const struct sched_dry_run *d, const struct sched_job *j)
{
	uint64_t ready = 0, total = sched_deploy_total(sched_job_spec(j));

	for (uint32_t at = j->first_instance; at != SCHED_NONE;) {
		const struct sched_instance *i = sched_instance_at(d->before, at);

		ready += sched_live(i) && sched_ready(i) &&
			 i->version == sched_job_spec(j)->version &&
			 !(i->flags & SCHED_INSTANCE_CANARY);
		at = i->next_in_job;
	}
	return total && ready >= total;
}

// As sched_deploy_put() and sched_deploy_unchanged() leave it. j: with its new version.
static const struct sched_deployment *deployment_of(
	struct sched_dry_run *d, const struct sched_job *old, const struct sched_job *j)
{
	const struct sched_deployment *now = old ? old->deployment : NULL;
	bool is_version = !old || sched_job_spec(old)->version != d->spec->version;

	if (is_version && sched_deployment_start(old, d->spec,
				  old && sched_deploys(d->spec, false) && all_ready(d, old),
				  &d->deployment)) {
		sched_deployment_kept(j, &d->deployment);
		return &d->deployment;
	}
	return now && sched_deployment_goes_on(now, d->spec, &d->deployment) ? &d->deployment : now;
}

static int put_job(struct sched_dry_run *d, uint32_t slot)
{
	const struct sched_job *old = sched_job_at(d->before, slot);
	struct sched_job *j;

	d->is_new = !old;
	d->job = old ? slot : d->before->tables[SCHED_TABLE_JOBS].high;
	sched_versions_keep(d->before, old, d->spec, &d->versions);
	j = sched_table_write(d->pages, &d->after.tables[SCHED_TABLE_JOBS], d->job);
	if (!j)
		return -ENOMEM;
	if (!old)
		*j = (struct sched_job){.first_instance = SCHED_NONE,
			.last_eval = SCHED_NONE,
			.quota = quota_of(d->before, d->spec->namespace),
			.create_index = d->after.index,
			.in_use = true};
	j->versions = &d->versions;
	// It may have more to do.
	j->ended_ns = 0;
	j->deployment = deployment_of(d, old, j);
	j->type = d->spec->type;
	j->priority = d->spec->priority;
	return 0;
}

static int put_eval(struct sched_dry_run *d, struct sched_ticket *t)
{
	uint32_t slot = d->before->tables[SCHED_TABLE_EVALS].high;
	struct sched_eval *e =
		sched_table_write(d->pages, &d->after.tables[SCHED_TABLE_EVALS], slot);

	if (!e)
		return -ENOMEM;
	*e = (struct sched_eval){.create_index = d->after.index,
		.modify_index = d->after.index,
		.slot = slot,
		.job = d->job,
		.node = SCHED_NONE,
		.type = d->spec->type,
		.priority = d->spec->priority,
		.trigger = d->spec->stopped ? SCHED_JOB_STOP : SCHED_JOB_PUT,
		.in_use = true};
	*t = sched_ticket_of(e);
	return 0;
}

// ---- what the plan comes to ----

static void count_stops(struct sched_dry_run *d)
{
	for (uint32_t k = 0; k < d->plan->stop_count; k++) {
		const struct sched_plan_stop *s = &d->plan->stops[k];

		d->evicted += s->desired == SCHED_EVICT;
		d->lost += s->lost;
		d->stopped += s->desired != SCHED_EVICT && !s->lost;
	}
}

static bool replaces(const struct sched_dry_run *d, const struct sched_plan_place *p)
{
	const struct sched_instance *i = sched_instance_at(d->before, p->previous);

	return i && sched_live(i);
}

// Rows that the plan stops or takes into the new version.
static uint8_t *settled_rows(const struct sched_dry_run *d)
{
	uint32_t high = d->before->tables[SCHED_TABLE_INSTANCES].high;
	uint8_t *rows = calloc(high / 8 + 1, 1);

	for (uint32_t k = 0; rows && k < d->plan->stop_count; k++)
		rows[d->plan->stops[k].id.slot / 8] |= 1u << d->plan->stops[k].id.slot % 8;
	for (uint32_t k = 0; rows && k < d->plan->update_count; k++)
		rows[d->plan->updates[k].id.slot / 8] |= 1u << d->plan->updates[k].id.slot % 8;
	return rows;
}

// Those that are stopped and replaced in one plan (system jobs) are among the stops.
static int count_outdated(struct sched_dry_run *d)
{
	const struct sched_job *j = sched_job_at(d->before, d->job);
	uint8_t *settled;

	if (!j || !j->live || d->spec->stopped)
		return 0;
	settled = settled_rows(d);
	if (!settled)
		return -ENOMEM;
	for (uint32_t at = j->first_instance; at != SCHED_NONE;) {
		const struct sched_instance *i = sched_instance_at(d->before, at);

		if (sched_live(i) && i->version != d->spec->version &&
			!(settled[at / 8] & 1u << at % 8))
			d->outdated++;
		at = i->next_in_job;
	}
	for (uint32_t k = 0; k < d->plan->place_count; k++) {
		const struct sched_plan_place *p = &d->plan->places[k];

		d->outdated += replaces(d, p) && settled[p->previous / 8] & 1u << p->previous % 8;
	}
	free(settled);
	return 0;
}

static bool is_canary(const struct sched_dry_run *d, const struct sched_plan_place *p)
{
	const struct sched_deployment *deployment =
		sched_deployment_current(sched_job_at(&d->after, d->job));

	return deployment && !p->version &&
	       sched_deploy_canaries(deployment, d->spec, p->group) > 0;
}

static int sum_up(struct sched_dry_run *d)
{
	const struct sched_plan *plan = d->plan;

	d->placed = plan->place_count;
	d->updated = plan->update_count;
	d->failed = plan->done.explain.failed;
	for (uint32_t k = 0; k < plan->place_count; k++) {
		bool canary = is_canary(d, &plan->places[k]);

		d->canaries += canary;
		d->replacing += !canary && replaces(d, &plan->places[k]);
	}
	count_stops(d);
	for (uint32_t k = 0; k < plan->follow_count; k++) {
		d->more |= plan->follow[k].trigger == SCHED_CONTINUE;
		if (plan->follow[k].trigger == SCHED_RESCHEDULE)
			d->retry_at = plan->follow[k].wait_until;
	}
	return count_outdated(d);
}

// What sched_core_job_put() makes of it. NULL: out of memory.
static struct sched_spec *spec_taken(
	const struct sched_snapshot *before, uint32_t job, const struct sched_spec *spec)
{
	const struct sched_job *old = sched_job_at(before, job);
	int rc;
	struct sched_spec *next = sched_core_next_spec(old, spec, &rc);

	return next || rc ? next : sched_spec_copy(sched_job_spec(old));
}

int sched_dry_run(struct sched_dry_run *d, const struct sched_snapshot *before, uint32_t job,
	const struct sched_spec *spec, const struct sched_worker_config *config, uint64_t seed,
	ns_t now)
{
	struct sched_ticket t;
	struct sched_plan *plan;
	int rc;

	*d = (struct sched_dry_run){.before = before, .after = *before, .retry_at = NS_NEVER};
	if (sched_spec_check(spec))
		return -EINVAL;
	d->spec = spec_taken(before, job, spec);
	d->pages = pages_like(before);
	d->worker = sched_worker_new(config, seed);
	if (!d->spec || !d->pages || !d->worker || put_job(d, job) || put_eval(d, &t))
		return -ENOMEM;
	sched_worker_begin(d->worker, &t, 0);
	rc = sched_worker_plan(d->worker, &d->after, now, &plan);
	if (rc)
		return rc;
	d->plan = plan;
	return sum_up(d);
}

void sched_dry_run_fini(struct sched_dry_run *d)
{
	sched_worker_destroy(d->worker);
	// What was retired into these pages is the state's, and only forgotten.
	if (d->pages)
		sched_pages_fini(d->pages);
	free(d->pages);
	free(d->spec);
	*d = (struct sched_dry_run){0};
}

// ---- by node, by job ----

static int by_count(const void *a, const void *b)
{
	const struct sched_dry_node *x = a, *y = b;

	if (x->instances != y->instances)
		return x->instances > y->instances ? -1 : 1;
	return x->node < y->node ? -1 : x->node > y->node;
}

static int by_row(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

uint32_t sched_dry_run_nodes(
	const struct sched_dry_run *d, struct sched_dry_node *out, uint32_t room)
{
	struct sched_dry_node *all = calloc(d->placed + 1, sizeof(*all));
	uint32_t n = 0;

	if (!all)
		return 0;
	for (uint32_t k = 0; k < d->placed; k++)
		all[k] = (struct sched_dry_node){
			d->plan->places[k].node, 1, d->plan->places[k].score};
	qsort(all, d->placed, sizeof(*all), by_row);
	for (uint32_t k = 0; k < d->placed; k++) {
		struct sched_dry_node *last = n ? &all[n - 1] : NULL;

		if (!last || last->node != all[k].node) {
			all[n++] = all[k];
			continue;
		}
		last->instances++;
		if (all[k].score > last->score)
			last->score = all[k].score;
	}
	qsort(all, n, sizeof(*all), by_count);
	for (uint32_t k = 0; k < n && k < room; k++)
		out[k] = all[k];
	free(all);
	return n;
}

uint32_t sched_dry_run_victims(
	const struct sched_dry_run *d, struct sched_dry_victims *out, uint32_t room)
{
	uint32_t n = 0;

	// At most SCHED_PREEMPT_STOPS_MAX, so looking through them is cheap.
	for (uint32_t k = 0; k < d->plan->stop_count; k++) {
		const struct sched_plan_stop *s = &d->plan->stops[k];
		const struct sched_instance *i = sched_instance_by_id(d->before, &s->id);
		uint32_t at = 0;

		if (s->desired != SCHED_EVICT || !i)
			continue;
		while (at < n && at < room && out[at].job != i->job)
			at++;
		if (at == n && n < room)
			out[n++] = (struct sched_dry_victims){.job = i->job};
		if (at < room)
			out[at].instances++;
	}
	return n;
}
