// SPDX-License-Identifier: Apache-2.0
// dataplane/host_call: what a call to our hosts carries.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "dataplane/host_call.h"
#include "lib/rsocket/metadata.h"

static struct buf_pool *blocks;

static struct mime mime_of(const char *metadata, const char *data)
{
	struct mime mime = {.kind = rs_metadata_kind(metadata)};

	strcpy(mime.metadata, metadata);
	strcpy(mime.data, data);
	return mime;
}

static void put(struct rs_message *message, const struct writer *w, const uint8_t *bytes)
{
	assert_false(w->bad);
	assert_int_equal(chain_copy(&message->metadata, blocks, bytes, (size_t)(w->at - bytes)), 0);
	message->has_metadata = true;
}

static struct call_entry entry_of(const struct rs_message *message, uint8_t *bytes)
{
	struct rs_entry at;
	struct call_entry entry;

	assert_int_equal(rs_composite_find_name(&message->metadata, CALL_ENTRY_MIME, &at), 0);
	chain_read(&message->metadata, at.at, bytes, at.len);
	assert_int_equal(call_entry_read(&entry, bytes, at.len), 0);
	return entry;
}

static unsigned entries_of(const struct rs_message *message)
{
	struct rs_composite it = rs_composite_of(&message->metadata);
	struct rs_entry entry;
	unsigned count = 0;

	while (rs_composite_next(&it, &entry) == 1)
		count++;
	return count;
}

static void composite_keeps_its_entries(void **state)
{
	struct mime mime = mime_of(HOST_METADATA_MIME, "text/plain");
	struct host_call call = {.number = 42, .version = 3, .timeout_us = 1000, .class = 1};
	struct rs_message message = {0};
	struct call_entry entry;
	struct rs_route route;
	struct rs_mime data;
	uint8_t bytes[256], read[CALL_ENTRY_BYTES_MAX];
	struct writer w = writer_of(bytes, sizeof(bytes));

	rs_route_entry_write(&w, "imagery/tiles", 13);
	rs_entry_write_name(&w, "custom/trace", 3);
	writer_bytes(&w, "abc", 3);
	put(&message, &w, bytes);
	assert_int_equal(host_call_metadata(&message, &mime, &call, blocks), 0);
	assert_int_equal(entries_of(&message), 4);
	assert_int_equal(rs_route_find(RS_METADATA_COMPOSITE, &message.metadata, &route), 0);
	assert_string_equal(route.text, "imagery/tiles");
	assert_int_equal(rs_stream_mime_find(&message.metadata, &data), 0);
	assert_string_equal(data.name, "text/plain");
	entry = entry_of(&message, read);
	assert_int_equal(entry.id, 42);
	assert_int_equal(entry.left_us, 1000);
	assert_int_equal(entry.class, 1);
	assert_int_equal(call_tlv_u32(&entry, CALL_TLV_VERSION, 0), 3);
	rs_message_clear(&message);
}

static void plain_routing_is_wrapped(void **state)
{
	struct mime mime = mime_of("message/x.rsocket.routing.v0", "application/json");
	struct host_call call = {.number = 7};
	struct rs_message message = {0};
	struct rs_route route;
	uint8_t bytes[64], read[CALL_ENTRY_BYTES_MAX];
	struct writer w = writer_of(bytes, sizeof(bytes));

	rs_tag_write(&w, "echo", 4);
	rs_tag_write(&w, "second", 6);
	put(&message, &w, bytes);
	assert_int_equal(host_call_metadata(&message, &mime, &call, blocks), 0);
	assert_int_equal(rs_route_find(RS_METADATA_COMPOSITE, &message.metadata, &route), 0);
	assert_string_equal(route.text, "echo");
	assert_int_equal(entries_of(&message), 3);
	assert_int_equal(entry_of(&message, read).left_us, 0);
	rs_message_clear(&message);
}

// interfaces.md: clients may send the time left and the idempotent flag; all else is overwritten.
static void a_clients_call_entry_is_believed_in_part(void **state)
{
	struct mime mime = mime_of(HOST_METADATA_MIME, "text/plain");
	struct host_call call = {.number = 42, .timeout_us = 1000000};
	struct call_entry lie = {.flags = CALL_ENTRY_IDEMPOTENT | CALL_ENTRY_TIED | CALL_ENTRY_HEDGE,
		.attempt = 9, .class = 77, .left_us = 500, .id = 1, .instance = 5};
	struct rs_message message = {0};
	struct call_entry entry;
	uint8_t bytes[256], read[CALL_ENTRY_BYTES_MAX];
	struct writer w = writer_of(bytes, sizeof(bytes));

	rs_entry_write_name(&w, CALL_ENTRY_MIME, CALL_ENTRY_HEAD_BYTES);
	call_entry_write(&w, &lie);
	rs_route_entry_write(&w, "echo", 4);
	rs_mime_entry_write(&w, "image/png");
	put(&message, &w, bytes);
	assert_int_equal(host_call_metadata(&message, &mime, &call, blocks), 0);
	assert_int_equal(entries_of(&message), 3);
	entry = entry_of(&message, read);
	assert_int_equal(entry.flags, CALL_ENTRY_IDEMPOTENT);
	assert_int_equal(entry.left_us, 500);
	assert_int_equal(entry.id, 42);
	assert_int_equal(entry.class, 0);
	assert_int_equal(entry.attempt, 0);
	assert_int_equal(entry.instance, 0);
	rs_message_clear(&message);
}

static void malformed_composites_are_refused(void **state)
{
	struct mime mime = mime_of(HOST_METADATA_MIME, "text/plain");
	struct host_call call = {.number = 42};
	struct rs_message message = {0};
	uint8_t bytes[64];
	struct writer w = writer_of(bytes, sizeof(bytes));

	rs_route_entry_write(&w, "echo", 4);
	writer_bytes(&w, "\x05" "ab", 3);
	put(&message, &w, bytes);
	assert_int_equal(host_call_metadata(&message, &mime, &call, blocks), -EINVAL);
	rs_message_clear(&message);
}

static int start(void **state)
{
	blocks = buf_pool_new(4096, 0);
	return blocks ? 0 : -1;
}

static int end(void **state)
{
	assert_int_equal(buf_pool_bytes(blocks), 0);
	assert_int_equal(chain_nodes_in_use(), 0);
	buf_pool_destroy(blocks);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(composite_keeps_its_entries, start, end),
		cmocka_unit_test_setup_teardown(plain_routing_is_wrapped, start, end),
		cmocka_unit_test_setup_teardown(a_clients_call_entry_is_believed_in_part, start, end),
		cmocka_unit_test_setup_teardown(malformed_composites_are_refused, start, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
