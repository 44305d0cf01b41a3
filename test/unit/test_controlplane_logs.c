// SPDX-License-Identifier: Apache-2.0
// Logs of all instances of a function or job, over HTTP and from fake hosts, each of which says
// "one" and "two" and ends.
#include "controlplane/http.h"
#include "test/unit/hosts_world.h"

struct reading {
	struct env *e;
	struct api api;
	struct http http;
	char path[64];
	char text[65536]; // of the last answer, with its head
};

static int setup(void **state)
{
	struct reading *r = calloc(1, sizeof(*r));
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	void *env;
	int fd;

	assert_int_equal(world_setup_patient(&env), 0);
	r->e = env;
	api_init(&r->api, &r->e->registry, r->e->telemetry, &r->e->publisher, "0", 0);
	r->api.fleet = &r->e->orchestrator.fleet;
	r->api.scheduler = &orchestrator_api;
	r->api.scheduler_user = &r->e->orchestrator;
	snprintf(r->path, sizeof(r->path), "/tmp/penstock-logs-%d.sock", (int)getpid());
	strcpy(addr.sun_path, r->path);
	unlink(r->path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(http_start(&r->http, &r->api, fd, NULL), 0);
	r->http.peers = &r->e->peers;
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct reading *r = *state;
	void *env = r->e;

	http_stop(&r->http);
	api_fini(&r->api);
	unlink(r->path);
	world_teardown(&env);
	free(r);
	return 0;
}

// Asks over a connection of its own and reads until it ends. HTTP/1.0: no chunks. Returns the
// status.
static int get(struct reading *r, const char *target)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	ns_t give_up = clock_now() + DEADLINE;
	char request[300];
	size_t len = 0;
	ssize_t n;
	int fd, status = 0;

	strcpy(addr.sun_path, r->path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	n = snprintf(request, sizeof(request), "GET %s HTTP/1.0\r\n\r\n", target);
	assert_int_equal(write(fd, request, (size_t)n), n);
	do {
		http_run(&r->http);
		step(r->e);
		n = recv(fd, r->text + len, sizeof(r->text) - 1 - len, MSG_DONTWAIT);
		len += n > 0 ? (size_t)n : 0;
		assert_true(clock_now() < give_up);
	} while (n > 0 || (n < 0 && errno == EAGAIN));
	close(fd);
	r->text[len] = 0;
	assert_int_equal(sscanf(r->text, "HTTP/1.%*d %d", &status), 1);
	return status;
}

static size_t count(const struct reading *r, const char *part)
{
	size_t n = 0;

	for (const char *at = r->text; (at = strstr(at, part)); at += strlen(part))
		n++;
	return n;
}

static const char *body(const struct reading *r)
{
	const char *at = strstr(r->text, "\r\n\r\n");

	return at ? at + 4 : "";
}

static void start_job(struct reading *r, int count)
{
	connect_host(r->e, HOST1, HOST("n1", "s1", ""), "s1");
	put(r->e, KIND_JOB,
		"{\"metadata\":{\"name\":\"import\"},\"spec\":{\"command\":[\"x\"],\"count\":%d,"
		"\"resources\":{\"cpu_milli\":10,\"memory\":\"16Mi\"}}}",
		count);
	UNTIL(r->e, told(r->e, HOST1, "run") == (size_t)count);
}

static void test_all_instances_of_a_job_one_after_the_other(void **state)
{
	struct reading *r = *state;
	char expected[1000] = "";

	start_job(r, 12);
	assert_int_equal(get(r, "/v1/jobs/default/import/logs"), 200);
	for (int i = 0; i < 12; i++) {
		char lines[40];

		snprintf(lines, sizeof(lines), "main-%d | one\nmain-%d | two\n", i, i);
		strcat(expected, lines);
	}
	assert_string_equal(body(r), expected);
}

// By when they were placed, which a restart does not change.
static void test_the_oldest_come_first(void **state)
{
	struct reading *r = *state;
	const struct fleet *f = &r->e->orchestrator.fleet;

	start_job(r, 2);
	put(r->e, KIND_JOB,
		"{\"metadata\":{\"name\":\"import\"},\"spec\":{\"command\":[\"y\"],\"count\":2}}");
	UNTIL(r->e, (obey(r->e, HOST1, "s1"), f->instances.count == 4));
	for (int k = 0; k < 2; k++) {
		const char *at;

		assert_int_equal(get(r, "/v1/jobs/default/import/logs"), 200);
		at = body(r);
		for (int line = 0; line < 4; line++) {
			assert_memory_equal(at, line % 2 ? "main-1 |" : "main-0 |", 8);
			at = strchr(at, '\n') + 1;
			at = k ? at : strchr(at, '\n') + 1;
		}
		assert_string_equal(at, "");
		stop(r->e);
		start(r->e);
		UNTIL(r->e, r->e->clients[HOST1].closed);
	}
}

// Of a node 8 at a time; what is left out is told.
static void test_what_is_not_followed_is_told(void **state)
{
	struct reading *r = *state;

	start_job(r, 12);
	assert_int_equal(get(r, "/v1/jobs/default/import/logs?follow=1"), 200);
	assert_int_equal(count(r, " | one\n"), 8);
	assert_int_equal(count(r, " | two\n"), 8);
	assert_int_equal(count(r, " | [no log: too many logs of its node are read already]\n"), 4);
	leave(r->e, HOST1);
	assert_int_equal(get(r, "/v1/jobs/default/import/logs"), 200);
	assert_int_equal(count(r, " | [no log: its host is not connected]\n"), 12);
}

static void test_at_most_64_are_followed(void **state)
{
	struct reading *r = *state;

	start_job(r, 70);
	assert_int_equal(get(r, "/v1/jobs/default/import/logs?follow=1"), 200);
	assert_int_equal(count(r, "[6 older instances are left out: at most 64 are followed at a "
				  "time; name one]\n"),
		1);
	assert_int_equal(count(r, " | one\n"), 8);
}

static void test_one_of_them(void **state)
{
	struct reading *r = *state;

	start_job(r, 3);
	assert_int_equal(get(r, "/v1/jobs/default/import/logs?instance=2&tail=7"), 200);
	assert_string_equal(body(r), "one\ntwo\n");
	assert_non_null(strstr(r->e->clients[HOST1].log_asked, "\"tail\":7"));
	assert_int_equal(get(r, "/v1/jobs/default/import/logs?instance=main-2"), 200);
	assert_string_equal(body(r), "one\ntwo\n");
	assert_int_equal(get(r, "/v1/jobs/default/import/logs?instance=3"), 404);
	assert_non_null(strstr(body(r), "has no instance 3"));
	assert_int_equal(get(r, "/v1/jobs/default/none/logs"), 404);
	assert_non_null(strstr(body(r), "there is no job default/none"));
	assert_int_equal(get(r, "/v1/functions/default/none/logs"), 404);
	assert_non_null(strstr(body(r), "there is no function default/none"));
	// Where nothing is known of it, that stands in its place; of one alone, too.
	assert_int_equal(get(r, "/v1/jobs/default/import/logs?tail=0"), 200);
	assert_int_equal(count(r, " | [the log ends here: nothing is known of it]\n"), 3);
	assert_int_equal(get(r, "/v1/jobs/default/import/logs?instance=0&tail=0"), 200);
	assert_string_equal(body(r), "[the log ends here: nothing is known of it]\n");
}

// Placed together, their ids begin alike.
static void test_functions_have_labels_that_differ(void **state)
{
	struct reading *r = *state;
	char labels[3][16], *at;

	connect_host(r->e, HOST1, HOST("n1", "s1", ""), "s1");
	put_echo(r->e, 3, "x");
	UNTIL(r->e, told(r->e, HOST1, "run") == 3);
	assert_int_equal(get(r, "/v1/functions/default/echo/logs"), 200);
	at = strstr(r->text, "\r\n\r\n") + 4;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(sscanf(at, "%15s | one\n%*s | two", labels[i]), 1);
		at = strstr(at, "two\n") + 4;
	}
	assert_string_equal(at, "");
	assert_string_not_equal(labels[0], labels[1]);
	assert_string_not_equal(labels[1], labels[2]);
	assert_string_not_equal(labels[0], labels[2]);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
#define READ(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		READ(test_all_instances_of_a_job_one_after_the_other),
		READ(test_the_oldest_come_first),
		READ(test_what_is_not_followed_is_told),
		READ(test_at_most_64_are_followed),
		READ(test_one_of_them),
		READ(test_functions_have_labels_that_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
