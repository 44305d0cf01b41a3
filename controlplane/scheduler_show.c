// SPDX-License-Identifier: Apache-2.0
// What is shown of the scheduler, from snapshots. Main thread.
#include <stdlib.h>
#include <string.h>

#include "controlplane/prom.h"
#include "controlplane/registry_internal.h"
#include "controlplane/scheduler_internal.h"
#include "controlplane/scheduler_json.h"
#include "sched/block.h"

json_t *scheduler_why(const struct sched_why *why)
{
	json_t *out = json_object();

	set(out, "evaluation", why->eval);
	json_object_set_new(out, "trigger", json_string(scheduler_because(why->trigger)));
	set(out, "considered", why->considered);
	set(out, "infeasible", why->infeasible);
	set(out, "full", why->exhausted);
	json_object_set_new(out, "score", json_real((double)why->score));
	json_object_set_new(out, "runner_up", json_real((double)why->runner_up));
	return out;
}

static json_t *explain(const struct sched_snapshot *now, const struct sched_eval *e)
{
	json_t *out = scheduler_explain_json(now, e);

	set(out, "id", e->id);
	json_object_set_new(out, "status", json_string(scheduler_eval_status(e->status)));
	json_object_set_new(out, "trigger", json_string(scheduler_because(e->trigger)));
	return out;
}

// The evaluation of a job that waits for room; it may have been tried since the last one ended.
static const struct sched_eval *waiting(const struct sched_core *c, uint32_t job)
{
	const struct sched_ticket *t =
		job == SCHED_NONE ? NULL : sched_blocked_of(c->blocked, job, SCHED_NONE);
	const struct sched_eval *e = t ? sched_eval_at(&c->state->head, t->slot) : NULL;

	return e && e->id == t->eval ? e : NULL;
}

static const struct sched_eval *newer(const struct sched_eval *a, const struct sched_eval *b)
{
	if (!a || !b)
		return a ? a : b;
	return b->snapshot_index > a->snapshot_index ? b : a;
}

json_t *scheduler_explain(struct scheduler *s, const char *namespace, const char *name)
{
	const struct sched_snapshot *now;
	const struct sched_eval *e;
	uint32_t slot, last = SCHED_NONE;
	json_t *out = NULL;

	pthread_mutex_lock(&s->lock);
	slot = sched_job_find(s->core->state, namespace, name);
	if (slot != SCHED_NONE)
		last = sched_job_at(&s->core->state->head, slot)->last_eval;
	now = &s->core->state->head;
	e = newer(sched_eval_at(now, last), waiting(s->core, slot));
	if (e)
		out = explain(now, e);
	pthread_mutex_unlock(&s->lock);
	return out;
}

void scheduler_each_job(struct scheduler *s,
	void (*each)(void *user, const char *namespace, const char *name), void *user)
{
	const struct sched_snapshot *now = sched_snapshot_pin(s->reader, s->core->state);

	for (uint32_t k = 0; k < now->tables[SCHED_TABLE_JOBS].high; k++) {
		const struct sched_job *job = sched_job_at(now, k);

		if (job && !sched_job_spec(job)->stopped)
			each(user, sched_job_spec(job)->namespace, sched_job_spec(job)->name);
	}
	sched_reader_unpin(s->reader);
}

void scheduler_each_quota(
	struct scheduler *s, void (*each)(void *user, const char *namespace), void *user)
{
	const struct sched_snapshot *now = sched_snapshot_pin(s->reader, s->core->state);

	for (uint32_t k = 0; k < now->tables[SCHED_TABLE_QUOTAS].high; k++)
		if (sched_quota_at(now, k))
			each(user, sched_quota_at(now, k)->namespace);
	sched_reader_unpin(s->reader);
}

void scheduler_each_node(
	struct scheduler *s, void (*each)(void *user, const char *name), void *user)
{
	const struct sched_snapshot *now = sched_snapshot_pin(s->reader, s->core->state);

	for (uint32_t k = 0; k < now->tables[SCHED_TABLE_NODES].high; k++)
		if (sched_node_at(now, k))
			each(user, sched_node_at(now, k)->info->name);
	sched_reader_unpin(s->reader);
}

void scheduler_node_attribute(
	struct scheduler *s, const char *name, const char *key, char *out, size_t room)
{
	const struct sched_node *n;
	const char *value;

	pthread_mutex_lock(&s->lock);
	n = sched_node_at(&s->core->state->head, sched_node_find(s->core->state, name));
	value = n ? sched_node_attribute(n->info, key) : NULL;
	snprintf(out, room, "%s", value ? value : "");
	pthread_mutex_unlock(&s->lock);
}

json_t *scheduler_waiting(struct scheduler *s)
{
	uint64_t ready, blocked;

	pthread_mutex_lock(&s->lock);
	ready = sched_broker_stats(s->core->broker).ready;
	blocked = sched_blocked_stats(s->core->blocked).blocked;
	pthread_mutex_unlock(&s->lock);
	return json_pack("{s:I, s:I}", "ready", (json_int_t)ready, "blocked", (json_int_t)blocked);
}

static void sample(
	const struct prom *p, const char *name, const char *type, const char *help, uint64_t value)
{
	prom_heading(p, name, type, help);
	prom_sample(p, name, NULL, value);
}

static void launch_metrics(
	const struct prom *p, const struct sched_launch_stats *stats, uint32_t kept)
{
	sample(p, "penstock_scheduler_launched_total", "counter",
		"Jobs made by schedules, or launched by hand.", stats->launched);
	sample(p, "penstock_scheduler_skipped_total", "counter",
		"Launches of schedules left out, as one before had not ended.", stats->skipped);
	sample(p, "penstock_scheduler_dispatched_total", "counter", "Jobs made of templates.",
		stats->dispatched);
	sample(p, "penstock_scheduler_dispatches_repeated_total", "counter",
		"Dispatches with a token that was used.", stats->repeated);
	sample(p, "penstock_scheduler_dispatches_refused_total", "counter",
		"Dispatches and launches refused, as too many had not ended.", stats->refused);
	sample(p, "penstock_scheduler_jobs_kept", "gauge",
		"Jobs made by schedules or of templates that have ended and can still be seen.",
		kept);
	sample(p, "penstock_scheduler_jobs_forgotten_early_total", "counter",
		"Of these, gone before their time as too many were kept.", stats->collected_early);
}

void scheduler_metrics(struct scheduler *s, const struct prom *p)
{
	const struct sched_core *c = s->core;
	struct sched_broker_stats broker;
	struct sched_applier_stats applier;
	struct sched_launch_stats launches;
	uint64_t made, backlog;
	uint32_t blocked, kept;

	pthread_mutex_lock(&s->lock);
	broker = sched_broker_stats(c->broker);
	applier = sched_applier_stats(c->applier);
	blocked = sched_blocked_stats(c->blocked).blocked;
	launches = c->launches.stats;
	kept = c->launches.kept.count;
	made = c->evals_made;
	backlog = scheduler_backlog(s);
	pthread_mutex_unlock(&s->lock);
	sample(p, "penstock_scheduler_evaluations_ready", "gauge",
		"Evaluations that wait for a worker.", broker.ready);
	sample(p, "penstock_scheduler_evaluations_blocked", "gauge",
		"Evaluations that wait for room.", blocked);
	sample(p, "penstock_scheduler_evaluations_total", "counter", "Evaluations made.", made);
	sample(p, "penstock_scheduler_plans_total", "counter", "Plans applied.", applier.plans);
	sample(p, "penstock_scheduler_placements_total", "counter", "Instances placed.",
		applier.placed);
	sample(p, "penstock_scheduler_rejected_nodes_total", "counter",
		"Nodes of plans that did not fit any more.", applier.rejected_nodes);
	sample(p, "penstock_scheduler_events_left_out_total", "counter",
		"Events of rollouts and evaluations beyond what is kept of a minute.",
		s->notes.left_out);
	sample(p, "penstock_scheduler_backlog_bytes", "gauge",
		"Bytes of the log that are not durable yet, or durable and not told.", backlog);
	launch_metrics(p, &launches, kept);
}
