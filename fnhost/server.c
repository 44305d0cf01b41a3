// SPDX-License-Identifier: Apache-2.0
// Gateways: they dial us, call functions, are told the load, and are asked for calls that functions make. Loop's
// thread. What their connection looks like: docs/PEER-PROTOCOL.md, "host to gateway".
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fnhost/host.h"
#include "fnhost/relay.h"
#include "lib/base/addr.h"
#include "lib/base/log.h"
#include "lib/call/load.h"
#include "lib/rsocket/metadata.h"

#define SUBSYSTEM "server"
#define LOAD_INTERVAL NS_PER_MS // between two pushes
#define SETUP_TOKEN_MAX 256

struct gateway {
	struct link link;
	struct host *host;
	struct list all;
	enum rs_metadata_kind kind;
	bool calls; // it said that it routes calls
};

static struct gateway *gateway_of(struct rs_session *s)
{
	return container_of(link_of(s), struct gateway, link);
}

static bool token_good(const struct options *o, json_t *who)
{
	const char *token = json_string_value(json_object_get(who, "token"));
	size_t len = strlen(o->gateway_token), differ;

	if (!len)
		return true;
	if (!token || strlen(token) != len)
		return false;
	differ = 0;
	for (size_t i = 0; i < len; i++) // in constant time
		differ |= (size_t)(token[i] ^ o->gateway_token[i]);
	return differ == 0;
}

static json_t *parse(const struct chain *data)
{
	char text[4096];
	size_t n = data->len < sizeof(text) ? chain_read(data, 0, text, data->len) : 0;

	return n ? json_loadb(text, n, 0, NULL) : NULL;
}

// A gateway that has just come learns what there is.
static void tell_all_loads(struct host *h)
{
	list_for_each (at, &h->functions.all) {
		struct fn *fn = list_entry(at, struct fn, all);

		if (!list_linked(&fn->changed))
			list_push(&h->functions.changed, &fn->changed);
	}
	server_load_changed(h);
}

static uint32_t on_setup(struct rs_session *s, struct rs_setup *setup, const char **why)
{
	struct gateway *g = gateway_of(s);
	json_t *who = parse(&setup->message.data);
	const char *role = json_string_value(json_object_get(who, "role"));
	bool known = token_good(&g->host->options, who);

	g->kind = rs_metadata_kind(setup->metadata_mime);
	g->calls = role && strcmp(role, "gateway") == 0;
	json_decref(who);
	if (known && g->kind != RS_METADATA_OTHER) {
		tell_all_loads(g->host);
		return 0;
	}
	g->host->counts.gateways_refused++;
	*why = known ? "calls need composite metadata, or routing metadata"
		     : "this host serves known gateways only: the token is missing or wrong";
	return RS_ERROR_REJECTED_SETUP;
}

static void on_request(struct rs_stream *stream, struct rs_message *message)
{
	struct gateway *g = gateway_of(stream->session);

	calls_begin(g->host, g->kind, stream, message);
}

static const struct rs_handler handler = {
	.wake = link_wake,
	.setup = on_setup,
	.request = on_request,
	.payload = relay_on_payload,
	.error = relay_on_error,
	.request_n = relay_on_request_n,
	.cancel = relay_on_cancel,
	.lost = relay_on_lost,
	.pulled = relay_on_pulled,
	.closed = link_ended,
};

static void on_down(struct link *link, const char *why)
{
	struct gateway *g = container_of(link, struct gateway, link);

	log_debug(SUBSYSTEM, "a gateway's connection ended: %s", why);
	g->host->gateways_count--;
	list_del(&g->all);
	free(g);
}

static const struct link_ops link_ops = {.down = on_down};

static void on_accept(struct loop_listener *l, int fd, void *user)
{
	static const struct rs_config config = {.handler = &handler, .streams_max = HOST_CALLS_MAX};
	struct host *h = user;
	struct gateway *g = h->gateways_count < HOST_GATEWAYS_MAX ? calloc(1, sizeof(*g)) : NULL;

	if (!g) {
		h->counts.gateways_refused++;
		close(fd);
		return;
	}
	g->host = h;
	if (link_serve(&g->link, &h->hub, fd, &config, &link_ops, g)) {
		free(g);
		return;
	}
	list_push(&h->gateways, &g->all);
	h->gateways_count++;
	h->counts.gateways_accepted++;
}

// It may be told loads, and asked while it does not say that it closes.
static bool usable(const struct gateway *g)
{
	return g->link.state == LINK_UP && rs_session_takes_requests(&g->link.session) &&
	       g->kind == RS_METADATA_COMPOSITE;
}

// In turn: first among those that said they are gateways, else any.
struct rs_session *server_ask(struct host *h)
{
	struct gateway *found = NULL;

	list_for_each (at, &h->gateways) {
		struct gateway *g = list_entry(at, struct gateway, all);

		if (usable(g) && (!found || (g->calls && !found->calls)))
			found = g;
	}
	if (!found)
		return NULL;
	list_del(&found->all);
	list_push(&h->gateways, &found->all);
	return &found->link.session;
}

// Load

static bool put_load(struct writer *w, const struct fn *fn)
{
	const struct call_load load = {
		.namespace = fn->namespace,
		.namespace_len = (uint8_t)strlen(fn->namespace),
		.name = fn->name,
		.name_len = (uint8_t)strlen(fn->name),
		.version = fn->version,
		.queued = fn->queued,
		.running = fn->running,
		.capacity = fn->capacity,
	};

	return call_load_write(w, &load);
}

static void push_to_all(struct host *h, const uint8_t *bytes, size_t len)
{
	list_for_each (at, &h->gateways) {
		struct gateway *g = list_entry(at, struct gateway, all);
		struct chain push = {0};

		if (!usable(g) || chain_copy(&push, h->blocks, bytes, len))
			continue;
		rs_metadata_push(&g->link.session, &push);
		h->counts.load_pushes++;
	}
}

static void on_load_timer(struct timer *timer, ns_t now)
{
	struct host *h = container_of(timer, struct host, load_timer);
	uint8_t bytes[CALL_LOAD_BYTES_MAX];
	struct writer w = writer_of(bytes, sizeof(bytes));
	struct list *first;

	writer_u8(&w, CALL_LOAD_PUSH);
	while ((first = list_first(&h->functions.changed)) &&
		put_load(&w, list_entry(first, struct fn, changed)))
		list_del(first);
	h->load_told = now;
	push_to_all(h, bytes, (size_t)(w.at - bytes));
	if (first) // the rest comes next time
		timer_arm(loop_timers(h->loop), timer, now + LOAD_INTERVAL);
}

void server_load_changed(struct host *h)
{
	ns_t now = loop_now(h->loop), due = h->load_told + LOAD_INTERVAL;

	if (list_empty(&h->gateways) || list_empty(&h->functions.changed) ||
		timer_armed(&h->load_timer))
		return;
	h->load_timer.fire = on_load_timer;
	timer_arm(loop_timers(h->loop), &h->load_timer, due > now ? due : now);
}

int server_start(struct host *h)
{
	struct sockaddr_storage addr;
	socklen_t len;
	int error = sockaddr_parse(h->options.listen, &addr, &len);

	list_init(&h->gateways);
	if (error) {
		log_error(SUBSYSTEM, "cannot listen on '%s': it must be like 0.0.0.0:7880",
			h->options.listen);
		return error;
	}
	h->listener =
		loop_listen(h->loop, (struct sockaddr *)&addr, len, on_accept, h, &error);
	if (!h->listener) {
		log_error(SUBSYSTEM, "cannot listen on %s: %s", h->options.listen, strerror(-error));
		return error;
	}
	return 0;
}

void server_stop(struct host *h)
{
	if (h->listener)
		loop_listener_close(h->listener);
	h->listener = NULL;
}

void server_drain(struct host *h)
{
	list_for_each_safe (at, after, &h->gateways)
		rs_session_drain(&list_entry(at, struct gateway, all)->link.session);
}

void server_close(struct host *h)
{
	list_for_each_safe (at, after, &h->gateways)
		link_close(&list_entry(at, struct gateway, all)->link);
}
