// SPDX-License-Identifier: Apache-2.0
// penstock-fnhost: start, loop, end. One thread.
//
//   running --SIGTERM--> draining: new calls are refused, those there are end --> instances let go, links closed
//
// Its end is not that of its instances: they go on, and the next host takes them up.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "fnhost/agent.h"
#include "fnhost/host.h"
#include "fnhost/instances.h"
#include "lib/base/log.h"
#include "lib/base/notify.h"

#define SUBSYSTEM "host"
#define DRAIN_MAX (10 * NS_PER_SEC)
#define GOODBYE_MAX NS_PER_SEC
#define CLOSE_MAX (6 * NS_PER_SEC)
#define BLOCKS_BYTES_MAX ((size_t)512 << 20)

static volatile sig_atomic_t stop_asked;
static struct loop *signal_loop; // for the handler: it can reach nothing else

static void on_signal(int number)
{
	int saved = errno;

	stop_asked = 1;
	loop_wake(signal_loop);
	errno = saved;
}

static void on_wake(struct loop *loop, void *user)
{
	// The wait is over; run() looks what for.
}

static void watch_signals(struct loop *loop)
{
	struct sigaction action = {.sa_handler = on_signal};

	signal_loop = loop;
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	// Shims detach at once; nobody waits for the processes between.
	signal(SIGCHLD, SIG_IGN);
}

static int start(struct host *h)
{
	uint64_t random = (uint64_t)clock_wall();
	int error;

	if (getrandom(&random, sizeof(random), 0) < 0)
		log_warn(SUBSYSTEM, "no random numbers: the clock must do");
	snprintf(h->start, sizeof(h->start), "%016llx", (unsigned long long)random);
	h->loop = loop_new(NULL, &error);
	if (!h->loop) {
		log_error(SUBSYSTEM, "cannot make an io_uring loop: %s", strerror(-error));
		return error;
	}
	h->blocks = buf_pool_new(HOST_BLOCK_BYTES, BLOCKS_BYTES_MAX);
	h->pool = h->blocks ? rs_pool_new(HOST_STREAMS_MAX, h->blocks) : NULL;
	if (!h->pool)
		return -ENOMEM;
	h->arena.pool = h->blocks;
	link_hub_init(&h->hub, h->loop, h->pool);
	functions_init(&h->functions);
	calls_init(h);
	instances_init(h);
	list_init(&h->gateways);
	loop_on_wake(h->loop, on_wake, h);
	watch_signals(h->loop);
	error = instances_adopt(h);
	if (error) {
		log_error(SUBSYSTEM, "cannot keep records in %s: %s", h->options.state,
			strerror(-error));
		return error;
	}
	error = server_start(h);
	if (!error)
		error = agent_start(h);
	if (error)
		log_error(SUBSYSTEM, "cannot start: %s", strerror(-error));
	return error;
}

// Steps until done() or the time is over.
static void run_until(struct host *h, bool (*done)(const struct host *h), ns_t patience)
{
	ns_t until = clock_now() + patience;

	while (!done(h) && clock_now() < until)
		if (loop_step(h->loop, until) < 0)
			return;
}

static bool stopping(const struct host *h)
{
	return stop_asked;
}

static bool drained(const struct host *h)
{
	return h->calls_count == 0;
}

static bool left_alone(const struct host *h)
{
	return list_empty(&h->gateways);
}

static bool closed(const struct host *h)
{
	return agent_closed(h) && list_empty(&h->gateways) && instances_closed(h);
}

static void finish(struct host *h)
{
	if (!h->pool)
		goto out;
	h->draining = true;
	server_stop(h);
	run_until(h, drained, DRAIN_MAX);
	server_drain(h);
	run_until(h, left_alone, GOODBYE_MAX);
	server_close(h);
	if (h->agent)
		agent_stop(h);
	instances_release(h);
	timer_cancel(loop_timers(h->loop), &h->load_timer);
	run_until(h, closed, CLOSE_MAX);
	loop_destroy(h->loop);
	h->loop = NULL;
	if (h->calls_count == 0) {
		calls_fini(h);
		arena_release(&h->arena);
		rs_pool_destroy(h->pool);
		buf_pool_destroy(h->blocks);
		chain_nodes_free();
	}
	return;
out:
	if (h->loop)
		loop_destroy(h->loop);
}

int main(int argc, char **argv)
{
	static struct host host;
	enum settings_result result = options_read(&host.options, argc, argv, stdout, stderr);
	int error;

	if (result != SETTINGS_RUN)
		return result == SETTINGS_EXIT ? 0 : 2;
	log_set_level(host.options.log_level);
	error = start(&host);
	if (!error) {
		log_info(SUBSYSTEM, "%s serves gateways on %s", host.options.name,
			host.options.listen);
		notify("READY=1");
		run_until(&host, stopping, NS_NEVER / 2);
		notify("STOPPING=1");
		log_info(SUBSYSTEM, "going; %u instances stay", host.instances_count);
	}
	finish(&host);
	return error ? 1 : 0;
}
