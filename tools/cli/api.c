// SPDX-License-Identifier: Apache-2.0
// Requests to the control socket. One curl handle a run, so that the requests of one command share
// a connection. Single-threaded, as all of the command line.
#include "tools/cli/api.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define REPLY_BYTES_MAX (256u << 20)  // what a reply may take of this process
#define REPLY_TIMEOUT_S 60L
#define LINE_BYTES_MAX (4u << 20)
#define PAGE_ITEMS 500

struct api {
	CURL *curl;
};

// Bytes that grow; always NUL-terminated once something was added.
struct text {
	char *bytes;
	size_t len, room;
};

static int text_add(struct text *t, const char *bytes, size_t n, size_t max)
{
	if (n > max || t->len > max - n)
		return -EMSGSIZE;
	if (t->len + n + 1 > t->room) {
		size_t room = (t->len + n + 1) * 2;
		char *grown = realloc(t->bytes, room);

		if (!grown)
			return -ENOMEM;
		t->bytes = grown;
		t->room = room;
	}
	memcpy(t->bytes + t->len, bytes, n);
	t->len += n;
	t->bytes[t->len] = '\0';
	return 0;
}

static CURL *api_handle(struct cli *cli)
{
	if (cli->api)
		return cli->api->curl;
	cli->api = calloc(1, sizeof(*cli->api));
	if (cli->api && curl_global_init(CURL_GLOBAL_NOTHING) == CURLE_OK)
		cli->api->curl = curl_easy_init();
	if (cli->api && cli->api->curl)
		return cli->api->curl;
	cli_complain(cli, "out of memory");
	return NULL;
}

void api_close(struct cli *cli)
{
	if (!cli->api)
		return;
	curl_easy_cleanup(cli->api->curl);
	curl_global_cleanup();
	free(cli->api);
	cli->api = NULL;
}

// Why the socket does not answer, from a connect of our own: curl does not tell.
static int probe(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd, error = 0;

	if (strlen(path) >= sizeof(addr.sun_path))
		return ENAMETOOLONG;
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return errno;
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0)
		error = errno;
	close(fd);
	return error;
}

static enum cli_exit unreachable(struct cli *cli, CURLcode code)
{
	static const struct {
		int error;
		const char *advice;
	} advices[] = {
		{ENOENT, "it is not there: start penstock-controlplane, or pass --socket PATH"},
		{ENOTDIR, "it is not there: start penstock-controlplane, or pass --socket PATH"},
		{ECONNREFUSED, "nobody listens: start penstock-controlplane (an earlier one left "
			       "the file)"},
		{EACCES, "no permission: `sudo usermod -aG penstock $USER`, then `newgrp "
			 "penstock`; or use sudo"},
		{EPERM, "no permission: `sudo usermod -aG penstock $USER`, then `newgrp penstock`; "
			"or use sudo"},
		{ENAMETOOLONG, "the path is too long for a socket: at most 107 bytes"},
	};
	int error = probe(cli->socket);

	for (size_t i = 0; i < sizeof(advices) / sizeof(advices[0]); i++) {
		if (advices[i].error != error)
			continue;
		cli_complain(cli, "control socket %s: %s", cli->socket, advices[i].advice);
		return CLI_UNREACHABLE;
	}
	if (code == CURLE_OPERATION_TIMEDOUT)
		cli_complain(cli,
			"control socket %s: no answer; look at the log of penstock-controlplane",
			cli->socket);
	else
		cli_complain(cli, "control socket %s: %s", cli->socket,
			error ? strerror(error) : curl_easy_strerror(code));
	return CLI_UNREACHABLE;
}

static size_t on_body(char *bytes, size_t one, size_t n, void *user)
{
	return text_add(user, bytes, one * n, REPLY_BYTES_MAX) == 0 ? n : 0;
}

static size_t on_header(char *bytes, size_t one, size_t n, void *user)
{
	struct api_reply *reply = user;
	size_t len = one * n, from = 5;

	if (len <= from || strncasecmp(bytes, "etag:", from) != 0)
		return len;
	while (from < len && strchr(" \"", bytes[from]))
		from++;
	while (len > from && strchr(" \"\r\n", bytes[len - 1]))
		len--;
	if (len - from < sizeof(reply->etag)) {
		memcpy(reply->etag, bytes + from, len - from);
		reply->etag[len - from] = '\0';
	}
	return one * n;
}

// What all requests have in common. NULL when out of memory.
static CURL *prepare(struct cli *cli, const char *path, struct text *url)
{
	CURL *curl = api_handle(cli);

	if (!curl)
		return NULL;
	if (text_add(url, "http://penstock", 15, SIZE_MAX) ||
		text_add(url, path, strlen(path), SIZE_MAX)) {
		cli_complain(cli, "out of memory");
		return NULL;
	}
	curl_easy_reset(curl);
	curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, cli->socket);
	curl_easy_setopt(curl, CURLOPT_URL, url->bytes);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "penstock/" PENSTOCK_VERSION);
	return curl;
}

static struct curl_slist *add_header(struct curl_slist *list, const char *name, const char *value)
{
	char line[256];

	snprintf(line, sizeof(line), "%s: %s", name, value);
	return curl_slist_append(list, line);
}

static struct curl_slist *make_headers(const struct api_request *request)
{
	struct curl_slist *list =
		add_header(NULL, "Accept", request->accept ? request->accept : "application/json");
	char etag[80];

	if (request->body)
		list = add_header(list, "Content-Type",
			request->content_type ? request->content_type : "application/json");
	// No round trip before a body: the socket is local.
	list = add_header(list, "Expect", "");
	if (request->if_match) {
		snprintf(etag, sizeof(etag), "\"%s\"", request->if_match);
		list = add_header(list, "If-Match", etag);
	}
	return list;
}

static void read_error(struct api_reply *reply)
{
	const json_t *error = json_object_get(reply->body, "error");

	reply->code = json_string_value(json_object_get(error, "code"));
	reply->message = json_string_value(json_object_get(error, "message"));
	reply->field = json_string_value(json_object_get(error, "field"));
	if (!reply->code)
		reply->code = "unknown";
	if (!reply->message)
		reply->message =
			reply->text && *reply->text ? reply->text : "refused without a reason";
}

static void finish(struct api_reply *reply, struct text *body)
{
	reply->text = body->bytes;
	if (body->len)
		reply->body = json_loadb(body->bytes, body->len, JSON_DECODE_ANY, NULL);
	reply->exit = reply->status >= 200 && reply->status < 300 ? CLI_DONE : CLI_REFUSED;
	if (reply->exit == CLI_REFUSED)
		read_error(reply);
}

enum cli_exit api_call(struct cli *cli, const struct api_request *request, struct api_reply *reply)
{
	struct text url = {0}, body = {0};
	struct curl_slist *headers = NULL;
	char *dump = NULL;
	CURL *curl = prepare(cli, request->path, &url);
	CURLcode code;

	*reply = (struct api_reply){
		.exit = CLI_REFUSED, .code = "local", .message = "out of memory"};
	if (!curl)
		goto out;
	headers = make_headers(request);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, REPLY_TIMEOUT_S);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, &body);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, reply);
	if (request->body) {
		dump = json_dumps(request->body, JSON_COMPACT | JSON_ENCODE_ANY);
		if (!dump)
			goto out;
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, dump);
	}
	if (request->method)
		curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
	code = curl_easy_perform(curl);
	if (code != CURLE_OK) {
		reply->exit = unreachable(cli, code);
		goto out;
	}
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &reply->status);
	finish(reply, &body);
	body.bytes = NULL;
out:
	free(body.bytes);
	free(url.bytes);
	free(dump);
	curl_slist_free_all(headers);
	return reply->exit;
}

enum cli_exit api_get(struct cli *cli, const char *path, struct api_reply *reply)
{
	return api_call(cli, &(struct api_request){.path = path}, reply);
}

void api_reply_end(struct api_reply *reply)
{
	json_decref(reply->body);
	free(reply->text);
	*reply = (struct api_reply){0};
}

enum cli_exit api_complain(struct cli *cli, const char *what, const struct api_reply *reply)
{
	if (reply->exit != CLI_REFUSED)
		return reply->exit;
	if (reply->field)
		cli_complain(cli, "%s: %s: %s", what, reply->field, reply->message);
	else
		cli_complain(cli, "%s: %s", what, reply->message);
	return CLI_REFUSED;
}

struct stream {
	struct cli *cli;
	struct text line;
	struct text refusal;
	bool (*on_line)(struct cli *cli, const char *line, void *user);
	void *user;
	bool ended;
};

static size_t on_stream(char *bytes, size_t one, size_t n, void *user)
{
	struct stream *s = user;
	const char *end = bytes + one * n;
	long status = 0;

	curl_easy_getinfo(s->cli->api->curl, CURLINFO_RESPONSE_CODE, &status);
	if (status < 200 || status >= 300)
		return text_add(&s->refusal, bytes, one * n, LINE_BYTES_MAX) == 0 ? one * n : 0;
	while (bytes < end) {
		const char *stop = memchr(bytes, '\n', (size_t)(end - bytes));
		size_t len = (size_t)((stop ? stop : end) - bytes);

		if (text_add(&s->line, bytes, len, LINE_BYTES_MAX))
			return 0;
		bytes += len + (stop != NULL);
		if (!stop)
			break;
		if (!s->on_line(s->cli, s->line.bytes, s->user)) {
			s->ended = true;
			return 0;
		}
		s->line.len = 0;
	}
	return one * n;
}

static enum cli_exit stream_result(struct stream *s, const char *path, CURLcode code)
{
	struct api_reply reply = {0};
	enum cli_exit exit;

	if (s->ended)
		return CLI_DONE;
	if (code != CURLE_OK)
		return unreachable(s->cli, code);
	curl_easy_getinfo(s->cli->api->curl, CURLINFO_RESPONSE_CODE, &reply.status);
	finish(&reply, &s->refusal);
	s->refusal.bytes = NULL;
	exit = api_complain(s->cli, path, &reply);
	api_reply_end(&reply);
	return exit;
}

enum cli_exit api_stream(struct cli *cli, const char *path,
	bool (*on_line)(struct cli *cli, const char *line, void *user), void *user)
{
	struct stream s = {.cli = cli, .on_line = on_line, .user = user};
	struct text url = {0};
	CURL *curl = prepare(cli, path, &url);
	enum cli_exit exit = CLI_REFUSED;
	CURLcode code;

	if (curl) {
		curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_stream);
		curl_easy_setopt(curl, CURLOPT_WRITEDATA, &s);
		code = curl_easy_perform(curl);
		// What a program wrote last may have no newline.
		if (code == CURLE_OK && s.line.len)
			on_line(cli, s.line.bytes, user);
		exit = stream_result(&s, path, code);
	}
	free(s.line.bytes);
	free(s.refusal.bytes);
	free(url.bytes);
	return exit;
}

static bool is_between(int c, int low, int high)
{
	return c >= low && c <= high;
}

char *api_escape(const char *text)
{
	static const char hex[] = "0123456789ABCDEF";
	char *out = malloc(strlen(text) * 3 + 1), *at = out;

	if (!out)
		return NULL;
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		// RFC 3986 2.3: unreserved characters.
		if (is_between(*p | 32, 'a', 'z') || is_between(*p, '0', '9') ||
			strchr("-._~", *p)) {
			*at++ = (char)*p;
			continue;
		}
		*at++ = '%';
		*at++ = hex[*p >> 4];
		*at++ = hex[*p & 15];
	}
	*at = '\0';
	return out;
}

// One page into `all`. *after becomes where the next one starts, or NULL.
static enum cli_exit list_page(
	struct cli *cli, const char *path, const char *query, char **after, json_t *all)
{
	struct api_reply reply;
	const json_t *items;
	char *before = *after, *url = NULL;
	enum cli_exit exit = CLI_REFUSED;
	const char *next;

	if (asprintf(&url, "%s?limit=%d%s%s%s%s", path, PAGE_ITEMS, query && *query ? "&" : "",
		    query ? query : "", *after ? "&after=" : "", *after ? *after : "") < 0)
		return CLI_REFUSED;
	*after = NULL;
	if (api_get(cli, url, &reply) != CLI_DONE) {
		exit = api_complain(cli, path, &reply);
		goto out;
	}
	items = json_object_get(reply.body, "items");
	if (!json_is_array(items)) {
		cli_complain(cli,
			"%s: the answer is no list; does --socket lead to a control plane?", path);
		goto out;
	}
	json_array_extend(all, (json_t *)items);
	next = json_string_value(json_object_get(reply.body, "next"));
	// A page may be empty and yet have a next one; but one that leads nowhere else ends it.
	if (next && *next)
		*after = api_escape(next);
	if (*after && before && strcmp(*after, before) == 0) {
		free(*after);
		*after = NULL;
	}
	exit = CLI_DONE;
out:
	free(before);
	api_reply_end(&reply);
	free(url);
	return exit;
}

json_t *api_list(struct cli *cli, const char *path, const char *query, enum cli_exit *exit)
{
	json_t *all = json_array();
	char *after = NULL;

	do {
		*exit = list_page(cli, path, query, &after, all);
	} while (*exit == CLI_DONE && after);
	if (*exit == CLI_DONE)
		return all;
	json_decref(all);
	return NULL;
}
