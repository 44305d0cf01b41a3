// SPDX-License-Identifier: Apache-2.0
// The part of /metrics about nodes and instances. Main thread; no I/O but to the stream it is handed.
#include <stdio.h>
#include <string.h>

#include "controlplane/fleet.h"
#include "controlplane/prom.h"

// Bounds of histograms: powers of two are exact in the log-linear ones. 1 us to 17 s.
#define LE_EXPONENT_MIN 10
#define LE_EXPONENT_MAX 34

static void single(
	const struct prom *p, const char *name, const char *type, const char *help, uint64_t value)
{
	prom_heading(p, name, type, help);
	prom_sample(p, name, NULL, value);
}

static void steps(const struct prom *p, const char *step, const struct hist *h)
{
	char le[32];
	const char *const labels[] = {"step", step, NULL};
	const char *const bounds[] = {"step", step, "le", le, NULL};
	uint64_t below = 0;
	unsigned k = 0;

	for (unsigned e = LE_EXPONENT_MIN; e <= LE_EXPONENT_MAX; e++) {
		for (; hist_bucket_high(k) <= (uint64_t)1 << e; k++)
			below += h->bucket[k];
		snprintf(le, sizeof(le), "%.9g", (double)((uint64_t)1 << e) / 1e9);
		prom_sample(p, "penstock_deploy_seconds_bucket", bounds, below);
	}
	snprintf(le, sizeof(le), "+Inf");
	prom_sample(p, "penstock_deploy_seconds_bucket", bounds, h->count);
	prom_sample_real(p, "penstock_deploy_seconds_sum", labels, (double)h->sum / 1e9);
	prom_sample(p, "penstock_deploy_seconds_count", labels, h->count);
}

static void node_metrics(const struct fleet *f, const struct prom *p)
{
	static const char *const states[] = {"ready", "draining", "ineligible", "down"};
	uint64_t nodes[4] = {0};
	const struct strmap_node *at;

	for (at = strmap_next(&f->nodes, NULL); at; at = strmap_next(&f->nodes, at)) {
		const struct fleet_node *n = container_of(
			(struct strmap_node *)(uintptr_t)at, struct fleet_node, node);

		for (int i = 0; i < 4; i++)
			nodes[i] += strcmp(fleet_node_state(n), states[i]) == 0;
	}
	prom_heading(p, "penstock_nodes", "gauge", "Nodes by state.");
	for (int i = 0; i < 4; i++)
		prom_sample(p, "penstock_nodes", (const char *const[]){"state", states[i], NULL},
			nodes[i]);
}

void fleet_metrics(const struct fleet *f, const struct prom *p)
{
	const struct strmap_node *at;
	uint64_t ready = 0;

	node_metrics(f, p);
	for (at = strmap_next(&f->instances, NULL); at; at = strmap_next(&f->instances, at))
		ready += fleet_takes_calls(container_of(
			(struct strmap_node *)(uintptr_t)at, struct fleet_instance, node));
	single(p, "penstock_instances_ready", "gauge", "Instances that take calls.", ready);
	single(p, "penstock_instance_failures_total", "counter",
		"Instances that their hosts gave up, and that were placed again.", f->failures);
	single(p, "penstock_instance_restarts_total", "counter",
		"Starts of instances after a crash.", f->restarts);
	single(p, "penstock_instances_lost_total", "counter",
		"Instances of nodes that went down.", f->lost);
	prom_heading(p, "penstock_deploy_seconds", "histogram",
		"Steps of a start: ready is from the stored placement to the host's word that it "
		"takes calls, routable from there until all gateways act by it.");
	steps(p, "ready", &f->steps.ready);
	steps(p, "routable", &f->steps.routable);
}
