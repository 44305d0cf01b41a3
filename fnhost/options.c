// SPDX-License-Identifier: Apache-2.0
// Flags and the start-up file: one table for both. What is not said is found out: the node's name from
// /etc/machine-id, its capacity from the kernel.
#include "fnhost/options.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>
#include <yaml.h>

static const struct {
	const char *name, *def, *help;
	size_t offset;
} table[] = {
#define OPTION(name_, member, def_, help_)                                   \
	{                                                                    \
		name_, def_, help_, offsetof(struct options, member)         \
	}
	OPTION("name", name, "", "NAME       of this node (node- and the machine id's first 12)"),
	OPTION("control", control, "unix:/run/penstock/peer.sock", "ADDR       the control plane"),
	OPTION("listen", listen, "0.0.0.0:7880", "ADDR       where gateways connect"),
	OPTION("advertise", advertise, "", "ADDR       what gateways are told to dial (as --listen)"),
	OPTION("token-file", token_file, "", "PATH       join token for the control plane"),
	OPTION("gateway-token-file", gateway_token_file, "",
		"PATH       token that gateways must show (none)"),
	OPTION("state", state, "/run/penstock/fnhost", "DIR        sockets, records and logs"),
	OPTION("functions", functions, "/usr/libexec/penstock/functions",
		"DIR        where commands are looked for first"),
	OPTION("shim", shim, "", "PATH       penstock-shim (beside this program, or libexec)"),
	OPTION("cpu", cpu, "", "MILLI      capacity in thousandths of a processor (all)"),
	OPTION("memory", memory, "", "BYTES      capacity (all); k, m, g are allowed"),
	OPTION("attributes", attributes, "", "K=V,...    what placement may ask for, as rack=r1"),
	OPTION("log-bytes", log_bytes, "4m", "BYTES      of an instance's log before it is rotated"),
	OPTION("log-level", log_level, "info", "LEVEL      error, warn, info or debug"),
};
#define TABLE_COUNT (sizeof(table) / sizeof(table[0]))

static void help(FILE *out)
{
	fputs("penstock-fnhost: runs functions on this node and gives gateways access to them.\n\n"
	      "usage: penstock-fnhost [--NAME VALUE]...\n\n",
		out);
	for (size_t i = 0; i < TABLE_COUNT; i++)
		fprintf(out, "  --%-18s %s%s%s%s\n", table[i].name, table[i].help,
			table[i].def[0] ? " (" : "", table[i].def, table[i].def[0] ? ")" : "");
	fprintf(out, "  --%-18s PATH       a YAML file with the same names; flags win (%s)\n",
		"config", OPTIONS_CONFIG_DEFAULT);
	fputs("  --version            print the version\n  --help               print this\n", out);
}

// 0, -ENOENT (no such name), -ENAMETOOLONG.
static int set(struct options *o, const char *name, const char *value)
{
	for (size_t i = 0; i < TABLE_COUNT; i++) {
		if (strcmp(table[i].name, name) != 0)
			continue;
		if (strlen(value) >= OPTION_TEXT_MAX)
			return -ENAMETOOLONG;
		strcpy((char *)o + table[i].offset, value);
		return 0;
	}
	return -ENOENT;
}

static bool set_pair(struct options *o, yaml_document_t *doc, const yaml_node_pair_t *pair,
	const char *path, FILE *err)
{
	const yaml_node_t *key = yaml_document_get_node(doc, pair->key);
	const yaml_node_t *value = yaml_document_get_node(doc, pair->value);
	size_t line = key->start_mark.line + 1;
	int rc;

	if (key->type != YAML_SCALAR_NODE || value->type != YAML_SCALAR_NODE) {
		fprintf(err, "%s:%zu: each line must be NAME: VALUE\n", path, line);
		return false;
	}
	rc = set(o, (const char *)key->data.scalar.value, (const char *)value->data.scalar.value);
	if (rc == -ENOENT)
		fprintf(err, "%s:%zu: unknown name '%s'; --help lists them\n", path, line,
			key->data.scalar.value);
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

static bool read_file(struct options *o, const char *path, bool must, FILE *err)
{
	FILE *file = fopen(path, "re");
	yaml_document_t doc;
	yaml_parser_t parser;
	bool good;

	if (!file) {
		if (!must && errno == ENOENT)
			return true;
		fprintf(err, "cannot read %s: %s\n", path, strerror(errno));
		return false;
	}
	if (!yaml_parser_initialize(&parser)) {
		fclose(file);
		return false;
	}
	yaml_parser_set_input_file(&parser, file);
	good = yaml_parser_load(&parser, &doc);
	if (good) {
		good = set_all(o, &doc, path, err);
		yaml_document_delete(&doc);
	} else {
		fprintf(err, "%s:%zu: %s\n", path, parser.problem_mark.line + 1,
			parser.problem ? parser.problem : "not YAML");
	}
	yaml_parser_delete(&parser);
	fclose(file);
	return good;
}

// Either finds the file's name, or applies everything else.
static enum options_result read_flags(
	struct options *o, int argc, char **argv, const char **config, FILE *out, FILE *err)
{
	for (int i = 1; i < argc; i++) {
		const char *name = argv[i] + 2;

		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			help(out);
			return OPTIONS_EXIT;
		}
		if (strcmp(argv[i], "--version") == 0) {
			fprintf(out, "penstock-fnhost %s\n", PENSTOCK_VERSION);
			return OPTIONS_EXIT;
		}
		if (strncmp(argv[i], "--", 2) != 0 || i + 1 == argc) {
			fprintf(err, "'%s' is not a flag, or its value is missing: see --help\n", argv[i]);
			return OPTIONS_WRONG;
		}
		i++;
		if (strcmp(name, "config") == 0) {
			*config = argv[i];
		} else if (set(o, name, argv[i])) {
			fprintf(err, "'--%s' is not a flag, or its value is too long: see --help\n", name);
			return OPTIONS_WRONG;
		}
	}
	return OPTIONS_RUN;
}

static bool read_line(const char *path, char *to, size_t room, FILE *err)
{
	FILE *file = fopen(path, "re");
	bool good = file && fgets(to, (int)room, file);

	if (!good && err)
		fprintf(err, "cannot read a line from %s: %s\n", path,
			file ? "it is empty" : strerror(errno));
	if (file)
		fclose(file);
	to[good ? strcspn(to, "\r\n") : 0] = 0;
	return good;
}

// "64m". False: not a number of bytes.
static bool parse_bytes(const char *text, uint64_t *out)
{
	static const char units[] = "kmgt";
	char *end;
	const char *unit;
	unsigned long long n;

	errno = 0;
	n = strtoull(text, &end, 10);
	unit = *end ? strchr(units, *end | 0x20) : NULL;
	if (errno || end == text || *text == '-' || (*end && (!unit || end[1])))
		return false;
	*out = n << (unit ? 10 * (unit - units + 1) : 0);
	return true;
}

static bool find_capacity(struct options *o, FILE *err)
{
	struct sysinfo info;
	uint64_t milli = (uint64_t)sysconf(_SC_NPROCESSORS_ONLN) * 1000;

	sysinfo(&info);
	o->memory_bytes = (uint64_t)info.totalram * info.mem_unit;
	if (o->cpu[0] && (!parse_bytes(o->cpu, &milli) || milli > UINT32_MAX)) {
		fprintf(err, "--cpu takes thousandths of a processor, as 4000, not '%s'\n", o->cpu);
		return false;
	}
	o->cpu_milli = (uint32_t)milli;
	if ((o->memory[0] && !parse_bytes(o->memory, &o->memory_bytes)) ||
		!parse_bytes(o->log_bytes, &o->log_bytes_max) || o->log_bytes_max < 4096) {
		fprintf(err, "--memory and --log-bytes take bytes, as 64m; a log at least 4k\n");
		return false;
	}
	return true;
}

static bool find_shim(struct options *o, FILE *err)
{
	static const char *const places[] = {"%s/penstock-shim", "%s/shim/penstock-shim",
		"%s/../libexec/penstock/penstock-shim"};
	char self[PATH_MAX], path[PATH_MAX + 64];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (o->shim[0])
		return true;
	self[n > 0 ? n : 0] = 0;
	slash = strrchr(self, '/');
	if (slash)
		*slash = 0;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(path, sizeof(path), places[i], self);
#pragma GCC diagnostic pop
		if (access(path, X_OK) == 0 && strlen(path) < sizeof(o->shim)) {
			strcpy(o->shim, path);
			return true;
		}
	}
	fprintf(err, "penstock-shim is not beside this program nor in libexec: say --shim PATH\n");
	return false;
}

static bool name_valid(const char *name)
{
	size_t len = strlen(name);

	return len >= 1 && len <= 63 &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == len && name[0] != '-';
}

static bool complete(struct options *o, FILE *err)
{
	read_line("/etc/machine-id", o->machine_id, sizeof(o->machine_id), NULL);
	if (!o->name[0] && o->machine_id[0])
		snprintf(o->name, sizeof(o->name), "node-%.12s", o->machine_id);
	if (!name_valid(o->name)) {
		fprintf(err, "the node's name '%s' must be of a-z, 0-9 and -, at most 63: say --name\n",
			o->name);
		return false;
	}
	if (o->token_file[0] && !read_line(o->token_file, o->token, sizeof(o->token), err))
		return false;
	if (o->gateway_token_file[0] && !read_line(o->gateway_token_file, o->gateway_token,
						sizeof(o->gateway_token), err))
		return false;
	if (!o->advertise[0])
		strcpy(o->advertise, o->listen);
	return find_capacity(o, err) && find_shim(o, err);
}

enum options_result options_read(struct options *o, int argc, char **argv, FILE *out, FILE *err)
{
	const char *config = NULL;
	enum options_result result;

	*o = (struct options){0};
	for (size_t i = 0; i < TABLE_COUNT; i++)
		set(o, table[i].name, table[i].def);
	// Once for the file's name and for faults, and again over the file.
	result = read_flags(o, argc, argv, &config, out, err);
	if (result != OPTIONS_RUN)
		return result;
	if (!read_file(o, config ? config : OPTIONS_CONFIG_DEFAULT, config, err))
		return OPTIONS_WRONG;
	read_flags(o, argc, argv, &config, out, err);
	return complete(o, err) ? OPTIONS_RUN : OPTIONS_WRONG;
}
