// SPDX-License-Identifier: Apache-2.0
// The committing thread: commit.h. After start it is the only one that touches the store.
#include "controlplane/commit.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define RETRY (200 * NS_PER_MS)

static bool has_work(const struct committer *c)
{
	return c->batch || (c->wanted && (!c->retry_at || clock_now() >= c->retry_at));
}

static void wait_for_work(struct committer *c)
{
	const struct timespec until = {c->retry_at / NS_PER_SEC, c->retry_at % NS_PER_SEC};

	if (c->wanted)
		pthread_cond_timedwait(&c->work, &c->lock, &until);
	else
		pthread_cond_wait(&c->work, &c->lock);
}

// True if the main thread is to know it now.
static bool note(struct committer *c, bool with_batch, int error)
{
	struct commit_result *r = &c->result;
	bool news = with_batch || error || r->last;

	r->last = error;
	c->retry_at = error ? clock_now() + RETRY : 0;
	c->wanted |= error != 0;
	r->alone += !with_batch && !error;
	r->alone_error = with_batch ? 0 : error;
	if (with_batch) {
		r->settled = true;
		r->error = error;
	}
	return news;
}

static void commit_one(struct committer *c)
{
	struct batch *batch = c->batch;
	struct store_stat stat = {0};
	const uint64_t one = 1;
	bool news = false, failed = c->result.last != 0;
	int error;

	c->batch = NULL;
	c->wanted = false;
	c->begun++;
	pthread_mutex_unlock(&c->lock);
	error = registry_commit(c->registry, batch, failed);
	if (!error)
		store_stat(c->registry->store, &stat);
	pthread_mutex_lock(&c->lock);
	c->ended++;
	pthread_cond_signal(&c->rest);
	if (!error)
		c->result.stat = stat;
	if (error != -ENODATA)
		news = note(c, batch != NULL, error);
	if (news && write(c->event_fd, &one, sizeof(one)) < 0)
		return;  // full: it is readable already
}

static void *run(void *arg)
{
	struct committer *c = arg;

	pthread_mutex_lock(&c->lock);
	while (!c->stop) {
		if (has_work(c))
			commit_one(c);
		else
			wait_for_work(c);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

int committer_start(struct committer *c, struct registry *registry)
{
	pthread_condattr_t monotonic;
	int rc;

	*c = (struct committer){.registry = registry, .result.stat = registry->stat};
	c->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->event_fd < 0)
		return -errno;
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&c->work, &monotonic);
	pthread_condattr_destroy(&monotonic);
	pthread_cond_init(&c->rest, NULL);
	rc = pthread_create(&c->thread, NULL, run, c);
	if (rc)
		close(c->event_fd);
	return -rc;
}

void committer_submit(struct committer *c, struct batch *batch)
{
	pthread_mutex_lock(&c->lock);
	c->batch = batch;
	pthread_cond_signal(&c->work);
	pthread_mutex_unlock(&c->lock);
}

void committer_wake(void *committer)
{
	struct committer *c = committer;

	pthread_mutex_lock(&c->lock);
	c->wanted = true;
	pthread_cond_signal(&c->work);
	pthread_mutex_unlock(&c->lock);
}

struct commit_result committer_take(struct committer *c, bool wait)
{
	struct commit_result result;
	uint64_t count, until;

	pthread_mutex_lock(&c->lock);
	until = c->begun + has_work(c);
	while (wait && c->ended < until && (c->begun > c->ended || has_work(c)))
		pthread_cond_wait(&c->rest, &c->lock);
	result = c->result;
	c->result = (struct commit_result){.last = result.last, .stat = result.stat};
	if (read(c->event_fd, &count, sizeof(count)) < 0)
		count = 0;  // it was not told
	pthread_mutex_unlock(&c->lock);
	return result;
}

void committer_stop(struct committer *c)
{
	pthread_mutex_lock(&c->lock);
	c->stop = true;
	pthread_cond_signal(&c->work);
	pthread_mutex_unlock(&c->lock);
	pthread_join(c->thread, NULL);
	pthread_mutex_destroy(&c->lock);
	pthread_cond_destroy(&c->work);
	pthread_cond_destroy(&c->rest);
	close(c->event_fd);
}
