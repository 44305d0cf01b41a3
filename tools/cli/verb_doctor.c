// SPDX-License-Identifier: Apache-2.0
// doctor: runs the checks and prints, for what is missing, the command that mends it. Needs no
// daemon.
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/cli/doctor.h"
#include "tools/cli/output.h"

struct values {
	const char *root;
};

static const struct option options[] = {
	{0, "root", "DIRECTORY", "look at the system that is mounted there", OPTION_TEXT,
		offsetof(struct values, root)},
};

static const char *const state_names[] = {
	[DOCTOR_OK] = "ok",
	[DOCTOR_WARN] = "warn",
	[DOCTOR_FAIL] = "FAIL",
};

static json_t *finding_json(const struct doctor_check *check, const struct doctor_finding *f)
{
	json_t *value = json_pack("{s:s, s:s, s:s, s:s}", "check", check->name, "state",
		f->state == DOCTOR_FAIL ? "fail" : state_names[f->state], "found", f->found,
		"needed_for", check->why);

	if (f->mend[0])
		json_object_set_new(value, "mend", json_string(f->mend));
	return value;
}

static void print_finding(
	struct cli *cli, const struct doctor_check *check, const struct doctor_finding *f)
{
	fprintf(cli->out, "%-5s %-11s %s\n", state_names[f->state], check->name, f->found);
	if (f->mend[0])
		fprintf(cli->out, "%18smend: %s\n", "", f->mend);
}

static enum cli_exit run_checks(struct cli *cli, const struct doctor *d)
{
	bool people = cli->format != FORMAT_JSON && cli->format != FORMAT_YAML;
	json_t *list = json_array();
	size_t count[3] = {0};

	for (size_t i = 0; i < doctor_check_count; i++) {
		struct doctor_finding f = {0};

		doctor_checks[i].run(d, &f);
		count[f.state]++;
		if (people)
			print_finding(cli, &doctor_checks[i], &f);
		else
			json_array_append_new(list, finding_json(&doctor_checks[i], &f));
	}
	if (people)
		fprintf(cli->out, "%zu ok, %zu warnings, %zu failed%s\n", count[DOCTOR_OK],
			count[DOCTOR_WARN], count[DOCTOR_FAIL],
			count[DOCTOR_FAIL] ? ": what failed is required"
					   : ": Penstock can run here");
	else
		output_value(cli, list);
	json_decref(list);
	return count[DOCTOR_FAIL] ? CLI_REFUSED : CLI_DONE;
}

static enum cli_exit run(struct cli *cli, const void *values, int argc, char **argv)
{
	const struct values *v = values;
	const struct passwd *user = getpwuid(getuid());
	struct doctor d = {
		.root = v->root ? v->root : "",
		.socket = cli->socket,
		.uid = geteuid(),
		.user = user ? user->pw_name : "$USER",
	};

	return run_checks(cli, &d);
}

const struct verb verb_doctor = {
	.name = "doctor",
	.words = "",
	.summary = "Check this machine: what is missing, and the command that mends it",
	.about = "Exit code 1 if something required is missing; warnings are about what only some "
		 "need.",
	.examples = "penstock doctor\nsudo penstock doctor --json",
	.options = options,
	.option_count = sizeof(options) / sizeof(options[0]),
	.values_bytes = sizeof(struct values),
	.run = run,
};
