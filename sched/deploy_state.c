// SPDX-License-Identifier: Apache-2.0
// What a deployment's change does to the state, and how many instances of a job's current version
// are live and ready. Writer's thread.
//
// The counts are soft as readiness is: never in the log, and known to the writer alone. Who changes
// an instance takes it out of them before and puts it back afterwards.
#include <errno.h>
#include <stdlib.h>

#include "sched/deploy.h"
#include "sched/state_internal.h"

int sched_readiness_reserve(struct sched_state *st, uint32_t job)
{
	uint32_t room = st->readiness_room ? st->readiness_room : 64;
	struct sched_readiness *more;

	if (job < st->readiness_room)
		return 0;
	while (room <= job)
		room *= 2;
	more = realloc(st->readiness, room * sizeof(*more));
	if (!more)
		return -ENOMEM;
	for (uint32_t k = st->readiness_room; k < room; k++)
		more[k] = (struct sched_readiness){0};
	st->readiness = more;
	st->readiness_room = room;
	return 0;
}

void sched_readiness_reset(struct sched_state *st, uint32_t job)
{
	st->readiness[job].live = st->readiness[job].ready = st->readiness[job].canaries = 0;
}

void sched_readiness_count(struct sched_state *st, const struct sched_instance *i, int by)
{
	struct sched_readiness *r = &st->readiness[i->job];

	if (!sched_live(i) ||
		i->version != sched_job_spec(sched_job_at(&st->head, i->job))->version)
		return;
	r->live += (uint32_t)by;
	if (!sched_ready(i))
		return;
	if (i->flags & SCHED_INSTANCE_CANARY)
		r->canaries += (uint32_t)by;
	else
		r->ready += (uint32_t)by;
}

bool sched_deploy_is_canary(const struct sched_job *j, const struct sched_instance *i)
{
	const struct sched_deployment *d = sched_deployment_current(j);
	const struct sched_spec *spec = sched_job_spec(j);

	return d && i->version == d->version && i->group < spec->group_count &&
	       sched_deploy_canaries(d, spec, i->group);
}

// Who is promoted, or whose deployment was cancelled as the job was stopped, is an instance like
// others.
static int promote(struct sched_state *st, const struct sched_job *j)
{
	for (uint32_t at = j->first_instance; at != SCHED_NONE;) {
		const struct sched_instance *i = sched_instance_at(&st->head, at);
		struct sched_instance *row;

		at = i->next_in_job;
		if (!(i->flags & SCHED_INSTANCE_CANARY) || sched_deploy_is_canary(j, i) ||
			i->version != j->deployment->version)
			continue;
		row = sched_table_write(
			&st->pages, &st->head.tables[SCHED_TABLE_INSTANCES], i->id.slot);
		if (!row)
			return -ENOMEM;
		sched_readiness_count(st, row, -1);
		row->flags &= (uint8_t)~SCHED_INSTANCE_CANARY;
		sched_readiness_count(st, row, 1);
	}
	return 0;
}

int sched_deployment_put(struct sched_state *st, const struct sched_change *c)
{
	struct sched_deployment *block;
	struct sched_job *j;
	uint32_t promoted;
	bool ends;

	if (!sched_job_at(&st->head, c->slot))
		return -EBADMSG;
	block = malloc(sizeof(*block));
	j = block ? sched_table_write(&st->pages, &st->head.tables[SCHED_TABLE_JOBS], c->slot)
		  : NULL;
	if (!j) {
		free(block);
		return -ENOMEM;
	}
	*block = *c->deployment;
	promoted = j->deployment ? j->deployment->promoted : 0;
	if (j->deployment)
		sched_pages_retire(&st->pages, (void *)(uintptr_t)j->deployment);
	j->deployment = block;
	// Plans made before it do not know of it.
	j->modify_index = j->spec_index = st->head.index;
	ends = block->status == SCHED_DEPLOYMENT_CANCELLED && sched_deployment_current(j);
	return block->promoted & ~promoted || ends ? promote(st, j) : 0;
}
