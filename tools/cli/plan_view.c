// SPDX-License-Identifier: Apache-2.0
// The lines of plan_view.h. Pure.
#include "tools/cli/plan_view.h"

#include <stdbool.h>
#include <string.h>

#include "tools/cli/format.h"

#define NODES_SHOWN 8

static long long number(const json_t *plan, const char *name)
{
	return (long long)json_integer_value(json_object_get(plan, name));
}

static const char *text(const json_t *value, const char *name)
{
	const char *found = json_string_value(json_object_get(value, name));

	return found ? found : "?";
}

static const char *plural(long long n)
{
	return n == 1 ? "" : "s";
}

const char *plan_excluded(const json_t *excluded_nodes, char *text, size_t size)
{
	const char *what;
	json_t *nodes;
	size_t n = 0;

	*text = '\0';
	json_object_foreach((json_t *)(uintptr_t)excluded_nodes, what, nodes)
	{
		if (n < size)
			n += (size_t)snprintf(text + n, size - n, "%s%lld by %s", n ? ", " : "",
				(long long)json_integer_value(nodes), what);
	}
	format_clean(text);
	return text;
}

static void print_places(FILE *out, const json_t *plan, const char *least)
{
	long long count = number(plan, "place") + number(plan, "replace_now");
	long long nodes = number(plan, "node_count");
	char name[80];
	size_t i;
	json_t *at;

	if (!count)
		return;
	fprintf(out, "  > place %s%lld on %lld node%s:", least, count, nodes, plural(nodes));
	json_array_foreach(json_object_get(plan, "nodes"), i, at)
	{
		if (i == NODES_SHOWN)
			break;
		snprintf(name, sizeof(name), "%s", text(at, "node"));
		format_clean(name);
		fprintf(out, "%s %s %lld (score %.3f)", i ? "," : "", name, number(at, "instances"),
			json_real_value(json_object_get(at, "score")));
	}
	fputs(nodes > NODES_SHOWN ? ", ...\n" : "\n", out);
}

static void print_changes(FILE *out, const json_t *plan, const char *least)
{
	long long replace = number(plan, "replace"), now = number(plan, "replace_now");
	long long canaries = number(plan, "canaries");

	if (canaries)
		fprintf(out,
			"  > try version %lld with %lld canar%s; the rest follows its promotion\n",
			number(plan, "version"), canaries, canaries == 1 ? "y" : "ies");
	if (replace)
		fprintf(out, "  > replace %s%lld by version %lld, %lld of them at once\n", least,
			replace, number(plan, "version"), now);
	if (number(plan, "update"))
		fprintf(out, "  > take %s%lld into version %lld as they run\n", least,
			number(plan, "update"), number(plan, "version"));
	if (number(plan, "stop"))
		fprintf(out, "  > stop %s%lld\n", least, number(plan, "stop"));
	if (number(plan, "lost"))
		fprintf(out, "  > give up %lld whose nodes are gone\n", number(plan, "lost"));
}

static void print_preempted(FILE *out, const json_t *plan)
{
	char ns[80], name[80];
	size_t i;
	json_t *job;

	json_array_foreach(json_object_get(plan, "preempted"), i, job)
	{
		snprintf(ns, sizeof(ns), "%s", text(job, "namespace"));
		snprintf(name, sizeof(name), "%s", text(job, "name"));
		format_clean(ns);
		format_clean(name);
		fprintf(out, "  > stop %lld of %s/%s, whose priority is %lld, to make room\n",
			number(job, "instances"), ns, name, number(job, "priority"));
	}
}

static void print_unplaced(FILE *out, const json_t *plan)
{
	long long unplaced = number(plan, "unplaced"), considered = number(plan, "considered");
	char excluded[400], group[80] = "";

	if (!unplaced)
		return;
	if (json_object_get(plan, "group"))
		snprintf(group, sizeof(group), " (group %s)", text(plan, "group"));
	format_clean(group);
	fprintf(out, "  > NO ROOM for %lld%s", unplaced, group);
	if (number(plan, "over_quota"))
		fprintf(out, "; %lld are beyond the quota of the namespace",
			number(plan, "over_quota"));
	plan_excluded(json_object_get(plan, "excluded_nodes"), excluded, sizeof(excluded));
	if (*excluded)
		fprintf(out, "; excluded of %lld node%s: %s", considered, plural(considered),
			excluded);
	else if (!considered && !number(plan, "over_quota"))
		fputs("; there is no node", out);
	fputc('\n', out);
}

void plan_print(FILE *out, const json_t *plan)
{
	static const char *const counts[] = {
		"place", "replace", "update", "stop", "lost", "unplaced", "canaries"};
	const char *least = json_is_true(json_object_get(plan, "at_least")) ? "at least " : "";
	bool any = false;

	if (!plan)
		return;
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		any |= number(plan, counts[i]) > 0;
	if (json_object_get(plan, "next_launch"))
		fprintf(out, "  > launch it next at %s\n", text(plan, "next_launch"));
	else if (!any)
		fputs("  > nothing to start or stop\n", out);
	print_places(out, plan, least);
	print_changes(out, plan, least);
	print_preempted(out, plan);
	print_unplaced(out, plan);
	if (json_object_get(plan, "next_try"))
		fprintf(out, "  > what failed is tried again at %s\n", text(plan, "next_try"));
}
