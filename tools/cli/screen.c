// SPDX-License-Identifier: Apache-2.0
// The terminal for `top`. Signals that end the program only set a flag here, so that the terminal
// is given back in one place.
#include "tools/cli/screen.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define CTRL_C 3

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
	stopped = number;
}

void screen_init(struct screen *s)
{
	const struct sigaction action = {.sa_handler = on_signal};
	struct termios raw;

	*s = (struct screen){.rows = 24, .columns = 80};
	s->active = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) &&
		    tcgetattr(STDIN_FILENO, &s->old) == 0;
	if (!s->active)
		return;
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	raw = s->old;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG);
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	fputs("\033[?1049h\033[?25l", stdout);
}

void screen_fini(struct screen *s)
{
	if (!s->active)
		return;
	fputs("\033[?25h\033[?1049l", stdout);
	fflush(stdout);
	tcsetattr(STDIN_FILENO, TCSANOW, &s->old);
	s->active = false;
}

void screen_begin(struct screen *s, FILE *out)
{
	struct winsize size;

	if (!s->active)
		return;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0) {
		s->rows = size.ws_row;
		s->columns = size.ws_col;
	}
	fputs("\033[H", out);
}

void screen_end(struct screen *s, FILE *out)
{
	if (s->active)
		fputs("\033[J", out);
	fflush(out);
}

// Bytes of a line that fit in `columns`, whole characters of UTF-8.
static size_t cut(const char *line, size_t len, unsigned columns)
{
	size_t i = 0;
	unsigned used = 0;

	while (i < len) {
		if (((unsigned char)line[i] & 0xc0) != 0x80 && used++ == columns)
			break;
		i++;
	}
	return i;
}

void screen_write(const struct screen *s, FILE *out, const char *text)
{
	unsigned row = 0;

	if (!s->active) {
		fputs(text, out);
		return;
	}
	while (*text && ++row < s->rows) {
		size_t len = strcspn(text, "\n");

		fwrite(text, 1, cut(text, len, s->columns), out);
		fputs("\033[K\n", out);
		text += len + (text[len] == '\n');
	}
}

int screen_key(const struct screen *s, ns_t wait)
{
	struct pollfd fd = {.fd = s->active ? STDIN_FILENO : -1, .events = POLLIN};
	const struct timespec time = {wait / NS_PER_SEC, wait % NS_PER_SEC};
	unsigned char key;

	// A signal while waiting ends ppoll; one before it is seen a frame later.
	if (ppoll(&fd, 1, &time, NULL) <= 0)
		return stopped ? 'q' : 0;
	if (read(STDIN_FILENO, &key, 1) != 1 || key == CTRL_C)
		return 'q';
	return key;
}
