// SPDX-License-Identifier: Apache-2.0
// Calls on the host's connection: requests become jobs, what handlers post goes out. Loop's thread.
//
//   on_request -> job queued -> worker ... OP_END -> answer, freed
//      on_cancel, on_lost: not begun: freed; else the stream is cut off and the job counts as `held`
//
// The host must know how many handlers run whose calls it has given up: it sends a METADATA_PUSH with a token
// behind its CANCELs (u8 1, u32 token), and we answer with the token and the number held (u8 1, u32
// token, u32 held), again whenever one ends. So both agree, whatever crossed on the way.
#include "fnhost/sdk/service.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/call/entry.h"
#include "lib/rsocket/metadata.h"

#define SYNC_PUSH 1

static struct service *service_of(struct rs_session *s)
{
	return s->user;
}

// Storage from malloc as a buf.
struct heap_buf {
	struct buf buf;
	void *data;
};

static void heap_release(struct buf *buf)
{
	struct heap_buf *heap = container_of(buf, struct heap_buf, buf);

	free(heap->data);
	free(heap);
}

// Takes data. 0 or -ENOMEM.
static int push_heap(struct chain *out, void *data, size_t len)
{
	struct heap_buf *heap = data ? malloc(sizeof(*heap)) : NULL;

	if (!heap) {
		free(data);
		return data ? -ENOMEM : 0;
	}
	heap->data = data;
	buf_init(&heap->buf, data, (uint32_t)len, heap_release, NULL);
	chain_push(out, &heap->buf, data, (uint32_t)len);
	buf_unref(&heap->buf);
	return 0;
}

static void *flat(const struct chain *chain)
{
	char *copy = malloc(chain->len + 1);

	if (copy) {
		chain_read(chain, 0, copy, chain->len);
		copy[chain->len] = 0;
	}
	return copy;
}

static void sync_push(struct service *s)
{
	uint8_t bytes[9];
	struct writer w = writer_of(bytes, sizeof(bytes));
	struct chain push = {0};

	if (s->conn.fd < 0 || !s->conn.set_up || s->conn.ended)
		return;
	writer_u8(&w, SYNC_PUSH);
	writer_u32(&w, s->sync_token);
	writer_u32(&w, s->held);
	if (chain_copy(&push, s->blocks, bytes, sizeof(bytes)) == 0)
		rs_metadata_push(&s->conn.session, &push);
}

static void on_metadata_push(struct rs_session *session, struct chain *metadata)
{
	struct service *s = service_of(session);
	uint8_t bytes[5];
	struct reader r = reader_of(bytes, chain_read(metadata, 0, bytes, sizeof(bytes)));

	if (reader_u8(&r) != SYNC_PUSH)
		return;
	s->sync_token = reader_u32(&r);
	sync_push(s);
}

// Requests

static void job_free(struct job *job)
{
	list_del(&job->all);
	job->service->jobs_count--;
	pthread_cond_destroy(&job->cond);
	pn_context_fini(&job->ctx);
	free(job);
}

static void read_mime(struct job *job, const struct chain *metadata)
{
	struct rs_mime mime;

	if (rs_stream_mime_find(metadata, &mime) == 0)
		memcpy(job->ctx.mime, mime.name, sizeof(job->ctx.mime));
}

static void read_tracing(struct job *job, const struct chain *metadata)
{
	struct rs_entry entry;

	if (rs_composite_find(metadata, RS_MIME_TRACING, &entry) || entry.len > TRACING_MAX)
		return;
	job->tracing_len = (uint32_t)chain_read(metadata, entry.at, job->tracing, entry.len);
}

static void read_call_entry(struct job *job, const struct chain *metadata)
{
	uint8_t bytes[CALL_ENTRY_BYTES_MAX];
	struct call_entry call;
	struct rs_entry entry;
	struct call_tlv tlv;

	if (rs_composite_find_name(metadata, CALL_ENTRY_MIME, &entry) ||
		entry.len > sizeof(bytes))
		return;
	chain_read(metadata, entry.at, bytes, entry.len);
	if (call_entry_read(&call, bytes, entry.len))
		return;
	job->ctx.id = call.id;
	job->ctx.deadline = call_deadline(call.left_us, clock_now());
	if (job->ctx.kind == PN_CALL && call_tlv_find(&call, CALL_TLV_EVENT, &tlv))
		job->ctx.kind = PN_EVENT;
}

static struct job *job_new(struct service *s, struct rs_stream *stream, struct rs_message *message)
{
	struct job *job = calloc(1, sizeof(*job));
	pthread_condattr_t attr;

	if (!job)
		return NULL;
	pn_context_init(&job->ctx, &service_backend,
		stream->type == RS_REQUEST_STREAM ? PN_STREAM
		: stream->type == RS_REQUEST_FNF  ? PN_EVENT
						  : PN_CALL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&job->cond, &attr);
	pthread_condattr_destroy(&attr);
	job->service = s;
	list_push(&s->jobs, &job->all);
	s->jobs_count++;
	job->ctx.data = flat(&message->data);
	job->ctx.len = message->data.len;
	if (!job->ctx.data) {
		job_free(job);
		return NULL;
	}
	read_mime(job, &message->metadata);
	read_tracing(job, &message->metadata);
	read_call_entry(job, &message->metadata);
	return job;
}

static void on_request(struct rs_stream *stream, struct rs_message *message)
{
	struct service *s = service_of(stream->session);
	bool full = s->jobs_count >= s->concurrency + JOBS_SPARE;
	struct job *job = full || s->draining ? NULL : job_new(s, stream, message);

	if (!job) {
		if (stream->type != RS_REQUEST_FNF)
			rs_error(stream, RS_ERROR_REJECTED,
				s->draining ? "draining" : "the instance is full");
		return;
	}
	// A fire-and-forget's stream ends with this callback.
	if (stream->type != RS_REQUEST_FNF) {
		job->stream = stream;
		stream->user = job;
		job->credit = rs_stream_credit(stream);
	} else {
		s->held++;
	}
	work_queue(s, job);
}

static void on_request_n(struct rs_stream *stream, uint32_t n)
{
	struct job *job = stream->user;

	if (!job)
		return;
	pthread_mutex_lock(&job->service->lock);
	job->credit = n > RS_CREDIT_MAX - job->credit ? RS_CREDIT_MAX : job->credit + n;
	pthread_cond_signal(&job->cond);
	pthread_mutex_unlock(&job->service->lock);
}

static void note_queued(struct job *job, struct rs_stream *stream, size_t taken)
{
	pthread_mutex_lock(&job->service->lock);
	job->op_bytes -= taken;
	job->stream_bytes = rs_stream_queued_bytes(stream);
	pthread_cond_signal(&job->cond);
	pthread_mutex_unlock(&job->service->lock);
}

static void on_pulled(struct rs_stream *stream, size_t bytes)
{
	struct job *job = stream->requester ? NULL : stream->user;

	if (job)
		note_queued(job, stream, 0);
}

static void give_up(struct job *job)
{
	struct service *s = job->service;

	job->stream = NULL;
	if (work_unqueue(s, job)) {
		job_free(job);
		return;
	}
	s->held++;
	work_cancel(s, job);
}

static void on_cancel(struct rs_stream *stream)
{
	if (stream->user)
		give_up(stream->user);
}

// Answers to calls of handlers

static void over(struct pn_outgoing *out, uint32_t code, void *data, size_t len)
{
	struct job *job = container_of(out->ctx, struct job, ctx);

	pthread_mutex_lock(&job->service->lock);
	pn_outgoing_over(out, code, data, len);
	pthread_cond_broadcast(&job->cond);
	pthread_mutex_unlock(&job->service->lock);
}

static void over_text(struct pn_outgoing *out, uint32_t code, const char *text)
{
	over(out, code, pn_copy(text, strlen(text)), strlen(text));
}

static void on_payload(struct rs_stream *stream, struct rs_message *message, bool next, bool complete)
{
	if (stream->user)
		over(stream->user, 0, flat(&message->data), message->data.len);
}

static void on_error(struct rs_stream *stream, uint32_t code, struct chain *text)
{
	if (stream->user)
		over(stream->user, code, flat(text), text->len);
}

static void on_lost(struct rs_stream *stream, bool sent)
{
	if (!stream->user)
		return;
	if (stream->requester)
		over_text(stream->user, sent ? RS_ERROR_CANCELED : RS_ERROR_REJECTED,
			"the host's connection was lost");
	else
		give_up(stream->user);
}

// What handlers post

static void op_item(struct op *op)
{
	struct job *job = op->job;
	struct rs_message message = {0};
	int error;

	if (!job->stream) {
		free(op->data);
		return;
	}
	error = push_heap(&message.data, op->data, op->len);
	if (!error)
		error = rs_payload(job->stream, &message, true, false);
	// It waited for credit and room, so this is memory: better an error than a hole in the stream.
	if (error) {
		rs_error(job->stream, RS_ERROR_APPLICATION, "an item found no memory");
		job->stream->user = NULL;
		give_up(job);
		return;
	}
	note_queued(job, job->stream, op->len);
}

static void write_entries(struct writer *w, const struct job *job, const struct pn_outgoing *out)
{
	const struct call_entry call = {
		.left_us = call_left_us(job->ctx.deadline, clock_now()), .id = job->ctx.id};

	rs_route_entry_write(w, out->function, (uint8_t)strlen(out->function));
	rs_entry_write_name(w, CALL_ENTRY_MIME, CALL_ENTRY_HEAD_BYTES);
	call_entry_write(w, &call);
	if (job->tracing_len) {
		rs_entry_write(w, RS_MIME_TRACING, job->tracing_len);
		writer_bytes(w, job->tracing, job->tracing_len);
	}
}

static void op_call(struct service *s, struct op *op)
{
	struct pn_outgoing *out = op->out;
	struct rs_message message = {.has_metadata = true};
	uint8_t bytes[PN_FUNCTION_MAX + TRACING_MAX + 128];
	struct writer w = writer_of(bytes, sizeof(bytes));
	int error;

	if (s->conn.fd < 0 || !s->conn.set_up || s->conn.ended) {
		over_text(out, RS_ERROR_REJECTED, "the host is away");
		return;
	}
	write_entries(&w, op->job, out);
	error = chain_copy(&message.metadata, s->blocks, bytes, (size_t)(w.at - bytes));
	if (!error)
		error = push_heap(&message.data, out->data, out->len);
	else
		free(out->data);
	out->data = NULL;
	if (!error)
		out->stream = rs_request(
			&s->conn.session, RS_REQUEST_RESPONSE, 0, &message, out, &error);
	rs_message_clear(&message);
	if (error)
		over_text(out, RS_ERROR_REJECTED, "the call found no room");
}

static void answer(struct job *job)
{
	struct pn_context *ctx = &job->ctx;
	struct rs_message message = {0};
	int error;

	if (ctx->code) {
		rs_error(job->stream, ctx->code, ctx->text);
		return;
	}
	error = push_heap(&message.data, ctx->reply, ctx->reply_len);
	ctx->reply = NULL;
	if (!error)
		error = rs_payload(job->stream, &message, ctx->kind != PN_STREAM, true);
	if (error)
		rs_error(job->stream, RS_ERROR_APPLICATION, "the reply found no room");
}

static void op_end(struct service *s, struct op *op)
{
	struct job *job = op->job;

	list_for_each (at, &job->ctx.outgoing) {
		struct pn_outgoing *out = list_entry(at, struct pn_outgoing, link);

		if (out->stream)
			rs_cancel(out->stream);
	}
	if (job->stream) {
		job->stream->user = NULL;
		answer(job);
	} else {
		s->held--;
		sync_push(s);
	}
	job_free(job);
}

void service_ops(struct service *s)
{
	struct list ops;

	list_init(&ops);
	pthread_mutex_lock(&s->lock);
	while (!list_empty(&s->outbox)) {
		struct list *first = s->outbox.next;

		list_del(first);
		list_push(&ops, first);
	}
	pthread_mutex_unlock(&s->lock);
	while (!list_empty(&ops)) {
		struct op *op = list_entry(ops.next, struct op, link);

		list_del(&op->link);
		if (op->kind == OP_ITEM)
			op_item(op);
		else if (op->kind == OP_CALL)
			op_call(s, op);
		else
			op_end(s, op);
		free(op);
	}
}

static void on_wake(struct rs_session *session)
{
	// The loop looks for output after everything it does.
}

static uint32_t on_setup(struct rs_session *session, struct rs_setup *setup, const char **why)
{
	if (rs_metadata_kind(setup->metadata_mime) != RS_METADATA_COMPOSITE) {
		*why = "a function host speaks composite metadata";
		return RS_ERROR_UNSUPPORTED_SETUP;
	}
	service_of(session)->conn.set_up = true;
	return 0;
}

static void on_closed(struct rs_session *session, uint32_t code, const char *why)
{
	service_of(session)->conn.ended = true;
}

const struct rs_handler service_handler = {
	.wake = on_wake,
	.setup = on_setup,
	.request = on_request,
	.request_n = on_request_n,
	.cancel = on_cancel,
	.lost = on_lost,
	.pulled = on_pulled,
	.payload = on_payload,
	.error = on_error,
	.metadata_push = on_metadata_push,
	.closed = on_closed,
};
