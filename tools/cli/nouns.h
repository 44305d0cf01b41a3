// SPDX-License-Identifier: Apache-2.0
// The resources: how they are called, where they live on the control socket, what a table shows.
#pragma once

#include <jansson.h>

#include "tools/cli/cli.h"

// Writes the text of a cell for one resource; an empty string shows as "-".
struct column {
	const char *title;
	const char *path;  // into the resource: "status.state", "spec.addresses"
	bool wide;         // in -o wide only
	void (*format)(const json_t *value, char *text, size_t size);  // NULL: plain
};

struct noun {
	const char *plural;  // also the folder on the control socket
	const char *singular;
	const char *brief;
	const char *kind;  // of manifests and events
	bool writable;     // through manifests; the others come and go by themselves
	bool namespaced;
	bool numbered;     // named by numbers, which a table has in their order
	const struct column *columns;
	size_t column_count;
};

extern const struct noun cli_nouns[];
extern const size_t cli_noun_count;

// Plural, singular and short forms. NULL if there is none.
const struct noun *noun_find(const char *word);
const struct noun *noun_find_kind(const char *kind);
// "functions, endpoints and so on", separated by commas; only those of manifests if asked for, by
// their kind. Returns text.
const char *noun_names(char *text, size_t size);
const char *noun_kinds(char *text, size_t size);
// The same with a complaint and a suggestion.
const struct noun *noun_parse(struct cli *cli, const char *word);
// The words NOUN [NAME] or NOUN/NAME, as -o name prints it (argv is cut in place). name is NULL
// when there is none. CLI_USAGE after a complaint.
enum cli_exit noun_words(
	struct cli *cli, int argc, char **argv, const struct noun **noun, char **name);
// "/v1/functions/ns/name", every part percent-encoded; name may be "ns/name" where the noun has
// namespaces. Without a name: the list. Caller frees; NULL when out of memory.
char *noun_path(const struct noun *noun, const char *ns, const char *name);
// "endpoint/orders", "function/imagery/thumbnail" (the default namespace is left out). Caller
// frees.
char *noun_title(const struct noun *noun, const json_t *resource);
// "a.b.c" in a resource; NULL if it is not there.
const json_t *json_at(const json_t *value, const char *path);
