// SPDX-License-Identifier: Apache-2.0
// The two text formats of metrics. No state but the stream it is handed.
#include "controlplane/prom.h"

#include <inttypes.h>
#include <string.h>

bool prom_wants_open(const char *accept)
{
	return accept && strstr(accept, "application/openmetrics-text");
}

const char *prom_content_type(bool open)
{
	return open ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
		    : "text/plain; version=0.0.4; charset=utf-8";
}

void prom_heading(const struct prom *p, const char *name, const char *type, const char *help)
{
	size_t len = strlen(name);

	if (p->open && len > 6 && strcmp(name + len - 6, "_total") == 0)
		len -= 6;
	fprintf(p->out, "# HELP %.*s %s\n# TYPE %.*s %s\n", (int)len, name, help, (int)len, name,
		type);
}

// Backslash, quote and newline are escaped in values.
static void label(FILE *out, const char *name, const char *value)
{
	fprintf(out, "%s=\"", name);
	for (; *value; value++) {
		if (*value == '\n')
			fputs("\\n", out);
		else if (*value == '\\' || *value == '"')
			fprintf(out, "\\%c", *value);
		else
			fputc(*value, out);
	}
	fputc('"', out);
}

static void name_and_labels(const struct prom *p, const char *name, const char *const *labels)
{
	fputs(name, p->out);
	for (size_t i = 0; labels && labels[i]; i += 2) {
		fputc(i ? ',' : '{', p->out);
		label(p->out, labels[i], labels[i + 1]);
	}
	if (labels && labels[0])
		fputc('}', p->out);
}

void prom_sample(const struct prom *p, const char *name, const char *const *labels, uint64_t value)
{
	name_and_labels(p, name, labels);
	fprintf(p->out, " %" PRIu64 "\n", value);
}

void prom_sample_real(
	const struct prom *p, const char *name, const char *const *labels, double value)
{
	name_and_labels(p, name, labels);
	fprintf(p->out, " %.9g\n", value);
}

void prom_end(const struct prom *p)
{
	if (p->open)
		fputs("# EOF\n", p->out);
}
