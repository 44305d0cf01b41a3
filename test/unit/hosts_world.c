// SPDX-License-Identifier: Apache-2.0
// The fakes, and the control plane around them: hosts_world.h.
#include "test/unit/hosts_world.h"

#include "lib/rsocket/metadata.h"

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

void dial(struct env *e, int i, const char *hello)
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

struct rs_message request(struct env *e, const char *route, const char *data)
{
	struct rs_message m = {.has_metadata = true};
	uint8_t bytes[300];
	struct writer w = writer_of(bytes, sizeof(bytes));

	rs_route_entry_write(&w, route, (uint8_t)strlen(route));
	assert_int_equal(chain_copy(&m.metadata, e->blocks, bytes, (size_t)(w.at - bytes)), 0);
	assert_int_equal(chain_copy(&m.data, e->blocks, data, strlen(data)), 0);
	return m;
}

void watch_with(struct env *e, int i, uint32_t credit)
{
	struct client *c = &e->clients[i];
	char data[200];
	struct rs_message m;
	int error = 0;

	snprintf(data, sizeof(data), "{\"epoch\":\"%s\",\"after\":%lld}", c->epoch,
		(long long)c->seq);
	m = request(e, i == GATEWAY || i == GATEWAY2 ? "penstock.watch" : "penstock.assign", data);
	c->watch = rs_request(&c->link.session, RS_REQUEST_STREAM, credit, &m, NULL, &error);
	assert_non_null(c->watch);
}

void watch(struct env *e, int i)
{
	watch_with(e, i, 10000);
}

void report(struct env *e, int i, const char *format, ...)
{
	char data[16384];
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
void start(struct env *e)
{
	int error;

	e->addr.sun_family = AF_UNIX;
	snprintf(e->addr.sun_path, sizeof(e->addr.sun_path), "/tmp/penstock-hosts-%d-%u.sock",
		(int)getpid(), e->starts++);
	assert_int_equal(registry_init(&e->registry, e->store), 0);
	publisher_init(&e->publisher, &e->registry);
	e->telemetry = telemetry_new(clock_now());
	assert_int_equal(orchestrator_start(&e->orchestrator, &e->registry, &e->publisher, e->store,
				 &(struct orchestrator_config){
					 .workers = 2,
					 .lease_ns = e->lease,
					 .planning = e->planning}),
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

void stop(struct env *e)
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

void step(struct env *e)
{
	loop_step(e->server_loop, 0);
	orchestrator_tick(&e->orchestrator, clock_now());
	if (!e->broken)
		assert_int_equal(registry_flush(&e->registry), 0);
	scheduler_settle(&e->orchestrator.scheduler);
	loop_step(e->client_loop, clock_now() + NS_PER_MS / 4);
}

void pass(struct env *e, ns_t time)
{
	ns_t until = clock_now() + time;

	while (clock_now() < until)
		step(e);
}

static int set_up(void **state, ns_t lease)
{
	struct env *e = calloc(1, sizeof(*e));
	int error;

	e->lease = lease;
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

int world_setup(void **state)
{
	return set_up(state, LEASE);
}

int world_setup_patient(void **state)
{
	return set_up(state, 100 * NS_PER_SEC);
}

int world_teardown(void **state)
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

void put(struct env *e, enum kind kind, const char *format, ...)
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

void put_echo(struct env *e, int count, const char *level)
{
	put(e, KIND_FUNCTION,
		"{\"metadata\":{\"name\":\"echo\"},\"spec\":{\"command\":[\"echo\"],\"env\":{"
		"\"LEVEL\":\"%s\"},\"scale\":{\"min\":%d,\"max\":100}}}",
		level, count);
}

void connect_host(struct env *e, int i, const char *hello, const char *start)
{
	dial(e, i, hello);
	UNTIL(e, e->clients[i].up);
	watch(e, i);
	report(e, i, "{\"start\":\"%s\",\"instances\":[]}", start);
}

void reconnect_gateway(struct env *e, int i, const char *hello)
{
	dial(e, i, hello);
	UNTIL(e, e->clients[i].up);
	watch(e, i);
}

void connect_gateway(struct env *e)
{
	put(e, KIND_GATEWAY, "{\"metadata\":{\"name\":\"gw1\"}}");
	reconnect_gateway(e, GATEWAY, GATE);
}

void leave(struct env *e, int i)
{
	link_close(&e->clients[i].link);
	UNTIL(e, e->clients[i].closed);
}

size_t told(const struct env *e, int i, const char *desired)
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

void obey(struct env *e, int i, const char *start)
{
	json_t *all = json_array(), *report_json;
	const char *key;
	json_t *item;
	char *text;

	json_object_foreach(e->clients[i].table, key, item)
	{
		bool run = strcmp(json_string_value(json_object_get(item, "desired")), "run") == 0;

		json_array_append_new(all,
			json_pack("{s:s, s:s, s:b}", "id", key, "state", run ? "running" : "exited",
				"ready", (int)run));
	}
	report_json = json_pack("{s:s, s:o}", "start", start, "instances", all);
	text = json_dumps(report_json, 0);
	report(e, i, "%s", text);
	free(text);
	json_decref(report_json);
}

const char *targets(const struct env *e)
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

bool targets_are(const struct env *e, const char *expected)
{
	return strcmp(targets(e), expected) == 0;
}

void applied_by(struct env *e, int i)
{
	const struct client *g = &e->clients[i];

	report(e, i, "{\"start\":\"g\",\"epoch\":\"%s\",\"applied\":%lld}", g->epoch,
		(long long)g->seq);
}

void applied(struct env *e)
{
	applied_by(e, GATEWAY);
}
