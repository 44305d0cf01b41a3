// SPDX-License-Identifier: Apache-2.0
// Records of instances on disk. Small files, written whole and renamed, so that a host killed in between finds the old
// one or the new one. The spec comes last: where it is, all of the record is.
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
#include "lib/base/base64.h"

#define PATH_BYTES 512
#define TRIM_INTERVAL NS_PER_SEC

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
static int write_file(const char *dir, const char *name, const void *data, size_t len, mode_t mode)
{
	char path[PATH_BYTES + 16], fresh[PATH_BYTES + 24];
	int fd, error = 0;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	snprintf(fresh, sizeof(fresh), "%s.new", path);
	unlink(fresh); // of a host that was killed; it may not be for writing
	fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0)
		return -errno;
	errno = 0;
	if (write(fd, data, len) != (ssize_t)len)
		error = errno ? -errno : -ENOSPC;
	close(fd);
	if (!error && rename(fresh, path))
		error = -errno;
	if (error)
		unlink(fresh);
	return error;
}

static int write_text(const char *dir, const char *name, const char *text)
{
	return write_file(dir, name, text, strlen(text), 0640);
}

static int write_payload(const struct instance *instance, const char *dir)
{
	char *data = malloc(instance->payload_len + 3);
	int error = data ? 0 : -ENOMEM;

	if (!error && base64_decode(instance->payload, strlen(instance->payload), data) < 0)
		error = -EINVAL;
	if (!error)
		error = write_file(dir, "payload", data, instance->payload_len, 0400);
	free(data);
	return error;
}

int record_write(const struct instance *instance)
{
	char *text = json_dumps(instance->assignment, JSON_COMPACT), dir[PATH_BYTES];
	int error = text ? 0 : -ENOMEM;

	record_dir(&instance->host->options, instance->id, dir, sizeof(dir));
	if (!error && mkdir(dir, 0750) && errno != EEXIST)
		error = -errno;
	if (!error && instance->payload)
		error = write_payload(instance, dir);
	if (!error)
		error = write_text(dir, "spec.json", text);
	free(text);
	return error;
}

void record_fail(const struct options *o, const char *id, const char *reason)
{
	char dir[PATH_BYTES];

	record_dir(o, id, dir, sizeof(dir));
	if (write_text(dir, "failed", reason))
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
	if (write_text(dir, "stop", ""))
		return; // then a restarted host hears it from the control plane
}

static bool has(const struct options *o, const char *id, const char *name)
{
	char dir[PATH_BYTES], path[PATH_BYTES + 16];

	record_dir(o, id, dir, sizeof(dir));
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return access(path, F_OK) == 0;
}

bool record_stopped(const struct options *o, const char *id)
{
	return has(o, id, "stop");
}

bool record_there(const struct options *o, const char *id)
{
	return has(o, id, "spec.json") || errno != ENOENT;
}

static bool log_in_use(void *user, const char *id)
{
	const struct instance *i = instance_find(user, id);

	return i && i->life.state != LIFE_ENDED;
}

static void trim_logs(struct host *h)
{
	const struct old_logs max = {h->options.logs_kept, h->options.logs_kept_bytes};
	char dir[PATH_BYTES];
	int removed;

	snprintf(dir, sizeof(dir), "%s/logs", h->options.state);
	removed = old_logs_trim(dir, &max, log_in_use, h, NULL);
	if (removed > 0)
		h->counts.logs_removed += (unsigned)removed;
}

static void on_trim(struct timer *timer, ns_t now)
{
	struct host *h = container_of(timer, struct host, trim_timer);

	h->trimmed = now;
	trim_logs(h);
}

// The whole folder is looked at, while calls wait: not for each of many instances that end together.
void record_trim_logs(struct host *h)
{
	ns_t now = loop_now(h->loop), due = h->trimmed + TRIM_INTERVAL;

	h->trim_timer.fire = on_trim;
	if (!h->trimmed || due <= now)
		on_trim(&h->trim_timer, now);
	else if (!timer_armed(&h->trim_timer))
		timer_arm(loop_timers(h->loop), &h->trim_timer, due);
}

void record_remove(const struct options *o, const char *id)
{
	static const char *const files[] = {
		"spec.json", "spec.json.new", "failed", "failed.new", "stop", "stop.new", "shim.sock", "fn.sock",
		"payload", "payload.new", "status", "status.new", "lock"};
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
