// SPDX-License-Identifier: Apache-2.0
// A worker's net: its making, its configuration, its timer, and the Ethernet layer.
//
// Worker thread. The timer runs only while a neighbour is being asked or an address announced.
#include "dataplane/net/internal.h"

#include <stdlib.h>

#define TICK_NS (100 * NS_PER_MS)
#define ARP_PER_SECOND 200
#define ARP_BURST 64
#define NEWS_PER_SECOND 1000
#define NEWS_BURST 64
#define ICMP_ERRORS_PER_SECOND 100
#define ICMP_ERRORS_BURST 50
#define ANNOUNCE_ROUNDS 2     // RFC 5227 1.1 ANNOUNCE_NUM; the second one with the timer

static void on_timer(struct timer *timer, ns_t now);

struct net *net_new(const struct net_setup *setup, struct timer_wheel *wheel, ns_t now)
{
	struct net *net = calloc(1, sizeof(*net));

	if (!net)
		return NULL;
	net->setup = *setup;
	net->wheel = wheel;
	net->timer.fire = on_timer;
	rate_init(&net->arp_rate, ARP_PER_SECOND, ARP_BURST);
	rate_init(&net->news_rate, NEWS_PER_SECOND, NEWS_BURST);
	rate_init(&net->icmp_rate, ICMP_ERRORS_PER_SECOND, ICMP_ERRORS_BURST);
	neighbours_init(net);
	if (packets_init(net)) {
		free(net);
		return NULL;
	}
	return net;
}

void net_destroy(struct net *net)
{
	if (!net)
		return;
	timer_cancel(net->wheel, &net->timer);
	free(net->packet_memory);
	free(net);
}

void net_timer_arm(struct net *net, ns_t now)
{
	if (!timer_armed(&net->timer))
		timer_arm(net->wheel, &net->timer, now + TICK_NS);
}

static void announce(struct net *net, ns_t now)
{
	if (!net->announcements)
		return;
	net->announcements--;
	for (unsigned i = 0; i < net->locals; i++)
		arp_announce(net, &net->local[i]);
	net_timer_arm(net, now);
}

static void on_timer(struct timer *timer, ns_t now)
{
	struct net *net = container_of(timer, struct net, timer);

	announce(net, now);
	neighbours_due(net, now);
	if (!list_empty(&net->waiting) || net->announcements)
		net_timer_arm(net, now);
}

static void add_route(struct net *net, const struct route *route)
{
	unsigned at = net->routes++;

	while (at > 0 && net->route[at - 1].prefix_len < route->prefix_len) {
		net->route[at] = net->route[at - 1];
		at--;
	}
	net->route[at] = *route;
}

static const struct local *local_towards(const struct net *net, uint32_t ip)
{
	for (unsigned i = 0; i < net->locals; i++)
		if (((net->local[i].ip ^ ip) & net->local[i].mask) == 0)
			return &net->local[i];
	return NULL;
}

// A neighbour lives as long as its port has a network that it is on.
static bool still_near(struct net *net, const struct neighbour *n)
{
	for (unsigned i = 0; i < net->locals; i++) {
		const struct local *l = &net->local[i];

		if (l->port == n->port && l->ip != n->ip && ((l->ip ^ n->ip) & l->mask) == 0)
			return true;
	}
	return false;
}

static void apply_addresses(struct net *net, const struct net_config *config)
{
	net->locals = net->routes = 0;
	for (uint32_t i = 0; i < config->addresses; i++) {
		const struct net_address *a = &config->address[i];
		struct local *l = &net->local[net->locals];

		// IPv6 is not spoken yet.
		if (!ip_is_v4(&a->addr) || a->port >= net->setup.ports)
			continue;
		net->locals++;
		*l = (struct local){
			.ip = ip_v4_be(&a->addr), .mask = mask_be(a->prefix_len), .port = a->port};
		add_route(net, &(struct route){.to = l->ip & l->mask, .mask = l->mask,
			.port = l->port, .prefix_len = a->prefix_len});
	}
}

static void apply_routes(struct net *net, const struct net_config *config)
{
	for (uint32_t i = 0; i < config->routes; i++) {
		const struct net_route *r = &config->route[i];
		const struct local *towards;

		if (!ip_is_v4(&r->to) || !ip_is_v4(&r->via))
			continue;
		towards = local_towards(net, ip_v4_be(&r->via));
		if (!towards)
			continue;
		add_route(net, &(struct route){.to = ip_v4_be(&r->to),
				       .mask = mask_be(r->prefix_len),
				       .via = ip_v4_be(&r->via),
				       .port = towards->port,
				       .prefix_len = r->prefix_len});
	}
}

static bool same_locals(const struct net *net, const struct local *before, unsigned locals)
{
	if (net->locals != locals)
		return false;
	for (unsigned i = 0; i < locals; i++)
		if (net->local[i].ip != before[i].ip || net->local[i].port != before[i].port)
			return false;
	return true;
}

void net_apply(struct net *net, const struct net_config *config, ns_t now)
{
	struct local before[NET_ADDRESSES_MAX];
	unsigned locals = net->locals;

	memcpy(before, net->local, sizeof(before));
	apply_addresses(net, config);
	apply_routes(net, config);
	neighbours_forget(net, still_near);
	if (net->setup.announce && !same_locals(net, before, locals)) {
		net->announcements = ANNOUNCE_ROUNDS;
		announce(net, now);
	}
}

const struct net_counters *net_counters(const struct net *net)
{
	return &net->counters;
}

enum net_verdict net_input(struct net *net, const struct net_rx *rx, union net_up *up, ns_t now)
{
	const uint8_t *frame = rx->data;
	uint64_t *drop = &net->counters.drop_short;
	bool group;

	if (rx->len < NET_ETHER_HEADER || rx->port >= net->setup.ports)
		goto drop;
	group = frame[0] & 1;
	drop = &net->counters.drop_ethernet_address;
	if (!group && memcmp(frame, net->setup.port[rx->port].mac, 6) != 0)
		goto drop;
	drop = &net->counters.drop_ethernet_type;
	switch (frame[12] << 8 | frame[13]) {
	case ETHER_TYPE_IPV4:
		return ipv4_input(net, rx, up, group, now);
	case ETHER_TYPE_ARP:
		arp_input(net, rx, now);
		return NET_DONE;
	default:
		break;
	}
drop:
	count(drop);
	return NET_DONE;
}
