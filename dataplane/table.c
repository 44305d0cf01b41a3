// SPDX-License-Identifier: Apache-2.0
// The service table: see table.h.
//
// The control thread writes, workers read without locks. rte_hash maps the XXH3-128 of namespace
// and route to a slot; the slot points to the service's immutable record, whose name is verified.
// What is replaced or removed is unlinked first, then waits on `retired` until every worker has
// passed a quiescent state, and is freed: no reader can hold it then, since readers keep nothing
// across one.

#include "dataplane/table.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_hash.h>
#include <rte_rcu_qsbr.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "lib/base/list.h"

#define ROUTE_LENGTHS 256

struct key {
	XXH128_hash_t hash;
};

struct slot {
	struct service *service; // atomic; NULL: free
	uint32_t generation;
	uint32_t next_free;
	uint32_t mark; // of the last snapshot that named it
};

// Something that readers may still see.
struct retired {
	struct list link;
	uint64_t token;
	struct service *service; // to free with its references, or NULL
	int32_t hash_position;   // to free, or -1
	int32_t slot;            // to free, or -1
};

struct table {
	struct rte_rcu_qsbr *qsbr;
	struct rte_hash *hash;
	uint32_t free_slot; // head of the free slots, SERVICES_MAX: none
	uint32_t mark;
	unsigned services;
	struct list retired;
	unsigned retired_count;
	struct target *targets[TARGETS_MAX];         // by id
	// A list of ids each; an id is in one of them. TARGETS_MAX ends a list.
	uint32_t target_next[TARGETS_MAX];
	uint32_t free_target;
	uint32_t gone_target; // no service refers to them, but a reader or a connection may
	uint32_t named_targets[TARGETS_MAX]; // those of services, by the hash of their address
	uint32_t prefixes[ROUTE_LENGTHS];            // services with a prefix of this length
	uint64_t prefix_lengths[ROUTE_LENGTHS / 64]; // atomic; a bit a length in use
	struct slot slots[SERVICES_MAX];
	uint64_t version; // atomic; see table_version()
};

static uint32_t key_hash(const void *key, uint32_t len, uint32_t seed)
{
	(void)len;
	(void)seed;
	return (uint32_t)((const struct key *)key)->hash.low64;
}

struct table *table_new(struct rte_rcu_qsbr *qsbr)
{
	struct table *t = calloc(1, sizeof(*t));
	char name[RTE_HASH_NAMESIZE];
	struct rte_hash_parameters params = {
		.name = name,
		// Keys of removed services stay until their grace period is over.
		.entries = 2 * SERVICES_MAX,
		.key_len = sizeof(struct key),
		.hash_func = key_hash,
		.socket_id = SOCKET_ID_ANY,
		.extra_flag = RTE_HASH_EXTRA_FLAGS_RW_CONCURRENCY_LF,
	};

	if (!t)
		return NULL;
	snprintf(name, sizeof(name), "services-%" PRIxPTR, (uintptr_t)t);
	t->qsbr = qsbr;
	t->hash = rte_hash_create(&params);
	if (!t->hash) {
		free(t);
		return NULL;
	}
	t->version = 1;
	list_init(&t->retired);
	for (uint32_t i = 0; i < SERVICES_MAX; i++)
		t->slots[i] = (struct slot){.generation = 1, .next_free = i + 1};
	t->gone_target = TARGETS_MAX;
	for (uint32_t i = 0; i < TARGETS_MAX; i++) {
		t->target_next[i] = i + 1;
		t->named_targets[i] = TARGETS_MAX;
	}
	return t;
}

// Targets

//   free --target_new--> named --last service unlinked--> gone --last reference dropped--> free

static uint32_t *bucket_of(struct table *t, const char *text)
{
	return &t->named_targets[XXH3_64bits(text, strlen(text)) % TARGETS_MAX];
}

static struct target *target_find(struct table *t, const char *text, bool fragments, bool host)
{
	for (uint32_t i = *bucket_of(t, text); i != TARGETS_MAX; i = t->target_next[i]) {
		struct target *target = t->targets[i];

		if (target->fragments == fragments && target->host == host &&
			strcmp(target->text, text) == 0)
			return target;
	}
	return NULL;
}

static void list_move(struct table *t, uint32_t *from, uint32_t *to)
{
	uint32_t id = *from;

	*from = t->target_next[id];
	t->target_next[id] = *to;
	*to = id;
}

// Gives ids of targets back whose last reference is gone. Only the writer frees, so that ids are
// its own.
static void reclaim_targets(struct table *t)
{
	uint32_t *at = &t->gone_target;

	while (*at != TARGETS_MAX) {
		struct target *target = t->targets[*at];

		if (__atomic_load_n(&target->refs, __ATOMIC_ACQUIRE) > 0) {
			at = &t->target_next[*at];
			continue;
		}
		t->targets[*at] = NULL;
		list_move(t, at, &t->free_target);
		free(target);
	}
}

static struct target *target_new(struct table *t, const char *text, bool fragments, bool host)
{
	struct target *target;
	uint32_t id = t->free_target;

	if (id == TARGETS_MAX)
		return NULL;
	target = calloc(1, sizeof(*target));
	if (!target)
		return NULL;
	*target = (struct target){.id = id, .fragments = fragments, .host = host, .table = t};
	strncpy(target->text, text, sizeof(target->text) - 1);
	t->targets[id] = target;
	list_move(t, &t->free_target, bucket_of(t, target->text));
	return target;
}

// A service that refers to it is no more. With the last one workers are told: only their
// connections still hold it.
static void target_unname(struct table *t, struct target *target)
{
	uint32_t *at = bucket_of(t, target->text);

	assert(target->services > 0 && "a target has lost more services than it had");
	if (--target->services > 0)
		return;
	while (*at != target->id)
		at = &t->target_next[*at];
	list_move(t, at, &t->gone_target);
	__atomic_store_n(&target->gone, true, __ATOMIC_RELAXED);
}

// A reference to the target of an address. -EINVAL, -ENOSPC.
static int target_get(
	struct table *t, const char *text, bool fragments, bool host, struct target **out)
{
	struct sockaddr_storage addr;
	socklen_t len;
	struct target *target;

	if (strlen(text) >= sizeof(target->text) || sockaddr_parse(text, &addr, &len))
		return -EINVAL;
	target = target_find(t, text, fragments, host);
	if (!target) {
		target = target_new(t, text, fragments, host);
		if (!target)
			return -ENOSPC;
		target->addr = addr;
		target->addr_len = len;
	}
	target->services++;
	*out = target_ref(target);
	return 0;
}

struct target *target_ref(struct target *target)
{
	__atomic_fetch_add(&target->refs, 1, __ATOMIC_RELAXED);
	return target;
}

void target_unref(struct target *target)
{
	__atomic_fetch_sub(&target->refs, 1, __ATOMIC_RELEASE);
}

// Services

static struct key key_of(const char *namespace, size_t namespace_len, const char *route,
	size_t route_len, bool prefix)
{
	char text[64 + 1 + ROUTE_LEN_MAX];
	struct key key;

	memcpy(text, namespace, namespace_len);
	text[namespace_len] = '/';
	memcpy(text + namespace_len + 1, route, route_len);
	key.hash = XXH3_128bits_withSeed(text, namespace_len + 1 + route_len, prefix);
	return key;
}

static void service_free(struct service *s)
{
	for (uint32_t i = 0; i < s->targets_count; i++)
		target_unref(s->targets[i]);
	free(s);
}

// It is not to be found any more, or never was.
static void service_unname(struct table *t, struct service *s)
{
	for (uint32_t i = 0; i < s->targets_count; i++)
		target_unname(t, s->targets[i]);
}

static bool names_fit(const struct service_spec *spec)
{
	size_t namespace_len = strlen(spec->namespace), route_len = strlen(spec->route);

	// The first '/' of what is called ends the namespace, so there is none in one.
	return namespace_len > 0 && namespace_len < sizeof(((struct service *)0)->namespace) &&
	       !strchr(spec->namespace, '/') && route_len > 0 && route_len <= ROUTE_LEN_MAX;
}

static int service_new(struct table *t, const struct service_spec *spec, struct service **out)
{
	struct service *s;
	uint32_t *versions;

	if (spec->targets_count > SERVICE_TARGETS_MAX)
		return -ENOSPC;
	s = calloc(1,
		sizeof(*s) + spec->targets_count * (sizeof(s->targets[0]) + sizeof(s->versions[0])));
	if (!s)
		return -ENOSPC;
	versions = (uint32_t *)(void *)&s->targets[spec->targets_count];
	s->versions = versions;
	strcpy(s->namespace, spec->namespace);
	strcpy(s->route, spec->route);
	s->route_len = (uint8_t)strlen(spec->route);
	s->prefix = spec->prefix;
	s->hosts = spec->hosts;
	s->idempotent = spec->idempotent;
	s->class = spec->class;
	s->timeout_ms = spec->timeout_ms;
	for (uint32_t i = 0; i < spec->targets_count; i++) {
		int rc = target_get(
			t, spec->targets[i], spec->fragments, spec->hosts, &s->targets[i]);

		if (rc) {
			service_unname(t, s);
			service_free(s);
			return rc;
		}
		versions[i] = spec->versions ? spec->versions[i] : 0;
		s->targets_count++;
	}
	*out = s;
	return 0;
}

static void free_retired(struct table *t, const struct retired *r)
{
	if (r->hash_position >= 0)
		rte_hash_free_key_with_position(t->hash, r->hash_position);
	if (r->slot >= 0) {
		t->slots[r->slot].generation++;
		t->slots[r->slot].next_free = t->free_slot;
		t->free_slot = (uint32_t)r->slot;
	}
	if (r->service)
		service_free(r->service);
}

// A record for what has been unlinked; without memory for one the writer waits for the readers
// instead.
static void retire(struct table *t, struct service *service, int32_t hash_position, int32_t slot)
{
	struct retired what = {.service = service, .hash_position = hash_position, .slot = slot};
	struct retired *r = malloc(sizeof(*r));

	if (!r) {
		if (t->qsbr)
			rte_rcu_qsbr_synchronize(t->qsbr, RTE_QSBR_THRID_INVALID);
		free_retired(t, &what);
		return;
	}
	*r = what;
	r->token = t->qsbr ? rte_rcu_qsbr_start(t->qsbr) : 0;
	list_push(&t->retired, &r->link);
	t->retired_count++;
}

unsigned table_reclaim(struct table *t)
{
	while (!list_empty(&t->retired)) {
		struct retired *r = list_entry(t->retired.next, struct retired, link);

		if (t->qsbr && rte_rcu_qsbr_check(t->qsbr, r->token, false) == 0)
			break;
		list_del(&r->link);
		t->retired_count--;
		free_retired(t, r);
		free(r);
	}
	// Also those that only a worker's connection held.
	reclaim_targets(t);
	return t->retired_count;
}

static void prefix_count(struct table *t, const struct service *s, int change)
{
	uint64_t *word = &t->prefix_lengths[s->route_len / 64];
	uint64_t bit = (uint64_t)1 << s->route_len % 64;

	if (!s->prefix)
		return;
	t->prefixes[s->route_len] += (uint32_t)change;
	if (t->prefixes[s->route_len])
		__atomic_store_n(word, *word | bit, __ATOMIC_RELEASE);
	else
		__atomic_store_n(word, *word & ~bit, __ATOMIC_RELEASE);
}

// After a change can be seen, before a grace period begins that frees what it replaced: so a reader
// that still sees the old version is one that the grace period waits for.
static void changed(struct table *t)
{
	__atomic_store_n(&t->version, t->version + 1, __ATOMIC_RELEASE);
}

uint64_t table_version(const struct table *t)
{
	return __atomic_load_n(&t->version, __ATOMIC_ACQUIRE);
}

static struct slot *slot_find(struct table *t, const struct key *key)
{
	void *data;

	if (rte_hash_lookup_data(t->hash, key, &data) < 0)
		return NULL;
	return &t->slots[(uintptr_t)data];
}

static void replace(struct table *t, struct slot *slot, struct service *service)
{
	struct service *old = slot->service;

	service->slot = old->slot;
	service->generation = old->generation;
	__atomic_store_n(&slot->service, service, __ATOMIC_RELEASE);
	changed(t);
	service_unname(t, old);
	retire(t, old, -1, -1);
}

static int insert(struct table *t, const struct key *key, struct service *service)
{
	uint32_t index;
	struct slot *slot;

	// Slots of removed services may have become free.
	if (t->free_slot == SERVICES_MAX)
		table_reclaim(t);
	index = t->free_slot;
	if (index == SERVICES_MAX)
		return -ENOSPC;
	slot = &t->slots[index];
	service->slot = index;
	service->generation = slot->generation;
	__atomic_store_n(&slot->service, service, __ATOMIC_RELEASE);
	if (rte_hash_add_key_data(t->hash, key, (void *)(uintptr_t)index) < 0) {
		__atomic_store_n(&slot->service, NULL, __ATOMIC_RELEASE);
		return -ENOSPC;
	}
	t->free_slot = slot->next_free;
	t->services++;
	prefix_count(t, service, 1);
	changed(t);
	return 0;
}

int table_put(struct table *t, const struct service_spec *spec)
{
	struct service *service = NULL;
	struct slot *slot;
	struct key key;
	int rc;

	if (!names_fit(spec))
		return -EINVAL;
	key = key_of(spec->namespace, strlen(spec->namespace), spec->route, strlen(spec->route),
		spec->prefix);
	slot = slot_find(t, &key);
	rc = service_new(t, spec, &service);
	if (rc == 0 && slot) {
		replace(t, slot, service);
	} else if (rc == 0) {
		rc = insert(t, &key, service);
		if (rc) {
			service_unname(t, service);
			service_free(service);
		} else {
			slot = &t->slots[service->slot];
		}
	}
	// What cannot be changed stays as it was, also after a snapshot: it was named there.
	if (slot)
		slot->mark = t->mark;
	table_reclaim(t);
	return rc;
}

static void remove_slot(struct table *t, struct slot *slot)
{
	struct service *s = slot->service;
	struct key key =
		key_of(s->namespace, strlen(s->namespace), s->route, s->route_len, s->prefix);
	int32_t position = rte_hash_del_key(t->hash, &key);

	assert(position >= 0 && "every service in a slot has its key in the hash");
	__atomic_store_n(&slot->service, NULL, __ATOMIC_RELEASE);
	t->services--;
	prefix_count(t, s, -1);
	changed(t);
	service_unname(t, s);
	retire(t, s, position, (int32_t)(slot - t->slots));
}

int table_remove(struct table *t, const char *namespace, const char *route, bool prefix)
{
	struct slot *slot;
	struct key key;

	if (strlen(namespace) >= 64 || strlen(route) > ROUTE_LEN_MAX)
		return -ENOENT;
	key = key_of(namespace, strlen(namespace), route, strlen(route), prefix);
	slot = slot_find(t, &key);
	if (!slot)
		return -ENOENT;
	remove_slot(t, slot);
	table_reclaim(t);
	return 0;
}

void table_mark(struct table *t)
{
	t->mark++;
}

unsigned table_sweep(struct table *t)
{
	unsigned removed = 0;

	for (uint32_t i = 0; i < SERVICES_MAX; i++) {
		if (t->slots[i].service && t->slots[i].mark != t->mark) {
			remove_slot(t, &t->slots[i]);
			removed++;
		}
	}
	table_reclaim(t);
	return removed;
}

void table_each(struct table *t, void (*visit)(const struct service *s, void *arg), void *arg)
{
	for (uint32_t i = 0; i < SERVICES_MAX; i++)
		if (t->slots[i].service)
			visit(t->slots[i].service, arg);
}

void table_each_target(struct table *t, void (*visit)(const struct target *t, void *arg), void *arg)
{
	for (uint32_t i = 0; i < TARGETS_MAX; i++)
		if (t->targets[i] && !t->targets[i]->gone)
			visit(t->targets[i], arg);
}

unsigned table_services(const struct table *t)
{
	return t->services;
}

void table_destroy(struct table *t)
{
	if (!t)
		return;
	t->qsbr = NULL;
	t->mark++;
	table_sweep(t);
	table_reclaim(t);
	for (uint32_t i = 0; i < TARGETS_MAX; i++)
		assert(!t->targets[i] && "a target is still referenced when the table ends");
	rte_hash_free(t->hash);
	free(t);
}

// Readers

static const struct service *lookup(const struct table *t, const char *namespace,
	size_t namespace_len, const char *route, size_t route_len, bool prefix)
{
	struct key key = key_of(namespace, namespace_len, route, route_len, prefix);
	const struct service *s;
	void *data;

	if (rte_hash_lookup_data(t->hash, &key, &data) < 0)
		return NULL;
	s = __atomic_load_n(&t->slots[(uintptr_t)data].service, __ATOMIC_ACQUIRE);
	// The slot may be on its way out, or (2^-128) another name's.
	if (!s || s->prefix != prefix || s->route_len != route_len ||
		memcmp(s->route, route, route_len) != 0 ||
		strncmp(s->namespace, namespace, namespace_len) != 0 || s->namespace[namespace_len])
		return NULL;
	return s;
}

static const struct service *lookup_prefix(const struct table *t, const char *namespace,
	size_t namespace_len, const char *route, size_t route_len)
{
	for (size_t word = route_len / 64 + 1; word-- > 0;) {
		uint64_t lengths = __atomic_load_n(&t->prefix_lengths[word], __ATOMIC_ACQUIRE);

		if (word == route_len / 64 && route_len % 64 != 63)
			lengths &= ((uint64_t)1 << (route_len % 64 + 1)) - 1;
		while (lengths) {
			unsigned bit = 63u - (unsigned)__builtin_clzll(lengths);
			const struct service *s =
				lookup(t, namespace, namespace_len, route, word * 64 + bit, true);

			if (s)
				return s;
			lengths &= ~((uint64_t)1 << bit);
		}
	}
	return NULL;
}

const struct service *table_find(const struct table *t, const char *route, uint8_t len)
{
	const char *namespace = "default";
	size_t namespace_len = strlen(namespace);
	const char *slash = memchr(route, '/', len);
	size_t route_len = len;
	const struct service *s;

	if (slash) {
		namespace = route;
		namespace_len = (size_t)(slash - route);
		route = slash + 1;
		route_len = len - namespace_len - 1;
	}
	if (namespace_len == 0 || namespace_len >= sizeof(s->namespace) || route_len == 0)
		return NULL;
	s = lookup(t, namespace, namespace_len, route, route_len, false);
	return s ? s : lookup_prefix(t, namespace, namespace_len, route, route_len);
}
