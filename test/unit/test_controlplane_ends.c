// SPDX-License-Identifier: Apache-2.0
// How instances of jobs end: what hosts say of it is shown, and outlives the control plane.
#include "test/unit/hosts_world.h"

static const char host1[] = HOST("n1", "s1", ",\"machine\":\"m\"");

static void put_tiles(struct env *e, int count, const char *type)
{
	put(e, KIND_JOB,
		"{\"metadata\":{\"name\":\"tiles\"},\"spec\":{\"type\":\"%s\",\"command\":[\"tile\"],"
		"\"count\":%d}}",
		type, count);
}

// The id of the instance with that index, as the host was told.
static const char *told_id(const struct env *e, int index)
{
	const char *key;
	json_t *item;

	json_object_foreach(e->clients[HOST1].table, key, item)
	{
		json_t *n = json_object_get(json_object_get(item, "spec"), "index");

		if (json_integer_value(n) == index)
			return key;
	}
	return NULL;
}

// "STATE CODE SIGNAL REASON" of an instance.
static bool shows(const struct env *e, const char *id, const char *expected)
{
	const struct fleet_instance *i = fleet_instance(&e->orchestrator.fleet, id);
	json_t *json = i ? fleet_instance_json(&e->orchestrator.fleet, i) : NULL;
	const json_t *status = json_object_get(json, "status");
	const json_t *exit = json_object_get(status, "exit");
	const char *reason = json_string_value(json_object_get(status, "reason"));
	char text[300];
	bool same;

	snprintf(text, sizeof(text), "%s %lld %lld %s",
		i ? json_string_value(json_object_get(status, "state")) : "unknown",
		exit ? (long long)json_integer_value(json_object_get(exit, "code")) : -1,
		exit ? (long long)json_integer_value(json_object_get(exit, "signal")) : -1,
		reason ? reason : "");
	same = strcmp(text, expected) == 0;
	json_decref(json);
	return same;
}

static void keep_ids(const struct env *e, char ids[][FLEET_ID_BYTES], int count)
{
	for (int k = 0; k < count; k++) {
		assert_non_null(told_id(e, k));
		strcpy(ids[k], told_id(e, k));
	}
}

static void crash(struct env *e)
{
	stop(e);
	start(e);
	UNTIL(e, !e->clients[HOST1].table || e->clients[HOST1].closed);
}

static void test_ends_are_shown_also_after_a_crash(void **state)
{
	struct env *e = *state;
	char ids[3][FLEET_ID_BYTES];

	connect_host(e, HOST1, host1, "s1");
	put_tiles(e, 3, "batch");
	UNTIL(e, told(e, HOST1, "run") == 3);
	keep_ids(e, ids, 3);
	report(e, HOST1,
		"{\"start\":\"s1\",\"instances\":["
		"{\"id\":\"%s\",\"state\":\"exited\",\"exit\":{\"code\":0,\"signal\":0},\"reason\":\"\"},"
		"{\"id\":\"%s\",\"state\":\"failed\",\"exit\":{\"code\":3,\"signal\":0},\"reason\":\"exit status 3\"},"
		"{\"id\":\"%s\",\"state\":\"failed\",\"exit\":{\"code\":0,\"signal\":9},\"reason\":\"out of memory\"}]}",
		ids[0], ids[1], ids[2]);
	UNTIL(e, shows(e, ids[0], "exited 0 0 "));
	assert_true(shows(e, ids[1], "failed 3 0 exit status 3"));
	assert_true(shows(e, ids[2], "failed 0 9 out of memory"));
	UNTIL(e, !json_object_get(e->clients[HOST1].table, ids[0]) &&
			 !json_object_get(e->clients[HOST1].table, ids[1]) &&
			 !json_object_get(e->clients[HOST1].table, ids[2]));
	// On its way to being forgotten a host may say more.
	report(e, HOST1,
		"{\"start\":\"s1\",\"instances\":["
		"{\"id\":\"%s\",\"state\":\"exited\",\"exit\":{\"code\":3,\"signal\":0},\"reason\":\"\"}]}",
		ids[1]);
	pass(e, 50 * NS_PER_MS);
	assert_true(shows(e, ids[1], "failed 3 0 exit status 3"));
	crash(e);
	assert_true(shows(e, ids[0], "exited 0 0 "));
	assert_true(shows(e, ids[1], "failed 3 0 exit status 3"));
	assert_true(shows(e, ids[2], "failed 0 9 killed by signal 9"));
}

// Others have their place, so they are not wanted any more; but nobody has stopped them.
static void test_failed_are_not_stopped_after_a_crash(void **state)
{
	struct env *e = *state;
	char ids[2][FLEET_ID_BYTES];

	connect_host(e, HOST1, host1, "s1");
	put_tiles(e, 2, "batch");
	UNTIL(e, told(e, HOST1, "run") == 2);
	keep_ids(e, ids, 2);
	crash(e);
	fleet_recall_end(&e->orchestrator.fleet, ids[0],
		&(struct fleet_exit){.failed = true, .stopped = true, .code = 3});
	fleet_recall_end(&e->orchestrator.fleet, ids[1],
		&(struct fleet_exit){.failed = true, .stopped = true});
	assert_true(shows(e, ids[0], "failed 3 0 exit status 3"));
	assert_true(shows(e, ids[1], "failed -1 -1 it could not be started"));
}

// A host tells that it was told to stop; without that word it would look like success.
static void test_stopped_is_no_success(void **state)
{
	struct env *e = *state;
	char ids[2][FLEET_ID_BYTES];

	connect_host(e, HOST1, host1, "s1");
	put_tiles(e, 2, "service");
	UNTIL(e, told(e, HOST1, "run") == 2);
	keep_ids(e, ids, 2);
	obey(e, HOST1, "s1");
	put_tiles(e, 1, "service");
	UNTIL(e, told(e, HOST1, "stop") == 1);
	report(e, HOST1,
		"{\"start\":\"s1\",\"instances\":[{\"id\":\"%s\",\"state\":\"exited\",\"stopped\":true,"
		"\"exit\":{\"code\":0,\"signal\":15},\"reason\":\"stopped\"}]}",
		ids[1]);
	UNTIL(e, shows(e, ids[1], "stopped 0 15 stopped"));
	UNTIL(e, !json_object_get(e->clients[HOST1].table, ids[1]));
	crash(e);
	assert_true(shows(e, ids[1], "stopped 0 15 stopped"));
}

// What a host is told of services: they come back there.
static void test_services_are_started_again(void **state)
{
	struct env *e = *state;
	unsigned again = 0;
	const char *key;
	json_t *item;

	connect_host(e, HOST1, host1, "s1");
	put_tiles(e, 1, "system");
	put(e, KIND_JOB, "{\"metadata\":{\"name\":\"once\"},\"spec\":{\"command\":[\"x\"]}}");
	UNTIL(e, told(e, HOST1, "run") == 2);
	json_object_foreach(e->clients[HOST1].table, key, item)
	{
		const char *name = json_string_value(json_object_get(item, "function"));
		const json_t *spec = json_object_get(item, "spec");

		assert_string_equal(json_string_value(json_object_get(spec, "kind")), "job");
		if (json_is_true(json_object_get(spec, "restart"))) {
			assert_string_equal(name, "tiles");
			again++;
		}
	}
	assert_int_equal(again, 1);
}

static bool state_is(struct env *e, const char *name, const char *state)
{
	json_t *status = scheduler_job_status(&e->orchestrator.scheduler, "default", name);
	bool is = strcmp(json_string_value(json_object_get(status, "state")), state) == 0;

	json_decref(status);
	return is;
}

// All that the host has ends well.
static void complete_all(struct env *e)
{
	const char *key;
	json_t *item;

	json_object_foreach(e->clients[HOST1].table, key, item)
	{
		report(e, HOST1,
			"{\"start\":\"s1\",\"instances\":[{\"id\":\"%s\",\"state\":\"exited\"}]}", key);
	}
}

// What is complete was another version's: nothing of this one has run, and it finds no room.
static void complete_and_change(
	struct env *e, const char *type, int count, const char *command, const char *state)
{
	connect_host(e, HOST1, host1, "s1");
	put_tiles(e, count, type);
	UNTIL(e, told(e, HOST1, "run") == (size_t)count);
	complete_all(e);
	UNTIL(e, state_is(e, "tiles", "complete"));
	put(e, KIND_JOB,
		"{\"metadata\":{\"name\":\"tiles\"},\"spec\":{\"type\":\"%s\",\"count\":%d,"
		"\"command\":[\"%s\"],\"resources\":{\"cpu_milli\":64000}}}",
		type, count, command);
	UNTIL(e, state_is(e, "tiles", state));
	pass(e, 50 * NS_PER_MS);
	assert_true(state_is(e, "tiles", state));
}

static void test_a_new_version_is_not_complete(void **state)
{
	complete_and_change(*state, "batch", 3, "other", "waiting");
}

static void test_a_larger_version_is_not_complete(void **state)
{
	complete_and_change(*state, "batch", 2, "tile", "waiting");
}

static void test_a_new_version_on_each_node_is_not_complete(void **state)
{
	complete_and_change(*state, "sysbatch", 1, "other", "pending");
}

static bool group_is(const json_t *status, size_t at, const char *expected)
{
	const json_t *group = json_array_get(json_object_get(status, "groups"), at);
	char text[100];

	snprintf(text, sizeof(text), "%s %lld %lld", json_string_value(json_object_get(group, "name")),
		(long long)json_integer_value(json_object_get(group, "count")),
		(long long)json_integer_value(json_object_get(group, "complete")));
	return strcmp(text, expected) == 0;
}

static void test_groups_are_counted_apart(void **state)
{
	struct env *e = *state;
	json_t *status;

	connect_host(e, HOST1, host1, "s1");
	put(e, KIND_JOB,
		"{\"metadata\":{\"name\":\"tiles\"},\"spec\":{\"command\":[\"tile\"],\"groups\":["
		"{\"name\":\"a\",\"count\":2},{\"name\":\"b\"}]}}");
	UNTIL(e, told(e, HOST1, "run") == 3);
	complete_all(e);
	UNTIL(e, state_is(e, "tiles", "complete"));
	status = scheduler_job_status(&e->orchestrator.scheduler, "default", "tiles");
	assert_int_equal(json_integer_value(json_object_get(status, "complete")), 3);
	assert_true(group_is(status, 0, "a 2 2") && group_is(status, 1, "b 1 1"));
	json_decref(status);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_ends_are_shown_also_after_a_crash),
		TEST(test_failed_are_not_stopped_after_a_crash),
		TEST(test_stopped_is_no_success),
		TEST(test_services_are_started_again),
		TEST(test_a_new_version_is_not_complete),
		TEST(test_a_larger_version_is_not_complete),
		TEST(test_a_new_version_on_each_node_is_not_complete),
		TEST(test_groups_are_counted_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
