// SPDX-License-Identifier: Apache-2.0
// Specs and node infos as single blocks. A copy is an encoding that is decoded again: so what a
// replay makes cannot differ from what the API made.
#include "sched/block.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "sched/block_internal.h"

#define TEXT_MAX ((size_t)16 << 20)
#define ATTRIBUTES_MAX 4096

const char *sched_take_text(struct reader *r, struct sched_room *room)
{
	uint32_t len = sched_get_u32(r);
	const uint8_t *from = reader_take(r, len);
	char *to = room->text;

	if (!to)
		return "";
	if (!from || (size_t)len + 1 > room->left || memchr(from, 0, len)) {
		r->bad = true;
		return "";
	}
	memcpy(to, from, len);
	to[len] = 0;
	room->text += len + 1;
	room->left -= len + 1;
	return to;
}

// ---- resources and constraints ----

static void put_res(struct sched_bytes *b, const struct sched_res *res)
{
	sched_put_uint(b, res->cpu_milli);
	sched_put_uint(b, res->memory_mib);
	sched_put_uint(b, res->disk_mib);
	sched_put_uint(b, res->slots);
}

static struct sched_res get_res(struct reader *r)
{
	struct sched_res res = {.cpu_milli = sched_get_u32(r)};

	res.memory_mib = sched_get_u32(r);
	res.disk_mib = sched_get_u32(r);
	res.slots = sched_get_u32(r);
	return res;
}

static void put_constraints(struct sched_bytes *b, const struct sched_constraint *c, uint32_t n)
{
	sched_put_uint(b, n);
	for (uint32_t i = 0; i < n; i++) {
		sched_put_u8(b, c[i].op);
		sched_put_text(b, c[i].attribute);
		sched_put_text(b, c[i].value ? c[i].value : "");
	}
}

// Takes constraints off the block's array at *next.
static uint32_t get_constraints(
	struct reader *r, struct sched_room *room, struct sched_constraint **next, uint32_t *left)
{
	uint32_t n = sched_get_u32(r);

	if (n > *left) {
		r->bad = true;
		return 0;
	}
	for (uint32_t i = 0; i < n; i++) {
		struct sched_constraint *c = (*next)++;

		c->op = reader_u8(r);
		r->bad |= c->op >= SCHED_OPS;
		c->attribute = sched_take_text(r, room);
		c->value = sched_take_text(r, room);
	}
	*left -= n;
	return n;
}

// ---- groups ----

static void put_group(struct sched_bytes *b, const struct sched_group *g)
{
	sched_put_text(b, g->name);
	sched_put_uint(b, g->count);
	put_res(b, &g->ask);
	sched_put_uint(b, g->max_parallel);
	sched_put_u8(b, g->distinct_hosts);
	sched_put_uint(b, g->restart_hash);
	put_constraints(b, g->constraints, g->constraint_count);
}

static void get_group(struct reader *r, struct sched_room *room, struct sched_group *g,
	struct sched_constraint **next, uint32_t *left)
{
	g->name = sched_take_text(r, room);
	g->count = sched_get_u32(r);
	g->ask = get_res(r);
	g->max_parallel = sched_get_u32(r);
	g->distinct_hosts = reader_u8(r) != 0;
	g->restart_hash = sched_get_uint(r);
	g->constraints = *next;
	g->constraint_count = get_constraints(r, room, next, left);
	r->bad |= g->count > SCHED_COUNT_MAX;
}

// ---- specs ----

static uint32_t constraints_of(const struct sched_spec *spec)
{
	uint32_t n = spec->constraint_count;

	for (uint32_t i = 0; i < spec->group_count; i++)
		n += spec->groups[i].constraint_count;
	return n;
}

int sched_spec_check(const struct sched_spec *spec)
{
	if (!spec->name || !spec->namespace || !*spec->name || spec->type >= SCHED_TYPES ||
		spec->priority > SCHED_PRIORITY_MAX || spec->group_count > SCHED_GROUPS_MAX)
		return -EINVAL;
	if (constraints_of(spec) > SCHED_CONSTRAINTS_MAX || spec->opaque_len > TEXT_MAX)
		return -EINVAL;
	for (uint32_t i = 0; i < spec->group_count; i++)
		if (!spec->groups[i].name || spec->groups[i].count > SCHED_COUNT_MAX)
			return -EINVAL;
	return sched_extras_check(spec) ? -EINVAL : sched_launch_check(spec);
}

static void encode_spec_body(struct sched_bytes *b, const struct sched_spec *spec)
{
	sched_put_uint(b, spec->group_count);
	sched_put_uint(b, constraints_of(spec));
	sched_put_uint(b, spec->opaque_len);
	if (spec->opaque_len) {
		uint8_t *to = sched_bytes_take(b, spec->opaque_len);

		if (to)
			memcpy(to, spec->opaque, spec->opaque_len);
	}
	sched_put_text(b, spec->namespace);
	sched_put_text(b, spec->name);
	sched_put_uint(b, spec->version);
	sched_put_u8(b, spec->type);
	sched_put_u8(b, spec->priority);
	sched_put_u8(b, (uint8_t)(spec->stopped | spec->all_at_once << 1));
	put_constraints(b, spec->constraints, spec->constraint_count);
	for (uint32_t i = 0; i < spec->group_count; i++)
		put_group(b, &spec->groups[i]);
	sched_extras_put(b, spec);
}

// A length before the body, so that later fields can be skipped.
static void put_sized(struct sched_bytes *out, struct sched_bytes *body)
{
	uint8_t *to;

	sched_put_uint(out, body->len);
	to = sched_bytes_take(out, body->len);
	if (to && body->len)
		memcpy(to, body->data, body->len);
	out->failed |= body->failed;
	sched_bytes_fini(body);
}

static struct reader get_sized(struct reader *r)
{
	size_t len = sched_get_u32(r);
	const uint8_t *at = reader_take(r, len);

	return at ? reader_of(at, len) : (struct reader){.bad = true};
}

void sched_spec_encode(struct sched_bytes *out, const struct sched_spec *spec)
{
	struct sched_bytes body = {0};

	encode_spec_body(&body, spec);
	put_sized(out, &body);
}

static void get_spec(struct reader *r, struct sched_spec *spec, struct sched_group *groups,
	struct sched_constraint *next, uint32_t left, struct sched_room *room)
{
	uint8_t flags;

	spec->namespace = sched_take_text(r, room);
	spec->name = sched_take_text(r, room);
	spec->version = sched_get_u32(r);
	spec->type = reader_u8(r);
	spec->priority = reader_u8(r);
	flags = reader_u8(r);
	spec->stopped = flags & 1;
	spec->all_at_once = flags >> 1 & 1;
	spec->constraints = next;
	spec->constraint_count = get_constraints(r, room, &next, &left);
	spec->groups = groups;
	for (uint32_t i = 0; i < spec->group_count; i++)
		get_group(r, room, &groups[i], &next, &left);
	r->bad |= spec->type >= SCHED_TYPES || spec->priority > SCHED_PRIORITY_MAX || left != 0;
}

// What follows the groups says only itself how much room it needs: so all before it is read twice.
static struct sched_extras_size size_of_extras(
	struct reader r, uint32_t groups, uint32_t constraints)
{
	struct sched_group group[SCHED_GROUPS_MAX];
	struct sched_constraint constraint[SCHED_CONSTRAINTS_MAX];
	struct sched_spec spec = {.group_count = groups};
	struct sched_room nowhere = {NULL, 0};

	get_spec(&r, &spec, group, constraint, constraints, &nowhere);
	return sched_extras_size(&r);
}

struct sched_spec *sched_spec_decode(struct reader *from)
{
	struct reader r = get_sized(from);
	uint32_t groups = sched_get_u32(&r), constraints = sched_get_u32(&r);
	uint32_t opaque_len = sched_get_u32(&r);
	const uint8_t *opaque = reader_take(&r, opaque_len);
	struct sched_extras_size extras;
	struct sched_spec *spec;
	struct sched_group *group;
	struct sched_constraint *constraint;
	struct sched_room room;
	size_t structs;

	if (r.bad || groups > SCHED_GROUPS_MAX || constraints > SCHED_CONSTRAINTS_MAX) {
		from->bad = true;
		return NULL;
	}
	extras = size_of_extras(r, groups, constraints);
	structs = sizeof(struct sched_spec) + groups * sizeof(struct sched_group) +
		  constraints * sizeof(struct sched_constraint) + extras.bytes;
	// A text of n bytes took at least n + 1 encoded ones, and takes n + 1 here.
	room.left = reader_left(&r);
	spec = calloc(1, structs + room.left + opaque_len);
	if (!spec)
		return NULL;
	group = (struct sched_group *)(spec + 1);
	constraint = (struct sched_constraint *)(group + groups);
	room.text = (char *)spec + structs;
	memcpy(room.text + room.left, opaque, opaque_len);
	spec->opaque = room.text + room.left;
	spec->opaque_len = opaque_len;
	spec->group_count = groups;
	get_spec(&r, spec, group, constraint, constraints, &room);
	sched_extras_get(&r, spec, constraint + constraints, &extras, &room);
	if (r.bad) {
		from->bad = true;
		free(spec);
		return NULL;
	}
	return spec;
}

struct sched_spec *sched_spec_copy(const struct sched_spec *spec)
{
	struct sched_bytes b = {0};
	struct sched_spec *copy = NULL;
	struct reader r;

	sched_spec_encode(&b, spec);
	if (!b.failed) {
		r = reader_of(b.data, b.len);
		copy = sched_spec_decode(&r);
	}
	sched_bytes_fini(&b);
	return copy;
}

// ---- nodes ----

static int by_key(const void *a, const void *b)
{
	return strcmp(
		((const struct sched_attribute *)a)->key, ((const struct sched_attribute *)b)->key);
}

static uint64_t class_hash(const struct sched_node_info *info)
{
	uint64_t hash = 0;

	for (uint32_t i = 0; i < info->attribute_count; i++) {
		const struct sched_attribute *a = &info->attributes[i];

		if (sched_is_unique_attribute(a->key))
			continue;
		hash = XXH3_64bits_withSeed(a->key, strlen(a->key) + 1, hash);
		hash = XXH3_64bits_withSeed(a->value, strlen(a->value) + 1, hash);
	}
	return hash;
}

void sched_node_info_encode(struct sched_bytes *out, const struct sched_node_info *info)
{
	struct sched_bytes body = {0};

	sched_put_uint(&body, info->attribute_count);
	sched_put_text(&body, info->name);
	for (uint32_t i = 0; i < info->attribute_count; i++) {
		sched_put_text(&body, info->attributes[i].key);
		sched_put_text(&body, info->attributes[i].value);
	}
	put_sized(out, &body);
}

struct sched_node_info *sched_node_info_decode(struct reader *from)
{
	struct reader r = get_sized(from);
	uint32_t count = sched_get_u32(&r);
	size_t structs = sizeof(struct sched_node_info) + count * sizeof(struct sched_attribute);
	struct sched_node_info *info;
	struct sched_attribute *attributes;
	struct sched_room room;

	if (r.bad || count > ATTRIBUTES_MAX) {
		from->bad = true;
		return NULL;
	}
	room.left = reader_left(&r);
	info = calloc(1, structs + room.left);
	if (!info)
		return NULL;
	attributes = (struct sched_attribute *)(info + 1);
	room.text = (char *)info + structs;
	info->name = sched_take_text(&r, &room);
	for (uint32_t i = 0; i < count; i++) {
		attributes[i].key = sched_take_text(&r, &room);
		attributes[i].value = sched_take_text(&r, &room);
	}
	if (r.bad) {
		from->bad = true;
		free(info);
		return NULL;
	}
	qsort(attributes, count, sizeof(*attributes), by_key);
	info->attributes = attributes;
	info->attribute_count = count;
	info->class_hash = class_hash(info);
	return info;
}

struct sched_node_info *sched_node_info_make(
	const char *name, const struct sched_attribute *attributes, uint32_t count)
{
	const struct sched_node_info from = {name, attributes, count, 0};
	struct sched_node_info *info = NULL;
	struct sched_bytes b = {0};
	struct reader r;

	sched_node_info_encode(&b, &from);
	if (!b.failed) {
		r = reader_of(b.data, b.len);
		info = sched_node_info_decode(&r);
	}
	sched_bytes_fini(&b);
	return info;
}

const char *sched_node_attribute(const struct sched_node_info *info, const char *key)
{
	uint32_t low = 0, high = info->attribute_count;

	if (strcmp(key, "unique.node.name") == 0)
		return info->name;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		int order = strcmp(info->attributes[middle].key, key);

		if (order == 0)
			return info->attributes[middle].value;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}
