// SPDX-License-Identifier: Apache-2.0
// What a gateway's ports are configured with: addresses, routes, listeners, limits.
//
// Built by the control side with the functions below, then immutable. Workers notice a new
// generation, copy what they need while they apply it, and keep no pointer into it.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/addr.h"

#define NET_PORTS_MAX 8
#define NET_ADDRESSES_MAX 64
#define NET_ROUTES_MAX 64
#define NET_LISTENERS_MAX 16
#define NET_MTU_MIN 576   // RFC 1122 3.3.3
#define NET_MTU_MAX 9216

struct net_address {
	struct ip_addr addr;
	uint8_t prefix_len;  // within the address's family
	uint8_t port;        // index of the port it lies on
};

// `via` is on a network of one of the addresses; which port that is, follows from it.
struct net_route {
	struct ip_addr to;
	struct ip_addr via;
	uint8_t prefix_len;
};

struct net_listener {
	uint16_t port;  // host order, on every address
};

struct net_limits {
	uint32_t connections_per_address;  // of one client address; 0: no limit
};

struct net_config {
	uint64_t generation;  // 0: none yet; the publisher numbers them
	uint32_t addresses;
	uint32_t routes;
	uint32_t listeners;
	struct net_limits limits;
	struct net_address address[NET_ADDRESSES_MAX];
	struct net_route route[NET_ROUTES_MAX];
	struct net_listener listener[NET_LISTENERS_MAX];
};

// Each: 0, -EINVAL (prefix longer than its family allows, host part of a route set, an address
// that no host may have, port 0), -EEXIST (already there), -ENOSPC (the table is full). Routes:
// -ENETUNREACH when `via` is on no network of an address of the same config (so addresses come
// first).
int net_config_add_address(
	struct net_config *c, const struct ip_addr *addr, unsigned prefix_len, unsigned port);
int net_config_add_route(struct net_config *c, const struct ip_addr *to, unsigned prefix_len,
	const struct ip_addr *via);
int net_config_add_listener(struct net_config *c, unsigned port);
bool net_config_has_listener(const struct net_config *c, unsigned port);
// From text: "10.77.0.2/24"; "default" or "10.0.0.0/8" with "10.77.0.1".
int net_config_add_address_text(struct net_config *c, const char *cidr, unsigned port);
int net_config_add_route_text(struct net_config *c, const char *to, const char *via);
// A sentence for what the functions above return.
const char *net_config_error(int error);
