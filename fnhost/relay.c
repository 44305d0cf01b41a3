// SPDX-License-Identifier: Apache-2.0
// Relays: see relay.h. The host's loop thread; pure but for the sessions it calls.
//
//   relay_init -> (waits) -> relay_start -> items, credit -> ended, by exactly one of: the end of `to`, CANCEL or
//   loss of `from`, relay_abort
#include "fnhost/relay.h"

void relay_init(struct relay *r, struct rs_stream *from, uint8_t type,
	void (*ended)(struct relay *r, enum relay_end how))
{
	*r = (struct relay){.from = from, .type = type, .ended = ended};
	if (from) {
		from->user = r;
		r->owed = rs_stream_credit(from);
	}
}

static void end(struct relay *r, enum relay_end how)
{
	r->from = NULL;
	r->to = NULL;
	r->ended(r, how);
}

// How much may be asked for now.
static uint32_t grant(struct relay *r)
{
	uint32_t room = r->outstanding < RELAY_ITEMS ? RELAY_ITEMS - r->outstanding : 0;
	uint32_t n = r->owed < room ? r->owed : room;

	if (r->from && rs_stream_queued_bytes(r->from) >= RELAY_BYTES)
		return 0;
	// What does not fit is passed on by halves of the window, not item by item.
	if (n < r->owed && r->outstanding > RELAY_ITEMS / 2)
		return 0;
	r->owed -= n;
	r->outstanding += n;
	return n;
}

int relay_start(struct relay *r, struct rs_session *to, struct rs_message *message)
{
	bool stream = r->type == RS_REQUEST_STREAM;
	int error;

	// A fire-and-forget goes on as a request, so that its end is known.
	r->to = rs_request(to, stream ? RS_REQUEST_STREAM : RS_REQUEST_RESPONSE,
		stream ? grant(r) : 0, message, r, &error);
	return r->to ? 0 : error;
}

static void grant_more(struct relay *r)
{
	uint32_t n = r->to && r->type == RS_REQUEST_STREAM ? grant(r) : 0;

	if (n)
		rs_request_n(r->to, n);
}

void relay_abort(struct relay *r, uint32_t code, const char *text)
{
	if (r->to) {
		r->cancelled = true;
		rs_cancel(r->to);
	}
	if (r->from)
		rs_error(r->from, code, text);
	end(r, RELAY_ABORTED);
}

void relay_on_payload(struct rs_stream *stream, struct rs_message *message, bool next, bool complete)
{
	struct relay *r = stream->user;
	int error = 0;

	if (next && r->outstanding)
		r->outstanding--;
	if (r->from)
		error = rs_payload(r->from, message, next, complete);
	if (error && complete) {
		rs_error(r->from, RS_ERROR_APPLICATION, "the reply found no room");
		end(r, RELAY_ERROR);
	} else if (error) {
		relay_abort(r, RS_ERROR_APPLICATION, "the stream found no room");
	} else if (complete) {
		end(r, RELAY_OK);
	} else {
		grant_more(r);
	}
}

static enum relay_end end_of_code(uint32_t code)
{
	switch (code) {
	case RS_ERROR_REJECTED:
		return RELAY_REJECTED;
	case RS_ERROR_CANCELED:
		return RELAY_CANCELED;
	case RS_ERROR_INVALID:
		return RELAY_INVALID;
	default:
		return RELAY_ERROR;
	}
}

void relay_on_error(struct rs_stream *stream, uint32_t code, struct chain *text)
{
	struct relay *r = stream->user;

	if (r->from)
		rs_error_relay(r->from, code, text);
	end(r, end_of_code(code));
}

void relay_on_request_n(struct rs_stream *stream, uint32_t n)
{
	struct relay *r = stream->user;

	if (!r)
		return;
	r->owed = n > RS_CREDIT_MAX - r->owed ? RS_CREDIT_MAX : r->owed + n;
	grant_more(r);
}

static void given_up(struct relay *r)
{
	if (r->to) {
		r->cancelled = true;
		rs_cancel(r->to);
	}
	end(r, RELAY_GIVEN_UP);
}

void relay_on_cancel(struct rs_stream *stream)
{
	if (stream->user)
		given_up(stream->user);
}

void relay_on_lost(struct rs_stream *stream, bool sent)
{
	struct relay *r = stream->user;

	if (!r)
		return;
	if (stream == r->from) {
		given_up(r);
		return;
	}
	if (r->from)
		rs_error(r->from, sent ? RS_ERROR_CANCELED : RS_ERROR_REJECTED,
			sent ? "lost with whom it had been sent to" : "never sent: the connection broke");
	end(r, sent ? RELAY_LOST : RELAY_REJECTED);
}

void relay_on_pulled(struct rs_stream *stream, size_t bytes)
{
	struct relay *r = stream->requester ? NULL : stream->user;

	if (r)
		grant_more(r);
}
