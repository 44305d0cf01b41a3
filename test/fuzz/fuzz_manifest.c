// SPDX-License-Identifier: Apache-2.0
// Manifests of any bytes: no crash, and what was read survives being written and read again.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/cli/manifest.h"
#include "tools/cli/yaml_out.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_lines(const struct manifest_doc *doc, unsigned lines)
{
	static const char *const fields[] = {"", "spec", "metadata.name", "spec.ports[0].name",
		"a.b", "[0]", "[", "]", "a[1", "a..b"};

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		unsigned line = manifest_line(doc, fields[i]);

		if (line == 0 || line > lines)
			abort();
	}
}

static void check_round_trip(const json_t *value)
{
	struct manifest again = {0};
	struct manifest_error error;
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	yaml_write(out, value, 0);
	fclose(out);
	// Only the size may grow past its limit; an empty object is a document, too.
	if (len <= MANIFEST_BYTES_MAX &&
		(manifest_read(&again, "again", text, len, &error) != 0 || again.count != 1 ||
			!json_equal(again.docs[0].value, value))) {
		fprintf(stderr, "%u: %s\n%s", error.line, error.text, text);
		abort();
	}
	manifest_fini(&again);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct manifest m = {0};
	struct manifest_error error;

	manifest_read(&m, "fuzz", (const char *)data, len, &error);
	for (size_t i = 0; i < m.count; i++) {
		// YAML has more ends of lines than \n; a text of n bytes has at most n + 1 lines.
		check_lines(&m.docs[i], (unsigned)len + 1);
		check_round_trip(m.docs[i].value);
	}
	manifest_fini(&m);
	return 0;
}
