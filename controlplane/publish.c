// SPDX-License-Identifier: Apache-2.0
// The list of services and gateway specs, and watchers along it: publish.h has the picture. Main
// thread; no I/O.
//
// Invariants: entries other than markers are in ascending order of seq; a service is in `services`
// as long as it is on the list; a service without declaring resources is a tombstone.
#include "controlplane/publish.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "controlplane/discovery.h"
#include "controlplane/registry_internal.h"

struct service {
	struct publish_entry entry;
	struct strmap_node node;
	struct route_id id;
	struct resource **declared_by;  // in the order of kinds and keys
	size_t count;
	XXH128_hash_t told;  // of the members as they were last published; a 128-bit hash does not
			     // collide
	bool dirty;
	char key[sizeof(struct route_id)];
};

struct gateway {
	struct publish_entry entry;
	struct strmap_node node;
	struct resource *res;
};

static struct service *service_of(struct publish_entry *e)
{
	return container_of(e, struct service, entry);
}

static struct gateway *gateway_of(struct publish_entry *e)
{
	return container_of(e, struct gateway, entry);
}

static struct publish_entry *entry_of(struct list *link)
{
	return list_entry(link, struct publish_entry, link);
}

static void move_to_end(struct publisher *p, struct publish_entry *e, uint64_t seq)
{
	list_del(&e->link);
	e->seq = seq;
	list_push(&p->entries, &e->link);
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
	s->entry.type = ENTRY_SERVICE;
	s->id = *id;
	memcpy(s->key, key, sizeof(key));
	strmap_add(&p->services, &s->node, s->key);
	p->tombstones++;
	move_to_end(p, &s->entry, p->seq);
	return s;
}

static void service_free(struct publisher *p, struct service *s)
{
	strmap_remove(&p->services, &s->node);
	list_del(&s->entry.link);
	for (size_t i = 0; i < s->count; i++)
		resource_unref(s->declared_by[i]);
	free(s->declared_by);
	free(s);
}

static int compare_resources(const struct resource *a, const struct resource *b)
{
	return a->kind != b->kind ? (int)a->kind - (int)b->kind : strcmp(a->key, b->key);
}

static void service_add(struct publisher *p, struct service *s, struct resource *res)
{
	size_t i = 0;

	p->tombstones -= s->count == 0;
	s->declared_by = must(realloc(s->declared_by, (s->count + 1) * sizeof(struct resource *)));
	while (i < s->count && compare_resources(s->declared_by[i], res) < 0)
		i++;
	memmove(s->declared_by + i + 1, s->declared_by + i,
		(s->count - i) * sizeof(struct resource *));
	s->declared_by[i] = resource_ref(res);
	s->count++;
}

static void service_remove(struct publisher *p, struct service *s, const struct resource *res)
{
	for (size_t i = 0; i < s->count; i++) {
		if (s->declared_by[i] != res)
			continue;
		resource_unref(s->declared_by[i]);
		s->count--;
		memmove(s->declared_by + i, s->declared_by + i + 1,
			(s->count - i) * sizeof(struct resource *));
		p->tombstones += s->count == 0;
		return;
	}
}

static json_t *service_members(const struct service *s)
{
	return discovery_service(&s->id, (const struct resource *const *)s->declared_by, s->count);
}

// Publishes the service if it differs from what was told last.
static bool service_settle(struct publisher *p, struct service *s, uint64_t seq)
{
	XXH128_hash_t now = {0, 0};

	s->dirty = false;
	if (s->count) {
		json_t *members = service_members(s);
		char *text = must(json_dumps(members, JSON_COMPACT));

		now = XXH3_128bits(text, strlen(text));
		free(text);
		json_decref(members);
	}
	if (XXH128_isEqual(now, s->told))
		return false;
	s->told = now;
	p->changes++;
	move_to_end(p, &s->entry, seq);
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
		service_add(u->p, s, (struct resource *)(uintptr_t)res);
	else
		service_remove(u->p, s, res);
	if (s->dirty)
		return;
	s->dirty = true;
	if (u->count == u->room) {
		u->room = u->room ? u->room * 2 : 16;
		u->dirty = must(realloc(u->dirty, u->room * sizeof(struct service *)));
	}
	u->dirty[u->count++] = s;
}

static bool update_services(struct publisher *p, const struct change *c)
{
	struct update u = {.p = p};
	bool changed = false;

	if (c->before)
		discovery_routes(c->before, update_route, &u);
	u.add = true;
	if (c->after)
		discovery_routes(c->after, update_route, &u);
	for (size_t i = 0; i < u.count; i++)
		changed |= service_settle(p, u.dirty[i], c->seq);
	free(u.dirty);
	return changed;
}

static bool update_gateway(struct publisher *p, const struct change *c)
{
	const struct resource *any = c->after ? c->after : c->before;
	struct strmap_node *node = strmap_find(&p->gateways, any->name);
	struct gateway *g = node ? container_of(node, struct gateway, node) : NULL;

	if (g) {
		strmap_remove(&p->gateways, &g->node);
		list_del(&g->entry.link);
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
	move_to_end(p, &g->entry, c->seq);
	return true;
}

// Keeps tombstones bounded, the oldest go first.
static void drop_tombstones(struct publisher *p)
{
	struct list *at = p->entries.next;

	// More than one at a time, since each walk begins at the head.
	while (p->tombstones > PUBLISH_TOMBSTONES_MAX * 3 / 4 && at != &p->entries) {
		struct publish_entry *e = entry_of(at);

		at = at->next;
		if (e->type != ENTRY_SERVICE || service_of(e)->count)
			continue;
		p->floor = e->seq > p->floor ? e->seq : p->floor;
		p->tombstones--;
		service_free(p, service_of(e));
	}
	list_for_each (w, &p->watchers) {
		struct watcher *watcher = list_entry(w, struct watcher, all);

		// It would never be told of what was dropped.
		if ((watcher->state == WATCH_LIVE || watcher->state == WATCH_SNAPSHOT) &&
			watcher->sent_seq < p->floor)
			watcher->state = WATCH_BEGIN;
	}
}

void publisher_apply(struct publisher *p, const struct change *c)
{
	bool changed = false;

	p->seq = c->seq;
	if (!c->before && !c->after)
		return;
	if (c->kind == KIND_GATEWAY)
		changed = update_gateway(p, c);
	else
		changed = update_services(p, c);
	if (p->tombstones > PUBLISH_TOMBSTONES_MAX)
		drop_tombstones(p);
	if (!changed)
		return;
	list_for_each_safe (at, after, &p->watchers) {
		struct watcher *w = list_entry(at, struct watcher, all);

		w->ready(w);
	}
}

void publisher_init(struct publisher *p, const struct registry *registry)
{
	*p = (struct publisher){.epoch = registry->epoch};
	list_init(&p->entries);
	list_init(&p->watchers);
	for (enum kind kind = 0; kind < KIND_COUNT; kind++) {
		struct change c = {.seq = registry->published, .kind = kind};
		const struct resource *res;

		for (size_t i = 0; (res = registry_at(registry, kind, i)); i++) {
			c.after = (struct resource *)(uintptr_t)res;
			publisher_apply(p, &c);
		}
	}
	p->seq = registry->durable;
	p->floor = registry->published;
}

void publisher_fini(struct publisher *p)
{
	list_for_each_safe (w, after_watcher, &p->watchers)
		publisher_unwatch(list_entry(w, struct watcher, all));
	list_for_each_safe (at, after, &p->entries) {
		struct publish_entry *e = entry_of(at);

		if (e->type == ENTRY_SERVICE) {
			service_free(p, service_of(e));
		} else if (e->type == ENTRY_GATEWAY) {
			list_del(&e->link);
			resource_unref(gateway_of(e)->res);
			free(gateway_of(e));
		}
	}
	strmap_fini(&p->services);
	strmap_fini(&p->gateways);
}

size_t publisher_services(const struct publisher *p)
{
	return p->services.count - p->tombstones;
}

// ---- watchers ----

static void marker_to(struct publisher *p, struct watcher *w, struct list *behind)
{
	list_del(&w->marker.link);
	list_push_first(behind, &w->marker.link);
}

// Puts the marker behind everything that the watcher has seen.
static void resume(struct publisher *p, struct watcher *w, uint64_t after)
{
	struct list *at = p->entries.prev;

	while (at != &p->entries &&
		(entry_of(at)->type == ENTRY_MARKER || entry_of(at)->seq > after))
		at = at->prev;
	marker_to(p, w, at);
	w->state = WATCH_LIVE;
	w->sent_seq = after;
}

void publisher_watch(struct publisher *p, struct watcher *w, const char *gateway, const char *epoch,
	uint64_t after, void (*ready)(struct watcher *w))
{
	*w = (struct watcher){.state = WATCH_WAITING, .ready = ready};
	w->marker.type = ENTRY_MARKER;
	snprintf(w->gateway, sizeof(w->gateway), "%s", gateway);
	list_push(&p->watchers, &w->all);
	list_push_first(&p->entries, &w->marker.link);
	if (strcmp(epoch, p->epoch) == 0 && after >= p->floor && after <= p->seq)
		resume(p, w, after);
	ready(w);
}

void publisher_unwatch(struct watcher *w)
{
	list_del(&w->marker.link);
	list_del(&w->all);
}

static char *item(const char *op, uint64_t seq, json_t *members)
{
	json_t *out = json_object();
	char *text;

	json_object_set_new(out, "op", json_string(op));
	json_object_set_new(out, "seq", json_integer((json_int_t)seq));
	if (members)
		json_object_update(out, members);
	json_decref(members);
	text = must(json_dumps(out, JSON_COMPACT));
	json_decref(out);
	return text;
}

static char *gateway_item(const struct gateway *g, uint64_t seq)
{
	return item("gateway", seq, json_pack("{s:O}", "spec", g->res->spec));
}

static char *service_item(const struct service *s, uint64_t seq)
{
	if (s->count)
		return item("service", seq, service_members(s));
	return item("service_gone", seq,
		json_pack("{s:s, s:s, s:b}", "namespace", s->id.namespace, "route", s->id.route,
			"prefix", (int)s->id.prefix));
}

static struct gateway *own_gateway(struct publisher *p, struct watcher *w)
{
	struct strmap_node *node = strmap_find(&p->gateways, w->gateway);

	return node ? container_of(node, struct gateway, node) : NULL;
}

// An entry that the watcher needs not be told of.
static bool skips(const struct watcher *w, struct publish_entry *e)
{
	bool before = w->state == WATCH_SNAPSHOT && e->seq <= w->begin_seq;

	if (e->type == ENTRY_MARKER)
		return true;
	if (e->type == ENTRY_GATEWAY)
		return before || strcmp(gateway_of(e)->res->name, w->gateway) != 0;
	return before && service_of(e)->count == 0;
}

// The next entry behind the marker, which moves behind it; NULL at the end.
static struct publish_entry *advance(struct publisher *p, struct watcher *w)
{
	struct publish_entry *found = NULL;
	struct list *at = &w->marker.link;

	while (!found && at->next != &p->entries) {
		at = at->next;
		if (!skips(w, entry_of(at)))
			found = entry_of(at);
	}
	if (at != &w->marker.link)
		marker_to(p, w, at);
	return found;
}

// True if the entry behind the marker is of the same change. A watch that is cut between the two
// must come back for both, so only the last item of a change carries its seq.
static bool more_of(const struct publisher *p, const struct watcher *w, uint64_t seq)
{
	const struct list *at = w->marker.link.next;

	while (at != &p->entries && entry_of((struct list *)(uintptr_t)at)->type == ENTRY_MARKER)
		at = at->next;
	return at != &p->entries && entry_of((struct list *)(uintptr_t)at)->seq == seq;
}

static char *next_entry(struct publisher *p, struct watcher *w)
{
	struct publish_entry *e = advance(p, w);

	if (!e && w->state == WATCH_LIVE)
		return NULL;
	if (!e) {
		// Nothing that changed meanwhile is left out: the marker has reached the end.
		w->state = WATCH_LIVE;
		w->sent_seq = p->seq;
		return item("snapshot_end", p->seq, NULL);
	}
	w->sent_seq = more_of(p, w, e->seq) ? e->seq - 1 : e->seq;
	// Within a snapshot no seq is smaller than its beginning's.
	if (w->state == WATCH_SNAPSHOT && w->sent_seq < w->begin_seq)
		w->sent_seq = w->begin_seq;
	return e->type == ENTRY_SERVICE ? service_item(service_of(e), w->sent_seq)
					: gateway_item(gateway_of(e), w->sent_seq);
}

char *publisher_next(struct publisher *p, struct watcher *w)
{
	struct gateway *g;
	char *text = NULL;

	// A gateway without configuration has no listeners: it waits until it is given one.
	if (w->state == WATCH_WAITING && own_gateway(p, w))
		w->state = WATCH_BEGIN;
	if (w->state == WATCH_WAITING)
		return NULL;
	if (w->state == WATCH_BEGIN) {
		marker_to(p, w, &p->entries);
		w->begin_seq = w->sent_seq = p->seq;
		w->state = WATCH_SPEC;
		w->snapshots++;
		text = item("snapshot_begin", p->seq, json_pack("{s:s}", "epoch", p->epoch));
	} else if (w->state == WATCH_SPEC) {
		w->state = WATCH_SNAPSHOT;
		g = own_gateway(p, w);
		text = g ? gateway_item(g, w->begin_seq) : next_entry(p, w);
	} else {
		text = next_entry(p, w);
	}
	w->items += text != NULL;
	return text;
}
