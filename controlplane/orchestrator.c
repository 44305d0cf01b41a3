// SPDX-License-Identifier: Apache-2.0
// The joints: see orchestrator.h. Main thread.
#include "controlplane/orchestrator.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <xxhash.h>

#include "controlplane/registry_internal.h"
#include "lib/base/log.h"

#define SUBSYSTEM "orchestrator"
#define DRAIN_MS_DEFAULT 30000
#define ATTRIBUTES_MAX 64
#define ADDRESS_ATTRIBUTE "unique.node.address"

// ---- functions to jobs ----

static int64_t bytes_of(const json_t *size)
{
	int64_t bytes = json_integer_value(size);

	if (json_is_string(size) && size_parse(json_string_value(size), &bytes) != 0)
		return 0;
	return bytes;
}

// What a host is told of the function. Two versions with equal texts need no new instances.
static char *host_spec(const json_t *spec)
{
	const json_t *call = json_object_get(spec, "call"), *scale = json_object_get(spec, "scale");
	const json_t *resources = json_object_get(spec, "resources");
	json_int_t timeout_ms = json_integer_value(json_object_get(call, "timeout_ms"));
	json_t *out = json_pack("{s:O, s:O?, s:O?, s:O?, s:{s:O?, s:I}, s:O?, s:O?, s:I, s:I}",
		"runtime", json_object_get(spec, "runtime"), "command",
		json_object_get(spec, "command"), "image", json_object_get(spec, "image"), "env",
		json_object_get(spec, "env"), "resources", "cpu_milli",
		json_object_get(resources, "cpu_milli"), "memory",
		(json_int_t)bytes_of(json_object_get(resources, "memory")), "concurrency",
		json_object_get(scale, "concurrency"), "queue", json_object_get(call, "queue"),
		"timeout_ms", timeout_ms, "drain_ms",
		timeout_ms ? timeout_ms : (json_int_t)DRAIN_MS_DEFAULT);
	char *text = must(json_dumps(out, JSON_COMPACT | JSON_SORT_KEYS));

	json_decref(out);
	return text;
}

static void put_job(struct orchestrator *o, const struct resource *res)
{
	const json_t *resources = json_object_get(res->spec, "resources");
	json_int_t count = json_integer_value(
		json_object_get(json_object_get(res->spec, "scale"), "min"));
	int64_t memory = bytes_of(json_object_get(resources, "memory"));
	char *text = host_spec(res->spec);
	const struct sched_group group = {
		.name = "main",
		.count = (uint32_t)count,
		.ask = {.cpu_milli = (uint32_t)json_integer_value(
				json_object_get(resources, "cpu_milli")),
			.memory_mib = (uint32_t)((memory + (1 << 20) - 1) >> 20),
			.slots = 1},
		.max_parallel = (uint32_t)(count + 3) / 4,
		.restart_hash = XXH3_64bits(text, strlen(text)),
	};
	const struct sched_spec spec = {
		.namespace = res->namespace,
		.name = res->name,
		.type = SCHED_TYPE_SERVICE,
		.priority = SCHED_PRIORITY_DEFAULT,
		.groups = &group,
		.group_count = 1,
		.opaque = text,
		.opaque_len = (uint32_t)strlen(text),
	};
	int rc = scheduler_job_put(&o->scheduler, &spec);

	if (rc)
		log_error(SUBSYSTEM, "function %s cannot be scheduled: %s", res->key, strerror(-rc));
	free(text);
}

// ---- nodes ----

static void remove_if_unused(struct orchestrator *o, const char *name)
{
	struct fleet_node *n = fleet_node(&o->fleet, name);

	if (n && !n->connected && !n->count && !registry_get(o->registry, KIND_NODE, name))
		fleet_node_remove(&o->fleet, n);
}

static void node_intent(const struct resource *res, bool *eligible, bool *draining)
{
	*eligible = !json_is_false(json_object_get(res->spec, "eligible"));
	*draining = json_is_true(json_object_get(res->spec, "drain"));
}

static void apply_node(struct orchestrator *o, const struct change *c)
{
	const char *name = c->after ? c->after->name : c->before->name;
	struct fleet_node *n = fleet_node(&o->fleet, name);
	bool eligible, draining;

	if (!c->after) {
		scheduler_node_delete(&o->scheduler, name);
		remove_if_unused(o, name);
		return;
	}
	node_intent(c->after, &eligible, &draining);
	if (n) {
		n->eligible = eligible;
		n->draining = draining;
	}
	scheduler_node_state(
		&o->scheduler, name, SCHEDULER_NODE_STATUS_KEPT, eligible, draining);
}

void orchestrator_apply(struct orchestrator *o, const struct change *c)
{
	if (c->kind == KIND_NODE && (c->before || c->after))
		apply_node(o, c);
	if (c->kind != KIND_FUNCTION)
		return;
	if (c->after)
		put_job(o, c->after);
	else if (c->before)
		scheduler_job_delete(&o->scheduler, c->before->namespace, c->before->name);
}

static void note_node(struct orchestrator *o, const struct fleet_node *n, const char *type)
{
	registry_note(o->registry, type, KIND_NODE, n->name, n->address, clock_wall());
}

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
		.disk_mib = UINT32_MAX,
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

static void on_node(void *user, const struct fleet_node *n)
{
	struct orchestrator *o = user;

	if (n->connected)
		tell_node(o, n);
	else if (!n->up)
		note_node(o, n, "down");
	scheduler_node_state(&o->scheduler, n->name, n->up ? SCHED_NODE_READY : SCHED_NODE_DOWN,
		n->eligible, n->draining);
}

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
		note_node(o, fleet_node(&o->fleet, hello->name), "connected");
	return rc;
}

// ---- what the fleet says ----

static void on_instance(void *user, const struct fleet_instance *i)
{
	static const enum sched_status status[INSTANCE_STATES] = {
		[INSTANCE_PENDING] = SCHED_PENDING,
		[INSTANCE_STARTING] = SCHED_PENDING,
		[INSTANCE_RUNNING] = SCHED_RUNNING,
		[INSTANCE_STOPPING] = SCHED_RUNNING,
		[INSTANCE_EXITED] = SCHED_COMPLETE,
		[INSTANCE_FAILED] = SCHED_FAILED,
	};
	struct orchestrator *o = user;

	if (i->state == INSTANCE_FAILED)
		log_warn(SUBSYSTEM, "instance %s of %s on %s failed: %s", i->id, i->function->key,
			i->host->name, *i->reason ? i->reason : "no reason was given");
	scheduler_report(&o->scheduler, i->id, status[i->state], i->ready);
}

static uint64_t on_targets(void *user, const struct fleet_function *f)
{
	struct orchestrator *o = user;

	return publisher_hosts_changed(o->publisher, f->namespace, f->name);
}

static bool on_reached(void *user, uint64_t seq)
{
	struct orchestrator *o = user;

	return publisher_reached(o->publisher, seq);
}

static bool on_watched(void *user)
{
	return publisher_watched(((struct orchestrator *)user)->publisher);
}

static const struct fleet_events fleet_events = {
	.node = on_node,
	.instance = on_instance,
	.targets = on_targets,
	.reached = on_reached,
	.watched = on_watched,
};

static json_t *hosts_of(void *user, const struct resource *function)
{
	struct orchestrator *o = user;

	return fleet_targets(&o->fleet, function->namespace, function->name);
}

// ---- what became durable ----

static void placed(void *user, const struct scheduler_placement *p)
{
	struct orchestrator *o = user;
	json_t *spec = json_loadb(p->opaque, p->opaque_len, 0, NULL);

	if (!fleet_node(&o->fleet, p->node))
		fleet_node_add(&o->fleet, p->node, false, o->now);
	fleet_place(&o->fleet,
		&(struct fleet_placement){.id = p->id,
			.namespace = p->namespace,
			.function = p->name,
			.node = p->node,
			.version = p->version,
			.spec = spec ? spec : json_object(),
			.why = scheduler_why(p->instance),
			.created_wall_ns = clock_wall()});
}

static void stopped(void *user, const char *id, bool lost)
{
	struct orchestrator *o = user;

	fleet_stop(&o->fleet, id, lost, clock_now());
}

static void ended(void *user, const char *id)
{
	fleet_end(&((struct orchestrator *)user)->fleet, id);
}

static void gone(void *user, const char *id)
{
	struct orchestrator *o = user;
	const struct fleet_instance *i = fleet_instance(&o->fleet, id);
	char node[64] = "";

	if (i)
		snprintf(node, sizeof(node), "%s", i->host->name);
	fleet_forget(&o->fleet, id);
	remove_if_unused(o, node);
}

static const struct scheduler_deeds deeds = {
	.placed = placed,
	.stopped = stopped,
	.ended = ended,
	.gone = gone,
};

// ---- the rider ----

static bool rider_pending(void *user)
{
	return scheduler_pending(&((struct orchestrator *)user)->scheduler);
}

static void rider_ride(void *user, struct batch *batch)
{
	scheduler_ride(&((struct orchestrator *)user)->scheduler, batch);
}

static void rider_landed(void *user, int error)
{
	scheduler_landed(&((struct orchestrator *)user)->scheduler, error);
}

// ---- time ----

// Gateways are told when it is known who serves.
static void release(struct orchestrator *o)
{
	if (!o->fleet.held || fleet_waits(&o->fleet))
		return;
	fleet_release(&o->fleet, o->publisher->feed.seq, o->now);
	publisher_hold(o->publisher, false);
}

void orchestrator_tick(struct orchestrator *o, ns_t now)
{
	o->now = now;
	fleet_tick(&o->fleet, now);
	release(o);
}

ns_t orchestrator_next(const struct orchestrator *o)
{
	return fleet_next(&o->fleet);
}

// ---- starting ----

static void add_nodes(struct orchestrator *o)
{
	const struct resource *res;

	for (size_t i = 0; (res = registry_at(o->registry, KIND_NODE, i)); i++) {
		struct fleet_node *n = fleet_node_add(&o->fleet, res->name, true, o->now);

		if (n)
			node_intent(res, &n->eligible, &n->draining);
	}
}

static void drop_stray_job(void *user, const char *namespace, const char *name)
{
	json_t *strays = user;
	char key[FLEET_KEY_MAX];

	snprintf(key, sizeof(key), "%s/%s", namespace, name);
	json_array_append_new(strays, json_pack("[s, s, s]", key, namespace, name));
}

static void drop_stray_node(void *user, const char *name)
{
	json_array_append_new(user, json_string(name));
}

static void recall_address(struct orchestrator *o, const char *name)
{
	struct fleet_node *n = fleet_node(&o->fleet, name);

	if (n)
		scheduler_node_attribute(&o->scheduler, name, ADDRESS_ATTRIBUTE, n->address,
			sizeof(n->address));
}

// What was stored is the truth: a crash may have come between it and the scheduler's log.
static void meet(struct orchestrator *o)
{
	json_t *jobs = json_array(), *nodes = json_array();
	const struct resource *res;

	scheduler_each_job(&o->scheduler, drop_stray_job, jobs);
	for (size_t i = 0; i < json_array_size(jobs); i++) {
		const json_t *job = json_array_get(jobs, i);

		if (!registry_get(o->registry, KIND_FUNCTION,
			    json_string_value(json_array_get(job, 0))))
			scheduler_job_delete(&o->scheduler,
				json_string_value(json_array_get(job, 1)),
				json_string_value(json_array_get(job, 2)));
	}
	scheduler_each_node(&o->scheduler, drop_stray_node, nodes);
	for (size_t i = 0; i < json_array_size(nodes); i++) {
		const char *name = json_string_value(json_array_get(nodes, i));

		if (!registry_get(o->registry, KIND_NODE, name))
			scheduler_node_delete(&o->scheduler, name);
	}
	json_decref(jobs);
	json_decref(nodes);
	for (size_t i = 0; (res = registry_at(o->registry, KIND_NODE, i)); i++) {
		const struct change c = {
			.kind = KIND_NODE, .after = (struct resource *)(uintptr_t)res};

		apply_node(o, &c);
		recall_address(o, res->name);
	}
	for (size_t i = 0; (res = registry_at(o->registry, KIND_FUNCTION, i)); i++)
		put_job(o, res);
}

// Only nodes with instances are worth waiting for.
static void stop_waiting_for_idle(struct orchestrator *o)
{
	const struct strmap_node *at;

	for (at = strmap_next(&o->fleet.nodes, NULL); at; at = strmap_next(&o->fleet.nodes, at)) {
		struct fleet_node *n =
			container_of((struct strmap_node *)(uintptr_t)at, struct fleet_node, node);

		if (!n->count)
			fleet_node_heard(n);
	}
}

int orchestrator_start(struct orchestrator *o, struct registry *registry,
	struct publisher *publisher, struct store *store, unsigned workers, ns_t lease_ns)
{
	uint64_t seed;
	int rc;

	*o = (struct orchestrator){
		.registry = registry, .publisher = publisher, .now = clock_now()};
	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		return -EIO;
	fleet_init(&o->fleet, &fleet_events, o, registry->epoch, (uint32_t)seed, lease_ns);
	publisher_set_hosts(publisher, hosts_of, o);
	add_nodes(o);
	o->fleet.starting = true;
	rc = scheduler_start(&o->scheduler, store, workers, seed, &deeds, o);
	o->fleet.starting = false;
	if (rc) {
		fleet_fini(&o->fleet);
		return rc;
	}
	o->rider = (struct registry_rider){rider_pending, rider_ride, rider_landed, o};
	registry->rider = &o->rider;
	meet(o);
	stop_waiting_for_idle(o);
	publisher_hold(publisher, true);
	release(o);
	return 0;
}

void orchestrator_stop(struct orchestrator *o)
{
	if (!o->registry)
		return;
	o->registry->rider = NULL;
	scheduler_stop(&o->scheduler);
	publisher_set_hosts(o->publisher, NULL, NULL);
	fleet_fini(&o->fleet);
}
