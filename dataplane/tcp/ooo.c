// SPDX-License-Identifier: Apache-2.0
// What arrived before its turn: segments held by reference, sorted, without overlaps.
//
// Bytes are limited for each connection and for the stack. A short segment counts as
// TCP_OOO_CHARGE_MIN, which bounds the records and the buffers that many tiny segments could pin.

#include <stdlib.h>

#include "dataplane/tcp/internal.h"

int tcp_ooo_init(struct tcp_stack *s)
{
	size_t n = s->config.ooo_bytes_stack / TCP_OOO_CHARGE_MIN;

	s->ooos = calloc(n ? n : 1, sizeof(*s->ooos));
	if (!s->ooos)
		return -1;
	for (size_t i = n; i > 0; i--) {
		s->ooos[i - 1].next = s->ooos_free;
		s->ooos_free = &s->ooos[i - 1];
	}
	return 0;
}

void tcp_ooo_fini(struct tcp_stack *s)
{
	free(s->ooos);
}

static uint32_t charge_of(uint32_t len)
{
	return len < TCP_OOO_CHARGE_MIN ? TCP_OOO_CHARGE_MIN : len;
}

static void release(struct tcp_conn *c, struct tcp_ooo *o)
{
	c->ooo_charge -= charge_of(o->len);
	c->stack->ooo_charge -= charge_of(o->len);
	buf_unref(o->buf);
	o->next = c->stack->ooos_free;
	c->stack->ooos_free = o;
}

static bool has_room(const struct tcp_conn *c, uint32_t len)
{
	const struct tcp_stack *s = c->stack;
	uint32_t charge = charge_of(len);

	return c->ooo_charge + charge <= s->config.ooo_bytes_conn &&
	       s->ooo_charge + charge <= s->config.ooo_bytes_stack && s->ooos_free;
}

// The last record that starts at or before seq; NULL if there is none.
static struct tcp_ooo *find_before(struct tcp_conn *c, uint32_t seq)
{
	struct tcp_ooo *before = NULL;

	if (c->ooo_last && seq_le(c->ooo_last->seq, seq))
		return c->ooo_last;
	for (struct tcp_ooo *o = c->ooo_first; o && seq_le(o->seq, seq); o = o->next)
		before = o;
	return before;
}

static void link_behind(struct tcp_conn *c, struct tcp_ooo *before, struct tcp_ooo *o)
{
	struct tcp_ooo **at = before ? &before->next : &c->ooo_first;

	o->next = *at;
	*at = o;
	if (!o->next)
		c->ooo_last = o;
}

// Removes the records behind `before` that [seq, end) covers; returns where the next one cuts the
// new.
static uint32_t drop_covered(struct tcp_conn *c, struct tcp_ooo *before, uint32_t end)
{
	struct tcp_ooo **at = before ? &before->next : &c->ooo_first;

	while (*at && seq_lt((*at)->seq, end)) {
		struct tcp_ooo *o = *at;

		if (seq_gt(o->seq + o->len, end))
			return o->seq;
		*at = o->next;  // the new one comes here; it sets ooo_last
		release(c, o);
	}
	return end;
}

//      held   ####      ####  ##
//      new      =============
//      kept   ####======####  ##      what was there first stays at the edges, what is covered goes
void tcp_ooo_add(struct tcp_conn *c, const struct tcp_seg *seg)
{
	struct tcp_ooo *before = find_before(c, seg->seq);
	uint32_t start = seg->seq, end = seg->seq + seg->len;
	struct tcp_ooo *o;

	if (before)
		start = seq_max(start, before->seq + before->len);
	if (seq_ge(start, end))
		return;
	if (!has_room(c, end - start)) {
		c->stack->counters.drop_ooo++;
		return;
	}
	end = drop_covered(c, before, end);
	if (start == end)
		return;
	o = c->stack->ooos_free;
	c->stack->ooos_free = o->next;
	*o = (struct tcp_ooo){.seq = start,
		.len = end - start,
		.data = seg->payload + (start - seg->seq),
		.buf = buf_ref(seg->buf)};
	c->ooo_charge += charge_of(o->len);
	c->stack->ooo_charge += charge_of(o->len);
	link_behind(c, before, o);
}

static struct tcp_ooo *pop(struct tcp_conn *c)
{
	struct tcp_ooo *o = c->ooo_first;

	c->ooo_first = o->next;
	if (!c->ooo_first)
		c->ooo_last = NULL;
	return o;
}

void tcp_ooo_take(struct tcp_conn *c, struct chain *to)
{
	while (c->ooo_first && seq_le(c->ooo_first->seq, c->rcv_nxt)) {
		struct tcp_ooo *o = pop(c);
		uint32_t skip = c->rcv_nxt - o->seq;

		if (skip < o->len) {
			chain_push(to, o->buf, o->data + skip, o->len - skip);
			c->rcv_nxt += o->len - skip;
		}
		release(c, o);
	}
}

void tcp_ooo_clear(struct tcp_conn *c)
{
	while (c->ooo_first)
		release(c, pop(c));
}
