// SPDX-License-Identifier: Apache-2.0
// What the scheduler is asked for a function or a job, and what hosts are told of it. Pure.
//
// A spec refers to its own memory and to the resource's JSON, which has to outlive it. What hosts
// are told is the spec's opaque text: of a function an object, of a job {"groups": {NAME: object}};
// job_spec_host() makes an instance's object of it. Two versions of a group with equal objects,
// constraints and claims need no new instances (restart_hash).
#pragma once

#include <jansson.h>

#include "controlplane/schema.h"
#include "sched/arena.h"
#include "sched/types.h"

#define JOB_SPEC_DRAIN_MS 30000 // from SIGTERM to SIGKILL, unless calls may take longer

struct job_spec {
	struct sched_spec spec;
	struct sched_launch launch;
	struct sched_arena arena;
};

// As a job's `type` says them.
extern const char *const job_spec_type_names[SCHED_TYPES];

// kind: KIND_FUNCTION or KIND_JOB; spec: normalized. Aborts when memory runs out.
void job_spec_init(struct job_spec *s, enum kind kind, const char *namespace, const char *name,
	const json_t *spec);
void job_spec_fini(struct job_spec *s);

// What the hosts of all instances of a group are told: the group's object, of a job with its name,
// payload and meta. A new reference, to be shared and not to be changed.
json_t *job_spec_host(const struct sched_spec *spec, uint32_t group);
// A number that differs when job_spec_host() would say something else.
struct job_spec_digest {
	uint64_t low, high;
};
struct job_spec_digest job_spec_digest(const struct sched_spec *spec, uint32_t group);

// Bytes of a size, as a number or as text.
int64_t job_spec_bytes(const json_t *size);
