// SPDX-License-Identifier: Apache-2.0
// `echo`: replies with the call's data; as a stream, with that as its only item; events are accepted.
#include "fnhost/demo/demo.h"

static int reply(struct pn_context *ctx, const void *data, size_t len)
{
	return pn_reply(ctx, data, len);
}

static int accept_event(struct pn_context *ctx, const void *data, size_t len)
{
	return 0;
}

static int one_item(struct pn_context *ctx, const void *data, size_t len)
{
	return pn_item(ctx, data, len);
}

const struct pn_function demo_echo = {.call = reply, .event = accept_event, .stream = one_item};
