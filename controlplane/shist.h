// SPDX-License-Identifier: Apache-2.0
// A histogram of lib/base/hist.h that holds only the buckets in use: thousands of services have one
// each.
#pragma once

#include <jansson.h>

#include "lib/base/hist.h"

struct shist_bucket {
	uint32_t index;
	uint64_t count;
};

// Zeroed: empty.
struct shist {
	uint64_t count, sum, max;
	uint32_t used, room;
	struct shist_bucket *buckets;  // by index
};

// From {"count", "sum", "max", "buckets": [[index, count], ...]}: replaces *h. 0, or -EINVAL and *h
// is as it was.
int shist_parse(struct shist *h, const json_t *json);
// Adds what `now` has more than `before` (all of it, if `now` has less: it began anew).
void shist_add_diff(struct shist *to, const struct shist *now, const struct shist *before);
void shist_add(struct shist *to, const struct shist *from);
// Empties it and keeps its memory.
void shist_clear(struct shist *h);
void shist_fini(struct shist *h);
// The least value v such that at least q (0..1) of the values are <= v, within the buckets' error.
uint64_t shist_quantile(const struct shist *h, double q);
// Values below 2^exponent.
uint64_t shist_below(const struct shist *h, unsigned exponent);
