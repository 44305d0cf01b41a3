// SPDX-License-Identifier: Apache-2.0
// Composite, routing, MIME and authentication metadata: all readers, and what they read written
// again. The first byte chooses how the bytes are cut into slices.

#include <errno.h>
#include <stdlib.h>

#include "lib/rsocket/metadata.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void look_into(const struct chain *metadata, const struct rs_entry *entry)
{
	struct rs_mime mime;
	struct rs_auth auth;
	size_t offset = 0;

	must(entry->at + entry->len <= metadata->len);
	must(strlen(entry->mime.name) <= RS_ENTRY_MIME_MAX);
	while (rs_accept_next(metadata, entry, &offset, &mime) == 1)
		must(offset <= entry->len);
	if (rs_auth_read(metadata, entry, &auth) == 0) {
		must(auth.secret_at >= entry->at);
		must(auth.secret_at + auth.secret_len == entry->at + entry->len);
		must(auth.user_len == 0 || auth.user_at + auth.user_len <= auth.secret_at);
	}
}

// Writes the entry; where the original used the shortest form the bytes are the same.
static void write_again(const uint8_t *data, size_t from, const struct rs_entry *entry)
{
	uint8_t out[RS_ENTRY_MIME_MAX + 8];
	struct writer w = writer_of(out, sizeof(out));
	bool by_name = !(data[from] & 0x80);

	if (by_name)
		rs_entry_write_name(&w, entry->mime.name, entry->len);
	else
		rs_entry_write(&w, (uint8_t)entry->mime.id, entry->len);
	// A name with a NUL inside is shorter here; one that is well known became its id.
	if (by_name && (entry->mime.id >= 0 || strlen(entry->mime.name) != data[from] + 1u))
		return;
	must(!w.bad && (size_t)(w.at - out) == entry->at - from);
	must(memcmp(out, data + from, entry->at - from) == 0);
}

static void composite(const struct chain *metadata, const uint8_t *data)
{
	struct rs_composite it = rs_composite_of(metadata);
	struct rs_entry entry;
	size_t from = 0;

	while (rs_composite_next(&it, &entry) == 1) {
		must(it.at > from && it.at <= metadata->len);
		look_into(metadata, &entry);
		write_again(data, from, &entry);
		from = it.at;
	}
}

static void routes(const struct chain *metadata)
{
	struct rs_route route;
	struct rs_mime mime;

	for (int kind = RS_METADATA_OTHER; kind <= RS_METADATA_ROUTING; kind++)
		if (rs_route_find((enum rs_metadata_kind)kind, metadata, &route) == 0)
			must(route.text[route.len] == '\0');
	if (rs_stream_mime_find(metadata, &mime) == 0)
		must(mime.id >= -1 && mime.id < 128);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct chain metadata = {0};
	static struct buf cell[2];
	size_t step;

	if (len == 0)
		return 0;
	step = data[0] ? data[0] : len;
	for (size_t at = 1, i = 0; at < len; at += step, i++) {
		buf_init(&cell[i % 2], (void *)(uintptr_t)data, (uint32_t)len, NULL, NULL);
		cell[i % 2].refs = 1u << 30;
		chain_push(&metadata, &cell[i % 2], data + at,
			(uint32_t)(len - at < step ? len - at : step));
	}
	composite(&metadata, data + 1);
	routes(&metadata);
	chain_clear(&metadata);
	return 0;
}
