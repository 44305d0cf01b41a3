// SPDX-License-Identifier: Apache-2.0
// The user's calls as responder. The user's terminal call ends the stream for the user at once;
// what is queued, or waits for credit, is still sent (state LINGER).

#include "lib/rsocket/internal.h"

static void end(struct rs_stream *stream)
{
	if (list_empty(&stream->queue))
		rs_stream_drop(stream);
	else
		stream->state = RS_STREAM_LINGER;
}

int rs_payload(struct rs_stream *stream, struct rs_message *message, bool next, bool complete)
{
	struct rs_item item = {.type = RS_PAYLOAD};
	int error;

	assert((next || complete) && "rule 65");
	if (stream->state != RS_STREAM_OPEN || stream->requester) {
		rs_message_clear(message);
		return 0;
	}
	if (!next)
		rs_message_clear(message); // rule 67
	// A request-response is answered by one frame with both: rsocket-js 0.0.27 hangs on C
	// alone.
	if (stream->type == RS_REQUEST_RESPONSE)
		next = complete = true;
	item.next = next;
	item.complete = complete;
	error = rs_message_check(stream->session, message);
	if (!error)
		error = rs_queue_send(stream, item, message);
	rs_message_clear(message);
	if (!error && complete)
		end(stream);
	return error;
}

// Only stream errors belong on streams (rules 76, 77); application codes pass unchanged (rule 82).
static uint32_t stream_code(uint32_t code)
{
	return code < RS_ERROR_APPLICATION || code == UINT32_MAX ? RS_ERROR_APPLICATION : code;
}

void rs_error_relay(struct rs_stream *stream, uint32_t code, struct chain *text)
{
	struct rs_item item = {.type = RS_ERROR, .value = stream_code(code)};
	struct rs_message message = {0};

	if (stream->state != RS_STREAM_OPEN || stream->requester) {
		chain_clear(text);
		return;
	}
	chain_move(
		&message.data, text, text->len < RS_ERROR_TEXT_MAX ? text->len : RS_ERROR_TEXT_MAX);
	chain_clear(text);
	if (rs_queue_send(stream, item, &message)) {
		// No room to wait in: the error overtakes what is queued, which it makes worthless.
		struct rs_frame f = {.stream = stream->id,
			.type = RS_ERROR,
			.code = item.value,
			.data_len = (uint32_t)message.data.len};

		rs_queue_drop(stream);
		rs_ready_control(stream->session, &f, &message.data);
	}
	rs_message_clear(&message);
	end(stream);
}

void rs_error(struct rs_stream *stream, uint32_t code, const char *text)
{
	struct rs_session *s = stream->session;
	size_t len = strnlen(text, RS_ERROR_TEXT_MAX);
	struct chain chain = {0};

	if (stream->state != RS_STREAM_OPEN || stream->requester)
		return;
	// Without a block the code alone has to do.
	(void)chain_copy(&chain, s->pool->blocks, text, len);
	rs_error_relay(stream, code, &chain);
}

uint32_t rs_stream_credit(const struct rs_stream *stream)
{
	return stream->credit > stream->queued_items ? stream->credit - stream->queued_items : 0;
}
