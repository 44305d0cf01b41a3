// SPDX-License-Identifier: Apache-2.0
// Ethernet, IPv4, ICMP, routes and configuration: RFC 791, 792, 1122.
#include <errno.h>
#include <stdio.h>

#include "test/unit/net_fixture.h"

static const uint8_t segment[24] = {0x30, 0x39, 0x1e, 0xc6, 1, 2, 3, 4, 5, 6, 7, 8, 0x50, 2};

static void tcp_frame(struct fixture *f)
{
	ip_frame(f, our_mac[0], "10.77.0.1", "10.77.0.2", TCP, segment, sizeof(segment));
}

static void tcp_goes_up(void **state)
{
	struct fixture *f = *state;

	tcp_frame(f);
	// RFC 1122 3.2.1.7: a time to live of 1 is good enough on arrival. Padding of short
	// frames is not payload.
	f->len += 6;
	assert_int_equal(feed(f), NET_TCP);
	assert_int_equal(f->up.tcp.len, sizeof(segment));
	assert_memory_equal(f->up.tcp.data, segment, sizeof(segment));
	assert_false(f->up.tcp.broadcast);
	assert_false(f->up.tcp.checksum_good);
	assert_int_equal(f->up.tcp.dscp, 10);
	assert_int_equal(ip_v4_be(&f->up.tcp.src), ip_be("10.77.0.1"));
	assert_int_equal(ip_v4_be(&f->up.tcp.dst), ip_be("10.77.0.2"));
	// To an address of another port: hosts are one, whichever way one comes in (weak model,
	// RFC 1122 3.3.4.2).
	ip_frame(f, our_mac[0], "10.77.0.1", "192.168.5.1", TCP, segment, sizeof(segment));
	assert_int_equal(feed(f), NET_TCP);
}

static void options_are_skipped(void **state)
{
	struct fixture *f = *state;
	uint8_t padded[12 + sizeof(segment)] = {1, 1, 1, 1, 7, 8, 4, 0, 0, 0, 0, 0};

	memcpy(padded + 12, segment, sizeof(segment));
	ip_frame(f, our_mac[0], "10.77.0.1", "10.77.0.2", TCP, padded, sizeof(padded));
	*ip_at(f, 0) = 0x48;
	ip_sum(f);
	assert_int_equal(feed(f), NET_TCP);
	assert_int_equal(f->up.tcp.len, sizeof(segment));
	assert_memory_equal(f->up.tcp.data, segment, sizeof(segment));
}

struct breakage {
	const char *name;
	unsigned at;       // of the IP header
	uint8_t value;
	size_t counter;
};

#define COUNTER(name) offsetof(struct net_counters, name)

static uint64_t counter_at(struct fixture *f, size_t offset)
{
	uint64_t value;

	memcpy(&value, (const char *)net_counters(f->net) + offset, sizeof(value));
	return value;
}

static void broken_headers_are_counted(void **state)
{
	static const struct breakage table[] = {
		{"version 6", 0, 0x65, COUNTER(drop_ip_header)},
		{"header of 16 bytes", 0, 0x44, COUNTER(drop_ip_header)},
		{"header longer than the packet", 0, 0x4f, COUNTER(drop_ip_header)},
		{"total longer than the frame", 3, 45, COUNTER(drop_ip_header)},
		{"total shorter than the header", 3, 19, COUNTER(drop_ip_header)},
		{"first fragment", 6, 0x20, COUNTER(drop_fragment)},
		{"last fragment", 7, 1, COUNTER(drop_fragment)},
		{"middle fragment, high bits", 6, 0x1f, COUNTER(drop_fragment)},
		{"from nowhere", 12, 0, COUNTER(drop_ip_source)},
		{"from loopback", 12, 127, COUNTER(drop_ip_source)},
		{"from a group", 12, 0xe1, COUNTER(drop_ip_source)},
		{"from class E", 12, 0xf0, COUNTER(drop_ip_source)},
		{"from the network's broadcast", 15, 255, COUNTER(drop_ip_source)},
		{"from ourselves", 15, 2, COUNTER(drop_ip_source)},
		{"to a neighbour", 19, 3, COUNTER(drop_ip_not_ours)},
		{"of protocol 47", 9, 47, COUNTER(drop_protocol)},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		uint64_t before = counter_at(f, table[i].counter);

		tcp_frame(f);
		*ip_at(f, table[i].at) = table[i].value;
		if (table[i].at != 0)
			ip_sum(f);
		if (feed(f) != NET_DONE || counter_at(f, table[i].counter) != before + 1)
			fail_msg("%s", table[i].name);
		while (net_output(f->net, &f->out))
			;
	}
}

static void every_wrong_checksum_is_seen(void **state)
{
	struct fixture *f = *state;

	for (unsigned bit = 0; bit < 160; bit++) {
		tcp_frame(f);
		// Not the version, header length and total length: those fail before.
		if (bit < 8 || (bit >= 16 && bit < 32))
			continue;
		*ip_at(f, bit / 8) ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(feed(f), NET_DONE);
	}
	assert_int_equal(net_counters(f->net)->drop_ip_checksum, 160 - 24);
	expect_silence(f);
}

static void short_frames_are_dropped(void **state)
{
	struct fixture *f = *state;
	uint32_t whole;

	tcp_frame(f);
	whole = f->len;
	for (f->len = 0; f->len < whole; f->len++)
		assert_int_equal(feed(f), NET_DONE);
	assert_int_equal(net_counters(f->net)->drop_short, 14);
	assert_int_equal(net_counters(f->net)->drop_ip_header, whole - 14);
}

static void frames_for_others_are_dropped(void **state)
{
	struct fixture *f = *state;

	ip_frame(f, other_mac, "10.77.0.1", "10.77.0.2", TCP, segment, sizeof(segment));
	assert_int_equal(feed(f), NET_DONE);
	assert_int_equal(net_counters(f->net)->drop_ethernet_address, 1);
	tcp_frame(f);
	assert_int_equal(feed_port(f, 1), NET_DONE);
	assert_int_equal(net_counters(f->net)->drop_ethernet_address, 2);
	tcp_frame(f);
	f->frame[12] = 0x86;
	f->frame[13] = 0xdd;
	assert_int_equal(feed(f), NET_DONE);
	assert_int_equal(net_counters(f->net)->drop_ethernet_type, 1);
}

static void broadcasts_are_marked(void **state)
{
	static const char *const to[] = {"10.77.0.255", "255.255.255.255", "224.0.0.1"};
	struct fixture *f = *state;

	for (unsigned i = 0; i < 3; i++) {
		ip_frame(f, broadcast_mac, "10.77.0.1", to[i], TCP, segment, sizeof(segment));
		assert_int_equal(feed(f), NET_TCP);
		assert_true(f->up.tcp.broadcast);
	}
	// Our address in a broadcast frame (RFC 1122 3.3.6 would have it ignored).
	ip_frame(f, broadcast_mac, "10.77.0.1", "10.77.0.2", TCP, segment, sizeof(segment));
	assert_int_equal(feed(f), NET_TCP);
	assert_true(f->up.tcp.broadcast);
}

static void echo_is_answered(void **state)
{
	struct fixture *f = *state;
	uint8_t rest[1472 + 4], message[1480];
	uint32_t len;

	introduce(f, "10.77.0.1", peer_mac);
	for (unsigned i = 0; i < sizeof(rest); i++)
		rest[i] = (uint8_t)(i * 7);
	// Odd lengths have a checksum of their own kind; the largest fills the MTU.
	for (unsigned size = 4; size <= sizeof(rest); size = size < 11 ? size + 1 : size + 1465) {
		len = icmp_message(message, 8, 0, rest, size);
		ip_frame(f, our_mac[0], "10.77.0.1", "10.77.0.2", ICMP, message, len);
		assert_int_equal(feed(f), NET_DONE);
		take(f);
		assert_int_equal(f->out.len, 34 + len);
		assert_memory_equal(f->out.data, peer_mac, 6);
		assert_int_equal(checksum(f->out.data + 14, 20), 0);
		assert_int_equal(checksum(f->out.data + 34, len), 0);
		assert_int_equal(f->out.data[22], 64);
		assert_int_equal(f->out.data[34], 0);
		assert_memory_equal(f->out.data + 38, rest, size);
		expect_silence(f);
	}
}

static void echo_to_a_broadcast_is_not(void **state)
{
	struct fixture *f = *state;
	static const uint8_t rest[32];
	uint8_t message[64] = {0};
	uint32_t len = icmp_message(message, 8, 0, rest, 8);

	// RFC 1122 3.2.2.6
	introduce(f, "10.77.0.1", peer_mac);
	ip_frame(f, broadcast_mac, "10.77.0.1", "10.77.0.255", ICMP, message, len);
	feed(f);
	ip_frame(f, our_mac[0], "10.77.0.1", "10.77.0.2", ICMP, message, len);
	*ip_at(f, 22) ^= 1;  // its checksum
	feed(f);
	ip_frame(f, our_mac[0], "10.77.0.1", "10.77.0.2", ICMP, message, 7);
	feed(f);
	len = icmp_message(message, 5, 1, rest, 32);  // a redirect
	ip_frame(f, our_mac[0], "10.77.0.1", "10.77.0.2", ICMP, message, len);
	feed(f);
	expect_silence(f);
	assert_int_equal(net_counters(f->net)->drop_icmp, 4);
}

static void an_echo_from_afar_takes_the_route(void **state)
{
	struct fixture *f = *state;
	static const uint8_t rest[32];
	uint8_t message[64] = {0};
	uint32_t len = icmp_message(message, 8, 0, rest, 8);

	ip_frame(f, our_mac[0], "8.8.4.4", "10.77.0.2", ICMP, message, len);
	feed(f);
	take(f);  // asks for the router
	assert_int_equal(f->out.data[13], 0x06);
	assert_memory_equal(f->out.data + 38, "\x0a\x4d\x00\xfe", 4);
	expect_silence(f);
	arp_frame(f, our_mac[0], ARP_REPLY, other_mac, "10.77.0.254", "10.77.0.2");
	feed(f);
	take(f);
	assert_memory_equal(f->out.data, other_mac, 6);
	assert_memory_equal(f->out.data + 30, "\x08\x08\x04\x04", 4);
}

static void closed_udp_ports_say_so(void **state)
{
	struct fixture *f = *state;
	uint8_t datagram[1000] = {0, 99, 0, 7, 3, 232};
	unsigned replies = 0;

	introduce(f, "10.77.0.1", peer_mac);
	ip_frame(f, our_mac[0], "10.77.0.1", "10.77.0.2", UDP, datagram, sizeof(datagram));
	feed(f);
	take(f);
	// Type 3 code 3, quoting the header and as much as fits 576 bytes (RFC 1122 4.1.3.1).
	assert_int_equal(f->out.len, 14 + 576);
	assert_memory_equal(f->out.data + 34, "\x03\x03", 2);
	assert_int_equal(checksum(f->out.data + 34, f->out.len - 34), 0);
	assert_memory_equal(f->out.data + 42, ip_at(f, 0), 548);
	// Limited, and never about a broadcast.
	for (unsigned i = 0; i < 200; i++) {
		feed(f);
		while (net_output(f->net, &f->out))
			replies++;
	}
	assert_int_equal(replies, 49);
	assert_int_equal(net_counters(f->net)->icmp_limited, 151);
	pass(f, NS_PER_SEC);
	ip_frame(f, broadcast_mac, "10.77.0.1", "10.77.0.255", UDP, datagram, sizeof(datagram));
	feed(f);
	expect_silence(f);
}

// An error from a router about a segment that we sent to dst.
static void icmp_error(struct fixture *f, unsigned type, unsigned code, const char *src,
	unsigned protocol, uint32_t quote)
{
	uint8_t rest[4 + 20 + sizeof(segment)] = {0, 0, 0x05, 0x78}, message[128];

	ip_frame(f, our_mac[0], src, "10.77.0.1", protocol, segment, sizeof(segment));
	memcpy(rest + 4, ip_at(f, 0), 20 + sizeof(segment));
	ip_frame(f, our_mac[0], "10.77.0.254", "10.77.0.2", ICMP, message,
		icmp_message(message, type, code, rest, 4 + quote));
}

static void errors_about_tcp_go_up(void **state)
{
	struct fixture *f = *state;

	icmp_error(f, 3, 4, "10.77.0.2", TCP, 28);
	assert_int_equal(feed(f), NET_TCP_ERROR);
	assert_int_equal(f->up.error.mtu, 1400);
	assert_int_equal(f->up.error.type, 3);
	assert_int_equal(f->up.error.code, 4);
	assert_int_equal(f->up.error.len, 8);
	assert_memory_equal(f->up.error.quoted, segment, 8);
	assert_int_equal(ip_v4_be(&f->up.error.local), ip_be("10.77.0.2"));
	assert_int_equal(ip_v4_be(&f->up.error.remote), ip_be("10.77.0.1"));
	icmp_error(f, 3, 1, "10.77.0.2", TCP, 44);
	assert_int_equal(feed(f), NET_TCP_ERROR);
	assert_int_equal(f->up.error.mtu, 0);
	assert_int_equal(f->up.error.len, 24);
	icmp_error(f, 11, 0, "10.77.0.2", TCP, 28);
	assert_int_equal(feed(f), NET_TCP_ERROR);
	// Not ours, not TCP, cut short.
	icmp_error(f, 3, 1, "10.77.0.3", TCP, 28);
	assert_int_equal(feed(f), NET_DONE);
	icmp_error(f, 3, 1, "10.77.0.2", UDP, 28);
	assert_int_equal(feed(f), NET_DONE);
	for (uint32_t quote = 0; quote < 28; quote++) {
		icmp_error(f, 3, 1, "10.77.0.2", TCP, quote);
		assert_int_equal(feed(f), NET_DONE);
	}
	expect_silence(f);
}

static void the_longest_prefix_wins(void **state)
{
	struct fixture *f = *state;
	struct net_path path;
	struct ip_addr addr;
	static const char *const cases[][2] = {
		{"9.9.9.9", "10.77.0.254"},
		{"172.16.9.9", "10.77.0.100"},
		{"172.16.1.9", "192.168.5.2"},
		{"172.16.1.7", "10.77.0.101"},
		{"10.77.0.77", "10.77.0.77"},
	};

	assert_int_equal(net_config_add_route_text(&f->config, "172.16.0.0/12", "10.77.0.100"), 0);
	assert_int_equal(net_config_add_route_text(&f->config, "172.16.1.0/24", "192.168.5.2"), 0);
	assert_int_equal(net_config_add_route_text(&f->config, "172.16.1.7/32", "10.77.0.101"), 0);
	net_apply(f->net, &f->config, f->now);
	for (unsigned i = 0; i < 5; i++) {
		uint32_t asked = ip_be(cases[i][1]);

		addr = ip(cases[i][0]);
		assert_int_equal(net_path(f->net, &addr, f->now, &path), -EINPROGRESS);
		assert_int_equal(path.port, i == 2);
		take(f);
		assert_int_equal(f->out.port, i == 2);
		assert_memory_equal(f->out.data + 38, &asked, 4);
	}
	addr = ip("fd77::1");
	assert_int_equal(net_path(f->net, &addr, f->now, &path), -ENETUNREACH);
}

static void headers_are_written_as_they_are_read(void **state)
{
	struct fixture *f = *state;
	struct net_path path = {.src_mac = {2, 0, 0, 0, 0, 1}};
	struct net_ip head = {.src = ip("10.77.0.1"), .dst = ip("10.77.0.2"), .ttl = 64, .dscp = 46,
		.protocol = TCP, .payload_len = sizeof(segment)};

	memcpy(path.dst_mac, our_mac[0], 6);
	net_write_headers(&path, &head, f->frame, false);
	memcpy(f->frame + 34, segment, sizeof(segment));
	f->len = 34 + sizeof(segment);
	assert_int_equal(feed(f), NET_TCP);
	assert_int_equal(f->up.tcp.dscp, 46);
	assert_memory_equal(f->up.tcp.data, segment, sizeof(segment));
	assert_int_equal(*ip_at(f, 6), 0x40);  // never fragmented on the way
	net_write_headers(&path, &head, f->frame, true);
	assert_memory_equal(ip_at(f, 10), "\0\0", 2);
}

static void the_configuration_is_checked(void **state)
{
	struct net_config c = {0};
	char text[32];

	(void)state;
	assert_int_equal(net_config_add_address_text(&c, "10.0.0.1", 0), -EINVAL);
	assert_int_equal(net_config_add_address_text(&c, "10.0.0.0/24", 0), -EINVAL);
	assert_int_equal(net_config_add_address_text(&c, "10.0.0.255/24", 0), -EINVAL);
	assert_int_equal(net_config_add_address_text(&c, "127.0.0.1/8", 0), -EINVAL);
	assert_int_equal(net_config_add_address_text(&c, "224.0.0.1/24", 0), -EINVAL);
	assert_int_equal(net_config_add_address_text(&c, "10.0.0.1/24", NET_PORTS_MAX), -EINVAL);
	assert_int_equal(net_config_add_address_text(&c, "10.0.0.0/31", 0), 0);  // RFC 3021
	assert_int_equal(net_config_add_address_text(&c, "10.1.0.5/24", 0), 0);
	assert_int_equal(net_config_add_address_text(&c, "10.1.0.5/16", 1), -EEXIST);
	assert_int_equal(net_config_add_address_text(&c, "fd77::2/64", 0), 0);
	assert_int_equal(net_config_add_route_text(&c, "default", "10.2.0.1"), -ENETUNREACH);
	assert_int_equal(net_config_add_route_text(&c, "default", "10.1.0.5"), -ENETUNREACH);
	assert_int_equal(net_config_add_route_text(&c, "default", "nonsense"), -EINVAL);
	assert_int_equal(net_config_add_route_text(&c, "10.3.0.1/24", "10.1.0.1"), -EINVAL);
	assert_int_equal(net_config_add_route_text(&c, "fd00::/8", "10.1.0.1"), -EINVAL);
	assert_int_equal(net_config_add_route_text(&c, "default", "10.1.0.1"), 0);
	assert_int_equal(net_config_add_route_text(&c, "0.0.0.0/0", "10.1.0.2"), -EEXIST);
	assert_int_equal(net_config_add_route_text(&c, "default", "fd77::1"), 0);
	assert_int_equal(net_config_add_listener(&c, 0), -EINVAL);
	assert_int_equal(net_config_add_listener(&c, 65536), -EINVAL);
	for (unsigned i = 1; i <= NET_LISTENERS_MAX; i++)
		assert_int_equal(net_config_add_listener(&c, i), 0);
	assert_int_equal(net_config_add_listener(&c, 3), -EEXIST);
	assert_int_equal(net_config_add_listener(&c, 7878), -ENOSPC);
	assert_true(net_config_has_listener(&c, 16));
	assert_false(net_config_has_listener(&c, 17));
	for (unsigned i = c.addresses; i < NET_ADDRESSES_MAX; i++) {
		snprintf(text, sizeof(text), "10.9.%u.1/24", i);
		assert_int_equal(net_config_add_address_text(&c, text, 0), 0);
	}
	assert_int_equal(net_config_add_address_text(&c, "10.10.0.1/24", 0), -ENOSPC);
}

static void an_address_of_another_family_does_no_harm(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(net_config_add_address_text(&f->config, "fd77::2/64", 0), 0);
	assert_int_equal(net_config_add_route_text(&f->config, "default", "fd77::1"), 0);
	net_apply(f->net, &f->config, f->now);
	tcp_frame(f);
	assert_int_equal(feed(f), NET_TCP);
	expect_silence(f);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(tcp_goes_up),
		TEST(options_are_skipped),
		TEST(broken_headers_are_counted),
		TEST(every_wrong_checksum_is_seen),
		TEST(short_frames_are_dropped),
		TEST(frames_for_others_are_dropped),
		TEST(broadcasts_are_marked),
		TEST(echo_is_answered),
		TEST(echo_to_a_broadcast_is_not),
		TEST(an_echo_from_afar_takes_the_route),
		TEST(closed_udp_ports_say_so),
		TEST(errors_about_tcp_go_up),
		TEST(the_longest_prefix_wins),
		TEST(headers_are_written_as_they_are_read),
		TEST(the_configuration_is_checked),
		TEST(an_address_of_another_family_does_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
