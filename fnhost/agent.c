// SPDX-License-Identifier: Apache-2.0
// The agent: see agent.h. Loop's thread.
//
//   dialling -> up: SETUP says who we are and what runs; penstock.assign: snapshot, then changes
//      ^                                                        |
//      '---- back-off ---- down: instances and calls go on <----'
//
// What has changed is reported at once (at most one report in REPORT_COALESCE), all there is first of all on a
// connection, and each second.
#include "fnhost/agent.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>

#include "fnhost/instances.h"
#include "fnhost/logs.h"
#include "lib/base/addr.h"
#include "lib/base/log.h"
#include "lib/rsocket/metadata.h"

#define SUBSYSTEM "agent"
#define ASSIGN_CREDIT 256u
#define REPORT_COALESCE (5 * NS_PER_MS)
#define REPORT_INTERVAL NS_PER_SEC
#define INSTANCE_FILES "/var/tmp" // --state is in memory, as a rule
#define KEEPALIVE_MS 1000
#define LIFETIME_MS 5000

struct agent {
	struct host *host;
	struct link link;
	bool linked;
	struct rs_stream *watch;
	uint32_t credit;
	char epoch[65];          // of what was seen last; empty: nothing, or half a snapshot
	char snapshot_epoch[65];
	uint64_t seq;
	bool in_snapshot;
	bool told_down;
	bool helped; // the counters' sentences were sent on this connection
	struct timer report;
	ns_t reported;     // anything
	ns_t reported_all;
};

// Messages out

static int set_json(struct host *h, struct chain *out, json_t *json)
{
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	int rc = text ? chain_copy(out, h->blocks, text, strlen(text)) : -ENOMEM;

	free(text);
	json_decref(json);
	return rc;
}

// Takes data.
static int make_request(struct host *h, struct rs_message *message, const char *route, json_t *data)
{
	uint8_t bytes[64];
	struct writer w = writer_of(bytes, sizeof(bytes));
	int rc = set_json(h, &message->data, data);

	rs_route_entry_write(&w, route, (uint8_t)strlen(route));
	message->has_metadata = true;
	if (rc == 0)
		rc = chain_copy(&message->metadata, h->blocks, bytes, (size_t)(w.at - bytes));
	if (rc)
		rs_message_clear(message);
	return rc;
}

static void report(struct agent *a, ns_t now)
{
	struct rs_message message = {0};
	bool all = !a->helped || now >= a->reported_all + REPORT_INTERVAL;

	a->reported = now;
	if (all)
		a->reported_all = now;
	// A report that does not go out is made up for by the next of all: it says how things are.
	if (a->linked && a->link.state == LINK_UP &&
		make_request(a->host, &message, "penstock.report",
			all ? report_make(a->host, now, !a->helped) : report_news(a->host, now)) == 0 &&
		rs_fire_and_forget(&a->link.session, &message) == 0) {
		a->helped = true;
		report_told(a->host);
	}
}

static void on_report(struct timer *timer, ns_t now)
{
	struct agent *a = container_of(timer, struct agent, report);

	report(a, now);
	timer_arm(loop_timers(a->host->loop), timer, a->reported_all + REPORT_INTERVAL);
}

void agent_changed(struct instance *i)
{
	struct host *h = i->host;
	struct agent *a = h->agent;
	ns_t now = loop_now(h->loop), due;

	i->news = true;
	if (!a || !a->linked)
		return;
	due = a->reported + REPORT_COALESCE;
	timer_arm(loop_timers(h->loop), &a->report, due > now ? due : now);
}

static void watch(struct agent *a)
{
	struct rs_message message = {0};
	int error = make_request(a->host, &message, "penstock.assign",
		json_pack("{s:s, s:I}", "epoch", a->epoch, "after", (json_int_t)a->seq));

	a->in_snapshot = false;
	a->credit = ASSIGN_CREDIT;
	a->watch = error ? NULL
			 : rs_request(&a->link.session, RS_REQUEST_STREAM, ASSIGN_CREDIT, &message,
				   a, &error);
	if (!a->watch)
		rs_session_close(&a->link.session, RS_ERROR_CONNECTION, "cannot ask for assignments");
}

// Messages in

static int apply_instance(struct agent *a, json_t *message)
{
	return instances_assign(a->host, message);
}

static int apply_instance_gone(struct agent *a, json_t *message)
{
	const char *id = json_string_value(json_object_get(message, "id"));

	if (!id)
		return -EINVAL;
	instances_stop(a->host, id);
	return 0;
}

static int apply_snapshot_begin(struct agent *a, json_t *message)
{
	const char *epoch = json_string_value(json_object_get(message, "epoch"));

	if (!epoch || strlen(epoch) >= sizeof(a->epoch))
		return -EINVAL;
	a->epoch[0] = 0; // a stream that is cut before the end must start with a snapshot again
	strcpy(a->snapshot_epoch, epoch);
	a->in_snapshot = true;
	instances_mark(a->host);
	return 0;
}

static int apply_snapshot_end(struct agent *a, json_t *message)
{
	if (!a->in_snapshot)
		return -EINVAL;
	a->in_snapshot = false;
	strcpy(a->epoch, a->snapshot_epoch);
	instances_sweep(a->host);
	log_info(SUBSYSTEM, "assignments are up to date: %u instances", a->host->instances_count);
	return 0;
}

static const struct {
	const char *name;
	int (*apply)(struct agent *a, json_t *message);
} ops[] = {
	{"instance", apply_instance},
	{"instance_gone", apply_instance_gone},
	{"snapshot_begin", apply_snapshot_begin},
	{"snapshot_end", apply_snapshot_end},
};

int agent_apply(struct host *h, json_t *message)
{
	struct agent *a = h->agent;
	const char *op = json_string_value(json_object_get(message, "op"));
	json_t *seq = json_object_get(message, "seq");
	int rc = -ENOTSUP;

	if (!op || !json_is_integer(seq) || json_integer_value(seq) < 0) {
		h->counts.assigns_invalid++;
		return -EINVAL;
	}
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		if (strcmp(op, ops[i].name) == 0)
			rc = ops[i].apply(a, message);
	if (rc == -ENOTSUP)
		h->counts.assigns_unknown++;
	else if (rc)
		h->counts.assigns_invalid++;
	else
		h->counts.assigns_applied++;
	if (!a->in_snapshot) // within it the place is only known at its end
		a->seq = (uint64_t)json_integer_value(seq);
	return rc;
}

static json_t *parse(const struct chain *data)
{
	char *text = malloc(data->len + 1);
	json_t *json;

	if (!text)
		return NULL;
	chain_read(data, 0, text, data->len);
	json = json_loadb(text, data->len, 0, NULL);
	free(text);
	return json;
}

static void on_payload(struct rs_stream *stream, struct rs_message *message, bool next, bool complete)
{
	struct agent *a = stream->user;
	json_t *json = next ? parse(&message->data) : NULL;

	if (next) {
		int rc = json ? agent_apply(a->host, json) : -EINVAL;

		if (rc)
			log_warn(SUBSYSTEM, "an assignment could not be applied: %s", strerror(-rc));
		json_decref(json);
	}
	if (complete) {
		a->watch = NULL;
		rs_session_close(&a->link.session, RS_ERROR_CONNECTION, "the assignments ended");
		return;
	}
	if (a->credit > 0 && --a->credit <= ASSIGN_CREDIT / 2) {
		rs_request_n(stream, ASSIGN_CREDIT - a->credit);
		a->credit = ASSIGN_CREDIT;
	}
}

static void on_error(struct rs_stream *stream, uint32_t code, struct chain *text)
{
	struct agent *a = stream->user;
	char why[256];

	why[chain_read(text, 0, why, sizeof(why) - 1)] = 0;
	a->watch = NULL;
	log_warn(SUBSYSTEM, "the control plane refused to assign: %s: %s", rs_error_name(code), why);
	rs_session_close(&a->link.session, RS_ERROR_CONNECTION, "no assignments");
}

static void on_lost(struct rs_stream *stream, bool sent)
{
	if (stream->requester)
		((struct agent *)stream->user)->watch = NULL;
	else
		logs_cancel(stream);
}

// The control plane asks for logs.
static void on_request(struct rs_stream *stream, struct rs_message *message)
{
	struct agent *a = link_of(stream->session)->user;
	struct rs_route route;
	json_t *json;

	if (stream->type == RS_REQUEST_FNF)
		return;
	if (rs_route_find(RS_METADATA_COMPOSITE, &message->metadata, &route) ||
		strcmp(route.text, "penstock.logs") != 0 || stream->type != RS_REQUEST_STREAM) {
		rs_error(stream, RS_ERROR_INVALID, "a host answers penstock.logs, a stream");
		return;
	}
	json = parse(&message->data);
	logs_begin(a->host, stream, json);
	json_decref(json);
}

static const struct rs_handler handler = {
	.wake = link_wake,
	.closed = link_ended,
	.payload = on_payload,
	.error = on_error,
	.lost = on_lost,
	.request = on_request,
	.request_n = logs_request_n,
	.cancel = logs_cancel,
};

static void on_up(struct link *link)
{
	struct agent *a = link->user;

	log_info(SUBSYSTEM, "connected to the control plane at %s", a->host->options.control);
	a->told_down = false;
	a->helped = false;
	watch(a);
	if (a->watch)
		report(a, loop_now(a->host->loop));
}

static json_t *who_we_are(const struct host *h);

static void on_down(struct link *link, const char *why)
{
	struct agent *a = link->user;

	if (link->state == LINK_CLOSED)
		a->linked = false;
	else if (!a->told_down)
		log_warn(SUBSYSTEM, "no control plane at %s: %s; instances go on, trying again",
			a->host->options.control, why);
	a->told_down = true;
	if (!a->linked)
		return;
	// The next SETUP says what runs by then.
	chain_clear(&link->setup.data);
	set_json(a->host, &link->setup.data, who_we_are(a->host));
}

static const struct link_ops link_ops = {.up = on_up, .down = on_down};

static json_t *attributes(const struct host *h)
{
	const struct options *o = &h->options;
	json_t *object = json_object();
	char text[OPTION_TEXT_MAX], *save, *pair;
	struct utsname name;

	uname(&name);
	json_object_set_new(object, "kernel", json_string(name.release));
	json_object_set_new(object, "arch", json_string(name.machine));
	cgroups_limits(&h->cgroups, text, sizeof(text));
	json_object_set_new(object, "limits", json_string(text));
	if (h->cgroups.why[0])
		json_object_set_new(object, "limits-why", json_string(h->cgroups.why));
	strcpy(text, o->attributes);
	for (pair = strtok_r(text, ",", &save); pair; pair = strtok_r(NULL, ",", &save)) {
		char *equals = strchr(pair, '=');

		if (!equals)
			continue;
		*equals = 0;
		json_object_set_new(object, pair, json_string(equals + 1));
	}
	return object;
}

// Tells machines apart without telling the machine's id, which is to be kept confidential (machine-id(5)).
static void hash_machine(const char *id, char out[17])
{
	uint64_t hash = 14695981039346656037u; // FNV-1a

	for (const char *at = id; *at; at++)
		hash = (hash ^ (uint8_t)*at) * 1099511628211u;
	for (const char *at = "penstock-fnhost"; *at; at++)
		hash = (hash ^ (uint8_t)*at) * 1099511628211u;
	snprintf(out, 17, "%016llx", (unsigned long long)(*id ? hash : 0));
}

// 0: no limit, as far as is known.
static json_int_t disk_bytes(const char *path)
{
	struct statvfs fs;

	return statvfs(path, &fs) ? 0 : (json_int_t)(fs.f_blocks * fs.f_frsize);
}

static json_t *who_we_are(const struct host *h)
{
	const struct options *o = &h->options;
	char machine[17];
	json_t *who = json_pack("{s:{s:i, s:i}, s:s, s:s, s:s, s:s, s:s, s:{s:I, s:I, s:I, s:i}, s:o, s:o}",
		"protocol", "min", 1, "max", 1, "role", "host", "name", o->name, "version",
		PENSTOCK_VERSION, "start", h->start, "address", o->advertise, "capacity", "cpu_milli",
		(json_int_t)o->cpu_milli, "memory", (json_int_t)o->memory_bytes, "disk",
		disk_bytes(INSTANCE_FILES), "instances", (int)o->instances, "attributes", attributes(h),
		"instances", report_running(h));

	hash_machine(o->machine_id, machine);
	if (who && o->machine_id[0])
		json_object_set_new(who, "machine", json_string(machine));
	if (who && o->token[0])
		json_object_set_new(who, "token", json_string(o->token));
	return who;
}

int agent_start(struct host *h)
{
	struct agent *a = calloc(1, sizeof(*a));
	struct sockaddr_storage addr;
	struct rs_message setup = {0};
	struct rs_config config = {
		.handler = &handler,
		.keepalive_ms = KEEPALIVE_MS,
		.lifetime_ms = LIFETIME_MS,
		.metadata_mime = rs_mime_name(RS_MIME_COMPOSITE),
		.data_mime = "application/json",
		.setup = &setup,
	};
	socklen_t len;
	int error;

	if (!a)
		return -ENOMEM;
	h->agent = a;
	a->host = h;
	error = sockaddr_parse(h->options.control, &addr, &len);
	if (!error)
		error = set_json(h, &setup.data, who_we_are(h));
	if (!error)
		error = link_dial(&a->link, &h->hub, (struct sockaddr *)&addr, len, &config,
			&link_ops, a);
	rs_message_clear(&setup);
	a->linked = !error;
	a->report.fire = on_report;
	if (!error)
		timer_arm(loop_timers(h->loop), &a->report, loop_now(h->loop) + REPORT_INTERVAL);
	return error;
}

void agent_stop(struct host *h)
{
	struct agent *a = h->agent;

	timer_cancel(loop_timers(h->loop), &a->report);
	if (a->linked)
		link_close(&a->link);
}

bool agent_closed(const struct host *h)
{
	return !h->agent || !h->agent->linked;
}

void agent_fini(struct host *h)
{
	free(h->agent);
	h->agent = NULL;
}
