// SPDX-License-Identifier: Apache-2.0
// RSocket 1.0 frames: numbers, and the reader and writer of each frame's head.
//
// A frame is a head, metadata and data. The head is all before the metadata's first byte: stream
// id, type, flags, the type's fixed fields and, with M on a frame that also carries data, the
// metadata length. Metadata and data are never copied or looked into here. SETUP and RESUME have
// strings in their heads and therefore readers and writers of their own.
#pragma once

#include "lib/base/buf.h"
#include "lib/base/cursor.h"

enum rs_type {
	RS_RESERVED = 0x00,
	RS_SETUP = 0x01,
	RS_LEASE = 0x02,
	RS_KEEPALIVE = 0x03,
	RS_REQUEST_RESPONSE = 0x04,
	RS_REQUEST_FNF = 0x05,
	RS_REQUEST_STREAM = 0x06,
	RS_REQUEST_CHANNEL = 0x07,
	RS_REQUEST_N = 0x08,
	RS_CANCEL = 0x09,
	RS_PAYLOAD = 0x0a,
	RS_ERROR = 0x0b,
	RS_METADATA_PUSH = 0x0c,
	RS_RESUME = 0x0d,
	RS_RESUME_OK = 0x0e,
	RS_EXT = 0x3f,
};

#define RS_FLAG_IGNORE 0x200u
#define RS_FLAG_METADATA 0x100u
#define RS_FLAG_FOLLOWS 0x80u  // requests, PAYLOAD
#define RS_FLAG_RESUME 0x80u   // SETUP
#define RS_FLAG_RESPOND 0x80u  // KEEPALIVE
#define RS_FLAG_COMPLETE 0x40u // REQUEST_CHANNEL, PAYLOAD
#define RS_FLAG_LEASE 0x40u    // SETUP
#define RS_FLAG_NEXT 0x20u     // PAYLOAD

// Codes up to 0x1ff belong on stream 0, the others on streams (rules 76, 77).
enum rs_error {
	RS_ERROR_RESERVED = 0,
	RS_ERROR_INVALID_SETUP = 1,
	RS_ERROR_UNSUPPORTED_SETUP = 2,
	RS_ERROR_REJECTED_SETUP = 3,
	RS_ERROR_REJECTED_RESUME = 4,
	RS_ERROR_CONNECTION = 0x101,
	RS_ERROR_CONNECTION_CLOSE = 0x102,
	RS_ERROR_APPLICATION = 0x201,
	RS_ERROR_REJECTED = 0x202,
	RS_ERROR_CANCELED = 0x203,
	RS_ERROR_INVALID = 0x204,
	RS_ERROR_CUSTOM_MIN = 0x301, // application-defined from here to 0xfffffffe
};

#define RS_VERSION_MAJOR 1
#define RS_VERSION_MINOR 0
#define RS_PREFIX_BYTES 3            // length before each frame on TCP (rule 1)
#define RS_FRAME_BYTES_MAX 0xffffffu // rule 3
#define RS_HEADER_BYTES 6            // stream id, type, flags
#define RS_HEAD_BYTES_MAX 14         // longest head but SETUP's and RESUME's
#define RS_STREAM_ID_MAX 0x7fffffffu
#define RS_U31_MAX 0x7fffffffu
#define RS_MIME_BYTES_MAX 255

// A head, and how the bytes behind it divide. For SETUP and RESUME head_len is RS_HEADER_BYTES and
// the rest counts as data until rs_setup_read() or rs_resume_read().
struct rs_frame {
	uint32_t stream;
	uint8_t type;   // any 6-bit value
	uint16_t flags; // only those the type defines, and RS_FLAG_IGNORE
	uint32_t head_len;
	uint32_t metadata_len;
	uint32_t data_len;
	union {
		uint32_t n;        // REQUEST_STREAM, REQUEST_CHANNEL (initial), REQUEST_N
		uint32_t code;     // ERROR
		uint32_t extended; // EXT
		uint64_t position; // KEEPALIVE, RESUME_OK
		struct {
			uint32_t ttl_ms, count;
		} lease;
	};
};

// Reads the head of a frame of frame_len bytes. `head` must hold at least
// min(frame_len, RS_HEAD_BYTES_MAX) bytes. 0, or -EPROTO if it is shorter than its fixed part (rule
// 10) or its metadata length is wrong (rule 12); stream, type and flags are set also then, as far
// as there were bytes for them (else zero). Types not known here are no error.
int rs_frame_read(struct rs_frame *f, const uint8_t *head, size_t frame_len);
// Writes the head (no length prefix) to `out`, which has room for RS_HEAD_BYTES_MAX; returns its
// length. Uses stream, type, flags, metadata_len and the type's field. Not for SETUP and RESUME.
uint32_t rs_frame_write(uint8_t *out, const struct rs_frame *f);
// The length of a head of this type and these flags; not for SETUP and RESUME.
uint32_t rs_frame_head_len(uint8_t type, uint16_t flags);
// True if the type is one of enum rs_type but RS_RESERVED.
bool rs_type_known(uint8_t type);
// True for the four REQUEST_ types that open a stream.
static inline bool rs_type_request(uint8_t type)
{
	return type >= RS_REQUEST_RESPONSE && type <= RS_REQUEST_CHANNEL;
}

static inline void rs_prefix_write(uint8_t *out, uint32_t frame_len)
{
	out[0] = (uint8_t)(frame_len >> 16);
	out[1] = (uint8_t)(frame_len >> 8);
	out[2] = (uint8_t)frame_len;
}

// The rest of a SETUP's head. Strings are NUL-terminated here, not on the wire (rule 28).
struct rs_setup_head {
	uint16_t major, minor;
	uint32_t keepalive_ms, lifetime_ms;
	bool has_token; // as RS_FLAG_RESUME (rule 27)
	uint16_t token_len;
	uint32_t token_at;    // read: where it starts in the frame
	const uint8_t *token; // write
	char metadata_mime[RS_MIME_BYTES_MAX + 1];
	char data_mime[RS_MIME_BYTES_MAX + 1];
};

#define RS_SETUP_HEAD_BYTES_MAX \
	(RS_HEADER_BYTES + 12 + 2 + 0xffff + 2 * (1 + RS_MIME_BYTES_MAX) + 3)

// Reads a whole SETUP frame, whose header rs_frame_read() has read into f, and completes f.
// 0 or -EPROTO.
int rs_setup_read(struct rs_setup_head *setup, struct rs_frame *f, const struct chain *frame);
// Writes the whole head. Uses of f: stream, flags (RS_FLAG_RESUME follows has_token), metadata_len.
void rs_setup_write(struct writer *w, const struct rs_setup_head *setup, const struct rs_frame *f);

struct rs_resume_head {
	uint16_t major, minor;
	uint16_t token_len;
	uint32_t token_at;
	const uint8_t *token;
	uint64_t server_position; // last received from the server
	uint64_t client_position; // first the client still has
};

int rs_resume_read(struct rs_resume_head *resume, struct rs_frame *f, const struct chain *frame);
void rs_resume_write(
	struct writer *w, const struct rs_resume_head *resume, const struct rs_frame *f);

// "REQUEST_RESPONSE", "unknown".
const char *rs_type_name(uint8_t type);
// "REJECTED", "application-defined", "reserved".
const char *rs_error_name(uint32_t code);
