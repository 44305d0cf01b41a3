// SPDX-License-Identifier: Apache-2.0
// The METADATA_PUSH in which a host tells gateways the load of its functions. Pure: reader and
// writer side by side.
//
// Big endian: u8 2, then for each function u8 length and namespace, u8 length and name, u32
// version, u32 queued, u32 running, u32 capacity. Pushes with another first byte mean something
// else.
#pragma once

#include "lib/base/cursor.h"

#define CALL_LOAD_PUSH 2u
#define CALL_LOAD_BYTES_MAX 4096u // of a push
#define CALL_LOAD_NAME_MAX 63u    // of a namespace, and of a name

struct call_load {
	const char *namespace, *name; // not terminated
	uint8_t namespace_len, name_len;
	uint32_t version; // of the function
	uint32_t queued, running;
	uint32_t capacity; // places of instances that are ready
};

// 0; -ENOTSUP: it is a push of another kind; -EINVAL: empty, too long, torn, or with names of a
// wrong length.
int call_load_check(const void *data, size_t len);
// Takes the next function of a push that was checked: start with reader_of() behind the first byte.
// False at the end.
bool call_load_next(struct reader *r, struct call_load *load);
// False, with nothing written: no room.
bool call_load_write(struct writer *w, const struct call_load *load);
