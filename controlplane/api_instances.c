// SPDX-License-Identifier: Apache-2.0
// The API's handlers for instances, which are no stored resources: list, get, logs. Main thread; no
// I/O.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/api_internal.h"
#include "controlplane/fleet.h"
#include "controlplane/registry_internal.h"

#define LOG_TAIL_DEFAULT 100
#define LOG_TAIL_MAX 100000

struct filter {
	const char *namespace, *node, *after;
	char function_namespace[64];
	const char *function;
	bool ended;
};

static bool matches(const struct filter *f, const struct fleet_instance *i)
{
	if ((i->intent == INTENT_ENDED || i->lost) && !f->ended)
		return false;
	if (f->namespace && strcmp(f->namespace, i->function->namespace) != 0)
		return false;
	if (f->node && strcmp(f->node, i->host->name) != 0)
		return false;
	if (f->function && (strcmp(f->function, i->function->name) != 0 ||
				   strcmp(f->function_namespace, i->function->namespace) != 0))
		return false;
	return !f->after || strcmp(i->id, f->after) > 0;
}

static int compare_ids(const void *a, const void *b)
{
	return strcmp((*(struct fleet_instance *const *)a)->id,
		(*(struct fleet_instance *const *)b)->id);
}

// Those that match in the order of ids; free() it.
static const struct fleet_instance **collect(
	const struct fleet *f, const struct filter *filter, size_t *count)
{
	const struct fleet_instance **out = must(calloc(f->instances.count + 1, sizeof(*out)));
	const struct strmap_node *at;

	*count = 0;
	for (at = strmap_next(&f->instances, NULL); at; at = strmap_next(&f->instances, at)) {
		const struct fleet_instance *i = container_of(
			(struct strmap_node *)(uintptr_t)at, struct fleet_instance, node);

		if (matches(filter, i))
			out[(*count)++] = i;
	}
	qsort(out, *count, sizeof(*out), compare_ids);
	return out;
}

static void read_filter(struct api_call *call, struct filter *f)
{
	const char *function = api_query(call, "function");
	const char *slash = function ? strchr(function, '/') : NULL;

	*f = (struct filter){
		.namespace = api_query(call, "namespace"),
		.node = api_query(call, "node"),
		.after = api_query(call, "after"),
		.function = slash ? slash + 1 : function,
		.ended = api_query_flag(call, "ended"),
	};
	snprintf(f->function_namespace, sizeof(f->function_namespace), "%.*s",
		slash ? (int)(slash - function) : 63,
		slash          ? function
		: f->namespace ? f->namespace
			       : "default");
}

void api_list_instances(struct api_call *call)
{
	const struct fleet_instance **found = NULL;
	json_t *items, *body;
	struct filter filter;
	uint64_t limit;
	size_t count = 0;

	if (!api_query_number(call, "limit", 1, API_LIST_MAX, API_LIST_DEFAULT, &limit))
		return;
	read_filter(call, &filter);
	if (call->api->fleet)
		found = collect(call->api->fleet, &filter, &count);
	items = json_array();
	for (size_t i = 0; i < count && i < limit; i++)
		json_array_append_new(items, fleet_instance_json(found[i]));
	body = json_object();
	json_object_set_new(body, "items", items);
	json_object_set_new(body, "seq", json_integer((json_int_t)call->api->registry->seq));
	if (count > limit)
		json_object_set_new(body, "next", json_string(found[limit - 1]->id));
	free(found);
	api_wait(call);
	api_reply(call, 200, body);
}

// By its id, or the beginning of one if no other begins so. False: the error has been made.
static const struct fleet_instance *find(struct api_call *call)
{
	const struct fleet *f = call->api->fleet;
	const struct fleet_instance *found = f ? fleet_instance(f, call->name) : NULL;
	const struct strmap_node *at = f && !found ? strmap_next(&f->instances, NULL) : NULL;
	size_t len = strlen(call->name), count = found != NULL;

	for (; at; at = strmap_next(&f->instances, at)) {
		const struct fleet_instance *i = container_of(
			(struct strmap_node *)(uintptr_t)at, struct fleet_instance, node);

		if (strncmp(i->id, call->name, len) == 0) {
			found = i;
			count++;
		}
	}
	if (count == 1)
		return found;
	if (count > 1)
		api_error(call->response, 409, "ambiguous", NULL,
			"%zu instances begin with %s: give more of the id", count, call->name);
	else
		api_error(call->response, 404, "not_found", NULL,
			"there is no instance %s; GET /v1/instances lists all", call->name);
	return NULL;
}

void api_get_instance(struct api_call *call)
{
	const struct fleet_instance *i = find(call);

	if (!i)
		return;
	api_wait(call);
	api_reply(call, 200, fleet_instance_json(i));
}

void api_logs(struct api_call *call)
{
	const struct fleet_instance *i;
	uint64_t tail;

	if (!api_query_number(call, "tail", 0, LOG_TAIL_MAX, LOG_TAIL_DEFAULT, &tail))
		return;
	i = find(call);
	if (!i)
		return;
	call->response->status = 200;
	call->response->content_type = "text/plain; charset=utf-8";
	call->response->logs = true;
	call->response->logs_follow = api_query_flag(call, "follow");
	call->response->logs_tail = (unsigned)tail;
	snprintf(call->response->logs_id, sizeof(call->response->logs_id), "%s", i->id);
}
