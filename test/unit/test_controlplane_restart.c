// SPDX-License-Identifier: Apache-2.0
// Control planes, nodes and gateways that go and come back: no call may be sent to an instance that
// was told to stop, so each test looks at who is told what before whom.
#include "controlplane/prom.h"
#include "test/unit/hosts_world.h"

#define SOON (100 * NS_PER_MS)
#define GATE2                                                                          \
	"{\"protocol\":{\"min\":1,\"max\":1},\"role\":\"gateway\",\"name\":\"gw2\","    \
	"\"version\":\"9.9\",\"start\":\"g\",\"workers\":1}"

static const char host1[] = HOST("n1", "s1", ",\"machine\":\"m\"");
static const char host2[] = HOST("n2", "s2", "");

static void deploy(struct env *e, int count)
{
	connect_gateway(e);
	connect_host(e, HOST1, host1, "s1");
	put_echo(e, count, "a");
	UNTIL(e, told(e, HOST1, "run") == (size_t)count);
	obey(e, HOST1, "s1");
	UNTIL(e, *targets(e));
	applied(e);
	pass(e, 10 * NS_PER_MS);
}

static void crash(struct env *e)
{
	stop(e);
	start(e);
	for (int i = 0; i < CLIENTS; i++)
		UNTIL(e, !e->clients[i].table || e->clients[i].closed);
}

// As a host that is back does: what it has, then what is wanted.
static void come_back(struct env *e, int i, const char *hello, const char *start)
{
	dial(e, i, hello);
	UNTIL(e, e->clients[i].up);
	watch(e, i);
	obey(e, i, start);
}

// What is stopped in the first moment of a control plane was a target of gateways that are not back.
static void test_nothing_stops_before_gateways_are_back(void **state)
{
	struct env *e = *state;

	deploy(e, 3);
	crash(e);
	put_echo(e, 1, "a");
	pass(e, SOON);  // it is decided before anybody has come back
	come_back(e, HOST1, host1, "s1");
	pass(e, SOON);
	assert_int_equal(told(e, HOST1, "run"), 3);
	reconnect_gateway(e, GATEWAY, GATE);
	UNTIL(e, targets_are(e, "n1@1x1"));
	pass(e, SOON);
	assert_int_equal(told(e, HOST1, "run"), 3);
	applied(e);
	UNTIL(e, told(e, HOST1, "stop") == 2);
	assert_int_equal(told(e, HOST1, "run"), 1);
}

// The same for what was being stopped when the control plane was killed.
static void test_a_stop_goes_on_after_a_crash(void **state)
{
	struct env *e = *state;

	deploy(e, 2);
	put_echo(e, 1, "a");
	UNTIL(e, targets_are(e, "n1@1x1"));
	crash(e);
	come_back(e, HOST1, host1, "s1");
	reconnect_gateway(e, GATEWAY, GATE);
	UNTIL(e, e->clients[GATEWAY].snapshots == 2 && targets_are(e, "n1@1x1"));
	pass(e, SOON);
	assert_int_equal(told(e, HOST1, "run"), 2);
	applied(e);
	UNTIL(e, told(e, HOST1, "stop") == 1);
}

// What is to start does not wait for gateways.
static void test_starts_do_not_wait(void **state)
{
	struct env *e = *state;

	deploy(e, 1);
	crash(e);
	come_back(e, HOST1, host1, "s1");
	put_echo(e, 4, "a");
	UNTIL(e, told(e, HOST1, "run") == 4);
	assert_int_equal(e->clients[GATEWAY].snapshots, 1);
}

// A double that gateways may still call is ended when they were led away, not at the host's return.
static void test_doubles_serve_until_gateways_turn_away(void **state)
{
	struct env *e = *state;

	deploy(e, 1);
	connect_host(e, HOST2, host2, "s2");
	leave(e, HOST1);
	UNTIL(e, told(e, HOST2, "run") == 1);
	obey(e, HOST2, "s2");
	UNTIL(e, targets_are(e, "n2@1x1"));
	crash(e);  // before the gateway acts by it
	// One that is not known at all any more is a double, too.
	json_object_set_new(e->clients[HOST1].table, "stray",
		json_pack("{s:s}", "desired", "run"));
	come_back(e, HOST1, host1, "s1");
	come_back(e, HOST2, host2, "s2");
	pass(e, SOON);
	assert_int_equal(json_object_size(e->clients[HOST1].table), 2);
	reconnect_gateway(e, GATEWAY, GATE);
	UNTIL(e, e->clients[GATEWAY].snapshots == 2 && targets_are(e, "n2@1x1"));
	pass(e, SOON);
	assert_int_equal(json_object_size(e->clients[HOST1].table), 2);
	applied(e);
	UNTIL(e, json_object_size(e->clients[HOST1].table) == 0);
	assert_int_equal(json_object_size(e->clients[HOST2].table), 1);
}

// A host that does not return after a crash may be cut off from the control plane alone: gateways are
// sent there until others are ready.
static void test_a_host_that_stays_away_is_a_target(void **state)
{
	struct env *e = *state;

	deploy(e, 2);
	crash(e);
	reconnect_gateway(e, GATEWAY, GATE);
	UNTIL(e, e->clients[GATEWAY].snapshots == 2);
	UNTIL(e, !fleet_node(&e->orchestrator.fleet, "n1")->up);
	pass(e, SOON);
	assert_string_equal(targets(e), "n1@1x2");
	applied(e);
	connect_host(e, HOST2, host2, "s2");
	UNTIL(e, told(e, HOST2, "run") == 2);
	obey(e, HOST2, "s2");
	UNTIL(e, targets_are(e, "n2@1x2"));
}

// Nobody else serves: the only node was lost and is back, and the old instances serve until new ones
// do.
static void test_a_node_that_returns_serves_on(void **state)
{
	struct env *e = *state;
	const char *old;
	char id[40];

	deploy(e, 1);
	old = json_object_iter_key(json_object_iter(e->clients[HOST1].table));
	snprintf(id, sizeof(id), "%s", old);
	leave(e, HOST1);
	UNTIL(e, !fleet_node(&e->orchestrator.fleet, "n1")->up);
	pass(e, SOON);
	assert_string_equal(targets(e), "n1@1x1");
	dial(e, HOST1, host1);
	UNTIL(e, e->clients[HOST1].up);
	watch(e, HOST1);
	report(e, HOST1, "{\"start\":\"s1\",\"instances\":[{\"id\":\"%s\",\"state\":\"running\","
			 "\"ready\":true}]}", id);
	// The replacement is told; the double is still there, and a target.
	UNTIL(e, told(e, HOST1, "run") == 2);
	for (int i = 0; i < 50; i++) {
		pass(e, NS_PER_MS);
		assert_string_equal(targets(e), "n1@1x1");
	}
	assert_non_null(json_object_get(e->clients[HOST1].table, id));
	obey(e, HOST1, "s1");
	for (int i = 0; i < 50; i++) {
		pass(e, NS_PER_MS);
		assert_string_equal(targets(e), "n1@1x1");
	}
	applied(e);
	UNTIL(e, !json_object_get(e->clients[HOST1].table, id));
	assert_int_equal(told(e, HOST1, "run"), 1);
}

// One gateway acts by the new table, the other is slow, then away: the instance goes on.
static void test_every_gateway_is_waited_for(void **state)
{
	struct env *e = *state;

	deploy(e, 2);
	put(e, KIND_GATEWAY, "{\"metadata\":{\"name\":\"gw2\"}}");
	reconnect_gateway(e, GATEWAY2, GATE2);
	UNTIL(e, json_object_get(e->clients[GATEWAY2].table, "echo"));
	applied_by(e, GATEWAY2);
	put_echo(e, 1, "a");
	UNTIL(e, targets_are(e, "n1@1x1"));
	applied(e);
	pass(e, 3 * SOON);
	assert_int_equal(told(e, HOST1, "stop"), 0);
	leave(e, GATEWAY2);
	applied(e);
	pass(e, 2 * SOON);
	assert_int_equal(told(e, HOST1, "stop"), 0);
	reconnect_gateway(e, GATEWAY2, GATE2);
	pass(e, SOON);
	assert_int_equal(told(e, HOST1, "stop"), 0);
	applied_by(e, GATEWAY2);
	UNTIL(e, told(e, HOST1, "stop") == 1);
}

// What a gateway says before it has the snapshot is about the table of before.
static void test_word_of_an_older_table_counts_for_nothing(void **state)
{
	struct env *e = *state;

	deploy(e, 2);
	put_echo(e, 1, "a");
	UNTIL(e, targets_are(e, "n1@1x1"));
	crash(e);
	come_back(e, HOST1, host1, "s1");
	dial(e, GATEWAY, GATE);
	UNTIL(e, e->clients[GATEWAY].up);
	report(e, GATEWAY, "{\"start\":\"g\",\"applied\":%lld}", (long long)INT32_MAX);
	watch_with(e, GATEWAY, 1);
	UNTIL(e, e->clients[GATEWAY].snapshots == 2);
	report(e, GATEWAY, "{\"start\":\"g\",\"applied\":%lld}", (long long)INT32_MAX);
	pass(e, SOON);
	assert_non_null(e->clients[GATEWAY].marked);
	rs_request_n(e->clients[GATEWAY].watch, 1000);
	UNTIL(e, !e->clients[GATEWAY].marked);
	report(e, GATEWAY, "{\"start\":\"g\",\"epoch\":\"old\",\"applied\":%lld}",
		(long long)INT32_MAX);
	pass(e, 3 * SOON);
	assert_int_equal(told(e, HOST1, "stop"), 0);
	applied(e);
	UNTIL(e, told(e, HOST1, "stop") == 1);
}

static void check_metrics(const struct fleet *f)
{
	static const char *const lines[] = {
		"penstock_deploy_seconds_count{step=\"ready\"} 1\n",
		"penstock_deploy_seconds_count{step=\"routable\"} 1\n",
		"penstock_deploy_seconds_bucket{step=\"routable\",le=\"0.067108864\"} 0\n",
		"penstock_deploy_seconds_bucket{step=\"routable\",le=\"17.1798692\"} 1\n",
		"penstock_instances_ready 3\n",
	};
	char *text = NULL;
	size_t len;
	struct prom p = {.out = open_memstream(&text, &len)};

	fleet_metrics(f, &p);
	fclose(p.out);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		if (!strstr(text, lines[i]))
			fail_msg("no %s in %s", lines[i], text);
	free(text);
}

// How long until gateways act by it is measured, of what gets ready while one is there.
static void test_steps_are_measured(void **state)
{
	struct env *e = *state;
	const struct fleet_steps *steps = &e->orchestrator.fleet.steps;
	json_t *deploys;

	deploy(e, 2);
	UNTIL(e, steps->routable.count == 2);
	assert_int_equal(steps->ready.count, 2);
	assert_true(steps->routable.max < (uint64_t)DEADLINE);
	crash(e);
	assert_int_equal(steps->routable.count, 0);
	reconnect_gateway(e, GATEWAY, GATE);
	come_back(e, HOST1, host1, "s1");
	UNTIL(e, e->clients[GATEWAY].snapshots == 2 && targets_are(e, "n1@1x2"));
	applied(e);
	pass(e, SOON);
	// They were there before: no start of ours.
	assert_int_equal(steps->ready.count, 0);
	put_echo(e, 3, "a");
	UNTIL(e, told(e, HOST1, "run") == 3);
	obey(e, HOST1, "s1");
	UNTIL(e, targets_are(e, "n1@1x3"));
	pass(e, SOON);
	assert_int_equal(steps->routable.count, 0);  // the gateway has not said so
	applied(e);
	UNTIL(e, steps->routable.count == 1);
	assert_true(steps->routable.max >= (uint64_t)SOON);
	deploys = fleet_deploys(&e->orchestrator.fleet);
	assert_int_equal(json_integer_value(json_object_get(
				 json_object_get(deploys, "ready"), "count")), 1);
	json_decref(deploys);
	check_metrics(&e->orchestrator.fleet);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PATIENT(test_nothing_stops_before_gateways_are_back),
		PATIENT(test_a_stop_goes_on_after_a_crash),
		PATIENT(test_starts_do_not_wait),
		TEST(test_doubles_serve_until_gateways_turn_away),
		TEST(test_a_host_that_stays_away_is_a_target),
		TEST(test_a_node_that_returns_serves_on),
		PATIENT(test_every_gateway_is_waited_for),
		PATIENT(test_word_of_an_older_table_counts_for_nothing),
		PATIENT(test_steps_are_measured),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
