// SPDX-License-Identifier: Apache-2.0
// What frames do: the table of all types, and the frames of the connection itself. A server takes
// nothing but SETUP or RESUME first (rule 23).

#include "lib/rsocket/internal.h"

typedef void on_frame(struct rs_session *s, struct rs_frame *f, const struct rs_body *body);

static bool setup_code(uint32_t code)
{
	return code >= RS_ERROR_INVALID_SETUP && code <= RS_ERROR_REJECTED_RESUME;
}

static void on_unknown(struct rs_session *s, struct rs_frame *f, const struct rs_body *body)
{
	if (!(f->flags & RS_FLAG_IGNORE)) // rules 7, 8
		rs_session_close(s, RS_ERROR_CONNECTION, "frame type not understood");
}

static void on_setup(struct rs_session *s, struct rs_frame *f, const struct rs_body *body)
{
	// A second one, or one to a client: ignored (rules 34, 35).
}

static void on_resume(struct rs_session *s, struct rs_frame *f, const struct rs_body *body)
{
	rs_session_close(s, RS_ERROR_CONNECTION, "RESUME on a connection in use"); // rule 102
}

static void on_lease(struct rs_session *s, struct rs_frame *f, const struct rs_body *body)
{
	// Never negotiated here, so it limits nothing (rule 69).
}

static void on_keepalive(struct rs_session *s, struct rs_frame *f, const struct rs_body *body)
{
	struct rs_frame reply = {.type = RS_KEEPALIVE, .data_len = f->data_len}; // rules 47, 48
	struct rs_message message;

	if (f->stream || !(f->flags & RS_FLAG_RESPOND)) // rules 44, 47
		return;
	rs_body_message(body, f, &message);
	rs_ready_control(s, &reply, &message.data); // rule 46
	rs_message_clear(&message);
}

static void on_metadata_push(struct rs_session *s, struct rs_frame *f, const struct rs_body *body)
{
	struct rs_message message;

	if (f->stream || !(f->flags & RS_FLAG_METADATA) || !s->handler->metadata_push)
		return; // rules 74, 109
	rs_body_message(body, f, &message);
	s->handler->metadata_push(s, &message.metadata);
	rs_message_clear(&message);
}

static void on_connection_error(
	struct rs_session *s, const struct rs_frame *f, const struct rs_body *body)
{
	struct rs_message message = {0};
	char why[256] = "";

	if (setup_code(f->code) && (s->role == RS_SERVER || s->confirmed)) // rules 42, 43
		return;
	if (f->code == RS_ERROR_CONNECTION_CLOSE) {
		s->peer_closing = true; // rule 79
		if (s->streams_count == 0)
			rs_session_close_due(s, RS_CLOSE_PEER);
		return;
	}
	if (body)
		rs_body_message(body, f, &message);
	chain_read(&message.data, 0, why, sizeof(why) - 1);
	rs_message_clear(&message);
	rs_session_end(s, f->code, why, RS_END_DROP); // rule 78
}

static void on_error(struct rs_session *s, struct rs_frame *f, const struct rs_body *body)
{
	if (f->stream)
		rs_on_stream_error(s, f, body);
	else
		on_connection_error(s, f, body);
}

static on_frame *const on_type[64] = {
	[RS_SETUP] = on_setup,
	[RS_LEASE] = on_lease,
	[RS_KEEPALIVE] = on_keepalive,
	[RS_REQUEST_RESPONSE] = rs_on_request,
	[RS_REQUEST_FNF] = rs_on_request,
	[RS_REQUEST_STREAM] = rs_on_request,
	[RS_REQUEST_CHANNEL] = rs_on_request,
	[RS_REQUEST_N] = rs_on_request_n,
	[RS_CANCEL] = rs_on_cancel,
	[RS_PAYLOAD] = rs_on_payload,
	[RS_ERROR] = on_error,
	[RS_METADATA_PUSH] = on_metadata_push,
	[RS_RESUME] = on_resume,
};

static uint32_t check_setup(
	const struct rs_setup_head *setup, const struct rs_frame *f, const char **why)
{
	if (setup->keepalive_ms == 0 || setup->lifetime_ms == 0) { // rules 25, 26
		*why = "keepalive interval and lifetime must not be 0";
		return RS_ERROR_INVALID_SETUP;
	}
	if (setup->major != RS_VERSION_MAJOR || setup->minor != RS_VERSION_MINOR) { // rule 33
		*why = "only version 1.0 is supported";
		return RS_ERROR_UNSUPPORTED_SETUP;
	}
	if (setup->has_token) { // rule 30
		*why = "resume is not supported";
		return RS_ERROR_REJECTED_SETUP;
	}
	if (f->flags & RS_FLAG_LEASE) {
		*why = "lease is not supported";
		return RS_ERROR_UNSUPPORTED_SETUP;
	}
	return 0;
}

// Asks the user. 0 or the code to refuse with.
static uint32_t ask_setup(struct rs_session *s, const struct rs_setup_head *head,
	const struct rs_frame *f, const struct rs_body *body, const char **why)
{
	struct rs_setup setup = {
		.major = head->major,
		.minor = head->minor,
		.keepalive_ms = head->keepalive_ms,
		.lifetime_ms = head->lifetime_ms,
		.lease = f->flags & RS_FLAG_LEASE,
		.resume = head->has_token,
		.metadata_mime = head->metadata_mime,
		.data_mime = head->data_mime,
	};
	uint32_t code;

	if (!s->handler->setup)
		return 0;
	rs_body_message(body, f, &setup.message);
	code = s->handler->setup(s, &setup, why);
	rs_message_clear(&setup.message);
	return code == 0 || setup_code(code) ? code : RS_ERROR_REJECTED_SETUP;
}

static void first_setup(struct rs_session *s, struct rs_frame *f, const struct rs_body *body)
{
	struct chain frame = {0};
	struct rs_setup_head head;
	const char *why = "malformed SETUP";
	uint32_t code = RS_ERROR_INVALID_SETUP;

	if (f->data_len > RS_SETUP_BYTES_MAX) {
		rs_session_close(s, RS_ERROR_INVALID_SETUP, "SETUP is too large");
		return;
	}
	if (body->data)
		chain_push(&frame, body->buf, body->data, f->head_len + f->data_len);
	if (!rs_setup_read(&head, f, body->data ? &frame : body->chain))
		code = check_setup(&head, f, &why);
	chain_clear(&frame);
	if (!code) {
		why = "refused";
		code = ask_setup(s, &head, f, body, &why);
	}
	if (s->state == RS_SESSION_ENDED)
		return;
	if (code) {
		rs_session_close(s, code, why); // rule 32
		return;
	}
	s->keepalive_ms = head.keepalive_ms;
	s->lifetime_ms = head.lifetime_ms;
	s->state = RS_SESSION_OPEN;
}

static void first_frame(struct rs_session *s, struct rs_frame *f, const struct rs_body *body)
{
	if (f->type == RS_SETUP && f->stream == 0)
		first_setup(s, f, body);
	else if (f->type == RS_RESUME)
		rs_session_close(s, RS_ERROR_REJECTED_RESUME, "resume is not supported"); // rule 99
	else
		rs_session_close(
			s, RS_ERROR_INVALID_SETUP, "expected SETUP on stream 0"); // rule 24
}

void rs_frame_input(struct rs_session *s, struct rs_frame *f, const struct rs_body *body)
{
	on_frame *on = on_type[f->type];

	if (s->state == RS_SESSION_SETUP) {
		first_frame(s, f, body);
		return;
	}
	if (!s->confirmed && (f->type != RS_ERROR || f->stream)) // rule 41
		s->confirmed = true;
	if (on)
		on(s, f, body);
	else
		on_unknown(s, f, body);
}

void rs_frame_malformed(struct rs_session *s, const struct rs_frame *f)
{
	if (s->state == RS_SESSION_SETUP)
		rs_session_close(
			s, RS_ERROR_INVALID_SETUP, "expected SETUP on stream 0"); // rule 24
	else if (!(f->flags & RS_FLAG_IGNORE))
		rs_session_close(s, RS_ERROR_CONNECTION, "malformed frame"); // rules 10, 12
}

static void refuse_setup(struct rs_session *s, const struct rs_frame *f, int error)
{
	if (f->type == RS_SETUP && error == -EMSGSIZE)
		rs_session_close(s, RS_ERROR_INVALID_SETUP, "SETUP is too large");
	else if (f->type == RS_SETUP)
		rs_session_close(s, RS_ERROR_REJECTED_SETUP, "out of memory");
	else
		first_frame(s, &(struct rs_frame){.type = f->type}, NULL);
}

void rs_frame_refuse(struct rs_session *s, struct rs_frame *f, int error)
{
	if (s->state == RS_SESSION_SETUP) {
		refuse_setup(s, f, error);
		return;
	}
	switch (f->type) {
	case RS_REQUEST_RESPONSE:
	case RS_REQUEST_FNF:
	case RS_REQUEST_STREAM:
	case RS_REQUEST_CHANNEL:
	case RS_PAYLOAD:
		rs_stream_refuse(s, f, error);
		break;
	case RS_KEEPALIVE:
		// The reply would have to carry the same data (rule 46).
		if (f->flags & RS_FLAG_RESPOND)
			rs_session_close(s, RS_ERROR_CONNECTION, "KEEPALIVE is too large");
		break;
	case RS_METADATA_PUSH:
		break;
	default:
		// Whatever is in the head is enough for the others; their text is lost.
		f->data_len = f->metadata_len = 0;
		rs_frame_input(s, f, NULL);
	}
}
