// SPDX-License-Identifier: Apache-2.0
// What the files of bench-sched share: a scheduler in one thread, and how results are
// told.
#pragma once

#include "lib/base/clock.h"
#include "lib/base/rng.h"
#include "sched/sched.h"

#define BENCH_WORKERS_MAX 16

struct bench {
	struct sched_core *core;
	struct sched_worker *workers[BENCH_WORKERS_MAX];
	struct sched_reader *readers[BENCH_WORKERS_MAX];
	uint32_t worker_count;
	uint64_t log_bytes, plans;
	struct sched_bytes spare;
};

extern bool bench_json; // one object a line, instead of sentences

void bench_must(int rc, const char *what);
struct bench bench_start(uint32_t workers, enum sched_algorithm algorithm);
void bench_end(struct bench *b);
// Each worker takes one evaluation and plans on the same snapshot; then all plans are applied: so
// they collide as they would in parallel. Returns how many worked.
uint32_t bench_round(struct bench *b);
void bench_work_off(struct bench *b);
// Each with room for `slots` instances of these jobs.
void bench_nodes(struct bench *b, uint32_t nodes, uint32_t slots);
void bench_job(struct bench *b, uint32_t k, uint32_t count);
// CPU time of this process: others may use the machine at the same time.
ns_t bench_cpu(void);

// Nomad's grid: one evaluation, planned and not submitted.
void bench_grid(uint32_t nodes, uint32_t racks, uint32_t count);
void bench_grid_all(bool quick);

// How often workers collide: in simulated time, with measured planning times.
void bench_conflicts(bool quick);
void bench_conflicts_of(uint32_t workers, uint32_t count, uint32_t age_us);
