// SPDX-License-Identifier: Apache-2.0
// See lossy_link.h. Packets in flight are a list sorted by arrival.
#include "test/sim/lossy_link.h"

#include <stdlib.h>
#include <string.h>

void lossy_link_init(struct lossy_link *link, const struct link_faults *faults, uint64_t seed)
{
	*link = (struct lossy_link){.faults = *faults};
	rng_seed(&link->rng, seed);
}

void lossy_link_fini(struct lossy_link *link)
{
	while (link->first) {
		struct link_packet *p = link->first;

		link->first = p->next;
		free(p);
	}
}

static bool chance(struct lossy_link *link, double p)
{
	return p > 0 && rng_unit(&link->rng) <= p;
}

static void enqueue(struct lossy_link *link, struct link_packet *p)
{
	struct link_packet **at = &link->first;

	p->serial = link->serial++;
	while (*at && (*at)->at <= p->at)
		at = &(*at)->next;
	p->next = *at;
	*at = p;
}

// Blanks an option of a SYN and writes the checksum anew, as a middlebox would.
static void blank_option(struct link_packet *p, uint8_t kind)
{
	uint32_t header_len = (p->bytes[12] >> 4) * 4u;
	struct tcp_tx tx = {.src = p->src, .dst = p->dst, .header_len = (uint8_t)header_len};
	uint8_t copy[TCP_HEADER_MAX];

	if (!(p->bytes[13] & 0x02))
		return;
	for (uint32_t i = 20; i < header_len;) {
		uint8_t len = p->bytes[i] <= 1 ? 1 : p->bytes[i + 1];

		if (p->bytes[i] == kind)
			memset(&p->bytes[i], 1, len);
		i += len;
	}
	p->bytes[16] = p->bytes[17] = 0;
	memcpy(tx.header, p->bytes, header_len);
	tcp_tx_write(&tx, copy, false);
	memcpy(p->bytes, copy, header_len);
}

static ns_t arrival(struct lossy_link *link, uint32_t len, ns_t now)
{
	const struct link_faults *f = &link->faults;
	ns_t at = now;

	if (f->bits_per_s) {
		ns_t took = (ns_t)((uint64_t)(len + 40) * 8 * 1000000000u / f->bits_per_s);

		if (link->free_at < now)
			link->free_at = now;
		if (f->queue_bytes_max &&
			(uint64_t)(link->free_at - now) * f->bits_per_s / 8000000000u >
				f->queue_bytes_max)
			return -1;
		link->free_at += took;
		at = link->free_at;
	}
	at += f->delay;
	if (f->jitter)
		at += (ns_t)(rng_unit(&link->rng) * (double)f->jitter);
	if (chance(link, f->reorder))
		at += (ns_t)(rng_unit(&link->rng) * 4 * (double)(f->delay + f->jitter + 1000));
	return at;
}

static void deliver(struct lossy_link *link, const struct tcp_tx *tx, ns_t now)
{
	uint32_t len = tx->header_len + (uint32_t)tx->payload_len;
	ns_t at = arrival(link, len, now);
	struct link_packet *p;

	if (at < 0) {
		link->lost++;
		return;
	}
	p = malloc(sizeof(*p) + len);
	*p = (struct link_packet){.at = at, .src = tx->src, .dst = tx->dst, .len = len};
	tcp_tx_write(tx, p->bytes, false);
	if (link->faults.strip_timestamps)
		blank_option(p, 8);
	if (link->faults.strip_wscale)
		blank_option(p, 3);
	if (chance(link, link->faults.corrupt)) {
		uint32_t bit = rng_below(&link->rng, len * 8);

		p->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		link->corrupted++;
	}
	enqueue(link, p);
}

void lossy_link_send(struct lossy_link *link, const struct tcp_tx *tx, ns_t now)
{
	link->sent++;
	if (link->down || chance(link, link->faults.loss)) {
		link->lost++;
		return;
	}
	deliver(link, tx, now);
	if (chance(link, link->faults.duplicate)) {
		link->duplicated++;
		deliver(link, tx, now);
	}
}

ns_t lossy_link_next(const struct lossy_link *link)
{
	return link->first ? link->first->at : NS_NEVER;
}

struct link_packet *lossy_link_take(struct lossy_link *link, ns_t now)
{
	struct link_packet *p = link->first;

	if (!p || p->at > now)
		return NULL;
	link->first = p->next;
	return p;
}
