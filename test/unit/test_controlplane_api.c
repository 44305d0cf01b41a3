// SPDX-License-Identifier: Apache-2.0
// The API as a function from request to response: every route, conditions, dry runs, pages, events, errors, what
// happens when the store refuses; and openapi.json held against what is served.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "controlplane/api.h"
#include "controlplane/publish.h"
#include "controlplane/telemetry.h"

struct fixture {
	struct store *store;
	struct registry registry;
	struct publisher publisher;
	struct telemetry *telemetry;
	struct api api;
	struct api_response last;
	json_t *body;  // of the last response, if it is JSON
};

static void on_changed(void *user, const struct change *c)
{
	publisher_apply(&((struct fixture *)user)->publisher, c);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->store = store_mem_new();
	assert_int_equal(registry_init(&f->registry, f->store), 0);
	publisher_init(&f->publisher, &f->registry);
	registry_observe(&f->registry, on_changed, f);
	f->telemetry = telemetry_new(1);
	api_init(&f->api, &f->registry, f->telemetry, &f->publisher, "0.0.0", 1);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	json_decref(f->body);
	api_response_clear(&f->last);
	api_fini(&f->api);
	telemetry_destroy(f->telemetry);
	publisher_fini(&f->publisher);
	registry_fini(&f->registry);
	store_close(f->store);
	free(f);
	return 0;
}

// ---- asking ----

static unsigned ask_with(struct fixture *f, struct api_request *q, const char *method, const char *target,
	const char *body)
{
	char *copy = strdup(target), *at = strchr(copy, '?');

	q->method = method;
	q->path = copy;
	q->body = body;
	q->body_len = body ? strlen(body) : 0;
	q->now = 1000000;
	q->wall_ns = (ns_t)1700000000 * NS_PER_SEC;
	if (at)
		*at++ = 0;
	while (at && *at) {
		char *value, *next = strchr(at, '&');

		if (next)
			*next++ = 0;
		value = strchr(at, '=');
		if (value)
			*value++ = 0;
		q->query[q->query_count++] = (struct api_pair){at, value};
		at = next;
	}
	api_response_clear(&f->last);
	json_decref(f->body);
	api_handle(&f->api, q, &f->last);
	f->body = f->last.body ? json_loadb(f->last.body, f->last.body_len, 0, NULL) : NULL;
	free(copy);
	return f->last.status;
}

static unsigned ask(struct fixture *f, const char *method, const char *target, const char *body)
{
	struct api_request q = {0};

	return ask_with(f, &q, method, target, body);
}

static unsigned ask_if(struct fixture *f, const char *method, const char *target, const char *body,
	const char *if_match, const char *if_none_match)
{
	struct api_request q = {.if_match = if_match, .if_none_match = if_none_match};

	return ask_with(f, &q, method, target, body);
}

static void flush(struct fixture *f)
{
	assert_int_equal(registry_flush(&f->registry), 0);
}

// "metadata.name", "items.0.spec"
static const json_t *at(const json_t *json, const char *path)
{
	char part[64];

	while (*path && json) {
		size_t len = strcspn(path, ".");

		snprintf(part, sizeof(part), "%.*s", (int)len, path);
		json = json_is_array(json) ? json_array_get(json, (size_t)atoi(part))
					   : json_object_get(json, part);
		path += len + (path[len] == '.');
	}
	return json;
}

static const char *text_at(const struct fixture *f, const char *path)
{
	const char *text = json_string_value(at(f->body, path));

	return text ? text : "(none)";
}

static json_int_t int_at(const struct fixture *f, const char *path)
{
	const json_t *value = at(f->body, path);

	assert_true(json_is_integer(value));
	return json_integer_value(value);
}

static void assert_error(const struct fixture *f, const char *code, const char *field, const char *part)
{
	assert_string_equal(f->last.content_type, "application/json");
	assert_string_equal(text_at(f, "error.code"), code);
	assert_string_equal(text_at(f, "error.field"), field ? field : "(none)");
	if (!strstr(text_at(f, "error.message"), part))
		fail_msg("'%s' lacks '%s'", text_at(f, "error.message"), part);
}

#define ORDERS "{\"spec\":{\"addresses\":[\"10.77.0.1:7000\"],\"routes\":[\"orders\"]}}"
#define ECHO "{\"spec\":{\"command\":[\"echo\"]}}"

// ---- resources ----

static void test_life_of_an_endpoint(void **state)
{
	struct fixture *f = *state;
	json_int_t version;

	assert_int_equal(ask(f, "GET", "/v1/endpoints/orders", NULL), 404);
	assert_error(f, "not_found", NULL, "create it with PUT");
	assert_int_equal(ask(f, "PUT", "/v1/endpoints/orders", ORDERS), 201);
	assert_true(f->last.wait_seq > f->registry.durable);  // not told before it is stored
	version = int_at(f, "metadata.version");
	assert_string_equal(text_at(f, "kind"), "Endpoint");
	assert_string_equal(text_at(f, "apiVersion"), "penstock/v1");
	assert_string_equal(text_at(f, "metadata.namespace"), "default");
	assert_string_equal(text_at(f, "metadata.created"), "2023-11-14T22:13:20.000Z");
	flush(f);
	assert_int_equal(ask(f, "GET", "/v1/endpoints/orders", NULL), 200);
	assert_int_equal(f->last.wait_seq, 0);
	assert_int_equal(int_at(f, "metadata.version"), version);
	assert_string_equal(text_at(f, "status.addresses.0.address"), "10.77.0.1:7000");
	// What was got can be put: no change, no new version.
	{
		char *text = strndup(f->last.body, f->last.body_len);

		assert_int_equal(ask(f, "PUT", "/v1/endpoints/orders", text), 200);
		assert_int_equal(int_at(f, "metadata.version"), version);
		free(text);
	}
	assert_int_equal(
		ask(f, "PATCH", "/v1/endpoints/orders", "{\"spec\":{\"fragments\":false}}"), 200);
	assert_true(json_is_false(at(f->body, "spec.fragments")));
	assert_string_equal(text_at(f, "spec.routes.0"), "orders");
	assert_int_equal(int_at(f, "metadata.version"), version + 1);
	assert_int_equal(ask(f, "PATCH", "/v1/endpoints/orders", "{\"spec\":{\"fragments\":null}}"), 200);
	assert_true(json_is_true(at(f->body, "spec.fragments")));
	assert_int_equal(ask(f, "DELETE", "/v1/endpoints/orders", NULL), 200);
	assert_string_equal(text_at(f, "metadata.name"), "orders");
	assert_int_equal(ask(f, "DELETE", "/v1/endpoints/orders", NULL), 404);
	assert_int_equal(ask(f, "GET", "/v1/endpoints/orders", NULL), 404);
}

static void test_functions_live_in_namespaces(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ask(f, "PUT", "/v1/functions/default/echo", ECHO), 201);
	assert_int_equal(ask(f, "PUT", "/v1/functions/team/echo", ECHO), 201);
	assert_int_equal(ask(f, "GET", "/v1/functions/team/echo", NULL), 200);
	assert_string_equal(text_at(f, "metadata.namespace"), "team");
	assert_int_equal(ask(f, "GET", "/v1/functions?namespace=team", NULL), 200);
	assert_int_equal(json_array_size(at(f->body, "items")), 1);
	assert_int_equal(ask(f, "GET", "/v1/functions/echo", NULL), 404);
	assert_error(f, "not_found", NULL, "/v1/functions/default/echo");
	assert_int_equal(ask(f, "PUT", "/v1/functions/Team/echo", ECHO), 400);
	assert_error(f, "invalid_field", "metadata.namespace", "small letters");
}

static void test_path_and_body_must_agree(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ask(f, "PUT", "/v1/gateways/gw1", "{\"metadata\":{\"name\":\"gw2\"}}"), 400);
	assert_error(f, "invalid_field", "metadata.name", "must be gw1 as in the path");
	assert_int_equal(ask(f, "PUT", "/v1/functions/a/x",
				 "{\"metadata\":{\"namespace\":\"b\"},\"spec\":{\"command\":[\"x\"]}}"),
		400);
	assert_error(f, "invalid_field", "metadata.namespace", "must be a as in the path");
	assert_int_equal(ask(f, "PUT", "/v1/gateways/gw1", "{\"kind\":\"Endpoint\"}"), 400);
	assert_error(f, "invalid_field", "kind", "must be Gateway");
	assert_int_equal(ask(f, "PUT", "/v1/gateways/gw1", "{\"metadata\":7}"), 400);
	assert_error(f, "invalid_field", "metadata", "must be an object");
	assert_int_equal(ask(f, "PUT", "/v1/gateways/gw1", "{\"metadata\":null}"), 201);
	assert_int_equal(ask(f, "PATCH", "/v1/gateways/gw1", "{\"metadata\":{\"name\":\"gw2\"}}"), 400);
	assert_error(f, "invalid_field", "metadata.name", "cannot be renamed");
}

static void test_bodies_that_are_no_resource(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *body, *part;
	} cases[] = {
		{"", "the body is empty"},
		{"{", "line 1, column 1"},
		{"{\"a\":1,\n \"a\":2}", "line 2"},
		{"[]", "must be a JSON object"},
		{"{} x", "end of file expected"},
		{"\"\\u0000\"", "not JSON"},
		{"\xff\xfe", "not JSON"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(ask(f, "PUT", "/v1/gateways/gw1", cases[i].body), 400);
		assert_error(f, "invalid_json", NULL, cases[i].part);
	}
	ask(f, "PUT", "/v1/gateways/gw1", "{}");
	assert_int_equal(ask(f, "PATCH", "/v1/gateways/gw1", "[1]"), 400);
	assert_error(f, "invalid_json", NULL, "object");
}

// RFC 9110, 13.1.1 and 13.1.2.
static void test_conditions(void **state)
{
	struct fixture *f = *state;
	char etag[24], list[80];

	assert_int_equal(ask_if(f, "PUT", "/v1/gateways/gw1", "{}", "*", NULL), 412);
	assert_error(f, "version_mismatch", NULL, "leave it out to create");
	assert_int_equal(ask_if(f, "PUT", "/v1/gateways/gw1", "{}", NULL, "*"), 201);
	strcpy(etag, f->last.etag);
	assert_int_equal(etag[0], '"');
	assert_int_equal(ask_if(f, "PUT", "/v1/gateways/gw1", "{}", NULL, "*"), 412);
	snprintf(list, sizeof(list), "\"1234567\", %s", etag);
	assert_int_equal(ask_if(f, "PATCH", "/v1/gateways/gw1",
				 "{\"spec\":{\"limits\":{\"connections_per_address\":5}}}", list, NULL),
		200);
	assert_string_not_equal(f->last.etag, etag);
	// Who has seen only the old version is told so, whatever it wants.
	assert_int_equal(ask_if(f, "PUT", "/v1/gateways/gw1", "{}", etag, NULL), 412);
	assert_error(f, "version_mismatch", NULL, "changed meanwhile");
	assert_int_equal(ask_if(f, "PATCH", "/v1/gateways/gw1", "{}", etag, NULL), 412);
	assert_int_equal(ask_if(f, "DELETE", "/v1/gateways/gw1", NULL, etag, NULL), 412);
	snprintf(list, sizeof(list), "W/%s", f->last.etag);
	assert_int_equal(ask_if(f, "DELETE", "/v1/gateways/gw1", NULL, "*", NULL), 200);
}

static void test_dry_run_changes_nothing(void **state)
{
	struct fixture *f = *state;
	uint64_t seq;

	assert_int_equal(ask(f, "PUT", "/v1/endpoints/orders?dry_run=1", ORDERS), 200);
	assert_string_equal(text_at(f, "action"), "create");
	assert_true(json_is_true(at(f->body, "dry_run")));
	assert_int_equal(registry_count(&f->registry, KIND_ENDPOINT), 0);
	ask(f, "PUT", "/v1/endpoints/orders", ORDERS);
	seq = f->registry.seq;
	assert_int_equal(ask(f, "PUT", "/v1/endpoints/orders?dry_run", ORDERS), 200);
	assert_string_equal(text_at(f, "action"), "none");
	assert_int_equal(json_array_size(at(f->body, "changes")), 0);
	assert_int_equal(ask(f, "PATCH", "/v1/endpoints/orders?dry_run=true",
				 "{\"spec\":{\"lease\":true},\"metadata\":{\"labels\":{\"a\":\"b\"}}}"),
		200);
	assert_string_equal(text_at(f, "action"), "update");
	assert_int_equal(json_array_size(at(f->body, "changes")), 2);
	assert_string_equal(text_at(f, "changes.0.field"), "metadata.labels.a");
	assert_string_equal(text_at(f, "changes.1.field"), "spec.lease");
	assert_true(json_is_false(at(f->body, "changes.1.from")));
	assert_int_equal(ask(f, "DELETE", "/v1/endpoints/orders?dry_run=1", NULL), 200);
	assert_string_equal(text_at(f, "action"), "delete");
	assert_int_equal(ask(f, "PUT", "/v1/endpoints/x?dry_run=1", "{\"spec\":{}}"), 400);
	assert_int_equal(ask(f, "PUT", "/v1/endpoints/orders?dry_run=maybe", ORDERS), 400);
	assert_error(f, "invalid_query", "dry_run", "must be 1 or 0");
	assert_int_equal(f->registry.seq, seq);
	assert_int_equal(registry_count(&f->registry, KIND_ENDPOINT), 1);
}

static void test_a_route_has_one_kind_of_owner(void **state)
{
	struct fixture *f = *state;

	ask(f, "PUT", "/v1/endpoints/orders", ORDERS);
	assert_int_equal(ask(f, "PUT", "/v1/functions/default/orders", ECHO), 409);
	assert_error(f, "route_taken", "metadata.name", "endpoint orders");
	assert_int_equal(ask(f, "PUT", "/v1/functions/default/orders?dry_run=1", ECHO), 409);
	assert_int_equal(ask(f, "PUT", "/v1/functions/team/orders", ECHO), 201);
	assert_int_equal(ask(f, "PUT", "/v1/endpoints/more",
				 "{\"spec\":{\"addresses\":[\"10.0.0.1:1\"],\"routes\":[\"x\",\"team/orders\"]}}"),
		409);
	assert_error(f, "route_taken", "spec.routes[1]", "function team/orders");
	// A prefix that covers it is none of its business: exact routes win.
	assert_int_equal(ask(f, "PUT", "/v1/endpoints/more",
				 "{\"spec\":{\"addresses\":[\"10.0.0.1:1\"],\"routes\":[\"team/orders.\"]}}"),
		201);
}

// ---- lists ----

static void put_many(struct fixture *f, int n)
{
	char path[64], body[200];

	for (int i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "/v1/endpoints/e%03d", i);
		snprintf(body, sizeof(body),
			"{\"metadata\":{\"labels\":{\"tier\":\"%s\",\"n\":\"%d\"}},\"spec\":{\"addresses\":"
			"[\"10.0.0.1:1\"],\"routes\":[\"r%d\"]}}",
			i % 2 ? "odd" : "even", i, i);
		assert_int_equal(ask(f, "PUT", path, body), 201);
	}
	flush(f);
}

static void test_pages(void **state)
{
	struct fixture *f = *state;
	char target[100] = "/v1/endpoints?limit=7", last[64] = "";
	int count = 0, pages = 0;

	put_many(f, 40);
	for (;;) {
		const char *next;

		assert_int_equal(ask(f, "GET", target, NULL), 200);
		pages++;
		for (size_t i = 0; i < json_array_size(at(f->body, "items")); i++) {
			const char *name = json_string_value(
				at(json_array_get(at(f->body, "items"), i), "metadata.name"));

			assert_true(strcmp(name, last) > 0);
			strcpy(last, name);
			count++;
		}
		next = json_string_value(at(f->body, "next"));
		if (!next)
			break;
		snprintf(target, sizeof(target), "/v1/endpoints?limit=7&after=%s", next);
	}
	assert_int_equal(count, 40);
	assert_int_equal(pages, 6);
	// Exactly at the end: no further page is promised.
	ask(f, "GET", "/v1/endpoints?limit=40", NULL);
	assert_null(at(f->body, "next"));
	assert_int_equal(int_at(f, "seq"), f->registry.seq);
}

static void test_labels(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *query;
		size_t count;
	} cases[] = {{"label=tier=odd", 20}, {"label=tier", 40}, {"label=tier=odd,n=7", 1},
		{"label=tier=even,n=7", 0}, {"label=nothing", 0}, {"label=n=", 0}, {"label=", 40},
		{"namespace=default", 40}, {"namespace=other", 0}};
	char target[100];

	put_many(f, 40);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(target, sizeof(target), "/v1/endpoints?%s", cases[i].query);
		assert_int_equal(ask(f, "GET", target, NULL), 200);
		assert_int_equal(json_array_size(at(f->body, "items")), cases[i].count);
	}
	assert_int_equal(ask(f, "GET", "/v1/gateways?namespace=x", NULL), 400);
	assert_error(f, "invalid_query", "namespace", "leave it out");
}

static void test_bad_queries(void **state)
{
	struct fixture *f = *state;
	static const char *const targets[] = {"/v1/endpoints?limit=0", "/v1/endpoints?limit=5001",
		"/v1/endpoints?limit=-1", "/v1/endpoints?limit=x", "/v1/endpoints?limit", "/v1/endpoints?limit=1x",
		"/v1/endpoints?limit=99999999999999999999", "/v1/endpoints?lable=x", "/v1/health?x=1",
		"/v1/events?after=-1"};

	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		assert_int_equal(ask(f, "GET", targets[i], NULL), 400);
		assert_string_equal(text_at(f, "error.code"), "invalid_query");
	}
}

static void test_nodes_and_instances_are_empty(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ask(f, "GET", "/v1/nodes", NULL), 200);
	assert_int_equal(json_array_size(at(f->body, "items")), 0);
	assert_true(json_is_array(at(f->body, "items")));
	assert_int_equal(ask(f, "GET", "/v1/instances?namespace=x", NULL), 200);
	assert_int_equal(ask(f, "GET", "/v1/nodes/n1", NULL), 404);
	assert_error(f, "not_found", NULL, "register themselves");
	assert_int_equal(ask(f, "PUT", "/v1/nodes/n1", "{}"), 405);
	assert_string_equal(f->last.allow, "GET");
}

// ---- paths and methods ----

static void test_wrong_methods_and_paths(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ask(f, "POST", "/v1/endpoints/orders", ORDERS), 405);
	assert_string_equal(f->last.allow, "GET, PUT, PATCH, DELETE");
	assert_error(f, "method_not_allowed", NULL, "use GET, PUT, PATCH, DELETE");
	assert_int_equal(ask(f, "DELETE", "/v1/endpoints", NULL), 405);
	assert_string_equal(f->last.allow, "GET");
	assert_int_equal(ask(f, "", "/v1/health", NULL), 405);
	assert_int_equal(ask(f, "HEAD", "/v1/health", NULL), 200);
	assert_int_equal(ask(f, "GET", "/endpoints", NULL), 404);
	assert_error(f, "not_found", NULL, "try /v1/endpoints");
	assert_int_equal(ask(f, "GET", "/v1/endpoints/", NULL), 404);
	assert_error(f, "not_found", NULL, "try /v1/endpoints");
	assert_int_equal(ask(f, "GET", "/v1/endpoints/a/b", NULL), 404);
	assert_int_equal(ask(f, "GET", "/", NULL), 404);
	assert_error(f, "not_found", NULL, "openapi.json");
	assert_int_equal(ask(f, "GET", "", NULL), 404);
	assert_int_equal(ask(f, "GET", "//v1/health", NULL), 404);
	assert_int_equal(ask(f, "GET", "/v1/functions//x", NULL), 404);
}

// ---- events ----

static void test_events(void **state)
{
	struct fixture *f = *state;
	char target[64];

	assert_int_equal(ask(f, "GET", "/v1/events", NULL), 200);
	assert_true(f->last.follow);
	assert_false(f->last.follow_more);
	assert_int_equal(f->last.follow_after, 0);
	assert_int_equal(ask(f, "GET", "/v1/events?follow=1&after=1", NULL), 200);
	assert_true(f->last.follow_more);
	assert_int_equal(f->last.follow_after, 1);
	ask(f, "PUT", "/v1/gateways/gw1", "{}");
	assert_int_equal(ask(f, "GET", "/v1/events", NULL), 200);
	assert_int_equal(f->last.wait_seq, f->registry.seq);  // so that a change of one's own is in it
	snprintf(target, sizeof(target), "/v1/events?after=%llu", (unsigned long long)f->registry.seq + 1);
	assert_int_equal(ask(f, "GET", target, NULL), 410);
	assert_error(f, "events_gone", "after", "from another store");
	flush(f);
	for (int i = 0; i < REGISTRY_EVENTS_MAX + 10; i++) {
		char body[100];

		snprintf(body, sizeof(body), "{\"spec\":{\"limits\":{\"connections_per_address\":%d}}}", i + 1);
		ask(f, "PUT", "/v1/gateways/gw1", body);
		if (i % 1000 == 0)
			flush(f);
	}
	flush(f);
	assert_int_equal(ask(f, "GET", "/v1/events?after=3", NULL), 410);
	assert_error(f, "events_gone", "after", "list the resources again");
	assert_int_equal(ask(f, "GET", "/v1/events?after=0", NULL), 200);
	assert_int_equal(f->last.follow_after, registry_event_floor(&f->registry));
}

// ---- trouble ----

static void test_storage_failures(void **state)
{
	struct fixture *f = *state;
	struct api_response r = {0};

	store_mem_fail(f->store, -ENOSPC, 1);
	assert_int_equal(ask(f, "PUT", "/v1/gateways/gw1", "{}"), 201);
	assert_int_equal(registry_flush(&f->registry), -ENOSPC);
	api_storage_failed(&f->last, -ENOSPC);
	assert_int_equal(f->last.status, 507);
	assert_non_null(strstr(f->last.body, "storage_full"));
	assert_string_equal(f->last.etag, "");
	assert_int_equal(ask(f, "GET", "/v1/health", NULL), 503);
	assert_string_equal(text_at(f, "status"), "failed");
	assert_int_equal(ask(f, "GET", "/v1/gateways/gw1", NULL), 404);
	assert_int_equal(ask(f, "PUT", "/v1/gateways/gw1", "{}"), 201);
	flush(f);
	assert_int_equal(ask(f, "GET", "/v1/health", NULL), 200);
	api_storage_failed(&r, -EIO);
	assert_int_equal(r.status, 500);
	api_response_clear(&r);
}

static void test_too_many_changes_at_once(void **state)
{
	struct fixture *f = *state;
	char body[100];
	unsigned status = 200;

	for (int i = 1; status < 400; i++) {
		snprintf(body, sizeof(body), "{\"spec\":{\"limits\":{\"connections_per_address\":%d}}}", i);
		status = ask(f, "PUT", "/v1/gateways/gw1", body);
		assert_true(i < REGISTRY_CHANGES_MAX + 2);
	}
	assert_int_equal(status, 503);
	assert_error(f, "busy", NULL, "try again");
	assert_int_equal(ask(f, "DELETE", "/v1/gateways/gw1", NULL), 503);
}

// An error's text is made from what was sent, cut where it is too long: it must stay UTF-8.
static void test_errors_with_odd_text(void **state)
{
	struct fixture *f = *state;
	char body[1200];
	size_t n;

	for (size_t pad = 0; pad < 4; pad++) {
		n = (size_t)snprintf(body, sizeof(body), "{\"spec\":{\"%.*s", (int)pad, "aaaa");
		for (int i = 0; i < 200; i++)
			n += (size_t)snprintf(body + n, sizeof(body) - n, "\xe2\x82\xac");
		snprintf(body + n, sizeof(body) - n, "\":1}}");
		assert_int_equal(ask(f, "PUT", "/v1/gateways/gw1", body), 400);
		assert_string_equal(text_at(f, "error.code"), "unknown_field");
		n = (size_t)snprintf(body, sizeof(body), "{\"kind\":\"%.*s", (int)pad, "aaaa");
		for (int i = 0; i < 200; i++)
			n += (size_t)snprintf(body + n, sizeof(body) - n, "\xe2\x82\xac");
		snprintf(body + n, sizeof(body) - n, "\"}");
		assert_int_equal(ask(f, "PUT", "/v1/gateways/gw1", body), 400);
		assert_non_null(f->body);
	}
}

// ---- health ----

static void test_health_names_problems(void **state)
{
	struct fixture *f = *state;
	struct telemetry_hello hello = {"gw2", "1", "s", 1};

	assert_int_equal(ask(f, "GET", "/v1/health", NULL), 200);
	assert_string_equal(text_at(f, "status"), "ok");
	telemetry_connected(f->telemetry, &hello, 1, 1);
	ask(f, "GET", "/v1/health", NULL);
	assert_string_equal(text_at(f, "status"), "degraded");
	assert_string_equal(text_at(f, "gateways.waiting.0"), "gw2");
	assert_string_equal(text_at(f, "problems.0.hint"), "create it: PUT /v1/gateways/gw2");
	assert_int_equal(ask(f, "GET", "/v1/gateways/gw2", NULL), 404);
	assert_error(f, "not_found", NULL, "waits for its configuration");
	ask(f, "PUT", "/v1/gateways/gw2", "{}");
	flush(f);
	ask(f, "GET", "/v1/health", NULL);
	assert_string_equal(text_at(f, "status"), "ok");
	assert_int_equal(int_at(f, "gateways.connected"), 1);
	telemetry_disconnected(f->telemetry, "gw2", "it was unplugged", 2);
	ask(f, "GET", "/v1/health", NULL);
	assert_string_equal(text_at(f, "problems.0.problem"), "gateway gw2 is not connected");
	ask(f, "GET", "/v1/gateways/gw2", NULL);
	assert_string_equal(text_at(f, "status.last_error"), "it was unplugged");
}

// ---- openapi ----

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
	static const char *const methods[] = {"get", "put", "patch", "delete", "post", "options", "trace"};
	struct api_route_view route;
	json_t *document, *item;
	const char *pattern;
	size_t listed = 0;

	assert_int_equal(ask(f, "GET", "/v1/openapi.json", NULL), 200);
	document = json_incref(f->body);
	assert_string_equal(json_string_value(at(document, "openapi")), "3.0.3");
	// Every path and method that is listed is served, and none else on that path.
	json_object_foreach ((json_t *)(uintptr_t)json_object_get(document, "paths"), pattern, item) {
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
					fail_msg("%s %s is listed, but gives %u", method, pattern, status);
			} else if (status != 405) {
				fail_msg("%s %s is not listed, but gives %u", method, pattern, status);
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

	return ref ? at(document, "components.schemas") ? json_object_get(
			     json_object_get(json_object_get(document, "components"), "schemas"), strrchr(ref, '/') + 1)
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
	json_object_foreach (value, key, child)
		check_references(document, child);
	json_array_foreach(value, i, child)
		check_references(document, child);
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
		json_object_foreach (value, key, child) {
			json_t *property = json_object_get(properties, key);

			snprintf(below, sizeof(below), "%s.%s", path, key);
			if (property)
				conforms(document, property, child, below);
			else if (json_is_object(more))
				conforms(document, more, child, below);
			else if (json_is_false(more))
				fail_msg("%s is not in the document", below);
		}
		json_array_foreach(json_object_get(schema, "required"), i, child)
			if (!json_object_get(value, json_string_value(child)))
				fail_msg("%s lacks %s", path, json_string_value(child));
	} else if (strcmp(type, "array") == 0) {
		if (!json_is_array(value))
			fail_msg("%s should be an array", path);
		json_array_foreach(value, i, child) {
			snprintf(below, sizeof(below), "%s[%zu]", path, i);
			conforms(document, json_object_get(schema, "items"), child, below);
		}
	} else if (strcmp(type, "string") == 0 ? !json_is_string(value)
			: strcmp(type, "integer") == 0 ? !json_is_integer(value) : !json_is_boolean(value)) {
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
			"{\"metadata\":{\"labels\":{\"a\":\"b\"}},\"spec\":{\"runtime\":\"oci\",\"image\":\"x@sha256:"
			"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\",\"env\":{\"A\":\"b\"},"
			"\"resources\":{\"memory\":1048576}}}",
			"Function"},
		{"PUT", "/v1/gateways/gw1",
			"{\"spec\":{\"ports\":[{\"name\":\"p0\",\"addresses\":[\"10.0.0.2/24\"],\"routes\":[{"
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
			json_object_get(json_object_get(json_object_get(document, "components"), "schemas"),
				cases[i].schema),
			f->body, cases[i].schema);
	}
	json_decref(document);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_life_of_an_endpoint),
		TEST(test_functions_live_in_namespaces),
		TEST(test_path_and_body_must_agree),
		TEST(test_bodies_that_are_no_resource),
		TEST(test_conditions),
		TEST(test_dry_run_changes_nothing),
		TEST(test_a_route_has_one_kind_of_owner),
		TEST(test_pages),
		TEST(test_labels),
		TEST(test_bad_queries),
		TEST(test_nodes_and_instances_are_empty),
		TEST(test_wrong_methods_and_paths),
		TEST(test_events),
		TEST(test_storage_failures),
		TEST(test_too_many_changes_at_once),
		TEST(test_errors_with_odd_text),
		TEST(test_health_names_problems),
		TEST(test_openapi_lists_exactly_what_is_served),
		TEST(test_openapi_describes_the_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
