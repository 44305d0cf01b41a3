// SPDX-License-Identifier: Apache-2.0
// stats: what gateways report, added up.
#include <stdlib.h>
#include <time.h>

#include "tools/cli/api.h"
#include "tools/cli/output.h"
#include "tools/cli/stats_view.h"

#define WATCH_DEFAULT (2 * NS_PER_SEC)

struct values {
	bool watch, counters;
	ns_t interval;
	uint64_t count;
};

static const struct option options[] = {
	{'w', "watch", NULL, "print again and again", OPTION_FLAG, offsetof(struct values, watch)},
	{0, "interval", "TIME", "how often with --watch (2s)", OPTION_SPAN,
		offsetof(struct values, interval)},
	{0, "count", "N", "end after printing N times", OPTION_COUNT,
		offsetof(struct values, count)},
	{0, "counters", NULL, "every counter of the gateways, too", OPTION_FLAG,
		offsetof(struct values, counters)},
};

static void print(struct cli *cli, const struct values *v, const json_t *stats, const char *only)
{
	struct service_row *rows;
	size_t count;

	if (output_is_data(cli)) {
		output_value(cli, stats);
		return;
	}
	rows = stats_rows(stats, ORDER_NAME, only, &count);
	stats_write_total(cli->out, stats);
	if (!only)
		stats_write_deploys(cli->out, stats);
	if (count)
		stats_write_services(cli->out, rows, count, 0);
	else
		fprintf(cli->out, "No call was made yet%s%s.\n", only ? " to " : "",
			only ? only : "");
	if (!only)
		stats_write_drops(cli->out, stats);
	if (v->counters)
		stats_write_counters(cli->out, stats);
	free(rows);
}

static enum cli_exit print_once(struct cli *cli, const struct values *v, const char *only)
{
	struct api_reply reply;
	enum cli_exit exit = api_get(cli, "/v1/stats", &reply);

	if (exit == CLI_DONE)
		print(cli, v, reply.body, only);
	else
		api_complain(cli, "stats", &reply);
	api_reply_end(&reply);
	return exit;
}

static enum cli_exit run(struct cli *cli, const void *values, int argc, char **argv)
{
	const struct values *v = values;
	ns_t interval = v->interval ? v->interval : WATCH_DEFAULT;
	const struct timespec pause = {interval / NS_PER_SEC, interval % NS_PER_SEC};
	enum cli_exit exit;
	uint64_t n = 0;

	do {
		if (n)
			nanosleep(&pause, NULL);
		if (n && cli->format == FORMAT_TABLE)
			fputc('\n', cli->out);
		exit = print_once(cli, v, argc ? argv[0] : NULL);
		n++;
	} while (exit == CLI_DONE && fflush(cli->out) == 0 && (v->watch || v->count) &&
		 n != v->count);
	return exit;
}

const struct verb verb_stats = {
	.name = "stats",
	.words = "[ROUTE]",
	.summary = "Show calls, latencies and drops by route",
	.about = "Counts are since the control plane saw the gateways first; rates and latencies "
		 "of the last\n"
		 "10 to 20 seconds.",
	.examples =
		"penstock stats\npenstock stats orders --watch\npenstock stats --json | jq .total",
	.options = options,
	.option_count = sizeof(options) / sizeof(options[0]),
	.values_bytes = sizeof(struct values),
	.words_max = 1,
	.complete = WORDS_ROUTE,
	.run = run,
};
