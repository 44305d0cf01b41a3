// SPDX-License-Identifier: Apache-2.0
// Collects cells and prints them aligned. Cells are cut at TABLE_CELL_MAX.
#include "tools/cli/table.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "tools/cli/format.h"

void table_column(struct table *t, const char *title, bool right)
{
	if (t->columns == TABLE_COLUMNS_MAX)
		return;
	t->title[t->columns] = title;
	t->right[t->columns++] = right;
}

void table_cell(struct table *t, const char *text)
{
	char *copy;

	if (t->count == t->room) {
		size_t room = t->room ? t->room * 2 : 64;
		char **grown = realloc(t->cells, room * sizeof(*grown));

		if (!grown) {
			t->failed = true;
			return;
		}
		t->cells = grown;
		t->room = room;
	}
	copy = strndup(*text ? text : "-", TABLE_CELL_MAX);
	if (!copy) {
		t->failed = true;
		return;
	}
	format_clean(copy);
	t->cells[t->count++] = copy;
}

void table_cellf(struct table *t, const char *format, ...)
{
	char text[TABLE_CELL_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	table_cell(t, text);
}

size_t table_width(const char *text)
{
	mbstate_t state = {0};
	size_t width = 0;

	while (*text) {
		wchar_t c;
		size_t n = mbrtowc(&c, text, strlen(text), &state);
		int columns;

		if (n == (size_t)-1 || n == (size_t)-2) {
			// No such character in this locale: a byte, a column.
			memset(&state, 0, sizeof(state));
			width++;
			text++;
			continue;
		}
		columns = wcwidth(c);
		width += columns > 0 ? (size_t)columns : 0;
		text += n;
	}
	return width;
}

static void print_cell(const char *text, size_t width, bool right, bool last, FILE *out)
{
	size_t own = table_width(text);
	int pad = own < width ? (int)(width - own) : 0;

	if (right)
		fprintf(out, "%*s%s", pad, "", text);
	else
		fprintf(out, "%s%*s", text, last ? 0 : pad, "");
	fputs(last ? "\n" : "  ", out);
}

int table_print(const struct table *t, FILE *out)
{
	size_t width[TABLE_COLUMNS_MAX];

	if (t->failed)
		return -ENOMEM;
	for (size_t c = 0; c < t->columns; c++)
		width[c] = table_width(t->title[c]);
	for (size_t i = 0; i < t->count; i++) {
		size_t w = table_width(t->cells[i]), c = i % t->columns;

		width[c] = w > width[c] ? w : width[c];
	}
	for (size_t c = 0; c < t->columns; c++)
		print_cell(t->title[c], width[c], t->right[c], c + 1 == t->columns, out);
	for (size_t i = 0; i < t->count; i++) {
		size_t c = i % t->columns;

		print_cell(t->cells[i], width[c], t->right[c], c + 1 == t->columns, out);
	}
	return 0;
}

void table_fini(struct table *t)
{
	for (size_t i = 0; i < t->count; i++)
		free(t->cells[i]);
	free(t->cells);
	*t = (struct table){0};
}
