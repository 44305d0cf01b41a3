// SPDX-License-Identifier: Apache-2.0
// Tables of resources: what is accepted, which defaults are filled in, and which field and sentence
// an error names. Merge patch and the list of changes.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "controlplane/merge.h"
#include "controlplane/schema.h"

static json_t *json(const char *text)
{
	json_error_t error;
	json_t *out = json_loads(text, JSON_DECODE_ANY, &error);

	if (!out)
		fail_msg("bad JSON in the test: %s in %s", error.text, text);
	return out;
}

static void accepts(enum kind kind, const char *in, const char *expected_spec)
{
	struct schema_error error;
	json_t *object = json(in), *expected = json(expected_spec);
	json_t *out = schema_normalize(&kinds[kind], object, &error);

	if (!out)
		fail_msg("%s was refused: %s", in, error.message);
	if (!json_equal(json_object_get(out, "spec"), expected))
		fail_msg("%s became %s", in, json_dumps(json_object_get(out, "spec"), 0));
	// What comes out goes in again unchanged.
	json_decref(object);
	object = schema_normalize(&kinds[kind], out, &error);
	assert_true(json_equal(object, out));
	json_decref(object);
	json_decref(out);
	json_decref(expected);
}

static void refuses(
	enum kind kind, const char *in, const char *code, const char *field, const char *part)
{
	struct schema_error error;
	json_t *object = json(in);
	json_t *out = schema_normalize(&kinds[kind], object, &error);

	if (out)
		fail_msg("%s was accepted", in);
	assert_string_equal(error.code, code);
	assert_string_equal(error.field, field);
	if (!strstr(error.message, part))
		fail_msg("the message for %s is '%s', without '%s'", in, error.message, part);
	json_decref(object);
}

#define META "\"metadata\":{\"name\":\"a\"}"
// Defaults of what most functions and jobs do not say.
#define CLAIMS "\"disk\":0,\"devices\":{},\"ports\":[]"
#define MORE                                                                                  \
	"\"priority\":50,\"placement\":{\"constraints\":[],\"affinities\":[],\"spreads\":[]," \
	"\"distinct_hosts\":false,\"sticky\":false,\"near\":[]},\"update\":{\"max_parallel\":0,\"canary\":0,"    \
	"\"auto_promote\":false,\"auto_revert\":false,\"progress_deadline_ms\":0},"            \
	"\"disconnect\":{\"lost_after_ms\":0}"

static void test_defaults(void **state)
{
	(void)state;
	accepts(KIND_FUNCTION, "{" META ",\"spec\":{\"command\":[\"echo\"]}}",
		"{\"runtime\":\"process\",\"command\":[\"echo\"],\"scale\":{\"min\":1,\"max\":10,"
		"\"concurrency\":1},\"resources\":{\"cpu_milli\":100,\"memory\":\"128Mi\"," CLAIMS "},"
		"\"call\":{"
		"\"timeout_ms\":30000,\"idempotent\":false,\"class\":\"latency\",\"cold\":\"drop\","
		"\"queue\":"
		"128},\"balance\":{\"policy\":\"two-choices\"},\"env\":{},\"bindings\":[]," MORE "}");
	accepts(KIND_ENDPOINT,
		"{" META ",\"spec\":{\"addresses\":[\"10.0.0.1:7000\"],\"routes\":[\"x\"]}}",
		"{\"addresses\":[\"10.0.0.1:7000\"],\"routes\":[\"x\"],\"lease\":false,"
		"\"fragments\":true}");
	accepts(KIND_GATEWAY, "{" META "}",
		"{\"ports\":[],\"listeners\":[{\"port\":7878}],\"limits\":{\"connections_per_"
		"address\":10000}}");
	// null is how YAML writes a key without value.
	accepts(KIND_GATEWAY, "{" META ",\"spec\":{\"ports\":null,\"limits\":{}}}",
		"{\"ports\":[],\"listeners\":[{\"port\":7878}],\"limits\":{\"connections_per_"
		"address\":10000}}");
}

static void test_manifests_of_the_documentation(void **state)
{
	(void)state;
	accepts(KIND_FUNCTION,
		"{\"apiVersion\":\"penstock/"
		"v1\",\"kind\":\"Function\",\"metadata\":{\"name\":\"thumbnail\","
		"\"namespace\":\"default\",\"labels\":{\"team\":\"imagery\"}},\"spec\":{"
		"\"runtime\":\"process\","
		"\"command\":[\"thumbnail\",\"--quality=80\"],\"scale\":{\"min\":1,\"max\":10,"
		"\"concurrency\":8},"
		"\"resources\":{\"cpu_milli\":500,\"memory\":\"64Mi\"},\"call\":{\"timeout_ms\":"
		"1000,"
		"\"idempotent\":true,\"class\":\"latency\",\"cold\":\"drop\",\"queue\":128},"
		"\"balance\":{"
		"\"policy\":\"two-choices\"},\"env\":{\"LEVEL\":\"info\"},\"bindings\":[]}}",
		"{\"runtime\":\"process\",\"command\":[\"thumbnail\",\"--quality=80\"],\"scale\":{"
		"\"min\":1,"
		"\"max\":10,\"concurrency\":8},\"resources\":{\"cpu_milli\":500,\"memory\":"
		"\"64Mi\"," CLAIMS "},\"call\":{"
		"\"timeout_ms\":1000,\"idempotent\":true,\"class\":\"latency\",\"cold\":\"drop\","
		"\"queue\":128},"
		"\"balance\":{\"policy\":\"two-choices\"},\"env\":{\"LEVEL\":\"info\"},"
		"\"bindings\":[]," MORE "}");
	accepts(KIND_ENDPOINT,
		"{\"apiVersion\":\"penstock/"
		"v1\",\"kind\":\"Endpoint\",\"metadata\":{\"name\":\"orders\"},"
		"\"spec\":{\"addresses\":[\"10.77.0.1:7000\"],\"routes\":[\"orders\",\"person.\"],"
		"\"lease\":false,\"fragments\":true}}",
		"{\"addresses\":[\"10.77.0.1:7000\"],\"routes\":[\"orders\",\"person.\"],\"lease\":"
		"false,"
		"\"fragments\":true}");
	accepts(KIND_GATEWAY,
		"{\"metadata\":{\"name\":\"gw1\"},\"spec\":{\"ports\":[{\"name\":\"p0\","
		"\"addresses\":["
		"\"10.77.0.2/24\",\"fd77::2/"
		"64\"],\"routes\":[{\"to\":\"default\",\"via\":\"10.77.0.1\"}]}],"
		"\"listeners\":[{\"port\":7878}],\"limits\":{\"connections_per_address\":10000}}}",
		"{\"ports\":[{\"name\":\"p0\",\"addresses\":[\"10.77.0.2/24\",\"fd77::2/"
		"64\"],\"routes\":[{"
		"\"to\":\"default\",\"via\":\"10.77.0.1\"}]}],\"listeners\":[{\"port\":7878}],"
		"\"limits\":{"
		"\"connections_per_address\":10000}}");
}

static void test_order_is_the_tables(void **state)
{
	struct schema_error error;
	json_t *in = json("{\"spec\":{\"routes\":[\"x\"],\"addresses\":[\"10.0.0.1:7\"]},\"kind\":"
			  "\"Endpoint\","
			  "\"metadata\":{\"labels\":{},\"name\":\"a\"}}");
	json_t *out = schema_normalize(&kinds[KIND_ENDPOINT], in, &error);
	char *text = json_dumps(out, JSON_COMPACT);

	(void)state;
	assert_string_equal(text,
		"{\"apiVersion\":\"penstock/"
		"v1\",\"kind\":\"Endpoint\",\"metadata\":{\"name\":\"a\","
		"\"namespace\":\"default\",\"labels\":{}},\"spec\":{\"addresses\":[\"10.0.0.1:7\"],"
		"\"routes\":[\"x\"],\"lease\":false,\"fragments\":true}}");
	free(text);
	json_decref(in);
	json_decref(out);
}

static void test_read_only_is_ignored(void **state)
{
	(void)state;
	accepts(KIND_GATEWAY,
		"{\"metadata\":{\"name\":\"a\",\"version\":7,\"created\":\"x\",\"updated\":\"y\"},"
		"\"status\":{\"anything\":[1]}}",
		"{\"ports\":[],\"listeners\":[{\"port\":7878}],\"limits\":{\"connections_per_"
		"address\":10000}}");
}

#define FUNCTION(spec) "{" META ",\"spec\":" spec "}"

static void test_errors_name_the_field(void **state)
{
	static const struct {
		enum kind kind;
		const char *in, *code, *field, *part;
	} cases[] = {
		{KIND_FUNCTION, "[]", "invalid_field", "", "the body must be an object"},
		{KIND_FUNCTION, "{}", "missing_field", "metadata.name", "required"},
		{KIND_FUNCTION, "{\"metadata\":[]}", "invalid_field", "metadata",
			"must be an object"},
		{KIND_FUNCTION, "{\"metadata\":{\"name\":\"A\"}}", "invalid_field", "metadata.name",
			"small letters"},
		{KIND_FUNCTION, "{\"metadata\":{\"name\":\"-a\"}}", "invalid_field",
			"metadata.name", "hyphen"},
		{KIND_FUNCTION, "{\"metadata\":{\"name\":7}}", "invalid_field", "metadata.name",
			"text"},
		{KIND_FUNCTION, "{" META ",\"speck\":{}}", "unknown_field", "speck",
			"did you mean spec?"},
		{KIND_FUNCTION, "{" META ",\"apiVersion\":\"v2\"}", "invalid_field", "apiVersion",
			"must be penstock/v1"},
		{KIND_FUNCTION, "{" META ",\"kind\":\"Endpoint\",\"spec\":{\"command\":[\"x\"]}}",
			"invalid_field", "kind", "must be Function"},
		{KIND_FUNCTION, FUNCTION("{}"), "missing_field", "spec.command",
			"give the program"},
		{KIND_FUNCTION, FUNCTION("{\"runtime\":\"oci\"}"), "missing_field", "spec.image",
			"sha256"},
		{KIND_FUNCTION, FUNCTION("{\"runtime\":\"vm\"}"), "invalid_field", "spec.runtime",
			"process, oci or wasm"},
		{KIND_FUNCTION, FUNCTION("{\"image\":\"x:latest\"}"), "invalid_field", "spec.image",
			"digest"},
		{KIND_FUNCTION, FUNCTION("{\"scale\":{\"min\":-1}}"), "invalid_field",
			"spec.scale.min", "from 0 to 100000, but is -1"},
		{KIND_FUNCTION, FUNCTION("{\"scale\":{\"min\":1.5}}"), "invalid_field",
			"spec.scale.min", "whole"},
		{KIND_FUNCTION, FUNCTION("{\"scale\":{\"min\":\"1\"}}"), "invalid_field",
			"spec.scale.min", "but is \"1\""},
		{KIND_FUNCTION, FUNCTION("{\"command\":[\"x\"],\"scale\":{\"min\":11}}"),
			"invalid_field", "spec.scale.min", "raise max"},
		{KIND_FUNCTION, FUNCTION("{\"scale\":{\"concurrency\":257}}"), "invalid_field",
			"spec.scale.concurrency", "from 1 to 256, but is 257"},
		{KIND_FUNCTION, FUNCTION("{\"scale\":{\"mim\":1}}"), "unknown_field",
			"spec.scale.mim", "did you mean min?"},
		{KIND_FUNCTION, FUNCTION("{\"scale\":{\"replicas\":1}}"), "unknown_field",
			"spec.scale.replicas", "known are min, max, concurrency"},
		{KIND_FUNCTION, FUNCTION("{\"command\":\"x\"}"), "invalid_field", "spec.command",
			"list"},
		{KIND_FUNCTION, FUNCTION("{\"command\":[1]}"), "invalid_field", "spec.command[0]",
			"text"},
		{KIND_FUNCTION, FUNCTION("{\"resources\":{\"memory\":\"64MB\"}}"), "invalid_field",
			"spec.resources.memory", "64Mi"},
		{KIND_FUNCTION, FUNCTION("{\"resources\":{\"memory\":1}}"), "invalid_field",
			"spec.resources.memory", "1048576"},
		{KIND_FUNCTION, FUNCTION("{\"call\":{\"idempotent\":1}}"), "invalid_field",
			"spec.call.idempotent", "true or false"},
		{KIND_FUNCTION, FUNCTION("{\"env\":{\"1X\":\"a\"}}"), "invalid_field",
			"spec.env.1X", "digit"},
		{KIND_FUNCTION, FUNCTION("{\"env\":{\"X\":1}}"), "invalid_field", "spec.env.X",
			"text"},
		{KIND_FUNCTION, FUNCTION("{\"env\":[]}"), "invalid_field", "spec.env",
			"names and values"},
		{KIND_FUNCTION, FUNCTION("{\"bindings\":[\"x\"]}"), "invalid_field",
			"spec.bindings", "empty"},
		{KIND_FUNCTION, "{\"metadata\":{\"name\":\"a\",\"labels\":{\"a b\":\"x\"}}}",
			"invalid_field", "metadata.labels.a b", "bad name"},
		{KIND_ENDPOINT, FUNCTION("{}"), "missing_field", "spec.addresses",
			"Where the servers listen"},
		{KIND_ENDPOINT, FUNCTION("{\"addresses\":[],\"routes\":[\"x\"]}"), "invalid_field",
			"spec.addresses", "1 to 1024 items"},
		{KIND_ENDPOINT, FUNCTION("{\"addresses\":[\"localhost:7000\"],\"routes\":[\"x\"]}"),
			"invalid_field", "spec.addresses[0]", "host names are not looked up"},
		{KIND_ENDPOINT, FUNCTION("{\"addresses\":[\"10.0.0.1\"],\"routes\":[\"x\"]}"),
			"invalid_field", "spec.addresses[0]", "port"},
		{KIND_ENDPOINT, FUNCTION("{\"addresses\":[\"10.0.0.1:0\"],\"routes\":[\"x\"]}"),
			"invalid_field", "spec.addresses[0]", "port"},
		{KIND_ENDPOINT,
			FUNCTION("{\"addresses\":[\"10.0.0.1:1\",\"10.0.0.1:1\"],\"routes\":[\"x\"]"
				 "}"),
			"invalid_field", "spec.addresses[1]", "same as item 0"},
		{KIND_ENDPOINT, FUNCTION("{\"addresses\":[\"10.0.0.1:1\"],\"routes\":[\"a b\"]}"),
			"invalid_field", "spec.routes[0]", "blanks"},
		{KIND_ENDPOINT, FUNCTION("{\"addresses\":[\"10.0.0.1:1\"],\"routes\":[\"NS/x\"]}"),
			"invalid_field", "spec.routes[0]", "NAMESPACE/NAME"},
		{KIND_ENDPOINT, FUNCTION("{\"addresses\":[\"10.0.0.1:1\"],\"routes\":[\".\"]}"),
			"invalid_field", "spec.routes[0]", "NAME"},
		{KIND_GATEWAY, "{\"metadata\":{\"name\":\"a\",\"namespace\":\"b\"}}",
			"unknown_field", "metadata.namespace", "not a field"},
		{KIND_GATEWAY, FUNCTION("{\"listeners\":[{\"port\":65536}]}"), "invalid_field",
			"spec.listeners[0].port", "65535"},
		{KIND_GATEWAY, FUNCTION("{\"listeners\":[{}]}"), "missing_field",
			"spec.listeners[0].port", "required"},
		{KIND_GATEWAY, FUNCTION("{\"listeners\":[{\"port\":1},{\"port\":1}]}"),
			"invalid_field", "spec.listeners[1].port", "same as item 0"},
		{KIND_GATEWAY,
			FUNCTION("{\"ports\":[{\"name\":\"p0\",\"addresses\":[\"10.0.0.1/33\"]}]}"),
			"invalid_field", "spec.ports[0].addresses[0]", "prefix length"},
		{KIND_GATEWAY,
			FUNCTION("{\"ports\":[{\"name\":\"p0\",\"routes\":[{\"to\":\"x\",\"via\":"
				 "\"10.0.0.1\"}]}]}"),
			"invalid_field", "spec.ports[0].routes[0].to",
			"\"default\" or an IP prefix"},
		{KIND_GATEWAY, FUNCTION("{\"ports\":[{\"name\":\"p0\",\"address\":[]}]}"),
			"unknown_field", "spec.ports[0].address", "did you mean addresses?"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		refuses(cases[i].kind, cases[i].in, cases[i].code, cases[i].field, cases[i].part);
}

static void test_every_row_is_reachable(void **state)
{
	(void)state;
	for (enum kind kind = 0; kind < KIND_COUNT; kind++) {
		const struct field *f, *parent;

		for (size_t i = 0; (f = kind_field(&kinds[kind], i)); i++) {
			size_t parents = !strpbrk(f->path, ".[{");

			for (size_t j = 0; (parent = kind_field(&kinds[kind], j)); j++)
				parents += field_is_child(f, parent->path);
			if (parents != 1)
				fail_msg("%s of %s has %zu parents", f->path, kinds[kind].name,
					parents);
			assert_non_null(f->help);
			// A default must pass its own check: schema_normalize() on it is how it is
			// used.
			if (f->def) {
				json_t *def = json(f->def);

				json_decref(def);
			}
		}
	}
}

static void test_sizes(void **state)
{
	static const struct {
		const char *text;
		int rc;
		int64_t bytes;
	} cases[] = {{"0", 0, 0}, {"1", 0, 1}, {"1Ki", 0, 1024}, {"64Mi", 0, 64 << 20},
		{"2Ti", 0, (int64_t)2 << 40}, {"", -EINVAL, 0}, {"Mi", -EINVAL, 0},
		{"-1", -EINVAL, 0}, {"1M", -EINVAL, 0}, {"1Mib", -EINVAL, 0},
		{"9223372036854775807Ki", -EINVAL, 0}, {"99999999999999999999", -EINVAL, 0}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t bytes = 0;

		assert_int_equal(size_parse(cases[i].text, &bytes), cases[i].rc);
		assert_int_equal(bytes, cases[i].bytes);
	}
}

// A long or odd text in an error must still make valid sentences.
static void test_long_input(void **state)
{
	struct schema_error error;
	char *text = malloc(5000);
	json_t *in = json("{\"metadata\":{\"name\":\"a\"},\"spec\":{}}");

	(void)state;
	memset(text, 'x', 4999);
	text[4999] = 0;
	json_object_set_new(json_object_get(in, "spec"), text, json_integer(1));
	assert_null(schema_normalize(&kinds[KIND_FUNCTION], in, &error));
	assert_string_equal(error.code, "unknown_field");
	assert_true(strlen(error.field) < 200);
	json_object_clear(json_object_get(in, "spec"));
	json_object_set_new(json_object_get(in, "spec"), "runtime", json_string(text));
	assert_null(schema_normalize(&kinds[KIND_FUNCTION], in, &error));
	assert_string_equal(error.field, "spec.runtime");
	json_decref(in);
	free(text);
}

static void test_size_of_an_endpoint(void **state)
{
	struct schema_error error;
	json_t *in =
		json("{\"metadata\":{\"name\":\"a\"},\"spec\":{\"addresses\":[],\"routes\":[]}}");
	json_t *addresses = json_object_get(json_object_get(in, "spec"), "addresses"), *out;
	json_t *routes = json_object_get(json_object_get(in, "spec"), "routes");
	char text[40];

	(void)state;
	for (int i = 0; i < 256; i++) {
		snprintf(text, sizeof(text), "10.0.0.%d:1", i);
		json_array_append_new(addresses, json_string(text));
		snprintf(text, sizeof(text), "r%d", i);
		json_array_append_new(routes, json_string(text));
	}
	out = schema_normalize(&kinds[KIND_ENDPOINT], in, &error);
	assert_non_null(out);
	json_decref(out);
	json_array_append_new(routes, json_string("more"));
	assert_null(schema_normalize(&kinds[KIND_ENDPOINT], in, &error));
	assert_string_equal(error.field, "spec.routes");
	json_decref(in);
}

// RFC 7396, appendix A, and what it leaves out.
static void test_merge_patch(void **state)
{
	static const struct {
		const char *target, *patch, *result;
	} cases[] = {
		{"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
		{"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
		{"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
		{"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
		{"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
		{"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
		{"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}",
			"{\"a\":{\"b\":\"d\"}}"},
		{"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
		{"[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]"},
		{"{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]"},
		{"{\"a\":\"foo\"}", "null", "null"},
		{"{\"a\":\"foo\"}", "\"bar\"", "\"bar\""},
		{"{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}"},
		{"[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}"},
		{"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *target = json(cases[i].target), *patch = json(cases[i].patch);
		json_t *before = json_deep_copy(target);
		json_t *result = merge_patch(target, patch), *expected = json(cases[i].result);

		assert_true(json_equal(result, expected));
		assert_true(json_equal(target, before));
		json_decref(target);
		json_decref(patch);
		json_decref(before);
		json_decref(result);
		json_decref(expected);
	}
}

static void changes(const char *before, const char *after, const char *expected)
{
	json_t *b = before ? json(before) : NULL, *a = after ? json(after) : NULL;
	json_t *got = merge_changes(b, a), *want = json(expected);

	if (!json_equal(got, want))
		fail_msg("changes are %s", json_dumps(got, 0));
	json_decref(b);
	json_decref(a);
	json_decref(got);
	json_decref(want);
}

static void test_changes(void **state)
{
	(void)state;
	changes("{\"a\":1}", "{\"a\":1}", "[]");
	changes("{\"a\":{\"b\":1,\"c\":2}}", "{\"a\":{\"b\":1,\"c\":3,\"d\":[4]}}",
		"[{\"field\":\"a.c\",\"from\":2,\"to\":3},{\"field\":\"a.d\",\"to\":[4]}]");
	changes("{\"a\":[1,2]}", "{\"a\":[2]}", "[{\"field\":\"a\",\"from\":[1,2],\"to\":[2]}]");
	changes(NULL, "{\"a\":{\"b\":1}}", "[{\"field\":\"a.b\",\"to\":1}]");
	changes("{\"a\":{\"b\":1}}", NULL, "[{\"field\":\"a.b\",\"from\":1}]");
	changes("{\"a\":{}}", "{}", "[{\"field\":\"a\",\"from\":{}}]");
	changes("{\"a\":1}", "{\"a\":{\"b\":1}}",
		"[{\"field\":\"a\",\"from\":1,\"to\":{\"b\":1}}]");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_manifests_of_the_documentation),
		cmocka_unit_test(test_order_is_the_tables),
		cmocka_unit_test(test_read_only_is_ignored),
		cmocka_unit_test(test_errors_name_the_field),
		cmocka_unit_test(test_every_row_is_reachable),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_long_input),
		cmocka_unit_test(test_size_of_an_endpoint),
		cmocka_unit_test(test_merge_patch),
		cmocka_unit_test(test_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
