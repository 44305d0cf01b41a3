// SPDX-License-Identifier: Apache-2.0
// The kinds of resources and their fields: the one place that says what may be written, in which
// range, with which default. Functions and jobs are in files of their own.
#include "controlplane/kinds_internal.h"

static const char *const api_versions[] = {"penstock/v1", NULL};
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
	NO_MORE_ROWS,
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
	NO_MORE_ROWS,
};

static const struct field node_fields[] = {
	{"spec.eligible", FIELD_BOOL, .def = "true",
		.help = "False: no new instances are put there."},
	{"spec.drain", FIELD_BOOL, .def = "false",
		.help = "True: its instances are replaced elsewhere, then stopped."},
	{"spec.drain_deadline_ms", FIELD_INT, 0, 0, 604800000, .def = "0",
		.help = "What is left there so long after the last change of the node is stopped, "
			"replaced or not; 0: nothing is."},
	NO_MORE_ROWS,
};

// Instances are made by the scheduler.
static const struct field instance_fields[] = {
	{"spec.function", FIELD_STRING, FIELD_READ_ONLY, .help = "The function's name."},
	{"spec.job", FIELD_STRING, FIELD_READ_ONLY, .help = "The job's name."},
	{"spec.group", FIELD_STRING, FIELD_READ_ONLY, .help = "The group of the job."},
	{"spec.index", FIELD_INT, FIELD_READ_ONLY, .help = "Its number in the group, from 0."},
	{"spec.version", FIELD_INT, FIELD_READ_ONLY,
		.help = "The function's or job's version; grows when it needs new instances."},
	{"spec.node", FIELD_STRING, FIELD_READ_ONLY, .help = "Where it runs."},
	{"spec.desired", FIELD_STRING, FIELD_READ_ONLY, .help = "run or stop."},
	NO_MORE_ROWS,
};

// What is left out is without limit.
static const struct field quota_fields[] = {
	{"spec.cpu_milli", FIELD_INT, 0, 0, 1000000000, .help = "Thousandths of cores."},
	{"spec.memory", FIELD_SIZE, 0, 0, (int64_t)1 << 50, .help = "Memory."},
	{"spec.disk", FIELD_SIZE, 0, 0, (int64_t)1 << 50, .help = "Room on disks."},
	{"spec.instances", FIELD_INT, 0, 0, 1000000000, .help = "How many instances."},
	NO_MORE_ROWS,
};

// Evaluations are made by events, and are the scheduler's.
static const struct field evaluation_fields[] = {
	{"spec.job", FIELD_STRING, FIELD_READ_ONLY, .help = "The function or job it is about."},
	{"spec.type", FIELD_STRING, FIELD_READ_ONLY,
		.help = "service (functions, too), batch, system or sysbatch."},
	{"spec.priority", FIELD_INT, FIELD_READ_ONLY, .help = "Of the job."},
	{"spec.trigger", FIELD_STRING, FIELD_READ_ONLY, .help = "What made it, a word."},
	{"spec.because", FIELD_STRING, FIELD_READ_ONLY, .help = "The same for people."},
	{"spec.node", FIELD_STRING, FIELD_READ_ONLY, .help = "The only node it is about."},
	{"spec.previous", FIELD_INT, FIELD_READ_ONLY, .help = "The evaluation that made it."},
	{"spec.wait_until", FIELD_STRING, FIELD_READ_ONLY, .help = "Not before, UTC."},
	NO_MORE_ROWS,
};

// Each route is told to gateways with all addresses.
#define ROUTES_TIMES_ADDRESSES_MAX 65536

static bool endpoint_check(const json_t *object, struct schema_error *error)
{
	const json_t *spec = json_object_get(object, "spec");
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

static bool gateway_check(const json_t *object, struct schema_error *error)
{
	const json_t *spec = json_object_get(object, "spec");

	return no_doubles(json_object_get(spec, "ports"), "name", "spec.ports", error) &&
	       no_doubles(json_object_get(spec, "listeners"), "port", "spec.listeners", error);
}

const struct kind_info kinds[KIND_COUNT] = {
	[KIND_FUNCTION] = {"Function", "functions", "function", "A function that hosts run.", true,
		true, true, function_fields, function_check},
	[KIND_ENDPOINT] = {"Endpoint", "endpoints", "endpoint",
		"RSocket servers that others run, and the routes that lead to them.", false, true,
		true, endpoint_fields, endpoint_check},
	[KIND_GATEWAY] = {"Gateway", "gateways", "gateway",
		"A data plane: its addresses, listeners and limits.", false, false, true,
		gateway_fields, gateway_check},
	[KIND_JOB] = {"Job", "jobs", "job",
		"What hosts run without being called: to its end, all the time, on every node, at "
		"set times or when it is dispatched.",
		true, true, true, job_fields, job_check},
	[KIND_QUOTA] = {"Quota", "quotas", "quota",
		"What all functions and jobs of the namespace of its name may have together.", false,
		false, true, quota_fields, NULL},
	[KIND_NODE] = {"Node", "nodes", "node",
		"A machine that runs a function host; it registers itself.", false, false, false,
		node_fields, NULL},
	[KIND_INSTANCE] = {"Instance", "instances", "instance",
		"A running copy of a function or job.", false, true, false, instance_fields, NULL},
	[KIND_EVALUATION] = {"Evaluation", "evaluations", "evaluation",
		"What the scheduler looked at for a job, what came of it and what it waits for.",
		false, true, false, evaluation_fields, NULL},
};
