// SPDX-License-Identifier: Apache-2.0
// See relay_world.h: the gateway and its backends.
#include "test/unit/relay_world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BURST 64

// Backends

static struct backend *backend_of(struct rs_session *s)
{
	return container_of(link_of(s), struct served, link)->backend;
}

static void request_end(struct request *r)
{
	list_del(&r->all);
	r->backend->held--;
	free(r);
}

static void note_grant(struct request *r, uint64_t n)
{
	r->granted += n;
	r->backend->granted += n;
	if (r->granted - r->produced > r->backend->granted_ahead_max)
		r->backend->granted_ahead_max = r->granted - r->produced;
}

static void item_of(struct backend *b, uint64_t number, struct rs_message *message)
{
	uint8_t raw[4] = {(uint8_t)(number >> 24), (uint8_t)(number >> 16), (uint8_t)(number >> 8),
		(uint8_t)number};

	if (b->count_bytes == 0)
		return;
	assert_int_equal(chain_copy(&message->data, b->world->blocks, raw, 4), 0);
	world_fill(&message->data, b->count_bytes - 4);
}

// As many items as credit allows and the queue holds.
static void produce(struct request *r)
{
	struct backend *b = r->backend;

	while (rs_stream_credit(r->stream) && rs_stream_queued_bytes(r->stream) < 65536) {
		struct rs_message message = {0};
		bool last = r->produced + 1 == b->count_items;

		item_of(b, r->produced++, &message);
		assert_int_equal(rs_payload(r->stream, &message, true, last), 0);
		if (last) {
			request_end(r);
			return;
		}
	}
}

void backend_produce(struct backend *b)
{
	list_for_each_safe (at, after, &b->requests)
		produce(list_entry(at, struct request, all));
}

static struct request *request_new(struct backend *b, struct rs_stream *stream)
{
	struct request *r = calloc(1, sizeof(*r));

	r->backend = b;
	r->stream = stream;
	stream->user = r;
	list_push(&b->requests, &r->all);
	b->held++;
	if (stream->type == RS_REQUEST_STREAM)
		note_grant(r, rs_stream_credit(stream));
	return r;
}

static void on_request(struct rs_stream *stream, struct rs_message *message)
{
	struct backend *b = backend_of(stream->session);
	struct rs_message reply = {0};
	struct request *r;

	b->received++;
	b->bytes += message->data.len;
	b->metadata_len = chain_read(&message->metadata, 0, b->metadata, sizeof(b->metadata));
	if (stream->type == RS_REQUEST_FNF) {
		b->fnfs++;
		return;
	}
	switch (b->mode) {
	case ECHO:
		chain_append(&reply.data, &message->data);
		assert_int_equal(rs_payload(stream, &reply, true, true), 0);
		break;
	case REFUSE:
		rs_error(stream, b->code, b->text);
		break;
	case SILENT:
		request_new(b, stream);
		break;
	case COUNT:
		r = request_new(b, stream);
		// Our own sessions obey, so one that does not is made by giving it credit of its
		// own.
		stream->credit += b->surplus;
		produce(r);
		break;
	}
}

static void on_request_n(struct rs_stream *stream, uint32_t n)
{
	struct request *r = stream->user;

	note_grant(r, n);
	if (r->backend->mode == COUNT)
		produce(r);
}

static void on_pulled(struct rs_stream *stream, size_t bytes)
{
	struct request *r = stream->requester ? NULL : stream->user;

	if (r && r->backend->mode == COUNT)
		produce(r);
}

static void on_cancel(struct rs_stream *stream)
{
	struct request *r = stream->user;

	r->backend->cancels++;
	request_end(r);
}

static void on_lost(struct rs_stream *stream, bool sent)
{
	struct request *r = stream->user;

	if (stream->requester) {
		ask_on_lost(stream, sent);
		return;
	}
	r->backend->losses++;
	request_end(r);
}

static uint32_t on_setup(struct rs_session *s, struct rs_setup *setup, const char **why)
{
	struct backend *b = backend_of(s);

	snprintf(b->metadata_mime, sizeof(b->metadata_mime), "%s", setup->metadata_mime);
	snprintf(b->data_mime, sizeof(b->data_mime), "%s", setup->data_mime);
	b->setup[chain_read(&setup->message.data, 0, b->setup, sizeof(b->setup) - 1)] = 0;
	return 0;
}

static const struct rs_handler backend_handler = {
	.wake = link_wake,
	.closed = link_ended,
	.setup = on_setup,
	.request = on_request,
	.payload = ask_on_payload,
	.error = ask_on_error,
	.request_n = on_request_n,
	.pulled = on_pulled,
	.cancel = on_cancel,
	.lost = on_lost,
};

static void on_down(struct link *link, const char *why)
{
	container_of(link, struct served, link)->used = false;
}

static const struct link_ops backend_link_ops = {.down = on_down};

static void on_accept(struct loop_listener *l, int fd, void *user)
{
	static const struct rs_config config = {.handler = &backend_handler};
	struct backend *b = user;
	struct served *s = b->served;

	while (s < b->served + SERVED_MAX && s->used)
		s++;
	assert_true(s < b->served + SERVED_MAX);
	*s = (struct served){.backend = b, .used = true};
	b->accepted++;
	assert_int_equal(
		link_serve(&s->link, &b->world->backend_hub, fd, &config, &backend_link_ops, s), 0);
}

void backend_listen(struct backend *b)
{
	struct sockaddr_storage addr;
	socklen_t len;
	int error;

	assert_int_equal(sockaddr_parse(b->address, &addr, &len), 0);
	b->listener = loop_listen(
		b->world->backend_loop, (struct sockaddr *)&addr, len, on_accept, b, &error);
	assert_non_null(b->listener);
}

void backend_unlisten(struct backend *b)
{
	if (b->listener)
		loop_listener_close(b->listener);
	b->listener = NULL;
	loop_step(b->world->backend_loop, 0);
}

struct backend *backend_new(struct world *w, enum backend_mode mode)
{
	struct backend *b = &w->backend[w->backends++];

	assert_true(w->backends <= BACKENDS_MAX);
	b->world = w;
	b->mode = mode;
	b->count_bytes = 4;
	list_init(&b->requests);
	snprintf(b->address, sizeof(b->address), "unix:%s/%u", w->folder, w->backends);
	backend_listen(b);
	return b;
}

void backend_cut(struct backend *b)
{
	for (unsigned i = 0; i < SERVED_MAX; i++)
		if (b->served[i].used && b->served[i].link.conn)
			loop_abort(b->served[i].link.conn);
}

unsigned backend_connections(const struct backend *b)
{
	unsigned n = 0;

	for (unsigned i = 0; i < SERVED_MAX; i++)
		n += b->served[i].used;
	return n;
}

void backend_answer(struct backend *b, size_t bytes)
{
	struct list *first = list_first(&b->requests);
	struct rs_message reply = {0};
	struct request *r;

	assert_non_null(first);
	r = list_entry(first, struct request, all);
	world_fill(&reply.data, bytes);
	assert_int_equal(rs_payload(r->stream, &reply, true, true), 0);
	request_end(r);
}

// The gateway

static bool on_gateway_accept(struct tcp_conn *conn, void *user)
{
	struct world *w = user;

	return client_accept(conn, &w->relay);
}

static const struct tcp_ops gateway_ops = {
	.accept = on_gateway_accept,
	.data = client_data,
	.writable = client_writable,
	.eof = client_eof,
	.closed = client_closed,
};

static struct tcp_stack *stack_new(struct world *w, const struct tcp_ops *ops)
{
	struct tcp_config config = {
		.conns_max = 4096,
		.time_wait_max = 16,
		.mtu = 9000,
		.recv_window_bytes = 1 << 20,
		.send_buffer_bytes = 1 << 20,
		.ooo_bytes_conn = 1 << 20,
		.ooo_bytes_stack = 1 << 22,
		.key = {7, [31] = 1},
		.ops = ops,
		.time_wait_ms = 1,
	};
	struct tcp_stack *stack = tcp_stack_new(&config, &w->wheel, w->now);

	assert_non_null(stack);
	return stack;
}

static void wire_release(struct buf *buf)
{
	struct world *w = buf->owner;

	w->wire_bufs--;
	free(buf->base);
	free(buf);
}

static void carry_one(struct world *w, const struct tcp_tx *tx, struct tcp_stack *to)
{
	uint32_t len = tx->header_len + (uint32_t)tx->payload_len;
	struct tcp_rx rx = {.src = tx->src, .dst = tx->dst, .len = len, .checksum_good = true};
	uint8_t *bytes = malloc(len);

	rx.buf = malloc(sizeof(*rx.buf));
	tcp_tx_write(tx, bytes, true);
	buf_init(rx.buf, bytes, len, wire_release, w);
	w->wire_bufs++;
	rx.data = bytes;
	tcp_input(to, &rx, w->now);
	buf_unref(rx.buf);
}

static unsigned carry(struct world *w, struct tcp_stack *from, struct tcp_stack *to)
{
	static struct tcp_tx tx[BURST];
	unsigned n, sum = 0;

	do {
		n = tcp_output(from, w->now, tx, BURST);
		for (unsigned i = 0; i < n; i++)
			carry_one(w, &tx[i], to);
		sum += n;
	} while (n == BURST && sum < 4 * BURST);
	return sum;
}

void world_step(struct world *w)
{
	unsigned work;
	int n;

	w->now = clock_now() + w->skew;
	list_for_each (at, &w->peers)
		peer_flush(list_entry(at, struct peer, all));
	work = carry(w, w->clients, w->gateway);
	n = loop_step(w->loop, 0);
	assert_true(n >= 0);
	work += (unsigned)n;
	work += timer_wheel_run(&w->wheel, w->now);
	relay_flush(&w->relay);
	work += carry(w, w->gateway, w->clients);
	n = loop_step(w->backend_loop, 0);
	assert_true(n >= 0);
	work += (unsigned)n;
	if (!work)
		loop_step(w->backend_loop, clock_now() + NS_PER_MS / 5);
}

void world_run(struct world *w, ns_t span)
{
	ns_t end = clock_now() + span;

	while (clock_now() < end)
		world_step(w);
}

void world_skip(struct world *w, ns_t span)
{
	w->skew += span;
	world_step(w);
}

static void init_relay(struct world *w)
{
	struct relay_config config = {
		.tcp = w->gateway,
		.loop = w->loop,
		.timers = &w->wheel,
		.table = w->table,
		.seed = 1,
		.now = &w->now,
	};

	config.host_setup = WORLD_HOST_SETUP;
	w->targets = calloc(TARGETS_MAX, sizeof(*w->targets));
	w->services = calloc(SERVICES_MAX, sizeof(*w->services));
	config.targets = w->targets;
	config.services = w->services;
	assert_int_equal(relay_init(&w->relay, &config), 0);
}

static struct world *make(const struct loop_config *loop_config)
{
	struct world *w = calloc(1, sizeof(*w));
	int error;

	strcpy(w->folder, "/tmp/penstock-relay-XXXXXX");
	assert_non_null(mkdtemp(w->folder));
	list_init(&w->peers);
	w->nodes_before = chain_nodes_in_use();
	w->now = clock_now();
	timer_wheel_init(&w->wheel, w->now);
	w->loop = loop_new(loop_config, &error);
	w->backend_loop = loop_new(NULL, &error);
	assert_non_null(w->loop);
	assert_non_null(w->backend_loop);
	w->blocks = buf_pool_new(4096, 0);
	w->client_pool = rs_pool_new(150000, w->blocks);
	w->backend_pool = rs_pool_new(150000, w->blocks);
	link_hub_init(&w->backend_hub, w->backend_loop, w->backend_pool);
	w->table = table_new(NULL);
	assert_non_null(w->table);
	w->gateway = stack_new(w, &gateway_ops);
	w->clients = stack_new(w, &peer_ops);
	assert_int_equal(tcp_listen(w->gateway, GATEWAY_PORT, w), 0);
	init_relay(w);
	return w;
}

struct world *world_new(void)
{
	return make(&(struct loop_config){.copy_bytes_max = RECEIVED_BYTES_MAX});
}

struct world *world_new_small(void)
{
	return make(&(struct loop_config){.buffers = 64, .copy_bytes_max = 4u << 20});
}

void world_queued(const struct world *w, size_t *stream, size_t *all)
{
	*stream = *all = 0;
	list_for_each (at, &w->relay.clients) {
		const struct client *c = list_entry(at, struct client, all);

		list_for_each (to, &c->session.streams) {
			size_t cost = rs_stream_queued_cost(list_entry(to, struct rs_stream, all));

			*all += cost;
			if (cost > *stream)
				*stream = cost;
		}
	}
}

static void free_backends(struct world *w)
{
	for (unsigned i = 0; i < w->backends; i++) {
		struct backend *b = &w->backend[i];

		backend_unlisten(b);
		for (unsigned k = 0; k < SERVED_MAX; k++)
			if (b->served[k].used)
				link_close(&b->served[k].link);
		RUN_UNTIL(w, backend_connections(b) == 0);
		assert_int_equal(b->held, 0);
	}
	loop_destroy(w->backend_loop);
	rs_pool_destroy(w->backend_pool);
}

// In the order of worker_app_fini().
static void free_relay(struct world *w)
{
	ns_t end = clock_now() + WORLD_DEADLINE;

	tcp_stack_destroy(w->gateway);
	assert_int_equal(w->relay.clients_count, 0);
	assert_int_equal(w->relay.calls_in_flight, 0);
	upstream_close_all(&w->relay);
	while (!list_empty(&w->relay.upstreams) && clock_now() < end)
		loop_step(w->loop, clock_now() + NS_PER_MS);
	loop_destroy(w->loop);
	assert_true(list_empty(&w->relay.upstreams));
	for (unsigned i = 0; i < TARGETS_MAX; i++) {
		assert_null(w->targets[i].first);
		assert_int_equal(w->targets[i].calls, 0);
		assert_int_equal(w->targets[i].connections, 0);
		assert_int_equal(w->targets[i].dialled, 0);
	}
	relay_fini(&w->relay);
	free(w->targets);
	free(w->services);
}

void world_free(struct world *w)
{
	free_backends(w);
	free_relay(w);
	tcp_stack_destroy(w->clients);
	assert_int_equal(w->wheel.count, 0);
	rs_pool_destroy(w->client_pool);
	buf_pool_destroy(w->blocks);
	table_destroy(w->table);
	assert_int_equal(w->wire_bufs, 0);
	assert_int_equal(chain_nodes_in_use(), w->nodes_before);
	rmdir(w->folder);
	free(w);
}

void world_expect_idle(struct world *w)
{
	uint64_t sum = 0;
	const struct relay_counters *c = &w->relay.counters;

	RUN_UNTIL(w, w->relay.calls_in_flight == 0 && rs_pool_streams(w->relay.pool) == 0 &&
			     buf_pool_bytes(w->relay.blocks) == 0 && w->wire_bufs == 0);
	for (unsigned i = 0; i < TARGETS_MAX; i++)
		assert_int_equal(w->targets[i].calls, 0);
	for (unsigned i = 0; i < SERVICES_MAX; i++)
		assert_int_equal(w->services[i].in_flight, 0);
	// Each call has one outcome.
	sum = c->calls_ok + c->calls_error + c->calls_rejected + c->calls_canceled +
	      c->calls_invalid + c->calls_abandoned;
	assert_int_equal(sum, c->calls);
}

// Routes

static void put_route(struct world *w, const char *name, struct service_spec spec,
	const uint32_t *version, va_list args)
{
	const char *targets[BACKENDS_MAX];
	uint32_t versions[BACKENDS_MAX];
	char text[64];
	const struct backend *b;

	snprintf(text, sizeof(text), "%s", name);
	if (text[strlen(text) - 1] == '*') {
		text[strlen(text) - 1] = '\0';
		spec.prefix = true;
	}
	spec.namespace = "default";
	spec.route = text;
	spec.fragments = true;
	spec.targets = targets;
	spec.versions = versions;
	while ((b = va_arg(args, const struct backend *))) {
		versions[spec.targets_count] = version ? *version : 0;
		targets[spec.targets_count++] = b->address;
	}
	assert_int_equal(table_put(w->table, &spec), 0);
}

void route(struct world *w, const char *name, ...)
{
	va_list args;

	va_start(args, name);
	put_route(w, name, (struct service_spec){0}, NULL, args);
	va_end(args);
}

void route_hosts(struct world *w, const char *name, uint32_t version, ...)
{
	va_list args;

	va_start(args, version);
	put_route(w, name, (struct service_spec){.hosts = true}, &version, args);
	va_end(args);
}

void unroute(struct world *w, const char *name)
{
	assert_int_equal(table_remove(w->table, "default", name, false), 0);
}
