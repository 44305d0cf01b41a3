// SPDX-License-Identifier: Apache-2.0
// Ports, devices and other things that an instance has for itself on its node (struct sched_claim).
// One function for workers and the applier, as with fit.h. Pure.
//
// Nothing is kept up for it: who claims something looks at the instances on the node. Jobs that
// claim nothing pay nothing. Which of a node's devices an instance gets is for its host to decide.
#pragma once

#include "sched/plan.h"

// So many placements at most has a plan of a job with claims.
#define SCHED_CLAIMS_PLACE_MAX 256

bool sched_claims_any(const struct sched_spec *spec, uint32_t group);
// How many more instances of the group find what they claim on the node, when the plan's first
// `places` placements are there and what it stops is gone. Without claims UINT32_MAX.
uint32_t sched_claims_room(const struct sched_snapshot *s, uint32_t node,
	const struct sched_spec *spec, uint32_t group, const struct sched_plan *plan,
	uint32_t places);
