// SPDX-License-Identifier: Apache-2.0
// Makes calls to a gateway, or to any RSocket server: one connection, one call after the other.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/hist.h"
#include "lib/rsocket/frame.h"

#define CALLER_ERROR_MAX 600

struct caller_job {
	struct sockaddr_storage addr;
	socklen_t addr_len;
	enum rs_type type;     // RS_REQUEST_RESPONSE, RS_REQUEST_FNF, RS_REQUEST_STREAM
	const void *metadata;  // composite
	size_t metadata_len;
	const void *data;
	size_t data_len;
	const char *data_mime;
	uint32_t credit;     // items of a stream that may be under way
	uint64_t items_max;  // the stream is cancelled after so many; 0: not
	uint64_t repeat;     // calls, at least 1
	ns_t timeout;        // of the connection, and of each answer or item
	// A reply's or an item's data. False ends the run: it could not be written.
	bool (*item)(void *user, const struct chain *data);
	void *user;
};

enum caller_end {
	CALLER_DONE,
	CALLER_FAILED,       // the call ended with an error
	CALLER_NOT_REACHED,  // there was no connection, or it was lost
	CALLER_TIMED_OUT,
	CALLER_ITEM_REFUSED,  // job->item returned false
};

struct caller_result {
	enum caller_end end;
	uint64_t calls;  // that were done
	uint64_t items;  // replies or items
	uint64_t bytes;  // of them
	ns_t connect_ns;
	struct hist whole_ns;          // from the request to the end of the answer
	struct hist first_ns;          // to the first item
	char error[CALLER_ERROR_MAX];  // a sentence; empty when done
};

// Blocks until all is done or has failed. 0, or -E... when it could not begin (result->error says
// why).
int caller_run(const struct caller_job *job, struct caller_result *result);
