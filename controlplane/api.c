// SPDX-License-Identifier: Apache-2.0
// The API's table of routes, the way of a request through it, and errors. Main thread; no I/O.
#include "controlplane/api_internal.h"
#include "controlplane/api_scheduler.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct api_param params_list[] = {
	{"namespace", "string", "Only those in this namespace."},
	{"label", "string",
		"Only those with these labels: NAME=VALUE or NAME, several with commas."},
	{"after", "string", "Only those behind this one: the `next` of the page before."},
	{"limit", "integer", "How many at most, up to 5000; 500 if not given."},
	{0},
};
static const struct api_param params_jobs[] = {
	{"namespace", "string", "Only those in this namespace."},
	{"label", "string",
		"Only those with these labels: NAME=VALUE or NAME, several with commas."},
	{"parent", "string", "Only those that this job has made: NAME or NAMESPACE/NAME."},
	{"after", "string", "Only those behind this one: the `next` of the page before."},
	{"limit", "integer", "How many at most, up to 5000; 500 if not given."},
	{0},
};
static const struct api_param params_instances[] = {
	{"namespace", "string", "Only those of functions and jobs in this namespace."},
	{"function", "string", "Only those of this function: NAME or NAMESPACE/NAME."},
	{"job", "string", "Only those of this job: NAME or NAMESPACE/NAME."},
	{"node", "string", "Only those on this node."},
	{"ended", "boolean", "1: also those that have ended and are not forgotten yet."},
	{"after", "string", "Only those behind this one: the `next` of the page before."},
	{"limit", "integer", "How many at most, up to 5000; 500 if not given."},
	{0},
};
static const struct api_param params_evaluations[] = {
	{"namespace", "string", "Only those of functions and jobs in this namespace."},
	{"job", "string", "Only those of this function or job: NAME or NAMESPACE/NAME."},
	{"status", "string", "Only pending, blocked, complete, failed or cancelled ones."},
	{"after", "string", "Only those behind this one: the `next` of the page before."},
	{"limit", "integer", "How many at most, up to 5000; 500 if not given."},
	{0},
};
static const struct api_param params_logs[] = {
	{"tail", "integer", "So many lines of what was written before; 100 if not given."},
	{"follow", "boolean", "1: stay, and send what is written."},
	{0},
};
static const struct api_param params_logs_of[] = {
	{"instance", "string", "Only this one: its index, or the beginning of its id."},
	{"tail", "integer", "So many lines of what each wrote before; 100 if not given."},
	{"follow", "boolean", "1: stay, and send what is written."},
	{"ended", "boolean", "1: also instances that have ended; of jobs that is so anyway."},
	{0},
};
static const struct api_param params_write[] = {
	{"dry_run", "boolean", "1: change nothing, say what would change."},
	{0},
};
static const struct api_param params_events[] = {
	{"after", "integer",
		"Events behind this seq; 0 or nothing: from the start of the history."},
	{"follow", "boolean", "1: stay, and send events as they happen."},
	{"kind", "string", "Only events of this kind of resource, such as Job or Evaluation."},
	{0},
};

#define LISTING(kind_, path, text)                                                   \
	{                                                                            \
		"GET", path, api_list, kind_, text, params_list, API_BODY_NONE, NULL \
	}
#define GETTING(kind_, path, text)                                           \
	{                                                                    \
		"GET", path, api_get, kind_, text, NULL, API_BODY_NONE, NULL \
	}
#define WRITING(kind_, path, noun)                                                           \
	{"PUT", path, api_put, kind_, "Creates or replaces " noun ".", params_write,         \
		API_BODY_RESOURCE, NULL},                                                    \
		{"PATCH", path, api_patch, kind_, "Changes " noun " by a JSON merge patch.", \
			params_write, API_BODY_PATCH, NULL},                                 \
	{                                                                                    \
		"DELETE", path, api_delete, kind_, "Deletes " noun ".", params_write,        \
			API_BODY_NONE, NULL                                                  \
	}
#define OBSERVING(path, handler, text, params_, type_)                                \
	{                                                                             \
		"GET", path, handler, KIND_COUNT, text, params_, API_BODY_NONE, type_ \
	}

const struct api_route api_routes[] = {
	LISTING(KIND_FUNCTION, "/v1/functions", "Lists functions."),
	GETTING(KIND_FUNCTION, "/v1/functions/{namespace}/{name}", "A function."),
	WRITING(KIND_FUNCTION, "/v1/functions/{namespace}/{name}", "a function"),
	{"POST", "/v1/functions/{namespace}/{name}/deployment", api_deployment, KIND_FUNCTION,
		"Promotes, pauses, resumes or fails the rollout of a function's version.", NULL,
		API_BODY_DEPLOYMENT, NULL},
	{"GET", "/v1/functions/{namespace}/{name}/logs", api_logs_of, KIND_COUNT,
		"What a function's instances wrote, each line with its instance.", params_logs_of,
		API_BODY_NONE, "text/plain"},
	LISTING(KIND_ENDPOINT, "/v1/endpoints", "Lists endpoints."),
	GETTING(KIND_ENDPOINT, "/v1/endpoints/{name}",
		"An endpoint, with the state of its addresses."),
	WRITING(KIND_ENDPOINT, "/v1/endpoints/{name}", "an endpoint"),
	LISTING(KIND_GATEWAY, "/v1/gateways", "Lists gateways."),
	GETTING(KIND_GATEWAY, "/v1/gateways/{name}", "A gateway, with what it reports."),
	WRITING(KIND_GATEWAY, "/v1/gateways/{name}", "a gateway"),
	{"GET", "/v1/jobs", api_list_jobs, KIND_JOB,
		"Lists jobs, and the jobs that they have made.", params_jobs, API_BODY_NONE, NULL},
	GETTING(KIND_JOB, "/v1/jobs/{namespace}/{name}",
		"A job, with its instances by state and when it is launched."),
	WRITING(KIND_JOB, "/v1/jobs/{namespace}/{name}", "a job"),
	{"POST", "/v1/jobs/{namespace}/{name}/dispatch", api_dispatch, KIND_JOB,
		"Makes a job of a templated one, with a payload and meta; launches one that has a "
		"schedule.",
		NULL,
		API_BODY_DISPATCH, NULL},
	{"POST", "/v1/jobs/{namespace}/{name}/deployment", api_deployment, KIND_JOB,
		"Promotes, pauses, resumes or fails the rollout of a job's version.", NULL,
		API_BODY_DEPLOYMENT, NULL},
	{"GET", "/v1/jobs/{namespace}/{name}/logs", api_logs_of, KIND_COUNT,
		"What a job's instances wrote, each line with its instance.", params_logs_of,
		API_BODY_NONE, "text/plain"},
	LISTING(KIND_QUOTA, "/v1/quotas", "Lists quotas."),
	GETTING(KIND_QUOTA, "/v1/quotas/{name}", "A quota, with what its namespace has."),
	WRITING(KIND_QUOTA, "/v1/quotas/{name}", "a quota"),
	LISTING(KIND_NODE, "/v1/nodes", "Lists nodes."),
	GETTING(KIND_NODE, "/v1/nodes/{name}", "A node, with its state and what it can hold."),
	{"PATCH", "/v1/nodes/{name}", api_patch, KIND_NODE,
		"Drains a node or makes it ineligible, by a JSON merge patch.", params_write,
		API_BODY_PATCH, NULL},
	{"DELETE", "/v1/nodes/{name}", api_delete, KIND_NODE,
		"Forgets a node that is down; its instances are replaced elsewhere.", params_write,
		API_BODY_NONE, NULL},
	{"GET", "/v1/instances", api_list_instances, KIND_INSTANCE, "Lists instances.",
		params_instances, API_BODY_NONE, NULL},
	{"GET", "/v1/instances/{name}", api_get_instance, KIND_INSTANCE,
		"An instance, with its state and why it is where it is.", NULL, API_BODY_NONE,
		NULL},
	{"GET", "/v1/instances/{name}/logs", api_logs, KIND_COUNT,
		"What an instance wrote to standard output and error.", params_logs, API_BODY_NONE,
		"text/plain"},
	{"GET", "/v1/evaluations", api_list_evaluations, KIND_EVALUATION,
		"Lists evaluations: of each job the last one that ended, and those to come.",
		params_evaluations, API_BODY_NONE, NULL},
	{"GET", "/v1/evaluations/{name}", api_get_evaluation, KIND_EVALUATION,
		"An evaluation: what it saw, what came of it and what it waits for.", NULL,
		API_BODY_NONE, NULL},
	OBSERVING("/v1/events", api_events, "The history of changes, one JSON object a line.",
		params_events, "application/x-ndjson"),
	OBSERVING("/v1/stats", api_stats, "What gateways report, added up.", NULL, NULL),
	OBSERVING("/v1/health", api_health, "How the control plane is; 503 when it cannot store.",
		NULL, NULL),
	OBSERVING("/v1/openapi.json", api_openapi, "This description.", NULL, NULL),
	OBSERVING("/metrics", api_metrics, "Metrics for Prometheus.", NULL,
		"text/plain; version=0.0.4"),
};
const size_t api_route_count = sizeof(api_routes) / sizeof(api_routes[0]);

bool api_route_at(size_t index, struct api_route_view *out)
{
	if (index >= api_route_count)
		return false;
	*out = (struct api_route_view){api_routes[index].method, api_routes[index].pattern};
	return true;
}

// ---- replies and errors ----

json_t *api_string(const char *text)
{
	json_t *value = json_string(text);
	char *copy;

	if (value)
		return value;
	copy = strdup(text);
	for (char *p = copy; p && *p; p++)
		if ((unsigned char)*p >= 0x80)
			*p = '?';
	value = json_string(copy ? copy : "");
	free(copy);
	return value;
}

static void set_body(struct api_response *r, unsigned status, json_t *body)
{
	char *text = json_dumps(body, JSON_COMPACT);
	size_t len = text ? strlen(text) : 0;

	json_decref(body);
	if (!text)
		abort();  // only out of memory: every value made here is valid UTF-8
	text = realloc(text, len + 2);
	if (!text)
		abort();
	text[len++] = '\n';
	text[len] = 0;
	free(r->body);
	r->status = status;
	r->content_type = "application/json";
	r->body = text;
	r->body_len = len;
}

void api_reply(struct api_call *call, unsigned status, json_t *body)
{
	set_body(call->response, status, body);
}

void api_error(struct api_response *r, unsigned status, const char *code, const char *field,
	const char *format, ...)
{
	char message[700];
	json_t *error = json_object(), *body = json_object();
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	json_object_set_new(error, "code", json_string(code));
	json_object_set_new(error, "message", api_string(message));
	if (field)
		json_object_set_new(error, "field", api_string(field));
	json_object_set_new(body, "error", error);
	r->follow = false;
	free(r->logs);
	r->logs = NULL;
	r->etag[0] = 0;
	set_body(r, status, body);
}

bool api_settled(const struct api *api, const struct api_response *r)
{
	return r->wait_seq <= api->registry->durable &&
	       (!r->wait_index || r->wait_index <= api->scheduler->durable(api->scheduler_user));
}

// What the scheduler did stays, and is stored when the store takes something again.
static void not_yet_stored(struct api_response *r, int error)
{
	r->wait_index = 0;
	api_error(r, error == -ENOSPC ? 507 : 500, error == -ENOSPC ? "storage_full" : "storage_failed",
		NULL,
		"it was done, but could not be stored yet (%s), so a crash would undo it; see the disk "
		"of the state directory, look whether it is there, then ask again; a dispatch with the "
		"same token is not done twice",
		strerror(-error));
}

void api_storage_failed(const struct api *api, struct api_response *r, int error)
{
	const char *where = api->registry->where;

	r->wait_seq = 0;
	// What was asked for is stored; the event that tells of it is not.
	if (r->wait_index && r->wait_index <= api->scheduler->durable(api->scheduler_user))
		return;
	if (r->wait_index) {
		not_yet_stored(r, error);
		return;
	}
	r->allow[0] = 0;
	if (error == -ENOSPC)
		api_error(r, 507, "storage_full", NULL,
			"nothing was changed: the disk of the state directory %s is full; free some "
			"space there and try again",
			where);
	else
		api_error(r, 500, "storage_failed", NULL,
			"nothing was changed: the state could not be stored in %s (%s); see what "
			"dmesg and the control plane's log say of its disk; changes are taken again "
			"as soon as it can be written",
			where, strerror(-error));
}

void api_response_clear(struct api_response *r)
{
	free(r->logs);
	r->logs = NULL;
	free(r->body);
	r->body = NULL;
}

void api_wait(struct api_call *call)
{
	const struct registry *r = call->api->registry;

	call->response->wait_seq = r->seq > r->durable ? r->seq : 0;
}

// ---- queries ----

const char *api_query(const struct api_call *call, const char *name)
{
	const struct api_request *q = call->request;

	for (size_t i = 0; i < q->query_count; i++)
		if (strcmp(q->query[i].name, name) == 0)
			return q->query[i].value ? q->query[i].value : "";
	return NULL;
}

bool api_query_number(const struct api_call *call, const char *name, uint64_t min, uint64_t max,
	uint64_t def, uint64_t *out)
{
	const char *text = api_query(call, name);
	char *end;

	*out = def;
	if (!text)
		return true;
	errno = 0;
	*out = strtoull(text, &end, 10);
	if (*text >= '0' && *text <= '9' && !*end && !errno && *out >= min && *out <= max)
		return true;
	api_error(call->response, 400, "invalid_query", name,
		"%s must be a whole number from %" PRIu64 " to %" PRIu64 ", but is '%.40s'", name,
		min, max, text);
	return false;
}

bool api_query_flag(const struct api_call *call, const char *name)
{
	const char *text = api_query(call, name);

	return text && strcmp(text, "0") != 0 && strcmp(text, "false") != 0;
}

static bool param_known(const struct api_route *route, const char *name)
{
	for (const struct api_param *p = route->params; p && p->name; p++)
		if (strcmp(p->name, name) == 0)
			return true;
	return false;
}

static bool query_good(struct api_call *call)
{
	const struct api_request *q = call->request;

	for (size_t i = 0; i < q->query_count; i++) {
		char known[120] = "none";
		size_t n = 0;

		if (param_known(call->route, q->query[i].name))
			continue;
		for (const struct api_param *p = call->route->params; p && p->name; p++)
			n += (size_t)snprintf(
				known + n, sizeof(known) - n, "%s%s", n ? ", " : "", p->name);
		api_error(call->response, 400, "invalid_query", q->query[i].name,
			"'%.60s' is not a parameter of this path: known are %s", q->query[i].name,
			known);
		return false;
	}
	return true;
}

// ---- routing ----

// Copies one segment of a path; false if it is too long for any name.
static bool take_segment(const char **path, char *out, size_t room)
{
	size_t len = strcspn(*path, "/");

	if (len == 0 || len >= room)
		return false;
	memcpy(out, *path, len);
	out[len] = 0;
	*path += len;
	return true;
}

// Matches the path and fills namespace and name.
static bool path_matches(const char *pattern, const char *path, struct api_call *call)
{
	call->namespace[0] = call->name[0] = 0;
	while (*pattern && *path) {
		if (*pattern == '{') {
			bool space = strncmp(pattern, "{namespace}", 11) == 0;

			if (!take_segment(&path, space ? call->namespace : call->name,
				    sizeof(call->name)))
				return false;
			pattern = strchr(pattern, '}') + 1;
		} else if (*pattern++ != *path++) {
			return false;
		}
	}
	return !*pattern && !*path;
}

static bool same_method(const char *asked, const char *method)
{
	return strcmp(asked, method) == 0 ||
	       (strcmp(asked, "HEAD") == 0 && strcmp(method, "GET") == 0);
}

static void not_allowed(struct api_call *call)
{
	char *allow = call->response->allow;
	size_t n = 0;

	for (size_t i = 0; i < api_route_count; i++)
		if (path_matches(api_routes[i].pattern, call->request->path, call))
			n += (size_t)snprintf(allow + n, sizeof(call->response->allow) - n, "%s%s",
				n ? ", " : "", api_routes[i].method);
	api_error(call->response, 405, "method_not_allowed", NULL,
		"%.20s cannot be used on this path: use %s", call->request->method, allow);
}

static void not_found(struct api_call *call)
{
	const char *path = call->request->path;
	size_t len = strlen(path);
	char again[200], name[64];

	if (sscanf(path, "/v1/functions/%63[a-z0-9-]", name) == 1 &&
		strlen(name) + strlen("/v1/functions/") == len) {
		api_error(call->response, 404, "not_found", NULL,
			"a function's path is /v1/functions/NAMESPACE/NAME: try "
			"/v1/functions/default/%s",
			name);
		return;
	}
	snprintf(
		again, sizeof(again), "%s%.150s", strncmp(path, "/v1/", 4) == 0 ? "" : "/v1", path);
	if (len > 1 && again[strlen(again) - 1] == '/')
		again[strlen(again) - 1] = 0;
	for (size_t i = 0; i < api_route_count; i++) {
		if (strcmp(again, path) == 0 || !path_matches(api_routes[i].pattern, again, call))
			continue;
		api_error(call->response, 404, "not_found", NULL, "there is no such path: try %s",
			again);
		return;
	}
	api_error(call->response, 404, "not_found", NULL,
		"there is no such path: GET /v1/openapi.json lists all, such as /v1/endpoints and "
		"/v1/health");
}

static const struct api_route *find_route(struct api_call *call)
{
	bool path_known = false;

	for (size_t i = 0; i < api_route_count; i++) {
		if (!path_matches(api_routes[i].pattern, call->request->path, call))
			continue;
		path_known = true;
		if (same_method(call->request->method, api_routes[i].method))
			return &api_routes[i];
	}
	if (path_known)
		not_allowed(call);
	else
		not_found(call);
	return NULL;
}

void api_handle(struct api *api, const struct api_request *request, struct api_response *response)
{
	struct api_call call = {.api = api, .request = request, .response = response};

	*response = (struct api_response){0};
	call.route = find_route(&call);
	if (call.route && query_good(&call))
		call.route->handle(&call);
	api->requests[response->status / 100 % 6]++;
}

void api_init(struct api *api, struct registry *registry, struct telemetry *telemetry,
	struct publisher *publisher, const char *version, ns_t now)
{
	*api = (struct api){
		.registry = registry,
		.telemetry = telemetry,
		.publisher = publisher,
		.version = version,
		.openapi = openapi_text(version),
		.start_ns = now,
	};
}

void api_fini(struct api *api)
{
	free(api->openapi);
	api->openapi = NULL;
}
