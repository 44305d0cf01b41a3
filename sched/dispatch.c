// SPDX-License-Identifier: Apache-2.0
// Dispatching a template: what is asked for is checked, refused with a sentence or made into a
// child (launch.c). Thread: the core's.
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sched/core_internal.h"

__attribute__((format(printf, 3, 4))) static int refuse(
	struct sched_dispatch *d, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(d->why, sizeof(d->why), format, args);
	va_end(args);
	return error;
}

static bool among(const char *key, const char *const *keys, uint32_t n)
{
	for (uint32_t k = 0; k < n; k++)
		if (strcmp(keys[k], key) == 0)
			return true;
	return false;
}

static int check_meta(const struct sched_launch *l, struct sched_dispatch *d)
{
	size_t bytes = 0;

	for (uint32_t k = 0; k < d->meta_count; k++) {
		const char *key = d->meta[k].key;

		if (!among(key, l->meta_required, l->meta_required_count) &&
			!among(key, l->meta_optional, l->meta_optional_count))
			return refuse(d, -EINVAL,
				"the template knows no meta key \"%.64s\": name it in "
				"meta_required or meta_optional, or leave it out",
				key);
		for (uint32_t n = 0; n < k; n++)
			if (strcmp(d->meta[n].key, key) == 0)
				return refuse(
					d, -EINVAL, "the meta key \"%s\" is given twice", key);
		bytes += strlen(d->meta[k].value);
	}
	if (bytes > SCHED_META_BYTES_MAX)
		return refuse(d, -EINVAL, "the values of meta have %zu bytes: at most %d", bytes,
			SCHED_META_BYTES_MAX);
	for (uint32_t k = 0; k < l->meta_required_count; k++) {
		bool found = false;

		for (uint32_t n = 0; n < d->meta_count; n++)
			found |= strcmp(d->meta[n].key, l->meta_required[k]) == 0;
		if (!found)
			return refuse(d, -EINVAL,
				"the meta key \"%s\" is required: give it a value",
				l->meta_required[k]);
	}
	return 0;
}

static int check_dispatch(const struct sched_launch *l, struct sched_dispatch *d)
{
	if (d->payload_len > SCHED_PAYLOAD_MAX)
		return refuse(d, -E2BIG,
			"the payload has %u bytes: at most %d; put it somewhere and pass its "
			"address",
			d->payload_len, SCHED_PAYLOAD_MAX);
	if (l->payload == SCHED_PAYLOAD_REQUIRED && !d->payload_len)
		return refuse(d, -EINVAL, "the template requires a payload");
	if (l->payload == SCHED_PAYLOAD_FORBIDDEN && d->payload_len)
		return refuse(d, -EINVAL, "the template forbids a payload");
	if (d->token && strlen(d->token) > SCHED_TOKEN_MAX)
		return refuse(d, -EINVAL, "the token is too long: at most %d characters",
			SCHED_TOKEN_MAX);
	return check_meta(l, d);
}

static int may_dispatch(
	struct sched_core *c, uint32_t parent, struct sched_dispatch *d, uint32_t *child)
{
	const struct sched_job *j = sched_job_at(&c->state->head, parent);
	const struct sched_spec *spec = j ? sched_job_spec(j) : NULL;
	int rc;

	if (!j || j->purge)
		return refuse(d, -ENOENT, "there is no such job");
	if (!spec->launch || !spec->launch->templated)
		return refuse(d, -EINVAL,
			"the job %s is no template: give it spec.template to dispatch it",
			spec->name);
	*child = d->token && *d->token ? sched_token_find(c->state, spec, d->token) : SCHED_NONE;
	if (*child != SCHED_NONE) {
		c->launches.stats.repeated++;
		return -EEXIST;
	}
	if (spec->stopped)
		return refuse(d, -EINVAL, "the job %s is stopped: apply it again", spec->name);
	rc = check_dispatch(spec->launch, d);
	if (rc || j->children_alive < SCHED_CHILDREN_MAX)
		return rc;
	c->launches.stats.refused++;
	return refuse(d, -EDQUOT,
		"the job %s has %u children that have not ended, as many as it may: wait, or stop "
		"some",
		spec->name, j->children_alive);
}

int sched_core_dispatch(
	struct sched_core *c, uint32_t parent, struct sched_dispatch *d, ns_t now, uint32_t *child)
{
	const struct sched_spec *spec;
	char name[SCHED_CHILD_NAME_BYTES];
	int rc, committed;

	d->why[0] = 0;
	rc = may_dispatch(c, parent, d, child);
	if (rc)
		return rc;
	spec = sched_job_spec(sched_job_at(&c->state->head, parent));
	do
		snprintf(name, sizeof(name), "%s-%016llx", spec->name,
			(unsigned long long)rng_next(&c->launches.rng));
	while (sched_job_find(c->state, spec->namespace, name) != SCHED_NONE);
	sched_core_begin(c);
	rc = sched_launch_child(c, parent, name, d, now, child);
	committed = sched_core_commit(c, now);
	c->launches.stats.dispatched += !rc;
	return rc ? rc : committed;
}
