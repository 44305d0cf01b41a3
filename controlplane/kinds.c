// SPDX-License-Identifier: Apache-2.0
// The kinds of resources and their fields: the one place that says what may be written, in which
// range, with which default.
#include "controlplane/schema.h"

#include <stdio.h>
#include <string.h>

static const char *const api_versions[] = {"penstock/v1", NULL};
static const char *const runtimes[] = {"process", "oci", "wasm", NULL};
static const char *const classes[] = {"latency", "batch", NULL};
static const char *const colds[] = {"drop", "hold", NULL};
static const char *const policies[] = {"two-choices", NULL};

const struct field common_fields[] = {
	{"apiVersion", FIELD_STRING, 0, 1, 64, .values = api_versions, .def = "\"penstock/v1\"",
		.help = "The version of this format."},
	{"kind", FIELD_STRING, 0, 1, 64, .format = &format_text,
		.help = "The kind of the resource."},
	{"metadata", FIELD_OBJECT, .def = "{}", .help = "What names the resource."},
	{"metadata.name", FIELD_STRING, FIELD_REQUIRED, 1, 63, .format = &format_name,
		.help = "Its name, unique for its kind (and namespace)."},
	{"metadata.namespace", FIELD_STRING, FIELD_NAMESPACED, 1, 63, .def = "\"default\"",
		.format = &format_name, .help = "The namespace of its routes."},
	{"metadata.labels", FIELD_MAP, 0, 0, 64, .def = "{}", .keys = &format_label_key,
		.help = "Labels, for lists by label."},
	{"metadata.labels{}", FIELD_STRING, 0, 0, 63, .format = &format_label_value,
		.help = "The value of a label."},
	{"metadata.version", FIELD_INT, FIELD_READ_ONLY,
		.help = "Grows with each change; also the ETag."},
	{"metadata.created", FIELD_STRING, FIELD_READ_ONLY, .help = "When it was made, UTC."},
	{"metadata.updated", FIELD_STRING, FIELD_READ_ONLY,
		.help = "When it was last changed, UTC."},
	{"spec", FIELD_OBJECT, .def = "{}", .help = "What is wanted."},
	{"status", FIELD_OBJECT, FIELD_READ_ONLY, .help = "What is observed now."},
};
const size_t common_field_count = sizeof(common_fields) / sizeof(common_fields[0]);

static const struct field function_fields[] = {
	{"spec.runtime", FIELD_STRING, 0, 1, 16, .def = "\"process\"", .values = runtimes,
		.help = "What an instance is: a process, an OCI container or a WebAssembly "
			"module."},
	{"spec.command", FIELD_ARRAY, 0, 0, 256, .def = "[]",
		.help = "The program and its arguments. Required for the runtime process."},
	{"spec.command[]", FIELD_STRING, 0, 0, 4096, .format = &format_text,
		.help = "The program, then one argument each."},
	{"spec.image", FIELD_STRING, 0, 1, 512, .format = &format_image,
		.help = "The image with its digest. Required for the runtimes oci and wasm."},
	{"spec.scale", FIELD_OBJECT, .def = "{}", .help = "How many instances there are."},
	{"spec.scale.min", FIELD_INT, 0, 0, 100000, .def = "1",
		.help = "Instances kept without load."},
	{"spec.scale.max", FIELD_INT, 0, 1, 100000, .def = "10", .help = "Instances at most."},
	{"spec.scale.concurrency", FIELD_INT, 0, 1, 10000, .def = "1",
		.help = "Calls that one instance works on at the same time."},
	{"spec.resources", FIELD_OBJECT, .def = "{}", .help = "What one instance needs."},
	{"spec.resources.cpu_milli", FIELD_INT, 0, 1, 1024000, .def = "100",
		.help = "Thousandths of a core."},
	{"spec.resources.memory", FIELD_SIZE, 0, 1 << 20, (int64_t)1 << 50, .def = "\"128Mi\"",
		.help = "Memory, the most an instance may take."},
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
	{"spec.env", FIELD_MAP, 0, 0, 1024, .def = "{}", .keys = &format_env_name,
		.help = "Environment variables of the instances."},
	{"spec.env{}", FIELD_STRING, 0, 0, 65536, .format = &format_text,
		.help = "The value of a variable."},
	{"spec.bindings", FIELD_ARRAY, 0, 0, 0, .def = "[]",
		.help = "Caches and object stores that instances may use. None exist in this "
			"version."},
	{"spec.bindings[]", FIELD_STRING, 0, 1, 63, .format = &format_name, .help = "A binding."},
};

static const struct field endpoint_fields[] = {
	{"spec.addresses", FIELD_ARRAY, FIELD_REQUIRED, 1, 1024,
		.help = "Where the servers listen; calls are balanced over them."},
	{"spec.addresses[]", FIELD_STRING, 0, 1, 200, .format = &format_address,
		.help = "Address and port, or a Unix socket of the gateway's machine."},
	{"spec.routes", FIELD_ARRAY, FIELD_REQUIRED, 1, 1024,
		.help = "Routing tags that are theirs; one that ends with a dot is a prefix. "
			"NAMESPACE/NAME "
			"names a route of another namespace."},
	{"spec.routes[]", FIELD_STRING, 0, 1, 255, .format = &format_route, .help = "A route."},
	{"spec.lease", FIELD_BOOL, .def = "false", .help = "True if the servers grant leases."},
	{"spec.fragments", FIELD_BOOL, .def = "true",
		.help = "False for servers that cannot reassemble fragments."},
};

static const struct field gateway_fields[] = {
	{"spec.ports", FIELD_ARRAY, 0, 0, 16, .def = "[]",
		.help = "Addresses of the ports that the gateway was started with."},
	{"spec.ports[]", FIELD_OBJECT, .help = "A port."},
	{"spec.ports[].name", FIELD_STRING, FIELD_REQUIRED, 1, 63, .format = &format_name,
		.help = "The port's name in the gateway's start-up file."},
	{"spec.ports[].addresses", FIELD_ARRAY, 0, 0, 64, .def = "[]", .help = "Its addresses."},
	{"spec.ports[].addresses[]", FIELD_STRING, 0, 1, 63, .format = &format_prefix,
		.help = "An address with its prefix length."},
	{"spec.ports[].routes", FIELD_ARRAY, 0, 0, 256, .def = "[]", .help = "Routes of the port."},
	{"spec.ports[].routes[]", FIELD_OBJECT, .help = "A route."},
	{"spec.ports[].routes[].to", FIELD_STRING, FIELD_REQUIRED, 1, 63,
		.format = &format_destination, .help = "Where to: default, or a prefix."},
	{"spec.ports[].routes[].via", FIELD_STRING, FIELD_REQUIRED, 1, 63, .format = &format_via,
		.help = "The next hop."},
	{"spec.listeners", FIELD_ARRAY, 0, 0, 16, .def = "[{\"port\": 7878}]",
		.help = "Ports on which clients are served."},
	{"spec.listeners[]", FIELD_OBJECT, .help = "A listener, on every address."},
	{"spec.listeners[].port", FIELD_INT, FIELD_REQUIRED, 1, 65535, .help = "The TCP port."},
	{"spec.limits", FIELD_OBJECT, .def = "{}", .help = "Limits for clients."},
	{"spec.limits.connections_per_address", FIELD_INT, 0, 1, 10000000, .def = "10000",
		.help = "Connections from one client address at most."},
};

static const struct field node_fields[] = {
	{"spec.eligible", FIELD_BOOL, .def = "true",
		.help = "False: no new instances are put there."},
	{"spec.drain", FIELD_BOOL, .def = "false",
		.help = "True: its instances are replaced elsewhere, then stopped."},
};

// Instances are made by the scheduler.
static const struct field instance_fields[] = {
	{"spec.function", FIELD_STRING, FIELD_READ_ONLY, .help = "The function's name."},
	{"spec.version", FIELD_INT, FIELD_READ_ONLY,
		.help = "The function's version; grows when it needs new instances."},
	{"spec.node", FIELD_STRING, FIELD_READ_ONLY, .help = "Where it runs."},
	{"spec.desired", FIELD_STRING, FIELD_READ_ONLY, .help = "run or stop."},
};

static bool function_check(const json_t *spec, struct schema_error *error)
{
	const json_t *scale = json_object_get(spec, "scale");
	const char *runtime = json_string_value(json_object_get(spec, "runtime"));
	bool process = strcmp(runtime, "process") == 0;

	if (json_integer_value(json_object_get(scale, "min")) >
		json_integer_value(json_object_get(scale, "max")))
		return schema_fail(error, "invalid_field", "spec.scale.min",
			"spec.scale.min must not be greater than spec.scale.max: lower min or "
			"raise max");
	if (process && json_array_size(json_object_get(spec, "command")) == 0)
		return schema_fail(error, "missing_field", "spec.command",
			"spec.command is required for the runtime process: give the program and "
			"its arguments, "
			"such as [\"echo\"]");
	if (!process && !json_object_get(spec, "image"))
		return schema_fail(error, "missing_field", "spec.image",
			"spec.image is required for the runtime %s: give NAME@sha256:DIGEST",
			runtime);
	return true;
}

// The text of a string or an integer, to look it up by.
static const char *text_of(const json_t *value, char *room, size_t len)
{
	if (json_is_string(value))
		return json_string_value(value);
	snprintf(room, len, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	return room;
}

// Refuses a value that stands twice in an array (of strings, or of objects, by `member`).
static bool no_doubles(
	const json_t *array, const char *member, const char *field, struct schema_error *error)
{
	json_t *seen = json_object();
	bool good = true;

	for (size_t i = 0; good && i < json_array_size(array); i++) {
		const json_t *item = json_array_get(array, i);
		char room[32], where[64];
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

// Each route is told to gateways with all addresses.
#define ROUTES_TIMES_ADDRESSES_MAX 65536

static bool endpoint_check(const json_t *spec, struct schema_error *error)
{
	size_t addresses = json_array_size(json_object_get(spec, "addresses"));

	if (addresses * json_array_size(json_object_get(spec, "routes")) >
		ROUTES_TIMES_ADDRESSES_MAX)
		return schema_fail(error, "invalid_field", "spec.routes",
			"spec.routes times spec.addresses must not exceed %d: use several "
			"endpoints, or a prefix that ends with a dot",
			ROUTES_TIMES_ADDRESSES_MAX);
	return no_doubles(json_object_get(spec, "addresses"), NULL, "spec.addresses", error) &&
	       no_doubles(json_object_get(spec, "routes"), NULL, "spec.routes", error);
}

static bool gateway_check(const json_t *spec, struct schema_error *error)
{
	return no_doubles(json_object_get(spec, "ports"), "name", "spec.ports", error) &&
	       no_doubles(json_object_get(spec, "listeners"), "port", "spec.listeners", error);
}

#define FIELDS(table) .fields = table, .field_count = sizeof(table) / sizeof((table)[0])

const struct kind_info kinds[KIND_COUNT] = {
	[KIND_FUNCTION] = {"Function", "functions", "function", "A function that hosts run.", true,
		true, true, FIELDS(function_fields), function_check},
	[KIND_ENDPOINT] = {"Endpoint", "endpoints", "endpoint",
		"RSocket servers that others run, and the routes that lead to them.", false, true,
		true, FIELDS(endpoint_fields), endpoint_check},
	[KIND_GATEWAY] = {"Gateway", "gateways", "gateway",
		"A data plane: its addresses, listeners and limits.", false, false, true,
		FIELDS(gateway_fields), gateway_check},
	[KIND_NODE] = {"Node", "nodes", "node",
		"A machine that runs a function host; it registers itself.", false, false, false,
		FIELDS(node_fields), NULL},
	[KIND_INSTANCE] = {"Instance", "instances", "instance", "A running copy of a function.",
		false, true, false, FIELDS(instance_fields), NULL},
};
