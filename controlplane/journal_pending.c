// SPDX-License-Identifier: Apache-2.0
// Writes that wait for the store below: journal_pending.h.
#include "controlplane/journal_pending.h"

#include <stdlib.h>
#include <string.h>

#include "controlplane/registry_internal.h"

// A transaction of this size holds up the syncs of the journal only a little.
#define TXN_BYTES ((size_t)512 << 10)
#define TXN_WRITES 1024

struct pending *pending_new(void)
{
	return must(calloc(1, sizeof(struct pending)));
}

static struct pending_write *write_of(const struct strmap_node *node)
{
	return (struct pending_write *)(uintptr_t)node; // its first member
}

void pending_free(struct pending *p)
{
	struct strmap_node *next;

	if (!p)
		return;
	for (struct strmap_node *n = strmap_next(&p->writes, NULL); n; n = next) {
		next = strmap_next(&p->writes, n);
		free(write_of(n));
	}
	strmap_fini(&p->writes);
	free(p);
}

const struct pending_write *pending_find(const struct pending *p, const char *key)
{
	return write_of(strmap_find(&p->writes, key));
}

void pending_put(struct pending *p, const struct store_write *w)
{
	struct strmap_node *old = strmap_find(&p->writes, w->key);
	size_t key_bytes = strlen(w->key) + 1, len = w->value ? w->len : 0;
	struct pending_write *new = must(malloc(sizeof(*new) + key_bytes + len));

	if (old) {
		strmap_remove(&p->writes, old);
		free(write_of(old));
	}
	new->removed = !w->value;
	new->version = w->value ? w->version : 0;
	new->len = len;
	new->value = new->key + key_bytes;
	memcpy(new->key, w->key, key_bytes);
	if (len)
		memcpy(new->value, w->value, len);
	strmap_add(&p->writes, &new->node, new->key);
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct store_write *)a)->key, ((const struct store_write *)b)->key);
}

// In the order of keys, in which the store below has the least to do; `end` is behind them.
static struct store_write *in_order(const struct pending *p, const struct store_write *end)
{
	struct store_write *list = must(malloc((p->writes.count + 1) * sizeof(*list)));
	size_t count = 0;

	for (struct strmap_node *n = strmap_next(&p->writes, NULL); n;
		n = strmap_next(&p->writes, n)) {
		const struct pending_write *w = write_of(n);

		list[count++] = (struct store_write){
			w->key, w->removed ? NULL : w->value, w->len, w->version};
	}
	if (count)
		qsort(list, count, sizeof(*list), by_key);
	list[count] = *end;
	return list;
}

int pending_apply(const struct pending *p, const struct store_write *end,
	int (*commit)(void *user, const struct store_txn *t), void *user)
{
	struct store_write *list = in_order(p, end);
	size_t count = p->writes.count + 1;
	int rc = 0;

	for (size_t at = 0; !rc && at < count;) {
		struct store_txn t = {.writes = list + at};
		size_t bytes = 0;

		while (at < count && t.write_count < TXN_WRITES && bytes < TXN_BYTES) {
			bytes += list[at++].len;
			t.write_count++;
		}
		rc = commit(user, &t);
	}
	free(list);
	return rc;
}
