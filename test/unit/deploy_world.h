// SPDX-License-Identifier: Apache-2.0
// A scheduler with two large nodes, and what tests of deployments ask of it.
#pragma once

#include "sched/deploy.h"
#include "test/unit/sched_world.h"

int deploy_setup(void **state); // its end is world_teardown()

struct sched_deployment_view deploy_view(const struct world *w, uint32_t job);
uint8_t deploy_status(const struct world *w, uint32_t job);
uint8_t deploy_why(const struct world *w, uint32_t job);
const struct sched_spec *deploy_spec(const struct world *w, uint32_t job);
// The live instance of a version with this index, NULL; fails if there are two.
const struct sched_instance *deploy_at(
	const struct world *w, uint32_t job, uint32_t version, uint32_t index);
void deploy_act(struct world *w, uint32_t job, enum sched_deployment_action action);
// A job of `count`, all ready, of version 1, and then put again: `canaries` of version 2.
uint32_t deploy_with_canaries(struct world *w, uint32_t count, uint32_t canaries);
