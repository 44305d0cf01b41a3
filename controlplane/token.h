// SPDX-License-Identifier: Apache-2.0
// The join token: what a machine must know to be trusted with code and calls. Only its SHA-256 is
// kept here; the file may hold that instead of the token, too, as "sha256:" and 64 hex digits.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOKEN_MIN 16
#define TOKEN_MAX 255

struct token {
	bool known;  // false: nobody joins
	uint8_t hash[32];
};

// From the first line of a file. 0; -EINVAL: it is too short, too long or no hash; -E... of reading.
int token_read(struct token *t, const char *path);
// 0 or -EINVAL.
int token_parse(struct token *t, const char *text);
// False for NULL and as long as no token is known. Takes as long wherever the difference is.
bool token_matches(const struct token *t, const char *text);
