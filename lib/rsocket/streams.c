// SPDX-License-Identifier: Apache-2.0
// Frames of streams: requests from the peer and what concerns them (responder's half), replies to
// ours (requester's half).
//
//   peer's request --> [REQUEST while fragments come] --> OPEN: on_request, first_fragment,
//   continue_request OPEN --> ENDED by CANCEL, ERROR, REQUEST_N 0 (responder) or PAYLOAD with C,
//   ERROR (requester)
//
// A frame for a stream that is not there is ignored (rules 71-73, 75), which is also how the rest
// of a stream that was refused or cancelled disappears.

#include "lib/rsocket/internal.h"

// The event for a message that is complete.
static void deliver_request(struct rs_stream *stream, struct rs_message *message)
{
	stream->state = RS_STREAM_OPEN;
	stream->session->handler->request(stream, message);
}

// A fire-and-forget lives on the stack: it never answers and nobody finds it by its id.
static void deliver_fnf(struct rs_session *s, uint32_t id, struct rs_message *message)
{
	struct rs_stream stream = {
		.session = s,
		.id = id,
		.type = RS_REQUEST_FNF,
		.state = RS_STREAM_ENDED,
		.request_start = UINT64_MAX,
	};

	s->handler->request(&stream, message);
}

// Why a new request cannot be taken, or NULL.
static const char *refusal(const struct rs_session *s, const struct rs_frame *f, uint32_t *code)
{
	*code = RS_ERROR_REJECTED;
	if (f->type == RS_REQUEST_CHANNEL)
		return "channels are not supported yet";
	if (f->type == RS_REQUEST_STREAM && f->n == 0) { // rule 50
		*code = RS_ERROR_INVALID;
		return "initial request n must not be 0";
	}
	if (s->draining || s->peer_closing)
		return "draining";
	if (!s->handler->request)
		return "no requests are taken here";
	// A fire-and-forget in one frame takes no stream.
	if (s->streams_peer >= s->streams_max &&
		(f->type != RS_REQUEST_FNF || f->flags & RS_FLAG_FOLLOWS))
		return "too many streams";
	return NULL;
}

// Whether the id of a request may be used. A request that breaks the rules of ids ends the session.
static bool id_free(struct rs_session *s, const struct rs_frame *f)
{
	if (f->stream == 0 || !rs_session_peer_id(s, f->stream)) { // rules 15, 16, 17
		rs_session_close(
			s, RS_ERROR_CONNECTION, "request on a stream id that is not the peer's");
		return false;
	}
	// Ids usually ascend (rule 19): a new highest one needs no look.
	if (f->stream > s->peer_id_max) {
		s->peer_id_max = f->stream;
		return true;
	}
	return !rs_stream_find(s, f->stream); // rule 21
}

static void refuse_request(
	struct rs_session *s, const struct rs_frame *f, uint32_t code, const char *why)
{
	if (f->type != RS_REQUEST_FNF) // rule 64
		rs_ready_error(s, f->stream, code, why);
}

// Ends a stream whose incoming message is beyond a limit. The connection survives.
static void cut(struct rs_stream *stream, uint32_t code, const char *why)
{
	struct rs_session *s = stream->session;

	if (stream->requester) {
		rs_ready_cancel(s, stream->id);
		rs_stream_fail(stream, code, why);
	} else {
		if (stream->type != RS_REQUEST_FNF)
			rs_ready_error(s, stream->id, RS_ERROR_REJECTED, why);
		rs_stream_drop(stream);
	}
}

static const char *limit_text(int error)
{
	return error == -EMSGSIZE ? "message too large" : "out of memory";
}

static void first_fragment(struct rs_stream *stream, struct rs_frame *f, const struct rs_body *body)
{
	int error;

	stream->state = RS_STREAM_REQUEST;
	error = rs_reassembly_add(stream, f, body);
	if (error)
		cut(stream, RS_ERROR_REJECTED, limit_text(error));
}

void rs_on_request(struct rs_session *s, struct rs_frame *f, const struct rs_body *body)
{
	struct rs_message message;
	struct rs_stream *stream;
	const char *why;
	uint32_t code;

	if (!id_free(s, f))
		return;
	why = refusal(s, f, &code);
	if (why) {
		refuse_request(s, f, code, why);
		return;
	}
	if (f->type == RS_REQUEST_FNF && !(f->flags & RS_FLAG_FOLLOWS)) {
		rs_body_message(body, f, &message);
		deliver_fnf(s, f->stream, &message);
		rs_message_clear(&message);
		return;
	}
	stream = rs_stream_open(s, f->type, false);
	if (!stream) {
		refuse_request(s, f, RS_ERROR_REJECTED, "too many streams");
		return;
	}
	stream->id = f->stream;
	stream->credit = f->type == RS_REQUEST_STREAM ? f->n : 1;
	rs_stream_insert(stream);
	if (f->flags & RS_FLAG_FOLLOWS) {
		first_fragment(stream, f, body);
		return;
	}
	rs_body_message(body, f, &message);
	deliver_request(stream, &message);
	rs_message_clear(&message);
}

static void continue_request(
	struct rs_stream *stream, struct rs_frame *f, const struct rs_body *body)
{
	struct rs_message message;
	int error = rs_reassembly_add(stream, f, body);

	if (error) {
		cut(stream, RS_ERROR_REJECTED, limit_text(error));
		return;
	}
	if (f->flags & RS_FLAG_FOLLOWS)
		return;
	rs_reassembly_take(stream, &message);
	if (stream->type == RS_REQUEST_FNF) {
		struct rs_session *s = stream->session;
		uint32_t id = stream->id;

		rs_stream_drop(stream);
		deliver_fnf(s, id, &message);
	} else {
		deliver_request(stream, &message);
	}
	rs_message_clear(&message);
}

void rs_on_request_n(struct rs_session *s, struct rs_frame *f, const struct rs_body *body)
{
	struct rs_stream *stream = rs_stream_find(s, f->stream);

	if (!stream || stream->requester || stream->type != RS_REQUEST_STREAM) // rule 75
		return;
	if (f->n == 0) { // rule 51
		bool tell = stream->state == RS_STREAM_OPEN && s->handler->cancel;

		rs_ready_error(s, f->stream, RS_ERROR_INVALID, "request n must not be 0");
		rs_stream_detach(stream);
		if (tell)
			s->handler->cancel(stream);
		rs_stream_free(stream);
		return;
	}
	// Credits add up and stop at the top instead of overflowing (rules 52, 54).
	stream->credit =
		f->n > RS_CREDIT_MAX - stream->credit ? RS_CREDIT_MAX : stream->credit + f->n;
	rs_queue_activate(stream);
	if (stream->state == RS_STREAM_OPEN && s->handler->request_n)
		s->handler->request_n(stream, f->n);
}

// The requester gave up (rule 62), also in the middle of its fragmented request (rule 95).
static void end_by_requester(struct rs_stream *stream)
{
	struct rs_session *s = stream->session;
	bool tell = stream->state == RS_STREAM_OPEN && s->handler->cancel;

	rs_stream_detach(stream);
	if (tell)
		s->handler->cancel(stream);
	rs_stream_free(stream);
}

void rs_on_cancel(struct rs_session *s, struct rs_frame *f, const struct rs_body *body)
{
	struct rs_stream *stream = rs_stream_find(s, f->stream);

	if (stream &&
		!stream->requester) // rule 71; to a requester it means nothing without channels
		end_by_requester(stream);
}

void rs_on_stream_error(struct rs_session *s, struct rs_frame *f, const struct rs_body *body)
{
	struct rs_stream *stream = rs_stream_find(s, f->stream);
	struct rs_message message = {0};
	bool tell;

	if (!stream) // rule 72
		return;
	if (!stream->requester) {
		end_by_requester(stream);
		return;
	}
	tell = stream->state == RS_STREAM_OPEN && s->handler->error;
	rs_stream_detach(stream);
	if (tell) {
		if (body)
			rs_body_message(body, f, &message);
		s->handler->error(stream, f->code, &message.data);
		rs_message_clear(&message);
	}
	rs_stream_free(stream);
}

// Counts an item. False if the peer has ignored our credit for too long: some do (the reference's
// traps), so a bounded surplus is let through.
static bool count_item(struct rs_stream *stream, const struct rs_message *message)
{
	size_t bytes = rs_message_bytes(message);

	if (stream->granted > 0) {
		stream->granted--;
		return true;
	}
	stream->excess_items++;
	if (bytes > RS_EXCESS_BYTES_MAX - stream->excess_bytes)
		return false;
	stream->excess_bytes += (uint32_t)bytes;
	return stream->excess_items <= RS_EXCESS_ITEMS_MAX;
}

static void deliver_payload(struct rs_stream *stream, struct rs_message *message, unsigned flags)
{
	struct rs_session *s = stream->session;
	bool next = flags & RS_FLAG_NEXT, complete = flags & RS_FLAG_COMPLETE;

	if (stream->type == RS_REQUEST_RESPONSE) { // rule 63
		next |= !complete;
		complete = true;
	} else if (!next && !complete) { // rule 65
		cut(stream, RS_ERROR_INVALID, "payload with neither next nor complete");
		return;
	} else if (next && !count_item(stream, message)) {
		cut(stream, RS_ERROR_CANCELED, "far more items than requested");
		return;
	}
	if (!next)
		rs_message_clear(message); // rule 67
	if (complete)
		rs_stream_detach(stream);
	if (s->handler->payload)
		s->handler->payload(stream, message, next, complete);
	if (complete)
		rs_stream_free(stream);
}

static void on_reply(struct rs_stream *stream, struct rs_frame *f, const struct rs_body *body)
{
	struct rs_message message;
	unsigned flags = f->flags;
	int error;

	// F and C: F is ignored (rule 68), but not where N says that data follows: rust begins a
	// fragmented reply with F|C|N.
	if (flags & RS_FLAG_COMPLETE && !(flags & RS_FLAG_NEXT) && !stream->reassembling)
		flags &= ~RS_FLAG_FOLLOWS;
	if (!stream->reassembling && !(flags & RS_FLAG_FOLLOWS)) {
		rs_body_message(body, f, &message);
		deliver_payload(stream, &message, flags);
		rs_message_clear(&message);
		return;
	}
	error = rs_reassembly_add(stream, f, body);
	if (error) {
		cut(stream, RS_ERROR_CANCELED, limit_text(error));
		return;
	}
	if (flags & RS_FLAG_FOLLOWS)
		return;
	flags |= stream->reassembly_flags;
	rs_reassembly_take(stream, &message);
	deliver_payload(stream, &message, flags);
	rs_message_clear(&message);
}

void rs_on_payload(struct rs_session *s, struct rs_frame *f, const struct rs_body *body)
{
	struct rs_stream *stream = rs_stream_find(s, f->stream);

	if (!stream) // rule 73
		return;
	if (stream->requester && stream->state == RS_STREAM_OPEN)
		on_reply(stream, f, body);
	else if (stream->state == RS_STREAM_REQUEST)
		continue_request(stream, f, body);
}

void rs_stream_refuse(struct rs_session *s, const struct rs_frame *f, int error)
{
	struct rs_stream *stream;

	if (f->type != RS_PAYLOAD) {
		if (id_free(s, f))
			refuse_request(s, f, RS_ERROR_REJECTED, limit_text(error));
		return;
	}
	stream = rs_stream_find(s, f->stream);
	if (stream && (stream->requester ? stream->state == RS_STREAM_OPEN
					 : stream->state == RS_STREAM_REQUEST))
		cut(stream, RS_ERROR_CANCELED, limit_text(error));
}
