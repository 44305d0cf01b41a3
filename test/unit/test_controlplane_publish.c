// SPDX-License-Identifier: Apache-2.0
// Discovery and publishing: services from resources, snapshots and deltas, slow watchers, watches
// that are cut and resumed. A model of the gateway applies what it is told; it must end up with the
// services that the resources declare, and never lose one on the way that stays declared.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "controlplane/discovery.h"
#include "controlplane/publish.h"
#include "lib/base/rng.h"

// The gateway: its table by route, and what it remembers of its watch.
struct gateway {
	struct watcher watcher;
	bool watching, ready;
	json_t *table;   // "p|namespace|route" -> the service item
	json_t *marked;  // named in the snapshot under way; NULL: none is
	json_t *spec;
	char epoch[32], snapshot_epoch[32];
	uint64_t seq, last_seq;
	unsigned items, snapshots, services;
};

struct fixture {
	struct store *store;
	struct registry r;
	struct publisher p;
	struct gateway g;
};

static void on_changed(void *user, const struct change *c)
{
	publisher_apply(&((struct fixture *)user)->p, c);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->store = store_mem_new();
	assert_int_equal(registry_init(&f->r, f->store), 0);
	publisher_init(&f->p, &f->r);
	registry_observe(&f->r, on_changed, f);
	f->g.table = json_object();
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (f->g.watching)
		feed_unwatch(&f->g.watcher);
	json_decref(f->g.table);
	json_decref(f->g.marked);
	json_decref(f->g.spec);
	publisher_fini(&f->p);
	registry_fini(&f->r);
	store_close(f->store);
	free(f);
	return 0;
}

// ---- resources ----

static void put_json(struct fixture *f, enum kind kind, const char *text)
{
	const struct resource *res;
	struct schema_error error;
	json_t *in = json_loads(text, 0, NULL), *object;

	assert_non_null(in);
	object = schema_normalize(&kinds[kind], in, &error);
	if (!object)
		fail_msg("%s: %s", text, error.message);
	assert_int_equal(registry_put(&f->r, kind, object, 1, &res), 0);
	json_decref(in);
	json_decref(object);
}

static void put_gateway(struct fixture *f, const char *name, int limit)
{
	char text[200];

	snprintf(text, sizeof(text),
		"{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"limits\":{\"connections_per_address\":"
		"%d}}}",
		name, limit);
	put_json(f, KIND_GATEWAY, text);
}

static void put_endpoint(struct fixture *f, const char *name, const char *addresses,
	const char *routes, const char *more)
{
	char text[2000];

	snprintf(text, sizeof(text),
		"{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"addresses\":[%s],\"routes\":[%s]%s}}",
		name, addresses, routes, more);
	put_json(f, KIND_ENDPOINT, text);
}

static void put_function(struct fixture *f, const char *name)
{
	char text[200];

	snprintf(text, sizeof(text),
		"{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"command\":[\"x\"],\"call\":{\"timeout_"
		"ms\":77}}}",
		name);
	put_json(f, KIND_FUNCTION, text);
}

static void flush(struct fixture *f)
{
	assert_int_equal(registry_flush(&f->r), 0);
}

// ---- the gateway's side, as dataplane/control.c does it ----

static void on_ready(struct watcher *w)
{
	container_of(w, struct gateway, watcher)->ready = true;
}

static void watch(struct fixture *f)
{
	struct gateway *g = &f->g;

	json_decref(g->marked);
	g->marked = NULL;
	g->last_seq = 0;
	feed_watch(&f->p.feed, &g->watcher, "gw1", g->epoch, g->seq, on_ready);
	g->watching = true;
}

static void cut(struct fixture *f)
{
	feed_unwatch(&f->g.watcher);
	f->g.watching = false;
}

static void key_of(const json_t *item, char *key, size_t room)
{
	snprintf(key, room, "%d|%s|%s", json_is_true(json_object_get(item, "prefix")),
		json_string_value(json_object_get(item, "namespace")),
		json_string_value(json_object_get(item, "route")));
}

static void sweep(struct gateway *g)
{
	const char *key;
	json_t *value;
	void *next;

	json_object_foreach_safe(g->table, next, key, value) if (!json_object_get(g->marked, key))
		json_object_del(g->table, key);
	json_decref(g->marked);
	g->marked = NULL;
	strcpy(g->epoch, g->snapshot_epoch);
}

static void apply(struct gateway *g, json_t *item)
{
	const char *op = json_string_value(json_object_get(item, "op"));
	uint64_t seq = (uint64_t)json_integer_value(json_object_get(item, "seq"));
	char key[400];

	assert_true(seq >= g->last_seq);
	g->last_seq = seq;
	g->items++;
	if (strcmp(op, "snapshot_begin") == 0) {
		g->epoch[0] = 0;
		strcpy(g->snapshot_epoch, json_string_value(json_object_get(item, "epoch")));
		json_decref(g->marked);
		g->marked = json_object();
		g->snapshots++;
	} else if (strcmp(op, "snapshot_end") == 0) {
		assert_non_null(g->marked);
		sweep(g);
	} else if (strcmp(op, "gateway") == 0) {
		json_decref(g->spec);
		g->spec = json_incref(json_object_get(item, "spec"));
	} else if (strcmp(op, "service") == 0) {
		key_of(item, key, sizeof(key));
		json_object_set(g->table, key, item);
		if (g->marked)
			json_object_set_new(g->marked, key, json_true());
		g->services++;
	} else {
		assert_string_equal(op, "service_gone");
		key_of(item, key, sizeof(key));
		json_object_del(g->table, key);
	}
	if (!g->marked)
		g->seq = seq;
}

// Takes up to `credit` items; returns how many there were.
static unsigned take(struct fixture *f, unsigned credit)
{
	unsigned n = 0;
	char *text;

	while (n < credit && (text = feed_next(&f->g.watcher))) {
		json_t *item = json_loads(text, 0, NULL);

		assert_non_null(item);
		apply(&f->g, item);
		json_decref(item);
		free(text);
		n++;
	}
	return n;
}

static const json_t *service(const struct fixture *f, const char *key)
{
	return json_object_get(f->g.table, key);
}

static void assert_targets(const struct fixture *f, const char *key, const char *expected)
{
	char text[400] = "";
	const json_t *targets = json_object_get(service(f, key), "targets");
	size_t n = 0;

	assert_non_null(service(f, key));
	for (size_t i = 0; i < json_array_size(targets); i++) {
		const json_t *t = json_array_get(targets, i);

		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s@%s ",
			json_string_value(json_object_get(t, "name")),
			json_string_value(json_object_get(t, "address")));
	}
	assert_string_equal(text, expected);
}

// ---- tests ----

static void test_waits_for_its_gateway_resource(void **state)
{
	struct fixture *f = *state;

	put_endpoint(f, "a", "\"10.0.0.1:1\"", "\"a\"", "");
	flush(f);
	watch(f);
	assert_int_equal(take(f, 10), 0);
	assert_int_equal(f->g.watcher.state, WATCH_WAITING);
	put_gateway(f, "other", 5);
	flush(f);
	assert_int_equal(take(f, 10), 0);
	f->g.ready = false;
	put_gateway(f, "gw1", 7);
	flush(f);
	assert_true(f->g.ready);
	assert_int_equal(take(f, 10), 4);  // begin, gateway, a, end
	assert_int_equal(json_integer_value(json_object_get(
				 json_object_get(f->g.spec, "limits"), "connections_per_address")),
		7);
	assert_int_equal(json_object_size(f->g.table), 1);
}

static void test_snapshot_then_deltas(void **state)
{
	struct fixture *f = *state;

	put_gateway(f, "gw1", 7);
	put_endpoint(f, "a", "\"10.0.0.1:1\"", "\"a\", \"person.\"", "");
	put_function(f, "thumb");
	flush(f);
	watch(f);
	assert_int_equal(take(f, 100), 6);
	assert_targets(f, "0|default|a", "a@10.0.0.1:1 ");
	assert_targets(f, "1|default|person.", "a@10.0.0.1:1 ");
	assert_targets(f, "0|default|thumb", "");
	assert_string_equal(
		json_string_value(json_object_get(service(f, "0|default|thumb"), "kind")),
		"function");
	assert_int_equal(
		json_integer_value(json_object_get(service(f, "0|default|thumb"), "timeout_ms")),
		77);
	// One item for one changed route; the other is as it was.
	put_endpoint(f, "a", "\"10.0.0.1:1\"", "\"b\", \"person.\"", "");
	flush(f);
	assert_int_equal(take(f, 100), 2);
	assert_null(service(f, "0|default|a"));
	assert_non_null(service(f, "0|default|b"));
	assert_int_equal(registry_delete(&f->r, KIND_FUNCTION, "default/thumb", 1), 0);
	flush(f);
	assert_int_equal(take(f, 100), 1);
	assert_null(service(f, "0|default|thumb"));
	assert_int_equal(f->g.seq, f->r.durable);
	put_gateway(f, "gw1", 8);
	flush(f);
	assert_int_equal(take(f, 100), 1);
	assert_int_equal(json_integer_value(json_object_get(
				 json_object_get(f->g.spec, "limits"), "connections_per_address")),
		8);
}

static void test_union_of_endpoints(void **state)
{
	struct fixture *f = *state;

	put_gateway(f, "gw1", 7);
	watch(f);
	put_endpoint(f, "b", "\"10.0.0.2:1\", \"10.0.0.9:1\"", "\"x\"", "");
	put_endpoint(f, "a", "\"10.0.0.1:1\", \"10.0.0.9:1\"", "\"x\"",
		",\"fragments\":false,\"lease\":true");
	flush(f);
	take(f, 100);
	// By name of endpoint, an address that both declare once; the careful value of each flag.
	assert_targets(f, "0|default|x", "a@10.0.0.1:1 a@10.0.0.9:1 b@10.0.0.2:1 ");
	assert_true(json_is_false(json_object_get(service(f, "0|default|x"), "fragments")));
	assert_true(json_is_true(json_object_get(service(f, "0|default|x"), "lease")));
	registry_delete(&f->r, KIND_ENDPOINT, "a", 1);
	flush(f);
	take(f, 100);
	assert_targets(f, "0|default|x", "b@10.0.0.2:1 b@10.0.0.9:1 ");
	assert_true(json_is_true(json_object_get(service(f, "0|default|x"), "fragments")));
}

static void test_routes_of_namespaces(void **state)
{
	struct fixture *f = *state;

	put_gateway(f, "gw1", 7);
	put_json(f, KIND_ENDPOINT,
		"{\"metadata\":{\"name\":\"a\",\"namespace\":\"team\"},\"spec\":{\"addresses\":"
		"[\"10.0.0.1:1\"],\"routes\":[\"x\",\"other/x\",\"other/y.\"]}}");
	flush(f);
	watch(f);
	take(f, 100);
	assert_int_equal(json_object_size(f->g.table), 3);
	assert_non_null(service(f, "0|team|x"));
	assert_non_null(service(f, "0|other|x"));
	assert_non_null(service(f, "1|other|y."));
}

static void test_no_change_no_item(void **state)
{
	struct fixture *f = *state;

	put_gateway(f, "gw1", 7);
	put_endpoint(f, "a", "\"10.0.0.1:1\"", "\"a\"", "");
	flush(f);
	watch(f);
	take(f, 100);
	f->g.ready = false;
	// Labels and other gateways are not what a gateway is told.
	put_json(f, KIND_ENDPOINT,
		"{\"metadata\":{\"name\":\"a\",\"labels\":{\"x\":\"y\"}},\"spec\":{\"addresses\":["
		"\"10.0.0.1:1\"],"
		"\"routes\":[\"a\"]}}");
	registry_note(&f->r, "connected", KIND_GATEWAY, "gw9", NULL, 1);
	flush(f);
	assert_false(f->g.ready);
	assert_int_equal(take(f, 100), 0);
	put_gateway(f, "gw2", 1);
	flush(f);
	assert_int_equal(take(f, 100), 0);
}

static void test_slow_watcher_is_told_the_newest_once(void **state)
{
	struct fixture *f = *state;
	char address[40];

	put_gateway(f, "gw1", 7);
	flush(f);
	watch(f);
	take(f, 100);
	f->g.items = 0;
	for (int i = 1; i <= 1000; i++) {
		snprintf(address, sizeof(address), "\"10.0.%d.%d:1\"", i >> 8, i & 255);
		put_endpoint(
			f, i % 2 ? "odd" : "even", address, i % 2 ? "\"odd\"" : "\"even\"", "");
		flush(f);
	}
	assert_int_equal(take(f, 10000), 2);
	assert_targets(f, "0|default|odd", "odd@10.0.3.231:1 ");
	assert_targets(f, "0|default|even", "even@10.0.3.232:1 ");
}

static void test_resumes_without_snapshot(void **state)
{
	struct fixture *f = *state;

	put_gateway(f, "gw1", 7);
	put_endpoint(f, "a", "\"10.0.0.1:1\"", "\"a\"", "");
	put_endpoint(f, "b", "\"10.0.0.1:1\"", "\"b\"", "");
	flush(f);
	watch(f);
	take(f, 100);
	cut(f);
	put_endpoint(f, "c", "\"10.0.0.1:1\"", "\"c\"", "");
	registry_delete(&f->r, KIND_ENDPOINT, "a", 1);
	flush(f);
	watch(f);
	assert_int_equal(take(f, 100), 2);
	assert_int_equal(f->g.snapshots, 1);
	assert_null(service(f, "0|default|a"));
	assert_non_null(service(f, "0|default|c"));
	// Another epoch, a seq from the future: a snapshot.
	cut(f);
	f->g.seq += 1000;
	watch(f);
	take(f, 100);
	assert_int_equal(f->g.snapshots, 2);
	cut(f);
	strcpy(f->g.epoch, "elsewhere");
	watch(f);
	take(f, 100);
	assert_int_equal(f->g.snapshots, 3);
}

// All services of one change carry one seq; a watch cut among them must come back for the rest.
static void test_cut_within_one_change(void **state)
{
	struct fixture *f = *state;

	put_gateway(f, "gw1", 7);
	flush(f);
	watch(f);
	take(f, 100);
	for (unsigned credit = 1; credit < 4; credit++) {
		put_endpoint(f, "a", credit % 2 ? "\"10.0.0.1:1\"" : "\"10.0.0.2:1\"",
			"\"a\", \"b\", \"c\", \"d\"", "");
		flush(f);
		assert_int_equal(take(f, credit), credit);
		cut(f);
		watch(f);
		take(f, 100);
		assert_int_equal(f->g.snapshots, 1);
		for (const char *route = "abcd"; *route; route++) {
			char key[32];

			snprintf(key, sizeof(key), "0|default|%c", *route);
			assert_targets(f, key, credit % 2 ? "a@10.0.0.1:1 " : "a@10.0.0.2:1 ");
		}
	}
}

static void test_changes_during_a_snapshot(void **state)
{
	struct fixture *f = *state;

	put_gateway(f, "gw1", 7);
	put_endpoint(f, "a", "\"10.0.0.1:1\"", "\"a\"", "");
	put_endpoint(f, "b", "\"10.0.0.1:1\"", "\"b\"", "");
	put_endpoint(f, "c", "\"10.0.0.1:1\"", "\"c\"", "");
	flush(f);
	watch(f);
	take(f, 3);                                           // begin, gateway, a
	put_endpoint(f, "b", "\"10.0.0.2:1\"", "\"b\"", "");  // not yet told
	registry_delete(&f->r, KIND_ENDPOINT, "a", 1);        // told already
	registry_delete(&f->r, KIND_ENDPOINT, "c", 1);        // not yet told
	put_gateway(f, "gw1", 9);
	flush(f);
	take(f, 100);
	assert_null(f->g.marked);
	assert_int_equal(json_object_size(f->g.table), 1);
	assert_targets(f, "0|default|b", "b@10.0.0.2:1 ");
	assert_int_equal(json_integer_value(json_object_get(
				 json_object_get(f->g.spec, "limits"), "connections_per_address")),
		9);
}

// What hosts report is not stored, so after a restart a seq may mean something else: the epoch is a
// new one, and every watch gets a snapshot.
static void test_restart_of_the_control_plane(void **state)
{
	struct fixture *f = *state;

	put_gateway(f, "gw1", 7);
	put_endpoint(f, "a", "\"10.0.0.1:1\"", "\"a\"", "");
	flush(f);
	watch(f);
	take(f, 100);
	cut(f);
	registry_delete(&f->r, KIND_ENDPOINT, "a", 1);
	put_endpoint(f, "b", "\"10.0.0.1:1\"", "\"b\"", "");
	flush(f);
	publisher_fini(&f->p);
	registry_fini(&f->r);
	assert_int_equal(registry_init(&f->r, f->store), 0);
	publisher_init(&f->p, &f->r);
	registry_observe(&f->r, on_changed, f);
	watch(f);
	take(f, 100);
	assert_int_equal(f->g.snapshots, 2);
	assert_int_equal(json_object_size(f->g.table), 1);
	assert_non_null(service(f, "0|default|b"));
}

static void test_tombstones_are_bounded(void **state)
{
	struct fixture *f = *state;
	char name[32], route[40];
	uint64_t seq;

	put_gateway(f, "gw1", 7);
	put_endpoint(f, "stays", "\"10.0.0.1:1\"", "\"stays\"", "");
	flush(f);
	watch(f);
	take(f, 100);
	seq = f->g.seq;
	for (int i = 0; i < PUBLISH_TOMBSTONES_MAX + 100; i++) {
		snprintf(name, sizeof(name), "e%d", i);
		snprintf(route, sizeof(route), "\"r%d\"", i);
		put_endpoint(f, name, "\"10.0.0.1:1\"", route, "");
		registry_delete(&f->r, KIND_ENDPOINT, name, 1);
		flush(f);
		// One that follows is told of each, one that does not will need a snapshot.
		if (i < 10)
			take(f, 100);
	}
	assert_true(f->p.feed.gone <= PUBLISH_TOMBSTONES_MAX);
	assert_int_equal(publisher_services(&f->p), 1);
	assert_true(f->p.feed.floor > seq);
	take(f, 100000);
	assert_int_equal(f->g.snapshots, 2);
	assert_int_equal(json_object_size(f->g.table), 1);
	assert_non_null(service(f, "0|default|stays"));
}

// The table that the resources declare.
static void expect_route(void *user, const struct resource *res, const struct route_id *id)
{
	json_t *expected = user;
	char key[400];

	(void)res;
	snprintf(key, sizeof(key), "%d|%s|%s", id->prefix, id->namespace, id->route);
	json_object_set_new(expected, key, json_true());
}

static json_t *expected_table(const struct fixture *f)
{
	json_t *expected = json_object();
	const struct resource *res;

	for (enum kind kind = 0; kind < KIND_COUNT; kind++)
		for (size_t i = 0; (res = registry_at(&f->r, kind, i)); i++)
			discovery_routes(res, expect_route, expected);
	return expected;
}

static void assert_table_is_right(const struct fixture *f)
{
	json_t *expected = expected_table(f), *value;
	const char *key;

	json_object_foreach(expected, key, value) if (!json_object_get(f->g.table, key))
		fail_msg("%s is missing", key);
	json_object_foreach(f->g.table, key, value) if (!json_object_get(expected, key))
		fail_msg("%s should be gone", key);
	json_decref(expected);
}

static void random_change(struct fixture *f, struct rng *rng)
{
	uint32_t what = rng_below(rng, 10), n = rng_below(rng, 12);
	char name[32], address[64], routes[64];

	snprintf(name, sizeof(name), "e%u", n);
	if (what < 3) {
		registry_delete(&f->r, KIND_ENDPOINT, name, 1);
		return;
	}
	if (what == 3) {
		put_gateway(f, "gw1", 1 + (int)rng_below(rng, 100));
		return;
	}
	snprintf(address, sizeof(address), "\"10.0.0.%u:1\"", 1 + rng_below(rng, 250));
	snprintf(routes, sizeof(routes), "\"r%u\", \"s%u\", \"p%u.\"", rng_below(rng, 8),
		rng_below(rng, 8), rng_below(rng, 4));
	put_endpoint(f, name, address, routes, "");
}

// A route that is declared before, during and after must be in the gateway's table at every moment
// from the first snapshot's end on: that is what "no call is lost" needs.
static void assert_lasting_route(const struct fixture *f)
{
	if (f->g.epoch[0] || f->g.marked)
		if (!service(f, "0|default|lasting") && f->g.snapshots > 1)
			fail_msg("the lasting route was taken away");
}

static void test_random_histories(void **state)
{
	struct fixture *f = *state;
	struct rng rng;

	rng_seed(&rng, 20250101);
	put_gateway(f, "gw1", 7);
	put_endpoint(f, "lasting", "\"10.0.0.1:1\"", "\"lasting\"", "");
	flush(f);
	watch(f);
	for (int i = 0; i < 20000; i++) {
		uint32_t what = rng_below(&rng, 20);

		if (what < 10) {
			random_change(f, &rng);
			if (rng_below(&rng, 3))
				flush(f);
		} else if (what < 18) {
			take(f, 1 + rng_below(&rng, 4));
			assert_lasting_route(f);
		} else if (what == 18) {
			cut(f);
			if (rng_below(&rng, 4) == 0)
				f->g.epoch[0] = 0;
			watch(f);
		} else if (rng_below(&rng, 10) == 0) {
			flush(f);
			take(f, 100000);
			assert_table_is_right(f);
		}
	}
	flush(f);
	take(f, 100000);
	assert_table_is_right(f);
	assert_true(f->g.snapshots > 10);
}

static void test_load_has_everything_in_one_table(void **state)
{
	struct fixture *f = *state;
	char name[32], route[40];

	for (int i = 0; i < 2000; i++) {
		snprintf(name, sizeof(name), "e%d", i);
		snprintf(route, sizeof(route), "\"r%d\"", i);
		put_endpoint(f, name, "\"10.0.0.1:1\"", route, "");
		if (i % 100 == 0)
			flush(f);
	}
	put_gateway(f, "gw1", 7);
	flush(f);
	publisher_fini(&f->p);
	publisher_init(&f->p, &f->r);
	assert_int_equal(publisher_services(&f->p), 2000);
	watch(f);
	assert_int_equal(take(f, 100000), 2003);
	assert_table_is_right(f);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_waits_for_its_gateway_resource),
		TEST(test_snapshot_then_deltas),
		TEST(test_union_of_endpoints),
		TEST(test_routes_of_namespaces),
		TEST(test_no_change_no_item),
		TEST(test_slow_watcher_is_told_the_newest_once),
		TEST(test_resumes_without_snapshot),
		TEST(test_cut_within_one_change),
		TEST(test_changes_during_a_snapshot),
		TEST(test_restart_of_the_control_plane),
		TEST(test_tombstones_are_bounded),
		TEST(test_random_histories),
		TEST(test_load_has_everything_in_one_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
