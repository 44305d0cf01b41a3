// SPDX-License-Identifier: Apache-2.0
// What the program of an instance is started with: arguments, and an environment in which nothing of the host's own
// is left but PATH. Functions are told their socket, jobs who they are and what was given to them.
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fnhost/instances.h"

#define PATH_BYTES 512
#define ENV_MAX 2048 // a job's and its group's: the control plane takes 1024 of each
#define OURS_MAX 16
#define STRINGS_MAX (ENV_MAX + META_MAX + OURS_MAX)
#define OURS "PENSTOCK_"

_Static_assert(STRINGS_MAX >= COMMAND_MAX, "each command that is taken can be started");

// Strings behind one another in one block of memory.
struct strings {
	char *list[STRINGS_MAX + 1];
	size_t count;
	bool full;
};

static void add(struct strings *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct strings *s, const char *format, ...)
{
	va_list args;
	char *text = NULL;

	va_start(args, format);
	if (s->count == STRINGS_MAX || vasprintf(&text, format, args) < 0)
		s->full = true;
	else
		s->list[s->count++] = text;
	va_end(args);
}

static char **take(const struct strings *s)
{
	char **list = calloc(s->count + 1, sizeof(*list));

	if (list)
		memcpy(list, s->list, s->count * sizeof(*list));
	for (size_t i = 0; !list && i < s->count; i++)
		free(s->list[i]);
	return list;
}

static void add_command(struct strings *s, const struct options *o, json_t *command)
{
	json_t *word;
	size_t i;

	json_array_foreach(command, i, word)
	{
		const char *text = json_string_value(word);
		char path[2 * OPTION_TEXT_MAX];

		snprintf(path, sizeof(path), "%s/%s", o->functions, text);
		// A plain name is looked for among our functions, then in PATH.
		add(s, "%s", i == 0 && !strchr(text, '/') && access(path, X_OK) == 0 ? path : text);
	}
}

// What a job's program is told.
static void add_job(struct strings *s, const struct instance *instance, const char *dir)
{
	const char *key;
	json_t *value;

	add(s, "PENSTOCK_JOB=%s", instance->name);
	add(s, "PENSTOCK_NAMESPACE=%s", instance->namespace);
	add(s, "PENSTOCK_GROUP=%s", instance->group);
	add(s, "PENSTOCK_INDEX=%u", instance->index);
	if (instance->payload)
		add(s, "PENSTOCK_PAYLOAD=%s/payload", dir);
	json_object_foreach(json_object_get(instance->spec, "meta"), key, value)
	{
		char name[META_KEY_MAX + 1];
		size_t n = 0;

		for (; key[n] && n < META_KEY_MAX; n++)
			name[n] = key[n] == '-' ? '_' : (char)toupper((unsigned char)key[n]);
		name[n] = 0;
		add(s, "PENSTOCK_META_%s=%s", name, json_string_value(value));
	}
}

static void add_function(struct strings *s, const struct instance *instance, const char *dir)
{
	add(s, "PENSTOCK_SOCKET=%s/fn.sock", dir);
	add(s, "PENSTOCK_FUNCTION=%s/%s", instance->namespace, instance->name);
	add(s, "PENSTOCK_CONCURRENCY=%u", instance->member.concurrency);
}

static void add_default(struct strings *s, json_t *env, const char *name, const char *value)
{
	if (!json_is_string(json_object_get(env, name)))
		add(s, "%s=%s", name, value);
}

static void add_environment(struct strings *s, const struct instance *instance, const char *dir)
{
	const char *path = getenv("PATH"), *asan = getenv("ASAN_OPTIONS"), *key;
	json_t *env = json_object_get(instance->spec, "env"), *value;

	add_default(s, env, "PATH", path ? path : "/usr/local/bin:/usr/bin:/bin");
	add_default(s, env, "LANG", "C.UTF-8");
	add_default(s, env, "HOME", "/");
	if (asan)
		add_default(s, env, "ASAN_OPTIONS", asan);
	// Of a name that comes twice getenv() knows the first and bash the last, so none does.
	json_object_foreach(env, key, value)
	{
		if (json_is_string(value) && strncmp(key, OURS, strlen(OURS)) != 0)
			add(s, "%s=%s", key, json_string_value(value));
	}
	add(s, "PENSTOCK_INSTANCE=%s", instance->id);
	add(s, "PENSTOCK_VERSION=%u", instance->version);
	if (instance->job)
		add_job(s, instance, dir);
	else
		add_function(s, instance, dir);
}

int program_make(struct program *program, const struct instance *instance)
{
	const struct options *o = &instance->host->options;
	struct strings argv = {0}, envp = {0};
	char dir[PATH_BYTES];

	record_dir(o, instance->id, dir, sizeof(dir));
	add_command(&argv, o, json_object_get(instance->spec, "command"));
	add_environment(&envp, instance, dir);
	*program = (struct program){.argv = take(&argv), .envp = take(&envp)};
	if (program->argv && program->envp && !argv.full && !envp.full)
		return 0;
	program_free(program);
	return argv.full || envp.full ? -E2BIG : -ENOMEM;
}

static void free_list(char **list)
{
	for (size_t i = 0; list && list[i]; i++)
		free(list[i]);
	free(list);
}

void program_free(struct program *program)
{
	free_list(program->argv);
	free_list(program->envp);
	*program = (struct program){0};
}
