// SPDX-License-Identifier: Apache-2.0
// The data plane's own page of counters, for when the control plane cannot be asked: Prometheus
// text over HTTP/1.1.
#pragma once

#include "dataplane/report.h"
#include "lib/loop/loop.h"

struct metrics;

// Serves GET /metrics at address ("127.0.0.1:9478"). NULL with *error = -E... .
struct metrics *metrics_new(
	struct loop *loop, const char *address, const struct report_sources *sources, int *error);
// Before the loop is destroyed.
void metrics_stop(struct metrics *m);
void metrics_free(struct metrics *m);
