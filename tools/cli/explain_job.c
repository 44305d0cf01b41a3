// SPDX-License-Identifier: Apache-2.0
// explain: why a function or job has the instances it has: counts, what found no room and why, how
// its new version is rolled out, when it is launched; and single evaluations.
#include <stdlib.h>
#include <string.h>

#include "tools/cli/api.h"
#include "tools/cli/explain.h"
#include "tools/cli/format.h"
#include "tools/cli/nouns.h"
#include "tools/cli/output.h"
#include "tools/cli/plan_view.h"

// Text of others, cleaned.
struct cell {
	char text[512];
};

static const char *text(const json_t *value, const char *path, struct cell *cell)
{
	format_plain(json_at(value, path), cell->text, sizeof(cell->text));
	format_clean(cell->text);
	return cell->text;
}

static long long number(const json_t *value, const char *path)
{
	return (long long)json_integer_value(json_at(value, path));
}

// ---- what an evaluation saw ----

static void print_seen(FILE *out, const json_t *seen)
{
	struct cell a;
	char excluded[400];
	json_t *node;
	size_t i;

	if (number(seen, "failed") && number(seen, "considered")) {
		plan_excluded(json_at(seen, "excluded_nodes"), excluded, sizeof(excluded));
		fprintf(out, "  excluded of %lld nodes: %s\n", number(seen, "considered"),
			*excluded ? excluded : "none");
	} else if (number(seen, "failed") && !number(seen, "over_quota")) {
		fputs("  there is no node: start penstock-fnhost\n", out);
	}
	if (number(seen, "over_quota"))
		fprintf(out, "  %lld are beyond the quota of the namespace\n",
			number(seen, "over_quota"));
	json_array_foreach(json_at(seen, "best"), i, node) fprintf(out, "  %s %s (score %.3f)\n",
		i ? "then" : "best node:", text(node, "node", &a),
		json_real_value(json_at(node, "score")));
}

static void print_evaluation(FILE *out, const json_t *e)
{
	struct cell a, b, c;

	fprintf(out, "Evaluation %s, %s, because %s", text(e, "metadata.name", &a),
		text(e, "status.state", &b), text(e, "spec.because", &c));
	if (number(e, "status.considered") || number(e, "status.wanted"))
		fprintf(out, ": %s", text(e, "status.text", &a));
	fputs(".\n", out);
	print_seen(out, json_at(e, "status"));
	if (json_at(e, "status.waits_for"))
		fprintf(out, "  it waits for %s\n", text(e, "status.waits_for", &a));
	if (json_at(e, "spec.wait_until") && strcmp(b.text, "pending") == 0)
		fprintf(out, "  it begins at %s\n", text(e, "spec.wait_until", &a));
	if (number(e, "status.conflicts"))
		fprintf(out, "  %lld node plans met with others' and were made again\n",
			number(e, "status.conflicts"));
}

enum cli_exit explain_evaluation(struct cli *cli, const char *id)
{
	char *path = noun_path(noun_find("evaluation"), NULL, id);
	struct api_reply reply = {0};
	enum cli_exit exit = path ? api_get(cli, path, &reply) : CLI_REFUSED;
	struct cell a, b;

	if (exit != CLI_DONE)
		api_complain(cli, id, &reply);
	else if (output_is_data(cli))
		output_value(cli, reply.body);
	else {
		fprintf(cli->out, "Of %s/%s, priority %lld.\n",
			text(reply.body, "metadata.namespace", &a),
			text(reply.body, "spec.job", &b), number(reply.body, "spec.priority"));
		print_evaluation(cli->out, reply.body);
	}
	api_reply_end(&reply);
	free(path);
	return exit;
}

// ---- a function or job ----

static void print_counts(FILE *out, const json_t *status)
{
	static const char *const counts[][2] = {
		{"pending", "pending"},
		{"starting", "starting"},
		{"running", "running"},
		{"ready", "ready"},
		{"unknown", "on nodes not heard of"},
		{"stopping", "stopping"},
		{"complete", "complete"},
		{"failed", "failed"},
		{"lost", "lost"},
	};
	// Of a function `running` counts calls; of a job, which has a state, instances.
	bool job = json_at(status, "state") != NULL;
	const char *skipped = !job ? "running" : number(status, "running") ? "ready" : "";
	const char *between = " ";

	fputs("Its instances:", out);
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		long long n = number(status, counts[i][0]);

		// A job's are ready when they run.
		if (!n || strcmp(counts[i][0], skipped) == 0)
			continue;
		fprintf(out, "%s%lld %s", between, n, counts[i][1]);
		between = ", ";
	}
	fputs(*between == ',' ? ".\n" : " none.\n", out);
}

static void print_rollout(FILE *out, const json_t *deployment)
{
	struct cell a, b;
	json_t *group;
	size_t i;

	if (!deployment)
		return;
	fprintf(out, "The rollout of version %lld is %s: %s.\n", number(deployment, "version"),
		text(deployment, "state", &a), text(deployment, "text", &b));
	json_array_foreach(json_at(deployment, "groups"), i, group)
	{
		fprintf(out, "  %s: %lld of %lld are healthy", text(group, "name", &a),
			number(group, "healthy"), number(group, "desired"));
		if (number(group, "unhealthy"))
			fprintf(out, ", %lld failed", number(group, "unhealthy"));
		if (number(group, "canaries"))
			fprintf(out, "; %lld canar%s, %s", number(group, "canaries"),
				number(group, "canaries") == 1 ? "y" : "ies",
				json_is_true(json_at(group, "promoted")) ? "promoted"
									 : "not promoted");
		fputc('\n', out);
	}
	if (json_is_true(json_at(deployment, "waits_for_promotion")))
		fputs("  it waits for `penstock rollout promote`\n", out);
}

static void print_launches(FILE *out, const json_t *status)
{
	struct cell a;

	if (json_at(status, "launch.next"))
		fprintf(out, "It is launched next at %s", text(status, "launch.next", &a));
	else if (json_at(status, "launch"))
		fputs("It is not launched any more", out);
	if (json_at(status, "launch"))
		fprintf(out, "; %lld launches so far, %lld skipped.\n",
			number(status, "launch.launches"), number(status, "launch.skips"));
	if (json_at(status, "children"))
		fprintf(out,
			"Of the jobs it has made %lld have not ended, %lld have ended and are "
			"kept.\n",
			number(status, "children.alive"), number(status, "children.ended"));
}

// What one saw that ended, the one it has made and that waits has seen again.
static bool goes_on(const json_t *list, const json_t *e)
{
	const char *id = json_string_value(json_at(e, "metadata.name"));
	json_t *other;
	size_t i;

	json_array_foreach(list, i, other)
	{
		if (id && json_at(other, "status.waits_for") &&
			(unsigned long long)number(other, "spec.previous") ==
				strtoull(id, NULL, 10))
			return true;
	}
	return false;
}

static enum cli_exit print_evaluations(struct cli *cli, const json_t *resource)
{
	struct cell ns, name;
	char query[200];
	enum cli_exit exit;
	json_t *list, *e;
	size_t i;

	snprintf(query, sizeof(query), "job=%.63s%%2F%.63s",
		text(resource, "metadata.namespace", &ns), text(resource, "metadata.name", &name));
	list = api_list(cli, "/v1/evaluations", query, &exit);
	json_array_foreach(list, i, e)
	{
		if (!goes_on(list, e))
			print_evaluation(cli->out, e);
	}
	json_decref(list);
	return exit;
}

static enum cli_exit print(struct cli *cli, const json_t *resource)
{
	const json_t *status = json_at(resource, "status");
	struct cell a, b, c;

	fprintf(cli->out, "%s %s/%s", text(resource, "kind", &a),
		text(resource, "metadata.namespace", &b), text(resource, "metadata.name", &c));
	if (json_at(status, "state"))
		fprintf(cli->out, " is %s", text(status, "state", &a));
	if (json_at(status, "parent"))
		fprintf(cli->out, "; made by %s", text(status, "parent", &a));
	fputs(".\n", cli->out);
	if (!json_at(status, "children"))
		print_counts(cli->out, status);
	print_rollout(cli->out, json_at(status, "deployment"));
	print_launches(cli->out, status);
	return print_evaluations(cli, resource);
}

enum cli_exit explain_job(struct cli *cli, const struct noun *noun, const char *name)
{
	char *path = noun_path(noun, cli_namespace(cli), name);
	struct api_reply reply = {0};
	enum cli_exit exit = path ? api_get(cli, path, &reply) : CLI_REFUSED;

	if (exit != CLI_DONE)
		api_complain(cli, name, &reply);
	else if (output_is_data(cli))
		output_value(cli, reply.body);
	else
		exit = print(cli, reply.body);
	api_reply_end(&reply);
	free(path);
	return exit;
}
