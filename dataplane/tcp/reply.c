// SPDX-License-Identifier: Apache-2.0
// Segments that belong to no connection: resets, and ACKs out of TIME-WAIT.
//
// They wait in a ring for tcp_output; when it is full, new ones are dropped, which limits what a
// flood of stray segments can make us send. The peer will ask again.

#include "dataplane/tcp/internal.h"

void tcp_reply_push(struct tcp_stack *s, const struct tcp_reply *reply)
{
	if (s->replies_count == TCP_REPLIES)
		return;
	s->replies[(s->replies_first + s->replies_count++) % TCP_REPLIES] = *reply;
}

// RFC 9293 3.10.7.1. Never in answer to a reset.
void tcp_reply_reset(struct tcp_stack *s, const struct tcp_seg *seg)
{
	struct tcp_reply reply = {.src = *seg->dst,
		.dst = *seg->src,
		.src_port = seg->dst_port,
		.dst_port = seg->src_port};

	if (seg->flags & TCP_RST)
		return;
	if (seg->flags & TCP_ACK) {
		reply.seq = seg->ack;
		reply.flags = TCP_RST;
	} else {
		reply.ack = seg->seq + tcp_segment_len(seg);
		reply.flags = TCP_RST | TCP_ACK;
	}
	tcp_reply_push(s, &reply);
}

bool tcp_reply_pop(struct tcp_stack *s, struct tcp_tx *tx)
{
	const struct tcp_reply *r = &s->replies[s->replies_first];

	if (s->replies_count == 0)
		return false;
	s->replies_first = (s->replies_first + 1) % TCP_REPLIES;
	s->replies_count--;
	tcp_tx_begin(tx, &r->src, &r->dst, r->src_port, r->dst_port, r->seq, r->ack, r->flags,
		r->window);
	if (r->ts)
		tcp_tx_options_end(
			tx, tcp_options_write_ts(tx->header + tx->header_len, r->tsval, r->tsecr));
	tx->ttl = s->config.ttl;
	tx->dscp = 0;
	if (r->flags & TCP_RST)
		s->counters.resets_out++;
	return true;
}
