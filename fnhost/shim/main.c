// SPDX-License-Identifier: Apache-2.0
// penstock-shim: one small process an instance. It starts the program, owns its exit status and its log,
// and outlives the function host, which finds it again by its socket.
//
//   penstock-shim DIR LOG LOG_BYTES CGROUP -- COMMAND...
//
// CGROUP is the file cgroup.procs of the program's cgroup, or -.
// Started with two descriptors: 3 is DIR/lock with a lock on it, held as long as the shim lives, so that a
// restarted host knows whether there is one; 4 is the first control connection. More are accepted on
// DIR/shim.sock. The shim says "running PID" or "failed ERRNO" at the beginning of a connection and "exited CODE
// SIGNAL" at the end, each a line; it takes "term" and "kill". DIR/status holds the newest of these
// lines, "starting" before the first: without room for it nothing is started. The program's standard input is
// DIR/payload, if there is one. The program dies with its shim (PR_SET_PDEATHSIG), and what it has started with the program, so nothing
// runs that nobody owns.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fnhost/shim/log_file.h"

#define LOCK_FD 3
#define CONTROL_FD 4
#define CLIENTS_MAX 4
#define LINE_MAX_BYTES 64
#define DESCENDANT_ROUNDS 1000 // of about a millisecond

struct client {
	int fd; // -1: free
	char line[LINE_MAX_BYTES];
	size_t len;
};

struct shim {
	const char *dir, *cgroup;
	struct log_file log;
	int signal_fd, listen_fd, pipe_fd;
	struct client clients[CLIENTS_MAX];
	pid_t pid;
	bool over;
	char status[LINE_MAX_BYTES]; // the newest line
};

static void tell(struct client *c, const char *line)
{
	// A host that does not read these few bytes is as good as gone.
	if (c->fd >= 0 && send(c->fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
		close(c->fd);
		c->fd = -1;
	}
}

static int write_line(const char *path, int flags, const char *line)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | flags, 0640), fault = 0;

	if (fd < 0)
		return errno;
	errno = 0;
	if (write(fd, line, strlen(line)) != (ssize_t)strlen(line))
		fault = errno ? errno : ENOSPC;
	close(fd);
	return fault;
}

// 0 or errno.
static int store_status(const struct shim *s, const char *line)
{
	char path[4096], fresh[4096];
	int fault;

	snprintf(path, sizeof(path), "%s/status", s->dir);
	snprintf(fresh, sizeof(fresh), "%s/status.new", s->dir);
	fault = write_line(fresh, O_CREAT | O_TRUNC, line);
	if (!fault && rename(fresh, path))
		fault = errno;
	if (!fault)
		return 0;
	unlink(fresh);
	// On a full disk there still is the room of the line before. What is left of it is another line.
	return write_line(path, 0, line);
}

// The file first: who is told may look at it.
static int set_status(struct shim *s, const char *line)
{
	int fault = store_status(s, line);

	snprintf(s->status, sizeof(s->status), "%s", line);
	for (int i = 0; i < CLIENTS_MAX; i++)
		tell(&s->clients[i], line);
	return fault;
}

static int listen_control(struct shim *s)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int n = snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/shim.sock", s->dir);

	if (n < 0 || (size_t)n >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	s->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	unlink(addr.sun_path);
	if (s->listen_fd < 0 || bind(s->listen_fd, (struct sockaddr *)&addr, sizeof(addr)) ||
		listen(s->listen_fd, CLIENTS_MAX))
		return -errno;
	return 0;
}

// Before it can start others, so that no process of it is ever without its limits. (O_CREAT: for tests over a plain
// folder; nothing can be made among the kernel's files.)
static int enter_cgroup(const char *path)
{
	int fd = strcmp(path, "-") == 0 ? -1 : open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	int fault = 0;

	if (fd < 0)
		return strcmp(path, "-") == 0 ? 0 : errno;
	if (write(fd, "0", 1) < 0)
		fault = errno;
	close(fd);
	if (fault)
		dprintf(STDERR_FILENO, "penstock-shim: cannot enter the cgroup of %s: %s\n", path,
			strerror(fault));
	return fault;
}

// 0 or errno.
static int set_input(const struct shim *s)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/payload", s->dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return fd >= 0 && dup2(fd, STDIN_FILENO) >= 0 ? 0 : errno;
}

static void run_program(const struct shim *s, char **argv, const int *out, const int *error)
{
	sigset_t none;
	int fault;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setpgid(0, 0);
	dup2(out[1], STDOUT_FILENO);
	dup2(out[1], STDERR_FILENO);
	fault = set_input(s);
	if (!fault)
		fault = enter_cgroup(s->cgroup);
	if (!fault) {
		execvp(argv[0], argv);
		fault = errno;
	}
	if (write(error[1], &fault, sizeof(fault)) < 0)
		_exit(126);
	_exit(127);
}

// 0 or the errno of the program's start.
static int start_program(struct shim *s, char **argv)
{
	int out[2], error[2], fault = 0;

	if (pipe2(out, O_CLOEXEC) || pipe2(error, O_CLOEXEC))
		return errno;
	s->pid = fork();
	if (s->pid < 0)
		return errno;
	if (s->pid == 0)
		run_program(s, argv, out, error);
	close(out[1]);
	close(error[1]);
	s->pipe_fd = out[0];
	fcntl(s->pipe_fd, F_SETFL, O_NONBLOCK);
	// Ends with exec, by FD_CLOEXEC.
	while (read(error[0], &fault, sizeof(fault)) < 0 && errno == EINTR)
		;
	close(error[0]);
	return fault;
}

static void read_log(struct shim *s)
{
	char bytes[16384];
	ssize_t n = read(s->pipe_fd, bytes, sizeof(bytes));

	if (n > 0) {
		log_file_write(&s->log, bytes, (size_t)n);
	} else if (n == 0 || errno != EAGAIN) {
		close(s->pipe_fd);
		s->pipe_fd = -1;
	}
}

// Those who left the program's process group and lost their parent are ours by now (PR_SET_CHILD_SUBREAPER);
// killing one makes us the parent of its own children. Bounded: who starts others faster than we kill would keep
// us for ever.
static void end_descendants(const struct shim *s)
{
	char path[64], text[4096], *at, *end;

	kill(-s->pid, SIGKILL);
	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	for (int round = 0; round < DESCENDANT_ROUNDS; round++) {
		pid_t gone;
		ssize_t n;
		int fd;

		while ((gone = waitpid(-1, NULL, WNOHANG)) > 0)
			;
		if (gone < 0)
			return; // none is left
		fd = open(path, O_RDONLY | O_CLOEXEC);
		n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

		if (fd >= 0)
			close(fd);
		text[n > 0 ? n : 0] = 0;
		at = text;
		for (long pid; (pid = strtol(at, &end, 10)) > 0 && end != at; at = end)
			kill((pid_t)pid, SIGKILL);
		poll(NULL, 0, 1);
	}
}

static void on_exit_of_program(struct shim *s, int status)
{
	char line[LINE_MAX_BYTES];
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
	int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

	end_descendants(s);
	for (int i = 0; i < 64 && s->pipe_fd >= 0; i++)
		read_log(s);
	s->over = true;
	snprintf(line, sizeof(line), "exited %d %d\n", code, signal);
	set_status(s, line);
}

static void on_signal(struct shim *s)
{
	struct signalfd_siginfo info;
	int status;

	while (read(s->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGTERM)
			kill(-s->pid, SIGTERM);
	}
	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
		if (pid == s->pid)
			on_exit_of_program(s, status);
}

static void obey(struct shim *s, const char *line)
{
	if (strcmp(line, "term") == 0)
		kill(-s->pid, SIGTERM);
	else if (strcmp(line, "kill") == 0)
		kill(-s->pid, SIGKILL);
}

static void read_client(struct shim *s, struct client *c)
{
	ssize_t n = recv(c->fd, c->line + c->len, sizeof(c->line) - c->len, MSG_DONTWAIT);
	char *end;

	if (n > 0)
		c->len += (size_t)n;
	while ((end = memchr(c->line, '\n', c->len))) {
		size_t used = (size_t)(end - c->line) + 1;

		*end = 0;
		obey(s, c->line);
		memmove(c->line, c->line + used, c->len - used);
		c->len -= used;
	}
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) || c->len == sizeof(c->line)) {
		close(c->fd);
		c->fd = -1;
		c->len = 0;
	}
}

static void accept_client(struct shim *s)
{
	int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC);

	for (int i = 0; i < CLIENTS_MAX && fd >= 0; i++) {
		if (s->clients[i].fd >= 0)
			continue;
		s->clients[i] = (struct client){.fd = fd};
		tell(&s->clients[i], s->status);
		return;
	}
	if (fd >= 0)
		close(fd);
}

static void run(struct shim *s)
{
	while (!s->over) {
		struct pollfd fds[3 + CLIENTS_MAX] = {
			{.fd = s->signal_fd, .events = POLLIN},
			{.fd = s->listen_fd, .events = POLLIN},
			{.fd = s->pipe_fd, .events = POLLIN},
		};

		for (int i = 0; i < CLIENTS_MAX; i++)
			fds[3 + i] = (struct pollfd){.fd = s->clients[i].fd, .events = POLLIN};
		if (poll(fds, 3 + CLIENTS_MAX, -1) < 0)
			continue;
		if (fds[2].revents)
			read_log(s);
		for (int i = 0; i < CLIENTS_MAX; i++)
			if (fds[3 + i].revents)
				read_client(s, &s->clients[i]);
		if (fds[1].revents)
			accept_client(s);
		if (fds[0].revents)
			on_signal(s);
	}
}

static void watch_signals(struct shim *s)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

// The host waits for nobody: we become a child of init.
static void detach(void)
{
	pid_t pid = fork();

	if (pid != 0)
		_exit(pid < 0);
	setsid();
	if (chdir("/"))
		_exit(1);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
}

int main(int argc, char **argv)
{
	struct shim s = {.listen_fd = -1, .pipe_fd = -1};
	char line[LINE_MAX_BYTES];
	int fault;

	if (argc < 7 || strcmp(argv[5], "--") != 0) {
		fputs("usage: penstock-shim DIR LOG LOG_BYTES CGROUP -- COMMAND...\n"
		      "penstock-fnhost starts it.\n",
			stderr);
		return 2;
	}
	detach();
	s.dir = argv[1];
	s.cgroup = argv[4];
	close_range(CONTROL_FD + 1, ~0u, 0); // what the host itself was started with is not for programs
	fcntl(LOCK_FD, F_SETFD, FD_CLOEXEC);
	fcntl(CONTROL_FD, F_SETFD, FD_CLOEXEC);
	for (int i = 0; i < CLIENTS_MAX; i++)
		s.clients[i].fd = i == 0 ? CONTROL_FD : -1;
	watch_signals(&s);
	log_file_open(&s.log, argv[2], strtoull(argv[3], NULL, 10));
	fault = set_status(&s, "starting\n");
	if (!fault)
		fault = -listen_control(&s);
	if (!fault)
		fault = start_program(&s, argv + 6);
	if (fault)
		snprintf(line, sizeof(line), "failed %d\n", fault);
	else
		snprintf(line, sizeof(line), "running %d\n", (int)s.pid);
	set_status(&s, line);
	if (!fault)
		run(&s);
	log_file_close(&s.log);
	return 0;
}
