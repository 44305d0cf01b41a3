// SPDX-License-Identifier: Apache-2.0
// Joins the parts: what is stored (registry), what is decided (scheduler), what there is (fleet) and
// what gateways are told (publisher).
//
//   function put ─▶ registry, durable ─▶ job ─▶ scheduler ─▶ log, durable ─▶ fleet ─▶ host
//   host reports ─▶ fleet ─┬─▶ publisher ─▶ gateways
//                          └─▶ scheduler (instance ready, failed, exited; node up, down)
//
// Main thread.
#pragma once

#include "controlplane/fleet.h"
#include "controlplane/job_spec.h"
#include "controlplane/publish.h"
#include "controlplane/registry.h"
#include "controlplane/scheduler.h"

#define ORCHESTRATOR_TEXTS 256

// What hosts are told of a group's instances, as long as it is being placed.
struct orchestrator_text {
	struct job_spec_digest digest;
	json_t *spec;
};

struct orchestrator_config {
	unsigned workers;
	ns_t lease_ns;
	struct sched_worker_config planning;
};

struct orchestrator {
	struct registry *registry;
	struct publisher *publisher;
	struct fleet fleet;
	struct scheduler scheduler;
	struct registry_rider rider;
	struct orchestrator_text texts[ORCHESTRATOR_TEXTS];
	ns_t drain_next;  // the first deadline of a drain; NS_NEVER
	ns_t now;
};

// After the publisher was made and before anybody watches. 0 or -E... .
int orchestrator_start(struct orchestrator *o, struct registry *registry,
	struct publisher *publisher, struct store *store, const struct orchestrator_config *config);
void orchestrator_stop(struct orchestrator *o);
// What the API asks (api_scheduler.h); the user is the orchestrator.
extern const struct api_scheduler orchestrator_api;
// A durable change of a resource, after the publisher was told of it.
void orchestrator_apply(struct orchestrator *o, const struct change *change);
// A host has said hello. 0; -EBUSY: the name is held; -ENOSPC; why is a sentence then.
int orchestrator_connect(struct orchestrator *o, const struct fleet_hello *hello, char *why,
	size_t room);
// A host has reported: it is a resource, even if the store refused that when it came.
void orchestrator_heard(struct orchestrator *o, const struct fleet_node *n);
// What is due, and what became possible: after reports and when orchestrator_next() is reached.
void orchestrator_tick(struct orchestrator *o, ns_t now);
ns_t orchestrator_next(const struct orchestrator *o);
