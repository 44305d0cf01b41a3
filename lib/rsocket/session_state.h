// SPDX-License-Identifier: Apache-2.0
// The memory of an RSocket session, so that it can be embedded. Included by session.h alone;
// nothing here but `user` is for anybody outside lib/rsocket.
#pragma once

struct rs_session {
	void *user;
	const struct rs_handler *handler;
	struct rs_pool *pool;
	uint8_t role;      // enum rs_role
	uint8_t state;     // enum session_state in internal.h
	bool draining;     // no new requests, ends with its last stream
	bool drained;      // CONNECTION_CLOSE was said, the user ends it
	bool peer_closing; // the peer sent CONNECTION_CLOSE (rule 79)
	uint8_t close_due; // enum rs_close_due: rs_output() will report `closed`
	bool confirmed;    // client: the peer has accepted our SETUP (rule 41)
	bool woken;        // `wake` was called and output is still pending

	// streams
	struct list streams; // rs_stream.all
	uint32_t streams_count;
	uint32_t streams_peer; // of these, opened by the peer
	uint32_t next_id;      // of our next request
	uint32_t peer_id_max;  // of the peer's requests so far

	// input
	struct chain partial;    // copied beginning of an incomplete frame
	uint32_t swallow_bytes;  // left of a frame that is skipped
	size_t partial_charge;   // counted in reassembly_bytes for `partial`
	size_t reassembly_bytes; // of incomplete frames and messages, in whole blocks

	// output
	struct chain ready;    // encoded, whole frames, in order
	size_t control_bytes;  // of these, answers and other frames that no queue bounds
	struct list active;    // rs_stream.active: something queued may be sent
	size_t queued_bytes;   // on streams
	uint32_t queued_count; // messages on streams
	uint64_t pulled_bytes; // position: bytes that left through rs_output()

	// keepalive
	ns_t heard;        // when bytes last came in
	ns_t beat;         // when the next KEEPALIVE is due
	ns_t tick_due;     // what rs_tick() last returned
	uint64_t beat_end; // output position just behind our last KEEPALIVE
	uint32_t keepalive_ms, lifetime_ms;

	// limits, as in rs_config
	uint32_t fragment_bytes;
	uint32_t streams_max;
	size_t message_bytes_max;
	size_t reassembly_bytes_max;
	size_t stream_queue_bytes_max;
	size_t queue_bytes_max;
};
