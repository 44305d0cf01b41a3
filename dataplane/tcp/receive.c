// SPDX-License-Identifier: Apache-2.0
// The receiving half: bytes in order to the application, the window, when to acknowledge.
//
//      delivered, not consumed     window offered
//   ──┬───────────────────────┬──────────────────────┬──▶ sequence
//     rcv_nxt - rcv_pending   rcv_nxt                rcv_adv
//
// rcv_adv never moves left (SHLD-14): whatever was once offered is accepted, even where a scaled
// window field has to be rounded down.

#include "dataplane/tcp/internal.h"

static uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

// The buffer, as far as the window field can tell it.
static uint32_t size_of(const struct tcp_conn *c)
{
	return min_u32(c->stack->config.recv_window_bytes, (uint32_t)UINT16_MAX << c->rcv_shift);
}

// How far the right edge could move now.
static uint32_t edge_gain(const struct tcp_conn *c)
{
	uint32_t size = size_of(c);
	uint32_t room = c->rcv_pending < size ? size - c->rcv_pending : 0;
	int32_t gain = seq_diff(c->rcv_nxt + room, c->rcv_adv);

	return gain > 0 ? (uint32_t)gain : 0;
}

// The window to put into a segment. MUST-39: the edge moves by a segment or half the buffer, or not
// at all.
uint16_t tcp_receive_window(struct tcp_conn *c)
{
	uint32_t size = size_of(c);
	uint32_t gain = edge_gain(c);

	if (gain >= min_u32(size / 2, c->rcv_mss))
		c->rcv_adv += gain;
	return (uint16_t)((c->rcv_adv - c->rcv_nxt) >> c->rcv_shift);
}

// An update of its own once half the buffer is free again, or earlier when the peer is about to run
// dry.
void tcp_receive_update(struct tcp_conn *c)
{
	uint32_t size = size_of(c);
	uint32_t gain = edge_gain(c);
	uint32_t offered = c->rcv_adv - c->rcv_nxt;

	if (gain >= size / 2 || (offered < size / 4 && gain >= min_u32(size / 2, 2u * c->rcv_mss)))
		tcp_conn_ack_now(c);
}

// SHLD-18, SHLD-19: every second full segment at once, else after a short while; at once when a
// gap was filled (RFC 5681 4.2).
static void schedule_ack(struct tcp_conn *c, bool filled_gap)
{
	if (c->acks_due > 1)
		c->acks_due = 1;  // those were duplicates of an older number
	if (filled_gap || c->rcv_nxt - c->ack_sent >= 2u * c->rcv_mss)
		tcp_conn_ack_now(c);
	else if (!tcp_timer_set_p(c, TCP_TIMER_ACK))
		tcp_timer_set(c, TCP_TIMER_ACK, c->stack->now + TCP_ACK_DELAY);
}

static void out_of_order(struct tcp_conn *c, const struct tcp_seg *seg)
{
	tcp_ooo_add(c, seg);
	// One duplicate ACK for each: the peer counts them (RFC 5681 3.2).
	if (c->acks_due < TCP_DUPACKS_OUT_MAX)
		c->acks_due++;
	tcp_conn_ready(c);
}

// seg lies within the window and has payload.
void tcp_receive_text(struct tcp_conn *c, const struct tcp_seg *seg)
{
	struct tcp_stack *s = c->stack;
	bool gap = c->ooo_first;
	struct chain in = {0};

	if (seg->len > c->rcv_mss)
		c->rcv_mss = (uint16_t)min_u32(seg->len, s->config.mtu);
	if (seg->seq != c->rcv_nxt) {
		out_of_order(c, seg);
		return;
	}
	chain_push(&in, seg->buf, seg->payload, seg->len);
	c->rcv_nxt += seg->len;
	if (gap)  // SHLD-31
		tcp_ooo_take(c, &in);
	c->rcv_pending += (uint32_t)in.len;
	c->bytes_in += in.len;
	s->counters.bytes_in += in.len;
	schedule_ack(c, gap);
	if (c->ops->data)
		c->ops->data(c, &in);
	else
		tcp_consumed(c, in.len);
	chain_clear(&in);
}

// The peer's FIN is in order.
void tcp_receive_fin(struct tcp_conn *c)
{
	uint8_t before = c->state;

	c->rcv_nxt++;
	tcp_ooo_clear(c);
	tcp_conn_ack_now(c);
	if (before == TCP_ESTABLISHED)
		c->state = TCP_CLOSE_WAIT;
	else if (before == TCP_FIN_WAIT_1)
		c->state = TCP_CLOSING;
	if (c->ops->eof)
		c->ops->eof(c);
	if (before == TCP_FIN_WAIT_2 && c->state != TCP_CLOSED)
		tcp_conn_time_wait(c);
}
