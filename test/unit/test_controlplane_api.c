// SPDX-License-Identifier: Apache-2.0
// The API as a function from request to response: every route, conditions, dry runs, pages, events,
// errors, and what happens when the store refuses.
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
	assert_int_equal(
		ask(f, "PATCH", "/v1/endpoints/orders", "{\"spec\":{\"fragments\":null}}"), 200);
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

	assert_int_equal(
		ask(f, "PUT", "/v1/gateways/gw1", "{\"metadata\":{\"name\":\"gw2\"}}"), 400);
	assert_error(f, "invalid_field", "metadata.name", "must be gw1 as in the path");
	assert_int_equal(
		ask(f, "PUT", "/v1/functions/a/x",
			"{\"metadata\":{\"namespace\":\"b\"},\"spec\":{\"command\":[\"x\"]}}"),
		400);
	assert_error(f, "invalid_field", "metadata.namespace", "must be a as in the path");
	assert_int_equal(ask(f, "PUT", "/v1/gateways/gw1", "{\"kind\":\"Endpoint\"}"), 400);
	assert_error(f, "invalid_field", "kind", "must be Gateway");
	assert_int_equal(ask(f, "PUT", "/v1/gateways/gw1", "{\"metadata\":7}"), 400);
	assert_error(f, "invalid_field", "metadata", "must be an object");
	assert_int_equal(ask(f, "PUT", "/v1/gateways/gw1", "{\"metadata\":null}"), 201);
	assert_int_equal(
		ask(f, "PATCH", "/v1/gateways/gw1", "{\"metadata\":{\"name\":\"gw2\"}}"), 400);
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
	assert_int_equal(
		ask_if(f, "PATCH", "/v1/gateways/gw1",
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
	assert_int_equal(
		ask(f, "PATCH", "/v1/endpoints/orders?dry_run=true",
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
				 "{\"spec\":{\"addresses\":[\"10.0.0.1:1\"],\"routes\":[\"x\","
				 "\"team/orders\"]}}"),
		409);
	assert_error(f, "route_taken", "spec.routes[1]", "function team/orders");
	assert_int_equal(ask(f, "PUT", "/v1/endpoints/more",
				 "{\"spec\":{\"addresses\":[\"10.0.0.1:1\"],\"routes\":[\"team/"
				 "x\"]}}"),
		201);
	assert_int_equal(ask(f, "PUT", "/v1/functions/team/x", ECHO), 409);
	assert_error(f, "route_taken", "metadata.name", "endpoint more");
	// A prefix that covers it is none of its business: exact routes win.
	assert_int_equal(ask(f, "PUT", "/v1/endpoints/more",
				 "{\"spec\":{\"addresses\":[\"10.0.0.1:1\"],\"routes\":[\"team/"
				 "orders.\"]}}"),
		200);
}

// Functions and jobs are one to the scheduler.
static void test_a_name_is_of_a_function_or_a_job(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ask(f, "PUT", "/v1/jobs/default/echo", ECHO), 201);
	assert_int_equal(ask(f, "PUT", "/v1/functions/default/echo", ECHO), 409);
	assert_error(f, "name_taken", "metadata.name", "job default/echo");
	assert_int_equal(ask(f, "PUT", "/v1/functions/team/echo", ECHO), 201);
	assert_int_equal(ask(f, "PUT", "/v1/jobs/team/echo", ECHO), 409);
	assert_error(f, "name_taken", "metadata.name", "function team/echo");
	assert_int_equal(ask(f, "PUT", "/v1/jobs/default/echo", ECHO), 200);
	assert_int_equal(ask(f, "DELETE", "/v1/jobs/default/echo", NULL), 200);
	assert_int_equal(ask(f, "PUT", "/v1/functions/default/echo", ECHO), 201);
	assert_int_equal(ask(f, "PUT", "/v1/quotas/team", "{\"spec\":{\"instances\":3}}"), 201);
	assert_int_equal(ask(f, "GET", "/v1/quotas/team", NULL), 200);
	assert_int_equal(int_at(f, "spec.instances"), 3);
}

// ---- lists ----

static void put_many(struct fixture *f, int n)
{
	char path[64], body[200];

	for (int i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "/v1/endpoints/e%03d", i);
		snprintf(body, sizeof(body),
			"{\"metadata\":{\"labels\":{\"tier\":\"%s\",\"n\":\"%d\"}},\"spec\":{"
			"\"addresses\":"
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
		"/v1/endpoints?limit=-1", "/v1/endpoints?limit=x", "/v1/endpoints?limit",
		"/v1/endpoints?limit=1x", "/v1/endpoints?limit=99999999999999999999",
		"/v1/endpoints?lable=x", "/v1/health?x=1", "/v1/events?after=-1"};

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
	assert_string_equal(f->last.allow, "GET, PATCH, DELETE");
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
	assert_int_equal(
		f->last.wait_seq, f->registry.seq);  // so that a change of one's own is in it
	snprintf(target, sizeof(target), "/v1/events?after=%llu",
		(unsigned long long)f->registry.seq + 1);
	assert_int_equal(ask(f, "GET", target, NULL), 410);
	assert_error(f, "events_gone", "after", "from another store");
	flush(f);
	for (int i = 0; i < REGISTRY_EVENTS_MAX + 10; i++) {
		char body[100];

		snprintf(body, sizeof(body),
			"{\"spec\":{\"limits\":{\"connections_per_address\":%d}}}", i + 1);
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
	api_storage_failed(&f->api, &f->last, -ENOSPC);
	assert_int_equal(f->last.status, 507);
	assert_non_null(strstr(f->last.body, "storage_full"));
	assert_string_equal(f->last.etag, "");
	assert_int_equal(ask(f, "GET", "/v1/health", NULL), 503);
	assert_string_equal(text_at(f, "status"), "failed");
	assert_int_equal(ask(f, "GET", "/v1/gateways/gw1", NULL), 404);
	assert_int_equal(ask(f, "PUT", "/v1/gateways/gw1", "{}"), 201);
	flush(f);
	assert_int_equal(ask(f, "GET", "/v1/health", NULL), 200);
	api_storage_failed(&f->api, &r, -EIO);
	assert_int_equal(r.status, 500);
	api_response_clear(&r);
}

static void test_too_many_changes_at_once(void **state)
{
	struct fixture *f = *state;
	char body[100];
	unsigned status = 200;

	for (int i = 1; status < 400; i++) {
		snprintf(body, sizeof(body),
			"{\"spec\":{\"limits\":{\"connections_per_address\":%d}}}", i);
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
		TEST(test_a_name_is_of_a_function_or_a_job),
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
