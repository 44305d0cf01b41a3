// SPDX-License-Identifier: Apache-2.0
// TCP on the wire: sequence arithmetic, SipHash, checksum, options, segments.
#include <stdlib.h>

#include "dataplane/tcp/siphash.h"
#include "lib/base/rng.h"
#include "test/unit/tcp_world.h"

// Vectors of the SipHash paper's reference code: key 00..0f, input 00 01 02 ..., lengths 0, 8, 16.
static void siphash_2_4_vectors(void **state)
{
	static const uint64_t key[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
	static const uint64_t words[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};

	assert_true(siphash(key, words, 0, 2, 4) == 0x726fdb47dd0e0e31);
	assert_true(siphash(key, words, 1, 2, 4) == 0x93f5f5799a932462);
	assert_true(siphash(key, words, 2, 2, 4) == 0x3f2acc7f57c29bdb);
}

static void seq_wraps(void **state)
{
	assert_true(seq_lt(0xfffffff0, 0x10));
	assert_true(seq_gt(0x10, 0xfffffff0));
	assert_true(seq_le(5, 5) && seq_ge(5, 5));
	assert_false(seq_lt(5, 5) || seq_gt(5, 5));
	assert_int_equal(seq_max(0xfffffff0, 0x10), 0x10);
	assert_int_equal(seq_diff(0x10, 0xfffffff0), 0x20);
}

// The sum as RFC 1071 writes it, 16 bits at a time.
static uint16_t plain_sum(const uint8_t *data, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)(data[i] << 8 | data[i + 1]);
	if (len & 1)
		sum += (uint32_t)data[len - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static void checksum_matches_plain_sum(void **state)
{
	uint8_t data[200];
	struct rng rng;

	rng_seed(&rng, 7);
	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)rng_next(&rng);
	for (size_t len = 0; len <= 160; len++) {
		for (size_t offset = 0; offset < 8; offset++) {
			uint16_t field = tcp_checksum_fold(tcp_checksum_sum(data + offset, len, 0));
			uint16_t plain = plain_sum(data + offset, len);
			const uint8_t *f = (const uint8_t *)&field;

			assert_int_equal(f[0] << 8 | f[1], plain);
		}
	}
}

// RFC 9293 3.1: zero, protocol, length. A known segment: 20 bytes of SYN 10.0.0.1:1 > 10.0.0.2:2.
static void checksum_pseudo_header_v4_and_v6(void **state)
{
	struct ip_addr a4 = ip_from_v4(0x0100000a), b4 = ip_from_v4(0x0200000a), a6, b6;
	uint8_t pseudo4[12] = {10, 0, 0, 1, 10, 0, 0, 2, 0, 6, 0, 20};
	uint8_t pseudo6[40] = {
		0xfd, 0x77, [15] = 1, [16] = 0xfd, 0x77, [31] = 2, [35] = 20, [39] = 6};
	uint16_t field;
	const uint8_t *f = (const uint8_t *)&field;

	field = tcp_checksum_fold(tcp_checksum_pseudo(&a4, &b4, 20));
	assert_int_equal(f[0] << 8 | f[1], plain_sum(pseudo4, 12));
	ip_parse("fd77::1", &a6);
	ip_parse("fd77::2", &b6);
	field = tcp_checksum_fold(tcp_checksum_pseudo(&a6, &b6, 20));
	assert_int_equal(f[0] << 8 | f[1], plain_sum(pseudo6, 40));
}

static struct tcp_options parsed(const void *data, uint32_t len, bool syn)
{
	struct tcp_options o;
	uint8_t *copy = malloc(len ? len : 1);  // of the exact size, for the sanitizer

	memcpy(copy, data, len);
	tcp_options_parse(copy, len, syn, &o);
	free(copy);
	return o;
}

static void options_of_a_syn_must_4(void **state)
{
	struct tcp_options o = parsed("\2\4\5\xb4\4\2\x8\xa\0\0\0\1\0\0\0\2\1\3\3\7", 20, true);

	assert_int_equal(o.mss, 1460);
	assert_true(o.sack_permitted && o.has_ts && o.has_wscale);
	assert_int_equal(o.tsval, 1);
	assert_int_equal(o.tsecr, 2);
	assert_int_equal(o.wscale, 7);
}

// MUST-65 of the peer: MSS and window scale mean nothing elsewhere.
static void options_of_a_syn_alone(void **state)
{
	struct tcp_options o = parsed("\2\4\5\xb4\4\2\x8\xa\0\0\0\1\0\0\0\2\1\3\3\7", 20, false);

	assert_true(o.has_ts);
	assert_int_equal(o.mss, 0);
	assert_false(o.sack_permitted || o.has_wscale);
}

static void options_unknown_are_skipped_must_6(void **state)
{
	struct tcp_options o = parsed("\xfd\6\1\2\3\4\x13\2\2\4\2\0", 12, true);

	assert_int_equal(o.mss, 512);
}

static void options_any_alignment_must_64(void **state)
{
	struct tcp_options o = parsed("\1\x8\xa\0\0\0\1\0\0\0\2\2\4\2\0", 15, true);

	assert_true(o.has_ts);
	assert_int_equal(o.tsval, 1);
	assert_int_equal(o.mss, 512);
}

static void options_illegal_lengths_must_7(void **state)
{
	static const struct {
		const char *bytes;
		uint32_t len;
	} cases[] = {
		{"\2", 1},
		{"\2\0", 2},
		{"\2\1", 2},
		{"\2\4\5", 3},
		{"\2\x28\5\xb4", 4},
		{"\xff\xff", 2},
		{"\2\3\5", 3},
		{"\2\5\5\xb4\1", 5},
		{"\0\2\4\5\xb4", 5},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(parsed(cases[i].bytes, cases[i].len, true).mss, 0);
	// What came before an illegal one counts.
	assert_int_equal(parsed("\2\4\2\0\3\0", 6, true).mss, 512);
}

static void segment_too_short(void **state)
{
	static const uint8_t bytes[24] = {0, 1, 0, 2, [12] = 0x60, [13] = 0x02};
	struct tcp_seg seg;

	for (uint32_t len = 0; len <= 24; len++) {
		uint8_t *copy = malloc(len ? len : 1);
		struct tcp_rx rx = {.data = copy, .len = len, .checksum_good = true};

		memcpy(copy, bytes, len);
		assert_int_equal(
			tcp_segment_parse(&rx, &seg), len < 24 ? TCP_PARSE_SHORT : TCP_PARSE_OK);
		free(copy);
	}
}

static void segment_header_length_must_lie_within(void **state)
{
	uint8_t bytes[24] = {0, 1, 0, 2, [13] = 0x02};
	struct tcp_rx rx = {.data = bytes, .len = 24, .checksum_good = true};
	struct tcp_seg seg;

	for (unsigned words = 0; words < 16; words++) {
		bytes[12] = (uint8_t)(words << 4);
		assert_int_equal(tcp_segment_parse(&rx, &seg),
			words < 5 || words > 6 ? TCP_PARSE_SHORT : TCP_PARSE_OK);
	}
}

// What tcp_tx_write made, any bit wrong: MUST-3 notices.
static void segment_bit_errors_are_noticed_must_3(void **state)
{
	struct tcp_tx tx;
	struct ip_addr a = ip_from_v4(0x01004d0a), b = ip_from_v4(0x02004d0a);
	uint8_t bytes[64];
	struct tcp_rx rx = {.src = a, .dst = b, .data = bytes};
	struct tcp_seg seg;

	tcp_tx_begin(&tx, &a, &b, 1, 2, 3, 4, TCP_ACK, 5);
	tx.payload[0] = (struct slice){.data = (const uint8_t *)"odd", .len = 3};
	tx.payload[1] = (struct slice){.data = (const uint8_t *)"even", .len = 4};
	tx.slices = 2;
	rx.len = tcp_tx_write(&tx, bytes, false);
	assert_int_equal(rx.len, 27);
	assert_int_equal(tcp_segment_parse(&rx, &seg), TCP_PARSE_OK);
	assert_int_equal(seg.len, 7);
	assert_memory_equal(seg.payload, "oddeven", 7);
	for (unsigned bit = 0; bit < rx.len * 8; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_not_equal(tcp_segment_parse(&rx, &seg), TCP_PARSE_OK);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	rx.src.b[15] ^= 1;
	assert_int_equal(tcp_segment_parse(&rx, &seg), TCP_PARSE_CHECKSUM);
}

// Offloads expect the pseudo header's sum, not complemented, in the field.
static void segment_with_checksum_offload(void **state)
{
	struct tcp_tx tx;
	struct ip_addr a = ip_from_v4(0x01004d0a), b = ip_from_v4(0x02004d0a);
	uint8_t bytes[64];
	uint16_t field, whole;

	tcp_tx_begin(&tx, &a, &b, 1, 2, 3, 4, TCP_ACK, 5);
	tcp_tx_write(&tx, bytes, true);
	memcpy(&field, bytes + 16, 2);
	assert_int_equal(field, tcp_checksum_fold(tcp_checksum_pseudo(&a, &b, 20)));
	// What the port does then: sum over the segment as it is, complemented into the field.
	whole = (uint16_t)~tcp_checksum_fold(tcp_checksum_sum(bytes, 20, 0));
	memcpy(bytes + 16, &whole, 2);
	assert_int_equal(
		tcp_checksum_fold(tcp_checksum_sum(bytes, 20, tcp_checksum_pseudo(&a, &b, 20))),
		0xffff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(siphash_2_4_vectors),
		cmocka_unit_test(seq_wraps),
		cmocka_unit_test(checksum_matches_plain_sum),
		cmocka_unit_test(checksum_pseudo_header_v4_and_v6),
		cmocka_unit_test(options_of_a_syn_must_4),
		cmocka_unit_test(options_of_a_syn_alone),
		cmocka_unit_test(options_unknown_are_skipped_must_6),
		cmocka_unit_test(options_any_alignment_must_64),
		cmocka_unit_test(options_illegal_lengths_must_7),
		cmocka_unit_test(segment_too_short),
		cmocka_unit_test(segment_header_length_must_lie_within),
		cmocka_unit_test(segment_bit_errors_are_noticed_must_3),
		cmocka_unit_test(segment_with_checksum_offload),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
