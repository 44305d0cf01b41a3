// SPDX-License-Identifier: Apache-2.0
// openapi.json held against what is served: paths and methods in both directions, and answers
// against the schemas.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "test/unit/api_fixture.h"

// A path of the document with names put in.
static void concrete(const char *pattern, char *path, size_t room)
{
	size_t n = 0;

	for (; *pattern && n + 2 < room; pattern++) {
		if (*pattern != '{') {
			path[n++] = *pattern;
			continue;
		}
		path[n++] = pattern[1] == 'n' && pattern[3] == 'm' && pattern[5] == 's' ? 's' : 'x';
		pattern = strchr(pattern, '}');
	}
	path[n] = 0;
}

static void test_openapi_lists_exactly_what_is_served(void **state)
{
	struct fixture *f = *state;
	static const char *const methods[] = {
		"get", "put", "patch", "delete", "post", "options", "trace"};
	struct api_route_view route;
	json_t *document, *item;
	const char *pattern;
	size_t listed = 0;

	assert_int_equal(ask(f, "GET", "/v1/openapi.json", NULL), 200);
	document = json_incref(f->body);
	assert_string_equal(json_string_value(at(document, "openapi")), "3.0.3");
	// Every path and method that is listed is served, and none else on that path.
	json_object_foreach((json_t *)(uintptr_t)json_object_get(document, "paths"), pattern, item)
	{
		char path[100];

		concrete(pattern, path, sizeof(path));
		for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
			char method[16];
			unsigned status;

			for (size_t k = 0; k <= strlen(methods[i]); k++)
				method[k] = (char)(methods[i][k] & ~(methods[i][k] ? 0x20 : 0));
			status = ask(f, method, path, NULL);
			if (json_object_get(item, methods[i])) {
				listed++;
				if (status == 405 || (status == 404 && !strchr(pattern, '{')))
					fail_msg("%s %s is listed, but gives %u", method, pattern,
						status);
			} else if (status != 405) {
				fail_msg("%s %s is not listed, but gives %u", method, pattern,
					status);
			}
		}
	}
	// Every route that is served is listed.
	for (size_t i = 0; api_route_at(i, &route); i++) {
		char method[16];

		for (size_t k = 0; k <= strlen(route.method); k++)
			method[k] = (char)(route.method[k] | (route.method[k] ? 0x20 : 0));
		item = json_object_get(json_object_get(document, "paths"), route.pattern);
		if (!json_object_get(item, method))
			fail_msg("%s %s is served, but not listed", route.method, route.pattern);
		listed--;
	}
	assert_int_equal(listed, 0);
	json_decref(document);
}

static const json_t *resolve(const json_t *document, const json_t *schema)
{
	const char *ref = json_string_value(json_object_get(schema, "$ref"));

	return ref ? at(document, "components.schemas")
			       ? json_object_get(
					 json_object_get(json_object_get(document, "components"),
						 "schemas"),
					 strrchr(ref, '/') + 1)
			       : NULL
		   : schema;
}

static void check_references(const json_t *document, json_t *value)
{
	const char *key;
	json_t *child;
	size_t i;

	if (json_object_get(value, "$ref"))
		assert_non_null(resolve(document, value));
	json_object_foreach(value, key, child) check_references(document, child);
	json_array_foreach(value, i, child) check_references(document, child);
}

// As much of JSON schema as the document uses.
static void conforms(const json_t *document, const json_t *schema, json_t *value, const char *path)
{
	const char *type, *key;
	json_t *child;
	size_t i;
	char below[300];

	schema = resolve(document, schema);
	assert_non_null(schema);
	if (json_object_get(schema, "oneOf"))
		return;
	type = json_string_value(json_object_get(schema, "type"));
	if (!type)  // {}: anything
		return;
	if (strcmp(type, "object") == 0) {
		json_t *properties = json_object_get(schema, "properties");
		json_t *more = json_object_get(schema, "additionalProperties");

		if (!json_is_object(value))
			fail_msg("%s should be an object", path);
		json_object_foreach(value, key, child)
		{
			json_t *property = json_object_get(properties, key);

			snprintf(below, sizeof(below), "%s.%s", path, key);
			if (property)
				conforms(document, property, child, below);
			else if (json_is_object(more))
				conforms(document, more, child, below);
			else if (json_is_false(more))
				fail_msg("%s is not in the document", below);
		}
		json_array_foreach(json_object_get(schema, "required"), i,
			child) if (!json_object_get(value, json_string_value(child)))
			fail_msg("%s lacks %s", path, json_string_value(child));
	} else if (strcmp(type, "array") == 0) {
		if (!json_is_array(value))
			fail_msg("%s should be an array", path);
		json_array_foreach(value, i, child)
		{
			snprintf(below, sizeof(below), "%s[%zu]", path, i);
			conforms(document, json_object_get(schema, "items"), child, below);
		}
	} else if (strcmp(type, "string") == 0    ? !json_is_string(value)
		   : strcmp(type, "integer") == 0 ? !json_is_integer(value)
						  : !json_is_boolean(value)) {
		fail_msg("%s should be of type %s", path, type);
	}
}

static void test_openapi_describes_the_answers(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *method, *target, *body, *schema;
	} cases[] = {
		{"PUT", "/v1/endpoints/orders", ORDERS, "Endpoint"},
		{"PUT", "/v1/functions/default/echo",
			"{\"metadata\":{\"labels\":{\"a\":\"b\"}},\"spec\":{\"runtime\":\"oci\","
			"\"image\":\"x@sha256:"
			"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\","
			"\"env\":{\"A\":\"b\"},"
			"\"resources\":{\"memory\":1048576}}}",
			"Function"},
		{"PUT", "/v1/gateways/gw1",
			"{\"spec\":{\"ports\":[{\"name\":\"p0\",\"addresses\":[\"10.0.0.2/"
			"24\"],\"routes\":[{"
			"\"to\":\"default\",\"via\":\"10.0.0.1\"}]}]}}",
			"Gateway"},
		{"GET", "/v1/endpoints/orders", NULL, "Endpoint"},
		{"GET", "/v1/gateways/gw1", NULL, "Gateway"},
		{"GET", "/v1/functions", NULL, "FunctionList"},
		{"GET", "/v1/endpoints?limit=1", NULL, "EndpointList"},
		{"GET", "/v1/nodes", NULL, "NodeList"},
		{"GET", "/v1/nodes/x", NULL, "Error"},
		{"PUT", "/v1/gateways/gw1", "{\"x\":1}", "Error"},
		{"PUT", "/v1/gateways/gw1?dry_run=1", "{}", "DryRun"},
	};
	json_t *document;

	assert_int_equal(ask(f, "GET", "/v1/openapi.json", NULL), 200);
	document = json_incref(f->body);
	check_references(document, document);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ask(f, cases[i].method, cases[i].target, cases[i].body);
		conforms(document,
			json_object_get(
				json_object_get(json_object_get(document, "components"), "schemas"),
				cases[i].schema),
			f->body, cases[i].schema);
	}
	json_decref(document);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_openapi_lists_exactly_what_is_served),
		TEST(test_openapi_describes_the_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
