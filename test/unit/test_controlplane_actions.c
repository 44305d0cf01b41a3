// SPDX-License-Identifier: Apache-2.0
// The API's view of the real scheduler: evaluations, plans, dispatch, deployments; and that nobody
// is told of what is not durable.
#include "controlplane/api.h"
#include "controlplane/scheduler_internal.h"
#include "test/unit/hosts_world.h"

struct asking {
	struct env *e;
	struct api api;
	struct api_response last;
	json_t *body;
};

static json_t *explain(void *user, const char *namespace, const char *name)
{
	return scheduler_explain(user, namespace, name);
}

static int setup(void **state)
{
	struct asking *a = calloc(1, sizeof(*a));
	void *env;

	assert_int_equal(world_setup_patient(&env), 0);
	a->e = env;
	api_init(&a->api, &a->e->registry, a->e->telemetry, &a->e->publisher, "0", 0);
	a->api.fleet = &a->e->orchestrator.fleet;
	a->api.explain = explain;
	a->api.explain_user = &a->e->orchestrator.scheduler;
	a->api.scheduler = &orchestrator_api;
	a->api.scheduler_user = &a->e->orchestrator;
	*state = a;
	return 0;
}

static int teardown(void **state)
{
	struct asking *a = *state;
	void *env = a->e;

	json_decref(a->body);
	api_response_clear(&a->last);
	api_fini(&a->api);
	world_teardown(&env);
	free(a);
	return 0;
}

// The response, whether or not it may be told yet. target: with at most two parameters.
static unsigned ask(struct asking *a, const char *method, const char *target, const char *body)
{
	char copy[300], *at;
	struct api_request q = {.method = method,
		.path = copy,
		.body = body,
		.body_len = body ? strlen(body) : 0,
		.now = clock_now(),
		.wall_ns = clock_wall()};

	snprintf(copy, sizeof(copy), "%s", target);
	for (at = strchr(copy, '?'); at; at = strchr(at, '&')) {
		char *value;

		*at++ = 0;
		value = strchr(at, '=');
		*value++ = 0;
		q.query[q.query_count++] = (struct api_pair){at, value};
		at = value;
	}
	api_response_clear(&a->last);
	json_decref(a->body);
	api_handle(&a->api, &q, &a->last);
	a->body = a->last.body ? json_loadb(a->last.body, a->last.body_len, 0, NULL) : NULL;
	return a->last.status;
}

// "a.b.0.c" in the last answer.
static const json_t *at(const struct asking *a, const char *path)
{
	const json_t *value = a->body;
	char copy[100], *save;

	snprintf(copy, sizeof(copy), "%s", path);
	for (char *part = strtok_r(copy, ".", &save); part; part = strtok_r(NULL, ".", &save))
		value = json_is_array(value) ? json_array_get(value, strtoul(part, NULL, 10))
					     : json_object_get(value, part);
	return value;
}

static const char *text_at(const struct asking *a, const char *path)
{
	const char *text = json_string_value(at(a, path));

	return text ? text : "";
}

static json_int_t int_at(const struct asking *a, const char *path)
{
	return json_integer_value(at(a, path));
}

// Asks until the member is this number.
static void until(struct asking *a, const char *target, const char *path, json_int_t number)
{
	UNTIL(a->e, ask(a, "GET", target, NULL) == 200 && int_at(a, path) == number);
}

// ---- evaluations ----

static void test_an_evaluation_to_come_has_seen_no_node(void **state)
{
	struct asking *a = *state;
	const char *id;

	connect_host(a->e, HOST1, HOST("n1", "s1", ""), "s1");
	put_echo(a->e, 1, "x");
	UNTIL(a->e, told(a->e, HOST1, "run") == 1);
	UNTIL(a->e, ask(a, "GET", "/v1/evaluations?job=echo&status=complete", NULL) == 200 &&
			    json_array_size(at(a, "items.0.status.best")) == 1);
	id = json_object_iter_key(json_object_iter(a->e->clients[HOST1].table));
	report(a->e, HOST1,
		"{\"start\":\"s1\",\"instances\":[{\"id\":\"%s\",\"state\":\"failed\",\"reason\":"
		"\"no program\"}]}",
		id);
	UNTIL(a->e, ask(a, "GET", "/v1/evaluations?job=echo&status=pending", NULL) == 200 &&
			    text_at(a, "items.0.spec.wait_until")[0]);
	assert_int_equal(json_array_size(at(a, "items.0.status.best")), 0);
}

static void test_a_name_alone_is_one_of_the_default_namespace(void **state)
{
	struct asking *a = *state;

	put_echo(a->e, 1, "x");
	put(a->e, KIND_FUNCTION,
		"{\"metadata\":{\"name\":\"echo\",\"namespace\":\"other\"},\"spec\":{\"command\":["
		"\"x\"]}}");
	UNTIL(a->e, ask(a, "GET", "/v1/evaluations?status=blocked", NULL) == 200 &&
			    json_array_size(at(a, "items")) == 2);
	assert_int_equal(ask(a, "GET", "/v1/evaluations?job=echo&status=blocked", NULL), 200);
	assert_int_equal(json_array_size(at(a, "items")), 1);
	assert_string_equal(text_at(a, "items.0.metadata.namespace"), "default");
	assert_int_equal(ask(a, "GET", "/v1/evaluations?job=echo&namespace=other", NULL), 200);
	assert_string_equal(text_at(a, "items.0.metadata.namespace"), "other");
	// Of instances, too.
	connect_host(a->e, HOST1, HOST("n1", "s1", ""), "s1");
	UNTIL(a->e, told(a->e, HOST1, "run") == 2);
	assert_int_equal(ask(a, "GET", "/v1/instances", NULL), 200);
	assert_int_equal(json_array_size(at(a, "items")), 2);
	assert_int_equal(ask(a, "GET", "/v1/instances?function=echo", NULL), 200);
	assert_int_equal(json_array_size(at(a, "items")), 1);
	assert_string_equal(text_at(a, "items.0.metadata.namespace"), "default");
	assert_int_equal(ask(a, "GET", "/v1/instances?function=other/echo", NULL), 200);
	assert_int_equal(json_array_size(at(a, "items")), 1);
	assert_string_equal(text_at(a, "items.0.metadata.namespace"), "other");
	assert_int_equal(ask(a, "GET", "/v1/instances?job=none", NULL), 200);
	assert_int_equal(json_array_size(at(a, "items")), 0);
}

static void test_a_blocked_evaluation_says_what_it_waits_for(void **state)
{
	struct asking *a = *state;
	char path[100];

	put_echo(a->e, 3, "x");
	UNTIL(a->e, ask(a, "GET", "/v1/evaluations?job=echo&status=blocked", NULL) == 200 &&
			    json_array_size(at(a, "items")) == 1);
	assert_string_equal(text_at(a, "items.0.kind"), "Evaluation");
	assert_string_equal(text_at(a, "items.0.spec.job"), "echo");
	assert_string_equal(text_at(a, "items.0.status.waits_for"), "a node: there is none");
	assert_int_equal(int_at(a, "items.0.status.failed"), 3);
	snprintf(path, sizeof(path), "/v1/evaluations/%s", text_at(a, "items.0.metadata.name"));
	assert_int_equal(ask(a, "GET", path, NULL), 200);
	assert_string_equal(text_at(a, "status.state"), "blocked");
	assert_int_equal(ask(a, "GET", "/v1/health", NULL), 200);
	assert_int_equal(int_at(a, "evaluations.blocked"), 1);
	// A node that is too small: the resource is named.
	connect_host(a->e, HOST1,
		"{\"protocol\":{\"min\":1,\"max\":1},\"role\":\"host\",\"name\":\"n1\","
		"\"version\":\"9.9\",\"start\":\"s1\",\"address\":\"10.0.0.1:7880\","
		"\"capacity\":{\"cpu_milli\":250,\"memory\":8589934592}}",
		"s1");
	UNTIL(a->e, ask(a, "GET", "/v1/evaluations?job=default/echo&status=blocked", NULL) == 200 &&
			    int_at(a, "items.0.status.excluded_nodes.cpu") == 1);
	assert_non_null(strstr(text_at(a, "items.0.status.waits_for"), "room on nodes of 1 class"));
	// Pages: each has one, and the last one says so.
	assert_int_equal(ask(a, "GET", "/v1/evaluations?limit=1", NULL), 200);
	assert_int_equal(json_array_size(at(a, "items")), 1);
	assert_string_not_equal(text_at(a, "next"), "");
	assert_int_equal(ask(a, "GET", "/v1/evaluations?namespace=other", NULL), 200);
	assert_int_equal(json_array_size(at(a, "items")), 0);
	assert_int_equal(ask(a, "GET", "/v1/evaluations?status=waiting", NULL), 400);
	assert_int_equal(ask(a, "GET", "/v1/evaluations/999999", NULL), 404);
	assert_int_equal(ask(a, "GET", "/v1/evaluations/x1", NULL), 404);
}

// ---- plans ----

#define ECHO(more) "{\"spec\":{\"command\":[\"echo\"]" more "}}"

static void test_a_plan_is_what_is_then_done(void **state)
{
	struct asking *a = *state;
	uint64_t seq;

	connect_host(a->e, HOST1, HOST("n1", "s1", ""), "s1");
	connect_host(a->e, HOST2, HOST("n2", "s2", ""), "s2");
	UNTIL(a->e, ask(a, "GET", "/v1/nodes/n2", NULL) == 200);
	pass(a->e, 10 * NS_PER_MS);
	seq = a->e->registry.seq;
	UNTIL(a->e, ask(a, "PUT", "/v1/functions/default/echo?dry_run=1",
			    ECHO(",\"scale\":{\"min\":6,\"max\":9}")) == 200 &&
			    int_at(a, "plan.node_count") == 2);
	assert_string_equal(text_at(a, "action"), "create");
	assert_int_equal(int_at(a, "plan.place"), 6);
	assert_int_equal(int_at(a, "plan.unplaced"), 0);
	assert_int_equal(
		int_at(a, "plan.nodes.0.instances") + int_at(a, "plan.nodes.1.instances"), 6);
	assert_int_equal(a->e->registry.seq, seq);
	assert_int_equal(ask(a, "GET", "/v1/evaluations", NULL), 200);
	assert_int_equal(json_array_size(at(a, "items")), 0);
	assert_int_equal(ask(a, "PUT", "/v1/functions/default/echo",
				 ECHO(",\"scale\":{\"min\":6,\"max\":9}")),
		201);
	UNTIL(a->e, told(a->e, HOST1, "run") + told(a->e, HOST2, "run") == 6);
	obey(a->e, HOST1, "s1");
	obey(a->e, HOST2, "s2");
	until(a, "/v1/functions/default/echo", "status.ready", 6);
	// Another text and a constraint that none satisfies.
	assert_int_equal(
		ask(a, "PUT", "/v1/functions/default/echo?dry_run=1",
			ECHO(",\"scale\":{\"min\":6,\"max\":9},\"placement\":{\"constraints\":[{"
			     "\"attribute\":\"arch\",\"value\":\"arm\"}]}")),
		200);
	assert_int_equal(int_at(a, "plan.replace"), 6);
	assert_int_equal(int_at(a, "plan.replace_now"), 0);
	assert_true(int_at(a, "plan.unplaced") > 0);
	assert_int_equal(
		json_integer_value(json_object_get(at(a, "plan.excluded_nodes"), "arch = arm")), 2);
	assert_int_equal(ask(a, "DELETE", "/v1/functions/default/echo?dry_run=1", NULL), 200);
	assert_int_equal(int_at(a, "plan.stop"), 6);
	// What is not scheduled has none.
	assert_int_equal(ask(a, "PUT", "/v1/endpoints/e?dry_run=1",
				 "{\"spec\":{\"addresses\":[\"10.0.0.1:1\"],\"routes\":[\"r\"]}}"),
		200);
	assert_null(at(a, "plan"));
}

// ---- dispatch ----

static void put_render(struct asking *a)
{
	put(a->e, KIND_JOB,
		"{\"metadata\":{\"name\":\"render\"},\"spec\":{\"command\":[\"render\"],"
		"\"template\":{\"payload\":\"optional\",\"meta_required\":[\"zoom\"]}}}");
	UNTIL(a->e, ask(a, "GET", "/v1/jobs/default/render", NULL) == 200 &&
			    strcmp(text_at(a, "status.state"), "template") == 0);
}

#define DISPATCH "/v1/jobs/default/render/dispatch"

static void test_a_dispatch_is_told_when_it_is_durable(void **state)
{
	struct asking *a = *state;
	char child[64], path[120];

	put_render(a);
	assert_int_equal(
		ask(a, "POST", DISPATCH,
			"{\"text\":\"scene\",\"meta\":{\"zoom\":\"12\"},\"token\":\"once\"}"),
		201);
	assert_false(api_settled(&a->api, &a->last));
	snprintf(child, sizeof(child), "%s", text_at(a, "job"));
	assert_int_equal(strncmp(child, "render-", 7), 0);
	UNTIL(a->e, api_settled(&a->api, &a->last));
	// A commit that fails behind it takes nothing back.
	api_storage_failed(&a->api, &a->last, -EIO);
	assert_int_equal(a->last.status, 201);
	assert_int_equal(
		ask(a, "POST", DISPATCH, "{\"meta\":{\"zoom\":\"12\"},\"token\":\"once\"}"), 200);
	assert_string_equal(text_at(a, "job"), child);
	assert_true(json_is_false(at(a, "created")));
	assert_true(api_settled(&a->api, &a->last));
	// What was told is there after a crash, under the same token.
	stop(a->e);
	start(a->e);
	snprintf(path, sizeof(path), "/v1/jobs/default/%s", child);
	assert_int_equal(ask(a, "GET", path, NULL), 200);
	assert_string_equal(text_at(a, "status.parent"), "render");
	assert_int_equal(int_at(a, "status.payload_bytes"), 5);
	assert_int_equal(
		ask(a, "POST", DISPATCH, "{\"meta\":{\"zoom\":\"12\"},\"token\":\"once\"}"), 200);
	assert_string_equal(text_at(a, "job"), child);
	assert_true(api_settled(&a->api, &a->last));
}

// The store refuses: it is not told as done, nor as undone, and is there when the store is back.
static void test_a_dispatch_that_cannot_be_stored_says_so(void **state)
{
	struct asking *a = *state;
	uint64_t index;

	put_render(a);
	a->e->broken = true;
	assert_int_equal(ask(a, "POST", DISPATCH, "{\"meta\":{\"zoom\":\"1\"}}"), 201);
	index = a->last.wait_index;
	pass(a->e, 20 * NS_PER_MS);
	assert_false(api_settled(&a->api, &a->last));
	api_storage_failed(&a->api, &a->last, -EIO);
	assert_int_equal(a->last.status, 500);
	assert_non_null(strstr(a->last.body, "could not be stored yet"));
	assert_non_null(strstr(a->last.body, "a dispatch with the same token"));
	a->e->broken = false;
	UNTIL(a->e, a->e->orchestrator.scheduler.durable_index >= index);
	until(a, "/v1/jobs/default/render", "status.children.alive", 1);
}

static void expect_refused(struct asking *a, const char *target, const char *body, unsigned status,
	const char *field, const char *part)
{
	assert_int_equal(ask(a, "POST", target, body), status);
	assert_string_equal(text_at(a, "error.field"), field);
	if (!strstr(text_at(a, "error.message"), part))
		fail_msg("'%s' does not say '%s'", text_at(a, "error.message"), part);
	assert_int_equal(a->last.wait_index, 0);
}

static void test_dispatches_are_checked(void **state)
{
	struct asking *a = *state;
	char *large = malloc(20000);

	put_render(a);
	put(a->e, KIND_JOB, "{\"metadata\":{\"name\":\"plain\"},\"spec\":{\"command\":[\"x\"]}}");
	UNTIL(a->e, ask(a, "GET", "/v1/jobs/default/plain", NULL) == 200 &&
			    *text_at(a, "status.state"));
	expect_refused(a, DISPATCH, "{}", 400, "", "zoom");
	expect_refused(a, DISPATCH, "{\"meta\":{\"zoom\":\"1\",\"x\":\"2\"}}", 400, "", "x");
	expect_refused(a, DISPATCH, "{\"meta\":{\"zoom\":1}}", 400, "meta.zoom", "string");
	expect_refused(a, DISPATCH, "{\"meta\":[]}", 400, "meta", "object");
	expect_refused(a, DISPATCH, "{\"payload\":\"?\"}", 400, "payload", "Base64");
	expect_refused(a, DISPATCH, "{\"payload\":\"\",\"text\":\"\"}", 400, "text", "not both");
	expect_refused(a, DISPATCH, "{\"playload\":\"\"}", 400, "playload", "no field");
	expect_refused(a, DISPATCH, "[]", 400, "", "JSON object");
	expect_refused(a, DISPATCH, "{\"token\":7}", 400, "token", "string");
	expect_refused(a, "/v1/jobs/default/none/dispatch", "{}", 404, "", "no job default/none");
	expect_refused(a, "/v1/jobs/default/plain/dispatch", "{}", 400, "", "");
	snprintf(large, 20000, "{\"meta\":{\"zoom\":\"1\"},\"text\":\"%019000d\"}", 0);
	expect_refused(a, DISPATCH, large, 413, "payload", "16384");
	free(large);
	until(a, "/v1/jobs/default/render", "status.children.alive", 0);
}

static void test_a_scheduled_job_is_launched_now(void **state)
{
	struct asking *a = *state;

	put(a->e, KIND_JOB,
		"{\"metadata\":{\"name\":\"nightly\"},\"spec\":{\"command\":[\"x\"],"
		"\"schedule\":{\"cron\":[\"0 3 1 1 *\"]}}}");
	UNTIL(a->e, ask(a, "GET", "/v1/jobs/default/nightly", NULL) == 200 &&
			    strcmp(text_at(a, "status.state"), "scheduled") == 0);
	expect_refused(
		a, "/v1/jobs/default/nightly/dispatch", "{\"text\":\"x\"}", 400, "", "no template");
	assert_int_equal(ask(a, "POST", "/v1/jobs/default/nightly/dispatch", NULL), 201);
	assert_int_equal(strncmp(text_at(a, "job"), "nightly-", 8), 0);
	UNTIL(a->e, api_settled(&a->api, &a->last));
	// Within the same second it is that one, later it still runs.
	pass(a->e, 1100 * NS_PER_MS);
	expect_refused(a, "/v1/jobs/default/nightly/dispatch", "{}", 409, "", "has not ended");
	until(a, "/v1/jobs/default/nightly", "status.launch.launches", 1);
}

// ---- deployments ----

#define ROLLOUT "/v1/functions/default/echo/deployment"

static void put_version(struct asking *a, const char *level)
{
	put(a->e, KIND_FUNCTION,
		"{\"metadata\":{\"name\":\"echo\"},\"spec\":{\"command\":[\"echo\"],\"env\":{"
		"\"LEVEL\":\"%s\"},\"scale\":{\"min\":4,\"max\":4},\"update\":{\"canary\":1}}}",
		level);
}

static size_t events_of_type(struct asking *a, const char *type)
{
	const struct event *event;
	uint64_t after = registry_event_floor(&a->e->registry);
	char want[100];
	size_t n = 0;
	bool gone;

	snprintf(want, sizeof(want),
		"\"type\":\"%s\",\"kind\":\"Function\",\"namespace\":\"default\",\"name\":\"echo\"",
		type);
	while ((event = registry_event_after(&a->e->registry, after, &gone))) {
		n += strstr(event->line, want) != NULL;
		after = event->seq;
	}
	return n;
}

static void test_a_rollout_waits_for_its_promotion(void **state)
{
	struct asking *a = *state;

	connect_host(a->e, HOST1, HOST("n1", "s1", ""), "s1");
	put_version(a, "one");
	UNTIL(a->e, told(a->e, HOST1, "run") == 4);
	expect_refused(a, ROLLOUT, "{\"action\":\"promote\"}", 409, "", "");
	obey(a->e, HOST1, "s1");
	until(a, "/v1/functions/default/echo", "status.ready", 4);
	assert_int_equal(
		ask(a, "PUT", "/v1/functions/default/echo?dry_run=1",
			ECHO(",\"env\":{\"LEVEL\":\"two\"},\"scale\":{\"min\":4,\"max\":4},"
			     "\"update\":{\"canary\":1}")),
		200);
	assert_int_equal(int_at(a, "plan.canaries"), 1);
	assert_int_equal(int_at(a, "plan.place"), 1);
	put_version(a, "two");
	UNTIL(a->e, told(a->e, HOST1, "run") == 5);
	expect_refused(a, ROLLOUT, "{\"action\":\"promote\"}", 409, "", "canaries are ready");
	expect_refused(a, ROLLOUT, "{\"action\":\"resume\"}", 409, "", "it is running");
	expect_refused(a, ROLLOUT, "{\"action\":\"restart\"}", 400, "action", "must be promote");
	expect_refused(a, ROLLOUT, "{}", 400, "action", "must be promote");
	expect_refused(a, "/v1/jobs/default/echo/deployment", "{\"action\":\"pause\"}", 404, "",
		"no job default/echo");
	obey(a->e, HOST1, "s1");
	UNTIL(a->e, ask(a, "GET", "/v1/functions/default/echo", NULL) == 200 &&
			    json_is_true(at(a, "status.deployment.waits_for_promotion")));
	assert_int_equal(int_at(a, "status.deployment.groups.0.healthy"), 1);
	assert_int_equal(told(a->e, HOST1, "stop"), 0);
	assert_int_equal(ask(a, "POST", ROLLOUT, "{\"action\":\"promote\"}"), 200);
	assert_true(json_is_true(at(a, "groups.0.promoted")));
	assert_false(api_settled(&a->api, &a->last));
	UNTIL(a->e, api_settled(&a->api, &a->last));
	assert_int_equal(events_of_type(a, "promote"), 1);
	for (int i = 0; i < 100; i++) {
		obey(a->e, HOST1, "s1");
		pass(a->e, 5 * NS_PER_MS);
		if (ask(a, "GET", "/v1/functions/default/echo", NULL) == 200 &&
			strcmp(text_at(a, "status.deployment.state"), "successful") == 0)
			break;
	}
	assert_string_equal(text_at(a, "status.deployment.state"), "successful");
	assert_int_equal(int_at(a, "status.versions.2"), 4);
	// Each step has its event, whether it was asked for or not.
	UNTIL(a->e, events_of_type(a, "rollout_successful") == 1);
	assert_int_equal(events_of_type(a, "rollout_running"), 1);
	assert_int_equal(events_of_type(a, "promote"), 1);
}

// ---- events ----

static size_t events_with(struct asking *a, const char *part)
{
	const struct event *event;
	uint64_t after = registry_event_floor(&a->e->registry);
	size_t n = 0;
	bool gone;

	while ((event = registry_event_after(&a->e->registry, after, &gone))) {
		n += strstr(event->line, part) != NULL;
		after = event->seq;
	}
	return n;
}

static void test_a_storm_does_not_fill_the_history(void **state)
{
	struct asking *a = *state;
	struct scheduler *s = &a->e->orchestrator.scheduler;
	const struct sched_snapshot *now;
	struct sched_eval e = {
		.id = 77, .status = SCHED_EVAL_FAILED, .explain = {.attempts = 5, .wanted = 3}};
	struct sched_change change = {.type = SCHED_EVAL_PUT, .eval = &e};

	put_echo(a->e, 1, "x");
	UNTIL(a->e, ask(a, "GET", "/v1/evaluations?job=echo", NULL) == 200 &&
			    json_array_size(at(a, "items")));
	now = sched_snapshot_pin(s->reader, s->core->state);
	for (int i = 0; i < SCHEDULER_NOTES_MAX + 30; i++)
		scheduler_note(s, now, &change);
	// A minute later they are told of.
	s->notes.since -= 61 * NS_PER_SEC;
	scheduler_note(s, now, &change);
	// What did not fail is no event.
	e.status = SCHED_EVAL_COMPLETE;
	scheduler_note(s, now, &change);
	sched_reader_unpin(s->reader);
	pass(a->e, 10 * NS_PER_MS);
	assert_int_equal(s->notes.left_out, 30);
	assert_int_equal(
		events_with(a, "\"type\":\"failed\",\"kind\":\"Evaluation\",\"name\":\"77\","
			       "\"text\":\"of default/echo, because it was changed: placed "
			       "0 of 3; another"),
		SCHEDULER_NOTES_MAX + 1);
	assert_int_equal(events_with(a, "(30 events before it were left out)"), 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
#define ASK(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		ASK(test_an_evaluation_to_come_has_seen_no_node),
		ASK(test_a_name_alone_is_one_of_the_default_namespace),
		ASK(test_a_blocked_evaluation_says_what_it_waits_for),
		ASK(test_a_plan_is_what_is_then_done),
		ASK(test_a_dispatch_is_told_when_it_is_durable),
		ASK(test_a_dispatch_that_cannot_be_stored_says_so),
		ASK(test_dispatches_are_checked),
		ASK(test_a_scheduled_job_is_launched_now),
		ASK(test_a_rollout_waits_for_its_promotion),
		ASK(test_a_storm_does_not_fill_the_history),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
