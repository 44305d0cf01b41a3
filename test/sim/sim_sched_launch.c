// SPDX-License-Identifier: Apache-2.0
// Jobs that launch others in the simulated scheduler: periodic ones, and templates that are
// dispatched by clients who try again until they have an answer. What became durable is read as a
// publisher reads it: no time of a schedule and no token may be in it twice.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/sim/sim_sched.h"

static uint32_t below(struct sim *s, uint32_t n)
{
	return rng_below(&s->rng, n);
}

static bool may_overlap(uint32_t number)
{
	return number % 2;
}

static uint32_t find(const struct sim *s, const char *name)
{
	return sched_job_find(s->core->state, "default", name);
}

static uint32_t some_family(struct sim *s, char kind, uint32_t count, uint32_t *number)
{
	char name[16];

	*number = below(s, count);
	snprintf(name, sizeof(name), "%c%u", kind, *number);
	return find(s, name);
}

// ---- events ----

static void put(struct sim *s, char kind, uint32_t number)
{
	static const char *const key = "scene";
	struct sched_launch launch = {.overlap = may_overlap(number)};
	struct sched_group group = {.name = "main",
		.count = below(s, 3),
		.ask = {50, 50, 0, 1},
		.restart_hash = below(s, 2)};
	char name[16];
	struct sched_spec spec = {.namespace = "default",
		.name = name,
		.type = SCHED_TYPE_BATCH,
		.priority = 50,
		.groups = &group,
		.group_count = 1,
		.launch = &launch};
	uint32_t slot;

	if (kind == 'p') {
		launch.cron = below(s, 4) ? "* * * * *" : "*/3 * * * *";
	} else {
		launch.templated = true;
		launch.meta_optional = &key;
		launch.meta_optional_count = 1;
	}
	snprintf(name, sizeof(name), "%c%u", kind, number);
	if (sched_core_job_put(s->core, &spec, s->now, &slot))
		fail(s, "a job that launches is refused");
}

// The client says it once more if it heard nothing.
static void say(struct sim *s, struct sim_dispatch *x)
{
	struct sched_meta meta = {"scene", "s"};
	char token[16], parent[16];
	struct sched_dispatch d = {
		.payload = "p", .payload_len = 1, .meta = &meta, .meta_count = 1, .token = token};
	uint32_t slot, before, child = SCHED_NONE;
	int rc;

	snprintf(token, sizeof(token), "k%u", x->token);
	snprintf(parent, sizeof(parent), "t%u", x->parent);
	slot = find(s, parent);
	before = find(s, x->child);
	rc = sched_core_dispatch(s->core, slot, &d, s->now, &child);
	if (rc == -ENOENT ||
		(rc == -EINVAL && sched_job_spec(sched_job_at(head(s), slot))->stopped)) {
		x->given_up = true;
		return;
	}
	if (rc != (before == SCHED_NONE ? 0 : -EEXIST) || (before != SCHED_NONE && child != before))
		fail(s, "a token does not lead to its child");
	snprintf(x->child, sizeof(x->child), "%s",
		sched_job_spec(sched_job_at(head(s), child))->name);
}

static void dispatch(struct sim *s)
{
	struct sim_dispatch *x = &s->dispatches[s->dispatch_count];
	uint32_t number;

	if (some_family(s, 't', TEMPLATES, &number) == SCHED_NONE ||
		s->dispatch_count == DISPATCHES_MAX || s->token == TOKENS_MAX)
		return;
	*x = (struct sim_dispatch){.token = s->token++, .parent = number};
	say(s, x);
	s->dispatch_count += !x->given_up;
}

void launch_event(struct sim *s)
{
	uint32_t what = below(s, 20), number, child, slot;
	bool periodic = below(s, 2);

	if (what < 3) {
		put(s, periodic ? 'p' : 't', below(s, periodic ? PERIODIC : TEMPLATES));
	} else if (what < 4) {
		slot = periodic ? some_family(s, 'p', PERIODIC, &number)
				: some_family(s, 't', TEMPLATES, &number);
		if (slot != SCHED_NONE)
			sched_core_job_stop(s->core, slot, below(s, 2), s->now);
	} else if (what < 5) {
		slot = some_family(s, 'p', PERIODIC, &number);
		if (slot != SCHED_NONE)
			sched_core_launch_now(s->core, slot, s->now, &child);
	} else if (what < 7 && s->dispatch_count) {
		// An answer was lost.
		say(s, &s->dispatches[below(s, s->dispatch_count)]);
	} else {
		dispatch(s);
	}
}

// ---- what is durable ----

// A child's first spec; what it is put with later says that it is stopped.
static void launched(struct sim *s, const struct sched_spec *spec)
{
	char kind = spec->parent[0];
	uint32_t number = (uint32_t)atoi(spec->parent + 1);
	long long due = atoll(spec->name + strlen(spec->parent) + 1);

	if (spec->stopped)
		return;
	if (kind == 'p') {
		if (due <= s->last_due[number])
			fail(s, "a time of a schedule is launched twice");
		s->last_due[number] = due;
		s->launched++;
	} else {
		uint32_t token = (uint32_t)atoi(spec->token + 1);

		if (s->token_seen[token])
			fail(s, "a token was dispatched twice");
		s->token_seen[token] = true;
		s->dispatched++;
	}
}

void launch_durable(struct sim *s, const void *bytes, size_t len)
{
	struct sched_decoder *d = malloc(sizeof(*d));
	struct sched_change c;

	sched_decoder_init(d, len ? bytes : "", len);
	while (sched_decode_begin(d) > 0)
		while (sched_decode(d, &c) > 0) {
			if (c.type == SCHED_NODE_PUT)
				free((void *)(uintptr_t)c.node.info);
			if (c.type != SCHED_JOB_PUT_SPEC)
				continue;
			if (c.job.spec->parent)
				launched(s, c.job.spec);
			free((void *)(uintptr_t)c.job.spec);
		}
	free(d);
	for (uint32_t k = 0; k < s->dispatch_count; k++)
		s->dispatches[k].acknowledged = true;
}

// ---- invariants ----

static void check_children(struct sim *s, const struct sched_job *j, uint32_t slot)
{
	uint32_t children = 0, alive = 0;

	for (uint32_t at = j->first_child, before = SCHED_NONE; at != SCHED_NONE; children++) {
		const struct sched_job *child = sched_job_at(head(s), at);

		if (!child || child->parent != slot || child->previous_child != before)
			fail(s, "a list of children is broken");
		alive += !child->ended_ns;
		before = at;
		at = child->next_child;
	}
	if (children != j->children || alive != j->children_alive)
		fail(s, "a count of children is wrong");
}

static void check_dispatch(struct sim *s, struct sim_dispatch *x)
{
	const struct sched_job *j = sched_job_at(head(s), find(s, x->child)), *parent;

	if (j) {
		parent = sched_job_at(head(s), j->parent);
		x->may_go = j->ended_ns || j->purge || parent->purge;
	} else if (!x->may_go) {
		fail(s, "a dispatch has no child");
	} else {
		x->given_up = true;
	}
}

static void forget_given_up(struct sim *s)
{
	uint32_t left = 0;

	for (uint32_t k = 0; k < s->dispatch_count; k++)
		if (!s->dispatches[k].given_up)
			s->dispatches[left++] = s->dispatches[k];
	s->dispatch_count = left;
}

void launch_check(struct sim *s)
{
	for (uint32_t k = 0; k < head(s)->tables[SCHED_TABLE_JOBS].high; k++) {
		const struct sched_job *j = sched_job_at(head(s), k);
		const struct sched_launch *l = j ? sched_job_spec(j)->launch : NULL;

		if (j && j->parent == SCHED_NONE)
			check_children(s, j, k);
		if (j && j->ended_ns && j->live && !sched_job_has_open_evals(j))
			fail(s, "a job has ended, and runs, and nobody will stop it");
		if (l && l->cron && !l->overlap && j->children_alive > 1)
			fail(s, "children overlap that must not");
		if (l && j->children_alive > SCHED_CHILDREN_MAX)
			fail(s, "a job has too many children");
	}
	for (uint32_t k = 0; k < s->dispatch_count; k++)
		check_dispatch(s, &s->dispatches[k]);
	forget_given_up(s);
}

// What was acknowledged is there; who had no answer says it again.
void launch_crashed(struct sim *s)
{
	for (uint32_t k = 0; k < s->dispatch_count; k++) {
		struct sim_dispatch *x = &s->dispatches[k];

		if (!x->acknowledged && find(s, x->child) == SCHED_NONE)
			say(s, x);
	}
	forget_given_up(s);
}

// ---- rest ----

void launch_stop_schedules(struct sim *s)
{
	for (uint32_t k = 0; k < PERIODIC; k++) {
		char name[16];
		uint32_t slot;

		snprintf(name, sizeof(name), "p%u", k);
		slot = find(s, name);
		if (slot != SCHED_NONE && !sched_job_spec(sched_job_at(head(s), slot))->stopped)
			sched_core_job_stop(s->core, slot, false, s->now);
	}
}

void launch_check_rest(struct sim *s)
{
	for (uint32_t k = 0; k < head(s)->tables[SCHED_TABLE_JOBS].high; k++) {
		const struct sched_job *j = sched_job_at(head(s), k);

		if (j && j->type == SCHED_TYPE_BATCH && !j->ended_ns &&
			!sched_job_spec(j)->stopped && !sched_job_spec(j)->launch)
			fail(s, "at rest a batch job has not ended");
		if (j && j->parent != SCHED_NONE && !j->ended_ns)
			fail(s, "at rest a child has not ended");
		if (j && sched_job_spec(j)->launch && j->live)
			fail(s, "at rest a job that launches others runs itself");
	}
}
