// SPDX-License-Identifier: Apache-2.0
// Start-up settings: flags, the file, their order, and what is said of what is wrong. And the word
// to the service manager that a daemon is up.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/notify.h"
#include "lib/settings/settings.h"

struct values {
	char name[8], path[8];
	char list[3][8];
	unsigned count;
	unsigned number;
	uint64_t bytes;
	bool on;
	enum log_level level;
};

static const struct setting table[] = {
	{"name", "NAME", "a name", SETTING_AS_TEXT(struct values, name, 1)},
	{"path", "PATH", "a path\nor none", SETTING_AS_TEXT(struct values, path, 0)},
	{"item", "ITEM", "an item", SETTING_AS_LIST(struct values, list, count)},
	{"number", "N", "a number", SETTING_AS_NUMBER(struct values, number, 1, 20)},
	{"bytes", "BYTES", "bytes", SETTING_AS_BYTES(struct values, bytes, 10)},
	{"on", NULL, "a switch", SETTING_AS_SWITCH(struct values, on)},
	{"log-level", "LEVEL", "a level", SETTING_AS_LEVEL(struct values, level)},
};

static char path[] = "/tmp/penstock-settings-XXXXXX";
static struct settings settings = {
	.program = "prog",
	.about = "does things.",
	.usage = "[FLAGS]",
	.notes = "A note.",
	.file = path,
	.table = table,
	.count = sizeof(table) / sizeof(table[0]),
};
static struct values values;
static char *out_text, *err_text;

// The file with this text (NULL: there is none), and flags in one string, separated by blanks.
static enum settings_result read_both(const char *yaml, const char *flags)
{
	char text[512], *argv[32] = {"prog"}, *save;
	enum settings_result result;
	size_t out_len, err_len;
	FILE *out, *err, *file;
	int argc = 1;

	free(out_text);
	free(err_text);
	out = open_memstream(&out_text, &out_len);
	err = open_memstream(&err_text, &err_len);
	unlink(path);
	if (yaml) {
		file = fopen(path, "w");
		assert_non_null(file);
		fputs(yaml, file);
		fclose(file);
	}
	snprintf(text, sizeof(text), "%s", flags);
	for (char *at = strtok_r(text, " ", &save); at; at = strtok_r(NULL, " ", &save))
		argv[argc++] = at;
	values = (struct values){.name = "first", .number = 7, .level = LOG_INFO};
	result = settings_read(&settings, &values, argc, argv, out, err);
	fclose(out);
	fclose(err);
	return result;
}

static void expect_wrong(const char *yaml, const char *flags, const char *why)
{
	char wanted[256];

	if (read_both(yaml, flags) != SETTINGS_WRONG)
		fail_msg("not refused: %s %s", yaml ? yaml : "", flags);
	snprintf(wanted, sizeof(wanted), "prog: %s", why);
	if (strncmp(err_text, wanted, strlen(wanted)) != 0)
		fail_msg("'%s' does not begin with '%s'", err_text, wanted);
	assert_int_equal(err_text[strlen(err_text) - 1], '\n');
}

static void defaults_stay_without_file_and_flags(void **state)
{
	assert_int_equal(read_both(NULL, ""), SETTINGS_RUN);
	assert_string_equal(values.name, "first");
	assert_int_equal(values.number, 7);
	assert_string_equal(err_text, "");
	assert_string_equal(out_text, "");
	assert_int_equal(read_both("", ""), SETTINGS_RUN);
	assert_int_equal(read_both("# nothing\n", ""), SETTINGS_RUN);
}

static void every_kind_is_read(void **state)
{
	const char *flags = "--name gw7 --path= --item a --item=b --number 20 --bytes 2m --on "
			    "--log-level debug";

	for (int i = 0; i < 2; i++) {
		assert_int_equal(i ? read_both("name: gw7\npath: \"\"\nitem: [a, b]\nnumber: 20\n"
					       "bytes: 2M\non: true\nlog-level: debug\n",
					     "")
				   : read_both(NULL, flags),
			SETTINGS_RUN);
		assert_string_equal(values.name, "gw7");
		assert_string_equal(values.path, "");
		assert_int_equal(values.count, 2);
		assert_string_equal(values.list[0], "a");
		assert_string_equal(values.list[1], "b");
		assert_int_equal(values.number, 20);
		assert_int_equal(values.bytes, 2 << 20);
		assert_true(values.on);
		assert_int_equal(values.level, LOG_DEBUG);
	}
}

static void flags_win(void **state)
{
	assert_int_equal(read_both("name: file\nitem: [a, b, c]\non: true\nnumber: 3\n",
				 "--item d --on=false --name flag"),
		SETTINGS_RUN);
	assert_string_equal(values.name, "flag");
	assert_int_equal(values.count, 1); // not added to the file's
	assert_string_equal(values.list[0], "d");
	assert_false(values.on);
	assert_int_equal(values.number, 3);
	// One value needs no brackets; of a flag given twice the last counts.
	assert_int_equal(read_both("item: x\n", "--number 1 --number 2"), SETTINGS_RUN);
	assert_int_equal(values.count, 1);
	assert_int_equal(values.number, 2);
}

static void the_file_can_be_another(void **state)
{
	char other[] = "/tmp/penstock-settings-other-XXXXXX", line[128];
	int fd = mkstemp(other);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "number: 9\n", 10), 10);
	close(fd);
	snprintf(line, sizeof(line), "--config %s", other);
	assert_int_equal(read_both("number: 3\n", line), SETTINGS_RUN);
	assert_int_equal(values.number, 9);
	snprintf(line, sizeof(line), "--config=%s --number 4", other);
	assert_int_equal(read_both(NULL, line), SETTINGS_RUN);
	assert_int_equal(values.number, 4);
	unlink(other);
	expect_wrong(NULL, "--config /nowhere/x", "cannot read /nowhere/x: No such file");
	expect_wrong(NULL, "--config /", "/:");
}

static void wrong_flags_are_told(void **state)
{
	expect_wrong(NULL, "--nam x", "unrecognized option '--nam'; --help");
	expect_wrong(NULL, "--bogus=1", "unrecognized option '--bogus=1'; --help");
	expect_wrong(NULL, "x", "'x' is not a flag; --help");
	expect_wrong(NULL, "-n x", "'-n' is not a flag");
	expect_wrong(NULL, "--", "'--' is not a flag");
	expect_wrong(NULL, "--name", "--name needs a value");
	expect_wrong(NULL, "--config", "--config needs a value");
	expect_wrong(NULL, "--name=", "--name must have 1 to 7 characters");
	expect_wrong(NULL, "--name 12345678", "--name must have 1 to 7 characters");
	expect_wrong(NULL, "--path 12345678", "--path must have 0 to 7 characters");
	expect_wrong(NULL, "--item 12345678", "--item must have 1 to 7 characters");
	expect_wrong(
		NULL, "--item a --item b --item c --item d", "--item can be given at most 3 times");
	expect_wrong(NULL, "--number 0", "--number must be a whole number from 1 to 20, not '0'");
	expect_wrong(NULL, "--number 21", "--number must be");
	expect_wrong(NULL, "--number -1", "--number must be");
	expect_wrong(NULL, "--number 3x", "--number must be");
	expect_wrong(NULL, "--number 2k", "--number must be");
	expect_wrong(NULL, "--number 99999999999999999999", "--number must be");
	expect_wrong(
		NULL, "--bytes 9", "--bytes must be a number of bytes, at least 10, such as 64m");
	expect_wrong(NULL, "--bytes 99999999t", "--bytes must be");
	expect_wrong(NULL, "--bytes 64mb", "--bytes must be");
	expect_wrong(NULL, "--on=yes", "--on must be true or false, not 'yes'");
	expect_wrong(NULL, "--log-level loud", "--log-level must be error, warn, info or debug");
	// A flag that is none is told before the file is looked at.
	expect_wrong("bogus: 1\n", "--bogus 1", "unrecognized option");
}

static void expect_line(const char *yaml, const char *rest)
{
	char why[256];

	snprintf(why, sizeof(why), "%s:%s", path, rest);
	expect_wrong(yaml, "", why);
}

static void wrong_files_are_told_with_their_line(void **state)
{
	expect_line("name: a\nbogus: 1\n",
		"2: unknown name 'bogus'; known are name, path, item, number, "
		"bytes, on, log-level\n");
	expect_line("name: a\n\nname: b\n", "3: name stands here for the second time");
	expect_line("name: a\nnumber: many\n",
		"2: number must be a whole number from 1 to 20, not 'many'");
	expect_line("name:\n", "1: name must have 1 to 7");
	expect_line("on: 1\n", "1: on must be true or false");
	expect_line("\nlog-level: loud\n", "2: log-level must be");
	expect_line("item:\n  - a\n  - 12345678\n", "3: item must have");
	expect_line("item: [a, b, c, d]\n", "1: item can be given at most 3");
	expect_line("name: [a]\n", "1: only lines of");
	expect_line("name: {a: b}\n", "1: only lines of");
	expect_line("item: [[a]]\n", "1: only lines of");
	expect_line("- a\n", "1: only lines of");
	expect_line("a\n", "1: only lines of");
	expect_line("? [a]\n: b\n", "1: only lines of");
	expect_line("name: *x\n", "1: only lines of");
	expect_line("name: a\n---\nname: b\n", "3: only lines of");
	expect_line("name: a\n\tnumber: 1\n", "2: not YAML");
	expect_line("{name: a\n", "2: not YAML");
}

static void help_and_version_are_printed(void **state)
{
	assert_int_equal(read_both("bogus: 1\n", "--number 0 --help"), SETTINGS_EXIT);
	assert_non_null(strstr(out_text, "prog: does things.\n\nusage: prog [FLAGS]\n"));
	assert_non_null(strstr(out_text, "\n  --name NAME           a name\n"));
	assert_non_null(strstr(out_text, "a path\n                        or none\n"));
	assert_non_null(strstr(out_text, "\n  --on                  a switch\n"));
	assert_non_null(strstr(out_text, "\n  --config FILE "));
	assert_non_null(strstr(out_text, "\nA note.\n"));
	assert_string_equal(err_text, "");
	assert_int_equal(read_both(NULL, "-h"), SETTINGS_EXIT);
	assert_int_equal(read_both(NULL, "--version"), SETTINGS_EXIT);
	assert_string_equal(out_text, "prog " PENSTOCK_VERSION "\n");
}

// ---- notify ----

static int listen_at(const char *name, size_t len)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	memcpy(addr.sun_path, name, len);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr,
				 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)),
		0);
	return fd;
}

static void expect_datagram(int fd, const char *text)
{
	char got[64] = "";

	assert_int_equal(recv(fd, got, sizeof(got) - 1, 0), strlen(text));
	assert_string_equal(got, text);
	close(fd);
}

static void the_service_manager_is_told(void **state)
{
	char file[64], abstract[64], longest[200];
	int fd;

	unsetenv("NOTIFY_SOCKET");
	assert_int_equal(notify("READY=1"), 0);
	snprintf(file, sizeof(file), "/tmp/penstock-notify-%d", (int)getpid());
	unlink(file);
	fd = listen_at(file, strlen(file));
	setenv("NOTIFY_SOCKET", file, 1);
	assert_int_equal(notify("READY=1"), 0);
	expect_datagram(fd, "READY=1");
	unlink(file);
	assert_int_equal(notify("READY=1"), -ENOENT);
	snprintf(abstract, sizeof(abstract), "@penstock-notify-%d", (int)getpid());
	setenv("NOTIFY_SOCKET", abstract, 1);
	abstract[0] = 0;
	fd = listen_at(abstract, 1 + strlen(abstract + 1));
	assert_int_equal(notify("STOPPING=1\nSTATUS=x"), 0);
	expect_datagram(fd, "STOPPING=1\nSTATUS=x");
	setenv("NOTIFY_SOCKET", "relative", 1);
	assert_int_equal(notify("READY=1"), -EINVAL);
	memset(longest, 'x', sizeof(longest) - 1);
	longest[0] = '/';
	longest[sizeof(longest) - 1] = 0;
	setenv("NOTIFY_SOCKET", longest, 1);
	assert_int_equal(notify("READY=1"), -EINVAL);
	unsetenv("NOTIFY_SOCKET");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_stay_without_file_and_flags),
		cmocka_unit_test(every_kind_is_read),
		cmocka_unit_test(flags_win),
		cmocka_unit_test(the_file_can_be_another),
		cmocka_unit_test(wrong_flags_are_told),
		cmocka_unit_test(wrong_files_are_told_with_their_line),
		cmocka_unit_test(help_and_version_are_printed),
		cmocka_unit_test(the_service_manager_is_told),
	};
	int fd = mkstemp(path), result;

	if (fd >= 0)
		close(fd);
	result = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	free(out_text);
	free(err_text);
	return result;
}
