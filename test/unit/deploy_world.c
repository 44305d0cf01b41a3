// SPDX-License-Identifier: Apache-2.0
// See deploy_world.h.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "test/unit/deploy_world.h"

int deploy_setup(void **state)
{
	int error = world_setup(state);

	world_node(*state, "a", 4000, 4000);
	world_node(*state, "b", 4000, 4000);
	return error;
}

struct sched_deployment_view deploy_view(const struct world *w, uint32_t job)
{
	struct sched_deployment_view v;

	assert_int_equal(sched_deployment_of(world_head(w), job, &v), 0);
	return v;
}

uint8_t deploy_status(const struct world *w, uint32_t job)
{
	return deploy_view(w, job).deployment->status;
}

uint8_t deploy_why(const struct world *w, uint32_t job)
{
	return deploy_view(w, job).deployment->why;
}

const struct sched_spec *deploy_spec(const struct world *w, uint32_t job)
{
	return sched_job_spec(sched_job_at(world_head(w), job));
}

const struct sched_instance *deploy_at(
	const struct world *w, uint32_t job, uint32_t version, uint32_t index)
{
	const struct sched_snapshot *s = world_head(w);
	const struct sched_instance *found = NULL;

	for (uint32_t at = sched_job_at(s, job)->first_instance; at != SCHED_NONE;) {
		const struct sched_instance *i = sched_instance_at(s, at);

		at = i->next_in_job;
		if (!sched_live(i) || i->version != version || i->name_index != index)
			continue;
		assert_null(found);
		found = i;
	}
	return found;
}

void deploy_act(struct world *w, uint32_t job, enum sched_deployment_action action)
{
	assert_int_equal(sched_core_deployment(w->core, job, action, w->now), 0);
}

uint32_t deploy_with_canaries(struct world *w, uint32_t count, uint32_t canaries)
{
	uint32_t job = world_job(w, "j", count);

	world_settle(w);
	w->group.canaries = canaries;
	w->group.restart_hash++;
	world_job(w, "j", count);
	return job;
}
