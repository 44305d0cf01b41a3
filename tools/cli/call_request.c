// SPDX-License-Identifier: Apache-2.0
// Builds a call: data from the command line or a file, composite metadata, the gateway's address.
#include "tools/cli/call_request.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/addr.h"
#include "lib/base/cursor.h"
#include "lib/rsocket/metadata.h"
#include "tools/cli/api.h"
#include "tools/cli/nouns.h"

// docs: "Call metadata to our hosts".
#define CALL_MIME "message/x.penstock.call.v1"
#define CALL_ENTRY_BYTES 20
#define CALL_IDEMPOTENT 1
#define CALL_TIME_LEFT_US_MAX 0xffffffff

void call_request_fini(struct call_request *request)
{
	free(request->metadata);
	free(request->data);
	*request = (struct call_request){0};
}

static enum cli_exit read_stream(
	struct cli *cli, const char *name, FILE *in, struct call_request *request)
{
	request->data = malloc(CALL_DATA_BYTES_MAX + 1);
	if (!request->data) {
		cli_complain(cli, "out of memory");
		return CLI_REFUSED;
	}
	request->data_len = fread(request->data, 1, CALL_DATA_BYTES_MAX + 1, in);
	if (ferror(in))
		cli_complain(cli, "%s: %s", name, strerror(errno));
	else if (request->data_len > CALL_DATA_BYTES_MAX)
		cli_complain(cli, "%s: larger than %u MiB, the most that a call carries", name,
			CALL_DATA_BYTES_MAX >> 20);
	else
		return CLI_DONE;
	return CLI_REFUSED;
}

enum cli_exit call_read_data(
	struct cli *cli, const char *text, const char *file, struct call_request *request)
{
	enum cli_exit exit;
	FILE *in;

	if (file && strcmp(file, "-") == 0)
		return read_stream(cli, "standard input", stdin, request);
	if (file) {
		in = fopen(file, "re");
		if (!in) {
			cli_complain(cli, "%s: %s", file, strerror(errno));
			return CLI_REFUSED;
		}
		exit = read_stream(cli, file, in, request);
		fclose(in);
		return exit;
	}
	request->data = strdup(text ? text : "");
	if (!request->data)
		return CLI_REFUSED;
	request->data_len = strlen(request->data);
	return CLI_DONE;
}

// The first tag: "name", or "namespace/name" with -n.
static void write_route(struct cli *cli, const char *name, struct writer *w)
{
	char route[256];
	int len = snprintf(route, sizeof(route), "%s%s%s",
		cli->ns && !strchr(name, '/') ? cli->ns : "",
		cli->ns && !strchr(name, '/') ? "/" : "", name);

	if (len <= 0 || len > 255)
		w->bad = true;
	else
		rs_route_entry_write(w, route, (uint8_t)len);
}

static void write_call(ns_t timeout, bool idempotent, struct writer *w)
{
	ns_t left_us = timeout / NS_PER_US;

	if (!timeout && !idempotent)
		return;
	rs_entry_write_name(w, CALL_MIME, CALL_ENTRY_BYTES);
	writer_u8(w, idempotent ? CALL_IDEMPOTENT : 0);
	writer_u8(w, 0);   // attempt
	writer_u16(w, 0);  // class: the function's
	writer_u32(w, left_us > CALL_TIME_LEFT_US_MAX ? CALL_TIME_LEFT_US_MAX : (uint32_t)left_us);
	writer_u64(w, 0);  // call id: the gateway's
	writer_u32(w, 0);  // any instance
}

static enum cli_exit write_more(struct cli *cli, const char *entry, struct writer *w)
{
	const char *equals = strchr(entry, '=');
	char type[RS_ENTRY_MIME_MAX + 1];
	size_t len;

	if (!equals || equals == entry || equals - entry > RS_ENTRY_MIME_MAX)
		return cli_usage(cli,
			"--metadata takes TYPE=TEXT such as text/plain=hello, not '%s'", entry);
	memcpy(type, entry, (size_t)(equals - entry));
	type[equals - entry] = '\0';
	len = strlen(equals + 1);
	rs_entry_write_name(w, type, (uint32_t)len);
	writer_bytes(w, equals + 1, len);
	return CLI_DONE;
}

enum cli_exit call_make_metadata(struct cli *cli, const char *name, const struct option_list *more,
	ns_t timeout, bool idempotent, struct call_request *request)
{
	enum cli_exit exit = CLI_DONE;
	struct writer w;

	request->metadata = malloc(CALL_METADATA_BYTES_MAX);
	if (!request->metadata) {
		cli_complain(cli, "out of memory");
		return CLI_REFUSED;
	}
	w = writer_of(request->metadata, CALL_METADATA_BYTES_MAX);
	write_route(cli, name, &w);
	if (w.bad)
		return cli_usage(cli, "a function's name has 1 to 255 bytes");
	write_call(timeout, idempotent, &w);
	for (size_t i = 0; i < more->count && exit == CLI_DONE; i++)
		exit = write_more(cli, more->item[i], &w);
	if (exit == CLI_DONE && w.bad)
		exit = cli_usage(cli, "the metadata is too large: %u KiB at most",
			CALL_METADATA_BYTES_MAX >> 10);
	request->metadata_len = (size_t)(w.at - request->metadata);
	return exit;
}

// "host:port" by the resolver, for names.
static int resolve(const char *to, struct call_request *request)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	const char *colon = strrchr(to, ':');
	struct addrinfo *found = NULL;
	char host[128];

	if (!colon || colon == to || (size_t)(colon - to) >= sizeof(host))
		return EAI_NONAME;
	memcpy(host, to, (size_t)(colon - to));
	host[colon - to] = '\0';
	if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
		return EAI_NONAME;
	memcpy(&request->addr, found->ai_addr, found->ai_addrlen);
	request->addr_len = found->ai_addrlen;
	freeaddrinfo(found);
	return 0;
}

static enum cli_exit set_address(struct cli *cli, const char *to, struct call_request *request)
{
	snprintf(request->to, sizeof(request->to), "%s", to);
	if (sockaddr_parse(to, &request->addr, &request->addr_len) == 0 ||
		resolve(to, request) == 0)
		return CLI_DONE;
	return cli_usage(
		cli, "--to takes an address such as 10.77.0.2:7878 or unix:/path, not '%s'", to);
}

// "10.77.0.2:7878" of a gateway's resource. False if it has no address.
static bool gateway_address(const json_t *gateway, char *text, size_t size)
{
	const json_t *ports = json_at(gateway, "spec.ports");
	const json_t *listener = json_array_get(json_at(gateway, "spec.listeners"), 0);
	const char *address = NULL;
	json_t *port;
	size_t i;
	int len;

	json_array_foreach(ports, i, port)
	{
		if (!address)
			address = json_string_value(
				json_array_get(json_object_get(port, "addresses"), 0));
	}
	if (!address || !listener)
		return false;
	len = (int)strcspn(address, "/");
	snprintf(text, size, strchr(address, ':') ? "[%.*s]:%d" : "%.*s:%d", len, address,
		(int)json_integer_value(json_object_get(listener, "port")));
	return true;
}

static enum cli_exit find_gateway(struct cli *cli, const char *name, char *text, size_t size)
{
	enum cli_exit exit;
	json_t *list = api_list(cli, "/v1/gateways", NULL, &exit), *gateway;
	bool found = false;
	size_t i;

	if (!list)
		return exit;
	json_array_foreach(list, i, gateway)
	{
		const char *own = json_string_value(json_at(gateway, "metadata.name"));

		if (!found && (!name || (own && strcmp(own, name) == 0)))
			found = gateway_address(gateway, text, size);
	}
	json_decref(list);
	if (found)
		return CLI_DONE;
	cli_complain(cli,
		"no gateway%s%s has an address: apply a Gateway manifest with spec.ports, or pass "
		"--to",
		name ? " " : "", name ? name : "");
	return CLI_REFUSED;
}

enum cli_exit call_find_address(
	struct cli *cli, const char *to, const char *gateway, struct call_request *request)
{
	char text[160];
	enum cli_exit exit;

	if (to)
		return set_address(cli, to, request);
	exit = find_gateway(cli, gateway, text, sizeof(text));
	return exit == CLI_DONE ? set_address(cli, text, request) : exit;
}
