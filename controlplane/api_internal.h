// SPDX-License-Identifier: Apache-2.0
// What the files of the API share: api.c (routes, errors), api_resources.c, api_observe.c,
// openapi.c.
#pragma once

#include "controlplane/api.h"

// A query parameter.
struct api_param {
	const char *name;
	const char *type;  // of JSON schema
	const char *help;
};

struct api_call {
	struct api *api;
	const struct api_request *request;
	struct api_response *response;
	const struct api_route *route;
	char namespace[256], name[256];  // from the path; "" where the route has none
};

enum api_body {
	API_BODY_NONE,
	API_BODY_RESOURCE,
	API_BODY_PATCH,
	API_BODY_DISPATCH,
	API_BODY_DEPLOYMENT,
};

struct api_route {
	const char *method;
	const char *pattern;  // "/v1/functions/{namespace}/{name}"
	void (*handle)(struct api_call *call);
	enum kind kind;  // KIND_COUNT: not about a kind
	const char *summary;
	const struct api_param *params;  // ends with a NULL name; may be NULL
	enum api_body body;
	const char *type;  // of what it returns; NULL: application/json
};

extern const struct api_route api_routes[];
extern const size_t api_route_count;

// The value of a query parameter; NULL if it was not given, "" if it has none.
const char *api_query(const struct api_call *call, const char *name);
// A number of the query from min to max. False: the error has been made.
bool api_query_number(const struct api_call *call, const char *name, uint64_t min, uint64_t max,
	uint64_t def, uint64_t *out);
// Takes body.
void api_reply(struct api_call *call, unsigned status, json_t *body);
// Jobs that jobs have made (api_jobs.c).
void api_list_jobs(struct api_call *call);
json_t *api_job_status(const struct api *api, const char *namespace, const char *name);
// The one the call is about, as a resource; NULL: there is none. A new reference.
json_t *api_child(struct api_call *call);
// Whether the name of the function or job that is put is that of one; then the error has been made.
bool api_is_child(struct api_call *call);
// False: there is none, and nothing was answered.
bool api_delete_child(struct api_call *call, bool dry);
// A list of stored resources; NULL: the error has been made. A new reference.
json_t *api_list_body(struct api_call *call, size_t limit);
// Makes the response wait until all that the registry shows now is durable.
void api_wait(struct api_call *call);
// A string value, also when the text is cut in the middle of a character.
json_t *api_string(const char *text);

void api_list(struct api_call *call);
void api_get(struct api_call *call);
void api_put(struct api_call *call);
void api_patch(struct api_call *call);
void api_delete(struct api_call *call);

void api_list_instances(struct api_call *call);
void api_get_instance(struct api_call *call);
void api_logs(struct api_call *call);
void api_logs_of(struct api_call *call);
// A flag of the query: there, and not 0 or false.
bool api_query_flag(const struct api_call *call, const char *name);

void api_list_evaluations(struct api_call *call);
void api_get_evaluation(struct api_call *call);

void api_dispatch(struct api_call *call);
void api_deployment(struct api_call *call);

void api_events(struct api_call *call);
void api_health(struct api_call *call);
void api_stats(struct api_call *call);
void api_metrics(struct api_call *call);
void api_openapi(struct api_call *call);

// The whole document. malloc'ed.
char *openapi_text(const char *version);
