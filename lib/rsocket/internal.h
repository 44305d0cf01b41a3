// SPDX-License-Identifier: Apache-2.0
// What the files of the session share. Not for users.
//
//   input.c      bytes to frames: the framer, limits on incomplete frames
//   dispatch.c   frames of the connection, and the table of all frames
//   streams.c    frames of streams: the responder's and the requester's half
//   reassembly.c fragments to messages
//   requester.c, responder.c   the user's calls
//   queue.c      messages that wait on streams, deficit round robin, rs_output()
//   ready.c      encoded output
//   pool.c       memory: streams, queued messages, the table of stream ids
//   session.c    beginning and end; keepalive.c  time
#pragma once

#include <errno.h>

#include "lib/rsocket/session.h"

enum rs_session_state {
	RS_SESSION_SETUP, // server: waits for SETUP
	RS_SESSION_OPEN,
	RS_SESSION_ENDED,
};

// FREE -> OPEN by rs_request(); FREE -> REQUEST -> OPEN by fragments of the peer's request, or at
// once OPEN. OPEN -> LINGER by the user's terminal call while something is queued. To ENDED by
// detaching.
enum rs_stream_state {
	RS_STREAM_REQUEST, // fragments of the peer's request come in; the user does not know it yet
	RS_STREAM_OPEN,
	RS_STREAM_LINGER, // the user is done with it, its queue is not; no events
	RS_STREAM_ENDED,  // in its terminal callback, then free
};

// Why rs_output() has to end the session. Deferred to there, so that no user's call ends it under
// them.
enum rs_close_due {
	RS_CLOSE_NOT,
	RS_CLOSE_DRAINED, // we drain and the last stream has ended: tell the peer
	RS_CLOSE_PEER,    // the peer drains and the last stream has ended
	RS_CLOSE_MEMORY,  // there was no block left for a frame's head
	RS_CLOSE_FLOOD,   // answers pile up: the peer asks without reading
};

// What a message is sent as.
struct rs_item {
	uint32_t value; // initial n of a request, code of an error
	uint8_t type;   // RS_REQUEST_*, RS_PAYLOAD or RS_ERROR
	bool next;      // an item: takes credit
	bool complete;
	bool begun; // its first fragment was encoded
};

// A message that waits on its stream, or what is left of it.
struct rs_out {
	struct list link; // in rs_stream.queue
	struct rs_out *pool_next;
	struct rs_message message;
	struct rs_item item;
};

// While less than this is ready, small frames skip their stream's queue; and a turn of the round
// robin.
#define RS_READY_BYTES 65536u
#define RS_COPY_BYTES_MAX 1024u   // larger parts of frames go by reference
#define RS_EXCESS_ITEMS_MAX 1024u // beyond credit, before the stream is cut
#define RS_EXCESS_BYTES_MAX (1u << 20)
#define RS_ERROR_TEXT_MAX 4096u
#define RS_CONTROL_BYTES_MIN ((size_t)1 << 20) // answers between two pulls, before it is a flood
#define RS_SETUP_BYTES_MAX (256u << 10)
#define RS_FRAGMENT_BYTES_MIN 64u // rsocket-java refuses less

struct rs_pool {
	struct buf_pool *blocks;
	struct buf_arena arena; // small messages that wait
	uint32_t block_bytes;
	uint32_t copy_bytes_max; // RS_COPY_BYTES_MAX, or what fits a small block
	size_t blocks_low_bytes; // more out than this: the rest is for heads and control frames
	uint64_t secret[2];
	uint32_t table_mask;
	struct rs_stream **table; // by (session, id)
	struct rs_stream *streams, *streams_free;
	uint32_t streams_max, streams_made, streams_used;
	struct rs_out *outs;
	struct rs_out *outs_free;
	uint32_t outs_max, outs_made;
};

// pool.c
struct rs_stream *rs_pool_stream(
	struct rs_pool *pool); // NULL at the limit; id 0, in no table or list
void rs_pool_stream_free(struct rs_pool *pool, struct rs_stream *stream);
struct rs_out *rs_pool_out(struct rs_pool *pool); // NULL at the limit
void rs_pool_out_free(struct rs_pool *pool, struct rs_out *out);
struct rs_stream *rs_stream_find(const struct rs_session *s, uint32_t id);
void rs_stream_insert(struct rs_stream *stream); // under its id
void rs_stream_remove(struct rs_stream *stream);
static inline bool rs_pool_low(const struct rs_pool *pool)
{
	return buf_pool_bytes(pool->blocks) > pool->blocks_low_bytes;
}

// session.c
struct rs_stream *rs_stream_open(struct rs_session *s, uint8_t type, bool requester);
// Takes it out of the session; drops its queue and fragments. The memory stays until freed.
void rs_stream_detach(struct rs_stream *stream);
static inline void rs_stream_free(struct rs_stream *stream)
{
	rs_pool_stream_free(stream->session->pool, stream);
}
// Both, for ends that the user is not told of.
void rs_stream_drop(struct rs_stream *stream);
// Both with the event `error` between.
void rs_stream_fail(struct rs_stream *stream, uint32_t code, const char *text);
// Gives the request's stream the next id (rules 16, 17, 19, 22).
void rs_stream_issue(struct rs_stream *stream);
// What becomes of the output when a session ends.
enum rs_end {
	RS_END_TELL, // what is ready goes out, then ERROR(code)
	RS_END_KEEP, // what is ready goes out
	RS_END_DROP,
};

void rs_session_end(struct rs_session *s, uint32_t code, const char *why, enum rs_end how);
// Carries out what is due; where no user's call is on the stack.
void rs_session_finish(struct rs_session *s);
void rs_session_close_due(struct rs_session *s, enum rs_close_due due);
static inline bool rs_session_peer_id(const struct rs_session *s, uint32_t id)
{
	return (id & 1) == (s->role == RS_SERVER ? 1 : 0);
}

// ready.c
// Appends a frame; takes f->metadata_len and f->data_len bytes from the front of the chains.
void rs_ready_frame(
	struct rs_session *s, const struct rs_frame *f, struct chain *metadata, struct chain *data);
// The same with copied data and no metadata, for answers to the peer: bounded between two pulls.
void rs_ready_control(struct rs_session *s, const struct rs_frame *f, const struct chain *data);
void rs_ready_error(struct rs_session *s, uint32_t stream, uint32_t code, const char *text);
void rs_ready_cancel(struct rs_session *s, uint32_t stream);
void rs_ready_request_n(struct rs_session *s, uint32_t stream, uint32_t n);
void rs_session_wake(struct rs_session *s);

// queue.c
// Sends the message at once if it may overtake nothing, else queues it. Takes the message. 0,
// -ENOBUFS.
int rs_queue_send(struct rs_stream *stream, struct rs_item item, struct rs_message *message);
// After credit came.
void rs_queue_activate(struct rs_stream *stream);
void rs_queue_drop(struct rs_stream *stream);
size_t rs_message_bytes(const struct rs_message *message);
// 0, or -EMSGSIZE if it is too large to be sent at all.
int rs_message_check(const struct rs_session *s, const struct rs_message *message);

// input.c
// A frame's bytes: contiguous (data, of buf), or a chain. `owned`: they lie in blocks of the pool.
struct rs_body {
	const uint8_t *data; // NULL: chain
	struct buf *buf;
	struct chain *chain;
	bool owned;
};

// The frame's metadata and data; valid during the call and as long as somebody holds a reference.
void rs_body_message(const struct rs_body *body, const struct rs_frame *f, struct rs_message *out);

// dispatch.c
void rs_frame_input(struct rs_session *s, struct rs_frame *f, const struct rs_body *body);
void rs_frame_malformed(struct rs_session *s, const struct rs_frame *f);
// The frame is beyond a limit (-EMSGSIZE, -ENOBUFS): only its head is there.
void rs_frame_refuse(struct rs_session *s, struct rs_frame *f, int error);

// streams.c
void rs_on_request(struct rs_session *s, struct rs_frame *f, const struct rs_body *body);
void rs_on_request_n(struct rs_session *s, struct rs_frame *f, const struct rs_body *body);
void rs_on_cancel(struct rs_session *s, struct rs_frame *f, const struct rs_body *body);
void rs_on_payload(struct rs_session *s, struct rs_frame *f, const struct rs_body *body);
void rs_on_stream_error(struct rs_session *s, struct rs_frame *f, const struct rs_body *body);
void rs_stream_refuse(struct rs_session *s, const struct rs_frame *f, int error);

// reassembly.c
// Adds a fragment. 0, -EMSGSIZE, -ENOBUFS.
int rs_reassembly_add(
	struct rs_stream *stream, const struct rs_frame *f, const struct rs_body *body);
void rs_reassembly_take(struct rs_stream *stream, struct rs_message *out);
void rs_reassembly_drop(struct rs_stream *stream);
size_t rs_blocks_charge(const struct rs_pool *pool, size_t bytes);
