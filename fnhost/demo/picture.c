// SPDX-License-Identifier: Apache-2.0
// `demo-picture`: a picture to call `thumbnail` and `tiles` with, and a look at what they made of it. No
// function: a program for tools/quickstart, so that no picture has to be kept beside the sources.
//
//   demo-picture draw FILE.jpg|FILE.png [WIDTH HEIGHT]    hills before an evening sky (960 x 720)
//   demo-picture compare PICTURE SMALL                    is SMALL that picture, only smaller?
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fnhost/demo/image.h"

#define QUALITY 90
#define FILE_BYTES_MAX (64u << 20)
#define DIFFERENCE_MAX 10.0 // of 255, on average: JPEG and another way to shrink stay below 4

struct colour {
	double r, g, b;
};

static struct colour mix(struct colour from, struct colour to, double share)
{
	return (struct colour){from.r + (to.r - from.r) * share, from.g + (to.g - from.g) * share,
		from.b + (to.b - from.b) * share};
}

// The sky at u, v (both 0 to 1, v from the top), with the sun and its glow.
static struct colour sky(double u, double v, double ratio)
{
	static const struct colour top = {38, 58, 120}, low = {250, 170, 90}, sun = {255, 244, 210};
	double distance = hypot((u - 0.68) * ratio, v - 0.42);
	struct colour colour = mix(top, low, fmin(v / 0.65, 1));

	return distance < 0.07 ? sun : mix(colour, sun, 0.8 * exp(-(distance - 0.07) * 9));
}

// How high a ridge reaches at u; `n` of them, each nearer and lower than the one before.
static double ridge(double u, int n)
{
	static const double top[] = {0.52, 0.66, 0.82};
	double wave = sin(u * (5 + 3 * n) + n * 1.7) + sin(u * (13 + 5 * n) + n) / 3 +
		      sin(u * (47 + 11 * n)) / 12;

	return top[n] + 0.06 * wave;
}

static struct colour view(double u, double v, double ratio)
{
	static const struct colour near[] = {{120, 90, 110}, {66, 72, 70}, {24, 40, 30}};

	for (int n = 2; n >= 0; n--)
		if (v > ridge(u, n))
			return mix(near[n], (struct colour){0, 0, 0}, (v - ridge(u, n)) * 0.7);
	return sky(u, v, ratio);
}

// Grain as a camera has it, the same each time: a flat picture would be an easy one.
static double grain(uint32_t x, uint32_t y)
{
	uint32_t n = (x * 0x9e3779b1u) ^ (y * 0x85ebca6bu);

	n = (n ^ n >> 15) * 0x2c1b3c6du;
	return (double)(n >> 16) / 65536 * 8 - 4;
}

static uint8_t level(double value)
{
	return (uint8_t)fmax(0, fmin(255, value));
}

static void paint(struct image *image)
{
	double ratio = (double)image->width / image->height;

	for (uint32_t y = 0; y < image->height; y++) {
		for (uint32_t x = 0; x < image->width; x++) {
			struct colour c = view(
				(double)x / image->width, (double)y / image->height, ratio);
			uint8_t *at = image->rgb + ((size_t)y * image->width + x) * 3;
			double noise = grain(x, y);

			at[0] = level(c.r + noise);
			at[1] = level(c.g + noise);
			at[2] = level(c.b + noise);
		}
	}
}

static int fail(const char *path, int error)
{
	const char *why = error == -EINVAL ? "no JPEG or PNG that can be read" :
			  error == -E2BIG  ? "no size for a picture" :
					     strerror(-error);

	fprintf(stderr, "demo-picture: %s: %s\n", path, why);
	return 1;
}

static int save(const char *path, const void *data, size_t len)
{
	FILE *file = fopen(path, "we");
	int error = 0;

	if (!file)
		return -errno;
	if (fwrite(data, 1, len, file) != len)
		error = -EIO;
	return fclose(file) ? -EIO : error;
}

static int draw(const char *path, const char *width, const char *height)
{
	const char *dot = strrchr(path, '.');
	struct image image;
	void *data = NULL;
	size_t len = 0;
	int error = image_new(&image, (uint32_t)strtoul(width, NULL, 10),
		(uint32_t)strtoul(height, NULL, 10));

	if (error)
		return fail("WIDTH and HEIGHT", error);
	paint(&image);
	error = dot && strcmp(dot, ".png") == 0 ? image_write_png(&image, &data, &len) :
						  image_write_jpeg(&image, QUALITY, &data, &len);
	if (!error)
		error = save(path, data, len);
	if (!error)
		printf("%u x %u pixels, %zu bytes\n", image.width, image.height, len);
	free(data);
	image_free(&image);
	return error ? fail(path, error) : 0;
}

static int load(struct image *image, const char *path, size_t *len)
{
	FILE *file = fopen(path, "re");
	uint8_t *data = file ? malloc(FILE_BYTES_MAX) : NULL;
	int error = file ? -ENOMEM : -errno;

	if (data) {
		*len = fread(data, 1, FILE_BYTES_MAX, file);
		error = image_read(image, data, *len, 0);
	}
	free(data);
	if (file)
		fclose(file);
	return error;
}

// The mean difference of two images of the same size.
static double difference(const struct image *a, const struct image *b)
{
	size_t count = (size_t)a->width * a->height * 3;
	double sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += abs(a->rgb[i] - b->rgb[i]);
	return sum / (double)count;
}

static int compare(const char *picture, const char *small)
{
	struct image whole, part, shrunk = {0};
	size_t len = 0;
	double apart;
	int error = load(&whole, picture, &len);

	if (error)
		return fail(picture, error);
	error = load(&part, small, &len);
	if (error) {
		image_free(&whole);
		return fail(small, error);
	}
	error = image_shrink(&shrunk, &whole, part.width, part.height);
	apart = error ? 255 : difference(&shrunk, &part);
	printf("%u x %u pixels, %zu bytes, ", part.width, part.height, len);
	if (error)
		printf("not smaller than the picture\n");
	else
		printf("%s the picture (%.1f of 255 apart)\n",
			apart <= DIFFERENCE_MAX ? "shows" : "does not show", apart);
	image_free(&shrunk);
	image_free(&part);
	image_free(&whole);
	return error || apart > DIFFERENCE_MAX;
}

int main(int argc, char **argv)
{
	if ((argc == 3 || argc == 5) && strcmp(argv[1], "draw") == 0)
		return draw(argv[2], argc == 5 ? argv[3] : "960", argc == 5 ? argv[4] : "720");
	if (argc == 4 && strcmp(argv[1], "compare") == 0)
		return compare(argv[2], argv[3]);
	fputs("usage: demo-picture draw FILE.jpg|FILE.png [WIDTH HEIGHT]\n"
	      "       demo-picture compare PICTURE SMALL\n",
		stderr);
	return 2;
}
