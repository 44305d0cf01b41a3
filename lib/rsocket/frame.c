// SPDX-License-Identifier: Apache-2.0
// Reader and writer of RSocket frame heads. Pure functions over bytes, no state; all fields are
// big endian (rule 4).
//
// A table says for each type which flags it has, which fixed field follows the header and how the
// rest divides; the field's reader and writer stand side by side.

#include "lib/rsocket/frame.h"

#include <errno.h>

// The fixed field behind the header.
enum field {
	FIELD_NONE,
	FIELD_N,        // u31: n, code and extended share its place
	FIELD_CODE,     // u32
	FIELD_EXTENDED, // u31
	FIELD_POSITION, // u63
	FIELD_LEASE,    // u31 u31
	FIELD_COUNT,
};

// How the bytes behind the fixed field divide.
enum body {
	BODY_NONE,     // anything there is ignored
	BODY_DATA,     // data to the end
	BODY_METADATA, // metadata to the end, without a length (rule 13)
	BODY_BOTH,     // [u24 metadata length, metadata if M] data (rule 11)
};

struct shape {
	const char *name;
	uint16_t flags;
	uint8_t field;
	uint8_t body;
};

// F is R in SETUP and KEEPALIVE, C is L in SETUP.
#define M RS_FLAG_METADATA
#define F RS_FLAG_FOLLOWS
#define C RS_FLAG_COMPLETE
#define N RS_FLAG_NEXT

// clang-format off
static const struct shape shapes[64] = {
	[RS_SETUP]            = {"SETUP", M | F | C, FIELD_NONE, BODY_DATA},
	[RS_LEASE]            = {"LEASE", M, FIELD_LEASE, BODY_METADATA},
	[RS_KEEPALIVE]        = {"KEEPALIVE", F, FIELD_POSITION, BODY_DATA},
	[RS_REQUEST_RESPONSE] = {"REQUEST_RESPONSE", M | F, FIELD_NONE, BODY_BOTH},
	[RS_REQUEST_FNF]      = {"REQUEST_FNF", M | F, FIELD_NONE, BODY_BOTH},
	[RS_REQUEST_STREAM]   = {"REQUEST_STREAM", M | F, FIELD_N, BODY_BOTH},
	[RS_REQUEST_CHANNEL]  = {"REQUEST_CHANNEL", M | F | C, FIELD_N, BODY_BOTH},
	[RS_REQUEST_N]        = {"REQUEST_N", 0, FIELD_N, BODY_NONE},
	[RS_CANCEL]           = {"CANCEL", 0, FIELD_NONE, BODY_NONE},
	[RS_PAYLOAD]          = {"PAYLOAD", M | F | C | N, FIELD_NONE, BODY_BOTH},
	[RS_ERROR]            = {"ERROR", 0, FIELD_CODE, BODY_DATA},
	[RS_METADATA_PUSH]    = {"METADATA_PUSH", M, FIELD_NONE, BODY_METADATA},
	[RS_RESUME]           = {"RESUME", 0, FIELD_NONE, BODY_DATA},
	[RS_RESUME_OK]        = {"RESUME_OK", 0, FIELD_POSITION, BODY_NONE},
	[RS_EXT]              = {"EXT", M, FIELD_EXTENDED, BODY_BOTH},
};
// clang-format on

#undef M
#undef F
#undef C
#undef N

static const uint8_t field_bytes[FIELD_COUNT] = {
	[FIELD_N] = 4,
	[FIELD_CODE] = 4,
	[FIELD_EXTENDED] = 4,
	[FIELD_POSITION] = 8,
	[FIELD_LEASE] = 8,
};

static uint32_t get_u24(const uint8_t *p)
{
	return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}

static uint32_t get_u32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return __builtin_bswap32(v);
}

static uint64_t get_u64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return __builtin_bswap64(v);
}

static void put_u16(uint8_t *p, uint16_t v)
{
	v = __builtin_bswap16(v);
	memcpy(p, &v, sizeof(v));
}

static void put_u32(uint8_t *p, uint32_t v)
{
	v = __builtin_bswap32(v);
	memcpy(p, &v, sizeof(v));
}

static void put_u64(uint8_t *p, uint64_t v)
{
	v = __builtin_bswap64(v);
	memcpy(p, &v, sizeof(v));
}

static void field_read(struct rs_frame *f, enum field field, const uint8_t *p)
{
	switch (field) {
	case FIELD_N:
		f->n = get_u32(p) & RS_U31_MAX;
		break;
	case FIELD_CODE:
		f->code = get_u32(p);
		break;
	case FIELD_EXTENDED:
		f->extended = get_u32(p) & RS_U31_MAX;
		break;
	case FIELD_POSITION:
		f->position = get_u64(p) & INT64_MAX;
		break;
	case FIELD_LEASE:
		f->lease.ttl_ms = get_u32(p) & RS_U31_MAX;
		f->lease.count = get_u32(p + 4) & RS_U31_MAX;
		break;
	default:
		break;
	}
}

static void field_write(uint8_t *p, enum field field, const struct rs_frame *f)
{
	switch (field) {
	case FIELD_N:
		put_u32(p, f->n & RS_U31_MAX);
		break;
	case FIELD_CODE:
		put_u32(p, f->code);
		break;
	case FIELD_EXTENDED:
		put_u32(p, f->extended & RS_U31_MAX);
		break;
	case FIELD_POSITION:
		put_u64(p, f->position & INT64_MAX);
		break;
	case FIELD_LEASE:
		put_u32(p, f->lease.ttl_ms & RS_U31_MAX);
		put_u32(p + 4, f->lease.count & RS_U31_MAX);
		break;
	default:
		break;
	}
}

// Divides what is behind the fixed field.
static int body_read(struct rs_frame *f, enum body body, const uint8_t *head, uint32_t frame_len)
{
	uint32_t rest = frame_len - f->head_len;

	switch (body) {
	case BODY_DATA:
		f->data_len = rest;
		break;
	case BODY_METADATA:
		f->metadata_len = rest;
		break;
	case BODY_BOTH:
		if (f->flags & RS_FLAG_METADATA) {
			if (rest < 3)
				return -EPROTO;
			f->metadata_len = get_u24(head + f->head_len);
			f->head_len += 3;
			rest -= 3;
			if (f->metadata_len > rest) { // rule 12
				f->metadata_len = 0;
				return -EPROTO;
			}
		}
		f->data_len = rest - f->metadata_len;
		break;
	case BODY_NONE:
		break;
	}
	return 0;
}

int rs_frame_read(struct rs_frame *f, const uint8_t *head, size_t frame_len)
{
	const struct shape *shape;
	uint16_t word;

	*f = (struct rs_frame){0};
	if (frame_len < RS_HEADER_BYTES)
		return -EPROTO;
	f->stream = get_u32(head) & RS_STREAM_ID_MAX; // rule 5
	word = (uint16_t)(head[4] << 8 | head[5]);
	f->type = (uint8_t)(word >> 10);
	shape = &shapes[f->type];
	f->flags = word & (shape->flags | RS_FLAG_IGNORE); // rule 6
	f->head_len = RS_HEADER_BYTES + field_bytes[shape->field];
	if (frame_len < f->head_len)
		return -EPROTO; // rule 10
	field_read(f, shape->field, head + RS_HEADER_BYTES);
	return body_read(f, shape->body, head, (uint32_t)frame_len);
}

uint32_t rs_frame_write(uint8_t *out, const struct rs_frame *f)
{
	const struct shape *shape = &shapes[f->type & 0x3f];
	uint16_t flags = f->flags & (shape->flags | RS_FLAG_IGNORE); // rule 6
	uint32_t len = RS_HEADER_BYTES + field_bytes[shape->field];

	put_u32(out, f->stream & RS_STREAM_ID_MAX);
	put_u16(out + 4, (uint16_t)(f->type << 10 | flags));
	field_write(out + RS_HEADER_BYTES, shape->field, f);
	if (shape->body == BODY_BOTH && flags & RS_FLAG_METADATA) {
		rs_prefix_write(out + len, f->metadata_len);
		len += 3;
	}
	return len;
}

uint32_t rs_frame_head_len(uint8_t type, uint16_t flags)
{
	const struct shape *shape = &shapes[type & 0x3f];
	bool length = shape->body == BODY_BOTH && flags & RS_FLAG_METADATA;

	return RS_HEADER_BYTES + (uint32_t)field_bytes[shape->field] + (length ? 3 : 0);
}

bool rs_type_known(uint8_t type)
{
	return type < 64 && shapes[type].name;
}

const char *rs_type_name(uint8_t type)
{
	return rs_type_known(type) ? shapes[type].name : "unknown";
}

const char *rs_error_name(uint32_t code)
{
	switch (code) {
	case RS_ERROR_INVALID_SETUP:
		return "INVALID_SETUP";
	case RS_ERROR_UNSUPPORTED_SETUP:
		return "UNSUPPORTED_SETUP";
	case RS_ERROR_REJECTED_SETUP:
		return "REJECTED_SETUP";
	case RS_ERROR_REJECTED_RESUME:
		return "REJECTED_RESUME";
	case RS_ERROR_CONNECTION:
		return "CONNECTION_ERROR";
	case RS_ERROR_CONNECTION_CLOSE:
		return "CONNECTION_CLOSE";
	case RS_ERROR_APPLICATION:
		return "APPLICATION_ERROR";
	case RS_ERROR_REJECTED:
		return "REJECTED";
	case RS_ERROR_CANCELED:
		return "CANCELED";
	case RS_ERROR_INVALID:
		return "INVALID";
	default:
		return code >= RS_ERROR_CUSTOM_MIN && code != UINT32_MAX ? "application-defined"
									 : "reserved";
	}
}
