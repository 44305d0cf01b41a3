// SPDX-License-Identifier: Apache-2.0
// Reader and writer of the two heads that hold strings: SETUP and RESUME. Pure functions. They are
// read from the chain where they lie, since they may span slices and come once a connection.

#include <errno.h>

#include "lib/rsocket/frame.h"

// Reads fields of a chain in order; as struct reader, past the end it is bad and gives zeros.
struct walker {
	const struct chain *chain;
	size_t at;
	bool bad;
};

static void walk(struct walker *w, void *out, size_t n)
{
	memset(out, 0, n);
	if (w->bad || w->chain->len - w->at < n) {
		w->bad = true;
		return;
	}
	chain_read(w->chain, w->at, out, n);
	w->at += n;
}

static uint64_t walk_uint(struct walker *w, unsigned bytes)
{
	uint8_t raw[8];
	uint64_t v = 0;

	walk(w, raw, bytes);
	for (unsigned i = 0; i < bytes; i++)
		v = v << 8 | raw[i];
	return v;
}

static uint16_t walk_token(struct walker *w, uint32_t *at)
{
	uint16_t len = (uint16_t)walk_uint(w, 2);

	*at = (uint32_t)w->at;
	if (w->bad || w->chain->len - w->at < len) {
		w->bad = true;
		return 0;
	}
	w->at += len;
	return len;
}

// A string with a NUL inside cannot be held as ours are; no MIME type has one.
static void walk_mime(struct walker *w, char out[RS_MIME_BYTES_MAX + 1])
{
	size_t len = (size_t)walk_uint(w, 1);

	walk(w, out, len);
	out[len] = '\0';
	if (memchr(out, '\0', len))
		w->bad = true;
}

static void write_mime(struct writer *w, const char *mime)
{
	size_t len = strnlen(mime, RS_MIME_BYTES_MAX);

	writer_u8(w, (uint8_t)len);
	writer_bytes(w, mime, len); // rule 28
}

int rs_setup_read(struct rs_setup_head *setup, struct rs_frame *f, const struct chain *frame)
{
	struct walker w = {.chain = frame, .at = RS_HEADER_BYTES};

	*setup = (struct rs_setup_head){0};
	setup->major = (uint16_t)walk_uint(&w, 2);
	setup->minor = (uint16_t)walk_uint(&w, 2);
	setup->keepalive_ms = (uint32_t)walk_uint(&w, 4) & RS_U31_MAX;
	setup->lifetime_ms = (uint32_t)walk_uint(&w, 4) & RS_U31_MAX;
	setup->has_token = f->flags & RS_FLAG_RESUME; // rule 27
	if (setup->has_token)
		setup->token_len = walk_token(&w, &setup->token_at);
	walk_mime(&w, setup->metadata_mime);
	walk_mime(&w, setup->data_mime);
	if (f->flags & RS_FLAG_METADATA)
		f->metadata_len = (uint32_t)walk_uint(&w, 3);
	if (w.bad || frame->len - w.at < f->metadata_len)
		return -EPROTO;
	f->head_len = (uint32_t)w.at;
	f->data_len = (uint32_t)(frame->len - w.at - f->metadata_len);
	return 0;
}

static void write_header(struct writer *w, uint32_t stream, enum rs_type type, uint32_t flags)
{
	writer_u32(w, stream & RS_STREAM_ID_MAX);
	writer_u16(w, (uint16_t)(type << 10 | flags));
}

void rs_setup_write(struct writer *w, const struct rs_setup_head *setup, const struct rs_frame *f)
{
	uint32_t flags = f->flags & (RS_FLAG_IGNORE | RS_FLAG_METADATA | RS_FLAG_LEASE);

	write_header(w, f->stream, RS_SETUP, flags | (setup->has_token ? RS_FLAG_RESUME : 0));
	writer_u16(w, setup->major);
	writer_u16(w, setup->minor);
	writer_u32(w, setup->keepalive_ms & RS_U31_MAX);
	writer_u32(w, setup->lifetime_ms & RS_U31_MAX);
	if (setup->has_token) {
		writer_u16(w, setup->token_len);
		writer_bytes(w, setup->token, setup->token_len);
	}
	write_mime(w, setup->metadata_mime);
	write_mime(w, setup->data_mime);
	if (flags & RS_FLAG_METADATA)
		writer_u24(w, f->metadata_len);
}

int rs_resume_read(struct rs_resume_head *resume, struct rs_frame *f, const struct chain *frame)
{
	struct walker w = {.chain = frame, .at = RS_HEADER_BYTES};

	*resume = (struct rs_resume_head){0};
	resume->major = (uint16_t)walk_uint(&w, 2);
	resume->minor = (uint16_t)walk_uint(&w, 2);
	resume->token_len = walk_token(&w, &resume->token_at);
	resume->server_position = walk_uint(&w, 8) & INT64_MAX;
	resume->client_position = walk_uint(&w, 8) & INT64_MAX;
	if (w.bad)
		return -EPROTO;
	f->head_len = (uint32_t)w.at;
	f->data_len = (uint32_t)(frame->len - w.at);
	return 0;
}

void rs_resume_write(
	struct writer *w, const struct rs_resume_head *resume, const struct rs_frame *f)
{
	write_header(w, f->stream, RS_RESUME, f->flags & RS_FLAG_IGNORE);
	writer_u16(w, resume->major);
	writer_u16(w, resume->minor);
	writer_u16(w, resume->token_len);
	writer_bytes(w, resume->token, resume->token_len);
	writer_u64(w, resume->server_position & INT64_MAX);
	writer_u64(w, resume->client_position & INT64_MAX);
}
