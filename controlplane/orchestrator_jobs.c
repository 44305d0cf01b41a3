// SPDX-License-Identifier: Apache-2.0
// Functions, jobs and quotas on their way to the scheduler, and back from it to hosts. Main thread.
#include "controlplane/orchestrator_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/job_spec.h"
#include "controlplane/registry_internal.h"
#include "lib/base/log.h"

// ---- jobs ----

static void put_job(struct orchestrator *o, const struct resource *res)
{
	struct job_spec s;
	int rc;

	job_spec_init(&s, res->kind, res->namespace, res->name, res->spec);
	rc = scheduler_job_put(&o->scheduler, &s.spec);
	if (rc)
		log_error(ORCHESTRATOR_LOG, "%s %s cannot be scheduled: %s",
			kinds[res->kind].singular, res->key,
			rc == -EEXIST ? "another job has made one of this name" : strerror(-rc));
	job_spec_fini(&s);
}

void orchestrator_apply_job(struct orchestrator *o, const struct change *c)
{
	if (c->after)
		put_job(o, c->after);
	else if (c->before)
		scheduler_job_delete(&o->scheduler, c->before->namespace, c->before->name);
}

static void each_job(void *user, const char *namespace, const char *name)
{
	json_array_append_new(user, json_pack("[s, s]", namespace, name));
}

static bool is_resource(const struct orchestrator *o, const char *namespace, const char *name)
{
	char key[FLEET_KEY_MAX];

	snprintf(key, sizeof(key), "%s/%s", namespace, name);
	return registry_get(o->registry, KIND_FUNCTION, key) ||
	       registry_get(o->registry, KIND_JOB, key);
}

static void drop_stray_job(struct orchestrator *o, const char *namespace, const char *name)
{
	char parent[64];

	if (is_resource(o, namespace, name))
		return;
	// What a job has made goes with it.
	if (scheduler_job_parent(&o->scheduler, namespace, name, parent) &&
		is_resource(o, namespace, parent))
		return;
	scheduler_job_delete(&o->scheduler, namespace, name);
}

static void put_all(struct orchestrator *o, enum kind kind)
{
	const struct resource *res;

	for (size_t i = 0; (res = registry_at(o->registry, kind, i)); i++)
		put_job(o, res);
}

// ---- quotas ----

static uint32_t limit(const json_t *spec, const char *name)
{
	const json_t *value = json_object_get(spec, name);

	return value ? (uint32_t)json_integer_value(value) : UINT32_MAX;
}

static uint32_t limit_mib(const json_t *spec, const char *name)
{
	const json_t *value = json_object_get(spec, name);
	int64_t mib = job_spec_bytes(value) >> 20;

	return value && mib < UINT32_MAX ? (uint32_t)mib : UINT32_MAX;
}

static void put_quota(struct orchestrator *o, const struct resource *res)
{
	const struct sched_res most = {
		.cpu_milli = limit(res->spec, "cpu_milli"),
		.memory_mib = limit_mib(res->spec, "memory"),
		.disk_mib = limit_mib(res->spec, "disk"),
		.slots = limit(res->spec, "instances"),
	};

	scheduler_quota_put(&o->scheduler, res->name, &most);
}

void orchestrator_apply_quota(struct orchestrator *o, const struct change *c)
{
	if (c->after)
		put_quota(o, c->after);
	else if (c->before)
		scheduler_quota_delete(&o->scheduler, c->before->name);
}

static void each_quota(void *user, const char *namespace)
{
	json_array_append_new(user, json_string(namespace));
}

// ---- starting ----

// A crash may have come between what was stored and the scheduler's log.
void orchestrator_meet_jobs(struct orchestrator *o)
{
	json_t *jobs = json_array(), *quotas = json_array();
	const struct resource *res;

	scheduler_each_job(&o->scheduler, each_job, jobs);
	for (size_t i = 0; i < json_array_size(jobs); i++) {
		const json_t *job = json_array_get(jobs, i);

		drop_stray_job(o, json_string_value(json_array_get(job, 0)),
			json_string_value(json_array_get(job, 1)));
	}
	scheduler_each_quota(&o->scheduler, each_quota, quotas);
	for (size_t i = 0; i < json_array_size(quotas); i++) {
		const char *name = json_string_value(json_array_get(quotas, i));

		if (!registry_get(o->registry, KIND_QUOTA, name))
			scheduler_quota_delete(&o->scheduler, name);
	}
	json_decref(jobs);
	json_decref(quotas);
	// Quotas first: what is over them must not be placed.
	for (size_t i = 0; (res = registry_at(o->registry, KIND_QUOTA, i)); i++)
		put_quota(o, res);
	put_all(o, KIND_FUNCTION);
	put_all(o, KIND_JOB);
}

// ---- what hosts are told ----

// A few of them are placed at a time: those seen last are kept.
json_t *orchestrator_host_spec(
	struct orchestrator *o, const struct sched_spec *spec, uint32_t group)
{
	struct job_spec_digest digest = job_spec_digest(spec, group);
	struct orchestrator_text *t = &o->texts[digest.low % ORCHESTRATOR_TEXTS];

	if (!t->spec || t->digest.low != digest.low || t->digest.high != digest.high) {
		json_decref(t->spec);
		*t = (struct orchestrator_text){digest, job_spec_host(spec, group)};
	}
	return json_incref(t->spec);
}
