// SPDX-License-Identifier: Apache-2.0
// Function hosts and the control plane: what the protocol promises, while nothing of it fails.
#include "test/unit/hosts_world.h"

// ---- tests ----

static void test_setup_is_checked(void **state)
{
	struct env *e = *state;
	static const struct {
		const char *hello, *part;
	} cases[] = {
		{HOST("N 1", "s", ""), "the host's name must be"},
		{HOST("n1", "", ""), "must say its start"},
		{HOST("n1", "s", ",\"address\":\"nowhere\""), "address must be"},
		{"{\"protocol\":{\"min\":1,\"max\":1},\"role\":\"host\",\"name\":\"n1\",\"start\":"
		 "\"s\"}",
			"address must be"},
		{HOST("n1", "s", ",\"capacity\":{\"cpu_milli\":-1}"), "capacity must be whole numbers"},
		{HOST("n1", "s", ",\"capacity\":{\"memory\":\"8Gi\"}"), "capacity must be"},
		{HOST("n1", "s", ",\"capacity\":[]"), "capacity must be"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		dial(e, OTHER, cases[i].hello);
		UNTIL(e, e->clients[OTHER].closed);
		if (!strstr(e->clients[OTHER].why, cases[i].part))
			fail_msg("'%s' for %s", e->clients[OTHER].why, cases[i].hello);
		assert_null(registry_get(&e->registry, KIND_NODE, "n1"));
	}
	connect_host(e, HOST1, HOST("n1", "s1", ",\"machine\":\"m\""), "s1");
	UNTIL(e, registry_get(&e->registry, KIND_NODE, "n1"));
	assert_string_equal(fleet_node_state(fleet_node(&e->orchestrator.fleet, "n1")), "ready");
}

// Events with this text in them.
static unsigned events_with(const struct env *e, const char *text)
{
	uint64_t after = registry_event_floor(&e->registry);
	const struct event *event;
	unsigned n = 0;
	bool gone;

	for (; (event = registry_event_after(&e->registry, after, &gone)); after = event->seq)
		n += strstr(event->line, text) != NULL;
	return n;
}

// A name belongs to one host, unless the machine is the same: then that was started again.
static void test_names_are_held(void **state)
{
	struct env *e = *state;
	struct fleet_node *n;

	connect_host(e, HOST1, HOST("n1", "s1", ",\"machine\":\"m\""), "s1");
	dial(e, OTHER, HOST("n1", "s2", ",\"machine\":\"other\""));
	UNTIL(e, e->clients[OTHER].closed);
	assert_non_null(strstr(e->clients[OTHER].why, "held by another host"));
	dial(e, OTHER, HOST("n1", "s2", ""));
	UNTIL(e, e->clients[OTHER].closed);
	assert_non_null(strstr(e->clients[OTHER].why, "held by another host"));
	assert_false(e->clients[HOST1].closed);
	// Told once, however often it is tried, and by name.
	UNTIL(e, events_with(e, "\"refused\"") == 1);
	assert_int_equal(events_with(e, "held by another host"), 1);
	dial(e, OTHER, HOST("N 1", "s2", ""));
	UNTIL(e, events_with(e, "\"refused\"") == 2);
	assert_int_equal(e->peers.refused, 3);
	dial(e, OTHER, HOST("n1", "s3", ",\"machine\":\"m\""));
	UNTIL(e, e->clients[HOST1].closed);
	n = fleet_node(&e->orchestrator.fleet, "n1");
	assert_string_equal(n->start, "s3");
	assert_true(n->connected);
	// Once the lease is over the name is free.
	link_close(&e->clients[OTHER].link);
	UNTIL(e, !n->up);
	dial(e, HOST2, HOST("n1", "s4", ",\"machine\":\"other\""));
	UNTIL(e, n->connected);
	assert_string_equal(n->start, "s4");
}

static void test_deploy_scale_and_unroute_before_stop(void **state)
{
	struct env *e = *state;
	ns_t began;

	connect_gateway(e);
	connect_host(e, HOST1, HOST("n1", "s1", ""), "s1");
	put_echo(e, 3, "a");
	UNTIL(e, told(e, HOST1, "run") == 3);
	assert_true(targets_are(e, ""));
	began = clock_now();
	obey(e, HOST1, "s1");
	UNTIL(e, targets_are(e, "n1@1x3"));
	print_message("routable %.1f ms after the report\n", (double)(clock_now() - began) / 1e6);
	applied(e);
	put_echo(e, 1, "a");
	UNTIL(e, targets_are(e, "n1@1x1"));
	pass(e, 100 * NS_PER_MS);
	assert_int_equal(told(e, HOST1, "stop"), 0);
	applied(e);
	UNTIL(e, told(e, HOST1, "stop") == 2);
	obey(e, HOST1, "s1");
	// What has exited is gone, once that is stored.
	UNTIL(e, json_object_size(e->clients[HOST1].table) == 1);
	assert_int_equal(told(e, HOST1, "run"), 1);
}

static void test_a_silent_gateway_delays_for_a_bounded_time(void **state)
{
	struct env *e = *state;
	ns_t began;

	connect_gateway(e);
	connect_host(e, HOST1, HOST("n1", "s1", ""), "s1");
	put_echo(e, 2, "a");
	UNTIL(e, told(e, HOST1, "run") == 2);
	obey(e, HOST1, "s1");
	UNTIL(e, targets_are(e, "n1@1x2"));
	began = clock_now();
	put_echo(e, 1, "a");
	UNTIL(e, told(e, HOST1, "stop") == 1);
	assert_true(clock_now() - began >= FLEET_UNROUTE_MAX);
	assert_true(clock_now() - began < FLEET_UNROUTE_MAX + NS_PER_SEC);
}

// A gateway that is away still sends calls by its old table, as right after a start.
static void test_an_absent_gateway_is_waited_for(void **state)
{
	struct env *e = *state;

	connect_gateway(e);
	connect_host(e, HOST1, HOST("n1", "s1", ""), "s1");
	put_echo(e, 2, "a");
	UNTIL(e, told(e, HOST1, "run") == 2);
	obey(e, HOST1, "s1");
	UNTIL(e, targets_are(e, "n1@1x2"));
	link_close(&e->clients[GATEWAY].link);
	UNTIL(e, e->clients[GATEWAY].closed);
	put_echo(e, 1, "a");
	pass(e, 200 * NS_PER_MS);
	assert_int_equal(told(e, HOST1, "stop"), 0);
	dial(e, GATEWAY, GATE);
	UNTIL(e, e->clients[GATEWAY].up);
	watch(e, GATEWAY);
	UNTIL(e, targets_are(e, "n1@1x1"));
	applied(e);
	UNTIL(e, told(e, HOST1, "stop") == 1);
}

// The old version serves until the new one is ready; then it is unrouted, then stopped.
static void test_rollout(void **state)
{
	struct env *e = *state;

	connect_gateway(e);
	connect_host(e, HOST1, HOST("n1", "s1", ""), "s1");
	put_echo(e, 1, "a");
	UNTIL(e, told(e, HOST1, "run") == 1);
	obey(e, HOST1, "s1");
	UNTIL(e, targets_are(e, "n1@1x1"));
	put_echo(e, 1, "b");
	UNTIL(e, told(e, HOST1, "run") == 2);
	assert_true(targets_are(e, "n1@1x1"));
	obey(e, HOST1, "s1");
	UNTIL(e, targets_are(e, "n1@2x1"));
	assert_int_equal(told(e, HOST1, "stop"), 0);
	applied(e);
	UNTIL(e, told(e, HOST1, "stop") == 1);
	obey(e, HOST1, "s1");
	UNTIL(e, json_object_size(e->clients[HOST1].table) == 1);
	// To scale is no new version.
	put_echo(e, 2, "b");
	UNTIL(e, told(e, HOST1, "run") == 2);
	obey(e, HOST1, "s1");
	UNTIL(e, targets_are(e, "n1@2x2"));
}

static void test_node_loss_and_return(void **state)
{
	struct env *e = *state;

	connect_gateway(e);
	connect_host(e, HOST1, HOST("n1", "s1", ",\"machine\":\"m\""), "s1");
	put_echo(e, 2, "a");
	UNTIL(e, told(e, HOST1, "run") == 2);
	obey(e, HOST1, "s1");
	UNTIL(e, targets_are(e, "n1@1x2"));
	connect_host(e, HOST2, HOST("n2", "s2", ""), "s2");
	// A short absence is nothing.
	link_close(&e->clients[HOST1].link);
	UNTIL(e, e->clients[HOST1].closed);
	pass(e, LEASE / 2);
	assert_true(targets_are(e, "n1@1x2"));
	connect_host(e, HOST1, HOST("n1", "s1", ",\"machine\":\"m\""), "s1");
	UNTIL(e, targets_are(e, ""));  // its first report names none
	obey(e, HOST1, "s1");
	UNTIL(e, targets_are(e, "n1@1x2"));
	assert_int_equal(e->clients[HOST1].snapshots, 1);
	assert_int_equal(told(e, HOST2, "run"), 0);
	// A long one: replaced elsewhere, and calls go there once they can.
	link_close(&e->clients[HOST1].link);
	UNTIL(e, told(e, HOST2, "run") == 2);
	pass(e, 50 * NS_PER_MS);
	assert_true(targets_are(e, "n1@1x2"));
	obey(e, HOST2, "s2");
	UNTIL(e, targets_are(e, "n2@1x2"));
	// Back again, the doubles are not wanted.
	connect_host(e, HOST1, HOST("n1", "s1", ",\"machine\":\"m\""), "s1");
	UNTIL(e, json_object_size(e->clients[HOST1].table) == 0);
	assert_true(targets_are(e, "n2@1x2"));
}

static void test_failed_instances_are_replaced(void **state)
{
	struct env *e = *state;
	const char *id;
	char first[40];

	connect_host(e, HOST1, HOST("n1", "s1", ""), "s1");
	put_echo(e, 1, "a");
	UNTIL(e, told(e, HOST1, "run") == 1);
	id = json_object_iter_key(json_object_iter(e->clients[HOST1].table));
	snprintf(first, sizeof(first), "%s", id);
	report(e, HOST1,
		"{\"start\":\"s1\",\"instances\":[{\"id\":\"%s\",\"state\":\"failed\",\"reason\":"
		"\"no program\"}]}",
		first);
	UNTIL(e, !json_object_get(e->clients[HOST1].table, first));
	assert_int_equal(fleet_instance(&e->orchestrator.fleet, first)->intent, INTENT_ENDED);
	// Rubbish changes nothing.
	report(e, HOST1, "[]");
	report(e, HOST1, "{\"start\":\"other\",\"instances\":[{\"id\":\"%s\"}]}", first);
	report(e, HOST1, "{\"start\":\"s1\",\"instances\":[7,{\"id\":5},{\"id\":\"zz\","
			 "\"state\":\"running\"}],\"functions\":[1,{\"namespace\":3}]}");
	pass(e, 20 * NS_PER_MS);
	assert_true(e->clients[HOST1].up);
}

static void test_drain(void **state)
{
	struct env *e = *state;

	connect_gateway(e);
	connect_host(e, HOST1, HOST("n1", "s1", ""), "s1");
	put_echo(e, 2, "a");
	UNTIL(e, told(e, HOST1, "run") == 2);
	obey(e, HOST1, "s1");
	UNTIL(e, targets_are(e, "n1@1x2"));
	connect_host(e, HOST2, HOST("n2", "s2", ""), "s2");
	put(e, KIND_NODE, "{\"metadata\":{\"name\":\"n1\"},\"spec\":{\"drain\":true}}");
	for (int i = 0; i < 400 && !targets_are(e, "n2@1x2"); i++) {
		pass(e, 5 * NS_PER_MS);
		obey(e, HOST2, "s2");
		// There is always somebody to call.
		assert_false(targets_are(e, ""));
		applied(e);
		obey(e, HOST1, "s1");
	}
	assert_true(targets_are(e, "n2@1x2"));
	assert_string_equal(fleet_node_state(fleet_node(&e->orchestrator.fleet, "n1")), "draining");
}

// Nothing that is not stored is told; what was told is the same after a restart.
static void test_store_failure_and_restart(void **state)
{
	struct env *e = *state;
	struct batch *batch;
	json_t *before;
	const char *key;
	json_t *item;

	connect_gateway(e);
	connect_host(e, HOST1, HOST("n1", "s1", ""), "s1");
	put_echo(e, 2, "a");
	UNTIL(e, told(e, HOST1, "run") == 2);
	obey(e, HOST1, "s1");
	UNTIL(e, targets_are(e, "n1@1x2"));
	// The function is stored, its placements are not.
	put_echo(e, 4, "a");
	e->broken = true;
	batch = registry_seal(&e->registry);
	assert_int_equal(registry_commit(&e->registry, batch, false), 0);
	store_mem_fail(e->store, -ENOSPC, 3);
	registry_settle(&e->registry, 0);
	// Until each of the failures has met a commit, however long the scheduler takes for one.
	for (int i = 0; i < 5000 && e->registry.commit_errors < 3; i++) {
		registry_flush(&e->registry);
		pass(e, NS_PER_MS);
		if (e->registry.commit_errors < 3)
			assert_int_equal(told(e, HOST1, "run"), 2);
	}
	assert_int_equal(e->registry.commit_errors, 3);
	e->broken = false;
	UNTIL(e, told(e, HOST1, "run") == 4);
	obey(e, HOST1, "s1");
	UNTIL(e, targets_are(e, "n1@1x4"));
	before = json_deep_copy(e->clients[HOST1].table);
	// A crash: hosts and gateways go on with what they have.
	stop(e);
	start(e);
	UNTIL(e, e->clients[HOST1].closed && e->clients[GATEWAY].closed);
	dial(e, GATEWAY, GATE);
	UNTIL(e, e->clients[GATEWAY].up);
	watch(e, GATEWAY);
	pass(e, LEASE / 3);
	// Nobody is told that echo has no targets, only because nobody has reported yet.
	assert_int_equal(e->clients[GATEWAY].snapshots, 1);
	dial(e, HOST1, HOST("n1", "s1", ""));
	UNTIL(e, e->clients[HOST1].up);
	watch(e, HOST1);
	obey(e, HOST1, "s1");
	UNTIL(e, e->clients[GATEWAY].snapshots == 2 && targets_are(e, "n1@1x4"));
	UNTIL(e, e->clients[HOST1].snapshots == 2);
	json_object_foreach(before, key, item)
	{
		assert_non_null(json_object_get(e->clients[HOST1].table, key));
	}
	assert_int_equal(json_object_size(e->clients[HOST1].table), 4);
	json_decref(before);
}

// The disk is full when a host comes: it is registered as soon as it is not any more.
static void test_a_host_that_comes_on_a_full_disk(void **state)
{
	struct env *e = *state;

	e->broken = true;
	connect_host(e, HOST1, HOST("n1", "s1", ""), "s1");
	UNTIL(e, registry_get(&e->registry, KIND_NODE, "n1"));
	store_mem_fail(e->store, -ENOSPC, 1);
	assert_int_equal(registry_flush(&e->registry), -ENOSPC);
	assert_null(registry_get(&e->registry, KIND_NODE, "n1"));
	e->broken = false;
	report(e, HOST1, "{\"start\":\"s1\"}");
	UNTIL(e, registry_get(&e->registry, KIND_NODE, "n1"));
	put_echo(e, 1, "a");
	UNTIL(e, told(e, HOST1, "run") == 1);
	stop(e);
	start(e);
	assert_non_null(registry_get(&e->registry, KIND_NODE, "n1"));
	assert_int_equal(fleet_node(&e->orchestrator.fleet, "n1")->count, 1);
}

static void test_deleted_functions_end(void **state)
{
	struct env *e = *state;

	connect_host(e, HOST1, HOST("n1", "s1", ""), "s1");
	put_echo(e, 3, "a");
	UNTIL(e, told(e, HOST1, "run") == 3);
	obey(e, HOST1, "s1");
	assert_int_equal(registry_delete(&e->registry, KIND_FUNCTION, "default/echo", 1), 0);
	UNTIL(e, told(e, HOST1, "stop") == 3);
	obey(e, HOST1, "s1");
	UNTIL(e, json_object_size(e->clients[HOST1].table) == 0);
}

// ---- logs ----

struct reading {
	struct log_reader reader;
	char text[100];
	size_t len;
	int ends;
	char why[100];
};

static void on_log(struct log_reader *r, const char *bytes, size_t len)
{
	struct reading *reading = container_of(r, struct reading, reader);

	memcpy(reading->text + reading->len, bytes, len);
	reading->len += len;
	peers_log_more(r);
}

static void on_log_end(struct log_reader *r, const char *why)
{
	struct reading *reading = container_of(r, struct reading, reader);

	reading->ends++;
	snprintf(reading->why, sizeof(reading->why), "%s", why ? why : "");
}

static void test_logs_come_from_the_host(void **state)
{
	struct env *e = *state;
	struct reading r = {.reader = {.data = on_log, .end = on_log_end}};
	char id[40];

	connect_host(e, HOST1, HOST("n1", "s1", ""), "s1");
	put_echo(e, 1, "a");
	UNTIL(e, told(e, HOST1, "run") == 1);
	snprintf(id, sizeof(id), "%s",
		json_object_iter_key(json_object_iter(e->clients[HOST1].table)));
	assert_int_equal(peers_log_open(&e->peers, &r.reader, "none", 5, false), -ENOENT);
	assert_int_equal(peers_log_open(&e->peers, &r.reader, id, 5, false), 0);
	UNTIL(e, r.ends == 1);
	assert_string_equal(r.text, "one\ntwo\n");
	assert_string_equal(r.why, "");
	assert_non_null(strstr(e->clients[HOST1].log_asked, id));
	assert_int_equal(peers_log_open(&e->peers, &r.reader, id, 0, false), 0);
	UNTIL(e, r.ends == 2);
	assert_string_equal(r.why, "nothing is known of it");
	// A reader that goes, and a host that does.
	assert_int_equal(peers_log_open(&e->peers, &r.reader, id, 5, true), 0);
	peers_log_close(&r.reader);
	assert_int_equal(peers_log_open(&e->peers, &r.reader, id, 5, true), 0);
	link_close(&e->clients[HOST1].link);
	UNTIL(e, r.ends == 3);
	UNTIL(e, peers_log_open(&e->peers, &r.reader, id, 5, false) == -ENOTCONN);
}

// Many who are refused do not fill the history.
static void test_refusals_are_told_in_measure(void **state)
{
	struct env *e = *state;

	connect_host(e, HOST1, HOST("n1", "s1", ",\"machine\":\"m\""), "s1");
	for (int i = 0; i < 3 * PEERS_REFUSALS_MAX; i++) {
		char hello[200];

		snprintf(hello, sizeof(hello),
			"{\"protocol\":{\"min\":1,\"max\":1},\"role\":\"host\",\"name\":\"n1%d\","
			"\"start\":\"s\",\"address\":\"nowhere\"}", i);
		dial(e, OTHER, hello);
		UNTIL(e, e->clients[OTHER].closed);
	}
	assert_int_equal(e->peers.refused, 3 * PEERS_REFUSALS_MAX);
	assert_in_range(events_with(e, "\"refused\""), 1, 2 * PEERS_REFUSALS_MAX);
}

// A manifest's `near`, through API, scheduler and host; told again, nothing moves.
static void test_near_goes_where_its_peers_are(void **state)
{
	struct env *e = *state;

	connect_host(e, HOST1, HOST("n1", "s1", ",\"attributes\":{\"rack\":\"r1\"}"), "s1");
	connect_host(e, HOST2, HOST("n2", "s2", ",\"attributes\":{\"rack\":\"r2\"}"), "s2");
	UNTIL(e, fleet_node(&e->orchestrator.fleet, "n1") && fleet_node(&e->orchestrator.fleet, "n2"));
	put(e, KIND_FUNCTION, "{\"metadata\":{\"name\":\"store\"},\"spec\":{\"command\":[\"x\"],"
		"\"scale\":{\"min\":1},\"placement\":{\"constraints\":[{\"attribute\":\"rack\","
		"\"op\":\"=\",\"value\":\"r2\"}]}}}");
	UNTIL(e, told(e, HOST2, "run") == 1);
	put(e, KIND_FUNCTION, "{\"metadata\":{\"name\":\"reader\"},\"spec\":{\"command\":[\"x\"],"
		"\"scale\":{\"min\":6},\"placement\":{\"near\":[\"store\"]}}}");
	UNTIL(e, told(e, HOST1, "run") + told(e, HOST2, "run") == 7);
	assert_int_equal(told(e, HOST2, "run"), 7);
	put(e, KIND_FUNCTION, "{\"metadata\":{\"name\":\"reader\"},\"spec\":{\"command\":[\"x\"],"
		"\"scale\":{\"min\":6}}}");
	put(e, KIND_FUNCTION, "{\"metadata\":{\"name\":\"other\"},\"spec\":{\"command\":[\"x\"],"
		"\"scale\":{\"min\":1}}}");
	UNTIL(e, told(e, HOST1, "run") == 1);
	assert_int_equal(told(e, HOST2, "run"), 7);
}

static void expect_explained(struct env *e, const char *expected)
{
	ns_t give_up = clock_now() + DEADLINE;
	char text[300] = "";

	while (strcmp(text, expected) != 0) {
		json_t *why = scheduler_explain(&e->orchestrator.scheduler, "default", "big");

		snprintf(text, sizeof(text), "%s",
			why ? json_string_value(json_object_get(why, "text")) : "");
		json_decref(why);
		if (clock_now() > give_up)
			fail_msg("it says: %s", text);
		step(e);
	}
}

// What waits says which resource excluded how many nodes; what runs, why it is there.
static void test_waiting_and_placed_are_explained(void **state)
{
	struct env *e = *state;
	json_t *why;
	const char *id;

	connect_host(e, HOST1, HOST("n1", "s1", ""), "s1");
	connect_host(e, HOST2, HOST("n2", "s2", ",\"address\":\"10.0.0.2:7880\""), "s2");
	UNTIL(e, fleet_node(&e->orchestrator.fleet, "n1") && fleet_node(&e->orchestrator.fleet, "n2"));
	put(e, KIND_FUNCTION, "{\"metadata\":{\"name\":\"big\"},\"spec\":{\"command\":[\"x\"],"
		"\"scale\":{\"min\":3,\"max\":3},\"resources\":{\"cpu_milli\":3000,\"memory\":\"1Mi\"}}}");
	UNTIL(e, told(e, HOST1, "run") == 1 && told(e, HOST2, "run") == 1);
	expect_explained(e, "placed 2 of 3; 1 wait: of 2 nodes 2 lack CPU");
	// A node that helps nobody is looked at, too: what is told is the last try.
	connect_host(e, OTHER, HOST("n3", "s3", ",\"capacity\":{\"cpu_milli\":1000}"), "s3");
	expect_explained(e, "placed 0 of 1; 1 wait: of 3 nodes 3 lack CPU");
	why = scheduler_explain(&e->orchestrator.scheduler, "default", "big");
	assert_string_equal(json_string_value(json_object_get(why, "status")), "blocked");
	assert_int_equal(json_integer_value(json_object_get(
				 json_object_get(why, "excluded_nodes"), "cpu")), 3);
	json_decref(why);
	id = json_object_iter_key(json_object_iter(e->clients[HOST1].table));
	why = fleet_instance_json(&e->orchestrator.fleet, fleet_instance(&e->orchestrator.fleet, id));
	assert_non_null(json_object_get(json_object_get(why, "status"), "why"));
	json_decref(why);
	// None is ready, so no call would go anywhere; then both.
	why = fleet_targets(&e->orchestrator.fleet, "default", "big");
	assert_int_equal(json_array_size(why), 0);
	json_decref(why);
	obey(e, HOST1, "s1");
	obey(e, HOST2, "s2");
	UNTIL(e, fleet_function(&e->orchestrator.fleet, "default", "big")->takers == 2);
	why = fleet_targets(&e->orchestrator.fleet, "default", "big");
	assert_int_equal(json_array_size(why), 2);
	json_decref(why);
}

static void test_tokens_are_hashed(void **state)
{
	static const char secret[] = "correct horse battery";
	// printf %s "correct horse battery" | sha256sum
	static const char hash[] =
		"sha256:9028ea0d15decaa35b2da21c0290af3b1a5ba0a30a591906f89b5074e209ea72";
	static const char *const bad[] = {"", "short", "sha256:", "sha256:zz", "sha256:00"};
	struct token t = {0}, h;
	char long_one[TOKEN_MAX + 2], path[] = "/tmp/penstock-token-XXXXXX";
	int fd = mkstemp(path);

	assert_false(token_matches(&t, ""));
	assert_false(token_matches(&t, secret));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(token_parse(&t, bad[i]), -EINVAL);
	memset(long_one, 'a', sizeof(long_one));
	long_one[TOKEN_MAX + 1] = 0;
	assert_int_equal(token_parse(&t, long_one), -EINVAL);
	assert_false(t.known);
	assert_int_equal(token_parse(&t, secret), 0);
	assert_int_equal(token_parse(&h, hash), 0);
	assert_memory_equal(t.hash, h.hash, sizeof(t.hash));
	assert_true(token_matches(&h, secret));
	assert_false(token_matches(&h, "correct horse batterY"));
	assert_false(token_matches(&h, hash));
	assert_false(token_matches(&h, ""));
	assert_false(token_matches(&h, NULL));
	assert_int_equal(write(fd, "correct horse battery\nrest\n", 27), 27);
	assert_int_equal(token_read(&h, path), 0);
	assert_memory_equal(t.hash, h.hash, sizeof(t.hash));
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(token_read(&h, path), -EINVAL);
	close(fd);
	unlink(path);
	assert_int_equal(token_read(&h, path), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_setup_is_checked),
		TEST(test_names_are_held),
		TEST(test_deploy_scale_and_unroute_before_stop),
		TEST(test_a_silent_gateway_delays_for_a_bounded_time),
		TEST(test_an_absent_gateway_is_waited_for),
		TEST(test_rollout),
		TEST(test_node_loss_and_return),
		TEST(test_failed_instances_are_replaced),
		TEST(test_drain),
		PATIENT(test_store_failure_and_restart),
		PATIENT(test_a_host_that_comes_on_a_full_disk),
		TEST(test_deleted_functions_end),
		TEST(test_logs_come_from_the_host),
		TEST(test_refusals_are_told_in_measure),
		TEST(test_near_goes_where_its_peers_are),
		TEST(test_waiting_and_placed_are_explained),
		cmocka_unit_test(test_tokens_are_hashed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
