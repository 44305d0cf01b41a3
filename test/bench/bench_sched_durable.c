// SPDX-License-Identifier: Apache-2.0
// What placements cost on their whole way: broker, workers, plans, applier, log, LMDB with its
// fdatasync, and the word that they are durable. Nodes are simulated. bench-sched-durable --help.
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/bench/bench_durable.h"
#include "test/bench/bench_probe.h"

#define SUBMITTED_A_TURN 64
#define SAMPLE_NS (20 * NS_PER_MS)
#define SMALL_EVERY_NS (10 * NS_PER_MS)
#define PROBES 5000  // a turn: most of a second, since disks have their moods
#define PROBES_APPENDED 100
#define ONE_BY_ONE 500
#define HEAD_JOB 100000
#define HEAD_MOST_NS (100 * NS_PER_SEC)

static double share(uint64_t part, uint64_t whole)
{
	return whole ? (double)part / (double)whole : 0;
}

static double us(uint64_t ns)
{
	return (double)ns / 1e3;
}

static double seconds(ns_t ns)
{
	return (double)ns / 1e9;
}

// ---- many containers ----

struct fill {
	const char *name;
	uint32_t nodes, jobs, count;
};

struct memory {
	size_t start, nodes, full, most;
	ns_t sampled;
};

static void sample(struct memory *m)
{
	size_t now;

	if (clock_now() < m->sampled + SAMPLE_NS)
		return;
	m->sampled = clock_now();
	now = durable_memory();
	m->most = now > m->most ? now : m->most;
}

static struct durable_use place_all(struct durable *d, const struct fill *f, struct memory *m)
{
	struct durable_use mark = durable_mark(d);
	uint64_t wanted = (uint64_t)f->jobs * f->count;
	uint32_t submitted = 0;

	while (d->placed < wanted) {
		for (uint32_t k = 0; k < SUBMITTED_A_TURN && submitted < f->jobs; k++)
			durable_add_job(
				d, &(struct durable_job){"job-", submitted++, f->count, NULL});
		durable_turn(d, submitted < f->jobs ? 0 : NS_NEVER);
		sample(m);
	}
	return durable_since(d, &mark);
}

static void tell_fill(const struct durable *d, const struct fill *f, const struct durable_use *use,
	const struct memory *m)
{
	printf(d->options.json
			? "{\"case\": \"%s\", \"nodes\": %u, \"jobs\": %u, \"count\": %u, "
			  "\"workers\": %u, \"placements_per_s\": %.0f, "
			  "\"cpu_us_per_placement\": %.3f, \"plans_per_job\": %.3f, "
			  "\"rejected_per_100\": %.4f, \"commits\": %llu, "
			  "\"commit_p50_us\": %.0f, \"commit_p99_us\": %.0f, "
			  "\"bytes_per_instance\": %.0f, \"bytes_per_instance_most\": %.0f, "
			  "\"bytes_per_node\": %.0f}\n"
			: "%s: %u nodes, %u jobs of %u, %u workers: %.0f placements/s, %.2f us of "
			  "CPU each; %.2f plans a job, %.3f node plans rejected for 100 "
			  "placements; %llu commits, p50 %.0f and p99 %.0f us; memory: %.0f bytes "
			  "an instance (%.0f at most), %.0f a node\n",
		f->name, f->nodes, f->jobs, f->count, d->options.workers,
		(double)use->placed / seconds(use->wall),
		us((uint64_t)use->cpu) / (double)use->placed, share(use->stats.plans, f->jobs),
		100 * share(use->stats.rejected_nodes, use->placed),
		(unsigned long long)use->commits, us(hist_quantile(&d->timed.commit, 0.5)),
		us(hist_quantile(&d->timed.commit, 0.99)), share(m->full - m->nodes, use->placed),
		share(m->most - m->nodes, use->placed), share(m->nodes - m->start, f->nodes));
}

static void fill(const struct durable_options *options, const struct fill *f)
{
	static struct durable d;
	struct memory m = {.start = durable_memory()};
	struct durable_use use;

	durable_start(&d, options);
	// Room for a quarter more than is asked for.
	durable_add_nodes(
		&d, f->nodes, (uint32_t)((uint64_t)f->jobs * f->count / f->nodes * 5 / 4 + 2));
	m.nodes = durable_memory();
	d.timed.commit = (struct hist){0};
	use = place_all(&d, f, &m);
	durable_rest(&d);
	m.full = durable_memory();
	m.most = m.full > m.most ? m.full : m.most;
	tell_fill(&d, f, &use, &m);
	durable_stop(&d);
}

// ---- single containers ----

// As many as come, back to back.
static double closed_loop(struct durable *d, uint32_t count, double *cpu_us)
{
	struct durable_use mark = durable_mark(d), use;
	uint64_t wanted = d->small.placed + count;
	uint32_t submitted = 0;

	while (d->small.placed < wanted) {
		for (uint32_t k = 0; k < SUBMITTED_A_TURN && submitted < count; k++, submitted++)
			durable_add_small(d, clock_now());
		durable_turn(d, submitted < count ? 0 : NS_NEVER);
	}
	use = durable_since(d, &mark);
	*cpu_us = us((uint64_t)use.cpu) / count;
	return count / seconds(use.wall);
}

// Arrivals that do not wait for anything, at random around a rate.
static void open_loop(struct durable *d, double rate, ns_t duration, uint64_t seed)
{
	ns_t due = clock_now(), end = due + duration;
	struct rng rng;

	rng_seed(&rng, seed);
	while (due < end || d->small.placed < d->small.count) {
		while (due < end && due <= clock_now()) {
			durable_add_small(d, due);
			due += (ns_t)(-log(rng_unit(&rng)) * 1e9 / rate);
		}
		durable_turn(d, due < end ? due : NS_NEVER);
	}
	seconds_end(&d->small.seconds);
}

// The file system alone; but one_by_one.
struct probes {
	struct hist overwrite, append, arrivals;
	struct seconds seconds;  // of arrivals
	struct hist one_by_one;
};

static void probe(const struct durable *d, struct probes *p, double rate, uint64_t seed)
{
	struct hist h = probe_syncs(d->dir, PROBES, false);

	hist_merge(&p->overwrite, &h);
	h = probe_syncs(d->dir, PROBES_APPENDED, true);
	hist_merge(&p->append, &h);
	h = probe_arrivals(d->dir, rate, NS_PER_SEC, seed);
	hist_merge(&p->arrivals, &h);
	p->seconds.now = h;
	seconds_end(&p->seconds);
}

// Jobs of one, each when the one before is durable: as fdatasync is called one after the other.
static void one_by_one(struct durable *d, struct hist *took)
{
	struct hist others = d->small.latency;

	d->small.latency = (struct hist){0};
	for (uint32_t k = 0; k < ONE_BY_ONE; k++) {
		durable_add_small(d, clock_now());
		while (d->small.placed < d->small.count)
			durable_turn(d, NS_NEVER);
	}
	hist_merge(took, &d->small.latency);
	d->small.latency = others;
	d->small.seconds.now = (struct hist){0};
}

// A second with arrivals and one of the file system alone take turns, since disks have their moods,
// too. Returns what the seconds with arrivals took.
static struct durable_use take_turns(
	struct durable *d, struct probes *p, double rate, uint32_t turns)
{
	struct durable_use sum = {0};

	d->small.latency = (struct hist){0};
	d->small.seconds = (struct seconds){0};
	for (uint32_t k = 0; k < turns; k++) {
		struct durable_use mark = durable_mark(d), use;

		open_loop(d, rate, NS_PER_SEC, k + 1);
		use = durable_since(d, &mark);
		sum.placed += use.placed;
		sum.wall += use.wall;
		sum.cpu += use.cpu;
		one_by_one(d, &p->one_by_one);
		durable_rest(d);
		probe(d, p, rate, k + 1);
	}
	return sum;
}

static void tell_open(
	const struct durable *d, double load, double rate, double cpu_us, const struct probes *p)
{
	const struct hist *h = &d->small.latency;
	double p99 = us(hist_quantile(h, 0.99)), over = us(hist_quantile(&p->overwrite, 0.99)),
	       append = us(hist_quantile(&p->append, 0.99)),
	       arrivals = us(hist_quantile(&p->arrivals, 0.99)),
	       alone = us(hist_quantile(&p->one_by_one, 0.99)),
	       second = us(seconds_p99(&d->small.seconds));

	printf(d->options.json
			? "{\"case\": \"single\", \"load\": %.2f, \"workers\": %u, "
			  "\"evaluations_per_s\": %.0f, \"cpu_us_per_placement\": %.2f, "
			  "\"p50_us\": %.0f, \"p99_us\": %.0f, \"p999_us\": %.0f, "
			  "\"max_us\": %.0f, \"fdatasync_p50_us\": %.0f, "
			  "\"fdatasync_p99_us\": %.0f, \"fdatasync_append_p99_us\": %.0f, "
			  "\"p99_by_fdatasync\": %.2f, \"arrivals_p50_us\": %.0f, "
			  "\"arrivals_p99_us\": %.0f, \"arrivals_p99_by_fdatasync\": %.2f, "
			  "\"p99_by_arrivals\": %.2f, \"second_p99_us\": %.0f, "
			  "\"arrivals_second_p99_us\": %.0f, "
			  "\"one_by_one_p50_us\": %.0f, \"one_by_one_p99_us\": %.0f, "
			  "\"one_by_one_p99_by_fdatasync\": %.2f, "
			  "\"commit_p50_us\": %.0f, "
			  "\"commit_p99_us\": %.0f}\n"
			: "single at %.2f, %u workers: %.0f evaluations/s, %.1f us of CPU each; "
			  "enqueue to durable p50 %.0f, p99 %.0f, p99.9 %.0f, max %.0f us; "
			  "fdatasync p50 %.0f, p99 %.0f us, of an append %.0f us: %.2f times; with "
			  "arrivals as ours p50 %.0f, p99 %.0f us, %.2f times that of fdatasync, and "
			  "ours %.2f times that; p99 of the middle second %.0f us, where fdatasync "
			  "alone has %.0f; one after the other p50 %.0f, p99 %.0f us: %.2f times; "
			  "a commit p50 %.0f, p99 %.0f us\n",
		load, d->options.workers, rate, cpu_us, us(hist_quantile(h, 0.5)), p99,
		us(hist_quantile(h, 0.999)), us(h->max), us(hist_quantile(&p->overwrite, 0.5)),
		over, append, p99 / over, us(hist_quantile(&p->arrivals, 0.5)), arrivals,
		arrivals / over, p99 / arrivals, second, us(seconds_p99(&p->seconds)),
		us(hist_quantile(&p->one_by_one, 0.5)), alone, alone / over,
		us(hist_quantile(&d->timed.commit, 0.5)),
		us(hist_quantile(&d->timed.commit, 0.99)));
}

static void single(
	const struct durable_options *options, uint32_t count, double rate, uint32_t turns)
{
	static struct durable d;
	static struct probes p;
	struct durable_use use;
	double cpu_us, most;

	durable_start(&d, options);
	durable_add_nodes(&d, 5000, 2 * (count + (uint32_t)rate * turns) / 5000 + 2);
	probe(&d, &p, rate, 0);
	most = closed_loop(&d, count, &cpu_us);
	tell_open(&d, 1, most, cpu_us, &p);
	durable_rest(&d);
	d.timed.commit = (struct hist){0};
	p = (struct probes){0};
	use = take_turns(&d, &p, rate, turns);
	tell_open(&d, 0.5, (double)use.placed / seconds(use.wall),
		us((uint64_t)use.cpu) / (double)use.placed, &p);
	durable_stop(&d);
}

// ---- nodes that fail at once ----

struct failure {
	uint32_t nodes, failing, jobs, count;
};

// The small jobs that were due by now; returns when the next one is.
static ns_t submit_smalls(struct durable *d, ns_t due)
{
	for (; due <= clock_now(); due += SMALL_EVERY_NS)
		durable_add_small(d, due);
	return due;
}

// As when their leases end: all in one turn of the main thread. Returns how many instances they
// had.
static uint64_t fail_now(struct durable *d, uint32_t failing, uint64_t *index)
{
	const struct sched_snapshot *s = &d->scheduler.core->state->head;
	uint64_t had = 0;

	pthread_mutex_lock(&d->scheduler.lock);
	for (uint32_t i = 0; i < s->tables[SCHED_TABLE_INSTANCES].high; i++) {
		const struct sched_instance *at = sched_instance_at(s, i);

		had += at && at->node < failing;
	}
	pthread_mutex_unlock(&d->scheduler.lock);
	for (uint32_t i = 0; i < failing; i++) {
		char name[32];

		snprintf(name, sizeof(name), "node-%u", i);
		scheduler_node_state(&d->scheduler, name, SCHED_NODE_DOWN, true, false);
	}
	pthread_mutex_lock(&d->scheduler.lock);
	*index = s->index;
	pthread_mutex_unlock(&d->scheduler.lock);
	return had;
}

static void tell_failure(const struct durable *d, const struct failure *f, ns_t evaluated,
	const struct durable_use *use)
{
	uint64_t had = d->lost;
	const struct hist *h = &d->small.latency;

	printf(d->options.json
			? "{\"case\": \"nodes-fail\", \"nodes\": %u, \"failing\": %u, \"jobs\": "
			  "%u, "
			  "\"lost\": %llu, \"workers\": %u, \"evaluations_durable_ms\": %.1f, "
			  "\"replaced_ms\": %.1f, \"placements_per_s\": %.0f, "
			  "\"cpu_us_per_placement\": %.2f, \"p50_us\": %.0f, \"pause_ms\": %.1f}\n"
			: "of %u nodes %u fail, %u jobs have %llu instances there, %u workers: all "
			  "evaluations durable after %.1f ms, all replaced after %.1f ms "
			  "(%.0f/s, %.2f us of CPU each); a small job meanwhile: p50 %.0f us, at "
			  "most %.1f ms\n",
		f->nodes, f->failing, f->jobs, (unsigned long long)had, d->options.workers,
		seconds(evaluated) * 1e3, seconds(use->wall) * 1e3,
		(double)had / seconds(use->wall), us((uint64_t)use->cpu) / (double)had,
		us(hist_quantile(h, 0.5)), (double)h->max / 1e6);
}

static void fail_nodes(const struct durable_options *options, const struct failure *f)
{
	static struct durable d;
	struct memory m = {.sampled = NS_NEVER / 2};
	const struct fill full = {"", f->nodes, f->jobs, f->count};
	ns_t due, start, evaluated = 0;
	struct durable_use mark, use;
	uint64_t had, index, placed;

	durable_start(&d, options);
	durable_add_nodes(&d, f->nodes, f->jobs * f->count / (f->nodes - f->failing) * 5 / 4 + 4);
	place_all(&d, &full, &m);
	durable_rest(&d);
	placed = d.placed;
	mark = durable_mark(&d);
	start = due = mark.wall;
	had = fail_now(&d, f->failing, &index);
	// More is lost than they had: what was put in its place on a node that failed next.
	while (!evaluated || d.lost < had || d.placed - placed < d.lost + d.small.placed ||
		durable_busy(&d)) {
		due = submit_smalls(&d, due);
		durable_turn(&d, due);
		if (!evaluated && d.scheduler.durable_index >= index)
			evaluated = clock_now() - start;
	}
	use = durable_since(&d, &mark);
	tell_failure(&d, f, evaluated, &use);
	durable_stop(&d);
}

// ---- head of line ----

// A job that cannot be placed and one with many instances come first; small ones behind them, from
// at once until the large one is there.
static void stand_behind(struct durable *d, uint32_t repeat)
{
	uint64_t wanted = d->placed - d->small.placed + HEAD_JOB;
	ns_t due = clock_now(), end = due + HEAD_MOST_NS;

	durable_add_job(d, &(struct durable_job){"nowhere-", repeat, 1000, "nowhere"});
	durable_add_job(d, &(struct durable_job){"large-", repeat, HEAD_JOB, NULL});
	while (d->placed - d->small.placed < wanted || d->small.placed < d->small.count) {
		if (d->placed - d->small.placed < wanted)
			due = submit_smalls(d, due);
		durable_turn(d, due > clock_now() ? due : clock_now() + NS_PER_MS);
		if (clock_now() > end)
			durable_must(-ETIMEDOUT, "head of line");
	}
	durable_rest(d);
}

static void head_of_line(const struct durable_options *options, uint32_t nodes, uint32_t repeats)
{
	static struct durable d;
	const struct hist *h = &d.small.latency;

	durable_start(&d, options);
	durable_add_nodes(&d, nodes, (repeats + 1) * (HEAD_JOB / nodes) + 8);
	for (uint32_t k = 0; k < repeats; k++)
		stand_behind(&d, k);
	printf(options->json
			? "{\"case\": \"headofline\", \"nodes\": %u, \"workers\": %u, \"smalls\": "
			  "%llu, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f}\n"
			: "behind a job that cannot be placed and one of 100,000 on %u nodes, %u "
			  "workers: %llu small ones durable after p50 %.2f, p99 %.2f, at most "
			  "%.2f ms\n",
		nodes, options->workers, (unsigned long long)h->count,
		(double)hist_quantile(h, 0.5) / 1e6, (double)hist_quantile(h, 0.99) / 1e6,
		(double)h->max / 1e6);
	durable_stop(&d);
}

// ---- the program ----

static int help(FILE *to)
{
	fputs("usage: bench-sched-durable [--json] [--state DIR] [--workers N] [--no-journal] WHAT\n"
	      "  fill NAME NODES JOBS COUNT         jobs of COUNT containers each\n"
	      "  single COUNT RATE SECONDS          jobs of one: as fast as it goes, then at "
	      "RATE/s,\n"
	      "                                     each second by turns with the file system "
	      "alone\n"
	      "  nodes-fail NODES FAIL JOBS COUNT   FAIL of the nodes fail at once\n"
	      "  headofline NODES REPEATS           small jobs behind a huge and an impossible "
	      "one\n"
	      "The store is in DIR/bench-sched (DIR: ./bench-sched-state), made, and removed at the "
	      "end.\n",
		to);
	return to == stdout ? 0 : 2;
}

static uint32_t number(char **argv, int at)
{
	unsigned long n = strtoul(argv[at], NULL, 10);

	if (n < 1 || n > UINT32_MAX)
		exit(help(stderr));
	return (uint32_t)n;
}

// Returns the place of WHAT, 0 after a complaint.
static int read_options(struct durable_options *o, int argc, char **argv)
{
	int at = 1;

	*o = (struct durable_options){.dir = "bench-sched-state", .workers = 2};
	for (; at < argc && argv[at][0] == '-'; at++) {
		if (strcmp(argv[at], "--json") == 0)
			o->json = true;
		else if (strcmp(argv[at], "--no-journal") == 0)
			o->no_journal = true;
		else if (strcmp(argv[at], "--state") == 0 && at + 1 < argc)
			o->dir = argv[++at];
		else if (strcmp(argv[at], "--workers") == 0 && at + 1 < argc)
			o->workers = number(argv, ++at);
		else
			return 0;
	}
	return o->workers >= 1 && o->workers <= SCHEDULER_WORKERS_MAX ? at : 0;
}

int main(int argc, char **argv)
{
	struct durable_options o;
	int at = argc > 1 && strcmp(argv[1], "--help") == 0 ? -1 : read_options(&o, argc, argv);
	int n = argc - at;

	if (at < 0)
		return help(stdout);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!at || !n)
		return help(stderr);
	if (strcmp(argv[at], "fill") == 0 && n == 5)
		fill(&o, &(struct fill){argv[at + 1], number(argv, at + 2), number(argv, at + 3),
				 number(argv, at + 4)});
	else if (strcmp(argv[at], "single") == 0 && n == 4)
		single(&o, number(argv, at + 1), number(argv, at + 2), number(argv, at + 3));
	else if (strcmp(argv[at], "nodes-fail") == 0 && n == 5)
		fail_nodes(&o, &(struct failure){number(argv, at + 1), number(argv, at + 2),
				       number(argv, at + 3), number(argv, at + 4)});
	else if (strcmp(argv[at], "headofline") == 0 && n == 3)
		head_of_line(&o, number(argv, at + 1), number(argv, at + 2));
	else
		return help(stderr);
	return 0;
}
