// SPDX-License-Identifier: Apache-2.0
// The API's handlers for resources: list, get, put, patch, delete. Main thread; no I/O.
#include "controlplane/api_internal.h"
#include "controlplane/api_scheduler.h"
#include "controlplane/discovery.h"
#include "controlplane/fleet.h"
#include "controlplane/merge.h"
#include "controlplane/telemetry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct kind_info *kind_of(const struct api_call *call)
{
	return &kinds[call->route->kind];
}

static void key_of(const struct api_call *call, char *key, size_t room)
{
	if (kind_of(call)->key_namespace)
		snprintf(key, room, "%s/%s", call->namespace, call->name);
	else
		snprintf(key, room, "%s", call->name);
}

static json_t *function_status(const struct api *api, const struct resource *res)
{
	json_t *status = fleet_function_status(api->fleet, res->namespace, res->name);
	json_t *evaluation =
		api->explain ? api->explain(api->explain_user, res->namespace, res->name) : NULL;
	json_t *deployment = api->scheduler ? api->scheduler->deployment_of(api->scheduler_user,
						      res->namespace, res->name)
					    : NULL;

	if (evaluation)
		json_object_set_new(status, "evaluation", evaluation);
	if (deployment)
		json_object_set_new(status, "deployment", deployment);
	return status;
}

static json_t *quota_status(const struct api *api, const struct resource *res)
{
	json_t *used = api->scheduler ? api->scheduler->quota(api->scheduler_user, res->name) : NULL;

	return used ? json_pack("{s:o}", "used", used) : NULL;
}

static json_t *status_of(const struct api_call *call, const struct resource *res)
{
	const struct api *api = call->api;

	if (api->fleet && res->kind == KIND_NODE)
		return fleet_node_status(api->fleet, res->name);
	if (api->fleet && res->kind == KIND_FUNCTION)
		return function_status(api, res);
	if (res->kind == KIND_JOB)
		return api_job_status(api, res->namespace, res->name);
	if (res->kind == KIND_QUOTA)
		return quota_status(api, res);
	return telemetry_status(api->telemetry, res, call->request->now);
}

static json_t *with_status(const struct api_call *call, const struct resource *res)
{
	json_t *out = resource_json(res);
	json_t *status = status_of(call, res);

	if (status)
		json_object_set_new(out, "status", status);
	return out;
}

static void set_etag(struct api_response *r, uint64_t version)
{
	snprintf(r->etag, sizeof(r->etag), "\"%llu\"", (unsigned long long)version);
}

// ---- list ----

// "team=imagery,tier": every part must be there.
static bool labels_match(const json_t *labels, const char *wanted)
{
	while (*wanted) {
		size_t len = strcspn(wanted, ",");
		char part[160];
		const char *value;
		char *equals;

		if (len >= sizeof(part))
			return false;
		memcpy(part, wanted, len);
		part[len] = 0;
		equals = strchr(part, '=');
		if (equals)
			*equals = 0;
		value = json_string_value(json_object_get(labels, part));
		if (!value || (equals && strcmp(value, equals + 1) != 0))
			return false;
		wanted += len + (wanted[len] == ',');
	}
	return true;
}

json_t *api_list_body(struct api_call *call, size_t limit)
{
	const struct registry *r = call->api->registry;
	const char *namespace = api_query(call, "namespace"), *label = api_query(call, "label");
	const struct resource *res, *last = NULL;
	json_t *items, *body;
	size_t i;

	if (namespace && !kind_of(call)->namespaced) {
		api_error(call->response, 400, "invalid_query", "namespace",
			"%s have no namespace: leave it out", kind_of(call)->plural);
		return NULL;
	}
	items = json_array();
	i = registry_after(r, call->route->kind, api_query(call, "after"));
	for (; json_array_size(items) < limit && (res = registry_at(r, call->route->kind, i));
		i++) {
		if (namespace && strcmp(namespace, res->namespace) != 0)
			continue;
		if (label && !labels_match(res->labels, label))
			continue;
		json_array_append_new(items, with_status(call, res));
		last = res;
	}
	body = json_object();
	json_object_set_new(body, "items", items);
	json_object_set_new(body, "seq", json_integer((json_int_t)r->seq));
	if (last && json_array_size(items) == limit && registry_at(r, call->route->kind, i))
		json_object_set_new(body, "next", json_string(last->key));
	return body;
}

void api_list(struct api_call *call)
{
	uint64_t limit;
	json_t *body;

	if (!api_query_number(call, "limit", 1, API_LIST_MAX, API_LIST_DEFAULT, &limit))
		return;
	body = api_list_body(call, limit);
	if (!body)
		return;
	api_wait(call);
	api_reply(call, 200, body);
}

// ---- get ----

static void no_resource(struct api_call *call, const char *key)
{
	const struct kind_info *kind = kind_of(call);

	if (!kind->writable)
		api_error(call->response, 404, "not_found", NULL,
			"there is no %s %s; %s register themselves", kind->singular, key,
			kind->plural);
	else if (call->route->kind == KIND_GATEWAY &&
		 telemetry_is_connected(call->api->telemetry, key))
		api_error(call->response, 404, "not_found", NULL,
			"gateway %s is connected and waits for its configuration: create it with "
			"PUT "
			"/v1/gateways/%s",
			key, key);
	else
		api_error(call->response, 404, "not_found", NULL,
			"there is no %s %s: create it with PUT, or list all with GET /v1/%s",
			kind->singular, key, kind->plural);
}

void api_get(struct api_call *call)
{
	const struct resource *res;
	json_t *shown;
	char key[520];

	key_of(call, key, sizeof(key));
	res = registry_get(call->api->registry, call->route->kind, key);
	api_wait(call);
	shown = res ? NULL : api_child(call);
	if (shown) {
		api_reply(call, 200, shown);
		return;
	}
	if (!res) {
		no_resource(call, key);
		return;
	}
	set_etag(call->response, res->version);
	shown = with_status(call, res);
	// One alone also tells where its calls go, as gateways are told: at most 1,024 hosts.
	if (res->kind == KIND_FUNCTION && call->api->fleet)
		json_object_set_new(json_object_get(shown, "status"), "targets",
			fleet_targets(call->api->fleet, res->namespace, res->name));
	api_reply(call, 200, shown);
}

// ---- conditions ----

// RFC 9110 13.1.1: "*" or a list of entity tags, of which a strong one must be the version's.
static bool etag_listed(const char *list, uint64_t version)
{
	char tag[24];
	const char *p = list;
	size_t len;

	snprintf(tag, sizeof(tag), "%llu", (unsigned long long)version);
	for (; *p; p += len) {
		p += strspn(p, " \t,\"");
		len = strcspn(p, " \t,\"");
		if (len == strlen(tag) && strncmp(p, tag, len) == 0)
			return true;
	}
	return false;
}

// False: the error has been made.
static bool condition_met(struct api_call *call, const struct resource *before)
{
	const char *match = call->request->if_match, *none = call->request->if_none_match;

	if (match && !before) {
		api_error(call->response, 412, "version_mismatch", NULL,
			"If-Match was given, but there is nothing yet: leave it out to create");
		return false;
	}
	if (match && strcmp(match, "*") != 0 && !etag_listed(match, before->version)) {
		api_error(call->response, 412, "version_mismatch", NULL,
			"it was changed meanwhile and is now at version %llu: get it, make the "
			"change again "
			"and send its ETag in If-Match",
			(unsigned long long)before->version);
		return false;
	}
	if (none && before && (strcmp(none, "*") == 0 || etag_listed(none, before->version))) {
		api_error(call->response, 412, "version_mismatch", NULL,
			"it exists already at version %llu", (unsigned long long)before->version);
		return false;
	}
	return true;
}

// ?dry_run, ?dry_run=1, ?dry_run=true. False: the error has been made.
static bool dry_run(struct api_call *call, bool *dry)
{
	const char *text = api_query(call, "dry_run");

	*dry = text && (!*text || strcmp(text, "1") == 0 || strcmp(text, "true") == 0);
	if (!text || *dry || strcmp(text, "0") == 0 || strcmp(text, "false") == 0)
		return true;
	api_error(call->response, 400, "invalid_query", "dry_run",
		"dry_run must be 1 or 0, but is '%.40s'", text);
	return false;
}

// ---- write ----

static json_t *parse_body(struct api_call *call)
{
	const struct api_request *q = call->request;
	json_error_t error;
	json_t *body;

	if (!q->body_len) {
		api_error(call->response, 400, "invalid_json", NULL,
			"the body is empty: send the resource as a JSON object");
		return NULL;
	}
	body = json_loadb(q->body, q->body_len, JSON_REJECT_DUPLICATES, &error);
	if (!body)
		api_error(call->response, 400, "invalid_json", NULL,
			"the body is not JSON: line %d, column %d: %s", error.line, error.column,
			error.text);
	else if (!json_is_object(body)) {
		json_decref(body);
		body = NULL;
		api_error(call->response, 400, "invalid_json", NULL,
			"the body must be a JSON object, such as {\"spec\": {...}}");
	}
	return body;
}

// What the path says must not be said otherwise in the body. False: the error has been made.
static bool from_path(struct api_call *call, json_t *metadata, const char *member,
	const char *field, const char *value)
{
	json_t *given = json_object_get(metadata, member);
	const char *text = json_string_value(given);

	if (!given || json_is_null(given)) {
		json_object_set_new(metadata, member, api_string(value));
		return true;
	}
	if (text && strcmp(text, value) == 0)
		return true;
	api_error(call->response, 400, "invalid_field", field,
		"%s must be %s as in the path, or left out: a resource cannot be renamed", field,
		value);
	return false;
}

// Fills in what the path says and passes the object through its table. NULL: the error has been
// made.
static json_t *normalize(struct api_call *call, const json_t *in)
{
	json_t *object = json_copy((json_t *)(uintptr_t)in);
	json_t *given = json_object_get(object, "metadata");
	json_t *metadata = json_is_object(given) ? json_copy(given) : json_object();
	struct schema_error error;
	json_t *out = NULL;

	if (!given || json_is_null(given) || json_is_object(given)) {
		if (!from_path(call, metadata, "name", "metadata.name", call->name))
			goto out;
		if (kind_of(call)->key_namespace && !from_path(call, metadata, "namespace",
							    "metadata.namespace", call->namespace))
			goto out;
		json_object_set(object, "metadata", metadata);
	}
	out = schema_normalize(kind_of(call), object, &error);
	if (!out)
		api_error(call->response, 400, error.code, error.field, "%s", error.message);
out:
	json_decref(metadata);
	json_decref(object);
	return out;
}

// A route belongs to a function or to endpoints, not to both, and a name to a function or a job.
// False: the error has been made.
static bool routes_free(struct api_call *call, const json_t *object)
{
	char taken_by[160], field[64];

	if (!discovery_conflict(call->api->registry, call->route->kind, object, taken_by,
		    sizeof(taken_by), field, sizeof(field)))
		return !api_is_child(call);
	if (call->route->kind == KIND_JOB || strncmp(taken_by, "job ", 4) == 0)
		api_error(call->response, 409, "name_taken", field,
			"the name is already that of %s: choose another, or delete that first",
			taken_by);
	else
		api_error(call->response, 409, "route_taken", field,
			"the route is already that of %s: choose another, or delete that first",
			taken_by);
	return false;
}

// What the scheduler would do, where it has to do with it.
static void add_plan(struct api_call *call, const struct resource *before, const json_t *after,
	json_t *body)
{
	const struct api *api = call->api;
	json_t *plan = api->scheduler ? api->scheduler->plan(
						api->scheduler_user, call->route->kind, before, after)
				      : NULL;

	if (plan)
		json_object_set_new(body, "plan", plan);
}

static void reply_dry(struct api_call *call, const char *action, const struct resource *before,
	const json_t *after)
{
	json_t *old = before ? resource_json(before) : NULL;
	json_t *body = json_object(), *old_part = json_object(), *new_part = json_object();
	static const char *const parts[] = {"metadata", "spec"};

	// What the server adds is no change of anybody's.
	for (const char *const *m = (const char *const[]){"version", "created", "updated", NULL};
		*m; m++)
		json_object_del(json_object_get(old, "metadata"), *m);
	for (size_t i = 0; i < 2; i++) {
		if (old)
			json_object_set(old_part, parts[i], json_object_get(old, parts[i]));
		if (after)
			json_object_set(new_part, parts[i], json_object_get(after, parts[i]));
	}
	json_object_set_new(body, "dry_run", json_true());
	json_object_set_new(body, "action", json_string(action));
	json_object_set_new(body, "changes", merge_changes(old_part, new_part));
	if (after)
		json_object_set(body, "object", (json_t *)(uintptr_t)after);
	add_plan(call, before, after, body);
	json_decref(old);
	json_decref(old_part);
	json_decref(new_part);
	api_wait(call);
	api_reply(call, 200, body);
}

static const char *action_of(const struct resource *before, const json_t *after)
{
	const json_t *metadata = json_object_get(after, "metadata");
	const char *namespace = json_string_value(json_object_get(metadata, "namespace"));

	if (!before)
		return "create";
	return json_equal(before->spec, json_object_get(after, "spec")) &&
			       json_equal(before->labels, json_object_get(metadata, "labels")) &&
			       strcmp(before->namespace, namespace ? namespace : "") == 0
		       ? "none"
		       : "update";
}

static void refused(struct api_call *call, int error)
{
	if (error == -EDQUOT)
		api_error(call->response, 507, "too_many", NULL,
			"there are already %d %s, the most that are kept: delete some",
			REGISTRY_RESOURCES_MAX, kind_of(call)->plural);
	else
		api_error(call->response, 503, "busy", NULL,
			"too many changes wait to be stored: try again in a moment");
}

// Stores a normalized object, or says what that would change.
static void store_object(struct api_call *call, const struct resource *before, const json_t *object)
{
	const struct resource *res;
	bool dry;
	int rc;

	if (!dry_run(call, &dry) || !condition_met(call, before) || !routes_free(call, object))
		return;
	if (dry) {
		reply_dry(call, action_of(before, object), before, object);
		return;
	}
	rc = registry_put(
		call->api->registry, call->route->kind, object, call->request->wall_ns, &res);
	if (rc) {
		refused(call, rc);
		return;
	}
	api_wait(call);
	set_etag(call->response, res->version);
	api_reply(call, before ? 200 : 201, with_status(call, res));
}

// A node whose host is there would come back at once. False: the error has been made.
static bool may_delete(struct api_call *call, const char *key)
{
	const struct fleet_node *n =
		call->route->kind == KIND_NODE && call->api->fleet
			? fleet_node(call->api->fleet, key)
			: NULL;

	if (!n || !n->up)
		return true;
	api_error(call->response, 409, "node_up", NULL,
		"node %s is up: drain it and stop its host first, then delete it once it is down",
		key);
	return false;
}

static const struct resource *existing(struct api_call *call, char *key, size_t room)
{
	key_of(call, key, room);
	return registry_get(call->api->registry, call->route->kind, key);
}

void api_put(struct api_call *call)
{
	char key[520];
	json_t *body = parse_body(call), *object = body ? normalize(call, body) : NULL;

	// `before` stays valid: the registry holds it until the put replaces it, and it is not used
	// after.
	if (object)
		store_object(call, existing(call, key, sizeof(key)), object);
	json_decref(object);
	json_decref(body);
}

void api_patch(struct api_call *call)
{
	char key[520];
	const struct resource *before = existing(call, key, sizeof(key));
	json_t *patch, *old, *merged, *object;

	if (!before) {
		no_resource(call, key);
		return;
	}
	patch = parse_body(call);
	if (!patch)
		return;
	old = resource_json(before);
	merged = merge_patch(old, patch);
	object = normalize(call, merged);
	if (object)
		store_object(call, before, object);
	json_decref(object);
	json_decref(merged);
	json_decref(old);
	json_decref(patch);
}

void api_delete(struct api_call *call)
{
	char key[520];
	const struct resource *before = existing(call, key, sizeof(key));
	json_t *shown;
	bool dry;
	int rc;

	if (!before) {
		if (dry_run(call, &dry) && !api_delete_child(call, dry))
			no_resource(call, key);
		return;
	}
	if (!dry_run(call, &dry) || !condition_met(call, before) || !may_delete(call, key))
		return;
	if (dry) {
		reply_dry(call, "delete", before, NULL);
		return;
	}
	shown = resource_json(before);
	rc = registry_delete(call->api->registry, call->route->kind, key, call->request->wall_ns);
	api_wait(call);
	if (rc) {
		json_decref(shown);
		refused(call, rc);
		return;
	}
	api_reply(call, 200, shown);
}
