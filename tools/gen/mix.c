// SPDX-License-Identifier: Apache-2.0
// The mix of functions: its text form [KIND:]NAME[:DATA][=WEIGHT], comma separated.
#include "tools/gen/mix.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/gen/gen.h"

static const struct kind {
	const char *name;
	enum rs_type type;
} kinds[] = {
	{"rr", RS_REQUEST_RESPONSE},
	{"fnf", RS_REQUEST_FNF},
	{"stream", RS_REQUEST_STREAM},
};

// What is known of the functions of `penstock-gen serve`; of others nothing is checked.
static const struct known {
	const char *name;
	const char *data; // unless given; NULL: the pattern
	enum mix_check rr, stream;
} known[] = {
	{"echo", NULL, CHECK_SAME, CHECK_SAME},
	{"sink", NULL, CHECK_SIZE, CHECK_SIZE},
	{"count", "10", CHECK_DATA, CHECK_ITEMS},
	{"delay", "1", CHECK_DATA, CHECK_DATA},
	{"size", NULL, CHECK_LENGTH, CHECK_LENGTH},
	{"error", "0x201 asked for", CHECK_NONE, CHECK_NONE},
};

static const struct kind *find_kind(const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strlen(kinds[i].name) == len && memcmp(kinds[i].name, name, len) == 0)
			return &kinds[i];
	return NULL;
}

const char *mix_kind_name(enum rs_type type)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (kinds[i].type == type)
			return kinds[i].name;
	return "?";
}

const char *function_name(const char *route, size_t *len)
{
	const char *end = route + strcspn(route, "@"), *name = end;

	while (name > route && name[-1] != '/' && name[-1] != '.')
		name--;
	*len = (size_t)(end - name);
	return name;
}

static const struct known *find_known(const char *route)
{
	size_t len;
	const char *name = function_name(route, &len);

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strlen(known[i].name) == len && memcmp(known[i].name, name, len) == 0)
			return &known[i];
	return NULL;
}

static void set_data(struct mix_entry *e, const char *data, const struct known *k, uint64_t size)
{
	char text[24];

	if (!data && k)
		data = k->data;
	if (!data && k && k->rr == CHECK_LENGTH) {
		snprintf(text, sizeof(text), "%llu", (unsigned long long)size);
		data = text;
	}
	if (data) {
		snprintf(e->data, sizeof(e->data), "%s", data);
		e->data_len = (uint32_t)strlen(e->data);
		e->number = strtoull(e->data, NULL, 10);
	}
	if (k)
		e->check = e->type == RS_REQUEST_STREAM ? k->stream : k->rr;
}

static int set_metadata(
	struct mix_entry *e, const char *kind, const char *name_space, const char *name)
{
	struct writer w = writer_of(e->metadata, sizeof(e->metadata));
	char route[256];
	int len = name_space ? snprintf(route, sizeof(route), "%s/%s", name_space, name)
			     : snprintf(route, sizeof(route), "%s", name);

	if (len <= 0 || len > 255) {
		fprintf(stderr, "a function's name has 1 to 255 bytes, not '%s'\n", name);
		return -EINVAL;
	}
	if (strcmp(kind, "composite") == 0)
		rs_route_entry_write(&w, route, (uint8_t)len);
	else
		rs_tag_write(&w, route, (size_t)len);
	e->metadata_len = (uint32_t)(w.at - e->metadata);
	return w.bad ? -EINVAL : 0;
}

static int parse_weight(char *text, uint32_t *weight)
{
	char *equals = strrchr(text, '='), *end;
	unsigned long n;

	*weight = 1;
	if (!equals)
		return 0;
	n = strtoul(equals + 1, &end, 10);
	if (end == equals + 1 || *end || n < 1 || n > 1000000)
		return -EINVAL;
	*equals = 0;
	*weight = (uint32_t)n;
	return 0;
}

static int parse_entry(struct mix *mix, const struct mix_config *config, char *text)
{
	struct mix_entry *e = &mix->entries[mix->count];
	const struct kind *kind;
	char *data;

	if (mix->count == MIX_MAX || strlen(text) >= MIX_NAME_MAX ||
		parse_weight(text, &e->weight)) {
		fprintf(stderr,
			"--functions takes up to %d of [KIND:]NAME[:DATA][=WEIGHT], not '%s'\n",
			MIX_MAX, text);
		return -EINVAL;
	}
	snprintf(e->label, sizeof(e->label), "%s", text);
	kind = find_kind(text, strcspn(text, ":"));
	if (kind && text[strlen(kind->name)])
		text += strlen(kind->name) + 1;
	else
		kind = find_kind(config->kind, strlen(config->kind));
	if (!kind) {
		fprintf(stderr, "--kind takes rr, fnf or stream, not '%s'\n", config->kind);
		return -EINVAL;
	}
	e->type = kind->type;
	data = strchr(text, ':');
	if (data)
		*data++ = 0;
	set_data(e, data, find_known(text), config->size);
	mix->count++;
	mix->weights += e->weight;
	return set_metadata(e, config->metadata, config->name_space, text);
}

int mix_parse(struct mix *mix, const struct mix_config *config)
{
	char *list, *save;
	int error = 0;

	if (strcmp(config->metadata, "composite") != 0 &&
		strcmp(config->metadata, "routing") != 0) {
		fprintf(stderr, "--metadata takes composite or routing, not '%s'\n",
			config->metadata);
		return -EINVAL;
	}
	list = strdup(config->functions);
	if (!list)
		return -EINVAL;
	for (char *at = strtok_r(list, ",", &save); at && !error; at = strtok_r(NULL, ",", &save))
		error = parse_entry(mix, config, at);
	if (!error && mix->count == 0) {
		fprintf(stderr, "--functions names no function\n");
		error = -EINVAL;
	}
	free(list);
	return error;
}

const struct mix_entry *mix_choose(const struct mix *mix, struct rng *rng)
{
	const struct mix_entry *e = mix->entries;
	uint32_t at;

	if (mix->count == 1)
		return e;
	at = rng_below(rng, mix->weights);
	for (; at >= e->weight; e++)
		at -= e->weight;
	return e;
}
