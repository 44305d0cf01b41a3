// SPDX-License-Identifier: Apache-2.0
// Nomad's grid (scheduler/benchmarks): nodes x racks x instances; half the racks are eligible, each
// instance takes 6000 of CPU and of memory, of which a node has room for two. The time is that of
// one evaluation from the reconciler to the plan; nothing is submitted. For each point: plain
// bin-packing, with an even spread over racks, with affinities for and against some racks; and then
// near as many instances of another job, and with an image that one node in ten has.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "test/bench/bench_sched.h"

#define REPEATS 5
#define BATCH_NS (2 * NS_PER_MS) // one repeat is as many evaluations as this takes

enum kind { PACK, SPREAD, AFFINITY, NEAR, IMAGE, KINDS };
static const char *const names[KINDS] = {"bin-pack", "spread", "affinity", "near", "image"};
static const char *const near[] = {"default/peer"};
static const char *const images[] = {"base@1", "tool@1"};

static void add_nodes(struct bench *b, uint32_t nodes, uint32_t racks)
{
	const struct sched_res capacity = {14000, 14000, UINT32_MAX, UINT32_MAX};

	for (uint32_t i = 0; i < nodes; i++) {
		char name[32], rack[16];
		struct sched_attribute attributes[] = {{"arch", "x86_64"}, {"rack", rack},
			{"row", i % racks < racks / 2 ? "front" : "back"}, {"unique.host", name}};
		uint32_t slot;

		snprintf(name, sizeof(name), "node-%u", i);
		snprintf(rack, sizeof(rack), "r%u", i % racks);
		bench_must(sched_core_node_put(b->core, name, attributes, 4, &capacity, &slot),
			"node");
		bench_must(sched_core_node_state(b->core, slot, SCHED_NODE_READY, true, false, 0),
			"node state");
	}
}

static const struct sched_constraint row = {"row", "front", SCHED_OP_EQ};

// What is small enough to be beside two large ones.
static void add_peers(struct bench *b, uint32_t count)
{
	const struct sched_group group = {.name = "main",
		.count = count,
		.ask = {10, 10, 0, 1},
		.restart_hash = 1,
		.constraints = &row,
		.constraint_count = 1};
	const struct sched_spec spec = {.namespace = "default",
		.name = "peer",
		.priority = 50,
		.groups = &group,
		.group_count = 1};
	uint32_t slot;

	bench_must(sched_core_job_put(b->core, &spec, 1, &slot), "peers");
	bench_work_off(b);
}

static void add_images(struct bench *b)
{
	for (uint32_t k = 0; k < b->core->state->head.tables[SCHED_TABLE_NODES].high; k++)
		bench_must(sched_core_node_images(b->core, k, images, k % 10 ? 1 : 2), "images");
}

static void add_job(struct bench *b, uint32_t count, enum kind kind)
{
	const struct sched_spread spread = {
		.attribute = "rack", .weight = 100, .group = SCHED_ALL_GROUPS};
	const struct sched_affinity likes[] = {{"rack", "r1", SCHED_OP_EQ, 100, SCHED_ALL_GROUPS},
		{"rack", "r5", SCHED_OP_LE, 50, SCHED_ALL_GROUPS},
		{"rack", "r2", SCHED_OP_EQ, -50, SCHED_ALL_GROUPS}};
	const struct sched_group group = {.name = "main",
		.count = count,
		.ask = {6000, 6000, 0, 1},
		.restart_hash = 1,
		.constraints = &row,
		.constraint_count = 1,
		.near = near,
		.near_count = kind == NEAR,
		.image = kind == IMAGE ? images[1] : NULL};
	const struct sched_spec spec = {.namespace = "default",
		.name = names[kind],
		.priority = 50,
		.groups = &group,
		.group_count = 1,
		.spreads = &spread,
		.spread_count = kind == SPREAD,
		.affinities = likes,
		.affinity_count = kind == AFFINITY ? 3 : 0};
	uint32_t slot;

	bench_must(sched_core_job_put(b->core, &spec, 1, &slot), "job");
}

static int by_value(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

// One evaluation, in ms.
static double evaluate(
	struct bench *b, const struct sched_ticket *t, uint64_t token, struct sched_plan **plan)
{
	ns_t start = bench_cpu();

	sched_worker_begin(b->workers[0], t, token);
	bench_must(sched_worker_plan(b->workers[0],
			   sched_snapshot_pin(b->readers[0], b->core->state), 1, plan),
		"plan");
	sched_reader_unpin(b->readers[0]);
	return (double)(bench_cpu() - start) / 1e6;
}

static void tell(uint32_t nodes, uint32_t racks, uint32_t count, enum kind kind,
	const struct sched_plan *plan, const double *ms, double first)
{
	printf(bench_json
			? "{\"case\": \"grid-%u-%u-%u\", \"kind\": \"%s\", \"placed\": %u, "
			  "\"ms\": %.4f, \"ms_min\": %.4f, \"ms_max\": %.4f, \"first_ms\": %.4f, "
			  "\"us_per_placement\": %.3f}\n"
			: "%5u nodes, %2u racks, %4u instances, %-8s: %4u placed, %.3f ms (%.3f to "
			  "%.3f; the first %.3f), %.2f us each\n",
		nodes, racks, count, names[kind], plan->place_count, ms[REPEATS / 2], ms[0],
		ms[REPEATS - 1], first, ms[REPEATS / 2] * 1e3 / plan->place_count);
}

static void point(struct bench *b, uint32_t nodes, uint32_t racks, uint32_t count, enum kind kind)
{
	struct sched_plan *plan = NULL;
	struct sched_ticket t;
	double ms[REPEATS], first;
	uint64_t token;

	add_job(b, count, kind);
	bench_must(sched_core_dequeue(b->core, SCHED_MASK_ALL, 1, &t, &token), "dequeue");
	first = evaluate(b, &t, token, &plan);
	for (int k = 0; k < REPEATS; k++) {
		double sum = 0;
		uint32_t n = 0;

		for (; sum < (double)BATCH_NS / 1e6; n++)
			sum += evaluate(b, &t, token, &plan);
		ms[k] = sum / n;
	}
	qsort(ms, REPEATS, sizeof(ms[0]), by_value);
	tell(nodes, racks, count, kind, plan, ms, first);
	sched_core_drop(b->core, &t, token, 1);
}

static void points(struct bench *b, uint32_t nodes, uint32_t racks, uint32_t count)
{
	for (enum kind kind = PACK; kind <= AFFINITY; kind++)
		point(b, nodes, racks, count, kind);
}

// On nodes that are not empty any more; more peers each time.
static void drawn_points(struct bench *b, uint32_t nodes, uint32_t racks, uint32_t count)
{
	add_images(b);
	add_peers(b, count);
	for (enum kind kind = NEAR; kind < KINDS; kind++)
		point(b, nodes, racks, count, kind);
}

void bench_grid(uint32_t nodes, uint32_t racks, uint32_t count)
{
	struct bench b = bench_start(1, SCHED_BIN_PACK);

	add_nodes(&b, nodes, racks);
	points(&b, nodes, racks, count);
	drawn_points(&b, nodes, racks, count);
	bench_end(&b);
}

void bench_grid_all(bool quick)
{
	static const uint32_t nodes[] = {500, 1000, 5000, 10000}, racks[] = {25, 50, 75},
			      counts[] = {50, 300, 600, 900, 1200};

	for (int n = 0; n < 4; n += quick ? 3 : 1) {
		for (int r = 0; r < 3; r += quick ? 2 : 1) {
			struct bench b = bench_start(1, SCHED_BIN_PACK);

			add_nodes(&b, nodes[n], racks[r]);
			for (int c = 0; c < 5; c += quick ? 4 : 1)
				points(&b, nodes[n], racks[r], counts[c]);
			for (int c = 0; c < 5; c += quick ? 4 : 1)
				drawn_points(&b, nodes[n], racks[r], counts[c]);
			bench_end(&b);
		}
	}
}
