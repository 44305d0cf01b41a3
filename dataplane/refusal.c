// SPDX-License-Identifier: Apache-2.0
// Refusals: see refusal.h. Pure but for the counters.

#include "dataplane/refusal.h"

#include <errno.h>
#include <stdio.h>

#include "lib/base/atomic.h"

static const struct {
	size_t counter;
	uint32_t code;
	const char *text; // %s is the route
} refusals[] = {
#define COUNTER(name) offsetof(struct relay_counters, name)
	[REFUSE_NO_ROUTE] = {COUNTER(drop_no_route), RS_ERROR_INVALID,
		"the metadata names no function: send a routing tag (0x7E), in composite metadata "
		"or as the connection's metadata MIME type%s"},
	[REFUSE_NO_SERVICE] = {COUNTER(drop_no_service), RS_ERROR_REJECTED, "no such function: %s"},
	[REFUSE_NO_TARGET] = {COUNTER(drop_no_target), RS_ERROR_REJECTED, "no live instance of %s"},
	[REFUSE_TARGETS_DOWN] = {COUNTER(drop_targets_down), RS_ERROR_REJECTED,
		"no backend of %s can be reached"},
	[REFUSE_CALLS_FULL] = {COUNTER(drop_calls_full), RS_ERROR_REJECTED,
		"the gateway has too many calls in flight to take one of %s"},
	[REFUSE_QUEUE_FULL] = {COUNTER(drop_queue_full), RS_ERROR_REJECTED,
		"the queue of %s is full"},
	[REFUSE_TOO_LARGE] = {COUNTER(drop_too_large), RS_ERROR_REJECTED,
		"the message for %s is too large"},
	[REFUSE_TOO_DEEP] = {COUNTER(drop_too_deep), RS_ERROR_REJECTED,
		"functions call functions too deep here, in a circle perhaps: %s is not called"},
#undef COUNTER
};

enum refusal refusal_of(int error)
{
	switch (error) {
	case -EBADMSG:
		return REFUSE_NO_ROUTE;
	case -ENOENT:
		return REFUSE_NO_TARGET;
	case -EHOSTUNREACH:
	case -ESHUTDOWN:
		return REFUSE_TARGETS_DOWN;
	case -EMSGSIZE:
		return REFUSE_TOO_LARGE;
	case -ENFILE:
		return REFUSE_CALLS_FULL;
	case -ELOOP:
		return REFUSE_TOO_DEEP;
	default:
		return REFUSE_QUEUE_FULL;
	}
}

// The length of the sequence that a byte begins (RFC 3629), 0 if it begins none that we quote.
static unsigned sequence_len(uint8_t first)
{
	if (first >= 0x20 && first < 0x7f)
		return 1;
	if (first >= 0xc2 && first < 0xe0)
		return 2;
	if (first >= 0xe0 && first < 0xf0)
		return 3;
	return first >= 0xf0 && first < 0xf5 ? 4 : 0;
}

// Forms too long by a byte, surrogates, and what is beyond Unicode.
static bool second_fits(uint8_t first, uint8_t second)
{
	return !(first == 0xe0 && second < 0xa0) && !(first == 0xed && second >= 0xa0) &&
	       !(first == 0xf0 && second < 0x90) && !(first == 0xf4 && second >= 0x90);
}

// Names come from clients. Error data is UTF-8 (rule 81), and people read it.
static bool quotable(const struct rs_route *route)
{
	const uint8_t *at = (const uint8_t *)route->text, *end = at + route->len;

	while (at < end) {
		unsigned len = sequence_len(*at);

		if (len == 0 || len > (size_t)(end - at))
			return false;
		if (len > 1 && !second_fits(at[0], at[1]))
			return false;
		for (unsigned i = 1; i < len; i++)
			if ((at[i] & 0xc0) != 0x80)
				return false;
		at += len;
	}
	return true;
}

uint32_t refusal_make(enum refusal why, struct relay_counters *counters,
	const struct rs_route *route, char text[REFUSAL_TEXT_MAX])
{
	counter_add((uint64_t *)(void *)((char *)counters + refusals[why].counter), 1);
	snprintf(text, REFUSAL_TEXT_MAX, refusals[why].text,
		quotable(route) ? route->text : "a function whose name is no text");
	return refusals[why].code;
}
