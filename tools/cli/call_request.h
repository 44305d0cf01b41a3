// SPDX-License-Identifier: Apache-2.0
// What a call is made of: where it goes, its metadata, its data.
#pragma once

#include <sys/socket.h>

#include "tools/cli/cli.h"

#define CALL_DATA_BYTES_MAX (16u << 20)
#define CALL_METADATA_BYTES_MAX (256u << 10)

struct call_request {
	struct sockaddr_storage addr;
	socklen_t addr_len;
	char to[160];  // the address as text
	unsigned char *metadata;
	size_t metadata_len;
	char *data;
	size_t data_len;
};

// Each fills its part of a zeroed request, or complains.

// text, or a file, or neither.
enum cli_exit call_read_data(
	struct cli *cli, const char *text, const char *file, struct call_request *request);
// Composite metadata: the route, what the caller tells the platform (timeout 0: nothing), more
// entries "TYPE=TEXT".
enum cli_exit call_make_metadata(struct cli *cli, const char *name, const struct option_list *more,
	ns_t timeout, bool idempotent, struct call_request *request);
// `to`, or the address of a gateway's resource; gateway NULL: the first that has one.
enum cli_exit call_find_address(
	struct cli *cli, const char *to, const char *gateway, struct call_request *request);
void call_request_fini(struct call_request *request);
