// SPDX-License-Identifier: Apache-2.0
// The credit of one stream, in items: what the client has granted, and how much of it was passed on
// to the backend. Pure.
//
//   client's grants -> wanted -> passed on: outstanding -> arrived: queued at the client's stream
//
// Small grants pass straight on. Large ones are passed on as far as what is queued or expected fits
// a window of bytes. The size of items is known only by those that came, so a stream begins with
// few and may have one more outstanding for each that has arrived: what one unusually large item
// after small ones can cost is bounded by what the stream has carried so far.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ledger {
	uint32_t wanted;      // granted by the client, not passed on yet
	uint32_t outstanding; // passed on, not arrived yet
	uint32_t surplus;     // arrived without being asked for; the next grants are for them
	uint32_t burst;       // outstanding stays within it
	uint32_t low_water;   // more is passed on when outstanding has fallen to this
	uint32_t item_bytes;  // of an item, estimated; 0: not known
};

// Begins with the client's first credit; item_bytes: as of earlier streams, 0 if there was none.
// Returns what is to be passed on with the request, at least 1.
uint32_t ledger_open(struct ledger *l, uint32_t credit, uint32_t item_bytes, size_t window_bytes);
void ledger_grant(struct ledger *l, uint32_t n);
// An item of so many bytes, overhead of the queue included.
void ledger_arrived(struct ledger *l, size_t bytes);
// True if it is time to ask for more, without a new grant.
static inline bool ledger_due(const struct ledger *l)
{
	return l->wanted > 0 && l->outstanding <= l->low_water;
}
// How many items to ask the backend for now; they count as passed on. queued_bytes: waiting at the
// client's stream.
uint32_t ledger_pass(struct ledger *l, size_t queued_bytes, size_t window_bytes);
