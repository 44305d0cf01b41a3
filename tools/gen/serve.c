// SPDX-License-Identifier: Apache-2.0
// `penstock-gen serve`: an RSocket test backend on kernel TCP and Unix sockets.
//
// Main parses, starts the workers, waits for a signal and prints statistics. Each worker has a loop
// of its own, made on its thread. Worker 0 accepts and deals connections out in turn, through
// mailboxes, so that few connections are spread evenly. A stop drains every session for at most
// DRAIN_TIMEOUT.
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/addr.h"
#include "lib/base/atomic.h"
#include "tools/gen/gen.h"
#include "tools/gen/options.h"
#include "tools/gen/serve.h"

#define DRAIN_TIMEOUT (2 * NS_PER_SEC)
#define BLOCK_BYTES (16 * 1024)
#define BLOCKS_BYTES_MAX ((size_t)512 << 20)

#define FIELD(name) offsetof(struct serve_config, name)

static const struct option_def options[] = {
	{"penstock-gen serve --listen ADDR[,ADDR...] [options]", OPTION_HEADING},
	{"Routes: echo; count (data N: a stream of 1..N, or a reply N); delay (data MS); error\n"
	 "(data \"CODE text\"); size (data N: a reply of N bytes); sink (replies how much it got)",
		OPTION_HEADING},
	{"listen", OPTION_TEXT, FIELD(listen), "ADDR[,ADDR]",
		"127.0.0.1:7000, [::1]:7000 or unix:/path"},
	{"threads", OPTION_COUNT, FIELD(threads), "N", "threads with a loop each (1)"},
	{"fragment", OPTION_FRAGMENT, FIELD(fragment), "BYTES|never",
		"longer frames are fragmented (65536)"},
	{"delay-us", OPTION_COUNT, FIELD(delay_us), "N",
		"every reply is made N microseconds later"},
	{"streams", OPTION_COUNT, FIELD(streams_max), "N", "streams open at once a thread (65536)"},
	{"stats", OPTION_SECONDS, FIELD(stats), "SEC", "print counts to stderr this often"},
	{"Faults, for each connection", OPTION_HEADING},
	{"stop-reading-after", OPTION_BYTES, FIELD(stop_reading_after), "BYTES", "read no further"},
	{"close-after", OPTION_COUNT, FIELD(close_after), "N",
		"reset the connection at its Nth request"},
	{"no-read", OPTION_FLAG, FIELD(no_read), NULL, "accept, but never read"},
	{NULL},
};

static const struct link_ops link_ops;

static void peer_serve(struct serve_worker *w, int fd)
{
	const struct serve_config *config = &w->server->config;
	const struct rs_config session = {
		.handler = &serve_handler, .fragment_bytes = config->fragment};
	struct peer *peer = calloc(1, sizeof(*peer));

	if (!peer) {
		close(fd);
		return;
	}
	peer->worker = w;
	if (link_serve(&peer->link, w->hub, fd, &session, &link_ops, peer)) {
		free(peer);
		return;
	}
	if (config->stop_reading_after)
		peer->link.read_max = config->stop_reading_after;
	if (config->no_read)
		loop_conn_pause(peer->link.conn, true);
	list_push(&w->peers, &peer->all);
	counter_add(&w->counts.connections, 1);
	counter_add(&w->counts.accepted, 1);
}

static void on_down(struct link *link, const char *why)
{
	struct peer *peer = container_of(link, struct peer, link);

	counter_add(&peer->worker->counts.connections, (uint64_t)-1);
	list_del(&peer->all);
	free(peer);
}

static const struct link_ops link_ops = {.down = on_down};

static void on_accept(struct loop_listener *l, int fd, void *user)
{
	struct server *server = user;
	struct serve_worker *w = &server->workers[server->next++ % server->config.threads];

	if (w->index == 0) {
		peer_serve(w, fd);
		return;
	}
	pthread_mutex_lock(&w->lock);
	if (w->mailbox_count < MAILBOX_MAX)
		w->mailbox[w->mailbox_count++] = fd;
	else
		close(fd);
	pthread_mutex_unlock(&w->lock);
	loop_wake(w->loop);
}

static void on_drain_over(struct timer *timer, ns_t now)
{
	struct serve_worker *w = container_of(timer, struct serve_worker, drain);

	list_for_each_safe (at, after, &w->peers)
		link_close(&list_entry(at, struct peer, all)->link);
}

static void drain(struct serve_worker *w)
{
	w->draining = true;
	for (unsigned i = 0; i < LISTENERS_MAX && w->listeners[i]; i++)
		loop_listener_close(w->listeners[i]);
	list_for_each_safe (at, after, &w->peers)
		rs_session_drain(&list_entry(at, struct peer, all)->link.session);
	w->drain.fire = on_drain_over;
	timer_arm(loop_timers(w->loop), &w->drain, loop_now(w->loop) + DRAIN_TIMEOUT);
}

// Mail: accepted connections, or the order to stop.
static void on_wake(struct loop *loop, void *user)
{
	static _Thread_local int fds[MAILBOX_MAX];
	struct serve_worker *w = user;
	unsigned n;

	pthread_mutex_lock(&w->lock);
	n = w->mailbox_count;
	memcpy(fds, w->mailbox, n * sizeof(fds[0]));
	w->mailbox_count = 0;
	pthread_mutex_unlock(&w->lock);
	for (unsigned i = 0; i < n; i++)
		peer_serve(w, fds[i]);
	if (atomic_load(&w->server->stop) && !w->draining)
		drain(w);
}

static int worker_listen(struct serve_worker *w)
{
	struct server *server = w->server;

	for (unsigned i = 0; i < server->listeners; i++) {
		int error;

		w->listeners[i] = loop_listen(w->loop, (struct sockaddr *)&server->addrs[i],
			server->addr_lens[i], on_accept, server, &error);
		if (!w->listeners[i]) {
			fprintf(stderr, "cannot listen on %s: %s\n", server->texts[i],
				strerror(-error));
			return error;
		}
		server->ports[i] = loop_listener_port(w->listeners[i]);
	}
	return 0;
}

static int worker_start(struct serve_worker *w)
{
	int error;

	w->loop = loop_new(NULL, &error);
	if (!w->loop) {
		fprintf(stderr, "cannot make an io_uring loop: %s\n", strerror(-error));
		return error;
	}
	w->blocks = buf_pool_new(BLOCK_BYTES, BLOCKS_BYTES_MAX);
	if (w->blocks)
		w->pool = rs_pool_new((uint32_t)w->server->config.streams_max, w->blocks);
	if (!w->pool) {
		fprintf(stderr, "out of memory\n");
		return -ENOMEM;
	}
	w->hub = &w->own_hub;
	link_hub_init(w->hub, w->loop, w->pool);
	loop_on_wake(w->loop, on_wake, w);
	return w->index == 0 ? worker_listen(w) : 0;
}

static void worker_end(struct serve_worker *w)
{
	for (unsigned i = 0; i < w->mailbox_count; i++)
		close(w->mailbox[i]);
	loop_destroy(w->loop);
	serve_calls_free(w);
	buf_unref(w->scratch);
	if (w->pool)
		rs_pool_destroy(w->pool);
	if (w->blocks)
		buf_pool_destroy(w->blocks);
	chain_nodes_free();
}

// Sleeps without limit: drain() bounds what is left after a stop.
static void *worker_run(void *arg)
{
	struct serve_worker *w = arg;
	struct server *server = w->server;
	int error = worker_start(w);

	if (error)
		atomic_store(&server->error, error);
	atomic_fetch_add(&server->started, 1);
	while (!error && !(w->draining && list_empty(&w->peers)))
		if (loop_step(w->loop, NS_NEVER) < 0)
			break;
	atomic_fetch_add(&server->finished, 1);
	// Worker 0 and main wake loops of others: all must have stopped before one is destroyed.
	pthread_barrier_wait(&server->all_done);
	worker_end(w);
	return NULL;
}

static int parse_listeners(struct server *server, const char *list)
{
	server->list = strdup(list);
	if (!server->list)
		return -ENOMEM;
	for (char *at = strtok(server->list, ","); at; at = strtok(NULL, ",")) {
		unsigned i = server->listeners++;

		if (i == LISTENERS_MAX) {
			fprintf(stderr, "--listen takes at most %d addresses\n", LISTENERS_MAX);
			return -EINVAL;
		}
		server->texts[i] = at;
		if (sockaddr_parse(at, &server->addrs[i], &server->addr_lens[i])) {
			fprintf(stderr,
				"--listen takes 127.0.0.1:7000, [::1]:7000 or unix:/path, not "
				"'%s'\n",
				at);
			return -EINVAL;
		}
	}
	return server->listeners ? 0 : -EINVAL;
}

static void announce(const struct server *server)
{
	for (unsigned i = 0; i < server->listeners; i++) {
		const char *text = server->texts[i];

		if (server->ports[i])
			printf("listening on %.*s:%u\n", (int)(strrchr(text, ':') - text), text,
				server->ports[i]);
		else
			printf("listening on %s\n", text);
	}
	fflush(stdout);
}

static struct serve_counts totals(const struct server *server)
{
	struct serve_counts sum = {0};
	uint64_t *to = (uint64_t *)&sum;

	for (unsigned i = 0; i < server->config.threads; i++) {
		const uint64_t *from = (const uint64_t *)&server->workers[i].counts;

		for (size_t k = 0; k < sizeof(sum) / sizeof(*to); k++)
			to[k] += counter_read(&from[k]);
	}
	return sum;
}

static void print_stats(const struct server *server, uint64_t *requests_before, double seconds)
{
	struct serve_counts c = totals(server);

	fprintf(stderr,
		"%" PRIu64 " connections, %.0f requests/s, in all: %" PRIu64
		" connections, %" PRIu64 " requests, %" PRIu64 " replies, %" PRIu64
		" errors, %" PRIu64 " cancels, %" PRIu64 " lost, %" PRIu64 " bytes in, %" PRIu64
		" bytes out\n",
		c.connections, seconds > 0 ? (double)(c.requests - *requests_before) / seconds : 0,
		c.accepted, c.requests, c.replies, c.errors, c.cancels, c.lost, c.bytes_in,
		c.bytes_out);
	*requests_before = c.requests;
}

// Until a signal, or until all workers have failed.
static void wait_for_stop(const struct server *server, const sigset_t *signals)
{
	ns_t period = server->config.stats ? server->config.stats : NS_PER_SEC;
	struct timespec ts = {.tv_sec = period / NS_PER_SEC, .tv_nsec = period % NS_PER_SEC};
	uint64_t requests = 0;

	while (sigtimedwait(signals, NULL, &ts) < 0) {
		if (server->config.stats)
			print_stats(server, &requests, (double)period / 1e9);
		if (atomic_load(&server->finished))
			return;
	}
}

static void worker_init(struct serve_worker *w, struct server *server, unsigned index)
{
	w->server = server;
	w->index = index;
	list_init(&w->peers);
	list_init(&w->free_calls);
	pthread_mutex_init(&w->lock, NULL);
}

static int run(struct server *server)
{
	unsigned n = (unsigned)server->config.threads;
	int result = GEN_FAILED;
	uint64_t none = 0;
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	pthread_barrier_init(&server->all_done, NULL, n + 1);
	for (unsigned i = 0; i < n; i++)
		worker_init(&server->workers[i], server, i);
	// Worker 0 comes last: when it listens, the others are there.
	for (unsigned i = n; i-- > 0;) {
		if (pthread_create(
			    &server->workers[i].thread, NULL, worker_run, &server->workers[i])) {
			fprintf(stderr, "cannot start a thread\n");
			return GEN_FAILED;
		}
		while (atomic_load(&server->started) < (int)(n - i))
			usleep(200);
	}
	if (!atomic_load(&server->error)) {
		announce(server);
		wait_for_stop(server, &signals);
		result = atomic_load(&server->finished) ? GEN_FAILED : GEN_DONE;
	}
	atomic_store(&server->stop, true);
	for (unsigned i = 0; i < n; i++)
		if (server->workers[i].loop)
			loop_wake(server->workers[i].loop);
	pthread_barrier_wait(&server->all_done);
	for (unsigned i = 0; i < n; i++)
		pthread_join(server->workers[i].thread, NULL);
	if (server->config.stats)
		print_stats(server, &none, 0);
	return result;
}

int gen_serve(int argc, char **argv)
{
	struct server server = {.config = {.threads = 1, .streams_max = 65536}};
	int result = gen_options_parse(options, &server.config, argc, argv);

	if (result)
		return result > 0 ? GEN_DONE : GEN_USAGE;
	if (!server.config.listen || server.config.threads < 1 ||
		server.config.threads > THREADS_MAX || server.config.streams_max < 1 ||
		server.config.streams_max > UINT32_MAX / 2) {
		fprintf(stderr,
			"serve needs --listen, 1 to %d threads, at least 1 stream; see --help\n",
			THREADS_MAX);
		return GEN_USAGE;
	}
	server.workers = calloc(server.config.threads, sizeof(*server.workers));
	if (!server.workers)
		result = GEN_FAILED;
	else if (parse_listeners(&server, server.config.listen))
		result = GEN_USAGE;
	else
		result = run(&server);
	free(server.workers);
	free(server.list);
	return result;
}

struct server *server_on(const char *listen, struct link_hub *hub)
{
	struct server *server = calloc(1, sizeof(*server));
	struct serve_worker *w = server ? calloc(1, sizeof(*w)) : NULL;

	if (!w) {
		free(server);
		fprintf(stderr, "out of memory\n");
		return NULL;
	}
	server->config = (struct serve_config){.listen = listen, .threads = 1};
	server->workers = w;
	worker_init(w, server, 0);
	w->loop = hub->loop;
	w->hub = hub;
	w->blocks = buf_pool_new(BLOCK_BYTES, BLOCKS_BYTES_MAX);
	if (w->blocks && parse_listeners(server, listen) == 0 && worker_listen(w) == 0)
		return server;
	server_off(server);
	return NULL;
}

void server_off(struct server *server)
{
	struct serve_worker *w;

	if (!server)
		return;
	w = server->workers;
	serve_calls_free(w);
	buf_unref(w->scratch);
	if (w->blocks)
		buf_pool_destroy(w->blocks);
	free(w);
	free(server->list);
	free(server);
}
