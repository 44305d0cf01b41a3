// SPDX-License-Identifier: Apache-2.0
// A scheduler with one worker and hosts that obey, for tests: events in, counts out.
#pragma once

#include "sched/sched.h"

struct world {
	struct sched_core *core;
	struct sched_worker *worker;
	struct sched_reader *reader;
	ns_t now;
	struct sched_group group; // what world_job() puts; change it before
	struct sched_spec spec;
};

void world_init(struct world *w);
void world_fini(struct world *w);
// The same for cmocka: *state is a world.
int world_setup(void **state);
int world_teardown(void **state);
const struct sched_snapshot *world_head(const struct world *w);

// A ready node.
uint32_t world_node(struct world *w, const char *name, uint32_t cpu, uint32_t memory);
uint32_t world_node_with(struct world *w, const char *name, uint32_t cpu, uint32_t memory,
	const struct sched_attribute *attributes, uint32_t n);
void world_node_status(struct world *w, uint32_t node, uint8_t status);
void world_drain(struct world *w, uint32_t node);
// Puts w->spec under this name with this count in its (first) group.
uint32_t world_job(struct world *w, const char *name, uint32_t count);

// Works until nothing is ready any more.
void world_run(struct world *w);
// Hosts do what they are told: start (and be ready), stop. Returns how many reports they made.
uint32_t world_hosts(struct world *w);
// Both until nothing changes.
void world_settle(struct world *w);
void world_report(struct world *w, const struct sched_instance *i, uint8_t status, bool ready);

uint32_t world_live(const struct world *w, uint32_t job);
uint32_t world_live_version(const struct world *w, uint32_t job, uint32_t version);
uint32_t world_live_on(const struct world *w, uint32_t job, uint32_t node);
// The live instance with this name index, NULL if there is none; fails if there are two.
const struct sched_instance *world_named(const struct world *w, uint32_t job, uint32_t index);
// Evaluations of a job with this status.
uint32_t world_evals(const struct world *w, uint32_t job, uint8_t status);
const struct sched_eval *world_last_eval(const struct world *w, uint32_t job);
