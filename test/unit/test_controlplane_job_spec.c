// SPDX-License-Identifier: Apache-2.0
// From resources to specs of the scheduler: what is inherited, what moves instances and what does
// not, what hosts are told.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <xxhash.h>

#include "controlplane/job_spec.h"
#include "sched/block.h"

// A resource's spec, normalized, and what the scheduler is asked for it.
struct made {
	json_t *object;
	struct job_spec s;
};

static void make(struct made *m, enum kind kind, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void make(struct made *m, enum kind kind, const char *format, ...)
{
	struct schema_error error;
	char text[4096];
	json_error_t at;
	va_list args;
	json_t *in;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	in = json_loads(text, 0, &at);
	if (!in)
		fail_msg("bad JSON in the test: %s in %s", at.text, text);
	in = json_pack("{s:{s:s}, s:o}", "metadata", "name", "a", "spec", in);
	m->object = schema_normalize(&kinds[kind], in, &error);
	if (!m->object)
		fail_msg("%s: %s", text, error.message);
	json_decref(in);
	job_spec_init(&m->s, kind, "team", "a", json_object_get(m->object, "spec"));
	assert_int_equal(sched_spec_check(&m->s.spec), 0);
}

static void unmake(struct made *m)
{
	job_spec_fini(&m->s);
	json_decref(m->object);
}

static void tells_host(const struct sched_spec *spec, uint32_t group, const char *expected)
{
	json_t *want = json_loads(expected, 0, NULL), *got = job_spec_host(spec, group);

	if (!json_equal(want, got))
		fail_msg("hosts are told %s", json_dumps(got, JSON_SORT_KEYS));
	json_decref(want);
	json_decref(got);
}

// What an older control plane wrote for this function: another text or hash would restart it.
static void test_an_upgrade_restarts_no_function(void **state)
{
	static const char text[] =
		"{\"command\":[\"echo\"],\"concurrency\":1,\"drain_ms\":30000,\"env\":{\"A\":\"b\"}"
		",\"image\":null,"
		"\"queue\":128,\"resources\":{\"cpu_milli\":100,\"memory\":134217728},"
		"\"runtime\":\"process\",\"timeout_ms\":30000}";
	struct made m;

	(void)state;
	make(&m, KIND_FUNCTION,
		"{\"command\":[\"echo\"],\"env\":{\"A\":\"b\"},\"scale\":{\"min\":5}}");
	assert_int_equal(m.s.spec.opaque_len, strlen(text));
	assert_memory_equal(m.s.spec.opaque, text, strlen(text));
	assert_int_equal(m.s.spec.group_count, 1);
	assert_string_equal(m.s.spec.groups[0].name, "main");
	assert_int_equal(m.s.spec.groups[0].restart_hash, XXH3_64bits(text, strlen(text)));
	assert_int_equal(m.s.spec.groups[0].count, 5);
	assert_int_equal(m.s.spec.groups[0].max_parallel, 2);
	assert_int_equal(m.s.spec.groups[0].ask.cpu_milli, 100);
	assert_int_equal(m.s.spec.groups[0].ask.memory_mib, 128);
	assert_int_equal(m.s.spec.groups[0].ask.disk_mib, 0);
	assert_int_equal(m.s.spec.groups[0].ask.slots, 1);
	assert_int_equal(m.s.spec.priority, 50);
	assert_int_equal(m.s.spec.type, SCHED_TYPE_SERVICE);
	tells_host(&m.s.spec, 0, text);
	unmake(&m);
}

static void test_everything_of_a_function_arrives(void **state)
{
	const struct sched_group *g;
	struct made m;

	(void)state;
	make(&m, KIND_FUNCTION,
		"{\"command\":[\"x\"],\"priority\":80,\"scale\":{\"min\":8},\"resources\":{"
		"\"disk\":\"3Mi\",\"devices\":{\"gpu\":2},\"ports\":[8080]},\"placement\":{"
		"\"constraints\":[{\"attribute\":\"rack\",\"op\":\"!=\",\"value\":\"r1\"},"
		"{\"attribute\":\"zone\",\"op\":\"distinct-property\"}],\"affinities\":[{"
		"\"attribute\":\"disk\",\"value\":\"ssd\",\"weight\":-30}],\"spreads\":[{"
		"\"attribute\":\"zone\",\"weight\":70,\"targets\":[{\"value\":\"a\",\"percent\":60}"
		"]}],"
		"\"distinct_hosts\":true,\"sticky\":true,\"near\":[\"store\",\"other/cache\"]},"
		"\"update\":{\"max_parallel\":3,\"canary\":1,\"auto_promote\":true,"
		"\"auto_revert\":true,\"progress_deadline_ms\":5000},"
		"\"disconnect\":{\"lost_after_ms\":7000}}");
	g = m.s.spec.groups;
	assert_int_equal(m.s.spec.priority, 80);
	assert_int_equal(g->ask.disk_mib, 3);
	assert_int_equal(m.s.spec.claim_count, 2);
	assert_string_equal(m.s.spec.claims[0].name, "device.gpu");
	assert_int_equal(m.s.spec.claims[0].count, 2);
	assert_string_equal(m.s.spec.claims[1].name, "port.8080");
	assert_int_equal(m.s.spec.constraint_count, 2);
	assert_int_equal(m.s.spec.constraints[0].op, SCHED_OP_NE);
	assert_string_equal(m.s.spec.constraints[0].value, "r1");
	assert_int_equal(m.s.spec.constraints[1].op, SCHED_OP_DISTINCT_PROPERTY);
	assert_string_equal(m.s.spec.constraints[1].value, "1");
	assert_int_equal(m.s.spec.affinity_count, 1);
	assert_int_equal(m.s.spec.affinities[0].weight, -30);
	assert_int_equal(m.s.spec.spread_count, 1);
	assert_int_equal(m.s.spec.spreads[0].weight, 70);
	assert_int_equal(m.s.spec.spreads[0].target_count, 1);
	assert_int_equal(m.s.spec.spreads[0].targets[0].percent, 60);
	assert_true(g->distinct_hosts && g->sticky && g->auto_promote && g->auto_revert);
	assert_int_equal(g->near_count, 2);
	assert_string_equal(g->near[0], "team/store");
	assert_string_equal(g->near[1], "other/cache");
	assert_int_equal(g->max_parallel, 3);
	assert_int_equal(g->canaries, 1);
	assert_int_equal(g->progress_deadline_ns, 5 * NS_PER_SEC);
	assert_int_equal(g->lost_after_ns, 7 * NS_PER_SEC);
	unmake(&m);
}

#define GROUPS                                                                                     \
	"{\"type\":\"service\",\"command\":[\"x\"],\"env\":{\"A\":\"1\",\"B\":\"2\"},\"count\":4," \
	"\"resources\":{\"cpu_milli\":300,\"ports\":[80]},\"placement\":{\"near\":[\"s\"]},"       \
	"\"update\":{\"max_parallel\":2},\"groups\":[{\"name\":\"web\"},{\"name\":\"db\","         \
	"\"count\":1,\"command\":[\"y\"],\"env\":{\"B\":\"3\"},\"resources\":{\"memory\":"         \
	"\"1Gi\",\"ports\":[81]},\"placement\":{\"constraints\":[{\"attribute\":\"ssd\","          \
	"\"op\":\"set\"}],\"near\":[\"t\"]},\"update\":{\"canary\":1},"                            \
	"\"disconnect\":{\"lost_after_ms\":1000}}]}"

static void test_groups_inherit(void **state)
{
	const struct sched_group *web, *db;
	struct made m;

	(void)state;
	make(&m, KIND_JOB, GROUPS);
	assert_int_equal(m.s.spec.group_count, 2);
	web = &m.s.spec.groups[0];
	db = &m.s.spec.groups[1];
	assert_string_equal(web->name, "web");
	assert_int_equal(web->count, 4);
	assert_int_equal(web->ask.cpu_milli, 300);
	assert_int_equal(web->ask.memory_mib, 128);
	assert_int_equal(web->max_parallel, 2);
	assert_int_equal(web->canaries, 0);
	assert_int_equal(web->constraint_count, 0);
	assert_int_equal(web->near_count, 1);
	assert_int_equal(db->count, 1);
	assert_int_equal(db->ask.cpu_milli, 300);
	assert_int_equal(db->ask.memory_mib, 1024);
	assert_int_equal(db->max_parallel, 2);
	assert_int_equal(db->canaries, 1);
	assert_int_equal(db->constraint_count, 1);
	assert_int_equal(db->constraints[0].op, SCHED_OP_SET);
	assert_int_equal(db->lost_after_ns, NS_PER_SEC);
	assert_int_equal(db->near_count, 2);
	assert_string_equal(db->near[1], "team/t");
	assert_int_equal(m.s.spec.claim_count, 2);
	assert_int_equal(m.s.spec.claims[0].group, SCHED_ALL_GROUPS);
	assert_string_equal(m.s.spec.claims[1].name, "port.81");
	assert_int_equal(m.s.spec.claims[1].group, 1);
	tells_host(&m.s.spec, 0,
		"{\"kind\":\"job\",\"job\":\"a\",\"group\":\"web\",\"runtime\":\"process\","
		"\"command\":[\"x\"],\"env\":{\"A\":\"1\",\"B\":\"2\"},\"drain_ms\":30000,"
		"\"restart\":true,"
		"\"resources\":{\"cpu_milli\":300,\"memory\":134217728}}");
	tells_host(&m.s.spec, 1,
		"{\"kind\":\"job\",\"job\":\"a\",\"group\":\"db\",\"runtime\":\"process\","
		"\"command\":[\"y\"],\"env\":{\"A\":\"1\",\"B\":\"3\"},\"drain_ms\":30000,"
		"\"restart\":true,"
		"\"resources\":{\"cpu_milli\":300,\"memory\":1073741824}}");
	unmake(&m);
}

static uint64_t hash_of(enum kind kind, const char *more)
{
	struct made m;
	uint64_t hash;

	make(&m, kind, "{\"command\":[\"x\"]%s%s}", *more ? "," : "", more);
	hash = m.s.spec.groups[0].restart_hash;
	unmake(&m);
	return hash;
}

// Instances go on unless they would notice.
static void test_what_moves_instances(void **state)
{
	static const char *const moves[] = {
		"\"env\":{\"A\":\"1\"}",
		"\"resources\":{\"cpu_milli\":101}",
		"\"resources\":{\"ports\":[80]}",
		"\"resources\":{\"devices\":{\"gpu\":1}}",
		"\"resources\":{\"devices\":{\"gpu\":2}}",
		"\"placement\":{\"distinct_hosts\":true}",
		"\"placement\":{\"constraints\":[{\"attribute\":\"rack\",\"value\":\"a\"}]}",
		"\"placement\":{\"constraints\":[{\"attribute\":\"rack\",\"value\":\"b\"}]}",
		"\"placement\":{\"constraints\":[{\"attribute\":\"rack\",\"op\":\"set\"}]}",
	};
	static const char *const stays[] = {
		"\"priority\":70",
		"\"update\":{\"max_parallel\":1,\"progress_deadline_ms\":1}",
		"\"disconnect\":{\"lost_after_ms\":1}",
		"\"placement\":{\"near\":[\"b\"]}",
		"\"placement\":{\"affinities\":[{\"attribute\":\"rack\",\"value\":\"a\"}]}",
		"\"placement\":{\"spreads\":[{\"attribute\":\"rack\"}]}",
	};
	enum kind of[] = {KIND_FUNCTION, KIND_JOB};

	(void)state;
	for (size_t k = 0; k < 2; k++) {
		uint64_t seen[16] = {hash_of(of[k], "")};
		size_t n = 1;

		for (size_t i = 0; i < sizeof(moves) / sizeof(moves[0]); i++) {
			seen[n] = hash_of(of[k], moves[i]);
			for (size_t j = 0; j < n; j++)
				assert_int_not_equal(seen[j], seen[n]);
			n++;
		}
		for (size_t i = 0; i < sizeof(stays) / sizeof(stays[0]); i++)
			assert_int_equal(seen[0], hash_of(of[k], stays[i]));
	}
	assert_int_equal(hash_of(KIND_JOB, "\"count\":7"), hash_of(KIND_JOB, ""));
	assert_int_not_equal(hash_of(KIND_JOB, "\"type\":\"service\""), hash_of(KIND_JOB, ""));
	assert_int_equal(
		hash_of(KIND_FUNCTION, "\"scale\":{\"min\":7}"), hash_of(KIND_FUNCTION, ""));
}

static void test_launches(void **state)
{
	struct made m;

	(void)state;
	make(&m, KIND_JOB, "{\"command\":[\"x\"]}");
	assert_null(m.s.spec.launch);
	unmake(&m);
	make(&m, KIND_JOB,
		"{\"command\":[\"x\"],\"schedule\":{\"cron\":[\"*/5 * * * *\","
		"\"0 0 1 1 *\"],\"overlap\":true}}");
	assert_string_equal(m.s.spec.launch->cron, "*/5 * * * *;0 0 1 1 *");
	assert_true(m.s.spec.launch->overlap);
	assert_false(m.s.spec.launch->templated);
	assert_int_equal(m.s.spec.type, SCHED_TYPE_BATCH);
	unmake(&m);
	make(&m, KIND_JOB,
		"{\"command\":[\"x\"],\"template\":{\"payload\":\"forbidden\",\"meta_required\":["
		"\"b\"],"
		"\"meta_optional\":[\"c\",\"d\"]}}");
	assert_null(m.s.spec.launch->cron);
	assert_true(m.s.spec.launch->templated);
	assert_int_equal(m.s.spec.launch->payload, SCHED_PAYLOAD_FORBIDDEN);
	assert_int_equal(m.s.spec.launch->meta_required_count, 1);
	assert_int_equal(m.s.spec.launch->meta_optional_count, 2);
	assert_string_equal(m.s.spec.launch->meta_optional[1], "d");
	unmake(&m);
}

// A child has the text of its parent, and its own name, payload and meta.
static void test_what_hosts_are_told_of_a_child(void **state)
{
	const struct sched_meta meta[] = {{"scene", "7"}};
	struct job_spec_digest parent, child;
	struct sched_spec spec;
	struct made m;

	(void)state;
	make(&m, KIND_JOB, "{\"command\":[\"x\"],\"template\":{\"meta_required\":[\"scene\"]}}");
	spec = m.s.spec;
	parent = job_spec_digest(&spec, 0);
	spec.launch = NULL;
	spec.parent = "a";
	spec.name = "a-0123456789abcdef";
	spec.payload = "hello";
	spec.payload_len = 5;
	spec.meta = meta;
	spec.meta_count = 1;
	tells_host(&spec, 0,
		"{\"kind\":\"job\",\"job\":\"a-0123456789abcdef\",\"group\":\"main\","
		"\"runtime\":\"process\",\"command\":[\"x\"],\"env\":{},\"drain_ms\":30000,"
		"\"resources\":{\"cpu_milli\":100,\"memory\":134217728},\"payload\":\"aGVsbG8=\","
		"\"meta\":{\"scene\":\"7\"}}");
	child = job_spec_digest(&spec, 0);
	assert_true(child.low != parent.low || child.high != parent.high);
	spec.payload = "hellp";
	parent = job_spec_digest(&spec, 0);
	assert_true(child.low != parent.low || child.high != parent.high);
	// An empty payload is one.
	spec.payload_len = 0;
	spec.meta_count = 0;
	tells_host(&spec, 0,
		"{\"kind\":\"job\",\"job\":\"a-0123456789abcdef\",\"group\":\"main\","
		"\"runtime\":\"process\",\"command\":[\"x\"],\"env\":{},\"drain_ms\":30000,"
		"\"resources\":{\"cpu_milli\":100,\"memory\":134217728},\"payload\":\"\"}");
	unmake(&m);
}

// A copy as the core makes it says the same, so putting it again is no event.
static void test_a_copy_is_the_same(void **state)
{
	struct sched_bytes a = {0}, b = {0};
	struct sched_spec *copy;
	struct made m;

	(void)state;
	make(&m, KIND_JOB, GROUPS);
	copy = sched_spec_copy(&m.s.spec);
	assert_non_null(copy);
	sched_spec_encode(&a, &m.s.spec);
	sched_spec_encode(&b, copy);
	assert_int_equal(a.len, b.len);
	assert_memory_equal(a.data, b.data, a.len);
	sched_bytes_fini(&a);
	sched_bytes_fini(&b);
	free(copy);
	unmake(&m);
}

// What a newer version may have stored: nothing that is missing or odd is trusted.
static void test_odd_specs(void **state)
{
	static const char *const odd[] = {"{}", "{\"placement\":[]}", "{\"groups\":{}}",
		"{\"groups\":[7,null,{\"name\":7}]}",
		"{\"placement\":{\"constraints\":[7,{\"attribute\":1,\"op\":\"~\"}],\"near\":[7],"
		"\"spreads\":[{\"targets\":[7]}]},\"resources\":{\"ports\":[\"x\"],\"devices\":{"
		"\"g\":"
		"\"x\"},\"memory\":{}}}",
		"{\"schedule\":{\"cron\":[7,null]},\"template\":{\"meta_required\":[7]}}"};

	(void)state;
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		json_t *spec = json_loads(odd[i], 0, NULL);

		assert_non_null(spec);
		for (enum kind kind = KIND_FUNCTION; kind <= KIND_JOB; kind += KIND_JOB) {
			struct job_spec s;
			json_t *host;

			job_spec_init(&s, kind, "team", "a", spec);
			host = job_spec_host(&s.spec, 0);
			assert_non_null(host);
			json_decref(host);
			job_spec_fini(&s);
		}
		json_decref(spec);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_upgrade_restarts_no_function),
		cmocka_unit_test(test_everything_of_a_function_arrives),
		cmocka_unit_test(test_groups_inherit),
		cmocka_unit_test(test_what_moves_instances),
		cmocka_unit_test(test_launches),
		cmocka_unit_test(test_what_hosts_are_told_of_a_child),
		cmocka_unit_test(test_a_copy_is_the_same),
		cmocka_unit_test(test_odd_specs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
