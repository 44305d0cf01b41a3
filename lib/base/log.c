// SPDX-License-Identifier: Apache-2.0
// Log lines: see log.h. Any thread may log; a line is one write.

#include "lib/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static enum log_level max_level = LOG_INFO;

static const struct {
	const char *name;
	int syslog;
} levels[] = {
	[LOG_ERROR] = {"error", 3},
	[LOG_WARN] = {"warn", 4},
	[LOG_INFO] = {"info", 6},
	[LOG_DEBUG] = {"debug", 7},
};

void log_set_level(enum log_level level)
{
	__atomic_store_n(&max_level, level, __ATOMIC_RELAXED);
}

int log_level_parse(const char *name, enum log_level *level)
{
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		if (strcmp(name, levels[i].name) == 0) {
			*level = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

static size_t put_prefix(char *line, size_t room, enum log_level level, const char *subsystem)
{
	struct timespec now;
	struct tm tm;
	char when[32];
	int n;

	if (getenv("JOURNAL_STREAM")) {
		n = snprintf(line, room, "<%d>%s: ", levels[level].syslog, subsystem);
		return (size_t)n;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	strftime(when, sizeof(when), "%H:%M:%S", &tm);
	n = snprintf(line, room, "%s.%03ld %-5s %s: ", when, now.tv_nsec / 1000000,
		levels[level].name, subsystem);
	return (size_t)n;
}

void log_line(enum log_level level, const char *subsystem, const char *format, ...)
{
	char line[1024];
	size_t len;
	va_list args;
	int n;

	if (level > __atomic_load_n(&max_level, __ATOMIC_RELAXED))
		return;
	len = put_prefix(line, sizeof(line) / 2, level, subsystem);
	va_start(args, format);
	n = vsnprintf(line + len, sizeof(line) - len - 1, format, args);
	va_end(args);
	if (n > 0)
		len += (size_t)n < sizeof(line) - len - 1 ? (size_t)n : sizeof(line) - len - 2;
	line[len++] = '\n';
	// A log that cannot be written has nobody to be told.
	if (write(STDERR_FILENO, line, len) < 0)
		return;
}
