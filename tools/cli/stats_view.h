// SPDX-License-Identifier: Apache-2.0
// /v1/stats as rows and tables.
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "tools/cli/cli.h"

struct service_row {
	const char *ns, *route;  // into the answer
	double calls_per_s;
	uint64_t ok, rejected, canceled, error, invalid, in_flight;
	uint64_t count;                 // of recent times
	double p50_ns, p99_ns, max_ns;  // recent
};

enum stats_order { ORDER_CALLS, ORDER_LATENCY, ORDER_FAILURES, ORDER_NAME };

// The rows of an answer in order (free() them); NULL and *count 0 if there are none. only: NULL, or
// the route to show ("route" or "namespace/route").
struct service_row *stats_rows(
	const json_t *stats, enum stats_order order, const char *only, size_t *count);
void stats_sort(struct service_row *rows, size_t count, enum stats_order order);
// Rates of the time between two answers in place of the control plane's, which are of its last 10
// to 20 s.
void stats_rates(struct service_row *rows, size_t count, const json_t *before, double seconds);
// One line: calls/s, in flight, connections, latency.
void stats_write_total(FILE *out, const json_t *stats);
// A table of at most `limit` rows (0: all).
void stats_write_services(FILE *out, const struct service_row *rows, size_t count, size_t limit);
// One line: how long starts took, what went wrong. Nothing if there were none.
void stats_write_deploys(FILE *out, const json_t *stats);
void stats_write_drops(FILE *out, const json_t *stats);
void stats_write_counters(FILE *out, const json_t *stats);
