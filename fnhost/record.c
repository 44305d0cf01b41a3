// SPDX-License-Identifier: Apache-2.0
// Records of instances on disk, and the arguments and environment of their programs. Small files, written
// whole and renamed, so that a host killed in between finds the old one or the new one.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fnhost/instances.h"
#include "fnhost/old_logs.h"

#define PATH_BYTES 512
#define STRINGS_MAX 500

void record_dir(const struct options *o, const char *id, char *path, size_t room)
{
	snprintf(path, room, "%s/instances/%s", o->state, id);
}

void record_log(const struct options *o, const char *id, char *path, size_t room)
{
	snprintf(path, room, "%s/logs/%s.log", o->state, id);
}

// Makes the folder and those above it.
static int make_folders(const char *path)
{
	char part[PATH_BYTES];

	snprintf(part, sizeof(part), "%s", path);
	for (char *at = part + 1; *at; at++) {
		if (*at != '/')
			continue;
		*at = 0;
		if (mkdir(part, 0750) && errno != EEXIST)
			return -errno;
		*at = '/';
	}
	return mkdir(part, 0750) && errno != EEXIST ? -errno : 0;
}

int record_init(const struct options *o)
{
	char path[PATH_BYTES];
	int error;

	snprintf(path, sizeof(path), "%s/instances", o->state);
	error = make_folders(path);
	if (error)
		return error;
	snprintf(path, sizeof(path), "%s/logs", o->state);
	return make_folders(path);
}

// Written whole or not at all. 0 or -E....
static int write_file(const char *dir, const char *name, const char *text)
{
	char path[PATH_BYTES + 16], fresh[PATH_BYTES + 24];
	size_t len = strlen(text);
	int fd, error = 0;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	snprintf(fresh, sizeof(fresh), "%s.new", path);
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	if (fd < 0)
		return -errno;
	errno = 0;
	if (write(fd, text, len) != (ssize_t)len)
		error = errno ? -errno : -ENOSPC;
	close(fd);
	if (!error && rename(fresh, path))
		error = -errno;
	if (error)
		unlink(fresh);
	return error;
}

int record_write(const struct instance *instance)
{
	char *text = json_dumps(instance->assignment, JSON_COMPACT), dir[PATH_BYTES];
	int error = text ? 0 : -ENOMEM;

	record_dir(&instance->host->options, instance->id, dir, sizeof(dir));
	if (!error && mkdir(dir, 0750) && errno != EEXIST)
		error = -errno;
	if (!error)
		error = write_file(dir, "spec.json", text);
	free(text);
	return error;
}

void record_fail(const struct options *o, const char *id, const char *reason)
{
	char dir[PATH_BYTES];

	record_dir(o, id, dir, sizeof(dir));
	if (write_file(dir, "failed", reason))
		return; // then a restarted host tries it once more
}

bool record_failed(const struct options *o, const char *id, char *reason, size_t room)
{
	char dir[PATH_BYTES], path[PATH_BYTES + 16];
	FILE *file;
	size_t n;

	record_dir(o, id, dir, sizeof(dir));
	snprintf(path, sizeof(path), "%s/failed", dir);
	file = fopen(path, "re");
	if (!file)
		return false;
	n = fread(reason, 1, room - 1, file);
	reason[n] = 0;
	fclose(file);
	return true;
}

void record_stop(const struct options *o, const char *id)
{
	char dir[PATH_BYTES];

	record_dir(o, id, dir, sizeof(dir));
	if (write_file(dir, "stop", ""))
		return; // then a restarted host hears it from the control plane
}

bool record_stopped(const struct options *o, const char *id)
{
	char dir[PATH_BYTES], path[PATH_BYTES + 16];

	record_dir(o, id, dir, sizeof(dir));
	snprintf(path, sizeof(path), "%s/stop", dir);
	return access(path, F_OK) == 0;
}

static bool log_in_use(void *user, const char *id)
{
	const struct instance *i = instance_find(user, id);

	return i && i->life.state != LIFE_ENDED;
}

void record_trim_logs(struct host *h)
{
	const struct old_logs max = {h->options.logs_kept, h->options.logs_kept_bytes};
	char dir[PATH_BYTES];

	snprintf(dir, sizeof(dir), "%s/logs", h->options.state);
	old_logs_trim(dir, &max, log_in_use, h, NULL);
}

void record_remove(const struct options *o, const char *id)
{
	static const char *const files[] = {
		"spec.json", "spec.json.new", "failed", "failed.new", "stop", "stop.new", "shim.sock", "fn.sock",
		"status", "status.new", "lock"};
	char dir[PATH_BYTES], path[PATH_BYTES + 16];

	record_dir(o, id, dir, sizeof(dir));
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		unlink(path);
	}
	rmdir(dir);
}

json_t *record_read(const struct options *o, const char *id)
{
	char dir[PATH_BYTES], path[PATH_BYTES + 16];

	record_dir(o, id, dir, sizeof(dir));
	snprintf(path, sizeof(path), "%s/spec.json", dir);
	return json_load_file(path, 0, NULL);
}

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

static void add_environment(struct strings *s, const struct instance *instance, const char *dir)
{
	const struct fn *fn = instance->member.fn;
	const char *path = getenv("PATH"), *key;
	json_t *value;

	add(s, "PATH=%s", path ? path : "/usr/local/bin:/usr/bin:/bin");
	add(s, "LANG=C.UTF-8");
	add(s, "HOME=/");
	if (getenv("ASAN_OPTIONS"))
		add(s, "ASAN_OPTIONS=%s", getenv("ASAN_OPTIONS"));
	json_object_foreach(json_object_get(instance->spec, "env"), key, value)
	{
		if (json_is_string(value))
			add(s, "%s=%s", key, json_string_value(value));
	}
	// Ours last: what comes twice is told by the last.
	add(s, "PENSTOCK_SOCKET=%s/fn.sock", dir);
	add(s, "PENSTOCK_INSTANCE=%s", instance->id);
	add(s, "PENSTOCK_FUNCTION=%s/%s", fn->namespace, fn->name);
	add(s, "PENSTOCK_VERSION=%u", fn->version);
	add(s, "PENSTOCK_CONCURRENCY=%u", instance->member.concurrency);
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
