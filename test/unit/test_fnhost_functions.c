// SPDX-License-Identifier: Apache-2.0
// The queue of a function and the places of its instances, in virtual time; and a random run that counts along.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "fnhost/functions.h"
#include "lib/base/rng.h"

static struct fn *make(struct functions *f, uint32_t queue_max)
{
	struct fn *fn;

	functions_init(f);
	fn = fn_get(f, "default", "echo", 1);
	assert_non_null(fn);
	fn->queue_max = queue_max;
	return fn;
}

static void one_queue_from_which_instances_pull(void **state)
{
	struct functions f;
	struct fn *fn = make(&f, 2);
	struct fn_member a = {.fn = fn, .concurrency = 1}, b = {.fn = fn, .concurrency = 2}, *m;
	struct fn_item items[7];

	assert_int_equal(fn_submit(&f, fn, &items[0], 10, 0, &m), FN_NO_INSTANCE);
	fn_member_join(&f, &a);
	fn_member_join(&f, &b);
	fn_member_join(&f, &b); // twice is once
	assert_int_equal(fn->capacity, 3);
	assert_int_equal(fn_submit(&f, fn, &items[0], 10, 0, &m), FN_RUN);
	assert_ptr_equal(m, &b); // the one with more free places
	assert_int_equal(fn_submit(&f, fn, &items[1], 10, 0, &m), FN_RUN);
	assert_int_equal(fn_submit(&f, fn, &items[2], 10, 0, &m), FN_RUN);
	assert_int_equal(a.running + b.running, 3);
	assert_int_equal(fn_submit(&f, fn, &items[3], 10, 100, &m), FN_WAIT);
	assert_int_equal(fn_submit(&f, fn, &items[4], 10, 200, &m), FN_WAIT);
	assert_int_equal(fn_submit(&f, fn, &items[5], 10, 300, &m), FN_FULL);
	assert_int_equal(fn->queued, 2);
	assert_int_equal(fn->queued_bytes, 20);
	assert_null(fn_pull(&f, &a, 400)); // no place is free
	fn_end(&f, &a, false);
	assert_ptr_equal(fn_pull(&f, &a, 500), &items[3]); // oldest first
	assert_int_equal(fn->queue_time_ns.max, 400);
	assert_null(fn_pull(&f, &a, 500));
	fn_leave(&f, fn, &items[4]);
	fn_leave(&f, fn, &items[4]); // twice is once
	assert_int_equal(fn->queued, 0);
	assert_int_equal(fn->queued_bytes, 0);
	fn_end(&f, &a, false);
	fn_end(&f, &b, false);
	fn_end(&f, &b, false);
	fn_member_leave(&f, &a);
	fn_member_leave(&f, &b);
	assert_int_equal(fn->capacity, 0);
	fn_put(&f, fn);
	functions_fini(&f);
}

static void held_places_are_not_free(void **state)
{
	struct functions f;
	struct fn *fn = make(&f, 8);
	struct fn_member a = {.fn = fn, .concurrency = 1}, *m;
	struct fn_item first, second;

	fn_member_join(&f, &a);
	assert_int_equal(fn_submit(&f, fn, &first, 0, 0, &m), FN_RUN);
	fn_end(&f, &a, true); // given up, its handler runs on
	assert_int_equal(fn_submit(&f, fn, &second, 0, 0, &m), FN_WAIT);
	assert_null(fn_pull(&f, &a, 1));
	fn_set_held(&f, &a, 0); // the instance says that it has ended
	assert_ptr_equal(fn_pull(&f, &a, 2), &second);
	fn_end(&f, &a, false);
	fn_member_leave(&f, &a);
	fn_put(&f, fn);
}

static void bytes_are_bounded(void **state)
{
	struct functions f;
	struct fn *fn = make(&f, 1000);
	struct fn_member a = {.fn = fn, .concurrency = 1}, *m;
	struct fn_item items[4];

	fn_member_join(&f, &a);
	assert_int_equal(fn_submit(&f, fn, &items[0], 1, 0, &m), FN_RUN);
	assert_int_equal(fn_submit(&f, fn, &items[1], FN_QUEUE_BYTES_MAX - 1, 0, &m), FN_WAIT);
	assert_int_equal(fn_submit(&f, fn, &items[2], 2, 0, &m), FN_FULL);
	assert_int_equal(fn_submit(&f, fn, &items[2], 1, 0, &m), FN_WAIT);
	assert_ptr_equal(fn_waiting(fn), &items[1]);
	fn_leave(&f, fn, &items[1]);
	fn_leave(&f, fn, &items[2]);
	fn_end(&f, &a, false);
	fn_member_leave(&f, &a);
	fn_put(&f, fn);
}

static void routes_and_versions(void **state)
{
	struct functions f;
	struct fn *one = make(&f, 1), *two, *other;
	struct fn_member m = {.fn = one, .concurrency = 1};

	two = fn_get(&f, "default", "echo", 2);
	other = fn_get(&f, "lab", "echo", 9);
	assert_ptr_equal(fn_get(&f, "default", "echo", 2), two);
	fn_put(&f, two);
	assert_ptr_equal(fn_find(&f, "echo", 0), two); // the newest
	fn_member_join(&f, &m);
	assert_ptr_equal(fn_find(&f, "echo", 0), one); // the newest that is live
	assert_ptr_equal(fn_find(&f, "echo@2", 0), two);
	assert_ptr_equal(fn_find(&f, "default/echo@2", 0), two);
	assert_ptr_equal(fn_find(&f, "echo@1", 2), two); // the gateway's word counts
	assert_ptr_equal(fn_find(&f, "lab/echo", 0), other);
	assert_null(fn_find(&f, "lab/echo", 1));
	assert_null(fn_find(&f, "ech", 0));
	assert_null(fn_find(&f, "echoo", 0));
	assert_null(fn_find(&f, "", 0));
	assert_null(fn_find(&f, "/", 0));
	fn_member_leave(&f, &m);
	fn_put(&f, one);
	fn_put(&f, two);
	fn_put(&f, other);
	functions_fini(&f);
}

// Whatever comes: nothing waits while a place is free, and the counts are those of what happened.
static void random_run(void **state)
{
	struct functions f;
	struct fn *fn = make(&f, 16);
	struct fn_member members[3];
	struct fn_item *items = calloc(20000, sizeof(*items));
	unsigned running[3] = {0}, waiting = 0, ready = 0;
	struct rng rng;

	rng_seed(&rng, 7);
	for (unsigned i = 0; i < 3; i++)
		members[i] = (struct fn_member){.fn = fn, .concurrency = i + 1};
	for (unsigned n = 0; n < 20000; n++) {
		unsigned k = rng_below(&rng, 3), free_places = 0;
		struct fn_member *m = &members[k], *got;

		switch (rng_below(&rng, 4)) {
		case 0:
		case 1:
			switch (fn_submit(&f, fn, &items[n], 1, n, &got)) {
			case FN_RUN:
				running[got - members]++;
				break;
			case FN_WAIT:
				waiting++;
				break;
			case FN_FULL:
				assert_int_equal(waiting, 16);
				break;
			case FN_NO_INSTANCE:
				assert_int_equal(ready, 0);
			}
			break;
		case 2:
			if (!running[k])
				break;
			fn_end(&f, m, false);
			running[k]--;
			break;
		default:
			if (fn_member_ready(m)) {
				fn_member_leave(&f, m);
				ready--;
			} else {
				fn_member_join(&f, m);
				ready++;
			}
		}
		for (k = 0; k < 3; k++) {
			while (fn_pull(&f, &members[k], n)) {
				running[k]++;
				waiting--;
			}
			if (fn_member_ready(&members[k]))
				free_places += members[k].concurrency - running[k];
			assert_true(running[k] <= members[k].concurrency);
			assert_int_equal(members[k].running, running[k]);
		}
		assert_true(!waiting || !free_places);
		assert_int_equal(fn->queued, waiting);
		assert_int_equal(fn->running, running[0] + running[1] + running[2]);
	}
	while (fn_waiting(fn))
		fn_leave(&f, fn, fn_waiting(fn));
	for (unsigned i = 0; i < 3; i++)
		fn_member_leave(&f, &members[i]);
	fn_put(&f, fn);
	functions_fini(&f);
	free(items);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_queue_from_which_instances_pull),
		cmocka_unit_test(held_places_are_not_free),
		cmocka_unit_test(bytes_are_bounded),
		cmocka_unit_test(routes_and_versions),
		cmocka_unit_test(random_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
