// SPDX-License-Identifier: Apache-2.0
// What record.c writes down of a program: its writes to files of one directory, its syncs, and its
// marks, in their order. Integers in the machine's own order; a name ends with NUL.
#pragma once

#include <stdint.h>

#define TRACE_DIRECTORY_VARIABLE "CRASH_STORE" // whose files are recorded
#define TRACE_FILE_VARIABLE "CRASH_TRACE"      // where to
#define TRACE_FORGET_VARIABLE "CRASH_FORGET"   // "fdatasync": as if it did nothing
#define TRACE_FAIL_VARIABLE "CRASH_FAIL"       // "7": one sync in seven fails with EIO

enum trace_type {
	TRACE_CREATE = 1, // file; its name
	TRACE_RENAME,     // file; its new name
	TRACE_UNLINK,     // the name
	TRACE_WRITE,      // file, offset; the bytes
	TRACE_TRUNCATE,   // file; offset: its new length
	TRACE_SYNC,       // file: all of it is durable
	TRACE_SYNC_RANGE, // file, offset; length: so is this, and the file as long as that
	TRACE_SYNC_NAMES, // the directory is
	TRACE_FAILED,     // file: nobody knows what of its open writes is on the disk, or will be
	TRACE_MARK,       // the mark
};

struct trace_head {
	uint32_t type, reserved;
	uint64_t file; // inode
	uint64_t offset;
	uint64_t length; // of what follows; TRACE_SYNC_RANGE: nothing follows
};
