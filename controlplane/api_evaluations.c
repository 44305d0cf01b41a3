// SPDX-License-Identifier: Apache-2.0
// The API's handlers for evaluations, which are no stored resources: list, get. Main thread; no
// I/O.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/api_internal.h"
#include "controlplane/api_scheduler.h"
#include "controlplane/scheduler.h"

// "NAMESPACE/NAME" or NAME, in the namespace asked for or the default one.
static void read_job(struct evaluation_query *q, const char *job, char namespace[64])
{
	const char *slash = job ? strchr(job, '/') : NULL;

	q->job = slash ? slash + 1 : job;
	if (slash) {
		snprintf(namespace, 64, "%.*s", (int)(slash - job), job);
		q->namespace = namespace;
	} else if (job && !q->namespace) {
		q->namespace = "default";
	}
}

// False: the error has been made.
static bool status_known(struct api_call *call, const char *status)
{
	static const char *const known[] = {
		"pending", "blocked", "complete", "failed", "cancelled"};

	for (size_t i = 0; status && i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(status, known[i]) == 0)
			return true;
	if (status)
		api_error(call->response, 400, "invalid_query", "status",
			"status must be pending, blocked, complete, failed or cancelled, but is "
			"'%.40s'",
			status);
	return !status;
}

void api_list_evaluations(struct api_call *call)
{
	const struct api *api = call->api;
	struct evaluation_query q = {
		.namespace = api_query(call, "namespace"), .status = api_query(call, "status")};
	json_t *body = json_object();
	char namespace[64], text[24];
	uint64_t next = 0;

	if (!api_query_number(call, "limit", 1, API_LIST_MAX, API_LIST_DEFAULT, &q.limit) ||
		!api_query_number(call, "after", 0, UINT32_MAX, 0, &q.after) ||
		!status_known(call, q.status)) {
		json_decref(body);
		return;
	}
	read_job(&q, api_query(call, "job"), namespace);
	json_object_set_new(body, "items",
		api->scheduler ? api->scheduler->evaluations(api->scheduler_user, &q, &next)
			       : json_array());
	json_object_set_new(body, "seq", json_integer((json_int_t)api->registry->seq));
	if (next) {
		snprintf(text, sizeof(text), "%" PRIu64, next);
		json_object_set_new(body, "next", json_string(text));
	}
	api_wait(call);
	api_reply(call, 200, body);
}

void api_get_evaluation(struct api_call *call)
{
	const struct api *api = call->api;
	json_t *found = NULL;
	char *end;
	uint64_t id = strtoull(call->name, &end, 10);

	if (!*end && *call->name >= '0' && *call->name <= '9' && api->scheduler)
		found = api->scheduler->evaluation(api->scheduler_user, id);
	if (!found) {
		api_error(call->response, 404, "not_found", NULL,
			"there is no evaluation %.40s: of each job the last one that ended is "
			"kept, "
			"and those to come; GET /v1/evaluations lists them",
			call->name);
		return;
	}
	api_wait(call);
	api_reply(call, 200, found);
}
