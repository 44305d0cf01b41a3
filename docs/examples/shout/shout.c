// SPDX-License-Identifier: Apache-2.0
// `shout`: replies with the call's text in capitals, and asks `spell` how to spell it first if it is told to.
#include <ctype.h>
#include <errno.h>
#include <penstock.h>
#include <stdlib.h>
#include <string.h>

static int spelling; // ask for it

static int start(int argc, char **argv)
{
	spelling = argc > 1 && strcmp(argv[1], "--spelling") == 0;
	return 0;
}

static int reply_loudly(struct pn_context *ctx, const char *text, size_t len)
{
	char *loud = malloc(len + 1);

	if (!loud)
		return -ENOMEM;
	for (size_t i = 0; i < len; i++)
		loud[i] = (char)toupper((unsigned char)text[i]);
	return pn_reply_take(ctx, loud, len);
}

static int shout(struct pn_context *ctx, const void *data, size_t len)
{
	struct pn_result spelled;
	int rc;

	if (len == 0)
		return pn_error(ctx, PN_INVALID, "there is nothing to shout");
	if (!spelling)
		return reply_loudly(ctx, data, len);
	rc = pn_call(ctx, "spell", data, len, &spelled);
	if (rc)
		return rc;
	rc = spelled.code ? pn_error(ctx, spelled.code, "spell: %s", (char *)spelled.data)
			  : reply_loudly(ctx, spelled.data, spelled.len);
	pn_result_free(&spelled);
	return rc;
}

int main(int argc, char **argv)
{
	static const struct pn_function function = {.start = start, .call = shout};

	return pn_main(argc, argv, &function);
}
