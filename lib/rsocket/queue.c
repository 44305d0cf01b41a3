// SPDX-License-Identifier: Apache-2.0
// Messages on their way out, and the order in which they leave.
//
// A frame that fits, has credit and overtakes nothing of its stream is encoded at once while little
// is ready. All else waits on its stream. A stream with something that may be sent is on the
// session's `active` list, which rs_output() serves by deficit round robin: each turn a stream may
// send as many bytes as the others, fragmented, so that a large message delays nobody.
//
//   rs_queue_send -> ready                       (fast)
//   rs_queue_send -> queue -> serve -> ready     (credit, turn)

#include "lib/rsocket/internal.h"

size_t rs_message_bytes(const struct rs_message *message)
{
	return message->metadata.len + message->data.len;
}

int rs_message_check(const struct rs_session *s, const struct rs_message *message)
{
	size_t bytes = rs_message_bytes(message);

	// A peer that cannot reassemble gets whole frames, whose length has an end (rule 3).
	if (bytes > s->message_bytes_max || (s->fragment_bytes == RS_FRAME_BYTES_MAX &&
						    bytes > RS_FRAME_BYTES_MAX - RS_HEAD_BYTES_MAX))
		return -EMSGSIZE;
	return 0;
}

// The next frame of a message, without taking anything. True if it is the last.
static bool plan(const struct rs_session *s, const struct rs_stream *stream,
	const struct rs_item *item, const struct rs_message *message, struct rs_frame *f)
{
	size_t metadata_len = message->metadata.len, data_len = message->data.len;
	bool n = item->next || item->begun; // N on all continuations (rust, java)
	uint32_t room;

	*f = (struct rs_frame){.stream = stream->id, .type = item->begun ? RS_PAYLOAD : item->type};
	f->n = item->value;
	// M with length 0 says empty, no M says absent (rule 14); only where metadata is (rule 93).
	f->flags = message->has_metadata && (!item->begun || metadata_len) ? RS_FLAG_METADATA : 0;
	if (f->type == RS_PAYLOAD && n)
		f->flags |= RS_FLAG_NEXT;
	f->head_len = rs_frame_head_len(f->type, f->flags);
	room = s->fragment_bytes - f->head_len;
	if (metadata_len + data_len <= room || item->type == RS_ERROR) {
		f->metadata_len = (uint32_t)metadata_len;
		f->data_len = (uint32_t)data_len;
		// The end of a fragmented item of a stream comes in a frame of its own (rust).
		if (!item->complete)
			return true;
		if (item->begun && stream->type == RS_REQUEST_STREAM)
			return false;
		f->flags |= RS_FLAG_COMPLETE;
		return true;
	}
	// All metadata before any data (rule 92); the last fragment alone has no F (rule 94).
	f->flags |= RS_FLAG_FOLLOWS;
	f->metadata_len = metadata_len < room ? (uint32_t)metadata_len : room;
	room -= f->metadata_len;
	f->data_len = data_len < room ? (uint32_t)data_len : room;
	return false;
}

static bool sendable(const struct rs_stream *stream)
{
	const struct list *first = list_first(&stream->queue);
	const struct rs_out *out;

	if (!first)
		return false;
	out = list_entry(first, struct rs_out, link);
	return !out->item.next || out->item.begun || stream->credit > 0; // rules 53, 89
}

void rs_queue_activate(struct rs_stream *stream)
{
	struct rs_session *s = stream->session;

	if (list_linked(&stream->active) || !sendable(stream))
		return;
	list_push(&s->active, &stream->active);
	rs_session_wake(s);
}

// What waits must not hold on to the storage of somebody's input: small messages move into blocks
// that they share. Large ones fill their storage well enough, and stay if blocks run low.
static void settle(struct rs_pool *pool, struct chain *part)
{
	struct chain copy = {0};

	if (part->len > pool->copy_bytes_max || rs_pool_low(pool) ||
		arena_copy(&pool->arena, &copy, part))
		return;
	chain_clear(part);
	*part = copy;
}

static int enqueue(struct rs_stream *stream, struct rs_item item, struct rs_message *message)
{
	struct rs_session *s = stream->session;
	size_t bytes = rs_message_bytes(message) + RS_QUEUED_OVERHEAD_BYTES;
	size_t on_stream = rs_stream_queued_cost(stream);
	size_t in_session =
		s->ready.len + s->queued_bytes + (size_t)s->queued_count * RS_QUEUED_OVERHEAD_BYTES;
	struct rs_out *out;

	if (on_stream + bytes > s->stream_queue_bytes_max ||
		in_session + bytes > s->queue_bytes_max)
		return -ENOBUFS;
	out = rs_pool_out(s->pool);
	if (!out)
		return -ENOBUFS;
	out->item = item;
	out->message = *message;
	*message = (struct rs_message){0};
	settle(s->pool, &out->message.metadata);
	settle(s->pool, &out->message.data);
	list_push(&stream->queue, &out->link);
	stream->queued_bytes += rs_message_bytes(&out->message);
	stream->queued_count++;
	stream->queued_items += out->item.next;
	s->queued_bytes += rs_message_bytes(&out->message);
	s->queued_count++;
	rs_queue_activate(stream);
	return 0;
}

int rs_queue_send(struct rs_stream *stream, struct rs_item item, struct rs_message *message)
{
	struct rs_session *s = stream->session;
	struct rs_frame f;

	if (!list_empty(&stream->queue) || s->ready.len >= RS_READY_BYTES ||
		(item.next && stream->credit == 0) || rs_pool_low(s->pool))
		return enqueue(stream, item, message);
	if (!plan(s, stream, &item, message, &f))
		return enqueue(stream, item, message);
	if (stream->id == 0) {
		rs_stream_issue(stream);
		f.stream = stream->id;
	}
	rs_ready_frame(s, &f, &message->metadata, &message->data);
	stream->credit -= item.next;
	return 0;
}

static void remove_out(struct rs_stream *stream, struct rs_out *out)
{
	struct rs_session *s = stream->session;
	size_t bytes = rs_message_bytes(&out->message);

	list_del(&out->link);
	stream->queued_bytes -= bytes;
	stream->queued_count--;
	if (out->item.next && !out->item.begun)
		stream->queued_items--;
	s->queued_bytes -= bytes;
	s->queued_count--;
	rs_message_clear(&out->message);
	rs_pool_out_free(s->pool, out);
}

void rs_queue_drop(struct rs_stream *stream)
{
	struct list *first;

	while ((first = list_first(&stream->queue)))
		remove_out(stream, list_entry(first, struct rs_out, link));
}

// The last frame of `out` is encoded. True if that was the end of a stream the user is done with.
static bool finish_out(struct rs_stream *stream, struct rs_out *out)
{
	bool request = rs_type_request(out->item.type);
	bool last = out->item.complete || out->item.type == RS_ERROR ||
		    out->item.type == RS_REQUEST_FNF;

	remove_out(stream, out);
	if (request && stream->request_n) {
		rs_ready_request_n(stream->session, stream->id, stream->request_n);
		stream->request_n = 0;
	}
	if (last)
		rs_stream_drop(stream);
	return last;
}

// Encodes the planned frame of the first queued message. True as finish_out().
static bool encode(
	struct rs_stream *stream, struct rs_out *out, const struct rs_frame *f, bool last)
{
	struct rs_session *s = stream->session;
	size_t bytes = (size_t)f->metadata_len + f->data_len;

	rs_ready_frame(s, f, &out->message.metadata, &out->message.data);
	if (out->item.next && !out->item.begun) {
		stream->credit--;
		stream->queued_items--;
	}
	stream->queued_bytes -= bytes;
	s->queued_bytes -= bytes;
	out->item.begun = true;
	if (last)
		return finish_out(stream, out);
	if (!(f->flags & RS_FLAG_FOLLOWS)) {
		// What is left is its completion, without data (rule 67).
		out->item.next = out->item.begun = false;
		out->message.has_metadata = false;
	}
	return false;
}

// One stream's turn.
static void serve(struct rs_session *s, struct rs_stream *stream)
{
	uint32_t quantum = s->fragment_bytes < RS_READY_BYTES ? s->fragment_bytes : RS_READY_BYTES;
	size_t left_bytes = 0;
	bool left = false;

	stream->deficit_bytes += quantum + RS_PREFIX_BYTES;
	while (sendable(stream) && !s->close_due) {
		struct rs_out *out = list_entry(list_first(&stream->queue), struct rs_out, link);
		struct rs_frame f;
		bool last = plan(s, stream, &out->item, &out->message, &f);
		uint32_t body = f.metadata_len + f.data_len;

		if (RS_PREFIX_BYTES + f.head_len + body > stream->deficit_bytes)
			break;
		if (stream->id == 0) {
			rs_stream_issue(stream);
			f.stream = stream->id;
		}
		stream->deficit_bytes -= RS_PREFIX_BYTES + f.head_len + body;
		left_bytes += body;
		left = true;
		if (encode(stream, out, &f, last))
			return;
	}
	list_del(&stream->active);
	if (sendable(stream))
		list_push(&s->active, &stream->active);
	else
		stream->deficit_bytes = 0;
	if (left && stream->state == RS_STREAM_OPEN && s->handler->pulled)
		s->handler->pulled(stream, left_bytes);
}

bool rs_output_pending(const struct rs_session *s)
{
	if (s->ready.len > 0)
		return true;
	return s->state != RS_SESSION_ENDED && (!list_empty(&s->active) || s->close_due);
}

size_t rs_output(struct rs_session *s, struct chain *out, size_t bytes_max)
{
	bool served = false;
	struct list *first;
	size_t bytes;

	// At least one turn, so that a stream of small frames cannot starve the queues.
	while (s->state != RS_SESSION_ENDED && !s->close_due && (first = list_first(&s->active)) &&
		(s->ready.len < bytes_max || !served)) {
		serve(s, list_entry(first, struct rs_stream, active));
		served = true;
	}
	rs_session_finish(s);
	bytes = s->ready.len;
	s->pulled_bytes += bytes;
	s->control_bytes = 0;
	chain_append(out, &s->ready);
	s->woken = rs_output_pending(s);
	return bytes;
}
