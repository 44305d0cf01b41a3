// SPDX-License-Identifier: Apache-2.0
// Values as people read them: cells of tables.
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/clock.h"

// Any value on one line: numbers and text as they are, lists joined by commas, the rest as JSON.
// null and absent write nothing.
void format_plain(const json_t *value, char *text, size_t size);
void format_list(const json_t *value, char *text, size_t size);
void format_words(const json_t *value, char *text, size_t size);      // joined by spaces
void format_namespace(const json_t *value, char *text, size_t size);  // absent is "default"
void format_age(const json_t *value, char *text, size_t size);        // RFC 3339 -> "3d", "5m"
void format_port_addresses(const json_t *ports, char *text, size_t size);
void format_listeners(const json_t *listeners, char *text, size_t size);
void format_count(const json_t *list, char *text, size_t size);  // how many items
// The words of a command, cut to what a table can bear.
void format_command(const json_t *words, char *text, size_t size);
// Bytes as "23.5Gi"; what is no number as it is.
void format_bytes(const json_t *bytes, char *text, size_t size);
// Of an instance's spec: its function, or its job.
void format_owner(const json_t *spec, char *text, size_t size);
// Of how an instance ended: "0", "signal 9".
void format_exit(const json_t *exit, char *text, size_t size);
// Of an endpoint's status: "2 up, 1 down".
void format_endpoint_state(const json_t *status, char *text, size_t size);
void format_gateway_state(const json_t *status, char *text, size_t size);

// What an endpoint's address is to the gateways, best first. Idle: no call has needed it yet.
enum address_state {
	ADDRESS_UP,
	ADDRESS_IDLE,
	ADDRESS_CONNECTING,
	ADDRESS_DOWN,
	ADDRESS_UNKNOWN,
	ADDRESS_STATES
};
#define ADDRESS_STATE_NAMES                                   \
	{                                                     \
		"up", "idle", "connecting", "down", "unknown" \
	}
// Adds an endpoint's addresses to the counts.
void format_address_states(const json_t *status, size_t count[ADDRESS_STATES]);
void format_states(const size_t count[ADDRESS_STATES], char *text, size_t size);

// "1.25 ms", three significant figures. Returns text.
const char *format_ns(double ns, char *text, size_t size);
// "12.3k", "4.5M"; below 1,000 at most one decimal.
const char *format_rate(double per_s, char *text, size_t size);
// "45s", "12m", "3h", "5d".
const char *format_span(double seconds, char *text, size_t size);
// Nanoseconds since 1970 of "2025-01-31T12:00:00Z" with any fraction, or of a number of seconds; 0
// or -EINVAL.
int format_time_parse(const json_t *value, int64_t *wall_ns);
// Replaces control characters, so that nobody's data moves the terminal's cursor. In place.
void format_clean(char *text);
