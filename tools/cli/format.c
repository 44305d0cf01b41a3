// SPDX-License-Identifier: Apache-2.0
// Values as text. Pure but for format_age(), which asks for the wall clock's time.
#include "tools/cli/format.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// Appends, cut at the end of the buffer.
static void add(char *text, size_t size, const char *more)
{
	size_t len = strlen(text);

	if (len + 1 < size)
		snprintf(text + len, size - len, "%s", more);
}

void format_plain(const json_t *value, char *text, size_t size)
{
	char *dump;

	*text = '\0';
	if (!value || json_is_null(value))
		return;
	if (json_is_array(value)) {
		format_list(value, text, size);
		return;
	}
	if (json_is_string(value)) {
		snprintf(text, size, "%s", json_string_value(value));
		return;
	}
	dump = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
	snprintf(text, size, "%s", dump ? dump : "");
	free(dump);
}

static void join(const json_t *value, const char *between, char *text, size_t size)
{
	char part[256];
	size_t i;
	json_t *item;

	*text = '\0';
	json_array_foreach(value, i, item)
	{
		if (json_is_array(item))
			snprintf(part, sizeof(part), "[...]");
		else
			format_plain(item, part, sizeof(part));
		add(text, size, i ? between : "");
		add(text, size, part);
	}
}

void format_list(const json_t *value, char *text, size_t size)
{
	join(value, ",", text, size);
}

void format_words(const json_t *value, char *text, size_t size)
{
	join(value, " ", text, size);
}

void format_namespace(const json_t *value, char *text, size_t size)
{
	snprintf(text, size, "%s", json_is_string(value) ? json_string_value(value) : "default");
}

void format_port_addresses(const json_t *ports, char *text, size_t size)
{
	char part[256];
	size_t i;
	json_t *port;

	*text = '\0';
	json_array_foreach(ports, i, port)
	{
		format_list(json_object_get(port, "addresses"), part, sizeof(part));
		add(text, size, *text && *part ? "," : "");
		add(text, size, part);
	}
}

void format_listeners(const json_t *listeners, char *text, size_t size)
{
	char part[64];
	size_t i;
	json_t *listener;

	*text = '\0';
	json_array_foreach(listeners, i, listener)
	{
		format_plain(json_object_get(listener, "port"), part, sizeof(part));
		add(text, size, *text ? "," : "");
		add(text, size, part);
	}
}

void format_count(const json_t *list, char *text, size_t size)
{
	*text = '\0';
	if (json_is_array(list))
		snprintf(text, size, "%zu", json_array_size(list));
}

// What the gateways that see an address make of it: the best is what a call can count on.
static enum address_state address_state(const json_t *address)
{
	static const char *const names[ADDRESS_STATES] = ADDRESS_STATE_NAMES;
	const json_t *gateways = json_object_get(address, "gateways");
	enum address_state best = ADDRESS_UNKNOWN;
	size_t i;
	json_t *gateway;

	json_array_foreach(gateways, i, gateway)
	{
		const char *text = json_string_value(json_object_get(gateway, "state"));

		for (int state = 0; text && state < (int)best; state++) {
			if (strcmp(text, names[state]) == 0)
				best = (enum address_state)state;
		}
	}
	return best;
}

void format_address_states(const json_t *status, size_t count[ADDRESS_STATES])
{
	const json_t *addresses = json_object_get(status, "addresses");
	size_t i;
	json_t *address;

	json_array_foreach(addresses, i, address) count[address_state(address)]++;
}

void format_states(const size_t count[ADDRESS_STATES], char *text, size_t size)
{
	static const char *const names[ADDRESS_STATES] = ADDRESS_STATE_NAMES;
	char part[64];

	*text = '\0';
	for (int state = 0; state < ADDRESS_STATES; state++) {
		if (!count[state])
			continue;
		snprintf(part, sizeof(part), "%s%zu %s", *text ? ", " : "", count[state],
			names[state]);
		add(text, size, part);
	}
}

void format_command(const json_t *words, char *text, size_t size)
{
	size_t most = 60, len;

	format_words(words, text, size);
	len = strcspn(text, "\n");
	if (!text[len] && len <= most)
		return;
	len = len < most ? len : most;
	// Not within a character.
	while (len && ((unsigned char)text[len] & 0xc0) == 0x80)
		len--;
	snprintf(text + len, size - len, "...");
}

void format_bytes(const json_t *bytes, char *text, size_t size)
{
	static const char *const units[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi"};
	double n = json_number_value(bytes);
	int unit = 0;

	if (!json_is_number(bytes)) {
		format_plain(bytes, text, size);
		return;
	}
	for (; n >= 1024 && unit < 5; unit++)
		n /= 1024;
	snprintf(text, size, n < 10 && unit && n != (int)n ? "%.1f%s" : "%.0f%s", n, units[unit]);
}

void format_owner(const json_t *spec, char *text, size_t size)
{
	const json_t *job = json_object_get(spec, "job");

	format_plain(job ? job : json_object_get(spec, "function"), text, size);
}

void format_exit(const json_t *exit, char *text, size_t size)
{
	json_int_t signal = json_integer_value(json_object_get(exit, "signal"));

	*text = '\0';
	if (signal)
		snprintf(text, size, "signal %" JSON_INTEGER_FORMAT, signal);
	else if (exit)
		format_plain(json_object_get(exit, "code"), text, size);
}

void format_endpoint_state(const json_t *status, char *text, size_t size)
{
	size_t count[ADDRESS_STATES] = {0};

	format_address_states(status, count);
	format_states(count, text, size);
}

void format_gateway_state(const json_t *status, char *text, size_t size)
{
	*text = '\0';
	if (!status)
		return;
	if (!json_is_true(json_object_get(status, "connected")))
		snprintf(text, size, "not connected");
	else if (json_is_false(json_object_get(status, "reporting")))
		snprintf(text, size, "silent");
	else
		snprintf(text, size, "connected");
}

int format_time_parse(const json_t *value, int64_t *wall_ns)
{
	const char *text = json_string_value(value), *rest;
	struct tm tm = {0};
	time_t seconds;

	if (json_is_number(value)) {
		*wall_ns = (int64_t)(json_number_value(value) * 1e9);
		return 0;
	}
	if (!text || !(rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm)))
		return -EINVAL;
	seconds = timegm(&tm);
	*wall_ns = (int64_t)seconds * NS_PER_SEC;
	if (*rest == '.') {
		char *end;

		*wall_ns += (int64_t)(strtod(rest, &end) * 1e9);
		rest = end;
	}
	return strcmp(rest, "Z") == 0 ? 0 : -EINVAL;
}

void format_age(const json_t *value, char *text, size_t size)
{
	int64_t then;

	*text = '\0';
	if (value && format_time_parse(value, &then) == 0)
		format_span((double)(clock_wall() - then) / 1e9, text, size);
}

const char *format_ns(double ns, char *text, size_t size)
{
	static const char *const units[] = {"ns", "us", "ms", "s"};
	size_t unit = 0;

	while (ns >= 999.5 && unit < 3) {
		ns /= 1000;
		unit++;
	}
	if (ns < 9.995 && unit)
		snprintf(text, size, "%.2f %s", ns, units[unit]);
	else if (ns < 99.95 && unit)
		snprintf(text, size, "%.1f %s", ns, units[unit]);
	else
		snprintf(text, size, "%.0f %s", ns, units[unit]);
	return text;
}

const char *format_rate(double per_s, char *text, size_t size)
{
	if (per_s >= 999.5e6)
		snprintf(text, size, "%.2fG", per_s / 1e9);
	else if (per_s >= 999.5e3)
		snprintf(text, size, "%.*fM", per_s < 9.995e6 ? 2 : 1, per_s / 1e6);
	else if (per_s >= 9999.5)
		snprintf(text, size, "%.1fk", per_s / 1e3);
	else if (per_s >= 99.95 || per_s == (double)(long)per_s)
		snprintf(text, size, "%.0f", per_s);
	else
		snprintf(text, size, "%.1f", per_s);
	return text;
}

const char *format_span(double seconds, char *text, size_t size)
{
	if (seconds < 0)
		seconds = 0;
	if (seconds < 120)
		snprintf(text, size, "%.0fs", seconds);
	else if (seconds < 2 * 3600)
		snprintf(text, size, "%.0fm", seconds / 60);
	else if (seconds < 48 * 3600)
		snprintf(text, size, "%.0fh", seconds / 3600);
	else
		snprintf(text, size, "%.0fd", seconds / 86400);
	return text;
}

void format_clean(char *text)
{
	for (unsigned char *p = (unsigned char *)text; *p; p++) {
		// C0, DEL, and C1 in its UTF-8 form (0xc2 0x80..0x9f).
		if (*p < 0x20 || *p == 0x7f)
			*p = '?';
		else if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)
			p[1] = 0xbf; // an inverted question mark
	}
}
