// SPDX-License-Identifier: Apache-2.0
// Bytes that grow, and integers of variable length (LEB128): what the log is made of (codec.h).
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sched/codec.h"

void sched_bytes_fini(struct sched_bytes *b)
{
	free(b->data);
	*b = (struct sched_bytes){0};
}

static bool grow(struct sched_bytes *b, size_t n)
{
	size_t room = b->room ? b->room * 2 : 256;
	uint8_t *data;

	while (room < b->len + n)
		room *= 2;
	data = realloc(b->data, room);
	if (!data) {
		b->failed = true;
		return false;
	}
	b->data = data;
	b->room = room;
	return true;
}

uint8_t *sched_bytes_take(struct sched_bytes *b, size_t n)
{
	uint8_t *at;

	if (b->failed || ((b->len + n > b->room || !b->data) && !grow(b, n)))
		return NULL;
	at = b->data + b->len;
	b->len += n;
	return at;
}

void sched_put_u8(struct sched_bytes *b, uint8_t v)
{
	uint8_t *at = sched_bytes_take(b, 1);

	if (at)
		*at = v;
}

void sched_put_uint(struct sched_bytes *b, uint64_t v)
{
	uint8_t *at = sched_bytes_take(b, 10);
	size_t n = 0;

	if (!at)
		return;
	for (; v >= 0x80; v >>= 7)
		at[n++] = (uint8_t)(v | 0x80);
	at[n++] = (uint8_t)v;
	b->len -= 10 - n;
}

uint64_t sched_get_uint(struct reader *r)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint8_t byte = reader_u8(r);

		if (shift == 63 && byte > 1)
			break;
		v |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return v;
	}
	r->bad = true;
	return 0;
}

uint32_t sched_get_u32(struct reader *r)
{
	uint64_t v = sched_get_uint(r);

	if (v > UINT32_MAX) {
		r->bad = true;
		return 0;
	}
	return (uint32_t)v;
}

void sched_put_text(struct sched_bytes *b, const char *text)
{
	size_t len = strlen(text);
	uint8_t *at;

	sched_put_uint(b, len);
	at = sched_bytes_take(b, len);
	if (at && len)
		memcpy(at, text, len);
}
