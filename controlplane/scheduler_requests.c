// SPDX-License-Identifier: Apache-2.0
// What people ask of the scheduler beyond resources: children of templated and periodic jobs, a
// word on a deployment. Each is one transaction; whoever answers waits until it is durable. Main
// thread.
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "controlplane/scheduler_internal.h"

// After a request: whatever it calls for is done by the threads.
static void done(struct scheduler *s)
{
	scheduler_kick(s);
	pthread_mutex_unlock(&s->lock);
}

// A job with a schedule, out of its turn.
static int launch(struct scheduler *s, uint32_t parent, struct sched_dispatch *d, uint32_t *child)
{
	int rc;

	if (d->payload || d->meta_count || d->token) {
		snprintf(d->why, sizeof(d->why),
			"it has a schedule and is no template: launch it without payload, meta and "
			"token");
		return -EINVAL;
	}
	rc = sched_core_launch_now(s->core, parent, scheduler_now(s), child);
	if (rc == -EINVAL)
		snprintf(d->why, sizeof(d->why), "it is stopped");
	if (rc == -EBUSY)
		snprintf(d->why, sizeof(d->why),
			"the one launched before has not ended, and schedule.overlap is false");
	if (rc == -ENOTUNIQ) {
		snprintf(d->why, sizeof(d->why),
			"another job has the name that it would get: try again in a second");
		return -EBUSY;
	}
	if (rc == -EDQUOT)
		snprintf(d->why, sizeof(d->why), "too many of its jobs have not ended: at most %d",
			SCHED_CHILDREN_MAX);
	return rc;
}

static int dispatch(struct scheduler *s, uint32_t parent, struct sched_dispatch *d, uint32_t *child)
{
	const struct sched_job *j = sched_job_at(&s->core->state->head, parent);
	const struct sched_launch *l = j ? sched_job_spec(j)->launch : NULL;

	if (scheduler_backlog(s) >= SCHEDULER_REQUESTS_MAX) {
		snprintf(d->why, sizeof(d->why),
			"what was dispatched before is not stored yet: try again in a moment; if it "
			"stays so, see the disk of the state directory");
		return -EDQUOT;
	}
	return l && l->cron && !l->templated
		       ? launch(s, parent, d, child)
		       : sched_core_dispatch(s->core, parent, d, scheduler_now(s), child);
}

int scheduler_dispatch(struct scheduler *s, const char *namespace, const char *name,
	struct sched_dispatch *d, struct scheduler_child *out)
{
	const struct sched_job *j = NULL;
	uint32_t parent, child;
	int rc = -ENOENT;

	*out = (struct scheduler_child){0};
	pthread_mutex_lock(&s->lock);
	parent = sched_job_find(s->core->state, namespace, name);
	if (parent != SCHED_NONE)
		rc = dispatch(s, parent, d, &child);
	if (!rc || rc == -EEXIST)
		j = sched_job_at(&s->core->state->head, child);
	if (j) {
		snprintf(out->name, sizeof(out->name), "%s", sched_job_spec(j)->name);
		out->index = j->create_index;
	}
	done(s);
	return rc;
}
