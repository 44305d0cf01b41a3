// SPDX-License-Identifier: Apache-2.0
// Checks a resource against its table and fills in defaults. Pure.
//
// The walk follows the table, not the input: the input's depth is bounded by the table's. `pattern`
// is the path as the table spells it (spec.ports[].name), `shown` as the user sees it
// (spec.ports[1].name).
#include "controlplane/schema.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct walk {
	const struct kind_info *kind;
	struct schema_error *error;
	char shown[200];
};

typedef json_t *normalize_fn(struct walk *w, const struct field *f, const json_t *in);

static json_t *normalize(struct walk *w, const struct field *f, const json_t *in);

bool schema_fail(
	struct schema_error *error, const char *code, const char *field, const char *format, ...)
{
	va_list args;

	error->code = code;
	snprintf(error->field, sizeof(error->field), "%s", field);
	va_start(args, format);
	vsnprintf(error->message, sizeof(error->message), format, args);
	va_end(args);
	return false;
}

static json_t *fail(struct walk *w, const char *rule, ...) __attribute__((format(printf, 2, 3)));

// "FIELD RULE", for the field at hand.
static json_t *fail(struct walk *w, const char *rule, ...)
{
	char text[300];
	va_list args;

	va_start(args, rule);
	vsnprintf(text, sizeof(text), rule, args);
	va_end(args);
	schema_fail(w->error, "invalid_field", w->shown, "%s %s", w->shown, text);
	return NULL;
}

const struct field *kind_field(const struct kind_info *kind, size_t index)
{
	if (index < common_field_count)
		return &common_fields[index];
	index -= common_field_count;
	return kind->fields[index].path ? &kind->fields[index] : NULL;
}

bool field_is_child(const struct field *row, const char *parent)
{
	size_t len = strlen(parent);
	const char *rest = row->path + len;

	if (strncmp(row->path, parent, len) != 0)
		return false;
	if (len) {
		if (strcmp(rest, "[]") == 0 || strcmp(rest, "{}") == 0)
			return true;
		if (*rest++ != '.')
			return false;
	}
	return *rest && !strpbrk(rest, ".[{");
}

static const char *last_name(const struct field *f)
{
	const char *dot = strrchr(f->path, '.');

	return dot ? dot + 1 : f->path;
}

static bool applies(const struct walk *w, const struct field *f)
{
	return !(f->flags & FIELD_NAMESPACED) || w->kind->namespaced;
}

static const struct field *find_child(const struct walk *w, const char *parent, const char *name)
{
	const struct field *f;

	for (size_t i = 0; (f = kind_field(w->kind, i)); i++)
		if (field_is_child(f, parent) && strcmp(last_name(f), name) == 0 && applies(w, f))
			return f;
	return NULL;
}

static const struct field *find_item(
	const struct walk *w, const struct field *f, const char *suffix)
{
	const struct field *row;
	size_t len = strlen(f->path);

	for (size_t i = 0; (row = kind_field(w->kind, i)); i++)
		if (strncmp(row->path, f->path, len) == 0 && strcmp(row->path + len, suffix) == 0)
			return row;
	return NULL;
}

static size_t enter(struct walk *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Appends to the shown path; returns the length to go back to.
static size_t enter(struct walk *w, const char *format, ...)
{
	size_t len = strlen(w->shown);
	va_list args;

	va_start(args, format);
	vsnprintf(w->shown + len, sizeof(w->shown) - len, format, args);
	va_end(args);
	return len;
}

static size_t enter_member(struct walk *w, const char *name)
{
	return enter(w, "%s%.100s", *w->shown ? "." : "", name);
}

static void leave(struct walk *w, size_t len)
{
	w->shown[len] = 0;
}

// A short form of what was given, for sentences.
static const char *given(const json_t *in, char *text, size_t room)
{
	char *dump = json_dumps(in, JSON_ENCODE_ANY | JSON_COMPACT);

	if (dump && strlen(dump) < room)
		snprintf(text, room, "%s", dump);
	else
		snprintf(text, room, "%.*s...", (int)room - 4, dump ? dump : "");
	free(dump);
	return text;
}

// Appends "a, b or c".
static void list_values(const char *const *values, char *text, size_t room)
{
	size_t n = 0;

	*text = 0;
	for (size_t i = 0; values[i] && n < room; i++) {
		const char *join = i == 0 ? "" : values[i + 1] ? ", " : " or ";

		n += (size_t)snprintf(text + n, room - n, "%s%s", join, values[i]);
	}
}

static bool one_of(const char *text, const char *const *values)
{
	for (size_t i = 0; values[i]; i++)
		if (strcmp(text, values[i]) == 0)
			return true;
	return false;
}

static json_t *string(struct walk *w, const struct field *f, const json_t *in)
{
	const char *text = json_string_value(in);
	char list[200], shown[64];

	if (f->values && (!text || !one_of(text, f->values))) {
		list_values(f->values, list, sizeof(list));
		return fail(w, "must be %s, but is %s", list, given(in, shown, sizeof(shown)));
	}
	if (!text)
		return fail(
			w, "must be text in quotes, but is %s", given(in, shown, sizeof(shown)));
	if (f->format && !f->format->valid(text))
		return fail(w, "must be %s, but is %s", f->format->rule,
			given(in, shown, sizeof(shown)));
	if ((int64_t)json_string_length(in) < f->min || (int64_t)json_string_length(in) > f->max)
		return fail(w, "must have %" PRId64 " to %" PRId64 " characters, but has %zu",
			f->min, f->max, json_string_length(in));
	return json_copy((json_t *)(uintptr_t)in);
}

static json_t *integer(struct walk *w, const struct field *f, const json_t *in)
{
	char shown[64];

	if (!json_is_integer(in) || json_integer_value(in) < f->min ||
		json_integer_value(in) > f->max)
		return fail(w, "must be a whole number from %" PRId64 " to %" PRId64 ", but is %s",
			f->min, f->max, given(in, shown, sizeof(shown)));
	return json_integer(json_integer_value(in));
}

static json_t *boolean(struct walk *w, const struct field *f, const json_t *in)
{
	char shown[64];

	if (!json_is_boolean(in))
		return fail(w, "must be true or false, but is %s", given(in, shown, sizeof(shown)));
	return json_boolean(json_is_true(in));
}

// Kept as it was written; both forms mean the same.
static json_t *size(struct walk *w, const struct field *f, const json_t *in)
{
	const char *text = json_string_value(in);
	char shown[64];
	int64_t bytes = json_integer_value(in);

	if (!json_is_integer(in) && (!text || size_parse(text, &bytes) != 0))
		return fail(w, "must be bytes, such as 64Mi, 1Gi or 1048576, but is %s",
			given(in, shown, sizeof(shown)));
	if (bytes < f->min || bytes > f->max)
		return fail(w, "must be from %" PRId64 " to %" PRId64 " bytes, but is %s", f->min,
			f->max, given(in, shown, sizeof(shown)));
	return json_copy((json_t *)(uintptr_t)in);
}

static json_t *array(struct walk *w, const struct field *f, const json_t *in)
{
	const struct field *item = find_item(w, f, "[]");
	size_t n = json_array_size(in);
	json_t *out;

	if (!json_is_array(in))
		return fail(w, "must be a list, such as [...]");
	if ((int64_t)n > f->max && f->max == 0)
		return fail(w, "must be empty in this version");
	if ((int64_t)n < f->min || (int64_t)n > f->max)
		return fail(w, "must have %" PRId64 " to %" PRId64 " items, but has %zu", f->min,
			f->max, n);
	out = json_array();
	for (size_t i = 0; i < n; i++) {
		size_t back = enter(w, "[%zu]", i);
		json_t *value = normalize(w, item, json_array_get(in, i));

		if (!value) {
			json_decref(out);
			return NULL;
		}
		leave(w, back);
		json_array_append_new(out, value);
	}
	return out;
}

static json_t *map(struct walk *w, const struct field *f, const json_t *in)
{
	const struct field *item = find_item(w, f, "{}");
	json_t *out, *value;
	const char *key;

	if (!json_is_object(in))
		return fail(w, "must be an object of names and values, such as {name: value}");
	if ((int64_t)json_object_size(in) > f->max)
		return fail(w, "must have at most %" PRId64 " entries, but has %zu", f->max,
			json_object_size(in));
	out = json_object();
	json_object_foreach((json_t *)(uintptr_t)in, key, value)
	{
		size_t back = enter_member(w, key);

		if (!f->keys->valid(key)) {
			fail(w, "has a bad name: it must be %s", f->keys->rule);
			goto bad;
		}
		value = normalize(w, item, value);
		if (!value)
			goto bad;
		leave(w, back);
		json_object_set_new(out, key, value);
	}
	return out;
bad:
	json_decref(out);
	return NULL;
}

static size_t distance_min(size_t a, size_t b)
{
	return a < b ? a : b;
}

// Edits that turn one name into the other, for "did you mean". Names longer than the row are
// unlike.
static size_t edit_distance(const char *a, const char *b)
{
	size_t row[32], n = strlen(b);

	if (n + 1 > sizeof(row) / sizeof(row[0]) || strlen(a) > 40)
		return SIZE_MAX;
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			size_t old = row[j];

			row[j] = distance_min(distance_min(row[j], row[j - 1]) + 1,
				diagonal + (a[i - 1] != b[j - 1]));
			diagonal = old;
		}
	}
	return row[n];
}

static void fail_unknown(struct walk *w, const char *parent, const char *name)
{
	const char *best = NULL;
	size_t best_distance = 3, n = 0;
	const struct field *f;
	char known[200] = "";

	for (size_t i = 0; (f = kind_field(w->kind, i)); i++) {
		size_t d;

		if (!field_is_child(f, parent) || !applies(w, f) || (f->flags & FIELD_READ_ONLY))
			continue;
		d = edit_distance(name, last_name(f));
		if (d < best_distance) {
			best = last_name(f);
			best_distance = d;
		}
		if (n < sizeof(known))
			n += (size_t)snprintf(
				known + n, sizeof(known) - n, "%s%s", n ? ", " : "", last_name(f));
	}
	if (best)
		schema_fail(w->error, "unknown_field", w->shown,
			"%s is not a field: did you mean %s?", w->shown, best);
	else
		schema_fail(w->error, "unknown_field", w->shown,
			"%s is not a field: remove it; known are %s", w->shown,
			*known ? known : "none");
}

static bool no_unknown(struct walk *w, const char *pattern, const json_t *in)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)in, key, value)
	{
		if (!find_child(w, pattern, key)) {
			enter_member(w, key);
			fail_unknown(w, pattern, key);
			return false;
		}
	}
	return true;
}

// The value of a row that was not given: its default; NULL if there is none (*bad: it was
// required).
static json_t *absent(struct walk *w, const struct field *f, bool *bad)
{
	json_t *def, *value;

	*bad = false;
	if (f->flags & FIELD_REQUIRED) {
		*bad = true;
		schema_fail(w->error, "missing_field", w->shown, "%s is required: %s", w->shown,
			f->help);
		return NULL;
	}
	if (!f->def)
		return NULL;
	def = json_loads(f->def, JSON_DECODE_ANY, NULL);
	value = normalize(w, f, def);
	json_decref(def);
	*bad = !value;
	return value;
}

static json_t *members(struct walk *w, const char *pattern, const json_t *in)
{
	const struct field *f;
	json_t *out;

	if (!json_is_object(in)) {
		schema_fail(w->error, "invalid_field", w->shown,
			"%s must be an object, such as {...}", *w->shown ? w->shown : "the body");
		return NULL;
	}
	if (!no_unknown(w, pattern, in))
		return NULL;
	out = json_object();
	for (size_t i = 0; (f = kind_field(w->kind, i)); i++) {
		json_t *value = json_object_get(in, last_name(f));
		bool bad = false;
		size_t back;

		if (!field_is_child(f, pattern) || !applies(w, f) || (f->flags & FIELD_READ_ONLY))
			continue;
		back = enter_member(w, last_name(f));
		value = value && !json_is_null(value) ? normalize(w, f, value) : absent(w, f, &bad);
		if (!value && (bad || w->error->code)) {
			json_decref(out);
			return NULL;
		}
		leave(w, back);
		if (value)
			json_object_set_new(out, last_name(f), value);
	}
	return out;
}

static json_t *object(struct walk *w, const struct field *f, const json_t *in)
{
	return members(w, f->path, in);
}

static json_t *normalize(struct walk *w, const struct field *f, const json_t *in)
{
	static normalize_fn *const by_type[] = {
		[FIELD_STRING] = string,
		[FIELD_INT] = integer,
		[FIELD_BOOL] = boolean,
		[FIELD_SIZE] = size,
		[FIELD_OBJECT] = object,
		[FIELD_ARRAY] = array,
		[FIELD_MAP] = map,
	};

	return by_type[f->type](w, f, in);
}

// The body with its kind filled in, so that `kind` stands where the table has it.
static json_t *with_kind(const struct kind_info *kind, const json_t *in)
{
	json_t *copy = json_copy((json_t *)(uintptr_t)in);

	if (!json_object_get(copy, "kind"))
		json_object_set_new(copy, "kind", json_string(kind->name));
	return copy;
}

json_t *schema_normalize(const struct kind_info *kind, const json_t *in, struct schema_error *error)
{
	struct walk w = {.kind = kind, .error = error};
	json_t *copy, *out;
	const char *given_kind;

	*error = (struct schema_error){0};
	copy = with_kind(kind, in);
	out = members(&w, "", copy);
	json_decref(copy);
	if (!out)
		return NULL;
	given_kind = json_string_value(json_object_get(out, "kind"));
	if (!given_kind || strcmp(given_kind, kind->name) != 0) {
		schema_fail(error, "invalid_field", "kind",
			"kind must be %s at this path, but is %s", kind->name,
			given_kind ? given_kind : "null");
		goto bad;
	}
	if (kind->check && !kind->check(out, error))
		goto bad;
	return out;
bad:
	json_decref(out);
	return NULL;
}
