// SPDX-License-Identifier: Apache-2.0
// A net with two ports for unit tests: p0 with 10.77.0.2/24,
// p1 with 192.168.5.1/30, a default route by 10.77.0.254. Frames are built byte by byte, so that
// a test can break any of them.
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/net/checksum.h"
#include "dataplane/net/net.h"

#define START (100 * NS_PER_SEC)
#define ARP_REQUEST 1
#define ARP_REPLY 2
#define ICMP 1
#define TCP 6
#define UDP 17

struct fixture {
	struct net *net;
	struct timer_wheel wheel;
	struct net_config config;
	ns_t now;
	union net_up up;
	uint8_t frame[NET_MTU_MAX + NET_ETHER_HEADER];  // built last
	uint32_t len;
	struct net_tx out;                              // taken last
};

extern const uint8_t our_mac[2][6];
extern const uint8_t peer_mac[6], other_mac[6], broadcast_mac[6];

int fixture_setup(void **state);
// Also checks that no packet is left.
int fixture_teardown(void **state);
void fixture_destroy(struct fixture *f);

// Builds a frame into f->frame.
void arp_frame(struct fixture *f, const uint8_t *to, unsigned operation, const uint8_t *sender_mac,
	const char *sender, const char *target);
// With a good checksum and no options. len bytes of payload.
void ip_frame(struct fixture *f, const uint8_t *to, const char *src, const char *dst,
	unsigned protocol, const void *payload, uint32_t len);
// The header checksum again, after a change.
void ip_sum(struct fixture *f);
uint8_t *ip_at(struct fixture *f, unsigned offset);
// An ICMP message with the first four bytes given and `rest` behind its checksum.
uint32_t icmp_message(uint8_t *to, unsigned type, unsigned code, const void *rest, uint32_t len);

// Hands f->frame to port 0 (or another), in memory of its exact length.
enum net_verdict feed(struct fixture *f);
enum net_verdict feed_port(struct fixture *f, unsigned port);
// Takes the next frame into f->out; fails the test if there is none.
void take(struct fixture *f);
void expect_silence(struct fixture *f);
// Lets time pass, running timers every 50 ms.
void pass(struct fixture *f, ns_t span);
// Teaches port 0 a neighbour by an ARP request of its own, and takes the reply.
void introduce(struct fixture *f, const char *addr, const uint8_t *mac);
struct ip_addr ip(const char *text);
uint32_t ip_be(const char *text);
