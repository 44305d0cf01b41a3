// SPDX-License-Identifier: Apache-2.0
// Reading and comparing the join token: token.h. What was read is wiped.
#include "controlplane/token.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#define HASH_PREFIX "sha256:"

static int parse_hash(uint8_t out[32], const char *hex)
{
	if (strlen(hex) != 64 || strspn(hex, "0123456789abcdefABCDEF") != 64)
		return -EINVAL;
	for (int i = 0; i < 32; i++)
		if (sscanf(hex + 2 * i, "%2hhx", &out[i]) != 1)
			return -EINVAL;
	return 0;
}

int token_parse(struct token *t, const char *text)
{
	struct token parsed = {.known = true};
	size_t len = strlen(text);

	if (strncmp(text, HASH_PREFIX, strlen(HASH_PREFIX)) == 0) {
		if (parse_hash(parsed.hash, text + strlen(HASH_PREFIX)))
			return -EINVAL;
	} else if (len < TOKEN_MIN || len > TOKEN_MAX) {
		return -EINVAL;
	} else {
		SHA256((const uint8_t *)text, len, parsed.hash);
	}
	*t = parsed;
	return 0;
}

int token_read(struct token *t, const char *path)
{
	char line[TOKEN_MAX + 3] = "";
	FILE *file = fopen(path, "re");
	int rc;

	if (!file)
		return -errno;
	// Unbuffered, so that nothing of it stays in the heap.
	setvbuf(file, NULL, _IONBF, 0);
	rc = fgets(line, sizeof(line), file) || !ferror(file) ? 0 : -EIO;
	fclose(file);
	line[strcspn(line, "\r\n")] = 0;
	if (!rc)
		rc = token_parse(t, line);
	OPENSSL_cleanse(line, sizeof(line));
	return rc;
}

bool token_matches(const struct token *t, const char *text)
{
	uint8_t hash[32];

	if (!t->known || !text)
		return false;
	SHA256((const uint8_t *)text, strlen(text), hash);
	return CRYPTO_memcmp(hash, t->hash, sizeof(hash)) == 0;
}
