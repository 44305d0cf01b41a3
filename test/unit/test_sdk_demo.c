// SPDX-License-Identifier: Apache-2.0
// The demo functions, each in the harness, on real bytes.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fnhost/demo/demo.h"
#include "fnhost/demo/image.h"
#include "fnhost/sdk/test.h"

static void echo(void **state)
{
	static const char bytes[] = {0, 1, 2, '\n', (char)0xff};
	struct pn_test *t = pn_test_new(&demo_echo);
	const struct pn_test_result *r = pn_test_call(t, bytes, sizeof(bytes));

	assert_int_equal(r->code, 0);
	assert_int_equal(r->len, sizeof(bytes));
	assert_memory_equal(r->data, bytes, sizeof(bytes));
	assert_int_equal(pn_test_event(t, "x", 1)->code, 0);
	assert_int_equal(pn_test_stream(t, "x", 1)->items_count, 1);
	pn_test_destroy(t);
}

// FIPS 180-2's own examples.
static void sha256(void **state)
{
	struct pn_test *t = pn_test_new(&demo_sha256);
	char *million = malloc(1000000);

	assert_string_equal(pn_test_call(t, "abc", 3)->data,
		"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_string_equal(pn_test_call(t, "", 0)->data,
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	memset(million, 'a', 1000000);
	assert_string_equal(pn_test_call(t, million, 1000000)->data,
		"cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	free(million);
	pn_test_destroy(t);
}

static void count(void **state)
{
	struct pn_test *t = pn_test_new(&demo_count);
	const struct pn_test_result *r = pn_test_stream(t, "12", 2);

	assert_int_equal(r->items_count, 12);
	assert_string_equal(r->items[0].data, "1");
	assert_string_equal(r->items[11].data, "12");
	assert_int_equal(pn_test_stream(t, "0", 1)->items_count, 0);
	assert_int_equal(pn_test_stream(t, "-1", 2)->code, PN_INVALID);
	assert_int_equal(pn_test_stream(t, "x", 1)->code, PN_INVALID);
	assert_int_equal(pn_test_stream(t, "", 0)->code, PN_INVALID);
	assert_int_equal(pn_test_stream(t, "99999999999999999999999999", 26)->code, PN_INVALID);
	pn_test_cancel_after(t, 3);
	assert_int_equal(pn_test_stream(t, "18446744073709551615", 20)->items_count, 3);
	pn_test_destroy(t);
}

// Red grows to the right, green downwards; the left upper quarter is blue too.
static struct image picture(uint32_t width, uint32_t height)
{
	struct image image;

	assert_int_equal(image_new(&image, width, height), 0);
	for (uint32_t y = 0; y < height; y++)
		for (uint32_t x = 0; x < width; x++) {
			uint8_t *p = image.rgb + ((size_t)y * width + x) * 3;

			p[0] = (uint8_t)(x * 255 / width);
			p[1] = (uint8_t)(y * 255 / height);
			p[2] = x < width / 2 && y < height / 2 ? 255 : 0;
		}
	return image;
}

static int channel(const struct image *image, uint32_t x, uint32_t y, int c)
{
	return image->rgb[((size_t)y * image->width + x) * 3 + (size_t)c];
}

// The picture is still recognised, within the loss of JPEG.
static void assert_picture(const struct image *image)
{
	uint32_t w = image->width, h = image->height;

	for (uint32_t y = 1; y < h; y += 9)
		for (uint32_t x = 1; x < w; x += 9) {
			bool edge = labs((long)x - w / 2) < 3 || labs((long)y - h / 2) < 3;

			assert_in_range(channel(image, x, y, 0) + 24 - (int)(x * 255 / w), 0, 48);
			assert_in_range(channel(image, x, y, 1) + 24 - (int)(y * 255 / h), 0, 48);
			if (!edge)
				assert_in_range(channel(image, x, y, 2) + 40 -
							(x < w / 2 && y < h / 2 ? 255 : 0),
					0, 80);
		}
}

static void shrinking_is_exact(void **state)
{
	struct image image, half, odd;

	assert_int_equal(image_new(&image, 4, 2), 0);
	for (uint32_t i = 0; i < 8; i++)
		image.rgb[i * 3] = (uint8_t)(i * 10); // 0 10 20 30 / 40 50 60 70
	assert_int_equal(image_shrink(&half, &image, 2, 1), 0);
	assert_int_equal(half.rgb[0], 25);
	assert_int_equal(half.rgb[3], 45);
	// 4 to 3: each covers one and a third.
	assert_int_equal(image_shrink(&odd, &image, 3, 1), 0);
	assert_in_range(odd.rgb[0], 22, 23); // (0 + 40 + (10 + 50) / 3) / (8 / 3) = 22.5
	assert_int_equal(odd.rgb[3], 35);
	assert_in_range(odd.rgb[6], 47, 48); // 47.5
	image_free(&odd);
	assert_int_equal(image_shrink(&odd, &image, 5, 1), -EINVAL);
	assert_int_equal(image_shrink(&odd, &image, 0, 1), -EINVAL);
	image_free(&half);
	image_free(&image);
	assert_int_equal(image_new(&image, 100000, 100000), -E2BIG);
}

static void files_come_back(void **state)
{
	struct image image = picture(90, 60), again;
	void *data;
	size_t len;

	assert_int_equal(image_write_png(&image, &data, &len), 0);
	assert_int_equal(image_read(&again, data, len, 0), 0);
	assert_int_equal(again.width, 90);
	assert_memory_equal(again.rgb, image.rgb, 90 * 60 * 3);
	image_free(&again);
	for (size_t cut = 0; cut < len / 2; cut += 13) // without its end a PNG may still be whole
		assert_int_not_equal(image_read(&again, data, cut, 0), 0);
	free(data);
	assert_int_equal(image_write_jpeg(&image, 90, &data, &len), 0);
	assert_int_equal(image_read(&again, data, len, 0), 0);
	assert_picture(&again);
	image_free(&again);
	// Torn JPEGs may decode in part, but never crash; random ones are refused.
	for (size_t cut = 0; cut < len; cut += 13)
		if (image_read(&again, data, cut, 0) == 0)
			image_free(&again);
	free(data);
	image_free(&image);
	assert_int_equal(image_read(&again, "\xff\xd8\xff nothing", 11, 0), -EINVAL);
	assert_int_equal(image_read(&again, "GIF89a", 6, 0), -EINVAL);
	assert_int_equal(image_read(&again, "", 0, 0), -EINVAL);
}

static void thumbnail(void **state)
{
	struct pn_test *t = pn_test_new(&demo_thumbnail);
	struct image image = picture(1200, 800), small;
	const struct pn_test_result *r;
	void *data;
	size_t len;

	for (int png = 0; png < 2; png++) {
		if (png)
			assert_int_equal(image_write_png(&image, &data, &len), 0);
		else
			assert_int_equal(image_write_jpeg(&image, 95, &data, &len), 0);
		r = pn_test_call(t, data, len);
		assert_int_equal(r->code, 0);
		assert_int_equal(image_read(&small, r->data, r->len, 0), 0);
		assert_int_equal(small.width, 128);
		assert_int_equal(small.height, 85);
		assert_picture(&small);
		image_free(&small);
		free(data);
	}
	image_free(&image);
	r = pn_test_call(t, "no image", 8);
	assert_int_equal(r->code, PN_INVALID);
	// One that is small enough stays as large as it is.
	image = picture(20, 10);
	assert_int_equal(image_write_png(&image, &data, &len), 0);
	r = pn_test_call(t, data, len);
	assert_int_equal(image_read(&small, r->data, r->len, 0), 0);
	assert_int_equal(small.width, 20);
	assert_int_equal(small.height, 10);
	image_free(&small);
	image_free(&image);
	free(data);
	pn_test_destroy(t);
}

static void tiles(void **state)
{
	struct pn_test *t = pn_test_new(&demo_tiles);
	struct image image = picture(1031, 777), whole;
	const struct pn_test_result *r;
	void *data;
	size_t len;

	assert_int_equal(image_write_png(&image, &data, &len), 0);
	r = pn_test_call(t, data, len);
	assert_int_equal(r->code, PN_REJECTED); // nobody makes thumbnails
	pn_test_answer_with(t, "thumbnail", &demo_thumbnail);
	r = pn_test_call(t, data, len);
	assert_int_equal(r->code, 0);
	assert_int_equal(r->calls, 16);
	assert_int_equal(image_read(&whole, r->data, r->len, 0), 0);
	assert_int_equal(whole.width, 4 * 128);
	assert_in_range(whole.height, 4 * 95, 4 * 98);
	assert_picture(&whole);
	image_free(&whole);
	pn_test_answer_error(t, "thumbnail", 0x301, "out of paper");
	r = pn_test_call(t, data, len);
	assert_int_equal(r->code, PN_APPLICATION_ERROR);
	pn_test_answer(t, "thumbnail", "not an image", 12);
	r = pn_test_call(t, data, len);
	assert_int_equal(r->code, PN_APPLICATION_ERROR);
	free(data);
	image_free(&image);
	image = picture(3, 3);
	assert_int_equal(image_write_png(&image, &data, &len), 0);
	assert_int_equal(pn_test_call(t, data, len)->code, PN_INVALID);
	free(data);
	image_free(&image);
	pn_test_destroy(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(echo),
		cmocka_unit_test(sha256),
		cmocka_unit_test(count),
		cmocka_unit_test(shrinking_is_exact),
		cmocka_unit_test(files_come_back),
		cmocka_unit_test(thumbnail),
		cmocka_unit_test(tiles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
