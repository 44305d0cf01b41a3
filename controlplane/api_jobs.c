// SPDX-License-Identifier: Apache-2.0
// The API's handlers for jobs that jobs have made, and lists of jobs with these between the stored
// ones. They are no stored resources: they have no version, and can be looked at and deleted. Main
// thread; no I/O.
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "controlplane/api_internal.h"
#include "controlplane/api_scheduler.h"

json_t *api_job_status(const struct api *api, const char *namespace, const char *name)
{
	json_t *status, *evaluation, *deployment;

	if (!api->scheduler)
		return NULL;
	status = api->scheduler->job(api->scheduler_user, namespace, name);
	evaluation = api->explain ? api->explain(api->explain_user, namespace, name) : NULL;
	deployment = api->scheduler->deployment_of(api->scheduler_user, namespace, name);
	if (!status)
		status = json_object();
	if (evaluation)
		json_object_set_new(status, "evaluation", evaluation);
	if (deployment)
		json_object_set_new(status, "deployment", deployment);
	return status;
}

// ---- lists ----

static void key_of(const json_t *item, char *key, size_t room)
{
	const json_t *metadata = json_object_get(item, "metadata");

	snprintf(key, room, "%s/%s", json_string_value(json_object_get(metadata, "namespace")),
		json_string_value(json_object_get(metadata, "name")));
}

// Both are in the order of their keys.
static json_t *merged(const json_t *a, const json_t *b, size_t limit)
{
	size_t i = 0, k = 0, n = json_array_size(a), m = json_array_size(b);
	json_t *out = json_array();

	while ((i < n || k < m) && json_array_size(out) < limit) {
		char x[160] = "", y[160] = "";
		bool first;

		if (i < n)
			key_of(json_array_get(a, i), x, sizeof(x));
		if (k < m)
			key_of(json_array_get(b, k), y, sizeof(y));
		first = k == m || (i < n && strcmp(x, y) < 0);
		json_array_append(out, first ? json_array_get(a, i++) : json_array_get(b, k++));
	}
	return out;
}

void api_list_jobs(struct api_call *call)
{
	const struct api *api = call->api;
	const char *parent = api_query(call, "parent"), *namespace = api_query(call, "namespace");
	const char *slash = parent ? strchr(parent, '/') : NULL;
	json_t *body, *stored, *children, *items;
	char space[64], key[160];
	uint64_t limit;
	bool more;

	if (!api_query_number(call, "limit", 1, API_LIST_MAX, API_LIST_DEFAULT, &limit))
		return;
	if (slash) {
		snprintf(space, sizeof(space), "%.*s", (int)(slash - parent), parent);
		namespace = space;
	} else if (parent && !namespace) {
		namespace = "default";
	}
	body = parent ? json_pack("{s:[], s:I}", "items", "seq", (json_int_t)api->registry->seq)
		      : api_list_body(call, limit);
	if (!body)
		return;
	stored = json_incref(json_object_get(body, "items"));
	// Labels are of stored resources.
	children =
		api->scheduler && !api_query(call, "label")
			? api->scheduler->children(api->scheduler_user, namespace,
				  slash ? slash + 1 : parent, api_query(call, "after"), limit + 1)
			: json_array();
	items = merged(stored, children, limit);
	more = json_object_get(body, "next") ||
	       json_array_size(stored) + json_array_size(children) > limit;
	json_object_set(body, "items", items);
	json_object_del(body, "next");
	if (more && json_array_size(items)) {
		key_of(json_array_get(items, json_array_size(items) - 1), key, sizeof(key));
		json_object_set_new(body, "next", json_string(key));
	}
	json_decref(items);
	json_decref(stored);
	json_decref(children);
	api_wait(call);
	api_reply(call, 200, body);
}

// ---- one ----

json_t *api_child(struct api_call *call)
{
	const struct api *api = call->api;
	json_t *out, *more;

	if (call->route->kind != KIND_JOB || !api->scheduler)
		return NULL;
	out = api->scheduler->child(api->scheduler_user, call->namespace, call->name);
	if (!out)
		return NULL;
	more = api_job_status(api, call->namespace, call->name);
	json_object_update(json_object_get(out, "status"), more);
	json_decref(more);
	return out;
}

bool api_is_child(struct api_call *call)
{
	const struct api *api = call->api;
	enum kind kind = call->route->kind;
	json_t *child;

	if ((kind != KIND_FUNCTION && kind != KIND_JOB) || !api->scheduler)
		return false;
	child = api->scheduler->child(api->scheduler_user, call->namespace, call->name);
	if (!child)
		return false;
	api_error(call->response, 409, "name_taken", "metadata.name",
		"the name is that of a job that job %s has made: choose another, or delete that "
		"one "
		"first",
		json_string_value(json_object_get(json_object_get(child, "status"), "parent")));
	json_decref(child);
	return true;
}

bool api_delete_child(struct api_call *call, bool dry)
{
	const struct api *api = call->api;
	json_t *shown = api_child(call);
	uint64_t index;
	int rc;

	if (!shown)
		return false;
	if (dry) {
		api_reply(call, 200,
			json_pack("{s:b, s:s, s:[], s:o}", "dry_run", 1, "action", "delete",
				"changes", "object", shown));
		return true;
	}
	rc = api->scheduler->child_delete(api->scheduler_user, call->namespace, call->name, &index);
	if (rc) {
		json_decref(shown);
		api_error(call->response, 503, "busy", NULL,
			"the scheduler cannot take it now (%s): try again in a moment",
			strerror(-rc));
		return true;
	}
	call->response->wait_index = index;
	api_reply(call, 200, shown);
	return true;
}
