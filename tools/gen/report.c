// SPDX-License-Identifier: Apache-2.0
// What `penstock-gen load` prints: a line a second, the table at the end, JSON.
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/atomic.h"
#include "tools/gen/load.h"

static const struct quantile {
	const char *label, *json;
	double q;
} quantiles[] = {
	{"p50", "p50_us", 0.5},
	{"p90", "p90_us", 0.9},
	{"p99", "p99_us", 0.99},
	{"p99.9", "p999_us", 0.999},
	{"p99.99", "p9999_us", 0.9999},
};

#define QUANTILES (sizeof(quantiles) / sizeof(quantiles[0]))

static double us(uint64_t ns)
{
	return (double)ns / 1e3;
}

void progress_print(struct progress *p, const struct load *load, ns_t now)
{
	static struct hist all, since;
	uint64_t calls = 0, errors = 0;
	unsigned up = 0;
	double seconds = (double)(now - p->at) / 1e9;

	memset(&all, 0, sizeof(all));
	memset(&since, 0, sizeof(since));
	for (unsigned i = 0; i < load->config.threads; i++) {
		const struct client *cl = &load->clients[i];

		for (int k = 0; k < 2; k++) {
			calls += counter_read(&cl->stats[k].calls);
			errors += counter_read(&cl->stats[k].errors);
			for (unsigned f = 0; f < load->mix.count; f++)
				hist_merge(&all, &cl->stats[k].functions[f].latency_ns);
		}
		up += (unsigned)(counter_read(&cl->ups) - counter_read(&cl->downs));
	}
	hist_merge_diff(&since, &all, &p->before);
	fprintf(stderr,
		"%6.1f s  %9.0f calls/s  %" PRIu64 " errors  %u up  p50 %.1f us  p99 %.1f us\n",
		(double)(now - p->start) / 1e9, (double)(calls - p->calls) / seconds,
		errors - p->errors, up, us(hist_quantile(&since, 0.5)),
		us(hist_quantile(&since, 0.99)));
	p->before = all;
	p->calls = calls;
	p->errors = errors;
	p->at = now;
}

static void print_functions(const struct report *r)
{
	const struct mix *mix = &r->load->mix;

	if (mix->count < 2)
		return;
	printf("%-24s %-6s %12s %9s %10s %10s\n", "function", "kind", "calls", "errors", "p50 us",
		"p99 us");
	for (unsigned i = 0; i < mix->count; i++) {
		const struct function_stats *f = &r->total.functions[i];

		printf("%-24s %-6s %12" PRIu64 " %9" PRIu64 " %10.1f %10.1f\n",
			mix->entries[i].label, mix_kind_name(mix->entries[i].type), f->calls,
			f->errors, us(hist_quantile(&f->latency_ns, 0.5)),
			us(hist_quantile(&f->latency_ns, 0.99)));
	}
}

void report_print(const struct report *r)
{
	const struct load_stats *t = &r->total;

	printf("calls      %" PRIu64 " in %.2f s\n", t->calls, r->seconds);
	printf("rate       %.1f calls/s\n", (double)t->calls_in_time / r->seconds);
	if (t->items > t->calls)
		printf("items      %.1f items/s\n", (double)t->items / r->seconds);
	printf("data       %.0f bytes/s sent, %.0f bytes/s received\n",
		(double)t->bytes_out / r->seconds, (double)t->bytes_in / r->seconds);
	printf("latency us");
	for (size_t i = 0; i < QUANTILES; i++)
		printf(" %s %.1f ", quantiles[i].label,
			us(hist_quantile(&r->latency_ns, quantiles[i].q)));
	printf(" max %.1f\n", us(r->latency_ns.max));
	printf("busy       %.0f %%\n", r->busy * 100);
	print_functions(r);
	if (t->cancelled)
		printf("cancelled  %" PRIu64 "\n", t->cancelled);
	if (r->downs)
		printf("lost       %" PRIu64 " connections\n", r->downs);
	printf("errors     %" PRIu64 "\n", t->errors);
	for (unsigned i = 0; i < t->kinds_count; i++)
		printf("%10" PRIu64 " %s\n", t->kinds[i].count, t->kinds[i].text);
	fflush(stdout);
}

static json_t *functions_json(const struct report *r)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < r->load->mix.count; i++) {
		const struct mix_entry *e = &r->load->mix.entries[i];
		const struct function_stats *f = &r->total.functions[i];

		json_array_append_new(
			list, json_pack("{s:s, s:s, s:I, s:I, s:f, s:f}", "name", e->label, "kind",
				      mix_kind_name(e->type), "calls", (json_int_t)f->calls,
				      "errors", (json_int_t)f->errors, "p50_us",
				      us(hist_quantile(&f->latency_ns, 0.5)), "p99_us",
				      us(hist_quantile(&f->latency_ns, 0.99))));
	}
	return list;
}

// Texts come from the peer and need not be UTF-8.
static json_t *errors_json(const struct load_stats *t)
{
	json_t *errors = json_object();

	for (unsigned i = 0; i < t->kinds_count; i++) {
		json_t *count = json_integer((json_int_t)t->kinds[i].count);

		if (json_object_set_new(errors, t->kinds[i].text, count))
			json_object_set_new(errors, "(text that is not UTF-8)",
				json_integer((json_int_t)t->kinds[i].count));
	}
	return errors;
}

static json_t *to_json(const struct report *r)
{
	const struct load_config *config = &r->load->config;
	const struct load_stats *t = &r->total;
	json_t *root = json_pack(
		"{s:I, s:I, s:I, s:f, s:f, s:I, s:f, s:f, s:f, s:f, s:f, s:I, s:I, s:I}", "calls",
		(json_int_t)t->calls, "errors_total", (json_int_t)t->errors, "cancelled",
		(json_int_t)t->cancelled, "duration_s", r->seconds, "busy", r->busy,
		"connections_lost", (json_int_t)r->downs, "calls_per_s",
		(double)t->calls_in_time / r->seconds, "items_per_s", (double)t->items / r->seconds,
		"bytes_sent_per_s", (double)t->bytes_out / r->seconds, "bytes_received_per_s",
		(double)t->bytes_in / r->seconds, "rate", config->rate, "connections",
		(json_int_t)config->connections, "outstanding", (json_int_t)config->outstanding,
		"size", (json_int_t)config->mix.size);

	if (!root)
		return NULL;
	for (size_t i = 0; i < QUANTILES; i++)
		json_object_set_new(root, quantiles[i].json,
			json_real(us(hist_quantile(&r->latency_ns, quantiles[i].q))));
	json_object_set_new(root, "max_us", json_real(us(r->latency_ns.max)));
	json_object_set_new(root, "mean_us", json_real(hist_mean(&r->latency_ns) / 1e3));
	json_object_set_new(root, "errors", errors_json(t));
	json_object_set_new(root, "functions", functions_json(r));
	return root;
}

int report_json(const struct report *r, const char *path)
{
	json_t *root = to_json(r);
	FILE *to = strcmp(path, "-") == 0 ? stdout : fopen(path, "w");
	int error = 0;

	if (!root || !to || json_dumpf(root, to, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) ||
		fputc('\n', to) == EOF || fflush(to) == EOF) {
		fprintf(stderr, "cannot write %s: %s\n", path, strerror(errno));
		error = -EIO;
	}
	if (to && to != stdout)
		fclose(to);
	json_decref(root);
	return error;
}
