// SPDX-License-Identifier: Apache-2.0
// Listeners: multishot accept, handed to the user as descriptors.
//
// Loop's thread only. When the process is out of descriptors or memory, accepting pauses for
// RETRY instead of spinning; connections wait in the backlog. A Unix path left behind by a
// dead process is replaced; one that somebody listens on is not.
#include "lib/loop/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 4096
#define RETRY (50 * NS_PER_MS)
#define IN_USE_TRIES 50
#define IN_USE_PAUSE_US 10000

struct loop_listener {
	struct loop *loop;
	int fd;
	bool armed, closing;
	void (*on_accept)(struct loop_listener *l, int fd, void *user);
	void *user;
	struct list all;
	struct timer retry;
	struct sockaddr_storage addr;
	socklen_t addr_len;
};

static void arm(struct loop_listener *l)
{
	struct io_uring_sqe *sqe = loop_sqe(l->loop);

	if (!sqe) {
		timer_arm(&l->loop->timers, &l->retry, l->loop->now + RETRY);
		return;
	}
	io_uring_prep_multishot_accept(sqe, l->fd, NULL, NULL, SOCK_CLOEXEC);
	sqe_tag(sqe, l, OP_ACCEPT);
	l->armed = true;
}

static void on_retry(struct timer *timer, ns_t now)
{
	arm(container_of(timer, struct loop_listener, retry));
}

static const char *unix_path(const struct sockaddr *addr)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)addr;

	return addr->sa_family == AF_UNIX && un->sun_path[0] ? un->sun_path : NULL;
}

// A socket that refuses connections has lost its listener.
static bool unlink_dead(const struct sockaddr *addr, socklen_t len)
{
	const char *path = unix_path(addr);
	struct stat st;
	bool dead;
	int fd;

	if (!path || lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	dead = connect(fd, addr, len) < 0 && errno == ECONNREFUSED;
	close(fd);
	return dead && unlink(path) == 0;
}

static int try_open(const struct sockaddr *addr, socklen_t len)
{
	static const int one = 1;
	int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int error;

	if (fd < 0)
		return -errno;
	if (addr->sa_family != AF_UNIX)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	error = bind(fd, addr, len) < 0 ? -errno : 0;
	if (error == -EADDRINUSE && unlink_dead(addr, len))
		error = bind(fd, addr, len) < 0 ? -errno : 0;
	if (!error && listen(fd, BACKLOG) < 0)
		error = -errno;
	if (error) {
		close(fd);
		return error;
	}
	return fd;
}

// The ring of a killed process is torn down behind its back: its listeners, also Unix ones, seem
// alive a little longer than the process. A restarted daemon must not fail for that.
static int open_socket(const struct sockaddr *addr, socklen_t len)
{
	int fd = try_open(addr, len);

	for (int i = 0; fd == -EADDRINUSE && i < IN_USE_TRIES; i++) {
		usleep(IN_USE_PAUSE_US);
		fd = try_open(addr, len);
	}
	return fd;
}

struct loop_listener *loop_listen(struct loop *loop, const struct sockaddr *addr, socklen_t len,
	void (*on_accept)(struct loop_listener *l, int fd, void *user), void *user, int *error)
{
	struct loop_listener *l = calloc(1, sizeof(*l));
	int fd;

	*error = -ENOMEM;
	if (!l)
		return NULL;
	fd = open_socket(addr, len);
	if (fd < 0) {
		*error = fd;
		free(l);
		return NULL;
	}
	*error = 0;
	l->loop = loop;
	l->fd = fd;
	l->on_accept = on_accept;
	l->user = user;
	l->retry.fire = on_retry;
	l->addr_len = sizeof(l->addr);
	getsockname(fd, (struct sockaddr *)&l->addr, &l->addr_len);
	list_push(&loop->listeners, &l->all);
	arm(l);
	return l;
}

static void listener_free(struct loop_listener *l)
{
	list_del(&l->all);
	timer_cancel(&l->loop->timers, &l->retry);
	close(l->fd);
	free(l);
}

static void unlink_path(struct loop_listener *l)
{
	const char *path = unix_path((struct sockaddr *)&l->addr);

	if (path)
		unlink(path);
}

void listener_on_accept(struct loop_listener *l, int res, unsigned flags)
{
	bool more = flags & IORING_CQE_F_MORE;

	l->armed = l->armed && more;
	if (res >= 0 && !l->closing)
		l->on_accept(l, res, l->user);
	else if (res >= 0)
		close(res);
	if (more)
		return;
	if (l->closing)
		listener_free(l);
	else if (res >= 0 || res == -EINTR || res == -ECONNABORTED)
		arm(l);
	else
		timer_arm(&l->loop->timers, &l->retry, l->loop->now + RETRY);
}

void loop_listener_close(struct loop_listener *l)
{
	struct io_uring_sqe *sqe;

	if (l->closing)
		return;
	l->closing = true;
	unlink_path(l);
	if (!l->armed) {
		listener_free(l);
		return;
	}
	// Also without room for a cancel: a shut down listener completes its accept.
	shutdown(l->fd, SHUT_RDWR);
	sqe = loop_sqe(l->loop);
	if (!sqe)
		return;
	io_uring_prep_cancel64(sqe, (uint64_t)(uintptr_t)l | OP_ACCEPT, 0);
	sqe_tag(sqe, NULL, OP_IGNORE);
}

void listeners_close(struct loop *loop)
{
	list_for_each_safe (at, after, &loop->listeners)
		loop_listener_close(list_entry(at, struct loop_listener, all));
}

void listeners_free(struct loop *loop)
{
	while (!list_empty(&loop->listeners))
		listener_free(list_entry(loop->listeners.next, struct loop_listener, all));
}

unsigned loop_listener_port(const struct loop_listener *l)
{
	if (l->addr.ss_family == AF_INET)
		return ntohs(((const struct sockaddr_in *)&l->addr)->sin_port);
	if (l->addr.ss_family == AF_INET6)
		return ntohs(((const struct sockaddr_in6 *)&l->addr)->sin6_port);
	return 0;
}

struct loop *loop_listener_loop(const struct loop_listener *l)
{
	return l->loop;
}
