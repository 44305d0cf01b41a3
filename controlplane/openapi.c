// SPDX-License-Identifier: Apache-2.0
// openapi.json (OpenAPI 3.0.3), made from the table of routes and the tables of fields, so that it
// cannot say anything else than what is served and checked.
#include "controlplane/api_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *text(const char *value)
{
	return json_string(value);
}

static json_t *reference(const char *section, const char *name)
{
	char target[128];
	json_t *out = json_object();

	snprintf(target, sizeof(target), "#/components/%s/%s", section, name);
	json_object_set_new(out, "$ref", text(target));
	return out;
}

// ---- schemas of resources ----

static json_t *field_schema(const struct kind_info *kind, const struct field *f);

static const struct field *child_named(
	const struct kind_info *kind, const struct field *f, const char *suffix)
{
	const struct field *row;
	size_t len = strlen(f->path);

	for (size_t i = 0; (row = kind_field(kind, i)); i++)
		if (strncmp(row->path, f->path, len) == 0 && strcmp(row->path + len, suffix) == 0)
			return row;
	return NULL;
}

static bool hidden(const struct kind_info *kind, const struct field *f)
{
	return (f->flags & FIELD_NAMESPACED) && !kind->namespaced;
}

static json_t *object_schema(const struct kind_info *kind, const char *path)
{
	json_t *out = json_object(), *properties = json_object(), *required = json_array();
	const struct field *row;
	bool any = false;

	json_object_set_new(out, "type", text("object"));
	for (size_t i = 0; (row = kind_field(kind, i)); i++) {
		const char *dot = strrchr(row->path, '.'), *name = dot ? dot + 1 : row->path;

		if (!field_is_child(row, path) || hidden(kind, row))
			continue;
		any = true;
		json_object_set_new(properties, name, field_schema(kind, row));
		// The name may be left out, since the path says it.
		if ((row->flags & FIELD_REQUIRED) && strcmp(row->path, "metadata.name") != 0)
			json_array_append_new(required, text(name));
	}
	json_object_set_new(out, "properties", properties);
	if (any && !(strcmp(path, "status") == 0))
		json_object_set_new(out, "additionalProperties", json_false());
	if (json_array_size(required))
		json_object_set(out, "required", required);
	json_decref(required);
	return out;
}

static json_t *string_schema(const struct field *f)
{
	json_t *out = json_object(), *values = json_array();

	json_object_set_new(out, "type", text("string"));
	for (size_t i = 0; f->values && f->values[i]; i++)
		json_array_append_new(values, text(f->values[i]));
	if (f->values)
		json_object_set(out, "enum", values);
	json_decref(values);
	if (f->format && f->format->pattern)
		json_object_set_new(out, "pattern", text(f->format->pattern));
	if (!f->values && f->max) {
		json_object_set_new(out, "minLength", json_integer(f->min));
		json_object_set_new(out, "maxLength", json_integer(f->max));
	}
	return out;
}

static json_t *integer_schema(const struct field *f)
{
	json_t *out = json_object();

	json_object_set_new(out, "type", text("integer"));
	if (f->max) {
		json_object_set_new(out, "minimum", json_integer(f->min));
		json_object_set_new(out, "maximum", json_integer(f->max));
	}
	return out;
}

static json_t *size_schema(void)
{
	return json_pack("{s:[{s:s, s:i}, {s:s, s:s}]}", "oneOf", "type", "integer", "minimum", 0,
		"type", "string", "pattern", "^[0-9]+(Ki|Mi|Gi|Ti)?$");
}

static json_t *array_schema(const struct kind_info *kind, const struct field *f)
{
	json_t *out = json_object();

	json_object_set_new(out, "type", text("array"));
	json_object_set_new(out, "items", field_schema(kind, child_named(kind, f, "[]")));
	json_object_set_new(out, "minItems", json_integer(f->min));
	json_object_set_new(out, "maxItems", json_integer(f->max));
	return out;
}

static json_t *map_schema(const struct kind_info *kind, const struct field *f)
{
	json_t *out = json_object();

	json_object_set_new(out, "type", text("object"));
	json_object_set_new(
		out, "additionalProperties", field_schema(kind, child_named(kind, f, "{}")));
	json_object_set_new(out, "maxProperties", json_integer(f->max));
	return out;
}

static json_t *bare_schema(const struct kind_info *kind, const struct field *f)
{
	switch (f->type) {
	case FIELD_STRING:
		return string_schema(f);
	case FIELD_INT:
		return integer_schema(f);
	case FIELD_BOOL:
		return json_pack("{s:s}", "type", "boolean");
	case FIELD_SIZE:
		return size_schema();
	case FIELD_ARRAY:
		return array_schema(kind, f);
	case FIELD_MAP:
		return map_schema(kind, f);
	case FIELD_OBJECT:
		break;
	}
	return object_schema(kind, f->path);
}

static json_t *field_schema(const struct kind_info *kind, const struct field *f)
{
	json_t *out = bare_schema(kind, f), *def;

	json_object_set_new(out, "description", text(f->help));
	if (f->flags & FIELD_READ_ONLY)
		json_object_set_new(out, "readOnly", json_true());
	if (f->def) {
		def = json_loads(f->def, JSON_DECODE_ANY, NULL);
		json_object_set_new(out, "default", def);
	}
	return out;
}

static json_t *error_schema(void)
{
	return json_pack(
		"{s:s, s:[s], s:{s:{s:s, s:[s,s], s:{s:{s:s,s:s}, s:{s:s,s:s}, s:{s:s,s:s}}}}}",
		"type", "object", "required", "error", "properties", "error", "type", "object",
		"required", "code", "message", "properties", "code", "type", "string",
		"description", "A word for programs.", "message", "type", "string", "description",
		"A sentence that says what to do.", "field", "type", "string", "description",
		"The field or parameter concerned.");
}

static json_t *list_schema(const struct kind_info *kind)
{
	return json_pack("{s:s, s:[s,s], s:{s:{s:s, s:o}, s:{s:s,s:s}, s:{s:s,s:s}}}", "type",
		"object", "required", "items", "seq", "properties", "items", "type", "array",
		"items", reference("schemas", kind->name), "seq", "type", "integer", "description",
		"The last change that the list shows: follow events from here.", "next", "type",
		"string", "description", "There is more: pass it as `after`.");
}

static json_t *dry_run_schema(void)
{
	return json_pack("{s:s, s:{s:{s:s}, s:{s:s, s:[s,s,s,s]}, s:{s:s, s:{s:s, s:{s:{s:s}, "
			 "s:{}, s:{}}}}, "
			 "s:{s:s}, s:{s:s, s:s}}}",
		"type", "object", "properties", "dry_run", "type", "boolean", "action", "type",
		"string", "enum", "create", "update", "none", "delete", "changes", "type", "array",
		"items", "type", "object", "properties", "field", "type", "string", "from", "to",
		"object", "type", "object", "plan", "type", "object", "description",
		"Of functions and jobs: what the scheduler would do.");
}

static json_t *schemas(void)
{
	json_t *out = json_object();
	char name[64];

	for (enum kind kind = 0; kind < KIND_COUNT; kind++) {
		json_t *schema = object_schema(&kinds[kind], "");

		json_object_set_new(schema, "description", text(kinds[kind].help));
		json_object_set_new(out, kinds[kind].name, schema);
		snprintf(name, sizeof(name), "%sList", kinds[kind].name);
		json_object_set_new(out, name, list_schema(&kinds[kind]));
	}
	json_object_set_new(out, "Error", error_schema());
	json_object_set_new(out, "DryRun", dry_run_schema());
	return out;
}

// ---- operations ----

static json_t *content(const char *type, json_t *schema)
{
	return json_pack("{s:{s:{s:o}}}", "content", type, "schema", schema);
}

static json_t *answer(const char *description, const char *type, json_t *schema)
{
	json_t *out = content(type, schema);

	json_object_set_new(out, "description", text(description));
	return out;
}

static json_t *error_answer(const char *description)
{
	return answer(description, "application/json", reference("schemas", "Error"));
}

static json_t *path_parameter(const char *name)
{
	return json_pack("{s:s, s:s, s:b, s:{s:s, s:s}}", "name", name, "in", "path", "required", 1,
		"schema", "type", "string", "pattern", format_name.pattern);
}

static json_t *header_parameter(const char *name, const char *help)
{
	return json_pack("{s:s, s:s, s:s, s:{s:s}}", "name", name, "in", "header", "description",
		help, "schema", "type", "string");
}

// Does something rather than writes a resource.
static bool acts(const struct api_route *route)
{
	return strcmp(route->method, "POST") == 0;
}

static json_t *parameters(const struct api_route *route)
{
	json_t *out = json_array();

	if (strstr(route->pattern, "{namespace}"))
		json_array_append_new(out, path_parameter("namespace"));
	if (strstr(route->pattern, "{name}"))
		json_array_append_new(out, path_parameter("name"));
	for (const struct api_param *p = route->params; p && p->name; p++)
		json_array_append_new(
			out, json_pack("{s:s, s:s, s:s, s:{s:s}}", "name", p->name, "in", "query",
				     "description", p->help, "schema", "type", p->type));
	if (route->kind != KIND_COUNT && strcmp(route->method, "GET") != 0 && !acts(route)) {
		json_array_append_new(
			out, header_parameter(
				     "If-Match", "Only if it is still at this version (an ETag)."));
		json_array_append_new(
			out, header_parameter("If-None-Match", "*: only if there is none yet."));
	}
	return out;
}

static json_t *good_schema(const struct api_route *route)
{
	char name[64];

	if (route->body == API_BODY_DISPATCH)
		return json_pack("{s:s, s:{s:{s:s}, s:{s:s, s:s}, s:{s:s, s:s}}}", "type", "object",
			"properties", "namespace", "type", "string", "job", "type", "string",
			"description", "The job that was made.", "created", "type", "boolean",
			"description", "False: it was there, by its token.");
	if (route->kind == KIND_COUNT || acts(route))
		return json_pack("{s:s}", "type", route->type ? "string" : "object");
	snprintf(name, sizeof(name), "%s%s", kinds[route->kind].name,
		strchr(route->pattern, '{') ? "" : "List");
	return reference("schemas", name);
}

static json_t *responses(const struct api_route *route)
{
	json_t *out = json_object(), *good = good_schema(route);
	bool writes = strcmp(route->method, "GET") != 0;

	if (writes && !acts(route))
		good = json_pack("{s:[o,o]}", "oneOf", good, reference("schemas", "DryRun"));
	json_object_set_new(out, "200",
		answer(writes ? "Done, or what would change." : route->summary,
			route->type ? route->type : "application/json", good));
	if (strcmp(route->method, "PUT") == 0 || route->body == API_BODY_DISPATCH)
		json_object_set_new(
			out, "201", answer("Created.", "application/json", good_schema(route)));
	json_object_set_new(out, "400", error_answer("A parameter or a field is wrong."));
	if (strstr(route->pattern, "{name}") && strcmp(route->method, "PUT") != 0)
		json_object_set_new(out, "404", error_answer("There is none of this name."));
	if (acts(route))
		json_object_set_new(out, "409", error_answer("Not as it is now."));
	if (acts(route))
		json_object_set_new(out, "503", error_answer("Not now: try again later."));
	if (writes && !acts(route)) {
		json_object_set_new(
			out, "409", error_answer("A route or name belongs to another resource."));
		json_object_set_new(out, "412", error_answer("It is at another version."));
	}
	if (writes) {
		json_object_set_new(out, "413", error_answer("The body is longer than 1 MiB."));
		json_object_set_new(
			out, "500", error_answer("It could not be stored; nothing was changed."));
		json_object_set_new(
			out, "507", error_answer("The disk is full; nothing was changed."));
	}
	if (route->handle == api_events)
		json_object_set_new(
			out, "410", error_answer("Such old events are no longer kept."));
	if (route->handle == api_health)
		json_object_set_new(out, "503",
			answer("Changes cannot be stored.", "application/json",
				json_pack("{s:s}", "type", "object")));
	return out;
}

static json_t *dispatch_schema(void)
{
	return json_pack("{s:s, s:{s:{s:s, s:s}, s:{s:s, s:s}, s:{s:s, s:{s:s}, s:s}, s:{s:s, s:s}}, "
			 "s:b}",
		"type", "object", "properties", "payload", "type", "string", "description",
		"The payload's bytes as Base64.", "text", "type", "string", "description",
		"The payload as text.", "meta", "type", "object", "additionalProperties", "type",
		"string", "description", "What the template asks for.", "token", "type", "string",
		"description", "A second dispatch with the same token makes nothing.",
		"additionalProperties", 0);
}

static json_t *deployment_schema(void)
{
	return json_pack("{s:s, s:[s], s:{s:{s:s, s:[s,s,s,s]}}, s:b}", "type", "object",
		"required", "action", "properties", "action", "type", "string", "enum", "promote",
		"pause", "resume", "fail", "additionalProperties", 0);
}

static json_t *request_body(const struct api_route *route)
{
	json_t *body = route->body == API_BODY_DISPATCH
			       ? content("application/json", dispatch_schema())
		       : route->body == API_BODY_DEPLOYMENT
			       ? content("application/json", deployment_schema())
		       : route->body == API_BODY_PATCH
			       ? content("application/merge-patch+json",
					 json_pack("{s:s}", "type", "object"))
			       : content("application/json",
					 reference("schemas", kinds[route->kind].name));

	json_object_set_new(body, "required", json_true());
	return body;
}

static json_t *operation(const struct api_route *route)
{
	json_t *out = json_object();
	char id[128];
	size_t n;

	n = (size_t)snprintf(id, sizeof(id), "%s%s", route->method, route->pattern);
	for (size_t i = 0; i < n && i < sizeof(id) - 1; i++)
		if (strchr("/{}.", id[i]))
			id[i] = '_';
	json_object_set_new(out, "operationId", text(id));
	json_object_set_new(out, "summary", text(route->summary));
	json_object_set_new(out, "tags",
		json_pack(
			"[s]", route->kind == KIND_COUNT ? "observe" : kinds[route->kind].plural));
	json_object_set_new(out, "parameters", parameters(route));
	if (route->body != API_BODY_NONE)
		json_object_set_new(out, "requestBody", request_body(route));
	json_object_set_new(out, "responses", responses(route));
	return out;
}

static json_t *paths(void)
{
	json_t *out = json_object();

	for (size_t i = 0; i < api_route_count; i++) {
		const struct api_route *route = &api_routes[i];
		json_t *path = json_object_get(out, route->pattern);
		char method[16];

		if (!path) {
			path = json_object();
			json_object_set_new(out, route->pattern, path);
		}
		snprintf(method, sizeof(method), "%s", route->method);
		for (char *p = method; *p; p++)
			*p = (char)(*p | 0x20);
		json_object_set_new(path, method, operation(route));
	}
	return out;
}

char *openapi_text(const char *version)
{
	json_t *out = json_pack("{s:s, s:{s:s, s:s, s:s}, s:[{s:s, s:s}], s:o, s:{s:o}}", "openapi",
		"3.0.3", "info", "title", "Penstock control socket", "version", version,
		"description",
		"HTTP/1.1 and JSON on the Unix socket /run/penstock/control.sock. Errors carry a "
		"code, a "
		"sentence that says what to do and the field concerned.",
		"servers", "url", "http://localhost", "description",
		"curl --unix-socket /run/penstock/control.sock http://localhost/v1/health", "paths",
		paths(), "components", "schemas", schemas());
	char *dump = json_dumps(out, JSON_INDENT(1)), *line = NULL;

	json_decref(out);
	if (!dump || asprintf(&line, "%s\n", dump) < 0)
		abort();  // out of memory
	free(dump);
	return line;
}
