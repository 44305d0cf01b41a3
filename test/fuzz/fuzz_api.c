// SPDX-License-Identifier: Apache-2.0
// The control API, gateways' reports and publishing on any bytes. An input is a series of parts,
// separated by a line "%%":
//
//	METHOD /path?name=value&...
//	If-Match: ...
//	(empty line)
//	body
//
// METHOD may also be FLUSH (changes become durable), FAIL (the store refuses them), REPORT (the
// body is a gateway's report), TAKE (a gateway reads what it is told). Whatever comes: answers are
// valid JSON with the fields that errors must have, a refused batch leaves what was durable, and a
// restart from the store gives the same state.
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/api.h"
#include "controlplane/api_scheduler.h"
#include "controlplane/publish.h"
#include "controlplane/telemetry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define PARTS_MAX 40

struct world {
	struct store *store;
	struct registry registry;
	struct publisher publisher;
	struct watcher watcher;
	struct telemetry *telemetry;
	struct api api;
	ns_t now;
};

static void check(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "not true: %s\n", what);
	abort();
}

// ---- parsing of the input ----

static char *next_line(char **rest)
{
	char *line = *rest, *end = line ? strchr(line, '\n') : NULL;

	*rest = end ? end + 1 : NULL;
	if (end)
		*end = 0;
	return line;
}

static void parse_query(struct api_request *q, char *at)
{
	while (at && *at && q->query_count < API_QUERY_MAX) {
		char *next = strchr(at, '&'), *value;

		if (next)
			*next++ = 0;
		value = strchr(at, '=');
		if (value)
			*value++ = 0;
		q->query[q->query_count++] = (struct api_pair){at, value};
		at = next;
	}
}

static void parse_head(struct api_request *q, char *line)
{
	char *space = strchr(line, ' '), *mark;

	q->method = line;
	q->path = "";
	if (!space)
		return;
	*space = 0;
	q->path = space + 1;
	mark = strchr(space + 1, '?');
	if (!mark)
		return;
	*mark = 0;
	parse_query(q, mark + 1);
}

static void parse_part(struct api_request *q, char *text, size_t len)
{
	char *rest = text, *end = text + len, *line = next_line(&rest);

	parse_head(q, line);
	while ((line = next_line(&rest)) && *line) {
		if (strncmp(line, "If-Match: ", 10) == 0)
			q->if_match = line + 10;
		else if (strncmp(line, "If-None-Match: ", 15) == 0)
			q->if_none_match = line + 15;
	}
	q->body = rest ? rest : "";
	// The body may hold zero bytes, so its length is not strlen()'s.
	q->body_len = rest ? (size_t)(end - rest) : 0;
}

// ---- what must hold ----

static void check_error(const json_t *body)
{
	const json_t *error = json_object_get(body, "error");
	const json_t *field = json_object_get(error, "field");

	check(json_is_string(json_object_get(error, "code")), "an error has a code");
	check(json_string_length(json_object_get(error, "message")) > 0, "an error has a message");
	check(!field || json_is_string(field), "a field is text");
}

static void check_response(const struct world *w, const struct api_response *r)
{
	json_t *body;

	check(r->status >= 200 && r->status < 600, "there is a status");
	check(r->wait_seq <= w->registry.seq, "nobody waits for what was never made");
	if (r->follow) {
		check(!r->body, "a stream has no body");
		return;
	}
	check(r->body && r->body[r->body_len - 1] == '\n', "a body ends with a newline");
	if (strcmp(r->content_type, "application/json") != 0)
		return;
	body = json_loadb(r->body, r->body_len, 0, NULL);
	check(body, "the body is JSON");
	if (r->status >= 400 && r->status != 503)
		check_error(body);
	json_decref(body);
}

static void check_same(const struct registry *a, const struct registry *b)
{
	check(a->durable == b->durable && a->published == b->published, "the seqs are stored");
	check(strcmp(a->epoch, b->epoch) == 0, "the epoch is stored");
	check(registry_event_floor(a) == registry_event_floor(b), "the history is stored");
	for (enum kind kind = 0; kind < KIND_COUNT; kind++) {
		const struct resource *x, *y;

		check(registry_count(a, kind) == registry_count(b, kind),
			"every resource is stored");
		for (size_t i = 0; (x = registry_at(a, kind, i)); i++) {
			json_t *left = resource_json(x), *right;

			y = registry_at(b, kind, i);
			right = resource_json(y);
			check(json_equal(left, right), "a stored resource is the same");
			json_decref(left);
			json_decref(right);
		}
	}
}

// ---- the parts ----

static void on_ready(struct watcher *watcher)
{
	(void)watcher;
}

static void on_changed(void *user, const struct change *c)
{
	publisher_apply(&((struct world *)user)->publisher, c);
}

static void take_items(struct world *w, int n)
{
	uint64_t last = 0;
	char *text;

	while (n-- > 0 && (text = feed_next(&w->watcher))) {
		json_t *item = json_loads(text, 0, NULL);
		uint64_t seq = (uint64_t)json_integer_value(json_object_get(item, "seq"));

		check(json_is_string(json_object_get(item, "op")), "an item has an op");
		check(seq >= last && seq <= w->registry.durable, "seqs ascend and are durable");
		last = seq;
		json_decref(item);
		free(text);
	}
}

static void take_report(struct world *w, const struct api_request *q)
{
	json_t *report = json_loadb(q->body, q->body_len, 0, NULL);

	telemetry_report(w->telemetry, "gw1", report, w->now);
	json_decref(report);
}

static void take_request(struct world *w, struct api_request *q)
{
	struct api_response r;

	q->now = w->now;
	q->wall_ns = w->now;
	api_handle(&w->api, q, &r);
	check_response(w, &r);
	api_response_clear(&r);
}

static void take_part(struct world *w, char *text, size_t len)
{
	struct api_request q = {0};

	parse_part(&q, text, len);
	w->now += NS_PER_SEC / 2;
	if (strcmp(q.method, "FLUSH") == 0) {
		check(registry_flush(&w->registry) == 0, "a memory store takes everything");
	} else if (strcmp(q.method, "FAIL") == 0) {
		store_mem_fail(w->store, -ENOSPC, 1);
		registry_flush(&w->registry);
		store_mem_fail(w->store, 0, 0);
	} else if (strcmp(q.method, "REPORT") == 0) {
		take_report(w, &q);
	} else if (strcmp(q.method, "TAKE") == 0) {
		take_items(w, 3);
	} else {
		take_request(w, &q);
	}
}

// Cuts at lines of "%%".
static void take_parts(struct world *w, char *text, size_t len)
{
	char *end = text + len;

	for (int i = 0; i < PARTS_MAX && text < end; i++) {
		char *cut = memmem(text, (size_t)(end - text), "\n%%\n", 4);
		size_t n = cut ? (size_t)(cut - text) : (size_t)(end - text);

		text[n] = 0;
		take_part(w, text, n);
		text += n + (cut ? 4 : 0);
		if (!cut)
			break;
	}
}

// ---- a scheduler that looks at what it is given and takes what its first byte says ----

static json_t *no_evaluations(void *user, const struct evaluation_query *query, uint64_t *next)
{
	check(query != NULL, "there is a query");
	*next = 0;
	return json_array();
}

static json_t *no_evaluation(void *user, uint64_t id)
{
	return NULL;
}

static json_t *plan(void *user, enum kind kind, const struct resource *before, const json_t *object)
{
	check(before || object, "a plan is of something");
	return kind == KIND_JOB ? json_object() : NULL;
}

static json_t *none(void *user, const char *namespace, const char *name)
{
	return NULL;
}

static json_t *no_children(void *user, const char *namespace, const char *parent, const char *after,
	size_t limit)
{
	return json_array();
}

static int no_child(void *user, const char *namespace, const char *name, uint64_t *index)
{
	return -ENOENT;
}

static json_t *no_quota(void *user, const char *namespace)
{
	return NULL;
}

static int dispatch(void *user, struct api_dispatch *d)
{
	static const int results[] = {0, -EEXIST, -ENOENT, -E2BIG, -EDQUOT, -EBUSY, -EINVAL, -ENOMEM};
	const char *bytes = d->payload, *key;
	unsigned sum = 0;
	json_t *value;

	check(d->payload || !d->payload_len, "bytes are there");
	for (size_t i = 0; i < d->payload_len; i++)
		sum += (unsigned char)bytes[i];
	json_object_foreach((json_t *)(uintptr_t)d->meta, key, value)
	{
		check(json_is_string(value), "values of meta are strings");
	}
	snprintf(d->child, sizeof(d->child), "child");
	snprintf(d->why, sizeof(d->why), "why");
	d->index = sum;
	return results[(sum + (d->token ? strlen(d->token) : 0)) % 8];
}

static int deployment(void *user, const char *namespace, const char *name, const char *action,
	uint64_t *index, char *why, size_t room)
{
	static const int results[] = {0, -ENOENT, -EINVAL, -EBUSY, -EDOM};

	snprintf(why, room, "why");
	*index = 7;
	return results[strlen(action) % 5];
}

static uint64_t durable(void *user)
{
	return 7;
}

static const struct api_scheduler scheduler = {
	.evaluations = no_evaluations,
	.evaluation = no_evaluation,
	.plan = plan,
	.job = none,
	.child = none,
	.children = no_children,
	.child_delete = no_child,
	.quota = no_quota,
	.dispatch = dispatch,
	.durable = durable,
	.deployment = deployment,
	.deployment_of = none,
};

static void start(struct world *w)
{
	static char *openapi;
	struct telemetry_hello hello = {"gw1", "1", "s1", 1};

	w->now = NS_PER_SEC;
	w->store = store_mem_new();
	check(registry_init(&w->registry, w->store) == 0, "an empty store starts");
	publisher_init(&w->publisher, &w->registry);
	registry_observe(&w->registry, on_changed, w);
	w->telemetry = telemetry_new(w->now);
	telemetry_connected(w->telemetry, &hello, w->now, w->now);
	feed_watch(&w->publisher.feed, &w->watcher, "gw1", "", 0, on_ready);
	// The document is the same each time and takes long to make.
	if (!openapi) {
		struct api once;

		api_init(&once, &w->registry, w->telemetry, &w->publisher, "0", w->now);
		openapi = once.openapi;
	}
	w->api = (struct api){.registry = &w->registry,
		.telemetry = w->telemetry,
		.publisher = &w->publisher,
		.scheduler = &scheduler,
		.version = "0",
		.openapi = openapi};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct world w;
	static struct registry again;
	char *text = malloc(len + 1);
	json_t *stats;
	char *shown;

	check(text, "memory");
	memcpy(text, data, len);
	text[len] = 0;
	start(&w);
	take_parts(&w, text, len);
	check(registry_flush(&w.registry) == 0, "the rest is stored");
	check(registry_init(&again, w.store) == 0, "the store can be read");
	check_same(&w.registry, &again);
	registry_fini(&again);
	take_items(&w, 1 << 20);
	stats = telemetry_stats(w.telemetry, w.now, w.now);
	shown = json_dumps(stats, 0);
	check(shown, "stats can be written");
	free(shown);
	json_decref(stats);
	feed_unwatch(&w.watcher);
	publisher_fini(&w.publisher);
	telemetry_destroy(w.telemetry);
	registry_fini(&w.registry);
	store_close(w.store);
	free(text);
	return 0;
}
