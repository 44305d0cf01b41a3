// SPDX-License-Identifier: Apache-2.0
// A worker's life: made on its own thread, so that its memory
// and its ring are its own; then one loop; then the drain.
//
//	NEW ──worker_init──▶ RUNNING ──stop: drain──▶ ENDED
//	 └────error────────▶ FAILED
#include "dataplane/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_malloc.h>
#include <rte_rcu_qsbr.h>

#include "dataplane/app.h"
#include "dataplane/capacity.h"
#include "dataplane/mbuf.h"

#define RX_BURST 32
#define MESSAGES 32
#define COPIES_BYTES_MAX ((size_t)64 << 20) // of a worker
#define HELD_SHARE 4                       // a quarter of the packet buffers, among all workers
#define SPIN_NS (50 * NS_PER_US)
#define SPIN_SHARED_NS (5 * NS_PER_US)
#define FLUSH_NS (20 * NS_PER_MS)        // for the last segments after the drain

// The packet as a buf. Copied when it came in several segments (TCP takes contiguous bytes), or
// when this worker has passed on its share of packet buffers already: else those who keep theirs
// would starve the ports.
static struct buf *take(struct worker *w, struct rte_mbuf *m)
{
	struct buf *copy;

	if (m->nb_segs == 1 && w->mbufs_held < w->mbufs_held_max)
		return mbuf_buf(m, &w->mbufs_held);
	copy = mbuf_gather(m, w->copies);
	counter_add(copy ? &w->counters.rx_copied : &w->counters.rx_drop_copy, 1);
	return copy;
}

static void receive(struct worker *w, unsigned index, struct rte_mbuf *m)
{
	const struct port *port = &w->dp->ports.port[index];
	struct net_rx rx = {.port = (uint8_t)index, .len = m->pkt_len};
	union net_up up;

	counter_add(&w->counters.rx_bytes, m->pkt_len);
	rx.ip_checksum_good = port->rx_ip_checksum &&
		(m->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD;
	rx.l4_checksum_good = port->rx_l4_checksum &&
		(m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	rx.buf = take(w, m);
	if (!rx.buf)
		return;
	rx.data = rx.buf->base;
	switch (net_input(w->net, &rx, &up, w->now)) {
	case NET_DONE:
		break;
	case NET_TCP:
		tcp_input(w->tcp, &up.tcp, w->now);
		break;
	case NET_TCP_ERROR:
		tcp_icmp(w->tcp, &up.error.local, &up.error.remote, up.error.type, up.error.code,
			up.error.mtu, up.error.quoted, up.error.len, w->now);
		break;
	}
	buf_unref(rx.buf);
}

static unsigned receive_all(struct worker *w)
{
	struct rte_mbuf *packet[RX_BURST];
	unsigned sum = 0;

	for (unsigned i = 0; i < w->dp->ports.count; i++) {
		uint16_t n = rte_eth_rx_burst(
			w->dp->ports.port[i].id, (uint16_t)w->id, packet, RX_BURST);

		for (uint16_t k = 0; k < n; k++)
			receive(w, i, packet[k]);
		sum += n;
	}
	if (sum)
		counter_add(&w->counters.rx_packets, sum);
	return sum;
}

// What this worker learned of neighbours, to all siblings.
static void tell_siblings(struct worker *w)
{
	struct worker_message message = {.kind = MESSAGE_NEIGHBOUR};

	while (net_news(w->net, &message.news))
		for (unsigned i = 0; i < w->dp->workers; i++)
			if (w->dp->worker[i] != w)
				worker_post(w->dp->worker[i], &message, w);
}

static unsigned read_inbox(struct worker *w)
{
	struct worker_message message[MESSAGES];
	unsigned n = inbox_take(&w->inbox, message, MESSAGES);

	for (unsigned i = 0; i < n; i++) {
		if (message[i].kind == MESSAGE_NEIGHBOUR)
			net_hear(w->net, &message[i].news, w->now);
		else
			message[i].call.run(w, message[i].call.arg);
	}
	if (n)
		counter_add(&w->counters.inbox_messages, n);
	return n;
}

static bool listens_on(const struct worker *w, uint16_t port)
{
	for (uint32_t i = 0; i < w->listens; i++)
		if (w->listen[i] == port)
			return true;
	return false;
}

static void listen_on(struct worker *w, uint16_t port)
{
	if (w->listens == NET_LISTENERS_MAX || tcp_listen(w->tcp, port, w))
		counter_add(&w->counters.listen_failed, 1);
	else
		w->listen[w->listens++] = port;
}

static void unlisten(struct worker *w, uint32_t index)
{
	tcp_unlisten(w->tcp, w->listen[index]);
	w->listen[index] = w->listen[--w->listens];
}

// The configuration is shared: it is read here and copied, never kept.
static void apply_config(struct worker *w)
{
	const struct net_config *config = __atomic_load_n(&w->dp->net, __ATOMIC_ACQUIRE);

	if (!config || config->generation == w->generation)
		return;
	w->generation = config->generation;
	net_apply(w->net, config, w->now);
	tcp_set_limit_per_address(w->tcp, config->limits.connections_per_address);
	for (uint32_t i = w->listens; i-- > 0;)
		if (!net_config_has_listener(config, w->listen[i]))
			unlisten(w, i);
	for (uint32_t i = 0; !w->draining && i < config->listeners; i++)
		if (!listens_on(w, config->listener[i].port))
			listen_on(w, config->listener[i].port);
}

// One iteration. Returns true if there was anything to do.
static bool step(struct worker *w)
{
	unsigned work;
	int events;

	w->now = clock_now();
	apply_config(w);
	work = receive_all(w);
	if (w->dp->workers > 1)
		tell_siblings(w);
	work += read_inbox(w);
	events = loop_step(w->loop, 0);
	if (events > 0)
		work += (unsigned)events;
	else if (events < 0)
		counter_add(&w->counters.loop_errors, 1);
	work += timer_wheel_run(&w->wheel, w->now);
	worker_app_flush(w, w->now);
	work += tx_run(w, w->now);
	if (w->qsbr)
		rte_rcu_qsbr_quiescent(w->qsbr, w->id);
	return work > 0;
}

// Where the cycle counter and the sleep counter stood when the last iteration ended.
struct spent {
	uint64_t at, asleep;
};

static struct spent spent_now(const struct worker *w)
{
	return (struct spent){.at = rte_rdtsc(), .asleep = w->counters.cycles_asleep};
}

// An iteration is over, with what idle_after() made of it: its pause is idle time, its sleep counts
// by itself. Busy, idle and asleep thus make up all the time there is.
static void account(struct worker *w, bool worked, struct spent *last)
{
	struct spent now = spent_now(w);
	uint64_t cycles = now.at - last->at - (now.asleep - last->asleep);

	counter_add(worked ? &w->counters.iterations_busy : &w->counters.iterations_idle, 1);
	counter_add(worked ? &w->counters.cycles_busy : &w->counters.cycles_idle, cycles);
	*last = now;
}

static void run(struct worker *w)
{
	struct spent spent = spent_now(w);

	while (!__atomic_load_n(&w->dp->stop, __ATOMIC_ACQUIRE)) {
		bool worked = step(w);

		idle_after(w, worked);
		account(w, worked, &spent);
	}
}

// Stops accepting, lets the application finish, and sends what it had to say last.
static void drain(struct worker *w)
{
	struct spent spent = spent_now(w);
	ns_t flush_by = NS_NEVER;
	bool done = false;

	w->draining = true;
	while (w->listens)
		unlisten(w, w->listens - 1);
	while (!done) {
		bool worked = step(w);

		if (flush_by == NS_NEVER) {
			if (worker_app_drain(w, w->now) ||
				w->now >= __atomic_load_n(&w->dp->stop_by, __ATOMIC_RELAXED))
				flush_by = w->now + FLUSH_NS;
			else if (!worked)
				idle_after(w, false);
		} else {
			done = (!worked && tx_empty(w)) || w->now >= flush_by;
		}
		account(w, worked, &spent);
	}
}

static int failed(struct worker *w, const char *what, int error)
{
	if (!w->why[0])
		snprintf(w->why, sizeof(w->why), "%s: %s", what, strerror(-error));
	return error;
}

static int init_buffers(struct worker *w)
{
	uint32_t frame = NET_ETHER_HEADER + NET_MTU_MIN;

	for (unsigned i = 0; i < w->dp->ports.count; i++)
		if (frame < NET_ETHER_HEADER + (uint32_t)w->dp->ports.port[i].mtu)
			frame = NET_ETHER_HEADER + (uint32_t)w->dp->ports.port[i].mtu;
	w->mbufs_held_max = port_pool_size(&w->dp->ports) / HELD_SHARE / w->dp->workers;
	w->copies = buf_pool_new((frame + 63) / 64 * 64, COPIES_BYTES_MAX);
	return w->copies ? 0 : -ENOMEM;
}

static int init_net(struct worker *w)
{
	struct net_setup setup = {.ports = w->dp->ports.count, .announce = w->id == 0};

	for (unsigned i = 0; i < setup.ports; i++) {
		memcpy(setup.port[i].mac, w->dp->ports.port[i].mac, 6);
		setup.port[i].mtu = w->dp->ports.port[i].mtu;
	}
	if (getrandom(&setup.seed, sizeof(setup.seed), 0) != sizeof(setup.seed))
		return -EIO;
	w->net = net_new(&setup, &w->wheel, w->now);
	return w->net ? 0 : -ENOMEM;
}

static int init_tcp(struct worker *w)
{
	struct tcp_config config = {
		.conns_max = w->dp->options.connections_max,
		.time_wait_max = w->dp->options.connections_max / 4 + 1,
		.mtu = NET_MTU_MAX,
		.recv_window_bytes = 1u << 20,
		.send_buffer_bytes = 1u << 20,
		.ooo_bytes_conn = 1u << 20,
		.ooo_bytes_stack = (size_t)64 << 20,
		.ops = &app_tcp_ops,
	};

	for (unsigned i = 0; i < w->dp->ports.count; i++)
		if (w->dp->ports.port[i].mtu < config.mtu)
			config.mtu = w->dp->ports.port[i].mtu;
	if (getrandom(config.key, sizeof(config.key), 0) != sizeof(config.key))
		return -EIO;
	w->tcp = tcp_stack_new(&config, &w->wheel, w->now);
	return w->tcp ? 0 : -ENOMEM;
}

static ns_t spin_time(const struct dataplane *dp)
{
	if (dp->options.spin_us != UINT32_MAX)
		return dp->options.spin_us * NS_PER_US;
	return dp->shared_cores ? SPIN_SHARED_NS : SPIN_NS;
}

static int init(struct worker *w)
{
	struct loop_config loop_config = {.copy_bytes_max = RECEIVED_BYTES_MAX};
	int error = 0;

	// Timers of sleeping threads are 50 us late otherwise.
	prctl(PR_SET_TIMERSLACK, 1000);
	w->now = clock_now();
	timer_wheel_init(&w->wheel, w->now);
	w->idle.epoll = -1;
	error = init_buffers(w);
	if (error)
		return failed(w, "no memory for packets", error);
	w->loop = loop_new(&loop_config, &error);
	if (!w->loop)
		return failed(w,
			"io_uring is needed (Linux 6.1, and a memory lock limit of some MiB)",
			error);
	error = init_net(w);
	if (!error)
		error = init_tcp(w);
	if (error)
		return failed(w, "no memory for the network stack: fewer --connections", error);
	error = idle_init(w, spin_time(w->dp));
	if (error)
		return failed(w, "epoll", error);
	if (w->qsbr) {
		rte_rcu_qsbr_thread_register(w->qsbr, w->id);
		rte_rcu_qsbr_thread_online(w->qsbr, w->id);
	}
	error = worker_app_init(w);
	return error ? failed(w, "the application did not start", error) : 0;
}

// Mirrors init(), as far as it got. Connections end first: they hold packet buffers.
static void fini(struct worker *w, bool app)
{
	if (app)
		worker_app_fini(w);
	if (w->qsbr) {
		rte_rcu_qsbr_thread_offline(w->qsbr, w->id);
		rte_rcu_qsbr_thread_unregister(w->qsbr, w->id);
	}
	idle_fini(w);
	if (w->tcp)
		tcp_stack_destroy(w->tcp);
	tx_clear(w);
	net_destroy(w->net);
	if (w->loop)
		loop_destroy(w->loop);
	if (w->copies)
		buf_pool_destroy(w->copies);
	chain_nodes_free();
}

static void set_state(struct worker *w, enum worker_state state)
{
	__atomic_store_n(&w->state, state, __ATOMIC_RELEASE);
}

static enum worker_state state_of(const struct worker *w)
{
	return __atomic_load_n(&w->state, __ATOMIC_ACQUIRE);
}

static int worker_main(void *arg)
{
	struct worker *w = arg;

	if (init(w)) {
		fini(w, false);
		set_state(w, WORKER_FAILED);
		return -1;
	}
	set_state(w, WORKER_RUNNING);
	run(w);
	drain(w);
	fini(w, true);
	set_state(w, WORKER_ENDED);
	return 0;
}

static struct worker *make(struct dataplane *dp, unsigned id, unsigned lcore)
{
	struct worker *w = rte_zmalloc_socket(
		"worker", sizeof(*w), RTE_CACHE_LINE_SIZE, (int)rte_lcore_to_socket_id(lcore));

	if (!w)
		return NULL;
	w->id = id;
	w->lcore = lcore;
	w->dp = dp;
	w->qsbr = dp->qsbr;
	if (inbox_init(&w->inbox, id) == 0)
		return w;
	rte_free(w);
	return NULL;
}

int workers_start(struct dataplane *dp)
{
	unsigned lcore, id = 0;
	struct timespec pause = {.tv_nsec = NS_PER_MS};
	bool bad = false;

	RTE_LCORE_FOREACH_WORKER(lcore) {
		dp->worker[id] = make(dp, id, lcore);
		if (!dp->worker[id]) {
			log_error("worker", "no memory for worker %u: give more --memory", id);
			workers_join(dp);
			return -ENOMEM;
		}
		id++;
	}
	// All are there before the first runs: it may post to any.
	for (id = 0; id < dp->workers; id++)
		rte_eal_remote_launch(worker_main, dp->worker[id], dp->worker[id]->lcore);
	for (id = 0; id < dp->workers; id++) {
		while (state_of(dp->worker[id]) == WORKER_NEW)
			nanosleep(&pause, NULL);
		if (state_of(dp->worker[id]) != WORKER_FAILED)
			continue;
		bad = true;
		log_error("worker", "worker %u does not start: %s", id, dp->worker[id]->why);
	}
	if (!bad)
		return 0;
	workers_stop(dp, 0);
	workers_join(dp);
	return -EIO;
}

void workers_stop(struct dataplane *dp, ns_t limit)
{
	__atomic_store_n(&dp->stop_by, clock_now() + limit, __ATOMIC_RELAXED);
	__atomic_store_n(&dp->stop, 1, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < dp->workers; i++)
		if (dp->worker[i])
			inbox_wake(&dp->worker[i]->inbox);
}

bool workers_running(const struct dataplane *dp)
{
	for (unsigned i = 0; i < dp->workers; i++)
		if (dp->worker[i] && state_of(dp->worker[i]) == WORKER_RUNNING)
			return true;
	return false;
}

void workers_join(struct dataplane *dp)
{
	rte_eal_mp_wait_lcore();
	for (unsigned i = 0; i < dp->workers; i++) {
		if (!dp->worker[i])
			continue;
		inbox_fini(&dp->worker[i]->inbox);
		rte_free(dp->worker[i]);
		dp->worker[i] = NULL;
	}
}

int worker_post(struct worker *to, const struct worker_message *message, struct worker *from)
{
	int error = inbox_post(&to->inbox, message);

	if (error && from)
		counter_add(&from->counters.inbox_drops, 1);
	return error;
}

double worker_busy(const struct worker *w)
{
	double busy = (double)counter_read(&w->counters.cycles_busy);
	double all = busy + (double)counter_read(&w->counters.cycles_idle) +
		(double)counter_read(&w->counters.cycles_asleep);

	return all > 0 ? busy / all : 0;
}
