// SPDX-License-Identifier: Apache-2.0
// A TCP stack in a test tube: virtual clock, one application, and a peer that the test plays by
// writing segments as text in the manner of packetdrill:
//
//   FLAGS SEQ:END(LEN) ack N win BYTES <mss N,ws N,ts VAL:ECR>
//
// FLAGS are letters of S F R P U and . for ACK. Sequence numbers are relative to each side's
// initial one, so SYN is 0 and the first byte is 1; byte n of either stream is pattern(n), checked
// wherever bytes arrive. What the text leaves out is not compared; nots and nows say that an option
// must be missing.
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "dataplane/tcp/internal.h"
#include "dataplane/tcp/tcp.h"

#define WORLD_OUT_MAX 4096
#define LOCAL_PORT 7878
#define PEER_PORT 40000

struct world_out {
	char text[160];
	uint8_t flags;
	uint32_t seq, ack, len, window;  // absolute
	struct tcp_options options;
	struct ip_addr src, dst;
	uint16_t src_port, dst_port;
	ns_t at;
};

struct world {
	struct timer_wheel wheel;
	struct tcp_stack *stack;
	struct buf_pool *pool;
	struct tcp_config config;
	ns_t now;

	// The peer.
	struct ip_addr local, peer;
	uint16_t local_port, peer_port;
	uint32_t peer_isn, isn;
	bool isn_known;
	bool peer_ts;  // adds a timestamp to every segment
	uint32_t peer_ts_val, peer_ts_ecr;
	uint8_t peer_shift;  // agreed scale of its windows
	uint8_t our_shift;
	uint32_t peer_window;  // unless the text says otherwise
	bool bad_checksum, broadcast;

	// The application.
	struct tcp_conn *conn;
	bool refuse, hold;  // accept returns false; data is not consumed
	bool close_on_eof, abort_on_data, abort_on_accept, abort_on_eof, abort_on_writable;
	unsigned accepted, eofs, closes, writables;
	int error;
	uint32_t received, held, sent;

	unsigned bufs_out;
	size_t nodes_before;
	struct world_out out[WORLD_OUT_MAX];
	unsigned out_first, out_count;
};

struct world_setup {
	uint32_t mtu, window, send_buffer, ooo_conn, conns_max, time_wait_max, time_wait_ms;
	bool v6;
};

// Starts a stack that listens on LOCAL_PORT; zero fields of setup mean defaults.
void world_start(struct world *w, struct world_setup setup);
// Ends it and checks that nothing leaked.
void world_end(struct world *w);
// The handshake of a passive open; options as in a segment's text ("mss 1460,ws 7").
void world_accept(struct world *w, const char *options);
void world_connect(struct world *w);  // active open, up to its SYN, which stays to be expected
void world_run(struct world *w, ns_t span);                              // lets time pass
void world_write(struct world *w, uint32_t len);                         // the application sends
void world_write_pieces(struct world *w, uint32_t pieces, uint32_t len);  // in slices of its own
void world_arrive(struct world *w, const char *file, int line, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
void world_expect(struct world *w, const char *file, int line, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
void world_expect_nothing(struct world *w, const char *file, int line);
void world_keep_last(struct world *w);  // forgets what was sent but for the last segment
uint32_t world_expect_data(
	struct world *w, uint32_t from, uint32_t to);  // any segmentation; segments
void world_drain(struct world *w);                    // forgets what was sent
enum tcp_state world_state(const struct world *w);    // CLOSED after `closed`

#define arrive(w, ...) world_arrive(w, __FILE__, __LINE__, __VA_ARGS__)
#define expect(w, ...) world_expect(w, __FILE__, __LINE__, __VA_ARGS__)
#define expect_last(w, ...) (world_keep_last(w), expect(w, __VA_ARGS__))
#define expect_nothing(w) world_expect_nothing(w, __FILE__, __LINE__)

uint8_t world_pattern(uint32_t n);
