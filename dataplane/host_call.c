// SPDX-License-Identifier: Apache-2.0
// Metadata of calls to our hosts: see host_call.h. Worker thread, on the way of each call: large entries are
// passed on by reference, small ones are copied with what is written.

#include "dataplane/host_call.h"

#include <errno.h>
#include <string.h>

#include "lib/rsocket/metadata.h"

#define WRITTEN_MAX 512

static bool is_call_entry(const struct rs_entry *entry)
{
	return entry->mime.id < 0 && strcmp(entry->mime.name, CALL_ENTRY_MIME) == 0;
}

// Of what a client says about its own call, the part that is believed.
static void believe(const struct chain *metadata, const struct rs_entry *entry, struct call_entry *call)
{
	uint8_t bytes[CALL_ENTRY_BYTES_MAX];
	struct call_entry said;

	if (entry->len > sizeof(bytes))
		return;
	chain_read(metadata, entry->at, bytes, entry->len);
	if (call_entry_read(&said, bytes, entry->len))
		return;
	call->flags |= said.flags & CALL_ENTRY_IDEMPOTENT;
	if (said.left_us && (!call->left_us || said.left_us < call->left_us))
		call->left_us = said.left_us;
}

// Appends the entries of a composite to `to`, but for the client's call entry. *typed: it names the type of
// its data.
static int pass_entries(
	struct chain *to, const struct chain *metadata, struct call_entry *call, bool *typed)
{
	struct rs_composite it = rs_composite_of(metadata);
	struct rs_entry entry;
	size_t from = 0;
	int rc;

	while ((rc = rs_composite_next(&it, &entry)) == 1) {
		if (is_call_entry(&entry))
			believe(metadata, &entry, call);
		else
			chain_share(to, metadata, from, it.at - from);
		*typed |= entry.mime.id == RS_MIME_STREAM;
		from = it.at;
	}
	return rc;
}

static int append(struct chain *to, struct buf_pool *blocks, const struct writer *w, const uint8_t *bytes)
{
	return w->bad ? -EINVAL : chain_copy(to, blocks, bytes, (size_t)(w->at - bytes));
}

static void write_call(struct writer *w, const struct call_entry *entry, uint32_t version)
{
	uint8_t bytes[CALL_ENTRY_HEAD_BYTES + 16];
	struct writer content = writer_of(bytes, sizeof(bytes));

	call_entry_write(&content, entry);
	if (version)
		call_tlv_write_u32(&content, CALL_TLV_VERSION, version);
	rs_entry_write_name(w, CALL_ENTRY_MIME, (uint32_t)(content.at - bytes));
	writer_bytes(w, bytes, (size_t)(content.at - bytes));
}

int host_call_metadata(struct rs_message *message, const struct mime *mime,
	const struct host_call *call, struct buf_pool *blocks)
{
	uint8_t bytes[WRITTEN_MAX];
	struct writer w = writer_of(bytes, sizeof(bytes));
	struct call_entry entry = {.id = call->id, .class = call->class, .left_us = call->timeout_us,
		.flags = call->idempotent ? CALL_ENTRY_IDEMPOTENT : 0};
	struct chain out = {0};
	bool typed = false;
	int rc = 0;

	if (mime->kind == RS_METADATA_COMPOSITE) {
		rc = pass_entries(&out, &message->metadata, &entry, &typed);
	} else if (message->metadata.len > 0) {
		rs_entry_write(&w, RS_MIME_ROUTING, (uint32_t)message->metadata.len);
		rc = append(&out, blocks, &w, bytes);
		chain_append(&out, &message->metadata);
		w = writer_of(bytes, sizeof(bytes));
	}
	if (!typed && mime->data[0] && strlen(mime->data) <= RS_ENTRY_MIME_MAX)
		rs_mime_entry_write(&w, mime->data);
	write_call(&w, &entry, call->version);
	if (rc == 0)
		rc = append(&out, blocks, &w, bytes);
	chain_clear(&message->metadata);
	if (rc)
		chain_clear(&out);
	message->metadata = out;
	message->has_metadata = true;
	return rc;
}
