#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Each test function answers through the gateway, an unknown one is rejected, a short load has no error.
. "${0%/*}/lib.sh"
smoke_start

expect "echo replies with its data" test "$(penstock call echo -d hello)" = hello
expect "count streams five items" test "$(penstock call count -d 5 --stream | tr '\n' ' ')" = "1 2 3 4 5 "
expect "delay replies" penstock call delay -d 20
expect_status "error is an error" 1 penstock call error -d '513 boom'
expect_status "an unknown function is refused" 1 penstock call no-such-function -d x
load_start 2 --connections 8 --outstanding 8 --functions echo
expect "the load ends well" load_wait
smoke_pools_settle
smoke_end
