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

struct wanted {
	const char *id, *namespace, *function; // the assignment's own
	bool run;                              // else stop
	uint32_t version, concurrency, queue, timeout_ms, drain_ms;
	uint64_t cpu_milli, memory_bytes; // 0: without limit
	json_t *spec;                     // borrowed
};

// {"id", "namespace", "function", "version", "desired", "spec"}. 0 or -EINVAL.
int wanted_read(struct wanted *w, json_t *assignment);
// True if an instance may be called so: it is the name of files, too.
bool wanted_id_valid(const char *id);
