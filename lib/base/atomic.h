// SPDX-License-Identifier: Apache-2.0
// Counters with one writer that other threads may read at any time: relaxed, so a plain load and
// store on the machines we run on.
#pragma once

#include <stdint.h>

static inline uint64_t counter_read(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static inline void counter_set(uint64_t *counter, uint64_t value)
{
	__atomic_store_n(counter, value, __ATOMIC_RELAXED);
}

// Only by the counter's one writer.
static inline void counter_add(uint64_t *counter, uint64_t n)
{
	counter_set(counter, counter_read(counter) + n);
}
