// SPDX-License-Identifier: Apache-2.0
// Which functions are called, how often, with what, and how replies are checked.
#pragma once

#include "lib/base/rng.h"
#include "lib/rsocket/metadata.h"
#include "lib/rsocket/session.h"

#define MIX_MAX 32
#define MIX_NAME_MAX 200

enum mix_check {
	CHECK_NONE,
	CHECK_SAME,   // the reply, or each item, is what was sent (echo)
	CHECK_DATA,   // the reply is the given data (delay, count as request-response)
	CHECK_ITEMS,  // items "1", "2", ... "N" (count as a stream)
	CHECK_LENGTH, // so many bytes (size)
	CHECK_SIZE,   // the decimal number of bytes sent (sink)
};

struct mix_entry {
	char label[MIX_NAME_MAX]; // as the report calls it
	enum rs_type type;
	enum mix_check check;
	uint32_t weight;
	char data[MIX_NAME_MAX];
	uint32_t data_len; // 0: a pattern of --size bytes
	uint64_t number;   // what CHECK_ITEMS and CHECK_LENGTH expect
	uint8_t metadata[300];
	uint32_t metadata_len;
};

struct mix {
	struct mix_entry entries[MIX_MAX];
	unsigned count;
	uint32_t weights;
};

struct mix_config {
	const char *functions;  // "echo=9,stream:count:10=1"
	const char *kind;       // rr, fnf, stream: of functions that do not say
	const char *metadata;   // composite, routing
	const char *name_space; // NULL: none
	uint64_t size;
};

// 0; -EINVAL after the fault was told on standard error.
int mix_parse(struct mix *mix, const struct mix_config *config);
const struct mix_entry *mix_choose(const struct mix *mix, struct rng *rng);
const char *mix_kind_name(enum rs_type type);
