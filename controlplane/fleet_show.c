// SPDX-License-Identifier: Apache-2.0
// What is shown of the fleet: targets for gateways, status and instances for the API. Main thread;
// no I/O.
#include <stdlib.h>
#include <string.h>

#include "controlplane/discovery.h"
#include "controlplane/fleet.h"
#include "controlplane/registry_internal.h"

static void set_text(json_t *out, const char *name, const char *text)
{
	json_t *value = json_string(text);

	json_object_set_new(out, name, value ? value : json_string("?"));
}

static void set_count(json_t *out, const char *name, uint64_t value)
{
	json_object_set_new(out, name, json_integer((json_int_t)value));
}

static void set_time(json_t *out, const char *name, ns_t wall_ns)
{
	char text[40];

	json_object_set_new(out, name, json_string(time_text(wall_ns, text, sizeof(text))));
}

// ---- targets ----

static int compare_targets(const void *a, const void *b)
{
	const struct fleet_instance *x = *(const struct fleet_instance *const *)a;
	const struct fleet_instance *y = *(const struct fleet_instance *const *)b;
	int names = strcmp(x->host->name, y->host->name);

	if (names)
		return names;
	return x->version < y->version ? -1 : x->version > y->version;
}

bool fleet_takes_calls(const struct fleet_instance *i)
{
	return i->ready && !i->job && i->intent == INTENT_RUN && i->host->up;
}

// On a node that the control plane does not hear of, and ready when it last did: it may be cut off
// from the control plane alone. Or back, and not replaced yet; or not heard of since this start.
static bool may_take_calls(const struct fleet_instance *i)
{
	if (i->job)
		return false;
	if (i->presumed)
		return i->intent == INTENT_RUN || i->lost;
	if (!i->ready)
		return false;
	return i->host->up ? i->lost && i->intent == INTENT_UNROUTING
			   : i->lost || i->intent == INTENT_RUN;
}

static size_t pick(const struct fleet_function *fn, bool (*good)(const struct fleet_instance *),
	const struct fleet_instance **out)
{
	size_t count = 0;

	list_for_each (at, &fn->instances) {
		const struct fleet_instance *i = list_entry(at, struct fleet_instance, of_function);

		if (good(i) && *i->host->address)
			out[count++] = i;
	}
	qsort(out, count, sizeof(*out), compare_targets);
	return count;
}

json_t *fleet_targets(const struct fleet *f, const char *namespace, const char *name)
{
	const struct fleet_function *fn = fleet_function(f, namespace, name);
	const struct fleet_instance **found;
	json_t *out = json_array();
	size_t count;

	if (!fn)
		return out;
	found = must(calloc(fn->count + 1, sizeof(*found)));
	count = pick(fn, fleet_takes_calls, found);
	// Better a host that may be there than none.
	if (!count)
		count = pick(fn, may_take_calls, found);
	for (size_t i = 0, next; i < count && json_array_size(out) < DISCOVERY_TARGETS_MAX;
		i = next) {
		json_t *target = json_object();

		next = i + 1;
		while (next < count && compare_targets(&found[i], &found[next]) == 0)
			next++;
		set_text(target, "name", found[i]->host->name);
		set_text(target, "address", found[i]->host->address);
		set_count(target, "version", found[i]->version);
		set_count(target, "instances", next - i);
		json_array_append_new(out, target);
	}
	free(found);
	return out;
}

// ---- status ----

struct counts {
	uint64_t wanted, ready, starting, failed, stopping;
};

static void count_one(struct counts *c, const struct fleet_instance *i)
{
	if (i->intent == INTENT_ENDED || i->lost) {
		c->failed += i->state == INSTANCE_FAILED;
		return;
	}
	if (i->intent != INTENT_RUN) {
		c->stopping++;
		return;
	}
	c->wanted++;
	c->ready += i->ready && i->host->up;
	c->starting += !i->ready;
}

json_t *fleet_node_status(const struct fleet *f, const char *name)
{
	const struct fleet_node *n = fleet_node(f, name);
	struct counts c = {0};
	json_t *out, *capacity;

	if (!n)
		return json_pack("{s:s}", "state", "down");
	list_for_each (at, &n->instances)
		count_one(&c, list_entry(at, struct fleet_instance, of_node));
	out = json_object();
	capacity = json_object();
	json_object_set_new(out, "state", json_string(fleet_node_state(n)));
	json_object_set_new(out, "connected", json_boolean(n->connected));
	set_text(out, "address", n->address);
	set_text(out, "version", n->version);
	set_count(out, "instances", c.wanted + c.stopping);
	set_count(out, "ready", c.ready);
	set_count(capacity, "cpu_milli", n->cpu_milli);
	set_count(capacity, "memory", n->memory);
	set_count(capacity, "disk", n->disk);
	set_count(capacity, "instances", n->slots);
	json_object_set_new(out, "capacity", capacity);
	json_object_set(out, "attributes", n->attributes);
	if (n->since_wall_ns)
		set_time(out, "since", n->since_wall_ns);
	return out;
}

// As hosts count them; the gateways' own figures are in /v1/stats.
static void add_outcomes(json_t *sum, const json_t *calls)
{
	static const char *const outcomes[] = {"ok", "error", "rejected", "canceled", "timeout", "invalid"};

	for (size_t i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++) {
		json_int_t n = json_integer_value(json_object_get(sum, outcomes[i]));

		n += json_integer_value(json_object_get(calls, outcomes[i]));
		json_object_set_new(sum, outcomes[i], json_integer(n));
	}
}

// Calls that wait and run on all nodes now, and how those before ended.
static void add_load(const struct fleet *f, const struct fleet_function *fn, json_t *out)
{
	static const char *const members[] = {"queued", "running", "capacity"};
	json_int_t sum[3] = {0};
	json_t *calls = json_object();
	const struct strmap_node *at;
	size_t len = strlen(fn->key);

	for (at = strmap_next(&f->nodes, NULL); at; at = strmap_next(&f->nodes, at)) {
		const struct fleet_node *n = container_of(at, struct fleet_node, node);
		const char *key;
		json_t *seen;

		if (!n->connected)
			continue;
		json_object_foreach(n->functions, key, seen)
		{
			if (strncmp(key, fn->key, len) != 0 || key[len] != '@')
				continue;
			for (int m = 0; m < 3; m++)
				sum[m] += json_integer_value(json_object_get(seen, members[m]));
			add_outcomes(calls, json_object_get(seen, "calls"));
		}
	}
	for (int m = 0; m < 3; m++)
		json_object_set_new(out, members[m], json_integer(sum[m]));
	json_object_set_new(out, "calls", calls);
}

json_t *fleet_function_status(const struct fleet *f, const char *namespace, const char *name)
{
	const struct fleet_function *fn = fleet_function(f, namespace, name);
	json_t *out = json_object(), *versions = json_object();
	struct counts c = {0};

	if (fn) {
		list_for_each (at, &fn->instances) {
			const struct fleet_instance *i =
				list_entry(at, struct fleet_instance, of_function);
			char version[24];
			json_t *count;

			count_one(&c, i);
			if (i->intent == INTENT_ENDED || i->lost)
				continue;
			snprintf(version, sizeof(version), "%llu", (unsigned long long)i->version);
			count = json_object_get(versions, version);
			json_object_set_new(versions, version,
				json_integer(json_integer_value(count) + 1));
		}
		add_load(f, fn, out);
	}
	set_count(out, "instances", c.wanted);
	set_count(out, "ready", c.ready);
	set_count(out, "starting", c.starting);
	set_count(out, "stopping", c.stopping);
	set_count(out, "failed", c.failed);
	json_object_set_new(out, "versions", versions);
	return out;
}

static const char *shown_state(const struct fleet_instance *i)
{
	if (i->lost)
		return "lost";
	if (i->intent != INTENT_ENDED && !i->host->up)
		return "unknown";
	// Between the decision and the host's word.
	if (i->intent != INTENT_RUN && i->state <= INSTANCE_RUNNING)
		return "stopping";
	return i->stopped && i->state == INSTANCE_EXITED ? "stopped" : instance_state_names[i->state];
}

json_t *fleet_instance_json(const struct fleet *f, const struct fleet_instance *i)
{
	json_t *metadata = json_object(), *spec = json_object(), *status = json_object();
	json_t *out = json_object();

	set_text(metadata, "name", i->id);
	set_text(metadata, "namespace", i->function->namespace);
	json_object_set_new(metadata, "labels", json_object());
	set_time(metadata, "created", i->created_wall_ns);
	set_text(spec, i->job ? "job" : "function", i->function->name);
	if (i->job) {
		json_object_set(spec, "group", json_object_get(i->spec, "group"));
		set_count(spec, "index", i->index);
	}
	set_count(spec, "version", i->version);
	set_text(spec, "node", i->host->name);
	set_text(spec, "desired", i->intent == INTENT_RUN ? "run" : "stop");
	json_object_set_new(status, "state", json_string(shown_state(i)));
	json_object_set_new(status, "ready", json_boolean(i->ready && i->host->up));
	set_count(status, "restarts", i->restarts);
	json_object_set_new(status, "pid", json_integer(i->pid));
	set_time(status, "since", i->since_wall_ns);
	if (*i->reason)
		set_text(status, "reason", i->reason);
	if (i->exit)
		json_object_set(status, "exit", i->exit);
	json_object_set_new(status, "why", f->events->why(&i->why));
	json_object_set_new(out, "apiVersion", json_string("penstock/v1"));
	json_object_set_new(out, "kind", json_string("Instance"));
	json_object_set_new(out, "metadata", metadata);
	json_object_set_new(out, "spec", spec);
	json_object_set_new(out, "status", status);
	return out;
}

// Count, mean and quantiles, in seconds.
static json_t *summary(const struct hist *h)
{
	json_t *out = json_object();

	set_count(out, "count", h->count);
	json_object_set_new(out, "mean_s", json_real(hist_mean(h) / 1e9));
	json_object_set_new(out, "p50_s", json_real((double)hist_quantile(h, 0.5) / 1e9));
	json_object_set_new(out, "p99_s", json_real((double)hist_quantile(h, 0.99) / 1e9));
	json_object_set_new(out, "max_s", json_real((double)h->max / 1e9));
	return out;
}

json_t *fleet_deploys(const struct fleet *f)
{
	json_t *out = json_object();

	json_object_set_new(out, "ready", summary(&f->steps.ready));
	json_object_set_new(out, "routable", summary(&f->steps.routable));
	set_count(out, "failures", f->failures);
	set_count(out, "restarts", f->restarts);
	set_count(out, "lost", f->lost);
	return out;
}
