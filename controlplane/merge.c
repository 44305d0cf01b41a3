// SPDX-License-Identifier: Apache-2.0
// JSON merge patch (RFC 7396) and the list of changes that a dry run shows. Pure. The depth of
// recursion is that of the parser's limit (jansson: 2048).
#include "controlplane/merge.h"

#include <stdio.h>
#include <stdint.h>

static json_t *mutable(const json_t *json)
{
	return (json_t *)(uintptr_t)json;
}

// RFC 7396 section 2, MergePatch(Target, Patch).
json_t *merge_patch(const json_t *target, const json_t *patch)
{
	const char *key;
	json_t *value, *out;

	if (!json_is_object(patch))
		return json_deep_copy(patch);
	out = json_is_object(target) ? json_copy(mutable(target)) : json_object();
	json_object_foreach(mutable(patch), key, value)
	{
		if (json_is_null(value))
			json_object_del(out, key);
		else
			json_object_set_new(
				out, key, merge_patch(json_object_get(out, key), value));
	}
	return out;
}

static void changes(json_t *out, const char *path, const json_t *before, const json_t *after);

static void changes_member(
	json_t *out, const char *path, const char *key, const json_t *before, const json_t *after)
{
	char longer[256];

	snprintf(longer, sizeof(longer), "%s%s%.100s", path, *path ? "." : "", key);
	changes(out, longer, before, after);
}

static void changes(json_t *out, const char *path, const json_t *before, const json_t *after)
{
	const char *key;
	json_t *value, *change;

	if (before && after && json_equal(mutable(before), mutable(after)))
		return;
	if ((!before || json_is_object(before)) && (!after || json_is_object(after)) &&
		(json_object_size(before) || json_object_size(after))) {
		json_object_foreach(mutable(before), key, value)
			changes_member(out, path, key, value, json_object_get(after, key));
		json_object_foreach(mutable(after), key, value) if (!json_object_get(before, key))
			changes_member(out, path, key, NULL, value);
		return;
	}
	change = json_object();
	json_object_set_new(change, "field", json_string(path));
	if (before)
		json_object_set(change, "from", mutable(before));
	if (after)
		json_object_set(change, "to", mutable(after));
	json_array_append_new(out, change);
}

json_t *merge_changes(const json_t *before, const json_t *after)
{
	json_t *out = json_array();

	changes(out, "", before, after);
	return out;
}
