// SPDX-License-Identifier: Apache-2.0
// Manifests: YAML or JSON, several documents a file, as JSON values that know their lines.
//
// The YAML read is the 1.2 core schema without anchors, aliases and tags: what a manifest says is
// what stands there. Duplicate keys are errors. Each value's line is kept, so that an error which
// the API reports for a field can be shown at the line that made it.
#pragma once

#include <jansson.h>
#include <stddef.h>

#define MANIFEST_BYTES_MAX (4u << 20)  // of one file
#define MANIFEST_DEPTH_MAX 32
#define MANIFEST_KEY_MAX 1024
#define MANIFEST_NODES_MAX 1000000

struct manifest_mark;

struct manifest_doc {
	json_t *value;  // an object
	char *file;
	unsigned line;  // where it begins, from 1
	struct manifest_mark *marks;
	size_t mark_count;
};

struct manifest {
	struct manifest_doc *docs;
	size_t count, room;
};

struct manifest_error {
	char file[256];
	unsigned line, column;  // from 1; 0: not known
	char text[512];
};

// Adds the documents of `bytes` to m, which is to be zeroed at first. 0, or -EINVAL with *error
// filled (the documents before the fault are kept), or -ENOMEM (error filled too). file is what
// errors call it.
int manifest_read(struct manifest *m, const char *file, const char *bytes, size_t len,
	struct manifest_error *error);
// The same from a path: a file, "-" for standard input, or a directory, whose *.yaml, *.yml and
// *.json files are read in the order of their names. 0 or -E... with *error filled.
int manifest_load(struct manifest *m, const char *path, struct manifest_error *error);
void manifest_fini(struct manifest *m);
// The line of a field such as "spec.ports[0].name" or "spec.ports.0.name"; of the nearest parent
// that is there when the field itself is not.
unsigned manifest_line(const struct manifest_doc *doc, const char *field);
// What a plain (unquoted) YAML scalar means. NULL with *why for a number that JSON cannot hold or
// when out of memory.
json_t *manifest_scalar(const char *text, size_t len, const char **why);
