// SPDX-License-Identifier: Apache-2.0
// A client of `penstock-gen load`: one thread, its loop and its connections.
//
//   CONNECT --all up: ready; main sets the start--> RUN --time or calls are over--> DRAIN
//   DRAIN --no call in flight--> CLOSE --all links down--> DONE
//
// In an open loop calls start at intended times of a Poisson process, whatever became of the
// earlier ones, and their latency counts from then: a stalled peer delays nothing but the answers.
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "lib/base/atomic.h"
#include "tools/gen/load.h"

#define SWEEP_PERIOD (10 * NS_PER_MS)
#define BLOCK_BYTES (16 * 1024)
#define BLOCKS_BYTES_MAX ((size_t)512 << 20)
#define CONNECT_TIMEOUT (10 * NS_PER_SEC)
#define STOP_PATIENCE NS_PER_SEC
#define ARRIVALS_PER_STEP 256

static bool measuring(const struct client *cl)
{
	return cl->phase == PHASE_RUN && !cl->load->config.idle;
}

static void on_up(struct link *link)
{
	struct client_conn *conn = container_of(link, struct client_conn, link);
	struct client *cl = conn->client;
	const struct load_config *config = &cl->load->config;

	conn->up = true;
	cl->conns_up++;
	counter_add(&cl->ups, 1);
	if (conn->faulty && config->slow) {
		uint64_t rate = config->slow;

		// Paced by the kernel's TCP; a Unix socket knows no pace and says so.
		if (setsockopt(loop_conn_fd(link->conn), SOL_SOCKET, SO_MAX_PACING_RATE, &rate,
			    sizeof(rate)))
			fprintf(stderr, "this socket cannot be slowed down\n");
	}
	if (measuring(cl) && cl->rate == 0)
		calls_fill(cl, conn, clock_now());
}

void conn_lost(struct client_conn *conn)
{
	struct client *cl = conn->client;

	if (!conn->up)
		return;
	conn->up = false;
	cl->conns_up--;
	if (cl->phase < PHASE_CLOSE)
		counter_add(&cl->downs, 1);
}

static void on_down(struct link *link, const char *why)
{
	struct client_conn *conn = container_of(link, struct client_conn, link);
	struct client *cl = conn->client;
	const struct load_config *config = &cl->load->config;

	conn_lost(conn);
	conn->fnf_out = 0;
	if (link->state == LINK_CLOSED) {
		conn->open = false;
		cl->conns_open--;
		return;
	}
	if (config->reconnect)
		return;
	link_close(link);
	// A peer that closes when all is done takes nothing away.
	if (cl->phase > PHASE_RUN || cl->budget == 0)
		return;
	atomic_fetch_add(&cl->load->failed, 1);
	if (!cl->told)
		fprintf(stderr, "%s: %s\n",
			counter_read(&cl->ups) ? "a connection was lost" : "cannot connect", why);
	cl->told = true;
}

static const struct link_ops link_ops = {.up = on_up, .down = on_down};

static int dial(struct client *cl, struct client_conn *conn, unsigned number)
{
	struct load *load = cl->load;
	const struct load_config *config = &load->config;
	unsigned target = number % load->targets;
	const struct rs_config session = {
		.handler = &call_handler,
		.keepalive_ms = (uint32_t)config->keepalive_ms,
		.lifetime_ms = (uint32_t)config->lifetime_ms,
		.metadata_mime = strcmp(config->mix.metadata, "composite") == 0
					 ? rs_mime_name(RS_MIME_COMPOSITE)
					 : rs_mime_name(RS_MIME_ROUTING),
		.data_mime = rs_mime_name(RS_MIME_OCTET_STREAM),
		.fragment_bytes = config->fragment,
	};
	int error;

	conn->client = cl;
	conn->faulty = number < config->fault_connections;
	error = link_dial(&conn->link, &cl->hub, (struct sockaddr *)&load->addrs[target],
		load->addr_lens[target], &session, &link_ops, conn);
	if (error)
		return error;
	if (conn->faulty && config->stop_reading)
		conn->link.read_max = config->stop_reading;
	conn->open = true;
	cl->conns_open++;
	return 0;
}

static void on_sweep(struct timer *timer, ns_t now)
{
	struct client *cl = container_of(timer, struct client, sweep);

	calls_sweep(cl, now);
	if (measuring(cl) && cl->rate == 0)
		for (unsigned i = 0; i < cl->conns_count; i++)
			calls_fill(cl, &cl->conns[i], clock_now());
	timer_arm(loop_timers(cl->loop), &cl->sweep, now + SWEEP_PERIOD);
}

static void begin_run(struct client *cl)
{
	const struct load_config *config = &cl->load->config;

	cl->phase = PHASE_RUN;
	cl->start = atomic_load(&cl->load->start_at);
	cl->measure = cl->start + config->warmup;
	cl->end = config->duration ? cl->measure + config->duration : NS_NEVER;
	cl->arrival = cl->start;
	if (config->idle || cl->rate > 0)
		return;
	for (unsigned i = 0; i < cl->conns_count; i++)
		calls_fill(cl, &cl->conns[i], clock_now());
}

static struct client_conn *next_conn(struct client *cl)
{
	uint64_t outstanding = cl->load->config.outstanding;

	for (unsigned i = 0; i < cl->conns_count; i++) {
		struct client_conn *conn = &cl->conns[cl->next_conn++ % cl->conns_count];

		if (conn->up && (outstanding == 0 || conn->calls_out < outstanding))
			return conn;
	}
	return NULL;
}

// Starts what is due. Late calls keep their intended time. Bounded, so that replies are handled in
// between.
static void arrivals(struct client *cl)
{
	ns_t now = clock_now();

	for (int i = 0; i < ARRIVALS_PER_STEP && cl->arrival <= now && cl->budget; i++) {
		struct client_conn *conn = next_conn(cl);
		ns_t start = cl->arrival;

		if (start >= cl->end)
			return;
		if (conn) {
			call_start(cl, conn, start);
		} else {
			calls_error(cl, start,
				cl->conns_up ? "not sent: too many calls in flight"
					     : "not sent: no connection");
			cl->budget--;
		}
		cl->arrival += (ns_t)(-log(rng_unit(&cl->rng)) / cl->rate * 1e9);
	}
}

static void fill_fnf(struct client *cl)
{
	for (unsigned i = 0; i < cl->conns_count; i++)
		if (cl->conns[i].fnf_out)
			calls_fill(cl, &cl->conns[i], clock_now());
}

// Calls made in the last step are on their way now.
static void vanish(struct client *cl)
{
	for (unsigned i = 0; i < cl->conns_count; i++) {
		struct client_conn *conn = &cl->conns[i];

		if (conn->vanish && conn->up) {
			conn_lost(conn);
			loop_abort(conn->link.conn);
		}
		conn->vanish = false;
	}
}

static void close_links(struct client *cl)
{
	for (unsigned i = 0; i < cl->conns_count; i++)
		if (cl->conns[i].open)
			link_close(&cl->conns[i].link);
}

static bool fnf_waiting(const struct client *cl)
{
	for (unsigned i = 0; i < cl->conns_count; i++)
		if (cl->conns[i].up && (rs_output_pending(&cl->conns[i].link.session) ||
					       !loop_conn_idle(cl->conns[i].link.conn)))
			return true;
	return false;
}

static void advance_phase(struct client *cl, ns_t now)
{
	bool stop = atomic_load(&cl->load->stop);

	// A signal lets calls in flight end, but not for their whole time-out.
	if (stop && !cl->stop_by)
		cl->stop_by = now + STOP_PATIENCE;
	if (cl->phase == PHASE_CONNECT && atomic_load(&cl->load->start_at))
		begin_run(cl);
	if (cl->phase == PHASE_CONNECT && stop)
		cl->phase = PHASE_DRAIN;
	if (cl->phase == PHASE_RUN &&
		(stop || now >= cl->end || cl->budget == 0 || cl->conns_open == 0))
		cl->phase = PHASE_DRAIN;
	// What was handed over still leaves; the time-out bounds both.
	if (cl->phase == PHASE_DRAIN &&
		((cl->calls_out == 0 && (!fnf_waiting(cl) || now > cl->last_end + NS_PER_SEC)) ||
			(stop && now >= cl->stop_by))) {
		cl->phase = PHASE_CLOSE;
		close_links(cl);
	}
	if (cl->phase == PHASE_CLOSE && cl->conns_open == 0)
		cl->phase = PHASE_DONE;
}

static ns_t sleep_until(const struct client *cl)
{
	ns_t until = cl->phase == PHASE_RUN ? cl->end : NS_NEVER;

	if (cl->load->config.spin)
		return 0;
	if (measuring(cl) && cl->rate > 0 && cl->arrival < until)
		until = cl->arrival;
	if (cl->phase == PHASE_DRAIN && cl->stop_by && cl->stop_by < until)
		until = cl->stop_by;
	return until > 0 ? until : 1;
}

static void run(struct client *cl)
{
	ns_t deadline = clock_now() + CONNECT_TIMEOUT;
	bool ready = false;

	while (cl->phase != PHASE_DONE) {
		if (loop_step(cl->loop, sleep_until(cl)) < 0) {
			atomic_fetch_add(&cl->load->failed, 1);
			break;
		}
		if (!ready && (cl->conns_up == cl->conns_open || loop_now(cl->loop) > deadline)) {
			ready = true;
			atomic_fetch_add(&cl->load->ready, 1);
		}
		if (cl->load->config.vanish)
			vanish(cl);
		advance_phase(cl, clock_now());
		if (measuring(cl) && cl->rate > 0)
			arrivals(cl);
		else if (measuring(cl))
			fill_fnf(cl);
	}
}

// Calls in flight at once on this thread.
static uint32_t calls_limit(const struct client *cl)
{
	const struct load_config *config = &cl->load->config;
	uint64_t n = config->outstanding * cl->conns_count;

	return config->rate > 0 && (n == 0 || n > 65536) ? 65536 : (uint32_t)n;
}

static int init(struct client *cl)
{
	const struct load_config *config = &cl->load->config;
	int error;

	rng_seed(&cl->rng, config->seed + cl->index);
	cl->calls_max = calls_limit(cl);
	cl->loop = loop_new(NULL, &error);
	if (!cl->loop) {
		fprintf(stderr, "cannot make an io_uring loop: %s\n", strerror(-error));
		return error;
	}
	cl->blocks = buf_pool_new(BLOCK_BYTES, BLOCKS_BYTES_MAX);
	if (cl->blocks)
		cl->pool = rs_pool_new(cl->calls_max + 1024, cl->blocks);
	cl->conns = calloc(cl->conns_count, sizeof(*cl->conns));
	if (!cl->pool || !cl->conns || calls_init(cl)) {
		fprintf(stderr, "out of memory\n");
		return -ENOMEM;
	}
	link_hub_init(&cl->hub, cl->loop, cl->pool);
	for (unsigned i = 0; i < cl->conns_count; i++) {
		error = dial(cl, &cl->conns[i], i * (unsigned)config->threads + cl->index);
		if (error) {
			fprintf(stderr, "cannot open a connection: %s\n", strerror(-error));
			return error;
		}
	}
	cl->sweep.fire = on_sweep;
	timer_arm(loop_timers(cl->loop), &cl->sweep, clock_now() + SWEEP_PERIOD);
	return 0;
}

static void fini(struct client *cl)
{
	if (cl->loop)
		loop_destroy(cl->loop);
	free(cl->conns);
	free(cl->calls);
	if (cl->pool)
		rs_pool_destroy(cl->pool);
	if (cl->blocks)
		buf_pool_destroy(cl->blocks);
	chain_nodes_free();
}

static void on_wake(struct loop *loop, void *user)
{
	// The wait is over; run() looks what for.
}

void *client_run(void *arg)
{
	struct client *cl = arg;
	struct load *load = cl->load;

	// Sleeps end on time: an open loop is only as punctual as its timer.
	prctl(PR_SET_TIMERSLACK, 1);
	if (init(cl)) {
		atomic_fetch_add(&load->failed, 1);
		atomic_fetch_add(&load->ready, 1);
		cl->phase = PHASE_CLOSE;
		close_links(cl);
	}
	if (cl->loop) {
		loop_on_wake(cl->loop, on_wake, cl);
		run(cl);
	}
	atomic_fetch_add(&load->done, 1);
	// Main wakes the loop: it must have stopped doing so before the loop is destroyed.
	pthread_barrier_wait(&load->all_done);
	fini(cl);
	return NULL;
}
