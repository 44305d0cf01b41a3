// SPDX-License-Identifier: Apache-2.0
// Links over loopback: calls before and after the connection is up, loss, reconnecting with
// back-off, closing at any time. Both ends share one loop.
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/link/link.h"

#define DEADLINE (20 * NS_PER_SEC)
#define SERVED 16

// What a link's user has seen.
struct side {
	struct link link;
	struct env *env;
	int ups, downs, replies, lost_sent, lost_unsent, errors;
	size_t replied_bytes;
	bool closed; // link.state was LINK_CLOSED at the last `down`
	bool close_on_reply;
	char why[128];
	ns_t down_at[64];
};

struct env {
	struct loop *loop;
	struct buf_pool *blocks;
	struct rs_pool *pool;
	struct link_hub hub;
	struct loop_listener *listener;
	struct sockaddr_in addr;
	struct side served[SERVED];
	unsigned accepted;
	bool mute; // requests are not answered
	int requests;
};

static struct side *side_of(struct rs_session *s)
{
	return container_of(link_of(s), struct side, link);
}

static void on_request(struct rs_stream *stream, struct rs_message *message)
{
	struct env *env = side_of(stream->session)->env;
	struct rs_message reply = {0};

	env->requests++;
	if (env->mute)
		return;
	chain_append(&reply.data, &message->data);
	assert_int_equal(rs_payload(stream, &reply, true, true), 0);
}

static void on_payload(
	struct rs_stream *stream, struct rs_message *message, bool next, bool complete)
{
	struct side *side = side_of(stream->session);

	side->replies += complete;
	side->replied_bytes += message->data.len;
	if (side->close_on_reply)
		link_close(&side->link);
}

static void on_error(struct rs_stream *stream, uint32_t code, struct chain *text)
{
	side_of(stream->session)->errors++;
}

static void on_lost(struct rs_stream *stream, bool sent)
{
	struct side *side = side_of(stream->session);

	if (sent)
		side->lost_sent++;
	else
		side->lost_unsent++;
}

static const struct rs_handler handler = {
	.wake = link_wake,
	.request = on_request,
	.payload = on_payload,
	.error = on_error,
	.lost = on_lost,
	.closed = link_ended,
};

static void on_up(struct link *link)
{
	struct side *side = container_of(link, struct side, link);

	assert_int_equal(link->state, LINK_UP);
	side->ups++;
}

static void on_down(struct link *link, const char *why)
{
	struct side *side = container_of(link, struct side, link);

	side->down_at[side->downs++ % 64] = clock_now();
	side->closed = link->state == LINK_CLOSED;
	strncpy(side->why, why, sizeof(side->why) - 1);
	assert_true(why[0]);
}

static const struct link_ops ops = {.up = on_up, .down = on_down};

static const struct rs_config config = {
	.handler = &handler,
	.keepalive_ms = 20000,
	.lifetime_ms = 90000,
	.metadata_mime = "message/x.rsocket.routing.v0",
	.data_mime = "application/octet-stream",
};

static void on_accept(struct loop_listener *l, int fd, void *user)
{
	struct env *env = user;
	struct side *side = &env->served[env->accepted++ % SERVED];

	*side = (struct side){.env = env};
	assert_int_equal(link_serve(&side->link, &env->hub, fd, &config, &ops, side), 0);
}

static void serve(struct env *env)
{
	int error;

	env->listener = loop_listen(env->loop, (struct sockaddr *)&env->addr, sizeof(env->addr),
		on_accept, env, &error);
	assert_non_null(env->listener);
	env->addr.sin_port = htons((uint16_t)loop_listener_port(env->listener));
}

static struct env *env_new(void)
{
	struct env *env = calloc(1, sizeof(*env));
	int error;

	env->loop = loop_new(NULL, &error);
	assert_non_null(env->loop);
	env->blocks = buf_pool_new(4096, 0);
	env->pool = rs_pool_new(1000, env->blocks);
	assert_non_null(env->pool);
	link_hub_init(&env->hub, env->loop, env->pool);
	env->addr.sin_family = AF_INET;
	env->addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	serve(env);
	return env;
}

#define RUN_UNTIL(env, condition)                                                               \
	do {                                                                                    \
		ns_t limit_ = clock_now() + DEADLINE;                                           \
		while (!(condition) && clock_now() < limit_)                                    \
			assert_true(loop_step((env)->loop, clock_now() + 10 * NS_PER_MS) >= 0); \
		assert_true(condition);                                                         \
	} while (0)

static void run_for(struct env *env, ns_t span)
{
	ns_t end = clock_now() + span;

	while (clock_now() < end)
		assert_true(loop_step(env->loop, end) >= 0);
}

static void env_free(struct env *env)
{
	for (int i = 0; i < SERVED; i++) {
		struct side *side = &env->served[i];

		if (!side->env)
			continue;
		link_close(&side->link);
		RUN_UNTIL(env, side->closed);
	}
	assert_int_equal(rs_pool_streams(env->pool), 0);
	loop_destroy(env->loop);
	rs_pool_destroy(env->pool);
	buf_pool_destroy(env->blocks);
	assert_int_equal(chain_nodes_in_use(), 0);
	chain_nodes_free();
	free(env);
}

static struct side *dial(struct env *env)
{
	struct side *side = calloc(1, sizeof(*side));

	side->env = env;
	assert_int_equal(link_dial(&side->link, &env->hub, (struct sockaddr *)&env->addr,
				 sizeof(env->addr), &config, &ops, side),
		0);
	return side;
}

static void hang_up(struct env *env, struct side *side)
{
	link_close(&side->link);
	link_close(&side->link);
	RUN_UNTIL(env, side->closed);
	free(side);
}

static int call(struct side *side, size_t bytes)
{
	static const uint8_t data[1 << 20];
	struct rs_message message = {0};
	int error = 0;

	chain_push(&message.data, NULL, data, (uint32_t)bytes);
	rs_request(&side->link.session, RS_REQUEST_RESPONSE, 0, &message, NULL, &error);
	return error;
}

static void test_calls(void **state)
{
	struct env *env = env_new();
	struct side *side = dial(env);

	assert_int_equal(call(side, 100), 0); // waits for the connection
	assert_int_equal(side->ups, 0);
	RUN_UNTIL(env, side->replies == 1);
	assert_int_equal(side->ups, 1);
	for (int i = 0; i < 200; i++)
		assert_int_equal(call(side, (size_t)i * 1000), 0);
	RUN_UNTIL(env, side->replies == 201);
	assert_int_equal(side->replied_bytes, 100 + 1000 * 199 * 100);
	assert_int_equal(side->downs, 0);
	hang_up(env, side);
	RUN_UNTIL(env, env->served[0].downs == 1);
	env_free(env);
}

// One send for many small calls of a step.
static void test_sends_are_shared(void **state)
{
	struct env *env = env_new();
	struct side *side = dial(env);
	uint64_t before;

	RUN_UNTIL(env, side->ups);
	run_for(env, 5 * NS_PER_MS);
	before = env->hub.sends;
	for (int i = 0; i < 100; i++)
		assert_int_equal(call(side, 32), 0);
	RUN_UNTIL(env, side->replies == 100);
	assert_true(env->hub.sends - before <= 10);
	hang_up(env, side);
	env_free(env);
}

static void test_close_before_up(void **state)
{
	struct env *env = env_new();
	struct side *side = dial(env);

	assert_int_equal(call(side, 100), 0);
	link_close(&side->link);
	RUN_UNTIL(env, side->closed);
	assert_int_equal(side->downs, 1);
	assert_int_equal(side->ups, 0);
	assert_int_equal(side->lost_unsent, 1); // safe to try elsewhere (rule 80)
	free(side);
	env_free(env);
}

static void test_close_in_callback(void **state)
{
	struct env *env = env_new();
	struct side *side = dial(env);

	side->close_on_reply = true;
	for (int i = 0; i < 10; i++)
		assert_int_equal(call(side, 32), 0);
	RUN_UNTIL(env, side->closed);
	assert_int_equal(side->downs, 1);
	assert_int_equal(side->replies + side->lost_sent, 10);
	free(side);
	env_free(env);
}

// Calls in flight are lost before `down`, as sent; then the link comes back by itself.
static void test_reconnect(void **state)
{
	struct env *env = env_new();
	struct side *side = dial(env);

	RUN_UNTIL(env, side->ups && env->accepted);
	env->mute = true;
	assert_int_equal(call(side, 100), 0);
	RUN_UNTIL(env, env->requests == 1);
	loop_abort(env->served[0].link.conn);
	RUN_UNTIL(env, side->downs == 1);
	assert_int_equal(side->lost_sent, 1);
	assert_int_equal(side->lost_unsent, 0);
	assert_int_equal(side->link.state, LINK_BACKOFF);
	env->mute = false;
	RUN_UNTIL(env, side->ups == 2);
	assert_int_equal(call(side, 100), 0);
	RUN_UNTIL(env, side->replies == 1);
	assert_int_equal(env->accepted, 2);
	hang_up(env, side);
	env_free(env);
}

// Waits double from LINK_BACKOFF_MIN, each within a quarter (and some for a slow machine).
static void test_backoff(void **state)
{
	struct env *env = env_new();
	struct side *side;
	ns_t wait = LINK_BACKOFF_MIN;

	loop_listener_close(env->listener);
	run_for(env, NS_PER_MS);
	side = dial(env);
	RUN_UNTIL(env, side->downs == 6);
	assert_int_equal(side->ups, 0);
	assert_string_equal(side->why, "Connection refused");
	for (int i = 0; i < 5; i++) {
		ns_t took = side->down_at[i + 1] - side->down_at[i];

		assert_true(took >= wait * 3 / 4);
		assert_true(took <= wait * 5 / 4 + 300 * NS_PER_MS);
		wait *= 2;
	}
	serve(env);
	RUN_UNTIL(env, side->ups == 1);
	assert_int_equal(call(side, 10), 0);
	RUN_UNTIL(env, side->replies == 1);
	loop_listener_close(env->listener);
	loop_abort(env->served[0].link.conn);
	RUN_UNTIL(env, side->link.state == LINK_BACKOFF && side->downs >= 8);
	link_close(&side->link); // between attempts `down` comes from within
	assert_true(side->closed);
	free(side);
	env_free(env);
}

// A connect that nobody answers ends after LINK_CONNECT_TIMEOUT.
static void test_connect_timeout(void **state)
{
	struct env *env = env_new();
	struct sockaddr_in addr = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);
	int listener = socket(AF_INET, SOCK_STREAM, 0), fds[4];
	struct side *side;
	ns_t start;

	// A full backlog lets the kernel drop further SYNs.
	assert_int_equal(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(listener, 0), 0);
	getsockname(listener, (struct sockaddr *)&addr, &len);
	for (int i = 0; i < 4; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(fds[i], (struct sockaddr *)&addr, sizeof(addr));
	}
	env->addr = addr;
	start = loop_now(env->loop);
	side = dial(env);
	RUN_UNTIL(env, side->downs == 1);
	assert_true(clock_now() - start >= LINK_CONNECT_TIMEOUT);
	assert_true(clock_now() - start <= LINK_CONNECT_TIMEOUT + NS_PER_SEC);
	assert_string_equal(side->why, "connecting took too long");
	hang_up(env, side);
	for (int i = 0; i < 4; i++)
		close(fds[i]);
	close(listener);
	env_free(env);
}

// A peer that does not speak RSocket, and has finished sending, still reads why it was refused
// (rules 24, 32).
static void test_garbage(void **state)
{
	static const uint8_t payload[] = {0, 0, 7, 0, 0, 0, 1, 0x28, 0x60, 'x'};
	struct env *env = env_new();
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	uint8_t got[256];
	size_t len = 0;
	ssize_t n;

	assert_int_equal(connect(fd, (struct sockaddr *)&env->addr, sizeof(env->addr)), 0);
	assert_int_equal(write(fd, payload, sizeof(payload)), sizeof(payload));
	shutdown(fd, SHUT_WR);
	RUN_UNTIL(env, env->accepted && env->served[0].closed);
	run_for(env, 5 * NS_PER_MS);
	while (len < sizeof(got) && (n = read(fd, got + len, sizeof(got) - len)) > 0)
		len += (size_t)n;
	assert_true(len > 13);
	assert_int_equal(got[7] << 8 | got[8], RS_ERROR << 10);
	assert_int_equal(got[12], RS_ERROR_INVALID_SETUP);
	close(fd);
	env_free(env);
}

// The setup message is sent at each attempt.
static void test_setup_message(void **state)
{
	struct env *env = env_new();
	struct rs_message setup = {0};
	struct rs_config with = config;
	struct side *side = calloc(1, sizeof(*side));

	side->env = env;
	with.setup = &setup;
	chain_push(&setup.data, NULL, (const uint8_t *)"hello", 5);
	assert_int_equal(link_dial(&side->link, &env->hub, (struct sockaddr *)&env->addr,
				 sizeof(env->addr), &with, &ops, side),
		0);
	assert_int_equal(setup.data.len, 0);
	for (int round = 0; round < 2; round++) {
		RUN_UNTIL(env, env->accepted == (unsigned)round + 1);
		RUN_UNTIL(env, rs_session_established(&env->served[round].link.session));
		assert_true(env->served[round].link.received_bytes > 5);
		assert_int_equal(
			env->served[round].link.received_bytes, env->served[0].link.received_bytes);
		if (round == 0)
			loop_abort(env->served[0].link.conn);
		if (round == 0)
			RUN_UNTIL(env, side->downs == 1);
	}
	hang_up(env, side);
	env_free(env);
}

// A session that ends itself sends its last frame, then the link goes down with that reason.
static void test_session_ends(void **state)
{
	struct env *env = env_new();
	struct side *side = dial(env);

	RUN_UNTIL(env, side->ups && env->accepted);
	RUN_UNTIL(env, rs_session_established(&env->served[0].link.session));
	rs_session_close(&env->served[0].link.session, RS_ERROR_CONNECTION, "enough of this");
	RUN_UNTIL(env, env->served[0].closed && side->downs == 1);
	assert_string_equal(env->served[0].why, "enough of this");
	hang_up(env, side);
	env_free(env);
}

// Keepalives keep an idle link up (rules 45, 46); a peer that went silent ends it after the
// lifetime.
static void test_keepalive(void **state)
{
	struct env *env = env_new();
	struct side *side = calloc(1, sizeof(*side));
	struct rs_config quick = config;
	ns_t start;

	quick.keepalive_ms = 40;
	quick.lifetime_ms = 200;
	side->env = env;
	assert_int_equal(link_dial(&side->link, &env->hub, (struct sockaddr *)&env->addr,
				 sizeof(env->addr), &quick, &ops, side),
		0);
	run_for(env, NS_PER_SEC);
	assert_int_equal(side->ups, 1);
	assert_int_equal(side->downs, 0);
	assert_int_equal(env->served[0].downs, 0);
	start = clock_now();
	loop_conn_pause(env->served[0].link.conn, true);
	RUN_UNTIL(env, side->downs == 1);
	assert_true(clock_now() - start >= 100 * NS_PER_MS);
	assert_true(clock_now() - start < 3 * NS_PER_SEC);
	RUN_UNTIL(env, side->ups == 2); // another connection is fine
	hang_up(env, side);
	env_free(env);
}

// Lets a link's patience end now.
static void hurry(struct env *env, struct link *link)
{
	assert_true(timer_armed(&link->timer));
	assert_true(link->timer.deadline_tick * TIMER_TICK_NS > clock_now() + NS_PER_SEC);
	timer_arm(loop_timers(env->loop), &link->timer, clock_now());
}

static int raw_client(struct env *env)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&env->addr, sizeof(env->addr)), 0);
	RUN_UNTIL(env, env->accepted);
	return fd;
}

static void test_no_setup(void **state)
{
	struct env *env = env_new();
	int fd = raw_client(env);

	run_for(env, 5 * NS_PER_MS);
	hurry(env, &env->served[0].link);
	RUN_UNTIL(env, env->served[0].closed);
	assert_string_equal(env->served[0].why, "no SETUP came in time");
	close(fd);
	env_free(env);
}

// A closing link waits for its last bytes to leave, but not for ever.
static void test_close_to_peer_that_never_reads(void **state)
{
	static const uint8_t push[1 << 20];
	struct env *env = env_new();
	struct side *side = dial(env);
	struct rs_message message = {0};
	int error;

	RUN_UNTIL(env, env->accepted && side->ups);
	loop_conn_pause(env->served[0].link.conn, true);
	for (int i = 0; i < 30; i++) {
		chain_push(&message.data, NULL, push, sizeof(push));
		assert_non_null(rs_request(
			&side->link.session, RS_REQUEST_RESPONSE, 0, &message, NULL, &error));
	}
	run_for(env, 50 * NS_PER_MS);
	rs_session_close(&side->link.session, RS_ERROR_CONNECTION, "enough");
	run_for(env, 50 * NS_PER_MS);
	assert_int_equal(side->downs, 0);
	assert_int_equal(side->link.state, LINK_CLOSING);
	hurry(env, &side->link);
	RUN_UNTIL(env, side->downs == 1);
	assert_string_equal(side->why, "enough");
	assert_int_equal(side->lost_sent + side->lost_unsent, 30);
	hang_up(env, side);
	env_free(env);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_sends_are_shared),
		cmocka_unit_test(test_close_before_up),
		cmocka_unit_test(test_close_in_callback),
		cmocka_unit_test(test_reconnect),
		cmocka_unit_test(test_backoff),
		cmocka_unit_test(test_connect_timeout),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_setup_message),
		cmocka_unit_test(test_session_ends),
		cmocka_unit_test(test_keepalive),
		cmocka_unit_test(test_no_setup),
		cmocka_unit_test(test_close_to_peer_that_never_reads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
