// SPDX-License-Identifier: Apache-2.0
// test: runs the unit tests of functions. The program runs on this machine, by itself: no daemon, no gateway.
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/cli/cli.h"
#include "tools/cli/format.h"
#include "tools/cli/output.h"
#include "tools/cli/test_run.h"

#define WHY_MAX 1500

struct values {
	const char *functions;
	const char *only;
};

static const struct option options[] = {
	{0, "functions", "DIRECTORY", "where commands are looked for first", OPTION_TEXT,
		offsetof(struct values, functions)},
	{0, "only", "TEXT", "only tests with this in their name", OPTION_TEXT, offsetof(struct values, only)},
};

struct run {
	struct cli *cli;
	const struct values *values;
	unsigned passed, failed, files;
	json_t *list; // for -o json and yaml; NULL: lines are printed
};

// What was expected

static bool expect_error(const json_t *want, const struct test_result *got, char *why, size_t room)
{
	const json_t *code = json_is_object(want) ? json_object_get(want, "code") : want;
	const char *text = json_string_value(json_object_get(want, "text"));
	uint32_t wanted = want ? test_error_code(code) : 0;
	const char *name = test_error_name(got->code), *wanted_name = test_error_name(wanted);
	char number[16], wanted_number[16];

	snprintf(number, sizeof(number), "%#x", got->code);
	snprintf(wanted_number, sizeof(wanted_number), "%#x", wanted);
	if (wanted == got->code && (!text || strstr(got->text, text)))
		return true;
	if (!got->code)
		snprintf(why, room, "expected the error %s\ngot none", wanted_name ? wanted_name : wanted_number);
	else if (!want)
		snprintf(why, room, "expected no error\ngot %s: %.500s", name ? name : number, got->text);
	else
		snprintf(why, room, "expected the error %s%s%.300s\ngot %s: %.500s",
			wanted_name ? wanted_name : wanted_number, text ? " with " : "", text ? text : "",
			name ? name : number, got->text);
	return false;
}

static bool expect_items(
	const json_t *want, const char *dir, const struct test_result *got, char *why, size_t room)
{
	json_t *count = json_object_get(want, "count");
	size_t wanted = count ? (size_t)json_integer_value(count) : json_array_size(want);

	for (size_t i = 0; json_is_array(want) && i < wanted && i < got->items_count; i++) {
		int n = snprintf(why, room, "item %zu: ", i + 1);

		if (!test_data_matches(json_array_get(want, i), dir, &got->items[i], why + n, room - (size_t)n))
			return false;
	}
	if (wanted == got->items_count)
		return true;
	snprintf(why, room, "expected %zu items\ngot %zu", wanted, got->items_count);
	return false;
}

static bool as_expected(
	const json_t *test, const char *dir, const struct test_result *got, char *why, size_t room)
{
	const json_t *reply = json_object_get(test, "reply"), *items = json_object_get(test, "items");
	const json_t *calls = json_object_get(test, "calls");

	if (items && !expect_items(items, dir, got, why, room))
		return false;
	if (!expect_error(json_object_get(test, "error"), got, why, room))
		return false;
	if (reply && !test_data_matches(reply, dir, &got->reply, why, room))
		return false;
	if (!calls || json_integer_value(calls) == (json_int_t)got->calls)
		return true;
	snprintf(why, room, "expected %lld calls to other functions\ngot %u",
		(long long)json_integer_value(calls), got->calls);
	return false;
}

// Telling

static void print_indented(FILE *out, const char *title, char *text)
{
	char *save, *line;

	if (title)
		fprintf(out, "        %s\n", title);
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		format_clean(line);
		fprintf(out, "        %s%s\n", title ? "  " : "", line);
	}
}

static void tell(struct run *run, const char *path, const json_t *test, bool good, char *why,
	char *output, ns_t took)
{
	const char *name = json_string_value(json_object_get(test, "name"));

	if (run->list) {
		json_array_append_new(run->list,
			json_pack("{s:s, s:s, s:b, s:f, s:s?, s:s?}", "file", path, "test", name, "passed", good,
				"took_ms", (double)took / NS_PER_MS, "why", good ? NULL : why, "output",
				good ? NULL : output));
		return;
	}
	fprintf(run->cli->out, "  %s %s\n", good ? "ok   " : "WRONG", name);
	if (good)
		return;
	print_indented(run->cli->out, NULL, why);
	if (output)
		print_indented(run->cli->out, "it wrote:", output);
}

// Running

static void run_one(
	struct run *run, const char *path, struct test_program *program, const struct test_file *file, const json_t *test)
{
	ns_t begin = clock_now();
	struct test_result result;
	char why[WHY_MAX], *output;
	bool good = test_program_run(program, file, test, &result, why, sizeof(why)) &&
		    as_expected(test, file->dir, &result, why, sizeof(why));

	output = test_program_output(program);
	tell(run, path, test, good, why, output, clock_now() - begin);
	run->passed += good;
	run->failed += !good;
	test_result_fini(&result);
	free(output);
}

static enum cli_exit run_file(struct run *run, const char *path, const char *over)
{
	const char *only = run->values->only;
	struct test_program program = {.fd = -1, .output_fd = -1};
	struct manifest_error error = {0};
	struct test_file file;
	char why[WHY_MAX];
	json_t *test;
	size_t i;

	run->files++;
	if (test_file_load(&file, path, &error)) {
		cli_complain(run->cli, "%s:%u: %s", error.file, error.line, error.text);
		test_file_fini(&file);
		return CLI_REFUSED;
	}
	if (test_program_init(&program, &file, over, run->values->functions, why, sizeof(why))) {
		cli_complain(run->cli, "%s: %s", path, why);
		test_program_fini(&program);
		test_file_fini(&file);
		return CLI_REFUSED;
	}
	if (!run->list)
		fprintf(run->cli->out, "%s\n", path);
	json_array_foreach(file.tests, i, test)
	{
		if (!only || strstr(json_string_value(json_object_get(test, "name")), only))
			run_one(run, path, &program, &file, test);
	}
	test_program_fini(&program);
	test_file_fini(&file);
	return CLI_DONE;
}

static int is_test_file(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name), suffix = strlen(TEST_FILE_SUFFIX);

	return len > suffix && strcmp(entry->d_name + len - suffix, TEST_FILE_SUFFIX) == 0;
}

static enum cli_exit run_directory(struct run *run, const char *dir)
{
	struct dirent **entries = NULL;
	int count = scandir(dir, &entries, is_test_file, alphasort);
	enum cli_exit exit = CLI_DONE;

	for (int i = 0; i < count; i++) {
		char *path = NULL;

		if (asprintf(&path, "%s/%s", dir, entries[i]->d_name) < 0 ||
			run_file(run, path, NULL) != CLI_DONE)
			exit = CLI_REFUSED;
		free(path);
		free(entries[i]);
	}
	free(entries);
	return exit;
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

// A directory, a file of tests, or a program with one beside it.
static enum cli_exit run_path(struct run *run, const char *path)
{
	char *beside = NULL, *program = NULL;
	enum cli_exit exit = CLI_REFUSED;
	struct stat st;

	if (stat(path, &st) != 0) {
		cli_complain(run->cli, "there is no %s", path);
		return CLI_REFUSED;
	}
	if (S_ISDIR(st.st_mode))
		return run_directory(run, path);
	if (ends_with(path, ".yaml") || ends_with(path, ".yml") || ends_with(path, ".json"))
		return run_file(run, path, NULL);
	// Not to be looked for in PATH.
	if (asprintf(&beside, "%s" TEST_FILE_SUFFIX, path) < 0 ||
		asprintf(&program, "%s%s", strchr(path, '/') ? "" : "./", path) < 0)
		return CLI_REFUSED;
	if (stat(beside, &st) == 0)
		exit = run_file(run, beside, program);
	else
		cli_complain(run->cli, "%s has no tests: they would be in %s", path, beside);
	free(beside);
	free(program);
	return exit;
}

static enum cli_exit run(struct cli *cli, const void *values, int argc, char **argv)
{
	bool data = output_is_data(cli);
	struct run run = {.cli = cli, .values = values, .list = data ? json_array() : NULL};
	enum cli_exit exit = argc ? CLI_DONE : run_path(&run, ".");

	for (int i = 0; i < argc; i++)
		if (run_path(&run, argv[i]) != CLI_DONE)
			exit = CLI_REFUSED;
	if (data)
		output_value(cli, run.list);
	else if (run.passed + run.failed > 0)
		fprintf(cli->out, "%u passed, %u failed\n", run.passed, run.failed);
	if (exit == CLI_DONE && run.passed + run.failed == 0)
		cli_complain(cli, run.files ? "no test has that in its name"
					    : "there is no *" TEST_FILE_SUFFIX " (man 5 penstock-test)");
	json_decref(run.list);
	return exit == CLI_DONE && run.failed == 0 && run.passed > 0 ? CLI_DONE : CLI_REFUSED;
}

const struct verb verb_test = {
	.name = "test",
	.words = "[PATH...]",
	.summary = "Run the unit tests of functions, without any daemon",
	.about = "PATH is a file of tests, a directory with *.test.yaml files (the current one if none is "
		 "named), or a\nprogram with PROGRAM.test.yaml beside it. penstock-test(5) tells what stands in "
		 "them.",
	.examples = "penstock test\npenstock test ./thumbnail\npenstock test --functions build functions/tests",
	.options = options,
	.option_count = sizeof(options) / sizeof(options[0]),
	.values_bytes = sizeof(struct values),
	.words_max = 64,
	.complete = WORDS_FILE,
	.run = run,
};
