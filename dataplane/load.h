// SPDX-License-Identifier: Apache-2.0
// What hosts told of the load of their functions, for balancing. Of one worker; pure.
//
// Bounded: a place is one of WAYS by hash, and the one told longest ago gives way. A load counts
// for LOAD_AGE_MAX: hosts tell only changes, but one that hangs tells none. Calls sent since are
// added, so that those that follow each other within a millisecond do not all go to whoever was
// idle before.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/clock.h"

// A function at a target, by the numbers that a worker has for them.
struct load_key {
	uint32_t slot, generation; // of the service
	uint32_t target;
	uint32_t version;
};

struct load {
	struct load_key key;
	ns_t told; // 0: unused
	uint32_t queued, running, capacity;
	uint32_t sent; // calls since
};

struct loads {
	struct load *load; // LOADS_MAX
};

// 0 or -ENOMEM.
int loads_init(struct loads *loads);
void loads_fini(struct loads *loads);
// True: another one had to be forgotten that still counted.
bool loads_tell(struct loads *loads, const struct load *told);
// NULL: never told, or forgotten.
struct load *loads_find(const struct loads *loads, const struct load_key *key);

// How loaded it is, in LOAD_SCALE-ths of its capacity. in_flight: calls that this worker has there,
// all that is known when nothing was told lately. load may be NULL.
#define LOAD_SCALE 256u
uint32_t load_value(const struct load *load, uint32_t in_flight, ns_t now);
// Above all values but those of targets that are not connected.
#define LOAD_VALUE_MAX (1u << 29)
