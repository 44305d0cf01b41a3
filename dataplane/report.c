// SPDX-License-Identifier: Apache-2.0
// Reports of a gateway: see report.h. Control thread only.

#include "dataplane/report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/atomic.h"

static const char *const outcome_names[CALL_OUTCOMES] = {
	[CALL_OK] = "ok",
	[CALL_ERROR] = "error",
	[CALL_REJECTED] = "rejected",
	[CALL_CANCELED] = "canceled",
	[CALL_INVALID] = "invalid",
	[CALL_ABANDONED] = "abandoned",
};

int report_init(struct report *r, ns_t now)
{
	*r = (struct report){
		.started = now, .sent = calloc(SERVICES_MAX, sizeof(struct report_sent))};
	return r->sent ? 0 : -ENOMEM;
}

void report_fini(struct report *r)
{
	free(r->sent);
	r->sent = NULL;
}

static void put(json_t *object, const char *key, uint64_t value)
{
	json_object_set_new(object, key, json_integer((json_int_t)value));
}

static json_t *histogram(const struct hist *h)
{
	json_t *buckets = json_array();

	for (unsigned i = 0; i < HIST_BUCKETS; i++)
		if (h->bucket[i])
			json_array_append_new(
				buckets, json_pack("[i, I]", (int)i, (json_int_t)h->bucket[i]));
	return json_pack("{s:I, s:I, s:I, s:o}", "count", (json_int_t)h->count, "sum",
		(json_int_t)h->sum, "max", (json_int_t)h->max, "buckets", buckets);
}

// Counters

static void put_group(json_t *counters, json_t *help, const struct report_sources *s,
	const struct report_group *group)
{
	char key[128];

	for (unsigned i = 0; i < group->count; i++) {
		uint64_t sum = 0;

		for (unsigned w = 0; w < s->workers; w++)
			sum += counter_read(&group->values(w, s->arg)[i]);
		snprintf(key, sizeof(key), "%s.%s", group->name, group->counters[i].name);
		put(counters, key, sum);
		if (help)
			json_object_set_new(help, key, json_string(group->counters[i].help));
	}
}

static void put_gauges(json_t *worker, const struct report_sources *s, unsigned w)
{
	for (unsigned i = 0; i < s->groups; i++) {
		const struct report_group *group = &s->group[i];
		json_t *object;

		if (!group->gauges)
			continue;
		object = json_object();
		for (unsigned k = 0; k < group->count; k++)
			put(object, group->counters[k].name,
				counter_read(&group->values(w, s->arg)[k]));
		json_object_set_new(worker, group->name, object);
	}
}

static json_t *workers(const struct report_sources *s)
{
	json_t *array = json_array();

	for (unsigned w = 0; w < s->workers; w++) {
		const struct relay *relay = s->relays[w];
		json_t *object = json_object();

		put(object, "id", w);
		put(object, "connections", counter_read(&relay->clients_count));
		put(object, "calls_in_flight", counter_read(&relay->calls_in_flight));
		put_gauges(object, s, w);
		if (s->describe_worker)
			s->describe_worker(w, object, s->arg);
		json_array_append_new(array, object);
	}
	return array;
}

// Targets

struct target_visit {
	const struct report_sources *sources;
	json_t *array;
};

static void add_target(const struct target *t, void *arg)
{
	struct target_visit *visit = arg;
	uint64_t calls = 0, connections = 0, dialled = 0;
	int32_t error = 0;

	for (unsigned w = 0; w < visit->sources->workers; w++) {
		const struct relay_target *rt = &visit->sources->relays[w]->targets[t->id];
		int32_t e = __atomic_load_n(&rt->error, __ATOMIC_RELAXED);

		calls += counter_read(&rt->calls);
		connections += counter_read(&rt->connections);
		dialled += counter_read(&rt->dialled);
		if (e)
			error = e;
	}
	json_array_append_new(visit->array,
		json_pack("{s:s, s:s, s:I, s:I, s:s}", "address", t->text, "state",
			connections ? "up"
			: dialled   ? (error ? "down" : "connecting")
				    : "idle",
			"connections", (json_int_t)connections, "in_flight", (json_int_t)calls,
			"last_error", error ? strerror(-error) : ""));
}

// Services

struct service_visit {
	struct report *report;
	const struct report_sources *sources;
	bool full;
	json_t *array;
	const char *start;
	void (*send)(json_t *message, void *arg);
	void *arg;
};

static void send_services(struct service_visit *v)
{
	if (json_array_size(v->array) == 0)
		return;
	v->send(json_pack("{s:s, s:o}", "start", v->start, "services", v->array), v->arg);
	v->array = json_array();
}

// What a worker has counted for the service, or NULL: nothing yet.
static const struct relay_service *counted(const struct relay *relay, const struct service *s)
{
	const struct relay_service *rs = &relay->services[s->slot];

	return __atomic_load_n(&rs->generation, __ATOMIC_ACQUIRE) == s->generation ? rs : NULL;
}

struct tally {
	uint64_t outcomes[CALL_OUTCOMES], in_flight;
};

// Returns the beginnings and ends of calls: what changes with each.
static uint64_t count_calls(const struct service_visit *v, const struct service *s, struct tally *t)
{
	uint64_t ended = 0;

	*t = (struct tally){0};
	for (unsigned w = 0; w < v->sources->workers; w++) {
		const struct relay_service *rs = counted(v->sources->relays[w], s);

		for (unsigned i = 0; rs && i < CALL_OUTCOMES; i++)
			t->outcomes[i] += counter_read(&rs->outcomes[i]);
		t->in_flight += rs ? counter_read(&rs->in_flight) : 0;
	}
	for (unsigned i = 0; i < CALL_OUTCOMES; i++)
		ended += t->outcomes[i];
	return 2 * ended + t->in_flight;
}

static json_t *service_calls(const struct tally *t)
{
	json_t *calls = json_object();

	for (unsigned i = 0; i < CALL_OUTCOMES; i++)
		put(calls, outcome_names[i], t->outcomes[i]);
	put(calls, "in_flight", t->in_flight);
	return calls;
}

static json_t *service_times(const struct service_visit *v, const struct service *s)
{
	struct hist times;

	memset(&times, 0, sizeof(times));
	for (unsigned w = 0; w < v->sources->workers; w++) {
		const struct relay_service *rs = counted(v->sources->relays[w], s);

		if (rs)
			hist_merge(&times, &rs->service_time_ns);
	}
	return histogram(&times);
}

static void add_service(const struct service *s, void *arg)
{
	struct service_visit *v = arg;
	struct report_sent *sent = &v->report->sent[s->slot];
	struct tally tally;
	uint64_t steps = count_calls(v, s, &tally);
	uint64_t before = sent->generation == s->generation ? sent->steps : 0;

	if (!v->full && steps == before)
		return;
	*sent = (struct report_sent){.generation = s->generation, .steps = steps};
	json_array_append_new(
		v->array, json_pack("{s:s, s:s, s:b, s:o, s:o}", "namespace", s->namespace, "route",
				  s->route, "prefix", s->prefix, "calls", service_calls(&tally),
				  "service_time_ns", service_times(v, s)));
	if (json_array_size(v->array) >= REPORT_SERVICES_MAX)
		send_services(v);
}

static json_t *gateway_histograms(const struct report_sources *s)
{
	struct hist sum;

	memset(&sum, 0, sizeof(sum));
	for (unsigned w = 0; w < s->workers; w++)
		hist_merge(&sum, &s->relays[w]->gateway_time_ns);
	return json_pack("{s:o}", "gateway_latency_ns", histogram(&sum));
}

void report_build(struct report *r, const struct report_sources *sources, struct table *table,
	const char *start, ns_t now, bool full, void (*send)(json_t *message, void *arg), void *arg)
{
	json_t *message = json_object(), *counters = json_object(),
	       *help = full ? json_object() : NULL;
	struct target_visit targets = {.sources = sources, .array = json_array()};
	struct service_visit services = {.report = r,
		.sources = sources,
		.full = full,
		.array = json_array(),
		.start = start,
		.send = send,
		.arg = arg};

	for (unsigned i = 0; i < sources->groups; i++)
		if (!sources->group[i].gauges)
			put_group(counters, help, sources, &sources->group[i]);
	table_each_target(table, add_target, &targets);
	json_object_set_new(message, "start", json_string(start));
	put(message, "uptime_ms", (uint64_t)((now - r->started) / NS_PER_MS));
	json_object_set_new(message, "workers", workers(sources));
	json_object_set_new(message, "counters", counters);
	if (help)
		json_object_set_new(message, "help", help);
	json_object_set_new(message, "histograms", gateway_histograms(sources));
	json_object_set_new(message, "targets", targets.array);
	if (sources->describe_ports)
		json_object_set_new(message, "ports", sources->describe_ports(sources->arg));
	send(message, arg);
	table_each(table, add_service, &services);
	send_services(&services);
	json_decref(services.array);
}
