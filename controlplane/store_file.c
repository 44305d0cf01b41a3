// SPDX-License-Identifier: Apache-2.0
// Names and beginnings of files, made durable: store_file.h. Any thread.
#include "controlplane/store_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int sync_directory(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;

	if (fd < 0)
		return -errno;
	rc = fsync(fd) == 0 ? 0 : -errno;
	close(fd);
	// Some file systems cannot, and need not.
	return rc == -EINVAL ? 0 : rc;
}

int store_file_sync_names(const char *directory)
{
	char parent[PATH_MAX];
	int rc = sync_directory(directory);

	if (rc || snprintf(parent, sizeof(parent), "%s/..", directory) >= (int)sizeof(parent))
		return rc;
	rc = sync_directory(parent);
	// A directory that was given to us may be in one that we may not read.
	return rc == -EACCES || rc == -EPERM ? 0 : rc;
}

int store_file_rewrite(const char *path, size_t len)
{
	int fd = open(path, O_RDWR | O_CLOEXEC), rc = 0;
	char *bytes;
	ssize_t n;

	if (fd < 0)
		return -errno;
	bytes = malloc(len);
	n = bytes ? pread(fd, bytes, len, 0) : -1;
	if (n < 0 || pwrite(fd, bytes, (size_t)n, 0) != n || fsync(fd) != 0)
		rc = errno ? -errno : -EIO;
	free(bytes);
	close(fd);
	return rc;
}
