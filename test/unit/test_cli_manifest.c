// SPDX-License-Identifier: Apache-2.0
// tools/cli: the manifest reader and the YAML writer.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/cli/manifest.h"
#include "tools/cli/yaml_out.h"

static struct manifest read_good(const char *text)
{
	struct manifest m = {0};
	struct manifest_error error;

	if (manifest_read(&m, "test.yaml", text, strlen(text), &error) != 0)
		fail_msg("%u:%u: %s", error.line, error.column, error.text);
	return m;
}

// Expects a refusal at this line whose text contains `part`.
static void expect_bad(const char *text, unsigned line, const char *part)
{
	struct manifest m = {0};
	struct manifest_error error;

	assert_int_equal(manifest_read(&m, "bad.yaml", text, strlen(text), &error), -EINVAL);
	manifest_fini(&m);
	if (error.line != line || !strstr(error.text, part))
		fail_msg("expected '%s' at line %u, got line %u: %s", part, line, error.line,
			error.text);
	assert_string_equal(error.file, "bad.yaml");
}

static json_t *at(const struct manifest *m, size_t doc, const char *key)
{
	return json_object_get(m->docs[doc].value, key);
}

static void plain_scalars_have_the_types_of_yaml_1_2(void **state)
{
	static const struct {
		const char *text;
		json_type type;
	} cases[] = {
		{"5", JSON_INTEGER},
		{"-5", JSON_INTEGER},
		{"+5", JSON_INTEGER},
		{"0x1F", JSON_INTEGER},
		{"0o17", JSON_INTEGER},
		{"007", JSON_INTEGER},
		{"9223372036854775807", JSON_INTEGER},
		{"1.5", JSON_REAL},
		{".5", JSON_REAL},
		{"1e3", JSON_REAL},
		{"-1.5e-3", JSON_REAL},
		{"1.", JSON_REAL},
		{"true", JSON_TRUE},
		{"True", JSON_TRUE},
		{"FALSE", JSON_FALSE},
		{"null", JSON_NULL},
		{"~", JSON_NULL},
		{"", JSON_NULL},
		// What looks like a number to older readers, or to strtod(), is text.
		{"64Mi", JSON_STRING},
		{"yes", JSON_STRING},
		{"on", JSON_STRING},
		{"No", JSON_STRING},
		{"1_000", JSON_STRING},
		{"1:30", JSON_STRING},
		{"0b11", JSON_STRING},
		{"0xZZ", JSON_STRING},
		{"0x", JSON_STRING},
		{"0o8", JSON_STRING},
		{"-", JSON_STRING},
		{"+", JSON_STRING},
		{".", JSON_STRING},
		{"1e", JSON_STRING},
		{"e1", JSON_STRING},
		{"inf", JSON_STRING},
		{"nan", JSON_STRING},
		{"tRUE", JSON_STRING},
		{"1.2.3", JSON_STRING},
		{"10.77.0.1", JSON_STRING},
		{"0x1p3", JSON_STRING},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *why;
		json_t *value = manifest_scalar(cases[i].text, strlen(cases[i].text), &why);

		if (!value || json_typeof(value) != cases[i].type)
			fail_msg("'%s' is of type %d", cases[i].text,
				value ? (int)json_typeof(value) : -1);
		json_decref(value);
	}
}

static void numbers_have_their_value(void **state)
{
	struct manifest m = read_good("a: 0x1F\nb: 0o17\nc: 007\nd: -1.5e-3\ne: '5'\nf: \"1.5\"\n");

	assert_int_equal(json_integer_value(at(&m, 0, "a")), 31);
	assert_int_equal(json_integer_value(at(&m, 0, "b")), 15);
	assert_int_equal(json_integer_value(at(&m, 0, "c")), 7);
	assert_true(json_real_value(at(&m, 0, "d")) == -1.5e-3);
	assert_string_equal(json_string_value(at(&m, 0, "e")), "5");
	assert_string_equal(json_string_value(at(&m, 0, "f")), "1.5");
	manifest_fini(&m);
}

static void numbers_that_json_lacks_are_refused(void **state)
{
	expect_bad("a: 1\nb: 9223372036854775808\n", 2, "does not fit in 64 bits");
	expect_bad("a: 1e999\n", 1, "too large");
	expect_bad("a:\n  - .inf\n", 2, "no such number");
	expect_bad("a: -.inf\n", 1, "no such number");
	expect_bad("a: .NaN\n", 1, "no such number");
}

static const char endpoint_and_gateway[] =
	"# A comment, which counts as a line.\n"
	"apiVersion: penstock/v1\n"
	"kind: Endpoint                      # any RSocket server\n"
	"metadata: {name: orders}\n"
	"spec: {addresses: [\"10.77.0.1:7000\"], routes: [orders, \"person.\"], lease: false, "
	"fragments: true}\n"
	"---\n"
	"apiVersion: penstock/v1\n"
	"kind: Gateway\n"
	"metadata:\n"
	"  name: gw1\n"
	"  labels:\n"
	"    example.org/tier: front\n"
	"    example.org: a\n"
	"spec:\n"
	"  ports:\n"
	"  - name: p0\n"
	"    addresses:\n"
	"    - 10.77.0.2/24\n"
	"    - \"fd77::2/64\"\n"
	"  - name: p1\n"
	"    routes: [{to: default,\n"
	"      via: 10.77.0.1}]\n"
	"  listeners: [{port: 7878}]\n";

static void documents_know_their_lines(void **state)
{
	struct manifest m = read_good(endpoint_and_gateway);

	assert_int_equal(m.count, 2);
	assert_int_equal(m.docs[0].line, 2);
	assert_int_equal(m.docs[1].line, 7);
	assert_string_equal(m.docs[1].file, "test.yaml");
	assert_string_equal(json_string_value(at(&m, 1, "kind")), "Gateway");
	manifest_fini(&m);
}

static void fields_know_their_lines(void **state)
{
	static const struct {
		const char *field;
		unsigned line;
	} cases[] = {
		{"", 7},
		{"kind", 8},
		{"metadata", 9},
		{"metadata.name", 10},
		// Keys with dots: the longest one that fits.
		{"metadata.labels.example.org/tier", 12},
		{"metadata.labels.example.org", 13},
		{"spec.ports", 15},
		{"spec.ports[0]", 16},
		{"spec.ports[0].name", 16},
		{"spec.ports[0].addresses", 17},
		{"spec.ports[0].addresses[1]", 19},
		{"spec.ports.0.addresses.1", 19},
		{"spec.ports[1].routes[0].to", 21},
		{"spec.ports[1].routes[0].via", 22},
		{"spec.listeners[0].port", 23},
		// What is not there: the nearest that is.
		{"spec.ports[1].addresses", 20},
		{"spec.ports[2].name", 15},
		{"spec.limits.connections_per_address", 14},
		{"nothing", 7},
		{"spec.portsx", 14},
		{"spec.ports[0", 15},
	};
	struct manifest m = read_good(endpoint_and_gateway);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned line = manifest_line(&m.docs[1], cases[i].field);

		if (line != cases[i].line)
			fail_msg("%s: line %u instead of %u", cases[i].field, line, cases[i].line);
	}
	assert_int_equal(manifest_line(&m.docs[0], "spec.routes[1]"), 5);
	manifest_fini(&m);
}

static void json_is_read_with_lines(void **state)
{
	struct manifest m =
		read_good("{\"apiVersion\":\"penstock/v1\",\n\t\"kind\":\"Endpoint\",\n"
			  "\t\"metadata\":{\"name\":\"a\\/b\"},\n\"n\": -0.5e1, \"t\": true}\n");

	assert_int_equal(m.count, 1);
	assert_int_equal(manifest_line(&m.docs[0], "metadata.name"), 3);
	assert_string_equal(
		json_string_value(json_object_get(at(&m, 0, "metadata"), "name")), "a/b");
	assert_true(json_real_value(at(&m, 0, "n")) == -5);
	assert_true(json_is_true(at(&m, 0, "t")));
	manifest_fini(&m);
}

static void surrogate_pairs_of_json_are_one_character(void **state)
{
	struct manifest m =
		read_good("{\"a\": \"x\\uD83D\\uDE00y\", \"b\": \"\\\\uD83D\\\\uDE00\"}");

	assert_string_equal(json_string_value(at(&m, 0, "a")), "x\xf0\x9f\x98\x80y");
	assert_string_equal(json_string_value(at(&m, 0, "b")), "\\uD83D\\uDE00");
	manifest_fini(&m);
	expect_bad("{\"a\": \"\\uD83D\"}", 1, "");
}

static void a_list_is_several_documents(void **state)
{
	struct manifest m =
		read_good("[{\"kind\": \"A\"},\n {\"kind\": \"B\",\n\"x\": 1}]\n---\nkind: C\n");

	assert_int_equal(m.count, 3);
	assert_int_equal(m.docs[1].line, 2);
	assert_int_equal(manifest_line(&m.docs[1], "x"), 3);
	assert_string_equal(json_string_value(at(&m, 2, "kind")), "C");
	manifest_fini(&m);
}

static void empty_documents_are_skipped(void **state)
{
	struct manifest m = read_good("---\n---\n# nothing\n---\nkind: A\n---\n");

	assert_int_equal(m.count, 1);
	manifest_fini(&m);
	m = read_good("");
	assert_int_equal(m.count, 0);
	manifest_fini(&m);
}

static void bad_input_is_refused_with_its_line(void **state)
{
	expect_bad("a: 1\nb: 2\na: 3\n", 3, "duplicate key 'a'");
	expect_bad("a: {b: 1,\n b: 2}\n", 2, "duplicate key 'b'");
	expect_bad("a: &x 1\n", 1, "anchors (&x)");
	expect_bad("a: 1\nb: *x\n", 2, "aliases (*x)");
	expect_bad("a: 1\n*x : 2\n", 2, "aliases (*x)");
	expect_bad("a: !!str 1\n", 1, "tags (");
	expect_bad("a: !python/object {}\n", 1, "tags (!python/object)");
	expect_bad("&r\na: 1\n", 1, "anchors");
	expect_bad("a:\n\tb: 1\n", 2, "");
	expect_bad("a: [1, 2\n", 2, "");
	expect_bad("a: 'x\n", 2, "");
	expect_bad("kind: A\n---\njust text\n", 3, "must be a mapping");
	expect_bad("[1]\n", 1, "must be a mapping");
	expect_bad("{[a]: 1}\n", 1, "key");
	expect_bad("a: 1\nb: \"\\x00\\xff\"\n\"\\0\": 2\n", 3, "NUL");
	expect_bad("a: \xff\n", 1, "UTF-8");
}

static void documents_before_a_fault_are_kept(void **state)
{
	const char text[] = "kind: A\n---\nkind: [\n";
	struct manifest m = {0};
	struct manifest_error error;

	assert_int_equal(manifest_read(&m, "f", text, strlen(text), &error), -EINVAL);
	assert_int_equal(m.count, 1);
	manifest_fini(&m);
}

static void depth_and_size_are_bounded(void **state)
{
	char *text = malloc(MANIFEST_BYTES_MAX + 2);
	struct manifest m = {0};
	struct manifest_error error;

	memset(text, '[', 1000);
	text[0] = 'a';
	text[1] = ':';
	text[2] = ' ';
	text[1000] = '\0';
	expect_bad(text, 1, "deep");
	memset(text, ' ', MANIFEST_BYTES_MAX + 1);
	assert_int_equal(manifest_read(&m, "f", text, MANIFEST_BYTES_MAX + 1, &error), -EINVAL);
	assert_non_null(strstr(error.text, "MiB"));
	assert_int_equal(manifest_read(&m, "f", text, MANIFEST_BYTES_MAX, &error), 0);
	memcpy(text, "? ", 2);
	memset(text + 2, 'k', MANIFEST_KEY_MAX + 1);
	strcpy(text + MANIFEST_KEY_MAX + 3, "\n: 1\n");
	expect_bad(text, 1, "a key of more than");
	free(text);
}

static void as_deep_as_allowed_is_read(void **state)
{
	char text[2 * MANIFEST_DEPTH_MAX + 8] = "a: ";
	struct manifest m;

	memset(text + 3, '[', MANIFEST_DEPTH_MAX - 1);
	memset(text + 3 + MANIFEST_DEPTH_MAX - 1, ']', MANIFEST_DEPTH_MAX - 1);
	m = read_good(text);
	assert_int_equal(m.count, 1);
	manifest_fini(&m);
}

static void write_file(const char *directory, const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void remove_file(const char *directory, const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	unlink(path);
}

static void a_directory_is_read_in_order_of_names(void **state)
{
	char directory[] = "/tmp/penstock-manifest-XXXXXX";
	struct manifest m = {0};
	struct manifest_error error;

	assert_non_null(mkdtemp(directory));
	assert_int_equal(manifest_load(&m, directory, &error), -ENOENT);
	write_file(directory, "b.yml", "kind: B\n");
	write_file(directory, "a.json", "{\"kind\": \"A\"}");
	write_file(directory, "c.yaml", "kind: C\n");
	write_file(directory, "notes.txt", "kind: [");
	write_file(directory, ".hidden.yaml", "kind: [");
	assert_int_equal(manifest_load(&m, directory, &error), 0);
	assert_int_equal(m.count, 3);
	assert_string_equal(json_string_value(at(&m, 0, "kind")), "A");
	assert_string_equal(json_string_value(at(&m, 2, "kind")), "C");
	assert_non_null(strstr(m.docs[1].file, "/b.yml"));
	manifest_fini(&m);
	for (const char *const *name = (const char *const[]){"b.yml", "a.json", "c.yaml",
		     "notes.txt", ".hidden.yaml", NULL};
		*name; name++)
		remove_file(directory, *name);
	assert_int_equal(rmdir(directory), 0);
	assert_int_equal(manifest_load(&m, directory, &error), -ENOENT);
	assert_int_equal(error.line, 0);
}

static char *to_yaml(const json_t *value)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	yaml_write(out, value, 0);
	fclose(out);
	return text;
}

static void yaml_looks_like_a_manifest(void **state)
{
	json_t *value = json_pack(
		"{s:s, s:{s:s, s:{}}, s:{s:[s,s], s:[{s:i, s:s}, {s:i}], s:b, s:f, s:n, s:[]}}",
		"kind", "Gateway", "metadata", "name", "gw1", "labels", "spec", "addresses",
		"10.77.0.2/24", "plain", "listeners", "port", 7878, "name", "yes", "port", 1, "on",
		1, "real", 2.0, "none", "empty");
	char *text = to_yaml(value);

	assert_string_equal(text, "kind: Gateway\n"
				  "metadata:\n"
				  "  name: gw1\n"
				  "  labels: {}\n"
				  "spec:\n"
				  "  addresses: [\"10.77.0.2/24\", plain]\n"
				  "  listeners:\n"
				  "    - port: 7878\n"
				  "      name: \"yes\"\n"
				  "    - port: 1\n"
				  "  \"on\": true\n"
				  "  real: 2.0\n"
				  "  none: null\n"
				  "  empty: []\n");
	free(text);
	json_decref(value);
}

// What is written is read back to the same values, whatever the text.
static void yaml_comes_back_the_same(void **state)
{
	static const char *const texts[] = {"", " ", "a", "true", "Null", "~", "1", "-1", "1.5",
		"0x1", "64Mi", ".inf", "a: b", "- a", "#x", "a #b", "*x", "&x", "!x", "%x", "@x",
		"`x", "{a}", "[a]", "'q'", "\"q\"", "a\\b", "two\nlines", "tab\there",
		"\x01\x1f\x7f", "\xc2\x80\xc2\x85\xc2\xa0", "\xe2\x80\xa8\xe2\x80\xa9",
		"\xef\xbb\xbf", "\xef\xbf\xbe", "\xef\xbf\xbf", "\xf0\x9f\x98\x80",
		"gr\xc3\xbc\xc3\x9f", "a ", " a", "---", "...", "/x", "a/b", "?", "? x", "-", ":",
		"k:", "<<", "=", "\r\n", "1_000", "1:30", "\xf0\x9f\xbf\xbf"};
	json_t *value = json_object(), *list = json_array(), *nested;
	struct manifest m;
	char *text, key[16];

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		json_t *string = json_string(texts[i]);

		snprintf(key, sizeof(key), "k%zu", i);
		assert_non_null(string);
		json_object_set(value, key, string);
		if (texts[i][0])
			json_object_set(value, texts[i], string);
		json_array_append_new(list, string);
	}
	nested = json_pack("[[i, [s, {s:[{}]}]], [], {s:{s:{s:I}}}, [f, f, f]]", 1, "x", "deep",
		"a", "b", "c", (json_int_t)INT64_MIN, 0.1, -1e300, 5e-324);
	json_object_set_new(value, "list", list);
	json_object_set_new(value, "nested", nested);
	text = to_yaml(value);
	m = read_good(text);
	assert_int_equal(m.count, 1);
	if (!json_equal(m.docs[0].value, value))
		fail_msg("not the same:\n%s", text);
	free(text);
	manifest_fini(&m);
	json_decref(value);
}

// As YAML text they are longer than the 1,024 characters that a key in front of a ":" may have.
static void long_keys_come_back_the_same(void **state)
{
	char key[1001] = "";
	json_t *value = json_object(), *deep;
	struct manifest m;
	char *text;

	memset(key, '\t', sizeof(key) - 1);
	deep = json_pack("[{s:[{}, i], s:{s:s}}, s]", key, 1, "b", key + 1, "x", "y");
	json_object_set_new(value, key, deep);
	json_object_set_new(value, "list", json_pack("[O]", deep));
	text = to_yaml(value);
	m = read_good(text);
	assert_int_equal(m.count, 1);
	if (!json_equal(m.docs[0].value, value))
		fail_msg("not the same:\n%s", text);
	free(text);
	manifest_fini(&m);
	json_decref(value);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_scalars_have_the_types_of_yaml_1_2),
		cmocka_unit_test(numbers_have_their_value),
		cmocka_unit_test(numbers_that_json_lacks_are_refused),
		cmocka_unit_test(documents_know_their_lines),
		cmocka_unit_test(fields_know_their_lines),
		cmocka_unit_test(json_is_read_with_lines),
		cmocka_unit_test(surrogate_pairs_of_json_are_one_character),
		cmocka_unit_test(a_list_is_several_documents),
		cmocka_unit_test(empty_documents_are_skipped),
		cmocka_unit_test(bad_input_is_refused_with_its_line),
		cmocka_unit_test(documents_before_a_fault_are_kept),
		cmocka_unit_test(depth_and_size_are_bounded),
		cmocka_unit_test(as_deep_as_allowed_is_read),
		cmocka_unit_test(a_directory_is_read_in_order_of_names),
		cmocka_unit_test(yaml_looks_like_a_manifest),
		cmocka_unit_test(yaml_comes_back_the_same),
		cmocka_unit_test(long_keys_come_back_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
