// SPDX-License-Identifier: Apache-2.0
// The send queue: a chain from snd_una on that keeps its bytes until they are acknowledged.
//
// Invariant: `cursor` is NULL or a node of the chain; `cursor_end` is the sequence number behind
// its last byte. That number does not change when the front of the node is acknowledged, so finding
// the next unsent byte costs nothing however much is in flight.

#include "dataplane/tcp/internal.h"

struct place {
	struct chain_node *node;
	uint32_t end;
};

// The first `bytes` of the queue are acknowledged; snd_una has not moved yet.
void tcp_sendq_acked(struct tcp_conn *c, uint32_t bytes)
{
	if (c->cursor && seq_le(c->cursor_end, c->snd_una + bytes))
		c->cursor = NULL;
	chain_skip(&c->sendq, bytes);
}

void tcp_sendq_rewind(struct tcp_conn *c)
{
	c->cursor = NULL;
}

static struct place place_first(const struct tcp_conn *c)
{
	return (struct place){
		.node = c->sendq.first, .end = c->snd_una + c->sendq.first->slice.len};
}

static void place_seek(struct place *p, uint32_t seq)
{
	while (seq_le(p->end, seq)) {
		p->node = p->node->next;
		p->end += p->node->slice.len;
	}
}

static bool cursor_serves(const struct tcp_conn *c, uint32_t seq)
{
	return c->cursor && seq_ge(seq, c->cursor_end - c->cursor->slice.len);
}

// Takes the nodes behind `node` out of the queue until `bytes` are gone, the last one in part.
static void drop_behind(struct tcp_conn *c, struct chain_node *node, uint32_t bytes)
{
	struct chain drop = {0};

	while (bytes > 0) {
		struct chain_node *next = node->next;

		if (next->slice.len > bytes) {
			next->slice.data += bytes;
			next->slice.len -= bytes;
			break;
		}
		bytes -= next->slice.len;
		node->next = next->next;
		if (!node->next)
			c->sendq.last = node;
		next->next = NULL;
		drop.len += next->slice.len;
		if (drop.last)
			drop.last->next = next;
		else
			drop.first = next;
		drop.last = next;
	}
	chain_clear(&drop);
}

// Many small slices would leave segments short: [seq, seq + len) is copied into one block that
// takes their place. False at the limit of the pool. p is where seq lies, and afterwards where the
// copy lies.
static bool compact(struct tcp_conn *c, struct place *p, uint32_t seq, uint32_t len)
{
	struct chain fresh = {0};
	uint32_t tail = p->end - seq;  // bytes of p->node from seq on
	uint32_t offset = p->node->slice.len - tail;
	uint8_t *to = chain_reserve(&fresh, c->stack->compact_pool, len);
	uint32_t done = tail;

	if (!to)
		return false;
	memcpy(to, p->node->slice.data + offset, tail);
	for (struct chain_node *n = p->node->next; done < len; n = n->next) {
		uint32_t part = n->slice.len < len - done ? n->slice.len : len - done;

		memcpy(to + done, n->slice.data, part);
		done += part;
	}
	drop_behind(c, p->node, len - tail);
	if (offset == 0) {
		struct slice old = p->node->slice;

		p->node->slice = fresh.first->slice;
		fresh.first->slice = old;
		fresh.len = old.len;
		chain_clear(&fresh);
	} else {
		p->node->slice.len = offset;
		fresh.first->next = p->node->next;
		p->node->next = fresh.first;
		if (c->sendq.last == p->node)
			c->sendq.last = fresh.first;
		p->node = fresh.first;
	}
	p->end = seq + len;
	return true;
}

static uint32_t borrow(struct tcp_tx *tx, struct place *p, uint32_t seq, uint32_t len)
{
	uint32_t done = 0;

	tx->slices = 0;
	while (done < len && tx->slices < TCP_TX_SLICES) {
		uint32_t at = seq + done;
		const struct slice *s;
		uint32_t part;

		place_seek(p, at);
		s = &p->node->slice;
		part = p->end - at;
		if (part > len - done)
			part = len - done;
		tx->payload[tx->slices++] = (struct slice){
			.data = s->data + s->len - (p->end - at), .len = part, .buf = s->buf};
		done += part;
	}
	return done;
}

uint32_t tcp_sendq_map(struct tcp_conn *c, uint32_t seq, uint32_t len, struct tcp_tx *tx)
{
	bool from_cursor = !c->cursor || cursor_serves(c, seq);
	struct place start = place_first(c);
	struct place at;
	uint32_t done;

	if (c->cursor && from_cursor)
		start = (struct place){.node = c->cursor, .end = c->cursor_end};
	place_seek(&start, seq);
	at = start;
	done = borrow(tx, &at, seq, len);
	if (done < len && compact(c, &start, seq, len)) {
		// The cursor may have been among the nodes that are gone.
		if (!from_cursor)
			c->cursor = NULL;
		at = start;
		done = borrow(tx, &at, seq, len);
	}
	if (from_cursor) {
		c->cursor = at.node;
		c->cursor_end = at.end;
	}
	tx->payload_len = (uint16_t)done;
	return done;
}
