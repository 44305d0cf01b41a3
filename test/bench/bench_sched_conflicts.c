// SPDX-License-Identifier: Apache-2.0
// How often workers collide: the real scheduler in simulated time. Workers plan side by side and
// one applier commits; each planning and each commit takes as long as it took when it was really
// done, one after the other, in this thread. So any number of workers can be tried on any machine.
//
//   worker   idle ─▶ plans on a view that is `age` old ─▶ submitted ─▶ result: done, or plans again
//   applier  takes one plan after the other; what it commits is seen when it is done
//
// The age is what a view lags behind, as if commits became visible that much later. A worker whose
// evaluation needs a newer view waits for it. What is given up (five plans without progress) would
// be tried again a minute later.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "test/bench/bench_sched.h"

#define NODES 2000u
#define SLOTS 100u      // of a node
#define MEASURED 20000u // placements of a cell
#define FILLER 500000u  // numbers of the jobs that fill
#define VIEWS 16u       // views that are kept; an age is spanned by half of them
#define VIEWS_OF_AGE 8

enum fill { ROOMY, FULL, FILLS };
static const char *const fill_names[FILLS] = {"half-full", "nearly-full"};
static const uint32_t filled_percent[FILLS] = {50, 89};
static const char *const algorithm_names[] = {"least-loaded", "bin-pack"};

struct cell {
	enum sched_algorithm algorithm;
	enum fill fill;
	uint32_t workers, count;
	ns_t age;
};

struct view {
	struct sched_reader *reader;
	const struct sched_snapshot *s;
	ns_t taken_at;
};

struct planner {
	enum { IDLE, WAITS, PLANS, SUBMITTED } at;
	ns_t until; // it plans
	struct sched_ticket ticket;
	uint64_t token;
	struct sched_plan *plan;
};

struct conflicts {
	struct bench b;
	const struct cell *cell;
	ns_t now, ended;
	struct planner planners[BENCH_WORKERS_MAX];
	struct view views[VIEWS]; // of an age 0 the first alone
	uint32_t next_view;
	ns_t view_at;    // the next one is taken then
	ns_t applied_at; // what the applier is at is done then; NS_NEVER: it has nothing
	uint64_t plans, again, waits, planning_ns, applying_ns;
};

// ---- views ----

static void take_view(struct conflicts *c, struct view *v)
{
	sched_reader_unpin(v->reader);
	v->s = sched_snapshot_pin(v->reader, c->b.core->state);
	v->taken_at = c->now;
}

// The newest that is old enough.
static const struct sched_snapshot *view(const struct conflicts *c)
{
	const struct view *best = NULL;

	if (!c->cell->age)
		return c->views[0].s;
	for (uint32_t k = 0; k < VIEWS; k++) {
		const struct view *v = &c->views[k];

		if (v->s && v->taken_at <= c->now - c->cell->age &&
			(!best || v->taken_at > best->taken_at))
			best = v;
	}
	return best ? best->s : NULL;
}

static void next_view(struct conflicts *c)
{
	take_view(c, &c->views[c->next_view++ % VIEWS]);
	c->view_at = c->now + c->cell->age / VIEWS_OF_AGE;
}

// ---- workers ----

static void plan(struct conflicts *c, uint32_t w)
{
	struct planner *p = &c->planners[w];
	const struct sched_snapshot *s = view(c);
	ns_t start = bench_cpu();
	int rc = s ? sched_worker_plan(c->b.workers[w], s, c->now, &p->plan) : -EAGAIN;
	ns_t took = bench_cpu() - start;

	c->waits += rc == -EAGAIN && p->at != WAITS;
	p->at = WAITS;
	if (rc == -EAGAIN)
		return;
	p->at = IDLE;
	if (rc == -ENOENT) {
		sched_core_drop(c->b.core, &p->ticket, p->token, c->now);
		return;
	}
	bench_must(rc, "plan");
	p->plan->user = p;
	p->at = PLANS;
	p->until = c->now + took;
	c->plans++;
	c->planning_ns += (uint64_t)took;
}

// Whatever a worker can do now. Returns whether it did something.
static bool step(struct conflicts *c, uint32_t w)
{
	struct planner *p = &c->planners[w];

	if (p->at == IDLE &&
		sched_core_dequeue(c->b.core, SCHED_MASK_ALL, c->now, &p->ticket, &p->token) == 0) {
		sched_worker_begin(c->b.workers[w], &p->ticket, p->token);
		plan(c, w);
		return true;
	}
	if (p->at == PLANS && p->until <= c->now) {
		p->at = sched_core_submit(c->b.core, p->plan, c->now) ? IDLE : SUBMITTED;
		return true;
	}
	if (p->at == WAITS)
		plan(c, w);
	return p->at == PLANS && p->until <= c->now;
}

// ---- the applier ----

static void results(struct conflicts *c)
{
	struct sched_plan *done;

	while ((done = sched_core_result(c->b.core))) {
		struct planner *p = done->user;
		uint32_t w = (uint32_t)(p - c->planners);
		int rc = sched_worker_result(c->b.workers[w]);

		p->at = IDLE;
		if (rc == -EAGAIN) {
			c->again++;
			plan(c, w);
		} else if (rc) {
			sched_core_nack(c->b.core, &p->ticket, p->token, c->now);
		}
	}
}

// What was begun is done, and the next one begins.
static void run_applier(struct conflicts *c)
{
	ns_t start;

	if (c->applied_at != NS_NEVER && c->applied_at <= c->now) {
		c->applied_at = NS_NEVER;
		if (!c->cell->age)
			take_view(c, &c->views[0]);
		results(c);
		sched_core_tick(c->b.core, c->now);
		sched_log_take(c->b.core, &c->b.spare);
	}
	if (c->applied_at != NS_NEVER || !c->b.core->queue.count)
		return;
	start = bench_cpu();
	sched_core_apply(c->b.core, 1, c->now);
	start = bench_cpu() - start;
	c->applying_ns += (uint64_t)start;
	c->applied_at = c->now + start;
}

// ---- time ----

// The next moment at which something is done; NS_NEVER: all is.
static ns_t next_event(const struct conflicts *c)
{
	ns_t next = c->applied_at;
	bool busy = next != NS_NEVER;

	for (uint32_t w = 0; w < c->cell->workers; w++) {
		const struct planner *p = &c->planners[w];

		busy |= p->at != IDLE;
		if (p->at == PLANS && p->until < next)
			next = p->until;
	}
	if (!busy && !sched_broker_has(c->b.core->broker, SCHED_MASK_ALL))
		return NS_NEVER;
	return c->cell->age && c->view_at < next ? c->view_at : next;
}

static void run(struct conflicts *c)
{
	do {
		bool more = true;

		if (c->cell->age && c->view_at <= c->now)
			next_view(c);
		while (more) {
			more = false;
			run_applier(c);
			for (uint32_t w = 0; w < c->cell->workers; w++)
				more |= step(c, w);
		}
		c->ended = c->now;
		c->now = next_event(c);
	} while (c->now != NS_NEVER);
}

// ---- a cell ----

static void fill(struct bench *b, enum fill to)
{
	uint32_t jobs = 200, total = NODES * SLOTS / 100 * filled_percent[to];

	bench_nodes(b, NODES, SLOTS);
	for (uint32_t k = 0; k < jobs; k++)
		bench_job(b, FILLER + k, total / jobs);
	bench_work_off(b);
}

static void tell(const struct conflicts *c, const struct sched_applier_stats *before, ns_t took)
{
	struct sched_applier_stats now = sched_applier_stats(c->b.core->applier);
	uint64_t placed = now.placed - before->placed;
	uint32_t jobs = MEASURED / c->cell->count;

	printf(bench_json ? "{\"case\": \"conflicts\", \"algorithm\": \"%s\", \"fill\": \"%s\", "
			    "\"workers\": %u, \"count\": %u, \"age_us\": %.0f, \"placed\": %llu, "
			    "\"given_up\": %llu, "
			    "\"plans_per_job\": %.4f, \"rejected_per_100\": %.4f, "
			    "\"retries_per_job\": %.4f, \"waits_per_job\": %.4f, "
			    "\"placements_per_s\": %.0f, \"plan_us\": %.3f, \"apply_us\": %.3f}\n"
			  : "%-12s %-11s %2u workers, %4u a job, views %6.0f us old: %llu placed, "
			    "%llu given up, "
			    "%.3f plans a job, %.3f node plans rejected for 100 placements, "
			    "%.3f retries and %.3f waits for a view a job, %.0f placements/s, "
			    "%.1f us a plan, %.1f us to apply it\n",
		algorithm_names[c->cell->algorithm], fill_names[c->cell->fill], c->cell->workers,
		c->cell->count, (double)c->cell->age / 1e3, (unsigned long long)placed,
		(unsigned long long)jobs * c->cell->count - placed, (double)c->plans / jobs,
		100.0 * (double)(now.rejected_nodes - before->rejected_nodes) / (double)placed,
		(double)c->again / jobs, (double)c->waits / jobs,
		(double)placed * 1e9 / (double)took,
		(double)c->planning_ns / 1e3 / (double)c->plans,
		(double)c->applying_ns / 1e3 / (double)c->plans);
}

static void measure(const struct cell *cell)
{
	struct conflicts c = {.b = bench_start(cell->workers, cell->algorithm),
		.cell = cell,
		.now = NS_PER_SEC,
		.applied_at = NS_NEVER};
	struct sched_applier_stats before;

	fill(&c.b, cell->fill);
	before = sched_applier_stats(c.b.core->applier);
	for (uint32_t k = 0; k < MEASURED / cell->count; k++)
		bench_job(&c.b, k, cell->count);
	for (uint32_t k = 0; k < (cell->age ? VIEWS : 1); k++)
		c.views[k].reader = sched_reader_new(&c.b.core->state->pages);
	take_view(&c, &c.views[c.next_view++]);
	c.now += cell->age;
	c.view_at = c.now;
	run(&c);
	tell(&c, &before, c.ended - NS_PER_SEC - cell->age);
	for (uint32_t k = 0; k < VIEWS; k++)
		if (c.views[k].reader)
			sched_reader_destroy(c.views[k].reader);
	bench_end(&c.b);
}

void bench_conflicts(bool quick)
{
	static const uint32_t workers[] = {1, 4, 16, 2, 8}, counts[] = {1, 100, 10, 1000};
	static const ns_t ages[] = {0, 10 * NS_PER_MS, NS_PER_MS};
	struct cell cell;

	for (int a = 0; a < 2; a++)
		for (int f = 0; f < FILLS; f++)
			for (int w = 0; w < (quick ? 3 : 5); w++)
				for (int n = 0; n < (quick ? 2 : 4); n++)
					for (int g = 0; g < (quick ? 2 : 3); g++) {
						cell = (struct cell){
							a, f, workers[w], counts[n], ages[g]};
						measure(&cell);
					}
}

void bench_conflicts_of(uint32_t workers, uint32_t count, uint32_t age_us)
{
	for (int a = 0; a < 2; a++)
		for (int f = 0; f < FILLS; f++)
			measure(&(struct cell){a, f, workers, count, (ns_t)age_us * NS_PER_US});
}
