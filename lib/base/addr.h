// SPDX-License-Identifier: Apache-2.0
// An IP address of either family in 16 bytes; IPv4 is held mapped (::ffff:a.b.c.d, RFC 4291 2.5.5.2).
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

struct ip_addr {
	union {
		uint8_t b[16];
		uint32_t w[4];
		uint64_t q[2];
	};
};

// The longest text of an address with a port: "[...]:65535" and a NUL.
#define ADDR_TEXT_MAX 64

static inline bool ip_is_v4(const struct ip_addr *a)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	return memcmp(a->b, mapped, sizeof(mapped)) == 0;
}

static inline bool ip_equal(const struct ip_addr *a, const struct ip_addr *b)
{
	return a->q[0] == b->q[0] && a->q[1] == b->q[1];
}

// v4 in network byte order, as it lies in a packet.
static inline struct ip_addr ip_from_v4(uint32_t v4_be)
{
	struct ip_addr a = {.b = {[10] = 0xff, [11] = 0xff}};

	a.w[3] = v4_be;
	return a;
}

static inline uint32_t ip_v4_be(const struct ip_addr *a)
{
	return a->w[3];
}

// "10.77.0.2" or "fd77::2". 0 or -EINVAL.
int ip_parse(const char *text, struct ip_addr *out);
// "10.77.0.2/24": prefix length within its family. 0 or -EINVAL.
int ip_prefix_parse(const char *text, struct ip_addr *out, unsigned *prefix_len);
// Writes text (at least ADDR_TEXT_MAX) and returns it.
const char *ip_text(const struct ip_addr *a, char *text);
// "10.77.0.1:7000", "[fd77::1]:7000", "unix:/path" or "/path": a socket address, no name look-up.
// 0 or -EINVAL.
int sockaddr_parse(const char *text, struct sockaddr_storage *out, socklen_t *len);
