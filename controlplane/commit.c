// SPDX-License-Identifier: Apache-2.0
// The committing thread. After start it is the only one that touches the store; the main thread
// hands it a sealed batch and gets a result, told by an eventfd.
#include "controlplane/commit.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void *run(void *arg)
{
	struct committer *c = arg;
	const uint64_t one = 1;

	pthread_mutex_lock(&c->lock);
	for (;;) {
		struct store_stat stat = {0};
		const struct batch *batch;
		int result;

		while (!c->stop && (!c->batch || c->done))
			pthread_cond_wait(&c->work, &c->lock);
		if (c->stop)
			break;
		batch = c->batch;
		pthread_mutex_unlock(&c->lock);
		result = batch_commit(batch, c->store);
		store_stat(c->store, &stat);
		pthread_mutex_lock(&c->lock);
		c->result = result;
		c->stat = stat;
		c->done = true;
		pthread_cond_signal(&c->ready);
		if (write(c->event_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
			break;
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

int committer_start(struct committer *c, struct store *store)
{
	int rc;

	*c = (struct committer){.store = store};
	c->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->event_fd < 0)
		return -errno;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->work, NULL);
	pthread_cond_init(&c->ready, NULL);
	rc = pthread_create(&c->thread, NULL, run, c);
	if (rc)
		close(c->event_fd);
	return -rc;
}

void committer_submit(struct committer *c, const struct batch *batch)
{
	pthread_mutex_lock(&c->lock);
	c->batch = batch;
	c->done = false;
	pthread_cond_signal(&c->work);
	pthread_mutex_unlock(&c->lock);
}

bool committer_take(struct committer *c, bool wait, int *result, struct store_stat *stat)
{
	uint64_t count;
	bool taken;

	if (read(c->event_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return false;
	pthread_mutex_lock(&c->lock);
	while (wait && c->batch && !c->done)
		pthread_cond_wait(&c->ready, &c->lock);
	taken = c->batch && c->done;
	if (taken) {
		*result = c->result;
		*stat = c->stat;
		c->batch = NULL;
		c->done = false;
	}
	pthread_mutex_unlock(&c->lock);
	return taken;
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
	pthread_cond_destroy(&c->ready);
	close(c->event_fd);
}
