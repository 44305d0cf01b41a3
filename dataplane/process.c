// SPDX-License-Identifier: Apache-2.0
// The process: DPDK, ports, the grace periods, the application, the network's configuration and the
// workers, started in one visible order and ended in reverse. Control thread.
//
// penstock-dataplane and penstock-gen run on it, each with an application of its own (app.h).
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_malloc.h>
#include <rte_rcu_qsbr.h>

#include "dataplane/app.h"
#include "dataplane/eal.h"

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

int dataplane_start(struct dataplane *dp)
{
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
	if (!error)
		error = workers_start(dp);
	if (!error)
		return 0;
	app_fini(dp);
	free((void *)(uintptr_t)dp->net);
no_app:
	rcu_fini(dp);
no_rcu:
	ports_close(&dp->ports);
no_ports:
	eal_stop();
	return error;
}

void dataplane_end(struct dataplane *dp)
{
	workers_join(dp);
	app_fini(dp);
	free((void *)(uintptr_t)dp->net);
	rcu_fini(dp);
	ports_close(&dp->ports);
	eal_stop();
}
