// SPDX-License-Identifier: Apache-2.0
// What the victim says of itself while it runs: what it is about to store, what is durable, what it
// has told others. In a pipe (kills.c) or between the recorded writes (images.c).
//
// A mark is its type (u32), the length of its body (u32), the body; integers as LEB128.
#pragma once

#include <stdbool.h>

#include "controlplane/registry.h"
#include "sched/codec.h"

enum mark {
	MARK_CONTENT = 1, // of a new store: its batch, records
	MARK_READY,       // the start is over
	MARK_BATCH,       // goes to the store now: its number, last seq, records
	MARK_DURABLE,     // the store took it: its number
	MARK_REFUSED,     // the store did not take it
	MARK_ENCODING,    // a checkpoint is being encoded
	MARK_SEQ,         // a client is told that this change is stored: seq
	MARK_JOB,         // and that the scheduler has it: namespace, name, text of its version
	MARK_CHILD,       // and that a job was dispatched: name, hash of its payload
	MARK_DEED,        // a host or gateway is told: enum mark_deed, id
	MARK_END,         // as many batches as were asked for
};

enum mark_deed {
	MARK_PLACED,
	MARK_STOPPED,
	MARK_ENDED,
	MARK_GONE,
};

#define MARK_HEAD_BYTES 8
#define MARK_FD_VARIABLE "CRASH_MARK_FD"
#define MARK_NEW_VARIABLE "CRASH_NEW"

// A record: key, version (0: removed), length and hash; of a log its bytes, too.
struct mark_record {
	const char *key;
	uint64_t version, hash;
	size_t len;
	const uint8_t *bytes; // NULL: not sent
};

// Writes the mark of a body; stops the program if nobody listens. From any thread.
void mark_send(int fd, enum mark type, const struct sched_bytes *body);
void mark_put_record(struct sched_bytes *b, const struct mark_record *record);
void mark_put_writes(struct sched_bytes *b, const struct store_txn *txn);
// A text with its length.
void mark_put_text(struct sched_bytes *b, const char *text);

// False at the end, or if the bytes are damaged (r->bad). The key lies in `key`.
bool mark_get_record(struct reader *r, char key[STORE_KEY_MAX + 1], struct mark_record *record);
void mark_get_text(struct reader *r, char *text, size_t room);

// The store as the control plane has it, with a journal so small that its halves are full often and
// some batches do not fit in it at all. NULL with *error.
struct store *mark_open_store(const char *directory, int *error);

uint64_t mark_hash(const void *bytes, size_t len);
bool mark_is_log(const char *key);
