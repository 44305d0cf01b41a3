// SPDX-License-Identifier: Apache-2.0
// The end of a session's output: frames that are encoded and wait for rs_output() to pull them.
//
// `ready` holds whole frames with their length prefixes. Heads and parts up to copy_bytes_max are
// copied into blocks, which fills segments well and lets go of the producer's storage; larger parts
// go by reference. Data is refused earlier than heads when blocks run low, so a head finds a block;
// if there is none at all the session ends.

#include "lib/rsocket/internal.h"

void rs_session_wake(struct rs_session *s)
{
	if (s->woken)
		return;
	s->woken = true;
	s->handler->wake(s);
}

static uint8_t *move_bytes(uint8_t *to, struct chain *from, uint32_t n)
{
	if (n) {
		chain_read(from, 0, to, n);
		chain_skip(from, n);
	}
	return to + n;
}

// Data behind metadata that went by reference.
static void ready_data(struct rs_session *s, struct chain *data, uint32_t len, bool copy)
{
	uint8_t *at = copy && len ? chain_reserve(&s->ready, s->pool->blocks, len) : NULL;

	if (at)
		move_bytes(at, data, len);
	else
		chain_move(&s->ready, data, len);
}

void rs_ready_frame(
	struct rs_session *s, const struct rs_frame *f, struct chain *metadata, struct chain *data)
{
	uint32_t copy_max = s->pool->copy_bytes_max;
	bool copy_metadata = f->metadata_len <= copy_max, copy_data = f->data_len <= copy_max;
	uint8_t raw[RS_PREFIX_BYTES + RS_HEAD_BYTES_MAX], *at;
	uint32_t head_len = RS_PREFIX_BYTES + rs_frame_write(raw + RS_PREFIX_BYTES, f),
		 len = head_len;

	rs_prefix_write(raw, head_len - RS_PREFIX_BYTES + f->metadata_len + f->data_len);
	if (copy_metadata)
		len += f->metadata_len + (copy_data ? f->data_len : 0);
	at = chain_reserve(&s->ready, s->pool->blocks, len);
	if (!at) {
		rs_session_close_due(s, RS_CLOSE_MEMORY);
		return;
	}
	memcpy(at, raw, head_len);
	if (copy_metadata) {
		at = move_bytes(at + head_len, metadata, f->metadata_len);
		if (copy_data)
			move_bytes(at, data, f->data_len);
		else
			chain_move(&s->ready, data, f->data_len);
	} else {
		chain_move(&s->ready, metadata, f->metadata_len);
		ready_data(s, data, f->data_len, copy_data);
	}
	rs_session_wake(s);
}

static size_t control_bytes_max(const struct rs_session *s)
{
	return s->queue_bytes_max / 8 > RS_CONTROL_BYTES_MIN ? s->queue_bytes_max / 8
							     : RS_CONTROL_BYTES_MIN;
}

void rs_ready_control(struct rs_session *s, const struct rs_frame *f, const struct chain *data)
{
	struct chain none = {0}, body = {0};

	s->control_bytes += RS_PREFIX_BYTES + RS_HEAD_BYTES_MAX + (size_t)f->data_len;
	if (s->control_bytes > control_bytes_max(s)) {
		rs_session_close_due(s, RS_CLOSE_FLOOD);
		return;
	}
	// What rs_ready_frame() would not copy is copied here: it may be the peer's input.
	if (f->data_len > s->pool->copy_bytes_max) {
		if (chain_copy_chain(&body, s->pool->blocks, data)) {
			rs_session_close_due(s, RS_CLOSE_MEMORY);
			return;
		}
	} else if (f->data_len) {
		chain_share(&body, data, 0, f->data_len);
	}
	rs_ready_frame(s, f, &none, &body);
	chain_clear(&body);
}

void rs_ready_error(struct rs_session *s, uint32_t stream, uint32_t code, const char *text)
{
	struct rs_frame f = {.stream = stream, .type = RS_ERROR, .code = code};
	struct chain data = {0};

	f.data_len = (uint32_t)strnlen(text, RS_ERROR_TEXT_MAX);
	chain_push(&data, NULL, (const uint8_t *)text, f.data_len);
	rs_ready_control(s, &f, &data);
	chain_clear(&data);
}

void rs_ready_cancel(struct rs_session *s, uint32_t stream)
{
	rs_ready_control(s, &(struct rs_frame){.stream = stream, .type = RS_CANCEL}, NULL);
}

void rs_ready_request_n(struct rs_session *s, uint32_t stream, uint32_t n)
{
	rs_ready_control(
		s, &(struct rs_frame){.stream = stream, .type = RS_REQUEST_N, .n = n}, NULL);
}
