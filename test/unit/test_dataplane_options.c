// SPDX-License-Identifier: Apache-2.0
// The data plane's flags and its start-up file.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "dataplane/options.h"

static struct options options;

// Flags in one string, separated by blanks.
static enum options_outcome parse(const char *flags)
{
	char text[1024], *argv[64] = {"penstock-dataplane"}, *at;
	int argc = 1, err = dup(STDERR_FILENO);
	enum options_outcome outcome;

	snprintf(text, sizeof(text), "%s", flags);
	for (at = strtok(text, " "); at; at = strtok(NULL, " "))
		argv[argc++] = at;
	assert_non_null(freopen("/dev/null", "w", stderr));
	outcome = options_parse(argc, argv, &options);
	fflush(stderr);
	dup2(err, STDERR_FILENO);
	close(err);
	return outcome;
}

static enum options_outcome parse_file(const char *yaml, const char *flags)
{
	char path[] = "/tmp/penstock-options-XXXXXX", line[512];
	enum options_outcome outcome;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, yaml, strlen(yaml)), strlen(yaml));
	close(fd);
	snprintf(line, sizeof(line), "--config %s %s", path, flags);
	outcome = parse(line);
	unlink(path);
	return outcome;
}

static void flags_are_understood(void **state)
{
	(void)state;
	assert_int_equal(
		parse("--config /dev/null --port p0=net_tap0,iface=pn0 --port=p1=0000:03:00.0 "
		      "--workers 3 "
		      "--no-huge --memory=128 --address 10.77.0.2/24 --address p1=10.78.0.2/24 "
		      "--listen 7878 --log-level debug"),
		OPTIONS_RUN);
	assert_int_equal(options.ports, 2);
	assert_string_equal(options.port[0].text, "p0=net_tap0,iface=pn0");
	assert_string_equal(options.port[1].text, "p1=0000:03:00.0");
	assert_int_equal(options.workers, 3);
	assert_true(options.no_huge);
	assert_int_equal(options.memory_mb, 128);
	assert_int_equal(options.addresses, 2);
	assert_int_equal(options.listens, 1);
	assert_int_equal(options.log_level, LOG_DEBUG);
	assert_string_equal(options.name, "gw1");
	assert_string_equal(options.control, "unix:/run/penstock/peer.sock");
}

static void wrong_flags_are_refused(void **state)
{
	static const char *const wrong[] = {
		"",
		"--bogus",
		"bogus",
		"--port",
		"--workers 17",
		"--workers -1",
		"--workers many",
		"--workers",
		"--log-level loud",
		"--memory 99999999999999999999",
		"--no-huge=maybe",
		"--config /nowhere/at/all",
		"--name=",
		"--workers= 3",
		"--nam gw2",
	};
	char line[256];

	(void)state;
	assert_int_equal(parse("--config /dev/null"), OPTIONS_WRONG);  // no port
	for (size_t i = 1; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		snprintf(line, sizeof(line), "--config /dev/null --port p0=net_tap0 %s", wrong[i]);
		if (parse(line) != OPTIONS_WRONG)
			fail_msg("%s", wrong[i]);
	}
	// As many ports as there may be, and one more.
	strcpy(line, "--config /dev/null");
	for (unsigned i = 0; i < NET_PORTS_MAX; i++)
		strcat(line, " --port p=n");
	assert_int_equal(parse(line), OPTIONS_RUN);
	strcat(line, " --port p=n");
	assert_int_equal(parse(line), OPTIONS_WRONG);
}

static void the_file_has_the_same_keys(void **state)
{
	(void)state;
	assert_int_equal(
		parse_file("name: gw7\nport: [p0=net_tap0, \"p1=net_tap1\"]\nno-huge: true\n"
			   "workers: 2\nlisten: 7878\n",
			"--workers 4"),
		OPTIONS_RUN);
	assert_string_equal(options.name, "gw7");
	assert_int_equal(options.ports, 2);
	assert_true(options.no_huge);
	assert_int_equal(options.workers, 4);
	assert_string_equal(options.listen[0].text, "7878");
	// A list of the flags takes the place of the file's.
	assert_int_equal(parse_file("port: [p0=a, p1=b]\n", "--port p2=c"), OPTIONS_RUN);
	assert_int_equal(options.ports, 1);
	assert_string_equal(options.port[0].text, "p2=c");
}

static void wrong_files_are_refused(void **state)
{
	static const char *const wrong[] = {
		"bogus: 1\n",
		"workers: many\n",
		"name: [a, b]\n",
		"name: {a: b}\n",
		"- a\n",
		"name\n",
		"name: a\n---\nname: [\n",
		"\t",
		"port: [[a]]\n",
		"no-huge: 1\n",
		"{name: a",
		"name: *x\n",
		"workers: 1\nworkers: 2\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (parse_file(wrong[i], "--port p0=net_tap0") != OPTIONS_WRONG)
			fail_msg("%s", wrong[i]);
}

static void the_token_is_the_first_line_of_its_file(void **state)
{
	char path[] = "/tmp/penstock-token-XXXXXX", line[128];
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	snprintf(line, sizeof(line), "--config /dev/null --port p=n --token-file %s", path);
	assert_int_equal(parse(line), OPTIONS_WRONG);  // empty
	assert_int_equal(write(fd, "se cret\nmore\n", 13), 13);
	close(fd);
	assert_int_equal(parse(line), OPTIONS_RUN);
	assert_string_equal(options.token, "se cret");
	assert_string_equal(options.gateway_token, "");
	snprintf(line, sizeof(line), "--config /dev/null --port p=n --gateway-token-file %s", path);
	assert_int_equal(parse(line), OPTIONS_RUN);
	assert_string_equal(options.token, "");
	assert_string_equal(options.gateway_token, "se cret");
	unlink(path);
	assert_int_equal(parse(line), OPTIONS_WRONG);
	assert_int_equal(parse("--config /dev/null --port p=n"), OPTIONS_RUN);
	assert_string_equal(options.token, "");
}

static void names_are_split_off(void **state)
{
	const char *rest;
	char name[4];

	(void)state;
	assert_true(options_split("p0=net_tap0,iface=pn0", name, sizeof(name), &rest));
	assert_string_equal(name, "p0");
	assert_string_equal(rest, "net_tap0,iface=pn0");
	assert_false(options_split("p0", name, sizeof(name), &rest));
	assert_false(options_split("=x", name, sizeof(name), &rest));
	assert_false(options_split("p0=", name, sizeof(name), &rest));
	assert_false(options_split("port=x", name, sizeof(name), &rest));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flags_are_understood),
		cmocka_unit_test(wrong_flags_are_refused),
		cmocka_unit_test(the_file_has_the_same_keys),
		cmocka_unit_test(wrong_files_are_refused),
		cmocka_unit_test(the_token_is_the_first_line_of_its_file),
		cmocka_unit_test(names_are_split_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
