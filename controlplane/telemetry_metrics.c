// SPDX-License-Identifier: Apache-2.0
// The part of /metrics that gateways report. Main thread; no I/O but to the stream it is handed.
// The number of series is bounded: services beyond TELEMETRY_LABELS_MAX share one label, and
// gateways and their ports are few.
#include <stdlib.h>
#include <string.h>

#include "controlplane/prom.h"
#include "controlplane/telemetry_internal.h"
#include "lib/base/list.h"

// Bounds of histograms: powers of two are exact in the log-linear ones. 1 us to 17 s.
#define LE_EXPONENT_MIN 10
#define LE_EXPONENT_MAX 34

static void histogram(
	const struct prom *p, const char *name, const char *help, const struct shist *h)
{
	char series[128], le[32];
	const char *const labels[] = {"le", le, NULL};

	prom_heading(p, name, "histogram", help);
	snprintf(series, sizeof(series), "%s_bucket", name);
	for (unsigned e = LE_EXPONENT_MIN; e <= LE_EXPONENT_MAX; e++) {
		snprintf(le, sizeof(le), "%.9g", (double)((uint64_t)1 << e) / 1e9);
		prom_sample(p, series, labels, shist_below(h, e));
	}
	snprintf(le, sizeof(le), "+Inf");
	prom_sample(p, series, labels, h->count);
	snprintf(series, sizeof(series), "%s_sum", name);
	prom_sample_real(p, series, NULL, (double)h->sum / 1e9);
	snprintf(series, sizeof(series), "%s_count", name);
	prom_sample(p, series, NULL, h->count);
}

static void calls_of(
	const struct prom *p, const char *namespace, const char *function, const uint64_t *calls)
{
	for (int k = 0; k < OUTCOME_COUNT; k++) {
		const char *const labels[] = {"namespace", namespace, "function", function,
			"outcome", outcome_names[k], NULL};

		prom_sample(p, "penstock_calls_total", labels, calls[k]);
	}
}

// Services beyond the limit of labels are added up under the name _other.
static void calls_metrics(const struct prom *p, struct service_total **services)
{
	uint64_t other[OUTCOME_COUNT] = {0};
	size_t i;

	prom_heading(
		p, "penstock_calls_total", "counter", "Calls by function or route and outcome.");
	for (i = 0; services[i] && i < TELEMETRY_LABELS_MAX; i++)
		calls_of(p, services[i]->namespace, services[i]->route, services[i]->calls);
	if (!services[i])
		return;
	for (; services[i]; i++)
		for (int k = 0; k < OUTCOME_COUNT; k++)
			other[k] += services[i]->calls[k];
	calls_of(p, "_other", "_other", other);
}

static void hist_metrics(
	const struct telemetry *t, const struct prom *p, struct service_total **services)
{
	static const char service_time[] = "service_time";
	struct strmap_node *node = NULL;
	struct shist sum = {0};
	char base[64], name[96];

	while ((node = strmap_next(&t->hists, node))) {
		struct hist_total *h = container_of(node, struct hist_total, node);

		telemetry_base_name(h->name, base, sizeof(base));
		// A name that Prometheus would not take, or that stands below.
		if (!*base || base[strspn(base, "abcdefghijklmnopqrstuvwxyz0123456789_")] ||
			strcmp(base, service_time) == 0)
			continue;
		snprintf(name, sizeof(name), "penstock_%s_seconds", base);
		histogram(p, name, "As gateways measure it.", &h->all);
	}
	for (size_t i = 0; services[i]; i++)
		shist_add(&sum, &services[i]->time_ns);
	histogram(p, "penstock_service_time_seconds",
		"From sending a call to a backend to the end of its reply, all functions.", &sum);
	shist_fini(&sum);
}

static void drop_metrics(const struct telemetry *t, const struct prom *p)
{
	struct counter_total **all = telemetry_sorted_counters(t);

	prom_heading(p, "penstock_drops_total", "counter",
		"What gateways dropped, by cause; /v1/stats has a sentence for each.");
	for (size_t i = 0; all[i]; i++) {
		const char *const labels[] = {"cause", all[i]->name, NULL};

		if (telemetry_is_drop(all[i]))
			prom_sample(p, "penstock_drops_total", labels, all[i]->value);
	}
	free(all);
}

static uint64_t gateway_calls(const struct gateway_seen *g)
{
	return g->calls_in_flight;
}

static uint64_t gateway_connections(const struct gateway_seen *g)
{
	return g->connections;
}

static uint64_t gateway_up(const struct gateway_seen *g)
{
	return g->connected;
}

static void gateway_metrics(const struct prom *p, struct gateway_seen **all)
{
	static const struct {
		const char *name, *help;
		uint64_t (*value)(const struct gateway_seen *g);
	} gauges[] = {
		{"penstock_calls_in_flight", "Calls under way in a gateway.", gateway_calls},
		{"penstock_connections", "Client connections of a gateway.", gateway_connections},
		{"penstock_gateway_up", "1 if the gateway is connected.", gateway_up},
	};

	for (size_t k = 0; k < sizeof(gauges) / sizeof(gauges[0]); k++) {
		prom_heading(p, gauges[k].name, "gauge", gauges[k].help);
		for (size_t i = 0; all[i]; i++) {
			const char *const labels[] = {"gateway", all[i]->name, NULL};

			prom_sample(p, gauges[k].name, labels, gauges[k].value(all[i]));
		}
	}
}

static void port_samples(
	const struct prom *p, const char *name, const char *field, const struct gateway_seen *g)
{
	for (size_t i = 0; i < json_array_size(g->ports); i++) {
		const json_t *port = json_array_get(g->ports, i);
		const json_t *value = json_object_get(port, field);
		const char *port_name = json_string_value(json_object_get(port, "name"));
		const char *const labels[] = {"gateway", g->name, "port", port_name, NULL};

		if (json_is_integer(value) && json_integer_value(value) >= 0 && port_name)
			prom_sample(p, name, labels, (uint64_t)json_integer_value(value));
	}
}

static void port_metrics(const struct prom *p, struct gateway_seen **all)
{
	static const char *const fields[] = {"rx_packets", "tx_packets", "rx_bytes", "tx_bytes",
		"rx_missed", "rx_nombuf", "rx_errors", "tx_errors"};
	char name[64];

	for (size_t k = 0; k < sizeof(fields) / sizeof(fields[0]); k++) {
		snprintf(name, sizeof(name), "penstock_port_%s_total", fields[k]);
		prom_heading(p, name, "counter", "Of a gateway's port, since the gateway started.");
		for (size_t i = 0; all[i]; i++)
			port_samples(p, name, fields[k], all[i]);
	}
}

void telemetry_metrics(struct telemetry *t, const struct prom *p)
{
	struct service_total **services = telemetry_sorted_services(t);
	size_t count;
	struct gateway_seen **all = telemetry_sorted(t, &count);

	calls_metrics(p, services);
	hist_metrics(t, p, services);
	drop_metrics(t, p);
	gateway_metrics(p, all);
	port_metrics(p, all);
	prom_heading(p, "penstock_reports_total", "counter", "Reports taken from gateways.");
	prom_sample(p, "penstock_reports_total", NULL, t->reports);
	free(services);
	free(all);
}
