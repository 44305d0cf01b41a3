// SPDX-License-Identifier: Apache-2.0
// IPv4 of a host (RFC 791, RFC 1122 3.2): checks what comes in, finds the way for what goes out.
//
// Worker thread. We forward nothing, reassemble nothing and skip options. What we send is never
// fragmented (DF), so its identification is 0 (RFC 6864 4.1).
#include "dataplane/net/internal.h"

#include <errno.h>

#include "dataplane/net/checksum.h"

#define MORE_FRAGMENTS 0x2000
#define DONT_FRAGMENT 0x4000
#define FRAGMENT_OFFSET 0x1fff

#define UNREACHABLE_PROTOCOL 2
#define UNREACHABLE_PORT 3

int ipv4_parse(const uint8_t *data, uint32_t len, bool whole, struct ipv4 *out)
{
	uint32_t total, header;

	if (len < NET_IPV4_HEADER || data[0] >> 4 != 4)
		return -EINVAL;
	header = (data[0] & 15u) * 4;
	total = (uint32_t)data[2] << 8 | data[3];
	if (header < NET_IPV4_HEADER || header > len || total < header || (whole && total > len))
		return -EINVAL;
	if (total > len)
		total = len;
	*out = (struct ipv4){
		.src = read_be32(data + 12),
		.dst = read_be32(data + 16),
		.protocol = data[9],
		.dscp = data[1] >> 2,
		.header_len = (uint8_t)header,
		.packet = data,
		.payload = data + header,
		.len = total -
		       header, // Ethernet pads short frames: what lies behind is not ours to see
	};
	return 0;
}

static bool fragment(const struct ipv4 *ip)
{
	unsigned flags = (unsigned)ip->packet[6] << 8 | ip->packet[7];

	return (flags & (MORE_FRAGMENTS | FRAGMENT_OFFSET)) != 0;
}

static bool multicast(uint32_t ip)
{
	return (((const uint8_t *)&ip)[0] & 0xf0) == 0xe0;
}

static bool broadcast(const struct net *net, uint32_t ip)
{
	if (ip == UINT32_MAX)
		return true;
	for (unsigned i = 0; i < net->locals; i++) {
		const struct local *l = &net->local[i];

		// A network of two hosts or one has no broadcast address (RFC 3021).
		if (l->mask != mask_be(32) && l->mask != mask_be(31) && ip == (l->ip | ~l->mask))
			return true;
	}
	return false;
}

// RFC 1122 3.2.1.3: group addresses, this-network and loopback are no sources; nor are we.
static bool source_good(struct net *net, uint32_t ip)
{
	uint8_t first = ((const uint8_t *)&ip)[0];

	return first != 0 && first != 127 && first < 0xe0 && !broadcast(net, ip) &&
		!local_find(net, ip);
}

static enum net_verdict tcp_up(
	const struct net_rx *rx, const struct ipv4 *ip, union net_up *up)
{
	up->tcp = (struct tcp_rx){
		.src = ip_from_v4(ip->src),
		.dst = ip_from_v4(ip->dst),
		.buf = rx->buf,
		.data = ip->payload,
		.len = ip->len,
		.checksum_good = rx->l4_checksum_good,
		.broadcast = ip->broadcast,
		.dscp = ip->dscp,
	};
	return NET_TCP;
}

static enum net_verdict other_up(struct net *net, const struct ipv4 *ip, ns_t now)
{
	bool udp = ip->protocol == IP_PROTOCOL_UDP;

	count(udp ? &net->counters.drop_udp : &net->counters.drop_protocol);
	// RFC 1122 4.1.3.1 (port), 3.2.2.1 (protocol).
	icmp_unreachable(net, ip, udp ? UNREACHABLE_PORT : UNREACHABLE_PROTOCOL, now);
	return NET_DONE;
}

enum net_verdict ipv4_input(
	struct net *net, const struct net_rx *rx, union net_up *up, bool link_broadcast, ns_t now)
{
	struct ipv4 ip;
	uint64_t *drop = NULL;

	if (ipv4_parse(rx->data + NET_ETHER_HEADER, rx->len - NET_ETHER_HEADER, true, &ip)) {
		count(&net->counters.drop_ip_header);
		return NET_DONE;
	}
	// A time to live of any value is fine on arrival (RFC 1122 3.2.1.7).
	ip.broadcast = link_broadcast || multicast(ip.dst) || broadcast(net, ip.dst);
	if (!rx->ip_checksum_good && checksum(ip.packet, ip.header_len) != 0)
		drop = &net->counters.drop_ip_checksum;
	else if (!source_good(net, ip.src))
		drop = &net->counters.drop_ip_source;
	else if (!local_find(net, ip.dst) && !multicast(ip.dst) && !broadcast(net, ip.dst))
		drop = &net->counters.drop_ip_not_ours;
	else if (fragment(&ip))
		drop = &net->counters.drop_fragment;
	if (drop) {
		count(drop);
		return NET_DONE;
	}
	switch (ip.protocol) {
	case IP_PROTOCOL_TCP:
		return tcp_up(rx, &ip, up);
	case IP_PROTOCOL_ICMP:
		return icmp_input(net, &ip, up, now);
	default:
		return other_up(net, &ip, now);
	}
}

static const struct route *route_find(const struct net *net, uint32_t ip)
{
	for (unsigned i = 0; i < net->routes; i++)
		if (((ip ^ net->route[i].to) & net->route[i].mask) == 0)
			return &net->route[i];
	return NULL;
}

int net_path(struct net *net, const struct ip_addr *dst, ns_t now, struct net_path *out)
{
	uint32_t ip = ip_v4_be(dst);
	const struct route *route = ip_is_v4(dst) ? route_find(net, ip) : NULL;
	struct neighbour *n;

	if (!route) {
		count(&net->counters.drop_no_route);
		return -ENETUNREACH;
	}
	n = neighbour_use(net, route->port, route->via ? route->via : ip, now);
	if (!n)
		return -ENOBUFS;
	if (n->state == NEIGHBOUR_FAILED) {
		count(&net->counters.drop_no_neighbour);
		return -EHOSTUNREACH;
	}
	out->port = route->port;
	out->mtu = net->setup.port[route->port].mtu;
	memcpy(out->src_mac, net->setup.port[route->port].mac, 6);
	memcpy(out->dst_mac, n->mac, 6);
	out->wait = n->state == NEIGHBOUR_ASKED ? n : NULL;
	return out->wait ? -EINPROGRESS : 0;
}

static void write_be16(uint8_t *to, unsigned v)
{
	to[0] = (uint8_t)(v >> 8);
	to[1] = (uint8_t)v;
}

void net_write_headers(
	const struct net_path *path, const struct net_ip *ip, uint8_t *to, bool checksum_offload)
{
	uint32_t src = ip_v4_be(&ip->src), dst = ip_v4_be(&ip->dst);
	uint8_t *header = to + NET_ETHER_HEADER;
	uint16_t sum = 0;

	memcpy(to, path->dst_mac, 6);
	memcpy(to + 6, path->src_mac, 6);
	write_be16(to + 12, ETHER_TYPE_IPV4);
	header[0] = 0x45;
	header[1] = (uint8_t)(ip->dscp << 2);
	write_be16(header + 2, NET_IPV4_HEADER + (unsigned)ip->payload_len);
	write_be16(header + 4, 0);
	write_be16(header + 6, DONT_FRAGMENT);
	header[8] = ip->ttl;
	header[9] = ip->protocol;
	memcpy(header + 10, &sum, sizeof(sum));
	memcpy(header + 12, &src, 4);
	memcpy(header + 16, &dst, 4);
	if (checksum_offload)
		return;
	sum = checksum(header, NET_IPV4_HEADER);
	memcpy(header + 10, &sum, sizeof(sum));
}

uint8_t *ipv4_packet(struct net *net, const struct net_ip *ip, ns_t now)
{
	uint32_t len = NET_HEADERS + (uint32_t)ip->payload_len;
	struct packet *p;
	struct net_path path;
	uint8_t *frame = NULL;
	int error = net_path(net, &ip->dst, now, &path);

	if ((error && error != -EINPROGRESS) || ip->payload_len > path.mtu - NET_IPV4_HEADER)
		return NULL;
	if (error) {
		frame = net_defer(net, &path, len);
	} else if ((p = packet_new(net, path.port, len))) {
		packet_push(&net->output, p);
		frame = p->data;
	}
	if (!frame)
		return NULL;
	net_write_headers(&path, ip, frame, false);
	return frame + NET_HEADERS;
}
