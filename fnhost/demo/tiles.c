// SPDX-License-Identifier: Apache-2.0
// `tiles`: takes an image, cuts it into GRID x GRID tiles, calls `thumbnail` for each, all at once, and replies with a JPEG of the
// small tiles put together. --grid=N (4), --function=NAME (thumbnail), --quality=1..100 (80).
//
// Tiles travel as PNG, so that nothing is lost twice; each comes back as small as `thumbnail` makes it.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fnhost/demo/demo.h"
#include "fnhost/demo/image.h"

#define GRID_MAX 15 // 225 calls, below PN_CALLS_MAX

static unsigned grid = 4;
static int quality = 80;
static char function[128] = "thumbnail";

struct tile {
	struct image image;
	uint32_t code; // of a call that failed; its text is in the log
};

static int start(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (sscanf(argv[i], "--grid=%u", &grid) == 1 && grid >= 1 && grid <= GRID_MAX)
			continue;
		if (sscanf(argv[i], "--quality=%d", &quality) == 1 && quality >= 1 && quality <= 100)
			continue;
		if (sscanf(argv[i], "--function=%127s", function) == 1)
			continue;
		fprintf(stderr, "tiles takes --grid=1..%d, --quality=1..100, --function=NAME, not %s\n",
			GRID_MAX, argv[i]);
		return 2;
	}
	return 0;
}

static void on_tile(struct pn_context *ctx, struct pn_result *result, void *arg)
{
	struct tile *tile = arg;

	tile->code = result->code;
	if (!tile->code && image_read(&tile->image, result->data, result->len, 0))
		tile->code = PN_APPLICATION_ERROR;
	if (tile->code)
		pn_log(ctx, "a tile failed: %#x: %s", result->code,
			result->code ? (char *)result->data : "its reply is no image");
}

static int ask(struct pn_context *ctx, const struct image *image, unsigned n, struct tile *tile)
{
	uint32_t column = n % grid, row = n / grid;
	uint32_t x = image->width * column / grid, y = image->height * row / grid;
	struct image part;
	void *png;
	size_t len;
	int error = image_crop(&part, image, x, y, image->width * (column + 1) / grid - x,
		image->height * (row + 1) / grid - y);

	if (error)
		return error;
	error = image_write_png(&part, &png, &len);
	image_free(&part);
	if (error)
		return error;
	error = pn_call_async(ctx, function, png, len, on_tile, tile);
	free(png);
	return error;
}

// Columns and rows are as wide and high as their first tile.
static int assemble(struct image *whole, const struct tile *tiles)
{
	uint32_t width = 0, height = 0, x, y = 0;
	int error;

	for (unsigned i = 0; i < grid; i++) {
		width += tiles[i].image.width;
		height += tiles[i * grid].image.height;
	}
	error = image_new(whole, width, height);
	for (unsigned row = 0; !error && row < grid; row++) {
		x = 0;
		for (unsigned column = 0; column < grid; column++) {
			image_paste(whole, &tiles[row * grid + column].image, x, y);
			x += tiles[column].image.width;
		}
		y += tiles[row * grid].image.height;
	}
	return error;
}

static int reply(struct pn_context *ctx, const struct tile *tiles)
{
	struct image whole;
	void *data;
	size_t len;
	int error;

	for (unsigned i = 0; i < grid * grid; i++)
		if (tiles[i].code)
			return pn_error(ctx, tiles[i].code == PN_REJECTED ? PN_REJECTED : PN_APPLICATION_ERROR,
				"tile %u of %u failed", i, grid * grid);
	error = assemble(&whole, tiles);
	if (!error)
		error = image_write_jpeg(&whole, quality, &data, &len);
	image_free(&whole);
	return error ? error : pn_reply_take(ctx, data, len);
}

static int run(struct pn_context *ctx, const struct image *image, struct tile *tiles)
{
	int error = 0;

	if (image->width < grid || image->height < grid)
		return pn_error(ctx, PN_INVALID, "the image is smaller than the grid");
	for (unsigned i = 0; !error && i < grid * grid; i++)
		error = ask(ctx, image, i, &tiles[i]);
	if (!error)
		error = pn_wait(ctx, 0);
	return error ? error : reply(ctx, tiles);
}

static int cut(struct pn_context *ctx, const void *data, size_t len)
{
	struct tile *tiles = calloc((size_t)grid * grid, sizeof(*tiles));
	struct image image;
	int error = tiles ? image_read(&image, data, len, 0) : -ENOMEM;

	if (error) {
		free(tiles);
		return pn_error(ctx, PN_INVALID, "not a JPEG or PNG that can be read: %s",
			strerror(-error));
	}
	error = run(ctx, &image, tiles);
	for (unsigned i = 0; i < grid * grid; i++)
		image_free(&tiles[i].image);
	image_free(&image);
	free(tiles);
	return error;
}

const struct pn_function demo_tiles = {.call = cut, .start = start};
