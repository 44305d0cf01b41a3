// SPDX-License-Identifier: Apache-2.0
// Second by second: bench_seconds.h.
#include "test/bench/bench_seconds.h"

#include <stdlib.h>
#include <string.h>

void seconds_add(struct seconds *s, uint64_t value)
{
	hist_add(&s->now, value);
}

void seconds_end(struct seconds *s)
{
	if (s->count < SECONDS_MAX && s->now.count)
		s->p99[s->count++] = hist_quantile(&s->now, 0.99);
	s->now = (struct hist){0};
}

static int ascending(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return left < right ? -1 : left > right;
}

uint64_t seconds_p99(const struct seconds *s)
{
	uint64_t sorted[SECONDS_MAX];

	memcpy(sorted, s->p99, sizeof(sorted));
	qsort(sorted, s->count, sizeof(*sorted), ascending);
	return s->count ? sorted[s->count / 2] : 0;
}
