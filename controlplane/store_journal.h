// SPDX-License-Identifier: Apache-2.0
// The journal before a store: store_journal.c has the picture.
#pragma once

#include "controlplane/store.h"

// Puts the file `journal` in the directory before a store, and applies what it holds. It is made,
// of `bytes` (0: 64 MiB), if it is not there. The store below belongs to the one returned, or, with
// NULL, still to the caller; *error says why:
//   -ENODATA: the journal that belongs to it is not there
//   -ESTALE: the one that is there belongs to another store, or to an older or newer state of it
//   -EIO: the journal is damaged, or cannot be read
// Where there is no room to make the file: the store below itself, with *error -ENOSPC; it does
// without.
struct store *store_journal_open(
	const char *directory, struct store *inner, size_t bytes, int *error);
