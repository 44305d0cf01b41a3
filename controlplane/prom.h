// SPDX-License-Identifier: Apache-2.0
// Writes metrics in Prometheus' text format, or in OpenMetrics 1.0, which names a counter's family
// without _total and ends with # EOF.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct prom {
	FILE *out;
	bool open;  // OpenMetrics
};

// Whether a client that sends this Accept header (or NULL) wants OpenMetrics.
bool prom_wants_open(const char *accept);
const char *prom_content_type(bool open);

// The heading of a family; a counter's name ends with _total.
void prom_heading(const struct prom *p, const char *name, const char *type, const char *help);
// One sample. labels: name, value, name, value ..., NULL.
void prom_sample(
	const struct prom *p, const char *name, const char *const *labels, uint64_t value);
void prom_sample_real(
	const struct prom *p, const char *name, const char *const *labels, double value);
void prom_end(const struct prom *p);
