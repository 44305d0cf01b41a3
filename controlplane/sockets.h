// SPDX-License-Identifier: Apache-2.0
// Directories and listening sockets of the daemon.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

// Makes the directory and those above it. 0 or -E... .
int directory_make(const char *path, mode_t mode);
// The same for the directory that holds the file at path.
int directory_of_make(const char *path, mode_t mode);

// A listening Unix socket with this mode and, if the group exists, of that group. A socket file
// that nobody listens on is replaced. The descriptor, or -EADDRINUSE (somebody answers), -ENOTSOCK
// (the path is something else), -E... .
int socket_listen_unix(const char *path, mode_t mode, const char *group);
// Opens a Unix socket that is there to the members of the group. 0, -ENOENT (no such group), -E... .
int socket_share(const char *path, const char *group);
// "127.0.0.1:9478", "[::1]:9478". The descriptor, or -EINVAL, -EADDRINUSE, -E... .
int socket_listen_tcp(const char *address);
struct sockaddr_storage;

// A loopback address or a Unix socket's.
bool address_is_local(const struct sockaddr_storage *addr);
// Whether somebody listens on this Unix socket: 1, 0, or -ENOTSOCK.
int socket_answers(const char *path);
