// SPDX-License-Identifier: Apache-2.0
// Rules 91 to 97: fragmentation on receipt and on sending; limits on what is kept.

#include <stdlib.h>

#include "test/conformance/harness.h"

// The first fragment carries the type with F, the others are PAYLOADs.
static void rule_091(void **state)
{
	struct end *e = server_of(state);

	send_frame(e, RS_REQUEST_RESPONSE, 1, RS_FLAG_FOLLOWS, 0, "me", NULL);
	send_frame(e, RS_PAYLOAD, 1, RS_FLAG_FOLLOWS | RS_FLAG_NEXT, 0, "ta", "da");
	send_frame(e, RS_PAYLOAD, 1, RS_FLAG_NEXT, 0, NULL, "ta");
	send_frame(e, RS_REQUEST_FNF, 3, RS_FLAG_FOLLOWS, 0, NULL, "fire");
	send_frame(e, RS_PAYLOAD, 3, 0, 0, NULL, " and forget"); // rust: neither N nor C
	send_frame(e, RS_REQUEST_STREAM, 5, RS_FLAG_FOLLOWS, 3, NULL, "st");
	send_frame(e, RS_PAYLOAD, 5, RS_FLAG_NEXT | RS_FLAG_COMPLETE, 0, NULL, "ream");
	expect_events(e,
		"request RESPONSE 1 m=\"meta\" d=\"data\"\nrequest FNF 3 d=\"fire and forget\"\n"
		"request STREAM 5 n=3 d=\"stream\"\n");
	expect_sent(e, "");
	assert_int_equal(rs_session_streams(&e->s), 2);
}

static void rule_091_sent(void **state)
{
	struct end *e = end_config(state, &(struct rs_config){.fragment_bytes = 64});
	struct rs_message message = message_of(NULL, letters(0, 100));

	sent(e);
	assert_int_equal(rs_fire_and_forget(&e->s, &message), 0);
	expect_sent(e,
		"REQUEST_FNF 1 F d=\"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdef\"\n"
		"PAYLOAD 1 N d=\"ghijklmnopqrstuvwxyzabcdefghijklmnopqrstuv\"\n");
	assert_int_equal(rs_session_streams(&e->s), 0);
}

// Looks at frames of a fragmented message. Returns how many there are.
static unsigned check_fragments(struct end *e, const char *metadata, const char *data,
	uint32_t fragment_bytes, bool complete)
{
	static uint8_t raw[1 << 22];
	size_t len = sent_raw(e, raw, sizeof(raw)), at = 0, metadata_at = 0, data_at = 0;
	size_t metadata_len = metadata ? strlen(metadata) : 0;
	unsigned count = 0;

	while (at < len) {
		uint32_t frame_len =
			(uint32_t)raw[at] << 16 | (uint32_t)raw[at + 1] << 8 | raw[at + 2];
		struct rs_frame f;
		bool last;

		at += 3;
		assert_int_equal(rs_frame_read(&f, raw + at, frame_len), 0);
		assert_true(frame_len <= fragment_bytes);
		if (count > 0)
			assert_int_equal(f.type, RS_PAYLOAD); // rule 91
		// Rule 92: no data while metadata is left.
		assert_true(f.data_len == 0 || metadata_at + f.metadata_len == metadata_len);
		// Rule 93: M where metadata is; on the first also where it is empty.
		assert_int_equal(!!(f.flags & RS_FLAG_METADATA),
			f.metadata_len > 0 || (count == 0 && metadata));
		if (f.metadata_len > 0)
			assert_memory_equal(
				raw + at + f.head_len, metadata + metadata_at, f.metadata_len);
		if (f.data_len > 0)
			assert_memory_equal(
				raw + at + f.head_len + f.metadata_len, data + data_at, f.data_len);
		metadata_at += f.metadata_len;
		data_at += f.data_len;
		at += frame_len;
		last = at == len;
		assert_int_equal(!!(f.flags & RS_FLAG_FOLLOWS), !last); // rule 94
		if (f.type == RS_PAYLOAD)
			assert_true(f.flags & RS_FLAG_NEXT);
		assert_int_equal(!!(f.flags & RS_FLAG_COMPLETE), last && complete);
		count++;
	}
	assert_int_equal(metadata_at, metadata_len);
	assert_int_equal(data_at, strlen(data));
	return count;
}

// Rules 92, 93 and 94 on all sizes around the edges.
static void rule_092(void **state)
{
	for (size_t m = 0; m < 130; m += m < 44 ? 11 : 1) {
		for (size_t d = 0; d < 130; d += d < 44 ? 11 : 1) {
			struct end *e =
				end_config(state, &(struct rs_config){.fragment_bytes = 64});
			struct rs_message message;
			int error;

			sent(e);
			message = message_of(letters(0, m), letters(1, d));
			rs_request(&e->s, RS_REQUEST_STREAM, 5, &message, NULL, &error);
			check_fragments(e, letters(0, m), letters(1, d), 64, false);
			rs_session_fini(&e->s);
		}
	}
}

// On receipt order is not insisted on: the two are kept apart.
static void rule_092_received(void **state)
{
	struct end *e = server_of(state);

	send_frame(e, RS_REQUEST_RESPONSE, 1, RS_FLAG_FOLLOWS, 0, "m1", "d1");
	send_frame(e, RS_PAYLOAD, 1, RS_FLAG_NEXT, 0, "m2", "d2");
	expect_events(e, "request RESPONSE 1 m=\"m1m2\" d=\"d1d2\"\n");
}

// M only on fragments that carry metadata, on a reply as well.
static void rule_093(void **state)
{
	struct end *e =
		end_config(state, &(struct rs_config){.role = RS_SERVER, .fragment_bytes = 100});
	struct rs_message message = message_of(letters(0, 150), letters(1, 300));

	send_setup(e);
	send_frame(e, RS_REQUEST_RESPONSE, 1, 0, 0, NULL, "x");
	rs_payload(e->stream, &message, true, true);
	assert_int_equal(check_fragments(e, letters(0, 150), letters(1, 300), 100, true), 5);
	// No metadata at all.
	send_frame(e, RS_REQUEST_RESPONSE, 3, 0, 0, NULL, "x");
	answer(e->stream, letters(1, 300), true, true);
	assert_int_equal(check_fragments(e, NULL, letters(1, 300), 100, true), 4);
}

// The last fragment clears F. An item's completion comes behind it in a frame of its own: rust
// loses C on an item's last fragment.
static void rule_094(void **state)
{
	struct end *e =
		end_config(state, &(struct rs_config){.role = RS_SERVER, .fragment_bytes = 64});

	send_setup(e);
	send_frame(e, RS_REQUEST_STREAM, 1, 0, 1, NULL, "x");
	answer(e->stream, letters(0, 70), true, true);
	expect_sent(e,
		"PAYLOAD 1 FN d=\"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdef\"\n"
		"PAYLOAD 1 N d=\"ghijklmnopqr\"\nPAYLOAD 1 C\n");
	assert_int_equal(rs_session_streams(&e->s), 0);
	// Whole items keep theirs.
	send_frame(e, RS_REQUEST_STREAM, 3, 0, 1, NULL, "x");
	answer(e->stream, "whole", true, true);
	expect_sent(e, "PAYLOAD 3 NC d=\"whole\"\n");
}

// CANCEL in the middle of a fragmented request ends it unseen.
static void rule_095(void **state)
{
	struct end *e = server_of(state);

	send_frame(e, RS_REQUEST_RESPONSE, 1, RS_FLAG_FOLLOWS, 0, NULL, "begun");
	send_frame(e, RS_CANCEL, 1, 0, 0, NULL, NULL);
	send_frame(e, RS_PAYLOAD, 1, RS_FLAG_NEXT, 0, NULL, "ended");
	send_frame(e, RS_REQUEST_FNF, 3, RS_FLAG_FOLLOWS, 0, NULL, "begun");
	send_frame(e, RS_CANCEL, 3, 0, 0, NULL, NULL);
	expect_events(e, "");
	expect_sent(e, "");
	assert_int_equal(rs_session_streams(&e->s), 0);
	assert_int_equal(e->s.reassembly_bytes, 0);
}

// Fragments of several streams interleave; REQUEST_N finds a request that is incomplete yet.
static void rule_096(void **state)
{
	struct end *e = server_of(state), *c;

	send_frame(e, RS_REQUEST_STREAM, 1, RS_FLAG_FOLLOWS, 1, "one", NULL);
	send_frame(e, RS_REQUEST_RESPONSE, 3, RS_FLAG_FOLLOWS, 0, NULL, "thr");
	send_frame(e, RS_REQUEST_FNF, 5, 0, 0, NULL, "between");
	send_frame(e, RS_REQUEST_N, 1, 0, 4, NULL, NULL);
	send_frame(e, RS_PAYLOAD, 1, RS_FLAG_FOLLOWS | RS_FLAG_NEXT, 0, NULL, "o");
	send_frame(e, RS_PAYLOAD, 3, RS_FLAG_NEXT, 0, NULL, "ee");
	send_frame(e, RS_PAYLOAD, 1, RS_FLAG_NEXT, 0, NULL, "ne");
	expect_events(e, "request FNF 5 d=\"between\"\nrequest RESPONSE 3 d=\"three\"\n"
			 "request STREAM 1 n=5 m=\"one\" d=\"one\"\n");
	rs_session_fini(&e->s);
	c = client_of(state);
	ask(c, RS_REQUEST_STREAM, 9, "x");
	ask(c, RS_REQUEST_RESPONSE, 1, "x");
	send_frame(c, RS_PAYLOAD, 1, RS_FLAG_FOLLOWS | RS_FLAG_NEXT, 0, NULL, "fi");
	send_frame(c, RS_PAYLOAD, 3, RS_FLAG_FOLLOWS | RS_FLAG_NEXT, 0, NULL, "re");
	send_frame(c, RS_PAYLOAD, 1, RS_FLAG_NEXT, 0, NULL, "rst");
	send_frame(c, RS_PAYLOAD, 3, RS_FLAG_NEXT | RS_FLAG_COMPLETE, 0, NULL, "ply");
	send_frame(c, RS_PAYLOAD, 1, RS_FLAG_NEXT, 0, NULL, "second");
	send_frame(c, RS_PAYLOAD, 1, RS_FLAG_COMPLETE, 0, NULL, NULL);
	expect_events(c,
		"payload 1 N d=\"first\"\npayload 3 NC d=\"reply\"\npayload 1 N d=\"second\"\n"
		"payload 1 C\n");
}

// A message without end costs its stream; the rest of it is swallowed and the connection survives.
static void rule_097(void **state)
{
	struct end *e = end_config(
		state, &(struct rs_config){.role = RS_SERVER, .message_bytes_max = 10000});
	struct end *c;

	send_setup(e);
	events(e);
	send_frame(e, RS_REQUEST_STREAM, 1, RS_FLAG_FOLLOWS, 1, NULL, "x");
	for (unsigned i = 0; i < 100; i++)
		send_frame(e, RS_PAYLOAD, 1, RS_FLAG_NEXT | RS_FLAG_FOLLOWS, 0, NULL,
			letters(0, 1000));
	expect_sent(e, "ERROR 1 REJECTED d=\"message too large\"\n");
	assert_int_equal(e->s.reassembly_bytes, 0);
	send_frame(e, RS_REQUEST_RESPONSE, 3, 0, 0, NULL, "fine");
	expect_events(e, "request RESPONSE 3 d=\"fine\"\n");
	rs_session_fini(&e->s);

	c = end_config(state, &(struct rs_config){.message_bytes_max = 10000});
	ask(c, RS_REQUEST_STREAM, 100, "x");
	sent(c);
	for (unsigned i = 0; i < 100; i++)
		send_frame(c, RS_PAYLOAD, 1, RS_FLAG_NEXT | RS_FLAG_FOLLOWS, 0, NULL,
			letters(0, 1000));
	expect_sent(c, "CANCEL 1\n");
	expect_events(c, "error 1 CANCELED \"message too large\"\n");
}

// One frame beyond the limit: told as soon as its head is there, swallowed as it comes.
static void rule_097_one_frame(void **state)
{
	struct end *e = end_config(
		state, &(struct rs_config){.role = RS_SERVER, .message_bytes_max = 10000});
	static uint8_t frame[1 << 21];
	size_t len, at = 0;

	send_setup(e);
	len = frame_bytes(frame, RS_REQUEST_RESPONSE, 1, 0, 0, NULL, letters(0, 1000000));
	len += frame_bytes(frame + len, RS_REQUEST_FNF, 3, 0, 0, NULL, "next");
	send_bytes(e, frame, 20);
	at = 20;
	expect_sent(e, "ERROR 1 REJECTED d=\"message too large\"\n");
	events(e);
	for (; at < len; at += 1400) {
		send_bytes(e, frame + at, len - at < 1400 ? len - at : 1400);
		assert_int_equal(buf_pool_bytes(e->config.pool->blocks), 0);
	}
	expect_events(e, "request FNF 3 d=\"next\"\n");
	// The same in one piece.
	len = frame_bytes(frame, RS_REQUEST_RESPONSE, 5, 0, 0, NULL, letters(0, 10001));
	send_bytes(e, frame, len);
	expect_sent(e, "ERROR 5 REJECTED d=\"message too large\"\n");
	// A reply.
	ask(e, RS_REQUEST_RESPONSE, 1, "x");
	sent(e);
	len = frame_bytes(frame, RS_PAYLOAD, 2, RS_FLAG_NEXT | RS_FLAG_COMPLETE, 0, NULL,
		letters(0, 1000000));
	for (at = 0; at < len; at += 1400)
		send_bytes(e, frame + at, len - at < 1400 ? len - at : 1400);
	expect_sent(e, "CANCEL 2\n");
	expect_events(e, "error 2 CANCELED \"message too large\"\n");
	assert_int_equal(e->s.reassembly_bytes, 0);
}

// All incomplete messages and frames of a session together have a limit.
static void rule_097_session(void **state)
{
	struct end *e = end_config(
		state, &(struct rs_config){.role = RS_SERVER, .reassembly_bytes_max = 20 * 2048});
	uint32_t id = 1;

	send_setup(e);
	// Tiny fragments count as the blocks that they pin.
	for (; id < 80; id += 2)
		send_frame(e, RS_REQUEST_RESPONSE, id, RS_FLAG_FOLLOWS, 0, NULL, "x");
	assert_int_equal(rs_session_streams(&e->s), 20);
	assert_int_equal(e->s.reassembly_bytes, 20 * 2048);
	assert_int_equal(buf_pool_bytes(e->config.pool->blocks), 21 * 2048); // one is output
	assert_non_null(strstr(sent(e), "ERROR 41 REJECTED d=\"out of memory\"\n"));
	// A frame that comes in pieces is refused as well, a whole one is not.
	send_hex(e, "001000 00000081 1000 6162636465666768696a6b6c6d6e6f");
	expect_sent(e, "ERROR 129 REJECTED d=\"out of memory\"\n");
	send_bytes(e, letters(0, 4090), 4096 - 21);
	send_frame(e, RS_REQUEST_RESPONSE, 131, 0, 0, NULL, "whole");
	assert_non_null(strstr(events(e), "request RESPONSE 131 d=\"whole\"\n"));
	// And as the others go, there is room again.
	send_frame(e, RS_CANCEL, 1, 0, 0, NULL, NULL);
	send_frame(e, RS_REQUEST_RESPONSE, 133, RS_FLAG_FOLLOWS, 0, NULL, "x");
	send_frame(e, RS_PAYLOAD, 133, RS_FLAG_NEXT, 0, NULL, "y");
	expect_events(e, "request RESPONSE 133 d=\"xy\"\n");
}

// When the pool of blocks itself runs low, new fragments are refused while heads still find room.
static void blocks_low(void **state)
{
	struct buf_pool *blocks = buf_pool_new(2048, 64 * 2048);
	struct rs_pool *pool = rs_pool_new(64, blocks);
	struct end *e = server_of(state);
	struct rs_config config = e->config;
	struct chain held = {0};

	rs_session_fini(&e->s);
	config.pool = pool;
	assert_int_equal(rs_session_init(&e->s, &config, e->now), 0);
	send_setup(e);
	events(e);
	while (!rs_pool_low(pool))
		chain_reserve(&held, blocks, 2048);
	send_frame(e, RS_REQUEST_RESPONSE, 1, RS_FLAG_FOLLOWS, 0, NULL, "x");
	expect_sent(e, "ERROR 1 REJECTED d=\"out of memory\"\n");
	send_frame(e, RS_REQUEST_RESPONSE, 3, 0, 0, NULL, "x");
	expect_events(e, "request RESPONSE 3 d=\"x\"\n");
	answer(e->stream, "y", true, true);
	expect_sent(e, "PAYLOAD 3 NC d=\"y\"\n");
	// A frame in pieces, too large for what is left.
	send_hex(e, "000100 00000005 1000 6162636465666768696a6b6c6d6e6f");
	expect_sent(e, "ERROR 5 REJECTED d=\"out of memory\"\n");
	send_bytes(e, letters(0, 256), 256 - 21);
	assert_false(rs_session_ended(&e->s));
	chain_clear(&held);
	send_frame(e, RS_REQUEST_RESPONSE, 7, 0, 0, NULL, "x");
	expect_events(e, "request RESPONSE 7 d=\"x\"\n");
	// Without any block at all the session ends instead of stalling.
	while (chain_reserve(&held, blocks, 2048))
		;
	answer(e->stream, "y", true, true);
	send_frame(e, RS_KEEPALIVE, 0, RS_FLAG_RESPOND, 0, NULL, "x");
	expect_events(e, "closed CONNECTION_ERROR \"out of memory\"\n");
	chain_clear(&held);
	rs_session_fini(&e->s);
	rs_pool_destroy(pool);
	buf_pool_destroy(blocks);
}

// 15 MB both ways, as a client and a server with usual limits see it.
static void large_message(void **state)
{
	size_t len = 15000000;
	uint8_t *bytes = malloc(len);
	struct end *c = client_of(state), *s = calloc(1, sizeof(*s));
	void *second = s;
	struct rs_message message = {0};
	struct chain wire = {0}, part = {0};
	int error;

	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(i * 2654435761u >> 24);
	server_of(&second);
	chain_push(&message.data, NULL, bytes, (uint32_t)len);
	rs_request(&c->s, RS_REQUEST_RESPONSE, 1, &message, NULL, &error);
	while (rs_output_pending(&c->s)) {
		rs_output(&c->s, &wire, 1 << 16);
		while (wire.len) {
			chain_move(&part, &wire, wire.len < 1460 ? wire.len : 1460);
			rs_input(&s->s, &part, s->now);
		}
	}
	expect_events(s, "request RESPONSE 1 d=15000000 bytes\n");
	assert_int_equal(s->s.reassembly_bytes, 0);
	rs_session_fini(&s->s);
	free(s);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RULE(091),
		RULE(091_sent),
		RULE(092),
		RULE(092_received),
		RULE(093),
		RULE(094),
		RULE(095),
		RULE(096),
		RULE(097),
		RULE(097_one_frame),
		RULE(097_session),
		CASE(blocks_low),
		CASE(large_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
