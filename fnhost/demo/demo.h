// SPDX-License-Identifier: Apache-2.0
// The demo functions, for their programs and their tests.
#pragma once

#include "fnhost/sdk/penstock.h"

extern const struct pn_function demo_echo;
extern const struct pn_function demo_sha256;
extern const struct pn_function demo_count;
extern const struct pn_function demo_thumbnail;
extern const struct pn_function demo_tiles;
extern const struct pn_function demo_faulty;
