// SPDX-License-Identifier: Apache-2.0
// `sha256`: replies with the digest of the call's data, as 64 hexadecimal digits. OpenSSL's libcrypto does the
// work: it uses the processor's own instructions for it.
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>

#include "fnhost/demo/demo.h"

static int digest(struct pn_context *ctx, const void *data, size_t len)
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	char text[2 * EVP_MAX_MD_SIZE + 1];
	unsigned hash_len;

	if (!EVP_Digest(data, len, hash, &hash_len, EVP_sha256(), NULL))
		return -EIO;
	for (unsigned i = 0; i < hash_len; i++)
		snprintf(text + 2 * i, 3, "%02x", hash[i]);
	return pn_reply(ctx, text, 2 * hash_len);
}

const struct pn_function demo_sha256 = {.call = digest};
