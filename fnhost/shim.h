// SPDX-License-Identifier: Apache-2.0
// The host's side of a shim (shim/main.c): starts one, finds one again, hears of its program's end.
#pragma once

#include "lib/loop/loop.h"

#define SHIM_LINE_MAX 64

struct shim;

struct shim_ops {
	void (*running)(struct shim *shim, int pid);
	// The program could not be started (error, -E...), or ended. The last event.
	void (*over)(struct shim *shim, int error, int code, int signal);
	// The connection's memory is free again; always after shim_release(), or on its own after `over`.
	void (*closed)(struct shim *shim);
};

// What a shim has left about its program.
struct shim_status {
	bool known;       // else there is nothing: it was never started
	int error;        // -E...: it could not be
	int code, signal; // SIGKILL also if the shim ended without a word, and its program with it
};

struct shim_start {
	const char *program; // penstock-shim
	const char *log;
	uint64_t log_bytes;
	const char *cgroup; // the file that its program enters its cgroup by; empty: none
	char *const *argv; // of the program
	char *const *envp;
};

// Zeroed but for dir, loop, ops: nothing is there.
struct shim {
	struct loop *loop;
	const struct shim_ops *ops;
	char dir[108];
	struct loop_conn *conn;
	char line[SHIM_LINE_MAX];
	size_t len;
	bool over;
	bool released;
	bool term_due; // said before there was a connection
	unsigned attempts;
	struct timer timer; // to try again to connect
};

// 0 or -E...; events follow.
int shim_spawn(struct shim *shim, const struct shim_start *start);
// 0: there is one, events follow. -ESRCH: there is none, and *status tells of the program.
int shim_adopt(struct shim *shim, struct shim_status *status);
void shim_read_status(const struct shim *shim, struct shim_status *status);
void shim_term(struct shim *shim);
void shim_kill(struct shim *shim);
// Closes the connection; the program goes on.
void shim_release(struct shim *shim);
static inline bool shim_busy(const struct shim *shim)
{
	return shim->conn || timer_armed(&shim->timer);
}
