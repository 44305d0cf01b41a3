// SPDX-License-Identifier: Apache-2.0
// What telemetry.c (taking reports) and telemetry_show.c (showing them) share.
#pragma once

#include "controlplane/shist.h"
#include "controlplane/strmap.h"
#include "controlplane/telemetry.h"

#define TELEMETRY_WINDOW (10 * NS_PER_SEC)
#define SERVICE_KEY_MAX 340

enum outcome {
	OUTCOME_OK,
	OUTCOME_ERROR,
	OUTCOME_REJECTED,
	OUTCOME_CANCELED,
	OUTCOME_INVALID,
	OUTCOME_ABANDONED,
	OUTCOME_COUNT
};

extern const char *const outcome_names[OUTCOME_COUNT];

// Totals and the last 10 to 20 seconds: [0] is being filled, [1] was before.
struct recent {
	uint64_t calls[2];
	struct shist hist[2];
};

struct service_total {
	struct strmap_node node;
	char key[SERVICE_KEY_MAX];
	char namespace[64], route[256];
	bool prefix;
	uint64_t calls[OUTCOME_COUNT];
	struct shist time_ns;
	struct recent recent;
	ns_t seen_ns;
};

struct counter_total {
	struct strmap_node node;
	char name[80];
	char help[200];
	uint64_t value;
};

struct hist_total {
	struct strmap_node node;
	char name[64];
	struct shist all;
	struct recent recent;
};

// What a gateway said last, to tell what is new in its next report.
struct service_last {
	struct strmap_node node;
	char key[SERVICE_KEY_MAX];
	uint64_t calls[OUTCOME_COUNT], in_flight;
	struct shist time_ns;
	ns_t seen_ns;
};

struct value_last {
	struct strmap_node node;
	char name[80];
	uint64_t value;
	struct shist hist;
};

struct gateway_seen {
	struct strmap_node node;
	char name[64], version[64], start[64], why[200];
	bool connected;
	unsigned worker_count;
	ns_t since_wall_ns;  // of being connected, or not
	ns_t reported_ns;    // 0: never since it connected
	uint64_t uptime_ms, reports;
	uint64_t connections, calls_in_flight;
	json_t *workers, *ports;
	json_t *targets;  // by address
	struct strmap services, counters, hists;
};

struct telemetry {
	struct strmap gateways, services, counters, hists;
	ns_t window_start[2];
	uint64_t reports, reports_bad, services_ignored;
};

// Gateways in the order of names; free() it.
struct gateway_seen **telemetry_sorted(const struct telemetry *t, size_t *count);
// In the order of their keys and names, ended by NULL; free() them.
struct service_total **telemetry_sorted_services(const struct telemetry *t);
struct counter_total **telemetry_sorted_counters(const struct telemetry *t);
// "gateway_latency_ns" is shown as "gateway_latency", in seconds.
void telemetry_base_name(const char *name, char *out, size_t room);
// Counters of what was dropped are called GROUP.drop_CAUSE.
bool telemetry_is_drop(const struct counter_total *c);
// Ends windows that are over.
void telemetry_rotate(struct telemetry *t, ns_t now);
uint64_t telemetry_in_flight(const struct telemetry *t, const char *service_key);
