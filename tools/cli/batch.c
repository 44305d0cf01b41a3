// SPDX-License-Identifier: Apache-2.0
// From documents to resources: kind, namespace, name; what the control plane would otherwise say
// without a line. All else is left to it.
#include "tools/cli/batch.h"

#include <stdlib.h>
#include <string.h>

void batch_complain(
	struct cli *cli, const struct manifest_doc *doc, const char *field, const char *message)
{
	unsigned line = field ? manifest_line(doc, field) : doc->line;

	// Most messages of the API begin with the field already.
	if (field && strncmp(message, field, strlen(field)) == 0)
		field = NULL;
	fprintf(cli->err, "%s:%u: %s%s%s\n", doc->file, line, field ? field : "", field ? ": " : "",
		message);
}

static const struct noun *find_noun(struct cli *cli, const struct manifest_doc *doc)
{
	const char *kind = json_string_value(json_at(doc->value, "kind"));
	const char *version = json_string_value(json_at(doc->value, "apiVersion"));
	const struct noun *noun = kind ? noun_find_kind(kind) : NULL;
	char names[100], message[140];

	if (!version || strcmp(version, "penstock/v1") != 0)
		batch_complain(cli, doc, "apiVersion", "apiVersion must be penstock/v1");
	else if (noun && noun->writable)
		return noun;
	else {
		snprintf(message, sizeof(message), "kind must be one of %s",
			noun_kinds(names, sizeof(names)));
		batch_complain(cli, doc, "kind", message);
	}
	return NULL;
}

// The document's namespace, or the one of -n, which is then written into it. NULL after a
// complaint.
static const char *settle_namespace(struct cli *cli, struct manifest_doc *doc, json_t *metadata)
{
	const char *own = json_string_value(json_object_get(metadata, "namespace"));

	if (!own) {
		if (cli->ns)
			json_object_set_new(metadata, "namespace", json_string(cli->ns));
		return cli_namespace(cli);
	}
	if (!cli->ns || strcmp(own, cli->ns) == 0)
		return own;
	batch_complain(cli, doc, "metadata.namespace",
		"metadata.namespace is another one than -n asks for");
	return NULL;
}

static enum cli_exit resolve(struct cli *cli, struct manifest_doc *doc, struct batch_item *item)
{
	json_t *metadata = json_object_get(doc->value, "metadata");
	const char *name = json_string_value(json_object_get(metadata, "name"));
	const char *ns = CLI_NAMESPACE_DEFAULT;

	item->doc = doc;
	item->noun = find_noun(cli, doc);
	if (!item->noun)
		return CLI_REFUSED;
	if (!name || !*name || strchr(name, '/')) {
		batch_complain(cli, doc, "metadata.name",
			"metadata.name must be a name such as thumbnail");
		return CLI_REFUSED;
	}
	if (item->noun->namespaced)
		ns = settle_namespace(cli, doc, metadata);
	if (!ns)
		return CLI_REFUSED;
	item->path = noun_path(item->noun, ns, name);
	item->title = noun_title(item->noun, doc->value);
	return item->path && item->title ? CLI_DONE : CLI_REFUSED;
}

static enum cli_exit load_files(
	struct cli *cli, const struct option_list *files, struct manifest *m)
{
	struct manifest_error error;

	for (size_t i = 0; i < files->count; i++) {
		if (manifest_load(m, files->item[i], &error) == 0)
			continue;
		if (error.line)
			fprintf(cli->err, "%s:%u:%u: %s\n", error.file, error.line, error.column,
				error.text);
		else
			cli_complain(cli, "%s: %s", error.file, error.text);
		return CLI_REFUSED;
	}
	if (m->count)
		return CLI_DONE;
	cli_complain(cli, "%s: there is no manifest in it", files->item[0]);
	return CLI_REFUSED;
}

enum cli_exit batch_load(struct cli *cli, const struct option_list *files, struct batch *batch)
{
	enum cli_exit exit;

	*batch = (struct batch){0};
	if (files->count == 0)
		return cli_usage(cli, "name the manifests with -f FILE, -f DIRECTORY or -f -");
	exit = load_files(cli, files, &batch->manifest);
	if (exit != CLI_DONE)
		return exit;
	batch->items = calloc(batch->manifest.count, sizeof(*batch->items));
	if (!batch->items)
		return CLI_REFUSED;
	batch->count = batch->manifest.count;
	for (size_t i = 0; i < batch->count; i++) {
		if (resolve(cli, &batch->manifest.docs[i], &batch->items[i]) != CLI_DONE)
			exit = CLI_REFUSED;
	}
	return exit;
}

void batch_fini(struct batch *batch)
{
	for (size_t i = 0; i < batch->count; i++) {
		free(batch->items[i].path);
		free(batch->items[i].title);
	}
	free(batch->items);
	manifest_fini(&batch->manifest);
	*batch = (struct batch){0};
}
