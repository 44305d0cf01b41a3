// SPDX-License-Identifier: Apache-2.0
// Fuzzes what a port hands up: a run of frames, time that passes between them, and paths asked for.
//
// Input: records of u8 op, u8 argument, u16 length (big endian), bytes. op & 3: 0 and 1 receive
// the bytes on port 0 or 1 (argument bit 0: repair the IPv4 and ICMP checksums first, so that the
// fuzzer gets past them), 2 lets argument * 50 ms pass, 3 asks for the path to an address and
// defers a frame.
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/net/checksum.h"
#include "dataplane/net/net.h"
#include "lib/base/cursor.h"

#define MTU 1500

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct bench {
	struct net *net;
	struct timer_wheel wheel;
	ns_t now;
};

static void start(struct bench *b)
{
	struct net_setup setup = {.ports = 2, .seed = 1, .announce = true};
	struct net_config config = {0};

	for (unsigned i = 0; i < 2; i++)
		setup.port[i] = (struct net_port){.mac = {2, 0, 0, 0, (uint8_t)i, 2}, .mtu = MTU};
	b->now = NS_PER_SEC;
	timer_wheel_init(&b->wheel, b->now);
	b->net = net_new(&setup, &b->wheel, b->now);
	if (!b->net)
		abort();
	net_config_add_address_text(&config, "10.77.0.2/24", 0);
	net_config_add_address_text(&config, "192.168.5.1/30", 1);
	net_config_add_route_text(&config, "default", "10.77.0.254");
	net_apply(b->net, &config, b->now);
}

static void put_sum(uint8_t *from, size_t len, uint8_t *field)
{
	uint16_t sum = 0;

	memcpy(field, &sum, 2);
	sum = checksum(from, len);
	memcpy(field, &sum, 2);
}

static void repair(uint8_t *frame, size_t len)
{
	size_t header;

	if (len < NET_HEADERS)
		return;
	header = (frame[NET_ETHER_HEADER] & 15u) * 4;
	if (header < NET_IPV4_HEADER || NET_ETHER_HEADER + header > len)
		return;
	put_sum(frame + NET_ETHER_HEADER, header, frame + NET_ETHER_HEADER + 10);
	if (frame[NET_ETHER_HEADER + 9] == 1 && len >= NET_ETHER_HEADER + header + 8)
		put_sum(frame + NET_ETHER_HEADER + header, len - NET_ETHER_HEADER - header,
			frame + NET_ETHER_HEADER + header + 2);
}

// Whatever is handed up lies within the frame.
static void check_up(
	enum net_verdict verdict, const union net_up *up, const uint8_t *frame, size_t len)
{
	if (verdict == NET_TCP) {
		assert(up->tcp.data >= frame && up->tcp.data + up->tcp.len <= frame + len);
		assert(ip_is_v4(&up->tcp.src) && ip_is_v4(&up->tcp.dst));
	} else if (verdict == NET_TCP_ERROR) {
		assert(up->error.quoted >= frame &&
			up->error.quoted + up->error.len <= frame + len);
		assert(up->error.len >= 8);
	}
}

// Everything that is sent is well-formed.
static void check_output(struct bench *b)
{
	struct net_tx tx;

	while (net_output(b->net, &tx)) {
		assert(tx.port < 2 && tx.len >= 42 && tx.len <= NET_ETHER_HEADER + MTU);
		assert((tx.data[6] & 1) == 0 && tx.data[10] == tx.port);
		if (tx.data[13] == 0)
			assert(checksum(tx.data + NET_ETHER_HEADER, NET_IPV4_HEADER) == 0);
	}
	assert(net_neighbours(b->net) + net_neighbours_waiting(b->net) <= 1024);
}

static void receive(struct bench *b, unsigned port, bool fix, const uint8_t *bytes, size_t len)
{
	uint8_t *frame = malloc(len ? len : 1);
	struct net_rx rx = {.port = (uint8_t)port, .len = (uint32_t)len, .data = frame};
	union net_up up;

	memcpy(frame, bytes, len);
	if (fix)
		repair(frame, len);
	check_up(net_input(b->net, &rx, &up, b->now), &up, frame, len);
	free(frame);
}

static void ask(struct bench *b, const uint8_t *bytes, size_t len)
{
	struct ip_addr dst = ip_from_v4(0);
	struct net_path path;
	uint8_t *to;

	memcpy(&dst.w[3], bytes, len < 4 ? len : 4);
	if (net_path(b->net, &dst, b->now, &path) != -EINPROGRESS)
		return;
	to = net_defer(b->net, &path, NET_HEADERS + 20);
	if (to)
		net_write_headers(&path,
			&(struct net_ip){
				.src = ip_from_v4(0), .dst = dst, .ttl = 64, .payload_len = 20},
			to, false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct reader r = reader_of(data, len);
	struct bench b;
	struct net_news news;

	start(&b);
	for (unsigned i = 0; i < 64 && reader_left(&r) > 4; i++) {
		uint8_t op = reader_u8(&r), argument = reader_u8(&r);
		size_t n = reader_u16(&r);
		const uint8_t *bytes;

		n = n < reader_left(&r) ? n : reader_left(&r);
		bytes = reader_take(&r, n);
		if ((op & 3) < 2)
			receive(&b, op & 1, argument & 1, bytes, n);
		else if ((op & 3) == 2)
			b.now += argument * 50 * NS_PER_MS;
		else
			ask(&b, bytes, n);
		timer_wheel_run(&b.wheel, b.now);
		check_output(&b);
		while (net_news(b.net, &news))
			;
	}
	for (unsigned i = 0; i < 100; i++) {
		b.now += 100 * NS_PER_MS;
		timer_wheel_run(&b.wheel, b.now);
		check_output(&b);
	}
	assert(net_packets(b.net) == 0 && net_neighbours_waiting(b.net) == 0);
	net_destroy(b.net);
	return 0;
}
