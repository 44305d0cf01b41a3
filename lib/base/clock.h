// SPDX-License-Identifier: Apache-2.0
// Time: one signed 64-bit nanosecond type for instants and for spans.
//
// Instants are CLOCK_MONOTONIC and mean nothing outside this boot. Protocol code never reads the
// clock; its callers pass `now`. Only thin shells (main loops, workers, tools) call clock_now().
#pragma once

#include <stdint.h>
#include <time.h>

typedef int64_t ns_t;

#define NS_PER_US ((ns_t)1000)
#define NS_PER_MS ((ns_t)1000000)
// Not NS_PER_S: DPDK defines that, as an int.
#define NS_PER_SEC ((ns_t)1000000000)
#define NS_NEVER INT64_MAX

static inline ns_t clock_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (ns_t)ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

// Nanoseconds since 1970, for what people read (events, logs). Never used to measure.
static inline ns_t clock_wall(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (ns_t)ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}
