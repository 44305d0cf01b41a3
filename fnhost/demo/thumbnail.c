// SPDX-License-Identifier: Apache-2.0
// `thumbnail`: a JPEG or PNG goes in, a JPEG that fits into a box comes out. --box=PIXELS (128), --quality=1..100 (80).
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fnhost/demo/demo.h"
#include "fnhost/demo/image.h"

static unsigned box = 128;
static int quality = 80;

static int start(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (sscanf(argv[i], "--box=%u", &box) == 1 && box >= 1 && box <= 16384)
			continue;
		if (sscanf(argv[i], "--quality=%d", &quality) == 1 && quality >= 1 && quality <= 100)
			continue;
		fprintf(stderr, "thumbnail takes --box=1..16384 and --quality=1..100, not %s\n",
			argv[i]);
		return 2;
	}
	return 0;
}

static int reply_jpeg(struct pn_context *ctx, const struct image *image)
{
	void *data;
	size_t len;
	int error = image_write_jpeg(image, quality, &data, &len);

	return error ? error : pn_reply_take(ctx, data, len);
}

static int thumbnail(struct pn_context *ctx, const void *data, size_t len)
{
	struct image image, small;
	uint32_t width, height;
	int error = image_read(&image, data, len, box);

	if (error)
		return pn_error(ctx, PN_INVALID, "not a JPEG or PNG that can be read: %s",
			strerror(-error));
	image_fit(&image, box, &width, &height);
	error = image_shrink(&small, &image, width, height);
	image_free(&image);
	if (!error)
		error = reply_jpeg(ctx, &small);
	if (error)
		return error;
	image_free(&small);
	return 0;
}

const struct pn_function demo_thumbnail = {.call = thumbnail, .start = start};
