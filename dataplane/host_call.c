// SPDX-License-Identifier: Apache-2.0
// Metadata of calls to our hosts: see host_call.h. Worker thread, on the way of each call: large
// entries are passed on by reference, small ones are copied with what is written.

#include "dataplane/host_call.h"

#include <errno.h>
#include <string.h>

#include "lib/rsocket/metadata.h"

#define WRITTEN_MAX 512

static bool is_call_entry(const struct rs_entry *entry)
{
	return entry->mime.id < 0 && strcmp(entry->mime.name, CALL_ENTRY_MIME) == 0;
}

// What is known of a call while its metadata is rewritten.
struct made {
	struct call_entry entry;
	uint64_t parent; // the call that the asking function serves; 0: none
	bool typed;      // an entry names the type of the data
};

// Of what an asker says about its call, the part that is believed.
static void believe(const struct chain *metadata, const struct rs_entry *entry, struct made *made)
{
	uint8_t bytes[CALL_ENTRY_BYTES_MAX];
	struct call_entry said;

	if (entry->len > sizeof(bytes))
		return;
	chain_read(metadata, entry->at, bytes, entry->len);
	if (call_entry_read(&said, bytes, entry->len))
		return;
	made->parent = said.id;
	made->entry.flags |= said.flags & CALL_ENTRY_IDEMPOTENT;
	if (said.left_us && (!made->entry.left_us || said.left_us < made->entry.left_us))
		made->entry.left_us = said.left_us;
}

// Appends the entries of a composite to `to`, but for the asker's call entry.
static int pass_entries(struct chain *to, const struct chain *metadata, struct made *made)
{
	struct rs_composite it = rs_composite_of(metadata);
	struct rs_entry entry;
	size_t from = 0;
	int rc;

	while ((rc = rs_composite_next(&it, &entry)) == 1) {
		if (is_call_entry(&entry))
			believe(metadata, &entry, made);
		else
			chain_share(to, metadata, from, it.at - from);
		made->typed |= entry.mime.id == RS_MIME_STREAM;
		from = it.at;
	}
	return rc;
}

static int append(struct chain *to, struct buf_pool *blocks, const struct writer *w, const uint8_t *bytes)
{
	return w->bad ? -EINVAL : chain_copy(to, blocks, bytes, (size_t)(w->at - bytes));
}

static void write_call(struct writer *w, const struct made *made, uint32_t version)
{
	uint8_t bytes[CALL_ENTRY_HEAD_BYTES + 16];
	struct writer content = writer_of(bytes, sizeof(bytes));

	call_entry_write(&content, &made->entry);
	if (version)
		call_tlv_write_u32(&content, CALL_TLV_VERSION, version);
	if (made->parent)
		call_tlv_write_u64(&content, CALL_TLV_PARENT, made->parent);
	rs_entry_write_name(w, CALL_ENTRY_MIME, (uint32_t)(content.at - bytes));
	writer_bytes(w, bytes, (size_t)(content.at - bytes));
}

// A client's call begins anew; one of a function is one deeper than what the function serves.
static int give_id(struct made *made, const struct host_call *call)
{
	uint8_t depth;

	if (!call->inherits)
		made->parent = 0;
	depth = made->parent ? call_id_depth(made->parent) : 0;
	if (depth >= CALL_DEPTH_MAX)
		return -ELOOP;
	made->entry.id = call_id_of(made->parent ? depth + 1 : 0, call->number);
	return 0;
}

int host_call_metadata(struct rs_message *message, const struct mime *mime,
	const struct host_call *call, struct buf_pool *blocks)
{
	uint8_t bytes[WRITTEN_MAX];
	struct writer w = writer_of(bytes, sizeof(bytes));
	struct made made = {.entry = {.class = call->class, .left_us = call->timeout_us,
				    .flags = call->idempotent ? CALL_ENTRY_IDEMPOTENT : 0}};
	struct chain out = {0};
	int rc = 0;

	if (mime->kind == RS_METADATA_COMPOSITE) {
		rc = pass_entries(&out, &message->metadata, &made);
	} else if (message->metadata.len > 0) {
		rs_entry_write(&w, RS_MIME_ROUTING, (uint32_t)message->metadata.len);
		rc = append(&out, blocks, &w, bytes);
		chain_append(&out, &message->metadata);
		w = writer_of(bytes, sizeof(bytes));
	}
	if (rc == 0)
		rc = give_id(&made, call);
	if (!made.typed && mime->data[0] && strlen(mime->data) <= RS_ENTRY_MIME_MAX)
		rs_mime_entry_write(&w, mime->data);
	write_call(&w, &made, call->version);
	if (rc == 0)
		rc = append(&out, blocks, &w, bytes);
	chain_clear(&message->metadata);
	if (rc)
		chain_clear(&out);
	message->metadata = out;
	message->has_metadata = true;
	return rc;
}
