// SPDX-License-Identifier: Apache-2.0
// What of the scheduler's log is worth an event: how rollouts go, and evaluations that failed. Not
// each evaluation, of which there may be thousands a second; and no more than so many a minute, so
// that a storm does not push everything else out of the history. Main thread.
#include <stdio.h>

#include "controlplane/scheduler_internal.h"
#include "sched/deploy.h"
#include "sched/explain.h"

#define WINDOW (60 * NS_PER_SEC)
#define TEXT_MAX 600

// False: it is one too many, and counted.
static bool may_note(struct scheduler *s)
{
	struct scheduler_notes *n = &s->notes;
	ns_t now = clock_now();

	if (now - n->since >= WINDOW) {
		n->since = now;
		n->count = 0;
	}
	if (n->count++ < SCHEDULER_NOTES_MAX)
		return true;
	n->left_out++;
	n->untold++;
	return false;
}

static void note(struct scheduler *s, const struct sched_spec *spec, const char *type,
	uint64_t evaluation, const char *text)
{
	char more[TEXT_MAX + 80];

	if (!s->deeds->noted || !may_note(s))
		return;
	if (s->notes.untold)
		snprintf(more, sizeof(more), "%s (%llu events before it were left out)", text,
			(unsigned long long)s->notes.untold);
	else
		snprintf(more, sizeof(more), "%s", text);
	s->notes.untold = 0;
	s->deeds->noted(s->user, &(struct scheduler_note){.namespace = spec->namespace,
					 .name = spec->name,
					 .type = type,
					 .evaluation = evaluation,
					 .text = more});
}

// What somebody asked for is noted where it was asked.
static void note_deployment(
	struct scheduler *s, const struct sched_spec *spec, const struct sched_deployment *d)
{
	static const char *const types[SCHED_DEPLOYMENT_STATUSES] = {
		[SCHED_DEPLOYMENT_RUNNING] = "rollout_running",
		[SCHED_DEPLOYMENT_PAUSED] = "rollout_paused",
		[SCHED_DEPLOYMENT_FAILED] = "rollout_failed",
		[SCHED_DEPLOYMENT_SUCCESSFUL] = "rollout_successful",
		[SCHED_DEPLOYMENT_CANCELLED] = "rollout_cancelled",
	};
	char text[200];

	if (d->why == SCHED_DEPLOYMENT_BY_HAND || d->status >= SCHED_DEPLOYMENT_STATUSES)
		return;
	snprintf(text, sizeof(text), "version %u: %s", d->version, sched_deployment_why_text(d));
	note(s, spec, types[d->status], 0, text);
}

static void note_failed(struct scheduler *s, const struct sched_snapshot *now,
	const struct sched_spec *spec, const struct sched_eval *e)
{
	char seen[300], text[TEXT_MAX];

	if (e->explain.attempts)
		sched_explain_text(now, e, seen, sizeof(seen));
	else
		snprintf(seen, sizeof(seen), "its workers failed or took too long");
	snprintf(text, sizeof(text), "of %s/%s, because %s: %s; another one tries again later",
		spec->namespace, spec->name, scheduler_because(e->trigger), seen);
	note(s, spec, "failed", e->id, text);
}

void scheduler_note(
	struct scheduler *s, const struct sched_snapshot *now, const struct sched_change *c)
{
	const struct sched_job *j;

	if (c->type == SCHED_DEPLOYMENT_PUT) {
		j = sched_job_at(now, c->slot);
		if (j)
			note_deployment(s, sched_job_spec(j), c->deployment);
	} else if (c->type == SCHED_EVAL_PUT && c->eval->status == SCHED_EVAL_FAILED) {
		j = sched_job_at(now, c->eval->job);
		if (j)
			note_failed(s, now, sched_job_spec(j), c->eval);
	}
}
