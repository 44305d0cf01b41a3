// SPDX-License-Identifier: Apache-2.0
// Telemetry: sparse histograms against the dense ones, totals over gateways that restart and go,
// windows, limits, the metrics page.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "controlplane/prom.h"
#include "controlplane/shist.h"
#include "controlplane/telemetry.h"
#include "lib/base/rng.h"

// ---- histograms ----

static json_t *hist_json(const struct hist *h)
{
	json_t *buckets = json_array();

	for (unsigned i = 0; i < HIST_BUCKETS; i++)
		if (h->bucket[i])
			json_array_append_new(
				buckets, json_pack("[i,I]", (int)i, (json_int_t)h->bucket[i]));
	return json_pack("{s:I,s:I,s:I,s:o}", "count", (json_int_t)h->count, "sum",
		(json_int_t)h->sum, "max", (json_int_t)h->max, "buckets", buckets);
}

static void parse(struct shist *out, const struct hist *h)
{
	json_t *json = hist_json(h);

	assert_int_equal(shist_parse(out, json), 0);
	json_decref(json);
}

static void assert_same(const struct shist *s, const struct hist *h)
{
	assert_int_equal(s->count, h->count);
	assert_int_equal(s->sum, h->sum);
	for (double q = 0.01; q < 1; q += 0.07)
		assert_int_equal(shist_quantile(s, q), hist_quantile(h, q));
	for (unsigned e = 0; e < 40; e++) {
		uint64_t below = 0;

		for (unsigned i = 0; i < HIST_BUCKETS; i++)
			if (hist_bucket_low(i) < (uint64_t)1 << e)
				below += h->bucket[i];
		assert_int_equal(shist_below(s, e), below);
	}
}

static void test_shist_is_hist(void **state)
{
	struct hist *now = calloc(1, sizeof(*now)), *before = calloc(1, sizeof(*before));
	struct hist *sum = calloc(1, sizeof(*sum));
	struct shist s_now = {0}, s_before = {0}, s_sum = {0};
	struct rng rng;

	(void)state;
	rng_seed(&rng, 7);
	for (int round = 0; round < 50; round++) {
		for (int i = 0; i < 200; i++)
			hist_add(now, rng_next(&rng) >> (20 + rng_below(&rng, 43)));
		parse(&s_now, now);
		assert_same(&s_now, now);
		hist_merge_diff(sum, now, before);
		shist_add_diff(&s_sum, &s_now, &s_before);
		assert_same(&s_sum, sum);
		*before = *now;
		parse(&s_before, before);
	}
	assert_same(&s_sum, now);
	// One that counts from zero again is added whole.
	memset(now, 0, sizeof(*now));
	hist_add(now, 1000);
	parse(&s_now, now);
	shist_add_diff(&s_sum, &s_now, &s_before);
	hist_add(sum, 1000);
	assert_same(&s_sum, sum);
	shist_fini(&s_now);
	shist_fini(&s_before);
	shist_fini(&s_sum);
	free(now);
	free(before);
	free(sum);
}

static void test_shist_refuses(void **state)
{
	static const char *const bad[] = {"null", "{}", "[]", "{\"count\":1,\"sum\":1,\"max\":1}",
		"{\"count\":1,\"sum\":1,\"max\":1,\"buckets\":[1]}",
		"{\"count\":1,\"sum\":1,\"max\":1,\"buckets\":[[1]]}",
		"{\"count\":1,\"sum\":1,\"max\":1,\"buckets\":[[-1,1]]}",
		"{\"count\":1,\"sum\":1,\"max\":1,\"buckets\":[[99999,1]]}",
		"{\"count\":1,\"sum\":1,\"max\":1,\"buckets\":[[2,1],[1,1]]}",
		"{\"count\":1,\"sum\":1,\"max\":1,\"buckets\":[[2,1],[2,1]]}",
		"{\"count\":-1,\"sum\":1,\"max\":1,\"buckets\":[]}"};
	struct shist h = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		json_t *json = json_loads(bad[i], JSON_DECODE_ANY, NULL);

		assert_int_equal(shist_parse(&h, json), -EINVAL);
		assert_null(h.buckets);
		json_decref(json);
	}
	assert_int_equal(shist_quantile(&h, 0.5), 0);
}

// ---- reports ----

struct fixture {
	struct telemetry *t;
	json_t *stats;
	ns_t now;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->now = NS_PER_SEC;
	f->t = telemetry_new(f->now);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	json_decref(f->stats);
	telemetry_destroy(f->t);
	free(f);
	return 0;
}

static void hello(struct fixture *f, const char *name, const char *start)
{
	struct telemetry_hello h = {name, "1.2", start, 2};

	assert_int_equal(telemetry_connected(f->t, &h, f->now, 1), 0);
}

static int send_report(struct fixture *f, const char *name, const char *text)
{
	json_error_t error;
	json_t *report = json_loads(text, 0, &error);
	int rc;

	if (!report)
		fail_msg("%s in %s", error.text, text);
	rc = telemetry_report(f->t, name, report, f->now);
	json_decref(report);
	return rc;
}

// Calls of the route "x": ok and rejected; each took 1000 ns.
static void report_calls(
	struct fixture *f, const char *name, const char *start, int ok, int rejected)
{
	char text[600];

	snprintf(text, sizeof(text),
		"{\"start\":\"%s\",\"services\":[{\"namespace\":\"default\",\"route\":\"x\","
		"\"prefix\":false,"
		"\"calls\":{\"ok\":%d,\"rejected\":%d,\"in_flight\":2,\"strange\":9},\"service_"
		"time_ns\":{"
		"\"count\":%d,\"sum\":%d,\"max\":1000,\"buckets\":[[%u,%d]]}}]}",
		start, ok, rejected, ok, ok * 1000, hist_index(1000), ok);
	assert_int_equal(send_report(f, name, text), 0);
}

static const json_t *at(const json_t *json, const char *path)
{
	char part[64];

	while (*path && json) {
		size_t len = strcspn(path, "/");

		snprintf(part, sizeof(part), "%.*s", (int)len, path);
		json = json_is_array(json) ? json_array_get(json, (size_t)atoi(part))
					   : json_object_get(json, part);
		path += len + (path[len] == '/');
	}
	return json;
}

static json_int_t stat(struct fixture *f, const char *path)
{
	json_decref(f->stats);
	f->stats = telemetry_stats(f->t, f->now, 1);
	if (!at(f->stats, path))
		fail_msg("no %s", path);
	return json_integer_value(at(f->stats, path));
}

static double real(struct fixture *f, const char *path)
{
	stat(f, path);
	return json_real_value(at(f->stats, path));
}

static void test_totals_over_restarts(void **state)
{
	struct fixture *f = *state;

	hello(f, "gw1", "s1");
	hello(f, "gw2", "t1");
	report_calls(f, "gw1", "s1", 100, 1);
	report_calls(f, "gw1", "s1", 150, 1);
	report_calls(f, "gw2", "t1", 10, 0);
	assert_int_equal(stat(f, "services/0/calls/ok"), 160);
	assert_int_equal(stat(f, "services/0/calls/rejected"), 1);
	assert_int_equal(stat(f, "services/0/calls/in_flight"), 4);
	assert_int_equal(stat(f, "total/calls/ok"), 160);
	assert_int_equal(stat(f, "services/0/service_time/all/count"), 160);
	// gw1 connects again, the same process: nothing counts twice.
	telemetry_disconnected(f->t, "gw1", "x", 1);
	assert_int_equal(stat(f, "services/0/calls/in_flight"), 2);
	hello(f, "gw1", "s1");
	report_calls(f, "gw1", "s1", 151, 1);
	assert_int_equal(stat(f, "services/0/calls/ok"), 161);
	// It starts anew: it counts from zero, the total goes on.
	hello(f, "gw1", "s2");
	report_calls(f, "gw1", "s2", 5, 0);
	assert_int_equal(stat(f, "services/0/calls/ok"), 166);
	// A service that was taken away and came back counts from zero within one process.
	report_calls(f, "gw1", "s2", 2, 0);
	assert_int_equal(stat(f, "services/0/calls/ok"), 168);
	assert_int_equal(stat(f, "services/0/service_time/all/count"), 168);
	// It goes for good.
	telemetry_disconnected(f->t, "gw1", "x", 1);
	assert_int_equal(stat(f, "services/0/calls/ok"), 168);
}

static void test_recent_window(void **state)
{
	struct fixture *f = *state;

	hello(f, "gw1", "s1");
	for (int i = 1; i <= 60; i++) {
		f->now += NS_PER_SEC;
		report_calls(f, "gw1", "s1", i * 100, 0);
	}
	// 10 to 20 seconds of 100 calls/s.
	assert_true(
		real(f, "services/0/calls_per_s") > 85 && real(f, "services/0/calls_per_s") < 115);
	assert_true(stat(f, "services/0/service_time/recent/count") >= 900);
	assert_true(stat(f, "services/0/service_time/recent/count") <= 2100);
	assert_int_equal(stat(f, "services/0/service_time/all/count"), 6000);
	assert_true(real(f, "services/0/service_time/recent/p99_s") > 0.9e-6);
	assert_true(real(f, "services/0/service_time/recent/p99_s") < 1.1e-6);
	// After a silence nothing is recent any more.
	f->now += 25 * NS_PER_SEC;
	assert_int_equal(stat(f, "services/0/service_time/recent/count"), 0);
	assert_true(real(f, "services/0/calls_per_s") == 0);
	assert_int_equal(stat(f, "services/0/service_time/all/count"), 6000);
}

static void test_drops_have_sentences(void **state)
{
	struct fixture *f = *state;

	hello(f, "gw1", "s1");
	send_report(f, "gw1",
		"{\"start\":\"s1\",\"counters\":{\"call.drop_no_service\":3,\"tcp.segments_in\":9},"
		"\"help\":{\"call.drop_no_service\":\"no such function\"}}");
	send_report(f, "gw1", "{\"start\":\"s1\",\"counters\":{\"call.drop_no_service\":5}}");
	send_report(f, "gw1", "{\"start\":\"s2\",\"counters\":{\"call.drop_no_service\":1}}");
	assert_int_equal(stat(f, "drops/0/count"), 6);
	assert_string_equal(
		json_string_value(at(f->stats, "drops/0/sentence")), "no such function");
	assert_null(at(f->stats, "drops/1"));
	assert_int_equal(stat(f, "counters/tcp.segments_in"), 9);
}

static void test_nonsense_in_reports(void **state)
{
	struct fixture *f = *state;
	static const char *const texts[] = {
		"{\"start\":\"s1\",\"services\":7,\"workers\":{},\"targets\":\"x\",\"ports\":null,"
		"\"counters\":[],"
		"\"histograms\":[1]}",
		"{\"start\":\"s1\",\"services\":[1,null,{},{\"namespace\":1,\"route\":2},{"
		"\"namespace\":\"a\","
		"\"route\":\"b\",\"calls\":[],\"service_time_ns\":{\"count\":\"x\"}}]}",
		"{\"start\":\"s1\",\"counters\":{\"a\":\"b\",\"c\":-5,\"d\":1.5},\"help\":{\"a\":1}"
		"}",
		"{\"start\":\"s1\",\"histograms\":{\"h\":{\"count\":1},\"\":{}}}",
		"{\"start\":\"s1\",\"workers\":[1,{\"connections\":\"x\"}],\"targets\":[1,{},{"
		"\"address\":7}]}",
	};
	FILE *null = fopen("/dev/null", "w");

	hello(f, "gw1", "s1");
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		send_report(f, "gw1", texts[i]);
	assert_int_equal(send_report(f, "gw1", "{}"), -EINVAL);
	assert_int_equal(send_report(f, "unknown", "{\"start\":\"s1\"}"), -EINVAL);
	assert_int_equal(stat(f, "total/calls/ok"), 0);
	telemetry_metrics(f->t, &(struct prom){.out = null});
	fclose(null);
}

static void test_everything_is_bounded(void **state)
{
	struct fixture *f = *state;
	char *text = malloc(4 << 20);
	size_t n;

	hello(f, "gw1", "s1");
	for (int part = 0; part < 5; part++) {
		n = (size_t)sprintf(text, "{\"start\":\"s1\",\"services\":[");
		for (int i = 0; i < 5000; i++)
			n += (size_t)sprintf(text + n,
				"%s{\"namespace\":\"d\",\"route\":\"r%d-%d\",\"calls\":{\"ok\":1}}",
				i ? "," : "", part, i);
		strcpy(text + n, "]}");
		send_report(f, "gw1", text);
	}
	stat(f, "services");
	assert_int_equal(json_array_size(at(f->stats, "services")), TELEMETRY_SERVICES_MAX);
	// Those that are no longer called make room.
	f->now += 100 * NS_PER_SEC;
	report_calls(f, "gw1", "s1", 1, 0);
	stat(f, "services");
	assert_int_equal(json_array_size(at(f->stats, "services")), 1);
	assert_int_equal(stat(f, "services/0/calls/ok"), 1);
	n = (size_t)sprintf(text, "{\"start\":\"s1\",\"counters\":{");
	for (int i = 0; i < 3000; i++)
		n += (size_t)sprintf(text + n, "%s\"c.%d\":1", i ? "," : "", i);
	strcpy(text + n, "}}");
	send_report(f, "gw1", text);
	stat(f, "counters");
	assert_int_equal(json_object_size(at(f->stats, "counters")), TELEMETRY_COUNTERS_MAX);
	for (int i = 0; i < TELEMETRY_GATEWAYS_MAX + 5; i++) {
		snprintf(text, 64, "gw-%d", i);
		hello(f, text, "s");
		telemetry_disconnected(f->t, text, "x", 1);
	}
	stat(f, "gateways");
	assert_int_equal(json_array_size(at(f->stats, "gateways")), TELEMETRY_GATEWAYS_MAX);
	free(text);
}

static char *metrics(struct fixture *f, bool open)
{
	char *text = NULL;
	size_t len;
	struct prom p = {.out = open_memstream(&text, &len), .open = open};

	telemetry_metrics(f->t, &p);
	prom_end(&p);
	fclose(p.out);
	return text;
}

static void assert_has(const char *text, const char *line)
{
	char whole[300];

	snprintf(whole, sizeof(whole), "\n%s\n", line);
	if (!strstr(text, whole))
		fail_msg("'%s' is not in:\n%s", line, text);
}

// Each series under a HELP and a TYPE of its own name, as Prometheus wants it; nothing twice.
static void check_format(const char *text)
{
	char *copy = strdup(text), *line, *rest = copy;
	char type_of[128] = "", seen[20000] = "";

	while ((line = strsep(&rest, "\n"))) {
		char name[128], key[130];

		if (!*line)
			continue;
		if (sscanf(line, "# TYPE %127s", name) == 1) {
			strcpy(type_of, name);
			snprintf(key, sizeof(key), " %s ", name);
			if (strstr(seen, key))
				fail_msg("%s has two headings", name);
			strcat(seen, key);
		} else if (*line != '#') {
			snprintf(name, sizeof(name), "%.*s", (int)strcspn(line, "{ "), line);
			if (strncmp(name, type_of, strlen(type_of)) != 0)
				fail_msg("%s under the heading of %s", name, type_of);
			assert_true(strncmp(name, "penstock_", 9) == 0);
			assert_non_null(strrchr(line, ' '));
		}
	}
	free(copy);
}

static void test_metrics(void **state)
{
	struct fixture *f = *state;
	char *text;

	hello(f, "gw1", "s1");
	report_calls(f, "gw1", "s1", 100, 3);
	send_report(f, "gw1",
		"{\"start\":\"s1\",\"counters\":{\"call.drop_no_service\":3},\"workers\":[{"
		"\"connections\":5,"
		"\"calls_in_flight\":6}],\"histograms\":{\"gateway_latency_ns\":{\"count\":3,"
		"\"sum\":3000000,"
		"\"max\":2000000,\"buckets\":[[100,2],[600,1]]}},\"ports\":[{\"name\":\"p\\\"0\","
		"\"rx_packets\":8}]}");
	text = metrics(f, false);
	check_format(text);
	assert_has(text, "# TYPE penstock_calls_total counter");
	assert_null(strstr(text, "EOF"));
	assert_has(text,
		"penstock_calls_total{namespace=\"default\",function=\"x\",outcome=\"ok\"} 100");
	assert_has(text, "penstock_calls_total{namespace=\"default\",function=\"x\",outcome="
			 "\"rejected\"} 3");
	assert_has(text, "penstock_drops_total{cause=\"call.drop_no_service\"} 3");
	assert_has(text, "penstock_connections{gateway=\"gw1\"} 5");
	assert_has(text, "penstock_calls_in_flight{gateway=\"gw1\"} 6");
	assert_has(text, "penstock_gateway_up{gateway=\"gw1\"} 1");
	assert_has(text, "penstock_gateway_latency_seconds_count 3");
	assert_has(text, "penstock_gateway_latency_seconds_sum 0.003");
	assert_has(text, "penstock_gateway_latency_seconds_bucket{le=\"1.024e-06\"} 2");
	assert_has(text, "penstock_gateway_latency_seconds_bucket{le=\"+Inf\"} 3");
	assert_has(text, "penstock_service_time_seconds_count 100");
	assert_has(text, "penstock_port_rx_packets_total{gateway=\"gw1\",port=\"p\\\"0\"} 8");
	free(text);
	// OpenMetrics names the family of a counter without its suffix, and has an end.
	text = metrics(f, true);
	assert_has(text, "# TYPE penstock_calls counter");
	assert_has(text,
		"penstock_calls_total{namespace=\"default\",function=\"x\",outcome=\"ok\"} 100");
	assert_string_equal(text + strlen(text) - 7, "\n# EOF\n");
	free(text);
}

static void test_labels_are_bounded(void **state)
{
	struct fixture *f = *state;
	char *text = malloc(1 << 20), *page;
	size_t n = (size_t)sprintf(text, "{\"start\":\"s1\",\"services\":["), lines = 0;

	hello(f, "gw1", "s1");
	for (int i = 0; i < 3000; i++)
		n += (size_t)sprintf(text + n,
			"%s{\"namespace\":\"d\",\"route\":\"r%d\",\"calls\":{\"ok\":2}}",
			i ? "," : "", i);
	strcpy(text + n, "]}");
	send_report(f, "gw1", text);
	page = metrics(f, false);
	for (const char *p = page; (p = strstr(p, "\npenstock_calls_total{")); p++)
		lines++;
	assert_int_equal(lines, (TELEMETRY_LABELS_MAX + 1) * 6);
	assert_has(page, "penstock_calls_total{namespace=\"_other\",function=\"_other\",outcome="
			 "\"ok\"} 4000");
	free(page);
	free(text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shist_is_hist),
		cmocka_unit_test(test_shist_refuses),
		TEST(test_totals_over_restarts),
		TEST(test_recent_window),
		TEST(test_drops_have_sentences),
		TEST(test_nonsense_in_reports),
		TEST(test_everything_is_bounded),
		TEST(test_metrics),
		TEST(test_labels_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
