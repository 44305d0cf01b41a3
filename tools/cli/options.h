// SPDX-License-Identifier: Apache-2.0
// Options as tables: the same rows parse, print --help, make the shell completion and are held
// against the man page.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/clock.h"

#define OPTION_LIST_MAX 32

enum option_kind {
	OPTION_FLAG,   // bool
	OPTION_TEXT,   // const char *
	OPTION_COUNT,  // uint64_t
	OPTION_SPAN,   // ns_t: "250ms", "2s", "1m", "500us"; a bare number means seconds
	OPTION_LIST,   // struct option_list: may be given several times
};

struct option {
	char letter;        // 0: has none
	const char *name;   // without the dashes
	const char *value;  // what --help calls it; NULL for a flag
	const char *help;
	enum option_kind kind;
	size_t offset;  // of the member in the struct of values
};

struct option_list {
	const char *item[OPTION_LIST_MAX];
	size_t count;
};

struct option_set {
	const struct option *options;
	size_t count;
	void *values;
};

// Longest sentence that option_parse() writes.
#define OPTION_ERROR_MAX 256

// Reads argv[0..argc). Options are looked up in the first set, then the second; the other words go
// to `words` (room for argc) in their order. "--" ends the options. stop_at_word: returns before
// the first word and leaves it. Returns how many of argv were read, or -EINVAL with a sentence in
// `error`.
int option_parse(const struct option_set sets[2], int argc, char **argv, bool stop_at_word,
	char **words, int *word_count, char error[OPTION_ERROR_MAX]);
// "250ms" and the like. 0 or -EINVAL.
int option_span(const char *text, ns_t *out);
// Decimal digits alone. 0 or -EINVAL.
int option_count(const char *text, uint64_t *out);
