// SPDX-License-Identifier: Apache-2.0
// What a resource may say: tables of fields, from which checking, defaults, the errors' sentences
// and openapi.json all come.
//
// A table is flat; a row's path places it: "spec.ports" holds an array, "spec.ports[]" its items,
// "spec.ports[].name" a member of an item. schema_normalize() returns a resource in the order of
// its table with every default filled in, so equal intents have equal texts.
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum field_type {
	FIELD_STRING,
	FIELD_INT,
	FIELD_BOOL,
	FIELD_SIZE,    // bytes: 67108864 or "64Mi"
	FIELD_OBJECT,  // its members are rows of their own
	FIELD_ARRAY,   // of what the row "PATH[]" says
	FIELD_MAP,     // any keys, values as the row "PATH{}" says
};

enum field_flags {
	FIELD_REQUIRED = 1,
	FIELD_READ_ONLY = 2,   // shown by the server; ignored when it is sent
	FIELD_OPTIONAL = 4,    // an object that is left out when it is not given
	FIELD_NAMESPACED = 8,  // only for kinds that live in a namespace
};

// A rule for strings beyond their length.
struct format {
	const char *name;
	bool (*valid)(const char *text);
	const char *rule;     // "must be ...": completes "FIELD must be ..."
	const char *pattern;  // for openapi.json; may be NULL
};

struct field {
	const char *path;
	enum field_type type;
	unsigned flags;
	int64_t min,
		max;  // value of an integer or size; length of a string; count of an array or map
	const char *def;  // JSON text, NULL: none
	const struct format *format;
	const struct format *keys;  // of a map
	const char *const *values;  // NULL-terminated: the only ones allowed
	const char *help;           // a sentence
};

enum kind {
	KIND_FUNCTION,
	KIND_ENDPOINT,
	KIND_GATEWAY,
	KIND_JOB,
	KIND_QUOTA,
	KIND_NODE,
	KIND_INSTANCE,
	KIND_EVALUATION,
	KIND_COUNT,
};

struct schema_error {
	const char *code;  // invalid_field, unknown_field, missing_field
	char field[200];
	char message[400];
};

struct kind_info {
	const char *name;      // "Endpoint"
	const char *plural;    // "endpoints", as in the path and in keys of the store
	const char *singular;  // "endpoint", for sentences
	const char *help;
	bool key_namespace;          // NAMESPACE/NAME identifies it
	bool namespaced;             // has metadata.namespace
	bool writable;               // through the API
	const struct field *fields;  // of its spec; one without path ends them
	// Rules between fields, of a normalized resource. False: *error says what is wrong.
	bool (*check)(const json_t *object, struct schema_error *error);
};

extern const struct kind_info kinds[KIND_COUNT];

// Rows that every resource has: apiVersion, kind, metadata, status.
extern const struct field common_fields[];
extern const size_t common_field_count;

// A new object in the table's order with defaults, or NULL with *error. Unknown fields are errors;
// null counts as absent.
json_t *schema_normalize(
	const struct kind_info *kind, const json_t *in, struct schema_error *error);
// The same for the members under one path of the table, e.g. "spec".
bool schema_fail(struct schema_error *error, const char *code, const char *field,
	const char *format, ...) __attribute__((format(printf, 4, 5)));

// True if row is a direct member of the object (or the item of the array or map) at parent.
bool field_is_child(const struct field *row, const char *parent);
// Calls each for the rows of a kind in order, the common ones first.
const struct field *kind_field(const struct kind_info *kind, size_t index);

// Formats, also used by the API for paths and queries.
extern const struct format format_name, format_image, format_label_key, format_label_value,
	format_env_name, format_address, format_prefix, format_via, format_destination,
	format_route, format_text, format_attribute, format_reference, format_cron, format_meta;

// "64Mi" or "1048576": 0, or -EINVAL.
int size_parse(const char *text, int64_t *bytes);
