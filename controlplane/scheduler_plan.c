// SPDX-License-Identifier: Apache-2.0
// What the scheduler would do if a job were put (sched/dry_run.h), as JSON. Main thread: it takes
// as long as one evaluation of at most SCHED_EVAL_PLACE_MAX placements, holds no lock, and changes
// nothing.
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/registry_internal.h"
#include "controlplane/scheduler_internal.h"
#include "controlplane/scheduler_json.h"
#include "sched/cron.h"
#include "sched/dry_run.h"
#include "sched/names.h"

#define NODES_SHOWN 20
#define VICTIMS_SHOWN 20
#define SEED 1 // the same question has the same answer as long as nothing changes

static json_t *nodes(const struct sched_dry_run *d, uint32_t *count)
{
	struct sched_dry_node at[NODES_SHOWN];
	json_t *out = json_array();

	*count = sched_dry_run_nodes(d, at, NODES_SHOWN);
	for (uint32_t k = 0; k < *count && k < NODES_SHOWN; k++)
		json_array_append_new(
			out, json_pack("{s:s, s:I, s:f}", "node",
				     sched_node_at(d->before, at[k].node)->info->name, "instances",
				     (json_int_t)at[k].instances, "score", (double)at[k].score));
	return out;
}

static json_t *victims(const struct sched_dry_run *d)
{
	struct sched_dry_victims of[VICTIMS_SHOWN];
	uint32_t count = sched_dry_run_victims(d, of, VICTIMS_SHOWN);
	json_t *out = json_array();

	for (uint32_t k = 0; k < count; k++) {
		const struct sched_spec *spec = sched_job_spec(sched_job_at(d->before, of[k].job));

		json_array_append_new(
			out, json_pack("{s:s, s:s, s:i, s:I}", "namespace", spec->namespace, "name",
				     spec->name, "priority", spec->priority, "instances",
				     (json_int_t)of[k].instances));
	}
	return out;
}

// Why some have no room: of the last group that had none.
static void set_failed(json_t *out, const struct sched_dry_run *d)
{
	const struct sched_explain *x = &d->plan->done.explain;

	set(out, "considered", x->considered);
	json_object_set_new(out, "excluded_nodes", scheduler_excluded(d->spec, x));
	if (x->by_dimension[SCHED_DIM_QUOTA])
		set(out, "over_quota", x->by_dimension[SCHED_DIM_QUOTA]);
	if (d->spec->group_count > 1 && x->group < d->spec->group_count)
		json_object_set_new(out, "group", json_string(d->spec->groups[x->group].name));
}

static json_t *plan_json(const struct sched_dry_run *d, ns_t now)
{
	json_t *out = json_object();
	uint32_t node_count;
	char text[40];

	set(out, "version", d->spec->version);
	set(out, "place", d->placed - d->replacing);
	set(out, "replace", d->outdated);
	set(out, "replace_now", d->replacing);
	set(out, "canaries", d->canaries);
	set(out, "update", d->updated);
	set(out, "stop", d->stopped);
	set(out, "lost", d->lost);
	set(out, "preempt", d->evicted);
	set(out, "unplaced", d->failed);
	json_object_set_new(out, "at_least", json_boolean(d->more));
	json_object_set_new(out, "nodes", nodes(d, &node_count));
	set(out, "node_count", node_count);
	if (d->evicted)
		json_object_set_new(out, "preempted", victims(d));
	if (d->failed)
		set_failed(out, d);
	if (d->spec->launch && d->spec->launch->cron && !d->spec->stopped) {
		ns_t next = cron_next(d->spec->launch->cron, now);

		if (next != NS_NEVER)
			json_object_set_new(out, "next_launch",
				json_string(time_text(next, text, sizeof(text))));
	}
	if (d->retry_at != NS_NEVER)
		json_object_set_new(
			out, "next_try", json_string(time_text(d->retry_at, text, sizeof(text))));
	return out;
}

static json_t *run(struct scheduler *s, const struct sched_snapshot *now, uint32_t job,
	const struct sched_spec *spec)
{
	struct sched_dry_run *d = must(malloc(sizeof(*d)));
	json_t *out = NULL;

	if (sched_dry_run(d, now, job, spec, &s->planning, SEED, scheduler_now(s)) == 0)
		out = plan_json(d, scheduler_now(s));
	sched_dry_run_fini(d);
	free(d);
	return out;
}

static uint32_t find(const struct sched_snapshot *now, const char *namespace, const char *name)
{
	return sched_names_find(now, namespace, strlen(namespace), name);
}

json_t *scheduler_plan(struct scheduler *s, const struct sched_spec *spec)
{
	const struct sched_snapshot *now = sched_snapshot_pin(s->reader, s->core->state);
	json_t *out = run(s, now, find(now, spec->namespace, spec->name), spec);

	sched_reader_unpin(s->reader);
	return out;
}

json_t *scheduler_plan_stop(struct scheduler *s, const char *namespace, const char *name)
{
	const struct sched_snapshot *now = sched_snapshot_pin(s->reader, s->core->state);
	uint32_t slot = find(now, namespace, name);
	const struct sched_job *job = sched_job_at(now, slot);
	struct sched_spec spec;
	json_t *out = NULL;

	if (job) {
		spec = *sched_job_spec(job);
		spec.stopped = true;
		out = run(s, now, slot, &spec);
	}
	sched_reader_unpin(s->reader);
	return out;
}
