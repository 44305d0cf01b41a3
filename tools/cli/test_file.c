// SPDX-License-Identifier: Apache-2.0
// Files of `penstock test`: see test_file.h. Loads one and checks its fields; data is in test_data.c.
#include "tools/cli/test_file.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const kinds[] = {"call", "event", "stream"};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static const struct {
	const char *name;
	uint32_t code;
} codes[] = {
	{"APPLICATION_ERROR", 0x201},
	{"REJECTED", 0x202},
	{"CANCELED", 0x203},
	{"INVALID", 0x204},
};

uint32_t test_error_code(const json_t *value)
{
	json_int_t n = json_integer_value(value);

	for (size_t i = 0; json_is_string(value) && i < sizeof(codes) / sizeof(codes[0]); i++)
		if (strcmp(json_string_value(value), codes[i].name) == 0)
			return codes[i].code;
	return json_is_integer(value) && n > 0 && n < UINT32_MAX ? (uint32_t)n : 0;
}

const char *test_error_name(uint32_t code)
{
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (codes[i].code == code)
			return codes[i].name;
	return NULL;
}

const char *test_case_kind(const json_t *test)
{
	for (size_t i = 0; i < KINDS; i++)
		if (json_object_get(test, kinds[i]))
			return kinds[i];
	return NULL;
}

// Faults

struct check {
	const struct test_file *file;
	const char *path;
	struct manifest_error *error;
};

static int fault(struct check *c, const char *field, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int fault(struct check *c, const char *field, const char *format, ...)
{
	char text[300];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	*c->error = (struct manifest_error){.line = manifest_line(c->file->doc, field)};
	snprintf(c->error->file, sizeof(c->error->file), "%s", c->path);
	snprintf(c->error->text, sizeof(c->error->text), "%.100s: %s", field, text);
	return -EINVAL;
}

// Values

static bool is_data(const json_t *value, bool expected)
{
	static const char *const forms[] = {"text", "file", "base64", "contains"};
	const json_t *bytes = json_object_get(value, "bytes");

	if (json_is_string(value))
		return true;
	if (json_object_size(value) != 1)
		return false;
	for (size_t i = 0; i < (expected ? 4 : 3); i++)
		if (json_is_string(json_object_get(value, forms[i])))
			return true;
	return expected && json_is_integer(bytes) && json_integer_value(bytes) >= 0;
}

static bool good_data(const json_t *value)
{
	return is_data(value, false);
}

static bool good_expectation(const json_t *value)
{
	return is_data(value, true);
}

static bool good_items(const json_t *value)
{
	json_t *count = json_object_get(value, "count"), *item;
	size_t i;

	if (json_is_object(value))
		return json_object_size(value) == 1 && json_is_integer(count) && json_integer_value(count) >= 0;
	json_array_foreach(value, i, item)
	{
		if (!is_data(item, true))
			return false;
	}
	return json_is_array(value);
}

static bool good_error(const json_t *value)
{
	const json_t *code = json_object_get(value, "code"), *text = json_object_get(value, "text");

	if (!json_is_object(value))
		return test_error_code(value) != 0;
	return json_object_size(value) == (size_t)(code != NULL) + (text != NULL) && code && test_error_code(code) &&
	       (!text || json_is_string(text));
}

static bool good_answers(const json_t *value)
{
	const char *function;
	json_t *answer;

	json_object_foreach((json_t *)(uintptr_t)value, function, answer)
	{
		json_t *error = json_object_get(answer, "error");

		if (!function[0] || (error ? json_object_size(answer) != 1 || !good_error(error) : !good_data(answer)))
			return false;
	}
	return json_is_object(value);
}

static bool good_text(const json_t *value)
{
	return json_is_string(value) && json_string_length(value) > 0;
}

static bool good_count(const json_t *value)
{
	return json_is_integer(value) && json_integer_value(value) >= 0 && json_integer_value(value) < UINT32_MAX;
}

static bool good_command(const json_t *value)
{
	json_t *word;
	size_t i;

	json_array_foreach(value, i, word)
	{
		if (!json_is_string(word))
			return false;
	}
	return json_array_size(value) > 0 && good_text(json_array_get(value, 0));
}

static bool good_env(const json_t *value)
{
	const char *key;
	json_t *text;

	json_object_foreach((json_t *)(uintptr_t)value, key, text)
	{
		if (!json_is_string(text) || !key[0] || strchr(key, '='))
			return false;
	}
	return json_is_object(value);
}

static bool good_tests(const json_t *value)
{
	return json_array_size(value) > 0;
}

#define DATA "text, or one of {text: }, {file: }, {base64: }"
#define EXPECTATION "text, or one of {text: }, {file: }, {base64: }, {contains: }, {bytes: N}"
#define COUNT "a whole number"
#define CODE "APPLICATION_ERROR, REJECTED, CANCELED, INVALID or a number, or {code: , text: }"

struct field {
	const char *name, *what;
	bool (*good)(const json_t *value);
};

static const struct field file_fields[] = {
	{"command", "a list of words: the program and its arguments", good_command},
	{"env", "a mapping of names to text", good_env},
	{"tests", "a list with at least one test", good_tests},
};

static const struct field case_fields[] = {
	{"name", "text", good_text},
	{"call", DATA, good_data},
	{"event", DATA, good_data},
	{"stream", DATA, good_data},
	{"mime", "text", good_text},
	{"deadline_ms", COUNT, good_count},
	{"timeout_ms", COUNT, good_count},
	{"credit", COUNT, good_count},
	{"cancel_after", COUNT, good_count},
	{"answers", "a mapping of functions to " DATA ", or {error: }", good_answers},
	{"reply", EXPECTATION, good_expectation},
	{"items", "a list, each " EXPECTATION "; or {count: N}", good_items},
	{"error", CODE, good_error},
	{"calls", COUNT, good_count},
};

static int check_fields(
	struct check *c, json_t *object, const char *prefix, const struct field *fields, size_t count)
{
	const char *key;
	json_t *value;

	json_object_foreach(object, key, value)
	{
		const struct field *known = NULL;
		char name[128];

		for (size_t i = 0; i < count; i++)
			known = strcmp(fields[i].name, key) == 0 ? &fields[i] : known;
		snprintf(name, sizeof(name), "%s%.60s", prefix, key);
		if (!known)
			return fault(c, name, "there is no such field (penstock-test(5) has them all)");
		if (!known->good(value))
			return fault(c, name, "must be %s", known->what);
	}
	return 0;
}

static int check_case(struct check *c, json_t *test, size_t index)
{
	char prefix[32], self[32];
	size_t asked = 0;
	int error;

	snprintf(self, sizeof(self), "tests[%zu]", index);
	snprintf(prefix, sizeof(prefix), "tests[%zu].", index);
	if (!json_is_object(test))
		return fault(c, self, "must be a mapping of fields");
	error = check_fields(c, test, prefix, case_fields, sizeof(case_fields) / sizeof(case_fields[0]));
	if (error)
		return error;
	for (size_t i = 0; i < KINDS; i++)
		asked += json_object_get(test, kinds[i]) != NULL;
	if (!json_object_get(test, "name"))
		return fault(c, self, "needs a name");
	if (asked != 1)
		return fault(c, self, "needs one of call, event, stream");
	if (json_object_get(test, "reply") && json_object_get(test, "error"))
		return fault(c, self, "has a reply and an error: there is one or the other");
	if (json_object_get(test, "items") && !json_object_get(test, "stream"))
		return fault(c, self, "has items, which only a stream has");
	if (json_object_get(test, "reply") && !json_object_get(test, "call"))
		return fault(c, self, "has a reply, which only a call has");
	return 0;
}

static int check_file(struct check *c)
{
	struct test_file *f = (struct test_file *)(uintptr_t)c->file;
	int error = check_fields(
		c, f->doc->value, "", file_fields, sizeof(file_fields) / sizeof(file_fields[0]));
	json_t *test;
	size_t i;

	f->tests = json_object_get(f->doc->value, "tests");
	if (!error && !f->tests)
		error = fault(c, "", "there are no tests: a file has command, env, tests");
	json_array_foreach(f->tests, i, test)
	{
		if (!error)
			error = check_case(c, test, i);
	}
	return error;
}

int test_file_load(struct test_file *f, const char *path, struct manifest_error *error)
{
	const char *slash = strrchr(path, '/');
	struct check check = {f, path, error};
	int rc;

	*f = (struct test_file){0};
	snprintf(f->dir, sizeof(f->dir), "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
	rc = manifest_load(&f->manifest, path, error);
	if (rc)
		return rc;
	if (f->manifest.count != 1) {
		*error = (struct manifest_error){.line = 1};
		snprintf(error->file, sizeof(error->file), "%s", path);
		snprintf(error->text, sizeof(error->text), "must hold one document, not %zu", f->manifest.count);
		return -EINVAL;
	}
	f->doc = &f->manifest.docs[0];
	return check_file(&check);
}

void test_file_fini(struct test_file *f)
{
	manifest_fini(&f->manifest);
}
