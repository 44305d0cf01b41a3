// SPDX-License-Identifier: Apache-2.0
// A function under `penstock test`: instead of serving a host it runs the cases that come over a socket
// (lib/call/test_frame.h), one after the other, on this thread, in the harness of test.h with time as it passes.
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fnhost/sdk/internal.h"
#include "fnhost/sdk/test.h"
#include "lib/base/cursor.h"
#include "lib/call/test_frame.h"

static int read_all(int fd, void *data, size_t len)
{
	char *at = data;

	while (len) {
		ssize_t n = read(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EPIPE;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static int write_all(int fd, const void *data, size_t len)
{
	const char *at = data;

	while (len) {
		ssize_t n = write(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

// number: in front of the data, if it is not negative.
static int send_frame(int fd, enum test_frame type, int64_t number, const void *data, size_t len)
{
	uint8_t bytes[TEST_FRAME_HEAD + 4];
	struct writer w = writer_of(bytes, sizeof(bytes));
	int error;

	writer_u8(&w, (uint8_t)type);
	writer_u32(&w, (uint32_t)(len + (number < 0 ? 0 : 4)));
	if (number >= 0)
		writer_u32(&w, (uint32_t)number);
	error = write_all(fd, bytes, (size_t)(w.at - bytes));
	return error ? error : write_all(fd, data, len);
}

static void take_answer(struct pn_test *t, struct reader *r)
{
	uint32_t code = reader_u32(r);
	uint16_t len = reader_u16(r);
	const uint8_t *name = reader_take(r, len);
	char function[PN_FUNCTION_MAX + 1], text[PN_ERROR_TEXT_MAX];
	size_t left = reader_left(r);

	if (r->bad || len > PN_FUNCTION_MAX)
		return;
	memcpy(function, name, len);
	function[len] = 0;
	if (!code) {
		pn_test_answer(t, function, reader_take(r, left), left);
		return;
	}
	left = left < sizeof(text) ? left : sizeof(text) - 1;
	memcpy(text, reader_take(r, left), left);
	text[left] = 0;
	pn_test_answer_error(t, function, code, text);
}

static int run_case(int fd, struct pn_test *t, struct reader *r)
{
	static const struct pn_test_result *(*const kinds[])(
		struct pn_test *t, const void *data, size_t len) = {
		[TEST_CALL] = pn_test_call,
		[TEST_EVENT] = pn_test_event,
		[TEST_STREAM] = pn_test_stream,
	};
	uint8_t kind = reader_u8(r);
	size_t len = reader_left(r);
	const struct pn_test_result *result;
	int error = 0;

	if (kind > TEST_STREAM)
		return -EPROTO;
	result = kinds[kind](t, reader_take(r, len), len);
	for (size_t i = 0; !error && i < result->items_count; i++)
		error = send_frame(fd, TEST_ITEM, -1, result->items[i].data, result->items[i].len);
	if (!error && result->code)
		error = send_frame(fd, TEST_ERROR, result->code, result->text, strlen(result->text));
	else if (!error)
		error = send_frame(fd, TEST_REPLY, -1, result->data, result->len);
	return error ? error : send_frame(fd, TEST_OVER, result->calls, NULL, 0);
}

// Frames that are not known here are of a newer penstock: better a case that fails than one that means less.
static int take_frame(int fd, struct pn_test *t, uint8_t type, struct reader *r)
{
	char mime[129];
	size_t len = reader_left(r);

	switch (type) {
	case TEST_ANSWER:
		take_answer(t, r);
		break;
	case TEST_LEFT:
		pn_test_time_left_us(t, (int64_t)reader_u64(r));
		break;
	case TEST_MIME:
		len = len < sizeof(mime) ? len : sizeof(mime) - 1;
		memcpy(mime, reader_take(r, len), len);
		mime[len] = 0;
		pn_test_mime(t, mime);
		break;
	case TEST_CREDIT:
		pn_test_credit(t, reader_u32(r));
		break;
	case TEST_CANCEL:
		pn_test_cancel_after(t, reader_u32(r));
		break;
	case TEST_RUN:
		return run_case(fd, t, r);
	default:
		return -EPROTO;
	}
	return r->bad ? -EPROTO : 0;
}

static struct pn_test *fresh(const struct pn_function *function)
{
	struct pn_test *t = pn_test_new(function);

	if (t)
		pn_test_real_time(t);
	return t;
}

// One frame, and a new harness after a case. 0, or -E... at the end.
static int step(int fd, struct pn_test **t, const struct pn_function *function)
{
	uint8_t head[TEST_FRAME_HEAD] = {0}, *bytes;
	struct reader r = reader_of(head, sizeof(head));
	int error = *t ? read_all(fd, head, sizeof(head)) : -ENOMEM;
	uint8_t type = error ? 0 : reader_u8(&r);
	uint32_t len = error ? 0 : reader_u32(&r);

	if (error)
		return error;
	bytes = len <= TEST_FRAME_MAX ? malloc(len + 1) : NULL;
	if (!bytes)
		return -ENOMEM;
	error = read_all(fd, bytes, len);
	if (!error) {
		r = reader_of(bytes, len);
		error = take_frame(fd, *t, type, &r);
	}
	free(bytes);
	if (type == TEST_RUN) {
		pn_test_destroy(*t);
		*t = fresh(function);
	}
	return error;
}

int pn_cases_serve(int fd, const struct pn_function *function)
{
	struct pn_test *t = fresh(function);
	int error = t ? send_frame(fd, TEST_STARTED, -1, NULL, 0) : -ENOMEM;

	while (!error)
		error = step(fd, &t, function);
	if (t)
		pn_test_destroy(t);
	close(fd);
	return error == -EPIPE ? 0 : error;
}
