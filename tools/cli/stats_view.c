// SPDX-License-Identifier: Apache-2.0
// Rows and tables of what gateways report. Pure but for the output; rows point into the answer.
#include "tools/cli/stats_view.h"

#include <stdlib.h>
#include <string.h>

#include "tools/cli/format.h"
#include "tools/cli/nouns.h"
#include "tools/cli/table.h"

static uint64_t whole(const json_t *value, const char *path)
{
	json_int_t n = json_integer_value(json_at(value, path));

	return n > 0 ? (uint64_t)n : 0;
}

static double seconds_as_ns(const json_t *value, const char *path)
{
	return json_number_value(json_at(value, path)) * 1e9;
}

static const char *text_of(const json_t *value, const char *key)
{
	const char *text = json_string_value(json_object_get(value, key));

	return text ? text : "?";
}

static struct service_row read_row(const json_t *service)
{
	return (struct service_row){
		.ns = text_of(service, "namespace"),
		.route = text_of(service, "route"),
		.calls_per_s = json_number_value(json_object_get(service, "calls_per_s")),
		.ok = whole(service, "calls.ok"),
		.rejected = whole(service, "calls.rejected"),
		.canceled = whole(service, "calls.canceled"),
		.error = whole(service, "calls.error"),
		.invalid = whole(service, "calls.invalid"),
		.in_flight = whole(service, "calls.in_flight"),
		.count = whole(service, "service_time.recent.count"),
		.p50_ns = seconds_as_ns(service, "service_time.recent.p50_s"),
		.p99_ns = seconds_as_ns(service, "service_time.recent.p99_s"),
		.max_ns = seconds_as_ns(service, "service_time.recent.max_s"),
	};
}

static uint64_t failures(const struct service_row *r)
{
	return r->rejected + r->canceled + r->error + r->invalid;
}

static uint64_t calls(const struct service_row *r)
{
	return r->ok + failures(r);
}

static int by_name(const void *a, const void *b)
{
	const struct service_row *x = a, *y = b;
	int ns = strcmp(x->ns, y->ns);

	return ns ? ns : strcmp(x->route, y->route);
}

// Greater first; equal ones by name, so that rows do not jump.
static int descending(double x, double y, const void *a, const void *b)
{
	return x > y ? -1 : x < y ? 1 : by_name(a, b);
}

static int by_calls(const void *a, const void *b)
{
	const struct service_row *x = a, *y = b;

	return descending(x->calls_per_s, y->calls_per_s, a, b);
}

static int by_latency(const void *a, const void *b)
{
	const struct service_row *x = a, *y = b;

	return descending(x->p99_ns, y->p99_ns, a, b);
}

static int by_failures(const void *a, const void *b)
{
	return descending((double)failures(a), (double)failures(b), a, b);
}

static bool is_route(const struct service_row *r, const char *only)
{
	size_t len = strlen(r->ns);

	if (strcmp(r->route, only) == 0)
		return true;
	return strncmp(only, r->ns, len) == 0 && only[len] == '/' &&
	       strcmp(only + len + 1, r->route) == 0;
}

void stats_sort(struct service_row *rows, size_t count, enum stats_order order)
{
	static int (*const orders[])(const void *, const void *) = {
		[ORDER_CALLS] = by_calls,
		[ORDER_LATENCY] = by_latency,
		[ORDER_FAILURES] = by_failures,
		[ORDER_NAME] = by_name,
	};

	if (count)
		qsort(rows, count, sizeof(*rows), orders[order]);
}

struct service_row *stats_rows(
	const json_t *stats, enum stats_order order, const char *only, size_t *count)
{
	const json_t *services = json_object_get(stats, "services");
	struct service_row *rows = calloc(json_array_size(services) + 1, sizeof(*rows));
	size_t i;
	json_t *service;

	*count = 0;
	json_array_foreach(services, i, service)
	{
		struct service_row row = read_row(service);

		if (rows && (!only || is_route(&row, only)))
			rows[(*count)++] = row;
	}
	stats_sort(rows, *count, order);
	return rows;
}

void stats_rates(struct service_row *rows, size_t count, const json_t *before, double seconds)
{
	size_t old_count;
	struct service_row *old = stats_rows(before, ORDER_NAME, NULL, &old_count);

	for (size_t i = 0; old && i < count; i++) {
		const struct service_row *was =
			bsearch(&rows[i], old, old_count, sizeof(*old), by_name);

		// A control plane that restarted counts from the start again.
		if (was && calls(&rows[i]) >= calls(was) && seconds > 0)
			rows[i].calls_per_s = (double)(calls(&rows[i]) - calls(was)) / seconds;
	}
	free(old);
}

void stats_write_total(FILE *out, const json_t *stats)
{
	const json_t *total = json_object_get(stats, "total");
	char rate[32], p50[32], p99[32], max[32];

	fprintf(out, "%s calls/s, %llu in flight, %llu connections",
		format_rate(json_number_value(json_object_get(total, "calls_per_s")), rate,
			sizeof(rate)),
		(unsigned long long)whole(total, "calls.in_flight"),
		(unsigned long long)whole(total, "connections"));
	if (whole(total, "gateway_latency.recent.count"))
		fprintf(out, "; through the gateway: median %s, p99 %s, max %s",
			format_ns(seconds_as_ns(total, "gateway_latency.recent.p50_s"), p50,
				sizeof(p50)),
			format_ns(seconds_as_ns(total, "gateway_latency.recent.p99_s"), p99,
				sizeof(p99)),
			format_ns(seconds_as_ns(total, "gateway_latency.recent.max_s"), max,
				sizeof(max)));
	fputc('\n', out);
}

static void add_row(struct table *t, const struct service_row *r)
{
	char text[64];

	table_cellf(t, "%s%s%s", strcmp(r->ns, CLI_NAMESPACE_DEFAULT) ? r->ns : "",
		strcmp(r->ns, CLI_NAMESPACE_DEFAULT) ? "/" : "", r->route);
	table_cell(t, format_rate(r->calls_per_s, text, sizeof(text)));
	table_cell(t, r->count ? format_ns(r->p50_ns, text, sizeof(text)) : "");
	table_cell(t, r->count ? format_ns(r->p99_ns, text, sizeof(text)) : "");
	table_cell(t, r->count ? format_ns(r->max_ns, text, sizeof(text)) : "");
	table_cellf(t, "%llu", (unsigned long long)r->in_flight);
	table_cellf(t, "%llu", (unsigned long long)r->ok);
	table_cellf(t, "%llu", (unsigned long long)r->rejected);
	table_cellf(t, "%llu", (unsigned long long)r->canceled);
	table_cellf(t, "%llu", (unsigned long long)r->error);
	table_cellf(t, "%llu", (unsigned long long)r->invalid);
}

void stats_write_services(FILE *out, const struct service_row *rows, size_t count, size_t limit)
{
	static const char *const titles[] = {"ROUTE", "CALLS/S", "MEDIAN", "P99", "MAX",
		"IN FLIGHT", "OK", "REJECTED", "CANCELED", "ERROR", "INVALID"};
	struct table t = {0};

	for (size_t i = 0; i < sizeof(titles) / sizeof(titles[0]); i++)
		table_column(&t, titles[i], i > 0);
	for (size_t i = 0; i < count && (!limit || i < limit); i++)
		add_row(&t, &rows[i]);
	table_print(&t, out);
	table_fini(&t);
}

void stats_write_deploys(FILE *out, const json_t *stats)
{
	const json_t *d = json_object_get(stats, "deploys");
	char p50[32], p99[32], route50[32], route99[32];

	if (!whole(d, "ready.count") && !whole(d, "failures") && !whole(d, "restarts") &&
		!whole(d, "lost"))
		return;
	fprintf(out,
		"%llu instances started: ready after median %s, p99 %s; routable after another %s, "
		"p99 %s; %llu failed, %llu started again, %llu lost\n",
		(unsigned long long)whole(d, "ready.count"),
		format_ns(seconds_as_ns(d, "ready.p50_s"), p50, sizeof(p50)),
		format_ns(seconds_as_ns(d, "ready.p99_s"), p99, sizeof(p99)),
		format_ns(seconds_as_ns(d, "routable.p50_s"), route50, sizeof(route50)),
		format_ns(seconds_as_ns(d, "routable.p99_s"), route99, sizeof(route99)),
		(unsigned long long)whole(d, "failures"), (unsigned long long)whole(d, "restarts"),
		(unsigned long long)whole(d, "lost"));
}

void stats_write_drops(FILE *out, const json_t *stats)
{
	struct table t = {0};
	char sentence[TABLE_CELL_MAX];
	size_t i;
	json_t *drop;

	table_column(&t, "DROPPED", true);
	table_column(&t, "CAUSE", false);
	table_column(&t, "WHAT IT IS", false);
	json_array_foreach(json_object_get(stats, "drops"), i, drop)
	{
		if (!whole(drop, "count"))
			continue;
		format_plain(json_object_get(drop, "sentence"), sentence, sizeof(sentence));
		table_cellf(&t, "%llu", (unsigned long long)whole(drop, "count"));
		table_cell(&t, text_of(drop, "cause"));
		table_cell(&t, sentence);
	}
	if (t.count) {
		fputc('\n', out);
		table_print(&t, out);
	}
	table_fini(&t);
}

void stats_write_counters(FILE *out, const json_t *stats)
{
	struct table t = {0};
	const char *name;
	json_t *value;

	table_column(&t, "COUNTER", false);
	table_column(&t, "VALUE", true);
	json_object_foreach(json_object_get(stats, "counters"), name, value)
	{
		table_cell(&t, name);
		table_cellf(&t, "%lld", (long long)json_integer_value(value));
	}
	fputc('\n', out);
	table_print(&t, out);
	table_fini(&t);
}
