// SPDX-License-Identifier: Apache-2.0
// A map from strings to pointers: chained hash table that doubles. Keys lie in the values, which
// must outlive their place in the map. One thread.
#pragma once

#include <stddef.h>
#include <stdint.h>

// Embed it in the value.
struct strmap_node {
	struct strmap_node *next;
	const char *key;
	uint64_t hash;
};

struct strmap {
	struct strmap_node **slots;
	size_t slot_count;  // a power of two, or 0
	size_t count;
};

struct strmap_node *strmap_find(const struct strmap *map, const char *key);
// The key must not be in the map.
void strmap_add(struct strmap *map, struct strmap_node *node, const char *key);
void strmap_remove(struct strmap *map, struct strmap_node *node);
// The node behind `node` (NULL: the first), in no order; NULL at the end. A node may be removed
// once its successor is known.
struct strmap_node *strmap_next(const struct strmap *map, const struct strmap_node *node);
// Frees the table, not the values.
void strmap_fini(struct strmap *map);
