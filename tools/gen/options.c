// SPDX-License-Identifier: Apache-2.0
// Options: see options.h. Both `--name value` and `--name=value` work.
#include "tools/gen/options.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/rsocket/session.h"

#define HELP_COLUMN 28

static int parse_number(const char *text, double *out)
{
	char *end;

	errno = 0;
	*out = strtod(text, &end);
	return errno || end == text || *end || !(*out >= 0) ? -EINVAL : 0;
}

static int parse_count(const char *text, uint64_t *out, const char **rest)
{
	char *end;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	*out = strtoull(text, &end, 10);
	*rest = end;
	return errno ? -EINVAL : 0;
}

static int parse_bytes(const char *text, uint64_t *out)
{
	static const char units[] = "kmg";
	const char *rest, *unit;
	uint64_t n;

	if (parse_count(text, &n, &rest))
		return -EINVAL;
	if (*rest) {
		unit = strchr(units, *rest | 0x20);
		if (!unit || rest[1] || n > UINT64_MAX >> 30)
			return -EINVAL;
		n <<= 10 * (unit - units + 1);
	}
	*out = n;
	return 0;
}

static int parse_fragment(const char *text, uint32_t *out)
{
	uint64_t n;

	if (strcmp(text, "never") == 0) {
		*out = RS_FRAGMENT_NEVER;
		return 0;
	}
	if (parse_bytes(text, &n) || n < 64 || n > RS_FRAME_BYTES_MAX)
		return -EINVAL;
	*out = (uint32_t)n;
	return 0;
}

static int set(const struct option_def *def, void *config, const char *text)
{
	void *field = (char *)config + def->offset;
	const char *rest = "";
	double number;

	switch (def->kind) {
	case OPTION_TEXT:
		*(const char **)field = text;
		return 0;
	case OPTION_COUNT:
		return parse_count(text, field, &rest) || *rest ? -EINVAL : 0;
	case OPTION_BYTES:
		return parse_bytes(text, field);
	case OPTION_NUMBER:
		return parse_number(text, field);
	case OPTION_SECONDS:
		if (parse_number(text, &number) || number > 1e9)
			return -EINVAL;
		*(ns_t *)field = (ns_t)(number * 1e9);
		return 0;
	case OPTION_FRAGMENT:
		return parse_fragment(text, field);
	case OPTION_FLAG:
	case OPTION_HEADING:
		break;
	}
	return -EINVAL;
}

static const struct option_def *find(const struct option_def *table, const char *name, size_t len)
{
	for (; table->name; table++)
		if (table->kind != OPTION_HEADING && strlen(table->name) == len &&
			memcmp(table->name, name, len) == 0)
			return table;
	return NULL;
}

int gen_options_parse(const struct option_def *table, void *config, int argc, char **argv)
{
	for (int i = 0; i < argc; i++) {
		const char *name = argv[i] + 2, *value;
		const struct option_def *def;

		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			gen_options_help(table);
			return 1;
		}
		if (strncmp(argv[i], "--", 2) != 0) {
			fprintf(stderr, "'%s' is not an option; see --help\n", argv[i]);
			return -EINVAL;
		}
		value = strchr(name, '=');
		def = find(table, name, value ? (size_t)(value - name) : strlen(name));
		if (!def) {
			fprintf(stderr, "there is no option '%s'; see --help\n", argv[i]);
			return -EINVAL;
		}
		if (def->kind == OPTION_FLAG && !value) {
			*(bool *)((char *)config + def->offset) = true;
			continue;
		}
		value = value ? value + 1 : i + 1 < argc ? argv[++i] : NULL;
		if (!value || set(def, config, value)) {
			fprintf(stderr, "--%s takes %s, not '%s'\n", def->name,
				def->value ? def->value : "no value", value ? value : "");
			return -EINVAL;
		}
	}
	return 0;
}

void gen_options_help(const struct option_def *table)
{
	for (; table->name; table++) {
		int n;

		if (table->kind == OPTION_HEADING) {
			printf("\n%s\n", table->name);
			continue;
		}
		n = printf("  --%s%s%s", table->name, table->value ? " " : "",
			table->value ? table->value : "");
		if (n > HELP_COLUMN - 2) {
			printf("\n");
			n = 0;
		}
		printf("%*s", HELP_COLUMN - n, "");
		for (const char *at = table->help; *at; at++) {
			putchar(*at);
			if (*at == '\n')
				printf("%*s", HELP_COLUMN, "");
		}
		printf("\n");
	}
}
