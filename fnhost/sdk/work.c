// SPDX-License-Identifier: Apache-2.0
// Worker threads: each takes a job, runs its handler, and posts its end. Also the backend's calls, which
// run on these threads and reach the loop through the outbox.
//
//   queue --worker--> handler --OP_ITEM, OP_CALL--> outbox --OP_END--> loop
#include "fnhost/sdk/service.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static struct job *job_of(struct pn_context *ctx)
{
	return container_of(ctx, struct job, ctx);
}

// With the lock held.
static void post(struct service *s, struct op *op)
{
	bool was_empty = list_empty(&s->outbox);

	list_push(&s->outbox, &op->link);
	if (was_empty)
		eventfd_write(s->event_fd, 1);
}

static struct op *op_new(struct job *job, enum op_kind kind)
{
	struct op *op = calloc(1, sizeof(*op));

	if (op) {
		op->job = job;
		op->kind = kind;
	}
	return op;
}

// Waits on the job's condition, with the lock held, no longer than to its deadline. False: cancelled.
static bool wait_job(struct job *job)
{
	struct service *s = job->service;
	ns_t deadline = job->ctx.deadline;

	if (pn_cancelled(&job->ctx))
		return false;
	if (deadline == NS_NEVER) {
		pthread_cond_wait(&job->cond, &s->lock);
	} else {
		struct timespec until = {
			.tv_sec = deadline / NS_PER_SEC, .tv_nsec = deadline % NS_PER_SEC};

		pthread_cond_timedwait(&job->cond, &s->lock, &until);
	}
	return !pn_cancelled(&job->ctx);
}

static bool item_may_go(const struct job *job)
{
	return job->credit > 0 && job->op_bytes + job->stream_bytes < ITEM_BYTES_WINDOW;
}

static int backend_item(struct pn_context *ctx, const void *data, size_t len, bool wait)
{
	struct job *job = job_of(ctx);
	struct service *s = job->service;
	struct op *op = op_new(job, OP_ITEM);
	int error = 0;

	if (op)
		op->data = pn_copy(data, len);
	if (!op || !op->data) {
		free(op);
		return -ENOMEM;
	}
	op->len = len;
	pthread_mutex_lock(&s->lock);
	while (!error && !item_may_go(job)) {
		if (!wait)
			error = -EAGAIN;
		else if (!wait_job(job))
			error = -ECANCELED;
	}
	if (!error) {
		job->credit--;
		job->op_bytes += len;
		post(s, op);
	}
	pthread_mutex_unlock(&s->lock);
	if (error) {
		free(op->data);
		free(op);
	}
	return error;
}

static int backend_call(struct pn_context *ctx, struct pn_outgoing *out)
{
	struct job *job = job_of(ctx);
	struct op *op = op_new(job, OP_CALL);

	if (!op)
		return -ENOMEM;
	op->out = out;
	pthread_mutex_lock(&job->service->lock);
	list_push(&ctx->outgoing, &out->link);
	post(job->service, op);
	pthread_mutex_unlock(&job->service->lock);
	return 0;
}

static struct pn_outgoing *first_over(struct pn_context *ctx)
{
	list_for_each (at, &ctx->outgoing) {
		struct pn_outgoing *out = list_entry(at, struct pn_outgoing, link);

		if (out->over)
			return out;
	}
	return NULL;
}

static struct pn_outgoing *backend_next_over(struct pn_context *ctx)
{
	struct job *job = job_of(ctx);
	struct pn_outgoing *out = NULL;
	bool live;

	pthread_mutex_lock(&job->service->lock);
	live = !pn_cancelled(ctx);
	while (live && !(out = first_over(ctx)))
		live = wait_job(job);
	if (out)
		list_del(&out->link);
	pthread_mutex_unlock(&job->service->lock);
	return out;
}

static ns_t backend_now(struct pn_context *ctx)
{
	return clock_now();
}

static void backend_log(struct pn_context *ctx, const char *line, size_t len)
{
	if (write(STDERR_FILENO, line, len) < 0)
		return; // the log is gone, and with it whom to tell
}

const struct pn_backend service_backend = {
	.item = backend_item,
	.call = backend_call,
	.next_over = backend_next_over,
	.now = backend_now,
	.log = backend_log,
};

static struct job *next_job(struct service *s)
{
	struct job *job = NULL;

	pthread_mutex_lock(&s->lock);
	while (!s->stop && list_empty(&s->queue))
		pthread_cond_wait(&s->work, &s->lock);
	if (!list_empty(&s->queue)) {
		job = list_entry(s->queue.next, struct job, link);
		list_del(&job->link);
		job->running = true;
	}
	pthread_mutex_unlock(&s->lock);
	return job;
}

static void *worker(void *arg)
{
	struct service *s = arg;
	struct job *job;

	while ((job = next_job(s))) {
		struct op *end;

		pn_context_run(&job->ctx, s->function);
		// The end must come to the loop, or the host would count the call for ever.
		while (!(end = op_new(job, OP_END)))
			usleep(1000);
		pthread_mutex_lock(&s->lock);
		post(s, end);
		pthread_mutex_unlock(&s->lock);
	}
	return NULL;
}

void work_queue(struct service *s, struct job *job)
{
	pthread_mutex_lock(&s->lock);
	list_push(&s->queue, &job->link);
	pthread_cond_signal(&s->work);
	pthread_mutex_unlock(&s->lock);
}

bool work_unqueue(struct service *s, struct job *job)
{
	bool was_queued;

	pthread_mutex_lock(&s->lock);
	was_queued = !job->running;
	if (was_queued)
		list_del(&job->link);
	pthread_mutex_unlock(&s->lock);
	return was_queued;
}

void work_cancel(struct service *s, struct job *job)
{
	pthread_mutex_lock(&s->lock);
	__atomic_store_n(&job->ctx.cancelled, true, __ATOMIC_RELEASE);
	pthread_cond_broadcast(&job->cond);
	pthread_mutex_unlock(&s->lock);
}

int work_start(struct service *s)
{
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->work, NULL);
	list_init(&s->queue);
	list_init(&s->outbox);
	s->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->event_fd < 0)
		return -errno;
	while (s->threads_count < s->concurrency) {
		int error = pthread_create(&s->threads[s->threads_count], NULL, worker, s);

		if (error)
			return -error;
		s->threads_count++;
	}
	return 0;
}

void work_stop(struct service *s)
{
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_broadcast(&s->work);
	pthread_mutex_unlock(&s->lock);
	for (unsigned i = 0; i < s->threads_count; i++)
		pthread_join(s->threads[i], NULL);
	close(s->event_fd);
}
