// SPDX-License-Identifier: Apache-2.0
// Programs under test: see test_run.h. Plain blocking I/O with poll(2) for the time limit; no daemon anywhere.
#include "tools/cli/test_run.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/cursor.h"
#include "lib/call/test_frame.h"

#define TIMEOUT_MS 10000
#define PROGRAM_FD 3
#define ITEMS_MAX 1000000u
#define OUTPUT_SHOWN 8192
#define END_STEP_US 10000
#define END_STEPS 200

// The program

static char *find(const char *name, const char *dir, const char *functions)
{
	const char *const folders[] = {functions, dir};
	char *path = NULL;

	if (name[0] == '/')
		return strdup(name);
	if (strchr(name, '/'))
		return asprintf(&path, "%s/%s", dir, name) < 0 ? NULL : path;
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		if (!folders[i] || asprintf(&path, "%s/%s", folders[i], name) < 0)
			continue;
		if (access(path, X_OK) == 0)
			return path;
		free(path);
	}
	return strdup(name); // in PATH
}

static void free_list(char **list)
{
	for (size_t i = 0; list && list[i]; i++)
		free(list[i]);
	free(list);
}

static char **make_argv(const struct test_file *file, const char *over, const char *functions)
{
	json_t *command = json_object_get(file->doc->value, "command");
	size_t count = json_array_size(command), n = 0;
	char **argv = calloc(count + 2, sizeof(*argv));

	if (!argv)
		return NULL;
	argv[n++] = over ? strdup(over)
			 : find(json_string_value(json_array_get(command, 0)), file->dir, functions);
	for (size_t i = 1; i < count; i++)
		argv[n++] = strdup(json_string_value(json_array_get(command, i)));
	return argv;
}

// Little of our own: a test that passes here shall pass elsewhere.
static char **make_envp(const struct test_file *file)
{
	static const char *const kept[] = {"PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS"};
	json_t *env = json_object_get(file->doc->value, "env"), *value;
	char **envp = calloc(json_object_size(env) + sizeof(kept) / sizeof(kept[0]) + 4, sizeof(*envp));
	const char *key;
	size_t n = 0;

	for (size_t i = 0; envp && i < sizeof(kept) / sizeof(kept[0]); i++)
		if (getenv(kept[i]) && asprintf(&envp[n], "%s=%s", kept[i], getenv(kept[i])) >= 0)
			n++;
	json_object_foreach(env, key, value)
	{
		if (envp && asprintf(&envp[n], "%s=%s", key, json_string_value(value)) >= 0)
			n++;
	}
	if (envp && asprintf(&envp[n], "LANG=C.UTF-8") >= 0)
		n++;
	if (envp && asprintf(&envp[n], TEST_FD_ENV "=%d", PROGRAM_FD) >= 0)
		n++;
	if (envp)
		envp[n] = NULL;
	return envp;
}

int test_program_init(struct test_program *p, const struct test_file *file, const char *over,
	const char *functions, char *why, size_t room)
{
	*p = (struct test_program){.fd = -1, .output_fd = -1};
	if (!over && !json_object_get(file->doc->value, "command")) {
		snprintf(why, room, "it has no command: say which program it tests");
		return -EINVAL;
	}
	p->argv = make_argv(file, over, functions);
	p->envp = make_envp(file);
	p->output_fd = memfd_create("output", MFD_CLOEXEC);
	if (p->argv && p->envp && p->output_fd >= 0)
		return 0;
	snprintf(why, room, "out of memory");
	return -ENOMEM;
}

// How a program ended that we have or have not killed.
static void tell_end(const struct test_program *p, int status, char *why, size_t room)
{
	if (WIFSIGNALED(status))
		snprintf(why, room, "%s died of signal %d (%s)", p->argv[0], WTERMSIG(status),
			strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status) == 127)
		snprintf(why, room, "%s cannot be run: is it there?", p->argv[0]);
	else
		snprintf(why, room, "%s ended with status %d", p->argv[0], WEXITSTATUS(status));
}

// The end of its socket is a program's end; one that stays is killed. False: it had to be killed.
static bool stop(struct test_program *p, bool kill_it, int *status)
{
	bool killed;
	int ended = 0;

	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	for (int i = 0; p->pid && !kill_it && i < END_STEPS; i++) {
		if (waitpid(p->pid, &ended, WNOHANG) == p->pid)
			p->pid = 0;
		else
			usleep(END_STEP_US);
	}
	killed = p->pid && kill(p->pid, SIGKILL) == 0;
	while (p->pid && waitpid(p->pid, &ended, 0) < 0 && errno == EINTR)
		;
	p->pid = 0;
	if (status)
		*status = ended;
	return !killed;
}

static int start(struct test_program *p)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -errno;
	fflush(NULL);
	p->pid = fork();
	if (p->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(p->output_fd, STDOUT_FILENO);
		dup2(p->output_fd, STDERR_FILENO);
		// Not dup2 on itself, which would leave it to be closed by exec.
		if (pair[1] == PROGRAM_FD)
			pair[1] = dup(pair[1]);
		dup2(pair[1], PROGRAM_FD);
		execvpe(p->argv[0], p->argv, p->envp);
		_exit(127);
	}
	close(pair[1]);
	if (p->pid < 0) {
		close(pair[0]);
		p->pid = 0;
		return -errno;
	}
	p->fd = pair[0];
	return 0;
}

// A program that does not read what it is asked.
static void limit_sends(int fd, long timeout_ms)
{
	const struct timeval limit = {timeout_ms / 1000, timeout_ms % 1000 * 1000};

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
}

// Frames

static int send_all(int fd, const void *data, size_t len)
{
	const char *at = data;

	while (len) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

// A frame whose payload begins with what `head` has.
static int send_frame(int fd, enum test_frame type, const struct writer *head, const uint8_t *head_bytes,
	const void *data, size_t len)
{
	size_t head_len = head ? (size_t)(head->at - head_bytes) : 0;
	uint8_t bytes[TEST_FRAME_HEAD];
	struct writer w = writer_of(bytes, sizeof(bytes));
	int error;

	writer_u8(&w, (uint8_t)type);
	writer_u32(&w, (uint32_t)(head_len + len));
	error = send_all(fd, bytes, sizeof(bytes));
	if (!error)
		error = send_all(fd, head_bytes, head_len);
	return error ? error : send_all(fd, data, len);
}

static int send_number(int fd, enum test_frame type, const json_t *test, const char *field, unsigned scale)
{
	const json_t *value = json_object_get(test, field);
	uint64_t n = (uint64_t)json_integer_value(value) * scale;
	uint8_t bytes[8];
	struct writer w = writer_of(bytes, sizeof(bytes));

	if (!value)
		return 0;
	if (type == TEST_LEFT)
		writer_u64(&w, n);
	else
		writer_u32(&w, (uint32_t)n);
	return send_frame(fd, type, &w, bytes, NULL, 0);
}

static int send_answers(int fd, const struct test_file *file, json_t *answers, char *why, size_t room)
{
	const char *function;
	json_t *answer;
	int rc = 0;

	json_object_foreach(answers, function, answer)
	{
		json_t *error = json_object_get(answer, "error");
		json_t *text = json_object_get(error, "text");
		uint8_t bytes[512];
		struct writer w = writer_of(bytes, sizeof(bytes));
		struct test_data data = {0};
		size_t len = strlen(function);

		if (!rc && !error)
			rc = test_data_read(answer, file->dir, &data, why, room);
		writer_u32(&w, error ? test_error_code(json_is_object(error) ? json_object_get(error, "code") : error) : 0);
		writer_u16(&w, (uint16_t)len);
		writer_bytes(&w, function, len);
		if (!rc && !w.bad)
			rc = send_frame(fd, TEST_ANSWER, &w, bytes,
				text ? json_string_value(text) : data.bytes,
				text ? json_string_length(text) : data.len);
		free(data.bytes);
	}
	return rc;
}

// All of a case. 0 or -E...; why is filled where it is the case's own fault.
static int send_case(int fd, const struct test_file *file, const json_t *test, char *why, size_t room)
{
	static const char *const kinds[] = {
		[TEST_CALL] = "call", [TEST_EVENT] = "event", [TEST_STREAM] = "stream"};
	const char *kind = test_case_kind(test);
	const json_t *mime = json_object_get(test, "mime");
	struct test_data data;
	uint8_t number = 0;
	struct writer w = writer_of(&number, 1);
	int error = test_data_read(json_object_get(test, kind), file->dir, &data, why, room);

	if (error)
		return error;
	why[0] = 0;
	while (strcmp(kinds[number], kind) != 0)
		number++;
	w.at++;
	error = send_answers(fd, file, json_object_get(test, "answers"), why, room);
	if (!error)
		error = send_number(fd, TEST_LEFT, test, "deadline_ms", 1000);
	if (!error)
		error = send_number(fd, TEST_CREDIT, test, "credit", 1);
	if (!error)
		error = send_number(fd, TEST_CANCEL, test, "cancel_after", 1);
	if (!error && mime)
		error = send_frame(fd, TEST_MIME, NULL, NULL, json_string_value(mime), json_string_length(mime));
	if (!error)
		error = send_frame(fd, TEST_RUN, &w, &number, data.bytes, data.len);
	free(data.bytes);
	return error;
}

// 0, -ETIMEDOUT, -EPIPE (its end), -E....
static int receive(int fd, void *data, size_t len, ns_t until)
{
	char *at = data;

	while (len) {
		ns_t left = until - clock_now();
		struct pollfd pfd = {.fd = fd, .events = POLLIN};
		ssize_t n;

		if (left <= 0)
			return -ETIMEDOUT;
		if (poll(&pfd, 1, (int)(left / NS_PER_MS) + 1) < 1)
			continue;
		n = recv(fd, at, len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -EPIPE;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

struct frame {
	uint8_t type;
	uint8_t *bytes; // with a NUL behind them
	size_t len;
};

static int receive_frame(int fd, struct frame *frame, ns_t until)
{
	uint8_t head[TEST_FRAME_HEAD] = {0};
	struct reader r = reader_of(head, sizeof(head));
	int error = receive(fd, head, sizeof(head), until);

	*frame = (struct frame){0};
	if (error)
		return error;
	frame->type = reader_u8(&r);
	frame->len = reader_u32(&r);
	if (frame->len > TEST_FRAME_MAX)
		return -EPROTO;
	frame->bytes = calloc(1, frame->len + 1);
	if (!frame->bytes)
		return -ENOMEM;
	return receive(fd, frame->bytes, frame->len, until);
}

// Takes the frame's bytes.
static int add_item(struct test_result *r, struct frame *frame)
{
	if (r->items_count >= ITEMS_MAX)
		return -E2BIG;
	if ((r->items_count & (r->items_count - 1)) == 0) {
		size_t room = r->items_count ? 2 * r->items_count : 1;
		struct test_data *grown = realloc(r->items, room * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		r->items = grown;
	}
	r->items[r->items_count++] = (struct test_data){(char *)frame->bytes, frame->len};
	frame->bytes = NULL;
	return 0;
}

// 0: there is more; 1: it was the last.
static int take_frame(struct test_result *result, struct frame *frame)
{
	struct reader r = reader_of(frame->bytes, frame->len);
	size_t len;

	switch (frame->type) {
	case TEST_STARTED:
		return 0;
	case TEST_ITEM:
		return add_item(result, frame);
	case TEST_REPLY:
		free(result->reply.bytes);
		result->reply = (struct test_data){(char *)frame->bytes, frame->len};
		frame->bytes = NULL;
		return 0;
	case TEST_ERROR:
		result->code = reader_u32(&r);
		len = reader_left(&r) < sizeof(result->text) ? reader_left(&r) : sizeof(result->text) - 1;
		memcpy(result->text, r.at, len);
		result->text[len] = 0;
		return 0;
	case TEST_OVER:
		result->calls = reader_u32(&r);
		return 1;
	default:
		return -EPROTO;
	}
}

// A program that was linked with the SDK says so before it is asked anything: others would read no case.
static int wait_started(struct test_program *p, ns_t until)
{
	struct frame frame;
	int error = receive_frame(p->fd, &frame, until);

	if (!error && frame.type != TEST_STARTED)
		error = -EPROTO;
	free(frame.bytes);
	return error;
}

static int receive_result(struct test_program *p, struct test_result *result, ns_t until)
{
	int rc = 0;

	while (rc == 0) {
		struct frame frame;

		rc = receive_frame(p->fd, &frame, until);
		if (rc == 0)
			rc = take_frame(result, &frame);
		free(frame.bytes);
	}
	return rc < 0 ? rc : 0;
}

static void tell(struct test_program *p, int error, long timeout_ms, bool started, char *why, size_t room)
{
	int status;
	bool ended = stop(p, error != -EPIPE, &status);

	if (error == -ETIMEDOUT && !started)
		snprintf(why, room, "%s does not take cases: is it linked with the SDK, with pn_main()?", p->argv[0]);
	else if (error == -ETIMEDOUT)
		snprintf(why, room, "no answer within %ld ms (timeout_ms): it was killed", timeout_ms);
	else if (error == -EPIPE && !ended)
		snprintf(why, room,
			"%s closed the descriptor %d that it is asked on, and stayed: it was killed",
			p->argv[0], PROGRAM_FD);
	else if (error == -EPIPE)
		tell_end(p, status, why, room);
	else if (error == -E2BIG)
		snprintf(why, room, "more than %u items: it was killed", ITEMS_MAX);
	else
		snprintf(why, room, "%s: %s", p->argv[0], strerror(-error));
}

bool test_program_run(struct test_program *p, const struct test_file *file, const json_t *test,
	struct test_result *result, char *why, size_t room)
{
	const json_t *limit = json_object_get(test, "timeout_ms");
	long timeout_ms = limit ? (long)json_integer_value(limit) : TIMEOUT_MS;
	ns_t until = clock_now() + timeout_ms * NS_PER_MS;
	bool started = p->pid != 0;
	int error = 0;

	*result = (struct test_result){0};
	why[0] = 0;
	if (!started) {
		error = start(p);
		if (!error)
			error = wait_started(p, until);
		started = !error;
	}
	if (!error) {
		limit_sends(p->fd, timeout_ms);
		error = send_case(p->fd, file, test, why, room);
	}
	if (error && why[0]) { // a file that the case names: the program has heard half a case
		stop(p, true, NULL);
		return false;
	}
	if (!error || error == -EPIPE)
		error = error ? error : receive_result(p, result, until);
	if (!error)
		return true;
	tell(p, error, timeout_ms, started, why, room);
	return false;
}

void test_result_fini(struct test_result *result)
{
	for (size_t i = 0; i < result->items_count; i++)
		free(result->items[i].bytes);
	free(result->items);
	free(result->reply.bytes);
	*result = (struct test_result){0};
}

char *test_program_output(struct test_program *p)
{
	off_t end = lseek(p->output_fd, 0, SEEK_END), from = p->output_seen;
	char *text;
	ssize_t n;

	if (end - from > OUTPUT_SHOWN)
		from = end - OUTPUT_SHOWN;
	p->output_seen = end;
	text = end > from ? calloc(1, (size_t)(end - from) + 1) : NULL;
	n = text ? pread(p->output_fd, text, (size_t)(end - from), from) : 0;
	if (text)
		text[n > 0 ? n : 0] = 0;
	return text;
}

void test_program_fini(struct test_program *p)
{
	stop(p, false, NULL);
	if (p->output_fd >= 0)
		close(p->output_fd);
	free_list(p->argv);
	free_list(p->envp);
}
