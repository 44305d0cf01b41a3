// SPDX-License-Identifier: Apache-2.0
// The parts of a spec that most jobs do not have: records behind its groups, each a u8 type, its
// length and its fields. A job without them costs no byte; a reader skips types it does not know.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sched/block_internal.h"

enum record {
	RECORD_AFFINITY = 1,
	RECORD_SPREAD,
	RECORD_CLAIM,
	RECORD_LOST_AFTER,
	RECORD_IMAGE = 16,
	RECORD_NEAR, // all of a group
	RECORD_UPDATE = 24,
	RECORD_LAUNCH = 32,
	RECORD_CHILD,
};

// ---- checking ----

static bool group_ok(const struct sched_spec *spec, uint8_t group)
{
	return group == SCHED_ALL_GROUPS || group < spec->group_count;
}

static uint32_t properties(const struct sched_constraint *c, uint32_t n)
{
	uint32_t found = 0;

	for (uint32_t i = 0; i < n; i++)
		found += c[i].op == SCHED_OP_DISTINCT_PROPERTY;
	return found;
}

static int check_spread(const struct sched_spec *spec, const struct sched_spread *s)
{
	uint32_t percent = 0;

	if (!s->attribute || s->weight < 1 || s->weight > 100 || !group_ok(spec, s->group))
		return -EINVAL;
	for (uint32_t i = 0; i < s->target_count; i++) {
		percent += s->targets[i].percent;
		if (!s->targets[i].value)
			return -EINVAL;
	}
	return percent > 100 ? -EINVAL : 0;
}

// "namespace/name".
static bool near_ok(const char *near)
{
	const char *slash = near ? strchr(near, '/') : NULL;

	return slash && slash > near && slash[1] && !strchr(slash + 1, '/');
}

static int check_near(const struct sched_spec *spec)
{
	uint32_t found = 0;

	for (uint32_t g = 0; g < spec->group_count; g++) {
		for (uint32_t i = 0; i < spec->groups[g].near_count; i++)
			if (!near_ok(spec->groups[g].near[i]))
				return -EINVAL;
		found += spec->groups[g].near_count;
		if (spec->groups[g].near_count > SCHED_NEAR_MAX || found > SCHED_NEAR_MAX)
			return -EINVAL;
	}
	return 0;
}

int sched_extras_check(const struct sched_spec *spec)
{
	uint32_t found = properties(spec->constraints, spec->constraint_count), targets = 0;

	for (uint32_t i = 0; i < spec->group_count; i++)
		if (spec->groups[i].lost_after_ns < 0 || spec->groups[i].progress_deadline_ns < 0)
			return -EINVAL;
	for (uint32_t i = 0; i < spec->group_count; i++)
		found += properties(spec->groups[i].constraints, spec->groups[i].constraint_count);
	if (found > SCHED_PROPERTIES_MAX || spec->affinity_count > SCHED_AFFINITIES_MAX ||
		spec->spread_count > SCHED_SPREADS_MAX)
		return -EINVAL;
	for (uint32_t i = 0; i < spec->affinity_count; i++) {
		const struct sched_affinity *a = &spec->affinities[i];

		if (!a->attribute || a->op >= SCHED_OP_DISTINCT_PROPERTY || !a->weight ||
			a->weight < -100 || a->weight > 100 || !group_ok(spec, a->group))
			return -EINVAL;
	}
	for (uint32_t i = 0; i < spec->spread_count; i++) {
		if (check_spread(spec, &spec->spreads[i]))
			return -EINVAL;
		targets += spec->spreads[i].target_count;
	}
	if (spec->claim_count > SCHED_CLAIMS_MAX)
		return -EINVAL;
	for (uint32_t i = 0; i < spec->claim_count; i++) {
		const struct sched_claim *c = &spec->claims[i];

		if (!c->name || !*c->name || !c->count || !group_ok(spec, c->group) ||
			sched_is_unique_attribute(c->name))
			return -EINVAL;
	}
	return targets > SCHED_TARGETS_MAX ? -EINVAL : check_near(spec);
}

// ---- writing ----

static void put_record(struct sched_bytes *out, uint8_t type, struct sched_bytes *body)
{
	uint8_t *to;

	sched_put_u8(out, type);
	sched_put_uint(out, body->len);
	to = sched_bytes_take(out, body->len);
	if (to && body->len)
		memcpy(to, body->data, body->len);
	out->failed |= body->failed;
	body->len = 0;
}

static void put_affinity(struct sched_bytes *b, const struct sched_affinity *a)
{
	sched_put_u8(b, a->group);
	sched_put_u8(b, a->op);
	sched_put_u8(b, (uint8_t)a->weight);
	sched_put_text(b, a->attribute);
	sched_put_text(b, a->value ? a->value : "");
}

static void get_affinity(struct reader *r, struct sched_affinity *a, struct sched_room *room)
{
	a->group = reader_u8(r);
	a->op = reader_u8(r);
	a->weight = (int8_t)reader_u8(r);
	a->attribute = sched_take_text(r, room);
	a->value = sched_take_text(r, room);
	r->bad |= a->op >= SCHED_OP_DISTINCT_PROPERTY || !a->weight;
}

static void put_spread(struct sched_bytes *b, const struct sched_spread *s)
{
	sched_put_u8(b, s->group);
	sched_put_u8(b, s->weight);
	sched_put_uint(b, s->target_count);
	sched_put_text(b, s->attribute);
	for (uint32_t i = 0; i < s->target_count; i++) {
		sched_put_text(b, s->targets[i].value);
		sched_put_u8(b, s->targets[i].percent);
	}
}

static void get_spread(struct reader *r, struct sched_spread *s,
	struct sched_spread_target *targets, uint32_t left, struct sched_room *room)
{
	s->group = reader_u8(r);
	s->weight = reader_u8(r);
	s->target_count = sched_get_u32(r);
	s->attribute = sched_take_text(r, room);
	s->targets = targets;
	if (s->target_count > left || s->weight < 1 || s->weight > 100) {
		r->bad = true;
		s->target_count = 0;
	}
	for (uint32_t i = 0; i < s->target_count; i++) {
		targets[i].value = sched_take_text(r, room);
		targets[i].percent = reader_u8(r);
	}
}

static void put_claim(struct sched_bytes *b, const struct sched_claim *c)
{
	sched_put_u8(b, c->group);
	sched_put_uint(b, c->count);
	sched_put_text(b, c->name);
}

static void get_claim(struct reader *r, struct sched_claim *c, struct sched_room *room)
{
	c->group = reader_u8(r);
	c->count = sched_get_u32(r);
	c->name = sched_take_text(r, room);
	r->bad |= !c->count;
}

// The groups of a spec that is being made may still be written.
static void get_lost_after(struct reader *r, struct sched_spec *spec)
{
	uint8_t group = reader_u8(r);
	uint64_t after = sched_get_uint(r);

	if (group >= spec->group_count || after > INT64_MAX)
		r->bad = true;
	else
		((struct sched_group *)(uintptr_t)spec->groups)[group].lost_after_ns = (ns_t)after;
}

// How a group's new versions come.
static void put_update(struct sched_bytes *b, const struct sched_spec *spec)
{
	struct sched_bytes body = {0};

	for (uint32_t i = 0; i < spec->group_count; i++) {
		const struct sched_group *g = &spec->groups[i];

		if (!g->canaries && !g->auto_promote && !g->auto_revert && !g->sticky &&
			!g->progress_deadline_ns)
			continue;
		sched_put_u8(&body, (uint8_t)i);
		sched_put_uint(&body, g->canaries);
		sched_put_u8(
			&body, (uint8_t)(g->auto_promote | g->auto_revert << 1 | g->sticky << 2));
		sched_put_uint(&body, (uint64_t)g->progress_deadline_ns);
		put_record(b, RECORD_UPDATE, &body);
	}
	sched_bytes_fini(&body);
}

static void get_update(struct reader *r, struct sched_spec *spec)
{
	struct sched_group *g = (struct sched_group *)(uintptr_t)spec->groups;
	uint8_t group = reader_u8(r), flags;
	uint64_t deadline;

	if (group >= spec->group_count) {
		r->bad = true;
		return;
	}
	g += group;
	g->canaries = sched_get_u32(r);
	flags = reader_u8(r);
	deadline = sched_get_uint(r);
	g->auto_promote = flags & 1;
	g->auto_revert = flags >> 1 & 1;
	g->sticky = flags >> 2 & 1;
	g->progress_deadline_ns = (ns_t)(deadline & INT64_MAX);
	r->bad |= deadline > INT64_MAX;
}

static void get_image(struct reader *r, struct sched_spec *spec, struct sched_room *room)
{
	uint8_t group = reader_u8(r);
	const char *image = sched_take_text(r, room);

	if (group >= spec->group_count)
		r->bad = true;
	else
		((struct sched_group *)(uintptr_t)spec->groups)[group].image = image;
}

static void put_near(struct sched_bytes *b, uint8_t group, const struct sched_group *g)
{
	sched_put_u8(b, group);
	sched_put_uint(b, g->near_count);
	for (uint32_t i = 0; i < g->near_count; i++)
		sched_put_text(b, g->near[i]);
}

// Returns how many it took of the `left` places at `near`.
static uint32_t get_near(struct reader *r, struct sched_spec *spec, const char **near,
	uint32_t left, struct sched_room *room)
{
	struct sched_group *groups = (struct sched_group *)(uintptr_t)spec->groups;
	uint8_t group = reader_u8(r);
	uint32_t n = sched_get_u32(r);

	if (group >= spec->group_count || n > left) {
		r->bad = true;
		return 0;
	}
	for (uint32_t i = 0; i < n; i++) {
		near[i] = sched_take_text(r, room);
		r->bad |= !near_ok(near[i]);
	}
	groups[group].near = near;
	groups[group].near_count = n;
	return n;
}

// Of a job that launches others, or that was launched (launch_block.c).
static void put_launch(struct sched_bytes *b, const struct sched_spec *spec)
{
	struct sched_bytes body = {0};

	if (spec->launch) {
		sched_launch_put(&body, spec->launch);
		put_record(b, RECORD_LAUNCH, &body);
	}
	if (spec->parent) {
		sched_child_put(&body, spec);
		put_record(b, RECORD_CHILD, &body);
	}
	sched_bytes_fini(&body);
}

// `at`: the end of the room for structs.
static void get_launch(uint8_t type, struct reader *r, struct sched_spec *spec, char *end,
	const struct sched_extras_size *size, struct sched_room *room)
{
	char *child = end - size->child, *launch = child - size->launch;

	// Only one of each, and neither in the other.
	if (spec->launch || spec->parent || (type == RECORD_LAUNCH && !size->launch))
		r->bad = true;
	else if (type == RECORD_LAUNCH)
		sched_launch_get(r, spec, launch, room);
	else
		sched_child_get(r, spec, child, room);
}

// Those of all groups.
static void put_attractions(struct sched_bytes *b, const struct sched_spec *spec)
{
	struct sched_bytes body = {0};

	for (uint32_t g = 0; g < spec->group_count; g++) {
		if (spec->groups[g].image) {
			sched_put_u8(&body, (uint8_t)g);
			sched_put_text(&body, spec->groups[g].image);
			put_record(b, RECORD_IMAGE, &body);
		}
		if (spec->groups[g].near_count) {
			put_near(&body, (uint8_t)g, &spec->groups[g]);
			put_record(b, RECORD_NEAR, &body);
		}
	}
	sched_bytes_fini(&body);
}

void sched_extras_put(struct sched_bytes *b, const struct sched_spec *spec)
{
	struct sched_bytes body = {0};

	for (uint32_t i = 0; i < spec->affinity_count; i++) {
		put_affinity(&body, &spec->affinities[i]);
		put_record(b, RECORD_AFFINITY, &body);
	}
	for (uint32_t i = 0; i < spec->spread_count; i++) {
		put_spread(&body, &spec->spreads[i]);
		put_record(b, RECORD_SPREAD, &body);
	}
	for (uint32_t i = 0; i < spec->claim_count; i++) {
		put_claim(&body, &spec->claims[i]);
		put_record(b, RECORD_CLAIM, &body);
	}
	for (uint32_t g = 0; g < spec->group_count; g++) {
		if (!spec->groups[g].lost_after_ns)
			continue;
		sched_put_u8(&body, (uint8_t)g);
		sched_put_uint(&body, (uint64_t)spec->groups[g].lost_after_ns);
		put_record(b, RECORD_LOST_AFTER, &body);
	}
	put_attractions(b, spec);
	put_update(b, spec);
	put_launch(b, spec);
	sched_bytes_fini(&body);
}

// ---- reading ----

// The next record; false at the end.
static bool next_record(struct reader *r, uint8_t *type, struct reader *body)
{
	const uint8_t *at;
	size_t len;

	if (r->bad || !reader_left(r))
		return false;
	*type = reader_u8(r);
	len = sched_get_u32(r);
	at = reader_take(r, len);
	if (!at)
		return false;
	*body = reader_of(at, len);
	return true;
}

struct sched_extras_size sched_extras_size(struct reader *r)
{
	struct sched_extras_size size = {0};
	struct reader body;
	uint8_t type;

	while (next_record(r, &type, &body)) {
		if (type == RECORD_AFFINITY && size.affinities < SCHED_AFFINITIES_MAX)
			size.affinities++;
		if (type == RECORD_CLAIM && size.claims < SCHED_CLAIMS_MAX)
			size.claims++;
		if (type == RECORD_NEAR) {
			reader_u8(&body);
			size.near += sched_get_u32(&body);
			if (size.near > SCHED_NEAR_MAX)
				size.near = SCHED_NEAR_MAX;
		}
		// A damaged one ends it, or the room would be that of another behind it.
		if (type == RECORD_LAUNCH && !size.launch) {
			size.launch = sched_launch_size(body);
			r->bad |= !size.launch;
		}
		if (type == RECORD_CHILD && !size.child)
			size.child = sched_child_size(body);
		if (type != RECORD_SPREAD || size.spreads == SCHED_SPREADS_MAX)
			continue;
		size.spreads++;
		reader_u8(&body);
		reader_u8(&body);
		size.targets += sched_get_u32(&body);
		if (size.targets > SCHED_TARGETS_MAX)
			size.targets = SCHED_TARGETS_MAX;
	}
	size.bytes = size.affinities * sizeof(struct sched_affinity) +
		     size.spreads * sizeof(struct sched_spread) +
		     size.targets * sizeof(struct sched_spread_target) +
		     size.claims * sizeof(struct sched_claim) + size.near * sizeof(char *) +
		     size.launch + size.child;
	return size;
}

void sched_extras_get(struct reader *r, struct sched_spec *spec, void *at,
	const struct sched_extras_size *size, struct sched_room *room)
{
	struct sched_affinity *affinity = at;
	struct sched_spread *spread = (struct sched_spread *)(affinity + size->affinities);
	struct sched_spread_target *target = (struct sched_spread_target *)(spread + size->spreads);
	struct sched_claim *claim = (struct sched_claim *)(target + size->targets);
	const char **near = (const char **)(claim + size->claims);
	uint32_t targets = 0, nears = 0;
	struct reader body;
	uint8_t type;

	spec->affinities = affinity;
	spec->spreads = spread;
	spec->claims = claim;
	while (next_record(r, &type, &body)) {
		if (type == RECORD_AFFINITY && spec->affinity_count < size->affinities) {
			get_affinity(&body, &affinity[spec->affinity_count++], room);
		} else if (type == RECORD_SPREAD && spec->spread_count < size->spreads) {
			get_spread(&body, &spread[spec->spread_count], target + targets,
				size->targets - targets, room);
			targets += spread[spec->spread_count++].target_count;
		} else if (type == RECORD_CLAIM && spec->claim_count < size->claims) {
			get_claim(&body, &claim[spec->claim_count++], room);
		} else if (type == RECORD_LOST_AFTER) {
			get_lost_after(&body, spec);
		} else if (type == RECORD_UPDATE) {
			get_update(&body, spec);
		} else if (type == RECORD_IMAGE) {
			get_image(&body, spec, room);
		} else if (type == RECORD_NEAR) {
			nears += get_near(&body, spec, near + nears, size->near - nears, room);
		} else if (type == RECORD_LAUNCH || type == RECORD_CHILD) {
			get_launch(type, &body, spec, (char *)at + size->bytes, size, room);
		} else if (type == RECORD_AFFINITY || type == RECORD_SPREAD ||
			   type == RECORD_CLAIM) {
			r->bad = true;
		}
		r->bad |= body.bad;
	}
}
