// SPDX-License-Identifier: Apache-2.0
// See relay_world.h: what hosts do and other backends do not. They ask for their functions, and
// tell loads.
#include "test/unit/relay_world.h"

#include <string.h>

#include "lib/call/entry.h"
#include "lib/rsocket/metadata.h"

static struct rs_session *session_of(struct backend *b)
{
	for (unsigned i = 0; i < SERVED_MAX; i++)
		if (b->served[i].used && rs_session_established(&b->served[i].link.session))
			return &b->served[i].link.session;
	fail_msg("the gateway has no connection to this host");
	return NULL;
}

void host_ask(struct backend *b, struct ask *a, const char *function, uint32_t n,
	const struct call_entry *entry)
{
	struct rs_message message = {.has_metadata = true};
	uint8_t bytes[512];
	struct writer w = writer_of(bytes, sizeof(bytes));
	int error;

	rs_route_entry_write(&w, function, (uint8_t)strlen(function));
	if (entry) {
		rs_entry_write_name(&w, CALL_ENTRY_MIME, CALL_ENTRY_HEAD_BYTES);
		call_entry_write(&w, entry);
	}
	rs_entry_write_name(&w, "test/trace", 5);
	writer_bytes(&w, "trace", 5);
	assert_false(w.bad);
	assert_int_equal(chain_copy(&message.metadata, b->world->blocks, bytes,
				 (size_t)(w.at - bytes)),
		0);
	world_fill(&message.data, 100);
	a->asked = n;
	a->stream = rs_request(session_of(b), n ? RS_REQUEST_STREAM : RS_REQUEST_RESPONSE, n,
		&message, a, &error);
	assert_non_null(a->stream);
}

void host_push(struct backend *b, const void *data, size_t len)
{
	for (unsigned i = 0; i < SERVED_MAX; i++) {
		struct chain push = {0};

		if (!b->served[i].used)
			continue;
		assert_int_equal(chain_copy(&push, b->world->blocks, data, len), 0);
		assert_int_equal(rs_metadata_push(&b->served[i].link.session, &push), 0);
	}
}
