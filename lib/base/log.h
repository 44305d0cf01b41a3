// SPDX-License-Identifier: Apache-2.0
// Log lines on standard error, for programs (library code does not log).
//
// A line is `<level> <subsystem>: text`; under systemd (JOURNAL_STREAM set) the level is a <N>
// prefix, else a wall-clock time stands first. Each call writes one line with one write(2).
#pragma once

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

// Lines above this level are dropped. Default LOG_INFO.
void log_set_level(enum log_level level);
// "error", "warn", "info", "debug": 0, else -EINVAL.
int log_level_parse(const char *name, enum log_level *level);
void log_line(enum log_level level, const char *subsystem, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#define log_error(subsystem, ...) log_line(LOG_ERROR, subsystem, __VA_ARGS__)
#define log_warn(subsystem, ...) log_line(LOG_WARN, subsystem, __VA_ARGS__)
#define log_info(subsystem, ...) log_line(LOG_INFO, subsystem, __VA_ARGS__)
#define log_debug(subsystem, ...) log_line(LOG_DEBUG, subsystem, __VA_ARGS__)
