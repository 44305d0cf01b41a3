// SPDX-License-Identifier: Apache-2.0
// Preloaded into a program: writes down what it does to the files of one directory (trace.h), so
// that disks can be made of it as a crash might leave them. Only calls that LMDB and the
// journal make are known; a map that is written through ends the program, since it would leave no
// trace.
//
// A write is recorded before it is done, a sync after it: whatever the program tells of afterwards
// is behind both.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "test/crash/mark.h"
#include "test/crash/trace.h"

#define FDS 1024

enum tracked {
	NOT_TRACKED,
	FILE_TRACKED,
	FILE_SYNCED, // O_DSYNC
	DIRECTORY,
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int trace_fd = -1, mark_fd = -1;
static char directory[4000];
static bool forget_fdatasync;
static unsigned fail_every, syncs; // the lock's
static struct {
	enum tracked how;
	uint64_t file;
} fds[FDS];

#define REAL(name) ((__typeof__(&name))real_of(#name))

static void *real_of(const char *name)
{
	void *at = dlsym(RTLD_NEXT, name);

	if (!at)
		abort();
	return at;
}

static void put(const void *bytes, size_t len)
{
	static ssize_t (*real)(int, const void *, size_t);

	if (!real)
		real = REAL(write);
	for (size_t n = 0; n < len;) {
		ssize_t done = real(trace_fd, (const char *)bytes + n, len - n);

		if (done <= 0 && errno != EINTR) {
			fprintf(stderr, "record: the trace cannot be written: %s\n",
				strerror(errno));
			_exit(6);
		}
		n += done > 0 ? (size_t)done : 0;
	}
}

static void record(
	enum trace_type type, uint64_t file, uint64_t offset, const void *bytes, uint64_t length)
{
	const struct trace_head head = {type, 0, file, offset, length};

	if (trace_fd < 0)
		return;
	pthread_mutex_lock(&lock);
	put(&head, sizeof(head));
	if (bytes)
		put(bytes, length);
	pthread_mutex_unlock(&lock);
}

__attribute__((constructor)) static void begin(void)
{
	const char *to = getenv(TRACE_FILE_VARIABLE), *from = getenv(TRACE_DIRECTORY_VARIABLE);
	const char *mark = getenv(MARK_FD_VARIABLE), *forget = getenv(TRACE_FORGET_VARIABLE);
	const char *fail = getenv(TRACE_FAIL_VARIABLE);

	if (!to || !from || !mark)
		return;
	snprintf(directory, sizeof(directory), "%s", from);
	mark_fd = atoi(mark);
	fail_every = fail ? (unsigned)atoi(fail) : 0;
	forget_fdatasync = forget && strcmp(forget, "fdatasync") == 0;
	trace_fd = REAL(open)(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
}

static enum tracked tracked(int fd)
{
	return fd >= 0 && fd < FDS ? fds[fd].how : NOT_TRACKED;
}

// The name within the directory; NULL: it is elsewhere, or the lock, which is never written.
static const char *name_of(const char *path)
{
	size_t len = strlen(directory);

	if (!len || strncmp(path, directory, len) != 0 || path[len] != '/' ||
		strcmp(path + len, "/lock") == 0)
		return NULL;
	return path + len + 1;
}

static uint64_t inode_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? st.st_ino : 0;
}

// Whether this sync is one that fails. The making of the store is spared.
static bool fails(int fd)
{
	bool yes;

	if (!fail_every || tracked(fd) == NOT_TRACKED || tracked(fd) == DIRECTORY)
		return false;
	pthread_mutex_lock(&lock);
	// The same each time, and with no rhythm that meets only one kind of sync.
	yes = ++syncs > 10 && (syncs * 2654435761u >> 16) % fail_every == 0;
	pthread_mutex_unlock(&lock);
	if (yes)
		record(TRACE_FAILED, fds[fd].file, 0, NULL, 0);
	return yes;
}

// ---- names ----

static int opened(int fd, const char *path, int flags, bool was_there)
{
	const char *name = name_of(path);
	struct stat st;

	if (fd < 0 || fd >= FDS)
		return fd;
	fds[fd].how = NOT_TRACKED;
	if (trace_fd < 0 || fstat(fd, &st) != 0)
		return fd;
	fds[fd].file = st.st_ino;
	if (S_ISDIR(st.st_mode) && strcmp(path, directory) == 0)
		fds[fd].how = DIRECTORY;
	else if (name && S_ISREG(st.st_mode))
		fds[fd].how = flags & O_DSYNC ? FILE_SYNCED : FILE_TRACKED;
	else
		return fd;
	if (name && !was_there)
		record(TRACE_CREATE, st.st_ino, 0, name, strlen(name) + 1);
	return fd;
}

int open(const char *path, int flags, ...)
{
	bool was_there = inode_of(path) != 0;
	mode_t mode;
	va_list args;

	va_start(args, flags);
	mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
	va_end(args);
	return opened(REAL(open)(path, flags, mode), path, flags, was_there);
}

int open64(const char *path, int flags, ...)
{
	bool was_there = inode_of(path) != 0;
	mode_t mode;
	va_list args;

	va_start(args, flags);
	mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
	va_end(args);
	return opened(REAL(open64)(path, flags, mode), path, flags, was_there);
}

int close(int fd)
{
	if (fd >= 0 && fd < FDS)
		fds[fd].how = NOT_TRACKED;
	return REAL(close)(fd);
}

int rename(const char *from, const char *to)
{
	uint64_t file = inode_of(from);
	const char *name = name_of(to);
	int rc = REAL(rename)(from, to);

	if (rc == 0 && name)
		record(TRACE_RENAME, file, 0, name, strlen(name) + 1);
	return rc;
}

int unlink(const char *path)
{
	const char *name = name_of(path);
	int rc = REAL(unlink)(path);

	if (rc == 0 && name)
		record(TRACE_UNLINK, 0, 0, name, strlen(name) + 1);
	return rc;
}

// ---- bytes ----

static ssize_t written(int fd, off_t offset, ssize_t n)
{
	if (n <= 0 || tracked(fd) != FILE_SYNCED)
		return n;
	if (fails(fd)) {
		errno = EIO;
		return -1;
	}
	record(TRACE_SYNC_RANGE, fds[fd].file, (uint64_t)offset, NULL, (uint64_t)n);
	return n;
}

ssize_t write(int fd, const void *bytes, size_t len)
{
	off_t offset;

	if (fd == mark_fd)
		record(TRACE_MARK, 0, 0, bytes, len);
	if (tracked(fd) == NOT_TRACKED)
		return REAL(write)(fd, bytes, len);
	offset = lseek(fd, 0, SEEK_CUR);
	record(TRACE_WRITE, fds[fd].file, (uint64_t)offset, bytes, len);
	return written(fd, offset, REAL(write)(fd, bytes, len));
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t offset)
{
	if (tracked(fd) != NOT_TRACKED)
		record(TRACE_WRITE, fds[fd].file, (uint64_t)offset, bytes, len);
	return written(fd, offset, REAL(pwrite)(fd, bytes, len, offset));
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t offset)
{
	return pwrite(fd, bytes, len, offset);
}

static void record_vector(int fd, const struct iovec *iov, int count, off_t offset)
{
	for (int i = 0; i < count; i++) {
		record(TRACE_WRITE, fds[fd].file, (uint64_t)offset, iov[i].iov_base,
			iov[i].iov_len);
		offset += (off_t)iov[i].iov_len;
	}
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
	off_t offset = 0;

	if (tracked(fd) != NOT_TRACKED) {
		offset = lseek(fd, 0, SEEK_CUR);
		record_vector(fd, iov, count, offset);
	}
	return written(fd, offset, REAL(writev)(fd, iov, count));
}

ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t offset)
{
	if (tracked(fd) != NOT_TRACKED)
		record_vector(fd, iov, count, offset);
	return written(fd, offset, REAL(pwritev)(fd, iov, count, offset));
}

ssize_t pwritev64(int fd, const struct iovec *iov, int count, off64_t offset)
{
	return pwritev(fd, iov, count, offset);
}

int ftruncate(int fd, off_t length)
{
	if (tracked(fd) != NOT_TRACKED)
		record(TRACE_TRUNCATE, fds[fd].file, (uint64_t)length, NULL, 0);
	return REAL(ftruncate)(fd, length);
}

int ftruncate64(int fd, off64_t length)
{
	return ftruncate(fd, length);
}

void *mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset)
{
	if (tracked(fd) != NOT_TRACKED && flags & MAP_SHARED && prot & PROT_WRITE) {
		fprintf(stderr, "record: a map that is written through cannot be recorded\n");
		_exit(6);
	}
	return REAL(mmap)(at, len, prot, flags, fd, offset);
}

// ---- syncs ----

static int synced(int fd, int rc)
{
	if (rc == 0 && tracked(fd) == DIRECTORY)
		record(TRACE_SYNC_NAMES, 0, 0, NULL, 0);
	else if (rc == 0 && tracked(fd) != NOT_TRACKED)
		record(TRACE_SYNC, fds[fd].file, 0, NULL, 0);
	return rc;
}

int fdatasync(int fd)
{
	int rc;

	if (fails(fd)) {
		errno = EIO;
		return -1;
	}
	rc = REAL(fdatasync)(fd);
	return forget_fdatasync ? rc : synced(fd, rc);
}

int fsync(int fd)
{
	if (fails(fd)) {
		errno = EIO;
		return -1;
	}
	return synced(fd, REAL(fsync)(fd));
}
