// SPDX-License-Identifier: Apache-2.0
// ICMP (RFC 792, RFC 1122 3.2.2): answers echo requests,
// tells TCP of errors about its segments, and tells senders that nothing listens for them. Worker
// thread.
#include "dataplane/net/internal.h"

#include "dataplane/net/checksum.h"

#define ICMP_HEADER 8
#define ICMP_QUOTE_MIN (NET_IPV4_HEADER + 8)  // every error quotes the header and 8 bytes (RFC 792)
#define ICMP_QUOTE_MAX (NET_MTU_MIN - NET_IPV4_HEADER - ICMP_HEADER)  // RFC 1812 4.3.2.3
#define ICMP_TTL 64

enum icmp_type {
	ICMP_ECHO_REPLY = 0,
	ICMP_UNREACHABLE = 3,
	ICMP_ECHO = 8,
	ICMP_TIME_EXCEEDED = 11,
	ICMP_PARAMETER_PROBLEM = 12,
};

#define ICMP_FRAGMENTATION_NEEDED 4

static void echo_reply(struct net *net, const struct ipv4 *ip, ns_t now)
{
	struct net_ip reply = {
		.src = ip_from_v4(ip->dst),
		.dst = ip_from_v4(ip->src),
		.ttl = ICMP_TTL,
		.dscp = ip->dscp,
		.protocol = IP_PROTOCOL_ICMP,
		.payload_len = (uint16_t)ip->len,
	};
	uint8_t *to;
	uint16_t sum;

	count(&net->counters.icmp_echo_in);
	to = ipv4_packet(net, &reply, now);
	if (!to)
		return;
	// Identifier, sequence number and data come back as they were.
	memcpy(to, ip->payload, ip->len);
	memset(to, 0, 4);
	to[0] = ICMP_ECHO_REPLY;
	sum = checksum(to, ip->len);
	memcpy(to + 2, &sum, sizeof(sum));
	count(&net->counters.icmp_echo_out);
}

// An error that quotes a TCP segment we sent.
static enum net_verdict tcp_error(
	struct net *net, const struct ipv4 *ip, union net_up *up)
{
	const uint8_t *icmp = ip->payload;
	struct ipv4 quoted;

	if (ip->len < ICMP_HEADER + ICMP_QUOTE_MIN ||
		ipv4_parse(icmp + ICMP_HEADER, ip->len - ICMP_HEADER, false, &quoted) ||
		quoted.protocol != IP_PROTOCOL_TCP || quoted.len < 8 ||
		!local_find(net, quoted.src)) {
		count(&net->counters.drop_icmp);
		return NET_DONE;
	}
	count(&net->counters.icmp_errors_in);
	up->error = (struct net_error){
		.local = ip_from_v4(quoted.src),
		.remote = ip_from_v4(quoted.dst),
		.type = icmp[0],
		.code = icmp[1],
		.quoted = quoted.payload,
		.len = quoted.len,
	};
	if (icmp[0] == ICMP_UNREACHABLE && icmp[1] == ICMP_FRAGMENTATION_NEEDED)
		up->error.mtu = (uint32_t)icmp[6] << 8 | icmp[7];
	return NET_TCP_ERROR;
}

enum net_verdict icmp_input(struct net *net, const struct ipv4 *ip, union net_up *up, ns_t now)
{
	if (ip->len < ICMP_HEADER || checksum(ip->payload, ip->len) != 0 || ip->broadcast) {
		count(&net->counters.drop_icmp);
		return NET_DONE;
	}
	switch (ip->payload[0]) {
	case ICMP_ECHO:
		echo_reply(net, ip, now);
		return NET_DONE;
	case ICMP_UNREACHABLE:
	case ICMP_TIME_EXCEEDED:
	case ICMP_PARAMETER_PROBLEM:
		return tcp_error(net, ip, up);
	default:  // redirects among them: a host that follows them can be led astray
		count(&net->counters.drop_icmp);
		return NET_DONE;
	}
}

void icmp_unreachable(struct net *net, const struct ipv4 *ip, uint8_t code, ns_t now)
{
	uint32_t quote = ip->header_len + ip->len;
	struct net_ip error = {
		.src = ip_from_v4(ip->dst),
		.dst = ip_from_v4(ip->src),
		.ttl = ICMP_TTL,
		.protocol = IP_PROTOCOL_ICMP,
	};
	uint8_t *to;
	uint16_t sum;

	// Never about a broadcast (RFC 1122 3.2.2).
	if (ip->broadcast)
		return;
	if (!rate_take(&net->icmp_rate, now)) {
		count(&net->counters.icmp_limited);
		return;
	}
	if (quote > ICMP_QUOTE_MAX)
		quote = ICMP_QUOTE_MAX;
	error.payload_len = (uint16_t)(ICMP_HEADER + quote);
	to = ipv4_packet(net, &error, now);
	if (!to)
		return;
	memset(to, 0, ICMP_HEADER);
	to[0] = ICMP_UNREACHABLE;
	to[1] = code;
	memcpy(to + ICMP_HEADER, ip->packet, quote);
	sum = checksum(to, error.payload_len);
	memcpy(to + 2, &sum, sizeof(sum));
	count(&net->counters.icmp_errors_out);
}
