// SPDX-License-Identifier: Apache-2.0
// The queue of plans: a list a priority and a bitmap of those in use. Pure; of one thread or under
// one lock.
#include <errno.h>

#include "sched/plan.h"

void sched_plan_queue_init(struct sched_plan_queue *q)
{
	*q = (struct sched_plan_queue){0};
	for (int p = 0; p <= SCHED_PRIORITY_MAX; p++)
		list_init(&q->queues[p]);
}

void sched_plan_queue_enable(struct sched_plan_queue *q)
{
	q->enabled = true;
}

int sched_plan_queue_put(struct sched_plan_queue *q, struct sched_plan *plan)
{
	if (!q->enabled)
		return -ECANCELED;
	list_push(&q->queues[plan->priority], &plan->link);
	q->used[plan->priority / 64] |= 1ull << plan->priority % 64;
	q->count++;
	return 0;
}

struct sched_plan *sched_plan_queue_take(struct sched_plan_queue *q)
{
	struct sched_plan *plan;
	int p;

	if (!q->count)
		return NULL;
	p = q->used[1] ? 127 - __builtin_clzll(q->used[1]) : 63 - __builtin_clzll(q->used[0]);
	plan = list_entry(list_first(&q->queues[p]), struct sched_plan, link);
	list_del(&plan->link);
	if (list_empty(&q->queues[p]))
		q->used[p / 64] &= ~(1ull << p % 64);
	q->count--;
	return plan;
}

void sched_plan_queue_disable(struct sched_plan_queue *q, struct list *out)
{
	struct sched_plan *plan;

	q->enabled = false;
	while ((plan = sched_plan_queue_take(q))) {
		plan->error = -ECANCELED;
		list_push(out, &plan->link);
	}
}
