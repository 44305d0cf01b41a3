// SPDX-License-Identifier: Apache-2.0
// The user's calls as requester, and METADATA_PUSH. A request gets its stream id when its first
// frame is encoded, so ids leave in order and one that is cancelled before was never there (rule
// 16).

#include "lib/rsocket/internal.h"

static int check_request(const struct rs_session *s, const struct rs_message *message)
{
	if (!rs_session_takes_requests(s))
		return -ESHUTDOWN;
	return rs_message_check(s, message);
}

// The stream of a request that was sent or queued, or NULL with *error.
static struct rs_stream *start(struct rs_session *s, uint8_t type, uint32_t initial_n,
	struct rs_message *message, void *user, int *error)
{
	struct rs_stream *stream = NULL;

	*error = check_request(s, message);
	if (*error)
		return NULL;
	stream = rs_stream_open(s, type, true);
	if (!stream) {
		*error = -ENOBUFS;
		return NULL;
	}
	stream->user = user;
	stream->granted = initial_n;
	*error = rs_queue_send(stream, (struct rs_item){.type = type, .value = initial_n}, message);
	if (*error) {
		rs_stream_drop(stream);
		return NULL;
	}
	return stream;
}

struct rs_stream *rs_request(struct rs_session *s, enum rs_type type, uint32_t initial_n,
	struct rs_message *message, void *user, int *error)
{
	struct rs_stream *stream;

	assert((type == RS_REQUEST_RESPONSE || type == RS_REQUEST_STREAM) &&
		"only these open a stream for their requester");
	assert((type == RS_REQUEST_RESPONSE || initial_n > 0) && "rule 50");
	if (type == RS_REQUEST_RESPONSE)
		initial_n = 1;
	if (initial_n > RS_CREDIT_MAX)
		initial_n = RS_CREDIT_MAX;
	stream = start(s, (uint8_t)type, initial_n, message, user, error);
	rs_message_clear(message);
	return stream;
}

int rs_fire_and_forget(struct rs_session *s, struct rs_message *message)
{
	int error;
	struct rs_stream *stream = start(s, RS_REQUEST_FNF, 0, message, NULL, &error);

	rs_message_clear(message);
	if (!stream)
		return error;
	stream->state = RS_STREAM_LINGER; // until the queue is empty: no event ever
	if (list_empty(&stream->queue))
		rs_stream_drop(stream);
	return 0;
}

// The queued request if its first byte was not encoded yet.
static struct rs_out *unsent_request(const struct rs_stream *stream)
{
	struct list *first = list_first(&stream->queue);
	struct rs_out *out = first ? list_entry(first, struct rs_out, link) : NULL;

	return out && !out->item.begun ? out : NULL;
}

void rs_request_n(struct rs_stream *stream, uint32_t n)
{
	struct rs_out *out;
	uint32_t surplus;

	assert(n > 0 && "rule 51");
	if (stream->state != RS_STREAM_OPEN || !stream->requester ||
		stream->type != RS_REQUEST_STREAM)
		return;
	// Items that came uncalled for use up the grant first.
	surplus = n < stream->excess_items ? n : stream->excess_items;
	stream->excess_items -= surplus;
	if (stream->excess_items == 0)
		stream->excess_bytes = 0;
	// Never let the peer's sum pass 2^31-1: go counts in an int32 (rule 54).
	if (n > RS_CREDIT_MAX - stream->granted)
		n = RS_CREDIT_MAX - stream->granted;
	if (n == 0)
		return;
	stream->granted += n > surplus ? n - surplus : 0;
	out = unsent_request(stream);
	if (out)
		out->item.value += n;
	else if (!list_empty(&stream->queue))
		stream->request_n += n; // between its request's fragments it would be lost
	else
		rs_ready_request_n(stream->session, stream->id, n);
}

void rs_cancel(struct rs_stream *stream)
{
	if (stream->state != RS_STREAM_OPEN || !stream->requester)
		return;
	if (stream->request_start != UINT64_MAX)
		rs_ready_cancel(stream->session, stream->id);
	rs_stream_drop(stream);
}

int rs_metadata_push(struct rs_session *s, struct chain *metadata)
{
	struct rs_frame f = {.type = RS_METADATA_PUSH, .flags = RS_FLAG_METADATA}; // rule 109
	struct chain none = {0};
	int error = 0;

	if (s->state != RS_SESSION_OPEN || s->close_due)
		error = -ESHUTDOWN;
	else if (metadata->len > s->message_bytes_max ||
		 metadata->len > RS_FRAME_BYTES_MAX - RS_HEADER_BYTES)
		error = -EMSGSIZE;
	else if (s->ready.len + s->queued_bytes + metadata->len > s->queue_bytes_max)
		error = -ENOBUFS;
	if (!error) {
		f.metadata_len = (uint32_t)metadata->len;
		rs_ready_frame(s, &f, metadata, &none);
	}
	chain_clear(metadata);
	return error;
}
