// SPDX-License-Identifier: Apache-2.0
// The event loop over loopback and Unix sockets: transfers, faults, timers, wake-ups. Two ends
// share one loop unless a test needs a thread or a raw socket as the peer.
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/loop/loop.h"

#define DEADLINE (20 * NS_PER_SEC)
#define BLOCK 65536
#define SERVED 512

// One end of a connection, as the tests see it.
struct end {
	struct loop_conn *conn;
	struct chain queue; // waits until the send in flight is done
	struct chain kept;  // received, if keep
	size_t received;
	uint64_t sum; // of the received bytes, weighted by position
	bool keep, echo, half_open;
	int opened, opens, eofs, closes, closed_error;
	struct end *twin; // freed with the test
};

struct env {
	struct loop *loop;
	struct buf_pool *pool;
	struct loop_listener *listener;
	struct sockaddr_storage addr;
	socklen_t addr_len;
	struct end served[SERVED]; // round robin over the last accepted
	unsigned accepted;
	bool echo, keep;
	int wakes, flushes, fired;
};

static void pump_queue(struct end *e)
{
	if (e->conn && e->queue.len && loop_conn_idle(e->conn))
		assert_int_equal(loop_send(e->conn, &e->queue), 0);
}

static void on_opened(struct loop_conn *c, int error)
{
	struct end *e = loop_conn_user(c);

	e->opens++;
	e->opened = error;
	if (!error)
		pump_queue(e);
}

static uint64_t weigh(const struct chain *in, size_t at)
{
	uint64_t sum = 0;

	for (const struct chain_node *n = in->first; n; n = n->next)
		for (uint32_t i = 0; i < n->slice.len; i++)
			sum += (uint64_t)n->slice.data[i] * (++at % 65521);
	return sum;
}

static void on_data(struct loop_conn *c, struct chain *in)
{
	struct end *e = loop_conn_user(c);

	assert_true(in->len > 0);
	e->sum += weigh(in, e->received);
	e->received += in->len;
	if (e->echo) {
		chain_append(&e->queue, in);
		pump_queue(e);
	} else if (e->keep) {
		chain_append(&e->kept, in);
	}
}

static void on_writable(struct loop_conn *c)
{
	assert_true(loop_conn_idle(c));
	pump_queue(loop_conn_user(c));
}

static void on_eof(struct loop_conn *c)
{
	struct end *e = loop_conn_user(c);

	e->eofs++;
}

static void on_closed(struct loop_conn *c, int error)
{
	struct end *e = loop_conn_user(c);

	e->closes++;
	e->closed_error = error;
	e->conn = NULL;
	chain_clear(&e->queue);
}

static const struct loop_conn_ops ops = {
	.opened = on_opened,
	.data = on_data,
	.writable = on_writable,
	.closed = on_closed,
};

static const struct loop_conn_ops ops_half = {
	.opened = on_opened,
	.data = on_data,
	.writable = on_writable,
	.eof = on_eof,
	.closed = on_closed,
};

static void on_accept(struct loop_listener *l, int fd, void *user)
{
	struct env *env = user;
	struct end *e = &env->served[env->accepted++ % SERVED];
	int error;

	assert_null(e->conn);
	chain_clear(&e->kept);
	*e = (struct end){.echo = env->echo, .keep = env->keep};
	e->conn = loop_adopt(loop_listener_loop(l), fd, &ops, e, &error);
	assert_non_null(e->conn);
}

static void listen_tcp(struct env *env)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int error;

	env->listener =
		loop_listen(env->loop, (struct sockaddr *)&in, sizeof(in), on_accept, env, &error);
	assert_non_null(env->listener);
	in.sin_port = htons((uint16_t)loop_listener_port(env->listener));
	assert_int_not_equal(in.sin_port, 0);
	memcpy(&env->addr, &in, sizeof(in));
	env->addr_len = sizeof(in);
}

static struct env *env_new(const struct loop_config *config)
{
	struct env *env = calloc(1, sizeof(*env));
	int error;

	env->loop = loop_new(config, &error);
	assert_non_null(env->loop);
	env->pool = buf_pool_new(BLOCK, 0);
	env->echo = true;
	return env;
}

static void env_free(struct env *env)
{
	for (int i = 0; i < SERVED; i++)
		chain_clear(&env->served[i].kept);
	loop_destroy(env->loop);
	for (int i = 0; i < SERVED; i++)
		assert_null(env->served[i].conn);
	buf_pool_destroy(env->pool);
	assert_int_equal(chain_nodes_in_use(), 0);
	chain_nodes_free();
	free(env);
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

static struct end *dial(struct env *env)
{
	struct end *e = calloc(1, sizeof(*e));
	int error;

	e->conn = loop_connect(
		env->loop, (struct sockaddr *)&env->addr, env->addr_len, &ops, e, &error);
	assert_non_null(e->conn);
	return e;
}

static void end_free(struct end *e)
{
	assert_null(e->conn);
	chain_clear(&e->kept);
	chain_clear(&e->queue);
	free(e);
}

// Bytes that differ at every position, in slices of the given length.
static uint64_t fill(struct env *env, struct chain *out, size_t bytes, uint32_t slice)
{
	size_t at = out->len;
	uint64_t sum = 0;
	struct buf *buf = NULL;

	while (bytes) {
		uint32_t n = bytes < slice ? (uint32_t)bytes : slice;

		if (!buf || buf->size - buf->used < n + 1) {
			buf_unref(buf);
			buf = buf_pool_get(env->pool);
		}
		for (uint32_t i = 0; i < n; i++) {
			uint8_t byte = (uint8_t)((at + i) * 2654435761u >> 13);

			buf->base[buf->used + i] = byte;
			sum += (uint64_t)byte * ((at + i + 1) % 65521);
		}
		chain_push(out, buf, buf->base + buf->used, n);
		buf->used += n + 1; // a gap, so that neighbours stay slices of their own
		at += n;
		bytes -= n;
	}
	buf_unref(buf);
	return sum;
}

static int open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void test_echo_sizes(void **state)
{
	static const size_t sizes[] = {1, 31, 1024, 16384, 16385, 100000, 1 << 20, 5000000};
	struct env *env = env_new(NULL);

	listen_tcp(env);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct end *e = dial(env);
		uint64_t sum = fill(env, &e->queue, sizes[i], 60000);

		RUN_UNTIL(env, e->received >= sizes[i]);
		assert_int_equal(e->received, sizes[i]);
		assert_true(e->sum == sum);
		loop_close(e->conn);
		RUN_UNTIL(env, e->closes);
		assert_int_equal(e->closed_error, 0);
		assert_int_equal(e->opens, 1);
		end_free(e);
	}
	env_free(env);
}

// Hundreds of slices: more than one send gathers.
static void test_many_slices(void **state)
{
	struct env *env = env_new(NULL);
	struct end *e;
	uint64_t sum;

	listen_tcp(env);
	e = dial(env);
	sum = fill(env, &e->queue, 50000, 50);
	RUN_UNTIL(env, e->received >= 50000);
	assert_true(e->sum == sum);
	loop_close(e->conn);
	RUN_UNTIL(env, e->closes);
	end_free(e);
	env_free(env);
}

// More gathered sends in one step than there are slots for them.
static void test_many_senders(void **state)
{
	enum { SENDERS = 200 };
	struct env *env = env_new(&(struct loop_config){.entries = 64});
	struct end *ends[SENDERS];
	uint64_t sums[SENDERS];

	listen_tcp(env);
	env->echo = false;
	for (int i = 0; i < SENDERS; i++)
		ends[i] = dial(env);
	for (int i = 0; i < SENDERS; i++)
		RUN_UNTIL(env, ends[i]->opens);
	RUN_UNTIL(env, env->accepted == SENDERS);
	for (int i = 0; i < SENDERS; i++) {
		struct end *e = ends[i];

		e->twin = e;
		sums[i] = fill(env, &e->queue, 3000, 100);
		pump_queue(e);
	}
	for (int i = 0; i < SENDERS; i++)
		RUN_UNTIL(env, loop_conn_idle(ends[i]->conn));
	run_for(env, 20 * NS_PER_MS);
	for (int i = 0; i < SENDERS; i++) {
		assert_int_equal(env->served[i].received, 3000);
		assert_true(env->served[i].sum == sums[0]);
	}
	for (int i = 0; i < SENDERS; i++)
		loop_abort(ends[i]->conn);
	for (int i = 0; i < SENDERS; i++) {
		RUN_UNTIL(env, ends[i]->closes);
		end_free(ends[i]);
	}
	env_free(env);
}

// A receiver that keeps all it gets must not stop the others, nor lose anything itself.
static void test_pinned_buffers(void **state)
{
	struct env *env = env_new(&(struct loop_config){.buffers = 16, .buffer_bytes = 4096});
	struct end *hoarder, *other;
	uint64_t sum;

	listen_tcp(env);
	hoarder = dial(env);
	hoarder->keep = true;
	sum = fill(env, &hoarder->queue, 2 << 20, 60000);
	RUN_UNTIL(env, hoarder->received == 2 << 20);
	assert_true(hoarder->sum == sum);
	assert_int_equal(hoarder->kept.len, 2 << 20);
	assert_true(weigh(&hoarder->kept, 0) == sum);
	assert_true(loop_stats(env->loop)->copied_bytes > 0);
	other = dial(env);
	sum = fill(env, &other->queue, 100000, 60000);
	RUN_UNTIL(env, other->received == 100000);
	assert_true(other->sum == sum);
	loop_abort(hoarder->conn);
	loop_abort(other->conn);
	RUN_UNTIL(env, hoarder->closes && other->closes);
	end_free(hoarder);
	end_free(other);
	env_free(env);
}

// With buffers and copies used up receiving stops, and goes on when bytes are let go.
static void test_memory_limit(void **state)
{
	const struct loop_config config = {
		.buffers = 16, .buffer_bytes = 4096, .copy_bytes_max = 64 << 10};
	struct env *env = env_new(&config);
	struct end *e;
	uint64_t sum;
	size_t seen = 0;

	listen_tcp(env);
	e = dial(env);
	RUN_UNTIL(env, env->accepted && e->opens);
	env->served[0].keep = true;
	env->served[0].echo = false;
	sum = fill(env, &e->queue, 8 << 20, 60000);
	pump_queue(e);
	for (int i = 0; i < 1000 && env->served[0].received < 8 << 20; i++) {
		run_for(env, 2 * NS_PER_MS);
		assert_true(env->served[0].kept.len <= (16 * 4096) + (64 << 10));
		if (env->served[0].received == seen)
			chain_clear(&env->served[0].kept);
		seen = env->served[0].received;
	}
	assert_int_equal(env->served[0].received, 8 << 20);
	assert_true(env->served[0].sum == sum);
	assert_true(loop_stats(env->loop)->starved > 0);
	loop_abort(e->conn);
	RUN_UNTIL(env, e->closes);
	end_free(e);
	env_free(env);
}

// A pause, a close and then a peer that stays: no spinning until the lingering ends.
static void test_close_while_paused(void **state)
{
	struct env *env = env_new(NULL);
	struct end e = {0};
	int fds[2], error, steps = 0;
	ns_t end;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	e.conn = loop_adopt(env->loop, fds[0], &ops, &e, &error);
	run_for(env, NS_PER_MS);
	loop_conn_pause(e.conn, true);
	loop_close(e.conn); // before the pause has reached the kernel
	for (end = clock_now() + 100 * NS_PER_MS; clock_now() < end; steps++)
		assert_true(loop_step(env->loop, end) >= 0);
	assert_int_equal(e.closes, 1);
	assert_true(steps < 50);
	close(fds[1]);
	env_free(env);
}

// Without descriptors accepting pauses, without spinning, and goes on when there are some again.
static void test_out_of_descriptors(void **state)
{
	struct env *env = env_new(NULL);
	struct rlimit before, few;
	int clients[8], steps = 0;
	unsigned accepted;
	ns_t end;

	for (int i = 0; i < 8; i++)
		clients[i] = socket(AF_INET, SOCK_STREAM, 0);
	getrlimit(RLIMIT_NOFILE, &before);
	few = before;
	few.rlim_cur = (rlim_t)clients[7] + 2; // the listener is the last
	// The ring takes the limit at the time the accept is submitted.
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	listen_tcp(env);
	for (int i = 0; i < 8; i++)
		assert_int_equal(
			connect(clients[i], (struct sockaddr *)&env->addr, env->addr_len), 0);
	for (end = clock_now() + 120 * NS_PER_MS; clock_now() < end; steps++)
		assert_true(loop_step(env->loop, end) >= 0);
	accepted = env->accepted;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_true(accepted < 8);
	assert_true(steps < 200);
	RUN_UNTIL(env, env->accepted == 8);
	for (int i = 0; i < 8; i++)
		close(clients[i]);
	env_free(env);
}

static void test_pause(void **state)
{
	struct env *env = env_new(NULL);
	struct end *e;
	size_t seen;

	listen_tcp(env);
	e = dial(env);
	fill(env, &e->queue, 32 << 20, 60000);
	RUN_UNTIL(env, e->received > 100000);
	loop_conn_pause(e->conn, true);
	seen = e->received;
	run_for(env, 50 * NS_PER_MS);
	assert_int_equal(e->received, seen);
	loop_conn_pause(e->conn, false);
	loop_conn_pause(e->conn, true);
	loop_conn_pause(e->conn, false);
	RUN_UNTIL(env, e->received == 32 << 20);
	loop_close(e->conn);
	RUN_UNTIL(env, e->closes);
	end_free(e);
	env_free(env);
}

// The end of the peer's bytes is told after them, also when both came in a pause.
static void test_eof_after_pause(void **state)
{
	struct env *env = env_new(NULL);
	struct end a = {0}, b = {0};
	int fds[2], error;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	a.conn = loop_adopt(env->loop, fds[0], &ops_half, &a, &error);
	assert_non_null(a.conn);
	loop_step(env->loop, 0);
	loop_conn_pause(a.conn, true);
	assert_int_equal(write(fds[1], "abc", 3), 3);
	close(fds[1]);
	run_for(env, 20 * NS_PER_MS);
	assert_int_equal(a.received, 0);
	assert_int_equal(a.eofs, 0);
	loop_conn_pause(a.conn, false);
	RUN_UNTIL(env, a.eofs);
	assert_int_equal(a.received, 3);
	run_for(env, 20 * NS_PER_MS);
	assert_int_equal(a.eofs, 1);
	assert_int_equal(a.closes, 0);
	loop_close(a.conn);
	RUN_UNTIL(env, a.closes);
	(void)b;
	env_free(env);
}

static void test_refused(void **state)
{
	struct env *env = env_new(NULL);
	struct end *e;

	listen_tcp(env);
	loop_listener_close(env->listener);
	run_for(env, 5 * NS_PER_MS);
	e = dial(env);
	RUN_UNTIL(env, e->closes);
	assert_int_equal(e->opens, 1);
	assert_int_equal(e->opened, -ECONNREFUSED);
	assert_int_equal(e->closed_error, -ECONNREFUSED);
	end_free(e);
	env_free(env);
}

static void test_close_while_connecting(void **state)
{
	struct env *env = env_new(NULL);
	struct end *e;

	listen_tcp(env);
	for (int i = 0; i < 4; i++) {
		e = dial(env);
		if (i & 1)
			loop_step(env->loop, 0);
		if (i & 2)
			loop_abort(e->conn);
		else
			loop_close(e->conn);
		assert_int_equal(e->closes, 0);
		RUN_UNTIL(env, e->closes);
		assert_int_equal(e->closed_error, 0);
		end_free(e);
	}
	env_free(env);
}

// A peer that never reads: what is in flight is bounded in time, an abort is at once, with RST.
static void test_peer_never_reads(void **state)
{
	struct env *env = env_new(NULL);
	struct end e = {0};
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(in);
	struct pollfd pfd;
	int listener = socket(AF_INET, SOCK_STREAM, 0), peer, error;

	assert_int_equal(bind(listener, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(listen(listener, 1), 0);
	getsockname(listener, (struct sockaddr *)&in, &len);
	e.conn = loop_connect(env->loop, (struct sockaddr *)&in, sizeof(in), &ops, &e, &error);
	fill(env, &e.queue, 64 << 20, 60000);
	RUN_UNTIL(env, e.opens);
	peer = accept(listener, NULL, NULL);
	run_for(env, 50 * NS_PER_MS);
	assert_false(loop_conn_idle(e.conn));
	assert_true(buf_pool_bytes(env->pool) > 0);
	loop_close(e.conn);
	run_for(env, 50 * NS_PER_MS);
	assert_int_equal(e.closes, 0);
	loop_abort(e.conn);
	RUN_UNTIL(env, e.closes);
	assert_int_equal(buf_pool_bytes(env->pool), 0);
	pfd = (struct pollfd){.fd = peer, .events = POLLRDHUP};
	assert_int_equal(poll(&pfd, 1, 1000), 1);
	assert_true(pfd.revents & POLLERR);
	close(peer);
	close(listener);
	env_free(env);
}

// A graceful close delivers the last bytes though the peer still sends.
static void test_close_delivers(void **state)
{
	struct env *env = env_new(NULL);
	struct end e = {0};
	static char bytes[300000];
	size_t got = 0;
	ssize_t n;
	int fds[2], error;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	e.conn = loop_adopt(env->loop, fds[0], &ops, &e, &error);
	fill(env, &e.queue, 100000, 60000);
	pump_queue(&e);
	loop_close(e.conn);
	assert_int_equal(write(fds[1], bytes, 1000), 1000);
	RUN_UNTIL(env, e.closes);
	assert_int_equal(e.closed_error, 0);
	run_for(env, 5 * NS_PER_MS);
	assert_int_equal(send(fds[1], bytes, 1000, MSG_NOSIGNAL), 1000);
	run_for(env, 5 * NS_PER_MS);
	while ((n = read(fds[1], bytes, sizeof(bytes))) > 0)
		got += (size_t)n;
	assert_int_equal(n, 0);
	assert_int_equal(got, 100000);
	close(fds[1]);
	env_free(env);
}

static void test_reset(void **state)
{
	struct env *env = env_new(NULL);
	struct end *e;

	listen_tcp(env);
	e = dial(env);
	RUN_UNTIL(env, env->accepted && e->opens);
	loop_abort(env->served[0].conn);
	RUN_UNTIL(env, e->closes);
	assert_int_equal(e->closed_error, -ECONNRESET);
	end_free(e);
	e = dial(env);
	RUN_UNTIL(env, env->accepted == 2 && e->opens);
	loop_close(env->served[1].conn);
	RUN_UNTIL(env, e->closes);
	assert_int_equal(e->closed_error, -ESHUTDOWN);
	end_free(e);
	env_free(env);
}

static void test_send_state(void **state)
{
	struct env *env = env_new(NULL);
	struct chain out = {0};
	struct end *e;

	listen_tcp(env);
	e = dial(env);
	fill(env, &out, 10, 10);
	assert_int_equal(loop_send(e->conn, &out), -ENOTCONN);
	RUN_UNTIL(env, e->opens);
	assert_int_equal(loop_send(e->conn, &out), 0);
	assert_int_equal(out.len, 0);
	fill(env, &out, 10, 10);
	assert_int_equal(loop_send(e->conn, &out), -EBUSY);
	assert_int_equal(out.len, 10);
	chain_clear(&out);
	loop_close(e->conn);
	RUN_UNTIL(env, e->closes);
	end_free(e);
	env_free(env);
}

// Thousands of connections that come and go in all ways leave nothing behind.
static void test_churn(void **state)
{
	enum { AT_ONCE = 50, ROUNDS = 60 };
	struct env *env = env_new(NULL);
	int before;

	listen_tcp(env);
	run_for(env, NS_PER_MS);
	before = open_fds();
	for (int round = 0; round < ROUNDS; round++) {
		struct end *ends[AT_ONCE];

		for (int i = 0; i < AT_ONCE; i++) {
			ends[i] = dial(env);
			fill(env, &ends[i]->queue, (size_t)i * 997, 5000);
			if (i % 5 == 0)
				loop_abort(ends[i]->conn);
		}
		for (int i = 0; i < AT_ONCE; i++) {
			struct end *e = ends[i];

			RUN_UNTIL(env,
				e->closes || (e->opens && e->received >= (size_t)(i % 3) * 997));
			if (e->conn && i % 2)
				loop_close(e->conn);
			else if (e->conn)
				loop_abort(e->conn);
		}
		for (int i = 0; i < AT_ONCE; i++) {
			RUN_UNTIL(env, ends[i]->closes);
			end_free(ends[i]);
		}
	}
	RUN_UNTIL(env, open_fds() <= before);
	env_free(env);
}

static void test_unix_path(void **state)
{
	struct env *env = env_new(NULL);
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct end *e;
	int fd, error;

	snprintf(un.sun_path, sizeof(un.sun_path), "/tmp/penstock-test-loop-%d", (int)getpid());
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	close(fd); // a dead listener's path stays behind
	env->listener =
		loop_listen(env->loop, (struct sockaddr *)&un, sizeof(un), on_accept, env, &error);
	assert_non_null(env->listener);
	assert_null(
		loop_listen(env->loop, (struct sockaddr *)&un, sizeof(un), on_accept, env, &error));
	assert_int_equal(error, -EADDRINUSE);
	assert_int_equal(loop_listener_port(env->listener), 0);
	memcpy(&env->addr, &un, sizeof(un));
	env->addr_len = sizeof(un);
	e = dial(env);
	fill(env, &e->queue, 200000, 50000);
	RUN_UNTIL(env, e->received == 200000);
	loop_close(e->conn);
	RUN_UNTIL(env, e->closes);
	end_free(e);
	loop_listener_close(env->listener);
	assert_int_equal(access(un.sun_path, F_OK), -1);
	env_free(env);
}

struct tick {
	struct timer timer;
	struct env *env;
	ns_t at;
};

static void on_tick(struct timer *timer, ns_t now)
{
	struct tick *t = container_of(timer, struct tick, timer);

	t->env->fired++;
	t->at = now;
}

static void test_timers(void **state)
{
	struct env *env = env_new(NULL);
	struct tick t = {.env = env, .timer.fire = on_tick};
	ns_t start = clock_now();
	int steps = 0;

	timer_arm(loop_timers(env->loop), &t.timer, start + 20 * NS_PER_MS);
	while (!env->fired && steps < 1000) {
		assert_true(loop_step(env->loop, NS_NEVER) >= 0);
		steps++;
	}
	assert_true(t.at - start >= 20 * NS_PER_MS);
	assert_true(t.at - start < 500 * NS_PER_MS);
	assert_true(steps < 20);
	start = clock_now();
	assert_int_equal(loop_step(env->loop, start + 10 * NS_PER_MS), 0);
	assert_true(clock_now() - start >= 10 * NS_PER_MS);
	env_free(env);
}

static void on_wake(struct loop *loop, void *user)
{
	struct env *env = user;

	env->wakes++;
}

static void on_flush(struct loop *loop, void *user)
{
	struct env *env = user;

	env->flushes++;
}

static void *waker(void *arg)
{
	struct env *env = arg;

	for (int i = 0; i < 2000; i++) {
		loop_wake(env->loop);
		if (i % 100 == 0)
			usleep(1000);
	}
	return NULL;
}

static void test_wake(void **state)
{
	struct env *env = env_new(NULL);
	pthread_t thread;
	int before;

	loop_on_wake(env->loop, on_wake, env);
	loop_on_flush(env->loop, on_flush, env);
	loop_wake(env->loop);
	loop_wake(env->loop);
	assert_true(loop_step(env->loop, NS_NEVER) >= 0);
	RUN_UNTIL(env, env->wakes == 1);
	assert_true(env->flushes > 0);
	assert_int_equal(pthread_create(&thread, NULL, waker, env), 0);
	RUN_UNTIL(env, env->wakes > 10);
	pthread_join(thread, NULL);
	run_for(env, 2 * NS_PER_MS);
	before = env->wakes;
	loop_wake(env->loop); // none was lost: the next one is seen again
	RUN_UNTIL(env, env->wakes == before + 1);
	env_free(env);
}

// The loop inside another epoll: it becomes readable for completions of what loop_submit() started.
static void test_epoll(void **state)
{
	struct env *env = env_new(NULL);
	struct epoll_event ev = {.events = EPOLLIN};
	struct end *e;
	int ep = epoll_create1(0);

	listen_tcp(env);
	assert_int_equal(epoll_ctl(ep, EPOLL_CTL_ADD, loop_fd(env->loop), &ev), 0);
	e = dial(env);
	fill(env, &e->queue, 5000, 5000);
	for (int i = 0; i < 100 && e->received < 5000; i++) {
		int n;

		assert_int_equal(loop_submit(env->loop), 0);
		n = epoll_wait(ep, &ev, 1, 1000);
		assert_true(n == 1 || (n < 0 && errno == EINTR));
		assert_true(loop_step(env->loop, 0) >= 0);
	}
	assert_int_equal(e->received, 5000);
	loop_close(e->conn);
	RUN_UNTIL(env, e->closes);
	end_free(e);
	close(ep);
	env_free(env);
}

// A step with nothing to do makes no system call.
static void test_idle_step(void **state)
{
	struct env *env = env_new(NULL);
	uint64_t before;

	listen_tcp(env);
	loop_step(env->loop, 0);
	before = loop_stats(env->loop)->enters;
	for (int i = 0; i < 100000; i++)
		assert_int_equal(loop_step(env->loop, 0), 0);
	assert_true(loop_stats(env->loop)->enters == before);
	env_free(env);
}

// loop_destroy() with everything open: each connection hears of its end.
static void test_destroy_open(void **state)
{
	struct env *env = env_new(NULL);
	struct end *ends[20];

	listen_tcp(env);
	for (int i = 0; i < 20; i++) {
		ends[i] = dial(env);
		fill(env, &ends[i]->queue, 1 << 20, 60000);
	}
	RUN_UNTIL(env, ends[3]->received > 1000);
	ends[19]->twin = dial(env);
	loop_close(ends[5]->conn);
	env_free(env);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(ends[i]->closes, 1);
		if (ends[i]->twin)
			end_free(ends[i]->twin);
		end_free(ends[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_echo_sizes),
		cmocka_unit_test(test_many_slices),
		cmocka_unit_test(test_many_senders),
		cmocka_unit_test(test_pinned_buffers),
		cmocka_unit_test(test_memory_limit),
		cmocka_unit_test(test_close_while_paused),
		cmocka_unit_test(test_out_of_descriptors),
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_eof_after_pause),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_close_while_connecting),
		cmocka_unit_test(test_peer_never_reads),
		cmocka_unit_test(test_close_delivers),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_send_state),
		cmocka_unit_test(test_churn),
		cmocka_unit_test(test_unix_path),
		cmocka_unit_test(test_timers),
		cmocka_unit_test(test_wake),
		cmocka_unit_test(test_epoll),
		cmocka_unit_test(test_idle_step),
		cmocka_unit_test(test_destroy_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
