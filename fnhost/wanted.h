// SPDX-License-Identifier: Apache-2.0
// An assignment as it came from the control plane, or from a record on disk, checked: nothing in it is out of range
// behind wanted_read(). Pure.
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define INSTANCE_ID_MAX 64
#define COMMAND_MAX 256
#define CONCURRENCY_MAX 256
#define PAYLOAD_BYTES_MAX 65536u // of a job
#define META_MAX 128u             // keys
#define META_KEY_MAX 127u

struct wanted {
	const char *id, *namespace, *function; // the assignment's own; function: or the job's name
	bool run;                              // else stop
	uint32_t version, concurrency, queue, timeout_ms, drain_ms;
	uint64_t cpu_milli, memory_bytes; // 0: without limit
	json_t *spec;                     // borrowed
	// Of jobs (spec.kind), which take no calls, and run once unless they are services:
	bool job;
	bool restart; // a service: what ends is started again
	const char *group; // "": none was told
	uint32_t index;
	const char *payload; // as it came, base64; NULL: none
	size_t payload_len;  // of its bytes
};

// {"id", "namespace", "function", "version", "desired", "spec"}. 0 or -EINVAL.
int wanted_read(struct wanted *w, json_t *assignment);
// Only who it is and what is to become of it; the rest is as of a job that has nothing. 0 or -EINVAL.
int wanted_read_head(struct wanted *w, json_t *assignment);
// True if an instance may be called so: it is the name of files, too.
bool wanted_id_valid(const char *id);
