// SPDX-License-Identifier: Apache-2.0
// What a file system does by itself: writes of 4 KiB with fdatasync in a file of its own, which is
// made in a directory and removed again.
#pragma once

#include <stdbool.h>

#include "lib/base/clock.h"
#include "lib/base/hist.h"

// One after the other, n times; append: the file grows, else its blocks are there.
struct hist probe_syncs(const char *directory, unsigned n, bool append);
// Arrivals at random, `rate` a second; each waits for the end of a sync that begins behind it, one
// for all that wait. Nobody can store them sooner.
struct hist probe_arrivals(const char *directory, double rate, ns_t duration, uint64_t seed);
