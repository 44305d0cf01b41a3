// SPDX-License-Identifier: Apache-2.0
// The services that metadata led to lately, by its bytes: clients repeat them from call to call,
// and comparing them takes a tenth of parsing and looking up.
//
// Worker thread. What is remembered counts only while the table has not changed since
// (table_version()), so a service found here is one that table_find() would return.
#pragma once

#include "dataplane/table.h"
#include "lib/rsocket/metadata.h"

#define ROUTE_MEMO_ENTRIES 64u // a power of two
#define ROUTE_MEMO_BYTES 96u   // longer metadata is not remembered

struct route_memo_entry {
	uint64_t version; // of the table; 0: unused
	const struct service *service;
	uint8_t kind; // enum rs_metadata_kind
	uint8_t len;
	uint8_t route_at, route_len; // where in bytes
	uint8_t bytes[ROUTE_MEMO_BYTES];
};

// Zeroed at first.
struct route_memo {
	struct route_memo_entry entry[ROUTE_MEMO_ENTRIES];
};

// NULL: not known.
const struct route_memo_entry *route_memo_find(const struct route_memo *memo,
	const struct table *table, enum rs_metadata_kind kind, const struct chain *metadata);
// version: table_version() before table_find().
void route_memo_keep(struct route_memo *memo, uint64_t version, enum rs_metadata_kind kind,
	const struct chain *metadata, const struct rs_route *route, const struct service *service);
// The route that an entry's bytes name.
void route_memo_route(const struct route_memo_entry *entry, struct rs_route *out);
