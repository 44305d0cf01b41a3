// SPDX-License-Identifier: Apache-2.0
// Memory for one evaluation: taken piece by piece, given back all at once, kept for the next one.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SCHED_ARENA_CHUNK ((size_t)256 << 10)

struct sched_arena_chunk {
	struct sched_arena_chunk *next;
	size_t room, used;
};

struct sched_arena {
	struct sched_arena_chunk *first, *at;
};

static inline void sched_arena_reset(struct sched_arena *a)
{
	for (struct sched_arena_chunk *c = a->first; c; c = c->next)
		c->used = 0;
	a->at = a->first;
}

static inline void sched_arena_fini(struct sched_arena *a)
{
	for (struct sched_arena_chunk *c = a->first, *next; c; c = next) {
		next = c->next;
		free(c);
	}
	*a = (struct sched_arena){0};
}

// Not zeroed; aligned to 16. NULL: out of memory.
static inline void *sched_arena_take(struct sched_arena *a, size_t bytes)
{
	size_t need = (bytes + 15) & ~(size_t)15;
	struct sched_arena_chunk *c = a->at, **link;
	size_t room;

	while (c && c->room - c->used < need && c->next)
		c = a->at = c->next;
	if (!c || c->room - c->used < need) {
		room = need > SCHED_ARENA_CHUNK ? need : SCHED_ARENA_CHUNK;
		link = c ? &c->next : &a->first;
		c = malloc(((sizeof(*c) + 15) & ~(size_t)15) + room);
		if (!c)
			return NULL;
		*c = (struct sched_arena_chunk){NULL, room, 0};
		*link = a->at = c;
	}
	c->used += need;
	return (char *)c + ((sizeof(*c) + 15) & ~(size_t)15) + c->used - need;
}

static inline void *sched_arena_zeroed(struct sched_arena *a, size_t bytes)
{
	void *p = sched_arena_take(a, bytes);

	if (p)
		memset(p, 0, bytes);
	return p;
}
