// SPDX-License-Identifier: Apache-2.0
// The images of images.h. A node's list is compared with the one before, and only what came and
// went changes the lists by image. Those stand in buckets, each a chain of blocks that never
// change: what stood before the one that changes is copied.
#include "sched/images.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define BUCKETS 16384u

struct list_of_node {
	uint32_t count;
	uint64_t image[]; // sorted
};

// Rows of the two tables.
struct node_row {
	const struct list_of_node *list;
};
struct bucket_row {
	const struct sched_holders *first;
};

uint64_t sched_image_hash(const char *image)
{
	return XXH3_64bits(image, strlen(image));
}

static const struct list_of_node *list_at(const struct sched_snapshot *s, uint32_t node)
{
	const struct node_row *row = sched_table_row(&s->images, node);

	return row ? row->list : NULL;
}

bool sched_node_has_image(const struct sched_snapshot *s, uint32_t node, uint64_t image)
{
	const struct list_of_node *list = list_at(s, node);
	uint32_t low = 0, high = list ? list->count : 0;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (list->image[middle] == image)
			return true;
		if (list->image[middle] < image)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

const struct sched_holders *sched_image_holders(const struct sched_snapshot *s, uint64_t image)
{
	const struct bucket_row *row = sched_table_row(&s->holders, (uint32_t)image % BUCKETS);
	const struct sched_holders *h = row ? row->first : NULL;

	while (h && h->image != image)
		h = h->next;
	return h;
}

// ---- by image ----

static struct sched_holders *holders_new(
	const struct sched_holders *like, const struct sched_holders *next, uint32_t count)
{
	struct sched_holders *h = malloc(sizeof(*h) + count * sizeof(h->node[0]));

	if (!h)
		return NULL;
	h->next = next;
	h->image = like->image;
	h->count = count;
	memcpy(h->node, like->node,
		(like->count < count ? like->count : count) * sizeof(h->node[0]));
	return h;
}

static void retire(struct sched_state *st, const void *block)
{
	sched_pages_retire(&st->pages, (void *)(uintptr_t)block);
}

// Puts `with` (NULL: nothing) where `old` (NULL: nowhere) stands in its bucket. -ENOMEM: nothing
// has changed; `with` is still the caller's.
static int exchange(struct sched_state *st, uint64_t image, const struct sched_holders *old,
	struct sched_holders *with)
{
	struct bucket_row *row =
		sched_table_write(&st->pages, &st->head.holders, (uint32_t)image % BUCKETS);
	const struct sched_holders *rest, *at;

	if (!row)
		return -ENOMEM;
	rest = old ? old->next : row->first;
	if (with)
		with->next = rest;
	rest = with ? with : rest;
	// Those before it come again in another order; nobody minds.
	for (at = row->first; old && at != old;) {
		const struct sched_holders *copy = holders_new(at, rest, at->count);

		// Without memory one that stood there is forgotten: it is soft.
		rest = copy ? copy : rest;
		st->image_count -= !copy;
		retire(st, at);
		at = at->next;
	}
	row->first = rest;
	st->image_count += !old;
	st->image_count -= !with;
	if (old)
		retire(st, old);
	return 0;
}

static void come(struct sched_state *st, uint64_t image, uint32_t node)
{
	const struct sched_holders *old = sched_image_holders(&st->head, image);
	const struct sched_holders none = {.image = image};
	struct sched_holders *h;

	if (old ? old->count == SCHED_HOLDERS_MAX : st->image_count == SCHED_IMAGES_ALL)
		return;
	h = holders_new(old ? old : &none, NULL, (old ? old->count : 0) + 1);
	if (!h)
		return;
	h->node[h->count - 1] = node;
	if (exchange(st, image, old, h))
		free(h);
}

static void go(struct sched_state *st, uint64_t image, uint32_t node)
{
	const struct sched_holders *old = sched_image_holders(&st->head, image);
	struct sched_holders *h = NULL;
	uint32_t at = 0;

	while (old && at < old->count && old->node[at] != node)
		at++;
	if (!old || at == old->count)
		return;
	if (old->count > 1) {
		h = holders_new(old, NULL, old->count - 1);
		if (!h)
			return;
		if (at < h->count)
			h->node[at] = old->node[old->count - 1];
	}
	if (exchange(st, image, old, h))
		free(h);
}

// ---- by node ----

static int by_value(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static struct list_of_node *list_new(const char *const *images, uint32_t count)
{
	uint32_t most = count < SCHED_IMAGES_MAX ? count : SCHED_IMAGES_MAX, n = 0;
	struct list_of_node *list = malloc(sizeof(*list) + most * sizeof(list->image[0]));

	if (!list)
		return NULL;
	for (uint32_t i = 0; i < most; i++)
		list->image[i] = sched_image_hash(images[i]);
	qsort(list->image, most, sizeof(list->image[0]), by_value);
	for (uint32_t i = 0; i < most; i++)
		if (!n || list->image[n - 1] != list->image[i])
			list->image[n++] = list->image[i];
	list->count = n;
	return list;
}

static void tell_changes(struct sched_state *st, uint32_t node, const struct list_of_node *old,
	const struct list_of_node *list)
{
	uint32_t a = 0, b = 0, olds = old ? old->count : 0;

	while (a < olds || b < list->count) {
		if (b == list->count || (a < olds && old->image[a] < list->image[b]))
			go(st, old->image[a++], node);
		else if (a == olds || old->image[a] > list->image[b])
			come(st, list->image[b++], node);
		else
			a++, b++;
	}
}

static bool same(const struct list_of_node *a, const struct list_of_node *b)
{
	return (a ? a->count : 0) == b->count &&
	       (!b->count || memcmp(a->image, b->image, b->count * sizeof(b->image[0])) == 0);
}

int sched_images_put(
	struct sched_state *st, uint32_t node, const char *const *images, uint32_t count)
{
	struct list_of_node *list;
	struct node_row *row;

	if (!sched_node_at(&st->head, node))
		return -ENOENT;
	list = list_new(images, count);
	if (!list)
		return -ENOMEM;
	if (same(list_at(&st->head, node), list)) {
		free(list);
		return 0;
	}
	row = sched_table_write(&st->pages, &st->head.images, node);
	if (!row) {
		free(list);
		return -ENOMEM;
	}
	tell_changes(st, node, row->list, list);
	retire(st, row->list);
	row->list = list;
	return 1;
}

void sched_images_forget(struct sched_state *st, uint32_t node)
{
	if (list_at(&st->head, node))
		sched_images_put(st, node, NULL, 0);
}

// ---- life ----

void sched_images_init(struct sched_state *st)
{
	st->head.images = sched_table_make(&st->pages, sizeof(struct node_row), 4);
	st->head.holders = sched_table_make(&st->pages, sizeof(struct bucket_row), 4);
}

void sched_images_fini(struct sched_state *st)
{
	for (uint32_t i = 0; i < st->head.images.high; i++)
		free((void *)(uintptr_t)list_at(&st->head, i));
	for (uint32_t i = 0; i < st->head.holders.high; i++) {
		const struct bucket_row *row = sched_table_row(&st->head.holders, i);
		const struct sched_holders *h = row ? row->first : NULL;

		while (h) {
			const struct sched_holders *next = h->next;

			free((void *)(uintptr_t)h);
			h = next;
		}
	}
}
