// SPDX-License-Identifier: Apache-2.0
// How many connections each remote address has opened to us, for the limit for each address.
//
// A record lives while its address has a counted connection, so there are never more records than
// connections. Connections that we open ourselves are not counted.

#include <stdlib.h>

#include "dataplane/tcp/internal.h"
#include "dataplane/tcp/siphash.h"

int tcp_peers_init(struct tcp_stack *s)
{
	uint32_t n = s->config.conns_max;

	s->peers = calloc(n, sizeof(*s->peers));
	s->peer_buckets = calloc((size_t)s->bucket_mask + 1, sizeof(*s->peer_buckets));
	if (!s->peers || !s->peer_buckets)
		return -1;
	for (uint32_t i = n; i > 0; i--) {
		s->peers[i - 1].next = s->peers_free;
		s->peers_free = &s->peers[i - 1];
	}
	return 0;
}

void tcp_peers_fini(struct tcp_stack *s)
{
	free(s->peer_buckets);
	free(s->peers);
}

static uint32_t addr_hash(const struct tcp_stack *s, const struct ip_addr *addr)
{
	return (uint32_t)siphash(s->table_key, addr->q, 2, 1, 3);
}

static struct tcp_peer *find(const struct tcp_stack *s, uint32_t hash, const struct ip_addr *addr)
{
	struct tcp_peer *p = s->peer_buckets[hash & s->bucket_mask];

	while (p && !ip_equal(&p->addr, addr))
		p = p->next;
	return p;
}

bool tcp_peer_full(const struct tcp_stack *s, const struct ip_addr *addr)
{
	const struct tcp_peer *p;

	if (s->conns_per_address_max == 0)
		return false;
	p = find(s, addr_hash(s, addr), addr);
	return p && p->conns >= s->conns_per_address_max;
}

void tcp_peer_enter(struct tcp_conn *c)
{
	struct tcp_stack *s = c->stack;
	uint32_t hash = addr_hash(s, &c->remote);
	struct tcp_peer *p = find(s, hash, &c->remote);

	if (!p) {
		struct tcp_peer **bucket = &s->peer_buckets[hash & s->bucket_mask];

		p = s->peers_free;
		assert(p && "as many records as connections");
		s->peers_free = p->next;
		*p = (struct tcp_peer){.addr = c->remote, .hash = hash, .next = *bucket};
		*bucket = p;
	}
	p->conns++;
	c->peer = p;
}

void tcp_peer_leave(struct tcp_conn *c)
{
	struct tcp_stack *s = c->stack;
	struct tcp_peer *p = c->peer;
	struct tcp_peer **at;

	c->peer = NULL;
	if (!p || --p->conns > 0)
		return;
	at = &s->peer_buckets[p->hash & s->bucket_mask];
	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	p->next = s->peers_free;
	s->peers_free = p;
}
