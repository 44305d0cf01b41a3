// SPDX-License-Identifier: Apache-2.0
// What the files of net/ share. The state of one worker's net.
#pragma once

#include "dataplane/net/net.h"
#include "dataplane/net/rate.h"
#include "lib/base/atomic.h"
#include "lib/base/cursor.h"

#define NEIGHBOURS_MAX 1024
#define NEIGHBOUR_BUCKETS 2048                    // a power of two
#define NEIGHBOURS_ASKED_MAX (NEIGHBOURS_MAX / 4)  // that have no address yet
#define NEIGHBOUR_WAITING_MAX 8                   // packets that wait for one neighbour
#define PACKETS_MAX 256                           // of our own: to send, or waiting
#define PACKETS_WAITING_MAX (PACKETS_MAX / 2)     // so that some are left to send
#define NEWS_MAX 64                               // a power of two

_Static_assert(
	NEIGHBOUR_WAITING_MAX < PACKETS_WAITING_MAX, "one neighbour must not take all packets");
_Static_assert((NEIGHBOUR_BUCKETS & (NEIGHBOUR_BUCKETS - 1)) == 0, "buckets are masked");

#define ETHER_TYPE_IPV4 0x0800
#define ETHER_TYPE_ARP 0x0806
#define IP_PROTOCOL_ICMP 1
#define IP_PROTOCOL_TCP 6
#define IP_PROTOCOL_UDP 17

struct packet {
	struct packet *next;
	uint8_t port;
	uint32_t len;
	uint8_t data[];
};

struct packets {
	struct packet *first;
	struct packet *last;
	unsigned count;
};

// States and what moves between them (neighbour.c):
//
//	FREE ──ask──▶ ASKED ──heard──▶ KNOWN ──ask, after KNOWN_NS──▶ PROBED ──heard──▶ KNOWN
//	               │ 3 tries                                        │ 3 tries
//	               ▼                                                ▼
//	             FAILED ──FAILED_NS──▶ FREE                       FREE
enum neighbour_state {
	NEIGHBOUR_FREE,
	NEIGHBOUR_ASKED,
	NEIGHBOUR_KNOWN,
	NEIGHBOUR_PROBED,
	NEIGHBOUR_FAILED
};

struct neighbour {
	struct list lru;        // net->lru: least recently used first; free ones on net->unused
	struct list waiting;    // net->waiting: a time-out is due some day
	struct neighbour *next; // of its bucket
	enum neighbour_state state;
	uint32_t ip;            // as it lies in packets
	uint8_t port;
	uint8_t tries;
	uint8_t mac[6];
	ns_t confirmed;
	ns_t told;              // when the siblings last heard of it
	ns_t due;               // next try, or end of FAILED
	struct packets packets; // sent once the address is known
};

struct local {
	uint32_t ip, mask;  // as they lie in packets
	uint8_t port;
	ns_t defended;      // when a conflict was last answered
};

struct route {
	uint32_t to, mask, via;  // via 0: on the link
	uint8_t port;
	uint8_t prefix_len;
};

struct net {
	struct net_setup setup;
	struct timer_wheel *wheel;
	struct timer timer;
	struct net_counters counters;

	unsigned locals;
	struct local local[NET_ADDRESSES_MAX];
	unsigned routes;
	struct route route[NET_ADDRESSES_MAX + NET_ROUTES_MAX];  // longest prefix first

	struct list lru;
	struct list unused;
	struct list waiting;
	unsigned known, asked;
	struct neighbour *bucket[NEIGHBOUR_BUCKETS];
	struct neighbour neighbour[NEIGHBOURS_MAX];

	struct rate arp_rate;   // requests
	struct rate news_rate;
	struct rate icmp_rate;  // errors

	uint8_t *packet_memory;
	struct packets free_packets;
	struct packets output;
	struct packet *lent;    // by net_output()
	unsigned packets_waiting;
	unsigned announcements;  // rounds left

	unsigned news_first, news_count;
	struct net_news news[NEWS_MAX];
};

static inline void count(uint64_t *counter)
{
	counter_add(counter, 1);
}

static inline uint32_t mask_be(unsigned prefix_len)
{
	uint32_t mask = prefix_len ? ~(uint32_t)0 << (32 - prefix_len) : 0;

	return __builtin_bswap32(mask);
}

static inline uint32_t read_be32(const uint8_t *at)
{
	uint32_t v;

	memcpy(&v, at, sizeof(v));
	return v;
}

// The local entry of an address (in memory order), NULL if it is not ours.
static inline struct local *local_find(struct net *net, uint32_t ip)
{
	for (unsigned i = 0; i < net->locals; i++)
		if (net->local[i].ip == ip)
			return &net->local[i];
	return NULL;
}

// packet.c
int packets_init(struct net *net);
struct packet *packet_new(struct net *net, unsigned port, uint32_t len);
void packet_free(struct net *net, struct packet *p);
void packet_push(struct packets *q, struct packet *p);
struct packet *packet_pop(struct packets *q);

// neighbour.c
void neighbours_init(struct net *net);
struct neighbour *neighbour_find(struct net *net, unsigned port, uint32_t ip);
// Finds or makes the entry and starts to ask if that is due. NULL: the table is full.
struct neighbour *neighbour_use(struct net *net, unsigned port, uint32_t ip, ns_t now);
// Whether siblings are to hear what was learned.
enum neighbour_tell {
	NEIGHBOUR_TELL_NOBODY,
	NEIGHBOUR_TELL_CHANGES,  // and now and then that nothing changed
	NEIGHBOUR_TELL_ALL,      // one of them may be waiting for it
};
// A neighbour's address was seen. news->create: it is taken also if nobody has asked.
void neighbour_learn(
	struct net *net, const struct net_news *news, enum neighbour_tell how, ns_t now);
// Forgets those for which keep() is false.
void neighbours_forget(struct net *net, bool (*keep)(struct net *net, const struct neighbour *n));
void neighbours_due(struct net *net, ns_t now);
// Arms net's timer for work that is waiting.
void net_timer_arm(struct net *net, ns_t now);

// arp.c
void arp_input(struct net *net, const struct net_rx *rx, ns_t now);
// false: the rate limit (counted), or no packet left.
bool arp_request(struct net *net, const struct neighbour *n, ns_t now);
void arp_announce(struct net *net, const struct local *local);

// ipv4.c
struct ipv4 {
	uint32_t src, dst;
	uint8_t protocol, dscp;
	uint8_t header_len;
	bool broadcast;
	const uint8_t *packet;   // the IP header
	const uint8_t *payload;
	uint32_t len;            // of the payload
};
// 0 or -EINVAL: not a whole and well-formed IPv4 packet (checksum aside).
int ipv4_parse(const uint8_t *data, uint32_t len, bool whole, struct ipv4 *out);
enum net_verdict ipv4_input(
	struct net *net, const struct net_rx *rx, union net_up *up, bool link_broadcast, ns_t now);
// A packet of our own: writes its headers and returns where its payload_len bytes go, or NULL
// (counted). It is on its way at once: fill it before the next call into net.
uint8_t *ipv4_packet(struct net *net, const struct net_ip *ip, ns_t now);

// icmp.c
enum net_verdict icmp_input(
	struct net *net, const struct ipv4 *ip, union net_up *up, ns_t now);
void icmp_unreachable(struct net *net, const struct ipv4 *ip, uint8_t code, ns_t now);
