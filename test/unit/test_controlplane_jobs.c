// SPDX-License-Identifier: Apache-2.0
// Jobs from the manifest to hosts and back: what hosts are told, how jobs end, what they make,
// quotas, drains with a deadline, nodes that are waited for, preemption, restarts of the control
// plane.
#include "test/unit/hosts_world.h"

#include "controlplane/api.h"
#include "controlplane/api_scheduler.h"
#include "controlplane/orchestrator_internal.h"

#define HOST_1 HOST("n1", "s1", ",\"machine\":\"m1\"")
#define HOST_2 HOST("n2", "s2", ",\"address\":\"10.0.0.2:7880\"")

// ---- words ----

static const json_t *item_at(struct env *e, int i, size_t n)
{
	void *at = json_object_iter(e->clients[i].table);

	while (at && n--)
		at = json_object_iter_next(e->clients[i].table, at);
	return json_object_iter_value(at);
}

static const json_t *spec_at(struct env *e, int i, size_t n)
{
	return json_object_get(item_at(e, i, n), "spec");
}

static const char *text(const json_t *object, const char *name)
{
	const char *value = json_string_value(json_object_get(object, name));

	return value ? value : "";
}

// Reports a state of all that the host is told to run.
static void say(struct env *e, int i, const char *start, const char *state)
{
	json_t *all = json_array(), *report_json;
	bool ready = strcmp(state, "running") == 0;
	const char *key;
	json_t *item;
	char *line;

	json_object_foreach(e->clients[i].table, key, item)
	{
		if (strcmp(text(item, "desired"), "run") == 0)
			json_array_append_new(all, json_pack("{s:s, s:s, s:b}", "id", key, "state",
							   state, "ready", (int)ready));
	}
	report_json = json_pack("{s:s, s:o}", "start", start, "instances", all);
	line = json_dumps(report_json, 0);
	report(e, i, "%s", line);
	free(line);
	json_decref(report_json);
}

static json_int_t job_is(struct env *e, const char *name, const char *member)
{
	json_t *status = scheduler_job_status(&e->orchestrator.scheduler, "default", name);
	json_int_t value = json_integer_value(json_object_get(status, member));

	json_decref(status);
	return value;
}

static bool state_is(struct env *e, const char *name, const char *state)
{
	json_t *status = scheduler_job_status(&e->orchestrator.scheduler, "default", name);
	bool is = strcmp(text(status, "state"), state) == 0;

	json_decref(status);
	return is;
}

static uint32_t evaluations(struct env *e)
{
	struct scheduler *s = &e->orchestrator.scheduler;
	uint32_t made;

	pthread_mutex_lock(&s->lock);
	made = (uint32_t)s->core->evals_made;
	pthread_mutex_unlock(&s->lock);
	return made;
}

static void dispatch(struct env *e, const char *payload, char child[64])
{
	struct sched_dispatch d = {.payload = payload, .payload_len = (uint32_t)strlen(payload)};
	struct scheduler_child made;

	assert_int_equal(
		scheduler_dispatch(&e->orchestrator.scheduler, "default", "t", &d, &made), 0);
	snprintf(child, 64, "%s", made.name);
}

#define JOB(name, spec) "{\"metadata\":{\"name\":\"" name "\"},\"spec\":" spec "}"

// ---- tests ----

static void test_a_batch_job_runs_to_its_end(void **state)
{
	struct env *e = *state;
	bool seen[3] = {false};

	connect_gateway(e);
	connect_host(e, HOST1, HOST_1, "s1");
	put(e, KIND_JOB, JOB("b", "{\"command\":[\"tile\"],\"count\":3}"));
	UNTIL(e, told(e, HOST1, "run") == 3);
	for (size_t i = 0; i < 3; i++) {
		const json_t *spec = spec_at(e, HOST1, i);
		json_int_t index = json_integer_value(json_object_get(spec, "index"));

		assert_string_equal(text(spec, "kind"), "job");
		assert_string_equal(text(spec, "job"), "b");
		assert_string_equal(text(spec, "group"), "main");
		assert_in_range(index, 0, 2);
		seen[index] = true;
	}
	assert_true(seen[0] && seen[1] && seen[2]);
	say(e, HOST1, "s1", "running");
	UNTIL(e, job_is(e, "b", "running") == 3);
	assert_true(state_is(e, "b", "running"));
	// Nobody is sent there.
	assert_null(json_object_get(e->clients[GATEWAY].table, "b"));
	say(e, HOST1, "s1", "exited");
	UNTIL(e, job_is(e, "b", "complete") == 3 && state_is(e, "b", "complete"));
	UNTIL(e, json_object_size(e->clients[HOST1].table) == 0);
	// What is complete is not run again, whatever comes.
	connect_host(e, HOST2, HOST_2, "s2");
	put(e, KIND_JOB, JOB("b", "{\"command\":[\"tile\"],\"count\":3,\"priority\":60}"));
	pass(e, 50 * NS_PER_MS);
	assert_int_equal(told(e, HOST1, "run") + told(e, HOST2, "run"), 0);
}

// As long as one of its instances is to be tried again it is not complete.
static void test_a_batch_job_fails_in_part(void **state)
{
	struct env *e = *state;

	connect_host(e, HOST1, HOST_1, "s1");
	put(e, KIND_JOB, JOB("b", "{\"command\":[\"tile\"],\"count\":2}"));
	UNTIL(e, told(e, HOST1, "run") == 2);
	report(e, HOST1,
		"{\"start\":\"s1\",\"instances\":[{\"id\":\"%s\",\"state\":\"exited\"},{\"id\":"
		"\"%s\",\"state\":\"failed\",\"exit\":{\"code\":3}}]}",
		text(item_at(e, HOST1, 0), "id"), text(item_at(e, HOST1, 1), "id"));
	UNTIL(e, job_is(e, "b", "complete") == 1 && job_is(e, "b", "failed") == 1);
	assert_true(state_is(e, "b", "failing"));
}

// Of a function an exit is handled where it runs; a job that serves has failed if it ends.
static void test_a_service_that_ends_comes_back(void **state)
{
	struct env *e = *state;
	json_t *why = NULL;

	connect_host(e, HOST1, HOST_1, "s1");
	put(e, KIND_JOB, JOB("s", "{\"command\":[\"x\"],\"type\":\"service\"}"));
	UNTIL(e, told(e, HOST1, "run") == 1);
	say(e, HOST1, "s1", "running");
	UNTIL(e, job_is(e, "s", "ready") == 1);
	say(e, HOST1, "s1", "exited");
	// Not at once: in 30 s, and until then it is not complete.
	for (;; json_decref(why)) {
		const char *said;

		step(e);
		why = scheduler_explain(&e->orchestrator.scheduler, "default", "s");
		said = text(why, "trigger");
		if (job_is(e, "s", "running") == 0 && *said)
			break;
	}
	json_decref(why);
	assert_false(state_is(e, "s", "complete"));
}

static void test_groups_have_commands_of_their_own(void **state)
{
	struct env *e = *state;
	size_t first;

	connect_host(e, HOST1, HOST_1, "s1");
	put(e, KIND_JOB,
		JOB("g", "{\"command\":[\"a\"],\"groups\":[{\"name\":\"a\"},{\"name\":\"b\","
			 "\"command\":[\"b\"]}]}"));
	UNTIL(e, told(e, HOST1, "run") == 2);
	first = strcmp(text(spec_at(e, HOST1, 0), "group"), "a") == 0 ? 0 : 1;
	assert_string_equal(json_string_value(json_array_get(
				    json_object_get(spec_at(e, HOST1, first), "command"), 0)),
		"a");
	assert_string_equal(text(spec_at(e, HOST1, 1 - first), "group"), "b");
	assert_string_equal(json_string_value(json_array_get(
				    json_object_get(spec_at(e, HOST1, 1 - first), "command"), 0)),
		"b");
}

// A host says how much disk it has; one that does not has as much as is asked for.
static void test_disk_is_booked(void **state)
{
	struct env *e = *state;

	connect_host(e, HOST1,
		HOST("n1", "s1", ",\"capacity\":{\"cpu_milli\":4000,\"disk\":1073741824}"), "s1");
	UNTIL(e, fleet_node(&e->orchestrator.fleet, "n1"));
	put(e, KIND_JOB,
		JOB("d", "{\"command\":[\"x\"],\"count\":3,\"resources\":{\"disk\":\"600Mi\"}}"));
	UNTIL(e, told(e, HOST1, "run") == 1 && state_is(e, "d", "waiting"));
	connect_host(e, HOST2, HOST_2, "s2");
	UNTIL(e, told(e, HOST2, "run") == 2);
	assert_int_equal(told(e, HOST1, "run"), 1);
}

static void test_one_on_each_node(void **state)
{
	struct env *e = *state;

	connect_host(e, HOST1, HOST_1, "s1");
	put(e, KIND_JOB, JOB("sys", "{\"command\":[\"x\"],\"type\":\"system\"}"));
	UNTIL(e, told(e, HOST1, "run") == 1);
	connect_host(e, HOST2, HOST_2, "s2");
	UNTIL(e, told(e, HOST2, "run") == 1);
	assert_int_equal(told(e, HOST1, "run"), 1);
}

// A template runs nothing; what it makes outlives a restart, and goes with it.
static void test_dispatched_jobs(void **state)
{
	struct env *e = *state;
	char child[64], other[64];
	json_t *shown;

	connect_host(e, HOST1, HOST_1, "s1");
	put(e, KIND_JOB, JOB("t", "{\"command\":[\"x\"],\"template\":{}}"));
	UNTIL(e, state_is(e, "t", "template"));
	assert_int_equal(told(e, HOST1, "run"), 0);
	dispatch(e, "hello", child);
	UNTIL(e, told(e, HOST1, "run") == 1);
	assert_string_equal(text(spec_at(e, HOST1, 0), "job"), child);
	assert_string_equal(text(spec_at(e, HOST1, 0), "payload"), "aGVsbG8=");
	dispatch(e, "other", other);
	UNTIL(e, told(e, HOST1, "run") == 2);
	stop(e);
	start(e);
	shown = scheduler_child(&e->orchestrator.scheduler, "default", child);
	assert_non_null(shown);
	assert_string_equal(text(json_object_get(shown, "status"), "parent"), "t");
	json_decref(shown);
	shown = scheduler_children(&e->orchestrator.scheduler, NULL, "t", NULL, 10);
	assert_int_equal(json_array_size(shown), 2);
	json_decref(shown);
	UNTIL(e, e->clients[HOST1].closed);
	connect_host(e, HOST1, HOST_1, "s1");
	UNTIL(e, told(e, HOST1, "run") == 2);
	say(e, HOST1, "s1", "running");
	UNTIL(e, job_is(e, child, "running") == 1);
	assert_int_equal(registry_delete(&e->registry, KIND_JOB, "default/t", 1), 0);
	UNTIL(e, told(e, HOST1, "run") == 0);
	obey(e, HOST1, "s1");
	UNTIL(e, json_object_size(e->clients[HOST1].table) == 0);
}

// What was made by the job that had the name before goes all the same.
static void test_a_name_is_used_again(void **state)
{
	struct env *e = *state;
	char child[64];

	connect_host(e, HOST1, HOST_1, "s1");
	put(e, KIND_JOB, JOB("t", "{\"command\":[\"x\"],\"template\":{}}"));
	UNTIL(e, state_is(e, "t", "template"));
	dispatch(e, "1", child);
	UNTIL(e, told(e, HOST1, "run") == 1);
	assert_int_equal(registry_delete(&e->registry, KIND_JOB, "default/t", 1), 0);
	put(e, KIND_FUNCTION, JOB("t", "{\"command\":[\"f\"]}"));
	UNTIL(e, told(e, HOST1, "run") == 1 && told(e, HOST1, "stop") == 1);
	obey(e, HOST1, "s1");
	UNTIL(e, json_object_size(e->clients[HOST1].table) == 1);
	assert_string_equal(text(item_at(e, HOST1, 0), "function"), "t");
	assert_null(scheduler_child(&e->orchestrator.scheduler, "default", child));
	// And the other way round.
	assert_int_equal(registry_delete(&e->registry, KIND_FUNCTION, "default/t", 1), 0);
	put(e, KIND_JOB, JOB("t", "{\"command\":[\"x\"],\"template\":{}}"));
	UNTIL(e, told(e, HOST1, "run") == 0);
	obey(e, HOST1, "s1");
	UNTIL(e, json_object_size(e->clients[HOST1].table) == 0);
	dispatch(e, "2", child);
	UNTIL(e, told(e, HOST1, "run") == 1);
	assert_string_equal(text(spec_at(e, HOST1, 0), "job"), child);
}

// The control plane dies between the deletion of a job and the scheduler's word on it.
static void test_strays_go_with_their_children(void **state)
{
	struct env *e = *state;
	char child[64];

	connect_host(e, HOST1, HOST_1, "s1");
	put(e, KIND_JOB, JOB("t", "{\"command\":[\"x\"],\"template\":{}}"));
	put(e, KIND_JOB, JOB("kept", "{\"command\":[\"x\"]}"));
	put(e, KIND_QUOTA, "{\"metadata\":{\"name\":\"default\"},\"spec\":{\"instances\":9}}");
	UNTIL(e, state_is(e, "t", "template"));
	dispatch(e, "", child);
	UNTIL(e, told(e, HOST1, "run") == 2);
	registry_observe(&e->registry, NULL, NULL);
	assert_int_equal(registry_delete(&e->registry, KIND_JOB, "default/t", 1), 0);
	assert_int_equal(registry_delete(&e->registry, KIND_QUOTA, "default", 1), 0);
	assert_int_equal(registry_flush(&e->registry), 0);
	stop(e);
	start(e);
	UNTIL(e, e->clients[HOST1].closed);
	connect_host(e, HOST1, HOST_1, "s1");
	UNTIL(e, told(e, HOST1, "run") == 1);
	obey(e, HOST1, "s1");
	UNTIL(e, json_object_size(e->clients[HOST1].table) == 1);
	assert_string_equal(text(spec_at(e, HOST1, 0), "job"), "kept");
	assert_null(scheduler_quota_status(&e->orchestrator.scheduler, "default"));
}

// What is stored is put again at each start: that is no event.
static void test_a_start_alone_evaluates_nothing(void **state)
{
	struct env *e = *state;
	uint32_t made;

	connect_host(e, HOST1, HOST_1, "s1");
	put(e, KIND_FUNCTION,
		JOB("f", "{\"command\":[\"x\"],\"placement\":{\"constraints\":[{\"attribute\":"
			 "\"unique.node.name\",\"value\":\"n1\"}],\"spreads\":[{\"attribute\":"
			 "\"z\"}]},"
			 "\"resources\":{\"ports\":[80]},\"update\":{\"max_parallel\":7}}"));
	put(e, KIND_JOB,
		JOB("g", "{\"command\":[\"x\"],\"groups\":[{\"name\":\"a\"},{\"name\":\"b\","
			 "\"placement\":{\"near\":[\"f\"]}}]}"));
	put(e, KIND_JOB, JOB("p", "{\"command\":[\"x\"],\"schedule\":{\"cron\":[\"0 0 1 1 *\"]}}"));
	put(e, KIND_QUOTA, "{\"metadata\":{\"name\":\"default\"},\"spec\":{\"instances\":9}}");
	UNTIL(e, told(e, HOST1, "run") == 3);
	stop(e);
	start(e);
	made = evaluations(e);
	orchestrator_meet_jobs(&e->orchestrator);
	orchestrator_meet_nodes(&e->orchestrator);
	assert_int_equal(evaluations(e), made);
	assert_int_equal(job_is(e, "f", "version"), 1);
	assert_int_equal(job_is(e, "g", "version"), 1);
	assert_int_equal(job_is(e, "p", "version"), 1);
}

static void test_a_quota_holds_back(void **state)
{
	struct env *e = *state;
	json_t *used;

	connect_host(e, HOST1, HOST_1, "s1");
	put(e, KIND_QUOTA, "{\"metadata\":{\"name\":\"default\"},\"spec\":{\"instances\":2}}");
	put(e, KIND_JOB, JOB("b", "{\"command\":[\"x\"],\"count\":5}"));
	UNTIL(e, told(e, HOST1, "run") == 2 && state_is(e, "b", "waiting"));
	pass(e, 30 * NS_PER_MS);
	assert_int_equal(told(e, HOST1, "run"), 2);
	put(e, KIND_QUOTA, "{\"metadata\":{\"name\":\"default\"},\"spec\":{\"instances\":4}}");
	UNTIL(e, told(e, HOST1, "run") == 4);
	used = scheduler_quota_status(&e->orchestrator.scheduler, "default");
	assert_int_equal(json_integer_value(json_object_get(used, "instances")), 4);
	assert_int_equal(json_integer_value(json_object_get(used, "memory")), 4 * (128 << 20));
	json_decref(used);
	assert_int_equal(registry_delete(&e->registry, KIND_QUOTA, "default", 1), 0);
	UNTIL(e, told(e, HOST1, "run") == 5);
}

static bool deployment_is(struct env *e, const char *name, const char *state)
{
	json_t *now = scheduler_deployment(&e->orchestrator.scheduler, "default", name);
	bool is = strcmp(text(now, "state"), state) == 0;

	json_decref(now);
	return is;
}

// The version that failed is still what is stored; neither a start nor another count tries it
// again.
static void test_what_was_reverted_stays_so(void **state)
{
	static const char function[] =
		"{\"metadata\":{\"name\":\"echo\"},\"spec\":{\"command\":[\"x\"],\"env\":{\"V\":"
		"\"%d\"},\"scale\":{\"min\":%d},\"update\":{\"auto_revert\":true}}}";
	struct env *e = *state;

	connect_host(e, HOST1, HOST_1, "s1");
	put(e, KIND_FUNCTION, function, 1, 1);
	UNTIL(e, told(e, HOST1, "run") == 1);
	obey(e, HOST1, "s1");
	UNTIL(e, deployment_is(e, "echo", "successful"));
	put(e, KIND_FUNCTION, function, 2, 1);
	UNTIL(e, told(e, HOST1, "run") == 2);
	for (size_t i = 0; i < 2; i++)
		if (json_integer_value(json_object_get(item_at(e, HOST1, i), "version")) == 2)
			report(e, HOST1,
				"{\"start\":\"s1\",\"instances\":[{\"id\":\"%s\",\"state\":"
				"\"failed\"}]}",
				text(item_at(e, HOST1, i), "id"));
	UNTIL(e, job_is(e, "echo", "version") == 3 && told(e, HOST1, "run") == 1);
	assert_string_equal(text(json_object_get(spec_at(e, HOST1, 0), "env"), "V"), "1");
	stop(e);
	start(e);
	assert_int_equal(job_is(e, "echo", "version"), 3);
	UNTIL(e, e->clients[HOST1].closed);
	connect_host(e, HOST1, HOST_1, "s1");
	obey(e, HOST1, "s1");
	UNTIL(e, job_is(e, "echo", "ready") == 1);
	put(e, KIND_FUNCTION, function, 2, 2);
	UNTIL(e, told(e, HOST1, "run") == 2);
	for (size_t i = 0; i < 2; i++)
		assert_string_equal(text(json_object_get(spec_at(e, HOST1, i), "env"), "V"), "1");
	// Another one is.
	put(e, KIND_FUNCTION, function, 3, 2);
	UNTIL(e, told(e, HOST1, "run") > 2);
}

// However many there are, what hosts are told of them is there once.
static void test_instances_share_what_hosts_are_told(void **state)
{
	struct env *e = *state;
	struct fleet *f = &e->orchestrator.fleet;
	const struct strmap_node *at;
	const json_t *shared = NULL;
	size_t n = 0;

	connect_host(e, HOST1, HOST_1, "s1");
	put(e, KIND_JOB,
		JOB("b", "{\"command\":[\"x\"],\"count\":30,\"resources\":{\"cpu_milli\":10}}"));
	UNTIL(e, told(e, HOST1, "run") == 30);
	for (at = strmap_next(&f->instances, NULL); at; at = strmap_next(&f->instances, at)) {
		const struct fleet_instance *i = container_of(
			(struct strmap_node *)(uintptr_t)at, struct fleet_instance, node);

		assert_true(!shared || shared == i->spec);
		shared = i->spec;
		n++;
	}
	assert_int_equal(n, 30);
	assert_null(json_object_get(shared, "index"));
}

// There is nowhere else to go, so a gentle drain waits; when its time is over it does not.
static void test_a_drain_ends_at_its_deadline(void **state)
{
	struct env *e = *state;
	const struct resource *res;
	struct fleet_node *n;

	connect_host(e, HOST1, HOST_1, "s1");
	put_echo(e, 2, "a");
	UNTIL(e, told(e, HOST1, "run") == 2);
	obey(e, HOST1, "s1");
	put(e, KIND_NODE, "{\"metadata\":{\"name\":\"n1\"},\"spec\":{\"drain\":true}}");
	pass(e, 50 * NS_PER_MS);
	n = fleet_node(&e->orchestrator.fleet, "n1");
	assert_true(n->draining);
	assert_true(n->drain_until == NS_NEVER);
	assert_int_equal(told(e, HOST1, "run"), 2);
	// The resource was changed long ago, as after a restart: its time is over at once.
	put(e, KIND_NODE,
		"{\"metadata\":{\"name\":\"n1\"},\"spec\":{\"drain\":true,"
		"\"drain_deadline_ms\":60000}}");
	assert_int_equal(registry_flush(&e->registry), 0);
	res = registry_get(&e->registry, KIND_NODE, "n1");
	assert_true(res->updated_ns < clock_wall() - 60 * NS_PER_SEC);
	UNTIL(e, told(e, HOST1, "run") == 0);
	UNTIL(e, n->drain_until == NS_NEVER);
}

static void test_a_deadline_outlives_a_restart(void **state)
{
	struct env *e = *state;
	const struct resource *res;
	struct schema_error error;
	struct fleet_node *n;
	json_t *in, *object;
	ns_t until;

	connect_host(e, HOST1, HOST_1, "s1");
	UNTIL(e, registry_get(&e->registry, KIND_NODE, "n1"));
	in = json_pack("{s:{s:s}, s:{s:b, s:i}}", "metadata", "name", "n1", "spec", "drain", 1,
		"drain_deadline_ms", 600000);
	object = schema_normalize(&kinds[KIND_NODE], in, &error);
	assert_int_equal(registry_put(&e->registry, KIND_NODE, object, clock_wall(), &res), 0);
	assert_int_equal(registry_flush(&e->registry), 0);
	json_decref(object);
	json_decref(in);
	until = fleet_node(&e->orchestrator.fleet, "n1")->drain_until;
	assert_true(
		until > clock_now() + 500 * NS_PER_SEC && until < clock_now() + 600 * NS_PER_SEC);
	assert_true(orchestrator_next(&e->orchestrator) <= until);
	stop(e);
	start(e);
	n = fleet_node(&e->orchestrator.fleet, "n1");
	assert_true(llabs(n->drain_until - until) < NS_PER_SEC);
	// It is still to come, so nothing is stopped; the end of the drain ends it.
	orchestrator_tick(&e->orchestrator, clock_now());
	assert_true(llabs(n->drain_until - until) < NS_PER_SEC);
	put(e, KIND_NODE, "{\"metadata\":{\"name\":\"n1\"},\"spec\":{}}");
	assert_int_equal(registry_flush(&e->registry), 0);
	assert_true(n->drain_until == NS_NEVER);
}

// The host is back within lost_after: what it has goes on, what took its place is stopped.
static void test_a_node_that_is_waited_for(void **state)
{
	struct env *e = *state;
	char id[40];

	connect_gateway(e);
	connect_host(e, HOST1, HOST_1, "s1");
	put(e, KIND_FUNCTION,
		JOB("echo", "{\"command\":[\"x\"],\"disconnect\":{\"lost_after_ms\":600000}}"));
	UNTIL(e, told(e, HOST1, "run") == 1);
	snprintf(id, sizeof(id), "%s",
		json_object_iter_key(json_object_iter(e->clients[HOST1].table)));
	obey(e, HOST1, "s1");
	UNTIL(e, targets_are(e, "n1@1x1"));
	connect_host(e, HOST2, HOST_2, "s2");
	leave(e, HOST1);
	UNTIL(e, told(e, HOST2, "run") == 1 && job_is(e, "echo", "unknown") == 1);
	assert_int_equal(told(e, HOST1, "stop"), 0);
	obey(e, HOST2, "s2");
	UNTIL(e, targets_are(e, "n2@1x1"));
	// Its first report says that all is as it was.
	dial(e, HOST1, HOST_1);
	UNTIL(e, e->clients[HOST1].up);
	watch(e, HOST1);
	report(e, HOST1,
		"{\"start\":\"s1\",\"instances\":[{\"id\":\"%s\",\"state\":\"running\","
		"\"ready\":true}]}",
		id);
	UNTIL(e, told(e, HOST1, "run") + told(e, HOST2, "run") == 1);
	UNTIL(e, job_is(e, "echo", "unknown") == 0 && job_is(e, "echo", "ready") == 1);
	assert_int_equal(job_is(e, "echo", "lost"), 0);
}

// It is back, but had to begin anew: the one that took its place serves on.
static void test_a_node_that_is_back_without_it(void **state)
{
	struct env *e = *state;

	connect_host(e, HOST1, HOST_1, "s1");
	put(e, KIND_FUNCTION,
		JOB("echo", "{\"command\":[\"x\"],\"disconnect\":{\"lost_after_ms\":600000}}"));
	UNTIL(e, told(e, HOST1, "run") == 1);
	obey(e, HOST1, "s1");
	UNTIL(e, job_is(e, "echo", "ready") == 1);
	connect_host(e, HOST2, HOST_2, "s2");
	leave(e, HOST1);
	UNTIL(e, told(e, HOST2, "run") == 1 && job_is(e, "echo", "unknown") == 1);
	obey(e, HOST2, "s2");
	UNTIL(e, job_is(e, "echo", "ready") == 1);
	connect_host(e, HOST1, HOST_1, "s1"); // it names none
	UNTIL(e, told(e, HOST1, "run") == 0);
	assert_int_equal(told(e, HOST2, "run"), 1);
}

// Without the setting who comes later waits; with it who matters more goes first.
static void test_preemption_is_a_setting(void **state)
{
	struct env *e = *state;

	connect_host(e, HOST1, HOST_1, "s1");
	put(e, KIND_JOB,
		JOB("low", "{\"command\":[\"x\"],\"priority\":20,\"resources\":{\"cpu_milli\":3000}"
			   "}"));
	UNTIL(e, told(e, HOST1, "run") == 1);
	put(e, KIND_JOB,
		JOB("high", "{\"command\":[\"x\"],\"priority\":80,\"resources\":{\"cpu_milli\":"
			    "3000}}"));
	UNTIL(e, state_is(e, "high", "waiting"));
	assert_string_equal(text(spec_at(e, HOST1, 0), "job"), "low");
	stop(e);
	e->planning.preempt = SCHED_MASK(SCHED_TYPE_BATCH);
	start(e);
	UNTIL(e, e->clients[HOST1].closed);
	connect_host(e, HOST1, HOST_1, "s1");
	UNTIL(e, told(e, HOST1, "run") == 1);
	obey(e, HOST1, "s1");
	// Something happens that lets it try again.
	put(e, KIND_JOB,
		JOB("high", "{\"command\":[\"x\"],\"priority\":90,\"resources\":{\"cpu_milli\":"
			    "3000}}"));
	UNTIL(e, told(e, HOST1, "stop") == 1);
	obey(e, HOST1, "s1");
	UNTIL(e, told(e, HOST1, "run") == 1 && told(e, HOST1, "stop") == 0);
	assert_string_equal(text(spec_at(e, HOST1, 0), "job"), "high");
}

// ---- the API ----

static unsigned ask_with(struct env *e, const char *method, const char *path, const char *query,
	const char *sent, json_t **body)
{
	struct api_request q = {
		.method = method, .path = path, .body = sent, .body_len = sent ? strlen(sent) : 0};
	struct api_response r;
	struct api api;
	unsigned status;

	api_init(&api, &e->registry, e->telemetry, &e->publisher, "1", 1);
	api.fleet = &e->orchestrator.fleet;
	api.scheduler = &orchestrator_api;
	api.scheduler_user = &e->orchestrator;
	if (query) {
		q.query[0] = (struct api_pair){query, strchr(query, '=') + 1};
		q.query[0].name = strndup(query, (size_t)(q.query[0].value - query - 1));
		q.query_count = 1;
	}
	api_handle(&api, &q, &r);
	status = r.status;
	*body = json_loadb(r.body, r.body_len, 0, NULL);
	free(query ? (char *)(uintptr_t)q.query[0].name : NULL);
	api_response_clear(&r);
	api_fini(&api);
	return status;
}

static unsigned ask(
	struct env *e, const char *method, const char *path, const char *query, json_t **body)
{
	return ask_with(e, method, path, query, NULL, body);
}

static size_t listed(struct env *e, const char *query, char *names, size_t room)
{
	json_t *body, *item;
	size_t i, n = 0;

	*names = 0;
	assert_int_equal(ask(e, "GET", "/v1/jobs", query, &body), 200);
	json_array_foreach(json_object_get(body, "items"), i, item)
	{
		n += (size_t)snprintf(names + n, room - n, "%s%.4s", i ? " " : "",
			text(json_object_get(item, "metadata"), "name"));
	}
	n = json_array_size(json_object_get(body, "items"));
	json_decref(body);
	return n;
}

static void test_lists_show_what_jobs_have_made(void **state)
{
	struct env *e = *state;
	char a[64], b[64], names[100], path[120];
	json_t *body;

	put(e, KIND_JOB, JOB("t", "{\"command\":[\"x\"],\"template\":{}}"));
	put(e, KIND_JOB, JOB("a", "{\"command\":[\"x\"]}"));
	put(e, KIND_JOB, JOB("z", "{\"command\":[\"x\"]}"));
	UNTIL(e, state_is(e, "t", "template"));
	dispatch(e, "1", a);
	dispatch(e, "2", b);
	UNTIL(e, job_is(e, b, "version") == 1);
	assert_int_equal(listed(e, NULL, names, sizeof(names)), 5);
	assert_memory_equal(names, "a t t-", 6);
	assert_int_equal(listed(e, "parent=t", names, sizeof(names)), 2);
	assert_int_equal(listed(e, "parent=other/t", names, sizeof(names)), 0);
	assert_int_equal(listed(e, "after=default/t", names, sizeof(names)), 3);
	assert_memory_equal(names, "t-", 2);
	assert_int_equal(ask(e, "GET", "/v1/jobs", "limit=3", &body), 200);
	snprintf(path, sizeof(path), "default/%s", strcmp(a, b) < 0 ? a : b);
	assert_string_equal(text(body, "next"), path);
	json_decref(body);
	snprintf(path, sizeof(path), "/v1/jobs/default/%s", a);
	assert_int_equal(ask(e, "GET", path, NULL, &body), 200);
	assert_string_equal(text(json_object_get(body, "status"), "parent"), "t");
	json_decref(body);
	// Nobody else gets the name.
	assert_int_equal(
		ask_with(e, "PUT", path, NULL, "{\"spec\":{\"command\":[\"x\"]}}", &body), 409);
	assert_string_equal(text(json_object_get(body, "error"), "code"), "name_taken");
	json_decref(body);
	assert_int_equal(ask(e, "DELETE", path, "dry_run=1", &body), 200);
	json_decref(body);
	assert_int_equal(ask(e, "DELETE", path, NULL, &body), 200);
	json_decref(body);
	UNTIL(e, listed(e, "parent=t", names, sizeof(names)) == 1);
	assert_int_equal(ask(e, "DELETE", "/v1/jobs/default/none", NULL, &body), 404);
	json_decref(body);
	put(e, KIND_QUOTA, "{\"metadata\":{\"name\":\"default\"},\"spec\":{\"instances\":9}}");
	step(e);
	assert_int_equal(ask(e, "GET", "/v1/quotas/default", NULL, &body), 200);
	assert_non_null(json_object_get(json_object_get(body, "status"), "used"));
	json_decref(body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PATIENT(test_a_batch_job_runs_to_its_end),
		PATIENT(test_a_batch_job_fails_in_part),
		PATIENT(test_a_service_that_ends_comes_back),
		PATIENT(test_groups_have_commands_of_their_own),
		PATIENT(test_disk_is_booked),
		PATIENT(test_one_on_each_node),
		PATIENT(test_dispatched_jobs),
		PATIENT(test_a_name_is_used_again),
		PATIENT(test_strays_go_with_their_children),
		PATIENT(test_a_start_alone_evaluates_nothing),
		PATIENT(test_a_quota_holds_back),
		PATIENT(test_what_was_reverted_stays_so),
		PATIENT(test_instances_share_what_hosts_are_told),
		PATIENT(test_a_drain_ends_at_its_deadline),
		PATIENT(test_a_deadline_outlives_a_restart),
		TEST(test_a_node_that_is_waited_for),
		TEST(test_a_node_that_is_back_without_it),
		PATIENT(test_preemption_is_a_setting),
		PATIENT(test_lists_show_what_jobs_have_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
