// SPDX-License-Identifier: Apache-2.0
// Marks as bytes: mark.h.
#include "test/crash/mark.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "controlplane/scheduler.h"
#include "controlplane/store_journal.h"

#define JOURNAL_SMALL ((size_t)256 << 10)

static void write_all(int fd, const uint8_t *at, size_t left)
{
	while (left) {
		ssize_t n = write(fd, at, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			_exit(3);
		at += n;
		left -= (size_t)n;
	}
}

void mark_send(int fd, enum mark type, const struct sched_bytes *body)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	size_t len = body ? body->len : 0;
	uint8_t *all = malloc(MARK_HEAD_BYTES + len);
	struct writer w = writer_of(all, MARK_HEAD_BYTES + len);

	if (!all)
		abort();
	writer_u32(&w, type);
	writer_u32(&w, (uint32_t)len);
	writer_bytes(&w, len ? body->data : NULL, len);
	// One write, so that it is one mark of a recording, too.
	pthread_mutex_lock(&lock);
	write_all(fd, all, MARK_HEAD_BYTES + len);
	pthread_mutex_unlock(&lock);
	free(all);
}

uint64_t mark_hash(const void *bytes, size_t len)
{
	return XXH3_64bits(len ? bytes : "", len);
}

bool mark_is_log(const char *key)
{
	return strncmp(key, SCHEDULER_LOG_PREFIX, strlen(SCHEDULER_LOG_PREFIX)) == 0;
}

void mark_put_text(struct sched_bytes *b, const char *text)
{
	size_t len = strlen(text);
	uint8_t *at;

	sched_put_uint(b, len);
	at = sched_bytes_take(b, len);
	if (at)
		memcpy(at, text, len);
}

void mark_get_text(struct reader *r, char *text, size_t room)
{
	size_t len = sched_get_uint(r);
	const uint8_t *at = reader_take(r, len);

	text[0] = 0;
	if (!at || len >= room) {
		r->bad = true;
		return;
	}
	memcpy(text, at, len);
	text[len] = 0;
}

void mark_put_record(struct sched_bytes *b, const struct mark_record *record)
{
	uint8_t *at;

	mark_put_text(b, record->key);
	sched_put_uint(b, record->version);
	sched_put_uint(b, record->len);
	sched_put_uint(b, record->hash);
	sched_put_u8(b, record->bytes != NULL);
	at = record->bytes ? sched_bytes_take(b, record->len) : NULL;
	if (at)
		memcpy(at, record->bytes, record->len);
}

void mark_put_writes(struct sched_bytes *b, const struct store_txn *txn)
{
	for (size_t i = 0; i < txn->write_count; i++) {
		const struct store_write *w = &txn->writes[i];
		const bool log = w->value && mark_is_log(w->key);

		mark_put_record(b, &(struct mark_record){.key = w->key,
					   .version = w->value ? w->version : 0,
					   .len = w->value ? w->len : 0,
					   .hash = w->value ? mark_hash(w->value, w->len) : 0,
					   .bytes = log ? w->value : NULL});
	}
}

bool mark_get_record(struct reader *r, char key[STORE_KEY_MAX + 1], struct mark_record *record)
{
	if (!reader_left(r))
		return false;
	mark_get_text(r, key, STORE_KEY_MAX + 1);
	record->key = key;
	record->version = sched_get_uint(r);
	record->len = sched_get_uint(r);
	record->hash = sched_get_uint(r);
	record->bytes = reader_u8(r) ? reader_take(r, record->len) : NULL;
	return !r->bad;
}

struct store *mark_open_store(const char *directory, int *error)
{
	struct store *below = store_lmdb_open(directory, error), *store;

	if (!below)
		return NULL;
	store = store_journal_open(directory, below, JOURNAL_SMALL, error);
	if (!store)
		store_close(below);
	return store;
}
