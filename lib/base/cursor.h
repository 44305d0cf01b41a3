// SPDX-License-Identifier: Apache-2.0
// Bounds-checked cursors over contiguous bytes, big endian.
//
// A reader that runs past its end sets `bad` and returns zeros from then on, so a parser may read
// a whole structure and check once. A writer that runs out of room sets `bad` and writes nothing
// more. No function here ever touches memory outside [at, end).
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct reader {
	const uint8_t *at;
	const uint8_t *end;
	bool bad;
};

struct writer {
	uint8_t *at;
	uint8_t *end;
	bool bad;
};

static inline struct reader reader_of(const void *data, size_t len)
{
	const uint8_t *at = data;

	// No arithmetic on NULL, which stands for no bytes.
	return (struct reader){.at = at, .end = len ? at + len : at, .bad = false};
}

static inline size_t reader_left(const struct reader *r)
{
	return (size_t)(r->end - r->at);
}

// Returns a pointer to the next n bytes and moves on, or NULL (and sets bad) if they are not there.
static inline const uint8_t *reader_take(struct reader *r, size_t n)
{
	const uint8_t *p = r->at;

	if (r->bad || reader_left(r) < n) {
		r->bad = true;
		r->at = r->end;
		return NULL;
	}
	r->at += n;
	return p;
}

static inline uint8_t reader_u8(struct reader *r)
{
	const uint8_t *p = reader_take(r, 1);

	return p ? p[0] : 0;
}

static inline uint16_t reader_u16(struct reader *r)
{
	const uint8_t *p = reader_take(r, 2);

	return (uint16_t)(p ? p[0] << 8 | p[1] : 0);
}

static inline uint32_t reader_u24(struct reader *r)
{
	const uint8_t *p = reader_take(r, 3);

	return p ? (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2] : 0;
}

static inline uint32_t reader_u32(struct reader *r)
{
	const uint8_t *p = reader_take(r, 4);

	return p ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3] : 0;
}

static inline uint64_t reader_u64(struct reader *r)
{
	uint64_t high = reader_u32(r);

	return high << 32 | reader_u32(r);
}

static inline struct writer writer_of(void *data, size_t room)
{
	uint8_t *at = data;

	return (struct writer){.at = at, .end = at ? at + room : NULL, .bad = false};
}

static inline size_t writer_left(const struct writer *w)
{
	return (size_t)(w->end - w->at);
}

// Reserves n bytes and returns where they start, or NULL (and sets bad) if there is no room.
static inline uint8_t *writer_take(struct writer *w, size_t n)
{
	uint8_t *p = w->at;

	if (w->bad || writer_left(w) < n) {
		w->bad = true;
		return NULL;
	}
	w->at += n;
	return p;
}

static inline void writer_u8(struct writer *w, uint8_t v)
{
	uint8_t *p = writer_take(w, 1);

	if (p)
		p[0] = v;
}

static inline void writer_u16(struct writer *w, uint16_t v)
{
	uint8_t *p = writer_take(w, 2);

	if (p) {
		p[0] = (uint8_t)(v >> 8);
		p[1] = (uint8_t)v;
	}
}

static inline void writer_u24(struct writer *w, uint32_t v)
{
	uint8_t *p = writer_take(w, 3);

	if (p) {
		p[0] = (uint8_t)(v >> 16);
		p[1] = (uint8_t)(v >> 8);
		p[2] = (uint8_t)v;
	}
}

static inline void writer_u32(struct writer *w, uint32_t v)
{
	uint8_t *p = writer_take(w, 4);

	if (p) {
		p[0] = (uint8_t)(v >> 24);
		p[1] = (uint8_t)(v >> 16);
		p[2] = (uint8_t)(v >> 8);
		p[3] = (uint8_t)v;
	}
}

static inline void writer_u64(struct writer *w, uint64_t v)
{
	writer_u32(w, (uint32_t)(v >> 32));
	writer_u32(w, (uint32_t)v);
}

static inline void writer_bytes(struct writer *w, const void *data, size_t n)
{
	uint8_t *p = writer_take(w, n);

	if (p && n)
		memcpy(p, data, n);
}
