// SPDX-License-Identifier: Apache-2.0
// penstock-dataplane: starts everything in one visible order,
// waits for a signal, and takes it down in reverse.
//
// The main thread is the control thread: the application's link to the control plane runs here.
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <rte_malloc.h>
#include <rte_rcu_qsbr.h>

#include "dataplane/app.h"
#include "dataplane/eal.h"

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

static int rcu_init(struct dataplane *dp)
{
	dp->qsbr = rte_zmalloc("rcu", rte_rcu_qsbr_get_memsize(WORKERS_MAX), RTE_CACHE_LINE_SIZE);
	if (!dp->qsbr || rte_rcu_qsbr_init(dp->qsbr, WORKERS_MAX)) {
		log_error("main", "no memory: give more --memory");
		return -ENOMEM;
	}
	return 0;
}

static void rcu_fini(struct dataplane *dp)
{
	rte_free(dp->qsbr);
	dp->qsbr = NULL;
}

void dataplane_synchronize(struct dataplane *dp)
{
	rte_rcu_qsbr_synchronize(dp->qsbr, RTE_QSBR_THRID_INVALID);
}

int dataplane_set_net(struct dataplane *dp, const struct net_config *config)
{
	struct net_config *next = malloc(sizeof(*next));
	const struct net_config *before = dp->net;

	if (!next)
		return -ENOMEM;
	*next = *config;
	next->generation = ++dp->generations;
	__atomic_store_n(&dp->net, next, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < dp->workers; i++)
		if (dp->worker[i])
			inbox_wake(&dp->worker[i]->inbox);
	// Workers copy what they apply, so after a grace period the old one is nobody's.
	dataplane_synchronize(dp);
	free((void *)(uintptr_t)before);
	return 0;
}

static int refuse(const char *flag, const char *text, int error)
{
	log_error("main", "--%s %s: %s", flag, text, net_config_error(error));
	return error;
}

// "[PORT=]CIDR"; without a port the first one.
static int static_address(struct dataplane *dp, struct net_config *config, const char *text)
{
	const char *cidr = text;
	char name[32];
	int port = 0, error;

	if (options_split(text, name, sizeof(name), &cidr))
		port = ports_find(&dp->ports, name);
	error = port < 0 ? -EINVAL : net_config_add_address_text(config, cidr, (unsigned)port);
	return error ? refuse("address", text, error) : 0;
}

static int static_route(struct net_config *config, const char *text)
{
	const char *via = NULL;
	char to[64];
	int error = -EINVAL;

	if (options_split(text, to, sizeof(to), &via))
		error = net_config_add_route_text(config, to, via);
	return error ? refuse("route", text, error) : 0;
}

static int static_listen(struct net_config *config, const char *text)
{
	char *end;
	unsigned long port = strtoul(text, &end, 10);
	int error = *end || port > UINT16_MAX ? -EINVAL
					      : net_config_add_listener(config, (unsigned)port);

	return error ? refuse("listen", text, error) : 0;
}

// Addresses, routes and listeners of the command line, until the control plane has others.
static int static_config(struct dataplane *dp)
{
	const struct options *o = &dp->options;
	struct net_config config = {0};
	int error = 0;

	for (unsigned i = 0; !error && i < o->addresses; i++)
		error = static_address(dp, &config, o->address[i].text);
	for (unsigned i = 0; !error && i < o->routes; i++)
		error = static_route(&config, o->route[i].text);
	for (unsigned i = 0; !error && i < o->listens; i++)
		error = static_listen(&config, o->listen[i].text);
	if (error)
		return error;
	return dataplane_set_net(dp, &config);
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
	int error = eal_start(&dp->options, &dp->workers, &dp->shared_cores);

	if (error)
		return error;
	error = ports_open(&dp->ports, &dp->options, dp->workers);
	if (error)
		goto no_ports;
	error = rcu_init(dp);
	if (error)
		goto no_rcu;
	error = app_init(dp);
	if (error)
		goto no_app;
	error = static_config(dp);
	if (error)
		goto no_config;
	error = workers_start(dp);
	if (error)
		goto no_config;
	log_info("main", "%s runs with %u worker%s", dp->options.name, dp->workers,
		dp->workers == 1 ? "" : "s");
	serve(dp, signal_fd);
	drain(dp, signal_fd);
	workers_join(dp);
no_config:
	app_fini(dp);
	free((void *)(uintptr_t)dp->net);
no_app:
	rcu_fini(dp);
no_rcu:
	ports_close(&dp->ports);
no_ports:
	eal_stop();
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
