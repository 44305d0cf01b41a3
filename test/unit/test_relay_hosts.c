// SPDX-License-Identifier: Apache-2.0
// The relay and our hosts: calls of functions, which come on connections that the gateway dialled
// and are served like a client's; what hosts are told about the gateway; loads that they tell, and
// where calls go then.
#include "test/unit/relay_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>

#include "lib/call/entry.h"
#include "lib/call/load.h"
#include "lib/rsocket/metadata.h"

// A client's call that a host holds, so that the host can ask meanwhile.
struct nested {
	struct world *w;
	struct backend *tiles, *thumbnail;
	struct peer *p;
	struct ask outer, inner;
};

static struct nested nested_new(enum backend_mode mode)
{
	struct nested n = {.w = world_new()};

	n.tiles = backend_new(n.w, SILENT);
	n.thumbnail = backend_new(n.w, mode);
	n.p = peer_new(n.w);
	route_hosts(n.w, "tiles", 3, n.tiles, NULL);
	route_hosts(n.w, "thumbnail", 7, n.thumbnail, NULL);
	return n;
}

static void begin_outer(struct nested *n)
{
	ask(n->p, &n->outer, "tiles", 0, 10);
	RUN_UNTIL(n->w, n->tiles->held == 1);
}

static void end_outer(struct nested *n)
{
	backend_answer(n->tiles, 5);
	RUN_UNTIL(n->w, !n->outer.stream);
	assert_int_equal(n->outer.items, 1);
}

static void nested_free(struct nested *n)
{
	world_expect_idle(n->w);
	peer_free(n->p);
	world_free(n->w);
}

// Of the last request that a backend got. bytes: CALL_ENTRY_BYTES_MAX; the entry's TLVs lie there.
static struct call_entry entry_at(const struct backend *b, uint8_t *bytes)
{
	struct chain metadata = {0};
	struct call_entry entry;
	struct rs_entry at;

	chain_push(&metadata, NULL, b->metadata, (uint32_t)b->metadata_len);
	assert_int_equal(rs_composite_find_name(&metadata, CALL_ENTRY_MIME, &at), 0);
	chain_read(&metadata, at.at, bytes, at.len);
	assert_int_equal(call_entry_read(&entry, bytes, at.len), 0);
	chain_clear(&metadata);
	return entry;
}

static void a_function_calls_another(void **state)
{
	struct nested n = nested_new(ECHO);
	uint8_t bytes[CALL_ENTRY_BYTES_MAX];
	struct call_entry served, entry;

	begin_outer(&n);
	served = entry_at(n.tiles, bytes);
	assert_int_equal(call_id_depth(served.id), 0);
	entry = (struct call_entry){
		.id = served.id, .left_us = 5000000, .flags = CALL_ENTRY_IDEMPOTENT};
	host_ask(n.tiles, &n.inner, "thumbnail", 0, &entry);
	RUN_UNTIL(n.w, !n.inner.stream);
	assert_int_equal(n.inner.items, 1);
	assert_int_equal(n.inner.bytes, 100);
	// It inherits: the time left, and whose call it serves; other entries pass.
	entry = entry_at(n.thumbnail, bytes);
	assert_int_equal(entry.left_us, 5000000);
	assert_int_equal(entry.flags, CALL_ENTRY_IDEMPOTENT);
	assert_int_equal(call_id_depth(entry.id), 1);
	assert_true(call_tlv_u64(&entry, CALL_TLV_PARENT, 0) == served.id);
	assert_int_equal(call_tlv_u32(&entry, CALL_TLV_VERSION, 0), 7);
	assert_non_null(memmem(n.thumbnail->metadata, n.thumbnail->metadata_len, "trace", 5));
	end_outer(&n);
	assert_int_equal(n.w->relay.counters.calls, 2);
	assert_int_equal(n.w->relay.counters.calls_nested, 1);
	assert_int_equal(n.w->relay.counters.calls_ok, 2);
	nested_free(&n);
}

// Credit of the asking host, item by item, and a window's worth when it grants all at once.
static void streams_of_functions_obey_credit(void **state)
{
	struct nested n = nested_new(COUNT);
	struct ask all = {.numbered = true};

	n.thumbnail->count_items = 1000;
	n.thumbnail->count_bytes = 4096;
	begin_outer(&n);
	n.inner = (struct ask){.numbered = true, .refill = 3};
	host_ask(n.tiles, &n.inner, "thumbnail", 3, NULL);
	host_ask(n.tiles, &all, "thumbnail", 0x7fffffff, NULL);
	RUN_UNTIL(n.w, !n.inner.stream && !all.stream);
	assert_int_equal(n.inner.items, 1000);
	assert_int_equal(all.items, 1000);
	assert_true(n.thumbnail->granted_ahead_max * 4096 <= STREAM_WINDOW_BYTES);
	end_outer(&n);
	assert_int_equal(n.w->relay.counters.items, 2000);
	nested_free(&n);
}

static void refusals_and_errors_reach_functions(void **state)
{
	struct nested n = nested_new(REFUSE);

	n.thumbnail->code = 0x301;
	n.thumbnail->text = "no image";
	begin_outer(&n);
	host_ask(n.tiles, &n.inner, "thumbnail", 0, NULL);
	RUN_UNTIL(n.w, !n.inner.stream);
	assert_int_equal(n.inner.code, 0x301);
	assert_string_equal(n.inner.text, "no image");
	host_ask(n.tiles, &n.inner, "nothing", 0, NULL);
	RUN_UNTIL(n.w, !n.inner.stream);
	assert_int_equal(n.inner.code, RS_ERROR_REJECTED);
	assert_string_equal(n.inner.text, "no such function: nothing");
	end_outer(&n);
	nested_free(&n);
}

static void cancels_pass_from_function_to_function(void **state)
{
	struct nested n = nested_new(SILENT);

	begin_outer(&n);
	host_ask(n.tiles, &n.inner, "thumbnail", 0, NULL);
	RUN_UNTIL(n.w, n.thumbnail->held == 1);
	rs_cancel(n.inner.stream);
	RUN_UNTIL(n.w, n.thumbnail->cancels == 1);
	end_outer(&n);
	assert_int_equal(n.w->relay.counters.calls_abandoned, 1);
	nested_free(&n);
}

static void a_lost_host_loses_calls_of_both_sides(void **state)
{
	struct nested n = nested_new(SILENT);

	begin_outer(&n);
	host_ask(n.tiles, &n.inner, "thumbnail", 0, NULL);
	RUN_UNTIL(n.w, n.thumbnail->held == 1);
	backend_cut(n.thumbnail);
	RUN_UNTIL(n.w, !n.inner.stream);
	assert_int_equal(n.inner.code, RS_ERROR_CANCELED);
	RUN_UNTIL(n.w, n.w->relay.counters.upstream_up == 3);
	host_ask(n.tiles, &n.inner, "thumbnail", 0, NULL);
	RUN_UNTIL(n.w, n.thumbnail->held == 1);
	// Whoever asked is gone: the other host learns it, and the client that its call is lost.
	backend_cut(n.tiles);
	RUN_UNTIL(n.w, n.thumbnail->cancels == 1 && !n.outer.stream);
	assert_int_equal(n.outer.code, RS_ERROR_CANCELED);
	RUN_UNTIL(n.w, !n.inner.stream);
	assert_int_equal(n.inner.losses, 1);
	assert_int_equal(n.w->relay.counters.calls_abandoned, 1);
	assert_int_equal(n.w->relay.counters.calls_canceled, 2);
	nested_free(&n);
}

// Both streams of the call lie on one connection, which ends.
static void a_host_that_calls_itself_may_be_lost(void **state)
{
	struct nested n = nested_new(SILENT);
	struct ask many[20] = {0};

	begin_outer(&n);
	for (unsigned i = 0; i < 20; i++)
		host_ask(n.tiles, &many[i], "tiles", i % 2 ? 10 : 0, NULL);
	RUN_UNTIL(n.w, n.tiles->held == 21);
	assert_int_equal(n.tiles->accepted, 1);
	rs_cancel(many[0].stream);
	many[0].stream = NULL;
	RUN_UNTIL(n.w, n.tiles->cancels == 1);
	backend_cut(n.tiles);
	RUN_UNTIL(n.w, n.w->relay.calls_in_flight == 0 && !n.outer.stream && !many[19].stream);
	assert_int_equal(n.outer.code, RS_ERROR_CANCELED);
	nested_free(&n);
}

// A function that calls itself for ever: each call names the one before, and one is the last.
static void circles_end(void **state)
{
	struct nested n = nested_new(SILENT);
	struct ask deep[CALL_DEPTH_MAX + 1] = {0};
	uint8_t bytes[CALL_ENTRY_BYTES_MAX];
	unsigned depth;

	begin_outer(&n);
	for (depth = 0; depth <= CALL_DEPTH_MAX; depth++) {
		struct call_entry entry = {.id = entry_at(n.tiles, bytes).id};

		assert_int_equal(call_id_depth(entry.id), depth);
		host_ask(n.tiles, &deep[depth], "tiles", 0, &entry);
		RUN_UNTIL(n.w, n.tiles->held == depth + 2 || !deep[depth].stream);
		if (!deep[depth].stream)
			break;
	}
	assert_int_equal(depth, CALL_DEPTH_MAX);
	assert_int_equal(deep[depth].code, RS_ERROR_REJECTED);
	assert_int_equal(n.w->relay.counters.drop_too_deep, 1);
	while (n.tiles->held)
		backend_answer(n.tiles, 1);
	RUN_UNTIL(n.w, !n.outer.stream && !deep[depth - 1].stream);
	nested_free(&n);
}

static void only_hosts_may_ask(void **state)
{
	struct world *w = world_new();
	struct backend *b = backend_new(w, SILENT);
	struct peer *p = peer_new(w);
	struct ask outer = {0}, inner = {0};

	route(w, "endpoint", b, NULL);
	ask(p, &outer, "endpoint", 0, 1);
	RUN_UNTIL(w, b->held == 1);
	host_ask(b, &inner, "endpoint", 0, NULL);
	RUN_UNTIL(w, !inner.stream);
	assert_int_equal(inner.code, RS_ERROR_REJECTED);
	assert_int_equal(w->relay.counters.calls, 1);
	backend_answer(b, 1);
	world_expect_idle(w);
	peer_free(p);
	world_free(w);
}

// The token is for hosts; an endpoint does not get it, not even one at a host's address whose
// client uses the MIME types of hosts.
static void setup_tells_hosts_alone_who_we_are(void **state)
{
	struct world *w = world_new();
	struct backend *b = backend_new(w, ECHO);
	struct peer *p = peer_new(w);
	struct peer *composite = peer_new_mime(
		w, "message/x.rsocket.composite-metadata.v0", "application/octet-stream");
	struct rs_message message = {.has_metadata = true};
	uint8_t bytes[64];
	struct writer writer = writer_of(bytes, sizeof(bytes));
	struct ask a;
	int error;

	route_hosts(w, "function", 1, b, NULL);
	ask_wait(p, &a, "function", 1);
	assert_string_equal(b->setup, WORLD_HOST_SETUP);
	assert_string_equal(b->metadata_mime, "message/x.rsocket.composite-metadata.v0");
	route(w, "endpoint", b, NULL);
	rs_route_entry_write(&writer, "endpoint", 8);
	chain_push(&message.metadata, NULL, bytes, (uint32_t)(writer.at - bytes));
	a = (struct ask){0};
	a.stream = rs_request(&composite->session, RS_REQUEST_RESPONSE, 0, &message, &a, &error);
	RUN_UNTIL(w, !a.stream);
	assert_int_equal(a.items, 1);
	assert_int_equal(b->accepted, 2);
	assert_string_equal(b->setup, "");
	// What is kept for dialling again is no slice in use.
	assert_int_equal(w->relay.setups_kept, 1);
	world_expect_idle(w);
	peer_free(p);
	peer_free(composite);
	world_free(w);
}

// While a client is there its function's calls are served; then hosts are told to ask elsewhere,
// and what they have asked is finished.
static void a_drain_waits_for_functions(void **state)
{
	struct nested n = nested_new(SILENT);
	struct ask late = {0};

	begin_outer(&n);
	relay_drain(&n.w->relay, false);
	host_ask(n.tiles, &n.inner, "thumbnail", 0, NULL);
	RUN_UNTIL(n.w, n.thumbnail->held == 1);
	backend_answer(n.tiles, 1);
	RUN_UNTIL(n.w, !n.outer.stream);
	peer_free(n.p);
	RUN_UNTIL(n.w, n.w->relay.clients_count == 0);
	assert_false(relay_drain(&n.w->relay, false));
	host_ask(n.tiles, &late, "thumbnail", 0, NULL);
	RUN_UNTIL(n.w, !late.stream);
	assert_int_equal(late.code, RS_ERROR_REJECTED);
	assert_non_null(n.inner.stream);
	backend_answer(n.thumbnail, 1);
	RUN_UNTIL(n.w, relay_drain(&n.w->relay, false));
	RUN_UNTIL(n.w, !n.inner.stream);
	assert_int_equal(n.inner.items, 1);
	world_expect_idle(n.w);
	world_free(n.w);
}

// Loads

static void tell(
	struct backend *b, const char *name, uint32_t version, uint32_t queued, uint32_t running)
{
	uint8_t bytes[256];
	struct writer w = writer_of(bytes, sizeof(bytes));
	struct call_load load = {.namespace = "default", .namespace_len = 7, .name = name,
		.name_len = (uint8_t)strlen(name), .version = version, .queued = queued,
		.running = running, .capacity = 8};

	writer_u8(&w, CALL_LOAD_PUSH);
	assert_true(call_load_write(&w, &load));
	host_push(b, bytes, (size_t)(w.at - bytes));
}

// Until both hosts are connected.
static void warm_up(struct world *w, struct peer *p, struct backend *a, struct backend *b)
{
	struct ask ignored;
	ns_t end = clock_now() + WORLD_DEADLINE;

	while ((a->received == 0 || b->received == 0) && clock_now() < end)
		ask_wait(p, &ignored, "f", 1);
	assert_true(a->received > 0 && b->received > 0);
	a->received = b->received = 0;
}

static void calls_go_where_the_queue_is_short(void **state)
{
	struct world *w = world_new();
	struct backend *loaded = backend_new(w, ECHO), *idle = backend_new(w, ECHO);
	struct peer *p = peer_new(w);
	struct ask a;

	route_hosts(w, "f", 2, loaded, idle, NULL);
	warm_up(w, p, loaded, idle);
	// All are answered at once, so what the gateway has in flight tells nothing.
	tell(loaded, "f", 2, 100, 8);
	for (unsigned i = 0; i < 200; i++) {
		if (i % 50 == 0)
			tell(idle, "f", 2, 0, 0);
		RUN_UNTIL(w, w->relay.counters.loads_told == 2 + i / 50);
		ask_wait(p, &a, "f", 1);
	}
	assert_int_equal(loaded->received, 0);
	assert_int_equal(idle->received, 200);
	// Of another version of the function it is another load.
	route_hosts(w, "f", 3, loaded, idle, NULL);
	for (unsigned i = 0; i < 100; i++)
		ask_wait(p, &a, "f", 1);
	assert_true(loaded->received > 20);
	// What was told long ago does not count.
	route_hosts(w, "f", 2, loaded, idle, NULL);
	loaded->received = 0;
	world_skip(w, LOAD_AGE_MAX);
	for (unsigned i = 0; i < 100; i++)
		ask_wait(p, &a, "f", 1);
	assert_true(loaded->received > 20);
	world_expect_idle(w);
	peer_free(p);
	world_free(w);
}

// Between two pushes the gateway counts what it has sent: not all go to the one that was idle.
static void calls_since_are_counted(void **state)
{
	struct world *w = world_new();
	struct backend *a = backend_new(w, ECHO), *b = backend_new(w, ECHO);
	struct peer *p = peer_new(w);
	struct ask one;

	route_hosts(w, "f", 2, a, b, NULL);
	warm_up(w, p, a, b);
	tell(a, "f", 2, 10, 0);
	tell(b, "f", 2, 0, 0);
	RUN_UNTIL(w, w->relay.counters.loads_told == 2);
	for (unsigned i = 0; i < 110; i++)
		ask_wait(p, &one, "f", 1);
	assert_in_range(a->received, 45, 55);
	world_expect_idle(w);
	peer_free(p);
	world_free(w);
}

static void malformed_loads_are_counted(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		bool invalid;
	} pushes[] = {
		{"", 0, true},
		{"\2", 1, false}, // nothing changed
		{"\1abc", 4, false}, // of another kind
		{"\2\7default", 9, true},
		{"\2\7default\1f\0\0\0\1", 15, true},
		{"\2\0\1f" "0123456789abcdef", 20, true},
		{"\2\377default", 9, true},
	};
	static uint8_t large[CALL_LOAD_BYTES_MAX + 1] = {CALL_LOAD_PUSH};
	struct world *w = world_new();
	struct backend *b = backend_new(w, ECHO);
	struct peer *p = peer_new(w);
	struct ask a;
	unsigned invalid = 0;

	route_hosts(w, "f", 2, b, NULL);
	ask_wait(p, &a, "f", 1);
	for (unsigned i = 0; i < sizeof(pushes) / sizeof(pushes[0]); i++) {
		host_push(b, pushes[i].bytes, pushes[i].len);
		invalid += pushes[i].invalid;
	}
	host_push(b, large, sizeof(large));
	tell(b, "unknown", 2, 1, 1);
	tell(b, "f", 2, 1, 1);
	RUN_UNTIL(w, w->relay.counters.loads_told == 1);
	assert_int_equal(w->relay.counters.loads_invalid, invalid + 1);
	ask_wait(p, &a, "f", 1);
	assert_int_equal(a.items, 1);
	assert_int_equal(b->accepted, 1);
	world_expect_idle(w);
	peer_free(p);
	world_free(w);
}

int main(void)
{
	char *args[] = {"test-relay-hosts", "--no-huge", "--no-pci", "--no-shconf", "-m", "64",
		"--log-level", "critical", NULL};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_function_calls_another),
		cmocka_unit_test(streams_of_functions_obey_credit),
		cmocka_unit_test(refusals_and_errors_reach_functions),
		cmocka_unit_test(cancels_pass_from_function_to_function),
		cmocka_unit_test(a_lost_host_loses_calls_of_both_sides),
		cmocka_unit_test(a_host_that_calls_itself_may_be_lost),
		cmocka_unit_test(circles_end),
		cmocka_unit_test(only_hosts_may_ask),
		cmocka_unit_test(setup_tells_hosts_alone_who_we_are),
		cmocka_unit_test(a_drain_waits_for_functions),
		cmocka_unit_test(calls_go_where_the_queue_is_short),
		cmocka_unit_test(calls_since_are_counted),
		cmocka_unit_test(malformed_loads_are_counted),
	};

	if (rte_eal_init(8, args) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
