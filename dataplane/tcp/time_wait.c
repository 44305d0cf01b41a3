// SPDX-License-Identifier: Apache-2.0
// TIME-WAIT (MUST-13): a compact record for 2 MSL after we closed first.
//
// All records wait equally long, so the list by age is sorted and one timer serves it. When there
// is no free record the oldest goes. A reset is ignored here (RFC 1337).

#include <stdlib.h>

#include "dataplane/tcp/internal.h"

static void expire(struct timer *timer, ns_t now);

int tcp_time_wait_init(struct tcp_stack *s)
{
	uint32_t n = s->config.time_wait_max;
	uint32_t buckets = 16;

	while (buckets < n && buckets < (1u << 30))
		buckets <<= 1;
	list_init(&s->time_wait_age);
	s->time_wait_timer.fire = expire;
	s->time_waits = calloc(n ? n : 1, sizeof(*s->time_waits));
	s->time_wait_buckets = calloc(buckets, sizeof(struct tcp_time_wait *));
	if (!s->time_waits || !s->time_wait_buckets)
		return -1;
	s->time_wait_mask = buckets - 1;
	for (uint32_t i = n; i > 0; i--) {
		s->time_waits[i - 1].hash_next = s->time_waits_free;
		s->time_waits_free = &s->time_waits[i - 1];
	}
	return 0;
}

void tcp_time_wait_fini(struct tcp_stack *s)
{
	timer_cancel(s->wheel, &s->time_wait_timer);
	free(s->time_wait_buckets);
	free(s->time_waits);
}

static void drop(struct tcp_stack *s, struct tcp_time_wait *tw)
{
	struct tcp_time_wait **at = &s->time_wait_buckets[tw->hash & s->time_wait_mask];

	while (*at != tw)
		at = &(*at)->hash_next;
	*at = tw->hash_next;
	list_del(&tw->age);
	tw->hash_next = s->time_waits_free;
	s->time_waits_free = tw;
}

static void arm(struct tcp_stack *s)
{
	struct list *first = list_first(&s->time_wait_age);

	if (first)
		timer_arm(s->wheel, &s->time_wait_timer,
			list_entry(first, struct tcp_time_wait, age)->expires);
}

static void expire(struct timer *timer, ns_t now)
{
	struct tcp_stack *s = container_of(timer, struct tcp_stack, time_wait_timer);
	struct list *first;

	while ((first = list_first(&s->time_wait_age))) {
		struct tcp_time_wait *tw = list_entry(first, struct tcp_time_wait, age);

		if (tw->expires > now)
			break;
		drop(s, tw);
	}
	arm(s);
}

static void start(struct tcp_stack *s, struct tcp_time_wait *tw)
{
	tw->expires = s->now + s->config.time_wait_ms * NS_PER_MS;
	list_push(&s->time_wait_age, &tw->age);
	if (!timer_armed(&s->time_wait_timer))
		arm(s);
}

static struct tcp_time_wait *find(struct tcp_stack *s, uint32_t hash, const struct ip_addr *local,
	uint16_t local_port, const struct ip_addr *remote, uint16_t remote_port)
{
	struct tcp_time_wait *tw = s->time_wait_buckets[hash & s->time_wait_mask];

	for (; tw; tw = tw->hash_next) {
		if (tw->remote_port == remote_port && tw->local_port == local_port &&
			ip_equal(&tw->remote, remote) && ip_equal(&tw->local, local))
			return tw;
	}
	return NULL;
}

static struct tcp_time_wait *take(struct tcp_stack *s)
{
	struct list *oldest = list_first(&s->time_wait_age);

	if (!s->time_waits_free && oldest)
		drop(s, list_entry(oldest, struct tcp_time_wait, age));
	return s->time_waits_free;
}

static void push_ack(struct tcp_stack *s, struct tcp_time_wait *tw)
{
	uint32_t window = s->config.recv_window_bytes >> tw->rcv_shift;
	struct tcp_reply reply = {.src = tw->local,
		.dst = tw->remote,
		.src_port = tw->local_port,
		.dst_port = tw->remote_port,
		.seq = tw->snd_nxt,
		.ack = tw->rcv_nxt,
		.flags = TCP_ACK,
		.window = window > UINT16_MAX ? UINT16_MAX : (uint16_t)window,
		.ts = tw->ts,
		.tsval = tcp_clock_ms(s) + tw->ts_offset,
		.tsecr = tw->ts_recent};

	tcp_reply_push(s, &reply);
}

// The final ACK is sent from here, since the connection goes.
void tcp_time_wait_add(const struct tcp_conn *c)
{
	struct tcp_stack *s = c->stack;
	struct tcp_time_wait *tw = take(s);
	struct tcp_time_wait **bucket = &s->time_wait_buckets[c->hash & s->time_wait_mask];
	struct tcp_time_wait record = {.remote = c->remote,
		.local = c->local,
		.remote_port = c->remote_port,
		.local_port = c->local_port,
		.hash = c->hash,
		.snd_nxt = c->snd_max,
		.rcv_nxt = c->rcv_nxt,
		.ts = c->flags & C_TS,
		.ts_recent = c->ts_recent,
		.ts_offset = c->ts_offset,
		.rcv_shift = c->rcv_shift,
		.reply_at = s->now - TCP_CHALLENGE_EVERY};

	if (c->acks_due > 0)
		push_ack(s, &record);
	if (!tw)
		return;
	s->time_waits_free = tw->hash_next;
	*tw = record;
	tw->hash_next = *bucket;
	*bucket = tw;
	start(s, tw);
}

// MAY-2: a new connection may take the place of one in TIME-WAIT if it is clearly newer.
static bool is_newer(const struct tcp_time_wait *tw, const struct tcp_seg *seg)
{
	if (seq_gt(seg->seq, tw->rcv_nxt))
		return true;
	return tw->ts && seg->options.has_ts &&
	       seq_gt(seg->options.tsval, tw->ts_recent);  // RFC 6191
}

static void reply_limited(struct tcp_stack *s, struct tcp_time_wait *tw)
{
	if (s->now - tw->reply_at < TCP_CHALLENGE_EVERY) {
		s->counters.challenge_limited++;
		return;
	}
	tw->reply_at = s->now;
	push_ack(s, tw);
}

bool tcp_time_wait_input(struct tcp_stack *s, uint32_t hash, const struct tcp_seg *seg)
{
	struct tcp_time_wait *tw = find(s, hash, seg->dst, seg->dst_port, seg->src, seg->src_port);
	uint32_t iss_min;

	if (!tw)
		return false;
	if (seg->flags & TCP_RST)
		return true;
	if ((seg->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN && is_newer(tw, seg)) {
		iss_min = tw->snd_nxt + 1;
		drop(s, tw);
		tcp_listen_input(s, hash, seg, &iss_min);
		return true;
	}
	if (seg->flags & TCP_FIN && seg->seq + seg->len + 1 == tw->rcv_nxt) {
		list_del(&tw->age);  // its last ACK was lost: 2 MSL again
		start(s, tw);
		push_ack(s, tw);
		return true;
	}
	if (seg->len > 0)
		s->counters.drop_after_close++;
	if (tcp_segment_len(seg) > 0 || seg->seq != tw->rcv_nxt)
		reply_limited(s, tw);
	return true;
}

bool tcp_time_wait_take(struct tcp_stack *s, uint32_t hash, const struct ip_addr *local,
	uint16_t local_port, const struct ip_addr *remote, uint16_t remote_port, uint32_t *snd_nxt)
{
	struct tcp_time_wait *tw = find(s, hash, local, local_port, remote, remote_port);

	if (!tw)
		return false;
	*snd_nxt = tw->snd_nxt;
	drop(s, tw);
	return true;
}
