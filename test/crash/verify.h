// SPDX-License-Identifier: Apache-2.0
// Opens what a crash left, as a control plane would, and holds it against the shadow.
#pragma once

#include "test/crash/shadow.h"

// A program's end when it could not look; 1: it has found something wrong. A test that must find
// something is not content with this one.
#define VERIFY_NOT_LOOKED 99

struct verify_result {
	int begun;       // which of the batches that had begun the store is at; -1: none of them
	char wrong[400]; // "" if all is well
};

// In a process of its own, since a damaged store may end in a signal. With `go_on` it also stores
// one thing more and reads it again. 0, or -EBADMSG: out->wrong says why.
int verify_store(
	const char *directory, const struct shadow *shadow, bool go_on, struct verify_result *out);

// Whether the state keeps its own rules: sums, counts, lists, capacities. NULL, or what is wrong.
const char *verify_state(const struct sched_snapshot *s);
