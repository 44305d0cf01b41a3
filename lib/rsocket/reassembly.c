// SPDX-License-Identifier: Apache-2.0
// Fragments to messages. A fragment is copied into blocks, unless it lies there already, and all
// that a session keeps of incomplete messages and frames is counted in whole blocks and bounded
// (rule 97), so that many tiny fragments cannot pin much memory.

#include "lib/rsocket/internal.h"

size_t rs_blocks_charge(const struct rs_pool *pool, size_t bytes)
{
	return (bytes + pool->block_bytes - 1) / pool->block_bytes * pool->block_bytes;
}

static size_t charge_of(const struct rs_pool *pool, size_t metadata_len, size_t data_len)
{
	return rs_blocks_charge(pool, metadata_len) + rs_blocks_charge(pool, data_len);
}

static int add(struct chain *to, struct rs_pool *pool, struct chain *from, bool owned)
{
	if (!owned)
		return chain_copy_chain(to, pool->blocks, from);
	chain_append(to, from);
	return 0;
}

int rs_reassembly_add(
	struct rs_stream *stream, const struct rs_frame *f, const struct rs_body *body)
{
	struct rs_session *s = stream->session;
	struct rs_message *have = &stream->reassembly, part;
	size_t metadata_len = have->metadata.len + f->metadata_len;
	size_t data_len = have->data.len + f->data_len;
	size_t before = charge_of(s->pool, have->metadata.len, have->data.len);
	size_t after = charge_of(s->pool, metadata_len, data_len);
	int error;

	if (metadata_len + data_len > s->message_bytes_max)
		return -EMSGSIZE;
	if (s->reassembly_bytes + (after - before) > s->reassembly_bytes_max)
		return -ENOBUFS;
	if (!body->owned && after > before && rs_pool_low(s->pool))
		return -ENOBUFS;
	stream->reassembling = true;
	rs_body_message(body, f, &part);
	error = add(&have->metadata, s->pool, &part.metadata, body->owned);
	if (!error)
		error = add(&have->data, s->pool, &part.data, body->owned);
	s->reassembly_bytes += charge_of(s->pool, have->metadata.len, have->data.len) - before;
	// An empty metadata on the first fragment is metadata too (rule 14).
	have->has_metadata |= part.has_metadata;
	stream->reassembly_flags |= f->flags & (RS_FLAG_NEXT | RS_FLAG_COMPLETE);
	rs_message_clear(&part);
	return error;
}

void rs_reassembly_take(struct rs_stream *stream, struct rs_message *out)
{
	struct rs_session *s = stream->session;

	s->reassembly_bytes -=
		charge_of(s->pool, stream->reassembly.metadata.len, stream->reassembly.data.len);
	*out = stream->reassembly;
	stream->reassembly = (struct rs_message){0};
	stream->reassembling = false;
	stream->reassembly_flags = 0;
}

void rs_reassembly_drop(struct rs_stream *stream)
{
	struct rs_message message;

	rs_reassembly_take(stream, &message);
	rs_message_clear(&message);
}
