// SPDX-License-Identifier: Apache-2.0
// Cgroups: see cgroup.h. The host's loop thread; small writes to kernel files, none of which waits for a disk.
#include "fnhost/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define OWN "host"
#define PREFIX "fn-"
#define WEIGHT_DEFAULT_MILLI 1000u // gets the kernel's default weight, 100
#define WEIGHT_MAX 10000u
#define PATH_ROOM (CGROUP_PATH_MAX + 128)

// Files

// O_CREAT changes nothing in the cgroup file system, where files are there or cannot be made; it lets a plain folder
// do for tests.
static int put(const char *dir, const char *file, const char *text)
{
	char path[PATH_ROOM + 64];
	int fd, error = 0;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		error = -errno;
	close(fd);
	return error;
}

static int put_number(const char *dir, const char *file, uint64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), n ? "%llu" : "max", (unsigned long long)n);
	return put(dir, file, text);
}

// The beginning of a file, with a NUL behind it. False: it cannot be read.
static bool get(const char *dir, const char *file, char *text, size_t room)
{
	char path[PATH_ROOM + 64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, room - 1);
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = 0;
	return n >= 0;
}

static void group_path(const struct cgroups *c, const char *id, char path[PATH_ROOM])
{
	snprintf(path, PATH_ROOM, "%s/" PREFIX "%s", c->root, id);
}

// Finding the subtree

// Where the cgroup file system of version 2 is mounted. False: nowhere.
static bool find_mount(const char *proc, char *path, size_t room)
{
	char name[PATH_ROOM], line[4096], type[64];
	bool found = false;
	FILE *file;

	snprintf(name, sizeof(name), "%s/mountinfo", proc);
	file = fopen(name, "re");
	while (file && !found && fgets(line, sizeof(line), file)) {
		const char *dash = strstr(line, " - ");
		char at[CGROUP_PATH_MAX];

		if (!dash || sscanf(dash, " - %63s", type) != 1 || strcmp(type, "cgroup2") != 0)
			continue;
		// ID PARENT MAJOR:MINOR ROOT MOUNT-POINT ...
		found = sscanf(line, "%*s %*s %*s %*s %511s", at) == 1 && strlen(at) < room;
		if (found)
			strcpy(path, at);
	}
	if (file)
		fclose(file);
	return found;
}

// The cgroup that this process is in, below the mount. Empty: it is not known.
static void find_own(const char *proc, char *path, size_t room)
{
	char name[PATH_ROOM], line[PATH_ROOM], mount[CGROUP_PATH_MAX];
	FILE *file;

	path[0] = 0;
	if (!find_mount(proc, mount, sizeof(mount)))
		return;
	snprintf(name, sizeof(name), "%s/cgroup", proc);
	file = fopen(name, "re");
	while (file && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = 0;
		// One that is too long for us is as good as none.
		if (strncmp(line, "0::/", 4) == 0 && strlen(mount) + strlen(line + 3) < room) {
			strcpy(path, mount);
			strcat(path, strcmp(line + 3, "/") ? line + 3 : "");
		}
	}
	if (file)
		fclose(file);
}

// systemd says so with an extended attribute, older ones with the first of these only, which takes privileges to
// read; but without privileges we can write only to what was given to us.
static bool delegated(const char *path)
{
	char value[2], procs[PATH_ROOM];

	snprintf(procs, sizeof(procs), "%s/cgroup.procs", path);
	if (geteuid() != 0 && access(procs, W_OK) == 0)
		return true;
	return (getxattr(path, "trusted.delegate", value, sizeof(value)) == 1 && value[0] == '1') ||
	       (getxattr(path, "user.delegate", value, sizeof(value)) == 1 && value[0] == '1');
}

// Whoever starts us in a group "host" of our own has prepared its parent.
static void leave_own(char *path)
{
	char *slash = strrchr(path, '/');

	if (slash && strcmp(slash + 1, OWN) == 0 && slash != path)
		*slash = 0;
}

// Opening

static bool has_word(const char *text, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = text; (at = strstr(at, word)); at += len)
		if ((at == text || at[-1] == ' ') && strchr(" \n", at[len]))
			return true;
	return false;
}

static bool enable(const char *root, const char *there, const char *controller)
{
	char text[32];

	snprintf(text, sizeof(text), "+%s", controller);
	return has_word(there, controller) && put(root, "cgroup.subtree_control", text) == 0;
}

static int enter_own(const char *root)
{
	char path[PATH_ROOM];

	snprintf(path, sizeof(path), "%s/" OWN, root);
	if (mkdir(path, 0755) && errno != EEXIST)
		return -errno;
	return put(path, "cgroup.procs", "0");
}

static void prepare(struct cgroups *c, const char *root, bool ours)
{
	char controllers[256];
	int error;

	if (!get(root, "cgroup.controllers", controllers, sizeof(controllers))) {
		snprintf(c->why, sizeof(c->why), "%.150s is no folder of a cgroup v2 file system", root);
		return;
	}
	error = ours ? enter_own(root) : 0;
	if (error) {
		snprintf(c->why, sizeof(c->why), "%.150s cannot be used: %s", root, strerror(-error));
		return;
	}
	snprintf(c->root, sizeof(c->root), "%s", root);
	c->cpu = enable(root, controllers, "cpu");
	c->memory = enable(root, controllers, "memory");
	c->pids = enable(root, controllers, "pids");
	if (!c->cpu || !c->memory || !c->pids)
		snprintf(c->why, sizeof(c->why), "%.150s does not offer:%s%s%s", root,
			c->cpu ? "" : " cpu", c->memory ? "" : " memory", c->pids ? "" : " pids");
}

void cgroups_open(struct cgroups *c, const char *where, const char *proc)
{
	char own[CGROUP_PATH_MAX];

	*c = (struct cgroups){0};
	find_own(proc, own, sizeof(own));
	if (strcmp(where, "none") == 0) {
		snprintf(c->why, sizeof(c->why), "--cgroup none");
	} else if (strcmp(where, "auto") != 0) {
		prepare(c, where, strcmp(where, own) == 0);
	} else if (!own[0]) {
		snprintf(c->why, sizeof(c->why), "this machine has no cgroup v2 file system mounted");
	} else {
		char root[CGROUP_PATH_MAX];

		snprintf(root, sizeof(root), "%s", own);
		leave_own(root);
		if (delegated(root))
			prepare(c, root, strcmp(root, own) == 0);
		else
			snprintf(c->why, sizeof(c->why),
				"%.100s was not delegated to this host (systemd: Delegate=yes)", root);
	}
}

void cgroups_limits(const struct cgroups *c, char *text, size_t room)
{
	snprintf(text, room, "%s%s%s", c->cpu ? ",cpu" : "", c->memory ? ",memory" : "",
		c->pids ? ",pids" : "");
	if (text[0])
		memmove(text, text + 1, strlen(text));
	else
		snprintf(text, room, "none");
}

// Groups of instances

static int set_limits(const struct cgroups *c, const char *path, const struct cgroup_limits *limits)
{
	uint64_t weight = limits->cpu_milli * 100 / WEIGHT_DEFAULT_MILLI;
	int error = 0;

	if (weight < 1)
		weight = limits->cpu_milli ? 1 : 100;
	if (weight > WEIGHT_MAX)
		weight = WEIGHT_MAX;
	// A share and not a ceiling: what nobody else wants may be used.
	if (c->cpu)
		error = put_number(path, "cpu.weight", weight);
	if (!error && c->memory)
		error = put_number(path, "memory.max", limits->memory_bytes);
	if (!error && c->memory) {
		// Both are not on every kernel: without swap the limit is the limit, and half a program is of
		// no use.
		put(path, "memory.swap.max", "0");
		put(path, "memory.oom.group", "1");
	}
	if (!error && c->pids)
		error = put_number(path, "pids.max", CGROUP_PIDS_MAX);
	return error;
}

int cgroup_make(const struct cgroups *c, const char *id, const struct cgroup_limits *limits)
{
	char path[PATH_ROOM];

	if (!c->root[0])
		return 0;
	group_path(c, id, path);
	if (mkdir(path, 0755) && errno != EEXIST)
		return -errno;
	return set_limits(c, path, limits);
}

void cgroup_entry(const struct cgroups *c, const char *id, char *path, size_t room)
{
	path[0] = 0;
	if (c->root[0])
		snprintf(path, room, "%s/" PREFIX "%s/cgroup.procs", c->root, id);
}

uint64_t cgroup_oom_kills(const struct cgroups *c, const char *id)
{
	char path[PATH_ROOM], text[1024], *at;

	if (!c->root[0])
		return 0;
	group_path(c, id, path);
	if (!get(path, "memory.events", text, sizeof(text)))
		return 0;
	at = strstr(text, "oom_kill ");
	return at ? strtoull(at + strlen("oom_kill "), NULL, 10) : 0;
}

// For kernels before 5.14. What is started meanwhile is met by the next try.
static void kill_each(const char *path)
{
	char text[16384], *at = text, *end;

	if (!get(path, "cgroup.procs", text, sizeof(text)))
		return;
	for (long pid; (pid = strtol(at, &end, 10)) > 0 && end != at; at = end)
		kill((pid_t)pid, SIGKILL);
}

static void kill_all(const char *path)
{
	char file[PATH_ROOM + 16];

	snprintf(file, sizeof(file), "%s/cgroup.kill", path);
	if (access(file, W_OK) == 0)
		put(path, "cgroup.kill", "1");
	else
		kill_each(path);
}

void cgroup_kill(const struct cgroups *c, const char *id)
{
	char path[PATH_ROOM];

	group_path(c, id, path);
	if (c->root[0])
		kill_all(path);
}

static int remove_at(const char *path)
{
	if (rmdir(path) == 0 || errno == ENOENT)
		return 0;
	kill_all(path);
	return rmdir(path) == 0 || errno == ENOENT ? 0 : -EBUSY;
}

int cgroup_remove(const struct cgroups *c, const char *id)
{
	char path[PATH_ROOM];

	group_path(c, id, path);
	return c->root[0] ? remove_at(path) : 0;
}

bool cgroups_sweep(const struct cgroups *c, bool (*keep)(void *user, const char *id), void *user)
{
	DIR *dir = c->root[0] ? opendir(c->root) : NULL;
	char path[PATH_ROOM];
	struct dirent *entry;
	bool left = false;

	while (dir && (entry = readdir(dir))) {
		const char *id = entry->d_name + strlen(PREFIX);

		if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) != 0 || strlen(id) > 64 ||
			keep(user, id))
			continue;
		group_path(c, id, path);
		left |= remove_at(path) != 0;
	}
	if (dir)
		closedir(dir);
	return left;
}
