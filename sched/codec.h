// SPDX-License-Identifier: Apache-2.0
// The log: transactions as packed bytes, for the store, for replay, and for whoever publishes what
// became durable.
//
// A transaction is a frame of 16 bytes (u16 magic, u8 format, u8 0, u32 length of the body, u64
// index) and the changes behind it: u8 type, then its fields, integers as LEB128. Transactions
// follow each other without gaps, so a group commit is one append of what collected. A frame says
// how long it is, so that one that is cut off is recognised; whether bytes are damaged is for the
// store to know.
//
// Format 1. A reader refuses formats it does not know. Fields may be added to the end of EVAL_PUT,
// NODE_PUT, JOB_PUT and DEPLOYMENT_PUT, which carry their own length; other types only get new
// numbers.
#pragma once

#include "lib/base/cursor.h"
#include "sched/types.h"

#define SCHED_LOG_FORMAT 1
#define SCHED_LOG_FRAME_BYTES 16

enum sched_change_type {
	SCHED_NODE_PUT = 1,
	SCHED_NODE_STATE,
	SCHED_NODE_DEL,
	SCHED_JOB_PUT_SPEC,
	SCHED_JOB_DEL,
	SCHED_PLACE_HEAD, // only in bytes: what the PLACEs behind it have in common
	SCHED_PLACE,
	SCHED_STOP_INSTANCE,
	SCHED_UPDATE_INSTANCE,
	SCHED_INSTANCE_STATUS,
	SCHED_INSTANCE_DEL,
	SCHED_INSTANCE_ROW, // whole, in checkpoints
	SCHED_EVAL_PUT,
	SCHED_EVAL_DEL,
	SCHED_QUOTA_PUT,
	SCHED_QUOTA_DEL,
	SCHED_JOB_LAUNCH, // of a schedule, or what it is settled until
	SCHED_JOB_ENDED,  // a batch job
	SCHED_DEPLOYMENT_PUT, // slot: its job's
	SCHED_CHANGE_TYPES,
};

// One change of one row. Pointers are the giver's, except info and spec: whoever applies the change
// owns these blocks from then on (block.h).
struct sched_change {
	uint8_t type;
	uint32_t slot;
	union {
		struct {
			const struct sched_node_info *info;
			struct sched_res capacity;
		} node;
		struct {
			uint8_t status, eligible, draining;
		} node_state;
		struct {
			const struct sched_spec *spec;
			bool purge;
			bool older; // in checkpoints: a version that only instances still have
		} job;
		const struct sched_instance *instance; // PLACE, INSTANCE_ROW
		struct {
			uint8_t desired;
			bool lost;
		} stop;
		struct {
			uint32_t version;
			struct sched_res ask;
		} update;
		struct {
			uint8_t status;
			bool ready;
			uint16_t reschedules;
			ns_t changed_ns;
			uint8_t exit_code, exit_signal;
		} status;
		const struct sched_eval *eval;
		const struct sched_deployment *deployment;
		struct {
			const char *namespace; // not terminated
			uint32_t namespace_len;
			struct sched_res limit;
		} quota;
		struct {
			ns_t launched_ns;
			uint32_t launches, skips;
		} launch;
		ns_t ended_ns;
	};
};

// Bytes that grow. `failed` stays set once memory ran out.
struct sched_bytes {
	uint8_t *data;
	size_t len, room;
	bool failed;
};

void sched_bytes_fini(struct sched_bytes *b);
// n more bytes, to be filled; NULL: out of memory.
uint8_t *sched_bytes_take(struct sched_bytes *b, size_t n);
void sched_put_u8(struct sched_bytes *b, uint8_t v);
void sched_put_uint(struct sched_bytes *b, uint64_t v);
void sched_put_text(struct sched_bytes *b, const char *text);
uint64_t sched_get_uint(struct reader *r);
// As sched_get_uint, with a bound that makes the reader bad.
uint32_t sched_get_u32(struct reader *r);

// Writes transactions into bytes.
struct sched_encoder {
	struct sched_bytes out;
	size_t frame;               // where the open transaction begins
	struct sched_instance head; // of the last PLACE_HEAD; job SCHED_NONE: none
	bool incomplete;            // out of memory: a transaction is not in the bytes
};

void sched_encode_begin(struct sched_encoder *e, uint64_t index);
void sched_encode(struct sched_encoder *e, const struct sched_change *change);
// 0, or -ENOMEM: the transaction is not in the bytes.
int sched_encode_end(struct sched_encoder *e);

// Reads them back.
struct sched_decoder {
	struct reader all;  // transactions not begun
	struct reader body; // of the one that is open
	uint64_t index;
	struct sched_instance head, instance;
	struct sched_eval eval;
	struct sched_deployment deployment;
};

void sched_decoder_init(struct sched_decoder *d, const void *bytes, size_t len);
// The next transaction: 1; 0 at the end; -EBADMSG; -EPROTO: a format that this program does not
// know.
int sched_decode_begin(struct sched_decoder *d);
// The next change of the transaction: 1; 0 at its end; -EBADMSG, -ENOMEM. The change is valid until
// the next call.
int sched_decode(struct sched_decoder *d, struct sched_change *change);
