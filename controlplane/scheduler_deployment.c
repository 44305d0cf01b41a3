// SPDX-License-Identifier: Apache-2.0
// Deployments as the API shows them, and what people say to them. Main thread.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/registry_internal.h"
#include "controlplane/scheduler_internal.h"
#include "controlplane/scheduler_json.h"
#include "sched/deploy.h"
#include "sched/names.h"

static json_t *groups_of(const struct sched_deployment_view *v)
{
	json_t *out = json_array();

	for (uint32_t g = 0; g < v->group_count; g++) {
		json_t *group = json_pack("{s:s}", "name", v->groups[g].name);

		set(group, "desired", v->groups[g].desired);
		set(group, "canaries", v->groups[g].canaries);
		set(group, "placed", v->groups[g].placed);
		set(group, "healthy", v->groups[g].healthy);
		set(group, "unhealthy", v->groups[g].unhealthy);
		json_object_set_new(group, "promoted", json_boolean(v->groups[g].promoted));
		json_array_append_new(out, group);
	}
	return out;
}

static json_t *view_json(const struct sched_deployment_view *v)
{
	json_t *out = json_object();
	char text[40];

	set(out, "version", v->deployment->version);
	json_object_set_new(out, "state", json_string(v->status));
	json_object_set_new(out, "text", json_string(v->why));
	json_object_set_new(out, "waits_for_promotion", json_boolean(v->waits));
	json_object_set_new(out, "since",
		json_string(time_text(v->deployment->changed_ns, text, sizeof(text))));
	json_object_set_new(out, "groups", groups_of(v));
	return out;
}

json_t *scheduler_deployment(struct scheduler *s, const char *namespace, const char *name)
{
	const struct sched_snapshot *now = sched_snapshot_pin(s->reader, s->core->state);
	struct sched_deployment_view *v = must(malloc(sizeof(*v)));
	uint32_t job = sched_names_find(now, namespace, strlen(namespace), name);
	json_t *out = NULL;

	if (job != SCHED_NONE && sched_deployment_of(now, job, v) == 0)
		out = view_json(v);
	sched_reader_unpin(s->reader);
	free(v);
	return out;
}

// ---- a word on it ----

static const char *const action_names[] = {
	[SCHED_DEPLOYMENT_PROMOTE] = "promote",
	[SCHED_DEPLOYMENT_PAUSE] = "pause",
	[SCHED_DEPLOYMENT_RESUME] = "resume",
	[SCHED_DEPLOYMENT_FAIL] = "fail",
};
#define ACTIONS (sizeof(action_names) / sizeof(action_names[0]))

static void explain_refusal(
	struct scheduler *s, uint32_t job, const char *action, int rc, char *why, size_t room)
{
	struct sched_deployment_view *v = must(malloc(sizeof(*v)));

	if (rc == -ENOENT)
		snprintf(why, room, "its current version is not being rolled out, nor was it");
	else if (rc == -EBUSY)
		snprintf(why, room, "not all canaries are ready: wait until they are");
	else if (sched_deployment_of(&s->core->state->head, job, v) == 0)
		snprintf(why, room, "its rollout cannot %s now, because it is %s%s", action,
			v->status, strcmp(action, "promote") == 0 ? " or has no canaries" : "");
	else
		snprintf(why, room, "%s", strerror(-rc));
	free(v);
}

int scheduler_deployment_act(struct scheduler *s, const char *namespace, const char *name,
	const char *action, uint64_t *index, char *why, size_t room)
{
	size_t a = 0;
	uint32_t job;
	int rc = -ESRCH;

	while (a < ACTIONS && strcmp(action_names[a], action) != 0)
		a++;
	if (a == ACTIONS) {
		snprintf(why, room, "action must be promote, pause, resume or fail");
		return -EDOM;
	}
	pthread_mutex_lock(&s->lock);
	job = sched_job_find(s->core->state, namespace, name);
	if (job != SCHED_NONE)
		rc = sched_core_deployment(
			s->core, job, (enum sched_deployment_action)a, scheduler_now(s));
	if (rc && rc != -ESRCH)
		explain_refusal(s, job, action, rc, why, room);
	*index = s->core->state->head.index;
	scheduler_kick(s);
	pthread_mutex_unlock(&s->lock);
	return rc;
}
