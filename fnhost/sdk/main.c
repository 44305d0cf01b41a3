// SPDX-License-Identifier: Apache-2.0
// pn_main(): sockets and signals of a function's process, and its loop.
//
// The environment says how to serve: PENSTOCK_SOCKET (a path to listen on), PENSTOCK_CONCURRENCY; or, under
// `penstock test`, PENSTOCK_TEST (a descriptor over which the cases come).
// SIGTERM: no new call is taken, and when the last has been answered the program ends.
#include "fnhost/sdk/service.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/addr.h"
#include "lib/call/test_frame.h"

#define BLOCK_BYTES (64 * 1024)
#define BLOCKS_BYTES_MAX ((size_t)256 << 20)
#define STREAMS_MAX 65536

static int listen_on(const char *path)
{
	struct sockaddr_storage addr;
	char text[256];
	socklen_t len;
	int fd;

	snprintf(text, sizeof(text), "unix:%s", path);
	if (sockaddr_parse(text, &addr, &len))
		return -EINVAL;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	unlink(path);
	if (bind(fd, (struct sockaddr *)&addr, len) || listen(fd, 16)) {
		int error = -errno;

		close(fd);
		return error;
	}
	return fd;
}

static int watch_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	signal(SIGPIPE, SIG_IGN);
	// Before any thread begins, so that all inherit it.
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void on_signal(struct service *s)
{
	struct signalfd_siginfo info;

	while (read(s->signal_fd, &info, sizeof(info)) == sizeof(info))
		s->draining = true;
}

static int poll_timeout(struct service *s)
{
	ns_t now = clock_now(), next;

	if (s->conn.fd < 0)
		return -1;
	next = rs_tick(&s->conn.session, now);
	if (next == NS_NEVER)
		return -1;
	return next > now ? (int)((next - now) / NS_PER_MS) + 1 : 0;
}

static bool finished(const struct service *s)
{
	return s->draining && s->jobs_count == 0 && !conn_wants_output(s);
}

static void run(struct service *s)
{
	conn_output(s);
	while (!finished(s)) {
		int timeout = poll_timeout(s);
		short events = (short)(POLLIN | (conn_wants_output(s) ? POLLOUT : 0));
		struct pollfd fds[] = {
			{.fd = s->signal_fd, .events = POLLIN},
			{.fd = s->event_fd, .events = POLLIN},
			{.fd = s->listen_fd, .events = POLLIN},
			{.fd = s->conn.fd, .events = events},
		};
		eventfd_t count;

		conn_output(s); // a keepalive, or the end of a silent session
		if (poll(fds, sizeof(fds) / sizeof(fds[0]), timeout) < 0 && errno != EINTR)
			break;
		if (fds[0].revents)
			on_signal(s);
		if (fds[3].revents & (POLLIN | POLLHUP | POLLERR) && s->conn.fd >= 0)
			conn_input(s);
		if (fds[1].revents)
			eventfd_read(s->event_fd, &count);
		service_ops(s);
		if (fds[2].revents)
			conn_accept(s);
		conn_output(s);
	}
}

static unsigned concurrency(void)
{
	const char *text = getenv("PENSTOCK_CONCURRENCY");
	long n = text ? strtol(text, NULL, 10) : 1;

	return n < 1 ? 1 : n > THREADS_MAX ? THREADS_MAX : (unsigned)n;
}

static int start(struct service *s, const char *path)
{
	int error;

	list_init(&s->jobs);
	s->blocks = buf_pool_new(BLOCK_BYTES, BLOCKS_BYTES_MAX);
	s->pool = s->blocks ? rs_pool_new(STREAMS_MAX, s->blocks) : NULL;
	if (!s->pool)
		return -ENOMEM;
	error = work_start(s);
	if (error)
		return error;
	// Last: who listens is ready.
	s->listen_fd = listen_on(path);
	return s->listen_fd < 0 ? s->listen_fd : 0;
}

static void finish(struct service *s)
{
	conn_close(s);
	work_stop(s);
	close(s->listen_fd);
	close(s->signal_fd);
	rs_pool_destroy(s->pool);
	buf_pool_destroy(s->blocks);
	chain_nodes_free();
}

static int test(int argc, char **argv, const struct pn_function *function, int fd)
{
	int rc = function->start ? function->start(argc, argv) : 0;

	if (rc)
		return rc;
	signal(SIGPIPE, SIG_IGN);
	rc = pn_cases_serve(fd, function);
	if (function->stop)
		function->stop();
	return rc ? 1 : 0;
}

int pn_main(int argc, char **argv, const struct pn_function *function)
{
	const char *test_fd = getenv(TEST_FD_ENV), *path = getenv("PENSTOCK_SOCKET");
	struct service s = {
		.function = function, .concurrency = concurrency(), .conn = {.fd = -1}};
	int rc;

	if (test_fd)
		return test(argc, argv, function, atoi(test_fd));
	if (!path) {
		fprintf(stderr,
			"%s is a function: penstock-fnhost starts it, or set PENSTOCK_SOCKET to the "
			"path it shall listen on; `penstock test` runs its tests\n",
			argc > 0 ? argv[0] : "this");
		return 2;
	}
	s.signal_fd = watch_signals();
	rc = function->start ? function->start(argc, argv) : 0;
	if (rc)
		return rc;
	rc = start(&s, path);
	if (rc) {
		fprintf(stderr, "cannot serve on %s: %s\n", path, strerror(-rc));
		return 1;
	}
	run(&s);
	finish(&s);
	if (function->stop)
		function->stop();
	return 0;
}
