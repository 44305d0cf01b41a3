// SPDX-License-Identifier: Apache-2.0
// The rules that a state keeps at any time: verify.h.
#include "test/crash/verify.h"

static void add(struct sched_res *sum, const struct sched_res *ask)
{
	sum->cpu_milli += ask->cpu_milli;
	sum->memory_mib += ask->memory_mib;
	sum->disk_mib += ask->disk_mib;
	sum->slots += ask->slots;
}

static bool over(uint32_t used, uint32_t capacity)
{
	return capacity != UINT32_MAX && used > capacity;
}

static const char *check_node(const struct sched_snapshot *s, uint32_t slot)
{
	const struct sched_node *n = sched_node_at(s, slot);
	struct sched_res used = {0};
	uint32_t holding = 0;

	for (uint32_t at = n->first_instance; at != SCHED_NONE;) {
		const struct sched_instance *i = sched_instance_at(s, at);

		if (!i || i->node != slot)
			return "a node's list is broken";
		if (!!(i->flags & SCHED_INSTANCE_HOLDS) != sched_live(i))
			return "an instance holds room and is not live, or the reverse";
		if (sched_live(i)) {
			add(&used, &i->ask);
			holding++;
		}
		at = i->next_on_node;
	}
	if (used.cpu_milli != n->used.cpu_milli || used.memory_mib != n->used.memory_mib ||
		used.disk_mib != n->used.disk_mib || used.slots != n->used.slots ||
		holding != n->holding)
		return "a node's sum is wrong";
	if (over(used.cpu_milli, n->capacity.cpu_milli) ||
		over(used.memory_mib, n->capacity.memory_mib) ||
		over(used.disk_mib, n->capacity.disk_mib) || over(used.slots, n->capacity.slots))
		return "a node is over-committed";
	return NULL;
}

static const char *check_job(const struct sched_snapshot *s, uint32_t slot)
{
	const struct sched_job *j = sched_job_at(s, slot);
	uint32_t live = 0, rows = 0;

	for (uint32_t at = j->first_instance; at != SCHED_NONE; rows++) {
		const struct sched_instance *i = sched_instance_at(s, at);

		if (!i || i->job != slot)
			return "a job's list is broken";
		if (sched_live(i) && !sched_job_version(j, i->version))
			return "an instance runs a version that is forgotten";
		live += sched_live(i);
		at = i->next_in_job;
	}
	return live != j->live || rows != j->instances ? "a job's count is wrong" : NULL;
}

static const char *check_eval(const struct sched_snapshot *s, uint32_t slot)
{
	const struct sched_eval *e = sched_eval_at(s, slot);

	return sched_job_at(s, e->job) ? NULL : "an evaluation is of no job";
}

const char *verify_state(const struct sched_snapshot *s)
{
	const char *wrong = NULL;

	for (uint32_t k = 0; !wrong && k < s->tables[SCHED_TABLE_NODES].high; k++)
		wrong = sched_node_at(s, k) ? check_node(s, k) : NULL;
	for (uint32_t k = 0; !wrong && k < s->tables[SCHED_TABLE_JOBS].high; k++)
		wrong = sched_job_at(s, k) ? check_job(s, k) : NULL;
	for (uint32_t k = 0; !wrong && k < s->tables[SCHED_TABLE_EVALS].high; k++)
		wrong = sched_eval_at(s, k) ? check_eval(s, k) : NULL;
	return wrong;
}
