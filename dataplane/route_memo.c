// SPDX-License-Identifier: Apache-2.0
// See route_memo.h. An entry's place is chosen by length and last bytes, where names of functions
// differ.
#include "dataplane/route_memo.h"

#include <string.h>

// Metadata that can be remembered lies in one slice; NULL else.
static const uint8_t *bytes_of(const struct chain *metadata)
{
	if (metadata->first != metadata->last || metadata->len < sizeof(uint64_t) ||
		metadata->len > ROUTE_MEMO_BYTES)
		return NULL;
	return metadata->first->slice.data;
}

static unsigned place_of(const uint8_t *bytes, size_t len)
{
	uint64_t tail;

	memcpy(&tail, bytes + len - sizeof(tail), sizeof(tail));
	return (unsigned)((tail + len) * 0x9e3779b97f4a7c15u >> 32) & (ROUTE_MEMO_ENTRIES - 1);
}

// By words, the last of which may overlap.
static bool same(const uint8_t *a, const uint8_t *b, size_t len)
{
	uint64_t x, y, differ = 0;
	size_t at = 0;

	for (; at + sizeof(x) <= len; at += sizeof(x)) {
		memcpy(&x, a + at, sizeof(x));
		memcpy(&y, b + at, sizeof(y));
		differ |= x ^ y;
	}
	memcpy(&x, a + len - sizeof(x), sizeof(x));
	memcpy(&y, b + len - sizeof(y), sizeof(y));
	return (differ | (x ^ y)) == 0;
}

const struct route_memo_entry *route_memo_find(const struct route_memo *memo,
	const struct table *table, enum rs_metadata_kind kind, const struct chain *metadata)
{
	const uint8_t *bytes = bytes_of(metadata);
	const struct route_memo_entry *entry;

	if (!bytes)
		return NULL;
	entry = &memo->entry[place_of(bytes, metadata->len)];
	if (entry->len != metadata->len || entry->kind != kind ||
		entry->version != table_version(table) || !same(entry->bytes, bytes, entry->len))
		return NULL;
	return entry;
}

void route_memo_keep(struct route_memo *memo, uint64_t version, enum rs_metadata_kind kind,
	const struct chain *metadata, const struct rs_route *route, const struct service *service)
{
	const uint8_t *bytes = bytes_of(metadata), *text;
	struct route_memo_entry *entry;

	text = bytes ? memmem(bytes, metadata->len, route->text, route->len) : NULL;
	if (!text)
		return;
	entry = &memo->entry[place_of(bytes, metadata->len)];
	*entry = (struct route_memo_entry){
		.version = version,
		.service = service,
		.kind = (uint8_t)kind,
		.len = (uint8_t)metadata->len,
		.route_at = (uint8_t)(text - bytes),
		.route_len = route->len,
	};
	memcpy(entry->bytes, bytes, metadata->len);
}

void route_memo_route(const struct route_memo_entry *entry, struct rs_route *out)
{
	out->len = entry->route_len;
	memcpy(out->text, entry->bytes + entry->route_at, out->len);
	out->text[out->len] = 0;
}
