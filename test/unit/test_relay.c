// SPDX-License-Identifier: Apache-2.0
// The relay: calls of every kind, from clients over TCP to backends and back; what is refused, and
// how it is counted. Credits are in test_relay_flow.c, losses and changes in test_relay_faults.c.
#include "test/unit/relay_world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>

#include "lib/rsocket/metadata.h"

static void request_response(void **state)
{
	struct world *w = world_new();
	struct backend *b = backend_new(w, ECHO);
	struct peer *p = peer_new(w);
	struct ask a[100] = {0}, empty = {0};
	struct ask *last = &a[99];

	route(w, "echo", b, NULL);
	for (unsigned i = 0; i < 100; i++)
		ask(p, &a[i], "echo", 0, i * 100);
	RUN_UNTIL(w, !last->stream);
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(a[i].items, 1);
		assert_int_equal(a[i].completes, 1);
		assert_int_equal(a[i].bytes, i * 100);
		assert_false(a[i].has_metadata);
	}
	ask_wait(p, &empty, "echo", 0);
	assert_int_equal(empty.items, 1);
	world_expect_idle(w);
	assert_int_equal(w->relay.counters.calls, 101);
	assert_int_equal(w->relay.counters.calls_ok, 101);
	assert_int_equal(w->relay.counters.upstream_up, 1);
	assert_int_equal(b->accepted, 1);
	assert_int_equal(w->services[0].outcomes[CALL_OK], 101);
	assert_int_equal(w->services[0].service_time_ns.count, 101);
	peer_free(p);
	world_free(w);
}

// Fragmented both ways, several at once, with small calls between.
static void fifteen_megabytes_both_ways(void **state)
{
	struct world *w = world_new();
	struct backend *b = backend_new(w, ECHO);
	struct peer *p = peer_new(w);
	struct ask large[3] = {0}, small[50] = {0};

	route(w, "echo", b, NULL);
	for (unsigned i = 0; i < 3; i++)
		ask(p, &large[i], "echo", 0, 15u << 20);
	for (unsigned i = 0; i < 50; i++)
		ask(p, &small[i], "echo", 0, 10);
	RUN_UNTIL(w, !small[49].stream);
	assert_non_null(large[0].stream);
	RUN_UNTIL(w, !large[0].stream && !large[1].stream && !large[2].stream);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(large[i].bytes, 15u << 20);
	world_expect_idle(w);
	assert_int_equal(w->relay.counters.calls_ok, 53);
	peer_free(p);
	world_free(w);
}

static void fire_and_forget(void **state)
{
	struct world *w = world_new();
	struct backend *b = backend_new(w, ECHO);
	struct peer *p = peer_new(w);
	struct ask a;

	route(w, "log", b, NULL);
	// The first ones wait for the connection.
	for (unsigned i = 0; i < 10; i++)
		ask_fnf(p, "log", 100);
	ask_fnf(p, "log", 1 << 20);
	RUN_UNTIL(w, b->fnfs == 11);
	assert_int_equal(b->bytes, 1000 + (1 << 20));
	ask_fnf(p, "nowhere", 10);
	RUN_UNTIL(w, w->relay.counters.drop_no_service == 1);
	// Towards a backend that is down they are counted as rejected; nobody is told (rule 64).
	backend_unlisten(b);
	backend_cut(b);
	RUN_UNTIL(w, w->relay.counters.upstream_down >= 2);
	ask_fnf(p, "log", 10);
	RUN_UNTIL(w, w->relay.counters.drop_targets_down == 1);
	ask_wait(p, &a, "log", 1);
	assert_int_equal(a.code, RS_ERROR_REJECTED);
	world_expect_idle(w);
	assert_int_equal(w->relay.counters.calls_ok, 11);
	assert_int_equal(w->relay.counters.calls_rejected, 3);
	assert_int_equal(p->code, 0);
	peer_free(p);
	world_free(w);
}

// Codes and texts of backends, their own ones too (rule 82).
static void errors_pass_unchanged(void **state)
{
	static const struct {
		uint32_t code;
		enum call_outcome outcome;
	} cases[] = {
		{RS_ERROR_APPLICATION, CALL_ERROR},
		{RS_ERROR_REJECTED, CALL_REJECTED},
		{RS_ERROR_CANCELED, CALL_CANCELED},
		{RS_ERROR_INVALID, CALL_INVALID},
		{0x301, CALL_ERROR},
		{0xfffffffe, CALL_ERROR},
	};
	struct world *w = world_new();
	struct backend *b = backend_new(w, REFUSE);
	struct peer *p = peer_new(w);

	route(w, "f", b, NULL);
	b->text = "m\xc3\xbc"
		  "de";
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t before = w->services[0].outcomes[cases[i].outcome];
		struct ask a;

		b->code = cases[i].code;
		ask_wait(p, &a, "f", 1);
		assert_int_equal(a.code, cases[i].code);
		assert_string_equal(a.text, b->text);
		assert_int_equal(w->services[0].outcomes[cases[i].outcome], before + 1);
	}
	world_expect_idle(w);
	peer_free(p);
	world_free(w);
}

static void unknown_functions_and_bad_routes(void **state)
{
	struct world *w = world_new();
	struct backend *b = backend_new(w, ECHO);
	struct peer *p = peer_new(w), *composite;
	struct rs_message none = {0};
	struct ask a;
	int error;

	route(w, "echo", b, NULL);
	route(w, "empty", NULL);
	ask_wait(p, &a, "ech", 1);
	assert_int_equal(a.code, RS_ERROR_REJECTED);
	assert_string_equal(a.text, "no such function: ech");
	ask_wait(p, &a, "empty", 1);
	assert_int_equal(a.code, RS_ERROR_REJECTED);
	assert_string_equal(a.text, "no live instance of empty");
	a = (struct ask){0};
	a.stream = rs_request(&p->session, RS_REQUEST_RESPONSE, 0, &none, &a, &error);
	ask_fnf(p, "echo", 1);
	RUN_UNTIL(w, !a.stream);
	assert_int_equal(a.code, RS_ERROR_INVALID);
	// A name that is not text is not quoted: the data of an ERROR is UTF-8 (rule 81).
	ask_wait(p, &a, "\xff\xfe", 1);
	assert_int_equal(a.code, RS_ERROR_REJECTED);
	assert_null(strchr(a.text, '\xff'));
	ask_wait(p, &a, "\xc3\xbc", 1);
	assert_string_equal(a.text, "no such function: \xc3\xbc");
	// The metadata of another kind of connection is malformed there.
	composite = peer_new_mime(w, "message/x.rsocket.composite-metadata.v0", "text/plain");
	ask_wait(composite, &a, "echo", 1);
	assert_int_equal(a.code, RS_ERROR_INVALID);
	world_expect_idle(w);
	assert_int_equal(w->relay.counters.drop_no_service, 3);
	assert_int_equal(w->relay.counters.drop_no_target, 1);
	assert_int_equal(w->relay.counters.drop_no_route, 2);
	assert_int_equal(w->relay.counters.calls_invalid, 2);
	assert_int_equal(w->services[0].outcomes[CALL_OK], 1);
	peer_free(p);
	peer_free(composite);
	world_free(w);
}

// MIME types belong to a connection: each pair has its own upstream, with the client's types.
static void mime_types_reach_the_backend(void **state)
{
	struct world *w = world_new();
	struct backend *b = backend_new(w, ECHO);
	struct peer *p = peer_new(w),
		    *q = peer_new_mime(w, "message/x.rsocket.routing.v0", "text/plain");
	struct peer *same = peer_new(w);
	struct ask a;

	route(w, "echo", b, NULL);
	ask_wait(p, &a, "echo", 1);
	assert_string_equal(b->metadata_mime, "message/x.rsocket.routing.v0");
	assert_string_equal(b->data_mime, "application/octet-stream");
	ask_wait(q, &a, "echo", 1);
	assert_string_equal(b->data_mime, "text/plain");
	assert_int_equal(b->accepted, 2);
	ask_wait(same, &a, "echo", 1);
	assert_int_equal(b->accepted, 2);
	assert_int_equal(w->targets[0].connections, 2);
	peer_free(p);
	peer_free(q);
	peer_free(same);
	world_free(w);
}

static void composite_metadata_passes_unchanged(void **state)
{
	struct world *w = world_new();
	struct backend *b = backend_new(w, ECHO);
	struct peer *p = peer_new_mime(w, "message/x.rsocket.composite-metadata.v0", "text/plain");
	struct rs_message message = {.has_metadata = true};
	uint8_t bytes[64];
	struct writer writer = writer_of(bytes, sizeof(bytes));
	struct ask a = {0};
	int error;

	route(w, "person.*", b, NULL);
	rs_route_entry_write(&writer, "person.find", 11);
	chain_push(&message.metadata, NULL, bytes, (uint32_t)(writer.at - bytes));
	chain_push(&message.data, NULL, (const uint8_t *)"x", 1);
	a.stream = rs_request(&p->session, RS_REQUEST_RESPONSE, 0, &message, &a, &error);
	RUN_UNTIL(w, !a.stream);
	assert_int_equal(a.items, 1);
	world_expect_idle(w);
	peer_free(p);
	world_free(w);
}

static void load_goes_to_the_less_busy(void **state)
{
	struct world *w = world_new();
	struct backend *slow = backend_new(w, SILENT), *fast = backend_new(w, ECHO);
	struct peer *p = peer_new(w);
	static struct ask a[200];

	memset(a, 0, sizeof(a));
	route(w, "f", slow, fast, NULL);
	for (unsigned i = 0; i < 200; i++) {
		ask(p, &a[i], "f", 0, 10);
		world_step(w);
		world_step(w);
	}
	RUN_UNTIL(w, slow->received + fast->received == 200);
	// One is left waiting at the slow one; more only before both were connected, or when both
	// were idle.
	assert_true(slow->received <= 20);
	while (slow->held)
		backend_answer(slow, 1);
	world_expect_idle(w);
	assert_int_equal(w->relay.counters.calls_ok, 200);
	peer_free(p);
	world_free(w);
}

// A target without fragments gets whole frames: small calls and large ones on connections of their
// own.
static void whole_frames_for_who_cannot_reassemble(void **state)
{
	struct world *w = world_new();
	struct backend *b = backend_new(w, ECHO);
	const char *address = b->address;
	struct service_spec spec = {
		.namespace = "default", .route = "echo", .targets = &address, .targets_count = 1};
	struct peer *p = peer_new(w);
	struct ask a, large = {0};

	assert_int_equal(table_put(w->table, &spec), 0);
	ask_wait(p, &a, "echo", 100);
	assert_int_equal(b->accepted, 1);
	ask(p, &large, "echo", 0, 5u << 20);
	ask_wait(p, &a, "echo", 100);
	RUN_UNTIL(w, !large.stream);
	assert_int_equal(large.bytes, 5u << 20);
	assert_int_equal(b->accepted, 2);
	world_expect_idle(w);
	peer_free(p);
	world_free(w);
}

// One that asks and leaves the table as it was.
static void upstream_connections_close_when_idle(void **state)
{
	struct world *w = world_new();
	struct backend *b = backend_new(w, ECHO);
	struct peer *p = peer_new(w);
	struct ask a;

	route(w, "echo", b, NULL);
	ask_wait(p, &a, "echo", 1);
	world_skip(w, UPSTREAM_IDLE - NS_PER_SEC);
	world_run(w, 5 * NS_PER_MS);
	assert_int_equal(backend_connections(b), 1);
	world_skip(w, 2 * NS_PER_SEC);
	// In the very step in which it is closed a call finds another connection.
	ask_wait(p, &a, "echo", 1);
	assert_int_equal(a.items, 1);
	RUN_UNTIL(w, b->accepted == 2 && backend_connections(b) == 1);
	assert_int_equal(w->relay.counters.upstream_idle_closed, 1);
	assert_int_equal(w->targets[0].connections, 1);
	assert_int_equal(w->targets[0].dialled, 1);
	world_expect_idle(w);
	peer_free(p);
	world_free(w);
}

int main(void)
{
	char *args[] = {"test-relay", "--no-huge", "--no-pci", "--no-shconf", "-m", "64",
		"--log-level", "critical", NULL};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(request_response),
		cmocka_unit_test(fifteen_megabytes_both_ways),
		cmocka_unit_test(fire_and_forget),
		cmocka_unit_test(errors_pass_unchanged),
		cmocka_unit_test(unknown_functions_and_bad_routes),
		cmocka_unit_test(mime_types_reach_the_backend),
		cmocka_unit_test(composite_metadata_passes_unchanged),
		cmocka_unit_test(load_goes_to_the_less_busy),
		cmocka_unit_test(whole_frames_for_who_cannot_reassemble),
		cmocka_unit_test(upstream_connections_close_when_idle),
	};

	if (rte_eal_init(8, args) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
