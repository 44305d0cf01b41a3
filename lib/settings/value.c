// SPDX-License-Identifier: Apache-2.0
// Values of settings: from text into the member, each kind with its limits.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/settings/internal.h"

const struct setting *settings_find(const struct settings *s, const char *name, size_t len)
{
	for (size_t i = 0; i < s->count; i++)
		if (strlen(s->table[i].name) == len && memcmp(s->table[i].name, name, len) == 0)
			return &s->table[i];
	return NULL;
}

static void *member(const struct settings_reading *r, size_t at)
{
	return (char *)r->values + at;
}

static int set_text(
	struct settings_reading *r, const struct setting *s, char *to, const char *value)
{
	size_t len = strlen(value);

	if (len < s->min || len > s->max) {
		snprintf(r->why, SETTINGS_WHY_MAX, "%s must have %llu to %llu characters", s->name,
			(unsigned long long)s->min, (unsigned long long)s->max);
		return -EINVAL;
	}
	memcpy(to, value, len + 1);
	return 0;
}

// The first entry of a source replaces what the sources before it said.
static int set_list(struct settings_reading *r, const struct setting *s, const char *value)
{
	unsigned *count = member(r, s->count_at);
	uint64_t bit = (uint64_t)1 << (s - r->settings->table);
	unsigned at = r->begun & bit ? *count : 0;
	int error;

	if (at == s->room) {
		snprintf(r->why, SETTINGS_WHY_MAX, "%s can be given at most %zu times", s->name,
			s->room);
		return -EINVAL;
	}
	error = set_text(r, s, (char *)member(r, s->at) + at * (s->max + 1), value);
	if (error)
		return error;
	r->begun |= bit;
	*count = at + 1;
	return 0;
}

// Digits alone, then perhaps a unit.
static bool parse(const char *text, bool units, uint64_t *out)
{
	static const char letters[] = "kmgt";
	const char *unit;
	char *end;
	unsigned shift = 0;
	unsigned long long n;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	n = strtoull(text, &end, 10);
	unit = units && *end ? strchr(letters, *end | 0x20) : NULL;
	if (unit) {
		shift = 10 * (unsigned)(unit - letters + 1);
		end++;
	}
	if (errno || *end || n > UINT64_MAX >> shift)
		return false;
	*out = (uint64_t)n << shift;
	return true;
}

static int set_number(struct settings_reading *r, const struct setting *s, const char *value)
{
	bool bytes = s->kind == SETTING_BYTES;
	uint64_t n;

	if (parse(value, bytes, &n) && n >= s->min && n <= s->max) {
		if (bytes)
			*(uint64_t *)member(r, s->at) = n;
		else
			*(unsigned *)member(r, s->at) = (unsigned)n;
		return 0;
	}
	if (bytes)
		snprintf(r->why, SETTINGS_WHY_MAX,
			"%s must be a number of bytes, at least %llu, such as 64m, not '%s'",
			s->name, (unsigned long long)s->min, value);
	else
		snprintf(r->why, SETTINGS_WHY_MAX,
			"%s must be a whole number from %llu to %llu, not '%s'", s->name,
			(unsigned long long)s->min, (unsigned long long)s->max, value);
	return -EINVAL;
}

static int set_switch(struct settings_reading *r, const struct setting *s, const char *value)
{
	bool on = !value || strcmp(value, "true") == 0;

	if (!on && strcmp(value, "false") != 0) {
		snprintf(r->why, SETTINGS_WHY_MAX, "%s must be true or false, not '%s'", s->name,
			value);
		return -EINVAL;
	}
	*(bool *)member(r, s->at) = on;
	return 0;
}

static int set_level(struct settings_reading *r, const struct setting *s, const char *value)
{
	if (log_level_parse(value, member(r, s->at)) == 0)
		return 0;
	snprintf(r->why, SETTINGS_WHY_MAX, "%s must be error, warn, info or debug, not '%s'",
		s->name, value);
	return -EINVAL;
}

int settings_set(struct settings_reading *r, const struct setting *s, const char *value)
{
	switch (s->kind) {
	case SETTING_TEXT:
		return set_text(r, s, member(r, s->at), value);
	case SETTING_LIST:
		return set_list(r, s, value);
	case SETTING_NUMBER:
	case SETTING_BYTES:
		return set_number(r, s, value);
	case SETTING_SWITCH:
		return set_switch(r, s, value);
	case SETTING_LEVEL:
		return set_level(r, s, value);
	}
	return -EINVAL;
}
