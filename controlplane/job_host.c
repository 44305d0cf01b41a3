// SPDX-License-Identifier: Apache-2.0
// What hosts are told of functions and jobs. Of a function the text must stay as it is as long as
// the function says nothing new: hosts compare it, and instances with another one are replaced.
#include <stdlib.h>
#include <string.h>
#define XXH_STATIC_LINKING_ONLY // a state on the stack
#include <xxhash.h>

#include "controlplane/job_spec_internal.h"
#include "controlplane/registry_internal.h"
#include "lib/base/base64.h"

json_t *job_host_of_function(const json_t *spec)
{
	const json_t *call = part(spec, "call"), *scale = part(spec, "scale");
	const json_t *resources = part(spec, "resources");
	json_int_t timeout_ms = number(call, "timeout_ms");

	return json_pack("{s:O?, s:O?, s:O?, s:O?, s:{s:O?, s:I}, s:O?, s:O?, s:I, s:I}", "runtime",
		part(spec, "runtime"), "command", part(spec, "command"), "image",
		part(spec, "image"), "env", part(spec, "env"), "resources", "cpu_milli",
		part(resources, "cpu_milli"), "memory",
		(json_int_t)job_spec_bytes(part(resources, "memory")), "concurrency",
		part(scale, "concurrency"), "queue", part(call, "queue"), "timeout_ms", timeout_ms,
		"drain_ms", timeout_ms ? timeout_ms : (json_int_t)JOB_SPEC_DRAIN_MS);
}

json_t *job_host_of_group(const char *name, const json_t *job, const json_t *group)
{
	const json_t *command = part(group, "command"), *image = part(group, "image");
	json_t *env = json_object(), *cpu = inherited(job, group, "resources", "cpu_milli");
	const char *type = json_string_value(part(job, "type"));
	bool ends = type && (strcmp(type, "batch") == 0 || strcmp(type, "sysbatch") == 0);

	json_object_update(env, (json_t *)(uintptr_t)part(job, "env"));
	json_object_update(env, (json_t *)(uintptr_t)part(group, "env"));
	return json_pack("{s:s, s:s, s:o*, s:O*, s:O*, s:O*, s:o, s:{s:O*, s:I}, s:I}", "kind",
		"job", "group", name, "restart", ends ? NULL : json_true(), "runtime",
		part(job, "runtime"), "command", command ? command : part(job, "command"), "image",
		image ? image : part(job, "image"), "env", env, "resources", "cpu_milli", cpu,
		"memory", (json_int_t)job_spec_bytes(inherited(job, group, "resources", "memory")),
		"drain_ms", (json_int_t)JOB_SPEC_DRAIN_MS);
}

// ---- from the scheduler to hosts ----

static json_t *meta_of(const struct sched_spec *spec)
{
	json_t *meta = json_object();

	for (uint32_t i = 0; i < spec->meta_count; i++)
		json_object_set_new(meta, spec->meta[i].key, json_string(spec->meta[i].value));
	return meta;
}

static json_t *payload_of(const struct sched_spec *spec)
{
	char *line = must(malloc(BASE64_TEXT_BYTES(spec->payload_len)));
	json_t *out;

	base64_encode(spec->payload, spec->payload_len, line);
	out = json_string(line);
	free(line);
	return out;
}

json_t *job_spec_host(const struct sched_spec *spec, uint32_t group)
{
	json_t *opaque = json_loadb(spec->opaque, spec->opaque_len, 0, NULL);
	json_t *groups = json_object_get(opaque, "groups"), *out;

	if (!groups)
		return opaque ? opaque : json_object();
	out = json_incref(group < spec->group_count
				  ? json_object_get(groups, spec->groups[group].name)
				  : NULL);
	json_decref(opaque);
	if (!out)
		return json_object();
	json_object_set_new(out, "job", json_string(spec->name));
	if (spec->payload)
		json_object_set_new(out, "payload", payload_of(spec));
	if (spec->meta_count)
		json_object_set_new(out, "meta", meta_of(spec));
	return out;
}

struct job_spec_digest job_spec_digest(const struct sched_spec *spec, uint32_t group)
{
	XXH128_hash_t hash;
	XXH3_state_t h;

	XXH3_128bits_reset(&h);
	XXH3_128bits_update(&h, spec->opaque, spec->opaque_len);
	XXH3_128bits_update(&h, &group, sizeof(group));
	XXH3_128bits_update(&h, spec->name, strlen(spec->name) + 1);
	XXH3_128bits_update(&h, &spec->payload_len, sizeof(spec->payload_len));
	XXH3_128bits_update(&h, spec->payload, spec->payload_len);
	for (uint32_t i = 0; i < spec->meta_count; i++) {
		XXH3_128bits_update(&h, spec->meta[i].key, strlen(spec->meta[i].key) + 1);
		XXH3_128bits_update(&h, spec->meta[i].value, strlen(spec->meta[i].value) + 1);
	}
	hash = XXH3_128bits_digest(&h);
	return (struct job_spec_digest){hash.low64, hash.high64};
}
