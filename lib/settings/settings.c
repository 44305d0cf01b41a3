// SPDX-License-Identifier: Apache-2.0
// Flags, --help, and the order in which settings are read: the file that --config names, then the
// flags.
#include "lib/settings/settings.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "lib/settings/internal.h"

#define FLAG_COLUMN 24

static void print_text(FILE *out, const char *text)
{
	for (; *text; text++) {
		fputc(*text, out);
		if (*text == '\n')
			fprintf(out, "%*s", FLAG_COLUMN, "");
	}
	fputc('\n', out);
}

static void print_flag(FILE *out, const char *name, const char *value, const char *help)
{
	int width = fprintf(out, "  --%s%s%s ", name, value ? " " : "", value ? value : "");

	if (width > FLAG_COLUMN)
		width = fprintf(out, "\n") - 1;
	fprintf(out, "%*s", FLAG_COLUMN - width, "");
	print_text(out, help);
}

static void print_help(const struct settings *s, FILE *out)
{
	char config[256];

	snprintf(config, sizeof(config), "the same names as YAML, flags win [%s, if it is there]",
		s->file);
	fprintf(out, "%s: %s\n\nusage: %s %s\n\n", s->program, s->about, s->program, s->usage);
	for (size_t i = 0; i < s->count; i++)
		print_flag(out, s->table[i].name, s->table[i].value, s->table[i].help);
	print_flag(out, "config", "FILE", config);
	print_flag(out, "version", NULL, "print the version");
	print_flag(out, "help", NULL, "print this");
	if (s->notes)
		fprintf(out, "\n%s\n", s->notes);
}

struct flag {
	const struct setting *setting; // NULL: --config
	const char *value;
};

// The flag at argv[*i] and its value, which may be the next argument; *i moves to the last one
// read.
static int next_flag(struct settings_reading *r, int argc, char **argv, int *i, struct flag *flag)
{
	const char *name = argv[*i] + 2;
	size_t len = strncmp(argv[*i], "--", 2) == 0 ? strcspn(name, "=") : 0;
	bool takes;

	flag->setting = settings_find(r->settings, name, len);
	flag->value = NULL;
	if (!flag->setting && !(len == 6 && memcmp(name, "config", 6) == 0)) {
		snprintf(r->why, SETTINGS_WHY_MAX,
			len ? "unrecognized option '%.100s'; --help lists them"
			    : "'%.100s' is not a flag; --help lists them",
			argv[*i]);
		return -EINVAL;
	}
	takes = !flag->setting || flag->setting->kind != SETTING_SWITCH;
	if (name[len])
		flag->value = name + len + 1;
	else if (takes && *i + 1 < argc)
		flag->value = argv[++*i];
	if (!takes || flag->value)
		return 0;
	snprintf(r->why, SETTINGS_WHY_MAX, "--%.100s needs a value; --help says which", name);
	return -EINVAL;
}

// Looks whether all are flags, and for the file.
static int check_flags(struct settings_reading *r, int argc, char **argv, const char **config)
{
	struct flag flag;
	int error = 0;

	for (int i = 1; !error && i < argc; i++) {
		error = next_flag(r, argc, argv, &i, &flag);
		if (!error && !flag.setting)
			*config = flag.value;
	}
	return error;
}

static int set_flags(struct settings_reading *r, int argc, char **argv)
{
	char why[SETTINGS_WHY_MAX];
	struct flag flag;

	r->begun = 0;
	for (int i = 1; i < argc; i++) {
		if (next_flag(r, argc, argv, &i, &flag))
			return -EINVAL;
		if (!flag.setting || settings_set(r, flag.setting, flag.value) == 0)
			continue;
		memcpy(why, r->why, sizeof(why));
		snprintf(r->why, SETTINGS_WHY_MAX, "--%.*s", SETTINGS_WHY_MAX - 3, why);
		return -EINVAL;
	}
	return 0;
}

// A file that was asked for must be there; the usual one need not.
static int read_file(struct settings_reading *r, const char *config)
{
	const char *path = config ? config : r->settings->file;
	FILE *file = fopen(path, "re");
	int error;

	if (!file && !config && errno == ENOENT)
		return 0;
	if (!file) {
		snprintf(r->why, SETTINGS_WHY_MAX, "cannot read %.400s: %s", path, strerror(errno));
		return -EINVAL;
	}
	r->begun = 0;
	error = settings_read_yaml(r, file, path);
	fclose(file);
	return error;
}

enum settings_result settings_read(
	const struct settings *s, void *values, int argc, char **argv, FILE *out, FILE *err)
{
	struct settings_reading r = {.settings = s, .values = values};
	const char *config = NULL;

	assert(s->count <= SETTINGS_MAX && "a bit for each");
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			print_help(s, out);
			return SETTINGS_EXIT;
		}
		if (strcmp(argv[i], "--version") == 0) {
			fprintf(out, "%s %s\n", s->program, PENSTOCK_VERSION);
			return SETTINGS_EXIT;
		}
	}
	if (check_flags(&r, argc, argv, &config) == 0 && read_file(&r, config) == 0 &&
		set_flags(&r, argc, argv) == 0)
		return SETTINGS_RUN;
	fprintf(err, "%s: %s\n", s->program, r.why);
	return SETTINGS_WRONG;
}
