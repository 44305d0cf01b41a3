// SPDX-License-Identifier: Apache-2.0
// What the API asks of the scheduler (api_scheduler.h). Main thread.
#include "controlplane/api_scheduler.h"

#include <errno.h>
#include <stdio.h>

#include "controlplane/job_spec.h"
#include "controlplane/orchestrator.h"

static json_t *evaluations(void *user, const struct evaluation_query *query, uint64_t *next)
{
	return scheduler_evaluations(&((struct orchestrator *)user)->scheduler, query, next);
}

static json_t *evaluation(void *user, uint64_t id)
{
	return scheduler_evaluation(&((struct orchestrator *)user)->scheduler, id);
}

static json_t *plan_put(struct orchestrator *o, enum kind kind, const json_t *object)
{
	const json_t *metadata = json_object_get(object, "metadata");
	struct job_spec s;
	json_t *out;

	job_spec_init(&s, kind, json_string_value(json_object_get(metadata, "namespace")),
		json_string_value(json_object_get(metadata, "name")),
		json_object_get(object, "spec"));
	out = scheduler_plan(&o->scheduler, &s.spec);
	job_spec_fini(&s);
	return out;
}

static json_t *plan(
	void *user, enum kind kind, const struct resource *before, const json_t *object)
{
	struct orchestrator *o = user;

	if (kind != KIND_FUNCTION && kind != KIND_JOB)
		return NULL;
	return object ? plan_put(o, kind, object)
		      : scheduler_plan_stop(&o->scheduler, before->namespace, before->name);
}

// Names and values of an object; both live as long as it.
static uint32_t meta_of(const json_t *object, struct sched_meta *meta, uint32_t room)
{
	const char *key;
	json_t *value;
	uint32_t n = 0;

	json_object_foreach((json_t *)(uintptr_t)object, key, value)
	{
		if (n < room)
			meta[n] = (struct sched_meta){key, json_string_value(value)};
		n++;
	}
	return n;
}

static int dispatch(void *user, struct api_dispatch *a)
{
	struct sched_meta meta[2 * SCHED_META_MAX];
	struct sched_dispatch d = {.payload = a->payload,
		.payload_len = (uint32_t)a->payload_len,
		.meta = meta,
		.meta_count = meta_of(a->meta, meta, 2 * SCHED_META_MAX),
		.token = a->token};
	struct scheduler_child child;
	int rc;

	if (d.meta_count > 2 * SCHED_META_MAX) {
		snprintf(a->why, sizeof(a->why), "there are more than %d names in meta",
			2 * SCHED_META_MAX);
		return -EINVAL;
	}
	rc = scheduler_dispatch(
		&((struct orchestrator *)user)->scheduler, a->namespace, a->name, &d, &child);
	snprintf(a->child, sizeof(a->child), "%s", child.name);
	snprintf(a->why, sizeof(a->why), "%s", d.why);
	a->index = child.index;
	return rc;
}

static int deployment(void *user, const char *namespace, const char *name, const char *action,
	uint64_t *index, char *why, size_t room)
{
	return scheduler_deployment_act(&((struct orchestrator *)user)->scheduler, namespace, name,
		action, index, why, room);
}

static json_t *deployment_of(void *user, const char *namespace, const char *name)
{
	return scheduler_deployment(&((struct orchestrator *)user)->scheduler, namespace, name);
}

static struct scheduler *scheduler_of(void *user)
{
	return &((struct orchestrator *)user)->scheduler;
}

static json_t *job(void *user, const char *namespace, const char *name)
{
	return scheduler_job_status(scheduler_of(user), namespace, name);
}

static json_t *child(void *user, const char *namespace, const char *name)
{
	return scheduler_child(scheduler_of(user), namespace, name);
}

static json_t *children(void *user, const char *namespace, const char *parent, const char *after,
	size_t limit)
{
	return scheduler_children(scheduler_of(user), namespace, parent, after, limit);
}

static int child_delete(void *user, const char *namespace, const char *name, uint64_t *index)
{
	return scheduler_child_delete(scheduler_of(user), namespace, name, index);
}

static json_t *quota(void *user, const char *namespace)
{
	return scheduler_quota_status(scheduler_of(user), namespace);
}

static uint64_t durable(void *user)
{
	return ((struct orchestrator *)user)->scheduler.durable_index;
}

static json_t *waiting(void *user)
{
	return scheduler_waiting(scheduler_of(user));
}

const struct api_scheduler orchestrator_api = {
	.waiting = waiting,
	.evaluations = evaluations,
	.evaluation = evaluation,
	.plan = plan,
	.job = job,
	.child = child,
	.children = children,
	.child_delete = child_delete,
	.quota = quota,
	.dispatch = dispatch,
	.durable = durable,
	.deployment = deployment,
	.deployment_of = deployment_of,
};
