// SPDX-License-Identifier: Apache-2.0
// The store in the box: one LMDB file, `store.mdb` in the state directory.
//
// A record's value begins with its version, eight bytes big endian. LMDB writes pages of a
// transaction to free places, syncs, then switches the root in one page write and syncs that, so a
// crash at any point leaves the state before or after the transaction (test/crash proves it). What
// LMDB leaves out: a new file is made under another name, so that it is never half there, and its
// name is synced, too.
//
// After a commit that failed, a root may be on the disk that the page cache does not have, or the
// other way round: the kernel drops what it could not write. All else is as it was, since LMDB
// never writes to a page in use, and each commit writes its own pages. So before the next use both
// roots are written and synced again as they are read, and the file is opened anew; until that
// succeeds nothing is stored. The comparison of versions tells whether the file is still what the
// caller thinks.
//
// The map starts small and is doubled when it is full, so there is no size to configure. Growing
// needs that no transaction is open in this process; the single-thread rule of store.h sees to
// that.
#include "controlplane/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <lmdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "controlplane/store_file.h"
#include "lib/base/cursor.h"

#define MAP_BYTES_MIN ((size_t)16 << 20)
#define MAP_BYTES_MAX ((size_t)1 << 40)
#define DISK_FULL_BYTES (256u << 10)
#define VERSION_BYTES 8
#define MDB_ROOTS 2 // pages at the beginning of the file

struct store_lmdb {
	struct store base;
	MDB_env *env;
	MDB_dbi dbi;
	bool broken; // mend and reopen before the next use
	unsigned page_bytes;
	int lock_fd; // held exclusively for the life of the store
	char path[PATH_MAX];
};

static int error_of(int rc)
{
	switch (rc) {
	case MDB_SUCCESS:
		return 0;
	case MDB_NOTFOUND:
		return -ENOENT;
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return -ENOSPC;
	case MDB_BAD_VALSIZE:
		return -EINVAL;
	case ENOMEM:
		return -ENOMEM;
	case EACCES:
	case EPERM:
	case EROFS:
		return -rc;
	default:
		return -EIO;
	}
}

static int open_dbi(MDB_env *env, MDB_dbi *dbi)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(env, NULL, 0, &txn);

	if (rc)
		return rc;
	rc = mdb_dbi_open(txn, NULL, 0, dbi);
	if (rc) {
		mdb_txn_abort(txn);
		return rc;
	}
	return mdb_txn_commit(txn);
}

static int open_env(struct store_lmdb *s, const char *path)
{
	MDB_env *env;
	MDB_stat stat;
	int rc = mdb_env_create(&env);

	if (rc)
		return error_of(rc);
	rc = mdb_env_set_mapsize(env, MAP_BYTES_MIN);
	// NOLOCK: `lock` and the rule of one thread at a time see to what LMDB's own lock file is
	// for. That file is written through a map, so on a full disk making it would be a SIGBUS.
	// The store keeps a larger map's size.
	if (!rc)
		rc = mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOTLS | MDB_NOLOCK, 0600);
	if (!rc)
		rc = open_dbi(env, &s->dbi);
	if (!rc)
		rc = mdb_env_stat(env, &stat);
	if (rc) {
		mdb_env_close(env);
		return error_of(rc);
	}
	s->env = env;
	s->page_bytes = stat.ms_psize;
	s->broken = false;
	return 0;
}

static void close_env(struct store_lmdb *s)
{
	if (s->env)
		mdb_env_close(s->env);
	s->env = NULL;
}

// A file is there under its name only once its first pages are durable.
static int make_file(struct store_lmdb *s)
{
	char path[PATH_MAX + sizeof(".new")];
	struct stat st;
	int rc;

	if (stat(s->path, &st) == 0 && st.st_size > 0)
		return 0;
	snprintf(path, sizeof(path), "%s.new", s->path);
	if (unlink(path) != 0 && errno != ENOENT)
		return -errno;
	rc = open_env(s, path);
	if (!rc)
		rc = error_of(mdb_env_sync(s->env, 1));
	close_env(s);
	if (!rc && rename(path, s->path) != 0)
		rc = -errno;
	return rc;
}

static int reopen_if_broken(struct store_lmdb *s)
{
	int rc;

	if (!s->broken && s->env)
		return 0;
	close_env(s);
	rc = store_file_rewrite(s->path, (size_t)MDB_ROOTS * s->page_bytes);
	return rc ? error_of(-rc) : open_env(s, s->path);
}

static int grow(struct store_lmdb *s)
{
	MDB_envinfo info;
	int rc = mdb_env_info(s->env, &info);

	if (rc)
		return error_of(rc);
	if (info.me_mapsize >= MAP_BYTES_MAX)
		return -ENOSPC;
	return error_of(mdb_env_set_mapsize(s->env, info.me_mapsize * 2));
}

// Splits a stored value. False if it is damaged.
static bool split(const MDB_val *val, uint64_t *version, const void **bytes, size_t *len)
{
	struct reader r = reader_of(val->mv_data, val->mv_size);

	*version = reader_u64(&r);
	*len = reader_left(&r);
	*bytes = r.at;
	return !r.bad;
}

static int lmdb_get(
	struct store *store, const char *key, void **value, size_t *len, uint64_t *version)
{
	struct store_lmdb *s = (struct store_lmdb *)store;
	MDB_val k = {strlen(key), (void *)(uintptr_t)key}, v;
	const void *bytes;
	uint64_t found;
	size_t n;
	void *copy;
	MDB_txn *txn;
	int rc = reopen_if_broken(s);

	if (rc)
		return rc;
	rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);
	if (rc)
		return error_of(rc);
	rc = error_of(mdb_get(txn, s->dbi, &k, &v));
	if (rc)
		goto out;
	if (!split(&v, &found, &bytes, &n)) {
		rc = -EIO;
		goto out;
	}
	copy = malloc(n + 1);
	if (!copy) {
		rc = -ENOMEM;
		goto out;
	}
	memcpy(copy, bytes, n);
	((char *)copy)[n] = 0;
	*value = copy;
	*len = n;
	*version = found;
out:
	mdb_txn_abort(txn);
	return rc;
}

// Hands one record to the caller of a listing.
static int list_one(const MDB_val *k, const MDB_val *v,
	int (*each)(void *user, const struct store_record *record), void *user)
{
	struct store_record record;
	char key[STORE_KEY_MAX + 1];

	if (k->mv_size > STORE_KEY_MAX || !split(v, &record.version, &record.value, &record.len))
		return -EIO;
	memcpy(key, k->mv_data, k->mv_size);
	key[k->mv_size] = 0;
	record.key = key;
	return each(user, &record);
}

static int lmdb_list(struct store *store, const char *prefix, const char *after,
	int (*each)(void *user, const struct store_record *record), void *user)
{
	struct store_lmdb *s = (struct store_lmdb *)store;
	size_t prefix_len = strlen(prefix), after_len = after ? strlen(after) : 0;
	const char *start = after && strcmp(after, prefix) > 0 ? after : prefix;
	MDB_val k = {strlen(start), (void *)(uintptr_t)start}, v;
	MDB_cursor *cursor;
	MDB_txn *txn;
	int rc = reopen_if_broken(s);

	if (rc)
		return rc;
	rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);
	if (rc)
		return error_of(rc);
	rc = mdb_cursor_open(txn, s->dbi, &cursor);
	if (rc) {
		mdb_txn_abort(txn);
		return error_of(rc);
	}
	// LMDB refuses an empty key: an empty prefix starts at the first.
	rc = mdb_cursor_get(cursor, &k, &v, *start ? MDB_SET_RANGE : MDB_FIRST);
	for (; !rc; rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) {
		int stop;

		if (k.mv_size < prefix_len || memcmp(k.mv_data, prefix, prefix_len) != 0) {
			rc = MDB_NOTFOUND;
			break;
		}
		if (after && k.mv_size == after_len && memcmp(k.mv_data, after, after_len) == 0)
			continue;
		stop = list_one(&k, &v, each, user);
		if (stop) {
			mdb_cursor_close(cursor);
			mdb_txn_abort(txn);
			return stop;
		}
	}
	mdb_cursor_close(cursor);
	mdb_txn_abort(txn);
	return rc == MDB_NOTFOUND ? 0 : error_of(rc);
}

// 0, MDB's error, or -EAGAIN.
static int compare(struct store_lmdb *s, MDB_txn *txn, const struct store_compare *c)
{
	MDB_val k = {strlen(c->key), (void *)(uintptr_t)c->key}, v;
	uint64_t version = 0;
	const void *bytes;
	size_t len;
	int rc = mdb_get(txn, s->dbi, &k, &v);

	if (rc && rc != MDB_NOTFOUND)
		return rc;
	if (!rc && !split(&v, &version, &bytes, &len))
		return EIO;
	return version == c->version ? 0 : -EAGAIN;
}

static int write_one(struct store_lmdb *s, MDB_txn *txn, const struct store_write *w)
{
	MDB_val k = {strlen(w->key), (void *)(uintptr_t)w->key};
	MDB_val v = {VERSION_BYTES + w->len, NULL};
	struct writer out;
	int rc;

	if (k.mv_size == 0 || k.mv_size > STORE_KEY_MAX || (w->value && !w->version))
		return MDB_BAD_VALSIZE;
	if (!w->value) {
		rc = mdb_del(txn, s->dbi, &k, NULL);
		return rc == MDB_NOTFOUND ? 0 : rc;
	}
	rc = mdb_put(txn, s->dbi, &k, &v, MDB_RESERVE);
	if (rc)
		return rc;
	out = writer_of(v.mv_data, v.mv_size);
	writer_u64(&out, w->version);
	writer_bytes(&out, w->value, w->len);
	return 0;
}

// One attempt. -EAGAIN, 0, or an error of LMDB.
static int attempt(struct store_lmdb *s, const struct store_txn *t)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(s->env, NULL, 0, &txn);

	if (rc)
		return rc;
	for (size_t i = 0; !rc && i < t->compare_count; i++) {
		rc = compare(s, txn, &t->compares[i]);
		if (rc == -EAGAIN && t->stale)
			*t->stale = i;
	}
	for (size_t i = 0; !rc && i < t->write_count; i++)
		rc = write_one(s, txn, &t->writes[i]);
	if (rc) {
		mdb_txn_abort(txn);
		return rc;
	}
	return mdb_txn_commit(txn);
}

// A write that ends in the middle because the disk is full is EIO to LMDB.
static bool disk_full(const struct store_lmdb *s)
{
	struct statvfs fs;

	return statvfs(s->path, &fs) == 0 && (uint64_t)fs.f_bavail * fs.f_frsize < DISK_FULL_BYTES;
}

static int lmdb_commit(struct store *store, const struct store_txn *t)
{
	struct store_lmdb *s = (struct store_lmdb *)store;
	int rc = reopen_if_broken(s);

	if (rc)
		return rc;
	while ((rc = attempt(s, t)) == MDB_MAP_FULL) {
		rc = grow(s);
		if (rc)
			return rc;
	}
	if (rc == 0 || rc == -EAGAIN)
		return rc;
	rc = error_of(rc);
	if (rc == -EIO && disk_full(s))
		rc = -ENOSPC;
	// After a failed write of pages or of the root LMDB's own idea of the file may be wrong.
	if (rc != -EINVAL)
		s->broken = true;
	return rc;
}

static int lmdb_stat(struct store *store, struct store_stat *out)
{
	struct store_lmdb *s = (struct store_lmdb *)store;
	MDB_envinfo info;
	MDB_stat stat;
	int rc = reopen_if_broken(s);

	if (!rc)
		rc = error_of(mdb_env_stat(s->env, &stat));
	if (!rc)
		rc = error_of(mdb_env_info(s->env, &info));
	if (rc)
		return rc;
	*out = (struct store_stat){
		.used_bytes = (uint64_t)(info.me_last_pgno + 1) * stat.ms_psize,
		.records = stat.ms_entries,
	};
	return 0;
}

static void lmdb_close(struct store *store)
{
	struct store_lmdb *s = (struct store_lmdb *)store;

	close_env(s);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	free(s);
}

// Two control planes on one state directory would each believe in a state of their own.
static int take_lock(struct store_lmdb *s, const char *directory)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/lock", directory) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->lock_fd < 0)
		return -errno;
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	return 0;
}

struct store *store_lmdb_open(const char *directory, int *error)
{
	static const struct store_ops ops = {
		.get = lmdb_get,
		.list = lmdb_list,
		.commit = lmdb_commit,
		.stat = lmdb_stat,
		.close = lmdb_close,
	};
	struct store_lmdb *s = calloc(1, sizeof(*s));

	if (!s) {
		*error = -ENOMEM;
		return NULL;
	}
	s->base.ops = &ops;
	s->lock_fd = -1;
	*error = take_lock(s, directory);
	if (!*error && snprintf(s->path, sizeof(s->path), "%s/store.mdb", directory) >= PATH_MAX)
		*error = -ENAMETOOLONG;
	if (!*error)
		*error = make_file(s);
	if (!*error)
		*error = store_file_sync_names(directory);
	if (!*error)
		*error = open_env(s, s->path);
	if (*error) {
		lmdb_close(&s->base);
		return NULL;
	}
	return &s->base;
}
