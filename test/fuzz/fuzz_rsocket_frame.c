// SPDX-License-Identifier: Apache-2.0
// One frame without its length prefix: what is read and written again is the same frame.

#include <stdlib.h>

#include "lib/rsocket/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool ok)
{
	if (!ok)
		abort();
}

// Bits in which a written head may differ from the one read: reserved ones, and undefined flags.
static void compare_heads(const uint8_t *in, const uint8_t *out, const struct rs_frame *f)
{
	uint8_t free_bits[RS_HEAD_BYTES_MAX] = {[0] = 0x80, [4] = 0x03, [5] = 0xff};
	uint16_t flags = (uint16_t)(in[4] << 8 | in[5]) & 0x3ff;

	must((flags & f->flags) == f->flags);
	if (f->type != RS_ERROR && f->head_len > RS_HEADER_BYTES)
		free_bits[6] = 0x80;
	if (f->type == RS_LEASE)
		free_bits[10] = 0x80;
	for (uint32_t i = 0; i < f->head_len; i++)
		must(((in[i] ^ out[i]) & ~free_bits[i]) == 0);
}

static void plain(const uint8_t *data, const struct rs_frame *f)
{
	uint8_t head[RS_HEAD_BYTES_MAX + 1];
	struct rs_frame again;

	must(rs_frame_head_len(f->type, f->flags) == f->head_len);
	must(rs_frame_write(head, f) == f->head_len);
	compare_heads(data, head, f);
	must(rs_frame_read(&again, head, (size_t)f->head_len + f->metadata_len + f->data_len) == 0);
	must(again.stream == f->stream && again.type == f->type && again.flags == f->flags);
	must(again.head_len == f->head_len && again.metadata_len == f->metadata_len);
	must(again.data_len == f->data_len && again.position == f->position);
}

static void setup(struct rs_frame *f, const struct chain *frame, const uint8_t *data)
{
	static uint8_t out[RS_SETUP_HEAD_BYTES_MAX];
	struct writer w = writer_of(out, sizeof(out));
	struct rs_setup_head head;

	if (rs_setup_read(&head, f, frame))
		return;
	must(f->head_len + f->metadata_len + f->data_len == frame->len);
	head.token = data + head.token_at;
	rs_setup_write(&w, &head, f);
	must(!w.bad && (size_t)(w.at - out) == f->head_len);
	// From the version's major on; the times have reserved bits.
	must(memcmp(out + 6, data + 6, 4) == 0);
	must(memcmp(out + 18, data + 18, f->head_len - 18) == 0);
}

static void resume(struct rs_frame *f, const struct chain *frame, const uint8_t *data)
{
	static uint8_t out[RS_SETUP_HEAD_BYTES_MAX];
	struct writer w = writer_of(out, sizeof(out));
	struct rs_resume_head head;

	if (rs_resume_read(&head, f, frame))
		return;
	head.token = data + head.token_at;
	rs_resume_write(&w, &head, f);
	must(!w.bad && (size_t)(w.at - out) == f->head_len);
	must(memcmp(out + 6, data + 6, 6u + head.token_len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct chain frame = {0};
	struct rs_frame f;

	if (len > RS_FRAME_BYTES_MAX || rs_frame_read(&f, data, len))
		return 0;
	must((size_t)f.head_len + f.metadata_len + f.data_len <= len);
	chain_push(&frame, NULL, data, (uint32_t)len);
	if (f.type == RS_SETUP)
		setup(&f, &frame, data);
	else if (f.type == RS_RESUME)
		resume(&f, &frame, data);
	else
		plain(data, &f);
	chain_clear(&frame);
	return 0;
}
