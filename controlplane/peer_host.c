// SPDX-License-Identifier: Apache-2.0
// Function hosts: greeting, assignments, reports. Main thread.
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "controlplane/peers_internal.h"
#include "lib/base/log.h"
#include "sched/images.h"

#define SUBSYSTEM "peers"
#define ATTRIBUTES_MAX 64
#define ATTRIBUTE_VALUE_MAX 255
#define IMAGE_MAX 255 // bytes of a name; longer ones are left out

static uint64_t number(const json_t *object, const char *name)
{
	json_int_t value = json_integer_value(json_object_get(object, name));

	return value > 0 ? (uint64_t)value : 0;
}

// Absent is without limit; a host that says nonsense must not get everything.
static bool limits_good(const json_t *capacity)
{
	static const char *const names[] = {"cpu_milli", "memory", "disk", "instances"};

	if (capacity && !json_is_object(capacity))
		return false;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const json_t *value = json_object_get(capacity, names[i]);

		if (value && (!json_is_integer(value) || json_integer_value(value) < 0))
			return false;
	}
	return true;
}

static const char *text(const json_t *hello, const char *name, size_t max)
{
	const char *value = json_string_value(json_object_get(hello, name));

	return value && strlen(value) <= max ? value : "";
}

// Those that are well-formed; a new reference.
static json_t *attributes_of(const json_t *hello)
{
	json_t *given = json_object_get(hello, "attributes"), *out = json_object(), *value;
	const char *key;

	json_object_foreach(given, key, value)
	{
		if (json_object_size(out) < ATTRIBUTES_MAX && format_label_key.valid(key) &&
			json_is_string(value) &&
			json_string_length(value) <= ATTRIBUTE_VALUE_MAX &&
			strlen(json_string_value(value)) == json_string_length(value))
			json_object_set(out, key, value);
	}
	return out;
}

static int connect_host(struct peer *peer, const json_t *hello)
{
	const json_t *capacity = json_object_get(hello, "capacity");
	const struct fleet_hello h = {
		.name = peer->name,
		.version = text(hello, "version", 63),
		.start = text(hello, "start", 79),
		.machine = text(hello, "machine", 79),
		.address = text(hello, "address", 199),
		.cpu_milli = number(capacity, "cpu_milli"),
		.memory = number(capacity, "memory"),
		.disk = number(capacity, "disk"),
		.slots = number(capacity, "instances"),
		.attributes = attributes_of(hello),
	};
	int rc = -EINVAL;

	if (!*h.start)
		snprintf(peer->why, sizeof(peer->why), "a host must say its start");
	else if (!format_address.valid(h.address))
		snprintf(peer->why, sizeof(peer->why), "the host's address must be %s",
			format_address.rule);
	else if (!limits_good(capacity))
		snprintf(peer->why, sizeof(peer->why),
			"the host's capacity must be whole numbers, 0 or nothing for no limit");
	else
		rc = orchestrator_connect(
			peer->peers->orchestrator, &h, peer->why, sizeof(peer->why));
	json_decref(h.attributes);
	return rc;
}

static struct fleet_node *node_of(const struct peer *peer)
{
	return fleet_node(&peer->peers->orchestrator->fleet, peer->name);
}

static int greet(struct peer *peer, const json_t *hello)
{
	int rc;

	if (!peer->peers->orchestrator) {
		snprintf(peer->why, sizeof(peer->why), "no hosts are served here");
		return -ENOTSUP;
	}
	rc = connect_host(peer, hello);
	if (rc)
		return rc;
	// The same host, or the same machine after a restart.
	peer_supersede(peer);
	log_info(SUBSYSTEM, "host %s connected: version %s at %s", peer->name,
		node_of(peer)->version, node_of(peer)->address);
	return 0;
}

static void gone(struct peer *peer, const char *why)
{
	struct fleet_node *n = node_of(peer);

	(void)why;
	if (n)
		fleet_disconnected(&peer->peers->orchestrator->fleet, n, clock_now());
}

static void take_assign(struct peer *peer, struct rs_stream *stream, const json_t *data)
{
	struct fleet_node *n = node_of(peer);

	if (n)
		peer_watch(peer, stream, &n->feed, data);
}

// Those that are well-formed, of the first ones; without a list it stays as it was.
static void take_images(struct peer *peer, const json_t *list)
{
	const char *images[SCHED_IMAGES_MAX];
	uint32_t count = 0;

	if (!json_is_array(list))
		return;
	for (size_t k = 0; k < json_array_size(list) && count < SCHED_IMAGES_MAX; k++) {
		const char *image = json_string_value(json_array_get(list, k));

		if (image && *image && strlen(image) <= IMAGE_MAX)
			images[count++] = image;
	}
	scheduler_node_images(&peer->peers->orchestrator->scheduler, peer->name, images, count);
}

static void take_report(struct peer *peer, struct rs_stream *stream, const json_t *report)
{
	struct fleet_node *n = node_of(peer);

	(void)stream;
	if (!n || fleet_report(&peer->peers->orchestrator->fleet, n, report, clock_now(),
				clock_wall()))
		log_debug(SUBSYSTEM, "host %s: a report was not understood", peer->name);
	else
		take_images(peer, json_object_get(report, "images"));
	if (n)
		orchestrator_heard(peer->peers->orchestrator, n);
	peers_tick(peer->peers);
}

static const struct peer_route routes[] = {
	{"penstock.assign", RS_REQUEST_STREAM, take_assign,
		"penstock.assign is a REQUEST_STREAM with a JSON object {\"epoch\", \"after\"}"},
	{"penstock.report", RS_REQUEST_FNF, take_report,
		"penstock.report is a REQUEST_FNF with a JSON object"},
};

const struct peer_role peer_role_host = {
	.name = "host",
	.greet = greet,
	.routes = routes,
	.route_count = sizeof(routes) / sizeof(routes[0]),
	.gone = gone,
};
