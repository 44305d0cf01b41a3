// SPDX-License-Identifier: Apache-2.0
// Routes of resources and the services they make. Pure. A resource that was kept from a newer
// version may lack fields: nothing here trusts that they are there.
#include "controlplane/discovery.h"

#include <stdio.h>
#include <string.h>

bool route_id_of(struct route_id *id, const char *namespace, const char *route)
{
	const char *slash = strchr(route, '/');
	size_t len = slash ? (size_t)(slash - route) : strlen(namespace);

	if (!format_route.valid(route) || len >= sizeof(id->namespace))
		return false;
	snprintf(id->namespace, sizeof(id->namespace), "%.*s", (int)len, slash ? route : namespace);
	route = slash ? slash + 1 : route;
	snprintf(id->route, sizeof(id->route), "%s", route);
	id->prefix = route[strlen(route) - 1] == '.';
	return true;
}

void discovery_routes(const struct resource *res,
	void (*each)(void *user, const struct resource *res, const struct route_id *id), void *user)
{
	const json_t *routes = json_object_get(res->spec, "routes");
	struct route_id id;

	if (res->kind == KIND_FUNCTION && route_id_of(&id, res->namespace, res->name))
		each(user, res, &id);
	if (res->kind != KIND_ENDPOINT)
		return;
	for (size_t i = 0; i < json_array_size(routes); i++) {
		const char *route = json_string_value(json_array_get(routes, i));

		if (route && route_id_of(&id, res->namespace, route))
			each(user, res, &id);
	}
}

// Adds an endpoint's addresses; one that another endpoint brought already is there once.
static void add_targets(json_t *targets, json_t *seen, const struct resource *res)
{
	const json_t *addresses = json_object_get(res->spec, "addresses");

	for (size_t i = 0; i < json_array_size(addresses); i++) {
		json_t *address = json_array_get(addresses, i), *target;
		const char *text = json_string_value(address);

		if (!text || json_object_get(seen, text))
			continue;
		if (json_array_size(targets) == DISCOVERY_TARGETS_MAX)
			return;
		json_object_set_new(seen, text, json_true());
		target = json_object();
		json_object_set_new(target, "name", json_string(res->name));
		json_object_set(target, "address", address);
		json_array_append_new(targets, target);
	}
}

json_t *discovery_service(const struct route_id *id, const struct resource *const *declared_by,
	size_t count, json_t *hosts)
{
	json_t *out = json_object(), *targets = json_array(), *seen = json_object();
	bool fragments = true, lease = false;
	const char *kind = "endpoint";
	json_int_t timeout_ms = 0;

	for (size_t i = 0; i < count; i++) {
		const struct resource *res = declared_by[i];
		const json_t *spec = res->spec;

		if (res->kind == KIND_FUNCTION) {
			kind = "function";
			timeout_ms = json_integer_value(
				json_object_get(json_object_get(spec, "call"), "timeout_ms"));
			json_array_extend(targets, hosts);
			continue;
		}
		// The careful value of each: one server that cannot reassemble is enough.
		fragments = fragments && !json_is_false(json_object_get(spec, "fragments"));
		lease = lease || json_is_true(json_object_get(spec, "lease"));
		add_targets(targets, seen, res);
	}
	json_decref(seen);
	json_object_set_new(out, "namespace", json_string(id->namespace));
	json_object_set_new(out, "route", json_string(id->route));
	json_object_set_new(out, "prefix", json_boolean(id->prefix));
	json_object_set_new(out, "kind", json_string(kind));
	json_object_set_new(out, "fragments", json_boolean(fragments));
	json_object_set_new(out, "lease", json_boolean(lease));
	json_object_set_new(out, "timeout_ms", json_integer(timeout_ms));
	json_object_set_new(out, "targets", targets);
	return out;
}

// ---- conflicts ----

static bool endpoint_conflicts(const struct registry *r, const json_t *object, char *taken_by,
	size_t taken_room, char *field, size_t field_room)
{
	const json_t *routes = json_object_get(json_object_get(object, "spec"), "routes");
	const char *namespace = json_string_value(
		json_object_get(json_object_get(object, "metadata"), "namespace"));

	for (size_t i = 0; i < json_array_size(routes); i++) {
		const char *route = json_string_value(json_array_get(routes, i));
		struct route_id id;
		char key[sizeof(id.namespace) + sizeof(id.route)];

		if (!route_id_of(&id, namespace, route) || id.prefix)
			continue;
		snprintf(key, sizeof(key), "%s/%s", id.namespace, id.route);
		if (!registry_get(r, KIND_FUNCTION, key))
			continue;
		snprintf(taken_by, taken_room, "function %s", key);
		snprintf(field, field_room, "spec.routes[%zu]", i);
		return true;
	}
	return false;
}

// Compares texts and makes no route_id: this looks at every route of every endpoint.
static bool declares(const struct resource *res, const char *namespace, const char *name)
{
	const json_t *routes = json_object_get(res->spec, "routes");
	bool same_namespace = strcmp(res->namespace, namespace) == 0;
	size_t len = strlen(namespace);

	for (size_t i = 0; i < json_array_size(routes); i++) {
		const char *route = json_string_value(json_array_get(routes, i));

		if (!route)
			continue;
		if (same_namespace && strcmp(route, name) == 0)
			return true;
		if (strncmp(route, namespace, len) == 0 && route[len] == '/' &&
			strcmp(route + len + 1, name) == 0)
			return true;
	}
	return false;
}

static bool function_conflicts(const struct registry *r, const json_t *object, char *taken_by,
	size_t taken_room, char *field, size_t field_room)
{
	const json_t *metadata = json_object_get(object, "metadata");
	const char *namespace = json_string_value(json_object_get(metadata, "namespace"));
	const char *name = json_string_value(json_object_get(metadata, "name"));
	const struct resource *res;

	for (size_t i = 0; (res = registry_at(r, KIND_ENDPOINT, i)); i++) {
		if (!declares(res, namespace, name))
			continue;
		snprintf(taken_by, taken_room, "endpoint %s", res->name);
		snprintf(field, field_room, "metadata.name");
		return true;
	}
	return false;
}

// Functions and jobs share the names of the scheduler and of instances.
static bool name_taken(const struct registry *r, enum kind kind, const json_t *object,
	char *taken_by, size_t taken_room, char *field, size_t field_room)
{
	enum kind other = kind == KIND_JOB ? KIND_FUNCTION : KIND_JOB;
	const json_t *metadata = json_object_get(object, "metadata");
	char key[130];

	snprintf(key, sizeof(key), "%s/%s",
		json_string_value(json_object_get(metadata, "namespace")),
		json_string_value(json_object_get(metadata, "name")));
	if (!registry_get(r, other, key))
		return false;
	snprintf(taken_by, taken_room, "%s %s", kinds[other].singular, key);
	snprintf(field, field_room, "metadata.name");
	return true;
}

bool discovery_conflict(const struct registry *r, enum kind kind, const json_t *object,
	char *taken_by, size_t taken_room, char *field, size_t field_room)
{
	if (kind == KIND_ENDPOINT)
		return endpoint_conflicts(r, object, taken_by, taken_room, field, field_room);
	if (kind != KIND_FUNCTION && kind != KIND_JOB)
		return false;
	return name_taken(r, kind, object, taken_by, taken_room, field, field_room) ||
	       (kind == KIND_FUNCTION &&
		       function_conflicts(r, object, taken_by, taken_room, field, field_room));
}
