// SPDX-License-Identifier: Apache-2.0
// The store below is one in memory that the journal does not close: what a crash leaves is a copy
// of the journal's file and of what that store had.
#include "test/unit/journal_fixture.h"

#include <fcntl.h>

static int keeper_get(
	struct store *store, const char *key, void **value, size_t *len, uint64_t *version)
{
	struct keeper *k = (struct keeper *)store;
	int rc;

	pthread_mutex_lock(&k->lock);
	rc = store_get(k->kept, key, value, len, version);
	pthread_mutex_unlock(&k->lock);
	return rc;
}

static int keeper_list(struct store *store, const char *prefix, const char *after,
	int (*each)(void *user, const struct store_record *record), void *user)
{
	return store_list(((struct keeper *)store)->kept, prefix, after, each, user);
}

static bool is_last(const struct store_txn *t)
{
	static const char zeros[9];

	return t->write_count == 1 && strcmp(t->writes[0].key, "journal/applied") == 0 &&
	       memcmp(t->writes[0].value, zeros, sizeof(zeros)) == 0;
}

static int keeper_commit(struct store *store, const struct store_txn *t)
{
	struct keeper *k = (struct keeper *)store;
	int rc;

	if (k->last_fails && is_last(t))
		return -ENOSPC;
	pthread_mutex_lock(&k->lock);
	rc = store_commit(k->kept, t);
	k->commits += !rc;
	pthread_mutex_unlock(&k->lock);
	return rc;
}

static int keeper_stat(struct store *store, struct store_stat *out)
{
	struct keeper *k = (struct keeper *)store;
	int rc;

	pthread_mutex_lock(&k->lock);
	rc = store_stat(k->kept, out);
	pthread_mutex_unlock(&k->lock);
	return rc;
}

static void keeper_close(struct store *store)
{
	(void)store;
}

void path_of(const struct fixture *f, char path[128], const char *name)
{
	snprintf(path, 128, "%s/%s", f->dir, name);
}

int try_open(struct fixture *f)
{
	int error = 0;

	f->store = store_journal_open(f->dir, &f->below.base, BYTES, &error);
	return error;
}

int setup(void **state)
{
	static const struct store_ops ops = {
		keeper_get, keeper_list, keeper_commit, keeper_stat, keeper_close};
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/penstock-journal-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->below = (struct keeper){.base = {&ops}, .kept = store_mem_new()};
	pthread_mutex_init(&f->below.lock, NULL);
	assert_int_equal(try_open(f), 0);
	*state = f;
	return 0;
}

int teardown(void **state)
{
	static const char *const names[] = {"journal", "journal.new", "copy"};
	struct fixture *f = *state;
	char path[128];

	store_close(f->store);
	store_close(f->below.kept);
	for (size_t i = 0; i < 3; i++) {
		path_of(f, path, names[i]);
		unlink(path);
	}
	rmdir(f->dir);
	free(f);
	return 0;
}

int put(struct fixture *f, const char *key, const char *value, uint64_t version)
{
	struct store_write w = {key, value, value ? strlen(value) : 0, version};
	struct store_txn t = {.writes = &w, .write_count = 1};

	return store_commit(f->store, &t);
}

int put_n(struct fixture *f, uint64_t n)
{
	char key[32];
	const struct store_write w[2] = {{key, "x", 1, n}, {"last", "x", 1, n}};
	const struct store_compare c = {"last", n - 1};

	snprintf(key, sizeof(key), "n/%03u", (unsigned)n);
	return store_commit(f->store, &(struct store_txn){&c, 1, w, 2, NULL});
}

uint64_t version_of(struct store *s, const char *key)
{
	uint64_t version = 0;
	size_t len;
	void *value;

	if (store_get(s, key, &value, &len, &version) == 0)
		free(value);
	return version;
}

int count_one(void *user, const struct store_record *r)
{
	++*(uint64_t *)user;
	assert_int_equal(r->version, *(uint64_t *)user);
	return 0;
}

void assert_at(struct fixture *f, uint64_t n)
{
	uint64_t count = 0;

	assert_int_equal(version_of(f->store, "last"), n);
	assert_int_equal(store_list(f->store, "n/", NULL, count_one, &count), 0);
	assert_int_equal(count, n);
}

static void copy_file(const struct fixture *f, const char *from, const char *to)
{
	static char bytes[FILE_BYTES];
	char path[128];
	int fd;

	path_of(f, path, from);
	fd = open(path, O_RDONLY);
	assert_int_equal(read(fd, bytes, sizeof(bytes)), sizeof(bytes));
	close(fd);
	path_of(f, path, to);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
	close(fd);
}

int copy_record(void *user, const struct store_record *r)
{
	const struct store_write w = {r->key, r->value, r->len, r->version};

	return store_commit(user, &(struct store_txn){.writes = &w, .write_count = 1});
}

// The lists go to the store below alone, so nothing is applied for it.
void crash(struct fixture *f)
{
	struct store *left = store_mem_new();

	pthread_mutex_lock(&f->below.lock);
	copy_file(f, "journal", "copy");
	assert_int_equal(store_list(f->below.kept, "", NULL, copy_record, left), 0);
	pthread_mutex_unlock(&f->below.lock);
	store_close(f->store);
	store_close(f->below.kept);
	f->below.kept = left;
	copy_file(f, "copy", "journal");
}

void write_at(const struct fixture *f, size_t offset, const void *bytes, size_t len)
{
	char path[128];
	int fd;

	path_of(f, path, "journal");
	fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, bytes, len, (off_t)(FIRST + offset)), len);
	close(fd);
}
