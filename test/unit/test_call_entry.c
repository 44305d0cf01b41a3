// SPDX-License-Identifier: Apache-2.0
// The call entry, byte by byte.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "lib/call/entry.h"

static const uint8_t whole[] = {
	0x05, 0x02, 0x01, 0x02,                         // idempotent and tied, attempt 2, class 258
	0x00, 0x0f, 0x42, 0x40,                         // 1 s
	0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, // id
	0x0a, 0x0b, 0x0c, 0x0d,                         // instance
	0x01, 0x04, 0x00, 0x00, 0x00, 0x07,             // version 7
	0xee, 0x01, 0x99,                               // unknown
	0x02, 0x00,                                     // event
};

static void read_all(void **state)
{
	struct call_entry e;
	struct call_tlv tlv;

	assert_int_equal(call_entry_read(&e, whole, sizeof(whole)), 0);
	assert_int_equal(e.flags, CALL_ENTRY_IDEMPOTENT | CALL_ENTRY_TIED);
	assert_int_equal(e.attempt, 2);
	assert_int_equal(e.class, 258);
	assert_int_equal(e.left_us, 1000000);
	assert_true(e.id == 0x0102030405060708);
	assert_int_equal(e.instance, 0x0a0b0c0d);
	assert_int_equal(call_tlv_u32(&e, CALL_TLV_VERSION, 1), 7);
	assert_true(call_tlv_find(&e, CALL_TLV_EVENT, &tlv));
	assert_int_equal(tlv.len, 0);
	assert_false(call_tlv_find(&e, CALL_TLV_PARENT, &tlv));
	assert_true(call_tlv_u64(&e, CALL_TLV_PARENT, 77) == 77);
	assert_int_equal(call_tlv_u32(&e, 0xee, 5), 5); // of another length
}

static void write_is_exact(void **state)
{
	uint8_t out[sizeof(whole)];
	struct writer w = writer_of(out, sizeof(out));
	const struct call_entry e = {.flags = 5,
		.attempt = 2,
		.class = 258,
		.left_us = 1000000,
		.id = 0x0102030405060708,
		.instance = 0x0a0b0c0d};

	call_entry_write(&w, &e);
	assert_int_equal(w.at - out, CALL_ENTRY_HEAD_BYTES);
	call_tlv_write_u32(&w, CALL_TLV_VERSION, 7);
	call_tlv_write(&w, 0xee, "\x99", 1);
	call_tlv_write(&w, CALL_TLV_EVENT, NULL, 0);
	assert_false(w.bad);
	assert_int_equal(w.at - out, sizeof(whole));
	assert_memory_equal(out, whole, sizeof(whole));
	// One byte too few is noticed, and nothing is written past the end.
	w = writer_of(out, CALL_ENTRY_HEAD_BYTES - 1);
	call_entry_write(&w, &e);
	assert_true(w.bad);
}

static void tlvs_pass_on(void **state)
{
	uint8_t out[sizeof(whole) + 10];
	struct writer w = writer_of(out, sizeof(out));
	struct call_entry e, again;

	assert_int_equal(call_entry_read(&e, whole, sizeof(whole)), 0);
	call_entry_write(&w, &e);
	assert_memory_equal(out, whole, sizeof(whole));
	call_tlv_write_u64(&w, CALL_TLV_PARENT, UINT64_MAX - 1);
	assert_int_equal(call_entry_read(&again, out, (size_t)(w.at - out)), 0);
	assert_true(call_tlv_u64(&again, CALL_TLV_PARENT, 0) == UINT64_MAX - 1);
	assert_int_equal(call_tlv_u32(&again, CALL_TLV_VERSION, 0), 7);
}

static void short_and_torn_are_refused(void **state)
{
	static const uint8_t big[CALL_ENTRY_BYTES_MAX + 1];
	struct call_entry e = {.id = 42};

	for (size_t len = 0; len < sizeof(whole); len++) {
		bool good = len == 20 || len == 26 || len == 29;

		assert_int_equal(call_entry_read(&e, whole, len), good ? 0 : -EINVAL);
		if (len < 20)
			assert_true(e.id == 42); // untouched on failure
	}
	assert_int_equal(call_entry_read(&e, big, sizeof(big)), -EINVAL);
}

static void time_left(void **state)
{
	assert_true(call_deadline(0, 5) == NS_NEVER);
	assert_true(call_deadline(3, 5) == 3005);
	assert_int_equal(call_left_us(NS_NEVER, 5), 0);
	assert_int_equal(call_left_us(3005, 5), 3);
	assert_int_equal(call_left_us(5, 5), 1); // passed, which is not the same as none
	assert_int_equal(call_left_us(5, 5000000), 1);
	assert_true(call_left_us(NS_NEVER - 1, 5) == UINT32_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(read_all),
		cmocka_unit_test(write_is_exact),
		cmocka_unit_test(tlvs_pass_on),
		cmocka_unit_test(short_and_torn_are_refused),
		cmocka_unit_test(time_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
