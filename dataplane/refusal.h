// SPDX-License-Identifier: Apache-2.0
// Why the gateway itself does not take a call: the counter, the error code and the sentence for
// each reason, once.
#pragma once

#include "dataplane/relay.h"

enum refusal {
	REFUSE_NO_ROUTE,
	REFUSE_NO_SERVICE,
	REFUSE_NO_TARGET,
	REFUSE_TARGETS_DOWN,
	REFUSE_CALLS_FULL,
	REFUSE_QUEUE_FULL,
	REFUSE_TOO_LARGE,
	REFUSE_TOO_DEEP,
};

#define REFUSAL_TEXT_MAX 512

// The reason for what upstream_pick() or rs_request() returned.
enum refusal refusal_of(int error);
// Counts the drop. Returns the code of the error, and in text what it says about the route.
uint32_t refusal_make(enum refusal why, struct relay_counters *counters,
	const struct rs_route *route, char text[REFUSAL_TEXT_MAX]);
