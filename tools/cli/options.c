// SPDX-License-Identifier: Apache-2.0
// Reads argument lists by option tables. Pure but for writing the values; nothing is allocated,
// values point into argv.
#include "tools/cli/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/cli/suggest.h"

struct parser {
	const struct option_set *sets;
	int argc;
	char **argv;
	int at;
	char *error;
};

static const struct option *find_name(
	const struct option_set sets[2], const char *name, size_t len, void **values)
{
	for (int s = 0; s < 2; s++) {
		for (size_t i = 0; i < sets[s].count; i++) {
			const struct option *o = &sets[s].options[i];

			if (strncmp(o->name, name, len) == 0 && o->name[len] == '\0') {
				*values = sets[s].values;
				return o;
			}
		}
	}
	return NULL;
}

static const struct option *find_letter(const struct option_set sets[2], char letter, void **values)
{
	for (int s = 0; s < 2; s++) {
		for (size_t i = 0; i < sets[s].count; i++) {
			if (sets[s].options[i].letter == letter) {
				*values = sets[s].values;
				return &sets[s].options[i];
			}
		}
	}
	return NULL;
}

int option_count(const char *text, uint64_t *out)
{
	char *end;
	unsigned long long n;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno || *end)
		return -EINVAL;
	*out = n;
	return 0;
}

int option_span(const char *text, ns_t *out)
{
	static const struct {
		const char *unit;
		double ns;
	} units[] = {{"", 1e9}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}};
	char *end;
	double n;

	if (strspn(text, "0123456789.") == 0)
		return -EINVAL;
	n = strtod(text, &end);
	// Hexadecimal is not for spans; a year is more than anybody waits and far from overflow.
	if (end != text + strspn(text, "0123456789."))
		return -EINVAL;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(end, units[i].unit) != 0)
			continue;
		if (n * units[i].ns > 366.0 * 24 * 3600e9)
			return -EINVAL;
		*out = (ns_t)(n * units[i].ns);
		return 0;
	}
	return -EINVAL;
}

static int store(struct parser *p, const struct option *o, void *values, const char *text)
{
	char *member = (char *)values + o->offset;
	struct option_list *list;

	switch (o->kind) {
	case OPTION_FLAG:
		*(bool *)member = true;
		return 0;
	case OPTION_TEXT:
		*(const char **)member = text;
		return 0;
	case OPTION_COUNT:
		if (option_count(text, (uint64_t *)member) == 0)
			return 0;
		snprintf(p->error, OPTION_ERROR_MAX, "--%s takes a whole number, not '%s'", o->name,
			text);
		return -EINVAL;
	case OPTION_SPAN:
		if (option_span(text, (ns_t *)member) == 0)
			return 0;
		snprintf(p->error, OPTION_ERROR_MAX,
			"--%s takes a time such as 250ms or 2s, not '%s'", o->name, text);
		return -EINVAL;
	case OPTION_LIST:
		list = (struct option_list *)member;
		if (list->count < OPTION_LIST_MAX) {
			list->item[list->count++] = text;
			return 0;
		}
		snprintf(p->error, OPTION_ERROR_MAX, "--%s can be given at most %d times", o->name,
			OPTION_LIST_MAX);
		return -EINVAL;
	}
	return -EINVAL;
}

static int unknown(struct parser *p, const char *word, size_t len)
{
	const char *best = NULL;
	int distance = SUGGEST_DISTANCE_MAX + 1;

	for (int s = 0; s < 2; s++) {
		for (size_t i = 0; i < p->sets[s].count; i++)
			suggest_closer(word, len, p->sets[s].options[i].name, &best, &distance);
	}
	if (best)
		snprintf(p->error, OPTION_ERROR_MAX, "unknown option --%.*s; did you mean --%s?",
			(int)len, word, best);
	else
		snprintf(p->error, OPTION_ERROR_MAX, "unknown option --%.*s", (int)len, word);
	return -EINVAL;
}

// The value behind an option, or the next word of the command line.
static const char *next_value(struct parser *p, const struct option *o)
{
	if (p->at < p->argc)
		return p->argv[p->at++];
	snprintf(p->error, OPTION_ERROR_MAX, "--%s needs a value: --%s %s", o->name, o->name,
		o->value);
	return NULL;
}

static int parse_long(struct parser *p, const char *word)
{
	size_t len = strcspn(word, "=");
	void *values;
	const struct option *o = find_name(p->sets, word, len, &values);
	const char *text = word[len] ? word + len + 1 : NULL;

	if (!o)
		return unknown(p, word, len);
	if (o->kind == OPTION_FLAG && text) {
		snprintf(p->error, OPTION_ERROR_MAX, "--%s takes no value", o->name);
		return -EINVAL;
	}
	if (o->kind != OPTION_FLAG && !text)
		text = next_value(p, o);
	if (o->kind != OPTION_FLAG && !text)
		return -EINVAL;
	return store(p, o, values, text);
}

// "-n default", "-ndefault", and flags together: "-fw".
static int parse_letters(struct parser *p, const char *word)
{
	int r = 0;

	while (*word && r == 0) {
		void *values;
		const struct option *o = find_letter(p->sets, *word, &values);
		const char *text;

		if (!o) {
			snprintf(p->error, OPTION_ERROR_MAX, "unknown option -%c", *word);
			return -EINVAL;
		}
		word++;
		if (o->kind == OPTION_FLAG) {
			r = store(p, o, values, NULL);
			continue;
		}
		text = *word ? word : next_value(p, o);
		return text ? store(p, o, values, text) : -EINVAL;
	}
	return r;
}

int option_parse(const struct option_set sets[2], int argc, char **argv, bool stop_at_word,
	char **words, int *word_count, char error[OPTION_ERROR_MAX])
{
	struct parser p = {.sets = sets, .argc = argc, .argv = argv, .error = error};
	bool options = true;

	*word_count = 0;
	while (p.at < argc) {
		char *arg = argv[p.at];
		int r = 0;

		// "-" alone is a word: standard input.
		if (!options || arg[0] != '-' || arg[1] == '\0') {
			if (stop_at_word)
				break;
			words[(*word_count)++] = arg;
			p.at++;
			continue;
		}
		p.at++;
		if (strcmp(arg, "--") == 0)
			options = false;
		else if (arg[1] == '-')
			r = parse_long(&p, arg + 2);
		else
			r = parse_letters(&p, arg + 1);
		if (r)
			return r;
	}
	return p.at;
}
