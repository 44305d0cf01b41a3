// SPDX-License-Identifier: Apache-2.0
// Starting DPDK's environment from our options.
#pragma once

#include "dataplane/options.h"

// 0, or -E... after a log line that says what to do. *workers: lcores but the control thread's.
// *shared: some of them share a core.
int eal_start(const struct options *options, unsigned *workers, bool *shared);
void eal_stop(void);
// A device that is named by a bus address is probed from the start; others when their port is
// opened.
bool eal_is_pci(const char *devargs);
