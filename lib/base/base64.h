// SPDX-License-Identifier: Apache-2.0
// Base64 of RFC 4648, section 4: with padding, no line ends. Pure.
#pragma once

#include <stddef.h>
#include <sys/types.h>

// Room for the text of len bytes, with its NUL.
#define BASE64_TEXT_BYTES(len) (((len) + 2) / 3 * 4 + 1)
// Room for the bytes of a text of len characters.
#define BASE64_DATA_BYTES(len) ((len) / 4 * 3)

// text has room for BASE64_TEXT_BYTES(len).
void base64_encode(const void *data, size_t len, char *text);
// out has room for BASE64_DATA_BYTES(len); it may be NULL to only look. How many bytes they are; -EINVAL: no base64.
ssize_t base64_decode(const char *text, size_t len, void *out);
