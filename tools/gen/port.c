// SPDX-License-Identifier: Apache-2.0
// `penstock-gen load` on a DPDK port: an application of the data plane's shell (dataplane/app.h)
// whose workers are the clients, with our own TCP stack as the client's end.
//
// A worker is a client, has queue i of the port, and polls without a pause. A gateway with as many
// workers on the other side of a memif sees each client's connections on one of them.
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_cycles.h>

#include "dataplane/app.h"
#include "tools/gen/load.h"

#define LINK_TIMEOUT (10 * NS_PER_SEC)
#define SPIN_US 1000000
#define DRAIN_LIMIT (2 * NS_PER_SEC)

// Transport

static struct client_conn *conn_of(struct tcp_link *link)
{
	return container_of(link, struct client_conn, tcp_link);
}

static void on_up(struct tcp_link *link)
{
	conn_up(conn_of(link));
}

static void on_down(struct tcp_link *link, const char *why)
{
	conn_down(conn_of(link), true);
	conn_failed(conn_of(link), why);
}

static const struct tcp_link_ops link_ops = {.up = on_up, .down = on_down};

static int port_dial(struct client_conn *conn, unsigned number, struct rs_config *session)
{
	struct client *cl = conn->client;
	const struct sockaddr_in *to = (const void *)&cl->load->addrs[number % cl->load->targets];
	struct tcp_connect connect = {
		.remote = ip_from_v4(to->sin_addr.s_addr), .remote_port = ntohs(to->sin_port)};
	unsigned prefix;

	conn->session = &conn->tcp_link.session;
	if (ip_prefix_parse(cl->load->config.address, &connect.local, &prefix))
		return -EINVAL;
	return tcp_link_dial(&conn->tcp_link, &cl->tcp_hub, &connect, session, &link_ops);
}

static void port_close(struct client_conn *conn)
{
	tcp_link_close(&conn->tcp_link);
}

static void port_abort(struct client_conn *conn)
{
	tcp_link_abort(&conn->tcp_link);
}

static bool port_idle(const struct client_conn *conn)
{
	return tcp_link_idle(&conn->tcp_link);
}

static ns_t port_worked(const struct client *cl)
{
	double cycles = (double)counter_read(&cl->worker->counters.cycles_busy);

	return (ns_t)(cycles * 1e9 / (double)rte_get_tsc_hz());
}

// Start and end. Main thread.

static bool all_reachable(const struct load *load)
{
	for (unsigned i = 0; i < load->targets; i++)
		if (load->addrs[i].ss_family != AF_INET)
			return false;
	return true;
}

static void set_options(struct options *o, const struct load_config *c)
{
	options_defaults(o);
	o->log_level = LOG_WARN;
	o->workers = (unsigned)c->threads;
	o->spin_us = SPIN_US;
	o->no_huge = c->no_huge;
	o->connections_max = (unsigned)c->connections + 1024;
	snprintf(o->file_prefix, sizeof(o->file_prefix), "%s", c->file_prefix);
	snprintf(o->cores, sizeof(o->cores), "%s", c->cores ? c->cores : "");
	snprintf(o->port[o->ports++].text, OPTION_TEXT_MAX, "p0=%s", c->port);
	snprintf(o->address[o->addresses++].text, OPTION_TEXT_MAX, "%s", c->address);
	if (c->via)
		snprintf(o->route[o->routes++].text, OPTION_TEXT_MAX, "default=%s", c->via);
}

// A memif has a link only once its peer is there.
static int wait_for_link(const struct dataplane *dp)
{
	struct timespec pause = {.tv_nsec = NS_PER_MS};
	ns_t deadline = clock_now() + LINK_TIMEOUT;

	while (!port_link_up(&dp->ports.port[0])) {
		if (clock_now() > deadline) {
			fprintf(stderr, "the port's peer is not there\n");
			return -ETIMEDOUT;
		}
		nanosleep(&pause, NULL);
	}
	return 0;
}

static int port_start(struct load *load)
{
	struct dataplane *dp = calloc(1, sizeof(*dp));
	int error;

	if (!dp)
		return -ENOMEM;
	if (!all_reachable(load) || load->config.threads > WORKERS_MAX) {
		fprintf(stderr, "a --port takes IPv4 addresses and at most %d threads\n",
			WORKERS_MAX);
		free(dp);
		return -EINVAL;
	}
	dp->app = load;
	log_set_level(LOG_WARN);
	set_options(&dp->options, &load->config);
	error = dataplane_start(dp);
	if (error)
		free(dp);
	else
		load->shell = dp;
	return error;
}

static void port_end(struct load *load)
{
	workers_stop(load->shell, DRAIN_LIMIT);
	dataplane_end(load->shell);
	free(load->shell);
	load->shell = NULL;
}

// The shell's hooks

int app_init(struct dataplane *dp)
{
	return wait_for_link(dp);
}

void app_fini(struct dataplane *dp)
{
}

ns_t app_step(struct dataplane *dp, ns_t now)
{
	return NS_NEVER;
}

int app_fd(struct dataplane *dp)
{
	return -1;
}

static bool refuse(struct tcp_conn *conn, void *listener_user)
{
	return false;
}

// Nothing listens.
const struct tcp_ops app_tcp_ops = {.accept = refuse};

int worker_app_init(struct worker *w)
{
	struct load *load = w->dp->app;
	struct client *cl = &load->clients[w->id];
	int error = client_init(cl, w->loop);

	cl->worker = w;
	w->app = cl;
	tcp_hub_init(&cl->tcp_hub, w->tcp, &w->wheel, &w->now, cl->pool);
	// A client that could not start is cleared away like one that could.
	if (error)
		client_failed(cl);
	return 0;
}

// Connections end with the stack, those of the server with the loop; then nothing refers to the
// client's memory.
void worker_app_fini(struct worker *w)
{
	struct client *cl = w->app;

	tcp_stack_destroy(w->tcp);
	w->tcp = NULL;
	loop_destroy(w->loop);
	w->loop = NULL;
	client_fini(cl);
}

// Dials late: the network is configured in the first iteration.
static void dial_once(struct client *cl)
{
	if (cl->deadline || cl->phase != PHASE_CONNECT)
		return;
	if (client_dial(cl))
		client_failed(cl);
}

void worker_app_flush(struct worker *w, ns_t now)
{
	struct client *cl = w->app;

	(void)now;
	dial_once(cl);
	if (cl->phase != PHASE_DONE && !client_step(cl))
		atomic_fetch_add(&cl->load->done, 1);
	tcp_hub_flush(&cl->tcp_hub);
}

bool worker_app_drain(struct worker *w, ns_t now)
{
	const struct client *cl = w->app;

	(void)now;
	return cl->phase == PHASE_DONE;
}

const struct transport port_transport = {
	.start = port_start,
	.end = port_end,
	.worked = port_worked,
	.dial = port_dial,
	.close = port_close,
	.abort = port_abort,
	.idle = port_idle,
	.wake = tcp_link_wake,
	.ended = tcp_link_ended,
};
