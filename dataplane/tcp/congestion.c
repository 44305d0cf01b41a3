// SPDX-License-Identifier: Apache-2.0
// The congestion window: slow start and congestion avoidance (RFC 5681 with byte counting, RFC
// 3465), fast retransmit and NewReno recovery (RFC 6582), limited transmit in output.c (RFC 3042).
//
//            3 duplicate ACKs                     ACK of `recover`
//   open ───────────────────────▶ C_RECOVERY ──────────────────────▶ open   (tcp_cc_new_ack)
//     ▲     tcp_cc_dupack             │ partial ACK: the next hole again
//     └────── timeout: cwnd 1 segment ┘ (tcp_cc_timeout)
//
// How the window grows and shrinks is a table of functions (struct tcp_cc_ops); what recovery
// sends is common to all tables.

#include "dataplane/tcp/internal.h"

static uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static uint32_t max_u32(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

// RFC 6928: ten segments. One if the SYN was lost (RFC 5681 3.1).
uint32_t tcp_cc_initial_window(const struct tcp_conn *c)
{
	uint32_t mss = tcp_conn_mss(c);

	if (c->flags & C_SYN_LOST)
		return mss;
	return min_u32(10 * mss, max_u32(2 * mss, 14600));
}

static void newreno_init(struct tcp_conn *c)
{
	c->cwnd = tcp_cc_initial_window(c);
	c->ssthresh = UINT32_MAX;
	c->cc_state[0] = 0;  // bytes acknowledged since the last growth in congestion avoidance
}

static void grow(struct tcp_conn *c, uint32_t bytes)
{
	c->cwnd = c->cwnd > (1u << 30) - bytes ? 1u << 30 : c->cwnd + bytes;
}

static void newreno_acked(struct tcp_conn *c, uint32_t bytes)
{
	uint32_t mss = tcp_conn_mss(c);

	if (c->cwnd < c->ssthresh) {
		// After a timeout the limit is one segment (RFC 3465 2.3).
		uint32_t limit = seq_lt(c->snd_una, c->recover) ? mss : 2 * mss;

		grow(c, min_u32(bytes, limit));
		return;
	}
	c->cc_state[0] += bytes;
	if (c->cc_state[0] >= c->cwnd) {
		c->cc_state[0] -= c->cwnd;
		grow(c, mss);
	}
}

static uint32_t newreno_ssthresh(struct tcp_conn *c, uint32_t flight)
{
	c->cc_state[0] = 0;
	return max_u32(flight / 2, 2u * tcp_conn_mss(c));
}

const struct tcp_cc_ops tcp_cc_newreno = {
	.name = "newreno",
	.init = newreno_init,
	.acked = newreno_acked,
	.ssthresh = newreno_ssthresh,
};

static void enter_recovery(struct tcp_conn *c)
{
	c->ssthresh = c->cc->ssthresh(c, c->snd_max - c->snd_una);
	c->recover = c->snd_max;
	c->cwnd = c->ssthresh + TCP_DUPACKS * tcp_conn_mss(c);
	c->flags |= C_RECOVERY | C_RTX_DUE;
	c->flags &= ~(uint32_t)C_PARTIAL;
	c->stack->counters.fast_retransmits++;
}

// A duplicate ACK as RFC 5681 2 defines it has arrived.
void tcp_cc_dupack(struct tcp_conn *c)
{
	if (c->dupacks < UINT8_MAX)
		c->dupacks++;
	if (c->flags & C_RECOVERY)
		grow(c, tcp_conn_mss(c));  // another segment has left the network
	else if (c->dupacks == TCP_DUPACKS && seq_gt(c->snd_una, c->recover))
		enter_recovery(c);
	tcp_conn_ready(c);
}

static void partial_ack(struct tcp_conn *c, uint32_t bytes)
{
	uint32_t mss = tcp_conn_mss(c);

	c->flags |= C_RTX_DUE;
	c->cwnd -= min_u32(bytes, c->cwnd - min_u32(c->cwnd, mss));
	if (bytes >= mss)
		grow(c, mss);
}

// snd_una has moved on by `bytes`.
void tcp_cc_new_ack(struct tcp_conn *c, uint32_t bytes)
{
	c->dupacks = 0;
	if (c->flags & C_RECOVERY) {
		if (seq_lt(c->snd_una, c->recover)) {
			partial_ack(c, bytes);
			return;
		}
		// RFC 6582 3.2 step 3, option 1: no burst when little is in flight.
		c->cwnd = min_u32(c->ssthresh,
			max_u32(tcp_conn_in_flight(c), tcp_conn_mss(c)) + tcp_conn_mss(c));
		c->flags &= ~(uint32_t)(C_RECOVERY | C_PARTIAL);
		return;
	}
	// A window that the application did not fill says nothing about the network (RFC 7661).
	if (c->flags & C_FULL)
		c->cc->acked(c, bytes);
}

// MUST-19. Called before snd_nxt goes back. Repeated timeouts of the same data keep ssthresh.
void tcp_cc_timeout(struct tcp_conn *c)
{
	if (c->retries == 0)
		c->ssthresh = c->cc->ssthresh(c, c->snd_max - c->snd_una);
	c->cwnd = tcp_conn_mss(c);
	c->recover = c->snd_max;
	c->dupacks = 0;
	c->flags &= ~(uint32_t)(C_RECOVERY | C_PARTIAL);
}

// RFC 5681 4.1: after an idle RTO the window is no longer known to be right.
void tcp_cc_idle(struct tcp_conn *c)
{
	c->cwnd = min_u32(c->cwnd, max_u32(tcp_cc_initial_window(c), tcp_conn_mss(c)));
}
