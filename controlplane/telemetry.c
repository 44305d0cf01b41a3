// SPDX-License-Identifier: Apache-2.0
// Takes gateways' reports and adds them up. Main thread; no I/O. What a report says is checked: a
// gateway of another version may say things that this one does not expect, and they are left out.
#include "controlplane/telemetry_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/registry_internal.h"
#include "lib/base/list.h"

#define FORGET_AFTER (60 * NS_PER_SEC)

const char *const outcome_names[OUTCOME_COUNT] = {
	[OUTCOME_OK] = "ok",
	[OUTCOME_ERROR] = "error",
	[OUTCOME_REJECTED] = "rejected",
	[OUTCOME_CANCELED] = "canceled",
	[OUTCOME_INVALID] = "invalid",
	[OUTCOME_ABANDONED] = "abandoned",
};

static uint64_t number(const json_t *object, const char *name)
{
	json_int_t value = json_integer_value(json_object_get(object, name));

	return value > 0 ? (uint64_t)value : 0;
}

static void copy_text(char *out, size_t room, const char *text)
{
	snprintf(out, room, "%s", text ? text : "");
}

static struct gateway_seen *find_gateway(const struct telemetry *t, const char *name)
{
	struct strmap_node *node = strmap_find(&t->gateways, name);

	return node ? container_of(node, struct gateway_seen, node) : NULL;
}

// ---- what a gateway said last ----

static void forget_values(struct strmap *map)
{
	struct strmap_node *next, *node = strmap_next(map, NULL);

	for (; node; node = next) {
		struct value_last *v = container_of(node, struct value_last, node);

		next = strmap_next(map, node);
		shist_fini(&v->hist);
		free(v);
	}
	strmap_fini(map);
}

// A process that starts again counts from zero.
static void forget_last(struct gateway_seen *g)
{
	struct strmap_node *next, *node = strmap_next(&g->services, NULL);

	for (; node; node = next) {
		struct service_last *s = container_of(node, struct service_last, node);

		next = strmap_next(&g->services, node);
		shist_fini(&s->time_ns);
		free(s);
	}
	strmap_fini(&g->services);
	forget_values(&g->counters);
	forget_values(&g->hists);
}

static void gateway_free(struct gateway_seen *g)
{
	forget_last(g);
	json_decref(g->workers);
	json_decref(g->ports);
	json_decref(g->targets);
	free(g);
}

static struct value_last *value_last(struct strmap *map, const char *name, size_t max)
{
	struct strmap_node *node = strmap_find(map, name);
	struct value_last *v;

	if (node)
		return container_of(node, struct value_last, node);
	if (map->count >= max || strlen(name) >= sizeof(v->name))
		return NULL;
	v = must(calloc(1, sizeof(*v)));
	copy_text(v->name, sizeof(v->name), name);
	strmap_add(map, &v->node, v->name);
	return v;
}

// Makes room by forgetting services that the gateway has not named for a while.
static void forget_old_lasts(struct gateway_seen *g, ns_t now)
{
	struct strmap_node *next, *node = strmap_next(&g->services, NULL);

	for (; node; node = next) {
		struct service_last *s = container_of(node, struct service_last, node);

		next = strmap_next(&g->services, node);
		if (now - s->seen_ns <= FORGET_AFTER)
			continue;
		strmap_remove(&g->services, node);
		shist_fini(&s->time_ns);
		free(s);
	}
}

static struct service_last *service_last(struct gateway_seen *g, const char *key, ns_t now)
{
	struct strmap_node *node = strmap_find(&g->services, key);
	struct service_last *s;

	if (node)
		return container_of(node, struct service_last, node);
	if (g->services.count >= TELEMETRY_SERVICES_MAX)
		forget_old_lasts(g, now);
	if (g->services.count >= TELEMETRY_SERVICES_MAX)
		return NULL;
	s = must(calloc(1, sizeof(*s)));
	copy_text(s->key, sizeof(s->key), key);
	strmap_add(&g->services, &s->node, s->key);
	return s;
}

// ---- totals ----

static struct counter_total *counter_total(struct telemetry *t, const char *name)
{
	struct strmap_node *node = strmap_find(&t->counters, name);
	struct counter_total *c;

	if (node)
		return container_of(node, struct counter_total, node);
	if (t->counters.count >= TELEMETRY_COUNTERS_MAX || strlen(name) >= sizeof(c->name))
		return NULL;
	c = must(calloc(1, sizeof(*c)));
	copy_text(c->name, sizeof(c->name), name);
	strmap_add(&t->counters, &c->node, c->name);
	return c;
}

static struct hist_total *hist_total(struct telemetry *t, const char *name)
{
	struct strmap_node *node = strmap_find(&t->hists, name);
	struct hist_total *h;

	if (node)
		return container_of(node, struct hist_total, node);
	if (t->hists.count >= TELEMETRY_HISTOGRAMS_MAX || strlen(name) >= sizeof(h->name))
		return NULL;
	h = must(calloc(1, sizeof(*h)));
	copy_text(h->name, sizeof(h->name), name);
	strmap_add(&t->hists, &h->node, h->name);
	return h;
}

static void service_total_free(struct telemetry *t, struct service_total *s)
{
	strmap_remove(&t->services, &s->node);
	shist_fini(&s->time_ns);
	shist_fini(&s->recent.hist[0]);
	shist_fini(&s->recent.hist[1]);
	free(s);
}

// Makes room by forgetting services that nobody has called for a while.
static void forget_old_services(struct telemetry *t, ns_t now)
{
	struct strmap_node *next, *node = strmap_next(&t->services, NULL);

	for (; node; node = next) {
		struct service_total *s = container_of(node, struct service_total, node);

		next = strmap_next(&t->services, node);
		if (now - s->seen_ns > FORGET_AFTER)
			service_total_free(t, s);
	}
}

static struct service_total *service_total(
	struct telemetry *t, const char *key, const json_t *service, ns_t now)
{
	struct strmap_node *node = strmap_find(&t->services, key);
	struct service_total *s;

	if (node)
		return container_of(node, struct service_total, node);
	if (t->services.count >= TELEMETRY_SERVICES_MAX)
		forget_old_services(t, now);
	if (t->services.count >= TELEMETRY_SERVICES_MAX) {
		t->services_ignored++;
		return NULL;
	}
	s = must(calloc(1, sizeof(*s)));
	copy_text(s->key, sizeof(s->key), key);
	copy_text(s->namespace, sizeof(s->namespace),
		json_string_value(json_object_get(service, "namespace")));
	copy_text(s->route, sizeof(s->route), json_string_value(json_object_get(service, "route")));
	s->prefix = json_is_true(json_object_get(service, "prefix"));
	strmap_add(&t->services, &s->node, s->key);
	return s;
}

static void rotate_one(struct recent *r)
{
	struct shist old = r->hist[1];

	r->calls[1] = r->calls[0];
	r->calls[0] = 0;
	r->hist[1] = r->hist[0];
	r->hist[0] = old;
	shist_clear(&r->hist[0]);
}

static void rotate_all(struct telemetry *t)
{
	struct strmap_node *node;

	for (node = strmap_next(&t->services, NULL); node; node = strmap_next(&t->services, node))
		rotate_one(&container_of(node, struct service_total, node)->recent);
	for (node = strmap_next(&t->hists, NULL); node; node = strmap_next(&t->hists, node))
		rotate_one(&container_of(node, struct hist_total, node)->recent);
}

void telemetry_rotate(struct telemetry *t, ns_t now)
{
	// After a long silence both windows are over.
	for (int i = 0; i < 2 && now - t->window_start[0] >= TELEMETRY_WINDOW; i++) {
		rotate_all(t);
		t->window_start[1] = t->window_start[0];
		t->window_start[0] = now - t->window_start[0] >= 2 * TELEMETRY_WINDOW && i == 0
					     ? now - TELEMETRY_WINDOW
					     : now;
	}
}

// ---- reports ----

static void take_service(
	struct telemetry *t, struct gateway_seen *g, const json_t *service, ns_t now)
{
	const char *namespace = json_string_value(json_object_get(service, "namespace"));
	const char *route = json_string_value(json_object_get(service, "route"));
	const json_t *calls = json_object_get(service, "calls");
	struct shist time_ns = {0};
	struct service_total *total;
	struct service_last *last;
	uint64_t values[OUTCOME_COUNT];
	bool anew = false;
	char key[SERVICE_KEY_MAX];

	if (!namespace || !route || strlen(namespace) >= sizeof(total->namespace) ||
		strlen(route) >= sizeof(total->route))
		return;
	snprintf(key, sizeof(key), "%c%s/%s",
		json_is_true(json_object_get(service, "prefix")) ? 'p' : 'e', namespace, route);
	total = service_total(t, key, service, now);
	last = total ? service_last(g, key, now) : NULL;
	if (!last)
		return;
	for (int i = 0; i < OUTCOME_COUNT; i++) {
		values[i] = number(calls, outcome_names[i]);
		anew |= values[i] < last->calls[i];
	}
	for (int i = 0; i < OUTCOME_COUNT; i++) {
		uint64_t more = values[i] - (anew ? 0 : last->calls[i]);

		total->calls[i] += more;
		total->recent.calls[0] += more;
		last->calls[i] = values[i];
	}
	last->in_flight = number(calls, "in_flight");
	last->seen_ns = total->seen_ns = now;
	if (shist_parse(&time_ns, json_object_get(service, "service_time_ns")) != 0)
		return;
	shist_add_diff(&total->time_ns, &time_ns, &last->time_ns);
	shist_add_diff(&total->recent.hist[0], &time_ns, &last->time_ns);
	shist_fini(&last->time_ns);
	last->time_ns = time_ns;
}

static void take_counters(
	struct telemetry *t, struct gateway_seen *g, json_t *counters, json_t *help)
{
	const char *name;
	json_t *value;

	json_object_foreach(counters, name, value)
	{
		struct counter_total *total = counter_total(t, name);
		struct value_last *last = value_last(&g->counters, name, TELEMETRY_COUNTERS_MAX);
		uint64_t now = number(counters, name);

		if (!total || !last)
			continue;
		total->value += now >= last->value ? now - last->value : now;
		last->value = now;
	}
	json_object_foreach(help, name, value)
	{
		struct counter_total *total = counter_total(t, name);

		if (total && json_is_string(value))
			copy_text(total->help, sizeof(total->help), json_string_value(value));
	}
}

static void take_histograms(struct telemetry *t, struct gateway_seen *g, json_t *histograms)
{
	const char *name;
	json_t *value;

	json_object_foreach(histograms, name, value)
	{
		struct hist_total *total = hist_total(t, name);
		struct value_last *last = value_last(&g->hists, name, TELEMETRY_HISTOGRAMS_MAX);
		struct shist now = {0};

		if (!total || !last || shist_parse(&now, value) != 0)
			continue;
		shist_add_diff(&total->all, &now, &last->hist);
		shist_add_diff(&total->recent.hist[0], &now, &last->hist);
		shist_fini(&last->hist);
		last->hist = now;
	}
}

static void keep(json_t **place, json_t *value)
{
	if (!value)
		return;
	json_decref(*place);
	*place = json_incref(value);
}

static void take_targets(struct gateway_seen *g, const json_t *targets)
{
	if (!json_is_array(targets))
		return;
	json_decref(g->targets);
	g->targets = json_object();
	for (size_t i = 0; i < json_array_size(targets); i++) {
		json_t *target = json_array_get(targets, i);
		const char *address = json_string_value(json_object_get(target, "address"));

		if (address)
			json_object_set(g->targets, address, target);
	}
}

static void take_workers(struct gateway_seen *g, json_t *workers)
{
	if (!json_is_array(workers))
		return;
	keep(&g->workers, workers);
	g->connections = g->calls_in_flight = 0;
	for (size_t i = 0; i < json_array_size(workers); i++) {
		g->connections += number(json_array_get(workers, i), "connections");
		g->calls_in_flight += number(json_array_get(workers, i), "calls_in_flight");
	}
}

int telemetry_report(struct telemetry *t, const char *name, const json_t *report, ns_t now)
{
	struct gateway_seen *g = find_gateway(t, name);
	const char *start = json_string_value(json_object_get(report, "start"));
	const json_t *services = json_object_get(report, "services");

	if (!g || !start) {
		t->reports_bad++;
		return -EINVAL;
	}
	telemetry_rotate(t, now);
	if (strcmp(start, g->start) != 0) {
		forget_last(g);
		copy_text(g->start, sizeof(g->start), start);
	}
	if (json_object_get(report, "uptime_ms"))
		g->uptime_ms = number(report, "uptime_ms");
	take_workers(g, json_object_get(report, "workers"));
	take_targets(g, json_object_get(report, "targets"));
	if (json_is_array(json_object_get(report, "ports")))
		keep(&g->ports, json_object_get(report, "ports"));
	take_counters(t, g, json_object_get(report, "counters"), json_object_get(report, "help"));
	take_histograms(t, g, json_object_get(report, "histograms"));
	for (size_t i = 0; i < json_array_size(services); i++)
		take_service(t, g, json_array_get(services, i), now);
	g->reported_ns = now;
	g->reports++;
	t->reports++;
	return 0;
}

// ---- coming and going ----

// Makes room by forgetting one that is not connected.
static bool forget_gateway(struct telemetry *t)
{
	struct strmap_node *node = strmap_next(&t->gateways, NULL);

	for (; node; node = strmap_next(&t->gateways, node)) {
		struct gateway_seen *g = container_of(node, struct gateway_seen, node);

		if (g->connected)
			continue;
		strmap_remove(&t->gateways, node);
		gateway_free(g);
		return true;
	}
	return false;
}

int telemetry_connected(
	struct telemetry *t, const struct telemetry_hello *hello, ns_t now, ns_t wall_ns)
{
	struct gateway_seen *g = find_gateway(t, hello->name);

	if (!g) {
		if (t->gateways.count >= TELEMETRY_GATEWAYS_MAX && !forget_gateway(t))
			return -ENOSPC;
		g = must(calloc(1, sizeof(*g)));
		copy_text(g->name, sizeof(g->name), hello->name);
		strmap_add(&t->gateways, &g->node, g->name);
	}
	if (strcmp(g->start, hello->start) != 0)
		forget_last(g);
	copy_text(g->version, sizeof(g->version), hello->version);
	copy_text(g->start, sizeof(g->start), hello->start);
	g->worker_count = hello->workers;
	g->connected = true;
	g->since_wall_ns = wall_ns;
	g->reported_ns = 0;
	g->why[0] = 0;
	return 0;
}

void telemetry_disconnected(struct telemetry *t, const char *name, const char *why, ns_t wall_ns)
{
	struct gateway_seen *g = find_gateway(t, name);

	if (!g)
		return;
	g->connected = false;
	g->since_wall_ns = wall_ns;
	g->connections = g->calls_in_flight = 0;
	copy_text(g->why, sizeof(g->why), why);
}

bool telemetry_is_connected(const struct telemetry *t, const char *name)
{
	const struct gateway_seen *g = find_gateway(t, name);

	return g && g->connected;
}

struct telemetry *telemetry_new(ns_t now)
{
	struct telemetry *t = must(calloc(1, sizeof(*t)));

	t->window_start[0] = t->window_start[1] = now;
	return t;
}

static void free_totals(struct telemetry *t)
{
	struct strmap_node *node, *next;

	for (node = strmap_next(&t->services, NULL); node; node = next) {
		next = strmap_next(&t->services, node);
		service_total_free(t, container_of(node, struct service_total, node));
	}
	for (node = strmap_next(&t->counters, NULL); node; node = next) {
		next = strmap_next(&t->counters, node);
		free(container_of(node, struct counter_total, node));
	}
	for (node = strmap_next(&t->hists, NULL); node; node = next) {
		struct hist_total *h = container_of(node, struct hist_total, node);

		next = strmap_next(&t->hists, node);
		shist_fini(&h->all);
		shist_fini(&h->recent.hist[0]);
		shist_fini(&h->recent.hist[1]);
		free(h);
	}
}

void telemetry_destroy(struct telemetry *t)
{
	struct strmap_node *node, *next;

	if (!t)
		return;
	for (node = strmap_next(&t->gateways, NULL); node; node = next) {
		next = strmap_next(&t->gateways, node);
		gateway_free(container_of(node, struct gateway_seen, node));
	}
	free_totals(t);
	strmap_fini(&t->gateways);
	strmap_fini(&t->services);
	strmap_fini(&t->counters);
	strmap_fini(&t->hists);
	free(t);
}

static int compare_gateways(const void *a, const void *b)
{
	return strcmp(
		(*(struct gateway_seen *const *)a)->name, (*(struct gateway_seen *const *)b)->name);
}

struct gateway_seen **telemetry_sorted(const struct telemetry *t, size_t *count)
{
	struct gateway_seen **all = must(calloc(t->gateways.count + 1, sizeof(*all)));
	struct strmap_node *node = NULL;

	*count = 0;
	while ((node = strmap_next(&t->gateways, node)))
		all[(*count)++] = container_of(node, struct gateway_seen, node);
	qsort(all, *count, sizeof(*all), compare_gateways);
	return all;
}

void telemetry_each(const struct telemetry *t,
	void (*each)(void *user, const char *name, bool connected), void *user)
{
	size_t count;
	struct gateway_seen **all = telemetry_sorted(t, &count);

	for (size_t i = 0; i < count; i++)
		each(user, all[i]->name, all[i]->connected);
	free(all);
}

uint64_t telemetry_in_flight(const struct telemetry *t, const char *service_key)
{
	struct strmap_node *node = NULL;
	uint64_t sum = 0;

	while ((node = strmap_next(&t->gateways, node))) {
		struct gateway_seen *g = container_of(node, struct gateway_seen, node);
		struct strmap_node *last =
			g->connected ? strmap_find(&g->services, service_key) : NULL;

		if (last)
			sum += container_of(last, struct service_last, node)->in_flight;
	}
	return sum;
}
