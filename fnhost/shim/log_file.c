// SPDX-License-Identifier: Apache-2.0
// The log file of an instance: see log_file.h. The shim alone writes it. Files are cut between lines
// where that is possible, so that a reader of either file sees whole lines.
#include "fnhost/shim/log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int reopen(struct log_file *log)
{
	struct stat st;

	log->fd = open(log->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
	if (log->fd < 0)
		return -errno;
	log->bytes = fstat(log->fd, &st) == 0 ? (uint64_t)st.st_size : 0;
	return 0;
}

int log_file_open(struct log_file *log, const char *path, uint64_t bytes_max)
{
	*log = (struct log_file){.fd = -1, .bytes_max = bytes_max};
	if (strlen(path) >= sizeof(log->path))
		return -ENAMETOOLONG;
	memcpy(log->path, path, strlen(path) + 1);
	return reopen(log);
}

static void rotate(struct log_file *log)
{
	char old[sizeof(log->path) + 2];

	close(log->fd);
	snprintf(old, sizeof(old), "%s.1", log->path);
	// Without a second name the first must do: it starts anew.
	if (rename(log->path, old))
		unlink(log->path);
	reopen(log);
}

static void put(struct log_file *log, const char *data, size_t len)
{
	while (len && log->fd >= 0) {
		ssize_t n = write(log->fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break; // a full disk: the program goes on
		data += n;
		len -= (size_t)n;
		log->bytes += (uint64_t)n;
	}
	log->lost_bytes += len;
}

void log_file_write(struct log_file *log, const char *data, size_t len)
{
	while (len) {
		size_t part = len;

		if (log->fd >= 0 && log->bytes + len > log->bytes_max) {
			size_t room = log->bytes < log->bytes_max ? log->bytes_max - log->bytes : 0;
			const char *end = room ? memrchr(data, '\n', room) : NULL;

			if (end)
				put(log, data, (size_t)(end - data) + 1);
			len -= end ? (size_t)(end - data) + 1 : 0;
			data = end ? end + 1 : data;
			rotate(log);
			part = len < log->bytes_max ? len : log->bytes_max;
		}
		put(log, data, part);
		data += part;
		len -= part;
	}
}

void log_file_close(struct log_file *log)
{
	if (log->fd >= 0)
		close(log->fd);
	log->fd = -1;
}
