// SPDX-License-Identifier: Apache-2.0
// A stack in a state that the first bytes choose gets segments, time and calls of its application.
// After each step the invariants of the stack are checked; delivered bytes must be those the peer
// put there; nothing leaks.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/tcp/internal.h"
#include "lib/base/cursor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define PORT 7878
#define PEER_PORT 40000
#define PEER_ISN 0xffffff00u
#define STEPS_MAX 400

struct fuzz {
	struct timer_wheel wheel;
	struct tcp_stack *stack;
	struct buf_pool *pool;
	struct tcp_conn *conn;
	struct ip_addr local, peer;
	ns_t now;
	uint32_t delivered;  // number of the next byte expected, absolute
	size_t held;
	uint8_t style;  // what the events do
	bool raw;      // bytes of any content were injected
	unsigned closes, bufs_out;
};

enum {
	STYLE_HOLD = 1,
	STYLE_ABORT_DATA = 2,
	STYLE_CLOSE_EOF = 4,
	STYLE_REFUSE = 8,
	STYLE_SEND = 16
};

static void expect_at(bool good, int line, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "line %d: not so: %s\n", line, what);
	abort();
}

#define expect(good) expect_at(good, __LINE__, #good)

static uint8_t pattern(uint32_t seq)
{
	return (uint8_t)(seq * 2654435761u >> 24);
}

static void send_some(struct fuzz *f, uint32_t pieces, uint32_t len)
{
	struct chain out = {0};

	if (!f->conn || tcp_send_queued(f->conn) > 100000)
		return;
	for (uint32_t k = 0; k < pieces && len; k++) {
		struct chain piece = {0};

		memset(chain_reserve(&piece, f->pool, len), (int)k, len);
		chain_append(&out, &piece);
	}
	tcp_send(f->conn, &out);
	expect(chain_empty(&out));
}

static bool on_accept(struct tcp_conn *c, void *user)
{
	struct fuzz *f = user;

	if (f->style & STYLE_REFUSE || (f->conn && f->conn != c)) {
		if (f->conn == c)
			f->conn = NULL;  // refused: no further event
		return false;
	}
	tcp_set_user(c, f);
	f->conn = c;
	f->delivered = c->rcv_nxt;
	return true;
}

static void on_data(struct tcp_conn *c, struct chain *data)
{
	struct fuzz *f = tcp_user(c);

	expect(data->len > 0 && c == f->conn);
	for (const struct chain_node *n = data->first; n; n = n->next) {
		for (uint32_t i = 0; i < n->slice.len; i++, f->delivered++)
			expect(f->raw || n->slice.data[i] == pattern(f->delivered));
	}
	if (f->style & STYLE_ABORT_DATA) {
		tcp_abort(c);
	} else if (f->style & STYLE_HOLD) {
		f->held += data->len;
	} else {
		tcp_consumed(c, data->len);
		if (f->style & STYLE_SEND)
			send_some(f, 2, 30);
	}
}

static void on_writable(struct tcp_conn *c)
{
	expect(tcp_send_room(c) > 0);
}

static void on_eof(struct tcp_conn *c)
{
	struct fuzz *f = tcp_user(c);

	if (f->style & STYLE_CLOSE_EOF)
		tcp_close(c);
}

static void on_closed(struct tcp_conn *c, int error)
{
	struct fuzz *f = tcp_user(c);

	expect(f->conn == c && error <= 0);
	f->closes++;
	f->conn = NULL;
	f->held = 0;
}

static const struct tcp_ops ops = {on_accept, on_data, on_writable, on_eof, on_closed};

static void check_queue(const struct tcp_conn *c)
{
	size_t bytes = 0;
	uint32_t at = c->snd_una;
	bool cursor_found = !c->cursor;

	for (const struct chain_node *n = c->sendq.first; n; n = n->next) {
		bytes += n->slice.len;
		at += n->slice.len;
		expect(n->slice.len > 0 && (n->next || n == c->sendq.last));
		if (n == c->cursor) {
			cursor_found = true;
			expect(c->cursor_end == at);
		}
	}
	expect(bytes == c->sendq.len && cursor_found);
}

static void check_ooo(const struct tcp_conn *c)
{
	uint32_t charge = 0, end = c->rcv_nxt;

	for (const struct tcp_ooo *o = c->ooo_first; o; o = o->next) {
		expect(o->len > 0 && seq_ge(o->seq, end));
		expect(seq_gt(o->seq, c->rcv_nxt) && seq_le(o->seq + o->len, c->rcv_adv));
		end = o->seq + o->len;
		charge += o->len < TCP_OOO_CHARGE_MIN ? TCP_OOO_CHARGE_MIN : o->len;
		expect(o->next || o == c->ooo_last);
	}
	expect(charge == c->ooo_charge && charge <= c->stack->config.ooo_bytes_conn);
}

static void check(const struct fuzz *f)
{
	const struct tcp_conn *c = f->conn;

	if (!c)
		return;
	expect(c->state != TCP_CLOSED && c->state != TCP_LISTEN && c->state != TCP_TIME_WAIT);
	expect(seq_le(c->snd_una, c->snd_nxt) && seq_le(c->snd_nxt, c->snd_max));
	expect(c->snd_max - c->snd_una <= c->sendq.len + 1 || c->state < TCP_ESTABLISHED);
	expect(seq_le(c->rcv_nxt, c->rcv_adv) || c->state == TCP_SYN_SENT ||
		seq_diff(c->rcv_nxt, c->rcv_adv) == 1);  // a FIN needs no window
	expect(!(c->flags & C_BUSY) && c->mss >= TCP_MSS_MIN);
	if (c->state >= TCP_ESTABLISHED) {
		expect(c->cwnd >= tcp_conn_mss(c));
		// What is outstanding or waits to be sent is always watched by a timer.
		if ((c->snd_una != c->snd_max || c->sendq.len > 0) && !list_linked(&c->ready))
			expect(c->deadline[TCP_TIMER_RTX] != NS_NEVER);
	}
	for (unsigned i = 0; i < TCP_TIMERS; i++)
		expect(c->deadline[i] == NS_NEVER ||
			(timer_armed(&c->timer) && c->armed_at <= c->deadline[i]));
	check_queue(c);
	check_ooo(c);
	expect(c->rcv_pending == f->held);
}

static void check_segment(struct fuzz *f, const struct tcp_tx *tx)
{
	static uint8_t bytes[TCP_HEADER_MAX + 65536];
	struct tcp_rx rx = {.src = tx->src, .dst = tx->dst, .data = bytes};
	struct tcp_seg seg;

	expect(tx->header_len >= 20 && tx->header_len <= TCP_HEADER_MAX &&
		tx->slices <= TCP_TX_SLICES);
	rx.len = tcp_tx_write(tx, bytes, false);
	expect(rx.len == tx->header_len + (uint32_t)tx->payload_len);
	expect(tcp_segment_parse(&rx, &seg) == TCP_PARSE_OK);
	expect(rx.len + 20 <= f->stack->config.mtu);
}

static void output(struct fuzz *f)
{
	struct tcp_tx tx[5];
	unsigned n, rounds = 0;

	do {
		n = tcp_output(f->stack, f->now, tx, 5);
		for (unsigned i = 0; i < n; i++)
			check_segment(f, &tx[i]);
		expect(++rounds < 1000);  // what may be sent is bounded by windows
	} while (n == 5);
}

static void buf_gone(struct buf *buf)
{
	struct fuzz *f = buf->owner;

	f->bufs_out--;
	free(buf->base);
	free(buf);
}

static void inject(struct fuzz *f, const void *bytes, uint32_t len)
{
	struct buf *buf = malloc(sizeof(*buf));
	uint8_t *copy = malloc(len ? len : 1);
	struct tcp_rx rx = {.src = f->peer,
		.dst = f->local,
		.buf = buf,
		.data = copy,
		.len = len,
		.checksum_good = true};

	memcpy(copy, bytes, len);
	buf_init(buf, copy, len, buf_gone, f);
	f->bufs_out++;
	tcp_input(f->stack, &rx, f->now);
	buf_unref(buf);
}

// A segment near the connection's numbers.
static void inject_near(struct fuzz *f, uint8_t flags, uint32_t seq, uint32_t ack, uint16_t window,
	uint32_t len, const uint8_t *options, uint32_t options_len)
{
	uint8_t bytes[60 + 2048];
	struct tcp_tx tx;
	uint32_t header;

	options_len = (options_len > 40 ? 40 : options_len) & ~3u;
	tcp_tx_begin(&tx, &f->peer, &f->local, PEER_PORT, PORT, seq, ack, flags, window);
	memcpy(tx.header + 20, options, options_len);
	tcp_tx_options_end(&tx, tx.header + 20 + options_len);
	header = tx.header_len;
	memcpy(bytes, tx.header, header);
	for (uint32_t i = 0; i < len; i++)
		bytes[header + i] = pattern(seq + i);
	inject(f, bytes, header + len);
}

static void step_segment(struct fuzz *f, struct reader *r)
{
	static const uint8_t none[40];
	uint8_t flags = reader_u8(r);
	int16_t seq_off = (int16_t)reader_u16(r), ack_off = (int16_t)reader_u16(r);
	uint16_t window = reader_u16(r);
	uint32_t len = reader_u16(r) & 2047;
	uint8_t options_len = reader_u8(r) & 63;
	const uint8_t *options = options_len ? reader_take(r, options_len) : none;
	uint32_t seq = f->conn ? f->conn->rcv_nxt : PEER_ISN + 1;
	uint32_t ack = f->conn ? (flags & 0x80 ? f->conn->snd_max : f->conn->snd_una) : 0;

	if (flags & 0x40 && f->conn)
		seq = f->conn->rcv_adv;
	if (!options) {
		options = none;
		options_len = 0;
	}
	inject_near(f, flags & 0x3f, seq + (uint32_t)seq_off, ack + (uint32_t)ack_off, window, len,
		options, options_len);
}

static void step_raw(struct fuzz *f, struct reader *r)
{
	uint32_t len = reader_u8(r);
	const uint8_t *bytes = reader_take(r, len);

	f->raw = true;
	if (bytes)
		inject(f, bytes, len);
}

static void step_time(struct fuzz *f, struct reader *r)
{
	f->now += (ns_t)reader_u16(r) * NS_PER_MS;
	timer_wheel_run(&f->wheel, f->now);
}

static void step_send(struct fuzz *f, struct reader *r)
{
	uint32_t pieces = reader_u8(r) & 63;

	send_some(f, pieces, reader_u8(r));
}

static void step_consume(struct fuzz *f, struct reader *r)
{
	size_t n = reader_u16(r);

	if (!f->conn)
		return;
	n = n > f->held ? f->held : n;
	f->held -= n;
	tcp_consumed(f->conn, n);
}

static void step_icmp(struct fuzz *f, struct reader *r)
{
	uint8_t type = reader_u8(r), code = reader_u8(r);
	uint32_t mtu = reader_u16(r);
	uint32_t seq = (f->conn ? f->conn->snd_una : 0) + reader_u8(r);
	uint8_t quoted[8] = {PORT >> 8, PORT & 255, PEER_PORT >> 8, PEER_PORT & 255,
		(uint8_t)(seq >> 24), (uint8_t)(seq >> 16), (uint8_t)(seq >> 8), (uint8_t)seq};

	tcp_icmp(f->stack, &f->local, &f->peer, type, code, mtu, quoted, reader_u8(r) % 9, f->now);
}

static void step_call(struct fuzz *f, struct reader *r)
{
	uint8_t which = reader_u8(r);
	uint16_t value = reader_u16(r);

	if (!f->conn)
		return;
	switch (which % 8) {
	case 0:
		tcp_close(f->conn);
		break;
	case 1:
		tcp_abort(f->conn);
		break;
	case 2:
		tcp_set_nagle(f->conn, value & 1);
		break;
	case 3:
		tcp_set_keepalive(f->conn, value * NS_PER_MS);
		break;
	case 4:
		tcp_set_user_timeout(f->conn, value * NS_PER_MS);
		break;
	case 5:
		f->style = (uint8_t)value;
		break;
	default:
		break;
	}
}

static void step_output(struct fuzz *f, struct reader *r)
{
	output(f);
}

static void (*const steps[])(struct fuzz *f, struct reader *r) = {
	step_segment,
	step_segment,
	step_segment,
	step_time,
	step_send,
	step_consume,
	step_call,
	step_output,
	step_raw,
	step_icmp,
};

static void handshake(struct fuzz *f, bool ts, uint8_t shift)
{
	uint8_t options[20], *at = options;

	at = tcp_options_write_mss(at, 1000);
	at = tcp_options_write_wscale(at, shift);
	if (ts)
		at = tcp_options_write_ts(at, 100, 0);
	inject_near(f, TCP_SYN, PEER_ISN, 0, 5000, 0, options, (uint32_t)(at - options));
	output(f);
}

// An ACK with a fitting timestamp, if they are agreed.
static void peer_ack(struct fuzz *f, uint8_t flags, bool ts, bool all)
{
	uint8_t options[12];
	struct list *half = list_first(&f->stack->half_open);
	const struct tcp_conn *c = f->conn ? f->conn
				   : half  ? list_entry(half, struct tcp_conn, half_open)
					   : NULL;

	if (!c)
		return;
	tcp_options_write_ts(options, 101, 0);
	inject_near(f, flags | TCP_ACK, c->rcv_nxt, all ? c->snd_max : c->snd_una, 5000, 0, options,
		ts ? 12 : 0);
	output(f);
}

// 0 listen, 1 SYN-SENT, 2 SYN-RECEIVED, 3 ESTABLISHED, 4.. the closing states.
static void enter(struct fuzz *f, uint8_t state, bool ts, uint8_t shift)
{
	struct tcp_connect to = {.local = f->local,
		.remote = f->peer,
		.local_port = PORT,
		.remote_port = PEER_PORT,
		.ops = &ops,
		.user = f};

	if (state == 1) {
		expect(tcp_connect(f->stack, &to, f->now, &f->conn) == 0);
		output(f);
		return;
	}
	if (state >= 2)
		handshake(f, ts, shift);
	if (state >= 3)
		peer_ack(f, 0, ts, true);
	if (!f->conn || state < 4)
		return;
	if (state == 4 || state == 8)  // CLOSE-WAIT, LAST-ACK
		peer_ack(f, TCP_FIN, ts, true);
	if (state >= 5 && f->conn)
		tcp_close(f->conn);
	output(f);
	if (state == 6 || state == 9)  // FIN-WAIT-2, TIME-WAIT
		peer_ack(f, 0, ts, true);
	if (state == 7)  // CLOSING
		peer_ack(f, TCP_FIN, ts, false);
	if (state == 9)
		peer_ack(f, TCP_FIN, ts, true);
}

static void start(struct fuzz *f, struct reader *r)
{
	static const uint32_t windows[] = {100000, 3000, 600, 1 << 20};
	static const uint32_t mtus[] = {1500, 576, 9000, 300};
	uint8_t state = reader_u8(r) % 10, how = reader_u8(r);
	struct tcp_config config = {.conns_max = 4,
		.time_wait_max = 2,
		.mtu = mtus[how >> 2 & 3],
		.recv_window_bytes = windows[how & 3],
		.send_buffer_bytes = 20000,
		.ooo_bytes_conn = how & 16 ? 1000 : 50000,
		.ooo_bytes_stack = 60000,
		.key = {7},
		.ops = &ops};

	*f = (struct fuzz){.now = 1000 * NS_PER_SEC,
		.local = ip_from_v4(0x02004d0a),
		.peer = ip_from_v4(0x01004d0a)};
	timer_wheel_init(&f->wheel, f->now);
	f->stack = tcp_stack_new(&config, &f->wheel, f->now);
	f->pool = buf_pool_new(256, 0);
	tcp_listen(f->stack, PORT, f);
	enter(f, state, how & 32, how >> 6);
	f->style = reader_u8(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct fuzz f;
	struct reader r = reader_of(data, len);

	start(&f, &r);
	for (unsigned i = 0; i < STEPS_MAX && reader_left(&r) > 0; i++) {
		steps[reader_u8(&r) % (sizeof(steps) / sizeof(steps[0]))](&f, &r);
		check(&f);
	}
	output(&f);
	check(&f);
	tcp_stack_destroy(f.stack);
	expect(!f.conn && f.wheel.count == 0);
	expect(chain_nodes_in_use() == 0 && f.bufs_out == 0);
	buf_pool_destroy(f.pool);
	return 0;
}
