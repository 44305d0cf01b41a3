// SPDX-License-Identifier: Apache-2.0
// The manifests of one command, each document with the resource it stands for.
#pragma once

#include "tools/cli/manifest.h"
#include "tools/cli/nouns.h"

struct batch_item {
	struct manifest_doc *doc;
	const struct noun *noun;
	char *path;   // on the control socket
	char *title;  // "endpoint/orders"
};

struct batch {
	struct manifest manifest;
	struct batch_item *items;
	size_t count;
};

// Reads all files and finds each document's kind and name; complains with file and line about every
// document that has none. The batch is to be ended in every case.
enum cli_exit batch_load(struct cli *cli, const struct option_list *files, struct batch *batch);
void batch_fini(struct batch *batch);
// "FILE:LINE: field: message" on cli->err. field may be NULL.
void batch_complain(
	struct cli *cli, const struct manifest_doc *doc, const char *field, const char *message);
