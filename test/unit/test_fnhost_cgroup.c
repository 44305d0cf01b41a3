// SPDX-License-Identifier: Apache-2.0
// Cgroups of instances, over a plain folder that looks like the cgroup file system.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fnhost/cgroup.h"

static char dir[64]; // of this test; the file system's root is dir/fs, /proc/self is dir/proc

static void put(const char *name, const char *text)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static const char *get(const char *name)
{
	static char text[256];
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "r");
	if (!file)
		return NULL;
	text[fread(text, 1, sizeof(text) - 1, file)] = 0;
	fclose(file);
	return text;
}

static void make(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(mkdir(path, 0755), 0);
}

static void drop(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(remove(path), 0);
}

// Valid for two calls more.
static const char *path_of(const char *name)
{
	static char paths[3][256];
	static unsigned next;
	char *path = paths[next++ % 3];

	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

static int setup(void **state)
{
	char text[512];

	strcpy(dir, "/tmp/penstock-cgroup-XXXXXX");
	assert_non_null(mkdtemp(dir));
	make("fs");
	make("fs/system.slice");
	make("fs/system.slice/host.service");
	make("proc");
	put("fs/system.slice/host.service/cgroup.controllers", "cpuset cpu io memory pids\n");
	put("proc/cgroup", "9:pids:/elsewhere\n0::/system.slice/host.service\n");
	snprintf(text, sizeof(text),
		"22 1 0:20 / /proc rw - proc proc rw\n"
		"30 1 0:26 / %s/fs rw,nosuid shared:4 - cgroup2 cgroup2 rw\n",
		dir);
	put("proc/mountinfo", text);
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static int teardown(void **state)
{
	return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

#define SERVICE "fs/system.slice/host.service"

static void assert_limits(const struct cgroups *c, const char *want)
{
	char text[64];

	cgroups_limits(c, text, sizeof(text));
	assert_string_equal(text, want);
}

static struct cgroups open_service(void)
{
	struct cgroups c;

	cgroups_open(&c, path_of(SERVICE), path_of("proc"));
	assert_string_equal(c.why, "");
	return c;
}

static void a_subtree_is_prepared(void **state)
{
	struct cgroups c;

	cgroups_open(&c, path_of(SERVICE), path_of("proc"));
	assert_string_equal(c.root, path_of(SERVICE));
	assert_string_equal(c.why, "");
	assert_limits(&c, "cpu,memory,pids");
	// We are in it ourselves, so we move: a group with limits below holds no process.
	assert_string_equal(get(SERVICE "/host/cgroup.procs"), "0");
	assert_string_equal(get(SERVICE "/cgroup.subtree_control"), "+pidsry"); // one over another
}

static void somebody_elses_subtree_is_not_moved_into(void **state)
{
	struct cgroups c;

	make("fs/instances");
	put("fs/instances/cgroup.controllers", "memory pids\n");
	cgroups_open(&c, path_of("fs/instances"), path_of("proc"));
	assert_limits(&c, "memory,pids");
	assert_non_null(strstr(c.why, "does not offer: cpu"));
	assert_null(get("fs/instances/host/cgroup.procs"));
}

static void what_cannot_be_enabled_is_told(void **state)
{
	struct cgroups c;

	make(SERVICE "/cgroup.subtree_control"); // cannot be written to
	cgroups_open(&c, path_of(SERVICE), path_of("proc"));
	assert_limits(&c, "none");
	assert_non_null(strstr(c.why, "cpu memory pids"));
}

static void without_a_subtree_it_says_why(void **state)
{
	const struct cgroup_limits limits = {1000, 1 << 20};
	struct cgroups c;
	char text[64] = "?";

	cgroups_open(&c, "none", path_of("proc"));
	assert_string_equal(c.why, "--cgroup none");
	assert_limits(&c, "none");
	// All else does nothing, and does not fail.
	assert_int_equal(cgroup_make(&c, "a", &limits), 0);
	cgroup_entry(&c, "a", text, sizeof(text));
	assert_string_equal(text, "");
	assert_int_equal(cgroup_oom_kills(&c, "a"), 0);
	cgroup_kill(&c, "a");
	assert_int_equal(cgroup_remove(&c, "a"), 0);
	cgroups_open(&c, "/nonexistent/folder", path_of("proc"));
	assert_non_null(strstr(c.why, "/nonexistent/folder is no folder of a cgroup v2"));
	assert_string_equal(c.root, "");
	cgroups_open(&c, "auto", path_of("nowhere"));
	assert_non_null(strstr(c.why, "no cgroup v2 file system"));
	put("proc/cgroup", "0::/\n");
	cgroups_open(&c, "auto", path_of("proc"));
	assert_non_null(strstr(c.why, "was not delegated"));
	assert_non_null(strstr(c.why, "Delegate=yes"));
	assert_string_equal(c.root, "");
}

static void its_own_if_it_was_delegated(void **state)
{
	struct cgroups c;

	cgroups_open(&c, "auto", path_of("proc"));
	assert_non_null(strstr(c.why, "was not delegated"));
	if (setxattr(path_of(SERVICE), "user.delegate", "1", 1, 0)) {
		print_message("no extended attributes here: not tried\n");
		skip();
	}
	cgroups_open(&c, "auto", path_of("proc"));
	assert_limits(&c, "cpu,memory,pids");
	assert_string_equal(get(SERVICE "/host/cgroup.procs"), "0");
	drop(SERVICE "/host/cgroup.procs");
	// Started in a group "host" of it: the parent is meant, and there is no need to move.
	put("proc/cgroup", "0::/system.slice/host.service/host\n");
	cgroups_open(&c, "auto", path_of("proc"));
	assert_string_equal(c.root, path_of(SERVICE));
	assert_null(get(SERVICE "/host/cgroup.procs"));
}

static void limits_are_written(void **state)
{
	struct cgroups c = open_service();
	char entry[512];

	assert_int_equal(cgroup_make(&c, "i1", &(struct cgroup_limits){500, 64 << 20}), 0);
	assert_string_equal(get(SERVICE "/fn-i1/cpu.weight"), "50");
	assert_string_equal(get(SERVICE "/fn-i1/memory.max"), "67108864");
	assert_string_equal(get(SERVICE "/fn-i1/memory.swap.max"), "0");
	assert_string_equal(get(SERVICE "/fn-i1/memory.oom.group"), "1");
	assert_string_equal(get(SERVICE "/fn-i1/pids.max"), "1024");
	cgroup_entry(&c, "i1", entry, sizeof(entry));
	assert_string_equal(entry, path_of(SERVICE "/fn-i1/cgroup.procs"));
	assert_int_equal(cgroup_make(&c, "i2", &(struct cgroup_limits){0, 0}), 0);
	assert_string_equal(get(SERVICE "/fn-i2/cpu.weight"), "100");
	assert_string_equal(get(SERVICE "/fn-i2/memory.max"), "max");
	assert_int_equal(cgroup_make(&c, "i3", &(struct cgroup_limits){1, 1}), 0);
	assert_string_equal(get(SERVICE "/fn-i3/cpu.weight"), "1");
	assert_int_equal(cgroup_make(&c, "i4", &(struct cgroup_limits){1024000, 1}), 0);
	assert_string_equal(get(SERVICE "/fn-i4/cpu.weight"), "10000");
	// A start again finds it there.
	assert_int_equal(cgroup_make(&c, "i4", &(struct cgroup_limits){1000, 1}), 0);
	c.memory = false;
	assert_int_equal(cgroup_make(&c, "i5", &(struct cgroup_limits){1000, 1}), 0);
	assert_null(get(SERVICE "/fn-i5/memory.max"));
	// Limits that are promised and cannot be had are an error.
	make(SERVICE "/fn-i6");
	make(SERVICE "/fn-i6/pids.max");
	assert_int_equal(cgroup_make(&c, "i6", &(struct cgroup_limits){1000, 1}), -EISDIR);
}

static void out_of_memory_is_counted(void **state)
{
	struct cgroups c = open_service();

	assert_int_equal(cgroup_oom_kills(&c, "i1"), 0); // no such group
	assert_int_equal(cgroup_make(&c, "i1", &(struct cgroup_limits){0, 0}), 0);
	assert_int_equal(cgroup_oom_kills(&c, "i1"), 0);
	put(SERVICE "/fn-i1/memory.events", "low 0\nhigh 0\nmax 31\noom 4\noom_kill 3\noom_group_kill 1\n");
	assert_int_equal(cgroup_oom_kills(&c, "i1"), 3);
}

static void it_is_removed_with_what_is_in_it(void **state)
{
	struct cgroups c = open_service();
	char pids[32];
	pid_t child;
	int status;

	assert_int_equal(cgroup_remove(&c, "i1"), 0); // there is none
	make(SERVICE "/fn-i1");
	assert_int_equal(cgroup_remove(&c, "i1"), 0);
	assert_int_equal(access(path_of(SERVICE "/fn-i1"), F_OK), -1);
	make(SERVICE "/fn-i2");
	put(SERVICE "/fn-i2/cgroup.kill", "");
	assert_int_equal(cgroup_remove(&c, "i2"), -EBUSY); // as long as it is not empty
	assert_string_equal(get(SERVICE "/fn-i2/cgroup.kill"), "1");
	// An older kernel: each by itself.
	child = fork();
	if (child == 0) {
		pause();
		_exit(0);
	}
	make(SERVICE "/fn-i3");
	snprintf(pids, sizeof(pids), "%d\n", (int)child);
	put(SERVICE "/fn-i3/cgroup.procs", pids);
	cgroup_kill(&c, "i3");
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static bool is_kept(void *user, const char *id)
{
	return strcmp(id, user) == 0;
}

static void what_no_instance_owns_is_swept_away(void **state)
{
	struct cgroups c = open_service();

	make(SERVICE "/fn-keep");
	make(SERVICE "/fn-old");
	make(SERVICE "/fn-busy");
	make(SERVICE "/fn-busy/child");
	make(SERVICE "/other");
	assert_true(cgroups_sweep(&c, is_kept, "keep")); // one is left
	assert_int_equal(access(path_of(SERVICE "/fn-old"), F_OK), -1);
	assert_int_equal(access(path_of(SERVICE "/fn-keep"), F_OK), 0);
	assert_int_equal(access(path_of(SERVICE "/other"), F_OK), 0);
	assert_int_equal(access(path_of(SERVICE "/host"), F_OK), 0);
	drop(SERVICE "/fn-busy/child");
	assert_false(cgroups_sweep(&c, is_kept, "keep"));
	assert_int_equal(access(path_of(SERVICE "/fn-busy"), F_OK), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_subtree_is_prepared, setup, teardown),
		cmocka_unit_test_setup_teardown(
			somebody_elses_subtree_is_not_moved_into, setup, teardown),
		cmocka_unit_test_setup_teardown(what_cannot_be_enabled_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(without_a_subtree_it_says_why, setup, teardown),
		cmocka_unit_test_setup_teardown(its_own_if_it_was_delegated, setup, teardown),
		cmocka_unit_test_setup_teardown(limits_are_written, setup, teardown),
		cmocka_unit_test_setup_teardown(out_of_memory_is_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(it_is_removed_with_what_is_in_it, setup, teardown),
		cmocka_unit_test_setup_teardown(what_no_instance_owns_is_swept_away, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
