// SPDX-License-Identifier: Apache-2.0
// See sched_world.h.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "test/unit/sched_world.h"

void world_init(struct world *w)
{
	*w = (struct world){.now = 1000 * NS_PER_SEC};
	w->core = sched_core_new(NULL, 1);
	assert_non_null(w->core);
	assert_int_equal(sched_core_start(w->core, w->now), 0);
	w->worker = sched_worker_new(NULL, 2);
	w->reader = sched_reader_new(&w->core->state->pages);
	w->group = (struct sched_group){.name = "main",
		.ask = {.cpu_milli = 100, .memory_mib = 100, .slots = 1},
		.max_parallel = 2,
		.restart_hash = 1};
	w->spec = (struct sched_spec){
		.namespace = "default", .type = SCHED_TYPE_SERVICE, .priority = 50, .group_count = 1};
}

void world_fini(struct world *w)
{
	sched_worker_destroy(w->worker);
	sched_reader_destroy(w->reader);
	sched_core_destroy(w->core);
}

int world_setup(void **state)
{
	*state = malloc(sizeof(struct world));
	assert_non_null(*state);
	world_init(*state);
	return 0;
}

int world_teardown(void **state)
{
	world_fini(*state);
	free(*state);
	return 0;
}

const struct sched_snapshot *world_head(const struct world *w)
{
	return &w->core->state->head;
}

uint32_t world_node_with(struct world *w, const char *name, uint32_t cpu, uint32_t memory,
	const struct sched_attribute *attributes, uint32_t n)
{
	struct sched_res capacity = {cpu, memory, UINT32_MAX, UINT32_MAX};
	uint32_t slot;

	assert_int_equal(sched_core_node_put(w->core, name, attributes, n, &capacity, &slot), 0);
	world_node_status(w, slot, SCHED_NODE_READY);
	return slot;
}

uint32_t world_node(struct world *w, const char *name, uint32_t cpu, uint32_t memory)
{
	return world_node_with(w, name, cpu, memory, NULL, 0);
}

void world_node_status(struct world *w, uint32_t node, uint8_t status)
{
	assert_int_equal(sched_core_node_state(w->core, node, status, true, false, w->now), 0);
}

void world_drain(struct world *w, uint32_t node)
{
	assert_int_equal(
		sched_core_node_state(w->core, node, SCHED_NODE_READY, true, true, w->now), 0);
}

uint32_t world_job(struct world *w, const char *name, uint32_t count)
{
	uint32_t slot;

	w->spec.name = name;
	if (!w->spec.groups)
		w->spec.groups = &w->group;
	w->group.count = count;
	assert_int_equal(sched_core_job_put(w->core, &w->spec, w->now, &slot), 0);
	return slot;
}

static void work(struct world *w, const struct sched_ticket *t, uint64_t token)
{
	struct sched_plan *plan;
	int rc;

	sched_worker_begin(w->worker, t, token);
	do {
		rc = sched_worker_plan(
			w->worker, sched_snapshot_pin(w->reader, w->core->state), w->now, &plan);
		sched_reader_unpin(w->reader);
		if (rc) {
			assert_true(rc != -EAGAIN);
			sched_core_drop(w->core, t, token, w->now);
			return;
		}
		assert_int_equal(sched_core_submit(w->core, plan, w->now), 0);
		sched_core_apply(w->core, 100, w->now);
		assert_ptr_equal(sched_core_result(w->core), plan);
		rc = sched_worker_result(w->worker);
	} while (rc == -EAGAIN);
	assert_int_equal(rc, 0);
}

void world_run(struct world *w)
{
	struct sched_ticket t;
	uint64_t token;
	bool more;

	do {
		while (sched_core_dequeue(w->core, SCHED_MASK_ALL, w->now, &t, &token) == 0)
			work(w, &t, token);
		more = sched_core_tick(w->core, w->now);
	} while (more || sched_broker_has(w->core->broker, SCHED_MASK_ALL));
}

void world_report(struct world *w, const struct sched_instance *i, uint8_t status, bool ready)
{
	struct sched_report r = {.id = i->id, .status = status, .ready = ready};

	assert_int_equal(sched_core_report(w->core, &r, 1, w->now), 0);
}

uint32_t world_hosts(struct world *w)
{
	const struct sched_snapshot *s = world_head(w);
	uint32_t reports = 0;

	for (uint32_t k = 0; k < s->tables[SCHED_TABLE_INSTANCES].high; k++) {
		const struct sched_instance *i = sched_instance_at(s, k);
		bool starts = i && sched_live(i) && !sched_ready(i);
		bool stops = i && i->desired != SCHED_RUN && !sched_terminal(i->status);

		if ((!starts && !stops) || sched_node_at(s, i->node)->status != SCHED_NODE_READY)
			continue;
		world_report(w, i, starts ? SCHED_RUNNING : SCHED_COMPLETE, starts);
		reports++;
	}
	return reports;
}

void world_settle(struct world *w)
{
	int rounds = 0;

	do {
		world_run(w);
		assert_true(++rounds < 10000);
	} while (world_hosts(w));
}

static uint32_t count(const struct world *w, uint32_t job, uint32_t version, uint32_t node)
{
	const struct sched_snapshot *s = world_head(w);
	uint32_t n = 0;

	for (uint32_t at = sched_job_at(s, job)->first_instance; at != SCHED_NONE;) {
		const struct sched_instance *i = sched_instance_at(s, at);

		n += sched_live(i) && (!version || i->version == version) &&
		     (node == SCHED_NONE || i->node == node);
		at = i->next_in_job;
	}
	return n;
}

uint32_t world_live(const struct world *w, uint32_t job)
{
	assert_int_equal(sched_job_at(world_head(w), job)->live, count(w, job, 0, SCHED_NONE));
	return count(w, job, 0, SCHED_NONE);
}

uint32_t world_live_version(const struct world *w, uint32_t job, uint32_t version)
{
	return count(w, job, version, SCHED_NONE);
}

uint32_t world_live_on(const struct world *w, uint32_t job, uint32_t node)
{
	return count(w, job, 0, node);
}

const struct sched_instance *world_named(const struct world *w, uint32_t job, uint32_t index)
{
	const struct sched_snapshot *s = world_head(w);
	const struct sched_instance *found = NULL;

	for (uint32_t at = sched_job_at(s, job)->first_instance; at != SCHED_NONE;) {
		const struct sched_instance *i = sched_instance_at(s, at);

		if (sched_live(i) && i->name_index == index) {
			assert_null(found);
			found = i;
		}
		at = i->next_in_job;
	}
	return found;
}

uint32_t world_evals(const struct world *w, uint32_t job, uint8_t status)
{
	const struct sched_snapshot *s = world_head(w);
	uint32_t n = 0;

	for (uint32_t k = 0; k < s->tables[SCHED_TABLE_EVALS].high; k++) {
		const struct sched_eval *e = sched_eval_at(s, k);

		n += e && e->job == job && e->status == status;
	}
	return n;
}

const struct sched_eval *world_last_eval(const struct world *w, uint32_t job)
{
	return sched_eval_at(world_head(w), sched_job_at(world_head(w), job)->last_eval);
}
