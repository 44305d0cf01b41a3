// SPDX-License-Identifier: Apache-2.0
// What the agent reports: instances as they are, load of functions, counters. Loop's thread.
#include <stddef.h>

#include "fnhost/agent.h"
#include "fnhost/instances.h"

#define SETUP_INSTANCES_MAX 256 // what fits a SETUP; the report that follows has all

#define COUNT(name_, help_)                                           \
	{                                                             \
#name_, help_, offsetof(struct host_counts, name_)            \
	}
static const struct {
	const char *name, *help;
	size_t offset;
} counters[] = {
	COUNT(calls, "calls that gateways have sent"),
	COUNT(calls_no_function, "calls rejected: no such function on this host"),
	COUNT(calls_no_instance, "calls rejected: no live instance"),
	COUNT(calls_queue_full, "calls rejected: the function's queue was full"),
	COUNT(calls_too_many, "calls rejected: too many on this host"),
	COUNT(calls_draining, "calls rejected: the host was going"),
	COUNT(calls_no_memory, "calls rejected: no memory, or an instance's connection was full"),
	COUNT(calls_invalid, "calls refused: routing or call metadata malformed"),
	COUNT(calls_deadline_waiting, "calls whose deadline passed in the queue"),
	COUNT(calls_deadline_running, "calls whose deadline passed while they ran"),
	COUNT(calls_lost_with_instance, "calls lost with the instance that ran them"),
	COUNT(outward, "calls that functions here have made"),
	COUNT(outward_no_gateway, "of these, rejected: no gateway was connected"),
	COUNT(gateways_accepted, "connections accepted from gateways"),
	COUNT(gateways_refused, "connections refused"),
	COUNT(load_pushes, "load told to gateways"),
	COUNT(instances_spawned, "starts of instances, with restarts"),
	COUNT(instances_adopted, "instances found running at the host's start"),
	COUNT(instances_exited, "ends of instances"),
	COUNT(instances_hung, "instances killed because all places were held by hanging calls"),
	COUNT(instances_out_of_memory, "ends of instances by their memory limit"),
	COUNT(instances_failed, "instances given up: they ended again and again, or did not become ready"),
	COUNT(instances_refused, "instances refused: all places were taken, or this host does not know how to run them"),
	COUNT(jobs_completed, "ends of jobs' instances with exit status 0"),
	COUNT(jobs_failed, "other ends of jobs' instances, or they could not be started"),
	COUNT(jobs_stopped, "ends of jobs' instances that were told to stop"),
	COUNT(logs_removed, "logs of instances that are gone which were removed to keep within the limits"),
	COUNT(assigns_applied, "assignments applied"),
	COUNT(assigns_invalid, "assignments not as the protocol says"),
	COUNT(assigns_unknown, "assignments of a kind not known here"),
};

static json_t *histogram(const struct hist *h)
{
	json_t *buckets = json_array();

	for (unsigned i = 0; i < HIST_BUCKETS; i++)
		if (h->bucket[i])
			json_array_append_new(buckets,
				json_pack("[i, I]", (int)i, (json_int_t)h->bucket[i]));
	return json_pack("{s:I, s:I, s:I, s:o}", "count", (json_int_t)h->count, "sum",
		(json_int_t)h->sum, "max", (json_int_t)h->max, "buckets", buckets);
}

// It has ended, once at least. One that runs once and has failed with 0 never began.
static bool has_exit(const struct instance *i)
{
	bool began = !i->life.failed || i->exit_code || i->exit_signal;

	return !i->pid && (!i->life.once || (life_over(&i->life) && began));
}

static json_t *instance_json(const struct instance *i, ns_t now)
{
	json_t *json = json_pack("{s:s, s:s, s:b, s:I, s:I, s:s}", "id", i->id, "state",
		life_name(&i->life), "ready", i->life.state == LIFE_READY, "restarts",
		(json_int_t)i->life.restarts, "since_ms",
		(json_int_t)((now - i->life.since) / NS_PER_MS), "reason", instance_reason(i));

	if (i->job && i->life.stopped && life_over(&i->life))
		json_object_set_new(json, "stopped", json_true());
	if (i->pid)
		json_object_set_new(json, "pid", json_integer(i->pid));
	if (has_exit(i))
		json_object_set_new(json, "exit",
			json_pack("{s:i, s:i}", "code", i->exit_code, "signal", i->exit_signal));
	return json;
}

static json_t *instances_json(const struct host *h, ns_t now, bool news)
{
	json_t *array = json_array();

	list_for_each (at, &h->instances) {
		const struct instance *i = list_entry(at, struct instance, all);

		if (i->news || !news)
			json_array_append_new(array, instance_json(i, now));
	}
	return array;
}

json_t *report_running(const struct host *h)
{
	json_t *array = json_array();

	list_for_each (at, &h->instances) {
		const struct instance *i = list_entry(at, struct instance, all);

		if (json_array_size(array) < SETUP_INSTANCES_MAX)
			json_array_append_new(array,
				json_pack("{s:s, s:s, s:b}", "id", i->id, "state", life_name(&i->life),
					"ready", i->life.state == LIFE_READY));
	}
	return array;
}

static json_t *function_json(const struct fn *fn)
{
	static const char *const names[FN_OUTCOMES] = {
		[FN_OK] = "ok",
		[FN_ERROR] = "error",
		[FN_REJECTED] = "rejected",
		[FN_CANCELED] = "canceled",
		[FN_TIMEOUT] = "timeout",
		[FN_INVALID] = "invalid",
	};
	json_t *calls = json_object();

	for (unsigned i = 0; i < FN_OUTCOMES; i++)
		json_object_set_new(calls, names[i], json_integer((json_int_t)fn->outcomes[i]));
	return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:o, s:o, s:o}", "namespace", fn->namespace,
		"function", fn->name, "version", (json_int_t)fn->version, "queued",
		(json_int_t)fn->queued, "running", (json_int_t)fn->running, "capacity",
		(json_int_t)fn->capacity, "calls", calls, "queue_time_ns",
		histogram(&fn->queue_time_ns), "service_time_ns", histogram(&fn->service_time_ns));
}

json_t *report_make(const struct host *h, ns_t now, bool with_help)
{
	json_t *functions = json_array(), *counts = json_object(), *help = json_object();
	json_t *json;

	list_for_each (at, &h->functions.all)
		json_array_append_new(functions, function_json(list_entry(at, struct fn, all)));
	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
		const char *at = (const char *)&h->counts + counters[i].offset;
		char key[64] = "host.";

		snprintf(key + 5, sizeof(key) - 5, "%s", counters[i].name);
		json_object_set_new(
			counts, key, json_integer((json_int_t) * (const uint64_t *)(const void *)at));
		json_object_set_new(help, key, json_string(counters[i].help));
	}
	json = json_pack("{s:s, s:o, s:o, s:o}", "start", h->start, "instances",
		instances_json(h, now, false), "functions", functions, "counters", counts);
	if (with_help)
		json_object_set(json, "help", help);
	json_decref(help);
	return json;
}

json_t *report_news(const struct host *h, ns_t now)
{
	return json_pack("{s:s, s:o}", "start", h->start, "instances", instances_json(h, now, true));
}

void report_told(struct host *h)
{
	list_for_each (at, &h->instances)
		list_entry(at, struct instance, all)->news = false;
}
