// SPDX-License-Identifier: Apache-2.0
// Images for the demo functions: 8-bit RGB in memory, JPEG and PNG in and out, boxes scaled down. libjpeg-turbo and
// libpng do the coding: both are in every Debian with security support, are what larger libraries (libvips, GD)
// call themselves, and libjpeg-turbo decodes at 1/2, 1/4 and 1/8 of the size for a fraction of the work.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define IMAGE_PIXELS_MAX (64u << 20) // of what is decoded: a small file may claim any size

struct image {
	uint32_t width, height;
	uint8_t *rgb; // width * height * 3, rows without gaps; from malloc
};

// JPEG or PNG, by its first bytes. A JPEG may come scaled down by 2, 4 or 8, but no smaller than a box of `wanted` x `wanted`
// pixels needs (0: full size). 0, -EINVAL (not an image, or torn), -E2BIG, -ENOMEM.
int image_read(struct image *image, const void *data, size_t len, uint32_t wanted);
// Storage from malloc. 0 or -ENOMEM, -EINVAL.
int image_write_jpeg(const struct image *image, int quality, void **data, size_t *len);
int image_write_png(const struct image *image, void **data, size_t *len);
// Scales down to exactly width x height, each pixel the mean of the area it covers. 0, -EINVAL (not smaller or equal, or 0),
// -ENOMEM.
int image_shrink(struct image *to, const struct image *from, uint32_t width, uint32_t height);
// The size that fits into a box of `box` x `box` and keeps the ratio; never larger than the image.
void image_fit(const struct image *image, uint32_t box, uint32_t *width, uint32_t *height);
// A part of it, which must lie within. 0 or -ENOMEM.
int image_crop(struct image *to, const struct image *from, uint32_t x, uint32_t y, uint32_t width,
	uint32_t height);
// Copies `from` into `to` at x, y; what lies outside is left out.
void image_paste(struct image *to, const struct image *from, uint32_t x, uint32_t y);
int image_new(struct image *image, uint32_t width, uint32_t height); // black. 0, -E2BIG, -ENOMEM
void image_free(struct image *image);
