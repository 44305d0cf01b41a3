// SPDX-License-Identifier: Apache-2.0
// A map from strings to pointers. Keys come from the API and from peers, all of them trusted with
// more than slow look-ups, so the hash needs no secret.
#include "controlplane/strmap.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define SLOTS_MIN 64

static uint64_t hash_of(const char *key)
{
	return XXH3_64bits(key, strlen(key));
}

static void grow(struct strmap *map)
{
	size_t room = map->slot_count ? map->slot_count * 2 : SLOTS_MIN;
	struct strmap_node **slots = calloc(room, sizeof(struct strmap_node *));

	if (!slots)
		abort();  // out of memory in the control plane: what was acknowledged is in the
			  // store
	for (size_t i = 0; i < map->slot_count; i++) {
		for (struct strmap_node *n = map->slots[i], *next; n; n = next) {
			next = n->next;
			n->next = slots[n->hash & (room - 1)];
			slots[n->hash & (room - 1)] = n;
		}
	}
	free(map->slots);
	map->slots = slots;
	map->slot_count = room;
}

struct strmap_node *strmap_find(const struct strmap *map, const char *key)
{
	uint64_t hash = hash_of(key);

	if (!map->slot_count)
		return NULL;
	for (struct strmap_node *n = map->slots[hash & (map->slot_count - 1)]; n; n = n->next)
		if (n->hash == hash && strcmp(n->key, key) == 0)
			return n;
	return NULL;
}

void strmap_add(struct strmap *map, struct strmap_node *node, const char *key)
{
	struct strmap_node **slot;

	if (map->count >= map->slot_count)
		grow(map);
	node->key = key;
	node->hash = hash_of(key);
	slot = &map->slots[node->hash & (map->slot_count - 1)];
	node->next = *slot;
	*slot = node;
	map->count++;
}

void strmap_remove(struct strmap *map, struct strmap_node *node)
{
	struct strmap_node **at = &map->slots[node->hash & (map->slot_count - 1)];

	while (*at != node)
		at = &(*at)->next;
	*at = node->next;
	map->count--;
}

struct strmap_node *strmap_next(const struct strmap *map, const struct strmap_node *node)
{
	size_t i = node ? (node->hash & (map->slot_count - 1)) + 1 : 0;

	if (node && node->next)
		return node->next;
	for (; i < map->slot_count; i++)
		if (map->slots[i])
			return map->slots[i];
	return NULL;
}

void strmap_fini(struct strmap *map)
{
	free(map->slots);
	*map = (struct strmap){0};
}
