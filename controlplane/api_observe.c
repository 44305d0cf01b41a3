// SPDX-License-Identifier: Apache-2.0
// The API's handlers for what is observed: events, health, stats, metrics, openapi. Main thread; no
// I/O.
#include "controlplane/api_internal.h"
#include "controlplane/api_scheduler.h"
#include "controlplane/fleet.h"
#include "controlplane/prom.h"
#include "controlplane/publish.h"
#include "controlplane/telemetry.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PROBLEMS_MAX 100

// ---- events ----

// False: the error has been made.
static bool read_kind(struct api_call *call)
{
	const char *wanted = api_query(call, "kind");

	for (enum kind kind = 0; wanted && kind < KIND_COUNT; kind++) {
		if (strcasecmp(wanted, kinds[kind].name) != 0 &&
			strcmp(wanted, kinds[kind].plural) != 0)
			continue;
		snprintf(call->response->follow_kind, sizeof(call->response->follow_kind),
			"\"kind\":\"%s\"", kinds[kind].name);
		return true;
	}
	if (wanted)
		api_error(call->response, 400, "invalid_query", "kind",
			"there are no events of kind '%.40s': kinds are those of resources, such "
			"as "
			"Function, Job, Node, Evaluation",
			wanted);
	return !wanted;
}

void api_events(struct api_call *call)
{
	const struct registry *r = call->api->registry;
	uint64_t floor = registry_event_floor(r), after;

	if (!api_query_number(call, "after", 0, INT64_MAX, 0, &after) || !read_kind(call))
		return;
	if (!api_query(call, "after") || (after == 0 && floor > 0))
		after = floor;
	if (after < floor) {
		api_error(call->response, 410, "events_gone", "after",
			"events up to %" PRIu64
			" are no longer kept: list the resources again, then follow "
			"from the seq of that list",
			floor);
		return;
	}
	// A seq that is yet to come is that of another store: the follower would wait for ever.
	if (after > r->seq) {
		api_error(call->response, 410, "events_gone", "after",
			"the last event is %" PRIu64
			": after is from another store; list the resources again, "
			"then follow from the seq of that list",
			r->seq);
		return;
	}
	call->response->status = 200;
	call->response->content_type = "application/x-ndjson";
	call->response->follow = true;
	call->response->follow_more =
		api_query_flag(call, "follow") && strcmp(call->request->method, "HEAD") != 0;
	call->response->follow_after = after;
	api_wait(call);
}

char *api_events_gone_line(const struct registry *r)
{
	char *line = NULL;

	if (asprintf(&line,
		    "{\"error\":{\"code\":\"events_gone\",\"message\":\"events up to %" PRIu64
		    " are no longer kept: list the resources again, then follow from the seq of "
		    "that "
		    "list\"}}",
		    registry_event_floor(r)) < 0)
		abort();
	return line;
}

// ---- health ----

static void problem(json_t *problems, const char *what, const char *hint)
{
	json_t *p = json_object();

	json_object_set_new(p, "problem", api_string(what));
	json_object_set_new(p, "hint", api_string(hint));
	json_array_append_new(problems, p);
}

struct health {
	const struct api *api;
	json_t *problems, *waiting;
	size_t connected;
};

static void gateway_health(void *user, const char *name, bool connected)
{
	struct health *h = user;
	bool known = registry_get(h->api->registry, KIND_GATEWAY, name);
	char what[160], hint[200];

	h->connected += connected;
	if (connected && !known) {
		json_array_append_new(h->waiting, json_string(name));
		snprintf(what, sizeof(what),
			"gateway %s is connected and waits for its configuration", name);
		snprintf(hint, sizeof(hint), "create it: PUT /v1/gateways/%s", name);
		problem(h->problems, what, hint);
	}
}

// Those that are wanted and not here, also when they never were.
static void missing_gateways(struct health *h)
{
	const struct resource *res;
	char what[160];

	for (size_t i = 0; (res = registry_at(h->api->registry, KIND_GATEWAY, i)); i++) {
		if (telemetry_is_connected(h->api->telemetry, res->name))
			continue;
		snprintf(what, sizeof(what), "gateway %s is not connected", res->name);
		problem(h->problems, what,
			"start penstock-dataplane with this name, or see its log");
	}
}

struct node_health {
	json_t *problems;
	size_t ready, known;
};

static void one_node_health(struct node_health *h, const struct fleet_node *n)
{
	char what[160];

	h->known++;
	h->ready += strcmp(fleet_node_state(n), "ready") == 0;
	if (n->up)
		return;
	snprintf(what, sizeof(what), "node %s is down", n->name);
	problem(h->problems, what,
		"start penstock-fnhost there, or forget the node: DELETE /v1/nodes/NAME");
}

static json_t *node_health(const struct api *api, json_t *problems)
{
	struct node_health h = {.problems = problems};
	const struct resource *res;

	for (size_t i = 0; api->fleet && (res = registry_at(api->registry, KIND_NODE, i)); i++) {
		const struct fleet_node *n = fleet_node(api->fleet, res->name);

		if (n)
			one_node_health(&h, n);
	}
	return json_pack("{s:I, s:I}", "known", (json_int_t)h.known, "ready", (json_int_t)h.ready);
}

// Functions that have fewer instances than they should, because there is no room.
static void function_health(const struct api *api, json_t *problems)
{
	const struct resource *res;
	char what[220], hint[200];

	for (size_t i = 0; api->explain && (res = registry_at(api->registry, KIND_FUNCTION, i));
		i++) {
		json_t *evaluation = api->explain(api->explain_user, res->namespace, res->name);
		json_int_t failed = json_integer_value(json_object_get(evaluation, "failed"));

		json_decref(evaluation);
		if (!failed || json_array_size(problems) >= PROBLEMS_MAX)
			continue;
		snprintf(what, sizeof(what),
			"function %s waits for room for %" JSON_INTEGER_FORMAT " instances",
			res->key, failed);
		snprintf(hint, sizeof(hint), "see why: penstock explain function %s", res->key);
		problem(problems, what, hint);
	}
}

// Changes are taken as long as the journal has room.
static void behind(const struct registry *r, json_t *problems)
{
	char what[400];

	if (!r->stat.behind || r->last_error)
		return;
	snprintf(what, sizeof(what),
		"as of the last change, what is in %s/journal gets no further: %s", r->where,
		strerror(-r->stat.behind));
	problem(problems, what,
		r->stat.behind == -ENOSPC
			? "free some space there before the journal is full, too"
			: "see what dmesg and the log say of its disk, before the journal is full");
}

static json_t *store_health(const struct registry *r, json_t *problems)
{
	json_t *store = json_object();

	json_object_set_new(store, "ok", json_boolean(r->last_error == 0));
	json_object_set_new(store, "commits", json_integer((json_int_t)r->commits));
	json_object_set_new(store, "errors", json_integer((json_int_t)r->commit_errors));
	json_object_set_new(store, "used_bytes", json_integer((json_int_t)r->stat.used_bytes));
	json_object_set_new(store, "records", json_integer((json_int_t)r->stat.records));
	if (r->last_error) {
		char what[400];

		json_object_set_new(store, "last_error", json_string(strerror(-r->last_error)));
		snprintf(what, sizeof(what), "the last change could not be stored in %s: %s",
			r->where, strerror(-r->last_error));
		problem(problems, what,
			r->last_error == -ENOSPC
				? "free some space there; what was acknowledged is kept"
				: "see what dmesg and the log say of its disk; what was "
				  "acknowledged "
				  "is kept");
	}
	behind(r, problems);
	return store;
}

void api_health(struct api_call *call)
{
	const struct api *api = call->api;
	const struct registry *r = api->registry;
	struct health h = {api, json_array(), json_array(), 0};
	json_t *out = json_object(), *gateways = json_object();
	json_t *store = store_health(r, h.problems), *nodes;
	const char *status = "ok";

	telemetry_each(api->telemetry, gateway_health, &h);
	missing_gateways(&h);
	nodes = node_health(api, h.problems);
	function_health(api, h.problems);
	if (json_array_size(h.problems))
		status = r->last_error ? "failed" : "degraded";
	json_object_set_new(gateways, "connected", json_integer((json_int_t)h.connected));
	json_object_set_new(gateways, "waiting", h.waiting);
	json_object_set_new(out, "status", json_string(status));
	json_object_set_new(out, "version", json_string(api->version));
	json_object_set_new(out, "uptime_ms",
		json_integer((json_int_t)((call->request->now - api->start_ns) / NS_PER_MS)));
	json_object_set_new(out, "epoch", json_string(r->epoch));
	json_object_set_new(out, "seq", json_integer((json_int_t)r->durable));
	json_object_set_new(
		out, "services", json_integer((json_int_t)publisher_services(api->publisher)));
	json_object_set_new(out, "gateways", gateways);
	json_object_set_new(out, "nodes", nodes);
	if (api->scheduler && api->scheduler->waiting)
		json_object_set_new(
			out, "evaluations", api->scheduler->waiting(api->scheduler_user));
	json_object_set_new(out, "store", store);
	json_object_set_new(out, "problems", h.problems);
	api_reply(call, r->last_error ? 503 : 200, out);
}

// ---- stats, metrics, openapi ----

void api_stats(struct api_call *call)
{
	json_t *stats =
		telemetry_stats(call->api->telemetry, call->request->now, call->request->wall_ns);

	if (call->api->fleet)
		json_object_set_new(stats, "deploys", fleet_deploys(call->api->fleet));
	api_reply(call, 200, stats);
}

static void single(
	const struct prom *p, const char *name, const char *type, const char *help, uint64_t value)
{
	prom_heading(p, name, type, help);
	prom_sample(p, name, NULL, value);
}

static void control_metrics(const struct api *api, const struct prom *p, ns_t now)
{
	static const char *const digits[] = {"", "", "2xx", "3xx", "4xx", "5xx"};
	const struct registry *r = api->registry;

	prom_heading(p, "penstock_resources", "gauge", "Resources by kind.");
	for (enum kind kind = 0; kind < KIND_COUNT; kind++)
		prom_sample(p, "penstock_resources",
			(const char *const[]){"kind", kinds[kind].name, NULL},
			registry_count(r, kind));
	single(p, "penstock_services", "gauge", "Routes that gateways are told of.",
		publisher_services(api->publisher));
	single(p, "penstock_controlplane_seq", "gauge", "The last durable change.", r->durable);
	single(p, "penstock_controlplane_commits_total", "counter",
		"Commits to the store: changes, placements, or both.", r->commits);
	single(p, "penstock_controlplane_commit_errors_total", "counter",
		"Commits that failed.", r->commit_errors);
	single(p, "penstock_controlplane_store_bytes", "gauge", "Bytes that the store uses.",
		r->stat.used_bytes);
	prom_heading(p, "penstock_controlplane_requests_total", "counter",
		"Requests answered, by the status's first digit.");
	for (int i = 2; i < 6; i++)
		prom_sample(p, "penstock_controlplane_requests_total",
			(const char *const[]){"status", digits[i], NULL}, api->requests[i]);
	prom_heading(p, "penstock_controlplane_uptime_seconds", "gauge",
		"Since the control plane started.");
	prom_sample_real(p, "penstock_controlplane_uptime_seconds", NULL,
		(double)(now - api->start_ns) / 1e9);
}

void api_metrics(struct api_call *call)
{
	struct api_response *r = call->response;
	struct prom p = {.open = prom_wants_open(call->request->accept)};

	p.out = open_memstream(&r->body, &r->body_len);
	if (!p.out)
		abort(); // out of memory
	telemetry_metrics(call->api->telemetry, &p);
	control_metrics(call->api, &p, call->request->now);
	if (call->api->fleet)
		fleet_metrics(call->api->fleet, &p);
	if (call->api->scheduler_metrics)
		call->api->scheduler_metrics(call->api->explain_user, &p);
	prom_end(&p);
	if (fclose(p.out) != 0)
		abort();
	r->status = 200;
	r->content_type = prom_content_type(p.open);
}

void api_openapi(struct api_call *call)
{
	struct api_response *r = call->response;

	r->body = strdup(call->api->openapi);
	if (!r->body)
		abort();
	r->body_len = strlen(r->body);
	r->status = 200;
	r->content_type = "application/json";
}
