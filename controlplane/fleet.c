// SPDX-License-Identifier: Apache-2.0
// Nodes and what is wanted on them: fleet.h has the picture. Main thread; no I/O, no clock.
//
// Invariants: an instance is on its node's feed, as a tombstone once it has ended; it is on
// `unrouting` exactly while its intent is UNROUTING; a node is on `leases` exactly while it is up
// and not connected. What hosts report is in fleet_report.c, what is shown in fleet_show.c.
#include "controlplane/fleet.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/registry_internal.h"

static struct fleet_instance *instance_of(const struct feed_entry *e)
{
	return container_of((struct feed_entry *)(uintptr_t)e, struct fleet_instance, entry);
}

static void copy_text(char *out, size_t room, const char *text)
{
	snprintf(out, room, "%s", text ? text : "");
}

// ---- the feed of a node ----

// A new reference.
static json_t *spec_of(const struct fleet_instance *i)
{
	json_t *spec;

	if (!i->job)
		return json_incref(i->spec);
	spec = json_copy(i->spec);
	json_object_set_new(spec, "index", json_integer(i->index));
	return spec;
}

static char *item(const struct feed_entry *e, uint64_t seq)
{
	const struct fleet_instance *i = instance_of(e);

	if (e->gone)
		return feed_text("instance_gone", seq, json_pack("{s:s}", "id", i->id));
	return feed_text("instance", seq,
		json_pack("{s:s, s:s, s:s, s:I, s:s, s:o}", "id", i->id, "namespace",
			i->function->namespace, "function", i->function->name, "version",
			(json_int_t)i->version, "desired", i->intent == INTENT_STOP ? "stop" : "run",
			"spec", spec_of(i)));
}

// The host is told by a snapshot instead; the instance itself is kept as long as it is known.
static void drop(struct feed *f, struct feed_entry *e)
{
	(void)f;
	(void)e;
}

// At its end hosts end what the snapshot did not name.
static bool may_end(const struct feed *f, const struct watcher *w)
{
	(void)w;
	return container_of((struct feed *)(uintptr_t)f, struct fleet_node, feed)->fleet->settled;
}

static const struct feed_ops feed_ops = {.item = item, .drop = drop, .may_end = may_end};

void fleet_tell(struct fleet *f, struct fleet_instance *i)
{
	feed_put(&i->host->feed, &i->entry, ++f->seq, i->intent == INTENT_ENDED);
	feed_settle(&i->host->feed);
}

// ---- functions ----

static void key_of(char *key, size_t room, const char *namespace, const char *name)
{
	snprintf(key, room, "%s/%s", namespace, name);
}

struct fleet_function *fleet_function(
	const struct fleet *f, const char *namespace, const char *name)
{
	struct strmap_node *node;
	char key[FLEET_KEY_MAX];

	key_of(key, sizeof(key), namespace, name);
	node = strmap_find(&f->functions, key);
	return node ? container_of(node, struct fleet_function, node) : NULL;
}

static struct fleet_function *function_get(
	struct fleet *f, const char *namespace, const char *name)
{
	struct fleet_function *fn = fleet_function(f, namespace, name);

	if (fn)
		return fn;
	fn = must(calloc(1, sizeof(*fn)));
	list_init(&fn->instances);
	copy_text(fn->namespace, sizeof(fn->namespace), namespace);
	copy_text(fn->name, sizeof(fn->name), name);
	key_of(fn->key, sizeof(fn->key), namespace, name);
	strmap_add(&f->functions, &fn->node, fn->key);
	return fn;
}

// ---- nodes ----

struct fleet_node *fleet_node(const struct fleet *f, const char *name)
{
	struct strmap_node *node = strmap_find(&f->nodes, name);

	return node ? container_of(node, struct fleet_node, node) : NULL;
}

void fleet_node_heard(struct fleet_node *n)
{
	n->fleet->waited_for -= n->waited_for;
	n->waited_for = false;
}

struct fleet_node *fleet_node_add(struct fleet *f, const char *name, bool wait, ns_t now)
{
	struct fleet_node *n = fleet_node(f, name);

	if (n || f->nodes.count >= FLEET_NODES_MAX)
		return n;
	n = must(calloc(1, sizeof(*n)));
	n->fleet = f;
	n->eligible = true;
	n->drain_until = NS_NEVER;
	n->attributes = json_object();
	n->functions = json_object();
	list_init(&n->instances);
	copy_text(n->name, sizeof(n->name), name);
	feed_init(&n->feed, &feed_ops, f->epoch, FLEET_TOMBSTONES_MAX);
	n->feed.seq = f->seq;
	strmap_add(&f->nodes, &n->node, n->name);
	if (wait) {
		n->up = n->known = true;
		n->lease_until = now + f->lease_ns;
		list_push(&f->leases, &n->leases);
		n->waited_for = true;
		f->waited_for++;
	}
	return n;
}

static void node_free(struct fleet_node *n)
{
	fleet_node_heard(n);
	list_del(&n->leases);
	feed_fini(&n->feed);
	json_decref(n->attributes);
	json_decref(n->functions);
	free(n);
}

void fleet_node_remove(struct fleet *f, struct fleet_node *n)
{
	strmap_remove(&f->nodes, &n->node);
	node_free(n);
}

bool fleet_may_connect(
	const struct fleet *f, const struct fleet_hello *hello, char *why, size_t room)
{
	const struct fleet_node *n = fleet_node(f, hello->name);
	bool same = n && strcmp(n->start, hello->start) == 0;
	bool restarted = n && *hello->machine && strcmp(n->machine, hello->machine) == 0;

	// After a restart of the control plane nobody is known by `start` yet.
	if (!n || !n->up || !*n->start || same || restarted)
		return true;
	snprintf(why, room,
		"node %s is held by another host at %s that was heard of less than %d s ago: give "
		"each host a name of its own (--name), or wait if that one is gone",
		hello->name, *n->address ? n->address : "an unknown address",
		(int)(f->lease_ns / NS_PER_SEC));
	return false;
}

// The targets of all functions that have an instance on the node.
static void retarget_node(struct fleet *f, struct fleet_node *n)
{
	struct fleet_function *last = NULL;

	list_for_each (at, &n->instances) {
		struct fleet_instance *i = list_entry(at, struct fleet_instance, of_node);

		if (i->function != last)
			fleet_retarget(f, i->function);
		last = i->function;
	}
}

// Doubles of what was replaced meanwhile go, in their time.
static void returned(struct fleet *f, struct fleet_node *n, ns_t now)
{
	list_for_each (at, &n->instances) {
		struct fleet_instance *i = list_entry(at, struct fleet_instance, of_node);

		if (i->intent == INTENT_UNROUTING && i->lost)
			i->unroute_until = now + FLEET_DOUBLE_MAX;
	}
	retarget_node(f, n);
}

int fleet_connected(struct fleet *f, const struct fleet_hello *hello, ns_t now, ns_t wall_ns)
{
	struct fleet_node *n = fleet_node_add(f, hello->name, false, now);
	bool was_up;

	if (!n)
		return -ENOSPC;
	was_up = n->up;
	copy_text(n->address, sizeof(n->address), hello->address);
	copy_text(n->version, sizeof(n->version), hello->version);
	copy_text(n->start, sizeof(n->start), hello->start);
	copy_text(n->machine, sizeof(n->machine), hello->machine);
	n->cpu_milli = hello->cpu_milli;
	n->memory = hello->memory;
	n->disk = hello->disk;
	n->slots = hello->slots;
	json_decref(n->attributes);
	n->attributes = json_incref(hello->attributes);
	n->connected = n->known = n->up = true;
	n->reported = false;
	n->back = !was_up;
	n->since_wall_ns = wall_ns;
	list_del(&n->leases);
	f->events->node(f->user, n);
	if (!was_up)
		returned(f, n, now);
	return 0;
}

void fleet_disconnected(struct fleet *f, struct fleet_node *n, ns_t now)
{
	if (!n->connected)
		return;
	n->connected = false;
	n->lease_until = now + f->lease_ns;
	list_push(&f->leases, &n->leases);
}

static void node_down(struct fleet *f, struct fleet_node *n)
{
	list_del(&n->leases);
	n->up = false;
	fleet_node_heard(n);
	f->events->node(f->user, n);
	retarget_node(f, n);
}

const char *fleet_node_state(const struct fleet_node *n)
{
	if (!n->up)
		return "down";
	if (n->draining)
		return "draining";
	return n->eligible ? "ready" : "ineligible";
}

// ---- intent ----

struct fleet_instance *fleet_instance(const struct fleet *f, const char *id)
{
	struct strmap_node *node = strmap_find(&f->instances, id);

	return node ? container_of(node, struct fleet_instance, node) : NULL;
}

static bool is_job(const json_t *spec)
{
	const char *kind = json_string_value(json_object_get(spec, "kind"));

	return kind && strcmp(kind, "job") == 0;
}

void fleet_place(struct fleet *f, const struct fleet_placement *p)
{
	struct fleet_node *n = fleet_node(f, p->node);
	struct fleet_instance *i;

	if (!n || fleet_instance(f, p->id)) {
		json_decref(p->spec);
		return;
	}
	i = must(calloc(1, sizeof(*i)));
	copy_text(i->id, sizeof(i->id), p->id);
	i->host = n;
	i->function = function_get(f, p->namespace, p->function);
	i->function->count++;
	n->count++;
	i->version = p->version;
	i->index = p->index;
	i->order = p->order;
	i->spec = p->spec;
	i->job = is_job(p->spec);
	i->function->jobs += i->job;
	i->why = p->why;
	i->created_wall_ns = i->since_wall_ns = p->created_wall_ns;
	i->presumed = f->starting && n->waited_for;
	i->cold = !f->starting;
	strmap_add(&f->instances, &i->node, i->id);
	list_push(&n->instances, &i->of_node);
	list_push(&i->function->instances, &i->of_function);
	fleet_tell(f, i);
}

void fleet_stop(struct fleet *f, const char *id, bool lost, ns_t now)
{
	struct fleet_instance *i = fleet_instance(f, id);

	if (!i || i->intent == INTENT_ENDED || i->lost)
		return;
	i->lost = lost;
	f->lost += lost && !f->starting;
	if (i->intent == INTENT_RUN)
		fleet_unroute(f, i, now);
	else if (lost && i->intent == INTENT_STOP)
		fleet_set_intent(f, i, INTENT_ENDED);
}

void fleet_update(struct fleet *f, const char *id, uint64_t version)
{
	struct fleet_instance *i = fleet_instance(f, id);

	if (!i || i->version == version)
		return;
	i->version = version;
	fleet_retarget(f, i->function);
}

void fleet_end(struct fleet *f, const char *id)
{
	struct fleet_instance *i = fleet_instance(f, id);

	if (!i || i->intent == INTENT_ENDED)
		return;
	fleet_set_intent(f, i, INTENT_ENDED);
	fleet_retarget(f, i->function);
}

static void instance_free(struct fleet *f, struct fleet_instance *i)
{
	struct fleet_function *fn = i->function;

	feed_remove(&i->host->feed, &i->entry);
	strmap_remove(&f->instances, &i->node);
	list_del(&i->of_node);
	list_del(&i->of_function);
	list_del(&i->unrouting);
	list_del(&i->routing);
	i->host->count--;
	fn->jobs -= i->job;
	if (--fn->count == 0) {
		strmap_remove(&f->functions, &fn->node);
		free(fn);
	}
	json_decref(i->spec);
	json_decref(i->exit);
	free(i);
}

void fleet_forget(struct fleet *f, const char *id)
{
	struct fleet_instance *i = fleet_instance(f, id);

	if (!i)
		return;
	fleet_end(f, id);
	feed_forget(&i->host->feed, &i->entry);
	instance_free(f, i);
}

// ---- time ----

void fleet_tick(struct fleet *f, ns_t now)
{
	fleet_tick_routing(f, now);
	// All leases are equally long, so the first is over first.
	while (!list_empty(&f->leases)) {
		struct fleet_node *n = list_entry(f->leases.next, struct fleet_node, leases);

		if (n->lease_until > now)
			return;
		node_down(f, n);
	}
}

ns_t fleet_next(const struct fleet *f)
{
	ns_t next = fleet_next_routing(f), lease;

	if (list_empty(&f->leases))
		return next;
	lease = list_entry(f->leases.next, struct fleet_node, leases)->lease_until;
	return lease < next ? lease : next;
}

bool fleet_waits(const struct fleet *f)
{
	return f->waited_for > 0;
}

// ---- coming and going ----

void fleet_init(struct fleet *f, const struct fleet_events *events, void *user, const char *epoch,
	uint32_t start, ns_t lease_ns)
{
	*f = (struct fleet){.events = events,
		.user = user,
		.lease_ns = lease_ns,
		.held = true,
		.settle_until = NS_NEVER};
	snprintf(f->epoch, sizeof(f->epoch), "%s-%08x", epoch, start);
	list_init(&f->leases);
	list_init(&f->unrouting);
	list_init(&f->routing);
}

void fleet_fini(struct fleet *f)
{
	struct strmap_node *node, *next;

	for (node = strmap_next(&f->instances, NULL); node; node = next) {
		next = strmap_next(&f->instances, node);
		instance_free(f, container_of(node, struct fleet_instance, node));
	}
	for (node = strmap_next(&f->nodes, NULL); node; node = next) {
		next = strmap_next(&f->nodes, node);
		node_free(container_of(node, struct fleet_node, node));
	}
	strmap_fini(&f->instances);
	strmap_fini(&f->nodes);
	strmap_fini(&f->functions);
}
