// SPDX-License-Identifier: Apache-2.0
// What a placement costs: jobs x count on nodes, through broker, worker, applier and encoder, in
// one thread; how often workers collide; how good the choice is. bench-sched --help.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/bench/bench_sched.h"

bool bench_json;

void bench_must(int rc, const char *what)
{
	if (rc) {
		fprintf(stderr, "%s: %s\n", what, strerror(-rc));
		exit(1);
	}
}

void bench_nodes(struct bench *b, uint32_t nodes, uint32_t slots)
{
	struct sched_res capacity = {slots * 100, slots * 64, UINT32_MAX, UINT32_MAX};

	for (uint32_t i = 0; i < nodes; i++) {
		char name[32], rack[16];
		struct sched_attribute attributes[] = {
			{"arch", "x86_64"}, {"rack", rack}, {"unique.host", name}};
		uint32_t slot;

		snprintf(name, sizeof(name), "node-%u", i);
		snprintf(rack, sizeof(rack), "r%u", i % 25);
		bench_must(sched_core_node_put(b->core, name, attributes, 3, &capacity, &slot),
			"node");
		bench_must(sched_core_node_state(b->core, slot, SCHED_NODE_READY, true, false, 0),
			"node state");
	}
}

void bench_job(struct bench *b, uint32_t k, uint32_t count)
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
	bench_must(sched_core_job_put(b->core, &spec, 1, &slot), "job");
}

uint32_t bench_round(struct bench *b)
{
	struct sched_ticket tickets[BENCH_WORKERS_MAX];
	uint64_t tokens[BENCH_WORKERS_MAX];
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
			bench_must(sched_worker_plan(b->workers[w],
					   sched_snapshot_pin(b->readers[w], b->core->state), 1,
					   &plan),
				"plan");
			sched_reader_unpin(b->readers[w]);
			plan->user = b->workers[w];
			bench_must(sched_core_submit(b->core, plan, 1), "submit");
			b->plans++;
		}
		sched_core_apply(b->core, 64, 1);
		while (sched_core_result(b->core))
			;
		for (uint32_t w = 0; w < busy; w++)
			if (open >> w & 1 && sched_worker_result(b->workers[w]) == 0)
				open &= ~(1u << w);
	}
	if (b->core->state->log.out.len > 1 << 20) {
		sched_log_take(b->core, &b->spare);
		b->log_bytes += b->spare.len;
	}
	return busy;
}

struct bench bench_start(uint32_t workers, enum sched_algorithm algorithm)
{
	const struct sched_worker_config config = {.algorithm = algorithm};
	struct bench b = {.core = sched_core_new(NULL, 1), .worker_count = workers};

	bench_must(sched_core_start(b.core, 0), "start");
	for (uint32_t w = 0; w < workers; w++) {
		b.workers[w] = sched_worker_new(&config, 100 + w);
		b.readers[w] = sched_reader_new(&b.core->state->pages);
	}
	return b;
}

void bench_end(struct bench *b)
{
	for (uint32_t w = 0; w < b->worker_count; w++) {
		sched_worker_destroy(b->workers[w]);
		sched_reader_destroy(b->readers[w]);
	}
	sched_core_destroy(b->core);
	sched_bytes_fini(&b->spare);
}

void bench_work_off(struct bench *b)
{
	while (bench_round(b))
		sched_core_tick(b->core, 1);
	sched_log_take(b->core, &b->spare);
	b->log_bytes += b->spare.len;
}

ns_t bench_cpu(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (ns_t)ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

static void run(uint32_t jobs, uint32_t count, uint32_t nodes, uint32_t workers)
{
	struct bench b = bench_start(workers, SCHED_LEAST_LOADED);
	struct sched_applier_stats stats;
	size_t empty, bytes;
	ns_t start, submitted, done, cpu;

	// Room for a quarter more than is asked for.
	bench_nodes(&b, nodes, (uint32_t)((uint64_t)jobs * count / nodes * 5 / 4 + 2));
	empty = sched_state_bytes(b.core->state);
	start = clock_now();
	for (uint32_t k = 0; k < jobs; k++)
		bench_job(&b, k, count);
	submitted = clock_now();
	cpu = bench_cpu();
	bench_work_off(&b);
	done = clock_now();
	cpu = bench_cpu() - cpu;
	bytes = sched_state_bytes(b.core->state);
	stats = sched_applier_stats(b.core->applier);
	printf(bench_json ? "{\"case\": \"rate\", \"jobs\": %u, \"count\": %u, \"nodes\": %u, "
			    "\"workers\": %u, "
			    "\"placements_per_s\": %.0f, \"cpu_us_per_placement\": %.3f, "
			    "\"plans_per_job\": %.3f, \"log_bytes_per_placement\": %.1f, "
			    "\"bytes_per_instance\": %.0f, \"bytes_per_node\": %.0f, "
			    "\"submit_us_per_job\": %.2f}\n"
			  : "%6u jobs x %-6u on %5u nodes, %2u workers: %9.0f placements/s, %5.2f "
			    "us of CPU each, "
			    "%.2f plans a job, %.1f log bytes and %.0f bytes of memory each, %.0f "
			    "a node; "
			    "submitting %.2f us a job\n",
		jobs, count, nodes, workers,
		(double)stats.placed * 1e9 / (double)(done - submitted),
		(double)cpu / 1e3 / (double)stats.placed, (double)b.plans / jobs,
		(double)b.log_bytes / (double)stats.placed,
		(double)(bytes - empty) / (double)stats.placed, (double)empty / nodes,
		(double)(submitted - start) / 1e3 / jobs);
	if (stats.placed != (uint64_t)jobs * count)
		bench_must(-EIO, "not all were placed");
	bench_end(&b);
}

// Filled to the last slot by 40 jobs: how often do workers collide?
static void fill(uint32_t nodes, uint32_t slots, uint32_t workers)
{
	struct bench b = bench_start(workers, SCHED_LEAST_LOADED);
	struct sched_applier_stats stats;

	bench_nodes(&b, nodes, slots);
	for (uint32_t k = 0; k < 40; k++)
		bench_job(&b, k, nodes * slots / 40);
	bench_work_off(&b);
	stats = sched_applier_stats(b.core->applier);
	printf(bench_json
			? "{\"case\": \"fill\", \"slots\": %u, \"workers\": %u, \"placed\": %llu, "
			  "\"plans_per_job\": %.3f, \"rejected_per_100\": %.3f}\n"
			: "filled to the last of %u slots by 40 jobs, %u workers: %llu placed, "
			  "%.2f "
			  "plans a job, %.2f node plans rejected for 100 placements\n",
		nodes * slots, workers, (unsigned long long)stats.placed, (double)b.plans / 40,
		100.0 * (double)stats.rejected_nodes / (double)stats.placed);
	bench_end(&b);
}

// The best score that any of the nodes would give.
static double best_of_all(
	const struct sched_snapshot *s, enum sched_algorithm algorithm, const struct sched_res *ask)
{
	double best = 0;

	for (uint32_t i = 0; i < s->tables[SCHED_TABLE_NODES].high; i++) {
		const struct sched_node *n = sched_node_at(s, i);
		double score = sched_score(algorithm, &n->capacity, &n->used, ask);

		if (n->used.cpu_milli + ask->cpu_milli <= n->capacity.cpu_milli && score > best)
			best = score;
	}
	return best;
}

// Each job has a size of its own and half the nodes are closed to some, so that loads differ.
static void load_unevenly(struct bench *b, uint32_t nodes)
{
	struct rng rng;

	rng_seed(&rng, 5);
	bench_nodes(b, nodes, 100);
	for (uint32_t k = 0; k < nodes / 4; k++)
		bench_job(b, k, 1 + rng_below(&rng, 300));
	bench_work_off(b);
	for (uint32_t k = 0; k < nodes; k++)
		if (rng_below(&rng, 2))
			bench_must(sched_core_node_state(
					   b->core, k, SCHED_NODE_READY, false, false, 1),
				"state");
	for (uint32_t k = 0; k < nodes / 8; k++)
		bench_job(b, 100000 + k, 1 + rng_below(&rng, 100));
	bench_work_off(b);
	for (uint32_t k = 0; k < nodes; k++)
		bench_must(sched_core_node_state(b->core, k, SCHED_NODE_READY, true, false, 1),
			"state");
}

// Single placements on unevenly loaded nodes: the score of the node chosen against the best of all.
static void quality(uint32_t nodes, enum sched_algorithm algorithm)
{
	struct bench b = bench_start(1, algorithm);
	const struct sched_snapshot *s = &b.core->state->head;
	const struct sched_res ask = {100, 64, 0, 1};
	const char *name = algorithm == SCHED_BIN_PACK ? "bin-pack" : "least-loaded";
	double ratio = 0, worst = 1;
	uint32_t singles = 2000;

	load_unevenly(&b, nodes);
	for (uint32_t k = 0; k < singles; k++) {
		double best = best_of_all(s, algorithm, &ask), got;
		uint32_t slot;
		char job[32];

		bench_job(&b, 200000 + k, 1);
		bench_round(&b);
		snprintf(job, sizeof(job), "job-%u", 200000 + k);
		slot = sched_job_at(s, sched_job_find(b.core->state, "default", job))
			       ->first_instance;
		got = sched_instance_at(s, slot)->why.score / best;
		got = got > 1 ? 1 : got;
		ratio += got / singles;
		worst = got < worst ? got : worst;
	}
	printf(bench_json ? "{\"case\": \"score\", \"nodes\": %u, \"algorithm\": \"%s\", "
			    "\"mean_share_of_best\": %.5f, \"least_share_of_best\": %.5f}\n"
			  : "score of the node chosen against the best of %u, %s: %.4f on average, "
			    "%.4f at worst\n",
		nodes, name, ratio, worst);
	bench_end(&b);
}

// ---- the program ----

static void rates(void)
{
	static const uint32_t sizes[][4] = {{1000, 100, 1000, 1}, {1000, 100, 1000, 8},
		{20000, 1, 1000, 1}, {20000, 1, 5000, 2}, {1, 100000, 1000, 1},
		{1000, 1000, 5000, 1}, {1000, 1000, 5000, 8}};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		run(sizes[i][0], sizes[i][1], sizes[i][2], sizes[i][3]);
}

static void scores(void)
{
	quality(1000, SCHED_LEAST_LOADED);
	quality(5000, SCHED_LEAST_LOADED);
	quality(1000, SCHED_BIN_PACK);
	quality(5000, SCHED_BIN_PACK);
}

static int help(void)
{
	puts("usage: bench-sched [--json] [WHAT]\n"
	     "  grid [quick | NODES RACKS COUNT]    one evaluation, planned and not submitted\n"
	     "  rate [JOBS COUNT NODES [WORKERS]]   placements/s, memory, log\n"
	     "  fill                                a cluster filled to the last slot\n"
	     "  score                               of the node chosen against the best of all\n"
	     "  conflicts [quick | WORKERS COUNT [AGE_US]]\n"
	     "                                      how often workers collide, in simulated time\n"
	     "Without WHAT: rate, fill, score. Numbers are at least 1, WORKERS at most 16.");
	return 2;
}

static uint32_t number(const char *text, uint32_t most)
{
	unsigned long n = strtoul(text, NULL, 10);

	if (n < 1 || n > most)
		exit(help());
	return (uint32_t)n;
}

static void rate(int argc, char **argv)
{
	uint32_t workers = argc > 5 ? number(argv[5], BENCH_WORKERS_MAX) : 1;

	run(number(argv[2], UINT32_MAX), number(argv[3], UINT32_MAX), number(argv[4], UINT32_MAX),
		workers);
}

int main(int argc, char **argv)
{
	const char *what;

	if (argc > 1 && strcmp(argv[1], "--json") == 0) {
		bench_json = true;
		argc--;
		argv++;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	what = argc > 1 ? argv[1] : "all";
	if (strcmp(what, "grid") == 0 && argc == 5)
		bench_grid(number(argv[2], UINT32_MAX), number(argv[3], UINT32_MAX),
			number(argv[4], UINT32_MAX));
	else if (strcmp(what, "grid") == 0)
		bench_grid_all(argc > 2);
	else if (strcmp(what, "rate") == 0 && argc >= 5)
		rate(argc, argv);
	else if (strcmp(what, "rate") == 0)
		rates();
	else if (strcmp(what, "fill") == 0)
		fill(100, 100, 8);
	else if (strcmp(what, "conflicts") == 0 && argc >= 4)
		bench_conflicts_of(number(argv[2], BENCH_WORKERS_MAX), number(argv[3], 1000),
			argc > 4 ? number(argv[4], 1000000) : 0);
	else if (strcmp(what, "conflicts") == 0)
		bench_conflicts(argc > 2);
	else if (strcmp(what, "score") == 0)
		scores();
	else if (strcmp(what, "all") != 0)
		return help();
	else {
		rates();
		fill(100, 100, 8);
		scores();
	}
	return 0;
}
