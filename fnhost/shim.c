// SPDX-License-Identifier: Apache-2.0
// Shims: see shim.h. Loop's thread.
//
//   spawn: lock DIR/lock, hand it and one end of a socket pair to the shim -> lines
//   adopt: DIR/lock is locked: connect to DIR/shim.sock (tried again: it may just be starting) -> lines
//          it is not: nobody is there, DIR/status tells how it ended
//
// The lock is taken before the shim exists and goes with the open file, so there is no moment in which a restarted
// host could take a starting shim for none.
#include "fnhost/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/un.h>
#include <unistd.h>

#define LOCK_FD 3
#define CONTROL_FD 4
#define FD_ABOVE 10 // descriptors that dup2 to the two above does not meet
#define ATTEMPT_WAIT (20 * NS_PER_MS)
#define ATTEMPTS_MAX 250

static void finish(struct shim *shim, int error, int code, int signal)
{
	if (shim->over || shim->released)
		return;
	shim->over = true;
	shim->ops->over(shim, error, code, signal);
}

static void on_line(struct shim *shim, const char *line)
{
	int a = 0, b = 0;

	if (sscanf(line, "running %d", &a) == 1) {
		if (shim->released)
			return;
		shim->ops->running(shim, a);
		if (shim->term_due)
			shim_term(shim);
	} else if (sscanf(line, "failed %d", &a) == 1) {
		finish(shim, -a, 0, 0);
	} else if (sscanf(line, "exited %d %d", &a, &b) == 2) {
		finish(shim, 0, a, b);
	}
}

static void on_data(struct loop_conn *c, struct chain *in)
{
	struct shim *shim = loop_conn_user(c);

	while (!chain_empty(in)) {
		char byte;

		chain_read(in, 0, &byte, 1);
		chain_skip(in, 1);
		if (byte != '\n' && shim->len < sizeof(shim->line) - 1) {
			shim->line[shim->len++] = byte;
			continue;
		}
		shim->line[shim->len] = 0;
		shim->len = 0;
		on_line(shim, shim->line);
	}
}

// The lock, as a descriptor to be handed on. -EAGAIN: another holds it.
static int lock(const struct shim *shim)
{
	char path[sizeof(shim->dir) + 16];
	int fd, high;

	snprintf(path, sizeof(path), "%s/lock", shim->dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (fd < 0)
		return -errno;
	high = fcntl(fd, F_DUPFD_CLOEXEC, FD_ABOVE);
	close(fd);
	if (high >= 0 && flock(high, LOCK_EX | LOCK_NB)) {
		int error = -errno;

		close(high);
		return error;
	}
	return high < 0 ? -errno : high;
}

void shim_read_status(const struct shim *shim, struct shim_status *status)
{
	char path[sizeof(shim->dir) + 16], line[SHIM_LINE_MAX] = "";
	int a = 0, b = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/status", shim->dir);
	file = fopen(path, "re");
	*status = (struct shim_status){.known = file != NULL, .signal = SIGKILL};
	if (!file)
		return;
	if (!fgets(line, sizeof(line), file))
		line[0] = 0;
	fclose(file);
	if (sscanf(line, "exited %d %d", &a, &b) == 2)
		*status = (struct shim_status){.known = true, .code = a, .signal = b};
	else if (sscanf(line, "failed %d", &a) == 1)
		*status = (struct shim_status){.known = true, .error = -a};
}

// It has gone: with its last word in the file, if we were not there to hear it, or without one, and its program with it.
static void lost(struct shim *shim)
{
	struct shim_status status;

	if (shim->over || shim->released)
		return;
	shim_read_status(shim, &status);
	finish(shim, status.error, status.code, status.signal);
}

static void connect_again(struct shim *shim)
{
	int lock_fd = lock(shim);

	if (lock_fd >= 0)
		close(lock_fd);
	if (lock_fd < 0 && shim->attempts++ < ATTEMPTS_MAX)
		timer_arm(loop_timers(shim->loop), &shim->timer, loop_now(shim->loop) + ATTEMPT_WAIT);
	else
		lost(shim);
}

static void on_opened(struct loop_conn *c, int error)
{
	struct shim *shim = loop_conn_user(c);

	if (!error)
		shim->attempts = ATTEMPTS_MAX; // what follows is an end, not a beginning
}

static void on_closed(struct loop_conn *c, int error)
{
	struct shim *shim = loop_conn_user(c);

	shim->conn = NULL;
	if (!shim->over && !shim->released && shim->attempts < ATTEMPTS_MAX)
		connect_again(shim);
	else
		lost(shim);
	if (!shim_busy(shim))
		shim->ops->closed(shim);
}

static const struct loop_conn_ops conn_ops = {
	.opened = on_opened, .data = on_data, .closed = on_closed};

static int spawn(struct shim *shim, const struct shim_start *start, int lock_fd, int control_fd)
{
	char bytes[24], dir[sizeof(shim->dir)], *argv[512];
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t all, none;
	size_t n = 0;
	pid_t pid;
	int error;

	snprintf(dir, sizeof(dir), "%s", shim->dir);
	snprintf(bytes, sizeof(bytes), "%llu", (unsigned long long)start->log_bytes);
	argv[n++] = (char *)(uintptr_t)start->program;
	argv[n++] = dir;
	argv[n++] = (char *)(uintptr_t)start->log;
	argv[n++] = bytes;
	argv[n++] = (char *)(uintptr_t)(start->cgroup[0] ? start->cgroup : "-");
	argv[n++] = (char *)(uintptr_t) "--";
	for (size_t i = 0; start->argv[i] && n < sizeof(argv) / sizeof(argv[0]) - 1; i++)
		argv[n++] = start->argv[i];
	argv[n] = NULL;
	sigfillset(&all);
	sigemptyset(&none);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, lock_fd, LOCK_FD);
	posix_spawn_file_actions_adddup2(&actions, control_fd, CONTROL_FD);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setsigmask(&attr, &none);
	error = posix_spawn(&pid, start->program, &actions, &attr, argv, start->envp);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	return -error;
}

// Of the run before: it is no word about this one.
static void forget_status(const struct shim *shim)
{
	char path[sizeof(shim->dir) + 16];

	snprintf(path, sizeof(path), "%s/status", shim->dir);
	unlink(path);
}

int shim_spawn(struct shim *shim, const struct shim_start *start)
{
	int lock_fd = lock(shim), control[2] = {-1, -1}, high = -1, error = 0;

	if (lock_fd < 0)
		return lock_fd;
	forget_status(shim);
	shim->over = shim->term_due = false;
	shim->len = 0;
	shim->attempts = ATTEMPTS_MAX;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control))
		error = -errno;
	if (!error && (high = fcntl(control[1], F_DUPFD_CLOEXEC, FD_ABOVE)) < 0)
		error = -errno;
	if (!error)
		error = spawn(shim, start, lock_fd, high);
	if (!error)
		shim->conn = loop_adopt(shim->loop, control[0], &conn_ops, shim, &error);
	else if (control[0] >= 0)
		close(control[0]);
	if (control[1] >= 0)
		close(control[1]);
	if (high >= 0)
		close(high);
	close(lock_fd); // the shim's copy holds it
	return error;
}

static int dial(struct shim *shim)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int error;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%.90s/shim.sock", shim->dir);
	shim->conn = loop_connect(
		shim->loop, (struct sockaddr *)&addr, sizeof(addr), &conn_ops, shim, &error);
	return shim->conn ? 0 : error;
}

static void on_timer(struct timer *timer, ns_t now)
{
	struct shim *shim = container_of(timer, struct shim, timer);

	if (dial(shim))
		connect_again(shim);
}

int shim_adopt(struct shim *shim, struct shim_status *status)
{
	int lock_fd = lock(shim);

	if (lock_fd >= 0) {
		close(lock_fd);
		shim_read_status(shim, status);
		return -ESRCH;
	}
	if (lock_fd != -EAGAIN)
		return lock_fd;
	shim->over = shim->term_due = false;
	shim->len = 0;
	shim->attempts = 0;
	shim->timer.fire = on_timer;
	return dial(shim);
}

// False: it could not be said.
static bool say(struct shim *shim, const char *word)
{
	struct chain out = {0};

	if (!shim->conn)
		return false;
	// These few bytes always fit: a send in flight is the word before.
	if (loop_conn_idle(shim->conn)) {
		chain_push(&out, NULL, (const uint8_t *)word, (uint32_t)strlen(word));
		loop_send(shim->conn, &out);
		return true;
	}
	return send(loop_conn_fd(shim->conn), word, strlen(word), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

void shim_term(struct shim *shim)
{
	shim->term_due = !say(shim, "term\n");
}

void shim_kill(struct shim *shim)
{
	if (!say(shim, "kill\n"))
		return; // the timer of its life says it again
}

void shim_release(struct shim *shim)
{
	shim->released = true;
	timer_cancel(loop_timers(shim->loop), &shim->timer);
	if (shim->conn)
		loop_close(shim->conn);
}
