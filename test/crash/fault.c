// SPDX-License-Identifier: Apache-2.0
// Preloaded into a control plane: makes syncs of its store fail with EIO, as a file says that
// CRASH_FAULT names: "SKIP FAIL", so many that pass and then so many that fail (-1: all). No file:
// all pass. The file counts down, so that its reader knows what has happened.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FDS 1024

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool of_store[FDS], synced[FDS]; // synced: O_DSYNC

#define REAL(name) ((__typeof__(&name))real_of(#name))

static void *real_of(const char *name)
{
	void *at = dlsym(RTLD_NEXT, name);

	if (!at)
		abort();
	return at;
}

// Takes one from the file's numbers.
static bool fails_by(const char *path)
{
	int skip = 0, fail = 0;
	FILE *f = fopen(path, "r+");

	if (!f)
		return false;
	if (fscanf(f, "%d %d", &skip, &fail) != 2)
		skip = fail = 0;
	rewind(f);
	if (skip > 0)
		fprintf(f, "%d %d   \n", skip - 1, fail);
	else if (fail > 0)
		fprintf(f, "0 %d   \n", fail - 1);
	fclose(f);
	return skip <= 0 && fail != 0;
}

static bool fails(int fd)
{
	const char *path = getenv("CRASH_FAULT");
	bool yes;

	if (!path || fd < 0 || fd >= FDS || !of_store[fd])
		return false;
	pthread_mutex_lock(&lock);
	yes = fails_by(path);
	pthread_mutex_unlock(&lock);
	if (yes)
		errno = EIO;
	return yes;
}

static int opened(int fd, const char *path, int flags)
{
	if (fd >= 0 && fd < FDS) {
		of_store[fd] = strstr(path, "/store.mdb") || strstr(path, "/journal");
		synced[fd] = of_store[fd] && flags & O_DSYNC;
	}
	return fd;
}

int open(const char *path, int flags, ...)
{
	mode_t mode;
	va_list args;

	va_start(args, flags);
	mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
	va_end(args);
	return opened(REAL(open)(path, flags, mode), path, flags);
}

int open64(const char *path, int flags, ...)
{
	mode_t mode;
	va_list args;

	va_start(args, flags);
	mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
	va_end(args);
	return opened(REAL(open64)(path, flags, mode), path, flags);
}

int close(int fd)
{
	if (fd >= 0 && fd < FDS)
		of_store[fd] = synced[fd] = false;
	return REAL(close)(fd);
}

// What a failed write through such a descriptor leaves is in the page cache.
ssize_t pwrite(int fd, const void *bytes, size_t len, off_t offset)
{
	ssize_t n = REAL(pwrite)(fd, bytes, len, offset);

	return n > 0 && fd < FDS && synced[fd] && fails(fd) ? -1 : n;
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t offset)
{
	return pwrite(fd, bytes, len, offset);
}

int fdatasync(int fd)
{
	return fails(fd) ? -1 : REAL(fdatasync)(fd);
}

int fsync(int fd)
{
	return fails(fd) ? -1 : REAL(fsync)(fd);
}
