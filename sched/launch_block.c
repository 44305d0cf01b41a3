// SPDX-License-Identifier: Apache-2.0
// What a spec has of a job that launches others, and of one that was launched: the checks, and the
// two records of it (extras.c).
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sched/block_internal.h"
#include "sched/cron.h"

#define OVERLAP 1
#define TEMPLATED 2
#define CRON 4

// ---- checking ----

bool sched_meta_key_ok(const char *key)
{
	size_t len = 0;

	for (; key[len]; len++)
		if (!(key[len] >= 'a' && key[len] <= 'z') &&
			!(key[len] >= 'A' && key[len] <= 'Z') &&
			!(key[len] >= '0' && key[len] <= '9') && key[len] != '-' && key[len] != '_')
			return false;
	return len && len <= SCHED_META_KEY_MAX;
}

static char folded(char c)
{
	return c == '-' ? '_' : c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

bool sched_meta_key_same(const char *a, const char *b)
{
	for (; *a && folded(*a) == folded(*b); a++)
		b++;
	return !*a && !*b;
}

static const char *key_at(const struct sched_launch *l, uint32_t k)
{
	return k < l->meta_required_count ? l->meta_required[k]
					  : l->meta_optional[k - l->meta_required_count];
}

static int check_keys(const struct sched_launch *l)
{
	if (l->meta_required_count > SCHED_META_MAX || l->meta_optional_count > SCHED_META_MAX)
		return -EINVAL;
	for (uint32_t k = 0; k < l->meta_required_count + l->meta_optional_count; k++) {
		if (!sched_meta_key_ok(key_at(l, k)))
			return -EINVAL;
		for (uint32_t n = 0; n < k; n++)
			if (sched_meta_key_same(key_at(l, k), key_at(l, n)))
				return -EINVAL;
	}
	return 0;
}

int sched_launch_check(const struct sched_spec *spec)
{
	const struct sched_launch *l = spec->launch;
	char why[1];

	if (spec->payload_len > SCHED_PAYLOAD_MAX || spec->meta_count > SCHED_META_MAX ||
		(spec->parent && l))
		return -EINVAL;
	if (!l)
		return 0;
	if (spec->type != SCHED_TYPE_BATCH || strlen(spec->name) > SCHED_PARENT_NAME_MAX ||
		!l->cron == !l->templated || l->payload >= SCHED_PAYLOADS)
		return -EINVAL;
	if (l->cron && cron_check(l->cron, why, sizeof(why)))
		return -EINVAL;
	return check_keys(l);
}

// ---- writing ----

static void put_bytes(struct sched_bytes *b, const void *bytes, uint32_t len)
{
	uint8_t *to;

	sched_put_uint(b, len);
	to = sched_bytes_take(b, len);
	if (to && len)
		memcpy(to, bytes, len);
}

static void put_keys(struct sched_bytes *b, const char *const *keys, uint32_t n)
{
	sched_put_uint(b, n);
	for (uint32_t k = 0; k < n; k++)
		sched_put_text(b, keys[k]);
}

void sched_launch_put(struct sched_bytes *b, const struct sched_launch *l)
{
	sched_put_u8(b, (uint8_t)((l->overlap ? OVERLAP : 0) | (l->templated ? TEMPLATED : 0) |
				  (l->cron ? CRON : 0)));
	sched_put_u8(b, l->payload);
	if (l->cron)
		sched_put_text(b, l->cron);
	put_keys(b, l->meta_required, l->meta_required_count);
	put_keys(b, l->meta_optional, l->meta_optional_count);
}

void sched_child_put(struct sched_bytes *b, const struct sched_spec *spec)
{
	sched_put_text(b, spec->parent);
	sched_put_text(b, spec->token ? spec->token : "");
	put_bytes(b, spec->payload, spec->payload_len);
	sched_put_uint(b, spec->meta_count);
	for (uint32_t k = 0; k < spec->meta_count; k++) {
		sched_put_text(b, spec->meta[k].key);
		sched_put_text(b, spec->meta[k].value);
	}
}

// ---- reading ----

// Bytes need no more room than they took encoded.
static const void *take_bytes(struct reader *r, struct sched_room *room, uint32_t *len)
{
	const uint8_t *from;
	char *to = room->text;

	*len = sched_get_u32(r);
	from = reader_take(r, *len);
	if (!to)
		return NULL;
	if (!from || *len > room->left || *len > SCHED_PAYLOAD_MAX) {
		r->bad = true;
		*len = 0;
		return NULL;
	}
	memcpy(to, from, *len);
	room->text += *len;
	room->left -= *len;
	return to;
}

// Texts into keys, of which there are `most`; keys NULL: only skipped.
static uint32_t get_keys(
	struct reader *r, const char **keys, uint32_t most, struct sched_room *room)
{
	uint32_t n = sched_get_u32(r);

	if (n > most) {
		r->bad = true;
		return 0;
	}
	for (uint32_t k = 0; k < n && !r->bad; k++) {
		const char *key = sched_take_text(r, room);

		if (keys)
			keys[k] = key;
	}
	return n;
}

size_t sched_launch_size(struct reader r)
{
	struct sched_room nowhere = {NULL, 0};
	uint8_t flags = reader_u8(&r);
	uint32_t keys;

	reader_u8(&r);
	if (flags & CRON)
		sched_take_text(&r, &nowhere);
	keys = get_keys(&r, NULL, SCHED_META_MAX, &nowhere);
	keys += get_keys(&r, NULL, SCHED_META_MAX, &nowhere);
	return r.bad ? 0 : sizeof(struct sched_launch) + keys * sizeof(char *);
}

void sched_launch_get(struct reader *r, struct sched_spec *spec, void *at, struct sched_room *room)
{
	struct sched_launch *l = at;
	const char **keys = (const char **)(l + 1);
	uint8_t flags = reader_u8(r);

	l->overlap = flags & OVERLAP;
	l->templated = flags & TEMPLATED;
	l->payload = reader_u8(r);
	l->cron = flags & CRON ? sched_take_text(r, room) : NULL;
	l->meta_required = keys;
	l->meta_required_count = get_keys(r, keys, SCHED_META_MAX, room);
	l->meta_optional = keys + l->meta_required_count;
	l->meta_optional_count = get_keys(r, keys + l->meta_required_count, SCHED_META_MAX, room);
	r->bad |= l->payload >= SCHED_PAYLOADS || strlen(spec->name) > SCHED_PARENT_NAME_MAX ||
		  spec->type != SCHED_TYPE_BATCH;
	spec->launch = l;
}

size_t sched_child_size(struct reader r)
{
	struct sched_room nowhere = {NULL, 0};
	uint32_t len, n;

	sched_take_text(&r, &nowhere);
	sched_take_text(&r, &nowhere);
	take_bytes(&r, &nowhere, &len);
	n = sched_get_u32(&r);
	return r.bad || n > SCHED_META_MAX ? 0 : n * sizeof(struct sched_meta);
}

void sched_child_get(struct reader *r, struct sched_spec *spec, void *at, struct sched_room *room)
{
	struct sched_meta *meta = at;

	spec->parent = sched_take_text(r, room);
	spec->token = sched_take_text(r, room);
	if (!*spec->token)
		spec->token = NULL;
	spec->payload = take_bytes(r, room, &spec->payload_len);
	spec->meta_count = sched_get_u32(r);
	spec->meta = meta;
	if (spec->meta_count > SCHED_META_MAX || !*spec->parent) {
		r->bad = true;
		spec->meta_count = 0;
	}
	for (uint32_t k = 0; k < spec->meta_count && !r->bad; k++) {
		meta[k].key = sched_take_text(r, room);
		meta[k].value = sched_take_text(r, room);
	}
}
