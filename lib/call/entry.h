// SPDX-License-Identifier: Apache-2.0
// The metadata entry `message/x.penstock.call.v1`: what a gateway, a function host and a function
// tell each other about a call. Pure: reader and writer side by side, no clock.
//
// Big endian: u8 flags, u8 attempt, u16 class, u32 time left in us (0: no deadline), u64 call id,
// u32 instance (0: any), then TLVs (u8 type, u8 length, value). Time on the wire is time left, so
// it is stamped again at each hop.
#pragma once

#include "lib/base/clock.h"
#include "lib/base/cursor.h"

#define CALL_ENTRY_MIME "message/x.penstock.call.v1"
#define CALL_ENTRY_HEAD_BYTES 20
#define CALL_ENTRY_BYTES_MAX 512 // longer ones are refused
#define CALL_DEPTH_MAX 32        // functions that wait for each other in a row

enum call_entry_flag {
	CALL_ENTRY_IDEMPOTENT = 1,
	CALL_ENTRY_HEDGE = 2,
	CALL_ENTRY_TIED = 4,
};

enum call_entry_type {
	CALL_TLV_VERSION = 1, // u32: the version of the function; absent: the newest that is there
	CALL_TLV_EVENT = 2,   // empty: a fire-and-forget, carried as a request whose reply is its end
	CALL_TLV_PARENT = 3,  // u64: the id of the call whose function made this one
};

struct call_entry {
	uint8_t flags; // enum call_entry_flag; unknown ones pass
	uint8_t attempt;
	uint16_t class;
	uint32_t left_us;
	uint64_t id;
	uint32_t instance;
	const uint8_t *tlvs; // within what was read
	size_t tlvs_len;
};

struct call_tlv {
	uint8_t type;
	uint8_t len;
	const uint8_t *value;
};

// 0 or -EINVAL: too short, too long, or TLVs that run past the end.
int call_entry_read(struct call_entry *entry, const void *data, size_t len);
// Head and the TLVs as they are; more TLVs may be written behind.
void call_entry_write(struct writer *w, const struct call_entry *entry);
void call_tlv_write(struct writer *w, uint8_t type, const void *value, uint8_t len);
void call_tlv_write_u32(struct writer *w, uint8_t type, uint32_t value);
void call_tlv_write_u64(struct writer *w, uint8_t type, uint64_t value);
// Takes the next TLV of [at, at + len): start with reader_of(entry->tlvs, entry->tlvs_len). False
// at the end.
bool call_tlv_next(struct reader *r, struct call_tlv *tlv);
// The first TLV of this type.
bool call_tlv_find(const struct call_entry *entry, uint8_t type, struct call_tlv *tlv);
// The value of a TLV of 4 or 8 bytes; absent or of another length: the default.
uint32_t call_tlv_u32(const struct call_entry *entry, uint8_t type, uint32_t otherwise);
uint64_t call_tlv_u64(const struct call_entry *entry, uint8_t type, uint64_t otherwise);

// An id tells how deep its call is nested: 0 is a client's, 1 one of a function that serves a
// client's, and so on.
static inline uint64_t call_id_of(uint8_t depth, uint64_t number)
{
	return (uint64_t)depth << 56 | (number & (((uint64_t)1 << 56) - 1));
}

static inline uint8_t call_id_depth(uint64_t id)
{
	return (uint8_t)(id >> 56);
}

// The instant a call with this much time left ends; NS_NEVER for 0.
ns_t call_deadline(uint32_t left_us, ns_t now);
// What to write for a deadline: 0 for NS_NEVER; never 0 otherwise, so that a deadline which has
// passed does not read as none.
uint32_t call_left_us(ns_t deadline, ns_t now);
