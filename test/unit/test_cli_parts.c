// SPDX-License-Identifier: Apache-2.0
// tools/cli: options, suggestions, values as text, tables.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/cli/doctor.h"
#include "tools/cli/format.h"
#include "tools/cli/nouns.h"
#include "tools/cli/options.h"
#include "tools/cli/suggest.h"
#include "tools/cli/table.h"

struct values {
	bool flag, watch;
	const char *text, *own;
	uint64_t count;
	ns_t span;
	struct option_list list;
};

static const struct option own_options[] = {
	{'w', "watch", NULL, "", OPTION_FLAG, offsetof(struct values, watch)},
	{'o', "own", "X", "", OPTION_TEXT, offsetof(struct values, own)},
	{0, "count", "N", "", OPTION_COUNT, offsetof(struct values, count)},
	{0, "span", "TIME", "", OPTION_SPAN, offsetof(struct values, span)},
	{'l', "list", "X", "", OPTION_LIST, offsetof(struct values, list)},
};

static const struct option common_options[] = {
	{'f', "flag", NULL, "", OPTION_FLAG, offsetof(struct values, flag)},
	{'o', "output", "X", "", OPTION_TEXT, offsetof(struct values, text)},
	{'t', "text", "X", "", OPTION_TEXT, offsetof(struct values, text)},
};

static char *words[64];
static int word_count;
static char error[OPTION_ERROR_MAX];

// Parses a command line split at spaces. Kept words point into a buffer of this function.
static int parse(struct values *v, const char *line, bool stop_at_word)
{
	static char buffer[2048];
	const struct option_set sets[2] = {{own_options, 5, v}, {common_options, 3, v}};
	char *argv[64], *save;
	int argc = 0;

	snprintf(buffer, sizeof(buffer), "%s", line);
	for (char *w = strtok_r(buffer, " ", &save); w; w = strtok_r(NULL, " ", &save))
		argv[argc++] = strcmp(w, "EMPTY") ? w : strchr(w, 'Y') + 1;
	*v = (struct values){0};
	error[0] = '\0';
	return option_parse(sets, argc, argv, stop_at_word, words, &word_count, error);
}

static void options_are_read_in_every_form(void **state)
{
	struct values v;

	assert_int_equal(
		parse(&v, "get -f -t one --count=5 --span 250ms -lx --list y name", false), 11);
	assert_true(v.flag);
	assert_string_equal(v.text, "one");
	assert_int_equal(v.count, 5);
	assert_int_equal(v.span, 250 * NS_PER_MS);
	assert_int_equal(v.list.count, 2);
	assert_string_equal(v.list.item[0], "x");
	assert_string_equal(v.list.item[1], "y");
	assert_int_equal(word_count, 2);
	assert_string_equal(words[1], "name");
	assert_int_equal(parse(&v, "-fwtvalue", false), 1);
	assert_true(v.flag && v.watch);
	assert_string_equal(v.text, "value");
	parse(&v, "--text EMPTY --own=", false);
	assert_string_equal(v.text, "");
	assert_string_equal(v.own, "");
}

static void own_options_go_before_common_ones(void **state)
{
	struct values v;

	assert_true(parse(&v, "-o a --output b", false) > 0);
	assert_string_equal(v.own, "a");
	assert_string_equal(v.text, "b");
}

static void a_dash_is_a_word_and_two_end_the_options(void **state)
{
	struct values v;

	assert_true(parse(&v, "- -f -- -w --nothing", false) > 0);
	assert_int_equal(word_count, 3);
	assert_string_equal(words[0], "-");
	assert_string_equal(words[1], "-w");
	assert_string_equal(words[2], "--nothing");
	assert_false(v.watch);
}

static void parsing_stops_before_the_verb(void **state)
{
	struct values v;

	assert_int_equal(parse(&v, "-f -t x get -w", true), 3);
	assert_int_equal(word_count, 0);
	assert_false(v.watch);
}

static void expect_error(const char *line, const char *part)
{
	struct values v;

	assert_int_equal(parse(&v, line, false), -EINVAL);
	if (!strstr(error, part))
		fail_msg("%s: %s", line, error);
}

static void faults_are_told(void **state)
{
	char many[512] = "";

	expect_error("--wotch", "did you mean --watch?");
	expect_error("--zzzzzz", "unknown option --zzzzzz");
	expect_error("-z", "unknown option -z");
	expect_error("--flag=1", "--flag takes no value");
	expect_error("--text", "--text needs a value");
	expect_error("-t", "--text needs a value");
	expect_error("--count -1", "whole number");
	expect_error("--count 1x", "whole number");
	expect_error("--count 99999999999999999999", "whole number");
	expect_error("--count=", "whole number");
	expect_error("--span fast", "a time such as");
	for (int i = 0; i <= OPTION_LIST_MAX; i++)
		strcat(many, "-lx ");
	expect_error(many, "at most 32 times");
}

static void spans_have_units(void **state)
{
	static const struct {
		const char *text;
		ns_t ns;
	} good[] = {{"2", 2 * NS_PER_SEC}, {"1.5s", 1500 * NS_PER_MS}, {"10us", 10 * NS_PER_US},
		{"3m", 180 * NS_PER_SEC}, {"1h", 3600 * NS_PER_SEC}, {"0", 0},
		{".5ms", 500 * NS_PER_US}};
	static const char *const bad[] = {"", "s", "-1s", "1 s", "1d", "1e3", "0x10", "inf", "nan",
		"1.2.3s", "99999999999h", "1ss", " 1s"};
	ns_t ns;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(option_span(good[i].text, &ns), 0);
		assert_int_equal(ns, good[i].ns);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (option_span(bad[i], &ns) != -EINVAL)
			fail_msg("'%s' was taken for %lld ns", bad[i], (long long)ns);
	}
}

static void near_words_are_suggested(void **state)
{
	static const struct {
		const char *a, *b;
		int distance;
	} cases[] = {{"get", "get", 0}, {"gte", "get", 1}, {"gets", "get", 1},
		{"delte", "delete", 1}, {"dlete", "delete", 1}, {"deltee", "delete", 1},
		{"describe", "delete", 3}, {"", "ab", 2}, {"endpoitns", "endpoints", 1},
		{"aply", "apply", 1}};
	const char *best = NULL;
	int distance = SUGGEST_DISTANCE_MAX + 1;
	char longest[64];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(suggest_distance(cases[i].a, strlen(cases[i].a), cases[i].b,
					 strlen(cases[i].b)),
			cases[i].distance);
	memset(longest, 'x', sizeof(longest));
	assert_int_equal(suggest_distance(longest, sizeof(longest), longest, sizeof(longest)), 3);
	suggest_closer("xy", 2, "ab", &best, &distance);
	assert_null(best);
	suggest_closer("statsu", 6, "stats", &best, &distance);
	suggest_closer("statsu", 6, "status", &best, &distance);
	assert_non_null(best);
	assert_int_equal(distance, 1);
}

static void times_and_rates_have_three_figures(void **state)
{
	static const struct {
		double value;
		const char *ns, *rate;
	} cases[] = {{0, "0 ns", "0"}, {5, "5 ns", "5"}, {999, "999 ns", "999"},
		{1234, "1.23 us", "1234"}, {9996, "10.0 us", "9996"}, {12345, "12.3 us", "12.3k"},
		{123456, "123 us", "123.5k"}, {999600, "1.00 ms", "1.00M"},
		{1.5e6, "1.50 ms", "1.50M"}, {2.5e9, "2.50 s", "2.50G"},
		{1.2e12, "1200 s", "1200.00G"}, {0.5, "0 ns", "0.5"}, {99.97, "100 ns", "100"}};
	char text[32];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_string_equal(format_ns(cases[i].value, text, sizeof(text)), cases[i].ns);
		assert_string_equal(format_rate(cases[i].value, text, sizeof(text)), cases[i].rate);
	}
	assert_string_equal(format_span(-5, text, sizeof(text)), "0s");
	assert_string_equal(format_span(90, text, sizeof(text)), "90s");
	assert_string_equal(format_span(600, text, sizeof(text)), "10m");
	assert_string_equal(format_span(86400, text, sizeof(text)), "24h");
	assert_string_equal(format_span(10 * 86400, text, sizeof(text)), "10d");
}

static void times_are_parsed(void **state)
{
	static const struct {
		const char *text;
		int64_t ns;
	} cases[] = {{"1970-01-01T00:00:01Z", NS_PER_SEC},
		{"2025-01-31T12:00:00.250Z", 1738324800250 * NS_PER_MS}};
	int64_t ns;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *value = json_string(cases[i].text);

		assert_int_equal(format_time_parse(value, &ns), 0);
		assert_int_equal(ns, cases[i].ns);
		json_decref(value);
	}
	for (const char *const *bad = (const char *const[]){"", "yesterday", "2025-01-31",
		     "2025-01-31T12:00:00", "2025-01-31T12:00:00+02:00", NULL};
		*bad; bad++) {
		json_t *value = json_string(*bad);

		assert_int_equal(format_time_parse(value, &ns), -EINVAL);
		json_decref(value);
	}
	assert_int_equal(format_time_parse(NULL, &ns), -EINVAL);
}

static void cells_of_jobs_are_short(void **state)
{
	json_t *v = json_pack("{s:[s,s], s:[s,s], s:[s], s:{s:s}, s:{s:s}, s:{s:i,s:i}, s:{s:i,s:i}}", "two",
		"sh", "-c", "lines", "sh", "one\ntwo", "long",
		"12345678901234567890123456789012345678901234567890123456789\xc3\xa9", "job", "job",
		"import", "fn", "function", "echo", "killed", "code", 0, "signal", 9, "ended", "code",
		3, "signal", 0);
	json_t *n = json_pack("[I,I,I,I,s]", (json_int_t)512, (json_int_t)1536, (json_int_t)64 << 20,
		(json_int_t)25276063744, "64Mi");
	char text[200];

	assert_non_null(v);
	format_command(json_object_get(v, "two"), text, sizeof(text));
	assert_string_equal(text, "sh -c");
	format_command(json_object_get(v, "lines"), text, sizeof(text));
	assert_string_equal(text, "sh one...");
	// A character of two bytes is not cut in the middle.
	format_command(json_object_get(v, "long"), text, sizeof(text));
	assert_string_equal(
		text, "12345678901234567890123456789012345678901234567890123456789...");
	format_owner(json_object_get(v, "job"), text, sizeof(text));
	assert_string_equal(text, "import");
	format_owner(json_object_get(v, "fn"), text, sizeof(text));
	assert_string_equal(text, "echo");
	format_exit(json_object_get(v, "killed"), text, sizeof(text));
	assert_string_equal(text, "signal 9");
	format_exit(json_object_get(v, "ended"), text, sizeof(text));
	assert_string_equal(text, "3");
	format_exit(NULL, text, sizeof(text));
	assert_string_equal(text, "");
	for (int i = 0; i < 5; i++) {
		static const char *const expected[] = {"512", "1.5Ki", "64Mi", "24Gi", "64Mi"};

		format_bytes(json_array_get(n, (size_t)i), text, sizeof(text));
		assert_string_equal(text, expected[i]);
	}
	json_decref(v);
	json_decref(n);
}

static void cells_show_any_value(void **state)
{
	json_t *v = json_pack("{s:s, s:i, s:f, s:b, s:n, s:[s,i,[]], s:{s:i}, s:[]}", "text", "x",
		"int", 5, "real", 0.25, "bool", 1, "null", "list", "a", 1, "object", "k", 1,
		"empty");
	static const struct {
		const char *key, *text;
	} cases[] = {{"text", "x"}, {"int", "5"}, {"real", "0.25"}, {"bool", "true"}, {"null", ""},
		{"list", "a,1,[...]"}, {"object", "{\"k\":1}"}, {"empty", ""}, {"absent", ""}};
	char text[32], small[4];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		format_plain(json_object_get(v, cases[i].key), text, sizeof(text));
		assert_string_equal(text, cases[i].text);
	}
	format_plain(json_object_get(v, "list"), small, sizeof(small));
	assert_string_equal(small, "a,1");
	format_words(json_object_get(v, "list"), text, sizeof(text));
	assert_string_equal(text, "a 1 [...]");
	json_decref(v);
}

static void addresses_are_counted_by_their_best_state(void **state)
{
	json_t *status = json_pack("{s:[{s:s, s:[{s:s},{s:s}]}, {s:[{s:s}]}, {s:[{s:s}]}, {s:[]}]}",
		"addresses", "address", "a", "gateways", "state", "down", "state", "up", "gateways",
		"state", "idle", "gateways", "state", "strange", "gateways");
	char text[128];

	assert_non_null(status);
	format_endpoint_state(status, text, sizeof(text));
	assert_string_equal(text, "1 up, 1 idle, 2 unknown");
	json_decref(status);
	format_endpoint_state(NULL, text, sizeof(text));
	assert_string_equal(text, "");
}

static char *print_table(const struct table *t)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_int_equal(table_print(t, out), 0);
	fclose(out);
	return text;
}

static void tables_are_aligned(void **state)
{
	struct table t = {0};
	char *text;

	table_column(&t, "NAME", false);
	table_column(&t, "N", true);
	table_column(&t, "LAST", false);
	table_cell(&t, "orders");
	table_cellf(&t, "%d", 5);
	table_cell(&t, "x");
	table_cell(&t, "a");
	table_cellf(&t, "%d", 1000);
	table_cell(&t, "");
	text = print_table(&t);
	assert_string_equal(text, "NAME       N  LAST\n"
				  "orders     5  x\n"
				  "a       1000  -\n");
	free(text);
	table_fini(&t);
}

static void wide_characters_take_their_columns(void **state)
{
	assert_int_equal(table_width("abc"), 3);
	assert_int_equal(table_width("gr\xc3\xbc\xc3\x9f"), 4);
	assert_int_equal(table_width("\xe6\xbc\xa2"), 2);
	assert_int_equal(table_width("\xff\xfe"), 2);
}

// Nobody's data may move the cursor or set the terminal's title.
static void control_characters_do_not_reach_the_terminal(void **state)
{
	struct table t = {0};
	char *text;

	table_column(&t, "N", false);
	table_cell(&t, "a\033]0;x\007b\nc\x7f\xc2\x9b"
		       "2J");
	text = print_table(&t);
	assert_string_equal(text, "N\na?]0;x?b?c?\xc2\xbf"
				  "2J\n");
	free(text);
	table_fini(&t);
}

static void nouns_have_all_their_forms(void **state)
{
	json_t *r = json_pack(
		"{s:{s:s, s:s}}", "metadata", "name", "thumbnail", "namespace", "imagery");
	char *text;

	for (size_t i = 0; i < cli_noun_count; i++) {
		assert_ptr_equal(noun_find(cli_nouns[i].plural), &cli_nouns[i]);
		assert_ptr_equal(noun_find(cli_nouns[i].singular), &cli_nouns[i]);
		assert_ptr_equal(noun_find(cli_nouns[i].brief), &cli_nouns[i]);
		assert_ptr_equal(noun_find_kind(cli_nouns[i].kind), &cli_nouns[i]);
	}
	assert_null(noun_find("things"));
	assert_string_equal(text = noun_path(noun_find("fn"), "default", "imagery/thumb nail"),
		"/v1/functions/imagery/thumb%20nail");
	free(text);
	assert_string_equal(text = noun_path(noun_find("fn"), "a", "b"), "/v1/functions/a/b");
	free(text);
	assert_string_equal(
		text = noun_path(noun_find("ep"), "a", "../x?y"), "/v1/endpoints/..%2Fx%3Fy");
	free(text);
	assert_string_equal(text = noun_title(noun_find("fn"), r), "function/imagery/thumbnail");
	free(text);
	assert_string_equal(text = noun_title(noun_find("ep"), r), "endpoint/thumbnail");
	free(text);
	json_decref(r);
}

static void processors_of_a_list_are_counted(void **state)
{
	assert_int_equal(doctor_list_count("0"), 1);
	assert_int_equal(doctor_list_count("0-3"), 4);
	assert_int_equal(doctor_list_count("0-3,8,10-11"), 7);
	assert_int_equal(doctor_list_count(""), 0);
	assert_int_equal(doctor_list_count("x"), 0);
	assert_int_equal(doctor_list_count("5-1"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_are_read_in_every_form),
		cmocka_unit_test(own_options_go_before_common_ones),
		cmocka_unit_test(a_dash_is_a_word_and_two_end_the_options),
		cmocka_unit_test(parsing_stops_before_the_verb),
		cmocka_unit_test(faults_are_told),
		cmocka_unit_test(spans_have_units),
		cmocka_unit_test(near_words_are_suggested),
		cmocka_unit_test(times_and_rates_have_three_figures),
		cmocka_unit_test(times_are_parsed),
		cmocka_unit_test(cells_of_jobs_are_short),
		cmocka_unit_test(cells_show_any_value),
		cmocka_unit_test(addresses_are_counted_by_their_best_state),
		cmocka_unit_test(tables_are_aligned),
		cmocka_unit_test(wide_characters_take_their_columns),
		cmocka_unit_test(control_characters_do_not_reach_the_terminal),
		cmocka_unit_test(nouns_have_all_their_forms),
		cmocka_unit_test(processors_of_a_list_are_counted),
	};

	setlocale(LC_CTYPE, "C.UTF-8");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
