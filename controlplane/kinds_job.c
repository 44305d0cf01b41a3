// SPDX-License-Identifier: Apache-2.0
// The fields of jobs: what runs to its end, or without being called. What a group leaves out is as
// in its job; constraints, affinities, spreads, devices and ports of the job hold for all groups,
// and those of a group come on top.
#include "controlplane/kinds_internal.h"

#include <stdio.h>
#include <string.h>

#include "sched/cron.h"
#include "sched/types.h"

static const char *const types[] = {"batch", "service", "system", "sysbatch", NULL};
static const char *const payloads[] = {"optional", "required", "forbidden", NULL};

const struct field job_fields[] = {
	{"spec.type", FIELD_STRING, 0, 1, 16, .def = "\"batch\"", .values = types,
		.help = "batch: instances run to their end; service: all the time; sysbatch and "
			"system: the same, one on each node."},
	{"spec.runtime", FIELD_STRING, 0, 1, 16, .def = "\"process\"", .values = runtime_names,
		.help = "What an instance is: a process, an OCI container or a WebAssembly "
			"module."},
	COMMAND_ROWS("spec", SHOWN, "Environment variables of the instances."),
	{"spec.count", FIELD_INT, 0, 0, SCHED_COUNT_MAX, .def = "1",
		.help = "How many instances; of system and sysbatch one a node."},
	RESOURCES_ROWS("spec", SHOWN),
	PRIORITY_ROW("spec"),
	PLACEMENT_ROWS("spec", SHOWN),
	UPDATE_ROWS("spec", SHOWN),
	DISCONNECT_ROWS("spec", SHOWN),
	{"spec.groups", FIELD_ARRAY, 0, 0, SCHED_GROUPS_MAX, .def = "[]",
		.help = "Instances of several kinds; none: one group, main, as the job says."},
	{"spec.groups[]", FIELD_OBJECT, .help = "A group. What it leaves out is as in the job."},
	{"spec.groups[].name", FIELD_STRING, FIELD_REQUIRED, 1, 63, .format = &format_name,
		.help = "The group's name."},
	{"spec.groups[].count", FIELD_INT, 0, 0, SCHED_COUNT_MAX, .help = "How many instances."},
	COMMAND_ROWS("spec.groups[]", INHERITED,
		"Environment variables besides those of the job, or in place of them."),
	RESOURCES_ROWS("spec.groups[]", INHERITED),
	PLACEMENT_ROWS("spec.groups[]", INHERITED),
	UPDATE_ROWS("spec.groups[]", INHERITED),
	DISCONNECT_ROWS("spec.groups[]", INHERITED),
	{"spec.schedule", FIELD_OBJECT,
		.help = "When it runs. Each time a job of its own is made: NAME-SECONDS."},
	{"spec.schedule.cron", FIELD_ARRAY, FIELD_REQUIRED, 1, 8,
		.help = "Minute, hour, day, month and weekday in UTC; any of several."},
	{"spec.schedule.cron[]", FIELD_STRING, 0, 1, 100, .format = &format_cron,
		.help = "Such as \"*/5 * * * *\"."},
	{"spec.schedule.overlap", FIELD_BOOL, .def = "false",
		.help = "False: not while the one before has not ended."},
	{"spec.template", FIELD_OBJECT,
		.help = "It runs when it is dispatched. Each time a job of its own is made."},
	{"spec.template.payload", FIELD_STRING, 0, 1, 16, .def = "\"optional\"", .values = payloads,
		.help = "Whether a dispatch brings bytes; instances have them on standard input "
			"and as the file PENSTOCK_PAYLOAD."},
	{"spec.template.meta_required", FIELD_ARRAY, 0, 0, 32, .def = "[]",
		.help = "Names that a dispatch must give a value."},
	{"spec.template.meta_required[]", FIELD_STRING, 0, 1, 63, .format = &format_meta,
		.help = "A name; instances have it as PENSTOCK_META_NAME."},
	{"spec.template.meta_optional", FIELD_ARRAY, 0, 0, 32, .def = "[]",
		.help = "Names that a dispatch may give a value."},
	{"spec.template.meta_optional[]", FIELD_STRING, 0, 1, 63, .format = &format_meta,
		.help = "A name."},
	NO_MORE_ROWS,
};

static bool cron_list_check(const json_t *list, struct schema_error *error)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *text = json_string_value(json_array_get(list, i));
		char why[200], field[48];
		const char *wrong = cron_check(text, why, sizeof(why));

		snprintf(field, sizeof(field), "spec.schedule.cron[%zu]", i);
		if (wrong)
			return schema_fail(error, "invalid_field", field, "%s is '%s': %s", field,
				text, wrong);
	}
	return true;
}

static bool launch_check(const json_t *object, const char *type, struct schema_error *error)
{
	const json_t *spec = json_object_get(object, "spec");
	const json_t *schedule = json_object_get(spec, "schedule");
	const json_t *template = json_object_get(spec, "template");
	const char *name =
		json_string_value(json_object_get(json_object_get(object, "metadata"), "name"));
	const char *field = schedule ? "spec.schedule" : "spec.template";

	if (!schedule && !template)
		return true;
	if (schedule && template)
		return schema_fail(error, "invalid_field", "spec.template",
			"spec.template and spec.schedule exclude each other: make two jobs");
	if (strcmp(type, "batch") != 0)
		return schema_fail(error, "invalid_field", field,
			"%s is for what ends: set spec.type to batch", field);
	if (name && strlen(name) > SCHED_PARENT_NAME_MAX)
		return schema_fail(error, "invalid_field", "metadata.name",
			"metadata.name must have at most %d characters with %s, but has %zu: the "
			"names of the jobs that are made begin with it",
			SCHED_PARENT_NAME_MAX, field, strlen(name));
	return cron_list_check(json_object_get(schedule, "cron"), error);
}

// A name that is required cannot be optional; - and _ are the same in the environment.
static bool meta_check(const json_t *template, struct schema_error *error)
{
	static const char *const lists[] = {"meta_required", "meta_optional"};
	json_t *seen = json_object();
	bool good = true;

	for (size_t l = 0; good && l < 2; l++) {
		const json_t *list = json_object_get(template, lists[l]);

		for (size_t i = 0; good && i < json_array_size(list); i++) {
			const char *name = json_string_value(json_array_get(list, i));
			char variable[64], field[80];

			snprintf(variable, sizeof(variable), "%s", name);
			for (char *p = variable; *p; p++)
				*p = *p == '-'                ? '_'
				     : *p >= 'a' && *p <= 'z' ? (char)(*p - 32)
							      : *p;
			snprintf(field, sizeof(field), "spec.template.%s[%zu]", lists[l], i);
			if (json_object_get(seen, variable))
				good = schema_fail(error, "invalid_field", field,
					"%s would be PENSTOCK_META_%s like one before: remove one "
					"of "
					"them",
					field, variable);
			json_object_set_new(seen, variable, json_true());
		}
	}
	json_decref(seen);
	return good;
}

static bool count_check(
	const json_t *spec, const char *at, bool by_node, struct schema_error *error)
{
	char field[80];

	if (!by_node || json_integer_value(json_object_get(spec, "count")) <= 1)
		return true;
	snprintf(field, sizeof(field), "%s.count", at);
	return schema_fail(error, "invalid_field", field,
		"%s must be left out for the types system and sysbatch: they have one instance on "
		"each node",
		field);
}

static bool has(const json_t *list, const json_t *item)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (json_equal(json_array_get(list, i), item))
			return true;
	return false;
}

// They add up: a port twice would never be there, and of devices it would be easy to miss.
static bool claims_check(
	const json_t *spec, const json_t *group, const char *at, struct schema_error *error)
{
	const json_t *of_job = json_object_get(spec, "resources");
	const json_t *of_group = json_object_get(group, "resources");
	const json_t *ports = json_object_get(of_group, "ports");
	const char *name;
	char field[160];
	json_t *value;

	json_object_foreach(json_object_get(of_group, "devices"), name, value)
	{
		snprintf(field, sizeof(field), "%s.resources.devices.%s", at, name);
		if (json_object_get(json_object_get(of_job, "devices"), name))
			return schema_fail(error, "invalid_field", field,
				"%s is in spec.resources.devices already, for all groups: name it "
				"in one "
				"place",
				field);
	}
	for (size_t i = 0; i < json_array_size(ports); i++) {
		snprintf(field, sizeof(field), "%s.resources.ports[%zu]", at, i);
		if (has(json_object_get(of_job, "ports"), json_array_get(ports, i)))
			return schema_fail(error, "invalid_field", field,
				"%s is in spec.resources.ports already, for all groups: name it in "
				"one "
				"place",
				field);
	}
	return true;
}

static bool group_check(
	const json_t *spec, size_t i, struct placement_counts *counts, struct schema_error *error)
{
	const char *type = json_string_value(json_object_get(spec, "type"));
	const json_t *group = json_array_get(json_object_get(spec, "groups"), i);
	const json_t *command = json_object_get(group, "command");
	const json_t *image = json_object_get(group, "image");
	char at[40];

	snprintf(at, sizeof(at), "spec.groups[%zu]", i);
	return count_check(group, at, strncmp(type, "sys", 3) == 0, error) &&
	       command_check(json_string_value(json_object_get(spec, "runtime")),
		       command ? command : json_object_get(spec, "command"),
		       image ? image : json_object_get(spec, "image"), at, error) &&
	       placement_check(group, at, counts, error) && claims_check(spec, group, at, error) &&
	       update_check(group, at, strcmp(type, "service") == 0, error);
}

bool job_check(const json_t *object, struct schema_error *error)
{
	const json_t *spec = json_object_get(object, "spec");
	const json_t *groups = json_object_get(spec, "groups");
	const char *type = json_string_value(json_object_get(spec, "type"));
	struct placement_counts counts = {0};

	if (!launch_check(object, type, error) ||
		!meta_check(json_object_get(spec, "template"), error) ||
		!count_check(spec, "spec", strncmp(type, "sys", 3) == 0, error) ||
		!placement_check(spec, "spec", &counts, error) ||
		!update_check(spec, "spec", strcmp(type, "service") == 0, error) ||
		!no_doubles(groups, "name", "spec.groups", error))
		return false;
	if (!json_array_size(groups))
		return command_check(json_string_value(json_object_get(spec, "runtime")),
			json_object_get(spec, "command"), json_object_get(spec, "image"), "spec",
			error);
	// The job's names are those of each group.
	counts.near *= json_array_size(groups);
	for (size_t i = 0; i < json_array_size(groups); i++)
		if (!group_check(spec, i, &counts, error))
			return false;
	return true;
}
