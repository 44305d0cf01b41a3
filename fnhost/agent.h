// SPDX-License-Identifier: Apache-2.0
// The host's side of the peer protocol (docs/PEER-PROTOCOL.md, role "host"): takes assignments from the control
// plane, reports instances and load, serves logs. While the control plane is away everything goes on.
#pragma once

#include <jansson.h>

#include "fnhost/host.h"

struct agent;

// Dials; the rest comes from the loop. 0, -EINVAL (the address), -ENOMEM.
int agent_start(struct host *h);
// Hangs up; the link is gone when agent_closed().
void agent_stop(struct host *h);
bool agent_closed(const struct host *h);
void agent_fini(struct host *h);
// Applies one message of the stream of assignments. 0, -EINVAL, -ENOTSUP (an op not known here), -ENOSPC, -ENOMEM.
int agent_apply(struct host *h, json_t *message);

// report.c: all there is.
json_t *report_make(const struct host *h, ns_t now, bool help);
// Instances that have changed since report_told().
json_t *report_news(const struct host *h, ns_t now);
void report_told(struct host *h);
// In short, for SETUP.
json_t *report_running(const struct host *h);
