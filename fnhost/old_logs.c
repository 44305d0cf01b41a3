// SPDX-License-Identifier: Apache-2.0
// Old logs: see old_logs.h. Looks at the whole folder each time, which is when an instance has gone: there are few
// files more than the limit. ID.log and its predecessor ID.log.1 go together.
#include "fnhost/old_logs.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ID_MAX 64
#define PATH_ROOM 768

struct old_log {
	char id[ID_MAX + 1];
	struct timespec changed; // of the newer file
	uint64_t bytes;          // of both
};

struct found {
	struct old_log *list;
	size_t count, room;
};

// The id that a log's name tells. False: it is no log.
static bool id_of(const char *name, char id[ID_MAX + 1])
{
	const char *end = strstr(name, ".log");
	size_t len = end ? (size_t)(end - name) : 0;

	if (len == 0 || len > ID_MAX || (strcmp(end, ".log") != 0 && strcmp(end, ".log.1") != 0))
		return false;
	memcpy(id, name, len);
	id[len] = 0;
	return true;
}

static struct old_log *add(struct found *f, const char *id)
{
	if (f->count == f->room) {
		size_t room = f->room ? 2 * f->room : 64;
		struct old_log *grown = realloc(f->list, room * sizeof(*grown));

		if (!grown)
			return NULL;
		f->list = grown;
		f->room = room;
	}
	f->list[f->count] = (struct old_log){0};
	strcpy(f->list[f->count].id, id);
	return &f->list[f->count++];
}

static bool newer(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

static void note(struct found *f, const char *dir, const char *name, const char *id)
{
	char path[PATH_ROOM];
	struct old_log *log;
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (lstat(path, &st) || !S_ISREG(st.st_mode))
		return;
	log = add(f, id);
	if (!log)
		return;
	log->bytes = (uint64_t)st.st_size;
	log->changed = st.st_mtim;
}

static int by_id(const void *a, const void *b)
{
	return strcmp(((const struct old_log *)a)->id, ((const struct old_log *)b)->id);
}

// From an entry a file, in any order, to one an id.
static void join(struct found *f)
{
	size_t count = 0;

	if (f->count)
		qsort(f->list, f->count, sizeof(*f->list), by_id);
	for (size_t i = 0; i < f->count; i++) {
		const struct old_log *file = &f->list[i];
		struct old_log *last = count ? &f->list[count - 1] : NULL;

		if (!last || by_id(last, file) != 0) {
			f->list[count++] = *file;
			continue;
		}
		last->bytes += file->bytes;
		if (newer(&file->changed, &last->changed))
			last->changed = file->changed;
	}
	f->count = count;
}

static int newest_first(const void *a, const void *b)
{
	const struct old_log *x = a, *y = b;

	if (newer(&x->changed, &y->changed))
		return -1;
	return newer(&y->changed, &x->changed) ? 1 : strcmp(x->id, y->id);
}

static void remove_log(const char *dir, const char *id)
{
	char path[PATH_ROOM];

	snprintf(path, sizeof(path), "%s/%s.log", dir, id);
	remove(path);
	snprintf(path, sizeof(path), "%s/%s.log.1", dir, id);
	remove(path);
}

int old_logs_trim(const char *dir, const struct old_logs *max,
	bool (*lives)(void *user, const char *id), void *user, struct old_logs *kept)
{
	struct old_logs sum = {0};
	struct found found = {0};
	char id[ID_MAX + 1];
	struct dirent *entry;
	DIR *folder = opendir(dir);
	int removed = 0;

	if (!folder)
		return -errno;
	while ((entry = readdir(folder)))
		if (id_of(entry->d_name, id) && !lives(user, id))
			note(&found, dir, entry->d_name, id);
	closedir(folder);
	join(&found);
	if (found.count)
		qsort(found.list, found.count, sizeof(*found.list), newest_first);
	for (size_t i = 0; i < found.count; i++) {
		const struct old_log *log = &found.list[i];

		if (sum.instances < max->instances && log->bytes <= max->bytes - sum.bytes) {
			sum.instances++;
			sum.bytes += log->bytes;
		} else {
			remove_log(dir, log->id);
			removed++;
		}
	}
	free(found.list);
	if (kept)
		*kept = sum;
	return removed;
}
