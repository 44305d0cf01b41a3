// SPDX-License-Identifier: Apache-2.0
// Function hosts and the control plane over a real Unix socket: hosts and gateways here are fakes
// that say what the protocol lets them say; registry, scheduler threads, fleet and publisher are
// real, the store is one in memory. Two loops, stepped in turn.
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

#define DEADLINE (20 * NS_PER_SEC)
#define LEASE (300 * NS_PER_MS)

enum { HOST1, HOST2, GATEWAY, OTHER, CLIENTS };

struct client {
	struct link link;
	struct rs_stream *watch;
	bool up, closed;
	char why[300];
	struct buf_pool *blocks;
	// What a host holds, by id, or a gateway, by route; as told.
	json_t *table, *marked;
	char epoch[64], snapshot_epoch[64];
	json_int_t seq;
	unsigned snapshots, items;
	char log_asked[200];
};

struct env {
	struct sockaddr_un addr;
	unsigned starts;
	struct store *store;
	struct registry registry;
	struct publisher publisher;
	struct telemetry *telemetry;
	struct orchestrator orchestrator;
	struct loop *server_loop, *client_loop;
	struct peers peers;
	struct buf_pool *blocks;
	struct rs_pool *pool;
	struct link_hub hub;
	struct client clients[CLIENTS];
	bool broken;  // the store, for now
};

// ---- the fakes ----

static struct client *client_of(struct rs_session *s)
{
	return container_of(link_of(s), struct client, link);
}

static void sweep(struct client *c)
{
	const char *key;
	void *next;
	json_t *value;

	json_object_foreach_safe(c->table, next, key, value)
	{
		if (!json_object_get(c->marked, key))
			json_object_del(c->table, key);
	}
	json_decref(c->marked);
	c->marked = NULL;
}

static void apply(struct client *c, const json_t *item)
{
	const char *op = json_string_value(json_object_get(item, "op"));
	const char *id = json_string_value(json_object_get(item, "id"));
	const char *route = json_string_value(json_object_get(item, "route"));
	const char *key = id ? id : route;

	c->items++;
	if (strcmp(op, "snapshot_begin") == 0) {
		c->snapshots++;
		c->marked = json_object();
		snprintf(c->snapshot_epoch, sizeof(c->snapshot_epoch), "%s",
			json_string_value(json_object_get(item, "epoch")));
	} else if (strcmp(op, "snapshot_end") == 0) {
		sweep(c);
		strcpy(c->epoch, c->snapshot_epoch);
	} else if (strcmp(op, "instance") == 0 || strcmp(op, "service") == 0) {
		json_object_set(c->table, key, (json_t *)(uintptr_t)item);
		if (c->marked)
			json_object_set_new(c->marked, key, json_true());
	} else if (strcmp(op, "instance_gone") == 0 || strcmp(op, "service_gone") == 0) {
		json_object_del(c->table, key);
	}
	if (!c->marked)
		c->seq = json_integer_value(json_object_get(item, "seq"));
}

static json_t *parse(const struct chain *data)
{
	char text[8192];
	size_t n = chain_read(data, 0, text, sizeof(text));

	return json_loadb(text, n, 0, NULL);
}

static void on_payload(
	struct rs_stream *stream, struct rs_message *message, bool next, bool complete)
{
	json_t *item = parse(&message->data);

	assert_non_null(item);
	apply(client_of(stream->session), item);
	json_decref(item);
}

static void on_lost(struct rs_stream *stream, bool sent)
{
	client_of(stream->session)->watch = NULL;
}

// Only logs are asked of a host: two pieces, then the end.
static void on_request(struct rs_stream *stream, struct rs_message *message)
{
	struct client *c = client_of(stream->session);
	struct rs_message piece = {0};

	c->log_asked[chain_read(&message->data, 0, c->log_asked, sizeof(c->log_asked) - 1)] = 0;
	if (strstr(c->log_asked, "\"tail\":0")) {
		rs_error(stream, RS_ERROR_REJECTED, "nothing is known of it");
		return;
	}
	assert_int_equal(chain_copy(&piece.data, c->blocks, "one\nt", 5), 0);
	assert_int_equal(rs_payload(stream, &piece, true, false), 0);
	assert_int_equal(chain_copy(&piece.data, c->blocks, "wo\n", 3), 0);
	assert_int_equal(rs_payload(stream, &piece, true, true), 0);
}

static const struct rs_handler client_handler = {
	.wake = link_wake,
	.closed = link_ended,
	.payload = on_payload,
	.request = on_request,
	.lost = on_lost,
};

static void on_up(struct link *link)
{
	container_of(link, struct client, link)->up = true;
}

static void on_down(struct link *link, const char *why)
{
	struct client *c = container_of(link, struct client, link);

	c->up = false;
	if (!*c->why)
		snprintf(c->why, sizeof(c->why), "%s", why);
	c->closed = link->state == LINK_CLOSED;
	if (!c->closed)
		link_close(link);
}

static const struct link_ops client_ops = {.up = on_up, .down = on_down};

static void dial(struct env *e, int i, const char *hello)
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

	if (!c->table)
		c->table = json_object();
	c->blocks = e->blocks;
	c->closed = false;
	*c->why = 0;
	chain_copy(&setup.data, e->blocks, hello, strlen(hello));
	assert_int_equal(link_dial(&c->link, &e->hub, (struct sockaddr *)&e->addr, sizeof(e->addr),
				 &config, &client_ops, NULL),
		0);
}

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

static void watch(struct env *e, int i)
{
	struct client *c = &e->clients[i];
	char data[200];
	struct rs_message m;
	int error = 0;

	snprintf(data, sizeof(data), "{\"epoch\":\"%s\",\"after\":%lld}", c->epoch,
		(long long)c->seq);
	m = request(e, i == GATEWAY ? "penstock.watch" : "penstock.assign", data);
	c->watch = rs_request(&c->link.session, RS_REQUEST_STREAM, 10000, &m, NULL, &error);
	assert_non_null(c->watch);
}

static void report(struct env *e, int i, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void report(struct env *e, int i, const char *format, ...)
{
	char data[8192];
	struct rs_message m;
	va_list args;

	va_start(args, format);
	vsnprintf(data, sizeof(data), format, args);
	va_end(args);
	m = request(e, "penstock.report", data);
	assert_int_equal(rs_fire_and_forget(&e->clients[i].link.session, &m), 0);
}

// ---- the control plane ----

static void on_changed(void *user, const struct change *c)
{
	struct env *e = user;

	publisher_apply(&e->publisher, c);
	orchestrator_apply(&e->orchestrator, c);
}

// Each time on a path of its own: the kernel takes a ring that listened down when it has time.
static void start(struct env *e)
{
	int error;

	e->addr.sun_family = AF_UNIX;
	snprintf(e->addr.sun_path, sizeof(e->addr.sun_path), "/tmp/penstock-hosts-%d-%u.sock",
		(int)getpid(), e->starts++);
	assert_int_equal(registry_init(&e->registry, e->store), 0);
	publisher_init(&e->publisher, &e->registry);
	e->telemetry = telemetry_new(clock_now());
	assert_int_equal(orchestrator_start(&e->orchestrator, &e->registry, &e->publisher, e->store,
				 2, LEASE),
		0);
	registry_observe(&e->registry, on_changed, e);
	e->server_loop = loop_new(NULL, &error);
	assert_non_null(e->server_loop);
	assert_int_equal(peers_start(&e->peers,
				 &(struct peers_config){.loop = e->server_loop,
					 .registry = &e->registry,
					 .publisher = &e->publisher,
					 .telemetry = e->telemetry,
					 .orchestrator = &e->orchestrator}),
		0);
	assert_int_equal(
		peers_listen(&e->peers, (struct sockaddr *)&e->addr, sizeof(e->addr)), 0);
}

// As a crash does: what was not durable is gone.
static void stop(struct env *e)
{
	peers_stop(&e->peers);
	while (e->peers.count)
		loop_step(e->server_loop, clock_now() + NS_PER_MS);
	loop_destroy(e->server_loop);
	peers_fini(&e->peers);
	unlink(e->addr.sun_path);
	orchestrator_stop(&e->orchestrator);
	publisher_fini(&e->publisher);
	telemetry_destroy(e->telemetry);
	registry_fini(&e->registry);
}

static void step(struct env *e)
{
	loop_step(e->server_loop, 0);
	orchestrator_tick(&e->orchestrator, clock_now());
	if (!e->broken)
		assert_int_equal(registry_flush(&e->registry), 0);
	loop_step(e->client_loop, clock_now() + NS_PER_MS / 4);
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

static void pass(struct env *e, ns_t time)
{
	ns_t until = clock_now() + time;

	while (clock_now() < until)
		step(e);
}

static int setup(void **state)
{
	struct env *e = calloc(1, sizeof(*e));
	int error;

	e->store = store_mem_new();
	e->client_loop = loop_new(NULL, &error);
	if (!e->client_loop)
		fail_msg("no io_uring: %s", strerror(-error));
	e->blocks = buf_pool_new(16384, 64u << 20);
	e->pool = rs_pool_new(256, e->blocks);
	link_hub_init(&e->hub, e->client_loop, e->pool);
	start(e);
	*state = e;
	return 0;
}

static int teardown(void **state)
{
	struct env *e = *state;

	for (int i = 0; i < CLIENTS; i++)
		if (e->clients[i].table && !e->clients[i].closed)
			link_close(&e->clients[i].link);
	for (int i = 0; i < 100; i++)
		step(e);
	stop(e);
	loop_destroy(e->client_loop);
	for (int i = 0; i < CLIENTS; i++) {
		json_decref(e->clients[i].table);
		json_decref(e->clients[i].marked);
	}
	rs_pool_destroy(e->pool);
	buf_pool_destroy(e->blocks);
	store_close(e->store);
	free(e);
	return 0;
}

// ---- words of the tests ----

#define HOST(name, start, more)                                                              \
	"{\"protocol\":{\"min\":1,\"max\":1},\"role\":\"host\",\"name\":\"" name             \
	"\",\"version\":\"9.9\",\"start\":\"" start "\",\"address\":\"10.0.0.1:7880\","       \
	"\"capacity\":{\"cpu_milli\":4000,\"memory\":8589934592}" more "}"
#define GATE                                                                           \
	"{\"protocol\":{\"min\":1,\"max\":1},\"role\":\"gateway\",\"name\":\"gw1\","    \
	"\"version\":\"9.9\",\"start\":\"g\",\"workers\":1}"

static void put(struct env *e, enum kind kind, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void put(struct env *e, enum kind kind, const char *format, ...)
{
	const struct resource *res;
	struct schema_error error;
	json_t *in, *object;
	char text[1000];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	in = json_loads(text, 0, NULL);
	object = schema_normalize(&kinds[kind], in, &error);
	if (!object)
		fail_msg("%s", error.message);
	assert_int_equal(registry_put(&e->registry, kind, object, 1, &res), 0);
	json_decref(in);
	json_decref(object);
}

static void put_echo(struct env *e, int count, const char *level)
{
	put(e, KIND_FUNCTION,
		"{\"metadata\":{\"name\":\"echo\"},\"spec\":{\"command\":[\"echo\"],\"env\":{"
		"\"LEVEL\":\"%s\"},\"scale\":{\"min\":%d,\"max\":100}}}",
		level, count);
}

static void connect_host(struct env *e, int i, const char *hello, const char *start)
{
	dial(e, i, hello);
	UNTIL(e, e->clients[i].up);
	watch(e, i);
	report(e, i, "{\"start\":\"%s\",\"instances\":[]}", start);
}

static void connect_gateway(struct env *e)
{
	put(e, KIND_GATEWAY, "{\"metadata\":{\"name\":\"gw1\"}}");
	dial(e, GATEWAY, GATE);
	UNTIL(e, e->clients[GATEWAY].up);
	watch(e, GATEWAY);
}

// How many of what the host holds are to run, or to stop.
static size_t told(const struct env *e, int i, const char *desired)
{
	const char *key;
	json_t *item;
	size_t n = 0;

	json_object_foreach(e->clients[i].table, key, item)
	{
		n += strcmp(json_string_value(json_object_get(item, "desired")), desired) == 0;
	}
	return n;
}

// Each instance that is told goes on as it should: running and ready, or exited.
static void obey(struct env *e, int i, const char *start)
{
	const char *key;
	json_t *item;

	json_object_foreach(e->clients[i].table, key, item)
	{
		bool run = strcmp(json_string_value(json_object_get(item, "desired")), "run") == 0;

		report(e, i,
			"{\"start\":\"%s\",\"instances\":[{\"id\":\"%s\",\"state\":\"%s\","
			"\"ready\":%s}]}",
			start, key, run ? "running" : "exited", run ? "true" : "false");
	}
}

// What gateways are told of echo: "NODE@VERSIONxINSTANCES ...".
static const char *targets(const struct env *e)
{
	static char text[300];
	const json_t *service = json_object_get(e->clients[GATEWAY].table, "echo");
	const json_t *list = json_object_get(service, "targets");

	*text = 0;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *t = json_array_get(list, i);
		size_t n = strlen(text);

		snprintf(text + n, sizeof(text) - n, "%s%s@%lldx%lld", n ? " " : "",
			json_string_value(json_object_get(t, "name")),
			(long long)json_integer_value(json_object_get(t, "version")),
			(long long)json_integer_value(json_object_get(t, "instances")));
	}
	return text;
}

static bool targets_are(const struct env *e, const char *expected)
{
	return strcmp(targets(e), expected) == 0;
}

static void applied(struct env *e)
{
	const struct client *g = &e->clients[GATEWAY];

	report(e, GATEWAY, "{\"start\":\"g\",\"epoch\":\"%s\",\"applied\":%lld}", g->epoch,
		(long long)g->seq);
}

// ---- tests ----

static void test_setup_is_checked(void **state)
{
	struct env *e = *state;
	static const struct {
		const char *hello, *part;
	} cases[] = {
		{HOST("N 1", "s", ""), "the host's name must be"},
		{HOST("n1", "", ""), "must say its start"},
		{HOST("n1", "s", ",\"address\":\"nowhere\""), "address must be"},
		{"{\"protocol\":{\"min\":1,\"max\":1},\"role\":\"host\",\"name\":\"n1\",\"start\":"
		 "\"s\"}",
			"address must be"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		dial(e, OTHER, cases[i].hello);
		UNTIL(e, e->clients[OTHER].closed);
		if (!strstr(e->clients[OTHER].why, cases[i].part))
			fail_msg("'%s' for %s", e->clients[OTHER].why, cases[i].hello);
		assert_null(registry_get(&e->registry, KIND_NODE, "n1"));
	}
	connect_host(e, HOST1, HOST("n1", "s1", ",\"machine\":\"m\""), "s1");
	UNTIL(e, registry_get(&e->registry, KIND_NODE, "n1"));
	assert_string_equal(fleet_node_state(fleet_node(&e->orchestrator.fleet, "n1")), "ready");
}

// A name belongs to one host, unless the machine is the same: then that was started again.
static void test_names_are_held(void **state)
{
	struct env *e = *state;
	struct fleet_node *n;

	connect_host(e, HOST1, HOST("n1", "s1", ",\"machine\":\"m\""), "s1");
	dial(e, OTHER, HOST("n1", "s2", ",\"machine\":\"other\""));
	UNTIL(e, e->clients[OTHER].closed);
	assert_non_null(strstr(e->clients[OTHER].why, "held by another host"));
	dial(e, OTHER, HOST("n1", "s2", ""));
	UNTIL(e, e->clients[OTHER].closed);
	assert_non_null(strstr(e->clients[OTHER].why, "held by another host"));
	assert_false(e->clients[HOST1].closed);
	dial(e, OTHER, HOST("n1", "s3", ",\"machine\":\"m\""));
	UNTIL(e, e->clients[HOST1].closed);
	n = fleet_node(&e->orchestrator.fleet, "n1");
	assert_string_equal(n->start, "s3");
	assert_true(n->connected);
	// Once the lease is over the name is free.
	link_close(&e->clients[OTHER].link);
	UNTIL(e, !n->up);
	dial(e, HOST2, HOST("n1", "s4", ",\"machine\":\"other\""));
	UNTIL(e, n->connected);
	assert_string_equal(n->start, "s4");
}

static void test_deploy_scale_and_unroute_before_stop(void **state)
{
	struct env *e = *state;
	ns_t began;

	connect_gateway(e);
	connect_host(e, HOST1, HOST("n1", "s1", ""), "s1");
	put_echo(e, 3, "a");
	UNTIL(e, told(e, HOST1, "run") == 3);
	assert_true(targets_are(e, ""));
	began = clock_now();
	obey(e, HOST1, "s1");
	UNTIL(e, targets_are(e, "n1@1x3"));
	print_message("routable %.1f ms after the report\n", (double)(clock_now() - began) / 1e6);
	applied(e);
	put_echo(e, 1, "a");
	UNTIL(e, targets_are(e, "n1@1x1"));
	pass(e, 100 * NS_PER_MS);
	assert_int_equal(told(e, HOST1, "stop"), 0);
	applied(e);
	UNTIL(e, told(e, HOST1, "stop") == 2);
	obey(e, HOST1, "s1");
	// What has exited is gone, once that is stored.
	UNTIL(e, json_object_size(e->clients[HOST1].table) == 1);
	assert_int_equal(told(e, HOST1, "run"), 1);
}

static void test_a_silent_gateway_delays_for_a_bounded_time(void **state)
{
	struct env *e = *state;
	ns_t began;

	connect_gateway(e);
	connect_host(e, HOST1, HOST("n1", "s1", ""), "s1");
	put_echo(e, 2, "a");
	UNTIL(e, told(e, HOST1, "run") == 2);
	obey(e, HOST1, "s1");
	UNTIL(e, targets_are(e, "n1@1x2"));
	e->orchestrator.fleet.began = 0;  // long ago
	began = clock_now();
	put_echo(e, 1, "a");
	UNTIL(e, told(e, HOST1, "stop") == 1);
	assert_true(clock_now() - began >= FLEET_UNROUTE_MAX);
	assert_true(clock_now() - began < FLEET_UNROUTE_MAX + NS_PER_SEC);
}

// A gateway that is away still sends calls by its old table, as right after a start.
static void test_an_absent_gateway_is_waited_for(void **state)
{
	struct env *e = *state;

	connect_gateway(e);
	connect_host(e, HOST1, HOST("n1", "s1", ""), "s1");
	put_echo(e, 2, "a");
	UNTIL(e, told(e, HOST1, "run") == 2);
	obey(e, HOST1, "s1");
	UNTIL(e, targets_are(e, "n1@1x2"));
	link_close(&e->clients[GATEWAY].link);
	UNTIL(e, e->clients[GATEWAY].closed);
	put_echo(e, 1, "a");
	pass(e, 200 * NS_PER_MS);
	assert_int_equal(told(e, HOST1, "stop"), 0);
	dial(e, GATEWAY, GATE);
	UNTIL(e, e->clients[GATEWAY].up);
	watch(e, GATEWAY);
	UNTIL(e, targets_are(e, "n1@1x1"));
	applied(e);
	UNTIL(e, told(e, HOST1, "stop") == 1);
}

// The old version serves until the new one is ready; then it is unrouted, then stopped.
static void test_rollout(void **state)
{
	struct env *e = *state;

	connect_gateway(e);
	connect_host(e, HOST1, HOST("n1", "s1", ""), "s1");
	put_echo(e, 1, "a");
	UNTIL(e, told(e, HOST1, "run") == 1);
	obey(e, HOST1, "s1");
	UNTIL(e, targets_are(e, "n1@1x1"));
	put_echo(e, 1, "b");
	UNTIL(e, told(e, HOST1, "run") == 2);
	assert_true(targets_are(e, "n1@1x1"));
	obey(e, HOST1, "s1");
	UNTIL(e, targets_are(e, "n1@2x1"));
	assert_int_equal(told(e, HOST1, "stop"), 0);
	applied(e);
	UNTIL(e, told(e, HOST1, "stop") == 1);
	obey(e, HOST1, "s1");
	UNTIL(e, json_object_size(e->clients[HOST1].table) == 1);
	// To scale is no new version.
	put_echo(e, 2, "b");
	UNTIL(e, told(e, HOST1, "run") == 2);
	obey(e, HOST1, "s1");
	UNTIL(e, targets_are(e, "n1@2x2"));
}

static void test_node_loss_and_return(void **state)
{
	struct env *e = *state;

	connect_gateway(e);
	connect_host(e, HOST1, HOST("n1", "s1", ",\"machine\":\"m\""), "s1");
	put_echo(e, 2, "a");
	UNTIL(e, told(e, HOST1, "run") == 2);
	obey(e, HOST1, "s1");
	UNTIL(e, targets_are(e, "n1@1x2"));
	connect_host(e, HOST2, HOST("n2", "s2", ""), "s2");
	// A short absence is nothing.
	link_close(&e->clients[HOST1].link);
	UNTIL(e, e->clients[HOST1].closed);
	pass(e, LEASE / 2);
	assert_true(targets_are(e, "n1@1x2"));
	connect_host(e, HOST1, HOST("n1", "s1", ",\"machine\":\"m\""), "s1");
	UNTIL(e, targets_are(e, ""));  // its first report names none
	obey(e, HOST1, "s1");
	UNTIL(e, targets_are(e, "n1@1x2"));
	assert_int_equal(e->clients[HOST1].snapshots, 1);
	assert_int_equal(told(e, HOST2, "run"), 0);
	// A long one: replaced elsewhere, and calls go there once they can.
	link_close(&e->clients[HOST1].link);
	UNTIL(e, told(e, HOST2, "run") == 2);
	pass(e, 50 * NS_PER_MS);
	assert_true(targets_are(e, "n1@1x2"));
	obey(e, HOST2, "s2");
	UNTIL(e, targets_are(e, "n2@1x2"));
	// Back again, the doubles are not wanted.
	connect_host(e, HOST1, HOST("n1", "s1", ",\"machine\":\"m\""), "s1");
	UNTIL(e, json_object_size(e->clients[HOST1].table) == 0);
	assert_true(targets_are(e, "n2@1x2"));
}

static void test_failed_instances_are_replaced(void **state)
{
	struct env *e = *state;
	const char *id;
	char first[40];

	connect_host(e, HOST1, HOST("n1", "s1", ""), "s1");
	put_echo(e, 1, "a");
	UNTIL(e, told(e, HOST1, "run") == 1);
	id = json_object_iter_key(json_object_iter(e->clients[HOST1].table));
	snprintf(first, sizeof(first), "%s", id);
	report(e, HOST1,
		"{\"start\":\"s1\",\"instances\":[{\"id\":\"%s\",\"state\":\"failed\",\"reason\":"
		"\"no program\"}]}",
		first);
	UNTIL(e, !json_object_get(e->clients[HOST1].table, first));
	assert_int_equal(fleet_instance(&e->orchestrator.fleet, first)->intent, INTENT_ENDED);
	// Rubbish changes nothing.
	report(e, HOST1, "[]");
	report(e, HOST1, "{\"start\":\"other\",\"instances\":[{\"id\":\"%s\"}]}", first);
	report(e, HOST1, "{\"start\":\"s1\",\"instances\":[7,{\"id\":5},{\"id\":\"zz\","
			 "\"state\":\"running\"}],\"functions\":[1,{\"namespace\":3}]}");
	pass(e, 20 * NS_PER_MS);
	assert_true(e->clients[HOST1].up);
}

static void test_drain(void **state)
{
	struct env *e = *state;

	connect_gateway(e);
	connect_host(e, HOST1, HOST("n1", "s1", ""), "s1");
	put_echo(e, 2, "a");
	UNTIL(e, told(e, HOST1, "run") == 2);
	obey(e, HOST1, "s1");
	UNTIL(e, targets_are(e, "n1@1x2"));
	connect_host(e, HOST2, HOST("n2", "s2", ""), "s2");
	put(e, KIND_NODE, "{\"metadata\":{\"name\":\"n1\"},\"spec\":{\"drain\":true}}");
	for (int i = 0; i < 400 && !targets_are(e, "n2@1x2"); i++) {
		pass(e, 5 * NS_PER_MS);
		obey(e, HOST2, "s2");
		// There is always somebody to call.
		assert_false(targets_are(e, ""));
		applied(e);
		obey(e, HOST1, "s1");
	}
	assert_true(targets_are(e, "n2@1x2"));
	assert_string_equal(fleet_node_state(fleet_node(&e->orchestrator.fleet, "n1")), "draining");
}

// Nothing that is not stored is told; what was told is the same after a restart.
static void test_store_failure_and_restart(void **state)
{
	struct env *e = *state;
	struct batch *batch;
	json_t *before;
	const char *key;
	json_t *item;

	connect_gateway(e);
	connect_host(e, HOST1, HOST("n1", "s1", ""), "s1");
	put_echo(e, 2, "a");
	UNTIL(e, told(e, HOST1, "run") == 2);
	obey(e, HOST1, "s1");
	UNTIL(e, targets_are(e, "n1@1x2"));
	// The function is stored, its placements are not.
	put_echo(e, 4, "a");
	e->broken = true;
	batch = registry_seal(&e->registry);
	assert_int_equal(batch_commit(batch, e->store), 0);
	store_mem_fail(e->store, -ENOSPC, 3);
	registry_settle(&e->registry, 0);
	// Until each of the failures has met a commit, however long the scheduler takes for one.
	for (int i = 0; i < 5000 && e->registry.commit_errors < 3; i++) {
		registry_flush(&e->registry);
		pass(e, NS_PER_MS);
		if (e->registry.commit_errors < 3)
			assert_int_equal(told(e, HOST1, "run"), 2);
	}
	assert_int_equal(e->registry.commit_errors, 3);
	e->broken = false;
	UNTIL(e, told(e, HOST1, "run") == 4);
	obey(e, HOST1, "s1");
	UNTIL(e, targets_are(e, "n1@1x4"));
	before = json_deep_copy(e->clients[HOST1].table);
	// A crash: hosts and gateways go on with what they have.
	stop(e);
	start(e);
	UNTIL(e, e->clients[HOST1].closed && e->clients[GATEWAY].closed);
	dial(e, GATEWAY, GATE);
	UNTIL(e, e->clients[GATEWAY].up);
	watch(e, GATEWAY);
	pass(e, LEASE / 3);
	// Nobody is told that echo has no targets, only because nobody has reported yet.
	assert_int_equal(e->clients[GATEWAY].snapshots, 1);
	dial(e, HOST1, HOST("n1", "s1", ""));
	UNTIL(e, e->clients[HOST1].up);
	watch(e, HOST1);
	obey(e, HOST1, "s1");
	UNTIL(e, e->clients[GATEWAY].snapshots == 2 && targets_are(e, "n1@1x4"));
	UNTIL(e, e->clients[HOST1].snapshots == 2);
	json_object_foreach(before, key, item)
	{
		assert_non_null(json_object_get(e->clients[HOST1].table, key));
	}
	assert_int_equal(json_object_size(e->clients[HOST1].table), 4);
	json_decref(before);
}

static void test_deleted_functions_end(void **state)
{
	struct env *e = *state;

	connect_host(e, HOST1, HOST("n1", "s1", ""), "s1");
	put_echo(e, 3, "a");
	UNTIL(e, told(e, HOST1, "run") == 3);
	obey(e, HOST1, "s1");
	assert_int_equal(registry_delete(&e->registry, KIND_FUNCTION, "default/echo", 1), 0);
	UNTIL(e, told(e, HOST1, "stop") == 3);
	obey(e, HOST1, "s1");
	UNTIL(e, json_object_size(e->clients[HOST1].table) == 0);
}

// ---- logs ----

struct reading {
	struct log_reader reader;
	char text[100];
	size_t len;
	int ends;
	char why[100];
};

static void on_log(struct log_reader *r, const char *bytes, size_t len)
{
	struct reading *reading = container_of(r, struct reading, reader);

	memcpy(reading->text + reading->len, bytes, len);
	reading->len += len;
	peers_log_more(r);
}

static void on_log_end(struct log_reader *r, const char *why)
{
	struct reading *reading = container_of(r, struct reading, reader);

	reading->ends++;
	snprintf(reading->why, sizeof(reading->why), "%s", why ? why : "");
}

static void test_logs_come_from_the_host(void **state)
{
	struct env *e = *state;
	struct reading r = {.reader = {.data = on_log, .end = on_log_end}};
	char id[40];

	connect_host(e, HOST1, HOST("n1", "s1", ""), "s1");
	put_echo(e, 1, "a");
	UNTIL(e, told(e, HOST1, "run") == 1);
	snprintf(id, sizeof(id), "%s",
		json_object_iter_key(json_object_iter(e->clients[HOST1].table)));
	assert_int_equal(peers_log_open(&e->peers, &r.reader, "none", 5, false), -ENOENT);
	assert_int_equal(peers_log_open(&e->peers, &r.reader, id, 5, false), 0);
	UNTIL(e, r.ends == 1);
	assert_string_equal(r.text, "one\ntwo\n");
	assert_string_equal(r.why, "");
	assert_non_null(strstr(e->clients[HOST1].log_asked, id));
	assert_int_equal(peers_log_open(&e->peers, &r.reader, id, 0, false), 0);
	UNTIL(e, r.ends == 2);
	assert_string_equal(r.why, "nothing is known of it");
	// A reader that goes, and a host that does.
	assert_int_equal(peers_log_open(&e->peers, &r.reader, id, 5, true), 0);
	peers_log_close(&r.reader);
	assert_int_equal(peers_log_open(&e->peers, &r.reader, id, 5, true), 0);
	link_close(&e->clients[HOST1].link);
	UNTIL(e, r.ends == 3);
	UNTIL(e, peers_log_open(&e->peers, &r.reader, id, 5, false) == -ENOTCONN);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_setup_is_checked),
		TEST(test_names_are_held),
		TEST(test_deploy_scale_and_unroute_before_stop),
		TEST(test_a_silent_gateway_delays_for_a_bounded_time),
		TEST(test_an_absent_gateway_is_waited_for),
		TEST(test_rollout),
		TEST(test_node_loss_and_return),
		TEST(test_failed_instances_are_replaced),
		TEST(test_drain),
		TEST(test_store_failure_and_restart),
		TEST(test_deleted_functions_end),
		TEST(test_logs_come_from_the_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
