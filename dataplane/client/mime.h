// SPDX-License-Identifier: Apache-2.0
// Pairs of MIME types (metadata, data) that connections of a worker use, each once. MIME types
// belong to a connection, so calls of a client go upstream on connections with the same pair.
#pragma once

#include <stdint.h>

#include "dataplane/capacity.h"
#include "lib/rsocket/frame.h"
#include "lib/rsocket/metadata.h"

struct mime {
	uint32_t refs;
	enum rs_metadata_kind kind; // how its routes are found
	char metadata[RS_MIME_BYTES_MAX + 1];
	char data[RS_MIME_BYTES_MAX + 1];
};

// Zeroed at first.
struct mime_table {
	struct mime *pairs[MIME_PAIRS_MAX];
};

// A reference to the pair; NULL if there are too many pairs.
struct mime *mime_get(struct mime_table *table, const char *metadata, const char *data);
struct mime *mime_ref(struct mime *mime);
void mime_unref(struct mime *mime);
// Frees the pairs; none may be referenced.
void mime_table_fini(struct mime_table *table);
