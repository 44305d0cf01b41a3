// SPDX-License-Identifier: Apache-2.0
// The Internet checksum (RFC 1071) over pseudo header and segment, for IPv4 and IPv6.
//
// Sums are taken in the order of memory, 64 bits at a time with the carries aside, which the one's
// complement sum allows; the folded result is stored as it is, in network order by construction.

#include "dataplane/tcp/internal.h"

#define PROTOCOL_TCP 6

uint16_t tcp_checksum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint32_t load32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint64_t narrow(uint64_t sum)
{
	return (sum & 0xffffffff) + (sum >> 32);
}

// data starts at an even offset of the summed whole. len < 2^32, so the result never overflows.
uint64_t tcp_checksum_sum(const uint8_t *data, size_t len, uint64_t sum)
{
	// Two sums, so that the next word need not wait for the carry of the last.
	uint64_t a = 0, b = 0, a_carries = 0, b_carries = 0;

	for (; len >= 32; data += 32, len -= 32) {
		a_carries += __builtin_add_overflow(a, load64(data), &a);
		b_carries += __builtin_add_overflow(b, load64(data + 8), &b);
		a_carries += __builtin_add_overflow(a, load64(data + 16), &a);
		b_carries += __builtin_add_overflow(b, load64(data + 24), &b);
	}
	for (; len >= 8; data += 8, len -= 8)
		a_carries += __builtin_add_overflow(a, load64(data), &a);
	if (len >= 4) {
		sum += load32(data);
		data += 4;
		len -= 4;
	}
	if (len > 0) {
		uint8_t tail[4] = {0};

		memcpy(tail, data, len);
		sum += load32(tail);
	}
	return sum + narrow(a) + narrow(b) + a_carries + b_carries;
}

// len: TCP header and payload. Not complemented.
uint64_t tcp_checksum_pseudo(const struct ip_addr *src, const struct ip_addr *dst, uint32_t len)
{
	uint8_t tail[8] = {(uint8_t)(len >> 24), (uint8_t)(len >> 16), (uint8_t)(len >> 8),
		(uint8_t)len, 0, 0, 0, PROTOCOL_TCP};
	uint64_t sum = (uint64_t)load32(tail) + load32(tail + 4);

	if (ip_is_v4(src) && ip_is_v4(dst))
		return sum + ip_v4_be(src) + ip_v4_be(dst);
	sum = tcp_checksum_sum(src->b, sizeof(src->b), sum);
	return tcp_checksum_sum(dst->b, sizeof(dst->b), sum);
}
