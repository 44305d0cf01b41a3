// SPDX-License-Identifier: Apache-2.0
// A histogram of each second. A machine that others share stands still for some ms now and then, and
// whatever arrives meanwhile is in the tail of all: the p99 of the middle second is that of a second
// like most.
#pragma once

#include "lib/base/clock.h"
#include "lib/base/hist.h"

#define SECONDS_MAX 600

struct seconds {
	struct hist now;
	unsigned count;  // that have ended
	uint64_t p99[SECONDS_MAX];
};

void seconds_add(struct seconds *s, uint64_t value);
void seconds_end(struct seconds *s);
// The median of those that have ended; 0 if none has.
uint64_t seconds_p99(const struct seconds *s);
