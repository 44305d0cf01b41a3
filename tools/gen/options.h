// SPDX-License-Identifier: Apache-2.0
// Command line options as a table, from which parser and help are made.
#pragma once

#include <stddef.h>
#include <stdint.h>

enum option_kind {
	OPTION_FLAG,     // bool
	OPTION_TEXT,     // const char *
	OPTION_COUNT,    // uint64_t
	OPTION_BYTES,    // uint64_t, with an optional k, m or g (powers of 1024)
	OPTION_NUMBER,   // double
	OPTION_SECONDS,  // ns_t, from a decimal number
	OPTION_FRAGMENT, // uint32_t: bytes, or "never"
	OPTION_HEADING,  // only text in the help
};

struct option_def {
	const char *name; // without dashes
	enum option_kind kind;
	size_t offset;     // of the field
	const char *value; // what the help calls the value
	const char *help;
};

// Fills `config` by a table that ends with a NULL name. 0; 1 after --help was printed; -EINVAL
// after the fault was told on standard error.
int gen_options_parse(const struct option_def *table, void *config, int argc, char **argv);
void gen_options_help(const struct option_def *table);
