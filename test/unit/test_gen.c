// SPDX-License-Identifier: Apache-2.0
// penstock-gen's parts without a loop: options, the mix of functions, error kinds.
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/gen/load.h"
#include "tools/gen/options.h"

struct config {
	const char *text;
	uint64_t count, bytes;
	double number;
	ns_t span;
	uint32_t fragment;
	bool flag;
};

static const struct option_def table[] = {
	{"A heading", OPTION_HEADING},
	{"text", OPTION_TEXT, offsetof(struct config, text), "TEXT", "a text"},
	{"count", OPTION_COUNT, offsetof(struct config, count), "N", "a count"},
	{"bytes", OPTION_BYTES, offsetof(struct config, bytes), "BYTES", "bytes"},
	{"number", OPTION_NUMBER, offsetof(struct config, number), "R", "a number"},
	{"span", OPTION_SECONDS, offsetof(struct config, span), "SEC", "a span"},
	{"fragment", OPTION_FRAGMENT, offsetof(struct config, fragment), "BYTES|never", "a size"},
	{"flag", OPTION_FLAG, offsetof(struct config, flag), NULL, "a flag"},
	{NULL},
};

// Arguments separated by blanks.
static int parse(struct config *config, const char *line)
{
	char copy[200], *argv[20];
	static char kept[20][50];
	int argc = 0;

	snprintf(copy, sizeof(copy), "%s", line);
	for (char *at = strtok(copy, " "); at; at = strtok(NULL, " ")) {
		snprintf(kept[argc], sizeof(kept[argc]), "%s", at);
		argv[argc] = kept[argc];
		argc++;
	}
	*config = (struct config){0};
	return gen_options_parse(table, config, argc, argv);
}

static void test_options(void **state)
{
	struct config c;

	assert_int_equal(
		parse(&c, "--text a=b --count=7 --bytes 3k --number 0.5 --span 1.5 --flag"), 0);
	assert_string_equal(c.text, "a=b");
	assert_int_equal(c.count, 7);
	assert_int_equal(c.bytes, 3072);
	assert_true(c.number == 0.5);
	assert_int_equal(c.span, 1500 * NS_PER_MS);
	assert_true(c.flag);
	assert_int_equal(parse(&c, "--fragment never"), 0);
	assert_true(c.fragment == RS_FRAGMENT_NEVER);
	assert_int_equal(parse(&c, "--fragment=1k --bytes 2G --text="), 0);
	assert_int_equal(c.fragment, 1024);
	assert_int_equal(c.bytes, (uint64_t)2 << 30);
	assert_string_equal(c.text, "");
	assert_int_equal(parse(&c, ""), 0);
}

static void test_options_faults(void **state)
{
	static const char *const lines[] = {
		"--nosuch 1",
		"count 7",
		"--count",
		"--count -1",
		"--count 7x",
		"--count x",
		"--count 99999999999999999999999",
		"--bytes 1t",
		"--bytes 1kk",
		"--bytes -1",
		"--bytes 99999999999999g",
		"--number -1",
		"--number nan",
		"--number",
		"--span -1",
		"--span 1e300",
		"--fragment 63",
		"--fragment 16777216",
		"--flag=yes",
		"--A",
		"--",
	};
	struct config c;

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		assert_int_equal(parse(&c, lines[i]), -EINVAL);
}

static int mix_of(struct mix *mix, const char *functions, const char *kind, const char *metadata)
{
	const struct mix_config config = {
		.functions = functions, .kind = kind, .metadata = metadata, .size = 32};

	memset(mix, 0, sizeof(*mix));
	return mix_parse(mix, &config);
}

static void test_mix(void **state)
{
	static const uint8_t routing[] = {4, 'e', 'c', 'h', 'o'};
	static const uint8_t composite[] = {0xfe, 0, 0, 5, 4, 'e', 'c', 'h', 'o'};
	struct mix m;

	assert_int_equal(
		mix_of(&m, "echo=9,stream:count:100=1,fnf:sink,size:77", "rr", "routing"), 0);
	assert_int_equal(m.count, 4);
	assert_int_equal(m.weights, 12);
	assert_int_equal(m.entries[0].weight, 9);
	assert_int_equal(m.entries[0].type, RS_REQUEST_RESPONSE);
	assert_int_equal(m.entries[0].check, CHECK_SAME);
	assert_int_equal(m.entries[0].data_len, 0);
	assert_int_equal(m.entries[0].metadata_len, sizeof(routing));
	assert_memory_equal(m.entries[0].metadata, routing, sizeof(routing));
	assert_string_equal(m.entries[1].label, "stream:count:100");
	assert_int_equal(m.entries[1].type, RS_REQUEST_STREAM);
	assert_int_equal(m.entries[1].check, CHECK_ITEMS);
	assert_int_equal(m.entries[1].number, 100);
	assert_string_equal(m.entries[1].data, "100");
	assert_int_equal(m.entries[2].type, RS_REQUEST_FNF);
	assert_int_equal(m.entries[3].check, CHECK_LENGTH);
	assert_int_equal(m.entries[3].number, 77);

	assert_int_equal(mix_of(&m, "echo", "stream", "composite"), 0);
	assert_int_equal(m.entries[0].type, RS_REQUEST_STREAM);
	assert_int_equal(m.entries[0].metadata_len, sizeof(composite));
	assert_memory_equal(m.entries[0].metadata, composite, sizeof(composite));

	// A function of another server: its replies are not judged.
	assert_int_equal(mix_of(&m, "thumbnail:x,ns/echo@2", "rr", "composite"), 0);
	assert_int_equal(m.entries[0].check, CHECK_NONE);
	assert_int_equal(m.entries[1].check, CHECK_SAME);
}

static void test_mix_faults(void **state)
{
	struct mix m;
	char name[400];

	assert_int_equal(mix_of(&m, "", "rr", "composite"), -EINVAL);
	assert_int_equal(mix_of(&m, "echo=0", "rr", "composite"), -EINVAL);
	assert_int_equal(mix_of(&m, "echo=x", "rr", "composite"), -EINVAL);
	assert_int_equal(mix_of(&m, "echo", "channel", "composite"), -EINVAL);
	assert_int_equal(mix_of(&m, "echo", "rr", "none"), -EINVAL);
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	assert_int_equal(mix_of(&m, name, "rr", "composite"), -EINVAL);
	memset(name, ',', sizeof(name) - 1);
	for (int i = 0; i <= MIX_MAX; i++)
		name[2 * i] = 'n';
	assert_int_equal(mix_of(&m, name, "rr", "composite"), -EINVAL);
}

static void test_mix_choice(void **state)
{
	int seen[3] = {0};
	struct rng rng;
	struct mix m;

	assert_int_equal(mix_of(&m, "a=1,b=2,c=7", "rr", "composite"), 0);
	rng_seed(&rng, 5);
	for (int i = 0; i < 100000; i++)
		seen[mix_choose(&m, &rng) - m.entries]++;
	assert_in_range(seen[0], 9500, 10500);
	assert_in_range(seen[1], 19400, 20600);
	assert_in_range(seen[2], 69300, 70700);
}

static void test_error_kinds(void **state)
{
	struct load_stats *s = calloc(2, sizeof(*s));
	char text[300];

	assert_int_equal(stats_init(&s[0], 1), 0);
	assert_int_equal(stats_init(&s[1], 1), 0);
	stats_error(&s[0], "timeout");
	stats_error(&s[0], "timeout");
	assert_int_equal(s[0].kinds_count, 1);
	assert_int_equal(s[0].kinds[0].count, 2);
	// Texts that differ in each call must not grow the table.
	for (int i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text), "REJECTED: call %d", i);
		stats_error(&s[0], text);
	}
	assert_int_equal(s[0].kinds_count, ERROR_KINDS_MAX);
	assert_string_equal(s[0].kinds[ERROR_KINDS_MAX - 1].text, "other");
	assert_int_equal(s[0].errors, 1002);
	stats_error(&s[1], "timeout");
	stats_merge(&s[1], &s[0], 1);
	assert_int_equal(s[1].kinds[0].count, 3);
	assert_int_equal(s[1].errors, 1003);
	stats_fini(&s[0]);
	stats_fini(&s[1]);
	free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_options_faults),
		cmocka_unit_test(test_mix),
		cmocka_unit_test(test_mix_faults),
		cmocka_unit_test(test_mix_choice),
		cmocka_unit_test(test_error_kinds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
