// SPDX-License-Identifier: Apache-2.0
// The SDK as it serves: pn_main() with its worker threads on one side, a host's session over the real Unix socket
// on the other, both in this process so that the thread sanitizer sees all of it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fnhost/sdk/penstock.h"
#include "lib/base/cursor.h"
#include "lib/call/entry.h"
#include "lib/rsocket/metadata.h"
#include "lib/rsocket/session.h"

#define CONCURRENCY 4
#define PATIENCE (60 * NS_PER_SEC)

// The function: what a call does is told by its first letter.

static unsigned handled, noticed; // atomic

static void nap(long us)
{
	usleep((useconds_t)us);
}

static int wait_until_cancelled(struct pn_context *ctx)
{
	while (!pn_cancelled(ctx))
		nap(500);
	__atomic_add_fetch(&noticed, 1, __ATOMIC_RELAXED);
	return -ECANCELED;
}

static void count_reply(struct pn_context *ctx, struct pn_result *result, void *arg)
{
	*(unsigned *)arg += result->code == 0 && result->len == 5;
}

static int ask_others(struct pn_context *ctx)
{
	unsigned good = 0;
	char text[16];

	for (int i = 0; i < 5; i++)
		if (pn_call_async(ctx, "other", "hello", 5, count_reply, &good))
			return -EIO;
	if (pn_wait(ctx, 0))
		return -ECANCELED;
	return pn_reply(ctx, text, (size_t)snprintf(text, sizeof(text), "%u", good));
}

static int on_call(struct pn_context *ctx, const void *data, size_t len)
{
	__atomic_add_fetch(&handled, 1, __ATOMIC_RELAXED);
	switch (len ? *(const char *)data : 0) {
	case 'w':
		return wait_until_cancelled(ctx);
	case 'o':
		return ask_others(ctx);
	case 's':
		nap(50000);
		return pn_reply(ctx, data, len);
	default:
		return pn_reply(ctx, data, len);
	}
}

static int on_event(struct pn_context *ctx, const void *data, size_t len)
{
	__atomic_add_fetch(&handled, 1, __ATOMIC_RELAXED);
	return 0;
}

static int on_stream(struct pn_context *ctx, const void *data, size_t len)
{
	char item[2000] = {0};
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < 100; i++)
		rc = pn_item(ctx, item, sizeof(item));
	if (rc)
		__atomic_add_fetch(&noticed, 1, __ATOMIC_RELAXED);
	return rc;
}

static const struct pn_function function = {.call = on_call, .event = on_event, .stream = on_stream};

// The host

struct host {
	struct rs_session session;
	struct buf_pool *blocks;
	struct rs_pool *pool;
	int fd;
	unsigned replies, errors, items, completes, lost;
	unsigned asked; // by the function
	uint32_t code;
	char text[128];
	uint32_t token, held;
	bool synced;
};

static struct host *h;
static char path[64];
static pthread_t server;

static void wake(struct rs_session *s)
{
}

static void on_payload(struct rs_stream *stream, struct rs_message *message, bool next, bool complete)
{
	h->items += next && !complete;
	h->completes += complete;
	h->replies += next && complete;
	h->text[chain_read(&message->data, 0, h->text, sizeof(h->text) - 1)] = 0;
	if (next && !complete)
		rs_request_n(stream, 1);
}

static void on_error(struct rs_stream *stream, uint32_t code, struct chain *text)
{
	h->errors++;
	h->code = code;
	h->text[chain_read(text, 0, h->text, sizeof(h->text) - 1)] = 0;
}

static void on_lost(struct rs_stream *stream, bool sent)
{
	h->lost++;
}

static void on_request(struct rs_stream *stream, struct rs_message *message)
{
	h->asked++;
	rs_payload(stream, message, true, true);
}

static void on_push(struct rs_session *s, struct chain *metadata)
{
	uint8_t bytes[9];
	struct reader r = reader_of(bytes, chain_read(metadata, 0, bytes, sizeof(bytes)));

	assert_int_equal(reader_u8(&r), 1);
	h->synced = reader_u32(&r) == h->token;
	h->held = reader_u32(&r);
	assert_false(r.bad);
}

static const struct rs_handler handler = {
	.wake = wake,
	.payload = on_payload,
	.error = on_error,
	.lost = on_lost,
	.request = on_request,
	.metadata_push = on_push,
};

static void host_connect(void)
{
	const struct rs_config config = {
		.role = RS_CLIENT,
		.handler = &handler,
		.pool = h->pool,
		.keepalive_ms = 1000,
		.lifetime_ms = 60000,
		.metadata_mime = rs_mime_name(RS_MIME_COMPOSITE),
		.data_mime = rs_mime_name(RS_MIME_OCTET_STREAM),
	};
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	ns_t until = clock_now() + PATIENCE;

	strcpy(addr.sun_path, path);
	h->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	while (connect(h->fd, (struct sockaddr *)&addr, sizeof(addr))) {
		assert_true(clock_now() < until);
		nap(2000);
	}
	assert_int_equal(rs_session_init(&h->session, &config, clock_now()), 0);
}

static void host_hang_up(void)
{
	rs_session_fini(&h->session);
	close(h->fd);
}

// Sends what there is and takes what comes within a moment.
static void step(void)
{
	struct pollfd pfd = {.fd = h->fd, .events = POLLIN};
	struct chain out = {0}, in = {0};
	char bytes[65536];
	ssize_t n;

	rs_tick(&h->session, clock_now());
	while (rs_output(&h->session, &out, 65536))
		while (!chain_empty(&out)) {
			size_t len = chain_read(&out, 0, bytes, sizeof(bytes));

			n = send(h->fd, bytes, len, MSG_NOSIGNAL);
			// A function that has ended hears no more.
			chain_skip(&out, n > 0 ? (size_t)n : len);
		}
	if (poll(&pfd, 1, 20) < 1)
		return;
	n = read(h->fd, bytes, sizeof(bytes));
	if (n > 0 && chain_copy(&in, h->blocks, bytes, (size_t)n) == 0)
		rs_input(&h->session, &in, clock_now());
}

#define UNTIL(condition)                                        \
	do {                                                    \
		ns_t until_ = clock_now() + PATIENCE;           \
		while (!(condition)) {                          \
			if (clock_now() > until_)               \
				fail_msg("never: " #condition); \
			step();                                 \
		}                                               \
	} while (0)

static struct rs_stream *ask(enum rs_type type, const char *data, uint32_t n, uint32_t left_us)
{
	const struct call_entry call = {.left_us = left_us, .id = 77};
	struct rs_message message = {.has_metadata = true};
	uint8_t bytes[200];
	struct writer w = writer_of(bytes, sizeof(bytes));
	struct rs_stream *stream;
	int error = 0;

	rs_route_entry_write(&w, "f", 1);
	rs_entry_write_name(&w, CALL_ENTRY_MIME, CALL_ENTRY_HEAD_BYTES);
	call_entry_write(&w, &call);
	assert_int_equal(chain_copy(&message.metadata, h->blocks, bytes, (size_t)(w.at - bytes)), 0);
	assert_int_equal(chain_copy(&message.data, h->blocks, data, strlen(data)), 0);
	stream = rs_request(&h->session, type, n, &message, NULL, &error);
	assert_non_null(stream);
	return stream;
}

static void sync_up(void)
{
	uint8_t bytes[5];
	struct writer w = writer_of(bytes, sizeof(bytes));
	struct chain push = {0};

	writer_u8(&w, 1);
	writer_u32(&w, ++h->token);
	h->synced = false;
	assert_int_equal(chain_copy(&push, h->blocks, bytes, sizeof(bytes)), 0);
	rs_metadata_push(&h->session, &push);
	UNTIL(h->synced);
}

static void *serve(void *arg)
{
	static char name[] = "function";
	char *argv[] = {name, NULL};

	return (void *)(intptr_t)pn_main(1, argv, &function);
}

static int setup(void **state)
{
	char concurrency[8];
	sigset_t term;

	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &term, NULL); // it is for the function's signalfd
	snprintf(path, sizeof(path), "/tmp/penstock-sdk-%d.sock", (int)getpid());
	snprintf(concurrency, sizeof(concurrency), "%d", CONCURRENCY);
	unlink(path);
	setenv("PENSTOCK_SOCKET", path, 1);
	setenv("PENSTOCK_CONCURRENCY", concurrency, 1);
	unsetenv("PENSTOCK_TEST");
	handled = noticed = 0;
	h = calloc(1, sizeof(*h));
	h->blocks = buf_pool_new(16384, (size_t)64 << 20);
	h->pool = rs_pool_new(256, h->blocks);
	assert_int_equal(pthread_create(&server, NULL, serve, NULL), 0);
	host_connect();
	sync_up();
	return 0;
}

static int teardown(void **state)
{
	void *status;

	kill(getpid(), SIGTERM);
	// The answers of calls that still run are taken by somebody, or the function would wait for that.
	while (pthread_tryjoin_np(server, &status) == EBUSY)
		step();
	assert_int_equal((intptr_t)status, 0);
	host_hang_up();
	rs_pool_destroy(h->pool);
	buf_pool_destroy(h->blocks);
	chain_nodes_free();
	free(h);
	unlink(path);
	return 0;
}

static unsigned ended(void)
{
	return h->replies + h->errors;
}

static void many_calls_at_once(void **state)
{
	unsigned asked = 0;

	while (ended() < 1000) {
		while (asked < 1000 && asked - ended() < 3 * CONCURRENCY) {
			ask(RS_REQUEST_RESPONSE, "hello", 0, 0);
			asked++;
		}
		step();
	}
	assert_int_equal(h->replies, 1000);
	assert_string_equal(h->text, "hello");
	assert_int_equal(__atomic_load_n(&handled, __ATOMIC_RELAXED), 1000);
}

static void more_than_it_takes_is_rejected(void **state)
{
	for (unsigned i = 0; i < 60; i++)
		ask(RS_REQUEST_RESPONSE, "slow", 0, 0);
	UNTIL(ended() == 60);
	assert_true(h->errors > 0);
	assert_int_equal(h->code, RS_ERROR_REJECTED);
	assert_int_equal(__atomic_load_n(&handled, __ATOMIC_RELAXED), h->replies);
}

static void streams_wait_for_credit(void **state)
{
	for (unsigned i = 0; i < CONCURRENCY; i++)
		ask(RS_REQUEST_STREAM, "x", 3, 0);
	UNTIL(h->completes == CONCURRENCY);
	assert_int_equal(h->items, CONCURRENCY * 100);
	assert_int_equal(h->errors, 0);
}

static void cancelled_handlers_are_held_until_they_return(void **state)
{
	struct rs_stream *streams[CONCURRENCY];

	for (unsigned i = 0; i < CONCURRENCY; i++)
		streams[i] = ask(RS_REQUEST_RESPONSE, "wait", 0, 0);
	UNTIL(__atomic_load_n(&handled, __ATOMIC_RELAXED) == CONCURRENCY);
	for (unsigned i = 0; i < CONCURRENCY; i++)
		rs_cancel(streams[i]);
	sync_up();
	UNTIL(h->held == 0);
	assert_int_equal(__atomic_load_n(&noticed, __ATOMIC_RELAXED), CONCURRENCY);
	assert_int_equal(ended(), 0);
	// One that waits for credit hears of it, too.
	streams[0] = ask(RS_REQUEST_STREAM, "x", 1, 0);
	UNTIL(h->items == 1);
	rs_cancel(streams[0]);
	sync_up();
	UNTIL(__atomic_load_n(&noticed, __ATOMIC_RELAXED) == CONCURRENCY + 1);
}

static void the_deadline_ends_a_call(void **state)
{
	for (unsigned i = 0; i < CONCURRENCY; i++)
		ask(RS_REQUEST_RESPONSE, "wait", 0, 30000);
	UNTIL(h->errors == CONCURRENCY);
	assert_int_equal(h->code, RS_ERROR_CANCELED);
	assert_string_equal(h->text, "deadline: it passed while the function ran");
}

static void functions_call_others(void **state)
{
	for (unsigned i = 0; i < 40; i++) {
		ask(RS_REQUEST_RESPONSE, "others", 0, 0);
		if (i % CONCURRENCY == CONCURRENCY - 1)
			UNTIL(ended() == i + 1);
	}
	assert_int_equal(h->replies, 40);
	assert_int_equal(h->asked, 200);
	assert_string_equal(h->text, "5");
}

static void a_lost_host_is_a_cancel(void **state)
{
	for (unsigned i = 0; i < CONCURRENCY; i++)
		ask(RS_REQUEST_RESPONSE, "wait", 0, 0);
	UNTIL(__atomic_load_n(&handled, __ATOMIC_RELAXED) == CONCURRENCY);
	host_hang_up();
	host_connect();
	sync_up();
	UNTIL(h->held == 0);
	assert_int_equal(__atomic_load_n(&noticed, __ATOMIC_RELAXED), CONCURRENCY);
	ask(RS_REQUEST_RESPONSE, "again", 0, 0);
	UNTIL(h->replies == 1);
}

static void events_are_held_while_they_run(void **state)
{
	struct rs_message message = {.has_metadata = true};

	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(rs_fire_and_forget(&h->session, &message), 0);
	UNTIL(__atomic_load_n(&handled, __ATOMIC_RELAXED) == 10);
	sync_up();
	UNTIL(h->held == 0);
}

// teardown() sends SIGTERM: what runs is answered.
static void calls_that_run_at_the_end_are_answered(void **state)
{
	for (unsigned i = 0; i < CONCURRENCY; i++)
		ask(RS_REQUEST_RESPONSE, "slow", 0, 0);
	UNTIL(__atomic_load_n(&handled, __ATOMIC_RELAXED) == CONCURRENCY);
	kill(getpid(), SIGTERM);
	UNTIL(h->replies == CONCURRENCY);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(many_calls_at_once),
		TEST(more_than_it_takes_is_rejected),
		TEST(streams_wait_for_credit),
		TEST(cancelled_handlers_are_held_until_they_return),
		TEST(the_deadline_ends_a_call),
		TEST(functions_call_others),
		TEST(a_lost_host_is_a_cancel),
		TEST(events_are_held_while_they_run),
		TEST(calls_that_run_at_the_end_are_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
