// SPDX-License-Identifier: Apache-2.0
// The smallest application of the data plane: a TCP echo, for tests of the network below.
//
// Worker thread, but for app_*. What arrives is sent back; what does not fit the send buffer
// waits, unconsumed, so the client's own window closes.
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "dataplane/app.h"

struct echo {
	struct list link;
	struct chain waiting;
	bool eof;
};

struct echoes {
	struct list all;
};

int app_init(struct dataplane *dp)
{
	return 0;
}

void app_fini(struct dataplane *dp)
{
	struct port_stats stats;

	for (unsigned i = 0; i < dp->ports.count; i++) {
		port_stats(&dp->ports.port[i], &stats);
		log_info("echo",
			"%s: rx %" PRIu64 " tx %" PRIu64 " rx_missed %" PRIu64 " rx_errors %" PRIu64
			" tx_errors %" PRIu64 " rx_nombuf %" PRIu64,
			dp->ports.port[i].name, stats.rx_packets, stats.tx_packets, stats.rx_missed,
			stats.rx_errors, stats.tx_errors, stats.rx_nombuf);
	}
	log_info("echo", "packet buffers free: %u of %u", port_pool_available(&dp->ports),
		port_pool_size(&dp->ports));
}

ns_t app_step(struct dataplane *dp, ns_t now)
{
	return NS_NEVER;
}

int app_fd(struct dataplane *dp)
{
	return -1;
}

static void forward(struct tcp_conn *c)
{
	struct echo *e = tcp_user(c);
	size_t room = tcp_send_room(c);
	size_t n = e->waiting.len < room ? e->waiting.len : room;
	struct chain out = {0};

	if (n) {
		chain_move(&out, &e->waiting, n);
		if (tcp_send(c, &out) == 0)
			tcp_consumed(c, n);
	}
	if (e->eof && chain_empty(&e->waiting))
		tcp_close(c);
}

static bool on_accept(struct tcp_conn *c, void *listener_user)
{
	struct worker *w = listener_user;
	struct echoes *echoes = w->app;
	struct echo *e = calloc(1, sizeof(*e));

	if (!e)
		return false;
	list_push(&echoes->all, &e->link);
	tcp_set_user(c, e);
	return true;
}

static void on_data(struct tcp_conn *c, struct chain *data)
{
	struct echo *e = tcp_user(c);

	chain_append(&e->waiting, data);
	forward(c);
}

static void on_eof(struct tcp_conn *c)
{
	struct echo *e = tcp_user(c);

	e->eof = true;
	forward(c);
}

static void on_closed(struct tcp_conn *c, int error)
{
	struct echo *e = tcp_user(c);

	chain_clear(&e->waiting);
	list_del(&e->link);
	free(e);
}

const struct tcp_ops app_tcp_ops = {
	.accept = on_accept,
	.data = on_data,
	.writable = forward,
	.eof = on_eof,
	.closed = on_closed,
};

int worker_app_init(struct worker *w)
{
	struct echoes *echoes = calloc(1, sizeof(*echoes));

	if (!echoes)
		return -ENOMEM;
	list_init(&echoes->all);
	w->app = echoes;
	return 0;
}

// What is not zero, for who reads the log of a test.
static void log_counters(const struct worker *w)
{
	const struct tcp_counters *tcp = tcp_counters(w->tcp);
	const struct net_counters *net = net_counters(w->net);
	const struct worker_counters *worker = &w->counters;

#define X(name, text)                                                                              \
	if (tcp->name)                                                                             \
		log_info("echo", "worker %u tcp.%s %" PRIu64 ": %s", w->id, #name, tcp->name, text);
	TCP_COUNTERS(X)
#undef X
#define X(name, text)                                                                              \
	if (net->name)                                                                             \
		log_info("echo", "worker %u net.%s %" PRIu64 ": %s", w->id, #name, net->name, text);
	NET_COUNTERS(X)
#undef X
#define X(name, text)                                                                 \
	if (worker->name)                                                             \
		log_info("echo", "worker %u worker.%s %" PRIu64 ": %s", w->id, #name, \
			worker->name, text);
	WORKER_COUNTERS(X)
#undef X
	log_info("echo", "worker %u busy %.3f, packet buffers held %u", w->id, worker_busy(w),
		w->mbufs_held);
}

void worker_app_fini(struct worker *w)
{
	log_counters(w);
	// Connections that are left end with the stack, which comes after us: they must find
	// their list.
	tcp_stack_destroy(w->tcp);
	w->tcp = NULL;
	free(w->app);
}

void worker_app_flush(struct worker *w, ns_t now)
{
}

bool worker_app_drain(struct worker *w, ns_t now)
{
	return true;
}
