// SPDX-License-Identifier: Apache-2.0
// See net_fixture.h.
#include "test/unit/net_fixture.h"

const uint8_t our_mac[2][6] = {{2, 0, 0, 0, 0, 2}, {2, 0, 0, 0, 1, 2}};
const uint8_t peer_mac[6] = {2, 0, 0, 0, 0, 1};
const uint8_t other_mac[6] = {2, 0, 0, 0, 0, 9};
const uint8_t broadcast_mac[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

struct ip_addr ip(const char *text)
{
	struct ip_addr addr;

	assert_int_equal(ip_parse(text, &addr), 0);
	return addr;
}

uint32_t ip_be(const char *text)
{
	struct ip_addr addr = ip(text);

	return ip_v4_be(&addr);
}

int fixture_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct net_setup setup = {.ports = 2, .seed = 42, .announce = true};

	for (unsigned i = 0; i < 2; i++) {
		memcpy(setup.port[i].mac, our_mac[i], 6);
		setup.port[i].mtu = 1500;
	}
	f->now = START;
	timer_wheel_init(&f->wheel, f->now);
	f->net = net_new(&setup, &f->wheel, f->now);
	assert_non_null(f->net);
	assert_int_equal(net_config_add_address_text(&f->config, "10.77.0.2/24", 0), 0);
	assert_int_equal(net_config_add_address_text(&f->config, "192.168.5.1/30", 1), 0);
	assert_int_equal(net_config_add_route_text(&f->config, "default", "10.77.0.254"), 0);
	net_apply(f->net, &f->config, f->now);
	pass(f, 3 * NS_PER_SEC);
	while (net_output(f->net, &f->out))
		;  // the announcements, which have a test of their own
	*state = f;
	return 0;
}

void fixture_destroy(struct fixture *f)
{
	net_destroy(f->net);
	free(f);
}

int fixture_teardown(void **state)
{
	struct fixture *f = *state;

	// Whatever waits for a neighbour is given up in the end.
	for (unsigned i = 0; i < 100; i++) {
		while (net_output(f->net, &f->out))
			;
		pass(f, 100 * NS_PER_MS);
	}
	assert_int_equal(net_packets(f->net), 0);
	assert_int_equal(net_neighbours_waiting(f->net), 0);
	fixture_destroy(f);
	return 0;
}

static void ether(struct fixture *f, const uint8_t *to, const uint8_t *from, unsigned type)
{
	memcpy(f->frame, to, 6);
	memcpy(f->frame + 6, from, 6);
	f->frame[12] = (uint8_t)(type >> 8);
	f->frame[13] = (uint8_t)type;
}

void arp_frame(struct fixture *f, const uint8_t *to, unsigned operation, const uint8_t *sender_mac,
	const char *sender, const char *target)
{
	static const uint8_t kind[7] = {0, 1, 8, 0, 6, 4, 0};
	uint8_t *at = f->frame + 14;
	uint32_t sender_ip = ip_be(sender), target_ip = ip_be(target);

	memset(f->frame, 0, 60);
	ether(f, to, sender_mac, 0x0806);
	memcpy(at, kind, 7);
	at[7] = (uint8_t)operation;
	memcpy(at + 8, sender_mac, 6);
	memcpy(at + 14, &sender_ip, 4);
	if (operation == ARP_REPLY)
		memcpy(at + 18, our_mac[0], 6);
	memcpy(at + 24, &target_ip, 4);
	f->len = 60;  // Ethernet's least, padded
}

uint8_t *ip_at(struct fixture *f, unsigned offset)
{
	return f->frame + 14 + offset;
}

void ip_sum(struct fixture *f)
{
	uint16_t sum;

	memset(ip_at(f, 10), 0, 2);
	sum = checksum(ip_at(f, 0), (*ip_at(f, 0) & 15u) * 4);
	memcpy(ip_at(f, 10), &sum, 2);
}

void ip_frame(struct fixture *f, const uint8_t *to, const char *src, const char *dst,
	unsigned protocol, const void *payload, uint32_t len)
{
	uint32_t src_ip = ip_be(src), dst_ip = ip_be(dst);
	uint8_t *h = ip_at(f, 0);

	ether(f, to, peer_mac, 0x0800);
	memset(h, 0, 20);
	h[0] = 0x45;
	h[1] = 10 << 2;
	h[2] = (uint8_t)((20 + len) >> 8);
	h[3] = (uint8_t)(20 + len);
	h[8] = 1;  // the least time to live there is
	h[9] = (uint8_t)protocol;
	memcpy(h + 12, &src_ip, 4);
	memcpy(h + 16, &dst_ip, 4);
	ip_sum(f);
	memcpy(h + 20, payload, len);
	f->len = 34 + len;
}

uint32_t icmp_message(uint8_t *to, unsigned type, unsigned code, const void *rest, uint32_t len)
{
	uint16_t sum;

	memset(to, 0, 4);
	to[0] = (uint8_t)type;
	to[1] = (uint8_t)code;
	memcpy(to + 4, rest, len);
	sum = checksum(to, 4 + len);
	memcpy(to + 2, &sum, 2);
	return 4 + len;
}

enum net_verdict feed_port(struct fixture *f, unsigned port)
{
	uint8_t *exact = malloc(f->len ? f->len : 1);
	struct buf *buf = (struct buf *)(void *)exact;  // passed through, never looked into
	struct net_rx rx = {.port = (uint8_t)port, .len = f->len, .data = exact, .buf = buf};
	enum net_verdict verdict;

	memcpy(exact, f->frame, f->len);
	verdict = net_input(f->net, &rx, &f->up, f->now);
	if (verdict == NET_TCP) {
		// The test looks at it after the memory is gone.
		assert_ptr_equal(f->up.tcp.buf, buf);
		assert_true(f->up.tcp.data >= exact &&
			    f->up.tcp.data + f->up.tcp.len <= exact + f->len);
		f->up.tcp.data = f->frame + (f->up.tcp.data - exact);
	} else if (verdict == NET_TCP_ERROR) {
		assert_true(f->up.error.quoted >= exact &&
			f->up.error.quoted + f->up.error.len <= exact + f->len);
		f->up.error.quoted = f->frame + (f->up.error.quoted - exact);
	}
	free(exact);
	return verdict;
}

enum net_verdict feed(struct fixture *f)
{
	return feed_port(f, 0);
}

void take(struct fixture *f)
{
	assert_true(net_output(f->net, &f->out));
}

void expect_silence(struct fixture *f)
{
	assert_false(net_output(f->net, &f->out));
}

void pass(struct fixture *f, ns_t span)
{
	ns_t end = f->now + span;

	while (f->now < end) {
		f->now += 50 * NS_PER_MS;
		timer_wheel_run(&f->wheel, f->now);
	}
}

void introduce(struct fixture *f, const char *addr, const uint8_t *mac)
{
	struct net_news news;

	arp_frame(f, broadcast_mac, ARP_REQUEST, mac, addr, "10.77.0.2");
	assert_int_equal(feed(f), NET_DONE);
	take(f);
	expect_silence(f);
	while (net_news(f->net, &news))
		;
}
