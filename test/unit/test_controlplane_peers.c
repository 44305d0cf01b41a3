// SPDX-License-Identifier: Apache-2.0
// The control plane's side of the peer protocol over a real Unix socket: SETUP, watching with
// credits, reports, the same name twice, garbage, and a gateway that stops reading. Two loops,
// stepped in turn.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "controlplane/peers.h"
#include "controlplane/store.h"
#include "lib/rsocket/metadata.h"

#define CLIENTS 3
#define ITEMS_MAX 5000
#define DEADLINE (20 * NS_PER_SEC)

struct client {
	struct link link;
	struct env *env;
	struct rs_stream *watch;
	int ups, downs;
	char why[200];
	uint32_t error_code;
	char error[200];
	char *items[ITEMS_MAX];
	size_t count;
	bool closed;
};

struct env {
	char path[64];
	struct sockaddr_un addr;
	struct store *store;
	struct registry registry;
	struct publisher publisher;
	struct telemetry *telemetry;
	struct loop *server_loop, *client_loop;
	struct peers peers;
	struct buf_pool *blocks;
	struct rs_pool *pool;
	struct link_hub hub;
	struct client clients[CLIENTS];
};

// ---- the gateway's end ----

static struct client *client_of(struct rs_session *s)
{
	return container_of(link_of(s), struct client, link);
}

static void on_payload(
	struct rs_stream *stream, struct rs_message *message, bool next, bool complete)
{
	struct client *c = client_of(stream->session);
	char *text = calloc(1, message->data.len + 1);

	assert_true(next);
	assert_false(complete);
	assert_true(c->count < ITEMS_MAX);
	chain_read(&message->data, 0, text, message->data.len);
	c->items[c->count++] = text;
}

static void on_error(struct rs_stream *stream, uint32_t code, struct chain *text)
{
	struct client *c = client_of(stream->session);

	c->error_code = code;
	c->error[chain_read(text, 0, c->error, sizeof(c->error) - 1)] = 0;
	if (stream == c->watch)
		c->watch = NULL;
}

static void on_lost(struct rs_stream *stream, bool sent)
{
	struct client *c = client_of(stream->session);

	(void)sent;
	if (stream == c->watch)
		c->watch = NULL;
}

static const struct rs_handler client_handler = {
	.wake = link_wake,
	.closed = link_ended,
	.payload = on_payload,
	.error = on_error,
	.lost = on_lost,
};

static void on_up(struct link *link)
{
	container_of(link, struct client, link)->ups++;
}

static void on_down(struct link *link, const char *why)
{
	struct client *c = container_of(link, struct client, link);

	if (c->downs++ == 0)
		snprintf(c->why, sizeof(c->why), "%s", why);
	c->closed = link->state == LINK_CLOSED;
	if (!c->closed)
		link_close(link);  // once is enough in these tests
}

static const struct link_ops client_ops = {.up = on_up, .down = on_down};

static void dial(struct env *e, int i, const char *setup_json)
{
	struct client *c = &e->clients[i];
	struct rs_message setup = {0};
	struct rs_config config = {
		.handler = &client_handler,
		.keepalive_ms = 1000,
		.lifetime_ms = 5000,
		.metadata_mime = "message/x.rsocket.composite-metadata.v0",
		.data_mime = "application/json",
		.setup = &setup,
	};

	for (size_t k = 0; k < c->count; k++)
		free(c->items[k]);
	*c = (struct client){.env = e};
	chain_copy(&setup.data, e->blocks, setup_json, strlen(setup_json));
	assert_int_equal(link_dial(&c->link, &e->hub, (struct sockaddr *)&e->addr, sizeof(e->addr),
				 &config, &client_ops, NULL),
		0);
}

#define HELLO(name)                                                                 \
	"{\"protocol\":{\"min\":1,\"max\":1},\"role\":\"gateway\",\"name\":\"" name \
	"\",\"version\":\"9.9\",\"start\":\"s1\",\"workers\":3,\"unknown\":true}"

static struct rs_message request(struct env *e, const char *route, const char *data)
{
	struct rs_message m = {.has_metadata = true};
	uint8_t bytes[300];
	struct writer w = writer_of(bytes, sizeof(bytes));

	rs_route_entry_write(&w, route, (uint8_t)strlen(route));
	assert_int_equal(chain_copy(&m.metadata, e->blocks, bytes, (size_t)(w.at - bytes)), 0);
	assert_int_equal(chain_copy(&m.data, e->blocks, data, strlen(data)), 0);
	return m;
}

static void watch(struct env *e, int i, const char *data, uint32_t credit)
{
	struct rs_message m = request(e, "penstock.watch", data);
	int error = 0;

	e->clients[i].watch = rs_request(
		&e->clients[i].link.session, RS_REQUEST_STREAM, credit, &m, NULL, &error);
	assert_non_null(e->clients[i].watch);
}

static void report(struct env *e, int i, const char *data)
{
	struct rs_message m = request(e, "penstock.report", data);

	assert_int_equal(rs_fire_and_forget(&e->clients[i].link.session, &m), 0);
}

// ---- both ends ----

static void step(struct env *e)
{
	loop_step(e->server_loop, 0);
	loop_step(e->client_loop, clock_now() + NS_PER_MS);
}

#define UNTIL(e, condition)                                        \
	do {                                                       \
		ns_t give_up = clock_now() + DEADLINE;             \
		while (!(condition)) {                             \
			if (clock_now() > give_up)                 \
				fail_msg("never: %s", #condition); \
			step(e);                                   \
		}                                                  \
	} while (0)

static void settle_down(struct env *e)
{
	for (int i = 0; i < 30; i++)
		step(e);
}

static void on_changed(void *user, const struct change *c)
{
	publisher_apply(&((struct env *)user)->publisher, c);
}

static void put_json(struct env *e, enum kind kind, const char *text)
{
	const struct resource *res;
	struct schema_error error;
	json_t *in = json_loads(text, 0, NULL),
	       *object = schema_normalize(&kinds[kind], in, &error);

	assert_non_null(object);
	assert_int_equal(registry_put(&e->registry, kind, object, 1, &res), 0);
	assert_int_equal(registry_flush(&e->registry), 0);
	json_decref(in);
	json_decref(object);
}

static void put_endpoint(struct env *e, const char *name, const char *address)
{
	char text[200];

	snprintf(text, sizeof(text),
		"{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"addresses\":[\"%s\"],\"routes\":[\"%"
		"s\"]}}",
		name, address, name);
	put_json(e, KIND_ENDPOINT, text);
}

static int setup(void **state)
{
	struct env *e = calloc(1, sizeof(*e));
	int error;

	snprintf(e->path, sizeof(e->path), "/tmp/penstock-peers-%d.sock", (int)getpid());
	e->addr.sun_family = AF_UNIX;
	strcpy(e->addr.sun_path, e->path);
	unlink(e->path);
	e->store = store_mem_new();
	assert_int_equal(registry_init(&e->registry, e->store), 0);
	publisher_init(&e->publisher, &e->registry);
	registry_observe(&e->registry, on_changed, e);
	e->telemetry = telemetry_new(clock_now());
	e->server_loop = loop_new(&(struct loop_config){.entries = 64, .buffers = 64}, &error);
	e->client_loop = loop_new(&(struct loop_config){.entries = 64, .buffers = 64}, &error);
	if (!e->server_loop || !e->client_loop)
		fail_msg("no io_uring: %s", strerror(-error));
	e->blocks = buf_pool_new(16384, 64u << 20);
	e->pool = rs_pool_new(256, e->blocks);
	link_hub_init(&e->hub, e->client_loop, e->pool);
	assert_int_equal(peers_start(&e->peers,
				 &(struct peers_config){.loop = e->server_loop,
					 .registry = &e->registry,
					 .publisher = &e->publisher,
					 .telemetry = e->telemetry}),
		0);
	assert_int_equal(
		peers_listen(&e->peers, (struct sockaddr *)&e->addr, sizeof(e->addr)), 0);
	put_json(e, KIND_GATEWAY, "{\"metadata\":{\"name\":\"gw1\"}}");
	*state = e;
	return 0;
}

static int teardown(void **state)
{
	struct env *e = *state;

	for (int i = 0; i < CLIENTS; i++) {
		if (e->clients[i].env && !e->clients[i].closed)
			link_close(&e->clients[i].link);
	}
	UNTIL(e, !e->clients[0].env || e->clients[0].closed);
	UNTIL(e, !e->clients[1].env || e->clients[1].closed);
	UNTIL(e, !e->clients[2].env || e->clients[2].closed);
	peers_stop(&e->peers);
	UNTIL(e, e->peers.count == 0);
	// Every stream and every block has come back.
	assert_int_equal(rs_pool_streams(e->peers.pool), 0);
	assert_int_equal(buf_pool_bytes(e->peers.blocks), 0);
	loop_destroy(e->server_loop);
	loop_destroy(e->client_loop);
	peers_fini(&e->peers);
	rs_pool_destroy(e->pool);
	buf_pool_destroy(e->blocks);
	for (int i = 0; i < CLIENTS; i++)
		for (size_t k = 0; k < e->clients[i].count; k++)
			free(e->clients[i].items[k]);
	telemetry_destroy(e->telemetry);
	publisher_fini(&e->publisher);
	registry_fini(&e->registry);
	store_close(e->store);
	chain_nodes_free();
	unlink(e->path);
	free(e);
	return 0;
}

// ---- tests ----

static bool has(const struct client *c, size_t i, const char *part)
{
	return i < c->count && strstr(c->items[i], part);
}

static void test_snapshot_and_deltas(void **state)
{
	struct env *e = *state;
	struct client *c = &e->clients[0];

	put_endpoint(e, "orders", "10.77.0.1:7000");
	dial(e, 0, HELLO("gw1"));
	watch(e, 0, "{\"epoch\":\"\",\"after\":0}", 100);
	UNTIL(e, c->count >= 4);
	assert_true(has(c, 0, "\"op\":\"snapshot_begin\""));
	assert_true(has(c, 0, e->publisher.epoch));
	assert_true(has(c, 1, "\"op\":\"gateway\""));
	assert_true(has(c, 1, "\"listeners\":[{\"port\":7878}]"));
	assert_true(has(c, 2, "\"address\":\"10.77.0.1:7000\""));
	assert_true(has(c, 3, "\"op\":\"snapshot_end\""));
	put_endpoint(e, "orders", "10.77.0.1:7001");
	UNTIL(e, c->count >= 5);
	assert_true(has(c, 4, "10.77.0.1:7001"));
	assert_int_equal(registry_delete(&e->registry, KIND_ENDPOINT, "orders", 1), 0);
	assert_int_equal(registry_flush(&e->registry), 0);
	UNTIL(e, c->count >= 6);
	assert_true(has(c, 5, "\"op\":\"service_gone\""));
	assert_true(telemetry_is_connected(e->telemetry, "gw1"));
}

static void test_credits_bound_what_is_sent(void **state)
{
	struct env *e = *state;
	struct client *c = &e->clients[0];
	char name[32];

	for (int i = 0; i < 50; i++) {
		snprintf(name, sizeof(name), "e%d", i);
		put_endpoint(e, name, "10.0.0.1:1");
	}
	dial(e, 0, HELLO("gw1"));
	watch(e, 0, "{}", 3);
	UNTIL(e, c->count >= 3);
	settle_down(e);
	assert_int_equal(c->count, 3);
	// Changes meanwhile cost nothing: what is told later is told as it then is.
	for (int i = 0; i < 1000; i++)
		put_endpoint(e, "e7", i % 2 ? "10.0.0.2:1" : "10.0.0.3:1");
	settle_down(e);
	assert_int_equal(c->count, 3);
	rs_request_n(c->watch, 1000);
	UNTIL(e, c->count >= 53);
	settle_down(e);
	assert_int_equal(c->count, 53);
	assert_true(has(c, 52, "snapshot_end"));
}

static void test_thousand_changes_reach_a_reader(void **state)
{
	struct env *e = *state;
	struct client *c = &e->clients[0];
	char address[32];
	ns_t start;

	dial(e, 0, HELLO("gw1"));
	watch(e, 0, "{}", 10000);
	UNTIL(e, c->count >= 3);
	start = clock_now();
	for (int i = 0; i < 1000; i++) {
		snprintf(address, sizeof(address), "10.0.%d.%d:1", i >> 8, i & 255);
		put_endpoint(e, "hot", address);
		step(e);
	}
	UNTIL(e, has(c, c->count - 1, "10.0.3.231:1"));
	assert_true(clock_now() - start < 10 * NS_PER_SEC);
}

static void test_setup_is_checked(void **state)
{
	struct env *e = *state;
	static const struct {
		const char *setup, *part;
	} cases[] = {
		{"", "must be a JSON object"},
		{"[1,2]", "must be a JSON object"},
		{"{\"role\":\"gateway\",\"name\":\"gw1\"}", "speaks protocol 1 alone"},
		{"{\"protocol\":{\"min\":2,\"max\":9},\"role\":\"gateway\",\"name\":\"gw1\"}",
			"run the same version"},
		{"{\"protocol\":{\"min\":1,\"max\":1},\"role\":\"boss\",\"name\":\"gw1\"}",
			"must be gateway or host"},
		{"{\"protocol\":{\"min\":1,\"max\":1},\"role\":\"host\",\"name\":\"gw1\"}",
			"no hosts are served"},
		{"{\"protocol\":{\"min\":1,\"max\":1},\"role\":\"gateway\",\"name\":\"GW 1\"}",
			"small letters"},
		{"{\"protocol\":{\"min\":1,\"max\":1},\"role\":\"gateway\"}", "small letters"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		dial(e, 0, cases[i].setup);
		UNTIL(e, e->clients[0].closed);
		if (!strstr(e->clients[0].why, cases[i].part))
			fail_msg("'%s' for %s", e->clients[0].why, cases[i].setup);
		assert_false(telemetry_is_connected(e->telemetry, "gw1"));
	}
	assert_int_equal(e->peers.refused, sizeof(cases) / sizeof(cases[0]));
	// A range that includes ours is fine.
	dial(e, 0, "{\"protocol\":{\"min\":0,\"max\":7},\"role\":\"gateway\",\"name\":\"gw1\"}");
	UNTIL(e, telemetry_is_connected(e->telemetry, "gw1"));
}

static void test_newer_connection_wins(void **state)
{
	struct env *e = *state;

	dial(e, 0, HELLO("gw1"));
	watch(e, 0, "{}", 100);
	UNTIL(e, e->clients[0].count >= 3);
	dial(e, 1, HELLO("gw1"));
	watch(e, 1, "{}", 100);
	UNTIL(e, e->clients[0].closed && e->clients[1].count >= 3);
	settle_down(e);
	assert_int_equal(e->peers.count, 1);
	// The end of the old one does not count as the gateway's.
	assert_true(telemetry_is_connected(e->telemetry, "gw1"));
	link_close(&e->clients[1].link);
	UNTIL(e, e->peers.count == 0);
	assert_false(telemetry_is_connected(e->telemetry, "gw1"));
}

static void test_unknown_gateway_waits(void **state)
{
	struct env *e = *state;
	struct client *c = &e->clients[0];

	dial(e, 0, HELLO("gw2"));
	watch(e, 0, "{}", 100);
	UNTIL(e, e->peers.count == 1);
	settle_down(e);
	assert_int_equal(c->count, 0);
	put_json(e, KIND_GATEWAY, "{\"metadata\":{\"name\":\"gw2\"}}");
	UNTIL(e, c->count >= 3);
}

static void test_resume(void **state)
{
	struct env *e = *state;
	char data[100];

	put_endpoint(e, "a", "10.0.0.1:1");
	snprintf(data, sizeof(data), "{\"epoch\":\"%s\",\"after\":%llu}", e->publisher.epoch,
		(unsigned long long)e->registry.durable);
	put_endpoint(e, "b", "10.0.0.1:1");
	dial(e, 0, HELLO("gw1"));
	watch(e, 0, data, 100);
	UNTIL(e, e->clients[0].count >= 1);
	settle_down(e);
	assert_int_equal(e->clients[0].count, 1);
	assert_true(has(&e->clients[0], 0, "\"route\":\"b\""));
}

static json_t *status(struct env *e)
{
	return telemetry_status(
		e->telemetry, registry_get(&e->registry, KIND_GATEWAY, "gw1"), clock_now());
}

static bool reports(struct env *e, json_int_t in_flight)
{
	json_t *s = status(e);
	bool is = json_integer_value(json_object_get(s, "calls_in_flight")) == in_flight;

	json_decref(s);
	return is;
}

static void test_reports(void **state)
{
	struct env *e = *state;
	json_t *s;

	dial(e, 0, HELLO("gw1"));
	report(e, 0,
		"{\"start\":\"s1\",\"uptime_ms\":5,\"workers\":[{\"id\":0,\"connections\":3,"
		"\"calls_in_flight\":41}]}");
	UNTIL(e, reports(e, 41));
	s = status(e);
	assert_string_equal(json_string_value(json_object_get(s, "version")), "9.9");
	assert_true(json_is_true(json_object_get(s, "connected")));
	json_decref(s);
	// Nonsense is passed over, and the connection goes on.
	report(e, 0, "{");
	report(e, 0, "[]");
	report(e, 0, "{\"start\":7}");
	report(e, 0, "{\"start\":\"s1\",\"workers\":[{\"id\":0,\"calls_in_flight\":42}]}");
	UNTIL(e, reports(e, 42));
	assert_int_equal(e->clients[0].downs, 0);
}

static void test_unknown_requests(void **state)
{
	struct env *e = *state;
	struct client *c = &e->clients[0];
	struct rs_message m;
	int error;

	dial(e, 0, HELLO("gw1"));
	m = request(e, "penstock.nothing", "{}");
	assert_non_null(rs_request(&c->link.session, RS_REQUEST_RESPONSE, 0, &m, NULL, &error));
	UNTIL(e, c->error_code);
	assert_int_equal(c->error_code, RS_ERROR_REJECTED);
	c->error_code = 0;
	m = request(e, "penstock.watch", "{}");
	assert_non_null(rs_request(&c->link.session, RS_REQUEST_RESPONSE, 0, &m, NULL, &error));
	UNTIL(e, c->error_code);
	assert_int_equal(c->error_code, RS_ERROR_INVALID);
	c->error_code = 0;
	watch(e, 0, "not json", 10);
	UNTIL(e, c->error_code);
	assert_int_equal(c->error_code, RS_ERROR_INVALID);
	c->error_code = 0;
	// No routing metadata at all.
	m = (struct rs_message){0};
	assert_non_null(rs_request(&c->link.session, RS_REQUEST_RESPONSE, 0, &m, NULL, &error));
	UNTIL(e, c->error_code);
	assert_int_equal(c->error_code, RS_ERROR_REJECTED);
	// A watch still works, and a second one takes its place.
	c->error_code = 0;
	watch(e, 0, "{}", 100);
	UNTIL(e, c->count >= 3);
	watch(e, 0, "{}", 100);
	UNTIL(e, c->error_code == RS_ERROR_CANCELED && c->count >= 6);
	rs_cancel(c->watch);
	c->watch = NULL;
	settle_down(e);
	put_endpoint(e, "a", "10.0.0.1:1");
	settle_down(e);
	assert_int_equal(c->count, 6);
}

static void raw_connection(struct env *e, const void *bytes, size_t len)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&e->addr, sizeof(e->addr)), 0);
	if (len)
		assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), len);
	settle_down(e);
	close(fd);
	UNTIL(e, e->peers.count == 0);
}

static void test_garbage(void **state)
{
	struct env *e = *state;
	uint8_t bytes[4096];

	raw_connection(e, "GET / HTTP/1.1\r\n\r\n", 18);
	raw_connection(e, "", 0);
	raw_connection(e, "\0\0\1", 3);
	for (int round = 0; round < 20; round++) {
		struct rng rng;

		rng_seed(&rng, (uint64_t)round);
		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)rng_next(&rng);
		bytes[0] = 0;  // a length that is believed
		raw_connection(e, bytes, sizeof(bytes));
	}
	dial(e, 0, HELLO("gw1"));
	UNTIL(e, telemetry_is_connected(e->telemetry, "gw1"));
}

// A gateway with all the credit in the world that does not read: what it costs is bounded.
static void test_stalled_reader_costs_little(void **state)
{
	struct env *e = *state;
	struct client *c = &e->clients[0];
	char name[32], address[40];

	dial(e, 0, HELLO("gw1"));
	c->link.read_max = 1;
	watch(e, 0, "{}", 1000000);
	for (int i = 0; i < 40; i++)
		step(e);
	for (int i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "e%d", i);
		snprintf(address, sizeof(address), "10.0.%d.%d:1", i >> 8, i & 255);
		put_endpoint(e, name, address);
		if (i % 100 == 0)
			loop_step(e->server_loop, 0);
	}
	step(e);
	assert_true(c->count < 2900);
	assert_true(buf_pool_bytes(e->peers.blocks) < 2u << 20);
	// It reads again: it catches up.
	c->link.read_max = UINT64_MAX;
	loop_conn_pause(c->link.conn, false);
	UNTIL(e, has(c, c->count - 1, "e2999"));
}

static void test_connections_are_bounded(void **state)
{
	struct env *e = *state;
	int fds[PEERS_MAX + 20];

	for (int i = 0; i < PEERS_MAX + 20; i++) {
		fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(fds[i], (struct sockaddr *)&e->addr, sizeof(e->addr)), 0);
		loop_step(e->server_loop, 0);
	}
	UNTIL(e, e->peers.refused == 20);
	assert_int_equal(e->peers.count, PEERS_MAX);
	for (int i = 0; i < PEERS_MAX + 20; i++)
		close(fds[i]);
	UNTIL(e, e->peers.count == 0);
	dial(e, 0, HELLO("gw1"));
	UNTIL(e, telemetry_is_connected(e->telemetry, "gw1"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_snapshot_and_deltas),
		TEST(test_credits_bound_what_is_sent),
		TEST(test_thousand_changes_reach_a_reader),
		TEST(test_setup_is_checked),
		TEST(test_newer_connection_wins),
		TEST(test_unknown_gateway_waits),
		TEST(test_resume),
		TEST(test_reports),
		TEST(test_unknown_requests),
		TEST(test_garbage),
		TEST(test_stalled_reader_costs_little),
		TEST(test_connections_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
