// SPDX-License-Identifier: Apache-2.0
// The limits of the data plane, in one place. Those that an operator may want to change are flags
// or fields of the Gateway resource and take their defaults from here.
#pragma once

#include "lib/base/clock.h"

#define SERVICES_MAX 32768u       // routes in the table; 10 KiB a worker for each that is called
#define SERVICE_TARGETS_MAX 1024u // targets of one service
#define TARGETS_MAX 32768u        // distinct addresses
#define ROUTE_LEN_MAX 255u        // of a routing tag

#define CLIENTS_MAX 65536u        // connections of clients on one worker
#define STREAMS_MAX 131072u       // open streams of one worker, both sides counted
#define CLIENT_STREAMS_MAX 16384u // open at once by one client
#define HOST_STREAMS_MAX 16384u   // open at once by the functions of one host, on one connection
#define CALLS_MAX 65536u          // calls in flight on one worker
#define UPSTREAM_CALLS_MAX 16384u // calls in flight on one upstream connection
#define MIME_PAIRS_MAX 256u       // distinct pairs of MIME types of one worker
#define LOADS_MAX 16384u          // functions at hosts whose load one worker remembers
#define LOAD_AGE_MAX NS_PER_SEC   // told longer ago, a load does not count

#define BLOCK_BYTES 4096u                    // of the pool of copies
#define BLOCKS_BYTES_MAX ((size_t)512 << 20) // of it all, a worker

#define RECEIVED_BYTES_MAX \
	((size_t)512 << 20)           // of what backends sent and clients have not read yet
#define RELIEF_BYTES_MIN (256u << 10) // a client with less is not cut when memory is short

#define MESSAGE_BYTES_MAX ((size_t)16 << 20) // of one message, after reassembly
#define FRAGMENT_BYTES (64u << 10)           // longer frames are cut
#define STREAM_WINDOW_BYTES (256u << 10)     // items of one stream, queued or on their way
#define STREAM_FIRST_ITEMS 128u              // granted at first, by what earlier streams were like
#define CLIENT_WINDOW_BYTES ((size_t)16 << 20)           // items of all streams of one client
#define CLIENT_QUEUE_BYTES_MAX ((size_t)64 << 20)        // replies waiting for one client
#define CLIENT_STREAM_QUEUE_BYTES_MAX ((size_t)34 << 20) // of it, for one stream
#define CLIENT_PAUSE_BYTES \
	((size_t)20 << 20) // above this many, its requests wait in the TCP window
#define UPSTREAM_QUEUE_BYTES_MAX ((size_t)64 << 20) // requests waiting for one upstream connection

// Replies of all clients' calls meet on one connection.
#define UPSTREAM_REASSEMBLY_BYTES_MAX (BLOCKS_BYTES_MAX / 2)

#define SETUP_TIMEOUT (10 * NS_PER_SEC) // from the handshake to SETUP
#define FAREWELL_TIMEOUT \
	(NS_PER_SEC / 2) // from CONNECTION_CLOSE to our FIN; calls that cross it are rejected
#define LINGER_TIMEOUT (5 * NS_PER_SEC) // from our FIN to the reset of a client that does not close
#define UPSTREAM_IDLE (60 * NS_PER_SEC) // an upstream connection without calls is closed
#define RELAY_HOUSEKEEPING (NS_PER_SEC / 2)
#define DRAIN_TIMEOUT (10 * NS_PER_SEC) // calls that last longer are cut off at the end

_Static_assert(STREAMS_MAX >= 2 * CALLS_MAX, "a call takes a stream on each side");
_Static_assert(CLIENT_WINDOW_BYTES < CLIENT_PAUSE_BYTES, "streams alone do not pause a client");
_Static_assert(
	2 * MESSAGE_BYTES_MAX < CLIENT_STREAM_QUEUE_BYTES_MAX, "a stream begins with two items");
_Static_assert(
	CLIENT_STREAM_QUEUE_BYTES_MAX < CLIENT_QUEUE_BYTES_MAX, "a stream cannot fill it all");
_Static_assert(MESSAGE_BYTES_MAX < CLIENT_PAUSE_BYTES, "one large reply does not pause a client");
_Static_assert(CLIENT_PAUSE_BYTES < CLIENT_QUEUE_BYTES_MAX, "a client is paused before it is cut");
_Static_assert(MESSAGE_BYTES_MAX < CLIENT_QUEUE_BYTES_MAX, "the largest reply fits the queue");
_Static_assert(MESSAGE_BYTES_MAX < UPSTREAM_QUEUE_BYTES_MAX, "the largest request fits the queue");
