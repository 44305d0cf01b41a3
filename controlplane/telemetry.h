// SPDX-License-Identifier: Apache-2.0
// What gateways report, added up: soft state, gone with a restart and rebuilt within a second.
//
// Reports are cumulative since a gateway's start; each is compared with that gateway's last one and
// the difference added to totals, so a gateway that restarts or goes away takes nothing from a
// total. Everything a peer can make grow has a limit. Main thread; no I/O.
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "controlplane/registry.h"
#include "lib/base/clock.h"

#define TELEMETRY_GATEWAYS_MAX 1024
#define TELEMETRY_SERVICES_MAX 20000  // in totals
#define TELEMETRY_COUNTERS_MAX 1024
#define TELEMETRY_HISTOGRAMS_MAX 16
#define TELEMETRY_LABELS_MAX 1000  // services with labels of their own in /metrics

struct telemetry;
struct prom;

struct telemetry_hello {
	const char *name, *version, *start;
	unsigned workers;
};

struct telemetry *telemetry_new(ns_t now);
void telemetry_destroy(struct telemetry *t);

// A gateway connected. 0, or -ENOSPC: there are too many.
int telemetry_connected(
	struct telemetry *t, const struct telemetry_hello *hello, ns_t now, ns_t wall_ns);
void telemetry_disconnected(struct telemetry *t, const char *name, const char *why, ns_t wall_ns);
// 0, or -EINVAL: not a report (nothing of it is used).
int telemetry_report(struct telemetry *t, const char *name, const json_t *report, ns_t now);

bool telemetry_is_connected(const struct telemetry *t, const char *name);
// Calls each for the gateways known, connected or not, in the order of names.
void telemetry_each(const struct telemetry *t,
	void (*each)(void *user, const char *name, bool connected), void *user);
// The status of a gateway or of an endpoint; NULL for other kinds. A new reference.
json_t *telemetry_status(struct telemetry *t, const struct resource *res, ns_t now);
json_t *telemetry_stats(struct telemetry *t, ns_t now, ns_t wall_ns);
void telemetry_metrics(struct telemetry *t, const struct prom *p);
