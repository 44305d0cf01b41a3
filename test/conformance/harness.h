// SPDX-License-Identifier: Apache-2.0
// One session under test and everything seen of it as text: the frames it sends, the events it
// reports. A test sends frames as the peer would and compares lines.
//
// A frame's line:  TYPE id [flags] [n=1|code=REJECTED|position=0|ttl=,count=] [m="..."] [d="..."]
// where m="" is empty metadata and no m none; flags are letters I M F C N R(esume, respond) L.
// An event's line: request RESPONSE 1 m="..." d="..." | payload 1 NC d="..." | error 1 REJECTED
// "..."
//                  request_n 1 5 | cancel 1 | lost 1 sent | push "..." | closed CONNECTION_ERROR
//                  "..."
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <string.h>

#include "lib/rsocket/internal.h"

#define STREAMS_SEEN 64

struct end {
	struct rs_session s;
	struct rs_handler handler;
	struct rs_config config;
	ns_t now;
	struct chain out; // pulled, not yet looked at
	char events[1 << 16];
	char sent[1 << 16];
	struct rs_stream *stream; // of the last request seen or made
	uint32_t setup_code;      // what on_setup answers
	unsigned wakes;
	uint8_t storage[1 << 22]; // where input lies; trashed after each rs_input
};

// A test's memory: one pool, and one session whose address never changes.
int end_setup(void **state);
int end_teardown(void **state); // fails if a stream, node or block leaks

// Initialised, nothing sent or received.
struct end *end_new(void **state, enum rs_role role);
// The same with changes of the configuration.
struct end *end_config(void **state, const struct rs_config *config);
// Established: a server got the usual SETUP, a client's SETUP was taken away.
struct end *server_of(void **state);
struct end *client_of(void **state);
// The usual SETUP arrives.
void send_setup(struct end *e);

// Bytes as hex, blanks ignored; they lie in one slice.
void send_hex(struct end *e, const char *hex);
void send_bytes(struct end *e, const void *bytes, size_t len);
// A frame; metadata and data are strings or NULL (M is set by metadata). value is n, code,
// position.
void send_frame(struct end *e, enum rs_type type, uint32_t stream, uint16_t flags, uint64_t value,
	const char *metadata, const char *data);
// The bytes of that frame with its length prefix; returns their number.
size_t frame_bytes(uint8_t *out, enum rs_type type, uint32_t stream, uint16_t flags, uint64_t value,
	const char *metadata, const char *data);

// Lines since the last call, each ended by "\n".
const char *sent(struct end *e);
const char *events(struct end *e);
// Output as it is, pulled; returns its length.
size_t sent_raw(struct end *e, void *out, size_t room);

#define expect_sent(e, text) assert_string_equal(sent(e), text)
#define expect_events(e, text) assert_string_equal(events(e), text)

// Messages of strings; metadata NULL: none.
struct rs_message message_of(const char *metadata, const char *data);
// A string of len letters, static until the next call of the same slot (0-3).
const char *letters(unsigned slot, size_t len);
// The user's calls with strings.
struct rs_stream *ask(struct end *e, enum rs_type type, uint32_t n, const char *data);
int answer(struct rs_stream *stream, const char *data, bool next, bool complete);

#define RULE(n) cmocka_unit_test_setup_teardown(rule_##n, end_setup, end_teardown)
#define CASE(f) cmocka_unit_test_setup_teardown(f, end_setup, end_teardown)
