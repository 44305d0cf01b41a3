// SPDX-License-Identifier: Apache-2.0
// Shows what telemetry.c has added up: status of gateways and endpoints, /v1/stats. Main thread; no
// I/O.
#include "controlplane/telemetry_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/registry_internal.h"
#include "lib/base/list.h"

#define STALE_AFTER (5 * NS_PER_SEC)

static void set_number(json_t *object, const char *name, uint64_t value)
{
	json_object_set_new(object, name, json_integer((json_int_t)value));
}

static json_t *seconds(double value)
{
	return json_real(value);
}

// Count, mean and quantiles, in seconds.
static json_t *summary(const struct shist *h)
{
	static const struct {
		const char *name;
		double q;
	} quantiles[] = {{"p50_s", 0.5}, {"p90_s", 0.9}, {"p99_s", 0.99}, {"p999_s", 0.999},
		{"p9999_s", 0.9999}};
	json_t *out = json_object();

	set_number(out, "count", h->count);
	json_object_set_new(
		out, "mean_s", seconds(h->count ? (double)h->sum / (double)h->count / 1e9 : 0));
	for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++)
		json_object_set_new(out, quantiles[i].name,
			seconds(h->count ? (double)shist_quantile(h, quantiles[i].q) / 1e9 : 0));
	json_object_set_new(out, "max_s", seconds((double)h->max / 1e9));
	return out;
}

// {"all": since the control plane started, "recent": the last 10 to 20 seconds}
static json_t *summaries(const struct shist *all, const struct recent *recent)
{
	json_t *out = json_object();
	struct shist both = {0};

	shist_add(&both, &recent->hist[0]);
	shist_add(&both, &recent->hist[1]);
	json_object_set_new(out, "all", summary(all));
	json_object_set_new(out, "recent", summary(&both));
	shist_fini(&both);
	return out;
}

static double window_seconds(const struct telemetry *t, ns_t now)
{
	double length = (double)(now - t->window_start[1]) / (double)NS_PER_SEC;

	return length > 1 ? length : 1;
}

// ---- status ----

static void set_time(json_t *object, const char *name, ns_t wall_ns)
{
	char text[40];

	json_object_set_new(object, name, json_string(time_text(wall_ns, text, sizeof(text))));
}

static json_t *empty_array_or(json_t *value)
{
	return value ? json_incref(value) : json_array();
}

static json_t *targets_list(const struct gateway_seen *g)
{
	json_t *list = json_array(), *target;
	const char *address;

	json_object_foreach(g->targets, address, target) json_array_append(list, target);
	return list;
}

static json_t *gateway_status(const struct gateway_seen *g, ns_t now, bool targets)
{
	json_t *out = json_object();

	json_object_set_new(out, "connected", json_boolean(g && g->connected));
	if (!g)
		return out;
	set_time(out, "since", g->since_wall_ns);
	if (!g->connected) {
		json_object_set_new(out, "last_error", json_string(g->why));
		return out;
	}
	json_object_set_new(out, "version", json_string(g->version));
	json_object_set_new(out, "reporting",
		json_boolean(g->reported_ns && now - g->reported_ns < STALE_AFTER));
	set_number(out, "uptime_ms", g->uptime_ms);
	set_number(out, "connections", g->connections);
	set_number(out, "calls_in_flight", g->calls_in_flight);
	json_object_set_new(out, "workers", g->workers ? json_incref(g->workers) : json_array());
	json_object_set_new(out, "ports", empty_array_or(g->ports));
	if (targets)
		json_object_set_new(out, "targets", targets_list(g));
	return out;
}

static json_t *target_at(const struct gateway_seen *g, const char *address)
{
	json_t *target = g->connected ? json_object_get(g->targets, address) : NULL;
	json_t *out = json_object();

	json_object_set_new(out, "gateway", json_string(g->name));
	if (target)
		json_object_update(out, target);
	else
		json_object_set_new(out, "state", json_string("unknown"));
	json_object_del(out, "address");
	return out;
}

static json_t *endpoint_status(const struct telemetry *t, const struct resource *res)
{
	json_t *addresses = json_object_get(res->spec, "addresses");
	json_t *out = json_object(), *list = json_array();
	size_t count;
	struct gateway_seen **all = telemetry_sorted(t, &count);

	for (size_t i = 0; i < json_array_size(addresses); i++) {
		const char *address = json_string_value(json_array_get(addresses, i));
		json_t *entry = json_object(), *gateways = json_array();

		for (size_t j = 0; address && j < count; j++)
			if (all[j]->connected)
				json_array_append_new(gateways, target_at(all[j], address));
		json_object_set(entry, "address", json_array_get(addresses, i));
		json_object_set_new(entry, "gateways", gateways);
		json_array_append_new(list, entry);
	}
	free(all);
	json_object_set_new(out, "addresses", list);
	return out;
}

json_t *telemetry_status(struct telemetry *t, const struct resource *res, ns_t now)
{
	struct strmap_node *node;

	if (res->kind == KIND_ENDPOINT)
		return endpoint_status(t, res);
	if (res->kind != KIND_GATEWAY)
		return NULL;
	node = strmap_find(&t->gateways, res->name);
	return gateway_status(
		node ? container_of(node, struct gateway_seen, node) : NULL, now, true);
}

// ---- stats ----

static json_t *calls_json(const uint64_t *calls, uint64_t in_flight)
{
	json_t *out = json_object();

	for (int i = 0; i < OUTCOME_COUNT; i++)
		set_number(out, outcome_names[i], calls[i]);
	set_number(out, "in_flight", in_flight);
	return out;
}

static int compare_services(const void *a, const void *b)
{
	return strcmp(
		(*(struct service_total *const *)a)->key, (*(struct service_total *const *)b)->key);
}

struct service_total **telemetry_sorted_services(const struct telemetry *t)
{
	struct service_total **all = must(calloc(t->services.count + 1, sizeof(*all)));
	struct strmap_node *node = NULL;
	size_t n = 0;

	while ((node = strmap_next(&t->services, node)))
		all[n++] = container_of(node, struct service_total, node);
	qsort(all, n, sizeof(*all), compare_services);
	return all;
}

static json_t *service_stats(const struct telemetry *t, const struct service_total *s, ns_t now)
{
	json_t *out = json_object();
	double rate = (double)(s->recent.calls[0] + s->recent.calls[1]) / window_seconds(t, now);

	json_object_set_new(out, "namespace", json_string(s->namespace));
	json_object_set_new(out, "route", json_string(s->route));
	json_object_set_new(out, "prefix", json_boolean(s->prefix));
	json_object_set_new(out, "calls", calls_json(s->calls, telemetry_in_flight(t, s->key)));
	json_object_set_new(out, "calls_per_s", json_real(rate));
	json_object_set_new(out, "service_time", summaries(&s->time_ns, &s->recent));
	return out;
}

// "gateway_latency_ns" is shown as "gateway_latency", in seconds.
void telemetry_base_name(const char *name, char *out, size_t room)
{
	size_t len = strlen(name);

	if (len > 3 && strcmp(name + len - 3, "_ns") == 0)
		len -= 3;
	snprintf(out, room, "%.*s", (int)len, name);
}

static json_t *totals(const struct telemetry *t, struct service_total **services, ns_t now)
{
	uint64_t calls[OUTCOME_COUNT] = {0}, in_flight = 0, connections = 0, recent = 0;
	json_t *out = json_object();
	struct strmap_node *node = NULL;
	char name[64];

	for (size_t i = 0; services[i]; i++) {
		for (int k = 0; k < OUTCOME_COUNT; k++)
			calls[k] += services[i]->calls[k];
		recent += services[i]->recent.calls[0] + services[i]->recent.calls[1];
	}
	while ((node = strmap_next(&t->gateways, node))) {
		connections += container_of(node, struct gateway_seen, node)->connections;
		in_flight += container_of(node, struct gateway_seen, node)->calls_in_flight;
	}
	json_object_set_new(out, "calls", calls_json(calls, in_flight));
	json_object_set_new(out, "calls_per_s", json_real((double)recent / window_seconds(t, now)));
	set_number(out, "connections", connections);
	while ((node = strmap_next(&t->hists, node))) {
		struct hist_total *h = container_of(node, struct hist_total, node);

		telemetry_base_name(h->name, name, sizeof(name));
		json_object_set_new(out, name, summaries(&h->all, &h->recent));
	}
	return out;
}

// Counters of what was dropped are called GROUP.drop_CAUSE.
bool telemetry_is_drop(const struct counter_total *c)
{
	const char *dot = strrchr(c->name, '.');

	return strncmp(dot ? dot + 1 : c->name, "drop_", 5) == 0;
}

static int compare_counters(const void *a, const void *b)
{
	return strcmp((*(struct counter_total *const *)a)->name,
		(*(struct counter_total *const *)b)->name);
}

struct counter_total **telemetry_sorted_counters(const struct telemetry *t)
{
	struct counter_total **all = must(calloc(t->counters.count + 1, sizeof(*all)));
	struct strmap_node *node = NULL;
	size_t n = 0;

	while ((node = strmap_next(&t->counters, node)))
		all[n++] = container_of(node, struct counter_total, node);
	qsort(all, n, sizeof(*all), compare_counters);
	return all;
}

static void add_counters(const struct telemetry *t, json_t *out)
{
	struct counter_total **all = telemetry_sorted_counters(t);
	json_t *drops = json_array(), *counters = json_object();

	for (size_t i = 0; all[i]; i++) {
		json_t *drop;

		set_number(counters, all[i]->name, all[i]->value);
		if (!telemetry_is_drop(all[i]))
			continue;
		drop = json_object();
		json_object_set_new(drop, "cause", json_string(all[i]->name));
		set_number(drop, "count", all[i]->value);
		json_object_set_new(drop, "sentence", json_string(all[i]->help));
		json_array_append_new(drops, drop);
	}
	free(all);
	json_object_set_new(out, "drops", drops);
	json_object_set_new(out, "counters", counters);
}

json_t *telemetry_stats(struct telemetry *t, ns_t now, ns_t wall_ns)
{
	json_t *out = json_object(), *gateways = json_array(), *list = json_array();
	struct service_total **services;
	struct gateway_seen **all;
	size_t count;

	telemetry_rotate(t, now);
	services = telemetry_sorted_services(t);
	all = telemetry_sorted(t, &count);
	for (size_t i = 0; i < count; i++) {
		json_t *gateway = json_object(), *status = gateway_status(all[i], now, false);

		json_object_set_new(gateway, "name", json_string(all[i]->name));
		json_object_update(gateway, status);
		json_decref(status);
		json_array_append_new(gateways, gateway);
	}
	for (size_t i = 0; services[i]; i++)
		json_array_append_new(list, service_stats(t, services[i], now));
	set_time(out, "time", wall_ns);
	json_object_set_new(out, "total", totals(t, services, now));
	json_object_set_new(out, "gateways", gateways);
	json_object_set_new(out, "services", list);
	add_counters(t, out);
	free(services);
	free(all);
	return out;
}
