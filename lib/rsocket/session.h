// SPDX-License-Identifier: Apache-2.0
// An RSocket 1.0 session: one end of one connection, pure. Bytes in, events out through a handler;
// calls in, bytes out when the transport pulls them.
//
// Thread: all sessions of a pool belong to one thread. No clock, no I/O, no log; memory comes from
// the pool. The numbers (rule N) are those of the conformance tests in test/conformance.
//
// The life of a stream. A stream begins with rs_request() or with handler->request, and its pointer
// is valid until its end: the user's own terminal call (rs_payload with complete, rs_error,
// rs_cancel), or a terminal event (payload with complete, error, cancel, lost). In the event's
// callback it is still valid, and other calls on the stream are then ignored. After that the
// pointer must not be used; what is queued is still sent. A request-response ends with its first
// payload (rule 63). A fire-and-forget has no stream after its callback.
//
// Back pressure. Items queue on their stream until the peer has granted credit (rule 53); a
// stream's queue has a byte limit, and so has the session's. rs_output() serves small frames in the
// order they were made and larger ones by deficit round robin over streams, fragmented, so that one
// large message does not delay the others. handler->pulled tells when queued bytes have left, so
// that a proxy can grant its producer more.
#pragma once

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/list.h"
#include "lib/rsocket/frame.h"

#define RS_CREDIT_MAX 0x7fffffffu // sums saturate here (rule 54)
// What a queued message counts beyond its bytes, so that empty ones are bounded too.
#define RS_QUEUED_OVERHEAD_BYTES 128

enum rs_role {
	RS_CLIENT, // dialled: sends SETUP, odd stream ids
	RS_SERVER, // was dialled: even stream ids
};

// Streams and queued messages of all sessions of one thread, allocated at start.
struct rs_pool;
struct rs_session;

// NULL when out of memory. blocks: for headers, copies of small payloads and what is kept of
// incomplete frames; must outlive the pool.
struct rs_pool *rs_pool_new(uint32_t streams_max, struct buf_pool *blocks);
void rs_pool_destroy(struct rs_pool *pool);
uint32_t rs_pool_streams(const struct rs_pool *pool); // in use now

// A message: what a request, a payload or a push carries. has_metadata distinguishes empty from
// absent (rule 14). Functions that take a message empty it, also when they fail.
struct rs_message {
	struct chain metadata;
	struct chain data;
	bool has_metadata;
};

void rs_message_clear(struct rs_message *message);

struct rs_stream {
	struct rs_session *session;
	void *user;     // the user's own; NULL at first for requests from the peer
	uint32_t id;    // of our own requests: 0 until they are encoded (rule 16)
	uint8_t type;   // RS_REQUEST_RESPONSE, RS_REQUEST_FNF, RS_REQUEST_STREAM
	bool requester; // this end asked
	// the rest is the session's own
	uint8_t state;            // enum rs_stream_state in internal.h
	uint8_t reassembly_flags; // N and C of the fragments so far
	bool reassembling;
	uint32_t credit;  // items the peer still allows us to send
	uint32_t granted; // items we still allow the peer to send
	uint32_t bucket;  // in the pool's table
	struct rs_stream *hash_next;
	struct list all;        // in the session's streams
	uint64_t request_start; // output position of the request, UINT64_MAX while it is queued
	struct list queue;      // struct rs_out
	struct list active;     // in the session's round robin
	size_t queued_bytes;
	uint32_t queued_count;
	uint32_t queued_items; // of these, those that take credit
	uint32_t deficit_bytes;
	uint32_t request_n;    // grants that wait behind the queued request
	uint32_t excess_items; // received beyond what was granted
	uint32_t excess_bytes;
	struct rs_message reassembly;
};

struct rs_setup {
	uint16_t major, minor;
	uint32_t keepalive_ms, lifetime_ms;
	bool lease, resume;
	const char *metadata_mime, *data_mime; // NUL-terminated here; valid in the callback only
	struct rs_message message;
};

// Callbacks. Each may call any rs_ function, also on other sessions, but rs_session_fini on the
// session it is called for. Any may be NULL but wake.
struct rs_handler {
	// The session has something to put out that it had not before: pull it with rs_output soon.
	// A client's first call comes from rs_session_init (SETUP).
	void (*wake)(struct rs_session *s);
	// Server: a SETUP arrived. 0 accepts; an RS_ERROR_*_SETUP code refuses, with *why as its
	// text.
	uint32_t (*setup)(struct rs_session *s, struct rs_setup *setup, const char **why);
	// The peer asks. The message may be taken (chain_append); what is left is dropped. Initial
	// credit is in rs_stream_credit(). Without this handler: ERROR[REJECTED].
	void (*request)(struct rs_stream *stream, struct rs_message *message);
	// Requester: an item (next), its end (complete), or both. Terminal with complete.
	void (*payload)(
		struct rs_stream *stream, struct rs_message *message, bool next, bool complete);
	// Requester: terminal. text is not NUL-terminated UTF-8 and may be taken. Also for a reply
	// that breaks a limit (CANCELED) or the protocol (INVALID); the peer gets CANCEL then.
	void (*error)(struct rs_stream *stream, uint32_t code, struct chain *text);
	// Responder: the peer grants n more items; they are already in rs_stream_credit().
	void (*request_n)(struct rs_stream *stream, uint32_t n);
	// Responder: the peer is no longer interested. Terminal.
	void (*cancel)(struct rs_stream *stream);
	// The session ended under the stream. Terminal. sent: the first byte of a requester's
	// request may have reached the peer, else it is safe to try again elsewhere (rule 80).
	void (*lost)(struct rs_stream *stream, bool sent);
	// bytes of the stream's queued payload have left through rs_output (0: of empty messages).
	void (*pulled)(struct rs_stream *stream, size_t bytes);
	// METADATA_PUSH on stream 0. The chain may be taken.
	void (*metadata_push)(struct rs_session *s, struct chain *metadata);
	// rs_session_drain() has come to its end: all streams have ended, CONNECTION_CLOSE is in the
	// output. Requests that cross it on the way are still REJECTED, so wait a little for the peer
	// to close before ending the session with its transport. Without this handler it ends at once.
	void (*drained)(struct rs_session *s);
	// Once, when the session ends for another reason than rs_session_abort(): by an error it
	// found or received on stream 0 (code, RS_ERROR_*), by keepalive (CONNECTION_ERROR) or by
	// drain (CONNECTION_CLOSE). All streams were reported lost before. Close the transport when
	// rs_output_pending() turns false.
	void (*closed)(struct rs_session *s, uint32_t code, const char *why);
};

struct rs_config {
	enum rs_role role;
	const struct rs_handler *handler;
	struct rs_pool *pool;
	void *user;

	// Client: the SETUP frame. Keepalives are sent each keepalive_ms; silence for lifetime_ms
	// ends the session. Both > 0. A server takes the client's values; its own lifetime_ms, if
	// not 0, is the time within which SETUP has to come.
	uint32_t keepalive_ms, lifetime_ms;
	const char *metadata_mime, *data_mime;
	struct rs_message *setup; // taken; may be NULL

	// Limits, in bytes; 0 takes the default in parentheses.
	uint32_t fragment_bytes;  // longer frames are fragmented when sent; RS_FRAGMENT_NEVER; (64
				  // KiB)
	uint32_t streams_max;     // requests of the peer open at once, more are REJECTED; (65536)
	size_t message_bytes_max; // of one message received or sent, after reassembly; (16 MiB)
	size_t reassembly_bytes_max;   // of all incomplete messages and frames of the session; (64
				       // MiB)
	size_t stream_queue_bytes_max; // queued on one stream before -ENOBUFS; (32 MiB)
	size_t queue_bytes_max;        // queued in the session before -ENOBUFS; (64 MiB)
};

#define RS_FRAGMENT_NEVER UINT32_MAX

// Memory of a session is the caller's: embed it. Fields are the session's own but user.
#include "lib/rsocket/session_state.h"

// Makes a session; a client's SETUP is queued. 0, -EINVAL (a bad configuration) or -ENOBUFS.
int rs_session_init(struct rs_session *s, const struct rs_config *config, ns_t now);
// The transport is gone: reports all streams lost, drops what is queued. No `closed` event.
void rs_session_abort(struct rs_session *s);
// Frees all; aborts first if need be.
void rs_session_fini(struct rs_session *s);

// Bytes from a stream transport (u24 length before each frame, rule 1). Takes all of `in`; any
// split gives the same events (rule 9). References to `in`'s storage are kept only by messages
// handed to callbacks; incomplete frames are copied. A peer's faults end the session through
// handler->closed, never through the return value.
void rs_input(struct rs_session *s, struct chain *in, ns_t now);
// One frame without length prefix (WebSocket, rule 2). Takes all of `frame`.
void rs_input_frame(struct rs_session *s, struct chain *frame, ns_t now);
// Appends up to about bytes_max of output (whole frames; at least one if any is ready) with their
// length prefixes to `out`. What is encoded already goes in one piece, so bytes_max may be exceeded
// by 64 KiB and a frame. Returns the bytes appended.
size_t rs_output(struct rs_session *s, struct chain *out, size_t bytes_max);
bool rs_output_pending(const struct rs_session *s);
// Sends keepalives and ends a silent session. Call it at or after the instant it last returned
// (first: at once after init and after SETUP).
ns_t rs_tick(struct rs_session *s, ns_t now);

// Requester. NULL with *error = -ENOBUFS (a limit was reached), -ESHUTDOWN (draining or ended;
// a server before SETUP), -EMSGSIZE. initial_n > 0 for RS_REQUEST_STREAM, else ignored.
struct rs_stream *rs_request(struct rs_session *s, enum rs_type type, uint32_t initial_n,
	struct rs_message *message, void *user, int *error);
// 0 or as above.
int rs_fire_and_forget(struct rs_session *s, struct rs_message *message);
// Grants n > 0 more items.
void rs_request_n(struct rs_stream *stream, uint32_t n);
// Terminal. What was not sent yet never will be; of a request that still waits nothing is seen.
void rs_cancel(struct rs_stream *stream);

// Responder. next: the message is an item; complete: the last frame of this side, terminal. At
// least one. Items wait for credit. 0, -ENOBUFS (a queue is full: the stream goes on, the item is
// dropped; end it), -EMSGSIZE. A request-response is answered with both, whatever is asked for:
// rsocket-js 0.0.27 waits for ever after a lone complete.
int rs_payload(struct rs_stream *stream, struct rs_message *message, bool next, bool complete);
// Terminal, behind what is queued. text is cut at 4 KiB.
void rs_error(struct rs_stream *stream, uint32_t code, const char *text);
// The same with text from a peer, relayed unchanged (rule 82); taken.
void rs_error_relay(struct rs_stream *stream, uint32_t code, struct chain *text);

int rs_metadata_push(struct rs_session *s, struct chain *metadata);

// Refuses new requests of either side (the peer's get REJECTED "draining"); when the last stream
// has ended, sends ERROR[CONNECTION_CLOSE] and reports drained, or closed if nobody asks for that.
void rs_session_drain(struct rs_session *s);
// Sends ERROR(code) on stream 0 and ends the session; reports closed.
void rs_session_close(struct rs_session *s, uint32_t code, const char *why);

// Items that may still be sent before credit is used up, those queued already subtracted.
uint32_t rs_stream_credit(const struct rs_stream *stream);
size_t rs_stream_queued_bytes(const struct rs_stream *stream);
// The same with RS_QUEUED_OVERHEAD_BYTES for each message.
size_t rs_stream_queued_cost(const struct rs_stream *stream);
// True if a byte of the requester's request has left through rs_output.
bool rs_stream_sent(const struct rs_stream *stream);
uint32_t rs_session_streams(const struct rs_session *s); // open streams of both sides
// Bytes waiting for rs_output, encoded or not.
static inline size_t rs_session_queued_bytes(const struct rs_session *s)
{
	return s->queued_bytes + s->ready.len;
}

bool rs_session_ended(const struct rs_session *s);
// True if a request can be made: the session has not ended, and neither side drains it.
bool rs_session_takes_requests(const struct rs_session *s);
bool rs_session_established(const struct rs_session *s); // server: SETUP accepted; client: at once
