// SPDX-License-Identifier: Apache-2.0
// Telling the service manager how a daemon is: sd_notify(3), without its library.
#pragma once

// "READY=1", "STOPPING=1", "STATUS=..."; several with newlines between. Sent to the socket that
// NOTIFY_SOCKET names; without one nothing is done. 0, or -E... which no daemon needs to care
// about.
int notify(const char *state);
