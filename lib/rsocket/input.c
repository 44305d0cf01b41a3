// SPDX-License-Identifier: Apache-2.0
// Bytes to frames: cuts the transport's bytes at the u24 length prefixes (rule 1).
//
// A frame that lies whole in the input is used in place. The beginning of one that does not is
// copied into blocks (`partial`) up to its end; limits are checked as soon as its head is there. A
// frame beyond them costs its stream alone: the rest of it is swallowed.
//
//   nothing -> partial (length, head, rest) -> nothing
//                         `-> swallow ----------^

#include "lib/rsocket/internal.h"

static uint32_t get_u24(const uint8_t *p)
{
	return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}

static uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

void rs_body_message(const struct rs_body *body, const struct rs_frame *f, struct rs_message *out)
{
	*out = (struct rs_message){.has_metadata = f->flags & RS_FLAG_METADATA};
	if (body->data) {
		chain_push(&out->metadata, body->buf, body->data + f->head_len, f->metadata_len);
		chain_push(&out->data, body->buf, body->data + f->head_len + f->metadata_len,
			f->data_len);
	} else {
		chain_skip(body->chain, f->head_len);
		chain_move(&out->metadata, body->chain, f->metadata_len);
		chain_move(&out->data, body->chain, f->data_len);
	}
}

static void handle(
	struct rs_session *s, const uint8_t *head, size_t len, const struct rs_body *body)
{
	struct rs_frame f;

	if (rs_frame_read(&f, head, len))
		rs_frame_malformed(s, &f);
	else if ((size_t)f.metadata_len + f.data_len > s->message_bytes_max)
		rs_frame_refuse(s, &f, -EMSGSIZE);
	else
		rs_frame_input(s, &f, body);
}

static void handle_chain(struct rs_session *s, struct chain *frame, bool owned)
{
	uint8_t scratch[RS_HEAD_BYTES_MAX];
	size_t head_len = frame->len < sizeof(scratch) ? frame->len : sizeof(scratch);
	const uint8_t *head = chain_peek(frame, head_len, scratch);

	handle(s, head, frame->len, &(struct rs_body){.chain = frame, .owned = owned});
	chain_clear(frame);
}

static bool going_on(const struct rs_session *s)
{
	return s->state != RS_SESSION_ENDED && !s->close_due;
}

// The frames that lie whole in the first slice. False if there is none.
static bool contiguous_input(struct rs_session *s, struct chain *in)
{
	const struct slice slice = in->first->slice;
	uint32_t done = 0;

	while (slice.len - done >= RS_PREFIX_BYTES) {
		const uint8_t *at = slice.data + done;
		uint32_t len = get_u24(at);

		if (slice.len - done - RS_PREFIX_BYTES < len)
			break;
		done += RS_PREFIX_BYTES + len;
		at += RS_PREFIX_BYTES;
		handle(s, at, len, &(struct rs_body){.data = at, .buf = slice.buf});
		if (!going_on(s))
			break;
	}
	chain_skip(in, done);
	return done > 0;
}

// The first frame, if it lies whole in several slices.
static bool scattered_input(struct rs_session *s, struct chain *in)
{
	uint8_t scratch[RS_PREFIX_BYTES];
	const uint8_t *prefix = chain_peek(in, RS_PREFIX_BYTES, scratch);
	struct chain frame = {0};
	uint32_t len;

	if (!prefix)
		return false;
	len = get_u24(prefix);
	if (in->len - RS_PREFIX_BYTES < len)
		return false;
	chain_skip(in, RS_PREFIX_BYTES);
	chain_move(&frame, in, len);
	handle_chain(s, &frame, false);
	return true;
}

// Copies until `partial` has `want` bytes. 1 when it has, 0 if the input ended before, -ENOBUFS.
static int fill(struct rs_session *s, struct chain *in, uint32_t want)
{
	while (s->partial.len < want) {
		const struct slice *slice = in->first ? &in->first->slice : NULL;
		uint32_t n;

		if (!slice)
			return 0;
		n = min_u32(want - (uint32_t)s->partial.len, slice->len);
		if (chain_copy(&s->partial, s->pool->blocks, slice->data, n))
			return -ENOBUFS;
		chain_skip(in, n);
	}
	return 1;
}

static void drop_partial(struct rs_session *s)
{
	chain_clear(&s->partial);
	s->reassembly_bytes -= s->partial_charge;
	s->partial_charge = 0;
}

// The partial frame of len bytes, whose head is there, will not be kept: swallows the rest.
static void refuse_partial(struct rs_session *s, uint32_t len, int error)
{
	uint8_t head[RS_PREFIX_BYTES + RS_HEAD_BYTES_MAX];
	struct rs_frame f;

	chain_read(&s->partial, 0, head, sizeof(head));
	s->swallow_bytes = RS_PREFIX_BYTES + len - (uint32_t)s->partial.len;
	drop_partial(s);
	if (rs_frame_read(&f, head + RS_PREFIX_BYTES, len))
		rs_frame_malformed(s, &f);
	else
		rs_frame_refuse(s, &f, error);
}

// The length and the head have come: is the frame to be waited for?
static void admit_partial(struct rs_session *s, uint32_t len)
{
	uint8_t head[RS_PREFIX_BYTES + RS_HEAD_BYTES_MAX];
	struct rs_frame f;
	size_t charge = rs_blocks_charge(s->pool, (size_t)RS_PREFIX_BYTES + len);
	size_t bytes_max = s->message_bytes_max + RS_HEAD_BYTES_MAX;

	if (s->state == RS_SESSION_SETUP) {
		// Whoever speaks another protocol is told at once, not after what looks like a
		// length.
		chain_read(&s->partial, 0, head, sizeof(head));
		if (rs_frame_read(&f, head + RS_PREFIX_BYTES, len) ||
			(f.type != RS_SETUP && f.type != RS_RESUME)) {
			rs_frame_malformed(s, &f);
			return;
		}
		bytes_max = RS_HEADER_BYTES + RS_SETUP_BYTES_MAX;
	}
	if (len > bytes_max) {
		refuse_partial(s, len, -EMSGSIZE);
	} else if (s->reassembly_bytes + charge > s->reassembly_bytes_max) {
		refuse_partial(s, len, -ENOBUFS);
	} else {
		s->partial_charge = charge;
		s->reassembly_bytes += charge;
	}
}

// The length, then the head of a frame that comes in pieces. True if the rest is to be waited for.
static bool partial_head(struct rs_session *s, struct chain *in, uint32_t *len)
{
	uint8_t prefix[RS_PREFIX_BYTES];
	uint32_t head_end;
	int got = fill(s, in, RS_PREFIX_BYTES);

	if (got == 1) {
		chain_read(&s->partial, 0, prefix, sizeof(prefix));
		*len = get_u24(prefix);
		head_end = RS_PREFIX_BYTES + min_u32(*len, RS_HEAD_BYTES_MAX);
		if (s->partial.len >= head_end)
			return true;
		got = fill(s, in, head_end);
		if (got == 1 && head_end < RS_PREFIX_BYTES + *len)
			admit_partial(s, *len);
	}
	if (got < 0)
		rs_session_close_due(s, RS_CLOSE_MEMORY);
	return got == 1 && s->partial.len > 0;
}

static void partial_input(struct rs_session *s, struct chain *in)
{
	struct chain frame = {0};
	uint32_t len;
	int got;

	if (!partial_head(s, in, &len))
		return;
	got = rs_pool_low(s->pool) && in->len > 0 ? -ENOBUFS : fill(s, in, RS_PREFIX_BYTES + len);
	if (got < 0 && s->partial.len < RS_PREFIX_BYTES + len) {
		refuse_partial(s, len, got);
		return;
	}
	if (got == 0)
		return;
	chain_append(&frame, &s->partial);
	drop_partial(s);
	chain_skip(&frame, RS_PREFIX_BYTES);
	handle_chain(s, &frame, true);
}

static void swallow(struct rs_session *s, struct chain *in)
{
	uint32_t n = in->len < s->swallow_bytes ? (uint32_t)in->len : s->swallow_bytes;

	chain_skip(in, n);
	s->swallow_bytes -= n;
}

void rs_input(struct rs_session *s, struct chain *in, ns_t now)
{
	s->heard = now;
	while (in->len > 0 && going_on(s)) {
		if (s->swallow_bytes)
			swallow(s, in);
		else if (s->partial.len || (!contiguous_input(s, in) && !scattered_input(s, in)))
			partial_input(s, in);
	}
	chain_clear(in);
	rs_session_finish(s);
}

void rs_input_frame(struct rs_session *s, struct chain *frame, ns_t now)
{
	s->heard = now;
	if (!going_on(s))
		chain_clear(frame);
	else if (frame->len > RS_FRAME_BYTES_MAX)
		rs_session_close(s, RS_ERROR_CONNECTION, "frame too large"); // rule 3
	else
		handle_chain(s, frame, false);
	chain_clear(frame);
	rs_session_finish(s);
}
