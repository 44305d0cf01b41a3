// SPDX-License-Identifier: Apache-2.0
// Intrusive doubly linked list with a head. A zeroed node is on no list.
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *prev;
	struct list *next;
};

#ifndef container_of  // DPDK has the same
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#endif
#define list_entry(ptr, type, member) container_of(ptr, type, member)
#define list_for_each(at, head) for (struct list *at = (head)->next; at != (head); at = at->next)
// Safe against removal of `at` alone.
#define list_for_each_safe(at, after, head)                                                        \
	for (struct list *at = (head)->next, *after = at->next; at != (head);                      \
		at = after, after = at->next)

static inline void list_init(struct list *head)
{
	head->prev = head->next = head;
}

static inline bool list_empty(const struct list *head)
{
	return head->next == head;
}

static inline bool list_linked(const struct list *node)
{
	return node->next != NULL;
}

static inline void list_push(struct list *head, struct list *node)
{
	node->prev = head->prev;
	node->next = head;
	head->prev->next = node;
	head->prev = node;
}

static inline void list_push_first(struct list *head, struct list *node)
{
	list_push(head->next, node);
}

// Does nothing to a node that is on no list.
static inline void list_del(struct list *node)
{
	if (!node->next)
		return;
	node->prev->next = node->next;
	node->next->prev = node->prev;
	node->prev = node->next = NULL;
}

static inline struct list *list_first(const struct list *head)
{
	return list_empty(head) ? NULL : head->next;
}
