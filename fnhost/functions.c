// SPDX-License-Identifier: Apache-2.0
// Functions and their queues: see functions.h. The host's loop thread.
#include "fnhost/functions.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void functions_init(struct functions *f)
{
	for (size_t i = 0; i < FN_BUCKETS; i++)
		list_init(&f->buckets[i]);
	list_init(&f->all);
	list_init(&f->changed);
}

void functions_fini(struct functions *f)
{
	assert(list_empty(&f->all) && "a function is still referenced");
}

// FNV-1a. Names come from the control plane, so nobody gains by collisions.
static uint32_t hash_part(uint32_t hash, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (uint8_t)text[i]) * 16777619u;
	return hash;
}

static struct list *bucket_of(struct functions *f, const char *namespace, size_t namespace_len,
	const char *name, size_t name_len)
{
	uint32_t hash = hash_part(2166136261u, namespace, namespace_len);

	hash = hash_part(hash_part(hash, "/", 1), name, name_len);
	return &f->buckets[hash % FN_BUCKETS];
}

static bool same(const char *text, const char *part, size_t len)
{
	return strncmp(text, part, len) == 0 && !text[len];
}

static void changed(struct functions *f, struct fn *fn)
{
	if (!list_linked(&fn->changed))
		list_push(&f->changed, &fn->changed);
}

static struct fn *fn_new(
	struct functions *f, const char *namespace, const char *name, uint32_t version)
{
	struct fn *fn = calloc(1, sizeof(*fn));

	if (!fn)
		return NULL;
	memcpy(fn->namespace, namespace, strlen(namespace) + 1);
	memcpy(fn->name, name, strlen(name) + 1);
	fn->version = version;
	list_init(&fn->members);
	list_init(&fn->waiting);
	list_push(bucket_of(f, namespace, strlen(namespace), name, strlen(name)), &fn->bucket);
	list_push(&f->all, &fn->all);
	return fn;
}

struct fn *fn_get(struct functions *f, const char *namespace, const char *name, uint32_t version)
{
	struct fn *found = NULL;

	assert(strlen(namespace) <= FN_NAME_MAX && strlen(name) <= FN_NAME_MAX &&
		"names were checked where they came in");
	list_for_each (at, &f->all) {
		struct fn *fn = list_entry(at, struct fn, all);

		if (fn->version == version && strcmp(fn->name, name) == 0 &&
			strcmp(fn->namespace, namespace) == 0)
			found = fn;
	}
	if (!found)
		found = fn_new(f, namespace, name, version);
	if (found)
		found->refs++;
	return found;
}

void fn_put(struct functions *f, struct fn *fn)
{
	if (--fn->refs > 0)
		return;
	assert(list_empty(&fn->members) && list_empty(&fn->waiting) && "it was in use");
	list_del(&fn->bucket);
	list_del(&fn->all);
	list_del(&fn->changed);
	free(fn);
}

// True if a is to be preferred.
static bool better(const struct fn *a, const struct fn *b)
{
	bool a_live = !list_empty(&a->members), b_live = !list_empty(&b->members);

	return a_live != b_live ? a_live : a->version > b->version;
}

struct fn *fn_find(struct functions *f, const char *route, uint32_t version)
{
	const char *slash = strchr(route, '/'), *name = slash ? slash + 1 : route;
	const char *namespace = slash ? route : "default";
	size_t namespace_len = slash ? (size_t)(slash - route) : strlen("default");
	size_t name_len = strcspn(name, "@");
	struct list *bucket = bucket_of(f, namespace, namespace_len, name, name_len);
	struct fn *best = NULL;

	if (!version && name[name_len])
		version = (uint32_t)strtoul(name + name_len + 1, NULL, 10);
	list_for_each (at, bucket) {
		struct fn *fn = list_entry(at, struct fn, bucket);

		if (!same(fn->name, name, name_len) || !same(fn->namespace, namespace, namespace_len))
			continue;
		if (version ? fn->version == version : !best || better(fn, best))
			best = fn;
	}
	return best;
}

static uint32_t places(const struct fn_member *m)
{
	uint32_t taken = m->running + m->held;

	return taken < m->concurrency ? m->concurrency - taken : 0;
}

static void take_place(struct functions *f, struct fn_member *m)
{
	m->running++;
	m->fn->running++;
	changed(f, m->fn);
}

static struct fn_member *most_places(const struct fn *fn)
{
	struct fn_member *best = NULL;

	list_for_each (at, &fn->members) {
		struct fn_member *m = list_entry(at, struct fn_member, link);

		if (places(m) && (!best || places(m) > places(best)))
			best = m;
	}
	return best;
}

enum fn_verdict fn_submit(struct functions *f, struct fn *fn, struct fn_item *item, size_t bytes,
	ns_t now, struct fn_member **member)
{
	*item = (struct fn_item){.since = now, .bytes = bytes};
	if (list_empty(&fn->members))
		return FN_NO_INSTANCE;
	*member = most_places(fn);
	if (*member) {
		hist_add(&fn->queue_time_ns, 0);
		take_place(f, *member);
		return FN_RUN;
	}
	if (fn->queued >= fn->queue_max || bytes > FN_QUEUE_BYTES_MAX - fn->queued_bytes)
		return FN_FULL;
	list_push(&fn->waiting, &item->link);
	fn->queued++;
	fn->queued_bytes += bytes;
	changed(f, fn);
	return FN_WAIT;
}

void fn_leave(struct functions *f, struct fn *fn, struct fn_item *item)
{
	if (!list_linked(&item->link))
		return;
	list_del(&item->link);
	fn->queued--;
	fn->queued_bytes -= item->bytes;
	changed(f, fn);
}

struct fn_item *fn_waiting(const struct fn *fn)
{
	struct list *first = list_first(&fn->waiting);

	return first ? list_entry(first, struct fn_item, link) : NULL;
}

struct fn_item *fn_pull(struct functions *f, struct fn_member *member, ns_t now)
{
	struct fn *fn = member->fn;
	struct fn_item *item = fn_waiting(fn);

	if (!item || !fn_member_ready(member) || !places(member))
		return NULL;
	fn_leave(f, fn, item);
	hist_add(&fn->queue_time_ns, (uint64_t)(now - item->since));
	take_place(f, member);
	return item;
}

void fn_end(struct functions *f, struct fn_member *member, bool held)
{
	assert(member->running > 0 && "a call ended that did not run");
	member->running--;
	member->fn->running--;
	if (held)
		member->held++;
	changed(f, member->fn);
}

void fn_set_held(struct functions *f, struct fn_member *member, uint32_t held)
{
	member->held = held;
	changed(f, member->fn);
}

void fn_member_join(struct functions *f, struct fn_member *member)
{
	if (fn_member_ready(member))
		return;
	list_push(&member->fn->members, &member->link);
	member->fn->capacity += member->concurrency;
	changed(f, member->fn);
}

void fn_member_leave(struct functions *f, struct fn_member *member)
{
	if (!fn_member_ready(member))
		return;
	list_del(&member->link);
	member->fn->capacity -= member->concurrency;
	changed(f, member->fn);
}
