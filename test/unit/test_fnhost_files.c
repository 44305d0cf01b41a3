// SPDX-License-Identifier: Apache-2.0
// What a host reads and keeps: assignments, which are checked, and old logs, which are bounded.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fnhost/old_logs.h"
#include "fnhost/wanted.h"
#include "lib/base/base64.h"

// Assignments

#define GOOD_SPEC "\"spec\":{\"command\":[\"echo\"]}"
#define HEAD "\"id\":\"ab12\",\"namespace\":\"default\",\"function\":\"echo\",\"version\":7,\"desired\":\"run\","

static int read_text(struct wanted *w, const char *text)
{
	json_t *json = json_loads(text, 0, NULL);
	int rc;

	assert_non_null(json);
	rc = wanted_read(w, json);
	// What w points to stays valid for the test's look at it only.
	json_decref(json);
	return rc;
}

static int read_spec(struct wanted *w, const char *spec)
{
	char text[1024];

	snprintf(text, sizeof(text), "{" HEAD "\"spec\":%s}", spec);
	return read_text(w, text);
}

static void assignments_are_understood(void **state)
{
	json_t *json = json_loads("{" HEAD "\"more\":1,\"spec\":{\"runtime\":\"process\",\"command\":[\"echo\",\"-x\"],"
				  "\"concurrency\":8,\"queue\":0,\"timeout_ms\":1000,\"drain_ms\":5,\"unknown\":[],"
				  "\"resources\":{\"cpu_milli\":500,\"memory\":67108864}}}",
		0, NULL);
	struct wanted w;

	assert_int_equal(wanted_read(&w, json), 0);
	assert_string_equal(w.id, "ab12");
	assert_string_equal(w.namespace, "default");
	assert_string_equal(w.function, "echo");
	assert_true(w.run);
	assert_int_equal(w.version, 7);
	assert_int_equal(w.concurrency, 8);
	assert_int_equal(w.queue, 0);
	assert_int_equal(w.timeout_ms, 1000);
	assert_int_equal(w.drain_ms, 5);
	assert_int_equal(w.cpu_milli, 500);
	assert_int_equal(w.memory_bytes, 67108864);
	assert_ptr_equal(w.spec, json_object_get(json, "spec"));
	json_object_set_new(json, "desired", json_string("stop"));
	assert_int_equal(wanted_read(&w, json), 0);
	assert_false(w.run);
	json_decref(json);
	assert_int_equal(read_spec(&w, "{\"command\":[\"echo\"]}"), 0);
	assert_int_equal(w.concurrency, 1);
	assert_int_equal(w.queue, 128);
	assert_int_equal(w.timeout_ms, 0);
	assert_int_equal(w.drain_ms, 10000);
	assert_int_equal(w.memory_bytes, 0);
}

static void wrong_assignments_are_refused(void **state)
{
	static const char *const specs[] = {
		"null", "[]", "{}", "{\"command\":[]}", "{\"command\":\"echo\"}", "{\"command\":[1]}",
		"{\"command\":[\"\"]}", "{\"command\":[\"a\"],\"runtime\":\"oci\"}",
		"{\"command\":[\"a\"],\"runtime\":7}", "{\"command\":[\"a\"],\"concurrency\":0}",
		"{\"command\":[\"a\"],\"concurrency\":257}", "{\"command\":[\"a\"],\"concurrency\":\"8\"}",
		"{\"command\":[\"a\"],\"queue\":-1}", "{\"command\":[\"a\"],\"queue\":1048577}",
		"{\"command\":[\"a\"],\"timeout_ms\":-1}", "{\"command\":[\"a\"],\"timeout_ms\":2147483648}",
		"{\"command\":[\"a\"],\"drain_ms\":1.5}",
		"{\"command\":[\"a\"],\"resources\":{\"memory\":-1}}",
		"{\"command\":[\"a\"],\"resources\":{\"cpu_milli\":\"much\"}}",
	};
	static const char *const heads[] = {
		"\"id\":\"\"", "\"id\":\"../../etc\"", "\"id\":\".\"", "\"id\":\"-x\"", "\"id\":\"a b\"", "\"id\":7",
		"\"namespace\":\"a/b\"", "\"function\":\"\"", "\"function\":null", "\"version\":-1",
		"\"version\":4294967296", "\"version\":\"1\"", "\"desired\":true",
	};
	struct wanted w = {.queue = 77};
	char text[1024], id[80];

	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++)
		assert_int_equal(read_spec(&w, specs[i]), -EINVAL);
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		snprintf(text, sizeof(text), "{" HEAD GOOD_SPEC ",%s}", heads[i]); // the later one counts
		assert_int_equal(read_text(&w, text), -EINVAL);
	}
	assert_int_equal(read_text(&w, "{}"), -EINVAL);
	assert_int_equal(w.queue, 77); // untouched
	memset(id, 'a', sizeof(id));
	id[INSTANCE_ID_MAX] = 0;
	assert_true(wanted_id_valid(id));
	id[INSTANCE_ID_MAX] = 'a';
	id[INSTANCE_ID_MAX + 1] = 0;
	assert_false(wanted_id_valid(id));
	assert_false(wanted_id_valid(NULL));
}

static void assignments_of_jobs_are_understood(void **state)
{
	json_t *json = json_loads("{" HEAD "\"spec\":{\"command\":[\"tile\"],\"kind\":\"job\",\"group\":\"main\","
				  "\"index\":3,\"job\":\"tiles\",\"payload\":\"c2NlbmU=\",\"meta\":{\"scene\":\"a\"}}}",
		0, NULL);
	struct wanted w;

	assert_int_equal(wanted_read(&w, json), 0);
	assert_true(w.job);
	assert_string_equal(w.group, "main");
	assert_int_equal(w.index, 3);
	assert_string_equal(w.payload, "c2NlbmU=");
	assert_int_equal(w.payload_len, 5);
	json_decref(json);
	assert_int_equal(read_spec(&w, "{\"command\":[\"a\"],\"kind\":\"job\"}"), 0);
	assert_true(w.job && !w.restart && !w.payload && w.index == 0 && w.payload_len == 0);
	assert_string_equal(w.group, "");
	assert_int_equal(read_spec(&w, "{\"command\":[\"a\"],\"kind\":\"job\",\"restart\":true}"), 0);
	assert_true(w.job && w.restart);
	assert_int_equal(read_spec(&w, "{\"command\":[\"a\"],\"kind\":\"function\",\"payload\":7}"), 0);
	assert_false(w.job);
}

static void wrong_jobs_are_refused(void **state)
{
	static const char *const members[] = {
		"\"kind\":\"daemon\"", "\"kind\":7", "\"payload\":7", "\"payload\":\"c2NlbmU\"", "\"payload\":{}",
		"\"meta\":[]", "\"meta\":{\"a\":7}", "\"meta\":{\"a b\":\"x\"}", "\"meta\":{\"a=b\":\"x\"}",
		"\"meta\":{\"\":\"x\"}", "\"group\":\"a/b\"", "\"group\":7", "\"restart\":1", "\"index\":-1", "\"index\":\"1\"",
	};
	char spec[256], *large = calloc(1, 2 * PAYLOAD_BYTES_MAX), *bytes = calloc(1, PAYLOAD_BYTES_MAX + 1);
	json_t *json = json_loads("{" HEAD "\"spec\":{\"command\":[\"a\"],\"kind\":\"job\"}}", 0, NULL);
	struct wanted w;

	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		snprintf(spec, sizeof(spec), "{\"command\":[\"a\"],\"kind\":\"job\",%s}", members[i]);
		assert_int_equal(read_spec(&w, spec), -EINVAL);
	}
	base64_encode(bytes, PAYLOAD_BYTES_MAX, large);
	json_object_set_new(json_object_get(json, "spec"), "payload", json_string(large));
	assert_int_equal(wanted_read(&w, json), 0);
	base64_encode(bytes, PAYLOAD_BYTES_MAX + 1, large);
	json_object_set_new(json_object_get(json, "spec"), "payload", json_string(large));
	assert_int_equal(wanted_read(&w, json), -EINVAL);
	json_decref(json);
	free(bytes);
	free(large);
}

// Old logs

static char dir[64];

// A file of so many bytes, changed at that second.
static void make(const char *name, size_t bytes, time_t at)
{
	const struct timespec times[2] = {{.tv_sec = at}, {.tv_sec = at}};
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	assert_int_equal(futimens(fd, times), 0);
	close(fd);
}

static bool there(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return access(path, F_OK) == 0;
}

static void drop(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	remove(path);
}

static int setup(void **state)
{
	strcpy(dir, "/tmp/penstock-logs-XXXXXX");
	assert_non_null(mkdtemp(dir));
	make("live.log", 5000, 1);
	make("live.log.1", 5000, 1);
	make("a.log", 10, 100);
	make("b.log", 10, 300);
	make("b.log.1", 1000, 90);
	make("c.log", 10, 200);
	make("notes.txt", 10, 1);
	return 0;
}

static int teardown(void **state)
{
	static const char *const names[] = {
		"live.log", "live.log.1", "a.log", "b.log", "b.log.1", "c.log", "notes.txt"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		drop(names[i]);
	return rmdir(dir);
}

static bool lives(void *user, const char *id)
{
	return strcmp(id, "live") == 0;
}

static void the_oldest_logs_go_first(void **state)
{
	struct old_logs kept;

	assert_int_equal(old_logs_trim(dir, &(struct old_logs){3, 2000}, lives, NULL, &kept), 0);
	assert_int_equal(kept.instances, 3);
	assert_int_equal(kept.bytes, 1030);
	assert_int_equal(old_logs_trim(dir, &(struct old_logs){2, 2000}, lives, NULL, &kept), 1);
	assert_int_equal(kept.instances, 2);
	assert_false(there("a.log"));
	assert_true(there("b.log") && there("b.log.1") && there("c.log"));
	assert_true(there("live.log") && there("live.log.1") && there("notes.txt"));
	assert_int_equal(old_logs_trim(dir, &(struct old_logs){0, 2000}, lives, NULL, NULL), 2);
	assert_false(there("b.log") || there("b.log.1") || there("c.log"));
	assert_true(there("live.log") && there("notes.txt"));
}

static void bytes_count_as_well(void **state)
{
	struct old_logs kept;

	// The largest does not fit, older ones that are small do.
	assert_int_equal(old_logs_trim(dir, &(struct old_logs){9, 500}, lives, NULL, &kept), 1);
	assert_int_equal(kept.instances, 2);
	assert_int_equal(kept.bytes, 20);
	assert_false(there("b.log") || there("b.log.1"));
	assert_true(there("a.log") && there("c.log"));
}

static void a_folder_that_is_not_there(void **state)
{
	assert_int_equal(old_logs_trim("/nonexistent", &(struct old_logs){1, 1}, lives, NULL, NULL), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(assignments_are_understood),
		cmocka_unit_test(wrong_assignments_are_refused),
		cmocka_unit_test(assignments_of_jobs_are_understood),
		cmocka_unit_test(wrong_jobs_are_refused),
		cmocka_unit_test_setup_teardown(the_oldest_logs_go_first, setup, teardown),
		cmocka_unit_test_setup_teardown(bytes_count_as_well, setup, teardown),
		cmocka_unit_test(a_folder_that_is_not_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
