// SPDX-License-Identifier: Apache-2.0
// What the files of the TCP stack share. Nobody outside dataplane/tcp and its tests includes this.
#pragma once

#include <errno.h>

#include "dataplane/tcp/seq.h"
#include "dataplane/tcp/tcp.h"
#include "lib/base/list.h"

// Limits and constants. Times in nanoseconds unless the name says otherwise.
#define TCP_LISTENERS_MAX 64
#define TCP_MSS_MIN 64          // a smaller MSS option counts as this much
#define TCP_MSS_DEFAULT_V4 536  // MUST-15
#define TCP_MSS_DEFAULT_V6 1220  // MUST-15
#define TCP_MTU_FLOOR_V4 552    // path MTU messages go no lower (RFC 5927 7)
#define TCP_MTU_FLOOR_V6 1280
#define TCP_WINDOW_SHIFT_MAX 14        // RFC 7323 2.3
#define TCP_TS_OPTION_BYTES 12         // NOP NOP and the option
#define TCP_RTO_INITIAL_US 1000000u    // RFC 6298 2.1
#define TCP_RTO_SYN_LOST_US 3000000u   // RFC 6298 5.7
#define TCP_RTO_MIN_US 200000u         // below RFC 6298's SHOULD of 1 s, as every current stack
#define TCP_RTO_MAX_US 60000000u       // RFC 6298 2.5: at least 60 s
#define TCP_CLOCK_US 1000u             // G of RFC 6298
#define TCP_R2_DATA (120 * NS_PER_SEC)  // SHLD-11: at least 100 s
#define TCP_R2_SYN (185 * NS_PER_SEC)  // MUST-23: at least 3 minutes
#define TCP_ACK_DELAY NS_PER_MS  // MUST-40: < 500 ms; peers with Nagle on wait for it (rsocket-js)
#define TCP_CHALLENGE_EVERY (500 * NS_PER_MS)  // RFC 5961 7: at most 10 in 5 s, for each connection
#define TCP_KEEP_INTERVAL (75 * NS_PER_SEC)
#define TCP_KEEP_PROBES 9                         // MUST-29: one lost answer kills nothing
#define TCP_FIN_WAIT_2_IDLE (60 * NS_PER_SEC)     // then a silent peer is probed
#define TCP_PAWS_IDLE_MS (24u * 24 * 3600 * 1000)  // RFC 7323 5.5: older ts_recent is void
#define TCP_DUPACKS 3
#define TCP_DUPACKS_OUT_MAX 64  // duplicate ACKs owed at a time
#define TCP_OOO_CHARGE_MIN 256  // an out-of-order segment counts as at least this many bytes
#define TCP_BURST 16           // segments of a connection before the next one's turn
#define TCP_COMPACT_BYTES_MAX ((size_t)16 << 20)
#define TCP_REPLIES 1024  // resets and the like waiting for tcp_output

// Header flags, and where they lie.
#define TCP_FLAGS_AT 13
#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_PSH 0x08
#define TCP_ACK 0x10
#define TCP_URG 0x20

// Flags of a connection.
enum {
	C_ACTIVE = 1 << 0,    // opened by us
	C_ANNOUNCED = 1 << 1,  // the application knows it: `closed` is owed
	C_BUSY = 1 << 2,      // input or a timer works on it: freed later
	C_CLOSE = 1 << 3,     // tcp_close was called: FIN behind the queue
	C_SYN_DUE = 1 << 4,   // SYN or SYN-ACK to send
	C_RTX_DUE = 1 << 5,   // the first unacknowledged segment to send again
	C_PROBE_DUE = 1 << 6,  // window probe to send
	C_KEEP_DUE = 1 << 7,  // keepalive to send
	C_TS = 1 << 8,        // timestamps agreed
	C_WSCALE = 1 << 9,    // window scale agreed
	C_SACK = 1 << 10,     // SACK agreed
	C_NAGLE = 1 << 11,
	C_RECOVERY = 1 << 12,    // fast recovery
	C_PARTIAL = 1 << 13,     // a partial ACK was seen in this recovery
	C_TIMING = 1 << 14,      // rtt_start and rtt_seq are valid
	C_FULL = 1 << 15,        // the congestion window held something back
	C_PEER_FIN_AT = 1 << 16,  // the peer's FIN was seen out of order, at peer_fin
	C_PERSIST = 1 << 17,     // the RTX timer probes a window
	C_SYN_LOST = 1 << 18,    // a SYN was sent again
	C_BACKED_OFF = 1 << 19,  // RTO grew by a timeout, no sample since
};

enum tcp_timer_kind { TCP_TIMER_RTX, TCP_TIMER_ACK, TCP_TIMER_KEEP, TCP_TIMERS };

struct tcp_peer;
struct tcp_ooo;
struct tcp_cc_ops;

// A connection: below 512 bytes, since there will be a million. The first line is what a look-up
// reads.
struct tcp_conn {
	struct tcp_conn *hash_next;  // of its bucket, or of the free list
	struct ip_addr remote, local;
	uint16_t remote_port, local_port;  // host order
	uint32_t flags;
	uint32_t rcv_nxt;
	uint32_t rcv_adv;  // right edge of the window as far as ever told to the peer
	uint8_t state;    // enum tcp_state
	uint8_t snd_shift, rcv_shift;
	uint8_t dupacks;

	uint32_t snd_una, snd_nxt;
	uint32_t snd_max;  // the highest ever sent; snd_nxt goes back on a timeout
	uint32_t snd_wnd, snd_wl1;
	uint32_t snd_wnd_max;
	uint32_t cwnd, ssthresh, recover;
	uint16_t mss;         // to send, options not yet taken off
	uint16_t rcv_mss;     // the largest segment received, for the delayed ACK
	uint32_t ack_sent;    // last acknowledgement number sent
	uint32_t rcv_pending;  // delivered and not yet consumed
	uint8_t acks_due;     // pure ACKs owed: more than one only as duplicates
	uint8_t retries;      // of the RTX timer
	uint8_t keep_probes;
	uint8_t dscp;
	uint32_t iss;

	struct tcp_stack *stack;
	const struct tcp_ops *ops;
	void *user;
	struct chain sendq;        // from snd_una on, until acknowledged
	struct chain_node *cursor;  // node that holds snd_nxt, NULL: look from the first
	uint32_t cursor_end;       // sequence number behind that node
	uint32_t rtt_seq;
	struct list ready;  // on stack->ready: something may be sent

	struct timer timer;  // armed at or before the earliest deadline
	ns_t armed_at;
	ns_t deadline[TCP_TIMERS];
	ns_t rtt_start;
	ns_t progress_at;  // something unacknowledged waits since, or the last progress
	ns_t heard_at;    // last acceptable segment
	ns_t sent_at;     // last data
	ns_t challenge_at;

	uint32_t srtt_us, rttvar_us, rto_us;
	uint32_t ts_recent, ts_recent_ms, ts_offset;
	uint32_t peer_fin;
	uint32_t hash;

	struct tcp_ooo *ooo_first, *ooo_last;
	uint32_t ooo_charge;
	uint32_t user_timeout_ms;
	ns_t keep_idle;

	const struct tcp_cc_ops *cc;
	uint64_t cc_state[2];
	struct tcp_peer *peer;  // counted address; NULL when not counted
	struct list half_open;  // on stack->half_open while in SYN-RECEIVED
	uint64_t bytes_in, bytes_out;
	uint32_t retransmits;
};

_Static_assert(sizeof(struct tcp_conn) <= 512, "a million connections have to fit");

struct tcp_options {
	uint32_t tsval, tsecr;
	uint16_t mss;  // 0: none
	uint8_t wscale;
	bool has_ts, has_wscale, sack_permitted;
};

// A segment received, parsed.
struct tcp_seg {
	const struct ip_addr *src, *dst;
	struct buf *buf;
	const uint8_t *payload;
	uint32_t len;
	uint32_t seq, ack;
	uint16_t src_port, dst_port;
	uint16_t window;
	uint8_t flags;
	bool had_text;  // before it was trimmed
	struct tcp_options options;
};

// An out-of-order segment held by reference. Sorted, no overlaps.
struct tcp_ooo {
	struct tcp_ooo *next;
	struct buf *buf;
	const uint8_t *data;
	uint32_t seq, len;
};

struct tcp_peer {
	struct tcp_peer *next;
	struct ip_addr addr;
	uint32_t conns;
	uint32_t hash;
};

struct tcp_time_wait {
	struct tcp_time_wait *hash_next;
	struct list age;
	struct ip_addr remote, local;
	uint16_t remote_port, local_port;
	uint32_t hash;
	uint32_t snd_nxt, rcv_nxt;
	uint32_t ts_recent, ts_offset;
	bool ts;
	uint8_t rcv_shift;
	ns_t expires;
	ns_t reply_at;
};

struct tcp_listener {
	uint16_t port;
	bool used;
	void *user;
};

// A segment that belongs to no connection: RST, or an ACK from TIME-WAIT.
struct tcp_reply {
	struct ip_addr src, dst;
	uint16_t src_port, dst_port;
	uint32_t seq, ack, tsval, tsecr;
	uint16_t window;
	uint8_t flags;
	bool ts;
};

struct tcp_stack {
	struct tcp_config config;
	struct tcp_counters counters;
	struct timer_wheel *wheel;
	ns_t now;
	ns_t started;
	uint64_t table_key[2], secret_key[2];

	struct tcp_conn *conns;  // conns_max of them
	struct tcp_conn *conns_free;
	struct tcp_conn **buckets;
	uint32_t bucket_mask;
	uint32_t conns_used;
	uint32_t half_open_count, half_open_max;
	struct list half_open;  // oldest first
	struct list ready;

	struct tcp_time_wait *time_waits;
	struct tcp_time_wait *time_waits_free;
	struct tcp_time_wait **time_wait_buckets;
	uint32_t time_wait_mask;
	struct list time_wait_age;  // next to expire first
	struct timer time_wait_timer;

	struct tcp_peer *peers;
	struct tcp_peer *peers_free;
	struct tcp_peer **peer_buckets;
	uint32_t conns_per_address_max;

	struct tcp_ooo *ooos;
	struct tcp_ooo *ooos_free;
	size_t ooo_charge;

	struct tcp_reply *replies;
	uint32_t replies_first, replies_count;

	struct tcp_listener listeners[TCP_LISTENERS_MAX];
	struct buf_pool *compact_pool;
	uint32_t port_counter;
	uint8_t window_shift;
};

// conn_table.c: connections by their four names.
int tcp_table_init(struct tcp_stack *s);
void tcp_table_fini(struct tcp_stack *s);
uint32_t tcp_tuple_hash(const struct tcp_stack *s, const struct ip_addr *local, uint16_t local_port,
	const struct ip_addr *remote, uint16_t remote_port);
struct tcp_conn *tcp_table_find(const struct tcp_stack *s, uint32_t hash,
	const struct ip_addr *local, uint16_t local_port, const struct ip_addr *remote,
	uint16_t remote_port);
struct tcp_conn *tcp_table_add(struct tcp_stack *s, uint32_t hash, const struct ip_addr *local,
	uint16_t local_port, const struct ip_addr *remote, uint16_t remote_port);
void tcp_table_unlink(struct tcp_conn *c);
void tcp_table_free(struct tcp_conn *c);

// secret.c: what outsiders must not guess.
uint32_t tcp_secret_isn(const struct tcp_stack *s, const struct ip_addr *local, uint16_t local_port,
	const struct ip_addr *remote, uint16_t remote_port);
uint32_t tcp_secret_ts_offset(const struct tcp_stack *s, const struct ip_addr *local,
	uint16_t local_port, const struct ip_addr *remote, uint16_t remote_port);
uint16_t tcp_secret_port(struct tcp_stack *s, const struct ip_addr *local,
	const struct ip_addr *remote, uint16_t remote_port);

// peers.c: connections for each remote address.
int tcp_peers_init(struct tcp_stack *s);
void tcp_peers_fini(struct tcp_stack *s);
bool tcp_peer_full(const struct tcp_stack *s, const struct ip_addr *addr);
void tcp_peer_enter(struct tcp_conn *c);
void tcp_peer_leave(struct tcp_conn *c);

// conn.c: life of a connection.
struct tcp_conn *tcp_conn_new(struct tcp_stack *s, uint32_t hash, const struct ip_addr *local,
	uint16_t local_port, const struct ip_addr *remote, uint16_t remote_port);
void tcp_conn_end(struct tcp_conn *c, int error);   // unlinks, tells the application, frees
void tcp_conn_reset(struct tcp_conn *c, int error);  // RST to the peer, then as above
void tcp_conn_time_wait(struct tcp_conn *c);
void tcp_conn_enter(struct tcp_conn *c);
void tcp_conn_leave(struct tcp_conn *c);
bool tcp_conn_established(struct tcp_conn *c);  // handshake done; false: it is gone
void tcp_conn_drop_half_open(struct tcp_conn *c);
static inline void tcp_conn_ready(struct tcp_conn *c)
{
	if (!list_linked(&c->ready) && c->state != TCP_CLOSED)
		list_push(&c->stack->ready, &c->ready);
}
static inline void tcp_conn_ack_now(struct tcp_conn *c)
{
	if (c->acks_due == 0)
		c->acks_due = 1;
	tcp_conn_ready(c);
}
// True at most every TCP_CHALLENGE_EVERY.
bool tcp_conn_may_challenge(struct tcp_conn *c);
void tcp_conn_challenge(struct tcp_conn *c);
static inline bool tcp_conn_is_v4(const struct tcp_conn *c)
{
	return ip_is_v4(&c->remote);
}
// Payload bytes of a full segment.
static inline uint32_t tcp_conn_mss(const struct tcp_conn *c)
{
	return c->mss - (c->flags & C_TS ? TCP_TS_OPTION_BYTES : 0u);
}
static inline uint32_t tcp_conn_in_flight(const struct tcp_conn *c)
{
	return c->snd_nxt - c->snd_una;
}
static inline uint32_t tcp_clock_ms(const struct tcp_stack *s)
{
	return (uint32_t)((s->now - s->started) / NS_PER_MS);
}

// open.c: listeners, passive and active open.
struct tcp_listener *tcp_listener_find(struct tcp_stack *s, uint16_t port);
void tcp_listen_input(
	struct tcp_stack *s, uint32_t hash, const struct tcp_seg *seg, const uint32_t *iss_min);
uint16_t tcp_mss_of_mtu(uint32_t mtu, bool v4);
void tcp_open_options(struct tcp_conn *c, const struct tcp_options *o);  // of the peer's SYN
void tcp_open_syn_sent(struct tcp_conn *c, const struct tcp_seg *seg);
bool tcp_open_complete(struct tcp_conn *c, const struct tcp_seg *seg);
bool tcp_addr_is_host(const struct ip_addr *a);  // neither broadcast, multicast nor unspecified

// segment.c, options.c, checksum.c: bytes on the wire.
enum tcp_parse { TCP_PARSE_OK, TCP_PARSE_SHORT, TCP_PARSE_CHECKSUM };
enum tcp_parse tcp_segment_parse(const struct tcp_rx *rx, struct tcp_seg *seg);
static inline uint32_t tcp_segment_len(const struct tcp_seg *seg)
{
	return seg->len + (seg->flags & TCP_SYN ? 1 : 0) + (seg->flags & TCP_FIN ? 1 : 0);
}
void tcp_options_parse(const uint8_t *data, uint32_t len, bool syn, struct tcp_options *out);
uint8_t *tcp_options_write_ts(uint8_t *to, uint32_t tsval, uint32_t tsecr);
uint8_t *tcp_options_write_mss(uint8_t *to, uint16_t mss);
uint8_t *tcp_options_write_wscale(uint8_t *to, uint8_t shift);
uint16_t tcp_checksum_fold(uint64_t sum);
uint64_t tcp_checksum_sum(const uint8_t *data, size_t len, uint64_t sum);
uint64_t tcp_checksum_pseudo(const struct ip_addr *src, const struct ip_addr *dst, uint32_t len);

// receive.c: what the peer sends, in order; ooo.c: what came early.
void tcp_receive_text(struct tcp_conn *c, const struct tcp_seg *seg);
void tcp_receive_fin(struct tcp_conn *c);
uint16_t tcp_receive_window(struct tcp_conn *c);  // field to send; moves rcv_adv
void tcp_receive_update(struct tcp_conn *c);     // acknowledges if the window grew enough to tell
int tcp_ooo_init(struct tcp_stack *s);
void tcp_ooo_fini(struct tcp_stack *s);
void tcp_ooo_add(struct tcp_conn *c, const struct tcp_seg *seg);
void tcp_ooo_take(struct tcp_conn *c, struct chain *to);  // what is in order now; moves rcv_nxt
void tcp_ooo_clear(struct tcp_conn *c);

// ack.c: what the peer acknowledges. False: the connection is gone or the segment to be dropped.
bool tcp_ack_input(struct tcp_conn *c, const struct tcp_seg *seg);
void tcp_ack_window(struct tcp_conn *c, const struct tcp_seg *seg);

// rtt.c
void tcp_rtt_init(struct tcp_conn *c);
void tcp_rtt_sample(struct tcp_conn *c, int64_t rtt_us);
void tcp_rtt_back_off(struct tcp_conn *c);
void tcp_rtt_forget_back_off(struct tcp_conn *c);  // the RTO as the last samples say

// congestion.c: how the congestion window moves; another algorithm is another table.
struct tcp_cc_ops {
	const char *name;
	void (*init)(struct tcp_conn *c);
	void (*acked)(struct tcp_conn *c, uint32_t bytes);         // outside recovery
	uint32_t (*ssthresh)(struct tcp_conn *c, uint32_t flight);  // on a loss
};
extern const struct tcp_cc_ops tcp_cc_newreno;
uint32_t tcp_cc_initial_window(const struct tcp_conn *c);
void tcp_cc_dupack(struct tcp_conn *c);
void tcp_cc_new_ack(struct tcp_conn *c, uint32_t bytes);
void tcp_cc_timeout(struct tcp_conn *c);
void tcp_cc_idle(struct tcp_conn *c);

// send_queue.c
void tcp_sendq_acked(struct tcp_conn *c, uint32_t bytes);
void tcp_sendq_rewind(struct tcp_conn *c);
// Borrows slices of [seq, seq + len) into tx; returns how many bytes fitted.
uint32_t tcp_sendq_map(struct tcp_conn *c, uint32_t seq, uint32_t len, struct tcp_tx *tx);

// timers.c
void tcp_timers_init(struct tcp_conn *c);
void tcp_timers_fini(struct tcp_conn *c);
void tcp_timer_set(struct tcp_conn *c, enum tcp_timer_kind kind, ns_t deadline);
static inline void tcp_timer_stop(struct tcp_conn *c, enum tcp_timer_kind kind)
{
	c->deadline[kind] = NS_NEVER;
}
static inline bool tcp_timer_set_p(const struct tcp_conn *c, enum tcp_timer_kind kind)
{
	return c->deadline[kind] != NS_NEVER;
}
void tcp_timer_rtx(struct tcp_conn *c);  // (re)starts the retransmission timer
void tcp_timer_keep(struct tcp_conn *c);  // sets keepalive as state and settings ask for

// time_wait.c
int tcp_time_wait_init(struct tcp_stack *s);
void tcp_time_wait_fini(struct tcp_stack *s);
void tcp_time_wait_add(const struct tcp_conn *c);
// True: the segment was for a connection in TIME-WAIT and has been dealt with.
bool tcp_time_wait_input(struct tcp_stack *s, uint32_t hash, const struct tcp_seg *seg);
// Ends TIME-WAIT for an active open of the same names; true and its last number if there was one.
bool tcp_time_wait_take(struct tcp_stack *s, uint32_t hash, const struct ip_addr *local,
	uint16_t local_port, const struct ip_addr *remote, uint16_t remote_port, uint32_t *snd_nxt);

// reply.c
void tcp_reply_reset(
	struct tcp_stack *s, const struct tcp_seg *seg);  // to a segment without connection
void tcp_reply_push(struct tcp_stack *s, const struct tcp_reply *reply);
bool tcp_reply_pop(struct tcp_stack *s, struct tcp_tx *tx);

// output.c
void tcp_tx_begin(struct tcp_tx *tx, const struct ip_addr *src, const struct ip_addr *dst,
	uint16_t src_port, uint16_t dst_port, uint32_t seq, uint32_t ack, uint8_t flags,
	uint16_t window);
void tcp_tx_options_end(struct tcp_tx *tx, const uint8_t *end);
