// SPDX-License-Identifier: Apache-2.0
// What a segment costs in the TCP stack, without a port: two stacks in one thread, segments handed
// over as bytes that the port has verified. Prints nanoseconds and cycles for each segment that one
// of them handles.
//
//   bench-tcp [SECONDS [CASE]]      each case, or the one of that number, for that long
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <x86intrin.h>
#define cycles() __rdtsc()
#else
#define cycles() 0
#endif

#include "dataplane/tcp/tcp.h"

#define PORT 7878
#define BURST 32

struct host {
	struct timer_wheel wheel;
	struct tcp_stack *stack;
	struct buf_pool *pool;
	uint64_t segments;
};

struct bench {
	struct host hosts[2];
	struct tcp_conn **client;
	ns_t now;
	uint32_t reply_bytes;
	uint64_t replies;
	bool offload;
	uint32_t opened;
};

static struct bench b;

static void reply(struct tcp_conn *c, struct host *h, uint32_t len)
{
	static const uint8_t zeros[65536];
	struct chain out = {0};

	if (chain_copy(&out, h->pool, zeros, len) == 0)
		tcp_send(c, &out);
}

static bool on_accept(struct tcp_conn *c, void *user)
{
	b.opened++;
	tcp_set_user(c, user);
	return true;
}

// The server answers each request of 32 bytes; the client counts replies and asks again.
static void on_request(struct tcp_conn *c, struct chain *data)
{
	tcp_consumed(c, data->len);
	reply(c, &b.hosts[1], b.reply_bytes);
}

static void on_reply(struct tcp_conn *c, struct chain *data)
{
	uintptr_t got = (uintptr_t)tcp_user(c) + data->len;

	tcp_consumed(c, data->len);
	while (got >= b.reply_bytes) {
		got -= b.reply_bytes;
		b.replies++;
		reply(c, &b.hosts[0], 32);
	}
	tcp_set_user(c, (void *)got);
}

static void on_closed(struct tcp_conn *c, int error)
{
}

static const struct tcp_ops server_ops = {
	.accept = on_accept, .data = on_request, .closed = on_closed};
static const struct tcp_ops client_ops = {
	.accept = on_accept, .data = on_reply, .closed = on_closed};

static uint8_t arena[BURST][16384];

static void no_release(struct buf *buf)
{
}

// Everything one side has to say goes to the other; returns how many segments.
static unsigned exchange(unsigned from)
{
	static struct tcp_tx tx[BURST];
	static struct buf bufs[BURST];
	unsigned n = tcp_output(b.hosts[from].stack, b.now, tx, BURST);

	for (unsigned i = 0; i < n; i++) {
		struct tcp_rx rx = {
			.src = tx[i].src, .dst = tx[i].dst, .buf = &bufs[i], .data = arena[i]};

		rx.len = tcp_tx_write(&tx[i], arena[i], b.offload);
		rx.checksum_good = b.offload;
		buf_init(&bufs[i], arena[i], rx.len, no_release, NULL);
		tcp_input(b.hosts[!from].stack, &rx, b.now);
	}
	b.hosts[from].segments += n;
	return n;
}

static void start(uint32_t conns, uint32_t mtu)
{
	static const uint32_t addrs[2] = {0x01004d0a, 0x02004d0a};

	b.now = 1000 * NS_PER_SEC;
	for (unsigned i = 0; i < 2; i++) {
		struct tcp_config config = {.conns_max = conns * 2 + 2,
			.time_wait_max = 16,
			.mtu = mtu,
			.recv_window_bytes = 1 << 20,
			.send_buffer_bytes = 1 << 20,
			.ooo_bytes_conn = 1 << 16,
			.ooo_bytes_stack = 1 << 20,
			.key = {(uint8_t)i},
			.ops = &server_ops};

		timer_wheel_init(&b.hosts[i].wheel, b.now);
		b.hosts[i].stack = tcp_stack_new(&config, &b.hosts[i].wheel, b.now);
		b.hosts[i].pool = buf_pool_new(16384, 0);
	}
	tcp_listen(b.hosts[1].stack, PORT, NULL);
	b.client = calloc(conns, sizeof(struct tcp_conn *));
	b.opened = 0;
	for (uint32_t i = 0; i < conns; i++) {
		struct tcp_connect to = {.local = ip_from_v4(addrs[0] + (i / 16000 << 24)),
			.remote = ip_from_v4(addrs[1]),
			.local_port = (uint16_t)(1024 + i % 16000),
			.remote_port = PORT,
			.ops = &client_ops};

		tcp_connect(b.hosts[0].stack, &to, b.now, &b.client[i]);
		while (exchange(0) + exchange(1) > 0) {
		}
	}
}

static void stop(void)
{
	for (unsigned i = 0; i < 2; i++) {
		tcp_stack_destroy(b.hosts[i].stack);
		buf_pool_destroy(b.hosts[i].pool);
	}
	free(b.client);
	b = (struct bench){0};
}

struct scenario {
	const char *name;
	uint32_t conns, reply_bytes, mtu;
	bool offload;
};

static void run(const struct scenario *with, double seconds)
{
	uint64_t c0, segments, replies0;
	ns_t t0, took = 0;
	double ns, per;

	b.offload = with->offload;
	b.reply_bytes = with->reply_bytes;
	start(with->conns, with->mtu);
	if (b.opened != 2 * with->conns) {
		fprintf(stderr, "only %u of %u ends opened\n", b.opened, 2 * with->conns);
		exit(1);
	}
	for (uint32_t i = 0; i < with->conns; i++)
		reply(b.client[i], &b.hosts[0], 32);
	b.hosts[0].segments = b.hosts[1].segments = 0;
	replies0 = b.replies;
	t0 = clock_now();
	c0 = cycles();
	while (took < (ns_t)(seconds * 1e9)) {
		for (unsigned i = 0; i < 64; i++) {
			exchange(0);
			exchange(1);
			b.now += 20 * NS_PER_US;
		}
		timer_wheel_run(&b.hosts[0].wheel, b.now);
		timer_wheel_run(&b.hosts[1].wheel, b.now);
		took = clock_now() - t0;
	}
	// Each segment is written by one stack and read by the other.
	segments = b.hosts[0].segments + b.hosts[1].segments;
	ns = (double)took / (double)segments;
	per = (double)(cycles() - c0) / (double)segments;
	printf("%-34s %7.0f ns %7.0f cycles a segment out and in, %9.0f replies/s, %7.1f MB/s\n",
		with->name, ns, per, (double)(b.replies - replies0) * 1e9 / (double)took,
		(double)(b.replies - replies0) * with->reply_bytes * 1e3 / (double)took);
	stop();
}

static const struct scenario scenarios[] = {
	{"64 conns, 32 B, no checksum", 64, 32, 1500, true},
	{"64 conns, 32 B, checksum", 64, 32, 1500, false},
	{"10000 conns, 32 B, no checksum", 10000, 32, 1500, true},
	{"100000 conns, 32 B, no checksum", 100000, 32, 1500, true},
	{"16 conns, 16 KB, no checksum", 16, 16384, 1500, true},
	{"16 conns, 16 KB, checksum", 16, 16384, 1500, false},
	{"16 conns, 16 KB, MTU 9000, checksum", 16, 16384, 9000, false},
};

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 1;
	int only = argc > 2 ? atoi(argv[2]) : -1;

	for (int i = 0; i < (int)(sizeof(scenarios) / sizeof(scenarios[0])); i++) {
		if (only < 0 || only == i)
			run(&scenarios[i], seconds);
	}
	chain_nodes_free();
	return 0;
}
