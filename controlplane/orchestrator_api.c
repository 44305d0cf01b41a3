// SPDX-License-Identifier: Apache-2.0
// What the API asks of the scheduler (api_scheduler.h). Main thread.
#include "controlplane/api_scheduler.h"
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

const struct api_scheduler orchestrator_api = {
	.evaluations = evaluations,
	.evaluation = evaluation,
	.plan = plan,
};
