// SPDX-License-Identifier: Apache-2.0
// See cli_fixture.h.
#include "test/unit/cli_fixture.h"

#include <sys/socket.h>
#include <sys/un.h>

// ---- the socket ----

static void answer_one(struct fake *f, int fd)
{
	char in[16384], head[256];
	size_t len = 0, want = 0;
	const char *end = NULL, *length;
	const struct answer *a = f->answers;

	while (!end || len < want) {
		ssize_t n = read(fd, in + len, sizeof(in) - 1 - len);

		if (n <= 0)
			return;
		len += (size_t)n;
		in[len] = '\0';
		end = strstr(in, "\r\n\r\n");
		length = strstr(in, "Content-Length: ");
		want = end ? (size_t)(end + 4 - in) +
				       (length && length < end ? strtoul(length + 16, NULL, 10) : 0)
			   : 0;
	}
	if (want > (size_t)(end + 4 - in))
		snprintf(f->body, sizeof(f->body), "%s", end + 4);
	*strchr(in, '\r') = '\0';
	if (f->seen_count < 16)
		snprintf(f->seen[f->seen_count++], 256, "%.255s", in);
	while (a->request && strncmp(in, a->request, strlen(a->request)) != 0)
		a++;
	if (!a->body)
		return; // the connection closes without an answer
	len = (size_t)snprintf(head, sizeof(head),
		"HTTP/1.1 %d Whatever\r\nContent-Length: %zu\r\nConnection: close\r\nETag: "
		"\"7\"\r\n\r\n",
		a->request ? a->status : 404, strlen(a->body));
	if (write(fd, head, len) < 0 || write(fd, a->body, strlen(a->body)) < 0)
		return;
}

static void *serve(void *user)
{
	struct fake *f = user;
	int fd;

	while ((fd = accept(f->fd, NULL, NULL)) >= 0) {
		answer_one(f, fd);
		close(fd);
	}
	return NULL;
}

void fake_start(struct fake *f, const struct answer *answers)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	*f = (struct fake){.answers = answers};
	snprintf(f->path, sizeof(f->path), "/tmp/penstock-cli-test-%d.sock", (int)getpid());
	strcpy(addr.sun_path, f->path);
	unlink(f->path);
	f->fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(f->fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(f->fd, 8), 0);
	assert_int_equal(pthread_create(&f->thread, NULL, serve, f), 0);
}

void fake_stop(struct fake *f)
{
	shutdown(f->fd, SHUT_RDWR);
	pthread_join(f->thread, NULL);
	close(f->fd);
	unlink(f->path);
}

// ---- one run of the command line ----

char *out_text, *err_text;

enum cli_exit run(const char *line)
{
	char buffer[1024], *argv[64] = {"penstock"}, *save;
	size_t out_len, err_len;
	struct cli cli = {0};
	enum cli_exit exit;
	int argc = 1;

	free(out_text);
	free(err_text);
	snprintf(buffer, sizeof(buffer), "%s", line);
	for (char *w = strtok_r(buffer, " ", &save); w; w = strtok_r(NULL, " ", &save))
		argv[argc++] = w;
	cli.out = open_memstream(&out_text, &out_len);
	cli.err = open_memstream(&err_text, &err_len);
	exit = cli_main(&cli, argc, argv);
	fclose(cli.out);
	fclose(cli.err);
	return exit;
}

enum cli_exit run_with(struct fake *f, const struct answer *answers, const char *line)
{
	enum cli_exit exit;

	fake_start(f, answers);
	setenv(CLI_SOCKET_ENV, f->path, 1);
	exit = run(line);
	unsetenv(CLI_SOCKET_ENV);
	fake_stop(f);
	return exit;
}

void expect_text(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("no '%s' in:\n%s", part, text);
}

int cleanup(void **state)
{
	free(out_text);
	free(err_text);
	out_text = err_text = NULL;
	return 0;
}
