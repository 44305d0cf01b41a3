// SPDX-License-Identifier: Apache-2.0
// Flags and the start-up file: one table for both.
#include "controlplane/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <yaml.h>

static const struct {
	const char *name, *def, *help;
	size_t offset, room;
} table[] = {
#define OPTION(name_, member, def_, help_)                            \
	{                                                             \
		name_, def_, help_, offsetof(struct options, member), \
			sizeof(((struct options *)0)->member)         \
	}
	OPTION("control", control, "/run/penstock/control.sock",
		"PATH            Unix socket of the API, mode 0660, group penstock if there is "
		"one"),
	OPTION("peer", peer, "unix:/run/penstock/peer.sock",
		"PATH|HOST:PORT  where gateways and hosts connect; a Unix socket has mode 0600"),
	OPTION("peer-tcp", peer_tcp, "off",
		"HOST:PORT|off   where those of other machines do; port 7879 is usual"),
	OPTION("token-file", token_file, "",
		"PATH            the join token that they must know; without one none joins"),
	OPTION("lease", lease, "10", "SECONDS         a node is down so long after its host left"),
	OPTION("workers", workers, "2", "N               threads that plan placements, 1 to 16"),
	OPTION("state", state, "/var/lib/penstock", "DIR             where state is kept"),
	OPTION("metrics", metrics, "127.0.0.1:9478", "HOST:PORT|off   metrics for Prometheus"),
	OPTION("log-level", log_level, "info", "LEVEL           error, warn, info or debug"),
};
#define TABLE_COUNT (sizeof(table) / sizeof(table[0]))

static void help(FILE *out)
{
	fputs("penstock-controlplane: keeps what is wanted and tells gateways and hosts.\n\n"
	      "usage: penstock-controlplane [--NAME VALUE]...\n\n",
		out);
	for (size_t i = 0; i < TABLE_COUNT; i++)
		fprintf(out, "  --%-10s %s (%s)\n", table[i].name, table[i].help, table[i].def);
	fprintf(out, "  --%-10s PATH            a YAML file with the same names; flags win (%s)\n",
		"config", OPTIONS_CONFIG_DEFAULT);
	fputs("  --version    print the version\n  --help       print this\n", out);
}

// 0, -ENOENT (no such name), -ENAMETOOLONG.
static int set(struct options *o, const char *name, const char *value)
{
	for (size_t i = 0; i < TABLE_COUNT; i++) {
		if (strcmp(table[i].name, name) != 0)
			continue;
		if (strlen(value) >= table[i].room)
			return -ENAMETOOLONG;
		snprintf((char *)o + table[i].offset, table[i].room, "%s", value);
		return 0;
	}
	return -ENOENT;
}

// Takes one pair of the mapping; false after a complaint.
static bool set_pair(struct options *o, const yaml_document_t *doc, const yaml_node_pair_t *pair,
	const char *path, FILE *err)
{
	yaml_document_t *d = (yaml_document_t *)(uintptr_t)doc;
	const yaml_node_t *key = yaml_document_get_node(d, pair->key);
	const yaml_node_t *value = yaml_document_get_node(d, pair->value);
	size_t line = key->start_mark.line + 1;
	int rc;

	if (key->type != YAML_SCALAR_NODE || value->type != YAML_SCALAR_NODE) {
		fprintf(err, "%s:%zu: each line must be NAME: VALUE\n", path, line);
		return false;
	}
	rc = set(o, (const char *)key->data.scalar.value, (const char *)value->data.scalar.value);
	if (rc == -ENOENT)
		fprintf(err,
			"%s:%zu: unknown name '%s'; known are control, peer, peer-tcp, token-file, "
			"lease, workers, state, metrics, log-level\n",
			path, line, key->data.scalar.value);
	else if (rc)
		fprintf(err, "%s:%zu: the value is too long\n", path, line);
	return rc == 0;
}

static bool set_all(struct options *o, yaml_document_t *doc, const char *path, FILE *err)
{
	const yaml_node_t *root = yaml_document_get_root_node(doc);

	if (!root)
		return true;
	if (root->type != YAML_MAPPING_NODE) {
		fprintf(err, "%s: must hold lines of NAME: VALUE\n", path);
		return false;
	}
	for (const yaml_node_pair_t *p = root->data.mapping.pairs.start;
		p < root->data.mapping.pairs.top; p++)
		if (!set_pair(o, doc, p, path, err))
			return false;
	return true;
}

int options_read_file(struct options *o, const char *path, FILE *err)
{
	FILE *file = fopen(path, "re");
	yaml_document_t doc;
	yaml_parser_t parser;
	bool good;

	if (!file)
		return -errno;
	if (!yaml_parser_initialize(&parser)) {
		fclose(file);
		return -ENOMEM;
	}
	yaml_parser_set_input_file(&parser, file);
	good = yaml_parser_load(&parser, &doc);
	if (!good) {
		fprintf(err, "%s:%zu: %s\n", path, parser.problem_mark.line + 1,
			parser.problem ? parser.problem : "not YAML");
	} else {
		good = set_all(o, &doc, path, err);
		yaml_document_delete(&doc);
	}
	yaml_parser_delete(&parser);
	fclose(file);
	return good ? 0 : -EINVAL;
}

static int read_config(struct options *o, const char *path, FILE *err)
{
	int rc = options_read_file(o, path ? path : OPTIONS_CONFIG_DEFAULT, err);

	if (rc == -ENOENT && !path)
		return 0;
	if (rc && rc != -EINVAL)
		fprintf(err, "cannot read %s: %s\n", path ? path : OPTIONS_CONFIG_DEFAULT,
			strerror(-rc));
	return rc;
}

// Goes once over the flags: first for the file's name alone, then for all else.
static enum options_result flags(struct options *o, int argc, char **argv, const char **config,
	bool apply, FILE *out, FILE *err)
{
	static const struct option longs[] = {{"control", required_argument, NULL, 0},
		{"peer", required_argument, NULL, 0}, {"state", required_argument, NULL, 0},
		{"metrics", required_argument, NULL, 0}, {"log-level", required_argument, NULL, 0},
		{"peer-tcp", required_argument, NULL, 0},
		{"token-file", required_argument, NULL, 0}, {"lease", required_argument, NULL, 0},
		{"workers", required_argument, NULL, 0},
		{"config", required_argument, NULL, 'c'}, {"version", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'}, {0}};
	int index, c;

	optind = 0;
	opterr = apply;
	while ((c = getopt_long(argc, argv, "h", longs, &index)) != -1) {
		if (c == 'c') {
			*config = optarg;
		} else if (c == 'v' && apply) {
			fprintf(out, "penstock-controlplane %s\n", PENSTOCK_VERSION);
			return OPTIONS_EXIT;
		} else if (c == 'h' && apply) {
			help(out);
			return OPTIONS_EXIT;
		} else if (c == '?' && apply) {
			return OPTIONS_WRONG;
		} else if (c == 0 && apply && set(o, longs[index].name, optarg) != 0) {
			fprintf(err, "the value of --%s is too long\n", longs[index].name);
			return OPTIONS_WRONG;
		}
	}
	if (optind < argc && apply) {
		fprintf(err, "'%s' is not a flag: see --help\n", argv[optind]);
		return OPTIONS_WRONG;
	}
	return OPTIONS_RUN;
}

enum options_result options_read(struct options *o, int argc, char **argv, FILE *out, FILE *err)
{
	const char *config = NULL;
	struct options flag_errors;
	enum options_result result;

	for (size_t i = 0; i < TABLE_COUNT; i++)
		set(o, table[i].name, table[i].def);
	flag_errors = *o;
	// --help and wrong flags come before a complaint about the file.
	result = flags(&flag_errors, argc, argv, &config, true, out, err);
	if (result != OPTIONS_RUN)
		return result;
	if (read_config(o, config, err) != 0)
		return OPTIONS_WRONG;
	return flags(o, argc, argv, &config, true, out, err);
}
