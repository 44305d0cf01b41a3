// SPDX-License-Identifier: Apache-2.0
// Log-linear histogram of non-negative integers: relative error at most 1/64 (1.6 %).
//
// Values below 64 are exact; above, each power of two is split into 32 buckets, and a value is
// reported as the middle of its bucket. One writer; others may read at any time and see
// counts that are each correct, though not of one instant. Histograms of the same kind merge by
// adding counts.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define HIST_SUB_BITS 5
#define HIST_EXPONENT_MAX 44  // values of 2^44 and more (4.9 hours in ns) count in the last bucket
#define HIST_BUCKETS ((HIST_EXPONENT_MAX - HIST_SUB_BITS + 1) << HIST_SUB_BITS)

struct hist {
	uint64_t count;
	uint64_t sum;
	uint64_t max;
	uint64_t bucket[HIST_BUCKETS];
};

static inline unsigned hist_index(uint64_t value)
{
	unsigned shift;

	if (value < (2u << HIST_SUB_BITS))
		return (unsigned)value;
	if (value >= (uint64_t)1 << HIST_EXPONENT_MAX)
		return HIST_BUCKETS - 1;
	shift = 63u - (unsigned)__builtin_clzll(value) - HIST_SUB_BITS;
	return (shift << HIST_SUB_BITS) + (unsigned)(value >> shift);
}

void hist_add(struct hist *h, uint64_t value);
// The same n times.
void hist_add_n(struct hist *h, uint64_t value, uint64_t n);
void hist_merge(struct hist *to, const struct hist *from);
// to += now - before, for reports of what happened since the last one; max is that of `now`.
void hist_merge_diff(struct hist *to, const struct hist *now, const struct hist *before);
// The least value v such that at least q (0..1) of the values are <= v, within the error. 0 if empty.
uint64_t hist_quantile(const struct hist *h, double q);
double hist_mean(const struct hist *h);
// Bounds of a bucket: [low, high).
uint64_t hist_bucket_low(unsigned index);
uint64_t hist_bucket_high(unsigned index);
