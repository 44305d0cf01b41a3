// SPDX-License-Identifier: Apache-2.0
// Unit tests of a function without any platform: its handlers run here and now, on this thread.
//
//	struct pn_test *t = pn_test_new(&function);
//	pn_test_answer(t, "thumbnail", jpeg, jpeg_len);
//	const struct pn_test_result *r = pn_test_call(t, data, len);
//	assert(r->code == 0 && r->len == 3);
//	pn_test_destroy(t);
//
// Time stands still but for pn_test_sleep(), unless pn_test_real_time() lets it pass. A result is valid until the
// next call. `penstock test` runs cases from a file in this harness, without a program of tests.
#pragma once

#include "fnhost/sdk/penstock.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pn_test;

struct pn_test_item {
	const void *data; // with a NUL behind it
	size_t len;
};

struct pn_test_result {
	uint32_t code;    // 0: no error
	const char *text; // of an error
	const void *data; // the reply, with a NUL behind it
	size_t len;
	const struct pn_test_item *items; // of a stream
	size_t items_count;
	unsigned calls; // that the handler made to other functions
};

// NULL when out of memory.
struct pn_test *pn_test_new(const struct pn_function *function);
void pn_test_destroy(struct pn_test *t);

// Run the handler of each kind.
const struct pn_test_result *pn_test_call(struct pn_test *t, const void *data, size_t len);
const struct pn_test_result *pn_test_event(struct pn_test *t, const void *data, size_t len);
const struct pn_test_result *pn_test_stream(struct pn_test *t, const void *data, size_t len);

// Circumstances of the calls that follow.
void pn_test_time_left_us(struct pn_test *t, int64_t us); // 0: no deadline
void pn_test_mime(struct pn_test *t, const char *mime);
// The caller asks for n items only: pn_item_try() then says -EAGAIN, and pn_item(), which would wait for
// ever, finds the call cancelled.
void pn_test_credit(struct pn_test *t, unsigned n);
// The caller gives up once n items were taken; 0: before the handler begins. UINT_MAX: never.
void pn_test_cancel_after(struct pn_test *t, unsigned n);
// From now on time passes as on the clock, so that a handler that waits sees its deadline.
void pn_test_real_time(struct pn_test *t);
// From within a handler under test: time passes, without waiting.
void pn_test_sleep(struct pn_context *ctx, int64_t us);

// What other functions answer; the last word on a name counts. Without one: REJECTED.
void pn_test_answer(struct pn_test *t, const char *function, const void *data, size_t len);
void pn_test_answer_error(struct pn_test *t, const char *function, uint32_t code, const char *text);
// The other function is run for real.
void pn_test_answer_with(
	struct pn_test *t, const char *function, const struct pn_function *other);

#ifdef __cplusplus
}
#endif
