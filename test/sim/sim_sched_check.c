// SPDX-License-Identifier: Apache-2.0
// The invariants of the simulated scheduler: after every step, and at rest.
#include <stdlib.h>
#include <string.h>

#include "sched/images.h"
#include "sched/names.h"
#include "test/sim/sim_sched.h"

// Whether the instance has its job's port.
static bool claims_port(const struct sim *s, const struct sched_instance *i)
{
	const struct sched_spec *spec = sched_job_spec(sched_job_at(head(s), i->job));

	return i->group == 0 && spec->claim_count && sched_live(i);
}

void check_nodes(struct sim *s)
{
	for (uint32_t k = 0; k < head(s)->tables[SCHED_TABLE_NODES].high; k++) {
		const struct sched_node *n = sched_node_at(head(s), k);
		struct sched_res used = {0};
		uint32_t holding = 0;
		uint8_t ports[JOBS_MAX + 1] = {0};

		if (!n)
			continue;
		for (uint32_t at = n->first_instance; at != SCHED_NONE;) {
			const struct sched_instance *i = sched_instance_at(head(s), at);

			if (!i || i->node != k)
				fail(s, "a node's list is broken");
			if (!!(i->flags & SCHED_INSTANCE_HOLDS) != sched_live(i))
				fail(s, "an instance holds and is not live, or the reverse");
			if (claims_port(s, i) && i->job < JOBS_MAX && ports[i->job]++)
				fail(s, "two have one port");
			if (sched_live(i)) {
				used.cpu_milli += i->ask.cpu_milli;
				used.memory_mib += i->ask.memory_mib;
				holding++;
			}
			at = i->next_on_node;
		}
		if (used.cpu_milli != n->used.cpu_milli || used.memory_mib != n->used.memory_mib ||
			holding != n->holding)
			fail(s, "a node's sum is wrong");
		if (used.cpu_milli > n->capacity.cpu_milli ||
			used.memory_mib > n->capacity.memory_mib)
			fail(s, "a node is over-committed");
	}
}

static void check_quota(struct sim *s)
{
	uint32_t slot = sched_quota_find(s->core->state, "default");
	const struct sched_quota *q = sched_quota_at(head(s), slot);
	uint32_t used = 0;

	for (uint32_t k = 0; q && k < head(s)->tables[SCHED_TABLE_INSTANCES].high; k++) {
		const struct sched_instance *i = sched_instance_at(head(s), k);

		used += i && sched_live(i) ? i->ask.cpu_milli : 0;
	}
	if (q && q->used.cpu_milli != used)
		fail(s, "a quota's sum is wrong");
	if (q && used > q->limit.cpu_milli)
		fail(s, "a namespace has more than its quota");
}

static void check_jobs(struct sim *s)
{
	for (uint32_t k = 0; k < head(s)->tables[SCHED_TABLE_JOBS].high; k++) {
		const struct sched_job *j = sched_job_at(head(s), k);
		uint32_t live = 0, rows = 0;

		for (uint32_t at = j ? j->first_instance : SCHED_NONE; at != SCHED_NONE; rows++) {
			const struct sched_instance *i = sched_instance_at(head(s), at);

			if (!i || i->job != k)
				fail(s, "a job's list is broken");
			if (sched_live(i) && !sched_job_version(j, i->version))
				fail(s, "an instance runs a version that is forgotten");
			live += sched_live(i);
			at = i->next_in_job;
		}
		if (j && (live != j->live || rows != j->instances))
			fail(s, "a job's count is wrong");
	}
}

// Each evaluation that has not ended is somewhere: nobody waits for ever.
static void check_evals(struct sim *s)
{
	struct sched_broker_stats b = sched_broker_stats(s->core->broker);
	uint32_t open = 0, ended = 0;

	for (uint32_t k = 0; k < head(s)->tables[SCHED_TABLE_EVALS].high; k++) {
		const struct sched_eval *e = sched_eval_at(head(s), k);

		open += e && e->status < SCHED_EVAL_COMPLETE;
		ended += e && e->status >= SCHED_EVAL_COMPLETE;
	}
	if (open > b.ready + b.outstanding + b.pending + b.waiting + b.failed +
			   sched_blocked_stats(s->core->blocked).blocked + b.cancelled_left)
		fail(s, "evaluations are lost");
	if (ended > head(s)->counts[SCHED_TABLE_JOBS])
		fail(s, "evaluations that ended pile up");
}

// What readers find by name and by image is what there is.
static void check_found(struct sim *s)
{
	const struct sched_snapshot *h = head(s);
	uint32_t jobs = 0;

	for (uint32_t k = 0; k < h->tables[SCHED_TABLE_JOBS].high; k++) {
		const struct sched_job *j = sched_job_at(h, k);
		const struct sched_spec *spec = j ? sched_job_spec(j) : NULL;

		if (spec && sched_names_find(
				    h, spec->namespace, strlen(spec->namespace), spec->name) != k)
			fail(s, "a job is not found by its name");
		jobs += j != NULL;
	}
	if (jobs != h->counts[SCHED_TABLE_JOBS])
		fail(s, "the number of jobs is another one");
	for (uint32_t b = 0; b < h->holders.high; b++) {
		const struct sched_holders *const *row = sched_table_row(&h->holders, b);

		for (const struct sched_holders *i = row ? *row : NULL; i; i = i->next)
			for (uint32_t n = 0; n < i->count; n++)
				if (!sched_node_at(h, i->node[n]) ||
					!sched_node_has_image(h, i->node[n], i->image))
					fail(s, "an image is where it is not");
	}
}

void check(struct sim *s)
{
	check_nodes(s);
	check_jobs(s);
	check_quota(s);
	check_evals(s);
	deploy_check(s);
	launch_check(s);
	if (s->step % 16 == 0)
		check_found(s);
	s->hash = s->hash * 0x100000001b3ull ^ head(s)->index ^
		  (uint64_t)head(s)->counts[SCHED_TABLE_INSTANCES] << 20;
}

// ---- at rest ----

static void check_group(struct sim *s, uint32_t job, uint32_t group)
{
	const struct sched_job *j = sched_job_at(head(s), job);
	const struct sched_spec *spec = sched_job_spec(j);
	uint32_t count = sched_job_rests(j) ? 0 : spec->groups[group].count, live = 0;
	uint8_t seen[64] = {0};

	for (uint32_t at = j->first_instance; at != SCHED_NONE;) {
		const struct sched_instance *i = sched_instance_at(head(s), at);

		at = i->next_in_job;
		if (!sched_live(i) || i->group != group)
			continue;
		live++;
		if (i->version != spec->version)
			fail(s, "at rest an old version runs");
		if (i->name_index >= count || seen[i->name_index]++)
			fail(s, "at rest a name is there twice or beyond the count");
	}
	if (live != count)
		fail(s, "at rest a count is wrong");
}

// Of a system job: the instance of a group on a node; fails if there are two.
static const struct sched_instance *on_node(
	struct sim *s, const struct sched_job *j, uint32_t group, uint32_t node, bool *ended)
{
	const struct sched_instance *found = NULL;

	*ended = false;
	for (uint32_t at = j->first_instance; at != SCHED_NONE;) {
		const struct sched_instance *i = sched_instance_at(head(s), at);

		at = i->next_in_job;
		if (i->node != node || i->group != group)
			continue;
		*ended |= i->version == sched_job_spec(j)->version && i->desired == SCHED_RUN &&
			  (i->status == SCHED_COMPLETE || i->status == SCHED_FAILED);
		if (!sched_live(i))
			continue;
		if (found)
			fail(s, "a system job has two on a node");
		found = i;
	}
	return found;
}

static bool waits_for(struct sim *s, uint32_t job, uint32_t node)
{
	for (uint32_t k = 0; k < head(s)->tables[SCHED_TABLE_EVALS].high; k++) {
		const struct sched_eval *e = sched_eval_at(head(s), k);

		if (e && e->job == job && e->status == SCHED_EVAL_BLOCKED &&
			(e->node == node || e->node == SCHED_NONE))
			return true;
	}
	return false;
}

// One on each node that takes instances, or none and the node waits for room.
static void check_system(struct sim *s, uint32_t job, uint32_t group)
{
	const struct sched_job *j = sched_job_at(head(s), job);
	const struct sched_spec *spec = sched_job_spec(j);

	for (uint32_t k = 0; k < head(s)->tables[SCHED_TABLE_NODES].high; k++) {
		const struct sched_node *n = sched_node_at(head(s), k);
		const struct sched_instance *i;
		bool ended, excluded;

		if (!n)
			continue;
		i = on_node(s, j, group, k, &ended);
		excluded = spec->groups[group].constraint_count &&
			   strcmp(n->info->attributes[0].value, "r1") == 0;
		// An old one goes on where the new one has no room.
		if (i && (spec->stopped || excluded ||
				 (i->version != spec->version && !waits_for(s, job, k))))
			fail(s, "at rest a system job has what it should not");
		if (i || spec->stopped || excluded || (ended && spec->type == SCHED_TYPE_SYSBATCH))
			continue;
		if (!waits_for(s, job, k))
			fail(s, "at rest a system job misses a node");
	}
}

static void check_few(struct sim *s, uint32_t job)
{
	const struct sched_job *j = sched_job_at(head(s), job);
	uint32_t on_node[NODES_MAX + BIG + 1] = {0};
	bool moves[NODES_MAX + BIG + 1] = {false};

	if (sched_by_node(j->type) || !has_few((uint32_t)atoi(sched_job_spec(j)->name + 1)))
		return;
	for (uint32_t at = j->first_instance; at != SCHED_NONE;) {
		const struct sched_instance *i = sched_instance_at(head(s), at);

		at = i->next_in_job;
		// Old ones that a deployment holds are no reason to wait for the new ones.
		if (!sched_live(i) || i->version != sched_job_spec(j)->version ||
			i->node >= NODES_MAX + BIG + 1)
			continue;
		on_node[i->node]++;
		moves[i->node] |= !deploy_holds(j, i->group);
	}
	for (uint32_t k = 0; k < NODES_MAX + BIG + 1; k++)
		if (on_node[k] > FEW && moves[k])
			fail(s, "at rest more are on a node than distinct_property allows");
}

// Of a group with distinct_hosts.
static void check_distinct(struct sim *s, uint32_t job, uint32_t group)
{
	const struct sched_job *j = sched_job_at(head(s), job);
	bool seen[NODES_MAX + BIG + 1] = {false};

	if (sched_by_node(j->type) || !sched_job_spec(j)->groups[group].distinct_hosts)
		return;
	for (uint32_t at = j->first_instance; at != SCHED_NONE;) {
		const struct sched_instance *i = sched_instance_at(head(s), at);

		at = i->next_in_job;
		if (!sched_live(i) || i->version != sched_job_spec(j)->version ||
			i->group != group || i->node >= NODES_MAX + BIG + 1)
			continue;
		if (seen[i->node])
			fail(s, "at rest two share a node in spite of distinct_hosts");
		seen[i->node] = true;
	}
}

void check_nothing_left(struct sim *s, const struct sched_plan *plan)
{
	uint32_t live = 0;

	// Whom it may send away can have come after it had found no room; then others move, too.
	for (uint32_t k = 0; k < plan->stop_count; k++)
		if (plan->stops[k].desired == SCHED_EVICT)
			s->probing = false;
	if (!s->probing)
		return;
	// Rows of what has ended may be settled later.
	for (uint32_t k = 0; k < plan->stop_count; k++) {
		const struct sched_instance *i = sched_instance_by_id(head(s), &plan->stops[k].id);

		live += i && sched_live(i);
	}
	if (plan->place_count || plan->update_count || plan->unknown_count || live)
		fail(s, "at rest a job has something left to do that nobody will do");
}

void check_rest(struct sim *s)
{
	struct sched_blocked_stats b = sched_blocked_stats(s->core->blocked);

	for (uint32_t k = 0; k < head(s)->tables[SCHED_TABLE_JOBS].high; k++) {
		const struct sched_job *j = sched_job_at(head(s), k);

		for (uint32_t g = 0; j && g < sched_job_spec(j)->group_count; g++)
			check_distinct(s, k, g);
		for (uint32_t g = 0; j && g < sched_job_spec(j)->group_count; g++)
			sched_by_node(j->type) ? check_system(s, k, g)
			: deploy_holds(j, g)   ? deploy_check_group(s, k, g)
					       : check_group(s, k, g);
		if (j)
			check_few(s, k);
	}
	launch_check_rest(s);
	deploy_check_rest(s);
	if (s->core->evals_made != s->core->evals_ended + b.blocked)
		fail(s, "at rest not all evaluations that were made have ended");
	for (uint32_t k = 0; k < head(s)->tables[SCHED_TABLE_EVALS].high; k++) {
		const struct sched_eval *e = sched_eval_at(head(s), k);

		// Small nodes may be too full for system jobs.
		if (e && e->status < SCHED_EVAL_COMPLETE &&
			!(e->status == SCHED_EVAL_BLOCKED && sched_by_node(e->type)))
			fail(s, "at rest an evaluation has not ended");
	}
}
