// SPDX-License-Identifier: Apache-2.0
// Rules 23 to 43: SETUP and establishment; and what of lease and resume is refused so far.

#include "test/conformance/harness.h"

// Sends one SETUP or RESUME frame to a new server and expects it to be refused.
static void refused(void **state, const char *hex, const char *code, const char *text)
{
	struct end *e = end_new(state, RS_SERVER);
	char line[256];

	send_hex(e, hex);
	snprintf(line, sizeof(line), "closed %s \"%s\"\n", code, text);
	expect_events(e, line);
	snprintf(line, sizeof(line), "ERROR 0 %s d=\"%s\"\n", code, text);
	expect_sent(e, line);
	assert_true(rs_session_ended(&e->s));
	assert_false(rs_session_established(&e->s));
	send_setup(e); // too late
	expect_events(e, "");
	expect_sent(e, "");
	rs_session_fini(&e->s);
}

// A client's first frame is SETUP, and it leaves together with what follows.
static void rule_023(void **state)
{
	struct end *e = end_new(state, RS_CLIENT);

	assert_int_equal(e->wakes, 1);
	ask(e, RS_REQUEST_RESPONSE, 1, "at once");
	expect_sent(e, "SETUP 0 1.0 20000/90000 message/x.rsocket.routing.v0 text/plain\n"
		       "REQUEST_RESPONSE 1 d=\"at once\"\n");
}

// Anything else first, or SETUP on another stream: ERROR[INVALID_SETUP] and close.
static void rule_024(void **state)
{
	static const enum rs_type others[] = {RS_LEASE, RS_KEEPALIVE, RS_REQUEST_RESPONSE,
		RS_REQUEST_FNF, RS_REQUEST_STREAM, RS_REQUEST_CHANNEL, RS_REQUEST_N, RS_CANCEL,
		RS_PAYLOAD, RS_ERROR, RS_METADATA_PUSH, RS_RESUME_OK, RS_EXT};
	const char *text = "expected SETUP on stream 0";

	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		struct end *e = end_new(state, RS_SERVER);

		send_frame(e, others[i], 1, RS_FLAG_IGNORE, 1, NULL, NULL);
		expect_events(e, "closed INVALID_SETUP \"expected SETUP on stream 0\"\n");
		expect_sent(e, "ERROR 0 INVALID_SETUP d=\"expected SETUP on stream 0\"\n");
		rs_session_fini(&e->s);
	}
	refused(state, "00001a 00000001 0400 0001 0000 00004e20 00015f90 03 612f62 03 632f64",
		"INVALID_SETUP", text);
	// Another protocol is told before what would be a frame of 4 MB has come.
	refused(state, "474554 202f20485454502f312e310d0a0d", "INVALID_SETUP", text);
}

static void rule_025(void **state)
{
	refused(state, "00001a 00000000 0400 0001 0000 00000000 00015f90 03 612f62 03 632f64",
		"INVALID_SETUP", "keepalive interval and lifetime must not be 0");
}

static void rule_025_026_client(void **state)
{
	struct end *e = client_of(state);
	struct rs_session other;
	struct rs_config config = e->config;

	config.keepalive_ms = 0;
	assert_int_equal(rs_session_init(&other, &config, 0), -EINVAL);
	rs_session_fini(&other);
	config = e->config;
	config.lifetime_ms = 0;
	assert_int_equal(rs_session_init(&other, &config, 0), -EINVAL);
	config = e->config;
	config.data_mime = NULL;
	assert_int_equal(rs_session_init(&other, &config, 0), -EINVAL);
	config = e->config;
	config.fragment_bytes = 63; // rsocket-java refuses less than 64
	assert_int_equal(rs_session_init(&other, &config, 0), -EINVAL);
}

static void rule_026(void **state)
{
	refused(state, "00001a 00000000 0400 0001 0000 00004e20 00000000 03 612f62 03 632f64",
		"INVALID_SETUP", "keepalive interval and lifetime must not be 0");
}

// Token fields are there if and only if R is set.
static void rule_027(void **state)
{
	struct rs_setup_head setup;
	struct rs_frame f;
	struct chain frame = {0};
	static const uint8_t with[] =
		"\0\0\0\0\4\x80\0\1\0\0\0\0\x4e\x20\0\1\x5f\x90\0\3tok\3a/b\3c/dX";

	chain_push(&frame, NULL, with, sizeof(with) - 1);
	assert_int_equal(rs_frame_read(&f, with, sizeof(with) - 1), 0);
	assert_int_equal(rs_setup_read(&setup, &f, &frame), 0);
	assert_true(setup.has_token);
	assert_int_equal(setup.token_len, 3);
	assert_memory_equal(with + setup.token_at, "tok", 3);
	assert_string_equal(setup.metadata_mime, "a/b");
	assert_string_equal(setup.data_mime, "c/d");
	assert_int_equal(f.data_len, 1);
	// The same bytes without R: the token's length is now a MIME type's.
	f.flags &= (uint16_t)~RS_FLAG_RESUME;
	assert_int_equal(rs_setup_read(&setup, &f, &frame), 0);
	assert_false(setup.has_token);
	assert_string_equal(setup.metadata_mime, "");
	assert_string_equal(setup.data_mime, "tok");
	chain_clear(&frame);
}

// MIME strings carry no NUL.
static void rule_028(void **state)
{
	struct end *e =
		end_config(state, &(struct rs_config){.metadata_mime = "a/b", .data_mime = "c/d"});
	uint8_t raw[64];

	assert_int_equal(sent_raw(e, raw, sizeof(raw)), 29);
	assert_memory_equal(
		raw, "\0\0\x1a\0\0\0\0\4\0\0\1\0\0\0\0\x4e\x20\0\1\x5f\x90\3a/b\3c/d", 29);
	rs_session_fini(&e->s);
	refused(state, "00001a 00000000 0400 0001 0000 00004e20 00015f90 03 610062 03 632f64",
		"INVALID_SETUP", "malformed SETUP");
}

// MIME types are not interpreted: any are accepted, and metadata goes by unread.
static void rule_029(void **state)
{
	struct end *e = end_new(state, RS_SERVER);

	send_hex(e, "000018 00000000 0400 0001 0000 00004e20 00015f90 00 04 ff2f2121");
	expect_events(e, "setup 1.0 20000/90000  \xff/!!\n");
	send_frame(e, RS_REQUEST_RESPONSE, 1, 0, 0, "\xff\xff\xff", "x");
	expect_events(e, "request RESPONSE 1 m=\"...\" d=\"x\"\n");
	assert_true(rs_session_established(&e->s));
}

// R set and resume not supported: ERROR[REJECTED_SETUP].
static void rule_030(void **state)
{
	refused(state,
		"00001f 00000000 0480 0001 0000 00004e20 00015f90 0003 746f6b 03 612f62 03 632f64",
		"REJECTED_SETUP", "resume is not supported");
}

// L set is not accepted so far, so no LEASE has to be sent (rule 31).
static void rule_032_lease(void **state)
{
	refused(state, "00001a 00000000 0440 0001 0000 00004e20 00015f90 03 612f62 03 632f64",
		"UNSUPPORTED_SETUP", "lease is not supported");
}

// The user refuses: its code, then close.
static void rule_032(void **state)
{
	static const uint32_t codes[] = {
		RS_ERROR_INVALID_SETUP, RS_ERROR_UNSUPPORTED_SETUP, RS_ERROR_REJECTED_SETUP};

	for (unsigned i = 0; i < 3; i++) {
		struct end *e = end_new(state, RS_SERVER);
		char line[128];

		e->setup_code = codes[i];
		send_setup(e);
		snprintf(line, sizeof(line), "setup 1.0 20000/90000 a/b c/d\nclosed %s \"no\"\n",
			rs_error_name(codes[i]));
		expect_events(e, line);
		snprintf(line, sizeof(line), "ERROR 0 %s d=\"no\"\n", rs_error_name(codes[i]));
		expect_sent(e, line);
		rs_session_fini(&e->s);
	}
}

// A code that is none of SETUP's would not be understood as a refusal.
static void rule_032_other_code(void **state)
{
	struct end *e = end_new(state, RS_SERVER);

	e->setup_code = RS_ERROR_APPLICATION;
	send_setup(e);
	expect_sent(e, "ERROR 0 REJECTED_SETUP d=\"no\"\n");
}

// Other versions are not accepted.
static void rule_033(void **state)
{
	refused(state, "00001a 00000000 0400 0002 0000 00004e20 00015f90 03 612f62 03 632f64",
		"UNSUPPORTED_SETUP", "only version 1.0 is supported");
	refused(state, "00001a 00000000 0400 0001 0001 00004e20 00015f90 03 612f62 03 632f64",
		"UNSUPPORTED_SETUP", "only version 1.0 is supported");
	refused(state, "00001a 00000000 0400 0000 0002 00004e20 00015f90 03 612f62 03 632f64",
		"UNSUPPORTED_SETUP", "only version 1.0 is supported");
}

// A second SETUP is ignored.
static void rule_034(void **state)
{
	struct end *e = server_of(state);

	send_frame(e, RS_REQUEST_RESPONSE, 1, 0, 0, NULL, "x");
	send_hex(e, "00001a 00000000 0400 0002 0000 00000001 00000001 03 612f62 03 632f64");
	expect_events(e, "request RESPONSE 1 d=\"x\"\n");
	answer(e->stream, "y", true, true);
	expect_sent(e, "PAYLOAD 1 NC d=\"y\"\n");
	assert_int_equal(e->s.keepalive_ms, 20000);
}

// A client ignores SETUP.
static void rule_035(void **state)
{
	struct end *e = client_of(state);

	send_setup(e);
	expect_events(e, "");
	expect_sent(e, "");
	assert_false(rs_session_ended(&e->s));
}

// Requests may follow SETUP in the same segment.
static void rule_036(void **state)
{
	struct end *e = end_new(state, RS_SERVER);

	send_hex(e, "00001a 00000000 0400 0001 0000 00004e20 00015f90 03 612f62 03 632f64"
		    "000007 00000001 1000 61  000007 00000003 1400 62");
	expect_events(e, "setup 1.0 20000/90000 a/b c/d\nrequest RESPONSE 1 d=\"a\"\n"
			 "request FNF 3 d=\"b\"\n");
}

// SETUP carries metadata and data, both ways.
static void setup_payload(void **state)
{
	struct rs_message message = message_of("token", "hello");
	struct end *e = end_config(state, &(struct rs_config){.setup = &message});
	uint8_t raw[256];
	size_t len;

	assert_true(chain_empty(&message.data));
	len = sent_raw(e, raw, sizeof(raw));
	rs_session_fini(&e->s);
	e = end_new(state, RS_SERVER);
	send_bytes(e, raw, len);
	expect_events(e, "setup 1.0 20000/90000 message/x.rsocket.routing.v0 text/plain"
			 " m=\"token\" d=\"hello\"\n");
}

// A SETUP beyond reason is refused from its head.
static void setup_too_large(void **state)
{
	struct end *e = end_new(state, RS_SERVER);

	send_hex(e, "ffffff 00000000 0400 0001 0000 00004e20 00015f90");
	expect_events(e, "closed INVALID_SETUP \"SETUP is too large\"\n");
}

// A server asks only after SETUP; then at once.
static void rule_038_without_lease(void **state)
{
	struct end *e = end_new(state, RS_SERVER);
	struct rs_message message = message_of(NULL, "x");
	int error = 0;

	assert_null(rs_request(&e->s, RS_REQUEST_RESPONSE, 1, &message, NULL, &error));
	assert_int_equal(error, -ESHUTDOWN);
	send_setup(e);
	ask(e, RS_REQUEST_RESPONSE, 1, "x");
	expect_sent(e, "REQUEST_RESPONSE 2 d=\"x\"\n");
}

// Nothing is answered before establishment: a refused SETUP's requests are not even reported.
static void rule_040(void **state)
{
	struct end *e = end_new(state, RS_SERVER);

	e->setup_code = RS_ERROR_REJECTED_SETUP;
	send_hex(e, "00001a 00000000 0400 0001 0000 00004e20 00015f90 03 612f62 03 632f64"
		    "000007 00000001 1000 61");
	expect_events(e, "setup 1.0 20000/90000 a/b c/d\nclosed REJECTED_SETUP \"no\"\n");
	expect_sent(e, "ERROR 0 REJECTED_SETUP d=\"no\"\n");
}

// A client takes any other frame for acceptance and ERROR for refusal; what it asked was not looked
// at.
static void rule_041(void **state)
{
	static const uint32_t codes[] = {RS_ERROR_INVALID_SETUP, RS_ERROR_UNSUPPORTED_SETUP,
		RS_ERROR_REJECTED_SETUP, RS_ERROR_REJECTED_RESUME};

	for (unsigned i = 0; i < 4; i++) {
		struct end *e = client_of(state);
		char line[128];

		ask(e, RS_REQUEST_RESPONSE, 1, "x");
		sent(e);
		send_frame(e, RS_ERROR, 0, 0, codes[i], NULL, "go away");
		snprintf(line, sizeof(line), "lost 1 unsent\nclosed %s \"go away\"\n",
			rs_error_name(codes[i]));
		expect_events(e, line);
		expect_sent(e, "");
		rs_session_fini(&e->s);
	}
}

// A server ignores the errors of SETUP and RESUME.
static void rule_042(void **state)
{
	struct end *e = server_of(state);

	for (uint32_t code = RS_ERROR_INVALID_SETUP; code <= RS_ERROR_REJECTED_RESUME; code++)
		send_frame(e, RS_ERROR, 0, 0, code, NULL, "?");
	expect_events(e, "");
	assert_false(rs_session_ended(&e->s));
}

// A client ignores them once it is established, by any frame that shows it.
static void rule_043(void **state)
{
	struct end *e = client_of(state);

	send_frame(e, RS_KEEPALIVE, 0, 0, 0, NULL, NULL);
	for (uint32_t code = RS_ERROR_INVALID_SETUP; code <= RS_ERROR_REJECTED_RESUME; code++)
		send_frame(e, RS_ERROR, 0, 0, code, NULL, "?");
	expect_events(e, "");
	assert_false(rs_session_ended(&e->s));
	rs_session_fini(&e->s);
	e = client_of(state);
	ask(e, RS_REQUEST_RESPONSE, 1, "x");
	sent(e);
	send_frame(e, RS_ERROR, 1, 0, RS_ERROR_APPLICATION, NULL, "accepted, though");
	send_frame(e, RS_ERROR, 0, 0, RS_ERROR_REJECTED_SETUP, NULL, "?");
	expect_events(e, "error 1 APPLICATION_ERROR \"accepted, though\"\n");
}

// An unasked LEASE changes nothing (rule 69 has its absence).
static void lease_ignored(void **state)
{
	struct end *e = client_of(state);

	send_hex(e, "00000e 00000000 0800 00000000 00000000");
	ask(e, RS_REQUEST_RESPONSE, 1, "x");
	expect_sent(e, "REQUEST_RESPONSE 1 d=\"x\"\n");
	expect_events(e, "");
}

// RESUME is not supported.
static void rule_099(void **state)
{
	refused(state,
		"00001f 00000000 3400 0001 0000 0003 746f6b 0000000000000000 0000000000000000",
		"REJECTED_RESUME", "resume is not supported");
}

// RESUME on a connection in use: ERROR[CONNECTION_ERROR].
static void rule_102(void **state)
{
	struct end *e = server_of(state);

	send_hex(e, "00001f 00000000 3400 0001 0000 0003 746f6b 0000000000000000 0000000000000000");
	expect_events(e, "closed CONNECTION_ERROR \"RESUME on a connection in use\"\n");
	expect_sent(e, "ERROR 0 CONNECTION_ERROR d=\"RESUME on a connection in use\"\n");
}

static void resume_codec(void **state)
{
	static const uint8_t raw[] =
		"\0\0\0\0\x34\0\0\1\0\0\0\3tok\0\0\0\0\0\0\0\5\0\0\0\0\0\0\1\2";
	struct rs_resume_head resume;
	struct rs_frame f;
	struct chain frame = {0};
	uint8_t out[64];
	struct writer w = writer_of(out, sizeof(out));

	for (size_t len = 0; len <= sizeof(raw) - 1; len++) {
		chain_push(&frame, NULL, raw, (uint32_t)len);
		if (rs_frame_read(&f, raw, len) == 0)
			assert_int_equal(rs_resume_read(&resume, &f, &frame),
				len == sizeof(raw) - 1 ? 0 : -EPROTO);
		chain_clear(&frame);
	}
	assert_int_equal(resume.major, 1);
	assert_int_equal(resume.token_len, 3);
	assert_int_equal(resume.server_position, 5);
	assert_int_equal(resume.client_position, 0x102);
	resume.token = raw + resume.token_at;
	rs_resume_write(&w, &resume, &f);
	assert_false(w.bad);
	assert_int_equal(w.at - out, sizeof(raw) - 1);
	assert_memory_equal(out, raw, sizeof(raw) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RULE(023),
		RULE(024),
		RULE(025),
		RULE(025_026_client),
		RULE(026),
		RULE(027),
		RULE(028),
		RULE(029),
		RULE(030),
		RULE(032),
		RULE(032_lease),
		RULE(032_other_code),
		RULE(033),
		RULE(034),
		RULE(035),
		RULE(036),
		CASE(setup_payload),
		CASE(setup_too_large),
		RULE(038_without_lease),
		RULE(040),
		RULE(041),
		RULE(042),
		RULE(043),
		CASE(lease_ignored),
		RULE(099),
		RULE(102),
		CASE(resume_codec),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
