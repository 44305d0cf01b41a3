// SPDX-License-Identifier: Apache-2.0
// lib/balance: two random choices.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/balance/two_choices.h"

static uint32_t load_of(void *arg, uint32_t i)
{
	return ((const uint32_t *)arg)[i];
}

static void prefers_the_lesser_load(void **state)
{
	uint32_t loads[] = {5, 0};
	struct rng rng;

	rng_seed(&rng, 1);
	for (int i = 0; i < 100; i++)
		assert_int_equal(lb_two_choices(&rng, 2, load_of, loads), 1);
}

static void never_chooses_what_is_down(void **state)
{
	uint32_t loads[] = {LB_DOWN, LB_DOWN, LB_DOWN, 900, LB_DOWN};
	struct rng rng;

	rng_seed(&rng, 2);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(lb_two_choices(&rng, 5, load_of, loads), 3);
	loads[3] = LB_DOWN;
	assert_int_equal(lb_two_choices(&rng, 5, load_of, loads), LB_NONE);
	assert_int_equal(lb_two_choices(&rng, 1, load_of, loads), LB_NONE);
	assert_int_equal(lb_two_choices(&rng, 0, load_of, loads), LB_NONE);
}

// Balls into bins: with two choices the fullest of n bins holds about ln ln n / ln 2 more than the
// average, with one choice far more.
static void spreads_evenly(void **state)
{
	enum { BINS = 100, BALLS = 100000 };
	uint32_t loads[BINS] = {0};
	struct rng rng;
	uint32_t most = 0;

	rng_seed(&rng, 3);
	for (int i = 0; i < BALLS; i++)
		loads[lb_two_choices(&rng, BINS, load_of, loads)]++;
	for (int i = 0; i < BINS; i++)
		most = loads[i] > most ? loads[i] : most;
	assert_in_range(most, BALLS / BINS, BALLS / BINS + 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prefers_the_lesser_load),
		cmocka_unit_test(never_chooses_what_is_down),
		cmocka_unit_test(spreads_evenly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
