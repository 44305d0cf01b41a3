// SPDX-License-Identifier: Apache-2.0
// What a crash left, record by record and as a state: verify.h. The process that looks is a fork,
// so that its copy of the shadow can be moved on to where the store is.
#include "test/crash/verify.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "controlplane/registry_internal.h"
#include "controlplane/scheduler_internal.h"

#define PATIENCE_S 60

static int complain(struct verify_result *out, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(out->wrong, sizeof(out->wrong), format, args);
	va_end(args);
	return -EBADMSG;
}

// ---- records ----

struct comparison {
	const struct shadow *shadow;
	struct verify_result *out;
	size_t seen;
};

static int compare_record(void *user, const struct store_record *r)
{
	struct comparison *c = user;
	const struct strmap_node *at = strmap_find(&c->shadow->records, r->key);
	const struct shadow_record *s;

	if (!at)
		return complain(c->out, "%s is there and was never stored, or was removed", r->key);
	s = container_of(at, struct shadow_record, node);
	c->seen++;
	if (s->version != r->version || s->len != r->len || s->hash != mark_hash(r->value, r->len))
		return complain(c->out, "%s has version %llu and %zu bytes instead of %llu and %zu",
			r->key, (unsigned long long)r->version, r->len,
			(unsigned long long)s->version, s->len);
	return 0;
}

static int check_records(
	struct store *store, const struct shadow *shadow, struct verify_result *out)
{
	struct comparison c = {shadow, out, 0};
	int rc = store_list(store, "", NULL, compare_record, &c);

	if (rc)
		return out->wrong[0] ? rc : complain(out, "it cannot be listed: %s", strerror(-rc));
	if (c.seen != shadow->records.count)
		return complain(out, "%zu records are missing", shadow->records.count - c.seen);
	return 0;
}

// A later write of a key wins.
static bool comes_again(struct reader r, const char *key)
{
	char other[STORE_KEY_MAX + 1];
	struct mark_record m;

	while (mark_get_record(&r, other, &m))
		if (strcmp(other, key) == 0)
			return true;
	return false;
}

// Whether the batch is there with all its records as they are written. A batch that was refused has
// the number of the next one, so the number alone does not tell.
static bool is_at(struct store *store, const struct shadow_batch *b)
{
	struct reader r = reader_of(b->records.data, b->records.len);
	char key[STORE_KEY_MAX + 1];
	struct mark_record m;
	bool same = true;

	while (same && mark_get_record(&r, key, &m)) {
		uint64_t version, hash;
		size_t len;
		void *value;
		int rc;

		if (comes_again(r, key))
			continue;
		rc = store_get(store, key, &value, &len, &version);
		hash = rc ? 0 : mark_hash(value, len);
		same = m.version ? !rc && version == m.version && hash == m.hash : rc == -ENOENT;
		if (!rc)
			free(value);
	}
	return same;
}

// Finds the batch that the store is at, and moves the shadow there.
static int find_batch(struct store *store, struct shadow *shadow, struct verify_result *out)
{
	uint64_t number = 0;
	size_t len;
	void *value;
	int rc = store_get(store, REGISTRY_META_KEY, &value, &len, &number);

	if (rc)
		return complain(out, "there is no batch at all: %s", strerror(-rc));
	free(value);
	out->begun = -1;
	if (number == shadow->durable)
		return 0;
	if (number < shadow->durable)
		return complain(out,
			"batch %llu was acknowledged and is lost: the store is at %llu",
			(unsigned long long)shadow->durable, (unsigned long long)number);
	for (size_t k = 0; k < shadow->begun_count; k++) {
		if (shadow->begun[k].number != number || !is_at(store, &shadow->begun[k]))
			continue;
		out->begun = (int)k;
		shadow_advance(shadow, k);
		return shadow->wrong[0] ? complain(out, "%s", shadow->wrong) : 0;
	}
	return complain(out, "the store is at batch %llu, which is not whole, or was never begun",
		(unsigned long long)number);
}

// ---- the scheduler ----

static void count_live(void *user, const struct scheduler_placement *p)
{
	*(uint64_t *)user += sched_live(p->instance);
}

static void ignore_stopped(void *user, const char *id, bool lost)
{
}

static void ignore(void *user, const char *id)
{
}

static const struct scheduler_deeds no_deeds = {count_live, ignore_stopped, ignore, ignore};

static uint64_t live_instances(const struct sched_snapshot *s)
{
	uint64_t n = 0;

	for (uint32_t k = 0; k < s->tables[SCHED_TABLE_INSTANCES].high; k++)
		n += sched_instance_at(s, k) && sched_live(sched_instance_at(s, k));
	return n;
}

static int check_scheduler(
	struct store *store, const struct shadow *shadow, struct verify_result *out)
{
	static struct scheduler s;
	uint64_t told = 0;
	const char *wrong;
	int rc;

	s = (struct scheduler){.deeds = &no_deeds, .user = &told, .event_fd = -1};
	pthread_mutex_init(&s.lock, NULL);
	s.core = sched_core_new(NULL, 1);
	s.reader = sched_reader_new(&s.core->state->pages);
	rc = scheduler_load(&s, store);
	if (rc)
		return complain(out, "the scheduler cannot read its log: %s", strerror(-rc));
	wrong = verify_state(&s.core->state->head);
	if (wrong)
		return complain(out, "%s", wrong);
	if (sched_state_hash(&s.core->state->head) != sched_state_hash(&shadow->state->head))
		return complain(out, "checkpoint and logs make another state than all logs do");
	if (told != live_instances(&s.core->state->head))
		return complain(out, "%llu instances are told of at start, and %llu live",
			(unsigned long long)told,
			(unsigned long long)live_instances(&s.core->state->head));
	rc = sched_core_start(s.core, 1);
	return rc ? complain(out, "the core does not start: %s", strerror(-rc)) : 0;
}

// ---- the whole ----

static int store_more(const char *directory, struct store *store, struct verify_result *out)
{
	struct store_write w = {"crash/more", "x", 1, 1};
	struct store_txn t = {.writes = &w, .write_count = 1};
	uint64_t version = 0;
	size_t len;
	void *value;
	int rc = store_commit(store, &t);

	store_close(store);
	if (rc)
		return complain(out, "nothing more can be stored: %s", strerror(-rc));
	store = mark_open_store(directory, &rc);
	if (store)
		rc = store_get(store, w.key, &value, &len, &version);
	if (!store || rc || version != 1)
		return complain(out, "what was stored then is not there: %s", strerror(-rc));
	free(value);
	store_close(store);
	return 0;
}

static int verify(
	const char *directory, struct shadow *shadow, bool go_on, struct verify_result *out)
{
	static struct registry registry;
	struct store *store;
	int rc = 0;

	store = mark_open_store(directory, &rc);
	if (!store)
		return complain(out, "the store cannot be opened: %s", strerror(-rc));
	if (shadow->known) {
		rc = find_batch(store, shadow, out);
		if (!rc)
			rc = check_records(store, shadow, out);
		if (rc)
			return rc;
	}
	rc = registry_init(&registry, store);
	if (rc)
		return complain(out, "the registry cannot be read: %s", strerror(-rc));
	if (shadow->known && registry.durable != shadow->seq)
		return complain(out, "the registry is at seq %llu instead of %llu",
			(unsigned long long)registry.durable, (unsigned long long)shadow->seq);
	rc = check_scheduler(store, shadow, out);
	if (rc || !go_on) {
		store_close(store);
		return rc;
	}
	return store_more(directory, store, out);
}

int verify_store(
	const char *directory, const struct shadow *shadow, bool go_on, struct verify_result *out)
{
	int fds[2], status;
	pid_t pid;

	*out = (struct verify_result){.begun = -1};
	if (pipe(fds) != 0 || (pid = fork()) < 0)
		abort();
	if (pid == 0) {
		alarm(PATIENCE_S);
		verify(directory, (struct shadow *)(uintptr_t)shadow, go_on, out);
		if (write(fds[1], out, sizeof(*out)) != sizeof(*out))
			_exit(3);
		_exit(0);
	}
	close(fds[1]);
	if (read(fds[0], out, sizeof(*out)) != sizeof(*out))
		complain(out, "the process that looked did not come to its end");
	close(fds[0]);
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status))
		complain(out, "who opened it was ended by signal %d", WTERMSIG(status));
	return out->wrong[0] ? -EBADMSG : 0;
}
