// SPDX-License-Identifier: Apache-2.0
// The function host's start-up settings: what is not said is found, what is wrong is told. (How flags and files are
// read: test_settings.c.)
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fnhost/options.h"

static struct options options;
static char *complaint;
static char file[64];

// Flags in one string, separated by blanks.
static enum settings_result parse(const char *flags)
{
	char text[1024], name[] = "penstock-fnhost", *argv[40] = {name};
	FILE *out = fopen("/dev/null", "w"), *err;
	enum settings_result result;
	size_t len;
	int argc = 1;

	free(complaint);
	err = open_memstream(&complaint, &len);
	snprintf(text, sizeof(text), "--config /dev/null --shim /bin/true %s", flags);
	for (char *at = strtok(text, " "); at; at = strtok(NULL, " "))
		argv[argc++] = at;
	result = options_read(&options, argc, argv, out, err);
	fclose(out);
	fclose(err);
	return result;
}

static void wrong(const char *flags, const char *part)
{
	assert_int_equal(parse(flags), SETTINGS_WRONG);
	if (!strstr(complaint, part))
		fail_msg("'%s' is not in: %s", part, complaint);
}

static int teardown(void **state)
{
	free(complaint);
	complaint = NULL;
	if (file[0])
		unlink(file);
	file[0] = 0;
	return 0;
}

static void put(const char *text)
{
	int fd;

	strcpy(file, "/tmp/penstock-options-XXXXXX");
	fd = mkstemp(file);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void what_is_not_said_is_found(void **state)
{
	assert_int_equal(parse("--name n1"), SETTINGS_RUN);
	assert_string_equal(options.name, "n1");
	assert_string_equal(options.control, "unix:/run/penstock/peer.sock");
	assert_string_equal(options.advertise, options.listen);
	assert_int_equal(options.cpu_milli, sysconf(_SC_NPROCESSORS_ONLN) * 1000);
	assert_true(options.memory_bytes > 1 << 20);
	assert_int_equal(options.instances, 1024);
	assert_int_equal(options.log_bytes_max, 4 << 20);
	assert_int_equal(options.logs_kept, 1024);
	assert_int_equal(options.logs_kept_bytes, 256 << 20);
	assert_string_equal(options.cgroup, "auto");
	assert_string_equal(options.token, "");
	assert_true(strlen(options.machine_id) >= 32);
	if (access("/etc/machine-id", R_OK) == 0) {
		assert_int_equal(parse(""), SETTINGS_RUN);
		assert_memory_equal(options.name, "node-", 5);
		assert_int_equal(strlen(options.name), 17);
	}
}

static void what_is_said_counts(void **state)
{
	assert_int_equal(parse("--name a-9 --listen 127.0.0.1:1 --advertise 10.0.0.1:2 --cpu 1500 --memory 64m --instances 7 "
			       "--log-bytes 8k --logs-kept 0 --logs-kept-bytes 1g --cgroup /sys/fs/cgroup/x "
			       "--attributes rack=r1,zone=z1 --state /tmp/s --functions /tmp/f"),
		SETTINGS_RUN);
	assert_string_equal(options.advertise, "10.0.0.1:2");
	assert_int_equal(options.cpu_milli, 1500);
	assert_int_equal(options.instances, 7);
	assert_int_equal(options.memory_bytes, 64 << 20);
	assert_int_equal(options.log_bytes_max, 8192);
	assert_int_equal(options.logs_kept, 0);
	assert_int_equal(options.logs_kept_bytes, 1 << 30);
	assert_string_equal(options.cgroup, "/sys/fs/cgroup/x");
	assert_string_equal(options.attributes, "rack=r1,zone=z1");
	assert_int_equal(parse("--name n1 --cgroup none"), SETTINGS_RUN);
}

static void what_is_wrong_is_told(void **state)
{
	wrong("--name N1", "must be of a-z");
	wrong("--name -x", "must be of a-z");
	wrong("--name 0123456789012345678901234567890123456789012345678901234567890123", "at most 63");
	wrong("--name n1 --cgroup relative/path", "--cgroup takes auto, none or a folder");
	wrong("--name n1 --logs-kept 100001", "logs-kept");
	wrong("--name n1 --instances 0", "instances");
	wrong("--name n1 --instances 1025", "instances");
	wrong("--name n1 --logs-kept many", "logs-kept");
	wrong("--name n1 --log-bytes 100", "log-bytes");
	wrong("--name n1 --memory lots", "memory");
	wrong("--name n1 --nosuch 1", "nosuch");
	wrong("--name n1 --token-file /nonexistent", "cannot read a line from /nonexistent: No such file");
}

static void tokens_are_lines_of_files(void **state)
{
	char flags[200];

	put("secret\nmore\n");
	snprintf(flags, sizeof(flags), "--name n1 --token-file %s --gateway-token-file %s", file, file);
	assert_int_equal(parse(flags), SETTINGS_RUN);
	assert_string_equal(options.token, "secret");
	assert_string_equal(options.gateway_token, "secret");
	unlink(file);
	put("");
	snprintf(flags, sizeof(flags), "--name n1 --gateway-token-file %s", file);
	wrong(flags, "it is empty");
	unlink(file);
	put("\nsecret\n"); // no token at all would let in everybody
	snprintf(flags, sizeof(flags), "--name n1 --gateway-token-file %s", file);
	wrong(flags, "it is empty");
}

static void flags_win_over_the_file(void **state)
{
	char flags[200];

	put("name: from-file\nlogs-kept: 7\ncgroup: none\n");
	snprintf(flags, sizeof(flags), "--config %s --logs-kept 8", file);
	assert_int_equal(parse(flags), SETTINGS_RUN);
	assert_string_equal(options.name, "from-file");
	assert_int_equal(options.logs_kept, 8);
	assert_string_equal(options.cgroup, "none");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(what_is_not_said_is_found, teardown),
		cmocka_unit_test_teardown(what_is_said_counts, teardown),
		cmocka_unit_test_teardown(what_is_wrong_is_told, teardown),
		cmocka_unit_test_teardown(tokens_are_lines_of_files, teardown),
		cmocka_unit_test_teardown(flags_win_over_the_file, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
