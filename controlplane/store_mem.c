// SPDX-License-Identifier: Apache-2.0
// A store in memory with the contract of store.h, for tests and fuzzing: records in a sorted array.
// It can be told to fail.
#include "controlplane/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct record {
	char *key;
	void *value;
	size_t len;
	uint64_t version;
};

struct store_mem {
	struct store base;
	struct record *records;
	size_t count, room;
	int fail_error, fail_left;
};

// The first index whose key is not less than `key`.
static size_t lower_bound(const struct store_mem *s, const char *key)
{
	size_t low = 0, high = s->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (strcmp(s->records[mid].key, key) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct record *find(const struct store_mem *s, const char *key)
{
	size_t i = lower_bound(s, key);

	return i < s->count && strcmp(s->records[i].key, key) == 0 ? &s->records[i] : NULL;
}

static void *copy_of(const void *value, size_t len)
{
	char *copy = malloc(len + 1);

	if (!copy)
		abort();  // tests only
	if (len)
		memcpy(copy, value, len);
	copy[len] = 0;
	return copy;
}

static int mem_get(
	struct store *store, const char *key, void **value, size_t *len, uint64_t *version)
{
	struct record *r = find((struct store_mem *)store, key);

	if (!r)
		return -ENOENT;
	*value = copy_of(r->value, r->len);
	*len = r->len;
	*version = r->version;
	return 0;
}

static int mem_list(struct store *store, const char *prefix, const char *after,
	int (*each)(void *user, const struct store_record *record), void *user)
{
	struct store_mem *s = (struct store_mem *)store;

	for (size_t i = lower_bound(s, prefix); i < s->count; i++) {
		struct record *r = &s->records[i];
		struct store_record record = {r->key, r->value, r->len, r->version};
		int stop;

		if (strncmp(r->key, prefix, strlen(prefix)) != 0)
			break;
		if (after && strcmp(r->key, after) <= 0)
			continue;
		stop = each(user, &record);
		if (stop)
			return stop;
	}
	return 0;
}

static void drop(struct store_mem *s, const char *key)
{
	struct record *r = find(s, key);

	if (!r)
		return;
	free(r->key);
	free(r->value);
	s->count--;
	memmove(r, r + 1, (size_t)(s->records + s->count - r) * sizeof(*r));
}

static void put(struct store_mem *s, const struct store_write *w)
{
	size_t i;

	drop(s, w->key);
	if (s->count == s->room) {
		s->room = s->room ? s->room * 2 : 16;
		s->records = realloc(s->records, s->room * sizeof(*s->records));
		if (!s->records)
			abort();  // tests only
	}
	i = lower_bound(s, w->key);
	memmove(s->records + i + 1, s->records + i, (s->count - i) * sizeof(*s->records));
	s->records[i] = (struct record){
		copy_of(w->key, strlen(w->key)), copy_of(w->value, w->len), w->len, w->version};
	s->count++;
}

static int mem_commit(struct store *store, const struct store_txn *t)
{
	struct store_mem *s = (struct store_mem *)store;

	if (s->fail_left) {
		s->fail_left -= s->fail_left > 0;
		return s->fail_error;
	}
	for (size_t i = 0; i < t->compare_count; i++) {
		struct record *r = find(s, t->compares[i].key);

		if ((r ? r->version : 0) != t->compares[i].version) {
			if (t->stale)
				*t->stale = i;
			return -EAGAIN;
		}
	}
	for (size_t i = 0; i < t->write_count; i++) {
		const struct store_write *w = &t->writes[i];

		if (!*w->key || strlen(w->key) > STORE_KEY_MAX || (w->value && !w->version))
			return -EINVAL;
	}
	for (size_t i = 0; i < t->write_count; i++) {
		if (t->writes[i].value)
			put(s, &t->writes[i]);
		else
			drop(s, t->writes[i].key);
	}
	return 0;
}

static int mem_stat(struct store *store, struct store_stat *out)
{
	*out = (struct store_stat){.records = ((struct store_mem *)store)->count};
	return 0;
}

static void mem_close(struct store *store)
{
	struct store_mem *s = (struct store_mem *)store;

	while (s->count)
		drop(s, s->records[s->count - 1].key);
	free(s->records);
	free(s);
}

struct store *store_mem_new(void)
{
	static const struct store_ops ops = {
		.get = mem_get,
		.list = mem_list,
		.commit = mem_commit,
		.stat = mem_stat,
		.close = mem_close,
	};
	struct store_mem *s = calloc(1, sizeof(*s));

	if (!s)
		abort();  // tests only
	s->base.ops = &ops;
	return &s->base;
}

void store_mem_fail(struct store *store, int error, int n)
{
	struct store_mem *s = (struct store_mem *)store;

	s->fail_error = error;
	s->fail_left = n;
}
