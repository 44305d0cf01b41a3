// SPDX-License-Identifier: Apache-2.0
// The connections of a stack: a pool made at start and a hash table over the four names.
//
// Buckets are chains through the connections themselves; there are at least as many buckets as
// connections, and the hash is keyed, so chains stay short whatever peers choose.

#include <stdlib.h>

#include "dataplane/tcp/internal.h"

static uint32_t buckets_for(uint32_t n)
{
	uint32_t buckets = 16;

	while (buckets < n && buckets < (1u << 30))
		buckets <<= 1;
	return buckets;
}

int tcp_table_init(struct tcp_stack *s)
{
	uint32_t n = s->config.conns_max;
	uint32_t buckets = buckets_for(n);

	s->conns = calloc(n, sizeof(*s->conns));
	s->buckets = calloc(buckets, sizeof(*s->buckets));
	if (!s->conns || !s->buckets)
		return -1;
	s->bucket_mask = buckets - 1;
	for (uint32_t i = n; i > 0; i--) {
		s->conns[i - 1].hash_next = s->conns_free;
		s->conns_free = &s->conns[i - 1];
	}
	return 0;
}

void tcp_table_fini(struct tcp_stack *s)
{
	free(s->buckets);
	free(s->conns);
}

struct tcp_conn *tcp_table_find(const struct tcp_stack *s, uint32_t hash,
	const struct ip_addr *local, uint16_t local_port, const struct ip_addr *remote,
	uint16_t remote_port)
{
	struct tcp_conn *c = s->buckets[hash & s->bucket_mask];

	for (; c; c = c->hash_next) {
		if (c->remote_port == remote_port && c->local_port == local_port &&
			ip_equal(&c->remote, remote) && ip_equal(&c->local, local))
			return c;
	}
	return NULL;
}

// A zeroed connection in the table, NULL if all are in use.
struct tcp_conn *tcp_table_add(struct tcp_stack *s, uint32_t hash, const struct ip_addr *local,
	uint16_t local_port, const struct ip_addr *remote, uint16_t remote_port)
{
	struct tcp_conn **bucket = &s->buckets[hash & s->bucket_mask];
	struct tcp_conn *c = s->conns_free;

	if (!c)
		return NULL;
	s->conns_free = c->hash_next;
	*c = (struct tcp_conn){.stack = s,
		.hash = hash,
		.local = *local,
		.remote = *remote,
		.local_port = local_port,
		.remote_port = remote_port,
		.hash_next = *bucket};
	*bucket = c;
	s->conns_used++;
	return c;
}

void tcp_table_unlink(struct tcp_conn *c)
{
	struct tcp_conn **at = &c->stack->buckets[c->hash & c->stack->bucket_mask];

	while (*at != c)
		at = &(*at)->hash_next;
	*at = c->hash_next;
	c->hash_next = NULL;
	c->stack->conns_used--;
}

// Back to the pool; unlinked before.
void tcp_table_free(struct tcp_conn *c)
{
	c->hash_next = c->stack->conns_free;
	c->stack->conns_free = c;
}
