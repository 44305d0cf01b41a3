// SPDX-License-Identifier: Apache-2.0
// A log file with an end: when it has grown to its limit it becomes FILE.1, whose predecessor goes.
#pragma once

#include <stddef.h>
#include <stdint.h>

struct log_file {
	char path[4096 - 8];
	int fd; // -1: not to be had; what is written is lost, and counted
	uint64_t bytes, bytes_max;
	uint64_t lost_bytes;
};

// Appends to what is there. 0 or -E...; it can be written to in either case.
int log_file_open(struct log_file *log, const char *path, uint64_t bytes_max);
void log_file_write(struct log_file *log, const char *data, size_t len);
void log_file_close(struct log_file *log);
