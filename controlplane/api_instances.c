// SPDX-License-Identifier: Apache-2.0
// The API's handlers for instances, which are no stored resources: list, get, logs. Main thread; no
// I/O.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/api_internal.h"
#include "controlplane/api_scheduler.h"
#include "controlplane/fleet.h"
#include "controlplane/registry_internal.h"

#define LOG_TAIL_DEFAULT 100
#define LOG_TAIL_MAX 100000
#define LOGS_FOLLOWED_MAX 64 // instances at a time
#define LOGS_READ_MAX 1024

struct filter {
	const char *namespace, *node, *after;
	char function_namespace[64];
	const char *function;
	bool ended;
};

static bool matches(const struct filter *f, const struct fleet_instance *i)
{
	if ((i->intent == INTENT_ENDED || i->lost) && !f->ended)
		return false;
	if (f->namespace && strcmp(f->namespace, i->function->namespace) != 0)
		return false;
	if (f->node && strcmp(f->node, i->host->name) != 0)
		return false;
	return !f->after || strcmp(i->id, f->after) > 0;
}

static int compare_ids(const void *a, const void *b)
{
	return strcmp(
		(*(struct fleet_instance *const *)a)->id, (*(struct fleet_instance *const *)b)->id);
}

struct matching {
	const struct filter *filter;
	const struct fleet_instance **found;
	size_t count;
};

static void take(struct matching *m, const struct fleet_instance *i)
{
	if (matches(m->filter, i))
		m->found[m->count++] = i;
}

static void collect_of(struct matching *m, const struct fleet_function *fn)
{
	m->found = must(calloc((fn ? fn->count : 0) + 1, sizeof(*m->found)));
	if (!fn)
		return;
	list_for_each(at, &fn->instances) {
		take(m, list_entry(at, struct fleet_instance, of_function));
	}
}

static void collect_all(struct matching *m, const struct fleet *f)
{
	const struct strmap_node *at;

	m->found = must(calloc(f->instances.count + 1, sizeof(*m->found)));
	for (at = strmap_next(&f->instances, NULL); at; at = strmap_next(&f->instances, at)) {
		struct strmap_node *node = (struct strmap_node *)(uintptr_t)at;

		take(m, container_of(node, struct fleet_instance, node));
	}
}

// Those that match in the order of ids; free() it.
static const struct fleet_instance **collect(
	const struct fleet *f, const struct filter *filter, size_t *count)
{
	struct matching m = {.filter = filter};

	if (filter->function)
		collect_of(&m, fleet_function(f, filter->function_namespace, filter->function));
	else
		collect_all(&m, f);
	qsort(m.found, m.count, sizeof(*m.found), compare_ids);
	*count = m.count;
	return m.found;
}

static void read_filter(struct api_call *call, struct filter *f)
{
	// They share their names.
	const char *job = api_query(call, "job");
	const char *function = job ? job : api_query(call, "function");
	const char *slash = function ? strchr(function, '/') : NULL;

	*f = (struct filter){
		.namespace = api_query(call, "namespace"),
		.node = api_query(call, "node"),
		.after = api_query(call, "after"),
		.function = slash ? slash + 1 : function,
		.ended = api_query_flag(call, "ended"),
	};
	snprintf(f->function_namespace, sizeof(f->function_namespace), "%.*s",
		slash ? (int)(slash - function) : 63,
		slash          ? function
		: f->namespace ? f->namespace
			       : "default");
}

void api_list_instances(struct api_call *call)
{
	const struct fleet_instance **found = NULL;
	json_t *items, *body;
	struct filter filter;
	uint64_t limit;
	size_t count = 0;

	if (!api_query_number(call, "limit", 1, API_LIST_MAX, API_LIST_DEFAULT, &limit))
		return;
	read_filter(call, &filter);
	if (call->api->fleet)
		found = collect(call->api->fleet, &filter, &count);
	items = json_array();
	for (size_t i = 0; i < count && i < limit; i++)
		json_array_append_new(items, fleet_instance_json(call->api->fleet, found[i]));
	body = json_object();
	json_object_set_new(body, "items", items);
	json_object_set_new(body, "seq", json_integer((json_int_t)call->api->registry->seq));
	if (count > limit)
		json_object_set_new(body, "next", json_string(found[limit - 1]->id));
	free(found);
	api_wait(call);
	api_reply(call, 200, body);
}

// By its id, or the beginning of one if no other begins so. False: the error has been made.
static const struct fleet_instance *find(struct api_call *call)
{
	const struct fleet *f = call->api->fleet;
	const struct fleet_instance *found = f ? fleet_instance(f, call->name) : NULL;
	const struct strmap_node *at = f && !found ? strmap_next(&f->instances, NULL) : NULL;
	size_t len = strlen(call->name), count = found != NULL;

	for (; at; at = strmap_next(&f->instances, at)) {
		const struct fleet_instance *i = container_of(
			(struct strmap_node *)(uintptr_t)at, struct fleet_instance, node);

		if (strncmp(i->id, call->name, len) == 0) {
			found = i;
			count++;
		}
	}
	if (count == 1)
		return found;
	if (count > 1)
		api_error(call->response, 409, "ambiguous", NULL,
			"%zu instances begin with %s: give more of the id", count, call->name);
	else
		api_error(call->response, 404, "not_found", NULL,
			"there is no instance %s; GET /v1/instances lists all", call->name);
	return NULL;
}

void api_get_instance(struct api_call *call)
{
	const struct fleet_instance *i = find(call);

	if (!i)
		return;
	api_wait(call);
	api_reply(call, 200, fleet_instance_json(call->api->fleet, i));
}

static struct api_log_source *sources_new(struct api_call *call, size_t count, uint64_t tail)
{
	struct api_response *r = call->response;

	r->status = 200;
	r->content_type = "text/plain; charset=utf-8";
	r->logs = must(calloc(count, sizeof(*r->logs)));
	r->log_count = count;
	r->logs_follow = api_query_flag(call, "follow");
	r->logs_tail = (unsigned)tail;
	return r->logs;
}

void api_logs(struct api_call *call)
{
	const struct fleet_instance *i;
	struct api_log_source *source;
	uint64_t tail;

	if (!api_query_number(call, "tail", 0, LOG_TAIL_MAX, LOG_TAIL_DEFAULT, &tail))
		return;
	i = find(call);
	if (!i)
		return;
	source = sources_new(call, 1, tail);
	snprintf(source->id, sizeof(source->id), "%s", i->id);
}

// ---- logs of all instances of a function or job ----

// As many digits as tell the ids, which are in order, from each other; 0: too many for a label.
static int digits_of(const struct fleet_instance **found, size_t count)
{
	int digits = 8;

	for (size_t k = 1; k < count; k++) {
		int same = 0;

		while (found[k]->id[same] && found[k]->id[same] == found[k - 1]->id[same])
			same++;
		digits = same >= digits ? same + 1 : digits;
	}
	return digits <= 12 ? digits : 0;
}

// The group and index of a job's instance; of a function's the id's beginning, or its end, since
// those placed together begin alike.
static void set_label(struct api_log_source *s, const struct fleet_instance *i, int digits)
{
	const char *group = json_string_value(json_object_get(i->spec, "group"));

	if (i->job)
		snprintf(s->label, sizeof(s->label), "%.63s-%u", group ? group : "main", i->index);
	else if (digits)
		snprintf(s->label, sizeof(s->label), "%.*s", digits, i->id);
	else
		snprintf(s->label, sizeof(s->label), "%s", i->id + strlen(i->id) - 8);
}

static bool is_wanted(const struct fleet_instance *i, const char *wanted)
{
	struct api_log_source source;
	char index[16];

	snprintf(index, sizeof(index), "%u", i->index);
	set_label(&source, i, 8);
	return !wanted ||
	       (i->job && (strcmp(index, wanted) == 0 || strcmp(source.label, wanted) == 0)) ||
	       (strlen(wanted) >= 8 && strncmp(i->id, wanted, strlen(wanted)) == 0);
}

// Oldest first, of those that were placed together by index.
static int compare_starts(const void *a, const void *b)
{
	const struct fleet_instance *x = *(const struct fleet_instance *const *)a;
	const struct fleet_instance *y = *(const struct fleet_instance *const *)b;

	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	return x->index != y->index ? (x->index < y->index ? -1 : 1) : strcmp(x->id, y->id);
}

static size_t keep_wanted(const struct fleet_instance **found, size_t count, const char *wanted)
{
	size_t kept = 0;

	for (size_t k = 0; k < count; k++)
		if (is_wanted(found[k], wanted))
			found[kept++] = found[k];
	return kept;
}

static bool is_known(const struct api_call *call, bool job)
{
	const struct api *api = call->api;
	json_t *child = NULL;
	char key[520];

	snprintf(key, sizeof(key), "%s/%s", call->namespace, call->name);
	if (registry_get(api->registry, job ? KIND_JOB : KIND_FUNCTION, key))
		return true;
	if (job && api->scheduler)
		child = api->scheduler->child(api->scheduler_user, call->namespace, call->name);
	json_decref(child);
	return child;
}

static void no_logs(struct api_call *call, bool job, const char *wanted)
{
	const char *kind = job ? "job" : "function";

	if (!is_known(call, job))
		api_error(call->response, 404, "not_found", NULL,
			"there is no %s %s/%s: GET /v1/%ss lists all", kind, call->namespace,
			call->name, kind);
	else if (wanted)
		api_error(call->response, 404, "not_found", "instance",
			"%s/%s has no instance %.40s: GET /v1/instances?%s=%s/%s lists all",
			call->namespace, call->name, wanted, kind, call->namespace, call->name);
	else if (job)
		api_error(call->response, 404, "not_found", NULL,
			"%s/%s has no instances: a job with a schedule or template makes jobs of "
			"its own, which have them (GET /v1/jobs); those that ended long ago are "
			"forgotten",
			call->namespace, call->name);
	else
		api_error(call->response, 404, "not_found", NULL,
			"%s/%s has no instances that run: ?ended=1 has those that have ended, too",
			call->namespace, call->name);
}

void api_logs_of(struct api_call *call)
{
	bool jobs = strncmp(call->route->pattern, "/v1/jobs/", 9) == 0;
	bool follow = api_query_flag(call, "follow");
	size_t count = 0, most = follow ? LOGS_FOLLOWED_MAX : LOGS_READ_MAX, from = 0;
	const char *wanted = api_query(call, "instance");
	struct filter filter = {
		.function = call->name, .ended = jobs || api_query_flag(call, "ended")};
	const struct fleet_instance **found;
	uint64_t tail;
	int digits;

	if (!api_query_number(call, "tail", 0, LOG_TAIL_MAX, LOG_TAIL_DEFAULT, &tail))
		return;
	snprintf(filter.function_namespace, sizeof(filter.function_namespace), "%.63s",
		call->namespace);
	found = call->api->fleet ? collect(call->api->fleet, &filter, &count) : NULL;
	count = keep_wanted(found, count, wanted);
	if (!count) {
		free(found);
		no_logs(call, jobs, wanted);
		return;
	}
	digits = digits_of(found, count);
	qsort(found, count, sizeof(*found), compare_starts);
	// The last ones are more likely to be of interest.
	from = count > most ? count - most : 0;
	if (from)
		snprintf(call->response->logs_note, sizeof(call->response->logs_note),
			"[%zu older instances are left out: at most %zu are %s at a time; name "
			"one]\n",
			from, most, follow ? "followed" : "read");
	count -= from;
	sources_new(call, count, tail);
	for (size_t k = 0; k < count; k++) {
		snprintf(call->response->logs[k].id, sizeof(call->response->logs[k].id), "%s",
			found[from + k]->id);
		set_label(&call->response->logs[k], found[from + k], digits);
	}
	call->response->logs_labelled = count > 1;
	free(found);
}
