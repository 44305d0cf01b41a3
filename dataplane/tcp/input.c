// SPDX-License-Identifier: Apache-2.0
// A segment arrives: checked, matched to its connection, and taken through the steps of RFC 9293
// 3.10.7.4 in their order. Each step returns whether the next one has anything to do.

#include "dataplane/tcp/internal.h"

// After a time much longer than any reordering an old timestamp says nothing (RFC 7323 5.5).
static bool paws_expired(const struct tcp_conn *c)
{
	return tcp_clock_ms(c->stack) - c->ts_recent_ms > TCP_PAWS_IDLE_MS;
}

// An answer to a segment that is not acceptable. With payload at once: it may be a window probe.
// Without, rarely: two sides that both find the other's ACKs wrong must not answer each other for
// ever.
static void reject(struct tcp_conn *c, const struct tcp_seg *seg)
{
	if (tcp_segment_len(seg) > 0 || tcp_conn_may_challenge(c))
		tcp_conn_ack_now(c);
}

static void reset_by_peer(struct tcp_conn *c)
{
	bool done = (c->state == TCP_CLOSING || c->state == TCP_LAST_ACK) && c->sendq.len == 0;

	c->stack->counters.resets_in++;
	if (c->state == TCP_SYN_RECEIVED)
		tcp_conn_end(c, -ECONNREFUSED);
	else
		tcp_conn_end(c, done ? 0 : -ECONNRESET);
}

// RFC 5961 3.2: only the exact number resets; elsewhere in the window the peer has to prove itself.
// MUST-66: also while the window is closed.
static bool check_rst(struct tcp_conn *c, struct tcp_seg *seg)
{
	if (!(seg->flags & TCP_RST))
		return true;
	if (seg->seq == c->rcv_nxt) {
		reset_by_peer(c);
	} else if (seq_gt(seg->seq, c->rcv_nxt) && seq_lt(seg->seq, c->rcv_adv)) {
		tcp_conn_challenge(c);
	} else {
		c->stack->counters.drop_window++;
	}
	return false;
}

// RFC 7323 5.3, and 3.2: once agreed, a segment without a timestamp is dropped.
static bool check_paws(struct tcp_conn *c, struct tcp_seg *seg)
{
	if (!(c->flags & C_TS))
		return true;
	if (!seg->options.has_ts) {
		c->stack->counters.drop_paws++;
		return false;
	}
	if (seq_lt(seg->options.tsval, c->ts_recent) && !paws_expired(c)) {
		c->stack->counters.drop_paws++;
		reject(c, seg);
		return false;
	}
	return true;
}

static bool check_syn(struct tcp_conn *c, struct tcp_seg *seg)
{
	bool again = seg->seq + 1 == c->rcv_nxt;

	if (!(seg->flags & TCP_SYN))
		return true;
	if (c->state == TCP_SYN_RECEIVED && again) {
		if (seg->flags & TCP_ACK) {
			// Simultaneous open: both SYNs have crossed, this one acknowledges ours.
			seg->flags &= (uint8_t)~TCP_SYN;
			seg->seq++;
			return true;
		}
		c->flags |= C_SYN_DUE;  // our SYN-ACK was lost
		tcp_conn_ready(c);
		return false;
	}
	if (c->state == TCP_SYN_RECEIVED && !(c->flags & C_ACTIVE) &&
		seq_ge(seg->seq, c->rcv_nxt) && seq_lt(seg->seq, c->rcv_adv)) {
		tcp_conn_drop_half_open(c);  // 3.10.7.4: back to LISTEN
		return false;
	}
	tcp_conn_challenge(c);  // RFC 5961 4.2
	return false;
}

// The part left of rcv_nxt goes. False: nothing new at all.
static bool trim_front(struct tcp_conn *c, struct tcp_seg *seg)
{
	uint32_t old = c->rcv_nxt - seg->seq;

	if (seq_ge(seg->seq, c->rcv_nxt))
		return true;
	if (seq_gt(c->rcv_nxt, seg->seq + tcp_segment_len(seg)) ||
		seg->seq + tcp_segment_len(seg) == c->rcv_nxt)
		return false;
	if (old > seg->len)
		old = seg->len;
	seg->seq += old;
	seg->payload += old;
	seg->len -= old;
	tcp_conn_ack_now(c);  // it was sent again: our ACK may be lost
	return true;
}

// The part right of the window goes, and a FIN with it.
static void trim_back(struct tcp_conn *c, struct tcp_seg *seg)
{
	uint32_t room = c->rcv_adv - seg->seq;

	if (seg->len <= room)
		return;
	seg->len = room;
	seg->flags &= (uint8_t)~(TCP_FIN | TCP_PSH);
	c->stack->counters.drop_window++;
	tcp_conn_ack_now(c);
}

// The acceptability test. Beyond RFC 9293: at a closed window the rest of a segment that starts at
// rcv_nxt is still looked at (3.10.7.4 asks for its ACK, URG and RST), and so is an ACK right at
// the edge.
static bool check_sequence(struct tcp_conn *c, struct tcp_seg *seg)
{
	uint32_t seq = seg->seq;

	if (!trim_front(c, seg) || seq_gt(seg->seq, c->rcv_adv)) {
		c->stack->counters.drop_window++;
		reject(c, seg);
		return false;
	}
	trim_back(c, seg);
	c->heard_at = c->stack->now;
	c->keep_probes = 0;
	// RFC 7323 4.3: only from a segment that covers the last ACK sent.
	if (c->flags & C_TS && seq_le(seq, c->ack_sent) &&
		(seq_ge(seg->options.tsval, c->ts_recent) || paws_expired(c))) {
		c->ts_recent = seg->options.tsval;
		c->ts_recent_ms = tcp_clock_ms(c->stack);
	}
	return true;
}

static bool syn_received_ack(struct tcp_conn *c, struct tcp_seg *seg)
{
	if (seq_le(seg->ack, c->snd_una) || seq_gt(seg->ack, c->snd_max)) {
		c->stack->counters.drop_ack++;
		tcp_reply_reset(c->stack, seg);
		return false;
	}
	c->snd_wnd = (uint32_t)seg->window << c->snd_shift;
	c->snd_wl1 = seg->seq;
	if (c->snd_wnd > c->snd_wnd_max)
		c->snd_wnd_max = c->snd_wnd;
	return tcp_open_complete(c, seg);
}

static bool check_ack(struct tcp_conn *c, struct tcp_seg *seg)
{
	if (!(seg->flags & TCP_ACK))
		return false;
	if (c->state == TCP_SYN_RECEIVED)
		return syn_received_ack(c, seg);
	return tcp_ack_input(c, seg);
}

static bool receives(const struct tcp_conn *c)
{
	return c->state == TCP_ESTABLISHED || c->state == TCP_FIN_WAIT_1 ||
	       c->state == TCP_FIN_WAIT_2;
}

static bool take_text(struct tcp_conn *c, struct tcp_seg *seg)
{
	if (!receives(c)) {
		if (seg->len > 0)
			c->stack->counters.drop_after_close++;
		return false;
	}
	if (seg->flags & TCP_FIN) {
		c->flags |= C_PEER_FIN_AT;
		c->peer_fin = seg->seq + seg->len;
		if (seg->len == 0 && c->peer_fin != c->rcv_nxt)
			tcp_conn_ack_now(c);
	}
	if (seg->len > 0)
		tcp_receive_text(c, seg);
	return receives(c);
}

static bool take_fin(struct tcp_conn *c, struct tcp_seg *seg)
{
	if (c->flags & C_PEER_FIN_AT && c->peer_fin == c->rcv_nxt)
		tcp_receive_fin(c);
	return false;
}

static bool (*const steps[])(struct tcp_conn *c, struct tcp_seg *seg) = {
	check_rst,
	check_paws,
	check_syn,
	check_sequence,
	check_ack,
	take_text,
	take_fin,
};

static void synchronized_input(struct tcp_conn *c, struct tcp_seg *seg)
{
	for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		if (!steps[i](c, seg))
			return;
	}
}

// RFC 9293 3.10.7.3.
static void syn_sent_input(struct tcp_conn *c, struct tcp_seg *seg)
{
	bool acks = seg->flags & TCP_ACK;

	if (acks && (seq_le(seg->ack, c->iss) || seq_gt(seg->ack, c->snd_max))) {
		c->stack->counters.drop_ack++;
		tcp_reply_reset(c->stack, seg);
		return;
	}
	if (seg->flags & TCP_RST) {
		if (acks) {
			c->stack->counters.resets_in++;
			tcp_conn_end(c, -ECONNREFUSED);
		}
		return;
	}
	if (seg->flags & TCP_SYN)
		tcp_open_syn_sent(c, seg);
}

static bool parse(struct tcp_stack *s, const struct tcp_rx *rx, struct tcp_seg *seg)
{
	s->counters.segments_in++;
	// MUST-57, MUST-63
	if (rx->broadcast || !tcp_addr_is_host(&rx->src) || !tcp_addr_is_host(&rx->dst)) {
		s->counters.drop_broadcast++;
		return false;
	}
	switch (tcp_segment_parse(rx, seg)) {
	case TCP_PARSE_SHORT:
		s->counters.drop_short++;
		return false;
	case TCP_PARSE_CHECKSUM:
		s->counters.drop_checksum++;
		return false;
	case TCP_PARSE_OK:
		break;
	}
	return true;
}

void tcp_input(struct tcp_stack *s, const struct tcp_rx *rx, ns_t now)
{
	struct tcp_seg seg;
	struct tcp_conn *c;
	uint32_t hash;

	s->now = now;
	if (!parse(s, rx, &seg))
		return;
	hash = tcp_tuple_hash(s, seg.dst, seg.dst_port, seg.src, seg.src_port);
	c = tcp_table_find(s, hash, seg.dst, seg.dst_port, seg.src, seg.src_port);
	if (!c) {
		if (!tcp_time_wait_input(s, hash, &seg))
			tcp_listen_input(s, hash, &seg, NULL);
		return;
	}
	tcp_conn_enter(c);
	if (c->state == TCP_SYN_SENT)
		syn_sent_input(c, &seg);
	else
		synchronized_input(c, &seg);
	tcp_conn_leave(c);
}
