// SPDX-License-Identifier: Apache-2.0
// `penstock-gen load` over kernel sockets: threads with a loop each, and links.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "tools/gen/load.h"

static struct client_conn *conn_of(struct link *link)
{
	return container_of(link, struct client_conn, link);
}

static void on_up(struct link *link)
{
	struct client_conn *conn = conn_of(link);
	uint64_t rate = conn->client->load->config.slow;

	// Paced by the kernel's TCP; a Unix socket knows no pace and says so.
	if (conn->faulty && rate &&
		setsockopt(loop_conn_fd(link->conn), SOL_SOCKET, SO_MAX_PACING_RATE, &rate,
			sizeof(rate)))
		fprintf(stderr, "this socket cannot be slowed down\n");
	conn_up(conn);
}

static void on_down(struct link *link, const char *why)
{
	struct client_conn *conn = conn_of(link);
	bool gone = link->state == LINK_CLOSED;

	conn_down(conn, gone);
	if (gone || conn->client->load->config.reconnect)
		return;
	link_close(link);
	conn_failed(conn, why);
}

static const struct link_ops link_ops = {.up = on_up, .down = on_down};

static int kernel_dial(struct client_conn *conn, unsigned number, struct rs_config *session)
{
	struct load *load = conn->client->load;
	unsigned target = number % load->targets;
	int error =
		link_dial(&conn->link, &conn->client->hub, (struct sockaddr *)&load->addrs[target],
			load->addr_lens[target], session, &link_ops, conn);

	conn->session = &conn->link.session;
	if (!error && conn->faulty && load->config.stop_reading)
		conn->link.read_max = load->config.stop_reading;
	return error;
}

static void kernel_close(struct client_conn *conn)
{
	link_close(&conn->link);
}

static void kernel_abort(struct client_conn *conn)
{
	loop_abort(conn->link.conn);
}

static bool kernel_idle(const struct client_conn *conn)
{
	return loop_conn_idle(conn->link.conn);
}

// With --spin it never waits, so all of it looks like work.
static ns_t kernel_worked(const struct client *cl)
{
	struct timespec ts;

	(void)cl;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (ns_t)ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

static void on_wake(struct loop *loop, void *user)
{
	// The wait is over; client_step() looks what for.
}

static struct loop *open_loop(void)
{
	int error;
	struct loop *loop = loop_new(NULL, &error);

	if (!loop)
		fprintf(stderr, "cannot make an io_uring loop: %s\n", strerror(-error));
	return loop;
}

static void *client_main(void *arg)
{
	struct client *cl = arg;
	struct loop *loop = open_loop();

	// Sleeps end on time: an open loop is only as punctual as its timer.
	prctl(PR_SET_TIMERSLACK, 1);
	if (!loop || client_init(cl, loop) || client_dial(cl))
		client_failed(cl);
	if (loop)
		loop_on_wake(loop, on_wake, cl);
	while (client_step(cl)) {
		if (loop_step(loop, client_next(cl)) < 0) {
			client_failed(cl);
			break;
		}
	}
	atomic_fetch_add(&cl->load->done, 1);
	// Main wakes the loop: it must have stopped doing so before the loop is destroyed.
	pthread_barrier_wait(&cl->load->all_done);
	if (loop)
		loop_destroy(loop);
	client_fini(cl);
	chain_nodes_free();
	return NULL;
}

static int kernel_start(struct load *load)
{
	pthread_barrier_init(&load->all_done, NULL, (unsigned)load->config.threads + 1);
	for (unsigned i = 0; i < load->config.threads; i++) {
		struct client *cl = &load->clients[i];

		if (pthread_create(&cl->thread, NULL, client_main, cl)) {
			fprintf(stderr, "cannot start a thread\n");
			exit(1);
		}
	}
	return 0;
}

static void kernel_end(struct load *load)
{
	pthread_barrier_wait(&load->all_done);
	for (unsigned i = 0; i < load->config.threads; i++)
		pthread_join(load->clients[i].thread, NULL);
	pthread_barrier_destroy(&load->all_done);
}

const struct transport kernel_transport = {
	.start = kernel_start,
	.end = kernel_end,
	.worked = kernel_worked,
	.dial = kernel_dial,
	.close = kernel_close,
	.abort = kernel_abort,
	.idle = kernel_idle,
	.wake = link_wake,
	.ended = link_ended,
};
