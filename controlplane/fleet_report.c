// SPDX-License-Identifier: Apache-2.0
// What hosts report of their instances. Main thread; no I/O. What a report says is checked: a host
// of another version may say things that this one does not expect, and they are left out.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/fleet.h"
#include "controlplane/registry_internal.h"

#define FUNCTIONS_MAX 10000  // of a node
#define COUNT_MAX ((json_int_t)1 << 40)

const char *const instance_state_names[INSTANCE_STATES] = {
	[INSTANCE_PENDING] = "pending",
	[INSTANCE_STARTING] = "starting",
	[INSTANCE_RUNNING] = "running",
	[INSTANCE_STOPPING] = "stopping",
	[INSTANCE_EXITED] = "exited",
	[INSTANCE_FAILED] = "failed",
};

// Cuts between characters of UTF-8.
static void copy_cut(char *out, size_t room, const char *text)
{
	size_t len = strlen(text);

	if (len >= room)
		for (len = room - 1; len && ((unsigned char)text[len] & 0xc0) == 0x80;)
			len--;
	memcpy(out, text, len);
	out[len] = 0;
}

static enum instance_state state_of(const json_t *seen)
{
	const char *text = json_string_value(json_object_get(seen, "state"));

	for (int s = 0; text && s < INSTANCE_STATES; s++)
		if (strcmp(text, instance_state_names[s]) == 0)
			return s;
	return INSTANCE_STATES;
}

static void observe(struct fleet *f, struct fleet_instance *i, enum instance_state state,
	bool ready, ns_t now)
{
	bool retarget = ready != i->ready;
	// The scheduler has not heard of it since its node was lost sight of.
	bool news = i->host->back && i->intent == INTENT_RUN;

	if (state == i->state && !retarget && !news)
		return;
	f->failures += state == INSTANCE_FAILED && i->state != INSTANCE_FAILED;
	i->state = state;
	i->ready = ready;
	// Gateways first: every moment counts there.
	if (retarget)
		fleet_retarget(f, i->function);
	if (retarget && ready)
		fleet_route(f, i, now);
	f->events->instance(f->user, i);
}

static void set_exit(struct fleet_instance *i, json_int_t code, json_int_t signal)
{
	json_decref(i->exit);
	i->exit = json_pack("{s:I, s:I}", "code", code, "signal", signal);
}

void fleet_recall_end(struct fleet *f, const char *id, const struct fleet_exit *exit)
{
	struct fleet_instance *i = fleet_instance(f, id);
	bool once, begun;

	if (!i || i->state != INSTANCE_PENDING)
		return;
	once = i->job && !json_is_true(json_object_get(i->spec, "restart"));
	begun = !once || !exit->failed || exit->code || exit->signal;
	i->state = exit->failed ? INSTANCE_FAILED : INSTANCE_EXITED;
	// What has failed is not wanted any more, either, once another one has its place.
	i->stopped = i->job && exit->stopped && !exit->failed;
	i->since_wall_ns = exit->wall_ns;
	if (begun)
		set_exit(i, exit->code, exit->signal);
	else
		copy_cut(i->reason, sizeof(i->reason), "it could not be started");
	if (i->stopped)
		copy_cut(i->reason, sizeof(i->reason), "stopped");
	else if (i->job && exit->signal)
		snprintf(i->reason, sizeof(i->reason), "killed by signal %u", exit->signal);
	else if (i->job && exit->code)
		snprintf(i->reason, sizeof(i->reason), "exit status %u", exit->code);
}

static void take_details(
	struct fleet *f, struct fleet_instance *i, const json_t *seen, ns_t wall_ns)
{
	const char *reason = json_string_value(json_object_get(seen, "reason"));
	json_t *exit = json_object_get(seen, "exit");
	json_int_t restarts = json_integer_value(json_object_get(seen, "restarts"));
	json_int_t since_ms = json_integer_value(json_object_get(seen, "since_ms"));

	restarts = restarts > 0 && restarts < INT32_MAX ? restarts : 0;
	// What went before this start was counted then.
	if (!i->presumed && (unsigned)restarts > i->restarts)
		f->restarts += (unsigned)restarts - i->restarts;
	i->restarts = (unsigned)restarts;
	i->pid = json_integer_value(json_object_get(seen, "pid"));
	i->pid = i->pid > 0 && i->pid <= INT32_MAX ? i->pid : 0;
	i->stopped = json_is_true(json_object_get(seen, "stopped"));
	copy_cut(i->reason, sizeof(i->reason), reason ? reason : "");
	if (json_is_object(exit))
		set_exit(i, json_integer_value(json_object_get(exit, "code")),
			json_integer_value(json_object_get(exit, "signal")));
	if (since_ms >= 0 && since_ms < wall_ns / NS_PER_MS)
		i->since_wall_ns = wall_ns - since_ms * NS_PER_MS;
}

static void take_instance(
	struct fleet *f, struct fleet_node *n, const json_t *seen, ns_t now, ns_t wall_ns)
{
	const char *id = json_string_value(json_object_get(seen, "id"));
	struct fleet_instance *i = id ? fleet_instance(f, id) : NULL;
	enum instance_state state = state_of(seen);
	bool ready = json_is_true(json_object_get(seen, "ready"));

	// Not ours, or of a time before it was placed elsewhere: the next snapshot ends it.
	if (!i || i->host != n || state == INSTANCE_STATES)
		return;
	i->named = true;
	// How it ended is stored, and what its host says on the way to forgetting it is no news.
	if (i->intent == INTENT_ENDED && i->state >= INSTANCE_EXITED)
		return;
	take_details(f, i, seen, wall_ns);
	ready = ready && state == INSTANCE_RUNNING;
	if (ready && i->cold && wall_ns >= i->created_wall_ns)
		hist_add(&f->steps.ready, (uint64_t)(wall_ns - i->created_wall_ns));
	i->cold = i->cold && !ready;
	observe(f, i, state, ready, now);
}

// The first report of a connection names all: what it leaves out is not there.
static void miss_others(struct fleet *f, struct fleet_node *n, ns_t now)
{
	list_for_each_safe (at, after, &n->instances) {
		struct fleet_instance *i = list_entry(at, struct fleet_instance, of_node);

		if (!i->named && i->intent != INTENT_ENDED)
			observe(f, i, INSTANCE_PENDING, false, now);
	}
}

// From the first report on it is known what serves.
static void presume_nothing(struct fleet *f, struct fleet_node *n)
{
	list_for_each (at, &n->instances) {
		struct fleet_instance *i = list_entry(at, struct fleet_instance, of_node);

		if (!i->presumed)
			continue;
		i->presumed = false;
		if (!i->ready)
			fleet_retarget(f, i->function);
	}
}

// Within what can be added up without overflow; anything else counts as nothing.
static json_t *count_of(const json_t *object, const char *name)
{
	json_int_t n = json_integer_value(json_object_get(object, name));

	return json_integer(n > 0 && n < COUNT_MAX ? n : 0);
}

// What is shown of a function's load, and no more: a report may hold anything.
static json_t *load_of(const json_t *seen)
{
	static const char *const members[] = {"queued", "running", "capacity"};
	static const char *const outcomes[] = {
		"ok", "error", "rejected", "canceled", "timeout", "invalid"};
	const json_t *given = json_object_get(seen, "calls");
	json_t *out = json_object(), *calls = json_object();

	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		json_object_set_new(out, members[i], count_of(seen, members[i]));
	for (size_t i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++)
		json_object_set_new(calls, outcomes[i], count_of(given, outcomes[i]));
	json_object_set_new(out, "calls", calls);
	return out;
}

static void take_functions(struct fleet_node *n, const json_t *functions)
{
	if (!json_is_array(functions))
		return;
	for (size_t k = 0; k < json_array_size(functions); k++) {
		const json_t *seen = json_array_get(functions, k);
		const char *namespace = json_string_value(json_object_get(seen, "namespace"));
		const char *name = json_string_value(json_object_get(seen, "function"));
		char key[FLEET_KEY_MAX + 24];

		if (!namespace || !name || strlen(namespace) > 63 || strlen(name) > 63)
			continue;
		snprintf(key, sizeof(key), "%s/%s@%" JSON_INTEGER_FORMAT, namespace, name,
			json_integer_value(json_object_get(seen, "version")));
		if (json_object_get(n->functions, key) ||
			json_object_size(n->functions) < FUNCTIONS_MAX)
			json_object_set_new(n->functions, key, load_of(seen));
	}
}

int fleet_report(
	struct fleet *f, struct fleet_node *n, const json_t *report, ns_t now, ns_t wall_ns)
{
	const char *start = json_string_value(json_object_get(report, "start"));
	const json_t *instances = json_object_get(report, "instances");
	bool first = !n->reported;

	if (!start || strcmp(start, n->start) != 0)
		return -EINVAL;
	if (first) {
		json_object_clear(n->functions);
		list_for_each (at, &n->instances)
			list_entry(at, struct fleet_instance, of_node)->named = false;
	}
	n->reported = true;
	for (size_t k = 0; k < json_array_size(instances); k++)
		take_instance(f, n, json_array_get(instances, k), now, wall_ns);
	if (first) {
		miss_others(f, n, now);
		presume_nothing(f, n);
		n->back = false;
	}
	take_functions(n, json_object_get(report, "functions"));
	fleet_node_heard(n);
	return 0;
}
