// SPDX-License-Identifier: Apache-2.0
// Events from outside, each one transaction with the evaluations it calls for. Thread: the core's.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sched/block.h"
#include "sched/core_internal.h"
#include "sched/deploy_core.h"
#include "sched/images.h"

// ---- jobs ----

bool sched_same_instances(const struct sched_spec *a, const struct sched_spec *b)
{
	if (a->group_count != b->group_count || a->type != b->type)
		return false;
	for (uint32_t g = 0; g < a->group_count; g++)
		if (strcmp(a->groups[g].name, b->groups[g].name) != 0 ||
			!sched_group_same(&a->groups[g], &b->groups[g]))
			return false;
	return true;
}

static int put_spec(struct sched_core *c, uint32_t slot, struct sched_spec *spec, bool purge,
	uint8_t trigger, ns_t now)
{
	struct sched_deployment d;
	bool deploys = sched_deploy_begin(c, slot, spec, now, &d);
	const struct sched_job *j = sched_job_at(&c->state->head, slot);
	bool begins = sched_launch_begins(j, spec);
	struct sched_change begin = {.launch = {now, j ? j->launches : 0, j ? j->skips : 0}};
	int rc, committed;

	sched_core_begin(c);
	rc = sched_core_change(
		c, SCHED_JOB_PUT_SPEC, slot, (struct sched_change){.job = {spec, purge, false}});
	if (!rc)
		rc = deploys ? sched_deploy_put(c, slot, &d, now)
			     : sched_deploy_unchanged(c, slot, now);
	if (!rc && begins)
		rc = sched_core_change(c, SCHED_JOB_LAUNCH, slot, begin);
	if (!rc)
		rc = sched_core_eval(c, slot, trigger, 0, NULL);
	committed = sched_core_commit(c, now);
	if (!rc)
		rc = sched_launch_plan(c, slot);
	if (purge)
		sched_garbage_expect(c, now);
	return rc ? rc : committed;
}

struct sched_spec *sched_core_next_spec(
	const struct sched_job *old, const struct sched_spec *put, int *rc)
{
	bool same = false;
	struct sched_spec *spec = sched_deploy_refuse(old, put, &same, rc);

	if (same || *rc) {
		free(spec);
		return NULL;
	}
	if (!spec)
		spec = sched_spec_copy(put);
	if (!spec) {
		*rc = -ENOMEM;
		return NULL;
	}
	spec->version = 1;
	if (old)
		spec->version = sched_job_spec(old)->version +
				!sched_same_instances(sched_job_spec(old), spec);
	return spec;
}

int sched_core_job_put(
	struct sched_core *c, const struct sched_spec *spec, ns_t now, uint32_t *slot)
{
	struct sched_spec *copy;
	const struct sched_job *old;
	int rc;

	if (sched_spec_check(spec) || spec->parent)
		return -EINVAL;
	*slot = sched_job_find(c->state, spec->namespace, spec->name);
	old = sched_job_at(&c->state->head, *slot);
	if (old && old->parent != SCHED_NONE)
		return -EEXIST;
	copy = sched_core_next_spec(old, spec, &rc);
	if (!copy)
		return rc;
	if (!old)
		*slot = sched_slot_new(c->state, SCHED_TABLE_JOBS);
	return put_spec(c, *slot, copy, false, SCHED_JOB_PUT, now);
}

int sched_core_job_stop(struct sched_core *c, uint32_t slot, bool purge, ns_t now)
{
	const struct sched_job *old = sched_job_at(&c->state->head, slot);
	struct sched_spec *copy;

	if (!old)
		return -ENOENT;
	copy = sched_spec_copy(sched_job_spec(old));
	if (!copy)
		return -ENOMEM;
	copy->stopped = true;
	return put_spec(c, slot, copy, purge, SCHED_JOB_STOP, now);
}

int sched_core_evaluate(struct sched_core *c, uint32_t job, uint8_t trigger, ns_t now)
{
	int rc, committed;

	if (!sched_job_at(&c->state->head, job))
		return -ENOENT;
	sched_core_begin(c);
	rc = sched_core_eval(c, job, trigger, 0, NULL);
	committed = sched_core_commit(c, now);
	return rc ? rc : committed;
}

// ---- nodes ----

// An evaluation for each job with something on the node; one a job, however many instances.
static int evaluate_node(struct sched_core *c, uint32_t slot, uint8_t trigger)
{
	const struct sched_node *n = sched_node_at(&c->state->head, slot);

	for (uint32_t at = n->first_instance; at != SCHED_NONE;) {
		const struct sched_instance *i = sched_instance_at(&c->state->head, at);
		int rc = sched_live(i) ? sched_core_eval_once(c, i->job, slot, trigger) : 0;

		if (rc)
			return rc;
		at = i->next_on_node;
	}
	return 0;
}

// A node takes instances, or other ones than before, or is back: each job with one a node looks at
// it.
static int evaluate_system_jobs(struct sched_core *c, uint32_t slot, bool back)
{
	const struct sched_slots *list = &c->state->system_jobs;
	int rc = 0;

	if (!back && !sched_node_takes(sched_node_at(&c->state->head, slot)))
		return 0;
	for (uint32_t k = 0; !rc && k < list->count; k++) {
		const struct sched_job *j = sched_job_at(&c->state->head, list->free[k]);

		if (j && !sched_job_spec(j)->stopped)
			rc = sched_core_eval_once(c, list->free[k], slot, SCHED_NODE_UPDATE);
	}
	return rc;
}

int sched_core_node_put(struct sched_core *c, const char *name,
	const struct sched_attribute *attributes, uint32_t count, const struct sched_res *capacity,
	uint32_t *slot)
{
	struct sched_node_info *info = sched_node_info_make(name, attributes, count);
	int rc, committed;

	if (!info)
		return -ENOMEM;
	*slot = sched_node_find(c->state, name);
	if (*slot == SCHED_NONE)
		*slot = sched_slot_new(c->state, SCHED_TABLE_NODES);
	sched_core_begin(c);
	rc = sched_core_change(
		c, SCHED_NODE_PUT, *slot, (struct sched_change){.node = {info, *capacity}});
	if (!rc)
		rc = evaluate_system_jobs(c, *slot, false);
	committed = sched_core_commit(c, 0);
	return rc ? rc : committed;
}

static int change_node(struct sched_core *c, uint32_t slot, uint8_t status, bool eligible,
	enum sched_drain drain, ns_t now)
{
	const struct sched_node *n = sched_node_at(&c->state->head, slot);
	bool leaves, drains, back;
	int rc, committed;

	if (n->status == status && n->eligible == eligible && n->draining == drain)
		return 0;
	leaves = status != n->status &&
		 (status == SCHED_NODE_DOWN || status == SCHED_NODE_DISCONNECTED);
	drains = drain > n->draining;
	back = status == SCHED_NODE_READY && n->status != status;
	sched_core_begin(c);
	rc = sched_core_change(c, SCHED_NODE_STATE, slot,
		(struct sched_change){.node_state = {status, eligible, (uint8_t)drain}});
	if (!rc && (leaves || drains))
		rc = evaluate_node(c, slot, leaves ? SCHED_NODE_UPDATE : SCHED_NODE_DRAIN);
	if (!rc)
		rc = evaluate_system_jobs(c, slot, back);
	committed = sched_core_commit(c, now);
	return rc ? rc : committed;
}

int sched_core_node_state(
	struct sched_core *c, uint32_t slot, uint8_t status, bool eligible, bool draining, ns_t now)
{
	const struct sched_node *n = sched_node_at(&c->state->head, slot);
	enum sched_drain drain = draining ? SCHED_DRAIN_GENTLE : SCHED_DRAIN_NOT;

	if (!n)
		return -ENOENT;
	// A drain whose time is over stays so.
	if (draining && n->draining)
		drain = n->draining;
	return change_node(c, slot, status, eligible, drain, now);
}

int sched_core_node_drain_now(struct sched_core *c, uint32_t slot, ns_t now)
{
	const struct sched_node *n = sched_node_at(&c->state->head, slot);

	if (!n)
		return -ENOENT;
	return change_node(c, slot, n->status, n->eligible, SCHED_DRAIN_NOW, now);
}

int sched_core_node_images(
	struct sched_core *c, uint32_t slot, const char *const *images, uint32_t count)
{
	int rc = sched_images_put(c->state, slot, images, count);

	return rc > 0 ? sched_publish(c->state) : rc;
}

int sched_core_node_del(struct sched_core *c, uint32_t slot, ns_t now)
{
	const struct sched_snapshot *s = &c->state->head;
	const struct sched_node *n = sched_node_at(s, slot);
	int rc, committed;

	if (!n)
		return -ENOENT;
	sched_core_begin(c);
	rc = sched_core_change(c, SCHED_NODE_STATE, slot,
		(struct sched_change){.node_state = {SCHED_NODE_DOWN, false, false}});
	if (!rc)
		rc = evaluate_node(c, slot, SCHED_NODE_UPDATE);
	while (!rc && (n = sched_node_at(s, slot))->first_instance != SCHED_NONE) {
		uint32_t at = n->first_instance;

		rc = sched_core_change(c, SCHED_STOP_INSTANCE, at,
			(struct sched_change){.stop = {SCHED_STOP, true}});
		if (!rc)
			rc = sched_core_change(c, SCHED_INSTANCE_DEL, at, (struct sched_change){0});
	}
	if (!rc)
		rc = sched_core_change(c, SCHED_NODE_DEL, slot, (struct sched_change){0});
	committed = sched_core_commit(c, now);
	return rc ? rc : committed;
}

// ---- quotas ----

int sched_core_quota_put(
	struct sched_core *c, const char *namespace, const struct sched_res *limit, ns_t now)
{
	uint32_t slot = sched_quota_find(c->state, namespace);
	size_t len = strlen(namespace);
	int rc, committed;

	if (!len || len > 1024)
		return -EINVAL;
	if (slot == SCHED_NONE)
		slot = sched_slot_new(c->state, SCHED_TABLE_QUOTAS);
	sched_core_begin(c);
	rc = sched_core_change(c, SCHED_QUOTA_PUT, slot,
		(struct sched_change){.quota = {namespace, (uint32_t)len, *limit}});
	committed = sched_core_commit(c, now);
	return rc ? rc : committed;
}

int sched_core_quota_del(struct sched_core *c, const char *namespace, ns_t now)
{
	uint32_t slot = sched_quota_find(c->state, namespace);
	int rc, committed;

	if (slot == SCHED_NONE)
		return -ENOENT;
	sched_core_begin(c);
	rc = sched_core_change(c, SCHED_QUOTA_DEL, slot, (struct sched_change){0});
	committed = sched_core_commit(c, now);
	return rc ? rc : committed;
}

// ---- instances ----

// A system job updates node after node: the next one may be on any.
static bool rolls(const struct sched_core *c, const struct sched_instance *i)
{
	const struct sched_job *j = sched_job_at(&c->state->head, i->job);

	return sched_by_node(j->type) && j->versions->count > 1;
}

// Some wait to be replaced, not always by who was placed for that: one that was to be replaced
// itself may have become the current one again. They are of another version, or more than are
// wanted.
static bool some_wait(const struct sched_core *c, const struct sched_instance *i)
{
	const struct sched_job *job = sched_job_at(&c->state->head, i->job);
	const struct sched_spec *spec = sched_job_spec(job);
	uint64_t wanted = 0;

	for (uint32_t g = 0; g < spec->group_count; g++)
		wanted += spec->groups[g].count;
	return !sched_by_node(job->type) &&
	       (job->live > wanted || job->live > c->state->readiness[i->job].live);
}

// Whether what happened to the instance calls for an evaluation of its job; which.
static bool calls_for(struct sched_core *c, const struct sched_instance *i,
	const struct sched_report *r, uint8_t *trigger)
{
	const struct sched_instance *previous = sched_instance_at(&c->state->head, i->previous);

	if (sched_terminal(r->status)) {
		*trigger = SCHED_INSTANCE_ENDED;
		return i->desired == SCHED_RUN;
	}
	// Something waits for this one to be ready: what it replaces.
	*trigger = SCHED_INSTANCE_READY;
	// It is back, even if it has to begin anew, and so perhaps is its replacement.
	if (i->status == SCHED_UNKNOWN && r->status != SCHED_UNKNOWN)
		return i->desired == SCHED_RUN;
	if (r->status != SCHED_RUNNING || !r->ready || sched_ready(i))
		return false;
	return (previous && sched_live(previous)) || rolls(c, i) || some_wait(c, i);
}

static int report_one(struct sched_core *c, struct sched_report *r, ns_t now)
{
	const struct sched_instance *i = sched_instance_by_id(&c->state->head, &r->id);
	uint16_t reschedules;
	uint32_t job, node;
	uint8_t trigger;
	bool evaluate;
	int rc;

	r->unknown = !i || (!sched_terminal(r->status) && !sched_live(i));
	if (!i || sched_terminal(i->status))
		return 0;
	if (i->status == r->status && r->ready == sched_ready(i))
		return 0;
	evaluate = calls_for(c, i, r, &trigger);
	reschedules = i->reschedules;
	job = i->job;
	node = trigger == SCHED_INSTANCE_READY ? SCHED_NONE : i->node;
	rc = sched_core_change(c, SCHED_INSTANCE_STATUS, r->id.slot,
		(struct sched_change){.status = {r->status, r->ready, reschedules, now,
					      r->exit_code, r->exit_signal}});
	if (!rc)
		rc = sched_deploy_reported(c, &r->id, now);
	// A child that has ended needs nothing more, unless something still waits for it.
	if (!rc && sched_launch_end(c, job, now))
		evaluate = sched_job_has_open_evals(sched_job_at(&c->state->head, job));
	if (!rc && evaluate)
		rc = sched_core_eval_once(c, job, node, trigger);
	return rc;
}

int sched_core_report(struct sched_core *c, struct sched_report *reports, uint32_t count, ns_t now)
{
	int rc = 0, committed;

	sched_core_begin(c);
	for (uint32_t k = 0; !rc && k < count; k++)
		rc = report_one(c, &reports[k], now);
	committed = sched_core_commit(c, now);
	return rc ? rc : committed;
}
