// SPDX-License-Identifier: Apache-2.0
// Gateways: greeting, watch, reports. Main thread.
#include <stdio.h>
#include <string.h>

#include "controlplane/peers_internal.h"
#include "lib/base/log.h"

#define SUBSYSTEM "peers"

static void note(struct peers *p, const char *type, const char *name, const char *text)
{
	// A batch that is full of other changes may lose it; the log has it.
	registry_note(p->registry, type, KIND_GATEWAY, name, text, clock_wall());
}

static int greet(struct peer *peer, const json_t *hello)
{
	const char *version = json_string_value(json_object_get(hello, "version"));
	const char *start = json_string_value(json_object_get(hello, "start"));
	const struct telemetry_hello h = {
		.name = peer->name,
		.version = version ? version : "",
		.start = start ? start : "",
		.workers = (unsigned)json_integer_value(json_object_get(hello, "workers")),
	};
	int rc = telemetry_connected(peer->peers->telemetry, &h, clock_now(), clock_wall());

	if (rc) {
		snprintf(peer->why, sizeof(peer->why),
			"%d gateways are connected, the most that are served",
			TELEMETRY_GATEWAYS_MAX);
		return rc;
	}
	// A gateway that was restarted must not wait until its old self has timed out.
	peer_supersede(peer);
	note(peer->peers, "connected", peer->name, h.version);
	log_info(SUBSYSTEM, "gateway %s connected: version %s, %u workers", h.name, h.version,
		h.workers);
	return 0;
}

static void gone(struct peer *peer, const char *why)
{
	telemetry_disconnected(peer->peers->telemetry, peer->name, why, clock_wall());
	note(peer->peers, "disconnected", peer->name, why);
	// Nobody waits for what it has applied any more.
	peers_tick(peer->peers);
}

static void take_watch(struct peer *peer, struct rs_stream *stream, const json_t *data)
{
	peer_watch(peer, stream, &peer->peers->publisher->feed, data);
}

// What the gateway's workers act by. A seq of another epoch means nothing here.
static void take_applied(struct peer *peer, const json_t *report)
{
	const json_t *applied = json_object_get(report, "applied");
	const char *epoch = json_string_value(json_object_get(report, "epoch"));

	if (!peer->watch || !json_is_integer(applied) || json_integer_value(applied) <= 0 ||
		(epoch && strcmp(epoch, peer->peers->publisher->epoch) != 0))
		return;
	feed_applied(&peer->watcher, (uint64_t)json_integer_value(applied));
	peers_tick(peer->peers);
}

static void take_report(struct peer *peer, struct rs_stream *stream, const json_t *report)
{
	(void)stream;
	if (telemetry_report(peer->peers->telemetry, peer->name, report, clock_now()))
		log_debug(SUBSYSTEM, "gateway %s: a report was not understood", peer->name);
	take_applied(peer, report);
}

static const struct peer_route routes[] = {
	{"penstock.watch", RS_REQUEST_STREAM, take_watch,
		"penstock.watch is a REQUEST_STREAM with a JSON object {\"epoch\", \"after\"}"},
	{"penstock.report", RS_REQUEST_FNF, take_report,
		"penstock.report is a REQUEST_FNF with a JSON object"},
};

const struct peer_role peer_role_gateway = {
	.name = "gateway",
	.greet = greet,
	.routes = routes,
	.route_count = sizeof(routes) / sizeof(routes[0]),
	.gone = gone,
};
