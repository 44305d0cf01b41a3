// SPDX-License-Identifier: Apache-2.0
// Calls of gateways to functions of this host. Loop's thread.
//
//   begin -> rejected at once
//         -> waiting in the function's queue --pull--> running: relayed to an instance -> ended
//                |  deadline: REJECTED                       |  deadline: CANCEL and ERROR[CANCELED]
//                '- cancel, gateway lost: forgotten          '- cancel, gateway lost: CANCEL
//
// A call that waits keeps a copy of its request: references would hold the ring's receive buffers.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fnhost/host.h"
#include "fnhost/instances.h"
#include "fnhost/relay.h"
#include "lib/call/entry.h"
#include "lib/rsocket/metadata.h"

#define DEADLINE_SLACK (2 * NS_PER_MS)

struct call {
	struct relay relay;
	struct fn_item item;
	struct list all; // or free
	struct timer timer;
	struct host *host;
	struct fn *fn;
	struct instance *instance; // NULL while it waits
	struct rs_message message; // while it waits
	struct call_entry entry;   // without TLVs
	enum rs_metadata_kind kind;
	ns_t started;
	ns_t deadline;
};

static struct call *call_new(struct host *h)
{
	struct list *at = list_first(&h->free_calls);
	struct call *call = at ? list_entry(at, struct call, all) : NULL;

	if (h->calls_count >= HOST_CALLS_MAX)
		return NULL;
	if (call)
		list_del(&call->all);
	else
		call = malloc(sizeof(*call));
	if (!call)
		return NULL;
	*call = (struct call){.host = h, .deadline = NS_NEVER};
	list_push(&h->calls, &call->all);
	h->calls_count++;
	return call;
}

static void call_free(struct call *call)
{
	struct host *h = call->host;

	timer_cancel(loop_timers(h->loop), &call->timer);
	rs_message_clear(&call->message);
	fn_put(&h->functions, call->fn);
	list_del(&call->all);
	list_push_first(&h->free_calls, &call->all);
	h->calls_count--;
}

// A function that looks at its deadline may give up a moment before our timer does.
static bool at_deadline(const struct call *call, enum relay_end how)
{
	return how == RELAY_CANCELED && call->deadline != NS_NEVER &&
	       call->deadline - loop_now(call->host->loop) < DEADLINE_SLACK;
}

static void ended(struct relay *relay, enum relay_end how)
{
	static const enum fn_outcome outcomes[] = {
		[RELAY_OK] = FN_OK,
		[RELAY_ERROR] = FN_ERROR,
		[RELAY_REJECTED] = FN_REJECTED,
		[RELAY_INVALID] = FN_INVALID,
		[RELAY_CANCELED] = FN_CANCELED,
		[RELAY_LOST] = FN_CANCELED,
		[RELAY_GIVEN_UP] = FN_CANCELED,
		[RELAY_ABORTED] = FN_TIMEOUT,
	};
	struct call *call = container_of(relay, struct call, relay);
	struct host *h = call->host;
	struct instance *instance = call->instance;

	if (at_deadline(call, how)) {
		h->counts.calls_deadline_running++;
		call->fn->outcomes[FN_TIMEOUT]++;
	} else {
		call->fn->outcomes[outcomes[how]]++;
	}
	if (how == RELAY_LOST) {
		h->counts.calls_lost_with_instance++;
		instance->calls_lost++;
	}
	if (how == RELAY_OK)
		hist_add(&call->fn->service_time_ns, (uint64_t)(loop_now(h->loop) - call->started));
	if (instance)
		instance_call_ended(instance, relay->cancelled);
	else
		fn_leave(&h->functions, call->fn, &call->item);
	call_free(call);
	if (instance)
		calls_pull(h, instance);
	server_load_changed(h);
}

// Refusals before there is a call

static void refuse(struct rs_stream *stream, uint64_t *counter, uint32_t code, const char *what,
	const char *which)
{
	char text[320];

	(*counter)++;
	if (stream->type == RS_REQUEST_FNF)
		return;
	snprintf(text, sizeof(text), "%s%s%s", what, *which ? ": " : "", which);
	rs_error(stream, code, text);
}

static int read_entry(struct call_entry *entry, const struct chain *metadata, uint8_t *bytes)
{
	struct rs_entry at;
	int error = rs_composite_find_name(metadata, CALL_ENTRY_MIME, &at);

	*entry = (struct call_entry){0};
	if (error)
		return error == -ENOENT ? 0 : error;
	if (at.len > CALL_ENTRY_BYTES_MAX)
		return -EINVAL;
	chain_read(metadata, at.at, bytes, at.len);
	return call_entry_read(entry, bytes, at.len);
}

// The request as the instance gets it

static int append(struct host *h, struct chain *out, const struct writer *w, const uint8_t *bytes)
{
	struct chain plain = {0};
	int error;

	chain_push(&plain, NULL, bytes, (uint32_t)(w->at - bytes));
	error = arena_copy(&h->arena, out, &plain);
	chain_clear(&plain);
	return error;
}

static int append_entry(struct call *call, struct chain *out, ns_t now)
{
	uint8_t bytes[128];
	struct writer w = writer_of(bytes, sizeof(bytes));
	bool event = call->relay.type == RS_REQUEST_FNF;

	call->entry.left_us = call_left_us(call->deadline, now);
	rs_entry_write_name(&w, CALL_ENTRY_MIME, CALL_ENTRY_HEAD_BYTES + (event ? 2 : 0));
	call_entry_write(&w, &call->entry);
	if (event)
		call_tlv_write(&w, CALL_TLV_EVENT, NULL, 0);
	return append(call->host, out, &w, bytes);
}

// All entries as they came, but for the one that is stamped anew.
static void share_others(struct chain *out, const struct chain *in)
{
	struct rs_composite it = rs_composite_of(in);
	struct rs_entry entry;
	size_t from = 0;

	while (rs_composite_next(&it, &entry) == 1) {
		if (strcmp(entry.mime.name, CALL_ENTRY_MIME) != 0)
			chain_share(out, in, from, it.at - from);
		from = it.at;
	}
}

static int wrap_routing(struct host *h, struct chain *out, const struct chain *in)
{
	uint8_t bytes[8];
	struct writer w = writer_of(bytes, sizeof(bytes));
	int error;

	rs_entry_write(&w, RS_MIME_ROUTING, (uint32_t)in->len);
	error = append(h, out, &w, bytes);
	chain_share(out, in, 0, in->len);
	return error;
}

static int make_request(struct call *call, struct rs_message *message, ns_t now)
{
	struct chain metadata = {0};
	int error = 0;

	if (call->kind == RS_METADATA_ROUTING)
		error = wrap_routing(call->host, &metadata, &message->metadata);
	else
		share_others(&metadata, &message->metadata);
	if (!error)
		error = append_entry(call, &metadata, now);
	chain_clear(&message->metadata);
	chain_append(&message->metadata, &metadata);
	message->has_metadata = true;
	return error;
}

// The member's place is taken already.
static void start(struct call *call, struct fn_member *member, struct rs_message *message)
{
	struct host *h = call->host;
	struct instance *instance = container_of(member, struct instance, member);
	ns_t now = loop_now(h->loop);
	int error = make_request(call, message, now);

	call->instance = instance;
	call->started = now;
	if (!error)
		error = relay_start(&call->relay, &instance->link.session, message);
	rs_message_clear(message);
	if (error) {
		h->counts.calls_no_memory++;
		if (call->relay.from)
			rs_error(call->relay.from, RS_ERROR_REJECTED, "the host is out of room");
		call->relay.from = NULL;
		ended(&call->relay, RELAY_REJECTED);
	}
}

static int copy_chain(struct host *h, struct chain *to, const struct chain *from)
{
	return from->len <= WAITING_COPY_BYTES ? arena_copy(&h->arena, to, from)
					       : chain_copy_chain(to, h->blocks, from);
}

static int keep_request(struct call *call, const struct rs_message *message)
{
	int error = copy_chain(call->host, &call->message.metadata, &message->metadata);

	if (!error)
		error = copy_chain(call->host, &call->message.data, &message->data);
	call->message.has_metadata = message->has_metadata;
	return error;
}

static void on_deadline(struct timer *timer, ns_t now)
{
	struct call *call = container_of(timer, struct call, timer);
	struct host *h = call->host;

	if (call->instance) {
		h->counts.calls_deadline_running++;
		relay_abort(&call->relay, RS_ERROR_CANCELED, "deadline: it passed while the function ran");
	} else {
		h->counts.calls_deadline_waiting++;
		relay_abort(&call->relay, RS_ERROR_REJECTED, "deadline: it passed in the queue");
	}
}

static void set_deadline(struct call *call, ns_t now)
{
	uint32_t timeout_ms = call->fn->timeout_ms;

	call->deadline = call_deadline(call->entry.left_us, now);
	if (timeout_ms && call->deadline - now > timeout_ms * NS_PER_MS)
		call->deadline = now + timeout_ms * NS_PER_MS;
	call->timer.fire = on_deadline;
	if (call->deadline != NS_NEVER)
		timer_arm(loop_timers(call->host->loop), &call->timer, call->deadline);
}

static void drop(struct call *call, uint64_t *counter, const char *why)
{
	call->fn->outcomes[FN_REJECTED]++;
	if (call->relay.from)
		refuse(call->relay.from, counter, RS_ERROR_REJECTED, why, call->fn->name);
	else
		(*counter)++;
	call_free(call);
}

static void submit(struct call *call, struct rs_message *message, ns_t now)
{
	struct host *h = call->host;
	struct fn_member *member;
	size_t bytes = message->metadata.len + message->data.len;

	enum fn_verdict verdict;

	// An instance whose connection has just broken is noticed here.
	while ((verdict = fn_submit(&h->functions, call->fn, &call->item, bytes, now, &member)) ==
			FN_RUN &&
		!instance_usable(container_of(member, struct instance, member)))
		fn_end(&h->functions, member, false);
	switch (verdict) {
	case FN_RUN:
		start(call, member, message);
		break;
	case FN_WAIT:
		if (keep_request(call, message)) {
			fn_leave(&h->functions, call->fn, &call->item);
			drop(call, &h->counts.calls_no_memory, "the host is out of memory");
		}
		break;
	case FN_NO_INSTANCE:
		drop(call, &h->counts.calls_no_instance, "no live instance");
		break;
	case FN_FULL:
		drop(call, &h->counts.calls_queue_full, "queue full");
		break;
	}
	server_load_changed(h);
}

void calls_begin(struct host *h, enum rs_metadata_kind kind, struct rs_stream *stream,
	struct rs_message *message)
{
	uint8_t bytes[CALL_ENTRY_BYTES_MAX];
	ns_t now = loop_now(h->loop);
	struct call_entry entry = {0};
	struct rs_route route;
	struct call *call;
	struct fn *fn;

	h->counts.calls++;
	if (rs_route_find(kind, &message->metadata, &route) ||
		(kind == RS_METADATA_COMPOSITE && read_entry(&entry, &message->metadata, bytes))) {
		refuse(stream, &h->counts.calls_invalid, RS_ERROR_INVALID,
			"routing or call metadata is missing or malformed", "");
		return;
	}
	fn = h->draining ? NULL
			 : fn_find(&h->functions, route.text, call_tlv_u32(&entry, CALL_TLV_VERSION, 0));
	if (!fn) {
		refuse(stream,
			h->draining ? &h->counts.calls_draining : &h->counts.calls_no_function,
			RS_ERROR_REJECTED, h->draining ? "draining" : "no such function here", route.text);
		return;
	}
	call = call_new(h);
	if (!call) {
		fn->outcomes[FN_REJECTED]++;
		refuse(stream, &h->counts.calls_too_many, RS_ERROR_REJECTED, "too many calls", "");
		return;
	}
	call->fn = fn;
	fn->refs++;
	call->kind = kind;
	call->entry = entry;
	call->entry.tlvs_len = 0;
	// A fire-and-forget's stream is gone after this callback.
	relay_init(&call->relay, stream->type == RS_REQUEST_FNF ? NULL : stream, stream->type, ended);
	set_deadline(call, now);
	submit(call, message, now);
}

void calls_pull(struct host *h, struct instance *instance)
{
	struct fn_item *item;

	if (!fn_member_ready(&instance->member) || !instance_usable(instance))
		return;
	while ((item = fn_pull(&h->functions, &instance->member, loop_now(h->loop)))) {
		struct call *call = container_of(item, struct call, item);
		struct rs_message message = {.has_metadata = call->message.has_metadata};

		chain_append(&message.metadata, &call->message.metadata);
		chain_append(&message.data, &call->message.data);
		start(call, &instance->member, &message);
	}
}

void calls_reject_waiting(struct host *h, struct fn *fn)
{
	struct fn_item *item;

	while ((item = fn_waiting(fn))) {
		struct call *call = container_of(item, struct call, item);

		fn_leave(&h->functions, fn, item);
		drop(call, &h->counts.calls_no_instance, "no live instance");
	}
}

void calls_init(struct host *h)
{
	list_init(&h->calls);
	list_init(&h->free_calls);
}

void calls_fini(struct host *h)
{
	assert(list_empty(&h->calls) && "gateways and instances were closed first");
	while (!list_empty(&h->free_calls)) {
		struct call *call = list_entry(h->free_calls.next, struct call, all);

		list_del(&call->all);
		free(call);
	}
}
