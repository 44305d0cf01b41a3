// SPDX-License-Identifier: Apache-2.0
// What RSocket's extensions put into metadata: composite metadata, routing, per-stream MIME types,
// authentication. Pure; the session itself never looks into metadata (rule 29).
//
// Readers take a chain and copy no more than the short strings they return. Writers take a
// struct writer; a full composite is written entry by entry, in order (rule 112).
#pragma once

#include "lib/base/buf.h"
#include "lib/base/cursor.h"

// Well-known ids of entries (rule 111).
#define RS_MIME_OCTET_STREAM 0x06
#define RS_MIME_TEXT_PLAIN 0x21
#define RS_MIME_STREAM 0x7a // MIME type of this stream's data
#define RS_MIME_ACCEPT 0x7b // MIME types accepted for the reply
#define RS_MIME_AUTH 0x7c
#define RS_MIME_TRACING 0x7d
#define RS_MIME_ROUTING 0x7e
#define RS_MIME_COMPOSITE 0x7f

#define RS_ENTRY_MIME_MAX 128 // of a MIME type inside a composite

// "message/x.rsocket.routing.v0" and so on; NULL for ids that are not assigned.
const char *rs_mime_name(uint8_t id);
// The id of a name (not NUL-terminated), -1 if it has none.
int rs_mime_id(const char *name, size_t len);

// What the metadata of a connection is, by the MIME type from its SETUP.
enum rs_metadata_kind {
	RS_METADATA_OTHER,
	RS_METADATA_COMPOSITE,
	RS_METADATA_ROUTING,
};

enum rs_metadata_kind rs_metadata_kind(const char *mime);

struct rs_route {
	uint8_t len;
	char text[256]; // NUL-terminated too
};

// The first routing tag (rule 113). 0, -ENOENT (there is none), -EINVAL (malformed).
int rs_route_find(enum rs_metadata_kind kind, const struct chain *metadata, struct rs_route *out);

// A MIME type as extensions encode it: an id, or a name.
struct rs_mime {
	int id;                           // -1: a name without id
	char name[RS_ENTRY_MIME_MAX + 1]; // empty for an id that is not assigned
};

// One entry of a composite: its content is `len` bytes at offset `at` of the chain.
struct rs_entry {
	struct rs_mime mime;
	size_t at;
	uint32_t len;
};

struct rs_composite {
	const struct chain *metadata;
	size_t at;
};

static inline struct rs_composite rs_composite_of(const struct chain *metadata)
{
	return (struct rs_composite){.metadata = metadata};
}

// 1 with the next entry, 0 at the end, -EINVAL (malformed from here on).
int rs_composite_next(struct rs_composite *it, struct rs_entry *entry);
// The first entry with this id, also when it is spelled by name. 0, -ENOENT, -EINVAL.
int rs_composite_find(const struct chain *metadata, uint8_t id, struct rs_entry *entry);
// The first entry of this name. As above.
int rs_composite_find_name(const struct chain *metadata, const char *name, struct rs_entry *entry);

// The MIME type of this stream's data (0x7A) in composite metadata. 0, -ENOENT, -EINVAL.
int rs_stream_mime_find(const struct chain *metadata, struct rs_mime *out);
// The MIME types of an accept list (0x7B), whose content is `entry`: start with *offset = 0. 1, 0
// at the end, -EINVAL.
int rs_accept_next(const struct chain *metadata, const struct rs_entry *entry, size_t *offset,
	struct rs_mime *out);

enum rs_auth_type {
	RS_AUTH_SIMPLE = 0,
	RS_AUTH_BEARER = 1,
	RS_AUTH_OTHER = -1, // another id, or a name
};

// Content of an authentication entry (rule 115): offsets in the chain. Simple: user and secret;
// bearer: secret alone.
struct rs_auth {
	enum rs_auth_type type;
	size_t user_at, secret_at;
	uint32_t user_len, secret_len;
};

int rs_auth_read(const struct chain *metadata, const struct rs_entry *entry, struct rs_auth *out);

// Head of an entry whose content of len bytes (at most 0xffffff) the caller writes next.
void rs_entry_write(struct writer *w, uint8_t id, uint32_t len);
// By name: the id is used where the name has one. Names are 1 to RS_ENTRY_MIME_MAX bytes, else
// w->bad.
void rs_entry_write_name(struct writer *w, const char *name, uint32_t len);
// Content of a routing entry, and of metadata that is routing as a whole: one tag of at most 255
// bytes.
void rs_tag_write(struct writer *w, const char *tag, size_t len);
// Content of 0x7A; several in a row are the content of 0x7B.
void rs_mime_write(struct writer *w, const char *name);
void rs_auth_simple_write(struct writer *w, const char *user, uint16_t user_len, const void *secret,
	size_t secret_len);
void rs_auth_bearer_write(struct writer *w, const void *token, size_t len);
// Whole entries of a composite.
void rs_route_entry_write(struct writer *w, const char *tag, uint8_t len);
void rs_mime_entry_write(struct writer *w, const char *name);
