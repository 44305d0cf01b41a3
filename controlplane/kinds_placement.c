// SPDX-License-Identifier: Apache-2.0
// Rules that functions, jobs and the groups of jobs share: where they may run, what they need, how
// they are updated. Pure. Members may be missing: a group leaves out what is as in its job.
#include "controlplane/kinds_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sched/types.h"

const char *const runtime_names[] = {"process", "oci", "wasm", NULL};
// In the order of enum sched_op.
const char *const placement_ops[] = {"=", "!=", "<", "<=", ">", ">=", "set", "unset", "contains",
	"contains-any", "distinct-property", NULL};
const char *const affinity_ops[] = {
	"=", "!=", "<", "<=", ">", ">=", "set", "unset", "contains", "contains-any", NULL};

_Static_assert(sizeof(placement_ops) / sizeof(placement_ops[0]) == SCHED_OPS + 1, "a name each");

// The text of a string or an integer, to look it up by.
static const char *text_of(const json_t *value, char *room, size_t len)
{
	if (json_is_string(value))
		return json_string_value(value);
	snprintf(room, len, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	return room;
}

bool no_doubles(
	const json_t *array, const char *member, const char *field, struct schema_error *error)
{
	json_t *seen = json_object();
	bool good = true;

	for (size_t i = 0; good && i < json_array_size(array); i++) {
		const json_t *item = json_array_get(array, i);
		char room[32], where[120];
		const char *text =
			text_of(member ? json_object_get(item, member) : item, room, sizeof(room));
		const json_t *first = json_object_get(seen, text);

		if (!first) {
			json_object_set_new(seen, text, json_integer((json_int_t)i));
			continue;
		}
		snprintf(where, sizeof(where), "%s[%zu]%s%s", field, i, member ? "." : "",
			member ? member : "");
		good = schema_fail(error, "invalid_field", where,
			"%s is the same as item %" JSON_INTEGER_FORMAT ": remove one of them",
			where, json_integer_value(first));
	}
	json_decref(seen);
	return good;
}

static const char *string_at(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

static bool needs_value(const char *op)
{
	return strcmp(op, "set") != 0 && strcmp(op, "unset") != 0 &&
	       strcmp(op, "distinct-property") != 0;
}

// How many may share a value: a number, or nothing for 1.
static bool is_property_limit(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	return !*text || (!text[digits] && digits <= 7 && atoi(text) > 0);
}

static bool constraint_check(const json_t *c, const char *at, size_t i, struct schema_error *error)
{
	const char *op = string_at(c, "op"), *value = string_at(c, "value");
	char field[120];

	snprintf(field, sizeof(field), "%s.placement.constraints[%zu].value", at, i);
	if (needs_value(op) && !*value)
		return schema_fail(error, "missing_field", field,
			"%s is required for the op %s: say with what the attribute is compared",
			field, op);
	if (strcmp(op, "distinct-property") == 0 && !is_property_limit(value))
		return schema_fail(error, "invalid_field", field,
			"%s must be how many instances may share a value, such as \"2\", or be "
			"left "
			"out for 1",
			field);
	return true;
}

static bool constraints_check(const json_t *constraints, const char *at,
	struct placement_counts *counts, struct schema_error *error)
{
	for (size_t i = 0; i < json_array_size(constraints); i++) {
		const json_t *c = json_array_get(constraints, i);

		if (!constraint_check(c, at, i, error))
			return false;
		counts->constraints++;
		counts->properties += strcmp(string_at(c, "op"), "distinct-property") == 0;
	}
	return true;
}

static bool affinities_check(const json_t *affinities, const char *at,
	struct placement_counts *counts, struct schema_error *error)
{
	char field[120];

	for (size_t i = 0; i < json_array_size(affinities); i++) {
		const json_t *a = json_array_get(affinities, i);

		counts->affinities++;
		snprintf(field, sizeof(field), "%s.placement.affinities[%zu].value", at, i);
		if (needs_value(string_at(a, "op")) && !*string_at(a, "value"))
			return schema_fail(error, "missing_field", field,
				"%s is required for the op %s: say with what the attribute is "
				"compared",
				field, string_at(a, "op"));
		snprintf(field, sizeof(field), "%s.placement.affinities[%zu].weight", at, i);
		if (!json_integer_value(json_object_get(a, "weight")))
			return schema_fail(error, "invalid_field", field,
				"%s must not be 0: give 1 to 100, or -1 to -100 for rather not",
				field);
	}
	return true;
}

static bool spreads_check(const json_t *spreads, const char *at, struct placement_counts *counts,
	struct schema_error *error)
{
	char field[120];

	for (size_t i = 0; i < json_array_size(spreads); i++) {
		const json_t *targets = json_object_get(json_array_get(spreads, i), "targets");
		json_int_t percent = 0;

		counts->spreads++;
		snprintf(field, sizeof(field), "%s.placement.spreads[%zu].targets", at, i);
		for (size_t k = 0; k < json_array_size(targets); k++, counts->targets++)
			percent += json_integer_value(
				json_object_get(json_array_get(targets, k), "percent"));
		if (percent > 100)
			return schema_fail(error, "invalid_field", field,
				"the shares in %s make %" JSON_INTEGER_FORMAT
				" percent: lower them "
				"to 100 or less",
				field, percent);
		if (!no_doubles(targets, "value", field, error))
			return false;
	}
	return true;
}

// All groups together share the limits of the scheduler.
static bool counts_check(
	const char *at, const struct placement_counts *c, struct schema_error *error)
{
	const struct {
		const char *field, *noun;
		size_t count, max;
	} limits[] = {
		{"placement.constraints", "constraints", c->constraints, SCHED_CONSTRAINTS_MAX},
		{"placement.constraints", "constraints with the op distinct-property",
			c->properties, SCHED_PROPERTIES_MAX},
		{"placement.affinities", "affinities", c->affinities, SCHED_AFFINITIES_MAX},
		{"placement.spreads", "spreads", c->spreads, SCHED_SPREADS_MAX},
		{"placement.spreads", "targets of spreads", c->targets, SCHED_TARGETS_MAX},
		{"resources", "devices and ports", c->claims, SCHED_CLAIMS_MAX},
		{"placement.near", "names in near", c->near, SCHED_NEAR_MAX},
	};

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		char field[120];

		if (limits[i].count <= limits[i].max)
			continue;
		snprintf(field, sizeof(field), "%s.%s", at, limits[i].field);
		return schema_fail(error, "invalid_field", field,
			"there may be %zu %s with all groups, but with %s there are %zu: leave "
			"some out",
			limits[i].max, limits[i].noun, field, limits[i].count);
	}
	return true;
}

bool placement_check(const json_t *spec, const char *at, struct placement_counts *counts,
	struct schema_error *error)
{
	const json_t *placement = json_object_get(spec, "placement");
	const json_t *resources = json_object_get(spec, "resources");
	const json_t *ports = json_object_get(resources, "ports");
	char field[80];

	counts->claims +=
		json_array_size(ports) + json_object_size(json_object_get(resources, "devices"));
	snprintf(field, sizeof(field), "%s.resources.ports", at);
	if (!no_doubles(ports, NULL, field, error))
		return false;
	counts->near += json_array_size(json_object_get(placement, "near"));
	snprintf(field, sizeof(field), "%s.placement.near", at);
	return no_doubles(json_object_get(placement, "near"), NULL, field, error) &&
	       constraints_check(json_object_get(placement, "constraints"), at, counts, error) &&
	       affinities_check(json_object_get(placement, "affinities"), at, counts, error) &&
	       spreads_check(json_object_get(placement, "spreads"), at, counts, error) &&
	       counts_check(at, counts, error);
}

bool update_check(const json_t *spec, const char *at, bool service, struct schema_error *error)
{
	const json_t *update = json_object_get(spec, "update");
	json_int_t canary = json_integer_value(json_object_get(update, "canary"));
	bool revert = json_is_true(json_object_get(update, "auto_revert"));
	char field[80];

	if (service || (!canary && !revert))
		return true;
	snprintf(field, sizeof(field), "%s.update.%s", at, canary ? "canary" : "auto_revert");
	return schema_fail(error, "invalid_field", field,
		"%s is for jobs of the type service: leave it out, or set spec.type to service",
		field);
}

bool command_check(const char *runtime, const json_t *command, const json_t *image, const char *at,
	struct schema_error *error)
{
	bool process = strcmp(runtime, "process") == 0;
	char field[80];

	snprintf(field, sizeof(field), "%s.%s", at, process ? "command" : "image");
	if (process && json_array_size(command) == 0)
		return schema_fail(error, "missing_field", field,
			"%s is required for the runtime process: give the program and its "
			"arguments, "
			"such as [\"echo\"]",
			field);
	if (!process && !image)
		return schema_fail(error, "missing_field", field,
			"%s is required for the runtime %s: give NAME@sha256:DIGEST", field,
			runtime);
	return true;
}
