// SPDX-License-Identifier: Apache-2.0
// Loads that hosts tell: the push as bytes, what a worker remembers, and what a load is worth.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "dataplane/capacity.h"
#include "dataplane/load.h"
#include "lib/call/load.h"

#define NOW (1000 * NS_PER_SEC)

static struct loads loads;

static struct load load_of(uint32_t slot, uint32_t target, ns_t told, uint32_t queued)
{
	return (struct load){.key = {.slot = slot, .generation = 1, .target = target, .version = 5},
		.told = told, .queued = queued, .running = 2, .capacity = 4};
}

static void pushes_are_read_as_written(void **state)
{
	static const struct call_load said[] = {
		{.namespace = "default", .namespace_len = 7, .name = "echo", .name_len = 4,
			.version = 1, .queued = 2, .running = 3, .capacity = 4},
		{.namespace = "n", .namespace_len = 1, .name = "f", .name_len = 1,
			.version = UINT32_MAX},
	};
	uint8_t bytes[128];
	struct writer w = writer_of(bytes, sizeof(bytes));
	struct call_load load;
	struct reader r;
	const size_t first = 1 + 1 + 7 + 1 + 4 + 16;
	size_t len;

	writer_u8(&w, CALL_LOAD_PUSH);
	for (unsigned i = 0; i < 2; i++)
		assert_true(call_load_write(&w, &said[i]));
	len = (size_t)(w.at - bytes);
	assert_int_equal(call_load_check(bytes, len), 0);
	r = reader_of(bytes + 1, len - 1);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(call_load_next(&r, &load));
		assert_int_equal(load.name_len, said[i].name_len);
		assert_memory_equal(load.name, said[i].name, load.name_len);
		assert_memory_equal(load.namespace, said[i].namespace, load.namespace_len);
		assert_int_equal(load.version, said[i].version);
		assert_int_equal(load.queued, said[i].queued);
		assert_int_equal(load.running, said[i].running);
		assert_int_equal(load.capacity, said[i].capacity);
	}
	assert_false(call_load_next(&r, &load));
	// Torn anywhere but between two, it is no push.
	for (size_t n = 2; n < len; n++)
		assert_int_equal(call_load_check(bytes, n), n == first ? 0 : -EINVAL);
	bytes[0] = 3;
	assert_int_equal(call_load_check(bytes, len), -ENOTSUP);
	// What does not fit is not begun.
	w = writer_of(bytes, 20);
	assert_false(call_load_write(&w, &said[0]));
	assert_ptr_equal(w.at, bytes);
	assert_false(w.bad);
}

static void the_last_one_told_counts(void **state)
{
	struct load a = load_of(1, 2, NOW, 10), b = load_of(1, 3, NOW, 20);

	assert_false(loads_tell(&loads, &a));
	assert_false(loads_tell(&loads, &b));
	loads_find(&loads, &a.key)->sent = 9;
	a.queued = 11;
	assert_false(loads_tell(&loads, &a));
	assert_int_equal(loads_find(&loads, &a.key)->queued, 11);
	assert_int_equal(loads_find(&loads, &a.key)->sent, 0);
	assert_int_equal(loads_find(&loads, &b.key)->queued, 20);
	// Another version, and a slot that was given to another service.
	b.key.version++;
	assert_null(loads_find(&loads, &b.key));
	a.key.generation++;
	assert_null(loads_find(&loads, &a.key));
}

static void what_is_forgotten_is_the_oldest(void **state)
{
	unsigned forgotten = 0, kept = 0;

	for (uint32_t i = 0; i < 2 * LOADS_MAX; i++) {
		struct load load = load_of(i % 8192, i / 8192, NOW + i, i);

		forgotten += loads_tell(&loads, &load);
		assert_non_null(loads_find(&loads, &load.key));
	}
	for (uint32_t i = 0; i < 2 * LOADS_MAX; i++) {
		struct load load = load_of(i % 8192, i / 8192, 0, 0);

		kept += loads_find(&loads, &load.key) != NULL;
	}
	assert_int_equal(kept + forgotten, 2 * LOADS_MAX);
	assert_true(kept > LOADS_MAX / 2);
	// One that is too old to count is no loss.
	for (uint32_t i = 0; i < 100; i++) {
		struct load load = load_of(i, 100, NOW + 2 * LOADS_MAX + (i + 1) * LOAD_AGE_MAX, 0);

		assert_false(loads_tell(&loads, &load));
	}
}

static void a_load_is_worth_what_waits_by_capacity(void **state)
{
	struct load load = load_of(1, 2, NOW, 10);

	assert_int_equal(load_value(&load, 0, NOW), 12 * LOAD_SCALE / 4);
	load.sent = 4;
	assert_int_equal(load_value(&load, 0, NOW), 16 * LOAD_SCALE / 4);
	// Too old: what we have there ourselves.
	assert_int_equal(load_value(&load, 2, NOW + LOAD_AGE_MAX), 2 * LOAD_SCALE / 4);
	assert_int_equal(load_value(NULL, 0, NOW), 0);
	assert_true(load_value(NULL, 1, NOW) > 0);
	load.queued = load.running = UINT32_MAX;
	load.capacity = 1;
	assert_int_equal(load_value(&load, 0, NOW), LOAD_VALUE_MAX);
	load.queued = load.running = load.capacity = 0;
	assert_int_equal(load_value(&load, 0, NOW), LOAD_VALUE_MAX);
	assert_int_equal(load_value(&load, 0, NOW + LOAD_AGE_MAX), 0);
}

static int start(void **state)
{
	return loads_init(&loads);
}

static int end(void **state)
{
	loads_fini(&loads);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pushes_are_read_as_written),
		cmocka_unit_test_setup_teardown(the_last_one_told_counts, start, end),
		cmocka_unit_test_setup_teardown(what_is_forgotten_is_the_oldest, start, end),
		cmocka_unit_test(a_load_is_worth_what_waits_by_capacity),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
