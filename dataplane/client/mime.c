// SPDX-License-Identifier: Apache-2.0
// Interned pairs of MIME types: see mime.h. Touched when a connection opens or closes, never by a
// call.

#include "dataplane/client/mime.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct mime *mime_ref(struct mime *mime)
{
	mime->refs++;
	return mime;
}

void mime_unref(struct mime *mime)
{
	assert(mime->refs > 0 && "a pair of MIME types was released too often");
	mime->refs--;
}

static struct mime *find(struct mime_table *table, const char *metadata, const char *data)
{
	for (unsigned i = 0; i < MIME_PAIRS_MAX; i++) {
		struct mime *m = table->pairs[i];

		if (m && strcmp(m->metadata, metadata) == 0 && strcmp(m->data, data) == 0)
			return m;
	}
	return NULL;
}

// A place for a new pair: a free one, or one that nobody uses any more.
static struct mime *place(struct mime_table *table)
{
	for (unsigned i = 0; i < MIME_PAIRS_MAX; i++) {
		if (!table->pairs[i])
			return table->pairs[i] = calloc(1, sizeof(struct mime));
		if (table->pairs[i]->refs == 0)
			return table->pairs[i];
	}
	return NULL;
}

struct mime *mime_get(struct mime_table *table, const char *metadata, const char *data)
{
	struct mime *m = find(table, metadata, data);

	if (m)
		return mime_ref(m);
	if (strlen(metadata) > RS_MIME_BYTES_MAX || strlen(data) > RS_MIME_BYTES_MAX)
		return NULL;
	m = place(table);
	if (!m)
		return NULL;
	strcpy(m->metadata, metadata);
	strcpy(m->data, data);
	m->kind = rs_metadata_kind(metadata);
	m->refs = 1;
	return m;
}

void mime_table_fini(struct mime_table *table)
{
	for (unsigned i = 0; i < MIME_PAIRS_MAX; i++) {
		assert((!table->pairs[i] || table->pairs[i]->refs == 0) &&
			"connections still use a pair of MIME types");
		free(table->pairs[i]);
		table->pairs[i] = NULL;
	}
}
