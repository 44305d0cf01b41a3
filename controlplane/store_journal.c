// SPDX-License-Identifier: Apache-2.0
// A journal before another store, so that a commit costs one sync, of pages that are there already.
//
// A commit is a record in the file `journal` (journal_file.h), in one of its halves. When that is
// full, or what is in it is to be listed, a thread writes the last value of each of its keys to the
// store below, in transactions of moderate size with pauses, and says so there: `journal/applied`
// has as its version one more than the seq of the last record that is applied. Only then is the
// half used again; a commit that needs it before waits. What was put and removed within a half, as
// most of the scheduler's log is, never gets below.
//
// After a crash the records behind `journal/applied` are applied again, all of them, since the
// store below may have some of their writes and not others. So without its journal such a store is
// worth nothing, and is not opened: its record says whether the journal is needed, and the journal
// whose it is.
//
// A record that could not be written or synced may be there after all. So its place is written over
// and synced before anything else is accepted. When the store below refuses, it is tried again
// every 200 ms, and commits go on as long as the journal has room.
#include "controlplane/store_journal.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "controlplane/journal_file.h"
#include "controlplane/journal_pending.h"
#include "controlplane/registry_internal.h"
#include "lib/base/clock.h"
#include "lib/base/cursor.h"
#include "lib/base/log.h"

#define APPLIED_KEY "journal/applied"
#define APPLIED_BYTES 9 // run, whether the journal is needed
#define AGAIN_NS (200 * NS_PER_MS)
#define PAUSE_MAX_NS (50 * NS_PER_MS)
#define COMPARED_MAX 1024
#define NICE 10 // of the thread: commits have a whole half before they wait for it

struct compared {
	struct strmap_node node;
	uint64_t version;
	char key[];
};

struct store_journal {
	struct store base;
	struct store *inner;
	struct journal_file file;
	char *directory;
	struct pending *filling; // of the half that is written
	struct strmap compared;  // versions now, of keys that were compared
	pthread_mutex_t inner_lock;
	pthread_t thread;
	bool running;

	pthread_mutex_t lock;      // of the rest
	pthread_cond_t work, done; // for the thread; of the thread
	struct pending *sealed;    // what it applies; NULL: nothing
	uint64_t sealed_seq;
	bool hurry, stop;
	uint64_t tries;
	int error; // of the last try
	struct store_stat stat;
};

static struct store_journal *journal_of(struct store *store)
{
	return (struct store_journal *)store;
}

// ---- the store below ----

static int inner_commit(struct store_journal *s, const struct store_txn *t)
{
	struct store_stat stat;
	int rc;

	pthread_mutex_lock(&s->inner_lock);
	rc = store_commit(s->inner, t);
	if (!rc && store_stat(s->inner, &stat) == 0) {
		pthread_mutex_lock(&s->lock);
		s->stat = stat;
		s->stat.records -= stat.records > 0; // APPLIED_KEY
		pthread_mutex_unlock(&s->lock);
	}
	pthread_mutex_unlock(&s->inner_lock);
	return rc;
}

static int commit_at_once(void *user, const struct store_txn *t)
{
	return inner_commit(user, t);
}

// Unless somebody waits.
static void pause_for(struct store_journal *s, ns_t span)
{
	ns_t end = clock_now() + span;
	const struct timespec until = {end / NS_PER_SEC, end % NS_PER_SEC};

	pthread_mutex_lock(&s->lock);
	while (!s->hurry && !s->stop && pthread_cond_timedwait(&s->work, &s->lock, &until) == 0)
		;
	pthread_mutex_unlock(&s->lock);
}

// As long again as it took, so that the disk is the journal's half of the time at least.
static int commit_with_pause(void *user, const struct store_txn *t)
{
	ns_t start = clock_now();
	int rc = inner_commit(user, t);

	start = clock_now() - start;
	if (!rc)
		pause_for(user, start < PAUSE_MAX_NS ? start : PAUSE_MAX_NS);
	return rc;
}

static int apply(struct store_journal *s, const struct pending *p, uint64_t seq,
	int (*commit)(void *user, const struct store_txn *t))
{
	uint8_t bytes[APPLIED_BYTES];
	struct writer w = writer_of(bytes, sizeof(bytes));

	writer_u64(&w, s->file.run);
	writer_u8(&w, 1);
	return pending_apply(
		p, &(struct store_write){APPLIED_KEY, bytes, sizeof(bytes), seq + 1}, commit, s);
}

static void *run(void *arg)
{
	struct store_journal *s = arg;

	// Of this thread alone; if it cannot be had it is as well.
	setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
	pthread_mutex_lock(&s->lock);
	for (;;) {
		struct pending *spent;
		int rc;

		while (!s->stop && !s->sealed)
			pthread_cond_wait(&s->work, &s->lock);
		if (s->stop)
			break;
		pthread_mutex_unlock(&s->lock);
		rc = apply(s, s->sealed, s->sealed_seq, commit_with_pause);
		pthread_mutex_lock(&s->lock);
		s->error = rc;
		s->tries++;
		s->hurry = false;
		spent = rc ? NULL : s->sealed;
		if (!rc)
			s->sealed = NULL;
		pthread_cond_broadcast(&s->done);
		pthread_mutex_unlock(&s->lock);
		// A whole half: commits do not wait for that, nor does who looks at store_stat().
		pending_free(spent);
		if (rc)
			pause_for(s, AGAIN_NS);
		pthread_mutex_lock(&s->lock);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

// Until the thread has nothing to apply, or has tried and failed. With the lock.
static int wait_for_thread(struct store_journal *s)
{
	uint64_t tries = s->tries;

	while (s->sealed && s->tries == tries) {
		s->hurry = true;
		pthread_cond_signal(&s->work);
		pthread_cond_wait(&s->done, &s->lock);
	}
	return s->sealed ? s->error : 0;
}

// Hands the half to the thread and goes on in the other, once that is free. The error of the store
// below if it refuses.
static int turn(struct store_journal *s)
{
	int rc;

	pthread_mutex_lock(&s->lock);
	rc = wait_for_thread(s);
	if (!rc) {
		s->sealed = s->filling;
		s->sealed_seq = s->file.seq;
		s->filling = pending_new();
		journal_file_turn(&s->file);
		pthread_cond_signal(&s->work);
	}
	pthread_mutex_unlock(&s->lock);
	return rc;
}

// Until all is in the store below. What was refused is mended before: its place is left here.
static int flush(struct store_journal *s)
{
	int rc = s->file.at ? turn(s) : 0;

	if (rc)
		return rc;
	pthread_mutex_lock(&s->lock);
	rc = wait_for_thread(s);
	pthread_mutex_unlock(&s->lock);
	return rc;
}

// ---- reading ----

static int copy_out(const struct pending_write *w, void **value, size_t *len, uint64_t *version)
{
	char *copy;

	if (w->removed)
		return -ENOENT;
	copy = malloc(w->len + 1);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, w->value, w->len);
	copy[w->len] = 0;
	*value = copy;
	*len = w->len;
	*version = w->version;
	return 0;
}

static int journal_get(
	struct store *store, const char *key, void **value, size_t *len, uint64_t *version)
{
	struct store_journal *s = journal_of(store);
	const struct pending_write *w = pending_find(s->filling, key);
	int rc;

	if (w)
		return copy_out(w, value, len, version);
	pthread_mutex_lock(&s->lock);
	w = s->sealed ? pending_find(s->sealed, key) : NULL;
	rc = w ? copy_out(w, value, len, version) : 0;
	pthread_mutex_unlock(&s->lock);
	if (w)
		return rc;
	pthread_mutex_lock(&s->inner_lock);
	rc = store_get(s->inner, key, value, len, version);
	pthread_mutex_unlock(&s->inner_lock);
	return rc;
}

struct listing {
	int (*each)(void *user, const struct store_record *record);
	void *user;
};

static int list_one(void *user, const struct store_record *record)
{
	const struct listing *l = user;

	return strcmp(record->key, APPLIED_KEY) == 0 ? 0 : l->each(l->user, record);
}

// Nothing is applied meanwhile, since nothing is committed.
static int journal_list(struct store *store, const char *prefix, const char *after,
	int (*each)(void *user, const struct store_record *record), void *user)
{
	struct store_journal *s = journal_of(store);
	struct listing l = {each, user};
	int rc = journal_file_mend(&s->file);

	if (!rc)
		rc = flush(s);
	return rc ? rc : store_list(s->inner, prefix, after, list_one, &l);
}

static int journal_stat(struct store *store, struct store_stat *out)
{
	struct store_journal *s = journal_of(store);

	pthread_mutex_lock(&s->lock);
	*out = s->stat;
	out->behind = s->error;
	pthread_mutex_unlock(&s->lock);
	return 0;
}

// ---- comparisons ----

static void forget_compared(struct store_journal *s)
{
	struct strmap_node *next;

	for (struct strmap_node *n = strmap_next(&s->compared, NULL); n; n = next) {
		next = strmap_next(&s->compared, n);
		free(n);
	}
	strmap_fini(&s->compared);
}

static struct compared *compared_of(const struct store_journal *s, const char *key)
{
	return (struct compared *)strmap_find(&s->compared, key); // its first member
}

// The version of a key, from the store the first time.
static int version_of(struct store_journal *s, const char *key, uint64_t *version)
{
	struct compared *c = compared_of(s, key);
	size_t len;
	void *value;
	int rc;

	if (c) {
		*version = c->version;
		return 0;
	}
	*version = 0;
	rc = journal_get(&s->base, key, &value, &len, version);
	if (rc && rc != -ENOENT)
		return rc;
	if (!rc)
		free(value);
	if (s->compared.count >= COMPARED_MAX)
		forget_compared(s);
	c = must(malloc(sizeof(*c) + strlen(key) + 1));
	c->version = *version;
	strcpy(c->key, key);
	strmap_add(&s->compared, &c->node, c->key);
	return 0;
}

static int compare(struct store_journal *s, const struct store_txn *t)
{
	for (size_t i = 0; i < t->compare_count; i++) {
		uint64_t version;
		int rc = version_of(s, t->compares[i].key, &version);

		if (rc)
			return rc;
		if (version == t->compares[i].version)
			continue;
		if (t->stale)
			*t->stale = i;
		return -EAGAIN;
	}
	return 0;
}

// ---- commits ----

static int check(const struct store_txn *t)
{
	for (size_t i = 0; i < t->write_count; i++) {
		const struct store_write *w = &t->writes[i];

		if (!*w->key || strlen(w->key) > STORE_KEY_MAX || (w->value && !w->version) ||
			strcmp(w->key, APPLIED_KEY) == 0)
			return -EINVAL;
	}
	return 0;
}

static void remember_versions(struct store_journal *s, const struct store_txn *t)
{
	for (size_t i = 0; i < t->write_count; i++) {
		struct compared *c = compared_of(s, t->writes[i].key);

		if (c)
			c->version = t->writes[i].value ? t->writes[i].version : 0;
	}
}

// What is larger than a half goes below by itself, behind all that was before it.
static int commit_large(struct store_journal *s, const struct store_txn *t)
{
	int rc = flush(s);

	if (!rc)
		rc = inner_commit(s, t);
	if (rc)
		forget_compared(s);
	return rc;
}

static int commit_record(struct store_journal *s, const struct store_txn *t)
{
	int rc = journal_file_fits(&s->file) ? 0 : turn(s);

	if (!rc)
		rc = journal_file_append(&s->file);
	for (size_t i = 0; !rc && i < t->write_count; i++)
		pending_put(s->filling, &t->writes[i]);
	return rc;
}

static int journal_commit(struct store *store, const struct store_txn *t)
{
	struct store_journal *s = journal_of(store);
	int rc = journal_file_mend(&s->file);

	if (!rc)
		rc = compare(s, t);
	if (!rc)
		rc = check(t);
	if (rc)
		return rc;
	journal_file_prepare(&s->file, t);
	rc = s->file.record_bytes > s->file.half_bytes ? commit_large(s, t) : commit_record(s, t);
	if (!rc)
		remember_versions(s, t);
	return rc;
}

// ---- opening and closing ----

// What the store below knows of the journal.
struct applied {
	uint64_t seq, run;
	bool needed; // there may be records behind seq
};

static int read_applied(struct store *inner, struct applied *out)
{
	uint64_t version;
	size_t len;
	void *value;
	int rc = store_get(inner, APPLIED_KEY, &value, &len, &version);
	struct reader r;

	*out = (struct applied){0};
	if (rc)
		return rc == -ENOENT ? 0 : rc;
	r = reader_of(value, len);
	out->seq = version - 1;
	out->run = reader_u64(&r);
	out->needed = reader_u8(&r) != 0;
	free(value);
	return r.bad ? -EIO : 0;
}

// -ENOSPC with f->fd -1: it is not there, and there is no room for it.
static int open_file(
	struct journal_file *f, const char *directory, const struct applied *applied, size_t bytes)
{
	int rc = journal_file_open(f, directory);

	// One more of an older form; nobody needs what is in it.
	if (!rc && !f->first && !applied->needed) {
		journal_file_close(f);
		rc = -ENOENT;
	}
	if (rc != -ENOENT)
		return rc;
	if (applied->needed)
		return -ENODATA;
	rc = journal_file_make(directory, bytes ? bytes : JOURNAL_BYTES);
	return rc ? rc : journal_file_open(f, directory);
}

// Whether it goes with the store below: both have the same run, or the last start did not come to
// telling the store of its own, and so wrote no record.
static int check_run(struct store_journal *s, const struct applied *applied)
{
	int rc;

	if (!applied->needed || !s->file.first || applied->run == s->file.run)
		return 0;
	rc = applied->run == s->file.before ? journal_file_holds(&s->file) : 1;
	return rc > 0 ? -ESTALE : rc;
}

static void put_pending(void *user, const struct store_write *write)
{
	pending_put(user, write);
}

// Applies what an earlier run left, and begins a new one, in one go.
static int begin_run(struct store_journal *s, const struct applied *applied)
{
	uint64_t run;
	int rc = check_run(s, applied);

	if (rc)
		return rc;
	s->file.run = applied->run;
	s->file.seq = applied->seq;
	if (applied->needed)
		rc = journal_file_read(&s->file, applied->seq, put_pending, s->filling);
	if (rc)
		return rc;
	do {
		if (getrandom(&run, sizeof(run), 0) != sizeof(run))
			return -EIO;
	} while (run == applied->run);
	rc = journal_file_begin(&s->file, run, applied->run);
	if (rc)
		return rc;
	rc = apply(s, s->filling, s->file.seq, commit_at_once);
	pending_free(s->filling);
	s->filling = pending_new();
	return rc;
}

static int start_thread(struct store_journal *s)
{
	int rc = pthread_create(&s->thread, NULL, run, s);

	s->running = !rc;
	return -rc;
}

static void init(struct store_journal *s, const char *directory, struct store *inner)
{
	pthread_condattr_t attr;

	s->inner = inner;
	s->directory = must(strdup(directory));
	s->file.fd = -1;
	s->filling = pending_new();
	pthread_mutex_init(&s->lock, NULL);
	pthread_mutex_init(&s->inner_lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->work, &attr);
	pthread_cond_init(&s->done, &attr);
	pthread_condattr_destroy(&attr);
}

static void stop_thread(struct store_journal *s)
{
	if (!s->running)
		return;
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_signal(&s->work);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
}

// All but the store below.
static void destroy(struct store_journal *s)
{
	stop_thread(s);
	journal_file_close(&s->file);
	pending_free(s->filling);
	pending_free(s->sealed);
	forget_compared(s);
	pthread_mutex_destroy(&s->lock);
	pthread_mutex_destroy(&s->inner_lock);
	pthread_cond_destroy(&s->work);
	pthread_cond_destroy(&s->done);
	free(s->directory);
	free(s);
}

// The store below is whole without the journal then, as a backup of its file is.
static void journal_close(struct store *store)
{
	struct store_journal *s = journal_of(store);
	struct store *inner = s->inner;
	const uint8_t bytes[APPLIED_BYTES] = {0};
	const struct store_write w = {APPLIED_KEY, bytes, sizeof(bytes), s->file.seq + 1};
	int rc;

	// If it cannot be mended all that helps is that the journal is not needed.
	journal_file_mend(&s->file);
	rc = flush(s);
	if (!rc)
		rc = inner_commit(s, &(struct store_txn){.writes = &w, .write_count = 1});
	if (rc)
		log_error("store",
			"%s/journal still holds what store.mdb could not take: %s; keep the two "
			"together, and free some space or mend the disk: the next start goes on",
			s->directory, strerror(-rc));
	destroy(s);
	store_close(inner);
}

struct store *store_journal_open(
	const char *directory, struct store *inner, size_t bytes, int *error)
{
	static const struct store_ops ops = {
		.get = journal_get,
		.list = journal_list,
		.commit = journal_commit,
		.stat = journal_stat,
		.close = journal_close,
	};
	struct store_journal *s = must(calloc(1, sizeof(*s)));
	struct applied applied;

	s->base.ops = &ops;
	init(s, directory, inner);
	*error = read_applied(inner, &applied);
	if (!*error)
		*error = open_file(&s->file, directory, &applied, bytes);
	if (*error == -ENOSPC && s->file.fd < 0) {
		destroy(s);
		return inner;
	}
	if (!*error)
		*error = begin_run(s, &applied);
	if (!*error)
		*error = start_thread(s);
	if (*error) {
		destroy(s);
		return NULL;
	}
	return &s->base;
}
