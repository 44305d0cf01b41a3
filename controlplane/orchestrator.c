// SPDX-License-Identifier: Apache-2.0
// The joints: see orchestrator.h. Main thread.
#include "controlplane/orchestrator_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "controlplane/registry_internal.h"
#include "lib/base/log.h"

// ---- what is stored ----

void orchestrator_apply(struct orchestrator *o, const struct change *c)
{
	if (!c->before && !c->after)
		return;
	if (c->kind == KIND_NODE)
		orchestrator_apply_node(o, c);
	else if (c->kind == KIND_FUNCTION || c->kind == KIND_JOB)
		orchestrator_apply_job(o, c);
	else if (c->kind == KIND_QUOTA)
		orchestrator_apply_quota(o, c);
}

// ---- what the fleet says ----

static uint8_t exit_part(const struct fleet_instance *i, const char *name)
{
	return (uint8_t)json_integer_value(json_object_get(i->exit, name));
}

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
		log_warn(ORCHESTRATOR_LOG, "instance %s of %s on %s failed: %s", i->id, i->function->key,
			i->host->name, *i->reason ? i->reason : "no reason was given");
	if (i->state == INSTANCE_EXITED || i->state == INSTANCE_FAILED)
		scheduler_report_end(&o->scheduler, i->id, status[i->state], exit_part(i, "code"),
			exit_part(i, "signal"));
	else
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
	.node = orchestrator_node_changed,
	.instance = on_instance,
	.targets = on_targets,
	.reached = on_reached,
	.watched = on_watched,
	.why = scheduler_why,
};

static json_t *hosts_of(void *user, const struct resource *function)
{
	struct orchestrator *o = user;

	return fleet_targets(&o->fleet, function->namespace, function->name);
}

// ---- what became durable ----

static void placed(void *user, const struct scheduler_placement *p)
{
	const struct sched_instance *i = p->instance;
	struct orchestrator *o = user;

	if (!fleet_node(&o->fleet, p->node))
		fleet_node_add(&o->fleet, p->node, false, o->now);
	fleet_place(&o->fleet,
		&(struct fleet_placement){.id = p->id,
			.namespace = p->namespace,
			.function = p->name,
			.node = p->node,
			.version = p->version,
			.spec = orchestrator_host_spec(o, p->spec, p->instance->group),
			.index = p->instance->name_index,
			.why = p->instance->why,
			.order = i->create_index,
			.created_wall_ns = clock_wall()});
	// At start: hosts have forgotten it.
	if (i->status == SCHED_COMPLETE || i->status == SCHED_FAILED)
		fleet_recall_end(&o->fleet, p->id,
			&(struct fleet_exit){.failed = i->status == SCHED_FAILED,
				.stopped = i->desired != SCHED_RUN,
				.code = i->exit_code,
				.signal = i->exit_signal,
				.wall_ns = i->changed_ns});
}

static void stopped(void *user, const char *id, bool lost)
{
	struct orchestrator *o = user;

	fleet_stop(&o->fleet, id, lost, clock_now());
}

static void updated(void *user, const char *id, uint32_t version)
{
	fleet_update(&((struct orchestrator *)user)->fleet, id, version);
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
	orchestrator_remove_if_unused(o, node);
}

static void noted(void *user, const struct scheduler_note *n)
{
	struct orchestrator *o = user;
	char key[FLEET_KEY_MAX];
	enum kind kind;

	if (n->evaluation) {
		snprintf(key, sizeof(key), "%llu", (unsigned long long)n->evaluation);
		registry_note(o->registry, n->type, KIND_EVALUATION, key, n->text, clock_wall());
		return;
	}
	snprintf(key, sizeof(key), "%s/%s", n->namespace, n->name);
	kind = registry_get(o->registry, KIND_FUNCTION, key) ? KIND_FUNCTION : KIND_JOB;
	registry_note(o->registry, n->type, kind, key, n->text, clock_wall());
}

static const struct scheduler_deeds deeds = {
	.placed = placed,
	.stopped = stopped,
	.ended = ended,
	.gone = gone,
	.updated = updated,
	.noted = noted,
};

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
	orchestrator_tick_drains(o);
	release(o);
}

ns_t orchestrator_next(const struct orchestrator *o)
{
	ns_t next = fleet_next(&o->fleet);

	return o->drain_next < next ? o->drain_next : next;
}

// ---- starting ----

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
	struct publisher *publisher, struct store *store, const struct orchestrator_config *config)
{
	uint64_t seed;
	int rc;

	*o = (struct orchestrator){
		.registry = registry,
		.publisher = publisher,
		.now = clock_now(),
		.drain_next = NS_NEVER};
	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		return -EIO;
	fleet_init(&o->fleet, &fleet_events, o, registry->epoch, (uint32_t)seed,
		config->lease_ns);
	publisher_set_hosts(publisher, hosts_of, o);
	orchestrator_add_nodes(o);
	o->fleet.starting = true;
	rc = scheduler_start_with(
		&o->scheduler, store, config->workers, seed, &config->planning, &deeds, o);
	o->fleet.starting = false;
	if (rc) {
		fleet_fini(&o->fleet);
		return rc;
	}
	o->rider = scheduler_rider(&o->scheduler);
	registry->rider = &o->rider;
	orchestrator_meet_nodes(o);
	orchestrator_meet_jobs(o);
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
	for (size_t i = 0; i < ORCHESTRATOR_TEXTS; i++)
		json_decref(o->texts[i].spec);
}
