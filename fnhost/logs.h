// SPDX-License-Identifier: Apache-2.0
// Logs of instances, for the control plane: `penstock.logs` {"id", "tail", "follow"} is a stream of pieces of
// text, at most as many as are asked for.
#pragma once

#include <jansson.h>

#include "fnhost/host.h"

void logs_begin(struct host *h, struct rs_stream *stream, json_t *request);
void logs_request_n(struct rs_stream *stream, uint32_t n);
void logs_cancel(struct rs_stream *stream);
