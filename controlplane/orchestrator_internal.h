// SPDX-License-Identifier: Apache-2.0
// What the files of the orchestrator share: orchestrator.c (deeds, starting), orchestrator_jobs.c,
// orchestrator_nodes.c.
#pragma once

#include "controlplane/orchestrator.h"

#define ORCHESTRATOR_LOG "orchestrator"

// ---- jobs ----

// A function, job or quota that is stored, or is not any more (after is NULL).
void orchestrator_apply_job(struct orchestrator *o, const struct change *c);
void orchestrator_apply_quota(struct orchestrator *o, const struct change *c);
// At start: what is stored is the truth.
void orchestrator_meet_jobs(struct orchestrator *o);
// What hosts are told of the instances of a group; the same object for all of them. A new
// reference.
json_t *orchestrator_host_spec(
	struct orchestrator *o, const struct sched_spec *spec, uint32_t group);

// ---- nodes ----

void orchestrator_apply_node(struct orchestrator *o, const struct change *c);
void orchestrator_add_nodes(struct orchestrator *o);
void orchestrator_meet_nodes(struct orchestrator *o);
// The fleet's event.
void orchestrator_node_changed(void *user, const struct fleet_node *n);
// A node that is no resource is forgotten with its last instance.
void orchestrator_remove_if_unused(struct orchestrator *o, const char *name);
// Drains whose time is over.
void orchestrator_tick_drains(struct orchestrator *o);
