// SPDX-License-Identifier: Apache-2.0
// The peer's acknowledgements: what leaves the send queue, round-trip samples, the send window, and
// what an acknowledged FIN means for the state.

#include "dataplane/tcp/internal.h"

static void sample_rtt(struct tcp_conn *c, const struct tcp_seg *seg)
{
	struct tcp_stack *s = c->stack;

	if (c->flags & C_TIMING && seq_ge(seg->ack, c->rtt_seq)) {
		c->flags &= ~(uint32_t)C_TIMING;
		tcp_rtt_sample(c, (s->now - c->rtt_start) / NS_PER_US);
		return;
	}
	// An echo is good even for what was sent again, but only to a millisecond.
	if (c->flags & C_TS && seg->options.has_ts && seg->options.tsecr &&
		(c->flags & C_BACKED_OFF || c->srtt_us == 0)) {
		uint32_t ms = tcp_clock_ms(s) + c->ts_offset - seg->options.tsecr;

		if (ms < TCP_RTO_MAX_US / 1000)
			tcp_rtt_sample(c, (ms ? ms : 1) * (int64_t)1000);
	}
}

// RFC 5681 2: it acknowledges nothing new, carries nothing, changes nothing, and something is
// outstanding.
static bool is_duplicate(const struct tcp_conn *c, const struct tcp_seg *seg)
{
	return seg->ack == c->snd_una && c->snd_max != c->snd_una && tcp_segment_len(seg) == 0 &&
	       !seg->had_text && !(c->flags & C_PERSIST) && c->snd_wnd > 0 &&
	       (uint32_t)seg->window << c->snd_shift == c->snd_wnd;
}

// Our FIN is acknowledged.
static void fin_acked(struct tcp_conn *c)
{
	switch (c->state) {
	case TCP_FIN_WAIT_1:
		c->state = TCP_FIN_WAIT_2;
		tcp_timer_keep(c);
		break;
	case TCP_CLOSING:
		tcp_conn_time_wait(c);
		break;
	case TCP_LAST_ACK:
		tcp_conn_end(c, 0);
		break;
	default:
		break;
	}
}

static void restart_timer(struct tcp_conn *c, bool partial_again)
{
	if (c->snd_una == c->snd_max)
		tcp_timer_stop(c, TCP_TIMER_RTX);
	else if (!partial_again)
		tcp_timer_rtx(c);
}

// The window opened, or a probe was taken: what is due next is decided afresh by tcp_output.
static void leave_persist(struct tcp_conn *c)
{
	c->flags &= ~(uint32_t)(C_PERSIST | C_PROBE_DUE);
	c->retries = 0;
	// Probes were answered: their back-off was about the window, not about the path.
	tcp_rtt_forget_back_off(c);
	restart_timer(c, false);
	tcp_conn_ready(c);
}

static void new_ack(struct tcp_conn *c, const struct tcp_seg *seg)
{
	uint32_t acked = seg->ack - c->snd_una;
	uint32_t data = acked < c->sendq.len ? acked : (uint32_t)c->sendq.len;
	bool partial_again;

	sample_rtt(c, seg);
	tcp_sendq_acked(c, data);
	c->snd_una = seg->ack;
	c->snd_nxt = seq_max(c->snd_nxt, c->snd_una);
	c->retries = 0;
	c->progress_at = c->stack->now;
	c->flags &= ~(uint32_t)C_RTX_DUE;
	tcp_cc_new_ack(c, acked);
	// RFC 6582 3.2 step 3: only the first partial ACK restarts the timer.
	partial_again = c->flags & C_RECOVERY && c->flags & C_PARTIAL;
	if (c->flags & C_RECOVERY)
		c->flags |= C_PARTIAL;
	restart_timer(c, partial_again);
	if (c->flags & C_PERSIST)
		leave_persist(c);
	tcp_conn_ready(c);
	if (acked > data)
		fin_acked(c);
	if (data > 0 && c->state != TCP_CLOSED && c->ops->writable && tcp_send_room(c) > 0)
		c->ops->writable(c);
}

// RFC 9293 3.10.7.4, for an ACK of snd_una or more; SND.WL2 never lies beyond that and is not kept.
// The window may shrink (MUST-34): output then finds less or no room.
void tcp_ack_window(struct tcp_conn *c, const struct tcp_seg *seg)
{
	if (seq_gt(c->snd_wl1, seg->seq))
		return;
	c->snd_wnd = (uint32_t)seg->window << c->snd_shift;
	c->snd_wl1 = seg->seq;
	if (c->snd_wnd > c->snd_wnd_max)
		c->snd_wnd_max = c->snd_wnd;
	if (c->flags & C_PERSIST && c->snd_wnd > 0)
		leave_persist(c);
	tcp_conn_ready(c);
}

bool tcp_ack_input(struct tcp_conn *c, const struct tcp_seg *seg)
{
	// RFC 5961 5.2: neither what was never sent nor what is too old to be an honest duplicate.
	if (seq_gt(seg->ack, c->snd_max) || seq_lt(seg->ack, c->snd_una - c->snd_wnd_max)) {
		c->stack->counters.drop_ack++;
		tcp_conn_challenge(c);
		return false;
	}
	if (c->flags & C_PERSIST)  // MUST-37: a peer that answers probes may stay closed for ever
		c->progress_at = c->stack->now;
	if (seq_gt(seg->ack, c->snd_una))
		new_ack(c, seg);
	else if (is_duplicate(c, seg))
		tcp_cc_dupack(c);
	if (c->state == TCP_CLOSED)
		return false;
	if (seq_ge(seg->ack, c->snd_una))
		tcp_ack_window(c, seg);
	return true;
}
