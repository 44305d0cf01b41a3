// SPDX-License-Identifier: Apache-2.0
// The fields of functions: what is called, and kept running for that.
#include "controlplane/kinds_internal.h"

static const char *const classes[] = {"latency", "batch", NULL};
static const char *const colds[] = {"drop", "hold", NULL};
static const char *const policies[] = {"two-choices", NULL};

const struct field function_fields[] = {
	{"spec.runtime", FIELD_STRING, 0, 1, 16, .def = "\"process\"", .values = runtime_names,
		.help = "What an instance is: a process, an OCI container or a WebAssembly "
			"module."},
	COMMAND_ROWS("spec", SHOWN, "Environment variables of the instances."),
	{"spec.scale", FIELD_OBJECT, .def = "{}", .help = "How many instances there are."},
	{"spec.scale.min", FIELD_INT, 0, 0, 100000, .def = "1",
		.help = "Instances kept without load."},
	{"spec.scale.max", FIELD_INT, 0, 1, 100000, .def = "10", .help = "Instances at most."},
	{"spec.scale.concurrency", FIELD_INT, 0, 1, 256, .def = "1",
		.help = "Calls that one instance works on at the same time."},
	RESOURCES_ROWS("spec", SHOWN),
	{"spec.call", FIELD_OBJECT, .def = "{}", .help = "How calls are treated."},
	{"spec.call.timeout_ms", FIELD_INT, 0, 0, 86400000, .def = "30000",
		.help = "Deadline of a call that brings none; 0: none."},
	{"spec.call.idempotent", FIELD_BOOL, .def = "false",
		.help = "True if a call may run twice: then it is tried again and hedged."},
	{"spec.call.class", FIELD_STRING, 0, 1, 16, .def = "\"latency\"", .values = classes,
		.help = "Whether latency or throughput matters."},
	{"spec.call.cold", FIELD_STRING, 0, 1, 16, .def = "\"drop\"", .values = colds,
		.help = "Whether a call is refused or held while no instance lives."},
	{"spec.call.queue", FIELD_INT, 0, 0, 1000000, .def = "128",
		.help = "Calls that wait on a host at most; more are REJECTED."},
	{"spec.balance", FIELD_OBJECT, .def = "{}", .help = "How gateways choose a host."},
	{"spec.balance.policy", FIELD_STRING, 0, 1, 32, .def = "\"two-choices\"",
		.values = policies, .help = "two-choices: the less loaded of two at random."},
	PRIORITY_ROW("spec"),
	PLACEMENT_ROWS("spec", SHOWN),
	UPDATE_ROWS("spec", SHOWN),
	DISCONNECT_ROWS("spec", SHOWN),
	{"spec.bindings", FIELD_ARRAY, 0, 0, 0, .def = "[]",
		.help = "Caches and object stores that instances may use. None exist in this "
			"version."},
	{"spec.bindings[]", FIELD_STRING, 0, 1, 63, .format = &format_name, .help = "A binding."},
	NO_MORE_ROWS,
};

bool function_check(const json_t *object, struct schema_error *error)
{
	const json_t *spec = json_object_get(object, "spec"),
		     *scale = json_object_get(spec, "scale");
	struct placement_counts counts = {0};

	if (json_integer_value(json_object_get(scale, "min")) >
		json_integer_value(json_object_get(scale, "max")))
		return schema_fail(error, "invalid_field", "spec.scale.min",
			"spec.scale.min must not be greater than spec.scale.max: lower min or "
			"raise max");
	return command_check(json_string_value(json_object_get(spec, "runtime")),
		       json_object_get(spec, "command"), json_object_get(spec, "image"), "spec",
		       error) &&
	       placement_check(spec, "spec", &counts, error);
}
