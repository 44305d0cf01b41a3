// SPDX-License-Identifier: Apache-2.0
// SipHash (Aumasson and Bernstein) over whole 64-bit words: a keyed pseudo-random function. 1-3
// rounds for the tables, 2-4 where an outsider must not predict the result (RFC 6528, MUST-9).
#pragma once

#include <stdint.h>

static inline uint64_t sip_rotl(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

static inline void sip_rounds(uint64_t v[4], unsigned rounds)
{
	for (unsigned i = 0; i < rounds; i++) {
		v[0] += v[1];
		v[2] += v[3];
		v[1] = sip_rotl(v[1], 13) ^ v[0];
		v[3] = sip_rotl(v[3], 16) ^ v[2];
		v[0] = sip_rotl(v[0], 32);
		v[2] += v[1];
		v[0] += v[3];
		v[1] = sip_rotl(v[1], 17) ^ v[2];
		v[3] = sip_rotl(v[3], 21) ^ v[0];
		v[2] = sip_rotl(v[2], 32);
	}
}

static inline uint64_t siphash(
	const uint64_t key[2], const uint64_t *words, unsigned n, unsigned c, unsigned d)
{
	uint64_t v[4] = {key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d,
		key[0] ^ 0x6c7967656e657261, key[1] ^ 0x7465646279746573};
	uint64_t last = (uint64_t)(n * 8) << 56;

	for (unsigned i = 0; i < n; i++) {
		v[3] ^= words[i];
		sip_rounds(v, c);
		v[0] ^= words[i];
	}
	v[3] ^= last;
	sip_rounds(v, c);
	v[0] ^= last;
	v[2] ^= 0xff;
	sip_rounds(v, d);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}
