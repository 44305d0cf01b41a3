// SPDX-License-Identifier: Apache-2.0
// What depends on the stack's key: the hash of the tables (so that nobody can fill one bucket),
// initial sequence numbers (RFC 6528), timestamp offsets and ephemeral ports (RFC 6056 algorithm
// 3).
//
// All are SipHash of the connection's four names: 1-3 rounds for the tables, 2-4 for what a peer
// sees.

#include "dataplane/tcp/internal.h"
#include "dataplane/tcp/siphash.h"

#define ISN_TICK_NS 4000  // RFC 9293 3.4.1: about every 4 us
#define PORT_FIRST 49152u
#define PORT_COUNT (65536u - PORT_FIRST)

struct tuple {
	uint64_t words[5];
	unsigned n;
};

static struct tuple tuple_of(const struct ip_addr *local, uint16_t local_port,
	const struct ip_addr *remote, uint16_t remote_port)
{
	uint64_t ports = (uint64_t)local_port << 16 | remote_port;

	if (ip_is_v4(local) && ip_is_v4(remote)) {
		uint64_t addrs = (uint64_t)ip_v4_be(local) << 32 | ip_v4_be(remote);

		return (struct tuple){.words = {addrs, ports}, .n = 2};
	}
	return (struct tuple){
		.words = {local->q[0], local->q[1], remote->q[0], remote->q[1], ports}, .n = 5};
}

uint32_t tcp_tuple_hash(const struct tcp_stack *s, const struct ip_addr *local, uint16_t local_port,
	const struct ip_addr *remote, uint16_t remote_port)
{
	struct tuple t = tuple_of(local, local_port, remote, remote_port);

	return (uint32_t)siphash(s->table_key, t.words, t.n, 1, 3);
}

// MUST-8: a clock; SHLD-1, MUST-9: behind a PRF nobody outside can compute.
uint32_t tcp_secret_isn(const struct tcp_stack *s, const struct ip_addr *local, uint16_t local_port,
	const struct ip_addr *remote, uint16_t remote_port)
{
	struct tuple t = tuple_of(local, local_port, remote, remote_port);

	return (uint32_t)(siphash(s->secret_key, t.words, t.n, 2, 4) +
			  (uint64_t)(s->now / ISN_TICK_NS));
}

// The same for all connections between two hosts' ports, so that timestamps grow from one
// connection to the next (RFC 7323 5.8 and the TIME-WAIT rules need that).
uint32_t tcp_secret_ts_offset(const struct tcp_stack *s, const struct ip_addr *local,
	uint16_t local_port, const struct ip_addr *remote, uint16_t remote_port)
{
	struct tuple t = tuple_of(local, local_port, remote, remote_port);

	return (uint32_t)(siphash(s->secret_key, t.words, t.n, 2, 4) >> 32);
}

// A free ephemeral port, 0 if all are taken.
uint16_t tcp_secret_port(struct tcp_stack *s, const struct ip_addr *local,
	const struct ip_addr *remote, uint16_t remote_port)
{
	struct tuple t = tuple_of(local, 0, remote, remote_port);
	uint32_t offset = (uint32_t)siphash(s->secret_key, t.words, t.n, 2, 4);

	for (uint32_t i = 0; i < PORT_COUNT; i++) {
		uint16_t port = (uint16_t)(PORT_FIRST + (offset + s->port_counter++) % PORT_COUNT);
		uint32_t hash = tcp_tuple_hash(s, local, port, remote, remote_port);

		if (!tcp_listener_find(s, port) &&
			!tcp_table_find(s, hash, local, port, remote, remote_port))
			return port;
	}
	return 0;
}
