// SPDX-License-Identifier: Apache-2.0
// Start-up options: one table serves the flags, the YAML file and the help. Main thread.
#include "dataplane/options.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

#define WHY_MAX 512

enum kind { KIND_TEXT, KIND_LIST, KIND_NUMBER, KIND_SWITCH, KIND_LEVEL };

struct option {
	const char *name;
	enum kind kind;
	const char *value;  // how the help calls it
	const char *help;
	size_t at;          // offset in struct options
	size_t max;         // bytes of a text, entries of a list, largest number
	size_t count_at;    // of a list
};

#define TEXT(field) offsetof(struct options, field), sizeof(((struct options *)0)->field), 0
#define LIST(field, counter)                                                                       \
	offsetof(struct options, field),                                                           \
		sizeof(((struct options *)0)->field) / sizeof(struct options_text),                \
		offsetof(struct options, counter)
#define NUMBER(field, max) offsetof(struct options, field), max, 0

static const struct option table[] = {
	{"name", KIND_TEXT, "NAME", "this gateway's name, as its Gateway resource has it [gw1]",
		TEXT(name)},
	{"control", KIND_TEXT, "ADDR",
		"the control plane: unix:PATH or HOST:PORT [unix:/run/penstock/peer.sock]",
		TEXT(control)},
	{"metrics", KIND_TEXT, "ADDR",
		"serve this process's counters as /metrics here [off: the control plane has them]",
		TEXT(metrics)},
	{"port", KIND_LIST, "NAME=DEVARGS",
		"a port: p0=net_tap0,iface=pn0  p0=net_memif0,role=client,id=0,socket=/run/m.sock\n"
		"p0=net_af_xdp0,iface=eth1  p0=0000:03:00.0 (a PCI device bound to vfio-pci); "
		"repeat it",
		LIST(port, ports)},
	{"workers", KIND_NUMBER, "N", "worker threads [1]", NUMBER(workers, WORKERS_MAX)},
	{"cores", KIND_TEXT, "LIST",
		"cores for them, as 0,2-3; workers share cores when there are more [all allowed]",
		TEXT(cores)},
	{"lcores", KIND_TEXT, "MAP",
		"instead: the EAL's own form, as '(0-2)@0'; the lowest lcore is the control thread",
		TEXT(lcores)},
	{"spin-us", KIND_NUMBER, "N",
		"poll this long without work before sleeping [50; 5 when workers share cores]",
		NUMBER(spin_us, 1000000)},
	{"no-huge", KIND_SWITCH, NULL, "do without huge pages", NUMBER(no_huge, 1)},
	{"memory", KIND_NUMBER, "MB", "memory for packets [512 with --no-huge, else as needed]",
		NUMBER(memory_mb, 1 << 20)},
	{"mbufs", KIND_NUMBER, "N", "packet buffers [8192, and 4096 a worker]",
		NUMBER(mbufs, 1 << 24)},
	{"mtu", KIND_NUMBER, "BYTES", "largest IP packet [the port's]", NUMBER(mtu, NET_MTU_MAX)},
	{"connections", KIND_NUMBER, "N", "TCP connections of a worker [65536]",
		NUMBER(connections_max, 1 << 24)},
	{"file-prefix", KIND_TEXT, "NAME", "tells data planes on one machine apart [penstock]",
		TEXT(file_prefix)},
	{"address", KIND_LIST, "[PORT=]CIDR",
		"an address to start with, as 10.77.0.2/24; repeat it", LIST(address, addresses)},
	{"route", KIND_LIST, "TO=VIA", "a route to start with, as default=10.77.0.1; repeat it",
		LIST(route, routes)},
	{"listen", KIND_LIST, "PORT", "a TCP port to listen on from the start; repeat it",
		LIST(listen, listens)},
	{"log-level", KIND_LEVEL, "LEVEL", "error, warn, info or debug [info]",
		offsetof(struct options, log_level), 0, 0},
};

#define OPTIONS (sizeof(table) / sizeof(table[0]))

// Lists that the flags name replace those of the file: the first use clears.
struct parse {
	struct options *out;
	bool cleared[OPTIONS];
	char why[WHY_MAX];
};

static const struct option *find(const char *name, size_t len)
{
	for (size_t i = 0; i < OPTIONS; i++)
		if (strlen(table[i].name) == len && memcmp(table[i].name, name, len) == 0)
			return &table[i];
	return NULL;
}

static int set_text(
	struct parse *p, char *to, size_t size, const struct option *o, const char *value)
{
	if (!*value || strlen(value) >= size) {
		snprintf(p->why, WHY_MAX, "%s must have 1 to %zu characters", o->name, size - 1);
		return -EINVAL;
	}
	memcpy(to, value, strlen(value) + 1);
	return 0;
}

static int set_list(struct parse *p, const struct option *o, const char *value)
{
	unsigned *count = (unsigned *)(void *)((char *)p->out + o->count_at);
	struct options_text *list = (struct options_text *)(void *)((char *)p->out + o->at);

	if (!p->cleared[o - table]) {
		p->cleared[o - table] = true;
		*count = 0;
	}
	if (*count == o->max) {
		snprintf(p->why, WHY_MAX, "%s can be given at most %zu times", o->name, o->max);
		return -E2BIG;
	}
	if (set_text(p, list[*count].text, OPTION_TEXT_MAX, o, value))
		return -EINVAL;
	++*count;
	return 0;
}

static int set_number(struct parse *p, const struct option *o, const char *value)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(value, &end, 10);
	if (errno || *end || end == value || *value == '-' || n > o->max) {
		snprintf(p->why, WHY_MAX, "%s must be a number from 0 to %zu, not '%s'", o->name,
			o->max, value);
		return -EINVAL;
	}
	*(unsigned *)(void *)((char *)p->out + o->at) = (unsigned)n;
	return 0;
}

static int set_switch(struct parse *p, const struct option *o, const char *value)
{
	bool on = !value || strcmp(value, "true") == 0;

	if (!on && strcmp(value, "false") != 0) {
		snprintf(p->why, WHY_MAX, "%s must be true or false, not '%s'", o->name, value);
		return -EINVAL;
	}
	*(bool *)((char *)p->out + o->at) = on;
	return 0;
}

static int set(struct parse *p, const struct option *o, const char *value)
{
	switch (o->kind) {
	case KIND_TEXT:
		return set_text(p, (char *)p->out + o->at, o->max, o, value);
	case KIND_LIST:
		return set_list(p, o, value);
	case KIND_NUMBER:
		return set_number(p, o, value);
	case KIND_SWITCH:
		return set_switch(p, o, value);
	case KIND_LEVEL:
		if (log_level_parse(value, &p->out->log_level) == 0)
			return 0;
		snprintf(p->why, WHY_MAX, "%s must be error, warn, info or debug, not '%s'",
			o->name, value);
		return -EINVAL;
	}
	return -EINVAL;
}

// The file: a mapping of option names to scalars, or to sequences of scalars for lists.
enum file_state { FILE_START, FILE_KEY, FILE_VALUE, FILE_ITEM, FILE_END };

static int file_event(struct parse *p, const yaml_event_t *event, enum file_state *state,
	const struct option **key)
{
	const char *text = (const char *)event->data.scalar.value;

	switch (event->type) {
	case YAML_STREAM_START_EVENT:
	case YAML_STREAM_END_EVENT:
	case YAML_DOCUMENT_START_EVENT:
	case YAML_DOCUMENT_END_EVENT:
	case YAML_NO_EVENT:
		return 0;
	case YAML_MAPPING_START_EVENT:
		if (*state != FILE_START)
			break;
		*state = FILE_KEY;
		return 0;
	case YAML_MAPPING_END_EVENT:
		*state = FILE_END;
		return 0;
	case YAML_SEQUENCE_START_EVENT:
		if (*state != FILE_VALUE || (*key)->kind != KIND_LIST)
			break;
		*state = FILE_ITEM;
		return 0;
	case YAML_SEQUENCE_END_EVENT:
		*state = FILE_KEY;
		return 0;
	case YAML_SCALAR_EVENT:
		if (*state == FILE_KEY) {
			*key = find(text, strlen(text));
			*state = FILE_VALUE;
			if (*key)
				return 0;
			snprintf(p->why, WHY_MAX, "there is no option '%s'; --help lists them",
				text);
			return -EINVAL;
		}
		if (*state == FILE_VALUE)
			*state = FILE_KEY;
		else if (*state != FILE_ITEM)
			break;
		return set(p, *key, text);
	default:
		break;
	}
	snprintf(p->why, WHY_MAX,
		"only 'option: value' and, for lists, 'option: [values]' are understood");
	return -EINVAL;
}

static int file_parse(struct parse *p, FILE *file, size_t *line)
{
	enum file_state state = FILE_START;
	const struct option *key = NULL;
	yaml_parser_t parser;
	yaml_event_t event;
	bool end = false;
	int error = 0;

	if (!yaml_parser_initialize(&parser))
		return -ENOMEM;
	yaml_parser_set_input_file(&parser, file);
	while (!error && !end) {
		if (!yaml_parser_parse(&parser, &event)) {
			snprintf(p->why, WHY_MAX, "not YAML: %s", parser.problem);
			*line = parser.problem_mark.line + 1;
			error = -EINVAL;
			break;
		}
		*line = event.start_mark.line + 1;
		end = event.type == YAML_STREAM_END_EVENT;
		error = file_event(p, &event, &state, &key);
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	return error;
}

// A file that was asked for must be there; the default one need not.
static int read_file(struct parse *p, const char *path)
{
	FILE *file = fopen(path[0] ? path : OPTIONS_FILE, "r");
	char why[WHY_MAX];
	size_t line = 0;
	int error;

	if (!file && !path[0] && errno == ENOENT)
		return 0;
	if (!path[0])
		path = OPTIONS_FILE;
	if (!file) {
		snprintf(p->why, WHY_MAX, "cannot read %.400s: %s", path, strerror(errno));
		return -errno;
	}
	error = file_parse(p, file, &line);
	fclose(file);
	if (error) {
		memcpy(why, p->why, WHY_MAX);
		snprintf(p->why, WHY_MAX, "%.200s, line %zu: %.250s", path, line, why);
	}
	memset(p->cleared, 0, sizeof(p->cleared));
	return error;
}

static void help_text(const char *text)
{
	for (const char *at = text; *at; at++) {
		putchar(*at);
		if (*at == '\n')
			printf("%24s", "");
	}
	putchar('\n');
}

static void help(void)
{
	printf("penstock-dataplane: terminates client connections on DPDK ports and carries their "
	       "calls.\n\n"
	       "Usage: penstock-dataplane --port NAME=DEVARGS [options]\n\n");
	for (size_t i = 0; i < OPTIONS; i++) {
		char flag[64];

		snprintf(flag, sizeof(flag), "--%s %s", table[i].name,
			table[i].value ? table[i].value : "");
		printf("  %-21s ", flag);
		if (strlen(flag) > 21)
			printf("\n%24s", "");
		help_text(table[i].help);
	}
	printf("  --config FILE         the same options as YAML, flags win [%s, if it is there]\n"
	       "  --version             print the version\n"
	       "  --help                print this\n\n"
	       "Addresses, routes and listeners come from the control plane (the Gateway "
	       "resource); those given here\n"
	       "hold until it has spoken.\n",
		OPTIONS_FILE);
}

void options_defaults(struct options *out)
{
	*out = (struct options){
		.spin_us = UINT32_MAX, .connections_max = 65536, .log_level = LOG_INFO};
	strcpy(out->name, "gw1");
	strcpy(out->control, "unix:/run/penstock/peer.sock");
	strcpy(out->metrics, "off");
	strcpy(out->file_prefix, "penstock");
}

// The flag at argv[*i] and its value, which may be the next argument; *i moves past them.
static int read_flag(struct parse *p, int argc, char **argv, int *i)
{
	const char *flag = argv[*i] + 2, *equals = strchr(flag, '='), *value = NULL;
	size_t len = equals ? (size_t)(equals - flag) : strlen(flag);
	bool is_config = len == 6 && memcmp(flag, "config", 6) == 0;
	const struct option *o = find(flag, len);

	if (strncmp(argv[*i], "--", 2) != 0 || (!o && !is_config)) {
		snprintf(p->why, WHY_MAX, "there is no option '%s'; --help lists them", argv[*i]);
		return -EINVAL;
	}
	if (equals)
		value = equals + 1;
	else if ((is_config || o->kind != KIND_SWITCH) && *i + 1 < argc)
		value = argv[++*i];
	if (!value && (is_config || o->kind != KIND_SWITCH)) {
		snprintf(p->why, WHY_MAX, "--%s needs a value; --help says which", flag);
		return -EINVAL;
	}
	return is_config ? 0 : set(p, o, value);
}

static const char *config_flag(int argc, char **argv)
{
	const char *path = "";

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--config") == 0 && i + 1 < argc)
			path = argv[i + 1];
		else if (strncmp(argv[i], "--config=", 9) == 0)
			path = argv[i] + 9;
	}
	return path;
}

enum options_outcome options_parse(int argc, char **argv, struct options *out)
{
	struct parse p = {.out = out};
	int error = 0;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0) {
			help();
			return OPTIONS_EXIT;
		}
		if (strcmp(argv[i], "--version") == 0) {
			puts("penstock-dataplane " PENSTOCK_VERSION);
			return OPTIONS_EXIT;
		}
	}
	options_defaults(out);
	snprintf(out->config, sizeof(out->config), "%s", config_flag(argc, argv));
	error = read_file(&p, out->config);
	for (int i = 1; !error && i < argc; i++)
		error = read_flag(&p, argc, argv, &i);
	if (!error && !out->ports) {
		snprintf(p.why, WHY_MAX,
			"no port: give one, as --port p0=net_tap0,iface=pn0 (--help shows more)");
		error = -EINVAL;
	}
	if (!error)
		return OPTIONS_RUN;
	fprintf(stderr, "penstock-dataplane: %s\n", p.why);
	return OPTIONS_WRONG;
}

bool options_split(const char *text, char *name, size_t name_size, const char **rest)
{
	const char *equals = strchr(text, '=');
	size_t len = equals ? (size_t)(equals - text) : 0;

	if (len == 0 || len >= name_size || !equals[1])
		return false;
	memcpy(name, text, len);
	name[len] = 0;
	*rest = equals + 1;
	return true;
}
