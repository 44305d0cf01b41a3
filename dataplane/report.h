// SPDX-License-Identifier: Apache-2.0
// What a gateway reports each second: counters, histograms, calls by service, targets, workers.
//
// Built on the control thread from what workers write; a number is right by itself, though two need
// not be of one instant.
#pragma once

#include <jansson.h>

#include "dataplane/relay.h"

#define REPORT_WORKERS_MAX 64
#define REPORT_SERVICES_MAX 256 // in one message
#define REPORT_GROUPS_MAX 8

// Counters of one kind: a struct of uint64_t, described by a table.
struct report_counter {
	const char *name; // within its group
	const char *help;
};

struct report_group {
	const char *name;
	bool gauges; // what is in use now: goes up and down, and is told by worker
	const struct report_counter *counters;
	unsigned count;
	// Where a worker's values are; one after the other.
	const uint64_t *(*values)(unsigned worker, void *arg);
};

struct report_sources {
	unsigned workers;
	const struct relay *relays[REPORT_WORKERS_MAX];
	unsigned groups;
	struct report_group group[REPORT_GROUPS_MAX];
	// Adds what it knows about itself: "busy", "core". May be NULL.
	void (*describe_worker)(unsigned worker, json_t *object, void *arg);
	// An array for "ports", or NULL.
	json_t *(*describe_ports)(void *arg);
	void *arg;
};

// What was last sent of the service in a slot: the beginnings and ends of its calls.
struct report_sent {
	uint32_t generation;
	uint64_t steps;
};

struct report {
	struct report_sent *sent; // SERVICES_MAX
	ns_t started;
};

int report_init(struct report *r, ns_t now);
void report_fini(struct report *r);
// Builds the messages of one interval and hands each (a new reference) to send. full: the first on
// a connection, which also carries sentences and every service.
void report_build(struct report *r, const struct report_sources *sources, struct table *table,
	const char *start, ns_t now, bool full, void (*send)(json_t *message, void *arg),
	void *arg);
