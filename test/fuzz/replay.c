// SPDX-License-Identifier: Apache-2.0
// The main of a fuzz target in a normal build: runs it once on each file of the folders named.
// Fails if there is none, so that a lost corpus is noticed.
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int run_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data;
	size_t len;
	long size;

	if (!f || fseek(f, 0, SEEK_END) || (size = ftell(f)) < 0) {
		perror(path);
		return -1;
	}
	rewind(f);
	// malloc of the exact size, so that the sanitizer sees a read past the end.
	data = malloc((size_t)size ? (size_t)size : 1);
	len = fread(data, 1, (size_t)size, f);
	fclose(f);
	LLVMFuzzerTestOneInput(data, len);
	free(data);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned files = 0;

	for (int i = 1; i < argc; i++) {
		DIR *dir = opendir(argv[i]);
		struct dirent *entry;
		char path[4096];

		if (!dir) {
			perror(argv[i]);
			return 1;
		}
		while ((entry = readdir(dir))) {
			if (entry->d_name[0] == '.')
				continue;
			snprintf(path, sizeof(path), "%s/%s", argv[i], entry->d_name);
			if (run_file(path))
				return 1;
			files++;
		}
		closedir(dir);
	}
	printf("%u inputs\n", files);
	return files ? 0 : 1;
}
