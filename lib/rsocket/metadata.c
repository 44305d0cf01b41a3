// SPDX-License-Identifier: Apache-2.0
// Readers and writers of composite, routing, MIME and authentication metadata. Pure functions over
// bytes from outside: every length is checked against what is there before it is used.

#include "lib/rsocket/metadata.h"

#include <errno.h>

// MIME types, and authentication types: 1 and a 7-bit id, or 0 and the length of a name less one
// (the text says "length"; all implementations subtract one). Reads at *at, within end.
static int id_or_name_read(
	const struct chain *c, size_t *at, size_t end, int *id, char name[RS_ENTRY_MIME_MAX + 1])
{
	uint8_t first;
	size_t len;

	if (*at >= end)
		return -EINVAL;
	chain_read(c, *at, &first, 1);
	*at += 1;
	name[0] = '\0';
	if (first & 0x80) {
		*id = first & 0x7f;
		return 0;
	}
	len = (size_t)first + 1;
	if (end - *at < len)
		return -EINVAL;
	chain_read(c, *at, name, len);
	name[len] = '\0';
	*at += len;
	*id = -1;
	return 0;
}

static void id_or_name_write(struct writer *w, int id, const char *name)
{
	size_t len = name ? strlen(name) : 0;

	if (id >= 0) {
		writer_u8(w, (uint8_t)(0x80 | id));
	} else if (len == 0 || len > RS_ENTRY_MIME_MAX) {
		w->bad = true;
	} else {
		writer_u8(w, (uint8_t)(len - 1));
		writer_bytes(w, name, len);
	}
}

// Fills in the half that was not on the wire.
static void mime_complete(struct rs_mime *mime)
{
	if (mime->id < 0) {
		mime->id = rs_mime_id(mime->name, strlen(mime->name));
	} else if (rs_mime_name((uint8_t)mime->id)) {
		const char *name = rs_mime_name((uint8_t)mime->id);

		memcpy(mime->name, name, strlen(name) + 1);
	}
}

// An entry without the look-ups of mime_complete().
static int entry_next(struct rs_composite *it, struct rs_entry *entry)
{
	const struct chain *c = it->metadata;
	uint8_t raw[3];
	int error;

	if (it->at >= c->len)
		return 0;
	error = id_or_name_read(c, &it->at, c->len, &entry->mime.id, entry->mime.name);
	if (error)
		return error;
	if (chain_read(c, it->at, raw, 3) < 3)
		return -EINVAL;
	entry->len = (uint32_t)raw[0] << 16 | (uint32_t)raw[1] << 8 | raw[2];
	entry->at = it->at + 3;
	if (c->len - entry->at < entry->len)
		return -EINVAL;
	it->at = entry->at + entry->len;
	return 1;
}

int rs_composite_next(struct rs_composite *it, struct rs_entry *entry)
{
	int got = entry_next(it, entry);

	if (got == 1)
		mime_complete(&entry->mime);
	return got;
}

int rs_composite_find(const struct chain *metadata, uint8_t id, struct rs_entry *entry)
{
	struct rs_composite it = rs_composite_of(metadata);
	const char *name = rs_mime_name(id);
	int got;

	while ((got = entry_next(&it, entry)) == 1) {
		if (entry->mime.id == id || (name && strcmp(entry->mime.name, name) == 0)) {
			mime_complete(&entry->mime);
			return 0;
		}
	}
	return got ? got : -ENOENT;
}

int rs_composite_find_name(const struct chain *metadata, const char *name, struct rs_entry *entry)
{
	struct rs_composite it = rs_composite_of(metadata);
	int id = rs_mime_id(name, strlen(name));
	int got;

	if (id >= 0)
		return rs_composite_find(metadata, (uint8_t)id, entry);
	while ((got = entry_next(&it, entry)) == 1)
		if (strcmp(entry->mime.name, name) == 0)
			return 0;
	return got ? got : -ENOENT;
}

// The first tag in [at, end).
static int tag_read(const struct chain *c, size_t at, size_t end, struct rs_route *out)
{
	uint8_t len;

	if (at >= end)
		return -ENOENT;
	chain_read(c, at, &len, 1);
	if (end - at - 1 < len)
		return -EINVAL;
	out->len = len;
	chain_read(c, at + 1, out->text, len);
	out->text[len] = '\0';
	return 0;
}

int rs_route_find(enum rs_metadata_kind kind, const struct chain *metadata, struct rs_route *out)
{
	struct rs_entry entry;
	int error;

	if (kind == RS_METADATA_ROUTING)
		return tag_read(metadata, 0, metadata->len, out);
	if (kind != RS_METADATA_COMPOSITE)
		return -ENOENT;
	error = rs_composite_find(metadata, RS_MIME_ROUTING, &entry);
	return error ? error : tag_read(metadata, entry.at, entry.at + entry.len, out);
}

static int mime_read(const struct chain *c, size_t *at, size_t end, struct rs_mime *out)
{
	int error = id_or_name_read(c, at, end, &out->id, out->name);

	if (!error)
		mime_complete(out);
	return error;
}

int rs_stream_mime_find(const struct chain *metadata, struct rs_mime *out)
{
	struct rs_entry entry;
	int error = rs_composite_find(metadata, RS_MIME_STREAM, &entry);

	return error ? error : mime_read(metadata, &entry.at, entry.at + entry.len, out);
}

int rs_accept_next(const struct chain *metadata, const struct rs_entry *entry, size_t *offset,
	struct rs_mime *out)
{
	size_t at = entry->at + *offset;
	int error;

	if (*offset >= entry->len)
		return 0;
	error = mime_read(metadata, &at, entry->at + entry->len, out);
	*offset = at - entry->at;
	return error ? error : 1;
}

int rs_auth_read(const struct chain *metadata, const struct rs_entry *entry, struct rs_auth *out)
{
	size_t at = entry->at, end = entry->at + entry->len;
	char name[RS_ENTRY_MIME_MAX + 1];
	uint8_t raw[2];
	int id;

	*out = (struct rs_auth){.type = RS_AUTH_OTHER};
	if (id_or_name_read(metadata, &at, end, &id, name))
		return -EINVAL;
	if (id == RS_AUTH_SIMPLE) {
		if (end - at < 2)
			return -EINVAL;
		chain_read(metadata, at, raw, 2);
		out->user_len = (uint32_t)raw[0] << 8 | raw[1];
		out->user_at = at + 2;
		if (end - out->user_at < out->user_len)
			return -EINVAL;
		at = out->user_at + out->user_len;
	}
	if (id == RS_AUTH_SIMPLE || id == RS_AUTH_BEARER)
		out->type = (enum rs_auth_type)id;
	out->secret_at = at;
	out->secret_len = (uint32_t)(end - at);
	return 0;
}

void rs_entry_write(struct writer *w, uint8_t id, uint32_t len)
{
	if (len > 0xffffff)
		w->bad = true;
	id_or_name_write(w, id & 0x7f, NULL);
	writer_u24(w, len);
}

void rs_entry_write_name(struct writer *w, const char *name, uint32_t len)
{
	if (len > 0xffffff)
		w->bad = true;
	rs_mime_write(w, name);
	writer_u24(w, len);
}

void rs_tag_write(struct writer *w, const char *tag, size_t len)
{
	if (len > UINT8_MAX) {
		w->bad = true;
		return;
	}
	writer_u8(w, (uint8_t)len);
	writer_bytes(w, tag, len);
}

void rs_mime_write(struct writer *w, const char *name)
{
	id_or_name_write(w, rs_mime_id(name, strlen(name)), name);
}

void rs_auth_simple_write(struct writer *w, const char *user, uint16_t user_len, const void *secret,
	size_t secret_len)
{
	id_or_name_write(w, RS_AUTH_SIMPLE, NULL);
	writer_u16(w, user_len);
	writer_bytes(w, user, user_len);
	writer_bytes(w, secret, secret_len);
}

void rs_auth_bearer_write(struct writer *w, const void *token, size_t len)
{
	id_or_name_write(w, RS_AUTH_BEARER, NULL);
	writer_bytes(w, token, len);
}

void rs_route_entry_write(struct writer *w, const char *tag, uint8_t len)
{
	rs_entry_write(w, RS_MIME_ROUTING, (uint32_t)len + 1);
	rs_tag_write(w, tag, len);
}

void rs_mime_entry_write(struct writer *w, const char *name)
{
	int id = rs_mime_id(name, strlen(name));

	rs_entry_write(w, RS_MIME_STREAM, id >= 0 ? 1 : (uint32_t)strlen(name) + 1);
	id_or_name_write(w, id, name);
}
