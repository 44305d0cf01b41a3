// SPDX-License-Identifier: Apache-2.0
// call: calls a function or a route through a gateway and prints what comes back.
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/cli/call_request.h"
#include "tools/cli/caller.h"
#include "tools/cli/cli.h"
#include "tools/cli/format.h"

#define TIMEOUT_DEFAULT (10 * NS_PER_SEC)
#define CREDIT_DEFAULT 64
#define CREDIT_MAX 0x7fffffff

struct values {
	const char *to, *gateway;
	const char *data, *file;
	const char *output;
	const char *mime;
	struct option_list metadata;
	bool stream, fnf, idempotent, time;
	uint64_t count, credit, repeat;
	ns_t timeout;
};

#define AT(member) offsetof(struct values, member)

static const struct option options[] = {
	{'d', "data", "TEXT", "the call's data", OPTION_TEXT, AT(data)},
	{'f', "file", "FILE", "the call's data from a file, or - for standard input", OPTION_TEXT,
		AT(file)},
	{0, "to", "ADDRESS",
		"host:port of any RSocket server, or unix:PATH (the gateway's address)",
		OPTION_TEXT, AT(to)},
	{0, "gateway", "GATEWAY", "through this one of several gateways", OPTION_TEXT, AT(gateway)},
	{0, "stream", NULL, "ask for a stream; each item is printed on a line", OPTION_FLAG,
		AT(stream)},
	{0, "count", "N", "cancel the stream after N items", OPTION_COUNT, AT(count)},
	{0, "credit", "N", "items of the stream that may be under way (64)", OPTION_COUNT,
		AT(credit)},
	{0, "fnf", NULL, "fire and forget: do not wait for an answer", OPTION_FLAG, AT(fnf)},
	{0, "mime", "TYPE", "MIME type of the data (application/octet-stream)", OPTION_TEXT,
		AT(mime)},
	{0, "metadata", "TYPE=TEXT", "one more entry of the metadata; may be repeated", OPTION_LIST,
		AT(metadata)},
	{0, "idempotent", NULL, "the call may run twice: allow retries and hedging", OPTION_FLAG,
		AT(idempotent)},
	{0, "timeout", "TIME", "deadline of the call, told to the gateway (waits 10s without it)",
		OPTION_SPAN, AT(timeout)},
	{'o', "output", "FILE", "write the reply to a file; items one behind the other",
		OPTION_TEXT, AT(output)},
	{'N', "repeat", "N", "call N times, one after the other, on one connection", OPTION_COUNT,
		AT(repeat)},
	{0, "time", NULL, "print how long it took, on standard error", OPTION_FLAG, AT(time)},
};

// Where replies go.
struct sink {
	FILE *out;
	bool lines;  // each item ends with a newline
	bool open;   // the last byte was no newline
};

static bool write_item(void *user, const struct chain *data)
{
	struct sink *sink = user;

	for (const struct chain_node *n = data->first; n; n = n->next) {
		if (n->slice.len == 0)
			continue;
		if (fwrite(n->slice.data, 1, n->slice.len, sink->out) != n->slice.len)
			return false;
		sink->open = n->slice.data[n->slice.len - 1] != '\n';
	}
	if (sink->lines) {
		fputc('\n', sink->out);
		sink->open = false;
	}
	// A stream is seen as it comes.
	return !sink->lines || fflush(sink->out) == 0;
}

static const char *figure(uint64_t ns, char text[32])
{
	return format_ns((double)ns, text, 32);
}

static void print_time(struct cli *cli, const struct caller_job *job, const struct caller_result *r)
{
	char a[32], b[32], c[32], d[32];

	fprintf(cli->err, "connected in %s; ", figure((uint64_t)r->connect_ns, a));
	if (job->type == RS_REQUEST_STREAM)
		fprintf(cli->err, "first item after %s, %" PRIu64 " items in %s\n",
			figure(hist_quantile(&r->first_ns, 0.5), a), r->items,
			figure(hist_quantile(&r->whole_ns, 0.5), b));
	else if (r->calls == 1)
		fprintf(cli->err, "%s %s\n",
			job->type == RS_REQUEST_FNF ? "sent in" : "reply after",
			figure(r->whole_ns.max, a));
	else
		fprintf(cli->err, "%" PRIu64 " calls: median %s, p90 %s, p99 %s, max %s\n",
			r->calls, figure(hist_quantile(&r->whole_ns, 0.5), a),
			figure(hist_quantile(&r->whole_ns, 0.9), b),
			figure(hist_quantile(&r->whole_ns, 0.99), c), figure(r->whole_ns.max, d));
}

static enum cli_exit report(struct cli *cli, const char *to, const struct caller_result *r)
{
	switch (r->end) {
	case CALLER_DONE:
		return CLI_DONE;
	case CALLER_FAILED:
		// As the gateway and the function said it: "REJECTED: no such function".
		fprintf(cli->err, "%s\n", r->error);
		return CLI_REFUSED;
	case CALLER_NOT_REACHED:
		cli_complain(cli, "%s: %s", to, r->error);
		fprintf(cli->err,
			"  Is the gateway running (penstock status), and does this shell reach it? "
			"In the quickstart: sudo ip netns exec penstock penstock call ...\n");
		return CLI_REFUSED;
	default:
		cli_complain(cli, "%s", r->error);
		return CLI_REFUSED;
	}
}

static enum cli_exit check(struct cli *cli, const struct values *v)
{
	if (v->data && v->file)
		return cli_usage(cli, "give the data by -d or by -f, not by both");
	if (v->stream && v->fnf)
		return cli_usage(cli, "--stream and --fnf contradict each other");
	if (!v->stream && (v->count || v->credit))
		return cli_usage(cli, "--count and --credit are for --stream");
	if (v->credit > CREDIT_MAX)
		return cli_usage(cli, "--credit is at most %d", CREDIT_MAX);
	if (v->to && v->gateway)
		return cli_usage(cli, "give --to or --gateway, not both");
	return CLI_DONE;
}

static enum cli_exit open_output(struct cli *cli, const struct values *v, struct sink *sink)
{
	sink->out = v->output ? fopen(v->output, "we") : cli->out;
	sink->lines = !v->output && (v->stream || v->repeat > 1);
	if (sink->out)
		return CLI_DONE;
	cli_complain(cli, "%s: %s", v->output, strerror(errno));
	return CLI_REFUSED;
}

static enum cli_exit close_output(struct cli *cli, const struct values *v, struct sink *sink)
{
	if (!v->output) {
		// People's prompts begin on a line of their own; bytes for programs stay as they
		// are.
		if (sink->open && isatty(STDOUT_FILENO))
			fputc('\n', sink->out);
		return CLI_DONE;
	}
	if (fclose(sink->out) == 0)
		return CLI_DONE;
	cli_complain(cli, "%s: %s", v->output, strerror(errno));
	return CLI_REFUSED;
}

static enum cli_exit make_calls(
	struct cli *cli, const struct values *v, const struct call_request *request)
{
	struct sink sink = {0};
	struct caller_job job = {
		.addr = request->addr,
		.addr_len = request->addr_len,
		.type = v->fnf      ? RS_REQUEST_FNF
			: v->stream ? RS_REQUEST_STREAM
				    : RS_REQUEST_RESPONSE,
		.metadata = request->metadata,
		.metadata_len = request->metadata_len,
		.data = request->data,
		.data_len = request->data_len,
		.data_mime = v->mime ? v->mime : "application/octet-stream",
		.credit = v->credit ? (uint32_t)v->credit : CREDIT_DEFAULT,
		.items_max = v->count,
		.repeat = v->repeat ? v->repeat : 1,
		.timeout = v->timeout ? v->timeout : TIMEOUT_DEFAULT,
		.item = write_item,
		.user = &sink,
	};
	struct caller_result *result = malloc(sizeof(*result));
	enum cli_exit exit = result ? open_output(cli, v, &sink) : CLI_REFUSED, written;

	if (exit != CLI_DONE)
		goto out;
	caller_run(&job, result);
	exit = report(cli, request->to, result);
	written = close_output(cli, v, &sink);
	if (exit == CLI_DONE)
		exit = written;
	if (v->time && result->calls)
		print_time(cli, &job, result);
out:
	free(result);
	return exit;
}

static enum cli_exit run(struct cli *cli, const void *values, int argc, char **argv)
{
	const struct values *v = values;
	struct call_request request = {0};
	enum cli_exit exit = check(cli, v);

	if (exit == CLI_DONE)
		exit = call_read_data(cli, v->data, v->file, &request);
	if (exit == CLI_DONE)
		exit = call_make_metadata(
			cli, argv[0], &v->metadata, v->timeout, v->idempotent, &request);
	if (exit == CLI_DONE)
		exit = call_find_address(cli, v->to, v->gateway, &request);
	if (exit == CLI_DONE)
		exit = make_calls(cli, v, &request);
	call_request_fini(&request);
	return exit;
}

const struct verb verb_call = {
	.name = "call",
	.words = "NAME",
	.summary = "Call a function or a route of an endpoint and print the reply",
	.about = "The reply's bytes go to standard output as they are. An error is printed as the "
		 "gateway or the\n"
		 "function said it (REJECTED: why), with exit code 1. The gateway's address comes "
		 "from its resource;\n"
		 "with --to nothing else than that address is needed.",
	.examples = "penstock call echo -d hello\n"
		    "penstock call thumbnail -f scene.png -o small.png --time\n"
		    "penstock call count -d 1000 --stream --credit 8 --count 20\n"
		    "penstock call echo --to 127.0.0.1:7000 -d hello -N 1000 --time",
	.options = options,
	.option_count = sizeof(options) / sizeof(options[0]),
	.values_bytes = sizeof(struct values),
	.words_min = 1,
	.words_max = 1,
	.complete = WORDS_ROUTE,
	.own_output = true,
	.run = run,
};
