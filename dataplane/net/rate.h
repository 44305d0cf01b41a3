// SPDX-License-Identifier: Apache-2.0
// A rate limit in two words: `burst` at once, then one every `interval` (a leaky bucket).
#pragma once

#include <stdbool.h>

#include "lib/base/clock.h"

struct rate {
	ns_t interval;
	ns_t depth;  // (burst - 1) intervals
	ns_t next;   // when the bucket would be empty again
};

static inline void rate_init(struct rate *r, unsigned per_second, unsigned burst)
{
	r->interval = NS_PER_SEC / per_second;
	r->depth = r->interval * (ns_t)(burst - 1);
	r->next = 0;
}

static inline bool rate_take(struct rate *r, ns_t now)
{
	if (r->next < now)
		r->next = now;
	if (r->next - now > r->depth)
		return false;
	r->next += r->interval;
	return true;
}
