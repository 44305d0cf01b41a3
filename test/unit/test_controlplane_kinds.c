// SPDX-License-Identifier: Apache-2.0
// What may be said of placement, updates, jobs and quotas; which field and sentence an error names.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "controlplane/schema.h"
#include "sched/types.h"

static json_t *json(const char *text)
{
	json_error_t error;
	json_t *out = json_loads(text, JSON_DECODE_ANY, &error);

	if (!out)
		fail_msg("bad JSON in the test: %s in %s", error.text, text);
	return out;
}

// The spec of a resource named a, normalized.
static json_t *normal(enum kind kind, const char *spec)
{
	struct schema_error error;
	json_t *object = json_pack("{s:{s:s}, s:o}", "metadata", "name", "a", "spec", json(spec));
	json_t *out = schema_normalize(&kinds[kind], object, &error), *again, *result;

	if (!out)
		fail_msg("%s was refused: %s", spec, error.message);
	// What comes out goes in again unchanged.
	again = schema_normalize(&kinds[kind], out, &error);
	assert_true(json_equal(again, out));
	result = json_incref(json_object_get(out, "spec"));
	json_decref(again);
	json_decref(out);
	json_decref(object);
	return result;
}

static void shows(enum kind kind, const char *in, const char *member, const char *expected)
{
	json_t *spec = normal(kind, in), *want = json(expected);

	if (!json_equal(json_object_get(spec, member), want))
		fail_msg("%s of %s became %s", member, in,
			json_dumps(json_object_get(spec, member), JSON_ENCODE_ANY));
	json_decref(want);
	json_decref(spec);
}

static void refuses(
	const char *name, enum kind kind, const char *spec, const char *field, const char *part)
{
	struct schema_error error;
	json_t *object = json_pack("{s:{s:s}, s:o}", "metadata", "name", name, "spec", json(spec));
	json_t *out = schema_normalize(&kinds[kind], object, &error);

	if (out)
		fail_msg("%s was accepted", spec);
	if (strcmp(error.field, field) != 0 || !strstr(error.message, part))
		fail_msg("%s: the error is of %s: %s", spec, error.field, error.message);
	json_decref(object);
}

#define RUN "\"command\":[\"x\"]"

static void test_defaults_of_jobs(void **state)
{
	json_t *spec = normal(KIND_JOB, "{" RUN "}");

	(void)state;
	assert_string_equal(json_string_value(json_object_get(spec, "type")), "batch");
	assert_int_equal(json_integer_value(json_object_get(spec, "count")), 1);
	assert_int_equal(json_integer_value(json_object_get(spec, "priority")), 50);
	// Without these it is a job that runs itself.
	assert_null(json_object_get(spec, "schedule"));
	assert_null(json_object_get(spec, "template"));
	json_decref(spec);
	// A quota without a number is no limit.
	spec = normal(KIND_QUOTA, "{\"memory\":\"1Gi\"}");
	assert_int_equal(json_object_size(spec), 1);
	json_decref(spec);
}

// What a group leaves out stays out: it is as in the job.
static void test_groups_leave_out(void **state)
{
	(void)state;
	shows(KIND_JOB,
		"{" RUN ",\"groups\":[{\"name\":\"a\"},{\"name\":\"b\",\"count\":3,"
		"\"resources\":{\"cpu_milli\":7},\"placement\":{\"constraints\":[{\"attribute\":"
		"\"rack\","
		"\"value\":\"r1\"}]}}]}",
		"groups",
		"[{\"name\":\"a\"},{\"name\":\"b\",\"count\":3,\"resources\":{\"cpu_milli\":7},"
		"\"placement\":{\"constraints\":[{\"attribute\":\"rack\",\"op\":\"=\",\"value\":"
		"\"r1\"}]}}]");
}

static void test_launches(void **state)
{
	(void)state;
	shows(KIND_JOB, "{" RUN ",\"schedule\":{\"cron\":[\"*/5 * * * *\"]}}", "schedule",
		"{\"cron\":[\"*/5 * * * *\"],\"overlap\":false}");
	shows(KIND_JOB, "{" RUN ",\"template\":{\"meta_required\":[\"user-id\"]}}", "template",
		"{\"payload\":\"optional\",\"meta_required\":[\"user-id\"],\"meta_optional\":[]}");
}

static void test_errors_name_the_field(void **state)
{
	static const struct {
		enum kind kind;
		const char *spec, *field, *part;
	} cases[] = {
		{KIND_JOB, "{}", "spec.command", "give the program"},
		{KIND_JOB, "{" RUN ",\"type\":\"daemon\"}", "spec.type",
			"batch, service, system or sysbatch"},
		{KIND_JOB, "{" RUN ",\"priority\":0}", "spec.priority", "from 1 to 100"},
		{KIND_JOB, "{" RUN ",\"priority\":101}", "spec.priority", "from 1 to 100"},
		{KIND_JOB, "{" RUN ",\"count\":1000001}", "spec.count", "from 0 to 1000000"},
		{KIND_JOB, "{" RUN ",\"type\":\"system\",\"count\":2}", "spec.count", "left out"},
		{KIND_JOB,
			"{" RUN ",\"type\":\"sysbatch\",\"groups\":[{\"name\":\"g\",\"count\":2}]}",
			"spec.groups[0].count", "left out"},
		{KIND_JOB, "{" RUN ",\"update\":{\"canary\":1}}", "spec.update.canary",
			"set spec.type to service"},
		{KIND_JOB, "{" RUN ",\"update\":{\"auto_revert\":true}}", "spec.update.auto_revert",
			"service"},
		{KIND_JOB, "{\"groups\":[{\"name\":\"g\"}]}", "spec.groups[0].command",
			"give the program"},
		{KIND_JOB, "{\"groups\":[{\"name\":\"g\"," RUN "},{\"name\":\"g\"," RUN "}]}",
			"spec.groups[1].name", "same as item 0"},
		{KIND_JOB, "{\"groups\":[{" RUN "}]}", "spec.groups[0].name", "required"},
		{KIND_JOB, "{" RUN ",\"schedule\":{}}", "spec.schedule.cron", "required"},
		{KIND_JOB, "{" RUN ",\"schedule\":{\"cron\":[]}}", "spec.schedule.cron", "1 to 8"},
		{KIND_JOB, "{" RUN ",\"schedule\":{\"cron\":[\"* * * * *\",\"61 * * * *\"]}}",
			"spec.schedule.cron[1]", "minute"},
		{KIND_JOB, "{" RUN ",\"schedule\":{\"cron\":[\"* * * *;\"]}}",
			"spec.schedule.cron[0]", "minute, hour, day"},
		{KIND_JOB, "{" RUN ",\"type\":\"service\",\"schedule\":{\"cron\":[\"* * * * *\"]}}",
			"spec.schedule", "set spec.type to batch"},
		{KIND_JOB, "{" RUN ",\"type\":\"system\",\"template\":{}}", "spec.template",
			"set spec.type to batch"},
		{KIND_JOB, "{" RUN ",\"template\":{},\"schedule\":{\"cron\":[\"* * * * *\"]}}",
			"spec.template", "exclude each other"},
		{KIND_JOB, "{" RUN ",\"template\":{\"payload\":\"maybe\"}}",
			"spec.template.payload", "optional, required or forbidden"},
		{KIND_JOB,
			"{" RUN
			",\"template\":{\"meta_required\":[\"a-b\"],\"meta_optional\":[\"A_b\"]}}",
			"spec.template.meta_optional[0]", "PENSTOCK_META_A_B"},
		{KIND_JOB, "{" RUN ",\"template\":{\"meta_required\":[\"1a\"]}}",
			"spec.template.meta_required[0]", "not beginning with a digit"},
		{KIND_JOB, "{" RUN ",\"resources\":{\"ports\":[80,80]}}", "spec.resources.ports[1]",
			"same as item 0"},
		{KIND_JOB, "{" RUN ",\"resources\":{\"ports\":[0]}}", "spec.resources.ports[0]",
			"from 1 to 65535"},
		{KIND_JOB, "{" RUN ",\"resources\":{\"devices\":{\"gpu\":0}}}",
			"spec.resources.devices.gpu", "from 1 to 1024"},
		{KIND_JOB,
			"{" RUN ",\"resources\":{\"ports\":[80]},\"groups\":[{\"name\":\"g\","
			"\"resources\":{\"ports\":[81,80]}}]}",
			"spec.groups[0].resources.ports[1]", "in one place"},
		{KIND_JOB,
			"{" RUN
			",\"resources\":{\"devices\":{\"gpu\":1}},\"groups\":[{\"name\":\"g\","
			"\"resources\":{\"devices\":{\"gpu\":1}}}]}",
			"spec.groups[0].resources.devices.gpu", "in one place"},
		{KIND_FUNCTION, "{" RUN ",\"placement\":{\"constraints\":[{\"value\":\"x\"}]}}",
			"spec.placement.constraints[0].attribute", "required"},
		{KIND_FUNCTION,
			"{" RUN ",\"placement\":{\"constraints\":[{\"attribute\":\"rack\"}]}}",
			"spec.placement.constraints[0].value", "required for the op ="},
		{KIND_FUNCTION,
			"{" RUN
			",\"placement\":{\"constraints\":[{\"attribute\":\"rack\",\"op\":\"~\"}]}}",
			"spec.placement.constraints[0].op", "contains-any or distinct-property"},
		{KIND_FUNCTION,
			"{" RUN ",\"placement\":{\"constraints\":[{\"attribute\":\"rack\","
			"\"op\":\"distinct-property\",\"value\":\"two\"}]}}",
			"spec.placement.constraints[0].value", "how many instances"},
		{KIND_FUNCTION,
			"{" RUN ",\"placement\":{\"constraints\":[{\"attribute\":\"a "
				"b\",\"op\":\"set\"}]}}",
			"spec.placement.constraints[0].attribute", "letters, digits"},
		{KIND_FUNCTION,
			"{" RUN
			",\"placement\":{\"affinities\":[{\"attribute\":\"rack\",\"value\":\"r\","
			"\"weight\":0}]}}",
			"spec.placement.affinities[0].weight", "must not be 0"},
		{KIND_FUNCTION,
			"{" RUN ",\"placement\":{\"affinities\":[{\"attribute\":\"rack\","
			"\"op\":\"distinct-property\"}]}}",
			"spec.placement.affinities[0].op", "contains-any"},
		{KIND_FUNCTION,
			"{" RUN ",\"placement\":{\"spreads\":[{\"attribute\":\"dc\",\"targets\":["
			"{\"value\":\"a\",\"percent\":60},{\"value\":\"b\",\"percent\":50}]}]}}",
			"spec.placement.spreads[0].targets", "110 percent"},
		{KIND_FUNCTION,
			"{" RUN ",\"placement\":{\"spreads\":[{\"attribute\":\"dc\",\"targets\":["
			"{\"value\":\"a\",\"percent\":1},{\"value\":\"a\",\"percent\":2}]}]}}",
			"spec.placement.spreads[0].targets[1].value", "same as item 0"},
		{KIND_FUNCTION, "{" RUN ",\"placement\":{\"near\":[\"Store\"]}}",
			"spec.placement.near[0]", "NAMESPACE/NAME"},
		{KIND_FUNCTION, "{" RUN ",\"placement\":{\"near\":[\"a/b/c\"]}}",
			"spec.placement.near[0]", "NAMESPACE/NAME"},
		{KIND_QUOTA, "{\"cpu_milli\":-1}", "spec.cpu_milli", "from 0"},
		{KIND_QUOTA, "{\"memroy\":1}", "spec.memroy", "did you mean memory?"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		refuses("a", cases[i].kind, cases[i].spec, cases[i].field, cases[i].part);
	refuses("a2345678901234567890123456789012345678901234567", KIND_JOB,
		"{" RUN ",\"template\":{}}", "metadata.name", "at most 46 characters");
}

// The limits of the scheduler are of a job with all its groups.
static void test_limits_are_of_all_groups(void **state)
{
	char text[16384], *at = text;
	json_t *spec;

	(void)state;
	for (int extra = 0; extra < 2; extra++) {
		at = text + sprintf(text, "{" RUN ",\"groups\":[");
		for (int g = 0; g < 4; g++) {
			at += sprintf(at, "%s{\"name\":\"g%d\",\"placement\":{\"constraints\":[",
				g ? "," : "", g);
			for (int i = 0; i < 16 + (g == 3 && extra); i++)
				at += sprintf(at, "%s{\"attribute\":\"a%d\",\"op\":\"set\"}",
					i ? "," : "", i);
			at += sprintf(at, "]}}");
		}
		strcpy(at, "]}");
		if (extra)
			break;
		spec = normal(KIND_JOB, text);
		json_decref(spec);
	}
	refuses("a", KIND_JOB, text, "spec.groups[3].placement.constraints",
		"there may be 64 constraints with all groups");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults_of_jobs),
		cmocka_unit_test(test_groups_leave_out),
		cmocka_unit_test(test_launches),
		cmocka_unit_test(test_errors_name_the_field),
		cmocka_unit_test(test_limits_are_of_all_groups),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
