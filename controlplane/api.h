// SPDX-License-Identifier: Apache-2.0
// The API of the control socket as a function from request to response. No sockets here: http.c
// carries it, tests and the fuzzer call it directly.
//
// Belongs to the main thread. A response may be sent only once the registry's `durable` has reached
// wait_seq; if a commit fails meanwhile, api_storage_failed() takes its place.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controlplane/registry.h"

#define API_BODY_MAX ((size_t)1 << 20)
#define API_QUERY_MAX 16
#define API_LIST_DEFAULT 500
#define API_LIST_MAX 5000

struct fleet;
struct prom;
struct telemetry;
struct publisher;
struct api_scheduler;

struct api {
	struct registry *registry;
	struct telemetry *telemetry;
	struct publisher *publisher;
	struct fleet *fleet;  // NULL: there are no nodes and instances
	// How the scheduler sees a function; NULL: it does not. A new reference.
	json_t *(*explain)(void *user, const char *namespace, const char *name);
	void *explain_user;
	// Writes the scheduler's metrics; with explain_user. NULL: none.
	void (*scheduler_metrics)(void *user, const struct prom *p);
	const struct api_scheduler *scheduler;  // NULL: none
	void *scheduler_user;
	const char *version;  // of the program
	char *openapi;        // made by api_init()
	ns_t start_ns;
	uint64_t requests[6];  // by the first digit of the status
	unsigned followers;    // of events, now; kept by http.c
};

struct api_pair {
	const char *name, *value;  // value NULL: "?name"
};

struct api_request {
	const char *method, *path;
	struct api_pair query[API_QUERY_MAX];
	size_t query_count;
	const char *if_match, *if_none_match, *accept;  // NULL if absent
	const char *body;
	size_t body_len;
	ns_t now, wall_ns;
};

struct api_log_source {
	char id[40];     // of an instance
	char label[80];  // for its lines
};

struct api_response {
	unsigned status;
	const char *content_type;
	char *body;  // malloc'ed
	size_t body_len;
	uint64_t wait_seq;
	uint64_t wait_index;  // of the scheduler's transactions; 0: none
	char etag[24];  // "" if none
	char allow[64];
	bool follow;  // an event stream: body is empty, lines are the events behind follow_after
	bool follow_more;  // and it stays open at the end of the history
	uint64_t follow_after;
	char follow_kind[40];  // only lines that have this in them; "": all
	struct api_log_source *logs;  // malloc'ed: a stream of what they write; body is empty
	size_t log_count;
	bool logs_follow;
	bool logs_labelled;  // each line has its instance before it
	unsigned logs_tail;
	char logs_note[160];  // what is to be said first
};

void api_init(struct api *api, struct registry *registry, struct telemetry *telemetry,
	struct publisher *publisher, const char *version, ns_t now);
void api_fini(struct api *api);

void api_handle(struct api *api, const struct api_request *request, struct api_response *response);
void api_response_clear(struct api_response *response);
// Whether all that the response tells of is durable.
bool api_settled(const struct api *api, const struct api_response *response);
// Replaces the response by an error, for what the transport finds out.
void api_error(struct api_response *response, unsigned status, const char *code, const char *field,
	const char *format, ...) __attribute__((format(printf, 5, 6)));
// The answer to everyone who waited for a commit that failed with this error (-ENOSPC, -EIO ...).
void api_storage_failed(const struct api *api, struct api_response *response, int error);
// The line that ends a follower's stream when it has fallen behind the history. malloc'ed.
char *api_events_gone_line(const struct registry *registry);

// How many routes there are, and each: for tests.
struct api_route_view {
	const char *method, *pattern;
};
bool api_route_at(size_t index, struct api_route_view *out);
