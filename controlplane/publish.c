// SPDX-License-Identifier: Apache-2.0
// Services and gateway specs, from resources and from what hosts run: publish.h. Main thread; no
// I/O.
//
// Invariants: a service is in `services` as long as it is on the feed; a service without declaring
// resources is a tombstone.
#include "controlplane/publish.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <xxhash.h>

#include "controlplane/discovery.h"
#include "controlplane/registry_internal.h"

enum { ENTRY_SERVICE = 1, ENTRY_GATEWAY };

struct service {
	struct feed_entry entry;
	struct strmap_node node;
	struct publisher *publisher;
	struct route_id id;
	struct resource **declared_by;  // in the order of kinds and keys
	size_t count;
	XXH128_hash_t told;  // of the members as they were last published; a 128-bit hash does not
			     // collide
	bool dirty;
	char key[sizeof(struct route_id)];
};

struct gateway {
	struct feed_entry entry;
	struct strmap_node node;
	struct resource *res;
};

static struct service *service_of(const struct feed_entry *e)
{
	return container_of((struct feed_entry *)(uintptr_t)e, struct service, entry);
}

static struct gateway *gateway_of(const struct feed_entry *e)
{
	return container_of((struct feed_entry *)(uintptr_t)e, struct gateway, entry);
}

static struct publisher *publisher_of(const struct feed *f)
{
	return container_of((struct feed *)(uintptr_t)f, struct publisher, feed);
}

// ---- services ----

// A slash cannot be in a namespace, so the key is unambiguous.
static void key_of(const struct route_id *id, char *key, size_t room)
{
	snprintf(key, room, "%c%s/%s", id->prefix ? 'p' : 'e', id->namespace, id->route);
}

static struct service *service_get(struct publisher *p, const struct route_id *id)
{
	char key[sizeof(struct route_id)];
	struct strmap_node *node;
	struct service *s;

	key_of(id, key, sizeof(key));
	node = strmap_find(&p->services, key);
	if (node)
		return container_of(node, struct service, node);
	s = must(calloc(1, sizeof(*s)));
	s->publisher = p;
	s->entry.type = ENTRY_SERVICE;
	s->id = *id;
	memcpy(s->key, key, sizeof(key));
	strmap_add(&p->services, &s->node, s->key);
	return s;
}

static void service_free(struct publisher *p, struct service *s)
{
	strmap_remove(&p->services, &s->node);
	feed_remove(&p->feed, &s->entry);
	for (size_t i = 0; i < s->count; i++)
		resource_unref(s->declared_by[i]);
	free(s->declared_by);
	free(s);
}

static int compare_resources(const struct resource *a, const struct resource *b)
{
	return a->kind != b->kind ? (int)a->kind - (int)b->kind : strcmp(a->key, b->key);
}

static void service_add(struct service *s, struct resource *res)
{
	size_t i = 0;

	s->declared_by = must(realloc(s->declared_by, (s->count + 1) * sizeof(struct resource *)));
	while (i < s->count && compare_resources(s->declared_by[i], res) < 0)
		i++;
	memmove(s->declared_by + i + 1, s->declared_by + i,
		(s->count - i) * sizeof(struct resource *));
	s->declared_by[i] = resource_ref(res);
	s->count++;
}

static void service_remove(struct service *s, const struct resource *res)
{
	for (size_t i = 0; i < s->count; i++) {
		if (s->declared_by[i] != res)
			continue;
		resource_unref(s->declared_by[i]);
		s->count--;
		memmove(s->declared_by + i, s->declared_by + i + 1,
			(s->count - i) * sizeof(struct resource *));
		return;
	}
}

static json_t *service_members(const struct publisher *p, const struct service *s)
{
	// Functions come first among the kinds, and only one can declare a route.
	bool function = s->count && s->declared_by[0]->kind == KIND_FUNCTION;
	json_t *hosts = function && p->hosts ? p->hosts(p->hosts_user, s->declared_by[0]) : NULL;
	json_t *members = discovery_service(
		&s->id, (const struct resource *const *)s->declared_by, s->count, hosts);

	json_decref(hosts);
	return members;
}

// Publishes the service if it differs from what was told last.
static bool service_settle(struct publisher *p, struct service *s, uint64_t seq)
{
	XXH128_hash_t now = {0, 0};

	s->dirty = false;
	if (s->count) {
		json_t *members = service_members(p, s);
		char *text = must(json_dumps(members, JSON_COMPACT));

		now = XXH3_128bits(text, strlen(text));
		free(text);
		json_decref(members);
	}
	if (XXH128_isEqual(now, s->told) && list_linked(&s->entry.link))
		return false;
	s->told = now;
	p->changes++;
	feed_put(&p->feed, &s->entry, seq, s->count == 0);
	return true;
}

// ---- changes ----

struct update {
	struct publisher *p;
	bool add;
	struct service **dirty;
	size_t count, room;
};

static void update_route(void *user, const struct resource *res, const struct route_id *id)
{
	struct update *u = user;
	struct service *s = service_get(u->p, id);

	if (u->add)
		service_add(s, (struct resource *)(uintptr_t)res);
	else
		service_remove(s, res);
	if (s->dirty)
		return;
	s->dirty = true;
	if (u->count == u->room) {
		u->room = u->room ? u->room * 2 : 16;
		u->dirty = must(realloc(u->dirty, u->room * sizeof(struct service *)));
	}
	u->dirty[u->count++] = s;
}

static bool update_services(struct publisher *p, const struct change *c, uint64_t seq)
{
	struct update u = {.p = p};
	bool changed = false;

	if (c->before)
		discovery_routes(c->before, update_route, &u);
	u.add = true;
	if (c->after)
		discovery_routes(c->after, update_route, &u);
	for (size_t i = 0; i < u.count; i++)
		changed |= service_settle(p, u.dirty[i], seq);
	free(u.dirty);
	return changed;
}

static bool update_gateway(struct publisher *p, const struct change *c, uint64_t seq)
{
	const struct resource *any = c->after ? c->after : c->before;
	struct strmap_node *node = strmap_find(&p->gateways, any->name);
	struct gateway *g = node ? container_of(node, struct gateway, node) : NULL;

	if (g) {
		strmap_remove(&p->gateways, &g->node);
		feed_remove(&p->feed, &g->entry);
		resource_unref(g->res);
	}
	if (!c->after) {
		free(g);
		return false;
	}
	if (!g) {
		g = must(calloc(1, sizeof(*g)));
		g->entry.type = ENTRY_GATEWAY;
	}
	g->res = resource_ref(c->after);
	strmap_add(&p->gateways, &g->node, g->res->name);
	feed_put(&p->feed, &g->entry, seq, false);
	return true;
}

// Above what was told last, and not below the number of the change in the history. What hosts report
// is no change of the history, so this runs ahead of it.
static uint64_t next_seq(const struct publisher *p, const struct change *c)
{
	return c && c->seq > p->feed.seq ? c->seq : p->feed.seq + 1;
}

void publisher_apply(struct publisher *p, const struct change *c)
{
	uint64_t seq = next_seq(p, c);
	bool changed = false;

	if (!c->before && !c->after) {
		// A note: nothing to tell.
		if (c->seq > p->feed.seq)
			p->feed.seq = c->seq;
		return;
	}
	if (c->kind == KIND_GATEWAY)
		changed = update_gateway(p, c, seq);
	else
		changed = update_services(p, c, seq);
	if (changed)
		feed_settle(&p->feed);
	else if (c->seq > p->feed.seq)
		p->feed.seq = c->seq;
}

uint64_t publisher_hosts_changed(struct publisher *p, const char *namespace, const char *name)
{
	struct route_id id;
	struct strmap_node *node;
	struct service *s;
	char key[sizeof(struct route_id)];

	if (!route_id_of(&id, namespace, name))
		return 0;
	key_of(&id, key, sizeof(key));
	node = strmap_find(&p->services, key);
	if (!node)
		return 0;
	s = container_of(node, struct service, node);
	if (service_settle(p, s, next_seq(p, NULL)))
		feed_settle(&p->feed);
	return s->entry.seq;
}

// ---- the feed ----

static struct gateway *own_gateway(const struct feed *f, const struct watcher *w)
{
	struct strmap_node *node = strmap_find(&publisher_of(f)->gateways, w->name);

	return node ? container_of(node, struct gateway, node) : NULL;
}

// A gateway without configuration has no listeners: it waits until it is given one. So it does
// while the control plane does not know yet what hosts run: it would be told to forget them.
static bool may_begin(const struct feed *f, const struct watcher *w)
{
	return !publisher_of(f)->held && own_gateway(f, w);
}

static bool concerns(const struct watcher *w, const struct feed_entry *e, bool in_snapshot)
{
	if (e->type != ENTRY_GATEWAY)
		return true;
	// In a snapshot it was told first.
	return !in_snapshot && strcmp(gateway_of(e)->res->name, w->name) == 0;
}

static struct feed_entry *first(const struct feed *f, const struct watcher *w)
{
	struct gateway *g = own_gateway(f, w);

	return g ? &g->entry : NULL;
}

static char *gateway_item(const struct gateway *g, uint64_t seq)
{
	return feed_text("gateway", seq, json_pack("{s:O}", "spec", g->res->spec));
}

static char *service_item(const struct service *s, uint64_t seq)
{
	return s->count ? feed_text("service", seq, service_members(s->publisher, s))
			: feed_text("service_gone", seq,
				  json_pack("{s:s, s:s, s:b}", "namespace", s->id.namespace, "route",
					  s->id.route, "prefix", (int)s->id.prefix));
}

static char *item(const struct feed_entry *e, uint64_t seq)
{
	return e->type == ENTRY_SERVICE ? service_item(service_of(e), seq)
					: gateway_item(gateway_of(e), seq);
}

static void drop(struct feed *f, struct feed_entry *e)
{
	service_free(publisher_of(f), service_of(e));
}

static const struct feed_ops feed_ops = {
	.may_begin = may_begin,
	.concerns = concerns,
	.first = first,
	.item = item,
	.drop = drop,
};

// ---- coming and going ----

static void load(struct publisher *p, const struct registry *registry)
{
	for (enum kind kind = 0; kind < KIND_COUNT; kind++) {
		struct change c = {.kind = kind};
		const struct resource *res;

		for (size_t i = 0; (res = registry_at(registry, kind, i)); i++) {
			c.after = (struct resource *)(uintptr_t)res;
			publisher_apply(p, &c);
		}
	}
}

void publisher_init(struct publisher *p, const struct registry *registry)
{
	uint32_t random;

	*p = (struct publisher){0};
	// What hosts report moves seq on and is not stored, so a new start is a new epoch.
	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		abort();
	snprintf(p->epoch, sizeof(p->epoch), "%s-%08x", registry->epoch, random);
	feed_init(&p->feed, &feed_ops, p->epoch, PUBLISH_TOMBSTONES_MAX);
	load(p, registry);
	if (p->feed.seq < registry->durable)
		p->feed.seq = registry->durable;
}

void publisher_fini(struct publisher *p)
{
	feed_fini(&p->feed);
	list_for_each_safe (at, after, &p->feed.entries) {
		struct feed_entry *e = list_entry(at, struct feed_entry, link);

		if (e->type == ENTRY_SERVICE) {
			service_free(p, service_of(e));
		} else {
			feed_remove(&p->feed, e);
			resource_unref(gateway_of(e)->res);
			free(gateway_of(e));
		}
	}
	strmap_fini(&p->services);
	strmap_fini(&p->gateways);
}

void publisher_set_hosts(struct publisher *p,
	json_t *(*hosts)(void *user, const struct resource *function), void *user)
{
	p->hosts = hosts;
	p->hosts_user = user;
}

void publisher_hold(struct publisher *p, bool held)
{
	p->held = held;
	if (!held)
		feed_settle(&p->feed);
}

static bool watches(const struct publisher *p, const char *gateway)
{
	list_for_each (at, &p->feed.watchers)
		if (strcmp(list_entry(at, struct watcher, all)->name, gateway) == 0)
			return true;
	return false;
}

bool publisher_reached(const struct publisher *p, uint64_t seq)
{
	const struct strmap_node *at;

	for (at = strmap_next(&p->gateways, NULL); at; at = strmap_next(&p->gateways, at))
		if (!watches(p, at->key))
			return false;
	return feed_reached(&p->feed, seq);
}

bool publisher_watched(const struct publisher *p)
{
	return !list_empty(&p->feed.watchers);
}

size_t publisher_services(const struct publisher *p)
{
	return p->services.count - p->feed.gone;
}
