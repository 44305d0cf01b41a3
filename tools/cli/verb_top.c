// SPDX-License-Identifier: Apache-2.0
// top: routes by calls, latency or failures, drawn again each second.
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/cli/api.h"
#include "tools/cli/format.h"
#include "tools/cli/nouns.h"
#include "tools/cli/screen.h"
#include "tools/cli/stats_view.h"
#include "tools/cli/table.h"

#define INTERVAL_DEFAULT (1 * NS_PER_SEC)

struct values {
	ns_t interval;
	uint64_t count;
	const char *sort;
};

static const struct option options[] = {
	{0, "interval", "TIME", "how often (1s)", OPTION_SPAN, offsetof(struct values, interval)},
	{0, "count", "N", "end after N times", OPTION_COUNT, offsetof(struct values, count)},
	{0, "sort", "BY", "calls, latency, failures or name (keys c, l, f, n)", OPTION_TEXT,
		offsetof(struct values, sort)},
};

static const struct {
	const char *name;
	enum stats_order order;
} orders[] = {
	{"calls", ORDER_CALLS},
	{"latency", ORDER_LATENCY},
	{"failures", ORDER_FAILURES},
	{"name", ORDER_NAME},
};

struct top {
	struct cli *cli;
	struct screen screen;
	enum stats_order order;
	json_t *before;  // the last answer
	ns_t before_at;
	bool away;  // the control plane did not answer; on a terminal that is shown and waited out
};

static void write_gateways(FILE *out, const json_t *stats)
{
	struct table t = {0};
	size_t i, w;
	json_t *gateway, *worker;

	table_column(&t, "GATEWAY", false);
	table_column(&t, "STATE", false);
	table_column(&t, "CONNECTIONS", true);
	table_column(&t, "IN FLIGHT", true);
	table_column(&t, "WORKERS' LOAD", false);
	json_array_foreach(json_object_get(stats, "gateways"), i, gateway)
	{
		char connections[32], calls[32], load[256] = "";

		json_array_foreach(json_object_get(gateway, "workers"), w, worker)
		{
			size_t len = strlen(load);

			snprintf(load + len, sizeof(load) - len, "%s%.0f%%", w ? " " : "",
				100 * json_number_value(json_object_get(worker, "busy")));
		}
		format_plain(
			json_object_get(gateway, "connections"), connections, sizeof(connections));
		format_plain(json_object_get(gateway, "calls_in_flight"), calls, sizeof(calls));
		table_cellf(&t, "%s", json_string_value(json_object_get(gateway, "name")));
		table_cell(&t,
			json_is_true(json_object_get(gateway, "connected")) ? "connected" : "away");
		table_cell(&t, connections);
		table_cell(&t, calls);
		table_cell(&t, load);
	}
	if (t.count)
		table_print(&t, out);
	table_fini(&t);
}

static void write_frame(struct top *top, FILE *out, const json_t *stats, ns_t now)
{
	size_t count;
	struct service_row *rows;
	time_t wall = time(NULL);
	struct tm tm;
	char clock[16] = "";

	if (localtime_r(&wall, &tm))
		strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	// Pages that stay are set apart.
	fputs(top->before && !top->screen.active ? "\n" : "", out);
	fprintf(out, "penstock top  %s  by %s%s\n", clock, orders[top->order].name,
		top->screen.active ? "  (keys: c calls, l latency, f failures, n name, q quit)"
				   : "");
	stats_write_total(out, stats);
	fputc('\n', out);
	write_gateways(out, stats);
	fputc('\n', out);
	rows = stats_rows(stats, top->order, NULL, &count);
	if (rows && top->before) {
		// Rates change with the interval, and so does their order.
		stats_rates(rows, count, top->before, (double)(now - top->before_at) / 1e9);
		stats_sort(rows, count, top->order);
	}
	if (count)
		stats_write_services(out, rows, count, 0);
	else
		fputs("No call was made yet.\n", out);
	free(rows);
}

static void show(struct top *top, const char *text)
{
	screen_begin(&top->screen, top->cli->out);
	screen_write(&top->screen, top->cli->out, text);
	screen_end(&top->screen, top->cli->out);
}

static void draw(struct top *top, const json_t *stats)
{
	ns_t now = clock_now();
	char *text = NULL;
	size_t len;
	FILE *page = open_memstream(&text, &len);

	if (!page)
		return;
	write_frame(top, page, stats, now);
	fclose(page);
	show(top, text);
	free(text);
	json_decref(top->before);
	top->before = json_incref((json_t *)stats);
	top->before_at = now;
}

// One page. What goes wrong is said on `err` when it ends the program.
static enum cli_exit refresh(struct top *top)
{
	FILE *err = top->cli->err;
	char *complaint = NULL;
	size_t len;
	struct api_reply reply;
	enum cli_exit exit;

	top->cli->err = open_memstream(&complaint, &len);
	if (!top->cli->err)
		top->cli->err = err;
	exit = api_get(top->cli, "/v1/stats", &reply);
	if (exit == CLI_DONE)
		draw(top, reply.body);
	else
		api_complain(top->cli, "stats", &reply);
	api_reply_end(&reply);
	if (top->cli->err != err)
		fclose(top->cli->err);
	top->cli->err = err;
	// A control plane that restarts is no reason to leave a screen that worked.
	top->away = exit == CLI_UNREACHABLE && top->before && top->screen.active;
	if (top->away)
		show(top, complaint);
	else if (exit != CLI_DONE) {
		screen_fini(&top->screen);
		fputs(complaint ? complaint : "", err);
	}
	free(complaint);
	return top->away ? CLI_DONE : exit;
}

// False: quit.
static bool obey(struct top *top, int key)
{
	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		if (key == orders[i].name[0])
			top->order = orders[i].order;
	}
	return key != 'q';
}

static enum cli_exit choose_order(struct cli *cli, const char *name, enum stats_order *order)
{
	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		if (strcmp(orders[i].name, name) != 0)
			continue;
		*order = orders[i].order;
		return CLI_DONE;
	}
	return cli_usage(cli, "--sort takes calls, latency, failures or name, not '%s'", name);
}

static enum cli_exit run(struct cli *cli, const void *values, int argc, char **argv)
{
	const struct values *v = values;
	struct top top = {.cli = cli};
	enum cli_exit exit = v->sort ? choose_order(cli, v->sort, &top.order) : CLI_DONE;

	if (exit != CLI_DONE)
		return exit;
	screen_init(&top.screen);
	for (uint64_t n = 1;; n++) {
		exit = refresh(&top);
		if (exit != CLI_DONE || n == v->count || ferror(cli->out))
			break;
		if (!obey(&top,
			    screen_key(&top.screen, v->interval ? v->interval : INTERVAL_DEFAULT)))
			break;
	}
	screen_fini(&top.screen);
	json_decref(top.before);
	return exit;
}

const struct verb verb_top = {
	.name = "top",
	.words = "",
	.summary = "Watch gateways and routes: calls/s, latencies, failures",
	.about = "Without a terminal each page is printed below the last one.",
	.examples = "penstock top\npenstock top --sort latency\npenstock top --count 1",
	.options = options,
	.option_count = sizeof(options) / sizeof(options[0]),
	.values_bytes = sizeof(struct values),
	.run = run,
};
