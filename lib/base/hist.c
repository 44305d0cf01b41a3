// SPDX-License-Identifier: Apache-2.0
// Log-linear histogram: see hist.h.

#include "lib/base/hist.h"

#include "lib/base/atomic.h"

void hist_add_n(struct hist *h, uint64_t value, uint64_t n)
{
	counter_add(&h->bucket[hist_index(value)], n);
	counter_add(&h->sum, value * n);
	counter_add(&h->count, n);
	if (n && value > counter_read(&h->max))
		counter_set(&h->max, value);
}

void hist_add(struct hist *h, uint64_t value)
{
	hist_add_n(h, value, 1);
}

void hist_merge(struct hist *to, const struct hist *from)
{
	uint64_t count = 0;

	// The count is made from the buckets, so that quantiles add up even while `from` is written.
	for (unsigned i = 0; i < HIST_BUCKETS; i++) {
		uint64_t n = counter_read(&from->bucket[i]);

		to->bucket[i] += n;
		count += n;
	}
	to->count += count;
	to->sum += counter_read(&from->sum);
	if (counter_read(&from->max) > to->max)
		to->max = counter_read(&from->max);
}

void hist_merge_diff(struct hist *to, const struct hist *now, const struct hist *before)
{
	for (unsigned i = 0; i < HIST_BUCKETS; i++)
		to->bucket[i] += now->bucket[i] - before->bucket[i];
	to->count += now->count - before->count;
	to->sum += now->sum - before->sum;
	if (now->max > to->max)
		to->max = now->max;
}

uint64_t hist_bucket_low(unsigned index)
{
	unsigned shift;

	if (index < (2u << HIST_SUB_BITS))
		return index;
	shift = (index >> HIST_SUB_BITS) - 1;
	return ((uint64_t)(index & ((1u << HIST_SUB_BITS) - 1)) + (1u << HIST_SUB_BITS)) << shift;
}

uint64_t hist_bucket_high(unsigned index)
{
	return hist_bucket_low(index + 1);
}

uint64_t hist_quantile(const struct hist *h, double q)
{
	uint64_t rank, seen = 0;

	if (h->count == 0)
		return 0;
	rank = (uint64_t)(q * (double)h->count);
	if ((double)rank < q * (double)h->count)
		rank++;
	if (rank == 0)
		rank = 1;
	if (rank >= h->count)
		return h->max;
	for (unsigned i = 0; i < HIST_BUCKETS; i++) {
		seen += h->bucket[i];
		if (seen >= rank) {
			uint64_t low = hist_bucket_low(i);
			uint64_t middle = low + (hist_bucket_high(i) - low) / 2;

			return middle < h->max ? middle : h->max;
		}
	}
	return h->max;
}

double hist_mean(const struct hist *h)
{
	return h->count ? (double)h->sum / (double)h->count : 0;
}
