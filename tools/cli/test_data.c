// SPDX-License-Identifier: Apache-2.0
// What goes into a function under test, and what is expected of it: see test_file.h.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/cli/test_file.h"

#define FILE_BYTES_MAX (16u << 20) // of a message
#define SHOWN 60                   // bytes of data in a sentence

static int digit(char c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

// Blanks and line ends within are skipped. 0 or -EINVAL.
static int decode(const char *text, struct test_data *data)
{
	uint32_t bits = 0;
	unsigned have = 0, digits = 0;

	data->bytes = malloc(strlen(text) / 4 * 3 + 4);
	for (; data->bytes && *text && *text != '='; text++) {
		int value = digit(*text);

		if (strchr(" \t\r\n", *text))
			continue;
		if (value < 0)
			return -EINVAL;
		bits = bits << 6 | (uint32_t)value;
		have += 6;
		digits++;
		if (have >= 8) {
			have -= 8;
			data->bytes[data->len++] = (char)(bits >> have);
		}
	}
	if (!data->bytes)
		return -ENOMEM;
	data->bytes[data->len] = 0;
	return digits % 4 == 1 || strspn(text, "= \t\r\n") != strlen(text) ? -EINVAL : 0;
}

static int read_file(const char *name, const char *dir, struct test_data *data, char *why, size_t room)
{
	char *path = NULL;
	struct stat st;
	FILE *file;
	int error = 0;

	if (asprintf(&path, "%s%s%s", name[0] == '/' ? "" : dir, name[0] == '/' ? "" : "/", name) < 0)
		return -ENOMEM;
	file = fopen(path, "re");
	if (!file || fstat(fileno(file), &st)) {
		error = -errno;
		snprintf(why, room, "%.200s cannot be read: %s", path, strerror(errno));
	} else if (!S_ISREG(st.st_mode) || st.st_size > FILE_BYTES_MAX) {
		error = -EFBIG;
		snprintf(why, room, "%.200s is no file of at most 16 MiB", path);
	} else {
		data->bytes = calloc(1, (size_t)st.st_size + 1);
		data->len = data->bytes ? fread(data->bytes, 1, (size_t)st.st_size, file) : 0;
		error = data->bytes ? 0 : -ENOMEM;
	}
	if (file)
		fclose(file);
	free(path);
	return error;
}

int test_data_read(const json_t *value, const char *dir, struct test_data *data, char *why, size_t room)
{
	const char *file = json_string_value(json_object_get(value, "file"));
	const char *base64 = json_string_value(json_object_get(value, "base64"));
	const json_t *text = json_is_string(value) ? value : json_object_get(value, "text");
	int error;

	*data = (struct test_data){0};
	snprintf(why, room, "out of memory");
	if (file) {
		error = read_file(file, dir, data, why, room);
	} else if (base64) {
		error = decode(base64, data);
		if (error == -EINVAL)
			snprintf(why, room, "'%.40s' is not base64", base64);
	} else {
		data->len = json_string_length(text);
		data->bytes = calloc(1, data->len + 1);
		if (data->bytes && data->len)
			memcpy(data->bytes, json_string_value(text), data->len);
		error = data->bytes ? 0 : -ENOMEM;
	}
	if (error) {
		free(data->bytes);
		*data = (struct test_data){0};
	}
	return error;
}

// The beginning, with what does not print as \xNN.
static void show(const struct test_data *data, size_t from, char *text, size_t room)
{
	size_t at = 0;

	text[0] = 0;
	for (size_t i = from; i < data->len && i < from + SHOWN && at + 5 < room; i++) {
		unsigned char c = (unsigned char)data->bytes[i];

		at += (size_t)snprintf(text + at, room - at, c < ' ' || c > '~' ? "\\x%02x" : "%c", c);
	}
}

static size_t first_difference(const struct test_data *a, const struct test_data *b)
{
	size_t i = 0;

	while (i < a->len && i < b->len && a->bytes[i] == b->bytes[i])
		i++;
	return i;
}

static bool equal(const struct test_data *want, const struct test_data *got, char *why, size_t room)
{
	size_t at = first_difference(want, got), from = at > 20 ? at - 20 : 0;
	char a[5 * SHOWN], b[5 * SHOWN];

	if (at == want->len && at == got->len)
		return true;
	show(want, from, a, sizeof(a));
	show(got, from, b, sizeof(b));
	snprintf(why, room, "expected %zu bytes%s: %s%s\ngot %zu bytes%s: %s%s", want->len,
		from ? ", where they differ" : "", from ? "..." : "", a, got->len, from ? ", there" : "",
		from ? "..." : "", b);
	return false;
}

bool test_data_matches(const json_t *want, const char *dir, const struct test_data *got, char *why, size_t room)
{
	const json_t *bytes = json_object_get(want, "bytes");
	const json_t *contains = json_object_get(want, "contains");
	struct test_data data;
	char shown[5 * SHOWN];
	bool same;

	if (bytes) {
		snprintf(why, room, "expected %lld bytes\ngot %zu", (long long)json_integer_value(bytes), got->len);
		return (json_int_t)got->len == json_integer_value(bytes);
	}
	if (contains) {
		show(got, 0, shown, sizeof(shown));
		snprintf(why, room, "expected '%.200s' in it\ngot %zu bytes: %s", json_string_value(contains),
			got->len, shown);
		return memmem(got->bytes, got->len, json_string_value(contains), json_string_length(contains));
	}
	if (test_data_read(want, dir, &data, why, room))
		return false;
	same = equal(&data, got, why, room);
	free(data.bytes);
	return same;
}
