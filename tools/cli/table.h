// SPDX-License-Identifier: Apache-2.0
// Tables for people: columns as wide as their widest cell.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define TABLE_COLUMNS_MAX 16
#define TABLE_CELL_MAX 512

struct table {
	size_t columns;
	const char *title[TABLE_COLUMNS_MAX];
	bool right[TABLE_COLUMNS_MAX];  // numbers
	char **cells;                   // row by row
	size_t count, room;             // cells
	bool failed;                    // out of memory: nothing is printed
};

// A zeroed table is empty. Columns come before cells.
void table_column(struct table *t, const char *title, bool right);
// The next cell; an empty text shows as "-". Control characters are replaced.
void table_cell(struct table *t, const char *text);
void table_cellf(struct table *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
// 0 or -ENOMEM. Without rows it prints the titles alone.
int table_print(const struct table *t, FILE *out);
void table_fini(struct table *t);
// Columns of a terminal that UTF-8 text takes: its characters (wide ones count two).
size_t table_width(const char *text);
