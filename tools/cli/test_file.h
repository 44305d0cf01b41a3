// SPDX-License-Identifier: Apache-2.0
// Files of `penstock test`: YAML (or JSON) with the cases of one function. Everything in a file is checked before
// its first case runs; faults name their line.
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "tools/cli/manifest.h"

#define TEST_FILE_SUFFIX ".test.yaml"

struct test_file {
	struct manifest manifest;
	struct manifest_doc *doc; // in it
	json_t *tests;            // borrowed
	char dir[4096];           // of the file; what it names is relative to it
};

// Bytes that a file names, with a NUL behind them.
struct test_data {
	char *bytes;
	size_t len;
};

// 0, or -E... with *error filled; fini it in either case.
int test_file_load(struct test_file *f, const char *path, struct manifest_error *error);
void test_file_fini(struct test_file *f);
// Of a case: "call", "event" or "stream".
const char *test_case_kind(const json_t *test);
// An error's code by its name or number. 0: there is none such.
uint32_t test_error_code(const json_t *value);
// NULL for a code without a name.
const char *test_error_name(uint32_t code);
// A string, or {text:}, {file:}, {base64:}. 0, or -E... with a sentence in why. Free data->bytes.
int test_data_read(const json_t *value, const char *dir, struct test_data *data, char *why, size_t room);
// The same, or {contains:}, {bytes: N}, held against what came. False with a sentence in why.
bool test_data_matches(const json_t *want, const char *dir, const struct test_data *got, char *why, size_t room);
