// SPDX-License-Identifier: Apache-2.0
// A call: a stream of a client joined to a stream of an upstream connection. Credits, items,
// cancels and errors pass both ways.
//
// A host that asks for one of its functions is a client like others: its calls come on an upstream
// connection, and go to another one or to the same.
#pragma once

#include "dataplane/client/client.h"
#include "dataplane/ledger.h"
#include "dataplane/upstream/upstream.h"

struct call {
	struct relay *relay;
	struct caller *from;
	struct rs_stream *client; // of whoever asks
	struct rs_stream *upstream;
	struct upstream *via;
	uint32_t slot, generation; // of the service, for its statistics
	ns_t started;
	// Of a stream.
	bool streaming; // counted in the client's
	struct ledger ledger;
	ns_t item_at; // when the last one arrived
	struct call *next_free;
};

// The request handler of sessions of clients and hosts: starts a call, or answers at once why not.
void call_begin(struct rs_stream *stream, struct rs_message *message);
// The other events of a client's stream.
void call_request_n(struct rs_stream *stream, uint32_t n);
void call_cancel(struct rs_stream *stream);
void call_lost(struct rs_stream *stream, bool sent);
void call_pulled(struct rs_stream *stream, size_t bytes);
