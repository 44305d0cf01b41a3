// SPDX-License-Identifier: Apache-2.0
// Output in the formats of -o.
#include "tools/cli/output.h"

#include <stdlib.h>

#include "tools/cli/format.h"
#include "tools/cli/table.h"
#include "tools/cli/yaml_out.h"

static void write_json(FILE *out, const json_t *value)
{
	json_dumpf(value, out, JSON_INDENT(2) | JSON_ENCODE_ANY);
	fputc('\n', out);
}

bool output_is_data(const struct cli *cli)
{
	return cli->format == FORMAT_JSON || cli->format == FORMAT_YAML;
}

void output_value(struct cli *cli, const json_t *value)
{
	size_t i;
	json_t *item;

	if (cli->format != FORMAT_YAML) {
		write_json(cli->out, value);
		return;
	}
	if (!json_is_array(value)) {
		yaml_write(cli->out, value, 0);
		return;
	}
	json_array_foreach(value, i, item)
	{
		fputs(i ? "---\n" : "", cli->out);
		yaml_write(cli->out, item, 0);
	}
}

static bool is_shown(const struct cli *cli, const struct column *column)
{
	return !column->wide || cli->format == FORMAT_WIDE;
}

static void add_row(
	struct cli *cli, struct table *t, const struct noun *noun, const json_t *resource)
{
	char text[TABLE_CELL_MAX];

	for (size_t i = 0; i < noun->column_count; i++) {
		const struct column *c = &noun->columns[i];

		if (!is_shown(cli, c))
			continue;
		(c->format ? c->format : format_plain)(
			json_at(resource, c->path), text, sizeof(text));
		table_cell(t, text);
	}
}

static unsigned long long number_of(const json_t *resource)
{
	const char *name = json_string_value(json_at(resource, "metadata.name"));

	return name ? strtoull(name, NULL, 10) : 0;
}

static int compare_numbers(const void *a, const void *b)
{
	unsigned long long x = number_of(*(json_t *const *)a), y = number_of(*(json_t *const *)b);

	return x < y ? -1 : x > y;
}

// A copy of the list in the order of numbers. A new reference.
static json_t *by_number(const json_t *list)
{
	size_t count = json_array_size(list);
	json_t **items = calloc(count + 1, sizeof(json_t *));
	json_t *out = json_array();

	for (size_t i = 0; items && i < count; i++)
		items[i] = json_array_get(list, i);
	if (items)
		qsort(items, count, sizeof(json_t *), compare_numbers);
	for (size_t i = 0; items && i < count; i++)
		json_array_append(out, items[i]);
	free(items);
	return out;
}

static enum cli_exit print_table(struct cli *cli, const struct noun *noun, const json_t *list)
{
	json_t *sorted = noun->numbered ? by_number(list) : json_incref((json_t *)(uintptr_t)list);
	struct table t = {0};
	size_t i;
	json_t *resource;
	int r;

	for (i = 0; i < noun->column_count; i++) {
		if (is_shown(cli, &noun->columns[i]))
			table_column(&t, noun->columns[i].title, false);
	}
	json_array_foreach(sorted, i, resource) add_row(cli, &t, noun, resource);
	r = table_print(&t, cli->out);
	table_fini(&t);
	json_decref(sorted);
	return r ? CLI_REFUSED : CLI_DONE;
}

static void print_names(struct cli *cli, const struct noun *noun, const json_t *list)
{
	size_t i;
	json_t *resource;

	json_array_foreach(list, i, resource)
	{
		char *title = noun_title(noun, resource);

		fprintf(cli->out, "%s\n", title ? title : "?");
		free(title);
	}
}

enum cli_exit output_resources(
	struct cli *cli, const struct noun *noun, const json_t *list, bool single)
{
	switch (cli->format) {
	case FORMAT_JSON:
	case FORMAT_YAML:
		output_value(cli, single ? json_array_get(list, 0) : list);
		return CLI_DONE;
	case FORMAT_NAME:
		print_names(cli, noun, list);
		return CLI_DONE;
	default:
		break;
	}
	if (json_array_size(list) > 0)
		return print_table(cli, noun, list);
	fprintf(cli->err, "There are no %s.\n", noun->plural);
	return CLI_DONE;
}
