// SPDX-License-Identifier: Apache-2.0
// A terminal as a page that is drawn again and again. Plain ANSI; without a terminal it does
// nothing.
#pragma once

#include <stdbool.h>
#include <stdio.h>
#include <termios.h>

#include "lib/base/clock.h"

struct screen {
	bool active;  // standard input and output are a terminal
	struct termios old;
	unsigned rows, columns;
};

// Takes the terminal; screen_fini() gives it back, also after SIGTERM, SIGHUP and Ctrl-C, which end
// screen_key().
void screen_init(struct screen *s);
void screen_fini(struct screen *s);
// Goes to the top left and asks for the size. What is drawn ends with screen_end(), which clears
// the rest.
void screen_begin(struct screen *s, FILE *out);
void screen_end(struct screen *s, FILE *out);
// Writes text line by line, cut at the screen's edges.
void screen_write(const struct screen *s, FILE *out, const char *text);
// Waits for a key until the time is over: the key, 0 when there was none, 'q' when it is to end.
int screen_key(const struct screen *s, ns_t wait);
