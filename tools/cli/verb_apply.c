// SPDX-License-Identifier: Apache-2.0
// apply, plan: manifests to resources.
//
// Both ask the control plane about every document first (dry_run), so that a fault in the last one
// is found before the first one changes anything.
#include <stdlib.h>
#include <string.h>

#include "tools/cli/api.h"
#include "tools/cli/batch.h"
#include "tools/cli/change_view.h"
#include "tools/cli/output.h"
#include "tools/cli/plan_view.h"

struct values {
	struct option_list files;
	bool dry_run;
};

static const struct option apply_options[] = {
	{'f', "file", "FILE",
		"manifests: a file, a directory, or - for standard input; may be repeated",
		OPTION_LIST, offsetof(struct values, files)},
	{0, "dry-run", NULL, "say what would be done, change nothing", OPTION_FLAG,
		offsetof(struct values, dry_run)},
};

static const struct option plan_options[] = {
	{'f', "file", "FILE",
		"manifests: a file, a directory, or - for standard input; may be repeated",
		OPTION_LIST, offsetof(struct values, files)},
};

// What one document comes to.
struct step {
	json_t *plan;  // of the dry run: action, changes, object
	json_t *after; // the resource, once it is applied
};

static const char *step_change(const struct step *step)
{
	static const struct {
		const char *action, *change;
	} words[] = {{"create", "created"}, {"update", "configured"}, {"none", "unchanged"}};
	const char *action = json_string_value(json_object_get(step->plan, "action"));

	for (size_t i = 0; action && i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(action, words[i].action) == 0)
			return words[i].change;
	}
	return "applied";
}

static bool creates(const struct step *step)
{
	const char *action = json_string_value(json_object_get(step->plan, "action"));

	return action && strcmp(action, "create") == 0;
}

// The answer's body goes to *body.
static enum cli_exit put(
	struct cli *cli, const struct batch_item *item, bool dry_run, json_t **body)
{
	struct api_reply reply;
	char *path = NULL;
	enum cli_exit exit;

	if (asprintf(&path, "%s%s", item->path, dry_run ? "?dry_run=1" : "") < 0)
		return CLI_REFUSED;
	exit = api_call(cli,
		&(struct api_request){.method = "PUT", .path = path, .body = item->doc->value},
		&reply);
	if (exit == CLI_REFUSED)
		batch_complain(cli, item->doc, reply.field, reply.message);
	if (exit == CLI_DONE)
		*body = json_incref(reply.body);
	api_reply_end(&reply);
	free(path);
	return exit;
}

// Asks about all documents; goes on after a refusal, so that all faults are shown at once.
static enum cli_exit check_all(struct cli *cli, const struct batch *batch, struct step *steps)
{
	enum cli_exit exit = CLI_DONE;

	for (size_t i = 0; i < batch->count; i++) {
		enum cli_exit one = put(cli, &batch->items[i], true, &steps[i].plan);

		if (one == CLI_UNREACHABLE)
			return one;
		if (one != CLI_DONE)
			exit = one;
	}
	return exit;
}

static enum cli_exit put_all(struct cli *cli, const struct batch *batch, struct step *steps)
{
	for (size_t i = 0; i < batch->count; i++) {
		enum cli_exit exit = put(cli, &batch->items[i], false, &steps[i].after);

		if (exit == CLI_DONE)
			continue;
		cli_complain(cli, "stopped: %zu of %zu were applied; apply again when it is mended",
			i, batch->count);
		return exit;
	}
	return CLI_DONE;
}

static json_t *steps_json(const struct batch *batch, const struct step *steps)
{
	json_t *list = json_array();

	for (size_t i = 0; i < batch->count; i++) {
		json_t *result =
			steps[i].after ? steps[i].after : json_object_get(steps[i].plan, "object");

		json_array_append_new(
			list, json_pack("{s:s, s:s, s:O*, s:O*, s:O*}", "resource",
				      batch->items[i].title, "change", step_change(&steps[i]),
				      "changes", json_object_get(steps[i].plan, "changes"), "plan",
				      json_object_get(steps[i].plan, "plan"), "result", result));
	}
	return list;
}

static void print_steps(struct cli *cli, const struct batch *batch, const struct step *steps,
	bool diff, const char *note)
{
	json_t *list;

	if (output_is_data(cli)) {
		list = steps_json(batch, steps);
		output_value(cli, list);
		json_decref(list);
		return;
	}
	for (size_t i = 0; i < batch->count; i++) {
		if (cli->format == FORMAT_NAME) {
			fprintf(cli->out, "%s\n", batch->items[i].title);
			continue;
		}
		fprintf(cli->out, "%s %s%s\n", batch->items[i].title, step_change(&steps[i]), note);
		if (!diff)
			continue;
		change_print(cli->out, json_object_get(steps[i].plan, "changes"),
			creates(&steps[i]) ? batch->items[i].doc->value : NULL);
		plan_print(cli->out, json_object_get(steps[i].plan, "plan"));
	}
}

static enum cli_exit run(struct cli *cli, const struct values *values, bool dry_run, bool diff)
{
	struct batch batch;
	struct step *steps = NULL;
	enum cli_exit exit = batch_load(cli, &values->files, &batch);

	if (exit != CLI_DONE)
		goto out;
	steps = calloc(batch.count, sizeof(*steps));
	exit = steps ? check_all(cli, &batch, steps) : CLI_REFUSED;
	if (exit == CLI_DONE && !dry_run)
		exit = put_all(cli, &batch, steps);
	else if (exit == CLI_REFUSED)
		cli_complain(cli, "nothing was applied");
	if (exit == CLI_DONE)
		print_steps(cli, &batch, steps, diff, dry_run ? " (dry run)" : "");
out:
	for (size_t i = 0; steps && i < batch.count; i++) {
		json_decref(steps[i].plan);
		json_decref(steps[i].after);
	}
	free(steps);
	batch_fini(&batch);
	return exit;
}

static enum cli_exit run_apply(struct cli *cli, const void *values, int argc, char **argv)
{
	const struct values *v = values;

	return run(cli, v, v->dry_run, false);
}

static enum cli_exit run_plan(struct cli *cli, const void *values, int argc, char **argv)
{
	return run(cli, values, true, true);
}

const struct verb verb_apply = {
	.name = "apply",
	.words = "-f FILE",
	.summary = "Create or change resources as manifests say",
	.about = "All documents are checked before the first one is applied. Faults are shown as "
		 "FILE:LINE: field: why.",
	.examples = "penstock apply -f orders.yaml\npenstock apply -f manifests/\ncat gw1.yaml | "
		    "penstock apply -f -",
	.options = apply_options,
	.option_count = sizeof(apply_options) / sizeof(apply_options[0]),
	.values_bytes = sizeof(struct values),
	.run = run_apply,
};

const struct verb verb_plan = {
	.name = "plan",
	.words = "-f FILE",
	.summary = "Show what apply would change, and what the scheduler would do then",
	.about = "+, - and ~ are fields that come, go and change; of what is created, those that\n"
		 "the manifest leaves to their defaults are in --json alone. Behind > stands what\n"
		 "the scheduler would place (and where), replace, stop and preempt, and for what\n"
		 "there is no room, and why; each manifest is looked at by itself, on the cluster\n"
		 "as it is now.",
	.examples = "penstock plan -f orders.yaml",
	.options = plan_options,
	.option_count = sizeof(plan_options) / sizeof(plan_options[0]),
	.values_bytes = sizeof(struct values),
	.run = run_plan,
};
