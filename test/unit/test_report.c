// SPDX-License-Identifier: Apache-2.0
// What a gateway reports, built from the books of workers that the test plays.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <rte_eal.h>

#include "dataplane/metrics.h"
#include "dataplane/report.h"

#define WORKERS 3
#define MESSAGES 64

struct values {
	uint64_t a, b;
};

struct fixture {
	struct table *table;
	struct relay relay[WORKERS];
	struct values counts[WORKERS], pools[WORKERS];
	bool ended; // the workers
	struct report_sources sources;
	struct report report;
	json_t *message[MESSAGES];
	unsigned messages;
};

static const struct report_counter things[] = {{"a", "the first"}, {"b", "the second"}};

static const uint64_t *counts(unsigned worker, void *arg)
{
	struct fixture *f = arg;

	assert_false(f->ended);
	return &f->counts[worker].a;
}

static const uint64_t *pools(unsigned worker, void *arg)
{
	return &((struct fixture *)arg)->pools[worker].a;
}

static void describe_worker(unsigned worker, json_t *object, void *arg)
{
	json_object_set_new(object, "busy", json_real(worker / 10.0));
}

static json_t *describe_ports(void *arg)
{
	return json_pack("[{s:s}]", "name", "p0");
}

static int begin(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->table = table_new(NULL);
	assert_non_null(f->table);
	f->sources = (struct report_sources){
		.workers = WORKERS,
		.groups = 2,
		.group = {{"things", false, things, 2, counts}, {"pools", true, things, 2, pools}},
		.describe_worker = describe_worker,
		.describe_ports = describe_ports,
		.arg = f,
	};
	for (unsigned w = 0; w < WORKERS; w++) {
		f->relay[w].targets = calloc(TARGETS_MAX, sizeof(struct relay_target));
		f->relay[w].services = calloc(SERVICES_MAX, sizeof(struct relay_service));
		f->sources.relays[w] = &f->relay[w];
	}
	assert_int_equal(report_init(&f->report, 1000 * NS_PER_SEC), 0);
	*state = f;
	return 0;
}

static void forget(struct fixture *f)
{
	for (unsigned i = 0; i < f->messages; i++)
		json_decref(f->message[i]);
	f->messages = 0;
}

static int end(void **state)
{
	struct fixture *f = *state;

	forget(f);
	report_fini(&f->report);
	for (unsigned w = 0; w < WORKERS; w++) {
		free(f->relay[w].targets);
		free(f->relay[w].services);
	}
	table_destroy(f->table);
	free(f);
	return 0;
}

static void on_message(json_t *message, void *arg)
{
	struct fixture *f = arg;

	assert_true(f->messages < MESSAGES);
	f->message[f->messages++] = message;
}

static void build(struct fixture *f, bool full)
{
	forget(f);
	report_build(
		&f->report, &f->sources, f->table, "abc", 1005 * NS_PER_SEC, full, on_message, f);
	for (unsigned i = 0; i < f->messages; i++)
		assert_string_equal(
			json_string_value(json_object_get(f->message[i], "start")), "abc");
}

// A value by its path: names and indices, "workers.1.busy".
static json_t *at(json_t *json, const char *path)
{
	char copy[128], *save = NULL;

	snprintf(copy, sizeof(copy), "%s", path);
	for (char *word = strtok_r(copy, "/", &save); word && json;
		word = strtok_r(NULL, "/", &save))
		json = json_is_array(json) ? json_array_get(json, strtoul(word, NULL, 10))
					   : json_object_get(json, word);
	if (!json)
		fail_msg("nothing at %s", path);
	return json;
}

#define expect(json, path, value) assert_int_equal(json_integer_value(at(json, path)), value)

static const struct service *put(struct fixture *f, const char *route, const char *address)
{
	struct service_spec spec = {.namespace = "default",
		.route = route,
		.fragments = true,
		.targets = &address,
		.targets_count = address ? 1 : 0};

	assert_int_equal(table_put(f->table, &spec), 0);
	return table_find(f->table, route, (uint8_t)strlen(route));
}

static struct relay_service *books(struct fixture *f, unsigned worker, const struct service *s)
{
	struct relay_service *rs = &f->relay[worker].services[s->slot];

	rs->generation = s->generation;
	return rs;
}

// The services told of since the last build(), or NULL.
static json_t *services(struct fixture *f)
{
	return f->messages > 1 ? at(f->message[1], "services") : NULL;
}

static void totals_and_what_each_worker_has(void **state)
{
	struct fixture *f = *state;
	json_t *m;

	for (unsigned w = 0; w < WORKERS; w++) {
		f->counts[w] = (struct values){.a = 1 + w, .b = 100};
		f->pools[w] = (struct values){.a = 10 * w, .b = 7};
		f->relay[w].clients_count = 5 + w;
		f->relay[w].calls_in_flight = 2 * w;
		hist_add_n(&f->relay[w].gateway_time_ns, 1000 * (w + 1), 4);
	}
	build(f, true);
	assert_int_equal(f->messages, 1);
	m = f->message[0];
	expect(m, "uptime_ms", 5000);
	expect(m, "counters/things.a", 6);
	expect(m, "counters/things.b", 300);
	assert_null(json_object_get(at(m, "counters"), "pools.a"));
	assert_string_equal(json_string_value(at(m, "help/things.b")), "the second");
	assert_int_equal(json_array_size(at(m, "workers")), WORKERS);
	expect(m, "workers/2/id", 2);
	expect(m, "workers/2/connections", 7);
	expect(m, "workers/2/calls_in_flight", 4);
	expect(m, "workers/2/pools/a", 20);
	assert_true(json_real_value(at(m, "workers/2/busy")) > 0.1);
	expect(m, "histograms/gateway_latency_ns/count", 12);
	expect(m, "histograms/gateway_latency_ns/sum", 24000);
	expect(m, "histograms/gateway_latency_ns/max", 3000);
	assert_int_equal(json_array_size(at(m, "histograms/gateway_latency_ns/buckets")), 3);
	expect(m, "histograms/gateway_latency_ns/buckets/0/0", hist_index(1000));
	expect(m, "histograms/gateway_latency_ns/buckets/0/1", 4);
	assert_string_equal(json_string_value(at(m, "ports/0/name")), "p0");
	// Sentences are told once.
	build(f, false);
	assert_null(json_object_get(f->message[0], "help"));
	expect(f->message[0], "counters/things.a", 6);
}

static void calls_of_services_add_up(void **state)
{
	struct fixture *f = *state;
	const struct service *s = put(f, "orders", NULL);
	json_t *told;

	for (unsigned w = 0; w < WORKERS; w++) {
		struct relay_service *rs = books(f, w, s);

		for (unsigned i = 0; i < CALL_OUTCOMES; i++)
			rs->outcomes[i] = i + 1;
		rs->in_flight = w;
		hist_add(&rs->service_time_ns, 50);
	}
	// A book of the slot's service before: not this one's.
	f->relay[2].services[s->slot].generation++;
	build(f, false);
	told = services(f);
	assert_int_equal(json_array_size(told), 1);
	assert_string_equal(json_string_value(at(told, "0/namespace")), "default");
	assert_string_equal(json_string_value(at(told, "0/route")), "orders");
	assert_true(json_is_false(at(told, "0/prefix")));
	expect(told, "0/calls/ok", 2);
	expect(told, "0/calls/error", 4);
	expect(told, "0/calls/rejected", 6);
	expect(told, "0/calls/canceled", 8);
	expect(told, "0/calls/invalid", 10);
	expect(told, "0/calls/abandoned", 12);
	expect(told, "0/calls/in_flight", 1);
	expect(told, "0/service_time_ns/count", 2);
	expect(told, "0/service_time_ns/sum", 100);
}

// Only what has changed is told; a call that began and ended between two reports has.
static void what_has_changed_is_told(void **state)
{
	struct fixture *f = *state;
	const struct service *s = put(f, "orders", NULL), *quiet = put(f, "quiet", NULL);
	struct relay_service *rs = books(f, 1, s);

	(void)quiet;
	build(f, false);
	assert_null(services(f));
	rs->in_flight = 1;
	build(f, false);
	expect(services(f), "0/calls/in_flight", 1);
	build(f, false);
	assert_null(services(f));
	rs->in_flight = 0;
	rs->outcomes[CALL_OK] = 1;
	build(f, false);
	assert_int_equal(json_array_size(services(f)), 1);
	expect(services(f), "0/calls/in_flight", 0);
	expect(services(f), "0/calls/ok", 1);
	build(f, false);
	assert_null(services(f));
	build(f, true);
	assert_int_equal(json_array_size(services(f)), 2);
	// Another service in the slot, with as many calls.
	assert_int_equal(table_remove(f->table, "default", "orders", false), 0);
	s = put(f, "parcels", NULL);
	memset(rs, 0, sizeof(*rs));
	rs = books(f, 1, s);
	rs->outcomes[CALL_OK] = 1;
	build(f, false);
	assert_int_equal(json_array_size(services(f)), 1);
	assert_string_equal(json_string_value(at(services(f), "0/route")), "parcels");
}

static void many_services_take_several_messages(void **state)
{
	enum { SERVICES = 2 * REPORT_SERVICES_MAX + 3 };
	struct fixture *f = *state;
	bool seen[SERVICES] = {false};
	unsigned told = 0;

	for (unsigned i = 0; i < SERVICES; i++) {
		char route[16];
		const struct service *s;

		snprintf(route, sizeof(route), "f%u", i);
		s = put(f, route, NULL);
		books(f, i % WORKERS, s)->outcomes[CALL_OK] = i + 1;
	}
	build(f, false);
	assert_int_equal(f->messages, 1 + 3);
	for (unsigned m = 1; m < f->messages; m++) {
		json_t *array = at(f->message[m], "services"), *service;
		size_t i;

		assert_true(json_array_size(array) <= REPORT_SERVICES_MAX);
		json_array_foreach(array, i, service)
		{
			unsigned n = (unsigned)strtoul(
				json_string_value(at(service, "route")) + 1, NULL, 10);

			assert_true(n < SERVICES);
			assert_false(seen[n]);
			seen[n] = true;
			told++;
			expect(service, "calls/ok", n + 1);
		}
	}
	assert_int_equal(told, SERVICES);
	// Nothing is told twice.
	build(f, false);
	assert_int_equal(f->messages, 1);
	// Exactly full: no empty message behind.
	for (unsigned i = 0; i < 3; i++) {
		char route[16];

		snprintf(route, sizeof(route), "f%u", i);
		assert_int_equal(table_remove(f->table, "default", route, false), 0);
	}
	build(f, true);
	assert_int_equal(f->messages, 1 + 2);
}

static const char *state_of(struct fixture *f)
{
	build(f, false);
	return json_string_value(at(f->message[0], "targets/0/state"));
}

static void targets_have_a_state(void **state)
{
	struct fixture *f = *state;
	uint32_t id = put(f, "orders", "10.0.0.1:7000")->targets[0]->id;
	json_t *m;

	assert_string_equal(state_of(f), "idle");
	f->relay[0].targets[id].dialled = 1;
	assert_string_equal(state_of(f), "connecting");
	f->relay[0].targets[id].error = -ECONNREFUSED;
	assert_string_equal(state_of(f), "down");
	f->relay[1].targets[id] = (struct relay_target){.dialled = 2, .connections = 2, .calls = 3};
	f->relay[2].targets[id] = (struct relay_target){.dialled = 1, .connections = 1, .calls = 4};
	assert_string_equal(state_of(f), "up");
	m = f->message[0];
	assert_string_equal(json_string_value(at(m, "targets/0/address")), "10.0.0.1:7000");
	expect(m, "targets/0/connections", 3);
	expect(m, "targets/0/in_flight", 7);
	assert_string_equal(json_string_value(at(m, "targets/0/last_error")), "Connection refused");
	assert_int_equal(json_array_size(at(m, "targets")), 1);
	// One that only a worker's connection still holds is not told of.
	put(f, "orders", "10.0.0.2:7000");
	build(f, false);
	assert_int_equal(json_array_size(at(f->message[0], "targets")), 1);
	assert_string_equal(
		json_string_value(at(f->message[0], "targets/0/address")), "10.0.0.2:7000");
}

// The page of counters

static int visit(struct loop *loop, const char *path, const char *request)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	for (unsigned i = 0; i < 10; i++)
		loop_step(loop, clock_now() + NS_PER_MS);
	assert_int_equal(write(fd, request, strlen(request)), strlen(request));
	return fd;
}

// Until the gateway closes.
static void read_all(struct loop *loop, int fd, char *text, size_t room)
{
	ns_t end = clock_now() + 10 * NS_PER_SEC;
	size_t len = 0;
	ssize_t n = -1;

	while (n != 0 && clock_now() < end) {
		loop_step(loop, clock_now() + NS_PER_MS);
		n = read(fd, text + len, room - 1 - len);
		len += n > 0 ? (size_t)n : 0;
	}
	text[len] = '\0';
	close(fd);
	assert_int_equal(n, 0);
}

static void a_page_of_counters(void **state)
{
	struct fixture *f = *state;
	char folder[] = "/tmp/penstock-report-XXXXXX", path[64], address[80], text[8192];
	struct metrics *metrics;
	struct loop *loop;
	int error, fd;

	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/metrics", folder);
	snprintf(address, sizeof(address), "unix:%s", path);
	loop = loop_new(NULL, &error);
	assert_non_null(loop);
	f->counts[0].a = 3;
	f->counts[2].a = 4;
	f->pools[1].b = 5;
	metrics = metrics_new(loop, address, &f->sources, &error);
	assert_non_null(metrics);
	read_all(loop, visit(loop, path, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"), text,
		sizeof(text));
	assert_non_null(strstr(text, "HTTP/1.1 200 OK\r\n"));
	assert_non_null(strstr(text, "# HELP penstock_things_a_total the first\n"
				     "# TYPE penstock_things_a_total counter\n"
				     "penstock_things_a_total 7\n"));
	assert_non_null(strstr(text, "# TYPE penstock_pools_b gauge\npenstock_pools_b 5\n"));
	read_all(loop, visit(loop, path, "GET / HTTP/1.1\r\n\r\n"), text, sizeof(text));
	assert_non_null(strstr(text, "HTTP/1.1 404 Not Found\r\n"));
	// Who is there already when the workers end is told of none.
	fd = visit(loop, path, "GET /metrics HTTP/1.1\r\n");
	metrics_stop(metrics);
	f->ended = true;
	assert_int_equal(write(fd, "\r\n", 2), 2);
	read_all(loop, fd, text, sizeof(text));
	assert_non_null(strstr(text, "penstock_things_a_total 0\n"));
	loop_destroy(loop);
	metrics_free(metrics);
	rmdir(folder);
}

int main(void)
{
	char *args[] = {"test-report", "--no-huge", "--no-pci", "--no-shconf", "-m", "64",
		"--log-level", "critical", NULL};
#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		CASE(totals_and_what_each_worker_has),
		CASE(calls_of_services_add_up),
		CASE(what_has_changed_is_told),
		CASE(many_services_take_several_messages),
		CASE(targets_have_a_state),
		CASE(a_page_of_counters),
	};

	if (rte_eal_init(8, args) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
