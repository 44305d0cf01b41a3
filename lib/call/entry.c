// SPDX-License-Identifier: Apache-2.0
// The call entry: see entry.h. Pure functions over bytes from outside.
#include "lib/call/entry.h"

#include <errno.h>

static bool tlvs_whole(const uint8_t *data, size_t len)
{
	struct reader r = reader_of(data, len);
	struct call_tlv tlv;

	while (call_tlv_next(&r, &tlv))
		;
	return !r.bad;
}

int call_entry_read(struct call_entry *entry, const void *data, size_t len)
{
	struct reader r = reader_of(data, len);
	struct call_entry e = {.flags = reader_u8(&r)};

	if (len > CALL_ENTRY_BYTES_MAX)
		return -EINVAL;
	e.attempt = reader_u8(&r);
	e.class = reader_u16(&r);
	e.left_us = reader_u32(&r);
	e.id = reader_u64(&r);
	e.instance = reader_u32(&r);
	if (r.bad)
		return -EINVAL;
	e.tlvs = r.at;
	e.tlvs_len = reader_left(&r);
	if (!tlvs_whole(e.tlvs, e.tlvs_len))
		return -EINVAL;
	*entry = e;
	return 0;
}

void call_entry_write(struct writer *w, const struct call_entry *entry)
{
	writer_u8(w, entry->flags);
	writer_u8(w, entry->attempt);
	writer_u16(w, entry->class);
	writer_u32(w, entry->left_us);
	writer_u64(w, entry->id);
	writer_u32(w, entry->instance);
	writer_bytes(w, entry->tlvs, entry->tlvs_len);
}

void call_tlv_write(struct writer *w, uint8_t type, const void *value, uint8_t len)
{
	writer_u8(w, type);
	writer_u8(w, len);
	writer_bytes(w, value, len);
}

void call_tlv_write_u32(struct writer *w, uint8_t type, uint32_t value)
{
	writer_u8(w, type);
	writer_u8(w, 4);
	writer_u32(w, value);
}

void call_tlv_write_u64(struct writer *w, uint8_t type, uint64_t value)
{
	writer_u8(w, type);
	writer_u8(w, 8);
	writer_u64(w, value);
}

bool call_tlv_next(struct reader *r, struct call_tlv *tlv)
{
	if (r->bad || reader_left(r) == 0)
		return false;
	tlv->type = reader_u8(r);
	tlv->len = reader_u8(r);
	tlv->value = reader_take(r, tlv->len);
	return !r->bad;
}

bool call_tlv_find(const struct call_entry *entry, uint8_t type, struct call_tlv *tlv)
{
	struct reader r = reader_of(entry->tlvs, entry->tlvs_len);

	while (call_tlv_next(&r, tlv))
		if (tlv->type == type)
			return true;
	return false;
}

uint32_t call_tlv_u32(const struct call_entry *entry, uint8_t type, uint32_t otherwise)
{
	struct call_tlv tlv;
	struct reader r;

	if (!call_tlv_find(entry, type, &tlv) || tlv.len != 4)
		return otherwise;
	r = reader_of(tlv.value, 4);
	return reader_u32(&r);
}

uint64_t call_tlv_u64(const struct call_entry *entry, uint8_t type, uint64_t otherwise)
{
	struct call_tlv tlv;
	struct reader r;

	if (!call_tlv_find(entry, type, &tlv) || tlv.len != 8)
		return otherwise;
	r = reader_of(tlv.value, 8);
	return reader_u64(&r);
}

ns_t call_deadline(uint32_t left_us, ns_t now)
{
	return left_us ? now + (ns_t)left_us * NS_PER_US : NS_NEVER;
}

uint32_t call_left_us(ns_t deadline, ns_t now)
{
	ns_t left_us;

	if (deadline == NS_NEVER)
		return 0;
	left_us = (deadline - now) / NS_PER_US;
	if (left_us < 1)
		return 1;
	return left_us > UINT32_MAX ? UINT32_MAX : (uint32_t)left_us;
}
