// SPDX-License-Identifier: Apache-2.0
// The control plane's start-up settings that say how instances are placed. (How flags and files are
// read: test_settings.c.)
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/options.h"
#include "sched/broker.h"

static struct options options;
static char *complaint;

// Flags in one string, separated by blanks.
static enum settings_result parse(const char *flags)
{
	char text[300], name[] = "penstock-controlplane", *argv[20] = {name};
	FILE *out = fopen("/dev/null", "w"), *err;
	enum settings_result result;
	size_t len;
	int argc = 1;

	free(complaint);
	err = open_memstream(&complaint, &len);
	snprintf(text, sizeof(text), "--config /dev/null %s", flags);
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
	return 0;
}

static void test_nobody_is_preempted_unless_told(void **state)
{
	(void)state;
	assert_int_equal(parse(""), SETTINGS_RUN);
	assert_int_equal(options.planning.preempt, 0);
	assert_int_equal(options.planning.algorithm, SCHED_LEAST_LOADED);
}

static void test_what_is_said_is_taken(void **state)
{
	(void)state;
	assert_int_equal(parse("--preempt batch,system --placement pack"), SETTINGS_RUN);
	assert_int_equal(options.planning.preempt,
		SCHED_MASK(SCHED_TYPE_BATCH) | SCHED_MASK(SCHED_TYPE_SYSTEM));
	assert_int_equal(options.planning.algorithm, SCHED_BIN_PACK);
	assert_int_equal(parse("--preempt service --placement spread"), SETTINGS_RUN);
	assert_int_equal(options.planning.preempt, SCHED_MASK(SCHED_TYPE_SERVICE));
	assert_int_equal(options.planning.algorithm, SCHED_LEAST_LOADED);
}

static void test_what_is_wrong_is_told(void **state)
{
	(void)state;
	wrong("--preempt batch,daemon", "service, batch, system and sysbatch");
	wrong("--preempt ,", "must be none");
	wrong("--placement dense", "spread or pack, but is 'dense'");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_nobody_is_preempted_unless_told, teardown),
		cmocka_unit_test_teardown(test_what_is_said_is_taken, teardown),
		cmocka_unit_test_teardown(test_what_is_wrong_is_told, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
