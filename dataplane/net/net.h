// SPDX-License-Identifier: Apache-2.0
// Ethernet, ARP, IPv4 and ICMP, pure: (packet, now) -> what
// the layer above gets, and packets to send.
//
// A net belongs to one worker thread; it knows no port driver and no clock. It answers ARP and
// ICMP by itself, hands TCP up, and finds the way for what TCP sends. Its memory is allocated in
// net_new(): neighbours, packets that wait for a neighbour and packets to send are all bounded, and
// every drop has a counter (NET_COUNTERS).
#pragma once

#include "dataplane/net/config.h"
#include "dataplane/tcp/tcp.h"

struct net;
struct neighbour;

#define NET_ETHER_HEADER 14
#define NET_IPV4_HEADER 20
#define NET_HEADERS (NET_ETHER_HEADER + NET_IPV4_HEADER)

struct net_port {
	uint8_t mac[6];
	uint16_t mtu;  // IP header included
};

struct net_setup {
	unsigned ports;
	struct net_port port[NET_PORTS_MAX];
	uint64_t seed;   // of the neighbour hash
	bool announce;   // this worker tells the network of new addresses
};

// NULL when out of memory. The timer is armed in `wheel`, which the caller runs.
struct net *net_new(const struct net_setup *setup, struct timer_wheel *wheel, ns_t now);
void net_destroy(struct net *net);
// Takes over addresses and routes (copied). New addresses are announced; neighbours stay known.
void net_apply(struct net *net, const struct net_config *config, ns_t now);

// A frame as it came, from its Ethernet header on.
struct net_rx {
	uint8_t port;
	bool ip_checksum_good;  // verified by the port; else it is done here
	bool l4_checksum_good;
	uint32_t len;
	const uint8_t *data;
	struct buf *buf;        // that data lies in; passed on
};

// What a packet asks the layer above to do.
enum net_verdict {
	NET_DONE,       // nothing: dropped and counted, or answered here
	NET_TCP,        // tcp_input(&up->tcp)
	NET_TCP_ERROR,  // tcp_icmp(): up->error
};

struct net_error {
	struct ip_addr local, remote;
	uint8_t type, code;
	uint32_t mtu;  // of the next hop for "fragmentation needed" (RFC 1191), else 0
	const uint8_t *quoted;
	uint32_t len;
};

union net_up {
	struct tcp_rx tcp;
	struct net_error error;
};

enum net_verdict net_input(
	struct net *net, const struct net_rx *rx, union net_up *up, ns_t now);

// A frame to send, borrowed until the next call into net.
struct net_tx {
	uint8_t port;
	uint32_t len;
	const uint8_t *data;
};
// The next frame of net's own (ARP, ICMP, and what waited for a neighbour). false: none.
bool net_output(struct net *net, struct net_tx *out);

// The way to an address.
struct net_path {
	uint8_t port;
	uint16_t mtu;
	uint8_t src_mac[6];
	uint8_t dst_mac[6];
	struct neighbour *wait;  // its address is being asked for: see net_defer()
};
// 0: ready. -EINPROGRESS: the neighbour is being asked. -ENETUNREACH: no route. -EHOSTUNREACH:
// the neighbour does not answer. -ENOBUFS: too many neighbours are being asked. All but 0 are
// counted.
int net_path(struct net *net, const struct ip_addr *dst, ns_t now, struct net_path *out);

struct net_ip {
	struct ip_addr src, dst;
	uint8_t ttl, dscp, protocol;
	uint16_t payload_len;
};
// Writes the Ethernet and IPv4 headers, NET_HEADERS bytes. With checksum_offload the field is 0.
void net_write_headers(
	const struct net_path *path, const struct net_ip *ip, uint8_t *to, bool checksum_offload);
// After -EINPROGRESS: where to write a frame of len bytes (headers first) that is to be sent once
// the neighbour has answered. NULL (counted) when no more may wait.
uint8_t *net_defer(struct net *net, const struct net_path *path, uint32_t len);

// What a worker learned of a neighbour and its siblings want to know: replies reach one queue only.
struct net_news {
	uint32_t ip_be;
	uint8_t mac[6];
	uint8_t port;
	bool create;  // it will talk to us; else only of use to who asked
};
bool net_news(struct net *net, struct net_news *out);
void net_hear(struct net *net, const struct net_news *news, ns_t now);

// Neighbours with an address, and those being asked; for tests and statistics.
unsigned net_neighbours(const struct net *net);
unsigned net_neighbours_waiting(const struct net *net);
// Packets in use (to send, or waiting for a neighbour).
unsigned net_packets(const struct net *net);

// Counters: name, sentence.
#define NET_COUNTERS(X)                                                                            \
	X(drop_short, "frames shorter than their headers")                                         \
	X(drop_ethernet_address, "frames for another Ethernet address")                            \
	X(drop_ethernet_type, "frames of a type that is not spoken here")                          \
	X(arp_requests_in, "ARP requests for one of our addresses")                                \
	X(arp_requests_out, "ARP requests sent")                                                   \
	X(arp_replies_in, "ARP replies received")                                                  \
	X(arp_replies_out, "ARP replies sent")                                                     \
	X(arp_announced, "addresses announced by gratuitous ARP")                                  \
	X(arp_conflicts, "ARP packets of a host that uses one of our addresses")                   \
	X(arp_limited, "ARP requests not sent because of their rate limit")                        \
	X(drop_arp, "ARP packets that are malformed or not for us")                                \
	X(neighbours_full, "neighbours forgotten or not asked because the table was full")         \
	X(neighbours_failed, "neighbours that did not answer")                                     \
	X(drop_ip_header, "IPv4 packets with a malformed header")                                  \
	X(drop_ip_checksum, "IPv4 packets with a wrong header checksum")                           \
	X(drop_ip_source, "IPv4 packets from an address that no host may send from")               \
	X(drop_ip_not_ours, "IPv4 packets for an address that is not ours")                        \
	X(drop_fragment, "IPv4 fragments, which are not reassembled")                              \
	X(drop_protocol, "IPv4 packets of a protocol that is not spoken here")                     \
	X(drop_udp, "UDP datagrams, since no UDP port is open")                                    \
	X(drop_icmp, "ICMP messages that are malformed or not of use here")                        \
	X(icmp_echo_in, "ICMP echo requests")                                                      \
	X(icmp_echo_out, "ICMP echo replies sent")                                                 \
	X(icmp_errors_in, "ICMP errors about TCP segments of ours")                                \
	X(icmp_errors_out, "ICMP errors sent")                                                     \
	X(icmp_limited, "ICMP errors not sent because of their rate limit")                        \
	X(drop_no_route, "packets to send for which there is no route")                            \
	X(drop_no_neighbour, "packets to send whose next hop does not answer")                     \
	X(drop_waiting, "packets dropped because too many wait for their next hop")                \
	X(drop_no_packet, "packets of our own not sent because too many were under way")           \
	X(drop_news, "news of neighbours not told to the other workers because too many waited")

struct net_counters {
#define X(name, text) uint64_t name;
	NET_COUNTERS(X)
#undef X
};
const struct net_counters *net_counters(const struct net *net);
