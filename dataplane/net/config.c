// SPDX-License-Identifier: Apache-2.0
// Building a net_config: what is added is checked here, once, so that workers may trust it.
// Any thread; a config has one builder.
#include "dataplane/net/config.h"

#include <errno.h>
#include <string.h>

static unsigned prefix_max(const struct ip_addr *addr)
{
	return ip_is_v4(addr) ? 32 : 128;
}

// The bits of a prefix as they count in the 16 bytes of an address.
static unsigned prefix_bits(const struct ip_addr *addr, unsigned prefix_len)
{
	return prefix_len + (ip_is_v4(addr) ? 96 : 0);
}

static bool same_prefix(const struct ip_addr *a, const struct ip_addr *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	if (memcmp(a->b, b->b, whole) != 0)
		return false;
	return rest == 0 || ((a->b[whole] ^ b->b[whole]) >> (8 - rest)) == 0;
}

static bool host_part_is(const struct ip_addr *addr, unsigned bits, bool ones)
{
	for (unsigned i = bits; i < 128; i++) {
		bool bit = addr->b[i / 8] >> (7 - i % 8) & 1;

		if (bit != ones)
			return false;
	}
	return true;
}

// Unicast, and neither this-network nor loopback (RFC 1122 3.2.1.3).
static bool usable(const struct ip_addr *addr)
{
	static const struct ip_addr none;

	if (ip_is_v4(addr))
		return addr->b[12] != 0 && addr->b[12] != 127 && addr->b[12] < 224;
	return addr->b[0] != 0xff && !ip_equal(addr, &none);
}

int net_config_add_address(
	struct net_config *c, const struct ip_addr *addr, unsigned prefix_len, unsigned port)
{
	unsigned bits = prefix_bits(addr, prefix_len);

	if (prefix_len > prefix_max(addr) || !usable(addr) || port >= NET_PORTS_MAX)
		return -EINVAL;
	// The network's own number and its broadcast address belong to no host, but on a link of
	// two (RFC 3021).
	if (ip_is_v4(addr) && prefix_len < 31 &&
		(host_part_is(addr, bits, false) || host_part_is(addr, bits, true)))
		return -EINVAL;
	for (uint32_t i = 0; i < c->addresses; i++)
		if (ip_equal(&c->address[i].addr, addr))
			return -EEXIST;
	if (c->addresses == NET_ADDRESSES_MAX)
		return -ENOSPC;
	c->address[c->addresses++] = (struct net_address){
		.addr = *addr, .prefix_len = (uint8_t)prefix_len, .port = (uint8_t)port};
	return 0;
}

static bool on_link(const struct net_config *c, const struct ip_addr *addr)
{
	for (uint32_t i = 0; i < c->addresses; i++) {
		const struct net_address *a = &c->address[i];

		if (ip_is_v4(&a->addr) == ip_is_v4(addr) && !ip_equal(&a->addr, addr) &&
			same_prefix(&a->addr, addr, prefix_bits(&a->addr, a->prefix_len)))
			return true;
	}
	return false;
}

int net_config_add_route(struct net_config *c, const struct ip_addr *to, unsigned prefix_len,
	const struct ip_addr *via)
{
	if (prefix_len > prefix_max(to) || ip_is_v4(to) != ip_is_v4(via) || !usable(via))
		return -EINVAL;
	if (!host_part_is(to, prefix_bits(to, prefix_len), false))
		return -EINVAL;
	for (uint32_t i = 0; i < c->routes; i++)
		if (ip_equal(&c->route[i].to, to) && c->route[i].prefix_len == prefix_len)
			return -EEXIST;
	if (!on_link(c, via))
		return -ENETUNREACH;
	if (c->routes == NET_ROUTES_MAX)
		return -ENOSPC;
	c->route[c->routes++] =
		(struct net_route){.to = *to, .via = *via, .prefix_len = (uint8_t)prefix_len};
	return 0;
}

bool net_config_has_listener(const struct net_config *c, unsigned port)
{
	for (uint32_t i = 0; i < c->listeners; i++)
		if (c->listener[i].port == port)
			return true;
	return false;
}

int net_config_add_listener(struct net_config *c, unsigned port)
{
	if (port == 0 || port > UINT16_MAX)
		return -EINVAL;
	if (net_config_has_listener(c, port))
		return -EEXIST;
	if (c->listeners == NET_LISTENERS_MAX)
		return -ENOSPC;
	c->listener[c->listeners++] = (struct net_listener){.port = (uint16_t)port};
	return 0;
}

int net_config_add_address_text(struct net_config *c, const char *cidr, unsigned port)
{
	struct ip_addr addr;
	unsigned prefix_len;
	int error = ip_prefix_parse(cidr, &addr, &prefix_len);

	return error ? error : net_config_add_address(c, &addr, prefix_len, port);
}

int net_config_add_route_text(struct net_config *c, const char *to, const char *via)
{
	struct ip_addr network, next_hop;
	unsigned prefix_len = 0;

	if (ip_parse(via, &next_hop))
		return -EINVAL;
	if (strcmp(to, "default") == 0)
		network = ip_is_v4(&next_hop) ? ip_from_v4(0) : (struct ip_addr){.b = {0}};
	else if (ip_prefix_parse(to, &network, &prefix_len))
		return -EINVAL;
	return net_config_add_route(c, &network, prefix_len, &next_hop);
}

const char *net_config_error(int error)
{
	switch (error) {
	case 0:
		return "it is fine";
	case -EINVAL:
		return "it is not an address, network or port that can be used here";
	case -EEXIST:
		return "it is there already";
	case -ENETUNREACH:
		return "its next hop is on no network of this gateway's addresses: give one that "
		       "is";
	case -ENOSPC:
		return "there are too many of them";
	default:
		return "it cannot be used";
	}
}
