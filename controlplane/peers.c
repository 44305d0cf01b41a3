// SPDX-License-Identifier: Apache-2.0
// The control plane's side of docs/PEER-PROTOCOL.md: sessions of gateways and hosts, their watches
// and requests. Main thread, within loop_step() or when a change is published.
//
//   accepted ──SETUP good──▶ greeted (a role) ──penstock.watch, .assign──▶ watching
//       └──SETUP bad: REJECTED_SETUP──▶ down ◀── lost, silent, or a newer one of the same name
//
// A watch's stream is fed by a watcher of a feed. What that has is pulled only as far as the peer
// has granted credit and QUEUED_BYTES_MAX allows, so a peer that stops reading costs this much and
// no more. What the roles say is in peer_gateway.c and peer_host.c.
#include "controlplane/peers_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "controlplane/registry_internal.h"
#include "controlplane/sockets.h"
#include "lib/base/log.h"
#include "lib/rsocket/metadata.h"

#define SUBSYSTEM "peers"
#define PROTOCOL_VERSION 1
#define QUEUED_BYTES_MAX ((size_t)256 << 10)
#define BLOCK_BYTES (16u << 10)
#define BLOCKS_BYTES_MAX ((size_t)256 << 20)
#define STREAMS_OF_PEER_MAX 24
#define TELL_AGAIN (60 * NS_PER_SEC)

static const struct peer_role *const roles[] = {&peer_role_gateway, &peer_role_host};
#define ROLE_COUNT (sizeof(roles) / sizeof(roles[0]))

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

// True once a minute for each who and why.
static bool worth_telling(struct peers *p, const char *name, const char *why, ns_t now)
{
	uint64_t hash = XXH3_64bits_withSeed(why, strlen(why), XXH3_64bits(name, strlen(name)));
	struct peers_refusal *r = p->refusals;

	for (int i = 0; i < PEERS_REFUSALS_MAX; i++)
		if (r[i].at && r[i].hash == hash && now - r[i].at < TELL_AGAIN)
			return false;
	// With more than these at it, some are told more often, but no more than these a second.
	r = &p->refusals[p->next_refusal++ % PEERS_REFUSALS_MAX];
	if (r->at && now - r->at < NS_PER_SEC)
		return false;
	*r = (struct peers_refusal){hash, now};
	return true;
}

static uint32_t refuse(struct peer *peer, const json_t *hello, uint32_t code, const char **why)
{
	const char *role = json_string_value(json_object_get(hello, "role"));
	const char *name = json_string_value(json_object_get(hello, "name"));
	enum kind kind = KIND_COUNT;

	peer->peers->refused++;
	*why = peer->why;
	if (!name || !format_name.valid(name))
		name = NULL;
	else if (role)
		kind = strcmp(role, "host") == 0      ? KIND_NODE
		       : strcmp(role, "gateway") == 0 ? KIND_GATEWAY
						      : KIND_COUNT;
	if (!worth_telling(peer->peers, name ? name : "", peer->why, clock_now()))
		return code;
	log_warn(SUBSYSTEM, "%s%s was refused: %s", name ? "the connection of " : "a connection",
		name ? name : "", peer->why);
	registry_note(peer->peers->registry, "refused", kind, kind == KIND_COUNT ? NULL : name,
		peer->why, clock_wall());
	return code;
}

void peer_supersede(struct peer *peer)
{
	list_for_each (at, &peer->peers->all) {
		struct peer *old = list_entry(at, struct peer, all);

		if (old == peer || old->role != peer->role || old->superseded ||
			strcmp(old->name, peer->name) != 0)
			continue;
		log_info(SUBSYSTEM, "%s %s connected again: its older connection is closed",
			old->role->name, old->name);
		old->superseded = true;
		peer_end_watch(old);
		link_close(&old->link);
	}
}

// To register is to be trusted with code and calls: from afar only with the join token.
static bool may_join(struct peer *peer, const json_t *hello)
{
	const struct token *token = &peer->peers->token;

	if (!peer->remote ||
		token_matches(token, json_string_value(json_object_get(hello, "token"))))
		return true;
	snprintf(peer->why, sizeof(peer->why), "%s",
		token->known ? "the join token is missing or wrong: give this machine the token of "
			    "the control plane (--token-file)"
			  : "this control plane has no join token, and without one nobody joins "
			    "from another machine: start it with --token-file");
	return false;
}

static const struct peer_role *role_named(const char *name)
{
	for (size_t i = 0; name && i < ROLE_COUNT; i++)
		if (strcmp(roles[i]->name, name) == 0)
			return roles[i];
	return NULL;
}

// False with peer->why.
static bool hello_good(struct peer *peer, const json_t *hello)
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
	else if (!role_named(role))
		snprintf(peer->why, sizeof(peer->why),
			"the role must be gateway or host, but is %.32s", role ? role : "missing");
	else if (!name || !format_name.valid(name))
		snprintf(peer->why, sizeof(peer->why), "the %s's name must be %s", role,
			format_name.rule);
	else
		return may_join(peer, hello);
	return false;
}

static uint32_t on_setup(struct rs_session *s, struct rs_setup *setup, const char **why)
{
	struct peer *peer = peer_of(s);
	json_t *hello = parse(&setup->message.data);
	bool good = hello_good(peer, hello);
	uint32_t code;

	peer->metadata = rs_metadata_kind(setup->metadata_mime);
	if (good) {
		snprintf(peer->name, sizeof(peer->name), "%s",
			json_string_value(json_object_get(hello, "name")));
		peer->role = role_named(json_string_value(json_object_get(hello, "role")));
		good = peer->role->greet(peer, hello) == 0;
		if (!good)
			peer->role = NULL;
	}
	code = good ? 0 : refuse(peer, hello, RS_ERROR_REJECTED_SETUP, why);
	json_decref(hello);
	return code;
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

void peer_end_watch(struct peer *peer)
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

	log_error(SUBSYSTEM, "%s %s: an item could not be sent: %s; its watch starts again",
		peer->role->name, peer->name, strerror(-error));
	peer_end_watch(peer);
	rs_error(stream, RS_ERROR_CANCELED, "out of buffers: watch again");
}

static void warn_waiting(struct peer *peer)
{
	if (peer->watcher.state != WATCH_WAITING || peer->warned || peer->peers->publisher->held)
		return;
	peer->warned = true;
	log_warn(SUBSYSTEM,
		"gateway %s waits for its configuration: there is no Gateway resource of that "
		"name; create it "
		"with `penstock apply` or PUT /v1/gateways/%s",
		peer->name, peer->name);
}

void peer_pump(struct peer *peer)
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
	peer_pump(container_of(w, struct peer, watcher));
}

void peer_watch(struct peer *peer, struct rs_stream *stream, struct feed *feed, const json_t *data)
{
	const char *epoch = json_string_value(json_object_get(data, "epoch"));
	json_int_t after = json_integer_value(json_object_get(data, "after"));
	struct rs_stream *old = peer->watch;

	peer_end_watch(peer);
	if (old)
		rs_error(old, RS_ERROR_CANCELED,
			"a newer watch of this connection took its place");
	peer->watch = stream;
	stream->user = peer;
	feed_watch(feed, &peer->watcher, peer->name, epoch ? epoch : "",
		after > 0 ? (uint64_t)after : 0, on_ready);
}

// ---- requests ----

static void handle(struct peer *peer, const struct peer_route *route, struct rs_stream *stream,
	const struct rs_message *message)
{
	json_t *data = parse(&message->data);

	if (stream->type == route->type && json_is_object(data))
		route->handle(peer, stream, data);
	else if (stream->type != RS_REQUEST_FNF)
		// Asked as anything but fire-and-forget, it wants an answer.
		rs_error(stream, RS_ERROR_INVALID, route->wants);
	json_decref(data);
}

static void on_request(struct rs_stream *stream, struct rs_message *message)
{
	struct peer *peer = peer_of(stream->session);
	const struct peer_role *role = peer->role;
	struct rs_route route;
	int rc = rs_route_find(peer->metadata, &message->metadata, &route);

	if (peer->superseded || !role)
		rc = -ESTALE;
	for (size_t i = 0; !rc && i < role->route_count; i++) {
		if (strcmp(route.text, role->routes[i].name) == 0) {
			handle(peer, &role->routes[i], stream, message);
			return;
		}
	}
	if (stream->type != RS_REQUEST_FNF)
		rs_error(stream, RS_ERROR_REJECTED,
			"no such request for this role: see docs/PEER-PROTOCOL.md");
}

static void on_request_n(struct rs_stream *stream, uint32_t n)
{
	struct peer *peer = peer_of(stream->session);

	(void)n;
	if (stream == peer->watch)
		peer_pump(peer);
}

static void on_pulled(struct rs_stream *stream, size_t bytes)
{
	on_request_n(stream, (uint32_t)bytes);
}

static void on_cancel(struct rs_stream *stream)
{
	struct peer *peer = peer_of(stream->session);

	if (stream == peer->watch)
		peer_end_watch(peer);
}

static void on_lost(struct rs_stream *stream, bool sent)
{
	(void)sent;
	if (stream->requester)
		peer_logs_end(stream, "the connection to its host broke");
	else
		on_cancel(stream);
}

// Only logs are asked of a peer.
static void on_payload(
	struct rs_stream *stream, struct rs_message *message, bool next, bool complete)
{
	peer_logs_item(stream, message, next, complete);
}

static void on_error(struct rs_stream *stream, uint32_t code, struct chain *text)
{
	char why[200];

	(void)code;
	why[chain_read(text, 0, why, sizeof(why) - 1)] = 0;
	peer_logs_end(stream, why);
}

static const struct rs_handler handler = {
	.wake = link_wake,
	.closed = link_ended,
	.setup = on_setup,
	.request = on_request,
	.payload = on_payload,
	.error = on_error,
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

	peer_end_watch(peer);
	peer_logs_lost(peer);
	if (peer->role && !peer->superseded) {
		peer->role->gone(peer, why);
		if (!p->stopping)
			log_warn(SUBSYSTEM, "%s %s disconnected: %s", peer->role->name, peer->name,
				why);
	}
	list_del(&peer->all);
	p->count--;
	p->full = false;
	free(peer);
}

static const struct link_ops link_ops = {.down = on_down};

static bool is_remote(int fd)
{
	struct sockaddr_storage addr = {0};
	socklen_t len = sizeof(addr);

	return getpeername(fd, (struct sockaddr *)&addr, &len) != 0 || !address_is_local(&addr);
}

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
	peer->remote = is_remote(fd);
	list_init(&peer->logs);
	if (link_serve(&peer->link, &p->hub, fd, &config, &link_ops, peer) != 0) {
		free(peer);
		return;
	}
	list_push(&p->all, &peer->all);
	p->count++;
}

int peers_start(struct peers *p, const struct peers_config *config)
{
	*p = (struct peers){
		.loop = config->loop,
		.registry = config->registry,
		.publisher = config->publisher,
		.telemetry = config->telemetry,
		.orchestrator = config->orchestrator,
	};
	if (config->token)
		p->token = *config->token;
	list_init(&p->all);
	p->blocks = buf_pool_new(BLOCK_BYTES, BLOCKS_BYTES_MAX);
	p->pool = p->blocks ? rs_pool_new(PEERS_MAX * STREAMS_OF_PEER_MAX, p->blocks) : NULL;
	if (!p->pool)
		return -ENOMEM;
	link_hub_init(&p->hub, config->loop, p->pool);
	return 0;
}

int peers_listen(struct peers *p, const struct sockaddr *address, socklen_t len)
{
	int error = -ENOSPC;
	struct loop_listener *l = NULL;

	if (p->listener_count < PEERS_LISTENERS_MAX)
		l = loop_listen(p->loop, address, len, on_accept, p, &error);
	if (!l)
		return error;
	p->listeners[p->listener_count++] = l;
	return 0;
}

void peers_tick(struct peers *p)
{
	if (p->orchestrator)
		orchestrator_tick(p->orchestrator, clock_now());
}

void peers_stop(struct peers *p)
{
	p->stopping = true;
	while (p->listener_count)
		loop_listener_close(p->listeners[--p->listener_count]);
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
