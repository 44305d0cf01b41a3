// SPDX-License-Identifier: Apache-2.0
// Reading resources, for job_spec.c and job_host.c.
#pragma once

#include "controlplane/job_spec.h"

static inline const json_t *part(const json_t *object, const char *name)
{
	return json_object_get(object, name);
}

static inline json_int_t number(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

static inline bool flag(const json_t *object, const char *name)
{
	return json_is_true(json_object_get(object, name));
}

static inline const char *text(const json_t *object, const char *name)
{
	const char *value = json_string_value(json_object_get(object, name));

	return value ? value : "";
}

// A member of an object of the group if it has it, else of the job's.
static inline json_t *inherited(
	const json_t *job, const json_t *group, const char *object, const char *name)
{
	json_t *own = json_object_get(part(group, object), name);

	return own ? own : json_object_get(part(job, object), name);
}

// What hosts are told of a function, and of a group of a job (the resource's; NULL: the job
// itself). New references.
json_t *job_host_of_function(const json_t *spec);
json_t *job_host_of_group(const char *name, const json_t *job, const json_t *group);
