// SPDX-License-Identifier: Apache-2.0
// Calls: see call.h. Worker thread only; no allocation.
//
//   call_begin: route -> service -> target -> upstream stream
//      | refused: REJECTED or INVALID to the client, counted
//      v
//   running: items, errors and ends come from `upstream_*`; credits and cancels from `call_*`
//      v
//   finish: whichever side ends first ends the other; each call is counted once, in finish() or
//   refuse()
//
// A host's streams may be on either side, even of one call; `requester` tells which.
//
// Invariant: while a call is running both streams' user is the call; neither pointer outlives it.

#include "dataplane/call.h"

#include <errno.h>
#include <string.h>

#include "dataplane/host_call.h"
#include "dataplane/refusal.h"
#include "lib/base/atomic.h"

#define COUNTER(name) offsetof(struct relay_counters, name)
// A service's estimate falls by this fraction of the difference to a smaller item: slower than a
// stream's, since what it is wrong about is not known before the first item has come.
#define ITEM_DECAY 64u

static const size_t outcomes[CALL_OUTCOMES] = {
	[CALL_OK] = COUNTER(calls_ok),
	[CALL_ERROR] = COUNTER(calls_error),
	[CALL_REJECTED] = COUNTER(calls_rejected),
	[CALL_CANCELED] = COUNTER(calls_canceled),
	[CALL_INVALID] = COUNTER(calls_invalid),
	[CALL_ABANDONED] = COUNTER(calls_abandoned),
};

static void count(struct relay *r, size_t counter)
{
	counter_add((uint64_t *)(void *)((char *)&r->counters + counter), 1);
}

// The statistics of a service; a slot that was given to another service starts anew.
static struct relay_service *statistics(struct relay *r, const struct service *s)
{
	struct relay_service *rs = &r->services[s->slot];

	if (rs->generation == s->generation)
		return rs;
	// Nobody reads them while their generation is none's.
	__atomic_store_n(&rs->generation, 0, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	memset(rs, 0, sizeof(*rs));
	__atomic_store_n(&rs->generation, s->generation, __ATOMIC_RELEASE);
	return rs;
}

static void refuse(struct relay *r, struct rs_stream *stream, const struct service *s,
	const struct rs_route *route, enum refusal why)
{
	char text[REFUSAL_TEXT_MAX];
	uint32_t code = refusal_make(why, &r->counters, route, text);
	enum call_outcome outcome = code == RS_ERROR_INVALID ? CALL_INVALID : CALL_REJECTED;

	count(r, outcomes[outcome]);
	if (s)
		counter_add(&statistics(r, s)->outcomes[outcome], 1);
	if (stream->type != RS_REQUEST_FNF) // rule 64
		rs_error(stream, code, text);
}

// The life of a call

static struct call *call_new(struct relay *r, const struct service *s, struct caller *from,
	struct upstream *via, struct rs_stream *stream)
{
	struct call *call = r->calls_free;

	if (call)
		r->calls_free = call->next_free;
	else if (r->calls_touched < CALLS_MAX)
		call = &r->calls_memory[r->calls_touched++];
	else
		return NULL;
	counter_add(&r->calls_in_flight, 1);
	*call = (struct call){.relay = r,
		.from = from,
		.client = stream,
		.via = via,
		.slot = s->slot,
		.generation = s->generation,
		.started = *r->now,
		.streaming = stream->type == RS_REQUEST_STREAM};
	call->from->streaming += call->streaming;
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
	call->from->streaming -= call->streaming;
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

	count(r, outcomes[outcome]);
	if (rs->generation == call->generation) {
		counter_add(&rs->outcomes[outcome], 1);
		if (outcome == CALL_OK)
			hist_add(&rs->service_time_ns, (uint64_t)(*r->now - call->started));
	}
	call_free(call);
}

// What a stream may have queued or on its way: all streams of a client share.
static size_t window_of(const struct call *call)
{
	size_t share = CLIENT_WINDOW_BYTES / call->from->streaming;

	return share < STREAM_WINDOW_BYTES ? share : STREAM_WINDOW_BYTES;
}

static uint32_t first_grant(struct call *call)
{
	const struct relay_service *rs = &call->relay->services[call->slot];

	if (!call->streaming)
		return 1;
	return ledger_open(
		&call->ledger, rs_stream_credit(call->client), rs->item_bytes, window_of(call));
}

static int start(struct relay *r, const struct service *s, struct caller *from,
	struct upstream *via, struct rs_stream *stream, struct rs_message *message)
{
	struct call *call;
	int error = 0;

	if (via->calls >= UPSTREAM_CALLS_MAX)
		return -ENOBUFS;
	call = call_new(r, s, from, via, stream);
	if (!call)
		return -ENFILE;
	call->upstream = rs_request(&via->link.session, (enum rs_type)stream->type,
		first_grant(call), message, call, &error);
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
	count(r, outcomes[CALL_OK]);
	counter_add(&statistics(r, s)->outcomes[CALL_OK], 1);
	return 0;
}

// A call to one of our hosts tells it more than the client said. 0, -EBADMSG (malformed metadata),
// -ELOOP, -ENOBUFS.
static int address_host(struct relay *r, const struct service *s, uint32_t index,
	const struct caller *from, struct rs_message *message)
{
	struct host_call call = {
		.number = r->call_ids++,
		.inherits = from->host,
		.version = s->versions[index],
		.timeout_us = s->timeout_ms < UINT32_MAX / 1000 ? s->timeout_ms * 1000 : UINT32_MAX,
		.class = s->class,
		.idempotent = s->idempotent,
	};
	int rc = host_call_metadata(message, from->mime, &call, r->blocks);

	return rc == -EINVAL ? -EBADMSG : rc;
}

static int forward(struct relay *r, const struct service *s, struct caller *from,
	struct rs_stream *stream, struct rs_message *message)
{
	struct mime *mime = s->hosts ? r->host_mime : from->mime;
	struct upstream *via;
	uint32_t index;
	int rc = upstream_pick(
		r, s, mime, message->metadata.len + message->data.len, &via, &index);

	if (rc == 0 && s->hosts)
		rc = address_host(r, s, index, from, message);
	if (rc)
		return rc;
	return stream->type == RS_REQUEST_FNF ? forward_fnf(r, s, via, message)
					      : start(r, s, from, via, stream, message);
}

// A route that is not known from an earlier call. NULL: the call was refused.
static const struct service *find_service(struct relay *r, const struct caller *from,
	struct rs_stream *stream, const struct chain *metadata, struct rs_route *route)
{
	enum rs_metadata_kind kind = from->mime->kind;
	uint64_t version = table_version(r->table);
	const struct service *s;

	if (rs_route_find(kind, metadata, route)) {
		*route = (struct rs_route){0};
		refuse(r, stream, NULL, route, REFUSE_NO_ROUTE);
		return NULL;
	}
	s = table_find(r->table, route->text, route->len);
	if (!s)
		refuse(r, stream, NULL, route, REFUSE_NO_SERVICE);
	else if (!from->host) // no two entries of functions are the same: each tells the time left
		route_memo_keep(&r->routes, version, kind, metadata, route, s);
	return s;
}

static struct caller *host_caller(struct rs_stream *stream, struct relay **r)
{
	struct upstream *u = upstream_of(stream->session);

	*r = u->relay;
	counter_add(&u->relay->counters.calls_nested, 1);
	u->used = *u->relay->now;
	return &u->caller;
}

// Whoever has dialled asks with odd ids: clients us, we hosts.
static struct caller *caller_of(struct rs_stream *stream, struct relay **r)
{
	struct client *client;

	if (stream->id % 2 == 0)
		return host_caller(stream, r);
	client = client_of(stream->session);
	*r = client->relay;
	return &client->caller;
}

void call_begin(struct rs_stream *stream, struct rs_message *message)
{
	struct relay *r;
	struct caller *from = caller_of(stream, &r);
	const struct route_memo_entry *known;
	const struct service *s;
	struct rs_route route;
	int rc;

	counter_add(&r->counters.calls, 1);
	known = route_memo_find(&r->routes, r->table, from->mime->kind, &message->metadata);
	s = known ? known->service
		  : find_service(r, from, stream, &message->metadata, &route);
	if (!s)
		return;
	rc = forward(r, s, from, stream, message);
	if (!rc)
		return;
	if (known)
		route_memo_route(known, &route);
	refuse(r, stream, s, &route, refusal_of(rc));
}

// From the client

// Passes credit on, as much as the stream's window has room for.
static void pass_credit(struct call *call)
{
	uint32_t n =
		ledger_pass(&call->ledger, rs_stream_queued_cost(call->client), window_of(call));

	if (n > 0)
		rs_request_n(call->upstream, n);
}

void call_request_n(struct rs_stream *stream, uint32_t n)
{
	struct call *call = stream->user;

	if (!call)
		return;
	ledger_grant(&call->ledger, n);
	pass_credit(call);
}

void call_pulled(struct rs_stream *stream, size_t bytes)
{
	struct call *call = stream->user;

	(void)bytes;
	if (call && ledger_due(&call->ledger))
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
	count(call->relay, COUNTER(drop_reply));
	rs_error(call->client, RS_ERROR_CANCELED,
		"the reply did not fit into the queue of this connection");
	finish(call, CALL_CANCELED);
}

// The next stream of the service begins with what its items are like now.
static void learn_item_size(struct call *call, uint32_t bytes)
{
	struct relay_service *rs = &call->relay->services[call->slot];

	if (rs->generation != call->generation)
		return;
	if (bytes >= rs->item_bytes)
		rs->item_bytes = bytes;
	else
		rs->item_bytes -= (rs->item_bytes - bytes) / ITEM_DECAY;
}

static void account_item(struct call *call, const struct rs_message *message)
{
	struct ledger *l = &call->ledger;
	size_t bytes = message->metadata.len + message->data.len + RS_QUEUED_OVERHEAD_BYTES;

	counter_add(&call->relay->counters.items, 1);
	if (call->item_at && l->outstanding > 0)
		upstream_late_item(call->via, *call->relay->now - call->item_at);
	call->item_at = *call->relay->now;
	ledger_arrived(l, bytes);
	learn_item_size(call, (uint32_t)bytes);
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
		account_item(call, message);
	if (rs_payload(call->client, message, next, complete)) {
		if (complete) {
			count(call->relay, COUNTER(drop_overrun));
			rs_error(call->client, RS_ERROR_CANCELED, "the stream's queue is full");
			finish(call, CALL_CANCELED);
		} else {
			fail(call, COUNTER(drop_overrun),
				"the backend sent more than was asked for");
		}
		return;
	}
	if (complete)
		finish(call, CALL_OK);
	else if (ledger_due(&call->ledger))
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
		count(call->relay, COUNTER(drop_unsent));
		rs_error(call->client, RS_ERROR_REJECTED,
			"the backend was lost before the call was sent");
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

// Hosts, which ask, too

static void host_lost(struct rs_stream *stream, bool sent)
{
	if (stream->requester)
		upstream_lost(stream, sent);
	else
		call_lost(stream, sent);
}

static void host_pulled(struct rs_stream *stream, size_t bytes)
{
	if (!stream->requester)
		call_pulled(stream, bytes);
}

const struct rs_handler host_handler = {
	.wake = link_wake,
	.closed = link_ended,
	.payload = upstream_payload,
	.error = upstream_error,
	.request = call_begin,
	.request_n = call_request_n,
	.cancel = call_cancel,
	.lost = host_lost,
	.pulled = host_pulled,
	.metadata_push = upstream_told,
};
