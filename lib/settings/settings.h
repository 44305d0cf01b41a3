// SPDX-License-Identifier: Apache-2.0
// What a daemon needs to start: one table for its flags, its YAML file and its --help.
//
// A value comes from the caller's defaults, then the file, then the flags. The file is a mapping of
// the flags' names; a list may be a sequence there, and its flag may be given several times.
// Nothing is left half read in silence: an unknown name, a name given twice and a wrong value are
// told with file and line. Reads the file and writes to the streams it is given; nothing else.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/base/log.h"

#define SETTINGS_MAX 64 // rows of a table

enum setting_kind {
	SETTING_TEXT,   // char[]
	SETTING_LIST,   // array of char[], and how many there are
	SETTING_NUMBER, // unsigned
	SETTING_BYTES,  // uint64_t; "64m": k, m, g, t are powers of 1024
	SETTING_SWITCH, // bool
	SETTING_LEVEL,  // enum log_level
};

struct setting {
	const char *name;  // of the flag, without dashes, and of the file's line
	const char *value; // how --help calls it; NULL for a switch
	const char *help;
	enum setting_kind kind;
	size_t at;         // of the member in the struct of values
	uint64_t min, max; // of a number or bytes; characters of a text
	size_t room;       // entries of a list
	size_t count_at;   // of a list: unsigned, how many there are
};

// The last columns of a row. Members of another type than the kind's do not compile.
#define SETTING_MEMBER(type, member, wanted) \
	_Generic(&((type *)0)->member, wanted *: offsetof(type, member))
#define SETTING_AS_TEXT(type, member, least) \
	SETTING_TEXT, offsetof(type, member), least, sizeof(((type *)0)->member) - 1
#define SETTING_AS_LIST(type, member, counter)                                       \
	SETTING_LIST, offsetof(type, member), 1, sizeof(((type *)0)->member[0]) - 1, \
		sizeof(((type *)0)->member) / sizeof(((type *)0)->member[0]),        \
		SETTING_MEMBER(type, counter, unsigned)
#define SETTING_AS_NUMBER(type, member, least, most) \
	SETTING_NUMBER, SETTING_MEMBER(type, member, unsigned), least, most
#define SETTING_AS_BYTES(type, member, least) \
	SETTING_BYTES, SETTING_MEMBER(type, member, uint64_t), least, INT64_MAX
#define SETTING_AS_SWITCH(type, member) SETTING_SWITCH, SETTING_MEMBER(type, member, bool)
#define SETTING_AS_LEVEL(type, member) SETTING_LEVEL, SETTING_MEMBER(type, member, enum log_level)

struct settings {
	const char *program; // its name
	const char *about;   // a sentence for --help
	const char *usage;   // what stands behind the name in the usage line
	const char *notes;   // the end of --help; NULL: none
	const char *file;    // read if it is there and no --config names another
	const struct setting *table;
	size_t count;
};

enum settings_result {
	SETTINGS_RUN,
	SETTINGS_EXIT, // --help or --version was printed on `out`
	SETTINGS_WRONG // a sentence that says what to do is on `err`
};

// Fills in `values`, which hold the defaults.
enum settings_result settings_read(
	const struct settings *s, void *values, int argc, char **argv, FILE *out, FILE *err);
