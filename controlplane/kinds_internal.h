// SPDX-License-Identifier: Apache-2.0
// Rows and rules that functions and jobs (and the groups of a job) have in common.
//
// DEF is SHOWN where a default is filled in, INHERITED where what is left out is taken from
// elsewhere: a group's from its job.
#pragma once

#include "controlplane/schema.h"

#define SHOWN(text) text
#define INHERITED(text) NULL

#define PRIORITY_ROW(at)                                                                        \
	{                                                                                       \
		at ".priority", FIELD_INT, 0, 1, 100, .def = "50",                              \
			.help = "Who matters more is placed first, and with preemption in the " \
				"place of others."                                              \
	}

#define COMMAND_ROWS(at, DEF, ENV)                                                                \
	{at ".command", FIELD_ARRAY, 0, 0, 256, .def = DEF("[]"),                                 \
		.help = "The program and its arguments. Required for the runtime process."},      \
		{at ".command[]", FIELD_STRING, 0, 0, 4096, .format = &format_text,               \
			.help = "The program, then one argument each."},                          \
		{at ".image", FIELD_STRING, 0, 1, 512, .format = &format_image,                   \
			.help = "The image with its digest. Required for the runtimes oci and "   \
				"wasm."},                                                         \
		{at ".env", FIELD_MAP, 0, 0, 1024, .def = DEF("{}"), .keys = &format_env_name,    \
			.help = ENV},                                                             \
	{                                                                                         \
		at ".env{}", FIELD_STRING, 0, 0, 65536, .format = &format_text,                   \
			.help = "The value of a variable."                                        \
	}

#define RESOURCES_ROWS(at, DEF)                                                                   \
	{at ".resources", FIELD_OBJECT, .def = DEF("{}"), .help = "What one instance needs."},    \
		{at ".resources.cpu_milli", FIELD_INT, 0, 1, 1024000, .def = DEF("100"),          \
			.help = "Thousandths of a core."},                                        \
		{at ".resources.memory", FIELD_SIZE, 0, 1 << 20, (int64_t)1 << 50,                \
			.def = DEF("\"128Mi\""),                                                  \
			.help = "Memory, the most an instance may take."},                        \
		{at ".resources.disk", FIELD_SIZE, 0, 0, (int64_t)1 << 50, .def = DEF("0"),       \
			.help = "Room on the disk of its node."},                                 \
		{at ".resources.devices", FIELD_MAP, 0, 0, 8, .def = DEF("{}"),                   \
			.keys = &format_label_key,                                                \
			.help = "Devices for itself, by name: a node has as many of NAME as its " \
				"attribute device.NAME says."},                                   \
		{at ".resources.devices{}", FIELD_INT, 0, 1, 1024, .help = "How many of them."},  \
		{at ".resources.ports", FIELD_ARRAY, 0, 0, 8, .def = DEF("[]"),                   \
			.help = "Ports of its node for itself."},                                 \
	{                                                                                         \
		at ".resources.ports[]", FIELD_INT, 0, 1, 65535, .help = "A TCP or UDP port."     \
	}

#define PLACEMENT_ROWS(at, DEF)                                                                   \
	{at ".placement", FIELD_OBJECT, .def = DEF("{}"), .help = "On which nodes it may run, "   \
							 "and on which it would rather."},        \
		{at ".placement.constraints", FIELD_ARRAY, 0, 0, 64, .def = DEF("[]"),            \
			.help = "What a node must fulfil."},                                      \
		{at ".placement.constraints[]", FIELD_OBJECT, .help = "A condition."},            \
		{at ".placement.constraints[].attribute", FIELD_STRING, FIELD_REQUIRED, 1, 128,   \
			.format = &format_attribute, .help = "An attribute of nodes."},           \
		{at ".placement.constraints[].op", FIELD_STRING, 0, 1, 32, .def = "\"=\"",        \
			.values = placement_ops,                                                  \
			.help = "How it compares. contains: the attribute, a list with commas, "  \
				"has all items of the value; distinct-property: at most so many " \
				"instances (1) on nodes with the same value."},                   \
		{at ".placement.constraints[].value", FIELD_STRING, 0, 0, 256, .def = "\"\"",     \
			.format = &format_text, .help = "With what."},                            \
		{at ".placement.affinities", FIELD_ARRAY, 0, 0, 16, .def = DEF("[]"),             \
			.help = "What it would rather have, or rather not."},                     \
		{at ".placement.affinities[]", FIELD_OBJECT, .help = "A wish."},                  \
		{at ".placement.affinities[].attribute", FIELD_STRING, FIELD_REQUIRED, 1, 128,    \
			.format = &format_attribute, .help = "An attribute of nodes."},           \
		{at ".placement.affinities[].op", FIELD_STRING, 0, 1, 32, .def = "\"=\"",         \
			.values = affinity_ops, .help = "How it compares."},                      \
		{at ".placement.affinities[].value", FIELD_STRING, 0, 0, 256, .def = "\"\"",      \
			.format = &format_text, .help = "With what."},                            \
		{at ".placement.affinities[].weight", FIELD_INT, 0, -100, 100, .def = "50",       \
			.help = "How much it matters; below 0: rather not. Not 0."},              \
		{at ".placement.spreads", FIELD_ARRAY, 0, 0, 8, .def = DEF("[]"),                 \
			.help = "Attributes over whose values the instances are spread."},        \
		{at ".placement.spreads[]", FIELD_OBJECT, .help = "A spread."},                   \
		{at ".placement.spreads[].attribute", FIELD_STRING, FIELD_REQUIRED, 1, 128,       \
			.format = &format_attribute, .help = "An attribute of nodes."},           \
		{at ".placement.spreads[].weight", FIELD_INT, 0, 1, 100, .def = "50",             \
			.help = "How much it matters."},                                          \
		{at ".placement.spreads[].targets", FIELD_ARRAY, 0, 0, 64, .def = "[]",           \
			.help = "The share of values; without any, all the same."},               \
		{at ".placement.spreads[].targets[]", FIELD_OBJECT, .help = "A share."},          \
		{at ".placement.spreads[].targets[].value", FIELD_STRING, FIELD_REQUIRED, 0, 256, \
			.format = &format_text, .help = "A value of the attribute."},             \
		{at ".placement.spreads[].targets[].percent", FIELD_INT, FIELD_REQUIRED, 0, 100,  \
			.help = "Its share; the values not named have the rest."},                \
		{at ".placement.distinct_hosts", FIELD_BOOL, .def = DEF("false"),                 \
			.help = "True: no two instances on the same node."},                      \
		{at ".placement.sticky", FIELD_BOOL, .def = DEF("false"),                         \
			.help = "True: what replaces an instance goes to the same node, if it "  \
				"can."},                                                          \
		{at ".placement.near", FIELD_ARRAY, 0, 0, 8, .def = DEF("[]"),                    \
			.help = "Functions and jobs that it works with: it is put near their "    \
				"instances."},                                                    \
	{                                                                                         \
		at ".placement.near[]", FIELD_STRING, 0, 1, 127, .format = &format_reference,     \
			.help = "NAME or NAMESPACE/NAME."                                         \
	}

#define UPDATE_ROWS(at, DEF)                                                                      \
	{at ".update", FIELD_OBJECT, .def = DEF("{}"),                                            \
		.help = "How a new version takes the place of the old one."},                     \
		{at ".update.max_parallel", FIELD_INT, 0, 0, 100000, .def = DEF("0"),             \
			.help = "Instances replaced at a time; 0: a quarter."},                   \
		{at ".update.canary", FIELD_INT, 0, 0, 1000, .def = DEF("0"),                     \
			.help = "Instances of the new version that run beside the old ones "      \
				"until it is promoted."},                                         \
		{at ".update.auto_promote", FIELD_BOOL, .def = DEF("false"),                      \
			.help = "True: promoted when all canaries are healthy."},                 \
		{at ".update.auto_revert", FIELD_BOOL, .def = DEF("false"),                       \
			.help = "True: back to the last good version when a rollout fails."},     \
	{                                                                                         \
		at ".update.progress_deadline_ms", FIELD_INT, 0, 0, 86400000, .def = DEF("0"),    \
			.help = "A rollout in which nothing became healthy for so long fails; "   \
				"0: none does."                                                   \
	}

#define DISCONNECT_ROWS(at, DEF)                                                                  \
	{at ".disconnect", FIELD_OBJECT, .def = DEF("{}"),                                        \
		.help = "What becomes of instances whose node is not heard of."},                 \
	{                                                                                         \
		at ".disconnect.lost_after_ms", FIELD_INT, 0, 0, 604800000, .def = DEF("0"),      \
			.help = "They are replaced when the lease is over, but lost only so "     \
				"long after: if the node is back before, they go on. 0: lost at " \
				"once."                                                           \
	}

// Ends a table.
#define NO_MORE_ROWS \
	{            \
		.path = NULL \
	}

extern const char *const runtime_names[], *const placement_ops[], *const affinity_ops[];
extern const struct field function_fields[], job_fields[];

// `object` is the whole resource.
bool function_check(const json_t *object, struct schema_error *error);
bool job_check(const json_t *object, struct schema_error *error);

// Refuses a value that stands twice in an array (of strings, or of objects, by `member`).
bool no_doubles(
	const json_t *array, const char *member, const char *field, struct schema_error *error);

// How much of what is limited for a job with all its groups (sched/types.h) was seen.
struct placement_counts {
	size_t constraints, properties, affinities, spreads, targets, claims, near;
};

// The rules of `placement`, `resources` and `update` of what stands at the path `at`: the spec, or
// a group of it. Adds to *counts and checks them.
bool placement_check(const json_t *spec, const char *at, struct placement_counts *counts,
	struct schema_error *error);
// Canaries and reverting are for what serves all the time.
bool update_check(const json_t *spec, const char *at, bool service, struct schema_error *error);
// Whether the runtime has what it needs.
bool command_check(const char *runtime, const json_t *command, const json_t *image, const char *at,
	struct schema_error *error);
