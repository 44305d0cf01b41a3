// SPDX-License-Identifier: Apache-2.0
// A client of `penstock-gen load`: one thread's connections and what it does with them. Its thread
// and its loop are the transport's (kernel.c, port.c), which calls client_step() after each step.
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

#include "lib/base/atomic.h"
#include "tools/gen/gen.h"
#include "tools/gen/load.h"

#define SWEEP_PERIOD (10 * NS_PER_MS)
#define BLOCK_BYTES (16 * 1024)
#define BLOCKS_BYTES_MAX ((size_t)512 << 20)
#define CONNECT_TIMEOUT (10 * NS_PER_SEC)
#define STOP_PATIENCE NS_PER_SEC
#define ARRIVALS_PER_STEP 256
#define SERVED_CALLS_MAX 65536

static bool measuring(const struct client *cl)
{
	return cl->phase == PHASE_RUN && !cl->load->config.idle;
}

void conn_up(struct client_conn *conn)
{
	struct client *cl = conn->client;

	conn->up = true;
	cl->conns_up++;
	counter_add(&cl->ups, 1);
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

void conn_down(struct client_conn *conn, bool gone)
{
	conn_lost(conn);
	conn->fnf_out = 0;
	if (!gone)
		return;
	conn->open = false;
	conn->client->conns_open--;
}

void conn_failed(struct client_conn *conn, const char *why)
{
	struct client *cl = conn->client;

	// A peer that closes when all is done takes nothing away.
	if (cl->phase > PHASE_RUN || cl->budget == 0)
		return;
	atomic_fetch_add(&cl->load->failed, 1);
	if (!cl->told)
		fprintf(stderr, "%s: %s\n",
			counter_read(&cl->ups) ? "a connection was lost" : "cannot connect", why);
	cl->told = true;
}

static int dial(struct client *cl, struct client_conn *conn, unsigned number)
{
	struct load *load = cl->load;
	const struct load_config *config = &load->config;
	struct rs_config session = {
		.handler = &load->handler,
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
	error = load->transport->dial(conn, number, &session);
	if (error)
		return error;
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
			cl->load->transport->abort(conn);
		}
		conn->vanish = false;
	}
}

static void close_all(struct client *cl)
{
	for (unsigned i = 0; cl->conns && i < cl->conns_count; i++)
		if (cl->conns[i].open)
			cl->load->transport->close(&cl->conns[i]);
}

static bool fnf_waiting(const struct client *cl)
{
	for (unsigned i = 0; i < cl->conns_count; i++)
		if (cl->conns[i].up && (rs_output_pending(cl->conns[i].session) ||
					       !cl->load->transport->idle(&cl->conns[i])))
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
		close_all(cl);
	}
	if (cl->phase == PHASE_CLOSE && cl->conns_open == 0)
		cl->phase = PHASE_DONE;
}

// How much of the measured time the thread has worked.
static void watch_work(struct client *cl, ns_t now)
{
	if (now < cl->measure || cl->phase < PHASE_RUN)
		return;
	if (!cl->measured_from) {
		cl->measured_from = now;
		cl->worked_from = cl->load->transport->worked(cl);
	}
	if (cl->phase > PHASE_RUN && !cl->measured_to) {
		cl->measured_to = now;
		cl->worked_to = cl->load->transport->worked(cl);
	}
}

ns_t client_next(const struct client *cl)
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

bool client_step(struct client *cl)
{
	ns_t now = clock_now();

	if (!cl->counted && (cl->conns_up == cl->conns_open || now > cl->deadline)) {
		cl->counted = true;
		atomic_fetch_add(&cl->load->ready, 1);
	}
	if (cl->load->config.vanish)
		vanish(cl);
	advance_phase(cl, now);
	if (!cl->measured_to)
		watch_work(cl, now);
	if (measuring(cl) && cl->rate > 0)
		arrivals(cl);
	else if (measuring(cl))
		fill_fnf(cl);
	return cl->phase != PHASE_DONE;
}

// Calls in flight at once on this thread.
static uint32_t calls_limit(const struct client *cl)
{
	const struct load_config *config = &cl->load->config;
	uint64_t n = config->outstanding * cl->conns_count;

	return config->rate > 0 && (n == 0 || n > 65536) ? 65536 : (uint32_t)n;
}

static int make(struct client *cl)
{
	uint32_t streams = cl->calls_max + 1024 + (cl->load->config.serve ? SERVED_CALLS_MAX : 0);

	cl->blocks = buf_pool_new(BLOCK_BYTES, BLOCKS_BYTES_MAX);
	if (cl->blocks)
		cl->pool = rs_pool_new(streams, cl->blocks);
	cl->conns = calloc(cl->conns_count, sizeof(*cl->conns));
	if (cl->pool && cl->conns && calls_init(cl) == 0)
		return 0;
	fprintf(stderr, "out of memory\n");
	return -ENOMEM;
}

// The first client's thread answers calls, too.
static int serve(struct client *cl)
{
	const char *listen = cl->load->config.serve;

	if (!listen || cl->index)
		return 0;
	cl->server = server_on(listen, &cl->hub);
	return cl->server ? 0 : -EINVAL;
}

int client_init(struct client *cl, struct loop *loop)
{
	const struct load_config *config = &cl->load->config;
	int error;

	cl->loop = loop;
	rng_seed(&cl->rng, config->seed + cl->index);
	cl->calls_max = calls_limit(cl);
	error = make(cl);
	if (error)
		return error;
	link_hub_init(&cl->hub, cl->loop, cl->pool);
	error = serve(cl);
	if (error)
		return error;
	cl->sweep.fire = on_sweep;
	timer_arm(loop_timers(cl->loop), &cl->sweep, clock_now() + SWEEP_PERIOD);
	return 0;
}

int client_dial(struct client *cl)
{
	unsigned threads = (unsigned)cl->load->config.threads;

	cl->deadline = clock_now() + CONNECT_TIMEOUT;
	for (unsigned i = 0; i < cl->conns_count; i++) {
		int error = dial(cl, &cl->conns[i], i * threads + cl->index);

		if (error) {
			fprintf(stderr, "cannot open a connection: %s\n", strerror(-error));
			return error;
		}
	}
	return 0;
}

void client_failed(struct client *cl)
{
	atomic_fetch_add(&cl->load->failed, 1);
	if (!cl->counted)
		atomic_fetch_add(&cl->load->ready, 1);
	cl->counted = true;
	cl->phase = PHASE_CLOSE;
	close_all(cl);
}

void client_fini(struct client *cl)
{
	server_off(cl->server);
	free(cl->conns);
	free(cl->calls);
	if (cl->pool)
		rs_pool_destroy(cl->pool);
	if (cl->blocks)
		buf_pool_destroy(cl->blocks);
}
