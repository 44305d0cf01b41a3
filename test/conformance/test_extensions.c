// SPDX-License-Identifier: Apache-2.0
// Rules 109 to 115: METADATA_PUSH, EXT, composite metadata, routing, MIME types, authentication.

#include "lib/rsocket/metadata.h"
#include "test/conformance/harness.h"

static uint8_t bytes[4096];
static struct writer out;
static struct chain chain;

// Starts a piece of metadata, and gives it as a chain cut into slices of `step` bytes.
static void begin(void)
{
	out = writer_of(bytes, sizeof(bytes));
}

static const struct chain *written(size_t step)
{
	static struct buf cells[sizeof(bytes)];
	size_t len = sizeof(bytes) - writer_left(&out);

	assert_false(out.bad);
	chain_clear(&chain);
	for (size_t at = 0; at < len; at += step) {
		buf_init(&cells[at], bytes, sizeof(bytes), NULL, NULL);
		cells[at].refs = 1000;
		chain_push(&chain, &cells[at], bytes + at,
			(uint32_t)(len - at < step ? len - at : step));
	}
	return &chain;
}

static int done(void **state)
{
	chain_clear(&chain);
	return end_teardown(state);
}

// METADATA_PUSH: stream 0, M set, both ways.
static void rule_109(void **state)
{
	struct end *e = client_of(state);
	struct chain metadata = {0};

	chain_push(&metadata, NULL, (const uint8_t *)"load", 4);
	assert_int_equal(rs_metadata_push(&e->s, &metadata), 0);
	expect_sent(e, "METADATA_PUSH 0 m=\"load\"\n");
	send_hex(e, "000008 00000000 3100 6162");
	expect_events(e, "push \"ab\"\n");
	send_hex(e, "000008 00000000 3000 6162"); // without M it is none
	expect_events(e, "");
	e->handler.metadata_push = NULL;
	send_hex(e, "000008 00000000 3100 6162");
	assert_false(rs_session_ended(&e->s));
	chain_push(&metadata, NULL, (const uint8_t *)letters(0, 100000), 100000);
	assert_int_equal(rs_metadata_push(&e->s, &metadata), 0);
	expect_sent(e, "METADATA_PUSH 0 m=100000 bytes\n");
}

// EXT: the extended type is read; none is understood.
static void rule_110(void **state)
{
	struct end *e = server_of(state);
	struct rs_frame f;

	assert_int_equal(rs_frame_read(&f, (const uint8_t *)"\0\0\0\1\xfe\0\0\0\1\2x", 11), 0);
	assert_int_equal(f.extended, 0x102);
	assert_int_equal(f.data_len, 1);
	send_frame(e, RS_EXT, 1, RS_FLAG_IGNORE, 0x102, NULL, "x");
	assert_false(rs_session_ended(&e->s));
	send_frame(e, RS_EXT, 1, 0, 0, NULL, "x");
	assert_true(rs_session_ended(&e->s));
}

// An entry: id or name, u24 length, content.
static void rule_111(void **state)
{
	static const uint8_t custom[] = "\x0a"
					"custom/test\0\0\1v";
	struct rs_composite it;
	struct rs_entry entry;

	begin();
	rs_entry_write_name(&out, "custom/test", 1);
	writer_u8(&out, 'v');
	assert_int_equal(out.at - bytes, 16);
	assert_memory_equal(bytes, custom, 16);
	it = rs_composite_of(written(3));
	assert_int_equal(rs_composite_next(&it, &entry), 1);
	assert_int_equal(entry.mime.id, -1);
	assert_string_equal(entry.mime.name, "custom/test");
	assert_int_equal(entry.at, 15);
	assert_int_equal(entry.len, 1);
	assert_int_equal(rs_composite_next(&it, &entry), 0);
	// A name that has an id is written as that.
	begin();
	rs_entry_write_name(&out, "application/json", 0);
	assert_int_equal(out.at - bytes, 4);
	assert_int_equal(bytes[0], 0x85);
	// Names of 1 to 128 bytes.
	begin();
	rs_entry_write_name(&out, letters(0, 128), 0);
	it = rs_composite_of(written(100));
	assert_int_equal(rs_composite_next(&it, &entry), 1);
	assert_string_equal(entry.mime.name, letters(0, 128));
	rs_entry_write_name(&out, letters(0, 129), 0);
	assert_true(out.bad);
	begin();
	rs_entry_write_name(&out, "", 0);
	assert_true(out.bad);
	begin();
	rs_entry_write(&out, RS_MIME_ROUTING, 0x1000000);
	assert_true(out.bad);
}

// The reference's vector: a route, simple authentication, a custom entry.
static void rule_111_vector(void **state)
{
	static const uint8_t vector[] = "\xfe\0\0\x09\x08person.1\xfc\0\0\x0b\x80\0\4userpass";
	struct rs_composite it;
	struct rs_entry entry;
	struct rs_auth auth;

	begin();
	rs_route_entry_write(&out, "person.1", 8);
	rs_entry_write(&out, RS_MIME_AUTH, 11);
	rs_auth_simple_write(&out, "user", 4, "pass", 4);
	assert_int_equal(out.at - bytes, sizeof(vector) - 1);
	assert_memory_equal(bytes, vector, sizeof(vector) - 1);
	it = rs_composite_of(written(1));
	assert_int_equal(rs_composite_next(&it, &entry), 1);
	assert_int_equal(entry.mime.id, RS_MIME_ROUTING);
	assert_string_equal(entry.mime.name, "message/x.rsocket.routing.v0");
	assert_int_equal(rs_composite_next(&it, &entry), 1);
	assert_int_equal(entry.mime.id, RS_MIME_AUTH);
	assert_int_equal(rs_auth_read(&chain, &entry, &auth), 0);
	assert_int_equal(auth.type, RS_AUTH_SIMPLE);
	assert_int_equal(auth.user_len, 4);
	assert_memory_equal(bytes + auth.user_at, "user", 4);
	assert_memory_equal(bytes + auth.secret_at, "pass", 4);
	assert_int_equal(rs_composite_next(&it, &entry), 0);
}

// Malformed at any cut, never read past.
static void rule_111_cut(void **state)
{
	size_t whole, ends[4] = {0};
	struct rs_route route;

	begin();
	rs_entry_write_name(&out, "custom/test", 5);
	writer_bytes(&out, "12345", 5);
	ends[1] = (size_t)(out.at - bytes);
	rs_mime_entry_write(&out, "application/json");
	ends[2] = (size_t)(out.at - bytes);
	rs_route_entry_write(&out, "route", 5);
	whole = (size_t)(out.at - bytes);
	for (size_t len = 0; len < whole; len++) {
		bool clean = len == 0 || len == ends[1] || len == ends[2];

		out.at = bytes + len;
		assert_int_equal(rs_route_find(RS_METADATA_COMPOSITE, written(len + 1), &route),
			clean ? -ENOENT : -EINVAL);
	}
	out.at = bytes + whole;
	assert_int_equal(rs_route_find(RS_METADATA_COMPOSITE, written(7), &route), 0);
	assert_string_equal(route.text, "route");
}

// Order is kept, duplicates are allowed, unknown entries are skipped.
static void rule_112(void **state)
{
	static const int order[] = {0x50, RS_MIME_ROUTING, -1, RS_MIME_ROUTING, 0x05};
	struct rs_composite it;
	struct rs_entry entry;
	struct rs_route route;

	begin();
	rs_entry_write(&out, 0x50, 3);
	writer_bytes(&out, "???", 3);
	rs_route_entry_write(&out, "first", 5);
	rs_entry_write_name(&out, "x/y", 0);
	rs_route_entry_write(&out, "second", 6);
	rs_entry_write(&out, 0x05, 2);
	writer_bytes(&out, "{}", 2);
	it = rs_composite_of(written(5));
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(rs_composite_next(&it, &entry), 1);
		assert_int_equal(entry.mime.id, order[i]);
	}
	assert_int_equal(rs_composite_next(&it, &entry), 0);
	assert_int_equal(rs_route_find(RS_METADATA_COMPOSITE, &chain, &route), 0);
	assert_string_equal(route.text, "first");
	assert_int_equal(rs_composite_find_name(&chain, "x/y", &entry), 0);
	assert_int_equal(entry.len, 0);
	assert_int_equal(rs_composite_find_name(&chain, "application/json", &entry), 0);
	assert_int_equal(entry.len, 2);
	assert_int_equal(rs_composite_find_name(&chain, "x/z", &entry), -ENOENT);
}

// Tags are u8-length strings; the first one counts, wherever routing metadata is.
static void rule_113(void **state)
{
	struct rs_route route = {0};

	begin();
	assert_int_equal(rs_route_find(RS_METADATA_ROUTING, written(1), &route), -ENOENT);
	rs_tag_write(&out, "person.1", 8);
	rs_tag_write(&out, "v=2", 3);
	assert_int_equal(rs_route_find(RS_METADATA_ROUTING, written(4), &route), 0);
	assert_int_equal(route.len, 8);
	assert_string_equal(route.text, "person.1");
	assert_int_equal(rs_route_find(RS_METADATA_OTHER, &chain, &route), -ENOENT);
	begin();
	rs_tag_write(&out, letters(0, 255), 255);
	assert_int_equal(rs_route_find(RS_METADATA_ROUTING, written(300), &route), 0);
	assert_string_equal(route.text, letters(0, 255));
	out.at--;
	assert_int_equal(rs_route_find(RS_METADATA_ROUTING, written(300), &route), -EINVAL);
	begin();
	rs_tag_write(&out, letters(0, 256), 256);
	assert_true(out.bad);
	// Spelled by name instead of id, and an entry without a tag.
	begin();
	writer_u8(&out, 27);
	writer_bytes(&out, "message/x.rsocket.routing.v0", 28);
	writer_u24(&out, 3);
	rs_tag_write(&out, "ab", 2);
	assert_int_equal(rs_route_find(RS_METADATA_COMPOSITE, written(9), &route), 0);
	assert_string_equal(route.text, "ab");
	begin();
	rs_entry_write(&out, RS_MIME_ROUTING, 0);
	assert_int_equal(rs_route_find(RS_METADATA_COMPOSITE, written(9), &route), -ENOENT);
	assert_int_equal(rs_metadata_kind("message/x.rsocket.routing.v0"), RS_METADATA_ROUTING);
	assert_int_equal(
		rs_metadata_kind("message/x.rsocket.composite-metadata.v0"), RS_METADATA_COMPOSITE);
	assert_int_equal(rs_metadata_kind("application/json"), RS_METADATA_OTHER);
}

// Per-stream MIME types: one of the data, a list of those accepted.
static void rule_114(void **state)
{
	struct rs_entry entry;
	struct rs_mime mime;
	size_t offset = 0;

	begin();
	rs_mime_entry_write(&out, "image/png");
	rs_entry_write(&out, RS_MIME_ACCEPT, 1 + 4 + 1);
	rs_mime_write(&out, "text/plain");
	rs_mime_write(&out, "x/y");
	rs_mime_write(&out, "application/json");
	assert_int_equal(rs_stream_mime_find(written(2), &mime), 0);
	assert_int_equal(mime.id, 0x1b);
	assert_string_equal(mime.name, "image/png");
	assert_int_equal(rs_composite_find(&chain, RS_MIME_ACCEPT, &entry), 0);
	assert_int_equal(rs_accept_next(&chain, &entry, &offset, &mime), 1);
	assert_string_equal(mime.name, "text/plain");
	assert_int_equal(rs_accept_next(&chain, &entry, &offset, &mime), 1);
	assert_string_equal(mime.name, "x/y");
	assert_int_equal(mime.id, -1);
	assert_int_equal(rs_accept_next(&chain, &entry, &offset, &mime), 1);
	assert_int_equal(mime.id, 0x05);
	assert_int_equal(rs_accept_next(&chain, &entry, &offset, &mime), 0);
	// A custom type by name; an id that is not assigned has none; nothing; cut.
	begin();
	rs_mime_entry_write(&out, "image/tiff; application=geotiff");
	assert_int_equal(rs_stream_mime_find(written(2), &mime), 0);
	assert_string_equal(mime.name, "image/tiff; application=geotiff");
	begin();
	rs_entry_write(&out, RS_MIME_STREAM, 1);
	writer_u8(&out, 0x80 | 0x60);
	assert_int_equal(rs_stream_mime_find(written(2), &mime), 0);
	assert_int_equal(mime.id, 0x60);
	assert_string_equal(mime.name, "");
	begin();
	assert_int_equal(rs_stream_mime_find(written(2), &mime), -ENOENT);
	rs_entry_write(&out, RS_MIME_STREAM, 2);
	writer_bytes(&out, "\5x", 2);
	assert_int_equal(rs_stream_mime_find(written(2), &mime), -EINVAL);
}

// Authentication: simple, bearer, others; cut.
static void rule_115(void **state)
{
	struct rs_entry entry;
	struct rs_auth auth;

	begin();
	rs_entry_write(&out, RS_MIME_AUTH, 6);
	rs_auth_bearer_write(&out, "token", 5);
	assert_int_equal(rs_composite_find(written(3), RS_MIME_AUTH, &entry), 0);
	assert_int_equal(rs_auth_read(&chain, &entry, &auth), 0);
	assert_int_equal(auth.type, RS_AUTH_BEARER);
	assert_int_equal(auth.secret_len, 5);
	assert_memory_equal(bytes + auth.secret_at, "token", 5);
	begin();
	rs_entry_write(&out, RS_MIME_AUTH, 6);
	writer_bytes(&out, "\2own1s", 6);
	assert_int_equal(rs_composite_find(written(3), RS_MIME_AUTH, &entry), 0);
	assert_int_equal(rs_auth_read(&chain, &entry, &auth), 0);
	assert_int_equal(auth.type, RS_AUTH_OTHER);
	assert_int_equal(auth.secret_len, 2);
	for (uint32_t len = 0; len < 7; len++) {
		begin();
		rs_entry_write(&out, RS_MIME_AUTH, len);
		writer_bytes(&out, "\x80\0\4user", len);
		assert_int_equal(rs_composite_find(written(3), RS_MIME_AUTH, &entry), 0);
		assert_int_equal(rs_auth_read(&chain, &entry, &auth), -EINVAL);
	}
}

// The table of MIME types, both ways.
static void mime_names(void **state)
{
	unsigned known = 0;

	for (unsigned id = 0; id < 256; id++) {
		const char *name = rs_mime_name((uint8_t)id);

		if (!name)
			continue;
		known++;
		assert_int_equal(rs_mime_id(name, strlen(name)), id);
	}
	assert_int_equal(known, 0x2b + 6);
	assert_int_equal(rs_mime_id("text/plai", 9), -1);
	assert_string_equal(rs_mime_name(0x2a), "application/x-flatbuffers");
}

#undef RULE
#undef CASE
#define RULE(n) cmocka_unit_test_setup_teardown(rule_##n, end_setup, done)
#define CASE(f) cmocka_unit_test_setup_teardown(f, end_setup, done)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RULE(109),
		RULE(110),
		RULE(111),
		RULE(111_vector),
		RULE(111_cut),
		RULE(112),
		RULE(113),
		RULE(114),
		RULE(115),
		CASE(mime_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
