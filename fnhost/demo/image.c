// SPDX-License-Identifier: Apache-2.0
// Images in memory: see image.h. Pure; any thread.
#include "fnhost/demo/image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int image_new(struct image *image, uint32_t width, uint32_t height)
{
	*image = (struct image){0};
	if (width == 0 || height == 0 || width > IMAGE_PIXELS_MAX / height)
		return -E2BIG;
	image->rgb = calloc((size_t)width * height, 3);
	if (!image->rgb)
		return -ENOMEM;
	image->width = width;
	image->height = height;
	return 0;
}

void image_free(struct image *image)
{
	free(image->rgb);
	*image = (struct image){0};
}

static uint8_t *pixel(const struct image *image, uint32_t x, uint32_t y)
{
	return image->rgb + ((size_t)y * image->width + x) * 3;
}

void image_fit(const struct image *image, uint32_t box, uint32_t *width, uint32_t *height)
{
	uint32_t longer = image->width > image->height ? image->width : image->height;

	if (longer < box)
		box = longer;
	*width = (uint32_t)(((uint64_t)image->width * box + longer / 2) / longer);
	*height = (uint32_t)(((uint64_t)image->height * box + longer / 2) / longer);
	if (*width == 0)
		*width = 1;
	if (*height == 0)
		*height = 1;
}

// A source range [from, to) in 16.16, and how much of its first and last element it covers.
struct span {
	uint32_t first, last; // last is inside
	uint32_t first_weight, last_weight; // of 65536
};

static struct span span_of(uint32_t i, uint32_t from_size, uint32_t to_size)
{
	uint64_t begin = ((uint64_t)i * from_size << 16) / to_size;
	uint64_t end = ((uint64_t)(i + 1) * from_size << 16) / to_size;
	struct span s = {.first = (uint32_t)(begin >> 16), .last = (uint32_t)((end - 1) >> 16)};

	s.first_weight = 65536 - (uint32_t)(begin & 0xffff);
	s.last_weight = (uint32_t)(end - ((uint64_t)s.last << 16));
	if (s.first == s.last)
		s.first_weight = s.last_weight = (uint32_t)(end - begin);
	return s;
}

static uint32_t weight(const struct span *s, uint32_t i)
{
	return i == s->first ? s->first_weight : i == s->last ? s->last_weight : 65536;
}

static void shrink_pixel(const struct image *from, const struct span *xs, const struct span *ys,
	uint8_t *out)
{
	uint64_t sum[3] = {0}, total = 0;

	for (uint32_t y = ys->first; y <= ys->last; y++) {
		uint64_t wy = weight(ys, y) >> 4; // 12 bits, so that sums of large areas fit

		for (uint32_t x = xs->first; x <= xs->last; x++) {
			uint64_t w = wy * (weight(xs, x) >> 4);
			const uint8_t *p = pixel(from, x, y);

			sum[0] += w * p[0];
			sum[1] += w * p[1];
			sum[2] += w * p[2];
			total += w;
		}
	}
	for (int i = 0; i < 3; i++)
		out[i] = (uint8_t)(total ? (sum[i] + total / 2) / total : 0);
}

int image_shrink(struct image *to, const struct image *from, uint32_t width, uint32_t height)
{
	int error;

	if (width == 0 || height == 0 || width > from->width || height > from->height)
		return -EINVAL;
	error = image_new(to, width, height);
	if (error)
		return error;
	for (uint32_t y = 0; y < height; y++) {
		struct span ys = span_of(y, from->height, height);

		for (uint32_t x = 0; x < width; x++) {
			struct span xs = span_of(x, from->width, width);

			shrink_pixel(from, &xs, &ys, pixel(to, x, y));
		}
	}
	return 0;
}

int image_crop(struct image *to, const struct image *from, uint32_t x, uint32_t y, uint32_t width,
	uint32_t height)
{
	int error = image_new(to, width, height);

	for (uint32_t row = 0; !error && row < height; row++)
		memcpy(pixel(to, 0, row), pixel(from, x, y + row), (size_t)width * 3);
	return error;
}

void image_paste(struct image *to, const struct image *from, uint32_t x, uint32_t y)
{
	uint32_t width, height;

	if (x >= to->width || y >= to->height)
		return;
	width = from->width < to->width - x ? from->width : to->width - x;
	height = from->height < to->height - y ? from->height : to->height - y;
	for (uint32_t row = 0; row < height; row++)
		memcpy(pixel(to, x, y + row), pixel(from, 0, row), (size_t)width * 3);
}
