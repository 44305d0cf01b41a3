// SPDX-License-Identifier: Apache-2.0
// What a call to one of our hosts carries besides the client's own metadata. Pure.
//
// Connections to hosts always use composite metadata, so that calls of all clients share one: plain
// routing metadata is wrapped, the client's data MIME type becomes the stream's own (0x7A), and a
// call entry (lib/call) is added. A call entry from a client is taken out; of it only the time left
// and the idempotent flag are believed. That of a function (inherits) also names the call that the
// function serves: it is told on, and its depth (call_id_depth()) plus one is the new call's, so
// that circles end.
#pragma once

#include "dataplane/client/mime.h"
#include "lib/call/entry.h"
#include "lib/rsocket/session.h"

struct host_call {
	uint64_t number;      // of the call, becomes its id
	uint32_t version;     // of the function; 0: not said
	uint32_t timeout_us;  // the function's; 0: none
	uint16_t class;
	bool idempotent;      // the function is, by its declaration
	bool inherits;        // one of our hosts asks, for a function
};

#define HOST_METADATA_MIME "message/x.rsocket.composite-metadata.v0"
#define HOST_DATA_MIME "application/octet-stream"

// Rewrites the message's metadata. 0, -EINVAL (the composite is malformed), -ELOOP (nested too
// deep), -ENOBUFS (no block). After a failure the metadata is gone, and the call to be refused.
int host_call_metadata(struct rs_message *message, const struct mime *mime,
	const struct host_call *call, struct buf_pool *blocks);
