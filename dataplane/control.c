// SPDX-License-Identifier: Apache-2.0
// The gateway's side of the peer protocol: see control.h. Control thread only.
//
//   dialling -> up: watch (REQUEST_STREAM) -> snapshot_begin, put each, snapshot_end: sweep ->
//   deltas
//      ^                                                                                       |
//      '------------- back-off -------------- down: the table stays as it is <-----------------'

#include "dataplane/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "lib/base/atomic.h"
#include "lib/base/log.h"
#include "lib/rsocket/metadata.h"

#define SUBSYSTEM "control"
#define SEEING_INTERVAL (200 * NS_PER_US)
#define CONTROL_STREAMS_MAX 16u
#define CONTROL_BLOCK_BYTES 16384u
#define CONTROL_BLOCKS_BYTES_MAX ((size_t)64 << 20)
#define KEEPALIVE_MS 1000u
#define LIFETIME_MS 5000u

// Messages out

static int set_json(struct control *c, struct rs_message *message, json_t *data)
{
	char *text = json_dumps(data, JSON_COMPACT);
	int rc = text ? chain_copy(&message->data, c->blocks, text, strlen(text)) : -ENOMEM;

	free(text);
	return rc;
}

static int set_route(struct control *c, struct rs_message *message, const char *route)
{
	uint8_t bytes[300];
	struct writer w = writer_of(bytes, sizeof(bytes));

	rs_route_entry_write(&w, route, (uint8_t)strlen(route));
	message->has_metadata = true;
	return w.bad ? -EINVAL
		     : chain_copy(&message->metadata, c->blocks, bytes, (size_t)(w.at - bytes));
}

// Takes the reference to data.
static int make_request(
	struct control *c, struct rs_message *message, const char *route, json_t *data)
{
	int rc = set_route(c, message, route);

	if (rc == 0)
		rc = set_json(c, message, data);
	json_decref(data);
	if (rc)
		rs_message_clear(message);
	return rc;
}

static void send_report(json_t *data, void *arg)
{
	struct control *c = arg;
	struct rs_message message = {0};

	// A report that does not go out is made up for by the next: its numbers are totals.
	if (make_request(c, &message, "penstock.report", data) == 0)
		rs_fire_and_forget(&c->link.session, &message);
}

static void report(struct control *c, ns_t now, bool full)
{
	report_build(&c->report, &c->config.sources, c->config.table, c->start, now, full,
		send_report, c);
}

// The first one since the last report has a line, the others one together.
static void no_room(struct control *c, const struct service_spec *spec)
{
	counter_add(&c->counters.drop_no_room, 1);
	if (c->no_room++ == 0)
		log_warn(SUBSYSTEM,
			"no room for %s/%s: calls to it are not served as the control plane says; "
			"a gateway has room for %u services (%u are there) at %u addresses, of %u each",
			spec->namespace, spec->route, SERVICES_MAX, table_services(c->config.table),
			TARGETS_MAX, SERVICE_TARGETS_MAX);
}

static void tell_no_room(struct control *c)
{
	if (c->no_room > 1)
		log_warn(SUBSYSTEM,
			"no room for %u more services; relay.drop_no_service counts calls to them",
			c->no_room - 1);
	c->no_room = 0;
}

// Tells the control plane how far all workers see the table: what it unrouted before is called no
// more.
static void on_seeing(struct timer *timer, ns_t now)
{
	struct control *c = list_entry(timer, struct control, seeing);

	if (table_reclaim(c->config.table) > 0) {
		timer_arm(loop_timers(c->config.loop), timer, now + SEEING_INTERVAL);
		return;
	}
	c->seen = c->seq;
	if (c->link.state == LINK_UP)
		send_report(json_pack("{s:s, s:s, s:I}", "start", c->start, "epoch", c->epoch, "applied",
				    (json_int_t)c->seen),
			c);
}

static void on_timer(struct timer *timer, ns_t now)
{
	struct control *c = list_entry(timer, struct control, timer);

	table_reclaim(c->config.table);
	tell_no_room(c);
	if (c->link.state == LINK_UP) {
		report(c, now, false);
		// Said again each time: one that was lost, or of a watch that went on where it was.
		if (!c->in_snapshot && !timer_armed(&c->seeing))
			timer_arm(loop_timers(c->config.loop), &c->seeing, now);
	}
	timer_arm(loop_timers(c->config.loop), timer, now + REPORT_INTERVAL);
}

static void watch(struct control *c)
{
	struct rs_message message = {0};
	int error = make_request(c, &message, "penstock.watch",
		json_pack("{s:s, s:I}", "epoch", c->epoch, "after", (json_int_t)c->seq));

	c->in_snapshot = false;
	c->credit = WATCH_CREDIT;
	c->watch = error ? NULL
			 : rs_request(&c->link.session, RS_REQUEST_STREAM, WATCH_CREDIT, &message,
				   c, &error);
	if (!c->watch) {
		log_error(SUBSYSTEM, "cannot watch the control plane: %s", strerror(-error));
		rs_session_close(&c->link.session, RS_ERROR_CONNECTION, "cannot open a watch");
	}
}

// Messages in

// What a service of kind "function" says besides.
static int read_function(json_t *message, struct service_spec *spec)
{
	const char *class = "latency";
	int idempotent = 0;

	if (json_unpack(message, "{s?b, s?s}", "idempotent", &idempotent, "class", &class))
		return -EINVAL;
	spec->hosts = true;
	spec->idempotent = idempotent;
	spec->class = strcmp(class, "batch") == 0 ? SERVICE_CLASS_BATCH : SERVICE_CLASS_LATENCY;
	return 0;
}

static int put_service(struct control *c, const struct service_spec *spec)
{
	int rc = table_put(c->config.table, spec);

	if (rc == -ENOSPC)
		no_room(c, spec);
	return rc;
}

static int apply_service(struct control *c, json_t *message)
{
	const char *addresses[SERVICE_TARGETS_MAX];
	uint32_t versions[SERVICE_TARGETS_MAX];
	struct service_spec spec = {.fragments = true, .targets = addresses, .versions = versions};
	const char *kind = "endpoint";
	json_t *targets = NULL, *target;
	int prefix = 0, fragments = 1;
	json_int_t timeout_ms = 0;
	size_t i;

	if (json_unpack(message, "{s:s, s:s, s?s, s?b, s?b, s?I, s:o}", "namespace",
		    &spec.namespace, "route", &spec.route, "kind", &kind, "prefix", &prefix,
		    "fragments", &fragments, "timeout_ms", &timeout_ms, "targets", &targets) ||
		!json_is_array(targets) || timeout_ms < 0 || timeout_ms > UINT32_MAX)
		return -EINVAL;
	if (json_array_size(targets) > SERVICE_TARGETS_MAX) {
		no_room(c, &spec);
		return -ENOSPC;
	}
	json_array_foreach(targets, i, target)
	{
		addresses[i] = json_string_value(json_object_get(target, "address"));
		if (!addresses[i])
			return -EINVAL;
		versions[i] = (uint32_t)json_integer_value(json_object_get(target, "version"));
	}
	if (strcmp(kind, "function") == 0 && read_function(message, &spec))
		return -EINVAL;
	spec.prefix = prefix;
	spec.fragments = fragments;
	spec.timeout_ms = (uint32_t)timeout_ms;
	spec.targets_count = (uint32_t)json_array_size(targets);
	return put_service(c, &spec);
}

static int apply_service_gone(struct control *c, json_t *message)
{
	const char *namespace, *route;
	int prefix = 0;

	if (json_unpack(message, "{s:s, s:s, s?b}", "namespace", &namespace, "route", &route,
		    "prefix", &prefix))
		return -EINVAL;
	// Removing what is not there is no error: a snapshot may have left it out.
	table_remove(c->config.table, namespace, route, prefix);
	return 0;
}

static int port_index(const struct control *c, const char *name)
{
	for (unsigned i = 0; i < c->config.ports_count; i++)
		if (name && strcmp(c->config.ports[i], name) == 0)
			return (int)i;
	return -ENODEV;
}

// Absent or an array.
static bool list_or_none(json_t *spec, const char *name)
{
	json_t *value = json_object_get(spec, name);

	return !value || json_is_array(value);
}

static int read_addresses(struct control *c, json_t *port, struct net_config *net)
{
	const char *name = json_string_value(json_object_get(port, "name"));
	int index = port_index(c, name);
	json_t *address;
	size_t i;

	if (!name || !list_or_none(port, "addresses") || !list_or_none(port, "routes"))
		return -EINVAL;
	if (index < 0) {
		log_warn(SUBSYSTEM,
			"the gateway's port %s is not among this process's ports (--port)", name);
		return 0;
	}
	json_array_foreach(json_object_get(port, "addresses"), i, address)
	{
		const char *text = json_string_value(address);
		int rc = text ? net_config_add_address_text(net, text, (unsigned)index) : -EINVAL;

		if (rc) {
			log_error(SUBSYSTEM, "address %s of port %s: %s", text ? text : "?", name,
				net_config_error(rc));
			return rc;
		}
	}
	return 0;
}

static int read_routes(struct control *c, json_t *port, struct net_config *net)
{
	json_t *route;
	size_t i;

	// Their networks are not here either.
	if (port_index(c, json_string_value(json_object_get(port, "name"))) < 0)
		return 0;
	json_array_foreach(json_object_get(port, "routes"), i, route)
	{
		const char *to = json_string_value(json_object_get(route, "to"));
		const char *via = json_string_value(json_object_get(route, "via"));
		int rc = to && via ? net_config_add_route_text(net, to, via) : -EINVAL;

		if (rc) {
			log_error(SUBSYSTEM, "route to %s via %s: %s", to ? to : "?",
				via ? via : "?", net_config_error(rc));
			return rc;
		}
	}
	return 0;
}

static int read_net(struct control *c, json_t *spec, struct net_config *net)
{
	json_t *ports = json_object_get(spec, "ports"), *port, *listener;
	json_t *limit = json_object_get(json_object_get(spec, "limits"), "connections_per_address");
	json_int_t connections = json_integer_value(limit);
	size_t i;
	int rc = 0;

	if (connections < 0 || connections > UINT32_MAX)
		return -EINVAL;
	net->limits.connections_per_address = (uint32_t)connections;

	json_array_foreach(ports, i, port)
	{
		if (rc == 0)
			rc = read_addresses(c, port, net);
	}
	// Routes go over networks of addresses, so all of those come first.
	json_array_foreach(ports, i, port)
	{
		if (rc == 0)
			rc = read_routes(c, port, net);
	}
	json_array_foreach(json_object_get(spec, "listeners"), i, listener)
	{
		json_int_t number = json_integer_value(json_object_get(listener, "port"));

		if (rc == 0)
			rc = number > 0 && number < 65536
				     ? net_config_add_listener(net, (unsigned)number)
				     : -EINVAL;
	}
	return rc == 0 || rc == -ENOSPC ? rc : -EINVAL;
}

static int apply_gateway(struct control *c, json_t *message)
{
	json_t *spec = json_object_get(message, "spec");
	struct net_config *net;
	int rc;

	// An empty configuration takes the addresses away: it must be meant.
	if (!json_is_object(spec) || !list_or_none(spec, "ports") ||
		!list_or_none(spec, "listeners"))
		return -EINVAL;
	net = calloc(1, sizeof(*net));
	if (!net)
		return -ENOSPC;
	rc = read_net(c, spec, net);
	if (rc == 0) {
		net->generation = ++c->net_generation;
		c->config.apply_net(net, c->config.arg);
	} else if (rc == -ENOSPC) {
		log_error(SUBSYSTEM,
			"the gateway's resource names more than there is room for: what was stays");
	}
	free(net);
	return rc;
}

static int apply_snapshot_begin(struct control *c, json_t *message)
{
	const char *epoch = json_string_value(json_object_get(message, "epoch"));

	if (!epoch || strlen(epoch) >= sizeof(c->epoch))
		return -EINVAL;
	// Until its end a watch that is cut must start with a snapshot again.
	c->epoch[0] = '\0';
	strcpy(c->snapshot_epoch, epoch);
	c->in_snapshot = true;
	table_mark(c->config.table);
	return 0;
}

static int apply_snapshot_end(struct control *c, json_t *message)
{
	unsigned removed;

	(void)message;
	if (!c->in_snapshot)
		return -EINVAL;
	c->in_snapshot = false;
	strcpy(c->epoch, c->snapshot_epoch);
	removed = table_sweep(c->config.table);
	log_info(SUBSYSTEM, "table is up to date: %u services, %u removed",
		table_services(c->config.table), removed);
	return 0;
}

static const struct {
	const char *name;
	int (*apply)(struct control *c, json_t *message);
} ops[] = {
	{"service", apply_service},
	{"service_gone", apply_service_gone},
	{"gateway", apply_gateway},
	{"snapshot_begin", apply_snapshot_begin},
	{"snapshot_end", apply_snapshot_end},
};

int control_apply(struct control *c, json_t *message)
{
	const char *op = json_string_value(json_object_get(message, "op"));
	json_t *seq = json_object_get(message, "seq");
	int rc = -ENOTSUP;

	if (!op || !json_is_integer(seq) || json_integer_value(seq) < 0) {
		counter_add(&c->counters.invalid, 1);
		return -EINVAL;
	}
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		if (strcmp(op, ops[i].name) == 0)
			rc = ops[i].apply(c, message);
	if (rc == -ENOTSUP)
		counter_add(&c->counters.unknown, 1);
	else if (rc == -EINVAL)
		counter_add(&c->counters.invalid, 1);
	else if (rc == 0)
		counter_add(&c->counters.applied, 1);
	// Within a snapshot the place is only known at its end.
	if (!c->in_snapshot && (rc == 0 || rc == -ENOTSUP))
		c->seq = (uint64_t)json_integer_value(seq);
	return rc;
}

// The watch

static json_t *parse(const struct chain *data)
{
	char *text = malloc(data->len + 1);
	json_t *json;

	if (!text)
		return NULL;
	chain_read(data, 0, text, data->len);
	json = json_loadb(text, data->len, 0, NULL);
	free(text);
	return json;
}

static void on_payload(
	struct rs_stream *stream, struct rs_message *message, bool next, bool complete)
{
	struct control *c = stream->user;
	json_t *json = next ? parse(&message->data) : NULL;

	if (next) {
		int rc = json ? control_apply(c, json) : -EINVAL;

		// What found no room was told already.
		if (rc && rc != -ENOSPC)
			log_warn(SUBSYSTEM, "a message of the control plane was not applied: %s",
				strerror(-rc));
		json_decref(json);
		if (!c->in_snapshot && !timer_armed(&c->seeing))
			timer_arm(loop_timers(c->config.loop), &c->seeing, loop_now(c->config.loop));
	}
	if (complete) {
		c->watch = NULL;
		rs_session_close(&c->link.session, RS_ERROR_CONNECTION, "the watch ended");
		return;
	}
	if (c->credit > 0 && --c->credit <= WATCH_CREDIT / 2) {
		rs_request_n(stream, WATCH_CREDIT - c->credit);
		c->credit = WATCH_CREDIT;
	}
}

static void on_error(struct rs_stream *stream, uint32_t code, struct chain *text)
{
	struct control *c = stream->user;
	char why[256];
	size_t n = chain_read(text, 0, why, sizeof(why) - 1);

	why[n] = '\0';
	c->watch = NULL;
	log_warn(
		SUBSYSTEM, "the control plane refused the watch: %s: %s", rs_error_name(code), why);
	rs_session_close(&c->link.session, RS_ERROR_CONNECTION, "the watch was refused");
}

static void on_lost(struct rs_stream *stream, bool sent)
{
	struct control *c = stream->user;

	(void)sent;
	c->watch = NULL;
}

static const struct rs_handler handler = {
	.wake = link_wake,
	.closed = link_ended,
	.payload = on_payload,
	.error = on_error,
	.lost = on_lost,
};

static void on_up(struct link *link)
{
	struct control *c = link->user;

	log_info(SUBSYSTEM, "connected to the control plane at %s", c->config.address);
	c->told_down = false;
	watch(c);
	if (c->watch)
		report(c, loop_now(c->config.loop), true);
}

static void on_down(struct link *link, const char *why)
{
	struct control *c = link->user;

	if (!c->told_down && link->state != LINK_CLOSED)
		log_warn(SUBSYSTEM,
			"no control plane at %s: %s; calls go on with %u services, trying again",
			c->config.address, why, table_services(c->config.table));
	c->told_down = true;
}

static const struct link_ops link_ops = {.up = on_up, .down = on_down};

// SETUP's data says who we are.
static int dial(struct control *c)
{
	struct sockaddr_storage addr;
	socklen_t len;
	struct rs_message setup = {0};
	json_t *who = json_pack("{s:{s:i, s:i}, s:s, s:s, s:s, s:s, s:i, s:i}", "protocol", "min",
		1, "max", 1, "role", "gateway", "name", c->config.name, "version", PENSTOCK_VERSION,
		"start", c->start, "workers", (int)c->config.sources.workers, "pid", (int)getpid());
	struct rs_config config = {
		.handler = &handler,
		.keepalive_ms = KEEPALIVE_MS,
		.lifetime_ms = LIFETIME_MS,
		.metadata_mime = "message/x.rsocket.composite-metadata.v0",
		.data_mime = "application/json",
		.setup = &setup,
	};
	int rc = -ENOMEM;

	if (who && c->config.token && *c->config.token)
		json_object_set_new(who, "token", json_string(c->config.token));
	if (who)
		rc = set_json(c, &setup, who);
	json_decref(who);
	if (rc == 0)
		rc = sockaddr_parse(c->config.address, &addr, &len);
	if (rc == 0)
		rc = link_dial(&c->link, &c->hub, (const struct sockaddr *)&addr, len, &config,
			&link_ops, c);
	rs_message_clear(&setup);
	return rc;
}

int control_init(struct control *c, const struct control_config *config)
{
	uint64_t random = 0;
	int rc = -ENOMEM;

	*c = (struct control){.config = *config};
	if (getrandom(&random, sizeof(random), 0) < 0)
		random = (uint64_t)clock_wall();
	snprintf(c->start, sizeof(c->start), "%016llx", (unsigned long long)random);
	c->blocks = buf_pool_new(CONTROL_BLOCK_BYTES, CONTROL_BLOCKS_BYTES_MAX);
	c->pool = c->blocks ? rs_pool_new(CONTROL_STREAMS_MAX, c->blocks) : NULL;
	if (!c->pool || report_init(&c->report, clock_now()))
		goto fail;
	link_hub_init(&c->hub, config->loop, c->pool);
	rc = dial(c);
	if (rc)
		goto fail;
	c->seeing.fire = on_seeing;
	c->timer.fire = on_timer;
	timer_arm(loop_timers(config->loop), &c->timer, clock_now() + REPORT_INTERVAL);
	return 0;
fail:
	control_fini(c);
	return rc;
}

void control_stop(struct control *c)
{
	timer_cancel(loop_timers(c->config.loop), &c->timer);
	timer_cancel(loop_timers(c->config.loop), &c->seeing);
	link_close(&c->link);
}

void control_fini(struct control *c)
{
	report_fini(&c->report);
	if (c->pool)
		rs_pool_destroy(c->pool);
	buf_pool_destroy(c->blocks);
	c->pool = NULL;
	c->blocks = NULL;
}
