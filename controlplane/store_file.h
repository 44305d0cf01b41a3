// SPDX-License-Identifier: Apache-2.0
// What the file of a store (store_lmdb.c) asks of the file system beyond what LMDB does: that its
// name lasts, and that after a failed write it is known again what is on the disk.
#pragma once

#include <stddef.h>

// The names in the directory, and its own in its parent, survive a crash of the machine. 0 or -E...
// .
int store_file_sync_names(const char *directory);
// The first `len` bytes are written again as they are read, and synced. 0 or -E... .
int store_file_rewrite(const char *path, size_t len);
