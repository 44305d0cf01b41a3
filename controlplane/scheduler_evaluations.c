// SPDX-License-Identifier: Apache-2.0
// Evaluations as the API shows them: what they are about, what they saw, what they wait for. From
// snapshots; main thread. Of a job the last one that ended is kept, and those to come.
#include <stdlib.h>
#include <string.h>

#include "controlplane/job_spec.h"
#include "controlplane/registry_internal.h"
#include "controlplane/scheduler_internal.h"
#include "controlplane/scheduler_json.h"
#include "sched/explain.h"

#define TEXT_MAX 1000
#define ROWS_LOOKED_AT 65536 // for one page

// A word for programs and tables, and the rest of "because ...".
static const struct {
	const char *word, *because;
} triggers[SCHED_TRIGGERS] = {
	[SCHED_JOB_PUT] = {"put", "it was changed"},
	[SCHED_JOB_STOP] = {"stop", "it was deleted"},
	[SCHED_NODE_UPDATE] = {"node-update", "a node came, went or changed"},
	[SCHED_NODE_DRAIN] = {"node-drain", "a node is drained"},
	[SCHED_INSTANCE_ENDED] = {"instance-ended", "an instance ended"},
	[SCHED_INSTANCE_READY] = {"instance-ready", "an instance is ready"},
	[SCHED_QUEUED_INSTANCES] = {"room", "some found no room before"},
	[SCHED_MAX_PLANS] = {"conflicts", "there were too many conflicts before"},
	[SCHED_CONTINUE] = {"continue", "there is more to do than one evaluation does"},
	[SCHED_FAILED_FOLLOW_UP] = {"follow-up", "an evaluation failed before"},
	[SCHED_RESCHEDULE] = {"reschedule", "it is time to try again"},
	[SCHED_PREEMPTION] = {"preemption", "others needed the room"},
	[SCHED_DEPLOYMENT_CHANGED] = {"deployment", "its deployment went on, was held or failed"},
};

static const char *const status_names[] = {
	[SCHED_EVAL_PENDING] = "pending",
	[SCHED_EVAL_BLOCKED] = "blocked",
	[SCHED_EVAL_COMPLETE] = "complete",
	[SCHED_EVAL_FAILED] = "failed",
	[SCHED_EVAL_CANCELLED] = "cancelled",
};

static const char *const dimension_names[SCHED_DIMS] = {
	[SCHED_DIM_CPU] = "cpu",
	[SCHED_DIM_MEMORY] = "memory",
	[SCHED_DIM_DISK] = "disk",
	[SCHED_DIM_SLOTS] = "instances",
	[SCHED_DIM_DISTINCT_HOSTS] = "distinct_hosts",
	[SCHED_DIM_NOT_READY] = "not_ready",
	[SCHED_DIM_INELIGIBLE] = "ineligible",
	[SCHED_DIM_CLAIM] = "ports_or_devices",
};

static void set_text(json_t *out, const char *name, const char *text)
{
	json_t *value = json_string(text);

	// Cut within a character it is no text any more.
	json_object_set_new(out, name, value ? value : json_string(""));
}

static void set_time(json_t *out, const char *name, ns_t at)
{
	char text[40];

	set_text(out, name, time_text(at, text, sizeof(text)));
}

const char *scheduler_because(uint8_t trigger)
{
	return trigger < SCHED_TRIGGERS && triggers[trigger].because ? triggers[trigger].because
								     : "";
}

// ---- what it saw ----

static void set_constraint(
	json_t *out, const struct sched_spec *spec, uint32_t number, uint32_t nodes)
{
	const struct sched_constraint *c = spec ? sched_constraint_by_number(spec, number) : NULL;
	char text[400];

	if (!c)
		snprintf(text, sizeof(text), "a constraint that is gone");
	else
		sched_constraint_text(c, text, sizeof(text));
	set(out, text, nodes);
}

json_t *scheduler_excluded(const struct sched_spec *spec, const struct sched_explain *x)
{
	json_t *out = json_object();

	for (int k = 0; k < SCHED_EXPLAIN_CONSTRAINTS; k++)
		if (x->by_constraint[k].nodes)
			set_constraint(out, spec, x->by_constraint[k].constraint,
				x->by_constraint[k].nodes);
	for (int d = 0; d < SCHED_DIMS; d++)
		if (x->by_dimension[d] && dimension_names[d])
			set(out, dimension_names[d], x->by_dimension[d]);
	return out;
}

static json_t *best(const struct sched_snapshot *now, const struct sched_explain *x)
{
	json_t *out = json_array();

	// One that was not planned yet has zeros, which name the first node.
	for (int k = 0; k < SCHED_EXPLAIN_BEST && x->considered; k++) {
		const struct sched_node *n = sched_node_at(now, x->best[k].node);

		if (n)
			json_array_append_new(out, json_pack("{s:s, s:f}", "node", n->info->name,
							   "score", (double)x->best[k].score));
	}
	return out;
}

json_t *scheduler_explain_json(const struct sched_snapshot *now, const struct sched_eval *e)
{
	const struct sched_explain *x = &e->explain;
	const struct sched_job *j = sched_job_at(now, e->job);
	const struct sched_spec *spec = j ? sched_job_spec(j) : NULL;
	json_t *out = json_object();
	char text[TEXT_MAX];

	set(out, "considered", x->considered);
	set(out, "feasible", x->feasible);
	set(out, "wanted", x->wanted);
	set(out, "placed", x->placed);
	set(out, "failed", x->failed);
	set(out, "stopped", x->stopped);
	set(out, "updated", x->updated);
	set(out, "conflicts", x->conflicts);
	set(out, "attempts", x->attempts);
	if (spec && spec->group_count > 1 && x->group < spec->group_count)
		set_text(out, "group", spec->groups[x->group].name);
	json_object_set_new(out, "excluded_nodes", scheduler_excluded(spec, x));
	if (x->by_dimension[SCHED_DIM_QUOTA])
		set(out, "over_quota", x->by_dimension[SCHED_DIM_QUOTA]);
	json_object_set_new(out, "best", best(now, x));
	set_text(out, "text", sched_explain_text(now, e, text, sizeof(text)));
	return out;
}

// ---- what it waits for ----

static uint32_t classes_of(const struct sched_eligibility *e)
{
	uint32_t n = 0;

	for (uint32_t k = 0; k < SCHED_CLASSES_TRACKED / 64; k++)
		n += (uint32_t)__builtin_popcountll(e->eligible[k]);
	return n;
}

static void waits_for(
	const struct sched_snapshot *now, const struct sched_eval *e, char *out, size_t room)
{
	const struct sched_node *n = sched_node_at(now, e->node);
	uint32_t classes = classes_of(&e->eligibility);

	if (e->trigger == SCHED_MAX_PLANS)
		snprintf(out, room, "a quieter moment: it is tried again every minute");
	else if (e->quota)
		snprintf(out, room, "room in the quota of its namespace%s",
			e->quota & SCHED_QUOTA_OR_ROOM ? ", and on nodes" : "");
	else if (n)
		snprintf(out, room, "room on node %s", n->info->name);
	else if (!e->explain.considered)
		snprintf(out, room, "a node: there is none");
	else if (e->eligibility.escaped)
		snprintf(out, room, "room on any node, or another node");
	else if (!classes)
		snprintf(out, room,
			"a node that satisfies its constraints: none of those there does");
	else
		snprintf(out, room, "room on nodes of %u class%s, or a node of another one",
			classes, classes == 1 ? "" : "es");
}

// ---- as a resource ----

static json_t *spec_of(const struct sched_snapshot *now, const struct sched_eval *e)
{
	const struct sched_job *j = sched_job_at(now, e->job);
	const struct sched_node *n = sched_node_at(now, e->node);
	json_t *out = json_object();

	set_text(out, "job", j ? sched_job_spec(j)->name : "");
	set_text(out, "type", e->type < SCHED_TYPES ? job_spec_type_names[e->type] : "");
	set(out, "priority", e->priority);
	set_text(out, "trigger",
		e->trigger < SCHED_TRIGGERS && triggers[e->trigger].word ? triggers[e->trigger].word
									 : "");
	set_text(out, "because", scheduler_because(e->trigger));
	if (n)
		set_text(out, "node", n->info->name);
	if (e->previous)
		set(out, "previous", e->previous);
	if (e->wait_until)
		set_time(out, "wait_until", e->wait_until);
	return out;
}

static json_t *evaluation_json(const struct sched_snapshot *now, const struct sched_eval *e)
{
	const struct sched_job *j = sched_job_at(now, e->job);
	json_t *status = scheduler_explain_json(now, e);
	char name[24], text[200];

	snprintf(name, sizeof(name), "%llu", (unsigned long long)e->id);
	set_text(status, "state", scheduler_eval_status(e->status));
	set(status, "snapshot_index", e->snapshot_index);
	set(status, "create_index", e->create_index);
	set(status, "modify_index", e->modify_index);
	if (e->status == SCHED_EVAL_BLOCKED) {
		waits_for(now, e, text, sizeof(text));
		set_text(status, "waits_for", text);
	}
	return json_pack("{s:s, s:s, s:{s:s, s:s, s:{}}, s:o, s:o}", "apiVersion", "penstock/v1",
		"kind", "Evaluation", "metadata", "name", name, "namespace",
		j ? sched_job_spec(j)->namespace : "", "labels", "spec", spec_of(now, e), "status",
		status);
}

const char *scheduler_eval_status(uint8_t status)
{
	return status < sizeof(status_names) / sizeof(status_names[0]) ? status_names[status] : "";
}

// ---- lists ----

static bool matches(const struct sched_snapshot *now, const struct sched_eval *e,
	const struct evaluation_query *q)
{
	const struct sched_job *j = sched_job_at(now, e->job);
	const struct sched_spec *spec = j ? sched_job_spec(j) : NULL;

	if (!spec || (q->status && strcmp(q->status, scheduler_eval_status(e->status)) != 0))
		return false;
	return (!q->namespace || strcmp(q->namespace, spec->namespace) == 0) &&
	       (!q->job || strcmp(q->job, spec->name) == 0);
}

json_t *scheduler_evaluations(struct scheduler *s, const struct evaluation_query *q, uint64_t *next)
{
	const struct sched_snapshot *now = sched_snapshot_pin(s->reader, s->core->state);
	uint64_t high = now->tables[SCHED_TABLE_EVALS].high, row = q->after;
	uint64_t end = high > q->after + ROWS_LOOKED_AT ? q->after + ROWS_LOOKED_AT : high;
	json_t *out = json_array();

	for (; row < end && json_array_size(out) < q->limit; row++) {
		const struct sched_eval *e = sched_eval_at(now, (uint32_t)row);

		if (e && matches(now, e, q))
			json_array_append_new(out, evaluation_json(now, e));
	}
	*next = row < high ? row : 0;
	sched_reader_unpin(s->reader);
	return out;
}

json_t *scheduler_evaluation(struct scheduler *s, uint64_t id)
{
	const struct sched_snapshot *now = sched_snapshot_pin(s->reader, s->core->state);
	json_t *out = NULL;

	for (uint32_t k = 0; !out && k < now->tables[SCHED_TABLE_EVALS].high; k++) {
		const struct sched_eval *e = sched_eval_at(now, k);

		if (e && e->id == id)
			out = evaluation_json(now, e);
	}
	sched_reader_unpin(s->reader);
	return out;
}
