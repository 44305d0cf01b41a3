// SPDX-License-Identifier: Apache-2.0
// The application of penstock-dataplane: a relay on each worker, the service table they share, and
// the control thread's link to the control plane.
//
// What workers count is read by the control thread, also while they end: it lies in memory of this
// file.

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "dataplane/app.h"
#include "dataplane/client/client.h"
#include "dataplane/control.h"
#include "dataplane/metrics.h"
#include "dataplane/upstream/upstream.h"

// Left for resets to get out when the time for draining is over.
#define FORCE_BEFORE (100 * NS_PER_MS)
#define CLOSE_TIMEOUT (NS_PER_SEC / 2)
#define COPY_INTERVAL (50 * NS_PER_MS)

// Of a worker. The stacks' counters end with the stacks, so the worker copies them now and then.
struct worker_part {
	struct relay relay;
	struct relay_target *targets;
	struct relay_service *services;
	struct timer copying;
	struct worker *worker;
	struct tcp_counters tcp;
	struct net_counters net;
	struct loop_stats loop;
};

struct app {
	struct dataplane *dp;
	struct loop *loop;
	struct table *table;
	struct control control;
	bool controlled;
	struct metrics *metrics;
	char *host_setup; // what workers tell function hosts about us
	const char *ports[NET_PORTS_MAX];
	struct worker_part parts[WORKERS_MAX];
};

// Reports

#define DESCRIBE(name, text) {#name, text},
static const struct report_counter tcp_table[] = {TCP_COUNTERS(DESCRIBE)};
static const struct report_counter net_table[] = {NET_COUNTERS(DESCRIBE)};
static const struct report_counter loop_table[] = {LOOP_COUNTERS(DESCRIBE)};
static const struct report_counter worker_table[] = {WORKER_COUNTERS(DESCRIBE)};
static const struct report_counter relay_table[] = {RELAY_COUNTERS(DESCRIBE)};
static const struct report_counter control_table[] = {CONTROL_COUNTERS(DESCRIBE)};
static const struct report_counter pool_table[] = {RELAY_GAUGES(DESCRIBE)};
#undef DESCRIBE
#define COUNT(table) (unsigned)(sizeof(table) / sizeof(table[0]))

static const uint64_t *tcp_values(unsigned worker, void *arg)
{
	const struct app *app = arg;

	return (const uint64_t *)(const void *)&app->parts[worker].tcp;
}

static const uint64_t *net_values(unsigned worker, void *arg)
{
	const struct app *app = arg;

	return (const uint64_t *)(const void *)&app->parts[worker].net;
}

static const uint64_t *loop_values(unsigned worker, void *arg)
{
	const struct app *app = arg;

	return (const uint64_t *)(const void *)&app->parts[worker].loop;
}

static const uint64_t *worker_values(unsigned worker, void *arg)
{
	const struct app *app = arg;

	return (const uint64_t *)(const void *)&app->dp->worker[worker]->counters;
}

static const uint64_t *relay_values(unsigned worker, void *arg)
{
	const struct app *app = arg;

	return (const uint64_t *)(const void *)&app->parts[worker].relay.counters;
}

// Of the control thread, which is no worker: counted once.
static const uint64_t *control_values(unsigned worker, void *arg)
{
	static const struct control_counters none;
	const struct app *app = arg;
	const struct control_counters *counters = worker == 0 ? &app->control.counters : &none;

	return (const uint64_t *)(const void *)counters;
}

static const uint64_t *pool_values(unsigned worker, void *arg)
{
	const struct app *app = arg;

	return (const uint64_t *)(const void *)&app->parts[worker].relay.gauges;
}

static void describe_worker(unsigned worker, json_t *object, void *arg)
{
	const struct app *app = arg;
	const struct worker *w = app->dp->worker[worker];

	json_object_set_new(object, "busy", json_real(worker_busy(w)));
	json_object_set_new(object, "lcore", json_integer(w->lcore));
}

static json_t *describe_ports(void *arg)
{
	const struct app *app = arg;
	const struct ports *ports = &app->dp->ports;
	json_t *array = json_array();

	for (unsigned i = 0; i < ports->count; i++) {
		const struct port *port = &ports->port[i];
		struct port_stats stats = {0};

		port_stats(port, &stats);
		json_array_append_new(array,
			json_pack("{s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
				"name", port->name, "driver", port->driver, "link_up",
				port_link_up(port), "rx_packets", (json_int_t)stats.rx_packets,
				"tx_packets", (json_int_t)stats.tx_packets, "rx_bytes",
				(json_int_t)stats.rx_bytes, "tx_bytes", (json_int_t)stats.tx_bytes,
				"rx_missed", (json_int_t)stats.rx_missed, "rx_errors",
				(json_int_t)stats.rx_errors, "rx_nombuf",
				(json_int_t)stats.rx_nombuf, "mbufs_free",
				(json_int_t)port_pool_available(ports), "mbufs",
				(json_int_t)port_pool_size(ports)));
	}
	return array;
}

static void set_sources(struct app *app, struct report_sources *s)
{
	*s = (struct report_sources){
		.workers = app->dp->workers,
		.groups = 7,
		.group =
			{
				{"tcp", false, tcp_table, COUNT(tcp_table), tcp_values},
				{"net", false, net_table, COUNT(net_table), net_values},
				{"worker", false, worker_table, COUNT(worker_table), worker_values},
				{"relay", false, relay_table, COUNT(relay_table), relay_values},
				{"loop", false, loop_table, COUNT(loop_table), loop_values},
				{"control", false, control_table, COUNT(control_table),
					control_values},
				{"pools", true, pool_table, COUNT(pool_table), pool_values},
			},
		.describe_worker = describe_worker,
		.describe_ports = describe_ports,
		.arg = app,
	};
	for (unsigned i = 0; i < app->dp->workers; i++)
		s->relays[i] = &app->parts[i].relay;
}

// Control thread

static void apply_net(const struct net_config *net, void *arg)
{
	struct app *app = arg;

	if (dataplane_set_net(app->dp, net))
		log_error("main", "no memory for a new configuration: the old one stays in use");
}

static int parts_init(struct app *app)
{
	for (unsigned i = 0; i < app->dp->workers; i++) {
		struct worker_part *part = &app->parts[i];

		part->targets = calloc(TARGETS_MAX, sizeof(*part->targets));
		part->services = calloc(SERVICES_MAX, sizeof(*part->services));
		part->relay.targets = part->targets;
		part->relay.services = part->services;
		if (!part->targets || !part->services)
			return -ENOMEM;
	}
	return 0;
}

static int start_metrics(struct app *app)
{
	const char *address = app->dp->options.metrics;
	struct report_sources sources;
	int error;

	if (strcmp(address, "off") == 0)
		return 0;
	set_sources(app, &sources);
	app->metrics = metrics_new(app->loop, address, &sources, &error);
	if (app->metrics)
		return 0;
	log_error("main", "--metrics %s: %s; another address, or 'off'", address, strerror(-error));
	return error;
}

static int start_control(struct app *app)
{
	struct control_config config = {
		.name = app->dp->options.name,
		.address = app->dp->options.control,
		.token = app->dp->options.token,
		.loop = app->loop,
		.table = app->table,
		.ports = app->ports,
		.ports_count = app->dp->ports.count,
		.apply_net = apply_net,
		.arg = app,
	};
	int error;

	for (unsigned i = 0; i < app->dp->ports.count; i++)
		app->ports[i] = app->dp->ports.port[i].name;
	set_sources(app, &config.sources);
	error = control_init(&app->control, &config);
	app->controlled = error == 0;
	if (error)
		log_error("main", "--control %s: %s", config.address, strerror(-error));
	return error;
}

static char *describe_gateway(const struct options *o)
{
	json_t *who = json_pack("{s:s, s:s}", "role", "gateway", "name", o->name);
	char *text;

	if (o->gateway_token[0])
		json_object_set_new(who, "token", json_string(o->gateway_token));
	text = json_dumps(who, JSON_COMPACT);
	json_decref(who);
	return text;
}

int app_init(struct dataplane *dp)
{
	struct app *app = calloc(1, sizeof(*app));
	int error = -ENOMEM;

	if (!app)
		return error;
	app->dp = dp;
	dp->app = app;
	app->table = table_new(dp->qsbr);
	app->host_setup = describe_gateway(&dp->options);
	if (!app->table || !app->host_setup || parts_init(app)) {
		log_error("main", "no memory for the service table: give more --memory");
		goto fail;
	}
	app->loop = loop_new(&(struct loop_config){.entries = 64, .buffers = 64}, &error);
	if (!app->loop) {
		log_error("main", "io_uring: %s (Linux 6.1 is needed)", strerror(-error));
		goto fail;
	}
	error = start_metrics(app);
	if (!error)
		error = start_control(app);
	if (!error)
		return 0;
fail:
	app_fini(dp);
	return error;
}

static void stop_control(struct app *app)
{
	ns_t end = clock_now() + CLOSE_TIMEOUT;

	control_stop(&app->control);
	while (app->control.link.state != LINK_CLOSED && clock_now() < end)
		loop_step(app->loop, clock_now() + NS_PER_MS);
}

void app_fini(struct dataplane *dp)
{
	struct app *app = dp->app;

	if (!app)
		return;
	metrics_stop(app->metrics);
	if (app->controlled)
		stop_control(app);
	if (app->loop)
		loop_destroy(app->loop);
	metrics_free(app->metrics);
	if (app->controlled)
		control_fini(&app->control);
	table_destroy(app->table);
	for (unsigned i = 0; i < WORKERS_MAX; i++) {
		free(app->parts[i].targets);
		free(app->parts[i].services);
	}
	free(app->host_setup);
	free(app);
	dp->app = NULL;
}

ns_t app_step(struct dataplane *dp, ns_t now)
{
	struct app *app = dp->app;

	(void)now;
	loop_step(app->loop, 0);
	return timer_wheel_next(loop_timers(app->loop));
}

int app_fd(struct dataplane *dp)
{
	return loop_fd(((struct app *)dp->app)->loop);
}

// Worker threads

static struct worker_part *part_of(const struct worker *w)
{
	return w->app;
}

static bool on_accept(struct tcp_conn *conn, void *listener_user)
{
	return client_accept(conn, &part_of(listener_user)->relay);
}

const struct tcp_ops app_tcp_ops = {
	.accept = on_accept,
	.data = client_data,
	.writable = client_writable,
	.eof = client_eof,
	.closed = client_closed,
};

static void copy_counters(uint64_t *to, const void *from, size_t bytes)
{
	const uint64_t *values = from;

	for (size_t i = 0; i < bytes / sizeof(*to); i++)
		counter_set(&to[i], values[i]);
}

static void on_copying(struct timer *timer, ns_t now)
{
	struct worker_part *part = list_entry(timer, struct worker_part, copying);
	struct worker *w = part->worker;

	copy_counters((uint64_t *)(void *)&part->tcp, tcp_counters(w->tcp), sizeof(part->tcp));
	copy_counters((uint64_t *)(void *)&part->net, net_counters(w->net), sizeof(part->net));
	copy_counters((uint64_t *)(void *)&part->loop, loop_stats(w->loop), sizeof(part->loop));
	timer_arm(&w->wheel, timer, now + COPY_INTERVAL);
}

int worker_app_init(struct worker *w)
{
	struct app *app = w->dp->app;
	struct worker_part *part = &app->parts[w->id];
	struct relay_config config = {
		.tcp = w->tcp,
		.loop = w->loop,
		.timers = &w->wheel,
		.table = app->table,
		.now = &w->now,
		.targets = part->targets,
		.services = part->services,
		.host_setup = app->host_setup,
	};
	int error;

	if (getrandom(&config.seed, sizeof(config.seed), 0) != sizeof(config.seed))
		config.seed = (uint64_t)w->now + w->id;
	w->app = part;
	part->worker = w;
	error = relay_init(&part->relay, &config);
	if (error)
		return error;
	part->copying.fire = on_copying;
	timer_arm(&w->wheel, &part->copying, w->now);
	return 0;
}

// Clients end with the stack, upstream connections with steps of the loop; then nothing refers to
// the relay's memory.
void worker_app_fini(struct worker *w)
{
	struct worker_part *part = part_of(w);
	ns_t end = clock_now() + CLOSE_TIMEOUT;

	timer_cancel(&w->wheel, &part->copying);
	tcp_stack_destroy(w->tcp);
	w->tcp = NULL;
	upstream_close_all(&part->relay);
	while (!list_empty(&part->relay.upstreams) && clock_now() < end)
		loop_step(w->loop, clock_now() + NS_PER_MS);
	loop_destroy(w->loop);
	w->loop = NULL;
	relay_fini(&part->relay);
}

void worker_app_flush(struct worker *w, ns_t now)
{
	(void)now;
	relay_flush(&part_of(w)->relay);
}

bool worker_app_drain(struct worker *w, ns_t now)
{
	return relay_drain(&part_of(w)->relay, now >= w->dp->stop_by - FORCE_BEFORE);
}
