// SPDX-License-Identifier: Apache-2.0
// How connections begin: listeners, passive open, active open, and what the two SYNs agree on.
//
// Half-open connections take at most half of the table. When that is full the oldest of them makes
// room for the newest, so a flood of SYNs cannot starve what is established, and an honest peer
// gets through as long as its round trip is shorter than the time the flood needs to fill the half.

#include "dataplane/tcp/internal.h"

struct tcp_listener *tcp_listener_find(struct tcp_stack *s, uint16_t port)
{
	for (unsigned i = 0; i < TCP_LISTENERS_MAX; i++) {
		if (s->listeners[i].used && s->listeners[i].port == port)
			return &s->listeners[i];
	}
	return NULL;
}

int tcp_listen(struct tcp_stack *s, uint16_t port, void *user)
{
	if (tcp_listener_find(s, port))
		return -EADDRINUSE;
	for (unsigned i = 0; i < TCP_LISTENERS_MAX; i++) {
		if (s->listeners[i].used)
			continue;
		s->listeners[i] = (struct tcp_listener){.port = port, .used = true, .user = user};
		return 0;
	}
	return -ENOBUFS;
}

int tcp_unlisten(struct tcp_stack *s, uint16_t port)
{
	struct tcp_listener *l = tcp_listener_find(s, port);

	if (!l)
		return -ENOENT;
	l->used = false;
	list_for_each_safe(at, after, &s->half_open) {
		struct tcp_conn *c = list_entry(at, struct tcp_conn, half_open);

		if (c->local_port == port && !(c->flags & C_ACTIVE))
			tcp_conn_reset(c, -ECONNABORTED);
	}
	return 0;
}

void tcp_set_limit_per_address(struct tcp_stack *s, uint32_t connections)
{
	s->conns_per_address_max = connections;
}

uint16_t tcp_mss_of_mtu(uint32_t mtu, bool v4)
{
	uint32_t headers = v4 ? 40 : 60;
	uint32_t mss = mtu > headers + TCP_MSS_MIN ? mtu - headers : TCP_MSS_MIN;

	return mss > 65495 ? 65495 : (uint16_t)mss;
}

// MUST-14..16: the smaller of what the peer takes and what our port carries.
static uint16_t send_mss(const struct tcp_conn *c, uint16_t offered)
{
	bool v4 = tcp_conn_is_v4(c);
	uint16_t ours = tcp_mss_of_mtu(c->stack->config.mtu, v4);

	if (offered == 0)
		offered = v4 ? TCP_MSS_DEFAULT_V4 : TCP_MSS_DEFAULT_V6;
	if (offered < TCP_MSS_MIN)
		offered = TCP_MSS_MIN;
	return offered < ours ? offered : ours;
}

void tcp_open_options(struct tcp_conn *c, const struct tcp_options *o)
{
	c->mss = send_mss(c, o->mss);
	if (o->has_wscale) {
		c->flags |= C_WSCALE;
		c->snd_shift = o->wscale > TCP_WINDOW_SHIFT_MAX ? TCP_WINDOW_SHIFT_MAX : o->wscale;
		c->rcv_shift = c->stack->window_shift;
	} else {
		c->flags &= ~(uint32_t)C_WSCALE;
	}
	if (o->has_ts) {
		c->flags |= C_TS;
		c->ts_recent = o->tsval;
		c->ts_recent_ms = tcp_clock_ms(c->stack);
	} else {
		c->flags &= ~(uint32_t)C_TS;
	}
}

static void set_iss(struct tcp_conn *c, const uint32_t *iss_min)
{
	uint32_t iss =
		tcp_secret_isn(c->stack, &c->local, c->local_port, &c->remote, c->remote_port);

	// After TIME-WAIT the new numbers lie beyond the old ones (MAY-2).
	if (iss_min && seq_lt(iss, *iss_min + 65536))
		iss = *iss_min + 65536;
	c->iss = c->snd_una = c->snd_nxt = c->snd_max = c->recover = iss;
}

static bool make_room(struct tcp_stack *s)
{
	bool table_full = !s->conns_free;
	struct list *oldest = list_first(&s->half_open);

	if (!table_full && s->half_open_count < s->half_open_max)
		return true;
	s->counters.drop_no_memory++;
	if (!oldest)
		return false;
	tcp_conn_drop_half_open(list_entry(oldest, struct tcp_conn, half_open));
	return s->conns_free;
}

static void half_open_add(struct tcp_conn *c)
{
	c->state = TCP_SYN_RECEIVED;
	list_push(&c->stack->half_open, &c->half_open);
	c->stack->half_open_count++;
	c->flags |= C_SYN_DUE;
	tcp_conn_ready(c);
}

static void passive_open(struct tcp_stack *s, uint32_t hash, const struct tcp_seg *seg, void *user,
	const uint32_t *iss_min)
{
	struct tcp_conn *c =
		tcp_conn_new(s, hash, seg->dst, seg->dst_port, seg->src, seg->src_port);

	c->ops = s->config.ops;
	c->user = user;
	set_iss(c, iss_min);
	// Payload or FIN on a SYN is not acknowledged and so comes again.
	c->rcv_nxt = c->rcv_adv = c->ack_sent = seg->seq + 1;
	c->snd_wnd = c->snd_wnd_max = seg->window;
	c->snd_wl1 = seg->seq;
	tcp_open_options(c, &seg->options);
	tcp_peer_enter(c);
	half_open_add(c);
}

// A segment for which there is no connection (RFC 9293 3.10.7.1 and 3.10.7.2).
void tcp_listen_input(
	struct tcp_stack *s, uint32_t hash, const struct tcp_seg *seg, const uint32_t *iss_min)
{
	struct tcp_listener *l = tcp_listener_find(s, seg->dst_port);

	if (seg->flags & TCP_RST)
		return;
	if (!l) {
		s->counters.drop_no_listener++;
		tcp_reply_reset(s, seg);
		return;
	}
	if (seg->flags & TCP_ACK) {
		tcp_reply_reset(s, seg);
		return;
	}
	if (!(seg->flags & TCP_SYN))
		return;
	if (tcp_peer_full(s, seg->src)) {
		s->counters.drop_address_limit++;
		tcp_reply_reset(s, seg);
		return;
	}
	if (!make_room(s)) {
		tcp_reply_reset(s, seg);
		return;
	}
	passive_open(s, hash, seg, l->user, iss_min);
}

// MUST-46, MUST-63: not to or from what is no host.
bool tcp_addr_is_host(const struct ip_addr *a)
{
	const uint8_t *v4 = &a->b[12];

	if (ip_is_v4(a))
		return v4[0] != 0 && v4[0] < 224;
	return a->b[0] != 0xff && (a->q[0] | a->q[1]) != 0;
}

int tcp_connect(struct tcp_stack *s, const struct tcp_connect *to, ns_t now, struct tcp_conn **out)
{
	uint16_t port = to->local_port;
	struct tcp_conn *c;
	uint32_t hash, iss_min;
	bool again;

	s->now = now;
	if (!tcp_addr_is_host(&to->remote) || !tcp_addr_is_host(&to->local) || to->remote_port == 0)
		return -EADDRNOTAVAIL;
	if (port == 0)
		port = tcp_secret_port(s, &to->local, &to->remote, to->remote_port);
	if (port == 0)
		return -EADDRINUSE;
	hash = tcp_tuple_hash(s, &to->local, port, &to->remote, to->remote_port);
	if (tcp_table_find(s, hash, &to->local, port, &to->remote, to->remote_port))
		return -EADDRINUSE;
	if (!s->conns_free)
		return -ENOBUFS;
	again = tcp_time_wait_take(
		s, hash, &to->local, port, &to->remote, to->remote_port, &iss_min);
	c = tcp_conn_new(s, hash, &to->local, port, &to->remote, to->remote_port);
	c->ops = to->ops;
	c->user = to->user;
	c->flags |= C_ACTIVE | C_ANNOUNCED | C_SYN_DUE | C_WSCALE | C_TS;
	c->mss = send_mss(c, 0);
	c->state = TCP_SYN_SENT;
	set_iss(c, again ? &iss_min : NULL);
	tcp_conn_ready(c);
	*out = c;
	return 0;
}

// The peer's SYN in SYN-SENT. MUST-10: without an ACK it is a simultaneous open.
void tcp_open_syn_sent(struct tcp_conn *c, const struct tcp_seg *seg)
{
	c->rcv_nxt = c->rcv_adv = c->ack_sent = seg->seq + 1;
	tcp_open_options(c, &seg->options);
	c->snd_wnd = c->snd_wnd_max = seg->window;  // never scaled on a SYN
	c->snd_wl1 = seg->seq;
	if (!(seg->flags & TCP_ACK)) {
		half_open_add(c);  // MUST-11: C_ACTIVE remembers where it came from
		return;
	}
	tcp_open_complete(c, seg);
	if (c->state != TCP_CLOSED)
		tcp_conn_ack_now(c);
}

// Our SYN is acknowledged. False: the application refused.
bool tcp_open_complete(struct tcp_conn *c, const struct tcp_seg *seg)
{
	struct tcp_stack *s = c->stack;

	if (c->flags & C_TIMING)
		tcp_rtt_sample(c, (s->now - c->rtt_start) / NS_PER_US);
	c->flags &= ~(uint32_t)(C_TIMING | C_SYN_DUE);
	c->snd_una = seg->ack;
	c->snd_nxt = seq_max(c->snd_nxt, c->snd_una);
	c->progress_at = s->now;
	return tcp_conn_established(c);
}
