// SPDX-License-Identifier: Apache-2.0
// dataplane/route_memo: the same bytes lead to the same service, other bytes and a changed table to
// none.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include <rte_eal.h>

#include "dataplane/route_memo.h"

static struct table *table;
static struct route_memo memo;

static int put(const char *route)
{
	const char *targets[] = {"10.0.0.1:7000"};
	struct service_spec spec = {
		.namespace = "default", .route = route, .targets = targets, .targets_count = 1};

	return table_put(table, &spec);
}

// Routing metadata without a composite: a length and the route, and whatever follows.
static struct chain metadata_of(uint8_t *bytes, const char *route, const char *more)
{
	struct chain c = {0};
	size_t len = strlen(route);

	bytes[0] = (uint8_t)len;
	memcpy(bytes + 1, route, len);
	memcpy(bytes + 1 + len, more, strlen(more));
	chain_push(&c, NULL, bytes, (uint32_t)(1 + len + strlen(more)));
	return c;
}

static bool keep(const char *route, const char *more)
{
	uint8_t bytes[400];
	struct chain c = metadata_of(bytes, route, more);
	uint64_t version = table_version(table);
	const struct service *s;
	struct rs_route found;

	assert_int_equal(rs_route_find(RS_METADATA_ROUTING, &c, &found), 0);
	s = table_find(table, found.text, found.len);
	if (s)
		route_memo_keep(&memo, version, RS_METADATA_ROUTING, &c, &found, s);
	chain_clear(&c);
	return s;
}

static const struct route_memo_entry *find_as(
	enum rs_metadata_kind kind, const char *route, const char *more)
{
	uint8_t bytes[400];
	struct chain c = metadata_of(bytes, route, more);
	const struct route_memo_entry *entry = route_memo_find(&memo, table, kind, &c);

	chain_clear(&c);
	return entry;
}

static const struct route_memo_entry *find(const char *route, const char *more)
{
	return find_as(RS_METADATA_ROUTING, route, more);
}

static void remembers_exact_bytes(void **state)
{
	struct rs_route route;

	assert_int_equal(put("orders.find"), 0);
	assert_null(find("orders.find", ""));
	assert_true(keep("orders.find", ""));
	assert_non_null(find("orders.find", ""));
	assert_string_equal(find("orders.find", "")->service->route, "orders.find");
	route_memo_route(find("orders.find", ""), &route);
	assert_string_equal(route.text, "orders.find");
	assert_int_equal(route.len, 11);
	assert_null(find("orders.fine", ""));
	assert_null(find("Orders.find", ""));
	assert_null(find("orders.find", "x"));
	assert_null(find_as(RS_METADATA_COMPOSITE, "orders.find", ""));
}

// Each byte counts, wherever it lies.
static void no_byte_is_left_out(void **state)
{
	char route[80], other[80];

	for (size_t len = 8; len < sizeof(route) - 1; len++) {
		memset(route, 'a', len);
		route[len] = 0;
		assert_int_equal(put(route), 0);
		assert_true(keep(route, ""));
		assert_non_null(find(route, ""));
		for (size_t i = 0; i < len; i++) {
			memcpy(other, route, len + 1);
			other[i] ^= 1;
			assert_null(find(other, ""));
		}
	}
}

static void forgets_when_the_table_changes(void **state)
{
	assert_int_equal(put("orders.find"), 0);
	assert_true(keep("orders.find", ""));
	assert_non_null(find("orders.find", ""));
	assert_int_equal(put("something.else"), 0); // could be a longer prefix
	assert_null(find("orders.find", ""));
	assert_true(keep("orders.find", ""));
	assert_int_equal(put("orders.find"), 0); // replaced
	assert_null(find("orders.find", ""));
	assert_true(keep("orders.find", ""));
	assert_int_equal(table_remove(table, "default", "orders.find", false), 0);
	assert_null(find("orders.find", ""));
	assert_false(keep("orders.find", ""));
}

// What was looked up before a change is old from the start.
static void a_look_up_that_a_change_overtook_is_not_used(void **state)
{
	uint8_t bytes[64];
	struct chain c = metadata_of(bytes, "orders.find", "");
	struct rs_route route;
	uint64_t version;

	assert_int_equal(put("orders.find"), 0);
	version = table_version(table);
	assert_int_equal(rs_route_find(RS_METADATA_ROUTING, &c, &route), 0);
	assert_int_equal(put("orders.find"), 0);
	route_memo_keep(&memo, version, RS_METADATA_ROUTING, &c, &route,
		table_find(table, route.text, route.len));
	assert_null(find("orders.find", ""));
	chain_clear(&c);
}

static void takes_short_contiguous_metadata_only(void **state)
{
	char more[ROUTE_MEMO_BYTES + 1] = {0};
	uint8_t bytes[64];
	struct chain whole = metadata_of(bytes, "orders.find", ""), split = {0};

	assert_int_equal(put("orders.find"), 0);
	assert_int_equal(put("a"), 0);
	assert_true(keep("a", ""));
	assert_null(find("a", ""));
	memset(more, 'm', ROUTE_MEMO_BYTES - 12);
	assert_true(keep("orders.find", more));
	assert_non_null(find("orders.find", more));
	memset(more, 'm', ROUTE_MEMO_BYTES - 11);
	assert_true(keep("orders.find", more));
	assert_null(find("orders.find", more));
	assert_true(keep("orders.find", ""));
	chain_share(&split, &whole, 0, 5);
	chain_clear(&whole);
	chain_push(&split, NULL, (const uint8_t *)"rs.find", 7);
	assert_null(route_memo_find(&memo, table, RS_METADATA_ROUTING, &split));
	chain_clear(&split);
}

static int begin(void **state)
{
	table = table_new(NULL);
	memo = (struct route_memo){0};
	return table ? 0 : -1;
}

static int end(void **state)
{
	table_destroy(table);
	return 0;
}

int main(void)
{
	char *args[] = {"test-route-memo", "--no-huge", "--no-pci", "--no-shconf", "-m", "64",
		"--log-level", "critical", NULL};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(remembers_exact_bytes, begin, end),
		cmocka_unit_test_setup_teardown(no_byte_is_left_out, begin, end),
		cmocka_unit_test_setup_teardown(forgets_when_the_table_changes, begin, end),
		cmocka_unit_test_setup_teardown(
			a_look_up_that_a_change_overtook_is_not_used, begin, end),
		cmocka_unit_test_setup_teardown(takes_short_contiguous_metadata_only, begin, end),
	};

	if (rte_eal_init(8, args) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
