// SPDX-License-Identifier: Apache-2.0
// What the program of an instance is started with: as much of an environment as the control plane takes, and each
// name once.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fnhost/instances.h"

// Of controlplane/kinds_internal.h: a job's environment, or its group's.
#define ENV_TAKEN 1024

static struct host host;

void record_dir(const struct options *o, const char *id, char *path, size_t room)
{
	snprintf(path, room, "/state/instances/%s", id);
}

static struct instance instance_with(json_t *spec)
{
	return (struct instance){.host = &host, .id = "aa11", .namespace = "default", .name = "sum",
		.group = "main", .job = true, .index = 3, .version = 2, .spec = spec};
}

static size_t count(char *const *list)
{
	size_t n = 0;

	while (list[n])
		n++;
	return n;
}

// How often there is a variable, with *value of the last one.
static size_t find(char *const *envp, const char *name, const char **value)
{
	size_t len = strlen(name), found = 0;

	for (size_t i = 0; envp[i]; i++) {
		if (strncmp(envp[i], name, len) != 0 || envp[i][len] != '=')
			continue;
		*value = envp[i] + len + 1;
		found++;
	}
	return found;
}

static void expect(char *const *envp, const char *name, const char *wanted)
{
	const char *value = NULL;

	assert_int_equal(find(envp, name, &value), 1);
	assert_string_equal(value, wanted);
}

static void names_come_once(void **state)
{
	json_t *spec = json_loads("{\"command\":[\"/bin/sum\",\"a b\"],\"env\":{\"PATH\":\"/x\",\"A\":\"b\","
				  "\"PENSTOCK_JOB\":\"mine\"},\"meta\":{\"zoom-level\":\"12\"}}",
		0, NULL);
	struct instance i = instance_with(spec);
	struct program program;

	assert_int_equal(program_make(&program, &i), 0);
	assert_int_equal(count(program.argv), 2);
	assert_string_equal(program.argv[0], "/bin/sum");
	assert_string_equal(program.argv[1], "a b");
	expect(program.envp, "PATH", "/x");
	expect(program.envp, "A", "b");
	expect(program.envp, "HOME", "/");
	expect(program.envp, "PENSTOCK_JOB", "sum");
	expect(program.envp, "PENSTOCK_INDEX", "3");
	expect(program.envp, "PENSTOCK_META_ZOOM_LEVEL", "12");
	program_free(&program);
	json_decref(spec);
}

static void fill(json_t *map, const char *prefix, size_t n)
{
	char name[40];

	for (size_t i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "%s%zu", prefix, i);
		json_object_set_new(map, name, json_string("x"));
	}
}

static void all_that_is_taken_can_be_started(void **state)
{
	json_t *env = json_object(), *meta = json_object(), *command = json_array(), *spec;
	struct instance i;
	struct program program;

	fill(env, "JOB", ENV_TAKEN);
	fill(env, "GROUP", ENV_TAKEN);
	fill(meta, "m", META_MAX);
	for (int n = 0; n < COMMAND_MAX; n++)
		json_array_append_new(command, json_string("/word"));
	spec = json_pack("{s:o,s:o,s:o}", "command", command, "env", env, "meta", meta);
	i = instance_with(spec);
	i.payload = "QQ==";
	setenv("ASAN_OPTIONS", "", 0);
	assert_int_equal(program_make(&program, &i), 0);
	assert_int_equal(count(program.argv), COMMAND_MAX);
	expect(program.envp, "JOB1023", "x");
	expect(program.envp, "GROUP1023", "x");
	expect(program.envp, "PENSTOCK_META_M127", "x");
	program_free(&program);
	fill(env, "MORE", ENV_TAKEN);
	assert_int_equal(program_make(&program, &i), -E2BIG);
	json_decref(spec);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_come_once),
		cmocka_unit_test(all_that_is_taken_can_be_started),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
