// SPDX-License-Identifier: Apache-2.0
// `penstock-gen load`: options, threads, progress, the result.
//
// Main starts the clients, waits until they are connected, sets one start for all, prints progress,
// and merges what they counted once all have ended.
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
#include "tools/gen/load.h"
#include "tools/gen/options.h"

#define POLL_PERIOD (5 * NS_PER_MS)

#define FIELD(name) offsetof(struct load_config, name)

static const struct option_def options[] = {
	{"penstock-gen load --to ADDR [options]", OPTION_HEADING},
	{"to", OPTION_TEXT, FIELD(to), "ADDR[,ADDR]",
		"127.0.0.1:7000, [::1]:7000 or unix:/path; several are dialled in turn"},
	{"connections", OPTION_COUNT, FIELD(connections), "N", "connections in all (1)"},
	{"outstanding", OPTION_COUNT, FIELD(outstanding), "N",
		"calls in flight a connection: the closed loop (1); with --rate\na limit (none)"},
	{"rate", OPTION_NUMBER, FIELD(rate), "R",
		"open loop: R calls a second in all, at the times of a Poisson\n"
		"process; latency counts from the intended start"},
	{"duration", OPTION_SECONDS, FIELD(duration), "SEC", "(10, or none with --count)"},
	{"count", OPTION_COUNT, FIELD(count), "N", "stop after N calls"},
	{"warmup", OPTION_SECONDS, FIELD(warmup), "SEC", "not measured, before the duration (0)"},
	{"threads", OPTION_COUNT, FIELD(threads), "N", "threads with a loop each (1)"},
	{"timeout-ms", OPTION_COUNT, FIELD(timeout_ms), "N",
		"of a call; then it is cancelled (10000)"},
	{"Calls", OPTION_HEADING},
	{"functions", OPTION_TEXT, FIELD(mix.functions), "MIX",
		"[KIND:]NAME[:DATA][=WEIGHT],... such as echo=9,stream:count:100=1\n"
		"(echo); without DATA: --size bytes"},
	{"kind", OPTION_TEXT, FIELD(mix.kind), "rr|fnf|stream",
		"of functions that do not say (rr)"},
	{"size", OPTION_BYTES, FIELD(mix.size), "BYTES", "of a request's data (32)"},
	{"credit", OPTION_COUNT, FIELD(credit), "N", "items a stream is granted ahead (128)"},
	{"cancel", OPTION_NUMBER, FIELD(cancel), "SHARE",
		"of streams that are cancelled at an item, 0 to 1 (0)"},
	{"namespace", OPTION_TEXT, FIELD(mix.name_space), "NS", "calls NS/NAME"},
	{"metadata", OPTION_TEXT, FIELD(mix.metadata), "composite|routing", "(composite)"},
	{"fragment", OPTION_FRAGMENT, FIELD(fragment), "BYTES|never",
		"longer frames are fragmented (65536)"},
	{"keepalive-ms", OPTION_COUNT, FIELD(keepalive_ms), "N", "(20000)"},
	{"lifetime-ms", OPTION_COUNT, FIELD(lifetime_ms), "N", "(90000)"},
	{"seed", OPTION_COUNT, FIELD(seed), "N", "of the random choices (1)"},
	{"Result", OPTION_HEADING},
	{"json", OPTION_TEXT, FIELD(json), "FILE|-",
		"write the result there too; - instead of the table"},
	{"expect-no-errors", OPTION_FLAG, FIELD(expect_no_errors), NULL,
		"exit 1 if any call failed"},
	{"reconnect", OPTION_FLAG, FIELD(reconnect), NULL,
		"dial lost connections again; what was lost counts as errors,\nnot as a failure"},
	{"quiet", OPTION_FLAG, FIELD(quiet), NULL, "no line a second"},
	{"spin", OPTION_FLAG, FIELD(spin), NULL,
		"never sleep: more punctual, takes a core a thread"},
	{"idle", OPTION_FLAG, FIELD(idle), NULL, "connect, call nothing"},
	{"serve", OPTION_TEXT, FIELD(serve), "ADDR[,ADDR]",
		"answer calls there like penstock-gen serve, on the first client's\n"
		"thread: the peers' backend on the same core"},
	{"A DPDK port instead of kernel sockets", OPTION_HEADING},
	{"port", OPTION_TEXT, FIELD(port), "DEVARGS",
		"net_memif0,role=client,id=0,socket=/run/m.sock,socket-abstract=no,\n"
		"net_tap0,iface=pn1 or 0000:03:00.0; a thread a queue, which never\nsleeps"},
	{"address", OPTION_TEXT, FIELD(address), "CIDR", "the port's, as 10.77.0.1/24"},
	{"via", OPTION_TEXT, FIELD(via), "ADDR", "the gateway to other networks"},
	{"cores", OPTION_TEXT, FIELD(cores), "LIST", "for the threads, as 0,2-3 (all allowed)"},
	{"file-prefix", OPTION_TEXT, FIELD(file_prefix), "NAME",
		"tells DPDK programs on one machine apart (penstock-gen)"},
	{"no-huge", OPTION_FLAG, FIELD(no_huge), NULL, "do without huge pages"},
	{"Faults, over kernel sockets", OPTION_HEADING},
	{"fault-connections", OPTION_COUNT, FIELD(fault_connections), "N",
		"that many have them (all)"},
	{"slow", OPTION_BYTES, FIELD(slow), "BYTES", "send at most BYTES a second (TCP)"},
	{"stop-reading", OPTION_BYTES, FIELD(stop_reading), "BYTES", "read no further than BYTES"},
	{"vanish", OPTION_COUNT, FIELD(vanish), "N", "reset the connection at every Nth call"},
	{NULL},
};

static int parse_targets(struct load *load, char *list)
{
	for (char *at = strtok(list, ","); at; at = strtok(NULL, ",")) {
		unsigned i = load->targets++;

		if (i == TARGETS_MAX || sockaddr_parse(at, &load->addrs[i], &load->addr_lens[i])) {
			fprintf(stderr,
				"--to takes up to %d of 127.0.0.1:7000, [::1]:7000 or unix:/path, "
				"not '%s'\n",
				TARGETS_MAX, at);
			return -EINVAL;
		}
	}
	return load->targets ? 0 : -EINVAL;
}

static const char *check_port(const struct load_config *c)
{
	if (!c->address)
		return "--port needs an --address of its own";
	if (c->slow || c->stop_reading || c->vanish || c->reconnect)
		return "faults and --reconnect are for kernel sockets, not for a --port";
	return NULL;
}

// NULL, or what is wrong.
static const char *check(struct load_config *c)
{
	if (!c->to)
		return "load needs --to ADDR";
	if (c->threads < 1 || c->threads > CLIENTS_MAX)
		return "--threads takes 1 to 64";
	if (c->connections < 1 || c->connections > CONNECTIONS_MAX)
		return "--connections takes 1 to 100000";
	if (c->threads > c->connections)
		c->threads = c->connections;
	if (c->outstanding > CALLS_MAX || c->outstanding * c->connections > CALLS_MAX)
		return "--connections times --outstanding must not exceed 4000000";
	if (c->rate == 0 && c->outstanding == 0)
		c->outstanding = 1;
	if (c->credit < 1 || c->credit > RS_CREDIT_MAX)
		return "--credit takes 1 to 2147483647";
	if (c->keepalive_ms < 1 || c->lifetime_ms < 1 || c->keepalive_ms > RS_U31_MAX ||
		c->lifetime_ms > RS_U31_MAX)
		return "--keepalive-ms and --lifetime-ms take 1 to 2147483647";
	if (c->timeout_ms < 1 || c->timeout_ms > 3600000)
		return "--timeout-ms takes 1 to 3600000";
	if (c->cancel > 1)
		return "--cancel takes 0 to 1";
	if (c->duration == 0 && c->count == 0)
		c->duration = 10 * NS_PER_SEC;
	if (c->fault_connections == 0)
		c->fault_connections = UINT64_MAX;
	return c->port ? check_port(c) : NULL;
}

static int prepare(struct load *load)
{
	struct load_config *c = &load->config;
	struct rng rng;

	load->clients = calloc(c->threads, sizeof(*load->clients));
	load->pattern = malloc(PATTERN_BYTES);
	if (!load->clients || !load->pattern)
		return -ENOMEM;
	rng_seed(&rng, c->seed);
	for (size_t i = 0; i < PATTERN_BYTES; i++)
		load->pattern[i] = (uint8_t)(rng_next(&rng) >> 32);
	for (unsigned i = 0; i < c->threads; i++) {
		struct client *cl = &load->clients[i];

		cl->load = load;
		cl->index = i;
		cl->conns_count =
			(unsigned)(c->connections / c->threads + (i < c->connections % c->threads));
		cl->rate = c->rate / (double)c->threads;
		cl->measure = NS_NEVER;
		cl->end = NS_NEVER;
		cl->budget =
			c->count ? c->count / c->threads + (i < c->count % c->threads) : UINT64_MAX;
		if (stats_init(&cl->stats[0], load->mix.count) ||
			stats_init(&cl->stats[1], load->mix.count))
			return -ENOMEM;
	}
	return 0;
}

static void release(struct load *load)
{
	for (unsigned i = 0; load->clients && i < load->config.threads; i++) {
		stats_fini(&load->clients[i].stats[0]);
		stats_fini(&load->clients[i].stats[1]);
	}
	free(load->clients);
	free(load->pattern);
}

// Those on a port never sleep.
static void wake_all(struct load *load)
{
	if (load->config.port)
		return;
	for (unsigned i = 0; i < load->config.threads; i++)
		if (load->clients[i].loop)
			loop_wake(load->clients[i].loop);
}

// Waits a little; true once a signal asked for the end.
static bool wait_a_little(const sigset_t *signals)
{
	static const struct timespec ts = {.tv_nsec = POLL_PERIOD};

	return sigtimedwait(signals, NULL, &ts) > 0;
}

// Watches until all clients are done, or for good once a signal came.
static void watch(struct load *load, const sigset_t *signals)
{
	int threads = (int)load->config.threads;
	struct progress progress = {0};

	while (atomic_load(&load->ready) < threads)
		if (wait_a_little(signals))
			atomic_store(&load->stop, true);
	if (atomic_load(&load->failed))
		atomic_store(&load->stop, true);
	progress.start = progress.at = clock_now();
	atomic_store(&load->start_at, progress.start);
	wake_all(load);
	while (atomic_load(&load->done) < threads) {
		ns_t now;

		if (wait_a_little(signals)) {
			atomic_store(&load->stop, true);
			wake_all(load);
		}
		now = clock_now();
		if (!load->config.quiet && now - progress.at >= NS_PER_SEC)
			progress_print(&progress, load, now);
	}
}

static int run(struct load *load)
{
	sigset_t signals;
	int error;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	load->transport = load->config.port ? &port_transport : &kernel_transport;
	load->handler = call_handler;
	load->handler.wake = load->transport->wake;
	load->handler.closed = load->transport->ended;
	error = load->transport->start(load);
	if (error)
		return error;
	watch(load, &signals);
	load->transport->end(load);
	return 0;
}

// The time that rates refer to: as asked for, or until the last call ended.
static double measured_seconds(const struct load *load)
{
	const struct load_config *c = &load->config;
	ns_t from = atomic_load(&load->start_at) + c->warmup, to = from;

	for (unsigned i = 0; i < c->threads; i++)
		if (load->clients[i].last_end > to)
			to = load->clients[i].last_end;
	if (c->duration && !atomic_load(&load->stop) && to - from > c->duration)
		to = from + c->duration;
	if (c->duration && !c->count && !atomic_load(&load->stop))
		to = from + c->duration;
	return to > from ? (double)(to - from) / 1e9 : 1e-9;
}

// Share of the measured time that the threads have worked.
static double busy(const struct load *load)
{
	ns_t worked = 0, all = 0;

	for (unsigned i = 0; i < load->config.threads; i++) {
		const struct client *cl = &load->clients[i];

		worked += cl->worked_to - cl->worked_from;
		all += cl->measured_to - cl->measured_from;
	}
	return all > 0 ? (double)worked / (double)all : 0;
}

static int result(struct load *load)
{
	const struct load_config *c = &load->config;
	struct report *r = calloc(1, sizeof(*r));
	int code = GEN_DONE;

	if (!r || stats_init(&r->total, load->mix.count)) {
		free(r);
		return GEN_FAILED;
	}
	r->load = load;
	r->seconds = measured_seconds(load);
	for (unsigned i = 0; i < c->threads; i++) {
		stats_merge(&r->total, &load->clients[i].stats[1], load->mix.count);
		r->downs += load->clients[i].downs;
	}
	r->busy = busy(load);
	for (unsigned i = 0; i < load->mix.count; i++)
		hist_merge(&r->latency_ns, &r->total.functions[i].latency_ns);
	if (!c->json || strcmp(c->json, "-") != 0)
		report_print(r);
	if (c->json && report_json(r, c->json))
		code = GEN_FAILED;
	if (atomic_load(&load->failed) || (c->expect_no_errors && r->total.errors) ||
		(!c->idle && r->total.calls == 0 && r->total.cancelled == 0))
		code = GEN_FAILED;
	stats_fini(&r->total);
	free(r);
	return code;
}

int gen_load(int argc, char **argv)
{
	struct load load = {
		.config =
			{
				.connections = 1,
				.threads = 1,
				.timeout_ms = 10000,
				.credit = 128,
				.seed = 1,
				.keepalive_ms = 20000,
				.lifetime_ms = 90000,
				.file_prefix = "penstock-gen",
				.mix = {.functions = "echo",
					.kind = "rr",
					.metadata = "composite",
					.size = 32},
			},
	};
	const char *fault;
	char *list;
	int code = gen_options_parse(options, &load.config, argc, argv);

	if (code)
		return code > 0 ? GEN_DONE : GEN_USAGE;
	fault = check(&load.config);
	if (fault) {
		fprintf(stderr, "%s; see --help\n", fault);
		return GEN_USAGE;
	}
	list = strdup(load.config.to);
	if (!list)
		return GEN_FAILED;
	if (parse_targets(&load, list) || mix_parse(&load.mix, &load.config.mix))
		code = GEN_USAGE;
	else if (prepare(&load) || run(&load))
		code = GEN_FAILED;
	else
		code = result(&load);
	release(&load);
	free(list);
	return code;
}
