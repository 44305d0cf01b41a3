// SPDX-License-Identifier: Apache-2.0
// What may be sent, pulled by the worker after its burst.
//
// Connections with something to do stand on stack->ready. Each gets a turn of TCP_BURST segments,
// in the order: duplicate ACKs, retransmission, window probe, new data and FIN, pure ACK,
// keepalive. An ACK that is due rides on data when there is any (MUST-58).

#include "dataplane/tcp/internal.h"

static uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static uint32_t tsval(const struct tcp_conn *c)
{
	return tcp_clock_ms(c->stack) + c->ts_offset;
}

static void begin(struct tcp_conn *c, struct tcp_tx *tx, uint32_t seq, uint8_t flags)
{
	uint16_t window = tcp_receive_window(c);

	tcp_tx_begin(tx, &c->local, &c->remote, c->local_port, c->remote_port, seq,
		flags & TCP_ACK ? c->rcv_nxt : 0, flags, window);
	tx->ttl = c->stack->config.ttl;
	tx->dscp = c->dscp;
	if (c->flags & C_TS)
		tcp_tx_options_end(tx,
			tcp_options_write_ts(tx->header + tx->header_len, tsval(c), c->ts_recent));
}

static void acked_now(struct tcp_conn *c)
{
	c->ack_sent = c->rcv_nxt;
	tcp_timer_stop(c, TCP_TIMER_ACK);
}

// The number of a segment without payload: the highest sent, for snd_nxt goes back on a timeout and
// the peer ignores what lies behind its rcv_nxt; two sides that both went back would be deaf to
// each other for ever. Not beyond a window that has shrunk.
static uint32_t bare_seq(const struct tcp_conn *c)
{
	uint32_t edge = c->snd_una + c->snd_wnd;

	return seq_le(c->snd_max, edge) ? c->snd_max : seq_max(c->snd_nxt, edge);
}

static bool emit_ack(struct tcp_conn *c, struct tcp_tx *tx)
{
	begin(c, tx, bare_seq(c), TCP_ACK);
	acked_now(c);
	c->acks_due--;
	return true;
}

// MUST-14, SHLD-5, RFC 7323: the options of a SYN. On a SYN-ACK only what the peer offered.
static bool emit_syn(struct tcp_conn *c, struct tcp_tx *tx)
{
	struct tcp_stack *s = c->stack;
	bool answer = c->state == TCP_SYN_RECEIVED;
	uint32_t window = min_u32(s->config.recv_window_bytes, UINT16_MAX);
	uint8_t *at;

	tcp_tx_begin(tx, &c->local, &c->remote, c->local_port, c->remote_port, c->iss,
		answer ? c->rcv_nxt : 0, answer ? TCP_SYN | TCP_ACK : TCP_SYN, (uint16_t)window);
	tx->ttl = s->config.ttl;
	tx->dscp = c->dscp;
	at = tcp_options_write_mss(tx->header + tx->header_len,
		tcp_mss_of_mtu(s->config.mtu, tcp_conn_is_v4(c)));  // MUST-67
	if (c->flags & C_WSCALE)
		at = tcp_options_write_wscale(at, s->window_shift);
	if (c->flags & C_TS)
		at = tcp_options_write_ts(at, tsval(c), answer ? c->ts_recent : 0);
	tcp_tx_options_end(tx, at);
	c->flags &= ~(uint32_t)C_SYN_DUE;
	c->acks_due = 0;
	c->rcv_adv = c->rcv_nxt + window;
	if (c->snd_max == c->iss) {
		c->snd_nxt = c->snd_max = c->iss + 1;
		c->rtt_start = s->now;
		c->flags |= C_TIMING;
	} else {
		c->flags &= ~(uint32_t)C_TIMING;
		s->counters.retransmits++;
		c->retransmits++;
	}
	if (!tcp_timer_set_p(c, TCP_TIMER_RTX))
		tcp_timer_rtx(c);
	return true;
}

// Our FIN is wanted and not acknowledged yet.
static bool fin_wanted(const struct tcp_conn *c)
{
	return c->state == TCP_FIN_WAIT_1 || c->state == TCP_CLOSING || c->state == TCP_LAST_ACK;
}

static uint32_t queue_end(const struct tcp_conn *c)
{
	return c->snd_una + (uint32_t)c->sendq.len;
}

// What a segment of [seq, end) with len bytes of payload, just built, changes.
static void account(struct tcp_conn *c, uint32_t seq, uint32_t len, uint32_t end)
{
	struct tcp_stack *s = c->stack;

	if (seq_lt(seq, c->snd_max)) {
		s->counters.retransmits++;
		c->retransmits++;
		// MUST-18: it could not be told which one is acknowledged
		c->flags &= ~(uint32_t)C_TIMING;
	} else if (!(c->flags & C_TIMING)) {
		c->flags |= C_TIMING;
		c->rtt_seq = end;
		c->rtt_start = s->now;
	}
	if (seq_gt(end, c->snd_max)) {
		uint32_t first = seq_max(seq, c->snd_max);
		uint32_t fresh = seq_lt(first, seq + len) ? seq + len - first : 0;

		c->bytes_out += fresh;
		s->counters.bytes_out += fresh;
		c->snd_max = end;
	}
	c->sent_at = s->now;
	c->acks_due = 0;
	acked_now(c);
}

// Builds a segment of [seq, seq + len), with FIN if asked and the queue ends there; snd_nxt and
// snd_max are moved. Fewer bytes when the slices are too many. Returns how much sequence space it
// takes.
static uint32_t emit_range(
	struct tcp_conn *c, struct tcp_tx *tx, uint32_t seq, uint32_t len, bool fin)
{
	uint32_t end;

	begin(c, tx, seq, TCP_ACK);
	if (len > 0)
		len = tcp_sendq_map(c, seq, len, tx);
	end = seq + len;
	if (len > 0 && end == queue_end(c))
		tx->header[TCP_FLAGS_AT] |= TCP_PSH;  // MUST-61
	if (fin && end == queue_end(c)) {
		tx->header[TCP_FLAGS_AT] |= TCP_FIN;
		end++;
	}
	account(c, seq, len, end);
	return end - seq;
}

// The first unacknowledged segment again, within the window (SHLD-16).
static bool emit_retransmission(struct tcp_conn *c, struct tcp_tx *tx)
{
	uint32_t sent = c->snd_max - c->snd_una;
	uint32_t len = min_u32(min_u32(sent, (uint32_t)c->sendq.len), tcp_conn_mss(c));
	uint32_t took;

	c->flags &= ~(uint32_t)C_RTX_DUE;
	len = min_u32(len, c->snd_wnd);
	if (sent == 0 || (len == 0 && c->sendq.len > 0))
		return false;
	took = emit_range(c, tx, c->snd_una, len, fin_wanted(c) && sent > c->sendq.len);
	c->snd_nxt = seq_max(c->snd_nxt, c->snd_una + took);
	if (!tcp_timer_set_p(c, TCP_TIMER_RTX))
		tcp_timer_rtx(c);
	return true;
}

// MUST-36: a byte (or the FIN) beyond a closed window; what fits into one too small to be worth
// it otherwise (the override of MUST-38).
static bool emit_probe(struct tcp_conn *c, struct tcp_tx *tx)
{
	uint32_t len = min_u32((uint32_t)c->sendq.len, 1);
	uint32_t took;

	c->flags &= ~(uint32_t)C_PROBE_DUE;
	if (!(c->flags & C_PERSIST) || (len == 0 && !fin_wanted(c)))
		return false;
	if (c->snd_wnd > 0)
		len = min_u32(min_u32((uint32_t)c->sendq.len, c->snd_wnd), tcp_conn_mss(c));
	else
		c->stack->counters.zero_window_probes++;
	took = emit_range(c, tx, c->snd_una, len, fin_wanted(c));
	if (c->snd_wnd > 0) {
		c->snd_nxt = seq_max(c->snd_nxt, c->snd_una + took);
		c->flags &= ~(uint32_t)C_PERSIST;
	}
	return true;
}

// The window in bytes from snd_una on that both sides and the network allow.
static uint32_t send_window(struct tcp_conn *c)
{
	uint32_t cwnd = c->cwnd;

	// Limited transmit (RFC 3042): two segments more on the first two duplicates.
	if (c->dupacks > 0 && c->dupacks < TCP_DUPACKS && !(c->flags & C_RECOVERY))
		cwnd += c->dupacks * tcp_conn_mss(c);
	if (cwnd < c->snd_wnd) {
		c->flags |= C_FULL;
		return cwnd;
	}
	return c->snd_wnd;
}

// How much of `queued` unsent bytes to send now. MUST-38: no silly segments; SHLD-7: Nagle if
// asked.
static uint32_t sendable(struct tcp_conn *c, uint32_t queued)
{
	uint32_t flight = tcp_conn_in_flight(c);
	uint32_t full = tcp_conn_mss(c);
	uint32_t window, len;

	c->flags &= ~(uint32_t)C_FULL;
	if (queued == 0)
		return 0;
	window = send_window(c);
	if (flight >= window)
		return 0;
	len = min_u32(min_u32(window - flight, queued), full);
	if (len == full)
		return len;
	if (len == queued) {
		c->flags &= ~(uint32_t)C_FULL;
		return c->flags & C_NAGLE && flight > 0 && !(c->flags & C_CLOSE) ? 0 : len;
	}
	return len >= c->snd_wnd_max / 2 ? len : 0;
}

// Nothing may be sent and nothing is in flight that would bring an ACK: ask for a window from time
// to time.
static void persist(struct tcp_conn *c)
{
	if (tcp_conn_in_flight(c) > 0 || c->flags & C_PERSIST)
		return;
	c->flags |= C_PERSIST;
	c->progress_at = c->stack->now;
	if (!tcp_timer_set_p(c, TCP_TIMER_RTX))  // SHLD-29
		tcp_timer_rtx(c);
}

static bool emit_new(struct tcp_conn *c, struct tcp_tx *tx)
{
	struct tcp_stack *s = c->stack;
	uint32_t end = queue_end(c);
	uint32_t queued = seq_lt(c->snd_nxt, end) ? end - c->snd_nxt : 0;
	bool fin = fin_wanted(c) && seq_le(c->snd_nxt, end);
	uint32_t flight = tcp_conn_in_flight(c);
	uint32_t len;

	if (queued == 0 && !fin)
		return false;
	if (flight == 0 && c->sent_at && s->now - c->sent_at > c->rto_us * NS_PER_US)
		tcp_cc_idle(c);
	len = sendable(c, queued);
	if (len < queued)
		fin = false;
	if (fin && len == queued && flight + len >= c->snd_wnd)
		fin = false;  // it takes a place in the window like a byte
	if (len == 0 && !fin) {
		persist(c);
		return false;
	}
	if (c->snd_max == c->snd_una)
		c->progress_at = s->now;
	c->snd_nxt += emit_range(c, tx, c->snd_nxt, len, fin);
	c->flags &= ~(uint32_t)C_PERSIST;
	if (!tcp_timer_set_p(c, TCP_TIMER_RTX))
		tcp_timer_rtx(c);
	return true;
}

static bool emit_keepalive(struct tcp_conn *c, struct tcp_tx *tx)
{
	c->flags &= ~(uint32_t)C_KEEP_DUE;
	begin(c, tx, c->snd_max - 1, TCP_ACK);
	acked_now(c);
	return true;
}

static bool emit_handshake(struct tcp_conn *c, struct tcp_tx *tx)
{
	if (c->flags & C_SYN_DUE)
		return emit_syn(c, tx);
	if (c->state == TCP_SYN_RECEIVED && c->acks_due > 0)
		return emit_ack(c, tx);
	return false;
}

static bool emit(struct tcp_conn *c, struct tcp_tx *tx)
{
	if (c->state == TCP_SYN_SENT || c->state == TCP_SYN_RECEIVED)
		return emit_handshake(c, tx);
	// Duplicates count for the peer only without payload.
	if (c->acks_due > 0 && c->ooo_first)
		return emit_ack(c, tx);
	if (c->flags & C_RTX_DUE && emit_retransmission(c, tx))
		return true;
	if (c->flags & C_PROBE_DUE && emit_probe(c, tx))
		return true;
	if (emit_new(c, tx))
		return true;
	if (c->acks_due > 0)
		return emit_ack(c, tx);
	if (c->flags & C_KEEP_DUE)
		return emit_keepalive(c, tx);
	return false;
}

// A turn of one connection; returns how many segments. It leaves the list when it has nothing more.
static unsigned turn(struct tcp_conn *c, struct tcp_tx *out, unsigned room)
{
	unsigned n = room < TCP_BURST ? room : TCP_BURST;
	unsigned done = 0;

	list_del(&c->ready);
	while (done < n && emit(c, &out[done]))
		done++;
	if (done == n)
		list_push(&c->stack->ready, &c->ready);
	return done;
}

unsigned tcp_output(struct tcp_stack *s, ns_t now, struct tcp_tx *out, unsigned n)
{
	unsigned done = 0;
	struct list *first;

	s->now = now;
	while (done < n && tcp_reply_pop(s, &out[done]))
		done++;
	while (done < n && (first = list_first(&s->ready)))
		done += turn(list_entry(first, struct tcp_conn, ready), &out[done], n - done);
	s->counters.segments_out += done;
	return done;
}
