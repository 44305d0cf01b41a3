// SPDX-License-Identifier: Apache-2.0
// What the API asks of the scheduler (api_scheduler.h). Main thread.
#include "controlplane/api_scheduler.h"
#include "controlplane/orchestrator.h"

static json_t *evaluations(void *user, const struct evaluation_query *query, uint64_t *next)
{
	return scheduler_evaluations(&((struct orchestrator *)user)->scheduler, query, next);
}

static json_t *evaluation(void *user, uint64_t id)
{
	return scheduler_evaluation(&((struct orchestrator *)user)->scheduler, id);
}

const struct api_scheduler orchestrator_api = {
	.evaluations = evaluations,
	.evaluation = evaluation,
};
