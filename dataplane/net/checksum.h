// SPDX-License-Identifier: Apache-2.0
// The Internet checksum (RFC 1071): one's complement sum of 16-bit words, in memory order.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

// Adds len bytes to a sum that is not folded yet; only the last piece may have an odd length.
static inline uint64_t checksum_add(uint64_t sum, const void *data, size_t len)
{
	const uint8_t *at = data;

	for (; len >= 4; at += 4, len -= 4) {
		uint32_t word;

		memcpy(&word, at, 4);
		sum += word;
	}
	if (len >= 2) {
		uint16_t half;

		memcpy(&half, at, 2);
		sum += half;
		at += 2;
		len -= 2;
	}
	if (len) {
		uint16_t half = 0;

		memcpy(&half, at, 1);
		sum += half;
	}
	return sum;
}

// The field's value, in memory order. Over bytes that hold a right checksum it is 0.
static inline uint16_t checksum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static inline uint16_t checksum(const void *data, size_t len)
{
	return checksum_fold(checksum_add(0, data, len));
}
