// SPDX-License-Identifier: Apache-2.0
// TCP (RFC 9293) in user space, pure: (stack, segment, now) -> events and segments.
//
// A stack belongs to one worker thread; it knows no port, clock or packet buffer library. What
// arrives goes into tcp_input(); what may be sent is pulled with tcp_output() after the burst,
// which is where acknowledgements coalesce and segments fill. Memory is allocated at start; every
// queue has a limit and every drop a counter (TCP_COUNTERS).
//
// This header is final; congestion control beyond NewReno, SACK, IPv6 and SYN cookies come behind
// it.
#pragma once

#include "lib/base/addr.h"
#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/timer.h"

struct tcp_stack;
struct tcp_conn;

enum tcp_state {
	TCP_CLOSED, TCP_LISTEN, TCP_SYN_SENT, TCP_SYN_RECEIVED, TCP_ESTABLISHED, TCP_FIN_WAIT_1,
	TCP_FIN_WAIT_2, TCP_CLOSE_WAIT, TCP_CLOSING, TCP_LAST_ACK, TCP_TIME_WAIT,
};

// Events of a connection. Each may call any tcp_ function on any connection.
struct tcp_ops {
	// A handshake has completed. Set the user with tcp_set_user(). false refuses: RST, and no
	// further event.
	bool (*accept)(struct tcp_conn *c, void *listener_user);
	// In-order bytes. Take what is wanted (chain_append or chain_move); the rest is dropped.
	// All of it counts against the receive window until tcp_consumed().
	void (*data)(struct tcp_conn *c, struct chain *data);
	// Acknowledgements made room: tcp_send_room() is larger than before.
	void (*writable)(struct tcp_conn *c);
	// The peer's FIN: nothing more will arrive. The other direction stays open until
	// tcp_close().
	void (*eof)(struct tcp_conn *c);
	// Last event; the pointer is dead afterwards (TIME-WAIT is the stack's own affair). 0 after
	// an orderly close on both sides, -ECONNRESET, -ETIMEDOUT, -ECONNREFUSED, -ECONNABORTED (by
	// tcp_abort).
	void (*closed)(struct tcp_conn *c, int error);
};

struct tcp_config {
	uint32_t conns_max;          // connections of the stack, all states
	uint32_t time_wait_max;      // more in TIME-WAIT: the oldest goes
	uint32_t mtu;                // of the port, IP header included; send MSS <= mtu - 40
	uint32_t recv_window_bytes;  // at most 1 GiB; offered while the application keeps up
	uint32_t send_buffer_bytes;  // unacknowledged and unsent bytes of a connection
	uint32_t ooo_bytes_conn;     // out-of-order bytes held for one connection
	size_t ooo_bytes_stack;      // and for all
	uint8_t key[32];             // secret: sequence numbers (RFC 6528) and the hash tables
	uint8_t ttl;                 // MUST-49; 0: 64
	const struct tcp_ops *ops;   // of accepted connections
	uint32_t time_wait_ms;       // 2 MSL; 0: 60 s
};

// A segment as IP hands it up. `data` points at the TCP header inside `buf`, whose storage the
// stack may reference until it has handed the payload up or dropped it.
struct tcp_rx {
	struct ip_addr src, dst;
	struct buf *buf;             // borrowed; the stack takes references of its own
	const uint8_t *data;
	uint32_t len;                // TCP header and payload
	bool checksum_good;          // verified by the port; else the stack does it (MUST-3)
	bool broadcast;              // link-layer or IP broadcast or multicast: discarded (MUST-57)
	uint8_t dscp;
};

#define TCP_HEADER_MAX 60
#define TCP_TX_SLICES 16

// A segment to send. Slices are borrowed until the next call into the stack.
struct tcp_tx {
	struct ip_addr src, dst;
	uint8_t ttl, dscp;
	uint8_t header_len;
	uint8_t slices;
	uint16_t payload_len;
	uint8_t header[TCP_HEADER_MAX];  // checksum field zero
	struct slice payload[TCP_TX_SLICES];
};

// NULL when out of memory. The stack arms its timers in `wheel`, which the caller runs.
struct tcp_stack *tcp_stack_new(
	const struct tcp_config *config, struct timer_wheel *wheel, ns_t now);
// Connections that are left end with `closed`(-ECONNABORTED), without a segment.
void tcp_stack_destroy(struct tcp_stack *stack);

// Accepts connections to port (host order) on any local address. accept's listener_user is user.
// 0, -EADDRINUSE, -ENOBUFS.
int tcp_listen(struct tcp_stack *stack, uint16_t port, void *user);
// Stops accepting; what is established stays. In-progress handshakes are reset. 0 or -ENOENT.
int tcp_unlisten(struct tcp_stack *stack, uint16_t port);
// More than this many connections from one address are refused with RST and counted. 0: no limit.
void tcp_set_limit_per_address(struct tcp_stack *stack, uint32_t connections);

// An active open. local_port 0: one of 49152 to 65535 that is free. ops must have what the stack's
// have; accept's listener_user is user. A failure after this is told by closed.
struct tcp_connect {
	struct ip_addr local, remote;
	uint16_t local_port, remote_port;
	const struct tcp_ops *ops;
	void *user;
};
// 0 and the connection in out; -EADDRINUSE, -EADDRNOTAVAIL (MUST-46), -ENOBUFS.
int tcp_connect(
	struct tcp_stack *stack, const struct tcp_connect *to, ns_t now, struct tcp_conn **out);

void tcp_input(struct tcp_stack *stack, const struct tcp_rx *rx, ns_t now);
// Fills at most n segments; returns how many. Call again while it returns n. Those that it has
// handed out count as sent.
unsigned tcp_output(struct tcp_stack *stack, ns_t now, struct tcp_tx *out, unsigned n);
// Serialises a segment, with its checksum (pseudo header included) unless the port computes it
// (then the field holds the pseudo header's sum, as offloads expect). `to` has header_len +
// payload_len bytes. Returns that length.
uint32_t tcp_tx_write(const struct tcp_tx *tx, uint8_t *to, bool checksum_offload);
// ICMP destination unreachable and the like about a segment we sent: `quoted` starts at the quoted
// TCP header (at least 8 bytes). Sequence numbers are checked (RFC 5927); hard errors never abort
// an established connection.
void tcp_icmp(struct tcp_stack *stack, const struct ip_addr *local, const struct ip_addr *remote,
	uint8_t type, uint8_t code, uint32_t mtu, const uint8_t *quoted, uint32_t len, ns_t now);

// Appends `out` (taken in any case) to the send buffer; may exceed tcp_send_room() by one call's
// bytes. 0, -EPIPE after tcp_close() or a reset.
int tcp_send(struct tcp_conn *c, struct chain *out);
size_t tcp_send_room(const struct tcp_conn *c);
// Bytes in the send buffer, not yet acknowledged.
size_t tcp_send_queued(const struct tcp_conn *c);
// The application is done with n received bytes: they no longer count against the window.
void tcp_consumed(struct tcp_conn *c, size_t n);
// FIN behind what is queued. `closed` follows when both sides are done.
void tcp_close(struct tcp_conn *c);
// RST at once; `closed`(-ECONNABORTED) is called from within.
void tcp_abort(struct tcp_conn *c);
void tcp_set_user(struct tcp_conn *c, void *user);
void *tcp_user(const struct tcp_conn *c);
void tcp_set_nagle(struct tcp_conn *c, bool on);          // SHLD-7, off by default (MUST-17)
void tcp_set_keepalive(struct tcp_conn *c, ns_t idle);    // MUST-24..29; 0: off, the default
void tcp_set_user_timeout(struct tcp_conn *c, ns_t timeout);  // R2 (MUST-21); 0: the default
void tcp_set_dscp(struct tcp_conn *c, uint8_t dscp);      // MUST-48; 0 is the default

struct tcp_conn_info {
	struct ip_addr local, remote;
	uint16_t local_port, remote_port;
	enum tcp_state state;
	uint32_t mss, cwnd_bytes, ssthresh_bytes, send_window_bytes, recv_window_bytes;
	uint32_t srtt_us, rto_us;
	uint64_t bytes_in, bytes_out, retransmits;
};
void tcp_info(const struct tcp_conn *c, struct tcp_conn_info *out);
uint32_t tcp_conns(const struct tcp_stack *stack);  // all states but TIME-WAIT

// Counters: name, sentence.
#define TCP_COUNTERS(X)                                                                            \
	X(segments_in, "segments received for a local address")                                    \
	X(segments_out, "segments sent")                                                           \
	X(bytes_in, "payload bytes delivered in order")                                            \
	X(bytes_out, "payload bytes sent for the first time")                                      \
	X(opened, "connections established")                                                       \
	X(drop_short, "segments shorter than their header")                                        \
	X(drop_checksum, "segments with a wrong checksum")                                         \
	X(drop_broadcast, "segments to or from a broadcast or multicast address")                  \
	X(drop_no_listener, "segments to a port nobody listens on, answered with RST")             \
	X(drop_no_memory, "connections refused because the table is full")                         \
	X(drop_address_limit, "connections refused because their address has too many")            \
	X(drop_window, "segments outside the window")                                              \
	X(drop_paws, "segments with an old timestamp (PAWS)")                                      \
	X(drop_ooo, "out-of-order segments dropped because the queue is full")                     \
	X(drop_ack, "segments that acknowledge what was never sent")                               \
	X(drop_after_close, "payload that arrived after the end of its stream")               \
	X(challenge_acks, "challenge acknowledgements sent (RFC 5961)")                            \
	X(challenge_limited, "challenge acknowledgements not sent because of their rate limit")    \
	X(resets_in, "connections reset by the peer")                                              \
	X(resets_out, "RST segments sent")                                                         \
	X(retransmits, "segments sent again")                                                      \
	X(fast_retransmits, "losses repaired by fast retransmit")                                  \
	X(timeouts, "retransmission timeouts")                                                     \
	X(timed_out, "connections given up after retransmissions")                                 \
	X(zero_window_probes, "probes of a closed window")                                         \
	X(icmp_ignored, "ICMP errors that match no connection or sequence")

struct tcp_counters {
#define X(name, text) uint64_t name;
	TCP_COUNTERS(X)
#undef X
};
const struct tcp_counters *tcp_counters(const struct tcp_stack *stack);
