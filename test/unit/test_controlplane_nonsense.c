// SPDX-License-Identifier: Apache-2.0
// Hosts that say what no host should: nothing of it reaches others, grows without bound or stops the
// control plane, and what they say that is right goes on to count.
#include "sched/images.h"
#include "test/unit/hosts_world.h"

static const char *one_id(const struct env *e, int i)
{
	return json_object_iter_key(json_object_iter(e->clients[i].table));
}

static void deploy(struct env *e)
{
	connect_gateway(e);
	connect_host(e, HOST1, HOST("n1", "s1", ",\"machine\":\"m\""), "s1");
	put_echo(e, 2, "a");
	UNTIL(e, told(e, HOST1, "run") == 2);
	obey(e, HOST1, "s1");
	UNTIL(e, targets_are(e, "n1@1x2"));
}

// Takes text.
static void send_text(struct env *e, int i, char *text)
{
	struct rs_message m = request(e, "penstock.report", text);

	assert_int_equal(rs_fire_and_forget(&e->clients[i].link.session, &m), 0);
	free(text);
}

static json_t *status_of(const struct env *e, const char *id)
{
	json_t *shown = fleet_instance_json(
		&e->orchestrator.fleet, fleet_instance(&e->orchestrator.fleet, id));
	json_t *status = json_incref(json_object_get(shown, "status"));

	json_decref(shown);
	return status;
}

static void test_numbers_beyond_reason(void **state)
{
	static const char *const numbers[] = {"-1", "9223372036854775807", "-9223372036854775808",
		"1e300", "\"many\"", "null", "[]", "{}"};
	struct env *e = *state;
	json_t *status;

	deploy(e);
	for (size_t k = 0; k < sizeof(numbers) / sizeof(numbers[0]); k++) {
		const char *n = numbers[k];

		report(e, HOST1,
			"{\"start\":\"s1\",\"instances\":[{\"id\":\"%s\",\"state\":\"running\","
			"\"ready\":true,\"restarts\":%s,\"pid\":%s,\"since_ms\":%s,\"exit\":{\"code\":"
			"%s,\"signal\":%s}}],\"functions\":[{\"namespace\":\"default\",\"function\":"
			"\"echo\",\"version\":%s,\"queued\":%s,\"running\":%s,\"capacity\":%s,"
			"\"calls\":{\"ok\":%s,\"error\":%s}},{\"namespace\":\"default\",\"function\":"
			"\"echo\",\"version\":9,\"queued\":%s,\"running\":%s,\"capacity\":%s}]}",
			one_id(e, HOST1), n, n, n, n, n, n, n, n, n, n, n, n, n, n);
		pass(e, 5 * NS_PER_MS);
		status = fleet_function_status(&e->orchestrator.fleet, "default", "echo");
		assert_int_equal(json_integer_value(json_object_get(status, "ready")), 2);
		assert_int_equal(json_integer_value(json_object_get(status, "queued")), 0);
		json_decref(status);
		status = status_of(e, one_id(e, HOST1));
		assert_int_equal(json_integer_value(json_object_get(status, "restarts")), 0);
		assert_int_equal(json_integer_value(json_object_get(status, "pid")), 0);
		json_decref(status);
	}
	assert_true(targets_are(e, "n1@1x2"));
	report(e, HOST1, "{\"start\":\"s1\",\"functions\":[{\"namespace\":\"default\",\"function\":"
			 "\"echo\",\"version\":1,\"queued\":7}]}");
	pass(e, 5 * NS_PER_MS);
	status = fleet_function_status(&e->orchestrator.fleet, "default", "echo");
	assert_int_equal(json_integer_value(json_object_get(status, "queued")), 7);
	json_decref(status);
}

// A megabyte of reason, cut between characters.
static void test_a_reason_of_a_megabyte(void **state)
{
	struct env *e = *state;
	size_t len = 1 << 20;
	char *text = malloc(len + 400), *at = text;
	const char *id;
	json_t *status;
	const char *shown;

	deploy(e);
	id = one_id(e, HOST1);
	at += sprintf(text,
		"{\"start\":\"s1\",\"instances\":[{\"id\":\"%s\",\"state\":\"starting\",\"reason\":\"x",
		id);
	for (size_t i = 0; i < len / 2; i++, at += 2)
		memcpy(at, "\xc3\xa9", 2);
	strcpy(at, "\"}]}");
	send_text(e, HOST1, text);
	UNTIL(e, targets_are(e, "n1@1x1"));
	status = status_of(e, id);
	shown = json_string_value(json_object_get(status, "reason"));
	assert_non_null(shown);
	assert_in_range(strlen(shown), 100, 199);
	assert_memory_equal(shown, "x\xc3\xa9\xc3\xa9", 5);
	json_decref(status);
	assert_true(e->clients[HOST1].up);
}

// Of instances of others, of none, of a state that there is not, twice.
static void test_instances_that_are_not_its_own(void **state)
{
	struct env *e = *state;
	const char *id;

	deploy(e);
	id = one_id(e, HOST1);
	connect_host(e, HOST2, HOST("n2", "s2", ",\"address\":\"10.0.0.2:7880\""), "s2");
	report(e, HOST2,
		"{\"start\":\"s2\",\"instances\":[{\"id\":\"%s\",\"state\":\"failed\"},{\"id\":\"\"},"
		"{\"id\":\"zz\",\"state\":\"running\",\"ready\":true},{\"id\":7},{},[],null,"
		"{\"id\":\"%s\",\"state\":\"dancing\"}]}",
		id, id);
	report(e, HOST1, "{\"start\":\"s1\",\"instances\":[{\"id\":\"%s\",\"state\":\"dancing\"}]}", id);
	report(e, HOST1, "{\"start\":\"s1\",\"instances\":{\"id\":\"%s\",\"state\":\"failed\"}}", id);
	report(e, HOST1, "{\"start\":\"s1\",\"instances\":\"%s\",\"functions\":{}}", id);
	report(e, HOST1, "{\"start\":\"another\",\"instances\":[{\"id\":\"%s\",\"state\":\"failed\"}]}", id);
	report(e, HOST1, "{");
	report(e, HOST1, "%s", "");
	pass(e, 50 * NS_PER_MS);
	assert_true(targets_are(e, "n1@1x2"));
	assert_int_equal(told(e, HOST1, "run"), 2);
	assert_int_equal(e->orchestrator.fleet.failures, 0);
	// What ended does not begin again.
	report(e, HOST1, "{\"start\":\"s1\",\"instances\":[{\"id\":\"%s\",\"state\":\"failed\"}]}", id);
	UNTIL(e, targets_are(e, "n1@1x1"));
	report(e, HOST1,
		"{\"start\":\"s1\",\"instances\":[{\"id\":\"%s\",\"state\":\"running\",\"ready\":true}]}",
		id);
	pass(e, 50 * NS_PER_MS);
	assert_true(targets_are(e, "n1@1x1"));
}

// More functions than a node may report: what is kept of them is bounded, and small.
static void test_a_flood_of_functions(void **state)
{
	struct env *e = *state;
	struct fleet_node *n;

	deploy(e);
	n = fleet_node(&e->orchestrator.fleet, "n1");
	for (int k = 0; k < 12; k++) {
		json_t *functions = json_array(), *all;

		for (int i = 0; i < 1000; i++) {
			char name[20];

			snprintf(name, sizeof(name), "f%d", k * 1000 + i);
			json_array_append_new(functions, json_pack("{s:s, s:s, s:i, s:{s:s}}",
							     "namespace", "default", "function", name,
							     "version", 1, "junk", "more", name));
		}
		all = json_pack("{s:s, s:o}", "start", "s1", "functions", functions);
		send_text(e, HOST1, json_dumps(all, 0));
		json_decref(all);
		pass(e, 20 * NS_PER_MS);
	}
	UNTIL(e, json_object_size(n->functions) == 10000);
	assert_null(json_object_get(json_object_get(n->functions, "default/f5@1"), "junk"));
	assert_true(targets_are(e, "n1@1x2"));
}

// Requests that are none of a host's, more watches than one, and a deep document.
static bool has_image(struct env *e, const char *node, const char *image)
{
	struct scheduler *s = &e->orchestrator.scheduler;
	bool has;

	pthread_mutex_lock(&s->lock);
	has = sched_node_has_image(&s->core->state->head,
		sched_node_find(s->core->state, node), sched_image_hash(image));
	pthread_mutex_unlock(&s->lock);
	return has;
}

// What is right of it counts; what a report leaves out stays.
static void test_images(void **state)
{
	struct env *e = *state;
	char *flood = malloc(400000);
	size_t len = 0;

	deploy(e);
	report(e, HOST1, "{\"start\":\"s1\",\"images\":[\"tool@1\",\"base\"]}");
	UNTIL(e, has_image(e, "n1", "tool@1"));
	assert_true(has_image(e, "n1", "base"));
	report(e, HOST1, "{\"start\":\"other\",\"images\":[]}");
	report(e, HOST1, "{\"start\":\"s1\",\"images\":{\"tool@2\":1}}");
	report(e, HOST1, "{\"start\":\"s1\"}");
	pass(e, 20 * NS_PER_MS);
	assert_true(has_image(e, "n1", "tool@1"));
	report(e, HOST1,
		"{\"start\":\"s1\",\"images\":[1,null,[\"x\"],\"\",\"tool@2\",\"%0300d\"]}", 7);
	UNTIL(e, has_image(e, "n1", "tool@2"));
	assert_false(has_image(e, "n1", "tool@1"));
	assert_int_equal(e->orchestrator.scheduler.core->state->image_count, 1);
	len += (size_t)sprintf(flood + len, "{\"start\":\"s1\",\"images\":[");
	for (int k = 0; k < 20000; k++)
		len += (size_t)sprintf(flood + len, "\"image%d\",", k);
	sprintf(flood + len - 1, "]}");
	send_text(e, HOST1, flood);
	UNTIL(e, has_image(e, "n1", "image0"));
	assert_int_equal(e->orchestrator.scheduler.core->state->image_count, SCHED_IMAGES_MAX);
	assert_true(targets_are(e, "n1@1x2"));
}

static void test_requests_that_are_not_for_hosts(void **state)
{
	struct env *e = *state;
	char *deep = malloc(200001);

	deploy(e);
	for (int k = 0; k < 100; k++)
		watch(e, HOST1);
	memset(deep, '[', 200000);
	deep[200000] = 0;
	send_text(e, HOST1, deep);
	report(e, HOST1, "{\"start\":\"s1\",\"applied\":99999999,\"services\":[1],\"help\":{}}");
	pass(e, 50 * NS_PER_MS);
	put_echo(e, 3, "a");
	UNTIL(e, told(e, HOST1, "run") == 3);
	obey(e, HOST1, "s1");
	UNTIL(e, targets_are(e, "n1@1x3"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_numbers_beyond_reason),
		TEST(test_a_reason_of_a_megabyte),
		TEST(test_instances_that_are_not_its_own),
		TEST(test_a_flood_of_functions),
		TEST(test_images),
		TEST(test_requests_that_are_not_for_hosts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
