// SPDX-License-Identifier: Apache-2.0
// The scheduler in simulated time, from a seed: jobs, nodes, failures, several workers interleaved,
// hosts that obey late, crashes with a replay of the log at any point. After every step invariants
// are checked; at rest counts are.
//
// sim-sched SEED STEPS [RUNS]; prints one line a run with a hash of all that happened. The same
// seed gives the same hash.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sched/block.h"
#include "test/sim/sim_sched.h"

void fail(const struct sim *s, const char *what)
{
	fprintf(stderr, "step %u: %s\n", s->step, what);
	exit(1);
}

static void must(const struct sim *s, int rc, const char *what)
{
	if (rc) {
		fprintf(stderr, "step %u: %s: %s\n", s->step, what, strerror(-rc));
		exit(1);
	}
}
static uint32_t below(struct sim *s, uint32_t n)
{
	return rng_below(&s->rng, n);
}

// ---- events ----

static void put_node(struct sim *s)
{
	char name[16], rack[8];
	struct sched_attribute attributes[] = {{"rack", rack}};
	struct sched_res capacity = {
		1000 + 500 * below(s, 4), 1000 + 500 * below(s, 4), UINT32_MAX, UINT32_MAX};
	uint32_t slot;

	snprintf(name, sizeof(name), "n%u", below(s, NODES_MAX));
	snprintf(rack, sizeof(rack), "r%u", below(s, 3));
	// A node keeps its size, or what runs there might not fit any more.
	if (sched_node_find(s->core->state, name) != SCHED_NONE)
		return;
	must(s, sched_core_node_put(s->core, name, attributes, 1, &capacity, &slot), "node put");
	must(s, sched_core_node_state(s->core, slot, SCHED_NODE_READY, true, false, s->now),
		"node state");
}

static const char *const images[IMAGES] = {"a@1", "b@1", "b@2", "c@1", "d@7"};

static uint32_t some_node(struct sim *s)
{
	uint32_t high = head(s)->tables[SCHED_TABLE_NODES].high, slot;

	if (!high)
		return SCHED_NONE;
	slot = below(s, high);
	return sched_node_at(head(s), slot) ? slot : SCHED_NONE;
}

static void change_node(struct sim *s)
{
	uint32_t slot = some_node(s), what = below(s, 10);
	uint8_t status = what < 3    ? SCHED_NODE_DOWN
			 : what == 3 ? SCHED_NODE_DISCONNECTED
				     : SCHED_NODE_READY;

	if (slot == SCHED_NONE)
		return;
	if (sched_node_at(head(s), slot)->draining && below(s, 3) == 0)
		must(s, sched_core_node_drain_now(s->core, slot, s->now), "drain now");
	else if (below(s, 40) == 0)
		must(s, sched_core_node_del(s->core, slot, s->now), "node del");
	else
		must(s,
			sched_core_node_state(
				s->core, slot, status, below(s, 10) != 0, below(s, 8) == 0, s->now),
			"node state");
}

static void tell_images(struct sim *s)
{
	uint32_t slot = some_node(s), n = 0;
	const char *has[IMAGES];

	if (slot == SCHED_NONE)
		return;
	for (uint32_t i = 0; i < IMAGES; i++)
		if (below(s, 2))
			has[n++] = images[i];
	must(s, sched_core_node_images(s->core, slot, has, n), "images");
}

static void put_job(struct sim *s)
{
	uint32_t number = below(s, JOBS_MAX), slot;
	char name[16];
	struct sched_constraint c = {"rack", "r1", SCHED_OP_NE};
	struct sched_constraint few = {"unique.node.name", FEW_TEXT, SCHED_OP_DISTINCT_PROPERTY};
	struct sched_spread spread = {.attribute = "rack", .weight = 70, .group = SCHED_ALL_GROUPS};
	struct sched_affinity likes = {"rack", "r2", SCHED_OP_EQ, 80, 0};
	char port_name[16], peers[2][16];
	const char *const near[] = {peers[0], peers[1]};
	struct sched_claim port = {port_name, 1, 0};
	struct sched_group groups[2] = {{.name = "a",
						.count = below(s, 20),
						.ask = {100, 100, 0, 1},
						.max_parallel = 1 + below(s, 3),
						.restart_hash = below(s, 3)},
		{.name = "b",
			.count = below(s, 5),
			.ask = {50 + 50 * below(s, 3), 150, 0, 1},
			.max_parallel = 2,
			.restart_hash = below(s, 3),
			.constraints = &c,
			.constraint_count = number & 1}};
	struct sched_spec spec = {.namespace = "default",
		.name = name,
		.type = (uint8_t)(number % 11 == 6   ? SCHED_TYPE_SYSTEM
				  : number % 11 == 9 ? SCHED_TYPE_SYSBATCH
				  : number % 11 == 2 ? SCHED_TYPE_BATCH
						     : SCHED_TYPE_SERVICE),
		.priority = (uint8_t)(10 * below(s, 10)),
		.groups = groups,
		.group_count = 1 + (number % 3 == 0),
		.constraints = &few,
		.constraint_count = has_few(number),
		.spreads = &spread,
		.spread_count = number % 4 == 1,
		.affinities = &likes,
		.affinity_count = number % 6 == 2,
		.claims = &port,
		.claim_count = has_port(number),
		.all_at_once = number == 7};

	if (has_port(number))
		groups[0].count %= 8;
	snprintf(port_name, sizeof(port_name), "port.%u", number);
	groups[0].distinct_hosts = number % 5 == 0;
	groups[0].lost_after_ns = number % 8 == 5 ? 30 * NS_PER_SEC : 0;
	// Some are near others, which may not be there, and may be near them.
	snprintf(peers[0], sizeof(peers[0]), "default/j%u", (number + 1) % JOBS_MAX);
	snprintf(peers[1], sizeof(peers[1]), "default/j%u", (number * 7) % JOBS_MAX);
	groups[number % 3 == 0].near = near;
	groups[number % 3 == 0].near_count = number % 4 < 2 ? 2 : 0;
	groups[0].image = number % 2 ? images[number % IMAGES] : NULL;
	deploy_describe(s, number, groups);
	snprintf(name, sizeof(name), "j%u", number);
	must(s, sched_core_job_put(s->core, &spec, s->now, &slot), "job put");
}

static void stop_job(struct sim *s)
{
	uint32_t high = head(s)->tables[SCHED_TABLE_JOBS].high, slot = high ? below(s, high) : 0;

	if (sched_job_at(head(s), slot))
		must(s, sched_core_job_stop(s->core, slot, below(s, 2) == 0, s->now), "job stop");
}

// A quota a bit above what is used, or none.
static void change_quota(struct sim *s)
{
	uint32_t slot = sched_quota_find(s->core->state, "default");
	struct sched_res limit = {below(s, 6000), UINT32_MAX, UINT32_MAX, UINT32_MAX};

	if (slot != SCHED_NONE && below(s, 2) == 0) {
		must(s, sched_core_quota_del(s->core, "default", s->now), "quota del");
		return;
	}
	if (slot != SCHED_NONE)
		limit.cpu_milli += sched_quota_at(head(s), slot)->used.cpu_milli;
	else
		limit.cpu_milli += 100000;
	must(s, sched_core_quota_put(s->core, "default", &limit, s->now), "quota put");
}

// Some hosts do some of what they are told, or something breaks.
static void run_hosts(struct sim *s, uint32_t share, bool obey)
{
	struct sched_report reports[64];
	uint32_t n = 0;

	for (uint32_t k = 0; k < head(s)->tables[SCHED_TABLE_INSTANCES].high && n < 64; k++) {
		const struct sched_instance *i = sched_instance_at(head(s), k);

		if (!i || sched_terminal(i->status) || below(s, share) ||
			sched_node_at(head(s), i->node)->status != SCHED_NODE_READY)
			continue;
		if (i->desired != SCHED_RUN)
			reports[n++] = (struct sched_report){.id = i->id, .status = SCHED_COMPLETE};
		else if (sched_job_at(head(s), i->job)->type == SCHED_TYPE_BATCH &&
			 sched_ready(i) && (obey || below(s, 3) == 0))
			reports[n++] = (struct sched_report){.id = i->id, .status = SCHED_COMPLETE};
		else if (!obey && sched_job_at(head(s), i->job)->type == SCHED_TYPE_SYSBATCH &&
			 sched_ready(i) && below(s, 5) == 0)
			reports[n++] = (struct sched_report){.id = i->id, .status = SCHED_COMPLETE};
		else if (!obey && below(s, 60) == 0)
			reports[n++] = (struct sched_report){.id = i->id, .status = SCHED_FAILED};
		else if (!sched_ready(i))
			reports[n++] = (struct sched_report){
				.id = i->id, .status = SCHED_RUNNING, .ready = true};
	}
	must(s, sched_core_report(s->core, reports, n, s->now), "report");
}

// ---- workers, one step each ----

static void step_worker(struct sim *s, struct worker *w)
{
	int rc;

	switch (w->at) {
	case IDLE:
		// A worker may still have an old view of the state when it takes work.
		if (!w->snapshot)
			w->snapshot = sched_snapshot_pin(w->reader, s->core->state);
		if (sched_core_dequeue(s->core, SCHED_MASK_ALL, s->now, &w->ticket, &w->token))
			return;
		sched_worker_begin(w->w, &w->ticket, w->token);
		s->evals++;
		w->at = TOOK;
		// Now and then a worker hangs, or is lost.
		if (below(s, 100) == 0) {
			sched_core_nack(s->core, &w->ticket, w->token, s->now);
			s->nacks++;
			w->at = IDLE;
		}
		return;
	case TOOK:
		if (!w->snapshot)
			w->snapshot = sched_snapshot_pin(w->reader, s->core->state);
		rc = sched_worker_plan(w->w, w->snapshot, s->now, &w->plan);
		sched_reader_unpin(w->reader);
		w->snapshot = NULL;
		if (rc == -EAGAIN) {
			s->stale++;
			return;
		}
		if (rc == -ENOENT) {
			sched_core_drop(s->core, &w->ticket, w->token, s->now);
			w->at = IDLE;
			return;
		}
		must(s, rc, "plan");
		if (s->probing)
			check_nothing_left(s, w->plan);
		w->plan->user = w;
		w->at = PLANNED;
		return;
	case PLANNED:
		rc = sched_core_submit(s->core, w->plan, s->now);
		w->at = rc ? IDLE : SUBMITTED;
		return;
	case SUBMITTED:
		return;
	case ANSWERED:
		rc = sched_worker_result(w->w);
		s->conflicts += w->plan->rejected_nodes;
		s->placed += w->plan->placed;
		for (uint32_t k = 0; k < w->plan->stop_count; k++)
			s->evicted += w->plan->stops[k].desired == SCHED_EVICT;
		w->at = rc == -EAGAIN ? TOOK : IDLE;
		if (rc && rc != -EAGAIN && rc != -ESTALE)
			fail(s, "a plan's result");
		return;
	}
}

static void apply(struct sim *s)
{
	struct sched_plan *plan;

	sched_core_apply(s->core, 1 + below(s, 4), s->now);
	while ((plan = sched_core_result(s->core)))
		((struct worker *)plan->user)->at = ANSWERED;
}

// Somebody takes back what he has just put, before any host has said anything; perhaps with other
// counts.
static void there_and_back(struct sim *s)
{
	uint32_t high = head(s)->tables[SCHED_TABLE_JOBS].high, slot = high ? below(s, high) : 0;
	const struct sched_job *j = sched_job_at(head(s), slot);
	struct sched_spec *first, *other;

	if (!j || j->parent != SCHED_NONE || sched_job_spec(j)->launch)
		return;
	first = sched_spec_copy(sched_job_spec(j));
	other = sched_spec_copy(first);
	for (uint32_t g = 0; g < other->group_count; g++) {
		((struct sched_group *)(uintptr_t)other->groups)[g].restart_hash += below(s, 2);
		if (below(s, 4) == 0)
			((struct sched_group *)(uintptr_t)first->groups)[g].count = below(s, 8);
	}
	must(s, sched_core_job_put(s->core, other, s->now, &slot), "job put");
	for (uint32_t k = below(s, 40); k-- > 0;) {
		step_worker(s, &s->workers[below(s, WORKERS)]);
		if (below(s, 4) == 0)
			apply(s);
	}
	must(s, sched_core_job_put(s->core, first, s->now, &slot), "job put");
	free(first);
	free(other);
}

// ---- the store ----

// A group commit: what collected is durable, and what it says is acknowledged.
static void make_durable(struct sim *s)
{
	uint8_t *to;

	s->durable_index = sched_log_take(s->core, &s->spare);
	to = sched_bytes_take(&s->durable, s->spare.len);
	if (s->spare.len)
		memcpy(to, s->spare.data, s->spare.len);
	launch_durable(s, s->spare.data, s->spare.len);
	for (uint32_t k = 0; k < JOBS_MAX; k++) {
		char name[16];
		uint32_t slot;

		snprintf(name, sizeof(name), "j%u", k);
		slot = sched_job_find(s->core->state, "default", name);
		s->acknowledged[k] =
			slot == SCHED_NONE ? 0 : sched_job_at(head(s), slot)->spec_index;
	}
}

static void write_checkpoint(struct sim *s)
{
	struct sched_encoder out = {0};

	make_durable(s);
	must(s, sched_publish(s->core->state), "publish");
	must(s, sched_checkpoint(s->core->state->published, &out), "checkpoint");
	sched_bytes_fini(&s->durable);
	s->durable = out.out;
}

static void new_core(struct sim *s)
{
	const struct sched_worker_config config = {
		.preempt = SCHED_MASK(SCHED_TYPE_SERVICE) | SCHED_MASK(SCHED_TYPE_SYSTEM)};

	s->core = sched_core_new(NULL, rng_next(&s->rng));
	must(s, sched_replay(s->core->state, s->durable.data, s->durable.len), "replay");
	must(s, sched_core_start(s->core, s->now), "start");
	for (uint32_t k = 0; k < WORKERS; k++) {
		s->workers[k] = (struct worker){.w = sched_worker_new(&config, rng_next(&s->rng)),
			.reader = sched_reader_new(&s->core->state->pages)};
	}
}

static void drop_core(struct sim *s)
{
	for (uint32_t k = 0; k < WORKERS; k++) {
		sched_worker_destroy(s->workers[k].w);
		sched_reader_destroy(s->workers[k].reader);
	}
	sched_core_destroy(s->core);
}

// The program ends without a word; half a transaction may have reached the disk.
static void crash(struct sim *s)
{
	uint64_t hash;
	bool exact = below(s, 2) == 0;

	if (exact)
		make_durable(s);
	hash = sched_state_hash(head(s));
	drop_core(s);
	new_core(s);
	s->restarts++;
	if (exact && sched_state_hash(head(s)) != hash)
		fail(s, "the replayed state is another one");
	if (head(s)->index < s->durable_index)
		fail(s, "the replayed state is older than what was durable");
	for (uint32_t k = 0; k < JOBS_MAX; k++) {
		char name[16];
		uint32_t slot;

		snprintf(name, sizeof(name), "j%u", k);
		slot = sched_job_find(s->core->state, "default", name);
		if ((slot == SCHED_NONE) != (s->acknowledged[k] == 0))
			fail(s, "an acknowledged job or removal is lost");
	}
	launch_crashed(s);
}

// ---- rest ----

static bool quiet(const struct sim *s)
{
	for (uint32_t k = 0; k < WORKERS; k++)
		if (s->workers[k].at != IDLE)
			return false;
	return !sched_broker_has(s->core->broker, SCHED_MASK_ALL | SCHED_MASK(SCHED_TYPE_FAILED)) &&
	       !sched_broker_stats(s->core->broker).waiting && !s->core->queue.count;
}

static bool hosts_done(const struct sim *s)
{
	for (uint32_t k = 0; k < head(s)->tables[SCHED_TABLE_INSTANCES].high; k++) {
		const struct sched_instance *i = sched_instance_at(head(s), k);

		if (i && !sched_terminal(i->status) &&
			sched_node_at(head(s), i->node)->status == SCHED_NODE_READY &&
			(i->desired != SCHED_RUN || !sched_ready(i) ||
				sched_job_at(head(s), i->job)->type == SCHED_TYPE_BATCH))
			return false;
	}
	return true;
}

static void until_quiet(struct sim *s)
{
	uint32_t rounds = 0;

	do {
		for (uint32_t k = 0; k < WORKERS; k++)
			step_worker(s, &s->workers[k]);
		apply(s);
		sched_core_tick(s->core, s->now);
		run_hosts(s, 1 + below(s, 3), true);
		s->now += 10 * NS_PER_SEC;
		check_nodes(s);
		launch_check(s);
		if (++rounds > 20000)
			fail(s, "it does not come to rest");
	} while (!quiet(s) || !hosts_done(s));
	check(s);
}

// When nothing moves, nobody whose job is looked at once more has anything to do: or somebody was
// forgotten, and only what happens to others would wake him.
static void check_forgotten(struct sim *s)
{
	s->probing = true;
	for (uint32_t k = 0; s->probing && k < head(s)->tables[SCHED_TABLE_JOBS].high; k++) {
		if (!sched_job_at(head(s), k))
			continue;
		must(s, sched_core_evaluate(s->core, k, SCHED_NODE_UPDATE, s->now), "evaluate");
		for (uint32_t n = 0; n < 8; n++) {
			step_worker(s, &s->workers[0]);
			apply(s);
		}
	}
	s->probing = false;
	until_quiet(s);
}

// All nodes are well and large.
static void give_room(struct sim *s)
{
	if (sched_quota_find(s->core->state, "default") != SCHED_NONE)
		must(s, sched_core_quota_del(s->core, "default", s->now), "quota del");
	for (uint32_t k = 0; k < head(s)->tables[SCHED_TABLE_NODES].high; k++)
		if (sched_node_at(head(s), k))
			must(s,
				sched_core_node_state(
					s->core, k, SCHED_NODE_READY, true, false, s->now),
				"node state");
	for (uint32_t k = 0; k < BIG; k++) {
		struct sched_attribute attributes[] = {{"rack", "r0"}};
		struct sched_res capacity = {100000, 100000, UINT32_MAX, UINT32_MAX};
		char name[16];
		uint32_t slot;

		snprintf(name, sizeof(name), "big%u", k);
		must(s, sched_core_node_put(s->core, name, attributes, 1, &capacity, &slot),
			"node put");
		must(s, sched_core_node_state(s->core, slot, SCHED_NODE_READY, true, false, s->now),
			"state");
	}
}

// No events any more. First as things are, with all that has no room; then every job must come to
// exactly what it asks for.
static void come_to_rest(struct sim *s)
{
	launch_stop_schedules(s);
	if (below(s, 2)) {
		until_quiet(s);
		check_forgotten(s);
	}
	deploy_resume(s);
	give_room(s);
	until_quiet(s);
	check_forgotten(s);
}

// ---- a run ----

static void event(struct sim *s)
{
	uint32_t what = below(s, 1000);

	if (what < 60)
		put_node(s);
	else if (what < 110)
		change_node(s);
	else if (what < 170)
		put_job(s);
	else if (what < 182)
		stop_job(s);
	else if (what < 190)
		there_and_back(s);
	else if (what < 290)
		run_hosts(s, 4, false);
	else if (what < 350)
		sched_core_tick(s->core, s->now);
	else if (what < 400)
		make_durable(s);
	else if (what < 405)
		crash(s);
	else if (what < 414)
		change_quota(s);
	else if (what < 416)
		write_checkpoint(s);
	else if (what < 421)
		tell_images(s);
	else if (what < 436)
		deploy_event(s);
	else if (what < 600)
		apply(s);
	else if (what < 650)
		launch_event(s);
	else if (what < 670)
		s->now += (ns_t)below(s, 40) * NS_PER_SEC;
	else
		step_worker(s, &s->workers[below(s, WORKERS)]);
}

static uint64_t run(uint64_t seed, uint32_t steps)
{
	struct sim *s = calloc(1, sizeof(*s));
	uint64_t hash;

	rng_seed(&s->rng, seed);
	s->now = 1000 * NS_PER_SEC;
	new_core(s);
	for (s->step = 0; s->step < steps; s->step++) {
		event(s);
		check(s);
		s->now += (ns_t)below(s, 100) * NS_PER_MS;
		if (s->step % 1000 == 999) {
			come_to_rest(s);
			check_rest(s);
			for (uint32_t k = 0; k < BIG; k++) {
				char name[16];

				snprintf(name, sizeof(name), "big%u", k);
				sched_core_node_del(
					s->core, sched_node_find(s->core->state, name), s->now);
			}
		}
	}
	come_to_rest(s);
	check_rest(s);
	hash = s->hash ^ sched_state_hash(head(s));
	printf("seed %llu: %u steps, %u restarts, %llu evaluations, %llu placed, %llu victims, "
	       "%u rejected, %u views too old, %u launched, %u dispatched, "
	       "%u deployed, %u reverted, %u held, hash %016llx\n",
		(unsigned long long)seed, steps, s->restarts, (unsigned long long)s->evals,
		(unsigned long long)s->placed, (unsigned long long)s->evicted, s->conflicts,
		s->stale, s->launched, s->dispatched, s->deployed, s->reverted, s->held,
		(unsigned long long)hash);
	drop_core(s);
	sched_bytes_fini(&s->durable);
	sched_bytes_fini(&s->spare);
	free(s);
	return hash;
}

int main(int argc, char **argv)
{
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	uint32_t steps = argc > 2 ? (uint32_t)atoi(argv[2]) : 6000,
		 runs = argc > 3 ? (uint32_t)atoi(argv[3]) : 1;

	for (uint32_t k = 0; k < runs; k++) {
		uint64_t hash = run(seed + k, steps);

		if (k == 0 && run(seed, steps) != hash) {
			fprintf(stderr, "the same seed gave another result\n");
			return 1;
		}
	}
	return 0;
}
