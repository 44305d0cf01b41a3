// SPDX-License-Identifier: Apache-2.0
// The lines of change_view.h. Pure. The depth of recursion is that of a manifest
// (MANIFEST_DEPTH_MAX).
#include "tools/cli/change_view.h"

#include <string.h>

#include "tools/cli/format.h"

#define TEXT_MAX 200
// Of a change's field: the control plane cuts members' names, and the whole.
#define MEMBER_MAX 100
#define FIELD_MAX 255

// ---- what a manifest says ----

// The value that decides a field: its own, or that of something above it which is no object; NULL:
// the field has its default. Names may have dots.
static const json_t *said(const json_t *manifest, const char *field)
{
	const json_t *found = NULL;
	const char *key;
	json_t *value;

	if (!*field || (manifest && !json_is_object(manifest)))
		return json_is_null(manifest) ? NULL : manifest;
	json_object_foreach((json_t *)(uintptr_t)manifest, key, value)
	{
		size_t n = strnlen(key, MEMBER_MAX);

		if (strncmp(field, key, n) != 0 || (field[n] && field[n] != '.'))
			continue;
		found = said(value, field + n + (field[n] == '.'));
		if (found)
			break;
	}
	return found;
}

// Without the members of objects in lists that the manifest does not name.
static json_t *as_said(const json_t *value, const json_t *manifest)
{
	json_t *out, *item;
	const char *key;
	size_t i;

	if (json_is_array(value) && json_array_size(value) == json_array_size(manifest)) {
		out = json_array();
		json_array_foreach(value, i, item)
			json_array_append_new(out, as_said(item, json_array_get(manifest, i)));
		return out;
	}
	if (!json_is_object(value) || !json_is_object(manifest))
		return json_incref((json_t *)(uintptr_t)value);
	out = json_object();
	json_object_foreach((json_t *)(uintptr_t)value, key, item)
	{
		const json_t *there = json_object_get(manifest, key);

		if (there && !json_is_null(there))
			json_object_set_new(out, key, as_said(item, there));
	}
	return out;
}

// ---- lines ----

static void show(const json_t *value, char *text, size_t size)
{
	static const char controls[] = "\n\r\t", letters[] = "nrt";
	char plain[FIELD_MAX + 1];
	size_t n = 0;

	format_plain(value, plain, sizeof(plain));
	for (const char *p = plain; *p && n + 2 < size; p++) {
		const char *control = strchr(controls, *p);

		if (control)
			text[n++] = '\\';
		text[n++] = control ? letters[control - controls] : *p;
	}
	text[n] = '\0';
	format_clean(text);
}

static void print_one(FILE *out, const json_t *change, const json_t *manifest)
{
	const char *name = json_string_value(json_object_get(change, "field"));
	const json_t *before = json_object_get(change, "from"),
		     *after = json_object_get(change, "to"), *value = NULL;
	char field[FIELD_MAX + 1], from[TEXT_MAX], to[TEXT_MAX];
	json_t *shown;

	if (manifest && name && strlen(name) < FIELD_MAX) {
		value = said(manifest, name);
		if (!value)
			return;
	}
	shown = value ? as_said(after, value) : json_incref((json_t *)(uintptr_t)after);
	show(json_object_get(change, "field"), field, sizeof(field));
	show(before, from, sizeof(from));
	show(shown, to, sizeof(to));
	json_decref(shown);
	if (before && after)
		fprintf(out, "  ~ %s: %s -> %s\n", field, from, to);
	else
		fprintf(out, "  %c %s: %s\n", after ? '+' : '-', field, after ? to : from);
}

void change_print(FILE *out, const json_t *changes, const json_t *manifest)
{
	size_t i;
	json_t *change;

	json_array_foreach(changes, i, change) print_one(out, change, manifest);
}
