// SPDX-License-Identifier: Apache-2.0
// Explanations as text. The words for operators and resources stand in tables.
#include "sched/explain.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#define CONSTRAINT_TEXT 400

static const char *const operators[SCHED_OPS] = {
	[SCHED_OP_EQ] = "=",
	[SCHED_OP_NE] = "!=",
	[SCHED_OP_LT] = "<",
	[SCHED_OP_LE] = "<=",
	[SCHED_OP_GT] = ">",
	[SCHED_OP_GE] = ">=",
	[SCHED_OP_SET] = "is set",
	[SCHED_OP_UNSET] = "is not set",
	[SCHED_OP_CONTAINS] = "contains",
	[SCHED_OP_CONTAINS_ANY] = "contains any of",
	[SCHED_OP_DISTINCT_PROPERTY] = "distinct_property",
};

static const char *const dimensions[SCHED_DIMS] = {
	[SCHED_DIM_CPU] = "lack CPU",
	[SCHED_DIM_MEMORY] = "lack memory",
	[SCHED_DIM_DISK] = "lack disk",
	[SCHED_DIM_SLOTS] = "have all the instances they take",
	[SCHED_DIM_DISTINCT_HOSTS] = "have an instance of the job already",
	[SCHED_DIM_NOT_READY] = "are not ready",
	[SCHED_DIM_INELIGIBLE] = "are draining or not eligible",
	[SCHED_DIM_CLAIM] = "lack a free port or device",
};

const struct sched_constraint *sched_constraint_by_number(
	const struct sched_spec *spec, uint32_t number)
{
	if (number < spec->constraint_count)
		return &spec->constraints[number];
	number -= spec->constraint_count;
	for (uint32_t g = 0; g < spec->group_count; g++) {
		if (number < spec->groups[g].constraint_count)
			return &spec->groups[g].constraints[number];
		number -= spec->groups[g].constraint_count;
	}
	return NULL;
}

struct text {
	char *out;
	size_t room, len;
};

// A text that was cut within a character of UTF-8 loses the beginning of that. How much is left.
static size_t cut_whole(char *text, size_t len)
{
	size_t back = 0, more;
	uint8_t lead;

	while (back < 3 && back < len && ((uint8_t)text[len - 1 - back] & 0xc0) == 0x80)
		back++;
	if (back == len)
		return len;
	lead = (uint8_t)text[len - 1 - back];
	more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0 ? 1 : 0;
	if (more <= back)
		return len;
	len -= back + 1;
	text[len] = 0;
	return len;
}

__attribute__((format(printf, 2, 3))) static void add(struct text *t, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(t->out + t->len, t->room - t->len, format, args);
	va_end(args);
	if (n > 0 && (size_t)n < t->room - t->len)
		t->len += (size_t)n;
	else if (n > 0) {
		t->len = cut_whole(t->out, t->room - 1);
		t->room = t->len + 1;
	}
}

const char *sched_constraint_text(const struct sched_constraint *c, char *out, size_t room)
{
	struct text t = {out, room, 0};

	add(&t, "%s %s", c->attribute, operators[c->op]);
	if (c->op != SCHED_OP_SET && c->op != SCHED_OP_UNSET)
		add(&t, " %s", c->value);
	return out;
}

static void add_constraint(
	struct text *t, const struct sched_spec *spec, uint32_t number, uint32_t nodes)
{
	const struct sched_constraint *c = spec ? sched_constraint_by_number(spec, number) : NULL;
	char text[CONSTRAINT_TEXT];

	if (c)
		add(t, " %u are excluded by: %s,", nodes,
			sched_constraint_text(c, text, sizeof(text)));
	else
		add(t, " %u are excluded by a constraint that is gone,", nodes);
}

// What excluded nodes, if anything did.
static void add_nodes(struct text *t, const struct sched_spec *spec, const struct sched_explain *x)
{
	size_t before = t->len, head;

	add(t, " of %u nodes", x->considered);
	head = t->len;
	for (int i = 0; i < SCHED_EXPLAIN_CONSTRAINTS; i++)
		if (x->by_constraint[i].nodes)
			add_constraint(t, spec, x->by_constraint[i].constraint,
				x->by_constraint[i].nodes);
	for (int i = 0; i < SCHED_DIMS; i++)
		if (x->by_dimension[i] && i != SCHED_DIM_QUOTA)
			add(t, " %u %s,", x->by_dimension[i], dimensions[i]);
	if (t->len == head && x->by_dimension[SCHED_DIM_QUOTA]) {
		t->len = before;
		t->out[before] = 0;
	}
}

const char *sched_explain_text(
	const struct sched_snapshot *s, const struct sched_eval *e, char *out, size_t room)
{
	const struct sched_explain *x = &e->explain;
	const struct sched_job *j = sched_job_at(s, e->job);
	const struct sched_spec *spec = j ? sched_job_spec(j) : NULL;
	struct text t = {out, room, 0};

	if (!room)
		return out;
	out[0] = 0;
	add(&t, "placed %u of %u", x->placed, x->wanted);
	if (x->stopped)
		add(&t, ", stopped %u", x->stopped);
	if (x->updated)
		add(&t, ", updated %u in place", x->updated);
	if (x->conflicts)
		add(&t, ", %u conflicts with other plans", x->conflicts);
	if (x->drawn & SCHED_DRAWN_PEERS)
		add(&t, ", drawn by what it is near");
	if (x->drawn & SCHED_DRAWN_ALONE)
		add(&t, ", none of what it is near was there");
	if (x->drawn & SCHED_DRAWN_IMAGE)
		add(&t, ", drawn by its image");
	if (!x->failed)
		return out;
	add(&t, "; %u wait:", x->failed);
	if (x->by_dimension[SCHED_DIM_QUOTA])
		add(&t, " the quota of the namespace is used up,");
	add_nodes(&t, spec, x);
	if (t.len && (out[t.len - 1] == ',' || out[t.len - 1] == ':'))
		out[t.len - 1] = 0;
	return out;
}

// ---- ids ----

const char *sched_id_text(const struct sched_id *id, char out[static SCHED_ID_TEXT])
{
	snprintf(out, SCHED_ID_TEXT, "%016llx%08x%08x", (unsigned long long)id->nonce, id->seq,
		id->slot);
	return out;
}

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int sched_id_parse(const char *text, struct sched_id *id)
{
	uint64_t parts[2] = {0, 0};

	for (int i = 0; i < SCHED_ID_TEXT - 1; i++) {
		int d = digit(text[i]);

		if (d < 0)
			return -EINVAL;
		parts[i / 16] = parts[i / 16] << 4 | (uint64_t)d;
	}
	if (text[SCHED_ID_TEXT - 1])
		return -EINVAL;
	*id = (struct sched_id){parts[0], (uint32_t)(parts[1] >> 32), (uint32_t)parts[1]};
	return 0;
}
