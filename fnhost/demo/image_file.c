// SPDX-License-Identifier: Apache-2.0
// JPEG and PNG: from bytes to pixels and back. The libraries tell faults by longjmp (JPEG) and by return (PNG's simplified
// API); what they had begun is freed either way.
#include <errno.h>
#include <png.h>
#include <setjmp.h>
#include <stdio.h> // before jpeglib.h, which needs FILE
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include "fnhost/demo/image.h"

struct jpeg_fault {
	struct jpeg_error_mgr base;
	jmp_buf back;
};

static void on_jpeg_error(j_common_ptr info)
{
	longjmp(((struct jpeg_fault *)(void *)info->err)->back, 1);
}

static void on_jpeg_message(j_common_ptr info)
{
	// Warnings (a torn end, say) are no faults.
}

static void catch_faults(struct jpeg_fault *fault)
{
	jpeg_std_error(&fault->base);
	fault->base.error_exit = on_jpeg_error;
	fault->base.output_message = on_jpeg_message;
}

static void choose_scale(struct jpeg_decompress_struct *jpeg, uint32_t wanted)
{
	uint32_t longer = jpeg->image_width > jpeg->image_height ? jpeg->image_width : jpeg->image_height;

	jpeg->scale_num = 1;
	jpeg->scale_denom = 1;
	while (wanted && jpeg->scale_denom < 8 && longer / (jpeg->scale_denom * 2) >= wanted)
		jpeg->scale_denom *= 2;
}

static int read_jpeg(struct image *image, const void *data, size_t len, uint32_t wanted)
{
	struct jpeg_decompress_struct jpeg = {0};
	struct jpeg_fault fault;
	volatile int error = -EINVAL;

	*image = (struct image){0};
	jpeg.err = &fault.base;
	catch_faults(&fault);
	if (setjmp(fault.back))
		goto out;
	jpeg_create_decompress(&jpeg);
	jpeg_mem_src(&jpeg, data, len);
	jpeg_read_header(&jpeg, TRUE);
	jpeg.out_color_space = JCS_RGB;
	choose_scale(&jpeg, wanted);
	jpeg_start_decompress(&jpeg);
	error = image_new(image, jpeg.output_width, jpeg.output_height);
	if (error)
		goto out;
	while (jpeg.output_scanline < jpeg.output_height) {
		JSAMPROW row = image->rgb + (size_t)jpeg.output_scanline * image->width * 3;

		error = -EINVAL; // if it jumps
		jpeg_read_scanlines(&jpeg, &row, 1);
		error = 0;
	}
	jpeg_finish_decompress(&jpeg);
out:
	jpeg_destroy_decompress(&jpeg);
	if (error)
		image_free(image);
	return error;
}

static int read_png(struct image *image, const void *data, size_t len)
{
	png_image png = {.version = PNG_IMAGE_VERSION};
	int error = -EINVAL;

	*image = (struct image){0};
	if (!png_image_begin_read_from_memory(&png, data, len))
		return -EINVAL;
	png.format = PNG_FORMAT_RGB;
	error = image_new(image, png.width, png.height);
	// What shows through is put on white.
	if (!error && !png_image_finish_read(&png, &(png_color){255, 255, 255}, image->rgb, 0, NULL))
		error = -EINVAL;
	png_image_free(&png);
	if (error)
		image_free(image);
	return error;
}

int image_read(struct image *image, const void *data, size_t len, uint32_t wanted)
{
	static const uint8_t jpeg_magic[] = {0xff, 0xd8, 0xff}, png_magic[] = {0x89, 'P', 'N', 'G'};

	if (len >= sizeof(jpeg_magic) && memcmp(data, jpeg_magic, sizeof(jpeg_magic)) == 0)
		return read_jpeg(image, data, len, wanted);
	if (len >= sizeof(png_magic) && memcmp(data, png_magic, sizeof(png_magic)) == 0)
		return read_png(image, data, len);
	return -EINVAL;
}

// The bytes are the caller's also after a fault, and his variables survive the jump.
static int write_jpeg(
	const struct image *image, int quality, unsigned char **bytes, unsigned long *bytes_len)
{
	struct jpeg_compress_struct jpeg = {0};
	struct jpeg_fault fault;
	volatile int error = -EINVAL;

	jpeg.err = &fault.base;
	catch_faults(&fault);
	if (setjmp(fault.back))
		goto out;
	jpeg_create_compress(&jpeg);
	jpeg_mem_dest(&jpeg, bytes, bytes_len);
	jpeg.image_width = image->width;
	jpeg.image_height = image->height;
	jpeg.input_components = 3;
	jpeg.in_color_space = JCS_RGB;
	jpeg_set_defaults(&jpeg);
	jpeg_set_quality(&jpeg, quality, TRUE);
	jpeg_start_compress(&jpeg, TRUE);
	while (jpeg.next_scanline < jpeg.image_height) {
		JSAMPROW row = image->rgb + (size_t)jpeg.next_scanline * image->width * 3;

		jpeg_write_scanlines(&jpeg, &row, 1);
	}
	jpeg_finish_compress(&jpeg);
	error = 0;
out:
	jpeg_destroy_compress(&jpeg);
	return error;
}

int image_write_jpeg(const struct image *image, int quality, void **data, size_t *len)
{
	unsigned char *bytes = NULL;
	unsigned long bytes_len = 0;
	int error = write_jpeg(image, quality, &bytes, &bytes_len);

	if (error) {
		free(bytes);
		return error;
	}
	*data = bytes;
	*len = bytes_len;
	return 0;
}

int image_write_png(const struct image *image, void **data, size_t *len)
{
	png_image png = {.version = PNG_IMAGE_VERSION,
		.width = image->width,
		.height = image->height,
		.format = PNG_FORMAT_RGB};
	png_alloc_size_t bytes = 0;
	void *out;

	if (!png_image_write_to_memory(&png, NULL, &bytes, 0, image->rgb, 0, NULL))
		return -EINVAL;
	out = malloc(bytes);
	if (!out)
		return -ENOMEM;
	if (!png_image_write_to_memory(&png, out, &bytes, 0, image->rgb, 0, NULL)) {
		free(out);
		return -EINVAL;
	}
	*data = out;
	*len = bytes;
	return 0;
}
