// SPDX-License-Identifier: Apache-2.0
// Calls: see call.h. Worker thread only; no allocation.
//
//   call_begin: route -> service -> target -> upstream stream
//      | refused: REJECTED or INVALID to the client, counted
//      v
//   running: items, errors and ends come from `upstream_*`; credits and cancels from `call_*`
//      v
//   finish: whichever side ends first ends the other; each call is counted once, in finish() or refuse()
//
// Invariant: while a call is running both streams' user is the call; neither pointer outlives it.

#include "dataplane/call.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/atomic.h"

static const struct {
	size_t counter;  // in relay_counters
} outcomes[CALL_OUTCOMES] = {
	[CALL_OK] = {offsetof(struct relay_counters, calls_ok)},
	[CALL_ERROR] = {offsetof(struct relay_counters, calls_error)},
	[CALL_REJECTED] = {offsetof(struct relay_counters, calls_rejected)},
	[CALL_CANCELED] = {offsetof(struct relay_counters, calls_canceled)},
	[CALL_INVALID] = {offsetof(struct relay_counters, calls_invalid)},
	[CALL_ABANDONED] = {offsetof(struct relay_counters, calls_abandoned)},
};

static void count(struct relay *r, size_t counter)
{
	counter_add((uint64_t *)(void *)((char *)&r->counters + counter), 1);
}

// The statistics of a service; a slot that was given to another service starts anew.
static struct relay_service *statistics(struct relay *r, const struct service *s)
{
	struct relay_service *rs = &r->services[s->slot];

	if (!rs->used || rs->generation != s->generation) {
		memset(rs, 0, sizeof(*rs));
		rs->generation = s->generation;
		rs->used = true;
	}
	return rs;
}

// Refusals

enum refusal {
	NO_ROUTE, NO_SERVICE, NO_TARGET, TARGETS_DOWN, CALLS_FULL, QUEUE_FULL, TOO_LARGE,
};

static const struct {
	size_t counter;
	uint32_t code;
	const char *text;  // %.*s is the route
} refusals[] = {
	[NO_ROUTE] = {offsetof(struct relay_counters, drop_no_route), RS_ERROR_INVALID,
		"the metadata names no function: send a routing tag (0x7E), in composite metadata or as "
		"the connection's metadata MIME type%.*s"},
	[NO_SERVICE] = {offsetof(struct relay_counters, drop_no_service), RS_ERROR_REJECTED,
		"no such function: %.*s"},
	[NO_TARGET] = {offsetof(struct relay_counters, drop_no_target), RS_ERROR_REJECTED,
		"no live instance of %.*s"},
	[TARGETS_DOWN] = {offsetof(struct relay_counters, drop_targets_down), RS_ERROR_REJECTED,
		"no backend of %.*s can be reached"},
	[CALLS_FULL] = {offsetof(struct relay_counters, drop_calls_full), RS_ERROR_REJECTED,
		"the gateway has too many calls in flight to take one of %.*s"},
	[QUEUE_FULL] = {offsetof(struct relay_counters, drop_queue_full), RS_ERROR_REJECTED,
		"the queue of %.*s is full"},
	[TOO_LARGE] = {offsetof(struct relay_counters, drop_too_large), RS_ERROR_REJECTED,
		"the message for %.*s is too large"},
};

static void refuse(struct relay *r, struct rs_stream *stream, const struct service *s,
	const struct rs_route *route, enum refusal why)
{
	enum call_outcome outcome = refusals[why].code == RS_ERROR_INVALID ? CALL_INVALID : CALL_REJECTED;
	char text[512];

	count(r, refusals[why].counter);
	count(r, outcomes[outcome].counter);
	if (s)
		counter_add(&statistics(r, s)->outcomes[outcome], 1);
	if (stream->type == RS_REQUEST_FNF)
		return;
	snprintf(text, sizeof(text), refusals[why].text, route->len, route->text);
	rs_error(stream, refusals[why].code, text);
}

static enum refusal refusal_of(int error)
{
	switch (error) {
	case -ENOENT:
		return NO_TARGET;
	case -EHOSTUNREACH:
	case -ESHUTDOWN:
		return TARGETS_DOWN;
	case -EMSGSIZE:
		return TOO_LARGE;
	default:
		return QUEUE_FULL;
	}
}

// The life of a call

static struct call *call_new(struct relay *r, const struct service *s, struct upstream *via)
{
	struct call *call = r->calls_free;

	if (call)
		r->calls_free = call->next_free;
	else if (r->calls_touched < CALLS_MAX)
		call = &r->calls_memory[r->calls_touched++];
	else
		return NULL;
	counter_add(&r->calls_in_flight, 1);
	*call = (struct call){.relay = r, .via = via, .slot = s->slot, .generation = s->generation,
		.started = *r->now};
	counter_add(&statistics(r, s)->in_flight, 1);
	upstream_call_begin(via);
	return call;
}

// Both streams have ended or never began.
static void call_free(struct call *call)
{
	struct relay *r = call->relay;
	struct relay_service *rs = &r->services[call->slot];

	upstream_call_end(call->via);
	if (rs->generation == call->generation)
		counter_add(&rs->in_flight, (uint64_t)-1);
	counter_add(&r->calls_in_flight, (uint64_t)-1);
	call->next_free = r->calls_free;
	r->calls_free = call;
}

static void finish(struct call *call, enum call_outcome outcome)
{
	struct relay *r = call->relay;
	struct relay_service *rs = &r->services[call->slot];

	count(r, outcomes[outcome].counter);
	if (rs->generation == call->generation) {
		counter_add(&rs->outcomes[outcome], 1);
		if (outcome == CALL_OK)
			hist_add(&rs->service_time_ns, (uint64_t)(*r->now - call->started));
	}
	call_free(call);
}

static uint32_t first_grant(struct call *call)
{
	uint32_t credit = call->client->type == RS_REQUEST_STREAM ? rs_stream_credit(call->client) : 1;

	call->outstanding = credit < STREAM_FIRST_ITEMS ? credit : STREAM_FIRST_ITEMS;
	call->wanted = credit - call->outstanding;
	call->low_water = call->outstanding / 2;
	return call->outstanding;
}

static int start(struct relay *r, const struct service *s, struct upstream *via,
	struct rs_stream *stream, struct rs_message *message)
{
	struct call *call;
	int error = 0;

	if (via->calls >= UPSTREAM_CALLS_MAX)
		return -ENOBUFS;
	call = call_new(r, s, via);
	if (!call)
		return -ENFILE;
	call->client = stream;
	call->upstream = rs_request(&via->link.session, (enum rs_type)stream->type, first_grant(call),
		message, call, &error);
	if (!call->upstream) {
		call_free(call);
		return error;
	}
	stream->user = call;
	return 0;
}

// A fire-and-forget ends when it is queued.
static int forward_fnf(
	struct relay *r, const struct service *s, struct upstream *via, struct rs_message *message)
{
	int rc = rs_fire_and_forget(&via->link.session, message);

	if (rc)
		return rc;
	count(r, outcomes[CALL_OK].counter);
	counter_add(&statistics(r, s)->outcomes[CALL_OK], 1);
	return 0;
}

void call_begin(struct rs_stream *stream, struct rs_message *message)
{
	struct client *client = client_of(stream->session);
	struct relay *r = client->relay;
	const struct service *s;
	struct upstream *via;
	struct rs_route route = {0};
	int rc;

	counter_add(&r->counters.calls, 1);
	if (rs_route_find(client->mime->kind, &message->metadata, &route)) {
		route.len = 0;
		refuse(r, stream, NULL, &route, NO_ROUTE);
		return;
	}
	s = table_find(r->table, route.text, route.len);
	if (!s) {
		refuse(r, stream, NULL, &route, NO_SERVICE);
		return;
	}
	rc = upstream_pick(r, s, client->mime, message->metadata.len + message->data.len, &via);
	if (rc == 0)
		rc = stream->type == RS_REQUEST_FNF ? forward_fnf(r, s, via, message)
						    : start(r, s, via, stream, message);
	if (rc)
		refuse(r, stream, s, &route, rc == -ENFILE ? CALLS_FULL : refusal_of(rc));
}

// From the client

// Passes credit on, as much as the stream's window has room for.
static void pass_credit(struct call *call)
{
	size_t used = rs_stream_queued_bytes(call->client) + (size_t)call->outstanding * call->item_bytes;
	size_t room = used < STREAM_WINDOW_BYTES ? STREAM_WINDOW_BYTES - used : 0;
	size_t items = room / (call->item_bytes ? call->item_bytes : STREAM_WINDOW_BYTES / STREAM_FIRST_ITEMS);
	uint32_t n;

	// An item larger than the window goes alone.
	if (items == 0 && call->outstanding == 0 && rs_stream_queued_bytes(call->client) == 0)
		items = 1;
	n = items < call->wanted ? (uint32_t)items : call->wanted;
	if (n == 0)
		return;
	call->wanted -= n;
	call->outstanding += n;
	call->low_water = call->outstanding / 2;
	rs_request_n(call->upstream, n);
}

void call_request_n(struct rs_stream *stream, uint32_t n)
{
	struct call *call = stream->user;

	if (!call)
		return;
	call->wanted = n < RS_CREDIT_MAX - call->wanted ? call->wanted + n : RS_CREDIT_MAX;
	pass_credit(call);
}

void call_pulled(struct rs_stream *stream, size_t bytes)
{
	struct call *call = stream->user;

	(void)bytes;
	if (call && call->wanted > 0 && call->outstanding <= call->low_water)
		pass_credit(call);
}

void call_cancel(struct rs_stream *stream)
{
	struct call *call = stream->user;

	if (!call)
		return;
	rs_cancel(call->upstream);
	finish(call, CALL_ABANDONED);
}

void call_lost(struct rs_stream *stream, bool sent)
{
	(void)sent;
	call_cancel(stream);
}

// From upstream

// The client's stream is told what went wrong, upstream's is cancelled.
static void fail(struct call *call, size_t counter, const char *text)
{
	count(call->relay, counter);
	rs_cancel(call->upstream);
	rs_error(call->client, RS_ERROR_CANCELED, text);
	finish(call, CALL_CANCELED);
}

static void upstream_response(struct call *call, struct rs_message *message)
{
	// Always with N: rsocket-js 0.0.27 waits for ever for a reply that is only complete.
	if (rs_payload(call->client, message, true, true) == 0) {
		finish(call, CALL_OK);
		return;
	}
	count(call->relay, offsetof(struct relay_counters, drop_reply));
	rs_error(call->client, RS_ERROR_CANCELED, "the reply did not fit into the queue of this connection");
	finish(call, CALL_CANCELED);
}

static void account_item(struct call *call, size_t bytes)
{
	uint32_t size = (uint32_t)(bytes + 64);  // what a queued item costs beside its bytes

	counter_add(&call->relay->counters.items, 1);
	if (call->item_at && call->outstanding > 0)
		upstream_late_item(call->via, *call->relay->now - call->item_at);
	call->item_at = *call->relay->now;
	if (call->outstanding > 0)
		call->outstanding--;
	call->item_bytes = call->item_bytes ? (call->item_bytes * 7 + size) / 8 : size;
}

static void upstream_payload(
	struct rs_stream *stream, struct rs_message *message, bool next, bool complete)
{
	struct call *call = stream->user;

	if (stream->type == RS_REQUEST_RESPONSE) {
		upstream_response(call, message);
		return;
	}
	if (next)
		account_item(call, message->metadata.len + message->data.len);
	if (rs_payload(call->client, message, next, complete)) {
		if (complete) {
			count(call->relay, offsetof(struct relay_counters, drop_overrun));
			rs_error(call->client, RS_ERROR_CANCELED, "the stream's queue is full");
			finish(call, CALL_CANCELED);
		} else {
			fail(call, offsetof(struct relay_counters, drop_overrun),
				"the backend sent more than was asked for");
		}
		return;
	}
	if (complete)
		finish(call, CALL_OK);
	else if (call->wanted > 0 && call->outstanding <= call->low_water)
		pass_credit(call);
}

static enum call_outcome outcome_of(uint32_t code)
{
	switch (code) {
	case RS_ERROR_REJECTED:
		return CALL_REJECTED;
	case RS_ERROR_CANCELED:
		return CALL_CANCELED;
	case RS_ERROR_INVALID:
		return CALL_INVALID;
	default:
		return CALL_ERROR;
	}
}

// Codes and texts of backends pass unchanged (rule 82).
static void upstream_error(struct rs_stream *stream, uint32_t code, struct chain *text)
{
	struct call *call = stream->user;

	rs_error_relay(call->client, code, text);
	finish(call, outcome_of(code));
}

// Rule 80: what was never sent is safe to try again, what was sent may have had effects.
static void upstream_lost(struct rs_stream *stream, bool sent)
{
	struct call *call = stream->user;

	if (sent) {
		rs_error(call->client, RS_ERROR_CANCELED, "the backend was lost during the call");
		finish(call, CALL_CANCELED);
	} else {
		count(call->relay, offsetof(struct relay_counters, drop_unsent));
		rs_error(call->client, RS_ERROR_REJECTED, "the backend was lost before the call was sent");
		finish(call, CALL_REJECTED);
	}
}

const struct rs_handler upstream_handler = {
	.wake = link_wake,
	.closed = link_ended,
	.payload = upstream_payload,
	.error = upstream_error,
	.lost = upstream_lost,
};
