// SPDX-License-Identifier: Apache-2.0
// penstock-dataplane: starts the process (process.c), waits for a signal, drains, and ends it.
//
// The main thread is the control thread: the application's link to the control plane runs here.
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "dataplane/app.h"
#include "lib/base/notify.h"

#define STEP_MAX (1 * NS_PER_SEC)
#define DRAIN_STEP (10 * NS_PER_MS)
#define DRAIN_LIMIT (10 * NS_PER_SEC)

// Signals to end come by a descriptor; all threads inherit that they are blocked.
static int signals_init(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void wait_for(struct dataplane *dp, int signal_fd, ns_t until)
{
	struct pollfd fd[2] = {
		{.fd = signal_fd, .events = POLLIN}, {.fd = app_fd(dp), .events = POLLIN}};
	ns_t now = clock_now(), span = until > now ? until - now : 0;
	struct timespec timeout = {.tv_sec = span / NS_PER_SEC, .tv_nsec = span % NS_PER_SEC};

	ppoll(fd, 2, &timeout, NULL);
}

// Until a signal asks to end.
static void serve(struct dataplane *dp, int signal_fd)
{
	struct signalfd_siginfo info;

	while (read(signal_fd, &info, sizeof(info)) != sizeof(info)) {
		ns_t now = clock_now(), next = app_step(dp, now);

		wait_for(dp, signal_fd, next < now + STEP_MAX ? next : now + STEP_MAX);
	}
	log_info("main", "%s: draining", strsignal((int)info.ssi_signo));
}

// The link to the control plane stays up while workers drain. A second signal cuts the drain short.
static void drain(struct dataplane *dp, int signal_fd)
{
	struct signalfd_siginfo info;

	workers_stop(dp, DRAIN_LIMIT);
	while (workers_running(dp)) {
		ns_t now = clock_now(), next = app_step(dp, now);

		wait_for(dp, signal_fd, next < now + DRAIN_STEP ? next : now + DRAIN_STEP);
		if (read(signal_fd, &info, sizeof(info)) == sizeof(info))
			workers_stop(dp, 0);
	}
}

static int run(struct dataplane *dp)
{
	int signal_fd = signals_init();
	int error = dataplane_start(dp);

	if (!error) {
		log_info("main", "%s runs with %u worker%s", dp->options.name, dp->workers,
			dp->workers == 1 ? "" : "s");
		notify("READY=1");
		serve(dp, signal_fd);
		notify("STOPPING=1");
		drain(dp, signal_fd);
		dataplane_end(dp);
	}
	close(signal_fd);
	return error;
}

int main(int argc, char **argv)
{
	struct dataplane *dp = calloc(1, sizeof(*dp));
	enum options_outcome outcome;
	int error;

	if (!dp)
		return 1;
	outcome = options_parse(argc, argv, &dp->options);
	if (outcome != OPTIONS_RUN) {
		free(dp);
		return outcome == OPTIONS_EXIT ? 0 : 2;
	}
	log_set_level(dp->options.log_level);
	error = run(dp);
	free(dp);
	return error ? 1 : 0;
}
