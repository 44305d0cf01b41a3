// SPDX-License-Identifier: Apache-2.0
// See launch_world.h.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "test/unit/launch_world.h"

void launches_init(struct launches *l)
{
	*l = (struct launches){0};
	world_init(&l->w);
	l->w.spec.type = SCHED_TYPE_BATCH;
	l->w.spec.launch = &l->launch;
	world_node(&l->w, "n", UINT32_MAX, UINT32_MAX);
}

void launches_fini(struct launches *l)
{
	world_fini(&l->w);
	sched_bytes_fini(&l->log);
}

uint32_t launches_put(struct launches *l, const char *name, uint32_t count)
{
	uint32_t slot;

	l->w.spec.groups = &l->w.group;
	slot = world_job(&l->w, name, count);
	world_settle(&l->w);
	return slot;
}

void launches_at(struct launches *l, ns_t now)
{
	l->w.now = now;
	world_settle(&l->w);
}

void launches_save(struct launches *l)
{
	struct sched_bytes new = {0};
	uint8_t *to;

	sched_log_take(l->w.core, &new);
	to = sched_bytes_take(&l->log, new.len);
	assert_non_null(to);
	if (new.len)
		memcpy(to, new.data, new.len);
	sched_bytes_fini(&new);
}

void launches_restart(struct launches *l)
{
	struct world *w = &l->w;

	world_fini(w);
	w->core = sched_core_new(NULL, 7);
	assert_int_equal(sched_replay(w->core->state, l->log.data, l->log.len), 0);
	assert_int_equal(sched_core_start(w->core, w->now), 0);
	w->worker = sched_worker_new(NULL, 8);
	w->reader = sched_reader_new(&w->core->state->pages);
}

void launches_end(struct launches *l, uint32_t job, uint8_t status)
{
	const struct sched_snapshot *s = world_head(&l->w);

	for (uint32_t at = sched_job_at(s, job)->first_instance; at != SCHED_NONE;) {
		const struct sched_instance *i = sched_instance_at(s, at);

		at = i->next_in_job;
		if (sched_live(i))
			world_report(&l->w, i, status, false);
	}
}

uint32_t launches_child(const struct launches *l, const char *name)
{
	return sched_job_find(l->w.core->state, "default", name);
}

const struct sched_job *launches_job(const struct launches *l, uint32_t slot)
{
	const struct sched_job *j = sched_job_at(world_head(&l->w), slot);

	assert_non_null(j);
	return j;
}

uint32_t launches_rows(const struct launches *l, enum sched_table_kind kind)
{
	return world_head(&l->w)->counts[kind];
}
