// SPDX-License-Identifier: Apache-2.0
// Where intent is kept: versioned records under ordered keys, written in transactions.
//
// The contract that every engine keeps (store_lmdb.c in the box, store_mem.c for tests, etcd
// later): a transaction is atomic; when store_commit() returns 0 it survives a crash of the program
// and of the machine; when it returns an error, nothing of it is visible, now or after a restart.
// (Where the disk itself fails, a crash right behind the error may show it, whole, after all.)
//
// One writer compares one version, that of its last batch (meta/state). Several writers on one etcd
// would compare what their plans rest on: a record `sched/node/NAME` for each node, with no value
// but its version, which each batch raises for the nodes that it places on; a batch compares these
// with what its plans have seen, and likewise the job's record and the quota's. Batches that touch
// other nodes do not disturb each other. The record of the log is named by the writer and its own
// count then. The comparison that failed is told (`stale`): the plan that touched that node is
// planned again, on what the others have written, and the rest of the batch goes once more. In etcd
// it is Txn(If: ModRevision(key) == version ..., Then: Put ..., Else: Get of the keys compared); a
// Txn takes 128 operations and 1.5 MiB unless its server is told otherwise, so batches must be cut
// to that.
//
// Thread: any one thread at a time. The control plane reads at start and from then on commits from
// one thread of its own (commit.c).
#pragma once

#include <stddef.h>
#include <stdint.h>

#define STORE_KEY_MAX 500  // LMDB takes keys up to 511 bytes

struct store;

struct store_record {
	const char *key;  // NUL-terminated
	const void *value;
	size_t len;
	uint64_t version;  // given by the writer, > 0
};

// The record must have this version when the transaction is applied; 0: it must not exist.
struct store_compare {
	const char *key;
	uint64_t version;
};

// value NULL: the record is removed (no error if it is not there).
struct store_write {
	const char *key;
	const void *value;
	size_t len;
	uint64_t version;
};

struct store_txn {
	const struct store_compare *compares;
	size_t compare_count;
	const struct store_write *writes;  // in order; a later write of a key wins
	size_t write_count;
	size_t *stale; // if not NULL: with -EAGAIN, the number of the first comparison that failed
};

struct store_stat {
	uint64_t used_bytes;      // pages in use
	uint64_t records;
	int behind; // why what was acknowledged stays in the journal: 0 or -E...
};

struct store_ops {
	int (*get)(
		struct store *store, const char *key, void **value, size_t *len, uint64_t *version);
	int (*list)(struct store *store, const char *prefix, const char *after,
		int (*each)(void *user, const struct store_record *record), void *user);
	int (*commit)(struct store *store, const struct store_txn *txn);
	int (*stat)(struct store *store, struct store_stat *out);
	void (*close)(struct store *store);
};

// First member of every engine.
struct store {
	const struct store_ops *ops;
};

// The engines. NULL with *error = -E... ; -EBUSY: another process has it open.
struct store *store_lmdb_open(const char *directory, int *error);
struct store *store_mem_new(void);
// For tests of what happens when the disk is full or broken: the next n commits of a memory store
// end with this error (n < 0: all).
void store_mem_fail(struct store *store, int error, int n);

// A copy of the value (free() it). 0, -ENOENT, -EIO, -ENOMEM.
static inline int store_get(
	struct store *store, const char *key, void **value, size_t *len, uint64_t *version)
{
	return store->ops->get(store, key, value, len, version);
}

// Calls `each` for every record whose key begins with prefix and, unless `after` is NULL, lies
// behind it, in the order of bytes, until it returns non-zero, which is then returned. The record
// is valid within the call. 0 or -EIO otherwise.
static inline int store_list(struct store *store, const char *prefix, const char *after,
	int (*each)(void *user, const struct store_record *record), void *user)
{
	return store->ops->list(store, prefix, after, each, user);
}

// 0; -EAGAIN: a comparison failed; -ENOSPC: the disk is full; -EINVAL: a bad key or version; -EIO.
static inline int store_commit(struct store *store, const struct store_txn *txn)
{
	return store->ops->commit(store, txn);
}

static inline int store_stat(struct store *store, struct store_stat *out)
{
	return store->ops->stat(store, out);
}

static inline void store_close(struct store *store)
{
	if (store)
		store->ops->close(store);
}
