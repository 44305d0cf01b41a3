// SPDX-License-Identifier: Apache-2.0
// The control plane's side of docs/PEER-PROTOCOL.md: sessions of gateways, their watches and
// reports. Main thread, within loop_step() or when a change is published.
//
//   accepted ──SETUP good──▶ greeted ──penstock.watch──▶ watching
//       └──SETUP bad: REJECTED_SETUP──▶ down ◀── lost, silent, or a newer one of the same name
//
// A watch's stream is fed by a watcher of the publisher. What that has is pulled only as far as the
// gateway has granted credit and QUEUED_BYTES_MAX allows, so a gateway that stops reading costs
// this much and no more.
#include "controlplane/peers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controlplane/registry_internal.h"
#include "lib/base/log.h"
#include "lib/rsocket/metadata.h"

#define SUBSYSTEM "peers"
#define PROTOCOL_VERSION 1
#define QUEUED_BYTES_MAX ((size_t)256 << 10)
#define BLOCK_BYTES (16u << 10)
#define BLOCKS_BYTES_MAX ((size_t)256 << 20)
#define STREAMS_OF_PEER_MAX 8

struct peer {
	struct link link;
	struct list all;
	struct peers *peers;
	bool greeted, superseded, warned;
	enum rs_metadata_kind metadata;
	char name[PEER_NAME_MAX + 1];
	char why[240];  // a SETUP was refused
	struct watcher watcher;
	struct rs_stream *watch;  // NULL: none
};

static struct peer *peer_of(struct rs_session *s)
{
	return container_of(link_of(s), struct peer, link);
}

static json_t *parse(const struct chain *data)
{
	char *text = must(malloc(data->len + 1));
	json_t *json;

	chain_read(data, 0, text, data->len);
	json = json_loadb(text, data->len, 0, NULL);
	free(text);
	return json;
}

// ---- greeting ----

static uint32_t refuse(struct peer *peer, uint32_t code, const char **why)
{
	log_warn(SUBSYSTEM, "a connection was refused: %s", peer->why);
	peer->peers->refused++;
	*why = peer->why;
	return code;
}

// Closes an older connection of the same name: a gateway that was restarted must not wait until its
// old self has timed out.
static void supersede(struct peers *p, const char *name)
{
	list_for_each (at, &p->all) {
		struct peer *old = list_entry(at, struct peer, all);

		if (!old->greeted || old->superseded || strcmp(old->name, name) != 0)
			continue;
		log_info(SUBSYSTEM, "gateway %s connected again: its older connection is closed",
			name);
		old->superseded = true;
		link_close(&old->link);
	}
}

static void note(struct peers *p, const char *type, const char *name, const char *text)
{
	// A batch that is full of other changes may lose it; the log has it.
	registry_note(p->registry, type, KIND_GATEWAY, name, text, clock_wall());
}

// 0, or the code to refuse with; peer->why says why.
static uint32_t check_hello(struct peer *peer, const json_t *hello)
{
	const json_t *protocol = json_object_get(hello, "protocol");
	const json_t *min = json_object_get(protocol, "min"),
		     *max = json_object_get(protocol, "max");
	const char *role = json_string_value(json_object_get(hello, "role"));
	const char *name = json_string_value(json_object_get(hello, "name"));

	if (!json_is_object(hello))
		snprintf(peer->why, sizeof(peer->why), "the SETUP's data must be a JSON object");
	else if (!json_is_integer(min) || !json_is_integer(max) ||
		 json_integer_value(min) > PROTOCOL_VERSION ||
		 json_integer_value(max) < PROTOCOL_VERSION)
		snprintf(peer->why, sizeof(peer->why),
			"this control plane (version " PENSTOCK_VERSION
			") speaks protocol %d alone: run the same version of Penstock on both "
			"sides",
			PROTOCOL_VERSION);
	else if (!role || strcmp(role, "gateway") != 0)
		snprintf(peer->why, sizeof(peer->why), "the role must be gateway, but is %.32s",
			role ? role : "missing");
	else if (!name || !format_name.valid(name))
		snprintf(peer->why, sizeof(peer->why), "the gateway's name must be %s",
			format_name.rule);
	else
		return 0;
	return RS_ERROR_REJECTED_SETUP;
}

static int greet(struct peer *peer, const json_t *hello)
{
	const char *version = json_string_value(json_object_get(hello, "version"));
	const char *start = json_string_value(json_object_get(hello, "start"));
	const struct telemetry_hello h = {
		.name = json_string_value(json_object_get(hello, "name")),
		.version = version ? version : "",
		.start = start ? start : "",
		.workers = (unsigned)json_integer_value(json_object_get(hello, "workers")),
	};
	int rc = telemetry_connected(peer->peers->telemetry, &h, clock_now(), clock_wall());

	if (rc)
		return rc;
	supersede(peer->peers, h.name);
	snprintf(peer->name, sizeof(peer->name), "%s", h.name);
	peer->greeted = true;
	note(peer->peers, "connected", peer->name, h.version);
	log_info(SUBSYSTEM, "gateway %s connected: version %s, %u workers", h.name, h.version,
		h.workers);
	return 0;
}

static uint32_t on_setup(struct rs_session *s, struct rs_setup *setup, const char **why)
{
	struct peer *peer = peer_of(s);
	json_t *hello = parse(&setup->message.data);
	uint32_t code = check_hello(peer, hello);

	peer->metadata = rs_metadata_kind(setup->metadata_mime);
	if (!code && greet(peer, hello) != 0) {
		snprintf(peer->why, sizeof(peer->why),
			"%d gateways are connected, the most that are served",
			TELEMETRY_GATEWAYS_MAX);
		code = RS_ERROR_REJECTED_SETUP;
	}
	json_decref(hello);
	return code ? refuse(peer, code, why) : 0;
}

// ---- watch ----

static int send_item(struct peer *peer, const char *text)
{
	struct rs_message message = {0};
	int rc = chain_copy(&message.data, peer->peers->blocks, text, strlen(text));

	if (rc) {
		rs_message_clear(&message);
		return rc;
	}
	return rs_payload(peer->watch, &message, true, false);
}

static void end_watch(struct peer *peer)
{
	if (!peer->watch)
		return;
	feed_unwatch(&peer->watcher);
	peer->watch = NULL;
}

// An item that cannot be queued would be missing for good: the gateway must ask again.
static void fail_watch(struct peer *peer, int error)
{
	struct rs_stream *stream = peer->watch;

	log_error(SUBSYSTEM, "gateway %s: an item could not be sent: %s; its watch starts again",
		peer->name, strerror(-error));
	end_watch(peer);
	rs_error(stream, RS_ERROR_CANCELED, "out of buffers: watch again");
}

static void warn_waiting(struct peer *peer)
{
	if (peer->watcher.state != WATCH_WAITING || peer->warned)
		return;
	peer->warned = true;
	log_warn(SUBSYSTEM,
		"gateway %s waits for its configuration: there is no Gateway resource of that "
		"name; create it "
		"with `penstock apply` or PUT /v1/gateways/%s",
		peer->name, peer->name);
}

static void pump(struct peer *peer)
{
	while (peer->watch && rs_stream_credit(peer->watch) > 0 &&
		rs_stream_queued_bytes(peer->watch) < QUEUED_BYTES_MAX) {
		char *text = feed_next(&peer->watcher);
		int rc;

		if (!text)
			break;
		rc = send_item(peer, text);
		free(text);
		if (rc)
			fail_watch(peer, rc);
	}
	if (peer->watch)
		warn_waiting(peer);
}

static void on_ready(struct watcher *w)
{
	pump(container_of(w, struct peer, watcher));
}

static void start_watch(
	struct peer *peer, struct rs_stream *stream, const struct rs_message *message)
{
	json_t *request = parse(&message->data);
	const char *epoch = json_string_value(json_object_get(request, "epoch"));
	json_int_t after = json_integer_value(json_object_get(request, "after"));
	struct rs_stream *old = peer->watch;

	if (stream->type != RS_REQUEST_STREAM || !json_is_object(request)) {
		rs_error(stream, RS_ERROR_INVALID,
			"penstock.watch is a REQUEST_STREAM with a JSON object {\"epoch\", "
			"\"after\"}");
	} else {
		end_watch(peer);
		if (old)
			rs_error(old, RS_ERROR_CANCELED,
				"a newer watch of this connection took its place");
		peer->watch = stream;
		stream->user = peer;
		feed_watch(&peer->peers->publisher->feed, &peer->watcher, peer->name,
			epoch ? epoch : "", after > 0 ? (uint64_t)after : 0, on_ready);
	}
	json_decref(request);
}

// ---- requests ----

static void take_report(
	struct peer *peer, struct rs_stream *stream, const struct rs_message *message)
{
	json_t *report = parse(&message->data);
	int rc = telemetry_report(peer->peers->telemetry, peer->name, report, clock_now());

	json_decref(report);
	if (rc)
		log_debug(SUBSYSTEM, "gateway %s: a report was not understood", peer->name);
	// Asked as anything but fire-and-forget, it wants an answer.
	if (stream->type != RS_REQUEST_FNF)
		rs_error(stream, RS_ERROR_INVALID, "penstock.report is a REQUEST_FNF");
}

static void on_request(struct rs_stream *stream, struct rs_message *message)
{
	static const struct {
		const char *route;
		bool watch;
	} routes[] = {{"penstock.watch", true}, {"penstock.report", false}};
	struct peer *peer = peer_of(stream->session);
	struct rs_route route;
	int rc = rs_route_find(peer->metadata, &message->metadata, &route);

	if (peer->superseded)
		rc = -ESTALE;
	for (size_t i = 0; !rc && i < 2; i++) {
		if (strcmp(route.text, routes[i].route) != 0)
			continue;
		if (routes[i].watch)
			start_watch(peer, stream, message);
		else
			take_report(peer, stream, message);
		return;
	}
	if (stream->type != RS_REQUEST_FNF)
		rs_error(stream, RS_ERROR_REJECTED,
			"no such request: there are penstock.watch and penstock.report");
}

static void on_request_n(struct rs_stream *stream, uint32_t n)
{
	struct peer *peer = peer_of(stream->session);

	(void)n;
	if (stream == peer->watch)
		pump(peer);
}

static void on_pulled(struct rs_stream *stream, size_t bytes)
{
	on_request_n(stream, (uint32_t)bytes);
}

static void on_cancel(struct rs_stream *stream)
{
	struct peer *peer = peer_of(stream->session);

	if (stream == peer->watch)
		end_watch(peer);
}

static void on_lost(struct rs_stream *stream, bool sent)
{
	(void)sent;
	on_cancel(stream);
}

static const struct rs_handler handler = {
	.wake = link_wake,
	.closed = link_ended,
	.setup = on_setup,
	.request = on_request,
	.request_n = on_request_n,
	.pulled = on_pulled,
	.cancel = on_cancel,
	.lost = on_lost,
};

// ---- coming and going ----

static void on_down(struct link *link, const char *why)
{
	struct peer *peer = container_of(link, struct peer, link);
	struct peers *p = peer->peers;

	end_watch(peer);
	if (peer->greeted && !peer->superseded) {
		telemetry_disconnected(p->telemetry, peer->name, why, clock_wall());
		note(p, "disconnected", peer->name, why);
		if (!p->stopping)
			log_warn(SUBSYSTEM, "gateway %s disconnected: %s", peer->name, why);
	}
	list_del(&peer->all);
	p->count--;
	p->full = false;
	free(peer);
}

static const struct link_ops link_ops = {.down = on_down};

static void on_accept(struct loop_listener *l, int fd, void *user)
{
	static const struct rs_config config = {
		.handler = &handler,
		.streams_max = STREAMS_OF_PEER_MAX,
	};
	struct peers *p = user;
	struct peer *peer;

	(void)l;
	if (p->count >= PEERS_MAX) {
		p->refused++;
		if (!p->full)
			log_warn(SUBSYSTEM,
				"connections are refused: %d are open, the most that are served",
				PEERS_MAX);
		p->full = true;
		close(fd);
		return;
	}
	peer = must(calloc(1, sizeof(*peer)));
	peer->peers = p;
	if (link_serve(&peer->link, &p->hub, fd, &config, &link_ops, peer) != 0) {
		free(peer);
		return;
	}
	list_push(&p->all, &peer->all);
	p->count++;
}

int peers_start(struct peers *p, struct loop *loop, struct registry *registry,
	struct publisher *publisher, struct telemetry *telemetry, const struct sockaddr *address,
	socklen_t len)
{
	int error = -ENOMEM;

	*p = (struct peers){
		.loop = loop, .registry = registry, .publisher = publisher, .telemetry = telemetry};
	list_init(&p->all);
	p->blocks = buf_pool_new(BLOCK_BYTES, BLOCKS_BYTES_MAX);
	p->pool = p->blocks ? rs_pool_new(PEERS_MAX * STREAMS_OF_PEER_MAX, p->blocks) : NULL;
	if (!p->pool)
		return error;
	link_hub_init(&p->hub, loop, p->pool);
	p->listener = loop_listen(loop, address, len, on_accept, p, &error);
	return p->listener ? 0 : error;
}

void peers_stop(struct peers *p)
{
	p->stopping = true;
	if (p->listener)
		loop_listener_close(p->listener);
	p->listener = NULL;
	list_for_each_safe (at, after, &p->all)
		link_close(&list_entry(at, struct peer, all)->link);
}

void peers_fini(struct peers *p)
{
	if (p->pool)
		rs_pool_destroy(p->pool);
	if (p->blocks)
		buf_pool_destroy(p->blocks);
	p->pool = NULL;
	p->blocks = NULL;
}
