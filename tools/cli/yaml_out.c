// SPDX-License-Identifier: Apache-2.0
// A YAML writer. Text is written plain only when it is certain to be read back as text, by YAML 1.1
// readers too; else in double quotes.
#include "tools/cli/yaml_out.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FLOW_WIDTH_MAX 72
// A key in front of a ':' may have 1,024 characters (YAML 1.2, 7.4.2); an escape makes up to 6 of a byte.
#define SIMPLE_KEY_MAX 128

// Words that some YAML reader takes for something else.
static bool is_word_of_yaml(const char *text)
{
	static const char *const words[] = {
		"null", "true", "false", "yes", "no", "on", "off", "y", "n"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcasecmp(text, words[i]) == 0)
			return true;
	}
	return false;
}

static bool is_plain(const char *text, size_t len)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

	if (len == 0 || !(strchr(letters, text[0]) || text[0] == '/'))
		return false;
	if (strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./@+") !=
		len)
		return false;
	return !is_word_of_yaml(text);
}

// The code point at text, of valid UTF-8; *len its bytes.
static unsigned decode(const unsigned char *text, unsigned *len)
{
	unsigned c = text[0];

	*len = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	if (*len > 1)
		c &= 0x7fu >> *len;
	for (unsigned i = 1; i < *len; i++)
		c = c << 6 | (text[i] & 0x3fu);
	return c;
}

// YAML 1.2, 5.1 and 5.4: what may stand in a quoted text as it is and does not end a line.
static bool is_printable(unsigned c)
{
	if (c < 0x80)
		return c >= 0x20 && c != 0x7f;
	return c >= 0xa0 && c != 0x2028 && c != 0x2029 && c != 0xfeff && (c & 0xfffe) != 0xfffe;
}

static void write_quoted(FILE *out, const char *text, size_t len)
{
	unsigned n;

	fputc('"', out);
	for (size_t i = 0; i < len; i += n) {
		unsigned c = decode((const unsigned char *)text + i, &n);

		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", (int)c);
		else if (c == '\n')
			fputs("\\n", out);
		else if (c == '\t')
			fputs("\\t", out);
		else if (is_printable(c))
			fwrite(text + i, 1, n, out);
		else if (c < 0x10000)
			fprintf(out, "\\u%04x", c);
		else
			fprintf(out, "\\U%08x", c);
	}
	fputc('"', out);
}

static void write_text(FILE *out, const char *text, size_t len)
{
	if (is_plain(text, len))
		fputs(text, out);
	else
		write_quoted(out, text, len);
}

// The shortest text that reads back as the same number, and as one with a fraction.
static void write_real(FILE *out, double d)
{
	char text[40];

	for (int precision = 1; precision <= 17; precision++) {
		snprintf(text, sizeof(text), "%.*g", precision, d);
		if (strtod(text, NULL) == d)
			break;
	}
	fprintf(out, "%s%s", text, strpbrk(text, ".e") ? "" : ".0");
}

static bool is_scalar(const json_t *value)
{
	return !json_is_object(value) && !json_is_array(value);
}

static void write_scalar(FILE *out, const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_STRING:
		write_text(out, json_string_value(value), json_string_length(value));
		break;
	case JSON_INTEGER:
		fprintf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
		break;
	case JSON_REAL:
		write_real(out, json_real_value(value));
		break;
	default:
		fputs(json_is_null(value) ? "null" : json_is_true(value) ? "true" : "false", out);
		break;
	}
}

// "[a, b]" for short lists of scalars.
static bool is_short_list(const json_t *value)
{
	size_t width = 0, i;
	json_t *item;

	if (!json_is_array(value))
		return false;
	json_array_foreach(value, i, item)
	{
		if (!is_scalar(item))
			return false;
		width += 2 + (json_is_string(item) ? json_string_length(item) + 2 : 8);
	}
	return width <= FLOW_WIDTH_MAX;
}

static bool is_inline(const json_t *value)
{
	return is_scalar(value) || is_short_list(value) ||
	       (json_is_object(value) && !json_object_size(value));
}

static void write_inline(FILE *out, const json_t *value)
{
	size_t i;
	json_t *item;

	if (json_is_object(value)) {
		fputs("{}", out);
		return;
	}
	if (!json_is_array(value)) {
		write_scalar(out, value);
		return;
	}
	fputc('[', out);
	json_array_foreach(value, i, item)
	{
		fputs(i ? ", " : "", out);
		write_scalar(out, item);
	}
	fputc(']', out);
}

static void write_block(FILE *out, const json_t *value, unsigned indent, bool started);

// "key:", or for a long one "? key" and a line that begins with ":".
static void write_key(FILE *out, const char *key, unsigned indent)
{
	bool simple = strlen(key) <= SIMPLE_KEY_MAX;

	fputs(simple ? "" : "? ", out);
	write_text(out, key, strlen(key));
	if (!simple)
		fprintf(out, "\n%*s", (int)indent, "");
	fputc(':', out);
}

// What follows "key:" or "-".
static void write_value(FILE *out, const json_t *value, unsigned indent, bool item)
{
	if (is_inline(value)) {
		fputc(' ', out);
		write_inline(out, value);
		fputc('\n', out);
	} else if (item) {
		fputc(' ', out);
		write_block(out, value, indent, true);
	} else {
		fputc('\n', out);
		write_block(out, value, indent, false);
	}
}

// started: the first line's indent is written already (behind "- ").
static void write_block(FILE *out, const json_t *value, unsigned indent, bool started)
{
	size_t i;
	const char *key;
	json_t *child;

	if (json_is_array(value)) {
		json_array_foreach(value, i, child)
		{
			fprintf(out, "%*s-", started ? 0 : (int)indent, "");
			write_value(out, child, indent + 2, true);
			started = false;
		}
		return;
	}
	json_object_foreach((json_t *)value, key, child)
	{
		fprintf(out, "%*s", started ? 0 : (int)indent, "");
		write_key(out, key, indent);
		write_value(out, child, indent + 2, false);
		started = false;
	}
}

void yaml_write(FILE *out, const json_t *value, unsigned indent)
{
	if (is_inline(value)) {
		fprintf(out, "%*s", (int)indent, "");
		write_inline(out, value);
		fputc('\n', out);
		return;
	}
	write_block(out, value, indent, false);
}
