// SPDX-License-Identifier: Apache-2.0
// Timers of a connection: retransmission (also SYN and window probes), delayed ACK, keepalive.
//
// Three deadlines share one timer of the wheel, which is armed at or before the earliest of them.
// Moving a deadline away, as every ACK does, is therefore a plain store; the timer then fires early
// once and is armed again.

#include "dataplane/tcp/internal.h"

static ns_t r2_of(const struct tcp_conn *c)
{
	if (c->user_timeout_ms)  // MUST-21
		return c->user_timeout_ms * NS_PER_MS;
	// MUST-22, MUST-23
	return c->state == TCP_SYN_SENT || c->state == TCP_SYN_RECEIVED ? TCP_R2_SYN : TCP_R2_DATA;
}

static void give_up(struct tcp_conn *c)
{
	c->stack->counters.timed_out++;
	if (c->state == TCP_SYN_RECEIVED && !(c->flags & C_ACTIVE))
		tcp_conn_drop_half_open(c);
	else if (c->state == TCP_SYN_SENT)
		tcp_conn_end(c, -ETIMEDOUT);
	else
		tcp_conn_reset(c, -ETIMEDOUT);  // MUST-20
}

// Starts again with the first unacknowledged byte. tcp_output sends as the windows allow.
static void go_back(struct tcp_conn *c)
{
	tcp_cc_timeout(c);
	c->snd_nxt = c->snd_una;
	c->flags &= ~(uint32_t)(C_TIMING | C_RTX_DUE);  // MUST-18
	tcp_sendq_rewind(c);
}

static void rtx_expired(struct tcp_conn *c, ns_t now)
{
	bool syn = c->state == TCP_SYN_SENT || c->state == TCP_SYN_RECEIVED;

	if (now - c->progress_at >= r2_of(c)) {
		give_up(c);
		return;
	}
	if (c->flags & C_PERSIST) {
		c->flags |= C_PROBE_DUE;
	} else if (syn) {
		c->flags |= C_SYN_DUE | C_SYN_LOST;
		c->flags &= ~(uint32_t)C_TIMING;
		c->stack->counters.timeouts++;
	} else {
		go_back(c);
		c->stack->counters.timeouts++;
	}
	if (c->retries < UINT8_MAX)
		c->retries++;
	tcp_rtt_back_off(c);  // MUST-19, SHLD-30
	tcp_timer_set(c, TCP_TIMER_RTX, now + c->rto_us * NS_PER_US);
	tcp_conn_ready(c);
}

static void ack_expired(struct tcp_conn *c, ns_t now)
{
	tcp_conn_ack_now(c);
}

// MUST-26: only when idle. SHLD-12: without data.
static void keep_expired(struct tcp_conn *c, ns_t now)
{
	ns_t idle = c->keep_idle ? c->keep_idle : TCP_FIN_WAIT_2_IDLE;
	ns_t interval = idle < TCP_KEEP_INTERVAL ? idle : TCP_KEEP_INTERVAL;

	if (now - c->heard_at < idle) {
		tcp_timer_set(c, TCP_TIMER_KEEP, c->heard_at + idle);
		return;
	}
	if (c->keep_probes >= TCP_KEEP_PROBES) {
		c->stack->counters.timed_out++;
		tcp_conn_reset(c, -ETIMEDOUT);
		return;
	}
	// What is unacknowledged is sent again anyway, and its failure is noticed there.
	if (c->snd_una == c->snd_max) {
		c->keep_probes++;
		c->flags |= C_KEEP_DUE;
		tcp_conn_ready(c);
	}
	tcp_timer_set(c, TCP_TIMER_KEEP, now + interval);
}

static void (*const expired[TCP_TIMERS])(struct tcp_conn *c, ns_t now) = {
	[TCP_TIMER_RTX] = rtx_expired,
	[TCP_TIMER_ACK] = ack_expired,
	[TCP_TIMER_KEEP] = keep_expired,
};

static void arm_earliest(struct tcp_conn *c)
{
	ns_t earliest = NS_NEVER;

	for (unsigned i = 0; i < TCP_TIMERS; i++) {
		if (c->deadline[i] < earliest)
			earliest = c->deadline[i];
	}
	c->armed_at = earliest;
	if (earliest != NS_NEVER)
		timer_arm(c->stack->wheel, &c->timer, earliest);
}

static void fire(struct timer *timer, ns_t now)
{
	struct tcp_conn *c = container_of(timer, struct tcp_conn, timer);

	c->stack->now = now;
	c->armed_at = NS_NEVER;
	tcp_conn_enter(c);
	for (unsigned i = 0; i < TCP_TIMERS && c->state != TCP_CLOSED; i++) {
		if (c->deadline[i] > now)
			continue;
		c->deadline[i] = NS_NEVER;
		expired[i](c, now);
	}
	if (c->state != TCP_CLOSED)
		arm_earliest(c);
	tcp_conn_leave(c);
}

void tcp_timers_init(struct tcp_conn *c)
{
	c->timer.fire = fire;
	c->armed_at = NS_NEVER;
	for (unsigned i = 0; i < TCP_TIMERS; i++)
		c->deadline[i] = NS_NEVER;
}

void tcp_timers_fini(struct tcp_conn *c)
{
	timer_cancel(c->stack->wheel, &c->timer);
}

void tcp_timer_set(struct tcp_conn *c, enum tcp_timer_kind kind, ns_t deadline)
{
	c->deadline[kind] = deadline;
	if (deadline < c->armed_at) {
		c->armed_at = deadline;
		timer_arm(c->stack->wheel, &c->timer, deadline);
	}
}

void tcp_timer_rtx(struct tcp_conn *c)
{
	tcp_timer_set(c, TCP_TIMER_RTX, c->stack->now + c->rto_us * NS_PER_US);
}

// MUST-24, MUST-27: on request and configurable; MUST-25: off by default. A peer that keeps us in
// FIN-WAIT-2 is probed in any case, so that one that vanished does not hold the connection for
// ever.
void tcp_timer_keep(struct tcp_conn *c)
{
	ns_t idle = c->keep_idle;

	if (!idle && c->state == TCP_FIN_WAIT_2)
		idle = TCP_FIN_WAIT_2_IDLE;
	c->keep_probes = 0;
	if (!idle || c->state < TCP_ESTABLISHED)
		tcp_timer_stop(c, TCP_TIMER_KEEP);
	else
		tcp_timer_set(c, TCP_TIMER_KEEP, c->heard_at + idle);
}
