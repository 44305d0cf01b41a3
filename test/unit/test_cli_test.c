// SPDX-License-Identifier: Apache-2.0
// `penstock test` where tests fail: every fault is told, a program that dies or hangs costs its own case only, and
// a file that is wrong names its line. (Tests that pass are in test/functions.)
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/cli/cli.h"

static char dir[64], path[128];
static char *out_text, *err_text;

static void put(const char *name, const char *text)
{
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static int setup(void **state)
{
	strcpy(dir, "/tmp/penstock-test-XXXXXX");
	assert_non_null(mkdtemp(dir));
	return 0;
}

static int teardown(void **state)
{
	static const char *const names[] = {"a.test.yaml", "b.test.yaml", "faulty", "faulty.test.yaml", "data"};
	char name[128];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(name, sizeof(name), "%s/%s", dir, names[i]);
		unlink(name);
	}
	rmdir(dir);
	free(out_text);
	free(err_text);
	out_text = err_text = NULL;
	return 0;
}

// penstock test --functions DEMO MORE, in one string each.
static enum cli_exit run(const char *what, const char *more)
{
	char words[256], functions[] = DEMO_DIR, *argv[16] = {"penstock", "test", "--functions", functions};
	struct cli cli = {0};
	size_t out_len, err_len;
	int argc = 4;
	enum cli_exit exit;

	free(out_text);
	free(err_text);
	snprintf(words, sizeof(words), "%s %s", what, more);
	for (char *word = strtok(words, " "); word; word = strtok(NULL, " "))
		argv[argc++] = word;
	cli.out = open_memstream(&out_text, &out_len);
	cli.err = open_memstream(&err_text, &err_len);
	exit = cli_main(&cli, argc, argv);
	fclose(cli.out);
	fclose(cli.err);
	return exit;
}

static enum cli_exit run_yaml(const char *tests)
{
	char text[4096];

	snprintf(text, sizeof(text), "command: [demo-faulty]\ntests:\n%s", tests);
	put("a.test.yaml", text);
	return run(path, "");
}

static void expect_text(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("'%s' is not in:\n%s", part, text);
}

static void differences_are_shown(void **state)
{
	assert_int_equal(run_yaml("- {name: one, call: sleep 1, reply: \"2\"}\n"
				  "- {name: two, call: sleep 1, error: INVALID}\n"
				  "- {name: three, call: error 0x301 no}\n"
				  "- {name: four, call: error 0x301 no, error: {code: 0x301, text: other}}\n"
				  "- {name: five, call: sleep 1, reply: {bytes: 9}}\n"
				  "- {name: six, call: sleep 1, reply: {contains: xyz}}\n"
				  "- {name: seven, call: sleep 1, calls: 3}\n"
				  "- {name: eight, stream: sleep 1}\n"
				  "- {name: nine, call: \"log some\\nlines\", reply: x}\n"
				  "- {name: ten, call: sleep 1, reply: \"1\"}\n"),
		CLI_REFUSED);
	expect_text(out_text, "  WRONG one\n        expected 1 bytes: 2\n        got 1 bytes: 1\n");
	expect_text(out_text, "  WRONG two\n        expected the error INVALID\n        got none\n");
	expect_text(out_text, "  WRONG three\n        expected no error\n        got 0x301: no\n");
	expect_text(out_text, "expected the error 0x301 with other\n        got 0x301: no\n");
	expect_text(out_text, "  WRONG five\n        expected 9 bytes\n        got 1\n");
	expect_text(out_text, "expected 'xyz' in it\n        got 1 bytes: 1\n");
	expect_text(out_text, "expected 3 calls to other functions\n        got 0\n");
	expect_text(out_text, "got INVALID: this function does not take request-stream\n");
	expect_text(out_text, "it wrote:\n          call 0000000000000001: some\n");
	expect_text(out_text, "  ok    ten\n");
	expect_text(out_text, "1 passed, 9 failed\n");
}

static void items_are_compared_one_by_one(void **state)
{
	put("a.test.yaml", "command: [demo-count]\ntests:\n"
			   "- {name: one, stream: \"3\", items: [\"1\", \"x\", \"3\"]}\n"
			   "- {name: two, stream: \"3\", items: [\"1\", \"2\"]}\n"
			   "- {name: three, stream: \"3\", items: {count: 4}}\n");
	assert_int_equal(run(path, ""), CLI_REFUSED);
	expect_text(out_text, "item 2: expected 1 bytes: x\n        got 1 bytes: 2\n");
	expect_text(out_text, "expected 2 items\n        got 3\n");
	expect_text(out_text, "expected 4 items\n        got 3\n");
	expect_text(out_text, "0 passed, 3 failed\n");
}

static void a_program_that_dies_is_started_again(void **state)
{
	assert_int_equal(run_yaml("- {name: one, call: crash}\n"
				  "- {name: two, call: sleep 1, reply: \"1\"}\n"
				  "- {name: three, call: exit 7}\n"
				  "- {name: four, call: hang, timeout_ms: 100}\n"
				  "- {name: five, call: sleep 1, reply: \"1\"}\n"),
		CLI_REFUSED);
	expect_text(out_text, "died of signal 11 (Segmentation fault)");
	expect_text(out_text, "  ok    two\n");
	expect_text(out_text, "ended with status 7\n");
	expect_text(out_text, "no answer within 100 ms (timeout_ms): it was killed\n");
	expect_text(out_text, "  ok    five\n2 passed, 3 failed\n");
}

static void programs_that_are_none_of_ours(void **state)
{
	put("a.test.yaml", "command: [/nonexistent]\ntests: [{name: one, call: x}]\n");
	assert_int_equal(run(path, ""), CLI_REFUSED);
	expect_text(out_text, "/nonexistent cannot be run: is it there?");
	put("a.test.yaml", "command: [/bin/true]\ntests: [{name: one, call: x}]\n");
	assert_int_equal(run(path, ""), CLI_REFUSED);
	expect_text(out_text, "/bin/true ended with status 0");
	put("a.test.yaml", "command: [/bin/sleep, \"60\"]\ntests: [{name: one, call: x, timeout_ms: 50}]\n");
	assert_int_equal(run(path, ""), CLI_REFUSED);
	expect_text(out_text, "is it linked with the SDK");
	put("a.test.yaml",
		"command: [/bin/sh, -c, \"exec 3>&-; exec sleep 60\"]\n"
		"tests: [{name: one, call: x}]\n");
	assert_int_equal(run(path, ""), CLI_REFUSED);
	expect_text(out_text, "closed the descriptor 3 that it is asked on, and stayed: it was killed");
}

// It says that it has started, as the SDK does, and then reads nothing.
static void a_program_that_does_not_read(void **state)
{
	char *much = malloc(8 << 20);

	assert_non_null(much);
	memset(much, 'x', 8 << 20);
	much[(8 << 20) - 1] = 0;
	put("data", much);
	free(much);
	put("a.test.yaml",
		"command: [/bin/sh, -c, \"printf '\\\\020\\\\0\\\\0\\\\0\\\\0' >&3; exec sleep 60\"]\n"
		"tests: [{name: one, call: {file: data}, timeout_ms: 100}]\n");
	assert_int_equal(run(path, ""), CLI_REFUSED);
	expect_text(out_text, "no answer within 100 ms (timeout_ms): it was killed\n");
}

// Beyond the limit of items nothing is written to.
static void a_program_that_never_ends_its_items(void **state)
{
	put("a.test.yaml",
		"command: [/bin/sh, -c, \"printf '\\\\020\\\\0\\\\0\\\\0\\\\0' >&3; head -c 6000000 /dev/zero "
		"| sed 's/\\\\x00\\\\x00\\\\x00\\\\x00\\\\x00/\\\\x11\\\\x00\\\\x00\\\\x00\\\\x00/g' >&3; exec sleep 60\"]\n"
		"tests: [{name: one, stream: x, timeout_ms: 60000}]\n");
	assert_int_equal(run(path, ""), CLI_REFUSED);
	expect_text(out_text, "more than 1000000 items: it was killed\n");
}

static void wrong_files_name_their_line(void **state)
{
	static const struct {
		const char *text, *part;
	} cases[] = {
		{"command: [x]\ntests:\n- name: a\n  call: x\n  replie: y\n", ":5: tests[0].replie: there is no such field"},
		{"command: [x]\ntests:\n- name: a\n", ":3: tests[0]: needs one of call, event, stream"},
		{"command: [x]\ntests:\n- {name: a, call: x, event: y}\n", "needs one of call"},
		{"command: [x]\ntests:\n- {call: x}\n", "needs a name"},
		{"command: [x]\ntests:\n- {name: a, call: [1]}\n", "tests[0].call: must be text"},
		{"command: [x]\ntests:\n- {name: a, call: x, reply: {like: y}}\n", "{contains: }"},
		{"command: [x]\ntests:\n- {name: a, call: x, reply: y, error: INVALID}\n", "one or the other"},
		{"command: [x]\ntests:\n- {name: a, call: x, items: []}\n", "only a stream has"},
		{"command: [x]\ntests:\n- {name: a, call: x, error: WRONG}\n", "must be APPLICATION_ERROR"},
		{"command: [x]\ntests:\n- {name: a, call: x, deadline_ms: -1}\n", "must be a whole number"},
		{"command: [x]\ntests:\n- {name: a, call: x, answers: {f: {error: 7, more: 1}}}\n", "must be a mapping"},
		{"command: [x]\ntests: []\n", "at least one test"},
		{"command: [x]\n", "there are no tests"},
		{"command: x\ntests: [{name: a, call: x}]\n", "command: must be a list of words"},
		{"env: {A: 1}\ncommand: [x]\ntests: [{name: a, call: x}]\n", ":1: env: must be"},
		{"tests: [{name: a, call: x}]\n", "it has no command"},
		{"a: 1\n---\nb: 1\n", "must hold one document"},
		{"tests: [\n", "a.test.yaml:"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		put("a.test.yaml", cases[i].text);
		assert_int_equal(run(path, ""), CLI_REFUSED);
		expect_text(err_text, cases[i].part);
		assert_string_equal(out_text, "");
	}
}

static void data_that_cannot_be_had(void **state)
{
	put("data", "1");
	assert_int_equal(run_yaml("- {name: one, call: {file: nosuch}}\n"
				  "- {name: two, call: {base64: \"a!\"}}\n"
				  "- {name: three, call: x, answers: {f: {file: nosuch}}}\n"
				  "- {name: four, call: sleep 1, reply: {file: data}}\n"
				  "- {name: five, call: sleep 1, reply: {base64: MQ==}}\n"
				  "- {name: six, call: {base64: \"c2xl ZXAg\\nMQ\"}, reply: {text: \"1\"}}\n"),
		CLI_REFUSED);
	expect_text(out_text, "/nosuch cannot be read: No such file or directory");
	expect_text(out_text, "'a!' is not base64");
	expect_text(out_text, "  ok    four\n  ok    five\n  ok    six\n3 passed, 3 failed\n");
}

static void files_are_found(void **state)
{
	char program[128];

	assert_int_equal(run("/nonexistent", ""), CLI_REFUSED);
	expect_text(err_text, "there is no /nonexistent");
	assert_int_equal(run(dir, ""), CLI_REFUSED);
	expect_text(err_text, "there is no *.test.yaml");
	put("b.test.yaml", "command: [demo-echo]\ntests:\n- {name: one, call: x, reply: x}\n- {name: two, event: y}\n");
	assert_int_equal(run(dir, ""), CLI_DONE);
	expect_text(out_text, "2 passed, 0 failed\n");
	assert_int_equal(run(dir, "--only tw"), CLI_DONE);
	expect_text(out_text, "1 passed, 0 failed\n");
	assert_int_equal(run(dir, "--only nosuch"), CLI_REFUSED);
	expect_text(err_text, "no test has that in its name");
	// A program with its tests beside it.
	snprintf(program, sizeof(program), "%s/faulty", dir);
	assert_int_equal(symlink(DEMO_DIR "/demo-faulty", program), 0);
	assert_int_equal(run(program, ""), CLI_REFUSED);
	expect_text(err_text, "has no tests");
	put("faulty.test.yaml", "tests: [{name: one, call: sleep 1, reply: \"1\"}]\n");
	assert_int_equal(run(program, ""), CLI_DONE);
	expect_text(out_text, "1 passed, 0 failed\n");
}

static void as_json(void **state)
{
	assert_int_equal(run_yaml("- {name: one, call: sleep 1, reply: \"2\"}\n"), CLI_REFUSED);
	assert_int_equal(run(path, "-o json"), CLI_REFUSED);
	expect_text(out_text, "\"test\": \"one\"");
	expect_text(out_text, "\"passed\": false");
	expect_text(out_text, "expected 1 bytes: 2");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(differences_are_shown),
		TEST(items_are_compared_one_by_one),
		TEST(a_program_that_dies_is_started_again),
		TEST(programs_that_are_none_of_ours),
		TEST(a_program_that_does_not_read),
		TEST(a_program_that_never_ends_its_items),
		TEST(wrong_files_name_their_line),
		TEST(data_that_cannot_be_had),
		TEST(files_are_found),
		TEST(as_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
