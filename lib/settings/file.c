// SPDX-License-Identifier: Apache-2.0
// The start-up file: a YAML mapping of names to values, or to sequences of values for lists.
//
//   START --{--> KEY --name--> VALUE --scalar--> KEY        KEY --}--> END
//                                    --[--> ITEM --]--> KEY
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <yaml.h>

#include "lib/settings/internal.h"

enum place { START, KEY, VALUE, ITEM, END };

struct walk {
	struct settings_reading *reading;
	const char *path;
	enum place place;
	const struct setting *key;
	uint64_t seen; // bit i: the name i
	size_t line;
};

__attribute__((format(printf, 2, 3))) static int fail(struct walk *w, const char *format, ...)
{
	char why[SETTINGS_WHY_MAX - 128];
	va_list args;

	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	snprintf(w->reading->why, SETTINGS_WHY_MAX, "%.100s:%zu: %s", w->path, w->line, why);
	return -EINVAL;
}

static int unknown(struct walk *w, const char *name)
{
	const struct settings *s = w->reading->settings;
	char known[SETTINGS_WHY_MAX / 2] = "";
	size_t len = 0;

	for (size_t i = 0; i < s->count && len < sizeof(known); i++)
		len += (size_t)snprintf(
			known + len, sizeof(known) - len, "%s%s", i ? ", " : "", s->table[i].name);
	return fail(w, "unknown name '%.64s'; known are %s", name, known);
}

static int on_key(struct walk *w, const char *name)
{
	const struct settings *s = w->reading->settings;
	uint64_t bit;

	w->key = settings_find(s, name, strlen(name));
	if (!w->key)
		return unknown(w, name);
	bit = (uint64_t)1 << (w->key - s->table);
	if (w->seen & bit)
		return fail(w, "%s stands here for the second time: remove one of the lines",
			w->key->name);
	w->seen |= bit;
	w->place = VALUE;
	return 0;
}

static int on_scalar(struct walk *w, const char *text)
{
	char why[SETTINGS_WHY_MAX];

	if (w->place == KEY)
		return on_key(w, text);
	if (settings_set(w->reading, w->key, text) == 0) {
		if (w->place == VALUE)
			w->place = KEY;
		return 0;
	}
	memcpy(why, w->reading->why, sizeof(why));
	return fail(w, "%s", why);
}

static int misplaced(struct walk *w)
{
	return fail(w, "only lines of 'NAME: VALUE' and, for lists, 'NAME: [VALUE, VALUE]' are "
		       "understood");
}

static int on_event(struct walk *w, const yaml_event_t *event)
{
	bool value = w->place == KEY || w->place == VALUE || w->place == ITEM;

	switch (event->type) {
	case YAML_SCALAR_EVENT:
		return value ? on_scalar(w, (const char *)event->data.scalar.value) : misplaced(w);
	case YAML_MAPPING_START_EVENT:
		if (w->place != START)
			return misplaced(w);
		w->place = KEY;
		return 0;
	case YAML_MAPPING_END_EVENT:
		w->place = END;
		return 0;
	case YAML_SEQUENCE_START_EVENT:
		if (w->place != VALUE || w->key->kind != SETTING_LIST)
			return misplaced(w);
		w->place = ITEM;
		return 0;
	case YAML_SEQUENCE_END_EVENT:
		w->place = KEY;
		return 0;
	case YAML_ALIAS_EVENT:
		return misplaced(w);
	default: // begins and ends of stream and documents
		return 0;
	}
}

int settings_read_yaml(struct settings_reading *r, FILE *file, const char *path)
{
	struct walk w = {.reading = r, .path = path};
	yaml_parser_t parser;
	yaml_event_t event;
	bool end = false;
	int error = 0;

	if (!yaml_parser_initialize(&parser)) {
		snprintf(r->why, SETTINGS_WHY_MAX, "%.100s: out of memory", path);
		return -ENOMEM;
	}
	yaml_parser_set_input_file(&parser, file);
	while (!error && !end) {
		if (!yaml_parser_parse(&parser, &event)) {
			w.line = parser.problem_mark.line + 1;
			error = fail(&w, "not YAML: %s", parser.problem ? parser.problem : "?");
			break;
		}
		w.line = event.start_mark.line + 1;
		end = event.type == YAML_STREAM_END_EVENT;
		error = on_event(&w, &event);
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	return error;
}
