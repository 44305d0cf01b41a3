// SPDX-License-Identifier: Apache-2.0
// Who makes calls: a client, or one of our hosts for its functions.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/client/mime.h"

struct caller {
	struct mime *mime;  // of its connection
	uint32_t streaming; // its calls that are streams: they share a window
	bool host;          // it inherits from the call that its function serves (host_call.h)
};
