// SPDX-License-Identifier: Apache-2.0
// Manifests from files, directories and standard input.
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/cli/manifest.h"

static int fail(struct manifest_error *error, const char *path, int code, const char *text)
{
	*error = (struct manifest_error){0};
	snprintf(error->file, sizeof(error->file), "%s", path);
	snprintf(error->text, sizeof(error->text), "%s", text);
	return code;
}

// The whole of a stream, one byte more than the limit at most. NULL with errno.
static char *slurp(FILE *in, size_t *len)
{
	size_t room = 64 << 10;
	char *bytes = malloc(room);

	*len = 0;
	while (bytes) {
		char *grown;

		*len += fread(bytes + *len, 1, room - *len, in);
		if (ferror(in) || *len < room || *len > MANIFEST_BYTES_MAX)
			break;
		grown = realloc(bytes, room * 2);
		if (!grown)
			free(bytes);
		bytes = grown;
		room *= 2;
	}
	if (bytes && ferror(in)) {
		free(bytes);
		return NULL;
	}
	return bytes;
}

static int load_stream(struct manifest *m, const char *name, FILE *in, struct manifest_error *error)
{
	size_t len;
	char *bytes = slurp(in, &len);
	int r;

	if (!bytes)
		return fail(error, name, -EIO, strerror(errno));
	r = manifest_read(m, name, bytes, len, error);
	free(bytes);
	return r;
}

static int load_file(struct manifest *m, const char *path, struct manifest_error *error)
{
	FILE *in = fopen(path, "re");
	int r;

	if (!in)
		return fail(error, path, -errno, strerror(errno));
	r = load_stream(m, path, in, error);
	fclose(in);
	return r;
}

static int is_manifest(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');

	if (!dot || entry->d_name[0] == '.')
		return 0;
	return !strcmp(dot, ".yaml") || !strcmp(dot, ".yml") || !strcmp(dot, ".json");
}

static int load_directory(struct manifest *m, const char *path, struct manifest_error *error)
{
	struct dirent **entries;
	int count = scandir(path, &entries, is_manifest, alphasort), r = 0;

	if (count < 0)
		return fail(error, path, -errno, strerror(errno));
	if (count == 0)
		r = fail(error, path, -ENOENT, "no *.yaml, *.yml or *.json file in this directory");
	for (int i = 0; i < count; i++) {
		char *file = NULL;

		if (r == 0 && asprintf(&file, "%s/%s", path, entries[i]->d_name) < 0)
			r = fail(error, path, -ENOMEM, "out of memory");
		if (r == 0)
			r = load_file(m, file, error);
		free(file);
		free(entries[i]);
	}
	free(entries);
	return r;
}

int manifest_load(struct manifest *m, const char *path, struct manifest_error *error)
{
	struct stat st;

	if (strcmp(path, "-") == 0)
		return load_stream(m, "standard input", stdin, error);
	if (stat(path, &st) != 0)
		return fail(error, path, -errno, strerror(errno));
	return S_ISDIR(st.st_mode) ? load_directory(m, path, error) : load_file(m, path, error);
}
