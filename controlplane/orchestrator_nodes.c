// SPDX-License-Identifier: Apache-2.0
// Nodes between the registry (what is wanted of them), the fleet (what is known of them) and the
// scheduler. The deadlines of drains are kept here: they count from the last change of the node's
// resource, so they are the same after a restart. Main thread.
#include "controlplane/orchestrator_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/registry_internal.h"
#include "lib/base/log.h"

#define ATTRIBUTES_MAX 64
#define ADDRESS_ATTRIBUTE "unique.node.address"

void orchestrator_remove_if_unused(struct orchestrator *o, const char *name)
{
	struct fleet_node *n = fleet_node(&o->fleet, name);

	if (n && !n->connected && !n->count && !registry_get(o->registry, KIND_NODE, name))
		fleet_node_remove(&o->fleet, n);
}

// ---- what is wanted ----

static bool is_eligible(const struct resource *res)
{
	return !json_is_false(json_object_get(res->spec, "eligible"));
}

static bool is_draining(const struct resource *res)
{
	return json_is_true(json_object_get(res->spec, "drain"));
}

static void set_intent(struct orchestrator *o, struct fleet_node *n, const struct resource *res)
{
	json_int_t after_ms = json_integer_value(json_object_get(res->spec, "drain_deadline_ms"));

	n->eligible = is_eligible(res);
	n->draining = is_draining(res);
	n->drain_until = NS_NEVER;
	if (n->draining && after_ms)
		n->drain_until =
			clock_now() + res->updated_ns + after_ms * NS_PER_MS - clock_wall();
	if (n->drain_until < o->drain_next)
		o->drain_next = n->drain_until;
}

void orchestrator_apply_node(struct orchestrator *o, const struct change *c)
{
	const char *name = c->after ? c->after->name : c->before->name;
	struct fleet_node *n = fleet_node(&o->fleet, name);

	if (!c->after) {
		scheduler_node_delete(&o->scheduler, name);
		orchestrator_remove_if_unused(o, name);
		return;
	}
	if (n)
		set_intent(o, n, c->after);
	scheduler_node_state(&o->scheduler, name, SCHEDULER_NODE_STATUS_KEPT, is_eligible(c->after),
		is_draining(c->after));
}

void orchestrator_tick_drains(struct orchestrator *o)
{
	const struct strmap_node *at;

	if (o->now < o->drain_next)
		return;
	o->drain_next = NS_NEVER;
	for (at = strmap_next(&o->fleet.nodes, NULL); at; at = strmap_next(&o->fleet.nodes, at)) {
		struct fleet_node *n =
			container_of((struct strmap_node *)(uintptr_t)at, struct fleet_node, node);

		if (n->drain_until <= o->now) {
			n->drain_until = NS_NEVER;
			log_info(ORCHESTRATOR_LOG,
				"the time to drain %s is over: what is left there "
				"is stopped",
				n->name);
			scheduler_node_drain_now(&o->scheduler, n->name);
		} else if (n->drain_until < o->drain_next) {
			o->drain_next = n->drain_until;
		}
	}
}

// ---- what there is ----

static uint32_t limit(uint64_t value)
{
	return value == 0 || value >= UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

static void tell_node(struct orchestrator *o, const struct fleet_node *n)
{
	struct sched_attribute attributes[ATTRIBUTES_MAX + 2];
	const struct sched_res capacity = {
		.cpu_milli = limit(n->cpu_milli),
		.memory_mib = limit(n->memory >> 20),
		.disk_mib = limit(n->disk >> 20),
		.slots = limit(n->slots),
	};
	uint32_t count = 0;
	const char *key;
	json_t *value;

	json_object_foreach(n->attributes, key, value)
	{
		if (count < ATTRIBUTES_MAX)
			attributes[count++] =
				(struct sched_attribute){key, json_string_value(value)};
	}
	attributes[count++] = (struct sched_attribute){"unique.node.name", n->name};
	// Kept, so that after a restart gateways can be told of a host that is not back yet.
	attributes[count++] = (struct sched_attribute){ADDRESS_ATTRIBUTE, n->address};
	scheduler_node_put(&o->scheduler, n->name, attributes, count, &capacity);
}

void orchestrator_node_changed(void *user, const struct fleet_node *n)
{
	struct orchestrator *o = user;

	if (n->connected)
		tell_node(o, n);
	else if (!n->up)
		registry_note(o->registry, "down", KIND_NODE, n->name, n->address, clock_wall());
	if (n->up)
		scheduler_node_state(
			&o->scheduler, n->name, SCHED_NODE_READY, n->eligible, n->draining);
	else
		scheduler_node_silent(&o->scheduler, n->name, n->eligible, n->draining);
}

// ---- hosts that come ----

static int make_resource(struct orchestrator *o, const char *name)
{
	struct schema_error error;
	const struct resource *res;
	json_t *in, *object;
	int rc = -EINVAL;

	if (registry_get(o->registry, KIND_NODE, name))
		return 0;
	in = json_pack("{s:{s:s}}", "metadata", "name", name);
	object = schema_normalize(&kinds[KIND_NODE], in, &error);
	if (object)
		rc = registry_put(o->registry, KIND_NODE, object, clock_wall(), &res);
	json_decref(object);
	json_decref(in);
	return rc;
}

void orchestrator_heard(struct orchestrator *o, const struct fleet_node *n)
{
	if (n->connected)
		make_resource(o, n->name);
}

int orchestrator_connect(
	struct orchestrator *o, const struct fleet_hello *hello, char *why, size_t room)
{
	int rc;

	if (!fleet_may_connect(&o->fleet, hello, why, room))
		return -EBUSY;
	rc = make_resource(o, hello->name);
	if (!rc)
		rc = fleet_connected(&o->fleet, hello, clock_now(), clock_wall());
	if (rc)
		snprintf(why, room, "the node cannot be registered: %s; try again later",
			strerror(-rc));
	else
		registry_note(o->registry, "connected", KIND_NODE, hello->name, hello->address,
			clock_wall());
	return rc;
}

// ---- starting ----

void orchestrator_add_nodes(struct orchestrator *o)
{
	const struct resource *res;

	for (size_t i = 0; (res = registry_at(o->registry, KIND_NODE, i)); i++) {
		struct fleet_node *n = fleet_node_add(&o->fleet, res->name, true, o->now);

		if (n)
			set_intent(o, n, res);
	}
}

static void each_node(void *user, const char *name)
{
	json_array_append_new(user, json_string(name));
}

static void recall_address(struct orchestrator *o, const char *name)
{
	struct fleet_node *n = fleet_node(&o->fleet, name);

	if (n)
		scheduler_node_attribute(
			&o->scheduler, name, ADDRESS_ATTRIBUTE, n->address, sizeof(n->address));
}

void orchestrator_meet_nodes(struct orchestrator *o)
{
	json_t *nodes = json_array();
	const struct resource *res;

	scheduler_each_node(&o->scheduler, each_node, nodes);
	for (size_t i = 0; i < json_array_size(nodes); i++) {
		const char *name = json_string_value(json_array_get(nodes, i));

		if (!registry_get(o->registry, KIND_NODE, name))
			scheduler_node_delete(&o->scheduler, name);
	}
	json_decref(nodes);
	for (size_t i = 0; (res = registry_at(o->registry, KIND_NODE, i)); i++) {
		const struct change c = {
			.kind = KIND_NODE, .after = (struct resource *)(uintptr_t)res};

		orchestrator_apply_node(o, &c);
		recall_address(o, res->name);
	}
}
