// SPDX-License-Identifier: Apache-2.0
// What registry.c and batch.c share.
#pragma once

#include "controlplane/registry.h"

#define REGISTRY_META_KEY "meta/state"

// Returns memory; stops the program if it is NULL.
void *must(void *memory);
// RFC 3339 in UTC with milliseconds.
const char *time_text(ns_t wall_ns, char *text, size_t room);

void table_set(struct registry *r, enum kind kind, const char *key, struct resource *after);

// Takes the next seq for a change: 0 or -EBUSY when the batch is full.
int batch_begin_change(struct registry *r);
// Adds the change of the seq just taken with its event; takes line.
void batch_add_change(struct registry *r, enum kind kind, struct resource *before,
	struct resource *after, char *line);
// Adds a write of a text (taken; NULL: removal).
void batch_write(struct batch *b, const char *key, char *text, uint64_t version);
// The same with bytes.
void batch_write_bytes(
	struct batch *b, const char *key, char *bytes, size_t len, uint64_t version);
// The batch is stored only if the record has this version then (0: is not there).
void batch_compare(struct batch *b, const char *key, uint64_t version);
void batch_destroy(struct batch *b);
