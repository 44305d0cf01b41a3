// SPDX-License-Identifier: Apache-2.0
// Packets of net's own: a fixed number of frames, free, waiting for a neighbour, or to be sent.
// Worker thread.
#include "dataplane/net/internal.h"

#include <errno.h>
#include <stdlib.h>

static uint32_t frame_max(const struct net *net)
{
	uint32_t mtu = NET_MTU_MIN;

	for (unsigned i = 0; i < net->setup.ports; i++)
		if (net->setup.port[i].mtu > mtu)
			mtu = net->setup.port[i].mtu;
	return NET_ETHER_HEADER + mtu;
}

int packets_init(struct net *net)
{
	size_t stride = (sizeof(struct packet) + frame_max(net) + 63) / 64 * 64;

	net->packet_memory = calloc(PACKETS_MAX, stride);
	if (!net->packet_memory)
		return -ENOMEM;
	for (unsigned i = 0; i < PACKETS_MAX; i++)
		packet_push(&net->free_packets,
			(struct packet *)(void *)(net->packet_memory + i * stride));
	return 0;
}

struct packet *packet_new(struct net *net, unsigned port, uint32_t len)
{
	struct packet *p = NULL;

	if (len <= frame_max(net))
		p = packet_pop(&net->free_packets);
	if (!p) {
		count(&net->counters.drop_no_packet);
		return NULL;
	}
	p->port = (uint8_t)port;
	p->len = len;
	return p;
}

void packet_free(struct net *net, struct packet *p)
{
	packet_push(&net->free_packets, p);
}

void packet_push(struct packets *q, struct packet *p)
{
	p->next = NULL;
	if (q->last)
		q->last->next = p;
	else
		q->first = p;
	q->last = p;
	q->count++;
}

struct packet *packet_pop(struct packets *q)
{
	struct packet *p = q->first;

	if (!p)
		return NULL;
	q->first = p->next;
	if (!q->first)
		q->last = NULL;
	q->count--;
	return p;
}

bool net_output(struct net *net, struct net_tx *out)
{
	struct packet *p;

	if (net->lent)
		packet_free(net, net->lent);
	net->lent = p = packet_pop(&net->output);
	if (!p)
		return false;
	*out = (struct net_tx){.port = p->port, .len = p->len, .data = p->data};
	return true;
}

unsigned net_packets(const struct net *net)
{
	return PACKETS_MAX - net->free_packets.count;
}
