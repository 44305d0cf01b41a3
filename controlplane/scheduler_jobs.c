// SPDX-License-Identifier: Apache-2.0
// Jobs and quotas as the API shows them, from snapshots: counts by state, when they are launched
// next, and the jobs that jobs have made, which are no stored resources. Main thread.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/job_spec.h"
#include "controlplane/registry_internal.h"
#include "controlplane/scheduler_internal.h"
#include "controlplane/scheduler_json.h"
#include "sched/names.h"

static void set_time(json_t *out, const char *name, ns_t wall_ns)
{
	char text[40];

	json_object_set_new(out, name, json_string(time_text(wall_ns, text, sizeof(text))));
}

// ---- counts ----

struct counts {
	uint64_t wanted; // to run, and not ended
	uint64_t pending, running, ready, unknown, complete, failed, lost, stopping;
	uint64_t again; // failed, and nothing in its place yet
	uint64_t done;  // complete, and what the job asks for now
};

// What another version of the job has completed is to be done anew.
static bool is_done(const struct sched_job *j, const struct sched_instance *i)
{
	const struct sched_spec *spec = sched_job_spec(j);

	if (i->desired != SCHED_RUN || i->status != SCHED_COMPLETE)
		return false;
	if (spec->type == SCHED_TYPE_SYSBATCH)
		return i->version == spec->version;
	return sched_job_same(j, spec, i) && i->name_index < spec->groups[i->group].count;
}

static void count_one(struct counts *c, const struct sched_job *j, const struct sched_instance *i)
{
	bool run = i->desired == SCHED_RUN;

	c->wanted += sched_live(i);
	c->stopping += !run && !sched_terminal(i->status);
	c->pending += run && i->status == SCHED_PENDING;
	c->running += run && i->status == SCHED_RUNNING;
	c->ready += run && sched_ready(i);
	c->unknown += run && i->status == SCHED_UNKNOWN;
	c->complete += run && i->status == SCHED_COMPLETE;
	// What was placed again since counts, too, as long as it is kept.
	c->failed += i->status == SCHED_FAILED;
	c->lost += i->status == SCHED_LOST;
	c->again += run && i->status == SCHED_FAILED && i->next == SCHED_NONE;
	c->done += is_done(j, i);
}

static void set_counts(json_t *out, const struct counts *c)
{
	set(out, "instances", c->wanted);
	set(out, "pending", c->pending);
	set(out, "running", c->running);
	set(out, "ready", c->ready);
	set(out, "unknown", c->unknown);
	set(out, "complete", c->complete);
	set(out, "failed", c->failed);
	set(out, "lost", c->lost);
	set(out, "stopping", c->stopping);
}

// Of all its instances and, unless it is NULL, by group.
static struct counts count_all(const struct sched_snapshot *now, const struct sched_job *j,
	struct counts groups[SCHED_GROUPS_MAX])
{
	struct counts all = {0};

	for (uint32_t at = j->first_instance; at != SCHED_NONE;) {
		const struct sched_instance *i = sched_instance_at(now, at);

		count_one(&all, j, i);
		if (groups && i->group < SCHED_GROUPS_MAX)
			count_one(&groups[i->group], j, i);
		at = i->next_in_job;
	}
	return all;
}

static json_t *groups_json(const struct sched_spec *spec, const struct counts *counts)
{
	json_t *out = json_array();

	for (uint32_t g = 0; g < spec->group_count; g++) {
		json_t *group = json_pack("{s:s}", "name", spec->groups[g].name);

		set(group, "count", spec->groups[g].count);
		set_counts(group, &counts[g]);
		json_array_append_new(out, group);
	}
	return out;
}

// ---- status ----

// Whether an evaluation of it waits for room.
static bool waits(struct scheduler *s, uint32_t job)
{
	bool yes;

	pthread_mutex_lock(&s->lock);
	yes = sched_blocked_of(s->core->blocked, job, SCHED_NONE) != NULL;
	pthread_mutex_unlock(&s->lock);
	return yes;
}

// Whether all that is to end has: of each index one, or on each node.
static bool all_complete(const struct sched_spec *spec, const struct counts *c)
{
	uint64_t count = 0;

	if (spec->type != SCHED_TYPE_BATCH)
		return spec->type == SCHED_TYPE_SYSBATCH && c->done > 0;
	for (uint32_t g = 0; g < spec->group_count; g++)
		count += spec->groups[g].count;
	return count && c->done >= count;
}

// One word for all of it.
static const char *state_of(const struct sched_job *j, const struct counts *c, bool waiting)
{
	const struct sched_spec *spec = sched_job_spec(j);

	if (spec->stopped)
		return j->live ? "stopping" : "stopped";
	if (spec->launch)
		return spec->launch->cron ? "scheduled" : "template";
	if (c->wanted)
		return c->running ? "running" : waiting ? "waiting" : "pending";
	if (c->again && !j->ended_ns)
		return "failing";
	if (j->ended_ns || all_complete(spec, c))
		return "complete";
	return waiting ? "waiting" : "pending";
}

static json_t *launch_json(const struct sched_job *j)
{
	ns_t next = sched_next_launch(j);
	json_t *out = json_object();

	if (next != NS_NEVER)
		set_time(out, "next", next);
	if (j->launches)
		set_time(out, "last", j->launched_ns);
	set(out, "launches", j->launches);
	set(out, "skips", j->skips);
	return out;
}

static void set_child(json_t *out, const struct sched_job *j, const struct sched_spec *spec)
{
	json_t *meta = json_object();

	json_object_set_new(out, "parent", json_string(spec->parent));
	set(out, "payload_bytes", spec->payload_len);
	for (uint32_t i = 0; i < spec->meta_count; i++)
		json_object_set_new(meta, spec->meta[i].key, json_string(spec->meta[i].value));
	json_object_set_new(out, "meta", meta);
	if (spec->token)
		json_object_set_new(out, "token", json_string(spec->token));
	if (j->ended_ns)
		set_time(out, "ended", j->ended_ns);
}

static json_t *status_json(struct scheduler *s, const struct sched_snapshot *now, uint32_t job)
{
	const struct sched_job *j = sched_job_at(now, job);
	const struct sched_spec *spec = sched_job_spec(j);
	struct counts groups[SCHED_GROUPS_MAX] = {0};
	struct counts c = count_all(now, j, spec->group_count > 1 ? groups : NULL);
	json_t *out = json_object();

	json_object_set_new(out, "state", json_string(state_of(j, &c, waits(s, job))));
	set(out, "version", spec->version);
	set_counts(out, &c);
	if (spec->group_count > 1)
		json_object_set_new(out, "groups", groups_json(spec, groups));
	if (spec->launch) {
		if (spec->launch->cron)
			json_object_set_new(out, "launch", launch_json(j));
		json_object_set_new(out, "children",
			json_pack("{s:I, s:I}", "alive", (json_int_t)j->children_alive, "ended",
				(json_int_t)(j->children - j->children_alive)));
	}
	if (spec->parent)
		set_child(out, j, spec);
	return out;
}

static uint32_t find(const struct sched_snapshot *now, const char *namespace, const char *name)
{
	return sched_names_find(now, namespace, strlen(namespace), name);
}

json_t *scheduler_job_status(struct scheduler *s, const char *namespace, const char *name)
{
	const struct sched_snapshot *now = sched_snapshot_pin(s->reader, s->core->state);
	uint32_t job = find(now, namespace, name);
	json_t *out = sched_job_at(now, job) ? status_json(s, now, job) : NULL;

	sched_reader_unpin(s->reader);
	return out;
}

// ---- children ----

static bool is_child(const struct sched_job *j)
{
	return j && sched_job_spec(j)->parent && !j->purge;
}

// As a resource; of its spec what is its own to say, the rest is as its parent's was.
static json_t *child_json(struct scheduler *s, const struct sched_snapshot *now, uint32_t job)
{
	const struct sched_spec *spec = sched_job_spec(sched_job_at(now, job));
	json_t *groups = json_array();

	for (uint32_t g = 0; g < spec->group_count; g++)
		json_array_append_new(groups, json_pack("{s:s, s:I}", "name", spec->groups[g].name,
						      "count", (json_int_t)spec->groups[g].count));
	return json_pack("{s:s, s:s, s:{s:s, s:s, s:{}}, s:{s:s, s:i, s:o}, s:o}", "apiVersion",
		"penstock/v1", "kind", "Job", "metadata", "name", spec->name, "namespace",
		spec->namespace, "labels", "spec", "type", job_spec_type_names[spec->type],
		"priority", spec->priority, "groups", groups, "status", status_json(s, now, job));
}

json_t *scheduler_child(struct scheduler *s, const char *namespace, const char *name)
{
	const struct sched_snapshot *now = sched_snapshot_pin(s->reader, s->core->state);
	uint32_t job = find(now, namespace, name);
	json_t *out = is_child(sched_job_at(now, job)) ? child_json(s, now, job) : NULL;

	sched_reader_unpin(s->reader);
	return out;
}

struct found {
	const struct sched_spec *spec;
	uint32_t job;
};

static int compare_found(const void *a, const void *b)
{
	const struct sched_spec *x = ((const struct found *)a)->spec;
	const struct sched_spec *y = ((const struct found *)b)->spec;
	int namespaces = strcmp(x->namespace, y->namespace);

	// As "namespace/name" sorts: a name has no character before the slash but the hyphen.
	if (namespaces) {
		char keys[2][160];

		snprintf(keys[0], sizeof(keys[0]), "%s/", x->namespace);
		snprintf(keys[1], sizeof(keys[1]), "%s/", y->namespace);
		return strcmp(keys[0], keys[1]);
	}
	return strcmp(x->name, y->name);
}

static bool behind(const struct sched_spec *spec, const char *after)
{
	char key[160];

	snprintf(key, sizeof(key), "%s/%s", spec->namespace, spec->name);
	return !after || strcmp(key, after) > 0;
}

json_t *scheduler_children(struct scheduler *s, const char *namespace, const char *parent,
	const char *after, size_t limit)
{
	const struct sched_snapshot *now = sched_snapshot_pin(s->reader, s->core->state);
	uint32_t high = now->tables[SCHED_TABLE_JOBS].high;
	struct found *found = must(malloc(((size_t)high + 1) * sizeof(*found)));
	json_t *out = json_array();
	size_t count = 0;

	for (uint32_t k = 0; k < high; k++) {
		const struct sched_job *j = sched_job_at(now, k);
		const struct sched_spec *spec = is_child(j) ? sched_job_spec(j) : NULL;

		if (spec && (!namespace || strcmp(spec->namespace, namespace) == 0) &&
			(!parent || strcmp(spec->parent, parent) == 0) && behind(spec, after))
			found[count++] = (struct found){spec, k};
	}
	qsort(found, count, sizeof(*found), compare_found);
	for (size_t k = 0; k < count && k < limit; k++)
		json_array_append_new(out, child_json(s, now, found[k].job));
	sched_reader_unpin(s->reader);
	free(found);
	return out;
}

int scheduler_child_delete(
	struct scheduler *s, const char *namespace, const char *name, uint64_t *index)
{
	const struct sched_job *j;
	uint32_t slot;
	int rc = -ENOENT;

	pthread_mutex_lock(&s->lock);
	slot = sched_job_find(s->core->state, namespace, name);
	j = sched_job_at(&s->core->state->head, slot);
	if (is_child(j))
		rc = sched_core_job_stop(s->core, slot, true, scheduler_now(s));
	*index = s->core->state->head.index;
	scheduler_kick(s);
	pthread_mutex_unlock(&s->lock);
	return rc;
}

// ---- quotas ----

static void set_used(json_t *out, const char *name, uint64_t used, uint32_t limit, int shift)
{
	set(out, name, used << shift);
	if (limit != UINT32_MAX && used > limit)
		json_object_set_new(out, "over", json_true());
}

json_t *scheduler_quota_status(struct scheduler *s, const char *namespace)
{
	const struct sched_snapshot *now = sched_snapshot_pin(s->reader, s->core->state);
	json_t *out = NULL;

	for (uint32_t k = 0; !out && k < now->tables[SCHED_TABLE_QUOTAS].high; k++) {
		const struct sched_quota *q = sched_quota_at(now, k);

		if (!q || strcmp(q->namespace, namespace) != 0)
			continue;
		out = json_object();
		set_used(out, "cpu_milli", q->used.cpu_milli, q->limit.cpu_milli, 0);
		set_used(out, "memory", q->used.memory_mib, q->limit.memory_mib, 20);
		set_used(out, "disk", q->used.disk_mib, q->limit.disk_mib, 20);
		set_used(out, "instances", q->used.slots, q->limit.slots, 0);
	}
	sched_reader_unpin(s->reader);
	return out;
}
