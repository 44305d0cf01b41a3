// SPDX-License-Identifier: Apache-2.0
// `count`: data is a decimal N; a stream of N items "1" to "N", as fast as the caller asks for them.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "fnhost/demo/demo.h"

// The data has a NUL behind it only in our own backends, so it is copied to where it has one.
static int parse(const void *data, size_t len, uint64_t *n)
{
	char text[24], *end;

	if (len == 0 || len >= sizeof(text))
		return -EINVAL;
	snprintf(text, sizeof(text), "%.*s", (int)len, (const char *)data);
	errno = 0;
	*n = strtoull(text, &end, 10);
	return errno || *end || end == text || text[0] == '-' ? -EINVAL : 0;
}

static int count(struct pn_context *ctx, const void *data, size_t len)
{
	uint64_t n;
	int rc = parse(data, len, &n);

	if (rc)
		return pn_error(ctx, PN_INVALID, "count takes a decimal number");
	for (uint64_t i = 1; rc == 0 && i <= n; i++) {
		char text[24];
		int text_len = snprintf(text, sizeof(text), "%" PRIu64, i);

		rc = pn_item(ctx, text, (size_t)text_len);
	}
	return rc;
}

static int last(struct pn_context *ctx, const void *data, size_t len)
{
	uint64_t n;

	if (parse(data, len, &n))
		return pn_error(ctx, PN_INVALID, "count takes a decimal number");
	return pn_reply(ctx, data, len);
}

const struct pn_function demo_count = {.call = last, .stream = count};
