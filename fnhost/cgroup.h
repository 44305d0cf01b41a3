// SPDX-License-Identifier: Apache-2.0
// Limits of instances, kept by the kernel: a cgroup (v2) for each, in a subtree that was given to this host.
//
//   SUBTREE/host     the host and the shims, since a group with limits below it may hold no process itself
//   SUBTREE/fn-ID    one program and all that it starts: cpu.weight, memory.max, pids.max
//
// Without such a subtree instances run without limits, and that is told. All of it is files, so tests run on plain
// folders.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CGROUP_PATH_MAX 512
#define CGROUP_PIDS_MAX 1024u // processes and threads of an instance

struct cgroups {
	char root[CGROUP_PATH_MAX]; // empty: there is none
	bool cpu, memory, pids;     // what can be limited
	char why[256];              // that not all of it can: a sentence; empty: all can
};

struct cgroup_limits {
	uint64_t cpu_milli;    // 0: none, as below
	uint64_t memory_bytes;
};

// where: "none", a folder of the cgroup file system, or "auto": the host's own cgroup if it was delegated to it
// (systemd: Delegate=yes). proc: "/proc/self". Moves this process to SUBTREE/host if it is in SUBTREE itself.
void cgroups_open(struct cgroups *c, const char *where, const char *proc);
// "cpu,memory,pids", or "none".
void cgroups_limits(const struct cgroups *c, char *text, size_t room);

// The group of an instance, with these limits; one that is there is given them anew. 0 (also where there is no
// subtree) or -E....
int cgroup_make(const struct cgroups *c, const char *id, const struct cgroup_limits *limits);
// The file that a process writes 0 to in order to enter it; empty without a subtree.
void cgroup_entry(const struct cgroups *c, const char *id, char *path, size_t room);
// How often its memory was exceeded and a process of it killed for that.
uint64_t cgroup_oom_kills(const struct cgroups *c, const char *id);
// Kills all that is in it.
void cgroup_kill(const struct cgroups *c, const char *id);
// Kills all that is in it and removes it. 0 (also if there is none), -EBUSY: what was killed is not gone yet.
int cgroup_remove(const struct cgroups *c, const char *id);
// Removes the groups of all instances that keep() does not know. True if some could not be removed yet.
bool cgroups_sweep(const struct cgroups *c, bool (*keep)(void *user, const char *id), void *user);
