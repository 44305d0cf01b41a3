// SPDX-License-Identifier: Apache-2.0
// Checks of a machine: what Penstock needs, what it finds, and the command that mends it.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DOCTOR_FOUND_MAX 320
#define DOCTOR_MEND_MAX 320

enum doctor_state {
	DOCTOR_OK,
	DOCTOR_WARN,  // works without, but less well, or a part does not
	DOCTOR_FAIL,  // required and missing
};

// What a check may look at. Tests give another root and other numbers.
struct doctor {
	const char *root;    // "" or a directory that stands for "/"
	const char *socket;  // the control socket
	unsigned uid;
	const char *user;  // login name, for commands
};

struct doctor_finding {
	enum doctor_state state;
	char found[DOCTOR_FOUND_MAX];  // a sentence
	char mend[DOCTOR_MEND_MAX];    // a command; empty when there is nothing to do
};

struct doctor_check {
	const char *name;
	const char *why;  // who needs it
	void (*run)(const struct doctor *d, struct doctor_finding *f);
};

extern const struct doctor_check doctor_checks[];
extern const size_t doctor_check_count;

// For the checks.

// state, then the sentence; mend NULL: nothing to do.
void doctor_find(struct doctor_finding *f, enum doctor_state state, const char *mend,
	const char *format, ...) __attribute__((format(printf, 4, 5)));
// The first bytes of a file below root without its last newline. False if it cannot be read.
bool doctor_read(const struct doctor *d, const char *path, char *text, size_t size);
bool doctor_exists(const struct doctor *d, const char *path);
// Whole numbers: the file's, or -1.
int64_t doctor_number(const struct doctor *d, const char *path);
// How many paths match a pattern below root.
size_t doctor_glob(const struct doctor *d, const char *pattern);
// How many processors or nodes a list such as "0-3,8" names.
unsigned doctor_list_count(const char *list);

// doctor_kernel.c, doctor_memory.c, doctor_devices.c, doctor_penstock.c
void doctor_kernel(const struct doctor *d, struct doctor_finding *f);
void doctor_io_uring(const struct doctor *d, struct doctor_finding *f);
void doctor_cores(const struct doctor *d, struct doctor_finding *f);
void doctor_numa(const struct doctor *d, struct doctor_finding *f);
void doctor_hugepages(const struct doctor *d, struct doctor_finding *f);
void doctor_memlock(const struct doctor *d, struct doctor_finding *f);
void doctor_files(const struct doctor *d, struct doctor_finding *f);
void doctor_privileges(const struct doctor *d, struct doctor_finding *f);
void doctor_iommu(const struct doctor *d, struct doctor_finding *f);
void doctor_vfio(const struct doctor *d, struct doctor_finding *f);
void doctor_tun(const struct doctor *d, struct doctor_finding *f);
void doctor_dpdk(const struct doctor *d, struct doctor_finding *f);
void doctor_group(const struct doctor *d, struct doctor_finding *f);
void doctor_run_directory(const struct doctor *d, struct doctor_finding *f);
void doctor_socket(const struct doctor *d, struct doctor_finding *f);
