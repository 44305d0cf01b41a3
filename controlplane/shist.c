// SPDX-License-Identifier: Apache-2.0
// Sparse histograms: sorted arrays of buckets, merged pairwise. One thread.
#include "controlplane/shist.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static void reserve(struct shist *h, uint32_t room)
{
	if (room <= h->room)
		return;
	h->buckets = realloc(h->buckets, room * sizeof(*h->buckets));
	if (!h->buckets)
		abort();  // out of memory in the control plane: what was acknowledged is in the
			  // store
	h->room = room;
}

// Adds to one bucket; cheap when called in ascending order with `hint` kept between calls.
static void add(struct shist *h, uint32_t *hint, uint32_t index, uint64_t count)
{
	uint32_t i = *hint;

	while (i < h->used && h->buckets[i].index < index)
		i++;
	*hint = i;
	if (i == h->used || h->buckets[i].index != index) {
		if (h->used == h->room)
			reserve(h, h->room ? h->room * 2 : 16);
		memmove(h->buckets + i + 1, h->buckets + i, (h->used - i) * sizeof(*h->buckets));
		h->buckets[i] = (struct shist_bucket){index, 0};
		h->used++;
	}
	h->buckets[i].count += count;
}

static bool number(const json_t *json, uint64_t *out)
{
	if (!json_is_integer(json) || json_integer_value(json) < 0)
		return false;
	*out = (uint64_t)json_integer_value(json);
	return true;
}

int shist_parse(struct shist *h, const json_t *json)
{
	const json_t *list = json_object_get(json, "buckets");
	struct shist out = {0};
	uint64_t index, count, sum = 0, last = 0;
	uint32_t hint = 0;

	if (!number(json_object_get(json, "count"), &out.count) ||
		!number(json_object_get(json, "sum"), &out.sum) ||
		!number(json_object_get(json, "max"), &out.max) || !json_is_array(list))
		return -EINVAL;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *pair = json_array_get(list, i);

		if (!number(json_array_get(pair, 0), &index) || index >= HIST_BUCKETS ||
			!number(json_array_get(pair, 1), &count) || (i && index <= last)) {
			shist_fini(&out);
			return -EINVAL;
		}
		last = index;
		sum += count;
		add(&out, &hint, (uint32_t)index, count);
	}
	// The workers' writes and the report's reads are not one instant: the buckets are what
	// counts.
	out.count = sum;
	shist_fini(h);
	*h = out;
	return 0;
}

static uint64_t at(const struct shist *h, uint32_t *hint, uint32_t index)
{
	while (*hint < h->used && h->buckets[*hint].index < index)
		++*hint;
	return *hint < h->used && h->buckets[*hint].index == index ? h->buckets[*hint].count : 0;
}

static bool began_anew(const struct shist *now, const struct shist *before)
{
	return now->count < before->count || now->sum < before->sum;
}

void shist_add_diff(struct shist *to, const struct shist *now, const struct shist *before)
{
	static const struct shist nothing;
	uint32_t to_hint = 0, before_hint = 0;
	uint64_t top = 0;  // no new value was larger

	if (began_anew(now, before))
		before = &nothing;
	for (uint32_t i = 0; i < now->used; i++) {
		uint64_t old = at(before, &before_hint, now->buckets[i].index);
		uint64_t more = now->buckets[i].count > old ? now->buckets[i].count - old : 0;

		if (!more)
			continue;
		add(to, &to_hint, now->buckets[i].index, more);
		to->count += more;
		top = now->buckets[i].index == HIST_BUCKETS - 1
			      ? UINT64_MAX
			      : hist_bucket_high(now->buckets[i].index) - 1;
	}
	to->sum += now->sum - before->sum;
	if (top > now->max)
		top = now->max;
	if (top > to->max)
		to->max = top;
}

void shist_add(struct shist *to, const struct shist *from)
{
	static const struct shist nothing;

	shist_add_diff(to, from, &nothing);
}

void shist_clear(struct shist *h)
{
	h->count = h->sum = h->max = 0;
	h->used = 0;
}

void shist_fini(struct shist *h)
{
	free(h->buckets);
	*h = (struct shist){0};
}

uint64_t shist_quantile(const struct shist *h, double q)
{
	uint64_t rank = (uint64_t)(q * (double)h->count), seen = 0;

	if ((double)rank < q * (double)h->count || rank == 0)
		rank++;
	if (rank >= h->count)
		return h->max;
	for (uint32_t i = 0; i < h->used; i++) {
		uint64_t low = hist_bucket_low(h->buckets[i].index);
		uint64_t high = hist_bucket_high(h->buckets[i].index);
		uint64_t middle = low + (high - low) / 2;

		seen += h->buckets[i].count;
		if (seen >= rank)
			return middle < h->max ? middle : h->max;
	}
	return h->max;
}

uint64_t shist_below(const struct shist *h, unsigned exponent)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < h->used; i++)
		if (hist_bucket_low(h->buckets[i].index) < (uint64_t)1 << exponent)
			sum += h->buckets[i].count;
	return sum;
}
