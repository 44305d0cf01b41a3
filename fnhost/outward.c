// SPDX-License-Identifier: Apache-2.0
// Calls that functions of this host make to others: relayed as they are to a gateway, as a request of ours on its
// connection (an even stream id). Loop's thread. The function has stamped the time left; the gateway routes.
#include <stdlib.h>

#include "fnhost/host.h"
#include "fnhost/relay.h"

static void ended(struct relay *r, enum relay_end how)
{
	free(r);
}

static void refuse(struct rs_stream *stream, const char *why)
{
	if (stream->type != RS_REQUEST_FNF)
		rs_error(stream, RS_ERROR_REJECTED, why);
}

void outward_begin(struct host *h, struct rs_stream *stream, struct rs_message *message)
{
	struct rs_session *gateway = server_ask(h);
	bool event = stream->type == RS_REQUEST_FNF;
	struct relay *r;

	h->counts.outward++;
	if (!gateway) {
		h->counts.outward_no_gateway++;
		refuse(stream, "no gateway is connected to this host");
		return;
	}
	if (event) {
		rs_fire_and_forget(gateway, message);
		return;
	}
	r = malloc(sizeof(*r));
	if (!r) {
		refuse(stream, "the host is out of memory");
		return;
	}
	relay_init(r, stream, stream->type, ended);
	if (relay_start(r, gateway, message)) {
		stream->user = NULL;
		refuse(stream, "the gateway's connection has no room");
		free(r);
	}
}
