// SPDX-License-Identifier: Apache-2.0
// See tcp_world.h.
#include "test/unit/tcp_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct spec {
	uint8_t flags;
	uint32_t seq, len, ack, window;
	bool has_ack, has_window, has_mss, has_ws, has_ts, no_ts, no_ws, any_ts;
	uint16_t mss;
	uint8_t ws;
	uint32_t ts_val, ts_ecr;
};

static const char flag_letters[] = "FSRP.U";

uint8_t world_pattern(uint32_t n)
{
	return (uint8_t)('a' + n % 26 + (n / 26 % 2 ? 'A' - 'a' : 0));
}

static void bad_text(const char *text, const char *file, int line)
{
	print_error("cannot read segment: %s\n", text);
	_fail(file, line);
}

static bool parse_option(struct spec *s, const char *o)
{
	unsigned a, b;

	if (sscanf(o, "mss %u", &a) == 1) {
		s->has_mss = true;
		s->mss = (uint16_t)a;
	} else if (sscanf(o, "ws %u", &a) == 1) {
		s->has_ws = true;
		s->ws = (uint8_t)a;
	} else if (sscanf(o, "ts %u:%u", &a, &b) == 2) {
		s->has_ts = true;
		s->ts_val = a;
		s->ts_ecr = b;
	} else if (strcmp(o, "ts") == 0) {
		s->any_ts = true;
	} else if (strcmp(o, "nots") == 0) {
		s->no_ts = true;
	} else if (strcmp(o, "nows") == 0) {
		s->no_ws = true;
	} else {
		return false;
	}
	return true;
}

static void parse(struct spec *s, char *text, const char *file, int line)
{
	char whole[160], *save = NULL, *options = strchr(text, '<');
	unsigned seq, end, len;
	char *word;

	snprintf(whole, sizeof(whole), "%s", text);
	*s = (struct spec){0};
	if (options) {
		*options++ = 0;
		options[strcspn(options, ">")] = 0;
		for (word = strtok_r(options, ",", &save); word;
			word = strtok_r(NULL, ",", &save)) {
			if (!parse_option(s, word))
				bad_text(whole, file, line);
		}
	}
	word = strtok_r(text, " ", &save);
	for (; word && *word; word++) {
		const char *at = strchr(flag_letters, *word);

		if (!at)
			bad_text(whole, file, line);
		s->flags |= (uint8_t)(1u << (at - flag_letters));
	}
	word = strtok_r(NULL, " ", &save);
	if (!word)
		bad_text(whole, file, line);
	if (sscanf(word, "%u:%u(%u)", &seq, &end, &len) == 3 && end == seq + len)
		s->len = len;
	else if (strchr(word, ':') || sscanf(word, "%u", &seq) != 1)
		bad_text(whole, file, line);
	s->seq = seq;
	while ((word = strtok_r(NULL, " ", &save))) {
		const char *value = strtok_r(NULL, " ", &save);

		if (value && strcmp(word, "ack") == 0) {
			s->has_ack = true;
			s->ack = (uint32_t)strtoul(value, NULL, 10);
		} else if (value && strcmp(word, "win") == 0) {
			s->has_window = true;
			s->window = (uint32_t)strtoul(value, NULL, 10);
		} else {
			bad_text(whole, file, line);
		}
	}
}

// The application.

static bool on_accept(struct tcp_conn *c, void *user)
{
	struct world *w = user;

	w->accepted++;
	if (w->refuse)
		return false;
	w->conn = c;
	tcp_set_user(c, w);
	if (w->abort_on_accept)
		tcp_abort(c);
	return true;
}

static void on_data(struct tcp_conn *c, struct chain *data)
{
	struct world *w = tcp_user(c);
	uint32_t n = (uint32_t)data->len;

	assert_true(n > 0);
	for (const struct chain_node *at = data->first; at; at = at->next) {
		for (uint32_t i = 0; i < at->slice.len; i++)
			assert_int_equal(at->slice.data[i], world_pattern(++w->received));
	}
	if (w->abort_on_data)
		tcp_abort(c);
	else if (w->hold)
		w->held += n;
	else
		tcp_consumed(c, n);
}

static void on_writable(struct tcp_conn *c)
{
	struct world *w = tcp_user(c);

	w->writables++;
	assert_true(tcp_send_room(c) > 0);
	if (w->abort_on_writable)
		tcp_abort(c);
}

static void on_eof(struct tcp_conn *c)
{
	struct world *w = tcp_user(c);

	w->eofs++;
	if (w->close_on_eof)
		tcp_close(c);
	if (w->abort_on_eof)
		tcp_abort(c);
}

static void on_closed(struct tcp_conn *c, int error)
{
	struct world *w = tcp_user(c);

	w->closes++;
	w->error = error;
	w->conn = NULL;
}

static const struct tcp_ops ops = {on_accept, on_data, on_writable, on_eof, on_closed};

void world_start(struct world *w, struct world_setup setup)
{
	*w = (struct world){.now = 5000 * NS_PER_SEC,
		.local = ip_from_v4(0x02004d0a),
		.peer = ip_from_v4(0x01004d0a),
		.local_port = LOCAL_PORT,
		.peer_port = PEER_PORT,
		.peer_isn = 0xfffffc00,  // wraps soon
		.peer_window = 60000,
		.peer_ts_val = 0xffffff00,
		.nodes_before = chain_nodes_in_use()};
	if (setup.v6) {
		ip_parse("fd77::2", &w->local);
		ip_parse("fd77::1", &w->peer);
	}
	w->config = (struct tcp_config){
		.conns_max = setup.conns_max ? setup.conns_max : 16,
		.time_wait_max = setup.time_wait_max ? setup.time_wait_max : 4,
		.mtu = setup.mtu ? setup.mtu : 1500,
		.recv_window_bytes = setup.window ? setup.window : 50000,
		.send_buffer_bytes = setup.send_buffer ? setup.send_buffer : 1 << 20,
		.ooo_bytes_conn = setup.ooo_conn ? setup.ooo_conn : 65536,
		.ooo_bytes_stack = 1 << 18,
		.key = {1, 2, 3, [31] = 4},
		.ops = &ops,
		.time_wait_ms = setup.time_wait_ms,
	};
	timer_wheel_init(&w->wheel, w->now);
	w->pool = buf_pool_new(4096, 0);
	w->stack = tcp_stack_new(&w->config, &w->wheel, w->now);
	assert_non_null(w->stack);
	assert_int_equal(tcp_listen(w->stack, LOCAL_PORT, w), 0);
}

void world_end(struct world *w)
{
	tcp_stack_destroy(w->stack);
	assert_null(w->conn);
	assert_int_equal(w->wheel.count, 0);
	assert_int_equal(chain_nodes_in_use(), w->nodes_before);
	assert_int_equal(buf_pool_bytes(w->pool), 0);
	assert_int_equal(w->bufs_out, 0);
	buf_pool_destroy(w->pool);
}

// The peer.

static void buf_gone(struct buf *buf)
{
	struct world *w = buf->owner;

	w->bufs_out--;
	free(buf->base);
	free(buf);
}

static uint8_t *write_options(struct world *w, const struct spec *s, uint8_t *at)
{
	if (s->has_mss)
		at = tcp_options_write_mss(at, s->mss);
	if (s->has_ws)
		at = tcp_options_write_wscale(at, s->ws);
	if (s->has_ts)
		at = tcp_options_write_ts(at, s->ts_val, s->ts_ecr);
	else if (w->peer_ts && !s->no_ts)
		at = tcp_options_write_ts(at, w->peer_ts_val, w->peer_ts_ecr);
	return at;
}

static void inject(struct world *w, const struct spec *s)
{
	uint8_t payload[65536];
	uint32_t window = s->has_window ? s->window : w->peer_window;
	struct tcp_tx tx;
	struct buf *buf = malloc(sizeof(*buf));
	uint8_t *bytes;
	uint32_t len;

	if (s->flags & TCP_SYN)
		window = window > 65535 ? 65535 : window;
	else
		window >>= w->peer_shift;
	tcp_tx_begin(&tx, &w->peer, &w->local, w->peer_port, w->local_port, w->peer_isn + s->seq,
		s->has_ack ? w->isn + s->ack : 0, s->flags, (uint16_t)window);
	tcp_tx_options_end(&tx, write_options(w, s, tx.header + tx.header_len));
	for (uint32_t i = 0; i < s->len; i++)
		payload[i] = world_pattern(s->seq + i);
	tx.payload[0] = (struct slice){.data = payload, .len = s->len};
	tx.slices = s->len > 0;
	bytes = malloc(tx.header_len + s->len);
	len = tcp_tx_write(&tx, bytes, false);
	if (w->bad_checksum)
		bytes[len - 1] ^= 0x10;
	buf_init(buf, bytes, len, buf_gone, w);
	w->bufs_out++;
	tcp_input(w->stack,
		&(struct tcp_rx){.src = w->peer,
			.dst = w->local,
			.buf = buf,
			.data = bytes,
			.len = len,
			.broadcast = w->broadcast},
		w->now);
	buf_unref(buf);
}

void world_arrive(struct world *w, const char *file, int line, const char *format, ...)
{
	char text[160];
	struct spec s;
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	parse(&s, text, file, line);
	inject(w, &s);
}

// What the stack sends.

static void describe(struct world *w, struct world_out *o)
{
	char flags[8] = "";
	unsigned n = 0;

	for (unsigned i = 0; i < 6; i++) {
		if (o->flags >> i & 1)
			flags[n++] = flag_letters[i];
	}
	n = (unsigned)snprintf(o->text, sizeof(o->text), "%s %u:%u(%u)", flags, o->seq - w->isn,
		o->seq - w->isn + o->len, o->len);
	if (o->flags & TCP_ACK)
		n += (unsigned)snprintf(
			o->text + n, sizeof(o->text) - n, " ack %u", o->ack - w->peer_isn);
	n += (unsigned)snprintf(o->text + n, sizeof(o->text) - n, " win %u", o->window);
	if (o->options.mss)
		n += (unsigned)snprintf(
			o->text + n, sizeof(o->text) - n, " mss %u", o->options.mss);
	if (o->options.has_wscale)
		n += (unsigned)snprintf(
			o->text + n, sizeof(o->text) - n, " ws %u", o->options.wscale);
	if (o->options.has_ts)
		snprintf(o->text + n, sizeof(o->text) - n, " ts %u:%u", o->options.tsval,
			o->options.tsecr);
}

static void check_payload(struct world *w, const struct tcp_seg *seg)
{
	for (uint32_t i = 0; i < seg->len; i++)
		assert_int_equal(seg->payload[i], world_pattern(seg->seq - w->isn + i));
}

static void capture(struct world *w, const struct tcp_tx *tx)
{
	static uint8_t bytes[65536 + TCP_HEADER_MAX];
	struct world_out *o = &w->out[(w->out_first + w->out_count++) % WORLD_OUT_MAX];
	struct tcp_rx rx = {.src = tx->src, .dst = tx->dst, .data = bytes};
	struct tcp_seg seg;

	assert_true(w->out_count <= WORLD_OUT_MAX);
	rx.len = tcp_tx_write(tx, bytes, false);
	assert_int_equal(rx.len, tx->header_len + tx->payload_len);
	assert_int_equal(tcp_segment_parse(&rx, &seg), TCP_PARSE_OK);  // MUST-2
	if (seg.flags & TCP_SYN && !w->isn_known) {
		w->isn = seg.seq;
		w->isn_known = true;
	}
	if (!(seg.flags & TCP_RST))
		check_payload(w, &seg);
	*o = (struct world_out){.flags = seg.flags,
		.seq = seg.seq,
		.ack = seg.ack,
		.len = seg.len,
		.window = (uint32_t)seg.window << (seg.flags & TCP_SYN ? 0 : w->our_shift),
		.options = seg.options,
		.src = tx->src,
		.dst = tx->dst,
		.src_port = seg.src_port,
		.dst_port = seg.dst_port,
		.at = w->now};
	if (seg.options.has_ts)
		w->peer_ts_ecr = seg.options.tsval;
	describe(w, o);
}

static void pull(struct world *w)
{
	static struct tcp_tx tx[7];
	unsigned n;

	do {
		n = tcp_output(w->stack, w->now, tx, 7);
		for (unsigned i = 0; i < n; i++)
			capture(w, &tx[i]);
	} while (n == 7);
}

static bool matches(struct world *w, const struct spec *s, const struct world_out *o)
{
	bool same = s->flags == o->flags && s->len == o->len;

	// A reset out of nowhere has a number of the peer's choice.
	same = same && s->seq == o->seq - w->isn;
	same = same && (!s->has_ack || s->ack == o->ack - w->peer_isn);
	same = same && (!s->has_window || s->window == o->window);
	same = same && (!s->has_mss || s->mss == o->options.mss);
	same = same && (!s->has_ws || (o->options.has_wscale && s->ws == o->options.wscale));
	same = same && !(s->no_ws && o->options.has_wscale) && !(s->no_ts && o->options.has_ts);
	same = same && !(s->any_ts && !o->options.has_ts);
	if (s->has_ts)
		same = same && o->options.has_ts && o->options.tsecr == s->ts_ecr;
	return same;
}

void world_expect(struct world *w, const char *file, int line, const char *format, ...)
{
	char text[160], whole[160];
	const struct world_out *o;
	struct spec s;
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	snprintf(whole, sizeof(whole), "%s", text);
	parse(&s, text, file, line);
	pull(w);
	if (w->out_count == 0) {
		print_error("nothing was sent, expected: %s\n", whole);
		_fail(file, line);
	}
	o = &w->out[w->out_first];
	w->out_first = (w->out_first + 1) % WORLD_OUT_MAX;
	w->out_count--;
	if (!matches(w, &s, o)) {
		print_error("expected: %s\n     got: %s\n", whole, o->text);
		_fail(file, line);
	}
}

void world_expect_nothing(struct world *w, const char *file, int line)
{
	pull(w);
	if (w->out_count == 0)
		return;
	print_error("expected nothing, got: %s\n", w->out[w->out_first].text);
	_fail(file, line);
}

uint32_t world_expect_data(struct world *w, uint32_t from, uint32_t to)
{
	uint32_t segments = 0;

	pull(w);
	for (; w->out_count > 0; segments++) {
		const struct world_out *o = &w->out[w->out_first];

		if (o->len == 0 || o->seq - w->isn != from || from == to)
			break;
		from += o->len;
		w->out_first = (w->out_first + 1) % WORLD_OUT_MAX;
		w->out_count--;
	}
	assert_int_equal(from, to);
	return segments;
}

void world_keep_last(struct world *w)
{
	pull(w);
	while (w->out_count > 1) {
		w->out_first = (w->out_first + 1) % WORLD_OUT_MAX;
		w->out_count--;
	}
}

void world_drain(struct world *w)
{
	pull(w);
	w->out_count = 0;
}

void world_run(struct world *w, ns_t span)
{
	ns_t end = w->now + span;

	pull(w);
	while (w->now < end) {
		ns_t next = timer_wheel_next(&w->wheel);

		if (next <= w->now)
			next = w->now + TIMER_TICK_NS;
		w->peer_ts_val += (uint32_t)(((next < end ? next : end) - w->now) / NS_PER_MS);
		w->now = next < end ? next : end;
		timer_wheel_run(&w->wheel, w->now);
		pull(w);
	}
}

void world_write_pieces(struct world *w, uint32_t pieces, uint32_t len)
{
	struct chain out = {0};

	for (uint32_t k = 0; k < pieces; k++) {
		struct chain piece = {0};
		uint8_t *to;

		for (uint32_t done = 0; done < len; done += 4096) {
			uint32_t n = len - done < 4096 ? len - done : 4096;

			to = chain_reserve(&piece, w->pool, n);
			for (uint32_t i = 0; i < n; i++)
				to[i] = world_pattern(++w->sent);
		}
		chain_append(&out, &piece);
	}
	assert_int_equal(tcp_send(w->conn, &out), 0);
	assert_true(chain_empty(&out));
}

void world_write(struct world *w, uint32_t len)
{
	world_write_pieces(w, 1, len);
}

static void agree(struct world *w, const struct world_out *syn, const struct spec *peer)
{
	w->peer_ts = (peer->has_ts || w->peer_ts) && syn->options.has_ts;
	if (peer->has_ws && syn->options.has_wscale) {
		w->peer_shift = peer->ws;
		w->our_shift = syn->options.wscale;
	}
}

void world_accept(struct world *w, const char *options)
{
	char text[160];
	struct spec s;

	snprintf(text, sizeof(text), "S 0 win 60000 <%s>", options);
	parse(&s, text, __FILE__, __LINE__);
	inject(w, &s);
	expect(w, "S. 0 ack 1");
	agree(w, &w->out[(w->out_first + WORLD_OUT_MAX - 1) % WORLD_OUT_MAX], &s);
	arrive(w, ". 1 ack 1");
	expect_nothing(w);
	assert_non_null(w->conn);
	assert_int_equal(world_state(w), TCP_ESTABLISHED);
}

void world_connect(struct world *w)
{
	struct tcp_connect to = {.local = w->local,
		.remote = w->peer,
		.local_port = w->local_port,
		.remote_port = w->peer_port,
		.ops = &ops,
		.user = w};

	assert_int_equal(tcp_unlisten(w->stack, LOCAL_PORT), 0);
	assert_int_equal(tcp_connect(w->stack, &to, w->now, &w->conn), 0);
}

enum tcp_state world_state(const struct world *w)
{
	struct tcp_conn_info info;

	if (!w->conn)
		return TCP_CLOSED;
	tcp_info(w->conn, &info);
	return info.state;
}
