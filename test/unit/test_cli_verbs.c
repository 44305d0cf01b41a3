// SPDX-License-Identifier: Apache-2.0
// tools/cli: whole commands against a control socket that answers from a script; usage, exit codes,
// the man page. What the real control plane answers is in test/smoke/cli.sh.
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "test/unit/cli_fixture.h"
#include "tools/cli/nouns.h"

static const char orders[] =
	"{\"apiVersion\":\"penstock/v1\",\"kind\":\"Endpoint\",\"metadata\":{\"name\":\"orders\","
	"\"namespace\":\"default\",\"version\":3},\"spec\":{\"addresses\":[\"10.0.0.1:1\","
	"\"10.0.0.2:1\"],\"routes\":[\"orders\",\"person.\"]},\"status\":{\"addresses\":["
	"{\"address\":\"10.0.0.1:1\",\"gateways\":[{\"gateway\":\"gw1\",\"state\":\"up\"}]},"
	"{\"address\":\"10.0.0.2:1\",\"gateways\":[{\"gateway\":\"gw1\",\"state\":\"down\"}]}]}}";

// ---- usage ----

static void wrong_usage_is_exit_code_2(void **state)
{
	static const struct {
		const char *line, *part;
	} cases[] = {
		{"aply", "did you mean 'apply'?"},
		{"frobnicate", "penstock --help"},
		{"--nosuch get", "--nosuch"},
		{"get", "usage: penstock get NOUN [NAME]"},
		{"get endpoint a b", "unexpected 'b'"},
		{"get endpoitns", "did you mean 'endpoints'?"},
		{"get things", "there are functions"},
		{"get ep -o xml", "-o takes"},
		{"get ep --json -o yaml", "contradict"},
		{"delete", "usage"},
		{"delete ep", "name the endpoint"},
		{"delete ep a -f x", "not both"},
		{"apply", "-f FILE"},
		{"call", "usage: penstock call NAME"},
		{"call echo -d a -f b", "not by both"},
		{"call echo --count 3", "for --stream"},
		{"call echo --to nonsense", "an address such as"},
		{"call echo --metadata x --to 127.0.0.1:1", "TYPE=TEXT"},
		{"top --sort luck", "--sort takes"},
		{"explain weather x", "routes and instances"},
		{"scale echo many", "whole number"},
		{"scale echo", "usage: penstock scale FUNCTION N"},
		{"drain", "usage: penstock drain NODE"},
		{"logs echo --tail few", "whole number"},
		{"completion fish", "bash and zsh"},
		{"help nosuch", "there is no verb"},
		{"status extra", "unexpected 'extra'"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (run(cases[i].line) != CLI_USAGE)
			fail_msg("'%s' was not refused: %s", cases[i].line, err_text);
		expect_text(err_text, cases[i].part);
		assert_string_equal(out_text, "");
	}
	assert_int_equal(run(""), CLI_USAGE);
	expect_text(err_text, "usage: penstock VERB");
}

static void help_names_every_verb_and_option(void **state)
{
	char line[64];

	assert_int_equal(run("--help"), CLI_DONE);
	for (size_t i = 0; i < cli_verb_count; i++)
		expect_text(out_text, cli_verbs[i]->name);
	for (size_t i = 0; i < cli_verb_count; i++) {
		const struct verb *v = cli_verbs[i];

		snprintf(line, sizeof(line), "%s --help", v->name);
		assert_int_equal(run(line), CLI_DONE);
		expect_text(out_text, v->summary);
		for (size_t k = 0; k < v->option_count; k++)
			expect_text(out_text, v->options[k].name);
	}
	assert_int_equal(run("--version"), CLI_DONE);
	assert_string_equal(out_text, "penstock " PENSTOCK_VERSION "\n");
}

static void verbs_are_whole(void **state)
{
	for (size_t i = 0; i < cli_verb_count; i++) {
		const struct verb *v = cli_verbs[i];

		assert_non_null(v->run);
		assert_true(v->words_min <= v->words_max);
		assert_true(v->summary[strlen(v->summary) - 1] != '.');
		for (size_t k = 0; k < v->option_count; k++) {
			assert_int_equal(
				v->options[k].kind == OPTION_FLAG, v->options[k].value == NULL);
			assert_true(v->options[k].offset < v->values_bytes);
		}
	}
}

// ---- the socket ----

static void a_socket_that_is_not_there_is_exit_code_3(void **state)
{
	struct fake f;

	assert_int_equal(run("--socket /nowhere/control.sock get ep"), CLI_UNREACHABLE);
	expect_text(err_text, "start penstock-controlplane");
	assert_int_equal(run("status --socket /tmp"), CLI_UNREACHABLE);
	assert_int_equal(
		run("get ep --socket "
		    "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
		CLI_UNREACHABLE);
	expect_text(err_text, "too long");
	// A socket file without a listener, as a daemon that was killed leaves it.
	fake_start(&f, (const struct answer[]){END});
	shutdown(f.fd, SHUT_RDWR);
	pthread_join(f.thread, NULL);
	close(f.fd);
	setenv(CLI_SOCKET_ENV, f.path, 1);
	assert_int_equal(run("get ep"), CLI_UNREACHABLE);
	expect_text(err_text, "nobody listens");
	unsetenv(CLI_SOCKET_ENV);
	unlink(f.path);
}

static void a_connection_that_breaks_is_exit_code_3(void **state)
{
	struct fake f;

	assert_int_equal(run_with(&f, (const struct answer[]){{"GET", 200, NULL}, END}, "get ep"),
		CLI_UNREACHABLE);
	expect_text(err_text, "control socket");
}

static void answers_that_are_no_lists_are_refused(void **state)
{
	struct fake f;

	assert_int_equal(
		run_with(&f, (const struct answer[]){{"GET", 200, "<html>"}, END}, "get ep"),
		CLI_REFUSED);
	expect_text(err_text, "no list");
	assert_int_equal(
		run_with(&f, (const struct answer[]){{"GET", 500, "oh no"}, END}, "get ep orders"),
		CLI_REFUSED);
	expect_text(err_text, "oh no");
	assert_int_equal(
		run_with(&f, (const struct answer[]){{"GET", 500, ""}, END}, "get ep orders"),
		CLI_REFUSED);
	expect_text(err_text, "without a reason");
}

// ---- get, describe, delete ----

static void get_shows_a_table(void **state)
{
	char list[2048];
	struct fake f;
	const struct answer answers[] = {{"GET /v1/endpoints?limit=500 ", 200, list}, END};

	snprintf(list, sizeof(list), "{\"items\":[%s]}", orders);
	assert_int_equal(run_with(&f, answers, "get endpoints"), CLI_DONE);
	expect_text(out_text, "NAME    ADDRESSES              ROUTES          STATE         AGE\n");
	expect_text(out_text, "orders  10.0.0.1:1,10.0.0.2:1  orders,person.  1 up, 1 down  -\n");
	assert_int_equal(run_with(&f, answers, "get ep -o name"), CLI_DONE);
	assert_string_equal(out_text, "endpoint/orders\n");
	assert_int_equal(run_with(&f, answers, "get ep -o wide"), CLI_DONE);
	expect_text(out_text, "NAMESPACE");
	assert_int_equal(run_with(&f, answers, "get ep --json"), CLI_DONE);
	assert_int_equal(out_text[0], '[');
}

static void lists_are_read_page_by_page(void **state)
{
	char first[2048], second[2048];
	struct fake f;
	const struct answer answers[] = {
		{"GET /v1/endpoints?limit=500&label=a%3Db&after=x%2Fy ", 200, second},
		{"GET /v1/endpoints?limit=500&label=a%3Db ", 200, first},
		END,
	};

	snprintf(first, sizeof(first), "{\"items\":[%s],\"next\":\"x/y\"}", orders);
	snprintf(second, sizeof(second), "{\"items\":[%s]}", orders);
	assert_int_equal(run_with(&f, answers, "get ep -l a=b -o name"), CLI_DONE);
	assert_string_equal(out_text, "endpoint/orders\nendpoint/orders\n");
	assert_int_equal(f.seen_count, 2);
	// An empty page is not the end, but one that leads to itself is.
	snprintf(first, sizeof(first), "{\"items\":[],\"next\":\"x/y\"}");
	snprintf(second, sizeof(second), "{\"items\":[%s],\"next\":\"x/y\"}", orders);
	assert_int_equal(run_with(&f, answers, "get ep -l a=b -o name"), CLI_DONE);
	assert_string_equal(out_text, "endpoint/orders\n");
	assert_int_equal(f.seen_count, 2);
}

static void one_resource_is_shown_whole(void **state)
{
	struct fake f;
	const struct answer answers[] = {{"GET /v1/endpoints/orders ", 200, orders},
		{"GET /v1/events", 200,
			"{\"seq\":3,\"time\":\"2025-01-31T12:00:00Z\",\"type\":\"created\","
			"\"kind\":\"Endpoint\","
			"\"namespace\":\"default\",\"name\":\"orders\"}\n"
			"{\"seq\":4,\"time\":\"2025-01-31T12:00:00Z\",\"type\":\"created\","
			"\"kind\":\"Endpoint\",\"name\":\"x\"}\n"},
		END};

	assert_int_equal(run_with(&f, answers, "get endpoint/orders -o yaml"), CLI_DONE);
	expect_text(out_text, "kind: Endpoint\n");
	expect_text(out_text, "  routes: [orders, person.]\n");
	assert_int_equal(run_with(&f, answers, "describe ep orders"), CLI_DONE);
	expect_text(out_text, "Version    3\n");
	expect_text(out_text, "endpoint/orders created");
	assert_null(strstr(out_text, "endpoint/x"));
	assert_int_equal(run_with(&f, answers, "get ep nosuch"), CLI_REFUSED);
	expect_text(err_text, "there is no such thing");
}

static void functions_have_namespaces(void **state)
{
	struct fake f;
	const struct answer answers[] = {END};

	run_with(&f, answers, "get fn thumbnail");
	assert_string_equal(f.seen[0], "GET /v1/functions/default/thumbnail HTTP/1.1");
	run_with(&f, answers, "get fn thumbnail -n imagery");
	assert_string_equal(f.seen[0], "GET /v1/functions/imagery/thumbnail HTTP/1.1");
	run_with(&f, answers, "get function/imagery/thumbnail");
	assert_string_equal(f.seen[0], "GET /v1/functions/imagery/thumbnail HTTP/1.1");
}

static void delete_says_what_it_did(void **state)
{
	struct fake f;
	const struct answer answers[] = {{"DELETE /v1/endpoints/orders ", 200, "{}"}, END};

	assert_int_equal(run_with(&f, answers, "delete endpoint orders"), CLI_DONE);
	assert_string_equal(out_text, "endpoint/orders deleted\n");
	assert_int_equal(run_with(&f, answers, "delete endpoint nosuch"), CLI_REFUSED);
	assert_int_equal(run_with(&f, answers, "delete endpoint nosuch --if-exists"), CLI_DONE);
	assert_string_equal(out_text, "endpoint/nosuch not there\n");
}

static void delete_tells_programs(void **state)
{
	struct fake f;
	const struct answer answers[] = {
		{"DELETE /v1/endpoints/orders ", 200, "{\"name\": \"orders\"}"}, END};

	assert_int_equal(run_with(&f, answers, "delete endpoint orders -o yaml"), CLI_DONE);
	assert_string_equal(out_text,
		"resource: endpoint/orders\nchange: deleted\nresult:\n  name: orders\n");
	assert_int_equal(run_with(&f, answers, "delete endpoint orders --json"), CLI_DONE);
	expect_text(out_text, "[\n");
	expect_text(out_text, "\"change\": \"deleted\"");
	assert_int_equal(
		run_with(&f, answers, "delete endpoint nosuch --if-exists --json"), CLI_DONE);
	expect_text(out_text, "\"absent\"");
	assert_int_equal(run_with(&f, answers, "delete endpoint nosuch --json"), CLI_REFUSED);
	assert_string_equal(out_text, "[]\n");
}

// ---- apply ----

static char manifest_path[64];

static void write_manifest(const char *text)
{
	FILE *out;

	snprintf(manifest_path, sizeof(manifest_path), "/tmp/penstock-cli-test-%d.yaml",
		(int)getpid());
	out = fopen(manifest_path, "w");
	assert_non_null(out);
	fputs(text, out);
	fclose(out);
}

static enum cli_exit apply_with(struct fake *f, const struct answer *answers, const char *verb)
{
	char line[128];
	enum cli_exit exit;

	snprintf(line, sizeof(line), "%s -f %s", verb, manifest_path);
	exit = run_with(f, answers, line);
	unlink(manifest_path);
	return exit;
}

static const char two_endpoints[] =
	"apiVersion: penstock/v1\nkind: Endpoint\nmetadata: {name: a}\nspec:\n"
	"  addresses: [\"10.0.0.1:1\"]\n---\n"
	"apiVersion: penstock/v1\nkind: Endpoint\nmetadata: {name: b}\nspec:\n"
	"  adresses:\n  - x\n";

static void apply_checks_all_before_it_changes_anything(void **state)
{
	struct fake f;
	char expected[512];
	const struct answer answers[] = {
		{"PUT /v1/endpoints/a?dry_run=1 ", 200, "{\"action\":\"create\",\"changes\":[]}"},
		{"PUT /v1/endpoints/b?dry_run=1 ", 400,
			"{\"error\":{\"code\":\"unknown_field\",\"field\":\"spec.adresses\","
			"\"message\":\"there is no such field; did you mean addresses?\"}}"},
		END,
	};

	write_manifest(two_endpoints);
	assert_int_equal(apply_with(&f, answers, "apply"), CLI_REFUSED);
	snprintf(expected, sizeof(expected),
		"%s:11: spec.adresses: there is no such field; did you mean addresses?\n"
		"penstock: nothing was applied\n",
		manifest_path);
	assert_string_equal(err_text, expected);
	assert_string_equal(out_text, "");
	assert_int_equal(f.seen_count, 2);
}

static void apply_says_what_it_did(void **state)
{
	struct fake f;
	const struct answer answers[] = {
		{"PUT /v1/endpoints/a?dry_run=1 ", 200, "{\"action\":\"create\"}"},
		{"PUT /v1/endpoints/b?dry_run=1 ", 200,
			"{\"action\":\"update\",\"changes\":[{\"field\":\"spec.lease\",\"from\":"
			"false,\"to\":true},"
			"{\"field\":\"spec.x\",\"to\":1},{\"field\":\"spec.y\",\"from\":[1,2]}]}"},
		{"PUT /v1/endpoints/", 201, "{}"},
		END,
	};

	write_manifest(two_endpoints);
	assert_int_equal(apply_with(&f, answers, "apply"), CLI_DONE);
	assert_string_equal(out_text, "endpoint/a created\nendpoint/b configured\n");
	assert_int_equal(f.seen_count, 4);
	expect_text(f.body, "\"adresses\":[\"x\"]");
	write_manifest(two_endpoints);
	assert_int_equal(apply_with(&f, answers, "plan"), CLI_DONE);
	assert_int_equal(f.seen_count, 2);
	assert_string_equal(out_text,
		"endpoint/a created (dry run)\nendpoint/b configured (dry run)\n"
		"  ~ spec.lease: false -> true\n  + spec.x: 1\n  - spec.y: 1,2\n");
	write_manifest(two_endpoints);
	assert_int_equal(apply_with(&f, answers, "apply -o name"), CLI_DONE);
	assert_string_equal(out_text, "endpoint/a\nendpoint/b\n");
}

static void plan_of_a_new_one_shows_what_its_manifest_says(void **state)
{
	struct fake f;
	const struct answer answers[] = {
		{"PUT /v1/jobs/default/a?dry_run=1 ", 200,
			"{\"action\":\"create\",\"changes\":["
			"{\"field\":\"metadata.name\",\"to\":\"a\"},"
			"{\"field\":\"metadata.namespace\",\"to\":\"default\"},"
			"{\"field\":\"spec.command\",\"to\":\"one\\n\\ttwo\\u001b\"},"
			"{\"field\":\"spec.env.a.b\",\"to\":\"x\"},"
			"{\"field\":\"spec.env.a.c\",\"to\":\"default\"},"
			"{\"field\":\"spec.groups\",\"to\":[{\"name\":\"g\",\"count\":1}]},"
			"{\"field\":\"spec.image.name\",\"to\":\"of a short form\"},"
			"{\"field\":\"spec.priority\",\"to\":50},"
			"{\"field\":\"spec.update.canary\",\"to\":0}]}"},
		{"PUT /v1/jobs/default/b?dry_run=1 ", 200,
			"{\"action\":\"update\",\"changes\":[{\"field\":\"spec.command\","
			"\"from\":\"one\",\"to\":\"one\\ntwo\"},"
			"{\"field\":\"spec.priority\",\"from\":60,\"to\":50}]}"},
		END,
	};
	static const char two_jobs[] =
		"apiVersion: penstock/v1\nkind: Job\nmetadata: {name: a}\nspec:\n"
		"  command: x\n  env: {a.b: x}\n  groups: [{name: g}]\n  image: x\n"
		"  priority: null\n---\n"
		"apiVersion: penstock/v1\nkind: Job\nmetadata: {name: b}\n";

	write_manifest(two_jobs);
	assert_int_equal(apply_with(&f, answers, "plan"), CLI_DONE);
	assert_string_equal(out_text, "job/a created (dry run)\n"
				      "  + metadata.name: a\n"
				      "  + spec.command: one\\n\\ttwo?\n"
				      "  + spec.env.a.b: x\n"
				      "  + spec.groups: {\"name\":\"g\"}\n"
				      "  + spec.image.name: of a short form\n"
				      "job/b configured (dry run)\n"
				      "  ~ spec.command: one -> one\\ntwo\n"
				      "  ~ spec.priority: 60 -> 50\n");
	// Machines are told all of it.
	write_manifest(two_jobs);
	assert_int_equal(apply_with(&f, answers, "plan --json"), CLI_DONE);
	expect_text(out_text, "spec.update.canary");
}

static void apply_that_fails_half_way_says_so(void **state)
{
	struct fake f;
	const struct answer answers[] = {
		{"PUT /v1/endpoints/a?dry_run=1 ", 200, "{\"action\":\"create\"}"},
		{"PUT /v1/endpoints/b?dry_run=1 ", 200, "{\"action\":\"create\"}"},
		{"PUT /v1/endpoints/a ", 201, "{}"},
		{"PUT /v1/endpoints/b ", 507,
			"{\"error\":{\"code\":\"x\",\"message\":\"the disk is full\"}}"},
		END,
	};

	write_manifest(two_endpoints);
	assert_int_equal(apply_with(&f, answers, "apply"), CLI_REFUSED);
	expect_text(err_text, ":7: the disk is full");
	expect_text(err_text, "1 of 2 were applied");
}

static void manifests_without_a_resource_are_refused_with_their_line(void **state)
{
	static const struct {
		const char *text, *part;
	} cases[] = {
		{"apiVersion: penstock/v2\nkind: Endpoint\n", ":1: apiVersion must be"},
		{"kind: Endpoint\n", ":1: apiVersion must be"},
		{"apiVersion: penstock/v1\nkind: Endpiont\n", ":2: kind must be"},
		{"apiVersion: penstock/v1\nkind: Node\nmetadata: {name: a}\n", ":2: kind must be"},
		{"apiVersion: penstock/v1\nkind: Endpoint\nmetadata:\n  name: 5\n",
			":4: metadata.name must be"},
		{"apiVersion: penstock/v1\nkind: Endpoint\nmetadata:\n  name: a/b\n",
			":4: metadata.name must be"},
		{"apiVersion: penstock/v1\nkind: Endpoint\nspec: {}\n",
			":1: metadata.name must be"},
		{"# nothing\n", "there is no manifest"},
		{"a: [\n", ":2:1: "},
	};
	struct fake f;
	const struct answer answers[] = {END};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		write_manifest(cases[i].text);
		assert_int_equal(apply_with(&f, answers, "apply"), CLI_REFUSED);
		expect_text(err_text, cases[i].part);
		assert_int_equal(f.seen_count, 0);
	}
	assert_int_equal(run("apply -f /nowhere.yaml"), CLI_REFUSED);
	expect_text(err_text, "/nowhere.yaml: No such file");
}

static void namespaces_come_from_the_manifest_or_from_n(void **state)
{
	struct fake f;
	const struct answer answers[] = {{"PUT", 200, "{\"action\":\"none\"}"}, END};

	write_manifest("apiVersion: penstock/v1\nkind: Function\nmetadata: {name: a}\n");
	assert_int_equal(apply_with(&f, answers, "apply -n imagery"), CLI_DONE);
	assert_string_equal(f.seen[0], "PUT /v1/functions/imagery/a?dry_run=1 HTTP/1.1");
	assert_string_equal(out_text, "function/imagery/a unchanged\n");
	write_manifest(
		"apiVersion: penstock/v1\nkind: Function\nmetadata: {name: a, namespace: b}\n");
	assert_int_equal(apply_with(&f, answers, "apply -n imagery"), CLI_REFUSED);
	expect_text(err_text, ":3: metadata.namespace is another one");
}

static void delete_by_manifest_goes_backwards(void **state)
{
	struct fake f;
	const struct answer answers[] = {{"DELETE", 200, "{}"}, END};

	write_manifest(two_endpoints);
	assert_int_equal(apply_with(&f, answers, "delete"), CLI_DONE);
	assert_string_equal(out_text, "endpoint/b deleted\nendpoint/a deleted\n");
	write_manifest("kind: [\n");
	assert_int_equal(apply_with(&f, answers, "delete"), CLI_REFUSED);
	assert_int_equal(f.seen_count, 0);
}

// ---- status, stats, events, explain ----

static const char stats[] =
	"{\"time\":\"2025-01-31T12:00:00Z\",\"total\":{\"calls\":{\"in_flight\":7},\"calls_per_s\":"
	"1234.5,"
	"\"connections\":3,\"gateway_latency\":{\"recent\":{\"count\":9,\"p50_s\":1.5e-5,\"p99_s\":"
	"0.002,"
	"\"max_s\":0.1}}},\"gateways\":[{\"name\":\"gw1\",\"connected\":true,\"connections\":3,"
	"\"calls_in_flight\":7,\"workers\":[{\"busy\":0.25},{\"busy\":0.5}]}],"
	"\"services\":[{\"namespace\":\"default\",\"route\":\"orders\",\"calls\":{\"ok\":10,"
	"\"rejected\":2,"
	"\"canceled\":0,\"error\":1,\"invalid\":0,\"in_flight\":4},\"calls_per_s\":12.5,\"service_"
	"time\":"
	"{\"recent\":{\"count\":9,\"p50_s\":1.5e-5,\"p99_s\":0.002,\"max_s\":0.1}}},"
	"{\"namespace\":\"imagery\",\"route\":\"tiles.\",\"calls\":{\"ok\":99},\"calls_per_s\":500}"
	"],"
	"\"drops\":[{\"cause\":\"call.drop_no_service\",\"count\":3,\"sentence\":\"no such "
	"function\"},"
	"{\"cause\":\"x.drop_y\",\"count\":0,\"sentence\":\"never\"}],\"counters\":{\"a.b\":5}}";

static void stats_are_tables(void **state)
{
	struct fake f;
	const struct answer answers[] = {{"GET /v1/stats ", 200, stats}, END};

	assert_int_equal(run_with(&f, answers, "stats"), CLI_DONE);
	expect_text(out_text, "1234 calls/s, 7 in flight, 3 connections; "
			      "through the gateway: median 15.0 us, p99 2.00 ms, max 100 ms\n");
	expect_text(out_text, "orders             12.5  15.0 us  2.00 ms  100 ms          4  10    "
			      "     2         0      1        0\n");
	expect_text(out_text, "imagery/tiles.      500        -        -       -          0  99");
	expect_text(out_text, "call.drop_no_service  no such function\n");
	assert_null(strstr(out_text, "never"));
	assert_int_equal(run_with(&f, answers, "stats imagery/tiles. --counters"), CLI_DONE);
	assert_null(strstr(out_text, "orders"));
	expect_text(out_text, "a.b          5\n");
	assert_int_equal(run_with(&f, answers, "stats nosuch"), CLI_DONE);
	expect_text(out_text, "No call was made yet to nosuch.");
	assert_int_equal(
		run_with(&f, (const struct answer[]){{"GET", 200, "[]"}, END}, "stats"), CLI_DONE);
}

static void top_is_plain_without_a_terminal(void **state)
{
	struct fake f;
	const struct answer answers[] = {{"GET /v1/stats ", 200, stats}, END};

	assert_int_equal(run_with(&f, answers, "top --count 2 --interval 1ms"), CLI_DONE);
	assert_int_equal(f.seen_count, 2);
	assert_null(strchr(out_text, '\033'));
	expect_text(out_text, "gw1      connected            3          7  25% 50%\n");
	// The busier one first; in the second page nothing was called since the first.
	assert_true(strstr(out_text, "imagery/tiles.") < strstr(out_text, "orders"));
	expect_text(out_text, "imagery/tiles.        0");
	assert_int_equal(run_with(&f, (const struct answer[]){END}, "top --count 2"), CLI_REFUSED);
	expect_text(err_text, "there is no such thing");
}

static void status_tells_what_is_wrong(void **state)
{
	char list[2048];
	struct fake f;
	const struct answer answers[] = {
		{"GET /v1/health ", 503,
			"{\"status\":\"failed\",\"version\":\"0.1.0\",\"uptime_ms\":61000,\"seq\":"
			"9,\"services\":2,\"nodes\":{\"known\":3,\"ready\":2},\"evaluations\":{\"ready\":0,\"blocked\":4},"
			"\"problems\":[{\"problem\":\"the disk is full\",\"hint\":\"free some "
			"space\"}]}"},
		{"GET /v1/stats ", 200, stats},
		{"GET /v1/gateways?", 200, "{\"items\":[{\"status\":{\"connected\":true}},{}]}"},
		{"GET /v1/endpoints?", 200, list},
		END,
	};

	snprintf(list, sizeof(list), "{\"items\":[%s]}", orders);
	assert_int_equal(run_with(&f, answers, "status"), CLI_REFUSED);
	expect_text(out_text, "nodes          2 of 3 ready\n");
	expect_text(out_text, "evaluations    0 wait for a worker, 4 for room (penstock get "
			      "evaluations --status blocked)\n");
	expect_text(out_text, "control plane  failed, version 0.1.0, up 61s, 2 routes, change 9\n");
	expect_text(out_text, "gateways       1 of 2 connected\n");
	expect_text(out_text, "endpoints      1, addresses: 1 up, 1 down\n");
	expect_text(out_text, "problem        the disk is full\n               free some space\n");
	assert_int_equal(run_with(&f, (const struct answer[]){END}, "status"), CLI_REFUSED);
}

static void events_are_lines(void **state)
{
	struct fake f;
	const struct answer answers[] = {
		{"GET /v1/events?after=5&follow=1 ", 200,
			"{\"error\":{\"message\":\"fell behind\"}}\n"},
		{"GET /v1/events?after=5 ", 200,
			"\n{\"seq\":6,\"time\":\"T\",\"type\":\"updated\",\"kind\":\"Gateway\","
			"\"name\":\"gw1\",\"text\":\"a\\u001bb\"}\n"
			"{\"seq\":7,\"type\":\"deleted\",\"kind\":\"Node\",\"name\":\"n\"}\nrest "
			"without an end"},
		{"GET /v1/events?after=3&kind=Job ", 200,
			"{\"seq\":6,\"type\":\"rollout_failed\",\"kind\":\"Job\",\"name\":\"j\","
			"\"text\":\"x\"}\n"},
		{"GET /v1/events?after=0 ", 410, "{\"error\":{\"message\":\"no longer kept\"}}"},
		END,
	};

	assert_int_equal(run_with(&f, answers, "events --after 5"), CLI_DONE);
	assert_string_equal(
		out_text, "     6  T  gateway/gw1 updated: a?b\n     7    node/n deleted\n");
	assert_int_equal(run_with(&f, answers, "events --after 5 --count 1 --json"), CLI_DONE);
	assert_int_equal(strchr(out_text, '\n') - out_text + 1, strlen(out_text));
	assert_int_equal(run_with(&f, answers, "events --kind jobs --after 3"), CLI_DONE);
	expect_text(out_text, "job/j rollout_failed: x");
	assert_int_equal(run("events --kind weather"), CLI_USAGE);
	assert_int_equal(run_with(&f, answers, "events"), CLI_REFUSED);
	expect_text(err_text, "no longer kept");
	assert_int_equal(run_with(&f, answers, "events --after 5 -f"), CLI_REFUSED);
	expect_text(err_text, "fell behind");
}

static void explain_finds_the_longest_prefix(void **state)
{
	char list[4096];
	struct fake f;
	const struct answer answers[] = {
		{"GET /v1/functions?", 200,
			"{\"items\":[{\"kind\":\"Function\",\"metadata\":{\"name\":\"person.\","
			"\"namespace\":\"other\"}},"
			"{\"kind\":\"Function\",\"metadata\":{\"name\":\"thumbnail\",\"namespace\":"
			"\"default\"}}]}"},
		{"GET /v1/endpoints?", 200, list},
		{"GET /v1/functions/default/thumbnail ", 200,
			"{\"metadata\":{\"name\":\"thumbnail\",\"namespace\":\"default\"},\"spec\":{"
			"\"scale\":{\"min\":3}},\"status\":{\"ready\":1,\"starting\":0,\"failed\":0,"
			"\"targets\":[{\"name\":\"n1\",\"version\":3,\"instances\":1,\"address\":"
			"\"10.0.0.1:7880\"}],\"evaluation\":{\"failed\":2,\"considered\":4,\"text\":"
			"\"placed 1 of 3; 2 wait: of 4 nodes 4 lack memory\",\"excluded_nodes\":{"
			"\"memory\":4}}}}"},
		{"GET /v1/functions/other/person. ", 200,
			"{\"metadata\":{\"name\":\"person.\",\"namespace\":\"other\"},\"spec\":{"
			"\"scale\":{\"min\":1}},\"status\":{\"ready\":0,\"starting\":1,\"targets\":[]}}"},
		END,
	};

	snprintf(list, sizeof(list),
		"{\"items\":[%s,{\"metadata\":{\"name\":\"finder\",\"namespace\":\"default\"},"
		"\"spec\":{\"routes\":[\"person.find.\",\"b/special\"]}}]}",
		orders);
	assert_int_equal(run_with(&f, answers, "explain route person.get"), CLI_DONE);
	expect_text(out_text, "by the longest prefix, person.\n");
	expect_text(out_text, "orders  10.0.0.2:1  gw1      down");
	assert_int_equal(run_with(&f, answers, "explain route person.find.one --json"), CLI_DONE);
	expect_text(out_text, "\"matched\": \"person.find.\"");
	expect_text(out_text, "\"finder\"");
	assert_int_equal(run_with(&f, answers, "explain route orders"), CLI_DONE);
	expect_text(out_text, "declared as it is");
	assert_int_equal(run_with(&f, answers, "explain route b/special"), CLI_DONE);
	assert_int_equal(run_with(&f, answers, "explain route special"), CLI_REFUSED);
	assert_int_equal(run_with(&f, answers, "explain route thumbnail"), CLI_DONE);
	expect_text(out_text, "n1          3          1  10.0.0.1:7880\n");
	expect_text(out_text, "The last evaluation placed 1 of 3; 2 wait: of 4 nodes 4 lack memory.\n"
			      "  memory excluded 4 nodes\n");
	assert_null(strstr(out_text, "was heard of lately"));
	assert_int_equal(run_with(&f, answers, "explain route other/person.find"), CLI_DONE);
	expect_text(out_text, "No instance takes calls: they are REJECTED.\n"
			      "Wanted are 1, ready 0, starting 1, failed 0.\n");
	assert_int_equal(run_with(&f, answers, "explain route thumbnali"), CLI_REFUSED);
	expect_text(err_text, "did you mean thumbnail?");
	assert_int_equal(run_with(&f, answers, "explain route orders -n imagery"), CLI_REFUSED);
}

static void explain_tells_why_an_instance_is_there(void **state)
{
	struct fake f;
	const struct answer answers[] = {
		{"GET /v1/instances/0123456789abcdef", 200,
			"{\"metadata\":{\"name\":\"0123456789abcdef\",\"namespace\":\"default\"},"
			"\"spec\":{\"function\":\"echo\",\"version\":2,\"node\":\"n1\",\"desired\":\"run\"},"
			"\"status\":{\"state\":\"running\",\"ready\":true,\"restarts\":4,\"since\":\"T\","
			"\"why\":{\"evaluation\":9,\"trigger\":\"a node went down\",\"considered\":3,"
			"\"infeasible\":1,\"full\":1,\"score\":0.5,\"runner_up\":0}}}"},
		END,
	};

	assert_int_equal(run_with(&f, answers, "explain instance 0123456789abcdef"), CLI_DONE);
	expect_text(out_text, "version 2, on node n1");
	expect_text(out_text, "running since T and takes calls");
	expect_text(out_text, "started again 4 times");
	expect_text(out_text, "evaluation 9, because a node went down");
	expect_text(out_text, "Of 3 nodes considered, 1 could not take it by state or constraint "
			      "and 1 had no room");
	assert_int_equal(run_with(&f, answers, "explain instance ffff"), CLI_REFUSED);
}

static void scale_and_drain_patch(void **state)
{
	struct fake f;
	const struct answer answers[] = {
		{"GET /v1/functions/img/echo ", 200,
			"{\"spec\":{\"scale\":{\"min\":1,\"max\":10}}}"},
		{"PATCH /v1/functions/img/echo ", 200, "{\"kind\":\"Function\"}"},
		{"PATCH /v1/nodes/n1 ", 200, "{\"kind\":\"Node\"}"},
		{"PATCH /v1/nodes/n2 ", 404, "{\"error\":{\"message\":\"there is no node n2\"}}"},
		END,
	};

	assert_int_equal(run_with(&f, answers, "scale img/echo 5"), CLI_DONE);
	assert_string_equal(f.body, "{\"spec\":{\"scale\":{\"min\":5}}}");
	expect_text(out_text, "function/img/echo scaled from 1 to 5\n");
	assert_int_equal(run_with(&f, answers, "scale echo 20 -n img"), CLI_DONE);
	assert_string_equal(f.body, "{\"spec\":{\"scale\":{\"min\":20,\"max\":20}}}");
	assert_int_equal(run_with(&f, answers, "drain n1"), CLI_DONE);
	assert_string_equal(f.body,
		"{\"spec\":{\"drain\":true,\"eligible\":false,\"drain_deadline_ms\":0}}");
	assert_int_equal(run_with(&f, answers, "drain n1 --deadline 10m"), CLI_DONE);
	assert_string_equal(f.body,
		"{\"spec\":{\"drain\":true,\"eligible\":false,\"drain_deadline_ms\":600000}}");
	expect_text(out_text, "what is left after 10m is stopped");
	assert_int_equal(run_with(&f, answers, "drain n1 --keep"), CLI_DONE);
	assert_string_equal(f.body, "{\"spec\":{\"eligible\":false}}");
	assert_int_equal(run_with(&f, answers, "drain n1 --undo"), CLI_DONE);
	assert_string_equal(f.body,
		"{\"spec\":{\"drain\":false,\"eligible\":true,\"drain_deadline_ms\":0}}");
	assert_int_equal(run_with(&f, answers, "scale img/echo 5 --json"), CLI_DONE);
	assert_string_equal(out_text, "{\n  \"kind\": \"Function\"\n}\n");
	assert_int_equal(run_with(&f, answers, "drain n1 --json"), CLI_DONE);
	assert_string_equal(out_text, "{\n  \"kind\": \"Node\"\n}\n");
	assert_int_equal(run_with(&f, answers, "drain n1 -o yaml"), CLI_DONE);
	assert_string_equal(out_text, "kind: Node\n");
	assert_int_equal(run_with(&f, answers, "drain n1 -o name"), CLI_DONE);
	assert_string_equal(out_text, "node/n1\n");
	assert_int_equal(run("drain n1 --undo --keep"), CLI_USAGE);
	assert_int_equal(run("drain n1 --deadline soon"), CLI_USAGE);
	assert_int_equal(run_with(&f, answers, "drain n2"), CLI_REFUSED);
	expect_text(err_text, "there is no node n2");
}

static void call_needs_a_gateway_with_an_address(void **state)
{
	struct fake f;
	const struct answer answers[] = {
		{"GET /v1/gateways?", 200,
			"{\"items\":[{\"metadata\":{\"name\":\"bare\"}},{\"metadata\":{\"name\":"
			"\"gw1\"},\"spec\":{\"ports\":"
			"[{\"addresses\":[]},{\"addresses\":[\"127.0.0.1/"
			"8\"]}],\"listeners\":[{\"port\":1}]}}]}"},
		END};

	assert_int_equal(run_with(&f, answers, "call echo --gateway bare"), CLI_REFUSED);
	expect_text(err_text, "no gateway bare has an address");
	// Nothing listens on port 1: the address is what counts here.
	assert_int_equal(run_with(&f, answers, "call echo"), CLI_REFUSED);
	expect_text(err_text, "127.0.0.1:1: ");
}

// ---- doctor ----

static void doctor_looks_below_its_root(void **state)
{
	assert_int_equal(run("doctor --root /nowhere --socket /nowhere/x"), CLI_REFUSED);
	expect_text(out_text, "FAIL  kernel");
	expect_text(out_text, "FAIL  dpdk        DPDK is not installed\n                  mend: "
			      "sudo apt install dpdk\n");
	expect_text(out_text, "warn  group");
	expect_text(out_text, "warn  tun         /dev/net/tun is not there\n                  "
			      "mend: sudo modprobe tun\n");
	assert_int_equal(run("doctor --root /nowhere --json"), CLI_REFUSED);
	expect_text(out_text, "\"check\": \"kernel\"");
	expect_text(out_text, "\"state\": \"fail\"");
}

// ---- the man page ----

static char *read_man_page(void)
{
	FILE *in = fopen(CLI_MAN_PAGE, "r");
	char *text = calloc(1, 65536);

	assert_non_null(in);
	assert_true(fread(text, 1, 65535, in) > 0);
	fclose(in);
	return text;
}

// The part of the page about a verb, or NULL: from ".SS NAME" to the next heading.
static char *man_section(const char *page, const char *kind, const char *name)
{
	char heading[64];
	const char *from, *to;

	snprintf(heading, sizeof(heading), "\n%s %s", kind, name);
	from = strstr(page, heading);
	while (from && from[strlen(heading)] != '\n' && from[strlen(heading)] != ' ')
		from = strstr(from + 1, heading);
	if (!from)
		return NULL;
	to = strstr(from + 1, "\n.S");
	return strndup(from, to ? (size_t)(to - from) : strlen(from));
}

// "\-\-label" in roff.
static void expect_option(const char *section, const struct option *o)
{
	char name[64], roff[128] = "";

	snprintf(name, sizeof(name), "--%s", o->name);
	for (const char *p = name; *p; p++)
		snprintf(roff + strlen(roff), sizeof(roff) - strlen(roff), *p == '-' ? "\\-" : "%c",
			*p);
	expect_text(section, roff);
	if (o->letter) {
		snprintf(roff, sizeof(roff), "\\-%c", o->letter);
		expect_text(section, roff);
	}
	if (o->value)
		expect_text(section, o->value);
}

static bool is_known_option(const struct verb *v, const char *name, size_t len)
{
	for (size_t i = 0; v && i < v->option_count; i++) {
		if (strlen(v->options[i].name) == len &&
			strncmp(v->options[i].name, name, len) == 0)
			return true;
	}
	for (size_t i = 0; i < cli_global_option_count; i++) {
		if (strlen(cli_global_options[i].name) == len &&
			strncmp(cli_global_options[i].name, name, len) == 0)
			return true;
	}
	return false;
}

// No option in a section that the program does not know there.
static void expect_no_other_option(const struct verb *v, const char *section)
{
	for (const char *at = strstr(section, "\\-\\-"); at; at = strstr(at, "\\-\\-")) {
		char name[64] = "";
		size_t len = 0;

		at += 4;
		while (len < sizeof(name) - 1 &&
			(strchr("abcdefghijklmnopqrstuvwxyz", *at) || strncmp(at, "\\-", 2) == 0) &&
			*at) {
			name[len++] = *at == '\\' ? '-' : *at;
			at += *at == '\\' ? 2 : 1;
		}
		if (len && !is_known_option(v, name, len))
			fail_msg("%s: the man page tells of --%s", v ? v->name : "all verbs", name);
	}
}

static void the_man_page_is_true(void **state)
{
	char *page = read_man_page(), *section, *at;
	size_t sections = 0;

	for (size_t i = 0; i < cli_verb_count; i++) {
		const struct verb *v = cli_verbs[i];

		section = man_section(page, ".SS", v->name);
		if (!section)
			fail_msg("the man page does not tell of %s", v->name);
		for (size_t k = 0; k < v->option_count; k++)
			expect_option(section, &v->options[k]);
		expect_no_other_option(v, section);
		free(section);
	}
	for (at = strstr(page, "\n.SS "); at; at = strstr(at + 1, "\n.SS "))
		sections++;
	assert_int_equal(sections, cli_verb_count);
	section = man_section(page, ".SH", "OPTIONS");
	assert_non_null(section);
	for (size_t k = 0; k < cli_global_option_count; k++)
		expect_option(section, &cli_global_options[k]);
	expect_no_other_option(NULL, section);
	free(section);
	free(page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_usage_is_exit_code_2),
		cmocka_unit_test(help_names_every_verb_and_option),
		cmocka_unit_test(verbs_are_whole),
		cmocka_unit_test(a_socket_that_is_not_there_is_exit_code_3),
		cmocka_unit_test(a_connection_that_breaks_is_exit_code_3),
		cmocka_unit_test(answers_that_are_no_lists_are_refused),
		cmocka_unit_test(get_shows_a_table),
		cmocka_unit_test(lists_are_read_page_by_page),
		cmocka_unit_test(one_resource_is_shown_whole),
		cmocka_unit_test(functions_have_namespaces),
		cmocka_unit_test(delete_says_what_it_did),
		cmocka_unit_test(delete_tells_programs),
		cmocka_unit_test(apply_checks_all_before_it_changes_anything),
		cmocka_unit_test(apply_says_what_it_did),
		cmocka_unit_test(plan_of_a_new_one_shows_what_its_manifest_says),
		cmocka_unit_test(apply_that_fails_half_way_says_so),
		cmocka_unit_test(manifests_without_a_resource_are_refused_with_their_line),
		cmocka_unit_test(namespaces_come_from_the_manifest_or_from_n),
		cmocka_unit_test(delete_by_manifest_goes_backwards),
		cmocka_unit_test(stats_are_tables),
		cmocka_unit_test(top_is_plain_without_a_terminal),
		cmocka_unit_test(status_tells_what_is_wrong),
		cmocka_unit_test(events_are_lines),
		cmocka_unit_test(explain_finds_the_longest_prefix),
		cmocka_unit_test(explain_tells_why_an_instance_is_there),
		cmocka_unit_test(scale_and_drain_patch),
		cmocka_unit_test(call_needs_a_gateway_with_an_address),
		cmocka_unit_test(doctor_looks_below_its_root),
		cmocka_unit_test(the_man_page_is_true),
	};

	// The fake's clients may leave before its answer.
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, cleanup);
}
