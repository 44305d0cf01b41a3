// SPDX-License-Identifier: Apache-2.0
// Beginning and end of a session and of its streams.
//
//   rs_session_init -> (server: SETUP ->) OPEN -> ENDED by rs_session_end, rs_session_abort
//
// A stream leaves the session (rs_stream_detach) before its terminal event and its memory is freed
// after it, so that whatever the callback does, it ends exactly once. Reasons to end the session
// that arise inside a user's call are noted in close_due and carried out at the next entry.

#include "lib/rsocket/internal.h"

#define FRAGMENT_BYTES 65536u
#define STREAMS_MAX 65536u
#define MESSAGE_BYTES_MAX ((size_t)16 << 20)
#define REASSEMBLY_BYTES_MAX ((size_t)64 << 20)
#define STREAM_QUEUE_BYTES_MAX ((size_t)32 << 20)
#define QUEUE_BYTES_MAX ((size_t)64 << 20)

void rs_message_clear(struct rs_message *message)
{
	if (message->metadata.first)
		chain_clear(&message->metadata);
	if (message->data.first)
		chain_clear(&message->data);
	message->has_metadata = false;
}

static bool config_valid(const struct rs_config *c)
{
	if (!c->handler || !c->handler->wake || !c->pool)
		return false;
	if (c->fragment_bytes && c->fragment_bytes < RS_FRAGMENT_BYTES_MIN)
		return false;
	if (c->role == RS_SERVER)
		return true;
	return c->keepalive_ms > 0 && c->keepalive_ms <= RS_U31_MAX && // rule 25
	       c->lifetime_ms > 0 && c->lifetime_ms <= RS_U31_MAX &&   // rule 26
	       c->metadata_mime && strlen(c->metadata_mime) <= RS_MIME_BYTES_MAX && c->data_mime &&
	       strlen(c->data_mime) <= RS_MIME_BYTES_MAX;
}

static void set_limits(struct rs_session *s, const struct rs_config *c)
{
	s->fragment_bytes = c->fragment_bytes ? c->fragment_bytes : FRAGMENT_BYTES;
	s->streams_max = c->streams_max ? c->streams_max : STREAMS_MAX;
	s->message_bytes_max = c->message_bytes_max ? c->message_bytes_max : MESSAGE_BYTES_MAX;
	s->reassembly_bytes_max =
		c->reassembly_bytes_max ? c->reassembly_bytes_max : REASSEMBLY_BYTES_MAX;
	s->stream_queue_bytes_max =
		c->stream_queue_bytes_max ? c->stream_queue_bytes_max : STREAM_QUEUE_BYTES_MAX;
	s->queue_bytes_max = c->queue_bytes_max ? c->queue_bytes_max : QUEUE_BYTES_MAX;
	if (s->fragment_bytes > RS_FRAME_BYTES_MAX)
		s->fragment_bytes = RS_FRAME_BYTES_MAX; // rule 3
}

// First into the output, so that it leaves in one write with what follows (rules 23, 36).
static int queue_setup(struct rs_session *s, const struct rs_config *c)
{
	struct rs_setup_head setup = {.major = RS_VERSION_MAJOR,
		.minor = RS_VERSION_MINOR,
		.keepalive_ms = c->keepalive_ms,
		.lifetime_ms = c->lifetime_ms};
	uint8_t raw[RS_PREFIX_BYTES + RS_HEADER_BYTES + 12 + 2 * (1 + RS_MIME_BYTES_MAX) + 3];
	struct writer w = writer_of(raw + RS_PREFIX_BYTES, sizeof(raw) - RS_PREFIX_BYTES);
	struct rs_message none = {0}, *message = c->setup ? c->setup : &none;
	struct rs_frame f = {.type = RS_SETUP, .metadata_len = (uint32_t)message->metadata.len};
	size_t len, body = message->metadata.len + message->data.len;

	if (body > RS_SETUP_BYTES_MAX)
		return -EINVAL;
	if (message->has_metadata)
		f.flags = RS_FLAG_METADATA;
	memcpy(setup.metadata_mime, c->metadata_mime, strlen(c->metadata_mime) + 1);
	memcpy(setup.data_mime, c->data_mime, strlen(c->data_mime) + 1);
	rs_setup_write(&w, &setup, &f);
	assert(!w.bad && "the longest head of a SETUP without token fits");
	len = sizeof(raw) - writer_left(&w);
	rs_prefix_write(raw, (uint32_t)(len - RS_PREFIX_BYTES + body));
	if (chain_copy(&s->ready, s->pool->blocks, raw, len))
		return -ENOBUFS;
	chain_append(&s->ready, &message->metadata);
	chain_append(&s->ready, &message->data);
	return 0;
}

int rs_session_init(struct rs_session *s, const struct rs_config *config, ns_t now)
{
	int error = config_valid(config) ? 0 : -EINVAL;

	*s = (struct rs_session){.user = config->user};
	if (!error) {
		s->handler = config->handler;
		s->pool = config->pool;
		s->role = (uint8_t)config->role;
		s->state = config->role == RS_SERVER ? RS_SESSION_SETUP : RS_SESSION_OPEN;
		s->next_id = config->role == RS_SERVER ? 2 : 1;
		s->keepalive_ms = config->keepalive_ms;
		s->lifetime_ms = config->lifetime_ms;
		s->heard = now;
		s->beat = now + config->keepalive_ms * NS_PER_MS;
		s->tick_due = now;
		list_init(&s->streams);
		list_init(&s->active);
		set_limits(s, config);
		if (config->role == RS_CLIENT)
			error = queue_setup(s, config);
	}
	if (config->setup)
		rs_message_clear(config->setup);
	if (error)
		s->state = RS_SESSION_ENDED;
	else if (config->role == RS_CLIENT)
		rs_session_wake(s);
	return error;
}

struct rs_stream *rs_stream_open(struct rs_session *s, uint8_t type, bool requester)
{
	struct rs_stream *stream = rs_pool_stream(s->pool);

	if (!stream)
		return NULL;
	stream->session = s;
	stream->type = type;
	stream->requester = requester;
	stream->state = RS_STREAM_OPEN;
	list_push(&s->streams, &stream->all);
	s->streams_count++;
	if (!requester)
		s->streams_peer++;
	return stream;
}

void rs_stream_issue(struct rs_stream *stream)
{
	struct rs_session *s = stream->session;

	// Before the first wrap no id can be in use; after it those of long streams are (rule 19).
	do {
		stream->id = s->next_id;
		s->next_id += 2;
		if (s->next_id > RS_STREAM_ID_MAX)
			s->next_id = s->role == RS_SERVER ? 2 : 1;
	} while (rs_stream_find(s, stream->id));
	stream->request_start = s->pulled_bytes + s->ready.len;
	rs_stream_insert(stream);
}

void rs_stream_detach(struct rs_stream *stream)
{
	struct rs_session *s = stream->session;

	stream->state = RS_STREAM_ENDED;
	if (stream->id)
		rs_stream_remove(stream);
	list_del(&stream->all);
	list_del(&stream->active);
	rs_queue_drop(stream);
	// What the transport was woken for may have been this alone; it need not come for nothing.
	if (!rs_output_pending(s))
		s->woken = false;
	if (stream->reassembling)
		rs_reassembly_drop(stream);
	if (!stream->requester)
		s->streams_peer--;
	if (--s->streams_count > 0)
		return;
	if (s->draining)
		rs_session_close_due(s, RS_CLOSE_DRAINED);
	else if (s->peer_closing)
		rs_session_close_due(s, RS_CLOSE_PEER);
}

void rs_stream_drop(struct rs_stream *stream)
{
	rs_stream_detach(stream);
	rs_stream_free(stream);
}

void rs_stream_fail(struct rs_stream *stream, uint32_t code, const char *text)
{
	const struct rs_handler *handler = stream->session->handler;
	bool tell = stream->state == RS_STREAM_OPEN && handler->error;
	struct chain chain = {0};

	rs_stream_detach(stream);
	if (tell) {
		chain_push(&chain, NULL, (const uint8_t *)text, (uint32_t)strlen(text));
		handler->error(stream, code, &chain);
		chain_clear(&chain);
	}
	rs_stream_free(stream);
}

// keep: what is ready goes out after this, so a request in it counts as sent.
static void lose_streams(struct rs_session *s, bool keep, bool unprocessed)
{
	struct list *first;

	while ((first = list_first(&s->streams))) {
		struct rs_stream *stream = list_entry(first, struct rs_stream, all);
		bool tell = stream->state == RS_STREAM_OPEN && s->handler->lost;
		bool sent = keep ? stream->request_start != UINT64_MAX : rs_stream_sent(stream);

		rs_stream_detach(stream);
		if (tell)
			s->handler->lost(stream, sent && !unprocessed);
		rs_stream_free(stream);
	}
}

static void drop_input(struct rs_session *s)
{
	chain_clear(&s->partial);
	s->swallow_bytes = 0;
	s->reassembly_bytes = s->partial_charge = 0;
}

void rs_session_end(struct rs_session *s, uint32_t code, const char *why, enum rs_end how)
{
	// A refused SETUP means that nothing sent along with it was looked at (rules 32, 40).
	bool refused = code <= RS_ERROR_REJECTED_RESUME && s->role == RS_CLIENT;

	if (s->state == RS_SESSION_ENDED)
		return;
	s->state = RS_SESSION_ENDED;
	s->close_due = RS_CLOSE_NOT;
	if (how == RS_END_DROP)
		chain_clear(&s->ready);
	lose_streams(s, how != RS_END_DROP, refused);
	drop_input(s);
	if (how == RS_END_TELL)
		rs_ready_error(s, 0, code, why);
	if (s->handler->closed)
		s->handler->closed(s, code, why);
}

void rs_session_close(struct rs_session *s, uint32_t code, const char *why)
{
	rs_session_end(s, code, why, RS_END_TELL);
}

void rs_session_close_due(struct rs_session *s, enum rs_close_due due)
{
	// Bad news replaces an orderly end, nothing replaces bad news.
	if (s->state == RS_SESSION_ENDED || s->close_due >= RS_CLOSE_MEMORY)
		return;
	s->close_due = (uint8_t)due;
	rs_session_wake(s);
}

static void say_goodbye(struct rs_session *s)
{
	if (!s->handler->drained) {
		rs_session_close(s, RS_ERROR_CONNECTION_CLOSE, "drained");
		return;
	}
	s->close_due = RS_CLOSE_NOT;
	if (s->drained)
		return;
	s->drained = true;
	rs_ready_error(s, 0, RS_ERROR_CONNECTION_CLOSE, "drained");
	s->handler->drained(s);
}

void rs_session_finish(struct rs_session *s)
{
	switch ((enum rs_close_due)s->close_due) {
	case RS_CLOSE_NOT:
		break;
	case RS_CLOSE_DRAINED:
		say_goodbye(s);
		break;
	case RS_CLOSE_PEER:
		rs_session_end(s, RS_ERROR_CONNECTION_CLOSE, "closed by the peer", RS_END_KEEP);
		break;
	case RS_CLOSE_MEMORY:
		rs_session_end(s, RS_ERROR_CONNECTION, "out of memory", RS_END_DROP);
		break;
	case RS_CLOSE_FLOOD:
		rs_session_end(
			s, RS_ERROR_CONNECTION, "the peer does not read its answers", RS_END_DROP);
		break;
	}
}

void rs_session_drain(struct rs_session *s)
{
	if (s->state == RS_SESSION_ENDED || s->draining)
		return;
	s->draining = true;
	if (s->streams_count == 0)
		rs_session_close_due(s, RS_CLOSE_DRAINED);
}

void rs_session_abort(struct rs_session *s)
{
	if (s->state != RS_SESSION_ENDED) {
		s->state = RS_SESSION_ENDED;
		s->close_due = RS_CLOSE_NOT;
		lose_streams(s, false, false);
		drop_input(s);
	}
	chain_clear(&s->ready);
}

void rs_session_fini(struct rs_session *s)
{
	if (!s->pool)
		return; // its init failed
	rs_session_abort(s);
	s->pool = NULL;
}

bool rs_stream_sent(const struct rs_stream *stream)
{
	return stream->session->pulled_bytes > stream->request_start;
}

size_t rs_stream_queued_bytes(const struct rs_stream *stream)
{
	return stream->queued_bytes;
}

size_t rs_stream_queued_cost(const struct rs_stream *stream)
{
	return stream->queued_bytes + (size_t)stream->queued_count * RS_QUEUED_OVERHEAD_BYTES;
}

uint32_t rs_session_streams(const struct rs_session *s)
{
	return s->streams_count;
}

bool rs_session_ended(const struct rs_session *s)
{
	return s->state == RS_SESSION_ENDED;
}

bool rs_session_takes_requests(const struct rs_session *s)
{
	return s->state == RS_SESSION_OPEN && !s->draining && !s->peer_closing && !s->close_due;
}

bool rs_session_established(const struct rs_session *s)
{
	return s->state == RS_SESSION_OPEN;
}
