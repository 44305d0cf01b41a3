// SPDX-License-Identifier: Apache-2.0
// Jobs and their children, in the state: each child is in its parent's list until its row goes, and
// found by the token it was dispatched with. Writer's thread, live and in replay the same.
//
// Invariants: a child's parent is there and is no child itself; `children` counts a parent's list,
// `children_alive` those of it that have not ended.
#include <errno.h>
#include <string.h>
#include <xxhash.h>

#include "sched/state_internal.h"

static uint64_t token_key(const char *namespace, const char *parent, const char *token)
{
	return XXH3_64bits_withSeed(token, strlen(token), sched_name_key(namespace, parent));
}

uint32_t sched_token_find(
	const struct sched_state *st, const struct sched_spec *parent, const char *token)
{
	uint32_t slot =
		sched_map_get(&st->tokens, token_key(parent->namespace, parent->name, token));
	const struct sched_job *j = sched_job_at(&st->head, slot);
	const struct sched_spec *spec = j ? sched_job_spec(j) : NULL;

	// Two tokens with one hash: only the first is found again.
	return spec && spec->token && strcmp(spec->token, token) == 0 &&
			       strcmp(spec->parent, parent->name) == 0 &&
			       strcmp(spec->namespace, parent->namespace) == 0
		       ? slot
		       : SCHED_NONE;
}

bool sched_family_fits(const struct sched_state *st, const struct sched_spec *spec)
{
	const struct sched_job *parent;

	if (!spec->parent)
		return true;
	parent = sched_job_at(&st->head, sched_job_find(st, spec->namespace, spec->parent));
	return parent && parent->parent == SCHED_NONE && !spec->launch;
}

bool sched_family_same(const struct sched_spec *old, const struct sched_spec *spec)
{
	if (!old->parent || !spec->parent)
		return old->parent == spec->parent;
	return strcmp(old->parent, spec->parent) == 0 && !spec->launch;
}

// What another one was dispatched with before keeps its place.
static int add_token(struct sched_state *st, uint32_t slot, const struct sched_spec *spec)
{
	uint64_t key;

	if (!spec->token)
		return 0;
	key = token_key(spec->namespace, spec->parent, spec->token);
	return sched_map_get(&st->tokens, key) == SCHED_NONE ? sched_map_set(&st->tokens, key, slot)
							     : 0;
}

int sched_family_join(struct sched_state *st, uint32_t slot, const struct sched_spec *spec)
{
	struct sched_job *j = sched_job_row(st, slot), *parent, *sibling = NULL;

	j->parent = j->first_child = j->next_child = j->previous_child = SCHED_NONE;
	if (!spec->parent)
		return 0;
	j->parent = sched_job_find(st, spec->namespace, spec->parent);
	parent = sched_job_row(st, j->parent);
	if (parent && parent->first_child != SCHED_NONE)
		sibling = sched_job_row(st, parent->first_child);
	if (!parent || (parent->first_child != SCHED_NONE && !sibling) || add_token(st, slot, spec))
		return -ENOMEM;
	j->next_child = parent->first_child;
	if (sibling)
		sibling->previous_child = slot;
	parent->first_child = slot;
	parent->children++;
	parent->children_alive++;
	return 0;
}

void sched_family_leave(struct sched_state *st, uint32_t slot, const struct sched_spec *spec)
{
	struct sched_job *j = sched_job_row(st, slot), *parent = sched_job_row(st, j->parent),
			 *sibling;
	uint64_t key;

	if (!parent)
		return;
	if (spec->token) {
		key = token_key(spec->namespace, spec->parent, spec->token);
		if (sched_map_get(&st->tokens, key) == slot)
			sched_map_del(&st->tokens, key);
	}
	sibling = sched_job_row(st, j->previous_child);
	if (sibling)
		sibling->next_child = j->next_child;
	else
		parent->first_child = j->next_child;
	sibling = sched_job_row(st, j->next_child);
	if (sibling)
		sibling->previous_child = j->previous_child;
	parent->children--;
	parent->children_alive -= !j->ended_ns;
}

int sched_family_launch(struct sched_state *st, const struct sched_change *c)
{
	struct sched_job *j = sched_job_row(st, c->slot);

	if (!j)
		return -EBADMSG;
	j->launched_ns = c->launch.launched_ns;
	j->launches = c->launch.launches;
	j->skips = c->launch.skips;
	j->modify_index = st->head.index;
	return 0;
}

int sched_family_ended(struct sched_state *st, const struct sched_change *c)
{
	struct sched_job *j = sched_job_row(st, c->slot), *parent;

	if (!j || j->ended_ns || c->ended_ns <= 0)
		return -EBADMSG;
	parent = sched_job_row(st, j->parent);
	if (!parent && j->parent != SCHED_NONE)
		return -ENOMEM;
	j->ended_ns = c->ended_ns;
	j->modify_index = st->head.index;
	if (parent)
		parent->children_alive--;
	return 0;
}
