// SPDX-License-Identifier: Apache-2.0
// What a half of the journal holds, by key, the last write of each: to be looked up, and to be
// written to the store below. One thread writes; others may look up what no one writes to.
#pragma once

#include "controlplane/store.h"
#include "controlplane/strmap.h"

#include <stdbool.h>

struct pending_write {
	struct strmap_node node;
	bool removed;
	uint64_t version; // 0: removed
	size_t len;
	char *value;
	char key[]; // and the value behind it
};

struct pending {
	struct strmap writes;
};

struct pending *pending_new(void);
void pending_free(struct pending *p);
void pending_put(struct pending *p, const struct store_write *write);
const struct pending_write *pending_find(const struct pending *p, const char *key);

// Hands all of it to `commit` in several transactions, the last with `end`. Done twice, or halfway
// and then again, it comes to the same. 0 or the error of the first that failed.
int pending_apply(const struct pending *p, const struct store_write *end,
	int (*commit)(void *user, const struct store_txn *t), void *user);
