// SPDX-License-Identifier: Apache-2.0
// tools/cli: what it shows and does of jobs, evaluations, plans, rollouts and logs, against a
// control socket that answers from a script. What the real one answers is in test/smoke/cli.sh and
// jobs.sh.
#include <signal.h>

#include "test/unit/cli_fixture.h"

static void logs_of_one_and_of_all(void **state)
{
	struct fake f;
	const struct answer answers[] = {
		{"GET /v1/instances/aaaaaaaa11/logs?tail=7 ", 200, "one\ntwo\n"},
		{"GET /v1/functions/default/echo ", 200, "{}"},
		{"GET /v1/functions/default/echo/logs?tail=100 ", 200, "a | one\nb | two\n"},
		{"GET /v1/functions/img/echo ", 200, "{}"},
		{"GET /v1/functions/img/echo/logs?tail=100&follow=1 ", 200, "c | three\n"},
		{"GET /v1/jobs/default/import/logs?tail=5&instance=3 ", 200, "main-3 | four\n"},
		{"GET /v1/jobs/default/import/logs?tail=100 ", 200, "main-0 | five\n"},
		END,
	};

	assert_int_equal(run_with(&f, answers, "logs aaaaaaaa11 --tail 7"), CLI_DONE);
	assert_string_equal(out_text, "one\ntwo\n");
	assert_int_equal(run_with(&f, answers, "logs echo"), CLI_DONE);
	assert_string_equal(out_text, "a | one\nb | two\n");
	assert_int_equal(run_with(&f, answers, "logs img/echo -f"), CLI_DONE);
	assert_string_equal(out_text, "c | three\n");
	assert_int_equal(run_with(&f, answers, "logs function/echo"), CLI_DONE);
	assert_int_equal(run_with(&f, answers, "logs job import --tail 5 -i 3"), CLI_DONE);
	assert_string_equal(out_text, "main-3 | four\n");
	// What is no function may be a job.
	assert_int_equal(run_with(&f, answers, "logs import"), CLI_DONE);
	assert_string_equal(out_text, "main-0 | five\n");
	assert_int_equal(run_with(&f, answers, "logs none"), CLI_REFUSED);
	assert_int_equal(run("logs gateway gw1"), CLI_USAGE);
	expect_text(err_text, "gateways have no logs of their own");
	assert_int_equal(run("logs instance aaaaaaaa11 -i 3"), CLI_USAGE);
}

// Of one instance they come as it wrote them.
static void logs_keep_empty_lines_and_an_unfinished_one(void **state)
{
	struct fake f;
	const struct answer answers[] = {
		{"GET /v1/jobs/default/sum/logs", 200, "42"},
		{"GET /v1/jobs/default/poem/logs", 200, "\none\n\ntwo\n\n"},
		{"GET /v1/jobs/default/mute/logs", 200, ""},
		END,
	};

	assert_int_equal(run_with(&f, answers, "logs job sum"), CLI_DONE);
	assert_string_equal(out_text, "42\n");
	assert_int_equal(run_with(&f, answers, "logs job poem"), CLI_DONE);
	assert_string_equal(out_text, "\none\n\ntwo\n\n");
	assert_int_equal(run_with(&f, answers, "logs job mute"), CLI_DONE);
	assert_string_equal(out_text, "");
}

static void a_templated_job_is_run(void **state)
{
	struct fake f;
	const struct answer answers[] = {
		{"POST /v1/jobs/default/render/dispatch ", 201,
			"{\"namespace\":\"default\",\"job\":\"render-00ff\",\"created\":true}"},
		{"POST /v1/jobs/img/render/dispatch ", 200,
			"{\"namespace\":\"img\",\"job\":\"render-00ff\",\"created\":false}"},
		{"POST /v1/jobs/default/plain/dispatch ", 400,
			"{\"error\":{\"message\":\"it is no template\"}}"},
		END,
	};

	assert_int_equal(run_with(&f, answers,
				 "run job render --data scene-7 --meta zoom=12 --meta mode=a=b"),
		CLI_DONE);
	assert_string_equal(
		f.body, "{\"text\":\"scene-7\",\"meta\":{\"zoom\":\"12\",\"mode\":\"a=b\"}}");
	assert_string_equal(out_text, "job/render-00ff made of job/render\n");
	assert_int_equal(run_with(&f, answers, "run job/render -n img --token once"), CLI_DONE);
	assert_string_equal(f.body, "{\"token\":\"once\"}");
	assert_string_equal(out_text,
		"job/img/render-00ff was made before of job/render, with the same token\n");
	assert_int_equal(run_with(&f, answers, "run job render -o name"), CLI_DONE);
	assert_string_equal(out_text, "job/render-00ff\n");
	assert_int_equal(run_with(&f, answers, "run job render -f /dev/null"), CLI_DONE);
	assert_string_equal(f.body, "{\"payload\":\"\"}");
	assert_int_equal(run_with(&f, answers, "run job render -f /dev/zero"), CLI_REFUSED);
	expect_text(err_text, "is longer than 16384 bytes");
	assert_int_equal(run_with(&f, answers, "run job render -d \xff\xfe"), CLI_DONE);
	assert_string_equal(f.body, "{\"payload\":\"//4=\"}");
	assert_int_equal(run("run job render --token \xff"), CLI_USAGE);
	assert_int_equal(run("run job render --meta zoom=\xff"), CLI_USAGE);
	assert_int_equal(run("run job render --meta \xff=1"), CLI_USAGE);
	expect_text(err_text, "--meta takes UTF-8 text");
	assert_int_equal(run_with(&f, answers, "run job plain"), CLI_REFUSED);
	expect_text(err_text, "it is no template");
	assert_int_equal(run("run job render --meta zoom"), CLI_USAGE);
	assert_int_equal(run("run job render -d a -f b"), CLI_USAGE);
	assert_int_equal(run("run function render"), CLI_USAGE);
	assert_int_equal(run("run job"), CLI_USAGE);
}

static void rollouts_are_told_what_to_do(void **state)
{
	struct fake f;
	const struct answer answers[] = {
		{"POST /v1/functions/img/echo/deployment ", 200, "{\"state\":\"running\"}"},
		{"POST /v1/jobs/default/crawler/deployment ", 409,
			"{\"error\":{\"message\":\"not all canaries are ready\"}}"},
		END,
	};

	assert_int_equal(run_with(&f, answers, "rollout promote function img/echo"), CLI_DONE);
	assert_string_equal(f.body, "{\"action\":\"promote\"}");
	expect_text(out_text, "function/img/echo: the rollout is promoted");
	assert_int_equal(
		run_with(&f, answers, "rollout promote function img/echo --json"), CLI_DONE);
	assert_string_equal(out_text, "{\n  \"state\": \"running\"\n}\n");
	assert_int_equal(run_with(&f, answers, "rollout fail job/crawler"), CLI_REFUSED);
	assert_string_equal(f.body, "{\"action\":\"fail\"}");
	expect_text(err_text, "not all canaries are ready");
	assert_int_equal(run("rollout restart function echo"), CLI_USAGE);
	assert_int_equal(run("rollout pause node n1"), CLI_USAGE);
	assert_int_equal(run("rollout pause function"), CLI_USAGE);
}

static const char blocked[] =
	"{\"metadata\":{\"name\":\"12\",\"namespace\":\"default\"},\"spec\":{\"job\":\"import\","
	"\"priority\":50,\"previous\":11,\"trigger\":\"room\",\"because\":\"some found no room "
	"before\"},"
	"\"status\":{\"state\":\"blocked\",\"wanted\":5,\"placed\":3,\"failed\":2,"
	"\"considered\":4,\"text\":\"placed 3 of 5; 2 wait\",\"excluded_nodes\":{\"arch = "
	"arm\":3,\"memory\":1},\"best\":[{\"node\":\"n1\",\"score\":0.5}],\"waits_for\":\"room "
	"on node n\\u001b\"}}";

static void explain_job_tells_what_it_waits_for(void **state)
{
	char list[2000];
	struct fake f;
	const struct answer answers[] = {
		{"GET /v1/jobs/default/import ", 200,
			"{\"kind\":\"Job\",\"metadata\":{\"name\":\"import\",\"namespace\":"
			"\"default\"},"
			"\"status\":{\"state\":\"waiting\",\"instances\":5,\"running\":3,"
			"\"failed\":1,"
			"\"deployment\":{\"version\":4,\"state\":\"running\",\"text\":\"x\","
			"\"waits_for_promotion\":true,\"groups\":[{\"name\":\"main\",\"desired\":"
			"10,"
			"\"healthy\":2,\"canaries\":2,\"unhealthy\":1,\"promoted\":false}]},"
			"\"launch\":{\"next\":\"T\",\"launches\":7,\"skips\":1}}}"},
		{"GET /v1/evaluations?limit=500&job=default%2Fimport ", 200, list},
		{"GET /v1/evaluations/12 ", 200, blocked},
		END,
	};

	// What the one before it saw it has seen again.
	snprintf(list, sizeof(list),
		"{\"items\":[{\"metadata\":{\"name\":\"11\"},\"status\":{\"state\":\"complete\"}},%"
		"s]}",
		blocked);
	assert_int_equal(run_with(&f, answers, "explain job import"), CLI_DONE);
	assert_string_equal(out_text,
		"Job default/import is waiting.\n"
		"Its instances: 3 running, 1 failed.\n"
		"The rollout of version 4 is running: x.\n"
		"  main: 2 of 10 are healthy, 1 failed; 2 canaries, not promoted\n"
		"  it waits for `penstock rollout promote`\n"
		"It is launched next at T; 7 launches so far, 1 skipped.\n"
		"Evaluation 12, blocked, because some found no room before: placed 3 of 5; 2 "
		"wait.\n"
		"  excluded of 4 nodes: 3 by arch = arm, 1 by memory\n"
		"  best node: n1 (score 0.500)\n"
		"  it waits for room on node n?\n");
	// As `get jobs -o name` prints it.
	assert_int_equal(run_with(&f, answers, "explain job/import"), CLI_DONE);
	expect_text(out_text, "Job default/import");
	assert_int_equal(run("explain job"), CLI_USAGE);
	expect_text(err_text, "name the job");
	assert_int_equal(run_with(&f, answers, "explain evaluation 12"), CLI_DONE);
	expect_text(out_text, "Of default/import, priority 50.\nEvaluation 12, blocked");
	assert_int_equal(run_with(&f, answers, "explain function none"), CLI_REFUSED);
	assert_int_equal(run_with(&f, answers, "explain evaluation 13"), CLI_REFUSED);
}

// `running` of a function's status are calls.
static void explain_function_counts_instances(void **state)
{
	struct fake f;
	const struct answer answers[] = {
		{"GET /v1/functions/default/echo ", 200,
			"{\"kind\":\"Function\",\"metadata\":{\"name\":\"echo\",\"namespace\":"
			"\"default\"},\"status\":{\"instances\":22,\"ready\":20,\"starting\":2,"
			"\"queued\":4,\"running\":57,\"capacity\":160}}"},
		{"GET /v1/evaluations?limit=500&job=default%2Fecho ", 200, "{\"items\":[]}"},
		END,
	};

	assert_int_equal(run_with(&f, answers, "explain function echo"), CLI_DONE);
	assert_string_equal(out_text,
		"Function default/echo.\n"
		"Its instances: 2 starting, 20 ready.\n");
}

static void evaluations_come_in_their_order(void **state)
{
	struct fake f;
	const struct answer answers[] = {
		{"GET /v1/evaluations?limit=500&job=import&status=blocked ", 200,
			"{\"items\":[{\"metadata\":{\"name\":\"12\"}},{\"metadata\":{\"name\":"
			"\"9\"}}]}"},
		{"GET /v1/jobs?limit=500&parent=img%2Frender ", 200,
			"{\"items\":[{\"metadata\":{\"name\":\"render-00ff\",\"namespace\":\"img\"}}]}"},
		{"GET /v1/instances?limit=500&namespace=img&function=import&ended=1 ", 200,
			"{\"items\":[{\"metadata\":{\"name\":\"aa\"},\"spec\":{\"job\":\"import\","
			"\"group\":\"main\",\"index\":3,\"version\":1,\"node\":\"n1\"},\"status\":{"
			"\"state\":\"failed\",\"ready\":false,\"restarts\":0,\"exit\":{\"code\":0,"
			"\"signal\":9}}}]}"},
		END,
	};

	assert_int_equal(
		run_with(&f, answers, "get evaluations --of import --status blocked"), CLI_DONE);
	assert_true(strstr(out_text, "\n9 ") < strstr(out_text, "\n12 "));
	assert_int_equal(run_with(&f, answers, "get jobs --of img/render -o name"), CLI_DONE);
	assert_string_equal(out_text, "job/img/render-00ff\n");
	assert_int_equal(
		run_with(&f, answers, "get instances --of import --ended -n img"), CLI_DONE);
	expect_text(out_text, "aa  import        3      1        n1    failed  false  0         "
			      "signal 9  -\n");
}

static void describe_shows_what_belongs_to_it(void **state)
{
	struct fake f;
	const struct answer answers[] = {
		{"GET /v1/jobs/default/render ", 200,
			"{\"kind\":\"Job\",\"metadata\":{\"name\":\"render\",\"namespace\":"
			"\"default\"},"
			"\"status\":{\"state\":\"template\",\"children\":{\"alive\":1}}}"},
		{"GET /v1/instances?limit=20&function=default%2Frender&ended=1 ", 200,
			"{\"items\":[]}"},
		{"GET /v1/jobs?limit=20&parent=default%2Frender ", 200,
			"{\"items\":[{\"metadata\":{\"name\":\"render-00ff\"}}],\"next\":\"x\"}"},
		{"GET /v1/evaluations?limit=20&job=default%2Frender ", 200, "{\"items\":[]}"},
		{"GET /v1/events?after=0 ", 200, ""},
		END,
	};

	assert_int_equal(run_with(&f, answers, "describe job render"), CLI_DONE);
	expect_text(out_text, "Jobs made\n");
	expect_text(out_text, "render-00ff");
	expect_text(out_text, "... and more: penstock get jobs\n");
	assert_null(strstr(out_text, "Instances\n"));
}

static void plan_shows_what_the_scheduler_would_do(void **state)
{
	struct fake f;
	const struct answer answers[] = {
		{"PUT /v1/functions/default/echo?dry_run=1 ", 200,
			"{\"action\":\"update\",\"changes\":[],\"plan\":{\"version\":3,\"place\":2,"
			"\"replace\":12,\"replace_now\":3,\"update\":1,\"stop\":4,\"lost\":0,"
			"\"preempt\":2,\"unplaced\":5,\"at_least\":true,\"node_count\":2,"
			"\"nodes\":[{\"node\":\"n1\",\"instances\":4,\"score\":0.5},"
			"{\"node\":\"n2\",\"instances\":1,\"score\":0.25}],\"considered\":4,"
			"\"excluded_nodes\":{\"arch = arm\":3,\"memory\":1},\"preempted\":["
			"{\"namespace\":\"a\",\"name\":\"low\",\"priority\":10,\"instances\":2}]}"
			"}"},
		{"PUT /v1/functions/default/idle?dry_run=1 ", 200,
			"{\"action\":\"none\",\"changes\":[],\"plan\":{\"version\":1}}"},
		END,
	};
	char path[80], line[120];
	FILE *file;

	snprintf(path, sizeof(path), "/tmp/penstock-cli-plan-%d.yaml", (int)getpid());
	file = fopen(path, "w");
	fputs("apiVersion: penstock/v1\nkind: Function\nmetadata: {name: echo}\n---\n"
	      "apiVersion: penstock/v1\nkind: Function\nmetadata: {name: idle}\n",
		file);
	fclose(file);
	snprintf(line, sizeof(line), "plan -f %s", path);
	assert_int_equal(run_with(&f, answers, line), CLI_DONE);
	assert_string_equal(out_text,
		"function/echo configured (dry run)\n"
		"  > place at least 5 on 2 nodes: n1 4 (score 0.500), n2 1 (score 0.250)\n"
		"  > replace at least 12 by version 3, 3 of them at once\n"
		"  > take at least 1 into version 3 as they run\n"
		"  > stop at least 4\n"
		"  > stop 2 of a/low, whose priority is 10, to make room\n"
		"  > NO ROOM for 5; excluded of 4 nodes: 3 by arch = arm, 1 by memory\n"
		"function/idle unchanged (dry run)\n"
		"  > nothing to start or stop\n");
	snprintf(line, sizeof(line), "plan --json -f %s", path);
	assert_int_equal(run_with(&f, answers, line), CLI_DONE);
	expect_text(out_text, "\"replace_now\": 3");
	unlink(path);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(logs_of_one_and_of_all),
		cmocka_unit_test(logs_keep_empty_lines_and_an_unfinished_one),
		cmocka_unit_test(a_templated_job_is_run),
		cmocka_unit_test(rollouts_are_told_what_to_do),
		cmocka_unit_test(explain_job_tells_what_it_waits_for),
		cmocka_unit_test(explain_function_counts_instances),
		cmocka_unit_test(evaluations_come_in_their_order),
		cmocka_unit_test(describe_shows_what_belongs_to_it),
		cmocka_unit_test(plan_shows_what_the_scheduler_would_do),
	};

	// The fake's clients may leave before its answer.
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, cleanup);
}
