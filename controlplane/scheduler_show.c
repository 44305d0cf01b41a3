// SPDX-License-Identifier: Apache-2.0
// What is shown of the scheduler, from snapshots. Main thread.
#include <stdlib.h>
#include <string.h>

#include "controlplane/prom.h"
#include "controlplane/registry_internal.h"
#include "controlplane/scheduler_internal.h"
#include "sched/block.h"
#include "sched/explain.h"

#define TEXT_MAX 1000

static const char *const trigger_names[SCHED_TRIGGERS] = {
	[SCHED_JOB_PUT] = "the function was changed",
	[SCHED_JOB_STOP] = "the function was deleted",
	[SCHED_NODE_UPDATE] = "a node went down",
	[SCHED_NODE_DRAIN] = "a node is drained",
	[SCHED_INSTANCE_ENDED] = "an instance ended",
	[SCHED_INSTANCE_READY] = "an instance is ready",
	[SCHED_QUEUED_INSTANCES] = "room appeared",
	[SCHED_MAX_PLANS] = "too many conflicts before",
	[SCHED_CONTINUE] = "the rest of many",
	[SCHED_FAILED_FOLLOW_UP] = "an evaluation failed before",
	[SCHED_RESCHEDULE] = "time to try again",
	[SCHED_PREEMPTION] = "others needed the room",
};

static const char *const dimension_names[SCHED_DIMS] = {
	[SCHED_DIM_CPU] = "cpu",
	[SCHED_DIM_MEMORY] = "memory",
	[SCHED_DIM_DISK] = "disk",
	[SCHED_DIM_SLOTS] = "instances",
	[SCHED_DIM_DISTINCT_HOSTS] = "distinct_hosts",
	[SCHED_DIM_NOT_READY] = "not_ready",
	[SCHED_DIM_INELIGIBLE] = "ineligible",
};

static const char *const status_names[] = {
	[SCHED_EVAL_PENDING] = "pending",
	[SCHED_EVAL_BLOCKED] = "blocked",
	[SCHED_EVAL_COMPLETE] = "complete",
	[SCHED_EVAL_FAILED] = "failed",
	[SCHED_EVAL_CANCELLED] = "cancelled",
};

static void set(json_t *out, const char *name, uint64_t value)
{
	json_object_set_new(out, name, json_integer((json_int_t)value));
}

static const char *trigger_name(uint8_t trigger)
{
	return trigger < SCHED_TRIGGERS && trigger_names[trigger] ? trigger_names[trigger] : "";
}

json_t *scheduler_why(const struct sched_instance *i)
{
	json_t *out = json_object();

	set(out, "evaluation", i->why.eval);
	json_object_set_new(out, "trigger", json_string(trigger_name(i->why.trigger)));
	set(out, "considered", i->why.considered);
	set(out, "infeasible", i->why.infeasible);
	set(out, "full", i->why.exhausted);
	json_object_set_new(out, "score", json_real((double)i->why.score));
	json_object_set_new(out, "runner_up", json_real((double)i->why.runner_up));
	return out;
}

// Cut within a character it is no text any more.
static json_t *api_text(const char *text)
{
	json_t *value = json_string(text);

	return value ? value : json_string("");
}

static json_t *explain(const struct sched_snapshot *now, const struct sched_eval *e)
{
	const struct sched_explain *x = &e->explain;
	json_t *out = json_object(), *excluded = json_object();
	char text[TEXT_MAX];
	uint64_t constrained = 0;

	set(out, "id", e->id);
	json_object_set_new(out, "status", json_string(status_names[e->status]));
	json_object_set_new(out, "trigger", json_string(trigger_name(e->trigger)));
	set(out, "considered", x->considered);
	set(out, "feasible", x->feasible);
	set(out, "wanted", x->wanted);
	set(out, "placed", x->placed);
	set(out, "failed", x->failed);
	set(out, "stopped", x->stopped);
	for (int d = 0; d < SCHED_DIMS; d++)
		if (x->by_dimension[d])
			set(excluded, dimension_names[d] ? dimension_names[d] : "other",
				x->by_dimension[d]);
	for (int c = 0; c < SCHED_EXPLAIN_CONSTRAINTS; c++)
		constrained += x->by_constraint[c].nodes;
	if (constrained)
		set(excluded, "constraints", constrained);
	json_object_set_new(out, "excluded_nodes", excluded);
	sched_explain_text(now, e, text, sizeof(text));
	json_object_set_new(out, "text", api_text(text));
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

static void sample(
	const struct prom *p, const char *name, const char *type, const char *help, uint64_t value)
{
	prom_heading(p, name, type, help);
	prom_sample(p, name, NULL, value);
}

void scheduler_metrics(struct scheduler *s, const struct prom *p)
{
	const struct sched_core *c = s->core;
	struct sched_broker_stats broker;
	struct sched_applier_stats applier;
	uint64_t made, backlog;
	uint32_t blocked;

	pthread_mutex_lock(&s->lock);
	broker = sched_broker_stats(c->broker);
	applier = sched_applier_stats(c->applier);
	blocked = sched_blocked_stats(c->blocked).blocked;
	made = c->evals_made;
	backlog = scheduler_backlog(s);
	pthread_mutex_unlock(&s->lock);
	sample(p, "penstock_scheduler_evaluations_ready", "gauge", "Evaluations that wait for a worker.",
		broker.ready);
	sample(p, "penstock_scheduler_evaluations_blocked", "gauge",
		"Evaluations that wait for room.", blocked);
	sample(p, "penstock_scheduler_evaluations_total", "counter", "Evaluations made.", made);
	sample(p, "penstock_scheduler_plans_total", "counter", "Plans applied.", applier.plans);
	sample(p, "penstock_scheduler_placements_total", "counter", "Instances placed.",
		applier.placed);
	sample(p, "penstock_scheduler_rejected_nodes_total", "counter",
		"Nodes of plans that did not fit any more.", applier.rejected_nodes);
	sample(p, "penstock_scheduler_backlog_bytes", "gauge",
		"Bytes of the log that are not durable yet.", backlog);
}
