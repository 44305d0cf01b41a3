// SPDX-License-Identifier: Apache-2.0
// A relay joins two streams: `from`, on which somebody asks us, and `to`, on which we ask in his place.
// Items, credit, cancels, ends and losses pass between them. The user of both streams is the relay.
//
// Credit passes as it comes, but no more than RELAY_ITEMS are asked for ahead, and nothing while RELAY_BYTES wait
// for the asker: so a slow one fills no memory.
#pragma once

#include "lib/rsocket/session.h"

#define RELAY_ITEMS 1024u
#define RELAY_BYTES ((size_t)256 << 10)

enum relay_end {
	RELAY_OK,
	RELAY_ERROR,    // an application's code
	RELAY_REJECTED, // by `to`
	RELAY_INVALID,
	RELAY_CANCELED, // by `to`
	RELAY_LOST,     // `to` was lost
	RELAY_GIVEN_UP, // by `from`, or `from` was lost
	RELAY_ABORTED,  // relay_abort()
};

struct relay {
	struct rs_stream *from; // NULL: a fire-and-forget
	struct rs_stream *to;   // NULL: not yet
	uint8_t type;           // of from's request
	bool cancelled;         // we have cancelled `to`
	uint32_t owed;          // granted by `from`, not passed on yet
	uint32_t outstanding;   // passed on, not arrived
	// The last event; streams are NULL. The relay may be freed.
	void (*ended)(struct relay *r, enum relay_end how);
};

// from: NULL for a fire-and-forget.
void relay_init(struct relay *r, struct rs_stream *from, uint8_t type,
	void (*ended)(struct relay *r, enum relay_end how));
// Asks. The message is taken. 0 or -E... of rs_request() (then `ended` was not called).
int relay_start(struct relay *r, struct rs_session *to, struct rs_message *message);
// Ends both sides: CANCEL to `to`, ERROR to `from`; `ended` follows from within.
void relay_abort(struct relay *r, uint32_t code, const char *text);

// For the handlers of the sessions on both sides.
void relay_on_payload(struct rs_stream *stream, struct rs_message *message, bool next, bool complete);
void relay_on_error(struct rs_stream *stream, uint32_t code, struct chain *text);
void relay_on_request_n(struct rs_stream *stream, uint32_t n);
void relay_on_cancel(struct rs_stream *stream);
void relay_on_lost(struct rs_stream *stream, bool sent);
void relay_on_pulled(struct rs_stream *stream, size_t bytes);
