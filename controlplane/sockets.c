// SPDX-License-Identifier: Apache-2.0
// Directories and listening sockets of the daemon. Main thread, at start.
#include "controlplane/sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/addr.h"

int directory_make(const char *path, mode_t mode)
{
	char part[PATH_MAX];
	struct stat st;

	if (snprintf(part, sizeof(part), "%s", path) >= (int)sizeof(part))
		return -ENAMETOOLONG;
	for (char *p = part + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = 0;
		if (mkdir(part, 0755) != 0 && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	if (mkdir(part, mode) != 0 && errno != EEXIST)
		return -errno;
	if (stat(part, &st) != 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int directory_of_make(const char *path, mode_t mode)
{
	const char *slash = strrchr(path, '/');
	char part[PATH_MAX];

	if (!slash || slash == path)
		return 0;
	snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
	return directory_make(part, mode);
}

static int unix_address(const char *path, struct sockaddr_un *addr)
{
	if (strlen(path) >= sizeof(addr->sun_path))
		return -ENAMETOOLONG;
	*addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	strcpy(addr->sun_path, path);
	return 0;
}

int socket_answers(const char *path)
{
	struct sockaddr_un addr;
	struct stat st;
	int fd, rc = unix_address(path, &addr);

	if (rc || lstat(path, &st) != 0)
		return rc;
	if (!S_ISSOCK(st.st_mode))
		return -ENOTSOCK;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	// A full backlog (EAGAIN) is an answer, too.
	rc = connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0 || errno == EAGAIN;
	close(fd);
	return rc;
}

// The socket is made with the mode from the first moment on.
static int bind_unix(int fd, const struct sockaddr_un *addr, mode_t mode)
{
	mode_t old = umask(0777 & ~mode);
	int rc = bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0 ? 0 : -errno;

	umask(old);
	return rc;
}

// A user who is neither root nor of the group cannot do this, and then needs it for himself alone.
static int give_to_group(const char *path, const char *group)
{
	const struct group *g = group ? getgrnam(group) : NULL;

	return g && chown(path, (uid_t)-1, g->gr_gid) != 0 && errno != EPERM ? -errno : 0;
}

int socket_share(const char *path, const char *group)
{
	const struct group *g = getgrnam(group);

	if (!g)
		return -ENOENT;
	// Open to the group only once it is the right one.
	return chown(path, (uid_t)-1, g->gr_gid) != 0 || chmod(path, 0660) != 0 ? -errno : 0;
}

int socket_listen_unix(const char *path, mode_t mode, const char *group)
{
	struct sockaddr_un addr;
	int fd, rc = socket_answers(path);

	if (rc)
		return rc > 0 ? -EADDRINUSE : rc;
	rc = unix_address(path, &addr);
	if (rc)
		return rc;
	unlink(path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	rc = bind_unix(fd, &addr, mode);
	if (!rc)
		rc = give_to_group(path, group);
	if (!rc && listen(fd, SOMAXCONN) != 0)
		rc = -errno;
	if (!rc)
		return fd;
	close(fd);
	return rc;
}

int socket_listen_tcp(const char *address)
{
	struct sockaddr_storage addr;
	socklen_t len;
	int fd, one = 1, rc = sockaddr_parse(address, &addr, &len);

	if (rc || addr.ss_family == AF_UNIX)
		return -EINVAL;
	fd = socket(addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&addr, len) == 0 && listen(fd, 64) == 0)
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

bool address_is_local(const struct sockaddr_storage *addr)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)addr;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)addr;

	if (addr->ss_family == AF_INET)
		return ntohl(in->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	return addr->ss_family != AF_INET6 || IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
}
