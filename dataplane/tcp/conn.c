// SPDX-License-Identifier: Apache-2.0
// Life of a connection, and what the application may do with it.
//
//   tcp_conn_new ─▶ SYN-SENT or SYN-RECEIVED ─▶ tcp_conn_established ─▶ accept()
//                        │                              │
//                        ▼                              ▼
//            tcp_conn_drop_half_open         tcp_conn_end ─▶ closed(), once, the last event
//
// While input or a timer works on a connection (between enter and leave) its memory stays, so an
// event may end it; everybody checks for TCP_CLOSED after an event.

#include "dataplane/tcp/internal.h"

struct tcp_conn *tcp_conn_new(struct tcp_stack *s, uint32_t hash, const struct ip_addr *local,
	uint16_t local_port, const struct ip_addr *remote, uint16_t remote_port)
{
	struct tcp_conn *c = tcp_table_add(s, hash, local, local_port, remote, remote_port);

	if (!c)
		return NULL;
	tcp_timers_init(c);
	tcp_rtt_init(c);
	c->cc = &tcp_cc_newreno;
	c->rcv_mss = TCP_MSS_DEFAULT_V4;
	c->heard_at = s->now;
	c->progress_at = s->now;
	c->challenge_at = s->now - TCP_CHALLENGE_EVERY;
	c->ts_offset = tcp_secret_ts_offset(s, local, local_port, remote, remote_port);
	return c;
}

static void half_open_remove(struct tcp_conn *c)
{
	if (!list_linked(&c->half_open))
		return;
	list_del(&c->half_open);
	c->stack->half_open_count--;
}

void tcp_conn_end(struct tcp_conn *c, int error)
{
	bool busy = c->flags & C_BUSY;

	if (c->state == TCP_CLOSED)
		return;
	c->state = TCP_CLOSED;
	half_open_remove(c);
	tcp_timers_fini(c);
	list_del(&c->ready);
	tcp_peer_leave(c);
	tcp_ooo_clear(c);
	chain_clear(&c->sendq);
	c->cursor = NULL;
	tcp_table_unlink(c);
	if (c->flags & C_ANNOUNCED && c->ops->closed)
		c->ops->closed(c, error);  // MUST-12
	if (!busy)
		tcp_table_free(c);
}

static void push_reset(struct tcp_conn *c)
{
	struct tcp_reply reply = {.src = c->local,
		.dst = c->remote,
		.src_port = c->local_port,
		.dst_port = c->remote_port,
		.seq = c->snd_max,
		.ack = c->rcv_nxt,
		.flags = TCP_RST | TCP_ACK,
		.ts = c->flags & C_TS,
		.tsval = tcp_clock_ms(c->stack) + c->ts_offset,
		.tsecr = c->ts_recent};

	tcp_reply_push(c->stack, &reply);
}

void tcp_conn_reset(struct tcp_conn *c, int error)
{
	if (c->state != TCP_CLOSED && c->state != TCP_SYN_SENT)
		push_reset(c);
	tcp_conn_end(c, error);
}

void tcp_conn_drop_half_open(struct tcp_conn *c)
{
	tcp_conn_end(c, -ETIMEDOUT);
}

void tcp_conn_time_wait(struct tcp_conn *c)
{
	tcp_time_wait_add(c);
	tcp_conn_end(c, 0);
}

void tcp_conn_enter(struct tcp_conn *c)
{
	c->flags |= C_BUSY;
}

void tcp_conn_leave(struct tcp_conn *c)
{
	c->flags &= ~(uint32_t)C_BUSY;
	if (c->state == TCP_CLOSED)
		tcp_table_free(c);
}

bool tcp_conn_established(struct tcp_conn *c)
{
	half_open_remove(c);
	c->state = c->flags & C_CLOSE ? TCP_FIN_WAIT_1 : TCP_ESTABLISHED;
	c->retries = 0;
	c->heard_at = c->stack->now;
	if (c->flags & C_SYN_LOST)  // RFC 6298 5.7
		c->rto_us = TCP_RTO_SYN_LOST_US;
	c->cc->init(c);
	tcp_timer_stop(c, TCP_TIMER_RTX);
	tcp_timer_keep(c);
	c->stack->counters.opened++;
	c->flags |= C_ANNOUNCED;
	if (c->ops->accept && !c->ops->accept(c, c->user) && c->state != TCP_CLOSED) {
		c->flags &= ~(uint32_t)C_ANNOUNCED;
		tcp_conn_reset(c, -ECONNABORTED);
	}
	if (c->state == TCP_CLOSED)
		return false;
	tcp_conn_ready(c);
	return true;
}

bool tcp_conn_may_challenge(struct tcp_conn *c)
{
	if (c->stack->now - c->challenge_at < TCP_CHALLENGE_EVERY) {
		c->stack->counters.challenge_limited++;
		return false;
	}
	c->challenge_at = c->stack->now;
	return true;
}

// RFC 5961. The limit is for each connection: a limit for all of them would tell an outsider
// whether somebody else's connection answered.
void tcp_conn_challenge(struct tcp_conn *c)
{
	if (!tcp_conn_may_challenge(c))
		return;
	c->stack->counters.challenge_acks++;
	tcp_conn_ack_now(c);
}

static bool may_send(const struct tcp_conn *c)
{
	switch (c->state) {
	case TCP_SYN_SENT:
	case TCP_SYN_RECEIVED:
	case TCP_ESTABLISHED:
	case TCP_CLOSE_WAIT:
		return !(c->flags & C_CLOSE);
	default:
		return false;
	}
}

int tcp_send(struct tcp_conn *c, struct chain *out)
{
	if (!may_send(c)) {
		chain_clear(out);
		return -EPIPE;
	}
	chain_append(&c->sendq, out);
	if (c->state >= TCP_ESTABLISHED)
		tcp_conn_ready(c);
	return 0;
}

size_t tcp_send_room(const struct tcp_conn *c)
{
	size_t max = c->stack->config.send_buffer_bytes;

	return c->sendq.len < max ? max - c->sendq.len : 0;
}

size_t tcp_send_queued(const struct tcp_conn *c)
{
	return c->sendq.len;
}

void tcp_consumed(struct tcp_conn *c, size_t n)
{
	assert(n <= c->rcv_pending && "more consumed than was delivered");
	c->rcv_pending -= (uint32_t)n;
	if (c->state >= TCP_ESTABLISHED)
		tcp_receive_update(c);
}

void tcp_close(struct tcp_conn *c)
{
	switch (c->state) {
	case TCP_SYN_SENT:
		tcp_conn_end(c, -ECONNABORTED);
		return;
	case TCP_SYN_RECEIVED:
		break;
	case TCP_ESTABLISHED:
		c->state = TCP_FIN_WAIT_1;
		break;
	case TCP_CLOSE_WAIT:
		c->state = TCP_LAST_ACK;
		break;
	default:
		return;
	}
	c->flags |= C_CLOSE;
	tcp_conn_ready(c);
}

void tcp_abort(struct tcp_conn *c)
{
	tcp_conn_reset(c, -ECONNABORTED);
}

void tcp_set_user(struct tcp_conn *c, void *user)
{
	c->user = user;
}

void *tcp_user(const struct tcp_conn *c)
{
	return c->user;
}

void tcp_set_nagle(struct tcp_conn *c, bool on)
{
	c->flags = on ? c->flags | C_NAGLE : c->flags & ~(uint32_t)C_NAGLE;
	tcp_conn_ready(c);
}

void tcp_set_keepalive(struct tcp_conn *c, ns_t idle)
{
	c->keep_idle = idle;
	if (c->state != TCP_CLOSED)
		tcp_timer_keep(c);
}

void tcp_set_user_timeout(struct tcp_conn *c, ns_t timeout)
{
	ns_t ms = (timeout + NS_PER_MS - 1) / NS_PER_MS;

	c->user_timeout_ms = ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}

void tcp_set_dscp(struct tcp_conn *c, uint8_t dscp)
{
	c->dscp = dscp;
}

void tcp_info(const struct tcp_conn *c, struct tcp_conn_info *out)
{
	*out = (struct tcp_conn_info){.local = c->local,
		.remote = c->remote,
		.local_port = c->local_port,
		.remote_port = c->remote_port,
		.state = c->state,
		.mss = tcp_conn_mss(c),
		.cwnd_bytes = c->cwnd,
		.ssthresh_bytes = c->ssthresh,
		.send_window_bytes = c->snd_wnd,
		.recv_window_bytes = c->rcv_adv - c->rcv_nxt,
		.srtt_us = c->srtt_us,
		.rto_us = c->rto_us,
		.bytes_in = c->bytes_in,
		.bytes_out = c->bytes_out,
		.retransmits = c->retransmits};
}
