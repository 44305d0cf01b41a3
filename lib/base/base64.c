// SPDX-License-Identifier: Apache-2.0
// Base64: see base64.h. Strict: of each byte string there is one text, so bits behind the last byte must be 0.
#include "lib/base/base64.h"

#include <errno.h>
#include <stdint.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(const void *data, size_t len, char *text)
{
	const uint8_t *in = data;

	for (size_t i = 0; i < len; i += 3) {
		size_t left = len - i;
		uint32_t bits = (uint32_t)in[i] << 16 | (left > 1 ? (uint32_t)in[i + 1] << 8 : 0) |
				(left > 2 ? (uint32_t)in[i + 2] : 0);

		*text++ = digits[bits >> 18];
		*text++ = digits[bits >> 12 & 63];
		*text++ = left > 1 ? digits[bits >> 6 & 63] : '=';
		*text++ = left > 2 ? digits[bits & 63] : '=';
	}
	*text = 0;
}

static int value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

ssize_t base64_decode(const char *text, size_t len, void *out)
{
	size_t pad = len > 1 && text[len - 1] == '=' ? 1 + (text[len - 2] == '=') : 0;
	size_t bytes = len / 4 * 3 - pad, n = 0;
	uint32_t bits = 0;

	if (len % 4)
		return -EINVAL;
	for (size_t i = 0; i < len - pad; i++) {
		int value = value_of(text[i]);

		if (value < 0)
			return -EINVAL;
		bits = bits << 6 | (uint32_t)value;
		if (i % 4 == 0)
			continue;
		if (out)
			((uint8_t *)out)[n] = (uint8_t)(bits >> (6 - i % 4 * 2));
		n++;
	}
	if (pad && bits & ((1u << 2 * pad) - 1))
		return -EINVAL;
	return (ssize_t)bytes;
}
