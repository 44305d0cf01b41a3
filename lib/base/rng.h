// SPDX-License-Identifier: Apache-2.0
// Small fast random numbers (xoshiro256**, Blackman and Vigna) for balancing, jitter and tests. Not
// for secrets: those come from getrandom(2).
#pragma once

#include <stdint.h>

struct rng {
	uint64_t s[4];
};

// The same seed gives the same sequence.
void rng_seed(struct rng *rng, uint64_t seed);
uint64_t rng_next(struct rng *rng);
// Uniform in [0, n) without division; n > 0.
static inline uint32_t rng_below(struct rng *rng, uint32_t n)
{
	return (uint32_t)((rng_next(rng) >> 32) * n >> 32);
}
// Uniform in (0, 1].
double rng_unit(struct rng *rng);
