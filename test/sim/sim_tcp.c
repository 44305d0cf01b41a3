// SPDX-License-Identifier: Apache-2.0
// Two TCP stacks over a bad link in virtual time. Each seed draws a link, limits and applications;
// every byte must arrive intact and in order, every connection must end, nothing may leak.
//
//   sim-tcp [-v] [-t] [SEED [COUNT]]     runs COUNT seeds from SEED (default: 1, 60); prints the
//   seed that fails -v a line a seed; -t every segment sent
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <inttypes.h>

#include "dataplane/tcp/tcp.h"
#include "lib/base/rng.h"
#include "test/sim/lossy_link.h"

#define PORT 7878
#define VIRTUAL_MAX (100 * 3600 * NS_PER_SEC)
#define CONNS_MAX 8

static bool verbose, trace;

struct end {
	struct tcp_conn *conn;
	struct side *side;
	uint64_t salt;  // what this end sends: byte i is pattern(salt, i)
	uint64_t peer_salt;
	uint64_t to_send, sent, received, to_receive;
	size_t unconsumed;
	ns_t read_at;  // when it takes what it holds
	ns_t abort_at;  // when it gives up, 0: never
	bool opened, eof, closing, closed;
	int error;
};

struct side {
	struct timer_wheel wheel;
	struct tcp_stack *stack;
	struct buf_pool *pool;
	struct lossy_link *out;
	struct sim *sim;
	struct end ends[CONNS_MAX];
	uint32_t count;
};

struct sim {
	uint64_t seed;
	struct rng rng;
	ns_t now;
	struct lossy_link links[2];
	struct side sides[2];
	struct ip_addr addrs[2];
	uint32_t conns;
	bool lazy;  // readers take their time: windows close
	uint32_t chunk_max;
	bool nagle;
	bool aborts;                // some ends give up in the middle
	ns_t outage_at, outage_end;  // nothing passes
	uint64_t bufs_out;
	const char *failure;
};

static uint8_t pattern(uint64_t salt, uint64_t i)
{
	uint64_t x = (i >> 3) * 0x9e3779b97f4a7c15u ^ salt;

	x ^= x >> 29;
	x *= 0xbf58476d1ce4e5b9u;
	x ^= x >> 32;
	return (uint8_t)(x >> (i & 7) * 8);
}

static void fail(struct sim *sim, const char *why)
{
	if (!sim->failure)
		sim->failure = why;
}

// Sends as long as there is room, in pieces of odd sizes.
static void pump(struct end *e)
{
	struct sim *sim = e->side->sim;
	uint8_t bytes[8192];

	if (!e->conn || e->closing)
		return;
	while (e->sent < e->to_send && tcp_send_room(e->conn) > 0) {
		struct chain out = {0};
		uint32_t n = 1 + rng_below(&sim->rng, sim->chunk_max);

		if (n > e->to_send - e->sent)
			n = (uint32_t)(e->to_send - e->sent);
		for (uint32_t i = 0; i < n; i++)
			bytes[i] = pattern(e->salt, e->sent + i);
		if (chain_copy(&out, e->side->pool, bytes, n))
			fail(sim, "the sender's pool is empty");
		e->sent += n;
		if (tcp_send(e->conn, &out))
			fail(sim, "tcp_send refused");
	}
	if (e->sent == e->to_send) {
		e->closing = true;
		tcp_close(e->conn);
	}
}

static bool on_accept(struct tcp_conn *c, void *user)
{
	struct end *e = user;
	struct side *side = user;

	// The listener's user is a side; that of an active open is its end.
	if (side == &side->sim->sides[1]) {
		struct tcp_conn_info info;

		tcp_info(c, &info);
		e = &side->ends[info.remote_port - 1000];
		e->conn = c;
		tcp_set_user(c, e);
	}
	e->opened = true;
	tcp_set_nagle(c, e->side->sim->nagle);
	tcp_set_user_timeout(c, 3600 * NS_PER_SEC);
	if (e->side->sim->aborts)  // a reset may be lost
		tcp_set_keepalive(c, 60 * NS_PER_SEC);
	pump(e);
	return true;
}

static void on_data(struct tcp_conn *c, struct chain *data)
{
	struct end *e = tcp_user(c);
	struct sim *sim = e->side->sim;

	for (const struct chain_node *n = data->first; n; n = n->next) {
		for (uint32_t i = 0; i < n->slice.len; i++) {
			if (n->slice.data[i] != pattern(e->peer_salt, e->received++))
				fail(sim, "a byte is wrong");
		}
	}
	if (e->eof)
		fail(sim, "data after eof");
	if (!sim->lazy) {
		tcp_consumed(c, data->len);
		return;
	}
	e->unconsumed += data->len;
	if (!e->read_at)
		e->read_at = sim->now + rng_below(&sim->rng, 2000) * NS_PER_MS + 1;
}

static void on_writable(struct tcp_conn *c)
{
	pump(tcp_user(c));
}

static void on_eof(struct tcp_conn *c)
{
	struct end *e = tcp_user(c);

	e->eof = true;
	if (e->received != e->to_receive)
		fail(e->side->sim, "eof before the last byte");
}

static void on_closed(struct tcp_conn *c, int error)
{
	struct end *e = tcp_user(c);

	if (e->closed)
		fail(e->side->sim, "closed twice");
	e->closed = true;
	e->conn = NULL;
	e->error = error;
	e->abort_at = 0;
	if (error && !e->side->sim->aborts)
		fail(e->side->sim, "a connection ended with an error");
}

static const struct tcp_ops ops = {on_accept, on_data, on_writable, on_eof, on_closed};

static void free_packet(struct buf *buf)
{
	struct sim *sim = buf->owner;

	sim->bufs_out--;
	free(buf->base - offsetof(struct link_packet, bytes));
	free(buf);
}

static void receive(struct sim *sim, struct side *side, struct link_packet *p)
{
	struct buf *buf = malloc(sizeof(*buf));
	struct tcp_rx rx = {
		.src = p->src, .dst = p->dst, .buf = buf, .data = p->bytes, .len = p->len};

	sim->bufs_out++;
	buf_init(buf, p->bytes, p->len, free_packet, sim);
	tcp_input(side->stack, &rx, sim->now);
	buf_unref(buf);
}

static void read_some(struct sim *sim, struct end *e)
{
	size_t n = e->unconsumed;

	if (!e->read_at || e->read_at > sim->now)
		return;
	e->read_at = 0;
	if (!e->conn)
		return;
	if (n > 1 && rng_below(&sim->rng, 2))
		n = 1 + rng_below(&sim->rng, (uint32_t)n);
	e->unconsumed -= n;
	tcp_consumed(e->conn, n);
	if (e->unconsumed)
		e->read_at = sim->now + rng_below(&sim->rng, 20000) * NS_PER_MS + 1;
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void print_segment(struct sim *sim, struct side *side, const struct tcp_tx *tx)
{
	const uint8_t *h = tx->header;
	static const char names[] = "FSRPAU";
	char flags[8] = "";
	unsigned n = 0;

	for (unsigned i = 0; i < 6; i++) {
		if (h[13] >> i & 1)
			flags[n++] = names[i];
	}
	printf("%12.6f %c %u>%u %-4s seq %u len %u ack %u win %u\n", (double)sim->now / 1e9,
		side == &sim->sides[0] ? 'A' : 'B', h[0] << 8 | h[1], h[2] << 8 | h[3], flags,
		be32(h + 4), tx->payload_len, be32(h + 8), h[14] << 8 | h[15]);
}

static void give_up(struct sim *sim, struct end *e)
{
	if (!e->abort_at || e->abort_at > sim->now)
		return;
	e->abort_at = 0;
	if (e->conn)
		tcp_abort(e->conn);
}

static void flush(struct sim *sim, struct side *side)
{
	struct tcp_tx tx[8];
	unsigned n;

	do {
		n = tcp_output(side->stack, sim->now, tx, 8);
		for (unsigned i = 0; i < n; i++) {
			if (trace)
				print_segment(sim, side, &tx[i]);
			lossy_link_send(side->out, &tx[i], sim->now);
		}
	} while (n == 8);
}

static void step_side(struct sim *sim, unsigned i)
{
	struct side *side = &sim->sides[i];
	struct link_packet *p;

	timer_wheel_run(&side->wheel, sim->now);
	while ((p = lossy_link_take(&sim->links[!i], sim->now)))
		receive(sim, side, p);
	for (uint32_t k = 0; k < sim->conns; k++) {
		read_some(sim, &side->ends[k]);
		give_up(sim, &side->ends[k]);
	}
	side->out->down = sim->now >= sim->outage_at && sim->now < sim->outage_end;
	flush(sim, side);
}

static ns_t next_event(struct sim *sim)
{
	ns_t next = NS_NEVER;

	for (unsigned i = 0; i < 2; i++) {
		ns_t at = timer_wheel_next(&sim->sides[i].wheel);

		next = at < next ? at : next;
		at = lossy_link_next(&sim->links[i]);
		next = at < next ? at : next;
		for (uint32_t k = 0; k < sim->conns; k++) {
			at = sim->sides[i].ends[k].read_at;
			next = at && at < next ? at : next;
			at = sim->sides[i].ends[k].abort_at;
			next = at && at < next ? at : next;
		}
	}
	return next;
}

static bool all_done(const struct sim *sim)
{
	for (unsigned i = 0; i < 2; i++) {
		if (tcp_conns(sim->sides[i].stack) > 0)
			return false;
		for (uint32_t k = 0; k < sim->conns; k++) {
			const struct end *e = &sim->sides[i].ends[k];

			// An end whose peer gave up before the handshake was done never opens.
			if (!e->closed && (e->opened || !sim->aborts))
				return false;
		}
	}
	return true;
}

static double draw(struct sim *sim, double max)
{
	// Half of the runs without this fault.
	return rng_below(&sim->rng, 2) ? 0 : rng_unit(&sim->rng) * max;
}

static struct link_faults draw_faults(struct sim *sim)
{
	struct link_faults f = {.loss = draw(sim, 0.12),
		.duplicate = draw(sim, 0.1),
		.reorder = draw(sim, 0.2),
		.corrupt = draw(sim, 0.03),
		.delay = rng_below(&sim->rng, 50000) * NS_PER_US,
		.jitter = (ns_t)draw(sim, 5e6)};

	if (rng_below(&sim->rng, 2)) {
		f.bits_per_s = 1000000u * (1 + rng_below(&sim->rng, 1000));
		f.queue_bytes_max = 20000 + rng_below(&sim->rng, 200000);
	}
	return f;
}

static uint32_t pick(struct sim *sim, const uint32_t *of, uint32_t n)
{
	return of[rng_below(&sim->rng, n)];
}

static void make_side(struct sim *sim, unsigned i)
{
	static const uint32_t mtus[] = {1500, 1500, 576, 9000, 296};
	static const uint32_t windows[] = {262144, 65535, 1 << 20, 4000, 16384, 1000};
	struct side *side = &sim->sides[i];
	struct tcp_config config = {.conns_max = 16,
		.time_wait_max = 16,
		// Longer than the longest RTO, so that a lost last ACK is always repeated.
		.time_wait_ms = 600000,
		.mtu = pick(sim, mtus, 5),
		.recv_window_bytes = pick(sim, windows, 6),
		.send_buffer_bytes = 2000 + rng_below(&sim->rng, 1 << 20),
		.ooo_bytes_conn = 1u << rng_below(&sim->rng, 20),
		.ooo_bytes_stack = 1 << 19,
		.ops = &ops};

	for (unsigned k = 0; k < sizeof(config.key); k++)
		config.key[k] = (uint8_t)rng_next(&sim->rng);
	timer_wheel_init(&side->wheel, sim->now);
	side->stack = tcp_stack_new(&config, &side->wheel, sim->now);
	side->pool = buf_pool_new(rng_below(&sim->rng, 2) ? 4096 : 100, 0);
	side->out = &sim->links[i];
	side->sim = sim;
}

static void open_all(struct sim *sim)
{
	uint64_t max = sim->lazy ? 300000 : 4000000;

	tcp_listen(sim->sides[1].stack, PORT, &sim->sides[1]);
	for (uint32_t k = 0; k < sim->conns; k++) {
		struct end *a = &sim->sides[0].ends[k], *b = &sim->sides[1].ends[k];
		struct tcp_connect to = {.local = sim->addrs[0],
			.remote = sim->addrs[1],
			.local_port = (uint16_t)(1000 + k),
			.remote_port = PORT,
			.ops = &ops,
			.user = a};

		*a = (struct end){.side = &sim->sides[0], .salt = rng_next(&sim->rng)};
		*b = (struct end){.side = &sim->sides[1], .salt = rng_next(&sim->rng)};
		a->peer_salt = b->salt;
		b->peer_salt = a->salt;
		a->to_send = b->to_receive = rng_next(&sim->rng) % max;
		b->to_send = a->to_receive = rng_next(&sim->rng) % max;
		if (tcp_connect(sim->sides[0].stack, &to, sim->now, &a->conn))
			fail(sim, "tcp_connect failed");
		if (sim->aborts && rng_below(&sim->rng, 2))
			(rng_below(&sim->rng, 2) ? a : b)->abort_at =
				sim->now + rng_below(&sim->rng, 20000) * NS_PER_MS;
	}
}

static void setup(struct sim *sim, uint64_t seed)
{
	bool strip_timestamps, strip_wscale;

	*sim = (struct sim){.seed = seed, .now = 1000 * NS_PER_SEC};
	rng_seed(&sim->rng, seed);
	sim->addrs[0] = ip_from_v4(0x01004d0a);
	sim->addrs[1] = ip_from_v4(0x02004d0a);
	if (rng_below(&sim->rng, 3) == 0) {
		ip_parse("fd77::1", &sim->addrs[0]);
		ip_parse("fd77::2", &sim->addrs[1]);
	}
	sim->conns = 1 + rng_below(&sim->rng, CONNS_MAX / 2);
	sim->lazy = rng_below(&sim->rng, 3) == 0;
	sim->nagle = rng_below(&sim->rng, 4) == 0;
	sim->aborts = rng_below(&sim->rng, 4) == 0;
	if (rng_below(&sim->rng, 4) == 0) {
		sim->outage_at = sim->now + rng_below(&sim->rng, 10000) * NS_PER_MS;
		sim->outage_end = sim->outage_at + rng_below(&sim->rng, 100000) * NS_PER_MS;
	}
	sim->chunk_max = 1u << (4 + rng_below(&sim->rng, 10));
	strip_timestamps = rng_below(&sim->rng, 3) == 0;
	strip_wscale = rng_below(&sim->rng, 3) == 0;
	for (unsigned i = 0; i < 2; i++) {
		struct link_faults f = draw_faults(sim);

		f.strip_timestamps = strip_timestamps;
		f.strip_wscale = strip_wscale;
		lossy_link_init(&sim->links[i], &f, rng_next(&sim->rng));
		make_side(sim, i);
	}
}

static void report(struct sim *sim, ns_t took)
{
	uint64_t bytes = 0, retransmits = 0, timeouts = 0;

	for (unsigned i = 0; i < 2; i++) {
		const struct tcp_counters *n = tcp_counters(sim->sides[i].stack);

		bytes += n->bytes_in;
		retransmits += n->retransmits;
		timeouts += n->timeouts;
	}
	printf("seed %" PRIu64 "%s%s: %u conns, %" PRIu64 " bytes in %.1f virtual s, %" PRIu64
	       " retransmits, %" PRIu64 " timeouts, loss %.3f %.3f%s%s\n",
		sim->seed, sim->aborts ? " aborts" : "", sim->outage_end ? " outage" : "",
		sim->conns, bytes, (double)took / 1e9, retransmits, timeouts,
		sim->links[0].faults.loss, sim->links[1].faults.loss,
		sim->failure ? ": FAILED: " : "", sim->failure ? sim->failure : "");
}

static void teardown(struct sim *sim)
{
	for (unsigned i = 0; i < 2; i++) {
		tcp_stack_destroy(sim->sides[i].stack);
		lossy_link_fini(&sim->links[i]);
		if (buf_pool_bytes(sim->sides[i].pool) != 0)
			fail(sim, "the senders' blocks leak");
		else
			buf_pool_destroy(sim->sides[i].pool);
	}
	if (sim->bufs_out != 0)
		fail(sim, "packets leak");
	if (chain_nodes_in_use() != 0)
		fail(sim, "chain nodes leak");
}

static bool run(uint64_t seed)
{
	static struct sim sim;
	ns_t start;

	setup(&sim, seed);
	start = sim.now;
	open_all(&sim);
	flush(&sim, &sim.sides[0]);
	while (!all_done(&sim) && !sim.failure) {
		ns_t next = next_event(&sim);

		if (next == NS_NEVER || next - start > VIRTUAL_MAX) {
			fail(&sim, next == NS_NEVER ? "nothing happens any more"
						    : "it takes too long");
			break;
		}
		if (next > sim.now)
			sim.now = next;
		step_side(&sim, 0);
		step_side(&sim, 1);
	}
	if (verbose || sim.failure)
		report(&sim, sim.now - start);
	teardown(&sim);
	if (sim.failure)
		printf("seed %" PRIu64 " failed: %s; replay: sim-tcp -v %" PRIu64 " 1\n", seed,
			sim.failure, seed);
	return !sim.failure;
}

int main(int argc, char **argv)
{
	uint64_t first = 1, count = 60, failed = 0;
	int at = 1;

	for (; at < argc && argv[at][0] == '-'; at++) {
		verbose |= strcmp(argv[at], "-v") == 0;
		trace |= strcmp(argv[at], "-t") == 0;
	}
	if (at < argc)
		first = strtoull(argv[at++], NULL, 10);
	if (at < argc)
		count = strtoull(argv[at++], NULL, 10);
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (uint64_t i = 0; i < count; i++)
		failed += !run(first + i);
	printf("%" PRIu64 " seeds from %" PRIu64 ", %" PRIu64 " failed\n", count, first, failed);
	chain_nodes_free();
	return failed ? 1 : 0;
}
