// SPDX-License-Identifier: Apache-2.0
// Assignments: see wanted.h.
#include "fnhost/wanted.h"

#include <errno.h>
#include <string.h>

#include "fnhost/functions.h"
#include "lib/base/base64.h"

static bool name_valid(const char *name, size_t max)
{
	size_t len = name ? strlen(name) : 0;

	return len >= 1 && len <= max && name[0] != '-' && name[0] != '.' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == len;
}

bool wanted_id_valid(const char *id)
{
	return name_valid(id, INSTANCE_ID_MAX);
}

static bool command_valid(json_t *command)
{
	json_t *word;
	size_t n;

	if (!json_is_array(command) || json_array_size(command) < 1 ||
		json_array_size(command) > COMMAND_MAX)
		return false;
	json_array_foreach(command, n, word)
	{
		if (!json_is_string(word))
			return false;
	}
	return json_string_length(json_array_get(command, 0)) > 0;
}

// A whole number of an object; what is not there leaves *out as it is.
struct number {
	const char *name;
	json_int_t min, max;
	uint32_t *out;
};

static bool numbers_valid(json_t *spec, const struct number *numbers, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		json_t *value = json_object_get(spec, numbers[i].name);
		json_int_t n = json_integer_value(value);

		if (!value || json_is_null(value))
			continue;
		if (!json_is_integer(value) || n < numbers[i].min || n > numbers[i].max)
			return false;
		*numbers[i].out = (uint32_t)n;
	}
	return true;
}

static bool size_valid(json_t *resources, const char *name, uint64_t *out)
{
	json_t *value = json_object_get(resources, name);

	if (!value || json_is_null(value))
		return true;
	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return false;
	*out = (uint64_t)json_integer_value(value);
	return true;
}

static bool meta_valid(json_t *meta)
{
	const char *key;
	json_t *value;

	if (!meta || json_is_null(meta))
		return true;
	if (!json_is_object(meta) || json_object_size(meta) > META_MAX)
		return false;
	json_object_foreach(meta, key, value)
	{
		if (!name_valid(key, META_KEY_MAX) || !json_is_string(value))
			return false;
	}
	return true;
}

static bool payload_valid(struct wanted *w, json_t *payload)
{
	ssize_t len;

	if (!payload || json_is_null(payload))
		return true;
	if (!json_is_string(payload))
		return false;
	len = base64_decode(json_string_value(payload), json_string_length(payload), NULL);
	if (len < 0 || len > PAYLOAD_BYTES_MAX)
		return false;
	w->payload = json_string_value(payload);
	w->payload_len = (size_t)len;
	return true;
}

static bool kind_valid(struct wanted *w)
{
	const struct number index = {"index", 0, INT32_MAX, &w->index};
	json_t *kind = json_object_get(w->spec, "kind"), *group = json_object_get(w->spec, "group");
	json_t *restart = json_object_get(w->spec, "restart");

	if (!kind || (json_is_string(kind) && strcmp(json_string_value(kind), "function") == 0))
		return true;
	if (!json_is_string(kind) || strcmp(json_string_value(kind), "job") != 0)
		return false;
	w->job = true;
	if (group && !name_valid(json_string_value(group), FN_NAME_MAX))
		return false;
	w->group = group ? json_string_value(group) : "";
	w->restart = json_is_true(restart);
	return (!restart || json_is_boolean(restart)) && numbers_valid(w->spec, &index, 1) && meta_valid(json_object_get(w->spec, "meta")) &&
	       payload_valid(w, json_object_get(w->spec, "payload"));
}

static bool spec_valid(struct wanted *w)
{
	const struct number numbers[] = {
		{"concurrency", 1, CONCURRENCY_MAX, &w->concurrency},
		{"queue", 0, 1 << 20, &w->queue},
		{"timeout_ms", 0, INT32_MAX, &w->timeout_ms},
		{"drain_ms", 0, INT32_MAX, &w->drain_ms},
	};
	json_t *runtime = json_object_get(w->spec, "runtime");
	json_t *resources = json_object_get(w->spec, "resources");

	if (runtime && (!json_is_string(runtime) || strcmp(json_string_value(runtime), "process") != 0))
		return false;
	return json_is_object(w->spec) && command_valid(json_object_get(w->spec, "command")) &&
	       numbers_valid(w->spec, numbers, sizeof(numbers) / sizeof(numbers[0])) &&
	       size_valid(resources, "cpu_milli", &w->cpu_milli) &&
	       size_valid(resources, "memory", &w->memory_bytes) && kind_valid(w);
}

static int read_head(struct wanted *w, json_t *assignment)
{
	const char *desired;
	json_int_t version;

	if (json_unpack(assignment, "{s:s, s:s, s:s, s:I, s:s, s:o}", "id", &w->id, "namespace",
		    &w->namespace, "function", &w->function, "version", &version, "desired",
		    &desired, "spec", &w->spec))
		return -EINVAL;
	if (!wanted_id_valid(w->id) || !name_valid(w->namespace, FN_NAME_MAX) ||
		!name_valid(w->function, FN_NAME_MAX) || version < 0 || version > UINT32_MAX)
		return -EINVAL;
	w->version = (uint32_t)version;
	w->run = strcmp(desired, "run") == 0;
	return 0;
}

int wanted_read_head(struct wanted *w, json_t *assignment)
{
	struct wanted read = {.job = true, .group = ""};
	int error = read_head(&read, assignment);

	if (!error)
		*w = read;
	return error;
}

int wanted_read(struct wanted *w, json_t *assignment)
{
	struct wanted read = {.concurrency = 1, .queue = 128, .drain_ms = 10000};

	if (read_head(&read, assignment) || !spec_valid(&read))
		return -EINVAL;
	*w = read;
	return 0;
}
