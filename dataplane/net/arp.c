// SPDX-License-Identifier: Apache-2.0
// ARP over Ethernet for IPv4 (RFC 826), with gratuitous
// announcements and conflict detection (RFC 5227).
//
// Worker thread. We answer for our addresses on the port they lie on, learn those who ask for us,
// and otherwise believe only answers about neighbours that somebody here asked for.
#include "dataplane/net/internal.h"

#define ARP_LEN 28
#define ARP_REQUEST 1
#define ARP_REPLY 2
#define DEFEND_NS (10 * NS_PER_SEC)  // RFC 5227 1.1 DEFEND_INTERVAL

static const uint8_t everybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
static const uint8_t nobody[6];
// Ethernet, IPv4, address lengths 6 and 4.
static const uint8_t arp_kind[6] = {0, 1, 8, 0, 6, 4};

struct arp {
	uint16_t operation;
	uint8_t sender_mac[6];
	uint8_t target_mac[6];
	uint32_t sender_ip;  // as they lie in packets
	uint32_t target_ip;
};

static bool arp_parse(const uint8_t *data, uint32_t len, struct arp *out)
{
	if (len < ARP_LEN || memcmp(data, arp_kind, sizeof(arp_kind)) != 0)
		return false;
	out->operation = (uint16_t)(data[6] << 8 | data[7]);
	memcpy(out->sender_mac, data + 8, 6);
	out->sender_ip = read_be32(data + 14);
	memcpy(out->target_mac, data + 18, 6);
	out->target_ip = read_be32(data + 24);
	return true;
}

static bool arp_send(struct net *net, unsigned port, const uint8_t *to, const struct arp *arp)
{
	struct packet *p = packet_new(net, port, NET_ETHER_HEADER + ARP_LEN);
	struct writer w;

	if (!p)
		return false;
	w = writer_of(p->data, p->len);
	writer_bytes(&w, to, 6);
	writer_bytes(&w, net->setup.port[port].mac, 6);
	writer_u16(&w, ETHER_TYPE_ARP);
	writer_bytes(&w, arp_kind, sizeof(arp_kind));
	writer_u16(&w, arp->operation);
	writer_bytes(&w, arp->sender_mac, 6);
	writer_bytes(&w, &arp->sender_ip, 4);
	writer_bytes(&w, arp->target_mac, 6);
	writer_bytes(&w, &arp->target_ip, 4);
	packet_push(&net->output, p);
	return true;
}

static void arp_reply(struct net *net, unsigned port, const struct arp *request)
{
	struct arp reply = {.operation = ARP_REPLY, .sender_ip = request->target_ip,
		.target_ip = request->sender_ip};

	memcpy(reply.sender_mac, net->setup.port[port].mac, 6);
	memcpy(reply.target_mac, request->sender_mac, 6);
	if (arp_send(net, port, request->sender_mac, &reply))
		count(&net->counters.arp_replies_out);
}

// Our address on the neighbour's network, so that it answers; any address of the port if there is
// none.
static const struct local *asking_address(const struct net *net, const struct neighbour *n)
{
	const struct local *any = NULL;

	for (unsigned i = 0; i < net->locals; i++) {
		const struct local *l = &net->local[i];

		if (l->port != n->port)
			continue;
		if (((l->ip ^ n->ip) & l->mask) == 0)
			return l;
		any = l;
	}
	return any;
}

bool arp_request(struct net *net, const struct neighbour *n, ns_t now)
{
	const struct local *local = asking_address(net, n);
	struct arp request = {.operation = ARP_REQUEST, .target_ip = n->ip};
	// The first probe of a known neighbour goes to it alone (RFC 1122 2.3.2.1).
	bool unicast = n->state == NEIGHBOUR_PROBED && n->tries == 0;

	if (!local)
		return false;
	if (!rate_take(&net->arp_rate, now)) {
		count(&net->counters.arp_limited);
		return false;
	}
	request.sender_ip = local->ip;
	memcpy(request.sender_mac, net->setup.port[n->port].mac, 6);
	if (!arp_send(net, n->port, unicast ? n->mac : everybody, &request))
		return false;
	count(&net->counters.arp_requests_out);
	return true;
}

void arp_announce(struct net *net, const struct local *local)
{
	struct arp announcement = {.operation = ARP_REQUEST, .sender_ip = local->ip,
		.target_ip = local->ip};

	memcpy(announcement.sender_mac, net->setup.port[local->port].mac, 6);
	if (arp_send(net, local->port, everybody, &announcement))
		count(&net->counters.arp_announced);
}

// Another host claims our address: defended once per interval (RFC 5227 2.4 b), and people are
// told by a counter.
static void conflict(struct net *net, struct local *local, ns_t now)
{
	count(&net->counters.arp_conflicts);
	if (local->defended && now - local->defended < DEFEND_NS)
		return;
	local->defended = now;
	arp_announce(net, local);
}

static bool on_network_of(const struct net *net, unsigned port, uint32_t ip)
{
	for (unsigned i = 0; i < net->locals; i++) {
		const struct local *l = &net->local[i];

		if (l->port == port && ((l->ip ^ ip) & l->mask) == 0)
			return true;
	}
	return false;
}

static bool plausible(const struct net *net, unsigned port, const struct arp *arp)
{
	// A group address as a neighbour's own would turn our replies into broadcasts.
	if ((arp->sender_mac[0] & 1) || memcmp(arp->sender_mac, nobody, 6) == 0)
		return false;
	return memcmp(arp->sender_mac, net->setup.port[port].mac, 6) != 0;
}

// RFC 826: known senders are updated whatever the target; new ones are taken only when they talk
// to us. A sender 0.0.0.0 is a probe (RFC 5227 2.1.1): there is nothing to learn.
static void learn_sender(
	struct net *net, unsigned port, const struct arp *arp, bool for_us, ns_t now)
{
	struct net_news news = {.ip_be = arp->sender_ip, .port = (uint8_t)port,
		.create = for_us && arp->operation == ARP_REQUEST};
	bool gratuitous = arp->sender_ip == arp->target_ip;
	// All workers ask for themselves, and the answers reach one queue. An announcement is
	// news to who knows its sender, which need not be this worker.
	bool awaited = (for_us && arp->operation == ARP_REPLY) || gratuitous;

	if (!on_network_of(net, port, arp->sender_ip))
		return;
	if (!for_us && !gratuitous && !neighbour_find(net, port, arp->sender_ip))
		return;
	memcpy(news.mac, arp->sender_mac, 6);
	neighbour_learn(
		net, &news, awaited ? NEIGHBOUR_TELL_ALL : NEIGHBOUR_TELL_CHANGES, now);
}

void arp_input(struct net *net, const struct net_rx *rx, ns_t now)
{
	struct arp arp;
	struct local *ours, *claimed;

	if (!arp_parse(rx->data + NET_ETHER_HEADER, rx->len - NET_ETHER_HEADER, &arp) ||
		!plausible(net, rx->port, &arp)) {
		count(&net->counters.drop_arp);
		return;
	}
	claimed = local_find(net, arp.sender_ip);
	if (claimed && claimed->port == rx->port) {
		conflict(net, claimed, now);
		return;
	}
	ours = local_find(net, arp.target_ip);
	if (ours && ours->port != rx->port)
		ours = NULL;
	learn_sender(net, rx->port, &arp, ours != NULL, now);
	if (arp.operation == ARP_REQUEST && ours) {
		count(&net->counters.arp_requests_in);
		arp_reply(net, rx->port, &arp);
	} else if (arp.operation == ARP_REPLY) {
		count(&net->counters.arp_replies_in);
	} else {
		count(&net->counters.drop_arp);
	}
}
