// SPDX-License-Identifier: Apache-2.0
// What a placement costs: jobs x count on nodes, through broker, worker, applier and encoder, in
// one thread. bench-sched [JOBS COUNT NODES [WORKERS]]; without arguments a few sizes.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/rng.h"
#include "sched/sched.h"

struct bench {
	struct sched_core *core;
	struct sched_worker *workers[16];
	struct sched_reader *readers[16];
	uint32_t worker_count;
	uint64_t log_bytes, plans, evals;
	struct sched_bytes spare;
};

static void must(int rc, const char *what)
{
	if (rc) {
		fprintf(stderr, "%s: %s\n", what, strerror(-rc));
		exit(1);
	}
}

static void add_nodes(struct bench *b, uint32_t nodes, uint32_t slots)
{
	struct sched_res capacity = {slots * 100, slots * 64, UINT32_MAX, UINT32_MAX};

	for (uint32_t i = 0; i < nodes; i++) {
		char name[32], rack[16];
		struct sched_attribute attributes[] = {
			{"arch", "x86_64"}, {"rack", rack}, {"unique.host", name}};
		uint32_t slot;

		snprintf(name, sizeof(name), "node-%u", i);
		snprintf(rack, sizeof(rack), "r%u", i % 25);
		must(sched_core_node_put(b->core, name, attributes, 3, &capacity, &slot), "node");
		must(sched_core_node_state(b->core, slot, SCHED_NODE_READY, true, false, 0),
			"node state");
	}
}

static void add_job(struct bench *b, uint32_t k, uint32_t count)
{
	char name[32];
	struct sched_group group = {.name = "main",
		.count = count,
		.ask = {100, 64, 0, 1},
		.max_parallel = 4,
		.restart_hash = 1};
	struct sched_spec spec = {.namespace = "default",
		.name = name,
		.priority = 50,
		.groups = &group,
		.group_count = 1};
	uint32_t slot;

	snprintf(name, sizeof(name), "job-%u", k);
	must(sched_core_job_put(b->core, &spec, 1, &slot), "job");
}

// Each worker takes one evaluation and plans on the same snapshot; then all plans are applied: so
// they collide as they would in parallel.
static uint32_t round_of_work(struct bench *b)
{
	struct sched_ticket tickets[16];
	uint64_t tokens[16];
	uint32_t busy = 0;

	while (busy < b->worker_count && sched_core_dequeue(b->core, SCHED_MASK_ALL, 1,
						 &tickets[busy], &tokens[busy]) == 0) {
		sched_worker_begin(b->workers[busy], &tickets[busy], tokens[busy]);
		busy++;
	}
	for (uint32_t open = busy ? (1u << busy) - 1 : 0; open;) {
		for (uint32_t w = 0; w < busy; w++) {
			struct sched_plan *plan;

			if (!(open >> w & 1))
				continue;
			must(sched_worker_plan(b->workers[w],
				     sched_snapshot_pin(b->readers[w], b->core->state), 1, &plan),
				"plan");
			sched_reader_unpin(b->readers[w]);
			plan->user = b->workers[w];
			must(sched_core_submit(b->core, plan, 1), "submit");
			b->plans++;
		}
		sched_core_apply(b->core, 64, 1);
		while (sched_core_result(b->core))
			;
		for (uint32_t w = 0; w < busy; w++)
			if (open >> w & 1 && sched_worker_result(b->workers[w]) == 0)
				open &= ~(1u << w);
	}
	b->evals += busy;
	if (b->core->state->log.out.len > 1 << 20) {
		sched_log_take(b->core, &b->spare);
		b->log_bytes += b->spare.len;
	}
	return busy;
}

static struct bench start_bench(uint32_t workers)
{
	struct bench b = {.core = sched_core_new(NULL, 1), .worker_count = workers};

	must(sched_core_start(b.core, 0), "start");
	for (uint32_t w = 0; w < workers; w++) {
		b.workers[w] = sched_worker_new(NULL, 100 + w);
		b.readers[w] = sched_reader_new(&b.core->state->pages);
	}
	return b;
}

static void end_bench(struct bench *b)
{
	for (uint32_t w = 0; w < b->worker_count; w++) {
		sched_worker_destroy(b->workers[w]);
		sched_reader_destroy(b->readers[w]);
	}
	sched_core_destroy(b->core);
	sched_bytes_fini(&b->spare);
}

static void work_off(struct bench *b)
{
	while (round_of_work(b))
		sched_core_tick(b->core, 1);
	sched_log_take(b->core, &b->spare);
	b->log_bytes += b->spare.len;
}

// Of this process: others may use the machine at the same time.
static ns_t cpu_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (ns_t)ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

static void run(uint32_t jobs, uint32_t count, uint32_t nodes, uint32_t workers)
{
	struct bench b = start_bench(workers);
	struct sched_applier_stats stats;
	size_t empty, bytes;
	ns_t start, submitted, done, cpu;

	// Room for a quarter more than is asked for.
	add_nodes(&b, nodes, (uint32_t)((uint64_t)jobs * count / nodes * 5 / 4 + 2));
	empty = sched_state_bytes(b.core->state);
	start = clock_now();
	for (uint32_t k = 0; k < jobs; k++)
		add_job(&b, k, count);
	submitted = clock_now();
	cpu = cpu_now();
	work_off(&b);
	done = clock_now();
	cpu = cpu_now() - cpu;
	bytes = sched_state_bytes(b.core->state);
	stats = sched_applier_stats(b.core->applier);
	printf("%6u jobs x %-6u on %5u nodes, %2u workers: %9.0f placements/s, %5.2f us of CPU "
	       "each, "
	       "%.2f plans a job, %.1f log bytes and %.0f bytes of memory each, %.0f a node; "
	       "submitting "
	       "%.2f us a job\n",
		jobs, count, nodes, workers,
		(double)stats.placed * 1e9 / (double)(done - submitted),
		(double)cpu / 1e3 / (double)stats.placed, (double)b.plans / jobs,
		(double)b.log_bytes / (double)stats.placed,
		(double)(bytes - empty) / (double)stats.placed, (double)empty / nodes,
		(double)(submitted - start) / 1e3 / jobs);
	if (stats.placed != (uint64_t)jobs * count)
		must(-EIO, "not all were placed");
	end_bench(&b);
}

// Filled to the last slot by 40 jobs: how often do workers collide?
static void fill(uint32_t nodes, uint32_t slots, uint32_t workers)
{
	struct bench b = start_bench(workers);
	struct sched_applier_stats stats;

	add_nodes(&b, nodes, slots);
	for (uint32_t k = 0; k < 40; k++)
		add_job(&b, k, nodes * slots / 40);
	work_off(&b);
	stats = sched_applier_stats(b.core->applier);
	printf("filled to the last of %u slots by 40 jobs, %u workers: %llu placed, %.2f plans a "
	       "job, "
	       "%.2f node plans rejected for 100 placements\n",
		nodes * slots, workers, (unsigned long long)stats.placed, (double)b.plans / 40,
		100.0 * (double)stats.rejected_nodes / (double)stats.placed);
	end_bench(&b);
}

// Single placements on unevenly loaded nodes: the score of the node chosen against the best of all.
static void quality(uint32_t nodes)
{
	struct bench b = start_bench(1);
	const struct sched_snapshot *s = &b.core->state->head;
	struct sched_res ask = {100, 64, 0, 1};
	double ratio = 0, worst = 1;
	struct rng rng;
	uint32_t singles = 2000;

	rng_seed(&rng, 5);
	add_nodes(&b, nodes, 100);
	// Each job has a size of its own, so that loads differ.
	for (uint32_t k = 0; k < nodes / 4; k++)
		add_job(&b, k, 1 + rng_below(&rng, 300));
	work_off(&b);
	for (uint32_t k = 0; k < nodes; k++)
		if (rng_below(&rng, 2))
			must(sched_core_node_state(b.core, k, SCHED_NODE_READY, false, false, 1),
				"state");
	for (uint32_t k = 0; k < nodes / 8; k++)
		add_job(&b, 100000 + k, 1 + rng_below(&rng, 100));
	work_off(&b);
	for (uint32_t k = 0; k < nodes; k++)
		must(sched_core_node_state(b.core, k, SCHED_NODE_READY, true, false, 1), "state");
	for (uint32_t k = 0; k < singles; k++) {
		double best = 0, got;
		uint32_t slot;
		char name[32];

		for (uint32_t i = 0; i < nodes; i++) {
			const struct sched_node *n = sched_node_at(s, i);
			double score =
				sched_score(SCHED_LEAST_LOADED, &n->capacity, &n->used, &ask);

			best = score > best ? score : best;
		}
		add_job(&b, 200000 + k, 1);
		round_of_work(&b);
		snprintf(name, sizeof(name), "job-%u", 200000 + k);
		slot = sched_job_at(s, sched_job_find(b.core->state, "default", name))
			       ->first_instance;
		got = sched_instance_at(s, slot)->why.score / best;
		got = got > 1 ? 1 : got;
		ratio += got / singles;
		worst = got < worst ? got : worst;
	}
	printf("score of the node chosen against the best of %u: %.4f on average, %.4f at worst\n",
		nodes, ratio, worst);
	end_bench(&b);
}

int main(int argc, char **argv)
{
	static const uint32_t sizes[][4] = {{1000, 100, 1000, 1}, {1000, 100, 1000, 8},
		{20000, 1, 1000, 1}, {20000, 1, 5000, 2}, {1, 100000, 1000, 1},
		{1000, 1000, 5000, 1}, {1000, 1000, 5000, 8}};

	if (argc >= 4) {
		run((uint32_t)atoi(argv[1]), (uint32_t)atoi(argv[2]), (uint32_t)atoi(argv[3]),
			argc > 4 ? (uint32_t)atoi(argv[4]) : 1);
		return 0;
	}
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		run(sizes[i][0], sizes[i][1], sizes[i][2], sizes[i][3]);
	fill(100, 100, 8);
	quality(1000);
	quality(5000);
	return 0;
}
