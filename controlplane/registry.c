// SPDX-License-Identifier: Apache-2.0
// Resources in memory: tables by kind, loading, putting and deleting. How changes become durable is
// in batch.c; registry.h has the picture. Main thread.
#include "controlplane/registry_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void *must(void *memory)
{
	// Out of memory in the control plane: stop at once; what was acknowledged is in the store.
	if (!memory)
		abort();
	return memory;
}

struct resource *resource_ref(struct resource *resource)
{
	if (resource)
		resource->refs++;
	return resource;
}

void resource_unref(struct resource *resource)
{
	if (!resource || --resource->refs > 0)
		return;
	json_decref(resource->labels);
	json_decref(resource->spec);
	free(resource);
}

static struct resource *resource_new(
	enum kind kind, const char *namespace, const char *name, json_t *labels, json_t *spec)
{
	size_t space = strlen(namespace) + 1, len = strlen(name) + 1;
	struct resource *res = must(malloc(sizeof(*res) + 2 * (space + len)));
	char *text;

	*res = (struct resource){.refs = 1, .kind = kind};
	if (kinds[kind].key_namespace)
		snprintf(res->key, space + len, "%s/%s", namespace, name);
	else
		snprintf(res->key, len, "%s", name);
	text = res->key + space + len;
	res->namespace = memcpy(text, namespace, space);
	res->name = memcpy(text + space, name, len);
	res->labels = labels ? json_incref(labels) : json_object();
	res->spec = spec ? json_incref(spec) : json_object();
	return res;
}

static json_t *time_json(ns_t wall_ns)
{
	char text[40];

	return json_string(time_text(wall_ns, text, sizeof(text)));
}

const char *time_text(ns_t wall_ns, char *text, size_t room)
{
	time_t seconds = (time_t)(wall_ns / NS_PER_SEC);
	struct tm tm;
	size_t n;

	gmtime_r(&seconds, &tm);
	n = strftime(text, room, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + n, room - n, ".%03dZ", (int)(wall_ns % NS_PER_SEC / NS_PER_MS));
	return text;
}

json_t *resource_json(const struct resource *res)
{
	const struct kind_info *kind = &kinds[res->kind];
	json_t *metadata = json_object(), *out = json_object();

	json_object_set_new(metadata, "name", json_string(res->name));
	if (kind->namespaced)
		json_object_set_new(metadata, "namespace", json_string(res->namespace));
	json_object_set(metadata, "labels", res->labels);
	json_object_set_new(metadata, "version", json_integer((json_int_t)res->version));
	json_object_set_new(metadata, "created", time_json(res->created_ns));
	json_object_set_new(metadata, "updated", time_json(res->updated_ns));
	json_object_set_new(out, "apiVersion", json_string("penstock/v1"));
	json_object_set_new(out, "kind", json_string(kind->name));
	json_object_set_new(out, "metadata", metadata);
	json_object_set(out, "spec", res->spec);
	return out;
}

// ---- tables ----

// The first index whose key is not less than `key`.
static size_t lower_bound(const struct registry_table *t, const char *key)
{
	size_t low = 0, high = t->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (strcmp(t->items[mid]->key, key) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

// Puts a new reference in place of what has this key (after NULL: removes it).
void table_set(struct registry *r, enum kind kind, const char *key, struct resource *after)
{
	struct registry_table *t = &r->tables[kind];
	size_t i = lower_bound(t, key);
	bool found = i < t->count && strcmp(t->items[i]->key, key) == 0;

	if (found && after) {
		struct resource *before = t->items[i];

		t->items[i] = resource_ref(after);
		resource_unref(before);
	} else if (found) {
		struct resource *before = t->items[i];

		t->count--;
		memmove(t->items + i, t->items + i + 1, (t->count - i) * sizeof(*t->items));
		resource_unref(before);
	} else if (after) {
		if (t->count == t->room) {
			t->room = t->room ? t->room * 2 : 64;
			t->items = must(realloc(t->items, t->room * sizeof(*t->items)));
		}
		memmove(t->items + i + 1, t->items + i, (t->count - i) * sizeof(*t->items));
		t->items[i] = resource_ref(after);
		t->count++;
	}
}

static struct resource *find(const struct registry *r, enum kind kind, const char *key)
{
	const struct registry_table *t = &r->tables[kind];
	size_t i = lower_bound(t, key);

	return i < t->count && strcmp(t->items[i]->key, key) == 0 ? t->items[i] : NULL;
}

const struct resource *registry_get(const struct registry *r, enum kind kind, const char *key)
{
	return find(r, kind, key);
}

size_t registry_count(const struct registry *r, enum kind kind)
{
	return r->tables[kind].count;
}

size_t registry_after(const struct registry *r, enum kind kind, const char *after)
{
	const struct registry_table *t = &r->tables[kind];
	size_t i = after ? lower_bound(t, after) : 0;

	return i + (after && i < t->count && strcmp(t->items[i]->key, after) == 0);
}

const struct resource *registry_at(const struct registry *r, enum kind kind, size_t index)
{
	return index < r->tables[kind].count ? r->tables[kind].items[index] : NULL;
}

// ---- changes ----

static void store_key(char *key, const struct resource *res)
{
	snprintf(key, STORE_KEY_MAX, "%s/%s", kinds[res->kind].plural, res->key);
}

static void write_resource(struct registry *r, const struct resource *res)
{
	char key[STORE_KEY_MAX];
	json_t *record = json_pack("{s:s, s:s, s:O, s:I, s:I, s:O}", "namespace", res->namespace,
		"name", res->name, "labels", res->labels, "created_ns", (json_int_t)res->created_ns,
		"updated_ns", (json_int_t)res->updated_ns, "spec", res->spec);

	store_key(key, res);
	batch_write(r->collecting, key, must(json_dumps(record, JSON_COMPACT)), res->version);
	json_decref(record);
}

static char *event_line(const struct registry *r, const char *type, enum kind kind,
	const struct resource *res, const char *name, const char *text, ns_t wall_ns)
{
	json_t *event = json_object();
	char *line;

	json_object_set_new(event, "seq", json_integer((json_int_t)r->seq));
	json_object_set_new(event, "time", time_json(wall_ns));
	json_object_set_new(event, "type", json_string(type));
	if (kind < KIND_COUNT) {
		const char *slash = kinds[kind].key_namespace ? strchr(name, '/') : NULL;

		json_object_set_new(event, "kind", json_string(kinds[kind].name));
		if (kinds[kind].namespaced && res)
			json_object_set_new(event, "namespace", json_string(res->namespace));
		else if (slash)
			json_object_set_new(
				event, "namespace", json_stringn(name, (size_t)(slash - name)));
		json_object_set_new(event, "name", json_string(slash ? slash + 1 : name));
	}
	if (text)
		json_object_set_new(event, "text", json_string(text));
	line = must(json_dumps(event, JSON_COMPACT));
	json_decref(event);
	return line;
}

int registry_put(struct registry *r, enum kind kind, const json_t *object, ns_t wall_ns,
	const struct resource **out)
{
	const json_t *metadata = json_object_get(object, "metadata");
	const char *namespace = json_string_value(json_object_get(metadata, "namespace"));
	const char *name = json_string_value(json_object_get(metadata, "name"));
	struct resource *res = resource_new(kind, namespace ? namespace : "", name,
		json_object_get(metadata, "labels"), json_object_get(object, "spec"));
	struct resource *before = find(r, kind, res->key);
	int rc = 0;

	if (before && strcmp(before->namespace, res->namespace) == 0 &&
		json_equal(before->spec, res->spec) && json_equal(before->labels, res->labels)) {
		*out = before;
		goto out;
	}
	if (!before && r->tables[kind].count >= REGISTRY_RESOURCES_MAX)
		rc = -EDQUOT;
	else
		rc = batch_begin_change(r);
	if (rc)
		goto out;
	res->version = r->seq;
	res->created_ns = before ? before->created_ns : wall_ns;
	res->updated_ns = wall_ns;
	batch_add_change(r, kind, before, res,
		event_line(r, before ? "updated" : "created", kind, res, res->name, NULL, wall_ns));
	write_resource(r, res);
	table_set(r, kind, res->key, res);
	*out = res;
out:
	resource_unref(res);
	return rc;
}

int registry_delete(struct registry *r, enum kind kind, const char *key, ns_t wall_ns)
{
	struct resource *before = find(r, kind, key);
	char text[STORE_KEY_MAX];
	int rc;

	if (!before)
		return -ENOENT;
	rc = batch_begin_change(r);
	if (rc)
		return rc;
	batch_add_change(r, kind, before, NULL,
		event_line(r, "deleted", kind, before, before->name, NULL, wall_ns));
	store_key(text, before);
	batch_write(r->collecting, text, NULL, 0);
	table_set(r, kind, key, NULL);
	return 0;
}

int registry_note(struct registry *r, const char *type, enum kind kind, const char *name,
	const char *text, ns_t wall_ns)
{
	int rc = batch_begin_change(r);

	if (rc)
		return rc;
	batch_add_change(r, kind, NULL, NULL, event_line(r, type, kind, NULL, name, text, wall_ns));
	return 0;
}

// ---- loading ----

struct loading {
	struct registry *r;
	enum kind kind;
};

// Passes what an older version wrote through today's table, so that new fields get their defaults.
// What does not pass any more (written by a newer version) is kept as it is: a restart forgets
// nothing.
static json_t *today(enum kind kind, const char *namespace, const char *name, json_t *record)
{
	struct schema_error error;
	json_t *metadata =
		json_pack("{s:s, s:O?}", "name", name, "labels", json_object_get(record, "labels"));
	json_t *object, *normal, *spec;

	if (kinds[kind].namespaced)
		json_object_set_new(metadata, "namespace", json_string(namespace));
	object = json_pack(
		"{s:o, s:O?}", "metadata", metadata, "spec", json_object_get(record, "spec"));
	normal = schema_normalize(&kinds[kind], object, &error);
	spec = json_incref(json_object_get(normal ? normal : object, "spec"));
	json_decref(normal);
	json_decref(object);
	return spec;
}

static int load_one(void *user, const struct store_record *stored)
{
	struct loading *l = user;
	json_t *record = json_loadb(stored->value, stored->len, 0, NULL);
	const char *namespace = json_string_value(json_object_get(record, "namespace"));
	const char *name = json_string_value(json_object_get(record, "name"));
	struct resource *res;
	json_t *spec;

	if (!namespace || !name || !json_is_object(json_object_get(record, "spec"))) {
		json_decref(record);
		return -EBADMSG;
	}
	spec = today(l->kind, namespace, name, record);
	res = resource_new(l->kind, namespace, name, json_object_get(record, "labels"), spec);
	json_decref(spec);
	res->version = stored->version;
	res->created_ns = json_integer_value(json_object_get(record, "created_ns"));
	res->updated_ns = json_integer_value(json_object_get(record, "updated_ns"));
	table_set(l->r, l->kind, res->key, res);
	resource_unref(res);
	json_decref(record);
	return 0;
}

static int load_event(void *user, const struct store_record *stored)
{
	struct registry *r = user;

	if (r->event_count == REGISTRY_EVENTS_MAX)
		return -EBADMSG;
	r->events[r->event_count++] =
		(struct event){stored->version, must(strndup(stored->value, stored->len))};
	return 0;
}

// A random name for this history of sequence numbers, kept as long as the store.
static int new_epoch(struct registry *r)
{
	uint64_t random;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return -EIO;
	snprintf(r->epoch, sizeof(r->epoch), "%016llx", (unsigned long long)random);
	return 0;
}

static int load_meta(struct registry *r)
{
	const char *epoch;
	void *value;
	size_t len;
	json_t *meta;
	int rc = store_get(r->store, REGISTRY_META_KEY, &value, &len, &r->commit.number);

	if (rc == -ENOENT)
		return new_epoch(r);
	if (rc)
		return rc;
	meta = json_loadb(value, len, 0, NULL);
	free(value);
	epoch = json_string_value(json_object_get(meta, "epoch"));
	if (!epoch || strlen(epoch) >= sizeof(r->epoch)) {
		json_decref(meta);
		return -EBADMSG;
	}
	snprintf(r->epoch, sizeof(r->epoch), "%s", epoch);
	r->seq = r->durable = (uint64_t)json_integer_value(json_object_get(meta, "seq"));
	r->published = (uint64_t)json_integer_value(json_object_get(meta, "published"));
	r->commit.seq = r->durable;
	r->commit.published = r->published;
	json_decref(meta);
	return 0;
}

int registry_init(struct registry *r, struct store *store)
{
	int rc;

	memset(r, 0, sizeof(*r));
	r->store = store;
	r->where = "";
	rc = load_meta(r);
	for (enum kind kind = 0; !rc && kind < KIND_COUNT; kind++) {
		struct loading l = {r, kind};
		char prefix[64];

		snprintf(prefix, sizeof(prefix), "%s/", kinds[kind].plural);
		rc = store_list(store, prefix, NULL, load_one, &l);
	}
	if (!rc)
		rc = store_list(store, "events/", NULL, load_event, r);
	// The epoch must outlive a crash from the first answer on.
	if (!rc && !r->commit.number) {
		rc = registry_note(
			r, "store_created", KIND_COUNT, NULL, "the store is new", clock_wall());
		if (!rc)
			rc = registry_flush(r);
	}
	if (rc)
		registry_fini(r);
	return rc;
}

void registry_fini(struct registry *r)
{
	batch_destroy(r->collecting);
	batch_destroy(r->sealed);
	r->collecting = r->sealed = NULL;
	for (enum kind kind = 0; kind < KIND_COUNT; kind++) {
		struct registry_table *t = &r->tables[kind];

		for (size_t i = 0; i < t->count; i++)
			resource_unref(t->items[i]);
		free(t->items);
		*t = (struct registry_table){0};
	}
	while (r->event_count)
		free(r->events[(r->event_first + --r->event_count) % REGISTRY_EVENTS_MAX].line);
}

void registry_observe(
	struct registry *r, void (*changed)(void *user, const struct change *change), void *user)
{
	r->changed = changed;
	r->user = user;
}
