// SPDX-License-Identifier: Apache-2.0
// Reads YAML through libyaml's events into JSON values, with a mark (parent, key, line) for each
// value.
//
// One struct reader for a text. build_node() consumes the events of one node and calls itself for
// the nodes within, at most MANIFEST_DEPTH_MAX deep. Faults fill reader->error once and travel up
// as NULL. libyaml never sees a path: bytes come from memory.
#include "tools/cli/manifest.h"

#include <errno.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct manifest_mark {
	uint32_t parent;  // index of the mark of the value this is in; the root is its own
	uint32_t line;
	char *key;  // member name, or the index of an item in decimal; NULL for the root
};

struct reader {
	yaml_parser_t parser;
	struct manifest *manifest;
	struct manifest_error *error;
	const char *file;
	size_t nodes;
	// Marks of the document being read.
	struct manifest_mark *marks;
	size_t mark_count, mark_room;
};

static void fail(struct reader *r, const yaml_mark_t *at, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void fail(struct reader *r, const yaml_mark_t *at, const char *format, ...)
{
	va_list args;

	if (r->error->text[0])
		return;
	snprintf(r->error->file, sizeof(r->error->file), "%s", r->file);
	r->error->line = (unsigned)at->line + 1;
	r->error->column = (unsigned)at->column + 1;
	va_start(args, format);
	vsnprintf(r->error->text, sizeof(r->error->text), format, args);
	va_end(args);
}

static void fail_memory(struct reader *r)
{
	fail(r, &r->parser.mark, "out of memory");
}

// The next event, or false after a syntax error.
static bool next_event(struct reader *r, yaml_event_t *event)
{
	const yaml_parser_t *p = &r->parser;

	if (yaml_parser_parse(&r->parser, event))
		return true;
	switch (p->error) {
	case YAML_READER_ERROR:
		fail(r, &p->mark, "this is no UTF-8 text: %s", p->problem ? p->problem : "");
		break;
	case YAML_MEMORY_ERROR:
		fail_memory(r);
		break;
	default:
		fail(r, &p->problem_mark, "%s%s%s", p->problem ? p->problem : "not YAML",
			p->context ? " " : "", p->context ? p->context : "");
		break;
	}
	return false;
}

// Adds a mark; returns its index, or SIZE_MAX. The key is copied.
static size_t add_mark(struct reader *r, size_t parent, const char *key, const yaml_mark_t *at)
{
	if (r->mark_count == r->mark_room) {
		size_t room = r->mark_room ? r->mark_room * 2 : 64;
		struct manifest_mark *grown = realloc(r->marks, room * sizeof(*grown));

		if (!grown)
			goto memory;
		r->marks = grown;
		r->mark_room = room;
	}
	r->marks[r->mark_count] = (struct manifest_mark){.parent = (uint32_t)parent,
		.line = (uint32_t)at->line + 1,
		.key = key ? strdup(key) : NULL};
	if (key && !r->marks[r->mark_count].key)
		goto memory;
	return r->mark_count++;
memory:
	fail_memory(r);
	return SIZE_MAX;
}

static void free_marks(struct manifest_mark *marks, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(marks[i].key);
	free(marks);
}

// What a node may not have, and what bounds the work.
static bool check_node(struct reader *r, const yaml_event_t *e, unsigned depth)
{
	const yaml_char_t *anchor = NULL, *tag = NULL;

	switch (e->type) {
	case YAML_ALIAS_EVENT:
		fail(r, &e->start_mark, "aliases (*%s) are not supported: write the value out",
			(const char *)e->data.alias.anchor);
		return false;
	case YAML_SCALAR_EVENT:
		anchor = e->data.scalar.anchor;
		tag = e->data.scalar.tag;
		break;
	case YAML_SEQUENCE_START_EVENT:
		anchor = e->data.sequence_start.anchor;
		tag = e->data.sequence_start.tag;
		break;
	case YAML_MAPPING_START_EVENT:
		anchor = e->data.mapping_start.anchor;
		tag = e->data.mapping_start.tag;
		break;
	default:
		break;
	}
	if (anchor)
		fail(r, &e->start_mark,
			"anchors (&%s) are not supported: write the value out where it is used",
			(const char *)anchor);
	else if (tag)
		fail(r, &e->start_mark,
			"tags (%s) are not supported: quote a value to make it text",
			(const char *)tag);
	else if (depth > MANIFEST_DEPTH_MAX)
		fail(r, &e->start_mark, "nested more than %d deep", MANIFEST_DEPTH_MAX);
	else if (++r->nodes > MANIFEST_NODES_MAX)
		fail(r, &e->start_mark, "more than %d values", MANIFEST_NODES_MAX);
	return !r->error->text[0];
}

static json_t *build_scalar(struct reader *r, const yaml_event_t *e)
{
	const char *text = (const char *)e->data.scalar.value, *why = "out of memory";
	size_t len = e->data.scalar.length;
	json_t *value;

	if (e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
		value = manifest_scalar(text, len, &why);
	else
		value = json_stringn(text, len);
	if (!value)
		fail(r, &e->start_mark, "%.*s: %s", len > 64 ? 64 : (int)len, text, why);
	return value;
}

static json_t *build_node(struct reader *r, const yaml_event_t *e, size_t mark, unsigned depth);

static json_t *build_sequence(struct reader *r, size_t mark, unsigned depth)
{
	json_t *array = json_array();
	yaml_event_t e;

	if (!array)
		fail_memory(r);
	while (array && next_event(r, &e)) {
		bool end = e.type == YAML_SEQUENCE_END_EVENT;
		char key[24];
		size_t child;
		json_t *item = NULL;

		if (!end) {
			snprintf(key, sizeof(key), "%zu", json_array_size(array));
			child = add_mark(r, mark, key, &e.start_mark);
			if (child != SIZE_MAX)
				item = build_node(r, &e, child, depth + 1);
		}
		yaml_event_delete(&e);
		if (end)
			return array;
		if (!item)
			break;
		if (json_array_append_new(array, item) != 0) {
			fail_memory(r);
			break;
		}
	}
	json_decref(array);
	return NULL;
}

// A key: a scalar that names a member which is not there yet.
static char *read_key(struct reader *r, const yaml_event_t *e, const json_t *object, unsigned depth)
{
	const char *text = (const char *)e->data.scalar.value;
	char *key;

	if (!check_node(r, e, depth))
		return NULL;
	if (e->type != YAML_SCALAR_EVENT)
		fail(r, &e->start_mark, "a key must be a single word or quoted text");
	else if (e->data.scalar.length > MANIFEST_KEY_MAX)
		fail(r, &e->start_mark, "a key of more than %d bytes", MANIFEST_KEY_MAX);
	else if (memchr(text, '\0', e->data.scalar.length))
		fail(r, &e->start_mark, "a key must not contain a NUL character");
	else if (json_object_get(object, text))
		fail(r, &e->start_mark, "duplicate key '%s'", text);
	if (r->error->text[0])
		return NULL;
	key = strdup(text);
	if (!key)
		fail_memory(r);
	return key;
}

// One "key: value" of a mapping, whose key event is given. False after a fault.
static bool build_member(struct reader *r, const yaml_event_t *key_event, json_t *object,
	size_t mark, unsigned depth)
{
	char *key = read_key(r, key_event, object, depth + 1);
	yaml_event_t e;
	size_t child;
	json_t *value = NULL;
	bool ok = false;

	if (!key)
		return false;
	if (!next_event(r, &e))
		goto out;
	// A field's line is that of its key: there people look for it.
	child = add_mark(r, mark, key, &key_event->start_mark);
	if (child != SIZE_MAX)
		value = build_node(r, &e, child, depth + 1);
	yaml_event_delete(&e);
	if (!value)
		goto out;
	ok = json_object_set_new(object, key, value) == 0;
	if (!ok)
		fail(r, &key_event->start_mark, "the key '%s' is no UTF-8 text", key);
out:
	free(key);
	return ok;
}

static json_t *build_mapping(struct reader *r, size_t mark, unsigned depth)
{
	json_t *object = json_object();
	yaml_event_t e;

	if (!object)
		fail_memory(r);
	while (object && next_event(r, &e)) {
		bool end = e.type == YAML_MAPPING_END_EVENT;
		bool ok = end || build_member(r, &e, object, mark, depth);

		yaml_event_delete(&e);
		if (end)
			return object;
		if (!ok)
			break;
	}
	json_decref(object);
	return NULL;
}

static json_t *build_node(struct reader *r, const yaml_event_t *e, size_t mark, unsigned depth)
{
	if (!check_node(r, e, depth))
		return NULL;
	switch (e->type) {
	case YAML_SCALAR_EVENT:
		return build_scalar(r, e);
	case YAML_SEQUENCE_START_EVENT:
		return build_sequence(r, mark, depth);
	case YAML_MAPPING_START_EVENT:
		return build_mapping(r, mark, depth);
	default:
		fail(r, &e->start_mark, "unexpected end of the text");
		return NULL;
	}
}

// Hands a finished document over: value and marks are the manifest's afterwards.
static bool add_doc(struct reader *r, json_t *value, unsigned line)
{
	struct manifest *m = r->manifest;
	char *file = strdup(r->file);

	if (file && m->count == m->room) {
		size_t room = m->room ? m->room * 2 : 8;
		struct manifest_doc *grown = realloc(m->docs, room * sizeof(*grown));

		if (grown) {
			m->docs = grown;
			m->room = room;
		}
	}
	if (!file || m->count == m->room) {
		free(file);
		json_decref(value);
		fail_memory(r);
		return false;
	}
	m->docs[m->count++] = (struct manifest_doc){.value = value,
		.file = file,
		.line = line,
		.marks = r->marks,
		.mark_count = r->mark_count};
	r->marks = NULL;
	r->mark_count = r->mark_room = 0;
	return true;
}

// A document is a mapping; an empty one is skipped.
static bool read_document_node(struct reader *r, const yaml_event_t *e)
{
	size_t root = add_mark(r, 0, NULL, &e->start_mark);
	json_t *value = root == SIZE_MAX ? NULL : build_node(r, e, root, 0);

	if (!value)
		return false;
	if (json_is_null(value)) {
		json_decref(value);
		free_marks(r->marks, r->mark_count);
		r->marks = NULL;
		r->mark_count = r->mark_room = 0;
		return true;
	}
	if (!json_is_object(value)) {
		json_decref(value);
		fail(r, &e->start_mark,
			"a manifest must be a mapping: apiVersion, kind, metadata, spec");
		return false;
	}
	return add_doc(r, value, (unsigned)e->start_mark.line + 1);
}

// "[{...}, {...}]": each item is a document, as `penstock get -o json` prints them.
static bool read_list(struct reader *r)
{
	yaml_event_t e;

	while (next_event(r, &e)) {
		bool end = e.type == YAML_SEQUENCE_END_EVENT;
		bool ok = end || read_document_node(r, &e);

		yaml_event_delete(&e);
		if (end)
			return true;
		if (!ok)
			return false;
	}
	return false;
}

static bool read_stream(struct reader *r)
{
	yaml_event_t e;

	while (next_event(r, &e)) {
		bool end = e.type == YAML_STREAM_END_EVENT, ok = true;

		switch (e.type) {
		case YAML_STREAM_START_EVENT:
		case YAML_STREAM_END_EVENT:
		case YAML_DOCUMENT_START_EVENT:
		case YAML_DOCUMENT_END_EVENT:
			break;
		case YAML_SEQUENCE_START_EVENT:
			ok = check_node(r, &e, 0) && read_list(r);
			break;
		default:
			ok = read_document_node(r, &e);
			break;
		}
		yaml_event_delete(&e);
		if (end)
			return true;
		if (!ok)
			return false;
	}
	return false;
}

// JSON writes characters past U+FFFF as two surrogates, which YAML has not: "\uD83D\uDE00" becomes
// "\U0001F600". Lines stay as they are. NULL when out of memory.
static char *join_surrogates(const char *bytes, size_t *len)
{
	char *out = malloc(*len + 1);
	size_t n = 0;

	for (size_t i = 0; out && i < *len; i++) {
		unsigned high, low;
		char pair[13] = "";

		if (bytes[i] != '\\' || i + 1 >= *len) {
			out[n++] = bytes[i];
			continue;
		}
		if (*len - i >= 12)
			memcpy(pair, bytes + i, 12);
		if (sscanf(pair, "\\u%4x\\u%4x", &high, &low) == 2 && high >> 10 == 0x36 &&
			low >> 10 == 0x37) {
			char joined[16];

			snprintf(joined, sizeof(joined), "\\U%08x",
				0x10000 + ((high & 0x3ff) << 10) + (low & 0x3ff));
			memcpy(out + n, joined, 10);
			n += 10;
			i += 11;
			continue;
		}
		// The escaped character, too, so that "\\\\u" is seen as a backslash and a letter.
		out[n++] = bytes[i++];
		out[n++] = bytes[i];
	}
	*len = n;
	return out;
}

static bool looks_like_json(const char *bytes, size_t len)
{
	size_t i = 0;

	while (i < len && memchr(" \t\r\n", bytes[i], 4))
		i++;
	return i < len && (bytes[i] == '{' || bytes[i] == '[');
}

int manifest_read(struct manifest *m, const char *file, const char *bytes, size_t len,
	struct manifest_error *error)
{
	struct reader r = {.manifest = m, .error = error, .file = file};
	char *joined = NULL;
	bool ok = false;

	*error = (struct manifest_error){0};
	if (len > MANIFEST_BYTES_MAX) {
		fail(&r, &r.parser.mark, "larger than %u MiB", MANIFEST_BYTES_MAX >> 20);
		return -EINVAL;
	}
	if (looks_like_json(bytes, len))
		bytes = joined = join_surrogates(bytes, &len);
	if (!bytes || !yaml_parser_initialize(&r.parser)) {
		fail_memory(&r);
	} else {
		yaml_parser_set_input_string(&r.parser, (const unsigned char *)bytes, len);
		ok = read_stream(&r);
		yaml_parser_delete(&r.parser);
	}
	free_marks(r.marks, r.mark_count);
	free(joined);
	return ok ? 0 : -EINVAL;
}

void manifest_fini(struct manifest *m)
{
	for (size_t i = 0; i < m->count; i++) {
		free_marks(m->docs[i].marks, m->docs[i].mark_count);
		json_decref(m->docs[i].value);
		free(m->docs[i].file);
	}
	free(m->docs);
	*m = (struct manifest){0};
}

// Bytes of `rest` that name `key`, separator included: "ports" of "ports[0].name" and of
// "ports.0.name". 0 if it is another name. Keys may contain dots: the longest match wins.
static size_t match_key(const char *rest, const char *key)
{
	size_t len = strlen(key), open = *rest == '[';

	if (strncmp(rest + open, key, len) != 0)
		return 0;
	rest += open + len;
	if (open) {
		if (*rest != ']')
			return 0;
		rest++;
	}
	if (*rest == '.')
		return len + open * 2 + 1;
	return *rest == '\0' || *rest == '[' ? len + open * 2 : 0;
}

unsigned manifest_line(const struct manifest_doc *doc, const char *field)
{
	size_t at = 0;

	while (*field) {
		size_t best = 0, child = 0;

		// Children stand behind their parent.
		for (size_t i = at + 1; i < doc->mark_count; i++) {
			size_t n;

			if (doc->marks[i].parent != at)
				continue;
			n = match_key(field, doc->marks[i].key);
			if (n > best) {
				best = n;
				child = i;
			}
		}
		if (!best)
			break;
		at = child;
		field += best;
	}
	return doc->mark_count ? doc->marks[at].line : doc->line;
}
