// SPDX-License-Identifier: Apache-2.0
// Rules 1 to 14: framing and header; and the reference's byte vectors.

#include <stdlib.h>

#include "test/conformance/harness.h"

// u24 length prefix, excluding itself.
static void rule_001(void **state)
{
	struct end *e = server_of(state);
	uint8_t raw[64];

	send_hex(e, "00000b 00000001 1000 68656c6c6f");
	expect_events(e, "request RESPONSE 1 d=\"hello\"\n");
	answer(e->stream, "hi", true, true);
	assert_int_equal(sent_raw(e, raw, sizeof(raw)), 11);
	assert_memory_equal(raw, "\0\0\x08\0\0\0\1\x28\x60hi", 11);
	// Several frames in one piece.
	send_hex(e, "000007 00000003 1400 61 000007 00000005 1400 62");
	expect_events(e, "request FNF 3 d=\"a\"\nrequest FNF 5 d=\"b\"\n");
}

// WebSocket: one message is one frame, without prefix.
static void rule_002(void **state)
{
	struct end *e = server_of(state);
	struct chain frame = {0};

	chain_push(&frame, NULL, (const uint8_t *)"\0\0\0\1\x10\0hello", 5);
	chain_push(&frame, NULL, (const uint8_t *)"\0hello", 6);
	rs_input_frame(&e->s, &frame, e->now);
	expect_events(e, "request RESPONSE 1 d=\"hello\"\n");
	assert_true(chain_empty(&frame));
	// Two frames in one message are one, malformed or not.
	chain_push(&frame, NULL, (const uint8_t *)"\0\0\0\3\x14\0a\0\0\0\5\x14\0b", 14);
	rs_input_frame(&e->s, &frame, e->now);
	expect_events(e, "request FNF 3 d=\"a......b\"\n");
}

// Frames are at most 16,777,215 bytes, also where the peer wants no fragments.
static void rule_003(void **state)
{
	struct end *e = end_config(state, &(struct rs_config){.fragment_bytes = RS_FRAGMENT_NEVER,
						  .message_bytes_max = 1 << 25});
	uint8_t *bytes = calloc(1, RS_FRAME_BYTES_MAX + 1);
	struct rs_message message = {0};
	struct chain out = {0}, frame = {0};
	uint8_t prefix[3];
	int error;

	expect_sent(e, "SETUP 0 1.0 20000/90000 message/x.rsocket.routing.v0 text/plain\n");
	chain_push(&message.data, NULL, bytes, RS_FRAME_BYTES_MAX - RS_HEADER_BYTES + 1);
	assert_null(rs_request(&e->s, RS_REQUEST_RESPONSE, 1, &message, NULL, &error));
	assert_int_equal(error, -EMSGSIZE);
	assert_true(chain_empty(&message.data));
	chain_push(&message.data, NULL, bytes, RS_FRAME_BYTES_MAX - RS_HEAD_BYTES_MAX);
	assert_non_null(rs_request(&e->s, RS_REQUEST_RESPONSE, 1, &message, NULL, &error));
	while (rs_output_pending(&e->s))
		rs_output(&e->s, &out, 1 << 16);
	chain_read(&out, 0, prefix, 3);
	assert_memory_equal(prefix, "\xff\xff\xf7", 3);
	assert_int_equal(out.len, 3 + 0xfffff7);
	chain_clear(&out);
	// A transport without the prefix could carry more.
	chain_push(&frame, NULL, bytes, RS_FRAME_BYTES_MAX + 1);
	rs_input_frame(&e->s, &frame, e->now);
	expect_events(e, "lost 1 sent\nclosed CONNECTION_ERROR \"frame too large\"\n");
	free(bytes);
}

// All fields are big endian.
static void rule_004(void **state)
{
	struct rs_frame f = {.stream = 0x01020304,
		.type = RS_REQUEST_STREAM,
		.flags = RS_FLAG_METADATA,
		.n = 0x05060708,
		.metadata_len = 0x090a0b};
	uint8_t raw[RS_HEAD_BYTES_MAX + 3];

	assert_int_equal(rs_frame_write(raw, &f), 13);
	assert_memory_equal(raw, "\1\2\3\4\x19\0\5\6\7\x8\x9\xa\xb", 13);
	f = (struct rs_frame){.type = RS_KEEPALIVE, .position = 0x0102030405060708};
	assert_int_equal(rs_frame_write(raw, &f), 14);
	assert_memory_equal(raw, "\0\0\0\0\x0c\0\1\2\3\4\5\6\7\x8", 14);
	f = (struct rs_frame){.type = RS_LEASE, .lease = {0x01020304, 0x05060708}};
	assert_int_equal(rs_frame_write(raw, &f), 14);
	assert_memory_equal(raw, "\0\0\0\0\x08\0\1\2\3\4\5\6\7\x8", 14);
}

// The stream id's top bit is 0: written so, not looked at when read. 6 bits of type, 10 of flags.
static void rule_005(void **state)
{
	struct end *e = server_of(state);
	struct rs_frame f = {.stream = 0xffffffff, .type = RS_CANCEL};
	uint8_t raw[RS_HEAD_BYTES_MAX];

	rs_frame_write(raw, &f);
	assert_memory_equal(raw, "\x7f\xff\xff\xff\x24\0", 6);
	send_hex(e, "000007 80000001 1000 61");
	expect_events(e, "request RESPONSE 1 d=\"a\"\n");
	assert_int_equal(
		rs_frame_read(&f, (const uint8_t *)"\0\0\0\1\xff\xff\0\0\0\1\0\0\0", 13), 0);
	assert_int_equal(f.type, RS_EXT);
	assert_int_equal(f.flags, RS_FLAG_IGNORE | RS_FLAG_METADATA);
}

// Unspecified flags are sent as 0 and ignored.
static void rule_006(void **state)
{
	struct end *e = server_of(state);
	struct rs_frame f = {.stream = 1, .type = RS_CANCEL, .flags = 0x3ff & ~RS_FLAG_IGNORE};
	uint8_t raw[RS_HEAD_BYTES_MAX];

	rs_frame_write(raw, &f);
	assert_memory_equal(raw, "\0\0\0\1\x24\0", 6);
	send_hex(e, "000007 00000001 107f 61"); // REQUEST_RESPONSE with all that it does not define
	expect_events(e, "request RESPONSE 1 d=\"a\"\n");
	send_hex(e, "000006 00000001 25ff"); // CANCEL with M F C N and what is left
	expect_events(e, "cancel 1\n");
	send_hex(e, "00000a 00000003 19ff 00000002");
	expect_events(e, "closed CONNECTION_ERROR \"malformed frame\"\n"); // M counts where defined
}

// A frame that is not understood, I clear: the connection ends.
static void rule_007(void **state)
{
	struct end *e = server_of(state);

	send_hex(e, "00000a 00000000 fc00 00000001"); // EXT
	expect_events(e, "closed CONNECTION_ERROR \"frame type not understood\"\n");
	expect_sent(e, "ERROR 0 CONNECTION_ERROR d=\"frame type not understood\"\n");
	assert_true(rs_session_ended(&e->s));
}

static void rule_007_unassigned_type(void **state)
{
	struct end *e = client_of(state);

	send_hex(e, "000006 00000000 5000"); // type 0x14
	expect_events(e, "closed CONNECTION_ERROR \"frame type not understood\"\n");
}

// I set: ignored.
static void rule_008(void **state)
{
	struct end *e = server_of(state);

	send_hex(e, "00000a 00000000 fe00 00000001 000006 00000001 5200 000006 00000000 0200");
	expect_events(e, "");
	expect_sent(e, "");
	send_frame(e, RS_REQUEST_FNF, 1, 0, 0, NULL, "x");
	expect_events(e, "request FNF 1 d=\"x\"\n");
}

// Everything a client may send, in 20 frames.
static size_t traffic(uint8_t *to)
{
	uint8_t *at = to;

	memcpy(at, "\0\0\x1a\0\0\0\0\4\0\0\1\0\0\0\0\x4e\x20\0\1\x5f\x90\3a/b\3c/d", 29);
	at += 29;
	at += frame_bytes(at, RS_KEEPALIVE, 0, RS_FLAG_RESPOND, 0, NULL, "alive?");
	at += frame_bytes(at, RS_REQUEST_RESPONSE, 1, 0, 0, "route", "hello");
	at += frame_bytes(at, RS_REQUEST_STREAM, 3, 0, 2, "", "");
	at += frame_bytes(at, RS_REQUEST_FNF, 5, 0, 0, NULL, "fire");
	at += frame_bytes(at, RS_REQUEST_N, 3, 0, 7, NULL, NULL);
	at += frame_bytes(at, RS_REQUEST_RESPONSE, 7, RS_FLAG_FOLLOWS, 0, "meta", NULL);
	at += frame_bytes(at, RS_REQUEST_STREAM, 9, RS_FLAG_FOLLOWS, 1, NULL, "one ");
	at += frame_bytes(at, RS_PAYLOAD, 7, RS_FLAG_FOLLOWS | RS_FLAG_NEXT, 0, "data", "da");
	at += frame_bytes(at, RS_PAYLOAD, 9, RS_FLAG_NEXT, 0, NULL, "two");
	at += frame_bytes(at, RS_PAYLOAD, 7, RS_FLAG_NEXT, 0, NULL, "ta");
	at += frame_bytes(at, RS_CANCEL, 3, 0, 0, NULL, NULL);
	at += frame_bytes(at, RS_CANCEL, 3, 0, 0, NULL, NULL);
	at += frame_bytes(at, RS_METADATA_PUSH, 0, RS_FLAG_METADATA, 0, "pushed", NULL);
	at += frame_bytes(at, RS_REQUEST_CHANNEL, 11, 0, 4, NULL, "channel");
	at += frame_bytes(at, RS_EXT, 0, RS_FLAG_IGNORE, 1, NULL, "whatever");
	at += frame_bytes(at, RS_REQUEST_RESPONSE, 13, 0, 0, NULL, letters(3, 100));
	at += frame_bytes(at, RS_PAYLOAD, 13, RS_FLAG_NEXT, 0, NULL, "no");
	at += frame_bytes(at, RS_ERROR, 7, 0, RS_ERROR_CANCELED, NULL, "enough");
	at += frame_bytes(at, RS_ERROR, 0, 0, RS_ERROR_CONNECTION_CLOSE, NULL, "bye");
	return (size_t)(at - to);
}

static const char traffic_events[] =
	"setup 1.0 20000/90000 a/b c/d\n"
	"request RESPONSE 1 m=\"route\" d=\"hello\"\n"
	"request STREAM 3 n=2 m=\"\"\n"
	"request FNF 5 d=\"fire\"\n"
	"request_n 3 7\n"
	"request STREAM 9 n=1 d=\"one two\"\n"
	"request RESPONSE 7 m=\"metadata\" d=\"data\"\n"
	"cancel 3\n"
	"push \"pushed\"\n"
	"request RESPONSE 13 "
	"d=\"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"
	"abcdefghijklmnopqrstuv\"\n"
	"cancel 7\n";
static const char traffic_replies[] = "KEEPALIVE 0 position=0 d=\"alive?\"\n"
				      "ERROR 11 REJECTED d=\"channels are not supported yet\"\n";

// Any split gives the same.
static void rule_009(void **state)
{
	uint8_t bytes[1024];
	size_t len = traffic(bytes);

	for (size_t first = 0; first <= len; first++) {
		for (size_t step = 1; step <= 33; step += 8) {
			struct end *e = end_new(state, RS_SERVER);
			size_t at = first;

			send_bytes(e, bytes, first);
			for (; at < len; at += step)
				send_bytes(e, bytes + at, len - at < step ? len - at : step);
			expect_events(e, traffic_events);
			expect_sent(e, traffic_replies);
			rs_session_fini(&e->s);
			assert_int_equal(chain_nodes_in_use(), 0);
		}
	}
}

// The same in slices of one rs_input(), where frames lie scattered.
static void rule_009_slices(void **state)
{
	static uint8_t bytes[1024];
	size_t len = traffic(bytes);

	for (size_t step = 1; step < len; step++) {
		struct end *e = end_new(state, RS_SERVER);
		struct chain in = {0};

		for (size_t at = 0; at < len; at += step) {
			static struct buf never[1024]; // so that neighbours stay two slices

			buf_init(&never[at], bytes, sizeof(bytes), NULL, NULL);
			never[at].refs = 1000;
			chain_push(&in, &never[at], bytes + at,
				(uint32_t)(len - at < step ? len - at : step));
		}
		rs_input(&e->s, &in, e->now);
		expect_events(e, traffic_events);
		expect_sent(e, traffic_replies);
		rs_session_fini(&e->s);
	}
}

// A frame shorter than its fixed part ends its connection, and does so at every length.
static void rule_010(void **state)
{
	static const uint8_t types[] = {RS_SETUP, RS_LEASE, RS_KEEPALIVE, RS_REQUEST_STREAM,
		RS_REQUEST_CHANNEL, RS_REQUEST_N, RS_ERROR, RS_RESUME_OK, RS_EXT};

	for (size_t i = 0; i < sizeof(types); i++) {
		uint32_t fixed =
			types[i] == RS_SETUP ? RS_HEADER_BYTES : rs_frame_head_len(types[i], 0);

		for (uint32_t len = 0; len < fixed; len++) {
			uint8_t raw[32] = {0};
			struct end *e = server_of(state);

			rs_prefix_write(raw, len);
			raw[7] = (uint8_t)(types[i] << 2);
			send_bytes(e, raw, 3 + len);
			expect_events(e, "closed CONNECTION_ERROR \"malformed frame\"\n");
			expect_sent(e, "ERROR 0 CONNECTION_ERROR d=\"malformed frame\"\n");
			rs_session_fini(&e->s);
		}
	}
}

// A SETUP cut at each length is refused as such.
static void rule_010_setup(void **state)
{
	static const uint8_t setup[] =
		"\0\0\0\0\5\xc0\0\1\0\0\0\0\x4e\x20\0\1\x5f\x90\0\3tok\3a/b\3c/d\0\0\4meta";

	for (uint32_t len = 0; len < sizeof(setup) - 1; len++) {
		struct end *e = end_new(state, RS_SERVER);
		uint8_t raw[64];

		rs_prefix_write(raw, len);
		memcpy(raw + 3, setup, len);
		send_bytes(e, raw, 3 + len);
		assert_int_equal(strncmp(events(e), "closed INVALID_SETUP", 20), 0);
		assert_int_equal(strncmp(sent(e), "ERROR 0 INVALID_SETUP", 21), 0);
		rs_session_fini(&e->s);
	}
}

// M: a metadata length is there; no M: it is not.
static void rule_011(void **state)
{
	struct end *e = server_of(state);

	send_hex(e, "00000b 00000001 1100 000001 6d 64");
	expect_events(e, "request RESPONSE 1 m=\"m\" d=\"d\"\n");
	send_hex(e, "00000b 00000003 1000 000001 6d 64");
	expect_events(e, "request RESPONSE 3 d=\"...md\"\n");
}

// A wrong metadata length ends the connection, unless I is set.
static void rule_012(void **state)
{
	struct end *e = server_of(state);

	send_hex(e, "00000b 00000001 1300 000003 6d 64");
	expect_events(e, "");
	send_hex(e, "000008 00000001 1300 0000");
	expect_events(e, "");
	send_hex(e, "00000b 00000001 1100 000003 6d 64");
	expect_events(e, "closed CONNECTION_ERROR \"malformed frame\"\n");
	expect_sent(e, "ERROR 0 CONNECTION_ERROR d=\"malformed frame\"\n");
}

// LEASE and METADATA_PUSH carry no metadata length.
static void rule_013(void **state)
{
	struct end *e = server_of(state);
	struct chain metadata = {0};
	struct rs_frame f;
	uint8_t raw[32];

	send_hex(e, "000009 00000000 3100 616263");
	expect_events(e, "push \"abc\"\n");
	chain_push(&metadata, NULL, (const uint8_t *)"abc", 3);
	assert_int_equal(rs_metadata_push(&e->s, &metadata), 0);
	assert_int_equal(sent_raw(e, raw, sizeof(raw)), 12);
	assert_memory_equal(raw, "\0\0\x09\0\0\0\0\x31\0abc", 12);
	assert_int_equal(
		rs_frame_read(&f, (const uint8_t *)"\0\0\0\0\x09\0\0\0\0\1\0\0\0\2md", 16), 0);
	assert_int_equal(f.metadata_len, 2);
	assert_int_equal(f.head_len, 14);
}

// Empty metadata is not absent metadata.
static void rule_014(void **state)
{
	struct end *e = server_of(state);
	struct rs_message message;

	send_hex(e, "00000a 00000001 1100 000000 64");
	expect_events(e, "request RESPONSE 1 m=\"\" d=\"d\"\n");
	message = message_of("", "x");
	rs_payload(e->stream, &message, true, true);
	send_hex(e, "000007 00000003 1000 64");
	expect_events(e, "request RESPONSE 3 d=\"d\"\n");
	message = message_of(NULL, "x");
	rs_payload(e->stream, &message, true, true);
	expect_sent(e, "PAYLOAD 1 NC m=\"\" d=\"x\"\nPAYLOAD 3 NC d=\"x\"\n");
	// Also when fragments bring it and take it on.
	send_frame(e, RS_REQUEST_RESPONSE, 5, RS_FLAG_FOLLOWS, 0, "", NULL);
	send_frame(e, RS_PAYLOAD, 5, RS_FLAG_NEXT, 0, NULL, "d");
	expect_events(e, "request RESPONSE 5 m=\"\" d=\"d\"\n");
}

// The reference's vectors, both ways.
static void byte_vectors(void **state)
{
	struct end *e = server_of(state);
	struct rs_frame f;
	uint8_t raw[32];

	send_hex(e, "000010 00000001 1900 00000001 000002 6d64 64");
	expect_events(e, "request STREAM 1 n=1 m=\"md\" d=\"d\"\n");
	send_hex(e, "00000a 00000001 2000 00000005");
	expect_events(e, "request_n 1 5\n");
	send_hex(e, "000006 00000001 2400");
	send_hex(e, "00000e 00000003 1900 00000001 000000 64");
	expect_events(e, "cancel 1\nrequest STREAM 3 n=1 m=\"\" d=\"d\"\n");
	send_hex(e, "00000b 00000005 1800 00000001 64");
	expect_events(e, "request STREAM 5 n=1 d=\"d\"\n");
	send_hex(e, "00000f 00000000 0c80 0000000000000000 64");
	assert_int_equal(sent_raw(e, raw, sizeof(raw)), 18);
	assert_memory_equal(raw, "\0\0\x0f\0\0\0\0\x0c\0\0\0\0\0\0\0\0\0d", 18);
	rs_error(e->stream, RS_ERROR_APPLICATION, "d");
	assert_int_equal(sent_raw(e, raw, sizeof(raw)), 14);
	assert_memory_equal(raw, "\0\0\x0b\0\0\0\5\x2c\0\0\0\2\1d", 14);

	assert_int_equal(rs_frame_read(&f, (const uint8_t *)"\x0a\x0b\x0c\x0d\x26\0", 6), 0);
	assert_int_equal(f.stream, 0x0a0b0c0d);
	assert_int_equal(f.type, RS_CANCEL);
	assert_int_equal(f.flags, RS_FLAG_IGNORE);
	assert_int_equal(
		rs_frame_read(&f, (const uint8_t *)"\x0a\x0b\x0c\x0d\x29\x60\0\0\x0a<metad", 25),
		0);
	assert_int_equal(f.type, RS_PAYLOAD);
	assert_int_equal(f.flags, RS_FLAG_METADATA | RS_FLAG_COMPLETE | RS_FLAG_NEXT);
	assert_int_equal(f.head_len, 9);
	assert_int_equal(f.metadata_len, 10);
	assert_int_equal(f.data_len, 6);
}

// Our requests as the vectors have them.
static void byte_vectors_requester(void **state)
{
	struct end *e = client_of(state);
	struct rs_message message = message_of("md", "d");
	struct rs_stream *stream;
	uint8_t raw[64];
	int error;

	stream = rs_request(&e->s, RS_REQUEST_STREAM, 1, &message, NULL, &error);
	rs_request_n(stream, 5);
	rs_cancel(stream);
	assert_int_equal(sent_raw(e, raw, sizeof(raw)), 19 + 13 + 9);
	assert_memory_equal(raw, "\0\0\x10\0\0\0\1\x19\0\0\0\0\1\0\0\2mdd", 19);
	assert_memory_equal(raw + 19, "\0\0\x0a\0\0\0\1\x20\0\0\0\0\5", 13);
	assert_memory_equal(raw + 32, "\0\0\6\0\0\0\1\x24\0", 9);
}

// Valid traffic that ends at any byte leaves nothing behind.
static void cut_at_every_byte(void **state)
{
	uint8_t bytes[1024];
	size_t len = traffic(bytes);

	for (size_t cut = 0; cut < len; cut++) {
		struct end *e = end_new(state, RS_SERVER);

		send_bytes(e, bytes, cut);
		rs_session_abort(&e->s);
		assert_false(rs_output_pending(&e->s));
		assert_int_equal(rs_session_streams(&e->s), 0);
		rs_session_fini(&e->s);
		assert_int_equal(rs_pool_streams(e->config.pool), 0);
		assert_int_equal(chain_nodes_in_use(), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RULE(001),
		RULE(002),
		RULE(003),
		RULE(004),
		RULE(005),
		RULE(006),
		RULE(007),
		RULE(007_unassigned_type),
		RULE(008),
		RULE(009),
		RULE(009_slices),
		RULE(010),
		RULE(010_setup),
		RULE(011),
		RULE(012),
		RULE(013),
		RULE(014),
		CASE(byte_vectors),
		CASE(byte_vectors_requester),
		CASE(cut_at_every_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
