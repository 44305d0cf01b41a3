// SPDX-License-Identifier: Apache-2.0
// The YAML 1.2 core schema (10.3.2): what a plain scalar means. So `yes`, `on`, `1:30`, `1_000` and
// `64Mi` are text, as they look. Pure.
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tools/cli/manifest.h"

static bool is_one_of(const char *text, size_t len, const char *const *words)
{
	for (; *words; words++) {
		if (strlen(*words) == len && memcmp(*words, text, len) == 0)
			return true;
	}
	return false;
}

static size_t digits(const char *text)
{
	return strspn(text, "0123456789");
}

// [-+]? [0-9]+
static bool is_decimal(const char *text)
{
	size_t n;

	text += *text == '-' || *text == '+';
	n = digits(text);
	return n > 0 && text[n] == '\0';
}

// [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?
static bool is_float(const char *text)
{
	size_t whole, fraction = 0;

	text += *text == '-' || *text == '+';
	whole = digits(text);
	text += whole;
	if (*text == '.') {
		fraction = digits(text + 1);
		text += 1 + fraction;
	}
	if (whole + fraction == 0)
		return false;
	if (*text == 'e' || *text == 'E') {
		text++;
		text += *text == '-' || *text == '+';
		if (digits(text) == 0)
			return false;
		text += digits(text);
	}
	return *text == '\0';
}

static json_t *read_integer(const char *text, int base, const char **why)
{
	long long n;

	errno = 0;
	n = strtoll(text, NULL, base);
	if (errno == ERANGE) {
		*why = "the number does not fit in 64 bits";
		return NULL;
	}
	return json_integer(n);
}

static json_t *read_float(const char *text, const char **why)
{
	double d = strtod(text, NULL);

	if (!isfinite(d)) {
		*why = "the number is too large";
		return NULL;
	}
	return json_real(d);
}

json_t *manifest_scalar(const char *text, size_t len, const char **why)
{
	static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
	static const char *const trues[] = {"true", "True", "TRUE", NULL};
	static const char *const falses[] = {"false", "False", "FALSE", NULL};
	static const char *const infinite[] = {".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF",
		"-.inf", "-.Inf", "-.INF", ".nan", ".NaN", ".NAN", NULL};

	*why = "out of memory";
	if (is_one_of(text, len, nulls))
		return json_null();
	if (is_one_of(text, len, trues))
		return json_true();
	if (is_one_of(text, len, falses))
		return json_false();
	if (is_one_of(text, len, infinite)) {
		*why = "there is no such number in a manifest; quote it to make it text";
		return NULL;
	}
	if (is_decimal(text))
		return read_integer(text, 10, why);
	if (strncmp(text, "0x", 2) == 0 && len > 2 &&
		strspn(text + 2, "0123456789abcdefABCDEF") == len - 2)
		return read_integer(text + 2, 16, why);
	if (strncmp(text, "0o", 2) == 0 && len > 2 && strspn(text + 2, "01234567") == len - 2)
		return read_integer(text + 2, 8, why);
	if (is_float(text))
		return read_float(text, why);
	return json_stringn(text, len);
}
