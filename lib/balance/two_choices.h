// SPDX-License-Identifier: Apache-2.0
// The power of two random choices (Mitzenmacher, 2001): of two picked at random the one with less
// load. Pure.
#pragma once

#include <stdint.h>

#include "lib/base/rng.h"

#define LB_DOWN UINT32_MAX // load of a candidate that must not be chosen
#define LB_NONE UINT32_MAX // no candidate was usable

// load(arg, i) is the load of candidate i in [0, n), or LB_DOWN. If both picked are down, the first
// usable one from a random place on is taken, so that LB_NONE means that all are down.
static inline uint32_t lb_two_choices(
	struct rng *rng, uint32_t n, uint32_t (*load)(void *arg, uint32_t i), void *arg)
{
	uint32_t a, b, load_a, load_b;

	if (n == 0)
		return LB_NONE;
	a = rng_below(rng, n);
	load_a = load(arg, a);
	if (n == 1)
		return load_a == LB_DOWN ? LB_NONE : a;
	// Uniform over the others.
	b = rng_below(rng, n - 1);
	b += b >= a;
	load_b = load(arg, b);
	if (load_a != LB_DOWN || load_b != LB_DOWN)
		return load_a <= load_b ? a : b;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t at = (a + i) % n;

		if (load(arg, at) != LB_DOWN)
			return at;
	}
	return LB_NONE;
}
