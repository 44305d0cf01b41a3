// SPDX-License-Identifier: Apache-2.0
// Sending, see tx.h. Worker thread.
//
// TCP is asked for segments only while the queues have room, so back pressure of a port reaches
// the congestion window instead of being loss. A port that takes nothing for STALL_NS is left
// aside: its packets are dropped (TCP retransmits them) and the other ports go on.
#include "dataplane/tx.h"

#include <errno.h>
#include <string.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "dataplane/dataplane.h"
#include "dataplane/worker.h"

#define SEGMENTS 32
#define STALL_NS (10 * NS_PER_MS)
#define IP_PROTOCOL_TCP 6

static unsigned flush(struct worker *w, unsigned port, ns_t now)
{
	struct tx *tx = &w->tx[port];
	uint16_t sent;

	if (!tx->count)
		return 0;
	sent = rte_eth_tx_burst(w->dp->ports.port[port].id, (uint16_t)w->id, tx->packet, tx->count);
	if (!sent) {
		if (!tx->stuck)
			tx->stuck = now;
		tx->stalled = now - tx->stuck > STALL_NS;
		return 0;
	}
	tx->stuck = 0;
	tx->stalled = false;
	tx->count = (uint16_t)(tx->count - sent);
	memmove(tx->packet, tx->packet + sent, tx->count * sizeof(tx->packet[0]));
	counter_add(&w->counters.tx_packets, sent);
	return sent;
}

static unsigned flush_all(struct worker *w, ns_t now)
{
	unsigned sent = 0;

	for (unsigned i = 0; i < w->dp->ports.count; i++)
		sent += flush(w, i, now);
	return sent;
}

// Room for segments whichever port they leave by.
static unsigned room(const struct worker *w)
{
	unsigned least = SEGMENTS;

	for (unsigned i = 0; i < w->dp->ports.count; i++) {
		const struct tx *tx = &w->tx[i];

		if (!tx->stalled && (unsigned)(TX_QUEUE - tx->count) < least)
			least = TX_QUEUE - tx->count;
	}
	return least;
}

// A packet buffer of len bytes that is queued already; NULL (counted).
static struct rte_mbuf *queue(struct worker *w, unsigned port, uint32_t len)
{
	struct tx *tx = &w->tx[port];
	struct rte_mbuf *m;

	if (tx->count == TX_QUEUE) {
		counter_add(
			tx->stalled ? &w->counters.tx_drop_stalled : &w->counters.tx_drop_full, 1);
		return NULL;
	}
	if (len > NET_ETHER_HEADER + (uint32_t)w->dp->ports.port[port].mtu) {
		counter_add(&w->counters.tx_drop_too_long, 1);
		return NULL;
	}
	m = rte_pktmbuf_alloc(w->dp->ports.port[port].pool);
	if (!m) {
		counter_add(&w->counters.tx_drop_no_mbuf, 1);
		return NULL;
	}
	m->data_len = (uint16_t)len;
	m->pkt_len = len;
	tx->packet[tx->count++] = m;
	counter_add(&w->counters.tx_bytes, len);
	return m;
}

static void send_segment(struct worker *w, const struct tcp_tx *segment, ns_t now)
{
	uint16_t l4_len = (uint16_t)(segment->header_len + segment->payload_len);
	struct net_ip ip = {.src = segment->src, .dst = segment->dst, .ttl = segment->ttl,
		.dscp = segment->dscp, .protocol = IP_PROTOCOL_TCP, .payload_len = l4_len};
	const struct port *port;
	struct net_path path;
	struct rte_mbuf *m;
	uint8_t *to;
	int error = net_path(w->net, &segment->dst, now, &path);

	if (error == -EINPROGRESS) {
		to = net_defer(w->net, &path, NET_HEADERS + (uint32_t)l4_len);
		if (!to)
			return;
		net_write_headers(&path, &ip, to, false);
		tcp_tx_write(segment, to + NET_HEADERS, false);
	}
	if (error)
		return;  // net has counted it
	m = queue(w, path.port, NET_HEADERS + (uint32_t)l4_len);
	if (!m)
		return;
	port = &w->dp->ports.port[path.port];
	to = rte_pktmbuf_mtod(m, uint8_t *);
	net_write_headers(&path, &ip, to, port->tx_ip_checksum);
	tcp_tx_write(segment, to + NET_HEADERS, port->tx_tcp_checksum);
	if (!port->tx_ip_checksum && !port->tx_tcp_checksum)
		return;
	m->l2_len = NET_ETHER_HEADER;
	m->l3_len = NET_IPV4_HEADER;
	m->l4_len = segment->header_len;
	m->ol_flags |= RTE_MBUF_F_TX_IPV4;
	if (port->tx_ip_checksum)
		m->ol_flags |= RTE_MBUF_F_TX_IP_CKSUM;
	if (port->tx_tcp_checksum)
		m->ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM;
}

static unsigned pull_segments(struct worker *w, ns_t now)
{
	struct tcp_tx segment[SEGMENTS];
	unsigned built = 0, n, wanted;

	do {
		wanted = room(w);
		n = wanted ? tcp_output(w->tcp, now, segment, wanted) : 0;
		for (unsigned i = 0; i < n; i++)
			send_segment(w, &segment[i], now);
		built += n;
		flush_all(w, now);
	} while (n && n == wanted);
	return built;
}

static unsigned pull_frames(struct worker *w)
{
	struct net_tx frame;
	unsigned built = 0;

	while (net_output(w->net, &frame)) {
		struct rte_mbuf *m = queue(w, frame.port, frame.len);

		if (m)
			memcpy(rte_pktmbuf_mtod(m, void *), frame.data, frame.len);
		built++;
	}
	return built;
}

unsigned tx_run(struct worker *w, ns_t now)
{
	unsigned work = flush_all(w, now);

	work += pull_segments(w, now);
	// After the segments, since those may make net ask for a neighbour.
	work += pull_frames(w);
	work += flush_all(w, now);
	return work;
}

bool tx_empty(const struct worker *w)
{
	for (unsigned i = 0; i < w->dp->ports.count; i++)
		if (w->tx[i].count)
			return false;
	return true;
}

void tx_clear(struct worker *w)
{
	for (unsigned i = 0; i < w->dp->ports.count; i++) {
		rte_pktmbuf_free_bulk(w->tx[i].packet, w->tx[i].count);
		w->tx[i].count = 0;
	}
}
